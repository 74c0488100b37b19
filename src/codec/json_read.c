/* SPDX-License-Identifier: Apache-2.0
 *
 * json_read.c: jansson behind typed getters. Depth is checked before jansson sees the text (its own limit of 2048
 * is compiled in and recursion would use our stack); duplicates, NULs, bad UTF-8, lone surrogates and trailing bytes
 * are its own refusals. Nothing of jansson shows in the header.
 */
#include "codec/codec.h"

/* Both headers want these words. jansson's get another name for the length of this file; its macros that use them
 * (json_is_object and the like) are therefore off limits, json_typeof is not. */
#define json_type jansson_type
#define JSON_OBJECT JANSSON_OBJECT
#define JSON_ARRAY JANSSON_ARRAY
#define JSON_STRING JANSSON_STRING
#define JSON_INTEGER JANSSON_INTEGER
#define JSON_REAL JANSSON_REAL
#define JSON_TRUE JANSSON_TRUE
#define JSON_FALSE JANSSON_FALSE
#define JSON_NULL JANSSON_NULL
#include <jansson.h>
#undef json_type
#undef JSON_OBJECT
#undef JSON_ARRAY
#undef JSON_STRING
#undef JSON_INTEGER
#undef JSON_REAL
#undef JSON_TRUE
#undef JSON_FALSE
#undef JSON_NULL

static const char *const type_names[] = {
	[JSON_ABSENT] = "nothing",  [JSON_OBJECT] = "an object",   [JSON_ARRAY] = "an array",
	[JSON_STRING] = "a string", [JSON_INTEGER] = "an integer", [JSON_REAL] = "a fraction",
	[JSON_BOOL] = "a boolean",
};

static const json_t *in(const struct json *v)
{
	return (const json_t *)v;
}

static const struct json *out(const json_t *v)
{
	return (const struct json *)v;
}

void json_seed(const struct rng *rng)
{
	size_t seed = 0;
	while (seed == 0) /* 0 asks jansson to find one itself */
		rng_fill(rng, &seed, sizeof seed);
	json_object_seed(seed);
}

/* Nesting and NULs, by a scan that knows strings and nothing else: right for every text that is JSON at all. */
static fallible check_shape(struct str text, struct err *err)
{
	unsigned depth = 0;
	bool in_string = false;
	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];
		if (c == '\0')
			FAIL(err, ERR_MALFORMED, "JSON: NUL at byte %zu", i);
		if (in_string) {
			if (c == '\\' && i + 1 < text.n && text.p[i + 1] != '\0')
				i++;
			else if (c == '"')
				in_string = false;
			continue;
		}
		if (c == '"') {
			in_string = true;
		} else if (c == '{' || c == '[') {
			if (++depth > JSON_DEPTH_MAX)
				FAIL(err, ERR_MALFORMED, "JSON: nested deeper than %d at byte %zu", JSON_DEPTH_MAX, i);
		} else if ((c == '}' || c == ']') && depth > 0) {
			depth--;
		}
	}
	return OK;
}

fallible json_read(struct str text, size_t max, struct json **ret, struct err *err)
{
	if (text.n > max)
		FAIL(err, ERR_MALFORMED, "JSON: %zu bytes are over the limit of %zu", text.n, max);
	if (text.n == 0)
		FAIL(err, ERR_MALFORMED, "JSON: an object is wanted, the text is empty");
	TRY(check_shape(text, err));
	json_error_t why;
	json_t *top = json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES, &why);
	if (top == NULL) {
		if (json_error_code(&why) == json_error_out_of_memory)
			FAIL(err, ERR_INTERNAL, "JSON: out of memory");
		FAIL(err, ERR_MALFORMED, "JSON: line %d column %d: %s", why.line, why.column, why.text);
	}
	if (json_typeof(top) != JANSSON_OBJECT) {
		json_decref(top);
		FAIL(err, ERR_MALFORMED, "JSON: line 1 column 1: an object is wanted, the text is an array");
	}
	*ret = (struct json *)top;
	return OK;
}

void json_free(struct json *top)
{
	json_decref((json_t *)top);
}

void json_auto(struct json **top)
{
	json_free(*top);
	*top = NULL;
}

enum json_type json_type(const struct json *v)
{
	if (v == NULL)
		return JSON_ABSENT;
	switch (json_typeof(in(v))) {
	case JANSSON_OBJECT:
		return JSON_OBJECT;
	case JANSSON_ARRAY:
		return JSON_ARRAY;
	case JANSSON_STRING:
		return JSON_STRING;
	case JANSSON_INTEGER:
		return JSON_INTEGER;
	case JANSSON_REAL:
		return JSON_REAL;
	case JANSSON_TRUE:
	case JANSSON_FALSE:
		return JSON_BOOL;
	case JANSSON_NULL:
		break;
	}
	return JSON_ABSENT;
}

const struct json *json_get(const struct json *object, const char *key)
{
	if (json_type(object) != JSON_OBJECT)
		return NULL;
	const struct json *v = out(json_object_get(in(object), key));
	return json_type(v) == JSON_ABSENT ? NULL : v;
}

size_t json_count(const struct json *array_or_object)
{
	enum json_type type = json_type(array_or_object);
	if (type == JSON_ARRAY)
		return json_array_size(in(array_or_object));
	return type == JSON_OBJECT ? json_object_size(in(array_or_object)) : 0;
}

const struct json *json_at(const struct json *array, size_t i)
{
	if (json_type(array) != JSON_ARRAY)
		return NULL;
	const struct json *v = out(json_array_get(in(array), i));
	return json_type(v) == JSON_ABSENT ? NULL : v;
}

bool json_as_str(const struct json *v, struct str *ret)
{
	if (json_type(v) != JSON_STRING)
		return false;
	*ret = str_n(json_string_value(in(v)), json_string_length(in(v)));
	return true;
}

bool json_as_i64(const struct json *v, int64_t *ret)
{
	if (json_type(v) != JSON_INTEGER)
		return false;
	*ret = json_integer_value(in(v));
	return true;
}

bool json_as_bool(const struct json *v, bool *ret)
{
	if (json_type(v) != JSON_BOOL)
		return false;
	*ret = json_typeof(in(v)) == JANSSON_TRUE;
	return true;
}

static fallible want(const struct json *o, const char *key, enum json_type type, const struct json **ret,
		     struct err *err)
{
	if (json_type(o) != JSON_OBJECT)
		FAIL(err, ERR_MALFORMED, "an object with \"%s\" is wanted, found %s", key, type_names[json_type(o)]);
	const struct json *v = json_get(o, key);
	if (v == NULL)
		FAIL(err, ERR_MALFORMED, "\"%s\" is missing, %s is wanted", key, type_names[type]);
	if (json_type(v) != type)
		FAIL(err, ERR_MALFORMED, "\"%s\" is %s, %s is wanted", key, type_names[json_type(v)], type_names[type]);
	*ret = v;
	return OK;
}

fallible json_want_str(const struct json *o, const char *key, size_t max, struct str *ret, struct err *err)
{
	const struct json *v = NULL;
	TRY(want(o, key, JSON_STRING, &v, err));
	struct str s = STR_NONE;
	(void)json_as_str(v, &s);
	if (s.n > max)
		FAIL(err, ERR_MALFORMED, "\"%s\" has %zu bytes, at most %zu are wanted", key, s.n, max);
	*ret = s;
	return OK;
}

fallible json_may_str(const struct json *o, const char *key, size_t max, struct str *ret, struct err *err)
{
	return json_type(o) == JSON_OBJECT && json_get(o, key) == NULL ? OK : json_want_str(o, key, max, ret, err);
}

fallible json_want_i64(const struct json *o, const char *key, int64_t min, int64_t max, int64_t *ret, struct err *err)
{
	const struct json *v = NULL;
	TRY(want(o, key, JSON_INTEGER, &v, err));
	int64_t i = 0;
	(void)json_as_i64(v, &i);
	if (i < min || i > max)
		FAIL(err, ERR_MALFORMED, "\"%s\" is %lld, a number from %lld to %lld is wanted", key, (long long)i,
		     (long long)min, (long long)max);
	*ret = i;
	return OK;
}

fallible json_may_bool(const struct json *o, const char *key, bool *ret, struct err *err)
{
	if (json_type(o) == JSON_OBJECT && json_get(o, key) == NULL)
		return OK;
	const struct json *v = NULL;
	TRY(want(o, key, JSON_BOOL, &v, err));
	(void)json_as_bool(v, ret);
	return OK;
}

fallible json_want_array(const struct json *o, const char *key, size_t max, const struct json **ret, struct err *err)
{
	const struct json *v = NULL;
	TRY(want(o, key, JSON_ARRAY, &v, err));
	if (json_count(v) > max)
		FAIL(err, ERR_MALFORMED, "\"%s\" has %zu elements, at most %zu are wanted", key, json_count(v), max);
	*ret = v;
	return OK;
}

fallible json_want_object(const struct json *o, const char *key, const struct json **ret, struct err *err)
{
	return want(o, key, JSON_OBJECT, ret, err);
}

/* Iterating changes nothing, but jansson's iterators take a plain pointer; const is only taken off here. */
static json_t *for_iteration(const struct json *o)
{
	return (json_t *)(uintptr_t)o;
}

fallible json_each(const struct json *o,
		   fallible (*fn)(void *ctx, struct str key, const struct json *v, struct err *err), void *ctx,
		   struct err *err)
{
	if (json_type(o) != JSON_OBJECT)
		FAIL(err, ERR_MALFORMED, "an object is wanted, found %s", type_names[json_type(o)]);
	json_t *object = for_iteration(o);
	for (void *at = json_object_iter(object); at != NULL; at = json_object_iter_next(object, at)) {
		struct str key = str_n(json_object_iter_key(at), json_object_iter_key_len(at));
		TRY(fn(ctx, key, out(json_object_iter_value(at)), err));
	}
	return OK;
}

static fallible require_known(void *ctx, struct str key, const struct json *v, struct err *err)
{
	(void)v;
	for (const char *const *known = (const char *const *)ctx; *known != NULL; known++) {
		if (str_eq(key, str_z(*known)))
			return OK;
	}
	FAIL(err, ERR_MALFORMED, "\"%.*s\" is not a member that is known here", STR_FMT(str_sub(key, 0, 64)));
}

fallible json_only(const struct json *o, const char *const *known, struct err *err)
{
	return json_each(o, require_known, (void *)(uintptr_t)known, err);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * json_read.c: the typed getters over what json_parse.c has read.
 */
#include "codec/json.h"

static const char *const type_names[] = {
	[JSON_ABSENT] = "nothing",  [JSON_OBJECT] = "an object",   [JSON_ARRAY] = "an array",
	[JSON_STRING] = "a string", [JSON_INTEGER] = "an integer", [JSON_REAL] = "a fraction",
	[JSON_BOOL] = "a boolean",
};

enum json_type json_type(const struct json *v)
{
	return v == NULL ? JSON_ABSENT : v->type;
}

const struct json *json_get(const struct json *object, const char *key)
{
	if (json_type(object) != JSON_OBJECT)
		return NULL;
	struct str wanted = str_z(key);
	for (size_t i = 0; i < object->count; i++)
		if (str_eq(object->of.v[i]->key, wanted))
			return json_type(object->of.v[i]) == JSON_ABSENT ? NULL : object->of.v[i];
	return NULL;
}

size_t json_count(const struct json *array_or_object)
{
	return array_or_object == NULL ? 0 : array_or_object->count;
}

const struct json *json_at(const struct json *array, size_t i)
{
	if (json_type(array) != JSON_ARRAY || i >= array->count)
		return NULL;
	return json_type(array->of.v[i]) == JSON_ABSENT ? NULL : array->of.v[i];
}

bool json_as_str(const struct json *v, struct str *ret)
{
	if (json_type(v) != JSON_STRING)
		return false;
	*ret = v->of.s;
	return true;
}

bool json_as_i64(const struct json *v, int64_t *ret)
{
	if (json_type(v) != JSON_INTEGER)
		return false;
	*ret = v->of.i;
	return true;
}

bool json_as_bool(const struct json *v, bool *ret)
{
	if (json_type(v) != JSON_BOOL)
		return false;
	*ret = v->of.yes;
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

fallible json_each(const struct json *o,
		   fallible (*fn)(void *ctx, struct str key, const struct json *v, struct err *err), void *ctx,
		   struct err *err)
{
	if (json_type(o) != JSON_OBJECT)
		FAIL(err, ERR_MALFORMED, "an object is wanted, found %s", type_names[json_type(o)]);
	for (size_t i = 0; i < o->count; i++) {
		const struct json *v = o->of.v[i];
		TRY(fn(ctx, v->key, v, err));
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

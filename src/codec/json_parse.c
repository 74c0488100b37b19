/* SPDX-License-Identifier: Apache-2.0
 *
 * json_parse.c: JSON (RFC 8259) as it is read from anybody: nothing laxer than the grammar, and refused beyond it are
 * names that occur twice, NULs, UTF-8 that is none, lone surrogates, integers over 64 bits and what is nested too deeply.
 * One copy of the text, in which strings are unescaped where they stand, and one arena for everything.
 */
#include "codec/json.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#define COMPARED_MAX 32 /* members; an object with more is sorted to find what occurs twice */

struct document {
	struct json top; /* first: what json_free is given */
	struct arena mem;
};

struct parser {
	struct str in; /* as it came: what errors count lines in */
	struct arena *mem;
	char *begin, *end; /* our copy, with a NUL behind it */
	char *p;
	unsigned depth;
	size_t values;
};

static fallible value_read(struct parser *x, struct json *ret, struct err *err);

static fallible refuse(const struct parser *x, const char *what, struct err *err)
{
	size_t line = 1, column = 0;
	for (const char *c = x->in.p; c < x->in.p + (x->p - x->begin); c++) {
		column = *c == '\n' ? 0 : column + ((*c & 0xc0) != 0x80);
		line += *c == '\n';
	}
	FAIL(err, ERR_MALFORMED, "JSON: line %zu column %zu: %s", line, column, what);
}

static void space_skip(struct parser *x)
{
	while (*x->p == ' ' || *x->p == '\t' || *x->p == '\n' || *x->p == '\r')
		x->p++;
}

/* --- strings ------------------------------------------------------------------------------------------------------*/

static fallible hex4_read(struct parser *x, unsigned *ret, struct err *err)
{
	unsigned code = 0;
	for (unsigned i = 0; i < 4; i++) {
		char c = *x->p;
		unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
				 : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
				 : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A') + 10
							: 16;
		if (digit == 16)
			return refuse(x, "an escape without its four hex digits", err);
		code = code << 4 | digit;
		x->p++;
	}
	*ret = code;
	return OK;
}

/* Behind "\u". A pair of surrogates is one character. */
static fallible code_read(struct parser *x, unsigned *ret, struct err *err)
{
	unsigned code = 0, low = 0;
	TRY(hex4_read(x, &code, err));
	if (code == 0)
		return refuse(x, "an escaped NUL", err);
	if (code >= 0xdc00 && code <= 0xdfff)
		return refuse(x, "half a surrogate pair", err);
	if (code >= 0xd800 && code <= 0xdbff) {
		if (x->p[0] != '\\' || x->p[1] != 'u')
			return refuse(x, "half a surrogate pair", err);
		x->p += 2;
		TRY(hex4_read(x, &low, err));
		if (low < 0xdc00 || low > 0xdfff)
			return refuse(x, "half a surrogate pair", err);
		code = 0x10000 + ((code & 0x3ff) << 10 | (low & 0x3ff));
	}
	*ret = code;
	return OK;
}

static char *utf8_put(char *to, unsigned code)
{
	if (code < 0x80) {
		*to++ = (char)code;
		return to;
	}
	unsigned more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
	static const unsigned lead[] = { 0, 0xc0, 0xe0, 0xf0 };
	*to++ = (char)(lead[more] | code >> (6 * more));
	while (more-- > 0)
		*to++ = (char)(0x80 | (code >> (6 * more) & 0x3f));
	return to;
}

/* At the backslash. What it stands for is never longer than the escape: it goes where the escape was. */
static fallible escape_read(struct parser *x, char **to, struct err *err)
{
	static const char from[] = "\"\\/bfnrt", into[] = "\"\\/\b\f\n\r\t";
	unsigned code = 0;
	x->p++;
	const char *known = *x->p == '\0' ? NULL : strchr(from, *x->p);
	if (known != NULL) {
		x->p++;
		*(*to)++ = into[known - from];
		return OK;
	}
	if (*x->p != 'u')
		return refuse(x, "an escape that is none", err);
	x->p++;
	TRY(code_read(x, &code, err));
	*to = utf8_put(*to, code);
	return OK;
}

/* At the opening quote. */
static fallible string_read(struct parser *x, struct str *ret, struct err *err)
{
	char *from = ++x->p, *to = from;
	for (;;) {
		size_t n = json_plain(str_n(x->p, (size_t)(x->end - x->p)));
		unsigned char c = (unsigned char)x->p[n];
		if (c >= 0x7f) { /* whole, as it is */
			size_t len = utf8_len(str_n(x->p, (size_t)(x->end - x->p)), n);
			if (len == 0) {
				x->p += n;
				return refuse(x, "bytes that are not UTF-8", err);
			}
			n += len;
		}
		if (to != x->p)
			memmove(to, x->p, n);
		to += n;
		x->p += n;
		c = (unsigned char)*x->p;
		if (c == '"') {
			x->p++;
			*ret = str_n(from, (size_t)(to - from));
			return OK;
		}
		if (c == '\\')
			TRY(escape_read(x, &to, err));
		else if (c < 0x20)
			return refuse(x,
				      x->p == x->end ? "the text ends in a string" : "a control character in a string",
				      err);
	}
}

/* --- numbers and words --------------------------------------------------------------------------------------------*/

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static fallible digits_skip(struct parser *x, struct err *err)
{
	if (!is_digit(*x->p))
		return refuse(x, "a digit is wanted", err);
	while (is_digit(*x->p))
		x->p++;
	return OK;
}

/* Nobody here uses fractions: only that it is one, and finite, is looked at. */
static fallible fraction_read(struct parser *x, const char *from, struct json *ret, struct err *err)
{
	if (*x->p == '.') {
		x->p++;
		TRY(digits_skip(x, err));
	}
	if (*x->p == 'e' || *x->p == 'E') {
		x->p++;
		if (*x->p == '+' || *x->p == '-')
			x->p++;
		TRY(digits_skip(x, err));
	}
	ret->type = JSON_REAL;
	if (!isfinite(strtod(from, NULL)))
		return refuse(x, "a number that is too large", err);
	return OK;
}

static fallible number_read(struct parser *x, struct json *ret, struct err *err)
{
	const char *from = x->p;
	bool negative = *x->p == '-', over = false;
	int64_t v = 0;
	x->p += negative;
	const char *digits = x->p;
	TRY(digits_skip(x, err));
	if (digits[0] == '0' && x->p > digits + 1)
		return refuse(x, "a number that begins with 0", err);
	if (*x->p == '.' || *x->p == 'e' || *x->p == 'E')
		return fraction_read(x, from, ret, err);
	for (const char *d = digits; d < x->p; d++) /* below zero, where there is room for one more */
		over = over || __builtin_mul_overflow(v, 10, &v) || __builtin_sub_overflow(v, *d - '0', &v);
	if (!negative)
		over = over || __builtin_sub_overflow(0, v, &v);
	if (over)
		return refuse(x, "an integer of more than 64 bits", err);
	ret->type = JSON_INTEGER;
	ret->of.i = v;
	return OK;
}

static fallible word_read(struct parser *x, struct json *ret, struct err *err)
{
	static const struct {
		struct str word;
		enum json_type type;
		bool yes;
	} words[] = {
		{ { "true", 4 }, JSON_BOOL, true },
		{ { "false", 5 }, JSON_BOOL, false },
		{ { "null", 4 }, JSON_ABSENT, false },
	};
	struct str rest = str_n(x->p, (size_t)(x->end - x->p));
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (!str_starts(rest, words[i].word))
			continue;
		x->p += words[i].word.n;
		ret->type = words[i].type;
		ret->of.yes = words[i].yes;
		return OK;
	}
	return refuse(x, x->p == x->end ? "the text ends too early" : "no value begins like this", err);
}

/* --- arrays and objects -------------------------------------------------------------------------------------------*/

static bool is_before(const struct json *a, const struct json *b)
{
	size_t n = a->key.n < b->key.n ? a->key.n : b->key.n;
	int order = n == 0 ? 0 : memcmp(a->key.p, b->key.p, n);
	return order < 0 || (order == 0 && a->key.n < b->key.n);
}

/* By merging runs of doubling length: nobody who chooses the keys makes it slow. */
static struct json **sort(struct arena *mem, struct json *const *v, size_t count)
{
	struct json **from = ARENA_ARRAY(mem, struct json *, count), **to = ARENA_ARRAY(mem, struct json *, count);
	memcpy(from, v, count * sizeof *from);
	for (size_t run = 1; run < count; run *= 2) {
		for (size_t at = 0; at < count; at += 2 * run) {
			size_t a = at, a_end = at + run < count ? at + run : count;
			size_t b = a_end, b_end = at + 2 * run < count ? at + 2 * run : count;
			for (size_t i = at; i < b_end; i++) {
				bool left = b == b_end || (a < a_end && !is_before(from[b], from[a]));
				to[i] = left ? from[a++] : from[b++];
			}
		}
		struct json **done = to;
		to = from;
		from = done;
	}
	return from;
}

static bool key_is_among(const struct json *first, const struct json *new)
{
	for (const struct json *m = first; m != NULL; m = m->next)
		if (str_eq(m->key, new->key))
			return true;
	return false;
}

static fallible many_keys_check(const struct parser *x, const struct json *object, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct json **sorted = sort(&mem, object->of.v, object->count);
	for (size_t i = 1; i < object->count; i++)
		if (str_eq(sorted[i - 1]->key, sorted[i]->key))
			return refuse(x, "an object with a duplicate name", err);
	return OK;
}

static fallible key_read(struct parser *x, const struct json *first, size_t count, struct json *ret, struct err *err)
{
	if (*x->p != '"')
		return refuse(x, "a name in quotes is wanted", err);
	TRY(string_read(x, &ret->key, err));
	if (count < COMPARED_MAX && key_is_among(first, ret))
		return refuse(x, "a duplicate name", err);
	space_skip(x);
	if (*x->p != ':')
		return refuse(x, "a colon is wanted", err);
	x->p++;
	space_skip(x);
	return OK;
}

/* Behind the bracket, up to and with the one that closes it. */
static fallible members_read(struct parser *x, char close, struct json **first, size_t *ret_count, struct err *err)
{
	struct json **end = first;
	size_t count = 0;
	space_skip(x);
	bool more = *x->p != close;
	while (more) {
		struct json *m = ARENA_NEW(x->mem, struct json);
		if (++x->values > JSON_VALUES_MAX) /* two bytes of text are 80 of memory */
			return refuse(x, "more values than any text here has", err);
		if (close == '}')
			TRY(key_read(x, *first, count, m, err));
		TRY(value_read(x, m, err));
		*end = m;
		end = &m->next;
		count++;
		space_skip(x);
		more = *x->p == ',';
		if (!more && *x->p != close)
			return refuse(x, close == '}' ? "a comma or } is wanted" : "a comma or ] is wanted", err);
		if (more)
			x->p++;
		space_skip(x);
	}
	x->p++;
	*ret_count = count;
	return OK;
}

static fallible group_read(struct parser *x, char close, struct json *ret, struct err *err)
{
	struct json *first = NULL;
	if (++x->depth > JSON_DEPTH_MAX)
		FAIL(err, ERR_MALFORMED, "JSON: nested deeper than %d at byte %zu", JSON_DEPTH_MAX,
		     (size_t)(x->p - x->begin));
	x->p++;
	TRY(members_read(x, close, &first, &ret->count, err));
	x->depth--;
	ret->type = close == '}' ? JSON_OBJECT : JSON_ARRAY;
	ret->of.v = ARENA_ARRAY(x->mem, struct json *, ret->count);
	size_t at = 0;
	for (struct json *m = first; m != NULL; m = m->next)
		ret->of.v[at++] = m;
	if (close == '}' && ret->count > COMPARED_MAX)
		return many_keys_check(x, ret, err);
	return OK;
}

static fallible value_read(struct parser *x, struct json *ret, struct err *err)
{
	switch (*x->p) {
	case '{':
		return group_read(x, '}', ret, err);
	case '[':
		return group_read(x, ']', ret, err);
	case '"':
		ret->type = JSON_STRING;
		return string_read(x, &ret->of.s, err);
	default:
		return *x->p == '-' || is_digit(*x->p) ? number_read(x, ret, err) : word_read(x, ret, err);
	}
}

static fallible document_read(struct parser *x, struct json *top, struct err *err)
{
	space_skip(x);
	if (*x->p != '{')
		return refuse(x, "an object is wanted", err);
	TRY(value_read(x, top, err));
	space_skip(x);
	if (x->p != x->end)
		return refuse(x, "the text goes on behind its object", err);
	return OK;
}

fallible json_read(struct str text, size_t max, struct json **ret, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	if (text.n > max)
		FAIL(err, ERR_MALFORMED, "JSON: %zu bytes are over the limit of %zu", text.n, max);
	if (text.n == 0)
		FAIL(err, ERR_MALFORMED, "JSON: an object is wanted, the text is empty");
	struct document *d = ARENA_NEW(&mem, struct document);
	/* Every look ahead meets the NUL behind the copy, at the latest. */
	char *copy = str_dupz_raw(&mem, text);
	struct parser x = { .in = text, .mem = &mem, .begin = copy, .end = copy + text.n, .p = copy };
	TRY(document_read(&x, &d->top, err));
	d->mem = mem;
	mem = (struct arena){ 0 };
	*ret = &d->top;
	return OK;
}

void json_free(struct json *top)
{
	if (top == NULL)
		return;
	struct arena mem = ((struct document *)(void *)top)->mem;
	arena_done(&mem);
}

void json_auto(struct json **top)
{
	json_free(*top);
	*top = NULL;
}

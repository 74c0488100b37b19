/* SPDX-License-Identifier: Apache-2.0
 *
 * message.c: writes and reads the messages between programs from their tables. A reader believes nothing: unknown
 * members, other versions, wrong types, and text outside its alphabet or bounds are all ERR_MALFORMED.
 */
#include "model/message.h"

#include <assert.h>

#define STEP_WHAT_MAX 32
#define STEP_DETAIL_MAX 512
#define IDENT_VALUE_MAX (NAME_MAX_LEN + 2)

/* --- alphabets ----------------------------------------------------------------------------------------------------*/
/* Which bytes a text of each kind may hold, as one bit a kind, so that a text is looked at with one load a byte.
 * Sequences of UTF-8 are the JSON reader's business; a writer's own bad ones come out as U+FFFD. */
#define BIT(kind) (1u << ((kind)-FIELD_WORD))
#define WITHIN(c, from, to) ((c) >= (from) && (c) <= (to))
#define IS_DIGIT(c) WITHIN(c, '0', '9')
#define IS_ALNUM(c) (IS_DIGIT(c) || WITHIN(c, 'A', 'Z') || WITHIN(c, 'a', 'z'))
#define IS_PRINTABLE(c) WITHIN(c, ' ', '~')
#define IS_B64URL(c) (IS_ALNUM(c) || (c) == '-' || (c) == '_')
#define KINDS(c)                                                                                        \
	((IS_B64URL(c) || (c) == '.' ? BIT(FIELD_WORD) : 0) | (IS_PRINTABLE(c) ? BIT(FIELD_TEXT) : 0) | \
	 (IS_PRINTABLE(c) || (c) == '\n' ? BIT(FIELD_LINES) : 0) |                                      \
	 (IS_PRINTABLE(c) || (c) >= 0x80 ? BIT(FIELD_UTF8) : 0) |                                       \
	 (IS_B64URL(c) ? BIT(FIELD_B64URL) | BIT(FIELD_TOKEN) : 0) |                                    \
	 (IS_DIGIT(c) || WITHIN(c, 'a', 'f') ? BIT(FIELD_HEX) : 0) | BIT(FIELD_BYTES))
#define KINDS_4(c) KINDS(c), KINDS((c) + 1), KINDS((c) + 2), KINDS((c) + 3)
#define KINDS_16(c) KINDS_4(c), KINDS_4((c) + 4), KINDS_4((c) + 8), KINDS_4((c) + 12)
#define KINDS_64(c) KINDS_16(c), KINDS_16((c) + 16), KINDS_16((c) + 32), KINDS_16((c) + 48)
static const uint8_t kinds_of[256] = { KINDS_64(0), KINDS_64(64), KINDS_64(128), KINDS_64(192) };

static const char *const alphabets[FIELD_KIND_COUNT] = {
	[FIELD_WORD] = "letters, digits and . _ -",
	[FIELD_TEXT] = "printable ASCII",
	[FIELD_LINES] = "printable ASCII and newlines",
	[FIELD_UTF8] = "text without control characters",
	[FIELD_B64URL] = "base64url",
	[FIELD_HEX] = "lower-case hex",
	[FIELD_TOKEN] = "base64url",
	[FIELD_BYTES] = "bytes",
};
static_assert(FIELD_BYTES - FIELD_WORD == 7, "the kinds of text are eight in a row");

static bool alphabet_has_all(enum field_kind kind, struct str s)
{
	unsigned of_all = UINT8_MAX;
	for (size_t i = 0; i < s.n; i++)
		of_all &= kinds_of[(unsigned char)s.p[i]];
	return (of_all & BIT(kind)) != 0;
}

static fallible refuse_byte(const char *key, enum field_kind kind, struct str s, struct err *err)
{
	size_t i = 0;
	while (alphabet_has_all(kind, str_n(s.p + i, 1)))
		i++;
	FAIL(err, ERR_MALFORMED, "\"%s\" holds byte 0x%02x at %zu, only %s may be there", key,
	     (unsigned)(unsigned char)s.p[i], i, alphabets[kind]);
}

static fallible text_check(const char *key, enum field_kind kind, size_t min, size_t max, struct str s, struct err *err)
{
	if (s.n < min || s.n > max)
		FAIL(err, ERR_MALFORMED, "\"%s\" has %zu bytes, %zu to %zu are allowed", key, s.n, min, max);
	if (!alphabet_has_all(kind, s))
		return refuse_byte(key, kind, s, err);
	if (kind == FIELD_TOKEN && !token_is_wellformed(s))
		FAIL(err, ERR_MALFORMED, "\"%s\" is not 32 bytes in base64url", key);
	return OK;
}

static const void *at(const void *m, size_t offset)
{
	return (const char *)m + offset;
}

static void *at_mut(void *m, size_t offset)
{
	return (char *)m + offset;
}

/* --- checks: the same for what is to be written and what was read -------------------------------------------------*/
static fallible check_count(const struct field *f, const void *m, struct err *err)
{
	size_t n = *(const size_t *)at(m, f->count_at);
	if (n < f->min || n > f->max)
		FAIL(err, ERR_MALFORMED, "\"%s\" has %zu elements, %zu to %zu are allowed", f->key, n, f->min, f->max);
	return OK;
}

static fallible check_id(const struct field *f, const void *m, struct err *err)
{
	if (f->min > 0 && id_is_zero(*(const struct id *)at(m, f->at)))
		FAIL(err, ERR_MALFORMED, "\"%s\" is no id", f->key);
	return OK;
}

static fallible check_text(const struct field *f, const void *m, struct err *err)
{
	return text_check(f->key, f->kind, f->min, f->max, *(const struct str *)at(m, f->at), err);
}

static fallible check_bool(const struct field *f, const void *m, struct err *err)
{
	(void)f;
	(void)m;
	(void)err;
	return OK;
}

static fallible check_time(const struct field *f, const void *m, struct err *err)
{
	int64_t t = *(const int64_t *)at(m, f->at);
	if (t < 0)
		FAIL(err, ERR_MALFORMED, "\"%s\" is %lld, before 1970", f->key, (long long)t);
	return OK;
}

static fallible check_method(const struct field *f, const void *m, struct err *err)
{
	enum challenge_type t = *(const enum challenge_type *)at(m, f->at);
	if ((unsigned)t >= CHALLENGE_TYPE_COUNT)
		FAIL(err, ERR_MALFORMED, "\"%s\" is %u, no challenge type", f->key, (unsigned)t);
	return OK;
}

static fallible check_problem(const struct field *f, const void *m, struct err *err)
{
	enum err_kind k = *(const enum err_kind *)at(m, f->at);
	if ((unsigned)k >= ERR_KIND_COUNT || (f->min > 0 && k == ERR_NONE))
		FAIL(err, ERR_MALFORMED, "\"%s\" is %u, no kind of error", f->key, (unsigned)k);
	return OK;
}

static fallible check_caa(const struct field *f, const void *m, struct err *err)
{
	enum caa_result r = *(const enum caa_result *)at(m, f->at);
	if ((unsigned)r >= CAA_RESULT_COUNT)
		FAIL(err, ERR_MALFORMED, "\"%s\" is %u, no result of a CAA lookup", f->key, (unsigned)r);
	return OK;
}

static fallible check_ident(const struct field *f, const void *m, struct err *err)
{
	return ident_check((const struct ident *)at(m, f->at), false, err);
}

static fallible check_idents(const struct field *f, const void *m, struct err *err)
{
	TRY(check_count(f, m, err));
	const struct ident *v = *(struct ident *const *)at(m, f->at);
	for (size_t i = 0; i < *(const size_t *)at(m, f->count_at); i++)
		TRY(ident_check(&v[i], true, err));
	return OK;
}

static fallible check_texts(const struct field *f, const void *m, struct err *err)
{
	enum field_kind item = f->kind == FIELD_WORDS ? FIELD_WORD : FIELD_TEXT;
	TRY(check_count(f, m, err));
	const struct str *v = *(struct str *const *)at(m, f->at);
	for (size_t i = 0; i < *(const size_t *)at(m, f->count_at); i++)
		TRY(text_check(f->key, item, 1, f->item_max, v[i], err));
	return OK;
}

static fallible check_steps(const struct field *f, const void *m, struct err *err)
{
	TRY(check_count(f, m, err));
	const struct verdict_step *v = *(struct verdict_step *const *)at(m, f->at);
	for (size_t i = 0; i < *(const size_t *)at(m, f->count_at); i++) {
		TRY(text_check("what", FIELD_WORD, 1, STEP_WHAT_MAX, v[i].what, err));
		TRY(text_check("detail", FIELD_TEXT, 0, STEP_DETAIL_MAX, v[i].detail, err));
	}
	return OK;
}

/* --- writing ------------------------------------------------------------------------------------------------------*/
static void put_id(const struct field *f, const void *m, struct jw *w)
{
	struct id id = *(const struct id *)at(m, f->at);
	if (id_is_zero(id))
		jw_kz(w, f->key, "");
	else
		jw_kid(w, f->key, id);
}

static void put_text(const struct field *f, const void *m, struct jw *w)
{
	jw_kstr(w, f->key, *(const struct str *)at(m, f->at));
}

static void put_bytes(const struct field *f, const void *m, struct jw *w)
{
	AUTO(arena_done) struct arena mem = { 0 };
	jw_kstr(w, f->key, b64url_encode(&mem, *(const struct str *)at(m, f->at)));
}

static void put_bool(const struct field *f, const void *m, struct jw *w)
{
	jw_kbool(w, f->key, *(const bool *)at(m, f->at));
}

static void put_flag(const struct field *f, const void *m, struct jw *w)
{
	if (*(const bool *)at(m, f->at))
		jw_kbool(w, f->key, true);
}

static void put_time(const struct field *f, const void *m, struct jw *w)
{
	jw_ki64(w, f->key, *(const int64_t *)at(m, f->at));
}

static void put_method(const struct field *f, const void *m, struct jw *w)
{
	jw_kz(w, f->key, challenge_type_name(*(const enum challenge_type *)at(m, f->at)));
}

static void put_problem(const struct field *f, const void *m, struct jw *w)
{
	jw_kz(w, f->key, err_kind_name(*(const enum err_kind *)at(m, f->at)));
}

static const char *const caa_results[] = { [CAA_ALLOWED] = "allowed", [CAA_NOT_NEEDED] = "not-needed" };
static_assert(ARRAY_LEN(caa_results) == CAA_RESULT_COUNT, "name them all but the first, which is not written");

static void put_caa(const struct field *f, const void *m, struct jw *w)
{
	enum caa_result r = *(const enum caa_result *)at(m, f->at);
	if (r != CAA_NOT_CHECKED)
		jw_kz(w, f->key, caa_results[r]);
}

static void put_one_ident(const struct ident *id, struct jw *w)
{
	jw_object(w);
	jw_kz(w, "type", ident_type_name(id->type));
	jw_kstr(w, "value", id->value);
	jw_object_end(w);
}

static void put_ident(const struct field *f, const void *m, struct jw *w)
{
	jw_key(w, f->key);
	put_one_ident((const struct ident *)at(m, f->at), w);
}

static void put_idents(const struct field *f, const void *m, struct jw *w)
{
	const struct ident *v = *(struct ident *const *)at(m, f->at);
	jw_key(w, f->key);
	jw_array(w);
	for (size_t i = 0; i < *(const size_t *)at(m, f->count_at); i++)
		put_one_ident(&v[i], w);
	jw_array_end(w);
}

static void put_texts(const struct field *f, const void *m, struct jw *w)
{
	const struct str *v = *(struct str *const *)at(m, f->at);
	jw_key(w, f->key);
	jw_array(w);
	for (size_t i = 0; i < *(const size_t *)at(m, f->count_at); i++)
		jw_str(w, v[i]);
	jw_array_end(w);
}

static void put_steps(const struct field *f, const void *m, struct jw *w)
{
	const struct verdict_step *v = *(struct verdict_step *const *)at(m, f->at);
	jw_key(w, f->key);
	jw_array(w);
	for (size_t i = 0; i < *(const size_t *)at(m, f->count_at); i++) {
		jw_object(w);
		jw_kstr(w, "what", v[i].what);
		jw_kstr(w, "detail", v[i].detail);
		jw_object_end(w);
	}
	jw_array_end(w);
}

/* --- reading: types here, bounds and alphabets in the checks that follow ------------------------------------------*/
static fallible get_id(const struct field *f, struct arena *mem, const struct json *o, void *m, struct err *err)
{
	(void)mem;
	struct str s;
	TRY(json_want_str(o, f->key, ID_TEXT_LEN, &s, err));
	struct id *id = (struct id *)at_mut(m, f->at);
	*id = (struct id){ { 0 } };
	if (s.n == 0 && f->min == 0)
		return OK;
	return id_read(s, id, err);
}

static fallible get_text(const struct field *f, struct arena *mem, const struct json *o, void *m, struct err *err)
{
	struct str s;
	TRY(json_want_str(o, f->key, f->max, &s, err));
	*(struct str *)at_mut(m, f->at) = str_dup(mem, s);
	return OK;
}

static fallible get_bytes(const struct field *f, struct arena *mem, const struct json *o, void *m, struct err *err)
{
	struct str s;
	TRY(json_want_str(o, f->key, f->max / 3 * 4 + 4, &s, err));
	return b64url_decode(mem, s, f->max, (struct str *)at_mut(m, f->at), err);
}

static fallible get_bool(const struct field *f, struct arena *mem, const struct json *o, void *m, struct err *err)
{
	(void)mem;
	if (!json_as_bool(json_get(o, f->key), (bool *)at_mut(m, f->at)))
		FAIL(err, ERR_MALFORMED, "\"%s\" must be true or false", f->key);
	return OK;
}

static fallible get_flag(const struct field *f, struct arena *mem, const struct json *o, void *m, struct err *err)
{
	*(bool *)at_mut(m, f->at) = false;
	return json_get(o, f->key) == NULL ? OK : get_bool(f, mem, o, m, err);
}

static fallible get_time(const struct field *f, struct arena *mem, const struct json *o, void *m, struct err *err)
{
	(void)mem;
	return json_want_i64(o, f->key, 0, INT64_MAX, (int64_t *)at_mut(m, f->at), err);
}

static fallible get_method(const struct field *f, struct arena *mem, const struct json *o, void *m, struct err *err)
{
	(void)mem;
	struct str s;
	TRY(json_want_str(o, f->key, 32, &s, err));
	return challenge_type_read(s, (enum challenge_type *)at_mut(m, f->at), err);
}

static fallible get_problem(const struct field *f, struct arena *mem, const struct json *o, void *m, struct err *err)
{
	(void)mem;
	struct str s;
	TRY(json_want_str(o, f->key, 32, &s, err));
	for (unsigned k = ERR_NONE; k < ERR_KIND_COUNT; k++) {
		if (str_eq(s, str_z(err_kind_name((enum err_kind)k)))) {
			*(enum err_kind *)at_mut(m, f->at) = (enum err_kind)k;
			return OK;
		}
	}
	FAIL(err, ERR_MALFORMED, "\"%s\" is \"%.*s\", no kind of error", f->key, STR_FMT(s));
}

static fallible get_caa(const struct field *f, struct arena *mem, const struct json *o, void *m, struct err *err)
{
	(void)mem;
	struct str s;
	enum caa_result *to = (enum caa_result *)at_mut(m, f->at);
	*to = CAA_NOT_CHECKED;
	if (json_get(o, f->key) == NULL)
		return OK;
	TRY(json_want_str(o, f->key, 32, &s, err));
	for (unsigned r = CAA_NOT_CHECKED + 1; r < CAA_RESULT_COUNT; r++) {
		if (str_eq(s, str_z(caa_results[r]))) {
			*to = (enum caa_result)r;
			return OK;
		}
	}
	FAIL(err, ERR_MALFORMED, "\"%s\" is \"%.*s\", allowed and not-needed are known", f->key, STR_FMT(s));
}

static fallible get_one_ident(struct arena *mem, const struct json *v, struct ident *ret, struct err *err)
{
	static const char *const known[] = { "type", "value", NULL };
	if (json_type(v) != JSON_OBJECT)
		FAIL(err, ERR_MALFORMED, "an identifier must be an object");
	struct str type, value;
	TRY(json_only(v, known, err));
	TRY(json_want_str(v, "type", 16, &type, err));
	TRY(json_want_str(v, "value", IDENT_VALUE_MAX, &value, err));
	if (FAILED(ident_type_read(type, &ret->type, NULL)))
		FAIL(err, ERR_MALFORMED, "identifier type \"%.*s\" is not known", STR_FMT(type));
	ret->value = str_dup(mem, value);
	return OK;
}

static fallible get_ident(const struct field *f, struct arena *mem, const struct json *o, void *m, struct err *err)
{
	const struct json *v;
	TRY(json_want_object(o, f->key, &v, err));
	return get_one_ident(mem, v, (struct ident *)at_mut(m, f->at), err);
}

static fallible get_idents(const struct field *f, struct arena *mem, const struct json *o, void *m, struct err *err)
{
	const struct json *a;
	TRY(json_want_array(o, f->key, f->max, &a, err));
	size_t n = json_count(a);
	struct ident *v = ARENA_ARRAY(mem, struct ident, n);
	for (size_t i = 0; i < n; i++)
		TRY(get_one_ident(mem, json_at(a, i), &v[i], err));
	*(struct ident **)at_mut(m, f->at) = v;
	*(size_t *)at_mut(m, f->count_at) = n;
	return OK;
}

static fallible get_texts(const struct field *f, struct arena *mem, const struct json *o, void *m, struct err *err)
{
	const struct json *a;
	TRY(json_want_array(o, f->key, f->max, &a, err));
	size_t n = json_count(a);
	struct str *v = ARENA_ARRAY(mem, struct str, n);
	for (size_t i = 0; i < n; i++) {
		if (!json_as_str(json_at(a, i), &v[i]) || v[i].n > f->item_max)
			FAIL(err, ERR_MALFORMED, "\"%s\"[%zu] must be a string of at most %zu bytes", f->key, i,
			     f->item_max);
		v[i] = str_dup(mem, v[i]);
	}
	*(struct str **)at_mut(m, f->at) = v;
	*(size_t *)at_mut(m, f->count_at) = n;
	return OK;
}

static fallible get_steps(const struct field *f, struct arena *mem, const struct json *o, void *m, struct err *err)
{
	static const char *const known[] = { "what", "detail", NULL };
	const struct json *a;
	TRY(json_want_array(o, f->key, f->max, &a, err));
	size_t n = json_count(a);
	struct verdict_step *v = ARENA_ARRAY(mem, struct verdict_step, n);
	for (size_t i = 0; i < n; i++) {
		const struct json *step = json_at(a, i);
		if (json_type(step) != JSON_OBJECT)
			FAIL(err, ERR_MALFORMED, "\"%s\"[%zu] must be an object", f->key, i);
		TRY(json_only(step, known, err));
		TRY(json_want_str(step, "what", STEP_WHAT_MAX, &v[i].what, err));
		TRY(json_want_str(step, "detail", STEP_DETAIL_MAX, &v[i].detail, err));
		v[i] = (struct verdict_step){ str_dup(mem, v[i].what), str_dup(mem, v[i].detail) };
	}
	*(struct verdict_step **)at_mut(m, f->at) = v;
	*(size_t *)at_mut(m, f->count_at) = n;
	return OK;
}

static const struct field_ops {
	fallible (*check)(const struct field *f, const void *m, struct err *err);
	void (*put)(const struct field *f, const void *m, struct jw *w);
	fallible (*get)(const struct field *f, struct arena *mem, const struct json *o, void *m, struct err *err);
} ops[] = {
	[FIELD_ID] = { check_id, put_id, get_id },
	[FIELD_WORD] = { check_text, put_text, get_text },
	[FIELD_TEXT] = { check_text, put_text, get_text },
	[FIELD_LINES] = { check_text, put_text, get_text },
	[FIELD_UTF8] = { check_text, put_text, get_text },
	[FIELD_B64URL] = { check_text, put_text, get_text },
	[FIELD_HEX] = { check_text, put_text, get_text },
	[FIELD_TOKEN] = { check_text, put_text, get_text },
	[FIELD_BYTES] = { check_text, put_bytes, get_bytes },
	[FIELD_BOOL] = { check_bool, put_bool, get_bool },
	[FIELD_FLAG] = { check_bool, put_flag, get_flag },
	[FIELD_TIME] = { check_time, put_time, get_time },
	[FIELD_METHOD] = { check_method, put_method, get_method },
	[FIELD_PROBLEM] = { check_problem, put_problem, get_problem },
	[FIELD_CAA] = { check_caa, put_caa, get_caa },
	[FIELD_IDENT] = { check_ident, put_ident, get_ident },
	[FIELD_IDENTS] = { check_idents, put_idents, get_idents },
	[FIELD_TEXTS] = { check_texts, put_texts, get_texts },
	[FIELD_WORDS] = { check_texts, put_texts, get_texts },
	[FIELD_STEPS] = { check_steps, put_steps, get_steps },
};
static_assert(ARRAY_LEN(ops) == FIELD_KIND_COUNT, "every kind of field");

/* Of those that may lack. */
static bool is_lacking(const struct field *f, const void *m)
{
	if (!f->may_lack)
		return false;
	if (f->kind == FIELD_TEXTS || f->kind == FIELD_WORDS)
		return *(const size_t *)at(m, f->count_at) == 0;
	if (f->kind == FIELD_TIME)
		return *(const int64_t *)at(m, f->at) == 0;
	assert(alphabets[f->kind] != NULL);
	return ((const struct str *)at(m, f->at))->n == 0;
}

static fallible message_check(const struct message *d, const void *m, struct err *err)
{
	for (size_t i = 0; i < d->field_count; i++)
		if (!is_lacking(&d->fields[i], m))
			TRY(ops[d->fields[i].kind].check(&d->fields[i], m, err));
	if (d->check != NULL)
		TRY(d->check(m, err));
	return OK;
}

static fallible write_fields(const struct message *d, const void *m, struct buf *ret, struct err *err)
{
	TRY(message_check(d, m, err));
	size_t from = ret->n;
	struct jw w = jw_begin(ret, err);
	jw_object(&w);
	jw_ki64(&w, "v", JOB_VERSION);
	for (size_t i = 0; i < d->field_count; i++)
		if (!is_lacking(&d->fields[i], m))
			ops[d->fields[i].kind].put(&d->fields[i], m, &w);
	jw_object_end(&w);
	TRY(jw_end(&w));
	if (ret->n - from > d->text_max)
		FAIL(err, ERR_TOO_LARGE, "%zu bytes of JSON, at most %zu are allowed", ret->n - from, d->text_max);
	return OK;
}

fallible message_write(const struct message *d, const void *m, struct buf *ret, struct err *err)
{
	struct rc rc = write_fields(d, m, ret, err);
	if (FAILED(rc))
		err_prefix(err, "%s: ", d->name);
	return rc;
}

static fallible members_are_known(const struct message *d, const struct json *top, struct err *err)
{
	const char *known[MESSAGE_FIELDS_MAX + 2] = { "v" };
	size_t found = 1;
	assert(d->field_count <= MESSAGE_FIELDS_MAX);
	for (size_t i = 0; i < d->field_count; i++) {
		known[i + 1] = d->fields[i].key;
		found += json_get(top, d->fields[i].key) != NULL;
	}
	return found == json_count(top) ? OK : json_only(top, known, err); /* the list only when it is needed */
}

static fallible read_fields(const struct message *d, struct arena *mem, struct str text, void *ret, struct err *err)
{
	AUTO(json_auto) struct json *top = NULL;
	TRY(json_read(text, d->text_max, &top, err));

	/* The version first: another version's members would only be called unknown. */
	int64_t version;
	TRY(json_want_i64(top, "v", JOB_VERSION, JOB_VERSION, &version, err));
	TRY(members_are_known(d, top, err));
	for (size_t i = 0; i < d->field_count; i++) {
		const struct field *f = &d->fields[i];
		if (f->may_lack && json_get(top, f->key) == NULL)
			continue; /* empty already, in what the readers give */
		TRY(ops[f->kind].get(f, mem, top, ret, err));
		TRY(ops[f->kind].check(f, ret, err)); /* there, it is not empty */
	}
	return d->check == NULL ? OK : d->check(ret, err);
}

fallible message_read(const struct message *d, struct arena *mem, struct str text, void *ret, struct err *err)
{
	struct rc rc = read_fields(d, mem, text, ret, err);
	if (FAILED(rc))
		err_prefix(err, "%s: ", d->name);
	return rc;
}

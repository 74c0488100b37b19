/* SPDX-License-Identifier: Apache-2.0
 *
 * json_write.c: JSON straight into a buffer. Callers write what they mean and ask once, in jw_end, whether it worked;
 * a misuse (a key where none may be, an end without a begin) is our own mistake and comes out as ERR_INTERNAL there.
 */
#include "codec/codec.h"

#include <inttypes.h>
#include <stdio.h>

#define DEPTH_MAX 31 /* one bit of `has` a level */

struct jw jw_begin(struct buf *out, struct err *err)
{
	return (struct jw){ .out = out, .rc = OK, .err = err };
}

static bool broken(const struct jw *w)
{
	return w->rc.kind != ERR_NONE;
}

static void misuse(struct jw *w, const char *what)
{
	if (broken(w))
		return;
	err_set(w->err, ERR_INTERNAL, "JSON writer: %s", what);
	w->rc = (struct rc){ ERR_INTERNAL };
}

static void put(struct jw *w, struct str s)
{
	if (!broken(w))
		w->rc = buf_add(w->out, s, w->err);
}

/* What must stand before a key or a value at this place. */
static void separate(struct jw *w)
{
	if (w->after_key) {
		w->after_key = false;
		return;
	}
	uint32_t bit = UINT32_C(1) << w->depth;
	if ((w->has & bit) != 0) {
		if (w->depth == 0)
			misuse(w, "a second value at the top");
		put(w, STR(","));
	}
	w->has |= bit;
}

static void open_level(struct jw *w, struct str bracket)
{
	separate(w);
	if (w->depth >= DEPTH_MAX) {
		misuse(w, "nested too deeply");
		return;
	}
	put(w, bracket);
	w->depth++;
	w->has &= ~(UINT32_C(1) << w->depth);
}

static void close_level(struct jw *w, struct str bracket)
{
	if (w->depth == 0 || w->after_key) {
		misuse(w, "an end that has no begin");
		return;
	}
	put(w, bracket);
	w->depth--;
}

void jw_object(struct jw *w)
{
	open_level(w, STR("{"));
}

void jw_object_end(struct jw *w)
{
	close_level(w, STR("}"));
}

void jw_array(struct jw *w)
{
	open_level(w, STR("["));
}

void jw_array_end(struct jw *w)
{
	close_level(w, STR("]"));
}

size_t utf8_len(struct str s, size_t at)
{
	static const struct {
		uint8_t first_min, first_max, second_min, second_max;
		size_t len;
	} rows[] = {
		{ 0x00, 0x7f, 0, 0, 1 },       { 0xc2, 0xdf, 0x80, 0xbf, 2 }, { 0xe0, 0xe0, 0xa0, 0xbf, 3 },
		{ 0xe1, 0xec, 0x80, 0xbf, 3 }, { 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 },
		{ 0xf0, 0xf0, 0x90, 0xbf, 4 }, { 0xf1, 0xf3, 0x80, 0xbf, 4 }, { 0xf4, 0xf4, 0x80, 0x8f, 4 },
	};
	const uint8_t *p = (const uint8_t *)s.p + at;
	size_t left = s.n - at;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (p[0] < rows[i].first_min || p[0] > rows[i].first_max)
			continue;
		if (rows[i].len > left)
			return 0;
		if (rows[i].len > 1 && (p[1] < rows[i].second_min || p[1] > rows[i].second_max))
			return 0;
		for (size_t k = 2; k < rows[i].len; k++) {
			if (p[k] < 0x80 || p[k] > 0xbf)
				return 0;
		}
		return rows[i].len;
	}
	return 0;
}

#define EACH UINT64_C(0x0101010101010101)

size_t json_plain(struct str s)
{
	size_t at = 0;
	for (; s.n - at >= sizeof(uint64_t); at += sizeof(uint64_t)) {
		uint64_t w;
		memcpy(&w, s.p + at, sizeof w);
		/* A byte that is not plain sets a top bit: its own or its neighbour's, who is looked at below too. */
		uint64_t odd =
			w | (w + EACH) | (w - EACH * ' ') | ((w ^ EACH * '"') - EACH) | ((w ^ EACH * '\\') - EACH);
		if ((odd & EACH * 0x80) != 0)
			break;
	}
	while (at < s.n && s.p[at] >= ' ' && s.p[at] < 0x7f && s.p[at] != '"' && s.p[at] != '\\')
		at++;
	return at;
}

static void put_escaped(struct jw *w, unsigned code)
{
	char text[16];
	if (code == '"' || code == '\\') {
		text[0] = '\\';
		text[1] = (char)code;
		put(w, str_n(text, 2));
		return;
	}
	int n = snprintf(text, sizeof text, "\\u%04x", code);
	put(w, str_n(text, (size_t)n));
}

/* The code point of a well-formed sequence of two or three bytes; all that is escaped is among these. */
static unsigned code_of(const char *p, size_t len)
{
	unsigned a = (unsigned char)p[0], b = len > 1 ? (unsigned char)p[1] & 0x3f : 0;
	if (len == 3)
		return (a & 0x0f) << 12 | b << 6 | ((unsigned char)p[2] & 0x3f);
	return len == 2 ? (a & 0x1f) << 6 | b : a;
}

/* JSON asks for the first two only; but our JSON is shown on terminals, and a client's words come back in it: what they
 * obey (C1), and what hides or turns the text beside it, is shown as what it is (THREATS A81). */
static bool is_plain(const char *p, size_t len)
{
	if (len > 3)
		return true;
	unsigned c = code_of(p, len);
	if (c < 0x20 || c == '"' || c == '\\' || (c >= 0x7f && c < 0xa0))
		return false;
	bool turns = (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f);
	return !turns && c != 0x061c && c != 0xfeff;
}

static void put_string(struct jw *w, struct str v)
{
	put(w, STR("\""));
	size_t from = 0; /* what is plain goes out in runs */
	for (size_t at = 0; at < v.n && !broken(w);) {
		at += json_plain(str_sub(v, at, v.n));
		if (at == v.n)
			break;
		size_t len = utf8_len(v, at);
		if (len > 0 && is_plain(v.p + at, len)) {
			at += len;
			continue;
		}
		put(w, str_sub(v, from, at));
		if (len == 0)
			put(w, STR("\xef\xbf\xbd")); /* U+FFFD */
		else
			put_escaped(w, code_of(v.p + at, len));
		from = at += len > 0 ? len : 1;
	}
	put(w, str_sub(v, from, v.n));
	put(w, STR("\""));
}

void jw_key(struct jw *w, const char *key)
{
	if (w->depth == 0 || w->after_key) {
		misuse(w, "a key outside an object or behind a key");
		return;
	}
	separate(w);
	put_string(w, str_z(key));
	put(w, STR(":"));
	w->after_key = true;
}

void jw_str(struct jw *w, struct str v)
{
	separate(w);
	put_string(w, v);
}

void jw_i64(struct jw *w, int64_t v)
{
	char text[24];
	int n = snprintf(text, sizeof text, "%" PRId64, v);
	jw_raw(w, str_n(text, (size_t)n));
}

void jw_bool(struct jw *w, bool v)
{
	jw_raw(w, v ? STR("true") : STR("false"));
}

void jw_null(struct jw *w)
{
	jw_raw(w, STR("null"));
}

void jw_raw(struct jw *w, struct str json)
{
	separate(w);
	put(w, json);
}

fallible jw_end(struct jw *w)
{
	if (w->depth != 0 || w->after_key || (w->has & 1) == 0)
		misuse(w, "the text is not complete");
	return w->rc;
}

void jw_kstr(struct jw *w, const char *key, struct str v)
{
	jw_key(w, key);
	jw_str(w, v);
}

void jw_kz(struct jw *w, const char *key, const char *v)
{
	jw_kstr(w, key, str_z(v));
}

void jw_ki64(struct jw *w, const char *key, int64_t v)
{
	jw_key(w, key);
	jw_i64(w, v);
}

void jw_kbool(struct jw *w, const char *key, bool v)
{
	jw_key(w, key);
	jw_bool(w, v);
}

void jw_kid(struct jw *w, const char *key, struct id v)
{
	jw_kz(w, key, id_show(v).z);
}

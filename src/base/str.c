/* SPDX-License-Identifier: Apache-2.0
 *
 * str.c: slices, bounded buffers and cursors. Letters mean ASCII letters here: no locale is ever asked.
 */
#include "base/str.h"

#include "base/arena.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

static unsigned char ascii_lower(char c)
{
	return (unsigned char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

bool str_eq_nocase(struct str a, struct str b)
{
	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++) {
		if (ascii_lower(a.p[i]) != ascii_lower(b.p[i]))
			return false;
	}
	return true;
}

bool str_starts(struct str s, struct str prefix)
{
	return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}

bool str_ends(struct str s, struct str suffix)
{
	return s.n >= suffix.n && (suffix.n == 0 || memcmp(s.p + (s.n - suffix.n), suffix.p, suffix.n) == 0);
}

bool str_skip(struct str *s, struct str prefix)
{
	if (!str_starts(*s, prefix))
		return false;
	*s = str_sub(*s, prefix.n, s->n);
	return true;
}

size_t str_find(struct str s, char c, size_t from)
{
	if (from >= s.n)
		return s.n;
	const char *at = (const char *)memchr(s.p + from, c, s.n - from);
	return at == NULL ? s.n : (size_t)(at - s.p);
}

struct str str_sub(struct str s, size_t from, size_t to)
{
	if (to > s.n)
		to = s.n;
	if (from >= to)
		return (struct str){ s.p == NULL ? NULL : s.p + (from > s.n ? s.n : from), 0 };
	return (struct str){ s.p + from, to - from };
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

struct str str_trim(struct str s)
{
	size_t from = 0;
	size_t to = s.n;
	while (from < to && is_blank(s.p[from]))
		from++;
	while (to > from && is_blank(s.p[to - 1]))
		to--;
	return str_sub(s, from, to);
}

fallible str_u64(struct str s, uint64_t max, uint64_t *ret, struct err *err)
{
	if (s.n == 0)
		FAIL(err, ERR_MALFORMED, "a number is missing");
	if (s.n > 1 && s.p[0] == '0')
		FAIL(err, ERR_MALFORMED, "number \"%.*s\" has a leading zero", STR_FMT(str_sub(s, 0, 32)));
	uint64_t v = 0;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			FAIL(err, ERR_MALFORMED, "\"%.*s\" is not a number", STR_FMT(str_sub(s, 0, 32)));
		if (__builtin_mul_overflow(v, (uint64_t)10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(s.p[i] - '0'), &v) || v > max)
			FAIL(err, ERR_MALFORMED, "number %.*s is over %llu", STR_FMT(str_sub(s, 0, 32)),
			     (unsigned long long)max);
	}
	*ret = v;
	return OK;
}

/* --- buffers -----------------------------------------------------------------------------------------------------*/

void buf_done(struct buf *b)
{
	if (b == NULL)
		return;
	free(b->p);
	*b = (struct buf)BUF_MAX(b->max);
}

void buf_reset(struct buf *b)
{
	b->n = 0;
}

fallible buf_room(struct buf *b, size_t n, char **ret, struct err *err)
{
	assert(b->n <= b->cap || b->p == NULL);
	if (b->n > b->max || n > b->max - b->n)
		FAIL(err, ERR_TOO_LARGE, "%zu bytes after %zu are over the limit of %zu", n, b->n, b->max);
	size_t need = b->n + n;
	if (b->p == NULL || need > b->cap) {
		size_t cap = b->cap < 64 ? 64 : b->cap;
		while (cap < need) {
			if (__builtin_mul_overflow(cap, (size_t)2, &cap))
				cap = need;
		}
		if (cap > b->max)
			cap = b->max;
		if (cap == SIZE_MAX)
			cap--; /* the allocator refuses this anyway; the byte below must not wrap */
		b->p = (char *)mem_grow(b->p, 1, cap + 1); /* one more than cap: vsnprintf ends with a NUL */
		b->cap = cap;
	}
	*ret = b->p + b->n;
	return OK;
}

fallible buf_add(struct buf *b, struct str s, struct err *err)
{
	if (s.n == 0)
		return OK;
	char *at = NULL;
	TRY(buf_room(b, s.n, &at, err));
	memcpy(at, s.p, s.n);
	b->n += s.n;
	return OK;
}

fallible buf_add_char(struct buf *b, char c, struct err *err)
{
	char *at = NULL;
	TRY(buf_room(b, 1, &at, err));
	*at = c;
	b->n++;
	return OK;
}

fallible buf_addf(struct buf *b, struct err *err, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	int len = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	if (len < 0)
		FAIL(err, ERR_INTERNAL, "text could not be formatted");
	char *at = NULL;
	TRY(buf_room(b, (size_t)len, &at, err));
	va_start(args, fmt);
	(void)vsnprintf(at, (size_t)len + 1, fmt, args);
	va_end(args);
	b->n += (size_t)len;
	return OK;
}

void buf_eat(struct buf *b, size_t n)
{
	assert(n <= b->n);
	if (n == 0)
		return;
	b->n -= n;
	if (b->n > 0)
		memmove(b->p, b->p + n, b->n);
}

/* --- cursors -----------------------------------------------------------------------------------------------------*/

static fallible cur_uint(struct cur *c, size_t n, uint64_t *ret, struct err *err)
{
	struct str s = STR_NONE;
	TRY(cur_take(c, n, &s, err));
	uint64_t v = 0;
	for (size_t i = 0; i < n; i++)
		v = v << 8 | (unsigned char)s.p[i];
	*ret = v;
	return OK;
}

fallible cur_u8(struct cur *c, uint8_t *ret, struct err *err)
{
	uint64_t v = 0;
	TRY(cur_uint(c, 1, &v, err));
	*ret = (uint8_t)v;
	return OK;
}

fallible cur_u16(struct cur *c, uint16_t *ret, struct err *err)
{
	uint64_t v = 0;
	TRY(cur_uint(c, 2, &v, err));
	*ret = (uint16_t)v;
	return OK;
}

fallible cur_u32(struct cur *c, uint32_t *ret, struct err *err)
{
	uint64_t v = 0;
	TRY(cur_uint(c, 4, &v, err));
	*ret = (uint32_t)v;
	return OK;
}

fallible cur_u64(struct cur *c, uint64_t *ret, struct err *err)
{
	return cur_uint(c, 8, ret, err);
}

fallible cur_take(struct cur *c, size_t n, struct str *ret, struct err *err)
{
	size_t left = cur_left(c);
	if (n > left)
		FAIL(err, ERR_MALFORMED, "%zu bytes are wanted, %zu are left", n, left);
	*ret = (struct str){ c->p, n };
	if (n > 0)
		c->p += n;
	return OK;
}

fallible cur_until(struct cur *c, char sep, struct str *ret, struct err *err)
{
	struct str left = { c->p, cur_left(c) };
	size_t at = str_find(left, sep, 0);
	if (at == left.n)
		FAIL(err, ERR_MALFORMED, "a \"%c\" is missing", sep);
	*ret = (struct str){ c->p, at };
	c->p += at + 1;
	return OK;
}

struct str cur_rest(struct cur *c)
{
	struct str rest = { c->p, cur_left(c) };
	c->p = c->end;
	return rest;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * str.h: text and bytes as slices; growing buffers with a hard maximum; a cursor for parsers.
 */
#ifndef CAIRN_BASE_STR_H
#define CAIRN_BASE_STR_H

#include "base/err.h"

#include <string.h>

/* A borrowed slice: bytes, not necessarily text, never assumed NUL-terminated. { NULL, 0 } is the empty slice. */
struct str {
	const char *p;
	size_t n;
};

#define STR(lit) ((struct str){ "" lit, sizeof(lit) - 1 })
#define STR_NONE ((struct str){ NULL, 0 })
#define STR_FMT(s) (int)((s).n > 4096 ? 4096 : (s).n), ((s).p == NULL ? "" : (s).p) /* for "%.*s" */

static inline struct str str_z(const char *z) /* NULL gives the empty slice */
{
	return (struct str){ z, z == NULL ? 0 : strlen(z) };
}

static inline struct str str_n(const void *p, size_t n)
{
	return (struct str){ (const char *)p, n };
}

static inline bool str_eq(struct str a, struct str b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool str_eq_nocase(struct str a, struct str b); /* ASCII only */
bool str_starts(struct str s, struct str prefix);
bool str_ends(struct str s, struct str suffix);
/* Cuts `prefix` off the front of *s and says true, or leaves *s. */
bool str_skip(struct str *s, struct str prefix);
/* Index of the first c at or after from; s.n when there is none. */
size_t str_find(struct str s, char c, size_t from);
struct str str_sub(struct str s, size_t from, size_t to); /* clamped to the slice */
struct str str_trim(struct str s);                        /* spaces and tabs at both ends */
/* Whole slice as an unsigned decimal: no sign, no blank, no leading zero (but "0"). */
fallible str_u64(struct str s, uint64_t max, uint64_t *ret, struct err *err);

/* A growing buffer that fails at its maximum and never truncates. Heap-owned; buf_done frees. */
struct buf {
	char *p;
	size_t n, cap, max;
};

#define BUF_MAX(m)                                      \
	{                                               \
		.p = NULL, .n = 0, .cap = 0, .max = (m) \
	}

void buf_done(struct buf *b);  /* accepts NULL; leaves an empty buffer with the same maximum */
void buf_reset(struct buf *b); /* length 0, storage kept */
fallible buf_add(struct buf *b, struct str s, struct err *err);
fallible buf_add_char(struct buf *b, char c, struct err *err);
fallible buf_addf(struct buf *b, struct err *err, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Makes room for n more bytes and gives where they go; the caller then raises b->n by what it wrote. */
fallible buf_room(struct buf *b, size_t n, char **ret, struct err *err);
/* Drops n bytes from the front (n <= b->n). */
void buf_eat(struct buf *b, size_t n);
static inline struct str buf_str(const struct buf *b)
{
	return (struct str){ b->p, b->n };
}

/* A cursor eats its slice from the front. */
struct cur {
	const char *p;
	const char *end;
};

static inline struct cur cur_of(struct str s)
{
	return (struct cur){ s.p, s.p == NULL ? NULL : s.p + s.n };
}
static inline size_t cur_left(const struct cur *c)
{
	return c->p == NULL ? 0 : (size_t)(c->end - c->p);
}
static inline bool cur_end(const struct cur *c)
{
	return cur_left(c) == 0;
}
fallible cur_u8(struct cur *c, uint8_t *ret, struct err *err);
fallible cur_u16(struct cur *c, uint16_t *ret, struct err *err); /* big endian, as all of these */
fallible cur_u32(struct cur *c, uint32_t *ret, struct err *err);
fallible cur_u64(struct cur *c, uint64_t *ret, struct err *err);
fallible cur_take(struct cur *c, size_t n, struct str *ret, struct err *err);
/* Up to the first `sep`, which is eaten and not returned; fails when there is none. */
fallible cur_until(struct cur *c, char sep, struct str *ret, struct err *err);
struct str cur_rest(struct cur *c);

#endif

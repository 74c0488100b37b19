/* SPDX-License-Identifier: Apache-2.0
 *
 * arena.h: one arena per request or job; everything in it dies at once.
 *
 * Out of memory ends the process with a line on stderr (docs/decisions/0001-out-of-memory.md): every input is
 * bounded before it reaches an arena, a killed program loses nothing acknowledged, and the supervisor starts it again.
 */
#ifndef CAIRN_BASE_ARENA_H
#define CAIRN_BASE_ARENA_H

#include "base/str.h"

struct arena_block;
struct arena {
	struct arena_block *blocks;
	size_t total; /* bytes handed out, for tests and limits */
};

#define ARENA_NEW(mem, type) ((type *)arena_alloc((mem), sizeof(type)))
#define ARENA_ARRAY(mem, type, count) ((type *)arena_alloc_n((mem), sizeof(type), (count)))

void *arena_alloc(struct arena *mem, size_t n);                    /* zeroed, aligned for any type, never NULL */
void *arena_alloc_n(struct arena *mem, size_t size, size_t count); /* overflow ends the process */
void arena_done(struct arena *mem);                                /* accepts NULL; the arena may be used again */
struct str str_dup(struct arena *mem, struct str s);
char *str_dupz_raw(struct arena *mem, struct str s); /* NUL-terminated copy of text that is known to hold no NUL */
/* NUL-terminated copy for a C library; refuses an inner NUL as ERR_MALFORMED. */
fallible str_dupz(struct arena *mem, struct str s, char **ret, struct err *err);
struct str str_fmt(struct arena *mem, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
struct str str_cat(struct arena *mem, const struct str *parts, size_t count); /* one behind the other */
#define STR_CAT(mem, ...) \
	str_cat((mem), (const struct str[]){ __VA_ARGS__ }, ARRAY_LEN(((const struct str[]){ __VA_ARGS__ })))

/* Heap twins for what outlives a request: zeroed, never NULL; free() returns them. mem_grow is realloc: what is new
 * is not zeroed, because it does not know what was there before. */
void *mem_alloc(size_t n);
_Noreturn void mem_die(void); /* for who takes memory from the system directly: no memory ends the program */
void *mem_alloc_n(size_t size, size_t count);
void *mem_grow(void *p, size_t size, size_t count);
char *mem_dupz(struct str s);

#endif

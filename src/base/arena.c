/* SPDX-License-Identifier: Apache-2.0
 *
 * arena.c: blocks on a list, filled from the front. A block is at least 4 KiB; what does not fit the newest block
 * gets a new one, so the waste is bounded and nothing is ever moved.
 */
#include "base/arena.h"

#include <assert.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_BLOCK_MIN 0
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) && !defined(ARENA_BLOCK_MIN)
#define ARENA_BLOCK_MIN 0 /* every allocation alone, so that the sanitizer sees one run into the next */
#endif
#ifndef ARENA_BLOCK_MIN
#define ARENA_BLOCK_MIN 4096
#endif

struct arena_block {
	struct arena_block *next;
	size_t used;
	size_t cap;
	alignas(max_align_t) unsigned char bytes[];
};

void mem_die(void)
{
	static const char line[] = "cairn: out of memory\n";
	ssize_t ignored = write(STDERR_FILENO, line, sizeof line - 1);
	(void)ignored; /* nobody is left to tell */
	abort();
}

static size_t mul_or_die(size_t size, size_t count)
{
	size_t n;
	if (__builtin_mul_overflow(size, count, &n))
		mem_die();
	return n;
}

void *mem_alloc(size_t n)
{
	void *p = calloc(1, n == 0 ? 1 : n);
	if (p == NULL)
		mem_die();
	return p;
}

void *mem_alloc_n(size_t size, size_t count)
{
	return mem_alloc(mul_or_die(size, count));
}

void *mem_grow(void *p, size_t size, size_t count)
{
	size_t n = mul_or_die(size, count);
	void *grown = realloc(p, n == 0 ? 1 : n);
	if (grown == NULL)
		mem_die();
	return grown;
}

char *mem_dupz(struct str s)
{
	if (s.n == SIZE_MAX)
		mem_die();
	char *z = (char *)mem_alloc(s.n + 1);
	if (s.n > 0)
		memcpy(z, s.p, s.n);
	return z;
}

static struct arena_block *block_new(struct arena *mem, size_t n)
{
	size_t cap = n > ARENA_BLOCK_MIN ? n : ARENA_BLOCK_MIN;
	size_t total;
	if (__builtin_add_overflow(cap, sizeof(struct arena_block), &total))
		mem_die();
	struct arena_block *b = (struct arena_block *)malloc(total);
	if (b == NULL)
		mem_die();
	b->used = 0;
	b->cap = cap;
	b->next = mem->blocks;
	mem->blocks = b;
	return b;
}

/* Where the next allocation begins in a block; its cap when there is no room. */
static size_t block_from(const struct arena_block *b)
{
	const size_t align = alignof(max_align_t);
	size_t from = (b->used + align - 1) / align * align;
	return from < b->cap ? from : b->cap;
}

/* Not zeroed: for who writes all of it. */
static void *arena_take(struct arena *mem, size_t n)
{
	struct arena_block *b = mem->blocks;
	size_t want = n == 0 ? 1 : n;
	size_t from = b == NULL ? 0 : block_from(b);
	if (b == NULL || want > b->cap - from) {
		b = block_new(mem, want);
		from = 0;
	}
	b->used = from + want;
	mem->total += n;
	return b->bytes + from;
}

void *arena_alloc(struct arena *mem, size_t n)
{
	return memset(arena_take(mem, n), 0, n == 0 ? 1 : n);
}

void *arena_alloc_n(struct arena *mem, size_t size, size_t count)
{
	return arena_alloc(mem, mul_or_die(size, count));
}

void arena_done(struct arena *mem)
{
	if (mem == NULL)
		return;
	for (struct arena_block *b = mem->blocks; b != NULL;) {
		struct arena_block *next = b->next;
		free(b);
		b = next;
	}
	*mem = (struct arena){ 0 };
}

struct str str_dup(struct arena *mem, struct str s)
{
	if (s.n == 0)
		return STR("");
	char *p = (char *)arena_take(mem, s.n);
	memcpy(p, s.p, s.n);
	return (struct str){ p, s.n };
}

char *str_dupz_raw(struct arena *mem, struct str s)
{
	if (s.n == SIZE_MAX)
		mem_die();
	char *z = (char *)arena_take(mem, s.n + 1);
	if (s.n > 0)
		memcpy(z, s.p, s.n);
	z[s.n] = '\0';
	return z;
}

fallible str_dupz(struct arena *mem, struct str s, char **ret, struct err *err)
{
	size_t at = str_find(s, '\0', 0);
	if (at < s.n)
		FAIL(err, ERR_MALFORMED, "text holds a NUL at byte %zu", at);
	*ret = str_dupz_raw(mem, s);
	return OK;
}

struct str str_fmt(struct arena *mem, const char *fmt, ...)
{
	assert(fmt != NULL); /* also keeps gcc's UBSan from inventing a path with no format */
	va_list args;
	va_start(args, fmt);
	va_list again;
	va_copy(again, args);
	struct arena_block *b = mem->blocks;
	size_t from = b == NULL ? 0 : block_from(b), room = b == NULL ? 0 : b->cap - from;
	/* Into the newest block's rest, where it stays: nearly always it fits. */
	int len = vsnprintf(room == 0 ? NULL : (char *)b->bytes + from, room, fmt, args);
	va_end(args);
	if (len < 0)
		len = 0; /* over INT_MAX, or a wide character without a locale: neither is ours */
	bool fits = (size_t)len < room;
	char *p = (char *)arena_take(mem, (size_t)len + 1);
	p[len] = '\0';
	if (len > 0 && !fits)
		len = vsnprintf(p, (size_t)len + 1, fmt, again);
	va_end(again);
	return (struct str){ p, (size_t)len };
}

struct str str_cat(struct arena *mem, const struct str *parts, size_t count)
{
	size_t n = 0;
	for (size_t i = 0; i < count; i++)
		if (__builtin_add_overflow(n, parts[i].n, &n))
			mem_die();
	char *p = (char *)arena_take(mem, n), *at = p;
	for (size_t i = 0; i < count; i++) {
		if (parts[i].n > 0)
			memcpy(at, parts[i].p, parts[i].n);
		at += parts[i].n;
	}
	return (struct str){ p, n };
}

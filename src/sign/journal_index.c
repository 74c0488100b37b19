/* SPDX-License-Identifier: Apache-2.0
 *
 * journal_index.c: keyed hash -> place in the journal, 16 bytes a slot, in generations. A full generation is left as it
 * is and a larger one begun, so nothing is ever rehashed, and the old ones go away whole once all in them is older than
 * keep_ms. The hash is 64 bits under a secret key: two keys that meet are a matter of chance alone (10^-8 at a million
 * entries), and the reader compares what it finds with what it looked for.
 */
#include "sign/journal_internal.h"

#include <stdlib.h>

#define GEN_FIRST ((size_t)4096)
#define GEN_LARGEST ((size_t)1 << 20)

struct slot {
	uint64_t hash;
	uint64_t loc; /* 0: empty */
};
struct index_gen {
	struct index_gen *older;
	size_t cap, used; /* cap is a power of two */
	int64_t youngest_ms;
	struct slot *slots;
};

static struct index_gen *gen_new(size_t cap, struct index_gen *older)
{
	struct index_gen *g = mem_alloc(sizeof *g);
	g->slots = mem_alloc_n(sizeof *g->slots, cap);
	g->cap = cap;
	g->older = older;
	g->youngest_ms = INT64_MIN;
	return g;
}

static void gens_free(struct index_gen *g)
{
	while (g != NULL) {
		struct index_gen *older = g->older;
		free(g->slots);
		free(g);
		g = older;
	}
}

void index_init(struct index *ix, int64_t keep_ms)
{
	rng_fill(&rng_system, ix->key, sizeof ix->key);
	ix->keep_ms = keep_ms;
	ix->newest = gen_new(GEN_FIRST, NULL);
}

void index_done(struct index *ix)
{
	gens_free(ix->newest);
	ix->newest = NULL;
}

uint64_t index_hash(const struct index *ix, char what, struct str key)
{
	char text[1 + SERIAL_TEXT_MAX];
	size_t n = key.n < SERIAL_TEXT_MAX ? key.n : SERIAL_TEXT_MAX;
	text[0] = what;
	if (n > 0)
		memcpy(text + 1, key.p, n);
	return hash_keyed(ix->key, str_n(text, 1 + n));
}

/* The slot that holds hash, or the empty one where it would go. Never full: index_put sees to it. */
static struct slot *gen_slot(const struct index_gen *g, uint64_t hash)
{
	size_t i = (size_t)hash & (g->cap - 1);
	while (g->slots[i].loc != 0 && g->slots[i].hash != hash)
		i = (i + 1) & (g->cap - 1);
	return &g->slots[i];
}

void index_put(struct index *ix, uint64_t hash, uint64_t loc, int64_t at_ms)
{
	struct index_gen *g = ix->newest;
	struct slot *s = gen_slot(g, hash);
	if (s->loc == 0 && g->used + 1 > g->cap / 10 * 7) {
		size_t cap = g->cap < GEN_LARGEST ? g->cap * 2 : GEN_LARGEST;
		g = ix->newest = gen_new(cap, g);
		s = gen_slot(g, hash);
	}
	g->used += s->loc == 0;
	*s = (struct slot){ hash, loc };
	if (at_ms > g->youngest_ms)
		g->youngest_ms = at_ms;
}

uint64_t index_get(const struct index *ix, uint64_t hash)
{
	for (const struct index_gen *g = ix->newest; g != NULL; g = g->older) {
		const struct slot *s = gen_slot(g, hash);
		if (s->loc != 0)
			return s->loc;
	}
	return 0;
}

void index_expire(struct index *ix, int64_t now_ms)
{
	int64_t oldest;
	if (__builtin_sub_overflow(now_ms, ix->keep_ms, &oldest))
		return;
	for (struct index_gen *g = ix->newest; g->older != NULL; g = g->older) {
		if (g->older->youngest_ms < oldest) {
			gens_free(TAKE(g->older)); /* those behind it are older still */
			return;
		}
	}
}

size_t index_bytes(const struct index *ix)
{
	size_t n = 0;
	for (const struct index_gen *g = ix->newest; g != NULL; g = g->older)
		n += g->cap * sizeof *g->slots;
	return n;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * fixture.h: what the tests here set up and take down alike: a world, and an account or two in it.
 */
#ifndef CAIRN_TESTS_WORLD_FIXTURE_H
#define CAIRN_TESTS_WORLD_FIXTURE_H

#include "unit.h"
#include "world.h"

#include <stdlib.h>

/* How each struct fixture begins; bob is only there where fixture_new was asked for two accounts. */
#define FIXTURE         \
	struct world w; \
	struct world_account alice, bob
struct fixture_begin {
	FIXTURE;
};

/* All zero but for what is opened. */
static inline void *fixture_new(size_t size, const char *realm_text, unsigned accounts)
{
	struct err err = { 0 };
	struct fixture_begin *f = mem_alloc(size);
	MUST(world_open(&f->w, realm_text, &err));
	if (accounts > 0)
		MUST(world_account_new(&f->w, &f->alice, &err));
	if (accounts > 1)
		MUST(world_account_new(&f->w, &f->bob, &err));
	return f;
}

/* What a fixture has beyond its beginning goes before. */
static inline int fixture_free(void **state)
{
	struct fixture_begin *f = *state;
	key_free(f->alice.key);
	key_free(f->bob.key);
	world_close(&f->w);
	free(f);
	return 0;
}

#endif

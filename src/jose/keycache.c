/* SPDX-License-Identifier: Apache-2.0
 *
 * keycache.c: account keys decoded once. The cache is keyed by thumbprint, so it can never give a wrong or an outdated
 * key: which thumbprint an account has is read from the store with each request, and the signer computes it.
 */
#include "jose/jose.h"

#include <pthread.h>
#include <stdlib.h>

#define SETS 1024
#define WAYS 4

struct slot {
	struct thumbprint thumbprint;
	struct key *key;
	uint64_t used;
};
struct set {
	pthread_mutex_t lock;
	uint64_t tick;
	struct slot slots[WAYS];
};
struct keycache {
	uint8_t hash_key[16];
	struct set sets[SETS];
};

fallible keycache_new(struct keycache **ret, struct err *err)
{
	(void)err;
	struct keycache *k = mem_alloc(sizeof *k);
	rng_fill(&rng_system, k->hash_key, sizeof k->hash_key);
	for (size_t i = 0; i < SETS; i++)
		pthread_mutex_init(&k->sets[i].lock, NULL);
	*ret = k;
	return OK;
}

void keycache_free(struct keycache *k)
{
	if (k == NULL)
		return;
	for (size_t i = 0; i < SETS; i++) {
		pthread_mutex_destroy(&k->sets[i].lock);
		for (size_t w = 0; w < WAYS; w++)
			key_free(k->sets[i].slots[w].key);
	}
	free(k);
}

static struct key *set_find(struct set *s, struct str thumbprint)
{
	for (size_t w = 0; w < WAYS; w++) {
		struct slot *slot = &s->slots[w];
		if (slot->key == NULL || !str_eq(str_n(slot->thumbprint.z, THUMBPRINT_LEN), thumbprint))
			continue;
		slot->used = ++s->tick;
		return key_ref(slot->key);
	}
	return NULL;
}

/* Takes the least recently used place; *ret_old is what stood there, to be freed outside the lock. */
static void set_put(struct set *s, struct str thumbprint, struct key *key, struct key **ret_old)
{
	struct slot *victim = &s->slots[0];
	for (size_t w = 1; w < WAYS; w++)
		if (s->slots[w].used < victim->used)
			victim = &s->slots[w];
	*ret_old = victim->key;
	memcpy(victim->thumbprint.z, thumbprint.p, THUMBPRINT_LEN);
	victim->key = key_ref(key);
	victim->used = ++s->tick;
}

static struct set *set_of(struct keycache *k, struct str thumbprint)
{
	return &k->sets[hash_keyed(k->hash_key, thumbprint) % SETS];
}

struct key *keycache_find(struct keycache *k, struct str thumbprint)
{
	struct set *s = set_of(k, thumbprint);
	pthread_mutex_lock(&s->lock);
	struct key *found = set_find(s, thumbprint);
	pthread_mutex_unlock(&s->lock);
	return found;
}

static void cache_put(struct keycache *k, struct str thumbprint, struct key *key)
{
	AUTO(key_auto) struct key *old = NULL;
	struct set *s = set_of(k, thumbprint);
	pthread_mutex_lock(&s->lock);
	set_put(s, thumbprint, key, &old);
	pthread_mutex_unlock(&s->lock);
}

fallible keycache_get(struct keycache *k, struct str thumbprint, struct str jwk, struct key **ret, struct err *err)
{
	if (thumbprint.n != THUMBPRINT_LEN)
		FAIL(err, ERR_INTERNAL, "a stored thumbprint has %zu characters", thumbprint.n);
	struct key *found = keycache_find(k, thumbprint);
	if (found == NULL) {
		TRY(jwk_read_text(jwk, &found, err));
		cache_put(k, thumbprint, found);
	}
	*ret = found;
	return OK;
}

fallible keycache_read(struct keycache *k, const struct crypto *c, struct str jwk, struct thumbprint *ret_thumbprint,
		       struct key **ret, struct err *err)
{
	AUTO(key_auto) struct key *key = NULL;
	struct thumbprint of_text, of_key;
	TRY(jwk_thumbprint_of_text(c, jwk, &of_text, err));
	struct key *found = k == NULL ? NULL : keycache_find(k, str_n(of_text.z, THUMBPRINT_LEN));
	if (found != NULL) { /* what is kept under a hash of this text was made of this text */
		*ret_thumbprint = of_text;
		*ret = found;
		return OK;
	}
	TRY(jwk_read_text(jwk, &key, err));
	TRY(jwk_thumbprint(c, key, &of_key, err));
	if (k != NULL && memcmp(of_key.z, of_text.z, THUMBPRINT_LEN) == 0)
		cache_put(k, str_n(of_key.z, THUMBPRINT_LEN), key);
	*ret_thumbprint = of_key;
	*ret = TAKE(key);
	return OK;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * signers.c: which key an account had when it was last looked at, so that its next request's signature can be verified
 * before the store is asked. Only a guess: whoever goes by it reads the account, with what it asked for, in one
 * transaction, and refuses when the key is another one by now (gate.c).
 */
#include "acme/app.h"

#include <stdlib.h>

#define PLACES 4096 /* whoever comes to a taken one takes it over */
#define LOCKS 64

struct place {
	struct id account; /* zero: free */
	struct thumbprint thumbprint;
};
struct signers {
	uint8_t hash_key[16];
	pthread_mutex_t locks[LOCKS];
	struct place places[PLACES];
};

struct signers *signers_new(void)
{
	struct signers *s = mem_alloc(sizeof *s);
	rng_fill(&rng_system, s->hash_key, sizeof s->hash_key);
	for (size_t i = 0; i < LOCKS; i++)
		pthread_mutex_init(&s->locks[i], NULL);
	return s;
}

void signers_free(struct signers *s)
{
	if (s == NULL)
		return;
	for (size_t i = 0; i < LOCKS; i++)
		pthread_mutex_destroy(&s->locks[i]);
	free(s);
}

/* Locked. */
static struct place *place_of(struct signers *s, struct id account, pthread_mutex_t **ret_lock)
{
	size_t at = hash_keyed(s->hash_key, str_n(account.b, sizeof account.b)) % PLACES;
	*ret_lock = &s->locks[at % LOCKS];
	pthread_mutex_lock(*ret_lock);
	return &s->places[at];
}

bool signers_find(struct signers *s, struct id account, struct thumbprint *ret)
{
	pthread_mutex_t *lock;
	const struct place *p = place_of(s, account, &lock);
	bool found = !id_is_zero(account) && id_eq(p->account, account);
	if (found)
		*ret = p->thumbprint;
	pthread_mutex_unlock(lock);
	return found;
}

void signers_keep(struct signers *s, struct id account, const struct thumbprint *thumbprint)
{
	pthread_mutex_t *lock;
	struct place *p = place_of(s, account, &lock);
	*p = (struct place){ account, *thumbprint };
	pthread_mutex_unlock(lock);
}

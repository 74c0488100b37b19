/* SPDX-License-Identifier: Apache-2.0
 *
 * peers.c: a chained hash table with a secret hash key, so that nobody can choose addresses that collide (THREATS A72).
 */
#include "http/peers.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

#define BUCKETS 4096u

struct peer {
	struct peer *next;
	struct addr addr;
	unsigned count, shaking;
};

struct peers {
	pthread_mutex_t lock;
	uint8_t key[16];
	unsigned max_each;
	struct peer *buckets[BUCKETS];
};

struct peers *peers_new(unsigned max_each)
{
	struct peers *p = mem_alloc(sizeof *p);
	pthread_mutex_init(&p->lock, NULL);
	rng_fill(&rng_system, p->key, sizeof p->key);
	p->max_each = max_each;
	return p;
}

void peers_free(struct peers *p)
{
	if (p == NULL)
		return;
	for (unsigned i = 0; i < BUCKETS; i++) {
		while (p->buckets[i] != NULL) {
			struct peer *e = p->buckets[i];
			p->buckets[i] = e->next;
			free(e);
		}
	}
	pthread_mutex_destroy(&p->lock);
	free(p);
}

static struct addr network_of(const struct addr *a, size_t v6_bytes)
{
	struct addr r = { .family = a->family };
	memcpy(r.b, a->b, a->family == AF_INET6 ? v6_bytes : sizeof r.b);
	return r;
}

static struct addr client_of(const struct addr *a)
{
	return network_of(a, 8);
}

/* With the family: else an IPv4 address is also the IPv6 network of the same bytes. */
static uint64_t hash_of(const struct peers *p, const struct addr *client)
{
	char bytes[1 + sizeof client->b] = { client->family == AF_INET6 ? '6' : '4' };
	memcpy(bytes + 1, client->b, sizeof client->b);
	return hash_keyed(p->key, str_n(bytes, sizeof bytes));
}

uint64_t peers_key(const struct peers *p, const struct addr *a)
{
	struct addr site = network_of(a, 6);
	return hash_of(p, &site);
}

/* Where the entry hangs, or the end of its chain. */
static struct peer **find(struct peers *p, const struct addr *client)
{
	struct peer **at = &p->buckets[hash_of(p, client) % BUCKETS];
	while (*at != NULL && !addr_eq(&(*at)->addr, client))
		at = &(*at)->next;
	return at;
}

bool peers_enter(struct peers *p, const struct addr *a)
{
	struct addr client = client_of(a);
	pthread_mutex_lock(&p->lock);
	struct peer **at = find(p, &client);
	if (*at == NULL) {
		*at = mem_alloc(sizeof **at);
		(*at)->addr = client;
	}
	bool ok = p->max_each == 0 || (*at)->count < p->max_each;
	if (ok)
		(*at)->count++;
	pthread_mutex_unlock(&p->lock);
	return ok;
}

void peers_leave(struct peers *p, const struct addr *a)
{
	struct addr client = client_of(a);
	pthread_mutex_lock(&p->lock);
	struct peer **at = find(p, &client);
	assert(*at != NULL && (*at)->count > 0);
	if (--(*at)->count == 0) {
		struct peer *gone = *at;
		*at = gone->next;
		free(gone);
	}
	pthread_mutex_unlock(&p->lock);
}

unsigned peers_shaking(struct peers *p, const struct addr *a, bool begins)
{
	struct addr client = client_of(a);
	pthread_mutex_lock(&p->lock);
	struct peer *peer = *find(p, &client);
	assert(peer != NULL && (begins || peer->shaking > 0));
	unsigned n = begins ? ++peer->shaking : --peer->shaking;
	pthread_mutex_unlock(&p->lock);
	return n;
}

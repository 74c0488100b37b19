/* SPDX-License-Identifier: Apache-2.0
 *
 * patience.c: how long an order's clients have waited for verdicts while they still had other names to ask for. One who asks
 * for a hundred names at once waits for all of them together; one who asks for them one after the other waits a hundred
 * times, where the validations could have run beside each other. So an order has one budget for all of its waits, which
 * runs only once at a time; and an outcome that came in time earns back the poll that it saved. One that does not come tells that validation is slow: then nobody of this order
 * waits any more. What is forgotten here (by a
 * restart, or because many orders came since) is a budget that begins anew.
 */
#include "acme/app.h"

#include <stdlib.h>

#define SETS 256u
#define WAYS 4u
/* What a poll costs its client: a round trip and a read. */
#define POLL_MS 3
/* Validations that take longer had better run beside each other. Not shorter than the loop's doze (exchange.c), or it would
 * have to be woken for each. */
#define ONE_MS 100

struct spending {
	struct id order;
	int64_t since_ms; /* the wait that runs */
	int64_t spent_ms;
	unsigned waiting;
	bool over;
};
struct patience {
	pthread_mutex_t lock;
	uint8_t hash_key[16];
	struct spending orders[SETS][WAYS]; /* each in the set that its hash says */
};

struct patience *patience_new(void)
{
	struct patience *p = mem_alloc(sizeof *p);
	pthread_mutex_init(&p->lock, NULL);
	rng_fill(&rng_system, p->hash_key, sizeof p->hash_key);
	return p;
}

void patience_free(struct patience *p)
{
	if (p == NULL)
		return;
	pthread_mutex_destroy(&p->lock);
	free(p);
}

static struct spending *set_of(struct patience *p, struct id order)
{
	return p->orders[hash_keyed(p->hash_key, str_n(order.b, sizeof order.b)) % SETS];
}

/* NULL: it is not remembered. */
static struct spending *place_of(struct patience *p, struct id order)
{
	struct spending *set = set_of(p, order);
	for (unsigned i = 0; i < WAYS; i++)
		if (id_eq(set[i].order, order))
			return &set[i];
	return NULL;
}

/* In the place of the one that was heard of longest ago; NULL: all of them wait. */
static struct spending *place_new(struct patience *p, struct id order)
{
	struct spending *set = set_of(p, order), *oldest = NULL;
	for (unsigned i = 0; i < WAYS; i++)
		if (set[i].waiting == 0 && (oldest == NULL || set[i].since_ms < oldest->since_ms))
			oldest = &set[i];
	if (oldest != NULL)
		*oldest = (struct spending){ .order = order };
	return oldest;
}

static void reckon(struct spending *s, int64_t now_ms)
{
	if (s->waiting > 0 && now_ms > s->since_ms)
		s->spent_ms += now_ms - s->since_ms;
	s->since_ms = now_ms;
}

int64_t patience_begin(struct patience *p, struct id order, int64_t now_ms, int64_t budget_ms)
{
	int64_t left = budget_ms;
	pthread_mutex_lock(&p->lock);
	struct spending *s = place_of(p, order);
	if (s == NULL)
		s = place_new(p, order);
	if (s != NULL) {
		reckon(s, now_ms);
		if (budget_ms - s->spent_ms < left)
			left = budget_ms - s->spent_ms;
		if (s->over || left < 0)
			left = 0;
		s->waiting += left > 0;
	}
	pthread_mutex_unlock(&p->lock);
	return left < ONE_MS ? left : ONE_MS;
}

void patience_end(struct patience *p, struct id order, int64_t now_ms, enum patience_end how)
{
	pthread_mutex_lock(&p->lock);
	struct spending *s = place_of(p, order);
	if (s != NULL && s->waiting > 0) {
		reckon(s, now_ms);
		s->waiting--;
		s->over = s->over || how == PATIENCE_IN_VAIN;
		s->spent_ms -= how == PATIENCE_CALLED ? POLL_MS : 0;
		if (s->spent_ms < 0)
			s->spent_ms = 0;
	}
	pthread_mutex_unlock(&p->lock);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * queue.c: a list for each peer and rank, the peers in a ring, and the peers by how many they have waiting that
 * a newcomer of a rank could take the place of: those of its own rank and of what comes after it. How long a
 * newcomer would wait is told by two: the first of its own peer, who goes before it, and the peer whose turn is next,
 * which has waited for as long as a round takes.
 */
#include "net/queue.h"

#include <assert.h>
#include <stdlib.h>

TAILQ_HEAD(job_list, workers_job);
LIST_HEAD(peer_list, queue_peer);
TAILQ_HEAD(peer_ring, queue_peer);

struct queue_peer {
	uint64_t key;
	struct {
		struct job_list jobs; /* oldest first */
		int64_t front_since;  /* when its first came to be its first */
		TAILQ_ENTRY(queue_peer) turn;
		unsigned count; /* waiting, of this rank or after it */
		LIST_ENTRY(queue_peer) same_count;
	} of[WORKERS_RANK_COUNT];
	struct queue_peer *next; /* in its bucket, or free */
};

struct queue {
	unsigned places, waiting;
	struct job_list going_on;
	struct peer_ring turns[WORKERS_RANK_COUNT]; /* whoever has some of this rank; next first */
	unsigned in_a_row;                          /* taken from WORKERS_FIRST while WORKERS_LATER waited */
	struct {
		struct peer_list *by_count; /* [places + 1] */
		unsigned most;              /* the largest count, or 0 */
	} of[WORKERS_RANK_COUNT];
	struct queue_peer **buckets;
	size_t mask;
	struct queue_peer *peers, *free; /* as many as places: each has one waiting at least */
	unsigned used;                   /* of peers, ever */
};

struct queue *queue_new(unsigned places)
{
	struct queue *q = mem_alloc(sizeof *q);
	size_t buckets = 1;
	while (buckets < places)
		buckets *= 2;
	q->places = places;
	q->mask = buckets - 1;
	q->buckets = mem_alloc_n(sizeof *q->buckets, buckets);
	q->peers = mem_alloc_n(sizeof *q->peers, places);
	TAILQ_INIT(&q->going_on);
	for (unsigned rank = 0; rank < WORKERS_RANK_COUNT; rank++) {
		TAILQ_INIT(&q->turns[rank]);
		q->of[rank].by_count =
			mem_alloc_n(sizeof *q->of[rank].by_count, (size_t)places + 1); /* zeroed: empty */
	}
	return q;
}

void queue_free(struct queue *q)
{
	if (q == NULL)
		return;
	free(q->buckets);
	for (unsigned rank = 0; rank < WORKERS_RANK_COUNT; rank++)
		free(q->of[rank].by_count);
	free(q->peers);
	free(q);
}

unsigned queue_waiting(const struct queue *q)
{
	return q->waiting;
}

bool queue_is_empty(const struct queue *q)
{
	return q->waiting == 0 && TAILQ_EMPTY(&q->going_on);
}

bool queue_is_full(const struct queue *q)
{
	return q->waiting >= q->places;
}

/* --- peers ------------------------------------------------------------------------------------------------------- */

/* Where it hangs, or the end of its chain. Keys come from a keyed hash, so nobody chooses who shares a chain. */
static struct queue_peer **peer_at(struct queue *q, uint64_t key)
{
	struct queue_peer **at = &q->buckets[key & q->mask];
	while (*at != NULL && (*at)->key != key)
		at = &(*at)->next;
	return at;
}

static struct queue_peer *peer_new(struct queue *q, struct queue_peer **at, uint64_t key)
{
	struct queue_peer *p = q->free;
	if (p != NULL)
		q->free = p->next;
	else
		p = &q->peers[q->used++];
	*p = (struct queue_peer){ .key = key };
	for (unsigned rank = 0; rank < WORKERS_RANK_COUNT; rank++)
		TAILQ_INIT(&p->of[rank].jobs);
	*at = p;
	return p;
}

static void peer_gone(struct queue *q, struct queue_peer *p)
{
	*peer_at(q, p->key) = p->next;
	p->next = q->free;
	q->free = p;
}

static unsigned waiting_of(const struct queue_peer *p)
{
	return p->of[WORKERS_FIRST].count;
}

static void count_set(struct queue *q, struct queue_peer *p, enum workers_rank rank, unsigned count)
{
	struct peer_list *by_count = q->of[rank].by_count;
	unsigned *most = &q->of[rank].most;
	if (p->of[rank].count > 0)
		LIST_REMOVE(p, of[rank].same_count);
	p->of[rank].count = count;
	if (count > 0)
		LIST_INSERT_HEAD(&by_count[count], p, of[rank].same_count);
	if (count > *most)
		*most = count;
	while (*most > 0 && LIST_EMPTY(&by_count[*most]))
		--*most; /* one step at most: who has one less now is there, or nobody is left */
}

/* --- jobs -------------------------------------------------------------------------------------------------------- */

static void job_add(struct queue *q, struct queue_peer *p, struct workers_job *job)
{
	enum workers_rank rank = job->rank;
	job->peer = p;
	if (TAILQ_EMPTY(&p->of[rank].jobs)) {
		p->of[rank].front_since = job->since_ms;
		TAILQ_INSERT_TAIL(&q->turns[rank], p, of[rank].turn);
	}
	TAILQ_INSERT_TAIL(&p->of[rank].jobs, job, link);
	q->waiting++;
	for (unsigned r = 0; r <= (unsigned)rank; r++)
		count_set(q, p, (enum workers_rank)r, p->of[r].count + 1);
}

/* p may be gone afterwards. */
static void job_remove(struct queue *q, struct workers_job *job)
{
	struct queue_peer *p = job->peer;
	enum workers_rank rank = job->rank;
	TAILQ_REMOVE(&p->of[rank].jobs, job, link);
	if (TAILQ_EMPTY(&p->of[rank].jobs))
		TAILQ_REMOVE(&q->turns[rank], p, of[rank].turn);
	q->waiting--;
	for (unsigned r = 0; r <= (unsigned)rank; r++)
		count_set(q, p, (enum workers_rank)r, p->of[r].count - 1);
	if (waiting_of(p) == 0)
		peer_gone(q, p);
}

static int64_t waited_ms(const struct queue *q, const struct queue_peer *own, const struct workers_offer *offer)
{
	int64_t longest = 0;
	for (unsigned rank = 0; rank <= (unsigned)offer->rank; rank++) {
		const struct queue_peer *next = TAILQ_FIRST(&q->turns[rank]);
		const struct workers_job *before = own == NULL ? NULL : TAILQ_FIRST(&own->of[rank].jobs);
		if (next != NULL && offer->now_ms - next->of[rank].front_since > longest)
			longest = offer->now_ms - next->of[rank].front_since;
		if (before != NULL && offer->now_ms - before->since_ms > longest)
			longest = offer->now_ms - before->since_ms;
	}
	return longest;
}

static unsigned places_for(const struct queue *q, enum workers_rank rank)
{
	return rank == WORKERS_FIRST ? q->places : q->places - q->places / 4;
}

/* Who gives way to a newcomer of this rank; NULL: nobody. What nothing was done for yet goes before what work has gone
 * into, and never makes that go: it would be there only for the places that are kept for others. */
static struct workers_job *gives_way(const struct queue *q, const struct queue_peer *own, enum workers_rank rank)
{
	unsigned most = q->of[rank].most;
	if (most <= (own == NULL ? 0 : waiting_of(own)) + 1)
		return NULL;
	const struct queue_peer *p = LIST_FIRST(&q->of[rank].by_count[most]);
	struct workers_job *newest = TAILQ_LAST(&p->of[WORKERS_LATER].jobs, job_list);
	if (newest == NULL) /* so the newcomer is of WORKERS_FIRST */
		newest = TAILQ_LAST(&p->of[WORKERS_FIRST].jobs, job_list);
	return newest->refused == NULL ? NULL : newest;
}

enum queue_answer queue_offer(struct queue *q, const struct workers_offer *offer, struct workers_job *job,
			      struct workers_job **ret_gives_way, int64_t *ret_waited_ms)
{
	struct queue_peer **at = peer_at(q, offer->peer), *own = *at;
	*ret_gives_way = NULL;
	*ret_waited_ms = waited_ms(q, own, offer);
	if (*ret_waited_ms > offer->patience_ms)
		return QUEUE_SLOW;
	if (q->waiting >= places_for(q, offer->rank)) {
		*ret_gives_way = gives_way(q, own, offer->rank);
		if (*ret_gives_way == NULL)
			return QUEUE_FULL;
		job_remove(q, *ret_gives_way); /* its peer has others: it stays, and so does `at` */
	}
	job->rank = offer->rank;
	job->since_ms = offer->now_ms;
	job_add(q, own != NULL ? own : peer_new(q, at, offer->peer), job);
	return QUEUE_TAKEN;
}

void queue_resume(struct queue *q, struct workers_job *job)
{
	TAILQ_INSERT_TAIL(&q->going_on, job, link);
}

static enum workers_rank next_rank(struct queue *q)
{
	bool first = !TAILQ_EMPTY(&q->turns[WORKERS_FIRST]), later = !TAILQ_EMPTY(&q->turns[WORKERS_LATER]);
	if (!first || !later)
		return first ? WORKERS_FIRST : WORKERS_LATER;
	if (q->in_a_row++ < WORKERS_FIRST_IN_A_ROW)
		return WORKERS_FIRST;
	q->in_a_row = 0;
	return WORKERS_LATER;
}

struct workers_job *queue_take(struct queue *q, int64_t now_ms)
{
	struct workers_job *job = TAILQ_FIRST(&q->going_on);
	if (job != NULL) {
		TAILQ_REMOVE(&q->going_on, job, link);
		return job;
	}
	enum workers_rank rank = next_rank(q);
	struct queue_peer *p = TAILQ_FIRST(&q->turns[rank]);
	if (p == NULL)
		return NULL;
	job = TAILQ_FIRST(&p->of[rank].jobs);
	if (TAILQ_NEXT(job, link) != NULL) { /* it has more: behind the others */
		TAILQ_REMOVE(&q->turns[rank], p, of[rank].turn);
		TAILQ_INSERT_TAIL(&q->turns[rank], p, of[rank].turn);
		p->of[rank].front_since = now_ms;
	}
	job_remove(q, job);
	return job;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * workers.h: a pool of threads for straight-line code, with a bounded queue. A full queue is an answer (503), not a wait;
 * and so is one whose first has waited too long, since a length says nothing of the time that it takes.
 */
#ifndef CAIRN_NET_WORKERS_H
#define CAIRN_NET_WORKERS_H

#include "codec/codec.h"

#include <sys/queue.h>

struct workers;
/* stack 0: the system's default. Threads run with all signals blocked. */
fallible workers_new(const char *name, unsigned threads, unsigned queue_max, size_t stack, struct workers **ret,
		     struct err *err);
/* ERR_UNAVAILABLE when the queue is full or the pool is stopping. fn owns arg from a successful call on. */
fallible workers_submit(struct workers *w, void (*fn)(void *arg), void *arg, struct err *err);

/* What is taken first. LATER waits while there is any of FIRST, but for one turn in so many: it shall get an answer, too. */
enum workers_rank { WORKERS_FIRST, WORKERS_LATER, WORKERS_RANK_COUNT };
#define WORKERS_FIRST_IN_A_ROW 16u
struct workers_offer {
	enum workers_rank rank;
	uint64_t peer;       /* who take turns: a hash with a secret key; 0: nobody in particular */
	int64_t now_ms;      /* the system's monotonic clock, or a moment ago */
	int64_t patience_ms; /* refused when it would wait for longer, to judge by those of this rank or before it */
};
/* A job that the caller keeps: from a successful call on it is the pool's, and fn's when that begins. */
struct workers_job {
	void (*fn)(void *arg);
	/* Instead of fn: it had to give way. From the thread that brought another one. NULL: it never does. */
	void (*refused)(void *arg);
	void *arg;
	/* the queue's own */
	enum workers_rank rank;
	int64_t since_ms;
	struct queue_peer *peer;
	TAILQ_ENTRY(workers_job) link;
};
/* As workers_submit, with a rank, and by turns of peers; all ranks together have queue_max places, and the last quarter is for
 * WORKERS_FIRST. Without a place left, the newest of the peer with the most waiting gives way, which may be this one; but
 * WORKERS_FIRST never to WORKERS_LATER. */
fallible workers_offer(struct workers *w, const struct workers_offer *offer, struct workers_job *job, struct err *err);
/* For what a worker has begun and goes on with: it has no rank and waits for nobody else's turn. Never refused, also not in
 * a pool that is stopping; as many as the caller lets begin, so the caller bounds them. */
void workers_resume(struct workers *w, struct workers_job *job);
/* As workers_submit, but waits for room instead of refusing: for work that must not be dropped; in a pool that is stopping,
 * fn runs in the caller. Never call it from a worker. */
void workers_submit_wait(struct workers *w, void (*fn)(void *arg), void *arg);
unsigned workers_busy(const struct workers *w); /* running + queued, a snapshot */
void workers_drain(struct workers *w); /* no more submissions; returns when the queue is empty and all are idle */
void workers_free(struct workers *w);  /* drains, joins; accepts NULL */

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * group.h: the writing transactions of many threads, run together. They wait in a list. Whoever comes first leads: it takes
 * the whole list, has the store run it in one transaction of the database and hands the lead to the first who came
 * meanwhile. So a commit that takes long makes wider commits, not fewer, and one who is alone waits for no other thread.
 * Private to store.
 */
#ifndef CAIRN_STORE_GROUP_H
#define CAIRN_STORE_GROUP_H

#include "store/store.h"

#include <pthread.h>
#include <semaphore.h>

struct group_member { /* on the waiting thread's stack */
	store_fn *fn;
	void *ctx;
	struct err *err;
	struct rc rc;
	struct group_member *next;
	sem_t woken; /* rc is there, or leads is set */
	bool leads;
};

/* Runs all members of the list, gives each its rc and err, and calls group_answer. */
typedef void group_fn(struct store *s, struct group_member *batch, const struct group_member *leader);

struct group {
	group_fn *run;
	struct store *store;
	pthread_mutex_t lock; /* head .. stopping */
	pthread_cond_t lead_free;
	struct group_member *head, **tail;
	bool has_leader, stopping;
	_Atomic uint64_t waiting; /* members of the list */
};

void group_init(struct group *g, group_fn *run, struct store *s);
void group_done(struct group *g);
/* Returns what became of fn once its batch has ended. */
fallible group_run(struct group *g, store_fn *fn, void *ctx, struct err *err);
/* Wakes all of a batch but its leader, who is awake. Members are gone from then on. */
void group_answer(struct group_member *batch, const struct group_member *leader);
/* Whoever waits in the list is served first; who comes later is refused. */
void group_stop(struct group *g);

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * group.c: who leads, who waits, and how the lead goes on.
 */
#include "store/group.h"

void group_init(struct group *g, group_fn *run, struct store *s)
{
	*g = (struct group){ .run = run, .store = s };
	g->tail = &g->head;
	(void)pthread_mutex_init(&g->lock, NULL);
	(void)pthread_cond_init(&g->lead_free, NULL);
}

void group_done(struct group *g)
{
	(void)pthread_mutex_destroy(&g->lock);
	(void)pthread_cond_destroy(&g->lead_free);
}

void group_answer(struct group_member *m, const struct group_member *leader)
{
	struct group_member *next;
	for (; m != NULL; m = next) {
		next = m->next; /* m is gone once its thread wakes */
		if (m != leader)
			(void)sem_post(&m->woken);
	}
}

/* One batch, the leader's own transaction in it; then the lead goes to the next, so that nobody works for others for longer
 * than he would have waited. */
static void lead(struct group *g, struct group_member *me)
{
	(void)pthread_mutex_lock(&g->lock);
	struct group_member *batch = g->head;
	g->head = NULL;
	g->tail = &g->head;
	g->waiting = 0;
	(void)pthread_mutex_unlock(&g->lock);

	g->run(g->store, batch, me);

	(void)pthread_mutex_lock(&g->lock);
	struct group_member *next = g->head;
	g->has_leader = next != NULL;
	if (next == NULL && g->stopping)
		(void)pthread_cond_signal(&g->lead_free);
	(void)pthread_mutex_unlock(&g->lock);
	if (next != NULL) {
		next->leads = true;
		(void)sem_post(&next->woken);
	}
}

/* Into the list; *ret_leads: nobody else does. False: the store is closing. */
static bool join_queue(struct group *g, struct group_member *m, bool *ret_leads)
{
	(void)pthread_mutex_lock(&g->lock);
	bool open = !g->stopping;
	if (open) {
		*g->tail = m;
		g->tail = &m->next;
		g->waiting++;
		*ret_leads = !g->has_leader;
		g->has_leader = true;
	}
	(void)pthread_mutex_unlock(&g->lock);
	return open;
}

fallible group_run(struct group *g, store_fn *fn, void *ctx, struct err *err)
{
	struct group_member m = { .fn = fn, .ctx = ctx, .err = err, .rc = OK };
	bool leads = false;
	if (sem_init(&m.woken, 0, 0) != 0)
		FAIL(err, ERR_INTERNAL, "sem_init failed");
	bool open = join_queue(g, &m, &leads);
	if (open && !leads) {
		while (sem_wait(&m.woken) != 0)
			continue; /* EINTR */
		leads = m.leads;  /* whoever woke us wrote it; not to be read before */
	}
	if (leads)
		lead(g, &m);
	(void)sem_destroy(&m.woken);
	if (!open)
		FAIL(err, ERR_UNAVAILABLE, "the server is stopping: try again later");
	return m.rc;
}

void group_stop(struct group *g)
{
	(void)pthread_mutex_lock(&g->lock);
	g->stopping = true;
	while (g->has_leader)
		(void)pthread_cond_wait(&g->lead_free, &g->lock);
	(void)pthread_mutex_unlock(&g->lock);
}

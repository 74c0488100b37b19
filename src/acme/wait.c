/* SPDX-License-Identifier: Apache-2.0
 *
 * wait.c: the waiting room. A finalize takes a seat before its job is sent, waits a moment, and then reads the order
 * again whatever happened: being called or not decides only how long it waited, never what it answers.
 */
#include "acme/app.h"

#include <stdlib.h>
#include <time.h>

struct waitroom {
	pthread_mutex_t lock;
	pthread_cond_t called;
	struct waiting *first;
	unsigned taken, seats;
};

fallible waitroom_new(unsigned seats, struct waitroom **ret, struct err *err)
{
	struct waitroom *w = mem_alloc(sizeof *w);
	pthread_condattr_t attr;
	if (pthread_condattr_init(&attr) != 0 || pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) != 0 ||
	    pthread_cond_init(&w->called, &attr) != 0) {
		free(w);
		FAIL(err, ERR_IO, "cannot make a condition variable");
	}
	pthread_condattr_destroy(&attr);
	pthread_mutex_init(&w->lock, NULL);
	w->seats = seats;
	*ret = w;
	return OK;
}

void waitroom_free(struct waitroom *w)
{
	if (w == NULL)
		return;
	pthread_cond_destroy(&w->called);
	pthread_mutex_destroy(&w->lock);
	free(w);
}

bool waitroom_enter(struct waitroom *w, struct waiting *seat, struct id id)
{
	bool room;
	pthread_mutex_lock(&w->lock);
	room = w->taken < w->seats;
	if (room) {
		*seat = (struct waiting){ .id = id, .next = w->first };
		w->first = seat;
		w->taken++;
	}
	pthread_mutex_unlock(&w->lock);
	return room;
}

static void waitroom_leave(struct waitroom *w, struct waiting *seat)
{
	for (struct waiting **at = &w->first; *at != NULL; at = &(*at)->next) {
		if (*at != seat)
			continue;
		*at = seat->next;
		w->taken--;
		return;
	}
}

void waitroom_wait(struct waitroom *w, struct waiting *seat, int64_t wait_ms)
{
	struct timespec until;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += wait_ms / 1000;
	until.tv_nsec += (wait_ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&w->lock);
	while (!seat->done && pthread_cond_timedwait(&w->called, &w->lock, &until) == 0)
		;
	waitroom_leave(w, seat);
	pthread_mutex_unlock(&w->lock);
}

void waitroom_call(struct waitroom *w, struct id id)
{
	bool any = false;
	pthread_mutex_lock(&w->lock);
	for (struct waiting *s = w->first; s != NULL; s = s->next) {
		if (id_eq(s->id, id)) {
			s->done = true;
			any = true;
		}
	}
	if (any)
		pthread_cond_broadcast(&w->called);
	pthread_mutex_unlock(&w->lock);
}

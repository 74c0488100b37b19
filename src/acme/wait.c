/* SPDX-License-Identifier: Apache-2.0
 *
 * wait.c: the waiting room. A request takes a seat before its job is sent, is parked (http.h), and then reads again whatever
 * happened: being called or not decides only how long it waited, never what it answers. No thread waits with it.
 */
#include "acme/app.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define ROWS 64

struct row {
	pthread_mutex_t lock;
	struct waiting *first;
};
struct waitroom {
	uint8_t hash_key[16];
	struct row rows[ROWS];
};

struct waitroom *waitroom_new(void)
{
	struct waitroom *w = mem_alloc(sizeof *w);
	rng_fill(&rng_system, w->hash_key, sizeof w->hash_key);
	for (size_t i = 0; i < ROWS; i++)
		pthread_mutex_init(&w->rows[i].lock, NULL);
	return w;
}

void waitroom_free(struct waitroom *w)
{
	if (w == NULL)
		return;
	for (size_t i = 0; i < ROWS; i++) {
		assert(w->rows[i].first == NULL);
		pthread_mutex_destroy(&w->rows[i].lock);
	}
	free(w);
}

static struct row *row_of(struct waitroom *w, struct id id)
{
	return &w->rows[hash_keyed(w->hash_key, str_n(id.b, sizeof id.b)) % ROWS];
}

void waitroom_enter(struct waitroom *w, struct waiting *seat, struct http_parking *parking, struct id id)
{
	struct row *row = row_of(w, id);
	*seat = (struct waiting){ .id = id, .parking = parking };
	(void)sem_init(&seat->missed, 0, 0); /* fails on a value or a sharing that we do not ask for */
	pthread_mutex_lock(&row->lock);
	seat->next = row->first;
	row->first = seat;
	pthread_mutex_unlock(&row->lock);
}

/* false: somebody who calls it has taken it out already. */
static bool row_leave(struct row *row, const struct waiting *seat)
{
	bool found = false;
	pthread_mutex_lock(&row->lock);
	for (struct waiting **at = &row->first; *at != NULL; at = &(*at)->next) {
		if (*at != seat)
			continue;
		*at = seat->next;
		found = true;
		break;
	}
	pthread_mutex_unlock(&row->lock);
	return found;
}

void waitroom_leave(struct waitroom *w, struct waiting *seat, bool called)
{
	/* Who has taken it out and comes too late is about to say so, and touches it until then. */
	if (!called && !row_leave(row_of(w, seat->id), seat))
		while (sem_wait(&seat->missed) != 0)
			assert(errno == EINTR);
	sem_destroy(&seat->missed);
}

void waitroom_call(struct waitroom *w, struct id id)
{
	struct row *row = row_of(w, id);
	struct waiting *found = NULL;
	pthread_mutex_lock(&row->lock);
	for (struct waiting **at = &row->first; *at != NULL;) {
		struct waiting *seat = *at;
		if (!id_eq(seat->id, id)) {
			at = &seat->next;
			continue;
		}
		*at = seat->next;
		seat->next = found;
		found = seat;
	}
	pthread_mutex_unlock(&row->lock);
	while (found != NULL) {
		struct waiting *seat = found;
		found = seat->next; /* with its call the seat is gone */
		if (!http_parking_call(seat->parking))
			(void)sem_post(&seat->missed);
	}
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * wait.c: the waiting room. A request takes a seat before its job is sent, waits a moment, and then reads again whatever
 * happened: being called or not decides only how long it waited, never what it answers. Each seat has a semaphore of
 * its own, so a call wakes whom it is for and nobody else.
 */
#include "acme/app.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#define ROWS 64

struct row {
	pthread_mutex_t lock;
	struct waiting *first;
};
struct waitroom {
	uint8_t hash_key[16];
	unsigned seats, seats_of[WAIT_COUNT];
	_Atomic unsigned taken, taken_of[WAIT_COUNT];
	struct row rows[ROWS];
};

fallible waitroom_new(unsigned workers, struct waitroom **ret, struct err *err)
{
	(void)err;
	struct waitroom *w = mem_alloc(sizeof *w);
	w->seats = workers - (workers + 3) / 4;
	w->seats_of[WAIT_SIGNER] = w->seats;
	w->seats_of[WAIT_VALIDATOR] = workers / 2;
	rng_fill(&rng_system, w->hash_key, sizeof w->hash_key);
	for (size_t i = 0; i < ROWS; i++)
		pthread_mutex_init(&w->rows[i].lock, NULL);
	*ret = w;
	return OK;
}

void waitroom_free(struct waitroom *w)
{
	if (w == NULL)
		return;
	for (size_t i = 0; i < ROWS; i++)
		pthread_mutex_destroy(&w->rows[i].lock);
	free(w);
}

static struct row *row_of(struct waitroom *w, struct id id)
{
	return &w->rows[hash_keyed(w->hash_key, str_n(id.b, sizeof id.b)) % ROWS];
}

static bool seat_take(_Atomic unsigned *taken, unsigned seats)
{
	if (atomic_fetch_add(taken, 1) < seats)
		return true;
	atomic_fetch_sub(taken, 1);
	return false;
}

static void seat_give_back(struct waitroom *w, enum wait_for what)
{
	atomic_fetch_sub(&w->taken_of[what], 1);
	atomic_fetch_sub(&w->taken, 1);
}

bool waitroom_enter(struct waitroom *w, struct waiting *seat, enum wait_for what, struct id id)
{
	if (!seat_take(&w->taken, w->seats))
		return false;
	if (!seat_take(&w->taken_of[what], w->seats_of[what])) {
		atomic_fetch_sub(&w->taken, 1);
		return false;
	}
	struct row *row = row_of(w, id);
	*seat = (struct waiting){ .id = id, .what = what };
	sem_init(&seat->called, 0, 0);
	pthread_mutex_lock(&row->lock);
	seat->next = row->first;
	row->first = seat;
	pthread_mutex_unlock(&row->lock);
	return true;
}

/* false: somebody who calls it has taken it out already. */
static bool row_leave(struct row *row, const struct waiting *seat)
{
	bool found = false;
	pthread_mutex_lock(&row->lock);
	for (struct waiting **at = &row->first; *at != NULL && !found; at = &(*at)->next) {
		if (*at != seat)
			continue;
		*at = seat->next;
		found = true;
		break;
	}
	pthread_mutex_unlock(&row->lock);
	return found;
}

static int called_by(struct waiting *seat, const struct timespec *until)
{
	int rc;
	do
		rc = sem_clockwait(&seat->called, CLOCK_MONOTONIC, until);
	while (rc != 0 && errno == EINTR);
	/* ThreadSanitizer does not know sem_clockwait: to it, this is what comes after the caller's last look. */
	return rc == 0 && atomic_load(&seat->done) ? 0 : rc;
}

bool waitroom_wait(struct waitroom *w, struct waiting *seat, int64_t wait_ms)
{
	const struct timespec until = mono_after_ms(wait_ms);
	bool called = called_by(seat, &until) == 0;
	/* Nobody who calls may still hold the seat when it goes: who has taken it out is about to wake it. */
	while (!called && !row_leave(row_of(w, seat->id), seat))
		called = sem_wait(&seat->called) == 0;
	sem_destroy(&seat->called);
	seat_give_back(w, seat->what);
	return called;
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
		found = seat->next; /* with its waking the seat is gone */
		atomic_store(&seat->done, true);
		sem_post(&seat->called);
	}
}

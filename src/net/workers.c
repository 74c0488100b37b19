/* SPDX-License-Identifier: Apache-2.0
 *
 * workers.c: a ring of jobs for each rank under one lock, and threads that take them in order. Who finds an idle thread
 * hands it the job itself and wakes only that one, the one that went idle last: its stack is still in the cache, the
 * others sleep on, and the woken one needs no lock to begin. Threads block all signals, so that signals reach the
 * program's main thread and a write to a gone peer is an error code, not SIGPIPE.
 */
#include "net/workers.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>

struct job {
	void (*fn)(void *arg); /* NULL, given to an idle thread: the end */
	void *arg;
	int64_t since_ms; /* when it was offered; INT64_MAX: by somebody without a clock */
};

struct ring {
	struct job *jobs;
	unsigned first, queued;
};

struct worker {
	struct workers *pool;
	pthread_t thread;
	sem_t wake;
	struct job job;      /* what it was woken for */
	struct worker *idle; /* the one that went idle before it */
};

struct workers {
	pthread_mutex_t lock;
	pthread_cond_t room;  /* a job was taken, or the end */
	pthread_cond_t quiet; /* queue empty and nobody running */
	struct ring rings[WORKERS_RANK_COUNT];
	struct worker *idle;
	unsigned queue_max, queued, running;
	unsigned in_a_row; /* taken from WORKERS_FIRST while WORKERS_LATER waited */
	bool stopping, ending;
	atomic_uint busy; /* queued + running, readable without the lock */
	struct worker *threads;
	unsigned thread_count;
	char name[16];
};

/* Of those that wait, whose turn it is. */
static struct ring *next_ring(struct workers *w)
{
	struct ring *first = &w->rings[WORKERS_FIRST], *later = &w->rings[WORKERS_LATER];
	bool both = first->queued > 0 && later->queued > 0;
	if (!both)
		return first->queued > 0 ? first : later;
	if (w->in_a_row++ < WORKERS_FIRST_IN_A_ROW)
		return first;
	w->in_a_row = 0;
	return later;
}

/* The next in order; false: there is none. With the lock held. */
static bool take(struct workers *w, struct job *ret)
{
	struct ring *r = next_ring(w);
	if (r->queued == 0)
		return false;
	*ret = r->jobs[r->first];
	r->first = (r->first + 1) % w->queue_max;
	r->queued--;
	w->queued--;
	w->running++;
	pthread_cond_signal(&w->room);
	return true;
}

/* Sleeps until somebody brings a job; with the lock held, and given back. */
static struct job wait_for_job(struct workers *w, struct worker *self)
{
	self->idle = w->idle;
	w->idle = self;
	pthread_mutex_unlock(&w->lock);
	while (sem_wait(&self->wake) != 0)
		assert(errno == EINTR);
	return self->job;
}

/* With the lock held. */
static void job_ended(struct workers *w)
{
	w->running--;
	atomic_fetch_sub(&w->busy, 1);
	if (w->queued == 0 && w->running == 0)
		pthread_cond_broadcast(&w->quiet);
}

static void *worker_main(void *arg)
{
	struct worker *self = arg;
	struct workers *w = self->pool;
	(void)prctl(PR_SET_NAME, w->name); /* for ps and gdb; another thread's name would be a write to a file */
	pthread_mutex_lock(&w->lock);
	for (;;) {
		struct job j;
		if (take(w, &j)) {
			pthread_mutex_unlock(&w->lock);
		} else if (w->ending) {
			break;
		} else {
			j = wait_for_job(w, self);
			if (j.fn == NULL)
				return NULL;
		}
		j.fn(j.arg);
		pthread_mutex_lock(&w->lock);
		job_ended(w);
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

static int start_thread(struct worker *self, size_t stack)
{
	pthread_attr_t attr;
	int e = pthread_attr_init(&attr);
	if (e != 0)
		return e;
	e = stack == 0 ? 0 : pthread_attr_setstacksize(&attr, stack);
	sigset_t old;
	signals_block(&old);
	(void)sem_init(&self->wake, 0, 0); /* fails on a value or a sharing that we do not ask for */
	if (e == 0)
		e = pthread_create(&self->thread, &attr, worker_main, self);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	return e;
}

fallible workers_new(const char *name, unsigned threads, unsigned queue_max, size_t stack, struct workers **ret,
		     struct err *err)
{
	assert(threads > 0 && queue_max > 0);
	struct workers *w = mem_alloc(sizeof *w);
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->room, NULL);
	pthread_cond_init(&w->quiet, NULL);
	atomic_init(&w->busy, 0);
	for (unsigned rank = 0; rank < WORKERS_RANK_COUNT; rank++)
		w->rings[rank].jobs = mem_alloc_n(sizeof *w->rings[rank].jobs, queue_max);
	w->queue_max = queue_max;
	w->threads = mem_alloc_n(sizeof *w->threads, threads);
	(void)snprintf(w->name, sizeof w->name, "%s", name);
	for (; w->thread_count < threads; w->thread_count++) {
		struct worker *self = &w->threads[w->thread_count];
		self->pool = w;
		int e = start_thread(self, stack);
		if (e != 0) {
			workers_free(w);
			FAIL(err, ERR_IO, "starting a thread of pool %s: %s", name, strerror(e));
		}
	}
	*ret = w;
	return OK;
}

/* To an idle thread, or into the queue, which has room. Comes with the lock held and gives it back. */
static void put(struct workers *w, enum workers_rank rank, struct job j)
{
	struct worker *idle = w->idle;
	atomic_fetch_add(&w->busy, 1);
	if (idle == NULL) {
		struct ring *r = &w->rings[rank];
		r->jobs[(r->first + r->queued) % w->queue_max] = j;
		r->queued++;
		w->queued++;
		pthread_mutex_unlock(&w->lock);
		return;
	}
	w->idle = idle->idle;
	w->running++;
	idle->job = j;
	pthread_mutex_unlock(&w->lock);
	(void)sem_post(&idle->wake); /* after the lock, so that the woken one does not run into it */
}

/* How long the first of these ranks has waited. Both were offered by one clock, or count for nothing. */
static int64_t longest_wait(const struct workers *w, enum workers_rank up_to, int64_t now_ms)
{
	int64_t longest = 0;
	for (unsigned rank = 0; rank <= (unsigned)up_to; rank++) {
		const struct ring *r = &w->rings[rank];
		if (r->queued > 0 && now_ms > r->jobs[r->first].since_ms &&
		    now_ms - r->jobs[r->first].since_ms > longest)
			longest = now_ms - r->jobs[r->first].since_ms;
	}
	return longest;
}

static unsigned places_for(const struct workers *w, enum workers_rank rank)
{
	return rank == WORKERS_FIRST ? w->queue_max : w->queue_max - w->queue_max / 4;
}

fallible workers_offer(struct workers *w, const struct workers_offer *offer, void (*fn)(void *arg), void *arg,
		       struct err *err)
{
	pthread_mutex_lock(&w->lock);
	bool stopping = w->stopping, full = w->queued >= places_for(w, offer->rank);
	unsigned queued = w->queued;
	int64_t waited = longest_wait(w, offer->rank, offer->now_ms);
	if (!stopping && !full && waited <= offer->patience_ms) {
		put(w, offer->rank, (struct job){ fn, arg, offer->now_ms });
		return OK;
	}
	pthread_mutex_unlock(&w->lock);
	if (stopping)
		FAIL(err, ERR_UNAVAILABLE, "the server is stopping");
	if (full)
		FAIL(err, ERR_UNAVAILABLE, "the server is busy: %u requests wait already", queued);
	FAIL(err, ERR_UNAVAILABLE, "the server is busy: requests wait for %lld ms already", (long long)waited);
}

fallible workers_submit(struct workers *w, void (*fn)(void *arg), void *arg, struct err *err)
{
	const struct workers_offer plain = { .rank = WORKERS_FIRST, .now_ms = INT64_MAX, .patience_ms = INT64_MAX };
	return workers_offer(w, &plain, fn, arg, err);
}

void workers_submit_wait(struct workers *w, void (*fn)(void *arg), void *arg)
{
	pthread_mutex_lock(&w->lock);
	while (!w->stopping && w->queued == w->queue_max)
		pthread_cond_wait(&w->room, &w->lock);
	if (!w->stopping) {
		put(w, WORKERS_FIRST, (struct job){ fn, arg, INT64_MAX });
		return;
	}
	pthread_mutex_unlock(&w->lock);
	fn(arg); /* it must not be dropped, and nobody else will run it */
}

unsigned workers_busy(const struct workers *w)
{
	return atomic_load(&w->busy);
}

void workers_drain(struct workers *w)
{
	pthread_mutex_lock(&w->lock);
	w->stopping = true;
	pthread_cond_broadcast(&w->room);
	while (w->queued > 0 || w->running > 0)
		pthread_cond_wait(&w->quiet, &w->lock);
	pthread_mutex_unlock(&w->lock);
}

/* Nobody is running: who is idle is told, who is on the way there sees it. */
static void end_threads(struct workers *w)
{
	pthread_mutex_lock(&w->lock);
	w->ending = true;
	for (struct worker *idle = w->idle; idle != NULL; idle = idle->idle) {
		idle->job.fn = NULL;
		(void)sem_post(&idle->wake);
	}
	pthread_mutex_unlock(&w->lock);
	for (unsigned i = 0; i < w->thread_count; i++) {
		pthread_join(w->threads[i].thread, NULL);
		sem_destroy(&w->threads[i].wake);
	}
}

void workers_free(struct workers *w)
{
	if (w == NULL)
		return;
	workers_drain(w);
	end_threads(w);
	pthread_cond_destroy(&w->room);
	pthread_cond_destroy(&w->quiet);
	pthread_mutex_destroy(&w->lock);
	for (unsigned rank = 0; rank < WORKERS_RANK_COUNT; rank++)
		free(w->rings[rank].jobs);
	free(w->threads);
	free(w);
}

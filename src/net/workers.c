/* SPDX-License-Identifier: Apache-2.0
 *
 * workers.c: a queue under one lock, and threads that take from it in its order. Who finds an idle thread
 * hands it the job itself and wakes only that one, the one that went idle last: its stack is still in the cache, the
 * others sleep on, and the woken one needs no lock to begin. Threads block all signals, so that signals reach the
 * program's main thread and a write to a gone peer is an error code, not SIGPIPE.
 */
#include "net/queue.h"

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
};

/* One of workers_submit's, while it waits. */
struct submitted {
	struct workers_job job;
	struct job what;
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
	struct queue *queue;
	struct worker *idle;
	unsigned running;
	bool stopping, ending;
	atomic_uint busy; /* queued + running, readable without the lock */
	struct worker *threads;
	unsigned thread_count;
	char name[16];
};

/* The next in order; false: there is none. With the lock held. */
static bool take(struct workers *w, struct job *ret)
{
	if (queue_is_empty(w->queue))
		return false;
	const struct workers_job *next = queue_take(w->queue, clock_mono_ms(&clock_system));
	*ret = (struct job){ next->fn, next->arg };
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
	if (w->running == 0 && queue_is_empty(w->queue))
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
	w->queue = queue_new(queue_max);
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

/* To an idle thread; false: there is none. Comes with the lock held and, when it says true, gives it back. */
static bool hand_over(struct workers *w, struct job j)
{
	struct worker *idle = w->idle;
	if (idle == NULL)
		return false;
	atomic_fetch_add(&w->busy, 1);
	w->idle = idle->idle;
	w->running++;
	idle->job = j;
	pthread_mutex_unlock(&w->lock);
	(void)sem_post(&idle->wake); /* after the lock, so that the woken one does not run into it */
	return true;
}

/* Into the queue, with the lock held. */
static enum queue_answer enqueue(struct workers *w, const struct workers_offer *offer, struct workers_job *job,
				 struct workers_job **ret_gives_way, int64_t *ret_waited)
{
	enum queue_answer answer = queue_offer(w->queue, offer, job, ret_gives_way, ret_waited);
	if (answer == QUEUE_TAKEN && *ret_gives_way == NULL)
		atomic_fetch_add(&w->busy, 1);
	return answer;
}

fallible workers_offer(struct workers *w, const struct workers_offer *offer, struct workers_job *job, struct err *err)
{
	struct workers_job *gives_way = NULL;
	int64_t waited = 0;
	pthread_mutex_lock(&w->lock);
	if (!w->stopping && hand_over(w, (struct job){ job->fn, job->arg }))
		return OK;
	bool stopping = w->stopping;
	enum queue_answer answer = stopping ? QUEUE_FULL : enqueue(w, offer, job, &gives_way, &waited);
	unsigned waiting = queue_waiting(w->queue);
	pthread_mutex_unlock(&w->lock);
	if (gives_way != NULL)
		gives_way->refused(gives_way->arg);
	if (answer == QUEUE_TAKEN)
		return OK;
	if (stopping)
		FAIL(err, ERR_UNAVAILABLE, "the server is stopping");
	if (answer == QUEUE_FULL)
		FAIL(err, ERR_UNAVAILABLE, "the server is busy: %u requests wait already", waiting);
	FAIL(err, ERR_UNAVAILABLE, "the server is busy: requests wait for %lld ms already", (long long)waited);
}

void workers_resume(struct workers *w, struct workers_job *job)
{
	pthread_mutex_lock(&w->lock);
	if (hand_over(w, (struct job){ job->fn, job->arg }))
		return;
	atomic_fetch_add(&w->busy, 1);
	queue_resume(w->queue, job);
	pthread_mutex_unlock(&w->lock);
}

/* --- work that nobody waits for ----------------------------------------------------------------------------------- */

static const struct workers_offer plain = { .rank = WORKERS_FIRST, .now_ms = INT64_MAX, .patience_ms = INT64_MAX };

static void submitted_run(void *arg)
{
	const struct job what = ((struct submitted *)arg)->what;
	free(arg);
	what.fn(what.arg);
}

static struct submitted *submitted_new(struct job what)
{
	struct submitted *s = mem_alloc(sizeof *s);
	s->what = what;
	s->job = (struct workers_job){ .fn = submitted_run, .arg = s };
	return s;
}

fallible workers_submit(struct workers *w, void (*fn)(void *arg), void *arg, struct err *err)
{
	pthread_mutex_lock(&w->lock);
	if (!w->stopping && hand_over(w, (struct job){ fn, arg }))
		return OK;
	pthread_mutex_unlock(&w->lock);
	struct submitted *s = submitted_new((struct job){ fn, arg });
	struct rc rc = workers_offer(w, &plain, &s->job, err);
	if (FAILED(rc))
		free(s);
	return rc;
}

void workers_submit_wait(struct workers *w, void (*fn)(void *arg), void *arg)
{
	struct workers_job *none = NULL;
	int64_t waited;
	pthread_mutex_lock(&w->lock);
	while (!w->stopping && w->idle == NULL && queue_is_full(w->queue))
		pthread_cond_wait(&w->room, &w->lock);
	if (!w->stopping && hand_over(w, (struct job){ fn, arg }))
		return;
	bool taken = !w->stopping;
	if (taken)
		(void)enqueue(w, &plain, &submitted_new((struct job){ fn, arg })->job, &none, &waited);
	pthread_mutex_unlock(&w->lock);
	if (!taken)
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
	while (w->running > 0 || !queue_is_empty(w->queue))
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
	queue_free(w->queue);
	free(w->threads);
	free(w);
}

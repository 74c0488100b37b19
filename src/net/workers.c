/* SPDX-License-Identifier: Apache-2.0
 *
 * workers.c: a ring of jobs under one lock, and threads that take them in order. Whoever fell asleep last is woken first:
 * its stack and its share of the heap are still in the caches, and those that are not needed keep no memory of their own
 * warm. Threads block all signals, so that signals reach the program's main thread and a write to a gone peer is an error
 * code, not SIGPIPE.
 */
#include "net/workers.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>

struct job {
	void (*fn)(void *arg);
	void *arg;
};

/* A thread without work, on its own stack. */
struct sleeper {
	struct sleeper *next;
	pthread_cond_t called; /* a job came, or the end */
	bool awake;            /* not in the list any more */
};

struct workers {
	pthread_mutex_t lock;
	pthread_cond_t room;    /* a job was taken, or the end */
	pthread_cond_t idle;    /* queue empty and nobody running */
	struct sleeper *asleep; /* the last one first */
	struct job *ring;
	unsigned ring_size, first, queued, running;
	bool stopping, ending;
	atomic_uint busy; /* queued + running, readable without the lock */
	pthread_t *threads;
	unsigned thread_count;
	char name[16];
};

static struct job take(struct workers *w)
{
	struct job j = w->ring[w->first];
	w->first = (w->first + 1) % w->ring_size;
	w->queued--;
	w->running++;
	pthread_cond_signal(&w->room);
	return j;
}

/* With the lock held. One that is called and finds the job gone, because another thread was free just then, comes back. */
static void sleep_until_called(struct workers *w, struct sleeper *me)
{
	me->awake = false;
	me->next = w->asleep;
	w->asleep = me;
	while (!me->awake)
		pthread_cond_wait(&me->called, &w->lock);
}

static void call_one(struct workers *w)
{
	struct sleeper *s = w->asleep;
	if (s == NULL)
		return;
	w->asleep = s->next;
	s->awake = true;
	pthread_cond_signal(&s->called);
}

static void *worker_main(void *arg)
{
	struct workers *w = arg;
	struct sleeper me = { .called = PTHREAD_COND_INITIALIZER };
	(void)prctl(PR_SET_NAME, w->name); /* for ps and gdb; another thread's name would be a write to a file */
	pthread_mutex_lock(&w->lock);
	for (;;) {
		while (w->queued == 0 && !w->ending)
			sleep_until_called(w, &me);
		if (w->queued == 0)
			break;
		struct job j = take(w);
		pthread_mutex_unlock(&w->lock);
		j.fn(j.arg);
		pthread_mutex_lock(&w->lock);
		w->running--;
		atomic_fetch_sub(&w->busy, 1);
		if (w->queued == 0 && w->running == 0)
			pthread_cond_broadcast(&w->idle);
	}
	pthread_mutex_unlock(&w->lock);
	pthread_cond_destroy(&me.called);
	return NULL;
}

static int start_thread(struct workers *w, size_t stack, pthread_t *ret)
{
	pthread_attr_t attr;
	int e = pthread_attr_init(&attr);
	if (e != 0)
		return e;
	e = stack == 0 ? 0 : pthread_attr_setstacksize(&attr, stack);
	sigset_t old;
	signals_block(&old);
	if (e == 0)
		e = pthread_create(ret, &attr, worker_main, w);
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
	pthread_cond_init(&w->idle, NULL);
	atomic_init(&w->busy, 0);
	w->ring = mem_alloc_n(sizeof *w->ring, queue_max);
	w->ring_size = queue_max;
	w->threads = mem_alloc_n(sizeof *w->threads, threads);
	(void)snprintf(w->name, sizeof w->name, "%s", name);
	for (; w->thread_count < threads; w->thread_count++) {
		int e = start_thread(w, stack, &w->threads[w->thread_count]);
		if (e != 0) {
			workers_free(w);
			FAIL(err, ERR_IO, "starting a thread of pool %s: %s", name, strerror(e));
		}
	}
	*ret = w;
	return OK;
}

/* With the lock held and room in the ring. */
static void put(struct workers *w, void (*fn)(void *arg), void *arg)
{
	w->ring[(w->first + w->queued) % w->ring_size] = (struct job){ fn, arg };
	w->queued++;
	atomic_fetch_add(&w->busy, 1);
	call_one(w);
}

fallible workers_submit(struct workers *w, void (*fn)(void *arg), void *arg, struct err *err)
{
	pthread_mutex_lock(&w->lock);
	bool stopping = w->stopping, full = w->queued == w->ring_size;
	if (!stopping && !full)
		put(w, fn, arg);
	pthread_mutex_unlock(&w->lock);
	if (stopping)
		FAIL(err, ERR_UNAVAILABLE, "the server is stopping");
	if (full)
		FAIL(err, ERR_UNAVAILABLE, "the server is busy: %u requests wait already", w->ring_size);
	return OK;
}

void workers_submit_wait(struct workers *w, void (*fn)(void *arg), void *arg)
{
	pthread_mutex_lock(&w->lock);
	while (!w->stopping && w->queued == w->ring_size)
		pthread_cond_wait(&w->room, &w->lock);
	bool stopping = w->stopping;
	if (!stopping)
		put(w, fn, arg);
	pthread_mutex_unlock(&w->lock);
	if (stopping)
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
		pthread_cond_wait(&w->idle, &w->lock);
	pthread_mutex_unlock(&w->lock);
}

void workers_free(struct workers *w)
{
	if (w == NULL)
		return;
	workers_drain(w);
	pthread_mutex_lock(&w->lock);
	w->ending = true;
	while (w->asleep != NULL)
		call_one(w);
	pthread_mutex_unlock(&w->lock);
	for (unsigned i = 0; i < w->thread_count; i++)
		pthread_join(w->threads[i], NULL);
	pthread_cond_destroy(&w->room);
	pthread_cond_destroy(&w->idle);
	pthread_mutex_destroy(&w->lock);
	free(w->threads);
	free(w->ring);
	free(w);
}

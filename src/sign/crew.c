/* SPDX-License-Identifier: Apache-2.0
 *
 * crew.c: threads that wait for a batch, take its parts one by one, and wait again.
 */
#include "sign/crew.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

struct crew {
	pthread_mutex_t lock;
	pthread_cond_t wake, done;
	pthread_t *threads;
	unsigned width, thread_count;
	bool started, stop;
	void (*fn)(void *ctx, size_t i);
	void *ctx;
	size_t next, count; /* of the batch */
	size_t under_way;
};

/* Holds the lock, and has it again afterwards; false: nothing was left to take. */
static bool take_one(struct crew *c)
{
	if (c->next >= c->count)
		return false;
	size_t i = c->next++;
	c->under_way++;
	pthread_mutex_unlock(&c->lock);
	c->fn(c->ctx, i);
	pthread_mutex_lock(&c->lock);
	c->under_way--;
	return true;
}

static void *crew_main(void *ctx)
{
	struct crew *c = ctx;
	pthread_mutex_lock(&c->lock);
	while (!c->stop) {
		if (take_one(c)) {
			if (c->next >= c->count && c->under_way == 0)
				pthread_cond_signal(&c->done);
			continue;
		}
		pthread_cond_wait(&c->wake, &c->lock);
	}
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

/* Those that cannot be made are done without: the caller works in any case. */
static void crew_start(struct crew *c)
{
	sigset_t all, before;
	sigfillset(&all); /* signals are the program's business */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	while (c->thread_count + 1 < c->width && pthread_create(&c->threads[c->thread_count], NULL, crew_main, c) == 0)
		c->thread_count++;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	c->started = true;
}

void crew_run(struct crew *c, size_t count, void (*fn)(void *ctx, size_t i), void *ctx)
{
	if (count > 1 && !c->started)
		crew_start(c);
	pthread_mutex_lock(&c->lock);
	c->fn = fn;
	c->ctx = ctx;
	c->next = 0;
	c->count = count;
	if (count > 1)
		pthread_cond_broadcast(&c->wake);
	while (take_one(c))
		continue;
	while (c->under_way > 0)
		pthread_cond_wait(&c->done, &c->lock);
	c->count = 0;
	pthread_mutex_unlock(&c->lock);
}

struct crew *crew_new(unsigned width)
{
	struct crew *c = mem_alloc(sizeof *c);
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->wake, NULL);
	pthread_cond_init(&c->done, NULL);
	c->width = width;
	c->threads = mem_alloc_n(sizeof *c->threads, width);
	return c;
}

void crew_free(struct crew *c)
{
	if (c == NULL)
		return;
	pthread_mutex_lock(&c->lock);
	c->stop = true;
	pthread_cond_broadcast(&c->wake);
	pthread_mutex_unlock(&c->lock);
	for (unsigned i = 0; i < c->thread_count; i++)
		pthread_join(c->threads[i], NULL);
	pthread_cond_destroy(&c->done);
	pthread_cond_destroy(&c->wake);
	pthread_mutex_destroy(&c->lock);
	free(c->threads);
	free(c);
}

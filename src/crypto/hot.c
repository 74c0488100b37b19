/* SPDX-License-Identifier: Apache-2.0
 *
 * hot.c: keys that verify very often get a table (p256.c). A table costs as much as some eight hundred verifications
 * save, so a key has to have verified that many first; it is made beside the requests, by a thread that lives as long as
 * that takes. A key that goes, and a process that ends, meanwhile wait for nothing but their own part.
 */
#include "crypto/internal.h"

#include <pthread.h>
#include <stdlib.h>

#define HOT_VERIFICATIONS 1000
#define TABLES_MAX 64 /* 10 MiB */

struct heat {
	atomic_uint refs; /* the process's, and one a table */
	atomic_uint tables;
	pthread_mutex_t lock; /* thread, is_started, hot */
	pthread_t thread;
	bool is_started; /* and not joined yet */
	atomic_bool is_done;
	struct hot *hot; /* whose table the thread makes */
};

struct hot {
	atomic_uint refs; /* the key's, and the thread's */
	atomic_uint verified;
	_Atomic(struct p256_table *) table;
	struct heat *heat; /* whose budget the table is in; written before the table is */
	uint8_t x[P256_LEN], y[P256_LEN];
};

struct heat *heat_new(void)
{
	struct heat *h = mem_alloc(sizeof *h);
	atomic_init(&h->refs, 1);
	(void)pthread_mutex_init(&h->lock, NULL);
	return h;
}

static void heat_unref(struct heat *h)
{
	if (atomic_fetch_sub(&h->refs, 1) != 1)
		return;
	(void)pthread_mutex_destroy(&h->lock);
	free(h);
}

void heat_free(struct heat *h)
{
	if (h == NULL)
		return;
	if (h->is_started)
		(void)pthread_join(h->thread, NULL);
	heat_unref(h);
}

struct hot *hot_new(struct str x, struct str y)
{
	struct hot *h = mem_alloc(sizeof *h);
	assert(x.n == P256_LEN && y.n == P256_LEN);
	atomic_init(&h->refs, 1);
	memcpy(h->x, x.p, P256_LEN);
	memcpy(h->y, y.p, P256_LEN);
	return h;
}

void hot_free(struct hot *h)
{
	if (h == NULL || atomic_fetch_sub(&h->refs, 1) != 1)
		return;
	struct p256_table *t = atomic_load(&h->table);
	if (t != NULL) {
		atomic_fetch_sub(&h->heat->tables, 1);
		heat_unref(h->heat);
	}
	p256_table_free(t);
	free(h);
}

bool hot_has_table(const struct hot *h)
{
	return atomic_load_explicit(&h->table, memory_order_acquire) != NULL;
}

/* A place in the budget, which the table keeps; false: there is none. */
static bool place_take(struct heat *heat)
{
	if (atomic_fetch_add(&heat->tables, 1) < TABLES_MAX)
		return true;
	atomic_fetch_sub(&heat->tables, 1);
	return false;
}

/* Under the lock: two makers would both write hot's heat. */
static fallible make_table(struct heat *heat, struct hot *h, struct err *err)
{
	struct p256_table *made;
	if (hot_has_table(h))
		return OK;
	if (!place_take(heat))
		FAIL(err, ERR_UNAVAILABLE, "%d keys have a table, and no more may", TABLES_MAX);
	struct rc rc = p256_table_new(str_n(h->x, P256_LEN), str_n(h->y, P256_LEN), &made, err);
	if (FAILED(rc)) {
		atomic_fetch_sub(&heat->tables, 1);
		return rc;
	}
	atomic_fetch_add(&heat->refs, 1);
	h->heat = heat;
	atomic_store_explicit(&h->table, made, memory_order_release);
	return OK;
}

fallible hot_make_table(struct heat *heat, struct hot *h, struct err *err)
{
	(void)pthread_mutex_lock(&heat->lock);
	struct rc rc = make_table(heat, h, err);
	(void)pthread_mutex_unlock(&heat->lock);
	return rc;
}

static void *table_thread(void *arg)
{
	struct heat *heat = arg;
	(void)pthread_mutex_lock(&heat->lock);
	struct hot *h = heat->hot;
	(void)FAILED(make_table(heat, h, NULL)); /* asked for again after as many verifications more */
	(void)pthread_mutex_unlock(&heat->lock);
	hot_free(h);
	atomic_store(&heat->is_done, true);
	return NULL;
}

/* Never waits: when the lock is held, a table is being made, and this key's turn comes later. */
static void table_begin(struct heat *heat, struct hot *h)
{
	pthread_attr_t small;
	if (pthread_mutex_trylock(&heat->lock) != 0)
		return;
	if (heat->is_started && atomic_load(&heat->is_done)) {
		(void)pthread_join(heat->thread, NULL);
		heat->is_started = false;
	}
	if (!heat->is_started && atomic_load(&heat->tables) < TABLES_MAX && pthread_attr_init(&small) == 0) {
		(void)pthread_attr_setstacksize(&small, 128 * 1024);
		atomic_fetch_add(&h->refs, 1);
		heat->hot = h;
		atomic_store(&heat->is_done, false);
		heat->is_started = pthread_create(&heat->thread, &small, table_thread, heat) == 0;
		if (!heat->is_started)
			hot_free(h);
		(void)pthread_attr_destroy(&small);
	}
	(void)pthread_mutex_unlock(&heat->lock);
}

const struct p256_table *hot_table(struct heat *heat, struct hot *h, bool *ret_again)
{
	const struct p256_table *t = atomic_load_explicit(&h->table, memory_order_acquire);
	*ret_again = true;
	if (t != NULL)
		return t;
	unsigned count = atomic_fetch_add_explicit(&h->verified, 1, memory_order_relaxed) + 1;
	*ret_again = count > 1;
	if (count % HOT_VERIFICATIONS == 0)
		table_begin(heat, h);
	return NULL;
}

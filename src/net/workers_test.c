/* SPDX-License-Identifier: Apache-2.0
 *
 * workers_test.c: the pool runs everything once, refuses beyond its queue, and drains.
 */
#include "net/workers.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

#include <cmocka.h>

static struct workers *make_pool(unsigned threads, unsigned queue_max)
{
	struct err err = { 0 };
	struct workers *w = NULL;
	assert_int_equal(workers_new("test", threads, queue_max, 256 * 1024, &w, &err).kind, ERR_NONE);
	return w;
}

/* A door that jobs wait at, so that a test decides when they end. */
struct door {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool open;
	unsigned inside;
	atomic_uint ran;
};

#define DOOR_INIT                                                                      \
	{                                                                              \
		.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER \
	}

static void wait_at_door(void *arg)
{
	struct door *d = arg;
	pthread_mutex_lock(&d->lock);
	d->inside++;
	pthread_cond_broadcast(&d->changed);
	while (!d->open)
		pthread_cond_wait(&d->changed, &d->lock);
	pthread_mutex_unlock(&d->lock);
	atomic_fetch_add(&d->ran, 1);
}

static void await_inside(struct door *d, unsigned n)
{
	pthread_mutex_lock(&d->lock);
	while (d->inside < n)
		pthread_cond_wait(&d->changed, &d->lock);
	pthread_mutex_unlock(&d->lock);
}

static void open_door(struct door *d)
{
	pthread_mutex_lock(&d->lock);
	d->open = true;
	pthread_cond_broadcast(&d->changed);
	pthread_mutex_unlock(&d->lock);
}

static void count(void *arg)
{
	atomic_uint *n = arg;
	atomic_fetch_add(n, 1);
}

/* Offers fn(arg) with a job that lives as long as the pool does. */
static enum err_kind offer(struct workers *w, const struct workers_offer *o, void (*fn)(void *arg), void *arg,
			   struct workers_job *job, struct err *err)
{
	*job = (struct workers_job){ .fn = fn, .arg = arg };
	return workers_offer(w, o, job, err).kind;
}

static void every_job_runs_once(void **state)
{
	(void)state;
	struct workers *w = make_pool(4, 8);
	atomic_uint n = 0;
	for (unsigned i = 0; i < 20000; i++)
		workers_submit_wait(w, count, &n);
	workers_drain(w);
	assert_int_equal(atomic_load(&n), 20000);
	assert_int_equal(workers_busy(w), 0);
	workers_free(w);
}

static void full_queue_refuses_and_keeps_what_it_took(void **state)
{
	(void)state;
	struct workers *w = make_pool(2, 3);
	struct door d = DOOR_INIT;
	struct err err = { 0 };
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(workers_submit(w, wait_at_door, &d, &err).kind, ERR_NONE);
	await_inside(&d, 2);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(workers_submit(w, wait_at_door, &d, &err).kind, ERR_NONE);
	assert_int_equal(workers_busy(w), 5);
	assert_int_equal(workers_submit(w, wait_at_door, &d, &err).kind, ERR_UNAVAILABLE);
	open_door(&d);
	workers_drain(w);
	assert_int_equal(atomic_load(&d.ran), 5);
	workers_free(w);
}

struct waiting {
	struct workers *w;
	struct door *d;
	atomic_bool returned;
};

static void *submit_waiting(void *arg)
{
	struct waiting *s = arg;
	workers_submit_wait(s->w, wait_at_door, s->d);
	atomic_store(&s->returned, true);
	return NULL;
}

static void submit_wait_waits_for_room(void **state)
{
	(void)state;
	struct workers *w = make_pool(1, 1);
	struct door d = DOOR_INIT;
	struct err err = { 0 };
	assert_int_equal(workers_submit(w, wait_at_door, &d, &err).kind, ERR_NONE);
	await_inside(&d, 1);
	assert_int_equal(workers_submit(w, wait_at_door, &d, &err).kind, ERR_NONE);
	struct waiting s = { .w = w, .d = &d };
	pthread_t t;
	assert_int_equal(pthread_create(&t, NULL, submit_waiting, &s), 0);
	nanosleep(&(struct timespec){ .tv_nsec = 30 * 1000 * 1000 }, NULL);
	assert_false(atomic_load(&s.returned));
	open_door(&d);
	pthread_join(t, NULL);
	workers_drain(w);
	assert_int_equal(atomic_load(&d.ran), 3);
	workers_free(w);
}

static void drained_pool_refuses_and_runs_undroppable_work_in_the_caller(void **state)
{
	(void)state;
	struct workers *w = make_pool(2, 4);
	atomic_uint n = 0;
	struct err err = { 0 };
	workers_drain(w);
	assert_int_equal(workers_submit(w, count, &n, &err).kind, ERR_UNAVAILABLE);
	assert_int_equal(atomic_load(&n), 0);
	workers_submit_wait(w, count, &n);
	assert_int_equal(atomic_load(&n), 1);
	workers_free(w);
}

static void read_mask(void *arg)
{
	sigset_t *set = arg;
	pthread_sigmask(SIG_SETMASK, NULL, set);
}

static void signals_are_left_to_the_programs_own_thread(void **state)
{
	(void)state;
	struct workers *w = make_pool(1, 1);
	sigset_t in_worker, here;
	sigemptyset(&in_worker);
	workers_submit_wait(w, read_mask, &in_worker);
	workers_free(w);
	pthread_sigmask(SIG_SETMASK, NULL, &here);
	assert_int_equal(sigismember(&in_worker, SIGTERM), 1);
	assert_int_equal(sigismember(&in_worker, SIGPIPE), 1);
	assert_int_equal(sigismember(&here, SIGTERM), 0);
}

static void note_thread(void *arg)
{
	pthread_t *who = arg;
	*who = pthread_self();
}

/* A pool of hundreds that has little to do runs on few warm stacks. */
static void work_goes_to_whoever_slept_least(void **state)
{
	(void)state;
	enum { THREADS = 8, ROUNDS = 100 };
	struct workers *w = make_pool(THREADS, 1);
	const struct timespec nap = { .tv_nsec = 100000 };
	pthread_t before = { 0 }, now = { 0 };
	unsigned changes = 0;
	for (unsigned i = 0; i < ROUNDS; i++) {
		workers_submit_wait(w, note_thread, &now);
		while (workers_busy(w) > 0) /* whoever takes the lock from here on finds it asleep again */
			nanosleep(&nap, NULL);
		changes += i == 0 || !pthread_equal(before, now);
		before = now;
	}
	workers_free(w);
	assert_in_range(changes, 1, THREADS); /* each may come once, when it has just been started */
}

struct listed {
	char *list;
	char letter;
};

static void write_down(void *arg)
{
	const struct listed *l = arg;
	l->list[strlen(l->list)] = l->letter;
}

static void what_goes_on_and_what_finishes_go_before_what_begins_but_not_for_ever(void **state)
{
	(void)state;
	enum { FIRST = 40, LATER = 4 };
	struct workers *w = make_pool(1, 100);
	struct door d = DOOR_INIT;
	struct err err = { 0 };
	char list[FIRST + LATER + 2] = { 0 };
	struct listed first = { list, 'f' }, later = { list, 'l' }, resumed = { list, 'r' };
	assert_int_equal(workers_submit(w, wait_at_door, &d, &err).kind, ERR_NONE);
	await_inside(&d, 1);
	const struct workers_offer o[] = { { WORKERS_FIRST, 1, 1000, 50 }, { WORKERS_LATER, 2, 1000, 50 } };
	struct workers_job jobs[LATER + FIRST + 1];
	for (unsigned i = 0; i < LATER; i++)
		assert_int_equal(offer(w, &o[1], write_down, &later, &jobs[i], &err), ERR_NONE);
	for (unsigned i = 0; i < FIRST; i++)
		assert_int_equal(offer(w, &o[0], write_down, &first, &jobs[LATER + i], &err), ERR_NONE);
	jobs[LATER + FIRST] = (struct workers_job){ .fn = write_down, .arg = &resumed };
	workers_resume(w, &jobs[LATER + FIRST]);
	open_door(&d);
	workers_free(w);
	assert_string_equal(list, "rffffffffffffffffl"
				  "ffffffffffffffffl"
				  "ffffffffll");
}

struct offered {
	enum workers_rank rank;
	int64_t now_ms, patience_ms;
	enum err_kind want;
};

static void who_waits_too_long_closes_the_queue_to_its_rank_and_those_after_it(void **state)
{
	(void)state;
	static const struct offered rows[] = {
		{ WORKERS_LATER, 1000, 50, ERR_NONE },        /* nobody waits */
		{ WORKERS_LATER, 1050, 50, ERR_NONE },        /* for as long as may be */
		{ WORKERS_LATER, 1051, 50, ERR_UNAVAILABLE }, /* and longer */
		{ WORKERS_FIRST, 1051, 50, ERR_NONE },        /* not the matter of those before */
		{ WORKERS_FIRST, 1102, 50, ERR_UNAVAILABLE }, /* but this one is */
		{ WORKERS_FIRST, 1102, 500, ERR_NONE },       /* everyone has a patience of its own */
		{ WORKERS_LATER, 1000, 0, ERR_NONE },         /* a clock that another loop read a moment ago */
		{ WORKERS_FIRST, INT64_MAX, 50, ERR_UNAVAILABLE },
	};
	struct workers *w = make_pool(1, 100);
	struct door d = DOOR_INIT;
	struct err err = { 0 };
	struct workers_job jobs[ARRAY_LEN(rows)];
	assert_int_equal(workers_submit(w, wait_at_door, &d, &err).kind, ERR_NONE);
	await_inside(&d, 1);
	atomic_uint n = 0;
	unsigned taken = 0;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct workers_offer o = { rows[i].rank, 7, rows[i].now_ms, rows[i].patience_ms };
		enum err_kind got = offer(w, &o, count, &n, &jobs[i], &err);
		if (got != rows[i].want)
			fail_msg("row %zu: kind %d, wanted %d: %s", i, (int)got, (int)rows[i].want, err.detail);
		taken += got == ERR_NONE;
	}
	open_door(&d);
	workers_free(w);
	assert_int_equal(atomic_load(&n), taken);
}

static void the_last_places_are_for_what_finishes(void **state)
{
	(void)state;
	struct workers *w = make_pool(1, 8);
	struct door d = DOOR_INIT;
	struct err err = { 0 };
	atomic_uint n = 0;
	assert_int_equal(workers_submit(w, wait_at_door, &d, &err).kind, ERR_NONE);
	await_inside(&d, 1);
	const struct workers_offer later = { WORKERS_LATER, 0, 0, INT64_MAX };
	struct workers_job jobs[7];
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(offer(w, &later, count, &n, &jobs[i], &err), ERR_NONE);
	assert_int_equal(offer(w, &later, count, &n, &jobs[6], &err), ERR_UNAVAILABLE);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(workers_submit(w, count, &n, &err).kind, ERR_NONE);
	assert_int_equal(workers_submit(w, count, &n, &err).kind, ERR_UNAVAILABLE);
	open_door(&d);
	workers_free(w);
	assert_int_equal(atomic_load(&n), 8);
}

struct guest {
	atomic_uint ran, refused;
};

static void guest_runs(void *arg)
{
	atomic_fetch_add(&((struct guest *)arg)->ran, 1);
}

static void guest_is_refused(void *arg)
{
	atomic_fetch_add(&((struct guest *)arg)->refused, 1);
}

/* Each job is either run or refused, and the pool knows when it has nothing left to do. */
static void who_has_many_waiting_gives_way(void **state)
{
	(void)state;
	struct workers *w = make_pool(1, 4);
	struct door d = DOOR_INIT;
	struct err err = { 0 };
	struct guest many = { 0 }, one = { 0 };
	struct workers_job jobs[6];
	const struct workers_offer of_many = { WORKERS_FIRST, 1, 0, INT64_MAX },
				   of_one = { WORKERS_FIRST, 2, 0, INT64_MAX };
	assert_int_equal(workers_submit(w, wait_at_door, &d, &err).kind, ERR_NONE);
	await_inside(&d, 1);
	for (unsigned i = 0; i < 6; i++) {
		jobs[i] = (struct workers_job){ guest_runs, guest_is_refused, i < 5 ? &many : &one };
		enum err_kind got = workers_offer(w, i < 5 ? &of_many : &of_one, &jobs[i], &err).kind;
		assert_int_equal(got, i == 4 ? ERR_UNAVAILABLE : ERR_NONE);
	}
	assert_int_equal(atomic_load(&many.refused), 1);
	assert_int_equal(workers_busy(w), 5);
	open_door(&d);
	workers_drain(w);
	assert_int_equal(atomic_load(&many.ran), 3);
	assert_int_equal(atomic_load(&one.ran), 1);
	assert_int_equal(workers_busy(w), 0);
	workers_free(w);
}

static void what_goes_on_is_not_refused_by_a_pool_that_stops(void **state)
{
	(void)state;
	struct workers *w = make_pool(2, 2);
	struct guest g = { 0 };
	struct workers_job job = { .fn = guest_runs, .arg = &g };
	workers_drain(w);
	workers_resume(w, &job);
	workers_free(w);
	assert_int_equal(atomic_load(&g.ran), 1);
}

static void freeing_nothing_is_fine(void **state)
{
	(void)state;
	workers_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_job_runs_once),
		cmocka_unit_test(full_queue_refuses_and_keeps_what_it_took),
		cmocka_unit_test(submit_wait_waits_for_room),
		cmocka_unit_test(drained_pool_refuses_and_runs_undroppable_work_in_the_caller),
		cmocka_unit_test(signals_are_left_to_the_programs_own_thread),
		cmocka_unit_test(work_goes_to_whoever_slept_least),
		cmocka_unit_test(what_goes_on_and_what_finishes_go_before_what_begins_but_not_for_ever),
		cmocka_unit_test(who_waits_too_long_closes_the_queue_to_its_rank_and_those_after_it),
		cmocka_unit_test(the_last_places_are_for_what_finishes),
		cmocka_unit_test(who_has_many_waiting_gives_way),
		cmocka_unit_test(what_goes_on_is_not_refused_by_a_pool_that_stops),
		cmocka_unit_test(freeing_nothing_is_fine),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

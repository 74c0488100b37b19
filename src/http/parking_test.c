/* SPDX-License-Identifier: Apache-2.0
 *
 * parking_test.c: whoever ends a wait, in whatever order, the request goes on once.
 */
#include "http/http.h"

#include <pthread.h>
#include <setjmp.h>

#include <cmocka.h>

struct place {
	struct http_parking parking; /* first: ops get it */
	bool full;
	atomic_uint resumed;
	unsigned admitted, gone_on;
	bool called;
};

static bool admit(struct http_parking *p)
{
	struct place *at = (struct place *)(void *)p;
	at->admitted++;
	return !at->full;
}

static void resume(struct http_parking *p)
{
	atomic_fetch_add(&((struct place *)(void *)p)->resumed, 1);
}

static void go_on(void *arg, bool called, struct http_reply *re)
{
	struct place *at = arg;
	at->gone_on++;
	at->called = called;
	re->status = 200;
}

static const struct http_parking_ops ops = { .admit = admit, .resume = resume };

enum step { CALL, END, LEAVE, STEP_COUNT };

static void the_first_who_ends_it_says_how_it_ended(void **state)
{
	(void)state;
	static const struct {
		enum step steps[4];
		size_t count;
		bool left, called;
		unsigned resumed;
	} rows[] = {
		{ { LEAVE, CALL, END, CALL }, 4, true, true, 1 },   { { LEAVE, END, CALL, END }, 4, true, false, 1 },
		{ { CALL, LEAVE, CALL, END }, 4, false, true, 0 }, /* before the worker has left */
		{ { END, CALL, LEAVE, CALL }, 4, false, false, 0 }, { { CALL, END, LEAVE }, 3, false, true, 0 },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct place at = { 0 };
		struct http_reply re = { 0 };
		const struct http_request rq = { .parking = &at.parking };
		unsigned calls_that_count = 0;
		http_parking_begin(&at.parking, &ops);
		assert_true(http_park(&rq, 100, go_on, &at));
		for (size_t k = 0; k < rows[i].count; k++) {
			if (rows[i].steps[k] == LEAVE)
				assert_int_equal(http_parking_leave(&at.parking), rows[i].left);
			else if (rows[i].steps[k] == CALL)
				calls_that_count += http_parking_call(&at.parking);
			else
				http_parking_end(&at.parking);
		}
		http_parking_go_on(&at.parking, &re);
		assert_int_equal(calls_that_count, rows[i].called);
		assert_int_equal(at.called, rows[i].called);
		assert_int_equal(atomic_load(&at.resumed), rows[i].resumed);
		assert_int_equal(re.status, 200);
	}
}

static void who_cannot_wait_is_told_so(void **state)
{
	(void)state;
	struct place at = { .full = true };
	struct http_request rq = { 0 };
	assert_false(http_park(&rq, 100, go_on, &at)); /* whoever called waits for the reply */
	rq.parking = &at.parking;
	http_parking_begin(&at.parking, &ops);
	assert_false(http_park(&rq, 0, go_on, &at));
	assert_int_equal(at.admitted, 0);
	assert_false(http_park(&rq, 100, go_on, &at));
	assert_int_equal(at.admitted, 1);
	at.full = false;
	assert_true(http_park(&rq, 100, go_on, &at));
	assert_int_equal(at.parking.wait_ms, 100);
	assert_false(http_park(&rq, 100, go_on, &at)); /* once a request */
}

static void *call(void *arg)
{
	return http_parking_call(arg) ? arg : NULL;
}

static void *end(void *arg)
{
	http_parking_end(arg);
	return NULL;
}

/* The same from three threads at once: either the worker finds it over or it is resumed, never both. */
static void it_goes_on_once_whatever_comes_at_once(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 500; i++) {
		struct place at = { 0 };
		const struct http_request rq = { .parking = &at.parking };
		pthread_t threads[2];
		void *called = NULL;
		http_parking_begin(&at.parking, &ops);
		assert_true(http_park(&rq, 100, go_on, &at));
		assert_int_equal(pthread_create(&threads[0], NULL, call, &at.parking), 0);
		assert_int_equal(pthread_create(&threads[1], NULL, end, &at.parking), 0);
		bool left = http_parking_leave(&at.parking);
		pthread_join(threads[0], &called);
		pthread_join(threads[1], NULL);
		struct http_reply re = { 0 };
		http_parking_go_on(&at.parking, &re);
		assert_int_equal(atomic_load(&at.resumed), left);
		assert_int_equal(at.called, called != NULL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_who_ends_it_says_how_it_ended),
		cmocka_unit_test(who_cannot_wait_is_told_so),
		cmocka_unit_test(it_goes_on_once_whatever_comes_at_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

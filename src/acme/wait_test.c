/* SPDX-License-Identifier: Apache-2.0
 *
 * wait_test.c: who is called goes on at once, and a seat outlives whoever calls it.
 */
#include "acme/app.h"
#include "unit.h"

#include <stdatomic.h>

struct guest {
	struct http_parking parking; /* first: ops get it */
	struct waiting seat;
	sem_t resumed;
	bool called;
};

static bool admit(struct http_parking *p)
{
	(void)p;
	return true;
}

static void resume(struct http_parking *p)
{
	(void)sem_post(&((struct guest *)(void *)p)->resumed);
}

static void go_on(void *arg, bool called, struct http_reply *re)
{
	struct guest *g = arg;
	(void)re;
	g->called = called;
}

static const struct http_parking_ops ops = { .admit = admit, .resume = resume };

static struct id id_of(uint8_t n)
{
	struct id id = { 0 };
	id.b[15] = n;
	return id;
}

static void guest_enter(struct waitroom *w, struct guest *g, uint8_t n)
{
	const struct http_request rq = { .parking = &g->parking };
	(void)sem_init(&g->resumed, 0, 0);
	http_parking_begin(&g->parking, &ops);
	assert_true(http_park(&rq, 1, go_on, g));
	waitroom_enter(w, &g->seat, &g->parking, id_of(n));
}

/* As a worker does: leave, and go on when somebody says so. */
static bool guest_go(struct waitroom *w, struct guest *g, bool deadline)
{
	bool left = http_parking_leave(&g->parking);
	if (deadline)
		http_parking_end(&g->parking);
	while (left && sem_wait(&g->resumed) != 0)
		;
	http_parking_go_on(&g->parking, NULL);
	waitroom_leave(w, &g->seat, g->called);
	sem_destroy(&g->resumed);
	return g->called;
}

static void those_of_an_id_are_called_and_nobody_else(void **state)
{
	(void)state;
	struct waitroom *w = waitroom_new();
	struct guest a, same, other;
	guest_enter(w, &a, 1);
	guest_enter(w, &other, 2);
	guest_enter(w, &same, 1);
	waitroom_call(w, id_of(1)); /* before they have left their worker: it is not missed */
	waitroom_call(w, id_of(7)); /* nobody's */
	assert_true(guest_go(w, &a, false));
	assert_true(guest_go(w, &same, false));
	assert_false(guest_go(w, &other, true));
	waitroom_call(w, id_of(2)); /* it has gone */
	waitroom_free(w);
	waitroom_free(NULL);
}

static void a_seat_goes_from_anywhere_in_its_row(void **state)
{
	(void)state;
	enum { MANY = 200 };
	struct waitroom *w = waitroom_new();
	struct guest guests[MANY];
	for (size_t i = 0; i < MANY; i++)
		guest_enter(w, &guests[i], (uint8_t)i);
	for (size_t i = 0; i < MANY; i++) {
		struct guest *g = &guests[i * 7 % MANY];
		if (i % 2 == 0)
			waitroom_call(w, g->seat.id);
		assert_int_equal(guest_go(w, g, i % 2 == 1), i % 2 == 0);
	}
	waitroom_free(w);
}

#define ROUNDS 2000
#define IDS 3

static void *caller_main(void *arg)
{
	for (unsigned i = 0; i < ROUNDS; i++)
		waitroom_call((struct waitroom *)arg, id_of((uint8_t)(i % IDS)));
	return NULL;
}

/* Calls and ends of the wait at the same moment: the seat must outlive the call, and go once. */
static void a_call_may_come_as_the_wait_ends(void **state)
{
	(void)state;
	struct waitroom *w = waitroom_new();
	pthread_t callers[2];
	for (size_t i = 0; i < ARRAY_LEN(callers); i++)
		assert_int_equal(pthread_create(&callers[i], NULL, caller_main, w), 0);
	for (unsigned i = 0; i < ROUNDS; i++) {
		struct guest g;
		guest_enter(w, &g, (uint8_t)(i % IDS));
		(void)guest_go(w, &g, true);
		memset(&g, 0xff, sizeof g); /* as the next function on this stack would */
	}
	for (size_t i = 0; i < ARRAY_LEN(callers); i++)
		pthread_join(callers[i], NULL);
	waitroom_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(those_of_an_id_are_called_and_nobody_else),
		cmocka_unit_test(a_seat_goes_from_anywhere_in_its_row),
		cmocka_unit_test(a_call_may_come_as_the_wait_ends),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

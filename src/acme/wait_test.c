/* SPDX-License-Identifier: Apache-2.0
 *
 * wait_test.c: who is called goes at once, who is not goes in time, and every seat comes back.
 */
#include "acme/app.h"
#include "unit.h"

#include <time.h>

#define WORKERS 4
#define SEATS 3       /* of so many workers; for a validator, 2 of them */
#define LONG_MS 20000 /* a test that waits so long has failed */

static int64_t mono_ms(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static struct id id_of(uint8_t n)
{
	struct id id = { 0 };
	id.b[15] = n;
	return id;
}

static struct waitroom *room_new(void)
{
	struct err err = { 0 };
	struct waitroom *w = NULL;
	MUST(waitroom_new(WORKERS, &w, &err));
	return w;
}

static void a_full_room_takes_nobody_until_one_goes(void **state)
{
	(void)state;
	struct waitroom *w = room_new();
	struct waiting seats[SEATS], late;
	for (uint8_t i = 0; i < SEATS; i++)
		assert_true(waitroom_enter(w, &seats[i], WAIT_SIGNER, id_of(i)));
	assert_false(waitroom_enter(w, &late, WAIT_SIGNER, id_of(9)));
	assert_false(waitroom_wait(w, &seats[1], 0)); /* from the middle of the list */
	assert_true(waitroom_enter(w, &late, WAIT_SIGNER, id_of(9)));
	assert_false(waitroom_enter(w, &seats[1], WAIT_SIGNER, id_of(1)));
	assert_false(waitroom_wait(w, &late, 0));
	assert_false(waitroom_wait(w, &seats[0], 0));
	assert_false(waitroom_wait(w, &seats[2], 0));
	for (uint8_t i = 0; i < SEATS; i++)
		assert_true(waitroom_enter(w, &seats[i], WAIT_SIGNER, id_of(i)));
	for (uint8_t i = 0; i < SEATS; i++)
		assert_false(waitroom_wait(w, &seats[i], 0));
	waitroom_free(w);
}

static void a_call_before_the_wait_is_not_missed(void **state)
{
	(void)state;
	struct waitroom *w = room_new();
	struct waiting a, same, other;
	assert_true(waitroom_enter(w, &a, WAIT_SIGNER, id_of(1)) && waitroom_enter(w, &same, WAIT_SIGNER, id_of(1)) &&
		    waitroom_enter(w, &other, WAIT_SIGNER, id_of(2)));
	waitroom_call(w, id_of(1));
	waitroom_call(w, id_of(7)); /* nobody's */
	int64_t begun = mono_ms();
	assert_true(waitroom_wait(w, &a, LONG_MS));
	assert_true(waitroom_wait(w, &same, LONG_MS));
	assert_true(mono_ms() - begun < LONG_MS / 2);
	begun = mono_ms();
	assert_false(waitroom_wait(w, &other, 1050)); /* more than a second: the carry */
	assert_true(mono_ms() - begun >= 1000 && mono_ms() - begun < LONG_MS / 2);
	waitroom_free(w);
}

struct sleeper {
	pthread_t thread;
	struct waitroom *w;
	struct waiting seat;
	bool called;
};

static void *sleeper_main(void *arg)
{
	struct sleeper *s = arg;
	s->called = waitroom_wait(s->w, &s->seat, LONG_MS);
	return NULL;
}

static void a_call_wakes_those_who_wait_for_it(void **state)
{
	(void)state;
	struct waitroom *w = room_new();
	struct sleeper s[SEATS];
	int64_t begun = mono_ms();
	for (uint8_t i = 0; i < SEATS; i++) {
		s[i] = (struct sleeper){ .w = w };
		assert_true(waitroom_enter(w, &s[i].seat, WAIT_SIGNER, id_of(i)));
		assert_int_equal(pthread_create(&s[i].thread, NULL, sleeper_main, &s[i]), 0);
	}
	for (uint8_t i = SEATS; i-- > 0;) {
		waitroom_call(w, id_of(i));
		pthread_join(s[i].thread, NULL);
		assert_true(s[i].called);
	}
	assert_true(mono_ms() - begun < LONG_MS / 2);
	waitroom_free(w);
}

static void those_who_wait_for_a_validator_leave_room_for_others(void **state)
{
	(void)state;
	struct waitroom *w = room_new();
	struct waiting seats[SEATS];
	assert_true(waitroom_enter(w, &seats[0], WAIT_VALIDATOR, id_of(0)));
	assert_true(waitroom_enter(w, &seats[1], WAIT_VALIDATOR, id_of(1)));
	assert_false(waitroom_enter(w, &seats[2], WAIT_VALIDATOR, id_of(2)));
	assert_true(waitroom_enter(w, &seats[2], WAIT_SIGNER, id_of(2)));
	assert_false(waitroom_wait(w, &seats[0], 0));
	assert_true(waitroom_enter(w, &seats[0], WAIT_VALIDATOR, id_of(0)));
	for (size_t i = 0; i < SEATS; i++)
		assert_false(waitroom_wait(w, &seats[i], 0));
	waitroom_free(w);
}

#define ROUNDS 2000

static void *caller_main(void *arg)
{
	for (unsigned i = 0; i < ROUNDS; i++)
		waitroom_call((struct waitroom *)arg, id_of((uint8_t)(i % SEATS)));
	return NULL;
}

/* Calls and ends of the wait at the same moment: the seat must outlive the call, and come back once. */
static void a_call_may_come_as_the_wait_ends(void **state)
{
	(void)state;
	struct waitroom *w = room_new();
	pthread_t callers[2];
	for (size_t i = 0; i < ARRAY_LEN(callers); i++)
		assert_int_equal(pthread_create(&callers[i], NULL, caller_main, w), 0);
	for (unsigned i = 0; i < ROUNDS; i++) {
		struct waiting seat;
		assert_true(waitroom_enter(w, &seat, WAIT_SIGNER, id_of((uint8_t)(i % SEATS))));
		(void)waitroom_wait(w, &seat, i % 2);
		memset(&seat, 0xff, sizeof seat); /* as the next function on this stack would */
	}
	for (size_t i = 0; i < ARRAY_LEN(callers); i++)
		pthread_join(callers[i], NULL);
	waitroom_free(w);
}

static void a_room_without_seats_is_always_full(void **state)
{
	(void)state;
	struct err err = { 0 };
	struct waitroom *w = NULL;
	struct waiting seat;
	MUST(waitroom_new(1, &w, &err));
	assert_false(waitroom_enter(w, &seat, WAIT_SIGNER, id_of(1)));
	waitroom_call(w, id_of(1));
	waitroom_free(w);
	waitroom_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_full_room_takes_nobody_until_one_goes),
		cmocka_unit_test(a_call_before_the_wait_is_not_missed),
		cmocka_unit_test(a_call_wakes_those_who_wait_for_it),
		cmocka_unit_test(those_who_wait_for_a_validator_leave_room_for_others),
		cmocka_unit_test(a_call_may_come_as_the_wait_ends),
		cmocka_unit_test(a_room_without_seats_is_always_full),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

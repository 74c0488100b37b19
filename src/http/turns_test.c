/* SPDX-License-Identifier: Apache-2.0
 *
 * turns_test.c: who shakes hands first. The connections are bare structs: no socket, no TLS, no time but the test's.
 */
#include "http/conn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

struct comer {
	char name;
	bool begun, crowded;
	int64_t since;
};

/* Adds them in order, and takes them out at now_ms. */
static void order_is(const struct comer *comers, size_t count, int64_t now_ms, const char *want)
{
	struct turns t;
	struct conn *conns = mem_alloc_n(sizeof *conns, count);
	char got[17] = "";
	assert_true(count < sizeof got);
	turns_init(&t);
	for (size_t i = 0; i < count; i++) {
		conns[i].begun = comers[i].begun;
		conns[i].crowded = comers[i].crowded;
		conns[i].shakes_since = comers[i].since;
		turns_add(&t, &conns[i]);
		assert_non_null(conns[i].shake_list);
	}
	size_t n = 0;
	for (struct conn *c = NULL; (c = turns_next(&t, now_ms)) != NULL; n++) {
		assert_null(c->shake_list);
		got[n] = comers[c - conns].name;
	}
	assert_int_equal(n, count);
	assert_string_equal(got, want);
	free(conns);
}

static void half_done_ones_go_first_then_calm_addresses_then_crowds(void **state)
{
	(void)state;
	const struct comer comers[] = { { 'a', false, true, 0 }, { 'b', false, true, 1 }, { 'c', false, false, 2 },
					{ 'd', true, true, 3 },  { 'e', false, true, 4 }, { 'f', true, false, 5 },
					{ 'g', false, false, 6 } };
	order_is(comers, ARRAY_LEN(comers), 10, "dfcgabe");
}

static void when_the_first_has_waited_long_the_last_is_taken(void **state)
{
	(void)state;
	const struct comer comers[] = { { 'a', false, true, 0 },
					{ 'b', false, true, 500 },
					{ 'c', false, true, 1000 } };
	order_is(comers, ARRAY_LEN(comers), 1000, "abc");
	order_is(comers, ARRAY_LEN(comers), 1001, "cba");
	/* what was begun is not in question, however old */
	const struct comer begun[] = { { 'a', true, true, 0 }, { 'b', true, true, 500 }, { 'c', false, true, 4000 } };
	order_is(begun, ARRAY_LEN(begun), 5000, "abc");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(half_done_ones_go_first_then_calm_addresses_then_crowds),
		cmocka_unit_test(when_the_first_has_waited_long_the_last_is_taken),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

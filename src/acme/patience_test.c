/* SPDX-License-Identifier: Apache-2.0
 *
 * patience_test.c: how long the challenges of an order may wait, all together; the time is what the test says.
 */
#include "acme/app.h"
#include "unit.h"

#define BUDGET 250

static struct id order_of(uint16_t n)
{
	struct id id = { 0 };
	id.b[14] = (uint8_t)(n >> 8);
	id.b[15] = (uint8_t)n;
	return id;
}

struct step {
	int64_t now_ms;
	char what; /* 'b': begins, 'c': ends with a call, 'e': in vain, 's': is cut short */
	int64_t want_ms;
};

static void an_order_has_one_budget(void **state)
{
	(void)state;
	static const struct {
		const char *what;
		struct step steps[9];
	} rows[] = {
		{ "one after the other, slow", { { 0, 'b', 100 }, { 100, 'e', 0 }, { 100, 'b', 0 }, { 900, 'b', 0 } } },
		{ "one after the other, neither slow nor quick",
		  { { 0, 'b', 100 },
		    { 99, 'c', 0 },
		    { 99, 'b', 100 },
		    { 198, 'c', 0 },
		    { 198, 'b', 58 },
		    { 256, 'c', 0 },
		    { 256, 'b', 3 },
		    { 262, 'c', 0 },
		    { 262, 'b', 0 } } },
		{ "one after the other, quick",
		  { { 0, 'b', 100 },
		    { 3, 'c', 0 },
		    { 5, 'b', 100 },
		    { 8, 'c', 0 },
		    { 9, 'b', 100 },
		    { 12, 'c', 0 },
		    { 12, 'b', 100 },
		    { 252, 'c', 0 },
		    { 252, 'b', 13 } } },
		{ "all at once",
		  { { 0, 'b', 100 },
		    { 1, 'b', 100 },
		    { 2, 'b', 100 },
		    { 90, 'c', 0 },
		    { 90, 'c', 0 },
		    { 190, 'c', 0 },
		    { 190, 'b', 69 } } },
		{ "all at once, one of them slow",
		  { { 0, 'b', 100 },
		    { 1, 'b', 100 },
		    { 9, 'c', 0 },
		    { 9, 'b', 100 },
		    { 101, 'e', 0 },
		    { 101, 'b', 0 },
		    { 102, 'c', 0 },
		    { 103, 'b', 0 } } },
		{ "what is earned is not saved up",
		  { { 0, 'b', 100 },
		    { 0, 'c', 0 },
		    { 0, 'b', 100 },
		    { 0, 'c', 0 },
		    { 9, 'b', 100 },
		    { 209, 'c', 0 },
		    { 209, 'b', 53 } } },
		{ "cut short: only the time is spent",
		  { { 0, 'b', 100 },
		    { 0, 's', 0 },
		    { 0, 'b', 100 },
		    { 40, 's', 0 },
		    { 50, 'b', 100 },
		    { 220, 's', 0 },
		    { 220, 'b', 40 } } },
		{ "a clock that goes back", { { 10, 'b', 100 }, { 5, 'c', 0 }, { 5, 'b', 100 } } },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct patience *p = patience_new();
		for (size_t k = 0; k < ARRAY_LEN(rows[i].steps) && rows[i].steps[k].what != '\0'; k++) {
			const struct step *s = &rows[i].steps[k];
			if (s->what != 'b') {
				patience_end(p, order_of(1), s->now_ms,
					     s->what == 'c'   ? PATIENCE_CALLED
					     : s->what == 'e' ? PATIENCE_IN_VAIN
							      : PATIENCE_CUT_SHORT);
				continue;
			}
			int64_t got = patience_begin(p, order_of(1), s->now_ms, BUDGET);
			if (got != s->want_ms)
				fail_msg("%s: step %zu: %lld ms, wanted %lld", rows[i].what, k, (long long)got,
					 (long long)s->want_ms);
		}
		patience_free(p);
	}
}

static void orders_do_not_spend_from_each_other(void **state)
{
	(void)state;
	struct patience *p = patience_new();
	assert_int_equal(patience_begin(p, order_of(1), 0, BUDGET), 100);
	patience_end(p, order_of(1), BUDGET, PATIENCE_IN_VAIN);
	assert_int_equal(patience_begin(p, order_of(2), BUDGET, BUDGET), 100);
	patience_end(p, order_of(2), BUDGET, PATIENCE_CALLED);
	assert_int_equal(patience_begin(p, order_of(2), BUDGET, 0), 0);
	patience_free(p);
	patience_free(NULL);
}

/* Wherever their hashes put them: with any key, so with many. */
static void a_few_orders_are_all_remembered(void **state)
{
	(void)state;
	enum { KEYS = 1000, FEW = 4 };
	for (unsigned k = 0; k < KEYS; k++) {
		struct patience *p = patience_new();
		for (uint16_t i = 1; i <= FEW; i++) {
			assert_int_equal(patience_begin(p, order_of(i), i, BUDGET), 100);
			patience_end(p, order_of(i), i, PATIENCE_IN_VAIN);
		}
		for (uint16_t i = 1; i <= FEW; i++)
			assert_int_equal(patience_begin(p, order_of(i), FEW, BUDGET), 0);
		patience_free(p);
	}
}

/* More orders than it remembers, each with a wait that runs: they may wait all the same, and every end finds its way. */
static void more_orders_than_are_remembered_may_wait(void **state)
{
	(void)state;
	enum { MANY = 5000 };
	struct patience *p = patience_new();
	for (uint16_t i = 0; i < MANY; i++)
		assert_int_equal(patience_begin(p, order_of(i), 0, BUDGET), 100);
	for (uint16_t i = 0; i < MANY; i++)
		patience_end(p, order_of(i), 10, PATIENCE_CALLED);
	for (uint16_t i = 0; i < MANY; i++) {
		assert_int_equal(patience_begin(p, order_of(i), 10, BUDGET), 100);
		patience_end(p, order_of(i), 10, PATIENCE_CALLED);
	}
	patience_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_order_has_one_budget),
		cmocka_unit_test(orders_do_not_spend_from_each_other),
		cmocka_unit_test(a_few_orders_are_all_remembered),
		cmocka_unit_test(more_orders_than_are_remembered_may_wait),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

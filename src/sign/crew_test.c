/* SPDX-License-Identifier: Apache-2.0
 *
 * crew_test.c: each part of a batch is done once, whatever the number of hands; and hands do work at once.
 */
#include "sign/crew.h"
#include "unit.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#define PARTS_MAX 64

struct work {
	atomic_int done[PARTS_MAX];
	atomic_int at_once, most;
	bool meet; /* each waits until two are at work */
};

static void part(void *ctx, size_t i)
{
	struct work *w = ctx;
	const struct timespec ms = { 0, 1000000 };
	int now = atomic_fetch_add(&w->at_once, 1) + 1;
	if (now > atomic_load(&w->most))
		atomic_store(&w->most, now);
	for (int n = 0; n < 5000 && w->meet && atomic_load(&w->most) < 2; n++)
		nanosleep(&ms, NULL);
	atomic_fetch_add(&w->done[i], 1);
	atomic_fetch_sub(&w->at_once, 1);
}

static void every_part_is_done_once(void **state)
{
	static const unsigned widths[] = { 1, 2, 3, 16 };
	static const size_t counts[] = { 0, 1, 2, 7, PARTS_MAX };
	(void)state;
	for (size_t w = 0; w < ARRAY_LEN(widths); w++) {
		struct crew *c = crew_new(widths[w]);
		for (size_t round = 0; round < 200; round++) {
			struct work work = { .meet = false };
			size_t count = counts[round % ARRAY_LEN(counts)];
			crew_run(c, count, part, &work);
			for (size_t i = 0; i < PARTS_MAX; i++)
				assert_int_equal(atomic_load(&work.done[i]), i < count);
		}
		crew_free(c);
	}
	crew_free(NULL);
}

static void parts_are_done_at_once(void **state)
{
	(void)state;
	struct crew *c = crew_new(4);
	struct work work = { .meet = true };
	crew_run(c, 8, part, &work);
	assert_true(atomic_load(&work.most) >= 2);
	crew_free(c);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_part_is_done_once),
		cmocka_unit_test(parts_are_done_at_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

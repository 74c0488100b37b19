/* SPDX-License-Identifier: Apache-2.0
 *
 * nonce_test.c: each nonce is good once, while it is young, and not for ever.
 */
#include "acme/app.h"
#include "unit.h"

#include <stdlib.h>

#define LIFE_S 3600
#define WINDOW (1 << 19) /* nonce.c's own: how many later ones a nonce survives */

struct bench {
	int64_t now_ms;
	struct clock clk;
	struct nonces *n;
};

static int64_t bench_now(void *ctx)
{
	const struct bench *b = ctx;
	return b->now_ms;
}

static int bench_open(void **state)
{
	struct err err = { 0 };
	struct bench *b = mem_alloc(sizeof *b);
	b->now_ms = INT64_C(1790000000000);
	b->clk = (struct clock){ .now_ms = bench_now, .mono_ms = bench_now, .ctx = b };
	MUST(nonces_new(&b->clk, &rng_system, &b->n, &err));
	*state = b;
	return 0;
}

static int bench_close(void **state)
{
	struct bench *b = *state;
	nonces_free(b->n);
	free(b);
	return 0;
}

static void issue(struct bench *b, char out[NONCE_TEXT_MAX])
{
	nonce_issue(b->n, out);
}

static void issue_many(struct bench *b, size_t count)
{
	char text[NONCE_TEXT_MAX];
	for (size_t i = 0; i < count; i++)
		issue(b, text);
}

static void a_nonce_is_good_once(void **state)
{
	struct bench *b = *state;
	struct err err = { 0 };
	char one[NONCE_TEXT_MAX], two[NONCE_TEXT_MAX];
	issue(b, one);
	issue(b, two);
	MUST(nonce_spend(b->n, str_z(two), LIFE_S, &err));
	MUST(nonce_spend(b->n, str_z(one), LIFE_S, &err));
	MUST_FAIL(nonce_spend(b->n, str_z(one), LIFE_S, &err), ERR_BAD_NONCE, "used before");
	MUST_FAIL(nonce_spend(b->n, str_z(two), LIFE_S, &err), ERR_BAD_NONCE, "used before");
}

static void a_nonce_that_was_touched_is_not_ours(void **state)
{
	struct bench *b = *state;
	struct err err = { 0 };
	char text[NONCE_TEXT_MAX];
	issue(b, text);
	for (size_t i = 0; i < strlen(text); i++) {
		char was = text[i];
		text[i] = was == 'A' ? 'B' : 'A';
		MUST_FAIL(nonce_spend(b->n, str_z(text), LIFE_S, &err), ERR_BAD_NONCE, "not made by this server");
		text[i] = was;
	}
	MUST_FAIL(nonce_spend(b->n, str_sub(str_z(text), 0, strlen(text) - 1), LIFE_S, &err), ERR_BAD_NONCE, "");
	MUST_FAIL(nonce_spend(b->n, STR_NONE, LIFE_S, &err), ERR_BAD_NONCE, "");
	MUST(nonce_spend(b->n, str_z(text), LIFE_S, &err)); /* none of that has spent it */
}

static void a_nonce_of_another_process_is_not_ours(void **state)
{
	struct bench *b = *state;
	struct err err = { 0 };
	struct nonces *other;
	char text[NONCE_TEXT_MAX];
	MUST(nonces_new(&b->clk, &rng_system, &other, &err));
	nonce_issue(other, text);
	MUST_FAIL(nonce_spend(b->n, str_z(text), LIFE_S, &err), ERR_BAD_NONCE, "not made by this server");
	nonces_free(other);
}

static void a_nonce_ends_with_its_life(void **state)
{
	struct bench *b = *state;
	struct err err = { 0 };
	char last_second[NONCE_TEXT_MAX], late[NONCE_TEXT_MAX], future[NONCE_TEXT_MAX];
	int64_t begun = b->now_ms;
	issue(b, last_second);
	issue(b, late);
	b->now_ms = begun + LIFE_S * 1000;
	MUST(nonce_spend(b->n, str_z(last_second), LIFE_S, &err));
	b->now_ms += 1000;
	MUST_FAIL(nonce_spend(b->n, str_z(late), LIFE_S, &err), ERR_BAD_NONCE, "too old");
	issue(b, future);
	b->now_ms = begun; /* the clock is set back: that is not the client's fault */
	MUST(nonce_spend(b->n, str_z(future), LIFE_S, &err));
	MUST_FAIL(nonce_spend(b->n, str_z(future), LIFE_S, &err), ERR_BAD_NONCE, "used before");
}

static void a_nonce_survives_a_window_of_later_ones_and_no_more(void **state)
{
	struct bench *b = *state;
	struct err err = { 0 };
	char in[NONCE_TEXT_MAX], out[NONCE_TEXT_MAX];
	issue(b, out);
	issue(b, in);
	issue_many(b, WINDOW - 1);
	MUST(nonce_spend(b->n, str_z(in), LIFE_S, &err));
	MUST_FAIL(nonce_spend(b->n, str_z(out), LIFE_S, &err), ERR_BAD_NONCE, "too old");
}

/* Once round the ring: no slot is taken for that of an older nonce, and no spent one comes back to life. */
static void the_ring_is_used_again(void **state)
{
	struct bench *b = *state;
	struct err err = { 0 };
	char spent[NONCE_TEXT_MAX], text[NONCE_TEXT_MAX];
	issue(b, spent);
	MUST(nonce_spend(b->n, str_z(spent), LIFE_S, &err));
	for (size_t i = 0; i < 2 * WINDOW + 5000; i++) {
		issue(b, text);
		if (i % 997 == 0) {
			MUST(nonce_spend(b->n, str_z(text), LIFE_S, &err));
			MUST_FAIL(nonce_spend(b->n, str_z(text), LIFE_S, &err), ERR_BAD_NONCE, "used before");
			assert_true(FAILED(nonce_spend(b->n, str_z(spent), LIFE_S, NULL)));
		}
	}
}

#define THREADS 8
#define ROUNDS 500
struct spender {
	pthread_t thread;
	struct bench *b;
	char (*texts)[NONCE_TEXT_MAX];
	pthread_barrier_t *start;
	_Atomic unsigned *wins; /* of each round */
};

static void *spender_main(void *arg)
{
	const struct spender *s = arg;
	for (size_t r = 0; r < ROUNDS; r++) {
		pthread_barrier_wait(s->start);
		if (!FAILED(nonce_spend(s->b->n, str_z(s->texts[r]), LIFE_S, NULL)))
			s->wins[r]++;
	}
	return NULL;
}

static void of_eight_threads_with_one_nonce_one_wins(void **state)
{
	static char texts[ROUNDS][NONCE_TEXT_MAX];
	static _Atomic unsigned wins[ROUNDS];
	struct bench *b = *state;
	struct spender s[THREADS];
	pthread_barrier_t start;
	assert_int_equal(pthread_barrier_init(&start, NULL, THREADS), 0);
	for (size_t r = 0; r < ROUNDS; r++)
		issue(b, texts[r]);
	for (size_t i = 0; i < THREADS; i++) {
		s[i] = (struct spender){ .b = b, .texts = texts, .start = &start, .wins = wins };
		assert_int_equal(pthread_create(&s[i].thread, NULL, spender_main, &s[i]), 0);
	}
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(s[i].thread, NULL);
	for (size_t r = 0; r < ROUNDS; r++)
		assert_int_equal(wins[r], 1);
	pthread_barrier_destroy(&start);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_nonce_is_good_once),
		cmocka_unit_test(a_nonce_that_was_touched_is_not_ours),
		cmocka_unit_test(a_nonce_of_another_process_is_not_ours),
		cmocka_unit_test(a_nonce_ends_with_its_life),
		cmocka_unit_test(a_nonce_survives_a_window_of_later_ones_and_no_more),
		cmocka_unit_test(the_ring_is_used_again),
		cmocka_unit_test(of_eight_threads_with_one_nonce_one_wins),
	};
	return cmocka_run_group_tests(tests, bench_open, bench_close);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * token_test.c: tokens are 43 base64url characters that differ, and nothing else passes for one.
 */
#include "model/model.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void count_up(void *ctx, void *p, size_t n)
{
	uint8_t *next = (uint8_t *)ctx;
	for (size_t i = 0; i < n; i++)
		((uint8_t *)p)[i] = (*next)++;
}

static void a_token_is_its_32_random_bytes_in_base64url(void **state)
{
	(void)state;
	uint8_t next = 0;
	const struct rng rng = { count_up, &next };
	assert_string_equal(token_new(&rng).z, "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8");
	assert_string_equal(token_new(&rng).z, "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8");
}

static void new_tokens_are_wellformed_and_differ(void **state)
{
	(void)state;
	struct token_text last = { .z = "" };
	for (int i = 0; i < 100; i++) {
		struct token_text t = token_new(&rng_system);
		assert_true(token_is_wellformed(str_z(t.z)));
		assert_string_not_equal(t.z, last.z);
		last = t;
	}
}

static void what_is_not_32_bytes_in_strict_base64url_is_no_token(void **state)
{
	(void)state;
	static const char *const rows[] = {
		"",
		"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh",   /* 42 */
		"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8A", /* 44 */
		"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", /* padding */
		"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9",  /* unused bits set */
		"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdH/8",  /* the other alphabet */
		"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd.h8",
		"../../../../../../../../../../../../etc/pas",
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (token_is_wellformed(str_z(rows[i])))
			fail_msg("row %zu passes", i);
	}
	assert_true(token_is_wellformed(STR("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_token_is_its_32_random_bytes_in_base64url),
		cmocka_unit_test(new_tokens_are_wellformed_and_differ),
		cmocka_unit_test(what_is_not_32_bytes_in_strict_base64url_is_no_token),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

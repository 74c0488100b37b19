/* SPDX-License-Identifier: Apache-2.0
 *
 * keycache_test.c: whatever is kept or has been pushed out, the key that comes back is that of the thumbprint.
 */
#include "jose/jose.h"
#include "unit.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define KEYS 6
struct bench {
	struct crypto *crypto;
	struct keycache *cache;
	struct key *keys[KEYS];
	struct thumbprint prints[KEYS];
	struct buf jwks[KEYS];
};

static int bench_open(void **state)
{
	struct err err = { 0 };
	struct bench *b = mem_alloc(sizeof *b);
	MUST(crypto_new(&b->crypto, &err));
	MUST(keycache_new(&b->cache, &err));
	for (size_t i = 0; i < KEYS; i++) {
		b->jwks[i].max = 4096;
		MUST(key_generate(KEY_P256, 0, &b->keys[i], &err));
		MUST(jwk_thumbprint(b->crypto, b->keys[i], &b->prints[i], &err));
		MUST(jwk_write(b->keys[i], &b->jwks[i], &err));
	}
	*state = b;
	return 0;
}

static int bench_close(void **state)
{
	struct bench *b = *state;
	for (size_t i = 0; i < KEYS; i++) {
		key_free(b->keys[i]);
		buf_done(&b->jwks[i]);
	}
	keycache_free(b->cache);
	crypto_free(b->crypto);
	free(b);
	return 0;
}

static void get(struct bench *b, size_t i, struct str print)
{
	struct err err = { 0 };
	AUTO(key_auto) struct key *k = NULL;
	MUST(keycache_get(b->cache, print, buf_str(&b->jwks[i]), &k, &err));
	assert_true(key_public_eq(k, b->keys[i]));
}

static void the_key_is_that_of_the_thumbprint(void **state)
{
	struct bench *b = *state;
	for (size_t round = 0; round < 3; round++)
		for (size_t i = 0; i < KEYS; i++)
			get(b, i, str_z(b->prints[i].z));
}

static void what_is_kept_is_not_decoded_again(void **state)
{
	struct bench *b = *state;
	struct err err = { 0 };
	AUTO(key_auto) struct key *k = NULL;
	get(b, 0, str_z(b->prints[0].z));
	MUST(keycache_get(b->cache, str_z(b->prints[0].z), STR("no JWK at all"), &k, &err));
	assert_true(key_public_eq(k, b->keys[0]));
}

static void damaged_rows_are_refused(void **state)
{
	struct bench *b = *state;
	struct err err = { 0 };
	struct key *k = NULL;
	MUST_FAIL(keycache_get(b->cache, STR("short"), buf_str(&b->jwks[0]), &k, &err), ERR_INTERNAL, "thumbprint");
	MUST_FAIL(keycache_get(b->cache, STR("0123456789012345678901234567890123456789abc"), STR("{}"), &k, &err),
		  ERR_MALFORMED, "kty");
	assert_null(k);
}

/* Far more thumbprints than places: a key that is in use stays whole though its place is given away. */
static void a_key_in_use_outlives_its_place(void **state)
{
	struct bench *b = *state;
	struct err err = { 0 };
	char print[THUMBPRINT_LEN + 1];
	AUTO(key_auto) struct key *held = NULL;
	MUST(keycache_get(b->cache, str_z(b->prints[1].z), buf_str(&b->jwks[1]), &held, &err));
	for (unsigned i = 0; i < 20000; i++) {
		(void)snprintf(print, sizeof print, "%043u", i);
		get(b, i % KEYS, str_z(print));
	}
	assert_true(key_public_eq(held, b->keys[1]));
	get(b, 1, str_z(b->prints[1].z));
}

/* The same words in another spelling are the same key, with the same thumbprint, but no text to keep it by. */
static void a_jwk_is_kept_by_its_canonical_text_only(void **state)
{
	struct bench *b = *state;
	AUTO(arena_done) struct arena mem = { 0 };
	struct err err = { 0 };
	struct str canonical = buf_str(&b->jwks[2]);
	const struct {
		struct str jwk;
		bool kept;
	} rows[] = {
		{ canonical, true },
		{ str_fmt(&mem, " %.*s", STR_FMT(canonical)), false },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(key_auto) struct key *first = NULL, *again = NULL, *uncached = NULL;
		struct thumbprint print[3];
		MUST(keycache_read(b->cache, b->crypto, rows[i].jwk, &print[0], &first, &err));
		MUST(keycache_read(b->cache, b->crypto, rows[i].jwk, &print[1], &again, &err));
		MUST(keycache_read(NULL, b->crypto, rows[i].jwk, &print[2], &uncached, &err));
		assert_true(key_public_eq(first, b->keys[2]));
		assert_true(key_public_eq(again, b->keys[2]));
		assert_true(key_public_eq(uncached, b->keys[2]));
		assert_int_equal(first == again, rows[i].kept);
		for (size_t n = 0; n < ARRAY_LEN(print); n++)
			assert_string_equal(print[n].z, b->prints[2].z);
	}
	struct key *none = NULL;
	struct thumbprint print;
	MUST_FAIL(keycache_read(b->cache, b->crypto, STR("{}"), &print, &none, &err), ERR_MALFORMED, "kty");
	assert_null(none);
}

#define THREADS 4
struct reader {
	pthread_t thread;
	struct bench *b;
	unsigned seed, wrong;
};

static void *reader_main(void *arg)
{
	struct reader *r = arg;
	char print[THUMBPRINT_LEN + 1];
	for (unsigned n = 0; n < 5000; n++) {
		unsigned i = (n * 7 + r->seed) % KEYS;
		struct key *k = NULL;
		/* the same few keys under many names, so that places are given away all the time */
		(void)snprintf(print, sizeof print, "%043u", ((n * 31) % 6000) * KEYS + i);
		if (FAILED(keycache_get(r->b->cache, str_z(print), buf_str(&r->b->jwks[i]), &k, NULL)) ||
		    !key_public_eq(k, r->b->keys[i]))
			r->wrong++;
		key_free(k);
	}
	return NULL;
}

static void threads_share_it(void **state)
{
	struct bench *b = *state;
	struct reader r[THREADS];
	for (unsigned i = 0; i < THREADS; i++) {
		r[i] = (struct reader){ .b = b, .seed = i };
		assert_int_equal(pthread_create(&r[i].thread, NULL, reader_main, &r[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(r[i].thread, NULL);
		assert_int_equal(r[i].wrong, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_key_is_that_of_the_thumbprint, bench_open, bench_close),
		cmocka_unit_test_setup_teardown(what_is_kept_is_not_decoded_again, bench_open, bench_close),
		cmocka_unit_test_setup_teardown(damaged_rows_are_refused, bench_open, bench_close),
		cmocka_unit_test_setup_teardown(a_jwk_is_kept_by_its_canonical_text_only, bench_open, bench_close),
		cmocka_unit_test_setup_teardown(a_key_in_use_outlives_its_place, bench_open, bench_close),
		cmocka_unit_test_setup_teardown(threads_share_it, bench_open, bench_close),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * key_check_test.c: each weakness that the policy names, made on purpose.
 */
#include "crypto/crypto.h"
#include "unit.h"

#include "crypto/internal.h"

#include <openssl/bn.h>
#include <openssl/err.h>

static bool small_prime(unsigned p)
{
	for (unsigned d = 2; d * d <= p; d++)
		if (p % d == 0)
			return false;
	return p >= 2;
}

static bool small_factor(const BIGNUM *n)
{
	for (unsigned p = 2; p < 752; p++)
		if (small_prime(p) && BN_mod_word(n, p) == 0)
			return true;
	return false;
}

static struct key *rsa_key(const BIGNUM *n, const char *e)
{
	struct err err = { 0 };
	uint8_t bytes[1024];
	struct key *k = NULL;
	int len = BN_bn2bin(n, bytes);
	MUST(key_from_rsa(str_n(bytes, (size_t)len), str_n(e, 3), &k, &err));
	return k;
}

static void check_refused(const BIGNUM *n, const char *e, const char *text)
{
	struct err err = { 0 };
	AUTO(key_auto) struct key *k = rsa_key(n, e);
	MUST_FAIL(key_check(k, KEY_USE_ACCOUNT, &err), ERR_BAD_PUBLIC_KEY, text);
	MUST_FAIL(key_check(k, KEY_USE_CERTIFICATE, &err), ERR_BAD_PUBLIC_KEY, text);
	assert_int_equal(ERR_peek_error(), 0);
}

static void sound_keys_pass(void **state)
{
	(void)state;
	static const struct {
		enum key_kind kind;
		unsigned bits;
		bool for_certificates;
	} rows[] = {
		{ KEY_P256, 0, true },   { KEY_P384, 0, true },   { KEY_P521, 0, true },
		{ KEY_RSA, 2048, true }, { KEY_RSA, 3072, true }, { KEY_ED25519, 0, false },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err = { 0 };
		AUTO(key_auto) struct key *k = NULL;
		MUST(key_generate(rows[i].kind, rows[i].bits, &k, &err));
		MUST(key_check(k, KEY_USE_ACCOUNT, &err));
		if (rows[i].for_certificates)
			MUST(key_check(k, KEY_USE_CERTIFICATE, &err));
		else
			MUST_FAIL(key_check(k, KEY_USE_CERTIFICATE, &err), ERR_BAD_PUBLIC_KEY, "Ed25519");
	}
}

/* A random odd number without small factors stands in for a modulus: the checks cannot know. */
static void random_modulus(BIGNUM *n, int bits)
{
	do
		assert_int_equal(BN_rand(n, bits, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ODD), 1);
	while (small_factor(n));
}

static void sizes_and_exponents_outside_the_policy_are_refused(void **state)
{
	(void)state;
	static const struct {
		int bits;
		const char *e, *text;
	} rows[] = {
		{ 2056, "\x01\x00\x01", "key size not supported: 2056" },
		{ 2049, "\x01\x00\x01", "key size not supported: 2049" },
		{ 8192, "\x01\x00\x01", "key size not supported: 8192" },
	};
	AUTO(bn_auto) BIGNUM *n = BN_new();
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		random_modulus(n, rows[i].bits);
		check_refused(n, rows[i].e, rows[i].text);
	}
	struct err err = { 0 };
	uint8_t bytes[256];
	AUTO(key_auto) struct key *k = NULL;
	random_modulus(n, 2048);
	assert_int_equal(BN_bn2bin(n, bytes), 256);
	MUST(key_from_rsa(str_n(bytes, 256), STR("\xff\xff"), &k, &err));
	MUST_FAIL(key_check(k, KEY_USE_ACCOUNT, &err), ERR_BAD_PUBLIC_KEY, "key exponent must be 65537");
}

static void every_small_factor_is_found(void **state)
{
	(void)state;
	AUTO(bn_auto) BIGNUM *n = BN_new();
	for (unsigned p = 2; p < 752; p++) {
		if (!small_prime(p))
			continue;
		/* top two bits set, so the product's length does not wander; cut back to 2048 bits */
		do {
			assert_int_equal(BN_rand(n, 2048, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ODD), 1);
			assert_int_equal(BN_sub_word(n, BN_mod_word(n, p)), 1);
		} while (BN_num_bits(n) != 2048);
		check_refused(n, "\x01\x00\x01", "key divisible by small prime");
	}
}

/* next prime above `from` */
static void next_prime(BIGNUM *p, const BIGNUM *from, BN_CTX *ctx)
{
	assert_non_null(BN_copy(p, from));
	if (!BN_is_odd(p))
		assert_int_equal(BN_add_word(p, 1), 1);
	else
		assert_int_equal(BN_add_word(p, 2), 1);
	while (BN_check_prime(p, ctx, NULL) != 1)
		assert_int_equal(BN_add_word(p, 2), 1);
}

static void close_factors_and_squares_are_found(void **state)
{
	(void)state;
	BN_CTX *ctx = BN_CTX_new();
	AUTO(bn_auto) BIGNUM *p = BN_new(), *q = BN_new(), *n = BN_new(), *gap = BN_new();
	assert_int_equal(BN_generate_prime_ex(p, 1024, 0, NULL, NULL, NULL), 1);
	/* two neighbours: found in the first round */
	next_prime(q, p, ctx);
	assert_int_equal(BN_mul(n, p, q, ctx), 1);
	check_refused(n, "\x01\x00\x01", "key generated with factors too close together");
	assert_int_equal(BN_sqr(n, p, ctx), 1);
	check_refused(n, "\x01\x00\x01", "key generated with factors too close together");
	/* (p+q)/2 - sqrt(n) = d^2 / (8 sqrt(n)): this distance needs some tens of rounds, the next one thousands */
	BN_zero(gap);
	assert_int_equal(BN_set_bit(gap, 512 + 4), 1);
	assert_int_equal(BN_add(gap, gap, p), 1);
	next_prime(q, gap, ctx);
	assert_int_equal(BN_mul(n, p, q, ctx), 1);
	check_refused(n, "\x01\x00\x01", "key generated with factors too close together");
	BN_zero(gap);
	assert_int_equal(BN_set_bit(gap, 512 + 12), 1);
	assert_int_equal(BN_add(gap, gap, p), 1);
	next_prime(q, gap, ctx);
	assert_int_equal(BN_mul(n, p, q, ctx), 1);
	struct err err = { 0 };
	AUTO(key_auto) struct key *k = rsa_key(n, "\x01\x00\x01");
	MUST(key_check(k, KEY_USE_CERTIFICATE, &err));
	BN_CTX_free(ctx);
}

/* n = k*M + 65537^a mod M, M the product of the primes up to 167: what the fingerprint looks for. Breaking the relation
 * for one prime alone clears the key. */
static void keys_of_the_infineon_library_are_found(void **state)
{
	(void)state;
	BN_CTX *ctx = BN_CTX_new();
	AUTO(bn_auto)
	BIGNUM *m = BN_new(), *base = BN_new(), *a = BN_new(), *r = BN_new(), *n = BN_new(), *k = BN_new();
	assert_int_equal(BN_one(m), 1);
	for (unsigned p = 2; p <= 167; p++)
		if (small_prime(p))
			assert_int_equal(BN_mul_word(m, p), 1);
	assert_int_equal(BN_set_word(base, 65537), 1);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(BN_rand(a, 200, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY), 1);
		assert_int_equal(BN_mod_exp(r, base, a, m, ctx), 1);
		do {
			assert_int_equal(BN_rand(k, 2048, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY), 1);
			assert_int_equal(BN_div(k, NULL, k, m, ctx), 1);
			assert_int_equal(BN_mul(n, k, m, ctx), 1);
			assert_int_equal(BN_add(n, n, r), 1);
		} while (BN_num_bits(n) != 2048 || small_factor(n));
		check_refused(n, "\x01\x00\x01", "key generated by vulnerable Infineon-based hardware");
	}
	/* 65537 = 10 mod 11, which generates {1, 10} only: any other residue cannot come from the library */
	AUTO(bn_auto) BIGNUM *step = BN_dup(m);
	assert_int_equal(BN_div_word(step, 11), 0);
	do
		assert_int_equal(BN_add(n, n, step), 1);
	while (BN_mod_word(n, 11) == 0 || BN_mod_word(n, 11) == 1 || BN_mod_word(n, 11) == 10 || small_factor(n));
	struct err err = { 0 };
	AUTO(key_auto) struct key *sound = rsa_key(n, "\x01\x00\x01");
	MUST(key_check(sound, KEY_USE_ACCOUNT, &err));
	BN_CTX_free(ctx);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(sound_keys_pass),
		cmocka_unit_test(sizes_and_exponents_outside_the_policy_are_refused),
		cmocka_unit_test(every_small_factor_is_found),
		cmocka_unit_test(close_factors_and_squares_are_found),
		cmocka_unit_test(keys_of_the_infineon_library_are_found),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * p256_test.c: our verification, by a table and without, says what OpenSSL says. Signatures are made from the equation's end: for any u1
 * and u2 there are a digest and a signature that lead to them, so that every corner of the arithmetic (nought, the same
 * point twice, a sum at infinity, the edges of the table's windows) is reached with a signature that is good.
 */
#include "crypto/crypto.h"
#include "unit.h"

#include "crypto/internal.h"

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/obj_mac.h>
#include <pthread.h>
#include <string.h>

struct maker { /* the curve, for making keys and signatures of it */
	struct p256 *p;
	EC_GROUP *g;
	BN_CTX *bn;
};

static int set_up(void **state)
{
	static struct maker m;
	struct err err = { 0 };
	MUST(p256_new(&m.p, &err));
	m.g = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
	m.bn = BN_CTX_new();
	assert_true(m.g != NULL && m.bn != NULL);
	*state = &m;
	return 0;
}

static int tear_down(void **state)
{
	struct maker *m = *state;
	p256_free(m->p);
	EC_GROUP_free(m->g);
	BN_CTX_free(m->bn);
	return 0;
}

/* "n-1", "40", "80000...": hex, or "n-" and hex */
static BIGNUM *scalar(const struct maker *m, const char *text)
{
	BIGNUM *x = NULL;
	bool from_n = strncmp(text, "n-", 2) == 0;
	assert_true(BN_hex2bn(&x, from_n ? text + 2 : text) > 0);
	if (from_n)
		assert_int_equal(BN_sub(x, EC_GROUP_get0_order(m->g), x), 1);
	return x;
}

/* The key with this private number. */
static struct key *key_of(const struct maker *m, const BIGNUM *d)
{
	struct err err = { 0 };
	struct key *k;
	uint8_t bytes[65];
	EC_POINT *q = EC_POINT_new(m->g);
	assert_int_equal(EC_POINT_mul(m->g, q, d, NULL, NULL, m->bn), 1);
	assert_int_equal(EC_POINT_point2oct(m->g, q, POINT_CONVERSION_UNCOMPRESSED, bytes, sizeof bytes, m->bn), 65);
	EC_POINT_free(q);
	MUST(key_from_ec(KEY_P256, str_n(bytes + 1, 32), str_n(bytes + 33, 32), &k, &err));
	return k;
}

/* A digest and a signature that the key with private number d verifies through u1 and u2; false: none exists (the sum is
 * at infinity, or r or s would be nought). */
static bool forge(const struct maker *m, const BIGNUM *d, const BIGNUM *u1, const BIGNUM *u2, struct sha256 *ret_digest,
		  uint8_t ret_sig[64])
{
	const BIGNUM *n = EC_GROUP_get0_order(m->g);
	BN_CTX_start(m->bn);
	BIGNUM *k = BN_CTX_get(m->bn), *r = BN_CTX_get(m->bn), *s = BN_CTX_get(m->bn), *e = BN_CTX_get(m->bn);
	EC_POINT *sum = EC_POINT_new(m->g);
	/* k = u1 + u2 d */
	bool good = BN_mod_mul(k, u2, d, n, m->bn) == 1 && BN_mod_add(k, k, u1, n, m->bn) == 1 && !BN_is_zero(k) &&
		    !BN_is_zero(u2) && EC_POINT_mul(m->g, sum, k, NULL, NULL, m->bn) == 1 &&
		    EC_POINT_get_affine_coordinates(m->g, sum, r, NULL, m->bn) == 1 && BN_nnmod(r, r, n, m->bn) == 1 &&
		    !BN_is_zero(r) && BN_mod_inverse(s, u2, n, m->bn) != NULL && BN_mod_mul(s, s, r, n, m->bn) == 1 &&
		    BN_mod_mul(e, u1, s, n, m->bn) == 1 && BN_bn2binpad(e, ret_digest->b, 32) == 32 &&
		    BN_bn2binpad(r, ret_sig, 32) == 32 && BN_bn2binpad(s, ret_sig + 32, 32) == 32;
	EC_POINT_free(sum);
	BN_CTX_end(m->bn);
	return good;
}

static bool openssl_says(const struct key *k, const struct sha256 *digest, const uint8_t sig[64])
{
	uint8_t *der = NULL;
	ECDSA_SIG *s = ECDSA_SIG_new();
	assert_int_equal(ECDSA_SIG_set0(s, BN_bin2bn(sig, 32, NULL), BN_bin2bn(sig + 32, 32, NULL)), 1);
	int n = i2d_ECDSA_SIG(s, &der);
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key_get_evp(k), NULL);
	assert_int_equal(EVP_PKEY_verify_init(ctx), 1);
	bool good = EVP_PKEY_verify(ctx, der, (size_t)n, digest->b, sizeof digest->b) == 1;
	EVP_PKEY_CTX_free(ctx);
	OPENSSL_free(der);
	ECDSA_SIG_free(s);
	return good;
}

static struct p256_table *table_of(const struct key *k)
{
	struct err err = { 0 };
	struct p256_table *t;
	MUST(p256_table_new(key_part_a(k), key_part_b(k), &t, &err));
	return t;
}

/* By the table and without one, which must agree. */
static bool we_say(const struct maker *m, const struct key *k, const struct p256_table *t, const struct sha256 *digest,
		   struct str sig)
{
	enum p256_said by_table = p256_verify(m->p, key_part_a(k), key_part_b(k), t, digest, sig);
	enum p256_said without = p256_verify(m->p, key_part_a(k), key_part_b(k), NULL, digest, sig);
	assert_int_equal(by_table, without);
	assert_true(by_table != P256_CANNOT);
	return by_table == P256_GOOD;
}

static const char *const corners[] = {
	"0",
	"1",
	"2",
	"3",
	"3f",
	"40",
	"41",
	"7f",
	"80",
	"81",
	"4000",
	"10000000000000000",
	"8000000000000000000000000000000000000000000000000000000000000000",
	"7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	"5555555555555555555555555555555555555555555555555555555555555555",
	"n-1",
	"n-2",
	"n-3",
	"n-40",
	"n-80",
};

/* Keys: the generator, its negative and its double make both halves of the sum meet. */
static void every_corner_of_the_sum_is_judged_as_by_openssl(void **state)
{
	static const char *const privates[] = { "1", "n-1", "2", "80", "c0ffee0123456789abcdef" };
	const struct maker *m = *state;
	size_t good = 0;
	for (size_t p = 0; p < ARRAY_LEN(privates); p++) {
		BIGNUM *d = scalar(m, privates[p]);
		AUTO(key_auto) struct key *k = key_of(m, d);
		struct p256_table *t = table_of(k);
		for (size_t i = 0; i < ARRAY_LEN(corners) * ARRAY_LEN(corners); i++) {
			struct sha256 digest;
			uint8_t sig[64];
			BIGNUM *u1 = scalar(m, corners[i / ARRAY_LEN(corners)]);
			BIGNUM *u2 = scalar(m, corners[i % ARRAY_LEN(corners)]);
			if (forge(m, d, u1, u2, &digest, sig)) {
				good++;
				assert_true(openssl_says(k, &digest, sig));
				assert_true(we_say(m, k, t, &digest, str_n(sig, sizeof sig)));
				digest.b[31] ^= 1;
				assert_false(we_say(m, k, t, &digest, str_n(sig, sizeof sig)));
				digest.b[31] ^= 1;
				sig[i % 64] ^= 4;
				assert_false(we_say(m, k, t, &digest, str_n(sig, sizeof sig)));
			}
			BN_free(u1);
			BN_free(u2);
		}
		p256_table_free(t);
		BN_free(d);
	}
	assert_true(good > 5 * 300); /* of 5 x 400 */
}

static void scalars_out_of_range_never_pass(void **state)
{
	static const char *const bad[] = { "0", "n-0",
					   "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff" };
	const struct maker *m = *state;
	BIGNUM *d = scalar(m, "1234567"), *u = scalar(m, "99");
	AUTO(key_auto) struct key *k = key_of(m, d);
	struct p256_table *t = table_of(k);
	for (size_t i = 0; i < 2 * ARRAY_LEN(bad); i++) {
		struct sha256 digest;
		uint8_t sig[64];
		BIGNUM *b = scalar(m, bad[i / 2]);
		assert_true(forge(m, d, u, u, &digest, sig));
		assert_int_equal(BN_bn2binpad(b, sig + 32 * (i % 2), 32), 32);
		assert_false(we_say(m, k, t, &digest, str_n(sig, sizeof sig)));
		BN_free(b);
	}
	assert_false(we_say(m, k, t, &(struct sha256){ { 0 } }, STR_NONE));
	p256_table_free(t);
	BN_free(d);
	BN_free(u);
}

/* u1 G = -u2 Q: no x to compare with, whatever r says. */
static void a_sum_at_infinity_never_passes(void **state)
{
	const struct maker *m = *state;
	BIGNUM *d = scalar(m, "n-1"), *u = scalar(m, "99");
	AUTO(key_auto) struct key *k = key_of(m, d);
	struct p256_table *t = table_of(k);
	const BIGNUM *n = EC_GROUP_get0_order(m->g);
	for (unsigned i = 1; i < 8; i++) {
		struct sha256 digest;
		uint8_t sig[64];
		BN_CTX_start(m->bn);
		BIGNUM *r = BN_CTX_get(m->bn), *s = BN_CTX_get(m->bn), *e = BN_CTX_get(m->bn);
		assert_true(BN_set_word(r, i) == 1 && BN_mod_inverse(s, u, n, m->bn) != NULL &&
			    BN_mod_mul(s, s, r, n, m->bn) == 1 && BN_mod_mul(e, u, s, n, m->bn) == 1);
		assert_true(BN_bn2binpad(e, digest.b, 32) == 32 && BN_bn2binpad(r, sig, 32) == 32 &&
			    BN_bn2binpad(s, sig + 32, 32) == 32);
		BN_CTX_end(m->bn);
		assert_false(openssl_says(k, &digest, sig));
		assert_false(we_say(m, k, t, &digest, str_n(sig, sizeof sig)));
	}
	p256_table_free(t);
	BN_free(d);
	BN_free(u);
}

static void a_point_that_is_on_no_curve_has_no_table(void **state)
{
	(void)state;
	struct err err = { 0 };
	struct p256 *p;
	struct p256_table *t;
	const struct sha256 digest = { { 7 } };
	uint8_t x[32] = { 1 }, y[32] = { 2 }, sig[64];
	memset(sig, 1, sizeof sig);
	MUST(p256_new(&p, &err));
	assert_int_equal(p256_verify(p, str_n(x, 32), str_n(y, 32), NULL, &digest, str_n(sig, 64)), P256_CANNOT);
	p256_free(p);
	MUST_FAIL(p256_table_new(str_n(x, 32), str_n(y, 32), &t, &err), ERR_INTERNAL, "a table for a key");
	MUST_FAIL(p256_table_new(str_n(x, 31), str_n(y, 32), &t, &err), ERR_INTERNAL, "a table for a key");
}

struct shared {
	struct crypto *c;
	struct key *k;
	struct str sig;
	_Atomic unsigned refused;
};

static void *use_and_speed_up(void *arg)
{
	struct shared *s = arg;
	for (unsigned i = 0; i < 40; i++) {
		if (i == 20 && FAILED(key_speed_up(s->c, s->k, NULL)))
			s->refused++;
		if (FAILED(sig_verify(s->c, s->k, SIG_ES256, STR("text"), s->sig, NULL)) ||
		    !FAILED(sig_verify(s->c, s->k, SIG_ES256, STR("other"), s->sig, NULL)))
			s->refused++;
	}
	return NULL;
}

/* In both forms, before and after, from several threads while the table comes. */
static void a_key_that_was_sped_up_verifies_the_same(void **state)
{
	(void)state;
	struct err err = { 0 };
	AUTO(arena_done) struct arena mem = { 0 };
	struct shared s = { 0 };
	pthread_t threads[4];
	struct str der;
	MUST(crypto_new(&s.c, &err));
	MUST(key_generate(KEY_P256, 0, &s.k, &err));
	MUST(sig_sign(s.c, s.k, STR("text"), &mem, &s.sig, &err));
	MUST(sig_sign_x509(s.c, s.k, STR("text"), &mem, &der, &err));
	assert_false(key_is_fast(s.k));
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, use_and_speed_up, &s), 0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		(void)pthread_join(threads[i], NULL);
	assert_int_equal(s.refused, 0);
	assert_true(key_is_fast(s.k));
	MUST(sig_verify_x509(s.c, s.k, DIGEST_SHA256, STR("text"), der, &err));
	MUST_FAIL(sig_verify_x509(s.c, s.k, DIGEST_SHA256, STR("texT"), der, &err), ERR_MALFORMED, "does not verify");
	MUST_FAIL(sig_verify_x509(s.c, s.k, DIGEST_SHA384, STR("text"), der, &err), ERR_MALFORMED, "does not verify");
	for (size_t at = 0; at < der.n; at++) { /* DER has one spelling: every change is refused */
		char *bad = str_dupz_raw(&mem, der);
		bad[at] ^= 1;
		MUST_FAIL(sig_verify_x509(s.c, s.k, DIGEST_SHA256, STR("text"), str_n(bad, der.n), &err), ERR_MALFORMED,
			  "does not verify");
	}
	key_free(s.k);
	crypto_free(s.c);
}

/* Nobody has to ask: a key that verifies a thousand signatures gets a table, and goes on verifying meanwhile. */
static void a_key_that_is_used_much_gets_a_table(void **state)
{
	(void)state;
	struct err err = { 0 };
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(key_auto) struct key *k = NULL;
	struct crypto *c;
	struct str sig;
	unsigned n = 0;
	MUST(crypto_new(&c, &err));
	MUST(key_generate(KEY_P256, 0, &k, &err));
	MUST(sig_sign(c, k, STR("text"), &mem, &sig, &err));
	for (; n < 999; n++)
		MUST(sig_verify(c, k, SIG_ES256, STR("text"), sig, &err));
	assert_false(key_is_fast(k));
	for (; n < 200000 && !key_is_fast(k); n++)
		MUST(sig_verify(c, k, SIG_ES256, STR("text"), sig, &err));
	assert_true(key_is_fast(k));
	MUST(sig_verify(c, k, SIG_ES256, STR("text"), sig, &err));
	MUST_FAIL(sig_verify(c, k, SIG_ES256, STR("texT"), sig, &err), ERR_MALFORMED, "does not verify");
	crypto_free(c); /* before the key: its table is the key's */
	assert_true(key_is_fast(k));
}

/* One that goes away while its table is being made takes nothing from under the thread. */
static void a_key_may_go_while_its_table_is_made(void **state)
{
	(void)state;
	struct err err = { 0 };
	AUTO(arena_done) struct arena mem = { 0 };
	struct crypto *c;
	MUST(crypto_new(&c, &err));
	for (unsigned round = 0; round < 2; round++) {
		struct key *k = NULL;
		struct str sig;
		MUST(key_generate(KEY_P256, 0, &k, &err));
		MUST(sig_sign(c, k, STR("text"), &mem, &sig, &err));
		for (unsigned n = 0; n < 1000; n++)
			MUST(sig_verify(c, k, SIG_ES256, STR("text"), sig, &err));
		key_free(k);
	}
	crypto_free(c);
}

static void no_more_than_so_many_keys_have_a_table(void **state)
{
	(void)state;
	struct err err = { 0 };
	struct crypto *c;
	struct key *k[65];
	MUST(crypto_new(&c, &err));
	for (size_t i = 0; i < ARRAY_LEN(k); i++) {
		MUST(key_generate(KEY_P256, 0, &k[i], &err));
		if (i < 64)
			MUST(key_speed_up(c, k[i], &err));
	}
	MUST_FAIL(key_speed_up(c, k[64], &err), ERR_UNAVAILABLE, "64 keys");
	assert_false(key_is_fast(k[64]));
	MUST(key_speed_up(c, k[0], &err)); /* has one */
	key_free(k[0]);
	MUST(key_speed_up(c, k[64], &err));
	for (size_t i = 1; i < ARRAY_LEN(k); i++)
		key_free(k[i]);
	crypto_free(c);
}

static void other_kinds_have_no_table_and_say_so(void **state)
{
	(void)state;
	struct err err = { 0 };
	struct crypto *c;
	AUTO(key_auto) struct key *k = NULL;
	MUST(crypto_new(&c, &err));
	MUST(key_generate(KEY_P384, 0, &k, &err));
	MUST(key_speed_up(c, k, &err));
	assert_false(key_is_fast(k));
	crypto_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(every_corner_of_the_sum_is_judged_as_by_openssl, set_up, tear_down),
		cmocka_unit_test_setup_teardown(scalars_out_of_range_never_pass, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_sum_at_infinity_never_passes, set_up, tear_down),
		cmocka_unit_test(a_point_that_is_on_no_curve_has_no_table),
		cmocka_unit_test(a_key_that_was_sped_up_verifies_the_same),
		cmocka_unit_test(a_key_that_is_used_much_gets_a_table),
		cmocka_unit_test(a_key_may_go_while_its_table_is_made),
		cmocka_unit_test(no_more_than_so_many_keys_have_a_table),
		cmocka_unit_test(other_kinds_have_no_table_and_say_so),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

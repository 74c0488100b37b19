/* SPDX-License-Identifier: Apache-2.0
 *
 * key_test.c: keys out of hostile parts, and back into the same bytes that OpenSSL writes.
 */
#include "crypto/crypto.h"
#include "unit.h"

#include "crypto/internal.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

static struct key *generated(enum key_kind kind)
{
	struct err err = { 0 };
	struct key *k = NULL;
	MUST(key_generate(kind, 2048, &k, &err));
	return k;
}

static fallible from_parts(enum key_kind kind, struct str a, struct str b, struct key **ret, struct err *err)
{
	if (kind == KEY_RSA)
		return key_from_rsa(a, b, ret, err);
	if (kind == KEY_ED25519)
		return key_from_ed25519(a, ret, err);
	return key_from_ec(kind, a, b, ret, err);
}

static void every_kind_goes_through_parts_and_spki_unchanged(void **state)
{
	(void)state;
	struct err err = { 0 };
	struct crypto *c = NULL;
	MUST(crypto_new(&c, &err));
	for (unsigned kind = 0; kind < KEY_KIND_COUNT; kind++) {
		AUTO(arena_done) struct arena mem = { 0 };
		AUTO(key_auto) struct key *k = generated((enum key_kind)kind);
		AUTO(key_auto) struct key *parts = NULL;
		AUTO(key_auto) struct key *spki = NULL;
		struct str a, b, der;
		struct sha256 hash, parts_hash, want;
		assert_int_equal(key_get_kind(k), kind);
		assert_true(key_has_private(k));
		MUST(key_get_parts(&mem, k, &a, &b, &err));
		MUST(from_parts((enum key_kind)kind, a, b, &parts, &err));
		assert_false(key_has_private(parts));
		assert_true(key_public_eq(k, parts));
		assert_int_equal(key_get_bits(k), key_get_bits(parts));
		assert_int_equal(EVP_PKEY_eq(key_get_evp(k), key_get_evp(parts)), 1);
		MUST(key_spki(&mem, k, &der, &err));
		uint8_t *theirs = NULL;
		int n = i2d_PUBKEY(key_get_evp(k), &theirs);
		assert_true(n > 0 && str_eq(der, str_n(theirs, (size_t)n)));
		OPENSSL_free(theirs);
		MUST(digest_sha256(c, der, &want, &err));
		MUST(key_spki_hash(c, k, &hash, &err));
		MUST(key_spki_hash(c, parts, &parts_hash, &err)); /* the private half does not count */
		assert_memory_equal(hash.b, want.b, sizeof want.b);
		assert_memory_equal(parts_hash.b, want.b, sizeof want.b);
		MUST(key_from_spki(der, &spki, &err));
		assert_true(key_public_eq(k, spki));
		AUTO(key_auto) struct key *other = generated((enum key_kind)kind);
		assert_false(key_public_eq(k, other));
	}
	crypto_free(c);
}

/* The tables of exact bytes against OpenSSL's own. */
static void curve_orders_are_right(void **state)
{
	(void)state;
	for (unsigned kind = KEY_P256; kind <= KEY_P521; kind++) {
		AUTO(key_auto) struct key *k = generated((enum key_kind)kind);
		AUTO(bn_auto) BIGNUM *order = NULL;
		uint8_t bytes[66];
		assert_int_equal(EVP_PKEY_get_bn_param(k->evp, OSSL_PKEY_PARAM_EC_ORDER, &order), 1);
		assert_int_equal(BN_bn2binpad(order, bytes, (int)key_rows[kind].coord), key_rows[kind].coord);
		assert_int_equal(key_rows[kind].order.n, key_rows[kind].coord);
		assert_memory_equal(bytes, key_rows[kind].order.p, key_rows[kind].coord);
	}
}

static void ec_points_that_are_none_are_refused(void **state)
{
	(void)state;
	struct err err = { 0 };
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(key_auto) struct key *k = generated(KEY_P256);
	struct key *made = NULL;
	struct str x, y;
	char bad[33] = { 0 };
	MUST(key_get_parts(&mem, k, &x, &y, &err));
	memcpy(bad, y.p, 32);
	bad[31] ^= 1;
	MUST_FAIL(key_from_ec(KEY_P256, x, str_n(bad, 32), &made, &err), ERR_BAD_PUBLIC_KEY, "not on the curve");
	memset(bad, 0, 32);
	MUST_FAIL(key_from_ec(KEY_P256, str_n(bad, 32), str_n(bad, 32), &made, &err), ERR_BAD_PUBLIC_KEY,
		  "not on the curve");
	memset(bad, 0xff, 32); /* x >= p */
	MUST_FAIL(key_from_ec(KEY_P256, str_n(bad, 32), y, &made, &err), ERR_BAD_PUBLIC_KEY, "not on the curve");
	MUST_FAIL(key_from_ec(KEY_P256, str_sub(x, 0, 31), y, &made, &err), ERR_BAD_PUBLIC_KEY, "31 and 32 bytes");
	MUST_FAIL(key_from_ec(KEY_P256, str_n(bad, 33), y, &made, &err), ERR_BAD_PUBLIC_KEY, "33 and 32 bytes");
	MUST_FAIL(key_from_ec(KEY_P384, x, y, &made, &err), ERR_BAD_PUBLIC_KEY, "P-384 has 48");
	MUST_FAIL(key_from_ec(KEY_RSA, x, y, &made, &err), ERR_INTERNAL, "no elliptic curve");
	MUST_FAIL(key_from_ed25519(str_sub(x, 0, 31), &made, &err), ERR_BAD_PUBLIC_KEY, "Ed25519 has 32");
	assert_null(made);
	assert_int_equal(ERR_peek_error(), 0);
}

static void rsa_parts_are_refused_by_their_lengths(void **state)
{
	(void)state;
	static char n[200000], e[600];
	static const struct {
		size_t n, e;
		uint8_t n_top, e_low;
		const char *text; /* NULL: fine */
	} rows[] = {
		{ 256, 3, 0x80, 1, NULL },
		{ 256, 1, 0x80, 3, NULL },
		{ 256, 3, 0x40, 1, "size not supported: 2047" },
		{ 128, 3, 0x80, 1, "size not supported: 1024" },
		{ 64, 3, 0x80, 1, "size not supported: 512" },
		{ 1025, 3, 0x01, 1, "more than 8192" },
		{ 125000, 3, 0x80, 1, "more than 8192" },
		{ 256, 3, 0x00, 1, "leading zero" },
		{ 0, 3, 0x80, 1, "empty" },
		{ 256, 1, 0x80, 1, "exponent" },
		{ 256, 1, 0x80, 4, "exponent" },
		{ 256, 512, 0x80, 1, "exponent" },
		{ 256, 0, 0x80, 1, "exponent" },
		{ 256, 3, 0x80, 3, "exponent" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err = { 0 };
		AUTO(key_auto) struct key *k = NULL;
		memset(n, 0x55, sizeof n);
		memset(e, 0, sizeof e);
		n[0] = (char)rows[i].n_top;
		e[0] = 1;
		if (rows[i].e > 0)
			e[rows[i].e - 1] = (char)rows[i].e_low;
		struct rc rc = key_from_rsa(str_n(n, rows[i].n), str_n(e, rows[i].e), &k, &err);
		if (rows[i].text == NULL) {
			MUST(rc);
			continue;
		}
		MUST_FAIL(rc, ERR_BAD_PUBLIC_KEY, rows[i].text);
		assert_null(k);
	}
}

static EVP_PKEY *ec_pkey(const char *group, const char *form, const char *encoding)
{
	EVP_PKEY *p = EVP_EC_gen(group);
	assert_non_null(p);
	if (form != NULL)
		assert_int_equal(EVP_PKEY_set_utf8_string_param(p, OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT, form),
				 1);
	if (encoding != NULL)
		assert_int_equal(EVP_PKEY_set_utf8_string_param(p, OSSL_PKEY_PARAM_EC_ENCODING, encoding), 1);
	return p;
}

static void spki_of_other_shapes_is_refused(void **state)
{
	(void)state;
	static const struct {
		const char *group, *form, *encoding, *text;
	} rows[] = {
		{ "P-224", NULL, NULL, "ECDSA curve secp224r1 not allowed" },
		{ "secp256k1", NULL, NULL, "ECDSA curve secp256k1 not allowed" },
		{ "P-256", "compressed", NULL, "uncompressed form" },
		{ "P-256", "hybrid", NULL, "uncompressed form" },
		{ "P-256", NULL, "explicit", "ECDSA curve (explicit) not allowed" },
	};
	struct err err = { 0 };
	struct key *k = NULL;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(evp_pkey_auto) EVP_PKEY *p = ec_pkey(rows[i].group, rows[i].form, rows[i].encoding);
		uint8_t *der = NULL;
		int n = i2d_PUBKEY(p, &der);
		assert_true(n > 0);
		MUST_FAIL(key_from_spki(str_n(der, (size_t)n), &k, &err), ERR_BAD_PUBLIC_KEY, rows[i].text);
		OPENSSL_free(der);
	}
	MUST_FAIL(key_from_spki(STR(""), &k, &err), ERR_BAD_PUBLIC_KEY, "DER");
	/* infinity: one zero byte */
	MUST_FAIL(
		key_from_spki(STR("\x30\x19\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03"
				  "\x01\x07\x03\x02\x00\x00"),
			      &k, &err),
		ERR_BAD_PUBLIC_KEY, "uncompressed form");
	/* Ed448 */
	MUST_FAIL(key_from_spki(STR("\x30\x0b\x30\x05\x06\x03\x2b\x65\x71\x03\x02\x00\x01"), &k, &err),
		  ERR_BAD_PUBLIC_KEY, "key type not supported");
	assert_int_equal(ERR_peek_error(), 0);
}

static void every_cut_and_every_flip_of_spki_is_survived(void **state)
{
	(void)state;
	static const enum key_kind kinds[] = { KEY_P256, KEY_RSA, KEY_ED25519 };
	for (size_t kind = 0; kind < ARRAY_LEN(kinds); kind++) {
		struct err err = { 0 };
		AUTO(arena_done) struct arena mem = { 0 };
		AUTO(key_auto) struct key *k = generated(kinds[kind]);
		struct str der;
		MUST(key_spki(&mem, k, &der, &err));
		for (size_t i = 0; i < der.n; i++) {
			AUTO(key_auto) struct key *got = NULL;
			AUTO(key_auto) struct key *other = NULL;
			assert_true(FAILED(key_from_spki(str_sub(der, 0, i), &got, NULL)));
			char *flipped = str_dupz_raw(&mem, der);
			flipped[i] ^= 0x01;
			if (!FAILED(key_from_spki(str_n(flipped, der.n), &other, NULL)))
				assert_false(key_public_eq(k, other));
		}
	}
}

static void openssl_keys_of_other_kinds_are_refused(void **state)
{
	(void)state;
	struct err err = { 0 };
	struct key *k = NULL;
	AUTO(evp_pkey_auto) EVP_PKEY *k1 = EVP_EC_gen("secp256k1"), *x = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
	AUTO(evp_pkey_auto) EVP_PKEY *small = EVP_RSA_gen(1024);
	MUST_FAIL(key_from_evp(k1, &k, &err), ERR_BAD_PUBLIC_KEY, "ECDSA curve secp256k1 not allowed");
	MUST_FAIL(key_from_evp(x, &k, &err), ERR_BAD_PUBLIC_KEY, "key type not supported");
	MUST_FAIL(key_from_evp(small, &k, &err), ERR_BAD_PUBLIC_KEY, "key size not supported: 1024");
	MUST_FAIL(key_generate(KEY_RSA, 1024, &k, &err), ERR_BAD_PUBLIC_KEY, "key size not supported: 1024");
	assert_null(k);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kind_goes_through_parts_and_spki_unchanged),
		cmocka_unit_test(curve_orders_are_right),
		cmocka_unit_test(ec_points_that_are_none_are_refused),
		cmocka_unit_test(rsa_parts_are_refused_by_their_lengths),
		cmocka_unit_test(spki_of_other_shapes_is_refused),
		cmocka_unit_test(every_cut_and_every_flip_of_spki_is_survived),
		cmocka_unit_test(openssl_keys_of_other_kinds_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * curve_test.c: the curves' own points are on them, everything beside is not, and OpenSSL thinks the same.
 */
#include "crypto/crypto.h"
#include "unit.h"

#include "crypto/internal.h"

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/obj_mac.h>

#define COORD_MAX 66

static const struct kind_row {
	enum key_kind kind;
	int nid;
} kinds[] = { { KEY_P256, NID_X9_62_prime256v1 }, { KEY_P384, NID_secp384r1 }, { KEY_P521, NID_secp521r1 } };

static bool openssl_says(const EC_GROUP *g, struct str point)
{
	EC_POINT *p = EC_POINT_new(g);
	bool good = EC_POINT_oct2point(g, p, (const uint8_t *)point.p, point.n, NULL) == 1;
	EC_POINT_free(p);
	ERR_clear_error();
	return good;
}

static void points_of_a_curve_are_on_it_and_their_neighbours_are_not(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		EC_GROUP *g = EC_GROUP_new_by_curve_name(kinds[i].nid);
		EC_POINT *p = EC_POINT_dup(EC_GROUP_get0_generator(g), g);
		size_t coord = key_rows[kinds[i].kind].coord;
		for (unsigned round = 0; round < 40; round++) {
			struct err err = { 0 };
			uint8_t bytes[1 + 2 * COORD_MAX];
			assert_int_equal(
				EC_POINT_point2oct(g, p, POINT_CONVERSION_UNCOMPRESSED, bytes, sizeof bytes, NULL),
				1 + 2 * coord);
			struct str x = str_n(bytes + 1, coord), y = str_n(bytes + 1 + coord, coord);
			MUST(curve_check(kinds[i].kind, x, y, &err));
			for (size_t at = 0; at < 2 * coord; at += 5) {
				bytes[1 + at] ^= (uint8_t)(1 << round % 8);
				bool good = !FAILED(curve_check(kinds[i].kind, x, y, NULL));
				assert_false(good);
				assert_false(openssl_says(g, str_n(bytes, 1 + 2 * coord)));
				bytes[1 + at] ^= (uint8_t)(1 << round % 8);
			}
			assert_int_equal(EC_POINT_dbl(g, p, p, NULL), 1);
			if (round % 3 == 0)
				assert_int_equal(EC_POINT_add(g, p, p, EC_GROUP_get0_generator(g), NULL), 1);
		}
		EC_POINT_free(p);
		EC_GROUP_free(g);
	}
}

/* y + p is y modulo p, and another spelling of the same point: refused, as by OpenSSL. On P-521 there is room for it. */
static void coordinates_are_below_the_prime(void **state)
{
	(void)state;
	struct err err = { 0 };
	uint8_t zero[COORD_MAX] = { 0 }, ones[COORD_MAX];
	memset(ones, 0xff, sizeof ones);
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		size_t n = key_rows[kinds[i].kind].coord;
		MUST_FAIL(curve_check(kinds[i].kind, str_n(ones, n), str_n(ones, n), &err), ERR_BAD_PUBLIC_KEY,
			  "not on the curve");
		MUST_FAIL(curve_check(kinds[i].kind, str_n(zero, n), str_n(zero, n), &err), ERR_BAD_PUBLIC_KEY,
			  "not on the curve");
	}
	EC_GROUP *g = EC_GROUP_new_by_curve_name(NID_secp521r1);
	BIGNUM *p = BN_new(), *y = BN_new();
	uint8_t bytes[1 + 2 * COORD_MAX];
	assert_int_equal(EC_GROUP_get_curve(g, p, NULL, NULL, NULL), 1);
	assert_true(EC_POINT_point2oct(g, EC_GROUP_get0_generator(g), POINT_CONVERSION_UNCOMPRESSED, bytes,
				       sizeof bytes, NULL) == sizeof bytes);
	BN_bin2bn(bytes + 1 + COORD_MAX, COORD_MAX, y);
	assert_int_equal(BN_add(y, y, p), 1);
	assert_int_equal(BN_bn2binpad(y, bytes + 1 + COORD_MAX, COORD_MAX), COORD_MAX);
	MUST_FAIL(curve_check(KEY_P521, str_n(bytes + 1, COORD_MAX), str_n(bytes + 1 + COORD_MAX, COORD_MAX), &err),
		  ERR_BAD_PUBLIC_KEY, "not on the curve");
	assert_false(openssl_says(g, str_n(bytes, sizeof bytes)));
	BN_free(p);
	BN_free(y);
	EC_GROUP_free(g);
}

/* What was made of coordinates has no key of OpenSSL's yet; many threads that ask for it at once get one. */
static void openssl_keys_are_made_late_and_once(void **state)
{
	(void)state;
	struct err err = { 0 };
	AUTO(arena_done) struct arena mem = { 0 };
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		AUTO(key_auto) struct key *k = NULL;
		AUTO(key_auto) struct key *made = NULL;
		struct str x, y;
		MUST(key_generate(kinds[i].kind, 0, &k, &err));
		MUST(key_get_parts(&mem, k, &x, &y, &err));
		MUST(key_from_ec(kinds[i].kind, x, y, &made, &err));
		assert_null(atomic_load(&made->evp));
		EVP_PKEY *evp = key_get_evp(made);
		assert_non_null(evp);
		assert_ptr_equal(key_get_evp(made), evp);
		assert_int_equal(EVP_PKEY_eq(evp, key_get_evp(k)), 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(points_of_a_curve_are_on_it_and_their_neighbours_are_not),
		cmocka_unit_test(coordinates_are_below_the_prime),
		cmocka_unit_test(openssl_keys_are_made_late_and_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

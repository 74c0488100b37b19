/* SPDX-License-Identifier: Apache-2.0
 *
 * p256.c: verification with a key whose multiples are in a table. OpenSSL has such a table for the curve's generator
 * only, so verifying costs three times as much as signing; but a group may be given another generator and make the table
 * for that one. Everything here is public: signatures, digests, keys. What it accepts it accepts alone, by the equation
 * of FIPS 186-5 6.4.2; what it does not accept the caller asks OpenSSL about once more.
 */
#define OPENSSL_SUPPRESS_DEPRECATED /* EC_GROUP_precompute_mult has no successor; without it there are no tables */
#include "crypto/internal.h"

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/obj_mac.h>
#include <stdlib.h>

struct p256_table {
	EC_GROUP *curve;  /* its generator is the curve's own */
	EC_GROUP *of_key; /* the same curve with the key's point as generator, and the table */
};

void p256_table_free(struct p256_table *t)
{
	if (t == NULL)
		return;
	EC_GROUP_free(t->curve);
	EC_GROUP_free(t->of_key);
	free(t);
}

static void p256_table_auto(struct p256_table **t)
{
	p256_table_free(*t);
}

static void ec_point_auto(EC_POINT **p)
{
	EC_POINT_free(*p);
}

static void bn_ctx_auto(BN_CTX **c)
{
	BN_CTX_free(*c);
}

fallible p256_table_new(struct str x, struct str y, struct p256_table **ret, struct err *err)
{
	uint8_t bytes[1 + 2 * P256_LEN] = { POINT_CONVERSION_UNCOMPRESSED };
	AUTO(p256_table_auto) struct p256_table *t = mem_alloc(sizeof *t);
	t->curve = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
	t->of_key = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
	if (t->curve == NULL || t->of_key == NULL)
		return fail_openssl(err, "P-256");
	AUTO(ec_point_auto) EC_POINT *point = EC_POINT_new(t->curve);
	if (x.n != P256_LEN || y.n != P256_LEN || point == NULL)
		return fail_openssl(err, "a point of P-256");
	memcpy(bytes + 1, x.p, P256_LEN);
	memcpy(bytes + 1 + P256_LEN, y.p, P256_LEN);
	/* Refuses what is not on the curve; every point on this curve is of the group's order, which is prime. */
	if (EC_POINT_oct2point(t->curve, point, bytes, sizeof bytes, NULL) != 1 ||
	    EC_GROUP_set_generator(t->of_key, point, EC_GROUP_get0_order(t->curve), BN_value_one()) != 1 ||
	    EC_GROUP_precompute_mult(t->of_key, NULL) != 1)
		return fail_openssl(err, "a table for a key");
	*ret = TAKE(t);
	return OK;
}

/* The equation; 0 < r, s < n has been looked at. ret_x: the x coordinate of e/s G + r/s Q, modulo n. */
static bool verify_equation(const struct p256_table *t, BN_CTX *bn, const BIGNUM *e, const BIGNUM *r, const BIGNUM *s)
{
	const BIGNUM *n = EC_GROUP_get0_order(t->curve);
	BIGNUM *inverse = BN_CTX_get(bn), *u1 = BN_CTX_get(bn), *u2 = BN_CTX_get(bn), *x = BN_CTX_get(bn);
	AUTO(ec_point_auto) EC_POINT *sum = EC_POINT_new(t->curve);
	AUTO(ec_point_auto) EC_POINT *part = EC_POINT_new(t->of_key);
	return x != NULL && sum != NULL && part != NULL && BN_mod_inverse(inverse, s, n, bn) != NULL &&
	       BN_mod_mul(u1, e, inverse, n, bn) == 1 && BN_mod_mul(u2, r, inverse, n, bn) == 1 &&
	       EC_POINT_mul(t->curve, sum, u1, NULL, NULL, bn) == 1 &&
	       EC_POINT_mul(t->of_key, part, u2, NULL, NULL, bn) == 1 &&
	       EC_POINT_add(t->curve, sum, sum, part, bn) == 1 && EC_POINT_is_at_infinity(t->curve, sum) == 0 &&
	       EC_POINT_get_affine_coordinates(t->curve, sum, x, NULL, bn) == 1 && BN_nnmod(x, x, n, bn) == 1 &&
	       BN_cmp(x, r) == 0;
}

bool p256_table_verify(const struct p256_table *t, const struct sha256 *digest, struct str sig)
{
	AUTO(bn_ctx_auto) BN_CTX *bn = BN_CTX_new();
	if (sig.n != 2 * P256_LEN || bn == NULL)
		return false;
	BN_CTX_start(bn);
	BIGNUM *e = BN_CTX_get(bn), *r = BN_CTX_get(bn), *s = BN_CTX_get(bn);
	const BIGNUM *n = EC_GROUP_get0_order(t->curve);
	bool good = s != NULL && BN_bin2bn(digest->b, sizeof digest->b, e) != NULL &&
		    BN_bin2bn((const uint8_t *)sig.p, P256_LEN, r) != NULL &&
		    BN_bin2bn((const uint8_t *)sig.p + P256_LEN, P256_LEN, s) != NULL && BN_is_zero(r) == 0 &&
		    BN_is_zero(s) == 0 && BN_cmp(r, n) < 0 && BN_cmp(s, n) < 0 && verify_equation(t, bn, e, r, s);
	BN_CTX_end(bn);
	return good;
}

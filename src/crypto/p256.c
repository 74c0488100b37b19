/* SPDX-License-Identifier: Apache-2.0
 *
 * p256.c: ECDSA verification on P-256 by the equation of FIPS 186-5 6.4.2, over OpenSSL's points and numbers. Two things
 * are saved by it. Nothing has to be made for a key that verifies once: OpenSSL's key objects cost a fifth of a
 * verification. And a key that verifies often may have a table of its multiples, which OpenSSL has for the curve's
 * generator only, and then verifies in half the time: a group may be given another generator, and make the table for that
 * one. Everything here is public: signatures, digests, keys.
 */
#define OPENSSL_SUPPRESS_DEPRECATED /* EC_GROUP_precompute_mult has no successor */
#include "crypto/internal.h"

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/obj_mac.h>
#include <stdlib.h>

struct p256 {
	EC_GROUP *curve;
};

struct p256_table {
	EC_GROUP *of_key; /* the curve with the key's point as generator */
};

static void p256_auto(struct p256 **p)
{
	p256_free(*p);
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

fallible p256_new(struct p256 **ret, struct err *err)
{
	AUTO(p256_auto) struct p256 *p = mem_alloc(sizeof *p);
	p->curve = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
	if (p->curve == NULL)
		return fail_openssl(err, "P-256");
	*ret = TAKE(p);
	return OK;
}

void p256_free(struct p256 *p)
{
	if (p == NULL)
		return;
	EC_GROUP_free(p->curve);
	free(p);
}

void p256_table_free(struct p256_table *t)
{
	if (t == NULL)
		return;
	EC_GROUP_free(t->of_key);
	free(t);
}

/* NULL: what is not on the curve, too. Every point on this curve is of the group's order, which is prime. */
static EC_POINT *point_of(const EC_GROUP *g, struct str x, struct str y, BN_CTX *bn)
{
	uint8_t bytes[1 + 2 * P256_LEN] = { POINT_CONVERSION_UNCOMPRESSED };
	AUTO(ec_point_auto) EC_POINT *point = EC_POINT_new(g);
	if (x.n != P256_LEN || y.n != P256_LEN || point == NULL)
		return NULL;
	memcpy(bytes + 1, x.p, P256_LEN);
	memcpy(bytes + 1 + P256_LEN, y.p, P256_LEN);
	return EC_POINT_oct2point(g, point, bytes, sizeof bytes, bn) == 1 ? TAKE(point) : NULL;
}

fallible p256_table_new(struct str x, struct str y, struct p256_table **ret, struct err *err)
{
	AUTO(p256_table_auto) struct p256_table *t = mem_alloc(sizeof *t);
	t->of_key = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
	if (t->of_key == NULL)
		return fail_openssl(err, "P-256");
	AUTO(ec_point_auto) EC_POINT *point = point_of(t->of_key, x, y, NULL);
	if (point == NULL ||
	    EC_GROUP_set_generator(t->of_key, point, EC_GROUP_get0_order(t->of_key), BN_value_one()) != 1 ||
	    EC_GROUP_precompute_mult(t->of_key, NULL) != 1)
		return fail_openssl(err, "a table for a key");
	*ret = TAKE(t);
	return OK;
}

struct scalars {
	BIGNUM *e, *r, *s, *inverse, *u1, *u2, *x;
};

/* sum = u1 G + u2 Q. False: memory, or x and y are no point. */
static bool sum_of(const EC_GROUP *curve, const struct p256_table *table, struct str x, struct str y,
		   const struct scalars *v, EC_POINT *sum, BN_CTX *bn)
{
	if (table == NULL) {
		AUTO(ec_point_auto) EC_POINT *key = point_of(curve, x, y, bn);
		return key != NULL && EC_POINT_mul(curve, sum, v->u1, key, v->u2, bn) == 1;
	}
	AUTO(ec_point_auto) EC_POINT *part = EC_POINT_new(table->of_key);
	return part != NULL && EC_POINT_mul(curve, sum, v->u1, NULL, NULL, bn) == 1 &&
	       EC_POINT_mul(table->of_key, part, v->u2, NULL, NULL, bn) == 1 &&
	       EC_POINT_add(curve, sum, sum, part, bn) == 1;
}

static enum p256_said verify(const EC_GROUP *curve, const struct p256_table *table, struct str x, struct str y,
			     const struct scalars *v, BN_CTX *bn)
{
	const BIGNUM *n = EC_GROUP_get0_order(curve);
	AUTO(ec_point_auto) EC_POINT *sum = EC_POINT_new(curve);
	if (BN_is_zero(v->r) || BN_is_zero(v->s) || BN_cmp(v->r, n) >= 0 || BN_cmp(v->s, n) >= 0)
		return P256_BAD;
	if (sum == NULL || BN_mod_inverse(v->inverse, v->s, n, bn) == NULL ||
	    BN_mod_mul(v->u1, v->e, v->inverse, n, bn) != 1 || BN_mod_mul(v->u2, v->r, v->inverse, n, bn) != 1 ||
	    !sum_of(curve, table, x, y, v, sum, bn))
		return P256_CANNOT;
	if (EC_POINT_is_at_infinity(curve, sum) != 0)
		return P256_BAD;
	if (EC_POINT_get_affine_coordinates(curve, sum, v->x, NULL, bn) != 1 || BN_nnmod(v->x, v->x, n, bn) != 1)
		return P256_CANNOT;
	return BN_cmp(v->x, v->r) == 0 ? P256_GOOD : P256_BAD;
}

enum p256_said p256_verify(const struct p256 *p, struct str x, struct str y, const struct p256_table *table,
			   const struct sha256 *digest, struct str sig)
{
	enum p256_said said = P256_CANNOT;
	AUTO(bn_ctx_auto) BN_CTX *bn = BN_CTX_new();
	if (sig.n != 2 * P256_LEN)
		return P256_BAD;
	if (bn == NULL)
		return P256_CANNOT;
	BN_CTX_start(bn);
	struct scalars v = { BN_CTX_get(bn), BN_CTX_get(bn), BN_CTX_get(bn), BN_CTX_get(bn),
			     BN_CTX_get(bn), BN_CTX_get(bn), BN_CTX_get(bn) };
	if (v.x != NULL && BN_bin2bn(digest->b, sizeof digest->b, v.e) != NULL &&
	    BN_bin2bn((const uint8_t *)sig.p, P256_LEN, v.r) != NULL &&
	    BN_bin2bn((const uint8_t *)sig.p + P256_LEN, P256_LEN, v.s) != NULL)
		said = verify(p->curve, table, x, y, &v, bn);
	BN_CTX_end(bn);
	if (said == P256_CANNOT)
		ERR_clear_error();
	return said;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_p256.c: our verification, by a table and without, and OpenSSL's say the same of every digest and signature; and of those that are
 * made good from two chosen multipliers, that they are good.
 */
#include "crypto/internal.h"
#include "fuzz.h"

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/obj_mac.h>

struct setting {
	struct p256 *p;
	struct str x, y;
	EC_GROUP *g;
	BN_CTX *bn;
	BIGNUM *d;
	struct key *key;
	struct p256_table *table;
	EVP_PKEY_CTX *ctx;
};

static struct setting set(void)
{
	struct setting s = { .g = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1), .bn = BN_CTX_new() };
	EC_POINT *q = EC_POINT_new(s.g);
	uint8_t bytes[65];
	CHECK(BN_hex2bn(&s.d, "c0ffee0123456789abcdef") > 0 && EC_POINT_mul(s.g, q, s.d, NULL, NULL, s.bn) == 1);
	CHECK(EC_POINT_point2oct(s.g, q, POINT_CONVERSION_UNCOMPRESSED, bytes, sizeof bytes, s.bn) == sizeof bytes);
	struct str x = str_n(bytes + 1, P256_LEN), y = str_n(bytes + 1 + P256_LEN, P256_LEN);
	CHECK(!FAILED(p256_new(&s.p, NULL)));
	CHECK(!FAILED(key_from_ec(KEY_P256, x, y, &s.key, NULL)) && !FAILED(p256_table_new(x, y, &s.table, NULL)));
	s.x = key_part_a(s.key);
	s.y = key_part_b(s.key);
	s.ctx = EVP_PKEY_CTX_new(key_get_evp(s.key), NULL);
	CHECK(EVP_PKEY_verify_init(s.ctx) == 1);
	EC_POINT_free(q);
	return s;
}

static bool openssl_says(const struct setting *s, const struct sha256 *digest, const uint8_t *sig)
{
	uint8_t *der = NULL;
	ECDSA_SIG *both = ECDSA_SIG_new();
	CHECK(ECDSA_SIG_set0(both, BN_bin2bn(sig, P256_LEN, NULL), BN_bin2bn(sig + P256_LEN, P256_LEN, NULL)) == 1);
	int n = i2d_ECDSA_SIG(both, &der);
	bool good = EVP_PKEY_verify(s->ctx, der, (size_t)n, digest->b, sizeof digest->b) == 1;
	OPENSSL_free(der);
	ECDSA_SIG_free(both);
	return good;
}

static bool we_say(const struct setting *s, const struct sha256 *digest, const uint8_t *sig)
{
	struct str text = str_n(sig, 2 * P256_LEN);
	enum p256_said by_table = p256_verify(s->p, s->x, s->y, s->table, digest, text);
	CHECK(by_table != P256_CANNOT && by_table == p256_verify(s->p, s->x, s->y, NULL, digest, text));
	return by_table == P256_GOOD;
}

/* What the key verifies through u1 and u2; false: there is none. */
static bool make_good(const struct setting *s, const uint8_t *two, struct sha256 *digest, uint8_t *sig)
{
	const BIGNUM *n = EC_GROUP_get0_order(s->g);
	BN_CTX_start(s->bn);
	BIGNUM *u1 = BN_CTX_get(s->bn), *u2 = BN_CTX_get(s->bn), *k = BN_CTX_get(s->bn), *r = BN_CTX_get(s->bn),
	       *v = BN_CTX_get(s->bn), *e = BN_CTX_get(s->bn);
	EC_POINT *sum = EC_POINT_new(s->g);
	BN_bin2bn(two, P256_LEN, u1);
	BN_bin2bn(two + P256_LEN, P256_LEN, u2);
	bool good = BN_nnmod(u1, u1, n, s->bn) == 1 && BN_nnmod(u2, u2, n, s->bn) == 1 && !BN_is_zero(u2) &&
		    BN_mod_mul(k, u2, s->d, n, s->bn) == 1 && BN_mod_add(k, k, u1, n, s->bn) == 1 && !BN_is_zero(k) &&
		    EC_POINT_mul(s->g, sum, k, NULL, NULL, s->bn) == 1 &&
		    EC_POINT_get_affine_coordinates(s->g, sum, r, NULL, s->bn) == 1 && BN_nnmod(r, r, n, s->bn) == 1 &&
		    !BN_is_zero(r) && BN_mod_inverse(v, u2, n, s->bn) != NULL && BN_mod_mul(v, v, r, n, s->bn) == 1 &&
		    BN_mod_mul(e, u1, v, n, s->bn) == 1 && BN_bn2binpad(e, digest->b, P256_LEN) == P256_LEN &&
		    BN_bn2binpad(r, sig, P256_LEN) == P256_LEN && BN_bn2binpad(v, sig + P256_LEN, P256_LEN) == P256_LEN;
	EC_POINT_free(sum);
	BN_CTX_end(s->bn);
	return good;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct setting s;
	struct sha256 digest;
	uint8_t sig[2 * P256_LEN];
	if (s.g == NULL)
		s = set();
	if (size < sizeof digest.b + sizeof sig)
		return 0;
	memcpy(digest.b, data, sizeof digest.b);
	memcpy(sig, data + sizeof digest.b, sizeof sig);
	CHECK(we_say(&s, &digest, sig) == openssl_says(&s, &digest, sig));
	if (make_good(&s, data, &digest, sig)) {
		CHECK(openssl_says(&s, &digest, sig));
		CHECK(we_say(&s, &digest, sig));
		sig[data[size - 1] % sizeof sig] ^= (uint8_t)(1 << data[size - 2] % 8);
		CHECK(we_say(&s, &digest, sig) == openssl_says(&s, &digest, sig));
	}
	return 0;
}

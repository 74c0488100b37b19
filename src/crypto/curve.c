/* SPDX-License-Identifier: Apache-2.0
 *
 * curve.c: is a point on its curve? Three multiplications modulo the field's prime (SEC 1, 3.2.2.1), so that a key can be
 * told good from bad without making a key of OpenSSL's of it, which takes ten times as long.
 */
#include "crypto/internal.h"

#include <openssl/bn.h>

#define BYTES(lit)                     \
	{                              \
		(lit), sizeof(lit) - 1 \
	}

/* y^2 = x^3 - 3x + b modulo p (FIPS 186-5 and SP 800-186, 3.2.1) */
static const struct curve {
	struct str p, b;
} curves[KEY_KIND_COUNT] = {
	[KEY_P256] = { BYTES("\xff\xff\xff\xff\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff"
			     "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
		       BYTES("\x5a\xc6\x35\xd8\xaa\x3a\x93\xe7\xb3\xeb\xbd\x55\x76\x98\x86\xbc\x65\x1d\x06\xb0\xcc\x53"
			     "\xb0\xf6\x3b\xce\x3c\x3e\x27\xd2\x60\x4b") },
	[KEY_P384] = { BYTES("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"
			     "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff\xff\x00\x00\x00\x00\x00\x00\x00\x00"
			     "\xff\xff\xff\xff"),
		       BYTES("\xb3\x31\x2f\xa7\xe2\x3e\xe7\xe4\x98\x8e\x05\x6b\xe3\xf8\x2d\x19\x18\x1d\x9c\x6e\xfe\x81"
			     "\x41\x12\x03\x14\x08\x8f\x50\x13\x87\x5a\xc6\x56\x39\x8d\x8a\x2e\xd1\x9d\x2a\x85\xc8\xed"
			     "\xd3\xec\x2a\xef") },
	[KEY_P521] = { BYTES("\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"
			     "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"
			     "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"
			     "\xff"),
		       BYTES("\x00\x51\x95\x3e\xb9\x61\x8e\x1c\x9a\x1f\x92\x9a\x21\xa0\xb6\x85\x40\xee\xa2\xda\x72\x5b"
			     "\x99\xb3\x15\xf3\xb8\xb4\x89\x91\x8e\xf1\x09\xe1\x56\x19\x39\x51\xec\x7e\x93\x7b\x16\x52"
			     "\xc0\xbd\x3b\xb1\xbf\x07\x35\x73\xdf\x88\x3d\x2c\x34\xf1\xef\x45\x1f\xd4\x6b\x50\x3f"
			     "\x00") },
};

static void bn_ctx_auto(BN_CTX **c)
{
	BN_CTX_free(*c);
}

static BIGNUM *number(BN_CTX *bn, struct str bytes)
{
	BIGNUM *n = BN_CTX_get(bn);
	return n == NULL ? NULL : BN_bin2bn((const uint8_t *)bytes.p, (int)bytes.n, n);
}

/* left: y^2; right: (x^2 - 3) x + b */
static bool equation_holds(const BIGNUM *x, const BIGNUM *y, const BIGNUM *p, const BIGNUM *b, BIGNUM *left,
			   BIGNUM *right, BN_CTX *bn)
{
	return BN_cmp(x, p) < 0 && BN_cmp(y, p) < 0 && BN_mod_sqr(left, y, p, bn) == 1 &&
	       BN_mod_sqr(right, x, p, bn) == 1 && BN_sub_word(right, 3) == 1 &&
	       BN_mod_mul(right, right, x, p, bn) == 1 && BN_mod_add(right, right, b, p, bn) == 1 &&
	       BN_cmp(left, right) == 0;
}

fallible curve_check(enum key_kind kind, struct str x, struct str y, struct err *err)
{
	const struct curve *c = &curves[kind];
	AUTO(bn_ctx_auto) BN_CTX *bn = BN_CTX_new();
	if (bn == NULL)
		return fail_openssl(err, "a curve");
	BN_CTX_start(bn);
	BIGNUM *p = number(bn, c->p), *b = number(bn, c->b), *bn_x = number(bn, x), *bn_y = number(bn, y),
	       *left = BN_CTX_get(bn), *right = BN_CTX_get(bn);
	bool have = p != NULL && b != NULL && bn_x != NULL && bn_y != NULL && right != NULL;
	bool good = have && equation_holds(bn_x, bn_y, p, b, left, right, bn);
	BN_CTX_end(bn);
	if (!have)
		return fail_openssl(err, "a curve");
	if (!good)
		FAIL(err, ERR_BAD_PUBLIC_KEY, "key point is not on the curve");
	return OK;
}

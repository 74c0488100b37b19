/* SPDX-License-Identifier: Apache-2.0
 *
 * keystore_attrs.c: public keys out of a token's attributes. What a token says is read like a stranger's input: a module
 * is code from elsewhere, and may be wrong.
 */
#include "sign/keystore_internal.h"

#define BYTES(lit)                     \
	{                              \
		(lit), sizeof(lit) - 1 \
	}

static const struct curve {
	enum key_kind kind;
	size_t coord;
	struct str oid;       /* as CKA_EC_PARAMS has it */
	const char *names[3]; /* as PKCS#11 3.0's PrintableString may have it */
} curves[] = {
	{ KEY_P256, 32, BYTES("\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"), { "secp256r1", "prime256v1", "P-256" } },
	{ KEY_P384, 48, BYTES("\x06\x05\x2b\x81\x04\x00\x22"), { "secp384r1", "P-384", NULL } },
	{ KEY_P521, 66, BYTES("\x06\x05\x2b\x81\x04\x00\x23"), { "secp521r1", "P-521", NULL } },
};

struct str token_ec_params(enum key_kind kind)
{
	for (size_t i = 0; i < ARRAY_LEN(curves); i++)
		if (curves[i].kind == kind)
			return curves[i].oid;
	return STR_NONE;
}

static bool names_curve(const struct curve *c, struct str name)
{
	for (size_t i = 0; i < ARRAY_LEN(c->names) && c->names[i] != NULL; i++)
		if (str_eq(name, str_z(c->names[i])))
			return true;
	return false;
}

static const struct curve *curve_of(struct str params)
{
	struct der name = { 0 };
	bool printable = !FAILED(der_only(params, DER_PRINTABLE_STRING, &name, NULL));
	for (size_t i = 0; i < ARRAY_LEN(curves); i++)
		if (str_eq(params, curves[i].oid) || (printable && names_curve(&curves[i], name.body)))
			return &curves[i];
	return NULL;
}

/* 0x04 begins both an OCTET STRING and an uncompressed point: the lengths tell them apart. */
static fallible point_of(const struct curve *c, struct str attr, struct str *ret, struct err *err)
{
	struct der octets;
	struct str point = attr;
	if (attr.n != 1 + 2 * c->coord) {
		TRY(der_only(attr, DER_OCTET_STRING, &octets, err));
		point = octets.body;
	}
	if (point.n != 1 + 2 * c->coord || point.p[0] != 4)
		FAIL(err, ERR_BAD_PUBLIC_KEY, "CKA_EC_POINT is no uncompressed point of its curve");
	*ret = str_sub(point, 1, point.n);
	return OK;
}

fallible token_ec_key(struct str params, struct str point, struct key **ret, struct err *err)
{
	struct str xy;
	const struct curve *c = curve_of(params);
	if (c == NULL)
		FAIL(err, ERR_BAD_PUBLIC_KEY,
		     "CKA_EC_PARAMS names no curve that is served, wanted P-256, P-384 or P-521");
	TRY(point_of(c, point, &xy, err));
	return key_from_ec(c->kind, str_sub(xy, 0, c->coord), str_sub(xy, c->coord, xy.n), ret, err);
}

static struct str without_zeros(struct str n)
{
	while (n.n > 0 && n.p[0] == 0)
		n = str_sub(n, 1, n.n);
	return n;
}

fallible token_rsa_key(struct str modulus, struct str exponent, struct key **ret, struct err *err)
{
	return key_from_rsa(without_zeros(modulus), without_zeros(exponent), ret, err);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * jwk.c: public keys as JSON (RFC 7517, 7518 6, 8037 2) and their thumbprints (RFC 7638).
 */
#include "jose/jose.h"

#define JWK_TEXT_MAX (16 * 1024)
#define COORD_MAX 66
#define RSA_MODULUS_MAX 1024
#define RSA_EXPONENT_MAX 8

static const struct {
	const char *crv, *kty;
	enum key_kind kind;
} curves[] = {
	{ "P-256", "EC", KEY_P256 },
	{ "P-384", "EC", KEY_P384 },
	{ "P-521", "EC", KEY_P521 },
	{ "Ed25519", "OKP", KEY_ED25519 },
};

/* Lengths are judged on the text, so that a giant number is never decoded (A24). */
static fallible read_part(struct arena *mem, const struct json *jwk, const char *name, size_t max, struct str *ret,
			  struct err *err)
{
	struct str text;
	TRY(json_want_str(jwk, name, SIZE_MAX, &text, err));
	if (text.n > B64URL_LEN(max))
		FAIL(err, ERR_BAD_PUBLIC_KEY, "key size not supported: \"%s\" of %zu characters, at most %zu", name,
		     text.n, B64URL_LEN(max));
	struct rc rc = b64url_decode(mem, text, max, ret, err);
	if (FAILED(rc))
		err_prefix(err, "jwk member \"%s\": ", name);
	return rc;
}

/* A private key that came over the wire is burnt: say so instead of using its public half (A27). */
static fallible refuse_private(const struct json *jwk, struct err *err)
{
	static const char *const private_members[] = { "d", "p", "q", "dp", "dq", "qi", "oth", "k" };
	for (size_t i = 0; i < ARRAY_LEN(private_members); i++)
		if (json_get(jwk, private_members[i]) != NULL)
			FAIL(err, ERR_BAD_PUBLIC_KEY,
			     "jwk has the private member \"%s\": a key that was sent is no secret any more",
			     private_members[i]);
	return OK;
}

static fallible read_curve(const struct json *jwk, struct str kty, enum key_kind *ret, struct err *err)
{
	struct str crv;
	TRY(json_want_str(jwk, "crv", 32, &crv, err));
	for (size_t i = 0; i < ARRAY_LEN(curves); i++) {
		if (!str_eq(crv, str_z(curves[i].crv)) || !str_eq(kty, str_z(curves[i].kty)))
			continue;
		*ret = curves[i].kind;
		return OK;
	}
	FAIL(err, ERR_BAD_PUBLIC_KEY, "ECDSA curve %.*s not allowed", STR_FMT(crv));
}

fallible jwk_read(const struct json *jwk, struct key **ret, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	enum key_kind kind;
	struct str kty, a, b;
	if (json_type(jwk) != JSON_OBJECT)
		FAIL(err, ERR_MALFORMED, "jwk is not an object");
	TRY(refuse_private(jwk, err));
	TRY(json_want_str(jwk, "kty", 32, &kty, err));
	if (str_eq(kty, STR("RSA"))) {
		TRY(read_part(&mem, jwk, "n", RSA_MODULUS_MAX, &a, err));
		TRY(read_part(&mem, jwk, "e", RSA_EXPONENT_MAX, &b, err));
		return key_from_rsa(a, b, ret, err);
	}
	if (!str_eq(kty, STR("EC")) && !str_eq(kty, STR("OKP")))
		FAIL(err, ERR_BAD_PUBLIC_KEY, "key type %.*s not supported, use EC, RSA or OKP", STR_FMT(kty));
	TRY(read_curve(jwk, kty, &kind, err));
	TRY(read_part(&mem, jwk, "x", COORD_MAX, &a, err));
	if (kind == KEY_ED25519)
		return key_from_ed25519(a, ret, err);
	TRY(read_part(&mem, jwk, "y", COORD_MAX, &b, err));
	return key_from_ec(kind, a, b, ret, err);
}

fallible jwk_read_text(struct str text, struct key **ret, struct err *err)
{
	AUTO(json_auto) struct json *jwk = NULL;
	TRY(json_read(text, JWK_TEXT_MAX, &jwk, err));
	return jwk_read(jwk, ret, err);
}

static fallible add_member(struct buf *ret, const char *before, struct str bytes, struct err *err)
{
	TRY(buf_add(ret, str_z(before), err));
	return b64url_add(ret, bytes, err);
}

/* RFC 7638 3.2 and 3.3: the required members, in the order of their names, without a blank. */
fallible jwk_write(const struct key *k, struct buf *ret, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct str a, b;
	enum key_kind kind = key_get_kind(k);
	TRY(key_get_parts(&mem, k, &a, &b, err));
	if (kind == KEY_RSA) {
		TRY(add_member(ret, "{\"e\":\"", b, err));
		TRY(add_member(ret, "\",\"kty\":\"RSA\",\"n\":\"", a, err));
		return buf_add(ret, STR("\"}"), err);
	}
	TRY(buf_addf(ret, err, "{\"crv\":\"%s\",\"kty\":\"%s\"", key_kind_name(kind),
		     kind == KEY_ED25519 ? "OKP" : "EC"));
	TRY(add_member(ret, ",\"x\":\"", a, err));
	if (kind != KEY_ED25519)
		TRY(add_member(ret, "\",\"y\":\"", b, err));
	return buf_add(ret, STR("\"}"), err);
}

fallible jwk_thumbprint_of_text(const struct crypto *c, struct str canonical, struct thumbprint *ret, struct err *err)
{
	struct sha256 hash;
	TRY(digest_sha256(c, canonical, &hash, err));
	static_assert(B64URL_LEN(sizeof hash.b) == THUMBPRINT_LEN, "all of it, and a NUL behind it");
	*ret = (struct thumbprint){ 0 };
	b64url_encode_to(str_n(hash.b, sizeof hash.b), ret->z);
	return OK;
}

fallible jwk_thumbprint(const struct crypto *c, const struct key *k, struct thumbprint *ret, struct err *err)
{
	AUTO(buf_done) struct buf jwk = BUF_MAX(JWK_TEXT_MAX);
	TRY(jwk_write(k, &jwk, err));
	return jwk_thumbprint_of_text(c, buf_str(&jwk), ret, err);
}

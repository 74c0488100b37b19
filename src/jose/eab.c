/* SPDX-License-Identifier: Apache-2.0
 *
 * eab.c: the inner JWS of an external account binding (RFC 8555 7.3.4): the account's key under a MAC whose key the CA
 * gave out by another way. Its own reader and its own type, so that a MAC is never taken for a signature or the other
 * way round.
 */
#include "jose/jose.h"

#include "jose/internal.h"

#define PAYLOAD_MAX (16 * 1024) /* a JWK */
#define KID_MAX 64

static const struct {
	const char *alg;
	size_t n;
} macs[] = {
	[DIGEST_SHA256] = { "HS256", 32 },
	[DIGEST_SHA384] = { "HS384", 48 },
	[DIGEST_SHA512] = { "HS512", 64 },
};
static_assert(ARRAY_LEN(macs) == DIGEST_COUNT, "name them all");

static fallible check_kid(struct str kid, struct err *err)
{
	if (kid.n == 0 || kid.n > KID_MAX)
		FAIL(err, ERR_MALFORMED, "kid of %zu characters, 1 to %d are wanted", kid.n, KID_MAX);
	for (size_t i = 0; i < kid.n; i++)
		if (kid.p[i] <= ' ' || kid.p[i] > '~')
			FAIL(err, ERR_MALFORMED, "kid with a character that is blank or not printable ASCII");
	return OK;
}

static fallible read_alg(struct str alg, enum digest *ret, struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(macs); i++) {
		if (!str_eq(alg, str_z(macs[i].alg)))
			continue;
		*ret = (enum digest)i;
		return OK;
	}
	FAIL(err, ERR_MALFORMED, "alg \"%.*s\" is not served; served are HS256, HS384 and HS512", STR_FMT(alg));
}

static fallible read_header(struct arena *mem, const struct json *header, struct jws_eab *j, struct err *err)
{
	struct str alg, kid, url;
	TRY(json_want_str(header, "alg", 32, &alg, err));
	TRY(read_alg(alg, &j->mac, err));
	if (json_get(header, "nonce") != NULL)
		FAIL(err, ERR_MALFORMED, "\"nonce\" must not be there");
	if (json_get(header, "jwk") != NULL)
		FAIL(err, ERR_MALFORMED, "\"jwk\" must not be there: \"kid\" names the key");
	TRY(json_want_str(header, "kid", JWS_PROTECTED_MAX, &kid, err));
	TRY(check_kid(kid, err));
	TRY(json_want_str(header, "url", JWS_URL_MAX, &url, err));
	j->kid = str_dup(mem, kid);
	j->url = str_dup(mem, url);
	return OK;
}

static fallible read_eab(struct arena *mem, const struct json *object, struct jws_eab *ret, struct err *err)
{
	AUTO(json_auto) struct json *header = NULL;
	struct jws_eab j = { 0 };
	struct jws_members m;
	TRY(jws_get_members(object, &m, err));
	TRY(jws_read_protected(mem, m.protected_b64, &header, err));
	TRY(read_header(mem, header, &j, err));
	TRY(jws_decode_part(mem, "payload", m.payload_b64, PAYLOAD_MAX, &j.payload, err));
	if (j.payload.n == 0)
		FAIL(err, ERR_MALFORMED, "JWS payload is empty, the account's JWK is wanted");
	TRY(jws_decode_part(mem, "signature", m.signature_b64, DIGEST_MAX, &j.mac_bytes, err));
	/* RFC 7518 3.2 knows no truncated MACs */
	if (j.mac_bytes.n != macs[j.mac].n)
		FAIL(err, ERR_MALFORMED, "JWS signature of %zu bytes, %s has %zu", j.mac_bytes.n, macs[j.mac].alg,
		     macs[j.mac].n);
	j.signed_part = jws_join(mem, m.protected_b64, m.payload_b64);
	*ret = j;
	return OK;
}

fallible jws_read_eab(struct arena *mem, const struct json *object, struct jws_eab *ret, struct err *err)
{
	struct rc rc = read_eab(mem, object, ret, err);
	if (FAILED(rc))
		err_prefix(err, "external account binding: ");
	return rc;
}

fallible jws_verify_eab(const struct crypto *c, const struct jws_eab *j, const struct secret *key, struct err *err)
{
	uint8_t mac[DIGEST_MAX];
	size_t n;
	TRY(hmac(c, j->mac, key, j->signed_part, mac, &n, err));
	if (!bytes_eq_ct(str_n(mac, n), j->mac_bytes))
		FAIL(err, ERR_UNAUTHORIZED, "external account binding: the MAC does not verify");
	return OK;
}

fallible jws_sign_eab(const struct crypto *c, enum digest mac, const struct secret *key, struct str kid, struct str url,
		      const struct key *account, struct buf *ret, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(buf_done) struct buf header = BUF_MAX(JWS_PROTECTED_MAX);
	AUTO(buf_done) struct buf payload = BUF_MAX(PAYLOAD_MAX);
	uint8_t tag[DIGEST_MAX];
	size_t n;
	struct jw h = jw_begin(&header, err);
	jw_object(&h);
	jw_kz(&h, "alg", macs[mac].alg);
	jw_kstr(&h, "kid", kid);
	jw_kstr(&h, "url", url);
	jw_object_end(&h);
	TRY(jw_end(&h));
	TRY(jwk_write(account, &payload, err));
	struct str protected_b64 = b64url_encode(&mem, buf_str(&header));
	struct str payload_b64 = b64url_encode(&mem, buf_str(&payload));
	TRY(hmac(c, mac, key, jws_join(&mem, protected_b64, payload_b64), tag, &n, err));
	struct jw w = jw_begin(ret, err);
	jw_object(&w);
	jw_kstr(&w, "protected", protected_b64);
	jw_kstr(&w, "payload", payload_b64);
	jw_kstr(&w, "signature", b64url_encode(&mem, str_n(tag, n)));
	jw_object_end(&w);
	return jw_end(&w);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * jws.c: the flattened JWS of ACME requests (RFC 8555 6.2), taken apart, verified, and made for the client.
 */
#include "jose/jose.h"

#include "jose/internal.h"

#define SIGNATURE_MAX 1024
#define NONCE_MAX 256

void jws_done(struct jws *j)
{
	if (j == NULL)
		return;
	key_free(j->jwk);
	*j = (struct jws){ 0 };
}

static fallible has_no_extension(const struct json *header, struct err *err)
{
	/* RFC 7515 4.1.11: what is critical must be understood, and nothing of the kind is. RFC 8555 6.2 forbids b64.
	 */
	static const char *const refused[] = { "crit", "b64" };
	for (size_t i = 0; i < ARRAY_LEN(refused); i++)
		if (json_get(header, refused[i]) != NULL)
			FAIL(err, ERR_MALFORMED, "protected header has \"%s\", which is not served", refused[i]);
	return OK;
}

/* RFC 8555 6.5.2: a nonce that is not base64url is malformed, not merely unknown. */
static fallible check_nonce(struct str nonce, struct err *err)
{
	if (nonce.n == 0)
		FAIL(err, ERR_MALFORMED, "nonce is empty");
	for (size_t i = 0; i < nonce.n; i++) {
		char c = nonce.p[i];
		bool good = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
			    c == '_';
		if (!good)
			FAIL(err, ERR_MALFORMED, "nonce is not base64url");
	}
	return OK;
}

static fallible read_header(struct arena *mem, const struct json *header, struct jws *j, struct err *err)
{
	struct str alg, nonce = STR_NONE, url = STR_NONE, kid = STR_NONE;
	TRY(json_want_str(header, "alg", 32, &alg, err));
	TRY(sig_alg_read(alg, &j->alg, err));
	TRY(json_may_str(header, "nonce", NONCE_MAX, &nonce, err));
	TRY(json_may_str(header, "url", JWS_URL_MAX, &url, err));
	TRY(json_may_str(header, "kid", JWS_URL_MAX, &kid, err));
	j->has_nonce = nonce.p != NULL;
	j->has_url = url.p != NULL;
	if (j->has_nonce)
		TRY(check_nonce(nonce, err));
	const struct json *jwk = json_get(header, "jwk");
	if ((jwk != NULL) == (kid.p != NULL))
		FAIL(err, ERR_MALFORMED, "protected header has %s \"jwk\" %s \"kid\", wanted exactly one",
		     jwk != NULL ? "both" : "neither", jwk != NULL ? "and" : "nor");
	j->nonce = nonce.p == NULL ? STR_NONE : str_dup(mem, nonce);
	j->url = url.p == NULL ? STR_NONE : str_dup(mem, url);
	j->kid = kid.p == NULL ? STR_NONE : str_dup(mem, kid);
	return jwk == NULL ? OK : jwk_read(jwk, &j->jwk, err);
}

fallible jws_decode_part(struct arena *mem, const char *name, struct str b64, size_t max, struct str *ret,
			 struct err *err)
{
	struct rc rc = b64url_decode(mem, b64, max, ret, err);
	if (FAILED(rc))
		err_prefix(err, "JWS %s: ", name);
	return rc;
}

fallible jws_read_protected(struct arena *mem, struct str protected_b64, struct json **ret, struct err *err)
{
	AUTO(json_auto) struct json *header = NULL;
	struct str text;
	TRY(jws_decode_part(mem, "protected", protected_b64, JWS_PROTECTED_MAX, &text, err));
	struct rc rc = json_read(text, JWS_PROTECTED_MAX, &header, err);
	if (FAILED(rc)) {
		err_prefix(err, "JWS protected: ");
		return rc;
	}
	TRY(has_no_extension(header, err));
	*ret = TAKE(header);
	return OK;
}

struct str jws_join(struct arena *mem, struct str protected_b64, struct str payload_b64)
{
	return STR_CAT(mem, protected_b64, STR("."), payload_b64);
}

fallible jws_read_parts(struct arena *mem, struct str protected_b64, struct str payload_b64, struct str signature_b64,
			struct jws *ret, struct err *err)
{
	AUTO(jws_done) struct jws j = { 0 };
	AUTO(json_auto) struct json *header = NULL;
	TRY(jws_read_protected(mem, protected_b64, &header, err));
	TRY(read_header(mem, header, &j, err));
	TRY(jws_decode_part(mem, "payload", payload_b64, JWS_BODY_MAX, &j.payload, err));
	TRY(jws_decode_part(mem, "signature", signature_b64, SIGNATURE_MAX, &j.signature, err));
	if (j.signature.n == 0)
		FAIL(err, ERR_MALFORMED, "JWS signature is empty");
	j.signed_part = jws_join(mem, protected_b64, payload_b64);
	j.protected_b64 = str_sub(j.signed_part, 0, protected_b64.n);
	j.payload_b64 = str_sub(j.signed_part, protected_b64.n + 1, j.signed_part.n);
	j.signature_b64 = str_dup(mem, signature_b64);
	*ret = j;
	j.jwk = NULL;
	return OK;
}

fallible jws_get_members(const struct json *top, struct jws_members *ret, struct err *err)
{
	static const char *const known[] = { "protected", "payload", "signature", NULL };
	struct jws_members m;
	if (json_get(top, "signatures") != NULL || json_get(top, "header") != NULL)
		FAIL(err, ERR_MALFORMED, "JWS with \"%s\": one signature and a protected header only (RFC 8555 6.2)",
		     json_get(top, "header") != NULL ? "header" : "signatures");
	TRY(json_only(top, known, err));
	TRY(json_want_str(top, "protected", JWS_BODY_MAX, &m.protected_b64, err));
	TRY(json_want_str(top, "payload", JWS_BODY_MAX, &m.payload_b64, err));
	TRY(json_want_str(top, "signature", JWS_BODY_MAX, &m.signature_b64, err));
	*ret = m;
	return OK;
}

fallible jws_read(struct arena *mem, struct str body, struct jws *ret, struct err *err)
{
	AUTO(json_auto) struct json *top = NULL;
	struct jws_members m;
	TRY(json_read(body, JWS_BODY_MAX, &top, err));
	TRY(jws_get_members(top, &m, err));
	return jws_read_parts(mem, m.protected_b64, m.payload_b64, m.signature_b64, ret, err);
}

fallible jws_verify(const struct crypto *c, const struct jws *j, const struct key *k, struct err *err)
{
	return sig_verify(c, k, j->alg, j->signed_part, j->signature, err);
}

static fallible make_protected(const struct key *k, struct str kid, struct str nonce, struct str url, struct buf *ret,
			       struct err *err)
{
	AUTO(buf_done) struct buf json = BUF_MAX(JWS_PROTECTED_MAX);
	AUTO(buf_done) struct buf jwk = BUF_MAX(JWS_PROTECTED_MAX);
	struct jw w = jw_begin(&json, err);
	jw_object(&w);
	jw_kz(&w, "alg", sig_alg_name(key_sig_alg(k)));
	if (nonce.n > 0)
		jw_kstr(&w, "nonce", nonce);
	jw_kstr(&w, "url", url);
	if (kid.n > 0) {
		jw_kstr(&w, "kid", kid);
	} else {
		TRY(jwk_write(k, &jwk, err));
		jw_key(&w, "jwk");
		jw_raw(&w, buf_str(&jwk));
	}
	jw_object_end(&w);
	TRY(jw_end(&w));
	return b64url_add(ret, buf_str(&json), err);
}

fallible jws_sign_acme(const struct crypto *c, const struct key *k, struct str kid, struct str nonce, struct str url,
		       struct str payload, struct buf *ret, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(buf_done) struct buf in = BUF_MAX(2 * JWS_BODY_MAX);
	struct str signature;
	TRY(make_protected(k, kid, nonce, url, &in, err));
	size_t dot = in.n;
	TRY(buf_add_char(&in, '.', err));
	TRY(b64url_add(&in, payload, err));
	TRY(sig_sign(c, k, buf_str(&in), &mem, &signature, err));
	struct jw w = jw_begin(ret, err);
	jw_object(&w);
	jw_kstr(&w, "protected", str_sub(buf_str(&in), 0, dot));
	jw_kstr(&w, "payload", str_sub(buf_str(&in), dot + 1, in.n));
	jw_kstr(&w, "signature", b64url_encode(&mem, signature));
	jw_object_end(&w);
	return jw_end(&w);
}

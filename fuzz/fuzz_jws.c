/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_jws.c: what is taken apart holds exactly one of jwk and kid, reads the same from its parts, and its key is
 * written as a JWK that reads as the same key with the same bytes.
 */
#include "fuzz.h"
#include "jose/jose.h"

static const struct crypto *algorithms(void)
{
	static struct crypto *c; /* once for the process, as programs have it */
	if (c == NULL)
		CHECK(!FAILED(crypto_new(&c, NULL)));
	return c;
}

static void check_key(const struct key *k)
{
	AUTO(buf_done) struct buf once = BUF_MAX(4096);
	AUTO(buf_done) struct buf twice = BUF_MAX(4096);
	AUTO(key_auto) struct key *again = NULL;
	struct thumbprint t;
	CHECK(!key_has_private(k));
	CHECK(!FAILED(jwk_write(k, &once, NULL)));
	CHECK(!FAILED(jwk_read_text(buf_str(&once), &again, NULL)));
	CHECK(key_public_eq(k, again));
	CHECK(!FAILED(jwk_write(again, &twice, NULL)));
	CHECK(str_eq(buf_str(&once), buf_str(&twice)));
	CHECK(!FAILED(jwk_thumbprint(algorithms(), k, &t, NULL)) && strlen(t.z) == THUMBPRINT_LEN);
	struct err err = { 0 };
	check_err(key_check(k, KEY_USE_ACCOUNT, &err), &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(jws_done) struct jws j = { 0 };
	AUTO(jws_done) struct jws parts = { 0 };
	AUTO(key_auto) struct key *lone = NULL;
	struct err err = { 0 }, verify_err = { 0 };
	if (!FAILED(jwk_read_text(str_n(data, size), &lone, NULL)))
		check_key(lone);
	struct rc rc = jws_read(&mem, str_n(data, size), &j, &err);
	check_err(rc, &err);
	if (FAILED(rc)) {
		CHECK(j.jwk == NULL);
		return 0;
	}
	CHECK(size <= JWS_BODY_MAX && j.alg < SIG_ALG_COUNT && j.signature.n > 0);
	CHECK((j.jwk != NULL) != (j.kid.p != NULL));
	CHECK(j.has_nonce == (j.nonce.p != NULL) && j.has_url == (j.url.p != NULL));
	CHECK(!FAILED(jws_read_parts(&mem, j.protected_b64, j.payload_b64, j.signature_b64, &parts, NULL)));
	CHECK(str_eq(parts.payload, j.payload) && str_eq(parts.kid, j.kid) && parts.alg == j.alg);
	CHECK(str_eq(b64url_encode(&mem, j.payload), j.payload_b64));
	if (j.jwk != NULL) {
		check_key(j.jwk);
		rc = jws_verify(algorithms(), &j, j.jwk, &verify_err);
		check_err(rc, &verify_err);
		CHECK(FAILED(rc) || j.alg == key_sig_alg(j.jwk));
	}
	return 0;
}

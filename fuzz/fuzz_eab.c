/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_eab.c: an external account binding that passes has a kid of the allowed form and a MAC of full length, is not
 * read as a request, and, made anew by our own writer from what was read, reads as the same.
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

static void check_verify(const struct jws_eab *j)
{
	AUTO(secret_done) struct secret key = { 0 };
	struct err err = { 0 };
	uint8_t mac[DIGEST_MAX];
	size_t n;
	CHECK(!FAILED(secret_set(&key, STR("0123456789abcdef0123456789abcdef"), NULL)));
	struct rc rc = jws_verify_eab(algorithms(), j, &key, &err);
	check_err(rc, &err);
	CHECK(!FAILED(rc) || rc.kind == ERR_UNAUTHORIZED);
	CHECK(!FAILED(hmac(algorithms(), j->mac, &key, j->signed_part, mac, &n, NULL)));
	CHECK(n == j->mac_bytes.n);
	struct jws_eab good = *j;
	good.mac_bytes = str_n(mac, n);
	CHECK(!FAILED(jws_verify_eab(algorithms(), &good, &key, NULL)));
	CHECK(FAILED(rc) == !str_eq(good.mac_bytes, j->mac_bytes));
}

/* When the payload is an account's key. */
static void check_again(struct arena *mem, const struct jws_eab *j)
{
	AUTO(buf_done) struct buf text = BUF_MAX(JWS_BODY_MAX);
	AUTO(secret_done) struct secret key = { 0 };
	AUTO(key_auto) struct key *account = NULL;
	AUTO(json_auto) struct json *object = NULL;
	struct jws_eab again;
	if (FAILED(jwk_read_text(j->payload, &account, NULL)))
		return;
	CHECK(!FAILED(secret_set(&key, STR("k"), NULL)));
	CHECK(!FAILED(jws_sign_eab(algorithms(), j->mac, &key, j->kid, j->url, account, &text, NULL)));
	CHECK(!FAILED(json_read(buf_str(&text), JWS_BODY_MAX, &object, NULL)));
	CHECK(!FAILED(jws_read_eab(mem, object, &again, NULL)));
	CHECK(again.mac == j->mac && str_eq(again.kid, j->kid) && str_eq(again.url, j->url));
	CHECK(!FAILED(jws_verify_eab(algorithms(), &again, &key, NULL)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const size_t mac_bytes[DIGEST_COUNT] = { 32, 48, 64 };
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(json_auto) struct json *object = NULL;
	AUTO(jws_done) struct jws request = { 0 };
	struct jws_eab j = { 0 };
	struct err err = { 0 };
	if (FAILED(json_read(str_n(data, size), JWS_BODY_MAX, &object, NULL)))
		return 0;
	struct rc rc = jws_read_eab(&mem, object, &j, &err);
	check_err(rc, &err);
	CHECK(!FAILED(rc) || (rc.kind == ERR_MALFORMED && str_starts(str_z(err.detail), STR("external account"))));
	if (FAILED(rc))
		return 0;
	CHECK(j.mac < DIGEST_COUNT && j.mac_bytes.n == mac_bytes[j.mac] && j.payload.n > 0);
	CHECK(j.kid.n > 0 && j.kid.n <= 64);
	for (size_t i = 0; i < j.kid.n; i++)
		CHECK(j.kid.p[i] > ' ' && j.kid.p[i] <= '~');
	CHECK(FAILED(jws_read(&mem, str_n(data, size), &request, NULL)));
	check_verify(&j);
	check_again(&mem, &j);
	return 0;
}

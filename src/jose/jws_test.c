/* SPDX-License-Identifier: Apache-2.0
 *
 * jws_test.c: ACME requests taken apart and verified; the cases of THREATS A1 to A6.
 */
#include "jose/jose.h"
#include "unit.h"

#define URL STR("https://ca.test/acme/new-order")
#define ED_X "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
#define ED_JWK "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"" ED_X "\"}"

struct fixture {
	struct crypto *c;
	struct key *key[KEY_KIND_COUNT];
};

static int set_up(void **state)
{
	static struct fixture f;
	struct err err = { 0 };
	MUST(crypto_new(&f.c, &err));
	for (unsigned i = 0; i < KEY_KIND_COUNT; i++)
		MUST(key_generate((enum key_kind)i, 2048, &f.key[i], &err));
	*state = &f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	for (unsigned i = 0; i < KEY_KIND_COUNT; i++)
		key_free(f->key[i]);
	crypto_free(f->c);
	return 0;
}

static void requests_are_signed_read_and_verified(void **state)
{
	struct fixture *f = *state;
	static const struct {
		struct str kid, nonce, payload;
	} rows[] = {
		{ { NULL, 0 }, { "bm9uY2U", 7 }, { "{}", 2 } },
		{ { "https://ca.test/acct/1", 22 }, { "bm9uY2U", 7 }, { NULL, 0 } },
		{ { NULL, 0 }, { NULL, 0 }, { "{\"account\":\"x\"}", 15 } },
	};
	for (unsigned kind = 0; kind < KEY_KIND_COUNT; kind++)
		for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
			struct err err = { 0 };
			AUTO(arena_done) struct arena mem = { 0 };
			AUTO(buf_done) struct buf body = BUF_MAX(JWS_BODY_MAX);
			AUTO(jws_done) struct jws j = { 0 };
			AUTO(jws_done) struct jws parts = { 0 };
			MUST(jws_sign_acme(f->c, f->key[kind], rows[i].kid, rows[i].nonce, URL, rows[i].payload, &body,
					   &err));
			MUST(jws_read(&mem, buf_str(&body), &j, &err));
			assert_int_equal(j.alg, key_sig_alg(f->key[kind]));
			assert_true(str_eq(j.payload, rows[i].payload));
			assert_true(j.has_url && str_eq(j.url, URL));
			assert_int_equal(j.has_nonce, rows[i].nonce.n > 0);
			assert_true(str_eq(j.nonce, rows[i].nonce));
			assert_true(str_eq(j.kid, rows[i].kid));
			assert_int_equal(j.jwk != NULL, rows[i].kid.n == 0);
			if (j.jwk != NULL)
				assert_true(key_public_eq(j.jwk, f->key[kind]));
			MUST(jws_verify(f->c, &j, j.jwk != NULL ? j.jwk : f->key[kind], &err));
			MUST(jws_read_parts(&mem, j.protected_b64, j.payload_b64, j.signature_b64, &parts, &err));
			MUST(jws_verify(f->c, &parts, f->key[kind], &err));
		}
}

static void another_key_payload_or_header_does_not_verify(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(buf_done) struct buf body = BUF_MAX(JWS_BODY_MAX);
	AUTO(jws_done) struct jws j = { 0 };
	AUTO(key_auto) struct key *other = NULL;
	MUST(key_generate(KEY_P256, 0, &other, &err));
	MUST(jws_sign_acme(f->c, f->key[KEY_P256], STR("kid"), STR("AAAA"), URL, STR("{}"), &body, &err));
	MUST(jws_read(&mem, buf_str(&body), &j, &err));
	MUST_FAIL(jws_verify(f->c, &j, other, &err), ERR_MALFORMED, "does not verify");
	MUST_FAIL(jws_verify(f->c, &j, f->key[KEY_RSA], &err), ERR_BAD_SIGNATURE_ALGORITHM,
		  "does not go with a RSA key");
	struct jws changed = j;
	changed.signed_part = str_fmt(&mem, "%.*s.e30g", STR_FMT(j.protected_b64));
	MUST_FAIL(jws_verify(f->c, &changed, f->key[KEY_P256], &err), ERR_MALFORMED, "does not verify");
	changed = j;
	changed.alg = SIG_RS256; /* the header says so, the key does not */
	MUST_FAIL(jws_verify(f->c, &changed, f->key[KEY_P256], &err), ERR_BAD_SIGNATURE_ALGORITHM, "does not go with");
	/* moving the dot between the parts gives the same bytes but for the dot: not the same signature */
	changed = j;
	changed.signed_part = str_fmt(&mem, "%.*s.%c%.*s", STR_FMT(str_sub(j.protected_b64, 0, j.protected_b64.n - 1)),
				      j.protected_b64.p[j.protected_b64.n - 1], STR_FMT(j.payload_b64));
	MUST_FAIL(jws_verify(f->c, &changed, f->key[KEY_P256], &err), ERR_MALFORMED, "does not verify");
}

static void bad_protected_headers_are_refused(void **state)
{
	(void)state;
	static const struct {
		const char *header;
		enum err_kind kind;
		const char *text;
	} rows[] = {
		{ "{\"alg\":\"none\",\"kid\":\"k\",\"url\":\"u\"}", ERR_BAD_SIGNATURE_ALGORITHM,
		  "\"none\" is not served" },
		{ "{\"alg\":\"HS256\",\"kid\":\"k\",\"url\":\"u\"}", ERR_BAD_SIGNATURE_ALGORITHM, "ES256, ES384" },
		{ "{\"alg\":\"PS256\",\"kid\":\"k\"}", ERR_BAD_SIGNATURE_ALGORITHM, "not served" },
		{ "{\"alg\":\"es256\",\"kid\":\"k\"}", ERR_BAD_SIGNATURE_ALGORITHM, "not served" },
		{ "{\"kid\":\"k\"}", ERR_MALFORMED, "alg" },
		{ "{\"alg\":[\"ES256\"],\"kid\":\"k\"}", ERR_MALFORMED, "alg" },
		{ "{\"alg\":\"ES256\"}", ERR_MALFORMED, "neither \"jwk\" nor \"kid\"" },
		{ "{\"alg\":\"EdDSA\",\"kid\":\"k\",\"jwk\":" ED_JWK "}", ERR_MALFORMED, "both \"jwk\" and \"kid\"" },
		{ "{\"alg\":\"EdDSA\",\"jwk\":\"x\"}", ERR_MALFORMED, "not an object" },
		{ "{\"alg\":\"EdDSA\",\"jwk\":{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"" ED_X "\",\"d\":\"AA\"}}",
		  ERR_BAD_PUBLIC_KEY, "private member" },
		{ "{\"alg\":\"ES256\",\"kid\":\"k\",\"crit\":[\"exp\"]}", ERR_MALFORMED, "\"crit\"" },
		{ "{\"alg\":\"ES256\",\"kid\":\"k\",\"b64\":false}", ERR_MALFORMED, "\"b64\"" },
		{ "{\"alg\":\"ES256\",\"kid\":\"k\",\"nonce\":\"a+b\"}", ERR_MALFORMED, "nonce is not base64url" },
		{ "{\"alg\":\"ES256\",\"kid\":\"k\",\"nonce\":\"\"}", ERR_MALFORMED, "nonce is empty" },
		{ "{\"alg\":\"ES256\",\"kid\":\"k\",\"nonce\":7}", ERR_MALFORMED, "nonce" },
		{ "{\"alg\":\"ES256\",\"kid\":\"k\",\"url\":{}}", ERR_MALFORMED, "url" },
		{ "{\"alg\":\"ES256\",\"kid\":\"k\",\"kid\":\"l\"}", ERR_MALFORMED, "" },
		{ "{\"alg\":\"ES256\",\"kid\":\"k\",\"\\u006bid\":\"l\"}", ERR_MALFORMED, "" },
		{ "{\"alg\":\"ES256\",\"kid\":\"a\\u0000b\"}", ERR_MALFORMED, "" },
		{ "{\"alg\":\"ES256\",\"kid\":\"\\ud800\"}", ERR_MALFORMED, "" },
		{ "{\"alg\":\"ES256\",\"kid\":\"\xff\"}", ERR_MALFORMED, "" },
		{ "{\"alg\":\"ES256\",\"kid\":\"k\"} x", ERR_MALFORMED, "" },
		{ "\"ES256\"", ERR_MALFORMED, "" },
		{ "", ERR_MALFORMED, "" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err = { 0 };
		AUTO(arena_done) struct arena mem = { 0 };
		struct jws j = { 0 };
		struct str protected_b64 = b64url_encode(&mem, str_z(rows[i].header));
		MUST_FAIL(jws_read_parts(&mem, protected_b64, STR("e30"), STR("AAAA"), &j, &err), rows[i].kind,
			  rows[i].text);
		assert_null(j.jwk);
	}
}

#define GOOD_PROTECTED "eyJhbGciOiJFUzI1NiIsImtpZCI6ImsifQ" /* {"alg":"ES256","kid":"k"} */

static void bodies_of_other_shapes_are_refused(void **state)
{
	(void)state;
	static const struct {
		const char *body, *text; /* text NULL: fine */
	} rows[] = {
		{ "{\"protected\":\"" GOOD_PROTECTED "\",\"payload\":\"\",\"signature\":\"AAAA\"}", NULL },
		{ "{\"protected\":\"" GOOD_PROTECTED "\",\"payload\":\"\",\"signature\":\"\"}", "signature is empty" },
		{ "{\"protected\":\"" GOOD_PROTECTED "\",\"payload\":\"\"}", "signature" },
		{ "{\"protected\":\"" GOOD_PROTECTED "\",\"signature\":\"AAAA\"}", "payload" },
		{ "{\"payload\":\"\",\"signature\":\"AAAA\"}", "protected" },
		{ "{\"protected\":\"\",\"payload\":\"\",\"signature\":\"AAAA\"}", "" },
		{ "{\"protected\":\"" GOOD_PROTECTED "\",\"payload\":\"\",\"signature\":\"AAAA\",\"header\":{}}",
		  "\"header\"" },
		{ "{\"payload\":\"\",\"signatures\":[]}", "\"signatures\"" },
		{ "{\"protected\":\"" GOOD_PROTECTED "\",\"payload\":\"\",\"signature\":\"AAAA\",\"extra\":1}",
		  "extra" },
		{ "{\"protected\":\"" GOOD_PROTECTED "=\",\"payload\":\"\",\"signature\":\"AAAA\"}", "protected" },
		{ "{\"protected\":\"" GOOD_PROTECTED "\",\"payload\":\"e30=\",\"signature\":\"AAAA\"}", "payload" },
		{ "{\"protected\":\"" GOOD_PROTECTED "\",\"payload\":\"e+\",\"signature\":\"AAAA\"}", "payload" },
		{ "{\"protected\":\"" GOOD_PROTECTED "\",\"payload\":\"e31\",\"signature\":\"AAAA\"}", "payload" },
		{ "{\"protected\":\"" GOOD_PROTECTED "\",\"payload\":{},\"signature\":\"AAAA\"}", "payload" },
		{ "{\"protected\":\"" GOOD_PROTECTED "\",\"payload\":\"\",\"signature\":\"AAAA\"}{}", "" },
		{ GOOD_PROTECTED "..AAAA", "" },
		{ "[]", "" },
		{ "", "" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err = { 0 };
		AUTO(arena_done) struct arena mem = { 0 };
		AUTO(jws_done) struct jws j = { 0 };
		if (rows[i].text == NULL)
			MUST(jws_read(&mem, str_z(rows[i].body), &j, &err));
		else
			MUST_FAIL(jws_read(&mem, str_z(rows[i].body), &j, &err), ERR_MALFORMED, rows[i].text);
	}
}

static void a_body_over_the_limit_is_refused(void **state)
{
	(void)state;
	struct err err = { 0 };
	AUTO(arena_done) struct arena mem = { 0 };
	struct jws j = { 0 };
	char *big = arena_alloc(&mem, JWS_BODY_MAX + 1);
	memset(big, ' ', JWS_BODY_MAX + 1);
	big[0] = '{';
	big[JWS_BODY_MAX] = '}';
	assert_true(FAILED(jws_read(&mem, str_n(big, JWS_BODY_MAX + 1), &j, &err)));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_are_signed_read_and_verified),
		cmocka_unit_test(another_key_payload_or_header_does_not_verify),
		cmocka_unit_test(bad_protected_headers_are_refused),
		cmocka_unit_test(bodies_of_other_shapes_are_refused),
		cmocka_unit_test(a_body_over_the_limit_is_refused),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}

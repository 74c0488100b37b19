/* SPDX-License-Identifier: Apache-2.0
 *
 * eab_test.c: external account bindings (RFC 8555 7.3.4): known MACs, and every form that is refused.
 */
#include "jose/jose.h"
#include "unit.h"

#define JWK_X "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
#define JWK "{\"crv\":\"Ed25519\",\"kty\":\"OKP\",\"x\":\"" JWK_X "\"}"
#define JWK_B64                                                                                            \
	"eyJjcnYiOiJFZDI1NTE5Iiwia3R5IjoiT0tQIiwieCI6IjExcVlBWUt4Q3JmVlNfN1R5V1FIT2c3aGN2UGFwaU1scndJYWFQ" \
	"Y0hVUm8ifQ"
#define URL "https://ca.test/acme/new-account"
#define MAC_256 "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

struct fixture {
	struct crypto *c;
	struct key *account;
	struct secret key; /* 00 01 02 ... 1f */
};

static int set_up(void **state)
{
	static struct fixture f;
	struct err err = { 0 };
	uint8_t bytes[32];
	for (size_t i = 0; i < sizeof bytes; i++)
		bytes[i] = (uint8_t)i;
	MUST(crypto_new(&f.c, &err));
	MUST(jwk_read_text(STR(JWK), &f.account, &err));
	MUST(secret_set(&f.key, str_n(bytes, sizeof bytes), &err));
	*state = &f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	secret_done(&f->key);
	key_free(f->account);
	crypto_free(f->c);
	return 0;
}

/* The MACs were computed with Python's hmac module. */
static void bindings_of_the_three_algorithms_are_made_read_and_verified(void **state)
{
	struct fixture *f = *state;
	static const struct {
		enum digest mac;
		const char *object;
	} rows[] = {
		{ DIGEST_SHA256,
		  "{\"protected\":\"eyJhbGciOiJIUzI1NiIsImtpZCI6ImVhYi0xIiwidXJsIjoiaHR0cHM6Ly9jYS50ZXN0L2FjbWUvbmV3LW"
		  "FjY291bnQifQ\",\"payload\":\"" JWK_B64 "\",\"signature\":\"1QuVr4330ygB7Ic7xihvljj31wU-"
		  "C6pcB-wuRCpQXxU\"}" },
		{ DIGEST_SHA384,
		  "{\"protected\":\"eyJhbGciOiJIUzM4NCIsImtpZCI6ImVhYi0xIiwidXJsIjoiaHR0cHM6Ly9jYS50ZXN0L2FjbWUvbmV3LW"
		  "FjY291bnQifQ\",\"payload\":\"" JWK_B64 "\",\"signature\":\"JhC-dGV-hxqy-wONSyzjcHIgjUJAXukdvdn-"
		  "63ClBicquGl2nUakUHICA3WpEFvj\"}" },
		{ DIGEST_SHA512,
		  "{\"protected\":\"eyJhbGciOiJIUzUxMiIsImtpZCI6ImVhYi0xIiwidXJsIjoiaHR0cHM6Ly9jYS50ZXN0L2FjbWUvbmV3LW"
		  "FjY291bnQifQ\",\"payload\":\"" JWK_B64 "\",\"signature\":\"CtZTzlTalUffmpKH-"
		  "DLPuC0ClIwqHpZiA2ZWTqfOH5hoEtLHCMYskQe1xTeGARxodts7UzI3MZMPqKvff3APQg\"}" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err = { 0 };
		AUTO(arena_done) struct arena mem = { 0 };
		AUTO(json_auto) struct json *object = NULL;
		AUTO(buf_done) struct buf made = BUF_MAX(4096);
		struct jws_eab j;
		MUST(jws_sign_eab(f->c, rows[i].mac, &f->key, STR("eab-1"), STR(URL), f->account, &made, &err));
		assert_true(str_eq(buf_str(&made), str_z(rows[i].object)));
		MUST(json_read(buf_str(&made), 4096, &object, &err));
		MUST(jws_read_eab(&mem, object, &j, &err));
		json_free(TAKE(object)); /* what was read lives in the arena */
		assert_int_equal(j.mac, rows[i].mac);
		assert_true(str_eq(j.kid, STR("eab-1")) && str_eq(j.url, STR(URL)) && str_eq(j.payload, STR(JWK)));
		MUST(jws_verify_eab(f->c, &j, &f->key, &err));
	}
}

/* RFC 7515 A.1: its header has no kid, so it is put together by hand. */
static void the_mac_is_that_of_rfc_7515(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(secret_done) struct secret key = { 0 };
	struct str raw;
	struct jws_eab j = { .mac = DIGEST_SHA256,
			     .signed_part = STR("eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9."
						"eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt"
						"cGxlLmNvbS9pc19yb290Ijp0cnVlfQ") };
	MUST(b64url_decode(
		&mem, STR("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"), 64,
		&raw, &err));
	MUST(secret_set(&key, raw, &err));
	MUST(b64url_decode(&mem, STR("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"), 32, &j.mac_bytes, &err));
	MUST(jws_verify_eab(f->c, &j, &key, &err));
	MUST_FAIL(jws_verify_eab(f->c, &j, &f->key, &err), ERR_UNAUTHORIZED, "does not verify");
}

static void another_key_byte_part_or_algorithm_does_not_verify(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(json_auto) struct json *object = NULL;
	AUTO(buf_done) struct buf made = BUF_MAX(4096);
	AUTO(secret_done) struct secret other = { 0 }, none = { 0 };
	struct jws_eab j;
	MUST(jws_sign_eab(f->c, DIGEST_SHA256, &f->key, STR("k"), STR(URL), f->account, &made, &err));
	MUST(json_read(buf_str(&made), 4096, &object, &err));
	MUST(jws_read_eab(&mem, object, &j, &err));
	MUST(secret_set(&other, str_n(f->key.p, 31), &err));
	MUST_FAIL(jws_verify_eab(f->c, &j, &other, &err), ERR_UNAUTHORIZED, "does not verify");
	MUST_FAIL(jws_verify_eab(f->c, &j, &none, &err), ERR_INTERNAL, "without a key");
	for (size_t i = 0; i < j.mac_bytes.n; i++) {
		struct jws_eab changed = j;
		char bytes[32];
		memcpy(bytes, j.mac_bytes.p, sizeof bytes);
		bytes[i] ^= 1;
		changed.mac_bytes = str_n(bytes, sizeof bytes);
		MUST_FAIL(jws_verify_eab(f->c, &changed, &f->key, &err), ERR_UNAUTHORIZED, "does not verify");
	}
	struct jws_eab changed = j;
	changed.signed_part = str_sub(j.signed_part, 0, j.signed_part.n - 1);
	MUST_FAIL(jws_verify_eab(f->c, &changed, &f->key, &err), ERR_UNAUTHORIZED, "does not verify");
	changed = j;
	changed.mac_bytes = str_sub(j.mac_bytes, 0, 16); /* a truncated MAC is no MAC, however it came here */
	MUST_FAIL(jws_verify_eab(f->c, &changed, &f->key, &err), ERR_UNAUTHORIZED, "does not verify");
	changed = j;
	changed.mac = DIGEST_SHA512;
	MUST_FAIL(jws_verify_eab(f->c, &changed, &f->key, &err), ERR_UNAUTHORIZED, "does not verify");
}

#define KID_64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void bad_protected_headers_are_refused(void **state)
{
	(void)state;
	static const struct {
		const char *header, *text; /* text NULL: fine */
	} rows[] = {
		{ "{\"alg\":\"HS256\",\"kid\":\"k\",\"url\":\"u\"}", NULL },
		{ "{\"alg\":\"HS256\",\"kid\":\"" KID_64 "\",\"url\":\"u\"}", NULL },
		{ "{\"alg\":\"HS256\",\"kid\":\"k\",\"url\":\"u\",\"typ\":\"JOSE\"}", NULL },
		{ "{\"alg\":\"none\",\"kid\":\"k\",\"url\":\"u\"}",
		  "\"none\" is not served; served are HS256, HS384 and HS512" },
		{ "{\"alg\":\"ES256\",\"kid\":\"k\",\"url\":\"u\"}", "\"ES256\" is not served" },
		{ "{\"alg\":\"RS256\",\"kid\":\"k\",\"url\":\"u\"}", "\"RS256\" is not served" },
		{ "{\"alg\":\"hs256\",\"kid\":\"k\",\"url\":\"u\"}", "\"hs256\" is not served" },
		{ "{\"alg\":\"HS256 \",\"kid\":\"k\",\"url\":\"u\"}", "is not served" },
		{ "{\"alg\":[\"HS256\"],\"kid\":\"k\",\"url\":\"u\"}", "\"alg\" is an array" },
		{ "{\"kid\":\"k\",\"url\":\"u\"}", "\"alg\" is missing" },
		{ "{\"alg\":\"HS256\",\"url\":\"u\"}", "\"kid\" is missing" },
		{ "{\"alg\":\"HS256\",\"kid\":7,\"url\":\"u\"}", "\"kid\" is an integer" },
		{ "{\"alg\":\"HS256\",\"kid\":\"\",\"url\":\"u\"}", "kid of 0 characters, 1 to 64" },
		{ "{\"alg\":\"HS256\",\"kid\":\"" KID_64 "x\",\"url\":\"u\"}", "kid of 65 characters, 1 to 64" },
		{ "{\"alg\":\"HS256\",\"kid\":\"a b\",\"url\":\"u\"}", "blank or not printable" },
		{ "{\"alg\":\"HS256\",\"kid\":\"a\\n\",\"url\":\"u\"}", "blank or not printable" },
		{ "{\"alg\":\"HS256\",\"kid\":\"a\\u007f\",\"url\":\"u\"}", "blank or not printable" },
		{ "{\"alg\":\"HS256\",\"kid\":\"\\u00e4\",\"url\":\"u\"}", "blank or not printable" },
		{ "{\"alg\":\"HS256\",\"kid\":\"k\"}", "\"url\" is missing" },
		{ "{\"alg\":\"HS256\",\"kid\":\"k\",\"url\":{}}", "\"url\" is an object" },
		{ "{\"alg\":\"HS256\",\"kid\":\"k\",\"url\":\"u\",\"nonce\":\"AAAA\"}", "\"nonce\" must not be there" },
		{ "{\"alg\":\"HS256\",\"kid\":\"k\",\"url\":\"u\",\"nonce\":7}", "\"nonce\" must not be there" },
		{ "{\"alg\":\"HS256\",\"kid\":\"k\",\"url\":\"u\",\"jwk\":" JWK "}", "\"jwk\" must not be there" },
		{ "{\"alg\":\"HS256\",\"url\":\"u\",\"jwk\":{}}", "\"jwk\" must not be there" },
		{ "{\"alg\":\"HS256\",\"kid\":\"k\",\"url\":\"u\",\"crit\":[\"exp\"]}", "\"crit\"" },
		{ "{\"alg\":\"HS256\",\"kid\":\"k\",\"url\":\"u\",\"b64\":false}", "\"b64\"" },
		{ "{\"alg\":\"HS256\",\"kid\":\"k\",\"kid\":\"l\",\"url\":\"u\"}", "duplicate" },
		{ "[]", "protected" },
		{ "", "protected" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err = { 0 };
		AUTO(arena_done) struct arena mem = { 0 };
		AUTO(json_auto) struct json *object = NULL;
		AUTO(buf_done) struct buf text = BUF_MAX(4096);
		struct jws_eab j;
		struct str b64 = b64url_encode(&mem, str_z(rows[i].header));
		MUST(buf_addf(&text, &err, "{\"protected\":\"%.*s\",\"payload\":\"e30\",\"signature\":\"" MAC_256 "\"}",
			      STR_FMT(b64)));
		MUST(json_read(buf_str(&text), 4096, &object, &err));
		if (rows[i].text == NULL) {
			MUST(jws_read_eab(&mem, object, &j, &err));
			continue;
		}
		MUST_FAIL(jws_read_eab(&mem, object, &j, &err), ERR_MALFORMED, rows[i].text);
		assert_non_null(strstr(err.detail, "external account binding: "));
	}
}

#define HS256_B64 "eyJhbGciOiJIUzI1NiIsImtpZCI6ImsiLCJ1cmwiOiJ1In0" /* {"alg":"HS256","kid":"k","url":"u"} */
#define HS384_B64 "eyJhbGciOiJIUzM4NCIsImtpZCI6ImsiLCJ1cmwiOiJ1In0"
#define OBJECT(header, payload, rest) "{\"protected\":\"" header "\",\"payload\":\"" payload "\"" rest "}"

static void objects_of_other_shapes_are_refused(void **state)
{
	(void)state;
	static const struct {
		const char *object, *text; /* text NULL: fine */
	} rows[] = {
		{ OBJECT(HS256_B64, "e30", ",\"signature\":\"" MAC_256 "\""), NULL },
		{ OBJECT(HS256_B64, "", ",\"signature\":\"" MAC_256 "\""), "payload is empty" },
		{ OBJECT(HS256_B64, "e30=", ",\"signature\":\"" MAC_256 "\""), "JWS payload" },
		{ OBJECT(HS256_B64, "e31", ",\"signature\":\"" MAC_256 "\""), "JWS payload" },
		{ OBJECT(HS256_B64 "=", "e30", ",\"signature\":\"" MAC_256 "\""), "JWS protected" },
		{ OBJECT("", "e30", ",\"signature\":\"" MAC_256 "\""), "JWS protected" },
		{ OBJECT(HS256_B64, "e30", ""), "\"signature\" is missing" },
		{ OBJECT(HS256_B64, "e30", ",\"signature\":\"\""), "of 0 bytes, HS256 has 32" },
		{ OBJECT(HS256_B64, "e30", ",\"signature\":\"AAAAAAAAAAAAAAAAAAAAAA\""), "of 16 bytes, HS256 has 32" },
		{ OBJECT(HS256_B64, "e30", ",\"signature\":\"" MAC_256 "AA\""), "JWS signature" },
		{ OBJECT(HS256_B64, "e30", ",\"signature\":\"" MAC_256 "AAAA\""), "JWS signature" },
		{ OBJECT(HS384_B64, "e30", ",\"signature\":\"" MAC_256 "\""), "of 32 bytes, HS384 has 48" },
		{ OBJECT(HS256_B64, "e30", ",\"signature\":\"" MAC_256 "\",\"header\":{}"), "\"header\"" },
		{ OBJECT(HS256_B64, "e30", ",\"signature\":\"" MAC_256 "\",\"extra\":1"), "\"extra\"" },
		{ "{\"payload\":\"e30\",\"signatures\":[]}", "\"signatures\"" },
		{ "{\"payload\":\"e30\",\"signature\":\"" MAC_256 "\"}", "\"protected\" is missing" },
		{ "{\"protected\":\"" HS256_B64 "\",\"signature\":\"" MAC_256 "\"}", "\"payload\" is missing" },
		{ "{}", "\"protected\" is missing" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err = { 0 };
		AUTO(arena_done) struct arena mem = { 0 };
		AUTO(json_auto) struct json *object = NULL;
		struct jws_eab j;
		MUST(json_read(str_z(rows[i].object), 4096, &object, &err));
		if (rows[i].text == NULL)
			MUST(jws_read_eab(&mem, object, &j, &err));
		else
			MUST_FAIL(jws_read_eab(&mem, object, &j, &err), ERR_MALFORMED, rows[i].text);
	}
}

static void what_is_no_object_is_refused(void **state)
{
	(void)state;
	static const struct {
		const char *top, *text;
	} rows[] = {
		{ "{\"eab\":\"" HS256_B64 ".e30." MAC_256 "\"}", "found a string" },
		{ "{\"eab\":[]}", "found an array" },
		{ "{\"eab\":null}", "found nothing" },
		{ "{}", "found nothing" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err = { 0 };
		AUTO(arena_done) struct arena mem = { 0 };
		AUTO(json_auto) struct json *top = NULL;
		struct jws_eab j;
		MUST(json_read(str_z(rows[i].top), 4096, &top, &err));
		MUST_FAIL(jws_read_eab(&mem, json_get(top, "eab"), &j, &err), ERR_MALFORMED, rows[i].text);
	}
}

/* A binding is no request: neither reader takes what the other reads. */
static void a_binding_is_not_read_as_a_request(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(buf_done) struct buf made = BUF_MAX(4096);
	AUTO(jws_done) struct jws j = { 0 };
	MUST(jws_sign_eab(f->c, DIGEST_SHA256, &f->key, STR("k"), STR(URL), f->account, &made, &err));
	MUST_FAIL(jws_read(&mem, buf_str(&made), &j, &err), ERR_BAD_SIGNATURE_ALGORITHM, "\"HS256\" is not served");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(bindings_of_the_three_algorithms_are_made_read_and_verified),
		cmocka_unit_test(the_mac_is_that_of_rfc_7515),
		cmocka_unit_test(another_key_byte_part_or_algorithm_does_not_verify),
		cmocka_unit_test(bad_protected_headers_are_refused),
		cmocka_unit_test(objects_of_other_shapes_are_refused),
		cmocka_unit_test(what_is_no_object_is_refused),
		cmocka_unit_test(a_binding_is_not_read_as_a_request),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}

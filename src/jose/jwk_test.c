/* SPDX-License-Identifier: Apache-2.0
 *
 * jwk_test.c: keys as JSON, by the examples of the RFCs and by what must be refused (THREATS A24, A26, A27).
 */
#include "jose/jose.h"
#include "unit.h"

#define RFC7638_N                                                                                            \
	"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_"            \
	"BJECPebWKRXjBZCiFV4n3oknjh"                                                                         \
	"Mstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_"                                     \
	"FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvR"                                                \
	"L5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-" \
	"kEgU8awapJzKnqD"                                                                                    \
	"Kgw"
#define RFC8037_X "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
#define RFC7517_X "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4"
#define RFC7517_Y "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"

/* RFC 7638 3.1 and RFC 8037 A.3 */
static void thumbprints_match_the_rfcs(void **state)
{
	(void)state;
	static const struct {
		const char *jwk, *thumbprint;
	} rows[] = {
		{ "{\"kty\":\"RSA\",\"n\":\"" RFC7638_N "\",\"e\":\"AQAB\",\"alg\":\"RS256\",\"kid\":\"2011-04-29\"}",
		  "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs" },
		{ "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"" RFC8037_X "\"}",
		  "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k" },
	};
	struct err err = { 0 };
	struct crypto *c = NULL;
	MUST(crypto_new(&c, &err));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(key_auto) struct key *k = NULL;
		struct thumbprint t;
		MUST(jwk_read_text(str_z(rows[i].jwk), &k, &err));
		MUST(jwk_thumbprint(c, k, &t, &err));
		assert_string_equal(t.z, rows[i].thumbprint);
	}
	crypto_free(c);
}

static void every_kind_is_written_and_read_again(void **state)
{
	(void)state;
	for (unsigned kind = 0; kind < KEY_KIND_COUNT; kind++) {
		struct err err = { 0 };
		AUTO(key_auto) struct key *k = NULL;
		AUTO(key_auto) struct key *got = NULL;
		AUTO(buf_done) struct buf text = BUF_MAX(4096);
		AUTO(buf_done) struct buf again = BUF_MAX(4096);
		MUST(key_generate((enum key_kind)kind, 2048, &k, &err));
		MUST(jwk_write(k, &text, &err));
		MUST(jwk_read_text(buf_str(&text), &got, &err));
		assert_true(key_public_eq(k, got));
		assert_false(key_has_private(got));
		MUST(jwk_write(got, &again, &err));
		assert_true(str_eq(buf_str(&text), buf_str(&again)));
	}
}

static void the_canonical_form_has_required_members_only(void **state)
{
	(void)state;
	struct err err = { 0 };
	AUTO(key_auto) struct key *k = NULL;
	AUTO(buf_done) struct buf text = BUF_MAX(4096);
	MUST(jwk_read_text(STR("{\"use\":\"sig\",\"y\":\"" RFC7517_Y "\", \"x\":\"" RFC7517_X
			       "\",\"kty\":\"EC\",\"crv\":\"P-256\",\"x5c\":[1]}"),
			   &k, &err));
	MUST(jwk_write(k, &text, &err));
	assert_true(str_eq(buf_str(&text),
			   STR("{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"" RFC7517_X "\",\"y\":\"" RFC7517_Y "\"}")));
}

static void bad_jwks_are_refused(void **state)
{
	(void)state;
	static const struct {
		const char *jwk;
		enum err_kind kind;
		const char *text;
	} rows[] = {
		{ "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" RFC7517_X "\",\"y\":\"" RFC7517_Y "\",\"d\":\"AA\"}",
		  ERR_BAD_PUBLIC_KEY, "private member \"d\"" },
		{ "{\"kty\":\"oct\",\"k\":\"AAAA\"}", ERR_BAD_PUBLIC_KEY, "private member \"k\"" },
		{ "{\"kty\":\"oct\"}", ERR_BAD_PUBLIC_KEY, "key type oct not supported" },
		{ "{\"kty\":\"ec\",\"crv\":\"P-256\"}", ERR_BAD_PUBLIC_KEY, "key type ec not supported" },
		{ "{\"crv\":\"P-256\"}", ERR_MALFORMED, "kty" },
		{ "{\"kty\":7}", ERR_MALFORMED, "kty" },
		{ "{\"kty\":\"EC\",\"crv\":\"P-224\",\"x\":\"AA\",\"y\":\"AA\"}", ERR_BAD_PUBLIC_KEY,
		  "ECDSA curve P-224 not allowed" },
		{ "{\"kty\":\"EC\",\"crv\":\"secp256k1\",\"x\":\"AA\",\"y\":\"AA\"}", ERR_BAD_PUBLIC_KEY,
		  "ECDSA curve secp256k1 not allowed" },
		{ "{\"kty\":\"EC\",\"crv\":\"Ed25519\",\"x\":\"" RFC8037_X "\"}", ERR_BAD_PUBLIC_KEY, "not allowed" },
		{ "{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"" RFC8037_X "\"}", ERR_BAD_PUBLIC_KEY, "not allowed" },
		{ "{\"kty\":\"OKP\",\"crv\":\"P-256\",\"x\":\"" RFC7517_X "\"}", ERR_BAD_PUBLIC_KEY, "not allowed" },
		{ "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" RFC7517_X "=\",\"y\":\"" RFC7517_Y "\"}", ERR_MALFORMED,
		  "\"x\"" },
		{ "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" RFC7517_X "\",\"y\":\"AA\"}", ERR_BAD_PUBLIC_KEY,
		  "coordinates" },
		{ "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AA" RFC7517_X "\",\"y\":\"" RFC7517_Y "\"}", ERR_MALFORMED,
		  "\"x\"" },
		{ "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" RFC7517_Y "\",\"y\":\"" RFC7517_X "\"}",
		  ERR_BAD_PUBLIC_KEY, "not on the curve" },
		{ "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" RFC7517_X "\"}", ERR_MALFORMED, "y" },
		{ "{\"kty\":\"RSA\",\"n\":\"" RFC7638_N "\",\"e\":\"AQ\"}", ERR_BAD_PUBLIC_KEY, "exponent" },
		{ "{\"kty\":\"RSA\",\"n\":\"" RFC7638_N "\",\"e\":\"AAEAAQ\"}", ERR_BAD_PUBLIC_KEY, "exponent" },
		{ "{\"kty\":\"RSA\",\"n\":\"" RFC7638_N "\",\"e\":\"AQABAQABAQABAQAB\"}", ERR_BAD_PUBLIC_KEY, "\"e\"" },
		{ "{\"kty\":\"RSA\",\"n\":\"3Q\",\"e\":\"AQAB\"}", ERR_BAD_PUBLIC_KEY, "key size not supported: 8" },
		{ "{\"kty\":\"RSA\",\"n\":\"AN" RFC7638_N "\",\"e\":\"AQAB\"}", ERR_BAD_PUBLIC_KEY, "leading zero" },
		{ "[]", ERR_MALFORMED, "" },
		{ "{}x", ERR_MALFORMED, "" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err = { 0 };
		struct key *k = NULL;
		MUST_FAIL(jwk_read_text(str_z(rows[i].jwk), &k, &err), rows[i].kind, rows[i].text);
		assert_null(k);
	}
}

static void a_giant_modulus_is_refused_by_its_length(void **state)
{
	(void)state;
	struct err err = { 0 };
	AUTO(buf_done) struct buf text = BUF_MAX(16000);
	struct key *k = NULL;
	MUST(buf_add(&text, STR("{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\""), &err));
	for (int i = 0; i < 15000; i++)
		MUST(buf_add_char(&text, '_', &err));
	MUST(buf_add(&text, STR("\"}"), &err));
	MUST_FAIL(jwk_read_text(buf_str(&text), &k, &err), ERR_BAD_PUBLIC_KEY, "key size not supported");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(thumbprints_match_the_rfcs),
		cmocka_unit_test(every_kind_is_written_and_read_again),
		cmocka_unit_test(the_canonical_form_has_required_members_only),
		cmocka_unit_test(bad_jwks_are_refused),
		cmocka_unit_test(a_giant_modulus_is_refused_by_its_length),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

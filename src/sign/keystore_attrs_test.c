/* SPDX-License-Identifier: Apache-2.0
 *
 * keystore_attrs_test.c: what tokens say of their public keys, in the ways that they say it, and what no token should.
 */
#include "sign/keystore_internal.h"
#include "unit.h"

static struct str put(struct arena *mem, unsigned tag, struct str body)
{
	AUTO(buf_done) struct buf b = BUF_MAX(4096);
	struct err err = { 0 };
	struct derw w = derw_begin(&b, &err);
	derw_put(&w, tag, body);
	MUST(derw_end(&w));
	return str_dup(mem, buf_str(&b));
}

static void points_are_read_wrapped_and_bare_under_each_name_of_the_curve(void **state)
{
	static const struct {
		enum key_kind kind;
		const char *names[4];
	} rows[] = { { KEY_P256, { "secp256r1", "prime256v1", "P-256", NULL } },
		     { KEY_P384, { "secp384r1", "P-384", NULL } },
		     { KEY_P521, { "secp521r1", "P-521", NULL } } };
	(void)state;
	AUTO(arena_done) struct arena mem = { 0 };
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(key_auto) struct key *made = NULL, *wrapped = NULL, *bare = NULL;
		struct err err = { 0 };
		struct str x, y;
		MUST(key_generate(rows[i].kind, 0, &made, &err));
		MUST(key_get_parts(&mem, made, &x, &y, &err));
		char *point = arena_alloc(&mem, 1 + x.n + y.n);
		point[0] = 4;
		memcpy(point + 1, x.p, x.n);
		memcpy(point + 1 + x.n, y.p, y.n);
		struct str raw = str_n(point, 1 + x.n + y.n), octets = put(&mem, DER_OCTET_STRING, raw);
		MUST(token_ec_key(token_ec_params(rows[i].kind), octets, &wrapped, &err));
		MUST(token_ec_key(token_ec_params(rows[i].kind), raw, &bare, &err));
		assert_true(key_public_eq(made, wrapped) && key_public_eq(made, bare));
		for (size_t n = 0; rows[i].names[n] != NULL; n++) {
			AUTO(key_auto) struct key *named = NULL;
			MUST(token_ec_key(put(&mem, DER_PRINTABLE_STRING, str_z(rows[i].names[n])), octets, &named,
					  &err));
			assert_true(key_public_eq(made, named));
		}
		/* every length but the right ones, of both forms */
		for (size_t n = 0; n < octets.n; n++) {
			struct key *k = NULL;
			assert_true(
				FAILED(token_ec_key(token_ec_params(rows[i].kind), str_sub(octets, 0, n), &k, NULL)));
			if (n < raw.n)
				assert_true(FAILED(
					token_ec_key(token_ec_params(rows[i].kind), str_sub(raw, 0, n), &k, NULL)));
		}
		point[0] = 2; /* "compressed", at the uncompressed length */
		struct key *k = NULL;
		MUST_FAIL(token_ec_key(token_ec_params(rows[i].kind), raw, &k, &err), ERR_BAD_PUBLIC_KEY,
			  "uncompressed");
		point[0] = 4;
		point[x.n] ^= 1;
		MUST_FAIL(token_ec_key(token_ec_params(rows[i].kind), raw, &k, &err), ERR_BAD_PUBLIC_KEY,
			  "not on the curve");
	}
}

static void curves_that_are_not_served_are_refused(void **state)
{
	(void)state;
	const struct str params[] = { STR(""),
				      STR("\x05\x00"),
				      STR("\x06\x05\x2b\x81\x04\x00\x0a") /* secp256k1 */,
				      STR("\x06\x08\x2a\x86\x48\xce\x3d\x03\x01"),
				      STR("\x30\x00"),
				      STR("\x13\x05secp2"),
				      STR("\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x00") };
	for (size_t i = 0; i < ARRAY_LEN(params); i++) {
		struct err err = { 0 };
		struct key *k = NULL;
		MUST_FAIL(token_ec_key(params[i], STR("\x04\x01"), &k, &err), ERR_BAD_PUBLIC_KEY, "names no curve");
	}
}

static void rsa_numbers_may_have_leading_zeros(void **state)
{
	(void)state;
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(key_auto) struct key *made = NULL, *read = NULL;
	struct err err = { 0 };
	struct str n, e;
	struct key *k = NULL;
	MUST(key_generate(KEY_RSA, 2048, &made, &err));
	MUST(key_get_parts(&mem, made, &n, &e, &err));
	char *padded = arena_alloc(&mem, n.n + 2);
	memcpy(padded + 2, n.p, n.n);
	MUST(token_rsa_key(str_n(padded, n.n + 2), STR("\x00\x01\x00\x01"), &read, &err));
	assert_true(key_public_eq(made, read));
	MUST_FAIL(token_rsa_key(STR("\x00\x00"), e, &k, &err), ERR_BAD_PUBLIC_KEY, "empty");
	MUST_FAIL(token_rsa_key(n, STR("\x00"), &k, &err), ERR_BAD_PUBLIC_KEY, "exponent");
	MUST_FAIL(token_rsa_key(str_sub(n, 0, 128), e, &k, &err), ERR_BAD_PUBLIC_KEY, "not supported: 1024");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(points_are_read_wrapped_and_bare_under_each_name_of_the_curve),
		cmocka_unit_test(curves_that_are_not_served_are_refused),
		cmocka_unit_test(rsa_numbers_may_have_leading_zeros),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

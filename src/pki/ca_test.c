/* SPDX-License-Identifier: Apache-2.0
 *
 * ca_test.c: the hierarchy of cairn init: OpenSSL builds and accepts the path, and refuses what constraints forbid.
 */
#include "pki/test.h"

#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

static void issue(struct test_ca *ca, const char *name, struct cert **ret)
{
	struct err err = { 0 };
	AUTO(key_auto) struct key *k = NULL;
	AUTO(buf_done) struct buf tbs = BUF_MAX(CERT_DER_MAX), der = BUF_MAX(CERT_DER_MAX);
	const struct str names[] = { str_z(name) };
	MUST(key_generate(KEY_P256, 0, &k, &err));
	const struct cert_request r = {
		.names = names,
		.name_count = 1,
		.key = k,
		.serial = serial_new(1, &ca->rng),
		.not_before = TEST_NOW,
		.not_after = TEST_NOW + 90 * TEST_DAY - 1,
	};
	MUST(cert_build_tbs(ca->issuer, &test_template, &r, &tbs, &err));
	MUST(cert_sign_tbs(ca->c, ca->issuer, buf_str(&tbs), &der, &err));
	MUST(cert_lint(ca->issuer, &test_template, &r, buf_str(&der), &err));
	MUST(cert_read_der(buf_str(&der), ret, &err));
}

/* X509_V_OK or the reason */
static int verify_path(struct test_ca *ca, const struct cert *leaf, int purpose, const char *host)
{
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	STACK_OF(X509) *untrusted = sk_X509_new_null();
	assert_int_equal(X509_STORE_add_cert(store, cert_get_x509(ca->root)), 1);
	assert_true(sk_X509_push(untrusted, cert_get_x509(ca->cert)) > 0);
	assert_int_equal(X509_STORE_CTX_init(ctx, store, cert_get_x509(leaf), untrusted), 1);
	X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(ctx);
	X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_X509_STRICT | X509_V_FLAG_CHECK_SS_SIGNATURE |
						   X509_V_FLAG_POLICY_CHECK | X509_V_FLAG_EXPLICIT_POLICY);
	assert_int_equal(X509_VERIFY_PARAM_add0_policy(param, OBJ_txt2obj("2.23.140.1.2.1", 1)), 1);
	X509_VERIFY_PARAM_set_time(param, TEST_NOW + TEST_DAY);
	X509_VERIFY_PARAM_set_purpose(param, purpose);
	if (host != NULL)
		assert_int_equal(X509_VERIFY_PARAM_set1_host(param, host, 0), 1);
	int result = X509_verify_cert(ctx) == 1 ? X509_V_OK : X509_STORE_CTX_get_error(ctx);
	sk_X509_free(untrusted);
	X509_STORE_CTX_free(ctx);
	X509_STORE_free(store);
	ERR_clear_error();
	return result;
}

static void openssl_accepts_root_intermediate_and_leaf(void **state)
{
	(void)state;
	static const enum key_kind kinds[] = { KEY_P256, KEY_P384, KEY_P521, KEY_RSA };
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		struct test_ca ca;
		AUTO(cert_auto) struct cert *leaf = NULL;
		test_ca_make(&ca, kinds[i], NULL, 0);
		issue(&ca, "www.example.com", &leaf);
		assert_int_equal(verify_path(&ca, leaf, X509_PURPOSE_SSL_SERVER, "www.example.com"), X509_V_OK);
		assert_int_equal(verify_path(&ca, leaf, X509_PURPOSE_SSL_SERVER, "a.example.com"),
				 X509_V_ERR_HOSTNAME_MISMATCH);
		assert_int_equal(verify_path(&ca, leaf, X509_PURPOSE_SSL_CLIENT, NULL), X509_V_ERR_INVALID_PURPOSE);
		assert_int_equal(verify_path(&ca, leaf, X509_PURPOSE_SMIME_SIGN, NULL), X509_V_ERR_INVALID_PURPOSE);
		test_ca_done(&ca);
	}
}

static void name_constraints_bind(void **state)
{
	(void)state;
	const struct str permit[] = { STR("example.com"), STR("example.net") };
	static const struct {
		const char *name;
		int want;
	} rows[] = {
		{ "www.example.com", X509_V_OK },
		{ "example.net", X509_V_OK },
		{ "www.example.org", X509_V_ERR_PERMITTED_VIOLATION },
		{ "notexample.com", X509_V_ERR_PERMITTED_VIOLATION },
	};
	struct test_ca ca;
	test_ca_make(&ca, KEY_P256, permit, ARRAY_LEN(permit));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(cert_auto) struct cert *leaf = NULL;
		issue(&ca, rows[i].name, &leaf);
		assert_int_equal(verify_path(&ca, leaf, X509_PURPOSE_SSL_SERVER, NULL), rows[i].want);
	}
	int critical = 0;
	NAME_CONSTRAINTS *nc = X509_get_ext_d2i(cert_get_x509(ca.cert), NID_name_constraints, &critical, NULL);
	assert_non_null(nc);
	assert_int_equal(critical, 1);
	assert_int_equal(sk_GENERAL_SUBTREE_num(nc->permittedSubtrees), 2);
	assert_int_equal(sk_GENERAL_SUBTREE_num(nc->excludedSubtrees), 2);
	static const int ip_lengths[] = { 8, 32 };
	for (int i = 0; i < 2; i++) {
		const GENERAL_NAME *base = sk_GENERAL_SUBTREE_value(nc->excludedSubtrees, i)->base;
		int type;
		const ASN1_STRING *ip = GENERAL_NAME_get0_value(base, &type);
		assert_int_equal(type, GEN_IPADD);
		assert_int_equal(ASN1_STRING_length(ip), ip_lengths[i]);
		for (int b = 0; b < ip_lengths[i]; b++)
			assert_int_equal(ASN1_STRING_get0_data(ip)[b], 0);
	}
	NAME_CONSTRAINTS_free(nc);
	test_ca_done(&ca);
}

/* A leaf for one name or address, as OpenSSL sees it under constraints. */
static int verify_one(struct test_ca *ca, const char *name)
{
	struct err err = { 0 };
	AUTO(key_auto) struct key *k = NULL;
	AUTO(cert_auto) struct cert *leaf = NULL;
	AUTO(buf_done) struct buf tbs = BUF_MAX(CERT_DER_MAX), der = BUF_MAX(CERT_DER_MAX);
	const struct str names[] = { str_z(name) };
	struct addr addr;
	bool is_addr = !FAILED(addr_read(names[0], &addr, NULL));
	MUST(key_generate(KEY_P256, 0, &k, &err));
	const struct cert_request r = {
		.names = names,
		.name_count = is_addr ? 0 : 1,
		.addrs = &addr,
		.addr_count = is_addr ? 1 : 0,
		.key = k,
		.serial = serial_new(1, &ca->rng),
		.not_before = TEST_NOW,
		.not_after = TEST_NOW + 90 * TEST_DAY - 1,
	};
	MUST(cert_build_tbs(ca->issuer, &test_template, &r, &tbs, &err));
	MUST(cert_sign_tbs(ca->c, ca->issuer, buf_str(&tbs), &der, &err));
	MUST(cert_read_der(buf_str(&der), &leaf, &err));
	return verify_path(ca, leaf, X509_PURPOSE_SSL_SERVER, NULL);
}

/* An intermediate of these constraints in place of the one that test_ca_make made. */
static void constrain(struct test_ca *ca, const char *const *permits, size_t count)
{
	struct err err = { 0 };
	struct str domains[8];
	struct addr_range ranges[8];
	struct ca_request r = {
		.common_name = STR("Test Constrained"),
		.key = ca->key,
		.not_before = TEST_NOW - TEST_DAY,
		.not_after = TEST_NOW + 1000 * TEST_DAY,
		.permit = domains,
		.permit_ranges = ranges,
	};
	for (size_t i = 0; i < count; i++) {
		if (FAILED(addr_range_read(str_z(permits[i]), &ranges[r.permit_range_count], NULL)))
			domains[r.permit_count++] = str_z(permits[i]);
		else
			r.permit_range_count++;
	}
	cert_free(ca->cert);
	issuer_free(ca->issuer);
	MUST(ca_make_intermediate(ca->c, &r, ca->root, ca->root_key, &ca->rng, &ca->cert, &err));
	struct cert *const chain[] = { ca->cert, ca->root };
	MUST(issuer_new(ca->c, chain, 2, ca->key, &ca->issuer, &err));
}

/* What we tell operators of constraints is what OpenSSL makes of them. */
static void ranges_and_domains_are_constrained_alike(void **state)
{
	(void)state;
	static const struct {
		const char *permits[4];
		const char *name;
		bool ok;
	} rows[] = {
		{ { "example.com", "10.0.0.0/8" }, "www.example.com", true },
		{ { "example.com", "10.0.0.0/8" }, "www.example.org", false },
		{ { "example.com", "10.0.0.0/8" }, "10.255.0.1", true },
		{ { "example.com", "10.0.0.0/8" }, "11.0.0.1", false },
		{ { "example.com", "10.0.0.0/8" }, "2001:db8::1", false },
		{ { "10.1.2.3" }, "10.1.2.3", true },
		{ { "10.1.2.3" }, "10.1.2.2", false },
		{ { "10.1.2.3" }, "www.example.com", false },
		{ { "172.16.0.0/12" }, "172.31.255.255", true },
		{ { "172.16.0.0/12" }, "172.32.0.0", false },
		{ { "2001:db8::/33", "192.0.2.0/24" }, "2001:db8:7fff::1", true },
		{ { "2001:db8::/33", "192.0.2.0/24" }, "2001:db8:8000::1", false },
		{ { "2001:db8::/33", "192.0.2.0/24" }, "192.0.2.255", true },
		{ { "2001:db8::/33", "192.0.2.0/24" }, "a.example", false },
		{ { "example.com" }, "10.0.0.1", false },
		{ { "example.com" }, "::1", false },
	};
	struct test_ca ca;
	test_ca_make(&ca, KEY_P256, NULL, 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct addr_range range;
		size_t count = 0;
		while (count < 4 && rows[i].permits[count] != NULL)
			count++;
		constrain(&ca, rows[i].permits, count);
		bool is_addr = !FAILED(addr_range_read(str_z(rows[i].name), &range, NULL));
		bool ours =
			is_addr ? cert_permits_range(ca.cert, &range) : cert_permits_name(ca.cert, str_z(rows[i].name));
		if ((verify_one(&ca, rows[i].name) == X509_V_OK) != rows[i].ok || ours != rows[i].ok)
			fail_msg("row %zu: %s", i, rows[i].name);
	}
	test_ca_done(&ca);
}

static void whole_ranges_and_domains_must_be_inside(void **state)
{
	(void)state;
	static const char *const permits[] = { "corp.example", "10.0.0.0/9" };
	static const struct {
		const char *asked;
		bool ok;
	} rows[] = {
		{ "10.0.0.0/8", false },   { "10.0.0.0/9", true },     { "10.64.0.0/10", true },
		{ "10.128.0.0/9", false }, { "0.0.0.0/0", false },     { "::/0", false },
		{ "corp.example", true },  { "CORP.example", true },   { "a.corp.example", true },
		{ "example", false },      { "xcorp.example", false }, { "", false },
	};
	struct test_ca ca;
	test_ca_make(&ca, KEY_P256, NULL, 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) { /* without constraints everything may stand */
		struct addr_range range;
		bool is_range = !FAILED(addr_range_read(str_z(rows[i].asked), &range, NULL));
		assert_true(is_range ? cert_permits_range(ca.cert, &range)
				     : cert_permits_name(ca.cert, str_z(rows[i].asked)));
	}
	constrain(&ca, permits, ARRAY_LEN(permits));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct addr_range range;
		bool is_range = !FAILED(addr_range_read(str_z(rows[i].asked), &range, NULL));
		bool ours = is_range ? cert_permits_range(ca.cert, &range)
				     : cert_permits_name(ca.cert, str_z(rows[i].asked));
		if (ours != rows[i].ok)
			fail_msg("%s", rows[i].asked);
	}
	test_ca_done(&ca);
}

static void ca_certificates_have_the_wanted_extensions(void **state)
{
	(void)state;
	struct test_ca ca;
	test_ca_make(&ca, KEY_P256, NULL, 0);
	const struct cert *certs[] = { ca.root, ca.cert };
	for (size_t i = 0; i < ARRAY_LEN(certs); i++) {
		X509 *x = cert_get_x509(certs[i]);
		uint8_t key_hash[32];
		unsigned n = 0;
		assert_int_equal(X509_get_version(x), X509_VERSION_3);
		assert_int_equal(X509_check_ca(x), 1);
		assert_int_equal(X509_get_pathlen(x), i == 0 ? -1 : 0);
		assert_int_equal(X509_get_key_usage(x), KU_KEY_CERT_SIGN | KU_CRL_SIGN);
		assert_int_equal(
			X509_EXTENSION_get_critical(X509_get_ext(x, X509_get_ext_by_NID(x, NID_basic_constraints, -1))),
			1);
		assert_int_equal(
			X509_EXTENSION_get_critical(X509_get_ext(x, X509_get_ext_by_NID(x, NID_key_usage, -1))), 1);
		/* RFC 7093 method 1 over the key's bits, which OpenSSL hands out */
		const ASN1_BIT_STRING *bits = X509_get0_pubkey_bitstr(x);
		assert_int_equal(EVP_Digest(ASN1_STRING_get0_data(bits), (size_t)ASN1_STRING_length(bits), key_hash, &n,
					    EVP_sha256(), NULL),
				 1);
		const ASN1_OCTET_STRING *ski = X509_get0_subject_key_id(x);
		assert_int_equal(ASN1_STRING_length(ski), 20);
		assert_memory_equal(ASN1_STRING_get0_data(ski), key_hash, 20);
	}
	X509 *x = cert_get_x509(ca.cert);
	assert_int_equal(X509_get_extended_key_usage(x), XKU_SSL_SERVER | XKU_SSL_CLIENT);
	assert_int_equal(
		ASN1_OCTET_STRING_cmp(X509_get0_authority_key_id(x), X509_get0_subject_key_id(cert_get_x509(ca.root))),
		0);
	assert_int_equal(X509_NAME_cmp(X509_get_issuer_name(x), X509_get_subject_name(cert_get_x509(ca.root))), 0);
	assert_int_equal(X509_get_ext_by_NID(cert_get_x509(ca.root), NID_ext_key_usage, -1), -1);
	test_ca_done(&ca);
}

static void requests_that_make_no_ca_are_refused(void **state)
{
	(void)state;
	struct test_ca ca;
	test_ca_make(&ca, KEY_P256, NULL, 0);
	static char long_name[65];
	memset(long_name, 'x', sizeof long_name);
	struct err err = { 0 };
	AUTO(key_auto) struct key *ed = NULL;
	MUST(key_generate(KEY_ED25519, 0, &ed, &err));
	const struct ca_request good = {
		.common_name = STR("X"),
		.key = ca.key,
		.not_before = TEST_NOW,
		.not_after = TEST_NOW + TEST_DAY,
		.path_len = 0,
	};
	struct ca_request r;
	struct cert *got = NULL;
#define ROOT_FAILS(change, kind, text)                                              \
	do {                                                                        \
		r = good;                                                           \
		change;                                                             \
		MUST_FAIL(ca_make_root(ca.c, &r, &ca.rng, &got, &err), kind, text); \
	} while (0)
	ROOT_FAILS(r.common_name = STR_NONE, ERR_CONFIG, "common name of 0 bytes");
	ROOT_FAILS(r.common_name = str_n(long_name, 65), ERR_CONFIG, "common name of 65 bytes");
	ROOT_FAILS(r.organization = str_n(long_name, 65), ERR_CONFIG, "organization of 65 bytes");
	ROOT_FAILS(r.common_name = STR("a\nb"), ERR_CONFIG, "control character");
	ROOT_FAILS(r.not_after = r.not_before, ERR_CONFIG, "before it begins");
	ROOT_FAILS(r.path_len = 128, ERR_CONFIG, "path length");
	ROOT_FAILS(r.key = ed, ERR_BAD_PUBLIC_KEY, "Ed25519");
#undef ROOT_FAILS
	MUST_FAIL(ca_make_intermediate(ca.c, &good, ca.root, ca.key, &ca.rng, &got, &err), ERR_CONFIG, "parent's key");
	r = good;
	r.not_after = cert_get_not_after(ca.root) + 1;
	MUST_FAIL(ca_make_intermediate(ca.c, &r, ca.root, ca.root_key, &ca.rng, &got, &err), ERR_CONFIG, "outlive");
	assert_null(got);
	test_ca_done(&ca);
}

static void a_request_to_another_root_says_what_it_wants(void **state)
{
	(void)state;
	struct test_ca ca;
	test_ca_make(&ca, KEY_P256, NULL, 0);
	AUTO(buf_done) struct buf der = BUF_MAX(CSR_DER_MAX);
	AUTO(key_auto) struct key *key = NULL;
	struct err err = { 0 };
	struct str organization, name;
	const struct ca_request r = {
		.common_name = STR("Next"), .organization = STR("Test"), .key = ca.key, .path_len = 0
	};
	MUST(ca_make_csr(ca.c, &r, &der, &err));
	MUST(csr_read_key(ca.c, buf_str(&der), &key, &err));
	assert_true(key_public_eq(key, ca.key));
	const unsigned char *p = (const unsigned char *)der.p;
	X509_REQ *req = d2i_X509_REQ(NULL, &p, (long)der.n);
	assert_non_null(req);
	assert_int_equal(X509_REQ_verify(req, key_get_evp(ca.key)), 1);
	STACK_OF(X509_EXTENSION) *exts = X509_REQ_get_extensions(req);
	BASIC_CONSTRAINTS *bc = X509V3_get_d2i(exts, NID_basic_constraints, NULL, NULL);
	assert_true(bc != NULL && bc->ca != 0 && ASN1_INTEGER_get(bc->pathlen) == 0);
	BASIC_CONSTRAINTS_free(bc);
	sk_X509_EXTENSION_pop_free(exts, X509_EXTENSION_free);
	X509_REQ_free(req);
	for (size_t i = 0; i < der.n; i++) { /* no changed byte goes unnoticed */
		struct key *other = NULL;
		der.p[i] ^= 0x01;
		if (!FAILED(csr_read_key(ca.c, buf_str(&der), &other, NULL)))
			fail_msg("byte %zu", i);
		der.p[i] ^= 0x01;
	}
	MUST(ca_get_names(ca.root, &organization, &name, &err));
	assert_true(str_eq(organization, STR("Test")) && str_eq(name, STR("Test Root")));
	test_ca_done(&ca);
}

/* BR 7.1.2.10.6: what an intermediate is for bounds what its leaves are for; a root without the extension bounds none. */
static void uses_of_leaves_are_bounded_by_their_issuers(void **state)
{
	(void)state;
	static const struct {
		unsigned ca, leaf;
		bool permitted;
	} rows[] = {
		{ 0, EKU_SERVER, true },
		{ 0, EKU_SERVER | EKU_CLIENT, true },
		{ 0, EKU_CODE, false },
		{ EKU_CODE | EKU_EMAIL, EKU_EMAIL, true },
		{ EKU_CODE | EKU_EMAIL, EKU_CODE | EKU_EMAIL, true },
		{ EKU_CODE | EKU_EMAIL, EKU_SERVER, false },
		{ EKU_SERVER, EKU_SERVER | EKU_CLIENT, false },
	};
	struct err err = { 0 };
	struct test_ca ca;
	test_ca_make(&ca, KEY_P256, NULL, 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(cert_auto) struct cert *c = NULL;
		const struct ca_request r = { .common_name = STR("Some"),
					      .key = ca.key,
					      .not_before = TEST_NOW,
					      .not_after = TEST_NOW + TEST_DAY,
					      .path_len = 0,
					      .ekus = rows[i].ca };
		MUST(ca_make_intermediate(ca.c, &r, ca.root, ca.root_key, &ca.rng, &c, &err));
		assert_true(cert_permits_uses(c, rows[i].leaf) == rows[i].permitted);
	}
	assert_true(cert_permits_uses(ca.root, EKU_CODE));
	test_ca_done(&ca);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(openssl_accepts_root_intermediate_and_leaf),
		cmocka_unit_test(name_constraints_bind),
		cmocka_unit_test(ranges_and_domains_are_constrained_alike),
		cmocka_unit_test(whole_ranges_and_domains_must_be_inside),
		cmocka_unit_test(ca_certificates_have_the_wanted_extensions),
		cmocka_unit_test(requests_that_make_no_ca_are_refused),
		cmocka_unit_test(a_request_to_another_root_says_what_it_wants),
		cmocka_unit_test(uses_of_leaves_are_bounded_by_their_issuers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * tbs_test.c: what goes into a certificate, what cannot, and that no signature leaves unverified.
 */
#include "pki/test.h"

#include <openssl/x509v3.h>

static const struct str two_names[] = { { "www.example.com", 15 }, { "example.com", 11 } };

static struct cert_request request(struct test_ca *ca, const struct key *k)
{
	return (struct cert_request){ .names = two_names,
				      .name_count = 2,
				      .key = k,
				      .serial = serial_new(1, &ca->rng),
				      .not_before = TEST_NOW,
				      .not_after = TEST_NOW + 90 * TEST_DAY - 1 };
}

/* Every kind of issuer and of subscriber, with and without each part of the template, passes the lint. */
static void every_combination_passes_its_lint(void **state)
{
	(void)state;
	static const enum key_kind kinds[] = { KEY_P256, KEY_P384, KEY_P521, KEY_RSA };
	struct err err = { 0 };
	struct key *subscriber[ARRAY_LEN(kinds)];
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		MUST(key_generate(kinds[i], 2048, &subscriber[i], &err));
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		struct test_ca ca;
		test_ca_make(&ca, kinds[i], NULL, 0);
		for (unsigned bits = 0; bits < 64; bits++) {
			AUTO(buf_done) struct buf tbs = BUF_MAX(CERT_DER_MAX), again = BUF_MAX(CERT_DER_MAX);
			AUTO(buf_done) struct buf real = BUF_MAX(CERT_DER_MAX), thrown = BUF_MAX(CERT_DER_MAX);
			AUTO(cert_auto) struct cert *a = NULL;
			AUTO(cert_auto) struct cert *b = NULL;
			const struct cert_template t = {
				.ekus = (bits & 3) == 0 ? EKU_SERVER : bits & 3,
				.policies = test_policies,
				.policy_count = (bits & 4) != 0,
				.common_name = (bits & 8) != 0,
				.aia_url = (bits & 16) != 0 ? STR("http://ca.test/i.cer") : STR_NONE,
				.crl_url = (bits & 32) != 0 ? STR("http://ca.test/1.crl") : STR_NONE,
			};
			const struct cert_request r = request(&ca, subscriber[bits % ARRAY_LEN(kinds)]);
			MUST(cert_build_tbs(ca.issuer, &t, &r, &tbs, &err));
			MUST(cert_build_tbs(ca.issuer, &t, &r, &again, &err));
			assert_true(str_eq(buf_str(&tbs), buf_str(&again)));
			MUST(cert_with_placeholder(ca.issuer, buf_str(&tbs), &thrown, &err));
			MUST(cert_lint(ca.issuer, &t, &r, buf_str(&thrown), &err));
			MUST(cert_sign_tbs(ca.c, ca.issuer, buf_str(&tbs), &real, &err));
			MUST(cert_lint(ca.issuer, &t, &r, buf_str(&real), &err));
			MUST(cert_read_der(buf_str(&thrown), &a, &err));
			MUST(cert_read_der(buf_str(&real), &b, &err));
			assert_true(str_eq(a->tbs, b->tbs));
			assert_int_equal(X509_verify(cert_get_x509(b), key_get_evp(ca.key)), 1);
			assert_int_equal(X509_verify(cert_get_x509(a), key_get_evp(ca.key)), 0);
		}
		test_ca_done(&ca);
	}
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		key_free(subscriber[i]);
}

/* RFC 8738: a certificate for addresses, with names or without. Without, there is no common name either. */
static void addresses_follow_the_names(void **state)
{
	(void)state;
	struct err err = { 0 };
	struct test_ca ca;
	const struct addr addrs[] = { test_addr("192.0.2.7"), test_addr("2001:db8::7") };
	static const struct {
		size_t names, addrs;
		bool common_name, wants_subject;
	} rows[] = {
		{ 2, 2, true, true },  { 2, 2, false, false }, { 1, 1, true, true },
		{ 0, 2, true, false }, { 0, 2, false, false }, { 0, 1, true, false },
	};
	test_ca_make(&ca, KEY_P256, NULL, 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(arena_done) struct arena mem = { 0 };
		AUTO(buf_done) struct buf tbs = BUF_MAX(CERT_DER_MAX), again = BUF_MAX(CERT_DER_MAX);
		AUTO(buf_done) struct buf der = BUF_MAX(CERT_DER_MAX);
		AUTO(cert_auto) struct cert *c = NULL;
		struct cert_template t = test_template;
		struct cert_request r = request(&ca, ca.root_key);
		struct str *names;
		struct addr *got;
		size_t name_count, addr_count;
		t.common_name = rows[i].common_name;
		r.name_count = rows[i].names;
		r.addrs = addrs;
		r.addr_count = rows[i].addrs;
		MUST(cert_build_tbs(ca.issuer, &t, &r, &tbs, &err));
		MUST(cert_build_tbs(ca.issuer, &t, &r, &again, &err));
		assert_true(str_eq(buf_str(&tbs), buf_str(&again)));
		MUST(cert_sign_tbs(ca.c, ca.issuer, buf_str(&tbs), &der, &err));
		MUST(cert_lint(ca.issuer, &t, &r, buf_str(&der), &err));
		MUST(cert_read_der(buf_str(&der), &c, &err));
		MUST(cert_get_dns_names(&mem, c, &names, &name_count, &err));
		MUST(cert_get_addrs(&mem, c, &got, &addr_count, &err));
		assert_true(name_count == rows[i].names && addr_count == rows[i].addrs);
		for (size_t n = 0; n < name_count; n++)
			assert_true(str_eq(names[n], two_names[n]));
		for (size_t n = 0; n < addr_count; n++)
			assert_true(addr_eq(&got[n], &addrs[n]) && cert_has_addr(c, &addrs[n]));
		X509 *x = cert_get_x509(c);
		assert_int_equal(X509_check_ip_asc(x, "192.0.2.7", 0), 1);
		assert_int_equal(X509_check_ip_asc(x, "2001:db8:0::7", 0), rows[i].addrs == 2);
		assert_int_equal(X509_check_ip_asc(x, "192.0.2.8", 0), 0);
		assert_int_equal(X509_NAME_entry_count(X509_get_subject_name(x)), rows[i].wants_subject);
		int at = X509_get_ext_by_NID(x, NID_subject_alt_name, -1);
		assert_int_equal(X509_EXTENSION_get_critical(X509_get_ext(x, at)), !rows[i].wants_subject);
	}
	test_ca_done(&ca);
}

static struct str extension(const struct cert *c, struct str oid)
{
	struct ext e = { 0 };
	return cert_find_ext(c, oid, &e) ? e.value : STR_NONE;
}

static struct cert *written(struct test_ca *ca, const struct cert_template *t, const struct cert_request *r)
{
	struct err err = { 0 };
	struct cert *c = NULL;
	AUTO(buf_done) struct buf tbs = BUF_MAX(CERT_DER_MAX), der = BUF_MAX(CERT_DER_MAX);
	MUST(cert_build_tbs(ca->issuer, t, r, &tbs, &err));
	MUST(cert_sign_tbs(ca->c, ca->issuer, buf_str(&tbs), &der, &err));
	MUST(cert_lint(ca->issuer, t, r, buf_str(&der), &err));
	MUST(cert_read_der(buf_str(&der), &c, &err));
	return c;
}

/* RFC 5280 4.2.1.3, 4.2.1.12: by what the certificate is for and by its key. */
static void usages_go_with_use_and_key(void **state)
{
	(void)state;
#define DS KU_DIGITAL_SIGNATURE
#define KE KU_KEY_ENCIPHERMENT
#define KA KU_KEY_AGREEMENT
	static const struct {
		unsigned ekus;
		bool encipher;
		uint32_t rsa, ec, xku;
	} rows[] = {
		{ EKU_SERVER, true, DS | KE, DS, XKU_SSL_SERVER },
		{ EKU_SERVER, false, DS, DS, XKU_SSL_SERVER },
		{ EKU_CLIENT, true, DS | KE, DS, XKU_SSL_CLIENT },
		{ EKU_SERVER | EKU_CLIENT, false, DS, DS, XKU_SSL_SERVER | XKU_SSL_CLIENT },
		{ EKU_CODE, true, DS, DS, XKU_CODE_SIGN },
		{ EKU_CODE, false, DS, DS, XKU_CODE_SIGN },
		{ EKU_EMAIL, true, DS | KE, DS | KA, XKU_SMIME },
		{ EKU_EMAIL, false, DS, DS, XKU_SMIME },
		{ EKU_CLIENT | EKU_EMAIL, true, DS | KE, DS | KA, XKU_SSL_CLIENT | XKU_SMIME },
	};
	struct err err = { 0 };
	struct test_ca ca;
	AUTO(key_auto) struct key *rsa = NULL, *ec = NULL;
	test_ca_make(&ca, KEY_P256, NULL, 0);
	MUST(key_generate(KEY_RSA, 2048, &rsa, &err));
	MUST(key_generate(KEY_P384, 0, &ec, &err));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		for (size_t k = 0; k < 2; k++) {
			const struct cert_template t = { .ekus = rows[i].ekus, .key_encipherment = rows[i].encipher };
			const struct cert_request r = request(&ca, k == 0 ? rsa : ec);
			AUTO(cert_auto) struct cert *c = written(&ca, &t, &r);
			assert_int_equal(X509_get_key_usage(cert_get_x509(c)), k == 0 ? rows[i].rsa : rows[i].ec);
			assert_int_equal(X509_get_extended_key_usage(cert_get_x509(c)), rows[i].xku);
		}
	}
	test_ca_done(&ca);
}

static void subjects_addresses_and_features_are_written(void **state)
{
	(void)state;
	struct err err = { 0 };
	struct test_ca ca;
	AUTO(arena_done) struct arena mem = { 0 };
	const struct str policies[] = { STR("2.23.140.1.2.1"), STR("1.3.6.1.4.1.99999.1") };
	const struct cert_subject subject = { .organization = STR("Prüfling & Söhne"),
					      .locality = STR("Köln"),
					      .country = STR("DE") };
	const struct str emails[] = { STR("a.b+c@example.com"), STR("d@example.org") };
	const struct addr addr = test_addr("192.0.2.7");
	test_ca_make(&ca, KEY_P256, NULL, 0);
	const struct cert_template t = {
		.ekus = EKU_EMAIL, .policies = policies, .policy_count = 2, .common_name = true
	};
	struct cert_request r = request(&ca, ca.root_key);
	r.subject = &subject;
	r.emails = emails;
	r.email_count = 2;
	r.addrs = &addr;
	r.addr_count = 1;
	r.must_staple = true;
	AUTO(cert_auto) struct cert *c = written(&ca, &t, &r);
	char *name = X509_NAME_oneline(X509_get_subject_name(cert_get_x509(c)), NULL, 0);
	assert_string_equal(name, "/C=DE/L=K\\xC3\\xB6ln/O=Pr\\xC3\\xBCfling & S\\xC3\\xB6hne/CN=www.example.com");
	OPENSSL_free(name);
	assert_int_equal(X509_check_email(cert_get_x509(c), "d@example.org", 0, 0), 1);
	struct str *found;
	size_t count;
	MUST(cert_get_emails(&mem, c, &found, &count, &err));
	assert_true(count == 2 && str_eq(found[0], emails[0]) && str_eq(found[1], emails[1]));
	assert_true(str_eq(extension(c, OID_TLS_FEATURE), STR("\x30\x03\x02\x01\x05")));
	CERTIFICATEPOLICIES *got = X509_get_ext_d2i(cert_get_x509(c), NID_certificate_policies, NULL, NULL);
	assert_int_equal(sk_POLICYINFO_num(got), 2);
	for (int i = 0; i < 2; i++) {
		char text[64];
		assert_true(OBJ_obj2txt(text, sizeof text, sk_POLICYINFO_value(got, i)->policyid, 1) > 0);
		assert_true(str_eq(str_z(text), policies[i]));
	}
	CERTIFICATEPOLICIES_free(got);
	r.must_staple = false;
	AUTO(cert_auto) struct cert *plain = written(&ca, &t, &r);
	assert_int_equal(extension(plain, OID_TLS_FEATURE).n, 0);
	test_ca_done(&ca);
}

static void what_no_subject_may_say_is_refused(void **state)
{
	(void)state;
	static const struct {
		const char *organization, *state, *country, *email, *why;
	} rows[] = {
		{ "a\nb", "", "", NULL, "organization has a control character" },
		{ "a\xff", "", "", NULL, "organization is not UTF-8" },
		{ " a", "", "", NULL, "organization starts or ends with a blank" },
		{ "12345678901234567890123456789012345678901234567890123456789012345", "", "", NULL,
		  "organization of 65 characters, at most 64 fit" },
		{ "", "", "de", NULL, "country is not two capital letters" },
		{ "", "", "DEU", NULL, "country is not two capital letters" },
		{ "", "b ", "", NULL, "state starts or ends with a blank" },
		{ "", "", "", "example.com", "without @" },
		{ "", "", "", "@example.com", "before the @" },
		{ "", "", "", "a..b@example.com", "before the @" },
		{ "", "", "", ".a@example.com", "before the @" },
		{ "", "", "", "a b@example.com", "before the @" },
		{ "", "", "", "a\xc3\xa4@example.com", "before the @" },
		{ "", "", "", "a@b@example.com", "behind the @ is no domain" },
		{ "", "", "", "a@localhost", "behind the @ is no domain" },
		{ "", "", "", "a@*.example.com", "behind the @ is no domain" },
	};
	struct err err = { 0 };
	struct test_ca ca;
	test_ca_make(&ca, KEY_P256, NULL, 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(buf_done) struct buf tbs = BUF_MAX(CERT_DER_MAX);
		const struct cert_subject subject = { .organization = str_z(rows[i].organization),
						      .state = str_z(rows[i].state),
						      .country = str_z(rows[i].country) };
		const struct str email = str_z(rows[i].email);
		struct cert_request r = request(&ca, ca.root_key);
		r.subject = &subject;
		r.emails = &email;
		r.email_count = rows[i].email != NULL;
		MUST_FAIL(cert_build_tbs(ca.issuer, &test_template, &r, &tbs, &err), ERR_MALFORMED, rows[i].why);
	}
	test_ca_done(&ca);
}

static void templates_that_say_nonsense_are_refused(void **state)
{
	(void)state;
	static const struct str dotted[CERT_POLICIES_MAX + 1] = { { "no.oid", 6 } };
	const struct {
		unsigned ekus;
		size_t policies;
		enum err_kind kind;
		const char *why;
	} rows[] = {
		{ 0, 0, ERR_INTERNAL, "no extended key usage" },
		{ 16, 0, ERR_INTERNAL, "0x10" },
		{ EKU_CODE, 1, ERR_MALFORMED, "no object identifier" },
		{ EKU_CODE, CERT_POLICIES_MAX + 1, ERR_INTERNAL, "has 9 policies" },
	};
	struct err err = { 0 };
	struct test_ca ca;
	test_ca_make(&ca, KEY_P256, NULL, 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(buf_done) struct buf tbs = BUF_MAX(CERT_DER_MAX);
		const struct cert_template t = { .ekus = rows[i].ekus,
						 .policies = dotted,
						 .policy_count = rows[i].policies };
		const struct cert_request r = request(&ca, ca.root_key);
		MUST_FAIL(cert_build_tbs(ca.issuer, &t, &r, &tbs, &err), rows[i].kind, rows[i].why);
	}
	test_ca_done(&ca);
}

static void a_name_too_long_for_the_common_name_leaves_the_subject_empty(void **state)
{
	(void)state;
	struct err err = { 0 };
	struct test_ca ca;
	test_ca_make(&ca, KEY_P256, NULL, 0);
	const struct cert_template t = { .ekus = EKU_SERVER, .common_name = true };
	static const struct {
		const char *name;
		int entries;
	} rows[] = {
		{ "a23456789-123456789-123456789-123456789-1234.23456789.example.com", 0 },
		{ "a2345678-123456789-123456789-123456789-1234.23456789.example.com", 1 },
	};
	assert_int_equal(strlen(rows[0].name), 65);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(buf_done) struct buf tbs = BUF_MAX(CERT_DER_MAX), der = BUF_MAX(CERT_DER_MAX);
		AUTO(cert_auto) struct cert *c = NULL;
		const struct str name = str_z(rows[i].name);
		struct cert_request r = request(&ca, ca.root_key);
		r.names = &name;
		r.name_count = 1;
		MUST(cert_build_tbs(ca.issuer, &t, &r, &tbs, &err));
		MUST(cert_sign_tbs(ca.c, ca.issuer, buf_str(&tbs), &der, &err));
		MUST(cert_lint(ca.issuer, &t, &r, buf_str(&der), &err));
		MUST(cert_read_der(buf_str(&der), &c, &err));
		X509 *x = cert_get_x509(c);
		assert_int_equal(X509_NAME_entry_count(X509_get_subject_name(x)), rows[i].entries);
		int at = X509_get_ext_by_NID(x, NID_subject_alt_name, -1);
		assert_int_equal(X509_EXTENSION_get_critical(X509_get_ext(x, at)), rows[i].entries == 0);
	}
	test_ca_done(&ca);
}

static void requests_beyond_the_issuer_are_refused(void **state)
{
	(void)state;
	struct err err = { 0 };
	struct test_ca ca;
	AUTO(buf_done) struct buf tbs = BUF_MAX(CERT_DER_MAX);
	test_ca_make(&ca, KEY_P256, NULL, 0);
	struct cert_request r = request(&ca, ca.root_key);
	struct cert_template t = test_template;
	r.not_after = cert_get_not_after(ca.cert);
	MUST(cert_build_tbs(ca.issuer, &t, &r, &tbs, &err));
	r.not_after++;
	MUST_FAIL(cert_build_tbs(ca.issuer, &t, &r, &tbs, &err), ERR_INTERNAL, "outlive its issuer by 1 s");
	r = request(&ca, ca.root_key);
	r.not_after = r.not_before - 1;
	MUST_FAIL(cert_build_tbs(ca.issuer, &t, &r, &tbs, &err), ERR_INTERNAL, "before it begins");
	r = request(&ca, ca.root_key);
	r.name_count = 0;
	MUST_FAIL(cert_build_tbs(ca.issuer, &t, &r, &tbs, &err), ERR_INTERNAL, "0 names");
	struct addr many[CERT_NAMES_MAX] = { { .family = AF_INET } };
	r = request(&ca, ca.root_key);
	r.addrs = many;
	r.addr_count = 99;
	MUST_FAIL(cert_build_tbs(ca.issuer, &t, &r, &tbs, &err), ERR_INTERNAL, "101 names");
	r.addr_count = 2;
	MUST_FAIL(cert_build_tbs(ca.issuer, &t, &r, &tbs, &err), ERR_INTERNAL, "neither IPv4 nor IPv6");
	r = request(&ca, ca.root_key);
	r.serial.b[0] = 0x80;
	MUST_FAIL(cert_build_tbs(ca.issuer, &t, &r, &tbs, &err), ERR_INTERNAL, "0x80");
	r = request(&ca, ca.root_key);
	t.ekus = 0;
	MUST_FAIL(cert_build_tbs(ca.issuer, &t, &r, &tbs, &err), ERR_INTERNAL, "no extended key usage");
	test_ca_done(&ca);
}

static void only_our_own_tbs_is_signed(void **state)
{
	(void)state;
	struct err err = { 0 };
	struct test_ca ca, rsa;
	AUTO(buf_done) struct buf tbs = BUF_MAX(CERT_DER_MAX), der = BUF_MAX(CERT_DER_MAX);
	test_ca_make(&ca, KEY_P256, NULL, 0);
	test_ca_make(&rsa, KEY_RSA, NULL, 0);
	struct cert_request r = request(&ca, ca.root_key);
	MUST_FAIL(cert_sign_tbs(ca.c, ca.issuer, STR("hello"), &der, &err), ERR_MALFORMED, "DER");
	MUST(cert_build_tbs(rsa.issuer, &test_template, &r, &tbs, &err));
	MUST_FAIL(cert_sign_tbs(ca.c, ca.issuer, buf_str(&tbs), &der, &err), ERR_INTERNAL, "signature algorithm");
	/* the root's own TBS: other issuer */
	MUST_FAIL(cert_sign_tbs(ca.c, ca.issuer, ca.root->tbs, &der, &err), ERR_INTERNAL, "names another");
	assert_int_equal(der.n, 0);
	test_ca_done(&ca);
	test_ca_done(&rsa);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_combination_passes_its_lint),
		cmocka_unit_test(addresses_follow_the_names),
		cmocka_unit_test(usages_go_with_use_and_key),
		cmocka_unit_test(subjects_addresses_and_features_are_written),
		cmocka_unit_test(what_no_subject_may_say_is_refused),
		cmocka_unit_test(templates_that_say_nonsense_are_refused),
		cmocka_unit_test(a_name_too_long_for_the_common_name_leaves_the_subject_empty),
		cmocka_unit_test(requests_beyond_the_issuer_are_refused),
		cmocka_unit_test(only_our_own_tbs_is_signed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

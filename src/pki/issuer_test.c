/* SPDX-License-Identifier: Apache-2.0
 *
 * issuer_test.c: an issuer that does not fit together is refused at start (THREATS A61); certificates and PEM files.
 */
#include "pki/test.h"

#include <openssl/pem.h>
#include <stdlib.h>
#include <unistd.h>

static void parts_that_do_not_belong_together_are_refused(void **state)
{
	(void)state;
	struct err err = { 0 };
	struct test_ca a, b;
	struct issuer *i = NULL;
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(key_auto) struct key *public_only = NULL;
	AUTO(buf_done) struct buf tbs = BUF_MAX(CERT_DER_MAX), der = BUF_MAX(CERT_DER_MAX);
	AUTO(cert_auto) struct cert *leaf = NULL;
	struct str spki;
	test_ca_make(&a, KEY_P256, NULL, 0);
	test_ca_make(&b, KEY_P256, NULL, 0);
	MUST(key_spki(&mem, a.key, &spki, &err));
	MUST(key_from_spki(spki, &public_only, &err));
	MUST_FAIL(issuer_new(a.c, &a.cert, 0, a.key, &i, &err), ERR_CONFIG, "no certificate");
	MUST_FAIL(issuer_new(a.c, &a.cert, 1, b.key, &i, &err), ERR_CONFIG, "not the key of its certificate");
	MUST_FAIL(issuer_new(a.c, &a.cert, 1, public_only, &i, &err), ERR_CONFIG, "no private part");
	/* same names, other keys */
	struct cert *const crossed[] = { a.cert, b.root };
	MUST_FAIL(issuer_new(a.c, crossed, 2, a.key, &i, &err), ERR_CONFIG, "chain is broken");
	struct cert *const twice[] = { a.cert, a.cert };
	MUST_FAIL(issuer_new(a.c, twice, 2, a.key, &i, &err), ERR_CONFIG, "names another issuer");
	const struct str name = STR("www.example.com");
	const struct cert_request r = { .names = &name,
					.name_count = 1,
					.key = a.key,
					.serial = serial_new(1, &a.rng),
					.not_before = TEST_NOW,
					.not_after = TEST_NOW + TEST_DAY };
	MUST(cert_build_tbs(a.issuer, &test_template, &r, &tbs, &err));
	MUST(cert_sign_tbs(a.c, a.issuer, buf_str(&tbs), &der, &err));
	MUST(cert_read_der(buf_str(&der), &leaf, &err));
	MUST_FAIL(issuer_new(a.c, &leaf, 1, a.key, &i, &err), ERR_CONFIG, "no CA certificate");
	assert_null(i);
	test_ca_done(&a);
	test_ca_done(&b);
}

static void an_issuer_without_key_describes_but_does_not_sign(void **state)
{
	(void)state;
	struct err err = { 0 };
	struct test_ca ca;
	struct issuer *i = NULL;
	AUTO(buf_done) struct buf tbs = BUF_MAX(CERT_DER_MAX), der = BUF_MAX(CERT_DER_MAX);
	const struct str name = STR("www.example.com");
	test_ca_make(&ca, KEY_P256, NULL, 0);
	MUST(issuer_new(ca.c, &ca.cert, 1, NULL, &i, &err));
	assert_ptr_equal(issuer_get_cert(i), ca.cert);
	const struct cert_request r = { .names = &name,
					.name_count = 1,
					.key = ca.root_key,
					.serial = serial_new(1, &ca.rng),
					.not_before = TEST_NOW,
					.not_after = TEST_NOW + TEST_DAY };
	MUST(cert_build_tbs(i, &test_template, &r, &tbs, &err));
	MUST_FAIL(cert_sign_tbs(ca.c, i, buf_str(&tbs), &der, &err), ERR_INTERNAL, "no private key");
	MUST(cert_with_placeholder(i, buf_str(&tbs), &der, &err));
	MUST(cert_lint(i, &test_template, &r, buf_str(&der), &err));
	issuer_free(i);
	issuer_free(NULL);
	test_ca_done(&ca);
}

static void the_chain_goes_out_without_its_root_and_comes_back(void **state)
{
	(void)state;
	struct err err = { 0 };
	struct test_ca ca;
	char path[] = "/tmp/cairn-chain-XXXXXX";
	AUTO(buf_done) struct buf pem = BUF_MAX(64 * 1024);
	struct cert *got[2] = { NULL, NULL };
	size_t count = 0;
	test_ca_make(&ca, KEY_RSA, NULL, 0);
	MUST(issuer_add_chain_pem(ca.issuer, &pem, &err));
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	MUST(fd_write_all(fd, buf_str(&pem), &err));
	MUST(cert_read_pem_file(path, got, 2, &count, &err));
	assert_int_equal(count, 1);
	assert_true(str_eq(cert_get_der(got[0]), cert_get_der(ca.cert)));
	cert_free(got[0]);
	MUST(cert_add_pem(ca.root, &pem, &err));
	assert_int_equal(pwrite(fd, pem.p, pem.n, 0), (ssize_t)pem.n);
	MUST(cert_read_pem_file(path, got, 2, &count, &err));
	assert_int_equal(count, 2);
	cert_free(got[0]);
	cert_free(got[1]);
	MUST_FAIL(cert_read_pem_file(path, got, 1, &count, &err), ERR_CONFIG, "more than 1 certificates");
	/* OpenSSL reads the same text, and writes it the same way */
	BIO *in = BIO_new_mem_buf(pem.p, (int)pem.n), *out = BIO_new(BIO_s_mem());
	X509 *x = PEM_read_bio_X509(in, NULL, NULL, NULL);
	assert_non_null(x);
	assert_int_equal(PEM_write_bio_X509(out, x), 1);
	char *text = NULL;
	long n = BIO_get_mem_data(out, &text);
	assert_true(str_starts(buf_str(&pem), str_n(text, (size_t)n)));
	X509_free(x);
	BIO_free(in);
	BIO_free(out);
	assert_int_equal(ftruncate(fd, 0), 0);
	MUST_FAIL(cert_read_pem_file(path, got, 2, &count, &err), ERR_CONFIG, "no certificate found");
	static const char key_pem[] = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
	assert_int_equal(pwrite(fd, key_pem, sizeof key_pem - 1, 0), sizeof key_pem - 1);
	MUST_FAIL(cert_read_pem_file(path, got, 2, &count, &err), ERR_CONFIG, "PEM block of kind \"PRIVATE KEY\"");
	assert_non_null(strstr(err.detail, path));
	close(fd);
	unlink(path);
	test_ca_done(&ca);
}

static void certificates_tell_what_they_hold(void **state)
{
	(void)state;
	struct err err = { 0 };
	struct test_ca ca;
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(buf_done) struct buf tbs = BUF_MAX(CERT_DER_MAX), der = BUF_MAX(CERT_DER_MAX);
	AUTO(cert_auto) struct cert *c = NULL;
	AUTO(key_auto) struct key *k = NULL;
	struct str *names, hex;
	size_t count;
	struct sha256 print, want;
	test_ca_make(&ca, KEY_P256, NULL, 0);
	const struct str asked[] = { STR("www.example.com"), STR("*.example.com") };
	const struct cert_request r = { .names = asked,
					.name_count = 2,
					.key = ca.root_key,
					.serial = serial_new(5, &ca.rng),
					.not_before = TEST_NOW,
					.not_after = TEST_NOW + TEST_DAY };
	MUST(cert_build_tbs(ca.issuer, &test_template, &r, &tbs, &err));
	MUST(cert_sign_tbs(ca.c, ca.issuer, buf_str(&tbs), &der, &err));
	MUST(cert_read_der(buf_str(&der), &c, &err));
	assert_int_equal(cert_get_not_before(c), TEST_NOW);
	assert_int_equal(cert_get_not_after(c), TEST_NOW + TEST_DAY);
	MUST(cert_get_dns_names(&mem, c, &names, &count, &err));
	assert_int_equal(count, 2);
	assert_true(str_eq(names[1], asked[1]));
	MUST(cert_get_serial_hex(&mem, c, &hex, &err));
	assert_true(str_eq(hex, serial_hex(&mem, &r.serial)));
	MUST(cert_get_key(c, &k, &err));
	assert_true(key_public_eq(k, ca.root_key));
	MUST(cert_fingerprint(ca.c, c, &print, &err));
	MUST(digest_sha256(ca.c, buf_str(&der), &want, &err));
	assert_memory_equal(print.b, want.b, 32);
	MUST(cert_get_dns_names(&mem, ca.root, &names, &count, &err));
	assert_int_equal(count, 0);
	/* no cut and no longer one is read */
	for (size_t i = 0; i < der.n; i++) {
		struct cert *cut = NULL;
		assert_true(FAILED(cert_read_der(str_sub(buf_str(&der), 0, i), &cut, NULL)));
	}
	MUST(buf_add_char(&der, 0, &err));
	struct cert *longer = NULL;
	MUST_FAIL(cert_read_der(buf_str(&der), &longer, &err), ERR_MALFORMED, "DER");
	test_ca_done(&ca);
}

/* A certificate of the issuer's key and name by another root, as a CA that changes its root hands out. */
static struct cert *cross_sign(const struct test_ca *ca, const char *name, const struct key *k,
			       const struct cert *parent, const struct key *parent_key)
{
	struct err err = { 0 };
	uint8_t next = 9;
	const struct rng rng = { .fill = test_rng_fill, .ctx = &next };
	struct cert *made = NULL;
	const struct ca_request r = {
		.common_name = str_z(name),
		.organization = STR("Test"),
		.key = k,
		.not_before = TEST_NOW - TEST_DAY,
		.not_after = TEST_NOW + 900 * TEST_DAY,
		.path_len = parent == NULL ? -1 : 1,
	};
	if (parent == NULL)
		MUST(ca_make_root(ca->c, &r, &rng, &made, &err));
	else
		MUST(ca_make_intermediate(ca->c, &r, parent, parent_key, &rng, &made, &err));
	return made;
}

static void alternate_chains_must_lead_up_from_the_issuer(void **state)
{
	(void)state;
	struct err err = { 0 };
	struct test_ca ca, other;
	AUTO(key_auto) struct key *old_key = NULL;
	AUTO(buf_done) struct buf tbs = BUF_MAX(CERT_DER_MAX), der = BUF_MAX(CERT_DER_MAX);
	AUTO(cert_auto) struct cert *leaf = NULL;
	test_ca_make(&ca, KEY_P256, NULL, 0);
	test_ca_make(&other, KEY_P256, NULL, 0);
	MUST(key_generate(KEY_P256, 0, &old_key, &err));
	AUTO(cert_auto) struct cert *old_root = cross_sign(&ca, "Old Root", old_key, NULL, NULL);
	AUTO(cert_auto) struct cert *crossed = cross_sign(&ca, "Test Intermediate", ca.key, old_root, old_key);
	AUTO(cert_auto) struct cert *crossed_root = cross_sign(&ca, "Test Root", ca.root_key, old_root, old_key);
	AUTO(cert_auto) struct cert *renamed = cross_sign(&ca, "Test intermediate", ca.key, old_root, old_key);
	const struct str name = STR("www.example.com");
	const struct cert_request r = { .names = &name,
					.name_count = 1,
					.key = ca.key,
					.serial = serial_new(1, &ca.rng),
					.not_before = TEST_NOW,
					.not_after = TEST_NOW + TEST_DAY };
	MUST(cert_build_tbs(ca.issuer, &test_template, &r, &tbs, &err));
	MUST(cert_sign_tbs(ca.c, ca.issuer, buf_str(&tbs), &der, &err));
	MUST(cert_read_der(buf_str(&der), &leaf, &err));
	const struct {
		struct cert *chain[3];
		size_t count;
		const char *text; /* NULL: fine */
	} rows[] = {
		{ { crossed }, 1, NULL },
		{ { crossed, old_root }, 2, NULL },
		{ { ca.cert, crossed_root, old_root }, 3, NULL },
		{ { ca.cert, ca.root }, 2, NULL },
		{ { NULL }, 0, "has no certificate" },
		{ { leaf, ca.cert }, 2, "no CA certificate" },
		{ { old_root }, 1, "another subject" },
		{ { renamed, old_root }, 2, "another subject" },
		{ { other.cert, other.root }, 2, "another key" },
		{ { crossed, ca.root }, 2, "certificate 1: chain is broken" },
		{ { ca.cert, old_root }, 2, "certificate 1: chain is broken" },
		{ { ca.cert, crossed_root, ca.root }, 3, "certificate 2: chain is broken" },
		{ { crossed, leaf }, 2, "certificate 1: issuer's certificate is no CA certificate" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		err = (struct err){ 0 };
		if (rows[i].text == NULL)
			MUST(chain_check_alternate(ca.cert, rows[i].chain, rows[i].count, &err));
		else
			MUST_FAIL(chain_check_alternate(ca.cert, rows[i].chain, rows[i].count, &err), ERR_CONFIG,
				  rows[i].text);
	}
	test_ca_done(&ca);
	test_ca_done(&other);
}

static void certificates_name_their_issuer_and_their_key(void **state)
{
	(void)state;
	struct err err = { 0 };
	struct test_ca ca;
	AUTO(arena_done) struct arena mem = { 0 };
	struct str aki;
	struct sha256 hash, want;
	struct addr *addrs;
	size_t count;
	test_ca_make(&ca, KEY_P256, NULL, 0);
	MUST(cert_get_aki(&mem, ca.cert, &aki, &err));
	assert_true(aki.n == 20 && str_eq(aki, ca.root->ski));
	MUST_FAIL(cert_get_aki(&mem, ca.root, &aki, &err), ERR_NOT_FOUND, "no authorityKeyIdentifier");
	MUST(cert_get_spki_hash(ca.c, ca.cert, &hash, &err));
	MUST(key_spki_hash(ca.c, ca.key, &want, &err));
	assert_memory_equal(hash.b, want.b, sizeof want.b);
	MUST(cert_get_addrs(&mem, ca.cert, &addrs, &count, &err));
	assert_int_equal(count, 0);
	assert_true(cert_names_issuer(ca.cert, ca.root));
	assert_false(cert_names_issuer(ca.cert, ca.cert));
	test_ca_done(&ca);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(parts_that_do_not_belong_together_are_refused),
		cmocka_unit_test(an_issuer_without_key_describes_but_does_not_sign),
		cmocka_unit_test(the_chain_goes_out_without_its_root_and_comes_back),
		cmocka_unit_test(certificates_tell_what_they_hold),
		cmocka_unit_test(alternate_chains_must_lead_up_from_the_issuer),
		cmocka_unit_test(certificates_name_their_issuer_and_their_key),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

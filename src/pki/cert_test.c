/* SPDX-License-Identifier: Apache-2.0
 *
 * cert_test.c: what our reader says of a certificate is what OpenSSL says of it, which other tests and the world's
 * clients go by; and OpenSSL's form is one object, whoever asks first.
 */
#include "pki/test.h"

#include <openssl/x509v3.h>
#include <pthread.h>
#include <time.h>

static int64_t openssl_time(const ASN1_TIME *t)
{
	struct tm tm = { 0 };
	assert_int_equal(ASN1_TIME_to_tm(t, &tm), 1);
	return (int64_t)timegm(&tm);
}

static void assert_readers_agree(const struct cert *c)
{
	X509 *x = cert_get_x509(c);
	uint8_t serial[32];
	assert_non_null(x);
	uint32_t flags = X509_get_extension_flags(x), bits = 0;
	assert_int_equal(flags & EXFLAG_INVALID, 0);
	assert_int_equal(c->is_ca, (flags & EXFLAG_CA) != 0);
	for (unsigned i = 0; i < 8; i++) /* OpenSSL has named bit 0 as 0x80 */
		bits |= (c->usage & USAGE(i)) != 0 ? 0x80u >> i : 0;
	assert_int_equal(bits, (flags & EXFLAG_KUSAGE) != 0 ? X509_get_key_usage(x) : 0);
	assert_int_equal(c->not_before, openssl_time(X509_get0_notBefore(x)));
	assert_int_equal(c->not_after, openssl_time(X509_get0_notAfter(x)));
	const ASN1_OCTET_STRING *ski = X509_get0_subject_key_id(x);
	assert_true(str_eq(c->ski, ski == NULL ? STR_NONE
					       : str_n(ASN1_STRING_get0_data(ski), (size_t)ASN1_STRING_length(ski))));
	BIGNUM *n = ASN1_INTEGER_to_BN(X509_get0_serialNumber(x), NULL);
	int length = BN_bn2bin(n, serial);
	BN_free(n);
	assert_true(str_eq(cert_get_serial(c), str_n(serial, (size_t)length)));
}

static struct cert *leaf(struct test_ca *ca, const struct cert_template *t, const struct cert_request *r)
{
	AUTO(buf_done) struct buf tbs = BUF_MAX(CERT_DER_MAX), der = BUF_MAX(CERT_DER_MAX);
	struct err err = { 0 };
	struct cert *c = NULL;
	MUST(cert_build_tbs(ca->issuer, t, r, &tbs, &err));
	MUST(cert_sign_tbs(ca->c, ca->issuer, buf_str(&tbs), &der, &err));
	MUST(cert_read_der(buf_str(&der), &c, &err));
	return c;
}

static void our_reader_and_openssl_agree(void **state)
{
	(void)state;
	static const struct str name = { "www.example.com", 15 };
	const struct addr addr = test_addr("192.0.2.7");
	for (unsigned kind = KEY_P256; kind <= KEY_RSA; kind++) {
		struct test_ca ca;
		test_ca_make(&ca, (enum key_kind)kind, NULL, 0);
		assert_readers_agree(ca.root);
		assert_readers_agree(ca.cert);
		for (unsigned bits = 0; bits < 16; bits++) {
			struct cert_template t = test_template;
			struct cert_request r = { .names = &name,
						  .name_count = 1,
						  .addrs = &addr,
						  .addr_count = bits & 1,
						  .key = ca.key,
						  .serial = serial_new((uint8_t)(1 + bits * 8), &ca.rng),
						  .not_before = TEST_NOW - (bits & 2) * 12345,
						  .not_after = TEST_NOW + TEST_DAY * (1 + 100 * (bits & 4)) };
			t.key_encipherment = (bits & 2) != 0;
			t.common_name = (bits & 4) != 0;
			t.ekus = (bits & 8) != 0 ? EKU_EMAIL | EKU_CLIENT : EKU_SERVER;
			r.must_staple = (bits & 8) != 0;
			AUTO(cert_auto) struct cert *c = leaf(&ca, &t, &r);
			assert_readers_agree(c);
			assert_int_equal(X509_verify(cert_get_x509(c), key_get_evp(ca.key)), 1);
			assert_true(cert_has_dns_name(c, name) && cert_has_dns_name(c, STR("WWW.example.com")));
			assert_false(cert_has_dns_name(c, STR("ww.example.com")));
			assert_false(cert_has_dns_name(c, STR("")));
			assert_int_equal(cert_has_addr(c, &addr), bits & 1);
		}
		test_ca_done(&ca);
	}
}

/* What the signer is about to give away is verified with the certificate's key: no other will do. */
static void a_signature_of_another_key_does_not_leave(void **state)
{
	(void)state;
	static const struct str name = { "www.example.com", 15 };
	struct err err = { 0 };
	struct test_ca ca;
	test_ca_make(&ca, KEY_P256, NULL, 0);
	AUTO(key_auto) struct key *stranger = NULL;
	AUTO(buf_done) struct buf tbs = BUF_MAX(CERT_DER_MAX), der = BUF_MAX(CERT_DER_MAX);
	const struct cert_request r = { .names = &name,
					.name_count = 1,
					.key = ca.key,
					.serial = serial_new(1, &ca.rng),
					.not_before = TEST_NOW,
					.not_after = TEST_NOW + TEST_DAY };
	MUST(key_generate(KEY_P256, 0, &stranger, &err));
	MUST(cert_build_tbs(ca.issuer, &test_template, &r, &tbs, &err));
	struct key *own = ca.issuer->key;
	ca.issuer->key = stranger;
	MUST_FAIL(cert_sign_tbs(ca.c, ca.issuer, buf_str(&tbs), &der, &err), ERR_INTERNAL, "does not verify");
	assert_int_equal(der.n, 0);
	ca.issuer->key = own;
	MUST(cert_sign_tbs(ca.c, ca.issuer, buf_str(&tbs), &der, &err));
	test_ca_done(&ca);
}

struct asker {
	pthread_t thread;
	const struct cert *c;
	X509 *got;
};

static void *ask(void *arg)
{
	struct asker *a = arg;
	a->got = cert_get_x509(a->c);
	return NULL;
}

static void threads_get_one_form(void **state)
{
	(void)state;
	struct test_ca ca;
	struct err err = { 0 };
	test_ca_make(&ca, KEY_P256, NULL, 0);
	for (int round = 0; round < 20; round++) {
		AUTO(cert_auto) struct cert *c = NULL;
		struct asker askers[4];
		MUST(cert_read_der(cert_get_der(ca.cert), &c, &err));
		for (size_t i = 0; i < ARRAY_LEN(askers); i++) {
			askers[i] = (struct asker){ .c = c };
			assert_int_equal(pthread_create(&askers[i].thread, NULL, ask, &askers[i]), 0);
		}
		for (size_t i = 0; i < ARRAY_LEN(askers); i++)
			pthread_join(askers[i].thread, NULL);
		for (size_t i = 0; i < ARRAY_LEN(askers); i++)
			assert_ptr_equal(askers[i].got, cert_get_x509(c));
	}
	test_ca_done(&ca);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(our_reader_and_openssl_agree),
		cmocka_unit_test(a_signature_of_another_key_does_not_leave),
		cmocka_unit_test(threads_get_one_form),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

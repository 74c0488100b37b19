/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_cert.c: the getters stand any certificate that parses, and OpenSSL understands the same; a key that is read from
 * SubjectPublicKeyInfo is written as the same bytes; and nothing that our CA did not make passes its lint.
 */
#include "pki/internal.h"

#include "fuzz.h"

#include <openssl/x509v3.h>
#include <time.h>

struct ours {
	struct crypto *c;
	struct issuer *issuer;
	struct key *subscriber;
};

/* Once for the process: a CA and what it is asked to issue. */
static const struct ours *our_ca(void)
{
	static struct ours o;
	if (o.c != NULL)
		return &o;
	AUTO(key_auto) struct key *k = NULL;
	AUTO(cert_auto) struct cert *root = NULL;
	CHECK(!FAILED(crypto_new(&o.c, NULL)));
	CHECK(!FAILED(key_generate(KEY_P256, 0, &k, NULL)));
	CHECK(!FAILED(key_generate(KEY_P256, 0, &o.subscriber, NULL)));
	const struct ca_request r = {
		.common_name = STR("Fuzz"), .key = k, .not_before = 0, .not_after = INT64_C(4000000000), .path_len = 0
	};
	CHECK(!FAILED(ca_make_root(o.c, &r, &rng_system, &root, NULL)));
	CHECK(!FAILED(issuer_new(o.c, &root, 1, k, &o.issuer, NULL)));
	return &o;
}

static void check_lint(struct str der)
{
	const struct ours *o = our_ca();
	const struct str name = STR("www.example.com");
	static const struct str policies[] = { { POLICY_DV, sizeof POLICY_DV - 1 } };
	const struct cert_template t = { .ekus = EKU_SERVER, .policies = policies, .policy_count = 1 };
	const struct cert_request r = { .names = &name,
					.name_count = 1,
					.key = o->subscriber,
					.serial = { { 1 } },
					.not_before = INT64_C(1795305600),
					.not_after = INT64_C(1795392000) };
	struct err err = { 0 };
	CHECK(FAILED(cert_lint(o->issuer, &t, &r, der, &err)) && err.kind == ERR_INTERNAL && err.cause[0] != '\0');
}

/* Where OpenSSL finds nothing wrong either, it understands the same. */
static void check_readers(const struct cert *c)
{
	X509 *x = cert_get_x509(c);
	struct tm tm = { 0 };
	if (x == NULL || (X509_get_extension_flags(x) & EXFLAG_INVALID) != 0)
		return;
	CHECK(c->is_ca == ((X509_get_extension_flags(x) & EXFLAG_CA) != 0));
	CHECK(cert_may_sign_certs(c) ==
	      ((X509_get_extension_flags(x) & EXFLAG_KUSAGE) != 0 && (X509_get_key_usage(x) & KU_KEY_CERT_SIGN) != 0));
	CHECK(ASN1_TIME_to_tm(X509_get0_notBefore(x), &tm) == 1 && (int64_t)timegm(&tm) == c->not_before);
	CHECK(ASN1_TIME_to_tm(X509_get0_notAfter(x), &tm) == 1 && (int64_t)timegm(&tm) == c->not_after);
	CHECK(X509_NAME_cmp(X509_get_issuer_name(x), X509_get_subject_name(x)) == 0 || !str_eq(c->issuer, c->subject));
}

static void check_spki(struct str der)
{
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(key_auto) struct key *k = NULL;
	struct err err = { 0 };
	struct str again;
	struct rc rc = key_from_spki(der, &k, &err);
	check_err(rc, &err);
	if (FAILED(rc))
		return;
	CHECK(!FAILED(key_spki(&mem, k, &again, NULL)) && str_eq(again, der));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(cert_auto) struct cert *cert = NULL;
	AUTO(key_auto) struct key *k = NULL;
	AUTO(buf_done) struct buf pem = BUF_MAX(2 * CERT_DER_MAX);
	struct err err = { 0 }, sub = { 0 };
	struct str der = str_n(data, size), hex, aki, *names;
	struct addr *addrs;
	size_t count;
	check_spki(der);
	struct rc rc = cert_read_der(der, &cert, &err);
	check_err(rc, &err);
	if (FAILED(rc))
		return 0;
	CHECK(str_eq(cert_get_der(cert), der));
	check_readers(cert);
	CHECK(!FAILED(cert_get_serial_hex(&mem, cert, &hex, NULL)));
	CHECK(!FAILED(cert_add_pem(cert, &pem, NULL)));
	if (!FAILED(cert_get_dns_names(&mem, cert, &names, &count, NULL)))
		CHECK(count <= CERT_NAMES_MAX);
	if (!FAILED(cert_get_addrs(&mem, cert, &addrs, &count, NULL)))
		for (size_t i = 0; i < count; i++)
			CHECK(cert_has_addr(cert, &addrs[i]));
	if (!FAILED(cert_get_aki(&mem, cert, &aki, NULL)))
		CHECK(aki.n <= size);
	check_err(cert_get_key(cert, &k, &sub), &sub);
	check_lint(der);
	return 0;
}

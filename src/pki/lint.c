/* SPDX-License-Identifier: Apache-2.0
 *
 * lint.c: the last look before a signature (BR 4.3.1.2, RULES R5). The certificate is parsed again by OpenSSL, which
 * did not write it, and compared with what was asked and with RULES R1 to R4 and R14: one named check a rule.
 */
#include "pki/internal.h"

#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <time.h>

struct lint {
	const struct issuer *issuer;
	const struct cert_template *t;
	const struct cert_request *r;
	struct str der;
	const struct cert *cert; /* the bytes, taken apart by our reader */
	X509 *x;                 /* the same, by OpenSSL's */
	struct arena *mem;
};

/* A finding: what was found, what was wanted. */
#define FIND(err, ...) FAIL(err, ERR_INTERNAL, __VA_ARGS__)

static void bn_auto(BIGNUM **p)
{
	BN_free(*p);
}

static void openssl_auto(void *p) /* of a uint8_t **, which C does not convert by itself */
{
	void *at;
	memcpy(&at, p, sizeof at);
	OPENSSL_free(at);
}

static void general_names_auto(GENERAL_NAMES **p)
{
	GENERAL_NAMES_free(*p);
}

static fallible lint_der(const struct lint *l, struct err *err)
{
	struct ext e;
	TRY(der_check(l->der, err));
	for (struct cur c = cur_of(l->cert->extensions); !cur_end(&c);) {
		TRY(ext_next(&c, &e, err));
		TRY(der_check(e.value, err));
	}
	AUTO(openssl_auto) uint8_t *again = NULL;
	int n = i2d_re_X509_tbs(l->x, &again);
	if (n < 0 || !str_eq(str_n(again, (size_t)n), l->cert->tbs))
		FIND(err, "found %zu bytes that encode to %d others, wanted the same", l->cert->tbs.n, n);
	return OK;
}

static fallible lint_serial(const struct lint *l, struct err *err)
{
	AUTO(bn_auto) BIGNUM *found = ASN1_INTEGER_to_BN(X509_get0_serialNumber(l->x), NULL);
	uint8_t bytes[SERIAL_LEN];
	if (found == NULL || BN_is_negative(found) || BN_is_zero(found) || BN_num_bits(found) > 159)
		FIND(err, "found a serial that is not in 1 to 2^159-1");
	if (BN_num_bytes(found) != SERIAL_LEN || BN_bn2binpad(found, bytes, SERIAL_LEN) != SERIAL_LEN ||
	    memcmp(bytes, l->r->serial.b, SERIAL_LEN) != 0)
		FIND(err, "found a serial of %d bytes, wanted the %d bytes that were stored", BN_num_bytes(found),
		     SERIAL_LEN);
	return OK;
}

static fallible lint_signature_algorithm(const struct lint *l, struct err *err)
{
	struct str want = key_x509_algorithm(l->issuer->public);
	const X509_ALGOR *outer, *inner = X509_get0_tbs_sigalg(l->x);
	X509_get0_signature(NULL, &outer, l->x);
	if (X509_ALGOR_cmp(outer, inner) != 0)
		FIND(err, "found two signature algorithms, wanted one");
	if (!str_eq(l->cert->algorithm, want))
		FIND(err, "found algorithm %s, wanted the issuer key's", OBJ_nid2sn(X509_get_signature_nid(l->x)));
	return OK;
}

/* The throw-away or the issuer's key: nothing else signs. */
static fallible lint_signature(const struct lint *l, struct err *err)
{
	bool good = X509_verify(l->x, key_get_evp(l->issuer->public)) == 1 ||
		    X509_verify(l->x, key_get_evp(l->issuer->throwaway)) == 1;
	ERR_clear_error();
	if (!good)
		FIND(err, "found a signature of neither the issuer's nor its throw-away key");
	return OK;
}

static fallible lint_issuer_name(const struct lint *l, struct err *err)
{
	const uint8_t *p;
	size_t n;
	if (X509_NAME_get0_der(X509_get_issuer_name(l->x), &p, &n) != 1 ||
	    !str_eq(str_n(p, n), issuer_cert(l->issuer)->subject))
		FIND(err, "found an issuer name whose bytes are not the CA's subject");
	return OK;
}

static fallible lint_time(const ASN1_TIME *t, int64_t want, const char *what, struct err *err)
{
	struct tm tm = { 0 };
	if (ASN1_TIME_to_tm(t, &tm) != 1)
		FIND(err, "found %s that does not parse", what);
	int64_t found = (int64_t)timegm(&tm);
	if (found != want)
		FIND(err, "found %s %lld, wanted %lld", what, (long long)found, (long long)want);
	/* RFC 5280 4.1.2.5: two digits of year through 2049, seconds there, Zulu, no fractions */
	bool utc = ASN1_STRING_type(t) == V_ASN1_UTCTIME;
	if (utc != (tm.tm_year < 150) || ASN1_STRING_length(t) != (utc ? 13 : 15))
		FIND(err, "found %s in the wrong form", what);
	return OK;
}

static fallible lint_validity(const struct lint *l, struct err *err)
{
	TRY(lint_time(X509_get0_notBefore(l->x), l->r->not_before, "notBefore", err));
	TRY(lint_time(X509_get0_notAfter(l->x), l->r->not_after, "notAfter", err));
	if (l->r->not_after < l->r->not_before)
		FIND(err, "found notAfter before notBefore");
	if (l->r->not_after > issuer_cert(l->issuer)->not_after)
		FIND(err, "found notAfter %lld, wanted at most the issuer's %lld", (long long)l->r->not_after,
		     (long long)issuer_cert(l->issuer)->not_after);
	return OK;
}

static fallible lint_attribute(const X509_NAME *subject, int at, int nid, struct str want, struct err *err)
{
	const X509_NAME_ENTRY *entry = X509_NAME_get_entry(subject, at);
	const ASN1_STRING *value = X509_NAME_ENTRY_get_data(entry);
	int type = nid == NID_countryName ? V_ASN1_PRINTABLESTRING : V_ASN1_UTF8STRING;
	if (OBJ_obj2nid(X509_NAME_ENTRY_get_object(entry)) != nid)
		FIND(err, "found a subject attribute that is no %s", OBJ_nid2sn(nid));
	if (ASN1_STRING_type(value) != type ||
	    !str_eq(str_n(ASN1_STRING_get0_data(value), (size_t)ASN1_STRING_length(value)), want))
		FIND(err, "found another %s than was asked for", OBJ_nid2sn(nid));
	return OK;
}

static fallible lint_subject(const struct lint *l, struct err *err)
{
	static const struct cert_subject none = { 0 };
	const struct cert_subject *s = l->r->subject == NULL ? &none : l->r->subject;
	const X509_NAME *subject = X509_get_subject_name(l->x);
	const struct {
		int nid;
		struct str want;
	} rows[] = {
		{ NID_countryName, s->country },
		{ NID_stateOrProvinceName, s->state },
		{ NID_localityName, s->locality },
		{ NID_organizationName, s->organization },
		{ NID_commonName, leaf_common_name(l->t, l->r) },
	};
	int count = X509_NAME_entry_count(subject), want = 0;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		want += rows[i].want.n > 0;
	if (count != want)
		FIND(err, "found a subject of %d attributes, wanted %d", count, want);
	int at = 0;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].want.n > 0)
			TRY(lint_attribute(subject, at++, rows[i].nid, rows[i].want, err));
	return OK;
}

static fallible lint_public_key(const struct lint *l, struct err *err)
{
	struct str want;
	AUTO(openssl_auto) uint8_t *found = NULL;
	TRY(key_spki(l->mem, l->r->key, &want, err));
	int n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(l->x), &found);
	if (n < 0 || !str_eq(str_n(found, (size_t)n), want))
		FIND(err, "found a SubjectPublicKeyInfo that is not the subscriber's");
	return key_check(l->r->key, KEY_USE_CERTIFICATE, err);
}

static fallible lint_unique_ids(const struct lint *l, struct err *err)
{
	const ASN1_BIT_STRING *issuer = NULL, *subject = NULL;
	X509_get0_uids(l->x, &issuer, &subject);
	if (issuer != NULL || subject != NULL)
		FIND(err, "found a unique identifier, wanted none");
	return OK;
}

/* Exactly these extensions, each once, each with its criticality: whatever else is there is a finding. */
static fallible lint_extensions(const struct lint *l, struct err *err)
{
	const struct {
		int nid;
		bool wanted, critical;
	} rows[] = {
		{ NID_key_usage, true, true },
		{ NID_ext_key_usage, true, false },
		{ NID_basic_constraints, true, true },
		{ NID_authority_key_identifier, true, false },
		{ NID_info_access, l->t->aia_url.n > 0, false },
		{ NID_subject_alt_name, true, X509_NAME_entry_count(X509_get_subject_name(l->x)) == 0 },
		{ NID_certificate_policies, l->t->policy_count > 0, false },
		{ NID_crl_distribution_points, l->t->crl_url.n > 0, false },
		{ NID_tlsfeature, l->r->must_staple, false },
	};
	int wanted = 0;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int at = X509_get_ext_by_NID(l->x, rows[i].nid, -1);
		if ((at >= 0) != rows[i].wanted)
			FIND(err, "found %s %s, wanted %s", at >= 0 ? "a" : "no", OBJ_nid2sn(rows[i].nid),
			     rows[i].wanted ? "one" : "none");
		if (at < 0)
			continue;
		wanted++;
		if (X509_get_ext_by_NID(l->x, rows[i].nid, at) >= 0)
			FIND(err, "found two %s, wanted one", OBJ_nid2sn(rows[i].nid));
		if ((X509_EXTENSION_get_critical(X509_get_ext(l->x, at)) != 0) != rows[i].critical)
			FIND(err, "found %s %scritical, wanted %scritical", OBJ_nid2sn(rows[i].nid),
			     rows[i].critical ? "not " : "", rows[i].critical ? "" : "not ");
	}
	if (X509_get_ext_count(l->x) != wanted)
		FIND(err, "found %d extensions, wanted %d", X509_get_ext_count(l->x), wanted);
	return OK;
}

/* What stands at i of the SAN: names, then addresses, then e-mail addresses. */
static struct str wanted_name(const struct lint *l, size_t i, int *ret_type)
{
	const struct cert_request *r = l->r;
	*ret_type = i < r->name_count ? GEN_DNS : i - r->name_count < r->addr_count ? GEN_IPADD : GEN_EMAIL;
	if (*ret_type == GEN_DNS)
		return r->names[i];
	i -= r->name_count;
	return *ret_type == GEN_IPADD ? addr_bytes(&r->addrs[i]) : r->emails[i - r->addr_count];
}

static fallible lint_san(const struct lint *l, struct err *err)
{
	AUTO(general_names_auto) GENERAL_NAMES *names = X509_get_ext_d2i(l->x, NID_subject_alt_name, NULL, NULL);
	int count = names == NULL ? -1 : sk_GENERAL_NAME_num(names);
	size_t wanted = l->r->name_count + l->r->addr_count + l->r->email_count;
	if (count < 1 || (size_t)count != wanted)
		FIND(err, "found %d names, wanted %zu", count, wanted);
	for (int i = 0; i < count; i++) {
		int type, want_type;
		const ASN1_STRING *value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names, i), &type);
		struct str want = wanted_name(l, (size_t)i, &want_type);
		if (type != want_type)
			FIND(err, "found a name of type %d, wanted %d", type, want_type);
		struct str name = str_n(ASN1_STRING_get0_data(value), (size_t)ASN1_STRING_length(value));
		if (!str_eq(name, want))
			FIND(err, "found name %d \"%.*s\", wanted \"%.*s\"", i, STR_FMT(name), STR_FMT(want));
	}
	return OK;
}

/* Of 4 or 16 bytes by their family (lint_san compared them), no IPv4 address in the clothes of IPv6, none twice. */
static fallible lint_addrs(const struct lint *l, struct err *err)
{
	for (size_t i = 0; i < l->r->addr_count; i++) {
		const struct addr *a = &l->r->addrs[i];
		char text[ADDR_TEXT_MAX];
		addr_show(a, text);
		if (a->family != AF_INET && a->family != AF_INET6)
			FIND(err, "found an address of family %d, wanted IPv4 or IPv6", a->family);
		if (!l->r->own && addr_is_mapped(a))
			FIND(err, "found the IPv4-mapped address %s, wanted an IPv4 address", text);
		for (size_t j = i + 1; j < l->r->addr_count; j++)
			if (addr_eq(a, &l->r->addrs[j]))
				FIND(err, "found address %s twice", text);
	}
	return OK;
}

static fallible lint_names(const struct lint *l, struct err *err)
{
	for (size_t i = 0; i < l->r->name_count; i++) {
		struct err sub = { 0 };
		if (!l->r->own && FAILED(name_check(l->r->names[i], true, &sub)))
			FIND(err, "found name \"%.*s\": %s", STR_FMT(l->r->names[i]), sub.detail);
		for (size_t j = i + 1; j < l->r->name_count; j++)
			if (str_eq(l->r->names[i], l->r->names[j]))
				FIND(err, "found name \"%.*s\" twice", STR_FMT(l->r->names[i]));
	}
	return OK;
}

/* The value of an extension that has one right encoding only. */
static fallible want_value(const struct lint *l, struct str oid, struct str want, const char *what, struct err *err)
{
	struct ext e;
	if (!cert_find_ext(l->cert, oid, &e) || !str_eq(e.value, want))
		FIND(err, "found other bytes than %s", what);
	return OK;
}

static fallible lint_key_usage(const struct lint *l, struct err *err)
{
	bool rsa = key_get_kind(l->r->key) == KEY_RSA;
	uint32_t found = X509_get_key_usage(l->x), may = rsa ? KU_KEY_ENCIPHERMENT : KU_KEY_AGREEMENT;
	if ((found & KU_DIGITAL_SIGNATURE) == 0 ||
	    (found & ~(KU_DIGITAL_SIGNATURE | (l->t->key_encipherment ? may : 0))) != 0)
		FIND(err, "found usage bits 0x%x, wanted digitalSignature and nothing that the template does not have",
		     found);
	return want_value(l, OID_KEY_USAGE, leaf_key_usage(l->t, l->r->key), "those of the template and key", err);
}

static fallible lint_ext_key_usage(const struct lint *l, struct err *err)
{
	static const uint32_t bits[] = { XKU_SSL_SERVER, XKU_SSL_CLIENT, XKU_CODE_SIGN, XKU_SMIME };
	uint32_t want = 0;
	int want_count = 0;
	for (size_t i = 0; i < ARRAY_LEN(bits); i++) {
		bool wanted = (l->t->ekus & 1u << i) != 0;
		want |= wanted ? bits[i] : 0;
		want_count += wanted;
	}
	EXTENDED_KEY_USAGE *eku = X509_get_ext_d2i(l->x, NID_ext_key_usage, NULL, NULL);
	int count = eku == NULL ? -1 : sk_ASN1_OBJECT_num(eku);
	EXTENDED_KEY_USAGE_free(eku);
	if (want == 0 || X509_get_extended_key_usage(l->x) != want || count != want_count)
		FIND(err, "found %d usages 0x%x, wanted %d usages 0x%x", count, X509_get_extended_key_usage(l->x),
		     want_count, want);
	return OK;
}

static fallible lint_basic_constraints(const struct lint *l, struct err *err)
{
	if (X509_check_ca(l->x) != 0)
		FIND(err, "found a CA certificate, wanted a leaf");
	return want_value(l, OID_BASIC_CONSTRAINTS, STR("\x30\x00"), "30 00", err);
}

static fallible lint_authority_key_id(const struct lint *l, struct err *err)
{
	struct str ski = issuer_cert(l->issuer)->ski;
	const ASN1_OCTET_STRING *id = X509_get0_authority_key_id(l->x);
	if (id == NULL || !str_eq(str_n(ASN1_STRING_get0_data(id), (size_t)ASN1_STRING_length(id)), ski))
		FIND(err, "found a key identifier that is not the issuer's subjectKeyIdentifier");
	if (X509_get0_authority_issuer(l->x) != NULL || X509_get0_authority_serial(l->x) != NULL)
		FIND(err, "found authorityCertIssuer or its serial, wanted the keyid only");
	return OK;
}

static bool is_policy(const POLICYINFO *p, struct str dotted)
{
	struct oid want;
	return !FAILED(oid_read(dotted, &want, NULL)) && p->qualifiers == NULL &&
	       str_eq(str_n(OBJ_get0_data(p->policyid), OBJ_length(p->policyid)), str_n(want.b, want.n));
}

static fallible lint_policies(const struct lint *l, struct err *err)
{
	if (l->t->policy_count == 0)
		return OK;
	CERTIFICATEPOLICIES *policies = X509_get_ext_d2i(l->x, NID_certificate_policies, NULL, NULL);
	bool good = policies != NULL && (size_t)sk_POLICYINFO_num(policies) == l->t->policy_count;
	for (size_t i = 0; good && i < l->t->policy_count; i++)
		good = is_policy(sk_POLICYINFO_value(policies, (int)i), l->t->policies[i]);
	CERTIFICATEPOLICIES_free(policies);
	if (!good)
		FIND(err, "found other policies than the template's, or qualifiers");
	return OK;
}

static fallible lint_tls_feature(const struct lint *l, struct err *err)
{
	return l->r->must_staple ? want_value(l, OID_TLS_FEATURE, MUST_STAPLE, "status_request alone", err) : OK;
}

/* The one URL of a GeneralName. */
static bool is_url(const GENERAL_NAME *name, struct str want)
{
	int type;
	const ASN1_STRING *value = GENERAL_NAME_get0_value(name, &type);
	return type == GEN_URI && str_starts(want, STR("http://")) &&
	       str_eq(str_n(ASN1_STRING_get0_data(value), (size_t)ASN1_STRING_length(value)), want);
}

static fallible lint_crl_url(const struct lint *l, struct err *err)
{
	if (l->t->crl_url.n == 0)
		return OK;
	CRL_DIST_POINTS *points = X509_get_ext_d2i(l->x, NID_crl_distribution_points, NULL, NULL);
	bool good = points != NULL && sk_DIST_POINT_num(points) == 1;
	if (good) {
		const DIST_POINT *p = sk_DIST_POINT_value(points, 0);
		good = p->reasons == NULL && p->CRLissuer == NULL && p->distpoint != NULL && p->distpoint->type == 0 &&
		       sk_GENERAL_NAME_num(p->distpoint->name.fullname) == 1 &&
		       is_url(sk_GENERAL_NAME_value(p->distpoint->name.fullname, 0), l->t->crl_url);
	}
	CRL_DIST_POINTS_free(points);
	if (!good)
		FIND(err, "found other distribution points than the one http URL of the template");
	return OK;
}

static fallible lint_aia_url(const struct lint *l, struct err *err)
{
	if (l->t->aia_url.n == 0)
		return OK;
	AUTHORITY_INFO_ACCESS *aia = X509_get_ext_d2i(l->x, NID_info_access, NULL, NULL);
	bool good = aia != NULL && sk_ACCESS_DESCRIPTION_num(aia) == 1;
	if (good) {
		const ACCESS_DESCRIPTION *d = sk_ACCESS_DESCRIPTION_value(aia, 0);
		good = OBJ_obj2nid(d->method) == NID_ad_ca_issuers && is_url(d->location, l->t->aia_url);
	}
	AUTHORITY_INFO_ACCESS_free(aia);
	if (!good)
		FIND(err, "found other access descriptions than caIssuers with the one http URL of the template");
	return OK;
}

static const struct {
	const char *name;
	struct rc (*check)(const struct lint *l, struct err *err) __attribute__((warn_unused_result));
} lints[] = {
	{ "der", lint_der },
	{ "serial", lint_serial },
	{ "signature-algorithm", lint_signature_algorithm },
	{ "signature", lint_signature },
	{ "issuer-name", lint_issuer_name },
	{ "validity", lint_validity },
	{ "subject", lint_subject },
	{ "public-key", lint_public_key },
	{ "unique-ids", lint_unique_ids },
	{ "extensions", lint_extensions },
	{ "san", lint_san },
	{ "names", lint_names },
	{ "addrs", lint_addrs },
	{ "key-usage", lint_key_usage },
	{ "ext-key-usage", lint_ext_key_usage },
	{ "basic-constraints", lint_basic_constraints },
	{ "authority-key-id", lint_authority_key_id },
	{ "policies", lint_policies },
	{ "tls-feature", lint_tls_feature },
	{ "crl-url", lint_crl_url },
	{ "aia-url", lint_aia_url },
};

static fallible finding(const char *rule, const struct err *sub, struct err *err)
{
	ERR_clear_error();
	err_set(err, ERR_INTERNAL, "the certificate does not pass its own checks");
	err_cause(err, "%s: %s", rule, sub->detail);
	return (struct rc){ ERR_INTERNAL };
}

fallible cert_lint(const struct issuer *i, const struct cert_template *t, const struct cert_request *r, struct str der,
		   struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(cert_auto) struct cert *cert = NULL;
	struct err sub = { 0 };
	if (FAILED(cert_read_der(der, &cert, &sub)))
		return finding("parse", &sub, err);
	const struct lint l = { .issuer = i, .t = t, .r = r, .der = der, .cert = cert, .x = cert->x509, .mem = &mem };
	for (size_t n = 0; n < ARRAY_LEN(lints); n++)
		if (FAILED(lints[n].check(&l, &sub)))
			return finding(lints[n].name, &sub, err);
	return OK;
}

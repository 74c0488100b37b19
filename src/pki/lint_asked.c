/* SPDX-License-Identifier: Apache-2.0
 *
 * lint_asked.c: the certificate as OpenSSL reads it, which did not write it: that it reads the same at all, and before
 * signing (RULES R5) that the certificate is what template and request say and nothing else.
 */
#include "pki/lint_look.h"
#include "pki/lint_second.h"

#include <openssl/bn.h>

static void bn_auto(BIGNUM **p)
{
	BN_free(*p);
}

static void general_names_auto(GENERAL_NAMES **p)
{
	GENERAL_NAMES_free(*p);
}

/* Two readers that understand one certificate differently are how attacks begin. */
static fallible check_second_reader(const struct look *l, struct err *err)
{
	struct str again;
	if (l->second == NULL)
		FIND(err, "found bytes that OpenSSL does not read as a certificate");
	TRY(second_write_tbs(l->second, l->mem, &again, err));
	if (!str_eq(again, l->tbs))
		FIND(err, "found %zu bytes that OpenSSL encodes to %zu others", l->tbs.n, again.n);
	if (!second_exts_parse(l->second))
		FIND(err, "found an extension that OpenSSL does not read");
	return OK;
}

static fallible check_validity(const struct look *l, struct err *err)
{
	const struct cert_request *r = l->asked->r;
	if (l->from != r->not_before || l->until != r->not_after)
		FIND(err, "found %lld to %lld, wanted %lld to %lld", (long long)l->from, (long long)l->until,
		     (long long)r->not_before, (long long)r->not_after);
	return OK;
}

static fallible check_serial(const struct look *l, struct err *err)
{
	AUTO(bn_auto) BIGNUM *found = ASN1_INTEGER_to_BN(l->second->tbs->serial, NULL);
	uint8_t bytes[SERIAL_LEN];
	if (found == NULL || BN_is_negative(found) || BN_is_zero(found) || BN_num_bits(found) > 159)
		FIND(err, "found a serial that is not in 1 to 2^159-1");
	if (BN_num_bytes(found) != SERIAL_LEN || BN_bn2binpad(found, bytes, SERIAL_LEN) != SERIAL_LEN ||
	    memcmp(bytes, l->asked->r->serial.b, SERIAL_LEN) != 0)
		FIND(err, "found a serial of %d bytes, wanted the %d bytes that were stored", BN_num_bytes(found),
		     SERIAL_LEN);
	return OK;
}

static fallible check_attribute(const X509_NAME *subject, int at, int nid, struct str want, struct err *err)
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

static fallible check_subject(const struct look *l, struct err *err)
{
	static const struct cert_subject none = { 0 };
	const struct cert_subject *s = l->asked->r->subject == NULL ? &none : l->asked->r->subject;
	const X509_NAME *subject = l->second->tbs->subject;
	const struct {
		int nid;
		struct str want;
	} rows[] = {
		{ NID_countryName, s->country },
		{ NID_stateOrProvinceName, s->state },
		{ NID_localityName, s->locality },
		{ NID_organizationName, s->organization },
		{ NID_commonName, leaf_common_name(l->asked->t, l->asked->r) },
	};
	int count = X509_NAME_entry_count(subject), want = 0;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		want += rows[i].want.n > 0;
	if (count != want)
		FIND(err, "found a subject of %d attributes, wanted %d", count, want);
	int at = 0;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].want.n > 0)
			TRY(check_attribute(subject, at++, rows[i].nid, rows[i].want, err));
	return OK;
}

static fallible check_public_key(const struct look *l, struct err *err)
{
	struct str want, found;
	TRY(key_spki(l->mem, l->asked->r->key, &want, err));
	TRY(second_write_key(l->second, l->mem, &found, err));
	if (!str_eq(found, want))
		FIND(err, "found a SubjectPublicKeyInfo that is not the subscriber's");
	return key_check(l->asked->r->key, KEY_USE_CERTIFICATE, err);
}

/* Exactly these extensions, each once, each with its criticality: whatever else is there is a finding. */
static fallible check_extensions(const struct look *l, struct err *err)
{
	const struct {
		int nid;
		bool wanted, critical;
	} rows[] = {
		{ NID_key_usage, true, true },
		{ NID_ext_key_usage, true, false },
		{ NID_basic_constraints, true, true },
		{ NID_authority_key_identifier, true, false },
		{ NID_info_access, l->asked->t->aia_url.n > 0, false },
		{ NID_subject_alt_name, true, X509_NAME_entry_count(l->second->tbs->subject) == 0 },
		{ NID_certificate_policies, l->asked->t->policy_count > 0, false },
		{ NID_crl_distribution_points, l->asked->t->crl_url.n > 0, false },
		{ NID_tlsfeature, l->asked->r->must_staple, false },
	};
	const STACK_OF(X509_EXTENSION) *exts = l->second->tbs->extensions;
	int wanted = 0;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int at = X509v3_get_ext_by_NID(exts, rows[i].nid, -1);
		if ((at >= 0) != rows[i].wanted)
			FIND(err, "found %s %s, wanted %s", at >= 0 ? "a" : "no", OBJ_nid2sn(rows[i].nid),
			     rows[i].wanted ? "one" : "none");
		if (at < 0)
			continue;
		wanted++;
		if (X509v3_get_ext_by_NID(exts, rows[i].nid, at) >= 0)
			FIND(err, "found two %s, wanted one", OBJ_nid2sn(rows[i].nid));
		if ((X509_EXTENSION_get_critical(X509v3_get_ext(exts, at)) != 0) != rows[i].critical)
			FIND(err, "found %s %scritical, wanted %scritical", OBJ_nid2sn(rows[i].nid),
			     rows[i].critical ? "not " : "", rows[i].critical ? "" : "not ");
	}
	if (X509v3_get_ext_count(exts) != wanted)
		FIND(err, "found %d extensions, wanted %d", X509v3_get_ext_count(exts), wanted);
	return OK;
}

/* What stands at i of the SAN: names, then addresses, then e-mail addresses. */
static struct str wanted_name(const struct look *l, size_t i, int *ret_type)
{
	const struct cert_request *r = l->asked->r;
	*ret_type = i < r->name_count ? GEN_DNS : i - r->name_count < r->addr_count ? GEN_IPADD : GEN_EMAIL;
	if (*ret_type == GEN_DNS)
		return r->names[i];
	i -= r->name_count;
	return *ret_type == GEN_IPADD ? addr_bytes(&r->addrs[i]) : r->emails[i - r->addr_count];
}

static fallible check_san(const struct look *l, struct err *err)
{
	bool there;
	AUTO(general_names_auto) GENERAL_NAMES *names = second_ext(l->second, NID_subject_alt_name, &there);
	int count = names == NULL ? -1 : sk_GENERAL_NAME_num(names);
	size_t wanted = l->asked->r->name_count + l->asked->r->addr_count + l->asked->r->email_count;
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

static fallible check_names(const struct look *l, struct err *err)
{
	const struct cert_request *r = l->asked->r;
	for (size_t i = 0; i < r->name_count && !r->own; i++) {
		struct err sub = { 0 };
		if (FAILED(name_check(r->names[i], true, &sub)))
			FIND(err, "found name \"%.*s\": %s", STR_FMT(r->names[i]), sub.detail);
	}
	return OK;
}

/* The value of an extension that has one right encoding only. */
static fallible want_value(const struct look *l, enum look_kind kind, struct str want, const char *what,
			   struct err *err)
{
	if (l->known[kind] == NULL || !str_eq(l->known[kind]->value, want))
		FIND(err, "found other bytes than %s", what);
	return OK;
}

static fallible check_key_usage(const struct look *l, struct err *err)
{
	const unsigned sign = 1u << 0, encipher = 1u << 2, agree = 1u << 4; /* RFC 5280 4.2.1.3 */
	unsigned found = 0, may = key_get_kind(l->asked->r->key) == KEY_RSA ? encipher : agree;
	bool there;
	ASN1_BIT_STRING *usage = second_ext(l->second, NID_key_usage, &there);
	for (int i = 0; usage != NULL && i < 9; i++)
		found |= ASN1_BIT_STRING_get_bit(usage, i) != 0 ? 1u << i : 0;
	ASN1_BIT_STRING_free(usage);
	if ((found & sign) == 0 || (found & ~(sign | (l->asked->t->key_encipherment ? may : 0))) != 0)
		FIND(err, "found usage bits 0x%x, wanted digitalSignature and nothing that the template does not have",
		     found);
	return want_value(l, X_KEY_USAGE, leaf_key_usage(l->asked->t, l->asked->r->key),
			  "those of the template and key", err);
}

static fallible check_ext_key_usage(const struct look *l, struct err *err)
{
	static const int purposes[] = { NID_server_auth, NID_client_auth, NID_code_sign, NID_email_protect };
	unsigned found = 0, want = l->asked->t->ekus;
	int want_count = 0;
	bool there;
	EXTENDED_KEY_USAGE *eku = second_ext(l->second, NID_ext_key_usage, &there);
	int count = eku == NULL ? -1 : sk_ASN1_OBJECT_num(eku);
	for (size_t i = 0; i < ARRAY_LEN(purposes); i++) {
		want_count += (want & 1u << i) != 0;
		for (int k = 0; k < count; k++)
			found |= OBJ_obj2nid(sk_ASN1_OBJECT_value(eku, k)) == purposes[i] ? 1u << i : 0;
	}
	EXTENDED_KEY_USAGE_free(eku);
	if (want == 0 || found != want || count != want_count)
		FIND(err, "found %d usages 0x%x, wanted %d usages 0x%x", count, found, want_count, want);
	return OK;
}

static bool is_policy(const POLICYINFO *p, struct str dotted)
{
	struct oid want;
	return !FAILED(oid_read(dotted, &want, NULL)) && p->qualifiers == NULL &&
	       str_eq(str_n(OBJ_get0_data(p->policyid), OBJ_length(p->policyid)), str_n(want.b, want.n));
}

static fallible check_policies(const struct look *l, struct err *err)
{
	if (l->asked->t->policy_count == 0)
		return OK;
	bool there;
	CERTIFICATEPOLICIES *policies = second_ext(l->second, NID_certificate_policies, &there);
	bool good = policies != NULL && (size_t)sk_POLICYINFO_num(policies) == l->asked->t->policy_count;
	for (size_t i = 0; good && i < l->asked->t->policy_count; i++)
		good = is_policy(sk_POLICYINFO_value(policies, (int)i), l->asked->t->policies[i]);
	CERTIFICATEPOLICIES_free(policies);
	if (!good)
		FIND(err, "found other policies than the template's, or qualifiers");
	return OK;
}

static fallible check_tls_feature(const struct look *l, struct err *err)
{
	return l->asked->r->must_staple ? want_value(l, X_TLS_FEATURE, MUST_STAPLE, "status_request alone", err) : OK;
}

/* The one URL of a GeneralName. */
static bool is_url(const GENERAL_NAME *name, struct str want)
{
	int type;
	const ASN1_STRING *value = GENERAL_NAME_get0_value(name, &type);
	return type == GEN_URI && str_starts(want, STR("http://")) &&
	       str_eq(str_n(ASN1_STRING_get0_data(value), (size_t)ASN1_STRING_length(value)), want);
}

static fallible check_crl_url(const struct look *l, struct err *err)
{
	if (l->asked->t->crl_url.n == 0)
		return OK;
	bool there;
	CRL_DIST_POINTS *points = second_ext(l->second, NID_crl_distribution_points, &there);
	bool good = points != NULL && sk_DIST_POINT_num(points) == 1;
	if (good) {
		const DIST_POINT *p = sk_DIST_POINT_value(points, 0);
		good = p->reasons == NULL && p->CRLissuer == NULL && p->distpoint != NULL && p->distpoint->type == 0 &&
		       sk_GENERAL_NAME_num(p->distpoint->name.fullname) == 1 &&
		       is_url(sk_GENERAL_NAME_value(p->distpoint->name.fullname, 0), l->asked->t->crl_url);
	}
	CRL_DIST_POINTS_free(points);
	if (!good)
		FIND(err, "found other distribution points than the one http URL of the template");
	return OK;
}

static fallible check_aia_url(const struct look *l, struct err *err)
{
	if (l->asked->t->aia_url.n == 0)
		return OK;
	bool there;
	AUTHORITY_INFO_ACCESS *aia = second_ext(l->second, NID_info_access, &there);
	bool good = aia != NULL && sk_ACCESS_DESCRIPTION_num(aia) == 1;
	if (good) {
		const ACCESS_DESCRIPTION *d = sk_ACCESS_DESCRIPTION_value(aia, 0);
		good = OBJ_obj2nid(d->method) == NID_ad_ca_issuers && is_url(d->location, l->asked->t->aia_url);
	}
	AUTHORITY_INFO_ACCESS_free(aia);
	if (!good)
		FIND(err, "found other access descriptions than caIssuers with the one http URL of the template");
	return OK;
}

#define ASKED (ALL | WHEN_ASKED)
const struct lint_rule lint_rules_asked[] = {
	{ "second-reader", LINT_ERROR, ALL, "RFC 5280 4.1", 14, "OpenSSL reads it and writes the same bytes",
	  check_second_reader },
	{ "asked-serial", LINT_ERROR, ASKED, "BR 4.3.1.2", 1, "the serial that was stored", check_serial },
	{ "asked-validity", LINT_ERROR, ASKED, "BR 4.3.1.2", 1, "the times that were asked for", check_validity },
	{ "asked-subject", LINT_ERROR, ASKED, "BR 4.3.1.2", 2, "the fields that were asked for, in their order",
	  check_subject },
	{ "asked-key", LINT_ERROR, ASKED, "BR 6.1.1.3", 4, "the subscriber's key, which passes the key policy",
	  check_public_key },
	{ "asked-extensions", LINT_ERROR, ASKED, "BR 4.3.1.2", 2, "exactly the template's extensions",
	  check_extensions },
	{ "asked-san", LINT_ERROR, ASKED, "BR 4.3.1.2", 3, "exactly the names that were asked for, in their order",
	  check_san },
	{ "asked-names", LINT_ERROR, ASKED, "BR 4.3.1.2", 3, "names that may be issued at all", check_names },
	{ "asked-key-usage", LINT_ERROR, ASKED, "BR 4.3.1.2", 2, "the template's keyUsage for that kind of key",
	  check_key_usage },
	{ "asked-ext-key-usage", LINT_ERROR, ASKED, "BR 4.3.1.2", 2, "the template's usages", check_ext_key_usage },
	{ "asked-policies", LINT_ERROR, ASKED, "BR 4.3.1.2", 2, "the template's policies, without qualifiers",
	  check_policies },
	{ "asked-tls-feature", LINT_ERROR, ASKED, "RFC 7633 4.1", 2, "TLS feature 5 when it was asked for",
	  check_tls_feature },
	{ "asked-crl-url", LINT_ERROR, ASKED, "BR 4.3.1.2", 2, "the template's CRL", check_crl_url },
	{ "asked-aia-url", LINT_ERROR, ASKED, "BR 4.3.1.2", 2, "the template's caIssuers", check_aia_url },
};
const size_t lint_rules_asked_count = ARRAY_LEN(lint_rules_asked);

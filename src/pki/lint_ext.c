/* SPDX-License-Identifier: Apache-2.0
 *
 * lint_ext.c: rules about extensions (RFC 5280 4.2, BR 7.1.2.7.6 and 7.1.2.11; RULES R2, R6 and R15): which there are,
 * how critical they are, and what each says, but for the names in the SAN.
 */
#include "pki/lint_look.h"

#define BYTES(lit)                     \
	{                              \
		(lit), sizeof(lit) - 1 \
	}
#define OID_OCSP STR("\x2b\x06\x01\x05\x05\x07\x30\x01")
#define SHORT_LIVED_S INT64_C(604800) /* BR 1.6.1, from 2026-03-15 */

/* --- all of them -----------------------------------------------------------------------------------------------------*/
static struct str ext_text(const struct look *l, const struct look_ext *e)
{
	enum look_kind k = look_kind_of(e->oid);
	return k == X_COUNT ? look_oid_text(l->mem, e->oid) : str_z(look_kind_name(k));
}

static fallible check_duplicates(const struct look *l, struct err *err)
{
	for (size_t i = 0; i < l->ext_count; i++)
		for (size_t j = i + 1; j < l->ext_count; j++)
			if (str_eq(l->exts[i].oid, l->exts[j].oid))
				FIND(err, "found %.*s twice", STR_FMT(ext_text(l, &l->exts[i])));
	return OK;
}

static fallible check_values(const struct look *l, struct err *err)
{
	for (unsigned k = 0; k < X_COUNT; k++)
		if (l->known[k] != NULL && !l->good[k])
			FIND(err, "found %s with a value that is not of its form", look_kind_name((enum look_kind)k));
	return OK;
}

/* X.690 11.5: a DEFAULT value is left out. */
static fallible check_says_false(const struct look *l, struct err *err)
{
	for (size_t i = 0; i < l->ext_count; i++)
		if (l->exts[i].says_false)
			FIND(err, "found %.*s with \"critical\" spelled out as FALSE",
			     STR_FMT(ext_text(l, &l->exts[i])));
	return OK;
}

static fallible check_unknown_critical(const struct look *l, struct err *err)
{
	for (size_t i = 0; i < l->ext_count; i++)
		if (l->exts[i].critical && look_kind_of(l->exts[i].oid) == X_COUNT)
			FIND(err, "found the critical extension %.*s, which nobody knows",
			     STR_FMT(ext_text(l, &l->exts[i])));
	return OK;
}

static fallible check_criticality(const struct look *l, struct err *err)
{
	static const struct {
		enum look_kind kind;
		bool critical, public_only;
	} rows[] = {
		{ X_BASIC_CONSTRAINTS, true, true },
		{ X_KEY_USAGE, true, true },
		{ X_NAME_CONSTRAINTS, true, false },
		{ X_POLICY_CONSTRAINTS, true, false },
		{ X_INHIBIT_ANY_POLICY, true, false },
		{ X_POISON, true, false },
		{ X_AKI, false, false },
		{ X_SKI, false, false },
		{ X_AIA, false, false },
		{ X_SUBJECT_INFO, false, false },
		{ X_FRESHEST_CRL, false, false },
		{ X_SCTS, false, false },
		{ X_EKU, false, true },
		{ X_POLICIES, false, true },
		{ X_CRLDP, false, true },
		{ X_TLS_FEATURE, false, true },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct look_ext *e = l->known[rows[i].kind];
		if (e == NULL || (rows[i].public_only && !l->public_rules) || e->critical == rows[i].critical)
			continue;
		FIND(err, "found %s %scritical, wanted %scritical", look_kind_name(rows[i].kind),
		     e->critical ? "" : "not ", rows[i].critical ? "" : "not ");
	}
	return OK;
}

static bool is_asked_for(const struct look *l, enum look_kind k)
{
	return l->asked != NULL && k == X_TLS_FEATURE && l->asked->r->must_staple;
}

/* RFC 7633 and whatever else is there: BR 7.1.2.11.5 wants a reason, which only who asks can have. */
static fallible check_others(const struct look *l, struct err *err)
{
	for (size_t i = 0; i < l->ext_count; i++) {
		enum look_kind k = look_kind_of(l->exts[i].oid);
		if ((k < X_TLS_FEATURE) || k == X_SCTS || k == X_POISON || k == X_NAME_CONSTRAINTS ||
		    is_asked_for(l, k))
			continue;
		if (k == X_COUNT && l->exts[i].critical)
			continue; /* check_unknown_critical's */
		FIND(err, "found %.*s, which is not recommended in a leaf", STR_FMT(ext_text(l, &l->exts[i])));
	}
	return OK;
}

/* --- basicConstraints, keyUsage ----------------------------------------------------------------------------------------*/
static fallible check_leaf(const struct look *l, struct err *err)
{
	if (l->must_be_leaf && l->is_ca)
		FIND(err, "found a CA's certificate, wanted a leaf");
	return OK;
}

static fallible check_leaf_constraints(const struct look *l, struct err *err)
{
	const struct look_ext *e = l->known[X_BASIC_CONSTRAINTS];
	if (l->good[X_BASIC_CONSTRAINTS] && !l->is_ca && !str_eq(e->value, STR("\x30\x00")))
		FIND(err, "found basicConstraints other than 30 00");
	return OK;
}

static fallible check_ca_critical(const struct look *l, struct err *err)
{
	if (!l->public_rules && !l->known[X_BASIC_CONSTRAINTS]->critical)
		FIND(err, "found a CA whose basicConstraints are not critical");
	return OK;
}

static fallible check_ca_usage(const struct look *l, struct err *err)
{
	if (l->known[X_KEY_USAGE] == NULL || (l->good[X_KEY_USAGE] && (l->usage & USAGE_CERT_SIGN) == 0))
		FIND(err, "found a CA that may not sign certificates");
	return OK;
}

static fallible check_ca_key_id(const struct look *l, struct err *err)
{
	if (l->known[X_SKI] == NULL)
		FIND(err, "found a CA without subjectKeyIdentifier");
	return OK;
}

static fallible check_no_ca_usage(const struct look *l, struct err *err)
{
	if ((l->usage & (USAGE_CERT_SIGN | USAGE_CRL_SIGN)) != 0)
		FIND(err, "found a leaf that may sign certificates or CRLs");
	return OK;
}

/* X.690 11.2.2: named bits without trailing zeros; RFC 5280 4.2.1.3: at least one of the nine. */
static fallible check_usage_bits(const struct look *l, struct err *err)
{
	struct str value, want;
	uint8_t bytes[3] = { 0, (uint8_t)(l->usage >> 8), (uint8_t)l->usage };
	if (!l->good[X_KEY_USAGE])
		return OK;
	if (l->usage == 0 || (l->usage & ~USAGE_ALL) != 0)
		FIND(err, "found usage bits 0x%04x, wanted some of 0x%04x", l->usage, USAGE_ALL);
	while (bytes[0] < 7 && (l->usage >> ((l->usage & 0xff) != 0 ? 0 : 8) >> bytes[0] & 1) == 0)
		bytes[0]++;
	value = l->known[X_KEY_USAGE]->value;
	want = str_n(bytes, (l->usage & 0xff) != 0 ? 3 : 2);
	if (!str_eq(str_sub(value, 2, value.n), want))
		FIND(err, "found usage bits that are not written in the shortest way");
	return OK;
}

static bool key_is_ec(const struct look *l)
{
	return l->key_good && l->key_kind != KEY_RSA;
}

/* RFC 5480 3, RFC 8410 5 */
static fallible check_usage_encipher(const struct look *l, struct err *err)
{
	if (key_is_ec(l) && (l->usage & (USAGE_KEY_ENCIPHER | USAGE_DATA_ENCIPHER)) != 0)
		FIND(err, "found a key for enciphering that cannot: it is %s", key_kind_name(l->key_kind));
	return OK;
}

static fallible check_usage_there(const struct look *l, struct err *err)
{
	if (l->known[X_KEY_USAGE] == NULL)
		FIND(err, "found no keyUsage");
	return OK;
}

/* BR 7.1.2.7.11; bits that other rules find are left to them. */
static fallible check_usage_public(const struct look *l, struct err *err)
{
	const unsigned others = USAGE_KEY_ENCIPHER | USAGE_DATA_ENCIPHER | USAGE_CERT_SIGN | USAGE_CRL_SIGN;
	if (!l->good[X_KEY_USAGE] || !l->key_good || (l->usage & USAGE_ALL) == 0)
		return OK;
	unsigned may = others | USAGE_SIGN | (key_is_ec(l) ? USAGE_KEY_AGREE : 0);
	unsigned one_of = USAGE_SIGN | (key_is_ec(l) ? 0 : USAGE_KEY_ENCIPHER);
	if ((l->usage & USAGE_ALL & ~may) != 0)
		FIND(err, "found usage bits 0x%04x that a %s key's certificate does not have", l->usage & ~may,
		     key_kind_name(l->key_kind));
	if ((l->usage & one_of) == 0)
		FIND(err, "found a key that may not sign");
	return OK;
}

static fallible check_usage_discouraged(const struct look *l, struct err *err)
{
	if (!l->key_good)
		return OK;
	if ((l->usage & (key_is_ec(l) ? USAGE_KEY_AGREE : USAGE_DATA_ENCIPHER)) != 0)
		FIND(err, "found %s, which is not recommended", key_is_ec(l) ? "keyAgreement" : "dataEncipherment");
	return OK;
}

/* --- extKeyUsage -----------------------------------------------------------------------------------------------------*/
static fallible check_eku_repeats(const struct look *l, struct err *err)
{
	for (size_t i = 0; i < l->eku_count; i++)
		for (size_t j = i + 1; j < l->eku_count; j++)
			if (str_eq(l->ekus[i], l->ekus[j]))
				FIND(err, "found the usage %.*s twice", STR_FMT(look_oid_text(l->mem, l->ekus[i])));
	return OK;
}

static fallible check_eku_any(const struct look *l, struct err *err)
{
	if (look_has_eku(l, OID_ANY_EKU))
		FIND(err, "found anyExtendedKeyUsage");
	return OK;
}

static fallible check_eku_server(const struct look *l, struct err *err)
{
	if (l->known[X_EKU] == NULL || (l->good[X_EKU] && !look_has_eku(l, OID_SERVER_AUTH)))
		FIND(err, "found no serverAuth");
	return OK;
}

static fallible check_eku_client(const struct look *l, struct err *err)
{
	if (look_has_eku(l, OID_CLIENT_AUTH))
		FIND(err, "found clientAuth, which browsers refuse in public certificates from 2026-06-15");
	return OK;
}

static fallible check_eku_others(const struct look *l, struct err *err)
{
	for (size_t i = 0; i < l->eku_count; i++)
		if (!str_eq(l->ekus[i], OID_SERVER_AUTH) && !str_eq(l->ekus[i], OID_CLIENT_AUTH) &&
		    !str_eq(l->ekus[i], OID_ANY_EKU))
			FIND(err, "found the usage %.*s besides serverAuth",
			     STR_FMT(look_oid_text(l->mem, l->ekus[i])));
	return OK;
}

/* --- key identifiers ---------------------------------------------------------------------------------------------------*/
static bool self_issued(const struct look *l)
{
	return str_eq(l->issuer, l->subject);
}

static fallible check_aki_there(const struct look *l, struct err *err)
{
	if (!(l->is_ca && self_issued(l)) && (l->known[X_AKI] == NULL || (l->good[X_AKI] && l->aki.n == 0)))
		FIND(err, "found no authorityKeyIdentifier with a keyIdentifier");
	return OK;
}

static fallible check_aki_alone(const struct look *l, struct err *err)
{
	if (l->aki_has_more)
		FIND(err, "found authorityCertIssuer or its serial, wanted the keyIdentifier only");
	return OK;
}

static fallible check_aki_of_issuer(const struct look *l, struct err *err)
{
	if (l->aki.n > 0 && !str_eq(l->aki, l->issuer_cert->ski))
		FIND(err, "found a keyIdentifier that is not the issuer's subjectKeyIdentifier");
	return OK;
}

static fallible check_no_ski(const struct look *l, struct err *err)
{
	if (l->known[X_SKI] != NULL)
		FIND(err, "found a subjectKeyIdentifier, which is not recommended in a leaf");
	return OK;
}

/* --- where to ask: AIA, CRLs -------------------------------------------------------------------------------------------*/
static bool is_http(const struct look_name *n)
{
	return n->tag == TAG_URI && n->value.n > 7 && str_eq_nocase(str_sub(n->value, 0, 7), STR("http://"));
}

static fallible check_aia_there(const struct look *l, struct err *err)
{
	if (l->known[X_AIA] == NULL)
		FIND(err, "found no authorityInfoAccess");
	return OK;
}

static fallible check_aia_http(const struct look *l, struct err *err)
{
	for (size_t i = 0; l->good[X_AIA] && i < l->access_count; i++) {
		const struct look_access *a = &l->access[i];
		if (!str_eq(a->method, OID_CA_ISSUERS) && !str_eq(a->method, OID_OCSP))
			FIND(err, "found the access method %.*s, wanted caIssuers or ocsp",
			     STR_FMT(look_oid_text(l->mem, a->method)));
		if (!is_http(&a->where))
			FIND(err, "found an access location that is no http URL");
	}
	return OK;
}

static bool has_ocsp(const struct look *l)
{
	for (size_t i = 0; i < l->access_count; i++)
		if (str_eq(l->access[i].method, OID_OCSP))
			return true;
	return false;
}

static fallible check_crl_there(const struct look *l, struct err *err)
{
	bool short_lived = l->times_good && l->until - l->from + 1 <= SHORT_LIVED_S;
	if (l->known[X_CRLDP] == NULL && !short_lived && !has_ocsp(l))
		FIND(err, "found nowhere to ask whether it is revoked, though it lasts longer than 7 days");
	return OK;
}

static fallible check_crl_form(const struct look *l, struct err *err)
{
	if (!l->good[X_CRLDP])
		return OK;
	const struct look_point *p = &l->points[0];
	if (l->point_count != 1 || p->name_count != 1 || !is_http(&p->name))
		FIND(err, "found distribution points other than one http URL");
	if (p->has_reasons || p->has_issuer)
		FIND(err, "found a distribution point with reasons or cRLIssuer");
	return OK;
}

/* --- policies ----------------------------------------------------------------------------------------------------------*/
static const struct str reserved_policies[] = {
	BYTES("\x67\x81\x0c\x01\x02\x01"), /* domain validated */
	BYTES("\x67\x81\x0c\x01\x02\x02"), /* organization */
	BYTES("\x67\x81\x0c\x01\x02\x03"), /* individual */
	BYTES("\x67\x81\x0c\x01\x01"),     /* extended validation */
};

bool look_policy_is_reserved(struct str oid)
{
	for (size_t i = 0; i < ARRAY_LEN(reserved_policies); i++)
		if (str_eq(reserved_policies[i], oid))
			return true;
	return false;
}

static size_t count_reserved(const struct look *l)
{
	size_t n = 0;
	for (size_t i = 0; i < l->policy_count; i++)
		n += look_policy_is_reserved(l->policies[i].oid) ? 1 : 0;
	return n;
}

static fallible check_policy_repeats(const struct look *l, struct err *err)
{
	for (size_t i = 0; i < l->policy_count; i++)
		for (size_t j = i + 1; j < l->policy_count; j++)
			if (str_eq(l->policies[i].oid, l->policies[j].oid))
				FIND(err, "found the policy %.*s twice",
				     STR_FMT(look_oid_text(l->mem, l->policies[i].oid)));
	return OK;
}

static fallible check_policy_reserved(const struct look *l, struct err *err)
{
	if (l->known[X_POLICIES] == NULL || (l->good[X_POLICIES] && count_reserved(l) == 0))
		FIND(err, "found none of the policies that the CA/Browser Forum has reserved");
	for (size_t i = 0, found = 0; i < l->policy_count; i++) {
		bool again = false;
		for (size_t j = 0; j < i; j++)
			again = again || str_eq(l->policies[i].oid, l->policies[j].oid);
		if (again || !look_policy_is_reserved(l->policies[i].oid))
			continue;
		if (++found > 1)
			FIND(err, "found more than one reserved policy, wanted one");
	}
	return OK;
}

static fallible check_policy_first(const struct look *l, struct err *err)
{
	if (count_reserved(l) > 0 && !look_policy_is_reserved(l->policies[0].oid))
		FIND(err, "found another policy before the reserved one");
	return OK;
}

static fallible check_policy_any(const struct look *l, struct err *err)
{
	for (size_t i = 0; i < l->policy_count; i++)
		if (str_eq(l->policies[i].oid, OID_ANY_POLICY))
			FIND(err, "found anyPolicy in a leaf");
	return OK;
}

static fallible check_policy_qualifiers(const struct look *l, struct err *err)
{
	for (size_t i = 0; i < l->policy_count; i++)
		if (l->policies[i].qualified)
			FIND(err, "found a policy with qualifiers, which are not recommended");
	return OK;
}

/* --- the rest ----------------------------------------------------------------------------------------------------------*/
static fallible check_no_name_constraints(const struct look *l, struct err *err)
{
	if (l->known[X_NAME_CONSTRAINTS] != NULL)
		FIND(err, "found nameConstraints in a leaf");
	return OK;
}

static fallible check_ct(const struct look *l, struct err *err)
{
	if (l->known[X_POISON] != NULL && l->known[X_SCTS] != NULL)
		FIND(err, "found a precertificate that has timestamps already");
	return OK;
}

const struct lint_rule lint_rules_ext[] = {
	{ "ext-twice", LINT_ERROR, ALL, "RFC 5280 4.2", 2, "no extension twice", check_duplicates },
	{ "ext-value", LINT_ERROR, ALL, "RFC 5280 4.2.1", 2, "each extension's value in its ASN.1 form", check_values },
	{ "ext-false", LINT_ERROR, ALL, "X.690 11.5, RFC 5280 4.1", 14, "\"critical\" left out when it is false",
	  check_says_false },
	{ "ext-unknown-critical", LINT_ERROR, ALL, "RFC 5280 4.2, BR 7.1.2.11.5", 2,
	  "no critical extension that nobody knows", check_unknown_critical },
	{ "ext-criticality", LINT_ERROR, ALL, "RFC 5280 4.2, BR 7.1.2.7.6, RFC 6962 3.1", 2,
	  "each extension as critical as its definition says", check_criticality },
	{ "ext-others", LINT_NOTICE, PUBLIC_LEAVES, "BR 7.1.2.7.6, 7.1.2.11.5", 2,
	  "no extensions beyond those of the profile", check_others },
	{ "leaf", LINT_ERROR, ALL, "BR 7.1.2.7.8", 2, "no CA where a leaf is wanted", check_leaf },
	{ "basic-constraints-leaf", LINT_ERROR, LEAVES, "BR 7.1.2.7.8, RFC 5280 4.2.1.9", 2,
	  "basicConstraints of a leaf that are 30 00, or none", check_leaf_constraints },
	{ "ca-critical", LINT_ERROR, FOR_CA | IN_PRIVATE, "RFC 5280 4.2.1.9", 2, "critical basicConstraints in a CA",
	  check_ca_critical },
	{ "ca-key-usage", LINT_ERROR, CAS, "RFC 5280 4.2.1.3", 2, "keyCertSign in a CA", check_ca_usage },
	{ "ca-key-id", LINT_ERROR, CAS, "RFC 5280 4.2.1.2", 2, "subjectKeyIdentifier in a CA", check_ca_key_id },
	{ "key-usage-ca", LINT_ERROR, LEAVES, "RFC 5280 4.2.1.9, BR 7.1.2.7.11", 2,
	  "neither keyCertSign nor cRLSign in a leaf", check_no_ca_usage },
	{ "key-usage-bits", LINT_ERROR, ALL, "RFC 5280 4.2.1.3, X.690 11.2.2", 2,
	  "some known bits, written in the shortest way", check_usage_bits },
	{ "key-usage-encipher", LINT_ERROR, ALL, "RFC 5480 3, RFC 8410 5", 2, "no enciphering with keys that cannot",
	  check_usage_encipher },
	{ "key-usage", LINT_ERROR, PUBLIC_LEAVES, "BR 7.1.2.7.6", 2, "a keyUsage", check_usage_there },
	{ "key-usage-public", LINT_ERROR, PUBLIC_LEAVES, "BR 7.1.2.7.11", 2,
	  "RSA: digitalSignature, keyEncipherment or both; EC: digitalSignature", check_usage_public },
	{ "key-usage-discouraged", LINT_NOTICE, PUBLIC_LEAVES, "BR 7.1.2.7.11", 2,
	  "no dataEncipherment of RSA keys, no keyAgreement of EC keys", check_usage_discouraged },
	{ "ext-key-usage-twice", LINT_ERROR, ALL, "RFC 5280 4.2.1.12", 2, "no usage twice", check_eku_repeats },
	{ "ext-key-usage-any", LINT_ERROR, LEAVES, "BR 7.1.2.7.10", 2, "no anyExtendedKeyUsage in a leaf",
	  check_eku_any },
	{ "ext-key-usage-server", LINT_ERROR, PUBLIC_LEAVES, "BR 7.1.2.7.10", 2, "serverAuth", check_eku_server },
	{ "ext-key-usage-client", LINT_NOTICE, PUBLIC_LEAVES, "BR 7.1.2.7.10, root programs", 2, "no clientAuth",
	  check_eku_client },
	{ "ext-key-usage-others", LINT_ERROR, PUBLIC_LEAVES, "BR 7.1.2.7.10", 2, "no other usages", check_eku_others },
	{ "authority-key-id", LINT_ERROR, ALL, "RFC 5280 4.2.1.1, BR 7.1.2.7.6", 2,
	  "authorityKeyIdentifier with a keyIdentifier, except in roots", check_aki_there },
	{ "authority-key-id-alone", LINT_ERROR, FOR_LEAF | FOR_CA | IN_PUBLIC, "BR 7.1.2.11.1", 2,
	  "the keyIdentifier only", check_aki_alone },
	{ "authority-key-id-issuer", LINT_ERROR, ALL | WITH_ISSUER, "RFC 5280 4.2.1.1", 2,
	  "the issuer's subjectKeyIdentifier in it", check_aki_of_issuer },
	{ "subject-key-id", LINT_NOTICE, PUBLIC_LEAVES, "BR 7.1.2.11.4", 2, "no subjectKeyIdentifier in a leaf",
	  check_no_ski },
	{ "info-access", LINT_NOTICE, PUBLIC_LEAVES, "BR 7.1.2.7.6", 2, "authorityInfoAccess", check_aia_there },
	{ "info-access-http", LINT_ERROR, PUBLIC_LEAVES, "BR 7.1.2.7.7", 2, "caIssuers and ocsp only, each an http URL",
	  check_aia_http },
	{ "crl-points", LINT_ERROR, PUBLIC_LEAVES, "BR 7.1.2.11.2", 2,
	  "CRLDistributionPoints, unless it lasts 7 days at most or has an OCSP URL", check_crl_there },
	{ "crl-points-form", LINT_ERROR, PUBLIC_LEAVES, "BR 7.1.2.11.2", 2,
	  "one point, one http URL, no reasons, no cRLIssuer", check_crl_form },
	{ "policies-twice", LINT_ERROR, ALL, "RFC 5280 4.2.1.4", 2, "no policy twice", check_policy_repeats },
	{ "policies-reserved", LINT_ERROR, PUBLIC_LEAVES, "BR 7.1.2.7.9, 7.1.6.1", 2, "exactly one reserved policy",
	  check_policy_reserved },
	{ "policies-first", LINT_NOTICE, PUBLIC_LEAVES, "BR 7.1.2.7.9", 2, "the reserved policy first",
	  check_policy_first },
	{ "policies-any", LINT_ERROR, PUBLIC_LEAVES, "BR 7.1.2.7.9", 2, "no anyPolicy", check_policy_any },
	{ "policies-qualifiers", LINT_NOTICE, PUBLIC_LEAVES, "BR 7.1.2.7.9", 2, "no qualifiers",
	  check_policy_qualifiers },
	{ "name-constraints", LINT_ERROR, LEAVES, "RFC 5280 4.2.1.10, BR 7.1.2.7.6", 2, "no nameConstraints in a leaf",
	  check_no_name_constraints },
	{ "precertificate", LINT_ERROR, LEAVES, "BR 7.1.2.9, RFC 6962 3.1", 6, "the poison or timestamps, not both",
	  check_ct },
};
const size_t lint_rules_ext_count = ARRAY_LEN(lint_rules_ext);

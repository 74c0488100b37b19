/* SPDX-License-Identifier: Apache-2.0
 *
 * lint_subject.c: rules about the subject (BR 7.1.4, RFC 5280 4.1.2.6): which attributes, in which strings, and that
 * its common name says nothing that the SAN does not.
 */
#include "pki/lint_look.h"

#define BYTES(lit)                     \
	{                              \
		(lit), sizeof(lit) - 1 \
	}
#define OID_POLICY_DV STR("\x67\x81\x0c\x01\x02\x01")
#define OID_UNIT STR("\x55\x04\x0b")
#define OID_POLICY_OV STR("\x67\x81\x0c\x01\x02\x02")

static size_t count_attr(const struct look *l, struct str oid)
{
	size_t n = 0;
	for (size_t i = 0; i < l->attr_count; i++)
		n += str_eq(l->attrs[i].oid, oid) ? 1 : 0;
	return n;
}

static bool has_policy(const struct look *l, struct str oid)
{
	for (size_t i = 0; i < l->policy_count; i++)
		if (str_eq(l->policies[i].oid, oid))
			return true;
	return false;
}

/* RFC 5280 A.1: the most characters that each attribute may have, and its string types. */
static const struct attr_form {
	struct str oid;
	const char *name;
	size_t max;
	bool printable; /* PrintableString only */
} forms[] = {
	{ BYTES("\x55\x04\x06"), "countryName", 2, true },
	{ BYTES("\x55\x04\x08"), "stateOrProvinceName", 128, false },
	{ BYTES("\x55\x04\x07"), "localityName", 128, false },
	{ BYTES("\x55\x04\x0a"), "organizationName", 64, false },
	{ BYTES("\x55\x04\x0b"), "organizationalUnitName", 64, false },
	{ BYTES("\x55\x04\x03"), "commonName", 64, false },
	{ BYTES("\x55\x04\x05"), "serialNumber", 64, true },
};

static size_t count_characters(const struct look_attr *a)
{
	size_t n = 0;
	for (size_t i = 0; i < a->value.n; i++)
		n += a->tag != DER_UTF8_STRING || ((uint8_t)a->value.p[i] & 0xc0) != 0x80 ? 1 : 0;
	return n;
}

/* X.680 41.4 */
static bool is_printable(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			    (c != '\0' && strchr(" '()+,-./:=?", c) != NULL);
		if (!good)
			return false;
	}
	return true;
}

static fallible check_strings(const struct look *l, struct err *err)
{
	for (size_t i = 0; i < l->attr_count; i++) {
		const struct look_attr *a = &l->attrs[i];
		for (size_t f = 0; f < ARRAY_LEN(forms); f++) {
			if (!str_eq(forms[f].oid, a->oid))
				continue;
			bool printable = a->tag == DER_PRINTABLE_STRING;
			if (!printable && (forms[f].printable || a->tag != DER_UTF8_STRING))
				FIND(err, "found %s as a string of tag 0x%02x, wanted %sPrintableString", forms[f].name,
				     a->tag, forms[f].printable ? "" : "UTF8String or ");
			if (printable && !is_printable(a->value))
				FIND(err, "found %s with characters that a PrintableString does not have",
				     forms[f].name);
			if (count_characters(a) > forms[f].max || a->value.n == 0)
				FIND(err, "found %s of %zu characters, wanted 1 to %zu", forms[f].name,
				     count_characters(a), forms[f].max);
		}
	}
	return OK;
}

/* "-", "." and blanks alone, "N/A": that there is nothing to say is said by leaving it out. */
static fallible check_metadata(const struct look *l, struct err *err)
{
	for (size_t i = 0; i < l->attr_count; i++) {
		struct str v = l->attrs[i].value;
		size_t blank = 0;
		while (blank < v.n && v.p[blank] != '\0' && strchr(" -.", v.p[blank]) != NULL)
			blank++;
		if (v.n > 0 && blank == v.n)
			FIND(err, "found the attribute %.*s with \"%.*s\", which says nothing",
			     STR_FMT(look_oid_text(l->mem, l->attrs[i].oid)), STR_FMT(v));
	}
	return OK;
}

static fallible check_rdns(const struct look *l, struct err *err)
{
	if (l->attr_count != l->rdn_count)
		FIND(err, "found %zu attributes in %zu sets, wanted one in each", l->attr_count, l->rdn_count);
	return OK;
}

/* domainComponent and streetAddress may repeat. */
static fallible check_repeats(const struct look *l, struct err *err)
{
	for (size_t f = 0; f < ARRAY_LEN(forms); f++)
		if (count_attr(l, forms[f].oid) > 1)
			FIND(err, "found %s %zu times, wanted one", forms[f].name, count_attr(l, forms[f].oid));
	return OK;
}

static fallible check_unit(const struct look *l, struct err *err)
{
	if (count_attr(l, OID_UNIT) > 0)
		FIND(err, "found an organizationalUnitName, wanted none");
	return OK;
}

static fallible check_domain_validated(const struct look *l, struct err *err)
{
	if (!has_policy(l, OID_POLICY_DV))
		return OK;
	for (size_t i = 0; i < l->attr_count; i++) {
		struct str oid = l->attrs[i].oid;
		if (!str_eq(oid, OID_COMMON_NAME) && !str_eq(oid, OID_COUNTRY) && !str_eq(oid, OID_UNIT))
			FIND(err, "found the attribute %.*s, wanted at most countryName and commonName",
			     STR_FMT(look_oid_text(l->mem, oid)));
	}
	return OK;
}

static fallible check_organization_validated(const struct look *l, struct err *err)
{
	if (!has_policy(l, OID_POLICY_OV))
		return OK;
	if (count_attr(l, OID_ORGANIZATION) == 0 || count_attr(l, OID_COUNTRY) == 0)
		FIND(err, "found no organizationName or no countryName under the policy that is about them");
	if (count_attr(l, OID_LOCALITY) == 0 && count_attr(l, OID_STATE) == 0)
		FIND(err, "found neither localityName nor stateOrProvinceName, wanted one");
	return OK;
}

/* As a URL shows it: RFC 5952 for IPv6. */
static bool is_san_value(const struct look *l, struct str text)
{
	for (size_t i = 0; i < l->san_count; i++) {
		const struct look_name *n = &l->san[i];
		struct addr a = { .family = n->value.n == 4 ? AF_INET : AF_INET6 };
		char shown[ADDR_TEXT_MAX];
		if (n->tag == TAG_DNS_NAME && str_eq(n->value, text))
			return true;
		if (n->tag != TAG_IP_ADDRESS || (n->value.n != 4 && n->value.n != 16))
			continue;
		memcpy(a.b, n->value.p, n->value.n);
		addr_show(&a, shown);
		if (str_eq(str_z(shown), text))
			return true;
	}
	return false;
}

/* Certificates that are not for servers may be somebody's, who has a name. */
static fallible check_common_name(const struct look *l, struct err *err)
{
	if (!look_is_server(l))
		return OK;
	for (size_t i = 0; i < l->attr_count; i++)
		if (str_eq(l->attrs[i].oid, OID_COMMON_NAME) && !is_san_value(l, l->attrs[i].value))
			FIND(err, "found commonName \"%.*s\", which is none of the names in the SAN",
			     STR_FMT(str_sub(l->attrs[i].value, 0, 255)));
	return OK;
}

/* When the profile says so, somebody has decided it. */
static fallible check_no_common_name(const struct look *l, struct err *err)
{
	if (l->asked != NULL && l->asked->t->common_name)
		return OK;
	if (count_attr(l, OID_COMMON_NAME) > 0)
		FIND(err, "found a commonName, which is not recommended");
	return OK;
}

static fallible check_ca_subject(const struct look *l, struct err *err)
{
	if (l->subject_good && l->attr_count == 0)
		FIND(err, "found a CA with an empty subject");
	return OK;
}

const struct lint_rule lint_rules_subject[] = {
	{ "subject-strings", LINT_ERROR, ALL, "RFC 5280 4.1.2.4, A.1; BR 7.1.4.2", 14,
	  "attributes in PrintableString or UTF8String (countryName: PrintableString of two letters), not longer than "
	  "A.1 allows",
	  check_strings },
	{ "subject-says-nothing", LINT_ERROR, PUBLIC_LEAVES, "BR 7.1.4.2", 2,
	  "no attributes of dots, hyphens and blanks only", check_metadata },
	{ "subject-sets", LINT_ERROR, PUBLIC_LEAVES, "BR 7.1.4.1", 2, "one attribute in each RelativeDistinguishedName",
	  check_rdns },
	{ "subject-repeats", LINT_ERROR, PUBLIC_LEAVES, "BR 7.1.4.1", 2, "no attribute twice", check_repeats },
	{ "subject-unit", LINT_ERROR, PUBLIC_LEAVES, "BR 7.1.2.7", 2, "no organizationalUnitName", check_unit },
	{ "subject-dv", LINT_ERROR, PUBLIC_LEAVES, "BR 7.1.2.7.2", 2,
	  "under the policy for domain validation no attributes but countryName and commonName",
	  check_domain_validated },
	{ "subject-ov", LINT_ERROR, PUBLIC_LEAVES, "BR 7.1.2.7.4", 2,
	  "under the policy for organizations their name, country, and place or state", check_organization_validated },
	{ "common-name-in-san", LINT_ERROR, LEAVES, "BR 7.1.4.3", 2,
	  "in a server's certificate a commonName that is one of the SAN's values, to the letter", check_common_name },
	{ "common-name", LINT_NOTICE, PUBLIC_LEAVES, "BR 7.1.4.3", 2, "no commonName, unless the profile asks for it",
	  check_no_common_name },
	{ "ca-subject", LINT_ERROR, CAS, "RFC 5280 4.1.2.6", 14, "a subject in a CA's certificate", check_ca_subject },
};
const size_t lint_rules_subject_count = ARRAY_LEN(lint_rules_subject);

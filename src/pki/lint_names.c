/* SPDX-License-Identifier: Apache-2.0
 *
 * lint_names.c: rules about the names in the SAN (RFC 5280 4.2.1.6, BR 7.1.2.7.12; RULES R3). A name has its flaws found
 * once, as bits; each rule is about one of them.
 */
#include "pki/lint_look.h"

enum flaw {
	FLAW_IA5 = 1 << 0,
	FLAW_SYNTAX = 1 << 1,
	FLAW_CASE = 1 << 2,
	FLAW_UNDERSCORE = 1 << 3,
	FLAW_DOT = 1 << 4,
	FLAW_WILDCARD = 1 << 5,
	FLAW_WIDE = 1 << 6,
	FLAW_ALABEL = 1 << 7,
	FLAW_ADDRESS = 1 << 8,
	FLAW_INTERNAL = 1 << 9,
	FLAW_ARPA = 1 << 10,
};

#define LABEL_MAX 63

static bool is_ia5(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((uint8_t)s.p[i] > 0x7f)
			return false;
	return true;
}

/* "xn--" and the reserved "??--": the A-label must be one (RFC 5890 2.3.1). */
static bool is_bad_alabel(struct str label)
{
	AUTO(arena_done) struct arena mem = { 0 };
	if (label.n < 4 || label.p[2] != '-' || label.p[3] != '-')
		return false;
	struct str lower = name_lower(&mem, label);
	return FAILED(name_check(str_fmt(&mem, "%.*s.example.com", STR_FMT(lower)), false, NULL));
}

static unsigned label_flaws(struct str label)
{
	unsigned flaws = 0;
	if (label.n == 0 || label.n > LABEL_MAX || label.p[0] == '-' || label.p[label.n - 1] == '-')
		return FLAW_SYNTAX;
	for (size_t i = 0; i < label.n; i++) {
		char c = label.p[i];
		if (c >= 'A' && c <= 'Z')
			flaws |= FLAW_CASE;
		else if (c == '_')
			flaws |= FLAW_UNDERSCORE;
		else if (c == '*')
			flaws |= FLAW_WILDCARD;
		else if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-')
			flaws |= FLAW_SYNTAX;
	}
	if ((flaws & ~(unsigned)FLAW_CASE) == 0 && is_bad_alabel(label))
		flaws |= FLAW_ALABEL;
	return flaws;
}

static bool is_number(struct str label)
{
	for (size_t i = 0; i < label.n; i++)
		if (label.p[i] < '0' || label.p[i] > '9')
			return false;
	return label.n > 0;
}

/* Ends that are in nobody's root zone, as far as that is settled (RFC 6761, 6762, 7686, 9476; ICANN's resolutions). */
static bool is_internal(struct str last)
{
	static const char *const ends[] = { "local",    "localhost", "invalid", "test", "example", "onion",      "alt",
					    "internal", "corp",      "home",    "mail", "lan",     "localdomain" };
	for (size_t i = 0; i < ARRAY_LEN(ends); i++)
		if (str_eq_nocase(last, str_z(ends[i])))
			return true;
	return false;
}

/* Below the base of this wildcard strangers register their names. A libpsl without a list knows none: then what the
 * signer's own list says, before, is all. */
static bool is_suffix(struct str base, size_t labels)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct suffixes *list = NULL;
	if (labels < 2)
		return true;
	if (FAILED(suffixes_open(NULL, &list, NULL)))
		return false;
	bool is = suffixes_have(list, name_lower(&mem, base));
	suffixes_free(list);
	return is;
}

unsigned look_dns_flaws(struct str name)
{
	unsigned flaws = 0;
	size_t labels = 0;
	struct str label = STR_NONE, base = name;
	bool wildcard = str_skip(&base, STR("*."));
	if (!is_ia5(name))
		return FLAW_IA5;
	if (base.n > 0 && base.p[base.n - 1] == '.') {
		flaws |= FLAW_DOT;
		base.n--;
	}
	if (base.n == 0 || name.n > NAME_MAX_LEN)
		return flaws | FLAW_SYNTAX;
	for (size_t at = 0; at <= base.n; at += label.n + 1, labels++) {
		label = str_sub(base, at, str_find(base, '.', at));
		flaws |= label_flaws(label);
	}
	if (is_number(label))
		flaws |= FLAW_ADDRESS;
	else if (str_eq_nocase(label, STR("arpa")))
		flaws |= FLAW_ARPA;
	else if (wildcard && (flaws & FLAW_SYNTAX) == 0 && is_suffix(base, labels))
		flaws |= FLAW_WIDE;
	else if (labels < 2 || is_internal(label))
		flaws |= FLAW_INTERNAL;
	return flaws;
}

static fallible find_flaw(const struct look *l, enum flaw flaw, const char *words, struct err *err)
{
	for (size_t i = 0; i < l->san_count; i++)
		if ((l->san[i].flaws & (unsigned)flaw) != 0)
			FIND(err, "found dNSName \"%.*s\", %s", STR_FMT(str_sub(l->san[i].value, 0, 255)), words);
	return OK;
}

static fallible check_syntax(const struct look *l, struct err *err)
{
	return find_flaw(l, FLAW_SYNTAX, "wanted labels of 1 to 63 letters, digits and inner hyphens, 253 bytes in all",
			 err);
}

static fallible check_case(const struct look *l, struct err *err)
{
	return find_flaw(l, FLAW_CASE, "wanted lower case", err);
}

static fallible check_underscore(const struct look *l, struct err *err)
{
	return find_flaw(l, FLAW_UNDERSCORE, "wanted no underscore", err);
}

static fallible check_dot(const struct look *l, struct err *err)
{
	return find_flaw(l, FLAW_DOT, "wanted no dot at the end", err);
}

static fallible check_wildcard(const struct look *l, struct err *err)
{
	return find_flaw(l, FLAW_WILDCARD, "wanted \"*\" as the whole first label or nowhere", err);
}

static fallible check_wide(const struct look *l, struct err *err)
{
	return find_flaw(l, FLAW_WIDE, "a wildcard of a whole top-level domain or other public suffix", err);
}

static fallible check_alabel(const struct look *l, struct err *err)
{
	return find_flaw(l, FLAW_ALABEL, "with hyphens in places 3 and 4 of a label that is no A-label", err);
}

static fallible check_no_address(const struct look *l, struct err *err)
{
	return find_flaw(l, FLAW_ADDRESS, "which is an address or part of one", err);
}

static fallible check_internal(const struct look *l, struct err *err)
{
	return find_flaw(l, FLAW_INTERNAL, "which is no name of the public DNS", err);
}

static fallible check_arpa(const struct look *l, struct err *err)
{
	return find_flaw(l, FLAW_ARPA, "which is for reverse look-ups and infrastructure", err);
}

/* dNSName, rfc822Name and URI are IA5Strings. */
static fallible check_ia5(const struct look *l, struct err *err)
{
	for (size_t i = 0; i < l->san_count; i++) {
		const struct look_name *n = &l->san[i];
		bool text = n->tag == TAG_DNS_NAME || n->tag == TAG_RFC822_NAME || n->tag == TAG_URI;
		if (text && !is_ia5(n->value))
			FIND(err, "found a name with bytes that an IA5String does not have");
	}
	return OK;
}

static fallible check_there(const struct look *l, struct err *err)
{
	bool needed = look_is_server(l) || str_eq(l->subject, STR("\x30\x00"));
	if (needed && l->known[X_SAN] == NULL)
		FIND(err, "found no subjectAltName");
	return OK;
}

static fallible check_critical(const struct look *l, struct err *err)
{
	const struct look_ext *e = l->known[X_SAN];
	if (e != NULL && str_eq(l->subject, STR("\x30\x00")) && !e->critical)
		FIND(err, "found a SAN that is not critical under an empty subject");
	return OK;
}

static fallible check_not_critical(const struct look *l, struct err *err)
{
	const struct look_ext *e = l->known[X_SAN];
	if (e != NULL && !str_eq(l->subject, STR("\x30\x00")) && e->critical)
		FIND(err, "found a critical SAN beside a subject");
	return OK;
}

static fallible check_kinds(const struct look *l, struct err *err)
{
	for (size_t i = 0; i < l->san_count; i++)
		if (l->san[i].tag != TAG_DNS_NAME && l->san[i].tag != TAG_IP_ADDRESS)
			FIND(err, "found a name of tag 0x%02x, wanted dNSName and iPAddress only", l->san[i].tag);
	return OK;
}

static fallible check_repeats(const struct look *l, struct err *err)
{
	for (size_t i = 0; i < l->san_count; i++)
		for (size_t j = i + 1; j < l->san_count; j++) {
			const struct look_name *a = &l->san[i], *b = &l->san[j];
			bool same =
				a->tag == TAG_DNS_NAME ? str_eq_nocase(a->value, b->value) : str_eq(a->value, b->value);
			if (a->tag == b->tag && same)
				FIND(err, "found name %zu again as name %zu", i + 1, j + 1);
		}
	return OK;
}

static bool read_addr(const struct look_name *n, struct addr *ret)
{
	struct addr a = { .family = n->value.n == 4 ? AF_INET : AF_INET6 };
	if (n->tag != TAG_IP_ADDRESS || (n->value.n != 4 && n->value.n != 16))
		return false;
	memcpy(a.b, n->value.p, n->value.n);
	*ret = a;
	return true;
}

static fallible check_address_length(const struct look *l, struct err *err)
{
	for (size_t i = 0; i < l->san_count; i++)
		if (l->san[i].tag == TAG_IP_ADDRESS && l->san[i].value.n != 4 && l->san[i].value.n != 16)
			FIND(err, "found an iPAddress of %zu bytes, wanted 4 or 16", l->san[i].value.n);
	return OK;
}

static fallible check_address_mapped(const struct look *l, struct err *err)
{
	struct addr a;
	for (size_t i = 0; i < l->san_count; i++)
		if (read_addr(&l->san[i], &a) && addr_is_mapped(&a))
			FIND(err, "found an IPv4-mapped address, wanted the IPv4 address itself");
	return OK;
}

static fallible check_address_reserved(const struct look *l, struct err *err)
{
	struct addr a;
	char text[ADDR_TEXT_MAX];
	for (size_t i = 0; i < l->san_count; i++) {
		if (!read_addr(&l->san[i], &a) || addr_is_mapped(&a) || addr_special(&a) == NULL)
			continue;
		addr_show(&a, text);
		FIND(err, "found %s, which is not for the public: %s", text, addr_special(&a));
	}
	return OK;
}

static fallible check_emails(const struct look *l, struct err *err)
{
	for (size_t i = 0; i < l->san_count; i++)
		if (l->san[i].tag == TAG_RFC822_NAME && is_ia5(l->san[i].value))
			TRY(cert_email_check(l->san[i].value, err));
	return OK;
}

const struct lint_rule lint_rules_names[] = {
	{ "san", LINT_ERROR, LEAVES, "BR 7.1.2.7.12, RFC 5280 4.1.2.6", 2,
	  "a SAN for servers, and below an empty subject", check_there },
	{ "san-critical", LINT_ERROR, LEAVES, "RFC 5280 4.1.2.6, BR 7.1.2.7.12", 2,
	  "a critical SAN when the subject is empty", check_critical },
	{ "san-not-critical", LINT_NOTICE, PUBLIC_LEAVES, "BR 7.1.2.7.12", 2,
	  "a SAN that is not critical beside a subject", check_not_critical },
	{ "san-kinds", LINT_ERROR, PUBLIC_LEAVES, "BR 7.1.2.7.12", 2, "dNSName and iPAddress only", check_kinds },
	{ "san-twice", LINT_ERROR, LEAVES, "BR 7.1.2.7.12", 3, "no name twice", check_repeats },
	{ "san-ia5", LINT_ERROR, LEAVES, "RFC 5280 4.2.1.6", 14, "names in IA5String", check_ia5 },
	{ "dns-syntax", LINT_ERROR, LEAVES, "RFC 1034 3.5, BR 7.1.2.7.12", 3,
	  "names of LDH labels, none empty or too long", check_syntax },
	{ "dns-case", LINT_NOTICE, LEAVES, "RFC 4343", 3, "lower case, the one spelling that compares as bytes",
	  check_case },
	{ "dns-underscore", LINT_ERROR, LEAVES, "BR 7.1.2.7.12", 3, "no underscore", check_underscore },
	{ "dns-trailing-dot", LINT_ERROR, LEAVES, "RFC 5280 4.2.1.6, RFC 1034 3.5", 3, "no dot at the end", check_dot },
	{ "dns-wildcard", LINT_ERROR, LEAVES, "RFC 6125 6.4.3, BR 1.6.1", 3, "\"*\" as the whole first label only",
	  check_wildcard },
	{ "dns-wildcard-wide", LINT_ERROR, PUBLIC_LEAVES, "BR 3.2.2.6", 3, "no wildcard of a public suffix",
	  check_wide },
	{ "dns-a-label", LINT_ERROR, LEAVES, "RFC 5890 2.3.1, BR 7.1.2.7.12", 3,
	  "labels with hyphens in places 3 and 4 are IDNA2008 A-labels", check_alabel },
	{ "dns-address", LINT_ERROR, LEAVES, "RFC 5280 4.2.1.6", 3, "no address as a dNSName", check_no_address },
	{ "dns-internal", LINT_ERROR, PUBLIC_LEAVES, "BR 4.2.2", 3, "no names outside the public DNS", check_internal },
	{ "dns-arpa", LINT_ERROR, PUBLIC_LEAVES, "BR 7.1.2.7.12", 3, "nothing below .arpa", check_arpa },
	{ "ip-length", LINT_ERROR, LEAVES, "RFC 5280 4.2.1.6", 3, "addresses of 4 or 16 bytes", check_address_length },
	{ "ip-mapped", LINT_ERROR, LEAVES, "RFC 8738 3", 3, "no IPv4-mapped addresses", check_address_mapped },
	{ "ip-reserved", LINT_ERROR, PUBLIC_LEAVES, "BR 7.1.2.7.12, 4.2.2", 3,
	  "no addresses of the IANA special registries", check_address_reserved },
	{ "email-syntax", LINT_ERROR, LEAVES, "RFC 5280 4.2.1.6", 3, "rfc822Names of the plain form local@domain",
	  check_emails },
};
const size_t lint_rules_names_count = ARRAY_LEN(lint_rules_names);

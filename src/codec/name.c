/* SPDX-License-Identifier: Apache-2.0
 *
 * name.c: which text is a DNS name that a certificate may carry (RFC 5280 4.2.1.6, CA/Browser Forum BR 7.1.4.2.1),
 * and which names a realm's pattern covers. Syntax is our own; libidn2 only judges what follows "xn--".
 */
#include "codec/codec.h"

#include <idn2.h>

#define LABEL_MAX 63
#define LABELS_MAX 10 /* below the public CAs' usual bound; each label is a CAA look-up while climbing */

/* Never issued. Private top-level names (.internal, .corp, .test ...) are not here: whether they exist is for the
 * realm's patterns to say, and nothing is issued that no pattern covers. */
static const struct {
	const char *suffix;
	const char *why;
} reserved[] = {
	{ "local", "is for multicast DNS (RFC 6762)" },
	{ "localhost", "always means the host itself (RFC 6761)" },
	{ "invalid", "never exists (RFC 6761)" },
	{ "onion", "does not live in the DNS (RFC 7686)" },
	{ "alt", "does not live in the DNS (RFC 9476)" },
	{ "arpa", "is for reverse and infrastructure names (RFC 3172)" },
};

struct str name_lower(struct arena *mem, struct str name)
{
	char *p = (char *)arena_alloc(mem, name.n);
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];
		p[i] = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
	}
	return (struct str){ p, name.n };
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* "12", "0x1f", "0x": what URL parsers and resolvers take for (a part of) an address. */
static bool looks_numeric(struct str label)
{
	bool hex = str_skip(&label, STR("0x"));
	for (size_t i = 0; i < label.n; i++) {
		char c = label.p[i];
		if (!is_digit(c) && !(hex && c >= 'a' && c <= 'f'))
			return false;
	}
	return true;
}

static fallible check_alabel(struct str label, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	const char *z = str_dupz_raw(&mem, label); /* LDH by now, so there is no NUL */
	uint8_t *back = NULL;
	/* Without TR46 mapping this is IDNA2008 as RFC 5891 5.4 has it: disallowed characters, NFC, bidi and context
	 * rules, and the label must be what its own U-label encodes to. */
	int rc = idn2_lookup_u8((const uint8_t *)z, &back, IDN2_ALABEL_ROUNDTRIP | IDN2_NO_TR46);
	bool same = rc == IDN2_OK && str_eq(str_z((const char *)back), label);
	idn2_free(back);
	if (rc == IDN2_MALLOC)
		FAIL(err, ERR_INTERNAL, "libidn2: out of memory");
	if (!same)
		FAIL(err, ERR_MALFORMED, "label \"%s\" is not an IDNA2008 A-label: %s", z,
		     rc == IDN2_OK ? "it encodes back to something else" : idn2_strerror(rc));
	return OK;
}

static fallible check_bytes(struct str label, struct err *err)
{
	for (size_t i = 0; i < label.n; i++) {
		char c = label.p[i];
		if ((c >= 'a' && c <= 'z') || is_digit(c) || c == '-')
			continue;
		if (c >= 'A' && c <= 'Z')
			FAIL(err, ERR_MALFORMED, "name has the upper case letter \"%c\", lower case is wanted", c);
		if (c == '_')
			FAIL(err, ERR_MALFORMED, "name has an underscore");
		if (c == '*')
			FAIL(err, ERR_MALFORMED, "name has a \"*\" that is not the whole first label");
		FAIL(err, ERR_MALFORMED, "name has the byte 0x%02x, letters, digits, hyphens and dots are wanted",
		     (unsigned)(unsigned char)c);
	}
	return OK;
}

static fallible check_label(struct str label, struct err *err)
{
	if (label.n == 0)
		FAIL(err, ERR_MALFORMED, "name has an empty label (two dots, or a dot in front)");
	if (label.n > LABEL_MAX)
		FAIL(err, ERR_MALFORMED, "name has a label of %zu bytes, at most %d are wanted", label.n, LABEL_MAX);
	TRY(check_bytes(label, err));
	if (label.p[0] == '-' || label.p[label.n - 1] == '-')
		FAIL(err, ERR_MALFORMED, "label \"%.*s\" begins or ends with a hyphen", STR_FMT(label));
	if (label.n < 4 || label.p[2] != '-' || label.p[3] != '-')
		return OK;
	if (!str_starts(label, STR("xn--"))) /* RFC 5890 2.3.1: reserved LDH labels */
		FAIL(err, ERR_MALFORMED, "label \"%.*s\" has hyphens in places 3 and 4 and is no A-label",
		     STR_FMT(label));
	return check_alabel(label, err);
}

/* Labels, lengths and bytes of a name that has no "*." any more. */
static fallible check_syntax(struct str base, size_t *ret_labels, struct err *err)
{
	if (base.n == 0)
		FAIL(err, ERR_MALFORMED, "name is empty");
	if (base.p[base.n - 1] == '.')
		FAIL(err, ERR_MALFORMED, "name ends with a dot");
	size_t labels = 0;
	struct str label = STR_NONE;
	for (size_t at = 0; at <= base.n; at += label.n + 1) {
		label = str_sub(base, at, str_find(base, '.', at));
		TRY(check_label(label, err));
		labels++;
	}
	if (looks_numeric(label))
		FAIL(err, ERR_MALFORMED, "last label \"%.*s\" is a number: this is an address or part of one",
		     STR_FMT(label));
	*ret_labels = labels;
	return OK;
}

/* name is suffix, or ends with "." and suffix. */
static bool at_or_below(struct str name, struct str suffix)
{
	return str_ends(name, suffix) && (name.n == suffix.n || name.p[name.n - suffix.n - 1] == '.');
}

fallible name_check(struct str name, bool wildcard, struct err *err)
{
	if (name.n > NAME_MAX_LEN)
		FAIL(err, ERR_MALFORMED, "name has %zu bytes, at most %d are wanted", name.n, NAME_MAX_LEN);
	struct str base = name;
	if (str_skip(&base, STR("*.")) && !wildcard)
		FAIL(err, ERR_MALFORMED, "a wildcard name is not wanted here");
	size_t labels = 0;
	TRY(check_syntax(base, &labels, err));
	for (size_t i = 0; i < ARRAY_LEN(reserved); i++) {
		if (at_or_below(base, str_z(reserved[i].suffix)))
			FAIL(err, ERR_REJECTED_IDENTIFIER, "\"%.*s\" is never issued: .%s %s", STR_FMT(name),
			     reserved[i].suffix, reserved[i].why);
	}
	if (labels < 2)
		FAIL(err, ERR_REJECTED_IDENTIFIER, "\"%.*s\" is never issued: it needs at least two labels",
		     STR_FMT(name));
	if (labels > LABELS_MAX)
		FAIL(err, ERR_REJECTED_IDENTIFIER, "\"%.*s\" is never issued: it has %zu labels, at most %d are wanted",
		     STR_FMT(name), labels, LABELS_MAX);
	return OK;
}

bool name_matches(struct str pattern, struct str name)
{
	if (str_eq(pattern, STR("*")))
		return name.n > 0;
	if (!str_skip(&pattern, STR("*.")))
		return str_eq(pattern, name);
	if (str_skip(&name, STR("*.")))
		return at_or_below(name, pattern);
	return name.n > pattern.n && at_or_below(name, pattern);
}

fallible name_pattern_check(struct str pattern, struct err *err)
{
	if (str_eq(pattern, STR("*")))
		return OK;
	if (pattern.n > NAME_MAX_LEN)
		FAIL(err, ERR_MALFORMED, "pattern has %zu bytes, at most %d are wanted", pattern.n, NAME_MAX_LEN);
	(void)str_skip(&pattern, STR("*."));
	size_t labels = 0; /* one is fine: "*.corp" */
	return check_syntax(pattern, &labels, err);
}

bool name_is_below(struct str name, struct str ancestor)
{
	return name.n > ancestor.n + 1 && str_ends(name, ancestor) && name.p[name.n - ancestor.n - 1] == '.';
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * subject.c: who the subscriber is, as far as a certificate says so: organisation fields of the subject (RFC 5280
 * 4.1.2.6, BR 7.1.4.2) and e-mail addresses of the SAN (RFC 5280 4.2.1.6). What they may look like, and how they are
 * written.
 */
#include "pki/internal.h"

#define EMAIL_LOCAL_MAX 64 /* RFC 5321 4.5.3.1.1 */

/* X.501 counts characters, and a control character is none that a name has. */
static fallible check_text(const char *what, struct str value, size_t max, struct err *err)
{
	size_t chars = 0;
	for (size_t at = 0, n; at < value.n; at += n, chars++) {
		n = utf8_len(value, at);
		if (n == 0)
			FAIL(err, ERR_MALFORMED, "%s is not UTF-8", what);
		if ((uint8_t)value.p[at] < 0x20 || value.p[at] == 0x7f)
			FAIL(err, ERR_MALFORMED, "%s has a control character", what);
	}
	if (chars > max)
		FAIL(err, ERR_MALFORMED, "%s of %zu characters, at most %zu fit", what, chars, max);
	if (value.n > 0 && (value.p[0] == ' ' || value.p[value.n - 1] == ' '))
		FAIL(err, ERR_MALFORMED, "%s starts or ends with a blank", what);
	return OK;
}

static bool is_upper(char c)
{
	return c >= 'A' && c <= 'Z';
}

fallible cert_subject_check(const struct cert_subject *s, struct err *err)
{
	/* RFC 5280 A.1: ub-organization-name, ub-locality-name, ub-state-name */
	TRY(check_text("organization", s->organization, 64, err));
	TRY(check_text("locality", s->locality, 128, err));
	TRY(check_text("state", s->state, 128, err));
	if (s->country.n > 0 && (s->country.n != 2 || !is_upper(s->country.p[0]) || !is_upper(s->country.p[1])))
		FAIL(err, ERR_MALFORMED, "country is not two capital letters (ISO 3166-1)");
	return OK;
}

/* RFC 5322's atext: what a Dot-string of RFC 5321 is made of. */
static bool is_atext(char c)
{
	static const char others[] = "!#$%&'*+-/=?^_`{|}~";
	return (c >= 'a' && c <= 'z') || is_upper(c) || (c >= '0' && c <= '9') ||
	       (c != '\0' && strchr(others, c) != NULL);
}

static bool is_dot_string(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		bool edge = i == 0 || i + 1 == s.n || s.p[i - 1] == '.';
		if (s.p[i] == '.' ? edge : !is_atext(s.p[i]))
			return false;
	}
	return s.n > 0;
}

fallible cert_email_check(struct str email, struct err *err)
{
	size_t at = str_find(email, '@', 0);
	struct str local = str_sub(email, 0, at);
	struct err sub = { 0 };
	if (at == email.n)
		FAIL(err, ERR_MALFORMED, "e-mail address without @");
	if (local.n > EMAIL_LOCAL_MAX || !is_dot_string(local))
		FAIL(err, ERR_MALFORMED, "e-mail address whose part before the @ is not of RFC 5321's plain form");
	if (FAILED(name_check(str_sub(email, at + 1, email.n), false, &sub)))
		FAIL(err, ERR_MALFORMED, "e-mail address whose part behind the @ is no domain: %s", sub.detail);
	return OK;
}

/* BR 7.1.4.2's order: from the country inwards, the common name last. */
void subject_put(struct derw *w, const struct cert_subject *s, struct str common_name)
{
	static const struct cert_subject none = { 0 };
	const struct cert_subject *of = s == NULL ? &none : s;
	const struct {
		struct str oid, value;
		unsigned tag;
	} rows[] = {
		{ OID_COUNTRY, of->country, DER_PRINTABLE_STRING },
		{ OID_STATE, of->state, DER_UTF8_STRING },
		{ OID_LOCALITY, of->locality, DER_UTF8_STRING },
		{ OID_ORGANIZATION, of->organization, DER_UTF8_STRING },
		{ OID_COMMON_NAME, common_name, DER_UTF8_STRING },
	};
	derw_open(w, DER_SEQUENCE);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].value.n > 0)
			rdn_put(w, rows[i].oid, rows[i].tag, rows[i].value);
	derw_close(w);
}

bool subject_is_empty(const struct cert_subject *s)
{
	return s == NULL || s->organization.n + s->locality.n + s->state.n + s->country.n == 0;
}

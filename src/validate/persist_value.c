/* SPDX-License-Identifier: Apache-2.0
 *
 * persist_value.c: the record of dns-persist-01 (draft-ietf-acme-dns-persist-02 4.1): an issue-value of RFC 8659 4.2, the
 * issuer's name and parameters behind semicolons. Pure: bytes in, values out. It is read as Boulder reads it, so that a
 * record that one CA takes is not refused by the next: tags in any case, what is unknown is ignored, known ones stand
 * once, nothing is empty.
 */
#include "validate/internal.h"

#define SHOWN_MAX 60

static const char *shown(struct arena *mem, struct str text)
{
	return str_dupz_raw(mem, peer_text(mem, text, SHOWN_MAX));
}

static bool issuer_eq(struct str found, struct str issuer)
{
	found = str_trim(found);
	if (str_ends(found, STR(".")))
		found.n--;
	return found.n > 0 && str_eq_nocase(found, issuer);
}

bool persist_is_for(struct str record, struct str issuer)
{
	return issuer_eq(str_sub(record, 0, str_find(record, ';', 0)), issuer);
}

/* RFC 8659 4.2: value = *(%x21-3A / %x3C-7E). */
static fallible value_check(struct arena *mem, struct str tag, struct str value, struct err *err)
{
	for (size_t i = 0; i < value.n; i++) {
		unsigned char c = (unsigned char)value.p[i];
		if (c >= 0x21 && c <= 0x7e)
			continue;
		FAIL(err, ERR_MALFORMED, "the value of %s has byte 0x%02x at %zu; only visible ASCII may be there",
		     shown(mem, tag), c, i);
	}
	return OK;
}

/* Digits, a minus before them at most. Beyond 64 bits there is no time. */
static fallible until_read(struct arena *mem, struct str text, int64_t *ret, struct err *err)
{
	bool minus = str_starts(text, STR("-"));
	int64_t sum = 0;
	bool fine = text.n > (minus ? 1 : 0);
	for (size_t i = minus ? 1 : 0; fine && i < text.n; i++) {
		int digit = text.p[i] - '0';
		fine = digit >= 0 && digit <= 9 && !__builtin_mul_overflow(sum, 10, &sum) &&
		       !__builtin_add_overflow(sum, digit, &sum);
	}
	if (!fine)
		FAIL(err, ERR_MALFORMED, "persistUntil is \"%s\"; wanted seconds since 1970 in decimal digits",
		     shown(mem, text));
	*ret = minus ? -sum : sum;
	return OK;
}

struct reading {
	struct arena *mem;
	struct persist_value value;
	bool has_uri, has_policy;
};

static fallible once(bool *seen, const char *tag, struct err *err)
{
	if (*seen)
		FAIL(err, ERR_MALFORMED, "it has %s twice", tag);
	*seen = true;
	return OK;
}

static fallible parameter_take(struct reading *r, struct str tag, struct str value, struct err *err)
{
	if (str_eq_nocase(tag, STR("accounturi"))) {
		TRY(once(&r->has_uri, "accounturi", err));
		if (value.n == 0)
			FAIL(err, ERR_MALFORMED, "accounturi is empty");
		r->value.account_uri = value;
	} else if (str_eq_nocase(tag, STR("policy"))) {
		TRY(once(&r->has_policy, "policy", err));
		r->value.wildcard = str_eq_nocase(value, STR("wildcard"));
	} else if (str_eq_nocase(tag, STR("persistUntil"))) {
		TRY(once(&r->value.has_until, "persistUntil", err));
		TRY(until_read(r->mem, value, &r->value.until_s, err));
	}
	return OK;
}

static fallible parameter_read(struct reading *r, struct str text, struct err *err)
{
	text = str_trim(text);
	size_t equals = str_find(text, '=', 0);
	struct str tag = str_trim(str_sub(text, 0, equals));
	if (text.n == 0)
		FAIL(err, ERR_MALFORMED, "it ends in \";\" or has nothing between two of them");
	if (equals == text.n)
		FAIL(err, ERR_MALFORMED, "\"%s\" is not TAG=VALUE", shown(r->mem, text));
	if (tag.n == 0)
		FAIL(err, ERR_MALFORMED, "\"%s\" has no tag before the \"=\"", shown(r->mem, text));
	struct str value = str_trim(str_sub(text, equals + 1, text.n));
	TRY(value_check(r->mem, tag, value, err));
	return parameter_take(r, tag, value, err);
}

fallible persist_read(struct arena *mem, struct str record, struct persist_value *ret, struct err *err)
{
	struct reading r = { .mem = mem };
	for (size_t semicolon = str_find(record, ';', 0); semicolon < record.n;) {
		size_t next = str_find(record, ';', semicolon + 1);
		TRY(parameter_read(&r, str_sub(record, semicolon + 1, next), err));
		semicolon = next;
	}
	if (!r.has_uri)
		FAIL(err, ERR_MALFORMED, "it has no accounturi");
	*ret = r.value;
	return OK;
}

fallible persist_hash(const struct crypto *c, struct arena *mem, struct str domain, struct str thumbprint,
		      struct str account_url, struct str *ret, struct err *err)
{
	AUTO(buf_done) struct buf in = BUF_MAX(1 + 255 + TOKEN_LEN + ACCOUNT_URL_MAX);
	struct sha256 digest;
	if (domain.n > 255)
		FAIL(err, ERR_INTERNAL, "a domain of %zu bytes has no room in one length byte", domain.n);
	TRY(buf_add_char(&in, (char)domain.n, err));
	TRY(buf_add(&in, domain, err));
	TRY(buf_add(&in, thumbprint, err));
	TRY(buf_add(&in, account_url, err));
	TRY(digest_sha256(c, buf_str(&in), &digest, err));
	*ret = b64url_encode(mem, str_n(digest.b, sizeof digest.b));
	return OK;
}

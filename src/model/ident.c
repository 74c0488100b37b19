/* SPDX-License-Identifier: Apache-2.0
 *
 * ident.c: identifiers (RFC 8555 7.1.3, RFC 8738) and challenge types by name, and the shape that an identifier must
 * have in a message between programs. Whether a name may be issued is policy and asked elsewhere.
 */
#include "model/model.h"

#include <assert.h>

static const char *const ident_type_names[] = { [IDENT_DNS] = "dns", [IDENT_IP] = "ip" };
static_assert(ARRAY_LEN(ident_type_names) == IDENT_TYPE_COUNT, "name every identifier type");

static const char *const challenge_type_names[] = {
	[CHALLENGE_HTTP01] = "http-01",
	[CHALLENGE_DNS01] = "dns-01",
	[CHALLENGE_TLSALPN01] = "tls-alpn-01",
	[CHALLENGE_DNSACCOUNT01] = "dns-account-01",
	[CHALLENGE_DNSPERSIST01] = "dns-persist-01",
};
static_assert(ARRAY_LEN(challenge_type_names) == CHALLENGE_TYPE_COUNT, "name every challenge type");

const char *ident_type_name(enum ident_type t)
{
	return (unsigned)t < IDENT_TYPE_COUNT ? ident_type_names[t] : "unknown";
}

fallible ident_type_read(struct str s, enum ident_type *ret, struct err *err)
{
	for (size_t i = 0; i < IDENT_TYPE_COUNT; i++) {
		if (str_eq(s, str_z(ident_type_names[i]))) {
			*ret = (enum ident_type)i;
			return OK;
		}
	}
	FAIL(err, ERR_UNSUPPORTED_IDENTIFIER, "identifier type \"%.*s\" is not served, only dns and ip are",
	     STR_FMT(s));
}

const char *challenge_type_name(enum challenge_type t)
{
	return (unsigned)t < CHALLENGE_TYPE_COUNT ? challenge_type_names[t] : "unknown";
}

fallible challenge_type_read(struct str s, enum challenge_type *ret, struct err *err)
{
	for (size_t i = 0; i < CHALLENGE_TYPE_COUNT; i++) {
		if (str_eq(s, str_z(challenge_type_names[i]))) {
			*ret = (enum challenge_type)i;
			return OK;
		}
	}
	FAIL(err, ERR_MALFORMED,
	     "challenge type \"%.*s\" is not known; http-01, dns-01, tls-alpn-01, dns-account-01 and dns-persist-01 "
	     "are",
	     STR_FMT(s));
}

bool challenge_is_dns(enum challenge_type t)
{
	switch (t) {
	case CHALLENGE_DNS01:
	case CHALLENGE_DNSACCOUNT01:
	case CHALLENGE_DNSPERSIST01:
		return true;
	case CHALLENGE_HTTP01:
	case CHALLENGE_TLSALPN01:
	case CHALLENGE_TYPE_COUNT:
		break;
	}
	return false;
}

bool challenge_wants_account_url(enum challenge_type t)
{
	return t == CHALLENGE_DNSACCOUNT01 || t == CHALLENGE_DNSPERSIST01;
}

static bool is_ldh(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
}

static bool is_dns_shape(struct str name)
{
	size_t label = 0;
	for (size_t i = 0; i < name.n; i++) {
		if (name.p[i] == '.') {
			if (label == 0)
				return false;
			label = 0;
		} else if (!is_ldh(name.p[i]) || ++label > 63) {
			return false;
		}
	}
	return label > 0 && name.n <= NAME_MAX_LEN;
}

static bool is_canonical_addr(struct str text)
{
	struct addr a;
	char shown[ADDR_TEXT_MAX];
	if (text.n >= sizeof shown || FAILED(addr_read(text, &a, NULL)))
		return false;
	addr_show(&a, shown);
	return str_eq(text, str_z(shown));
}

fallible ident_check(const struct ident *id, bool wildcard, struct err *err)
{
	struct str value = id->value;
	switch (id->type) {
	case IDENT_DNS:
		if (wildcard)
			(void)str_skip(&value, STR("*."));
		if (is_dns_shape(value))
			return OK;
		FAIL(err, ERR_MALFORMED, "\"%.*s\" is not a lower-case DNS name", STR_FMT(id->value));
	case IDENT_IP:
		if (is_canonical_addr(value))
			return OK;
		FAIL(err, ERR_MALFORMED, "\"%.*s\" is not an address in its canonical form", STR_FMT(id->value));
	case IDENT_TYPE_COUNT:
		break;
	}
	FAIL(err, ERR_MALFORMED, "identifier type %u is not known", (unsigned)id->type);
}

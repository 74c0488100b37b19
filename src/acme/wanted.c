/* SPDX-License-Identifier: Apache-2.0
 *
 * wanted.c: identifiers of a payload against syntax, the realm's policy and the account's external key: names (RFC 8555
 * 7.1.3), addresses (RFC 8738) and domains that stand for what is below them (RFC 9444). What is asked for twice is
 * asked for once.
 */
#include "acme/order.h"

#include <stdlib.h>

#define TYPE_MAX 64
#define VALUE_MAX 512
#define SHOWN_MAX 128 /* of a value in a refusal, which escapes may make four times as long: the reason follows it */

bool realm_has_subdomains(const struct conf_realm *r)
{
	return r->subdomain_auth && conf_realm_proves(r, false, true);
}

bool realm_offers(const struct conf_realm *r, enum challenge_type t)
{
	return conf_list_has(&r->challenges, str_z(challenge_type_name(t))) &&
	       (t != CHALLENGE_DNSPERSIST01 || r->caa_identities.n > 0);
}

bool challenge_proves(enum challenge_type t, enum ident_type type, bool dns_only)
{
	switch (t) {
	case CHALLENGE_HTTP01:
	case CHALLENGE_TLSALPN01:
		return !dns_only; /* they prove one host (RULES R9) */
	case CHALLENGE_DNS01:
	case CHALLENGE_DNSACCOUNT01:
	case CHALLENGE_DNSPERSIST01:
		return type == IDENT_DNS; /* RFC 8738 7 */
	case CHALLENGE_TYPE_COUNT:
		break;
	}
	return false;
}

/* --- names --- */
static bool has_unicode(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] >= 0x80)
			return true;
	return false;
}

/* What name_check could only call a wrong byte. */
static fallible name_advice(struct str value, struct err *err)
{
	struct addr addr;
	struct str base = value;
	if (has_unicode(value))
		FAIL(err, ERR_MALFORMED,
		     "the name is in Unicode; send each such label as its A-label, which begins with xn-- (RFC 8555 "
		     "7.1.4)");
	if (!FAILED(addr_read(value, &addr, NULL)))
		FAIL(err, ERR_MALFORMED, "this is an address; ask for it with the type \"ip\" (RFC 8738)");
	(void)str_skip(&base, STR("*."));
	if (str_find(base, '*', 0) != base.n)
		FAIL(err, ERR_MALFORMED, "\"*\" stands only as the whole first label of a name, as in *.example.com");
	return OK;
}

static fallible name_syntax(struct call *c, struct str value, bool wildcard, struct str *ret, struct err *err)
{
	*ret = name_lower(c->mem, value);
	struct rc rc = name_advice(*ret, err);
	if (!FAILED(rc))
		rc = name_check(*ret, wildcard, err);
	if (FAILED(rc))
		err_prefix(err, "\"%.*s\": ", STR_FMT(str_sub(value, 0, SHOWN_MAX)));
	return rc;
}

/* Where grants count, proof.c says of what none covers that it cannot be proved. */
static bool realm_may_prove(const struct conf_realm *r, bool address, bool dns_only)
{
	return r->grants || conf_realm_proves(r, address, dns_only);
}

static fallible name_provable(const struct call *c, const struct ident *ident, struct err *err)
{
	bool wildcard = ident_is_wildcard(ident);
	if (realm_may_prove(c->realm, false, wildcard))
		return OK;
	FAIL(err, ERR_REJECTED_IDENTIFIER,
	     "%.*s: a wildcard is proved by dns-01, dns-account-01 or dns-persist-01 only; realm %.*s offers none of "
	     "them",
	     STR_FMT(ident->value), STR_FMT(c->realm->name));
}

/* RFC 9444 4.3. A realm that does not serve it proves the name itself: "the server can". So is a wildcard proved, which
 * is no name of a host below the ancestor. */
static fallible ancestor_read(struct call *c, const struct json *v, struct ident_wanted *w, struct err *err)
{
	struct str text = STR_NONE, name;
	TRY(json_may_str(v, "ancestorDomain", VALUE_MAX, &text, err));
	if (text.p == NULL)
		return OK;
	struct rc rc = name_syntax(c, text, false, &name, err);
	if (FAILED(rc)) {
		err_prefix(err, "ancestorDomain ");
		return rc;
	}
	if (!name_is_below(w->ident.value, name))
		FAIL(err, ERR_MALFORMED, "ancestorDomain %.*s is not a domain above %.*s", STR_FMT(name),
		     STR_FMT(w->ident.value));
	TRY(conf_suffix_check(c->conf, name, err));
	if (realm_has_subdomains(c->realm) && !ident_is_wildcard(&w->ident))
		w->ancestor = name;
	return OK;
}

/* --- addresses --- */
static fallible addr_wanted(struct call *c, struct str value, struct ident *ret, struct err *err)
{
	struct addr a, v4 = { .family = AF_INET };
	char shown[ADDR_TEXT_MAX];
	static const uint8_t mapped[12] = { [10] = 0xff, 0xff };
	if (FAILED(addr_read(value, &a, NULL)))
		FAIL(err, ERR_MALFORMED,
		     "\"%.*s\" is not an address: four decimal parts without leading zeros, or IPv6 without brackets, "
		     "zone and port, are wanted",
		     STR_FMT(str_sub(value, 0, SHOWN_MAX)));
	if (a.family == AF_INET6 && memcmp(a.b, mapped, sizeof mapped) == 0) {
		memcpy(v4.b, a.b + sizeof mapped, 4);
		addr_show(&v4, shown);
		FAIL(err, ERR_MALFORMED, "\"%.*s\" is an IPv4 address in IPv6 form; ask for %s", STR_FMT(value), shown);
	}
	addr_show(&a, shown);
	if (!str_eq(value, str_z(shown))) /* RFC 8738 3 */
		FAIL(err, ERR_MALFORMED, "\"%.*s\" is not in the form of RFC 5952, which is %s", STR_FMT(value), shown);
	if (!realm_may_prove(c->realm, true, false))
		FAIL(err, ERR_REJECTED_IDENTIFIER,
		     "%s: an address is proved by http-01 or tls-alpn-01, which realm %.*s does not offer", shown,
		     STR_FMT(c->realm->name));
	*ret = (struct ident){ .type = IDENT_IP, .value = str_dup(c->mem, str_z(shown)) };
	return conf_realm_allows_addr(c->realm, &a, err);
}

/* --- one of either --- */
static fallible type_value_read(const struct json *v, struct str *ret_type, struct str *ret_value, struct err *err)
{
	if (json_type(v) != JSON_OBJECT)
		FAIL(err, ERR_MALFORMED, "an identifier is not an object with \"type\" and \"value\"");
	TRY(json_want_str(v, "type", TYPE_MAX, ret_type, err));
	return json_want_str(v, "value", VALUE_MAX, ret_value, err);
}

static fallible ident_wanted(struct call *c, struct str type, struct str value, struct ident *ret, struct err *err)
{
	if (str_eq(type, STR("ip")))
		return addr_wanted(c, value, ret, err);
	if (!str_eq(type, STR("dns")))
		FAIL(err, ERR_UNSUPPORTED_IDENTIFIER, "identifier type \"%.*s\" is not served; use \"dns\" or \"ip\"",
		     STR_FMT(type));
	ret->type = IDENT_DNS;
	struct str base;
	TRY(name_syntax(c, value, true, &ret->value, err));
	base = ret->value;
	if (str_skip(&base, STR("*.")))
		TRY(conf_suffix_check(c->conf, base, err));
	return name_provable(c, ret, err);
}

static fallible allowed(const struct call *c, const struct eab_grant *grant, const struct ident *ident, struct err *err)
{
	if (ident->type == IDENT_DNS) /* addr_wanted has asked for addresses */
		TRY(conf_realm_allows(c->realm, ident->value, err));
	return eab_allows(grant, ident, err);
}

static fallible wanted_read(struct call *c, const struct eab_grant *grant, const struct json *v,
			    struct ident_wanted *ret, struct err *err)
{
	struct str type, value;
	*ret = (struct ident_wanted){ 0 };
	TRY(type_value_read(v, &type, &value, err));
	TRY(ident_wanted(c, type, value, &ret->ident, err));
	if (ret->ident.type == IDENT_DNS)
		TRY(ancestor_read(c, v, ret, err));
	return allowed(c, grant, &ret->ident, err);
}

/* --- newOrder's --- */
/* Of two that differ in their ancestor only, the nearest one comes first and stays. */
static int wanted_compare(const void *a, const void *b)
{
	const struct ident_wanted *x = a, *y = b;
	int d = ident_compare(&x->ident, &y->ident);
	return d != 0 ? d : (x->ancestor.n < y->ancestor.n) - (x->ancestor.n > y->ancestor.n);
}

static size_t wanted_unique(struct ident_wanted *list, size_t given)
{
	size_t count = 0;
	qsort(list, given, sizeof *list, wanted_compare);
	for (size_t i = 0; i < given; i++)
		if (count == 0 || ident_compare(&list[count - 1].ident, &list[i].ident) != 0)
			list[count++] = list[i];
	return count;
}

fallible wanted_read_list(struct call *c, const struct eab_grant *grant, struct ident_wanted **ret, size_t *ret_count,
			  struct err *err)
{
	const struct json *list;
	struct refusals refused = { 0 };
	TRY(json_want_array(c->payload, "identifiers", (size_t)c->realm->names_per_order, &list, err));
	size_t given = json_count(list);
	if (given == 0)
		FAIL(err, ERR_MALFORMED, "identifiers is empty; an order names at least one");
	struct ident_wanted *wanted = ARENA_ARRAY(c->mem, struct ident_wanted, given);
	for (size_t i = 0; i < given; i++) {
		struct err why = { 0 };
		struct str type = STR_NONE, value = STR_NONE;
		struct rc rc = wanted_read(c, grant, json_at(list, i), &wanted[i], &why);
		if (FAILED(rc) && FAILED(type_value_read(json_at(list, i), &type, &value, NULL)))
			type = STR_NONE;
		TRY(refusals_keep(c, &refused, rc, &why, type, value, err));
	}
	TRY(refusals_end(c, &refused, given, err));
	*ret_count = wanted_unique(wanted, given);
	*ret = wanted;
	return OK;
}

/* --- newAuthz's --- */
/* A domain that may not be issued for itself may still be proved for the names below it that may. */
static fallible domain_allowed(const struct call *c, const struct eab_grant *grant, const struct ident *ident,
			       struct err *err)
{
	struct ident below = { IDENT_DNS, str_fmt(c->mem, "*.%.*s", STR_FMT(ident->value)) };
	if (!FAILED(allowed(c, grant, &below, NULL)))
		return OK;
	return allowed(c, grant, ident, err);
}

fallible wanted_read_one(struct call *c, const struct eab_grant *grant, struct ident_wanted *ret, bool *ret_declined,
			 struct err *err)
{
	const struct json *v;
	struct str type, value;
	bool subdomains = false;
	*ret = (struct ident_wanted){ 0 };
	*ret_declined = false;
	TRY(json_want_object(c->payload, "identifier", &v, err));
	TRY(type_value_read(v, &type, &value, err));
	TRY(json_may_bool(v, "subdomainAuthAllowed", &subdomains, err));
	if (str_eq(type, STR("dns")) && str_starts(value, STR("*."))) /* RFC 8555 7.4.1 */
		FAIL(err, ERR_MALFORMED,
		     "%.*s: a wildcard cannot be authorized beforehand (RFC 8555 7.4.1); order it with newOrder",
		     STR_FMT(value));
	TRY(ident_wanted(c, type, value, &ret->ident, err));
	if (subdomains && ret->ident.type != IDENT_DNS)
		FAIL(err, ERR_MALFORMED, "subdomainAuthAllowed is for names; %.*s is an address", STR_FMT(value));
	ret->subdomains = subdomains && realm_has_subdomains(c->realm);
	if (ret->subdomains)
		TRY(conf_suffix_check(c->conf, ret->ident.value, err));
	*ret_declined = subdomains && !ret->subdomains;
	return ret->subdomains ? domain_allowed(c, grant, &ret->ident, err) : allowed(c, grant, &ret->ident, err);
}

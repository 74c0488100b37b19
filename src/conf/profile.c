/* SPDX-License-Identifier: Apache-2.0
 *
 * profile.c: kinds of certificates: the defaults of the built-in ones, what makes a profile contradict itself, how long
 * its certificates may live, and what it takes. API and signer ask the same functions here, each for its own
 * configuration.
 */
#include "conf/check.h"

#include <inttypes.h>

#define DAY_S ((int64_t)86400)
#define SHORT_LIVED_MAX_S (7 * DAY_S) /* BR 1.6.1: "Short-lived Subscriber Certificate" */
#define POLICY_DV "2.23.140.1.2.1"

/* What each of them has that other profiles have not. The rows of schema.c say the rest. */
static const struct {
	const char *profile, *leaf, *deflt;
} defaults[] = {
	{ "shortlived", "lifetime", "160h" },
	{ "shortlived", "key-encipherment", "false" },
	{ "shortlived", "crl", "false" }, /* BR 7.1.2.11.2: it ends before anybody would ask */
	{ "client", "use", "client-auth" },
	{ "client", "identifiers", "dns, ip" },
	{ "client", "key-encipherment", "false" },
	{ "client", "policies", "" },
	{ "codesigning", "use", "code-signing" },
	{ "codesigning", "identifiers", "dns" },
	{ "codesigning", "keys", "P-256, P-384, P-521, RSA-3072, RSA-4096" },
	{ "codesigning", "key-encipherment", "false" },
	{ "codesigning", "policies", "" },
	{ "codesigning", "subject", "required" },
	{ "email", "use", "email-protection" },
	{ "email", "identifiers", "dns" },
	{ "email", "policies", "" },
	{ "email", "subject", "required" },
};

const char *profile_default(const struct conf_row *row, struct str entry)
{
	const struct conf_section *s = conf_row_section(row);
	struct str leaf = conf_row_leaf(row);
	if (s == NULL || strcmp(s->name, "profile") != 0)
		return row->deflt;
	for (size_t i = 0; i < ARRAY_LEN(defaults); i++)
		if (str_eq(str_z(defaults[i].profile), entry) && str_eq(str_z(defaults[i].leaf), leaf))
			return defaults[i].deflt;
	return row->deflt;
}

/* --- how long --- */

/* BR 6.3.2 as of each day, without the last day that is allowed (it is "SHOULD NOT" there). */
static int64_t public_lifetime(int64_t issued_s)
{
	static const struct {
		int64_t from, days;
	} rows[] = {
		{ INT64_C(1868227200), 46 },  /* 2029-03-15 */
		{ INT64_C(1805068800), 99 },  /* 2027-03-15 */
		{ INT64_C(1773532800), 199 }, /* 2026-03-15 */
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (issued_s >= rows[i].from)
			return rows[i].days * DAY_S;
	return CONF_LIFETIME_MAX_S;
}

int64_t conf_lifetime(const struct conf_realm *r, const struct conf_profile *p, int64_t not_before_s)
{
	int64_t most = p->lifetime_s < CONF_LIFETIME_MAX_S ? p->lifetime_s : CONF_LIFETIME_MAX_S;
	if (r != NULL && r->lifetime_max_s > 0 && r->lifetime_max_s < most)
		most = r->lifetime_max_s;
	if (p->public_rules) {
		/* notBefore is at most two days before the signature, and the day of that is what counts. */
		int64_t public = public_lifetime(not_before_s + 2 * DAY_S);
		most = public < most ? public : most;
	}
	return most;
}

int64_t conf_authz_valid(const struct conf_realm *r, const struct conf_profile *p)
{
	bool own = p->authz_valid_s > 0 && p->authz_valid_s < r->authz_valid_s;
	return own ? p->authz_valid_s : r->authz_valid_s;
}

/* --- what it takes --- */

static struct str joined(struct arena *mem, const struct conf_list *l)
{
	struct str all = STR_NONE;
	for (size_t i = 0; i < l->n; i++)
		all = str_fmt(mem, "%.*s%s%.*s", STR_FMT(all), i == 0 ? "" : ", ", STR_FMT(l->v[i]));
	return all;
}

fallible conf_profile_allows(const struct conf_profile *p, struct str value, bool address, struct err *err)
{
	bool wildcard = !address && str_starts(value, STR("*."));
	struct str kind = address ? STR("ip") : wildcard ? STR("wildcard") : STR("dns");
	if (conf_list_has(&p->identifiers, kind))
		return OK;
	AUTO(arena_done) struct arena mem = { 0 };
	struct str all = joined(&mem, &p->identifiers);
	FAIL(err, ERR_REJECTED_IDENTIFIER, "%.*s is not allowed: profile %.*s is for %.*s", STR_FMT(value),
	     STR_FMT(p->name), STR_FMT(all));
}

fallible conf_profile_allows_csr(const struct conf_profile *p, const char *key_kind, unsigned bits, bool must_staple,
				 struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct str key = strcmp(key_kind, "RSA") == 0 ? str_fmt(&mem, "RSA-%u", bits) : str_z(key_kind);
	if (!conf_list_has(&p->keys, key)) {
		struct str all = joined(&mem, &p->keys);
		FAIL(err, ERR_BAD_CSR, "the CSR's key is %.*s; profile %.*s takes %.*s", STR_FMT(key), STR_FMT(p->name),
		     STR_FMT(all));
	}
	if (must_staple && !p->must_staple)
		FAIL(err, ERR_BAD_CSR, "the CSR asks for must-staple (TLS feature 5), which profile %.*s does not give",
		     STR_FMT(p->name));
	return OK;
}

/* --- what contradicts itself --- */

#define DESCRIPTION_MAX 512 /* bytes, in the directory that every client reads */

/* It goes to terminals of others: no control characters. */
static bool description_is_plain(struct str text)
{
	for (size_t i = 0; i < text.n; i++) {
		if ((unsigned char)text.p[i] < 0x20 || text.p[i] == 0x7f)
			return false;
	}
	return text.n <= DESCRIPTION_MAX;
}

static fallible check_policies(struct checker *k, const struct conf_profile *p, struct err *err)
{
	const struct spot *at = SPOT("profile", p->name, "policies");
	for (size_t i = 0; i < p->policies.n; i++) {
		struct oid oid;
		struct err why = { 0 };
		if (FAILED(oid_read(p->policies.v[i], &oid, &why)))
			return spot_refuse_because(k, at, p->policies.v[i], err, "object identifiers", &why);
	}
	return OK;
}

/* BR 7.1.2.7, as far as a profile alone can break it; the lint holds each certificate against the rest. */
static fallible check_public(struct checker *k, const struct conf_profile *p, struct err *err)
{
	struct {
		bool broken;
		const char *leaf, *allowed;
	} rows[] = {
		{ p->use.n != 1 || !conf_list_has(&p->use, STR("server-auth")), "use",
		  "server-auth alone, because public is true" },
		{ p->policies.n == 0 || !str_eq(p->policies.v[0], STR(POLICY_DV)), "policies",
		  POLICY_DV " first, because public is true and control of names is all that is proven" },
		{ !str_eq(p->subject, STR("off")), "subject",
		  "off, because public is true and policy " POLICY_DV " names nobody" },
		{ !p->crl && p->lifetime_s > SHORT_LIVED_MAX_S, "crl",
		  "true, because public is true and lifetime is more than 7d" },
	};
	for (size_t i = 0; p->public_rules && i < ARRAY_LEN(rows); i++) {
		const struct spot *at = SPOT("profile", p->name, rows[i].leaf);
		if (rows[i].broken)
			return spot_refuse(k, at, conf_setting(k->c, spot_key(&k->mem, at))->text, err,
					   rows[i].allowed);
	}
	return OK;
}

fallible profile_check(struct checker *k, const struct conf_profile *p, struct err *err)
{
	if (!description_is_plain(p->description))
		return spot_refuse(k, SPOT("profile", p->name, "description"), p->description, err,
				   "one line of at most 512 bytes");
	TRY(check_policies(k, p, err));
	TRY(check_public(k, p, err));
	const struct spot *backdate = SPOT("profile", p->name, "backdate");
	if (p->backdate_s >= p->lifetime_s)
		return spot_refuse(k, backdate, conf_setting(k->c, spot_key(&k->mem, backdate))->text, err,
				   "less than the profile's lifetime");
	return OK;
}

static fallible check_public_issuer(struct checker *k, const struct conf_realm *r, const struct conf_profile *p,
				    const struct conf_issuer *i, struct err *err)
{
	const char *lacks = NULL;
	if (!p->public_rules || i == NULL)
		return OK;
	if (i->aia_url.n == 0)
		lacks = "aia-url";
	else if (p->crl && i->crl_url.n == 0)
		lacks = "crl-url";
	if (lacks == NULL)
		return OK;
	struct str rule =
		str_fmt(&k->mem, "profiles without public, until issuer.%.*s.%s is there", STR_FMT(i->name), lacks);
	return spot_refuse(k, SPOT("realm", r->name, "profiles"), p->name, err, str_dupz_raw(&k->mem, rule));
}

fallible profile_check_offer(struct checker *k, const struct conf_realm *r, const struct conf_profile *p,
			     struct err *err)
{
	for (size_t i = 0; i < r->issuers.n; i++)
		TRY(check_public_issuer(k, r, p, conf_issuer(k->c, r->issuers.v[i]), err));
	return OK;
}

fallible profile_warn(const struct conf *c, const struct conf_profile *p, struct buf *ret, struct err *err)
{
	const struct spot *lifetime = SPOT("profile", p->name, "lifetime");
	if (p->lifetime_s > CONF_LIFETIME_MAX_S)
		TRY(spot_warn(c, lifetime, "more than 398d, so 398d counts", ret, err));
	if (p->public_rules && p->lifetime_s > public_lifetime(INT64_C(1773532800)))
		TRY(spot_warn(
			c, lifetime,
			"public is true: the Baseline Requirements' limit counts, 199d until 2027-03-14, 99d until "
			"2029-03-14, then 46d",
			ret, err));
	if (p->must_staple && conf_list_has(&p->use, STR("code-signing")))
		TRY(spot_warn(c, SPOT("profile", p->name, "must-staple"), "only servers of TLS can staple", ret, err));
	return OK;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * validity.c: which profile an order has, and which of the two ends of its certificate the client may choose (RFC 8555
 * 7.4). Both ends count: N seconds from notBefore end at notBefore + N - 1 (RULES 1.1).
 */
#include "acme/order.h"

#define HOUR_S ((int64_t)3600)
#define AHEAD_MAX_S (48 * HOUR_S)           /* BR 7.1.2.7: within 48 hours of signing */
#define BEHIND_MAX_S (48 * HOUR_S - HOUR_S) /* the same, with time left to sign */

static struct str offered_list(struct call *c, const struct eab_grant *grant)
{
	struct str all = STR_NONE;
	for (size_t i = 0; i < c->realm->profiles.n && all.n < 300; i++)
		if (eab_allows_profile(grant, c->realm->profiles.v[i]))
			all = str_fmt(c->mem, "%.*s%s%.*s", STR_FMT(all), all.n == 0 ? "" : ", ",
				      STR_FMT(c->realm->profiles.v[i]));
	return all.n > 0 ? all : STR("none");
}

fallible profile_choose(struct call *c, const struct eab_grant *grant, struct str *ret, struct err *err)
{
	struct str name = STR_NONE;
	const struct conf_list *served = &c->realm->profiles;
	TRY(json_may_str(c->payload, "profile", 256, &name, err));
	for (size_t i = 0; i < served->n; i++) {
		if ((name.p != NULL && !str_eq(served->v[i], name)) || !eab_allows_profile(grant, served->v[i]))
			continue;
		*ret = served->v[i];
		return OK;
	}
	if (name.p == NULL)
		FAIL(err, ERR_INVALID_PROFILE, "this account's external key allows none of the profiles of realm %.*s",
		     STR_FMT(c->realm->name));
	FAIL(err, ERR_INVALID_PROFILE, "profile \"%.*s\" is not offered to this account; realm %.*s offers %.*s",
	     STR_FMT(name), STR_FMT(c->realm->name), STR_FMT(offered_list(c, grant)));
}

fallible profile_of_order(const struct call *c, const struct order_row *o, const struct conf_profile **ret,
			  struct err *err)
{
	*ret = conf_profile(c->conf, o->profile);
	if (*ret != NULL && conf_list_has(&c->realm->profiles, o->profile))
		return OK;
	FAIL(err, ERR_INVALID_PROFILE, "profile %.*s, which the order has, is not served any more; make a new order",
	     STR_FMT(o->profile));
}

static fallible takes_one(const struct conf_profile *p, const struct ident *ident, struct err *err)
{
	return conf_profile_allows(p, ident->value, ident->type == IDENT_IP, err);
}

fallible profile_takes(struct call *c, const struct conf_profile *p, const struct ident *idents, size_t count,
		       struct err *err)
{
	struct refusals refused = { 0 };
	if ((int64_t)count > p->names_max)
		FAIL(err, ERR_REJECTED_IDENTIFIER, "%zu identifiers; profile %.*s takes %lld in an order", count,
		     STR_FMT(p->name), (long long)p->names_max);
	for (size_t i = 0; i < count; i++) {
		struct err why = { 0 };
		struct rc rc = takes_one(p, &idents[i], &why);
		TRY(refusals_keep(c, &refused, rc, &why, str_z(ident_type_name(idents[i].type)), idents[i].value, err));
	}
	return refusals_end(c, &refused, count, err);
}

/* Realm and profile are the signer's to check, too. What an external key allows is for the api alone: it limits its own
 * accounts, and a certificate that lives longer than that is nobody else's. */
static int64_t life_of(const struct call *c, const struct conf_profile *p, const struct eab_grant *grant,
		       int64_t not_before_s)
{
	int64_t life = conf_lifetime(c->realm, p, not_before_s);
	return grant->lifetime_s > 0 && grant->lifetime_s < life ? grant->lifetime_s : life;
}

/* However short the life is made, half of it lies ahead. */
static int64_t backdate_of(const struct call *c, const struct conf_profile *p, const struct eab_grant *grant)
{
	int64_t half = life_of(c, p, grant, c->now_ms / 1000) / 2;
	return p->backdate_s < half ? p->backdate_s : half;
}

static fallible time_member(const struct call *c, const char *key, int64_t *ret, struct err *err)
{
	struct str text = STR_NONE;
	TRY(json_may_str(c->payload, key, 64, &text, err));
	if (text.p == NULL)
		return OK;
	struct rc rc = time_read(text, ret, err);
	if (FAILED(rc))
		err_prefix(err, "%s: ", key);
	else if (*ret == 0) /* not told from "not given" below; it is far too early anyway */
		*ret = 1;
	return rc;
}

static fallible not_before_check(int64_t not_before, int64_t earliest, int64_t latest, struct err *err)
{
	char given[TIME_TEXT_MAX], from[TIME_TEXT_MAX], to[TIME_TEXT_MAX];
	if (not_before >= earliest && not_before <= latest)
		return OK;
	time_show(not_before, given);
	time_show(earliest, from);
	time_show(latest, to);
	FAIL(err, ERR_MALFORMED, "notBefore is %s; it can be from %s to %s", given, from, to);
}

static fallible not_after_check(const struct conf_profile *p, int64_t life, int64_t not_before, int64_t not_after,
				int64_t now_s, struct err *err)
{
	char given[TIME_TEXT_MAX], limit[TIME_TEXT_MAX];
	int64_t least = not_before > now_s ? not_before : now_s, most = not_before + life - 1;
	time_show(not_after, given);
	if (not_after <= least) {
		time_show(least, limit);
		FAIL(err, ERR_MALFORMED, "notAfter is %s; it must be after %s", given, limit);
	}
	if (not_after > most) {
		time_show(most, limit);
		FAIL(err, ERR_MALFORMED,
		     "notAfter is %s; profile %.*s lets certificates live %lld s%s, so until %s at most", given,
		     STR_FMT(p->name), (long long)life, life < p->lifetime_s ? " here" : "", limit);
	}
	return OK;
}

fallible validity_read(const struct call *c, const struct conf_profile *p, const struct eab_grant *grant,
		       int64_t *ret_not_before_s, int64_t *ret_not_after_s, struct err *err)
{
	int64_t now_s = c->now_ms / 1000, not_before = 0, not_after = 0, backdate = backdate_of(c, p, grant);
	TRY(time_member(c, "notBefore", &not_before, err));
	TRY(time_member(c, "notAfter", &not_after, err));
	if (not_before != 0)
		TRY(not_before_check(not_before, now_s - backdate, now_s + AHEAD_MAX_S, err));
	int64_t from = not_before != 0 ? not_before : now_s - backdate;
	if (not_after != 0)
		TRY(not_after_check(p, life_of(c, p, grant, from), from, not_after, now_s, err));
	*ret_not_before_s = not_before;
	*ret_not_after_s = not_after;
	return OK;
}

/* An order may have waited for days: its times are looked at again. */
fallible validity_of_order(const struct call *c, const struct conf_profile *p, const struct eab_grant *grant,
			   const struct order_row *o, int64_t *ret_not_before_s, int64_t *ret_not_after_s,
			   struct err *err)
{
	int64_t now_s = c->now_ms / 1000;
	int64_t not_before = o->not_before_s != 0 ? o->not_before_s : now_s - backdate_of(c, p, grant);
	int64_t life = life_of(c, p, grant, not_before);
	int64_t not_after = o->not_after_s != 0 ? o->not_after_s : not_before + life - 1;
	struct rc rc = not_before_check(not_before, now_s - BEHIND_MAX_S, now_s + AHEAD_MAX_S, err);
	if (!FAILED(rc))
		rc = not_after_check(p, life, not_before, not_after, now_s, err);
	if (FAILED(rc)) {
		err_prefix(err, "the order's times do not fit any more, make a new one: ");
		return rc;
	}
	*ret_not_before_s = not_before;
	*ret_not_after_s = not_after;
	return OK;
}

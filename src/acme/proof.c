/* SPDX-License-Identifier: Apache-2.0
 *
 * proof.c: the authorization that serves an identifier: one that this account has proved under this very key, for the
 * identifier or for a domain above it (RFC 9444), one that an operator's grant makes valid, one that it may still prove, or
 * a fresh one with its challenges.
 * Proofs are never shared between accounts, keys, or a wildcard and its base name (A20).
 */
#include "acme/order.h"

#include <stdlib.h>

/* A proof that is about to end helps nobody: the order must be able to use it. */
#define REUSE_MARGIN_MS (3600 * 1000)

struct ancestor_proof { /* what was found for a domain above some of the order's names */
	struct str name;
	bool found;
	struct authz_row row;
	struct ancestor_proof *next;
};

/* A proof is used again for the realm's reuse time only, counted from its attempt's beginning as the signer counts it
 * (recheck_proof.c); for the orders that it was made for it lives on beyond that. */
int64_t proof_serves_until(const struct proofs *p, const struct authz_row *z)
{
	const struct conf_realm *realm = p->c->realm;
	int64_t reuse_s = p->profile == NULL ? realm->authz_valid_s : conf_authz_valid(realm, p->profile);
	int64_t begun = id_is_zero(z->grant) ? id_time_ms(z->attempt) : z->created_at;
	int64_t reuse_end = begun + reuse_s * 1000;
	return z->status == AUTHZ_VALID && reuse_end < z->expires_at ? reuse_end : z->expires_at;
}

/* The signer takes verdicts of the realm's own zone and methods only: what was proved before the realm moved to others
 * is no proof. What dns-persist-01 proves holds for the orders that waited for it: the record is there, and to look again
 * costs nobody a change. So no proof outlives the record's removal by more than an order. */
static fallible valid_one_counts(const struct proofs *p, const struct authz_row *z, bool *ret, struct err *err)
{
	struct call *c = p->c;
	struct attempt_row attempt;
	struct challenge_row challenge = { 0 };
	*ret = !id_is_zero(z->grant); /* asked for by a grant that counts */
	if (*ret)
		return OK;
	struct rc rc = attempt_by_id(p->tx, c->mem, z->attempt, &attempt, err);
	if (!FAILED(rc))
		rc = challenge_by_id(p->tx, c->mem, attempt.challenge, &challenge, err);
	if (!FAILED(rc))
		*ret = str_eq(attempt.zone, c->realm->zone) && realm_offers(c->realm, challenge.type) &&
		       challenge.type != CHALLENGE_DNSPERSIST01;
	return rc.kind == ERR_NOT_FOUND ? OK : rc;
}

/* All that the realm offers by now is there: otherwise a client might be left without the one way that it has. And nobody
 * has begun to prove it: the signer would take that for a proof from before the order, which ages while the order waits. */
static fallible pending_one_counts(const struct proofs *p, const struct authz_row *z, bool *ret, struct err *err)
{
	struct call *c = p->c;
	struct challenge_row *have;
	size_t count;
	*ret = true;
	TRY(challenges_of_authz(p->tx, c->mem, z->id, &have, &count, err));
	for (unsigned t = 0; t < CHALLENGE_TYPE_COUNT; t++) {
		bool found = !realm_offers(c->realm, (enum challenge_type)t) ||
			     !challenge_proves((enum challenge_type)t, z->ident.type, z->wildcard || z->subdomains);
		for (size_t i = 0; i < count; i++)
			found |= (unsigned)have[i].type == t;
		*ret &= found;
	}
	for (size_t i = 0; i < count; i++)
		*ret &= have[i].status == CHALLENGE_PENDING;
	return OK;
}

static fallible find(const struct proofs *p, const struct authz_want *want, struct authz_row *ret, bool *ret_found,
		     struct err *err)
{
	struct call *c = p->c;
	int64_t until = c->now_ms + REUSE_MARGIN_MS;
	*ret_found = false;
	struct rc rc = authz_find_reusable(p->tx, c->mem, c->account.id, str_z(c->thumbprint.z), want, until, ret, err);
	if (rc.kind == ERR_NOT_FOUND)
		return OK;
	TRY(rc);
	if (proof_serves_until(p, ret) <= until)
		return OK;
	return ret->status == AUTHZ_VALID ? valid_one_counts(p, ret, ret_found, err)
					  : pending_one_counts(p, ret, ret_found, err);
}

static int id_order(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct id));
}

/* In the order of the realm's list: they are shown by their ids, which are random within a millisecond. */
static fallible challenges_make(const struct proofs *p, const struct authz_row *z, struct err *err)
{
	struct call *c = p->c;
	struct id ids[CHALLENGE_TYPE_COUNT] = { 0 };
	size_t made = 0;
	for (size_t i = 0; i < ARRAY_LEN(ids); i++)
		ids[i] = id_new(c->a->d.clk, c->a->d.rng);
	qsort(ids, ARRAY_LEN(ids), sizeof *ids, id_order);
	for (size_t i = 0; i < c->realm->challenges.n && made < ARRAY_LEN(ids); i++) {
		struct token_text token = token_new(c->a->d.rng);
		struct challenge_row ch = {
			.id = ids[made], .authz = z->id, .status = CHALLENGE_PENDING, .token = str_n(token.z, TOKEN_LEN)
		};
		TRY(challenge_type_read(c->realm->challenges.v[i], &ch.type, err));
		if (!realm_offers(c->realm, ch.type) ||
		    !challenge_proves(ch.type, z->ident.type, z->wildcard || z->subdomains))
			continue;
		TRY(challenge_insert(p->tx, &ch, err));
		made++;
	}
	if (made == 0) /* wanted.c lets it pass where a grant might have covered it */
		FAIL(err, ERR_REJECTED_IDENTIFIER,
		     "%s%.*s: realm %.*s offers no challenge that proves it, and no grant of this account covers it",
		     z->wildcard ? "*." : "", STR_FMT(z->ident.value), STR_FMT(c->realm->name));
	return OK;
}

static fallible make(const struct proofs *p, const struct authz_want *want, struct authz_row *ret, struct err *err)
{
	struct call *c = p->c;
	*ret = (struct authz_row){
		.id = id_new(c->a->d.clk, c->a->d.rng),
		.account = c->account.id,
		.realm = c->realm->name,
		.thumbprint = str_z(c->thumbprint.z),
		.ident = want->ident,
		.wildcard = want->wildcard,
		.subdomains = want->subdomains,
		.status = AUTHZ_PENDING,
		.created_at = c->now_ms,
		.expires_at = c->now_ms + c->realm->authz_pending_s * 1000,
	};
	TRY(authz_insert(p->tx, ret, err));
	return challenges_make(p, ret, err);
}

/* Valid at once (RFC 8555 7.1.4: it has no challenges). However short the reuse: the order that it is made for needs it. */
static fallible grant_make(const struct proofs *p, const struct authz_want *want, const struct held_grant *h,
			   struct authz_row *ret, struct err *err)
{
	const struct call *c = p->c;
	const struct conf_realm *realm = c->realm;
	int64_t life_s = realm->authz_valid_s > realm->order_life_s ? realm->authz_valid_s : realm->order_life_s;
	int64_t end = c->now_ms + life_s * 1000, grant_end = (h->row.until_s + 1) * 1000;
	*ret = (struct authz_row){
		.id = id_new(c->a->d.clk, c->a->d.rng),
		.account = c->account.id,
		.realm = realm->name,
		.thumbprint = str_z(c->thumbprint.z),
		.ident = want->ident,
		.wildcard = want->wildcard,
		.status = AUTHZ_VALID,
		.created_at = c->now_ms,
		.expires_at = end < grant_end ? end : grant_end,
		.grant = h->row.id,
	};
	TRY(authz_insert(p->tx, ret, err));
	return call_audit(c, p->tx, "authorization granted", str_fmt(c->mem, "authz:%s", id_show(ret->id).z),
			  str_fmt(c->mem, "{\"grant\":\"%s\",\"operator\":\"%.*s\",\"name\":\"%s%.*s\"}",
				  id_show(h->row.id).z, STR_FMT(h->row.signer), want->wildcard ? "*." : "",
				  STR_FMT(want->ident.value)),
			  err);
}

static fallible granted(const struct proofs *p, const struct ident_wanted *w, const struct authz_want *want,
			struct authz_row *ret, bool *ret_found, bool *ret_fresh, struct err *err)
{
	const struct held_grant *h;
	struct authz_want given = *want;
	*ret_found = false;
	if (want->subdomains) /* a grant covers names, not a domain with all that is below it */
		return OK;
	TRY(grants_find(p->grants, p->tx, &w->ident, &h, err));
	if (h == NULL)
		return OK;
	given.grant = h->row.id;
	TRY(find(p, &given, ret, ret_found, err));
	if (*ret_found)
		return OK;
	*ret_found = *ret_fresh = true;
	return grant_make(p, &given, h, ret, err);
}

/* A valid one for all names below this domain; looked for once an order, which may have a hundred names there. */
static fallible ancestor_find(struct proofs *p, struct str name, const struct ancestor_proof **ret, struct err *err)
{
	for (struct ancestor_proof *a = p->ancestors; a != NULL; a = a->next) {
		*ret = a;
		if (str_eq(a->name, name))
			return OK;
	}
	struct ancestor_proof *a = ARENA_NEW(p->c->mem, struct ancestor_proof);
	const struct authz_want want = { .ident = { IDENT_DNS, name }, .subdomains = true };
	a->name = name;
	TRY(find(p, &want, &a->row, &a->found, err));
	a->found = a->found && a->row.status == AUTHZ_VALID;
	a->next = p->ancestors;
	p->ancestors = a;
	*ret = a;
	return OK;
}

/* RFC 9444: the nearest proved domain above the name, whether or not the client named it this time. */
static fallible proved_above(struct proofs *p, const struct authz_want *want, struct authz_row *ret, bool *ret_found,
			     struct err *err)
{
	struct str name = want->ident.value;
	*ret_found = false;
	if (want->ident.type != IDENT_DNS || want->wildcard || !realm_has_subdomains(p->c->realm))
		return OK;
	for (size_t dot = str_find(name, '.', 0); dot < name.n; dot = str_find(name, '.', 0)) {
		const struct ancestor_proof *a;
		name = str_sub(name, dot + 1, name.n);
		if (str_find(name, '.', 0) == name.n) /* a domain of one label is never proved */
			return OK;
		TRY(ancestor_find(p, name, &a, err));
		if (!a->found)
			continue;
		*ret = a->row;
		*ret_found = true;
		return OK;
	}
	return OK;
}

fallible proof_get(struct proofs *p, const struct ident_wanted *w, struct authz_row *ret, bool *ret_fresh,
		   struct err *err)
{
	struct authz_want want = { .ident = { w->ident.type, ident_base(&w->ident) },
				   .wildcard = ident_is_wildcard(&w->ident),
				   .subdomains = w->subdomains };
	bool found;
	*ret_fresh = false;
	TRY(find(p, &want, ret, &found, err));
	if (found && ret->status == AUTHZ_VALID)
		return OK;
	struct authz_row by_grant;
	bool is_granted;
	TRY(granted(p, w, &want, &by_grant, &is_granted, ret_fresh, err));
	if (is_granted) {
		*ret = by_grant;
		return OK;
	}
	if (!p->itself) {
		struct authz_row above;
		bool proved;
		TRY(proved_above(p, &want, &above, &proved, err));
		if (proved) {
			*ret = above;
			return OK;
		}
	}
	if (w->ancestor.n > 0) {
		want = (struct authz_want){ .ident = { IDENT_DNS, w->ancestor }, .subdomains = true };
		TRY(find(p, &want, ret, &found, err));
	}
	if (found)
		return OK;
	*ret_fresh = true;
	return make(p, &want, ret, err);
}

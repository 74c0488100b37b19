/* SPDX-License-Identifier: Apache-2.0
 *
 * caa.c: CAA is looked up with each proof of control, and what was seen then is good for eight hours (BR 3.2.2.8.1): the
 * signer insists on it. An order that is finalized later has every one of its names looked up again before the signer
 * hears of it (THREATS A49, A50). It is held back meanwhile: so long as the signer may have a job of it, nobody but the
 * signer says no to it, or a certificate could be signed for an order that has failed.
 */
#include "acme/caa.h"

#include <assert.h>

#define FRESH_MS ((int64_t)7 * 3600 * 1000) /* the rest is for the signer's queue */

/* --- what is known ------------------------------------------------------------------------------------------------*/

static size_t fresh_count(const struct verdict_row *rows, size_t count, int64_t since)
{
	size_t n = 0;
	for (size_t i = 0; i < count; i++)
		n += rows[i].caa == VERDICT_CAA_ALLOWED && rows[i].finished_at > since;
	return n;
}

static bool is_wildcard_text(struct str name, struct str *ret_base)
{
	*ret_base = name;
	return str_skip(ret_base, STR("*."));
}

/* The authorization that serves this name, its own before an ancestor's; NULL: none. *ret_own: what its proof saw of CAA
 * was seen at this very name. */
static const struct authz_row *authz_of_name(const struct caa_asking *q, struct str name, bool *ret_own)
{
	const struct authz_row *above = NULL;
	struct str base;
	bool wildcard = is_wildcard_text(name, &base);
	for (size_t i = 0; i < q->authz_count; i++) {
		const struct authz_row *z = &q->authzs[i];
		*ret_own = z->ident.type == IDENT_DNS && z->wildcard == wildcard && str_eq(z->ident.value, base);
		if (*ret_own)
			return z;
		if (z->subdomains && !z->wildcard && !wildcard && name_is_below(base, z->ident.value))
			above = z;
	}
	return above;
}

/* The latest lookup of this name for this order; NULL: none. */
static const struct attempt_row *attempt_of_name(const struct caa_asking *q, struct str name)
{
	for (size_t i = q->asked_count; i > 0; i--)
		if (str_eq(q->asked[i - 1].name, name))
			return &q->asked[i - 1];
	return NULL;
}

static fallible is_fresh(const struct caa_asking *q, struct store_tx *tx, struct id attempt, bool *ret, struct err *err)
{
	struct verdict_row *rows;
	size_t count;
	TRY(verdicts_of_attempt(tx, q->mem, attempt, &rows, &count, err));
	*ret = fresh_count(rows, count, q->now_ms - FRESH_MS) >= (size_t)q->zone->quorum;
	return OK;
}

static fallible asking_read(struct caa_asking *q, struct store_tx *tx, struct err *err)
{
	struct id *ids;
	TRY(order_authzs(tx, q->mem, q->order, &ids, &q->authz_count, err));
	q->authzs = ARENA_ARRAY(q->mem, struct authz_row, q->authz_count + 1);
	for (size_t i = 0; i < q->authz_count; i++)
		TRY(authz_by_id(tx, q->mem, ids[i], &q->authzs[i], err));
	return attempts_of_order(tx, q->mem, q->order, &q->asked, &q->asked_count, err);
}

/* --- asking again -------------------------------------------------------------------------------------------------*/

/* Where the method of a lookup stands. Of what a grant made valid nothing was validated: one is made that no client sees or
 * can answer, since its authorization was never pending. */
static fallible challenge_of_lookup(const struct caa_asking *q, struct store_tx *tx, const struct authz_row *z,
				    struct id *ret, struct err *err)
{
	struct attempt_row proof;
	struct challenge_row *have;
	size_t count;
	if (id_is_zero(z->grant)) {
		TRY(attempt_by_id(tx, q->mem, z->attempt, &proof, err));
		*ret = proof.challenge;
		return OK;
	}
	TRY(challenges_of_authz(tx, q->mem, z->id, &have, &count, err));
	if (count > 0) {
		*ret = have[0].id;
		return OK;
	}
	struct token_text token = token_new(q->a->d.rng);
	const struct challenge_row ch = { .id = id_new(q->a->d.clk, q->a->d.rng),
					  .authz = z->id,
					  .type = CHALLENGE_DNS01,
					  .status = CHALLENGE_PENDING,
					  .token = str_n(token.z, TOKEN_LEN) };
	*ret = ch.id;
	return challenge_insert(tx, &ch, err);
}

static fallible attempt_open(struct caa_asking *q, struct store_tx *tx, struct str name, const struct authz_row *z,
			     struct err *err)
{
	struct id challenge;
	TRY(challenge_of_lookup(q, tx, z, &challenge, err));
	const struct attempt_row row = {
		.id = id_new(q->a->d.clk, q->a->d.rng),
		.kind = ATTEMPT_CAA,
		.name = name,
		.challenge = challenge,
		.authz = z->id,
		.account = z->account,
		.order = q->order,
		.realm = q->realm->name,
		.zone = q->zone->name,
		.status = ATTEMPT_OPEN,
		.created_at = q->now_ms,
		.deadline_at = q->now_ms + q->zone->deadline_ms,
		.send_at = q->now_ms + q->view->conf->sweeper.resend_ms,
		.sends = 1,
	};
	TRY(attempt_insert(tx, &row, err));
	q->opened[q->opened_count++] = row.id;
	return OK;
}

static fallible name_ask(struct caa_asking *q, struct store_tx *tx, struct str name, struct err *err)
{
	bool own, fresh = false;
	const struct authz_row *z = authz_of_name(q, name, &own);
	const struct attempt_row *asked = attempt_of_name(q, name);
	if (z == NULL)
		FAIL(err, ERR_INTERNAL, "no authorization of the order is for %.*s", STR_FMT(name));
	if (own)
		TRY(is_fresh(q, tx, z->attempt, &fresh, err));
	if (!fresh && asked != NULL)
		TRY(is_fresh(q, tx, asked->id, &fresh, err));
	return fresh ? OK : attempt_open(q, tx, name, z, err);
}

fallible caa_ask_again(struct caa_asking *q, struct store_tx *tx, struct str realm, const struct ident *idents,
		       size_t count, struct err *err)
{
	q->opened_count = 0;
	q->realm = conf_realm(q->view->conf, realm);
	q->zone = q->realm == NULL ? NULL : conf_zone(q->view->conf, q->realm->zone);
	q->off = q->zone == NULL || str_eq(q->realm->caa, STR("off"));
	if (q->off)
		return OK;
	q->opened = ARENA_ARRAY(q->mem, struct id, count);
	TRY(asking_read(q, tx, err));
	for (size_t i = 0; i < count; i++)
		if (idents[i].type == IDENT_DNS)
			TRY(name_ask(q, tx, idents[i].value, err));
	return OK;
}

bool caa_send(const struct caa_asking *q)
{
	bool sent = false;
	for (size_t i = 0; i < q->opened_count; i++) {
		struct err why = { 0 };
		if (!FAILED(jobs_send_validation(q->a, q->view, q->opened[i], &why)))
			sent = true;
		else /* the sweeper sends it again */
			LOG(q->a->d.log, LOG_WARNING, "validation job not sent", KV_ID("order", q->order),
			    KV_ID("attempt", q->opened[i]), KV_ERR(&why));
	}
	LOG(q->a->d.log, LOG_INFO, "caa looked up again", KV_ID("order", q->order), KV_U64("names", q->opened_count));
	return sent;
}

/* --- what came of it ----------------------------------------------------------------------------------------------*/

enum verdict_caa caa_of_verdict(const struct verdict *v)
{
	if (v->valid)
		return v->caa_result == CAA_ALLOWED ? VERDICT_CAA_ALLOWED
		       : v->caa_only                ? VERDICT_CAA_FAILED /* it does not look: see why_not */
						    : VERDICT_CAA_NONE;
	if (!v->caa_only)
		return VERDICT_CAA_NONE;
	return v->problem == ERR_CAA ? VERDICT_CAA_DENIED : VERDICT_CAA_FAILED;
}

bool caa_decides(const struct verdict_row *rows, size_t count, size_t quorum, size_t perspectives)
{
	size_t allowed = 0, denied = 0;
	for (size_t i = 0; i < count; i++) {
		allowed += rows[i].caa == VERDICT_CAA_ALLOWED;
		denied += rows[i].caa == VERDICT_CAA_DENIED;
	}
	return allowed >= quorum || denied > perspectives - quorum;
}

/* What stands in the way of one name: a denial before a lookup that failed. */
static fallible why_not(const struct caa_asking *q, const struct attempt_row *at, const struct verdict_row *rows,
			size_t count, struct err *ret, struct err *err)
{
	const struct verdict_row *row = NULL;
	struct jws_compact jws;
	struct verdict v;
	for (size_t i = 0; i < count; i++)
		if (rows[i].caa == VERDICT_CAA_DENIED || (rows[i].caa == VERDICT_CAA_FAILED && row == NULL))
			row = &rows[i];
	if (row == NULL) {
		err_set(ret, ERR_UNAVAILABLE,
			"CAA had to be looked up again for %.*s, and not enough validators of zone %.*s answered "
			"within "
			"%lld s; this is a fault of the CA: make a new order and try again, and tell the operator if "
			"it "
			"goes on",
			STR_FMT(at->name), STR_FMT(at->zone), (long long)((at->deadline_at - at->created_at) / 1000));
		return OK;
	}
	TRY(jws_compact_read(q->mem, row->jws, STR(VERDICT_TYP), VERDICT_JWS_MAX, &jws, err));
	TRY(verdict_read(q->mem, jws.payload, &v, err));
	if (v.valid)
		err_set(ret, ERR_UNAVAILABLE,
			"perspective %.*s does not look up CAA in realm %.*s, and the API wants it; this is for the "
			"CA's "
			"operator to mend: realm.caa must be the same everywhere",
			STR_FMT(v.perspective), STR_FMT(v.realm));
	else
		err_set(ret, v.problem, "%.*s", STR_FMT(v.problem_detail));
	return OK;
}

/* Names that may not be issued, each with its reason. *ret_open: some are still being looked up. */
static fallible names_judge(const struct caa_asking *q, struct store_tx *tx, struct refusals *ret, bool *ret_open,
			    struct err *err)
{
	*ret_open = false;
	for (size_t i = 0; i < q->asked_count; i++) {
		const struct attempt_row *at = &q->asked[i];
		const struct conf_zone *zone = conf_zone(q->view->conf, at->zone);
		struct verdict_row *rows;
		struct err why = { 0 };
		size_t count;
		if (at != attempt_of_name(q, at->name))
			continue; /* an earlier round */
		*ret_open = *ret_open || at->status == ATTEMPT_OPEN;
		TRY(verdicts_of_attempt(tx, q->mem, at->id, &rows, &count, err));
		if (zone != NULL && fresh_count(rows, count, 0) >= (size_t)zone->quorum)
			continue;
		TRY(why_not(q, at, rows, count, &why, err));
		refusals_add(q->mem, ret, &why, STR("dns"), at->name);
	}
	return OK;
}

/* One problem for the order: a denial is what counts most. */
static void problem_of(const struct refusals *r, size_t names, struct err *ret)
{
	const struct refusal *worst = r->first;
	assert(worst != NULL); /* an order ends for a reason */
	for (const struct refusal *one = r->first; one != NULL; one = one->next)
		if (one->why.kind == ERR_CAA && worst->why.kind != ERR_CAA)
			worst = one;
	if (r->count == 1)
		*ret = worst->why;
	else
		err_set(ret, worst->why.kind,
			"CAA was looked up again, and %zu of %zu names may not be issued; subproblems says of each "
			"why; "
			"the first: %s",
			r->count, names, worst->why.detail);
}

static fallible order_end(struct caa_asking *q, struct store_tx *tx, const struct issuance_row *is,
			  const struct refusals *r, struct err *err)
{
	struct str extra;
	TRY(refusals_subproblems(q->mem, r, &extra, err));
	problem_of(r, q->asked_count, &q->why);
	q->failed = true;
	return jobs_fail_issuance(tx, q->mem, is, ISSUANCE_ABANDONED, "api", q->now_ms, &q->why, extra, err);
}

fallible caa_settle(struct caa_asking *q, struct store_tx *tx, struct err *err)
{
	struct issuance_row is;
	struct refusals refused = { 0 };
	bool open;
	q->failed = q->ready = false;
	TRY(issuance_by_order(tx, q->mem, q->order, &is, err));
	if (is.status != ISSUANCE_INTENDED || !is.held)
		return OK;
	TRY(asking_read(q, tx, err));
	TRY(names_judge(q, tx, &refused, &open, err));
	if (open)
		return OK;
	if (refused.count > 0)
		return order_end(q, tx, &is, &refused, err);
	q->ready = true;
	q->issuance = is.id;
	return issuance_hold(tx, is.id, false, q->now_ms + q->view->conf->sweeper.resend_ms, err);
}

void caa_after(const struct caa_asking *q)
{
	struct err why = { 0 };
	if (q->ready && FAILED(jobs_send_signing(q->a, q->issuance, &why))) /* the sweeper sends it again */
		LOG(q->a->d.log, LOG_WARNING, "sign job not sent", KV_ID("order", q->order),
		    KV_ID("issuance", q->issuance), KV_ERR(&why));
	if (!q->failed)
		return;
	LOG(q->a->d.log, LOG_WARNING, "issuance ended by caa", KV_ID("order", q->order), KV_ERR(&q->why));
	waitroom_call(q->a->room, q->order);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * apply.c: verdicts that come back on the bus. A message may be repeated, late or forged: the verdict's signature is
 * checked against the pinned key, its words against the attempt's rows, and every change is a conditional move, so that
 * only the first one counts.
 */
#include "acme/caa.h"

struct verdict_apply {
	struct acme *a;
	const struct view *view;
	struct arena *mem;
	int64_t now_ms;
	struct verdict verdict;
	struct str jws;
	struct attempt_row attempt;
	struct challenge_row challenge;
	struct authz_row authz;
	struct caa_asking caa;
	const char *outcome; /* for the log; NULL: nothing was decided */
	size_t ready;        /* orders that became ready */
};

/* Of what: the authorization's name, or the one whose CAA is looked up again for an order. */
static bool subject_fits(const struct verdict_apply *v)
{
	const struct verdict *got = &v->verdict;
	bool caa = v->attempt.kind == ATTEMPT_CAA;
	struct ident want = caa ? (struct ident){ IDENT_DNS, v->attempt.name } : v->authz.ident;
	bool wildcard = caa ? str_skip(&want.value, STR("*.")) : v->authz.wildcard;
	bool granted = caa && !id_is_zero(v->authz.grant);
	return got->caa_only == caa && got->granted == granted && got->ident.type == want.type &&
	       str_eq(got->ident.value, want.value) && got->wildcard == wildcard &&
	       got->subdomains == (!caa && v->authz.subdomains);
}

/* Validators of before say nothing of the account, and looked at nothing that depends on it. */
static bool account_fits(const struct verdict_apply *v)
{
	struct str url = v->verdict.account_url;
	if (url.n == 0)
		return !challenge_wants_account_url(v->challenge.type);
	return str_ends(url, str_fmt(v->mem, "/account/%s", id_show(v->attempt.account).z));
}

fallible perspective_of_zone(const struct view *view, struct str zone_name, struct str perspective, struct err *err)
{
	const struct conf_zone *zone = conf_zone(view->conf, zone_name);
	if (zone == NULL || !conf_list_has(&zone->perspectives, perspective))
		FAIL(err, ERR_UNAUTHORIZED, "perspective %.*s is not in zone %.*s", STR_FMT(perspective),
		     STR_FMT(zone_name));
	return OK;
}

/* A verdict is what its perspective signed, about this very challenge; anything else is dropped and logged as an alarm.
 */
static fallible verdict_fits(const struct verdict_apply *v, struct err *err)
{
	const struct verdict *got = &v->verdict;
	if (!id_eq(got->attempt, v->attempt.id) || !id_eq(got->authz, v->authz.id) ||
	    got->method != v->challenge.type || !subject_fits(v) || !str_eq(got->token, v->challenge.token) ||
	    !str_eq(got->thumbprint, v->authz.thumbprint) || !str_eq(got->realm, v->attempt.realm) ||
	    !str_eq(got->zone, v->attempt.zone) || !account_fits(v))
		FAIL(err, ERR_UNAUTHORIZED, "the verdict is about something else than its attempt");
	return perspective_of_zone(v->view, v->attempt.zone, got->perspective, err);
}

#define PERSIST_VALID_MS ((int64_t)10 * 86400 * 1000) /* BR 3.2.2.4.22 */

/* draft-ietf-acme-dns-persist-02 4.1: no longer than the record says, as each perspective saw it; and ten days at most. */
static fallible persist_clamp(const struct verdict_apply *v, struct store_tx *tx, int64_t *end, struct err *err)
{
	struct verdict_row *rows;
	size_t count;
	if (v->challenge.type != CHALLENGE_DNSPERSIST01)
		return OK;
	if (*end > v->now_ms + PERSIST_VALID_MS)
		*end = v->now_ms + PERSIST_VALID_MS;
	TRY(verdicts_of_attempt(tx, v->mem, v->attempt.id, &rows, &count, err));
	for (size_t i = 0; i < count; i++) {
		struct jws_compact jws;
		struct verdict seen;
		int64_t until_ms;
		TRY(jws_compact_read(v->mem, rows[i].jws, STR(VERDICT_TYP), VERDICT_JWS_MAX, &jws, err));
		TRY(verdict_read(v->mem, jws.payload, &seen, err));
		if (seen.persist_until_s == 0 || __builtin_mul_overflow(seen.persist_until_s, 1000, &until_ms))
			continue;
		if (*end > until_ms)
			*end = until_ms;
	}
	return OK;
}

/* RFC 8555 7.1.6: the authorization is proved; orders that waited for nothing else become ready. */
static fallible verdict_prove(struct verdict_apply *v, struct store_tx *tx, struct err *err)
{
	const struct conf_realm *realm = conf_realm(v->view->conf, v->attempt.realm);
	struct id *orders;
	size_t count, open;
	int64_t reuse_end = v->now_ms + (realm == NULL ? 0 : realm->authz_valid_s * 1000);
	/* However short the reuse: the orders that wait for it end no later than it would have pending, and need it
	 * until then. */
	int64_t end = reuse_end > v->authz.expires_at ? reuse_end : v->authz.expires_at;
	TRY(persist_clamp(v, tx, &end, err));
	TRY(attempt_move(tx, v->attempt.id, ATTEMPT_OPEN, ATTEMPT_DECIDED, err));
	TRY(challenge_end(tx, v->challenge.id, CHALLENGE_VALID, v->now_ms, STR_NONE, err));
	v->outcome = "valid";
	struct rc rc = authz_prove(tx, v->authz.id, v->attempt.id, end, err);
	if (rc.kind == ERR_CONFLICT) /* deactivated while it was being proved */
		return OK;
	TRY(rc);
	TRY(orders_of_authz(tx, v->mem, v->authz.id, ORDER_PENDING, &orders, &count, err));
	for (size_t i = 0; i < count; i++) {
		TRY(order_open_authzs(tx, orders[i], v->authz.thumbprint, v->now_ms, &open, err));
		if (open > 0)
			continue;
		TRY(order_move(tx, orders[i], ORDER_PENDING, ORDER_READY, err));
		v->ready++;
	}
	return OK;
}

static fallible verdict_disprove(struct verdict_apply *v, struct store_tx *tx, const struct err *why, struct err *err)
{
	struct str problem;
	TRY(problem_text(v->mem, why, STR_NONE, &problem, err));
	v->outcome = "invalid";
	return jobs_fail_challenge(tx, v->mem, &v->challenge, v->attempt.id, v->now_ms, problem, err);
}

/* Counts what is in: quorum many good ones decide, and so do so many bad ones that a quorum cannot come any more. */
static fallible verdict_decide(struct verdict_apply *v, struct store_tx *tx, struct err *err)
{
	const struct conf_zone *zone = conf_zone(v->view->conf, v->attempt.zone);
	struct verdict_row *rows;
	size_t count, good = 0;
	if (v->verdict.valid && zone->quorum == 1) /* whatever others say */
		return verdict_prove(v, tx, err);
	TRY(verdicts_of_attempt(tx, v->mem, v->attempt.id, &rows, &count, err));
	for (size_t i = 0; i < count; i++)
		good += rows[i].valid;
	if (good >= (size_t)zone->quorum)
		return verdict_prove(v, tx, err);
	if (count - good <= zone->perspectives.n - (size_t)zone->quorum)
		return OK;
	struct err why = { 0 };
	err_set(&why, v->verdict.problem, "%.*s", STR_FMT(v->verdict.problem_detail));
	return verdict_disprove(v, tx, &why, err);
}

/* draft-ietf-acme-dns-persist-02 4.2: a record proves nothing for an account that has ended, from that moment on. */
static fallible verdict_of_ended_account(struct verdict_apply *v, struct store_tx *tx, bool *ret, struct err *err)
{
	struct account_row account;
	struct err why = { 0 };
	*ret = false;
	if (v->challenge.type != CHALLENGE_DNSPERSIST01)
		return OK;
	TRY(account_by_id(tx, v->mem, v->attempt.account, &account, err));
	*ret = account.status != ACCOUNT_VALID;
	if (!*ret)
		return OK;
	err_set(&why, ERR_UNAUTHORIZED, "the account is %s: its dns-persist-01 records prove nothing any more",
		account_status_name(account.status));
	return verdict_disprove(v, tx, &why, err);
}

/* A lookup of CAA for an order that waits for it. */
static fallible verdict_decide_caa(struct verdict_apply *v, struct store_tx *tx, struct err *err)
{
	const struct conf_zone *zone = conf_zone(v->view->conf, v->attempt.zone);
	struct verdict_row *rows;
	size_t count;
	TRY(verdicts_of_attempt(tx, v->mem, v->attempt.id, &rows, &count, err));
	if (!caa_decides(rows, count, (size_t)zone->quorum, zone->perspectives.n))
		return OK;
	TRY(attempt_move(tx, v->attempt.id, ATTEMPT_OPEN, ATTEMPT_DECIDED, err));
	v->outcome = "caa";
	v->caa.order = v->attempt.order;
	return caa_settle(&v->caa, tx, err);
}

static fallible verdict_tx(struct store_tx *tx, void *ctx, struct err *err)
{
	struct verdict_apply *v = ctx;
	bool fresh;
	v->outcome = NULL;
	v->ready = 0;
	v->caa.ready = v->caa.failed = false;
	TRY(attempt_by_id(tx, v->mem, v->verdict.attempt, &v->attempt, err));
	TRY(challenge_by_id(tx, v->mem, v->attempt.challenge, &v->challenge, err));
	TRY(authz_by_id(tx, v->mem, v->attempt.authz, &v->authz, err));
	TRY(verdict_fits(v, err));
	if (v->attempt.status != ATTEMPT_OPEN)
		return OK;
	bool ended;
	TRY(verdict_of_ended_account(v, tx, &ended, err));
	if (ended)
		return OK;
	struct verdict_row row = { .attempt = v->attempt.id,
				   .perspective = v->verdict.perspective,
				   .valid = v->verdict.valid,
				   .jws = v->jws,
				   .received_at = v->now_ms,
				   .caa = caa_of_verdict(&v->verdict),
				   .finished_at = v->verdict.finished_ms };
	TRY(verdict_insert(tx, &row, &fresh, err));
	if (!fresh)
		return OK;
	return v->attempt.kind == ATTEMPT_CAA ? verdict_decide_caa(v, tx, err) : verdict_decide(v, tx, err);
}

static fallible verdict_open(struct verdict_apply *v, struct str body, struct id *ret_order, struct err *err)
{
	struct verdict_message m;
	struct jws_compact jws;
	TRY(verdict_message_read(v->mem, body, &m, err));
	*ret_order = m.order;
	const struct key *key = view_perspective_key(v->view, m.perspective);
	if (key == NULL)
		FAIL(err, ERR_UNAUTHORIZED, "no key is pinned for perspective %.*s", STR_FMT(m.perspective));
	TRY(jws_compact_read(v->mem, m.jws, STR(VERDICT_TYP), VERDICT_JWS_MAX, &jws, err));
	TRY(jws_compact_verify(v->a->d.crypto, &jws, key, err));
	TRY(verdict_read(v->mem, jws.payload, &v->verdict, err));
	if (!str_eq(v->verdict.perspective, m.perspective) || !str_eq(jws.kid, m.perspective) ||
	    !id_eq(v->verdict.attempt, m.attempt))
		FAIL(err, ERR_UNAUTHORIZED, "the verdict is not the one that its envelope names");
	v->jws = m.jws;
	return OK;
}

static void log_verdict(const struct verdict_apply *v, struct id order)
{
	const struct log *log = v->a->d.log;
	LOG(log, LOG_INFO, "verdict received", KV_ID("order", order), KV_ID("authz", v->authz.id),
	    KV_ID("attempt", v->attempt.id), KV_STR("perspective", v->verdict.perspective),
	    KV_STR("name", v->verdict.ident.value), KV_BOOL("valid", v->verdict.valid),
	    KV_Z("decided", v->outcome == NULL ? "not yet" : v->outcome), KV_U64("orders_ready", v->ready),
	    KV_STR("detail", v->verdict.problem_detail));
}

bool apply_is_put_off(struct rc rc)
{
	return rc.kind == ERR_UNAVAILABLE || rc.kind == ERR_TIMEOUT || rc.kind == ERR_CLOSED;
}

fallible acme_apply_verdict(struct acme *a, struct str body, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(view_auto) struct view *view = view_get(a);
	struct verdict_apply v = { .a = a, .view = view, .mem = &mem, .now_ms = clock_now_ms(a->d.clk) };
	v.caa = (struct caa_asking){ .a = a, .view = view, .mem = &mem, .now_ms = v.now_ms };
	struct id order = { 0 };
	struct rc rc = verdict_open(&v, body, &order, err);
	if (!FAILED(rc) && !v.verdict.valid && v.verdict.problem == ERR_INTERNAL) {
		/* A fault of the validator's own is no vote: the sweeper asks again until the deadline. */
		LOG(a->d.log, LOG_ERROR, "validator failed", KV_ID("order", order), KV_ID("attempt", v.verdict.attempt),
		    KV_STR("perspective", v.verdict.perspective), KV_STR("detail", v.verdict.problem_detail));
		return OK;
	}
	FP("acme.verdict_came");
	if (!FAILED(rc))
		rc = store_tx(a->d.store, verdict_tx, &v, err);
	FP("acme.verdict_kept");
	if (apply_is_put_off(rc))
		return rc;
	if (rc.kind == ERR_NOT_FOUND)
		LOG(a->d.log, LOG_INFO, "verdict dropped: its attempt is gone", KV_ID("order", order),
		    KV_ID("attempt", v.verdict.attempt));
	else if (FAILED(rc))
		LOG(a->d.log, LOG_ERROR, "alarm: verdict refused", KV_ID("order", order),
		    KV_ID("attempt", v.verdict.attempt), KV_ERR(err));
	else
		log_verdict(&v, order);
	if (!FAILED(rc))
		caa_after(&v.caa);
	if (!FAILED(rc) && v.outcome != NULL)
		waitroom_call(a->room, v.challenge.id);
	return OK;
}

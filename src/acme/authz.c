/* SPDX-License-Identifier: Apache-2.0
 *
 * authz.c: the authorization and challenge resources (RFC 8555 7.1.4, 7.5). Answering a challenge starts an attempt:
 * the row first, then the job, so that a crash between the two is a delay that the sweeper ends.
 */
#include "acme/order.h"

struct authz_view {
	struct call *c;
	struct authz_row row;
	struct challenge_row *challenges;
	size_t count;
	bool deactivate;
};

static fallible authz_of_call(struct call *c, struct store_tx *tx, struct id id, struct authz_row *ret, struct err *err)
{
	struct rc rc = authz_by_id(tx, c->mem, id, ret, err);
	if (FAILED(rc) && rc.kind != ERR_NOT_FOUND)
		return rc;
	if (FAILED(rc) || !id_eq(ret->account, c->account.id))
		FAIL(err, ERR_NOT_FOUND, "this account has no such authorization");
	return OK;
}

static fallible authz_view_read(struct store_tx *tx, void *ctx, struct err *err)
{
	struct authz_view *v = ctx;
	TRY(call_account(v->c, tx, err));
	TRY(authz_of_call(v->c, tx, v->c->path_id, &v->row, err));
	return challenges_of_authz(tx, v->c->mem, v->row.id, &v->challenges, &v->count, err);
}

/* RFC 8555 7.1.6: an order that is not finalized yet ends with any of its authorizations. */
static fallible orders_end_with_authz(struct authz_view *v, struct store_tx *tx, struct err *err)
{
	static const enum order_status open[] = { ORDER_PENDING, ORDER_READY };
	struct err why = { 0 };
	struct str problem;
	err_set(&why, ERR_UNAUTHORIZED, "the authorization for %.*s was deactivated", STR_FMT(v->row.ident.value));
	TRY(problem_text(v->c->mem, &why, STR_NONE, &problem, err));
	for (size_t s = 0; s < ARRAY_LEN(open); s++) {
		struct id *orders;
		size_t count;
		TRY(orders_of_authz(tx, v->c->mem, v->row.id, open[s], &orders, &count, err));
		for (size_t i = 0; i < count; i++)
			TRY(order_fail(tx, orders[i], open[s], problem, err));
	}
	return OK;
}

/* RFC 8555 7.5.2: pending or valid -> deactivated. */
static fallible authz_deactivate_tx(struct store_tx *tx, void *ctx, struct err *err)
{
	struct authz_view *v = ctx;
	TRY(account_still_valid(v->c, tx, err));
	TRY(authz_view_read(tx, ctx, err));
	if (v->row.status == AUTHZ_DEACTIVATED)
		return OK;
	if (!authz_may_move(v->row.status, AUTHZ_DEACTIVATED))
		FAIL(err, ERR_MALFORMED, "the authorization is %s; only a pending or valid one can be deactivated",
		     authz_status_name(v->row.status));
	TRY(authz_move(tx, v->row.id, v->row.status, AUTHZ_DEACTIVATED, err));
	v->row.status = AUTHZ_DEACTIVATED;
	TRY(call_audit(
		v->c, tx, "authorization deactivated", str_fmt(v->c->mem, "authz:%s", id_show(v->row.id).z),
		str_fmt(v->c->mem, "{\"name\":\"%s%.*s\"}", v->row.wildcard ? "*." : "", STR_FMT(v->row.ident.value)),
		err));
	return orders_end_with_authz(v, tx, err);
}

fallible post_authz(struct call *c, struct err *err)
{
	struct authz_view v = { .c = c };
	struct str status = STR_NONE;
	if (c->payload != NULL) {
		TRY(json_want_str(c->payload, "status", 32, &status, err));
		if (!str_eq(status, STR("deactivated")))
			FAIL(err, ERR_MALFORMED, "status is \"%.*s\"; a client can only set \"deactivated\"",
			     STR_FMT(status));
		TRY(store_tx(c->a->d.store, authz_deactivate_tx, &v, err));
		LOG(c->a->d.log, LOG_INFO, "authorization deactivated", KV_ID("authz", v.row.id),
		    KV_ID("account", c->account.id));
	} else {
		TRY(store_read(c->a->d.store, authz_view_read, &v, err));
	}
	return reply_authz(c, 200, &v.row, false, v.challenges, v.count, err);
}

struct answer {
	struct call *c;
	struct challenge_row challenge;
	struct authz_row authz;
	struct attempt_row attempt;
	bool started;
	bool last;        /* nothing else of its order is open: the client will do nothing else before it is decided */
	bool spends;      /* of its order's patience */
	int64_t until_ms; /* when that ends, by the monotonic clock */
};

static fallible challenge_of_call(struct answer *a, struct store_tx *tx, struct err *err)
{
	struct call *c = a->c;
	struct rc rc = challenge_by_id(tx, c->mem, c->path_id, &a->challenge, err);
	if (!FAILED(rc))
		rc = authz_of_call(c, tx, a->challenge.authz, &a->authz, err);
	if (rc.kind == ERR_NOT_FOUND)
		FAIL(err, ERR_NOT_FOUND, "this account has no such challenge");
	return rc;
}

static fallible challenge_read(struct store_tx *tx, void *ctx, struct err *err)
{
	struct answer *a = ctx;
	TRY(call_account(a->c, tx, err));
	return challenge_of_call(a, tx, err);
}

/* The order that the log lines of this attempt name: an authorization may serve several. */
static fallible attempt_order(struct answer *a, struct store_tx *tx, struct id *ret, struct err *err)
{
	struct id *orders;
	size_t count;
	TRY(orders_of_authz(tx, a->c->mem, a->authz.id, ORDER_PENDING, &orders, &count, err));
	*ret = count > 0 ? orders[count - 1] : (struct id){ 0 };
	return OK;
}

static fallible attempt_is_last(struct answer *a, struct store_tx *tx, struct err *err)
{
	size_t open = 0;
	if (!id_is_zero(a->attempt.order))
		TRY(order_open_authzs(tx, a->attempt.order, a->authz.thumbprint, a->c->now_ms, &open, err));
	a->last = open <= 1;
	return OK;
}

static fallible challenge_may_begin(const struct answer *a, struct err *err)
{
	const struct call *c = a->c;
	const char *method = challenge_type_name(a->challenge.type);
	if (a->authz.status != AUTHZ_PENDING || a->authz.expires_at <= c->now_ms)
		FAIL(err, ERR_MALFORMED, "the authorization is %s; make a new order for a new one",
		     a->authz.status == AUTHZ_PENDING ? "expired" : authz_status_name(a->authz.status));
	if (!realm_offers(c->realm, a->challenge.type)) /* A40: a reload took it away */
		FAIL(err, ERR_MALFORMED,
		     "%s is not offered any more; use another challenge of the authorization, or make a new order",
		     method);
	return OK;
}

/* The key was changed since the authorization was made: what nobody has begun to prove is proved under the new one. */
static fallible authz_take_over(struct answer *a, struct store_tx *tx, struct err *err)
{
	struct str now = str_z(a->c->thumbprint.z);
	if (str_eq(a->authz.thumbprint, now))
		return OK;
	struct rc rc = authz_set_thumbprint(tx, a->authz.id, now, err);
	if (rc.kind == ERR_CONFLICT)
		FAIL(err, ERR_MALFORMED,
		     "another challenge of this authorization is being validated under the account's earlier key; wait "
		     "for it, then make a new order");
	a->authz.thumbprint = now;
	return rc;
}

static fallible answer_tx(struct store_tx *tx, void *ctx, struct err *err)
{
	struct answer *a = ctx;
	struct call *c = a->c;
	a->started = false;
	TRY(account_still_valid(c, tx, err));
	TRY(challenge_of_call(a, tx, err));
	if (a->challenge.status != CHALLENGE_PENDING) /* a repeat: it gets the challenge as it is */
		return OK;
	TRY(challenge_may_begin(a, err));
	TRY(authz_take_over(a, tx, err));
	const struct conf_zone *zone = conf_zone(c->conf, c->realm->zone);
	a->attempt = (struct attempt_row){
		.id = id_new(c->a->d.clk, c->a->d.rng),
		.challenge = a->challenge.id,
		.authz = a->authz.id,
		.account = c->account.id,
		.realm = c->realm->name,
		.zone = zone->name,
		.status = ATTEMPT_OPEN,
		.created_at = c->now_ms,
		.deadline_at = c->now_ms + zone->deadline_ms,
		.send_at = c->now_ms + c->conf->sweeper.resend_ms,
		.sends = 1,
	};
	TRY(attempt_order(a, tx, &a->attempt.order, err));
	TRY(attempt_is_last(a, tx, err));
	TRY(attempt_insert(tx, &a->attempt, err));
	TRY(challenge_begin(tx, a->challenge.id, a->attempt.id, err));
	a->challenge.status = CHALLENGE_PROCESSING;
	a->started = true;
	return OK;
}

/* A reset, a drain or a job that was not sent ends a wait as well, and tells nothing of validation. */
static void answer_waited(const struct answer *a, bool called)
{
	int64_t now_ms = clock_mono_ms(a->c->a->d.clk);
	enum patience_end how = called                  ? PATIENCE_CALLED
				: now_ms >= a->until_ms ? PATIENCE_IN_VAIN
							: PATIENCE_CUT_SHORT;
	patience_end(a->c->a->patience, a->attempt.order, now_ms, how);
}

static fallible challenge_reply(struct call *c, bool called, struct err *err)
{
	struct answer *a = c->then_ctx, now = *a;
	if (a->spends)
		answer_waited(a, called);
	struct rc rc = store_read(c->a->d.store, challenge_read, &now, err);
	if (called)
		TRY(rc);
	/* Without news the answer is the one that there was before the wait: it was accepted then. */
	return reply_challenge(c, FAILED(rc) ? &a->challenge : &now.challenge, err);
}

/* How long this client may wait: with nothing else to do, all the time; else as long as it loses nothing by it. */
static int64_t answer_patience(struct answer *a)
{
	const struct call *c = a->c;
	int64_t wait_ms = c->conf->api.challenge_wait_ms;
	if (a->last || wait_ms == 0)
		return wait_ms;
	int64_t now_ms = clock_mono_ms(c->a->d.clk);
	wait_ms = patience_begin(c->a->patience, a->attempt.order, now_ms, wait_ms);
	a->spends = wait_ms > 0;
	a->until_ms = now_ms + wait_ms;
	return wait_ms;
}

/* True: it is parked. */
static bool send_and_park(struct answer *a)
{
	struct call *c = a->c;
	struct err why = { 0 };
	bool parked = call_park(c, answer_patience(a), a->challenge.id, challenge_reply, a);
	if (!parked && a->spends)
		patience_end(c->a->patience, a->attempt.order, clock_mono_ms(c->a->d.clk), PATIENCE_CUT_SHORT);
	bool sent = !FAILED(jobs_send_attempt(c->a, c->view, &a->attempt, &a->challenge, &a->authz, &why));
	if (!sent) /* the sweeper sends it again */
		LOG(c->a->d.log, LOG_WARNING, "validation job not sent", KV_ID("order", a->attempt.order),
		    KV_ID("attempt", a->attempt.id), KV_ERR(&why));
	FP("acme.attempt_sent");
	if (parked && !sent)
		http_parking_end(c->rq->parking);
	return parked;
}

fallible post_challenge(struct call *c, struct err *err)
{
	struct answer *a = ARENA_NEW(c->mem, struct answer);
	a->c = c;
	if (c->payload == NULL) { /* POST-as-GET */
		TRY(store_read(c->a->d.store, challenge_read, a, err));
		return reply_challenge(c, &a->challenge, err);
	}
	TRY(store_tx(c->a->d.store, answer_tx, a, err));
	if (a->started) {
		FP("acme.attempt_made");
		LOG(c->a->d.log, LOG_INFO, "validation started", KV_ID("order", a->attempt.order),
		    KV_ID("authz", a->authz.id), KV_ID("attempt", a->attempt.id), KV_STR("name", a->authz.ident.value),
		    KV_Z("method", challenge_type_name(a->challenge.type)));
		if (send_and_park(a))
			return OK;
	}
	return reply_challenge(c, &a->challenge, err);
}

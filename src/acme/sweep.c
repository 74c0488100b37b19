/* SPDX-License-Identifier: Apache-2.0
 *
 * sweep.c: the sweeper (DESIGN 3): the bus may lose anything, since every row that waits for an answer has a time at
 * which its job is sent again, and every attempt a deadline after which it ends with a reason (promise 3). It also
 * removes what retention allows (promise 8). All in small steps, so that it never holds up a client.
 */
#include "acme/app.h"

#define BATCH 200
#define RETENTION_EVERY_MS (60 * 1000)
#define RESEND_MAX_MS (30 * 1000)

struct due {
	struct acme *a;
	struct arena *mem;
	int64_t now_ms;
	struct attempt_row *attempts;
	size_t attempt_count;
	struct issuance_row *issuances;
	size_t issuance_count;
};

static fallible due_read(struct store_tx *tx, void *ctx, struct err *err)
{
	struct due *d = ctx;
	TRY(attempts_due(tx, d->mem, d->now_ms, BATCH, &d->attempts, &d->attempt_count, err));
	return issuances_due(tx, d->mem, d->now_ms, BATCH, &d->issuances, &d->issuance_count, err);
}

struct one {
	struct due *due;
	const struct attempt_row *attempt;
	const struct issuance_row *issuance;
	int64_t next_ms;
	struct str problem;
};

/* Twice as long each time: a dead signer is not buried under jobs, and a live one answers within RESEND_MAX of its
 * return. */
static int64_t next_send(const struct conf *conf, int64_t now_ms, unsigned sends)
{
	int64_t wait = conf->sweeper.resend_ms;
	for (unsigned i = 1; i < sends && wait < RESEND_MAX_MS; i++)
		wait *= 2;
	return now_ms + (wait > RESEND_MAX_MS ? RESEND_MAX_MS : wait);
}

static fallible attempt_end_tx(struct store_tx *tx, void *ctx, struct err *err)
{
	struct one *o = ctx;
	struct challenge_row ch;
	struct attempt_row now;
	TRY(attempt_by_id(tx, o->due->mem, o->attempt->id, &now, err));
	if (now.status != ATTEMPT_OPEN) /* a verdict came between */
		return OK;
	TRY(challenge_by_id(tx, o->due->mem, o->attempt->challenge, &ch, err));
	return jobs_fail_challenge(tx, o->due->mem, &ch, o->attempt->id, o->due->now_ms, o->problem, err);
}

static fallible attempt_sent_tx(struct store_tx *tx, void *ctx, struct err *err)
{
	struct one *o = ctx;
	struct rc rc = attempt_sent(tx, o->attempt->id, o->next_ms, err);
	return rc.kind == ERR_CONFLICT ? OK : rc;
}

static fallible issuance_sent_tx(struct store_tx *tx, void *ctx, struct err *err)
{
	struct one *o = ctx;
	struct rc rc = issuance_sent(tx, o->issuance->id, o->next_ms, err);
	return rc.kind == ERR_CONFLICT ? OK : rc;
}

static fallible attempt_expire(struct one *o, struct err *err)
{
	struct acme *a = o->due->a;
	struct err why = { 0 };
	err_set(&why, ERR_UNAVAILABLE,
		"no validator of zone %.*s answered within %lld s; this is a fault of the CA, not of your server: make "
		"a new order and try "
		"again, and tell the operator if it goes on",
		STR_FMT(o->attempt->zone), (long long)((o->attempt->deadline_at - o->attempt->created_at) / 1000));
	TRY(problem_text(o->due->mem, &why, STR_NONE, &o->problem, err));
	TRY(store_tx(a->d.store, attempt_end_tx, o, err));
	LOG(a->d.log, LOG_ERROR, "validation ended without a verdict", KV_ID("order", o->attempt->order),
	    KV_ID("attempt", o->attempt->id), KV_STR("zone", o->attempt->zone), KV_U64("sends", o->attempt->sends));
	return OK;
}

static fallible attempt_sweep(struct one *o, const struct view *view, struct err *err)
{
	struct acme *a = o->due->a;
	if (o->attempt->deadline_at <= o->due->now_ms)
		return attempt_expire(o, err);
	o->next_ms = next_send(view->conf, o->due->now_ms, o->attempt->sends);
	if (o->next_ms > o->attempt->deadline_at)
		o->next_ms = o->attempt->deadline_at;
	TRY(store_tx(a->d.store, attempt_sent_tx, o, err));
	LOG(a->d.log, LOG_INFO, "validation job sent again", KV_ID("order", o->attempt->order),
	    KV_ID("attempt", o->attempt->id), KV_U64("sends", o->attempt->sends + 1u));
	return jobs_send_validation(a, view, o->attempt->id, err);
}

static fallible issuance_sweep(struct one *o, const struct view *view, struct err *err)
{
	struct acme *a = o->due->a;
	o->next_ms = next_send(view->conf, o->due->now_ms, o->issuance->sends);
	TRY(store_tx(a->d.store, issuance_sent_tx, o, err));
	LOG(a->d.log, LOG_INFO, "sign job sent again", KV_ID("order", o->issuance->order),
	    KV_ID("issuance", o->issuance->id), KV_U64("sends", o->issuance->sends + 1u));
	return jobs_send_signing(a, view, o->issuance->id, err);
}

/* One that cannot be helped now does not keep the others waiting. */
static void log_stuck(const struct acme *a, struct id order, struct rc rc, const struct err *why)
{
	if (FAILED(rc))
		LOG(a->d.log, LOG_WARNING, "job not sent", KV_ID("order", order), KV_ERR(why));
}

static fallible sweep_due(struct acme *a, const struct view *view, int64_t now_ms, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct due d = { .a = a, .mem = &mem, .now_ms = now_ms };
	TRY(store_read(a->d.store, due_read, &d, err));
	for (size_t i = 0; i < d.attempt_count; i++) {
		struct one o = { .due = &d, .attempt = &d.attempts[i] };
		struct err why = { 0 };
		log_stuck(a, o.attempt->order, attempt_sweep(&o, view, &why), &why);
	}
	for (size_t i = 0; i < d.issuance_count; i++) {
		struct one o = { .due = &d, .issuance = &d.issuances[i] };
		struct err why = { 0 };
		log_stuck(a, o.issuance->order, issuance_sweep(&o, view, &why), &why);
	}
	return OK;
}

struct clean {
	const struct view *view;
	int64_t now_ms;
	size_t expired, removed;
};

static fallible expire_tx(struct store_tx *tx, void *ctx, struct err *err)
{
	struct clean *c = ctx;
	return sweep_expired(tx, c->now_ms, BATCH, &c->expired, err);
}

static fallible retention_tx(struct store_tx *tx, void *ctx, struct err *err)
{
	struct clean *c = ctx;
	const struct conf *conf = c->view->conf;
	return sweep_retention(tx, c->now_ms - conf->store.keep_ended_s * 1000,
			       c->now_ms / 1000 - conf->store.keep_expired_s, BATCH, &c->removed, err);
}

static fallible sweep_clean(struct acme *a, const struct view *view, int64_t now_ms, struct err *err)
{
	struct clean c = { .view = view, .now_ms = now_ms };
	do { /* bounded: each round ends rows that the next one does not find */
		TRY(store_tx(a->d.store, expire_tx, &c, err));
	} while (c.expired >= BATCH);
	if (now_ms < a->next_retention_ms)
		return OK;
	TRY(store_tx(a->d.store, retention_tx, &c, err));
	if (c.removed > 0)
		LOG(a->d.log, LOG_INFO, "retention removed rows", KV_U64("rows", c.removed));
	if (c.removed < BATCH) /* otherwise there is more: go on in the next round */
		a->next_retention_ms = now_ms + RETENTION_EVERY_MS;
	return OK;
}

fallible acme_sweep(struct acme *a, struct err *err)
{
	AUTO(view_auto) struct view *view = view_get(a);
	int64_t now_ms = clock_now_ms(a->d.clk);
	TRY(sweep_due(a, view, now_ms, err));
	return sweep_clean(a, view, now_ms, err);
}

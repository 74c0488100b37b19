/* SPDX-License-Identifier: Apache-2.0
 *
 * sweep.c: the sweeper (DESIGN 3): the bus may lose anything, since every row that waits for an answer has a time at
 * which its job is sent again, and every attempt a deadline after which it ends with a reason (promise 3). It also
 * removes what retention allows (promise 8). All in small steps, so that it never holds up a client.
 */
#include "acme/caa.h"

#define BATCH 100
#define BATCHES_A_ROUND 100
#define RECOVER_MAX (BATCH * BATCHES_A_ROUND)
#define RETENTION_EVERY_MS (60 * 1000)
/* A transaction of retention takes a few milliseconds with so many orders in it: who meets one waits no longer than for the
 * commits of others. */
#define RETENTION_STEP 8
#define STEPS_A_ROUND 2000
#define RESEND_MAX_MS (30 * 1000)

struct due {
	struct acme *a;
	const struct view *view;
	struct arena *mem;
	int64_t now_ms;
	int64_t until_ms; /* what is due until then; ... */
	size_t limit;     /* ... so many of each kind at once */
	bool recovering;  /* the first round of a process */
	struct attempt_row *attempts;
	size_t attempt_count;
	struct issuance_row *issuances;
	size_t issuance_count;
};

static fallible due_read(struct store_tx *tx, void *ctx, struct err *err)
{
	struct due *d = ctx;
	TRY(attempts_due(tx, d->mem, d->until_ms, d->limit, &d->attempts, &d->attempt_count, err));
	return issuances_due(tx, d->mem, d->until_ms, d->limit, &d->issuances, &d->issuance_count, err);
}

/* Twice as long each time: a dead signer is not buried under jobs, and a live one answers within RESEND_MAX of its
 * return. */
static int64_t next_send(const struct conf *conf, int64_t now_ms, unsigned sends)
{
	int64_t wait = conf->sweeper.resend_ms;
	for (unsigned i = 1; i < sends && wait < RESEND_MAX_MS; i++)
		wait *= 2;
	return now_ms + (wait > RESEND_MAX_MS ? RESEND_MAX_MS : wait);
}

static bool is_over(const struct due *d, const struct attempt_row *at)
{
	return at->deadline_at <= d->now_ms;
}

static fallible attempt_mark(const struct due *d, struct store_tx *tx, const struct attempt_row *at, struct err *err)
{
	int64_t next = next_send(d->view->conf, d->now_ms, at->sends);
	if (is_over(d, at))
		return OK;
	struct rc rc = d->recovering ? attempt_extend(tx, at->id, next, at->deadline_at, err)
				     : attempt_sent(tx, at->id, next, err);
	return rc.kind == ERR_CONFLICT ? OK : rc;
}

/* All that will be sent again, in one commit, before it is sent. What has an answer by now is passed over. */
static fallible due_mark_tx(struct store_tx *tx, void *ctx, struct err *err)
{
	const struct due *d = ctx;
	for (size_t i = 0; i < d->attempt_count; i++)
		TRY(attempt_mark(d, tx, &d->attempts[i], err));
	for (size_t i = 0; i < d->issuance_count; i++) {
		const struct issuance_row *is = &d->issuances[i];
		struct rc rc = issuance_sent(tx, is->id, next_send(d->view->conf, d->now_ms, is->sends), err);
		if (FAILED(rc) && rc.kind != ERR_CONFLICT)
			return rc;
	}
	return OK;
}

struct ending {
	const struct due *due;
	const struct attempt_row *attempt;
	struct str problem;
	struct caa_asking caa;
};

static fallible attempt_end_tx(struct store_tx *tx, void *ctx, struct err *err)
{
	struct ending *e = ctx;
	struct arena *mem = e->due->mem;
	struct challenge_row ch;
	struct attempt_row now;
	e->caa.ready = e->caa.failed = false;
	TRY(attempt_by_id(tx, mem, e->attempt->id, &now, err));
	if (now.status != ATTEMPT_OPEN) /* a verdict came between */
		return OK;
	if (now.kind == ATTEMPT_CAA) {
		TRY(attempt_move(tx, now.id, ATTEMPT_OPEN, ATTEMPT_ABANDONED, err));
		return caa_settle(&e->caa, tx, err);
	}
	TRY(challenge_by_id(tx, mem, e->attempt->challenge, &ch, err));
	return jobs_fail_challenge(tx, mem, &ch, e->attempt->id, e->due->now_ms, e->problem, err);
}

static fallible attempt_expire(const struct due *d, const struct attempt_row *at, struct err *err)
{
	struct ending e = { .due = d, .attempt = at };
	e.caa = (struct caa_asking){
		.a = d->a, .view = d->view, .mem = d->mem, .order = at->order, .now_ms = d->now_ms
	};
	struct err why = { 0 };
	err_set(&why, ERR_UNAVAILABLE,
		"no validator of zone %.*s answered within %lld s; this is a fault of the CA, not of your server: make "
		"a new order and try again, and tell the operator if it goes on",
		STR_FMT(at->zone), (long long)((at->deadline_at - at->created_at) / 1000));
	TRY(problem_text(d->mem, &why, STR_NONE, &e.problem, err));
	TRY(store_tx(d->a->d.store, attempt_end_tx, &e, err));
	LOG(d->a->d.log, LOG_ERROR, "validation ended without a verdict", KV_ID("order", at->order),
	    KV_ID("attempt", at->id), KV_STR("zone", at->zone), KV_U64("sends", at->sends));
	caa_after(&e.caa);
	return OK;
}

static fallible attempt_sweep(const struct due *d, const struct attempt_row *at, struct err *err)
{
	if (is_over(d, at))
		return attempt_expire(d, at, err);
	LOG(d->a->d.log, LOG_INFO, "validation job sent again", KV_ID("order", at->order), KV_ID("attempt", at->id),
	    KV_U64("sends", at->sends + 1u));
	return jobs_send_validation(d->a, d->view, at->id, err);
}

static fallible issuance_sweep(const struct due *d, const struct issuance_row *is, struct err *err)
{
	LOG(d->a->d.log, LOG_INFO, "sign job sent again", KV_ID("order", is->order), KV_ID("issuance", is->id),
	    KV_U64("sends", is->sends + 1u));
	return jobs_send_signing(d->a, is->id, err);
}

/* One that cannot be helped now does not keep the others waiting. */
static void log_stuck(const struct acme *a, struct id order, struct rc rc, const struct err *why)
{
	if (FAILED(rc))
		LOG(a->d.log, LOG_WARNING, "job not sent", KV_ID("order", order), KV_ERR(why));
}

/* Time that passed while this program was away is not the client's fault: the attempt gets its time again (THREATS F6). */
static void attempts_give_time(struct due *d)
{
	for (size_t i = 0; i < d->attempt_count; i++) {
		const struct conf_zone *zone = conf_zone(d->view->conf, d->attempts[i].zone);
		if (zone != NULL && is_over(d, &d->attempts[i]))
			d->attempts[i].deadline_at = d->now_ms + zone->deadline_ms;
	}
}

static fallible sweep_batch(struct due *d, bool *ret_more, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct acme *a = d->a;
	d->mem = &mem;
	TRY(store_read(a->d.store, due_read, d, err));
	if (d->recovering)
		attempts_give_time(d);
	if (d->attempt_count + d->issuance_count > 0)
		TRY(store_tx(a->d.store, due_mark_tx, d, err));
	for (size_t i = 0; i < d->attempt_count; i++) {
		struct err why = { 0 };
		log_stuck(a, d->attempts[i].order, attempt_sweep(d, &d->attempts[i], &why), &why);
	}
	for (size_t i = 0; i < d->issuance_count; i++) {
		struct err why = { 0 };
		log_stuck(a, d->issuances[i].order, issuance_sweep(d, &d->issuances[i], &why), &why);
	}
	*ret_more = d->attempt_count == d->limit || d->issuance_count == d->limit;
	return OK;
}

/* Batch after batch, so that what a long fault has piled up goes out soon after it has healed. What was marked is not
 * due again in this round; the limit is for what could not be ended. */
static fallible sweep_due(struct acme *a, const struct view *view, int64_t now_ms, struct err *err)
{
	struct due d = { .a = a, .view = view, .now_ms = now_ms, .until_ms = now_ms, .limit = BATCH };
	bool more = true;
	for (unsigned i = 0; more && i < BATCHES_A_ROUND; i++)
		TRY(sweep_batch(&d, &more, err));
	return OK;
}

/* The first round of a process: what was on its way died with the process before, so all that is open goes out again
 * now and not when its time has come; a validation's deadline may be nearer than that. */
static fallible sweep_recover(struct acme *a, const struct view *view, int64_t now_ms, struct err *err)
{
	struct due d = {
		.a = a, .view = view, .now_ms = now_ms, .until_ms = INT64_MAX, .limit = RECOVER_MAX, .recovering = true
	};
	bool more;
	if (a->recovered)
		return OK;
	TRY(sweep_batch(&d, &more, err));
	a->recovered = true;
	return OK;
}

struct clean {
	struct acme *a;
	const struct conf *conf;
	int64_t now_ms;
	size_t expired, removed;
	bool more;
	struct retention step; /* as the last try of a transaction has left it: it may run more than once */
	bool orders_done;      /* in this round */
};

static fallible expire_tx(struct store_tx *tx, void *ctx, struct err *err)
{
	struct clean *c = ctx;
	return sweep_expired(tx, c->now_ms, BATCH, &c->expired, err);
}

static fallible retention_tx(struct store_tx *tx, void *ctx, struct err *err)
{
	struct clean *c = ctx;
	c->step = (struct retention){
		.ended_before = c->now_ms - c->conf->store.keep_ended_s * 1000,
		.expired_before_s = c->now_ms / 1000 - c->conf->store.keep_expired_s,
		.audit_before = c->now_ms - c->conf->store.keep_audit_s * 1000,
		.limit = RETENTION_STEP,
		.orders_from = c->a->retention_from,
		.orders_done = c->orders_done,
	};
	return sweep_retention(tx, &c->step, &c->removed, &c->more, err);
}

/* What holds once it has been committed. */
static fallible retention_step(struct clean *c, struct err *err)
{
	TRY(store_tx(c->a->d.store, retention_tx, c, err));
	c->a->retention_from = c->step.orders_from;
	c->orders_done = c->step.orders_done;
	return OK;
}

static fallible compact_tx(struct store_tx *tx, void *ctx, struct err *err)
{
	struct clean *c = ctx;
	return sweep_compact(tx, &c->more, err);
}

static fallible compact_step(struct clean *c, struct err *err)
{
	return store_tx(c->a->d.store, compact_tx, c, err);
}

/* Step after step for half of the time between two rounds: the other half is the clients'. */
static fallible clean_steps(struct clean *c, fallible (*step)(struct clean *, struct err *), size_t *removed,
			    struct err *err)
{
	int64_t until = clock_mono_ms(c->a->d.clk) + c->conf->sweeper.interval_ms / 2;
	c->more = true;
	for (unsigned i = 0; c->more && i < STEPS_A_ROUND && clock_mono_ms(c->a->d.clk) <= until; i++) {
		c->removed = 0;
		TRY(step(c, err));
		*removed += c->removed;
	}
	return OK;
}

static fallible sweep_clean(struct acme *a, const struct view *view, int64_t now_ms, struct err *err)
{
	struct clean c = { .a = a, .conf = view->conf, .now_ms = now_ms };
	size_t removed = 0;
	do { /* bounded: each round ends rows that the next one does not find */
		TRY(store_tx(a->d.store, expire_tx, &c, err));
	} while (c.expired >= BATCH);
	if (now_ms < a->next_retention_ms)
		return OK;
	TRY(clean_steps(&c, retention_step, &removed, err));
	if (removed > 0)
		LOG(a->d.log, LOG_INFO, "retention removed rows", KV_U64("rows", removed));
	struct rc rc = OK;
	if (!c.more)
		rc = clean_steps(&c, compact_step, &removed, err);
	/* Otherwise go on in the next round; but what could not be had now is not asked for in each. */
	if (!c.more || rc.kind == ERR_UNAVAILABLE)
		a->next_retention_ms = now_ms + RETENTION_EVERY_MS;
	return rc;
}

fallible acme_sweep(struct acme *a, struct err *err)
{
	AUTO(view_auto) struct view *view = view_get(a);
	int64_t now_ms = clock_now_ms(a->d.clk);
	TRY(sweep_recover(a, view, now_ms, err));
	TRY(sweep_due(a, view, now_ms, err));
	return sweep_clean(a, view, now_ms, err);
}

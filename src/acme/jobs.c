/* SPDX-License-Identifier: Apache-2.0
 *
 * jobs.c: what goes out on the bus, always built from the store or from the rows that were just committed to it, by the
 * handler that made them and by the sweeper alike. A job that is sent twice does no harm (DESIGN 3), so nothing here remembers what was sent but the row's
 * send_at.
 */
#include "acme/order.h"
#include "acme/quorum.h"

struct key_changes { /* latest first */
	struct key_change_row *v;
	size_t n;
};

/* Where the account came to this key, the last time that it did; n: its first key, or not known any more. */
static size_t changes_find(const struct key_changes *k, struct str became)
{
	size_t i = 0;
	while (i < k->n && !str_eq(k->v[i].became, became))
		i++;
	return i;
}

struct validation {
	struct arena *mem;
	struct id id;
	struct key_changes changes; /* of the account; read for dns-persist-01 only */
	struct attempt_row attempt;
	struct challenge_row challenge;
	struct authz_row authz;
};

static bool wants_earlier_keys(const struct validation *v)
{
	return v->challenge.type == CHALLENGE_DNSPERSIST01 && v->attempt.kind != ATTEMPT_CAA;
}

static fallible validation_read(struct store_tx *tx, void *ctx, struct err *err)
{
	struct validation *v = ctx;
	TRY(attempt_by_id(tx, v->mem, v->id, &v->attempt, err));
	TRY(challenge_by_id(tx, v->mem, v->attempt.challenge, &v->challenge, err));
	TRY(authz_by_id(tx, v->mem, v->attempt.authz, &v->authz, err));
	if (!wants_earlier_keys(v))
		return OK;
	return key_changes_of_account(tx, v->mem, v->authz.account, EARLIER_KEYS_MAX, &v->changes.v, &v->changes.n,
				      err);
}

/* draft-ietf-acme-dns-persist-02 4.2: the keys before the one that the authorization is for, latest first. */
static void job_add_earlier(const struct validation *v, struct validate_job *job)
{
	size_t from = changes_find(&v->changes, v->authz.thumbprint);
	job->earlier_thumbprints = ARENA_ARRAY(v->mem, struct str, v->changes.n);
	for (size_t i = from; i < v->changes.n; i++)
		job->earlier_thumbprints[job->earlier_count++] = v->changes.v[i].was;
}

static fallible validation_send(struct acme *a, const struct view *view, const struct validation *from, struct err *err)
{
	AUTO(buf_done) struct buf body = BUF_MAX(JOB_MAX);
	const struct validation v = *from;
	const struct conf_zone *zone = conf_zone(view->conf, v.attempt.zone);
	if (zone == NULL)
		FAIL(err, ERR_CONFIG, "zone %.*s of an attempt is not in the configuration any more",
		     STR_FMT(v.attempt.zone));
	const struct conf_realm *realm = conf_realm(view->conf, v.attempt.realm);
	if (realm == NULL)
		FAIL(err, ERR_CONFIG, "realm %.*s of an attempt is not in the configuration any more",
		     STR_FMT(v.attempt.realm));
	struct str base = realm_base(view->conf, realm, v.mem);
	struct validate_job job = {
		.attempt = v.attempt.id,
		.authz = v.authz.id,
		.order = v.attempt.order,
		.realm = v.attempt.realm,
		.zone = v.attempt.zone,
		.method = v.challenge.type,
		.ident = v.authz.ident,
		.wildcard = v.authz.wildcard,
		.subdomains = v.authz.subdomains,
		.token = v.challenge.token,
		.thumbprint = v.authz.thumbprint,
		.deadline_ms = v.attempt.deadline_at,
		.account_url = str_fmt(v.mem, "%.*s/account/%s", STR_FMT(base), id_show(v.authz.account).z),
	};
	job_add_earlier(&v, &job);
	if (v.attempt.kind == ATTEMPT_CAA) { /* of the order's own name, whatever proved control of it */
		job.caa_only = true;
		job.granted = !id_is_zero(v.authz.grant);
		job.subdomains = false;
		job.ident = (struct ident){ IDENT_DNS, v.attempt.name };
		job.wildcard = str_skip(&job.ident.value, STR("*."));
	}
	TRY(validate_job_write(&job, &body, err));
	struct rc rc = OK;
	for (size_t i = 0; i < zone->perspectives.n;
	     i++) { /* one that cannot be reached does not keep the others waiting */
		struct str topic = str_fmt(v.mem, TOPIC_VALIDATE ".%.*s", STR_FMT(zone->perspectives.v[i]));
		struct rc sent = a->d.publish(a->d.publish_ctx, topic, buf_str(&body), err);
		if (FAILED(sent))
			rc = sent;
	}
	return rc;
}

fallible jobs_send_validation(struct acme *a, const struct view *view, struct id attempt, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct validation v = { .mem = &mem, .id = attempt };
	TRY(store_read(a->d.store, validation_read, &v, err));
	return validation_send(a, view, &v, err);
}

fallible jobs_send_attempt(struct acme *a, const struct view *view, const struct attempt_row *attempt,
			   const struct challenge_row *ch, const struct authz_row *z, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	const struct validation v = {
		.mem = &mem, .id = attempt->id, .attempt = *attempt, .challenge = *ch, .authz = *z
	};
	return wants_earlier_keys(&v) ? jobs_send_validation(a, view, attempt->id, err)
				      : validation_send(a, view, &v, err);
}

struct signing {
	struct arena *mem;
	const struct conf *conf;
	struct id id;
	bool rows_known;            /* the first three rows below, from the transaction that made the intent */
	struct key_changes changes; /* of the account */
	struct issuance_row issuance;
	struct order_row order;
	struct account_row account;
	struct ident *idents;
	size_t ident_count;
	struct str *verdicts;
	size_t verdict_count;
	struct str *key_changes; /* oldest first */
	size_t key_change_count;
	struct str thumbprint; /* that the order's authorizations are under, each of them */
	struct str *grants;
	struct grant *says; /* as grants */
	size_t grant_count;
	int64_t now_ms;
	struct err why; /* there is no job: why not */
};

/* The attempts that proved control, and those that looked up CAA after it. */
static fallible order_attempts(struct signing *s, struct store_tx *tx, struct id **ret, size_t *ret_count,
			       struct err *err)
{
	struct id *authzs;
	struct attempt_row *caa;
	size_t count, caa_count, n = 0;
	TRY(order_authzs(tx, s->mem, s->order.id, &authzs, &count, err));
	TRY(attempts_of_order(tx, s->mem, s->order.id, &caa, &caa_count, err));
	struct id *attempts = ARENA_ARRAY(s->mem, struct id, count + caa_count);
	for (size_t i = 0; i < count; i++) {
		struct authz_row z;
		TRY(authz_by_id(tx, s->mem, authzs[i], &z, err));
		s->thumbprint = z.thumbprint;
		if (id_is_zero(z.grant))
			attempts[n++] = z.attempt;
	}
	for (size_t i = 0; i < caa_count; i++) {
		bool latest = true;
		for (size_t k = i + 1; k < caa_count; k++)
			latest = latest && !str_eq(caa[k].name, caa[i].name);
		if (latest)
			attempts[n++] = caa[i].id;
	}
	*ret = attempts;
	*ret_count = n;
	return OK;
}

static const struct conf_zone *signing_zone(const struct signing *s)
{
	const struct conf_realm *realm = conf_realm(s->conf, s->issuance.realm);
	return realm == NULL ? NULL : conf_zone(s->conf, realm->zone);
}

/* A quorum's worth of each, for the signer to judge. */
static fallible order_verdicts(struct signing *s, struct store_tx *tx, struct err *err)
{
	struct id *attempts;
	size_t count, most = 0;
	TRY(order_attempts(s, tx, &attempts, &count, err));
	struct verdict_row **rows = ARENA_ARRAY(s->mem, struct verdict_row *, count);
	size_t *row_counts = ARENA_ARRAY(s->mem, size_t, count);
	for (size_t i = 0; i < count; i++) {
		TRY(verdicts_of_attempt(tx, s->mem, attempts[i], &rows[i], &row_counts[i], err));
		most += row_counts[i];
	}
	s->verdicts = ARENA_ARRAY(s->mem, struct str, most);
	s->verdict_count = 0;
	for (size_t i = 0; i < count; i++) {
		size_t chosen = quorum_choose(s->mem, signing_zone(s), s->changes.n > 0, rows[i], row_counts[i]);
		for (size_t k = 0; k < chosen; k++)
			s->verdicts[s->verdict_count++] = rows[i][k].jws;
	}
	return OK;
}

/* How many changes back from `last`, where the proof's key came, lies the key that the record names; 0: none is needed, or
 * it is not to be had and the signer will say so. */
static size_t changes_needed(const struct signing *s, const struct key_changes *k, struct str verdict, size_t *ret_last)
{
	struct jws_compact jws;
	struct verdict v;
	if (FAILED(jws_compact_read(s->mem, verdict, STR(VERDICT_TYP), VERDICT_JWS_MAX, &jws, NULL)) ||
	    FAILED(verdict_read(s->mem, jws.payload, &v, NULL)) || v.record_thumbprint.n == 0)
		return 0;
	*ret_last = changes_find(k, v.thumbprint);
	for (size_t i = *ret_last; i < k->n; i++)
		if (str_eq(k->v[i].was, v.record_thumbprint))
			return i - *ret_last + 1;
	return 0;
}

/* The same for a grant that was made for an earlier key. */
static size_t changes_needed_by_grant(const struct signing *s, const struct key_changes *k, const struct grant *g,
				      size_t *ret_last)
{
	*ret_last = changes_find(k, s->thumbprint);
	if (grant_has_key(g, s->thumbprint))
		return 0;
	for (size_t i = *ret_last; i < k->n; i++)
		if (grant_has_key(g, k->v[i].was))
			return i - *ret_last + 1;
	return 0;
}

static fallible grants_add(struct signing *s, struct store_tx *tx, struct err *err)
{
	struct grant_row *rows;
	TRY(grants_of_issuance(tx, s->mem, s->id, &rows, &s->grant_count, err));
	s->grants = ARENA_ARRAY(s->mem, struct str, s->grant_count);
	s->says = ARENA_ARRAY(s->mem, struct grant, s->grant_count);
	for (size_t i = 0; i < s->grant_count; i++) {
		struct jws_compact jws;
		s->grants[i] = rows[i].jws;
		TRY(jws_compact_read(s->mem, rows[i].jws, STR(GRANT_TYP), GRANT_JWS_MAX, &jws, err));
		TRY(grant_read(s->mem, jws.payload, &s->says[i], err));
	}
	return OK;
}

/* The signer believes that a key was this account's only of what the keys signed. All proofs of an order are under one
 * key, so one unbroken row of changes serves them all. Most accounts never changed theirs. */
static void key_changes_add(struct signing *s)
{
	const struct key_changes *k = &s->changes;
	size_t last = 0, most = 0;
	for (size_t i = 0; k->n > 0 && i < s->verdict_count; i++) {
		size_t at = 0, needed = changes_needed(s, k, s->verdicts[i], &at);
		if (needed > most) {
			most = needed;
			last = at;
		}
	}
	for (size_t i = 0; k->n > 0 && i < s->grant_count; i++) {
		size_t at = 0, needed = changes_needed_by_grant(s, k, &s->says[i], &at);
		if (needed > most) {
			most = needed;
			last = at;
		}
	}
	s->key_changes = ARENA_ARRAY(s->mem, struct str, most);
	s->key_change_count = most;
	for (size_t i = 0; i < most; i++)
		s->key_changes[i] = k->v[last + most - 1 - i].jws;
}

static fallible signing_rows(struct signing *s, struct store_tx *tx, struct err *err)
{
	TRY(issuance_by_id(tx, s->mem, s->id, &s->issuance, err));
	TRY(order_by_id(tx, s->mem, s->issuance.order, &s->order, err));
	return account_by_id(tx, s->mem, s->issuance.account, &s->account, err);
}

static fallible signing_read(struct store_tx *tx, void *ctx, struct err *err)
{
	struct signing *s = ctx;
	if (!s->rows_known)
		TRY(signing_rows(s, tx, err));
	TRY(idents_read(s->mem, s->order.identifiers, &s->idents, &s->ident_count, err));
	TRY(key_changes_of_account(tx, s->mem, s->account.id, EARLIER_KEYS_MAX, &s->changes.v, &s->changes.n, err));
	TRY(order_verdicts(s, tx, err));
	TRY(grants_add(s, tx, err));
	key_changes_add(s);
	return OK;
}

fallible jobs_fail_issuance(struct store_tx *tx, struct arena *mem, const struct issuance_row *i,
			    enum issuance_status to, const char *actor, int64_t now, const struct err *why,
			    struct str extra, struct err *err)
{
	struct str problem;
	TRY(problem_text(mem, why, extra, &problem, err));
	TRY(issuance_move(tx, i->id, ISSUANCE_INTENDED, to, err));
	TRY(order_fail(tx, i->order, ORDER_PROCESSING, problem, err));
	const struct audit_row audit = { .at = now,
					 .actor = str_z(actor),
					 .event = to == ISSUANCE_REFUSED ? STR("issuance refused")
									 : STR("issuance abandoned"),
					 .object = str_fmt(mem, "order:%s", id_show(i->order).z),
					 .detail = problem };
	return audit_insert(tx, &audit, err);
}

static fallible signing_abandon_tx(struct store_tx *tx, void *ctx, struct err *err)
{
	struct signing *s = ctx;
	TRY(issuance_by_id(tx, s->mem, s->id, &s->issuance, err));
	if (s->issuance.status != ISSUANCE_INTENDED)
		return OK;
	return jobs_fail_issuance(tx, s->mem, &s->issuance, ISSUANCE_ABANDONED, "api", s->now_ms, &s->why, STR_NONE,
				  err);
}

static fallible signing_abandon(struct acme *a, struct signing *s, struct err *err)
{
	TRY(store_tx(a->d.store, signing_abandon_tx, s, err));
	LOG(a->d.log, LOG_ERROR, "issuance abandoned", KV_ID("order", s->order.id), KV_ID("issuance", s->id),
	    KV_ERR(&s->why));
	return OK;
}

static fallible signing_write(const struct signing *from, struct buf *body, struct err *err)
{
	const struct signing s = *from;
	struct sign_job job = {
		.issuance = s.issuance.id,
		.order = s.order.id,
		.account = s.account.id,
		.realm = s.issuance.realm,
		.profile = s.issuance.profile,
		.issuer = s.issuance.issuer,
		.serial_hex = s.issuance.serial,
		.not_before = s.issuance.not_before_s,
		.not_after = s.issuance.not_after_s,
		.idents = s.idents,
		.ident_count = s.ident_count,
		.finalize_protected = s.issuance.finalize_protected,
		.finalize_payload = s.issuance.finalize_payload,
		.finalize_signature = s.issuance.finalize_signature,
		.finalize_url = s.issuance.finalize_url,
		.account_jwk = s.issuance.account_jwk.n > 0 ? s.issuance.account_jwk : s.account.jwk,
		.verdicts = s.verdicts,
		.verdict_count = s.verdict_count,
		.key_changes = s.key_changes,
		.key_change_count = s.key_change_count,
		.grants = s.grants,
		.grant_count = s.grant_count,
	};
	return sign_job_write(&job, body, err);
}

static fallible signing_send(struct acme *a, struct signing *s, struct err *err)
{
	AUTO(buf_done) struct buf body = BUF_MAX(JOB_MAX);
	TRY(store_read(a->d.store, signing_read, s, err));
	if (s->issuance.held) /* CAA first: caa.c lets it go */
		return OK;
	if (FAILED(signing_write(s, &body, &s->why)))
		return signing_abandon(a, s, err);
	return a->d.publish(a->d.publish_ctx, STR(TOPIC_SIGN), buf_str(&body), err);
}

fallible jobs_send_signing(struct acme *a, struct id issuance, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(view_auto) struct view *view = view_get(a);
	struct signing s = { .mem = &mem, .conf = view->conf, .id = issuance, .now_ms = clock_now_ms(a->d.clk) };
	return signing_send(a, &s, err);
}

fallible jobs_send_intent(struct acme *a, const struct view *view, const struct issuance_row *intent,
			  const struct order_row *order, const struct account_row *account, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct signing s = {
		.mem = &mem,
		.conf = view->conf,
		.id = intent->id,
		.rows_known = true,
		.issuance = *intent,
		.order = *order,
		.account = *account,
		.now_ms = clock_now_ms(a->d.clk),
	};
	return signing_send(a, &s, err);
}

fallible jobs_signing_text(struct acme *a, struct id issuance, struct buf *ret, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(view_auto) struct view *view = view_get(a);
	struct signing s = { .mem = &mem, .conf = view->conf, .id = issuance, .now_ms = clock_now_ms(a->d.clk) };
	TRY(store_read(a->d.store, signing_read, &s, err));
	return signing_write(&s, ret, err);
}

fallible jobs_fail_challenge(struct store_tx *tx, struct arena *mem, const struct challenge_row *ch, struct id attempt,
			     int64_t now, struct str problem, struct err *err)
{
	struct id *orders;
	size_t count;
	TRY(attempt_move(tx, attempt, ATTEMPT_OPEN, ATTEMPT_DECIDED, err));
	TRY(challenge_end(tx, ch->id, CHALLENGE_INVALID, now, problem, err));
	struct rc rc = authz_move(tx, ch->authz, AUTHZ_PENDING, AUTHZ_INVALID, err);
	if (rc.kind == ERR_CONFLICT) /* deactivated meanwhile: its orders have ended already */
		return OK;
	TRY(rc);
	TRY(orders_of_authz(tx, mem, ch->authz, ORDER_PENDING, &orders, &count, err));
	for (size_t i = 0; i < count; i++)
		TRY(order_fail(tx, orders[i], ORDER_PENDING, problem, err));
	return OK;
}

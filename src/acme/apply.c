/* SPDX-License-Identifier: Apache-2.0
 *
 * apply.c: what comes back on the bus. A message may be repeated, late or forged: the verdict's signature is checked
 * against the pinned key, its words against the attempt's rows, and every change is a conditional move, so that only
 * the first one counts.
 */
#include "acme/order.h"

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
	const char *outcome; /* for the log; NULL: nothing was decided */
	size_t ready;        /* orders that became ready */
};

/* A verdict is what its perspective signed, about this very challenge; anything else is dropped and logged as an alarm.
 */
static fallible verdict_fits(const struct verdict_apply *v, struct err *err)
{
	const struct verdict *got = &v->verdict;
	if (!id_eq(got->attempt, v->attempt.id) || !id_eq(got->authz, v->authz.id) ||
	    got->method != v->challenge.type || got->ident.type != v->authz.ident.type ||
	    !str_eq(got->ident.value, v->authz.ident.value) || got->wildcard != v->authz.wildcard ||
	    got->subdomains != v->authz.subdomains || !str_eq(got->token, v->challenge.token) ||
	    !str_eq(got->thumbprint, v->authz.thumbprint) || !str_eq(got->realm, v->attempt.realm) ||
	    !str_eq(got->zone, v->attempt.zone))
		FAIL(err, ERR_UNAUTHORIZED, "the verdict is about something else than its attempt");
	const struct conf_zone *zone = conf_zone(v->view->conf, v->attempt.zone);
	for (size_t i = 0; zone != NULL && i < zone->perspectives.n; i++)
		if (str_eq(zone->perspectives.v[i], got->perspective))
			return OK;
	FAIL(err, ERR_UNAUTHORIZED, "perspective %.*s is not in zone %.*s", STR_FMT(got->perspective),
	     STR_FMT(v->attempt.zone));
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

static fallible verdict_disprove(struct verdict_apply *v, struct store_tx *tx, struct err *err)
{
	struct err why = { 0 };
	struct str problem;
	err_set(&why, v->verdict.problem, "%.*s", STR_FMT(v->verdict.problem_detail));
	TRY(problem_text(v->mem, &why, STR_NONE, &problem, err));
	v->outcome = "invalid";
	return jobs_fail_challenge(tx, v->mem, &v->challenge, v->attempt.id, v->now_ms, problem, err);
}

/* Counts what is in: quorum many good ones decide, and so do so many bad ones that a quorum cannot come any more. */
static fallible verdict_decide(struct verdict_apply *v, struct store_tx *tx, struct err *err)
{
	const struct conf_zone *zone = conf_zone(v->view->conf, v->attempt.zone);
	struct verdict_row *rows;
	size_t count, good = 0;
	TRY(verdicts_of_attempt(tx, v->mem, v->attempt.id, &rows, &count, err));
	for (size_t i = 0; i < count; i++)
		good += rows[i].valid;
	if (good >= (size_t)zone->quorum)
		return verdict_prove(v, tx, err);
	if (count - good > zone->perspectives.n - (size_t)zone->quorum)
		return verdict_disprove(v, tx, err);
	return OK;
}

static fallible verdict_tx(struct store_tx *tx, void *ctx, struct err *err)
{
	struct verdict_apply *v = ctx;
	bool fresh;
	v->outcome = NULL;
	v->ready = 0;
	TRY(attempt_by_id(tx, v->mem, v->verdict.attempt, &v->attempt, err));
	TRY(challenge_by_id(tx, v->mem, v->attempt.challenge, &v->challenge, err));
	TRY(authz_by_id(tx, v->mem, v->attempt.authz, &v->authz, err));
	TRY(verdict_fits(v, err));
	if (v->attempt.status != ATTEMPT_OPEN)
		return OK;
	struct verdict_row row = { .attempt = v->attempt.id,
				   .perspective = v->verdict.perspective,
				   .valid = v->verdict.valid,
				   .jws = v->jws,
				   .received_at = v->now_ms };
	TRY(verdict_insert(tx, &row, &fresh, err));
	return fresh ? verdict_decide(v, tx, err) : OK;
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

/* Only a store that cannot take it now is a reason to see a message again. */
static bool is_passing(struct rc rc)
{
	return rc.kind == ERR_UNAVAILABLE || rc.kind == ERR_TIMEOUT || rc.kind == ERR_CLOSED;
}

fallible acme_apply_verdict(struct acme *a, struct str body, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(view_auto) struct view *view = view_get(a);
	struct verdict_apply v = { .a = a, .view = view, .mem = &mem, .now_ms = clock_now_ms(a->d.clk) };
	struct id order = { 0 };
	struct rc rc = verdict_open(&v, body, &order, err);
	if (!FAILED(rc) && !v.verdict.valid && v.verdict.problem == ERR_INTERNAL) {
		/* A fault of the validator's own is no vote: the sweeper asks again until the deadline. */
		LOG(a->d.log, LOG_ERROR, "validator failed", KV_ID("order", order), KV_ID("attempt", v.verdict.attempt),
		    KV_STR("perspective", v.verdict.perspective), KV_STR("detail", v.verdict.problem_detail));
		return OK;
	}
	if (!FAILED(rc))
		rc = store_tx(a->d.store, verdict_tx, &v, err);
	if (is_passing(rc))
		return rc;
	if (rc.kind == ERR_NOT_FOUND)
		LOG(a->d.log, LOG_INFO, "verdict dropped: its attempt is gone", KV_ID("order", order),
		    KV_ID("attempt", v.verdict.attempt));
	else if (FAILED(rc))
		LOG(a->d.log, LOG_ERROR, "alarm: verdict refused", KV_ID("order", order),
		    KV_ID("attempt", v.verdict.attempt), KV_ERR(err));
	else
		log_verdict(&v, order);
	return OK;
}

struct signed_apply {
	struct acme *a;
	struct arena *mem;
	int64_t now_ms;
	struct sign_result result;
	struct issuance_row issuance;
	struct order_row order;
	struct certificate_row certificate;
	struct str *names;
	size_t name_count;
	struct err unfit; /* a certificate came that was not intended */
	bool fresh, blocked;
};

/* What it names, as text: that is how the store finds it. */
static fallible certificate_names(struct signed_apply *s, const struct cert *cert, struct err *err)
{
	struct str *names;
	struct addr *addrs;
	size_t name_count, addr_count;
	TRY(cert_get_dns_names(s->mem, cert, &names, &name_count, err));
	TRY(cert_get_addrs(s->mem, cert, &addrs, &addr_count, err));
	s->names = ARENA_ARRAY(s->mem, struct str, name_count + addr_count);
	s->name_count = 0;
	for (size_t i = 0; i < name_count; i++)
		s->names[s->name_count++] = names[i];
	for (size_t i = 0; i < addr_count; i++) {
		char text[ADDR_TEXT_MAX];
		addr_show(&addrs[i], text);
		s->names[s->name_count++] = str_dup(s->mem, str_z(text));
	}
	return OK;
}

static fallible certificate_names_fit(struct signed_apply *s, const struct cert *cert, struct err *err)
{
	struct ident *idents;
	size_t count, found = 0;
	TRY(certificate_names(s, cert, err));
	TRY(idents_read(s->mem, s->order.identifiers, &idents, &count, err));
	for (size_t i = 0; i < count; i++) {
		struct addr a;
		bool has = idents[i].type == IDENT_DNS
				   ? cert_has_dns_name(cert, idents[i].value)
				   : !FAILED(addr_read(idents[i].value, &a, NULL)) && cert_has_addr(cert, &a);
		found += has;
	}
	if (found != count || s->name_count != count)
		FAIL(err, ERR_INTERNAL,
		     "the certificate has %zu names and addresses, the order %zu, and they share %zu", s->name_count,
		     count, found);
	return OK;
}

/* The signer has its word checked too: the certificate must be the one that was intended. */
static fallible certificate_fits(struct signed_apply *s, struct err *err)
{
	AUTO(cert_auto) struct cert *cert = NULL;
	AUTO(key_auto) struct key *key = NULL;
	struct str serial, spki;
	TRY(cert_read_der(s->result.der, &cert, err));
	TRY(cert_get_serial_hex(s->mem, cert, &serial, err));
	if (!str_eq(serial, s->issuance.serial) || cert_get_not_before(cert) != s->issuance.not_before_s ||
	    cert_get_not_after(cert) != s->issuance.not_after_s)
		FAIL(err, ERR_INTERNAL, "the certificate has serial %.*s and ends at %lld; %.*s and %lld were intended",
		     STR_FMT(serial), (long long)cert_get_not_after(cert), STR_FMT(s->issuance.serial),
		     (long long)s->issuance.not_after_s);
	TRY(certificate_names_fit(s, cert, err));
	TRY(cert_get_key(cert, &key, err));
	TRY(key_spki(s->mem, key, &spki, err));
	return digest_sha256(s->a->d.crypto, spki, &s->certificate.spki_hash, err);
}

static void certificate_fill(struct signed_apply *s)
{
	const struct issuance_row *i = &s->issuance;
	struct sha256 spki = s->certificate.spki_hash;
	s->certificate = (struct certificate_row){
		.id = i->id,
		.order = i->order,
		.account = i->account,
		.realm = i->realm,
		.profile = i->profile,
		.issuer = i->issuer,
		.serial = i->serial,
		.der = s->result.der,
		.chain_pem = s->result.chain_pem,
		.spki_hash = spki,
		.not_before_s = i->not_before_s,
		.not_after_s = i->not_after_s,
		.created_at = s->now_ms,
	};
}

/* A key may be found to be compromised while the signer has a certificate for it in hand: that one is born revoked. */
static fallible revoke_if_blocked(struct signed_apply *s, struct store_tx *tx, struct err *err)
{
	TRY(blocked_key_has(tx, &s->certificate.spki_hash, &s->blocked, err));
	if (!s->blocked)
		return OK;
	TRY(certificate_revoke(tx, s->certificate.id, s->now_ms, 1, STR("blocked-key"), err));
	const struct audit_row audit = {
		.at = s->now_ms,
		.actor = STR("api"),
		.event = STR("certificate revoked"),
		.object = str_fmt(s->mem, "order:%s", id_show(s->order.id).z),
		.detail = str_fmt(s->mem, "{\"serial\":\"%.*s\",\"reason\":1,\"why\":\"its key is compromised\"}",
				  STR_FMT(s->issuance.serial)),
	};
	return audit_insert(tx, &audit, err);
}

static fallible signed_issued(struct signed_apply *s, struct store_tx *tx, struct err *err)
{
	certificate_fill(s);
	TRY(issuance_move(tx, s->issuance.id, ISSUANCE_INTENDED, ISSUANCE_ISSUED, err));
	TRY(certificate_insert(tx, &s->certificate, s->names, s->name_count, err));
	TRY(order_finish(tx, s->order.id, s->certificate.id, err));
	const struct audit_row audit = {
		.at = s->now_ms,
		.actor = STR("signer"),
		.event = STR("certificate issued"),
		.object = str_fmt(s->mem, "order:%s", id_show(s->order.id).z),
		.detail = str_fmt(s->mem, "{\"serial\":\"%.*s\"}", STR_FMT(s->issuance.serial)),
	};
	TRY(audit_insert(tx, &audit, err));
	return revoke_if_blocked(s, tx, err);
}

static fallible signed_failed(struct signed_apply *s, struct store_tx *tx, struct err *err)
{
	struct err why = { 0 };
	bool refused = s->unfit.kind == ERR_NONE;
	if (refused)
		err_set(&why, s->result.problem, "%.*s", STR_FMT(s->result.problem_detail));
	else
		err_set(&why, ERR_INTERNAL, "%s", s->unfit.detail); /* not the client's fault, nor its business */
	return jobs_fail_issuance(tx, s->mem, &s->issuance, refused ? ISSUANCE_REFUSED : ISSUANCE_ABANDONED, "signer",
				  s->now_ms, &why, err);
}

static fallible signed_load(struct store_tx *tx, void *ctx, struct err *err)
{
	struct signed_apply *s = ctx;
	TRY(issuance_by_id(tx, s->mem, s->result.issuance, &s->issuance, err));
	return order_by_id(tx, s->mem, s->issuance.order, &s->order, err);
}

static fallible signed_tx(struct store_tx *tx, void *ctx, struct err *err)
{
	struct signed_apply *s = ctx;
	TRY(issuance_by_id(tx, s->mem, s->result.issuance, &s->issuance, err));
	s->fresh = s->issuance.status == ISSUANCE_INTENDED;
	if (!s->fresh) /* a repeat */
		return OK;
	bool issued = s->result.issued && s->unfit.kind == ERR_NONE;
	return issued ? signed_issued(s, tx, err) : signed_failed(s, tx, err);
}

static fallible signed_run(struct signed_apply *s, struct str body, struct err *err)
{
	TRY(sign_result_read(s->mem, body, &s->result, err));
	TRY(store_read(s->a->d.store, signed_load, s, err));
	if (s->issuance.status != ISSUANCE_INTENDED)
		return OK;
	/* It would be the same one each time the job is sent again: the order ends here, and somebody has to look. */
	if (s->result.issued && FAILED(certificate_fits(s, &s->unfit)))
		LOG(s->a->d.log, LOG_ERROR, "alarm: certificate refused", KV_ID("order", s->order.id),
		    KV_ID("issuance", s->issuance.id), KV_STR("serial", s->issuance.serial), KV_ERR(&s->unfit));
	return store_tx(s->a->d.store, signed_tx, s, err);
}

fallible acme_apply_signed(struct acme *a, struct str body, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct signed_apply s = { .a = a, .mem = &mem, .now_ms = clock_now_ms(a->d.clk) };
	struct rc rc = signed_run(&s, body, err);
	if (is_passing(rc))
		return rc;
	if (rc.kind == ERR_NOT_FOUND) /* the signer makes some for the house itself: the API's own certificate */
		LOG(a->d.log, LOG_INFO, "signed message dropped: its issuance is not known",
		    KV_ID("issuance", s.result.issuance));
	else if (FAILED(rc))
		LOG(a->d.log, LOG_ERROR, "alarm: signed message refused", KV_ID("order", s.result.order),
		    KV_ID("issuance", s.result.issuance), KV_ERR(err));
	else if (s.fresh && s.result.issued && s.unfit.kind == ERR_NONE)
		LOG(a->d.log, LOG_NOTICE, "certificate issued", KV_ID("order", s.order.id),
		    KV_ID("account", s.order.account), KV_ID("certificate", s.certificate.id),
		    KV_STR("serial", s.issuance.serial), KV_U64("names", s.name_count), KV_BOOL("revoked", s.blocked));
	else if (s.fresh && !s.result.issued)
		LOG(a->d.log, LOG_WARNING, "issuance refused", KV_ID("order", s.order.id),
		    KV_STR("detail", s.result.problem_detail));
	if (!FAILED(rc))
		waitroom_call(a->room, s.order.id);
	return OK;
}

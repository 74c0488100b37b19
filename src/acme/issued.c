/* SPDX-License-Identifier: Apache-2.0
 *
 * issued.c: certificates that come back on the bus. The signer has its word checked, too: what comes must be what was
 * intended, to the last name, and only the first one counts.
 */
#include "acme/caa.h"

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
	struct caa_asking caa;
	bool fresh, blocked;
	bool later; /* CAA is looked up again, and the signer asked once more */
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
	struct str serial;
	TRY(cert_read_der(s->result.der, &cert, err));
	TRY(cert_get_serial_hex(s->mem, cert, &serial, err));
	if (!str_eq(serial, s->issuance.serial) || cert_get_not_before(cert) != s->issuance.not_before_s ||
	    cert_get_not_after(cert) != s->issuance.not_after_s)
		FAIL(err, ERR_INTERNAL, "the certificate has serial %.*s and ends at %lld; %.*s and %lld were intended",
		     STR_FMT(serial), (long long)cert_get_not_after(cert), STR_FMT(s->issuance.serial),
		     (long long)s->issuance.not_after_s);
	TRY(certificate_names_fit(s, cert, err));
	return cert_get_spki_hash(s->a->d.crypto, cert, &s->certificate.spki_hash, err);
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

/* Of what was read before the transaction only the status can have changed, and that the move is conditional upon. */
static fallible signed_issued(struct signed_apply *s, struct store_tx *tx, struct err *err)
{
	certificate_fill(s);
	struct rc rc = issuance_move(tx, s->issuance.id, ISSUANCE_INTENDED, ISSUANCE_ISSUED, err);
	s->fresh = rc.kind != ERR_CONFLICT;
	if (!s->fresh) /* a repeat */
		return OK;
	TRY(rc);
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
				  s->now_ms, &why, STR_NONE, err);
}

/* The signer finds the lookups of CAA too old, and has signed nothing. The sweeper repeats jobs, and so may such an answer
 * be repeated after newer lookups: then there is nothing to do. */
static fallible signed_too_late(struct signed_apply *s, struct store_tx *tx, struct err *err)
{
	struct ident *idents;
	size_t count;
	s->later = s->issuance.held;
	if (s->later)
		return OK;
	TRY(order_by_id(tx, s->mem, s->issuance.order, &s->order, err));
	TRY(idents_read(s->mem, s->order.identifiers, &idents, &count, err));
	TRY(caa_ask_again(&s->caa, tx, s->issuance.realm, idents, count, err));
	s->later = !s->caa.off;
	return s->caa.opened_count > 0 ? issuance_hold(tx, s->issuance.id, true, s->now_ms, err) : OK;
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
	s->later = false;
	s->caa.opened_count = 0;
	if (s->result.issued && s->unfit.kind == ERR_NONE)
		return signed_issued(s, tx, err);
	TRY(issuance_by_id(tx, s->mem, s->result.issuance, &s->issuance, err));
	s->fresh = s->issuance.status == ISSUANCE_INTENDED;
	if (!s->fresh)
		return OK;
	if (!s->result.issued && s->result.problem == ERR_CAA)
		TRY(signed_too_late(s, tx, err));
	if (s->later)
		return OK;
	return signed_failed(s, tx, err);
}

static fallible signed_run(struct signed_apply *s, struct str body, struct err *err)
{
	TRY(sign_result_read(s->mem, body, &s->result, err));
	TRY(store_read(s->a->d.store, signed_load, s, err));
	s->caa.order = s->order.id;
	if (s->issuance.status != ISSUANCE_INTENDED)
		return OK;
	/* It would be the same one each time the job is sent again: the order ends here, and somebody has to look. */
	if (s->result.issued && FAILED(certificate_fits(s, &s->unfit)))
		LOG(s->a->d.log, LOG_ERROR, "alarm: certificate refused", KV_ID("order", s->order.id),
		    KV_ID("issuance", s->issuance.id), KV_STR("serial", s->issuance.serial), KV_ERR(&s->unfit));
	FP("acme.signed_came");
	TRY(store_tx(s->a->d.store, signed_tx, s, err));
	FP("acme.signed_kept");
	return OK;
}

fallible acme_apply_signed(struct acme *a, struct str body, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(view_auto) struct view *view = view_get(a);
	struct signed_apply s = { .a = a, .mem = &mem, .now_ms = clock_now_ms(a->d.clk) };
	s.caa = (struct caa_asking){ .a = a, .view = view, .mem = &mem, .now_ms = s.now_ms };
	struct rc rc = signed_run(&s, body, err);
	if (apply_is_put_off(rc))
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
	else if (s.later && s.caa.opened_count > 0)
		(void)caa_send(&s.caa);
	else if (s.fresh && !s.result.issued && !s.later)
		LOG(a->d.log, LOG_WARNING, "issuance refused", KV_ID("order", s.order.id),
		    KV_STR("detail", s.result.problem_detail));
	if (!FAILED(rc))
		waitroom_call(a->room, s.order.id);
	return OK;
}

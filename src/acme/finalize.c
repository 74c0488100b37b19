/* SPDX-License-Identifier: Apache-2.0
 *
 * finalize.c: the claim and the intent (RFC 8555 7.4; DESIGN 3; RULES I4). One conditional update moves the order from
 * ready to processing; the same transaction writes down the serial, the validity and the client's own signed request.
 * Only then a job goes out. The request is parked a moment for its certificate and otherwise answers "processing".
 */
#include "acme/caa.h"

#include <stdlib.h>

struct finalize {
	struct call *c;
	struct csr csr;
	struct sha256 csr_hash;
	struct thumbprint csr_thumbprint; /* of its key */
	struct order_row order;
	struct eab_grant grant; /* of the account's external key */
	const struct conf_profile *profile;
	struct id *authzs;
	size_t authz_count;
	struct issuance_row intent;
	struct caa_asking caa;
	struct grants grants;
	bool claimed;
};

static fallible csr_of_payload(struct finalize *f, struct err *err)
{
	struct call *c = f->c;
	struct str text, der;
	TRY(json_want_str(c->payload, "csr", JWS_BODY_MAX, &text, err));
	if (text.n > 10 && str_starts(text, STR("-----BEGIN")))
		FAIL(err, ERR_BAD_CSR, "csr is PEM; RFC 8555 7.4 wants the DER form in base64url");
	struct rc rc = b64url_decode(c->mem, text, CSR_DER_MAX, &der, err);
	if (FAILED(rc)) {
		err_prefix(err, "csr: ");
		return rc;
	}
	TRY(digest_sha256(c->a->d.crypto, der, &f->csr_hash, err));
	TRY(csr_read(c->a->d.crypto, c->mem, der, &f->csr, err));
	TRY(key_list_check(c->a->d.crypto, c->view->refused_keys, f->csr.key, ERR_BAD_CSR, err));
	TRY(jwk_thumbprint(c->a->d.crypto, f->csr.key, &f->csr_thumbprint, err));
	if (key_public_eq(f->csr.key, c->key)) /* RFC 8555 11.1 */
		FAIL(err, ERR_BAD_CSR, "the CSR's key is the account's key; a certificate needs a key of its own");
	return OK;
}

/* RFC 8555 11.1: nor is it the key of any other account, of whichever realm, that we know. */
static fallible csr_key_is_free(const struct finalize *f, struct store_tx *tx, struct err *err)
{
	const struct call *c = f->c;
	for (size_t i = 0; i < c->conf->realm_count; i++) {
		struct account_row account;
		struct rc rc = account_by_thumbprint(tx, c->mem, c->conf->realms[i].name, str_z(f->csr_thumbprint.z),
						     &account, err);
		if (rc.kind == ERR_NOT_FOUND)
			continue;
		TRY(rc);
		FAIL(err, ERR_BAD_CSR, "the CSR's key is the key of an account; a certificate needs a key of its own");
	}
	return OK;
}

/* What a certificate is to hold: names, then addresses, each sorted without duplicates. */
struct identities {
	struct str *names;
	size_t name_count;
	struct addr *addrs;
	size_t addr_count;
};

static struct str identities_show(struct arena *mem, const struct identities *i)
{
	struct str all = STR_NONE;
	char text[ADDR_TEXT_MAX];
	for (size_t k = 0; k < i->name_count && all.n < 300; k++)
		all = str_fmt(mem, "%.*s%s%.*s", STR_FMT(all), all.n == 0 ? "" : ", ", STR_FMT(i->names[k]));
	for (size_t k = 0; k < i->addr_count && all.n < 300; k++) {
		addr_show(&i->addrs[k], text);
		all = str_fmt(mem, "%.*s%s%s", STR_FMT(all), all.n == 0 ? "" : ", ", text);
	}
	return all;
}

static bool identities_same(const struct identities *a, const struct identities *b)
{
	bool same = a->name_count == b->name_count && a->addr_count == b->addr_count;
	for (size_t i = 0; same && i < a->name_count; i++)
		same = str_eq(a->names[i], b->names[i]);
	for (size_t i = 0; same && i < a->addr_count; i++)
		same = addr_eq(&a->addrs[i], &b->addrs[i]);
	return same;
}

static int addr_order(const void *a, const void *b)
{
	return addr_compare(a, b);
}

static fallible identities_of_order(struct arena *mem, const struct ident *idents, size_t count, struct identities *ret,
				    struct err *err)
{
	*ret = (struct identities){ .names = ARENA_ARRAY(mem, struct str, count),
				    .addrs = ARENA_ARRAY(mem, struct addr, count) };
	for (size_t i = 0; i < count; i++) {
		if (idents[i].type == IDENT_IP)
			TRY(addr_read(idents[i].value, &ret->addrs[ret->addr_count++], err));
		else
			ret->names[ret->name_count++] = idents[i].value;
	}
	qsort(ret->addrs, ret->addr_count, sizeof *ret->addrs, addr_order);
	return OK;
}

/* RFC 8555 7.4: the CSR asks for exactly what was ordered. */
static fallible names_match(struct finalize *f, const struct ident *idents, size_t count, struct err *err)
{
	struct arena *mem = f->c->mem;
	struct identities want;
	const struct identities got = { f->csr.names, f->csr.name_count, f->csr.addrs, f->csr.addr_count };
	TRY(identities_of_order(mem, idents, count, &want, err));
	if (!identities_same(&got, &want))
		FAIL(err, ERR_BAD_CSR, "the CSR names %.*s; the order is for %.*s; they must be the same",
		     STR_FMT(identities_show(mem, &got)), STR_FMT(identities_show(mem, &want)));
	return OK;
}

/* What the account's external key allows may have been narrowed since the order was made. */
static fallible grant_check(struct finalize *f, struct store_tx *tx, const struct ident *idents, size_t count,
			    struct err *err)
{
	struct call *c = f->c;
	struct refusals refused = { 0 };
	TRY(eab_grant_read(c, tx, &f->grant, err));
	for (size_t i = 0; i < count; i++) {
		struct err why = { 0 };
		struct rc rc = eab_allows(&f->grant, &idents[i], &why);
		TRY(refusals_keep(c, &refused, rc, &why, str_z(ident_type_name(idents[i].type)), idents[i].value, err));
	}
	TRY(refusals_end(c, &refused, count, err));
	if (!eab_allows_profile(&f->grant, f->order.profile))
		FAIL(err, ERR_INVALID_PROFILE,
		     "profile %.*s, which the order has, is not allowed to this account any more; make a new order",
		     STR_FMT(f->order.profile));
	return OK;
}

/* A reload may have narrowed what the profile takes since the order was made. */
static fallible profile_check(struct finalize *f, const struct ident *idents, size_t count, struct err *err)
{
	struct call *c = f->c;
	const struct key *k = f->csr.key;
	TRY(profile_of_order(c, &f->order, &f->profile, err));
	TRY(profile_takes(c, f->profile, idents, count, err));
	return conf_profile_allows_csr(f->profile, key_kind_name(key_get_kind(k)), key_get_bits(k), f->csr.must_staple,
				       err);
}

static fallible intent_make(struct finalize *f, struct err *err)
{
	struct call *c = f->c;
	struct serial serial = serial_new((uint8_t)c->conf->signer.serial_prefix, c->a->d.rng);
	f->intent = (struct issuance_row){
		.id = id_new(c->a->d.clk, c->a->d.rng),
		.order = f->order.id,
		.account = c->account.id,
		.realm = c->realm->name,
		.profile = f->order.profile,
		.issuer = issuer_choose(c->view, c->realm, key_get_kind(f->csr.key)),
		.serial = serial_hex(c->mem, &serial),
		.finalize_protected = c->jws.protected_b64,
		.finalize_payload = c->jws.payload_b64,
		.finalize_signature = c->jws.signature_b64,
		.finalize_url = c->jws.url,
		.account_jwk = c->account.jwk, /* it signed this; the account may have another one tomorrow */
		.status = ISSUANCE_INTENDED,
		.created_at = c->now_ms,
		.send_at = c->now_ms + c->conf->sweeper.resend_ms,
		.sends = 1,
	};
	return validity_of_order(c, f->profile, &f->grant, &f->order, &f->intent.not_before_s, &f->intent.not_after_s,
				 err);
}

/* Why an order that has all it waited for cannot be finalized after all. */
static fallible proofs_missing(struct finalize *f, struct store_tx *tx, struct err *err)
{
	struct call *c = f->c;
	size_t open, earlier = 0;
	TRY(order_open_authzs(tx, f->order.id, str_z(c->thumbprint.z), c->now_ms, &open, err));
	if (open == 0)
		return OK;
	for (size_t i = 0; i < f->authz_count; i++) {
		struct authz_row z;
		TRY(authz_by_id(tx, c->mem, f->authzs[i], &z, err));
		bool valid = z.status == AUTHZ_VALID && z.expires_at > c->now_ms;
		earlier += valid && !str_eq(z.thumbprint, str_z(c->thumbprint.z));
	}
	if (earlier == open)
		FAIL(err, ERR_ORDER_NOT_READY,
		     "%zu of the order's authorizations were proved under an earlier key of the account; make a new "
		     "order",
		     earlier);
	if (f->order.status == ORDER_PENDING)
		FAIL(err, ERR_ORDER_NOT_READY, "the order is pending: not all of its authorizations are valid yet");
	FAIL(err, ERR_ORDER_NOT_READY,
	     "%zu of the order's authorizations are not valid any more (expired or deactivated); make a new order",
	     open);
}

static fallible not_ready(const struct finalize *f, struct err *err)
{
	switch (f->order.status) {
	case ORDER_PROCESSING:
	case ORDER_VALID:
		FAIL(err, ERR_ORDER_NOT_READY,
		     "the order is %s already, with another CSR; make a new order for a new key",
		     order_status_name(f->order.status));
	case ORDER_INVALID:
		FAIL(err, ERR_ORDER_NOT_READY, "the order is invalid; its error says why; make a new one");
	case ORDER_PENDING:
	case ORDER_READY:
	case ORDER_STATUS_COUNT:
		break;
	}
	FAIL(err, ERR_ORDER_NOT_READY, "the order has expired; make a new one");
}

static fallible finalize_read(struct finalize *f, struct store_tx *tx, struct err *err)
{
	TRY(order_of_call(f->c, tx, f->c->path_id, &f->order, err));
	return order_authzs(tx, f->c->mem, f->order.id, &f->authzs, &f->authz_count, err);
}

static fallible order_reread(struct store_tx *tx, void *ctx, struct err *err)
{
	return finalize_read(ctx, tx, err);
}

static fallible finalize_checks(struct finalize *f, struct store_tx *tx, struct err *err)
{
	struct ident *idents;
	size_t count;
	TRY(proofs_missing(f, tx, err));
	TRY(idents_read(f->c->mem, f->order.identifiers, &idents, &count, err));
	TRY(names_match(f, idents, count, err));
	TRY(profile_check(f, idents, count, err));
	TRY(csr_key_is_free(f, tx, err));
	TRY(key_check_blocked(tx, &f->csr.spki_hash, ERR_BAD_CSR, err));
	return grant_check(f, tx, idents, count, err);
}

/* What stands for proofs, and the subject's first of all, goes to the signer with the job. It is chosen here once, so that
 * every job of this intent is the same. Whether it still counts is the signer's to say: it alone hears of a revocation
 * whatever the api does. */
static fallible grants_fix(struct finalize *f, struct store_tx *tx, struct err *err)
{
	struct call *c = f->c;
	const struct held_grant *subject;
	struct id *ids;
	size_t count, n = 0;
	TRY(profile_of_order(c, &f->order, &f->grants.profile, err));
	TRY(grants_find_subject(&f->grants, tx, &subject, err));
	if (!c->realm->grants)
		return OK;
	TRY(grants_of_order(tx, c->mem, f->order.id, &ids, &count, err));
	struct id *all = ARENA_ARRAY(c->mem, struct id, count + 1);
	if (subject != NULL)
		all[n++] = subject->row.id;
	for (size_t i = 0; i < count; i++)
		if (n == 0 || !id_eq(all[0], ids[i]))
			all[n++] = ids[i];
	if (n == 0)
		return OK;
	TRY(issuance_add_grants(tx, f->intent.id, all, n, err));
	return grants_audit(c, tx, f->order.id, all, n, err);
}

/* What was seen of CAA when the names were proved may be too old by now. */
static fallible caa_look(struct finalize *f, struct store_tx *tx, struct err *err)
{
	struct call *c = f->c;
	struct ident *idents;
	size_t count;
	f->caa = (struct caa_asking){
		.a = c->a, .view = c->view, .mem = c->mem, .order = f->order.id, .now_ms = c->now_ms
	};
	TRY(idents_read(c->mem, f->order.identifiers, &idents, &count, err));
	TRY(caa_ask_again(&f->caa, tx, c->realm->name, idents, count, err));
	f->intent.held = f->caa.opened_count > 0;
	return OK;
}

/* The claim. An order whose authorization was deactivated, or whose account was, since it became ready is not
 * finalized. */
static fallible finalize_tx(struct store_tx *tx, void *ctx, struct err *err)
{
	struct finalize *f = ctx;
	struct call *c = f->c;
	f->claimed = false;
	TRY(account_still_valid(c, tx, err));
	TRY(finalize_read(f, tx, err));
	bool begun = f->order.status == ORDER_PROCESSING || f->order.status == ORDER_VALID;
	if (begun && memcmp(f->order.csr_hash.b, f->csr_hash.b, sizeof f->csr_hash.b) == 0)
		return OK; /* the same CSR again: the same order (RULES I4) */
	bool open = f->order.status == ORDER_READY || f->order.status == ORDER_PENDING;
	if (!open || f->order.expires_at <= c->now_ms)
		return not_ready(f, err);
	TRY(finalize_checks(f, tx, err));
	TRY(intent_make(f, err));
	TRY(order_begin(tx, f->order.id, &f->csr_hash, err));
	TRY(caa_look(f, tx, err));
	TRY(issuance_insert(tx, &f->intent, err));
	TRY(grants_fix(f, tx, err));
	f->order.status = ORDER_PROCESSING;
	f->claimed = true;
	return OK;
}

static fallible finalize_reply(struct finalize *f, struct err *err)
{
	struct call *c = f->c;
	TRY(reply_location(c, call_url(c, "order", f->order.id, ""), err));
	return reply_order(c, 200, &f->order, f->authzs, f->authz_count, err);
}

static fallible finalize_then(struct call *c, bool called, struct err *err)
{
	struct finalize *f = c->then_ctx, now = *f;
	struct rc rc = store_read(c->a->d.store, order_reread, &now, err);
	if (called)
		TRY(rc);
	return finalize_reply(FAILED(rc) ? f : &now, err); /* without news: it was accepted */
}

/* True: it is parked. */
static bool send_and_park(struct finalize *f)
{
	struct call *c = f->c;
	struct acme *a = c->a;
	struct err why = { 0 };
	bool parked = call_park(c, c->conf->api.finalize_wait_ms, f->order.id, finalize_then, f);
	bool sent = f->intent.held ? caa_send(&f->caa)
				   : !FAILED(jobs_send_intent(a, c->view, &f->intent, &f->order, &c->account, &why));
	if (!sent && !f->intent.held)
		LOG(a->d.log, LOG_WARNING, "sign job not sent", KV_ID("order", f->order.id),
		    KV_ID("issuance", f->intent.id), KV_ERR(&why));
	FP("acme.sign_job_sent");
	if (parked && !sent)
		http_parking_end(c->rq->parking);
	return parked;
}

static fallible finalize_run(struct finalize *f, struct err *err)
{
	struct call *c = f->c;
	TRY(csr_of_payload(f, err));
	TRY(grants_read(c, &f->grants, err));
	struct rc rc = store_tx(c->a->d.store, finalize_tx, f, err);
	if (rc.kind == ERR_CONFLICT)
		FAIL(err, ERR_ORDER_NOT_READY, "another finalize of this order came first");
	TRY(rc);
	if (f->claimed) {
		FP("acme.finalize_claimed");
		LOG(c->a->d.log, LOG_INFO, "order finalized", KV_ID("order", f->order.id),
		    KV_ID("issuance", f->intent.id), KV_ID("account", c->account.id),
		    KV_STR("serial", f->intent.serial));
		if (send_and_park(f))
			return OK;
		TRY(store_read(c->a->d.store, order_reread, f, err));
	}
	return finalize_reply(f, err);
}

fallible post_finalize(struct call *c, struct err *err)
{
	struct finalize *f = ARENA_NEW(c->mem, struct finalize);
	f->c = c;
	struct rc rc = finalize_run(f, err);
	csr_done(&f->csr); /* the reply needs nothing of it */
	return rc;
}

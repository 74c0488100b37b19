/* SPDX-License-Identifier: Apache-2.0
 *
 * finalize.c: the claim and the intent (RFC 8555 7.4; DESIGN 3; RULES I4). One conditional update moves the order from
 * ready to processing; the same transaction writes down the serial, the validity and the client's own signed request.
 * Only then a job goes out. The request waits a moment for its certificate and otherwise answers "processing".
 */
#include "acme/app.h"

#define DAY_S (24 * 3600)

struct finalize {
	struct call *c;
	struct csr csr;
	struct sha256 csr_hash;
	struct order_row order;
	struct id *authzs;
	size_t authz_count;
	struct issuance_row intent;
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
	if (key_public_eq(f->csr.key, c->key)) /* RFC 8555 11.1 */
		FAIL(err, ERR_BAD_CSR, "the CSR's key is the account's key; a certificate needs a key of its own");
	return OK;
}

static struct str names_list(struct arena *mem, const struct str *names, size_t count)
{
	struct str all = STR_NONE;
	for (size_t i = 0; i < count && all.n < 300; i++)
		all = str_fmt(mem, "%.*s%s%.*s", STR_FMT(all), i == 0 ? "" : ", ", STR_FMT(names[i]));
	return all;
}

/* The CSR's names and the order's are the same set; both are sorted without duplicates. */
static fallible names_match(struct finalize *f, struct err *err)
{
	struct arena *mem = f->c->mem;
	struct ident *idents;
	size_t count;
	TRY(idents_read(mem, f->order.identifiers, &idents, &count, err));
	struct str *want = ARENA_ARRAY(mem, struct str, count);
	bool same = count == f->csr.name_count;
	for (size_t i = 0; i < count; i++) {
		want[i] = idents[i].value;
		same = same && str_eq(want[i], f->csr.names[i]);
	}
	if (!same)
		FAIL(err, ERR_BAD_CSR, "the CSR names %.*s; the order is for %.*s; they must be the same",
		     STR_FMT(names_list(mem, f->csr.names, f->csr.name_count)), STR_FMT(names_list(mem, want, count)));
	return OK;
}

/* A reload may have taken it out of the configuration since the order was made. */
static fallible profile_of_order(const struct finalize *f, const struct conf_profile **ret, struct err *err)
{
	const struct conf_list *served = &f->c->realm->profiles;
	*ret = conf_profile(f->c->conf, f->order.profile);
	for (size_t i = 0; *ret != NULL && i < served->n; i++)
		if (str_eq(served->v[i], f->order.profile))
			return OK;
	FAIL(err, ERR_INVALID_PROFILE, "profile %.*s, which the order has, is not served any more; make a new order",
	     STR_FMT(f->order.profile));
}

static void intent_make(struct finalize *f, const struct conf_profile *p)
{
	struct call *c = f->c;
	struct serial serial = serial_new((uint8_t)c->conf->signer.serial_prefix, c->a->d.rng);
	int64_t not_before = c->now_ms / 1000 - p->backdate_s;
	f->intent = (struct issuance_row){
		.id = id_new(c->a->d.clk, c->a->d.rng),
		.order = f->order.id,
		.account = c->account.id,
		.realm = c->realm->name,
		.profile = f->order.profile,
		.issuer = c->realm->issuer,
		.serial = serial_hex(c->mem, &serial),
		/* Both ends count: N seconds from notBefore end at notBefore + N - 1 (RULES 1.1). */
		.not_before_s = not_before,
		.not_after_s = not_before + p->lifetime_s - 1,
		.finalize_protected = c->jws.protected_b64,
		.finalize_payload = c->jws.payload_b64,
		.finalize_signature = c->jws.signature_b64,
		.finalize_url = c->jws.url,
		.account_jwk = c->account.jwk,
		.status = ISSUANCE_INTENDED,
		.created_at = c->now_ms,
		.send_at = c->now_ms + c->conf->sweeper.resend_ms,
		.sends = 1,
	};
}

static fallible not_ready(const struct finalize *f, struct err *err)
{
	switch (f->order.status) {
	case ORDER_PENDING:
		FAIL(err, ERR_ORDER_NOT_READY, "the order is pending: not all of its authorizations are valid yet");
	case ORDER_PROCESSING:
	case ORDER_VALID:
		FAIL(err, ERR_ORDER_NOT_READY,
		     "the order is %s already, with another CSR; make a new order for a new key",
		     order_status_name(f->order.status));
	case ORDER_INVALID:
		FAIL(err, ERR_ORDER_NOT_READY, "the order is invalid; its error says why; make a new one");
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

/* The claim. An order whose authorization was deactivated, or whose account was, since it became ready is not
 * finalized. */
static fallible finalize_tx(struct store_tx *tx, void *ctx, struct err *err)
{
	struct finalize *f = ctx;
	struct call *c = f->c;
	const struct conf_profile *profile;
	size_t open;
	f->claimed = false;
	TRY(account_still_valid(c, tx, err));
	TRY(finalize_read(f, tx, err));
	bool begun = f->order.status == ORDER_PROCESSING || f->order.status == ORDER_VALID;
	if (begun && memcmp(f->order.csr_hash.b, f->csr_hash.b, sizeof f->csr_hash.b) == 0)
		return OK; /* the same CSR again: the same order (RULES I4) */
	if (f->order.status != ORDER_READY || f->order.expires_at <= c->now_ms)
		return not_ready(f, err);
	TRY(order_open_authzs(tx, f->order.id, str_z(c->thumbprint.z), c->now_ms, &open, err));
	if (open > 0)
		FAIL(err, ERR_ORDER_NOT_READY,
		     "%zu of the order's authorizations are not valid any more (expired or deactivated); make a new "
		     "order",
		     open);
	TRY(names_match(f, err));
	TRY(profile_of_order(f, &profile, err));
	intent_make(f, profile);
	TRY(order_begin(tx, f->order.id, &f->csr_hash, err));
	TRY(issuance_insert(tx, &f->intent, err));
	f->order.status = ORDER_PROCESSING;
	f->claimed = true;
	return OK;
}

static void send_and_wait(struct finalize *f)
{
	struct call *c = f->c;
	struct acme *a = c->a;
	struct waiting seat;
	struct err why = { 0 };
	bool seated = waitroom_enter(a->room, &seat, f->order.id);
	bool sent = !FAILED(jobs_send_signing(a, f->intent.id, &why));
	if (!sent)
		LOG(a->d.log, LOG_WARNING, "sign job not sent", KV_ID("order", f->order.id),
		    KV_ID("issuance", f->intent.id), KV_ERR(&why));
	if (seated)
		waitroom_wait(a->room, &seat, sent ? c->conf->api.finalize_wait_ms : 0);
}

static fallible finalize_run(struct finalize *f, struct err *err)
{
	struct call *c = f->c;
	TRY(csr_of_payload(f, err));
	struct rc rc = store_tx(c->a->d.store, finalize_tx, f, err);
	if (rc.kind == ERR_CONFLICT)
		FAIL(err, ERR_ORDER_NOT_READY, "another finalize of this order came first");
	TRY(rc);
	if (f->claimed) {
		LOG(c->a->d.log, LOG_INFO, "order finalized", KV_ID("order", f->order.id),
		    KV_ID("issuance", f->intent.id), KV_ID("account", c->account.id),
		    KV_STR("serial", f->intent.serial));
		send_and_wait(f);
		TRY(store_read(c->a->d.store, order_reread, f, err));
	}
	TRY(reply_location(c, call_url(c, "order", f->order.id, ""), err));
	return reply_order(c, 200, &f->order, f->authzs, f->authz_count, err);
}

fallible post_finalize(struct call *c, struct err *err)
{
	struct finalize f = { .c = c };
	struct rc rc = finalize_run(&f, err);
	csr_done(&f.csr);
	return rc;
}

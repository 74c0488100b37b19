/* SPDX-License-Identifier: Apache-2.0
 *
 * recover.c: certificates that the signer's journal has and the store does not, because it was restored from an older backup
 * (THREATS F24). Each gets the rows that it would have had, as far as anybody still knows them: it can be found, fetched
 * where its order is known, and revoked; and its serial is taken. Who proved what for it is lost and not made up.
 */
#include "acme/order.h"
#include "pki/pki.h"

struct recovery {
	const struct acme_recover_deps *d;
	struct arena *mem;
	const struct acme_lost *lost;
	int64_t now_ms;
	struct certificate_row row;
	struct ident *idents;
	size_t ident_count;
	struct str *names;
	enum acme_recovery result;
	bool account_lost;
};

/* --- the certificate ------------------------------------------------------------------------------------------------*/
static fallible idents_of_cert(struct recovery *r, const struct cert *cert, struct err *err)
{
	struct str *names;
	struct addr *addrs;
	size_t name_count, addr_count;
	TRY(cert_get_dns_names(r->mem, cert, &names, &name_count, err));
	TRY(cert_get_addrs(r->mem, cert, &addrs, &addr_count, err));
	r->ident_count = 0;
	r->idents = ARENA_ARRAY(r->mem, struct ident, name_count + addr_count + 1);
	r->names = ARENA_ARRAY(r->mem, struct str, name_count + addr_count + 1);
	for (size_t i = 0; i < name_count; i++)
		r->idents[r->ident_count++] = (struct ident){ IDENT_DNS, names[i] };
	for (size_t i = 0; i < addr_count; i++) {
		char text[ADDR_TEXT_MAX];
		addr_show(&addrs[i], text);
		r->idents[r->ident_count++] = (struct ident){ IDENT_IP, str_dup(r->mem, str_z(text)) };
	}
	for (size_t i = 0; i < r->ident_count; i++)
		r->names[i] = r->idents[i].value;
	return OK;
}

/* Leaf, then the chain that the issuer has today; the leaf alone when nobody knows the issuer any more. */
static fallible chain_pem(struct recovery *r, struct buf *ret, struct err *err)
{
	const struct conf_issuer *i = conf_issuer(r->d->conf, r->lost->issuer);
	TRY(der_add_pem(r->lost->der, ret, err));
	if (i == NULL)
		return OK;
	AUTO(buf_done) struct buf chain = BUF_MAX(ACME_CHAIN_MAX);
	TRY(file_read(conf_path(r->d->conf, r->mem, i->certificate), ACME_CHAIN_MAX, &chain, err));
	return buf_add(ret, buf_str(&chain), err);
}

static fallible certificate_of(struct recovery *r, struct err *err)
{
	AUTO(cert_auto) struct cert *cert = NULL;
	AUTO(buf_done) struct buf pem = BUF_MAX(2 * ACME_CHAIN_MAX);
	const struct acme_lost *l = r->lost;
	TRY(cert_read_der(l->der, &cert, err));
	TRY(cert_get_serial_hex(r->mem, cert, &r->row.serial, err));
	TRY(cert_get_spki_hash(r->d->crypto, cert, &r->row.spki_hash, err));
	TRY(idents_of_cert(r, cert, err));
	TRY(chain_pem(r, &pem, err));
	r->row.id = l->issuance;
	r->row.order = l->order;
	r->row.account = l->account;
	r->row.realm = l->realm;
	r->row.profile = l->profile;
	r->row.issuer = l->issuer;
	r->row.der = l->der;
	r->row.chain_pem = str_dup(r->mem, buf_str(&pem));
	r->row.not_before_s = cert_get_not_before(cert);
	r->row.not_after_s = cert_get_not_after(cert);
	r->row.created_at = l->at_ms;
	return OK;
}

/* --- what it hangs on -----------------------------------------------------------------------------------------------*/
/* Its key is not known to anybody: a new one, which is thrown away here, stands in its place, so that nobody can sign as this
 * account. Whoever had it makes a new one. */
static fallible account_stand_in(struct recovery *r, struct store_tx *tx, struct err *err)
{
	AUTO(key_auto) struct key *key = NULL;
	AUTO(buf_done) struct buf jwk = BUF_MAX(1024);
	struct thumbprint thumbprint;
	TRY(key_generate(KEY_P256, 0, &key, err));
	TRY(jwk_write(key, &jwk, err));
	TRY(jwk_thumbprint(r->d->crypto, key, &thumbprint, err));
	const struct account_row a = { .id = r->lost->account,
				       .realm = r->lost->realm,
				       .thumbprint = str_z(thumbprint.z),
				       .jwk = buf_str(&jwk),
				       .status = ACCOUNT_DEACTIVATED,
				       .contact = STR("[]"),
				       .created_at = r->lost->at_ms };
	r->account_lost = true;
	return account_insert(tx, &a, err);
}

/* Proofs of which nothing is left: expired, so that they serve nobody. */
static fallible authzs_stand_in(struct recovery *r, struct store_tx *tx, struct id *ret, struct err *err)
{
	for (size_t i = 0; i < r->ident_count; i++) {
		const struct ident *id = &r->idents[i];
		const struct authz_row z = { .id = id_new(r->d->clk, r->d->rng),
					     .account = r->lost->account,
					     .realm = r->lost->realm,
					     .ident = { id->type, ident_base(id) },
					     .wildcard = ident_is_wildcard(id),
					     .status = AUTHZ_EXPIRED,
					     .created_at = r->lost->at_ms,
					     .expires_at = r->lost->at_ms };
		TRY(authz_insert(tx, &z, err));
		ret[i] = z.id;
	}
	return OK;
}

static fallible order_stand_in(struct recovery *r, struct store_tx *tx, struct err *err)
{
	struct account_row account;
	struct order_row o = { .id = r->lost->order,
			       .account = r->lost->account,
			       .realm = r->lost->realm,
			       .profile = r->lost->profile,
			       .status = ORDER_READY,
			       .created_at = id_time_ms(r->lost->order),
			       .expires_at = r->lost->at_ms };
	struct rc rc = account_by_id(tx, r->mem, r->lost->account, &account, err);
	if (rc.kind == ERR_NOT_FOUND)
		rc = account_stand_in(r, tx, err);
	TRY(rc);
	struct id *authzs = ARENA_ARRAY(r->mem, struct id, r->ident_count + 1);
	TRY(authzs_stand_in(r, tx, authzs, err));
	TRY(idents_write(r->mem, r->idents, r->ident_count, &o.identifiers, err));
	return order_insert(tx, &o, authzs, r->ident_count, err);
}

/* --- the rows -------------------------------------------------------------------------------------------------------*/
static fallible issuance_stand_in(struct recovery *r, struct store_tx *tx, struct err *err)
{
	const struct issuance_row i = { .id = r->lost->issuance,
					.order = r->lost->order,
					.account = r->lost->account,
					.realm = r->lost->realm,
					.profile = r->lost->profile,
					.issuer = r->lost->issuer,
					.serial = r->row.serial,
					.not_before_s = r->row.not_before_s,
					.not_after_s = r->row.not_after_s,
					.status = ISSUANCE_ISSUED,
					.created_at = r->lost->at_ms };
	return issuance_insert(tx, &i, err);
}

/* An order that waited for it gets it; one that ended otherwise meanwhile stays as it is. */
static fallible order_give(struct recovery *r, struct store_tx *tx, enum order_status status, struct err *err)
{
	static const struct sha256 unknown;
	r->result = RECOVERY_ORDER_KEPT;
	if (status == ORDER_VALID || status == ORDER_INVALID)
		return OK;
	r->result = RECOVERY_ADDED;
	if (status == ORDER_PENDING)
		TRY(order_move(tx, r->lost->order, ORDER_PENDING, ORDER_READY, err));
	if (status != ORDER_PROCESSING)
		TRY(order_begin(tx, r->lost->order, &unknown, err));
	return order_finish(tx, r->lost->order, r->row.id, err);
}

static fallible recover_note(struct recovery *r, struct store_tx *tx, struct err *err)
{
	const struct audit_row audit = {
		.at = r->now_ms,
		.actor = STR("operator"),
		.event = STR("certificate recovered"),
		.object = str_fmt(r->mem, "order:%s", id_show(r->lost->order).z),
		.detail = str_fmt(r->mem, "{\"serial\":\"%.*s\",\"from\":\"the signer's journal\"}",
				  STR_FMT(r->row.serial)),
	};
	return audit_insert(tx, &audit, err);
}

static fallible recover_add(struct recovery *r, struct store_tx *tx, bool intended, struct err *err)
{
	struct order_row order;
	struct rc rc = order_by_id(tx, r->mem, r->lost->order, &order, err);
	if (rc.kind == ERR_NOT_FOUND) {
		TRY(order_stand_in(r, tx, err));
		order.status = ORDER_READY;
		rc = OK;
	}
	TRY(rc);
	if (!intended)
		TRY(issuance_stand_in(r, tx, err));
	TRY(certificate_insert(tx, &r->row, r->names, r->ident_count, err));
	TRY(order_give(r, tx, order.status, err));
	return recover_note(r, tx, err);
}

static fallible recover_tx(struct store_tx *tx, void *ctx, struct err *err)
{
	struct recovery *r = ctx;
	struct certificate_row known;
	struct issuance_row intent;
	r->account_lost = false;
	r->result = RECOVERY_KNOWN;
	struct rc rc = certificate_by_serial(tx, r->mem, r->row.serial, &known, err);
	if (rc.kind != ERR_NOT_FOUND)
		return rc;
	rc = issuance_by_order(tx, r->mem, r->lost->order, &intent, err);
	if (rc.kind == ERR_NOT_FOUND)
		return recover_add(r, tx, false, err);
	TRY(rc);
	r->result = RECOVERY_PENDING; /* the sweeper asks the signer again, who has this very certificate */
	if (intent.status == ISSUANCE_INTENDED && str_eq(intent.serial, r->row.serial))
		return OK;
	if (!str_eq(intent.serial, r->row.serial))
		FAIL(err, ERR_CONFLICT, "its order has the serial %.*s in the store: this store is not of this journal",
		     STR_FMT(intent.serial));
	return recover_add(r, tx, true, err);
}

fallible acme_recover(const struct acme_recover_deps *d, const struct acme_lost *lost, struct acme_recovered *ret,
		      struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct recovery r = { .d = d, .mem = &mem, .lost = lost, .now_ms = clock_now_ms(d->clk) };
	struct rc rc = certificate_of(&r, err);
	if (!FAILED(rc))
		rc = store_tx(d->store, recover_tx, &r, err);
	if (FAILED(rc)) {
		err_prefix(err, "order %s: ", id_show(lost->order).z);
		return rc;
	}
	*ret = (struct acme_recovered){ .result = r.result, .account_lost = r.account_lost };
	return OK;
}

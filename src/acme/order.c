/* SPDX-License-Identifier: Apache-2.0
 *
 * order.c: newOrder and the order resource (RFC 8555 7.1.3, 7.4). The order, its authorizations (proof.c) and their
 * challenges are one transaction.
 */
#include "acme/order.h"

struct new_order {
	struct call *c;
	struct eab_grant grant;
	const struct conf_profile *profile;
	struct ident_wanted *wanted; /* sorted, no duplicates */
	size_t count;
	struct replacing replaces;
	struct order_row row;
	struct id *authzs;
	size_t authz_count; /* less than count when one proof serves several names */
	bool exempt;
	struct grants grants;
};

static fallible bound_read(struct store_tx *tx, void *ctx, struct err *err)
{
	struct new_order *n = ctx;
	return eab_grant_read(n->c, tx, &n->grant, err);
}

/* The account's limit, unless the order renews a certificate in the way of RFC 9773 5. */
static fallible order_charge(struct new_order *n, struct store_tx *tx, struct err *err)
{
	struct call *c = n->c;
	TRY(replaces_check(c, tx, &n->replaces, n->wanted, n->count, &n->exempt, err));
	if (n->exempt)
		return OK;
	return limit_check(c, tx, str_fmt(c->mem, "new-order:%s", id_show(c->account.id).z), c->realm->orders_per_hour,
			   "new orders by this account", err);
}

static void authz_link(struct new_order *n, struct id authz)
{
	for (size_t i = 0; i < n->authz_count; i++)
		if (id_eq(n->authzs[i], authz))
			return;
	n->authzs[n->authz_count++] = authz;
}

static fallible order_authorize(struct new_order *n, struct store_tx *tx, struct err *err)
{
	struct call *c = n->c;
	struct proofs proofs = { .c = c, .tx = tx, .grants = &n->grants, .profile = n->profile };
	grants_forget(&n->grants);
	n->row.expires_at = c->now_ms + c->realm->order_life_s * 1000;
	n->row.status = ORDER_READY;
	n->authz_count = 0;
	for (size_t i = 0; i < n->count; i++) {
		struct authz_row z;
		bool fresh;
		TRY(proof_get(&proofs, &n->wanted[i], &z, &fresh, err));
		authz_link(n, z.id);
		if (z.status != AUTHZ_VALID)
			n->row.status = ORDER_PENDING;
		int64_t end = fresh ? z.expires_at : proof_serves_until(&proofs, &z);
		if (end < n->row.expires_at) /* an order lives no longer than what it stands on */
			n->row.expires_at = end;
	}
	return OK;
}

static fallible new_order_tx(struct store_tx *tx, void *ctx, struct err *err)
{
	struct new_order *n = ctx;
	const struct held_grant *subject;
	TRY(account_still_valid(n->c, tx, err));
	TRY(order_charge(n, tx, err));
	TRY(grants_find_subject(&n->grants, tx, &subject, err)); /* finalize would fail for want of it */
	TRY(order_authorize(n, tx, err));
	return order_insert(tx, &n->row, n->authzs, n->authz_count, err);
}

static fallible new_order_read(struct new_order *n, struct err *err)
{
	struct call *c = n->c;
	if (c->account.eab_kid.n > 0) /* others are spared the read */
		TRY(store_read(c->a->d.store, bound_read, n, err));
	TRY(wanted_read_list(c, &n->grant, &n->wanted, &n->count, err));
	n->row = (struct order_row){ .id = id_new(c->a->d.clk, c->a->d.rng),
				     .account = c->account.id,
				     .realm = c->realm->name,
				     .created_at = c->now_ms };
	TRY(profile_choose(c, &n->grant, &n->row.profile, err));
	TRY(profile_of_order(c, &n->row, &n->profile, err));
	TRY(validity_read(c, n->profile, &n->grant, &n->row.not_before_s, &n->row.not_after_s, err));
	TRY(replaces_read(c, &n->replaces, err));
	n->row.replaces = n->replaces.id.text;
	struct ident *idents = ARENA_ARRAY(c->mem, struct ident, n->count);
	for (size_t i = 0; i < n->count; i++)
		idents[i] = n->wanted[i].ident;
	TRY(profile_takes(c, n->profile, idents, n->count, err));
	n->authzs = ARENA_ARRAY(c->mem, struct id, n->count);
	return idents_write(c->mem, idents, n->count, &n->row.identifiers, err);
}

fallible post_new_order(struct call *c, struct err *err)
{
	struct new_order n = { .c = c };
	TRY(terms_still_agreed(c, err));
	TRY(new_order_read(&n, err));
	TRY(grants_read(c, &n.grants, err));
	TRY(profile_of_order(c, &n.row, &n.grants.profile, err));
	TRY(store_tx(c->a->d.store, new_order_tx, &n, err));
	FP("acme.order_made");
	LOG(c->a->d.log, LOG_INFO, "order created", KV_ID("order", n.row.id), KV_ID("account", c->account.id),
	    KV_STR("realm", c->realm->name), KV_STR("profile", n.row.profile), KV_U64("names", n.count),
	    KV_STR("first", n.wanted[0].ident.value), KV_Z("status", order_status_name(n.row.status)),
	    KV_STR("replaces", n.row.replaces));
	TRY(reply_location(c, call_url(c, "order", n.row.id, ""), err));
	return reply_order(c, 201, &n.row, n.authzs, n.authz_count, err);
}

fallible order_of_call(struct call *c, struct store_tx *tx, struct id id, struct order_row *ret, struct err *err)
{
	struct rc rc = order_by_id(tx, c->mem, id, ret, err);
	if (FAILED(rc) && rc.kind != ERR_NOT_FOUND)
		return rc;
	if (FAILED(rc) || !id_eq(ret->account, c->account.id))
		FAIL(err, ERR_NOT_FOUND, "this account has no such order");
	return OK;
}

struct order_view {
	struct call *c;
	struct order_row row;
	struct id *authzs;
	size_t count;
};

static fallible order_view_read(struct store_tx *tx, void *ctx, struct err *err)
{
	struct order_view *v = ctx;
	TRY(call_account(v->c, tx, err));
	TRY(order_of_call(v->c, tx, v->c->path_id, &v->row, err));
	return order_authzs(tx, v->c->mem, v->row.id, &v->authzs, &v->count, err);
}

fallible post_order(struct call *c, struct err *err)
{
	struct order_view v = { .c = c };
	TRY(store_read(c->a->d.store, order_view_read, &v, err));
	return reply_order(c, 200, &v.row, v.authzs, v.count, err);
}

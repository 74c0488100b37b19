/* SPDX-License-Identifier: Apache-2.0
 *
 * newauthz.c: authorizations before there is an order (RFC 8555 7.4.1), also for all names below a domain (RFC 9444
 * 4.2). One that the account has already, under this key, is given back.
 */
#include "acme/order.h"

struct new_authz {
	struct call *c;
	struct eab_grant grant;
	struct ident_wanted wanted;
	bool declined, fresh;
	struct authz_row row;
	struct challenge_row *challenges;
	size_t count;
	struct grants grants;
};

static fallible bound_read(struct store_tx *tx, void *ctx, struct err *err)
{
	struct new_authz *n = ctx;
	return eab_grant_read(n->c, tx, &n->grant, err);
}

static fallible new_authz_tx(struct store_tx *tx, void *ctx, struct err *err)
{
	struct new_authz *n = ctx;
	struct call *c = n->c;
	struct proofs proofs = { .c = c, .tx = tx, .grants = &n->grants, .itself = true };
	grants_forget(&n->grants);
	TRY(account_still_valid(c, tx, err));
	TRY(proof_get(&proofs, &n->wanted, &n->row, &n->fresh, err));
	if (n->fresh)
		TRY(limit_check(c, tx, str_fmt(c->mem, "new-authz:%s", id_show(c->account.id).z),
				c->realm->orders_per_hour, "new authorizations by this account", err));
	return challenges_of_authz(tx, c->mem, n->row.id, &n->challenges, &n->count, err);
}

fallible post_new_authz(struct call *c, struct err *err)
{
	struct new_authz n = { .c = c };
	TRY(terms_still_agreed(c, err));
	if (c->account.eab_kid.n > 0) /* others are spared the read */
		TRY(store_read(c->a->d.store, bound_read, &n, err));
	TRY(wanted_read_one(c, &n.grant, &n.wanted, &n.declined, err));
	TRY(grants_read(c, &n.grants, err));
	TRY(store_tx(c->a->d.store, new_authz_tx, &n, err));
	if (n.fresh)
		LOG(c->a->d.log, LOG_INFO, "authorization created", KV_ID("authz", n.row.id),
		    KV_ID("account", c->account.id), KV_STR("realm", c->realm->name), KV_STR("name", n.row.ident.value),
		    KV_BOOL("subdomains", n.row.subdomains));
	TRY(reply_location(c, call_url(c, "authz", n.row.id, ""), err));
	return reply_authz(c, n.fresh ? 201 : 200, &n.row, n.declined, n.challenges, n.count, err);
}

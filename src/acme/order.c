/* SPDX-License-Identifier: Apache-2.0
 *
 * order.c: newOrder and the order resource (RFC 8555 7.1.3, 7.4). The order, its authorizations (reused when they were
 * made for this account and this very key) and their challenges are one transaction.
 */
#include "acme/app.h"

#include <stdlib.h>

/* A proof that is about to end helps nobody: the order must be able to use it. */
#define REUSE_MARGIN_MS (3600 * 1000)

struct new_order {
	struct call *c;
	struct ident *idents; /* as ordered; lower case, sorted, no duplicates */
	size_t count;
	struct order_row row;
	struct id *authzs;
};

static int ident_compare(const void *a, const void *b)
{
	const struct ident *x = a, *y = b;
	size_t n = x->value.n < y->value.n ? x->value.n : y->value.n;
	int d = memcmp(x->value.p, y->value.p, n);
	return d != 0 ? d : (x->value.n > y->value.n) - (x->value.n < y->value.n);
}

static bool ident_is_wildcard(const struct ident *i)
{
	return str_starts(i->value, STR("*."));
}

static fallible ident_read(struct call *c, const struct json *v, struct ident *ret, struct err *err)
{
	struct str type, value;
	if (json_type(v) != JSON_OBJECT)
		FAIL(err, ERR_MALFORMED, "an identifier is not an object with \"type\" and \"value\"");
	TRY(json_want_str(v, "type", 64, &type, err));
	TRY(json_want_str(v, "value", 512, &value, err));
	if (!str_eq(type, STR("dns")))
		FAIL(err, ERR_UNSUPPORTED_IDENTIFIER, "identifier type \"%.*s\" is not served; use \"dns\"",
		     STR_FMT(type));
	*ret = (struct ident){ .type = IDENT_DNS, .value = name_lower(c->mem, value) };
	struct rc rc = name_check(ret->value, true, err);
	if (FAILED(rc)) {
		err_prefix(err, "\"%.*s\": ", STR_FMT(value));
		return rc;
	}
	/* Every challenge that is served proves one host; a wildcard needs a DNS method (RULES R9). */
	if (ident_is_wildcard(ret))
		FAIL(err, ERR_REJECTED_IDENTIFIER,
		     "%.*s: a wildcard needs a DNS challenge, which this CA does not offer", STR_FMT(ret->value));
	return conf_realm_allows(c->realm, ret->value, err);
}

static fallible order_idents_read(struct call *c, struct new_order *n, struct err *err)
{
	const struct json *list;
	TRY(json_want_array(c->payload, "identifiers", (size_t)c->realm->names_per_order, &list, err));
	size_t given = json_count(list);
	if (given == 0)
		FAIL(err, ERR_MALFORMED, "identifiers is empty; an order names at least one");
	n->idents = ARENA_ARRAY(c->mem, struct ident, given);
	for (size_t i = 0; i < given; i++)
		TRY(ident_read(c, json_at(list, i), &n->idents[i], err));
	qsort(n->idents, given, sizeof *n->idents, ident_compare);
	n->count = 0;
	for (size_t i = 0; i < given; i++) /* duplicates collapse */
		if (n->count == 0 || !str_eq(n->idents[n->count - 1].value, n->idents[i].value))
			n->idents[n->count++] = n->idents[i];
	return OK;
}

static fallible challenges_make(struct call *c, struct store_tx *tx, struct id authz, struct err *err)
{
	for (size_t i = 0; i < c->realm->challenges.n; i++) {
		struct token_text token = token_new(c->a->d.rng);
		struct challenge_row ch = { .id = id_new(c->a->d.clk, c->a->d.rng),
					    .authz = authz,
					    .status = CHALLENGE_PENDING,
					    .token = str_n(token.z, TOKEN_LEN) };
		TRY(challenge_type_read(c->realm->challenges.v[i], &ch.type, err));
		TRY(challenge_insert(tx, &ch, err));
	}
	return OK;
}

/* How long an authorization serves a new order. A proof is used again for the realm's reuse time only, counted from its
 * attempt's beginning as the signer counts it (recheck.c); for the orders that it was made for it lives on beyond that.
 */
static int64_t authz_serves_until(const struct call *c, const struct authz_row *z)
{
	int64_t reuse_end = id_time_ms(z->attempt) + c->realm->authz_valid_s * 1000;
	return z->status == AUTHZ_VALID && reuse_end < z->expires_at ? reuse_end : z->expires_at;
}

/* The signer takes verdicts of the realm's own zone only: a proof from before the realm moved to another is no proof. */
static fallible proof_fits_zone(const struct call *c, struct store_tx *tx, const struct authz_row *z, bool *ret,
				struct err *err)
{
	struct attempt_row attempt;
	*ret = true;
	if (z->status != AUTHZ_VALID)
		return OK;
	struct rc rc = attempt_by_id(tx, c->mem, z->attempt, &attempt, err);
	*ret = !FAILED(rc) && str_eq(attempt.zone, c->realm->zone);
	return rc.kind == ERR_NOT_FOUND ? OK : rc;
}

/* A fresh authorization with its challenges, or one that this account has already under this key. */
static fallible authz_get(struct new_order *n, struct store_tx *tx, const struct ident *ident, struct authz_row *ret,
			  struct err *err)
{
	struct call *c = n->c;
	int64_t until = c->now_ms + REUSE_MARGIN_MS;
	const struct authz_want want = { .ident = *ident };
	struct rc rc =
		authz_find_reusable(tx, c->mem, c->account.id, str_z(c->thumbprint.z), &want, until, ret, err);
	if (FAILED(rc) && rc.kind != ERR_NOT_FOUND)
		return rc;
	if (!FAILED(rc) && authz_serves_until(c, ret) > until) {
		bool fits;
		TRY(proof_fits_zone(c, tx, ret, &fits, err));
		if (fits)
			return OK;
	}
	*ret = (struct authz_row){
		.id = id_new(c->a->d.clk, c->a->d.rng),
		.account = c->account.id,
		.realm = c->realm->name,
		.thumbprint = str_z(c->thumbprint.z),
		.ident = *ident,
		.status = AUTHZ_PENDING,
		.created_at = c->now_ms,
		.expires_at = c->now_ms + c->realm->authz_pending_s * 1000,
	};
	TRY(authz_insert(tx, ret, err));
	return challenges_make(c, tx, ret->id, err);
}

static fallible new_order_tx(struct store_tx *tx, void *ctx, struct err *err)
{
	struct new_order *n = ctx;
	struct call *c = n->c;
	size_t open = 0;
	TRY(account_still_valid(c, tx, err));
	TRY(limit_check(c, tx, str_fmt(c->mem, "new-order:%s", id_show(c->account.id).z), c->realm->orders_per_hour,
			"new orders by this account", err));
	n->row.expires_at = c->now_ms + c->realm->order_life_s * 1000;
	for (size_t i = 0; i < n->count; i++) {
		struct authz_row z;
		TRY(authz_get(n, tx, &n->idents[i], &z, err));
		n->authzs[i] = z.id;
		open += z.status != AUTHZ_VALID;
		int64_t end = authz_serves_until(c, &z);
		if (end < n->row.expires_at) /* an order lives no longer than what it stands on */
			n->row.expires_at = end;
	}
	n->row.status = open == 0 ? ORDER_READY : ORDER_PENDING;
	return order_insert(tx, &n->row, n->authzs, n->count, err);
}

fallible post_new_order(struct call *c, struct err *err)
{
	struct new_order n = { .c = c };
	if (json_get(c->payload, "notBefore") != NULL || json_get(c->payload, "notAfter") != NULL)
		FAIL(err, ERR_MALFORMED,
		     "notBefore and notAfter are not served: the profile sets them; leave them out");
	TRY(order_idents_read(c, &n, err));
	n.authzs = ARENA_ARRAY(c->mem, struct id, n.count);
	n.row = (struct order_row){ .id = id_new(c->a->d.clk, c->a->d.rng),
				    .account = c->account.id,
				    .realm = c->realm->name,
				    .profile = c->realm->profiles.v[0],
				    .created_at = c->now_ms };
	TRY(idents_write(c->mem, n.idents, n.count, &n.row.identifiers, err));
	TRY(store_tx(c->a->d.store, new_order_tx, &n, err));
	LOG(c->a->d.log, LOG_INFO, "order created", KV_ID("order", n.row.id), KV_ID("account", c->account.id),
	    KV_STR("realm", c->realm->name), KV_U64("names", n.count), KV_STR("first", n.idents[0].value),
	    KV_Z("status", order_status_name(n.row.status)));
	TRY(reply_location(c, call_url(c, "order", n.row.id, ""), err));
	return reply_order(c, 201, &n.row, n.authzs, n.count, err);
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
	TRY(order_of_call(v->c, tx, v->c->path_id, &v->row, err));
	return order_authzs(tx, v->c->mem, v->row.id, &v->authzs, &v->count, err);
}

fallible post_order(struct call *c, struct err *err)
{
	struct order_view v = { .c = c };
	TRY(store_read(c->a->d.store, order_view_read, &v, err));
	return reply_order(c, 200, &v.row, v.authzs, v.count, err);
}

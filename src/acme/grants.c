/* SPDX-License-Identifier: Apache-2.0
 *
 * grants.c: what an operator has vouched for (DESIGN 5): names that need no challenge from certain accounts, and what may
 * stand in their subjects. The signer decides about all of it once more; here an order learns beforehand what the signer
 * will take, so whatever it would refuse does not count here either.
 */
#include "acme/order.h"

#define LOOK_MAX 64 /* grants of one key */

/* An account is whom its earlier keys were, too: the signer is shown the key changes. */
static fallible account_keys(const struct grants *g, struct store_tx *tx, struct str **ret, size_t *ret_count,
			     struct err *err)
{
	const struct call *c = g->c;
	struct key_change_row *changes;
	size_t count;
	TRY(key_changes_of_account(tx, c->mem, c->account.id, EARLIER_KEYS_MAX, &changes, &count, err));
	struct str *keys = ARENA_ARRAY(c->mem, struct str, count + 1);
	size_t n = 0;
	keys[n++] = str_z(c->thumbprint.z);
	for (size_t i = 0; i < count; i++) {
		bool known = false;
		for (size_t k = 0; k < n; k++)
			known = known || str_eq(keys[k], changes[i].was);
		if (!known)
			keys[n++] = changes[i].was;
	}
	*ret = keys;
	*ret_count = n;
	return OK;
}

static fallible grant_verify(const struct grants *g, const struct grant_row *row, struct grant *ret, struct err *err)
{
	const struct call *c = g->c;
	struct jws_compact jws;
	TRY(jws_compact_read(c->mem, row->jws, STR(GRANT_TYP), GRANT_JWS_MAX, &jws, err));
	const struct key *key = view_operator_key(c->view, jws.kid);
	if (key == NULL)
		FAIL(err, ERR_UNAUTHORIZED, "no key is pinned for operator %.*s", STR_FMT(jws.kid));
	TRY(jws_compact_verify(c->a->d.crypto, &jws, key, err));
	return grant_read(c->mem, jws.payload, ret, err);
}

static bool grant_counts(const struct grants *g, const struct grant_row *row, struct str key, const struct grant *says)
{
	int64_t now_s = g->c->now_ms / 1000;
	return id_eq(says->id, row->id) && str_eq(says->realm, g->c->realm->name) && grant_has_key(says, key) &&
	       says->from_s <= now_s && now_s <= says->until_s;
}

static bool grant_known(const struct grants *g, struct id id)
{
	for (size_t i = 0; i < g->n; i++)
		if (id_eq(g->v[i].row.id, id))
			return true;
	return false;
}

static void grant_take(struct grants *g, const struct grant_row *row, struct str key)
{
	struct err why = { 0 };
	struct held_grant held = { .row = *row };
	if (g->n == GRANTS_HELD_MAX || grant_known(g, row->id))
		return;
	if (FAILED(grant_verify(g, row, &held.says, &why)))
		LOG(g->c->a->d.log, LOG_WARNING, "grant does not count", KV_ID("grant", row->id), KV_ERR(&why));
	else if (grant_counts(g, row, key, &held.says))
		g->v[g->n++] = held;
}

static fallible grants_read_tx(struct store_tx *tx, void *ctx, struct err *err)
{
	struct grants *g = ctx;
	struct str *keys;
	size_t count;
	g->n = 0;
	TRY(account_keys(g, tx, &keys, &count, err));
	for (size_t i = 0; i < count; i++) {
		struct grant_row *rows;
		size_t n;
		TRY(grants_of_key(tx, g->c->mem, g->c->realm->name, keys[i], g->c->now_ms / 1000, LOOK_MAX, &rows, &n,
				  err));
		for (size_t k = 0; k < n; k++)
			grant_take(g, &rows[k], keys[i]);
	}
	return OK;
}

fallible grants_read(const struct call *c, struct grants *ret, struct err *err)
{
	*ret = (struct grants){ .c = c };
	if (!c->realm->grants)
		return OK;
	ret->v = ARENA_ARRAY(c->mem, struct held_grant, GRANTS_HELD_MAX);
	return store_read(c->a->d.store, grants_read_tx, ret, err);
}

static bool serves_profile(const struct grants *g, const struct held_grant *h)
{
	return g->profile == NULL || grant_has_profile(&h->says, g->profile->name);
}

/* A revocation that was acknowledged before this transaction holds in it. */
static fallible still_held(const struct grants *g, struct store_tx *tx, const struct held_grant *h, bool *ret,
			   struct err *err)
{
	struct grant_row now;
	struct rc rc = grant_by_id(tx, g->c->mem, h->row.id, &now, err);
	*ret = !FAILED(rc) && now.revoked_at == 0;
	return rc.kind == ERR_NOT_FOUND ? OK : rc;
}

fallible grants_find(struct grants *g, struct store_tx *tx, const struct ident *ident, const struct held_grant **ret,
		     struct err *err)
{
	*ret = NULL;
	if (g->profile != NULL && g->profile->public_rules) /* BR 3.2.2.4 knows no such way to prove a name */
		return OK;
	for (int fresh = 0; fresh < 2; fresh++) { /* first those that the order uses already: a job has few */
		for (size_t i = 0; i < g->n; i++) {
			struct held_grant *h = &g->v[i];
			bool held;
			if (h->used == (fresh != 0) || !serves_profile(g, h) || !grant_covers(&h->says, ident) ||
			    (fresh != 0 && g->used == GRANTS_USED_MAX))
				continue;
			TRY(still_held(g, tx, h, &held, err));
			if (!held)
				continue;
			g->used += !h->used;
			h->used = true;
			*ret = h;
			return OK;
		}
	}
	return OK;
}

void grants_forget(struct grants *g)
{
	g->used = 0;
	for (size_t i = 0; i < g->n; i++)
		g->v[i].used = false;
}

fallible grants_find_subject(const struct grants *g, struct store_tx *tx, const struct held_grant **ret,
			     struct err *err)
{
	*ret = NULL;
	if (g->profile == NULL || str_eq(g->profile->subject, STR("off")))
		return OK;
	for (size_t i = 0; i < g->n && *ret == NULL; i++) {
		bool held = false;
		if (serves_profile(g, &g->v[i]) && grant_has_subject(&g->v[i].says))
			TRY(still_held(g, tx, &g->v[i], &held, err));
		if (held)
			*ret = &g->v[i];
	}
	if (*ret == NULL && str_eq(g->profile->subject, STR("required")))
		FAIL(err, ERR_UNAUTHORIZED,
		     "profile %.*s says who the subscriber is, and no grant of this account does; ask the CA's "
		     "operator "
		     "for one",
		     STR_FMT(g->profile->name));
	return OK;
}

fallible grants_audit(const struct call *c, struct store_tx *tx, struct id order, const struct id *ids, size_t count,
		      struct err *err)
{
	AUTO(buf_done) struct buf detail = BUF_MAX(4096);
	struct jw w = jw_begin(&detail, err);
	jw_object(&w);
	jw_key(&w, "grants");
	jw_array(&w);
	for (size_t i = 0; i < count; i++)
		jw_str(&w, str_z(id_show(ids[i]).z));
	jw_array_end(&w);
	jw_object_end(&w);
	TRY(jw_end(&w));
	return call_audit(c, tx, "grants used", str_fmt(c->mem, "order:%s", id_show(order).z), buf_str(&detail), err);
}

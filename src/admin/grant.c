/* SPDX-License-Identifier: Apache-2.0
 *
 * grant.c: grants as the operator sees them: list, show, revoke. What a grant says is read from its signed text each time.
 * A revocation here makes the API stop at once; that the signer stops does not depend on it (signer.revoked-grants).
 */
#include "admin/internal.h"

#include "jose/jose.h"

#define PAGE 20 /* rows in one answer: each grant has at most GRANT_PAYLOAD_MAX bytes of its own */
#define REVOKE_STEPS 100

/* --- rows to JSON ---------------------------------------------------------------------------------------------------*/
static const char *status_of(const struct grant_row *row, int64_t now_ms)
{
	if (row->revoked_at != 0)
		return "revoked";
	if (row->until_s < now_ms / 1000)
		return "expired";
	return row->from_s > now_ms / 1000 ? "not yet" : "active";
}

static void write_texts(struct jw *w, const char *key, const struct str *list, size_t count)
{
	jw_key(w, key);
	jw_array(w);
	for (size_t i = 0; i < count; i++)
		jw_str(w, list[i]);
	jw_array_end(w);
}

void admin_grant_write(struct jw *w, const struct grant_row *row, const struct grant *g, int64_t now_ms)
{
	jw_kid(w, "id", row->id);
	jw_kstr(w, "realm", row->realm);
	jw_kz(w, "status", status_of(row, now_ms));
	jw_kstr(w, "operator", row->signer);
	write_texts(w, "names", g->names, g->name_count);
	write_texts(w, "addresses", g->addresses, g->address_count);
	jw_kbool(w, "wildcards", g->wildcards);
	write_texts(w, "profiles", g->profiles, g->profile_count);
	jw_kstr(w, "organization", g->organization);
	jw_kstr(w, "locality", g->locality);
	jw_kstr(w, "state", g->state);
	jw_kstr(w, "country", g->country);
	write_texts(w, "emails", g->emails, g->email_count);
	write_texts(w, "thumbprints", g->thumbprints, g->thumbprint_count);
	admin_write_time(w, "from", row->from_s * 1000);
	admin_write_time(w, "until", row->until_s * 1000);
	jw_kstr(w, "note", g->note);
	admin_write_time(w, "added", row->created_at);
	admin_write_time(w, "revoked", row->revoked_at);
}

/* It was read when it was added; a row that does not read now was altered. */
static fallible row_read(struct arena *mem, const struct grant_row *row, struct grant *ret, struct err *err)
{
	struct jws_compact jws;
	struct rc rc = jws_compact_read(mem, row->jws, STR(GRANT_TYP), GRANT_JWS_MAX, &jws, err);
	if (!FAILED(rc))
		rc = grant_read(mem, jws.payload, ret, err);
	if (FAILED(rc))
		FAIL(err, ERR_INTERNAL, "the stored text of grant %s is none", id_show(row->id).z);
	return OK;
}

static fallible id_of(const struct admin_call *c, struct id *ret, struct err *err)
{
	struct str text;
	TRY(json_want_str(c->rq, "id", ID_TEXT_LEN, &text, err));
	return id_read(text, ret, err);
}

static fallible unknown_id(struct rc rc, struct id id, struct err *err)
{
	if (rc.kind == ERR_NOT_FOUND)
		FAIL(err, ERR_NOT_FOUND, "the API has no grant %s", id_show(id).z);
	return rc;
}

/* --- grant.list, grant.show -----------------------------------------------------------------------------------------*/
struct page {
	struct admin_call *c;
	struct str realm;
	struct id after;
	struct grant_row *rows;
	size_t count;
};

static fallible read_page(struct store_tx *tx, void *ctx, struct err *err)
{
	struct page *p = ctx;
	return grant_list(tx, p->c->mem, p->realm, p->after, PAGE + 1, &p->rows, &p->count, err);
}

static fallible write_one(struct admin_call *c, const struct grant_row *row, struct err *err)
{
	struct grant g;
	TRY(row_read(c->mem, row, &g, err));
	admin_grant_write(c->out, row, &g, c->now_ms);
	return OK;
}

fallible admin_grant_list(struct admin_call *c, struct err *err)
{
	struct page p = { .c = c };
	struct str after = STR_NONE;
	TRY(json_may_str(c->rq, "realm", REALM_NAME_MAX, &p.realm, err));
	TRY(json_may_str(c->rq, "after", ID_TEXT_LEN, &after, err));
	if (after.n > 0)
		TRY(id_read(after, &p.after, err));
	TRY(store_read_stale(c->d->store, read_page, &p, err));
	jw_key(c->out, "grants");
	jw_array(c->out);
	for (size_t i = 0; i < p.count && i < PAGE; i++) {
		jw_object(c->out);
		TRY(write_one(c, &p.rows[i], err));
		jw_object_end(c->out);
	}
	jw_array_end(c->out);
	if (p.count > PAGE)
		jw_kid(c->out, "after", p.rows[PAGE - 1].id);
	return OK;
}

struct shown {
	struct admin_call *c;
	struct id id;
	struct grant_row row;
};

static fallible read_one(struct store_tx *tx, void *ctx, struct err *err)
{
	struct shown *s = ctx;
	return grant_by_id(tx, s->c->mem, s->id, &s->row, err);
}

fallible admin_grant_show(struct admin_call *c, struct err *err)
{
	struct shown s = { .c = c };
	TRY(id_of(c, &s.id, err));
	TRY(unknown_id(store_read(c->d->store, read_one, &s, err), s.id, err));
	TRY(write_one(c, &s.row, err));
	jw_kstr(c->out, "jws", s.row.jws);
	return OK;
}

/* --- grant.revoke ---------------------------------------------------------------------------------------------------*/
struct revoking {
	struct admin_call *c;
	struct id id;
	struct str object, problem; /* problem: what its orders end with */
	bool changed, more;
	size_t ended; /* orders, by one step */
};

static fallible revoke_tx(struct store_tx *tx, void *ctx, struct err *err)
{
	struct revoking *r = ctx;
	struct grant_row row;
	TRY(grant_by_id(tx, r->c->mem, r->id, &row, err));
	r->changed = row.revoked_at == 0;
	if (!r->changed)
		return OK;
	TRY(grant_revoke(tx, r->id, r->c->now_ms, err));
	const struct audit_row audit = {
		.at = r->c->now_ms, .actor = r->c->actor, .event = STR("grant revoked"), .object = r->object
	};
	return audit_insert(tx, &audit, err);
}

/* RFC 8555 7.1.6: an order that is not finalized yet ends with any of its authorizations. */
static fallible end_orders(struct revoking *r, struct store_tx *tx, struct id authz, struct err *err)
{
	static const enum order_status open[] = { ORDER_PENDING, ORDER_READY };
	for (size_t s = 0; s < ARRAY_LEN(open); s++) {
		struct id *orders;
		size_t count;
		TRY(orders_of_authz(tx, r->c->mem, authz, open[s], &orders, &count, err));
		for (size_t i = 0; i < count; i++)
			TRY(order_fail(tx, orders[i], open[s], r->problem, err));
		r->ended += count;
	}
	return OK;
}

/* One authorization with its orders a transaction: AUTHZ_ORDERS_MAX bounds it. */
static fallible end_authz(struct store_tx *tx, void *ctx, struct err *err)
{
	struct revoking *r = ctx;
	struct id *ids;
	size_t count;
	r->ended = 0;
	TRY(authzs_of_grant(tx, r->c->mem, r->id, 1, &ids, &count, err));
	r->more = count > 0;
	if (!r->more)
		return OK;
	TRY(authz_move(tx, ids[0], AUTHZ_VALID, AUTHZ_REVOKED, err));
	return end_orders(r, tx, ids[0], err);
}

static fallible problem_make(struct revoking *r, struct err *err)
{
	AUTO(buf_done) struct buf text = BUF_MAX(4096);
	struct err why = { 0 };
	err_set(&why, ERR_UNAUTHORIZED,
		"the grant %s, which made one of the order's authorizations valid, was revoked; make a new order",
		id_show(r->id).z);
	TRY(problem_write(&why, STR_NONE, &text, err));
	r->problem = str_dup(r->c->mem, buf_str(&text));
	return OK;
}

fallible admin_grant_revoke(struct admin_call *c, struct err *err)
{
	struct revoking r = { .c = c, .more = true };
	int64_t orders = 0;
	TRY(id_of(c, &r.id, err));
	r.object = str_fmt(c->mem, "grant:%s", id_show(r.id).z);
	TRY(problem_make(&r, err));
	TRY(unknown_id(store_tx(c->d->store, revoke_tx, &r, err), r.id, err));
	FP("admin.grant_revoked");
	if (r.changed)
		LOG(c->d->log, LOG_NOTICE, "grant revoked", KV_ID("grant", r.id), KV_STR("actor", c->actor));
	/* No order begins to stand on it any more: it is revoked. Interrupted, the same request goes on. */
	for (int i = 0; i < REVOKE_STEPS && r.more; i++) {
		TRY(store_tx(c->d->store, end_authz, &r, err));
		orders += (int64_t)r.ended;
	}
	jw_kid(c->out, "id", r.id);
	jw_kbool(c->out, "wasRevoked", !r.changed);
	jw_ki64(c->out, "orders", orders);
	jw_kbool(c->out, "more", r.more);
	return OK;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * sweep.c: ends what has passed its time, and removes what nobody needs any more, a few rows a call.
 *
 * Retention goes from the certificate down: an order is removed with its certificate, or when it failed; an
 * authorization when it has ended and no order refers to it. What was signed, or may have been, stays until it has
 * expired: a failed order whose issuance may still be in somebody's hands is kept like a certificate. So that the cost
 * of a call does not grow with the evidence that is kept, ended authorizations are looked at once, in the order in
 * which they ended (the mark says how far), and once more when an order that refers to them goes.
 */
#include "store/internal.h"

#define OPEN_AUTHZ "status IN ('pending', 'valid')"
#define ENDED_AUTHZ "status IN ('invalid', 'deactivated', 'expired', 'revoked')"

enum {
	Q_EXPIRE_ORDERS,
	Q_EXPIRE_AUTHZS,
	Q_OLD_CERTIFICATES,
	Q_OLD_ORDERS,
	Q_ORDER_AUTHZS,
	Q_DELETE_NAMES,
	Q_DELETE_CERTIFICATE,
	Q_DELETE_USES,
	Q_DELETE_ISSUANCE,
	Q_DELETE_LINKS,
	Q_DELETE_ORDER,
	Q_AUTHZ_LOOSE,
	Q_DELETE_VERDICTS,
	Q_DELETE_ATTEMPTS,
	Q_DELETE_CHALLENGES,
	Q_DELETE_AUTHZ,
	Q_MARK_GET,
	Q_MARK_SET,
	Q_ENDED_AUTHZS,
	Q_OLD_GRANTS,
	Q_DELETE_GRANT_KEYS,
	Q_DELETE_GRANT,
	Q_DELETE_LIMITS,
	Q_DELETE_AUDIT,
	Q_COUNT
};
static const char *const sql[Q_COUNT] = {
	[Q_EXPIRE_ORDERS] = "UPDATE orders SET status = 'invalid', ended_at = $1, error = $2 WHERE id IN"
			    " (SELECT id FROM orders WHERE status IN ('pending', 'ready') AND expires_at <= $1"
			    " ORDER BY expires_at LIMIT $3)",
	[Q_EXPIRE_AUTHZS] = "UPDATE authorizations SET ended_at = $1,"
			    " status = CASE WHEN status = 'pending' THEN 'invalid' ELSE 'expired' END WHERE id IN"
			    " (SELECT id FROM authorizations WHERE " OPEN_AUTHZ " AND expires_at <= $1"
			    " ORDER BY expires_at LIMIT $2)",
	[Q_OLD_CERTIFICATES] = "SELECT order_id FROM certificates WHERE not_after_s < $1 ORDER BY not_after_s LIMIT $2",
	[Q_OLD_ORDERS] = "SELECT o.id FROM orders o WHERE o.status = 'invalid' AND o.ended_at < $1 AND NOT EXISTS"
			 " (SELECT 1 FROM issuances i WHERE i.order_id = o.id AND i.not_after_s >= $2)"
			 " AND NOT EXISTS (SELECT 1 FROM certificates c WHERE c.order_id = o.id)"
			 " ORDER BY o.ended_at LIMIT $3",
	[Q_ORDER_AUTHZS] = "SELECT authz FROM order_authz WHERE order_id = $1",
	[Q_DELETE_NAMES] = "DELETE FROM certificate_names WHERE certificate IN"
			   " (SELECT id FROM certificates WHERE order_id = $1)",
	[Q_DELETE_CERTIFICATE] = "DELETE FROM certificates WHERE order_id = $1",
	[Q_DELETE_USES] = "DELETE FROM issuance_grants WHERE issuance IN"
			  " (SELECT id FROM issuances WHERE order_id = $1)",
	[Q_DELETE_ISSUANCE] = "DELETE FROM issuances WHERE order_id = $1",
	[Q_DELETE_LINKS] = "DELETE FROM order_authz WHERE order_id = $1",
	[Q_DELETE_ORDER] = "DELETE FROM orders WHERE id = $1",
	[Q_AUTHZ_LOOSE] = "SELECT 1 FROM authorizations a WHERE a.id = $1 AND a." ENDED_AUTHZ
			  " AND NOT EXISTS (SELECT 1 FROM order_authz oa WHERE oa.authz = a.id)",
	[Q_DELETE_VERDICTS] = "DELETE FROM verdicts WHERE attempt IN (SELECT id FROM attempts WHERE challenge IN"
			      " (SELECT id FROM challenges WHERE authz = $1))",
	[Q_DELETE_ATTEMPTS] = "DELETE FROM attempts WHERE challenge IN (SELECT id FROM challenges WHERE authz = $1)",
	[Q_DELETE_CHALLENGES] = "DELETE FROM challenges WHERE authz = $1",
	[Q_DELETE_AUTHZ] = "DELETE FROM authorizations WHERE id = $1",
	[Q_MARK_GET] = "SELECT at, id FROM sweep_marks WHERE name = $1",
	[Q_MARK_SET] = "INSERT INTO sweep_marks (name, at, id) VALUES ($1, $2, $3)"
		       " ON CONFLICT (name) DO UPDATE SET at = $2, id = $3",
	[Q_ENDED_AUTHZS] = "SELECT id, ended_at FROM authorizations WHERE " ENDED_AUTHZ
			   " AND (ended_at, id) > ($1, $2) AND ended_at < $3 ORDER BY ended_at, id LIMIT $4",
	[Q_OLD_GRANTS] = "SELECT g.id FROM grants g WHERE g.until_s < $1"
			 " AND NOT EXISTS (SELECT 1 FROM authorizations a WHERE a.grant_id = g.id)"
			 " AND NOT EXISTS (SELECT 1 FROM issuance_grants i WHERE i.grant_id = g.id)"
			 " ORDER BY g.until_s LIMIT $2",
	[Q_DELETE_GRANT_KEYS] = "DELETE FROM grant_keys WHERE grant_id = $1",
	[Q_DELETE_GRANT] = "DELETE FROM grants WHERE id = $1",
	[Q_DELETE_LIMITS] = "DELETE FROM limits WHERE bucket IN"
			    " (SELECT bucket FROM limits WHERE tat_us < $1 ORDER BY tat_us LIMIT $2)",
	[Q_DELETE_AUDIT] = "DELETE FROM audit WHERE seq IN (SELECT seq FROM audit WHERE at < $1 ORDER BY at LIMIT $2)",
};
const struct sql_set sweep_sql = { "sweep.c", sql, Q_COUNT };

static const char expired_problem[] = "{\"type\":\"" PROBLEM_URN "malformed\",\"status\":400,"
				      "\"detail\":\"the order expired before it was finalized; make a new one\"}";

fallible sweep_expired(struct store_tx *tx, int64_t now, size_t limit, size_t *ret_changed, struct err *err)
{
	uint64_t orders, authzs;
	TRY(tx_run(tx, sql[Q_EXPIRE_ORDERS], ARGS(A_I64(now), A_Z(expired_problem), A_I64(tx_limit(limit))), &orders,
		   err));
	TRY(tx_run(tx, sql[Q_EXPIRE_AUTHZS], ARGS(A_I64(now), A_I64(tx_limit(limit))), &authzs, err));
	*ret_changed = (size_t)(orders + authzs);
	return OK;
}

/* --- retention ----------------------------------------------------------------------------------------------------*/
struct step {
	struct store_tx *tx;
	size_t limit, removed;
	bool more; /* a list was as long as the limit lets it be */
};

static void step_looked(struct step *s, size_t count)
{
	s->more = s->more || count >= s->limit;
}

static fallible run_list(struct store_tx *tx, const unsigned *queries, size_t count, struct id id, size_t *removed,
			 struct err *err)
{
	for (size_t i = 0; i < count; i++) {
		uint64_t changed;
		TRY(tx_run(tx, sql[queries[i]], ARGS(A_ID(id)), &changed, err));
		*removed += (size_t)changed;
	}
	return OK;
}

static fallible authz_is_loose(struct store_tx *tx, struct id id, bool *ret, struct err *err)
{
	AUTO(rows_done) struct rows r = { 0 };
	TRY(rows_open(&r, tx, sql[Q_AUTHZ_LOOSE], ARGS(A_ID(id)), err));
	return rows_next(&r, ret, err);
}

static fallible authz_remove_if_loose(struct store_tx *tx, struct id id, size_t *removed, struct err *err)
{
	static const unsigned queries[] = { Q_DELETE_VERDICTS, Q_DELETE_ATTEMPTS, Q_DELETE_CHALLENGES, Q_DELETE_AUTHZ };
	bool loose;
	TRY(authz_is_loose(tx, id, &loose, err));
	return loose ? run_list(tx, queries, ARRAY_LEN(queries), id, removed, err) : OK;
}

/* An order with all that is its own, then those of its authorizations that nobody else refers to. */
static fallible order_remove(struct store_tx *tx, struct id order, size_t *removed, struct err *err)
{
	static const unsigned queries[] = { Q_DELETE_NAMES,    Q_DELETE_CERTIFICATE, Q_DELETE_USES,
					    Q_DELETE_ISSUANCE, Q_DELETE_LINKS,       Q_DELETE_ORDER };
	AUTO(arena_done) struct arena mem = { 0 };
	struct id *authzs;
	size_t count;
	TRY(tx_ids(tx, &mem, sql[Q_ORDER_AUTHZS], ARGS(A_ID(order)), &authzs, &count, err));
	TRY(run_list(tx, queries, ARRAY_LEN(queries), order, removed, err));
	for (size_t i = 0; i < count; i++)
		TRY(authz_remove_if_loose(tx, authzs[i], removed, err));
	return OK;
}

static fallible orders_remove(struct step *s, const char *query, const struct db_arg *args, size_t arg_count,
			      struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct id *orders;
	size_t count;
	TRY(tx_ids(s->tx, &mem, query, args, arg_count, &orders, &count, err));
	for (size_t i = 0; i < count; i++)
		TRY(order_remove(s->tx, orders[i], &s->removed, err));
	step_looked(s, count);
	return OK;
}

struct mark {
	int64_t at;
	struct id id;
};
static const char mark_name[] = "ended authorizations";

static fallible mark_get(struct store_tx *tx, struct mark *ret, struct err *err)
{
	AUTO(rows_done) struct rows r = { 0 };
	bool row;
	TRY(rows_open(&r, tx, sql[Q_MARK_GET], ARGS(A_Z(mark_name)), err));
	TRY(rows_next(&r, &row, err));
	struct mark m = { .at = 0 };
	if (row) {
		m.at = rows_i64(&r, 0);
		ROWS_ID(&r, 1, &m.id, err);
	}
	*ret = m;
	return OK;
}

/* The next authorizations after the mark, and where the mark goes then. */
static fallible ended_list(struct store_tx *tx, struct arena *mem, struct mark *m, int64_t before, size_t limit,
			   struct id **ret, size_t *ret_count, struct err *err)
{
	AUTO(rows_done) struct rows r = { 0 };
	struct id *ids = NULL;
	size_t n = 0, cap = 0;
	TRY(rows_open(&r, tx, sql[Q_ENDED_AUTHZS],
		      ARGS(A_I64(m->at), A_ID(m->id), A_I64(before), A_I64(tx_limit(limit))), err));
	struct mark last = *m;
	for (;;) {
		bool row;
		TRY(rows_next(&r, &row, err));
		if (!row)
			break;
		ids = (struct id *)arena_push(mem, ids, sizeof *ids, n, &cap);
		ROWS_ID(&r, 0, &ids[n], err);
		last = (struct mark){ rows_i64(&r, 1), ids[n] };
		n++;
	}
	*m = last;
	*ret = ids;
	*ret_count = n;
	return OK;
}

static fallible authzs_remove(struct step *s, int64_t before, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct mark m;
	struct id *ids;
	size_t count;
	TRY(mark_get(s->tx, &m, err));
	TRY(ended_list(s->tx, &mem, &m, before, s->limit, &ids, &count, err));
	for (size_t i = 0; i < count; i++)
		TRY(authz_remove_if_loose(s->tx, ids[i], &s->removed, err));
	step_looked(s, count);
	uint64_t changed;
	return count == 0
		       ? OK
		       : tx_run(s->tx, sql[Q_MARK_SET], ARGS(A_Z(mark_name), A_I64(m.at), A_ID(m.id)), &changed, err);
}

/* A grant goes when it has long ended and no certificate or authorization stands on it any more. */
static fallible grants_remove(struct step *s, int64_t ended_before_s, struct err *err)
{
	static const unsigned queries[] = { Q_DELETE_GRANT_KEYS, Q_DELETE_GRANT };
	AUTO(arena_done) struct arena mem = { 0 };
	struct id *grants;
	size_t count;
	TRY(tx_ids(s->tx, &mem, sql[Q_OLD_GRANTS], ARGS(A_I64(ended_before_s), A_I64(tx_limit(s->limit))), &grants,
		   &count, err));
	for (size_t i = 0; i < count; i++)
		TRY(run_list(s->tx, queries, ARRAY_LEN(queries), grants[i], &s->removed, err));
	step_looked(s, count);
	return OK;
}

/* Rows that stand alone. */
static fallible rows_remove(struct step *s, unsigned query, int64_t before, struct err *err)
{
	uint64_t removed;
	TRY(tx_run(s->tx, sql[query], ARGS(A_I64(before), A_I64(tx_limit(s->limit))), &removed, err));
	s->removed += (size_t)removed;
	step_looked(s, (size_t)removed);
	return OK;
}

fallible sweep_retention(struct store_tx *tx, const struct retention *what, size_t *ret_removed, bool *ret_more,
			 struct err *err)
{
	struct step s = { .tx = tx, .limit = what->limit };
	int64_t rows = tx_limit(what->limit);
	TRY(orders_remove(&s, sql[Q_OLD_CERTIFICATES], ARGS(A_I64(what->expired_before_s), A_I64(rows)), err));
	TRY(orders_remove(&s, sql[Q_OLD_ORDERS],
			  ARGS(A_I64(what->ended_before), A_I64(what->expired_before_s), A_I64(rows)), err));
	TRY(authzs_remove(&s, what->ended_before, err));
	TRY(grants_remove(&s, what->expired_before_s, err));
	TRY(rows_remove(&s, Q_DELETE_LIMITS, clock_now_ms(tx->clock) * 1000, err));
	TRY(rows_remove(&s, Q_DELETE_AUDIT, what->audit_before, err));
	*ret_removed = s.removed;
	*ret_more = s.more;
	return OK;
}

fallible sweep_compact(struct store_tx *tx, bool *ret_more, struct err *err)
{
	*ret_more = false;
	return tx->db->ops->compact == NULL ? OK : tx->db->ops->compact(tx->db, ret_more, err);
}

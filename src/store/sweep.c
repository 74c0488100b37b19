/* SPDX-License-Identifier: Apache-2.0
 *
 * sweep.c: ends what has passed its time, and removes what nobody needs any more, a few rows a call.
 *
 * Retention goes from the certificate down: an order is removed with its certificate, or when it failed; an
 * authorization when it has ended and no order refers to it. What was signed, or may have been, stays until it has
 * expired: a failed order whose issuance may still be in somebody's hands is kept like a certificate. So that the cost
 * of a call does not grow with the evidence that is kept, ended authorizations are looked at once, in the order in
 * which they ended (the mark says how far), and once more when an order that refers to them goes; failed orders are
 * looked at once a round, some hundreds a call. Audit records go from the first on; a mark passes those that are not due
 * and stand before others that are.
 */
#include "store/internal.h"

#define OPEN_AUTHZ "status IN ('pending', 'valid')"
#define ENDED_AUTHZ "status NOT IN ('pending', 'valid')"

enum {
	Q_EXPIRE_ORDERS,
	Q_EXPIRE_AUTHZS,
	Q_OLD_CERTIFICATES,
	Q_FAILED_ORDERS,
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
	Q_AUDIT_AFTER,
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
	/* The kept ones, too: LIMIT bounds what is looked at, and the caller's mark passes them. */
	[Q_FAILED_ORDERS] = "SELECT o.id, o.ended_at, CASE WHEN EXISTS"
			    " (SELECT 1 FROM issuances i WHERE i.order_id = o.id AND i.not_after_s >= $4)"
			    " OR EXISTS (SELECT 1 FROM certificates c WHERE c.order_id = o.id) THEN 1 ELSE 0 END"
			    " FROM orders o WHERE o.status = 'invalid' AND (o.ended_at, o.id) > ($1, $2)"
			    " AND o.ended_at < $3 ORDER BY o.ended_at, o.id LIMIT $5",
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
	[Q_ENDED_AUTHZS] = "SELECT id, ended_at, 0 FROM authorizations WHERE " ENDED_AUTHZ
			   " AND (ended_at, id) > ($1, $2) AND ended_at < $3 ORDER BY ended_at, id LIMIT $4",
	[Q_OLD_GRANTS] = "SELECT g.id FROM grants g WHERE g.until_s < $1"
			 " AND NOT EXISTS (SELECT 1 FROM authorizations a WHERE a.grant_id = g.id)"
			 " AND NOT EXISTS (SELECT 1 FROM issuance_grants i WHERE i.grant_id = g.id)"
			 " ORDER BY g.until_s LIMIT $2",
	[Q_DELETE_GRANT_KEYS] = "DELETE FROM grant_keys WHERE grant_id = $1",
	[Q_DELETE_GRANT] = "DELETE FROM grants WHERE id = $1",
	[Q_DELETE_LIMITS] = "DELETE FROM limits WHERE bucket IN"
			    " (SELECT bucket FROM limits WHERE tat_us < $1 ORDER BY tat_us LIMIT $2)",
	[Q_AUDIT_AFTER] = "SELECT seq, at FROM audit WHERE seq > $1 ORDER BY seq LIMIT $2",
	[Q_DELETE_AUDIT] = "DELETE FROM audit WHERE seq > $1 AND seq <= $2 AND at < $3",
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
/* An order of a hundred names has some thousand rows with it: a call ends after the first that goes past so many. */
#define STEP_ROWS 200
/* Looking costs a few microseconds each, and most of them stay. */
#define STEP_LOOKS 200

struct step {
	struct store_tx *tx;
	size_t limit, removed;
	bool more; /* a list was as long as the limit lets it be, or was left in its middle */
};

static void step_looked(struct step *s, size_t count)
{
	s->more = s->more || count >= s->limit;
}

static bool step_is_full(struct step *s)
{
	if (s->removed < STEP_ROWS)
		return false;
	s->more = true;
	return true;
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

static fallible certified_remove(struct step *s, int64_t expired_before_s, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct id *orders = NULL;
	size_t count = 0;
	TRY(tx_ids(s->tx, &mem, sql[Q_OLD_CERTIFICATES], ARGS(A_I64(expired_before_s), A_I64(tx_limit(s->limit))),
		   &orders, &count, err));
	for (size_t i = 0; i < count && !step_is_full(s); i++)
		TRY(order_remove(s->tx, orders[i], &s->removed, err));
	step_looked(s, count);
	return OK;
}

struct ended {
	struct sweep_mark at;
	bool kept;
};

/* What a statement gives of what has ended, in that order, with at most go_max that are not kept. */
static fallible ended_list(struct store_tx *tx, struct arena *mem, const char *query, const struct db_arg *args,
			   size_t arg_count, size_t go_max, struct ended **ret, size_t *ret_count, struct err *err)
{
	AUTO(rows_done) struct rows r = { 0 };
	struct ended *list = NULL;
	size_t n = 0, cap = 0, go = 0;
	TRY(rows_open(&r, tx, query, args, arg_count, err));
	while (go < go_max) {
		bool row = false;
		TRY(rows_next(&r, &row, err));
		if (!row)
			break;
		list = (struct ended *)arena_push(mem, list, sizeof *list, n, &cap);
		list[n] = (struct ended){ .at.ms = rows_i64(&r, 1), .kept = rows_i64(&r, 2) != 0 };
		ROWS_ID(&r, 0, &list[n].at.id, err);
		go += !list[n].kept;
		n++;
	}
	*ret = list;
	*ret_count = n;
	return OK;
}

/* From the mark on; at the end it goes back to the start, since what was kept may go in the next round. */
static fallible failed_remove(struct step *s, struct retention *what, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	const struct sweep_mark from = what->orders_from;
	struct ended *list = NULL;
	size_t count = 0, removed = 0, i = 0;
	if (what->orders_done || step_is_full(s))
		return OK;
	TRY(ended_list(s->tx, &mem, sql[Q_FAILED_ORDERS],
		       ARGS(A_I64(from.ms), A_ID(from.id), A_I64(what->ended_before), A_I64(what->expired_before_s),
			    A_I64(STEP_LOOKS)),
		       s->limit, &list, &count, err));
	for (; i < count && !step_is_full(s); i++) {
		if (!list[i].kept) {
			TRY(order_remove(s->tx, list[i].at.id, &s->removed, err));
			removed++;
		}
		what->orders_from = list[i].at;
	}
	what->orders_done = i == count && count < STEP_LOOKS && removed < s->limit;
	if (what->orders_done)
		what->orders_from = (struct sweep_mark){ .ms = 0 };
	s->more = s->more || !what->orders_done;
	return OK;
}

static const char authzs_mark[] = "ended authorizations";

static fallible mark_get(struct store_tx *tx, const char *name, struct sweep_mark *ret, struct err *err)
{
	AUTO(rows_done) struct rows r = { 0 };
	bool row = false;
	TRY(rows_open(&r, tx, sql[Q_MARK_GET], ARGS(A_Z(name)), err));
	TRY(rows_next(&r, &row, err));
	struct sweep_mark m = { .ms = 0 };
	if (row) {
		m.ms = rows_i64(&r, 0);
		ROWS_ID(&r, 1, &m.id, err);
	}
	*ret = m;
	return OK;
}

static fallible mark_set(struct store_tx *tx, const char *name, struct sweep_mark m, struct err *err)
{
	return tx_do(tx, sql[Q_MARK_SET], ARGS(A_Z(name), A_I64(m.ms), A_ID(m.id)), err);
}

static fallible authzs_remove(struct step *s, int64_t before, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct sweep_mark m = { .ms = 0 };
	struct ended *list = NULL;
	size_t count = 0, i = 0;
	TRY(mark_get(s->tx, authzs_mark, &m, err));
	TRY(ended_list(s->tx, &mem, sql[Q_ENDED_AUTHZS],
		       ARGS(A_I64(m.ms), A_ID(m.id), A_I64(before), A_I64(tx_limit(s->limit))), s->limit, &list, &count,
		       err));
	for (; i < count && !step_is_full(s); i++) {
		TRY(authz_remove_if_loose(s->tx, list[i].at.id, &s->removed, err));
		m = list[i].at;
	}
	step_looked(s, count);
	return i == 0 ? OK : mark_set(s->tx, authzs_mark, m, err);
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

static fallible limits_remove(struct step *s, struct err *err)
{
	uint64_t removed;
	const int64_t now_us = clock_now_ms(s->tx->clock) * 1000;
	TRY(tx_run(s->tx, sql[Q_DELETE_LIMITS], ARGS(A_I64(now_us), A_I64(tx_limit(s->limit))), &removed, err));
	s->removed += (size_t)removed;
	step_looked(s, (size_t)removed);
	return OK;
}

/* --- audit records ------------------------------------------------------------------------------------------------*/
/* They stand in the order in which they were written, which is that of their times but where the clock was set back: what
 * was written while it ran ahead is not due and stands before what is. So a record that is not due is passed when one
 * behind it is due, and only then: otherwise all behind it are as young. Nothing is removed before its own time. */
static const char audit_mark[] = "audit records", audit_kept_mark[] = "audit records that were passed";

struct audit_passed {
	int64_t seq; /* of the last that was passed, which is there: SQLite gives the numbers of removed ones again */
	int64_t kept_at; /* the least time of all that were passed: once that is due the mark goes back to the start */
};
static const struct audit_passed audit_start = { .seq = 0, .kept_at = INT64_MAX };

static fallible audit_passed_get(struct store_tx *tx, struct audit_passed *ret, struct err *err)
{
	struct sweep_mark seq, kept;
	TRY(mark_get(tx, audit_mark, &seq, err));
	TRY(mark_get(tx, audit_kept_mark, &kept, err));
	*ret = seq.ms == 0 ? audit_start : (struct audit_passed){ .seq = seq.ms, .kept_at = kept.ms };
	return OK;
}

static fallible audit_passed_set(struct store_tx *tx, struct audit_passed p, struct err *err)
{
	TRY(mark_set(tx, audit_mark, (struct sweep_mark){ .ms = p.seq }, err));
	return mark_set(tx, audit_kept_mark, (struct sweep_mark){ .ms = p.kept_at }, err);
}

struct audit_look {
	struct audit_passed all, due; /* passed with all that were looked at, with the last that is due */
	int64_t last;                 /* seq */
	size_t count, due_count;
};

/* From there on, until enough are due or enough were looked at. */
static fallible audit_look(struct step *s, struct audit_passed from, int64_t before, struct audit_look *ret,
			   struct err *err)
{
	AUTO(rows_done) struct rows r = { 0 };
	struct audit_look l = { .all = from, .due = from, .last = from.seq };
	TRY(rows_open(&r, s->tx, sql[Q_AUDIT_AFTER], ARGS(A_I64(from.seq), A_I64(STEP_LOOKS)), err));
	while (l.due_count < s->limit) {
		bool row = false;
		TRY(rows_next(&r, &row, err));
		if (!row)
			break;
		const int64_t at = rows_i64(&r, 1);
		l.last = rows_i64(&r, 0);
		l.count++;
		if (at < before) {
			l.due = l.all;
			l.due_count++;
		} else {
			l.all.seq = l.last;
			l.all.kept_at = at < l.all.kept_at ? at : l.all.kept_at;
		}
	}
	*ret = l;
	return OK;
}

/* Is one far behind due? Each look goes twice as far, so it costs little when there is none, and one is found at the latest
 * when as many are due as stand in their way. */
static fallible audit_is_due_behind(struct store_tx *tx, int64_t seq, int64_t before, bool *ret, struct err *err)
{
	bool due = false, row = true;
	int64_t at;
	for (int64_t far = 1; row && !due && !__builtin_add_overflow(seq, far, &at); far *= 2) {
		AUTO(rows_done) struct rows r = { 0 };
		TRY(rows_open(&r, tx, sql[Q_AUDIT_AFTER], ARGS(A_I64(at), A_I64(1)), err));
		TRY(rows_next(&r, &row, err));
		due = row && rows_i64(&r, 1) < before;
	}
	*ret = due;
	return OK;
}

static fallible audit_remove(struct step *s, int64_t before, struct err *err)
{
	struct audit_passed was, from;
	struct audit_look l;
	uint64_t removed = 0;
	bool behind = false;
	TRY(audit_passed_get(s->tx, &was, err));
	from = was.kept_at < before ? audit_start : was;
	TRY(audit_look(s, from, before, &l, err));
	if (l.due_count > 0)
		TRY(tx_run(s->tx, sql[Q_DELETE_AUDIT], ARGS(A_I64(from.seq), A_I64(l.last), A_I64(before)), &removed,
			   err));
	if (l.count == STEP_LOOKS)
		TRY(audit_is_due_behind(s->tx, l.last, before, &behind, err));
	s->removed += (size_t)removed;
	step_looked(s, l.due_count);
	s->more = s->more || behind;
	const struct audit_passed now = behind ? l.all : l.due;
	return now.seq == was.seq && now.kept_at == was.kept_at ? OK : audit_passed_set(s->tx, now, err);
}

fallible sweep_retention(struct store_tx *tx, struct retention *what, size_t *ret_removed, bool *ret_more,
			 struct err *err)
{
	struct step s = { .tx = tx, .limit = what->limit };
	TRY(certified_remove(&s, what->expired_before_s, err));
	TRY(failed_remove(&s, what, err));
	TRY(authzs_remove(&s, what->ended_before, err));
	TRY(grants_remove(&s, what->expired_before_s, err));
	TRY(limits_remove(&s, err));
	TRY(audit_remove(&s, what->audit_before, err));
	*ret_removed = s.removed;
	*ret_more = s.more;
	return OK;
}

fallible sweep_compact(struct store_tx *tx, bool *ret_more, struct err *err)
{
	*ret_more = false;
	return tx->db->ops->compact == NULL ? OK : tx->db->ops->compact(tx->db, ret_more, err);
}

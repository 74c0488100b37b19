/* SPDX-License-Identifier: Apache-2.0
 *
 * attempt.c: rows of validation attempts and the verdicts on them.
 */
#include "store/internal.h"

#define COLUMNS                                                                                                   \
	"id, challenge, authz, account, order_id, realm, zone, status, created_at, deadline_at, send_at, sends, " \
	"kind, "                                                                                                  \
	"name"
#define VERDICT_COLUMNS "attempt, perspective, valid, jws, received_at, caa, finished_at"

enum {
	Q_INSERT,
	Q_BY_ID,
	Q_MOVE,
	Q_STATUS,
	Q_OF_ORDER,
	Q_DUE,
	Q_SENT,
	Q_EXTEND,
	Q_VERDICT_INSERT,
	Q_VERDICTS,
	Q_COUNT
};
static const char *const sql[Q_COUNT] = {
	[Q_INSERT] =
		"INSERT INTO attempts (" COLUMNS ", due_at)"
		" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) ON CONFLICT DO NOTHING",
	[Q_BY_ID] = "SELECT " COLUMNS " FROM attempts WHERE id = $1",
	[Q_MOVE] = "UPDATE attempts SET status = $3 WHERE id = $1 AND status = $2",
	[Q_STATUS] = "SELECT status FROM attempts WHERE id = $1",
	[Q_OF_ORDER] = "SELECT " COLUMNS " FROM attempts WHERE order_id = $1 AND kind = 'caa' ORDER BY id",
	[Q_DUE] = "SELECT " COLUMNS " FROM attempts WHERE status = 'open' AND due_at <= $1 ORDER BY due_at LIMIT $2",
	/* "|| ''": not by the index of all that are open. */
	[Q_SENT] = "UPDATE attempts SET send_at = $2, sends = sends + 1,"
		   " due_at = CASE WHEN deadline_at < $2 THEN deadline_at ELSE $2 END WHERE id = $1 AND status || '' = "
		   "'open'",
	[Q_EXTEND] = "UPDATE attempts SET deadline_at = $3, send_at = $2, sends = sends + 1,"
		     " due_at = CASE WHEN $3 < $2 THEN $3 ELSE $2 END WHERE id = $1 AND status || '' = 'open'",
	[Q_VERDICT_INSERT] = "INSERT INTO verdicts (" VERDICT_COLUMNS ") VALUES ($1, $2, $3, $4, $5, $6, $7)"
			     " ON CONFLICT (attempt, perspective) DO UPDATE SET valid = $3, jws = $4, received_at = $5,"
			     " caa = $6, finished_at = $7 WHERE verdicts.caa = 'failed'",
	[Q_VERDICTS] = "SELECT " VERDICT_COLUMNS " FROM verdicts WHERE attempt = $1 ORDER BY perspective",
};
const struct sql_set attempt_sql = { "attempt.c", sql, Q_COUNT };

static const char *const status_names[] = {
	[ATTEMPT_OPEN] = "open",
	[ATTEMPT_DECIDED] = "decided",
	[ATTEMPT_ABANDONED] = "abandoned",
};
static const char *const kind_names[] = { [ATTEMPT_CONTROL] = "control", [ATTEMPT_CAA] = "caa" };
static const char *const caa_names[] = {
	[VERDICT_CAA_NONE] = "",
	[VERDICT_CAA_ALLOWED] = "allowed",
	[VERDICT_CAA_DENIED] = "denied",
	[VERDICT_CAA_FAILED] = "failed",
};
#define STATUS_COUNT ((unsigned)ARRAY_LEN(status_names))

static fallible row_get(struct rows *r, struct arena *mem, struct attempt_row *ret, struct err *err)
{
	struct attempt_row a = { .realm = rows_text(r, mem, 5),
				 .zone = rows_text(r, mem, 6),
				 .name = rows_text(r, mem, 13) };
	ROWS_ID(r, 0, &a.id, err);
	ROWS_ID(r, 1, &a.challenge, err);
	ROWS_ID(r, 2, &a.authz, err);
	ROWS_ID(r, 3, &a.account, err);
	ROWS_ID(r, 4, &a.order, err);
	unsigned status;
	TRY(rows_state(r, 7, status_names, STATUS_COUNT, &status, err));
	a.status = (enum attempt_status)status;
	a.created_at = rows_i64(r, 8);
	a.deadline_at = rows_i64(r, 9);
	a.send_at = rows_i64(r, 10);
	TRY(rows_u32(r, 11, &a.sends, err));
	TRY(rows_state(r, 12, kind_names, ARRAY_LEN(kind_names), &status, err));
	a.kind = (enum attempt_kind)status;
	*ret = a;
	return OK;
}

fallible attempt_insert(struct store_tx *tx, const struct attempt_row *a, struct err *err)
{
	int64_t due_at = a->deadline_at < a->send_at ? a->deadline_at : a->send_at;
	return tx_insert(tx, "attempt", sql[Q_INSERT],
			 ARGS(A_ID(a->id), A_ID(a->challenge), A_ID(a->authz), A_ID(a->account), A_ID_MAY(a->order),
			      A_TEXT(a->realm), A_TEXT(a->zone), A_Z(status_names[a->status]), A_I64(a->created_at),
			      A_I64(a->deadline_at), A_I64(a->send_at), A_I64(a->sends), A_Z(kind_names[a->kind]),
			      A_TEXT(a->name), A_I64(due_at)),
			 err);
}

fallible attempt_by_id(struct store_tx *tx, struct arena *mem, struct id id, struct attempt_row *ret, struct err *err)
{
	AUTO(rows_done) struct rows r = { 0 };
	TRY(rows_one(&r, tx, "attempt", sql[Q_BY_ID], ARGS(A_ID(id)), err));
	return row_get(&r, mem, ret, err);
}

fallible attempt_move(struct store_tx *tx, struct id id, enum attempt_status from, enum attempt_status to,
		      struct err *err)
{
	if (from != ATTEMPT_OPEN || to == ATTEMPT_OPEN)
		FAIL(err, ERR_INTERNAL, "no attempt goes from %s to %s", status_names[from], status_names[to]);
	return tx_move(tx, "attempt", sql[Q_STATUS], id, status_names[from], sql[Q_MOVE],
		       ARGS(A_ID(id), A_Z(status_names[from]), A_Z(status_names[to])), err);
}

static fallible list_get(struct store_tx *tx, struct arena *mem, const char *query, const struct db_arg *args,
			 size_t arg_count, struct attempt_row **ret, size_t *ret_count, struct err *err)
{
	AUTO(rows_done) struct rows r = { 0 };
	struct attempt_row *list = NULL;
	size_t n = 0, cap = 0;
	TRY(rows_open(&r, tx, query, args, arg_count, err));
	for (;;) {
		bool row;
		TRY(rows_next(&r, &row, err));
		if (!row)
			break;
		list = (struct attempt_row *)arena_push(mem, list, sizeof *list, n, &cap);
		TRY(row_get(&r, mem, &list[n], err));
		n++;
	}
	*ret = list;
	*ret_count = n;
	return OK;
}

fallible attempts_due(struct store_tx *tx, struct arena *mem, int64_t now, size_t limit, struct attempt_row **ret,
		      size_t *ret_count, struct err *err)
{
	return list_get(tx, mem, sql[Q_DUE], ARGS(A_I64(now), A_I64(tx_limit(limit))), ret, ret_count, err);
}

fallible attempts_of_order(struct store_tx *tx, struct arena *mem, struct id order, struct attempt_row **ret,
			   size_t *ret_count, struct err *err)
{
	return list_get(tx, mem, sql[Q_OF_ORDER], ARGS(A_ID(order)), ret, ret_count, err);
}

fallible attempt_sent(struct store_tx *tx, struct id id, int64_t next_send_at, struct err *err)
{
	return tx_move(tx, "attempt", sql[Q_STATUS], id, "open", sql[Q_SENT], ARGS(A_ID(id), A_I64(next_send_at)), err);
}

fallible attempt_extend(struct store_tx *tx, struct id id, int64_t next_send_at, int64_t deadline_at, struct err *err)
{
	return tx_move(tx, "attempt", sql[Q_STATUS], id, "open", sql[Q_EXTEND],
		       ARGS(A_ID(id), A_I64(next_send_at), A_I64(deadline_at)), err);
}

fallible verdict_insert(struct store_tx *tx, const struct verdict_row *v, bool *ret_new, struct err *err)
{
	uint64_t changed;
	TRY(tx_run(tx, sql[Q_VERDICT_INSERT],
		   ARGS(A_ID(v->attempt), A_TEXT(v->perspective), A_I64(v->valid), A_TEXT(v->jws),
			A_I64(v->received_at), A_Z(caa_names[v->caa]), A_I64(v->finished_at)),
		   &changed, err));
	*ret_new = changed > 0;
	return OK;
}

fallible verdicts_of_attempt(struct store_tx *tx, struct arena *mem, struct id attempt, struct verdict_row **ret,
			     size_t *ret_count, struct err *err)
{
	AUTO(rows_done) struct rows r = { 0 };
	struct verdict_row *list = NULL;
	size_t n = 0, cap = 0;
	TRY(rows_open(&r, tx, sql[Q_VERDICTS], ARGS(A_ID(attempt)), err));
	for (;;) {
		bool row;
		TRY(rows_next(&r, &row, err));
		if (!row)
			break;
		list = (struct verdict_row *)arena_push(mem, list, sizeof *list, n, &cap);
		ROWS_ID(&r, 0, &list[n].attempt, err);
		list[n].perspective = rows_text(&r, mem, 1);
		list[n].valid = rows_i64(&r, 2) != 0;
		list[n].jws = rows_text(&r, mem, 3);
		list[n].received_at = rows_i64(&r, 4);
		unsigned caa;
		TRY(rows_state(&r, 5, caa_names, ARRAY_LEN(caa_names), &caa, err));
		list[n].caa = (enum verdict_caa)caa;
		list[n].finished_at = rows_i64(&r, 6);
		n++;
	}
	*ret = list;
	*ret_count = n;
	return OK;
}

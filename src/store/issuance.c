/* SPDX-License-Identifier: Apache-2.0
 *
 * issuance.c: rows of intents to issue: the serial and all that the signer will be shown, before it is asked.
 */
#include "store/internal.h"

#define COLUMNS                                                                                                  \
	"id, order_id, account, realm, profile, issuer, serial, not_before_s, not_after_s, finalize_protected, " \
	"finalize_payload, finalize_signature, finalize_url, status, created_at, send_at, sends, account_jwk, held"

enum { Q_INSERT, Q_BY_ID, Q_BY_ORDER, Q_BY_SERIAL, Q_MOVE, Q_STATUS, Q_DUE, Q_SENT, Q_HOLD, Q_COUNT };
static const char *const sql[Q_COUNT] = {
	[Q_INSERT] = "INSERT INTO issuances (" COLUMNS
		     ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)"
		     " ON CONFLICT DO NOTHING",
	[Q_BY_ID] = "SELECT " COLUMNS " FROM issuances WHERE id = $1",
	[Q_BY_ORDER] = "SELECT " COLUMNS " FROM issuances WHERE order_id = $1",
	[Q_BY_SERIAL] = "SELECT " COLUMNS " FROM issuances WHERE serial = $1",
	[Q_MOVE] = "UPDATE issuances SET status = $3 WHERE id = $1 AND status = $2",
	[Q_STATUS] = "SELECT status FROM issuances WHERE id = $1",
	[Q_DUE] = "SELECT " COLUMNS
		  " FROM issuances WHERE status = 'intended' AND held = 0 AND send_at <= $1 ORDER BY send_at LIMIT $2",
	/* "|| ''": not by the index of all that are intended. */
	[Q_SENT] = "UPDATE issuances SET send_at = $2, sends = sends + 1 WHERE id = $1 AND status || '' = 'intended'",
	[Q_HOLD] = "UPDATE issuances SET held = $2, send_at = $3 WHERE id = $1 AND status || '' = 'intended'",
};
const struct sql_set issuance_sql = { "issuance.c", sql, Q_COUNT };

static const char *const status_names[] = {
	[ISSUANCE_INTENDED] = "intended",
	[ISSUANCE_ISSUED] = "issued",
	[ISSUANCE_REFUSED] = "refused",
	[ISSUANCE_ABANDONED] = "abandoned",
};
#define STATUS_COUNT ((unsigned)ARRAY_LEN(status_names))

static fallible row_get(struct rows *r, struct arena *mem, struct issuance_row *ret, struct err *err)
{
	struct issuance_row i = { .realm = rows_text(r, mem, 3) };
	ROWS_ID(r, 0, &i.id, err);
	ROWS_ID(r, 1, &i.order, err);
	ROWS_ID(r, 2, &i.account, err);
	i.profile = rows_text(r, mem, 4);
	i.issuer = rows_text(r, mem, 5);
	i.serial = rows_text(r, mem, 6);
	i.not_before_s = rows_i64(r, 7);
	i.not_after_s = rows_i64(r, 8);
	i.finalize_protected = rows_text(r, mem, 9);
	i.finalize_payload = rows_text(r, mem, 10);
	i.finalize_signature = rows_text(r, mem, 11);
	i.finalize_url = rows_text(r, mem, 12);
	unsigned status;
	TRY(rows_state(r, 13, status_names, STATUS_COUNT, &status, err));
	i.status = (enum issuance_status)status;
	i.created_at = rows_i64(r, 14);
	i.send_at = rows_i64(r, 15);
	TRY(rows_u32(r, 16, &i.sends, err));
	i.account_jwk = rows_text(r, mem, 17);
	i.held = rows_i64(r, 18) != 0;
	*ret = i;
	return OK;
}

fallible issuance_insert(struct store_tx *tx, const struct issuance_row *i, struct err *err)
{
	return tx_insert(tx, "issuance", sql[Q_INSERT],
			 ARGS(A_ID(i->id), A_ID(i->order), A_ID(i->account), A_TEXT(i->realm), A_TEXT(i->profile),
			      A_TEXT(i->issuer), A_TEXT(i->serial), A_I64(i->not_before_s), A_I64(i->not_after_s),
			      A_TEXT(i->finalize_protected), A_TEXT(i->finalize_payload), A_TEXT(i->finalize_signature),
			      A_TEXT(i->finalize_url), A_Z(status_names[i->status]), A_I64(i->created_at),
			      A_I64(i->send_at), A_I64(i->sends), A_TEXT(i->account_jwk), A_I64(i->held)),
			 err);
}

static fallible one(struct store_tx *tx, struct arena *mem, const char *query, struct db_arg key,
		    struct issuance_row *ret, struct err *err)
{
	AUTO(rows_done) struct rows r = { 0 };
	TRY(rows_one(&r, tx, "issuance", query, &key, 1, err));
	return row_get(&r, mem, ret, err);
}

fallible issuance_by_id(struct store_tx *tx, struct arena *mem, struct id id, struct issuance_row *ret, struct err *err)
{
	return one(tx, mem, sql[Q_BY_ID], A_ID(id), ret, err);
}

fallible issuance_by_order(struct store_tx *tx, struct arena *mem, struct id order, struct issuance_row *ret,
			   struct err *err)
{
	return one(tx, mem, sql[Q_BY_ORDER], A_ID(order), ret, err);
}

fallible issuance_by_serial(struct store_tx *tx, struct arena *mem, struct str serial, struct issuance_row *ret,
			    struct err *err)
{
	return one(tx, mem, sql[Q_BY_SERIAL], A_TEXT(serial), ret, err);
}

/* An abandoned issuance may turn out issued after all: the signer's journal or a late answer brings the certificate. */
static bool may_move(enum issuance_status from, enum issuance_status to)
{
	if (from == ISSUANCE_INTENDED)
		return to != ISSUANCE_INTENDED;
	return from == ISSUANCE_ABANDONED && to == ISSUANCE_ISSUED;
}

fallible issuance_move(struct store_tx *tx, struct id id, enum issuance_status from, enum issuance_status to,
		       struct err *err)
{
	if (!may_move(from, to))
		FAIL(err, ERR_INTERNAL, "no issuance goes from %s to %s", status_names[from], status_names[to]);
	return tx_move(tx, "issuance", sql[Q_STATUS], id, status_names[from], sql[Q_MOVE],
		       ARGS(A_ID(id), A_Z(status_names[from]), A_Z(status_names[to])), err);
}

fallible issuances_due(struct store_tx *tx, struct arena *mem, int64_t now, size_t limit, struct issuance_row **ret,
		       size_t *ret_count, struct err *err)
{
	AUTO(rows_done) struct rows r = { 0 };
	struct issuance_row *list = NULL;
	size_t n = 0, cap = 0;
	TRY(rows_open(&r, tx, sql[Q_DUE], ARGS(A_I64(now), A_I64(tx_limit(limit))), err));
	for (;;) {
		bool row;
		TRY(rows_next(&r, &row, err));
		if (!row)
			break;
		list = (struct issuance_row *)arena_push(mem, list, sizeof *list, n, &cap);
		TRY(row_get(&r, mem, &list[n], err));
		n++;
	}
	*ret = list;
	*ret_count = n;
	return OK;
}

fallible issuance_sent(struct store_tx *tx, struct id id, int64_t next_send_at, struct err *err)
{
	return tx_move(tx, "issuance", sql[Q_STATUS], id, "intended", sql[Q_SENT], ARGS(A_ID(id), A_I64(next_send_at)),
		       err);
}

fallible issuance_hold(struct store_tx *tx, struct id id, bool held, int64_t send_at, struct err *err)
{
	return tx_move(tx, "issuance", sql[Q_STATUS], id, "intended", sql[Q_HOLD],
		       ARGS(A_ID(id), A_I64(held), A_I64(send_at)), err);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * authz.c: rows of authorizations.
 */
#include "store/internal.h"

#define COLUMNS                                                                                                        \
	"id, account, realm, thumbprint, ident_type, ident_value, wildcard, status, created_at, expires_at, attempt, " \
	"subdomains, grant_id"

enum { Q_INSERT, Q_BY_ID, Q_REUSE, Q_HELD, Q_THUMBPRINT, Q_UNTOUCHED, Q_MOVE, Q_PROVE, Q_STATUS, Q_COUNT };
static const char *const sql[Q_COUNT] = {
	[Q_INSERT] = "INSERT INTO authorizations (" COLUMNS ", ended_at)"
		     " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 0) ON CONFLICT DO NOTHING",
	[Q_BY_ID] = "SELECT " COLUMNS " FROM authorizations WHERE id = $1",
	/* As the index has them: to sort, SQLite makes a table even for what finds nothing. The offset finds the last order
	 * that there is room for. What holds below the name holds for the name: such a one is taken when it is valid,
	 * whether that was wanted or not. "+ 0": or PostgreSQL, when it knows nothing of the table yet, goes through all that
	 * end later. */
	[Q_REUSE] =
		"SELECT " COLUMNS " FROM authorizations WHERE account = $1 AND ident_value = $2 AND wildcard = $3"
		" AND ident_type = $4 AND thumbprint = $5 AND expires_at + 0 > $6 AND status IN ('pending', 'valid')"
		" AND (subdomains = $8 OR (subdomains = 1 AND status = 'valid'))"
		" AND (grant_id = $9 OR (grant_id IS NULL AND $9 IS NULL))"
		" AND NOT EXISTS (SELECT 1 FROM order_authz oa WHERE oa.authz = authorizations.id LIMIT 1 OFFSET $7)"
		" ORDER BY id DESC",
	/* The partial index wants its own condition said. */
	[Q_HELD] =
		"SELECT 1 FROM authorizations WHERE account = $1 AND ident_value = $2 AND wildcard = $3"
		" AND ident_type = $4 AND subdomains >= $5 AND expires_at + 0 > $6 AND status IN ('pending', 'valid')"
		" AND status = 'valid' LIMIT 1",
	[Q_THUMBPRINT] = "UPDATE authorizations SET thumbprint = $2 WHERE id = $1 AND status = 'pending' AND NOT EXISTS"
			 " (SELECT 1 FROM challenges c WHERE c.authz = $1 AND c.status <> 'pending')",
	[Q_UNTOUCHED] = "SELECT CASE status WHEN 'pending' THEN 'being proved' ELSE status END"
			" FROM authorizations WHERE id = $1",
	[Q_MOVE] = "UPDATE authorizations SET status = $3, ended_at = $4 WHERE id = $1 AND status = $2",
	[Q_PROVE] = ("UPDATE authorizations SET status = 'valid', attempt = $2, expires_at = $3"
		     " WHERE id = $1 AND status = 'pending'"),
	[Q_STATUS] = "SELECT status FROM authorizations WHERE id = $1",
};
const struct sql_set authz_sql = { "authz.c", sql, Q_COUNT };

static fallible row_get(struct rows *r, struct arena *mem, struct authz_row *ret, struct err *err)
{
	struct authz_row a = { .realm = rows_text(r, mem, 2) };
	ROWS_ID(r, 0, &a.id, err);
	ROWS_ID(r, 1, &a.account, err);
	a.thumbprint = rows_text(r, mem, 3);
	const char *types[IDENT_TYPE_COUNT];
	for (unsigned i = 0; i < IDENT_TYPE_COUNT; i++)
		types[i] = ident_type_name((enum ident_type)i);
	unsigned state;
	TRY(rows_state(r, 4, types, IDENT_TYPE_COUNT, &state, err));
	a.ident = (struct ident){ (enum ident_type)state, rows_text(r, mem, 5) };
	a.wildcard = rows_i64(r, 6) != 0;
	const char *names[AUTHZ_STATUS_COUNT];
	for (unsigned i = 0; i < AUTHZ_STATUS_COUNT; i++)
		names[i] = authz_status_name((enum authz_status)i);
	TRY(rows_state(r, 7, names, AUTHZ_STATUS_COUNT, &state, err));
	a.status = (enum authz_status)state;
	a.created_at = rows_i64(r, 8);
	a.expires_at = rows_i64(r, 9);
	ROWS_ID(r, 10, &a.attempt, err);
	a.subdomains = rows_i64(r, 11) != 0;
	ROWS_ID(r, 12, &a.grant, err);
	*ret = a;
	return OK;
}

fallible authz_insert(struct store_tx *tx, const struct authz_row *a, struct err *err)
{
	return tx_insert(tx, "authorization", sql[Q_INSERT],
			 ARGS(A_ID(a->id), A_ID(a->account), A_TEXT(a->realm), A_TEXT(a->thumbprint),
			      A_Z(ident_type_name(a->ident.type)), A_TEXT(a->ident.value), A_I64(a->wildcard),
			      A_Z(authz_status_name(a->status)), A_I64(a->created_at), A_I64(a->expires_at),
			      A_ID_MAY(a->attempt), A_I64(a->subdomains), A_ID_MAY(a->grant)),
			 err);
}

fallible authz_by_id(struct store_tx *tx, struct arena *mem, struct id id, struct authz_row *ret, struct err *err)
{
	AUTO(rows_done) struct rows r = { 0 };
	TRY(rows_one(&r, tx, "authorization", sql[Q_BY_ID], ARGS(A_ID(id)), err));
	return row_get(&r, mem, ret, err);
}

fallible authz_find_reusable(struct store_tx *tx, struct arena *mem, struct id account, struct str thumbprint,
			     const struct authz_want *want, int64_t until, struct authz_row *ret, struct err *err)
{
	AUTO(rows_done) struct rows r = { 0 };
	struct authz_row found = { 0 };
	bool row, any = false;
	TRY(rows_open(&r, tx, sql[Q_REUSE],
		      ARGS(A_ID(account), A_TEXT(want->ident.value), A_I64(want->wildcard),
			   A_Z(ident_type_name(want->ident.type)), A_TEXT(thumbprint), A_I64(until),
			   A_I64(AUTHZ_ORDERS_MAX - 1), A_I64(want->subdomains), A_ID_MAY(want->grant)),
		      err));
	do {
		struct authz_row a;
		TRY(rows_next(&r, &row, err));
		if (!row)
			break;
		TRY(row_get(&r, mem, &a, err));
		if (!any || a.status == AUTHZ_VALID)
			found = a;
		any = true;
	} while (found.status != AUTHZ_VALID);
	if (!any)
		FAIL(err, ERR_NOT_FOUND, "there is no such authorization");
	*ret = found;
	return OK;
}

fallible authz_is_held(struct store_tx *tx, struct id account, const struct authz_want *want, int64_t now, bool *ret,
		       struct err *err)
{
	AUTO(rows_done) struct rows r = { 0 };
	TRY(rows_open(&r, tx, sql[Q_HELD],
		      ARGS(A_ID(account), A_TEXT(want->ident.value), A_I64(want->wildcard),
			   A_Z(ident_type_name(want->ident.type)), A_I64(want->subdomains), A_I64(now)),
		      err));
	return rows_next(&r, ret, err);
}

fallible authz_set_thumbprint(struct store_tx *tx, struct id id, struct str thumbprint, struct err *err)
{
	return tx_move(tx, "authorization", sql[Q_UNTOUCHED], id, "pending and untouched", sql[Q_THUMBPRINT],
		       ARGS(A_ID(id), A_TEXT(thumbprint)), err);
}

fallible authz_move(struct store_tx *tx, struct id id, enum authz_status from, enum authz_status to, struct err *err)
{
	const char *was = authz_status_name(from);
	const char *will = authz_status_name(to);
	if (!authz_may_move(from, to))
		FAIL(err, ERR_INTERNAL, "no authorization goes from %s to %s", was, will);
	int64_t ended_at = to == AUTHZ_VALID ? 0 : clock_now_ms(tx->clock);
	return tx_move(tx, "authorization", sql[Q_STATUS], id, was, sql[Q_MOVE],
		       ARGS(A_ID(id), A_Z(was), A_Z(will), A_I64(ended_at)), err);
}

fallible authz_prove(struct store_tx *tx, struct id id, struct id attempt, int64_t expires_at, struct err *err)
{
	return tx_move(tx, "authorization", sql[Q_STATUS], id, "pending", sql[Q_PROVE],
		       ARGS(A_ID(id), A_ID(attempt), A_I64(expires_at)), err);
}

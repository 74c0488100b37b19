/* SPDX-License-Identifier: Apache-2.0
 *
 * account.c: rows of accounts.
 */
#include "store/internal.h"

#define COLUMNS "id, realm, thumbprint, jwk, status, contact, tos_agreed_at, eab_kid, created_at, created_ip, tos_url"

enum { Q_INSERT, Q_BY_ID, Q_BY_THUMBPRINT, Q_CONTACT, Q_TOS, Q_KEY, Q_HOLDS, Q_OF_EAB, Q_MOVE, Q_STATUS, Q_COUNT };
static const char *const sql[Q_COUNT] = {
	[Q_INSERT] = "INSERT INTO accounts (" COLUMNS ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
		     " ON CONFLICT DO NOTHING",
	[Q_BY_ID] = "SELECT " COLUMNS " FROM accounts WHERE id = $1",
	[Q_BY_THUMBPRINT] = "SELECT " COLUMNS " FROM accounts WHERE realm = $1 AND thumbprint = $2",
	[Q_CONTACT] = "UPDATE accounts SET contact = $2 WHERE id = $1",
	[Q_TOS] = "UPDATE accounts SET tos_agreed_at = $2, tos_url = $3 WHERE id = $1",
	[Q_KEY] = "UPDATE accounts SET thumbprint = $3, jwk = $4 WHERE id = $1 AND thumbprint = $2 AND status = 'valid'"
		  " AND NOT EXISTS (SELECT 1 FROM accounts b WHERE b.realm = accounts.realm AND b.thumbprint = $3)",
	[Q_HOLDS] = "SELECT CASE WHEN status <> 'valid' THEN status WHEN thumbprint = $2 THEN 'under this key'"
		    " ELSE 'under another key' END FROM accounts WHERE id = $1",
	[Q_OF_EAB] = "SELECT id FROM accounts WHERE eab_kid = $1 AND eab_kid <> '' AND id > $2 AND status = 'valid'"
		     " ORDER BY id LIMIT $3",
	[Q_MOVE] = "UPDATE accounts SET status = $3 WHERE id = $1 AND status = $2",
	[Q_STATUS] = "SELECT status FROM accounts WHERE id = $1",
};
const struct sql_set account_sql = { "account.c", sql, Q_COUNT };

static fallible row_get(struct rows *r, struct arena *mem, struct account_row *ret, struct err *err)
{
	struct account_row a = { .realm = rows_text(r, mem, 1) };
	ROWS_ID(r, 0, &a.id, err);
	a.thumbprint = rows_text(r, mem, 2);
	a.jwk = rows_text(r, mem, 3);
	const char *names[ACCOUNT_STATUS_COUNT];
	for (unsigned i = 0; i < ACCOUNT_STATUS_COUNT; i++)
		names[i] = account_status_name((enum account_status)i);
	unsigned status;
	TRY(rows_state(r, 4, names, ACCOUNT_STATUS_COUNT, &status, err));
	a.status = (enum account_status)status;
	a.contact = rows_text(r, mem, 5);
	a.tos_agreed_at = rows_i64(r, 6);
	a.eab_kid = rows_text(r, mem, 7);
	a.created_at = rows_i64(r, 8);
	a.created_ip = rows_text(r, mem, 9);
	a.tos_url = rows_text(r, mem, 10);
	*ret = a;
	return OK;
}

fallible account_insert(struct store_tx *tx, const struct account_row *a, struct err *err)
{
	return tx_insert(tx, "account", sql[Q_INSERT],
			 ARGS(A_ID(a->id), A_TEXT(a->realm), A_TEXT(a->thumbprint), A_TEXT(a->jwk),
			      A_Z(account_status_name(a->status)), A_TEXT(a->contact), A_I64(a->tos_agreed_at),
			      A_TEXT(a->eab_kid), A_I64(a->created_at), A_TEXT(a->created_ip), A_TEXT(a->tos_url)),
			 err);
}

fallible account_by_id(struct store_tx *tx, struct arena *mem, struct id id, struct account_row *ret, struct err *err)
{
	AUTO(rows_done) struct rows r = { 0 };
	TRY(rows_one(&r, tx, "account", sql[Q_BY_ID], ARGS(A_ID(id)), err));
	return row_get(&r, mem, ret, err);
}

fallible account_by_thumbprint(struct store_tx *tx, struct arena *mem, struct str realm, struct str thumbprint,
			       struct account_row *ret, struct err *err)
{
	AUTO(rows_done) struct rows r = { 0 };
	TRY(rows_one(&r, tx, "account", sql[Q_BY_THUMBPRINT], ARGS(A_TEXT(realm), A_TEXT(thumbprint)), err));
	return row_get(&r, mem, ret, err);
}

fallible account_set_contact(struct store_tx *tx, struct id id, struct str contact, struct err *err)
{
	return tx_update(tx, "account", sql[Q_CONTACT], ARGS(A_ID(id), A_TEXT(contact)), err);
}

fallible account_set_tos(struct store_tx *tx, struct id id, struct str url, int64_t at, struct err *err)
{
	return tx_update(tx, "account", sql[Q_TOS], ARGS(A_ID(id), A_I64(at), A_TEXT(url)), err);
}

fallible account_set_key(struct store_tx *tx, struct id id, struct str was, struct str thumbprint, struct str jwk,
			 struct err *err)
{
	uint64_t changed;
	TRY(tx_run(tx, sql[Q_KEY], ARGS(A_ID(id), A_TEXT(was), A_TEXT(thumbprint), A_TEXT(jwk)), &changed, err));
	if (changed > 0)
		return OK;
	AUTO(rows_done) struct rows r = { 0 };
	TRY(rows_one(&r, tx, "account", sql[Q_HOLDS], ARGS(A_ID(id), A_TEXT(was)), err));
	struct str found = r.ops->get_bytes(r.stmt, 0);
	if (str_eq(found, STR("under this key")))
		FAIL(err, ERR_CONFLICT, "an account of the realm has the new key");
	FAIL(err, ERR_CONFLICT, "account %s is %.*s, valid under the earlier key was wanted", id_show(id).z,
	     STR_FMT(found));
}

fallible accounts_of_eab(struct store_tx *tx, struct arena *mem, struct str kid, struct id after, size_t limit,
			 struct id **ret, size_t *ret_count, struct err *err)
{
	return tx_ids(tx, mem, sql[Q_OF_EAB], ARGS(A_TEXT(kid), A_ID(after), A_I64(tx_limit(limit))), ret, ret_count,
		      err);
}

fallible account_move(struct store_tx *tx, struct id id, enum account_status from, enum account_status to,
		      struct err *err)
{
	const char *was = account_status_name(from);
	const char *will = account_status_name(to);
	if (!account_may_move(from, to))
		FAIL(err, ERR_INTERNAL, "no account goes from %s to %s", was, will);
	return tx_move(tx, "account", sql[Q_STATUS], id, was, sql[Q_MOVE], ARGS(A_ID(id), A_Z(was), A_Z(will)), err);
}

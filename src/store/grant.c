/* SPDX-License-Identifier: Apache-2.0
 *
 * grant.c: rows of grants: by their id, by the account keys that they are for, and by the intents that they went to the
 * signer with. What a grant says is in its text only, under the operator's signature.
 */
#include "store/internal.h"

#define COLUMNS(t)                                                                                                   \
	t "id, " t "realm, " t "operator, " t "jws, " t "from_s, " t "until_s, " t "created_at, " t "created_by, " t \
	  "revoked_at"

enum {
	Q_INSERT,
	Q_INSERT_KEY,
	Q_BY_ID,
	Q_LIST,
	Q_LIST_REALM,
	Q_OF_KEY,
	Q_REVOKE,
	Q_AUTHZS,
	Q_OF_ORDER,
	Q_USE,
	Q_OF_ISSUANCE,
	Q_COUNT
};
static const char *const sql[Q_COUNT] = {
	[Q_INSERT] = "INSERT INTO grants (" COLUMNS("") ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
							" ON CONFLICT DO NOTHING",
	[Q_INSERT_KEY] = "INSERT INTO grant_keys (thumbprint, grant_id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
	[Q_BY_ID] = "SELECT " COLUMNS("") " FROM grants WHERE id = $1",
	[Q_LIST] = "SELECT " COLUMNS("") " FROM grants WHERE id > $1 ORDER BY id LIMIT $2",
	[Q_LIST_REALM] = "SELECT " COLUMNS("") " FROM grants WHERE id > $1 AND realm = $3 ORDER BY id LIMIT $2",
	[Q_OF_KEY] = "SELECT " COLUMNS(
		"g.") " FROM grant_keys k JOIN grants g ON g.id = k.grant_id"
		      " WHERE k.thumbprint = $1 AND g.realm = $2 AND g.revoked_at = 0 AND g.from_s <= $3"
		      " AND g.until_s >= $3 ORDER BY k.grant_id LIMIT $4",
	[Q_REVOKE] = "UPDATE grants SET revoked_at = $2 WHERE id = $1 AND revoked_at = 0",
	[Q_AUTHZS] = "SELECT id FROM authorizations WHERE grant_id = $1 AND status = 'valid' ORDER BY id LIMIT $2",
	/* No join: PostgreSQL, when it knows nothing of the tables yet, begins with all that stand on a grant. */
	[Q_OF_ORDER] = "SELECT x.g FROM (SELECT (SELECT a.grant_id FROM authorizations a WHERE a.id = oa.authz) AS g"
		       " FROM order_authz oa WHERE oa.order_id = $1) x WHERE x.g IS NOT NULL GROUP BY x.g ORDER BY x.g",
	[Q_USE] = "INSERT INTO issuance_grants (issuance, position, grant_id) VALUES ($1, $2, $3)"
		  " ON CONFLICT DO NOTHING",
	[Q_OF_ISSUANCE] = "SELECT " COLUMNS("g.") " FROM issuance_grants i JOIN grants g ON g.id = i.grant_id"
						  " WHERE i.issuance = $1 ORDER BY i.position",
};
const struct sql_set grant_sql = { "grant.c", sql, Q_COUNT };

static fallible row_get(struct rows *r, struct arena *mem, struct grant_row *ret, struct err *err)
{
	ROWS_ID(r, 0, &ret->id, err);
	ret->realm = rows_text(r, mem, 1);
	ret->signer = rows_text(r, mem, 2);
	ret->jws = rows_text(r, mem, 3);
	ret->from_s = rows_i64(r, 4);
	ret->until_s = rows_i64(r, 5);
	ret->created_at = rows_i64(r, 6);
	ret->created_by = rows_text(r, mem, 7);
	ret->revoked_at = rows_i64(r, 8);
	return OK;
}

static fallible rows_get(struct store_tx *tx, struct arena *mem, const char *query, const struct db_arg *args,
			 size_t arg_count, struct grant_row **ret, size_t *ret_count, struct err *err)
{
	AUTO(rows_done) struct rows r = { 0 };
	struct grant_row *list = NULL;
	size_t n = 0, cap = 0;
	TRY(rows_open(&r, tx, query, args, arg_count, err));
	for (;;) {
		bool row;
		TRY(rows_next(&r, &row, err));
		if (!row)
			break;
		list = (struct grant_row *)arena_push(mem, list, sizeof *list, n, &cap);
		TRY(row_get(&r, mem, &list[n], err));
		n++;
	}
	*ret = list;
	*ret_count = n;
	return OK;
}

fallible grant_insert(struct store_tx *tx, const struct grant_row *g, const struct str *thumbprints, size_t count,
		      struct err *err)
{
	TRY(tx_insert(tx, "grant", sql[Q_INSERT],
		      ARGS(A_ID(g->id), A_TEXT(g->realm), A_TEXT(g->signer), A_TEXT(g->jws), A_I64(g->from_s),
			   A_I64(g->until_s), A_I64(g->created_at), A_TEXT(g->created_by), A_I64(g->revoked_at)),
		      err));
	for (size_t i = 0; i < count; i++) /* a key may come twice */
		TRY(tx_do(tx, sql[Q_INSERT_KEY], ARGS(A_TEXT(thumbprints[i]), A_ID(g->id)), err));
	return OK;
}

fallible grant_by_id(struct store_tx *tx, struct arena *mem, struct id id, struct grant_row *ret, struct err *err)
{
	AUTO(rows_done) struct rows r = { 0 };
	TRY(rows_one(&r, tx, "grant", sql[Q_BY_ID], ARGS(A_ID(id)), err));
	return row_get(&r, mem, ret, err);
}

fallible grant_list(struct store_tx *tx, struct arena *mem, struct str realm, struct id after, size_t limit,
		    struct grant_row **ret, size_t *ret_count, struct err *err)
{
	const struct db_arg args[] = { A_ID(after), A_I64(tx_limit(limit)), A_TEXT(realm) };
	return rows_get(tx, mem, sql[realm.n == 0 ? Q_LIST : Q_LIST_REALM], args, realm.n == 0 ? 2 : 3, ret, ret_count,
			err);
}

fallible grants_of_key(struct store_tx *tx, struct arena *mem, struct str realm, struct str thumbprint, int64_t now_s,
		       size_t limit, struct grant_row **ret, size_t *ret_count, struct err *err)
{
	return rows_get(tx, mem, sql[Q_OF_KEY],
			ARGS(A_TEXT(thumbprint), A_TEXT(realm), A_I64(now_s), A_I64(tx_limit(limit))), ret, ret_count,
			err);
}

fallible grant_revoke(struct store_tx *tx, struct id id, int64_t at, struct err *err)
{
	uint64_t changed;
	TRY(tx_run(tx, sql[Q_REVOKE], ARGS(A_ID(id), A_I64(at)), &changed, err));
	if (changed > 0)
		return OK;
	AUTO(rows_done) struct rows r = { 0 };
	return rows_one(&r, tx, "grant", sql[Q_BY_ID], ARGS(A_ID(id)), err);
}

fallible authzs_of_grant(struct store_tx *tx, struct arena *mem, struct id grant, size_t limit, struct id **ret,
			 size_t *ret_count, struct err *err)
{
	return tx_ids(tx, mem, sql[Q_AUTHZS], ARGS(A_ID(grant), A_I64(tx_limit(limit))), ret, ret_count, err);
}

fallible grants_of_order(struct store_tx *tx, struct arena *mem, struct id order, struct id **ret, size_t *ret_count,
			 struct err *err)
{
	return tx_ids(tx, mem, sql[Q_OF_ORDER], ARGS(A_ID(order)), ret, ret_count, err);
}

fallible issuance_add_grants(struct store_tx *tx, struct id issuance, const struct id *grants, size_t count,
			     struct err *err)
{
	for (size_t i = 0; i < count; i++)
		TRY(tx_insert(tx, "grant of an issuance", sql[Q_USE],
			      ARGS(A_ID(issuance), A_I64((int64_t)i), A_ID(grants[i])), err));
	return OK;
}

fallible grants_of_issuance(struct store_tx *tx, struct arena *mem, struct id issuance, struct grant_row **ret,
			    size_t *ret_count, struct err *err)
{
	return rows_get(tx, mem, sql[Q_OF_ISSUANCE], ARGS(A_ID(issuance)), ret, ret_count, err);
}

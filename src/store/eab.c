/* SPDX-License-Identifier: Apache-2.0
 *
 * eab.c: rows of external account keys. The secret comes and goes sealed: store does not know what is in it.
 */
#include "store/internal.h"

#define COLUMNS \
	"kid, realm, secret, label, names, profiles, uses, uses_max, created_at, expires_at, disabled_at, lifetime_s"

enum { Q_INSERT, Q_BY_KID, Q_LIST, Q_LIST_REALM, Q_USE, Q_DISABLE, Q_COUNT };
static const char *const sql[Q_COUNT] = {
	[Q_INSERT] = "INSERT INTO eab_keys (" COLUMNS ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"
		     " ON CONFLICT DO NOTHING",
	[Q_BY_KID] = "SELECT " COLUMNS " FROM eab_keys WHERE kid = $1",
	[Q_LIST] = "SELECT " COLUMNS " FROM eab_keys WHERE kid > $1 ORDER BY kid LIMIT $2",
	[Q_LIST_REALM] = "SELECT " COLUMNS " FROM eab_keys WHERE kid > $1 AND realm = $3 ORDER BY kid LIMIT $2",
	/* One statement counts and limits: of those who come at once, as many succeed as there are uses left. */
	[Q_USE] = ("UPDATE eab_keys SET uses = uses + 1 WHERE kid = $1 AND disabled_at = 0"
		   " AND (expires_at = 0 OR expires_at > $2) AND (uses_max = 0 OR uses < uses_max)"),
	[Q_DISABLE] = "UPDATE eab_keys SET disabled_at = $2 WHERE kid = $1 AND disabled_at = 0",
};
const struct sql_set eab_sql = { "eab.c", sql, Q_COUNT };

static void row_get(struct rows *r, struct arena *mem, struct eab_row *ret)
{
	*ret = (struct eab_row){ .kid = rows_text(r, mem, 0),
				 .realm = rows_text(r, mem, 1),
				 .secret = rows_text(r, mem, 2),
				 .label = rows_text(r, mem, 3),
				 .names = rows_text(r, mem, 4),
				 .profiles = rows_text(r, mem, 5),
				 .uses = rows_i64(r, 6),
				 .uses_max = rows_i64(r, 7),
				 .created_at = rows_i64(r, 8),
				 .expires_at = rows_i64(r, 9),
				 .disabled_at = rows_i64(r, 10),
				 .lifetime_s = rows_i64(r, 11) };
}

fallible eab_insert(struct store_tx *tx, const struct eab_row *e, struct err *err)
{
	if (e->kid.n == 0 || e->kid.n > EAB_KID_MAX)
		FAIL(err, ERR_INTERNAL, "an external account key's id of %zu bytes, 1 to %d are possible", e->kid.n,
		     EAB_KID_MAX);
	return tx_insert(tx, "external account key", sql[Q_INSERT],
			 ARGS(A_TEXT(e->kid), A_TEXT(e->realm), A_BLOB(e->secret), A_TEXT(e->label), A_TEXT(e->names),
			      A_TEXT(e->profiles), A_I64(e->uses), A_I64(e->uses_max), A_I64(e->created_at),
			      A_I64(e->expires_at), A_I64(e->disabled_at), A_I64(e->lifetime_s)),
			 err);
}

fallible eab_by_kid(struct store_tx *tx, struct arena *mem, struct str kid, struct eab_row *ret, struct err *err)
{
	AUTO(rows_done) struct rows r = { 0 };
	TRY(rows_one(&r, tx, "external account key", sql[Q_BY_KID], ARGS(A_TEXT(kid)), err));
	row_get(&r, mem, ret);
	return OK;
}

fallible eab_list(struct store_tx *tx, struct arena *mem, struct str realm, struct str after, size_t limit,
		  struct eab_row **ret, size_t *ret_count, struct err *err)
{
	AUTO(rows_done) struct rows r = { 0 };
	struct eab_row *list = NULL;
	size_t n = 0, cap = 0;
	const struct db_arg args[] = { A_TEXT(after), A_I64(tx_limit(limit)), A_TEXT(realm) };
	TRY(rows_open(&r, tx, sql[realm.n == 0 ? Q_LIST : Q_LIST_REALM], args, realm.n == 0 ? 2 : 3, err));
	for (;;) {
		bool row;
		TRY(rows_next(&r, &row, err));
		if (!row)
			break;
		list = (struct eab_row *)arena_push(mem, list, sizeof *list, n, &cap);
		row_get(&r, mem, &list[n]);
		n++;
	}
	*ret = list;
	*ret_count = n;
	return OK;
}

fallible eab_use(struct store_tx *tx, struct str kid, int64_t now, struct err *err)
{
	uint64_t changed;
	TRY(tx_run(tx, sql[Q_USE], ARGS(A_TEXT(kid), A_I64(now)), &changed, err));
	if (changed > 0)
		return OK;
	AUTO(arena_done) struct arena mem = { 0 };
	struct eab_row e;
	TRY(eab_by_kid(tx, &mem, kid, &e, err));
	if (e.disabled_at != 0)
		FAIL(err, ERR_CONFLICT, "this external account key is disabled");
	if (e.expires_at != 0 && e.expires_at <= now)
		FAIL(err, ERR_CONFLICT, "this external account key has expired");
	FAIL(err, ERR_CONFLICT, "this external account key is used up: %lld of %lld uses", (long long)e.uses,
	     (long long)e.uses_max);
}

fallible eab_disable(struct store_tx *tx, struct str kid, int64_t at, struct err *err)
{
	uint64_t changed;
	TRY(tx_run(tx, sql[Q_DISABLE], ARGS(A_TEXT(kid), A_I64(at)), &changed, err));
	if (changed > 0)
		return OK;
	AUTO(rows_done) struct rows r = { 0 };
	return rows_one(&r, tx, "external account key", sql[Q_BY_KID], ARGS(A_TEXT(kid)), err);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * account_key.c: rows of key changes. They are kept as long as the account (draft-ietf-acme-dns-persist-02 4.2).
 */
#include "store/internal.h"

enum { Q_INSERT, Q_OF_ACCOUNT, Q_COUNT };
static const char *const sql[Q_COUNT] = {
	[Q_INSERT] =
		"INSERT INTO account_keys (account, seq, was, became, jws, created_at)"
		" VALUES ($1, 1 + (SELECT COALESCE(MAX(seq), 0) FROM account_keys WHERE account = $1), $2, $3, $4, $5)"
		" ON CONFLICT DO NOTHING",
	[Q_OF_ACCOUNT] = "SELECT was, became, jws, created_at FROM account_keys WHERE account = $1"
			 " ORDER BY seq DESC LIMIT $2",
};
const struct sql_set account_key_sql = { "account_key.c", sql, Q_COUNT };

fallible key_change_insert(struct store_tx *tx, const struct key_change_row *k, struct err *err)
{
	return tx_insert(
		tx, "key change", sql[Q_INSERT],
		ARGS(A_ID(k->account), A_TEXT(k->was), A_TEXT(k->became), A_TEXT(k->jws), A_I64(k->created_at)), err);
}

fallible key_changes_of_account(struct store_tx *tx, struct arena *mem, struct id account, size_t limit,
				struct key_change_row **ret, size_t *ret_count, struct err *err)
{
	AUTO(rows_done) struct rows r = { 0 };
	struct key_change_row *list = NULL;
	size_t n = 0, cap = 0;
	TRY(rows_open(&r, tx, sql[Q_OF_ACCOUNT], ARGS(A_ID(account), A_I64(tx_limit(limit))), err));
	for (;;) {
		bool row;
		TRY(rows_next(&r, &row, err));
		if (!row)
			break;
		list = (struct key_change_row *)arena_push(mem, list, sizeof *list, n, &cap);
		list[n++] = (struct key_change_row){ .account = account,
						     .was = rows_text(&r, mem, 0),
						     .became = rows_text(&r, mem, 1),
						     .jws = rows_text(&r, mem, 2),
						     .created_at = rows_i64(&r, 3) };
	}
	*ret = list;
	*ret_count = n;
	return OK;
}

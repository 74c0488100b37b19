/* SPDX-License-Identifier: Apache-2.0
 *
 * blocked_key.c: rows of keys that are compromised, by the hash of their SubjectPublicKeyInfo. They are never removed.
 */
#include "store/internal.h"

enum { Q_INSERT, Q_HAS, Q_COUNT };
static const char *const sql[Q_COUNT] = {
	[Q_INSERT] = "INSERT INTO blocked_keys (spki_hash, reason, created_at, created_by) VALUES ($1, $2, $3, $4)"
		     " ON CONFLICT DO NOTHING",
	[Q_HAS] = "SELECT 1 FROM blocked_keys WHERE spki_hash = $1",
};
const struct sql_set blocked_key_sql = { "blocked_key.c", sql, Q_COUNT };

fallible blocked_key_insert(struct store_tx *tx, const struct sha256 *spki_hash, struct str reason, int64_t at,
			    struct str by, struct err *err)
{
	uint64_t changed; /* none: it was there, and who came first stays */
	return tx_run(tx, sql[Q_INSERT], ARGS(A_ID(*spki_hash), A_TEXT(reason), A_I64(at), A_TEXT(by)), &changed, err);
}

fallible blocked_key_has(struct store_tx *tx, const struct sha256 *spki_hash, bool *ret, struct err *err)
{
	AUTO(rows_done) struct rows r = { 0 };
	TRY(rows_open(&r, tx, sql[Q_HAS], ARGS(A_ID(*spki_hash)), err));
	return rows_next(&r, ret, err);
}

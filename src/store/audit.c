/* SPDX-License-Identifier: Apache-2.0
 *
 * audit.c: what happened, in the same transaction as what it did.
 */
#include "store/internal.h"

enum { Q_INSERT, Q_COUNT };
static const char *const sql[Q_COUNT] = {
	[Q_INSERT] = "INSERT INTO audit (at, actor, event, object, detail) VALUES ($1, $2, $3, $4, $5)",
};
const struct sql_set audit_sql = { "audit.c", sql, Q_COUNT };

fallible audit_insert(struct store_tx *tx, const struct audit_row *a, struct err *err)
{
	return tx_insert(tx, "audit record", sql[Q_INSERT],
			 ARGS(A_I64(a->at), A_TEXT(a->actor), A_TEXT(a->event), A_TEXT(a->object), A_TEXT(a->detail)),
			 err);
}

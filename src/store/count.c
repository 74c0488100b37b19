/* SPDX-License-Identifier: Apache-2.0
 *
 * count.c: counts by status, for `cairn status` and for test oracles. These, and nothing else in this folder, read
 * whole tables.
 */
#include "store/internal.h"

enum { Q_ACCOUNTS, Q_CERTIFICATES, Q_ORDERS, Q_ISSUANCES, Q_COUNT };
static const char *const sql[Q_COUNT] = {
	[Q_ACCOUNTS] = "SELECT COUNT(*) FROM accounts",
	[Q_CERTIFICATES] = "SELECT COUNT(*) FROM certificates",
	[Q_ORDERS] = "SELECT status, COUNT(*) FROM orders GROUP BY status",
	[Q_ISSUANCES] = "SELECT status, COUNT(*) FROM issuances GROUP BY status",
};
const struct sql_set count_sql = { "count.c", sql, Q_COUNT };

static fallible count_all(struct store_tx *tx, const char *query, uint64_t *ret, struct err *err)
{
	AUTO(rows_done) struct rows r = { 0 };
	TRY(rows_one(&r, tx, "count", query, NULL, 0, err));
	*ret = (uint64_t)rows_i64(&r, 0);
	return OK;
}

static fallible count_states(struct store_tx *tx, const char *query, const char *const *names, unsigned count,
			     uint64_t *ret, struct err *err)
{
	AUTO(rows_done) struct rows r = { 0 };
	TRY(rows_open(&r, tx, query, NULL, 0, err));
	for (;;) {
		bool row;
		TRY(rows_next(&r, &row, err));
		if (!row)
			return OK;
		unsigned state;
		TRY(rows_state(&r, 0, names, count, &state, err));
		ret[state] = (uint64_t)rows_i64(&r, 1);
	}
}

fallible store_count(struct store_tx *tx, struct store_counts *ret, struct err *err)
{
	static const char *const issuance_names[] = { "intended", "issued", "refused", "abandoned" };
	const char *order_names[ORDER_STATUS_COUNT];
	for (unsigned i = 0; i < ORDER_STATUS_COUNT; i++)
		order_names[i] = order_status_name((enum order_status)i);
	struct store_counts c = { 0 };
	TRY(count_all(tx, sql[Q_ACCOUNTS], &c.accounts, err));
	TRY(count_all(tx, sql[Q_CERTIFICATES], &c.certificates, err));
	TRY(count_states(tx, sql[Q_ORDERS], order_names, ORDER_STATUS_COUNT, c.orders, err));
	TRY(count_states(tx, sql[Q_ISSUANCES], issuance_names, ARRAY_LEN(c.issuances), c.issuances, err));
	*ret = c;
	return OK;
}

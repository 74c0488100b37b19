/* SPDX-License-Identifier: Apache-2.0
 *
 * order.c: rows of orders and which authorizations each needs.
 */
#include "store/internal.h"

#define COLUMNS                                                                                                        \
	"id, account, realm, profile, status, identifiers, not_before_s, not_after_s, created_at, expires_at, error, " \
	"certificate, csr_hash, replaces"

enum {
	Q_INSERT,
	Q_LINK,
	Q_BY_ID,
	Q_AUTHZS,
	Q_MOVE,
	Q_FAIL,
	Q_BEGIN,
	Q_FINISH,
	Q_STATUS,
	Q_LIST,
	Q_OF_AUTHZ,
	Q_OPEN_AUTHZS,
	Q_REPLACING,
	Q_IS_REPLACED,
	Q_COUNT
};
static const char *const sql[Q_COUNT] = {
	[Q_INSERT] = "INSERT INTO orders (" COLUMNS ", ended_at)"
		     " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, 0) ON CONFLICT DO NOTHING",
	[Q_LINK] = "INSERT INTO order_authz (order_id, position, authz) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
	[Q_BY_ID] = "SELECT " COLUMNS " FROM orders WHERE id = $1",
	[Q_AUTHZS] = "SELECT authz FROM order_authz WHERE order_id = $1 ORDER BY position LIMIT $2",
	[Q_MOVE] = "UPDATE orders SET status = $3, ended_at = $4 WHERE id = $1 AND status = $2",
	[Q_FAIL] = "UPDATE orders SET status = 'invalid', error = $3, ended_at = $4 WHERE id = $1 AND status = $2",
	[Q_BEGIN] = "UPDATE orders SET status = 'processing', csr_hash = $2 WHERE id = $1 AND status = 'ready'",
	[Q_FINISH] = "UPDATE orders SET status = 'valid', certificate = $2, ended_at = $3"
		     " WHERE id = $1 AND status = 'processing'",
	[Q_STATUS] = "SELECT status FROM orders WHERE id = $1",
	[Q_LIST] = "SELECT id FROM orders WHERE account = $1 AND id < $2 AND error = '' AND status != 'invalid' ORDER "
		   "BY id DESC "
		   "LIMIT $3",
	/* No join: PostgreSQL, when it knows nothing of the tables yet, begins with all orders. */
	[Q_OF_AUTHZ] = "SELECT oa.order_id FROM order_authz oa WHERE oa.authz = $1"
		       " AND (SELECT o.status FROM orders o WHERE o.id = oa.order_id) = $2 ORDER BY oa.order_id",
	[Q_OPEN_AUTHZS] =
		"SELECT COUNT(*) FROM order_authz oa JOIN authorizations a ON a.id = oa.authz"
		" WHERE oa.order_id = $1 AND NOT (a.status = 'valid' AND a.expires_at > $2 AND a.thumbprint = $3)",
	[Q_REPLACING] = "SELECT COUNT(CASE WHEN status IN ('processing', 'valid') THEN 1 END),"
			" COUNT(CASE WHEN status IN ('pending', 'ready') AND expires_at > $2 THEN 1 END)"
			" FROM orders WHERE replaces = $1 AND replaces <> ''",
	[Q_IS_REPLACED] = "SELECT 1 FROM orders o JOIN orders r ON r.replaces = o.replaces AND r.replaces <> ''"
			  " AND r.status IN ('processing', 'valid') WHERE o.id = $1 AND o.status = 'ready' AND "
			  "o.replaces <> '' LIMIT 1",
};
const struct sql_set order_sql = { "order.c", sql, Q_COUNT };

fallible order_insert(struct store_tx *tx, const struct order_row *o, const struct id *authzs, size_t authz_count,
		      struct err *err)
{
	if (authz_count == 0 || authz_count > IDENTS_MAX)
		FAIL(err, ERR_INTERNAL, "an order with %zu authorizations, 1 to %d are possible", authz_count,
		     IDENTS_MAX);
	TRY(tx_insert(tx, "order", sql[Q_INSERT],
		      ARGS(A_ID(o->id), A_ID(o->account), A_TEXT(o->realm), A_TEXT(o->profile),
			   A_Z(order_status_name(o->status)), A_TEXT(o->identifiers), A_I64(o->not_before_s),
			   A_I64(o->not_after_s), A_I64(o->created_at), A_I64(o->expires_at), A_TEXT(o->error),
			   A_ID_MAY(o->certificate), A_ID_MAY(o->csr_hash), A_TEXT(o->replaces)),
		      err));
	for (size_t i = 0; i < authz_count; i++)
		TRY(tx_insert(tx, "authorization of the order", sql[Q_LINK],
			      ARGS(A_ID(o->id), A_I64((int64_t)i), A_ID(authzs[i])), err));
	return OK;
}

fallible order_by_id(struct store_tx *tx, struct arena *mem, struct id id, struct order_row *ret, struct err *err)
{
	AUTO(rows_done) struct rows r = { 0 };
	TRY(rows_one(&r, tx, "order", sql[Q_BY_ID], ARGS(A_ID(id)), err));
	struct order_row o = { .realm = rows_text(&r, mem, 2) };
	ROWS_ID(&r, 0, &o.id, err);
	ROWS_ID(&r, 1, &o.account, err);
	o.profile = rows_text(&r, mem, 3);
	const char *names[ORDER_STATUS_COUNT];
	for (unsigned i = 0; i < ORDER_STATUS_COUNT; i++)
		names[i] = order_status_name((enum order_status)i);
	unsigned status;
	TRY(rows_state(&r, 4, names, ORDER_STATUS_COUNT, &status, err));
	o.status = (enum order_status)status;
	o.identifiers = rows_text(&r, mem, 5);
	o.not_before_s = rows_i64(&r, 6);
	o.not_after_s = rows_i64(&r, 7);
	o.created_at = rows_i64(&r, 8);
	o.expires_at = rows_i64(&r, 9);
	o.error = rows_text(&r, mem, 10);
	ROWS_ID(&r, 11, &o.certificate, err);
	ROWS_ID(&r, 12, &o.csr_hash, err);
	o.replaces = rows_text(&r, mem, 13);
	*ret = o;
	return OK;
}

fallible order_authzs(struct store_tx *tx, struct arena *mem, struct id order, struct id **ret, size_t *ret_count,
		      struct err *err)
{
	return tx_ids(tx, mem, sql[Q_AUTHZS], ARGS(A_ID(order), A_I64(IDENTS_MAX)), ret, ret_count, err);
}

static int64_t end_of(struct store_tx *tx, enum order_status to)
{
	return to == ORDER_VALID || to == ORDER_INVALID ? clock_now_ms(tx->clock) : 0;
}

fallible order_move(struct store_tx *tx, struct id id, enum order_status from, enum order_status to, struct err *err)
{
	const char *was = order_status_name(from);
	const char *will = order_status_name(to);
	if (!order_may_move(from, to))
		FAIL(err, ERR_INTERNAL, "no order goes from %s to %s", was, will);
	return tx_move(tx, "order", sql[Q_STATUS], id, was, sql[Q_MOVE],
		       ARGS(A_ID(id), A_Z(was), A_Z(will), A_I64(end_of(tx, to))), err);
}

fallible order_fail(struct store_tx *tx, struct id id, enum order_status from, struct str problem, struct err *err)
{
	const char *was = order_status_name(from);
	if (!order_may_move(from, ORDER_INVALID))
		FAIL(err, ERR_INTERNAL, "no order goes from %s to invalid", was);
	return tx_move(tx, "order", sql[Q_STATUS], id, was, sql[Q_FAIL],
		       ARGS(A_ID(id), A_Z(was), A_TEXT(problem), A_I64(end_of(tx, ORDER_INVALID))), err);
}

static fallible order_is_replaced(struct store_tx *tx, struct id id, bool *ret, struct err *err)
{
	AUTO(rows_done) struct rows r = { 0 };
	TRY(rows_open(&r, tx, sql[Q_IS_REPLACED], ARGS(A_ID(id)), err));
	return rows_next(&r, ret, err);
}

fallible order_begin(struct store_tx *tx, struct id id, const struct sha256 *csr_hash, struct err *err)
{
	bool replaced;
	TRY(order_is_replaced(tx, id, &replaced, err));
	if (replaced)
		FAIL(err, ERR_ALREADY_REPLACED,
		     "another order has replaced the certificate that this one replaces; make a new order");
	return tx_move(tx, "order", sql[Q_STATUS], id, "ready", sql[Q_BEGIN], ARGS(A_ID(id), A_ID(*csr_hash)), err);
}

fallible order_finish(struct store_tx *tx, struct id id, struct id certificate, struct err *err)
{
	return tx_move(tx, "order", sql[Q_STATUS], id, "processing", sql[Q_FINISH],
		       ARGS(A_ID(id), A_ID(certificate), A_I64(end_of(tx, ORDER_VALID))), err);
}

fallible order_list(struct store_tx *tx, struct arena *mem, struct id account, struct id before, size_t limit,
		    struct id **ret, size_t *ret_count, struct err *err)
{
	if (id_is_zero(before))
		memset(before.b, 0xff, sizeof before.b);
	return tx_ids(tx, mem, sql[Q_LIST], ARGS(A_ID(account), A_ID(before), A_I64(tx_limit(limit))), ret, ret_count,
		      err);
}

fallible orders_of_authz(struct store_tx *tx, struct arena *mem, struct id authz, enum order_status status,
			 struct id **ret, size_t *ret_count, struct err *err)
{
	return tx_ids(tx, mem, sql[Q_OF_AUTHZ], ARGS(A_ID(authz), A_Z(order_status_name(status))), ret, ret_count, err);
}

fallible order_open_authzs(struct store_tx *tx, struct id order, struct str thumbprint, int64_t now, size_t *ret,
			   struct err *err)
{
	AUTO(rows_done) struct rows r = { 0 };
	TRY(rows_one(&r, tx, "order", sql[Q_OPEN_AUTHZS], ARGS(A_ID(order), A_I64(now), A_TEXT(thumbprint)), err));
	*ret = (size_t)rows_i64(&r, 0);
	return OK;
}

fallible order_replacing(struct store_tx *tx, struct str serial, int64_t now, bool *ret_taken, bool *ret_open,
			 struct err *err)
{
	AUTO(rows_done) struct rows r = { 0 };
	TRY(rows_one(&r, tx, "order", sql[Q_REPLACING], ARGS(A_TEXT(serial), A_I64(now)), err));
	*ret_taken = rows_i64(&r, 0) > 0;
	*ret_open = rows_i64(&r, 1) > 0;
	return OK;
}

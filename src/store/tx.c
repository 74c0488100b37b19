/* SPDX-License-Identifier: Apache-2.0
 *
 * tx.c: statements with bound values, rows, and the few shapes that typed calls have in common.
 */
#include "store/internal.h"

bool bytes_are_zero(const uint8_t *p, size_t n)
{
	uint8_t any = 0;
	for (size_t i = 0; i < n; i++)
		any |= p[i];
	return any == 0;
}

fallible rows_open(struct rows *r, struct store_tx *tx, const char *sql, const struct db_arg *args, size_t arg_count,
		   struct err *err)
{
	r->ops = tx->db->ops;
	return r->ops->start(tx->db, sql, args, arg_count, &r->stmt, err);
}

fallible rows_next(struct rows *r, bool *ret_row, struct err *err)
{
	return r->ops->step(r->stmt, ret_row, err);
}

fallible rows_one(struct rows *r, struct store_tx *tx, const char *what, const char *sql, const struct db_arg *args,
		  size_t arg_count, struct err *err)
{
	bool row;
	TRY(rows_open(r, tx, sql, args, arg_count, err));
	TRY(rows_next(r, &row, err));
	if (!row)
		FAIL(err, ERR_NOT_FOUND, "there is no such %s", what);
	return OK;
}

void rows_done(struct rows *r)
{
	if (r != NULL && r->stmt != NULL) {
		r->ops->finish(r->stmt);
		r->stmt = NULL;
	}
}

int64_t rows_i64(struct rows *r, unsigned column)
{
	return r->ops->get_i64(r->stmt, column);
}

struct str rows_text(struct rows *r, struct arena *mem, unsigned column)
{
	return str_dup(mem, r->ops->get_bytes(r->stmt, column));
}

fallible rows_bytes(struct rows *r, unsigned column, uint8_t *out, size_t n, struct err *err)
{
	struct str s = r->ops->get_bytes(r->stmt, column);
	if (s.n != 0 && s.n != n)
		FAIL(err, ERR_INTERNAL, "column %u of the database holds %zu bytes, %zu were wanted", column, s.n, n);
	memset(out, 0, n);
	if (s.n > 0)
		memcpy(out, s.p, n);
	return OK;
}

fallible rows_u32(struct rows *r, unsigned column, unsigned *ret, struct err *err)
{
	int64_t v = rows_i64(r, column);
	if (v < 0 || v > UINT32_MAX)
		FAIL(err, ERR_INTERNAL, "column %u of the database holds %lld, out of range", column, (long long)v);
	*ret = (unsigned)v;
	return OK;
}

fallible rows_state(struct rows *r, unsigned column, const char *const *names, unsigned count, unsigned *ret,
		    struct err *err)
{
	struct str s = r->ops->get_bytes(r->stmt, column);
	for (unsigned i = 0; i < count; i++) {
		if (str_eq(s, str_z(names[i]))) {
			*ret = i;
			return OK;
		}
	}
	FAIL(err, ERR_INTERNAL, "column %u of the database holds \"%.*s\", which this program does not know", column,
	     STR_FMT(s));
}

fallible tx_run(struct store_tx *tx, const char *sql, const struct db_arg *args, size_t arg_count,
		uint64_t *ret_changed, struct err *err)
{
	AUTO(rows_done) struct rows r = { 0 };
	bool row;
	TRY(rows_open(&r, tx, sql, args, arg_count, err));
	TRY(rows_next(&r, &row, err));
	*ret_changed = r.ops->changes(r.stmt);
	return OK;
}

static bool put_off(struct store_tx *tx, const char *sql, const struct db_arg *args, size_t arg_count, bool changes)
{
	const struct db_ops *ops = tx->db->ops;
	return ops->put_off != NULL && ops->put_off(tx->db, sql, args, arg_count, changes);
}

fallible tx_do(struct store_tx *tx, const char *sql, const struct db_arg *args, size_t arg_count, struct err *err)
{
	uint64_t changed;
	return put_off(tx, sql, args, arg_count, false) ? OK : tx_run(tx, sql, args, arg_count, &changed, err);
}

fallible tx_insert(struct store_tx *tx, const char *what, const char *sql, const struct db_arg *args, size_t arg_count,
		   struct err *err)
{
	uint64_t changed;
	if (put_off(tx, sql, args, arg_count, true))
		return OK;
	TRY(tx_run(tx, sql, args, arg_count, &changed, err));
	if (changed == 0)
		FAIL(err, ERR_CONFLICT, "this %s exists already", what);
	return OK;
}

fallible tx_update(struct store_tx *tx, const char *what, const char *sql, const struct db_arg *args, size_t arg_count,
		   struct err *err)
{
	uint64_t changed;
	if (put_off(tx, sql, args, arg_count, true))
		return OK;
	TRY(tx_run(tx, sql, args, arg_count, &changed, err));
	if (changed == 0)
		FAIL(err, ERR_NOT_FOUND, "there is no such %s", what);
	return OK;
}

fallible tx_move(struct store_tx *tx, const char *what, const char *status_sql, struct id id, const char *wanted,
		 const char *sql, const struct db_arg *args, size_t arg_count, struct err *err)
{
	uint64_t changed;
	if (put_off(tx, sql, args, arg_count, true))
		return OK;
	TRY(tx_run(tx, sql, args, arg_count, &changed, err));
	if (changed > 0)
		return OK;
	AUTO(rows_done) struct rows r = { 0 };
	TRY(rows_one(&r, tx, what, status_sql, ARGS(A_ID(id)), err));
	struct str found = r.ops->get_bytes(r.stmt, 0);
	FAIL(err, ERR_CONFLICT, "%s %s is %.*s, %s was wanted", what, id_show(id).z, STR_FMT(found), wanted);
}

void *arena_push(struct arena *mem, void *array, size_t size, size_t count, size_t *cap)
{
	if (count < *cap)
		return array;
	size_t wider = *cap == 0 ? 8 : *cap * 2;
	void *p = arena_alloc_n(mem, size, wider);
	if (count > 0)
		memcpy(p, array, size * count);
	*cap = wider;
	return p;
}

fallible tx_ids(struct store_tx *tx, struct arena *mem, const char *sql, const struct db_arg *args, size_t arg_count,
		struct id **ret, size_t *ret_count, struct err *err)
{
	AUTO(rows_done) struct rows r = { 0 };
	struct id *ids = NULL;
	size_t n = 0, cap = 0;
	TRY(rows_open(&r, tx, sql, args, arg_count, err));
	for (;;) {
		bool row;
		TRY(rows_next(&r, &row, err));
		if (!row)
			break;
		ids = (struct id *)arena_push(mem, ids, sizeof *ids, n, &cap);
		ROWS_ID(&r, 0, &ids[n], err);
		n++;
	}
	*ret = ids;
	*ret_count = n;
	return OK;
}

int64_t tx_limit(size_t limit)
{
	return limit > INT32_MAX ? INT32_MAX : (int64_t)limit;
}

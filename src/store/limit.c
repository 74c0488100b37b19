/* SPDX-License-Identifier: Apache-2.0
 *
 * limit.c: rate limits by GCRA: one number a bucket, the time at which it will be empty again ("theoretical arrival
 * time", in microseconds, so that thousands a second can be told apart).
 */
#include "store/internal.h"

enum { Q_GET, Q_SET, Q_COUNT };
static const char *const sql[Q_COUNT] = {
	[Q_GET] = "SELECT tat_us FROM limits WHERE bucket = $1",
	[Q_SET] = "INSERT INTO limits (bucket, tat_us) VALUES ($1, $2) ON CONFLICT (bucket) DO UPDATE SET tat_us = $2",
};
const struct sql_set limit_sql = { "limit.c", sql, Q_COUNT };

static fallible tat_get(struct store_tx *tx, struct str bucket, int64_t *ret, struct err *err)
{
	AUTO(rows_done) struct rows r = { 0 };
	bool row;
	TRY(rows_open(&r, tx, sql[Q_GET], ARGS(A_TEXT(bucket)), err));
	TRY(rows_next(&r, &row, err));
	*ret = row ? rows_i64(&r, 0) : 0;
	return OK;
}

fallible limit_take(struct store_tx *tx, struct str bucket, int64_t now, unsigned count, int64_t period_ms,
		    unsigned burst, int64_t *ret_wait_ms, struct err *err)
{
	int64_t period_us, now_us, full_us, top_us;
	if (count == 0 || burst == 0 || period_ms <= 0 || now < 0 ||
	    __builtin_mul_overflow(period_ms, 1000, &period_us) || __builtin_mul_overflow(now, 1000, &now_us) ||
	    __builtin_mul_overflow(period_us / count, (int64_t)burst, &full_us) ||
	    __builtin_add_overflow(now_us, full_us, &top_us))
		FAIL(err, ERR_INTERNAL, "no rate: %u in %lld ms with a burst of %u at %lld", count,
		     (long long)period_ms, burst, (long long)now);
	int64_t step_us = period_us / count;
	int64_t tat_us;
	TRY(tat_get(tx, bucket, &tat_us, err));
	if (tat_us < now_us)
		tat_us = now_us;
	/* No bucket is fuller than full: one that seems so was filled before the clock was set back or the limit
	 * lowered. */
	if (tat_us > top_us)
		tat_us = top_us;
	if (tat_us > top_us - step_us) {
		*ret_wait_ms = (tat_us - (top_us - step_us) + 999) / 1000;
		return OK;
	}
	TRY(tx_do(tx, sql[Q_SET], ARGS(A_TEXT(bucket), A_I64(tat_us + step_us)), err));
	*ret_wait_ms = 0;
	return OK;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * challenge.c: rows of challenges.
 */
#include "store/internal.h"

#define COLUMNS "id, authz, type, status, token, validated_at, error, attempt, retry_at"

enum { Q_INSERT, Q_BY_ID, Q_OF_AUTHZ, Q_BEGIN, Q_TELL, Q_END, Q_STATUS, Q_COUNT };
static const char *const sql[Q_COUNT] = {
	[Q_INSERT] = "INSERT INTO challenges (" COLUMNS
		     ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING",
	[Q_BY_ID] = "SELECT " COLUMNS " FROM challenges WHERE id = $1",
	[Q_OF_AUTHZ] = "SELECT " COLUMNS " FROM challenges WHERE authz = $1 ORDER BY id",
	[Q_BEGIN] = "UPDATE challenges SET status = 'processing', attempt = $2 WHERE id = $1 AND status = 'pending'",
	[Q_TELL] = "UPDATE challenges SET error = $3, retry_at = $4 WHERE id = $1 AND attempt = $2 AND status = "
		   "'processing'",
	[Q_END] = ("UPDATE challenges SET status = $2, validated_at = $3, error = $4, retry_at = 0"
		   " WHERE id = $1 AND status = 'processing'"),
	[Q_STATUS] = "SELECT status FROM challenges WHERE id = $1",
};
const struct sql_set challenge_sql = { "challenge.c", sql, Q_COUNT };

static fallible row_get(struct rows *r, struct arena *mem, struct challenge_row *ret, struct err *err)
{
	struct challenge_row c = { .token = rows_text(r, mem, 4) };
	ROWS_ID(r, 0, &c.id, err);
	ROWS_ID(r, 1, &c.authz, err);
	const char *types[CHALLENGE_TYPE_COUNT];
	for (unsigned i = 0; i < CHALLENGE_TYPE_COUNT; i++)
		types[i] = challenge_type_name((enum challenge_type)i);
	unsigned state;
	TRY(rows_state(r, 2, types, CHALLENGE_TYPE_COUNT, &state, err));
	c.type = (enum challenge_type)state;
	const char *names[CHALLENGE_STATUS_COUNT];
	for (unsigned i = 0; i < CHALLENGE_STATUS_COUNT; i++)
		names[i] = challenge_status_name((enum challenge_status)i);
	TRY(rows_state(r, 3, names, CHALLENGE_STATUS_COUNT, &state, err));
	c.status = (enum challenge_status)state;
	c.validated_at = rows_i64(r, 5);
	c.error = rows_text(r, mem, 6);
	ROWS_ID(r, 7, &c.attempt, err);
	c.retry_at = rows_i64(r, 8);
	*ret = c;
	return OK;
}

fallible challenge_insert(struct store_tx *tx, const struct challenge_row *c, struct err *err)
{
	return tx_insert(tx, "challenge", sql[Q_INSERT],
			 ARGS(A_ID(c->id), A_ID(c->authz), A_Z(challenge_type_name(c->type)),
			      A_Z(challenge_status_name(c->status)), A_TEXT(c->token), A_I64(c->validated_at),
			      A_TEXT(c->error), A_ID_MAY(c->attempt), A_I64(c->retry_at)),
			 err);
}

fallible challenge_by_id(struct store_tx *tx, struct arena *mem, struct id id, struct challenge_row *ret,
			 struct err *err)
{
	AUTO(rows_done) struct rows r = { 0 };
	TRY(rows_one(&r, tx, "challenge", sql[Q_BY_ID], ARGS(A_ID(id)), err));
	return row_get(&r, mem, ret, err);
}

fallible challenges_of_authz(struct store_tx *tx, struct arena *mem, struct id authz, struct challenge_row **ret,
			     size_t *ret_count, struct err *err)
{
	AUTO(rows_done) struct rows r = { 0 };
	struct challenge_row *list = NULL;
	size_t n = 0, cap = 0;
	TRY(rows_open(&r, tx, sql[Q_OF_AUTHZ], ARGS(A_ID(authz)), err));
	for (;;) {
		bool row;
		TRY(rows_next(&r, &row, err));
		if (!row)
			break;
		list = (struct challenge_row *)arena_push(mem, list, sizeof *list, n, &cap);
		TRY(row_get(&r, mem, &list[n], err));
		n++;
	}
	*ret = list;
	*ret_count = n;
	return OK;
}

fallible challenge_begin(struct store_tx *tx, struct id id, struct id attempt, struct err *err)
{
	return tx_move(tx, "challenge", sql[Q_STATUS], id, "pending", sql[Q_BEGIN], ARGS(A_ID(id), A_ID(attempt)), err);
}

fallible challenge_tell(struct store_tx *tx, struct id id, struct id attempt, struct str problem, int64_t retry_at,
			bool *ret_kept, struct err *err)
{
	uint64_t changed;
	TRY(tx_run(tx, sql[Q_TELL], ARGS(A_ID(id), A_ID(attempt), A_TEXT(problem), A_I64(retry_at)), &changed, err));
	*ret_kept = changed > 0;
	return OK;
}

fallible challenge_end(struct store_tx *tx, struct id id, enum challenge_status to, int64_t at, struct str problem,
		       struct err *err)
{
	if (!challenge_may_move(CHALLENGE_PROCESSING, to))
		FAIL(err, ERR_INTERNAL, "no challenge goes from processing to %s", challenge_status_name(to));
	return tx_move(
		tx, "challenge", sql[Q_STATUS], id, "processing", sql[Q_END],
		ARGS(A_ID(id), A_Z(challenge_status_name(to)), A_I64(to == CHALLENGE_VALID ? at : 0), A_TEXT(problem)),
		err);
}

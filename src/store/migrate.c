/* SPDX-License-Identifier: Apache-2.0
 *
 * migrate.c: numbered migrations, each in one transaction with the note that it was applied; never downward.
 */
#include "store/internal.h"

enum { Q_TABLE, Q_VERSION, Q_NOTE, Q_COUNT };
static const char *const sql[Q_COUNT] = {
	[Q_TABLE] = ("CREATE TABLE IF NOT EXISTS schema_version"
		     " (version BIGINT PRIMARY KEY NOT NULL, applied_at BIGINT NOT NULL, program TEXT NOT NULL)"),
	[Q_VERSION] = "SELECT version, program FROM schema_version ORDER BY version DESC LIMIT 1",
	[Q_NOTE] = "INSERT INTO schema_version (version, applied_at, program) VALUES ($1, $2, $3)",
};
const struct sql_set migrate_sql = { "migrate.c", sql, Q_COUNT };

static fallible version_get(struct store_tx *tx, struct arena *mem, int64_t *ret, struct str *ret_program,
			    struct err *err)
{
	AUTO(rows_done) struct rows r = { 0 };
	bool row;
	TRY(rows_open(&r, tx, sql[Q_VERSION], NULL, 0, err));
	TRY(rows_next(&r, &row, err));
	*ret = row ? rows_i64(&r, 0) : 0;
	*ret_program = row ? rows_text(&r, mem, 1) : STR_NONE;
	return OK;
}

fallible store_migrate(struct db *db, const struct clock *clk, const struct migration *list, size_t count,
		       struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct store_tx tx = { db, clk };
	uint64_t changed;
	TRY(tx_run(&tx, sql[Q_TABLE], NULL, 0, &changed, err));
	int64_t version;
	struct str program;
	TRY(version_get(&tx, &mem, &version, &program, err));
	int64_t newest = count == 0 ? 0 : list[count - 1].version;
	if (version > newest)
		FAIL(err, ERR_CONFIG,
		     "the database has schema %lld, made by cairn %.*s, and this program (cairn " CAIRN_VERSION
		     ") knows %lld: run that version or a newer one",
		     (long long)version, STR_FMT(program), (long long)newest);
	for (size_t i = 0; i < count; i++) {
		if (list[i].version <= version)
			continue;
		struct rc rc = db->ops->migrate(
			db, list[i].script, sql[Q_NOTE],
			ARGS(A_I64(list[i].version), A_I64(clock_now_ms(clk)), A_Z(CAIRN_VERSION)), err);
		if (FAILED(rc)) {
			err_prefix(err, "migration %lld: ", (long long)list[i].version);
			return rc;
		}
	}
	return OK;
}

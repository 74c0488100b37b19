/* SPDX-License-Identifier: Apache-2.0
 *
 * backup_test.c: backups made while the store is in use, and put back.
 */
#include "store/testing.h"

#include <sqlite3.h>
#include <sys/stat.h>

struct files {
	char to[128];
	const char *kept;
	struct arena mem;
};

static struct files files_of(const struct test_store *t, const char *name)
{
	struct files f = { .kept = NULL };
	(void)snprintf(f.to, sizeof f.to, "%s/%s", t->folder, name);
	return f;
}

static fallible add_limit(struct store_tx *tx, void *ctx, struct err *err)
{
	int64_t wait;
	return limit_take(tx, *(struct str *)ctx, T_START, 1, 3600000, 1, &wait, err);
}

static fallible has_limit(struct store_tx *tx, void *ctx, struct err *err)
{
	int64_t wait;
	TRY(limit_take(tx, *(struct str *)ctx, T_START, 1, 3600000, 1, &wait, err));
	if (wait == 0)
		FAIL(err, ERR_NOT_FOUND, "the bucket was empty");
	return OK;
}

static void note(struct test_store *t, const char *bucket)
{
	struct err err = { 0 };
	struct str b = str_z(bucket);
	must(store_tx(t->store, add_limit, &b, &err), &err);
}

static bool noted(struct test_store *t, const char *bucket)
{
	struct str b = str_z(bucket);
	return !FAILED(store_tx(t->store, has_limit, &b, NULL));
}

static void close_store(struct test_store *t)
{
	store_close(t->store);
	t->store = NULL;
}

static void restore(struct test_store *t, struct files *f)
{
	struct err err = { 0 };
	must(store_restore(str_z(t->url), f->to, &t->clock, &f->mem, &f->kept, &err), &err);
}

static void a_backup_of_a_store_in_use_is_put_back(void **state)
{
	struct test_store *t = *state;
	struct err err = { 0 };
	struct stat st;
	struct files f = files_of(t, "backup.db");
	note(t, "before");
	must(store_backup(str_z(t->url), f.to, &err), &err);
	assert_int_equal(stat(f.to, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	note(t, "after");
	close_store(t);
	restore(t, &f);
	assert_non_null(f.kept);
	test_open(t);
	assert_true(noted(t, "before"));
	assert_false(noted(t, "after"));
	close_store(t);

	/* what was replaced is whole, and comes back the same way */
	(void)snprintf(f.to, sizeof f.to, "%s", f.kept);
	t->now += 2000;
	restore(t, &f);
	test_open(t);
	assert_true(noted(t, "after"));
	arena_done(&f.mem);
}

static void the_log_of_a_killed_store_goes_with_the_old_database(void **state)
{
	struct test_store *t = *state;
	struct err err = { 0 };
	struct files f = files_of(t, "backup.db");
	char log[160], copy[800];
	must(store_backup(str_z(t->url), f.to, &err), &err);
	note(t, "in the log");
	(void)snprintf(copy, sizeof copy, "cp %s %s.kept", t->path, t->path);
	assert_int_equal(system(copy), 0);
	(void)snprintf(log, sizeof log, "%s-wal", t->path);
	(void)snprintf(copy, sizeof copy, "cp %s %s.kept", log, log);
	assert_int_equal(system(copy), 0);
	close_store(t); /* empties the log: put it back, as a kill would have left it */
	(void)snprintf(copy, sizeof copy, "cp %s.kept %s && cp %s.kept %s", log, log, t->path, t->path);
	assert_int_equal(system(copy), 0);
	restore(t, &f);
	assert_int_equal(access(log, F_OK), -1);
	test_open(t);
	assert_false(noted(t, "in the log"));
	close_store(t);
	(void)snprintf(f.to, sizeof f.to, "%s", f.kept);
	t->now += 2000;
	restore(t, &f);
	test_open(t);
	assert_true(noted(t, "in the log")); /* what was kept has it */
	arena_done(&f.mem);
}

static void spoil(struct test_store *t, const char *path, const char *sql)
{
	sqlite3 *h = NULL;
	(void)t;
	assert_int_equal(sqlite3_open(path, &h), SQLITE_OK);
	assert_int_equal(sqlite3_exec(h, sql, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(h), SQLITE_OK);
}

static void a_backup_waits_for_no_writer_and_writes_nothing_into_the_database(void **state)
{
	struct test_store *t = *state;
	struct err err = { 0 };
	struct files f = files_of(t, "backup.db");
	struct stat before, after;
	sqlite3 *writer = NULL;
	char log[160];
	note(t, "here");
	(void)snprintf(log, sizeof log, "%s-wal", t->path);
	assert_int_equal(stat(log, &before), 0);
	assert_int_equal(sqlite3_open(t->path, &writer), SQLITE_OK);
	assert_int_equal(sqlite3_exec(writer, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	must(store_backup(str_z(t->url), f.to, &err), &err);
	assert_int_equal(sqlite3_exec(writer, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(writer), SQLITE_OK);
	assert_int_equal(stat(log, &after), 0);
	assert_int_equal(before.st_size, after.st_size);
	close_store(t);
	restore(t, &f);
	test_open(t);
	assert_true(noted(t, "here"));
	arena_done(&f.mem);
}

static int64_t auto_vacuum_of(const char *path)
{
	sqlite3 *h = NULL;
	sqlite3_stmt *s = NULL;
	assert_int_equal(sqlite3_open(path, &h), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(h, "PRAGMA auto_vacuum", -1, &s, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(s), SQLITE_ROW);
	int64_t mode = sqlite3_column_int64(s, 0);
	assert_int_equal(sqlite3_finalize(s), SQLITE_OK);
	assert_int_equal(sqlite3_close(h), SQLITE_OK);
	return mode;
}

static void the_copy_of_an_older_database_can_give_pages_back(void **state)
{
	struct test_store *t = *state;
	struct err err = { 0 };
	struct files f = files_of(t, "backup.db");
	assert_int_equal(auto_vacuum_of(t->path), 2); /* incremental */
	close_store(t);
	spoil(t, t->path, "PRAGMA journal_mode = DELETE; PRAGMA auto_vacuum = NONE; VACUUM; PRAGMA journal_mode = WAL");
	test_open(t);
	assert_int_equal(auto_vacuum_of(t->path), 0);
	note(t, "here");
	must(store_backup(str_z(t->url), f.to, &err), &err);
	assert_int_equal(auto_vacuum_of(f.to), 2);
}

static void a_backup_replaces_no_file(void **state)
{
	struct test_store *t = *state;
	struct err err = { 0 };
	struct files f = files_of(t, "backup.db");
	must(store_backup(str_z(t->url), f.to, &err), &err);
	assert_int_equal(store_backup(str_z(t->url), f.to, &err).kind, ERR_CONFLICT);
	assert_non_null(strstr(err.detail, "never replaces"));
}

static void write_file(const char *path, const void *p, size_t n)
{
	FILE *to = fopen(path, "wb");
	assert_non_null(to);
	assert_int_equal(fwrite(p, 1, n, to), n);
	assert_int_equal(fclose(to), 0);
}

static void refused(struct test_store *t, struct files *f, const char *words)
{
	struct err err = { 0 };
	struct rc rc = store_restore(str_z(t->url), f->to, &t->clock, &f->mem, &f->kept, &err);
	assert_int_equal(rc.kind, ERR_CONFIG);
	if (strstr(err.detail, words) == NULL)
		fail_msg("found \"%s\", wanted \"%s\" in it", err.detail, words);
	test_open(t); /* the database is as it was */
	assert_true(noted(t, "here"));
	close_store(t);
}

static void what_is_no_good_backup_changes_nothing(void **state)
{
	struct test_store *t = *state;
	struct err err = { 0 };
	struct files f = files_of(t, "backup.db");
	note(t, "here");
	must(store_backup(str_z(t->url), f.to, &err), &err);
	spoil(t, f.to, "UPDATE schema_version SET version = version + 100");
	close_store(t);
	refused(t, &f, "has schema 1");
	spoil(t, f.to, "DROP TABLE schema_version");
	refused(t, &f, "none of cairn's");
	write_file(f.to, "not a database at all, but long enough to be looked at", 54);
	refused(t, &f, "is no database");
	write_file(f.to, "", 0);
	refused(t, &f, "none of cairn's");
	arena_done(&f.mem);
}

/* Copied as files, its log beside it: without that, it is an older database that looks whole. */
static void a_copy_of_a_database_in_use_is_refused(void **state)
{
	struct test_store *t = *state;
	struct files f = files_of(t, "copy.db");
	char copy[600];
	spoil(t, t->path, "PRAGMA wal_checkpoint");
	note(t, "here");
	(void)snprintf(copy, sizeof copy, "cp %s %s && cp %s-wal %s-wal", t->path, f.to, t->path, f.to);
	assert_int_equal(system(copy), 0);
	close_store(t);
	refused(t, &f, "copy.db-wal lies beside it");
	arena_done(&f.mem);
}

static void a_damaged_backup_is_refused(void **state)
{
	struct test_store *t = *state;
	struct err err = { 0 };
	struct files f = files_of(t, "backup.db");
	struct stat st;
	note(t, "here");
	must(store_backup(str_z(t->url), f.to, &err), &err);
	close_store(t);
	assert_int_equal(stat(f.to, &st), 0);
	FILE *file = fopen(f.to, "r+b"); /* every second page */
	assert_non_null(file);
	for (long at = 4096; at < st.st_size; at += 8192) {
		assert_int_equal(fseek(file, at, SEEK_SET), 0);
		assert_int_equal(fwrite("\xff\xff\xff\xff\xff\xff\xff\xff", 1, 8, file), 8);
	}
	assert_int_equal(fclose(file), 0);
	refused(t, &f, "is damaged");
	arena_done(&f.mem);
}

static void a_store_in_use_is_not_replaced(void **state)
{
	struct test_store *t = *state;
	struct err err = { 0 };
	struct files f = files_of(t, "backup.db");
	must(store_backup(str_z(t->url), f.to, &err), &err);
	assert_int_equal(store_restore(str_z(t->url), f.to, &t->clock, &f.mem, &f.kept, &err).kind, ERR_CONFIG);
	assert_non_null(strstr(err.detail, "already in use by pid"));
	arena_done(&f.mem);
}

static void a_damaged_database_is_replaced(void **state)
{
	struct test_store *t = *state;
	struct err err = { 0 };
	struct files f = files_of(t, "backup.db");
	note(t, "here");
	must(store_backup(str_z(t->url), f.to, &err), &err);
	close_store(t);
	write_file(t->path, "rubbish", 7);
	restore(t, &f);
	test_open(t);
	assert_true(noted(t, "here"));
	arena_done(&f.mem);
}

int main(void)
{
	if (test_pg() != NULL)
		return 77; /* SQLite alone; skipped */
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_backup_of_a_store_in_use_is_put_back, setup_store, teardown_store),
		cmocka_unit_test_setup_teardown(the_log_of_a_killed_store_goes_with_the_old_database, setup_store,
						teardown_store),
		cmocka_unit_test_setup_teardown(a_backup_waits_for_no_writer_and_writes_nothing_into_the_database,
						setup_store, teardown_store),
		cmocka_unit_test_setup_teardown(the_copy_of_an_older_database_can_give_pages_back, setup_store,
						teardown_store),
		cmocka_unit_test_setup_teardown(a_backup_replaces_no_file, setup_store, teardown_store),
		cmocka_unit_test_setup_teardown(what_is_no_good_backup_changes_nothing, setup_store, teardown_store),
		cmocka_unit_test_setup_teardown(a_copy_of_a_database_in_use_is_refused, setup_store, teardown_store),
		cmocka_unit_test_setup_teardown(a_damaged_backup_is_refused, setup_store, teardown_store),
		cmocka_unit_test_setup_teardown(a_store_in_use_is_not_replaced, setup_store, teardown_store),
		cmocka_unit_test_setup_teardown(a_damaged_database_is_replaced, setup_store, teardown_store),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

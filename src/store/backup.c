/* SPDX-License-Identifier: Apache-2.0
 *
 * backup.c: a copy of the database as it is at one moment, while the CA runs; and such a copy put in the database's place.
 * Whatever a kill leaves behind is the old database or the new one, whole, and the temporary file of the attempt.
 */
#include "store/db.h"
#include "store/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define COPY_STEP (1024 * 1024)
#define TEMPORARY ".incomplete"

static void connection_auto(sqlite3 **h)
{
	(void)sqlite3_close(*h); /* accepts NULL */
}

static fallible path_of_url(struct str url, struct arena *mem, char **ret, struct err *err)
{
	struct str path = url;
	if (!str_skip(&path, STR("sqlite:")) || path.n == 0)
		FAIL(err, ERR_CONFIG,
		     "only a database of SQLite is copied here; PostgreSQL has its own tools "
		     "(pg_basebackup, pg_dump)");
	return str_dupz(mem, path, ret, err);
}

static char *path_with(struct arena *mem, const char *path, const char *tail)
{
	return (char *)str_dupz_raw(mem, str_fmt(mem, "%s%s", path, tail));
}

static fallible fail_errno(const char *what, const char *path, struct err *err)
{
	int e = errno;
	FAIL(err, ERR_IO, "%s %s: %s", what, path, strerror(e));
}

static fallible connect_to(const char *path, int flags, sqlite3 **ret, struct err *err)
{
	int code = sqlite3_open_v2(path, ret, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
	if (code != SQLITE_OK)
		FAIL(err, ERR_IO, "opening %s: %s", path, sqlite3_errstr(code & 0xff));
	(void)sqlite3_busy_timeout(*ret, 5000);
	return OK;
}

/* The one value of a query, as text; empty when there is none. */
static struct str ask(sqlite3 *h, struct arena *mem, const char *sql)
{
	sqlite3_stmt *s = NULL;
	struct str got = STR_NONE;
	if (sqlite3_prepare_v2(h, sql, -1, &s, NULL) == SQLITE_OK && sqlite3_step(s) == SQLITE_ROW)
		got = str_dup(mem, str_z((const char *)sqlite3_column_text(s, 0)));
	(void)sqlite3_finalize(s);
	return got;
}

/* --- durable files --------------------------------------------------------------------------------------------------*/
static fallible sync_path(const char *path, int flags, struct err *err)
{
	AUTO(fd_close) int fd = open(path, flags | O_CLOEXEC);
	if (fd < 0 || fsync(fd) != 0)
		return fail_errno("flushing", path, err);
	return OK;
}

static fallible sync_folder_of(struct arena *mem, const char *path, struct err *err)
{
	return sync_path(dirname(path_with(mem, path, "")), O_RDONLY | O_DIRECTORY, err);
}

/* Private from its first byte; what an earlier attempt left is replaced. */
static fallible file_begin(const char *path, int *ret_fd, struct err *err)
{
	if (unlink(path) != 0 && errno != ENOENT)
		return fail_errno("removing", path, err);
	*ret_fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (*ret_fd < 0)
		return fail_errno("making", path, err);
	return OK;
}

/* --- backup ---------------------------------------------------------------------------------------------------------*/
static fallible copy_database(const char *from, const char *to, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(connection_auto) sqlite3 *h = NULL;
	AUTO(fd_close) int fd = -1;
	sqlite3_stmt *s = NULL;
	TRY(connect_to(from, SQLITE_OPEN_READWRITE, &h, err)); /* the log's index is shared with who runs */
	TRY(file_begin(to, &fd, err));
	/* So that a copy of an older database can give free pages back, which its original cannot. To one that can, it would
	 * be a write. */
	int code = SQLITE_OK;
	if (str_eq(ask(h, &mem, "PRAGMA auto_vacuum"), STR("0")))
		code = sqlite3_exec(h, "PRAGMA auto_vacuum = INCREMENTAL", NULL, NULL, NULL);
	if (code == SQLITE_OK)
		code = sqlite3_prepare_v2(h, "VACUUM INTO $1", -1, &s, NULL);
	if (code == SQLITE_OK)
		code = sqlite3_bind_text(s, 1, to, -1, SQLITE_STATIC);
	if (code == SQLITE_OK)
		code = sqlite3_step(s);
	(void)sqlite3_finalize(s);
	if (code != SQLITE_DONE)
		FAIL(err, ERR_IO, "copying %s to %s: %s", from, to, sqlite3_errmsg(h));
	return OK;
}

fallible store_backup(struct str url, const char *to, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	char *from;
	TRY(path_of_url(url, &mem, &from, err));
	const char *temporary = path_with(&mem, to, TEMPORARY);
	if (access(from, R_OK) != 0)
		return fail_errno("reading the database", from, err);
	if (access(to, F_OK) == 0)
		FAIL(err, ERR_CONFLICT, "%s is there already; a backup never replaces a file: name another one", to);
	struct rc rc = copy_database(from, temporary, err);
	if (!FAILED(rc))
		rc = sync_path(temporary, O_RDONLY, err);
	FP("store.backup_written");
	if (!FAILED(rc) && link(temporary, to) != 0) /* unlike rename, it never replaces */
		rc = fail_errno("naming the backup", to, err);
	(void)unlink(temporary);
	TRY(rc);
	return sync_folder_of(&mem, to, err);
}

/* --- restore --------------------------------------------------------------------------------------------------------*/
static fallible copy_file(const char *from, const char *to, struct err *err)
{
	AUTO(fd_close) int in = open(from, O_RDONLY | O_CLOEXEC);
	AUTO(fd_close) int out = -1;
	AUTO(buf_done) struct buf step = BUF_MAX(COPY_STEP);
	char *p;
	if (in < 0)
		return fail_errno("reading", from, err);
	TRY(file_begin(to, &out, err));
	TRY(buf_room(&step, COPY_STEP, &p, err));
	for (;;) {
		ssize_t n = read(in, p, COPY_STEP);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail_errno("reading", from, err);
		if (n == 0)
			break;
		TRY(fd_write_all(out, str_n(p, (size_t)n), err));
	}
	if (fsync(out) != 0)
		return fail_errno("flushing", to, err);
	return OK;
}

/* Is it a database of ours, whole, and not from a later program than this one? */
static fallible check_database(const char *path, const char *shown, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(connection_auto) sqlite3 *h = NULL;
	uint64_t version;
	TRY(connect_to(path, SQLITE_OPEN_READONLY, &h, err));
	struct str sound = ask(h, &mem, "PRAGMA quick_check(1)");
	if (sound.n == 0 && (sqlite3_errcode(h) & 0xff) == SQLITE_CORRUPT)
		sound = str_dup(&mem, str_z(sqlite3_errmsg(h)));
	if (sound.n == 0)
		FAIL(err, ERR_CONFIG, "%s is no database: %s; wanted a file that `cairn backup` made", shown,
		     sqlite3_errmsg(h));
	if (!str_eq(sound, STR("ok")))
		FAIL(err, ERR_CONFIG, "%s is damaged: %.*s; use another backup", shown, STR_FMT(sound));
	struct str text = ask(h, &mem, "SELECT version FROM schema_version ORDER BY version DESC LIMIT 1");
	if (FAILED(str_u64(text, INT32_MAX, &version, NULL)))
		FAIL(err, ERR_CONFIG,
		     "%s is a database, but none of cairn's: it has no schema_version; wanted a file "
		     "that `cairn backup` made",
		     shown);
	if (version > (uint64_t)store_migrations[store_migration_count - 1].version)
		FAIL(err, ERR_CONFIG,
		     "%s has schema %llu, and this program (cairn " CAIRN_VERSION ") knows %lld: restore it with the "
		     "version that made it, or a newer one",
		     shown, (unsigned long long)version,
		     (long long)store_migrations[store_migration_count - 1].version);
	return OK;
}

/* A copy of a database in use: what was written last is in its log, and the file alone would look whole. */
static fallible check_alone(struct arena *mem, const char *from, struct err *err)
{
	struct stat st;
	const char *log = path_with(mem, from, "-wal");
	if (stat(log, &st) != 0 || st.st_size == 0)
		return OK;
	FAIL(err, ERR_CONFIG,
	     "%s is not whole: %s lies beside it and has what was written last; wanted a file that `cairn backup` "
	     "made, or "
	     "do first: sqlite3 %s 'PRAGMA wal_checkpoint(TRUNCATE)'",
	     from, log, from);
}

/* The log of the database that is replaced must not be applied to the one that comes: what it holds goes into the old file
 * first. A file so damaged that it cannot be opened takes its log with it. */
static fallible settle_log(struct arena *mem, const char *path, const char *kept, struct err *err)
{
	AUTO(connection_auto) sqlite3 *h = NULL;
	int code = SQLITE_ERROR;
	/* A connection that has read nothing does not know of the log: its checkpoint would do nothing, and call that good. */
	if (!FAILED(connect_to(path, SQLITE_OPEN_READWRITE, &h, NULL)))
		code = sqlite3_exec(h, "SELECT count(*) FROM sqlite_schema", NULL, NULL, NULL);
	if (code == SQLITE_OK)
		code = sqlite3_wal_checkpoint_v2(h, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
	(void)sqlite3_close(h);
	h = NULL;
	const char *log = path_with(mem, path, "-wal");
	if (code != SQLITE_OK && access(log, F_OK) == 0 && rename(log, path_with(mem, kept, "-wal")) != 0)
		return fail_errno("keeping", log, err);
	if (unlink(log) != 0 && errno != ENOENT)
		return fail_errno("removing", log, err);
	const char *index = path_with(mem, path, "-shm");
	if (unlink(index) != 0 && errno != ENOENT)
		return fail_errno("removing", index, err);
	return OK;
}

static fallible keep_old(struct arena *mem, const char *path, const char *kept, struct err *err)
{
	if (access(path, F_OK) != 0)
		return OK;
	if (link(path, kept) != 0) /* the old name goes on to lead to it until the very moment of the exchange */
		return fail_errno("keeping the old database as", kept, err);
	return settle_log(mem, path, kept, err);
}

fallible store_restore(struct str url, const char *from, const struct clock *clk, struct arena *mem,
		       const char **ret_kept, struct err *err)
{
	AUTO(fd_close) int lock = -1;
	char *path;
	TRY(path_of_url(url, mem, &path, err));
	const char *temporary = path_with(mem, path, TEMPORARY);
	const char *kept =
		str_dupz_raw(mem, str_fmt(mem, "%s.before-restore-%lld", path, (long long)(clock_now_ms(clk) / 1000)));
	*ret_kept = access(path, F_OK) == 0 ? kept : NULL;
	TRY(sqlite_lock_take(path, &lock, err));
	TRY(check_alone(mem, from, err));
	struct rc rc = copy_file(from, temporary, err);
	if (!FAILED(rc))
		rc = check_database(temporary, from, err);
	if (FAILED(rc)) {
		(void)unlink(temporary);
		return rc;
	}
	FP("store.restore_checked");
	TRY(keep_old(mem, path, kept, err));
	FP("store.restore_kept");
	if (rename(temporary, path) != 0)
		return fail_errno("replacing", path, err);
	FP("store.restore_renamed");
	return sync_folder_of(mem, path, err);
}

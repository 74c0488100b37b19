/* SPDX-License-Identifier: Apache-2.0
 *
 * db_sqlite.c: the SQLite driver. WAL with synchronous=FULL, one connection a thread (NOMUTEX), statements prepared
 * once. Result codes become our kinds here and nowhere else.
 */
#include "store/db.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define STMTS_MAX 256 /* a power of two, well above what the module has */
#define BUSY_MS 5000
/* A truncating checkpoint waits for readers and holds up the writer meanwhile: better try again later. */
#define CHECKPOINT_BUSY_MS 100

struct db_stmt {
	const char *sql; /* NULL: free */
	sqlite3_stmt *h;
	struct sqlite_db *db;
	int at[DB_ARGS_MAX]; /* SQLite numbers "$1" by first appearance: this is where each really is */
	size_t arg_count;
	uint64_t changes;
	bool busy;
};

struct sqlite_db {
	struct db base;
	sqlite3 *h;
	unsigned wal_frames;
	bool has_written; /* since it was last asked */
	struct db_stmt stmts[STMTS_MAX];
};

static struct sqlite_db *self(struct db *db)
{
	return (struct sqlite_db *)db; /* base is the first member */
}

/* --- errors -------------------------------------------------------------------------------------------------------*/
/* Errors that say nothing about what is on the disk: memory, locks, room for the shared-memory file. */
static bool ioerr_is_harmless(int extended, int os_errno)
{
	switch (extended) {
	case SQLITE_IOERR_NOMEM:
	case SQLITE_IOERR_BLOCKED:
	case SQLITE_IOERR_LOCK:
	case SQLITE_IOERR_RDLOCK:
	case SQLITE_IOERR_SHMOPEN:
	case SQLITE_IOERR_SHMSIZE:
	case SQLITE_IOERR_SHMLOCK:
	case SQLITE_IOERR_SHMMAP:
		return true;
	case SQLITE_IOERR_WRITE:
		return os_errno == ENOSPC || os_errno == EDQUOT;
	default:
		return false;
	}
}

static fallible unavailable(int code, int os_errno, struct err *err)
{
	const char *why = code == SQLITE_FULL || os_errno == ENOSPC || os_errno == EDQUOT
				  ? "the disk that holds the database is full"
			  : code == SQLITE_BUSY || code == SQLITE_LOCKED ? "the database is locked by another program"
			  : code == SQLITE_NOMEM                         ? "the database ran out of memory"
			  : code == SQLITE_READONLY                      ? "the database cannot be written"
									 : "the database cannot be used";
	FAIL(err, ERR_UNAVAILABLE, "%s: try again later", why);
}

static fallible fail_sqlite(struct sqlite_db *db, int code, struct err *err)
{
	int extended = sqlite3_extended_errcode(db->h);
	int os_errno = sqlite3_system_errno(db->h);
	if (err != NULL && err->kind == ERR_NONE)
		err_cause(err, "sqlite %d: %s", extended, sqlite3_errmsg(db->h));
	switch (code & 0xff) {
	case SQLITE_CONSTRAINT:
		if (extended == SQLITE_CONSTRAINT_UNIQUE || extended == SQLITE_CONSTRAINT_PRIMARYKEY ||
		    extended == SQLITE_CONSTRAINT_ROWID)
			FAIL(err, ERR_CONFLICT, "such a row exists already");
		if (extended == SQLITE_CONSTRAINT_FOREIGNKEY)
			FAIL(err, ERR_NOT_FOUND, "the row refers to another that is not there, or is referred to");
		FAIL(err, ERR_INTERNAL, "a row breaks a rule of its table");
	case SQLITE_IOERR:
		if (ioerr_is_harmless(extended, os_errno))
			return unavailable(code & 0xff, os_errno, err);
		*db->base.lost = true;
		FAIL(err, ERR_UNAVAILABLE, "the disk that holds the database failed: the program must start again");
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		*db->base.lost = true;
		FAIL(err, ERR_UNAVAILABLE, "the database is damaged: restore it from a backup");
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		db->base.busy++;
		return unavailable(code & 0xff, os_errno, err);
	case SQLITE_FULL:
	case SQLITE_NOMEM:
	case SQLITE_READONLY:
	case SQLITE_CANTOPEN:
	case SQLITE_PROTOCOL:
		return unavailable(code & 0xff, os_errno, err);
	default:
		FAIL(err, ERR_INTERNAL, "the database refused a statement");
	}
}

/* --- statements ---------------------------------------------------------------------------------------------------*/
static fallible stmt_prepare(struct sqlite_db *db, const char *sql, struct db_stmt *s, struct err *err)
{
	int code = sqlite3_prepare_v3(db->h, sql, -1, SQLITE_PREPARE_PERSISTENT, &s->h, NULL);
	if (code != SQLITE_OK)
		return fail_sqlite(db, code, err);
	s->arg_count = (size_t)sqlite3_bind_parameter_count(s->h);
	assert(s->arg_count <= DB_ARGS_MAX);
	for (size_t i = 0; i < s->arg_count; i++) {
		char name[24];
		(void)snprintf(name, sizeof name, "$%zu", i + 1);
		s->at[i] = sqlite3_bind_parameter_index(s->h, name);
		assert(s->at[i] > 0);
	}
	s->db = db;
	s->sql = sql;
	return OK;
}

static fallible stmt_find(struct sqlite_db *db, const char *sql, struct db_stmt **ret, struct err *err)
{
	size_t from = ((uintptr_t)sql >> 3) * 0x9e3779b1u;
	for (size_t i = 0; i < STMTS_MAX; i++) {
		struct db_stmt *s = &db->stmts[(from + i) % STMTS_MAX];
		if (s->sql == NULL)
			TRY(stmt_prepare(db, sql, s, err));
		if (s->sql == sql) {
			*ret = s;
			return OK;
		}
	}
	FAIL(err, ERR_INTERNAL, "more than %d statements", STMTS_MAX);
}

static int bind_one(struct db_stmt *s, int at, const struct db_arg *a)
{
	const char *p = a->s.p == NULL ? "" : a->s.p;
	switch (a->kind) {
	case ARG_NULL:
		return sqlite3_bind_null(s->h, at);
	case ARG_I64:
		return sqlite3_bind_int64(s->h, at, a->i);
	case ARG_TEXT:
		return sqlite3_bind_text64(s->h, at, p, a->s.n, SQLITE_STATIC, SQLITE_UTF8);
	case ARG_BLOB:
		return sqlite3_bind_blob64(s->h, at, p, a->s.n, SQLITE_STATIC);
	}
	return SQLITE_MISUSE;
}

static void sqlite_finish(struct db_stmt *s)
{
	(void)sqlite3_reset(s->h); /* repeats the error of the last step, which its caller has seen */
	(void)sqlite3_clear_bindings(s->h);
	s->busy = false;
}

static fallible sqlite_start(struct db *base, const char *sql, const struct db_arg *args, size_t arg_count,
			     struct db_stmt **ret, struct err *err)
{
	struct sqlite_db *db = self(base);
	struct db_stmt *s;
	TRY(stmt_find(db, sql, &s, err));
	assert(!s->busy);
	assert(s->arg_count == arg_count);
	s->busy = true;
	s->changes = 0;
	for (size_t i = 0; i < arg_count; i++) {
		int code = bind_one(s, s->at[i], &args[i]);
		if (code != SQLITE_OK) {
			struct rc rc = fail_sqlite(db, code, err);
			sqlite_finish(s);
			return rc;
		}
	}
	*ret = s;
	return OK;
}

static fallible sqlite_step(struct db_stmt *s, bool *ret_row, struct err *err)
{
	int code = sqlite3_step(s->h);
	if (code != SQLITE_ROW && code != SQLITE_DONE)
		return fail_sqlite(s->db, code, err);
	if (code == SQLITE_DONE)
		s->changes = sqlite3_stmt_readonly(s->h) ? 0 : (uint64_t)sqlite3_changes(s->db->h);
	*ret_row = code == SQLITE_ROW;
	return OK;
}

static int64_t sqlite_get_i64(struct db_stmt *s, unsigned column)
{
	return sqlite3_column_int64(s->h, (int)column);
}

static struct str sqlite_get_bytes(struct db_stmt *s, unsigned column)
{
	const void *p = sqlite3_column_blob(s->h, (int)column);
	int n = sqlite3_column_bytes(s->h, (int)column);
	return p == NULL || n <= 0 ? STR_NONE : str_n(p, (size_t)n);
}

static uint64_t sqlite_changes(struct db_stmt *s)
{
	return s->changes;
}

/* --- transactions -------------------------------------------------------------------------------------------------*/
static fallible run(struct db *db, const char *sql, struct err *err)
{
	struct db_stmt *s = NULL;
	bool row = false;
	TRY(sqlite_start(db, sql, NULL, 0, &s, err));
	struct rc rc = sqlite_step(s, &row, err);
	sqlite_finish(s);
	return rc;
}

static const char begin_write_sql[] = "BEGIN IMMEDIATE";
static const char begin_exclusive_sql[] = "BEGIN EXCLUSIVE";
static const char begin_read_sql[] = "BEGIN";
static const char commit_sql[] = "COMMIT";
static const char rollback_sql[] = "ROLLBACK";
static const char savepoint_sql[] = "SAVEPOINT one";
static const char release_sql[] = "RELEASE one";
static const char undo_sql[] = "ROLLBACK TO one";

static fallible sqlite_begin_write(struct db *db, struct err *err)
{
	return run(db, begin_write_sql, err);
}

static fallible sqlite_begin_read(struct db *db, struct err *err)
{
	return run(db, begin_read_sql, err);
}

static fallible sqlite_commit(struct db *db, struct err *err)
{
	return run(db, commit_sql, err);
}

static bool sqlite_in_tx(struct db *db)
{
	return sqlite3_get_autocommit(self(db)->h) == 0;
}

static void sqlite_rollback(struct db *db)
{
	/* An error may have rolled back already; a rollback that fails otherwise has marked the database lost. */
	if (sqlite_in_tx(db) && FAILED(run(db, rollback_sql, NULL)) && sqlite_in_tx(db))
		*db->lost = true;
}

static fallible sqlite_savepoint(struct db *db, struct err *err)
{
	return run(db, savepoint_sql, err);
}

static fallible sqlite_release(struct db *db, struct err *err)
{
	return run(db, release_sql, err);
}

static fallible sqlite_undo(struct db *db, struct err *err)
{
	TRY(run(db, undo_sql, err));
	return run(db, release_sql, err);
}

/* --- free pages ---------------------------------------------------------------------------------------------------*/
/* What retention frees is used again by what comes; only when an eighth of the file lies idle does it go back to the disk. A step
 * moves as many pages as a few commits write. */
#define COMPACT_FREE_MIN 1024
#define COMPACT_SHARE 8
static const char free_pages_sql[] = "PRAGMA freelist_count";
static const char all_pages_sql[] = "PRAGMA page_count";
static const char compact_sql[] = "PRAGMA incremental_vacuum(64)";

static fallible ask(struct db *db, const char *sql, int64_t *ret, struct err *err)
{
	struct db_stmt *s = NULL;
	bool row = false;
	TRY(sqlite_start(db, sql, NULL, 0, &s, err));
	struct rc rc = sqlite_step(s, &row, err);
	if (!FAILED(rc))
		*ret = row ? sqlite_get_i64(s, 0) : 0;
	sqlite_finish(s);
	return rc;
}

static bool much_is_free(int64_t free_pages, int64_t all_pages)
{
	return free_pages >= COMPACT_FREE_MIN && free_pages >= all_pages / COMPACT_SHARE;
}

static fallible sqlite_compact(struct db *db, bool *ret_more, struct err *err)
{
	int64_t before, after, all;
	struct db_stmt *s;
	TRY(ask(db, free_pages_sql, &before, err));
	TRY(ask(db, all_pages_sql, &all, err));
	*ret_more = false;
	if (!much_is_free(before, all))
		return OK;
	TRY(sqlite_start(db, compact_sql, NULL, 0, &s, err));
	bool row = true; /* a row for each page that it gives back */
	struct rc rc = OK;
	while (row && !FAILED(rc))
		rc = sqlite_step(s, &row, err);
	sqlite_finish(s);
	TRY(rc);
	TRY(ask(db, free_pages_sql, &after, err));
	/* A database from before auto_vacuum gives nothing back: nobody is to try that for ever. */
	*ret_more = after < before && much_is_free(after, all);
	return OK;
}

/* --- migrations ---------------------------------------------------------------------------------------------------*/
/* Opens the comments that are meant for this driver: their marks become blanks, what is between them stays. */
static void open_comments(char *z)
{
	static const char mark[] = "/*sqlite:";
	for (char *p = strstr(z, mark); p != NULL; p = strstr(p, mark)) {
		memset(p, ' ', sizeof mark - 1);
		char *end = strstr(p, "*/");
		if (end == NULL)
			return;
		memset(end, ' ', 2);
	}
}

static fallible migrate_in_tx(struct db *base, const char *script, const char *note_sql, const struct db_arg *args,
			      size_t arg_count, struct err *err)
{
	struct sqlite_db *db = self(base);
	int code = sqlite3_exec(db->h, script, NULL, NULL, NULL);
	if (code != SQLITE_OK)
		return fail_sqlite(db, code, err);
	struct db_stmt *s = NULL;
	bool row = false;
	TRY(sqlite_start(base, note_sql, args, arg_count, &s, err));
	struct rc rc = sqlite_step(s, &row, err);
	sqlite_finish(s);
	TRY(rc);
	return sqlite_commit(base, err);
}

static fallible sqlite_migrate(struct db *db, struct str script, const char *note_sql, const struct db_arg *args,
			       size_t arg_count, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	char *z;
	TRY(str_dupz(&mem, script, &z, err));
	open_comments(z);
	TRY(run(db, begin_exclusive_sql, err));
	struct rc rc = migrate_in_tx(db, z, note_sql, args, arg_count, err);
	if (FAILED(rc))
		sqlite_rollback(db);
	return rc;
}

/* --- opening ------------------------------------------------------------------------------------------------------*/
static void sqlite_close(struct db *base)
{
	if (base == NULL)
		return;
	struct sqlite_db *db = self(base);
	for (size_t i = 0; i < STMTS_MAX; i++)
		(void)sqlite3_finalize(db->stmts[i].h);
	(void)sqlite3_close(db->h);
	free(db);
}

static const struct db_ops sqlite_ops = {
	.close = sqlite_close,
	.start = sqlite_start,
	.step = sqlite_step,
	.get_i64 = sqlite_get_i64,
	.get_bytes = sqlite_get_bytes,
	.changes = sqlite_changes,
	.finish = sqlite_finish,
	.begin_write = sqlite_begin_write,
	.begin_read = sqlite_begin_read,
	.commit = sqlite_commit,
	.rollback = sqlite_rollback,
	.savepoint = sqlite_savepoint,
	.release = sqlite_release,
	.undo = sqlite_undo,
	.in_tx = sqlite_in_tx,
	.compact = sqlite_compact,
	.migrate = sqlite_migrate,
};

static void db_auto(struct db **db)
{
	sqlite_close(*db);
}

static int on_commit(void *ctx, sqlite3 *h, const char *schema, int frames)
{
	(void)h;
	(void)schema;
	((struct sqlite_db *)ctx)->wal_frames = (unsigned)frames;
	((struct sqlite_db *)ctx)->has_written = true;
	return SQLITE_OK;
}

/* For a database that is new: it counts before the first page is written. On one that has it already it would be a write of
 * its own at every opening: refused on a full disk, and kept waiting by whoever writes. */
static const char pragmas_new[] = "PRAGMA auto_vacuum=INCREMENTAL;";
/* wal_autocheckpoint=0 would take the hook away again, so it stands first and the hook is set afterwards. Debian's SQLite
 * overwrites what is deleted; FAST does so where that writes no page more. */
static const char pragmas_all[] = "PRAGMA secure_delete=FAST; PRAGMA journal_mode=WAL; "
				  "PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=0;"
				  "PRAGMA journal_size_limit=67108864; PRAGMA temp_store=MEMORY;"
				  "PRAGMA foreign_keys=ON; PRAGMA trusted_schema=OFF;";
/* Readers live on the system's cache of the file: a large one in each would cost more memory than all the rest of the
 * program. Not on a mapping of it: SQLite gives that up whenever somebody else has written, and mapping, faulting each page
 * in and telling the other cores of the end costs more than reading the few pages. */
static const char *const pragmas_role[] = {
	[SQLITE_WRITER] = "PRAGMA cache_size=-16384;",
	[SQLITE_READER] = "PRAGMA cache_size=-512; PRAGMA query_only=ON;",
	[SQLITE_CHECKPOINTER] = "PRAGMA cache_size=-256;",
};

static fallible run_pragmas(struct sqlite_db *db, enum sqlite_role role, struct err *err)
{
	int64_t pages = 0;
	if (role == SQLITE_WRITER)
		TRY(ask(&db->base, all_pages_sql, &pages, err));
	int code = SQLITE_OK;
	if (role == SQLITE_WRITER && pages == 0)
		code = sqlite3_exec(db->h, pragmas_new, NULL, NULL, NULL);
	if (code == SQLITE_OK)
		code = sqlite3_exec(db->h, pragmas_all, NULL, NULL, NULL);
	if (code == SQLITE_OK)
		code = sqlite3_exec(db->h, pragmas_role[role], NULL, NULL, NULL);
	return code == SQLITE_OK ? OK : fail_sqlite(db, code, err);
}

fallible sqlite_open(const char *path, enum sqlite_role role, _Atomic bool *lost, struct db **ret, struct err *err)
{
	/* Its memory counters take one lock for all threads at every allocation. Refused, rightly, when SQLite runs
	 * already. */
	(void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
	struct sqlite_db *made = (struct sqlite_db *)mem_alloc(sizeof *made);
	made->base.ops = &sqlite_ops;
	made->base.lost = lost;
	AUTO(db_auto) struct db *db = &made->base;
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE | SQLITE_OPEN_EXRESCODE;
	int code = sqlite3_open_v2(path, &made->h, flags, NULL);
	if (code != SQLITE_OK) {
		err_cause(err, "%s", made->h == NULL ? "out of memory" : sqlite3_errmsg(made->h));
		FAIL(err, ERR_CONFIG, "opening the database %s failed: %s", path, sqlite3_errstr(code & 0xff));
	}
	/* Otherwise a statement that compares a column of a partial index's condition with a parameter is parsed and planned
	 * again whenever another value is bound: at every use. */
	(void)sqlite3_db_config(made->h, SQLITE_DBCONFIG_ENABLE_QPSG, 1, NULL);
	(void)sqlite3_busy_timeout(made->h, role == SQLITE_CHECKPOINTER ? CHECKPOINT_BUSY_MS : BUSY_MS);
	struct rc rc = run_pragmas(made, role, err);
	if (FAILED(rc)) {
		err_prefix(err, "%s: ", path);
		return rc;
	}
	(void)sqlite3_wal_hook(made->h, on_commit, made);
	*ret = TAKE(db);
	return OK;
}

uint64_t sqlite_replans(const struct db *base)
{
	const struct sqlite_db *db = (const struct sqlite_db *)base;
	uint64_t n = 0;
	for (size_t i = 0; i < STMTS_MAX; i++)
		if (db->stmts[i].h != NULL)
			n += (uint64_t)sqlite3_stmt_status(db->stmts[i].h, SQLITE_STMTSTATUS_REPREPARE, 0);
	return n;
}

unsigned sqlite_wal_frames(const struct db *db)
{
	return ((const struct sqlite_db *)db)->wal_frames;
}

bool sqlite_has_written(struct db *base)
{
	struct sqlite_db *db = self(base);
	bool has = db->has_written;
	db->has_written = false;
	return has;
}

fallible sqlite_checkpoint(struct db *base, bool truncate, struct err *err)
{
	struct sqlite_db *db = self(base);
	int mode = truncate ? SQLITE_CHECKPOINT_TRUNCATE : SQLITE_CHECKPOINT_PASSIVE;
	int code = sqlite3_wal_checkpoint_v2(db->h, NULL, mode, NULL, NULL);
	if (code == SQLITE_OK || (code & 0xff) == SQLITE_BUSY || (code & 0xff) == SQLITE_LOCKED)
		return OK;
	return fail_sqlite(db, code, err);
}

/* --- files --------------------------------------------------------------------------------------------------------*/
static fallible fail_file(struct err *err, const char *what, const char *path)
{
	int e = errno;
	FAIL(err, ERR_CONFIG, "%s %s: %s", what, path, strerror(e));
}

fallible sqlite_lock_take(const char *path, int *ret_fd, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	const char *lock = str_dupz_raw(&mem, str_fmt(&mem, "%s.lock", path));
	AUTO(fd_close) int fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return fail_file(err, "opening the lock file", lock);
	if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		char pid[16] = "";
		ssize_t n = errno == EWOULDBLOCK ? pread(fd, pid, sizeof pid - 1, 0) : -1;
		if (n < 0)
			return fail_file(err, "locking", lock);
		pid[strcspn(pid, "\n")] = '\0';
		FAIL(err, ERR_CONFIG, "the database %s is already in use by pid %s", path, pid[0] == '\0' ? "?" : pid);
	}
	if (ftruncate(fd, 0) != 0)
		return fail_file(err, "truncating", lock);
	struct str pid = str_fmt(&mem, "%ld\n", (long)getpid());
	TRY(fd_write_all(fd, pid, err));
	*ret_fd = fd;
	fd = -1;
	return OK;
}

fallible sqlite_file_make(const char *path, struct err *err)
{
	AUTO(fd_close) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return fail_file(err, "opening the database", path);
	struct stat st;
	if (fstat(fd, &st) != 0)
		return fail_file(err, "looking at the database", path);
	if ((st.st_mode & 077) != 0 && fchmod(fd, 0600) != 0)
		return fail_file(err, "closing to others the database", path);
	if (st.st_size > 0)
		return OK;
	/* New: its name must be as durable as what will be in it. */
	AUTO(arena_done) struct arena mem = { 0 };
	const char *folder = dirname(str_dupz_raw(&mem, str_z(path)));
	AUTO(fd_close) int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || fsync(dir) != 0)
		return fail_file(err, "syncing the folder", folder);
	return OK;
}

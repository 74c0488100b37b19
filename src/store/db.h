/* SPDX-License-Identifier: Apache-2.0
 *
 * db.h: what the typed calls need of a database, as one ops table a driver. A connection is used by one thread at a
 * time. SQL texts are string constants: a driver prepares each once a connection and finds it again by its address.
 * Private to store.
 */
#ifndef CAIRN_STORE_DB_H
#define CAIRN_STORE_DB_H

#include "base/base.h"

#define DB_ARGS_MAX 24

enum db_arg_kind { ARG_NULL, ARG_I64, ARG_TEXT, ARG_BLOB };
struct db_arg { /* borrowed until the statement is finished */
	enum db_arg_kind kind;
	int64_t i;
	struct str s;
};

struct db_stmt;
struct db {
	const struct db_ops *ops;
	/* An I/O error left it unknown what is on the disk (THREATS F19): nothing may be believed until the file has
	 * been opened and recovered again. One flag for all connections of a store. */
	_Atomic bool *lost;
	_Atomic uint64_t busy; /* how often another program held the lock for too long */
};

struct db_ops {
	void (*close)(struct db *db);
	/* Begins a statement; it must be finished before its text is started again. */
	fallible (*start)(struct db *db, const char *sql, const struct db_arg *args, size_t arg_count,
			  struct db_stmt **ret, struct err *err);
	/* A statement of which the caller wants nothing but that it is done: it goes with the next one, or the commit. changes:
	 * it has to change a row; when it does not, or is refused, the transaction fails and is run again without any of
	 * this. False: not now; start it. NULL: never. */
	bool (*put_off)(struct db *db, const char *sql, const struct db_arg *args, size_t arg_count, bool changes);
	fallible (*step)(struct db_stmt *s, bool *ret_row, struct err *err);
	int64_t (*get_i64)(struct db_stmt *s, unsigned column);
	struct str (*get_bytes)(struct db_stmt *s,
				unsigned column); /* text or blob, until the next step; NULL is empty */
	uint64_t (*changes)(struct db_stmt *s);   /* rows that it changed, after the last step */
	void (*finish)(struct db_stmt *s);

	fallible (*begin_write)(struct db *db, struct err *err);
	fallible (*begin_read)(struct db *db, struct err *err);
	fallible (*commit)(struct db *db, struct err *err);
	void (*rollback)(struct db *db);
	fallible (*savepoint)(struct db *db, struct err *err);
	fallible (*release)(struct db *db, struct err *err);
	fallible (*undo)(struct db *db, struct err *err); /* back to the savepoint, which is gone then */
	bool (*in_tx)(struct db *db);                     /* false when an error has ended the whole transaction */

	/* Gives a step's worth of free pages back to the disk when they are many; NULL: the database does so itself. */
	fallible (*compact)(struct db *db, bool *ret_more, struct err *err);

	/* A migration: its own comments opened, under the strongest lock, with its version, as one transaction. */
	fallible (*migrate)(struct db *db, struct str script, const char *note_sql, const struct db_arg *args,
			    size_t arg_count, struct err *err);
};

/* SQLite. One process a file: the lock is beside it, in path.lock. */
enum sqlite_role { SQLITE_WRITER, SQLITE_READER, SQLITE_CHECKPOINTER };
fallible sqlite_lock_take(const char *path, int *ret_fd, struct err *err);
fallible sqlite_file_make(const char *path, struct err *err); /* mode 0600, folder synced */
fallible sqlite_open(const char *path, enum sqlite_role role, _Atomic bool *lost, struct db **ret, struct err *err);
/* Frames in the write-ahead log after the last commit of this connection. */
unsigned sqlite_wal_frames(const struct db *db);
/* Has anything of this connection reached the log since this was last asked? */
bool sqlite_has_written(struct db *db);
/* How often a statement of this connection had to be planned again. */
uint64_t sqlite_replans(const struct db *db);
/* Copies the log into the file as far as readers allow; truncate also empties the log. Busy is fine and tried again. */
fallible sqlite_checkpoint(struct db *db, bool truncate, struct err *err);

#endif

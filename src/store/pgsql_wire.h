/* SPDX-License-Identifier: Apache-2.0
 *
 * pgsql_wire.h: one connection of the PostgreSQL driver: what is sent in libpq's pipeline mode, what the server owes for it,
 * and what its answers mean. Private to the driver.
 */
#ifndef CAIRN_STORE_PGSQL_WIRE_H
#define CAIRN_STORE_PGSQL_WIRE_H

#include "store/pgsql.h"

struct pg_result; /* libpq's PGresult */

#define PGSQL_STMTS_MAX 256 /* a power of two, well above what the module has */
#define PGSQL_OWED_MAX 160

struct db_stmt {
	const char *sql; /* NULL: free */
	struct pgsql_db *db;
	struct pg_result *result;
	int row; /* -1: before the first */
	bool prepared, busy;
};

/* What was sent, in the order in which the server will answer. */
enum owed_what {
	OWED_BEGIN,
	OWED_MARK,
	OWED_PREPARE,
	OWED_ROWS,
	OWED_ANY,    /* a statement that was put off, whatever it changes */
	OWED_CHANGE, /* one that has to change a row */
	OWED_COMMIT,
	OWED_OTHER,
	OWED_SYNC
};
struct owed {
	enum owed_what what;
	struct db_stmt *stmt;
};

enum tx_kind { TX_NONE, TX_WRITE, TX_READ, TX_MIGRATE, TX_ASK };

struct pgsql_db {
	struct db base;
	const struct pgsql_target *target;
	struct pg_conn *h; /* NULL: not connected */
	uint64_t timeline; /* of its server, when it was connected */
	enum tx_kind tx;
	bool begun;                     /* BEGIN was sent, and no COMMIT */
	unsigned looks, looks_expected; /* statements of a TX_READ */
	bool eager;                     /* statements may be put off */
	enum pgsql_fault fault;
	struct err why;           /* with fault */
	bool fault_is_of_another; /* of a statement that was sent before the one that somebody waits for */
	struct pgsql_mark mark;
	struct owed owed[PGSQL_OWED_MAX];
	size_t owed_count;
	enum { MEMBER_BARE, MEMBER_CLEAN, MEMBER_WROTE } member; /* of a group; BARE: with no savepoint of its own */
	struct db_stmt stmts[PGSQL_STMTS_MAX];
};

/* The first fault of a transaction is the one that counts: those after it follow from it. */
void wire_fault(struct pgsql_db *db, enum pgsql_fault fault, enum err_kind kind, const char *says, const char *cause);
void wire_fault_lost(struct pgsql_db *db);
void wire_fault_of(struct pgsql_db *db, const struct pg_result *r);
fallible wire_fail(const struct pgsql_db *db, struct err *err); /* with the fault */
/* To who asked for a statement's answer. A fault of another statement, perhaps of another member of the group, is no answer
 * of his: a row that somebody else did not find is none that he must believe not to be there. */
fallible wire_fail_stmt(const struct pgsql_db *db, struct err *err);

/* The statement of this text, by its address. */
fallible wire_find(struct pgsql_db *db, const char *sql, struct db_stmt **ret, struct err *err);
/* Each is only sent, or will be with the next sync; false: the connection is lost, which is a fault then. */
bool wire_send_begin(struct pgsql_db *db);
bool wire_send_text(struct pgsql_db *db, const char *sql, enum owed_what what);
bool wire_send_known(struct pgsql_db *db, const char *sql, enum owed_what what); /* prepared, as it comes often */
bool wire_send_stmt(struct pgsql_db *db, struct db_stmt *s, const struct db_arg *args, size_t count,
		    enum owed_what what);
bool wire_send_sync(struct pgsql_db *db);
/* Reads all that is owed, up to the last sync. */
void wire_collect(struct pgsql_db *db);

#endif

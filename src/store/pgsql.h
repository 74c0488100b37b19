/* SPDX-License-Identifier: Apache-2.0
 *
 * pgsql.h: the PostgreSQL driver as the pool sees it: how a server is reached, connections that are opened when they are
 * needed, and what became of a transaction. Private to store.
 */
#ifndef CAIRN_STORE_PGSQL_H
#define CAIRN_STORE_PGSQL_H

#include "store/db.h"

struct pg_conn; /* libpq's PGconn */

/* How a server is reached. The parameters are resolved once (names to addresses, the password's file read), so that a
 * connection can be made again from inside a sandbox. They hold the password: nothing here is ever printed. */
struct pgsql_target {
	char **keywords, **values; /* as PQconnectdbParams takes them; wiped when done */
	bool pooler;  /* another server connection may serve each transaction: nothing is kept in a session */
	bool standby; /* reads only, of a server that may lag */
};
/* password_file: its first line is the password; NULL: the URL's, PGPASSFILE's or none. ERR_UNAVAILABLE: a host's name
 * has no address. */
fallible pgsql_target_make(struct str url, const char *password_file, bool pooler, bool standby,
			   struct pgsql_target *ret, struct err *err);
void pgsql_target_done(struct pgsql_target *t);

/* What libpq found for itself with the first connection stays: from then on it opens no file. */
void pgsql_target_settle(struct pgsql_target *t, const struct pg_conn *h);
/* The same of a server that is away: what does not need an answer. */
void pgsql_target_settle_away(struct pgsql_target *t);
struct store_reach;
void pgsql_target_reach(const struct pgsql_target *t, struct store_reach *add);
fallible pgsql_connect(const struct pgsql_target *t, struct pg_conn **ret, struct err *err);
/* Waits until a result can be had without blocking; false: the connection is lost, or nothing came for too long. */
bool pgsql_wait(struct pg_conn *h);
/* A server's text on one line. */
const char *pgsql_text(const char *from, char *to, size_t room);

/* What ended a transaction before its time. */
enum pgsql_fault {
	PGSQL_FINE,
	PGSQL_REFUSED, /* a statement failed, and would again */
	PGSQL_AGAIN,   /* another transaction was in the way: run it again */
	PGSQL_DOUBLE,  /* a row exists already: perhaps only since a moment ago */
	PGSQL_LOST,    /* the connection ended before the commit was asked for: nothing was changed */
	PGSQL_UNKNOWN, /* the connection ended while the commit was under way */
};

struct db *pgsql_new(const struct pgsql_target *t);
/* Connects when there is no connection. */
fallible pgsql_ready(struct db *db, struct err *err);
void pgsql_drop(struct db *db);                          /* ends the connection; the next pgsql_ready makes one */
const struct pg_conn *pgsql_handle(const struct db *db); /* NULL: not connected */
enum pgsql_fault pgsql_fault(const struct db *db);
/* Of a transaction whose commit's outcome is not known, on another connection. *ret_known false: it is still under way,
 * or this is not the server that could tell (after a failover or a crash). */
enum pgsql_outcome { PGSQL_COMMITTED, PGSQL_ABORTED, PGSQL_IN_PROGRESS, PGSQL_CANNOT_TELL };
struct pgsql_mark {
	char xid[24];  /* the transaction's number, with its epoch */
	char life[64]; /* of the server: another one after a crash, and after a standby has taken over */
};
const struct pgsql_mark *pgsql_mark(const struct db *db);
fallible pgsql_outcome(struct db *db, const struct pgsql_mark *mark, enum pgsql_outcome *ret, struct err *err);
/* A transaction that waits for other programs' migrations, and sees what they did. */
fallible pgsql_begin_migration(struct db *db, struct err *err);

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * pgsql.h: the PostgreSQL driver as the pool sees it: how a server is reached, connections that are opened when they are
 * needed, and what became of a transaction. Private to store.
 */
#ifndef CAIRN_STORE_PGSQL_H
#define CAIRN_STORE_PGSQL_H

#include "store/db.h"

struct pg_conn; /* libpq's PGconn */
struct store_reach;
struct store_events;

#define PGSQL_PARAMS_MAX 64
#define PGSQL_HOSTS_MAX 32

/* --- pgsql_conn.c: what a URL says --------------------------------------------------------------------------------*/
struct pgsql_servers;

/* How servers are reached. The parameters are resolved once (names to addresses, the password's file read), so that a
 * connection can be made again from inside a sandbox. They hold the password: nothing here is ever printed. */
struct pgsql_target {
	char **keywords, **values; /* as PQconnectdbParams takes them; wiped when done */
	bool pooler;            /* another server connection may serve each transaction: nothing is kept in a session */
	bool standby;           /* reads only, of a server that may lag */
	struct err passed_over; /* a host without an address, among others that have one */
	struct pgsql_servers *servers; /* what is known of them */
};
/* password_file: its first line is the password; NULL: the URL's, PGPASSFILE's or none. ERR_UNAVAILABLE: a host's name
 * has no address. */
fallible pgsql_target_make(struct str url, const char *password_file, bool pooler, bool standby,
			   struct pgsql_target *ret, struct err *err);
void pgsql_target_done(struct pgsql_target *t);
const char *pgsql_param(const struct pgsql_target *t, const char *keyword); /* "" when there is none */

/* A URL may list several hosts; one with several addresses counts as often. */
struct pgsql_host {
	struct str name, address, port;
};
size_t pgsql_host_count(const struct pgsql_target *t);
struct pgsql_host pgsql_host(const struct pgsql_target *t, size_t n);

/* What can be told of a URL without a server: ERR_CONFIG. */
fallible pgsql_url_check(struct str url, bool standby, struct err *err);
/* Parameters that name a file which is read for each connection; and those files, of a URL and our surroundings, in mem. */
#define PGSQL_FILES 4
extern const char *const pgsql_files[PGSQL_FILES];
fallible pgsql_url_files(struct str url, struct arena *mem, const char *ret[PGSQL_FILES], size_t *ret_count,
			 struct err *err);

/* What libpq found for itself with the first connection stays: from then on it opens no file. */
void pgsql_target_settle(struct pgsql_target *t, const struct pg_conn *h);
/* The same of a server that is away: what does not need an answer. */
void pgsql_target_settle_away(struct pgsql_target *t);
void pgsql_target_reach(const struct pgsql_target *t, struct store_reach *add);
/* A server's text on one line. */
const char *pgsql_text(const char *from, char *to, size_t room);

/* --- pgsql_server.c: connections, and which server they go to -----------------------------------------------------*/
/* A server's life: within it the number of a transaction means one transaction. The timeline, and the time between two
 * crashes, as a server that comes back from one gives numbers again which it had not written down. It throws its
 * statistics away then, and says when. */
#define PGSQL_LIFE_SQL                                                                                      \
	"CASE WHEN pg_is_in_recovery() THEN '' ELSE substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) ||" \
	" (SELECT extract(epoch FROM stats_reset)::text FROM pg_stat_bgwriter) END"
#define PGSQL_LIFE_MAX 64

struct pgsql_servers *pgsql_servers_new(void);
void pgsql_servers_free(struct pgsql_servers *s);
/* What is told of the servers from now on; borrowed. NULL: nothing. */
void pgsql_servers_tell(struct pgsql_servers *s, const struct store_events *to);
/* A connection, out of pipeline mode, to the server that is right: of the database that was in use before, and never one
 * that another has taken over from. life: of that server, empty of one that follows; whose timeline is 0. */
fallible pgsql_connect(const struct pgsql_target *t, struct pg_conn **ret, char life[PGSQL_LIFE_MAX],
		       uint64_t *ret_timeline, struct err *err);
/* That of the server in use, without waiting for a search: it only grows, while the system identifier stays. */
uint64_t pgsql_servers_timeline(const struct pgsql_servers *s);
/* Waits until a result can be had without blocking; false: the connection is lost, or nothing came for too long. */
bool pgsql_wait(struct pg_conn *h, int64_t most_ms);
/* Longer than the server's own statement_timeout: what is over that is a server that hangs, or a network that swallows. */
#define PGSQL_WAIT_MS 20000

/* --- db_pgsql.c: transactions -------------------------------------------------------------------------------------*/
/* What ended a transaction before its time. */
enum pgsql_fault {
	PGSQL_FINE,
	PGSQL_REFUSED, /* a statement failed, and would again */
	PGSQL_BROKEN,  /* the server cannot, whoever asks: its time, memory, disk or tables */
	PGSQL_AGAIN,   /* another transaction was in the way: run it again */
	PGSQL_UNMET, /* a statement that was put off changed nothing, or not what was wanted: run it again, one by one */
	PGSQL_SNAPSHOT, /* a read had more statements than were expected: run it again, expecting nothing */
	PGSQL_DOUBLE,   /* a row exists already: perhaps only since a moment ago */
	PGSQL_LOST,     /* the connection ended before the commit was asked for: nothing was changed */
	PGSQL_UNKNOWN,  /* the connection ended while the commit was under way */
};

struct db *pgsql_new(const struct pgsql_target *t);
/* A reading transaction that ends with this many statements, which spares the server a message (and BEGIN, when it is one);
 * 0: nobody knows. */
fallible pgsql_begin_look(struct db *db, unsigned expected, struct err *err);
unsigned pgsql_looks(const struct db *db); /* how many it had */
/* A writing transaction of one or several members, one after the other. eager: a statement may be put off. */
fallible pgsql_begin_group(struct db *db, bool eager, struct err *err);
/* alone: when it fails, the whole transaction will be rolled back. */
void pgsql_member_begin(struct db *db, bool alone);
/* Keeps or undoes what it did. A failure is the transaction's; FINE: that it did not succeed is its own. */
fallible pgsql_member_end(struct db *db, bool keep, struct err *err);
/* Connects when there is no connection. */
fallible pgsql_ready(struct db *db, struct err *err);
void pgsql_drop(struct db *db);                          /* ends the connection; the next pgsql_ready makes one */
const struct pg_conn *pgsql_handle(const struct db *db); /* NULL: not connected */
enum pgsql_fault pgsql_fault(const struct db *db);
/* Of a transaction whose commit's outcome is not known, on another connection. CANNOT_TELL: this is not the server that
 * could (after a failover or a crash). COMMITTED: the synchronous standbys have it, too; until they do, this waits as long
 * as for any answer, and then fails. mark is not db's own. */
enum pgsql_outcome { PGSQL_COMMITTED, PGSQL_ABORTED, PGSQL_IN_PROGRESS, PGSQL_CANNOT_TELL };
struct pgsql_mark {
	char xid[24];              /* the transaction's number, with its epoch */
	char life[PGSQL_LIFE_MAX]; /* of the server: another one after a crash, and after a standby has taken over */
};
const struct pgsql_mark *pgsql_mark(const struct db *db);
fallible pgsql_outcome(struct db *db, const struct pgsql_mark *mark, enum pgsql_outcome *ret, struct err *err);
/* A transaction that waits for other programs' migrations, and sees what they did. */
fallible pgsql_begin_migration(struct db *db, struct err *err);

#endif

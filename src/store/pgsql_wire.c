/* SPDX-License-Identifier: Apache-2.0
 *
 * pgsql_wire.c: statements to the server and its answers. BEGIN goes with a transaction's first statement, and what nobody
 * waits for is only sent. Statements are prepared once a connection, and values are binary. SQLSTATEs become our kinds
 * here and nowhere else.
 */
#include "store/pgsql_wire.h"

#include <assert.h>
#include <endian.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>

/* PostgreSQL's numbers of types: catalog/pg_type.dat, fixed for good. */
enum { OID_NONE = 0, OID_BYTEA = 17, OID_INT8 = 20, OID_TEXT = 25 };

/* --- errors -------------------------------------------------------------------------------------------------------*/
/* By SQLSTATE, or its class. PostgreSQL's manual, appendix A. */
static const struct {
	const char *state;
	enum pgsql_fault fault;
	enum err_kind kind;
	const char *says;
} states[] = {
	{ "40001", PGSQL_AGAIN, ERR_UNAVAILABLE, "too many changes of the same thing at once: try again later" },
	{ "40P01", PGSQL_AGAIN, ERR_UNAVAILABLE, "too many changes of the same thing at once: try again later" },
	{ "55P03", PGSQL_AGAIN, ERR_UNAVAILABLE, "the database is locked by another program: try again later" },
	{ "23505", PGSQL_DOUBLE, ERR_CONFLICT, "such a row exists already" },
	{ "23503", PGSQL_REFUSED, ERR_NOT_FOUND, "the row refers to another that is not there, or is referred to" },
	{ "23", PGSQL_REFUSED, ERR_INTERNAL, "a row breaks a rule of its table" },
	{ "57014", PGSQL_BROKEN, ERR_UNAVAILABLE, "the database took too long: try again later" },
	{ "57", PGSQL_LOST, ERR_UNAVAILABLE, "the database is being stopped or started: try again later" },
	{ "08", PGSQL_LOST, ERR_UNAVAILABLE, "the connection to the database was lost: try again later" },
	{ "25006", PGSQL_LOST, ERR_UNAVAILABLE, "the database takes no changes at the moment: try again later" },
	{ "25P03", PGSQL_LOST, ERR_UNAVAILABLE, "the database gave up a transaction that waited: try again later" },
	{ "26000", PGSQL_BROKEN, ERR_UNAVAILABLE, "a pooler is between us and the database: set store.pooler" },
	{ "42P05", PGSQL_BROKEN, ERR_UNAVAILABLE, "a pooler is between us and the database: set store.pooler" },
	{ "53100", PGSQL_BROKEN, ERR_UNAVAILABLE, "the disk that holds the database is full: try again later" },
	{ "53200", PGSQL_BROKEN, ERR_UNAVAILABLE, "the database ran out of memory: try again later" },
	{ "53", PGSQL_LOST, ERR_UNAVAILABLE, "the database has no room for us: try again later" },
	{ "58", PGSQL_BROKEN, ERR_UNAVAILABLE, "the disk that holds the database failed: try again later" },
	{ "XX", PGSQL_BROKEN, ERR_UNAVAILABLE, "the database is damaged or broken: its own log says how" },
	{ "", PGSQL_REFUSED, ERR_INTERNAL, "the database refused a statement" },
};

void wire_fault(struct pgsql_db *db, enum pgsql_fault fault, enum err_kind kind, const char *says, const char *cause)
{
	if (db->fault != PGSQL_FINE)
		return;
	db->fault = fault;
	db->why = (struct err){ .kind = ERR_NONE };
	char text[160];
	err_cause(&db->why, "%s", pgsql_text(cause, text, sizeof text));
	err_set(&db->why, kind, "%s", says);
}

void wire_fault_lost(struct pgsql_db *db)
{
	wire_fault(db, PGSQL_LOST, ERR_UNAVAILABLE, "the connection to the database was lost: try again later",
		   PQerrorMessage(db->h));
	/* Whatever it said before: without a connection nothing can be undone or asked, and the server has undone it. */
	if (db->fault != PGSQL_UNKNOWN)
		db->fault = PGSQL_LOST;
}

void wire_fault_of(struct pgsql_db *db, const PGresult *r)
{
	const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
	if (state == NULL) {
		wire_fault_lost(db);
		return;
	}
	size_t i = 0;
	while (strncmp(state, states[i].state, strlen(states[i].state)) != 0)
		i++; /* the last one fits all */
	/* Writing in a transaction that reads is our mistake; in another one, the server has become a standby. */
	if (db->tx == TX_READ && strcmp(state, "25006") == 0)
		i = ARRAY_LEN(states) - 1;
	char cause[160];
	(void)snprintf(cause, sizeof cause, "postgresql %s: %s", state, PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY));
	wire_fault(db, states[i].fault, states[i].kind, states[i].says, cause);
}

/* BEGIN is right, and so it is the server that is not: a standby that a pooler has turned to knows no SERIALIZABLE, and says
 * 0A000. Nothing was changed, and another connection may reach another server. */
static void fault_of_begin(struct pgsql_db *db, const PGresult *r)
{
	bool is_first = db->fault == PGSQL_FINE;
	wire_fault_of(db, r);
	if (!is_first || db->fault == PGSQL_LOST)
		return;
	db->fault = PGSQL_LOST;
	err_set(&db->why, ERR_UNAVAILABLE, "the database takes no changes at the moment: try again later");
}

fallible wire_fail(const struct pgsql_db *db, struct err *err)
{
	struct rc rc = { db->why.kind };
	if (err != NULL)
		*err = db->why;
	return rc;
}

fallible wire_fail_stmt(const struct pgsql_db *db, struct err *err)
{
	if (!db->fault_is_of_another)
		return wire_fail(db, err);
	if (err != NULL) {
		*err = (struct err){ .kind = ERR_NONE };
		err_cause(err, "%s", db->why.cause);
	}
	FAIL(err, ERR_UNAVAILABLE, "a statement that was sent before this one failed: try again later");
}

/* --- sending ------------------------------------------------------------------------------------------------------*/
static bool owe(struct pgsql_db *db, int sent, enum owed_what what, struct db_stmt *s)
{
	assert(db->owed_count < PGSQL_OWED_MAX);
	if (sent != 1) {
		wire_fault_lost(db);
		return false;
	}
	db->owed[db->owed_count++] = (struct owed){ what, s };
	return true;
}

bool wire_send_text(struct pgsql_db *db, const char *sql, enum owed_what what)
{
	return owe(db, PQsendQueryParams(db->h, sql, 0, NULL, NULL, NULL, NULL, 0), what, NULL);
}

bool wire_send_sync(struct pgsql_db *db)
{
	return owe(db, PQpipelineSync(db->h), OWED_SYNC, NULL);
}

/* With a pooler there is no session to keep settings in. synchronous_commit: nothing is acknowledged that is not durable,
 * whatever the server's file says. */
static const char settings_sql[] =
	"SELECT set_config('statement_timeout', '15s', true), set_config('lock_timeout', '5s', true),"
	" set_config('idle_in_transaction_session_timeout', '10s', true), set_config('enable_seqscan', 'off', true),"
	" set_config('synchronous_commit', CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on'"
	" ELSE current_setting('synchronous_commit') END, true)";
/* One writer at a time in the whole database, as SQLite has it: by this lock, taken before the snapshot, so that whoever
 * waited for it sees what those before him did. Without it transactions that are SERIALIZABLE collide on the newest page of
 * each index and are run again; with it only those who do not take it are in the way (an operator, an older program). It
 * hinders no reader, and no pg_dump. */
static const char lock_sql[] = "LOCK TABLE schema_version IN EXCLUSIVE MODE";
static const char mark_sql[] = "SELECT pg_current_xact_id()::text";
/* With a pooler the settings come behind the lock: they are a SELECT, which takes the snapshot. What limits the wait for the
 * lock is set by these, which take none. */
static const char *const lock_limits_sql[] = { "SET LOCAL statement_timeout = '15s'", "SET LOCAL lock_timeout = '5s'" };
static const char *const begin_sql[] = {
	[TX_NONE] = "",
	[TX_WRITE] = "BEGIN ISOLATION LEVEL SERIALIZABLE",
	[TX_READ] = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
	[TX_MIGRATE] = "BEGIN ISOLATION LEVEL READ COMMITTED",
	[TX_ASK] = "BEGIN ISOLATION LEVEL READ COMMITTED",
};

static bool send_lock(struct pgsql_db *db)
{
	for (size_t i = 0; db->target->pooler && i < ARRAY_LEN(lock_limits_sql); i++) {
		if (!wire_send_known(db, lock_limits_sql[i], OWED_OTHER))
			return false;
	}
	return wire_send_known(db, lock_sql, OWED_OTHER);
}

/* The number of a transaction that changes something comes with its first answer: with it, a commit whose answer was
 * lost can be asked for. */
bool wire_send_begin(struct pgsql_db *db)
{
	db->begun = true;
	db->mark.xid[0] = '\0';
	return wire_send_known(db, begin_sql[db->tx], OWED_BEGIN) && (db->tx != TX_WRITE || send_lock(db)) &&
	       (!db->target->pooler || db->tx == TX_MIGRATE || wire_send_text(db, settings_sql, OWED_OTHER)) &&
	       (db->tx != TX_WRITE || wire_send_known(db, mark_sql, OWED_MARK));
}

struct bound { /* values as libpq takes them */
	Oid types[DB_ARGS_MAX];
	const char *values[DB_ARGS_MAX];
	int lengths[DB_ARGS_MAX], formats[DB_ARGS_MAX];
	uint64_t numbers[DB_ARGS_MAX];
};

static void bind(struct bound *b, const struct db_arg *args, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct db_arg *a = &args[i];
		b->formats[i] = 1;
		b->values[i] = a->s.p == NULL ? "" : a->s.p;
		b->lengths[i] = (int)a->s.n;
		switch (a->kind) {
		case ARG_NULL: /* an id: no other value may be missing */
			b->types[i] = OID_BYTEA;
			b->values[i] = NULL;
			b->lengths[i] = 0;
			break;
		case ARG_I64:
			b->types[i] = OID_INT8;
			b->numbers[i] = htobe64((uint64_t)a->i);
			b->values[i] = (const char *)&b->numbers[i];
			b->lengths[i] = sizeof b->numbers[i];
			break;
		case ARG_TEXT:
			b->types[i] = OID_TEXT;
			break;
		case ARG_BLOB:
			b->types[i] = OID_BYTEA;
			break;
		}
	}
}

bool wire_send_stmt(struct pgsql_db *db, struct db_stmt *s, const struct db_arg *args, size_t count,
		    enum owed_what what)
{
	struct bound b;
	bind(&b, args, count);
	int n = (int)count;
	if (db->target->pooler)
		return owe(db, PQsendQueryParams(db->h, s->sql, n, b.types, b.values, b.lengths, b.formats, 1), what,
			   s);
	char name[16];
	(void)snprintf(name, sizeof name, "s%zu", (size_t)(s - db->stmts));
	if (!s->prepared && !owe(db, PQsendPrepare(db->h, name, s->sql, n, b.types), OWED_PREPARE, s))
		return false;
	s->prepared = true; /* until the answer says otherwise */
	return owe(db, PQsendQueryPrepared(db->h, name, n, b.values, b.lengths, b.formats, 1), what, s);
}

/* --- which statement ---------------------------------------------------------------------------------------------*/
fallible wire_find(struct pgsql_db *db, const char *sql, struct db_stmt **ret, struct err *err)
{
	size_t from = ((uintptr_t)sql >> 3) * 0x9e3779b1u;
	for (size_t i = 0; i < PGSQL_STMTS_MAX; i++) {
		struct db_stmt *s = &db->stmts[(from + i) % PGSQL_STMTS_MAX];
		if (s->sql == NULL)
			*s = (struct db_stmt){ .sql = sql, .db = db };
		if (s->sql == sql) {
			*ret = s;
			return OK;
		}
	}
	FAIL(err, ERR_INTERNAL, "more than %d statements", PGSQL_STMTS_MAX);
}

bool wire_send_known(struct pgsql_db *db, const char *sql, enum owed_what what)
{
	struct db_stmt *s = NULL;
	if (FAILED(wire_find(db, sql, &s, &db->why))) {
		db->fault = PGSQL_REFUSED;
		return false;
	}
	return wire_send_stmt(db, s, NULL, 0, what);
}

/* --- answers ------------------------------------------------------------------------------------------------------*/
/* A migration, and the wait for another program's, may take ten minutes a statement (db_pgsql.c). */
#define MIGRATION_WAIT_MS (11 * 60 * 1000)

static bool next_result(struct pgsql_db *db, PGresult **ret)
{
	if (!pgsql_wait(db->h, db->tx == TX_MIGRATE ? MIGRATION_WAIT_MS : PGSQL_WAIT_MS)) {
		wire_fault_lost(db);
		return false;
	}
	*ret = PQgetResult(db->h);
	return true;
}

static void take_answer(struct pgsql_db *db, struct owed o, PGresult **r)
{
	ExecStatusType status = PQresultStatus(*r);
	bool is_done = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
	if (status == PGRES_FATAL_ERROR && db->fault == PGSQL_FINE)
		db->fault_is_of_another = o.what != OWED_ROWS;
	if (status == PGRES_FATAL_ERROR && o.what == OWED_BEGIN)
		fault_of_begin(db, *r);
	else if (status == PGRES_FATAL_ERROR)
		wire_fault_of(db, *r);
	if (o.what == OWED_PREPARE)
		o.stmt->prepared = is_done;
	if (!is_done)
		return; /* aborted: what came before it has said why */
	switch (o.what) {
	case OWED_CHANGE:
		if (strtoull(PQcmdTuples(*r), NULL, 10) == 0)
			wire_fault(db, PGSQL_UNMET, ERR_UNAVAILABLE, "the database has other rows: try again later",
				   o.stmt->sql);
		break;
	case OWED_ROWS:
		o.stmt->result = *r;
		*r = NULL;
		break;
	case OWED_MARK:
		(void)snprintf(db->mark.xid, sizeof db->mark.xid, "%s", PQgetvalue(*r, 0, 0));
		break;
	case OWED_COMMIT: /* of a transaction that had failed it is a rollback, and says so */
		if (strcmp(PQcmdStatus(*r), "COMMIT") != 0)
			wire_fault(db, PGSQL_REFUSED, ERR_UNAVAILABLE,
				   "the database ended a transaction: try again later", PQcmdStatus(*r));
		break;
	case OWED_BEGIN:
	case OWED_PREPARE:
	case OWED_ANY:
	case OWED_OTHER:
	case OWED_SYNC:
		break;
	}
}

/* All that is owed, up to the last sync. */
void wire_collect(struct pgsql_db *db)
{
	for (size_t i = 0; i < db->owed_count; i++) {
		PGresult *r = NULL;
		if (!next_result(db, &r))
			break;
		if (r == NULL) { /* the connection ended between two answers */
			wire_fault_lost(db);
			break;
		}
		take_answer(db, db->owed[i], &r);
		PQclear(r);
		if (db->owed[i].what == OWED_SYNC)
			continue;
		if (!next_result(db, &r))
			break;
		PQclear(r); /* the end of one command's answers is no result at all */
	}
	db->owed_count = 0;
	if (PQstatus(db->h) != CONNECTION_OK)
		wire_fault_lost(db);
}

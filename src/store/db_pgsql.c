/* SPDX-License-Identifier: Apache-2.0
 *
 * db_pgsql.c: the PostgreSQL driver, over libpq in pipeline mode: BEGIN goes with a transaction's first statement, and
 * what nobody waits for (ROLLBACK, the end of a read) is only sent. Statements are prepared once a connection, and values
 * are binary. SQLSTATEs become our kinds here and nowhere else.
 *
 * A transaction that changes something is SERIALIZABLE: the callers look before they write, as if nobody else did
 * (docs/decisions). One that reads has a snapshot, which is all that it needs.
 */
#include "store/pgsql.h"

#include <assert.h>
#include <endian.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>

#define STMTS_MAX 256 /* a power of two, well above what the module has */
#define OWED_MAX 16

/* PostgreSQL's numbers of types: catalog/pg_type.dat, fixed for good. */
enum { OID_NONE = 0, OID_BYTEA = 17, OID_INT8 = 20, OID_TEXT = 25 };

struct db_stmt {
	const char *sql; /* NULL: free */
	struct pgsql_db *db;
	PGresult *result;
	int row; /* -1: before the first */
	bool prepared, busy;
};

/* What was sent, in the order in which the server will answer. */
enum owed_what { OWED_BEGIN, OWED_MARK, OWED_PREPARE, OWED_ROWS, OWED_COMMIT, OWED_OTHER, OWED_SYNC };
struct owed {
	enum owed_what what;
	struct db_stmt *stmt;
};

enum tx_kind { TX_NONE, TX_WRITE, TX_READ, TX_MIGRATE };

struct pgsql_db {
	struct db base;
	const struct pgsql_target *target;
	PGconn *h; /* NULL: not connected */
	enum tx_kind tx;
	bool begun; /* BEGIN was sent */
	enum pgsql_fault fault;
	struct err why; /* with fault */
	struct pgsql_mark mark;
	struct owed owed[OWED_MAX];
	size_t owed_count;
	struct db_stmt stmts[STMTS_MAX];
};

static struct pgsql_db *self(struct db *db)
{
	return (struct pgsql_db *)db; /* base is the first member */
}

enum pgsql_fault pgsql_fault(const struct db *db)
{
	return ((const struct pgsql_db *)db)->fault;
}

const struct pgsql_mark *pgsql_mark(const struct db *db)
{
	return &((const struct pgsql_db *)db)->mark;
}

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
	{ "57014", PGSQL_REFUSED, ERR_UNAVAILABLE, "the database took too long: try again later" },
	{ "57", PGSQL_LOST, ERR_UNAVAILABLE, "the database is being stopped or started: try again later" },
	{ "08", PGSQL_LOST, ERR_UNAVAILABLE, "the connection to the database was lost: try again later" },
	{ "25006", PGSQL_LOST, ERR_UNAVAILABLE, "the database takes no changes at the moment: try again later" },
	{ "25P03", PGSQL_LOST, ERR_UNAVAILABLE, "the database gave up a transaction that waited: try again later" },
	{ "26000", PGSQL_REFUSED, ERR_UNAVAILABLE, "a pooler is between us and the database: set store.pooler" },
	{ "42P05", PGSQL_REFUSED, ERR_UNAVAILABLE, "a pooler is between us and the database: set store.pooler" },
	{ "53100", PGSQL_REFUSED, ERR_UNAVAILABLE, "the disk that holds the database is full: try again later" },
	{ "53200", PGSQL_REFUSED, ERR_UNAVAILABLE, "the database ran out of memory: try again later" },
	{ "53", PGSQL_LOST, ERR_UNAVAILABLE, "the database has no room for us: try again later" },
	{ "58", PGSQL_REFUSED, ERR_UNAVAILABLE, "the disk that holds the database failed: try again later" },
	{ "XX", PGSQL_REFUSED, ERR_UNAVAILABLE, "the database is damaged or broken: its own log says how" },
	{ "", PGSQL_REFUSED, ERR_INTERNAL, "the database refused a statement" },
};

/* The first fault of a transaction is the one that counts: those after it follow from it. */
static void fault_set(struct pgsql_db *db, enum pgsql_fault fault, enum err_kind kind, const char *says,
		      const char *cause)
{
	if (db->fault != PGSQL_FINE)
		return;
	db->fault = fault;
	db->why = (struct err){ .kind = ERR_NONE };
	char text[160];
	err_cause(&db->why, "%s", pgsql_text(cause, text, sizeof text));
	err_set(&db->why, kind, "%s", says);
}

static void fault_lost(struct pgsql_db *db)
{
	fault_set(db, PGSQL_LOST, ERR_UNAVAILABLE, "the connection to the database was lost: try again later",
		  PQerrorMessage(db->h));
	/* Whatever it said before: without a connection nothing can be undone or asked, and the server has undone it. */
	if (db->fault != PGSQL_UNKNOWN)
		db->fault = PGSQL_LOST;
}

static void fault_of(struct pgsql_db *db, const PGresult *r)
{
	const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
	if (state == NULL) {
		fault_lost(db);
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
	fault_set(db, states[i].fault, states[i].kind, states[i].says, cause);
}

static fallible fail_fault(const struct pgsql_db *db, struct err *err)
{
	struct rc rc = { db->why.kind };
	if (err != NULL)
		*err = db->why;
	return rc;
}

/* --- sending ------------------------------------------------------------------------------------------------------*/
static bool owe(struct pgsql_db *db, int sent, enum owed_what what, struct db_stmt *s)
{
	assert(db->owed_count < OWED_MAX);
	if (sent != 1) {
		fault_lost(db);
		return false;
	}
	db->owed[db->owed_count++] = (struct owed){ what, s };
	return true;
}

static bool send_text(struct pgsql_db *db, const char *sql, enum owed_what what)
{
	return owe(db, PQsendQueryParams(db->h, sql, 0, NULL, NULL, NULL, NULL, 0), what, NULL);
}

static bool send_sync(struct pgsql_db *db)
{
	return owe(db, PQpipelineSync(db->h), OWED_SYNC, NULL);
}

/* With a pooler there is no session to keep settings in. synchronous_commit: nothing is acknowledged that is not durable,
 * whatever the server's file says. */
static const char settings_sql[] =
	"SELECT set_config('statement_timeout', '15s', true), set_config('lock_timeout', '5s', true),"
	" set_config('idle_in_transaction_session_timeout', '30s', true), set_config('enable_seqscan', 'off', true),"
	" set_config('synchronous_commit', CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on'"
	" ELSE current_setting('synchronous_commit') END, true)";
static const char mark_sql[] = "SELECT pg_current_xact_id()::text";
static const char *const begin_sql[] = {
	[TX_NONE] = "",
	[TX_WRITE] = "BEGIN ISOLATION LEVEL SERIALIZABLE",
	[TX_READ] = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
	[TX_MIGRATE] = "BEGIN ISOLATION LEVEL READ COMMITTED",
};

/* The number of a transaction that changes something comes with its first answer: with it, a commit whose answer was
 * lost can be asked for. */
static bool send_begin(struct pgsql_db *db)
{
	db->begun = true;
	db->mark.xid[0] = '\0';
	return send_text(db, begin_sql[db->tx], OWED_BEGIN) &&
	       (!db->target->pooler || db->tx == TX_MIGRATE || send_text(db, settings_sql, OWED_OTHER)) &&
	       (db->tx != TX_WRITE || send_text(db, mark_sql, OWED_MARK));
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

static bool send_stmt(struct pgsql_db *db, struct db_stmt *s, const struct db_arg *args, size_t count)
{
	struct bound b;
	bind(&b, args, count);
	int n = (int)count;
	if (db->target->pooler)
		return owe(db, PQsendQueryParams(db->h, s->sql, n, b.types, b.values, b.lengths, b.formats, 1),
			   OWED_ROWS, s);
	char name[16];
	(void)snprintf(name, sizeof name, "s%zu", (size_t)(s - db->stmts));
	if (!s->prepared && !owe(db, PQsendPrepare(db->h, name, s->sql, n, b.types), OWED_PREPARE, s))
		return false;
	return owe(db, PQsendQueryPrepared(db->h, name, n, b.values, b.lengths, b.formats, 1), OWED_ROWS, s);
}

/* --- answers ------------------------------------------------------------------------------------------------------*/
static bool next_result(struct pgsql_db *db, PGresult **ret)
{
	if (!pgsql_wait(db->h)) {
		fault_lost(db);
		return false;
	}
	*ret = PQgetResult(db->h);
	return true;
}

static void take_answer(struct pgsql_db *db, struct owed o, PGresult **r)
{
	ExecStatusType status = PQresultStatus(*r);
	if (status == PGRES_FATAL_ERROR) {
		fault_of(db, *r);
		return;
	}
	if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
		return; /* aborted: what came before it has said why */
	switch (o.what) {
	case OWED_PREPARE:
		o.stmt->prepared = true;
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
			fault_set(db, PGSQL_REFUSED, ERR_UNAVAILABLE,
				  "the database ended a transaction: try again later", PQcmdStatus(*r));
		break;
	case OWED_BEGIN:
	case OWED_OTHER:
	case OWED_SYNC:
		break;
	}
}

/* All that is owed, up to the last sync. */
static void collect(struct pgsql_db *db)
{
	for (size_t i = 0; i < db->owed_count; i++) {
		PGresult *r = NULL;
		if (!next_result(db, &r))
			break;
		if (r == NULL) { /* the connection ended between two answers */
			fault_lost(db);
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
		fault_lost(db);
}

/* --- statements ---------------------------------------------------------------------------------------------------*/
static fallible stmt_find(struct pgsql_db *db, const char *sql, struct db_stmt **ret, struct err *err)
{
	size_t from = ((uintptr_t)sql >> 3) * 0x9e3779b1u;
	for (size_t i = 0; i < STMTS_MAX; i++) {
		struct db_stmt *s = &db->stmts[(from + i) % STMTS_MAX];
		if (s->sql == NULL)
			*s = (struct db_stmt){ .sql = sql, .db = db };
		if (s->sql == sql) {
			*ret = s;
			return OK;
		}
	}
	FAIL(err, ERR_INTERNAL, "more than %d statements", STMTS_MAX);
}

static void pgsql_finish(struct db_stmt *s)
{
	PQclear(s->result);
	s->result = NULL;
	s->busy = false;
}

static fallible run_stmt(struct pgsql_db *db, struct db_stmt *s, const struct db_arg *args, size_t arg_count,
			 struct err *err)
{
	bool begins = db->tx != TX_NONE && !db->begun;
	if ((!begins || send_begin(db)) && send_stmt(db, s, args, arg_count) && send_sync(db))
		collect(db);
	if (db->fault == PGSQL_FINE && s->result == NULL)
		fault_set(db, PGSQL_REFUSED, ERR_INTERNAL, "the database gave no answer to a statement", s->sql);
	return db->fault == PGSQL_FINE ? OK : fail_fault(db, err);
}

static fallible pgsql_start(struct db *base, const char *sql, const struct db_arg *args, size_t arg_count,
			    struct db_stmt **ret, struct err *err)
{
	struct pgsql_db *db = self(base);
	struct db_stmt *s;
	assert(arg_count <= DB_ARGS_MAX);
	if (db->fault != PGSQL_FINE)
		return fail_fault(db, err);
	TRY(stmt_find(db, sql, &s, err));
	assert(!s->busy);
	s->busy = true;
	s->row = -1;
	struct rc rc = run_stmt(db, s, args, arg_count, err);
	if (FAILED(rc)) {
		pgsql_finish(s);
		return rc;
	}
	*ret = s;
	return OK;
}

static fallible pgsql_step(struct db_stmt *s, bool *ret_row, struct err *err)
{
	(void)err;
	if (s->row < PQntuples(s->result))
		s->row++;
	*ret_row = s->row < PQntuples(s->result);
	return OK;
}

static int64_t pgsql_get_i64(struct db_stmt *s, unsigned column)
{
	const char *p = PQgetvalue(s->result, s->row, (int)column);
	union {
		uint32_t four;
		uint64_t eight;
	} v = { 0 };
	switch (PQgetlength(s->result, s->row, (int)column)) {
	case 4:
		memcpy(&v.four, p, 4);
		return (int32_t)be32toh(v.four);
	case 8:
		memcpy(&v.eight, p, 8);
		return (int64_t)be64toh(v.eight);
	default:
		return 0; /* NULL, as SQLite has it */
	}
}

static struct str pgsql_get_bytes(struct db_stmt *s, unsigned column)
{
	int n = PQgetlength(s->result, s->row, (int)column);
	return n <= 0 ? STR_NONE : str_n(PQgetvalue(s->result, s->row, (int)column), (size_t)n);
}

static uint64_t pgsql_changes(struct db_stmt *s)
{
	if (PQresultStatus(s->result) == PGRES_TUPLES_OK && strncmp(PQcmdStatus(s->result), "SELECT", 6) == 0)
		return 0;
	return strtoull(PQcmdTuples(s->result), NULL, 10);
}

/* --- transactions -------------------------------------------------------------------------------------------------*/
static fallible begin(struct db *base, enum tx_kind kind, struct err *err)
{
	struct pgsql_db *db = self(base);
	TRY(pgsql_ready(base, err));
	db->tx = kind;
	db->begun = false;
	return OK;
}

static fallible pgsql_begin_write(struct db *base, struct err *err)
{
	return begin(base, TX_WRITE, err);
}

static fallible pgsql_begin_read(struct db *base, struct err *err)
{
	return begin(base, TX_READ, err);
}

/* What is sent without waiting is collected by whoever uses the connection next. */
static void end_unwatched(struct pgsql_db *db, const char *sql)
{
	bool open = db->begun && db->h != NULL && PQstatus(db->h) == CONNECTION_OK;
	if (open && send_text(db, sql, OWED_OTHER) && send_sync(db) && PQflush(db->h) < 0)
		fault_lost(db);
	db->tx = TX_NONE;
	db->begun = false;
}

static fallible pgsql_commit(struct db *base, struct err *err)
{
	struct pgsql_db *db = self(base);
	if (db->fault != PGSQL_FINE)
		return fail_fault(db, err);
	if (!db->begun || db->tx == TX_READ) { /* nothing to keep */
		end_unwatched(db, "COMMIT");
		return OK;
	}
	bool sent = send_text(db, "COMMIT", OWED_COMMIT) && send_sync(db);
	if (sent)
		collect(db);
	if (sent && db->fault == PGSQL_LOST)
		db->fault = PGSQL_UNKNOWN;
	if (db->fault != PGSQL_FINE)
		return fail_fault(db, err);
	db->tx = TX_NONE;
	db->begun = false;
	return OK;
}

static void pgsql_rollback(struct db *base)
{
	struct pgsql_db *db = self(base);
	bool lost = db->fault == PGSQL_LOST || db->fault == PGSQL_UNKNOWN;
	if (!lost) {
		db->fault = PGSQL_FINE;
		end_unwatched(db, "ROLLBACK");
	}
	if (lost || db->fault != PGSQL_FINE)
		pgsql_drop(base);
}

static fallible run_text(struct db *base, const char *sql, struct err *err)
{
	struct pgsql_db *db = self(base);
	if (db->fault != PGSQL_FINE)
		return fail_fault(db, err);
	if ((db->begun || send_begin(db)) && send_text(db, sql, OWED_OTHER) && send_sync(db))
		collect(db);
	return db->fault == PGSQL_FINE ? OK : fail_fault(db, err);
}

static fallible pgsql_savepoint(struct db *base, struct err *err)
{
	return run_text(base, "SAVEPOINT one", err);
}

static fallible pgsql_release(struct db *base, struct err *err)
{
	return run_text(base, "RELEASE one", err);
}

static fallible pgsql_undo(struct db *base, struct err *err)
{
	struct pgsql_db *db = self(base);
	if (db->fault == PGSQL_REFUSED || db->fault == PGSQL_DOUBLE)
		db->fault = PGSQL_FINE; /* what the savepoint is for */
	TRY(run_text(base, "ROLLBACK TO one", err));
	return run_text(base, "RELEASE one", err);
}

static bool pgsql_in_tx(struct db *base)
{
	const struct pgsql_db *db = self(base);
	return db->tx != TX_NONE &&
	       (db->fault == PGSQL_FINE || db->fault == PGSQL_REFUSED || db->fault == PGSQL_DOUBLE);
}

/* --- migrations ---------------------------------------------------------------------------------------------------*/
/* One lock for all migrations of a database; "cairn" in hexadecimal. It ends with the transaction. */
static const char lock_sql[] = "SELECT pg_advisory_xact_lock(x'636169726e'::bigint)";
static const char patience_sql[] =
	"SELECT set_config('statement_timeout', '10min', true),"
	" set_config('lock_timeout', '10min', true), set_config('enable_seqscan', 'on', true)";

fallible pgsql_begin_migration(struct db *base, struct err *err)
{
	TRY(begin(base, TX_MIGRATE, err));
	TRY(run_text(base, patience_sql, err));
	return run_text(base, lock_sql, err);
}

/* Opens the comments that are meant for this driver: their marks become blanks, what is between them stays. */
static void open_comments(char *z)
{
	static const char mark[] = "/*pgsql:";
	for (char *p = strstr(z, mark); p != NULL; p = strstr(p, mark)) {
		memset(p, ' ', sizeof mark - 1);
		char *end = strstr(p, "*/");
		if (end == NULL)
			return;
		memset(end, ' ', 2);
	}
}

/* Several statements in one text: only the simple protocol takes them. The transaction is the caller's. */
static fallible pgsql_migrate(struct db *base, struct str script, const char *note_sql, const struct db_arg *args,
			      size_t arg_count, struct err *err)
{
	struct pgsql_db *db = self(base);
	AUTO(arena_done) struct arena mem = { 0 };
	char *z;
	TRY(str_dupz(&mem, script, &z, err));
	open_comments(z);
	assert(db->tx == TX_MIGRATE && db->begun && db->owed_count == 0);
	if (PQexitPipelineMode(db->h) != 1)
		FAIL(err, ERR_INTERNAL, "the database's connection is not idle");
	PGresult *r = PQexec(db->h, z);
	if (PQresultStatus(r) != PGRES_COMMAND_OK && PQresultStatus(r) != PGRES_TUPLES_OK)
		fault_of(db, r);
	PQclear(r);
	if (PQenterPipelineMode(db->h) != 1)
		fault_lost(db);
	struct db_stmt *s = NULL;
	TRY(pgsql_start(base, note_sql, args, arg_count, &s, err));
	pgsql_finish(s);
	return OK;
}

/* --- connections --------------------------------------------------------------------------------------------------*/
void pgsql_drop(struct db *base)
{
	struct pgsql_db *db = self(base);
	for (size_t i = 0; i < STMTS_MAX; i++) {
		PQclear(db->stmts[i].result);
		db->stmts[i] = (struct db_stmt){ .sql = NULL };
	}
	PQfinish(db->h);
	db->h = NULL;
	db->owed_count = 0;
	db->tx = TX_NONE;
	db->begun = false;
	db->fault = PGSQL_FINE;
}

static void pgsql_close(struct db *base)
{
	if (base == NULL)
		return;
	pgsql_drop(base);
	free(self(base));
}

fallible pgsql_ready(struct db *base, struct err *err)
{
	struct pgsql_db *db = self(base);
	if (db->fault != PGSQL_FINE)
		pgsql_drop(base);
	if (db->h != NULL)
		return OK;
	TRY(pgsql_connect(db->target, &db->h, db->mark.life, err));
	if (PQenterPipelineMode(db->h) == 1)
		return OK;
	pgsql_drop(base);
	FAIL(err, ERR_UNAVAILABLE, "the connection to the database was lost: try again later");
}

const PGconn *pgsql_handle(const struct db *base)
{
	return ((const struct pgsql_db *)base)->h;
}

static const char outcome_sql[] = "SELECT " PGSQL_LIFE_SQL ", pg_xact_status($1::text::xid8)";

static enum pgsql_outcome outcome_of(struct db_stmt *s, const struct pgsql_mark *mark)
{
	static const struct {
		struct str word;
		enum pgsql_outcome outcome;
	} words[] = {
		{ { "committed", 9 }, PGSQL_COMMITTED },
		{ { "aborted", 7 }, PGSQL_ABORTED },
		{ { "in progress", 11 }, PGSQL_IN_PROGRESS },
	};
	/* After a failover or a crash the same number may be somebody else's. */
	if (!str_eq(pgsql_get_bytes(s, 0), str_z(mark->life)))
		return PGSQL_CANNOT_TELL;
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (str_eq(pgsql_get_bytes(s, 1), words[i].word))
			return words[i].outcome;
	}
	return PGSQL_CANNOT_TELL;
}

fallible pgsql_outcome(struct db *base, const struct pgsql_mark *mark, enum pgsql_outcome *ret, struct err *err)
{
	if (mark->xid[0] == '\0' || mark->life[0] == '\0') {
		*ret = PGSQL_CANNOT_TELL;
		return OK;
	}
	struct db_arg xid = { .kind = ARG_TEXT, .s = str_z(mark->xid) };
	struct db_stmt *s = NULL;
	bool row = false;
	TRY(pgsql_ready(base, err));
	TRY(pgsql_start(base, outcome_sql, &xid, 1, &s, err));
	struct rc rc = pgsql_step(s, &row, err);
	*ret = !FAILED(rc) && row ? outcome_of(s, mark) : PGSQL_CANNOT_TELL;
	pgsql_finish(s);
	return rc;
}

/* The months' parts: made ahead, and taken away when nothing is left in them (sql/0008_months.sql). */
static fallible pgsql_compact(struct db *base, bool *ret_more, struct err *err)
{
	static const char months_sql[] = "SELECT months_keep()";
	struct db_stmt *s = NULL;
	TRY(pgsql_start(base, months_sql, NULL, 0, &s, err));
	pgsql_finish(s);
	*ret_more = false;
	return OK;
}

static const struct db_ops pgsql_ops = {
	.close = pgsql_close,
	.start = pgsql_start,
	.step = pgsql_step,
	.get_i64 = pgsql_get_i64,
	.get_bytes = pgsql_get_bytes,
	.changes = pgsql_changes,
	.finish = pgsql_finish,
	.begin_write = pgsql_begin_write,
	.begin_read = pgsql_begin_read,
	.commit = pgsql_commit,
	.rollback = pgsql_rollback,
	.savepoint = pgsql_savepoint,
	.release = pgsql_release,
	.undo = pgsql_undo,
	.in_tx = pgsql_in_tx,
	.migrate = pgsql_migrate,
	.compact = pgsql_compact,
};

struct db *pgsql_new(const struct pgsql_target *t)
{
	struct pgsql_db *db = (struct pgsql_db *)mem_alloc(sizeof *db);
	db->base.ops = &pgsql_ops;
	db->target = t;
	return &db->base;
}

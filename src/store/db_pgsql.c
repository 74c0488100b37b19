/* SPDX-License-Identifier: Apache-2.0
 *
 * db_pgsql.c: the PostgreSQL driver: statements, transactions, connections.
 *
 * A transaction that changes something is SERIALIZABLE: the callers look before they write, as if nobody else did
 * (docs/decisions). One that reads has a snapshot, which is all that it needs.
 */
#include "store/pgsql_wire.h"

#include <assert.h>
#include <endian.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>

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

/* --- statements ---------------------------------------------------------------------------------------------------*/
static void pgsql_finish(struct db_stmt *s)
{
	PQclear(s->result);
	s->result = NULL;
	s->busy = false;
}

/* One statement that reads is a transaction by itself. (A pooler's settings come with BEGIN.) */
static bool is_lone_look(const struct pgsql_db *db)
{
	return db->tx == TX_READ && db->looks_expected == 1 && !db->target->pooler;
}

/* One more than was expected, behind the COMMIT, would see something else than those before it. */
static bool send_look(struct pgsql_db *db, bool writes)
{
	bool lone = is_lone_look(db);
	if (++db->looks > db->looks_expected && db->looks_expected > 0)
		wire_fault(db, PGSQL_SNAPSHOT, ERR_UNAVAILABLE, "a transaction was too short: try again later",
			   "one statement more than before");
	else if (writes && lone) /* there is no READ ONLY around it, and nobody does so but by mistake */
		wire_fault(db, PGSQL_SNAPSHOT, ERR_UNAVAILABLE, "a transaction that reads has written: try again later",
			   "");
	return db->fault == PGSQL_FINE;
}

/* The last statement that a TX_READ is expected to have takes its COMMIT with it. */
static bool send_behind(struct pgsql_db *db)
{
	if (db->tx != TX_READ || !db->begun || db->looks != db->looks_expected)
		return true;
	db->begun = false;
	return wire_send_known(db, "COMMIT", OWED_OTHER);
}

/* What is sent in front of a statement of a transaction. A member of a group has its savepoint when it first writes. */
static bool send_before(struct pgsql_db *db, bool writes)
{
	if (db->tx == TX_READ && !send_look(db, writes))
		return false;
	if (db->tx != TX_NONE && !db->begun && !is_lone_look(db) && !wire_send_begin(db))
		return false;
	if (!writes || db->member != MEMBER_CLEAN)
		return true;
	db->member = MEMBER_WROTE;
	return wire_send_known(db, "SAVEPOINT one", OWED_OTHER);
}

static bool is_select(const char *sql)
{
	return strncmp(sql, "SELECT", 6) == 0;
}

/* All that was put off has been done, or there is a fault. */
static fallible settle(struct pgsql_db *db, struct err *err)
{
	if (db->fault == PGSQL_FINE && db->owed_count > 0 && wire_send_sync(db))
		wire_collect(db);
	return db->fault == PGSQL_FINE ? OK : wire_fail(db, err);
}

/* More than one statement has with all that goes around it. */
#define OWED_ROOM 16

static bool pgsql_put_off(struct db *base, const char *sql, const struct db_arg *args, size_t arg_count, bool changes)
{
	struct pgsql_db *db = self(base);
	struct db_stmt *s;
	assert(arg_count <= DB_ARGS_MAX);
	if (!db->eager || db->fault != PGSQL_FINE || FAILED(wire_find(db, sql, &s, NULL)))
		return false;
	if (db->owed_count + OWED_ROOM > PGSQL_OWED_MAX && FAILED(settle(db, NULL)))
		return false;
	return send_before(db, true) && wire_send_stmt(db, s, args, arg_count, changes ? OWED_CHANGE : OWED_ANY);
}

static fallible run_stmt(struct pgsql_db *db, struct db_stmt *s, const struct db_arg *args, size_t arg_count,
			 bool writes, struct err *err)
{
	if (send_before(db, writes) && wire_send_stmt(db, s, args, arg_count, OWED_ROWS) && send_behind(db) &&
	    wire_send_sync(db))
		wire_collect(db);
	/* The COMMIT behind a statement that failed was passed over. */
	db->begun = db->begun || (db->fault != PGSQL_FINE && db->tx == TX_READ);
	if (db->fault == PGSQL_FINE && s->result == NULL)
		wire_fault(db, PGSQL_REFUSED, ERR_INTERNAL, "the database gave no answer to a statement", s->sql);
	return db->fault == PGSQL_FINE ? OK : wire_fail_stmt(db, err);
}

static fallible start(struct pgsql_db *db, const char *sql, const struct db_arg *args, size_t arg_count, bool writes,
		      struct db_stmt **ret, struct err *err)
{
	struct db_stmt *s;
	assert(arg_count <= DB_ARGS_MAX);
	if (db->fault != PGSQL_FINE) {
		db->fault_is_of_another = true;
		return wire_fail_stmt(db, err);
	}
	TRY(wire_find(db, sql, &s, err));
	assert(!s->busy);
	s->busy = true;
	s->row = -1;
	struct rc rc = run_stmt(db, s, args, arg_count, writes, err);
	if (FAILED(rc)) {
		pgsql_finish(s);
		return rc;
	}
	*ret = s;
	return OK;
}

static fallible pgsql_start(struct db *base, const char *sql, const struct db_arg *args, size_t arg_count,
			    struct db_stmt **ret, struct err *err)
{
	return start(self(base), sql, args, arg_count, !is_select(sql), ret, err);
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
	if (PQresultStatus(s->result) == PGRES_TUPLES_OK && is_select(PQcmdStatus(s->result)))
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
	db->fault_is_of_another = false;
	db->looks = db->looks_expected = 0;
	db->eager = false;
	db->member = MEMBER_BARE;
	return OK;
}

static fallible pgsql_begin_write(struct db *base, struct err *err)
{
	return begin(base, TX_WRITE, err);
}

fallible pgsql_begin_look(struct db *base, unsigned expected, struct err *err)
{
	TRY(begin(base, TX_READ, err));
	self(base)->looks_expected = expected;
	return OK;
}

unsigned pgsql_looks(const struct db *db)
{
	return ((const struct pgsql_db *)db)->looks;
}

static fallible pgsql_begin_read(struct db *base, struct err *err)
{
	return begin(base, TX_READ, err);
}

fallible pgsql_begin_group(struct db *base, bool eager, struct err *err)
{
	TRY(begin(base, TX_WRITE, err));
	self(base)->eager = eager;
	return OK;
}

void pgsql_member_begin(struct db *base, bool alone)
{
	self(base)->member = alone ? MEMBER_BARE : MEMBER_CLEAN;
}

fallible pgsql_member_end(struct db *base, bool keep, struct err *err)
{
	struct pgsql_db *db = self(base);
	if (!keep) /* it may have failed because of what it thought was done */
		TRY(settle(db, err));
	if (db->fault == PGSQL_FINE && db->member == MEMBER_WROTE &&
	    (keep || wire_send_known(db, "ROLLBACK TO one", OWED_OTHER)))
		(void)wire_send_known(db, "RELEASE one", OWED_OTHER);
	db->member = MEMBER_BARE;
	if (db->owed_count + OWED_ROOM > PGSQL_OWED_MAX)
		return settle(db, err);
	return db->fault == PGSQL_FINE ? OK : wire_fail(db, err);
}

/* What is sent without waiting is collected by whoever uses the connection next. */
static void end_unwatched(struct pgsql_db *db, const char *sql)
{
	bool open = db->begun && db->h != NULL && PQstatus(db->h) == CONNECTION_OK;
	if (open && wire_send_text(db, sql, OWED_OTHER) && wire_send_sync(db) && PQflush(db->h) < 0)
		wire_fault_lost(db);
	db->tx = TX_NONE;
	db->begun = false;
}

static fallible pgsql_commit(struct db *base, struct err *err)
{
	struct pgsql_db *db = self(base);
	if (db->fault != PGSQL_FINE)
		return wire_fail(db, err);
	if (!db->begun || db->tx == TX_READ) { /* nothing to keep */
		end_unwatched(db, "COMMIT");
		return OK;
	}
	TRY(settle(db, err)); /* a commit keeps whatever came before it: so first all has to be well */
	bool sent = wire_send_text(db, "COMMIT", OWED_COMMIT) && wire_send_sync(db);
	if (sent)
		wire_collect(db);
	if (sent && db->fault == PGSQL_LOST)
		db->fault = PGSQL_UNKNOWN;
	if (db->fault != PGSQL_FINE)
		return wire_fail(db, err);
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
		return wire_fail(db, err);
	if ((db->begun || wire_send_begin(db)) && wire_send_text(db, sql, OWED_OTHER) && wire_send_sync(db))
		wire_collect(db);
	return db->fault == PGSQL_FINE ? OK : wire_fail(db, err);
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
	if (db->fault == PGSQL_REFUSED || db->fault == PGSQL_DOUBLE) { /* what the savepoint is for */
		db->fault = PGSQL_FINE;
		db->fault_is_of_another = false;
	}
	TRY(run_text(base, "ROLLBACK TO one", err));
	return run_text(base, "RELEASE one", err);
}

static bool pgsql_in_tx(struct db *base)
{
	const struct pgsql_db *db = self(base);
	return db->tx != TX_NONE && (db->fault == PGSQL_FINE || db->fault == PGSQL_REFUSED ||
				     db->fault == PGSQL_BROKEN || db->fault == PGSQL_DOUBLE);
}

/* --- migrations ---------------------------------------------------------------------------------------------------*/
/* One lock for all migrations of a database; "cairn" in hexadecimal. It ends with the transaction. */
static const char lock_sql[] = "SELECT pg_advisory_xact_lock(x'636169726e'::bigint)";
static const char patience_sql[] =
	"SELECT set_config('statement_timeout', '10min', true),"
	" set_config('lock_timeout', '10min', true), set_config('enable_seqscan', 'on', true)";

/* Who writes has that lock first, then those of his tables (pgsql_wire.c). So have we: nobody waits for the other. */
static const char writers_sql[] = "DO $$ BEGIN IF to_regclass('schema_version') IS NOT NULL THEN"
				  " LOCK TABLE schema_version IN EXCLUSIVE MODE; END IF; END $$";

fallible pgsql_begin_migration(struct db *base, struct err *err)
{
	TRY(begin(base, TX_MIGRATE, err));
	TRY(run_text(base, patience_sql, err));
	TRY(run_text(base, lock_sql, err));
	return run_text(base, writers_sql, err);
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
		wire_fault_of(db, r);
	PQclear(r);
	if (PQenterPipelineMode(db->h) != 1)
		wire_fault_lost(db);
	if (db->fault != PGSQL_FINE)
		return wire_fail(db, err);
	struct db_stmt *s = NULL;
	TRY(pgsql_start(base, note_sql, args, arg_count, &s, err));
	pgsql_finish(s);
	return OK;
}

/* --- connections --------------------------------------------------------------------------------------------------*/
void pgsql_drop(struct db *base)
{
	struct pgsql_db *db = self(base);
	for (size_t i = 0; i < PGSQL_STMTS_MAX; i++) {
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
	/* One that rested while another server took over: its own may live on, cut off from us only for a while. */
	if (db->h != NULL && db->timeline < pgsql_servers_timeline(db->target->servers))
		pgsql_drop(base);
	if (db->h != NULL)
		return OK;
	TRY(pgsql_connect(db->target, &db->h, db->mark.life, &db->timeline, err));
	if (PQenterPipelineMode(db->h) == 1)
		return OK;
	pgsql_drop(base);
	FAIL(err, ERR_UNAVAILABLE, "the connection to the database was lost: try again later");
}

const PGconn *pgsql_handle(const struct db *base)
{
	return ((const struct pgsql_db *)base)->h;
}

/* A commit that waited for its synchronous standby when its backend was terminated, or the server started again, is
 * "committed" here, and may be nowhere else. So this writes something, too, and commits: once the standbys have that, which
 * came later, they have what came before. (A message that nobody decodes; a number alone would write nothing, and not wait.) */
static const char outcome_sql[] = "SELECT " PGSQL_LIFE_SQL ", pg_xact_status($1::text::xid8),"
				  " CASE WHEN NOT pg_is_in_recovery()"
				  " THEN pg_logical_emit_message(true, 'cairn', ''::text)::text END";

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

static fallible outcome_ask(struct db *base, const struct pgsql_mark *mark, enum pgsql_outcome *ret, struct err *err)
{
	struct db_arg xid = { .kind = ARG_TEXT, .s = str_z(mark->xid) };
	struct db_stmt *s = NULL;
	bool row = false;
	TRY(pgsql_start(base, outcome_sql, &xid, 1, &s, err));
	struct rc rc = pgsql_step(s, &row, err);
	*ret = !FAILED(rc) && row ? outcome_of(s, mark) : PGSQL_CANNOT_TELL;
	pgsql_finish(s);
	return rc;
}

fallible pgsql_outcome(struct db *base, const struct pgsql_mark *mark, enum pgsql_outcome *ret, struct err *err)
{
	if (mark->xid[0] == '\0' || mark->life[0] == '\0') {
		*ret = PGSQL_CANNOT_TELL;
		return OK;
	}
	TRY(begin(base, TX_ASK, err));
	struct rc rc = outcome_ask(base, mark, ret, err);
	if (!FAILED(rc) && *ret == PGSQL_COMMITTED)
		rc = pgsql_commit(base, err);
	if (FAILED(rc) || *ret != PGSQL_COMMITTED)
		pgsql_rollback(base);
	return rc;
}

/* The months' parts: made ahead, and taken away when nothing is left in them (sql/0008_months.sql). Their tables are locked
 * from everybody until the commit, which is not to wait for others: a group is taken apart for it. */
static fallible pgsql_compact(struct db *base, bool *ret_more, struct err *err)
{
	static const char months_sql[] = "SELECT months_keep()";
	struct pgsql_db *db = self(base);
	struct db_stmt *s = NULL;
	if (db->member != MEMBER_BARE) {
		wire_fault(db, PGSQL_UNMET, ERR_UNAVAILABLE, "the database is being tidied up: try again later", "");
		return wire_fail(db, err);
	}
	TRY(start(db, months_sql, NULL, 0, true, &s, err));
	pgsql_finish(s);
	*ret_more = false;
	return OK;
}

static const struct db_ops pgsql_ops = {
	.close = pgsql_close,
	.start = pgsql_start,
	.put_off = pgsql_put_off,
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

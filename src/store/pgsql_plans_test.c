/* SPDX-License-Identifier: Apache-2.0
 *
 * pgsql_plans_test.c: what every statement of store costs on PostgreSQL as tables grow, by the generic plans that are made
 * while nothing is known of the tables, which is when a connection makes them: nothing goes through a whole table or a
 * whole index, or through all that lies on one side of a value, but for the exceptions that are listed with their reasons.
 * Runs with CAIRN_TEST_PG (tests/pg/with-postgres.sh).
 */
#include "store/testing.h"

#define SQL_SET_AT(name) &name##_sql,
static const struct sql_set *const sets[] = { SQL_SETS(SQL_SET_AT) };

/* What a plan may hold all the same: in these statements, because of this. */
static struct exception {
	const char *file, *start; /* the first words of the statement */
	const char *line;         /* in the plan's line, or that with its condition */
	const char *why;
	bool met;
} exceptions[] = {
	{ "count.c", "SELECT ", "", "for test oracles alone", false },
	{ "migrate.c", "SELECT version", "schema_version_pkey", "from the end, and stops at the first", false },
	{ "attempt.c", "SELECT id", "attempts_due", "those that are due, up to a limit", false },
	{ "issuance.c", "SELECT id", "issuances_due", "those that are due, up to a limit", false },
	{ "sweep.c", "UPDATE orders", "orders_open", "those that are due, up to a limit", false },
	{ "sweep.c", "UPDATE authorizations", "authorizations_open", "those that are due, up to a limit", false },
	{ "sweep.c", "SELECT order_id", "not_after_s", "those that are due, up to a limit", false },
	{ "sweep.c", "SELECT o.id", "(ROW(ended_at, id) > ROW($1, $2))", "from a mark on, up to a limit", false },
	{ "sweep.c", "SELECT id, ended_at", "(ROW(ended_at, id) > ROW($1, $2))", "from a mark on, up to a limit",
	  false },
	{ "sweep.c", "SELECT g.id", "grants_end", "those that are due, up to a limit", false },
	{ "sweep.c", "DELETE FROM limits", "limits_tat", "those that are due, up to a limit", false },
	{ "sweep.c", "SELECT seq, at FROM audit", "audit_pkey", "from a mark on, up to a limit", false },
	{ "sweep.c", "DELETE FROM audit", "audit_pkey", "what was just looked at", false },
	{ "certificate.c", "SELECT id", "id >", "from a mark on, up to a limit", false },
	{ "eab.c", "SELECT kid", "eab_keys_pkey", "from a mark on, up to a limit", false },
	{ "grant.c", "SELECT id", "", "operators sign by hand: there are few", false },
	{ "grant.c", "SELECT g.id", "", "operators sign by hand: there are few", false },
	{ "grant.c", "SELECT x.g", "Sort", "at most IDENTS_MAX of one order", false },
	{ "challenge.c", "SELECT id", "Sort", "of one authorization", false },
	{ "attempt.c", "SELECT attempt", "Sort", "of one attempt", false },
	{ "chain.c", "SELECT seq", "Sort", "a handful an issuer", false },
	{ "order.c", "SELECT oa.order_id", "Sort", "at most AUTHZ_ORDERS_MAX of one authorization", false },
};

/* A line of a plan that says what costs as much as there is; next is the one below it, with an index's condition. */
static bool is_forbidden(const char *line, const char *next)
{
	const char *what = line + strspn(line, " ->");
	if (strncmp(what, "Seq Scan", 8) == 0 || strcmp(what, "Sort") == 0 ||
	    strncmp(what, "Incremental Sort", 16) == 0)
		return true;
	if (strncmp(what, "Index Scan", 10) != 0 && strncmp(what, "Index Only Scan", 15) != 0 &&
	    strncmp(what, "Bitmap Index Scan", 17) != 0)
		return false;
	/* One that only bounds goes through all on its side. */
	return strstr(next, "Index Cond: ") == NULL || strstr(next, " = ") == NULL;
}

static bool is_excepted(const char *file, const char *sql, const char *line, const char *next)
{
	for (size_t i = 0; i < ARRAY_LEN(exceptions); i++) {
		struct exception *e = &exceptions[i];
		if (strcmp(e->file, file) == 0 && strncmp(sql, e->start, strlen(e->start)) == 0 &&
		    (strstr(line, e->line) != NULL || strstr(next, e->line) != NULL)) {
			e->met = true;
			return true;
		}
	}
	return false;
}

static PGresult *run(PGconn *h, const char *sql, ExecStatusType wanted)
{
	PGresult *r = PQexec(h, sql);
	if (PQresultStatus(r) != wanted)
		fail_msg("%s: %s", sql, PQerrorMessage(h));
	return r;
}

/* Where the server would guess otherwise than what the driver says. */
static const char *types_of(const char *sql)
{
	static const char *const rows[][2] = {
		{ "UPDATE attempts SET deadline_at", "(BYTEA, BIGINT, BIGINT)" },
		{ "UPDATE certificates SET revoked_at = $2, revocation_reason = $3, revoked_by = $4 WHERE spki_hash",
		  "(BYTEA, BIGINT, BIGINT, TEXT, BIGINT, BYTEA)" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (strncmp(sql, rows[i][0], strlen(rows[i][0])) == 0)
			return rows[i][1];
	return "";
}

/* A generic plan knows of no value, so NULLs are as good as any. */
static PGresult *plan_of(PGconn *h, const char *sql)
{
	char text[4096];
	unsigned long args = 0;
	for (const char *p = strchr(sql, '$'); p != NULL; p = strchr(p + 1, '$')) {
		unsigned long n = strtoul(p + 1, NULL, 10);
		args = n > args ? n : args;
	}
	PQclear(run(h, "DEALLOCATE ALL", PGRES_COMMAND_OK));
	(void)snprintf(text, sizeof text, "PREPARE p %s AS %s", types_of(sql), sql);
	PQclear(run(h, text, PGRES_COMMAND_OK));
	int at = snprintf(text, sizeof text, "EXPLAIN (COSTS OFF) EXECUTE p%s", args > 0 ? "(NULL" : "");
	for (unsigned long i = 1; i < args; i++)
		at += snprintf(text + at, sizeof text - (size_t)at, ", NULL");
	(void)snprintf(text + at, sizeof text - (size_t)at, "%s", args > 0 ? ")" : "");
	return run(h, text, PGRES_TUPLES_OK);
}

/* The first line that may not be there, into why; false: there is none. */
static bool plan_is_bad(PGconn *h, const char *file, const char *sql, char *why, size_t room)
{
	PGresult *r = plan_of(h, sql);
	bool bad = false;
	for (int i = 0; i < PQntuples(r) && !bad; i++) {
		const char *line = PQgetvalue(r, i, 0), *next = i + 1 < PQntuples(r) ? PQgetvalue(r, i + 1, 0) : "";
		bad = is_forbidden(line, next) && !is_excepted(file, sql, line, next);
		(void)snprintf(why, room, "%s; %s", line, next);
	}
	PQclear(r);
	return bad;
}

static PGconn *planner(const struct test_store *t)
{
	PGconn *h = PQconnectdb(t->url);
	assert_int_equal(PQstatus(h), CONNECTION_OK);
	/* As the driver has it. */
	PQclear(run(h, "SET enable_seqscan = off", PGRES_COMMAND_OK));
	PQclear(run(h, "SET plan_cache_mode = force_generic_plan", PGRES_COMMAND_OK));
	/* NULL is in no month: nothing would be left of the plan to look at. */
	PQclear(run(h, "SET enable_partition_pruning = off", PGRES_COMMAND_OK));
	return h;
}

static void no_statement_goes_through_a_whole_table_or_sorts(void **state)
{
	PGconn *h = planner((const struct test_store *)*state);
	char why[512];
	size_t seen = 0;
	for (size_t i = 0; i < ARRAY_LEN(sets); i++) {
		for (size_t j = 0; j < sets[i]->count; j++) {
			if (strncmp(sets[i]->sql[j], "CREATE", 6) == 0)
				continue;
			if (plan_is_bad(h, sets[i]->file, sets[i]->sql[j], why, sizeof why))
				fail_msg("%s: %s: %s", sets[i]->file, why, sets[i]->sql[j]);
			seen++;
		}
	}
	for (size_t i = 0; i < ARRAY_LEN(exceptions); i++)
		if (!exceptions[i].met)
			fail_msg("no plan has \"%s\" any more: %s", exceptions[i].line, exceptions[i].start);
	PQfinish(h);
	assert_true(seen > 100);
}

static void statements_that_grow_with_the_history_are_found(void **state)
{
	static const char *const bad[] = {
		"SELECT id FROM orders WHERE realm = $1",
		"SELECT id FROM orders WHERE expires_at > $1 AND status IN ('pending', 'ready')",
		"UPDATE attempts SET sends = 1 WHERE id = $1 AND status = 'open'",
		"SELECT o.id FROM order_authz oa JOIN orders o ON o.id = oa.order_id WHERE oa.authz = $1 ORDER BY o.id",
		"SELECT id FROM orders WHERE account = $1 AND status <> 'invalid' ORDER BY created_at LIMIT 1",
	};
	PGconn *h = planner((const struct test_store *)*state);
	char why[512];
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (!plan_is_bad(h, "order.c", bad[i], why, sizeof why))
			fail_msg("nothing is said of: %s", bad[i]);
	PQfinish(h);
}

int main(void)
{
	if (test_pg() == NULL) {
		(void)puts("no CAIRN_TEST_PG: tests/pg/with-postgres.sh runs this");
		return 77; /* skipped */
	}
#define STORE(f) cmocka_unit_test_setup_teardown(f, setup_store, teardown_store)
	const struct CMUnitTest tests[] = {
		STORE(no_statement_goes_through_a_whole_table_or_sorts),
		STORE(statements_that_grow_with_the_history_are_found),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

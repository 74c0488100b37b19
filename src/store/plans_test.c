/* SPDX-License-Identifier: Apache-2.0
 *
 * plans_test.c: what every statement of store costs as tables grow, by the plans that SQLite makes for it without any
 * statistics: nothing reads a whole table or sorts rows first, but for the exceptions that are listed with their reasons.
 */
#include "store/testing.h"

#include <sqlite3.h>

#define SQL_SET_AT(name) &name##_sql,
static const struct sql_set *const sets[] = { SQL_SETS(SQL_SET_AT) };

/* What a plan may hold all the same: in these statements, because of this. */
struct exception {
	const char *file, *start; /* the first words of the statement */
	const char *line;         /* the first words of the plan's line */
	const char *why;
	bool met;
};

static struct exception exceptions[] = {
	{ "count.c", "SELECT COUNT(*) FROM accounts", "SCAN accounts", "for test oracles alone", false },
	{ "count.c", "SELECT COUNT(*) FROM certificates", "SCAN certificates", "for test oracles alone", false },
	{ "count.c", "SELECT status, COUNT(*) FROM orders", "SCAN orders", "for test oracles alone", false },
	{ "count.c", "SELECT status, COUNT(*) FROM orders", "USE TEMP B-TREE FOR GROUP BY", "five states", false },
	{ "count.c", "SELECT status, COUNT(*) FROM issuances", "SCAN issuances", "for test oracles alone", false },
	{ "count.c", "SELECT status, COUNT(*) FROM issuances", "USE TEMP B-TREE FOR GROUP BY", "four states", false },
	{ "migrate.c", "SELECT version", "SCAN schema_version", "from the end, and stops at the first", false },
	{ "grant.c", "SELECT x.g FROM", "USE TEMP B-TREE FOR GROUP BY", "at most IDENTS_MAX of one order", false },
	{ "grant.c", "SELECT x.g FROM", "USE TEMP B-TREE FOR ORDER BY", "at most IDENTS_MAX of one order", false },
};

static bool is_forbidden(const char *line)
{
	static const char *const bad[] = { "SCAN ", "USE TEMP B-TREE", "AUTOMATIC" };
	if (strncmp(line, "SCAN CONSTANT", 13) == 0)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (strncmp(line, bad[i], strlen(bad[i])) == 0 || (bad[i][0] == 'A' && strstr(line, bad[i]) != NULL))
			return true;
	return false;
}

static bool is_excepted(const char *file, const char *sql, const char *line)
{
	for (size_t i = 0; i < ARRAY_LEN(exceptions); i++) {
		struct exception *e = &exceptions[i];
		if (strcmp(e->file, file) == 0 && strncmp(sql, e->start, strlen(e->start)) == 0 &&
		    strncmp(line, e->line, strlen(e->line)) == 0) {
			e->met = true;
			return true;
		}
	}
	return false;
}

/* The first line of the plan that may not be there, into why; false: there is none. */
static bool plan_is_bad(sqlite3 *h, const char *file, const char *sql, char *why, size_t room)
{
	char text[4096];
	sqlite3_stmt *s;
	bool bad = false;
	assert_true(snprintf(text, sizeof text, "EXPLAIN QUERY PLAN %s", sql) < (int)sizeof text);
	if (sqlite3_prepare_v2(h, text, -1, &s, NULL) != SQLITE_OK)
		fail_msg("%s: %s", sql, sqlite3_errmsg(h));
	while (!bad && sqlite3_step(s) == SQLITE_ROW) {
		const char *line = (const char *)sqlite3_column_text(s, 3);
		bad = is_forbidden(line) && !is_excepted(file, sql, line);
		(void)snprintf(why, room, "%s", line);
	}
	(void)sqlite3_finalize(s);
	return bad;
}

static sqlite3 *planner(const struct test_store *t)
{
	sqlite3 *h;
	assert_int_equal(sqlite3_open(t->path, &h), SQLITE_OK);
	/* As the driver has it: plans do not depend on values. */
	assert_int_equal(sqlite3_db_config(h, SQLITE_DBCONFIG_ENABLE_QPSG, 1, NULL), SQLITE_OK);
	return h;
}

static void no_statement_reads_a_whole_table_or_sorts(void **state)
{
	ONLY_SQLITE();
	sqlite3 *h = planner((const struct test_store *)*state);
	char why[256];
	size_t seen = 0;
	for (size_t i = 0; i < ARRAY_LEN(sets); i++) {
		for (size_t j = 0; j < sets[i]->count; j++, seen++)
			if (plan_is_bad(h, sets[i]->file, sets[i]->sql[j], why, sizeof why))
				fail_msg("%s: %s: %s", sets[i]->file, why, sets[i]->sql[j]);
	}
	for (size_t i = 0; i < ARRAY_LEN(exceptions); i++)
		if (!exceptions[i].met)
			fail_msg("no plan has \"%s\" any more: %s", exceptions[i].line, exceptions[i].start);
	(void)sqlite3_close(h);
	assert_true(seen > 100);
}

static void statements_that_grow_with_the_history_are_found(void **state)
{
	ONLY_SQLITE();
	static const struct {
		const char *sql, *line;
	} rows[] = {
		{ "SELECT id FROM orders WHERE realm = $1", "SCAN orders" },
		{ "SELECT id FROM certificates WHERE account = $1", "SCAN certificates" },
		{ "UPDATE orders SET error = '' WHERE status = $1", "SCAN orders" },
		{ "DELETE FROM verdicts WHERE perspective = $1", "SCAN verdicts" },
		{ "SELECT id FROM orders WHERE account = $1 AND error = '' ORDER BY created_at LIMIT 1",
		  "USE TEMP B-TREE FOR ORDER BY" },
		/* What the index leaves out cannot be asked of it. */
		{ "SELECT id FROM orders WHERE account = $1 ORDER BY id DESC LIMIT 1", "SCAN orders" },
		{ "SELECT o.id FROM certificates c JOIN orders o ON o.realm = c.realm WHERE c.id = $1", "SCAN o" },
	};
	sqlite3 *h = planner((const struct test_store *)*state);
	char why[256];
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_true(plan_is_bad(h, "order.c", rows[i].sql, why, sizeof why));
		if (strncmp(why, rows[i].line, strlen(rows[i].line)) != 0)
			fail_msg("%s: %s", why, rows[i].sql);
	}
	(void)sqlite3_close(h);
}

static bool makes_table(sqlite3 *h, const char *sql)
{
	char text[4096];
	sqlite3_stmt *s;
	bool found = false;
	assert_true(snprintf(text, sizeof text, "EXPLAIN %s", sql) < (int)sizeof text);
	assert_int_equal(sqlite3_prepare_v2(h, text, -1, &s, NULL), SQLITE_OK);
	while (!found && sqlite3_step(s) == SQLITE_ROW)
		found = strcmp((const char *)sqlite3_column_text(s, 1), "OpenEphemeral") == 0;
	(void)sqlite3_finalize(s);
	return found;
}

/* Some microseconds and 90 KiB each time, even when no row goes in. An exception that is met no more is only told: another
 * version of SQLite may do without. */
static void only_statements_that_run_seldom_make_a_table_of_their_own(void **state)
{
	ONLY_SQLITE();
	static const struct {
		const char *file, *start;
	} seldom[] = {
		{ "sweep.c", "" },
		{ "chain.c", "INSERT" },                      /* once for each chain */
		{ "order.c", "SELECT 1 FROM orders o JOIN" }, /* not begun for an order that replaces nothing */
	};
	sqlite3 *h = planner((const struct test_store *)*state);
	bool met[ARRAY_LEN(seldom)] = { false };
	for (size_t i = 0; i < ARRAY_LEN(sets); i++) {
		for (size_t j = 0; j < sets[i]->count; j++) {
			const char *sql = sets[i]->sql[j];
			if (!makes_table(h, sql))
				continue;
			size_t k = 0;
			while (k < ARRAY_LEN(seldom) && (strcmp(sets[i]->file, seldom[k].file) != 0 ||
							 strncmp(sql, seldom[k].start, strlen(seldom[k].start)) != 0))
				k++;
			if (k == ARRAY_LEN(seldom))
				fail_msg("%s: %s", sets[i]->file, sql);
			met[k] = true;
		}
	}
	for (size_t k = 0; k < ARRAY_LEN(seldom); k++)
		if (!met[k])
			print_message("no statement of %s makes one with SQLite %s: %s\n", seldom[k].file,
				      sqlite3_libversion(), seldom[k].start);
	(void)sqlite3_close(h);
}

static void start_with(struct bench *b, const char *sql, size_t arg_count, unsigned round)
{
	static const char *const values[] = { "valid", "invalid", "ready" };
	struct db_arg args[DB_ARGS_MAX];
	struct db_stmt *s;
	bool row;
	for (size_t i = 0; i < arg_count; i++)
		args[i] = i % 2 == 0 ? A_Z(values[round % ARRAY_LEN(values)]) : A_I64((int64_t)round);
	assert_false(FAILED(b->db->ops->start(b->db, sql, args, arg_count, &s, NULL)));
	/* Most of them find nothing, and some are refused. */
	if (!FAILED(b->db->ops->savepoint(b->db, NULL))) {
		(void)FAILED(b->db->ops->step(s, &row, NULL));
		b->db->ops->finish(s);
		(void)FAILED(b->db->ops->undo(b->db, NULL));
	}
}

static size_t args_of(sqlite3 *h, const char *sql)
{
	sqlite3_stmt *s;
	assert_int_equal(sqlite3_prepare_v2(h, sql, -1, &s, NULL), SQLITE_OK);
	int n = sqlite3_bind_parameter_count(s);
	(void)sqlite3_finalize(s);
	return (size_t)n;
}

static void a_statement_is_planned_once_whatever_its_values_are(void **state)
{
	ONLY_SQLITE();
	struct bench *b = (struct bench *)*state;
	sqlite3 *h = planner(b->t);
	for (unsigned round = 0; round < 3; round++)
		for (size_t i = 0; i < ARRAY_LEN(sets); i++)
			for (size_t j = 0; j < sets[i]->count; j++)
				start_with(b, sets[i]->sql[j], args_of(h, sets[i]->sql[j]), round);
	assert_int_equal(sqlite_replans(b->db), 0);
	(void)sqlite3_close(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(no_statement_reads_a_whole_table_or_sorts, setup_store, teardown_store),
		cmocka_unit_test_setup_teardown(statements_that_grow_with_the_history_are_found, setup_store,
						teardown_store),
		cmocka_unit_test_setup_teardown(only_statements_that_run_seldom_make_a_table_of_their_own, setup_store,
						teardown_store),
		BENCH(a_statement_is_planned_once_whatever_its_values_are),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

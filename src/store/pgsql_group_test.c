/* SPDX-License-Identifier: Apache-2.0
 *
 * pgsql_group_test.c: transactions that are run together, statements that are put off, and others in the way, on PostgreSQL:
 * nobody notices but by the time that it takes. Runs with CAIRN_TEST_PG (tests/pg/with-postgres.sh).
 */
#include "store/testing.h"

#include <stdatomic.h>

static int64_t number_of(struct test_store *t, const char *sql)
{
	char text[240];
	PGconn *h = PQconnectdb(test_pg());
	(void)snprintf(text, sizeof text, "SET search_path = %s; %s", t->schema, sql);
	PGresult *r = PQexec(h, text);
	if (PQresultStatus(r) != PGRES_TUPLES_OK)
		fail_msg("%s: %s", sql, PQerrorMessage(h));
	int64_t n = strtoll(PQgetvalue(r, 0, 0), NULL, 10);
	PQclear(r);
	PQfinish(h);
	return n;
}

/* --- what is put off ----------------------------------------------------------------------------------------------*/
/* Each of these meets a row that is there already, or one that is not. */
enum deed { INSERT_FAILS, INSERT_GOES_ON, UPDATE_FAILS, MOVE_FAILS, REFUSED, READ_IN_BETWEEN, DEED_COUNT };
struct attempt {
	enum deed deed;
	unsigned runs;
};

static fallible attempt(struct store_tx *tx, void *ctx, struct err *err)
{
	struct attempt *a = (struct attempt *)ctx;
	struct account_row was = test_account(test_id(1), "one");
	struct account_row mine = test_account(test_id(100 + a->deed), id_show(test_id(100 + a->deed)).z);
	struct order_row orphan = test_order(test_id(50), test_id(NOBODY));
	AUTO(arena_done) struct arena mem = { 0 };
	struct account_row seen;
	a->runs++;
	TRY(account_insert(tx, &mine, err)); /* is undone with the rest */
	switch (a->deed) {
	case INSERT_FAILS:
		return account_insert(tx, &was, err);
	case INSERT_GOES_ON:
		assert_true(account_insert(tx, &was, NULL).kind == ERR_CONFLICT || a->runs == 1);
		return account_set_contact(tx, was.id, STR("[\"went on\"]"), err);
	case UPDATE_FAILS:
		return account_set_contact(tx, test_id(NOBODY), STR("[]"), err);
	case MOVE_FAILS:
		return account_move(tx, was.id, ACCOUNT_VALID, ACCOUNT_REVOKED, err);
	case REFUSED: {
		const struct id authz = test_id(NOBODY);
		return order_insert(tx, &orphan, &authz, 1, err);
	}
	case READ_IN_BETWEEN:
		TRY(account_by_id(tx, &mem, mine.id, &seen, err));
		assert_true(str_eq(seen.thumbprint, mine.thumbprint));
		return account_move(tx, mine.id, ACCOUNT_VALID, ACCOUNT_DEACTIVATED, err);
	case DEED_COUNT:
		break;
	}
	return OK;
}

static const struct {
	enum err_kind kind;
	const char *says;
	unsigned runs;
} outcomes[DEED_COUNT] = {
	[INSERT_FAILS] = { ERR_CONFLICT, "this account exists already", 2 },
	[INSERT_GOES_ON] = { ERR_NONE, "", 2 },
	[UPDATE_FAILS] = { ERR_NOT_FOUND, "there is no such account", 2 },
	[MOVE_FAILS] = { ERR_CONFLICT, "is deactivated, valid was wanted", 2 },
	[REFUSED] = { ERR_NOT_FOUND, "refers to another that is not there", 1 },
	[READ_IN_BETWEEN] = { ERR_NONE, "", 1 },
};

static fallible first_account(struct store_tx *tx, void *ctx, struct err *err)
{
	struct account_row a = test_account(test_id(1), "one");
	(void)ctx;
	TRY(account_insert(tx, &a, err));
	return account_move(tx, a.id, ACCOUNT_VALID, ACCOUNT_DEACTIVATED, err);
}

static void expect_outcome(enum deed deed, struct rc rc, const struct err *err)
{
	if (rc.kind != outcomes[deed].kind || strstr(err->detail, outcomes[deed].says) == NULL)
		fail_msg("%d: %s: %s (%s)", (int)deed, err_kind_name(rc.kind), err->detail, err->cause);
}

static void what_is_put_off_fails_as_if_it_had_not_been(void **state)
{
	struct test_store *t = (struct test_store *)*state;
	GOOD(store_tx(t->store, first_account, NULL, &err));
	for (unsigned i = 0; i < DEED_COUNT; i++) {
		struct attempt a = { .deed = (enum deed)i };
		struct err err = { 0 };
		struct rc rc = store_tx(t->store, attempt, &a, &err);
		expect_outcome(a.deed, rc, &err);
		assert_int_equal(a.runs, outcomes[i].runs);
	}
	assert_int_equal(number_of(t, "SELECT COUNT(*) FROM accounts"), 3);
	assert_int_equal(number_of(t, "SELECT COUNT(*) FROM accounts WHERE contact = '[\"went on\"]'"), 1);
}

/* --- groups -------------------------------------------------------------------------------------------------------*/
#define MEMBERS 12

struct member {
	struct test_store *t;
	unsigned n;
	enum { BEHAVES, FAILS, MEETS_A_ROW, REFERS_TO_NOTHING, LOOKS_FIRST, FINDS_NO_ROOM } kind;
	_Atomic bool leads;
	unsigned runs;
	bool misled;
	pthread_t thread;
	struct rc rc;
	struct err err;
};

/* What those before it have put off is collected with its look, and none of it says that there is no such row. */
static fallible look_first(struct member *m, struct store_tx *tx, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct account_row seen;
	struct rc rc = account_by_id(tx, &mem, test_id(1), &seen, err);
	m->misled = m->misled || (FAILED(rc) && rc.kind != ERR_UNAVAILABLE);
	return rc;
}

static fallible member_tx(struct store_tx *tx, void *ctx, struct err *err)
{
	struct member *m = (struct member *)ctx;
	struct account_row a = test_account(test_id(10 + m->n), id_show(test_id(10 + m->n)).z);
	struct account_row first = test_account(test_id(1), "one");
	struct order_row orphan = test_order(test_id(5000 + m->n), test_id(NOBODY));
	const struct id authz = test_id(NOBODY);
	uint64_t changed;
	m->runs++;
	if (m->kind == FINDS_NO_ROOM)
		return tx_run(tx, "DO $$ BEGIN RAISE EXCEPTION 'no room' USING ERRCODE = '53100'; END $$", NULL, 0,
			      &changed, err);
	if (m->kind == LOOKS_FIRST)
		TRY(look_first(m, tx, err));
	TRY(account_insert(tx, &a, err));
	TRY(account_set_contact(tx, a.id, STR("[\"mine\"]"), err));
	if (m->kind == FAILS)
		FAIL(err, ERR_MALFORMED, "number %u did not like it", m->n);
	if (m->kind == REFERS_TO_NOTHING)
		return order_insert(tx, &orphan, &authz, 1, err);
	return m->kind == MEETS_A_ROW ? account_insert(tx, &first, err) : OK;
}

static void *member_main(void *arg)
{
	struct member *m = (struct member *)arg;
	m->rc = store_tx(m->t->store, member_tx, m, &m->err);
	return NULL;
}

/* The test's own patience is for a machine that is busy. */
static void wait_for(struct test_store *t, uint64_t waiting)
{
	for (unsigned turn = 0; turn < 60000 && store_stats(t->store).waiting < waiting; turn++)
		(void)nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
	assert_int_equal(store_stats(t->store).waiting, waiting);
}

/* The first one does not begin before the others wait, so that they are one group behind it. */
static fallible slow_tx(struct store_tx *tx, void *ctx, struct err *err)
{
	struct member *m = (struct member *)ctx;
	m->leads = true;
	wait_for(m->t, MEMBERS - 1);
	return member_tx(tx, ctx, err);
}

static void *slow_main(void *arg)
{
	struct member *m = (struct member *)arg;
	m->rc = store_tx(m->t->store, slow_tx, m, &m->err);
	return NULL;
}

static void expect_member(const struct member *m, bool any_room)
{
	static const struct {
		enum err_kind kind;
		const char *says;
	} rows[] = {
		[BEHAVES] = { ERR_NONE, "" },
		[FAILS] = { ERR_MALFORMED, "did not like it" },
		[MEETS_A_ROW] = { ERR_CONFLICT, "exists already" },
		[REFERS_TO_NOTHING] = { ERR_NOT_FOUND, "refers to another that is not there" },
		[LOOKS_FIRST] = { ERR_NONE, "" },
		[FINDS_NO_ROOM] = { ERR_UNAVAILABLE, "is full" },
	};
	const unsigned row = any_room ? m->kind : FINDS_NO_ROOM;
	char sql[120];
	(void)snprintf(sql, sizeof sql,
		       "SELECT COUNT(*) FROM accounts WHERE thumbprint = '%s' AND contact = '[\"mine\"]'",
		       id_show(test_id(10 + m->n)).z);
	if (m->rc.kind != rows[row].kind || strstr(m->err.detail, rows[row].says) == NULL)
		fail_msg("%u: %s: %s (%s)", m->n, err_kind_name(m->rc.kind), m->err.detail, m->err.cause);
	assert_int_equal(number_of(m->t, sql), rows[row].kind == ERR_NONE);
	assert_false(m->misled);
}

/* The first alone, and the others behind it in the order of their numbers. */
static void group_form(struct test_store *t, struct member m[MEMBERS])
{
	assert_int_equal(pthread_create(&m[0].thread, NULL, slow_main, &m[0]), 0);
	while (!m[0].leads)
		(void)nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
	for (unsigned i = 1; i < MEMBERS; i++) {
		if (i > 1)
			wait_for(t, i - 1);
		assert_int_equal(pthread_create(&m[i].thread, NULL, member_main, &m[i]), 0);
	}
	for (unsigned i = 0; i < MEMBERS; i++)
		assert_int_equal(pthread_join(m[i].thread, NULL), 0);
}

static void each_of_a_group_has_its_own_outcome(void **state)
{
	static const struct {
		unsigned kinds[3];
		enum { TOGETHER, SINGLY, BY_NOBODY } done; /* SINGLY: it was refused, and each is run again by itself */
	} rows[] = {
		{ { BEHAVES, BEHAVES, BEHAVES }, TOGETHER },
		{ { BEHAVES, FAILS, BEHAVES }, TOGETHER },
		{ { FAILS, BEHAVES, MEETS_A_ROW }, SINGLY },
		{ { FAILS, FAILS, FAILS }, TOGETHER },
		{ { MEETS_A_ROW, MEETS_A_ROW, BEHAVES }, SINGLY },
		{ { LOOKS_FIRST, BEHAVES, REFERS_TO_NOTHING }, SINGLY },
	};
	struct test_store *t = (struct test_store *)*state;
	GOOD(store_tx(t->store, first_account, NULL, &err));
	for (size_t row = 0; row < ARRAY_LEN(rows); row++) {
		struct member m[MEMBERS];
		uint64_t commits = store_stats(t->store).commits;
		for (unsigned i = 0; i < MEMBERS; i++) {
			m[i] = (struct member){ .t = t, .n = (unsigned)row * MEMBERS + i };
			m[i].kind = i == 0 ? BEHAVES : rows[row].kinds[i % 3];
		}
		group_form(t, m);
		for (unsigned i = 0; i < MEMBERS; i++)
			expect_member(&m[i], i == 0 || rows[row].done != BY_NOBODY);
		commits = store_stats(t->store).commits - commits;
		assert_int_equal(m[0].runs, 1);
		assert_true(rows[row].done == SINGLY ? m[1].runs >= 2 : m[1].runs == 1);
		assert_true(rows[row].done == SINGLY || commits == (rows[row].done == TOGETHER ? 2 : 1));
	}
	assert_int_equal(number_of(t, "SELECT COUNT(*) FROM accounts WHERE thumbprint = 'one'"), 1);
}

/* --- in each other's way ------------------------------------------------------------------------------------------*/
#define WRITERS 8
#define TIMES 25

struct writer {
	struct store *store;
	store_fn *fn;
	unsigned taken;
};

/* One number that all of them read and write: whoever did not see the other's would count too few. */
static fallible take_limit(struct store_tx *tx, void *ctx, struct err *err)
{
	int64_t wait;
	TRY(limit_take(tx, STR("all"), T_START, 1, 1000, WRITERS * TIMES / 2, &wait, err));
	*(bool *)ctx = wait == 0;
	return OK;
}

/* Rows that all of them count before they add one: two who did not see the other's would both be the last. */
static fallible take_row(struct store_tx *tx, void *ctx, struct err *err)
{
	static _Atomic uint32_t next = 1000;
	AUTO(rows_done) struct rows r = { 0 };
	struct id id = test_id(next++);
	struct account_row a = test_account(id, id_show(id).z);
	TRY(rows_one(&r, tx, "count", "SELECT COUNT(*) FROM accounts", NULL, 0, err));
	*(bool *)ctx = rows_i64(&r, 0) < WRITERS * TIMES / 2;
	return *(bool *)ctx ? account_insert(tx, &a, err) : OK;
}

static void *writer_main(void *arg)
{
	struct writer *w = (struct writer *)arg;
	for (unsigned i = 0; i < TIMES; i++) {
		bool taken = false;
		struct err err = { 0 };
		if (FAILED(store_tx(w->store, w->fn, &taken, &err)))
			fail_msg("%s (%s)", err.detail, err.cause);
		w->taken += taken;
	}
	return NULL;
}

static void two_programs_take_no_more_than_there_is(void **state)
{
	static store_fn *const fns[] = { take_limit, take_row };
	struct test_store *t = (struct test_store *)*state;
	struct store *other; /* as of another program: what one keeps apart, two do not */
	GOOD(store_open(str_z(t->url), 4, &t->clock, &other, &err));
	for (size_t f = 0; f < ARRAY_LEN(fns); f++) {
		struct writer w[WRITERS];
		pthread_t threads[WRITERS];
		unsigned taken = 0;
		for (size_t i = 0; i < WRITERS; i++) {
			w[i] = (struct writer){ .store = i % 2 == 0 ? t->store : other, .fn = fns[f] };
			assert_int_equal(pthread_create(&threads[i], NULL, writer_main, &w[i]), 0);
		}
		for (size_t i = 0; i < WRITERS; i++) {
			assert_int_equal(pthread_join(threads[i], NULL), 0);
			taken += w[i].taken;
		}
		assert_int_equal(taken, WRITERS * TIMES / 2);
	}
	store_close(other);
}

struct crossed {
	struct test_store *t;
	unsigned runs;
	bool taken;
};

/* Somebody who does not wait for his turn, between what is read and what is written: an operator, or a program from before. */
static fallible crossed_tx(struct store_tx *tx, void *ctx, struct err *err)
{
	struct crossed *c = (struct crossed *)ctx;
	char sql[240];
	AUTO(arena_done) struct arena mem = { 0 };
	struct account_row a;
	TRY(account_by_id(tx, &mem, test_id(1), &a, err));
	(void)snprintf(
		sql, sizeof sql,
		"BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT contact FROM %s.accounts; UPDATE %s.accounts SET contact"
		" = contact || '+'; COMMIT",
		c->t->schema, c->t->schema);
	if (c->runs++ == 0)
		test_pg_run(sql);
	char contact[64];
	(void)snprintf(contact, sizeof contact, "%.*s!", STR_FMT(a.contact));
	return account_set_contact(tx, test_id(1), str_z(contact), err);
}

static void who_does_not_wait_has_others_run_again(void **state)
{
	struct test_store *t = (struct test_store *)*state;
	struct crossed c = { .t = t };
	GOOD(store_tx(t->store, first_account, NULL, &err));
	GOOD(store_tx(t->store, crossed_tx, &c, &err));
	assert_int_equal(c.runs, 2);
	assert_int_equal(store_stats(t->store).busy, 1);
	assert_int_equal(number_of(t, "SELECT COUNT(*) FROM accounts WHERE contact LIKE '%]+!'"), 1);
}

/* --- reads --------------------------------------------------------------------------------------------------------*/
struct reading {
	struct test_store *t;
	unsigned looks; /* how often it looks; another program writes before the last one */
	int64_t divisor, first, last;
	unsigned runs;
};

static fallible reading_tx(struct store_tx *tx, void *ctx, struct err *err)
{
	struct reading *d = (struct reading *)ctx;
	char sql[120];
	(void)snprintf(sql, sizeof sql, "UPDATE %s.accounts SET tos_agreed_at = tos_agreed_at + 1", d->t->schema);
	d->runs++;
	for (unsigned i = 0; i < d->looks; i++) {
		AUTO(rows_done) struct rows r = { 0 };
		if (i > 0 && i + 1 == d->looks)
			test_pg_run(sql);
		TRY(rows_one(&r, tx, "account", "SELECT tos_agreed_at / $1 FROM accounts", ARGS(A_I64(d->divisor)),
			     err));
		d->last = rows_i64(&r, 0);
		if (i == 0)
			d->first = d->last;
	}
	return OK;
}

/* Its end goes with what was its last statement so far, and there may be more or fewer the next time. */
static void a_read_sees_one_moment_however_many_statements_it_has(void **state)
{
	static const struct {
		unsigned looks, runs;
	} rows[] = { { 1, 1 }, { 1, 1 }, { 2, 2 }, { 2, 1 }, { 5, 2 }, { 3, 1 }, { 5, 1 }, { 1, 1 }, { 6, 2 } };
	struct test_store *t = (struct test_store *)*state;
	GOOD(store_tx(t->store, first_account, NULL, &err));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct reading d = { .t = t, .looks = rows[i].looks, .divisor = 1 };
		GOOD(store_read(t->store, reading_tx, &d, &err));
		assert_int_equal(d.first, d.last);
		assert_int_equal(d.runs, rows[i].runs);
		struct reading wrong = { .t = t, .looks = rows[i].looks };
		BAD(store_read(t->store, reading_tx, &wrong, &err), ERR_INTERNAL, "refused a statement");
	}
	/* Nothing of these stays open: the last COMMIT is on its way. */
	static const char open_sql[] = "SELECT COUNT(*) FROM pg_stat_activity WHERE application_name = current_schema()"
				       " AND state LIKE 'idle in%'";
	for (unsigned turn = 0; turn < 500 && number_of(t, open_sql) != 0; turn++)
		(void)nanosleep(&(struct timespec){ 0, 10000000 }, NULL);
	assert_int_equal(number_of(t, open_sql), 0);
}

static fallible writing_read(struct store_tx *tx, void *ctx, struct err *err)
{
	(void)ctx;
	return account_set_contact(tx, test_id(1), STR("[\"by a read\"]"), err);
}

static void a_read_does_not_write(void **state)
{
	struct test_store *t = (struct test_store *)*state;
	GOOD(store_tx(t->store, first_account, NULL, &err));
	for (unsigned i = 0; i < 3; i++)
		BAD(store_read(t->store, writing_read, NULL, &err), ERR_INTERNAL, "refused a statement");
	assert_int_equal(number_of(t, "SELECT COUNT(*) FROM accounts WHERE contact LIKE '%read%'"), 0);
}

int main(void)
{
	if (test_pg() == NULL) {
		(void)puts("no CAIRN_TEST_PG: tests/pg/with-postgres.sh runs this");
		return 77; /* skipped */
	}
#define STORE(f) cmocka_unit_test_setup_teardown(f, setup_store, teardown_store)
	const struct CMUnitTest tests[] = {
		STORE(what_is_put_off_fails_as_if_it_had_not_been),
		STORE(each_of_a_group_has_its_own_outcome),
		STORE(two_programs_take_no_more_than_there_is),
		STORE(who_does_not_wait_has_others_run_again),
		STORE(a_read_sees_one_moment_however_many_statements_it_has),
		STORE(a_read_does_not_write),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * pgsql_test.c: what only a server of databases can do to a transaction: connections that end before and while it commits,
 * programs that start at the same time. Runs with CAIRN_TEST_PG (tests/pg/with-postgres.sh).
 */
#include "store/pgsql_standby.h"
#include "store/testing.h"

#include <poll.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/un.h>

/* --- a server between us and the database, which cuts connections -------------------------------------------------*/
enum cut { CUT_NOTHING, CUT_BEFORE_COMMIT, CUT_AFTER_COMMIT };

struct proxy {
	char folder[64], path[sizeof((struct sockaddr_un *)NULL)->sun_path];
	int listener;
	_Atomic int cut;    /* once */
	_Atomic bool spoil; /* once: BEGIN becomes what the server refuses */
	_Atomic int cuts, connections;
	pthread_t thread;
};
struct pair {
	struct proxy *proxy;
	int client;
};

static int socket_at(struct sockaddr_un *at, const char *folder)
{
	*at = (struct sockaddr_un){ .sun_family = AF_UNIX };
	(void)snprintf(at->sun_path, sizeof at->sun_path, "%s/.s.PGSQL.5432", folder);
	return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static int connect_real(void)
{
	char run[80];
	struct sockaddr_un at;
	(void)snprintf(run, sizeof run, "%s/run", getenv("CAIRN_TEST_PG_DIR"));
	int fd = socket_at(&at, run);
	return fd >= 0 && connect(fd, (struct sockaddr *)&at, sizeof at) == 0 ? fd : -1;
}

/* Passes bytes on; false: the end of the connection, or the moment to cut it. */
static bool pass(struct proxy *p, int from, int to, bool is_client)
{
	char bytes[16384];
	ssize_t n = read(from, bytes, sizeof bytes);
	if (n <= 0)
		return false;
	char *serializable = is_client && p->spoil ? memmem(bytes, (size_t)n, "SERIALIZABLE", 12) : NULL;
	if (serializable != NULL && atomic_exchange(&p->spoil, false))
		serializable[0] = 'X';
	if (is_client && p->cut != CUT_NOTHING && memmem(bytes, (size_t)n, "COMMIT", 6) != NULL) {
		int cut = atomic_exchange(&p->cut, CUT_NOTHING);
		p->cuts++;
		/* It has committed when it answers; the answer goes nowhere. */
		if (cut == CUT_AFTER_COMMIT && (write(to, bytes, (size_t)n) != n || read(to, bytes, sizeof bytes) <= 0))
			fail_msg("the database did not answer");
		return false;
	}
	return write(to, bytes, (size_t)n) == n;
}

static void *pair_main(void *arg)
{
	struct pair *pair = (struct pair *)arg;
	int server = connect_real();
	struct pollfd p[2] = { { .fd = pair->client, .events = POLLIN }, { .fd = server, .events = POLLIN } };
	bool open = server >= 0;
	while (open && poll(p, 2, -1) > 0) {
		if (p[0].revents != 0)
			open = pass(pair->proxy, pair->client, server, true);
		if (open && p[1].revents != 0)
			open = pass(pair->proxy, server, pair->client, false);
	}
	(void)close(server);
	(void)close(pair->client);
	free(pair);
	return NULL;
}

static void *proxy_main(void *arg)
{
	struct proxy *p = (struct proxy *)arg;
	for (int fd; (fd = accept(p->listener, NULL, NULL)) >= 0;) {
		struct pair *pair = (struct pair *)calloc(1, sizeof *pair);
		pthread_t thread;
		*pair = (struct pair){ p, fd };
		p->connections++;
		assert_int_equal(pthread_create(&thread, NULL, pair_main, pair), 0);
		(void)pthread_detach(thread);
	}
	return NULL;
}

static void proxy_open(struct proxy *p)
{
	struct sockaddr_un at;
	*p = (struct proxy){ .folder = "/tmp/cairn-proxy-XXXXXX" };
	assert_non_null(mkdtemp(p->folder));
	p->listener = socket_at(&at, p->folder);
	(void)snprintf(p->path, sizeof p->path, "%s", at.sun_path);
	assert_int_equal(bind(p->listener, (struct sockaddr *)&at, sizeof at), 0);
	assert_int_equal(listen(p->listener, 16), 0);
	assert_int_equal(pthread_create(&p->thread, NULL, proxy_main, p), 0);
}

static void proxy_close(struct proxy *p)
{
	(void)shutdown(p->listener, SHUT_RDWR);
	(void)pthread_join(p->thread, NULL);
	(void)close(p->listener);
	(void)unlink(p->path);
	(void)rmdir(p->folder);
}

/* The same database by way of the proxy. */
static struct store *open_through_as(struct test_store *t, struct proxy *p, bool pooler)
{
	char url[320];
	(void)snprintf(url, sizeof url, "postgresql://cairn@/cairn?host=%s&options=-csearch_path%%3D%s", p->folder,
		       t->schema);
	struct store_where w = { .url = str_z(url), .connections = 4, .pooler = pooler };
	struct store *s;
	GOOD(store_open_at(&w, &t->clock, &s, &err));
	return s;
}

static struct store *open_through(struct test_store *t, struct proxy *p)
{
	return open_through_as(t, p, false);
}

/* --- transactions -------------------------------------------------------------------------------------------------*/
struct visit {
	struct id id;
	unsigned runs;
	char cut_sql[120]; /* run outside of the transaction, in its first run */
};

static fallible visit(struct store_tx *tx, void *ctx, struct err *err)
{
	struct visit *v = (struct visit *)ctx;
	struct account_row a = test_account(v->id, id_show(v->id).z);
	TRY(account_insert(tx, &a, err));
	if (v->runs++ == 0 && v->cut_sql[0] != '\0')
		test_pg_run(v->cut_sql);
	return account_set_contact(tx, v->id, STR("[]"), err);
}

static fallible count_accounts(struct store_tx *tx, void *ctx, struct err *err)
{
	struct store_counts c;
	TRY(store_count(tx, &c, err));
	*(uint64_t *)ctx = c.accounts;
	return OK;
}

static uint64_t accounts_in(struct store *s)
{
	uint64_t n = 0;
	GOOD(store_read(s, count_accounts, &n, &err));
	return n;
}

static void a_connection_that_ends_in_a_transaction_has_it_run_again(void **state)
{
	struct test_store *t = (struct test_store *)*state;
	struct visit v = { .id = test_id(1) };
	(void)snprintf(v.cut_sql, sizeof v.cut_sql,
		       "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '%s'",
		       t->schema);
	GOOD(store_tx(t->store, visit, &v, &err));
	assert_int_equal(v.runs, 2);
	assert_int_equal(accounts_in(t->store), 1);
	/* The connections that rest were ended as well. */
	struct visit w = { .id = test_id(2) };
	test_pg_run(v.cut_sql);
	GOOD(store_tx(t->store, visit, &w, &err));
	test_pg_run(v.cut_sql);
	assert_int_equal(accounts_in(t->store), 2);
}

static void a_commit_whose_answer_is_lost_is_done_once(void **state)
{
	static const struct {
		enum cut cut;
		unsigned runs;
	} rows[] = { { CUT_BEFORE_COMMIT, 2 }, { CUT_AFTER_COMMIT, 1 } };
	struct test_store *t = (struct test_store *)*state;
	struct proxy p;
	proxy_open(&p);
	struct store *s = open_through(t, &p);
	for (uint32_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct visit v = { .id = test_id(i) };
		p.cut = rows[i].cut;
		struct err err = { 0 };
		must(store_tx(s, visit, &v, &err), &err);
		assert_int_equal(err.kind, ERR_NONE);
		assert_int_equal(p.cuts, (int)i + 1);
		assert_int_equal(v.runs, rows[i].runs);
		assert_int_equal(accounts_in(t->store), i + 1);
	}
	store_close(s);
	proxy_close(&p);
}

/* What a crash does is to begin the statistics anew. The number of the commit then says nothing. */
static void a_commit_whose_answer_is_lost_with_the_server_is_not_guessed(void **state)
{
	struct test_store *t = (struct test_store *)*state;
	struct proxy p;
	proxy_open(&p);
	struct store *s = open_through(t, &p);
	struct visit v = { .id = test_id(1), .cut_sql = "SELECT pg_stat_reset_shared('bgwriter')" };
	p.cut = CUT_AFTER_COMMIT;
	BAD(store_tx(s, visit, &v, &err), ERR_UNAVAILABLE, "the connection to the database was lost");
	assert_int_equal(v.runs, 1);
	store_close(s);
	proxy_close(&p);
}

static void write_marked(struct test_store *t, const struct pgsql_target *target, struct pgsql_mark *ret)
{
	struct db *db = pgsql_new(target);
	struct store_tx tx = { db, &t->clock };
	struct visit v = { .id = test_id(1) };
	GOOD(pgsql_begin_group(db, false, &err));
	GOOD(visit(&tx, &v, &err));
	*ret = *pgsql_mark(db);
	GOOD(db->ops->commit(db, &err));
	db->ops->close(db);
}

/* A commit of who asks has to come after it, and its answer back: a server that waits for its synchronous standby calls
 * "committed" what that has not got, once the one that waited is ended. */
static void a_commit_is_not_believed_before_a_later_one_is_through(void **state)
{
	struct test_store *t = (struct test_store *)*state;
	static const struct {
		enum cut cut;
		enum err_kind kind;
	} rows[] = { { CUT_NOTHING, ERR_NONE },
		     { CUT_BEFORE_COMMIT, ERR_UNAVAILABLE },
		     { CUT_AFTER_COMMIT, ERR_UNAVAILABLE },
		     { CUT_NOTHING, ERR_NONE } };
	struct proxy p;
	struct pgsql_target target = { 0 };
	struct pgsql_mark mark;
	char url[320];
	proxy_open(&p);
	(void)snprintf(url, sizeof url, "postgresql://cairn@/cairn?host=%s&options=-csearch_path%%3D%s", p.folder,
		       t->schema);
	GOOD(pgsql_target_make(str_z(url), NULL, false, false, &target, &err));
	write_marked(t, &target, &mark);
	struct db *db = pgsql_new(&target);
	for (int i = 0; i < (int)ARRAY_LEN(rows); i++) {
		enum pgsql_outcome outcome = PGSQL_CANNOT_TELL;
		p.cut = rows[i].cut;
		assert_int_equal(pgsql_outcome(db, &mark, &outcome, NULL).kind, rows[i].kind);
		assert_int_equal(p.cut, CUT_NOTHING); /* there was a COMMIT to cut */
		assert_true(rows[i].kind != ERR_NONE || outcome == PGSQL_COMMITTED);
	}
	db->ops->close(db);
	pgsql_target_done(&target);
	proxy_close(&p);
}

static void a_server_that_is_gone_is_said_and_comes_back(void **state)
{
	struct test_store *t = (struct test_store *)*state;
	struct proxy p;
	proxy_open(&p);
	struct store *s = open_through(t, &p);
	char away[sizeof p.path + 8];
	(void)snprintf(away, sizeof away, "%s.away", p.path);
	assert_int_equal(rename(p.path, away), 0);
	p.cut = CUT_BEFORE_COMMIT;
	struct visit v = { .id = test_id(1) };
	uint64_t n;
	BAD(store_tx(s, visit, &v, &err), ERR_UNAVAILABLE, "the connection to the database was lost");
	assert_int_equal(v.runs, 1);
	struct err why = { 0 };
	assert_int_equal(store_read(s, count_accounts, &n, &why).kind, ERR_UNAVAILABLE);
	assert_null(strstr(why.detail, p.folder)); /* where the server is belongs in the log */
	assert_non_null(strstr(why.cause, "No such file"));
	assert_int_equal(rename(away, p.path), 0);
	GOOD(store_tx(s, visit, &v, &err));
	assert_int_equal(accounts_in(t->store), 1);
	store_close(s);
	proxy_close(&p);
}

/* --- starting -----------------------------------------------------------------------------------------------------*/
static void *open_main(void *arg)
{
	struct test_store *t = (struct test_store *)arg;
	struct store *s = NULL;
	struct err err = { 0 };
	if (FAILED(store_open(str_z(t->url), 2, &t->clock, &s, &err)))
		fail_msg("%s (%s)", err.detail, err.cause);
	return s;
}

static void programs_that_start_together_migrate_once(void **state)
{
	struct test_store *t = (struct test_store *)*state;
	char sql[160];
	store_close(t->store);
	t->store = NULL;
	(void)snprintf(sql, sizeof sql, "SET client_min_messages = error; DROP SCHEMA %s CASCADE; CREATE SCHEMA %s",
		       t->schema, t->schema);
	test_pg_run(sql);
	pthread_t threads[4];
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, open_main, t), 0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
		void *s;
		assert_int_equal(pthread_join(threads[i], &s), 0);
		store_close((struct store *)s);
	}
}

struct look {
	const char *sql;
	int64_t n;
};

static fallible look(struct store_tx *tx, void *ctx, struct err *err)
{
	struct look *l = (struct look *)ctx;
	AUTO(rows_done) struct rows r = { 0 };
	TRY(rows_one(&r, tx, "count", l->sql, NULL, 0, err));
	l->n = rows_i64(&r, 0);
	return OK;
}

static int64_t look_at(struct store *s, const char *sql)
{
	struct look l = { .sql = sql };
	GOOD(store_read(s, look, &l, &err));
	return l.n;
}

/* --- behind a pooler ----------------------------------------------------------------------------------------------*/
/* As behind a pooler in transaction mode: nothing is expected of a session. */
static struct store *open_pooled(struct test_store *t)
{
	struct store_where w = { .url = str_z(t->url), .connections = 2, .pooler = true };
	struct store *s;
	GOOD(store_open_at(&w, &t->clock, &s, &err));
	return s;
}

struct turn {
	struct test_store *t;
	struct store *next; /* whose transaction waits for the first one's end */
	unsigned runs;
	pthread_t thread;
	struct rc rc;
};

static fallible look_and_write(struct store_tx *tx, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct account_row a;
	TRY(account_by_id(tx, &mem, test_id(1), &a, err));
	return account_set_contact(tx, test_id(1), str_fmt(&mem, "%.*s+", STR_FMT(a.contact)), err);
}

static fallible second_turn(struct store_tx *tx, void *ctx, struct err *err)
{
	((struct turn *)ctx)->runs++;
	return look_and_write(tx, err);
}

static void *second_turn_main(void *arg)
{
	struct turn *w = (struct turn *)arg;
	w->rc = store_tx(w->next, second_turn, w, NULL);
	return NULL;
}

static fallible first_turn(struct store_tx *tx, void *ctx, struct err *err)
{
	static const char waiting[] = "SELECT COUNT(*) FROM pg_stat_activity WHERE application_name = "
				      "current_schema() AND wait_event_type = 'Lock'";
	struct turn *w = (struct turn *)ctx;
	TRY(look_and_write(tx, err));
	TRY(look_and_write(tx, err)); /* a look: the lock is ours from now on */
	assert_int_equal(pthread_create(&w->thread, NULL, second_turn_main, w), 0);
	for (unsigned turn = 0; turn < 400 && look_at(w->t->store, waiting) == 0; turn++)
		(void)nanosleep(&(struct timespec){ 0, 10000000 }, NULL);
	return OK;
}

static void who_waits_behind_a_pooler_sees_what_was_done_before_him(void **state)
{
	struct test_store *t = (struct test_store *)*state;
	struct store *first = open_pooled(t);
	struct turn w = { .t = t, .next = open_pooled(t) };
	struct visit v = { .id = test_id(1) };
	GOOD(store_tx(t->store, visit, &v, &err));
	GOOD(store_tx(first, first_turn, &w, &err));
	assert_int_equal(pthread_join(w.thread, NULL), 0);
	assert_int_equal(w.rc.kind, ERR_NONE);
	assert_int_equal(w.runs, 1);
	assert_int_equal(store_stats(w.next).busy, 0);
	assert_int_equal(look_at(t->store, "SELECT COUNT(*) FROM accounts WHERE contact = '[]+++'"), 1);
	store_close(w.next);
	store_close(first);
}

/* As by a standby, which a pooler has turned to. */
static void a_begin_that_is_refused_is_tried_elsewhere(void **state)
{
	struct test_store *t = (struct test_store *)*state;
	struct proxy p;
	proxy_open(&p);
	struct store *s = open_through_as(t, &p, true);
	for (uint32_t i = 0; i < 2; i++) {
		struct visit v = { .id = test_id(i) };
		int connections = p.connections;
		p.spoil = i == 0;
		GOOD(store_tx(s, visit, &v, &err));
		assert_false(p.spoil);
		assert_int_equal(v.runs, i == 0 ? 2 : 1);
		assert_int_equal(p.connections, connections + (i == 0 ? 1 : 0));
	}
	assert_int_equal(accounts_in(t->store), 2);
	store_close(s);
	proxy_close(&p);
}

/* A server's file may say that commits are acknowledged early, and may come to say so later. */
static void no_commit_is_early_whatever_the_server_is_told(void **state)
{
	static const char *const told[] = { "ALTER SYSTEM SET synchronous_commit = off",
					    "ALTER SYSTEM SET deadlock_timeout = '1001ms'", "SELECT pg_reload_conf()" };
	static const char *const undone[] = { "ALTER SYSTEM RESET ALL", "SELECT pg_reload_conf()" };
	static const char is_told[] = "SELECT CASE current_setting('deadlock_timeout') WHEN '1001ms' THEN 1 ELSE 0 END";
	static const char is_early[] = "SELECT CASE current_setting('synchronous_commit') WHEN 'off' THEN 1 ELSE 0 END";
	struct test_store *t = (struct test_store *)*state;
	struct store *pooled = open_pooled(t);
	struct store *const stores[] = { t->store, pooled };
	for (size_t i = 0; i < ARRAY_LEN(stores); i++)
		assert_int_equal(look_at(stores[i], is_told), 0);
	for (size_t i = 0; i < ARRAY_LEN(told); i++)
		test_pg_run(told[i]);
	int64_t early = 0, late = 0;
	for (size_t i = 0; i < ARRAY_LEN(stores); i++) {
		for (unsigned turn = 0; turn < 1000 && look_at(stores[i], is_told) == 0; turn++)
			(void)nanosleep(&(struct timespec){ 0, 10000000 }, NULL);
		late += look_at(stores[i], is_told);
		early += look_at(stores[i], is_early);
	}
	for (size_t i = 0; i < ARRAY_LEN(undone); i++) /* for the tests to come, first of all */
		test_pg_run(undone[i]);
	assert_int_equal(late, ARRAY_LEN(stores));
	assert_int_equal(early, 0);
	store_close(pooled);
}

/* --- databases of earlier programs --------------------------------------------------------------------------------*/
static void make_version(struct test_store *t, size_t count)
{
	struct pgsql_target target = { 0 };
	GOOD(pgsql_target_make(str_z(t->url), NULL, false, false, &target, &err));
	struct db *db = pgsql_new(&target);
	GOOD(pgsql_begin_migration(db, &err));
	GOOD(store_migrate(db, &t->clock, store_migrations, count, &err));
	GOOD(db->ops->commit(db, &err));
	db->ops->close(db);
	pgsql_target_done(&target);
}

static void databases_of_before_are_migrated_with_their_rows(void **state)
{
	static const size_t versions[] = { 1, 7, 8, 9 };
	static const char rows[] =
		"INSERT INTO accounts (id, realm, thumbprint, jwk, status, contact, tos_agreed_at, eab_kid, created_at,"
		" created_ip) VALUES ('\\x01', 'r', 't', '{}', 'valid', '[]', 0, '', 1, '');"
		" INSERT INTO orders (id, account, realm, profile, status, identifiers, not_before_s, not_after_s,"
		" created_at, expires_at, ended_at, error) SELECT decode(to_char(n, 'FM0999'), 'hex'), '\\x01', 'r', "
		"'p',"
		" 'invalid', '[]', 0, 0, 1, 2, 3, '' FROM generate_series(1, 40) n";
	struct test_store *t = (struct test_store *)*state;
	char sql[800];
	for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
		store_close(t->store);
		t->store = NULL;
		(void)snprintf(sql, sizeof sql,
			       "SET client_min_messages = error; DROP SCHEMA %s CASCADE; CREATE SCHEMA %s", t->schema,
			       t->schema);
		test_pg_run(sql);
		make_version(t, versions[i]);
		(void)snprintf(sql, sizeof sql, "SET search_path = %s; %s", t->schema, rows);
		test_pg_run(sql);
		test_open(t);
		assert_int_equal(look_at(t->store, "SELECT MAX(version) FROM schema_version"),
				 store_migrations[store_migration_count - 1].version);
		assert_int_equal(look_at(t->store, "SELECT COUNT(*) FROM orders WHERE status = 'invalid'"), 40);
		assert_int_equal(look_at(t->store,
					 "SELECT COUNT(*) FROM pg_indexes WHERE schemaname = current_schema()"
					 " AND indexname = 'orders_ended' AND indexdef LIKE '%(ended_at, id)%'"),
				 1);
	}
}

/* --- months -------------------------------------------------------------------------------------------------------*/
#define JANUARY_2024 "FOR VALUES FROM ('\\x018cc251f400') TO ('\\x018d61f71800')"
static const uint8_t in_january[] = { 0x01, 0x8c, 0xc2, 0x51, 0xf4, 0x00, 0x70 };

static struct id id_in_january(uint8_t n)
{
	struct id id = { { 0 } };
	memcpy(id.b, in_january, sizeof in_january);
	id.b[15] = n;
	return id;
}

static fallible compact(struct store_tx *tx, void *ctx, struct err *err)
{
	return sweep_compact(tx, (bool *)ctx, err);
}

static fallible old_certificate(struct store_tx *tx, void *ctx, struct err *err)
{
	(void)ctx;
	struct account_row a = test_account(id_in_january(1), "thumb");
	struct order_row o = test_order(id_in_january(2), a.id);
	struct authz_row z = test_authz(id_in_january(3), a.id);
	struct certificate_row c = test_certificate(id_in_january(4), o.id, a.id, "0a");
	TRY(account_insert(tx, &a, err));
	TRY(authz_insert(tx, &z, err));
	TRY(order_insert(tx, &o, &z.id, 1, err));
	return certificate_insert(tx, &c, NULL, 0, err);
}

/* Of the same order or serial, in the part of another month. */
static fallible second_certificate(struct store_tx *tx, void *ctx, struct err *err)
{
	struct certificate_row c = test_certificate(test_id(9), id_in_january(2), id_in_january(1), (const char *)ctx);
	return certificate_insert(tx, &c, NULL, 0, err);
}

static fallible retain_nothing(struct store_tx *tx, void *ctx, struct err *err)
{
	struct retention all = { .ended_before = T_START, .expired_before_s = T_START / 1000, .limit = 100 };
	size_t removed;
	return sweep_retention(tx, &all, &removed, (bool *)ctx, err);
}

static void a_month_goes_when_nothing_is_left_in_it(void **state)
{
	struct test_store *t = (struct test_store *)*state;
	static const char parts[] = "SELECT COUNT(*) FROM pg_class WHERE relnamespace = current_schema()::regnamespace"
				    " AND relname IN ('certificates_202401', 'verdicts_202401')";
	static const char ahead[] = "SELECT COUNT(*) FROM pg_class WHERE relnamespace = current_schema()::regnamespace"
				    " AND relkind = 'r' AND relname ~ '^(certificates|verdicts|order_authz)_[0-9]{6}$'"
				    " AND relname NOT LIKE '%202401'";
	static const char in_part[] = "SELECT COUNT(*) FROM certificates_202401";
	char sql[400];
	bool more;
	(void)snprintf(sql, sizeof sql,
		       "SET search_path = %s; CREATE TABLE certificates_202401 PARTITION OF certificates " JANUARY_2024
		       "; CREATE TABLE verdicts_202401 PARTITION OF verdicts " JANUARY_2024,
		       t->schema);
	test_pg_run(sql);
	assert_int_equal(look_at(t->store, ahead), 9); /* this month and the next two, of each */
	GOOD(store_tx(t->store, old_certificate, NULL, &err));
	assert_int_equal(look_at(t->store, in_part), 1);
	BAD(store_tx(t->store, second_certificate, (void *)(uintptr_t) "0b", &err), ERR_CONFLICT, "exists already");
	BAD(store_tx(t->store, second_certificate, (void *)(uintptr_t) "0a", &err), ERR_CONFLICT, "exists already");
	GOOD(store_tx(t->store, compact, &more, &err));
	assert_int_equal(look_at(t->store, parts), 1); /* the one with the certificate stays */
	GOOD(store_tx(t->store, retain_nothing, &more, &err));
	GOOD(store_tx(t->store, compact, &more, &err));
	assert_int_equal(look_at(t->store, parts), 0);
	assert_int_equal(look_at(t->store, "SELECT COUNT(*) FROM certificate_orders"), 0);
	assert_int_equal(look_at(t->store, "SELECT COUNT(*) FROM orders"), 0);
}

/* As pg_dump, or somebody's report. */
static PGconn *reader_open(const struct test_store *t, const char *table)
{
	char sql[200];
	PGconn *h = PQconnectdb(test_pg());
	(void)snprintf(sql, sizeof sql, "BEGIN; LOCK TABLE %s.%s IN ACCESS SHARE MODE", t->schema, table);
	PGresult *r = PQexec(h, sql);
	assert_int_equal(PQresultStatus(r), PGRES_COMMAND_OK);
	PQclear(r);
	return h;
}

/* An end that the server has said: that of a connection comes when it comes. */
static void reader_close(PGconn *h)
{
	PQclear(PQexec(h, "ROLLBACK"));
	PQfinish(h);
}

static void months_wait_for_no_reader(void **state)
{
	struct test_store *t = (struct test_store *)*state;
	static const char parts[] = "SELECT COUNT(*) FROM pg_class WHERE relnamespace = current_schema()::regnamespace"
				    " AND relkind = 'r' AND relname ~ '^verdicts_[0-9]{6}$'";
	static const char patience[] =
		"SELECT COUNT(*) FROM pg_proc WHERE pronamespace = current_schema()::regnamespace"
		" AND proname = 'months_keep' AND 'lock_timeout=100ms' = ANY (proconfig)";
	static const struct {
		const char *change;
		int64_t during, after;
	} rows[] = {
		{ "CREATE TABLE verdicts_202401 PARTITION OF verdicts " JANUARY_2024, 4, 3 },
		{ "DO $$ BEGIN EXECUTE to_char(now() AT TIME ZONE 'UTC' + interval '1 month',"
		  " '\"DROP TABLE verdicts_\"YYYYMM'); END $$",
		  2, 3 },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char sql[400];
		bool more = false;
		(void)snprintf(sql, sizeof sql, "SET search_path = %s; %s", t->schema, rows[i].change);
		test_pg_run(sql);
		PGconn *reader = reader_open(t, "verdicts");
		GOOD(store_tx(t->store, compact, &more, &err)); /* which comes back: the reader does not end before */
		assert_int_equal(look_at(t->store, parts), rows[i].during);
		reader_close(reader);
		/* A machine that is busy, or a vacuum, may take the tenth of a second. */
		for (unsigned turn = 0; turn < 100 && look_at(t->store, parts) != rows[i].after; turn++)
			GOOD(store_tx(t->store, compact, &more, &err));
		assert_int_equal(look_at(t->store, parts), rows[i].after);
	}
	assert_int_equal(look_at(t->store, patience), 1);
}

enum { TOGETHER = 6 };
struct tidy {
	struct store *store;
	store_fn *fn;
	_Atomic unsigned *waiting;
	struct id id;
	pthread_t thread;
	struct rc rc;
};

/* The first one does not end before the others have come, so that they are one group behind it. */
static fallible come_first(struct store_tx *tx, void *ctx, struct err *err)
{
	const struct tidy *m = (const struct tidy *)ctx;
	struct account_row a = test_account(m->id, id_show(m->id).z);
	while (*m->waiting < TOGETHER - 1)
		(void)nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
	(void)nanosleep(&(struct timespec){ 0, 50000000 }, NULL); /* for the way from there into the list */
	return account_insert(tx, &a, err);
}

static fallible come_later(struct store_tx *tx, void *ctx, struct err *err)
{
	const struct tidy *m = (const struct tidy *)ctx;
	struct account_row a = test_account(m->id, id_show(m->id).z);
	return account_insert(tx, &a, err);
}

static fallible tidy_and_fail(struct store_tx *tx, void *ctx, struct err *err)
{
	bool more;
	(void)ctx;
	TRY(sweep_compact(tx, &more, err));
	FAIL(err, ERR_MALFORMED, "something else went wrong");
}

static void *tidy_main(void *arg)
{
	struct tidy *m = (struct tidy *)arg;
	(*m->waiting) += m->fn != come_first;
	m->rc = store_tx(m->store, m->fn, m, NULL);
	return NULL;
}

static void months_stay_as_they_were_when_their_transaction_fails(void **state)
{
	struct test_store *t = (struct test_store *)*state;
	static const char part[] = "SELECT COUNT(*) FROM pg_class WHERE relnamespace = current_schema()::regnamespace"
				   " AND relname = 'verdicts_202401'";
	char sql[200];
	(void)snprintf(sql, sizeof sql,
		       "SET search_path = %s; CREATE TABLE verdicts_202401 PARTITION OF verdicts " JANUARY_2024,
		       t->schema);
	test_pg_run(sql);
	struct tidy m[TOGETHER];
	_Atomic unsigned waiting = 0;
	for (uint32_t i = 0; i < TOGETHER; i++) {
		m[i] = (struct tidy){ t->store, come_later, &waiting, .id = test_id(i) };
		m[i].fn = i == 0 ? come_first : i == 2 ? tidy_and_fail : come_later;
		assert_int_equal(pthread_create(&m[i].thread, NULL, tidy_main, &m[i]), 0);
	}
	for (size_t i = 0; i < TOGETHER; i++) {
		assert_int_equal(pthread_join(m[i].thread, NULL), 0);
		assert_int_equal(m[i].rc.kind, i == 2 ? ERR_MALFORMED : ERR_NONE);
	}
	assert_int_equal(accounts_in(t->store), TOGETHER - 1);
	assert_int_equal(look_at(t->store, part), 1);
}

/* --- names and standbys -------------------------------------------------------------------------------------------*/
static const char *value_of(const struct pgsql_target *target, const char *keyword)
{
	for (size_t i = 0; target->keywords[i] != NULL; i++) {
		if (strcmp(target->keywords[i], keyword) == 0)
			return target->values[i];
	}
	return "";
}

static size_t commas(const char *list)
{
	size_t n = 0;
	for (; *list != '\0'; list++)
		n += *list == ',';
	return n;
}

/* Before there is a connection: in the sandbox nobody can ask. localhost may have one address or two. */
static void names_are_looked_up_at_once(void **state)
{
	static const struct {
		const char *url, *hosts, *addresses, *ports; /* how the lists end */
	} rows[] = {
		{ "postgresql://u@localhost/d", "localhost", "127.0.0.1", "" },
		{ "postgresql://u@localhost:7,127.0.0.2:8/d", "localhost,127.0.0.2", "127.0.0.1,127.0.0.2", "7,8" },
		{ "postgresql://u@localhost,[::2]/d", "localhost,::2", "127.0.0.1,::2", "," },
		{ "postgresql://u@/d?host=/run/a,localhost&port=9", "localhost", "127.0.0.1", "9" },
		{ "postgresql://u@/d?host=localhost,/run/a", "localhost,/run/a", "127.0.0.1,", "" },
		{ "postgresql://u@db.example/d?hostaddr=192.0.2.7", "db.example", "192.0.2.7", "" },
		{ "postgresql://u@/d?host=/run/a", "/run/a", "", "" },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct pgsql_target target = { 0 };
		GOOD(pgsql_target_make(str_z(rows[i].url), NULL, false, false, &target, &err));
		const char *hosts = value_of(&target, "host"), *addresses = value_of(&target, "hostaddr");
		assert_true(str_ends(str_z(hosts), str_z(rows[i].hosts)));
		if (strcmp(addresses, "::1") != 0) /* where localhost has no other */
			assert_true(str_ends(str_z(addresses), str_z(rows[i].addresses)));
		assert_true(str_ends(str_z(value_of(&target, "port")), str_z(rows[i].ports)));
		assert_int_equal(commas(hosts), commas(addresses));
		pgsql_target_done(&target);
	}
	struct pgsql_target none = { 0 };
	BAD(pgsql_target_make(STR("postgresql://u@nobody.invalid/d"), NULL, false, false, &none, &err), ERR_UNAVAILABLE,
	    "nobody.invalid");
}

static void a_standby_that_cannot_answer_is_gone_past(void **state)
{
	struct test_store *t = (struct test_store *)*state;
	static const char *const standbys[] = {
		"postgresql://u@nobody.invalid/d", "postgresql://u@localhost:1/d",
		NULL, /* one that has not got our tables yet */
	};
	for (size_t i = 0; i < ARRAY_LEN(standbys); i++) {
		const struct store_where where = { .url = str_z(t->url),
						   .connections = 2,
						   .standby_url =
							   str_z(standbys[i] == NULL ? test_pg() : standbys[i]) };
		struct store *s = NULL;
		uint64_t n = 1;
		GOOD(store_open_at(&where, &t->clock, &s, &err));
		GOOD(store_read_stale(s, count_accounts, &n, &err));
		assert_int_equal(n, 0);
		store_close(s);
	}
}

/* --- several servers ----------------------------------------------------------------------------------------------*/
struct told {
	struct store_events to;
	unsigned count;
	char what[40], text[600];
};

static void tell(void *ctx, const struct store_event *e)
{
	struct told *t = (struct told *)ctx;
	t->count++;
	(void)snprintf(t->what, sizeof t->what, "%s", e->what);
	(void)snprintf(t->text, sizeof t->text, "%s %s", e->passed_over == NULL ? "" : e->passed_over,
		       e->why == NULL ? "" : e->why);
}

/* A server that says of itself what the test wants: functions of the test's schema stand before the system's. */
static void pretend(const struct test_store *t, const char *system, const char *timeline)
{
	char sql[600];
	(void)snprintf(
		sql, sizeof sql,
		"SET search_path = %s; CREATE OR REPLACE FUNCTION pg_control_system(OUT system_identifier bigint)"
		" LANGUAGE sql AS 'SELECT %s::bigint'; CREATE OR REPLACE FUNCTION pg_walfile_name(pg_lsn) RETURNS"
		" text LANGUAGE sql AS $$SELECT '%s0000000000000001'$$",
		t->schema, system, timeline);
	test_pg_run(sql);
}

static void a_server_that_another_has_taken_over_from_is_not_used(void **state)
{
	struct test_store *t = (struct test_store *)*state;
	static const struct {
		const char *system, *timeline, *refusal; /* NULL: it is used */
	} rows[] = {
		{ "7", "0000000A", NULL },
		{ "7", "00000009", "an old primary (timeline 9, and 10 has been in use)" },
		{ "7", "0000000A", NULL },
		{ "8", "0000000B", "another database (system identifier 8; the one in use until now has 7)" },
		{ "7", "0000000B", NULL },
		{ "7", "0000000A", "an old primary (timeline 10, and 11 has been in use)" },
	};
	struct told told = { .to = { tell, &told } };
	char url[400];
	(void)snprintf(url, sizeof url, "%s&options=-csearch_path%%3D%s%%2Cpg_catalog&application_name=%s", test_pg(),
		       t->schema, t->schema);
	struct pgsql_target target = { 0 };
	GOOD(pgsql_target_make(str_z(url), NULL, false, false, &target, &err));
	pgsql_servers_tell(target.servers, &told.to);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		pretend(t, rows[i].system, rows[i].timeline);
		told.count = 0;
		for (unsigned times = 0; times < 2; times++) {
			struct err why = { 0 };
			char life[PGSQL_LIFE_MAX];
			uint64_t timeline;
			PGconn *h = NULL;
			bool refused = FAILED(pgsql_connect(&target, &h, life, &timeline, &why));
			PQfinish(h);
			assert_int_equal(refused, rows[i].refusal != NULL);
			assert_int_equal(why.kind, refused ? ERR_UNAVAILABLE : ERR_NONE);
			if (refused)
				assert_non_null(strstr(why.cause, rows[i].refusal));
		}
		assert_int_equal(told.count, 1); /* not at each attempt */
		assert_string_equal(told.what, rows[i].refusal != NULL ? "database away" : "database in use");
	}
	pgsql_target_done(&target);
}

static int backend_of(struct db *db)
{
	GOOD(pgsql_ready(db, &err));
	return PQbackendPID(pgsql_handle(db));
}

/* Connections that rest while another server takes over are not used again: theirs may still live. */
static void a_connection_from_before_a_failover_is_not_used(void **state)
{
	struct test_store *t = (struct test_store *)*state;
	char url[400];
	(void)snprintf(url, sizeof url, "%s&options=-csearch_path%%3D%s%%2Cpg_catalog", test_pg(), t->schema);
	struct pgsql_target target = { 0 };
	GOOD(pgsql_target_make(str_z(url), NULL, false, false, &target, &err));
	struct db *rests = pgsql_new(&target), *next = pgsql_new(&target);
	pretend(t, "7", "0000000A");
	int before = backend_of(rests);
	assert_int_equal(backend_of(rests), before);
	pretend(t, "7", "0000000B");
	int other = backend_of(next);
	int after = backend_of(rests);
	assert_int_not_equal(after, before);
	assert_int_equal(backend_of(rests), after);
	assert_int_equal(backend_of(next), other);
	rests->ops->close(rests);
	next->ops->close(next);
	pgsql_target_done(&target);
}

static void urls_that_cannot_be_meant_are_refused(void **state)
{
	static const struct {
		const char *url;
		bool standby;
		const char *why; /* NULL: good */
	} rows[] = {
		{ "postgresql://u@a:1,b:2/d", false, NULL },
		{ "postgresql://u@a,b:2/d", false, NULL },
		{ "postgresql://u@a,b/d?port=7", false, NULL },
		{ "postgresql://u@a/d?target_session_attrs=any", false, NULL },
		{ "postgresql://u@a/d?target_session_attrs=prefer-standby", true, NULL },
		{ "postgresql://u@a,b/d?port=1,2,3", false, "found 2 hosts and 3 ports; wanted one port, or one for" },
		{ "postgresql://u@a,b/d?hostaddr=192.0.2.1", false, "found 2 hosts and 1 hostaddr; wanted as many" },
		{ "postgresql://u@a:70000/d", false, "found the port 70000; wanted 1 to 65535" },
		{ "postgresql://u@a/d?port=0", false, "found the port 0; wanted 1 to 65535" },
		{ "postgresql://u@a/d?target_session_attrs=standby", false,
		  "found target_session_attrs=standby; wanted" },
		{ "postgresql://u@a/d?service=x", false, "found a service of libpq's" },
		{ "postgresql://u@a/d?service=x", true, "found a service of libpq's" },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct store_where where = { .url = rows[i].standby ? STR("sqlite:x") : str_z(rows[i].url),
						   .standby_url = rows[i].standby ? str_z(rows[i].url) : STR_NONE };
		if (rows[i].why == NULL) {
			GOOD(store_where_check(&where, &err));
			continue;
		}
		BAD(store_where_check(&where, &err), ERR_CONFIG, rows[i].why);
	}
}

/* A machine that is gone, with its name: the others are there. */
static void a_host_without_address_is_passed_over_where_there_are_others(void **state)
{
	struct test_store *t = (struct test_store *)*state;
	char url[400];
	struct told told = { .to = { tell, &told } };
	(void)snprintf(url, sizeof url,
		       "postgresql://cairn@/cairn?host=nobody.invalid,%s/run&options=-csearch_path%%3D%s",
		       getenv("CAIRN_TEST_PG_DIR"), t->schema);
	const struct store_where where = { .url = str_z(url), .connections = 1, .events = &told.to };
	struct store *s = NULL;
	GOOD(store_open_at(&where, &t->clock, &s, &err));
	assert_int_equal(told.count, 2); /* "database in use" is the second */
	assert_int_equal(accounts_in(s), 0);
	store_close(s);
}

static void a_standby_is_read_when_it_is_known_not_to_be_behind(void **state)
{
	static const struct {
		int64_t passed_ms; /* since the row before */
		struct pgsql_place main, standby;
		bool fits;
		const char *says; /* the last line's beginning; NULL: none */
	} rows[] = {
		{ 0, { 100, 1, 7, false }, { 90, 1, 7, true }, false, NULL }, /* by how long, nobody knows yet */
		{ 1000, { 200, 1, 7, false }, { 110, 1, 7, true }, true, "standby in use" },
		{ 1000, { 300, 1, 7, false }, { 190, 1, 7, true }, true, NULL }, /* the mark is 200, of a second ago */
		{ 500, { 400, 1, 7, false }, { 190, 1, 7, true }, true, NULL },
		{ 3000,
		  { 500, 1, 7, false },
		  { 190, 1, 7, true },
		  false,
		  "standby left out  it is behind by more than 3 s" },
		{ 1000, { 500, 1, 7, false }, { 190, 1, 7, true }, false, NULL }, /* said once */
		{ 1000, { 500, 1, 7, false }, { 500, 1, 7, true }, true, "standby in use" },
		{ 900000,
		  { 900, 1, 7, false },
		  { 890, 1, 7, true },
		  false,
		  NULL }, /* nobody read for long: nothing is known */
		{ 1000, { 900, 1, 7, false }, { 900, 1, 7, true }, true, NULL },
		{ 20000,
		  { 950, 1, 7, false },
		  { 950, 1, 8, true },
		  false,
		  "standby left out  it is a server of another database" },
		{ 1000,
		  { 950, 1, 7, false },
		  { 950, 1, 7, false },
		  true,
		  "standby in use" }, /* promoted, and the main one now */
		{ 20000,
		  { 950, 1, 7, false },
		  { 999, 2, 7, false },
		  false,
		  "standby left out  it has ceased to follow" },
		/* The main one is another one now: who follows the one before has come farther, on a way that has ended. */
		{ 20000, { 960, 2, 7, false }, { 999, 1, 7, true }, false, NULL }, /* out, and that was said */
		{ 1000, { 960, 2, 7, false }, { 960, 2, 7, true }, true, "standby in use" },
		{ 20000,
		  { 970, 3, 7, false },
		  { 999, 2, 7, true },
		  false,
		  "standby left out  it follows another server" },
	};
	(void)state;
	struct told told = { .to = { tell, &told } };
	struct pgsql_watch w = { .said = PGSQL_SAID_NOTHING };
	pgsql_watch_init(&w, 3, &told.to);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int64_t *const times[] = { &w.look_at, &w.mark_at, &w.proven_at, &w.said_out_at };
		for (size_t n = 0; n < ARRAY_LEN(times); n++)
			*times[n] -= *times[n] == INT64_MIN ? 0 : rows[i].passed_ms;
		told.count = 0;
		if (rows[i].passed_ms >= 1000)
			assert_true(pgsql_watch_begin(&w));
		assert_false(pgsql_watch_begin(&w) && rows[i].passed_ms > 0); /* one at a time */
		pgsql_watch_end(&w, clock_mono_ms(&clock_system), &rows[i].main, &rows[i].standby);
		assert_false(pgsql_watch_begin(&w)); /* not yet again */
		assert_int_equal(pgsql_watch_fits(&w), rows[i].fits);
		assert_int_equal(told.count, rows[i].says != NULL);
		char line[700];
		(void)snprintf(line, sizeof line, "%s %s", told.what, told.text);
		if (rows[i].says != NULL)
			assert_int_equal(strncmp(line, rows[i].says, strlen(rows[i].says)), 0);
	}
	pgsql_watch_done(&w);
}

static void what_is_no_such_database_is_refused_without_its_password(void **state)
{
	struct test_store *t = (struct test_store *)*state;
	static const char *const urls[] = { "postgresql://u:secret@127.0.0.1:1/d",
					    "postgresql://u:secret@/d?host=/nonexistent",
					    "postgresql://u:secret@h/d?nonsense=secret", "postgresql://u:secret%@h/d",
					    "postgresql://u:secret@[::1/d" };
	for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
		struct store *s = NULL;
		struct err err = { 0 };
		assert_true(FAILED(store_open(str_z(urls[i]), 2, &t->clock, &s, &err)));
		assert_null(strstr(err.detail, "secret"));
		assert_null(strstr(err.cause, "secret"));
		assert_true(err.detail[0] != '\0');
	}
}

int main(void)
{
	if (test_pg() == NULL) {
		(void)puts("no CAIRN_TEST_PG: tests/pg/with-postgres.sh runs this");
		return 77; /* skipped */
	}
#define STORE(f) cmocka_unit_test_setup_teardown(f, setup_store, teardown_store)
	const struct CMUnitTest tests[] = {
		STORE(a_connection_that_ends_in_a_transaction_has_it_run_again),
		STORE(a_commit_whose_answer_is_lost_is_done_once),
		STORE(a_commit_whose_answer_is_lost_with_the_server_is_not_guessed),
		STORE(a_commit_is_not_believed_before_a_later_one_is_through),
		STORE(a_server_that_is_gone_is_said_and_comes_back),
		STORE(programs_that_start_together_migrate_once),
		STORE(who_waits_behind_a_pooler_sees_what_was_done_before_him),
		STORE(a_begin_that_is_refused_is_tried_elsewhere),
		STORE(no_commit_is_early_whatever_the_server_is_told),
		STORE(databases_of_before_are_migrated_with_their_rows),
		STORE(a_month_goes_when_nothing_is_left_in_it),
		STORE(months_wait_for_no_reader),
		STORE(months_stay_as_they_were_when_their_transaction_fails),
		cmocka_unit_test(names_are_looked_up_at_once),
		STORE(a_standby_that_cannot_answer_is_gone_past),
		STORE(a_server_that_another_has_taken_over_from_is_not_used),
		STORE(a_connection_from_before_a_failover_is_not_used),
		cmocka_unit_test(urls_that_cannot_be_meant_are_refused),
		STORE(a_host_without_address_is_passed_over_where_there_are_others),
		cmocka_unit_test(a_standby_is_read_when_it_is_known_not_to_be_behind),
		STORE(what_is_no_such_database_is_refused_without_its_password),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

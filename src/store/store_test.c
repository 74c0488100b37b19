/* SPDX-License-Identifier: Apache-2.0
 *
 * store_test.c: transactions: visibility, rollback, many at once, durability under kill -9, full and failing disks,
 * second openers and newer schemas.
 */
#include "store/testing.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

static fallible insert_account(struct store_tx *tx, void *ctx, struct err *err)
{
	struct id id = *(const struct id *)ctx;
	struct account_row a = test_account(id, id_show(id).z);
	return account_insert(tx, &a, err);
}

static fallible find_account(struct store_tx *tx, void *ctx, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct account_row a;
	return account_by_id(tx, &mem, *(const struct id *)ctx, &a, err);
}

static fallible count_accounts(struct store_tx *tx, void *ctx, struct err *err)
{
	struct store_counts c;
	TRY(store_count(tx, &c, err));
	*(uint64_t *)ctx = c.accounts;
	return OK;
}

static fallible insert_then_fail(struct store_tx *tx, void *ctx, struct err *err)
{
	TRY(insert_account(tx, ctx, err));
	FAIL(err, ERR_RATE_LIMITED, "not today");
}

static uint64_t accounts_in(struct test_store *t)
{
	struct err err = { 0 };
	uint64_t n = 0;
	must(store_read(t->store, count_accounts, &n, &err), &err);
	return n;
}

static void a_read_sees_what_was_acknowledged_before(void **state)
{
	struct test_store *t = (struct test_store *)*state;
	for (uint32_t i = 0; i < 200; i++) {
		struct id id = test_id(i);
		struct err err = { 0 };
		assert_int_equal(store_read(t->store, find_account, &id, &err).kind, ERR_NOT_FOUND);
		must(store_tx(t->store, insert_account, &id, &err), &err);
		must(store_read(t->store, find_account, &id, &err), &err);
	}
}

static void a_failing_transaction_leaves_nothing_and_keeps_its_error(void **state)
{
	struct test_store *t = (struct test_store *)*state;
	struct id id = test_id(1);
	struct err err = { 0 };
	assert_int_equal(store_tx(t->store, insert_then_fail, &id, &err).kind, ERR_RATE_LIMITED);
	assert_string_equal(err.detail, "not today");
	assert_int_equal(accounts_in(t), 0);
}

static void a_read_cannot_write(void **state)
{
	struct test_store *t = (struct test_store *)*state;
	struct id id = test_id(1);
	assert_true(FAILED(store_read(t->store, insert_account, &id, NULL)));
	assert_int_equal(accounts_in(t), 0);
	assert_false(store_is_lost(t->store));
}

#define CROWD 32
#define EACH 60
struct one_of_many {
	struct test_store *t;
	uint32_t number;
	unsigned wrong;
};

static void *work(void *arg)
{
	struct one_of_many *m = (struct one_of_many *)arg;
	for (uint32_t i = 0; i < EACH; i++) {
		struct id id = test_id(m->number * EACH + i);
		struct err err = { 0 };
		bool fails = i % 3 == 0;
		struct rc rc = store_tx(m->t->store, fails ? insert_then_fail : insert_account, &id, &err);
		m->wrong += rc.kind != (fails ? ERR_RATE_LIMITED : ERR_NONE);
		rc = store_read(m->t->store, find_account, &id, &err);
		m->wrong += rc.kind != (fails ? ERR_NOT_FOUND : ERR_NONE);
	}
	return NULL;
}

static void of_many_at_once_only_the_failing_roll_back(void **state)
{
	struct test_store *t = (struct test_store *)*state;
	struct one_of_many many[CROWD];
	pthread_t threads[CROWD];
	for (uint32_t i = 0; i < CROWD; i++) {
		many[i] = (struct one_of_many){ t, i, 0 };
		assert_int_equal(pthread_create(&threads[i], NULL, work, &many[i]), 0);
	}
	for (size_t i = 0; i < CROWD; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	for (size_t i = 0; i < CROWD; i++)
		assert_int_equal(many[i].wrong, 0);
	assert_int_equal(accounts_in(t), CROWD * EACH / 3 * 2);
	struct store_stats s = store_stats(t->store);
	assert_int_equal(s.transactions, CROWD * EACH);
	assert_int_equal(s.failures, CROWD * EACH / 3);
	if (s.commits >= s.transactions)
		fail_msg("%llu commits: nobody shared one", (unsigned long long)s.commits);
}

/* --- batches that the test puts together: SQLite's alone ------------------------------------------------------------*/
#define GUARDED 64 /* GUARDED_BATCHES of store_sqlite.c */

enum does { PASSES, IS_REFUSED, IS_REFUSED_AGAIN, MEETS_DAMAGE, CANNOT_READ };
struct chosen {
	enum does does;
	struct store *store;
	struct id id;
	unsigned runs;
	struct rc rc;
	struct err err;
	pthread_t thread;
};

static fallible chosen_tx(struct store_tx *tx, void *ctx, struct err *err)
{
	struct chosen *c = (struct chosen *)ctx;
	const struct sha256 key = { { 1 } };
	bool has;
	c->runs++;
	if (c->does == MEETS_DAMAGE)
		return blocked_key_has(tx, &key, &has, err);
	if (c->does == CANNOT_READ) {
		*tx->db->lost = true; /* as the driver does for SQLITE_IOERR_READ, which leaves the transaction open */
		FAIL(err, ERR_UNAVAILABLE, "the disk that holds the database failed");
	}
	TRY(insert_account(tx, &c->id, err));
	if (c->does == IS_REFUSED)
		FAIL(err, ERR_RATE_LIMITED, "not now");
	if (c->does == IS_REFUSED_AGAIN && c->runs > 1)
		FAIL(err, ERR_UNAUTHORIZED, "not any more");
	return OK;
}

static void *chosen_main(void *arg)
{
	struct chosen *c = (struct chosen *)arg;
	c->rc = store_tx(c->store, chosen_tx, c, &c->err);
	return NULL;
}

struct held_up {
	struct store *store;
	sem_t runs, may_end;
	struct rc rc;
};

static fallible hold_up(struct store_tx *tx, void *ctx, struct err *err)
{
	struct held_up *h = (struct held_up *)ctx;
	(void)tx;
	(void)err;
	(void)sem_post(&h->runs);
	while (sem_wait(&h->may_end) != 0)
		continue;
	return OK;
}

static void *held_up_main(void *arg)
{
	struct held_up *h = (struct held_up *)arg;
	h->rc = store_tx(h->store, hold_up, h, NULL);
	return NULL;
}

static void until_so_many_wait(struct store *s, size_t count)
{
	const struct timespec limit = mono_after_ms(120000);
	for (uint64_t waiting; (waiting = store_stats(s).waiting) != count;) {
		if (mono_after_ms(0).tv_sec > limit.tv_sec)
			fail_msg("%" PRIu64 " wait, not %zu", waiting, count);
		(void)sched_yield();
	}
}

/* One batch of these, in this order: they come while somebody else's transaction runs. */
static void run_as_one_batch(struct test_store *t, struct chosen *list, size_t count)
{
	struct held_up h = { .store = t->store };
	pthread_t holder;
	assert_int_equal(sem_init(&h.runs, 0, 0) | sem_init(&h.may_end, 0, 0), 0);
	assert_int_equal(pthread_create(&holder, NULL, held_up_main, &h), 0);
	while (sem_wait(&h.runs) != 0)
		continue;
	for (size_t i = 0; i < count; i++) {
		list[i].store = t->store;
		list[i].id = test_id(t->next_id++);
		assert_int_equal(pthread_create(&list[i].thread, NULL, chosen_main, &list[i]), 0);
		until_so_many_wait(t->store, i + 1);
	}
	(void)sem_post(&h.may_end);
	assert_int_equal(pthread_join(holder, NULL), 0);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(pthread_join(list[i].thread, NULL), 0);
	(void)sem_destroy(&h.runs);
	(void)sem_destroy(&h.may_end);
	assert_false(FAILED(h.rc));
}

/* Each has its own end, and left what it should. */
static void check_ends(struct test_store *t, const struct chosen *list, size_t count)
{
	static const struct {
		enum err_kind kind;
		const char *says;
	} ends[] = {
		[PASSES] = { ERR_NONE, "" },
		[IS_REFUSED] = { ERR_RATE_LIMITED, "not now" },
		[IS_REFUSED_AGAIN] = { ERR_UNAUTHORIZED, "not any more" },
	};
	for (size_t i = 0; i < count; i++) {
		const struct chosen *c = &list[i];
		struct id id = c->id;
		assert_int_equal(c->rc.kind, ends[c->does].kind);
		assert_string_equal(c->err.detail, ends[c->does].says);
		assert_int_equal(store_read(t->store, find_account, &id, NULL).kind,
				 c->does == PASSES ? ERR_NONE : ERR_NOT_FOUND);
	}
}

#define BATCH_MAX 4
struct batch_row {
	unsigned times; /* so many batches of this kind, one after the other */
	size_t count;
	struct {
		enum does does;
		unsigned runs;
	} of[BATCH_MAX];
};

static void check_batch(struct test_store *t, const struct batch_row *row)
{
	struct chosen list[BATCH_MAX];
	const struct store_stats was = store_stats(t->store);
	unsigned passed = 0;
	for (size_t i = 0; i < row->count; i++) {
		list[i] = (struct chosen){ .does = row->of[i].does };
		passed += row->of[i].does == PASSES;
	}
	run_as_one_batch(t, list, row->count);
	check_ends(t, list, row->count);
	for (size_t i = 0; i < row->count; i++)
		assert_int_equal(list[i].runs, row->of[i].runs);
	const struct store_stats now = store_stats(t->store);
	assert_int_equal(now.transactions - was.transactions, row->count + 1); /* and the one that held them up */
	assert_int_equal(now.failures - was.failures, row->count - passed);
	assert_int_equal(now.commits - was.commits, passed > 0 ? 2 : 1);
}

static void a_batch_runs_again_after_one_was_refused_and_those_that_follow_are_guarded(void **state)
{
	ONLY_SQLITE();
	static const struct batch_row rows[] = {
		{ 2, 3, { { PASSES, 1 }, { PASSES, 1 }, { PASSES, 1 } } },
		{ 1, 4, { { PASSES, 2 }, { PASSES, 2 }, { IS_REFUSED, 2 }, { PASSES, 1 } } },
		{ GUARDED, 4, { { PASSES, 1 }, { IS_REFUSED, 1 }, { PASSES, 1 }, { IS_REFUSED, 1 } } },
		{ 1, 4, { { PASSES, 2 }, { IS_REFUSED_AGAIN, 2 }, { IS_REFUSED, 2 }, { PASSES, 1 } } },
		{ GUARDED, 2, { { IS_REFUSED, 1 }, { IS_REFUSED, 1 } } },
		{ 1, 3, { { IS_REFUSED, 2 }, { IS_REFUSED, 1 }, { PASSES, 1 } } },
		{ GUARDED, 2, { { PASSES, 1 }, { PASSES, 1 } } },
		{ 1, 2, { { PASSES, 2 }, { IS_REFUSED, 2 } } },
	};
	struct test_store *t = (struct test_store *)*state;
	for (size_t r = 0; r < ARRAY_LEN(rows); r++)
		for (unsigned i = 0; i < rows[r].times; i++)
			check_batch(t, &rows[r]);
}

static fallible find_root_page(struct store_tx *tx, void *ctx, struct err *err)
{
	AUTO(rows_done) struct rows r = { 0 };
	TRY(rows_one(&r, tx, "table", "SELECT rootpage FROM sqlite_master WHERE name = 'blocked_keys'", NULL, 0, err));
	*(int64_t *)ctx = rows_i64(&r, 0);
	return OK;
}

static void damage_blocked_keys(struct test_store *t)
{
	int64_t page = 0;
	struct err err = { 0 };
	char junk[4096];
	must(store_read(t->store, find_root_page, &page, &err), &err);
	assert_true(page > 1);
	store_close(t->store);
	t->store = NULL;
	memset(junk, 0xff, sizeof junk);
	int fd = open(t->path, O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, junk, sizeof junk, (off_t)((page - 1) * (int64_t)sizeof junk)), sizeof junk);
	(void)close(fd);
	test_open(t);
}

/* A read that fails does not end SQLite's transaction: what the others did could still be committed. */
static void check_lost_batch(struct test_store *t, enum does what, const char *says, bool guarded)
{
	struct chosen before[] = { { .does = PASSES }, { .does = IS_REFUSED } };
	struct chosen list[] = { { .does = PASSES }, { .does = what }, { .does = PASSES } };
	if (guarded) {
		run_as_one_batch(t, before, ARRAY_LEN(before));
		check_ends(t, before, ARRAY_LEN(before));
	}
	const uint64_t were = accounts_in(t);
	run_as_one_batch(t, list, ARRAY_LEN(list));
	assert_true(store_is_lost(t->store));
	for (size_t i = 0; i < ARRAY_LEN(list); i++) {
		assert_int_equal(list[i].rc.kind, ERR_UNAVAILABLE);
		assert_non_null(strstr(list[i].err.detail, list[i].does == PASSES ? "must start again" : says));
		assert_int_equal(list[i].runs, i < 2 ? 1 : 0);
	}
	store_close(t->store);
	test_open(t);
	assert_int_equal(accounts_in(t), were);
}

static void nobody_is_told_ok_in_a_batch_that_lost_the_store(void **state)
{
	ONLY_SQLITE();
	static const struct {
		enum does does;
		const char *says;
	} rows[] = { { CANNOT_READ, "the disk" }, { MEETS_DAMAGE, "damaged" } };
	struct test_store *t = (struct test_store *)*state;
	damage_blocked_keys(t);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		check_lost_batch(t, rows[i].does, rows[i].says, false);
		check_lost_batch(t, rows[i].does, rows[i].says, true);
	}
}

static void rows_are_there_after_closing_and_opening(void **state)
{
	struct test_store *t = (struct test_store *)*state;
	struct id id = test_id(1);
	struct err err = { 0 };
	must(store_tx(t->store, insert_account, &id, &err), &err);
	store_close(t->store);
	test_open(t);
	must(store_read(t->store, find_account, &id, &err), &err);
}

/* A child inserts and reports each number once store_tx has said OK. */
static void commit_and_tell(const char *url, const struct clock *clk, int pipe_out)
{
	struct store *s;
	if (FAILED(store_open(str_z(url), 1, clk, &s, NULL)))
		_exit(3);
	struct stat seen;
	for (uint32_t i = 0; fstat(pipe_out, &seen) == 0; i++) {
		struct id id = test_id((uint32_t)getpid() * 65536 + i);
		if (FAILED(store_tx(s, insert_account, &id, NULL)) || write(pipe_out, &id, sizeof id) != sizeof id)
			_exit(4);
	}
	_exit(5);
}

static void what_was_acknowledged_survives_kill_9(void **state)
{
	struct test_store *t = (struct test_store *)*state;
	store_close(t->store);
	t->store = NULL;
	size_t told = 0;
	for (unsigned round = 0; round < 10; round++) {
		int ends[2];
		assert_int_equal(pipe(ends), 0);
		pid_t pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			(void)close(ends[0]);
			commit_and_tell(t->url, &t->clock, ends[1]);
		}
		(void)close(ends[1]);
		/* Killed at some moment after the first few: mostly in the middle of a commit. */
		struct id ids[4096];
		size_t n = 0, wanted = 1 + (size_t)(rand() % 150);
		while (n < wanted && read(ends[0], &ids[n], sizeof ids[n]) == sizeof ids[n])
			n++;
		if (n < wanted)
			fail_msg("round %u: the child ended by itself", round);
		(void)usleep((useconds_t)(rand() % 2000));
		assert_int_equal(kill(pid, SIGKILL), 0);
		int status;
		assert_int_equal(waitpid(pid, &status, 0), pid);
		while (n < ARRAY_LEN(ids) && read(ends[0], &ids[n], sizeof ids[n]) == sizeof ids[n])
			n++;
		(void)close(ends[0]);

		test_open(t);
		for (size_t i = 0; i < n; i++) {
			struct err err = { 0 };
			must(store_read(t->store, find_account, &ids[i], &err), &err);
		}
		told += n;
		assert_true(accounts_in(t) >= told);
		store_close(t->store);
		t->store = NULL;
	}
}

static void a_second_opener_is_told_who_has_it(void **state)
{
	ONLY_SQLITE();
	struct test_store *t = (struct test_store *)*state;
	struct store *second = NULL;
	struct err err = { 0 };
	assert_int_equal(store_open(str_z(t->url), 1, &t->clock, &second, &err).kind, ERR_CONFIG);
	assert_null(second);
	char want[48];
	(void)snprintf(want, sizeof want, "already in use by pid %ld", (long)getpid());
	assert_non_null(strstr(err.detail, want));
	/* The first one is none the worse for it. */
	struct id id = test_id(1);
	must(store_tx(t->store, insert_account, &id, &err), &err);
}

static void the_files_are_for_the_owner_alone(void **state)
{
	ONLY_SQLITE();
	struct test_store *t = (struct test_store *)*state;
	struct id id = test_id(1);
	struct err err = { 0 };
	must(store_tx(t->store, insert_account, &id, &err), &err);
	static const char *const ends[] = { "", "-wal", "-shm", ".lock" };
	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		char path[112];
		(void)snprintf(path, sizeof path, "%s%s", t->path, ends[i]);
		struct stat st;
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_mode & 0777, 0600);
	}
}

static void opening_a_database_that_is_there_writes_nothing(void **state)
{
	ONLY_SQLITE();
	static const enum sqlite_role roles[] = { SQLITE_WRITER, SQLITE_CHECKPOINTER, SQLITE_READER };
	struct test_store *t = (struct test_store *)*state;
	store_close(t->store);
	t->store = NULL;
	_Atomic bool lost = false;
	struct db *first = NULL;
	struct err err = { 0 };
	char log[112];
	struct stat st;
	(void)snprintf(log, sizeof log, "%s-wal", t->path);
	must(sqlite_open(t->path, SQLITE_WRITER, &lost, &first, &err), &err);
	for (unsigned round = 0; round < 2; round++) {
		for (size_t i = 0; i < ARRAY_LEN(roles); i++) {
			struct db *db = NULL;
			must(sqlite_open(t->path, roles[i], &lost, &db, &err), &err);
			assert_int_equal(db->busy, 0);
			db->ops->close(db);
		}
		assert_int_equal(stat(log, &st), 0);
		assert_int_equal(st.st_size, 0); /* no frame */
		/* And again while somebody writes: nobody is kept waiting until he is refused. */
		if (round == 0)
			must(first->ops->begin_write(first, &err), &err);
	}
	first->ops->rollback(first);
	first->ops->close(first);
}

static fallible newer_schema(struct store_tx *tx, void *ctx, struct err *err)
{
	(void)ctx;
	uint64_t changed;
	return tx_run(tx, "INSERT INTO schema_version (version, applied_at, program) VALUES (999, 0, '9.9')", NULL, 0,
		      &changed, err);
}

static void a_newer_schema_is_refused(void **state)
{
	struct test_store *t = (struct test_store *)*state;
	struct err err = { 0 };
	must(store_tx(t->store, newer_schema, NULL, &err), &err);
	store_close(t->store);
	t->store = NULL;
	assert_int_equal(store_open(str_z(t->url), 1, &t->clock, &t->store, &err).kind, ERR_CONFIG);
	assert_non_null(strstr(err.detail, "schema 999, made by cairn 9.9"));
}

static void a_migration_that_fails_leaves_nothing_behind(void **state)
{
	ONLY_SQLITE();
	struct test_store *t = (struct test_store *)*state;
	store_close(t->store);
	t->store = NULL;
	const struct migration bad[] = { { 1, STR_NONE },
					 { 101, STR("CREATE TABLE half (a TEXT); CREATE TABLE accounts (a TEXT);") } };
	const struct migration good[] = { { 1, STR_NONE },
					  { 101, STR("CREATE TABLE half (a TEXT) /*sqlite: WITHOUT ROWID */;") },
					  { 102, STR("CREATE TABLE half (a TEXT /*pgsql: nonsense */);") } };
	_Atomic bool lost = false;
	struct db *db;
	struct err err = { 0 };
	must(sqlite_open(t->path, SQLITE_WRITER, &lost, &db, &err), &err);
	assert_true(FAILED(store_migrate(db, &t->clock, bad, ARRAY_LEN(bad), &err)));
	assert_non_null(strstr(err.detail, "migration 101"));
	assert_false(db->ops->in_tx(db));
	/* WITHOUT ROWID wants a primary key: that it is missed shows that the comment was opened. */
	assert_true(FAILED(store_migrate(db, &t->clock, good, 2, &err)));
	/* "half" is free still, and 102 follows what the program has. */
	const struct migration skip[] = { good[0], good[2] };
	err = (struct err){ 0 };
	must(store_migrate(db, &t->clock, skip, ARRAY_LEN(skip), &err), &err);
	assert_true(FAILED(store_migrate(db, &t->clock, good, 1, &err))); /* never downward */
	db->ops->close(db);
}

static void urls_that_are_no_database_are_refused(void **state)
{
	struct test_store *t = (struct test_store *)*state;
	static const char *const rows[] = { "",          "sqlite:",  "postgresql:x",
					    "/tmp/x.db", "SQLITE:x", "sqlite:/nonexistent/folder/x.db" };
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct store *s = NULL;
		assert_int_equal(store_open(str_z(rows[i]), 1, &t->clock, &s, NULL).kind, ERR_CONFIG);
		assert_null(s);
	}
	struct store *s = NULL;
	if (test_pg() != NULL)
		return; /* its connections are counted otherwise */
	assert_int_equal(store_open(str_z(t->url), 0, &t->clock, &s, NULL).kind, ERR_CONFIG);
	store_close(NULL);
}

static void a_file_that_is_no_database_is_refused(void **state)
{
	ONLY_SQLITE();
	struct test_store *t = (struct test_store *)*state;
	store_close(t->store);
	t->store = NULL;
	struct err err = { 0 };
	char junk[4096];
	memset(junk, 'x', sizeof junk);
	must(file_write_atomic(t->path, str_n(junk, sizeof junk), 0600, &err), &err);
	assert_int_equal(store_open(str_z(t->url), 1, &t->clock, &t->store, &err).kind, ERR_UNAVAILABLE);
	assert_non_null(strstr(err.detail, "damaged"));
}

static fallible set_pages(struct store_tx *tx, void *ctx, struct err *err)
{
	(void)ctx;
	uint64_t changed;
	return tx_run(tx, "PRAGMA max_page_count = 1", NULL, 0, &changed, err); /* SQLite raises it to what there is */
}

static fallible free_pages(struct store_tx *tx, void *ctx, struct err *err)
{
	(void)ctx;
	uint64_t changed;
	return tx_run(tx, "PRAGMA max_page_count = 1000000", NULL, 0, &changed, err);
}

static void a_full_disk_refuses_and_then_heals(void **state)
{
	ONLY_SQLITE();
	struct test_store *t = (struct test_store *)*state;
	struct err err = { 0 };
	must(store_tx(t->store, set_pages, NULL, &err), &err);
	uint32_t n = 0;
	struct rc rc = OK;
	for (; n < 10000 && !FAILED(rc); n++) {
		struct id id = test_id(n);
		rc = store_tx(t->store, insert_account, &id, &err);
	}
	assert_int_equal(rc.kind, ERR_UNAVAILABLE);
	assert_non_null(strstr(err.detail, "full"));
	assert_false(store_is_lost(t->store));
	assert_int_equal(accounts_in(t), n - 1); /* reads go on, and all that was acknowledged is there */
	err = (struct err){ 0 };
	must(store_tx(t->store, free_pages, NULL, &err), &err);
	struct id id = test_id(n);
	must(store_tx(t->store, insert_account, &id, &err), &err);
}

/* In a child, because the limit holds for the whole process: writes beyond it fail with EFBIG, which is no full disk.
 */
static int fail_writes(const char *url, const struct clock *clk)
{
	struct store *s;
	struct id id = test_id(1);
	uint64_t n;
	if (FAILED(store_open(str_z(url), 2, clk, &s, NULL)) || FAILED(store_tx(s, insert_account, &id, NULL)))
		return 1;
	(void)signal(SIGXFSZ, SIG_IGN);
	const struct rlimit limit = { 8192, 8192 };
	if (setrlimit(RLIMIT_FSIZE, &limit) != 0)
		return 2;
	struct id other = test_id(2);
	struct err err = { 0 };
	if (store_tx(s, insert_account, &other, &err).kind != ERR_UNAVAILABLE ||
	    strstr(err.detail, "start again") == NULL)
		return 3;
	if (!store_is_lost(s))
		return 4;
	if (store_tx(s, insert_account, &other, NULL).kind != ERR_UNAVAILABLE)
		return 5;
	if (store_read(s, count_accounts, &n, NULL).kind != ERR_UNAVAILABLE)
		return 6;
	store_close(s);
	return 0;
}

static void after_an_io_error_the_store_is_lost_until_opened_again(void **state)
{
	ONLY_SQLITE();
	struct test_store *t = (struct test_store *)*state;
	store_close(t->store);
	t->store = NULL;
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(fail_writes(t->url, &t->clock));
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	test_open(t);
	assert_int_equal(accounts_in(t), 1);
}

static void a_lock_that_another_program_holds_is_waited_for_and_then_named(void **state)
{
	ONLY_SQLITE();
	struct test_store *t = (struct test_store *)*state;
	_Atomic bool lost = false;
	struct db *other;
	struct err err = { 0 };
	must(sqlite_open(t->path, SQLITE_WRITER, &lost, &other, &err), &err);
	must(other->ops->begin_write(other, &err), &err);
	struct id id = test_id(1);
	assert_int_equal(store_tx(t->store, insert_account, &id, &err).kind, ERR_UNAVAILABLE);
	assert_non_null(strstr(err.detail, "locked by another program"));
	assert_int_equal(store_stats(t->store).busy, 1);
	assert_int_equal(accounts_in(t), 0);
	other->ops->rollback(other);
	other->ops->close(other);
	must(store_tx(t->store, insert_account, &id, &err), &err);
}

static void only_a_commit_of_something_counts_as_written(void **state)
{
	ONLY_SQLITE();
	struct test_store *t = (struct test_store *)*state;
	_Atomic bool lost = false;
	struct db *db = NULL;
	struct err err = { 0 };
	struct id id = test_id(1);
	uint64_t seen = 0;
	must(sqlite_open(t->path, SQLITE_WRITER, &lost, &db, &err), &err);
	struct store_tx tx = { db, &t->clock };
	assert_false(sqlite_has_written(db));
	must(db->ops->begin_write(db, &err), &err);
	must(insert_account(&tx, &id, &err), &err);
	db->ops->rollback(db);
	assert_false(sqlite_has_written(db));
	must(db->ops->begin_write(db, &err), &err);
	must(count_accounts(&tx, &seen, &err), &err);
	must(db->ops->commit(db, &err), &err);
	assert_int_equal(seen, 0);
	assert_false(sqlite_has_written(db));
	must(db->ops->begin_write(db, &err), &err);
	must(insert_account(&tx, &id, &err), &err);
	must(db->ops->commit(db, &err), &err);
	assert_true(sqlite_has_written(db));
	assert_false(sqlite_has_written(db)); /* not again */
	db->ops->close(db);
}

static fallible insert_big(struct store_tx *tx, void *ctx, struct err *err)
{
	static const char text[16 * 1024];
	struct id id = *(const struct id *)ctx;
	struct account_row a = test_account(id, id_show(id).z);
	a.jwk = str_n(text, sizeof text);
	return account_insert(tx, &a, err);
}

static void the_log_stays_short_under_load(void **state)
{
	ONLY_SQLITE();
	struct test_store *t = (struct test_store *)*state;
	char path[112];
	(void)snprintf(path, sizeof path, "%s-wal", t->path);
	struct stat st;
	off_t longest = 0;
	for (uint32_t i = 0; i < 4000; i++) { /* 64 MiB and more */
		struct id id = test_id(i);
		struct err err = { 0 };
		must(store_tx(t->store, insert_big, &id, &err), &err);
		assert_int_equal(stat(path, &st), 0);
		longest = st.st_size > longest ? st.st_size : longest;
	}
	if (longest > 48 * 1024 * 1024)
		fail_msg("the log grew to %lld bytes", (long long)longest);
	assert_int_equal(stat(t->path, &st), 0);
	if (st.st_size < 32 * 1024 * 1024)
		fail_msg("only %lld bytes were copied into the file", (long long)st.st_size);
}

struct reading {
	struct test_store *t;
	sem_t begun, may_end;
	_Atomic bool stops;
};

static fallible read_for_long(struct store_tx *tx, void *ctx, struct err *err)
{
	struct reading *r = (struct reading *)ctx;
	uint64_t n;
	TRY(count_accounts(tx, &n, err)); /* the snapshot is taken */
	(void)sem_post(&r->begun);
	while (sem_wait(&r->may_end) != 0)
		continue;
	return OK;
}

static void *one_long_read(void *arg)
{
	struct reading *r = (struct reading *)arg;
	struct err err = { 0 };
	must(store_read(r->t->store, read_for_long, r, &err), &err);
	return NULL;
}

static void *many_short_reads(void *arg)
{
	struct reading *r = (struct reading *)arg;
	while (!r->stops)
		(void)accounts_in(r->t);
	return NULL;
}

static off_t write_much(struct test_store *t, uint32_t from, uint32_t count)
{
	char path[112];
	struct stat st;
	struct err err = { 0 };
	(void)snprintf(path, sizeof path, "%s-wal", t->path);
	for (uint32_t i = from; i < from + count; i++) {
		struct id id = test_id(i);
		must(store_tx(t->store, insert_big, &id, &err), &err);
	}
	assert_int_equal(stat(path, &st), 0);
	return st.st_size;
}

static void a_long_read_makes_the_log_grow_and_its_end_stops_that(void **state)
{
	ONLY_SQLITE();
	struct reading r = { .t = (struct test_store *)*state };
	pthread_t once, often;
	assert_int_equal(sem_init(&r.begun, 0, 0) | sem_init(&r.may_end, 0, 0), 0);
	assert_int_equal(pthread_create(&once, NULL, one_long_read, &r), 0);
	assert_int_equal(pthread_create(&often, NULL, many_short_reads, &r), 0);
	while (sem_wait(&r.begun) != 0)
		continue;
	off_t held_up = write_much(r.t, 0, 3000);
	(void)sem_post(&r.may_end);
	assert_int_equal(pthread_join(once, NULL), 0);
	off_t after = write_much(r.t, 3000, 3000); /* 48 MiB more, while others go on to read */
	r.stops = true;
	assert_int_equal(pthread_join(often, NULL), 0);
	(void)sem_destroy(&r.begun);
	(void)sem_destroy(&r.may_end);
	assert_true(held_up > 40 * 1024 * 1024);
	if (after > held_up + 24 * 1024 * 1024)
		fail_msg("the log grew from %lld to %lld bytes", (long long)held_up, (long long)after);
}

static fallible remove_accounts(struct store_tx *tx, void *ctx, struct err *err)
{
	uint64_t changed;
	(void)ctx;
	return tx_run(tx, "DELETE FROM accounts", NULL, 0, &changed, err);
}

struct compacting {
	bool more;
	int64_t pages;
};

static fallible compact_once(struct store_tx *tx, void *ctx, struct err *err)
{
	struct compacting *c = (struct compacting *)ctx;
	AUTO(rows_done) struct rows r = { 0 };
	TRY(sweep_compact(tx, &c->more, err));
	TRY(rows_one(&r, tx, "count", "PRAGMA page_count", NULL, 0, err));
	c->pages = rows_i64(&r, 0);
	return OK;
}

static void what_is_not_used_goes_back_to_the_disk_in_small_steps(void **state)
{
	ONLY_SQLITE();
	struct test_store *t = (struct test_store *)*state;
	struct compacting c = { .more = true };
	struct err err = { 0 };
	struct stat st;
	unsigned steps = 0;
	for (uint32_t i = 0; i < 1000; i++) { /* 16 MiB */
		struct id id = test_id(i);
		must(store_tx(t->store, insert_big, &id, &err), &err);
	}
	must(store_tx(t->store, compact_once, &c, &err), &err);
	assert_false(c.more); /* all of it is used */
	must(store_tx(t->store, remove_accounts, NULL, &err), &err);
	int64_t before = c.pages;
	do {
		must(store_tx(t->store, compact_once, &c, &err), &err);
		assert_true(c.pages < before && c.pages >= before - 66); /* and a page of the map now and then */
		before = c.pages;
		steps++;
	} while (c.more);
	assert_true(steps > 20);
	assert_true(c.pages < 1300); /* less than COMPACT_FREE_MIN is kept for what comes */
	store_close(t->store);
	t->store = NULL;
	assert_int_equal(stat(t->path, &st), 0);
	assert_true(st.st_size < 6 * 1024 * 1024);
}

#define STORE_TEST(f) cmocka_unit_test_setup_teardown(f, setup_store, teardown_store)

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORE_TEST(a_read_sees_what_was_acknowledged_before),
		STORE_TEST(a_failing_transaction_leaves_nothing_and_keeps_its_error),
		STORE_TEST(a_read_cannot_write),
		STORE_TEST(of_many_at_once_only_the_failing_roll_back),
		STORE_TEST(a_batch_runs_again_after_one_was_refused_and_those_that_follow_are_guarded),
		STORE_TEST(nobody_is_told_ok_in_a_batch_that_lost_the_store),
		STORE_TEST(rows_are_there_after_closing_and_opening),
		STORE_TEST(what_was_acknowledged_survives_kill_9),
		STORE_TEST(a_second_opener_is_told_who_has_it),
		STORE_TEST(the_files_are_for_the_owner_alone),
		STORE_TEST(opening_a_database_that_is_there_writes_nothing),
		STORE_TEST(a_newer_schema_is_refused),
		STORE_TEST(a_migration_that_fails_leaves_nothing_behind),
		STORE_TEST(urls_that_are_no_database_are_refused),
		STORE_TEST(a_file_that_is_no_database_is_refused),
		STORE_TEST(a_full_disk_refuses_and_then_heals),
		STORE_TEST(after_an_io_error_the_store_is_lost_until_opened_again),
		STORE_TEST(a_lock_that_another_program_holds_is_waited_for_and_then_named),
		STORE_TEST(only_a_commit_of_something_counts_as_written),
		STORE_TEST(the_log_stays_short_under_load),
		STORE_TEST(a_long_read_makes_the_log_grow_and_its_end_stops_that),
		STORE_TEST(what_is_not_used_goes_back_to_the_disk_in_small_steps),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

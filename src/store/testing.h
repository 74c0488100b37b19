/* SPDX-License-Identifier: Apache-2.0
 *
 * testing.h: what the tests of store share: a database in a folder of its own, a clock that is set by hand, rows with
 * sensible values, and a bench with one transaction. With CAIRN_TEST_PG (tests/pg/with-postgres.sh) the database is a
 * schema of its own on that PostgreSQL server. Private to store's tests.
 */
#ifndef CAIRN_STORE_TESTING_H
#define CAIRN_STORE_TESTING_H

#include "store/internal.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#ifdef CAIRN_PGSQL
#include "store/pgsql.h"

#include <libpq-fe.h>
#endif

#define T_START 1800000000000 /* ms */

struct test_store {
	char folder[64], path[96], url[320], schema[32];
	_Atomic int64_t now;
	struct clock clock;
	struct store *store;
	uint32_t next_id;
};

static inline int64_t test_now(void *ctx)
{
	return ((struct test_store *)ctx)->now;
}

static inline void must(struct rc rc, const struct err *err)
{
	if (FAILED(rc))
		fail_msg("%s: %s (%s)", err_kind_name(rc.kind), err->detail, err->cause);
}

static inline const char *test_pg(void)
{
	return getenv("CAIRN_TEST_PG");
}
/* For what is SQLite's alone: files, locks, the write-ahead log, the plans. */
#define ONLY_SQLITE()                  \
	do {                           \
		if (test_pg() != NULL) \
			skip();        \
	} while (0)

#ifdef CAIRN_PGSQL
/* Outside of the store and of its transactions. */
static inline void test_pg_run(const char *sql)
{
	PGconn *h = PQconnectdb(test_pg());
	if (PQstatus(h) != CONNECTION_OK)
		fail_msg("%s", PQerrorMessage(h));
	PGresult *r = PQexec(h, sql);
	if (PQresultStatus(r) != PGRES_COMMAND_OK && PQresultStatus(r) != PGRES_TUPLES_OK)
		fail_msg("%s: %s", sql, PQerrorMessage(h));
	PQclear(r);
	PQfinish(h);
}

static inline void test_pg_make(struct test_store *t)
{
	char sql[80];
	static int made;
	(void)snprintf(t->schema, sizeof t->schema, "t_%ld_%d", (long)getpid(), made++);
	(void)snprintf(sql, sizeof sql, "CREATE SCHEMA %s", t->schema);
	test_pg_run(sql);
	(void)snprintf(t->url, sizeof t->url, "%s&options=-csearch_path%%3D%s&application_name=%s", test_pg(),
		       t->schema, t->schema);
}

static inline void test_pg_drop(const struct test_store *t)
{
	char sql[120];
	(void)snprintf(sql, sizeof sql, "SET client_min_messages = error; DROP SCHEMA %s CASCADE", t->schema);
	test_pg_run(sql);
}
#else
static inline void test_pg_make(struct test_store *t)
{
	(void)t;
	fail_msg("CAIRN_TEST_PG is set, and this build has no PostgreSQL");
}
static inline void test_pg_drop(const struct test_store *t)
{
	(void)t;
}
#endif

static inline void test_open(struct test_store *t)
{
	struct err err = { 0 };
	must(store_open(str_z(t->url), 4, &t->clock, &t->store, &err), &err);
}

static inline int setup_store(void **state)
{
	struct test_store *t = (struct test_store *)calloc(1, sizeof *t);
	if (t == NULL)
		return -1;
	(void)snprintf(t->folder, sizeof t->folder, "/tmp/cairn-store-XXXXXX");
	if (mkdtemp(t->folder) == NULL)
		return -1;
	(void)snprintf(t->path, sizeof t->path, "%s/cairn.db", t->folder);
	(void)snprintf(t->url, sizeof t->url, "sqlite:%s", t->path);
	if (test_pg() != NULL)
		test_pg_make(t);
	t->now = T_START;
	t->clock = (struct clock){ test_now, test_now, t };
	test_open(t);
	*state = t;
	return 0;
}

static inline int teardown_store(void **state)
{
	struct test_store *t = (struct test_store *)*state;
	static const char *const ends[] = { "", "-wal", "-shm", ".lock" };
	store_close(t->store);
	if (test_pg() != NULL)
		test_pg_drop(t);
	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		char path[112];
		(void)snprintf(path, sizeof path, "%s%s", t->path, ends[i]);
		(void)unlink(path);
	}
	(void)rmdir(t->folder);
	free(t);
	return 0;
}

/* Ids in rising order, as UUIDv7 are. */
static inline struct id test_id(uint32_t n)
{
	return (struct id){ { 1, 0, (uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n, 0x70, 0,
			      0x80 } };
}

static inline struct account_row test_account(struct id id, const char *thumbprint)
{
	return (struct account_row){ .id = id,
				     .realm = STR("default"),
				     .thumbprint = str_z(thumbprint),
				     .jwk = STR("{\"kty\":\"EC\"}"),
				     .status = ACCOUNT_VALID,
				     .contact = STR("[\"mailto:a@a.example\"]"),
				     .tos_agreed_at = 5,
				     .eab_kid = STR("kid-1"),
				     .created_at = T_START,
				     .created_ip = STR("192.0.2.9") };
}

static inline struct authz_row test_authz(struct id id, struct id account)
{
	return (struct authz_row){ .id = id,
				   .account = account,
				   .realm = STR("default"),
				   .thumbprint = STR("thumb"),
				   .ident = { IDENT_DNS, STR("a.example") },
				   .status = AUTHZ_PENDING,
				   .created_at = T_START,
				   .expires_at = T_START + 1000 };
}

static inline struct order_row test_order(struct id id, struct id account)
{
	return (struct order_row){ .id = id,
				   .account = account,
				   .realm = STR("default"),
				   .profile = STR("server"),
				   .status = ORDER_PENDING,
				   .identifiers = STR("[]"),
				   .created_at = T_START,
				   .expires_at = T_START + 1000 };
}

static inline struct challenge_row test_challenge(struct id id, struct id authz)
{
	return (struct challenge_row){
		.id = id, .authz = authz, .type = CHALLENGE_HTTP01, .status = CHALLENGE_PENDING, .token = STR("token")
	};
}

static inline struct attempt_row test_attempt(struct id id, struct id challenge, struct id authz, struct id account)
{
	return (struct attempt_row){ .id = id,
				     .challenge = challenge,
				     .authz = authz,
				     .account = account,
				     .realm = STR("default"),
				     .zone = STR("public"),
				     .status = ATTEMPT_OPEN,
				     .created_at = T_START,
				     .deadline_at = T_START + 60,
				     .send_at = T_START + 10 };
}

static inline struct issuance_row test_issuance(struct id id, struct id order, struct id account, const char *serial)
{
	return (struct issuance_row){ .id = id,
				      .order = order,
				      .account = account,
				      .realm = STR("default"),
				      .profile = STR("server"),
				      .issuer = STR("main"),
				      .serial = str_z(serial),
				      .not_before_s = 1000,
				      .not_after_s = 2000,
				      .finalize_protected = STR("cA"),
				      .finalize_payload = STR("cQ"),
				      .finalize_signature = STR("cg"),
				      .finalize_url = STR("https://ca.example/f"),
				      .status = ISSUANCE_INTENDED,
				      .created_at = T_START,
				      .send_at = T_START + 10 };
}

static inline struct certificate_row test_certificate(struct id id, struct id order, struct id account,
						      const char *serial)
{
	return (struct certificate_row){ .id = id,
					 .order = order,
					 .account = account,
					 .realm = STR("default"),
					 .profile = STR("server"),
					 .issuer = STR("main"),
					 .serial = str_z(serial),
					 .der = str_n("\x30\x00", 2),
					 .chain_pem = STR("pem\n"),
					 .spki_hash = { { 7 } },
					 .not_before_s = 1000,
					 .not_after_s = 2000,
					 .created_at = T_START };
}

/* A test body inside a write transaction; its asserts end it by longjmp, so it runs on a connection of its own. */
struct bench {
	struct test_store *t;
	_Atomic bool lost;
	struct db *db;
	struct store_tx tx;
	struct arena mem;
#ifdef CAIRN_PGSQL
	struct pgsql_target target;
#endif
};

static inline fallible bench_open(struct bench *b, struct err *err)
{
#ifdef CAIRN_PGSQL
	if (test_pg() != NULL) {
		TRY(pgsql_target_make(str_z(b->t->url), NULL, false, false, &b->target, err));
		b->db = pgsql_new(&b->target);
		return OK;
	}
#endif
	return sqlite_open(b->t->path, SQLITE_WRITER, &b->lost, &b->db, err);
}

static inline int setup_bench(void **state)
{
	void *t;
	if (setup_store(&t) != 0)
		return -1;
	struct bench *b = (struct bench *)calloc(1, sizeof *b);
	b->t = (struct test_store *)t;
	store_close(b->t->store); /* it has migrated; the bench has the file for itself */
	b->t->store = NULL;
	if (FAILED(bench_open(b, NULL)) || FAILED(b->db->ops->begin_write(b->db, NULL)))
		return -1;
	b->tx = (struct store_tx){ b->db, &b->t->clock };
	*state = b;
	return 0;
}

static inline int teardown_bench(void **state)
{
	struct bench *b = (struct bench *)*state;
	b->db->ops->rollback(b->db);
	b->db->ops->close(b->db);
#ifdef CAIRN_PGSQL
	pgsql_target_done(&b->target);
#endif
	arena_done(&b->mem);
	void *t = b->t;
	free(b);
	return teardown_store(&t);
}

#define GOOD(call)                      \
	do {                            \
		struct err err = { 0 }; \
		must((call), &err);     \
	} while (0)
/* The call fails with this kind, and its detail holds this text. */
#define BAD(call, want, says)                                                    \
	do {                                                                     \
		struct err err = { 0 };                                          \
		struct rc rc_ = (call);                                          \
		if (rc_.kind != (want) || strstr(err.detail, (says)) == NULL)    \
			fail_msg("%s: %s", err_kind_name(rc_.kind), err.detail); \
	} while (0)

/* The row refers to one that is not there. PostgreSQL's large tables have no such rule among themselves (docs/decisions):
 * there a failure would end the bench's transaction, too. */
#define ORPHAN(call)                                          \
	do {                                                  \
		if (test_pg() == NULL)                        \
			BAD((call), ERR_NOT_FOUND, "refers"); \
	} while (0)

enum { ACCOUNT = 1, AUTHZ, AUTHZ2, ORDER, ORDER2, CHALLENGE, ATTEMPT, ISSUANCE, CERTIFICATE, NOBODY = 999 };
#define ID(n) test_id(n)

static inline void add_account(struct bench *b)
{
	struct account_row a = test_account(ID(ACCOUNT), "thumb");
	GOOD(account_insert(&b->tx, &a, &err));
}

static inline void add_authz(struct bench *b, uint32_t n)
{
	struct authz_row a = test_authz(ID(n), ID(ACCOUNT));
	GOOD(authz_insert(&b->tx, &a, &err));
}

static inline void add_order(struct bench *b, uint32_t n, uint32_t authz)
{
	struct order_row o = test_order(ID(n), ID(ACCOUNT));
	const struct id authzs[] = { ID(authz) };
	GOOD(order_insert(&b->tx, &o, authzs, 1, &err));
}

static inline void add_challenge(struct bench *b)
{
	struct challenge_row c = test_challenge(ID(CHALLENGE), ID(AUTHZ));
	GOOD(challenge_insert(&b->tx, &c, &err));
}

static inline void add_attempt(struct bench *b)
{
	struct attempt_row a = test_attempt(ID(ATTEMPT), ID(CHALLENGE), ID(AUTHZ), ID(ACCOUNT));
	GOOD(attempt_insert(&b->tx, &a, &err));
}

/* Account, one authorization with challenge and attempt, one order on it. */
static inline void add_all(struct bench *b)
{
	add_account(b);
	add_authz(b, AUTHZ);
	add_challenge(b);
	add_attempt(b);
	add_order(b, ORDER, AUTHZ);
}

static inline int64_t count_of(struct bench *b, const char *sql)
{
	AUTO(rows_done) struct rows r = { 0 };
	GOOD(rows_one(&r, &b->tx, "count", sql, NULL, 0, &err));
	return rows_i64(&r, 0);
}

#define BENCH(f) cmocka_unit_test_setup_teardown(f, setup_bench, teardown_bench)

#endif

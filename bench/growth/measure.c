/* SPDX-License-Identifier: Apache-2.0
 *
 * measure.c DATABASE: the store's work in this database, on demand. Each line of the input names a step and how often to do it; the
 * answer is the process's CPU time, user and system, when the step began and when it ended, and the bytes written for it.
 * bench/growth/compare.py asks two of these in turns, of an empty and of a filled database. Nothing waits for anybody:
 * every transaction is alone in its commit, which is the dearest way.
 */
#include "growth.h"
#include "store/store.h"

#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define KNOWN 256    /* certificates that are looked for again and again */
#define DEPTHS 16    /* places in the list of a great account */
#define MADE 65536   /* certificates that are made here, to be revoked in turn */
#define PAGE 50      /* ids in a page of an account's list */
#define SWEEP_STEP 8 /* as acme/sweep.c has it */

struct bench {
	struct store *s;
	sqlite3 *h; /* for what has no call yet */
	struct arena mem;
	uint64_t n, random; /* n: orders made here */
	size_t known;
	char serials[KNOWN][40], names[KNOWN][64]; /* of certificates that were there */
	char made[MADE][40];
	size_t made_count, revoked;
	int64_t now_ms;
	struct id account, order, authz, challenge, attempt, issuance, deep;
	struct str great_account;
	size_t count, removed, rows;
	double longest_us;
	bool more;
	struct sweep_mark orders_from; /* where the next step of retention goes on */
	char serial[40], name[64], text[2048];
};

static void check(struct rc rc, const struct err *err)
{
	if (!FAILED(rc))
		return;
	(void)fprintf(stderr, "growth-measure: %s %s\n", err->detail, err->cause);
	exit(1);
}
#define MUST(call) check((call), &err)

static double cpu_us(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static double wall_us(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* What write calls were given; page faults of a mapping do not count, and nothing here writes by one but the log's index. */
static double bytes_written(void)
{
	double n = 0;
	FILE *f = fopen("/proc/self/io", "r");
	char line[128];
	while (f != NULL && fgets(line, sizeof line, f) != NULL)
		if (sscanf(line, "wchar: %lf", &n) == 1)
			break;
	if (f != NULL)
		(void)fclose(f);
	return n;
}

static uint64_t next_random(struct bench *b)
{
	b->random = b->random * 6364136223846793005u + 1442695040888963407u;
	return b->random >> 33;
}

static struct id id_make(void)
{
	return id_new(&clock_system, &rng_system);
}

/* --- one certificate, step by step ----------------------------------------------------------------------------------*/
static fallible account_add(struct store_tx *tx, void *ctx, struct err *err)
{
	struct bench *b = ctx;
	char thumbprint[44];
	b->account = id_make();
	(void)snprintf(thumbprint, sizeof thumbprint, "bench-%s", id_show(b->account).z);
	const struct account_row a = { .id = b->account,
				       .realm = STR("default"),
				       .thumbprint = str_z(thumbprint),
				       .jwk = str_n(b->text, 130),
				       .status = ACCOUNT_VALID };
	return account_insert(tx, &a, err);
}

static fallible order_add(struct store_tx *tx, void *ctx, struct err *err)
{
	static const enum challenge_type types[] = { CHALLENGE_HTTP01, CHALLENGE_DNS01, CHALLENGE_TLSALPN01 };
	struct bench *b = ctx;
	const struct authz_want want = { .ident = { IDENT_DNS, str_z(b->name) } };
	struct authz_row z = { .id = b->authz,
			       .account = b->account,
			       .realm = STR("default"),
			       .thumbprint = STR("thumb"),
			       .ident = want.ident,
			       .status = AUTHZ_PENDING,
			       .created_at = b->now_ms,
			       .expires_at = b->now_ms + 7 * DAY_MS };
	struct order_row o = { .id = b->order,
			       .account = b->account,
			       .realm = STR("default"),
			       .profile = STR("server"),
			       .status = ORDER_PENDING,
			       .identifiers = str_n(b->text, 52),
			       .created_at = b->now_ms,
			       .expires_at = b->now_ms + 7 * DAY_MS };
	int64_t wait_ms;
	TRY(limit_take(tx, STR("orders of a bench"), b->now_ms, 1000000, 1000, 1000000, &wait_ms, err));
	struct rc rc = authz_find_reusable(tx, &b->mem, b->account, STR("thumb"), &want, o.expires_at, &z, err);
	if (rc.kind != ERR_NOT_FOUND)
		return rc;
	TRY(authz_insert(tx, &z, err));
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		struct challenge_row c = { .id = i == 0 ? b->challenge : id_make(),
					   .authz = b->authz,
					   .type = types[i],
					   .status = CHALLENGE_PENDING,
					   .token = str_n(b->text, 43) };
		TRY(challenge_insert(tx, &c, err));
	}
	return order_insert(tx, &o, &b->authz, 1, err);
}

static fallible challenge_answer(struct store_tx *tx, void *ctx, struct err *err)
{
	struct bench *b = ctx;
	const struct attempt_row a = { .id = b->attempt,
				       .challenge = b->challenge,
				       .authz = b->authz,
				       .account = b->account,
				       .order = b->order,
				       .realm = STR("default"),
				       .zone = STR("default"),
				       .status = ATTEMPT_OPEN,
				       .created_at = b->now_ms,
				       .deadline_at = b->now_ms + 60000,
				       .send_at = b->now_ms + 5000 };
	TRY(attempt_insert(tx, &a, err));
	return challenge_begin(tx, b->challenge, b->attempt, err);
}

static fallible verdict_apply(struct store_tx *tx, void *ctx, struct err *err)
{
	struct bench *b = ctx;
	const struct verdict_row v = { .attempt = b->attempt,
				       .perspective = STR("local"),
				       .valid = true,
				       .jws = str_n(b->text, 1330),
				       .received_at = b->now_ms,
				       .caa = VERDICT_CAA_ALLOWED,
				       .finished_at = b->now_ms };
	struct id *orders;
	size_t count;
	bool fresh;
	TRY(verdict_insert(tx, &v, &fresh, err));
	TRY(attempt_move(tx, b->attempt, ATTEMPT_OPEN, ATTEMPT_DECIDED, err));
	TRY(challenge_end(tx, b->challenge, CHALLENGE_VALID, b->now_ms, STR_NONE, err));
	TRY(authz_prove(tx, b->authz, b->attempt, b->now_ms + 30 * DAY_MS, err));
	TRY(orders_of_authz(tx, &b->mem, b->authz, ORDER_PENDING, &orders, &count, err));
	return order_move(tx, b->order, ORDER_PENDING, ORDER_READY, err);
}

static fallible finalize(struct store_tx *tx, void *ctx, struct err *err)
{
	struct bench *b = ctx;
	const struct sha256 hash = { { 1 } };
	const struct issuance_row i = { .id = b->issuance,
					.order = b->order,
					.account = b->account,
					.realm = STR("default"),
					.profile = STR("server"),
					.issuer = STR("default"),
					.serial = str_z(b->serial),
					.not_before_s = b->now_ms / 1000,
					.not_after_s = (b->now_ms + VALID_MS) / 1000,
					.finalize_protected = str_n(b->text, 330),
					.finalize_payload = str_n(b->text, 350),
					.finalize_signature = str_n(b->text, 86),
					.finalize_url = str_n(b->text, 76),
					.account_jwk = str_n(b->text, 130),
					.status = ISSUANCE_INTENDED,
					.created_at = b->now_ms,
					.send_at = b->now_ms + 5000 };
	TRY(order_begin(tx, b->order, &hash, err));
	return issuance_insert(tx, &i, err);
}

static fallible issued(struct store_tx *tx, void *ctx, struct err *err)
{
	struct bench *b = ctx;
	AUTO(buf_done) struct buf chain = BUF_MAX(8192);
	const struct str name = str_z(b->name), der = str_n(b->text, 450);
	struct certificate_row c = { .id = b->issuance,
				     .order = b->order,
				     .account = b->account,
				     .realm = STR("default"),
				     .profile = STR("server"),
				     .issuer = STR("default"),
				     .serial = str_z(b->serial),
				     .der = der,
				     .not_before_s = b->now_ms / 1000,
				     .not_after_s = (b->now_ms + VALID_MS) / 1000,
				     .created_at = b->now_ms };
	TRY(pem_add("CERTIFICATE", der, &chain, err));
	TRY(buf_add(&chain, str_n(b->text, 733), err));
	c.chain_pem = buf_str(&chain);
	memcpy(c.spki_hash.b, b->issuance.b, sizeof b->issuance.b);
	TRY(issuance_move(tx, b->issuance, ISSUANCE_INTENDED, ISSUANCE_ISSUED, err));
	TRY(certificate_insert(tx, &c, &name, 1, err));
	TRY(order_finish(tx, b->order, b->issuance, err));
	const struct audit_row a = { b->now_ms, STR("signer"), STR("certificate issued"), str_n(b->text, 42),
				     STR("{}") };
	return audit_insert(tx, &a, err);
}

static void next_order(struct bench *b)
{
	b->n++;
	arena_done(&b->mem);
	b->mem = (struct arena){ 0 };
	b->order = id_make();
	b->authz = id_make();
	b->challenge = id_make();
	b->attempt = id_make();
	b->issuance = id_make();
	(void)snprintf(b->name, sizeof b->name, "b%s.bench.test", id_show(b->order).z);
	uint64_t n = next_random(b) << 20 | b->n;
	(void)snprintf(b->serial, sizeof b->serial, "00" SERIAL_FORMAT, SERIAL_ARGS(n));
}

static void step_order(struct bench *b)
{
	struct err err = { 0 };
	next_order(b);
	MUST(store_tx(b->s, order_add, b, &err));
}

static void step_certificate(struct bench *b)
{
	static store_fn *const steps[] = { order_add, challenge_answer, verdict_apply, finalize, issued };
	struct err err = { 0 };
	next_order(b);
	for (size_t i = 0; i < ARRAY_LEN(steps); i++)
		MUST(store_tx(b->s, steps[i], b, &err));
	(void)memcpy(b->made[b->made_count++ % MADE], b->serial, sizeof b->serial);
}

/* --- lists and lookups ----------------------------------------------------------------------------------------------*/
/* An account with many orders, one in ten of them valid; on an empty store the one that was made for this. */
static fallible great_account_find(struct store_tx *tx, void *ctx, struct err *err)
{
	struct bench *b = ctx;
	struct account_row a;
	char thumbprint[44];
	(void)snprintf(thumbprint, sizeof thumbprint, "growth%037d", 0);
	struct rc rc = account_by_thumbprint(tx, &b->mem, STR("default"), str_z(thumbprint), &a, err);
	if (!FAILED(rc))
		b->deep = a.id;
	return rc.kind == ERR_NOT_FOUND ? OK : rc;
}

struct listing {
	struct bench *b;
	struct id account, before;
};

static fallible list(struct store_tx *tx, void *ctx, struct err *err)
{
	const struct listing *l = ctx;
	struct id *ids;
	return order_list(tx, &l->b->mem, l->account, l->before, PAGE, &ids, &l->b->count, err);
}

static void step_list(struct bench *b, int64_t before_ms)
{
	struct listing l = { .b = b, .account = id_is_zero(b->deep) ? b->account : b->deep };
	struct err err = { 0 };
	for (int i = 0; before_ms != 0 && i < 6; i++)
		l.before.b[i] = (uint8_t)(before_ms >> (40 - 8 * i));
	arena_done(&b->mem);
	b->mem = (struct arena){ 0 };
	MUST(store_read(b->s, list, &l, &err));
}

static void step_first_page(struct bench *b)
{
	step_list(b, 0);
}

static void step_deep_page(struct bench *b)
{
	step_list(b, id_is_zero(b->deep)
			     ? 0
			     : b->now_ms - SPAN_MS + (int64_t)(next_random(b) % DEPTHS + 1) * (SPAN_MS / DEPTHS));
}

static fallible serial_find(struct store_tx *tx, void *ctx, struct err *err)
{
	struct bench *b = ctx;
	struct certificate_row c;
	TRY(certificate_by_serial(tx, &b->mem, str_z(b->serial), &c, err));
	b->issuance = c.id;
	return OK;
}

static void some_serial(struct bench *b)
{
	if (b->known > 0)
		(void)memcpy(b->serial, b->serials[next_random(b) % b->known], sizeof b->serial);
	else if (b->made_count > 0)
		(void)memcpy(b->serial, b->made[next_random(b) % KNOWN % b->made_count], sizeof b->serial);
	arena_done(&b->mem);
	b->mem = (struct arena){ 0 };
}

static void step_serial(struct bench *b)
{
	struct err err = { 0 };
	some_serial(b);
	MUST(store_read(b->s, serial_find, b, &err));
}

static fallible revoke_found(struct store_tx *tx, void *ctx, struct err *err)
{
	struct bench *b = ctx;
	TRY(serial_find(tx, b, err));
	return certificate_revoke(tx, b->issuance, b->now_ms, 4, STR("operator"), err);
}

/* One that was issued here, and not revoked yet: as dear in an empty store as in a filled one. */
static void step_revoke(struct bench *b)
{
	struct err err = { 0 };
	if (b->revoked == b->made_count)
		return;
	(void)memcpy(b->serial, b->made[b->revoked++ % MADE], sizeof b->serial);
	arena_done(&b->mem);
	b->mem = (struct arena){ 0 };
	MUST(store_tx(b->s, revoke_found, b, &err));
}

static size_t rows_of(struct bench *b, const char *sql, const char *text)
{
	sqlite3_stmt *s = NULL;
	size_t n = 0;
	if (sqlite3_prepare_v2(b->h, sql, -1, &s, NULL) != SQLITE_OK) {
		(void)fprintf(stderr, "growth-measure: %s\n", sqlite3_errmsg(b->h));
		exit(1);
	}
	(void)sqlite3_bind_text(s, 1, text, -1, SQLITE_STATIC);
	while (sqlite3_step(s) == SQLITE_ROW)
		n++;
	(void)sqlite3_finalize(s);
	return n;
}

static void step_name(struct bench *b)
{
	const char *name = b->known > 0 ? b->names[next_random(b) % b->known] : b->name;
	(void)rows_of(b, "SELECT certificate FROM certificate_names WHERE name = ?1", name);
}

/* --- the sweeper ----------------------------------------------------------------------------------------------------*/
static fallible expire(struct store_tx *tx, void *ctx, struct err *err)
{
	struct bench *b = ctx;
	return sweep_expired(tx, b->now_ms, SWEEP_STEP, &b->removed, err);
}

static void step_sweep(struct bench *b)
{
	struct err err = { 0 };
	MUST(store_tx(b->s, expire, b, &err));
}

static fallible retain(struct store_tx *tx, void *ctx, struct err *err)
{
	struct bench *b = ctx;
	struct retention what = { .ended_before = b->now_ms - 30 * DAY_MS,
				  .expired_before_s = (b->now_ms - VALID_MS) / 1000,
				  .limit = SWEEP_STEP,
				  .orders_from = b->orders_from };
	TRY(sweep_retention(tx, &what, &b->removed, &b->more, err));
	b->orders_from = what.orders_from;
	return OK;
}

static void step_retention_idle(struct bench *b)
{
	struct err err = { 0 };
	MUST(store_tx(b->s, retain, b, &err));
}

/* Everything that time brings, as if half a day more had gone by, in the steps of the sweeper. */
static void step_retention(struct bench *b)
{
	struct err err = { 0 };
	const int64_t now = b->now_ms;
	b->now_ms = now + DAY_MS * 3 / 2;
	double wall = wall_us();
	MUST(store_tx(b->s, retain, b, &err));
	wall = wall_us() - wall;
	b->longest_us = wall > b->longest_us ? wall : b->longest_us;
	b->now_ms = now;
	b->rows += b->removed;
}

static void step_revoked(struct bench *b)
{
	b->rows += rows_of(b,
			   "SELECT serial, revoked_at, revocation_reason FROM certificates WHERE issuer = ?1"
			   " AND revoked_at > 0 AND not_after_s > 0",
			   "default");
}

/* --- the table ------------------------------------------------------------------------------------------------------*/
static const struct step {
	const char *name;
	void (*run)(struct bench *b);
} steps[] = {
	{ "certificate", step_certificate },
	{ "new-order", step_order },
	{ "list-first-page", step_first_page },
	{ "list-deep-page", step_deep_page },
	{ "find-by-serial", step_serial },
	{ "find-by-name", step_name },
	{ "revoke", step_revoke },
	{ "sweep-nothing-due", step_sweep },
	{ "retention-nothing-due", step_retention_idle },
	{ "retention", step_retention },
	{ "revoked-all", step_revoked },
};

/* CPU at the beginning and the end, bytes, rows, the longest of them by the wall clock where that is of interest. */
static void measure(struct bench *b, const struct step *s, unsigned long count)
{
	b->rows = 0;
	b->longest_us = 0;
	double cpu = cpu_us(), io = bytes_written();
	for (unsigned long i = 0; i < count; i++)
		s->run(b);
	printf("%.3f %.3f %.0f %zu %.0f\n", cpu, cpu_us(), bytes_written() - io, b->rows, b->longest_us);
	(void)fflush(stdout);
}

static bool answer(struct bench *b, const char *line)
{
	char name[32] = "";
	unsigned long count = 0;
	if (sscanf(line, "%31s %lu", name, &count) != 2)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		if (strcmp(name, steps[i].name) == 0) {
			measure(b, &steps[i], count);
			return true;
		}
	}
	return false;
}

/* Some of any age: what they are found by. */
static void certificates_know(struct bench *b)
{
	sqlite3_stmt *s = NULL;
	if (sqlite3_prepare_v2(
		    b->h,
		    "SELECT c.serial, n.name FROM certificates c JOIN certificate_names n ON n.certificate = c.id"
		    " WHERE c.id > ?1 ORDER BY c.id LIMIT 1",
		    -1, &s, NULL) != SQLITE_OK)
		check((struct rc){ ERR_IO }, &(struct err){ 0 });
	for (unsigned i = 0; i < KNOWN; i++) {
		struct id after = { { 0 } };
		int64_t ms = b->now_ms - SPAN_MS + DAY_MS * 5 + (int64_t)i * (SPAN_MS - DAY_MS * 6) / KNOWN;
		for (int j = 0; j < 6; j++)
			after.b[j] = (uint8_t)(ms >> (40 - 8 * j));
		(void)sqlite3_bind_blob(s, 1, after.b, sizeof after.b, SQLITE_STATIC);
		if (sqlite3_step(s) == SQLITE_ROW) {
			(void)snprintf(b->serials[b->known], sizeof b->serials[0], "%s",
				       (const char *)sqlite3_column_text(s, 0));
			(void)snprintf(b->names[b->known], sizeof b->names[0], "%s",
				       (const char *)sqlite3_column_text(s, 1));
			b->known++;
		}
		(void)sqlite3_reset(s);
	}
	(void)sqlite3_finalize(s);
}

static void bench_open(struct bench *b, const char *path)
{
	struct err err = { 0 };
	char url[4200];
	double cpu = cpu_us(), wall = wall_us();
	(void)snprintf(url, sizeof url, "sqlite:%s", path);
	MUST(store_open(str_z(url), 4, &clock_system, &b->s, &err));
	printf("open %.0f %.0f\n", cpu_us() - cpu, wall_us() - wall);
	(void)fflush(stdout);
	if (sqlite3_open_v2(path, &b->h, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK)
		check((struct rc){ ERR_IO }, &err);
	MUST(store_read(b->s, great_account_find, b, &err));
	if (!id_is_zero(b->deep))
		certificates_know(b);
}

int main(int argc, char **argv)
{
	static struct bench b;
	struct err err = { 0 };
	char line[128];
	int code = 0;
	if (argc != 2) {
		(void)fprintf(stderr, "usage: growth-measure DATABASE\n");
		return 2;
	}
	memset(b.text, 'A', sizeof b.text);
	b.now_ms = clock_now_ms(&clock_system);
	b.random = (uint64_t)b.now_ms; /* serials that no run before this had */
	bench_open(&b, argv[1]);
	MUST(store_tx(b.s, account_add, &b, &err));
	while (code == 0 && fgets(line, sizeof line, stdin) != NULL)
		if (!answer(&b, line)) {
			(void)fprintf(stderr, "growth-measure: no such step: %s", line);
			code = 2;
		}
	arena_done(&b.mem);
	(void)sqlite3_close(b.h);
	store_close(b.s);
	return code;
}

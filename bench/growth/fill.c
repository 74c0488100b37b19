/* SPDX-License-Identifier: Apache-2.0
 *
 * fill.c DATABASE CERTIFICATES ORDERS: fills a new store with history, by SQL of its own and without a log, since it is thrown
 * away when anything fails: CERTIFICATES issued ones with all of their evidence, and so many orders that failed that there
 * are ORDERS in all, at times that retention's defaults keep. Rows have the sizes that the CA's own have. No statistics are
 * gathered: the plans must not need any. Prints how long it took.
 */
#include "growth.h"
#include "store/store.h"

#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define SLICES 20000

enum {
	S_ACCOUNT,
	S_ORDER,
	S_LINK,
	S_AUTHZ,
	S_CHALLENGE,
	S_ATTEMPT,
	S_VERDICT,
	S_ISSUANCE,
	S_CHAIN,
	S_CERTIFICATE,
	S_NAME,
	S_AUDIT,
	S_COUNT
};
static const char *const sql[S_COUNT] = {
	[S_ACCOUNT] =
		"INSERT INTO accounts (id, realm, thumbprint, jwk, status, contact, tos_agreed_at, eab_kid, created_at,"
		" created_ip) VALUES (?1, 'default', ?2, ?3, 'valid', '', ?4, '', ?4, '192.0.2.1')",
	[S_ORDER] = "INSERT INTO orders (id, account, realm, profile, status, identifiers, not_before_s, not_after_s, "
		    "created_at,"
		    " expires_at, ended_at, error, certificate, csr_hash)"
		    " VALUES (?1, ?2, 'default', 'server', ?3, ?4, 0, 0, ?5, ?5 + 604800000, ?5 + 400, ?6, ?7, ?8)",
	[S_LINK] = "INSERT INTO order_authz (order_id, position, authz) VALUES (?1, 0, ?2)",
	[S_AUTHZ] =
		"INSERT INTO authorizations (id, account, realm, thumbprint, ident_type, ident_value, wildcard, status,"
		" created_at, expires_at, ended_at, attempt) VALUES (?1, ?2, 'default', ?3, 'dns', ?4, 0, ?5, ?6,"
		" ?6 + 2592000000, ?7, ?8)",
	[S_CHALLENGE] = "INSERT INTO challenges (id, authz, type, status, token, validated_at, error, attempt)"
			" VALUES (?1, ?2, ?3, ?4, 'okAxsVv-93bDA5twEkhej7IpI1-9Apqcm3qoaY-sS3E', 0, ?5, ?6)",
	[S_ATTEMPT] = "INSERT INTO attempts (id, challenge, authz, account, order_id, realm, zone, status, created_at,"
		      " deadline_at, send_at, due_at, sends)"
		      " VALUES (?1, ?2, ?3, ?4, ?5, 'default', 'default', 'decided', ?6, ?6, ?6, ?6, 1)",
	[S_VERDICT] = "INSERT INTO verdicts (attempt, perspective, valid, jws, received_at, caa, finished_at)"
		      " VALUES (?1, 'local', 1, ?2, ?3, 'allowed', ?3)",
	[S_ISSUANCE] =
		"INSERT INTO issuances (id, order_id, account, realm, profile, issuer, serial, not_before_s, "
		"not_after_s,"
		" finalize_protected, finalize_payload, finalize_signature, finalize_url, status, created_at, send_at,"
		" sends, account_jwk) VALUES (?1, ?2, ?3, 'default', 'server', 'default', ?4, ?5, ?6, ?7, ?8, ?9, ?10,"
		" 'issued', ?11, ?11, 1, ?12)",
	[S_CHAIN] = "INSERT INTO chains (issuer, seq, pem) VALUES ('default', 1, ?1)",
	[S_CERTIFICATE] =
		"INSERT INTO certificates (id, order_id, account, realm, profile, issuer, serial, der, chain_pem,"
		" spki_hash, not_before_s, not_after_s, created_at, revoked_at, revocation_reason, revoked_by, "
		"chain_seq)"
		" VALUES (?1, ?2, ?3, 'default', 'server', 'default', ?4, ?5, '', ?6, ?7, ?8, ?9, ?10, ?11, ?12, 1)",
	[S_NAME] = "INSERT INTO certificate_names (name, certificate) VALUES (?1, ?2)",
	[S_AUDIT] = "INSERT INTO audit (at, actor, event, object, detail)"
		    " VALUES (?1, 'signer', 'certificate issued', ?2, ?3)",
};

struct fill {
	sqlite3 *h;
	sqlite3_stmt *stmts[S_COUNT];
	uint64_t random;
	int64_t now_ms;
	uint64_t certificates, orders;
	struct id accounts[ACCOUNTS];
	char text[4096]; /* base64url characters of no meaning */
};

/* One bound value. */
struct value {
	enum { V_NULL, V_I64, V_ID, V_TEXT, V_BLOB } kind;
	int64_t i;
	const struct id *id;
	const char *p;
	int n;
};
#define I(v) ((struct value){ .kind = V_I64, .i = (v) })
#define ID(v) ((struct value){ .kind = V_ID, .id = &(v) })
#define Z(v) ((struct value){ .kind = V_TEXT, .p = (v), .n = -1 })
#define T(v, len) ((struct value){ .kind = V_TEXT, .p = (v), .n = (len) })
#define B(v, len) ((struct value){ .kind = V_BLOB, .p = (v), .n = (len) })
#define NONE ((struct value){ .kind = V_NULL })

static void fail(struct fill *f, const char *what)
{
	(void)fprintf(stderr, "growth-fill: %s: %s\n", what, sqlite3_errmsg(f->h));
	exit(1);
}

static void bind_value(sqlite3_stmt *s, int at, const struct value *v)
{
	switch (v->kind) {
	case V_NULL:
		(void)sqlite3_bind_null(s, at);
		break;
	case V_I64:
		(void)sqlite3_bind_int64(s, at, v->i);
		break;
	case V_ID:
		(void)sqlite3_bind_blob(s, at, v->id->b, sizeof v->id->b, SQLITE_STATIC);
		break;
	case V_TEXT:
		(void)sqlite3_bind_text(s, at, v->p, v->n, SQLITE_STATIC);
		break;
	case V_BLOB:
		(void)sqlite3_bind_blob(s, at, v->p, v->n, SQLITE_STATIC);
		break;
	}
}

static void add(struct fill *f, unsigned which, const struct value *values, int count)
{
	sqlite3_stmt *s = f->stmts[which];
	for (int i = 0; i < count; i++)
		bind_value(s, i + 1, &values[i]);
	if (sqlite3_step(s) != SQLITE_DONE)
		fail(f, sql[which]);
	(void)sqlite3_reset(s);
}
#define ADD(f, which, ...)                                       \
	add((f), (which), (const struct value[]){ __VA_ARGS__ }, \
	    (int)(sizeof(struct value[]){ __VA_ARGS__ } / sizeof(struct value)))

static void run(struct fill *f, const char *text)
{
	if (sqlite3_exec(f->h, text, NULL, NULL, NULL) != SQLITE_OK)
		fail(f, text);
}

static uint64_t next_random(struct fill *f) /* splitmix64: the same store every time */
{
	uint64_t z = f->random += 0x9e3779b97f4a7c15u;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static struct id id_at(struct fill *f, int64_t ms)
{
	struct id id;
	uint64_t a = next_random(f), b = next_random(f);
	for (int i = 0; i < 6; i++)
		id.b[i] = (uint8_t)(ms >> (40 - 8 * i));
	for (int i = 0; i < 5; i++) {
		id.b[6 + i] = (uint8_t)(a >> (8 * i));
		id.b[11 + i] = (uint8_t)(b >> (8 * i));
	}
	id.b[6] = (uint8_t)(0x70 | (id.b[6] & 0x0f));
	id.b[8] = (uint8_t)(0x80 | (id.b[8] & 0x3f));
	return id;
}

static const struct id *account_of(const struct fill *f, uint64_t n)
{
	return &f->accounts[n % GREAT_ACCOUNT_EVERY == 0 ? 0 : n % ACCOUNTS];
}

static void accounts_fill(struct fill *f)
{
	for (int i = 0; i < ACCOUNTS; i++) {
		char thumbprint[44];
		int64_t at = f->now_ms - SPAN_MS - ACCOUNTS + i;
		f->accounts[i] = id_at(f, at);
		(void)snprintf(thumbprint, sizeof thumbprint, "growth%037d", i);
		ADD(f, S_ACCOUNT, ID(f->accounts[i]), Z(thumbprint), T(f->text, 130), I(at));
	}
	ADD(f, S_CHAIN, T(f->text, 733));
}

static void challenges_fill(struct fill *f, const struct id *authz, const struct id *challenge,
			    const struct id *attempt, int64_t at, bool valid)
{
	static const char *const types[] = { "http-01", "dns-01", "tls-alpn-01" };
	ADD(f, S_CHALLENGE, ID(*challenge), ID(*authz), Z(types[0]), Z(valid ? "valid" : "invalid"),
	    T(f->text, valid ? 0 : 180), ID(*attempt));
	for (size_t i = 1; i < ARRAY_LEN(types); i++) {
		struct id other = id_at(f, at);
		ADD(f, S_CHALLENGE, ID(other), ID(*authz), Z(types[i]), Z("pending"), Z(""), NONE);
	}
}

/* A certificate with all that belongs to it, ordered at this time. */
static void certificate_fill(struct fill *f, uint64_t n, int64_t at)
{
	char serial[40], name[64], identifiers[96], object[48], detail[80];
	struct id order = id_at(f, at), authz = id_at(f, at), challenge = id_at(f, at), attempt = id_at(f, at + 20);
	struct id certificate = id_at(f, at + 60), hash[2] = { id_at(f, (int64_t)next_random(f)), id_at(f, at) };
	const struct id *account = account_of(f, n);
	bool expired = at + 30 * DAY_MS < f->now_ms, revoked = n % REVOKED_EVERY == 0;
	(void)snprintf(serial, sizeof serial, SERIAL_FORMAT, SERIAL_ARGS(n));
	(void)snprintf(name, sizeof name, NAME_FORMAT, (unsigned long long)n);
	(void)snprintf(identifiers, sizeof identifiers, "[{\"type\":\"dns\",\"value\":\"n%" PRIu64 ".growth.test\"}]",
		       n);
	(void)snprintf(object, sizeof object, "order:%s", id_show(order).z);
	(void)snprintf(detail, sizeof detail, "{\"serial\":\"%s\"}", serial);
	ADD(f, S_ORDER, ID(order), ID(*account), Z("valid"), Z(identifiers), I(at), Z(""), ID(certificate),
	    B(f->text, 32));
	ADD(f, S_AUTHZ, ID(authz), ID(*account), T(f->text, 43), Z(name), Z(expired ? "expired" : "valid"), I(at),
	    I(expired ? at + 30 * DAY_MS : 0), ID(attempt));
	ADD(f, S_LINK, ID(order), ID(authz));
	challenges_fill(f, &authz, &challenge, &attempt, at, true);
	ADD(f, S_ATTEMPT, ID(attempt), ID(challenge), ID(authz), ID(*account), ID(order), I(at));
	ADD(f, S_VERDICT, ID(attempt), T(f->text, 1330), I(at));
	ADD(f, S_ISSUANCE, ID(certificate), ID(order), ID(*account), Z(serial), I(at / 1000), I((at + VALID_MS) / 1000),
	    T(f->text, 330), T(f->text, 350), T(f->text, 86), T(f->text, 76), I(at), T(f->text, 130));
	ADD(f, S_CERTIFICATE, ID(certificate), ID(order), ID(*account), Z(serial), B(f->text, 450),
	    B((const char *)hash, sizeof hash), I(at / 1000), I((at + VALID_MS) / 1000), I(at),
	    I(revoked ? at + 1000 : 0), I(revoked ? 4 : 0), Z(revoked ? "operator" : ""));
	ADD(f, S_NAME, Z(name), ID(certificate));
	ADD(f, S_AUDIT, I(at), Z(object), Z(detail));
}

/* Orders that failed together, because their one authorization did. */
static void failed_fill(struct fill *f, uint64_t n, int64_t at)
{
	struct id authz = id_at(f, at), challenge = id_at(f, at), attempt = id_at(f, at);
	const struct id *account = account_of(f, n / ORDERS_AN_AUTHZ);
	char name[64], identifiers[96];
	(void)snprintf(name, sizeof name, "f%" PRIu64 ".growth.test", n);
	(void)snprintf(identifiers, sizeof identifiers, "[{\"type\":\"dns\",\"value\":\"%s\"}]", name);
	ADD(f, S_AUTHZ, ID(authz), ID(*account), T(f->text, 43), Z(name), Z("invalid"), I(at), I(at + 400),
	    ID(attempt));
	challenges_fill(f, &authz, &challenge, &attempt, at, false);
	for (unsigned i = 0; i < ORDERS_AN_AUTHZ; i++) {
		struct id order = id_at(f, at);
		ADD(f, S_ORDER, ID(order), ID(*account), Z("invalid"), Z(identifiers), I(at), T(f->text, 200), NONE,
		    NONE);
		ADD(f, S_LINK, ID(order), ID(authz));
	}
}

/* Slice by slice of time, so that ids rise as they do in life. */
static void history_fill(struct fill *f)
{
	uint64_t failed = f->orders - f->certificates, done = 0, made = 0;
	for (uint64_t s = 0; s < SLICES; s++) {
		int64_t from = f->now_ms - SPAN_MS + SPAN_MS / SLICES * (int64_t)s;
		if (s % (SLICES / 20) == 0)
			run(f, s == 0 ? "BEGIN" : "COMMIT; BEGIN");
		for (; done < f->certificates * (s + 1) / SLICES; done++)
			certificate_fill(f, done, from + (int64_t)(next_random(f) % (SPAN_MS / SLICES)));
		const uint64_t first = SLICES - SLICES * FAILED_SPAN_MS / SPAN_MS;
		if (s < first)
			continue;
		for (; made < failed * (s + 1 - first) / (SLICES - first); made += ORDERS_AN_AUTHZ)
			failed_fill(f, made, from + (int64_t)(next_random(f) % (SPAN_MS / SLICES)));
	}
	run(f, "COMMIT");
}

static void open_bare(struct fill *f, const char *path)
{
	if (sqlite3_open_v2(path, &f->h, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK)
		fail(f, path);
	run(f, "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -1500000;"
	       "PRAGMA locking_mode = EXCLUSIVE; PRAGMA foreign_keys = OFF; PRAGMA temp_store = MEMORY");
	for (unsigned i = 0; i < S_COUNT; i++)
		if (sqlite3_prepare_v3(f->h, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &f->stmts[i], NULL) != SQLITE_OK)
			fail(f, sql[i]);
}

int main(int argc, char **argv)
{
	static struct fill f = { .random = 1 };
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	const struct clock *clk = &clock_system;
	struct store *s;
	struct err err = { 0 };
	char url[4200];
	if (argc != 4) {
		(void)fprintf(stderr, "usage: growth-fill DATABASE CERTIFICATES ORDERS\n");
		return 2;
	}
	f.certificates = strtoull(argv[2], NULL, 10);
	f.orders = strtoull(argv[3], NULL, 10);
	f.now_ms = clock_now_ms(clk);
	for (size_t i = 0; i < sizeof f.text; i++)
		f.text[i] = alphabet[next_random(&f) % 64];
	(void)snprintf(url, sizeof url, "sqlite:%s", argv[1]);
	if (f.orders < f.certificates || FAILED(store_open(str_z(url), 1, clk, &s, &err))) {
		(void)fprintf(stderr, "growth-fill: %s\n", err.detail);
		return 1;
	}
	store_close(s);
	open_bare(&f, argv[1]);
	accounts_fill(&f);
	history_fill(&f);
	for (unsigned i = 0; i < S_COUNT; i++)
		(void)sqlite3_finalize(f.stmts[i]);
	run(&f, "PRAGMA locking_mode = NORMAL; PRAGMA journal_mode = WAL");
	(void)sqlite3_close(f.h);
	printf("%" PRIu64 " certificates, %" PRIu64 " orders in %.0f s\n", f.certificates, f.orders,
	       (double)(clock_now_ms(clk) - f.now_ms) / 1000);
	return 0;
}

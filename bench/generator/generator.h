/* SPDX-License-Identifier: Apache-2.0
 *
 * generator.h: what the files of cairn-bench share. One thread, one loop: many ACME clients, each with an account, at
 * most one connection and at most one request on the wire, and beside them whoever answers their challenges. Nothing of
 * src/client is in here, on purpose: this is a second reading of RFC 8555, and it believes no reply. From below it takes
 * slices, the loop, base64url and DER; its JSON, HTTP and JWS are its own, made for this one use, because the generator
 * shares the machine with what it measures.
 */
#ifndef CAIRN_BENCH_GENERATOR_H
#define CAIRN_BENCH_GENERATOR_H

#include "crypto/crypto.h"
#include "net/loop.h"
#include "net/net.h"

#include <openssl/types.h>

#define CLIENTS_MAX 20000
#define NAMES_MAX 100

/* --- sign.c: keys that sign for a microsecond -----------------------------------------------------------------------*/
struct signing;   /* the curve, SHA-256, and nonces made beforehand */
struct bench_key; /* one key pair */
enum bench_alg { BENCH_ES256, BENCH_RS256 };
fallible signing_new(struct signing **ret, struct err *err);
void signing_free(struct signing *s); /* accepts NULL; its keys go first */
fallible bench_key_new(struct signing *s, enum bench_alg alg, struct bench_key **ret, struct err *err);
void bench_key_free(struct bench_key *k); /* accepts NULL */
const char *bench_key_alg(const struct bench_key *k);
struct str bench_key_jwk(const struct bench_key *k);        /* the canonical members of RFC 7638 */
struct str bench_key_thumbprint(const struct bench_key *k); /* base64url */
struct str bench_key_spki(const struct bench_key *k);       /* DER; ES256 only */
EVP_PKEY *bench_key_evp(const struct bench_key *k);         /* borrowed; for TLS */
fallible bench_sha256(struct signing *s, struct str in, uint8_t out[32], struct err *err);
/* As JOSE wants it (ret is reset first), and as X.509 does. */
fallible bench_sign(struct signing *s, struct bench_key *k, struct str in, struct buf *ret, struct err *err);
fallible bench_sign_x509(struct signing *s, struct bench_key *k, struct str in, struct derw *w, struct err *err);
/* What OpenSSL needs for one signature with P-256, CPU microseconds: the unit of the report. */
fallible signing_measure(double *ret_us, struct err *err);

/* --- message.c: what is sent ----------------------------------------------------------------------------------------*/
struct jws_wanted {
	struct bench_key *key;
	struct str kid; /* empty: the key itself, as a JWK */
	struct str nonce, url, payload;
};
struct scratch; /* room that is used again for each */
struct scratch *scratch_new(void);
void scratch_free(struct scratch *m); /* accepts NULL */
fallible message_jws(struct signing *s, struct scratch *m, const struct jws_wanted *w, struct buf *ret,
		     struct err *err);
/* A CSR as DER: no subject, these names. */
fallible message_csr(struct signing *s, struct bench_key *k, const struct str *names, size_t count, struct buf *ret,
		     struct err *err);

/* --- scan.c: JSON without a tree ------------------------------------------------------------------------------------*/
/* The member's value as it stands in the text, a string without its quotes; false when it is not there, or the text is
 * no object. Escapes are not undone: a string with one is not found, for what ACME says to a client needs none. */
bool scan_member(struct str object, const char *key, struct str *ret);
/* Walks an array: the next element into *ret; false at its end, or where it is none. *at begins at 0. */
bool scan_next(struct str array, size_t *at, struct str *ret);

/* --- conn.c: HTTP/1.1 over TLS, one request at a time ---------------------------------------------------------------*/
struct reply { /* slices live until the callback returns */
	int status;
	struct str nonce, location, content_type, body;
	uint64_t retry_after_s;
};
struct conn;
struct conn_settings {
	struct loop *loop;
	SSL_CTX *tls;
	struct addr addr;
	uint16_t port;
	char *host;           /* not const only because OpenSSL casts it so */
	struct str authority; /* of Host */
	void (*on_reply)(void *ctx, const struct reply *r);
	/* No reply is coming. fresh: the connection had carried nothing before. */
	void (*on_failure)(void *ctx, const char *what, bool fresh);
	void (*on_open)(void *ctx); /* hands were shaken */
};
fallible conn_tls_new(const char *ca_file, SSL_CTX **ret, struct err *err);
struct conn *conn_new(const struct conn_settings *s, void *ctx);
void conn_free(struct conn *c); /* accepts NULL */
/* path as in the request line; body with p == NULL: none. Opens a connection when there is none. */
void conn_send(struct conn *c, const char *method, struct str path, struct str body);
void conn_close(struct conn *c);

/* --- look.c: certificates ------------------------------------------------------------------------------------------*/
struct looker;
struct look_wanted {
	struct str spki;
	const struct str *names;
	size_t count;
};
/* roots: a PEM file the chains must end at, or NULL. share: of one certificate in so many the signature is verified;
 * of an issuer's first always. */
fallible looker_new(const char *roots, unsigned share, struct looker **ret, struct err *err);
void looker_free(struct looker *l); /* accepts NULL */
/* ERR_MALFORMED says what is wrong with it. *ret_leaf: base64 of the leaf, with its line ends. */
fallible looker_check(struct looker *l, struct str pem, const struct look_wanted *w, struct str *ret_leaf,
		      struct err *err);
uint64_t looker_verified(const struct looker *l);

/* --- tally.c: what is counted ----------------------------------------------------------------------------------------*/
enum measured {
	M_ISSUANCE,
	M_CONNECT,
	M_NEW_NONCE,
	M_NEW_ACCOUNT,
	M_NEW_ORDER,
	M_AUTHZ,
	M_CHALLENGE,
	M_POLL,
	M_FINALIZE,
	M_CERTIFICATE,
	M_READ,
	M_REVOKE,
	M_COUNT
};
/* Microseconds, 32 steps to an octave: 3 % off at most, and as large after a year as after a second. */
#define HIST_STEPS 32
#define HIST_OCTAVES 36
struct hist {
	uint64_t count, max, sum;
	uint32_t at[HIST_OCTAVES * HIST_STEPS];
};
void hist_add(struct hist *h, int64_t us);
uint64_t hist_at(const struct hist *h, double share);

#define KINDS_MAX 16
#define WATCH_MAX 8
struct usage {
	double cpu_us;                      /* to the nanosecond */
	double user_ticks_us, sys_ticks_us; /* as the kernel parts it, by ticks of 10 ms */
	uint64_t syncs;                     /* UINT64_MAX: not counted */
	uint64_t written;                   /* bytes to storage; UINT64_MAX: the kernel does not tell us */
	uint64_t anonymous_kib, file_kib;   /* resident, files' pages by our share of them */
};
struct watched {
	const char *name;
	long pid;
	bool children; /* too, those that have ended among them */
	struct usage before, after;
};
struct tally {
	struct hist hist[M_COUNT];
	uint64_t done, failed, refused, bad_nonces, reconnects;
	uint64_t in_time;       /* of done: before the time was up */
	uint64_t done_requests; /* all, when it was done last */
	struct {
		char what[96], first[160];
		uint64_t count;
	} kinds[KINDS_MAX];
	size_t kind_count;
	struct watched watched[WATCH_MAX];
	size_t watched_count;
	const struct syncs *syncs; /* NULL: nobody counts them */
	struct usage own_before, own_after;
	double challenge_us; /* of our own: the tls-alpn-01 server's */
	double sign_us;
	int64_t began_us, time_up_us, ended_us;
};
int64_t mono_us(void);
/* What was used between two readings: the sum exactly, its parts as far as ticks can tell. */
struct cpu {
	double user_us, sys_us;
};
struct cpu usage_cpu(const struct usage *before, const struct usage *after);
/* Counted by what; the first detail is kept. */
void tally_failure(struct tally *t, const char *what, const char *detail);
fallible tally_syncs(struct tally *t, const char *path, struct err *err);
void tally_begin(struct tally *t);
void tally_end(struct tally *t);

/* --- report.c --------------------------------------------------------------------------------------------------------*/
struct report_about {
	const char *mode;
	unsigned clients, names, share;
	uint64_t verified;
};
void report_text(const struct tally *t, const struct report_about *a);
fallible report_json(const struct tally *t, const struct report_about *a, struct err *err);

/* --- client.c: one ACME client ---------------------------------------------------------------------------------------*/
enum challenge { CHALLENGE_HTTP, CHALLENGE_DNS, CHALLENGE_ALPN, CHALLENGE_COUNT };
enum task { TASK_ISSUE, TASK_NEW_NONCE, TASK_NEW_ACCOUNT, TASK_NEW_ORDER, TASK_READ, TASK_REVOKE, TASK_COUNT };
enum kept { KEPT, KEPT_ORDER, KEPT_REQUEST };

struct options {
	struct str server, suffix;
	const char *ca_file, *roots, *syncs;
	unsigned clients, names, share;
	unsigned challenge_port;
	uint64_t seconds, orders, timeout_s, poll_ms, rate, prepare;
	enum challenge challenge;
	enum task task;
	enum kept kept;
	enum bench_alg alg;
	bool json, overload;
};
struct directory { /* paths */
	struct str new_nonce, new_account, new_order, revoke;
};
/* For whoever answers challenges; false: nobody of ours is about to prove this name. */
struct client_answer {
	struct str token, thumbprint;
};
enum phase { PHASE_SET_UP, PHASE_RUN, PHASE_OVER };
struct client;
struct bench {
	const struct options *o;
	struct loop *loop;
	struct signing *signing;
	struct scratch *scratch;
	struct looker *looker;
	struct conn_settings conn;
	struct str base;       /* "https://localhost:14000" */
	struct directory urls; /* whole, of the directory */
	struct arena mem;
	struct client **clients;
	unsigned ready, busy; /* clients that are set up; that are at something */
	enum phase phase;
	struct loop_timer *time_up;
	int64_t started_us; /* setting up */
	uint64_t begun;     /* orders, or what the task is made of */
	int64_t next_us;    /* with --rate: when the next order is due */
	char run_id[8];     /* part of every name, so that none was ever asked for */
	struct tally tally;
	bool broken; /* it could not be set up */
};
struct client *client_new(struct bench *b, unsigned number, struct bench_key *account_key);
void client_free(struct client *c); /* accepts NULL */
fallible client_set_up(struct client *c, struct err *err);
void client_start(struct client *c); /* towards being ready */
void client_begin(struct client *c); /* the next order, or whatever the task is made of; or nothing more */
/* SHA-256 of the key authorization. */
fallible client_answer_hash(const struct bench *b, const struct client_answer *a, uint8_t out[32]);
bool clients_answer(const struct bench *b, struct str name, struct client_answer *ret);
/* bench: all is set up; all is over. */
void bench_ready(struct bench *b);
void bench_idle(struct bench *b);

/* --- who answers challenges -----------------------------------------------------------------------------------------*/
struct answerer {
	/* On failure too, *ret is what free wants, unless it is NULL. */
	fallible (*new)(struct bench *b, uint16_t port, void **ret, struct err *err);
	void (*free)(void *ctx);
};
extern const struct answerer answerer_http, answerer_dns, answerer_alpn; /* web.c, names.c, shake.c */
/* A listening socket on loopback, whose connections are accepted with their first bytes. */
fallible answerer_listen(uint16_t port, int *ret, struct err *err);

#endif

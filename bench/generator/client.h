/* SPDX-License-Identifier: Apache-2.0
 *
 * client.h: what client.c and steps.c share. client.c carries requests: nonces, time-outs, refusals, failures. steps.c is
 * the protocol: one row a step, what it asks and what its reply must be.
 */
#ifndef CAIRN_BENCH_CLIENT_H
#define CAIRN_BENCH_CLIENT_H

#include "generator.h"

#define URL_MAX 512
#define NONCE_MAX 256

enum step {
	STEP_DIRECTORY,
	STEP_NEW_NONCE,
	STEP_NEW_ACCOUNT,
	STEP_NEW_ORDER,
	STEP_AUTHZ,
	STEP_CHALLENGE,
	STEP_POLL_AUTHZ,
	STEP_FINALIZE,
	STEP_POLL_ORDER,
	STEP_CERTIFICATE,
	STEP_READ,
	STEP_REVOKE,
	STEP_COUNT
};
struct step_row {
	const char *name;
	enum measured measured;
	void (*ask)(struct client *c);
	fallible (*take)(struct client *c, const struct reply *r, struct err *err);
};
extern const struct step_row steps[STEP_COUNT];

enum waiting { WAITING_REPLY, WAITING_TURN, WAITING_BEGIN };

struct client {
	struct bench *b;
	unsigned number;
	struct bench_key *account_key; /* borrowed */
	struct bench_key *key;         /* of its certificates */
	struct bench_key *extra_key;   /* of the account that is made just now, when that is the task */
	struct conn *conn;
	struct loop_timer *timer;
	struct arena account_mem, order_mem;
	struct str kid; /* in account_mem, as are the next two */
	struct str read_url;
	struct str *certificates; /* payloads of revocations */
	size_t certificate_count, certificate_room;
	char nonce[NONCE_MAX];
	size_t nonce_n;
	struct buf body, payload, scratch;

	enum step step;
	enum waiting waiting;
	unsigned again; /* times that this request was sent again */
	int64_t began_us, asked_us;
	/* The order, in order_mem. */
	struct str names[NAMES_MAX], authz[NAMES_MAX], challenge[NAMES_MAX], token[NAMES_MAX];
	size_t of_authz[NAMES_MAX]; /* which name an authorization is about */
	bool proven[NAMES_MAX];     /* by authorization */
	size_t at;                  /* which authorization is next */
	uint64_t orders;            /* so far: part of names */
	struct str order_url, finalize_url, certificate_url;
};
/* Sends what the step asks. */
void client_go(struct client *c, enum step step);
/* The same after a while: what the server says, or --poll-ms. */
void client_go_later(struct client *c, enum step step, const struct reply *r);
void client_post(struct client *c, struct str url, struct str payload); /* payload empty: POST-as-GET */
void client_post_as(struct client *c, struct bench_key *key, struct str kid, struct str url, struct str payload);
void client_head(struct client *c, struct str url);
/* What was begun with client_begin is done; or there is no more to set up. */
void client_done(struct client *c);
void client_ready(struct client *c);
void client_name(struct client *c, size_t i, uint64_t order);

#endif

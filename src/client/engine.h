/* SPDX-License-Identifier: Apache-2.0
 *
 * engine.h: the engine's state, shared by engine.c (the machine) and phases.c (what each reply means).
 */
#ifndef CAIRN_CLIENT_ENGINE_H
#define CAIRN_CLIENT_ENGINE_H

#include "client/client.h"

#define CLIENT_URL_MAX 2048
#define TERMS_SHOWN_MAX 200

enum phase {
	PH_IDLE,
	PH_DIRECTORY,
	PH_ACCOUNT,
	PH_ORDER,
	PH_AUTHZ,     /* read authorization `at` */
	PH_PUBLISH,   /* its answer goes up */
	PH_CHALLENGE, /* tell the server */
	PH_POLL_AUTHZ,
	PH_WITHDRAW,
	PH_POLL_ORDER, /* until ready (or further) */
	PH_FINALIZE,
	PH_POLL_CERT, /* until valid */
	PH_CERT,
	PH_DONE,
	PH_FAILED,
	PH_COUNT
};

struct client_authz {
	struct str url, name, challenge_url, token, key_authorization;
	bool published, done;
};

struct client {
	const struct crypto *crypto;
	const struct key *account_key, *certificate_key;
	enum challenge_type method;
	bool terms_agreed;
	struct thumbprint thumbprint;
	struct arena mem; /* lives as long as the client: directory, account */
	struct str directory_url, contact, new_nonce, new_account, new_order, account_url;
	struct str terms; /* where the server's terms of service are to be read; for messages only */
	struct buf nonce;

	struct arena order_mem; /* lives as long as the order */
	enum phase phase;
	struct err failure; /* PH_FAILED comes after the answers were withdrawn */
	struct str *names;
	size_t name_count;
	struct str order_url, finalize_url, certificate_url;
	struct client_authz authzs[IDENTS_MAX];
	size_t authz_count, at;
	struct str csr_b64; /* made once an order, so that a repeated finalize is the same request */
	unsigned polls, retries;
	int64_t poll_ms;  /* client_conf */
	int64_t wait_ms;  /* > 0: wait before the next request of this phase */
	bool looked;      /* the order itself was seen ready */
	bool asked_nonce; /* the request under way is for a nonce */
	struct buf body, chain;
};

struct phase_row {
	const char *doing;
	/* The request of this phase: its URL, and the payload (empty: POST-as-GET). */
	fallible (*ask)(struct client *cl, struct str *ret_url, struct buf *ret_payload, struct err *err);
	fallible (*answer)(struct client *cl, const struct client_reply *r, const struct json *body, struct err *err);
};
const struct phase_row *phase_row(enum phase p);

bool is_base64url(struct str s); /* one character at least */
/* A Retry-After in milliseconds, not capped; -1: none, or none that can be read. */
int64_t retry_after_ms(const struct client_reply *r);
/* The server's own words about a problem, its subproblems behind it (RFC 8555 6.7.1). */
struct str problem_words(struct arena *mem, const struct json *problem, enum err_kind *ret_kind);

#endif

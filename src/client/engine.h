/* SPDX-License-Identifier: Apache-2.0
 *
 * engine.h: the engine's state, shared by engine.c (the machine), phases.c (what each reply means) and answer.c (what is
 * published).
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
	PH_REVOKE,
	PH_KEY_CHANGE,
	PH_DEACTIVATE,
	PH_AGREE, /* to terms that changed, once an order */
	PH_ORDER,
	PH_AUTHZ,     /* read authorization `at` */
	PH_PUBLISH,   /* its answer goes up */
	PH_SETTLE,    /* answers in the DNS get some time */
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

enum goal { GOAL_ORDER, GOAL_REGISTER, GOAL_FIND, GOAL_REVOKE, GOAL_KEY_CHANGE, GOAL_DEACTIVATE };

struct client_authz {
	struct str url, challenge_url;
	struct ident ordered; /* what of the order it is for, with "*." */
	struct client_answer answer;
	bool published, told, done;
};

/* What the directory says; the rest of it is not kept. */
struct client_directory {
	struct str new_nonce, new_account, new_order, revoke_cert, key_change; /* the last two may be empty */
	struct str terms; /* where the server's terms of service are to be read; for messages only */
	struct str *profiles;
	size_t profile_count;
	struct str persist_issuer, persist_prefix; /* dns-persist-01: empty where the server does not serve it */
};

struct client {
	const struct crypto *crypto;
	const struct key *account_key;
	enum challenge_type methods[CHALLENGE_TYPE_COUNT];
	size_t method_count;
	bool terms_agreed;
	struct thumbprint thumbprint;
	struct arena mem; /* lives as long as the client: directory, account */
	struct str directory_url, contact, eab_kid, account_url;
	const struct secret *eab_key;
	struct client_directory directory;
	struct buf nonce;

	struct arena order_mem; /* lives as long as the order */
	enum goal goal;
	enum phase phase;
	struct err failure; /* PH_FAILED comes after the answers were withdrawn */
	const struct key *certificate_key, *new_key;
	struct ident *idents;
	size_t ident_count;
	struct str profile;
	struct str order_url, finalize_url, certificate_url;
	struct client_authz authzs[IDENTS_MAX];
	size_t authz_count, at;
	struct str csr_b64; /* made once an order, so that a repeated finalize is the same request */
	struct str revoke_b64;
	int revoke_reason;
	unsigned polls, retries;
	int64_t poll_ms, settle_ms; /* client_conf */
	int64_t wait_ms;            /* > 0: wait before the next request of this phase */
	bool looked;                /* the order itself was seen ready */
	bool agreed;                /* to the terms, again, in this order */
	bool asked_nonce;           /* the request under way is for a nonce */
	struct buf body, chain;
};

struct phase_row {
	const char *doing;
	/* The request of this phase: its URL, and the payload (empty: POST-as-GET). */
	fallible (*ask)(struct client *cl, struct str *ret_url, struct buf *ret_payload, struct err *err);
	fallible (*answer)(struct client *cl, const struct client_reply *r, const struct json *body, struct err *err);
};
const struct phase_row *phase_row(enum phase p);
/* Where the goal leads, once there is an account. */
enum phase phase_of_goal(enum goal g);
void authz_next(struct client *cl);       /* to the next authorization to read, or on */
void challenges_begin(struct client *cl); /* all answers are up: the server is told */

/* What proves the identifier to this server by this method; token is checked. */
fallible answer_make(const struct client *cl, struct arena *mem, enum challenge_type method, const struct ident *ident,
		     struct str token, struct client_answer *ret, struct err *err);

bool is_base64url(struct str s); /* one character at least */
/* A Retry-After in milliseconds, not capped; -1: none, or none that can be read. */
int64_t retry_after_ms(const struct client_reply *r);
/* The server's own words about a problem, its subproblems behind it (RFC 8555 6.7.1). */
struct str problem_words(struct arena *mem, const struct json *problem, enum err_kind *ret_kind);

#endif

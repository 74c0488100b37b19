/* SPDX-License-Identifier: Apache-2.0
 *
 * admin.h: how the operator's commands reach the running API: one request and one answer over a Unix socket that only
 * the API's own user and root may use. The server half runs in cairn-api, the client half in `cairn`; between them go
 * frames (net/frames.h) with one JSON object each:
 *
 *   {"v":1,"do":"eab.show","kid":"..."}  ->  {"v":1,"ok":true, ...}  or  {"v":1,"ok":false,"kind":"...","detail":"..."}
 *
 * An operation is a row of the table in dispatch.c. Members and operations that are not known are refused, so that an
 * older API says so instead of doing half of what was asked. Everything that changes something leaves an audit row in
 * the same transaction, with the actor "operator:UID".
 */
#ifndef CAIRN_ADMIN_ADMIN_H
#define CAIRN_ADMIN_ADMIN_H

#include "conf/conf.h"
#include "store/store.h"

#define ADMIN_VERSION 1
#define ADMIN_REQUEST_MAX (64 * 1024)
#define ADMIN_ANSWER_MAX (1024 * 1024)

/* --- server -------------------------------------------------------------------------------------------------------*/
struct admin;
struct admin_deps { /* all borrowed; must outlive the server */
	struct store *store;
	const struct crypto *crypto;
	const struct log *log;
	const struct clock *clk;
	const struct rng *rng;
	const struct secret *seal_key; /* SEAL_KEY_LEN bytes */
	/* A certificate's line of `cairn audit export`; ERR_NOT_FOUND: there is none of this id. */
	fallible (*evidence)(void *ctx, struct id certificate, struct buf *ret, struct err *err);
	void *evidence_ctx;
};
struct admin_limits {
	unsigned connections; /* at once; one more is told so */
	int64_t request_ms;   /* from the connection to the request's last byte */
	int64_t answer_ms;    /* from the answer's first byte to its last */
};
extern const struct admin_limits admin_limits_default;

/* The configuration passes to the server on success. */
fallible admin_new(const struct admin_deps *deps, struct conf *conf, struct admin **ret, struct err *err);
/* Serves at `path` in threads of its own until admin_free: mode 0600, a stale socket replaced, a served one refused.
 * The folder must not be writable by everybody: who can put a socket of his own there answers in our place. */
fallible admin_serve(struct admin *a, const char *path, const struct admin_limits *limits, struct err *err);
/* Requests in work keep the configuration that they began with. Takes conf over. */
void admin_reload(struct admin *a, struct conf *conf);
/* Ends what is in work first; removes the socket. Accepts NULL. */
void admin_free(struct admin *a);
/* The function behind the socket: the text of a request to the text of its answer, which may be a refusal. What it
 * wrote may hold a secret: wipe it. */
void admin_answer(struct admin *a, struct str request, uid_t uid, struct buf *ret);

/* --- client -------------------------------------------------------------------------------------------------------*/
/* Sends the request and waits for its answer, at most wait_ms in all. An answer that is a refusal is this call's
 * failure. *ret is freed with json_free. ERR_UNAVAILABLE: nobody serves the socket; ERR_UNAUTHORIZED: we may not. */
fallible admin_call(const char *path, struct str request, int64_t wait_ms, struct json **ret, struct err *err);

/* --- the file of store.secret-key: 64 hex digits and a newline, mode 0600 ------------------------------------------*/
fallible seal_key_make(const char *path, const struct rng *rng, struct err *err); /* ERR_CONFLICT: it is there */
/* ERR_CONFIG for a file of another's, one that others may read, or other contents; ERR_NOT_FOUND: there is none. */
fallible seal_key_read(const char *path, struct secret *ret, struct err *err);
/* What cairn-api does at start: reads it; makes it when there is none and the store has no external account keys yet,
 * otherwise refuses. *ret_made says which. Warns in the log when the store's keys do not open with it. */
fallible seal_key_open(const struct admin_deps *d, const char *path, struct secret *ret, bool *ret_made,
		       struct err *err);

#endif

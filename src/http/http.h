/* SPDX-License-Identifier: Apache-2.0
 *
 * http.h: a strict HTTP/1.1 server (RFC 9112, nothing laxer) over TLS or plain TCP. It knows no ACME: a handler gets a
 * request and fills in a reply. Each connection belongs to one event loop; a handler runs on a worker thread, or, when
 * it is quick and never blocks, in the loop.
 */
#ifndef CAIRN_HTTP_HTTP_H
#define CAIRN_HTTP_HTTP_H

#include "net/net.h"

#include <stdatomic.h>

enum http_method { HTTP_GET, HTTP_HEAD, HTTP_POST, HTTP_OPTIONS, HTTP_OTHER, HTTP_METHOD_COUNT };
const char *http_method_name(enum http_method m);

struct http_request { /* lives until there is a reply, also while it is parked */
	enum http_method method;
	struct str method_text; /* a token; for HTTP_OTHER */
	struct str target;      /* origin form: path and query as sent */
	struct str path, query; /* query without '?'; p == NULL when there is none */
	struct str host;
	struct str content_type; /* media type only, lower case, no parameters; p == NULL when absent */
	struct str content_encoding, user_agent, accept_language, origin;
	struct str body;
	struct addr peer;
	uint16_t peer_port;
	struct arena *mem;            /* the request's own arena */
	struct http_parking *parking; /* NULL: whoever calls the handler waits for its reply */
};

#define HTTP_REPLY_HEADERS_MAX 4096
struct http_reply {
	int status;
	struct buf headers;       /* "Name: value\r\n" lines, added with http_reply_header */
	struct buf body;          /* for HEAD it is measured and not sent */
	const char *content_type; /* NULL when there is no body */
	bool close;               /* close the connection after this reply */
};
#define HTTP_REPLY_BODY_MAX (16u << 20)
/* The server gives handlers a reply that is set up already; these two are for who calls a handler without a server. */
void http_reply_init(struct http_reply *r);
void http_reply_done(struct http_reply *r);
/* Values with control bytes are our own bug and are refused as ERR_INTERNAL. */
fallible http_reply_header(struct http_reply *r, const char *name, struct str value, struct err *err);

/* --- parking.c: waiting without a thread ---
 * A handler whose reply depends on something that comes soon parks the request, hands rq->parking to whoever will know, and
 * returns without a reply. When http_parking_call says that it is there, or the wait is over, a worker calls go_on, once,
 * which makes the reply. Request and arena stay as they are meanwhile. */
struct http_parking;
/* called: by http_parking_call; else the wait was over before that, and nobody knows anything. */
typedef void http_go_on_fn(void *arg, bool called, struct http_reply *re);
/* From the handler, once a request, before anybody may call. False: no room to wait (or wait_ms is 0), so reply now. After
 * true the handler cannot fail any more. */
bool http_park(const struct http_request *rq, int64_t wait_ms, http_go_on_fn *go_on, void *arg);
/* Any thread, as soon as the handler has parked. True: this call ends the wait, and p must not be touched afterwards. False:
 * it had ended already, and p lives only until go_on is done. */
bool http_parking_call(struct http_parking *p);
/* Ends it early, without an outcome: the deadline, or there is no use in waiting. */
void http_parking_end(struct http_parking *p);

/* For who runs handlers: the server, and tests in its place. */
struct http_parking_ops {
	bool (*admit)(struct http_parking *p);  /* is there room? In the handler's thread */
	void (*resume)(struct http_parking *p); /* have a worker call http_parking_go_on; any thread, once */
};
struct http_parking {
	atomic_int state;
	int64_t wait_ms;
	http_go_on_fn *go_on; /* NULL: the handler has not parked */
	void *arg;
	const struct http_parking_ops *ops;
};
void http_parking_begin(struct http_parking *p, const struct http_parking_ops *ops); /* before the handler */
/* When the handler has parked and returned. True: p and the request are resume's now. False: call http_parking_go_on, the
 * wait is over already. */
bool http_parking_leave(struct http_parking *p);
void http_parking_go_on(struct http_parking *p, struct http_reply *re);

struct http_handlers {
	/* On the loop's thread: answer at once and say true, or say false and the request goes to a worker. */
	bool (*quick)(void *ctx, const struct http_request *rq, struct http_reply *re);
	/* On the loop's thread, may be NULL: does this request begin something new, rather than go on with what the server
	 * has put work into already? Then it is the first to be refused when there is too much to do. */
	bool (*begins)(void *ctx, const struct http_request *rq);
	/* On a worker. Must always leave a complete reply, or have parked. */
	void (*handle)(void *ctx, const struct http_request *rq, struct http_reply *re);
	/* On the loop's thread. A reply for what HTTP itself refuses (400 parse error, 408, 413, 414, 417, 431, 501
	 * transfer coding, 503 too busy, 505): fills in body and content type for this status. detail is plain ASCII. A
	 * 503 gets "Retry-After: 1" when no Retry-After was added here. */
	void (*refuse)(void *ctx, int status, const char *detail, struct http_reply *re);
	void *ctx;
};

struct http_limits {
	size_t head_max;           /* request line and headers: 16 KiB */
	size_t body_max;           /* 50,000 bytes (DESIGN 7) -> 413 */
	unsigned header_count_max; /* 100 */
	/* Beyond it an accepted one takes the place of the one that has waited longest for its next request in the same
	 * loop, or of one that has been about to send for a second or more; when there is none it is closed at once. */
	unsigned connections_max;
	unsigned connections_per_ip;      /* 0: no limit; an IPv6 client is its /64 */
	unsigned requests_per_connection; /* 1000, then Connection: close */
	int64_t handshake_ms, head_ms, body_ms, idle_ms,
		write_ms; /* absolute: from the first byte that was waited for */
	/* How long requests wait for a worker: 2 s, then a 503 takes the place of the work; and while one has waited so
	 * long, or half a second where something new would begin, the next get it at once. */
	int64_t queue_ms, queue_begin_ms;
	size_t buffered_max; /* 32 MiB: what all unfinished requests take up; beyond it the slowest are closed */
	size_t parked_max;   /* 16 MiB: what all parked requests take up; beyond it http_park says no */
};
extern const struct http_limits http_limits_default;

struct http_server;
/* listen_fds stay the caller's (passed sockets survive a restart). tls may be NULL: plain TCP. loops threads are
 * started by http_server_start; handlers run on `workers`, which the caller owns and frees after the server. */
fallible http_server_new(const int *listen_fds, size_t listen_count, struct tls_server *tls, struct workers *workers,
			 unsigned loops, const struct http_limits *limits, const struct http_handlers *handlers,
			 const struct clock *clk, struct http_server **ret, struct err *err);
fallible http_server_start(struct http_server *s, struct err *err);
/* Stops accepting, answers what is in flight, parked or not, with Connection: close, then closes; returns after at most wait_ms. */
void http_server_drain(struct http_server *s, int64_t wait_ms);
/* Closes what is still open, and waits for the handlers that still run. Accepts NULL. */
void http_server_free(struct http_server *s);
struct http_stats {
	uint64_t accepted, requests, refused, handshake_failures;
	unsigned open;
	size_t parked; /* bytes */
};
struct http_stats http_server_stats(const struct http_server *s);

/* The request-head parser alone, for tests and the fuzzer: *ret_used 0 means "more input wanted"; *ret_status is the
 * status to refuse with when it fails. Faults are found as soon as their line is there. Slices point into `in`, but for
 * content_type. One empty line before the request is skipped (RFC 9112 2.2). The target is in origin form only; dot
 * segments, spelled either way, and control bytes are refused in it, so that a handler compares paths as bytes. */
struct http_head {
	struct http_request rq;
	uint64_t content_length;
	bool chunked, has_length, keep_alive, expect_continue;
};
fallible http_head_read(struct arena *mem, struct str in, const struct http_limits *limits, struct http_head *ret,
			size_t *ret_used, int *ret_status, struct err *err);

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * conn.h: one connection, and the shard (an event loop with its thread) that owns it; inside of this folder only.
 *
 * A connection lives in exactly one state. Only its shard's thread touches it, but for one moment: in CONN_BUSY the
 * request, the reply, and the way out (`out`, the socket's sending half, the SSL) belong to a worker, which answers by
 * itself and then hands them back with a post. When the answer has gone out whole the post wakes nobody: the peer's next
 * request will. One request at a time: bytes of the next one wait in `in`, or in the kernel. A request that is parked is still
 * in CONN_BUSY, with no worker: whoever ends its wait (parking.c) has one take it up again.
 *
 *   HANDSHAKE -> IDLE -> HEAD -> BODY -> BUSY -> WRITE -> IDLE ...   or, after a reply that closes: LINGER
 */
#ifndef CAIRN_HTTP_CONN_H
#define CAIRN_HTTP_CONN_H

#include "http/chunked.h"
#include "http/http.h"
#include "http/peers.h"
#include "http/reply.h"
#include "http/wire.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>

enum conn_state {
	CONN_HANDSHAKE,
	CONN_IDLE, /* no byte of the next request yet */
	CONN_HEAD,
	CONN_BODY,
	CONN_BUSY, /* a worker has the request, or it is parked */
	CONN_WRITE,
	CONN_LINGER, /* all is said; what the peer still sends is dropped, lest a reset overtakes the reply */
	CONN_STATE_COUNT
};

struct conn;
TAILQ_HEAD(conn_list, conn);

/* Whose handshake goes on first: what was paid for already is not lost, and a crowd does not keep others out. */
enum turn { TURN_BEGUN, TURN_CALM, TURN_CROWD, TURN_COUNT };
struct turns {
	struct conn_list lists[TURN_COUNT];
};
void turns_init(struct turns *t);
void turns_add(struct turns *t, struct conn *c);
/* Takes one out; NULL: there is none. */
struct conn *turns_next(struct turns *t, int64_t now_ms);

struct shard {
	struct http_server *server;
	struct loop *loop;
	pthread_t thread;
	bool started;
	struct listener *listeners; /* server->fd_count of them; NULL io: not watched */
	struct loop_timer *accept_again;
	struct conn_list all;     /* alive */
	struct conn_list idle;    /* in CONN_IDLE, longest first */
	struct conn_list reading; /* waited for in any other state, longest first */
	struct turns shaking;     /* a step of a handshake is possible */
	struct loop_timer *shake;
	bool shake_set;
	size_t held;     /* structs not freed yet: alive, or dead with a worker or a post that knows them */
	size_t buffered; /* bytes that unfinished requests take up */
	unsigned busy;   /* with workers */
	bool stopping;
	char *scratch; /* SCRATCH bytes that every read goes through, so that a waiting connection holds no buffer */
};
#define SCRATCH ((size_t)16 * 1024)

struct listener {
	struct shard *shard;
	int fd;
	struct loop_io *io;
};

struct http_server {
	int *fds;
	size_t fd_count;
	struct tls_server *tls;
	struct workers *workers;
	struct http_limits limits;
	struct http_handlers handlers;
	const struct clock *clk;
	struct shard *shards;
	unsigned shard_count;
	struct peers *peers;
	atomic_uint open;
	atomic_size_t parked; /* bytes */
	atomic_ullong accepted, requests, refused, handshake_failures;
	atomic_bool draining;
	pthread_mutex_t lock; /* drained, and the wait for open */
	pthread_cond_t changed;
	unsigned drained; /* shards that have stopped accepting */
};

struct conn {
	TAILQ_ENTRY(conn) all_link;
	TAILQ_ENTRY(conn) wait_link;
	TAILQ_ENTRY(conn) shake_link;
	struct conn_list *wait_list;  /* NULL: nothing is waited for */
	struct conn_list *shake_list; /* NULL: no step of a handshake waits for its turn */
	int64_t waits_since;
	int64_t shakes_since; /* it has been in shake_list; not accepted: its hello may come much later */
	struct shard *shard;
	int fd;   /* -1: closed */
	SSL *ssl; /* NULL: plain, or no byte of the handshake has come */
	struct loop_io *io;
	struct loop_timer *deadline;
	unsigned events; /* what io watches */
	enum conn_state state;
	unsigned holds; /* callbacks, posts and workers that have a pointer to this */
	bool dead;      /* closed, only the memory is left; or with a worker, and to be closed when it is back */
	bool may_read;  /* the socket or OpenSSL may have bytes */
	bool fresh;     /* `in` has bytes that were not looked at yet */
	bool write_timed;
	bool crowded;      /* its peer has many handshakes at once */
	bool shakes;       /* counted as a handshake of its peer */
	bool begun;        /* the handshake is paid for: not by a first byte, which costs its sender nothing */
	atomic_bool hurry; /* the loop has something to do for this connection as soon as the worker is back */
	struct addr peer;
	uint16_t peer_port;
	uint64_t peer_key; /* of those who take turns with others */
	unsigned requests;
	size_t scanned; /* bytes of the head that were searched for a line end */
	size_t linger_left;
	size_t buffered; /* this one's part of the shard's */
	struct buf in;
	/* The exchange: a worker's in CONN_BUSY. */
	struct buf out;
	size_t out_at;
	bool close_after;
	bool broken;           /* cannot be answered any more */
	const char *not_begun; /* why no worker has begun it */
	int64_t queued_at;     /* monotonic */
	struct workers_job job;
	struct http_parking parking;
	size_t behind;        /* bytes that `in` takes up meanwhile */
	size_t parked;        /* its part of the server's */
	int64_t parked_until; /* monotonic */
	struct arena mem;
	struct http_head head;
	struct buf body;
	uint64_t body_left;
	struct chunked chunked;
	struct http_reply reply;
};

/* Takes fd over. The caller has counted it in server->open and in peers. */
void conn_new(struct shard *s, int fd, const struct addr *peer, uint16_t peer_port);
void conn_kill(struct conn *c);  /* closes at once; the struct goes when nobody holds it */
void conn_drain(struct conn *c); /* closes it if it is between requests */
void conn_shake(struct conn *c); /* one step of the handshake; the shard says when */

/* Between conn.c, which knows states and time, and exchange.c, which knows requests and replies. */
void conn_enter(struct conn *c, enum conn_state state, int64_t deadline_ms);
void conn_unwatch(struct conn *c); /* no deadline, nothing waited for */
void conn_account(struct conn *c); /* what its unfinished request takes up has changed */
bool conn_takes_input(const struct conn *c);
void conn_pump(struct conn *c); /* goes on until something has to be waited for; the caller holds c */
void conn_release(struct conn *c);

/* New bytes (or none, when `in` is fresh) after those that are kept. */
void exchange_input(struct conn *c, struct str data);
/* Answers with an error of HTTP's own. */
void exchange_refuse(struct conn *c, int status, const char *detail);
void exchange_done(struct conn *c);

/* Who may be given up so that others live; server.c. */
void shard_buffers_grew(struct shard *s);
void shard_shake(struct conn *c); /* a step of c's handshake is possible */

#endif

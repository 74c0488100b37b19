/* SPDX-License-Identifier: Apache-2.0
 *
 * conn.h: one connection, and the shard (an event loop with its thread) that owns it; inside of this folder only.
 *
 * A connection lives in exactly one state. Only its shard's thread touches it, but for one moment: in CONN_BUSY the
 * request and the reply (and nothing else) belong to a worker, which hands them back with loop_post. One request at a
 * time: bytes of the next one wait in `in`, or in the kernel.
 *
 *   HANDSHAKE -> IDLE -> HEAD -> BODY -> BUSY -> WRITE -> IDLE ...   or, after a reply that closes: LINGER
 */
#ifndef CAIRN_HTTP_CONN_H
#define CAIRN_HTTP_CONN_H

#include "http/chunked.h"
#include "http/http.h"
#include "http/peers.h"
#include "http/reply.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>

enum conn_state {
	CONN_HANDSHAKE,
	CONN_IDLE, /* no byte of the next request yet */
	CONN_HEAD,
	CONN_BODY,
	CONN_BUSY, /* a worker has the request */
	CONN_WRITE,
	CONN_LINGER, /* all is said; what the peer still sends is dropped, lest a reset overtakes the reply */
	CONN_STATE_COUNT
};

struct conn;
TAILQ_HEAD(conn_list, conn);

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
	size_t held;              /* structs not freed yet: alive, or dead with a worker or a post that knows them */
	bool stopping;
	int64_t date_s;
	char date[HTTP_DATE_MAX];
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
	struct peers *peers; /* NULL: not limited */
	atomic_uint open;
	atomic_ullong accepted, requests, refused, handshake_failures;
	atomic_bool draining;
	pthread_mutex_t lock; /* drained, and the wait for open */
	pthread_cond_t changed;
	unsigned drained; /* shards that have stopped accepting */
};

struct conn {
	TAILQ_ENTRY(conn) all_link;
	TAILQ_ENTRY(conn) wait_link;
	struct conn_list *wait_list; /* NULL: nothing is waited for */
	int64_t waits_since;
	struct shard *shard;
	int fd;
	SSL *ssl; /* NULL: plain */
	struct loop_io *io;
	struct loop_timer *deadline;
	unsigned events; /* what io watches */
	enum conn_state state;
	unsigned holds; /* callbacks, posts and workers that have a pointer to this */
	bool dead;      /* closed, only the memory is left */
	bool may_read;  /* the socket or OpenSSL may have bytes */
	bool fresh;     /* `in` has bytes that were not looked at yet */
	bool close_after;
	bool write_timed;
	struct addr peer;
	uint16_t peer_port;
	unsigned requests;
	size_t scanned; /* bytes of the head that were searched for a line end */
	size_t linger_left;
	struct buf in, out;
	size_t out_at;
	/* The exchange: a worker's in CONN_BUSY. */
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

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * listen.h: what both responders share: a listening socket with a loop on a thread of its own, and the connections that
 * have to be waited for. Each of these has a deadline, and when there are too many, the oldest makes room: whoever holds
 * all of them open must not keep the CA's probe out.
 */
#ifndef CAIRN_CLIENT_LISTEN_H
#define CAIRN_CLIENT_LISTEN_H

#include "client/client.h"

#include <pthread.h>

#define LISTEN_CONN_LIFE_MS 5000
#define LISTEN_GUESTS_MAX 128

struct listener;
struct guest { /* a connection that is waited for: the first member of what a responder keeps of it */
	struct listener *listener;
	int fd;
	struct loop_io *io;
	int64_t deadline;
};
struct listener_ops {                       /* all on the listener's thread */
	void (*arrived)(void *ctx, int fd); /* the descriptor is the callee's: to close, or for guest_wait */
	void (*ready)(struct guest *g);     /* what was waited for is there: to go on waiting, or guest_end */
	void (*ended)(struct guest *g);     /* to free; the connection is closed right after, so not to be touched */
};
struct listener {
	const struct listener_ops *ops;
	void *ctx;
	int fd;
	uint16_t port;
	struct loop *loop;
	struct loop_io *io;
	struct loop_timer *tick;
	pthread_t thread;
	bool running;
	struct guest *guests[LISTEN_GUESTS_MAX]; /* the thread's own */
	size_t guest_count;
};

#define LISTENER_CLOSED  \
	{                \
		.fd = -1 \
	}
/* A connection is accepted when its first bytes are there. Port 0 picks a free one. On failure too, listener_stop is
 * due. */
fallible listener_start(struct listener *l, const struct addr *addr, uint16_t port, const struct listener_ops *ops,
			void *ctx, struct err *err);
/* The thread has ended and all connections are closed when this returns. Accepts one that was never started. */
void listener_stop(struct listener *l);
/* Waits for bytes on fd, until a deadline that does not move. False: it cannot be watched, and g is ended already. */
bool guest_wait(struct listener *l, struct guest *g, int fd);
void guest_end(struct guest *g);

#endif

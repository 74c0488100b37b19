/* SPDX-License-Identifier: Apache-2.0
 *
 * bus.h: work between the programs: publish to a topic, consume with a credit limit, acknowledge. At least once, in any
 * order, repeated, late or lost: it must not matter to callers (DESIGN 3). The database is the truth, the bus carries
 * work.
 *
 * bus_local: the api serves a Unix socket (the hub); validators and the signer connect and reconnect with back-off.
 * A published message goes to one connected consumer of its topic with credit left, and waits in a bounded queue while
 * there is none. What was delivered and not acknowledged when a consumer goes away is delivered again.
 */
#ifndef CAIRN_BUS_BUS_H
#define CAIRN_BUS_BUS_H

#include "net/net.h"

#define BUS_TOPIC_MAX 96                      /* [a-z0-9.-], for topics and for names */
#define BUS_BODY_MAX (12 * 1024 * 1024 - 256) /* a frame, less its topic and tag */
struct bus;
struct bus_delivery; /* one message in a handler's hands, until bus_ack or bus_nack */

/* A part that a peer of the hub may play. "*" is anything; a name that ends in a dot is the start of names, and a topic
 * that ends in one goes on as the peer's own name does after its dot. */
struct bus_role {
	const char *name;    /* of the peer's hello: "signer", "validator." */
	const char *consume; /* "sign", "validate."; several with one blank between */
	const char *publish; /* "signed", "verdict progress" */
};

struct bus_conf {
	struct str url;         /* "unix:/run/cairn/bus.sock" */
	bool hub;               /* serve the socket (api), or connect to it */
	struct str name;        /* who we are, for the other side's log: "api", "signer", "validator.local" */
	const uid_t *peer_uids; /* who may be at the other end (SO_PEERCRED); none: only our own uid */
	size_t peer_uid_count;
	/* Hub: the parts that peers may play; whoever has none, or leaves its own, is dropped. None: those of cairn's
	 * own programs. Borrowed. */
	const struct bus_role *roles;
	size_t role_count;
	size_t queue_max; /* messages waiting per topic on the hub; beyond it publish is refused: 10,000 */
	const struct clock *clk;
	/* How a client gets a connection to the socket, non-blocking and close-on-exec: for a program whose sandbox lets
	 * it make none. Called on the bus's thread under the bus's lock. NULL: connect(2). */
	fallible (*connect)(void *ctx, const char *path, int *ret_fd, struct err *err);
	void *connect_ctx;
	/* "bus connected", "bus disconnected", "bus peer refused", "bus unreachable", "bus message dropped"; err says
	 * why. Told of connects and disconnects, on the bus's thread; may be NULL. */
	void (*event)(void *ctx, const char *what, struct str peer, const struct err *err);
	void *event_ctx;
};
/* The hub listens from here on (so that a program can lock itself down before bus_start); the others connect from
 * bus_start on, and again after every loss, 50 ms to 2 s apart, until bus_stop. A peer's uid is what it was at its
 * connect, the hub's what it was at bus_new. With peer_uids named, the socket file is open to all and the uids decide,
 * without them its mode is 0600. */
fallible bus_new(const struct bus_conf *conf, struct bus **ret, struct err *err);
/* Handlers run on the bus's own thread and must hand the work on (workers_submit_wait or a queue). The delivery stays
 * theirs until acknowledged, from any thread. Subscribe before bus_start. */
typedef void bus_handler(void *ctx, struct bus_delivery *d);
fallible bus_consume(struct bus *b, struct str topic, unsigned credits, bus_handler *fn, void *ctx, struct err *err);
fallible bus_start(struct bus *b, struct err *err);
/* A client's message is safe from the hub's acceptance on, as long as the hub runs: what is under way when the
 * connection breaks is lost, and what finds no room at the hub is dropped there with an event ("bus message dropped").
 * Any thread; copies. ERR_UNAVAILABLE: queue full, or (not the hub) not connected: nothing was sent, the sweeper or the
 * sender will try again. OK means handed over, not done. */
fallible bus_publish(struct bus *b, struct str topic, struct str body, struct err *err);
struct str bus_delivery_body(const struct bus_delivery *d);
struct str bus_delivery_topic(const struct bus_delivery *d);
void bus_ack(struct bus_delivery *d);  /* done; frees the delivery and gives the credit back */
void bus_nack(struct bus_delivery *d); /* give it to somebody again later */
/* bus_publish and bus_ack as one: what came of the delivery, in one piece on its way to the hub. When it fails, nothing
 * was sent, and the delivery stays with the caller. */
fallible bus_answer(struct bus_delivery *d, struct str topic, struct str body, struct err *err);
/* Connected consumers of a topic, for status and doctor (hub only). */
unsigned bus_consumers(struct bus *b, struct str topic);
bool bus_connected(struct bus *b);
/* No more deliveries; waits for the bus thread, and so for a handler that runs: not from a handler or event. */
void bus_stop(struct bus *b);
/* Accepts NULL; stops first. Gives handlers up to 2 s to settle what they hold; what they hold longer stays readable,
 * and bus_ack and bus_nack just free it. */
void bus_free(struct bus *b);

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * internal.h: what a backend of the bus is: an ops table, and a struct that begins with struct bus. Shared by the
 * files of src/bus only.
 */
#ifndef CAIRN_BUS_INTERNAL_H
#define CAIRN_BUS_INTERNAL_H

#include "bus/bus.h"

#include <pthread.h>

struct sub;
struct topic;

/* One bus_consume. */
struct bus_use {
	struct bus_use *next;
	struct str topic;
	unsigned credits;
	bus_handler *fn;
	void *ctx;
	unsigned held; /* client: delivered over the present connection and not acknowledged */
};

/* One message: waiting on the hub, at a consumer, or in a handler's hands; one allocation for its whole way. */
struct bus_delivery {
	struct bus_delivery *next; /* in whichever list it waits */
	struct bus *bus;
	struct bus_use *use; /* whose handler it is for, in this process */
	struct sub *sub;     /* hub: the consumer that holds it */
	struct topic *at;    /* hub */
	uint64_t tag;
	uint64_t link;  /* client: the connection that it came over */
	int64_t due_ms; /* hub, after a nack: when it goes out again */
	struct str topic, body;
	char bytes[];
};
struct bus_delivery *delivery_new(struct str topic, struct str body);

/* Backends take bus->mu themselves, but publish, settle, push and close run under it. settle ends the use of a delivery
 * that a handler held and takes it over; push sends what both have left to be sent. */
struct bus_ops {
	struct str scheme;
	fallible (*open)(const struct bus_conf *conf, struct bus **ret, struct err *err);
	fallible (*start)(struct bus *b, struct err *err);
	fallible (*publish)(struct bus *b, struct str topic, struct str body, struct err *err);
	void (*settle)(struct bus *b, struct bus_delivery *d, bool done);
	void (*push)(struct bus *b);
	unsigned (*consumers)(struct bus *b, struct str topic);
	bool (*connected)(struct bus *b);
	void (*stop)(struct bus *b);
	void (*close)(struct bus *b); /* stopped: gives everything back but the struct itself */
};
extern const struct bus_ops bus_local_ops;

struct bus {
	const struct bus_ops *ops;
	struct bus_conf conf; /* its slices live in mem */
	struct arena mem;
	struct bus_use *uses;
	bool started;

	pthread_mutex_t mu;
	pthread_cond_t idle; /* no delivery is out any more */
	size_t out;          /* deliveries in handlers' hands */
	bool closed;         /* bus_free was here: the last delivery frees the struct */
};

/* For backends: the delivery goes to its handler now. mu is held. */
static inline void bus_lend(struct bus *b, struct bus_delivery *d)
{
	d->bus = b;
	b->out++;
}

#endif

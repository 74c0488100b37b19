/* SPDX-License-Identifier: Apache-2.0
 *
 * topics.h: the hub's memory: topics, the messages that wait, and which consumer holds which. Pure bookkeeping: no
 * sockets, no threads (the caller's lock covers it), no clock but the caller's.
 */
#ifndef CAIRN_BUS_TOPICS_H
#define CAIRN_BUS_TOPICS_H

#include "bus/internal.h"

#define TOPICS_MAX 256 /* peers name topics, so their number has a limit */
/* Of all messages that the hub has, waiting or held; and of one topic's, so that one whose consumer is away leaves room
 * for the others. */
#define TOPICS_BYTES_MAX (64 * 1024 * 1024)
#define TOPIC_BYTES_MAX (24 * 1024 * 1024)
#define NACK_DELAY_MS 1000

struct slot {
	struct bus_delivery *d; /* NULL: free */
	uint32_t next_free;
};

/* A consumer of one topic. The low 16 bits of a tag are the slot, the next 16 `index`, the rest a counter, so that a
 * tag from before is told from its slot's present one. */
struct sub {
	struct topic *topic;
	void *owner;    /* the caller's: who the messages go to */
	uint16_t index; /* the caller's number for it */
	bool paused;    /* the caller's: give it nothing for now */
	uint32_t turns;
	uint32_t first_free;
	unsigned credits;
	struct slot slots[];
};

struct delivery_list {
	struct bus_delivery *head, *tail;
};

struct topics {
	/* Hands d to s, which has a credit left and is not paused. Must not call back into topics. */
	void (*give)(void *ctx, struct sub *s, struct bus_delivery *d);
	void *ctx;
	size_t queue_max; /* waiting per topic */
	struct topic *list;
	size_t count;
	size_t bytes;
	struct delivery_list delayed; /* after a nack, the first due first */
};

/* ERR_UNAVAILABLE: the topic's queue or the memory for all of them is full. */
fallible topics_publish(struct topics *t, struct str topic, struct str body, struct err *err);
fallible topics_subscribe(struct topics *t, struct str topic, unsigned credits, void *owner, uint16_t index,
			  struct sub **ret, struct err *err);
/* Gone: what it held goes to others, first in the queue. Frees s. */
void sub_drop(struct topics *t, struct sub *s);
void sub_resume(struct topics *t, struct sub *s);
struct str sub_topic(const struct sub *s);
/* The message with this tag is done, or (not done) due again after NACK_DELAY_MS. ERR_MALFORMED: s does not hold it. */
fallible sub_settle(struct topics *t, struct sub *s, uint64_t tag, bool done, int64_t now_ms, struct err *err);
void topics_run_due(struct topics *t, int64_t now_ms);
int64_t topics_next_due(const struct topics *t); /* INT64_MAX: none */
unsigned topics_consumers(const struct topics *t, struct str topic);
/* What a sub still holds is not freed: its owner has it. */
void topics_done(struct topics *t);

void delivery_push(struct delivery_list *l, struct bus_delivery *d);
struct bus_delivery *delivery_pop(struct delivery_list *l); /* NULL when empty */

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * proto.h: what the frames of bus_local say. A body is, in this order, those of its type's fields: number (u16), tag
 * (u64), name (u8 length, then [a-z0-9.-]), body (the rest); big endian, nothing left over.
 *
 *   hello      number = version, name = who speaks        both, first and once
 *   subscribe  number = credits, name = topic             client
 *   publish    name = topic, body                         client
 *   deliver    tag, name = topic, body                    hub; tag is the hub's, given back as it came
 *   ack, nack  tag                                        client
 *   ping, pong                                            both
 */
#ifndef CAIRN_BUS_PROTO_H
#define CAIRN_BUS_PROTO_H

#include "bus/bus.h"

#define BUS_VERSION 1
#define BUS_CREDITS_MAX 4096

enum bus_type {
	BUS_HELLO = 1,
	BUS_SUBSCRIBE,
	BUS_PUBLISH,
	BUS_DELIVER,
	BUS_ACK,
	BUS_NACK,
	BUS_PING,
	BUS_PONG,
	BUS_TYPE_END
};

struct bus_frame {
	enum bus_type type;
	uint16_t number;
	uint64_t tag;
	struct str name;
	struct str body;
};

/* Refuses what the sender may not send: `from_hub` says which side it is. ERR_MALFORMED names the reason; another
 * version is told before the rest of its hello is looked at. */
fallible bus_frame_read(const struct frame *f, bool from_hub, struct bus_frame *ret, struct err *err);
fallible bus_frame_add(struct buf *out, const struct bus_frame *m, struct err *err);
/* [a-z0-9.-], 1 to BUS_TOPIC_MAX characters: topics, and the names of programs. */
fallible bus_name_check(struct str name, struct err *err);

#endif

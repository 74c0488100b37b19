/* SPDX-License-Identifier: Apache-2.0
 *
 * peers.h: how many connections each client address has; thread-safe. An IPv6 client counts by its /64, since it may
 * have any address of it.
 */
#ifndef CAIRN_HTTP_PEERS_H
#define CAIRN_HTTP_PEERS_H

#include "codec/codec.h"

struct peers;
struct peers *peers_new(unsigned max_each); /* 0: no limit */
void peers_free(struct peers *p);           /* accepts NULL */
/* False, and nothing is counted, when the address has max_each already. */
bool peers_enter(struct peers *p, const struct addr *a);
/* The same number for all addresses of one who takes turns with others: of IPv6, a whole /48, since a customer has from a
 * /64 to a /48 of it. Nobody outside can tell which. */
uint64_t peers_key(const struct peers *p, const struct addr *a);
void peers_leave(struct peers *p, const struct addr *a);
/* One of its connections begins or ends a handshake; how many do now. Between enter and leave. */
unsigned peers_shaking(struct peers *p, const struct addr *a, bool begins);

#endif

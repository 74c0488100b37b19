/* SPDX-License-Identifier: Apache-2.0
 *
 * roles.h: the hub's permissions: a peer's part is found by the name of its hello and kept to from then on.
 */
#ifndef CAIRN_BUS_ROLES_H
#define CAIRN_BUS_ROLES_H

#include "bus/bus.h"

extern const struct bus_role bus_roles_cairn[]; /* what a hub keeps to when it is told nothing else */
extern const size_t bus_role_count;
const struct bus_role *bus_role_find(const struct bus_role *roles, size_t count, struct str name); /* NULL: no part */
/* topics is role->consume or role->publish. */
bool bus_role_allows(const struct bus_role *role, struct str name, const char *topics, struct str topic);

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * roles.c: which program may do what on the bus, as one table. A validator that was taken over must not read the jobs
 * of another perspective, take the signer's away or answer in its place; who it is, its uid and its socket's mode say,
 * and the name of its hello says which of the parts it plays.
 */
#include "bus/roles.h"

#include "model/model.h"

const struct bus_role bus_roles_cairn[] = {
	{ "signer", TOPIC_SIGN, TOPIC_SIGNED },
	{ "validator.", TOPIC_VALIDATE ".", TOPIC_VERDICT " " TOPIC_PROGRESS },
};
const size_t bus_role_count = ARRAY_LEN(bus_roles_cairn);

/* "validator." fits "validator.a": *ret_tail is "a", and never empty. "*" fits all. */
static bool name_fits(struct str pattern, struct str name, struct str *ret_tail)
{
	*ret_tail = STR_NONE;
	if (str_eq(pattern, STR("*")))
		return true;
	if (!str_ends(pattern, STR(".")))
		return str_eq(pattern, name);
	*ret_tail = str_sub(name, pattern.n, name.n);
	return str_starts(name, pattern) && name.n > pattern.n;
}

const struct bus_role *bus_role_find(const struct bus_role *roles, size_t count, struct str name)
{
	struct str tail;
	for (size_t i = 0; i < count; i++) {
		if (name_fits(str_z(roles[i].name), name, &tail))
			return &roles[i];
	}
	return NULL;
}

bool bus_role_allows(const struct bus_role *role, struct str name, const char *topics, struct str topic)
{
	struct str own, rest, list = str_z(topics);
	if (!name_fits(str_z(role->name), name, &own))
		return false;
	for (size_t at = 0; at < list.n;) {
		size_t end = str_find(list, ' ', at);
		struct str pattern = str_sub(list, at, end);
		if (name_fits(pattern, topic, &rest) && (!str_ends(pattern, STR(".")) || str_eq(rest, own)))
			return true;
		at = end + 1;
	}
	return false;
}

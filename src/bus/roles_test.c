/* SPDX-License-Identifier: Apache-2.0
 *
 * roles_test.c: who may consume and publish what.
 */
#include "bus/roles.h"

// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

static void every_program_has_its_own_topics_only(void **state)
{
	static const struct {
		const char *name, *topic;
		bool known, consume, publish;
	} rows[] = {
		{ "signer", "sign", true, true, false },
		{ "signer", "signed", true, false, true },
		{ "signer", "verdict", true, false, false },
		{ "signer", "validate.a", true, false, false },
		{ "signer", "", true, false, false },
		{ "validator.a", "validate.a", true, true, false },
		{ "validator.a", "verdict", true, false, true },
		{ "validator.a", "progress", true, false, true },
		{ "validator.a", "verdict progress", true, false, false },
		{ "validator.a", "", true, false, false },
		{ "signer", "progress", true, false, false },
		{ "validator.a", "validate.b", true, false, false },
		{ "validator.a", "validate.", true, false, false },
		{ "validator.a", "validate", true, false, false },
		{ "validator.a", "validate.a.b", true, false, false },
		{ "validator.a.b", "validate.a.b", true, true, false },
		{ "validator.a.b", "validate.a", true, false, false },
		{ "validator.a", "sign", true, false, false },
		{ "validator.a", "signed", true, false, false },
		{ "validator.", "validate.", false, false, false },
		{ "validator", "validate", false, false, false },
		{ "signer.x", "sign", false, false, false },
		{ "xsigner", "sign", false, false, false },
		{ "sign", "sign", false, false, false },
		{ "api", "sign", false, false, false },
		{ "*", "*", false, false, false },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct str name = str_z(rows[i].name), topic = str_z(rows[i].topic);
		const struct bus_role *role = bus_role_find(bus_roles_cairn, bus_role_count, name);
		if ((role != NULL) != rows[i].known)
			fail_msg("%s is %s", rows[i].name, role == NULL ? "unknown" : "known");
		if (role == NULL)
			continue;
		if (bus_role_allows(role, name, role->consume, topic) != rows[i].consume ||
		    bus_role_allows(role, name, role->publish, topic) != rows[i].publish)
			fail_msg("%s and %s", rows[i].name, rows[i].topic);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_program_has_its_own_topics_only),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * state_test.c: every pair of states against the arrows of RFC 8555 7.1.6, drawn a second time here as pictures.
 */
#include "model/model.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* One line a state, one column a following state: x may move, - may not. */
static const char *const account_picture[] = {
	/*                  vdr */
	[ACCOUNT_VALID] = "-xx",
	[ACCOUNT_DEACTIVATED] = "---",
	[ACCOUNT_REVOKED] = "---",
};
static const char *const order_picture[] = {
	/*                  prPvi */
	[ORDER_PENDING] = "-x--x", [ORDER_READY] = "--x-x",   [ORDER_PROCESSING] = "---xx",
	[ORDER_VALID] = "-----",   [ORDER_INVALID] = "-----",
};
static const char *const authz_picture[] = {
	/*                  pvider */
	[AUTHZ_PENDING] = "-xxx--",     [AUTHZ_VALID] = "---xxx",   [AUTHZ_INVALID] = "------",
	[AUTHZ_DEACTIVATED] = "------", [AUTHZ_EXPIRED] = "------", [AUTHZ_REVOKED] = "------",
};
static const char *const challenge_picture[] = {
	/*                      pPvi */
	[CHALLENGE_PENDING] = "-x--",
	[CHALLENGE_PROCESSING] = "--xx",
	[CHALLENGE_VALID] = "----",
	[CHALLENGE_INVALID] = "----",
};

static bool account_may(unsigned from, unsigned to)
{
	return account_may_move((enum account_status)from, (enum account_status)to);
}

static bool order_may(unsigned from, unsigned to)
{
	return order_may_move((enum order_status)from, (enum order_status)to);
}

static bool authz_may(unsigned from, unsigned to)
{
	return authz_may_move((enum authz_status)from, (enum authz_status)to);
}

static bool challenge_may(unsigned from, unsigned to)
{
	return challenge_may_move((enum challenge_status)from, (enum challenge_status)to);
}

static const char *account_name(unsigned s)
{
	return account_status_name((enum account_status)s);
}

static const char *order_name(unsigned s)
{
	return order_status_name((enum order_status)s);
}

static const char *authz_name(unsigned s)
{
	return authz_status_name((enum authz_status)s);
}

static const char *challenge_name(unsigned s)
{
	return challenge_status_name((enum challenge_status)s);
}

static const struct machine {
	const char *what;
	const char *const *picture;
	unsigned count;
	bool (*may)(unsigned from, unsigned to);
	const char *(*name)(unsigned s);
} machines[] = {
	{ "account", account_picture, ACCOUNT_STATUS_COUNT, account_may, account_name },
	{ "order", order_picture, ORDER_STATUS_COUNT, order_may, order_name },
	{ "authorization", authz_picture, AUTHZ_STATUS_COUNT, authz_may, authz_name },
	{ "challenge", challenge_picture, CHALLENGE_STATUS_COUNT, challenge_may, challenge_name },
};

static void every_pair_of_states_moves_as_the_rfc_draws_it(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(machines); i++) {
		const struct machine *m = &machines[i];
		for (unsigned from = 0; from < m->count; from++) {
			assert_int_equal(strlen(m->picture[from]), m->count);
			for (unsigned to = 0; to < m->count; to++) {
				if (m->may(from, to) != (m->picture[from][to] == 'x'))
					fail_msg("%s: %s -> %s", m->what, m->name(from), m->name(to));
			}
		}
	}
}

static void numbers_that_are_no_state_have_no_moves_and_no_name(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(machines); i++) {
		const struct machine *m = &machines[i];
		const unsigned wrong[] = { m->count, m->count + 1, 31, 32, 1000, 0xffffffffu };
		for (size_t w = 0; w < ARRAY_LEN(wrong); w++) {
			assert_string_equal(m->name(wrong[w]), "unknown");
			for (unsigned s = 0; s < m->count; s++) {
				assert_false(m->may(wrong[w], s));
				assert_false(m->may(s, wrong[w]));
			}
		}
	}
}

static void states_are_named_as_on_the_wire(void **state)
{
	(void)state;
	assert_string_equal(account_name(ACCOUNT_DEACTIVATED), "deactivated");
	assert_string_equal(order_name(ORDER_PROCESSING), "processing");
	assert_string_equal(order_name(ORDER_READY), "ready");
	assert_string_equal(authz_name(AUTHZ_EXPIRED), "expired");
	assert_string_equal(challenge_name(CHALLENGE_INVALID), "invalid");
	for (size_t i = 0; i < ARRAY_LEN(machines); i++) {
		for (unsigned a = 0; a < machines[i].count; a++) {
			for (unsigned b = 0; b < a; b++)
				assert_string_not_equal(machines[i].name(a), machines[i].name(b));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_pair_of_states_moves_as_the_rfc_draws_it),
		cmocka_unit_test(numbers_that_are_no_state_have_no_moves_and_no_name),
		cmocka_unit_test(states_are_named_as_on_the_wire),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

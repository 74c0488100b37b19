/* SPDX-License-Identifier: Apache-2.0
 *
 * peers_test.c: connections counted by client.
 */
#include "http/peers.h"

#include <setjmp.h>

#include <cmocka.h>

static struct addr addr_of(const char *text)
{
	struct addr a = { 0 };
	struct err err = { 0 };
	assert_int_equal(addr_read(str_z(text), &a, &err).kind, ERR_NONE);
	return a;
}

static void each_client_has_its_own_limit(void **state)
{
	(void)state;
	struct peers *p = peers_new(2);
	struct addr a = addr_of("192.0.2.1"), b = addr_of("192.0.2.2");
	assert_true(peers_enter(p, &a));
	assert_true(peers_enter(p, &a));
	assert_false(peers_enter(p, &a));
	assert_true(peers_enter(p, &b));
	peers_leave(p, &a);
	assert_true(peers_enter(p, &a));
	assert_false(peers_enter(p, &a));
	peers_free(p);
}

static void a_v6_client_is_its_64(void **state)
{
	(void)state;
	struct peers *p = peers_new(1);
	struct addr a = addr_of("2001:db8:0:1::1"), same = addr_of("2001:db8:0:1:ffff::9"),
		    other = addr_of("2001:db8:0:2::1");
	assert_true(peers_enter(p, &a));
	assert_false(peers_enter(p, &same));
	assert_true(peers_enter(p, &other));
	peers_leave(p, &a);
	assert_true(peers_enter(p, &same));
	peers_free(p);
}

static void who_takes_turns_is_an_address_or_a_48(void **state)
{
	(void)state;
	static const struct {
		const char *a, *b;
		bool same;
	} rows[] = {
		{ "192.0.2.1", "192.0.2.1", true },
		{ "192.0.2.1", "192.0.2.2", false },
		{ "2001:db8:0:1::1", "2001:db8:0:1::2", true },
		{ "2001:db8:0:1::1", "2001:db8:0:ffff::1", true },
		{ "2001:db8:0:1::1", "2001:db8:1:1::1", false },
		{ "32.1.13.184", "2001:db8::", false }, /* the same bytes */
	};
	struct peers *p = peers_new(1);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct addr a = addr_of(rows[i].a), b = addr_of(rows[i].b);
		if ((peers_key(p, &a) == peers_key(p, &b)) != rows[i].same)
			fail_msg("%s and %s", rows[i].a, rows[i].b);
	}
	peers_free(p);
}

static void many_clients_are_kept_apart(void **state)
{
	(void)state;
	struct peers *p = peers_new(1);
	struct addr a = addr_of("10.0.0.0");
	for (unsigned i = 0; i < 20000; i++) {
		a.b[2] = (uint8_t)(i >> 8);
		a.b[3] = (uint8_t)i;
		assert_true(peers_enter(p, &a));
	}
	for (unsigned i = 0; i < 20000; i++) {
		a.b[2] = (uint8_t)(i >> 8);
		a.b[3] = (uint8_t)i;
		assert_false(peers_enter(p, &a));
		peers_leave(p, &a);
	}
	assert_true(peers_enter(p, &a));
	peers_free(p);
	peers_free(NULL);
}

static void without_a_limit_all_may_enter(void **state)
{
	(void)state;
	struct peers *p = peers_new(0);
	struct addr a = addr_of("192.0.2.1");
	for (unsigned i = 0; i < 1000; i++)
		assert_true(peers_enter(p, &a));
	for (unsigned i = 0; i < 1000; i++)
		peers_leave(p, &a);
	peers_free(p);
}

static void handshakes_are_counted_for_each_client(void **state)
{
	(void)state;
	struct peers *p = peers_new(0);
	struct addr a = addr_of("2001:db8:0:1::1"), same = addr_of("2001:db8:0:1::2"), b = addr_of("192.0.2.2");
	assert_true(peers_enter(p, &a) && peers_enter(p, &same) && peers_enter(p, &b));
	assert_int_equal(peers_shaking(p, &a, true), 1);
	assert_int_equal(peers_shaking(p, &same, true), 2);
	assert_int_equal(peers_shaking(p, &b, true), 1);
	assert_int_equal(peers_shaking(p, &a, false), 1);
	assert_int_equal(peers_shaking(p, &same, false), 0);
	peers_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_client_has_its_own_limit),
		cmocka_unit_test(a_v6_client_is_its_64),
		cmocka_unit_test(who_takes_turns_is_an_address_or_a_48),
		cmocka_unit_test(many_clients_are_kept_apart),
		cmocka_unit_test(without_a_limit_all_may_enter),
		cmocka_unit_test(handshakes_are_counted_for_each_client),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

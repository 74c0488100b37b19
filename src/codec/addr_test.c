/* SPDX-License-Identifier: Apache-2.0
 *
 * addr_test.c: one row for the first, the last and the neighbours of every special block, and the text forms.
 */
#include "codec/codec.h"

#include <stdio.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct addr addr(const char *text)
{
	struct addr a = { 0 };
	struct err err = { 0 };
	if (FAILED(addr_read(str_z(text), &a, &err)))
		fail_msg("%s", err.detail);
	return a;
}

static void special_blocks_are_known_from_first_to_last_address(void **state)
{
	(void)state;
	static const struct {
		const char *text, *says; /* NULL: global unicast */
	} rows[] = {
		{ "0.0.0.0", "this network" },
		{ "0.255.255.255", "this network" },
		{ "1.0.0.0", NULL },
		{ "9.255.255.255", NULL },
		{ "10.0.0.0", "private" },
		{ "10.255.255.255", "private" },
		{ "11.0.0.0", NULL },
		{ "100.63.255.255", NULL },
		{ "100.64.0.0", "carrier" },
		{ "100.127.255.255", "carrier" },
		{ "100.128.0.0", NULL },
		{ "126.255.255.255", NULL },
		{ "127.0.0.1", "loopback" },
		{ "127.255.255.255", "loopback" },
		{ "128.0.0.0", NULL },
		{ "169.253.255.255", NULL },
		{ "169.254.0.0", "link-local" },
		{ "169.254.169.254", "metadata" },
		{ "169.254.255.255", "link-local" },
		{ "169.255.0.0", NULL },
		{ "172.15.255.255", NULL },
		{ "172.16.0.0", "private" },
		{ "172.31.255.255", "private" },
		{ "172.32.0.0", NULL },
		{ "191.255.255.255", NULL },
		{ "192.0.0.0", "IETF" },
		{ "192.0.0.255", "IETF" },
		{ "192.0.1.0", NULL },
		{ "192.0.2.0", "documentation" },
		{ "192.0.2.255", "documentation" },
		{ "192.0.3.0", NULL },
		{ "192.31.196.1", "AS112" },
		{ "192.52.193.1", "AMT" },
		{ "192.88.98.255", NULL },
		{ "192.88.99.1", "6to4" },
		{ "192.167.255.255", NULL },
		{ "192.168.0.0", "private" },
		{ "192.168.255.255", "private" },
		{ "192.169.0.0", NULL },
		{ "192.175.48.6", "AS112" },
		{ "198.17.255.255", NULL },
		{ "198.18.0.0", "benchmarking" },
		{ "198.19.255.255", "benchmarking" },
		{ "198.20.0.0", NULL },
		{ "198.51.100.77", "documentation" },
		{ "198.51.101.0", NULL },
		{ "203.0.112.255", NULL },
		{ "203.0.113.0", "documentation" },
		{ "223.255.255.255", NULL },
		{ "224.0.0.0", "multicast" },
		{ "239.255.255.255", "multicast" },
		{ "240.0.0.0", "reserved" },
		{ "255.255.255.254", "reserved" },
		{ "255.255.255.255", "broadcast" },
		{ "8.8.8.8", NULL },
		{ "::", "unspecified" },
		{ "::1", "loopback" },
		{ "::2", "compatible" },
		{ "::127.0.0.1", "compatible" },
		{ "::ffff:10.0.0.1", "private" },
		{ "::ffff:127.0.0.1", "loopback" },
		{ "::ffff:169.254.169.254", "metadata" },
		{ "::ffff:8.8.8.8", "mapped" },
		{ "::fffe:8.8.8.8", "unassigned" },
		{ "64:ff9b::8.8.8.8", NULL },
		{ "64:ff9b::10.0.0.1", "private" },
		{ "64:ff9b::127.0.0.1", "loopback" },
		{ "64:ff9b::169.254.169.254", "metadata" },
		{ "64:ff9b:0:0:1::8.8.8.8", "unassigned" },
		{ "64:ff9b:1::8.8.8.8", "NAT64" },
		{ "64:ff9b:1:ffff::", "NAT64" },
		{ "100::1", "discard" },
		{ "100:0:0:1::1", "dummy" },
		{ "100:0:0:2::1", "unassigned" },
		{ "1fff:ffff::", "unassigned" },
		{ "2000::", NULL },
		{ "2001::1", "Teredo" },
		{ "2001:1::1", "IETF" },
		{ "2001:2::1", "benchmarking" },
		{ "2001:3::1", "IETF" },
		{ "2001:10::1", "IETF" },
		{ "2001:20::1", "IETF" },
		{ "2001:1ff:ffff::", "IETF" },
		{ "2001:200::", NULL },
		{ "2001:db7:ffff::", NULL },
		{ "2001:db8::", "documentation" },
		{ "2001:db8:ffff::1", "documentation" },
		{ "2001:db9::", NULL },
		{ "2002:808:808::1", NULL },
		{ "2002:a00:1::1", "private" },
		{ "2002:7f00:1::", "loopback" },
		{ "2002:c0a8:101::1", "private" },
		{ "2003::1", NULL },
		{ "2606:4700::1111", NULL },
		{ "2620:4f:8000::1", "AS112" },
		{ "2620:4f:8001::1", NULL },
		{ "3ffe::1", NULL },
		{ "3fff::1", "documentation" },
		{ "3fff:fff:ffff::", "documentation" },
		{ "3fff:1000::", NULL },
		{ "4000::", "unassigned" },
		{ "5f00::1", "segment" },
		{ "fc00::1", "private" },
		{ "fd00:ec2::254", "metadata" },
		{ "fdff:ffff::1", "private" },
		{ "fe00::1", "unassigned" },
		{ "fe80::1", "link-local" },
		{ "febf:ffff::1", "link-local" },
		{ "fec0::1", "site-local" },
		{ "ff00::", "multicast" },
		{ "ff02::1", "multicast" },
		{ "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "multicast" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct addr a = addr(rows[i].text);
		const char *got = addr_special(&a);
		bool same = rows[i].says == NULL ? got == NULL : got != NULL && strstr(got, rows[i].says) != NULL;
		if (!same)
			fail_msg("%s: %s", rows[i].text, got == NULL ? "global" : got);
	}
}

static void an_address_is_read_strictly_and_shown_as_rfc_5952(void **state)
{
	(void)state;
	static const struct {
		const char *text, *shown; /* NULL: refused */
	} rows[] = {
		{ "192.0.2.1", "192.0.2.1" },
		{ "0.0.0.0", "0.0.0.0" },
		{ "255.255.255.255", "255.255.255.255" },
		{ "::", "::" },
		{ "2001:DB8:0:0:0:0:0:1", "2001:db8::1" },
		{ "2001:db8::1:0:0:1", "2001:db8::1:0:0:1" },
		{ "2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1" },
		{ "2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1" },
		{ "2001:0db8::0001", "2001:db8::1" },
		{ "::ffff:192.0.2.1", "::ffff:192.0.2.1" },
		{ "::ffff:c000:201", "::ffff:192.0.2.1" },
		{ "64:ff9b::192.0.2.1", "64:ff9b::c000:201" },
		{ "", NULL },
		{ "1.2.3", NULL },
		{ "1.2.3.4.5", NULL },
		{ "1.2.3.256", NULL },
		{ "01.2.3.4", NULL },
		{ "1.2.3.04", NULL },
		{ "0x7f.0.0.1", NULL },
		{ "2130706433", NULL },
		{ "127.1", NULL },
		{ " 1.2.3.4", NULL },
		{ "1.2.3.4 ", NULL },
		{ "1.2.3.4\n", NULL },
		{ "[::1]", NULL },
		{ "fe80::1%eth0", NULL },
		{ "::1::", NULL },
		{ ":::", NULL },
		{ ":1", NULL },
		{ "1:2:3:4:5:6:7", NULL },
		{ "1:2:3:4:5:6:7:8:9", NULL },
		{ "12345::", NULL },
		{ "::g", NULL },
		{ "::1/64", NULL },
		{ "::1.2.3", NULL },
		{ "localhost", NULL },
		{ "0000:0000:0000:0000:0000:0000:0000:00000000000001", NULL },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct addr a = { 0 };
		struct rc rc = addr_read(str_z(rows[i].text), &a, NULL);
		if ((rc.kind == ERR_NONE) != (rows[i].shown != NULL))
			fail_msg("%s", rows[i].text);
		char text[ADDR_TEXT_MAX];
		addr_show(&a, text);
		assert_string_equal(text, rows[i].shown == NULL ? "no address" : rows[i].shown);
	}
	assert_int_equal(addr_read(str_n("1.2.3.4\0", 8), &(struct addr){ 0 }, NULL).kind, ERR_MALFORMED);
}

static void ranges_hold_their_first_and_last_address(void **state)
{
	(void)state;
	static const struct {
		const char *range, *in, *out;
	} rows[] = {
		{ "10.0.0.0/8", "10.255.255.255", "11.0.0.0" },
		{ "10.0.0.0/8", "10.0.0.0", "::ffff:10.0.0.0" },
		{ "192.0.2.128/25", "192.0.2.128", "192.0.2.127" },
		{ "192.0.2.1", "192.0.2.1", "192.0.2.2" },
		{ "0.0.0.0/0", "255.1.2.3", "::1" },
		{ "::/0", "ffff::", "1.2.3.4" },
		{ "::1", "::1", "::2" },
		{ "2001:db8::/33", "2001:db8:7fff::", "2001:db8:8000::" },
		{ "2001:db8::/127", "2001:db8::1", "2001:db8::2" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct addr_range r = { 0 };
		assert_int_equal(addr_range_read(str_z(rows[i].range), &r, NULL).kind, ERR_NONE);
		struct addr in = addr(rows[i].in);
		struct addr out = addr(rows[i].out);
		assert_true(addr_in(&in, &r));
		assert_false(addr_in(&out, &r));
	}
	static const char *const bad[] = { "10.0.0.1/8", "10.0.0.0/33",       "10.0.0.0/", "10.0.0.0/08", "10.0.0.0/-1",
					   "/8",         "10.0.0.0/8/8",      "::1/64",    "::/129",      "",
					   "10/8",       "10.0.0.0/255.0.0.0" };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(addr_range_read(str_z(bad[i]), &(struct addr_range){ 0 }, NULL).kind, ERR_MALFORMED);
}

static void ports_follow_the_last_colon(void **state)
{
	(void)state;
	static const struct {
		const char *text, *shown; /* NULL: refused */
		unsigned port;
	} rows[] = {
		{ "127.0.0.1:14000", "127.0.0.1", 14000 },
		{ "[::1]:14000", "::1", 14000 },
		{ ":14000", "::", 14000 },
		{ "127.0.0.1:0", "127.0.0.1", 0 },
		{ "127.0.0.1:65535", "127.0.0.1", 65535 },
		{ "127.0.0.1:65536", NULL, 0 },
		{ "127.0.0.1", NULL, 0 },
		{ "127.0.0.1:", NULL, 0 },
		{ "::1:80", NULL, 0 },
		{ "[::1]", NULL, 0 },
		{ "[::1]80", NULL, 0 },
		{ "[::1:80", NULL, 0 },
		{ "::1]:80", NULL, 0 },
		{ "[127.0.0.1]:80", NULL, 0 },
		{ "[]:80", NULL, 0 },
		{ "localhost:80", NULL, 0 },
		{ ":080", NULL, 0 },
		{ ":http", NULL, 0 },
		{ "", NULL, 0 },
		{ ":", NULL, 0 },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct addr a = { 0 };
		uint16_t port = 1;
		struct err err = { 0 };
		struct rc rc = addr_port_read(str_z(rows[i].text), &a, &port, &err);
		if ((rc.kind == ERR_NONE) != (rows[i].shown != NULL))
			fail_msg("%s %s", rows[i].text, err.detail);
		if (rows[i].shown == NULL)
			continue;
		char text[ADDR_TEXT_MAX];
		addr_show(&a, text);
		assert_string_equal(text, rows[i].shown);
		assert_int_equal(port, rows[i].port);
	}
}

static void socket_addresses_go_there_and_back(void **state)
{
	(void)state;
	static const struct {
		const char *text, *back;
		socklen_t len;
	} rows[] = {
		{ "192.0.2.1", "192.0.2.1", sizeof(struct sockaddr_in) },
		{ "2001:db8::1", "2001:db8::1", sizeof(struct sockaddr_in6) },
		{ "::ffff:192.0.2.1", "192.0.2.1", sizeof(struct sockaddr_in6) }, /* a v4 peer of a v6 listener */
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct addr a = addr(rows[i].text);
		struct addr back = { 0 };
		struct addr want = addr(rows[i].back);
		struct sockaddr_storage sa;
		uint16_t port = 0;
		assert_int_equal(addr_sockaddr(&a, 443, &sa), rows[i].len);
		assert_true(addr_of_sockaddr(&sa, &back, &port));
		assert_true(addr_eq(&back, &want));
		assert_int_equal(port, 443);
	}
	struct sockaddr_storage local = { .ss_family = AF_UNIX };
	uint16_t port = 7;
	assert_false(addr_of_sockaddr(&local, &(struct addr){ 0 }, &port));
	assert_int_equal(port, 7);
}

/* For qsort: every pair of a sorted list, both ways. */
static void addresses_have_an_order(void **state)
{
	(void)state;
	static const char *const sorted[] = { "0.0.0.0", "9.255.255.255", "10.0.0.0", "192.0.2.1",
					      "::",      "::1",           "9::",      "2001:db8::1:0" };
	for (size_t i = 0; i < ARRAY_LEN(sorted); i++) {
		for (size_t j = 0; j < ARRAY_LEN(sorted); j++) {
			struct addr a, b;
			assert_false(FAILED(addr_read(str_z(sorted[i]), &a, NULL)));
			assert_false(FAILED(addr_read(str_z(sorted[j]), &b, NULL)));
			int found = addr_compare(&a, &b);
			if ((found < 0) != (i < j) || (found > 0) != (i > j))
				fail_msg("%s and %s: %d", sorted[i], sorted[j], found);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(special_blocks_are_known_from_first_to_last_address),
		cmocka_unit_test(an_address_is_read_strictly_and_shown_as_rfc_5952),
		cmocka_unit_test(ranges_hold_their_first_and_last_address),
		cmocka_unit_test(addresses_have_an_order),
		cmocka_unit_test(ports_follow_the_last_colon),
		cmocka_unit_test(socket_addresses_go_there_and_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * ident_test.c: names of types both ways, and the shape of identifiers in messages.
 */
#include "model/model.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void types_read_back_from_their_names(void **state)
{
	(void)state;
	for (unsigned i = 0; i < CHALLENGE_TYPE_COUNT; i++) {
		enum challenge_type t = CHALLENGE_TYPE_COUNT;
		assert_false(FAILED(challenge_type_read(str_z(challenge_type_name((enum challenge_type)i)), &t, NULL)));
		assert_int_equal(t, i);
	}
	for (unsigned i = 0; i < IDENT_TYPE_COUNT; i++) {
		enum ident_type t = IDENT_TYPE_COUNT;
		assert_false(FAILED(ident_type_read(str_z(ident_type_name((enum ident_type)i)), &t, NULL)));
		assert_int_equal(t, i);
	}
	assert_string_equal(challenge_type_name(CHALLENGE_HTTP01), "http-01");
	assert_string_equal(challenge_type_name(CHALLENGE_DNS01), "dns-01");
	assert_string_equal(challenge_type_name(CHALLENGE_TLSALPN01), "tls-alpn-01");
}

static void other_names_are_no_types(void **state)
{
	(void)state;
	static const char *const rows[] = { "", "http-02", "HTTP-01", "http-01 ", "dns", "ip", "email", "DNS" };
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		enum challenge_type c;
		struct err err = { 0 };
		assert_int_equal(challenge_type_read(str_z(rows[i]), &c, &err).kind, ERR_MALFORMED);
		enum ident_type t;
		struct rc rc = ident_type_read(str_z(rows[i]), &t, NULL);
		bool served = strcmp(rows[i], "dns") == 0 || strcmp(rows[i], "ip") == 0;
		assert_int_equal(rc.kind, served ? ERR_NONE : ERR_UNSUPPORTED_IDENTIFIER);
	}
}

#define L63 "abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz0"

static void identifiers_in_messages_have_one_shape(void **state)
{
	(void)state;
	static const struct {
		enum ident_type type;
		const char *value;
		bool plain, with_wildcard;
	} rows[] = {
		{ IDENT_DNS, "a.example", true, true },
		{ IDENT_DNS, "localhost", true, true },
		{ IDENT_DNS, "xn--bcher-kva.example", true, true },
		{ IDENT_DNS, L63 ".example", true, true },
		{ IDENT_DNS, "*.a.example", false, true },
		{ IDENT_DNS, "*.*.a.example", false, false },
		{ IDENT_DNS, "a.*.example", false, false },
		{ IDENT_DNS, "*", false, false },
		{ IDENT_DNS, "*.", false, false },
		{ IDENT_DNS, "", false, false },
		{ IDENT_DNS, "A.example", false, false },
		{ IDENT_DNS, "a..example", false, false },
		{ IDENT_DNS, ".example", false, false },
		{ IDENT_DNS, "a.example.", false, false },
		{ IDENT_DNS, "a_b.example", false, false },
		{ IDENT_DNS, "a example", false, false },
		{ IDENT_DNS, "a.example\n", false, false },
		{ IDENT_DNS,
		  "b\xc3\xbc"
		  "cher.example",
		  false, false },
		{ IDENT_DNS, L63 "x.example", false, false },
		{ IDENT_DNS, L63 "." L63 "." L63 "." L63, false, false },
		{ IDENT_IP, "192.0.2.1", true, true },
		{ IDENT_IP, "2001:db8::1", true, true },
		{ IDENT_IP, "2001:DB8::1", false, false },
		{ IDENT_IP, "2001:db8:0::1", false, false },
		{ IDENT_IP, "192.0.2.01", false, false },
		{ IDENT_IP, "[2001:db8::1]", false, false },
		{ IDENT_IP, "a.example", false, false },
		{ IDENT_IP, "", false, false },
		{ IDENT_TYPE_COUNT, "a.example", false, false },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct ident id = { rows[i].type, str_z(rows[i].value) };
		if (FAILED(ident_check(&id, false, NULL)) == rows[i].plain)
			fail_msg("row %zu \"%s\" plain", i, rows[i].value);
		if (FAILED(ident_check(&id, true, NULL)) == rows[i].with_wildcard)
			fail_msg("row %zu \"%s\" with wildcard", i, rows[i].value);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(types_read_back_from_their_names),
		cmocka_unit_test(other_names_are_no_types),
		cmocka_unit_test(identifiers_in_messages_have_one_shape),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

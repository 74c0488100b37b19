/* SPDX-License-Identifier: Apache-2.0
 *
 * oid_test.c: object identifiers become the bytes that X.690 wants, or nothing.
 */
#include "codec/codec.h"
#include "unit.h"

static void identifiers_become_their_der(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		struct str der;
	} rows[] = {
		{ "2.23.140.1.2.1", { "\x67\x81\x0c\x01\x02\x01", 6 } },
		{ "2.5.29.32.0", { "\x55\x1d\x20\x00", 4 } },
		{ "1.3.6.1.5.5.7.1.24", { "\x2b\x06\x01\x05\x05\x07\x01\x18", 8 } },
		{ "1.2.840.113549", { "\x2a\x86\x48\x86\xf7\x0d", 6 } },
		{ "0.0", { "\x00", 1 } },
		{ "1.39.127", { "\x4f\x7f", 2 } },
		{ "2.999.128",
		  { "\x88\x37\x81\x00", 4 } }, /* X.690 8.19.5's own example, and the first two-byte number */
		{ "2.4294967295.4294967295", { "\x90\x80\x80\x80\x4f\x8f\xff\xff\xff\x7f", 10 } },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err = { 0 };
		struct oid o = { 0 };
		MUST(oid_read(str_z(rows[i].text), &o, &err));
		if (!str_eq(str_n(o.b, o.n), rows[i].der))
			fail_msg("row %zu: other bytes for %s", i, rows[i].text);
	}
}

static void what_is_no_identifier_is_refused(void **state)
{
	(void)state;
	static const char *const rows[] = {
		"",      "1",         "2.",     ".1",      "1..2",           "3.1",        "1.40",
		"0.40",  "1.2.x",     "1.2.-1", "1.2 .3",  "1.02.3",         "2.5.29.32.", " 2.5",
		"2.5\n", "anyPolicy", "1.2.+3", "1.2.0x3", "1.2.4294967296", "2,5"
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err = { 0 };
		struct oid o = { .n = 7 };
		MUST_FAIL(oid_read(str_z(rows[i]), &o, &err), ERR_MALFORMED, "object identifier");
		assert_int_equal(o.n, 7);
	}
}

static void long_ones_are_refused(void **state)
{
	(void)state;
	struct err err = { 0 };
	struct oid o;
	AUTO(buf_done) struct buf text = BUF_MAX(4096);
	MUST(buf_add(&text, STR("1.2"), &err));
	for (size_t i = 0; i < 12; i++)
		MUST(buf_add(&text, STR(".4294967295"), &err));
	MUST(oid_read(buf_str(&text), &o, &err));
	assert_int_equal(o.n, 61);
	MUST(buf_add(&text, STR(".4294967295"), &err));
	MUST_FAIL(oid_read(buf_str(&text), &o, &err), ERR_MALFORMED, "longer than 64 bytes");
	buf_reset(&text);
	MUST(buf_add(&text, STR("1.2"), &err));
	for (size_t i = 0; i < 31; i++)
		MUST(buf_add(&text, STR(".1"), &err));
	MUST_FAIL(oid_read(buf_str(&text), &o, &err), ERR_MALFORMED, "more than 32 numbers");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(identifiers_become_their_der),
		cmocka_unit_test(what_is_no_identifier_is_refused),
		cmocka_unit_test(long_ones_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

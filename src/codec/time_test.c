/* SPDX-License-Identifier: Apache-2.0
 *
 * time_test.c: RFC 3339 both ways.
 */
#include "codec/codec.h"

#include <stdio.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void times_are_read_with_any_offset(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int64_t want;
	} rows[] = {
		{ "1970-01-01T00:00:00Z", 0 },
		{ "1969-12-31T23:59:59Z", -1 },
		{ "2026-11-22T02:08:43Z", 1795313323 },
		{ "2026-11-22t02:08:43z", 1795313323 },
		{ "2026-11-22T02:08:43.123456789Z", 1795313323 },
		{ "2026-11-22T03:08:43+01:00", 1795313323 },
		{ "2026-11-21T20:38:43-05:30", 1795313323 },
		{ "2026-11-22T02:08:43-00:00", 1795313323 },
		{ "2000-02-29T00:00:00Z", 951782400 },
		{ "2024-02-29T23:59:59Z", 1709251199 },
		{ "1990-12-31T23:59:60Z", 662688000 },
		{ "1990-12-31T15:59:60-08:00", 662688000 },
		{ "0000-01-01T00:00:00Z", -62167219200 },
		{ "9999-12-31T23:59:59Z", 253402300799 },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int64_t got = 42;
		struct err err = { 0 };
		if (FAILED(time_read(str_z(rows[i].text), &got, &err)))
			fail_msg("%s", err.detail);
		assert_int_equal(got, rows[i].want);
	}
}

static void what_is_not_rfc_3339_is_refused(void **state)
{
	(void)state;
	static const char *const rows[] = {
		"",
		"2026-11-22",
		"2026-11-22T02:08:43",
		"2026-11-22 02:08:43Z",
		"2026-11-22T02:08Z",
		"2026-11-22T02:08:43.Z",
		"2026-11-22T02:08:43,5Z",
		"2026-11-22T02:08:43Z ",
		" 2026-11-22T02:08:43Z",
		"2026-11-22T02:08:43ZZ",
		"2026-00-22T02:08:43Z",
		"2026-13-22T02:08:43Z",
		"2026-11-00T02:08:43Z",
		"2026-11-31T02:08:43Z",
		"2025-02-29T02:08:43Z",
		"1900-02-29T02:08:43Z",
		"2026-11-22T24:00:00Z",
		"2026-11-22T02:60:43Z",
		"2026-11-22T02:08:61Z",
		"2026-11-22T02:08:60Z",
		"2026-11-22T02:08:43+24:00",
		"2026-11-22T02:08:43+01:60",
		"2026-11-22T02:08:43+0100",
		"2026-11-22T02:08:43+01",
		"2026-11-22T02:08:43-Z",
		"26-11-22T02:08:43Z",
		"+2026-11-22T02:08:43Z",
		"2026-1-22T02:08:43Z",
		"2026-11-22T02:08:4 Z",
		"99999-11-22T02:08:43Z",
		"2026-11-22T02:08:43.11111111111111111111111111111111111111111111111Z",
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int64_t got = 42;
		if (time_read(str_z(rows[i]), &got, NULL).kind != ERR_MALFORMED || got != 42)
			fail_msg("%s", rows[i]);
	}
	assert_int_equal(time_read(str_n("2026-11-22T02:08:43\0", 20), &(int64_t){ 0 }, NULL).kind, ERR_MALFORMED);
}

static void times_are_shown_in_utc_and_read_back(void **state)
{
	(void)state;
	char text[TIME_TEXT_MAX];
	time_show(1795313323, text);
	assert_string_equal(text, "2026-11-22T02:08:43Z");
	time_show(-1, text);
	assert_string_equal(text, "1969-12-31T23:59:59Z");
	time_show_ms(1795313323007, text);
	assert_string_equal(text, "2026-11-22T02:08:43.007Z");
	time_show_ms(-1, text);
	assert_string_equal(text, "1969-12-31T23:59:59.999Z");
	time_show(INT64_MAX, text);
	assert_string_equal(text, "292277026596-12-04T15:30:07Z");
	time_show(INT64_MIN, text);
	assert_string_equal(text, "-292277022657-01-27T08:29:52Z");
	time_show_ms(INT64_MIN, text);
	assert_string_equal(text, "-292275055-05-16T16:47:04.192Z");
	for (int64_t t = -62167219200; t < 253402300799; t += 86400 * 97 + 12345) {
		int64_t back = 0;
		time_show(t, text);
		assert_int_equal(time_read(str_z(text), &back, NULL).kind, ERR_NONE);
		assert_int_equal(back, t);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(times_are_read_with_any_offset),
		cmocka_unit_test(what_is_not_rfc_3339_is_refused),
		cmocka_unit_test(times_are_shown_in_utc_and_read_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

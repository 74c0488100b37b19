/* SPDX-License-Identifier: Apache-2.0
 *
 * err_test.c: error text stays printable, whole and inside its bounds.
 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void bytes_that_are_not_printable_ascii_are_escaped(void **state)
{
	(void)state;
	static const struct {
		const char *in, *out;
	} rows[] = {
		{ "plain text ~", "plain text ~" },
		{ "", "" },
		{ "a\nb\r\tc", "a\\x0ab\\x0d\\x09c" },
		{ "\x1b[31mred", "\\x1b[31mred" },
		{ "\x7f\x80\xff", "\\x7f\\x80\\xff" },
		{ "m\xc3\xbcller", "m\\xc3\\xbcller" },
		{ "back\\slash \"quoted\"", "back\\slash \"quoted\"" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err = { 0 };
		err_set(&err, ERR_MALFORMED, "%s", rows[i].in);
		err_cause(&err, "%s", rows[i].in);
		assert_int_equal(err.kind, ERR_MALFORMED);
		assert_string_equal(err.detail, rows[i].out);
		assert_string_equal(err.cause, rows[i].out);
	}
}

static void long_text_is_cut_and_never_inside_an_escape(void **state)
{
	(void)state;
	for (size_t shift = 0; shift < 5; shift++) {
		char text[2 * ERR_DETAIL_MAX];
		memset(text, 'a', shift);
		memset(text + shift, '\n', sizeof text - shift);
		text[sizeof text - 1] = '\0';
		struct err err = { 0 };
		err_set(&err, ERR_INTERNAL, "%s", text);
		err_cause(&err, "%s", text);
		struct str both[] = { str_z(err.detail), str_z(err.cause) };
		size_t caps[] = { sizeof err.detail, sizeof err.cause };
		for (size_t i = 0; i < ARRAY_LEN(both); i++) {
			assert_int_equal((both[i].n - shift) % 4, 0);
			assert_true(both[i].n < caps[i] && both[i].n >= caps[i] - 4);
			assert_true(str_ends(both[i], STR("\\x0a")));
		}
	}
}

static void plain_text_fills_the_detail_to_its_last_byte(void **state)
{
	(void)state;
	char text[ERR_DETAIL_MAX + 10];
	memset(text, 'x', sizeof text);
	text[sizeof text - 1] = '\0';
	struct err err = { 0 };
	err_set(&err, ERR_IO, "%s", text);
	assert_int_equal(strlen(err.detail), ERR_DETAIL_MAX - 1);
}

static void a_cause_may_come_before_or_after_and_never_outlives_its_error(void **state)
{
	(void)state;
	struct err err = { 0 };
	err_cause(&err, "first");
	err_set(&err, ERR_IO, "one");
	assert_string_equal(err.cause, "first");
	err_cause(&err, "second %d", 2);
	assert_string_equal(err.cause, "first; second 2");
	err.retry_after_s = 9;
	err_set(&err, ERR_TLS, "two");
	assert_string_equal(err.cause, "");
	assert_int_equal(err.retry_after_s, 0);
	assert_int_equal(err.kind, ERR_TLS);
}

static void a_prefix_goes_before_the_detail_and_arguments_may_lie_in_err(void **state)
{
	(void)state;
	struct err err = { 0 };
	err_set(&err, ERR_CONFIG, "port \x01");
	err_prefix(&err, "line %d: ", 7);
	assert_string_equal(err.detail, "line 7: port \\x01");
	err_set(&err, ERR_CONFIG, "again: %s", err.detail);
	assert_string_equal(err.detail, "again: line 7: port \\x01");
	err_prefix(&err, "%s | ", err.detail);
	assert_string_equal(err.detail, "again: line 7: port \\x01 | again: line 7: port \\x01");
}

static fallible fail_with_null(void)
{
	FAIL(NULL, ERR_TIMEOUT, "nobody reads %s", "this");
}

static void err_may_be_null(void **state)
{
	(void)state;
	assert_int_equal(fail_with_null().kind, ERR_TIMEOUT);
	err_cause(NULL, "x");
	err_prefix(NULL, "x");
}

static void every_kind_has_a_name_of_its_own(void **state)
{
	(void)state;
	for (int a = 0; a < ERR_KIND_COUNT; a++) {
		for (int b = 0; b < a; b++)
			assert_string_not_equal(err_kind_name((enum err_kind)a), err_kind_name((enum err_kind)b));
		assert_string_not_equal(err_kind_name((enum err_kind)a), "unknown");
	}
	assert_string_equal(err_kind_name(ERR_BAD_CSR), "badCSR");
	assert_string_equal(err_kind_name(ERR_KIND_COUNT), "unknown");
}

static void take_hands_the_pointer_over(void **state)
{
	(void)state;
	int x = 0;
	int *p = &x;
	int *q = TAKE(p);
	assert_ptr_equal(q, &x);
	assert_null(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_that_are_not_printable_ascii_are_escaped),
		cmocka_unit_test(long_text_is_cut_and_never_inside_an_escape),
		cmocka_unit_test(plain_text_fills_the_detail_to_its_last_byte),
		cmocka_unit_test(a_cause_may_come_before_or_after_and_never_outlives_its_error),
		cmocka_unit_test(a_prefix_goes_before_the_detail_and_arguments_may_lie_in_err),
		cmocka_unit_test(err_may_be_null),
		cmocka_unit_test(every_kind_has_a_name_of_its_own),
		cmocka_unit_test(take_hands_the_pointer_over),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

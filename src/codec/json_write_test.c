/* SPDX-License-Identifier: Apache-2.0
 *
 * json_write_test.c: what the writer puts out is JSON, and its own misuse is an error, not bad JSON.
 */
#include "codec/codec.h"

#include <stdio.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void commas_stand_where_they_belong(void **state)
{
	(void)state;
	AUTO(buf_done) struct buf b = BUF_MAX(4096);
	struct err err = { 0 };
	struct jw w = jw_begin(&b, &err);
	jw_object(&w);
	jw_kz(&w, "s", "x");
	jw_ki64(&w, "i", INT64_MIN);
	jw_kbool(&w, "t", true);
	jw_key(&w, "a");
	jw_array(&w);
	jw_i64(&w, 1);
	jw_array(&w);
	jw_array_end(&w);
	jw_object(&w);
	jw_object_end(&w);
	jw_object(&w);
	jw_kstr(&w, "k", STR_NONE);
	jw_object_end(&w);
	jw_bool(&w, false);
	jw_null(&w);
	jw_raw(&w, STR("{\"raw\":1}"));
	jw_array_end(&w);
	jw_key(&w, "z");
	jw_null(&w);
	jw_kid(&w, "id", (struct id){ { 0 } });
	jw_kz(&w, "null", NULL);
	jw_object_end(&w);
	assert_int_equal(jw_end(&w).kind, ERR_NONE);
	assert_true(
		str_eq(buf_str(&b),
		       STR("{\"s\":\"x\",\"i\":-9223372036854775808,\"t\":true,\"a\":[1,[],{},{\"k\":\"\"},false,null,"
			   "{\"raw\":1}],\"z\":null,\"id\":\"00000000-0000-0000-0000-000000000000\",\"null\":\"\"}")));
}

static void strings_are_escaped_and_bad_utf8_is_replaced(void **state)
{
	(void)state;
#define FFFD "\xef\xbf\xbd"
	static const struct {
		struct str in;
		const char *out;
	} rows[] = {
		{ { "plain", 5 }, "\"plain\"" },
		{ { "", 0 }, "\"\"" },
		{ { "a\"b\\c/d", 7 }, "\"a\\\"b\\\\c/d\"" },
		{ { "\0\n\x1f\x7f ", 5 }, "\"\\u0000\\u000a\\u001f\\u007f \"" },
		{ { "m\xc3\xbc", 3 }, "\"m\xc3\xbc\"" },
		{ { "\xe2\x82\xac\xf0\x9f\x98\x80", 7 }, "\"\xe2\x82\xac\xf0\x9f\x98\x80\"" },
		/* what a terminal obeys and what hides or turns text: C1, marks of direction, separators of lines */
		{ { "\xc2\x9b"
		    "2J",
		    4 },
		  "\"\\u009b2J\"" },
		{ { "\xe2\x80\xae\xe2\x80\xa8\xef\xbb\xbf", 9 }, "\"\\u202e\\u2028\\ufeff\"" },
		{ { "\xc2\xa0\xe2\x80\x90\xe2\x81\xb0", 8 }, "\"\xc2\xa0\xe2\x80\x90\xe2\x81\xb0\"" },
		{ { "\xf4\x8f\xbf\xbf", 4 }, "\"\xf4\x8f\xbf\xbf\"" },
		{ { "\xff", 1 }, "\"" FFFD "\"" },
		{ { "a\x80z", 3 }, "\"a" FFFD "z\"" },
		{ { "\xc0\xaf", 2 }, "\"" FFFD FFFD "\"" },
		{ { "\xed\xa0\x80", 3 }, "\"" FFFD FFFD FFFD "\"" },
		{ { "\xf4\x90\x80\x80", 4 }, "\"" FFFD FFFD FFFD FFFD "\"" },
		{ { "\xe0\x9f\xbf", 3 }, "\"" FFFD FFFD FFFD "\"" },
		{ { "\xf0\x8f\xbf\xbf", 4 }, "\"" FFFD FFFD FFFD FFFD "\"" },
		{ { "x\xe2\x82", 3 }, "\"x" FFFD FFFD "\"" },
		{ { "\xe2\"", 2 }, "\"" FFFD "\\\"\"" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(buf_done) struct buf b = BUF_MAX(256);
		struct err err = { 0 };
		struct jw w = jw_begin(&b, &err);
		jw_str(&w, rows[i].in);
		assert_int_equal(jw_end(&w).kind, ERR_NONE);
		assert_true(str_eq(buf_str(&b), str_z(rows[i].out)));
	}
}

static void every_pair_of_bytes_reads_back(void **state)
{
	(void)state;
	AUTO(buf_done) struct buf b = BUF_MAX(256);
	for (unsigned v = 256; v < 65536; v += 7) { /* from 256: a NUL is written but never read */
		const char two[] = { (char)(v >> 8), (char)(v & 0xff) };
		if (two[1] == '\0')
			continue;
		buf_reset(&b);
		struct err err = { 0 };
		struct jw w = jw_begin(&b, &err);
		jw_object(&w);
		jw_kstr(&w, "k", str_n(two, 2));
		jw_object_end(&w);
		assert_int_equal(jw_end(&w).kind, ERR_NONE);
		AUTO(json_auto) struct json *top = NULL;
		assert_int_equal(json_read(buf_str(&b), 256, &top, &err).kind, ERR_NONE);
		struct str back = STR_NONE;
		assert_true(json_as_str(json_get(top, "k"), &back));
		if (v < 0x8000 && (v & 0x80) == 0)
			assert_true(str_eq(back, str_n(two, 2)));
	}
}

static void a_full_buffer_is_said_once_at_the_end(void **state)
{
	(void)state;
	for (size_t max = 0; max < 24; max++) {
		AUTO(buf_done) struct buf b = BUF_MAX(max);
		struct err err = { 0 };
		struct jw w = jw_begin(&b, &err);
		jw_object(&w);
		jw_kz(&w, "key", "a\nvalue");
		jw_object_end(&w);
		struct rc rc = jw_end(&w);
		assert_int_equal(rc.kind, max < 22 ? ERR_TOO_LARGE : ERR_NONE);
		assert_int_equal(err.kind, rc.kind);
		assert_true(b.n <= max);
	}
}

static void end_before_begin(struct jw *w)
{
	jw_object_end(w);
}
static void left_open(struct jw *w)
{
	jw_array(w);
}
static void nothing(struct jw *w)
{
	(void)w;
}
static void key_at_top(struct jw *w)
{
	jw_key(w, "k");
}
static void two_keys(struct jw *w)
{
	jw_object(w);
	jw_key(w, "a");
	jw_key(w, "b");
	jw_null(w);
	jw_object_end(w);
}
static void key_without_value(struct jw *w)
{
	jw_object(w);
	jw_key(w, "a");
	jw_object_end(w);
}
static void two_tops(struct jw *w)
{
	jw_null(w);
	jw_null(w);
}
static void too_deep(struct jw *w)
{
	for (int i = 0; i < 40; i++)
		jw_array(w);
	for (int i = 0; i < 40; i++)
		jw_array_end(w);
}

static void misuse_is_an_internal_error(void **state)
{
	(void)state;
	void (*const cases[])(struct jw *) = { end_before_begin, left_open,         nothing,  key_at_top,
					       two_keys,         key_without_value, two_tops, too_deep };
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(buf_done) struct buf b = BUF_MAX(256);
		struct err err = { 0 };
		struct jw w = jw_begin(&b, &err);
		cases[i](&w);
		assert_int_equal(jw_end(&w).kind, ERR_INTERNAL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(commas_stand_where_they_belong),
		cmocka_unit_test(strings_are_escaped_and_bad_utf8_is_replaced),
		cmocka_unit_test(every_pair_of_bytes_reads_back),
		cmocka_unit_test(a_full_buffer_is_said_once_at_the_end),
		cmocka_unit_test(misuse_is_an_internal_error),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

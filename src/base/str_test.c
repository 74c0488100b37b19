/* SPDX-License-Identifier: Apache-2.0
 *
 * str_test.c: slices, bounded buffers, cursors and strict numbers.
 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void slices_compare_cut_and_trim(void **state)
{
	(void)state;
	assert_true(str_eq(STR_NONE, STR("")));
	assert_false(str_eq(STR("a"), STR("b")));
	assert_true(str_eq_nocase(STR("HoSt[@`{"), STR("hOsT[@`{")));
	assert_false(str_eq_nocase(STR("@["), STR("`{"))); /* neighbours of the letters, 0x20 apart */
	assert_false(str_eq_nocase(STR("a"), STR("ab")));
	assert_true(str_starts(STR("abc"), STR("ab")));
	assert_true(str_starts(STR_NONE, STR_NONE));
	assert_false(str_starts(STR("a"), STR("ab")));
	assert_true(str_ends(STR("abc"), STR("bc")));
	assert_false(str_ends(STR("c"), STR("bc")));
	assert_int_equal(str_find(STR("a.b.c"), '.', 0), 1);
	assert_int_equal(str_find(STR("a.b.c"), '.', 2), 3);
	assert_int_equal(str_find(STR("a.b.c"), '.', 4), 5);
	assert_int_equal(str_find(STR("abc"), '.', 99), 3);
	assert_int_equal(str_find(STR_NONE, '.', 0), 0);
	assert_true(str_eq(str_sub(STR("abcd"), 1, 3), STR("bc")));
	assert_true(str_eq(str_sub(STR("abcd"), 1, 99), STR("bcd")));
	assert_int_equal(str_sub(STR("abcd"), 3, 1).n, 0);
	assert_int_equal(str_sub(STR("abcd"), 9, 12).n, 0);
	assert_int_equal(str_sub(STR_NONE, 0, 5).n, 0);
	assert_true(str_eq(str_trim(STR(" \t a b\t ")), STR("a b")));
	assert_int_equal(str_trim(STR(" \t ")).n, 0);
	assert_true(str_eq(str_trim(STR("a\n")), STR("a\n")));
	assert_int_equal(str_z(NULL).n, 0);

	struct str s = STR("prefix-rest");
	assert_false(str_skip(&s, STR("other")));
	assert_int_equal(s.n, 11);
	assert_true(str_skip(&s, STR("prefix-")));
	assert_true(str_eq(s, STR("rest")));
}

static void numbers_have_one_spelling_and_a_maximum(void **state)
{
	(void)state;
	static const struct {
		struct str text;
		uint64_t max, want;
		bool good;
	} rows[] = {
		{ { "0", 1 }, 0, 0, true },
		{ { "1", 1 }, 0, 0, false },
		{ { "65535", 5 }, 65535, 65535, true },
		{ { "65536", 5 }, 65535, 0, false },
		{ { "18446744073709551615", 20 }, UINT64_MAX, UINT64_MAX, true },
		{ { "18446744073709551616", 20 }, UINT64_MAX, 0, false },
		{ { "99999999999999999999999", 23 }, UINT64_MAX, 0, false },
		{ { "", 0 }, 9, 0, false },
		{ { NULL, 0 }, 9, 0, false },
		{ { "00", 2 }, 9, 0, false },
		{ { "07", 2 }, 9, 0, false },
		{ { "+1", 2 }, 9, 0, false },
		{ { "-1", 2 }, 9, 0, false },
		{ { " 1", 2 }, 9, 0, false },
		{ { "1 ", 2 }, 9, 0, false },
		{ { "1e1", 3 }, 99, 0, false },
		{ { "1\0", 2 }, 9, 0, false },
		{ { "0x1", 3 }, 9, 0, false },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint64_t v = 12345;
		struct err err = { 0 };
		struct rc rc = str_u64(rows[i].text, rows[i].max, &v, &err);
		assert_int_equal(rc.kind, rows[i].good ? ERR_NONE : ERR_MALFORMED);
		assert_int_equal(v, rows[i].good ? rows[i].want : 12345);
		assert_int_equal(err.kind, rc.kind);
	}
}

static void a_buffer_takes_its_maximum_and_not_one_byte_more(void **state)
{
	(void)state;
	struct err err = { 0 };
	for (size_t max = 0; max < 300; max += 13) {
		AUTO(buf_done) struct buf b = BUF_MAX(max);
		for (size_t i = 0; i < max; i++)
			assert_int_equal(buf_add_char(&b, (char)('a' + i % 26), &err).kind, ERR_NONE);
		assert_int_equal(buf_add_char(&b, '!', &err).kind, ERR_TOO_LARGE);
		assert_int_equal(buf_add(&b, STR("!"), &err).kind, ERR_TOO_LARGE);
		assert_int_equal(buf_addf(&b, &err, "%d", 1).kind, ERR_TOO_LARGE);
		assert_int_equal(b.n, max);
		assert_true(b.cap <= max);
		for (size_t i = 0; i < max; i++)
			assert_int_equal(b.p[i], 'a' + i % 26);
	}
}

static void a_refused_addition_leaves_the_buffer_as_it_was(void **state)
{
	(void)state;
	struct err err = { 0 };
	AUTO(buf_done) struct buf b = BUF_MAX(8);
	assert_int_equal(buf_add(&b, STR("12345"), &err).kind, ERR_NONE);
	assert_int_equal(buf_add(&b, STR("6789"), &err).kind, ERR_TOO_LARGE);
	assert_int_equal(buf_addf(&b, &err, "%s", "6789").kind, ERR_TOO_LARGE);
	char *at = NULL;
	assert_int_equal(buf_room(&b, SIZE_MAX, &at, &err).kind, ERR_TOO_LARGE);
	assert_null(at);
	assert_true(str_eq(buf_str(&b), STR("12345")));
	assert_int_equal(buf_addf(&b, &err, "%03d", 678 % 1000).kind,
			 ERR_NONE); /* to the brim: the NUL has its place */
	assert_true(str_eq(buf_str(&b), STR("12345678")));
}

static void a_buffer_eats_from_its_front_resets_and_is_reusable(void **state)
{
	(void)state;
	struct err err = { 0 };
	struct buf b = BUF_MAX(100);
	assert_int_equal(buf_add(&b, STR("hello world"), &err).kind, ERR_NONE);
	buf_eat(&b, 6);
	assert_true(str_eq(buf_str(&b), STR("world")));
	buf_eat(&b, 0);
	buf_eat(&b, 5);
	assert_int_equal(b.n, 0);
	char *at = NULL;
	assert_int_equal(buf_room(&b, 3, &at, &err).kind, ERR_NONE);
	memcpy(at, "abc", 3);
	b.n += 3;
	assert_true(str_eq(buf_str(&b), STR("abc")));
	buf_reset(&b);
	assert_int_equal(b.n, 0);
	assert_int_equal(buf_add(&b, STR_NONE, &err).kind, ERR_NONE);
	buf_done(&b);
	assert_null(b.p);
	assert_int_equal(b.max, 100);
	assert_int_equal(buf_add(&b, STR("again"), &err).kind, ERR_NONE);
	buf_done(&b);
	buf_done(NULL);
}

static void a_cursor_reads_big_endian_and_stops_at_its_end(void **state)
{
	(void)state;
	struct err err = { 0 };
	static const char bytes[] = "\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\xff";
	struct cur c = cur_of(str_n(bytes, 15));
	uint8_t u8 = 0;
	uint16_t u16 = 0;
	uint32_t u32 = 0;
	uint64_t u64 = 0;
	assert_int_equal(cur_u16(&c, &u16, &err).kind, ERR_NONE);
	assert_int_equal(u16, 0x0102);
	assert_int_equal(cur_u32(&c, &u32, &err).kind, ERR_NONE);
	assert_int_equal(u32, 0x03040506);
	assert_int_equal(cur_u64(&c, &u64, &err).kind, ERR_NONE);
	assert_int_equal(u64, 0x0708090a0b0c0d0e);
	assert_int_equal(cur_u16(&c, &u16, &err).kind, ERR_MALFORMED);
	assert_int_equal(cur_left(&c), 1);
	assert_int_equal(cur_u8(&c, &u8, &err).kind, ERR_NONE);
	assert_int_equal(u8, 0xff);
	assert_true(cur_end(&c));
	assert_int_equal(cur_u8(&c, &u8, &err).kind, ERR_MALFORMED);

	struct cur none = cur_of(STR_NONE);
	struct str s = STR("old");
	assert_true(cur_end(&none));
	assert_int_equal(cur_take(&none, 0, &s, &err).kind, ERR_NONE);
	assert_int_equal(cur_take(&none, 1, &s, &err).kind, ERR_MALFORMED);
	assert_int_equal(cur_until(&none, '.', &s, &err).kind, ERR_MALFORMED);
	assert_int_equal(cur_rest(&none).n, 0);
}

static void a_cursor_splits_at_separators(void **state)
{
	(void)state;
	struct err err = { 0 };
	struct cur c = cur_of(STR("aa..b"));
	struct str s = STR_NONE;
	assert_int_equal(cur_until(&c, '.', &s, &err).kind, ERR_NONE);
	assert_true(str_eq(s, STR("aa")));
	assert_int_equal(cur_until(&c, '.', &s, &err).kind, ERR_NONE);
	assert_int_equal(s.n, 0);
	assert_int_equal(cur_until(&c, '.', &s, &err).kind, ERR_MALFORMED);
	assert_true(str_eq(cur_rest(&c), STR("b")));
	assert_true(cur_end(&c));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slices_compare_cut_and_trim),
		cmocka_unit_test(numbers_have_one_spelling_and_a_maximum),
		cmocka_unit_test(a_buffer_takes_its_maximum_and_not_one_byte_more),
		cmocka_unit_test(a_refused_addition_leaves_the_buffer_as_it_was),
		cmocka_unit_test(a_buffer_eats_from_its_front_resets_and_is_reusable),
		cmocka_unit_test(a_cursor_reads_big_endian_and_stops_at_its_end),
		cmocka_unit_test(a_cursor_splits_at_separators),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * serial_test.c: serials keep their prefix, their length and their text.
 */
#include "pki/test.h"

static void serials_have_the_prefix_and_differ(void **state)
{
	(void)state;
	enum { COUNT = 2000 };
	static struct serial s[COUNT];
	unsigned bits_seen = 0;
	for (size_t i = 0; i < COUNT; i++) {
		s[i] = serial_new(0x2a, &rng_system);
		assert_int_equal(s[i].b[0], 0x2a);
		for (size_t j = 0; j < i; j++)
			assert_memory_not_equal(s[i].b, s[j].b, SERIAL_LEN);
	}
	/* every one of the 136 random bits is set in some of them and clear in others */
	for (size_t bit = 8; bit < 8 * SERIAL_LEN; bit++) {
		size_t set = 0;
		for (size_t i = 0; i < COUNT; i++)
			set += s[i].b[bit / 8] >> (bit % 8) & 1;
		bits_seen += set > COUNT / 3 && set < COUNT * 2 / 3;
	}
	assert_int_equal(bits_seen, 136);
}

static void text_goes_both_ways(void **state)
{
	(void)state;
	static const struct {
		const char *text, *refusal; /* NULL: fine */
	} rows[] = {
		{ "01ffffffffffffffffffffffffffffffffff", NULL },
		{ "7f0000000000000000000000000000000000", NULL },
		{ "00ffffffffffffffffffffffffffffffffff", "0x00" },
		{ "80ffffffffffffffffffffffffffffffffff", "0x80" },
		{ "01ffffffffffffffffffffffffffffffff", "34 hex digits" },
		{ "01ffffffffffffffffffffffffffffffffffff", "38 hex digits" },
		{ "01fffffffffffffffffffffffffffffffffg", "" },
		{ "", "0 hex digits" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err = { 0 };
		AUTO(arena_done) struct arena mem = { 0 };
		struct serial s;
		if (rows[i].refusal != NULL) {
			MUST_FAIL(serial_read_hex(str_z(rows[i].text), &s, &err), ERR_MALFORMED, rows[i].refusal);
			continue;
		}
		MUST(serial_read_hex(str_z(rows[i].text), &s, &err));
		assert_true(str_eq(serial_hex(&mem, &s), str_z(rows[i].text)));
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(serials_have_the_prefix_and_differ),
		cmocka_unit_test(text_goes_both_ways),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

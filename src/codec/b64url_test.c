/* SPDX-License-Identifier: Apache-2.0
 *
 * b64url_test.c: base64url has one spelling for every value; so has hex, up to case.
 */
#include "codec/codec.h"

#include <stdio.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void rfc_4648_vectors_encode_and_decode(void **state)
{
	(void)state;
	static const struct {
		struct str bytes;
		const char *url, *padded;
	} rows[] = {
		{ { "", 0 }, "", "" },
		{ { "f", 1 }, "Zg", "Zg==" },
		{ { "fo", 2 }, "Zm8", "Zm8=" },
		{ { "foo", 3 }, "Zm9v", "Zm9v" },
		{ { "foob", 4 }, "Zm9vYg", "Zm9vYg==" },
		{ { "fooba", 5 }, "Zm9vYmE", "Zm9vYmE=" },
		{ { "foobar", 6 }, "Zm9vYmFy", "Zm9vYmFy" },
		{ { "\xff\xff\xff", 3 }, "____", "////" },
		{ { "\xfb\xef\xbe", 3 }, "----", "++++" },
		{ { "\0\0", 2 }, "AAA", "AAA=" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(arena_done) struct arena mem = { 0 };
		AUTO(buf_done) struct buf b = BUF_MAX(64);
		struct err err = { 0 };
		struct str got = STR_NONE;
		uint8_t exact[8];
		assert_true(str_eq(b64url_encode(&mem, rows[i].bytes), str_z(rows[i].url)));
		char text[9] = { 0 };
		b64url_encode_to(rows[i].bytes, text);
		assert_string_equal(text, rows[i].url);
		assert_int_equal(B64URL_LEN(rows[i].bytes.n), strlen(rows[i].url));
		assert_int_equal(b64url_decode(&mem, str_z(rows[i].url), 6, &got, &err).kind, ERR_NONE);
		assert_true(str_eq(got, rows[i].bytes));
		assert_int_equal(b64url_decode_to(str_z(rows[i].url), exact, rows[i].bytes.n, &err).kind, ERR_NONE);
		assert_memory_equal(exact, rows[i].bytes.p, rows[i].bytes.n);
		assert_int_equal(b64url_decode_to(str_z(rows[i].url), exact, rows[i].bytes.n + 1, &err).kind,
				 ERR_MALFORMED);
		assert_int_equal(b64url_add(&b, rows[i].bytes, &err).kind, ERR_NONE);
		assert_true(str_eq(buf_str(&b), str_z(rows[i].url)));
		buf_reset(&b);
		assert_int_equal(b64_add(&b, rows[i].bytes, &err).kind, ERR_NONE);
		assert_true(str_eq(buf_str(&b), str_z(rows[i].padded)));
	}
}

static void every_other_spelling_is_refused(void **state)
{
	(void)state;
	static const struct str rows[] = {
		{ "A", 1 }, /* one character is no byte */
		{ "AAAAA", 5 },   { "Zg==", 4 },  { "Zg=", 3 },         { "=", 1 },
		{ "Zh", 2 }, /* stray bits */
		{ "Zm9", 3 },     { "Zn8AZ", 5 }, { "Zm9v Zm9v", 9 },   { "Zm9v\n", 5 },
		{ "\nZm9", 4 },   { "Zm+v", 4 },  { "Zm/v", 4 },        { "Zm9\0", 4 },
		{ "Zm9\x80", 4 }, { "Zm.v", 4 },  { "Zm9\xc3\xa9", 5 }, { "Zm@v", 4 },
		{ "Zm[v", 4 },    { "Zm`v", 4 },  { "Zm{v", 4 },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(arena_done) struct arena mem = { 0 };
		struct err err = { 0 };
		struct str got = STR("untouched");
		assert_int_equal(b64url_decode(&mem, rows[i], 100, &got, &err).kind, ERR_MALFORMED);
		assert_true(str_eq(got, STR("untouched")));
	}
}

static void each_final_character_has_only_one_accepted_form(void **state)
{
	(void)state;
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	unsigned good[2] = { 0, 0 };
	for (size_t i = 0; i < 64; i++) {
		uint8_t out[2];
		const char two[] = { 'A', alphabet[i] };
		const char three[] = { 'A', 'A', alphabet[i] };
		good[0] += FAILED(b64url_decode_to(str_n(two, 2), out, 1, NULL)) ? 0 : 1;
		good[1] += FAILED(b64url_decode_to(str_n(three, 3), out, 2, NULL)) ? 0 : 1;
	}
	assert_int_equal(good[0], 4);
	assert_int_equal(good[1], 16);
}

static void the_maximum_counts_decoded_bytes(void **state)
{
	(void)state;
	AUTO(arena_done) struct arena mem = { 0 };
	struct err err = { 0 };
	struct str got = STR_NONE;
	assert_int_equal(b64url_decode(&mem, STR("Zm9vYg"), 4, &got, &err).kind, ERR_NONE);
	assert_int_equal(b64url_decode(&mem, STR("Zm9vYg"), 3, &got, &err).kind, ERR_MALFORMED);
	AUTO(buf_done) struct buf b = BUF_MAX(3);
	assert_int_equal(b64url_add(&b, STR("foo"), &err).kind, ERR_TOO_LARGE);
	assert_int_equal(b64_add(&b, STR("f"), &err).kind, ERR_TOO_LARGE);
	assert_int_equal(b64url_add(&b, STR("fo"), &err).kind, ERR_NONE);
}

static void random_bytes_come_back(void **state)
{
	(void)state;
	for (size_t n = 0; n < 200; n++) {
		AUTO(arena_done) struct arena mem = { 0 };
		uint8_t bytes[200];
		struct str got = STR_NONE;
		rng_fill(&rng_system, bytes, n);
		assert_int_equal(b64url_decode(&mem, b64url_encode(&mem, str_n(bytes, n)), n, &got, NULL).kind,
				 ERR_NONE);
		assert_true(str_eq(got, str_n(bytes, n)));
		assert_int_equal(hex_decode(&mem, hex_encode(&mem, str_n(bytes, n)), n, &got, NULL).kind, ERR_NONE);
		assert_true(str_eq(got, str_n(bytes, n)));
	}
}

static void hex_is_written_lower_and_read_in_either_case(void **state)
{
	(void)state;
	AUTO(arena_done) struct arena mem = { 0 };
	struct err err = { 0 };
	struct str got = STR_NONE;
	assert_true(str_eq(hex_encode(&mem, STR("\x00\x0f\xf0\xab")), STR("000ff0ab")));
	assert_int_equal(hex_decode(&mem, STR("00Ff0aB9"), 4, &got, &err).kind, ERR_NONE);
	assert_true(str_eq(got, str_n("\x00\xff\x0a\xb9", 4)));
	static const struct str bad[] = { { "0", 1 },  { "0g", 2 },   { "g0", 2 }, { " 0", 2 },
					  { "0x", 2 }, { "\0\0", 2 }, { "@0", 2 }, { "0011223344", 10 } };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(hex_decode(&mem, bad[i], 4, &got, &err).kind, ERR_MALFORMED);
}

static void pem_has_lines_of_64_characters(void **state)
{
	static const struct {
		size_t bytes;
		const char *want;
	} rows[] = {
		{ 0, "-----BEGIN X-----\n-----END X-----\n" },
		{ 1, "-----BEGIN X-----\nAA==\n-----END X-----\n" },
		{ 48, "-----BEGIN X-----\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"
		      "-----END X-----\n" },
		{ 49, "-----BEGIN X-----\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\nAA==\n"
		      "-----END X-----\n" },
	};
	static const char zeroes[49];
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(buf_done) struct buf b = BUF_MAX(256);
		struct err err = { 0 };
		assert_int_equal(pem_add("X", str_n(zeroes, rows[i].bytes), &b, &err).kind, ERR_NONE);
		assert_true(str_eq(buf_str(&b), str_z(rows[i].want)));
	}
}

/* The table, character by character, at every place of a group. */
static void every_character_has_its_value_or_none(void **state)
{
	(void)state;
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	for (unsigned c = 0; c < 256; c++) {
		const char *at = c == 0 ? NULL : strchr(alphabet, (int)c);
		for (size_t place = 0; place < 4; place++) {
			struct err err = { 0 };
			char text[4] = "AAAA";
			uint8_t got[3] = { 0 };
			text[place] = (char)c;
			struct rc rc = b64url_decode_to(str_n(text, 4), got, 3, &err);
			assert_int_equal(rc.kind, at == NULL ? ERR_MALFORMED : ERR_NONE);
			unsigned bits = (unsigned)got[0] << 16 | (unsigned)got[1] << 8 | got[2];
			if (at != NULL)
				assert_int_equal(bits, (unsigned)(at - alphabet) << (18 - 6 * place));
			char want[64];
			(void)snprintf(want, sizeof want, "character %zu is not base64url", place + 1);
			if (at == NULL)
				assert_non_null(strstr(err.detail, want));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pem_has_lines_of_64_characters),
		cmocka_unit_test(rfc_4648_vectors_encode_and_decode),
		cmocka_unit_test(every_character_has_its_value_or_none),
		cmocka_unit_test(every_other_spelling_is_refused),
		cmocka_unit_test(each_final_character_has_only_one_accepted_form),
		cmocka_unit_test(the_maximum_counts_decoded_bytes),
		cmocka_unit_test(random_bytes_come_back),
		cmocka_unit_test(hex_is_written_lower_and_read_in_either_case),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

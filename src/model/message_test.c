/* SPDX-License-Identifier: Apache-2.0
 *
 * message_test.c: each kind of text holds the bytes that it may hold, and no other byte, wherever it stands.
 */
#include "model/message.h"

#include <ctype.h>
#include <stdio.h>

// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

struct letter {
	struct str text;
};

static bool is_b64url(int c)
{
	return isalnum(c) || c == '-' || c == '_';
}
static bool is_word(int c)
{
	return is_b64url(c) || c == '.';
}
static bool is_text(int c)
{
	return isprint(c);
}
static bool is_line(int c)
{
	return isprint(c) || c == '\n';
}
static bool is_utf8(int c)
{
	return isprint(c) || c >= 0x80;
}
static bool is_hex(int c)
{
	return isdigit(c) || (c >= 'a' && c <= 'f');
}
static bool is_any(int c)
{
	return c >= 0;
}

static const struct {
	enum field_kind kind;
	bool (*may)(int c);
} kinds[] = {
	{ FIELD_WORD, is_word },     { FIELD_TEXT, is_text }, { FIELD_LINES, is_line },   { FIELD_UTF8, is_utf8 },
	{ FIELD_B64URL, is_b64url }, { FIELD_HEX, is_hex },   { FIELD_TOKEN, is_b64url }, { FIELD_BYTES, is_any },
};

/* In the middle, so that a token stays 32 bytes, and in front. */
static void each_kind_of_text_holds_its_bytes_and_no_other(void **state)
{
	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		const struct field field = {
			.key = "text", .kind = kinds[k].kind, .at = 0, .min = 1, .max = TOKEN_LEN
		};
		const struct message m = { "letter", 1024, &field, 1, NULL };
		for (int c = 0; c < 256; c++) {
			for (size_t at = 0; at < 2; at++) {
				AUTO(buf_done) struct buf out = BUF_MAX(1024);
				struct err err = { 0 };
				char text[TOKEN_LEN], why[64];
				memset(text, 'a', sizeof text);
				if (kinds[k].kind == FIELD_TOKEN)
					text[sizeof text - 1] = 'A'; /* two of its bits must be zero */
				text[at * 20] = (char)c;
				const struct letter l = { str_n(text, sizeof text) };
				const bool want = kinds[k].may(c);
				(void)snprintf(why, sizeof why, "holds byte 0x%02x at %zu, only", (unsigned)c, at * 20);
				assert_int_equal(!FAILED(message_write(&m, &l, &out, &err)), want);
				assert_int_equal(strstr(err.detail, why) != NULL, !want);
			}
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_kind_of_text_holds_its_bytes_and_no_other),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

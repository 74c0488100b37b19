/* SPDX-License-Identifier: Apache-2.0
 *
 * proto_test.c: bus frames read back as written, and every way to break them.
 */
#include "bus/proto.h"

// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#define HELLO "\x00\x01\x03"

static void frames_read_back_as_written(void **state)
{
	(void)state;
	static const struct {
		bool from_hub;
		struct bus_frame m;
	} rows[] = {
		{ false, { .type = BUS_HELLO, .number = 1, .name = { "signer", 6 } } },
		{ true, { .type = BUS_HELLO, .number = 1, .name = { "api", 3 } } },
		{ false, { .type = BUS_SUBSCRIBE, .number = 1, .name = { "sign", 4 } } },
		{ false, { .type = BUS_SUBSCRIBE, .number = BUS_CREDITS_MAX, .name = { "validate.a-1", 12 } } },
		{ false, { .type = BUS_PUBLISH, .name = { "t", 1 }, .body = { "a\0b", 3 } } },
		{ false, { .type = BUS_PUBLISH, .name = { "t", 1 } } },
		{ true, { .type = BUS_DELIVER, .tag = UINT64_MAX - 1, .name = { "t", 1 }, .body = { "{}", 2 } } },
		{ false, { .type = BUS_ACK, .tag = 0x0102030405060708 } },
		{ false, { .type = BUS_NACK, .tag = 1 } },
		{ true, { .type = BUS_PING } },
		{ false, { .type = BUS_PONG } },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(buf_done) struct buf out = BUF_MAX(4096);
		struct err err = { 0 };
		struct frame f = { 0 };
		struct bus_frame m = { 0 };
		size_t used = 0;
		assert_false(FAILED(bus_frame_add(&out, &rows[i].m, &err)));
		assert_false(FAILED(frame_read(buf_str(&out), &f, &used, &err)));
		assert_int_equal(used, out.n);
		assert_false(FAILED(bus_frame_read(&f, rows[i].from_hub, &m, &err)));
		assert_int_equal(m.type, rows[i].m.type);
		assert_int_equal(m.number, rows[i].m.number);
		assert_true(m.tag == rows[i].m.tag);
		assert_true(str_eq(m.name, rows[i].m.name));
		assert_true(str_eq(m.body, rows[i].m.body));
	}
}

static void broken_frames_are_refused_with_the_reason(void **state)
{
	(void)state;
	static const struct {
		bool from_hub;
		uint8_t type;
		struct str body;
		const char *says;
	} rows[] = {
		{ false, 0, { "", 0 }, "type 0 is unknown" },
		{ false, BUS_TYPE_END, { "", 0 }, "is unknown" },
		{ false, 255, { "", 0 }, "type 255 is unknown" },
		{ false, BUS_HELLO, { "", 0 }, "hello: 2 bytes are wanted" },
		{ false, BUS_HELLO, { "\x00\x02", 2 }, "speaks bus version 2, this is version 1" },
		{ false, BUS_HELLO, { "\x00\x01", 2 }, "hello: 1 bytes are wanted" },
		{ false, BUS_HELLO, { HELLO "ab", 5 }, "hello: 3 bytes are wanted, 2 are left" },
		{ false, BUS_HELLO, { HELLO "abcd", 7 }, "hello: 1 bytes too many" },
		{ false, BUS_HELLO, { HELLO "aBc", 6 }, "other than a-z" },
		{ false, BUS_HELLO, { HELLO "a\nc", 6 }, "other than a-z" },
		{ false, BUS_HELLO, { "\x00\x01\x00", 3 }, "name of 0 characters" },
		{ false, BUS_SUBSCRIBE, { "\x00\x00\x01t", 4 }, "0 credits" },
		{ false, BUS_SUBSCRIBE, { "\x10\x01\x01t", 4 }, "4097 credits" },
		{ true, BUS_SUBSCRIBE, { "\x00\x01\x01t", 4 }, "not for this side" },
		{ true, BUS_PUBLISH, { "\x01t", 2 }, "not for this side" },
		{ false, BUS_PUBLISH, { "\x01/", 2 }, "other than a-z" },
		{ false, BUS_DELIVER, { "\0\0\0\0\0\0\0\1\1t", 10 }, "not for this side" },
		{ true, BUS_DELIVER, { "\0\0\0\0\0\0\0\1", 8 }, "deliver: 1 bytes are wanted" },
		{ false, BUS_ACK, { "\0\0\0\0\0\0\0", 7 }, "ack: 8 bytes are wanted" },
		{ false, BUS_NACK, { "\0\0\0\0\0\0\0\0\0", 9 }, "nack: 1 bytes too many" },
		{ true, BUS_ACK, { "\0\0\0\0\0\0\0\0", 8 }, "not for this side" },
		{ true, BUS_PING, { "x", 1 }, "ping: 1 bytes too many" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err = { 0 };
		struct bus_frame m = { 0 };
		struct frame f = { .type = rows[i].type, .body = rows[i].body };
		assert_int_equal(bus_frame_read(&f, rows[i].from_hub, &m, &err).kind, ERR_MALFORMED);
		if (strstr(err.detail, rows[i].says) == NULL)
			fail_msg("row %zu says: %s", i, err.detail);
		assert_int_equal(m.type, 0);
	}
}

static void bodies_end_at_their_limit(void **state)
{
	(void)state;
	AUTO(buf_done) struct buf body = BUF_MAX(FRAME_BODY_MAX);
	char *at = NULL;
	assert_false(FAILED(buf_room(&body, 2 + BUS_BODY_MAX + 1, &at, NULL)));
	memset(at, 'x', 2 + BUS_BODY_MAX + 1);
	at[0] = 1;
	struct frame f = { .type = BUS_PUBLISH, .body = { at, 2 + BUS_BODY_MAX } };
	struct bus_frame m = { 0 };
	assert_false(FAILED(bus_frame_read(&f, false, &m, NULL)));
	f.body.n++;
	assert_int_equal(bus_frame_read(&f, false, &m, NULL).kind, ERR_MALFORMED);
}

static void names_are_lower_case_digits_dots_and_dashes(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		bool fine;
	} rows[] = {
		{ "a", true },         { "validate.local-2", true },
		{ "0", true },         { "", false },
		{ "A", false },        { "a b", false },
		{ "a/b", false },      { "a_b", false },
		{ "\xc3\xa9", false },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(!FAILED(bus_name_check(str_z(rows[i].name), NULL)), rows[i].fine);
	char longest[BUS_TOPIC_MAX + 1];
	memset(longest, 'a', sizeof longest);
	assert_false(FAILED(bus_name_check(str_n(longest, BUS_TOPIC_MAX), NULL)));
	assert_true(FAILED(bus_name_check(str_n(longest, BUS_TOPIC_MAX + 1), NULL)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_read_back_as_written),
		cmocka_unit_test(broken_frames_are_refused_with_the_reason),
		cmocka_unit_test(bodies_end_at_their_limit),
		cmocka_unit_test(names_are_lower_case_digits_dots_and_dashes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

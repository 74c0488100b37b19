/* SPDX-License-Identifier: Apache-2.0
 *
 * json_read_test.c: hostile JSON is refused before anything is read from it; getters say what was wrong. Also here,
 * because base knows no parser: JSON log lines are JSON.
 */
#include "codec/codec.h"

#include <stdio.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define Z(lit)                          \
	{                               \
		"" lit, sizeof(lit) - 1 \
	}

static void good_and_bad_texts_are_told_apart(void **state)
{
	(void)state;
	static const struct {
		struct str text;
		bool good;
	} rows[] = {
		{ Z("{}"), true },
		{ Z(" \t\r\n{ } \n"), true },
		{ Z("{\"a\":1}"), true },
		{ Z("{\"a\":9223372036854775807,\"b\":-9223372036854775808}"), true },
		{ Z("{\"a\":1.5e3}"), true },
		{ Z("{\"a\":\"\\ud83d\\ude00\"}"), true },
		{ Z("{\"a\":\"\xf0\x9f\x98\x80\"}"), true },
		{ Z("{\"a\":\"[[[[[[[[[[[[[[[[[[[[{{{{\"}"), true },
		{ Z("{\"a\":\"\x7f plain enough\"}"), true },
		{ Z("{\"a\":\"\xc3\xa9 \\u00e9 \\ud83d\\ude00 \\/\\b\\f\\n\\r\\t\"}"), true },
		{ Z("{\"a\":-0}"), true },
		{ Z("{\"a\":[[],{}, 0e0 ,-1.5E+3,null,true,false]}"), true },
		{ Z("{\"a\":\"\\\"[[[[[[[[[[[[[[[[[[[[[\"}"), true },
		{ Z(""), false },
		{ Z(" "), false },
		{ Z("[]"), false },
		{ Z("[{}]"), false },
		{ Z("1"), false },
		{ Z("\"a\""), false },
		{ Z("null"), false },
		{ Z("{} x"), false },
		{ Z("{}{}"), false },
		{ Z("{}\0"), false },
		{ Z("{\"a\":\"\0\"}"), false },
		{ Z("{\"a\":\"\\\0\"}"), false },
		{ Z("{\"a\":\"\\u0000\"}"), false },
		{ Z("{\"\\u0000\":1}"), false },
		{ Z("{\"a\":1,\"a\":2}"), false },
		{ Z("{\"a\":1,\"\\u0061\":2}"), false },
		{ Z("{\"x\":{\"a\":1,\"b\":2,\"a\":1}}"), false },
		{ Z("{\"a\":\"\\ud83d\"}"), false },
		{ Z("{\"a\":\"\\ude00\\ud83d\"}"), false },
		{ Z("{\"a\":\"\xed\xa0\xbd\"}"), false }, /* a surrogate in UTF-8 */
		{ Z("{\"a\":\"\xc0\xaf\"}"), false },     /* overlong */
		{ Z("{\"a\":\"\xff\"}"), false },
		{ Z("{\"a\":\"\xf5\x80\x80\x80\"}"), false },
		{ Z("{\"a\":\"\n\"}"), false },
		{ Z("{\"a\":\"\\x41\"}"), false },
		{ Z("{\"a\":9223372036854775808}"), false },
		{ Z("{\"a\":1e999}"), false },
		{ Z("{\"a\":-9223372036854775809}"), false },
		{ Z("{\"a\":99999999999999999999}"), false },
		{ Z("{\"a\":-}"), false },
		{ Z("{\"a\":1.}"), false },
		{ Z("{\"a\":1e}"), false },
		{ Z("{\"a\":0x10}"), false },
		{ Z("{\"a\":tru}"), false },
		{ Z("{\"a\":truefalse}"), false },
		{ Z("{\"a\":nul"), false },
		{ Z("{\"a\":1"), false },
		{ Z("{\"a\":"), false },
		{ Z("{\"a\" 1}"), false },
		{ Z("{\"a\":1 \"b\":2}"), false },
		{ Z("{\"a\":[1 2]}"), false },
		{ Z("{\"a\":[1,]}"), false },
		{ Z("{,}"), false },
		{ Z("{\"a\":\"abcdefgh\x1fijklmno\"}"), false },
		{ Z("{\"a\":\"abcdefgh\xffijklmno\"}"), false },
		{ Z("{\"a\":\"\\u12"), false },
		{ Z("{\"a\":\"\\u12g4\"}"), false },
		{ Z("{\"a\":\"\\ud83dx\"}"), false },
		{ Z("{\"a\":\"\\ud83d\\u0041\"}"), false },
		{ Z("{\"a\":\"\xe2\x82"), false },
		{ Z("{\f}"), false },
		{ Z("{\"a\":01}"), false },
		{ Z("{\"a\":+1}"), false },
		{ Z("{\"a\":.5}"), false },
		{ Z("{\"a\":NaN}"), false },
		{ Z("{\"a\":True}"), false },
		{ Z("{\"a\":1,}"), false },
		{ Z("{a:1}"), false },
		{ Z("{'a':1}"), false },
		{ Z("{\"a\":1 /* no */}"), false },
		{ Z("{\"a\""), false },
		{ Z("{\"a\":\"\\"), false },
		{ Z("\xef\xbb\xbf{}"), false },
		{ Z("{\"a\":[}]"), false },
		{ Z("]]]]]]]]]]]]{}"), false },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(json_auto) struct json *top = NULL;
		struct err err = { 0 };
		struct rc rc = json_read(rows[i].text, 4096, &top, &err);
		if (rc.kind != (rows[i].good ? ERR_NONE : ERR_MALFORMED))
			fail_msg("row %zu: %s %s", i, rows[i].text.p, err.detail);
		assert_true((top != NULL) == rows[i].good);
		if (!rows[i].good)
			assert_true(strncmp(err.detail, "JSON: ", 6) == 0);
	}
}

/* "[0,0,...": a value for every two bytes, and many times that in memory. */
static void a_text_of_nothing_but_values_is_refused(void **state)
{
	(void)state;
	for (size_t count = JSON_VALUES_MAX - 1; count <= JSON_VALUES_MAX; count++) {
		struct err err = { 0 };
		AUTO(buf_done) struct buf text = BUF_MAX(1 << 20);
		AUTO(json_auto) struct json *o = NULL;
		assert_false(FAILED(buf_add(&text, STR("{\"a\":[0"), &err)));
		for (size_t i = 1; i < count; i++) /* with "a" itself there is one more */
			assert_false(FAILED(buf_add(&text, STR(",0"), &err)));
		assert_false(FAILED(buf_add(&text, STR("]}"), &err)));
		bool refused = FAILED(json_read(buf_str(&text), text.n, &o, &err));
		assert_int_equal(refused, count == JSON_VALUES_MAX);
		if (refused)
			assert_non_null(strstr(err.detail, "more values than any text here has"));
	}
}

static struct rc read_nested(size_t depth, bool objects)
{
	char text[4096] = "{\"a\":";
	size_t n = 5;
	for (size_t i = 1; i < depth; i++)
		n += (size_t)snprintf(text + n, sizeof text - n, objects && i + 1 < depth ? "{\"a\":" : "[");
	for (size_t i = depth - 1; i > 0; i--)
		text[n++] = objects && i + 1 < depth ? '}' : ']';
	text[n++] = '}';
	AUTO(json_auto) struct json *top = NULL;
	return json_read(str_n(text, n), sizeof text, &top, NULL);
}

static void depth_16_is_read_and_17_is_not(void **state)
{
	(void)state;
	for (int objects = 0; objects < 2; objects++) {
		assert_int_equal(read_nested(2, objects != 0).kind, ERR_NONE);
		assert_int_equal(read_nested(JSON_DEPTH_MAX, objects != 0).kind, ERR_NONE);
		assert_int_equal(read_nested(JSON_DEPTH_MAX + 1, objects != 0).kind, ERR_MALFORMED);
		assert_int_equal(read_nested(300, objects != 0).kind, ERR_MALFORMED);
	}
}

static void wide_is_not_deep(void **state)
{
	(void)state;
	AUTO(buf_done) struct buf b = BUF_MAX(70000);
	struct err err = { 0 };
	assert_int_equal(buf_add(&b, STR("{\"a\":["), &err).kind, ERR_NONE);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(buf_add(&b, STR("[],{},"), &err).kind, ERR_NONE);
	assert_int_equal(buf_add(&b, STR("1]}"), &err).kind, ERR_NONE);
	AUTO(json_auto) struct json *top = NULL;
	assert_int_equal(json_read(buf_str(&b), 70000, &top, &err).kind, ERR_NONE);
	assert_int_equal(json_count(json_get(top, "a")), 2001);
}

static void an_object_of_64_kib_is_read_and_the_limit_is_exact(void **state)
{
	(void)state;
	AUTO(buf_done) struct buf b = BUF_MAX(65536);
	struct err err = { 0 };
	assert_int_equal(buf_add_char(&b, '{', &err).kind, ERR_NONE);
	size_t members = 0;
	for (; b.n < 65500; members++)
		assert_int_equal(buf_addf(&b, &err, "\"k%zu\":%zu,", members, members).kind, ERR_NONE);
	b.p[b.n - 1] = '}';
	AUTO(json_auto) struct json *top = NULL;
	assert_int_equal(json_read(buf_str(&b), b.n, &top, &err).kind, ERR_NONE);
	assert_int_equal(json_count(top), members);
	int64_t v = 0;
	assert_true(json_as_i64(json_get(top, "k4321"), &v));
	assert_int_equal(v, 4321);
	struct json *none = NULL;
	assert_int_equal(json_read(buf_str(&b), b.n - 1, &none, &err).kind, ERR_MALFORMED);
	assert_non_null(strstr(err.detail, "over the limit"));
	assert_null(none);
}

static void errors_say_line_and_column(void **state)
{
	(void)state;
	struct err err = { 0 };
	struct json *top = NULL;
	assert_int_equal(json_read(STR("{\n \"a\": 1,\n \"a\": 2}"), 100, &top, &err).kind, ERR_MALFORMED);
	assert_non_null(strstr(err.detail, "line 3 column 4"));
	assert_non_null(strstr(err.detail, "duplicate"));
}

/* Names are compared one with another in a small object and sorted in a large one. */
static void a_name_that_occurs_twice_is_found_in_an_object_of_any_size(void **state)
{
	(void)state;
	for (size_t count = 2; count < 200; count++) {
		for (size_t again = 0; again < 2; again++) {
			AUTO(buf_done) struct buf b = BUF_MAX(65536);
			AUTO(json_auto) struct json *top = NULL;
			struct err err = { 0 };
			for (size_t i = 0; i < count; i++) {
				bool last = i + 1 == count;
				size_t name = (last && again == 1 ? count / 2 - 1 : i) * 7919 % 1000;
				assert_false(FAILED(buf_addf(&b, &err, "%s\"%zu\":%zu%s", i == 0 ? "{" : "", name, i,
							     last ? "}" : ",")));
			}
			assert_int_equal(json_read(buf_str(&b), b.n, &top, &err).kind,
					 again == 1 ? ERR_MALFORMED : ERR_NONE);
			if (again == 1)
				assert_non_null(strstr(err.detail, "duplicate name"));
		}
	}
}

static void runs_of_plain_bytes_end_where_the_first_other_one_stands(void **state)
{
	(void)state;
	for (size_t at = 0; at < 40; at++) {
		for (unsigned c = 0; c < 256; c++) {
			char text[40];
			memset(text, 'x', sizeof text);
			text[at] = (char)c;
			bool plain = c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
			assert_int_equal(json_plain(str_n(text, sizeof text)), plain ? sizeof text : at);
		}
	}
}

static struct json *read_or_die(const char *text)
{
	struct json *top = NULL;
	struct err err = { 0 };
	assert_int_equal(json_read(str_z(text), 4096, &top, &err).kind, ERR_NONE);
	return top;
}

static const char sample[] = "{\"s\":\"text\",\"e\":\"\",\"i\":-7,\"r\":1.0,\"t\":true,\"f\":false,\"n\":null,"
			     "\"a\":[1,null,\"x\"],\"o\":{\"k\":\"v\"},\"\\u006b\\u0065y\":\"\\u0041\\n\"}";

static void values_are_what_the_text_says(void **state)
{
	(void)state;
	AUTO(json_auto) struct json *top = read_or_die(sample);
	static const struct {
		const char *key;
		enum json_type type;
		size_t count;
	} rows[] = {
		{ "s", JSON_STRING, 0 },   { "i", JSON_INTEGER, 0 },   { "r", JSON_REAL, 0 },  { "t", JSON_BOOL, 0 },
		{ "f", JSON_BOOL, 0 },     { "n", JSON_ABSENT, 0 },    { "a", JSON_ARRAY, 3 }, { "o", JSON_OBJECT, 1 },
		{ "key", JSON_STRING, 0 }, { "nope", JSON_ABSENT, 0 },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(json_type(json_get(top, rows[i].key)), rows[i].type);
		assert_int_equal(json_count(json_get(top, rows[i].key)), rows[i].count);
	}
	struct str s = STR_NONE;
	int64_t i = 0;
	bool b = false;
	assert_true(json_as_str(json_get(top, "key"), &s));
	assert_true(str_eq(s, STR("A\n")));
	assert_true(json_as_str(json_get(json_get(top, "o"), "k"), &s));
	assert_true(str_eq(s, STR("v")));
	assert_true(json_as_i64(json_get(top, "i"), &i));
	assert_int_equal(i, -7);
	assert_true(json_as_bool(json_get(top, "t"), &b) && b);
	assert_true(json_as_bool(json_get(top, "f"), &b) && !b);
	assert_false(json_as_str(json_get(top, "i"), &s));
	assert_false(json_as_i64(json_get(top, "r"), &i));
	assert_false(json_as_bool(json_get(top, "i"), &b));
	assert_int_equal(json_type(json_at(json_get(top, "a"), 0)), JSON_INTEGER);
	assert_null(json_at(json_get(top, "a"), 1));
	assert_null(json_at(json_get(top, "a"), 3));
	assert_null(json_at(top, 0));
	assert_null(json_get(json_get(top, "a"), "x"));
	assert_null(json_get(NULL, "x"));
	assert_int_equal(json_count(NULL), 0);
}

static void getters_name_the_key_and_what_was_wanted(void **state)
{
	(void)state;
	AUTO(json_auto) struct json *top = read_or_die(sample);
	struct err err = { 0 };
	struct str s = STR("old");
	int64_t i = 5;
	bool b = true;
	const struct json *v = NULL;
	assert_int_equal(json_want_str(top, "s", 4, &s, &err).kind, ERR_NONE);
	assert_true(str_eq(s, STR("text")));
	assert_int_equal(json_want_str(top, "s", 3, &s, &err).kind, ERR_MALFORMED);
	assert_string_equal(err.detail, "\"s\" has 4 bytes, at most 3 are wanted");
	assert_int_equal(json_want_str(top, "i", 3, &s, &err).kind, ERR_MALFORMED);
	assert_string_equal(err.detail, "\"i\" is an integer, a string is wanted");
	assert_int_equal(json_want_str(top, "gone", 3, &s, &err).kind, ERR_MALFORMED);
	assert_string_equal(err.detail, "\"gone\" is missing, a string is wanted");
	assert_int_equal(json_want_str(top, "n", 3, &s, &err).kind, ERR_MALFORMED);
	assert_int_equal(json_want_str(NULL, "s", 3, &s, &err).kind, ERR_MALFORMED);
	s = STR("old");
	assert_int_equal(json_may_str(top, "gone", 3, &s, &err).kind, ERR_NONE);
	assert_int_equal(json_may_str(top, "n", 3, &s, &err).kind, ERR_NONE);
	assert_true(str_eq(s, STR("old")));
	assert_int_equal(json_may_str(top, "e", 3, &s, &err).kind, ERR_NONE);
	assert_int_equal(s.n, 0);
	assert_int_equal(json_may_str(top, "t", 3, &s, &err).kind, ERR_MALFORMED);
	assert_int_equal(json_may_str(NULL, "t", 3, &s, &err).kind, ERR_MALFORMED);
	assert_int_equal(json_want_i64(top, "i", -7, -7, &i, &err).kind, ERR_NONE);
	assert_int_equal(i, -7);
	assert_int_equal(json_want_i64(top, "i", -6, 9, &i, &err).kind, ERR_MALFORMED);
	assert_int_equal(json_want_i64(top, "i", -9, -8, &i, &err).kind, ERR_MALFORMED);
	assert_int_equal(json_want_i64(top, "r", 0, 9, &i, &err).kind, ERR_MALFORMED);
	assert_int_equal(json_may_bool(top, "gone", &b, &err).kind, ERR_NONE);
	assert_true(b);
	assert_int_equal(json_may_bool(top, "f", &b, &err).kind, ERR_NONE);
	assert_false(b);
	assert_int_equal(json_may_bool(top, "s", &b, &err).kind, ERR_MALFORMED);
	assert_int_equal(json_want_array(top, "a", 3, &v, &err).kind, ERR_NONE);
	assert_int_equal(json_want_array(top, "a", 2, &v, &err).kind, ERR_MALFORMED);
	assert_int_equal(json_want_array(top, "o", 2, &v, &err).kind, ERR_MALFORMED);
	assert_int_equal(json_want_object(top, "o", &v, &err).kind, ERR_NONE);
	assert_int_equal(json_want_object(top, "a", &v, &err).kind, ERR_MALFORMED);
}

static void members_that_are_not_known_are_named(void **state)
{
	(void)state;
	AUTO(json_auto) struct json *top = read_or_die("{\"a\":1,\"b\":2,\"z\\n\":3}");
	static const char *const all[] = { "b", "a", "z\n", NULL };
	static const char *const some[] = { "a", "b", NULL };
	static const char *const none[] = { NULL };
	struct err err = { 0 };
	assert_int_equal(json_only(top, all, &err).kind, ERR_NONE);
	assert_int_equal(json_only(top, some, &err).kind, ERR_MALFORMED);
	assert_non_null(strstr(err.detail, "\"z\\x0a\""));
	assert_int_equal(json_only(top, none, &err).kind, ERR_MALFORMED);
	assert_int_equal(json_only(NULL, all, &err).kind, ERR_MALFORMED);
}

struct seen {
	char keys[16];
	size_t n;
};

static fallible see(void *ctx, struct str key, const struct json *v, struct err *err)
{
	struct seen *seen = ctx;
	if (json_type(v) == JSON_BOOL)
		FAIL(err, ERR_REJECTED_IDENTIFIER, "stop here");
	seen->keys[seen->n++] = key.p[0];
	return OK;
}

static void members_come_in_the_order_of_the_text_until_one_fails(void **state)
{
	(void)state;
	AUTO(json_auto) struct json *top = read_or_die("{\"z\":1,\"a\":null,\"m\":[],\"b\":true,\"c\":2}");
	struct seen seen = { .n = 0 };
	struct err err = { 0 };
	assert_int_equal(json_each(top, see, &seen, &err).kind, ERR_REJECTED_IDENTIFIER);
	assert_string_equal(seen.keys, "zam");
	assert_int_equal(json_each(json_get(top, "m"), see, &seen, &err).kind, ERR_MALFORMED);
}

static int64_t fixed_now(void *ctx)
{
	(void)ctx;
	return -1;
}

/* One value of every byte, values that do not fit, and more pairs than a line has room for. */
static void json_log_lines_are_json_whatever_is_in_them(void **state)
{
	(void)state;
	const struct clock clk = { fixed_now, fixed_now, NULL };
	const struct log log = { .program = "cairn-test", .form = LOG_JSON, .fd = -1, .clock = &clk };
	char every[256];
	for (size_t i = 0; i < sizeof every; i++)
		every[i] = (char)i;
	struct err why = { 0 };
	err_set(&why, ERR_DNS, "\"%s\\", "quote");
	for (size_t len = 0; len < 1100; len += 7) {
		char fill[1100];
		memset(fill, len % 2 == 0 ? '"' : 'x', len);
		char out[LOG_LINE_MAX];
		const struct kv pairs[] = { KV_STR("every", str_n(every, sizeof every)),
					    KV_STR("a", str_n(fill, len)),
					    KV_STR("b", str_n(fill, len)),
					    KV_STR("c", str_n(fill, len)),
					    KV_ERR(&why),
					    KV_U64("n", len),
					    KV_STR("d", str_n(fill, len)),
					    { .kind = KV_END } };
		size_t n = log_render(&log, LOG_NOTICE, "an event", pairs, out);
		assert_int_equal(out[n - 1], '\n');
		for (size_t i = 0; i < n - 1; i++)
			assert_in_range(out[i], 0x20, 0x7e);
		AUTO(json_auto) struct json *top = NULL;
		struct err err = { 0 };
		if (FAILED(json_read(str_n(out, n), LOG_LINE_MAX, &top, &err)))
			fail_msg("%zu: %s", len, err.detail);
		struct str event = STR_NONE;
		assert_true(json_as_str(json_get(top, "event"), &event));
		assert_true(str_eq(event, STR("an event")));
		bool cut = false;
		assert_int_equal(json_may_bool(top, "cut", &cut, &err).kind, ERR_NONE);
		assert_true(cut || json_get(top, "d") != NULL);
		if (len == 0)
			assert_false(cut);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_text_of_nothing_but_values_is_refused),
		cmocka_unit_test(good_and_bad_texts_are_told_apart),
		cmocka_unit_test(depth_16_is_read_and_17_is_not),
		cmocka_unit_test(wide_is_not_deep),
		cmocka_unit_test(an_object_of_64_kib_is_read_and_the_limit_is_exact),
		cmocka_unit_test(errors_say_line_and_column),
		cmocka_unit_test(a_name_that_occurs_twice_is_found_in_an_object_of_any_size),
		cmocka_unit_test(runs_of_plain_bytes_end_where_the_first_other_one_stands),
		cmocka_unit_test(values_are_what_the_text_says),
		cmocka_unit_test(getters_name_the_key_and_what_was_wanted),
		cmocka_unit_test(members_that_are_not_known_are_named),
		cmocka_unit_test(members_come_in_the_order_of_the_text_until_one_fails),
		cmocka_unit_test(json_log_lines_are_json_whatever_is_in_them),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

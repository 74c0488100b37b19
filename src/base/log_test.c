/* SPDX-License-Identifier: Apache-2.0
 *
 * log_test.c: one event is one line, whatever a peer put into its values. That JSON lines are JSON is tested with
 * the parser, in codec/json_read_test.c.
 */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static int64_t fixed_now(void *ctx)
{
	(void)ctx;
	return INT64_C(1795313323007);
}

static const struct clock clk = { fixed_now, fixed_now, NULL };

static const struct log text_log = { .program = "cairn-api", .form = LOG_TEXT, .fd = -1, .clock = &clk };
static const struct log json_log = { .program = "cairn-api", .form = LOG_JSON, .fd = -1, .clock = &clk };

#define RENDER(log, out, level, event, ...) \
	log_render((log), (level), (event), (const struct kv[]){ __VA_ARGS__ __VA_OPT__(, ){ .kind = KV_END } }, (out))

static void expect_line(const char *out, size_t n, const char *want)
{
	assert_int_equal(n, strlen(want));
	assert_memory_equal(out, want, n);
}

static void a_text_line_has_time_level_event_and_pairs(void **state)
{
	(void)state;
	char out[LOG_LINE_MAX];
	size_t n =
		RENDER(&text_log, out, LOG_NOTICE, "order finalized", KV_Z("order", "abc"), KV_U64("names", 2),
		       KV_I64("left", INT64_MIN), KV_BOOL("wildcard", true), KV_Z("note", "two words"),
		       KV_Z("empty", ""), KV_Z("odd", "a\"b\\c\n\x1b[0m\xff"), KV_Z("eq", "a=b"), KV_Z("null", NULL));
	expect_line(out, n,
		    "02:08:43 notice  order finalized order=abc names=2 left=-9223372036854775808 wildcard=true "
		    "note=\"two words\" empty=\"\" odd=\"a\\\"b\\\\c\\x0a\\x1b[0m\\xff\" eq=\"a=b\" null=\"\"\n");
	n = RENDER(&text_log, out, LOG_WARNING, "x");
	expect_line(out, n, "02:08:43 warning x\n");
}

static void a_json_line_has_the_same(void **state)
{
	(void)state;
	char out[LOG_LINE_MAX];
	struct id id = { { 1, 0x7f, 0x22, 0xe2, 0x79, 0xb0, 0x7c, 0xc3, 0x98, 0xc4, 0xdc, 0x0c, 0x0c, 0x07, 0x39,
			   0x8f } };
	size_t n = RENDER(&json_log, out, LOG_ERROR, "order finalized", KV_ID("order", id), KV_U64("names", UINT64_MAX),
			  KV_BOOL("ok", false), KV_Z("odd", "a\"b\\c\n\xff"));
	char want[LOG_LINE_MAX];
	(void)snprintf(
		want, sizeof want,
		"{\"time\":\"2026-11-22T02:08:43.007Z\",\"level\":\"error\",\"program\":\"cairn-api\",\"pid\":%d,"
		"\"event\":\"order finalized\",\"order\":\"017f22e2-79b0-7cc3-98c4-dc0c0c07398f\","
		"\"names\":18446744073709551615,\"ok\":false,\"odd\":\"a\\\"b\\\\c\\\\x0a\\\\xff\"}\n",
		(int)getpid());
	expect_line(out, n, want);
}

static void an_error_is_its_kind_its_detail_and_its_cause_if_any(void **state)
{
	(void)state;
	char out[LOG_LINE_MAX];
	struct err err = { 0 };
	err_set(&err, ERR_BAD_CSR, "no names");
	size_t n = RENDER(&text_log, out, LOG_INFO, "refused", KV_ERR(&err));
	expect_line(out, n, "02:08:43 info    refused error=badCSR detail=\"no names\"\n");
	err_cause(&err, "asn1");
	n = RENDER(&text_log, out, LOG_INFO, "refused", KV_ERR(&err), KV_U64("n", 1));
	expect_line(out, n, "02:08:43 info    refused error=badCSR detail=\"no names\" cause=asn1 n=1\n");
}

static void one_long_value_is_cut_and_the_others_stay(void **state)
{
	(void)state;
	static char big[100000];
	char out[LOG_LINE_MAX];
	memset(big, '\n', sizeof big);
	const struct log *const logs[] = { &text_log, &json_log };
	for (size_t i = 0; i < ARRAY_LEN(logs); i++) {
		size_t n =
			RENDER(logs[i], out, LOG_INFO, "e", KV_STR("peer", str_n(big, sizeof big)), KV_U64("after", 7));
		assert_true(n < 1300);
		assert_int_equal(out[n - 1], '\n');
		assert_null(memchr(out, '\n', n - 1));
		out[n - 1] = '\0';
		assert_non_null(strstr(out, "x0a...\""));
		assert_non_null(strstr(out, i == 0 ? " after=7" : ",\"after\":7}"));
	}
}

static void a_line_that_is_too_long_says_that_it_was_cut(void **state)
{
	(void)state;
	static char big[2000];
	memset(big, 'x', sizeof big);
	struct str v = str_n(big, sizeof big);
	char out[LOG_LINE_MAX];
	const struct log *const logs[] = { &text_log, &json_log };
	for (size_t i = 0; i < ARRAY_LEN(logs); i++) {
		size_t n = RENDER(logs[i], out, LOG_INFO, "e", KV_STR("a", v), KV_STR("b", v), KV_STR("c", v),
				  KV_STR("d", v), KV_STR("e", v), KV_STR("f", v), KV_U64("g", 1));
		assert_true(n <= LOG_LINE_MAX);
		assert_null(memchr(out, '\n', n - 1));
		struct str line = str_n(out, n);
		assert_true(str_ends(line, i == 0 ? STR(" cut=true\n") : STR(",\"cut\":true}\n")));
	}
}

static size_t read_all(int fd, char *out, size_t cap)
{
	ssize_t n = read(fd, out, cap);
	assert_true(n >= 0);
	return (size_t)n;
}

static void lines_below_the_level_are_not_written_and_errno_survives(void **state)
{
	(void)state;
	int ends[2];
	assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
	struct log log = text_log;
	log.level = LOG_NOTICE;
	log.fd = ends[1];
	LOG(&log, LOG_INFO, "hidden");
	LOG(&log, LOG_NOTICE, "shown", KV_U64("n", 1));
	LOG(&log, LOG_ERROR, "also shown");
	LOG(NULL, LOG_ERROR, "no log at all");
	char out[LOG_LINE_MAX];
	size_t n = read_all(ends[0], out, sizeof out);
	expect_line(out, n, "02:08:43 notice  shown n=1\n02:08:43 error   also shown\n");
	(void)close(ends[0]);
	(void)close(ends[1]);
	log.fd = -1;
	errno = EDOM;
	LOG(&log, LOG_ERROR, "nowhere");
	assert_int_equal(errno, EDOM);
}

static void the_form_follows_the_descriptor(void **state)
{
	(void)state;
	int ends[2];
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(log_form_settle(LOG_AUTO, ends[1]), LOG_JSON);
	assert_int_equal(log_form_settle(LOG_TEXT, ends[1]), LOG_TEXT);
	(void)close(ends[0]);
	(void)close(ends[1]);
	int terminal = posix_openpt(O_RDWR | O_NOCTTY);
	assert_true(terminal >= 0);
	assert_int_equal(log_form_settle(LOG_AUTO, terminal), LOG_TEXT);
	assert_int_equal(log_form_settle(LOG_JSON, terminal), LOG_JSON);
	struct log log = { .program = "p", .form = LOG_AUTO, .fd = terminal, .clock = &clk };
	char out[LOG_LINE_MAX];
	expect_line(out, RENDER(&log, out, LOG_INFO, "x"), "02:08:43 info    x\n");
	(void)close(terminal);
}

static void levels_and_forms_are_read_by_name(void **state)
{
	(void)state;
	struct err err = { 0 };
	for (int i = 0; i < LOG_LEVEL_COUNT; i++) {
		enum log_level level = LOG_LEVEL_COUNT;
		assert_int_equal(log_level_read(str_z(log_level_name((enum log_level)i)), &level, &err).kind, ERR_NONE);
		assert_int_equal(level, i);
	}
	enum log_level level = LOG_INFO;
	assert_int_equal(log_level_read(STR("Notice"), &level, &err).kind, ERR_CONFIG);
	assert_non_null(strstr(err.detail, "debug, info, notice, warning, error"));
	assert_int_equal(log_level_read(STR(""), &level, &err).kind, ERR_CONFIG);
	assert_int_equal(level, LOG_INFO);
	enum log_form form = LOG_AUTO;
	assert_int_equal(log_form_read(STR("json"), &form, &err).kind, ERR_NONE);
	assert_int_equal(form, LOG_JSON);
	assert_int_equal(log_form_read(STR("xml"), &form, &err).kind, ERR_CONFIG);
	assert_string_equal(log_level_name(LOG_LEVEL_COUNT), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_text_line_has_time_level_event_and_pairs),
		cmocka_unit_test(a_json_line_has_the_same),
		cmocka_unit_test(an_error_is_its_kind_its_detail_and_its_cause_if_any),
		cmocka_unit_test(one_long_value_is_cut_and_the_others_stay),
		cmocka_unit_test(a_line_that_is_too_long_says_that_it_was_cut),
		cmocka_unit_test(lines_below_the_level_are_not_written_and_errno_survives),
		cmocka_unit_test(the_form_follows_the_descriptor),
		cmocka_unit_test(levels_and_forms_are_read_by_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

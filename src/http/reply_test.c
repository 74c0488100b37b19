/* SPDX-License-Identifier: Apache-2.0
 *
 * reply_test.c: replies as bytes.
 */
#include "http/reply.h"

#include <setjmp.h>

#include <cmocka.h>

static void dates_are_imf_fixdate(void **state)
{
	(void)state;
	static const struct {
		int64_t s;
		const char *text;
	} rows[] = {
		{ 0, "Thu, 01 Jan 1970 00:00:00 GMT" },
		{ 784111777, "Sun, 06 Nov 1994 08:49:37 GMT" },
		{ 1709164800, "Thu, 29 Feb 2024 00:00:00 GMT" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char out[HTTP_DATE_MAX];
		http_date(rows[i].s, out);
		assert_string_equal(out, rows[i].text);
	}
}

static void reply_is_written_for_its_status_and_method(void **state)
{
	(void)state;
	static const struct {
		int status;
		const char *type, *body;
		bool close, head_only;
		const char *want;
	} rows[] = {
		{ 200, "text/plain", "hello", false, false,
		  "HTTP/1.1 200 OK\r\nDate: D\r\nContent-Length: 5\r\nContent-Type: text/plain\r\nX: y\r\n\r\nhello" },
		{ 200, "text/plain", "hello", false, true,
		  "HTTP/1.1 200 OK\r\nDate: D\r\nContent-Length: 5\r\nContent-Type: text/plain\r\nX: y\r\n\r\n" },
		{ 201, NULL, "", true, false,
		  "HTTP/1.1 201 Created\r\nDate: D\r\nContent-Length: 0\r\nX: y\r\nConnection: close\r\n\r\n" },
		{ 204, "text/plain", "never sent", false, false, "HTTP/1.1 204 No Content\r\nDate: D\r\nX: y\r\n\r\n" },
		{ 304, NULL, "", false, false, "HTTP/1.1 304 Not Modified\r\nDate: D\r\nX: y\r\n\r\n" },
		{ 418, NULL, "", false, false, "HTTP/1.1 418 \r\nDate: D\r\nContent-Length: 0\r\nX: y\r\n\r\n" },
		{ 0, NULL, "", false, false,
		  "HTTP/1.1 500 Internal Server Error\r\nDate: D\r\nContent-Length: 0\r\nX: y\r\n\r\n" },
		{ 100, NULL, "", false, false,
		  "HTTP/1.1 500 Internal Server Error\r\nDate: D\r\nContent-Length: 0\r\nX: y\r\n\r\n" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(http_reply_done) struct http_reply r;
		AUTO(buf_done) struct buf out = BUF_MAX(4096);
		struct err err = { 0 };
		http_reply_init(&r);
		r.status = rows[i].status;
		r.content_type = rows[i].type;
		r.close = rows[i].close;
		assert_int_equal(buf_add(&r.body, str_z(rows[i].body), &err).kind, ERR_NONE);
		assert_int_equal(http_reply_header(&r, "X", STR("y"), &err).kind, ERR_NONE);
		assert_int_equal(reply_write(&r, rows[i].head_only, "D", &out, &err).kind, ERR_NONE);
		if (!str_eq(buf_str(&out), str_z(rows[i].want)))
			fail_msg("row %zu: %.*s", i, STR_FMT(buf_str(&out)));
	}
}

static void header_injection_is_our_own_bug_and_refused(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		struct str value;
	} rows[] = {
		{ "X", { "a\r\nSet-Cookie: b", 16 } },
		{ "X", { "a\nb", 3 } },
		{ "X", { "a\0b", 3 } },
		{ "X", { "\x7f", 1 } },
		{ "X\r\nY", { "a", 1 } },
		{ "", { "a", 1 } },
		{ "X Y", { "a", 1 } },
		{ "X:", { "a", 1 } },
	};
	AUTO(http_reply_done) struct http_reply r;
	http_reply_init(&r);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err = { 0 };
		assert_int_equal(http_reply_header(&r, rows[i].name, rows[i].value, &err).kind, ERR_INTERNAL);
		assert_int_equal(r.headers.n, 0);
	}
}

static void headers_over_the_limit_leave_no_half_line(void **state)
{
	(void)state;
	AUTO(http_reply_done) struct http_reply r;
	http_reply_init(&r);
	struct err err = { 0 };
	struct rc rc = OK;
	while (!FAILED(rc))
		rc = http_reply_header(&r, "Link", STR("<https://ca.test/directory>;rel=\"index\""), &err);
	assert_int_equal(rc.kind, ERR_TOO_LARGE);
	assert_true(str_ends(buf_str(&r.headers), STR("\"index\"\r\n")));
	assert_true(r.headers.n <= HTTP_REPLY_HEADERS_MAX);
}

static void headers_are_found_by_whole_name(void **state)
{
	(void)state;
	AUTO(http_reply_done) struct http_reply r;
	http_reply_init(&r);
	struct err err = { 0 };
	assert_int_equal(http_reply_header(&r, "X-Retry-After", STR("1"), &err).kind, ERR_NONE);
	assert_int_equal(http_reply_header(&r, "Retry-Aft", STR("Retry-After: 1"), &err).kind, ERR_NONE);
	assert_false(reply_has_header(&r, STR("Retry-After")));
	assert_int_equal(http_reply_header(&r, "retry-after", STR("5"), &err).kind, ERR_NONE);
	assert_true(reply_has_header(&r, STR("Retry-After")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dates_are_imf_fixdate),
		cmocka_unit_test(reply_is_written_for_its_status_and_method),
		cmocka_unit_test(header_injection_is_our_own_bug_and_refused),
		cmocka_unit_test(headers_over_the_limit_leave_no_half_line),
		cmocka_unit_test(headers_are_found_by_whole_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * chunked_test.c: the chunked coding, whole and cut at every place.
 */
#include "http/chunked.h"

#include <setjmp.h>
#include <stdlib.h>

#include <cmocka.h>

#define BODY_MAX 32

struct row {
	struct str in;
	int status;       /* 0: accepted; -1: more wanted */
	const char *body; /* when accepted */
	size_t rest;      /* bytes behind the end */
};
#define ROW(text, status, body, rest)                          \
	{                                                      \
		{ text, sizeof(text) - 1 }, status, body, rest \
	}

static const struct row table[] = {
	ROW("0\r\n\r\n", 0, "", 0),
	ROW("3\r\nabc\r\n0\r\n\r\n", 0, "abc", 0),
	ROW("3\r\nabc\r\n0\r\n\r\nGET", 0, "abc", 3),
	ROW("1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", 0, "abc", 0),
	ROW("A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", 0, "01234567890123456789", 0),
	ROW("0003\r\nabc\r\n000\r\n\r\n", 0, "abc", 0),
	ROW("3;x=y;z=\"q\"\r\nabc\r\n0;last\r\n\r\n", 0, "abc", 0),
	ROW("3\r\nabc\r\n0\r\nX-Sum: 1\r\nY:\r\n\r\n", 0, "abc", 0),
	ROW("3\r\nab", -1, NULL, 0),
	ROW("20\r\n01234567890123456789012345678901\r\n0\r\n\r\n", 0, "01234567890123456789012345678901", 0),
	ROW("21\r\n", 413, NULL, 0),
	ROW("1f\r\n0123456789012345678901234567890\r\n2\r\n", 413, NULL, 0),
	ROW("ffffffffffffffff\r\n", 413, NULL, 0),
	ROW("fffffffffffffffff\r\n", 400, NULL, 0),
	ROW("00000000000000003\r\n", 400, NULL, 0),
	ROW("-1\r\n", 400, NULL, 0),
	ROW("+1\r\n", 400, NULL, 0),
	ROW("0x1\r\n", 400, NULL, 0),
	ROW(" 1\r\n", 400, NULL, 0),
	ROW("1 \r\n", 400, NULL, 0),
	ROW("\r\n", 400, NULL, 0),
	ROW(";x\r\n", 400, NULL, 0),
	ROW("g\r\n", 400, NULL, 0),
	ROW("3\nabc", 400, NULL, 0),
	ROW("3\r\rabc", 400, NULL, 0),
	ROW("3\r\nabcd\r\n", 400, NULL, 0),
	ROW("3\r\nabc\n0\r\n\r\n", 400, NULL, 0),
	ROW("3\r\nabc\rX", 400, NULL, 0),
	ROW("3;a\nb\r\n", 400, NULL, 0),
	ROW("3;a\0b\r\n", 400, NULL, 0),
	ROW("0\r\n X: folded\r\n\r\n", 400, NULL, 0),
	ROW("0\r\nX : y\r\n\r\n", 400, NULL, 0),
	ROW("0\r\n: y\r\n\r\n", 400, NULL, 0),
	ROW("0\r\nX\r\n\r\n", 400, NULL, 0),
	ROW("0\r\nX: \x01\r\n\r\n", 400, NULL, 0),
	ROW("0\r\nX: y\n\r\n", 400, NULL, 0),
	ROW("0\r\n\n", 400, NULL, 0),
	ROW("0\r\n\rX", 400, NULL, 0),
};

static void check(const struct row *row, size_t i, size_t cut)
{
	AUTO(buf_done) struct buf body = BUF_MAX(BODY_MAX);
	struct chunked d = { 0 };
	struct err err = { 0 };
	int status = 0;
	bool done = false;
	size_t at = 0;
	for (size_t piece = 0; piece < 2 && status == 0 && !done; piece++) {
		size_t end = piece == 0 ? cut : row->in.n, used = 0;
		if (FAILED(chunked_feed(&d, str_sub(row->in, at, end), &body, &used, &done, &status, &err)))
			break;
		if (!done && used != end - at)
			fail_msg("row %zu cut %zu: wants more and leaves some", i, cut);
		at += used;
	}
	int got = status != 0 ? status : done ? 0 : -1;
	if (got != row->status)
		fail_msg("row %zu cut %zu: %d, wanted %d (%s)", i, cut, got, row->status, err.detail);
	if (got == 0 && (!str_eq(buf_str(&body), str_z(row->body)) || row->in.n - at != row->rest))
		fail_msg("row %zu cut %zu: body %.*s", i, cut, STR_FMT(buf_str(&body)));
}

static void every_row_cut_at_every_place(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		for (size_t cut = 0; cut <= table[i].in.n; cut++)
			check(&table[i], i, cut);
	}
}

/* Tiny chunks with long extensions, or endless trailers, must not make a small body long. */
static void extensions_and_trailers_share_one_limit(void **state)
{
	(void)state;
	static const struct {
		const char *first, *again;
	} rows[] = { { "", "1;eeeeeeeeeeeeeeee\r\nx\r\n" }, { "0\r\n", "X: tttttttttttttttt\r\n" } };
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(buf_done) struct buf body = BUF_MAX(1 << 20);
		struct chunked d = { 0 };
		struct err err = { 0 };
		int status = 0;
		bool done = false;
		size_t used = 0, sent = 0;
		struct rc rc = chunked_feed(&d, str_z(rows[i].first), &body, &used, &done, &status, &err);
		while (!FAILED(rc) && sent < 100000) {
			rc = chunked_feed(&d, str_z(rows[i].again), &body, &used, &done, &status, &err);
			sent += used;
		}
		assert_int_equal(rc.kind, ERR_MALFORMED);
		assert_int_equal(status, 400);
		assert_true(sent < 3 * CHUNKED_EXTRA_MAX);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_row_cut_at_every_place),
		cmocka_unit_test(extensions_and_trailers_share_one_limit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

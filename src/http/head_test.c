/* SPDX-License-Identifier: Apache-2.0
 *
 * head_test.c: the table of what a request head may look like, and with which status everything else is refused. The
 * first rows under "refused" are those that other servers were measured to accept.
 */
#include "http/http.h"

#include <setjmp.h>
#include <stdlib.h>

#include <cmocka.h>

#define H "Host: ca.test\r\n"

struct row {
	const char *what;
	struct str in;
	int status; /* 0: accepted */
};

/* Text with NULs needs its length, so rows are made with this. */
#define ROW(what, text, status)                          \
	{                                                \
		what, { text, sizeof(text) - 1 }, status \
	}

static const struct row table[] = {
	ROW("transfer-encoding and content-length",
	    "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", 400),
	ROW("content-length and transfer-encoding",
	    "POST / HTTP/1.1\r\n" H "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
	ROW("two different lengths", "POST / HTTP/1.1\r\n" H "Content-Length: 3\r\nContent-Length: 4\r\n\r\n", 400),
	ROW("two equal lengths", "POST / HTTP/1.1\r\n" H "Content-Length: 3\r\nContent-Length: 3\r\n\r\n", 400),
	ROW("list of lengths", "POST / HTTP/1.1\r\n" H "Content-Length: 3, 3\r\n\r\n", 400),
	ROW("plus sign", "POST / HTTP/1.1\r\n" H "Content-Length: +3\r\n\r\n", 400),
	ROW("minus sign", "POST / HTTP/1.1\r\n" H "Content-Length: -3\r\n\r\n", 400),
	ROW("hex length", "POST / HTTP/1.1\r\n" H "Content-Length: 0x3\r\n\r\n", 400),
	ROW("octal looks", "POST / HTTP/1.1\r\n" H "Content-Length: 010\r\n\r\n", 400),
	ROW("empty length", "POST / HTTP/1.1\r\n" H "Content-Length:\r\n\r\n", 400),
	ROW("length with a blank inside", "POST / HTTP/1.1\r\n" H "Content-Length: 3 3\r\n\r\n", 400),
	ROW("length beyond 64 bits", "POST / HTTP/1.1\r\n" H "Content-Length: 18446744073709551619\r\n\r\n", 413),
	ROW("blank before the colon", "POST / HTTP/1.1\r\n" H "Content-Length : 38\r\n\r\n", 400),
	ROW("tab before the colon", "POST / HTTP/1.1\r\n" H "Transfer-Encoding\t: chunked\r\n\r\n", 400),
	ROW("chunked twice", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked, chunked\r\n\r\n", 400),
	ROW("two transfer-encodings",
	    "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
	ROW("chunked not last", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked, gzip\r\n\r\n", 400),
	ROW("identity", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: identity\r\n\r\n", 400),
	ROW("almost chunked", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: xchunked\r\n\r\n", 400),
	ROW("quoted chunked", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: \"chunked\"\r\n\r\n", 400),
	ROW("vertical tab chunked", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: \vchunked\r\n\r\n", 400),
	ROW("empty transfer-encoding", "POST / HTTP/1.1\r\n" H "Transfer-Encoding:\r\n\r\n", 400),
	ROW("gzip, then chunked", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n", 501),
	ROW("chunked in 1.0", "POST / HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n\r\n", 400),
	ROW("unknown expectation", "POST / HTTP/1.1\r\n" H "Expect: 200-ok\r\n\r\n", 417),
	/* refused: lines */
	ROW("NUL in a value", "GET / HTTP/1.1\r\n" H "X: a\0b\r\n\r\n", 400),
	ROW("NUL in a name", "GET / HTTP/1.1\r\n" H "X\0Y: a\r\n\r\n", 400),
	ROW("NUL in the target", "GET /\0 HTTP/1.1\r\n" H "\r\n", 400),
	ROW("escape sequence in a value", "GET / HTTP/1.1\r\n" H "User-Agent: \x1b[2J\r\n\r\n", 400),
	ROW("DEL in a value", "GET / HTTP/1.1\r\n" H "X: \x7f\r\n\r\n", 400),
	ROW("empty name", "GET / HTTP/1.1\r\n" H ": x\r\n\r\n", 400),
	ROW("line without a colon", "GET / HTTP/1.1\r\n" H "nonsense\r\n\r\n", 400),
	ROW("bare LF at once", "GET / HTTP/1.1\n", 400),
	ROW("bare LF in a field", "GET / HTTP/1.1\r\n" H "X: a\nY: b\r\n\r\n", 400),
	ROW("bare LF as the empty line", "GET / HTTP/1.1\r\n" H "\n", 400),
	ROW("bare CR in a value", "GET / HTTP/1.1\r\n" H "X: a\rb\r\n\r\n", 400),
	ROW("CR CR LF", "GET / HTTP/1.1\r\n" H "X: a\r\r\n\r\n", 400),
	ROW("obs-fold with a blank", "GET / HTTP/1.1\r\n" H "X: a\r\n b\r\n\r\n", 400),
	ROW("obs-fold with a tab", "GET / HTTP/1.1\r\n" H "X: a\r\n\tb\r\n\r\n", 400),
	ROW("blank before the first field", "GET / HTTP/1.1\r\n " H "\r\n", 400),
	ROW("name with a bracket", "GET / HTTP/1.1\r\n" H "X(: a\r\n\r\n", 400),
	ROW("name beyond ASCII", "GET / HTTP/1.1\r\n" H "X\xc3\xa4: a\r\n\r\n", 400),
	/* refused: host */
	ROW("no host", "GET / HTTP/1.1\r\n\r\n", 400),
	ROW("no host in 1.0", "GET / HTTP/1.0\r\n\r\n", 400),
	ROW("two hosts", "GET / HTTP/1.1\r\n" H H "\r\n", 400),
	ROW("empty host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", 400),
	ROW("host with userinfo", "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", 400),
	ROW("host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
	ROW("host with a comma", "GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", 400),
	ROW("host with a blank", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
	ROW("host with letters for a port", "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", 400),
	ROW("host with a long port", "GET / HTTP/1.1\r\nHost: a:123456\r\n\r\n", 400),
	ROW("only a port", "GET / HTTP/1.1\r\nHost: :80\r\n\r\n", 400),
	ROW("open bracket", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400),
	ROW("bracketed name", "GET / HTTP/1.1\r\nHost: [name]\r\n\r\n", 400),
	/* refused: request line */
	ROW("absolute form", "GET http://ca.test/ HTTP/1.1\r\n" H "\r\n", 400),
	ROW("authority form", "CONNECT ca.test:443 HTTP/1.1\r\n" H "\r\n", 400),
	ROW("asterisk form", "OPTIONS * HTTP/1.1\r\n" H "\r\n", 400),
	ROW("fragment", "GET /a#b HTTP/1.1\r\n" H "\r\n", 400),
	ROW("two blanks", "GET  / HTTP/1.1\r\n" H "\r\n", 400),
	ROW("blank at the end", "GET / HTTP/1.1 \r\n" H "\r\n", 400),
	ROW("tab for a blank", "GET\t/ HTTP/1.1\r\n" H "\r\n", 400),
	ROW("HTTP/0.9", "GET /\r\n\r\n", 400),
	ROW("no method", " / HTTP/1.1\r\n" H "\r\n", 400),
	ROW("method with a colon", "GE:T / HTTP/1.1\r\n" H "\r\n", 400),
	ROW("lower-case protocol", "GET / http/1.1\r\n" H "\r\n", 400),
	ROW("long version", "GET / HTTP/1.10\r\n" H "\r\n", 400),
	ROW("HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
	ROW("HTTP/3.0", "GET / HTTP/3.0\r\n" H "\r\n", 505),
	ROW("dot segment", "GET /a/../b HTTP/1.1\r\n" H "\r\n", 400),
	ROW("single dot", "GET /./b HTTP/1.1\r\n" H "\r\n", 400),
	ROW("dot at the end", "GET /a/.. HTTP/1.1\r\n" H "\r\n", 400),
	ROW("escaped dots", "GET /%2e%2e/b HTTP/1.1\r\n" H "\r\n", 400),
	ROW("half escaped dots", "GET /a/.%2E HTTP/1.1\r\n" H "\r\n", 400),
	ROW("dots before a query", "GET /a/..?x HTTP/1.1\r\n" H "\r\n", 400),
	ROW("escaped NUL", "GET /a%00 HTTP/1.1\r\n" H "\r\n", 400),
	ROW("escaped CRLF in the query", "GET /?a=%0d%0aX HTTP/1.1\r\n" H "\r\n", 400),
	ROW("damaged escape", "GET /%zz HTTP/1.1\r\n" H "\r\n", 400),
	ROW("cut escape", "GET /%2 HTTP/1.1\r\n" H "\r\n", 400),
	ROW("backslash", "GET /a\\b HTTP/1.1\r\n" H "\r\n", 400),
	ROW("eight bits in the target", "GET /\xc3\xa4 HTTP/1.1\r\n" H "\r\n", 400),
	ROW("two empty lines first", "\r\n\r\nGET / HTTP/1.1\r\n" H "\r\n", 400),
	/* refused: repeats of what must be one */
	ROW("two content-types", "POST / HTTP/1.1\r\n" H "Content-Type: a/b\r\nContent-Type: a/b\r\n\r\n", 400),
	ROW("two expects", "POST / HTTP/1.1\r\n" H "Expect: 100-continue\r\nExpect: 100-continue\r\n\r\n", 400),
	/* accepted */
	ROW("plain", "GET /directory HTTP/1.1\r\n" H "\r\n", 0),
	ROW("one empty line first", "\r\nGET / HTTP/1.1\r\n" H "\r\n", 0),
	ROW("1.0", "GET / HTTP/1.0\r\n" H "\r\n", 0),
	ROW("higher minor version", "GET / HTTP/1.2\r\n" H "\r\n", 0),
	ROW("no blank after the colon", "GET / HTTP/1.1\r\nHost:ca.test\r\n\r\n", 0),
	ROW("host in brackets with port", "GET / HTTP/1.1\r\nHost: [2001:db8::1]:14000\r\n\r\n", 0),
	ROW("host with port", "GET / HTTP/1.1\r\nHost: 192.0.2.1:443\r\n\r\n", 0),
	ROW("names in any case", "POST / HTTP/1.1\r\nhOST: a\r\ncONTENT-lENGTH: 3\r\n\r\n", 0),
	ROW("chunked in any case", "POST / HTTP/1.1\r\n" H "Transfer-Encoding:\tChunKed \r\n\r\n", 0),
	ROW("length zero", "POST / HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n", 0),
	ROW("unknown method", "BREW /pot HTTP/1.1\r\n" H "\r\n", 0),
	ROW("lower-case method is another", "get / HTTP/1.1\r\n" H "\r\n", 0),
	ROW("empty value", "GET / HTTP/1.1\r\n" H "X:\r\n\r\n", 0),
	ROW("obs-text value", "GET / HTTP/1.1\r\n" H "User-Agent: caf\xe9\r\n\r\n", 0),
	ROW("dots inside of a name", "GET /a..b/.well-known/... HTTP/1.1\r\n" H "\r\n", 0),
	ROW("escaped slash", "GET /ocsp/MFQ%2BMFA%3D%2F HTTP/1.1\r\n" H "\r\n", 0),
	ROW("question mark in the query", "GET /a?b?c=/d HTTP/1.1\r\n" H "\r\n", 0),
	ROW("accept-language twice", "GET / HTTP/1.1\r\n" H "Accept-Language: de\r\nAccept-Language: en\r\n\r\n", 0),
};

struct result {
	struct rc rc;
	struct err err;
	struct http_head head;
	size_t used;
	int status;
};

static struct result read_head(struct arena *mem, struct str in)
{
	struct result r = { 0 };
	r.rc = http_head_read(mem, in, &http_limits_default, &r.head, &r.used, &r.status, &r.err);
	return r;
}

static void every_row_of_the_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		AUTO(arena_done) struct arena mem = { 0 };
		struct result r = read_head(&mem, table[i].in);
		int got = r.rc.kind == ERR_NONE ? 0 : r.status;
		if (got != table[i].status || (got == 0 && r.used != table[i].in.n))
			fail_msg("%s: status %d, used %zu, wanted %d", table[i].what, got, r.used, table[i].status);
		if (got != 0 && r.err.detail[0] == '\0')
			fail_msg("%s: refused without a word", table[i].what);
	}
}

/* However the bytes are cut, no prefix is accepted, and the verdict is the same in the end. */
static void prefixes_want_more_or_are_refused_alike(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		for (size_t n = 0; n < table[i].in.n; n++) {
			AUTO(arena_done) struct arena mem = { 0 };
			/* a copy of its own size, so that the sanitizer sees a look beyond the end */
			char *copy = mem_alloc(n + 1);
			memcpy(copy, table[i].in.p, n);
			struct result r = read_head(&mem, str_n(copy, n));
			if (FAILED(r.rc) && r.status != table[i].status)
				fail_msg("%s: status %d after %zu bytes", table[i].what, r.status, n);
			if (!FAILED(r.rc) && r.used != 0)
				fail_msg("%s: accepted after %zu bytes", table[i].what, n);
			free(copy);
		}
	}
}

static void fields_are_handed_over(void **state)
{
	(void)state;
	AUTO(arena_done) struct arena mem = { 0 };
	const struct str in = STR("POST /acme/new-order?a=b HTTP/1.1\r\n"
				  "Host: ca.test:14000\r\n"
				  "User-Agent:  certbot/2.1 \t\r\n"
				  "Accept-Language: de, en;q=0.5\r\n"
				  "Content-Type: Application/JOSE+json ; charset=utf-8\r\n"
				  "Content-Encoding: gzip\r\n"
				  "Origin: https://x.test\r\n"
				  "Connection: foo, Close\r\n"
				  "Expect: 100-Continue\r\n"
				  "Content-Length: 12\r\n\r\n"
				  "the body is not the head's");
	struct result r = read_head(&mem, in);
	assert_int_equal(r.rc.kind, ERR_NONE);
	assert_int_equal(r.used, str_find(in, 't', in.n - 26));
	const struct http_request *q = &r.head.rq;
	assert_int_equal(q->method, HTTP_POST);
	assert_true(str_eq(q->method_text, STR("POST")));
	assert_true(str_eq(q->target, STR("/acme/new-order?a=b")));
	assert_true(str_eq(q->path, STR("/acme/new-order")));
	assert_true(str_eq(q->query, STR("a=b")));
	assert_true(str_eq(q->host, STR("ca.test:14000")));
	assert_true(str_eq(q->user_agent, STR("certbot/2.1")));
	assert_true(str_eq(q->accept_language, STR("de, en;q=0.5")));
	assert_true(str_eq(q->content_type, STR("application/jose+json")));
	assert_true(str_eq(q->content_encoding, STR("gzip")));
	assert_true(str_eq(q->origin, STR("https://x.test")));
	assert_ptr_equal(q->mem, &mem);
	assert_true(r.head.has_length && r.head.content_length == 12);
	assert_true(r.head.expect_continue);
	assert_false(r.head.keep_alive);
	assert_false(r.head.chunked);
}

static void absent_is_told_from_empty(void **state)
{
	(void)state;
	AUTO(arena_done) struct arena mem = { 0 };
	struct result r = read_head(&mem, STR("GET /a HTTP/1.1\r\n" H "\r\n"));
	assert_null(r.head.rq.query.p);
	assert_null(r.head.rq.content_type.p);
	assert_false(r.head.has_length);
	assert_true(r.head.keep_alive);
	r = read_head(&mem, STR("GET /a? HTTP/1.1\r\n" H "Content-Type:\r\n\r\n"));
	assert_non_null(r.head.rq.query.p);
	assert_int_equal(r.head.rq.query.n, 0);
	assert_non_null(r.head.rq.content_type.p);
	assert_int_equal(r.head.rq.content_type.n, 0);
}

static void methods_are_known_by_name(void **state)
{
	(void)state;
	for (int m = 0; m < HTTP_OTHER; m++) {
		AUTO(arena_done) struct arena mem = { 0 };
		struct str in = str_fmt(&mem, "%s / HTTP/1.1\r\n" H "\r\n", http_method_name((enum http_method)m));
		assert_int_equal(read_head(&mem, in).head.rq.method, m);
	}
	AUTO(arena_done) struct arena mem = { 0 };
	struct result r = read_head(&mem, STR("PROPFIND / HTTP/1.1\r\n" H "\r\n"));
	assert_int_equal(r.head.rq.method, HTTP_OTHER);
	assert_true(str_eq(r.head.rq.method_text, STR("PROPFIND")));
}

static void one_dot_zero_closes_and_meets_no_expectation(void **state)
{
	(void)state;
	AUTO(arena_done) struct arena mem = { 0 };
	struct result r = read_head(&mem, STR("POST / HTTP/1.0\r\n" H "Connection: keep-alive\r\n"
					      "Expect: 100-continue\r\nContent-Length: 1\r\n\r\n"));
	assert_int_equal(r.rc.kind, ERR_NONE);
	assert_false(r.head.keep_alive);
	assert_false(r.head.expect_continue);
}

/* A request of `line` bytes of target and `count` fields of `each` bytes, whole or without its end. */
static struct result sized(struct arena *mem, size_t line, unsigned count, size_t each, bool whole)
{
	AUTO(buf_done) struct buf b = BUF_MAX(1 << 20);
	struct err err = { 0 };
	assert_false(FAILED(buf_add(&b, STR("GET /"), &err)));
	for (size_t i = 1; i < line; i++)
		assert_false(FAILED(buf_add_char(&b, 'a', &err)));
	assert_false(FAILED(buf_add(&b, STR(" HTTP/1.1\r\n" H), &err)));
	for (unsigned i = 0; i < count; i++) {
		assert_false(FAILED(buf_add(&b, STR("X: "), &err)));
		for (size_t k = 0; k < each; k++)
			assert_false(FAILED(buf_add_char(&b, 'b', &err)));
		assert_false(FAILED(buf_add(&b, STR("\r\n"), &err)));
	}
	if (whole)
		assert_false(FAILED(buf_add(&b, STR("\r\n"), &err)));
	struct result r = read_head(mem, str_dup(mem, buf_str(&b)));
	if (r.rc.kind == ERR_NONE)
		r.status = 0;
	return r;
}

static void limits_hold_for_whole_and_for_unfinished_heads(void **state)
{
	(void)state;
	static const struct {
		size_t line;
		unsigned count;
		size_t each;
		bool whole;
		int status;
	} limits[] = {
		{ 1, 99, 1, true, 0 },         { 1, 100, 1, true, 431 },    { 16000, 1, 1, true, 0 },
		{ 17000, 0, 0, true, 414 },    { 17000, 0, 0, false, 414 }, { 1, 3, 8000, true, 431 },
		{ 1, 3, 8000, false, 431 },    { 1, 1, 16000, true, 0 },    { 1, 1, 16384, false, 431 },
		{ 12000, 1, 5000, true, 431 },
	};
	for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
		AUTO(arena_done) struct arena mem = { 0 };
		struct result r = sized(&mem, limits[i].line, limits[i].count, limits[i].each, limits[i].whole);
		if (r.status != limits[i].status)
			fail_msg("row %zu: status %d, wanted %d", i, r.status, limits[i].status);
		assert_true(r.status == 0 || r.rc.kind == ERR_TOO_LARGE);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_row_of_the_table),
		cmocka_unit_test(prefixes_want_more_or_are_refused_alike),
		cmocka_unit_test(fields_are_handed_over),
		cmocka_unit_test(absent_is_told_from_empty),
		cmocka_unit_test(methods_are_known_by_name),
		cmocka_unit_test(one_dot_zero_closes_and_meets_no_expectation),
		cmocka_unit_test(limits_hold_for_whole_and_for_unfinished_heads),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * head.c: the request line and the header fields (RFC 9112 2-6), strictly: whatever two readers of the same bytes could
 * understand differently is refused, since a proxy in front may be the other reader (THREATS A74).
 */
#include "http/http.h"

#include "http/chars.h"

#include <assert.h>

static const char *const method_names[] = {
	[HTTP_GET] = "GET",         [HTTP_HEAD] = "HEAD",   [HTTP_POST] = "POST",
	[HTTP_OPTIONS] = "OPTIONS", [HTTP_OTHER] = "OTHER",
};
static_assert(ARRAY_LEN(method_names) == HTTP_METHOD_COUNT, "name them all");

const char *http_method_name(enum http_method m)
{
	return method_names[m];
}

const struct http_limits http_limits_default = {
	.head_max = 16 * 1024,
	.body_max = 50000,
	.header_count_max = 100,
	.connections_max = 10000,
	.connections_per_ip = 0,
	.requests_per_connection = 1000,
	.handshake_ms = 10 * 1000,
	.head_ms = 10 * 1000,
	.body_ms = 20 * 1000,
	.idle_ms = 60 * 1000,
	.write_ms = 30 * 1000,
	.queue_ms = 2000,
	.queue_begin_ms = 500,
	.buffered_max = (size_t)32 << 20,
	.parked_max = (size_t)16 << 20,
};

/* One head being read. seen: bit i for row i of the field table. */
struct parse {
	const struct http_limits *limits;
	struct http_head *h;
	struct str content_type; /* as sent, without parameters */
	bool http_1_0;
	uint32_t seen;
	unsigned field_count;
	int *ret_status;
};

#define REFUSE(ps, st, err, ...)                                                                                   \
	do {                                                                                                       \
		*(ps)->ret_status = (st);                                                                          \
		FAIL(err, (st) == 413 || (st) == 414 || (st) == 431 ? ERR_TOO_LARGE : ERR_MALFORMED, __VA_ARGS__); \
	} while (0)

/* --- request line ------------------------------------------------------------------------------------------------ */

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The byte at *i of a path or query, percent-decoded; *i moves past it. -1: not a URI's character (RFC 3986 3.3, 3.4),
 * a damaged escape, or an escaped control byte. */
static int uri_byte(struct str s, size_t *i)
{
	char c = s.p[(*i)++];
	if (c != '%')
		return char_is(c, CHAR_URI) ? c : -1;
	if (s.n - *i < 2)
		return -1;
	int hi = hex_value(s.p[*i]), lo = hex_value(s.p[*i + 1]);
	if (hi < 0 || lo < 0)
		return -1;
	*i += 2;
	int v = hi * 16 + lo;
	return v < 0x20 || v == 0x7f ? -1 : v;
}

/* "." and ".." as segments, plain or escaped, name another path than the bytes say (RFC 3986 6.2.2). */
static fallible read_path(struct parse *ps, struct str path, struct err *err)
{
	size_t dots = 0, others = 0;
	for (size_t i = 0; i <= path.n;) {
		bool end = i == path.n || path.p[i] == '/';
		if (end && others == 0 && (dots == 1 || dots == 2))
			REFUSE(ps, 400, err, "the request target has a dot segment");
		if (end) {
			dots = others = 0;
			i++;
			continue;
		}
		int c = uri_byte(path, &i);
		if (c < 0 || c == '?')
			REFUSE(ps, 400, err, "the request target has a byte that is not allowed in a path");
		if (c == '.')
			dots++;
		else
			others++;
	}
	ps->h->rq.path = path;
	return OK;
}

static fallible read_target(struct parse *ps, struct str target, struct err *err)
{
	if (target.n == 0 || target.p[0] != '/')
		REFUSE(ps, 400, err, "the request target is not in origin form: it must begin with a slash");
	ps->h->rq.target = target;
	size_t mark = str_find(target, '?', 0);
	TRY(read_path(ps, str_sub(target, 0, mark), err));
	if (mark == target.n)
		return OK;
	struct str query = str_sub(target, mark + 1, target.n);
	for (size_t i = 0; i < query.n;) {
		if (uri_byte(query, &i) < 0)
			REFUSE(ps, 400, err, "the request target has a byte that is not allowed in a query");
	}
	/* an empty query is there all the same: p says so */
	ps->h->rq.query = (struct str){ target.p + mark + 1, query.n };
	return OK;
}

/* RFC 9112 2.3: HTTP-version is case-sensitive, one digit each. A higher minor version is answered as 1.1. */
static fallible read_version(struct parse *ps, struct str v, struct err *err)
{
	if (v.n != 8 || !str_starts(v, STR("HTTP/")) || !char_is(v.p[5], CHAR_DIGIT) || v.p[6] != '.' ||
	    !char_is(v.p[7], CHAR_DIGIT))
		REFUSE(ps, 400, err, "the request line does not end in an HTTP version");
	if (v.p[5] != '1')
		REFUSE(ps, 505, err, "HTTP version %c.%c is not served, 1.1 is", v.p[5], v.p[7]);
	ps->http_1_0 = v.p[7] == '0';
	ps->h->keep_alive = !ps->http_1_0;
	return OK;
}

static fallible read_method(struct parse *ps, struct str m, struct err *err)
{
	if (m.n == 0 || !chars_all(m, CHAR_TOKEN))
		REFUSE(ps, 400, err, "the request line does not begin with a method");
	ps->h->rq.method = HTTP_OTHER;
	ps->h->rq.method_text = m;
	for (int i = 0; i < HTTP_OTHER; i++) {
		if (str_eq(m, str_z(method_names[i])))
			ps->h->rq.method = (enum http_method)i;
	}
	return OK;
}

static fallible read_request_line(struct parse *ps, struct str line, struct err *err)
{
	size_t a = str_find(line, ' ', 0);
	size_t b = str_find(line, ' ', a + 1);
	if (a == line.n || b >= line.n || str_find(line, ' ', b + 1) != line.n)
		REFUSE(ps, 400, err, "the request line is not: method, one space, target, one space, version");
	TRY(read_method(ps, str_sub(line, 0, a), err));
	/* the version first: another protocol's target may look like anything */
	TRY(read_version(ps, str_sub(line, b + 1, line.n), err));
	return read_target(ps, str_sub(line, a + 1, b), err);
}

/* --- fields ------------------------------------------------------------------------------------------------------ */

/* uri-host [ ":" port ], a subset: a name or an IPv4 address, or an IPv6 address in brackets. */
static fallible on_host(struct parse *ps, struct str v, struct err *err)
{
	size_t end = v.n > 0 && v.p[0] == '[' ? str_find(v, ']', 0) + 1 : str_find(v, ':', 0);
	struct str host = str_sub(v, 0, end), rest = str_sub(v, end, v.n);
	bool ok = host.n > 0 && v.n <= 261;
	if (ok && host.p[0] == '[')
		ok = end <= v.n && host.n > 4 && chars_all(str_sub(host, 1, host.n - 1), CHAR_IPV6);
	else
		ok = ok && chars_all(host, CHAR_HOST);
	if (rest.n > 0)
		ok = ok && rest.p[0] == ':' && rest.n >= 2 && rest.n <= 6 &&
		     chars_all(str_sub(rest, 1, rest.n), CHAR_DIGIT);
	if (!ok)
		REFUSE(ps, 400, err, "the Host field is not a host and an optional port");
	ps->h->rq.host = v;
	return OK;
}

static fallible on_content_length(struct parse *ps, struct str v, struct err *err)
{
	if (v.n == 0 || !chars_all(v, CHAR_DIGIT))
		REFUSE(ps, 400, err, "Content-Length is not a plain decimal number");
	/* 08 is eight to one reader and an error to the next */
	if (v.n > 1 && v.p[0] == '0')
		REFUSE(ps, 400, err, "Content-Length has a leading zero");
	if (v.n > 18)
		REFUSE(ps, 413, err, "the body is over the limit of %zu bytes", ps->limits->body_max);
	for (size_t i = 0; i < v.n; i++)
		ps->h->content_length = ps->h->content_length * 10 + (uint64_t)(v.p[i] - '0');
	ps->h->has_length = true;
	return OK;
}

/* Calls fn for each member of a comma-separated list; empty members are skipped (RFC 9110 5.6.1.2). */
static void each_member(struct str v, void (*fn)(void *ctx, struct str member), void *ctx)
{
	for (size_t i = 0; i <= v.n;) {
		size_t end = str_find(v, ',', i);
		struct str member = str_trim(str_sub(v, i, end));
		if (member.n > 0)
			fn(ctx, member);
		i = end + 1;
	}
}

struct codings {
	unsigned count, chunked;
	bool chunked_last;
};

static void count_coding(void *ctx, struct str member)
{
	struct codings *c = ctx;
	c->count++;
	c->chunked_last = str_eq_nocase(member, STR("chunked"));
	c->chunked += c->chunked_last;
}

/* RFC 9112 6.1, 6.3: chunked once and last, or the body's end cannot be known. Other codings are not implemented. */
static fallible on_transfer_encoding(struct parse *ps, struct str v, struct err *err)
{
	struct codings c = { 0 };
	each_member(v, count_coding, &c);
	if (!c.chunked_last || c.chunked != 1)
		REFUSE(ps, 400, err, "Transfer-Encoding does not end in chunked, once");
	if (c.count != 1)
		REFUSE(ps, 501, err, "no transfer coding but chunked is implemented");
	ps->h->chunked = true;
	return OK;
}

static void look_for_close(void *ctx, struct str member)
{
	struct http_head *h = ctx;
	if (str_eq_nocase(member, STR("close")))
		h->keep_alive = false;
}

static fallible on_connection(struct parse *ps, struct str v, struct err *err)
{
	(void)err;
	each_member(v, look_for_close, ps->h);
	return OK;
}

static fallible on_expect(struct parse *ps, struct str v, struct err *err)
{
	if (!str_eq_nocase(v, STR("100-continue")))
		REFUSE(ps, 417, err, "the only expectation that is met is 100-continue");
	ps->h->expect_continue = true;
	return OK;
}

static fallible on_content_type(struct parse *ps, struct str v, struct err *err)
{
	(void)err;
	ps->content_type = str_trim(str_sub(v, 0, str_find(v, ';', 0)));
	return OK;
}

static fallible on_content_encoding(struct parse *ps, struct str v, struct err *err)
{
	(void)err;
	ps->h->rq.content_encoding = v;
	return OK;
}

static fallible on_user_agent(struct parse *ps, struct str v, struct err *err)
{
	(void)err;
	ps->h->rq.user_agent = v;
	return OK;
}

static fallible on_accept_language(struct parse *ps, struct str v, struct err *err)
{
	(void)err;
	if (ps->h->rq.accept_language.p == NULL)
		ps->h->rq.accept_language = v;
	return OK;
}

static fallible on_origin(struct parse *ps, struct str v, struct err *err)
{
	(void)err;
	ps->h->rq.origin = v;
	return OK;
}

/* What we read; all other fields are checked for their form and passed over. */
static const struct field {
	struct str name;
	bool list; /* may come more than once (RFC 9110 5.3) */
	fallible (*read)(struct parse *ps, struct str value, struct err *err);
} fields[] = {
	{ { "host", 4 }, false, on_host },
	{ { "content-length", 14 }, false, on_content_length },
	{ { "transfer-encoding", 17 }, false, on_transfer_encoding },
	{ { "connection", 10 }, true, on_connection },
	{ { "expect", 6 }, false, on_expect },
	{ { "content-type", 12 }, false, on_content_type },
	{ { "content-encoding", 16 }, false, on_content_encoding },
	{ { "user-agent", 10 }, false, on_user_agent },
	{ { "accept-language", 15 }, true, on_accept_language },
	{ { "origin", 6 }, false, on_origin },
};
static_assert(ARRAY_LEN(fields) <= 32, "seen has a bit for each");

static fallible read_known(struct parse *ps, struct str name, struct str value, struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		if (!str_eq_nocase(name, fields[i].name))
			continue;
		if ((ps->seen & (1u << i)) != 0 && !fields[i].list)
			REFUSE(ps, 400, err, "the field %s comes twice", fields[i].name.p);
		ps->seen |= 1u << i;
		return fields[i].read(ps, value, err);
	}
	return OK;
}

static fallible read_field(struct parse *ps, struct str line, struct err *err)
{
	if (++ps->field_count > ps->limits->header_count_max)
		REFUSE(ps, 431, err, "the request has more than %u header fields", ps->limits->header_count_max);
	/* RFC 9112 5.2 */
	if (line.p[0] == ' ' || line.p[0] == '\t')
		REFUSE(ps, 400, err, "a header field is folded over several lines");
	size_t colon = str_find(line, ':', 0);
	struct str name = str_sub(line, 0, colon);
	/* RFC 9112 5.1: also no blank before the colon, which would hide the field from some readers */
	if (colon == line.n || name.n == 0 || !chars_all(name, CHAR_TOKEN))
		REFUSE(ps, 400, err, "a header line is not: name, colon, value");
	struct str value = str_sub(line, colon + 1, line.n);
	if (!chars_all(value, CHAR_FIELD))
		REFUSE(ps, 400, err, "a header value holds a control byte");
	struct str trimmed = str_trim(value);
	/* an empty value is there all the same: p says so */
	return read_known(ps, name, trimmed.n == 0 ? (struct str){ line.p + colon + 1, 0 } : trimmed, err);
}

/* --- the whole --------------------------------------------------------------------------------------------------- */

static fallible finish(struct parse *ps, struct arena *mem, struct err *err)
{
	if (ps->h->rq.host.p == NULL)
		REFUSE(ps, 400, err, "the request has no Host field");
	/* RFC 9112 6.1, 6.3: both are how a request is smuggled past a proxy; and 1.0 knows no chunks */
	if (ps->h->chunked && ps->h->has_length)
		REFUSE(ps, 400, err, "the request has both Transfer-Encoding and Content-Length");
	if (ps->h->chunked && ps->http_1_0)
		REFUSE(ps, 400, err, "an HTTP/1.0 request has Transfer-Encoding");
	/* RFC 9110 10.1.1 */
	if (ps->http_1_0)
		ps->h->expect_continue = false;
	if (ps->content_type.p != NULL)
		ps->h->rq.content_type = name_lower(mem, ps->content_type);
	ps->h->rq.mem = mem;
	return OK;
}

enum line_end { LINE_WHOLE, LINE_MORE, LINE_BARE_LF };

static enum line_end next_line(struct str in, size_t *at, struct str *ret)
{
	size_t lf = str_find(in, '\n', *at);
	if (lf == in.n)
		return LINE_MORE;
	if (lf == *at || in.p[lf - 1] != '\r')
		return LINE_BARE_LF;
	*ret = (struct str){ in.p + *at, lf - 1 - *at };
	*at = lf + 1;
	return LINE_WHOLE;
}

static fallible check_size(struct parse *ps, size_t n, bool first_line, struct err *err)
{
	if (n <= ps->limits->head_max)
		return OK;
	/* RFC 9112 3: a line too long is most likely a target too long */
	if (first_line)
		REFUSE(ps, 414, err, "the request line is over the limit of %zu bytes", ps->limits->head_max);
	REFUSE(ps, 431, err, "the request head is over the limit of %zu bytes", ps->limits->head_max);
}

static fallible read_lines(struct parse *ps, struct str in, size_t *ret_used, struct err *err)
{
	size_t at = in.n >= 2 && in.p[0] == '\r' && in.p[1] == '\n' ? 2 : 0;
	for (unsigned number = 0;; number++) {
		struct str line = STR_NONE;
		enum line_end end = next_line(in, &at, &line);
		TRY(check_size(ps, end == LINE_MORE ? in.n : at, number == 0, err));
		if (end == LINE_MORE)
			return OK;
		if (end == LINE_BARE_LF)
			REFUSE(ps, 400, err, "a line of the request ends in LF without CR");
		if (number == 0) {
			TRY(read_request_line(ps, line, err));
		} else if (line.n > 0) {
			TRY(read_field(ps, line, err));
		} else {
			*ret_used = at;
			return OK;
		}
	}
}

fallible http_head_read(struct arena *mem, struct str in, const struct http_limits *limits, struct http_head *ret,
			size_t *ret_used, int *ret_status, struct err *err)
{
	struct http_head h = { 0 };
	size_t used = 0;
	*ret_status = 400;
	struct parse ps = { .limits = limits, .h = &h, .ret_status = ret_status };
	TRY(read_lines(&ps, in, &used, err));
	if (used > 0) {
		TRY(finish(&ps, mem, err));
		*ret = h;
	}
	*ret_used = used;
	return OK;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * reply.c: replies to bytes.
 */
#include "http/reply.h"

#include "http/chars.h"

#include <assert.h>
#include <stdio.h>

void http_reply_init(struct http_reply *r)
{
	*r = (struct http_reply){ .headers = BUF_MAX(HTTP_REPLY_HEADERS_MAX), .body = BUF_MAX(HTTP_REPLY_BODY_MAX) };
}

void http_reply_done(struct http_reply *r)
{
	if (r == NULL)
		return;
	buf_done(&r->headers);
	buf_done(&r->body);
}

static bool is_control(char c)
{
	return (unsigned char)c < 0x20 || c == 0x7f;
}

fallible http_reply_header(struct http_reply *r, const char *name, struct str value, struct err *err)
{
	struct str n = str_z(name);
	if (n.n == 0 || !chars_all(n, CHAR_TOKEN))
		FAIL(err, ERR_INTERNAL, "\"%s\" is not a field name", name);
	for (size_t i = 0; i < value.n; i++) {
		if (is_control(value.p[i]))
			FAIL(err, ERR_INTERNAL, "the value of %s holds a control byte", name);
	}
	/* all of the line or nothing of it */
	char *at = NULL;
	TRY(buf_room(&r->headers, n.n + value.n + 4, &at, err));
	TRY(buf_add(&r->headers, n, err));
	TRY(buf_add(&r->headers, STR(": "), err));
	TRY(buf_add(&r->headers, value, err));
	return buf_add(&r->headers, STR("\r\n"), err);
}

bool reply_has_header(const struct http_reply *r, struct str name)
{
	struct str all = buf_str(&r->headers);
	for (size_t i = 0; i < all.n;) {
		if (str_eq_nocase(str_sub(all, i, i + name.n), name) && i + name.n < all.n && all.p[i + name.n] == ':')
			return true;
		i = str_find(all, '\n', i) + 1;
	}
	return false;
}

static void put_digits(char *at, size_t n, unsigned v)
{
	for (; n > 0; v /= 10)
		at[--n] = (char)('0' + v % 10);
}

void http_date(int64_t unix_s, char out[HTTP_DATE_MAX])
{
	static const char days[][4] = {
		"Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"
	}; /* 1970 began on a Thursday */
	static const char months[][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
					  "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
	/* once a reply: neither strftime, whose names follow the locale, nor gmtime, which takes a lock */
	struct civil t = civil_of(unix_s < 0 ? 0 : unix_s);
	static const char epoch[] = "Thu, 01 Jan 1970 00:00:00 GMT";
	static_assert(sizeof epoch <= HTTP_DATE_MAX, "a date fits");
	memcpy(out, epoch, sizeof epoch);
	memcpy(out, days[(unix_s < 0 ? 0 : unix_s) / 86400 % 7], 3);
	put_digits(out + 5, 2, (unsigned)t.day);
	memcpy(out + 8, months[(t.month - 1) % 12], 3);
	put_digits(out + 12, 4, (unsigned)t.year);
	put_digits(out + 17, 2, (unsigned)t.hour);
	put_digits(out + 20, 2, (unsigned)t.minute);
	put_digits(out + 23, 2, (unsigned)t.second);
}

/* RFC 9110 15; an unknown status goes without a phrase, which RFC 9112 4 allows. */
static const struct {
	int status;
	const char *phrase;
} phrases[] = {
	{ 200, "OK" },
	{ 201, "Created" },
	{ 202, "Accepted" },
	{ 204, "No Content" },
	{ 303, "See Other" },
	{ 304, "Not Modified" },
	{ 400, "Bad Request" },
	{ 401, "Unauthorized" },
	{ 403, "Forbidden" },
	{ 404, "Not Found" },
	{ 405, "Method Not Allowed" },
	{ 406, "Not Acceptable" },
	{ 408, "Request Timeout" },
	{ 409, "Conflict" },
	{ 410, "Gone" },
	{ 411, "Length Required" },
	{ 413, "Content Too Large" },
	{ 414, "URI Too Long" },
	{ 415, "Unsupported Media Type" },
	{ 417, "Expectation Failed" },
	{ 429, "Too Many Requests" },
	{ 431, "Request Header Fields Too Large" },
	{ 500, "Internal Server Error" },
	{ 501, "Not Implemented" },
	{ 503, "Service Unavailable" },
	{ 504, "Gateway Timeout" },
	{ 505, "HTTP Version Not Supported" },
};

static const char *phrase_of(int status)
{
	for (size_t i = 0; i < ARRAY_LEN(phrases); i++) {
		if (phrases[i].status == status)
			return phrases[i].phrase;
	}
	return "";
}

fallible reply_write(const struct http_reply *r, bool head_only, const char *date, struct buf *out, struct err *err)
{
	/* A handler that left no status has failed in a way that only we can name. 1xx are not final replies. */
	int status = r->status >= 200 && r->status <= 599 ? r->status : 500;
	/* RFC 9110 8.6: no Content-Length in 204; in 304 it would be that of the 200 */
	bool bare = status == 204 || status == 304;
	size_t body = bare || head_only ? 0 : r->body.n;
	char *at = NULL;
	TRY(buf_room(out, 256 + r->headers.n + body, &at, err));
	TRY(buf_addf(out, err, "HTTP/1.1 %d %s\r\nDate: %s\r\n", status, phrase_of(status), date));
	if (!bare)
		TRY(buf_addf(out, err, "Content-Length: %zu\r\n", r->body.n));
	if (!bare && r->content_type != NULL && r->body.n > 0)
		TRY(buf_addf(out, err, "Content-Type: %s\r\n", r->content_type));
	TRY(buf_add(out, buf_str(&r->headers), err));
	if (r->close)
		TRY(buf_add(out, STR("Connection: close\r\n"), err));
	TRY(buf_add(out, STR("\r\n"), err));
	return buf_add(out, str_sub(buf_str(&r->body), 0, body), err);
}

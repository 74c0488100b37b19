/* SPDX-License-Identifier: Apache-2.0
 *
 * fetch_plain.c: a GET over plain HTTP/1.1 to an address that was looked at: what nearly every http-01 validation is, at a
 * third of what it costs with libcurl. One connection, one request, one answer read strictly (RFC 9112), with one deadline
 * for all of it. Everything else (TLS, kept connections, other methods, names to look up) stays libcurl's.
 */
#include "net/dial.h"
#include "net/fetch_answer.h"

#include <errno.h>
#include <poll.h>

#define READ_MAX 4096
#define REQUEST_MAX (16 * 1024)
#define CHUNK_DIGITS_MAX 15
#define POLL_MAX_MS 600000

struct plain {
	struct answer *a;
	int fd;
	int64_t until_ms;
	struct buf in; /* what came */
	size_t at;     /* so much of it has been read */
	bool ended;    /* no more will come */
};

/* --- bytes --------------------------------------------------------------------------------------------------------*/

static fallible broken(int os_error, struct err *err)
{
	bool reset = os_error == ECONNRESET || os_error == EPIPE;
	FAIL(err, ERR_CONNECTION, "connection %s after connect", reset ? "reset" : "broken");
}

static fallible wait_for(const struct plain *p, short events, struct err *err)
{
	for (;;) {
		struct pollfd fd = { .fd = p->fd, .events = events };
		int64_t left = p->until_ms - clock_mono_ms(&clock_system);
		if (left <= 0)
			FAIL(err, ERR_TIMEOUT, "timeout after connect (your server may be slow or overloaded)");
		int n = poll(&fd, 1, left > POLL_MAX_MS ? POLL_MAX_MS : (int)left);
		if (n > 0)
			return OK;
		if (n < 0 && errno != EINTR)
			FAIL(err, ERR_IO, "poll: %s", strerrordesc_np(errno));
	}
}

static fallible send_all(const struct plain *p, struct str s, struct err *err)
{
	while (s.n > 0) {
		ssize_t n = send(p->fd, s.p, s.n, MSG_NOSIGNAL);
		if (n >= 0)
			s = str_sub(s, (size_t)n, s.n);
		else if (errno == EAGAIN)
			TRY(wait_for(p, POLLOUT, err));
		else if (errno != EINTR)
			return broken(errno, err);
	}
	return OK;
}

static struct str unread(const struct plain *p)
{
	return str_sub(buf_str(&p->in), p->at, p->in.n);
}

/* At least one byte more, or the end. */
static fallible more(struct plain *p, struct err *err)
{
	char *to = NULL;
	buf_eat(&p->in, p->at);
	p->at = 0;
	TRY(buf_room(&p->in, READ_MAX, &to, err));
	for (;;) {
		TRY(wait_for(p, POLLIN, err));
		ssize_t n = recv(p->fd, to, READ_MAX, 0);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n < 0)
			return broken(errno, err);
		p->in.n += (size_t)n;
		p->ended = n == 0;
		return OK;
	}
}

static fallible ended_in_body(struct err *err)
{
	FAIL(err, ERR_CONNECTION, "the server closed the connection in the middle of the body");
}

static fallible ended_in_head(struct err *err)
{
	FAIL(err, ERR_CONNECTION, "the server closed the connection in the middle of the header");
}

static fallible byte_next(struct plain *p, char *ret, struct err *err)
{
	if (unread(p).n == 0)
		TRY(more(p, err));
	if (unread(p).n == 0)
		return ended_in_body(err);
	*ret = p->in.p[p->at++];
	return OK;
}

/* --- the head -----------------------------------------------------------------------------------------------------*/

/* With its end; *ret_whole is false for what stood there when the peer closed. */
static fallible line_next(struct plain *p, struct str *ret, bool *ret_whole, struct err *err)
{
	for (;;) {
		struct str have = unread(p);
		size_t end = str_find(have, '\n', 0);
		*ret_whole = end < have.n;
		if (*ret_whole || p->ended) {
			*ret = str_sub(have, 0, end + 1);
			p->at += ret->n;
			return OK;
		}
		if (have.n > p->a->headers_max)
			FAIL(err, ERR_CONNECTION, "response header line is too long");
		TRY(more(p, err));
	}
}

/* Says of what is no HTTP that it is none before a whole line has come: there may never be one. */
static fallible answer_await(struct plain *p, struct err *err)
{
	const struct str begin = STR("HTTP/1.");
	for (;;) {
		struct str have = unread(p);
		if (!str_starts(begin, str_sub(have, 0, begin.n)))
			return answer_not_http(err);
		if (have.n >= begin.n)
			return OK;
		if (p->ended && have.n == 0)
			FAIL(err, ERR_CONNECTION, "the server closed the connection without an answer");
		if (p->ended)
			return ended_in_head(err);
		TRY(more(p, err));
	}
}

/* RFC 9112 4: "HTTP/1.1 200 OK"; the reason may be missing, and so may the blank before it. */
static fallible status_read(struct str line, int *ret, struct err *err)
{
	struct str code = str_sub(line, sizeof "HTTP/1.1", sizeof "HTTP/1.1" + 3);
	char behind = line.n > sizeof "HTTP/1.1" + 3 ? line.p[sizeof "HTTP/1.1" + 3] : '\n';
	uint64_t status = 0;
	if (code.n < 3 || FAILED(str_u64(code, 999, &status, NULL)) || status < 100 ||
	    (behind != ' ' && behind != '\r' && behind != '\n'))
		return answer_not_http(err);
	*ret = (int)status;
	return OK;
}

/* RFC 9110 5.6.2 */
static bool is_token_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

/* Without its end. */
static struct str line_text(struct str line)
{
	line.n -= line.n > 1 && line.p[line.n - 2] == '\r' ? 2 : 1;
	return line;
}

/* No NUL and no CR: readers differ about those. */
static bool is_clean(struct str text)
{
	return str_find(text, '\0', 0) == text.n && str_find(text, '\r', 0) == text.n;
}

/* RFC 9112 5: a name, a colon right behind it, and a value. Nothing is folded (5.2), since others would read that in
 * another way. */
static bool is_header_line(struct str line)
{
	struct str text = line_text(line);
	size_t colon = str_find(text, ':', 0);
	for (size_t i = 0; i < colon; i++)
		if (!is_token_char(text.p[i]))
			return false;
	return text.n == 0 || (colon > 0 && colon < text.n && is_clean(text));
}

static fallible status_line_read(struct plain *p, struct err *err)
{
	struct answer *a = p->a;
	struct str line;
	bool whole = true;
	TRY(answer_await(p, err));
	TRY(line_next(p, &line, &whole, err));
	if (!whole)
		return ended_in_head(err);
	if (!is_clean(line_text(line)))
		return answer_not_http(err);
	if (!answer_status_line(a, line))
		return answer_over(a, err);
	return a->http1 ? status_read(line, &a->reply->status, err) : answer_not_http(err);
}

static fallible head_read(struct plain *p, struct err *err)
{
	TRY(status_line_read(p, err));
	while (!p->a->head_ended) {
		struct str line;
		bool whole = true;
		TRY(line_next(p, &line, &whole, err));
		if (!whole)
			return ended_in_head(err);
		if (!is_header_line(line))
			FAIL(err, ERR_CONNECTION, "the answer has a header line that is none (RFC 9112 5)");
		if (!answer_header_line(p->a, line))
			return answer_over(p->a, err);
	}
	return OK;
}

/* --- the body -----------------------------------------------------------------------------------------------------*/

/* Until so many bytes have come, or more than is wanted. */
static fallible counted_read(struct plain *p, uint64_t left, struct err *err)
{
	while (left > 0) {
		if (unread(p).n == 0)
			TRY(more(p, err));
		struct str have = unread(p);
		if (have.n == 0)
			return ended_in_body(err);
		struct str part = have.n < left ? have : str_sub(have, 0, (size_t)left);
		if (!answer_body(p->a, part))
			return OK;
		p->at += part.n;
		left -= part.n;
	}
	return OK;
}

static fallible rest_read(struct plain *p, struct err *err)
{
	while (answer_body(p->a, unread(p))) {
		p->at = p->in.n;
		if (p->ended)
			return OK;
		TRY(more(p, err));
	}
	return OK;
}

static fallible bad_chunks(struct err *err)
{
	FAIL(err, ERR_CONNECTION, "the answer's body does not have the chunks that its Transfer-Encoding promises");
}

static unsigned hex_digit(char c)
{
	return c >= '0' && c <= '9'   ? (unsigned)(c - '0')
	       : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
	       : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A') + 10
				      : 16;
}

/* RFC 9112 7.1: extensions are passed over, and count like the lines of the head, or they could go on for ever. */
static fallible chunk_size_read(struct plain *p, uint64_t *ret, struct err *err)
{
	struct str line;
	bool whole = true;
	uint64_t size = 0;
	size_t digits = 0;
	TRY(line_next(p, &line, &whole, err));
	if (!whole)
		return ended_in_body(err);
	if (!answer_trailer_line(p->a, line))
		return answer_over(p->a, err);
	struct str text = line_text(line);
	for (; digits < text.n && hex_digit(text.p[digits]) < 16; digits++) {
		if (digits == CHUNK_DIGITS_MAX)
			return bad_chunks(err);
		size = size << 4 | hex_digit(text.p[digits]);
	}
	bool ended = digits == text.n || text.p[digits] == ';' || text.p[digits] == ' ' || text.p[digits] == '\t';
	if (digits == 0 || !ended || !is_clean(text))
		return bad_chunks(err);
	*ret = size;
	return OK;
}

static fallible line_end_read(struct plain *p, struct err *err)
{
	char c = '\0';
	TRY(byte_next(p, &c, err));
	if (c == '\r')
		TRY(byte_next(p, &c, err));
	return c == '\n' ? OK : bad_chunks(err);
}

/* Counted, but what they say is not looked at: it came too late to mean anything. */
static fallible trailers_read(struct plain *p, struct err *err)
{
	struct answer *a = p->a;
	for (bool last = false; !last;) {
		struct str line;
		bool whole = true;
		TRY(line_next(p, &line, &whole, err));
		if (!whole)
			return ended_in_body(err);
		if (!is_clean(line_text(line)))
			return bad_chunks(err);
		if (!answer_trailer_line(a, line))
			return answer_over(a, err);
		last = str_eq(line, STR("\r\n")) || str_eq(line, STR("\n"));
	}
	return OK;
}

static fallible chunks_read(struct plain *p, struct err *err)
{
	for (;;) {
		uint64_t size = 0;
		TRY(chunk_size_read(p, &size, err));
		if (size == 0)
			return trailers_read(p, err);
		TRY(counted_read(p, size, err));
		if (p->a->reply->body_cut)
			return OK;
		TRY(line_end_read(p, err));
	}
}

/* RFC 9112 6.3; answer_check has seen that there are no two ways. */
static fallible body_read(struct plain *p, struct err *err)
{
	const struct fetch_reply *r = p->a->reply;
	struct str length = fetch_reply_header(r, "content-length");
	uint64_t n = 0;
	if (r->status == 204 || r->status == 304)
		return OK;
	if (fetch_reply_header(r, "transfer-encoding").p != NULL)
		return chunks_read(p, err);
	if (length.p == NULL)
		return rest_read(p, err);
	for (size_t i = 0; i < length.n; i++) /* digits, and not too many */
		n = n * 10 + (uint64_t)(length.p[i] - '0');
	return counted_read(p, n, err);
}

/* --- the exchange -------------------------------------------------------------------------------------------------*/

static fallible request_send(const struct plain *p, const struct url *url, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(buf_done) struct buf text = BUF_MAX(REQUEST_MAX);
	const struct str http = STR("http://");
	struct str shown = url_show(&mem, url);
	const struct str parts[] = {
		STR("GET "),
		url->path,
		STR(" HTTP/1.1\r\nHost: "),
		str_sub(shown, http.n, shown.n - url->path.n),
		STR("\r\nUser-Agent: "),
		p->a->rq->user_agent,
		STR("\r\nAccept: */*\r\n\r\n"),
	};
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		TRY(buf_add(&text, parts[i], err));
	return send_all(p, buf_str(&text), err);
}

static fallible exchange(struct plain *p, const struct url *url, struct err *err)
{
	TRY(request_send(p, url, err));
	do { /* interim answers (RFC 9110 15.2) are passed over: their lines count, so there is an end to them */
		TRY(head_read(p, err));
	} while (p->a->reply->status < 200);
	TRY(answer_check(p->a, err));
	return body_read(p, err);
}

fallible fetch_plain(const struct url *url, struct answer *a, struct err *err)
{
	const struct fetch_request *rq = a->rq;
	struct plain p = {
		.a = a,
		.fd = -1,
		.until_ms = clock_mono_ms(&clock_system) + rq->timeout_ms,
		.in = BUF_MAX(a->headers_max + 2 * READ_MAX),
	};
	bool shorter = rq->connect_timeout_ms > 0 && rq->connect_timeout_ms < rq->timeout_ms;
	a->reply->peer = *rq->pin;
	TRY(dial(rq->pin, rq->pin_port != 0 ? rq->pin_port : url->port,
		 shorter ? rq->connect_timeout_ms : rq->timeout_ms, &p.fd, err));
	a->reply->connected = true;
	struct rc rc = exchange(&p, url, err);
	fd_close(&p.fd);
	buf_done(&p.in);
	return rc;
}

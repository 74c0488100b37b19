/* SPDX-License-Identifier: Apache-2.0
 *
 * fetch_answer.c: see fetch_answer.h.
 */
#include "net/fetch_answer.h"

#define LENGTH_DIGITS_MAX 18

static void header_keep(struct answer *a, struct str line)
{
	struct fetch_reply *r = a->reply;
	size_t colon = str_find(line, ':', 0);
	if (colon == line.n)
		return;
	if (r->header_count == a->header_room) {
		size_t room = a->header_room == 0 ? 16 : 2 * a->header_room;
		struct fetch_header *wider = ARENA_ARRAY(a->mem, struct fetch_header, room);
		for (size_t i = 0; i < r->header_count; i++)
			wider[i] = r->headers[i];
		r->headers = wider;
		a->header_room = room;
	}
	struct str name = str_sub(line, 0, colon);
	char *lower = str_dupz_raw(a->mem, name);
	for (size_t i = 0; i < name.n; i++)
		if (lower[i] >= 'A' && lower[i] <= 'Z')
			lower[i] = (char)(lower[i] - 'A' + 'a');
	r->headers[r->header_count++] = (struct fetch_header){
		.name = { lower, name.n },
		.value = str_dup(a->mem, str_trim(str_sub(line, colon + 1, line.n))),
	};
}

static bool count(struct answer *a, struct str line)
{
	a->header_bytes += line.n;
	a->headers_over = a->header_bytes > a->headers_max || a->reply->header_count >= FETCH_LINES_MAX;
	return !a->headers_over;
}

bool answer_status_line(struct answer *a, struct str line)
{
	a->reply->header_count = 0; /* a new answer begins; the interim one's lines are not its */
	a->head_ended = false;
	a->http10 = str_starts(line, STR("HTTP/1.0 "));
	a->http1 = a->http10 || str_starts(line, STR("HTTP/1.1 "));
	return count(a, line);
}

bool answer_header_line(struct answer *a, struct str line)
{
	if (!count(a, line))
		return false;
	while (line.n > 0 && (line.p[line.n - 1] == '\r' || line.p[line.n - 1] == '\n'))
		line.n--;
	a->head_ended = line.n == 0;
	if (!a->head_ended)
		header_keep(a, line);
	return true;
}

bool answer_trailer_line(struct answer *a, struct str line)
{
	return count(a, line);
}

bool answer_body(struct answer *a, struct str bytes)
{
	size_t room = a->rq->body_max - a->body.n;
	struct str fits = str_sub(bytes, 0, room);
	if (FAILED(buf_add(&a->body, fits, NULL)))
		return false;
	a->reply->body_cut = fits.n < bytes.n;
	return !a->reply->body_cut;
}

fallible answer_not_http(struct err *err)
{
	FAIL(err, ERR_CONNECTION, "the answer is not HTTP/1.x (does this port speak TLS or HTTP/2?)");
}

fallible answer_over(const struct answer *a, struct err *err)
{
	FAIL(err, ERR_CONNECTION, "response header is larger than %zu bytes or %d lines", a->headers_max,
	     FETCH_LINES_MAX);
}

static bool is_length(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
	return s.n > 0 && s.n <= LENGTH_DIGITS_MAX;
}

fallible answer_check(const struct answer *a, struct err *err)
{
	const struct fetch_reply *r = a->reply;
	struct str length = STR_NONE, coding = STR_NONE;
	if (!a->http1)
		return answer_not_http(err);
	/* Both are answers to libcurl: half a header, and an interim one that nothing followed. */
	if (!a->head_ended || r->status < 200)
		FAIL(err, ERR_CONNECTION, "the server closed the connection in the middle of the header");
	for (size_t i = 0; i < r->header_count; i++) {
		struct str name = r->headers[i].name, value = r->headers[i].value;
		if (str_eq(name, STR("content-length"))) {
			if (!is_length(value) || (length.p != NULL && !str_eq(length, value)))
				FAIL(err, ERR_CONNECTION,
				     "the answer's Content-Length is no number, or there are several");
			length = value;
		} else if (str_eq(name, STR("transfer-encoding"))) {
			if (a->http10) /* RFC 9112 6.1 */
				FAIL(err, ERR_CONNECTION,
				     "the answer has Transfer-Encoding, which HTTP/1.0 does not know");
			if (!str_eq_nocase(value, STR("chunked")) || coding.p != NULL)
				FAIL(err, ERR_CONNECTION, "the answer's Transfer-Encoding is not \"chunked\"");
			coding = value;
		}
	}
	if (length.p != NULL && coding.p != NULL)
		FAIL(err, ERR_CONNECTION, "the answer has both Content-Length and Transfer-Encoding");
	return OK;
}

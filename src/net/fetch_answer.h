/* SPDX-License-Identifier: Apache-2.0
 *
 * fetch_answer.h: an HTTP answer while its lines come in, from libcurl or from our own reader: its limits, its headers, and
 * whether it can be read in one way only. Inside of net only.
 */
#ifndef CAIRN_NET_FETCH_ANSWER_H
#define CAIRN_NET_FETCH_ANSWER_H

#include "net/fetch.h"

#define FETCH_LINES_MAX 200 /* of headers */

struct answer {
	const struct fetch_request *rq;
	struct fetch_reply *reply;
	struct arena *mem;
	struct buf body;
	size_t headers_max, header_bytes, header_room;
	bool headers_over; /* the limit was hit */
	bool http1;        /* the last status line was of HTTP/1.x, to the letter */
	bool http10;       /* and of HTTP/1.0 */
	bool head_ended;   /* the empty line after the last status line has come */
};

/* Lines with their ends, of interim (1xx) answers too: all count against the one limit. False: that is over. */
bool answer_status_line(struct answer *a, struct str line);
bool answer_header_line(struct answer *a, struct str line);
bool answer_trailer_line(struct answer *a, struct str line); /* counted and forgotten */
/* Keeps what fits. False: that was not all, and no more is wanted. */
bool answer_body(struct answer *a, struct str bytes);
/* Where the body ends must not depend on the reader (RFC 9112 6.3, THREATS A35). */
fallible answer_check(const struct answer *a, struct err *err);
fallible answer_not_http(struct err *err);
fallible answer_over(const struct answer *a, struct err *err); /* headers_over, in words */

/* One GET of a URL of plain http, to rq->pin, over a connection of its own. */
fallible fetch_plain(const struct url *url, struct answer *a, struct err *err);

#endif

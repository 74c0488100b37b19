/* SPDX-License-Identifier: Apache-2.0
 *
 * chunked.h: the chunked transfer coding (RFC 9112 7.1), fed piece by piece. Chunk extensions and trailer fields are
 * checked for their form, counted against a limit and dropped.
 */
#ifndef CAIRN_HTTP_CHUNKED_H
#define CAIRN_HTTP_CHUNKED_H

#include "base/base.h"

#define CHUNKED_EXTRA_MAX 4096 /* extensions and trailers of one body together */

enum chunked_state {
	CHUNKED_SIZE,
	CHUNKED_EXT,
	CHUNKED_SIZE_LF,
	CHUNKED_DATA,
	CHUNKED_DATA_CR,
	CHUNKED_DATA_LF,
	CHUNKED_TRAILER, /* at the first byte of a line */
	CHUNKED_TRAILER_NAME,
	CHUNKED_TRAILER_VALUE,
	CHUNKED_TRAILER_LF,
	CHUNKED_END_LF,
	CHUNKED_DONE,
	CHUNKED_STATE_COUNT
};

struct chunked { /* { 0 } is the start */
	enum chunked_state state;
	unsigned digits; /* of the size being read */
	size_t extra;
	uint64_t left; /* of the chunk being read */
};

/* Appends data to body until `in` ends or the body is whole; *ret_used bytes were eaten, *ret_done says which. More
 * data than body->max fails with *ret_status 413, everything that is not RFC 9112's grammar with 400. */
fallible chunked_feed(struct chunked *d, struct str in, struct buf *body, size_t *ret_used, bool *ret_done,
		      int *ret_status, struct err *err);

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * chunked.c: a state machine, one byte a step but for the data itself, so that no cut of the input matters.
 */
#include "http/chunked.h"

#include "http/chars.h"

/* Sixteen hex digits fit 64 bits; leading zeros are legal and only bounded. */
#define SIZE_DIGITS_MAX 16

static fallible malformed(struct err *err, const char *what)
{
	FAIL(err, ERR_MALFORMED, "the chunked body is malformed: %s", what);
}

static fallible on_size(struct chunked *d, char c, struct err *err)
{
	if (char_is(c, CHAR_HEX)) {
		if (++d->digits > SIZE_DIGITS_MAX)
			return malformed(err, "a chunk size has too many digits");
		unsigned v = c <= '9' ? (unsigned)(c - '0') : (unsigned)((c | 0x20) - 'a') + 10;
		d->left = d->left * 16 + v;
		return OK;
	}
	if (d->digits == 0)
		return malformed(err, "a chunk does not begin with its size in hex");
	if (c == '\r')
		d->state = CHUNKED_SIZE_LF;
	else if (c == ';')
		d->state = CHUNKED_EXT;
	else
		return malformed(err, "a chunk size is followed by neither CRLF nor an extension");
	return OK;
}

static fallible on_extra(struct chunked *d, struct err *err)
{
	if (++d->extra > CHUNKED_EXTRA_MAX)
		return malformed(err, "extensions and trailers are too long");
	return OK;
}

static fallible on_ext(struct chunked *d, char c, struct err *err)
{
	if (c == '\r') {
		d->state = CHUNKED_SIZE_LF;
		return OK;
	}
	if (!char_is(c, CHAR_FIELD))
		return malformed(err, "a chunk extension holds a control byte");
	return on_extra(d, err);
}

static fallible expect(struct chunked *d, char c, char want, enum chunked_state next, struct err *err)
{
	if (c != want)
		return malformed(err,
				 want == '\n' ? "a line does not end in CRLF" : "a chunk is longer than its size says");
	d->state = next;
	return OK;
}

static fallible on_size_lf(struct chunked *d, char c, struct err *err)
{
	TRY(expect(d, c, '\n', d->left == 0 ? CHUNKED_TRAILER : CHUNKED_DATA, err));
	d->digits = 0;
	return OK;
}

static fallible on_trailer_start(struct chunked *d, char c, struct err *err)
{
	if (c == '\r') {
		d->state = CHUNKED_END_LF;
		return OK;
	}
	if (!char_is(c, CHAR_TOKEN))
		return malformed(err, "a trailer line does not begin with a field name");
	d->state = CHUNKED_TRAILER_NAME;
	return on_extra(d, err);
}

static fallible on_trailer_name(struct chunked *d, char c, struct err *err)
{
	if (c == ':')
		d->state = CHUNKED_TRAILER_VALUE;
	else if (!char_is(c, CHAR_TOKEN))
		return malformed(err, "a trailer line is not: name, colon, value");
	return on_extra(d, err);
}

static fallible on_trailer_value(struct chunked *d, char c, struct err *err)
{
	if (c == '\r') {
		d->state = CHUNKED_TRAILER_LF;
		return OK;
	}
	if (!char_is(c, CHAR_FIELD))
		return malformed(err, "a trailer value holds a control byte");
	return on_extra(d, err);
}

static fallible step(struct chunked *d, char c, struct err *err)
{
	switch (d->state) {
	case CHUNKED_SIZE:
		return on_size(d, c, err);
	case CHUNKED_EXT:
		return on_ext(d, c, err);
	case CHUNKED_SIZE_LF:
		return on_size_lf(d, c, err);
	case CHUNKED_DATA_CR:
		return expect(d, c, '\r', CHUNKED_DATA_LF, err);
	case CHUNKED_DATA_LF:
		return expect(d, c, '\n', CHUNKED_SIZE, err);
	case CHUNKED_TRAILER:
		return on_trailer_start(d, c, err);
	case CHUNKED_TRAILER_NAME:
		return on_trailer_name(d, c, err);
	case CHUNKED_TRAILER_VALUE:
		return on_trailer_value(d, c, err);
	case CHUNKED_TRAILER_LF:
		return expect(d, c, '\n', CHUNKED_TRAILER, err);
	case CHUNKED_END_LF:
		return expect(d, c, '\n', CHUNKED_DONE, err);
	case CHUNKED_DATA:
	case CHUNKED_DONE:
	case CHUNKED_STATE_COUNT:
		break;
	}
	FAIL(err, ERR_INTERNAL, "the chunked decoder is in a state that takes no byte");
}

static fallible take_data(struct chunked *d, struct str in, size_t *at, struct buf *body, struct err *err)
{
	size_t n = in.n - *at < d->left ? in.n - *at : (size_t)d->left;
	TRY(buf_add(body, str_sub(in, *at, *at + n), err));
	*at += n;
	d->left -= n;
	if (d->left == 0)
		d->state = CHUNKED_DATA_CR;
	return OK;
}

/* A size over what may still come is refused when it is announced, not when it has arrived. */
static fallible advance(struct chunked *d, struct str in, size_t *at, struct buf *body, struct err *err)
{
	if (d->state == CHUNKED_DATA)
		return take_data(d, in, at, body, err);
	TRY(step(d, in.p[(*at)++], err));
	if (d->state == CHUNKED_DATA && d->left > body->max - body->n)
		FAIL(err, ERR_TOO_LARGE, "the body is over the limit of %zu bytes", body->max);
	return OK;
}

fallible chunked_feed(struct chunked *d, struct str in, struct buf *body, size_t *ret_used, bool *ret_done,
		      int *ret_status, struct err *err)
{
	size_t at = 0;
	while (d->state != CHUNKED_DONE && at < in.n) {
		struct rc rc = advance(d, in, &at, body, err);
		if (FAILED(rc)) {
			*ret_status = rc.kind == ERR_TOO_LARGE ? 413 : 400;
			return rc;
		}
	}
	*ret_used = at;
	*ret_done = d->state == CHUNKED_DONE;
	return OK;
}

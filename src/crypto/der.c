/* SPDX-License-Identifier: Apache-2.0
 *
 * der.c: see der.h.
 */
#include "crypto/der.h"

#include <assert.h>
#include <stdio.h>
#include <time.h>

#define LENGTH_BYTES_MAX 4

static fallible read_length(struct cur *c, size_t *ret, struct err *err)
{
	uint8_t first, b;
	TRY(cur_u8(c, &first, err));
	if (first < 0x80) {
		*ret = first;
		return OK;
	}
	unsigned count = first & 0x7f;
	if (count == 0 || count > LENGTH_BYTES_MAX)
		FAIL(err, ERR_MALFORMED, "DER: length of %u bytes or of indefinite form", count);
	size_t n = 0;
	for (unsigned i = 0; i < count; i++) {
		TRY(cur_u8(c, &b, err));
		if (i == 0 && b == 0)
			FAIL(err, ERR_MALFORMED, "DER: length with a leading zero");
		n = (n << 8) | b;
	}
	if (n < 0x80)
		FAIL(err, ERR_MALFORMED, "DER: length %zu in the long form", n);
	*ret = n;
	return OK;
}

/* Most elements are short and good: seen at once. For all others, and for what to say of them, there is the long way. */
static bool next_is_short(const struct cur *c, struct der *ret)
{
	const uint8_t *b = (const uint8_t *)c->p;
	if (cur_left(c) < 2 || b[0] == 0 || (b[0] & 0x1f) == 0x1f || b[1] >= 0x80 || b[1] > cur_left(c) - 2)
		return false;
	*ret = (struct der){ .tag = b[0], .body = str_n(b + 2, b[1]), .whole = str_n(b, 2 + (size_t)b[1]) };
	return true;
}

fallible der_next(struct cur *c, struct der *ret, struct err *err)
{
	if (next_is_short(c, ret)) {
		c->p += ret->whole.n;
		return OK;
	}
	struct cur at = *c;
	const char *start = at.p;
	struct der d = { 0 };
	size_t n;
	if (cur_end(&at))
		FAIL(err, ERR_MALFORMED, "DER: an element is missing");
	TRY(cur_u8(&at, &d.tag, err));
	if (d.tag == 0 || (d.tag & 0x1f) == 0x1f)
		FAIL(err, ERR_MALFORMED, "DER: tag 0x%02x is not served", d.tag);
	TRY(read_length(&at, &n, err));
	if (n > cur_left(&at))
		FAIL(err, ERR_MALFORMED, "DER: element of %zu bytes where %zu are left", n, cur_left(&at));
	TRY(cur_take(&at, n, &d.body, err));
	d.whole = str_n(start, (size_t)(at.p - start));
	*c = at;
	*ret = d;
	return OK;
}

fallible der_want(struct cur *c, unsigned tag, struct der *ret, struct err *err)
{
	struct cur at = *c;
	struct der d;
	TRY(der_next(&at, &d, err));
	if (d.tag != tag)
		FAIL(err, ERR_MALFORMED, "DER: found tag 0x%02x, wanted 0x%02x", d.tag, tag);
	*c = at;
	*ret = d;
	return OK;
}

bool der_peek(const struct cur *c, unsigned tag)
{
	return !cur_end(c) && (uint8_t)*c->p == tag;
}

fallible der_only(struct str in, unsigned tag, struct der *ret, struct err *err)
{
	struct cur c = cur_of(in);
	struct der d;
	TRY(der_want(&c, tag, &d, err));
	if (!cur_end(&c))
		FAIL(err, ERR_MALFORMED, "DER: %zu bytes after the end", cur_left(&c));
	*ret = d;
	return OK;
}

static fallible check_primitive(const struct der *d, struct err *err)
{
	const uint8_t *b = (const uint8_t *)d->body.p;
	size_t n = d->body.n;
	switch (d->tag) {
	case DER_BOOLEAN:
		if (n != 1 || (b[0] != 0 && b[0] != 0xff))
			FAIL(err, ERR_MALFORMED, "DER: BOOLEAN is neither 00 nor ff");
		break;
	case DER_INTEGER:
		if (n == 0 || (n > 1 && ((b[0] == 0 && b[1] < 0x80) || (b[0] == 0xff && b[1] >= 0x80))))
			FAIL(err, ERR_MALFORMED, "DER: INTEGER is not minimal");
		break;
	case DER_BIT_STRING:
		if (n == 0 || b[0] > 7 || (n == 1 && b[0] != 0) || (n > 1 && (b[n - 1] & ((1u << b[0]) - 1)) != 0))
			FAIL(err, ERR_MALFORMED, "DER: BIT STRING with bad padding");
		break;
	case DER_NULL:
		if (n != 0)
			FAIL(err, ERR_MALFORMED, "DER: NULL with a body");
		break;
	case DER_OID:
		if (n == 0 || b[n - 1] >= 0x80)
			FAIL(err, ERR_MALFORMED, "DER: OBJECT IDENTIFIER is cut short");
		break;
	case DER_SEQUENCE & 0x1f:
	case DER_SET & 0x1f:
		FAIL(err, ERR_MALFORMED, "DER: SEQUENCE or SET in primitive form");
	default:
		break;
	}
	return OK;
}

/* X.690 11.6: elements of a SET OF stand in ascending order, shorter ones padded with zeros for the comparison. */
static int compare_set_elements(struct str a, struct str b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int c = memcmp(a.p, b.p, n);
	return c != 0 ? c : (a.n > b.n) - (a.n < b.n);
}

/* Recursion ends at DER_DEPTH_MAX, whatever the input says. */
static fallible check_level(struct str in, bool is_set, unsigned depth, struct err *err)
{
	struct cur c = cur_of(in);
	struct der d, before = { 0 };
	if (depth > DER_DEPTH_MAX)
		FAIL(err, ERR_MALFORMED, "DER: nested more than %d deep", DER_DEPTH_MAX);
	while (!cur_end(&c)) {
		TRY(der_next(&c, &d, err));
		if (is_set && before.tag != 0 && compare_set_elements(before.whole, d.whole) > 0)
			FAIL(err, ERR_MALFORMED, "DER: SET OF is not in order");
		before = d;
		bool universal = (d.tag & 0xc0) == 0;
		if ((d.tag & 0x20) == 0) {
			TRY(check_primitive(&d, err));
			continue;
		}
		if (universal && d.tag != DER_SEQUENCE && d.tag != DER_SET)
			FAIL(err, ERR_MALFORMED, "DER: tag 0x%02x in constructed form", d.tag);
		TRY(check_level(d.body, d.tag == DER_SET, depth + 1, err));
	}
	return OK;
}

fallible der_check(struct str in, struct err *err)
{
	return check_level(in, false, 0, err);
}

struct derw derw_begin(struct buf *out, struct err *err)
{
	return (struct derw){ .out = out, .rc = OK, .err = err };
}

static void add(struct derw *w, const void *p, size_t n)
{
	if (w->rc.kind == ERR_NONE && n > 0)
		w->rc = buf_add(w->out, str_n(p, n), w->err);
}

/* Tag is written by now; writes the length of n. Gives the bytes that it takes. */
static size_t make_length(size_t n, uint8_t out[1 + LENGTH_BYTES_MAX])
{
	if (n < 0x80) {
		out[0] = (uint8_t)n;
		return 1;
	}
	size_t count = 1;
	while (count < LENGTH_BYTES_MAX && n >> (8 * count) != 0)
		count++;
	out[0] = (uint8_t)(0x80 | count);
	for (size_t i = 0; i < count; i++)
		out[1 + i] = (uint8_t)(n >> (8 * (count - 1 - i)));
	return 1 + count;
}

void derw_open(struct derw *w, unsigned tag)
{
	uint8_t t = (uint8_t)tag;
	assert(w->depth < DERW_DEPTH_MAX);
	add(w, &t, 1);
	w->open[w->depth++] = w->out->n;
}

/* The length goes in front of a body that is there already: bodies are small, so moving them costs less than a second
 * pass that computes lengths. */
void derw_close(struct derw *w)
{
	uint8_t length[1 + LENGTH_BYTES_MAX];
	char *room;
	assert(w->depth > 0);
	size_t start = w->open[--w->depth];
	if (w->rc.kind != ERR_NONE)
		return;
	size_t body = w->out->n - start;
	size_t n = make_length(body, length);
	w->rc = buf_room(w->out, n, &room, w->err);
	if (w->rc.kind != ERR_NONE)
		return;
	memmove(w->out->p + start + n, w->out->p + start, body);
	memcpy(w->out->p + start, length, n);
	w->out->n += n;
}

void derw_put(struct derw *w, unsigned tag, struct str body)
{
	uint8_t head[2 + LENGTH_BYTES_MAX];
	head[0] = (uint8_t)tag;
	size_t n = make_length(body.n, head + 1);
	add(w, head, 1 + n);
	add(w, body.p, body.n);
}

void derw_raw(struct derw *w, struct str der)
{
	add(w, der.p, der.n);
}

void derw_uint(struct derw *w, struct str big_endian)
{
	static const uint8_t zero;
	while (big_endian.n > 0 && big_endian.p[0] == 0)
		big_endian = str_sub(big_endian, 1, big_endian.n);
	derw_open(w, DER_INTEGER);
	if (big_endian.n == 0 || (uint8_t)big_endian.p[0] >= 0x80)
		add(w, &zero, 1);
	add(w, big_endian.p, big_endian.n);
	derw_close(w);
}

void derw_open_bits(struct derw *w)
{
	static const uint8_t zero;
	derw_open(w, DER_BIT_STRING);
	add(w, &zero, 1);
}

void derw_bits(struct derw *w, struct str bytes)
{
	derw_open_bits(w);
	add(w, bytes.p, bytes.n);
	derw_close(w);
}

void derw_bool(struct derw *w, bool v)
{
	derw_put(w, DER_BOOLEAN, v ? STR("\xff") : STR("\0"));
}

void derw_time(struct derw *w, int64_t unix_s)
{
	struct tm tm;
	time_t t = (time_t)unix_s;
	char text[32];
	if (w->rc.kind != ERR_NONE)
		return;
	if (gmtime_r(&t, &tm) == NULL || tm.tm_year < 50 || tm.tm_year >= 8100) {
		err_set(w->err, ERR_INTERNAL, "time %lld does not fit a certificate", (long long)unix_s);
		w->rc = (struct rc){ ERR_INTERNAL };
		return;
	}
	size_t n = strftime(text, sizeof text, "%Y%m%d%H%M%SZ", &tm);
	if (tm.tm_year < 150)
		derw_put(w, DER_UTC_TIME, str_n(text + 2, n - 2)); /* without the century */
	else
		derw_put(w, DER_GENERALIZED_TIME, str_n(text, n));
}

fallible derw_end(struct derw *w)
{
	assert(w->depth == 0);
	return w->rc;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * der.h: a small reader and writer of DER (X.690 10 and 11). The reader takes only definite, minimal lengths and
 * one-byte tags, so that there is one spelling of everything that is accepted; the writer makes the same bytes from the
 * same calls, on any thread, without a lock.
 */
#ifndef CAIRN_CRYPTO_DER_H
#define CAIRN_CRYPTO_DER_H

#include "codec/codec.h"

enum der_tag {
	DER_BOOLEAN = 0x01,
	DER_INTEGER = 0x02,
	DER_BIT_STRING = 0x03,
	DER_OCTET_STRING = 0x04,
	DER_NULL = 0x05,
	DER_OID = 0x06,
	DER_UTF8_STRING = 0x0c,
	DER_PRINTABLE_STRING = 0x13,
	DER_IA5_STRING = 0x16,
	DER_UTC_TIME = 0x17,
	DER_GENERALIZED_TIME = 0x18,
	DER_SEQUENCE = 0x30,
	DER_SET = 0x31
};
#define DER_CONTEXT(n) (0x80 | (n))      /* [n] IMPLICIT of a primitive type */
#define DER_CONTEXT_MADE(n) (0xa0 | (n)) /* [n] constructed */

struct der {
	uint8_t tag;
	struct str body;
	struct str whole; /* tag, length and body, as they stand in the input */
};
/* The next element; ERR_MALFORMED when the cursor is empty or the encoding is not DER. */
fallible der_next(struct cur *c, struct der *ret, struct err *err);
/* The next element, which must have this tag. */
fallible der_want(struct cur *c, unsigned tag, struct der *ret, struct err *err);
/* Whether the next element has this tag; nothing is eaten. */
bool der_peek(const struct cur *c, unsigned tag);
/* The whole of `in` is one element with this tag: nothing after it. */
fallible der_only(struct str in, unsigned tag, struct der *ret, struct err *err);
/* Walks every constructed element below: lengths, BOOLEAN values, minimal INTEGERs, BIT STRING padding, no constructed
 * strings, SET OF in order, at most DER_DEPTH_MAX deep. What is inside primitive elements is not looked into. */
#define DER_DEPTH_MAX 16
fallible der_check(struct str in, struct err *err);

/* Writing: errors stick and come out of derw_end. */
#define DERW_DEPTH_MAX 16
struct derw {
	struct buf *out;
	struct rc rc;
	struct err *err;
	unsigned depth;
	size_t open[DERW_DEPTH_MAX]; /* where the body of each open element starts */
};
struct derw derw_begin(struct buf *out, struct err *err);
void derw_open(struct derw *w, unsigned tag);
void derw_close(struct derw *w);
void derw_put(struct derw *w, unsigned tag, struct str body); /* a primitive element */
void derw_raw(struct derw *w, struct str der);                /* bytes that are DER already */
void derw_uint(struct derw *w, struct str big_endian); /* non-negative INTEGER: leading zeros cut, sign byte added */
void derw_open_bits(struct derw *w);                   /* BIT STRING without unused bits, closed by derw_close */
void derw_bits(struct derw *w, struct str bytes);
void derw_bool(struct derw *w, bool v);
/* RFC 5280 4.1.2.5: UTCTime to 2049, GeneralizedTime from then on; never fractions, always Z. */
void derw_time(struct derw *w, int64_t unix_s);
fallible derw_end(struct derw *w);

#endif

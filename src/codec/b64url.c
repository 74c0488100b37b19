/* SPDX-License-Identifier: Apache-2.0
 *
 * b64url.c: base64url as JOSE uses it. Strict, because a second spelling of the same bytes would be a second spelling
 * of a nonce, a thumbprint or a signature: no padding, no blanks, no stray bits at the end.
 */
#include "codec/codec.h"

#include <assert.h>

static const char url_alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
static const char std_alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* What each character stands for; NONE: nothing. */
#define NONE 0xff
#define N4 NONE, NONE, NONE, NONE
#define N16 N4, N4, N4, N4
static const uint8_t values[256] = {
	N16,  N16, N4,  N4,  NONE, NONE, NONE, NONE, NONE, 62, NONE, NONE,                       /* '-' */
	52,   53,  54,  55,  56,   57,   58,   59,   60,   61, NONE, NONE, N4,                   /* '0' to '9' */
	NONE, 0,   1,   2,   3,    4,    5,    6,    7,    8,  9,    10,   11,   12,   13,   14, /* 'A' to 'O' */
	15,   16,  17,  18,  19,   20,   21,   22,   23,   24, 25,   NONE, NONE, NONE, NONE, 63, /* 'P' to 'Z', '_' */
	NONE, 26,  27,  28,  29,   30,   31,   32,   33,   34, 35,   36,   37,   38,   39,   40, /* 'a' to 'o' */
	41,   42,  43,  44,  45,   46,   47,   48,   49,   50, 51,   NONE, N4,                   /* 'p' to 'z' */
	N16,  N16, N16, N16, N16,  N16,  N16,  N16,
};

static unsigned value_of(char c)
{
	return values[(unsigned char)c];
}

/* How many bytes the text stands for. */
static fallible decoded_len(struct str text, size_t *ret, struct err *err)
{
	if (text.n % 4 == 1)
		FAIL(err, ERR_MALFORMED, "base64url text cannot have %zu characters", text.n);
	*ret = text.n / 4 * 3 + (text.n % 4 == 0 ? 0 : text.n % 4 - 1);
	return OK;
}

/* Whole groups of four characters; how many it took. Stops before a group that has a wrong one. */
static size_t decode_groups(struct str text, uint8_t *out)
{
	size_t i = 0;
	for (; text.n - i >= 4; i += 4, out += 3) {
		unsigned a = value_of(text.p[i]), b = value_of(text.p[i + 1]), c = value_of(text.p[i + 2]),
			 d = value_of(text.p[i + 3]);
		if ((a | b | c | d) > 63)
			break;
		unsigned bits = a << 18 | b << 12 | c << 6 | d;
		out[0] = (uint8_t)(bits >> 16);
		out[1] = (uint8_t)(bits >> 8);
		out[2] = (uint8_t)bits;
	}
	return i;
}

/* out has room for decoded_len bytes. */
static fallible decode(struct str text, uint8_t *out, struct err *err)
{
	uint32_t bits = 0;
	unsigned have = 0;
	size_t i = decode_groups(text, out);
	for (out += i / 4 * 3; i < text.n; i++) {
		unsigned v = value_of(text.p[i]);
		if (v == NONE)
			FAIL(err, ERR_MALFORMED, "character %zu is not base64url (no padding, no blanks)", i + 1);
		bits = (bits << 6 | v) & 0xffff;
		have += 6;
		if (have >= 8) {
			have -= 8;
			*out++ = (uint8_t)(bits >> have);
		}
	}
	if ((bits & ((1U << have) - 1)) != 0)
		FAIL(err, ERR_MALFORMED, "the last character of base64url text has stray bits");
	return OK;
}

fallible b64url_decode(struct arena *mem, struct str text, size_t max, struct str *ret, struct err *err)
{
	size_t n = 0;
	TRY(decoded_len(text, &n, err));
	if (n > max)
		FAIL(err, ERR_MALFORMED, "base64url text of %zu bytes is over the limit of %zu", n, max);
	uint8_t *out = (uint8_t *)arena_alloc(mem, n);
	TRY(decode(text, out, err));
	*ret = str_n(out, n);
	return OK;
}

fallible b64url_decode_to(struct str text, uint8_t *out, size_t n, struct err *err)
{
	size_t len = 0;
	TRY(decoded_len(text, &len, err));
	if (len != n)
		FAIL(err, ERR_MALFORMED, "base64url text of %zu bytes is wanted, this has %zu", n, len);
	return decode(text, out, err);
}

static size_t encoded_len(size_t n)
{
	assert(n <= SIZE_MAX / 2);
	return n / 3 * 4 + (n % 3 == 0 ? 0 : n % 3 + 1);
}

static void encode(struct str bytes, const char *alphabet, char *out)
{
	const uint8_t *p = (const uint8_t *)bytes.p;
	size_t i = 0;
	for (; bytes.n - i >= 3; i += 3) {
		uint32_t bits = (uint32_t)p[i] << 16 | (uint32_t)p[i + 1] << 8 | p[i + 2];
		*out++ = alphabet[bits >> 18];
		*out++ = alphabet[bits >> 12 & 63];
		*out++ = alphabet[bits >> 6 & 63];
		*out++ = alphabet[bits & 63];
	}
	if (i == bytes.n)
		return;
	bool two = bytes.n - i == 2;
	uint32_t bits = (uint32_t)p[i] << 16 | (two ? (uint32_t)p[i + 1] << 8 : 0);
	*out++ = alphabet[bits >> 18];
	*out++ = alphabet[bits >> 12 & 63];
	if (two)
		*out = alphabet[bits >> 6 & 63];
}

void b64url_encode_to(struct str bytes, char *out)
{
	encode(bytes, url_alphabet, out);
}

struct str b64url_encode(struct arena *mem, struct str bytes)
{
	size_t n = encoded_len(bytes.n);
	char *out = (char *)arena_alloc(mem, n);
	encode(bytes, url_alphabet, out);
	return (struct str){ out, n };
}

static fallible add(struct buf *b, struct str bytes, const char *alphabet, size_t padding, struct err *err)
{
	size_t n = encoded_len(bytes.n);
	char *at = NULL;
	TRY(buf_room(b, n + padding, &at, err));
	encode(bytes, alphabet, at);
	memset(at + n, '=', padding);
	b->n += n + padding;
	return OK;
}

fallible b64url_add(struct buf *b, struct str bytes, struct err *err)
{
	return add(b, bytes, url_alphabet, 0, err);
}

fallible b64_add(struct buf *b, struct str bytes, struct err *err)
{
	return add(b, bytes, std_alphabet, (3 - bytes.n % 3) % 3, err);
}

fallible pem_add(const char *kind, struct str der, struct buf *ret, struct err *err)
{
	TRY(buf_addf(ret, err, "-----BEGIN %s-----\n", kind));
	for (size_t at = 0; at < der.n; at += 48) { /* lines of 64 characters */
		TRY(b64_add(ret, str_sub(der, at, at + 48), err));
		TRY(buf_add_char(ret, '\n', err));
	}
	return buf_addf(ret, err, "-----END %s-----\n", kind);
}

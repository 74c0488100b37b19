/* SPDX-License-Identifier: Apache-2.0
 *
 * b64url.c: base64url as JOSE uses it. Strict, because a second spelling of the same bytes would be a second spelling
 * of a nonce, a thumbprint or a signature: no padding, no blanks, no stray bits at the end.
 */
#include "codec/codec.h"

#include <assert.h>

static const char url_alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
static const char std_alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static int value_of(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '-')
		return 62;
	return c == '_' ? 63 : -1;
}

/* How many bytes the text stands for. */
static fallible decoded_len(struct str text, size_t *ret, struct err *err)
{
	if (text.n % 4 == 1)
		FAIL(err, ERR_MALFORMED, "base64url text cannot have %zu characters", text.n);
	*ret = text.n / 4 * 3 + (text.n % 4 == 0 ? 0 : text.n % 4 - 1);
	return OK;
}

/* out has room for decoded_len bytes. */
static fallible decode(struct str text, uint8_t *out, struct err *err)
{
	uint32_t bits = 0;
	unsigned have = 0;
	for (size_t i = 0; i < text.n; i++) {
		int v = value_of(text.p[i]);
		if (v < 0)
			FAIL(err, ERR_MALFORMED, "character %zu is not base64url (no padding, no blanks)", i + 1);
		bits = (bits << 6 | (uint32_t)v) & 0xffff;
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
	uint32_t bits = 0;
	unsigned have = 0;
	for (size_t i = 0; i < bytes.n; i++) {
		bits = (bits << 8 | (uint8_t)bytes.p[i]) & 0xffff;
		have += 8;
		while (have >= 6) {
			have -= 6;
			*out++ = alphabet[bits >> have & 63];
		}
	}
	if (have > 0)
		*out = alphabet[bits << (6 - have) & 63];
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

/* SPDX-License-Identifier: Apache-2.0
 *
 * hex.c: hexadecimal text. Written in lower case; read in either, since serial numbers come from people.
 */
#include "codec/codec.h"

#include <assert.h>

struct str hex_encode(struct arena *mem, struct str bytes)
{
	static const char digits[] = "0123456789abcdef";
	assert(bytes.n <= SIZE_MAX / 2);
	char *out = (char *)arena_alloc(mem, bytes.n * 2);
	for (size_t i = 0; i < bytes.n; i++) {
		uint8_t c = (uint8_t)bytes.p[i];
		out[2 * i] = digits[c >> 4];
		out[2 * i + 1] = digits[c & 15];
	}
	return (struct str){ out, bytes.n * 2 };
}

static int value_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

fallible hex_decode(struct arena *mem, struct str text, size_t max, struct str *ret, struct err *err)
{
	if (text.n % 2 != 0)
		FAIL(err, ERR_MALFORMED, "hexadecimal text has an odd number of digits (%zu)", text.n);
	if (text.n / 2 > max)
		FAIL(err, ERR_MALFORMED, "hexadecimal text of %zu bytes is over the limit of %zu", text.n / 2, max);
	uint8_t *out = (uint8_t *)arena_alloc(mem, text.n / 2);
	for (size_t i = 0; i < text.n / 2; i++) {
		int high = value_of(text.p[2 * i]);
		int low = value_of(text.p[2 * i + 1]);
		if (high < 0 || low < 0)
			FAIL(err, ERR_MALFORMED, "character %zu or %zu is not a hexadecimal digit", 2 * i + 1,
			     2 * i + 2);
		out[i] = (uint8_t)(high << 4 | low);
	}
	*ret = str_n(out, text.n / 2);
	return OK;
}

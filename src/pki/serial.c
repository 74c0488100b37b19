/* SPDX-License-Identifier: Apache-2.0
 *
 * serial.c: serial numbers: a prefix that tells instances apart, then 136 random bits (RULES R1, BR 7.1.2.7).
 */
#include "pki/pki.h"

#include <assert.h>

struct serial serial_new(uint8_t instance_prefix, const struct rng *rng)
{
	struct serial s;
	/* Zero would shorten the INTEGER, 0x80 and more would make it negative or longer. */
	assert(instance_prefix >= 0x01 && instance_prefix <= 0x7f);
	s.b[0] = instance_prefix;
	rng_fill(rng, s.b + 1, sizeof s.b - 1);
	return s;
}

struct str serial_hex(struct arena *mem, const struct serial *s)
{
	return hex_encode(mem, str_n(s->b, sizeof s->b));
}

fallible serial_read_hex(struct str text, struct serial *ret, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct str bytes;
	if (text.n != 2 * SERIAL_LEN)
		FAIL(err, ERR_MALFORMED, "serial of %zu hex digits, wanted %d", text.n, 2 * SERIAL_LEN);
	TRY(hex_decode(&mem, text, SERIAL_LEN, &bytes, err));
	if ((uint8_t)bytes.p[0] == 0 || (uint8_t)bytes.p[0] > 0x7f)
		FAIL(err, ERR_MALFORMED, "serial starts with 0x%02x, wanted 0x01 to 0x7f", (uint8_t)bytes.p[0]);
	memcpy(ret->b, bytes.p, SERIAL_LEN);
	return OK;
}

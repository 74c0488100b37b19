/* SPDX-License-Identifier: Apache-2.0
 *
 * token.c: challenge tokens (RFC 8555 8.1): 256 random bits, where at least 128 are asked for.
 */
#include "model/model.h"

#define TOKEN_BYTES 32

struct token_text token_new(const struct rng *rng)
{
	uint8_t raw[TOKEN_BYTES];
	rng_fill(rng, raw, sizeof raw);
	AUTO(arena_done) struct arena mem = { 0 };
	struct str text = b64url_encode(&mem, str_n(raw, sizeof raw));
	struct token_text token = { .z = "" };
	memcpy(token.z, text.p, TOKEN_LEN); /* 32 bytes are 43 characters, always */
	return token;
}

bool token_is_wellformed(struct str s)
{
	uint8_t raw[TOKEN_BYTES];
	return s.n == TOKEN_LEN && !FAILED(b64url_decode_to(s, raw, sizeof raw, NULL));
}

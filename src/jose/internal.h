/* SPDX-License-Identifier: Apache-2.0
 *
 * internal.h: what the readers of the flattened JWS share: one for requests, one for external account bindings.
 */
#ifndef CAIRN_JOSE_INTERNAL_H
#define CAIRN_JOSE_INTERNAL_H

#include "jose/jose.h"

#define JWS_PROTECTED_MAX (16 * 1024)
#define JWS_URL_MAX 2048

/* The three members of the flattened form as text, borrowed from top; any other member is refused. */
struct jws_members {
	struct str protected_b64, payload_b64, signature_b64;
};
fallible jws_get_members(const struct json *top, struct jws_members *ret, struct err *err);
/* What a signature or MAC covers. */
struct str jws_join(struct arena *mem, struct str protected_b64, struct str payload_b64);
/* Decodes one part; the refusal names it. */
fallible jws_decode_part(struct arena *mem, const char *name, struct str b64, size_t max, struct str *ret,
			 struct err *err);
/* The protected header; freed with json_free. "crit" and "b64" are refused. */
fallible jws_read_protected(struct arena *mem, struct str protected_b64, struct json **ret, struct err *err);

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_compact.c: a compact JWS that is taken apart has the typ that was wanted, and its parts, encoded again, are its
 * text: there is one spelling.
 */
#include "fuzz.h"
#include "jose/jose.h"

#define TEXT_MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct str in = str_n(data, size);
	struct jws_compact j = { 0 };
	struct err err = { 0 };
	struct rc rc = jws_compact_read(&mem, in, STR("cairn-verdict"), TEXT_MAX, &j, &err);
	check_err(rc, &err);
	if (FAILED(rc))
		return 0;
	CHECK(size <= TEXT_MAX && j.alg < SIG_ALG_COUNT && j.kid.p != NULL);
	CHECK(str_starts(in, j.signed_part) && in.p[j.signed_part.n] == '.');
	struct str tail = str_sub(in, j.signed_part.n + 1, in.n);
	CHECK(str_eq(b64url_encode(&mem, j.signature), tail));
	CHECK(str_ends(j.signed_part, b64url_encode(&mem, j.payload)));
	struct jws_compact other = { 0 };
	CHECK(FAILED(jws_compact_read(&mem, in, STR("cairn-grant"), TEXT_MAX, &other, NULL)));
	return 0;
}

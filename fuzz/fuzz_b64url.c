/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_b64url.c: whatever decodes encodes back to the same text, so no value has two spellings; hex likewise.
 */
#include "codec/codec.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct str in = str_n(data, size);
	struct str bytes = STR_NONE;
	struct str back = STR_NONE;

	struct err err = { 0 };
	struct rc rc = b64url_decode(&mem, in, size, &bytes, &err);
	check_err(rc, &err);
	if (rc.kind == ERR_NONE) {
		CHECK(str_eq(b64url_encode(&mem, bytes), in));
		uint8_t *exact = arena_alloc(&mem, bytes.n);
		CHECK(!FAILED(b64url_decode_to(in, exact, bytes.n, NULL)));
		CHECK(bytes.n == 0 || FAILED(b64url_decode(&mem, in, bytes.n - 1, &back, NULL)));
	}
	struct err hex_err = { 0 };
	rc = hex_decode(&mem, in, size, &bytes, &hex_err);
	check_err(rc, &hex_err);
	if (rc.kind == ERR_NONE)
		CHECK(str_eq_nocase(hex_encode(&mem, bytes), in));

	/* The input as bytes. */
	CHECK(!FAILED(b64url_decode(&mem, b64url_encode(&mem, in), size, &back, NULL)) && str_eq(back, in));
	CHECK(!FAILED(hex_decode(&mem, hex_encode(&mem, in), size, &back, NULL)) && str_eq(back, in));
	AUTO(buf_done) struct buf padded = BUF_MAX(size / 3 * 4 + 4);
	CHECK(!FAILED(b64_add(&padded, in, NULL)) && padded.n % 4 == 0);
	return 0;
}

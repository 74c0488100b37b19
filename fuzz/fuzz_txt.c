/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_txt.c: the strings of a TXT record, joined, are the record without its length bytes; a string that runs past the
 * end spoils it.
 */
#include "fuzz.h"
#include "net/resolve.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct err err = { 0 };
	struct str got = STR_NONE;
	struct rc rc = resolve_txt_join(str_n(data, size), &mem, &got, &err);
	check_err(rc, &err);
	size_t at = 0, n = 0;
	while (at < size && data[at] <= size - at - 1) {
		size_t length = data[at];
		if (rc.kind == ERR_NONE && length > 0)
			CHECK(n + length <= got.n && memcmp(got.p + n, data + at + 1, length) == 0);
		n += length;
		at += 1 + length;
	}
	CHECK((at == size) == (rc.kind == ERR_NONE));
	CHECK(rc.kind != ERR_NONE || got.n == n);
	return 0;
}

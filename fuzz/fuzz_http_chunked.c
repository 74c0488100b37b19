/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_http_chunked.c: a chunked body, decoded in one go and in pieces. The first byte says how long the pieces are;
 * both ways must agree in verdict, body and what is left.
 */
#include "fuzz.h"

#include "http/chunked.h"

#define BODY_MAX 1024

struct outcome {
	bool failed, done;
	int status;
	size_t used;
};

static struct outcome decode(struct str in, size_t piece, struct buf *body)
{
	struct chunked d = { 0 };
	struct outcome o = { 0 };
	while (o.used < in.n && !o.done && !o.failed) {
		size_t used = 0;
		o.failed = FAILED(
			chunked_feed(&d, str_sub(in, o.used, o.used + piece), body, &used, &o.done, &o.status, NULL));
		CHECK(o.failed || o.done || used > 0);
		if (!o.failed)
			o.used += used;
	}
	return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	struct str in = str_n(data + 1, size - 1);
	AUTO(buf_done) struct buf whole = BUF_MAX(BODY_MAX), cut = BUF_MAX(BODY_MAX);
	struct outcome a = decode(in, in.n, &whole);
	struct outcome b = decode(in, (size_t)data[0] % 16 + 1, &cut);
	CHECK(a.failed == b.failed && a.done == b.done && a.status == b.status);
	CHECK(!a.failed || a.status == 400 || a.status == 413);
	CHECK(a.failed || (a.used == b.used && str_eq(buf_str(&whole), buf_str(&cut))));
	return 0;
}

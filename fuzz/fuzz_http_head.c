/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_http_head.c: a request head. What is accepted must be whole, must keep what http.h promises of its slices, and
 * must not be accepted any shorter; what is refused must name a status.
 */
#include "fuzz.h"

#include "http/http.h"

static bool inside(struct str s, struct str all)
{
	return s.p == NULL || (s.p >= all.p && s.p + s.n <= all.p + all.n);
}

static void check_accepted(const struct http_head *h, struct str in, size_t used)
{
	CHECK(used <= in.n && used <= http_limits_default.head_max);
	CHECK(memcmp(in.p + used - 4, "\r\n\r\n", 4) == 0);
	CHECK(memchr(in.p, '\0', used) == NULL);
	CHECK(!(h->chunked && h->has_length));
	CHECK(h->rq.host.n > 0 && h->rq.method_text.n > 0);
	CHECK(h->rq.target.n > 0 && h->rq.target.p[0] == '/' && str_starts(h->rq.target, h->rq.path));
	CHECK(memmem(h->rq.path.p, h->rq.path.n, "/../", 4) == NULL);
	const struct str all[] = { h->rq.method_text,
				   h->rq.target,
				   h->rq.path,
				   h->rq.query,
				   h->rq.host,
				   h->rq.user_agent,
				   h->rq.origin,
				   h->rq.accept_language,
				   h->rq.content_encoding };
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		CHECK(inside(all[i], str_sub(in, 0, used)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_n(data, size);
	AUTO(arena_done) struct arena mem = { 0 };
	struct http_head h = { 0 };
	struct err err = { 0 };
	size_t used = 0;
	int status = 0;
	if (FAILED(http_head_read(&mem, in, &http_limits_default, &h, &used, &status, &err))) {
		CHECK(status >= 400 && status <= 505 && err.detail[0] != '\0');
		return 0;
	}
	if (used == 0)
		return 0;
	check_accepted(&h, in, used);
	size_t again = 1;
	struct http_head shorter = { 0 };
	CHECK(!FAILED(
		http_head_read(&mem, str_sub(in, 0, used - 1), &http_limits_default, &shorter, &again, &status, &err)));
	CHECK(again == 0);
	return 0;
}

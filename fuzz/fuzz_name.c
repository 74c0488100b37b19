/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_name.c: an accepted name keeps every promise that name_check makes, and patterns and names agree.
 */
#include "codec/codec.h"
#include "fuzz.h"

static void check_promises(struct str name)
{
	CHECK(name.n >= 3 && name.n <= NAME_MAX_LEN);
	struct str base = name;
	(void)str_skip(&base, STR("*."));
	size_t labels = 0;
	size_t label_n = 0;
	for (size_t i = 0; i <= base.n; i++) {
		if (i == base.n || base.p[i] == '.') {
			CHECK(label_n >= 1 && label_n <= 63 && base.p[i - 1] != '-');
			labels++;
			label_n = 0;
			continue;
		}
		char c = base.p[i];
		CHECK((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c == '-' && label_n > 0));
		label_n++;
	}
	CHECK(labels >= 2 && labels <= 10);
	struct addr a;
	CHECK(FAILED(addr_read(base, &a, NULL)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct str name = str_n(data, size);
	struct err err = { 0 };
	struct err plain_err = { 0 };
	struct rc rc = name_check(name, true, &err);
	struct rc plain = name_check(name, false, &plain_err);
	check_err(rc, &err);
	check_err(plain, &plain_err);
	bool star = str_starts(name, STR("*."));
	CHECK(star ? FAILED(plain) : plain.kind == rc.kind);
	struct err pattern_err = { 0 };
	struct rc pattern = name_pattern_check(name, &pattern_err);
	check_err(pattern, &pattern_err);
	struct str lower = name_lower(&mem, name);
	CHECK(str_eq_nocase(lower, name));
	if (FAILED(rc))
		return 0;
	check_promises(name);
	CHECK(str_eq(lower, name));
	CHECK(!FAILED(pattern)); /* every name is a pattern of itself */
	CHECK(name_matches(name, name) && name_matches(STR("*"), name));
	struct str below = str_fmt(&mem, "x.%.*s", STR_FMT(str_sub(name, star ? 2 : 0, name.n)));
	struct str tree = str_fmt(&mem, "*.%.*s", STR_FMT(str_sub(name, star ? 2 : 0, name.n)));
	CHECK(name_matches(tree, below) && !name_matches(tree, str_sub(name, star ? 2 : 0, name.n)));
	/* As a URL's host it is the same name again. */
	if (!star) {
		struct url u;
		CHECK(!FAILED(url_read(&mem, str_fmt(&mem, "http://%.*s", STR_FMT(name)), 300, &u, NULL)));
		CHECK(str_eq(u.host, name) && !u.host_is_addr);
	}
	return 0;
}

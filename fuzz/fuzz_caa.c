/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_caa.c: a CAA record's bytes, then what its value says. Slices stay within the input, what is read can be shown
 * and judged, and a value is a permission only when this CA's name begins it. The input is one record's data.
 */
#include "fuzz.h"
#include "validate/internal.h"

static bool within(struct str part, struct str whole)
{
	return part.n == 0 || (part.p >= whole.p && part.n <= whole.n && part.p <= whole.p + (whole.n - part.n));
}

static bool printable(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < 0x20 || s.p[i] > 0x7e)
			return false;
	return true;
}

static void check_value(struct str value)
{
	struct caa_value v = { .issuer = STR_NONE };
	struct err err = { 0 };
	struct rc rc = caa_value_read(value, &v, &err);
	check_err(rc, &err);
	CHECK(within(v.issuer, value) && within(v.account_uri, value) && within(v.methods, value));
	CHECK(rc.kind != ERR_NONE || (printable(v.issuer) && printable(v.account_uri) && printable(v.methods)));
}

static void check_judgement(const struct resolve_caa_record *r, bool wildcard)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct str ours[] = { STR("ca.test") };
	struct resolve_caa_record copy = *r;
	const struct conf_list identities = { ours, 1 };
	const struct caa_question q = { &identities, STR("https://ca.test/account/1"), STR("dns-01"), wildcard };
	const struct resolve_caa_answer set = { .records = &copy, .count = 1 };
	struct str text = STR_NONE;
	struct err err = { 0 };
	struct rc rc = caa_judge(&q, &set, &mem, &text, &err);
	check_err(rc, &err);
	CHECK(rc.kind == ERR_NONE || rc.kind == ERR_CAA);
	CHECK(printable(text) && printable(str_z(err.detail)) && printable(caa_set_show(&mem, &set)));
	bool decides = str_eq_nocase(r->tag, STR("issue")) || (wildcard && str_eq_nocase(r->tag, STR("issuewild")));
	struct str begins = str_sub(str_trim(r->value), 0, ours[0].n);
	CHECK(rc.kind != ERR_NONE || !decides || str_eq_nocase(begins, ours[0]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_n(data, size);
	struct resolve_caa_record r = { .flags = 0 };
	struct err err = { 0 };
	check_value(in);
	struct rc rc = resolve_caa_read(in, &r, &err);
	check_err(rc, &err);
	CHECK((rc.kind == ERR_NONE) ==
	      (size > 2 && data[1] > 0 && (size_t)data[1] <= size - 2 && size - 2 - data[1] <= RESOLVE_CAA_VALUE_MAX));
	if (rc.kind != ERR_NONE)
		return 0;
	CHECK(r.flags == data[0] && r.tag.n == data[1] && r.tag.n + r.value.n + 2 == size);
	CHECK(within(r.tag, in) && within(r.value, in));
	check_value(r.value);
	check_judgement(&r, false);
	check_judgement(&r, true);
	return 0;
}

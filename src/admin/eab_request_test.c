/* SPDX-License-Identifier: Apache-2.0
 *
 * eab_request_test.c: what an operator may ask of a new key, and in which words everything else is refused.
 */
#include "admin/testing.h"

static void an_end_is_a_duration_a_day_or_a_time(void **state)
{
	static const struct {
		const char *text;
		int64_t want; /* milliseconds from T_START on; 0: refused with `says` */
		const char *says;
	} rows[] = {
		{ "90d", 90 * 86400000LL, NULL },
		{ "1h", 3600000, NULL },
		{ "30m", 1800000, NULL },
		{ "1s", 1000, NULL },
		{ "36500d", 36500 * 86400000LL, NULL },
		{ "2027-01-16", 16 * 3600000LL, NULL },
		{ "2027-01-15T09:00:00Z", 3600000, NULL },
		{ "2027-01-15T11:00:00+02:00", 3600000, NULL },
		{ "36501d", 0, "at most 36500d" },
		{ "999999999999d", 0, "at most 36500d" },
		{ "9999-12-31", 0, "at most 36500d" },
		{ "0d", 0, "not in the future" },
		{ "2027-01-15", 0, "not in the future" },
		{ "2027-01-15T08:00:00Z", 0, "not in the future" },
		{ "1999-01-01", 0, "not in the future" },
		{ "90", 0, "allowed: a duration such as 90d" },
		{ "d", 0, "allowed: a duration" },
		{ "-1d", 0, "allowed: a duration" },
		{ "1w", 0, "allowed: a duration" },
		{ "1.5d", 0, "allowed: a duration" },
		{ "2027-02-30", 0, "allowed: a duration" },
		{ "2027-01-16 ", 0, "allowed: a duration" },
		{ "tomorrow", 0, "allowed: a duration" },
		{ "", 0, "allowed: a duration" },
		{ "99999999999999999999d", 0, "allowed: a duration" },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err = { 0 };
		int64_t at = 7;
		struct rc rc = eab_expiry_read(str_z(rows[i].text), T_START, &at, &err);
		if (rows[i].want != 0 ? FAILED(rc) || at != T_START + rows[i].want
				      : rc.kind != ERR_MALFORMED || strstr(err.detail, rows[i].says) == NULL || at != 7)
			fail_msg("\"%s\": found %lld and \"%s\"", rows[i].text, (long long)(at - T_START), err.detail);
	}
}

static fallible wish_of(const char *members, struct arena *mem, struct eab_wish *ret, struct err *err)
{
	AUTO(json_auto) struct json *rq = NULL;
	struct conf *conf = test_conf(T_CONF);
	struct rc rc = json_read(str_fmt(mem, "{%s}", members), ADMIN_REQUEST_MAX, &rq, err);
	if (!FAILED(rc))
		rc = eab_wish_read(mem, rq, conf, T_START, ret, err);
	conf_free(conf);
	return rc;
}

#define REALM "\"realm\":\"default\""
static void what_a_key_cannot_have_is_refused_in_words(void **state)
{
	static const struct {
		const char *members;
		enum err_kind kind;
		const char *says;
	} rows[] = {
		{ "\"uses\":1", ERR_MALFORMED, "realm" },
		{ "\"realm\":1", ERR_MALFORMED, "realm" },
		{ "\"realm\":\"nope\"", ERR_NOT_FOUND, "found \"nope\"; the configuration has: default, lab" },
		{ REALM ",\"label\":7", ERR_MALFORMED, "label" },
		{ REALM ",\"label\":\"a\\nb\"", ERR_MALFORMED, "control character" },
		{ REALM ",\"label\":\"a\\u007fb\"", ERR_MALFORMED, "control character" },
		{ REALM ",\"label\":\"a\\u009bb\"", ERR_MALFORMED, "control character" },
		{ REALM ",\"names\":\"a.test\"", ERR_MALFORMED, "names" },
		{ REALM ",\"names\":[1]", ERR_MALFORMED, "element 0" },
		{ REALM ",\"names\":[\"a.test\",\"\"]", ERR_MALFORMED, "element 1" },
		{ REALM ",\"names\":[\"a.*.test\"]", ERR_MALFORMED, "found \"a.*.test\"; allowed: a name" },
		{ REALM ",\"names\":[\"A.test\"]", ERR_MALFORMED, "found \"A.test\"" },
		{ REALM ",\"names\":[\"10.0.0.0/33\"]", ERR_MALFORMED, "10.0.0.0/33" },
		{ REALM ",\"names\":[\"10.0.0.1/8\"]", ERR_MALFORMED, "10.0.0.1/8" },
		{ REALM ",\"profiles\":[\"other\"]", ERR_NOT_FOUND, "realm default has: server, short" },
		{ "\"realm\":\"lab\",\"profiles\":[\"short\"]", ERR_NOT_FOUND, "realm lab has: server" },
		{ REALM ",\"uses\":-1", ERR_MALFORMED, "uses" },
		{ REALM ",\"uses\":1000000001", ERR_MALFORMED, "uses" },
		{ REALM ",\"uses\":\"1\"", ERR_MALFORMED, "uses" },
		{ REALM ",\"expires\":90", ERR_MALFORMED, "expires" },
		{ REALM ",\"expires\":\"2020-01-01\"", ERR_MALFORMED, "not in the future" },
		{ REALM ",\"kid\":\"\"", ERR_MALFORMED, "1 to 64 letters" },
		{ REALM ",\"kid\":\"-x\"", ERR_MALFORMED, "no - in front" },
		{ REALM ",\"kid\":\"a b\"", ERR_MALFORMED, "1 to 64 letters" },
		{ REALM ",\"kid\":\"01234567890123456789012345678901234567890123456789012345678901234\"", ERR_MALFORMED,
		  "kid" },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(arena_done) struct arena mem = { 0 };
		struct eab_wish wish;
		struct err err = { 0 };
		struct rc rc = wish_of(rows[i].members, &mem, &wish, &err);
		if (rc.kind != rows[i].kind || strstr(err.detail, rows[i].says) == NULL)
			fail_msg("{%s}: found %s \"%s\"", rows[i].members, err_kind_name(rc.kind), err.detail);
	}
}

static void a_wish_comes_out_as_it_was_written(void **state)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct err err = { 0 };
	struct eab_wish w;
	(void)state;
	MUST(wish_of(REALM
		     ",\"label\":\"team \\u00e9\",\"names\":[\"*.a.test\",\"b.test\",\"10.1.0.0/16\",\"2001:db8::/"
		     "32\",\"192.0.2.7\"],\"profiles\":[\"short\"],\"uses\":5,\"kid\":\"k-1\",\"expires\":\"1d\"",
		     &mem, &w, &err));
	ASSERT_STR(w.realm, "default");
	assert_int_equal(w.names.n, 5);
	ASSERT_STR(w.names.v[2], "10.1.0.0/16");
	ASSERT_STR(w.names.v[4], "192.0.2.7");
	assert_int_equal(w.profiles.n, 1);
	assert_int_equal(w.uses_max, 5);
	ASSERT_STR(w.kid, "k-1");
	assert_int_equal(w.expires_at, T_START + 86400000);
	MUST(wish_of(REALM, &mem, &w, &err));
	assert_int_equal(w.names.n + w.profiles.n + w.kid.n + w.label.n, 0);
	assert_int_equal(w.uses_max, 0);
	assert_int_equal(w.expires_at, 0);
}

static void a_hundred_names_pass_and_one_more_does_not(void **state)
{
	(void)state;
	for (size_t count = EAB_NAMES_MAX; count <= EAB_NAMES_MAX + 1; count++) {
		AUTO(arena_done) struct arena mem = { 0 };
		struct err err = { 0 };
		struct eab_wish w;
		struct str names = STR_NONE;
		for (size_t i = 0; i < count; i++)
			names = str_fmt(&mem, "%.*s%s\"n%zu.a.test\"", STR_FMT(names), i == 0 ? "" : ",", i);
		struct str all = str_fmt(&mem, REALM ",\"names\":[%.*s]", STR_FMT(names));
		if (count == EAB_NAMES_MAX)
			MUST(wish_of(all.p, &mem, &w, &err));
		else
			MUST_FAIL(wish_of(all.p, &mem, &w, &err), ERR_MALFORMED, "at most 100");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_end_is_a_duration_a_day_or_a_time),
		cmocka_unit_test(what_a_key_cannot_have_is_refused_in_words),
		cmocka_unit_test(a_wish_comes_out_as_it_was_written),
		cmocka_unit_test(a_hundred_names_pass_and_one_more_does_not),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * dns01_test.c: which TXT records prove a name (RFC 8555 8.4), and what is said of all others (THREATS A43 to A45).
 */
#include "validate/test.h"

#define OTHER_DIGEST "unWsaW4hWBvdi8E4eDlR8mCMgOxW32yq6GLQij0bREY"
#define X50 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define ASKED "_acme-challenge.a.test TXT from 127.0.0.1:5353: "
#define WANTED "; wanted a record \"" DIGEST "\"; "
#define S(lit)                         \
	{                              \
		(lit), sizeof(lit) - 1 \
	}

static const struct {
	const char *title;
	struct str records[4];
	size_t left_out;
	bool nxdomain;
	const char *canonical;
	enum err_kind kind;
	const char *want;
} rows[] = {
	{ "the digest", { S(DIGEST) }, 0, false, NULL, ERR_NONE, "" },
	{ "the digest among others", { S("v=spf1 -all"), S(OTHER_DIGEST), S(DIGEST) }, 0, false, NULL, ERR_NONE, "" },
	{ "the digest where an alias leads", { S(DIGEST) }, 0, false, "a.acme-dns.test", ERR_NONE, "" },
	{ "the digest beside what was left out", { S(DIGEST) }, 500, false, NULL, ERR_NONE, "" },
	{ "no such name",
	  { { 0 } },
	  0,
	  true,
	  NULL,
	  ERR_DNS,
	  "_acme-challenge.a.test TXT: no such name (NXDOMAIN) from 127.0.0.1:5353" WANTED
	  "publish it under exactly this name (many a panel adds the zone's name itself) and wait until all name "
	  "servers "
	  "of the zone have it" },
	{ "an alias that leads nowhere",
	  { { 0 } },
	  0,
	  true,
	  "gone.test",
	  ERR_DNS,
	  "_acme-challenge.a.test (alias of gone.test) TXT: no such name (NXDOMAIN) from 127.0.0.1:5353; " },
	{ "no record",
	  { { 0 } },
	  0,
	  false,
	  NULL,
	  ERR_UNAUTHORIZED,
	  "_acme-challenge.a.test TXT: no such record from 127.0.0.1:5353" WANTED
	  "publish it under exactly this name " },
	{ "another digest",
	  { S(OTHER_DIGEST) },
	  0,
	  false,
	  NULL,
	  ERR_UNAUTHORIZED,
	  ASKED "found \"" OTHER_DIGEST "\"" WANTED
		"that is of another order or account: publish this one beside it or in its place, and wait until name "
		"servers and caches have let go of the old one" },
	{ "something else",
	  { S("hello"), S("you"), S("there"), S("all") },
	  2,
	  false,
	  NULL,
	  ERR_UNAUTHORIZED,
	  ASKED "found \"hello\", \"you\", \"there\" and 3 more" WANTED "publish this value, beside what is there" },
	{ "nothing readable", { { 0 } }, 2, false, NULL, ERR_UNAUTHORIZED, ASKED "found 2 more" WANTED "publish " },
	{ "quotation marks",
	  { S("\"" DIGEST "\"") },
	  0,
	  false,
	  NULL,
	  ERR_UNAUTHORIZED,
	  ASKED "found \"\\x22" DIGEST "\\x22\"" WANTED
		"the record has quotation marks of its own: enter it without them" },
	{ "blanks",
	  { S(" " DIGEST "\n") },
	  0,
	  false,
	  NULL,
	  ERR_UNAUTHORIZED,
	  ASKED "found \" " DIGEST "\\x0a\"" WANTED "the record has blanks at its ends: enter it without them" },
	{ "padding",
	  { S(DIGEST "=") },
	  0,
	  false,
	  NULL,
	  ERR_UNAUTHORIZED,
	  ASKED "found \"" DIGEST "=\"" WANTED "leave out the \"=\" at its end" },
	{ "base64",
	  { S("hnBSHdPn51KwSeRPOCYi3oCAFtGyOtJ8/hiip4YUz+o=") },
	  0,
	  false,
	  NULL,
	  ERR_UNAUTHORIZED,
	  ASKED "found \"hnBSHdPn51KwSeRPOCYi3oCAFtGyOtJ8/hiip4YUz+o=\"" WANTED
		"the record is base64; wanted base64url, with - and _ and without =" },
	{ "base64 without padding",
	  { S("hnBSHdPn51KwSeRPOCYi3oCAFtGyOtJ8/hiip4YUz+o") },
	  0,
	  false,
	  NULL,
	  ERR_UNAUTHORIZED,
	  ASKED "found \"hnBSHdPn51KwSeRPOCYi3oCAFtGyOtJ8/hiip4YUz+o\"" WANTED
		"the record is base64; wanted base64url, with - and _ and without =" },
	{ "hexadecimal",
	  { S("8670521dd3e7e752b049e44f382622de808016d1b23ad27cfe18a2a78614cfea") },
	  0,
	  false,
	  NULL,
	  ERR_UNAUTHORIZED,
	  ASKED "found \"8670521dd3e7e752b049e44f382622de808016d1b23ad27cfe18a2a78614...\"" WANTED
		"the record is hexadecimal; wanted base64url" },
	{ "the digest's bytes",
	  { S(DIGEST_BYTES) },
	  0,
	  false,
	  NULL,
	  ERR_UNAUTHORIZED,
	  ASKED "found \"\\x86pR\\x1d\\xd3\\xe7\\xe7R\\xb0I\\xe4O8&\\x22\\xde\\x80\\x80\\x16\\xd1...\"" WANTED
		"publish " },
	{ "the key authorization",
	  { S(KEYAUTH) },
	  0,
	  false,
	  NULL,
	  ERR_UNAUTHORIZED,
	  ASKED "found \"" TOKEN ".hhhhhhhh-_012345...\"" WANTED
		"the record is the key authorization; wanted its SHA-256 digest in base64url" },
	{ "the token",
	  { S(TOKEN) },
	  0,
	  false,
	  NULL,
	  ERR_UNAUTHORIZED,
	  ASKED "found \"" TOKEN "\"" WANTED
		"the record is the token; wanted the key authorization's SHA-256 digest in base64url" },
	{ "lower case",
	  { S("hnbshdpn51kwserpocyi3ocaftgyotj8_hiip4yuz-o") },
	  0,
	  false,
	  NULL,
	  ERR_UNAUTHORIZED,
	  ASKED "found \"hnbshdpn51kwserpocyi3ocaftgyotj8_hiip4yuz-o\"" WANTED
		"upper and lower case got lost: enter the record as it is" },
	{ "three long records are cut", /* A45 */
	  { S(X50 X50), S(X50 X50), S("\x1b[2J\x00") },
	  0,
	  false,
	  NULL,
	  ERR_UNAUTHORIZED,
	  ASKED "found \"" X50 "xxxxxxxxxx...\", \"" X50 "xxxxxxxxxx...\", \"\\x1b[2J\\x00\"" WANTED "publish " },
	{ "an alias of control characters",
	  { S("x") },
	  0,
	  false,
	  "\x1b.test",
	  ERR_UNAUTHORIZED,
	  "_acme-challenge.a.test (alias of \\x1b.test) TXT from 127.0.0.1:5353: found \"x\"" WANTED "publish " },
};

static void every_row_ends_as_it_says(void **state)
{
	struct script *s = *state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(arena_done) struct arena mem = { 0 };
		struct verdict v;
		struct str records[4];
		size_t count = 0;
		for (; count < 4 && rows[i].records[count].n > 0; count++)
			records[count] = rows[i].records[count];
		const struct script_step step = { .asked = "_acme-challenge.a.test",
						  .txt = { .records = records,
							   .count = count,
							   .left_out = rows[i].left_out,
							   .canonical = str_z(rows[i].canonical),
							   .nxdomain = rows[i].nxdomain } };
		struct validate_job job = script_job(CHALLENGE_DNS01);
		assert_true(script_run(s, &step, 1, 1, &job, &mem, &v));
		script_check_problem(rows[i].title, &v, rows[i].kind, rows[i].want, &mem);
	}
}

/* SERVFAIL, a bogus answer, silence: the resolver's own words. */
static void what_the_resolver_says_is_passed_on(void **state)
{
	struct script *s = *state;
	AUTO(arena_done) struct arena mem = { 0 };
	struct verdict v;
	struct str record = STR(DIGEST);
	const struct script_step step = { .asked = "_acme-challenge.a.test",
					  .fail = "the answer is bogus (DNSSEC): signature expired",
					  .kind = ERR_DNS,
					  .txt = { .records = &record, .count = 1, .dnssec = DNSSEC_BOGUS } };
	struct validate_job job = script_job(CHALLENGE_DNS01);
	assert_true(script_run(s, &step, 1, 1, &job, &mem, &v));
	script_check_problem("bogus", &v, ERR_DNS, "the answer is bogus (DNSSEC): signature expired", &mem);
	assert_int_equal(v.step_count, 1);
	assert_true(str_eq(v.steps[0].detail, STR("_acme-challenge.a.test TXT from 127.0.0.1:5353: the answer is bogus "
						  "(DNSSEC): signature expired")));
}

/* RFC 8555 8.4, RFC 9444: the job has the name without "*." and the ancestor itself. */
static void wildcards_and_ancestors_are_asked_for_at_their_base(void **state)
{
	struct script *s = *state;
	for (int i = 0; i < 2; i++) {
		AUTO(arena_done) struct arena mem = { 0 };
		struct verdict v;
		struct str record = STR(DIGEST);
		const struct script_step step = { .asked = "_acme-challenge.a.test",
						  .txt = { .records = &record, .count = 1, .dnssec = DNSSEC_SECURE } };
		struct validate_job job = script_job(CHALLENGE_DNS01);
		job.wildcard = i == 0;
		job.subdomains = i == 1;
		assert_true(script_run(s, &step, 1, 1, &job, &mem, &v));
		assert_true(v.valid);
		assert_int_equal(v.wildcard, i == 0);
		assert_int_equal(v.subdomains, i == 1);
		assert_int_equal(v.step_count, 2);
		assert_true(str_eq(v.steps[0].detail,
				   STR("_acme-challenge.a.test TXT from 127.0.0.1:5353: \"" DIGEST "\" (secure)")));
		assert_true(str_eq(v.steps[1].detail, STR("record 1 of 1 is the digest")));
	}
}

static void a_name_that_leaves_no_room_for_the_label_is_told_so(void **state)
{
	struct script *s = *state;
	AUTO(arena_done) struct arena mem = { 0 };
	struct verdict v;
	struct validate_job job = script_job(CHALLENGE_DNS01);
	job.ident.value = STR(X50 "." X50 "." X50 "." X50 ".xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx.test");
	assert_true(script_run(s, NULL, 0, 3, &job, &mem, &v));
	assert_int_equal(v.problem, ERR_DNS);
	assert_true(
		str_ends(v.problem_detail,
			 STR(".test is longer than the 253 characters that DNS has room for; use another challenge")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_row_ends_as_it_says),
		cmocka_unit_test(what_the_resolver_says_is_passed_on),
		cmocka_unit_test(wildcards_and_ancestors_are_asked_for_at_their_base),
		cmocka_unit_test(a_name_that_leaves_no_room_for_the_label_is_told_so),
	};
	return cmocka_run_group_tests(tests, script_setup, script_teardown);
}

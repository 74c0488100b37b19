/* SPDX-License-Identifier: Apache-2.0
 *
 * caa_test.c: record sets and what they allow (RFC 8659 4, RFC 8657; THREATS A51, A52) as one table; the climb from a
 * name to its top-level domain over scripted answers; and which names are asked at all (A49).
 */
#include "test.h"

#define ACCOUNT "https://ca.test/account/1"
#define OURS "this CA is 'ca.test' or 'ca2.test'; add a record 0 issue 'ca.test', or use a CA that is allowed"
#define OURS_WILD "this CA is 'ca.test' or 'ca2.test'; add a record 0 issuewild 'ca.test', or use a CA that is allowed"
#define MALFORMED(shown) \
	"0 issue '" shown "' is not of the form 'domain; tag=value' and allows nobody (RFC 8659 4.2); " OURS

static struct str identities[] = { { "ca.test", 7 }, { "ca2.test", 8 } };

/* "FLAGS TAG VALUE" */
static struct resolve_caa_record record(const char *text)
{
	struct str all = str_z(text);
	size_t tag = str_find(all, ' ', 0), value = str_find(all, ' ', tag + 1);
	uint64_t flags = 0;
	assert_false(FAILED(str_u64(str_sub(all, 0, tag), 255, &flags, NULL)));
	return (struct resolve_caa_record){ (uint8_t)flags, str_sub(all, tag + 1, value),
					    str_sub(all, value + 1, all.n) };
}

/* --- the judge ----------------------------------------------------------------------------------------------------*/

static const struct judge_row {
	const char *title;
	const char *records[6];
	bool wildcard;
	const char *denied; /* why; NULL: allowed */
} judge_rows[] = {
	{ "ours", { "0 issue ca.test" }, false, NULL },
	{ "our other name", { "0 issue ca2.test" }, false, NULL },
	{ "names have no case", { "0 issue CA.Test" }, false, NULL },
	{ "tags have no case", { "0 IsSuE ca.test" }, false, NULL },
	{ "blanks around it", { "0 issue \t ca.test \t" }, false, NULL },
	{ "one of several", { "0 issue other.test", "0 issue ca.test", "0 issue third.test" }, false, NULL },
	{ "a ; and nothing behind it", { "0 issue ca.test;" }, false, NULL },
	{ "a ; and blanks behind it", { "0 issue ca.test ; " }, false, NULL },
	{ "parameters of others", { "0 issue ca.test; policy=ev; x-1=" }, false, NULL },
	{ "critical and known", { "128 issue ca.test", "128 iodef mailto:a@a.test" }, false, NULL },
	{ "another CA", { "0 issue other.test" }, false, "0 issue 'other.test'; " OURS },
	{ "a longer name", { "0 issue xca.test" }, false, "0 issue 'xca.test'; " OURS },
	{ "a name below ours", { "0 issue a.ca.test" }, false, "0 issue 'a.ca.test'; " OURS },
	{ "a name above ours", { "0 issue test" }, false, "0 issue 'test'; " OURS },
	{ "nobody", { "0 issue ;" }, false, "0 issue ';'; " OURS },
	{ "nobody, without the ;", { "0 issue " }, false, "0 issue ''; " OURS },
	{ "nobody, with a parameter", { "0 issue ; a=b" }, false, "0 issue '; a=b'; " OURS },
	{ "nobody and we", { "0 issue ;", "0 issue ca.test" }, false, NULL },

	{ "a dot at the end", { "0 issue ca.test." }, false, MALFORMED("ca.test.") },
	{ "an empty label", { "0 issue ca..test" }, false, MALFORMED("ca..test") },
	{ "a hyphen at the end", { "0 issue ca-.test" }, false, MALFORMED("ca-.test") },
	{ "an underscore", { "0 issue c_a.test" }, false, MALFORMED("c_a.test") },
	{ "a wildcard", { "0 issue *.test" }, false, MALFORMED("*.test") },
	{ "two names", { "0 issue ca.test ca2.test" }, false, MALFORMED("ca.test ca2.test") },
	{ "a comma", { "0 issue ca.test,ca2.test" }, false, MALFORMED("ca.test,ca2.test") },
	{ "quotation marks", { "0 issue \"ca.test\"" }, false, MALFORMED("\\x22ca.test\\x22") },
	{ "a URL", { "0 issue https://ca.test" }, false, MALFORMED("https://ca.test") },
	{ "a parameter without =", { "0 issue ca.test; policy" }, false, MALFORMED("ca.test; policy") },
	{ "a parameter without tag", { "0 issue ca.test; =x" }, false, MALFORMED("ca.test; =x") },
	{ "a tag with a dot", { "0 issue ca.test; a.b=x" }, false, MALFORMED("ca.test; a.b=x") },
	{ "a value with a blank", { "0 issue ca.test; a=b c" }, false, MALFORMED("ca.test; a=b c") },
	{ "a value with a control", { "0 issue ca.test; a=\x01" }, false, MALFORMED("ca.test; a=\\x01") },
	{ "an empty parameter at the end", { "0 issue ca.test; a=b;" }, false, MALFORMED("ca.test; a=b;") },
	{ "two semicolons", { "0 issue ca.test;;" }, false, MALFORMED("ca.test;;") },
	{ "no semicolon", { "0 issue ca.test a=b" }, false, MALFORMED("ca.test a=b") },
	{ "a NUL would be worse", { "0 issue ca.test\x7f" }, false, MALFORMED("ca.test\\x7f") },
	{ "malformed, and ours beside it", { "0 issue ca.test.", "0 issue ca.test" }, false, NULL },

	{ "iodef alone", { "0 iodef mailto:a@a.test" }, false, NULL },
	{ "mail alone", { "0 issuemail ;", "0 issuevmc ;" }, false, NULL },
	{ "unknown, not critical", { "0 tbs x", "64 contactemail a@a.test" }, false, NULL },
	{ "unknown and critical",
	  { "0 issue ca.test", "128 tbs x" },
	  false,
	  "128 tbs 'x' is critical and its tag is not known here (RFC 8659 4.1); remove it, or use a CA that knows "
	  "it" },
	{ "unknown, and critical by the wrong bit",
	  { "1 tbs x", "0 issue ca.test" },
	  false,
	  "1 tbs 'x' is critical and its tag is not known here (RFC 8659 4.1); remove it, or use a CA that knows "
	  "it" },
	{ "unknown and critical, for a wildcard",
	  { "129 tbs x" },
	  true,
	  "129 tbs 'x' is critical and its tag is not known here (RFC 8659 4.1); remove it, or use a CA that knows "
	  "it" },

	{ "issuewild says nothing about a name", { "0 issuewild other.test" }, false, NULL },
	{ "issuewild does not allow a name",
	  { "0 issuewild ca.test", "0 issue other.test" },
	  false,
	  "0 issue 'other.test'; " OURS },
	{ "issue decides for a wildcard too", { "0 issue ca.test" }, true, NULL },
	{ "issue denies a wildcard too", { "0 issue ;" }, true, "0 issue ';'; " OURS },
	{ "issuewild comes first", { "0 issue other.test", "0 issuewild ca.test" }, true, NULL },
	{ "issuewild denies", { "0 issue ca.test", "0 issuewild ;" }, true, "0 issuewild ';'; " OURS_WILD },
	{ "malformed issuewild denies",
	  { "0 issue ca.test", "0 issuewild ca.test." },
	  true,
	  "0 issuewild 'ca.test.' is not of the form 'domain; tag=value' and allows nobody (RFC 8659 "
	  "4.2); " OURS_WILD },

	{ "our account", { "0 issue ca.test; accounturi=" ACCOUNT }, false, NULL },
	{ "our account, blanks", { "0 issue ca.test ;accounturi = " ACCOUNT " " }, false, NULL },
	{ "our account and method",
	  { "0 issue ca.test; accounturi=" ACCOUNT "; validationmethods=dns-01,http-01" },
	  false,
	  NULL },
	{ "another account",
	  { "0 issue ca.test; accounturi=https://ca.test/account/2" },
	  false,
	  "0 issue 'ca.test; accounturi=https://ca.test/account/2' is for another account (RFC 8657 3): this one is "
	  "https://ca.test/account/1, to the letter; add it" },
	{ "an account is compared with its case",
	  { "0 issue ca.test; accounturi=https://CA.test/account/1" },
	  false,
	  "0 issue 'ca.test; accounturi=https://CA.test/account/1' is for another account " },
	{ "a longer account",
	  { "0 issue ca.test; accounturi=" ACCOUNT "1" },
	  false,
	  "0 issue 'ca.test; accounturi=https://ca.test/account/11' is for another account " },
	{ "an empty account",
	  { "0 issue ca.test; accounturi=" },
	  false,
	  "0 issue 'ca.test; accounturi=' is for another account " },
	{ "another CA's account",
	  { "0 issue other.test; accounturi=" ACCOUNT },
	  false,
	  "0 issue 'other.test; accounturi=https://ca.test/account/1'; " OURS },
	{ "the account twice",
	  { "0 issue ca.test; accounturi=" ACCOUNT "; accounturi=" ACCOUNT },
	  false,
	  "0 issue 'ca.test; accounturi=https://ca.test/account/1; accounturi=https://ca.test/account/1' repeats "
	  "accounturi or validationmethods, so that nobody may issue (RFC 8657); leave one of each" },
	{ "the account twice, by another case",
	  { "0 issue ca.test; accounturi=" ACCOUNT "; AccountURI=https://b.test/" },
	  false,
	  "0 issue 'ca.test; accounturi=https://ca.test/account/1; AccountURI=https://b.test/' repeats " },
	{ "the account in one record of two",
	  { "0 issue ca.test; accounturi=https://ca.test/account/2", "0 issue ca.test; accounturi=" ACCOUNT },
	  false,
	  NULL },
	{ "our method", { "0 issue ca.test; validationmethods=http-01" }, false, NULL },
	{ "another method",
	  { "0 issue ca.test; validationmethods=dns-01" },
	  false,
	  "0 issue 'ca.test; validationmethods=dns-01' does not allow http-01 (RFC 8657 4); add it to "
	  "validationmethods, or use another challenge" },
	{ "an unknown method",
	  { "0 issue ca.test; validationmethods=x-1" },
	  false,
	  "0 issue 'ca.test; validationmethods=x-1' does not allow http-01 " },
	{ "an unknown method beside ours", { "0 issue ca.test; validationmethods=x-1,http-01" }, false, NULL },
	{ "a method that begins like ours",
	  { "0 issue ca.test; validationmethods=http-010" },
	  false,
	  "0 issue 'ca.test; validationmethods=http-010' does not allow http-01 " },
	{ "no method",
	  { "0 issue ca.test; validationmethods=" },
	  false,
	  "0 issue 'ca.test; validationmethods=' does not allow http-01 " },
	{ "an empty method",
	  { "0 issue ca.test; validationmethods=http-01," },
	  false,
	  "0 issue 'ca.test; validationmethods=http-01,' does not allow http-01 " },
	{ "a method that is no label",
	  { "0 issue ca.test; validationmethods=http-01,a_b" },
	  false,
	  "0 issue 'ca.test; validationmethods=http-01,a_b' does not allow http-01 " },
	{ "methods twice",
	  { "0 issue ca.test; validationmethods=http-01; validationmethods=http-01" },
	  false,
	  "0 issue 'ca.test; validationmethods=http-01; validationmethods=http-01' repeats " },
	{ "the nearest miss is told",
	  { "0 issue other.test", "0 issue ca.test; validationmethods=dns-01", "0 issue third.test" },
	  false,
	  "0 issue 'ca.test; validationmethods=dns-01' does not allow http-01 " },
};

static void run_judge_row(const struct judge_row *row)
{
	AUTO(arena_done) struct arena mem = { 0 };
	const struct conf_list ours = { identities, ARRAY_LEN(identities) };
	const struct caa_question q = { &ours, STR(ACCOUNT), STR("http-01"), row->wildcard };
	struct resolve_caa_record records[ARRAY_LEN(row->records)];
	struct resolve_caa_answer set = { .records = records };
	struct str text = STR_NONE;
	struct err err = { 0 };
	while (set.count < ARRAY_LEN(row->records) && row->records[set.count] != NULL) {
		records[set.count] = record(row->records[set.count]);
		set.count++;
	}
	struct rc rc = caa_judge(&q, &set, &mem, &text, &err);
	if (rc.kind != (row->denied == NULL ? ERR_NONE : ERR_CAA))
		fail_msg("%s: %s %s", row->title, err_kind_name(rc.kind), err.detail);
	if (row->denied == NULL) {
		assert_true(text.n > 0);
		return;
	}
	bool beginning = str_ends(str_z(row->denied), STR(" "));
	if (beginning ? !str_starts(str_z(err.detail), str_z(row->denied)) : strcmp(err.detail, row->denied) != 0)
		fail_msg("%s:\n  got    %s\n  wanted %s", row->title, err.detail, row->denied);
}

static void a_set_allows_what_its_row_says(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(judge_rows); i++)
		run_judge_row(&judge_rows[i]);
}

static void without_a_name_of_our_own_any_issue_forbids(void **state)
{
	(void)state;
	AUTO(arena_done) struct arena mem = { 0 };
	const struct conf_list none = { NULL, 0 };
	const struct caa_question q = { &none, STR(ACCOUNT), STR("http-01"), false };
	struct resolve_caa_record r = record("0 issue ca.test");
	struct resolve_caa_answer set = { .records = &r, .count = 1 };
	struct str text;
	struct err err = { 0 };
	assert_int_equal(caa_judge(&q, &set, &mem, &text, &err).kind, ERR_CAA);
	assert_string_equal(err.detail, "0 issue 'ca.test'; this CA has no name for CAA records (realm.caa-identities "
					"is empty); ask its operator to set one");
	r = record("0 issue ;");
	assert_int_equal(caa_judge(&q, &set, &mem, &text, &err).kind, ERR_CAA);
	r = record("0 iodef mailto:a@a.test");
	assert_int_equal(caa_judge(&q, &set, &mem, &text, &err).kind, ERR_NONE);
}

static void an_account_that_is_not_known_meets_no_accounturi(void **state)
{
	(void)state;
	AUTO(arena_done) struct arena mem = { 0 };
	const struct conf_list ours = { identities, ARRAY_LEN(identities) };
	const struct caa_question q = { &ours, STR_NONE, STR("http-01"), false };
	static const char *const values[] = { "0 issue ca.test; accounturi=", "0 issue ca.test; accounturi=" ACCOUNT };
	for (size_t i = 0; i < ARRAY_LEN(values); i++) {
		struct resolve_caa_record r = record(values[i]);
		struct resolve_caa_answer set = { .records = &r, .count = 1 };
		struct str text;
		struct err err = { 0 };
		assert_int_equal(caa_judge(&q, &set, &mem, &text, &err).kind, ERR_CAA);
		assert_non_null(strstr(err.detail, "is for another account (RFC 8657 3): this one is not known"));
	}
}

static void records_that_cannot_be_read_forbid(void **state)
{
	(void)state;
	AUTO(arena_done) struct arena mem = { 0 };
	const struct conf_list ours = { identities, ARRAY_LEN(identities) };
	const struct caa_question q = { &ours, STR(ACCOUNT), STR("http-01"), false };
	struct resolve_caa_record r = record("0 issue ca.test");
	struct resolve_caa_answer set = { .records = &r, .count = 1, .left_out = 2 };
	struct str text;
	struct err err = { 0 };
	assert_int_equal(caa_judge(&q, &set, &mem, &text, &err).kind, ERR_CAA);
	assert_string_equal(err.detail, "2 of its records cannot be read, so that nobody knows what they forbid; "
					"remove what is malformed or too much");
}

/* --- the climb ----------------------------------------------------------------------------------------------------*/

#define FROM " CAA from 127.0.0.1:5353: "
#define NO_RECORD .caa = { .count = 0 }
#define SET(r) .caa = { .records = (r), .count = 1 }

static struct resolve_caa_record ours_record = { 0, { "issue", 5 }, { "ca.test", 7 } };
static struct resolve_caa_record other_record = { 0, { "issue", 5 }, { "other.test", 10 } };
static struct resolve_caa_record other_and_iodef[] = { { 0, { "issue", 5 }, { "other.test", 10 } },
						       { 0, { "iodef", 5 }, { "mailto:x@a.test", 15 } } };
static struct resolve_caa_record wild_record = { 0, { "issuewild", 9 }, { ";", 1 } };
static const struct resolve_txt_answer no_txt;

/* Control is proved by dns-01 in one step; what follows is CAA. */
static struct script_step proof_of(struct script *s, const char *name)
{
	static struct str digest = { DIGEST, sizeof DIGEST - 1 };
	(void)s;
	return (struct script_step){ .asked = name, .txt = { .records = &digest, .count = 1 } };
}

#define CLIMB_MAX 8
static const struct climb_row {
	const char *title, *name;
	bool wildcard;
	struct script_step steps[CLIMB_MAX];
	enum err_kind kind;
	const char *text; /* the verdict's, or the problem's */
} climb_rows[] = {
	{ "nothing up to the TLD",
	  "b.a.test",
	  false,
	  { { "b.a.test", NO_RECORD }, { "a.test", NO_RECORD }, { "test", NO_RECORD } },
	  ERR_NONE,
	  "no record at b.a.test or above it" },
	{ "NXDOMAIN is an answer",
	  "b.a.test",
	  false,
	  { { "b.a.test", .caa = { .nxdomain = true } },
	    { "a.test", NO_RECORD },
	    { "test", .caa = { .nxdomain = true } } },
	  ERR_NONE,
	  "no record at b.a.test or above it" },
	{ "the name's own set",
	  "b.a.test",
	  false,
	  { { "b.a.test", SET(&ours_record) } },
	  ERR_NONE,
	  "b.a.test: 0 issue 'ca.test' (insecure)" },
	{ "the parent's set",
	  "b.a.test",
	  false,
	  { { "b.a.test", NO_RECORD },
	    { "a.test", .caa = { .records = &ours_record, .count = 1, .dnssec = DNSSEC_SECURE } } },
	  ERR_NONE,
	  "a.test: 0 issue 'ca.test' (secure)" },
	{ "the TLD's set",
	  "a.test",
	  false,
	  { { "a.test", NO_RECORD }, { "test", SET(&other_record) } },
	  ERR_CAA,
	  "CAA record for a.test prevents issuance: at test from 127.0.0.1:5353: 0 issue 'other.test'; this CA is "
	  "'ca.test' or "
	  "'ca2.test'; add a record 0 issue 'ca.test', or use a CA that is allowed" },
	{ "a set stops the climb, even if it says nothing about us",
	  "b.a.test",
	  false,
	  { { "b.a.test", SET(&wild_record) } },
	  ERR_NONE,
	  "b.a.test: no record restricts this certificate (insecure)" },
	{ "a wildcard begins at its base",
	  "a.test",
	  true,
	  { { "a.test", SET(&wild_record) } },
	  ERR_CAA,
	  "CAA record for *.a.test prevents issuance: at a.test from 127.0.0.1:5353: 0 issuewild ';'; this CA is "
	  "'ca.test' or 'ca2.test'; "
	  "add a record 0 issuewild 'ca.test', or use a CA that is allowed" },
	/* RFC 8659 3: the resolver follows the alias; above its target nobody looks. */
	{ "an alias whose target has a set",
	  "b.a.test",
	  false,
	  { { "b.a.test", .caa = { .records = &other_record, .count = 1, .canonical = { "x.cdn.test", 10 } } } },
	  ERR_CAA,
	  "CAA record for b.a.test prevents issuance: at b.a.test from 127.0.0.1:5353: 0 issue 'other.test'; " },
	{ "an alias whose target has none",
	  "b.a.test",
	  false,
	  { { "b.a.test", .caa = { .canonical = { "x.cdn.test", 10 } } }, { "a.test", SET(&ours_record) } },
	  ERR_NONE,
	  "a.test: 0 issue 'ca.test' (insecure)" },
	{ "what cannot be read is a set",
	  "b.a.test",
	  false,
	  { { "b.a.test", .caa = { .left_out = 1 } } },
	  ERR_CAA,
	  "CAA record for b.a.test prevents issuance: at b.a.test from 127.0.0.1:5353: 1 of its records cannot be "
	  "read, " },
	{ "the name itself cannot be looked up, its parent would allow",
	  "b.a.test",
	  false,
	  { { "b.a.test", .fail = "SERVFAIL", .kind = ERR_DNS } },
	  ERR_DNS,
	  "CAA (RFC 8659) must be known before a certificate is issued: SERVFAIL" },
	{ "the parent cannot be looked up",
	  "b.a.test",
	  false,
	  { { "b.a.test", NO_RECORD }, { "a.test", .fail = "no answer", .kind = ERR_DNS } },
	  ERR_DNS,
	  "CAA (RFC 8659) must be known before a certificate is issued: no answer" },
	{ "the TLD cannot be looked up",
	  "a.test",
	  false,
	  { { "a.test", NO_RECORD }, { "test", .fail = "bogus", .kind = ERR_DNS, .caa = { .dnssec = DNSSEC_BOGUS } } },
	  ERR_DNS,
	  "CAA (RFC 8659) must be known before a certificate is issued: bogus" },
	{ "the static table is enough", "b.static.test", false, { { NULL } }, ERR_NONE, "static table" },
};

static size_t steps_build(struct script *s, const struct validate_job *job, const struct script_step *caa,
			  struct script_step *to, struct arena *mem)
{
	size_t n = 0;
	to[n++] = proof_of(s, str_dupz_raw(mem, str_fmt(mem, "_acme-challenge.%.*s", STR_FMT(job->ident.value))));
	for (size_t i = 0; i < CLIMB_MAX && caa[i].asked != NULL; i++)
		to[n++] = caa[i];
	return n;
}

static const struct conf_realm realm_on = { .name = { "default", 7 },
					    .caa = { "on", 2 },
					    .caa_identities = { identities, ARRAY_LEN(identities) } };

static void the_climb_ends_as_its_row_says(void **state)
{
	struct script *s = *state;
	s->realm = &realm_on;
	for (size_t i = 0; i < ARRAY_LEN(climb_rows); i++) {
		AUTO(arena_done) struct arena mem = { 0 };
		const struct climb_row *row = &climb_rows[i];
		struct validate_job job = script_job(CHALLENGE_DNS01);
		struct script_step steps[CLIMB_MAX + 1];
		struct verdict v;
		job.ident.value = str_z(row->name);
		job.wildcard = row->wildcard;
		job.account_url = STR(ACCOUNT);
		size_t n = steps_build(s, &job, row->steps, steps, &mem);
		assert_true(script_run(s, steps, n, 1, &job, &mem, &v));
		if (row->kind != ERR_NONE) {
			script_check_problem(row->title, &v, row->kind, row->text, &mem);
			assert_int_equal(v.caa_result, CAA_NOT_CHECKED);
			continue;
		}
		if (!v.valid || !str_eq(v.caa, str_z(row->text)))
			fail_msg("%s: %.*s: %.*s", row->title, STR_FMT(v.caa), STR_FMT(v.problem_detail));
		assert_int_equal(v.caa_result, CAA_ALLOWED);
	}
}

static void the_transcript_has_each_lookup(void **state)
{
	struct script *s = *state;
	AUTO(arena_done) struct arena mem = { 0 };
	struct validate_job job = script_job(CHALLENGE_DNS01);
	struct verdict v;
	s->realm = &realm_on;
	job.ident.value = STR("b.a.test");
	const struct script_step caa[CLIMB_MAX] = {
		{ "b.a.test", .caa = { .nxdomain = true, .dnssec = DNSSEC_SECURE } },
		{ "a.test", .caa = { .records = other_and_iodef, .count = 2, .canonical = { "x\"y", 3 } } },
	};
	struct script_step steps[CLIMB_MAX + 1];
	size_t n = steps_build(s, &job, caa, steps, &mem);
	assert_true(script_run(s, steps, n, 3, &job, &mem, &v)); /* a clear answer is not asked for again */
	assert_int_equal(v.step_count, 4);
	assert_true(str_eq(v.steps[2].what, STR("caa")));
	assert_true(str_eq(v.steps[2].detail, STR("b.a.test" FROM "NXDOMAIN (secure)")));
	assert_true(str_eq(v.steps[3].detail, STR("a.test, alias of x\\x22y" FROM "0 issue 'other.test', 0 iodef "
						  "'mailto:x@a.test' (insecure)")));
	assert_true(str_eq(v.caa, STR("forbidden by a.test; iodef 'mailto:x@a.test': 0 issue 'other.test', 0 iodef "
				      "'mailto:x@a.test' (insecure)")));
}

/* The second attempt does not ask for the proof again, only for what failed. */
static void a_lookup_that_fails_is_tried_again(void **state)
{
	struct script *s = *state;
	AUTO(arena_done) struct arena mem = { 0 };
	struct validate_job job = script_job(CHALLENGE_DNS01);
	struct verdict v;
	s->realm = &realm_on;
	const struct script_step caa[CLIMB_MAX] = {
		{ "a.test", .fail = "SERVFAIL", .kind = ERR_DNS },
		{ "a.test", SET(&ours_record) },
	};
	struct script_step steps[CLIMB_MAX + 1];
	size_t n = steps_build(s, &job, caa, steps, &mem);
	assert_true(script_run(s, steps, n, 2, &job, &mem, &v));
	assert_true(v.valid);
	assert_int_equal(s->pause_count, 1);
	assert_int_equal(v.caa_result, CAA_ALLOWED);
}

static void who_does_not_prove_control_asks_nothing(void **state)
{
	struct script *s = *state;
	AUTO(arena_done) struct arena mem = { 0 };
	struct validate_job job = script_job(CHALLENGE_DNS01);
	struct verdict v;
	s->realm = &realm_on;
	const struct script_step steps[] = { { .asked = "_acme-challenge.a.test", .txt = no_txt } };
	assert_true(script_run(s, steps, 1, 1, &job, &mem, &v));
	assert_false(v.valid);
	assert_true(str_eq(v.caa, STR("not-checked")));
}

/* At the time of issue: control was proved long ago, and nobody looks for the challenge's answer again. */
static void caa_alone_looks_up_nothing_else(void **state)
{
	struct script *s = *state;
	AUTO(arena_done) struct arena mem = { 0 };
	static const struct script_step good[] = { { "a.test", SET(&ours_record) } },
					bad[] = { { "a.test", SET(&other_record) } };
	struct verdict v;
	s->realm = &realm_on;
	for (int m = 0; m < CHALLENGE_TYPE_COUNT; m++) {
		struct validate_job job = script_job((enum challenge_type)m);
		job.caa_only = true;
		job.account_url = STR(ACCOUNT);
		assert_true(script_run(s, good, 1, 3, &job, &mem, &v));
		assert_true(v.valid && v.caa_only && v.caa_result == CAA_ALLOWED);
		assert_true(script_run(s, bad, 1, 3, &job, &mem, &v));
		script_check_problem("forbidden", &v, ERR_CAA, "CAA record for a.test prevents issuance: ", &mem);
		assert_true(v.caa_only);
	}
}

/* RFC 8657 4: a domain that names its methods allows a grant only where it says so. */
static void what_is_granted_has_a_method_of_its_own(void **state)
{
	struct script *s = *state;
	AUTO(arena_done) struct arena mem = { 0 };
	static struct resolve_caa_record all = { 0,
						 { "issue", 5 },
						 { "ca.test; validationmethods=http-01,dns-01", 41 } },
					 ours = { 0, { "issue", 5 }, { "ca.test; validationmethods=ca-grant", 35 } };
	static const struct script_step challenges[] = { { "a.test", SET(&all) } },
					grants[] = { { "a.test", SET(&ours) } },
					any[] = { { "a.test", SET(&ours_record) } };
	struct validate_job job = script_job(CHALLENGE_DNS01);
	struct verdict v;
	s->realm = &realm_on;
	job.caa_only = job.granted = true;
	job.account_url = STR(ACCOUNT);
	assert_true(script_run(s, any, 1, 3, &job, &mem, &v));
	assert_true(v.valid && v.granted);
	assert_true(script_run(s, grants, 1, 3, &job, &mem, &v));
	assert_true(v.valid && v.granted);
	assert_true(script_run(s, challenges, 1, 3, &job, &mem, &v));
	script_check_problem("no grants", &v, ERR_CAA,
			     "CAA record for a.test prevents issuance: at a.test from 127.0.0.1:5353: 0 issue "
			     "'ca.test; validationmethods=http-01,dns-01' does not allow ca-grant ",
			     &mem);
	job.granted = false;
	assert_true(script_run(s, grants, 1, 3, &job, &mem, &v));
	script_check_problem("only grants", &v, ERR_CAA,
			     "CAA record for a.test prevents issuance: at a.test from 127.0.0.1:5353: 0 issue "
			     "'ca.test; validationmethods=ca-grant' does not allow dns-01 ",
			     &mem);
}

/* A49: of many names, each is asked for itself, whatever was found for the one before. */
static void every_name_is_looked_up(void **state)
{
	struct script *s = *state;
	static const char *const names[] = { "a.test", "b.test", "www.a.test", "c.test", "a.c.test" };
	s->realm = &realm_on;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		AUTO(arena_done) struct arena mem = { 0 };
		struct validate_job job = script_job(CHALLENGE_DNS01);
		struct script_step caa[CLIMB_MAX] = { { names[i], SET(i % 2 == 0 ? &ours_record : &other_record) } };
		struct script_step steps[CLIMB_MAX + 1];
		struct verdict v;
		job.ident.value = str_z(names[i]);
		size_t n = steps_build(s, &job, caa, steps, &mem);
		assert_true(script_run(s, steps, n, 1, &job, &mem, &v)); /* all that was scripted was asked */
		assert_int_equal(v.valid, i % 2 == 0);
	}
}

/* The longest values, in the worst spelling: the verdict still fits its message. */
static void hostile_records_fit_a_verdict(void **state)
{
	struct script *s = *state;
	AUTO(arena_done) struct arena mem = { 0 };
	struct validate_job job = script_job(CHALLENGE_DNS01);
	struct verdict v;
	char *bytes = arena_alloc(&mem, RESOLVE_CAA_VALUE_MAX);
	memset(bytes, '"', RESOLVE_CAA_VALUE_MAX);
	struct resolve_caa_record *records = ARENA_ARRAY(&mem, struct resolve_caa_record, RESOLVE_CAA_MAX);
	for (size_t i = 0; i < RESOLVE_CAA_MAX; i++)
		records[i] = (struct resolve_caa_record){ 0, i % 2 == 0 ? STR("issue") : STR("iodef"),
							  str_n(bytes, RESOLVE_CAA_VALUE_MAX) };
	s->realm = &realm_on;
	struct script_step caa[CLIMB_MAX] = { { "a.test", .caa = { .records = records, .count = RESOLVE_CAA_MAX } } };
	struct script_step steps[CLIMB_MAX + 1];
	size_t n = steps_build(s, &job, caa, steps, &mem);
	assert_true(script_run(s, steps, n, 1, &job, &mem, &v));
	assert_int_equal(v.problem, ERR_CAA);
	assert_int_equal(v.caa.n, VERDICT_CAA_MAX);
	assert_true(str_ends(v.caa, STR("...")));
}

static void an_address_needs_none(void **state)
{
	struct script *s = *state;
	AUTO(arena_done) struct arena mem = { 0 };
	struct validate_job job = script_job(CHALLENGE_HTTP01);
	struct verdict v;
	s->realm = &realm_on;
	job.ident = (struct ident){ IDENT_IP, STR("192.0.2.7") };
	const struct script_step steps[] = { { .asked = "192.0.2.7", .body = KEYAUTH } };
	assert_true(script_run(s, steps, 1, 1, &job, &mem, &v));
	assert_true(v.valid);
	assert_int_equal(v.caa_result, CAA_NOT_NEEDED);
	assert_true(str_eq(v.caa, STR("not-needed: an address has no CAA records")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_set_allows_what_its_row_says),
		cmocka_unit_test(without_a_name_of_our_own_any_issue_forbids),
		cmocka_unit_test(an_account_that_is_not_known_meets_no_accounturi),
		cmocka_unit_test(records_that_cannot_be_read_forbid),
		cmocka_unit_test_setup_teardown(the_climb_ends_as_its_row_says, script_setup, script_teardown),
		cmocka_unit_test_setup_teardown(the_transcript_has_each_lookup, script_setup, script_teardown),
		cmocka_unit_test_setup_teardown(a_lookup_that_fails_is_tried_again, script_setup, script_teardown),
		cmocka_unit_test_setup_teardown(who_does_not_prove_control_asks_nothing, script_setup, script_teardown),
		cmocka_unit_test_setup_teardown(caa_alone_looks_up_nothing_else, script_setup, script_teardown),
		cmocka_unit_test_setup_teardown(what_is_granted_has_a_method_of_its_own, script_setup, script_teardown),
		cmocka_unit_test_setup_teardown(every_name_is_looked_up, script_setup, script_teardown),
		cmocka_unit_test_setup_teardown(hostile_records_fit_a_verdict, script_setup, script_teardown),
		cmocka_unit_test_setup_teardown(an_address_needs_none, script_setup, script_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

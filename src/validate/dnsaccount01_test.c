/* SPDX-License-Identifier: Apache-2.0
 *
 * dnsaccount01_test.c: where dns-account-01 looks (draft-ietf-acme-dns-account-label-03), and that it takes there what
 * dns-01 takes. The words about wrong records are dns-01's (dns01_test.c).
 */
#include "validate/test.h"

#define ACCOUNT "https://ca.test/account/7"
#define ASKED "_bkotcki2mz6uz67j._acme-challenge.a.test"
#define X50 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

/* The first is the draft's own. */
static void the_label_is_of_the_accounts_url(void **state)
{
	struct script *s = *state;
	static const struct {
		const char *url, *label;
	} rows[] = {
		{ "https://example.com/acme/acct/ExampleAccount", "_ujmmovf2vn55tgye" },
		{ ACCOUNT, "_bkotcki2mz6uz67j" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(arena_done) struct arena mem = { 0 };
		struct err err = { 0 };
		struct str label;
		MUST(account_label(s->crypto, &mem, str_z(rows[i].url), &label, &err));
		assert_true(str_eq(label, str_z(rows[i].label)));
	}
}

static struct validate_job job_for(const char *account)
{
	struct validate_job job = script_job(CHALLENGE_DNSACCOUNT01);
	job.account_url = str_z(account);
	return job;
}

static void the_digest_under_the_accounts_label_proves_names_wildcards_and_ancestors(void **state)
{
	struct script *s = *state;
	for (int i = 0; i < 3; i++) {
		AUTO(arena_done) struct arena mem = { 0 };
		struct verdict v;
		struct str records[] = { STR("another"), STR(DIGEST) };
		const struct script_step step = { .asked = ASKED, .txt = { .records = records, .count = 2 } };
		struct validate_job job = job_for(ACCOUNT);
		job.wildcard = i == 1;
		job.subdomains = i == 2;
		assert_true(script_run(s, &step, 1, 1, &job, &mem, &v));
		assert_true(v.valid && v.wildcard == (i == 1) && v.subdomains == (i == 2));
		assert_int_equal(v.method, CHALLENGE_DNSACCOUNT01);
		assert_true(str_eq(v.account_url, STR(ACCOUNT)));
		assert_int_equal(v.step_count, 2);
		assert_true(str_eq(v.steps[0].detail,
				   STR(ASKED " TXT from 127.0.0.1:5353: \"another\", \"" DIGEST "\" (insecure)")));
	}
}

static void a_wrong_record_is_told_as_by_dns01(void **state)
{
	struct script *s = *state;
	AUTO(arena_done) struct arena mem = { 0 };
	struct verdict v;
	struct str record = STR(TOKEN);
	const struct script_step steps[] = { { .asked = ASKED, .txt = { .records = &record, .count = 1 } },
					     { .asked = ASKED, .txt = { .nxdomain = true } } };
	struct validate_job job = job_for(ACCOUNT);
	assert_true(script_run(s, &steps[0], 1, 1, &job, &mem, &v));
	script_check_problem("the token", &v, ERR_UNAUTHORIZED,
			     ASKED
			     " TXT from 127.0.0.1:5353: found \"" TOKEN "\"; wanted a record \"" DIGEST
			     "\"; the record is the token; wanted the key authorization's SHA-256 digest in base64url",
			     &mem);
	assert_true(script_run(s, &steps[1], 1, 1, &job, &mem, &v));
	script_check_problem(
		"no such name", &v, ERR_DNS,
		ASKED " TXT: no such name (NXDOMAIN) from 127.0.0.1:5353; wanted a record \"" DIGEST "\"; ", &mem);
}

static void what_it_cannot_prove_is_a_fault_of_who_asks(void **state)
{
	struct script *s = *state;
	AUTO(arena_done) struct arena mem = { 0 };
	struct verdict v;
	struct validate_job job = job_for(ACCOUNT);
	job.ident = (struct ident){ IDENT_IP, STR("192.0.2.1") };
	assert_true(script_run(s, NULL, 0, 3, &job, &mem, &v));
	script_check_problem("an address", &v, ERR_INTERNAL, "dns-account-01 proves no address (RFC 8738 7)", &mem);
	job = job_for(ACCOUNT);
	job.ident.value = STR(X50 "." X50 "." X50 "." X50 ".xxxxxxxxxxxxx.test");
	assert_true(script_run(s, NULL, 0, 3, &job, &mem, &v));
	assert_int_equal(v.problem, ERR_DNS);
	assert_true(
		str_ends(v.problem_detail,
			 STR(".test is longer than the 253 characters that DNS has room for; use another challenge")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_label_is_of_the_accounts_url),
		cmocka_unit_test(the_digest_under_the_accounts_label_proves_names_wildcards_and_ancestors),
		cmocka_unit_test(a_wrong_record_is_told_as_by_dns01),
		cmocka_unit_test(what_it_cannot_prove_is_a_fault_of_who_asks),
	};
	return cmocka_run_group_tests(tests, script_setup, script_teardown);
}

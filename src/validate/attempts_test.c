/* SPDX-License-Identifier: Apache-2.0
 *
 * attempts_test.c: what is tried again, when, how often, and what is said of it; over scripted time.
 */
#include "validate/test.h"

#define NOT_YET                                                   \
	{                                                         \
		"_acme-challenge.a.test", .txt = {.nxdomain = 1 } \
	}

static struct str digest_record = { DIGEST, sizeof DIGEST - 1 };
#define THERE                                                                             \
	{                                                                                 \
		"_acme-challenge.a.test", .txt = {.records = &digest_record, .count = 1 } \
	}

static struct validate_job dns_job(void)
{
	return script_job(CHALLENGE_DNS01);
}

static void a_record_that_comes_late_is_found(void **state)
{
	struct script *s = *state;
	AUTO(arena_done) struct arena mem = { 0 };
	const struct script_step steps[] = { NOT_YET, NOT_YET, THERE };
	struct verdict v;
	struct validate_job job = dns_job();
	assert_true(script_run(s, steps, 3, 3, &job, &mem, &v));
	assert_true(v.valid);
	assert_int_equal(s->pause_count, 2);
	assert_int_equal(s->pauses[0], 2000);
	assert_int_equal(s->pauses[1], 4000);
	static const char *const want[] = {
		"_acme-challenge.a.test TXT from 127.0.0.1:5353: NXDOMAIN (insecure)",
		"1 of 3 failed (dns); the next one in 2.0 s",
		"_acme-challenge.a.test TXT from 127.0.0.1:5353: NXDOMAIN (insecure)",
		"2 of 3 failed (dns); the next one in 4.0 s",
		"_acme-challenge.a.test TXT from 127.0.0.1:5353: \"" DIGEST "\" (insecure)",
		"record 1 of 1 is the digest",
	};
	assert_int_equal(v.step_count, ARRAY_LEN(want));
	for (size_t i = 0; i < ARRAY_LEN(want); i++)
		assert_string_equal(str_dupz_raw(&mem, v.steps[i].detail), want[i]);
	assert_true(str_eq(v.steps[1].what, STR("attempt")));
}

static void the_last_refusal_counts_and_says_that_it_was_not_the_first(void **state)
{
	struct script *s = *state;
	AUTO(arena_done) struct arena mem = { 0 };
	const struct script_step steps[] = { NOT_YET,
					     { "_acme-challenge.a.test", "SERVFAIL", ERR_DNS, .takes_ms = 500 },
					     { "_acme-challenge.a.test" } };
	struct verdict v;
	struct validate_job job = dns_job();
	assert_true(script_run(s, steps, 3, 3, &job, &mem, &v));
	script_check_problem("last", &v, ERR_UNAUTHORIZED,
			     "3 attempts failed, the last one: _acme-challenge.a.test TXT: no such record from ", &mem);
	assert_true(script_run(s, steps, 1, 1, &job, &mem, &v));
	script_check_problem("one", &v, ERR_DNS, "_acme-challenge.a.test TXT: no such name (NXDOMAIN) from ", &mem);
	assert_int_equal(s->pause_count, 0);
	/* A zone that says nothing of attempts means one. */
	assert_true(script_run(s, steps, 1, 0, &job, &mem, &v));
	assert_int_equal(s->pause_count, 0);
}

static void all_attempts_fit_in_the_deadline(void **state)
{
	struct script *s = *state;
	AUTO(arena_done) struct arena mem = { 0 };
	const struct script_step steps[] = { NOT_YET, NOT_YET, NOT_YET, NOT_YET, NOT_YET,
					     NOT_YET, NOT_YET, NOT_YET, NOT_YET, NOT_YET };
	struct verdict v;
	struct validate_job job = dns_job();
	assert_true(script_run(s, steps, 10, 10, &job, &mem, &v));
	assert_int_equal(s->pause_count, 9);
	assert_true(s->now - SCRIPT_BEGIN_MS < 20000);
	assert_true(v.step_count <= VERDICT_STEPS_MAX);
	/* Each may be slow, too: then the pauses shrink, and what is left may be too little for another one. */
	struct script_step slow[] = { NOT_YET, NOT_YET, NOT_YET };
	slow[0].takes_ms = slow[1].takes_ms = 8000;
	assert_true(script_run(s, slow, 3, 3, &job, &mem, &v));
	assert_int_equal(s->pauses[0], 2000);
	assert_int_equal(s->pauses[1], 1000);
	slow[1].takes_ms = 9500;
	assert_true(script_run(s, slow, 2, 3, &job, &mem, &v));
	assert_int_equal(s->pause_count, 1);
}

static void a_job_about_to_end_is_not_tried_again(void **state)
{
	struct script *s = *state;
	AUTO(arena_done) struct arena mem = { 0 };
	const struct script_step steps[] = { NOT_YET };
	struct verdict v;
	struct validate_job job = dns_job();
	job.deadline_ms = SCRIPT_BEGIN_MS + 999;
	assert_true(script_run(s, steps, 1, 3, &job, &mem, &v));
	assert_int_equal(s->pause_count, 0);
	assert_int_equal(v.problem, ERR_DNS);
}

static void a_wrong_answer_may_become_right(void **state)
{
	struct script *s = *state;
	static const struct alpn_cert right = { .digest = { DIGEST_BYTES, 32 }, .names = { { "a.test", 6 } } };
	static const struct alpn_cert stale = { .digest = { KEYAUTH, 32 }, .names = { { "a.test", 6 } } };
	const struct {
		enum challenge_type method;
		struct script_step steps[4];
	} cases[] = {
		{ CHALLENGE_HTTP01,
		  { { "a.test", .addrs = STR("192.0.2.7") },
		    { "192.0.2.7", "connection refused", ERR_CONNECTION },
		    { "a.test", .addrs = STR("192.0.2.8") }, /* looked up anew */
		    { "192.0.2.8", .body = KEYAUTH } } },
		{ CHALLENGE_HTTP01,
		  { { "a.test", .addrs = STR("192.0.2.7") },
		    { "192.0.2.7", .body = "hello" },
		    { "a.test", .addrs = STR("192.0.2.7") },
		    { "192.0.2.7", .body = KEYAUTH } } },
		{ CHALLENGE_TLSALPN01,
		  { { "a.test", .addrs = STR("192.0.2.7") },
		    { "192.0.2.7", .cert = &stale, .alpn = STR("acme-tls/1") },
		    { "a.test", .addrs = STR("192.0.2.7") },
		    { "192.0.2.7", .cert = &right, .alpn = STR("acme-tls/1") } } },
		{ CHALLENGE_TLSALPN01,
		  { { "a.test", .addrs = STR("192.0.2.7") },
		    { "192.0.2.7", .cert = &right },
		    { "a.test", .addrs = STR("192.0.2.7") },
		    { "192.0.2.7", .cert = &right, .alpn = STR("acme-tls/1") } } },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(arena_done) struct arena mem = { 0 };
		struct verdict v;
		struct validate_job job = script_job(cases[i].method);
		assert_true(script_run(s, cases[i].steps, 4, 3, &job, &mem, &v));
		assert_true(v.valid);
		assert_int_equal(s->pause_count, 1);
	}
}

/* What another attempt would meet again: the zone's ranges, our own faults. */
static void what_cannot_pass_ends_at_once(void **state)
{
	struct script *s = *state;
	const struct {
		enum challenge_type method;
		struct script_step steps[2];
		enum err_kind kind;
	} cases[] = {
		{ CHALLENGE_HTTP01, { { "a.test", .addrs = STR("10.0.0.1") } }, ERR_CONNECTION },
		{ CHALLENGE_TLSALPN01, { { "a.test", .addrs = STR("127.0.0.1") } }, ERR_CONNECTION },
		{ CHALLENGE_TLSALPN01,
		  { { "a.test", .addrs = STR("192.0.2.7") }, { "192.0.2.7", "out of memory", ERR_INTERNAL } },
		  ERR_INTERNAL },
		{ CHALLENGE_DNS01, { { "_acme-challenge.a.test", "out of memory", ERR_INTERNAL } }, ERR_INTERNAL },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(arena_done) struct arena mem = { 0 };
		struct verdict v;
		struct validate_job job = script_job(cases[i].method);
		size_t count = cases[i].steps[1].asked == NULL ? 1 : 2;
		assert_true(script_run(s, cases[i].steps, count, 3, &job, &mem, &v));
		assert_int_equal(v.problem, cases[i].kind);
		assert_int_equal(s->pause_count, 0);
	}
	AUTO(arena_done) struct arena mem = { 0 };
	struct verdict v;
	struct validate_job job = script_job(CHALLENGE_HTTP01);
	job.wildcard = true;
	assert_true(script_run(s, NULL, 0, 3, &job, &mem, &v));
	assert_int_equal(s->pause_count, 0);
}

static void a_program_that_stops_gives_no_verdict(void **state)
{
	struct script *s = *state;
	AUTO(arena_done) struct arena mem = { 0 };
	const struct script_step steps[] = { NOT_YET, NOT_YET };
	struct verdict v;
	struct validate_job job = dns_job();
	s->stop_at = 2;
	assert_false(script_run(s, steps, 2, 5, &job, &mem, &v));
	s->stop_at = 0;
	assert_int_equal(s->pause_count, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_record_that_comes_late_is_found),
		cmocka_unit_test(the_last_refusal_counts_and_says_that_it_was_not_the_first),
		cmocka_unit_test(all_attempts_fit_in_the_deadline),
		cmocka_unit_test(a_job_about_to_end_is_not_tried_again),
		cmocka_unit_test(a_wrong_answer_may_become_right),
		cmocka_unit_test(what_cannot_pass_ends_at_once),
		cmocka_unit_test(a_program_that_stops_gives_no_verdict),
	};
	return cmocka_run_group_tests(tests, script_setup, script_teardown);
}

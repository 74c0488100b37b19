/* SPDX-License-Identifier: Apache-2.0
 *
 * progress_test.c: what a validator says between two attempts (RFC 8555 8.2) is shown while the challenge is processing.
 * It is not signed: the worst that anybody can do with it is a text there.
 */
#include "fixture.h"
#include "steps.h"

#include <stdlib.h>

struct fixture {
	FIXTURE;
	struct str order, authz, challenge;
	struct id attempt;
};

/* An answered challenge whose job waits on the bus. */
static int open_world(void **state)
{
	struct fixture *f = fixture_new(sizeof *f, NULL, 1);
	struct err err = { 0 };
	struct str urls[IDENTS_MAX];
	struct validate_job job;
	MUST(world_order_new(&f->w, &f->alice, STR("www.a.test"), &f->order, &err));
	assert_int_equal(step_authzs(&f->w, &f->alice, f->order, urls), 1);
	f->authz = urls[0];
	step_answer(&f->w, &f->alice, f->authz, "http-01");
	MUST(validate_job_read(&f->w.mem, f->w.queue[f->w.first].body, &job, &err));
	f->attempt = job.attempt;
	struct world_reply r = step_post(&f->w, &f->alice, f->authz, STR_NONE);
	f->challenge = step_text(&f->w, json_at(json_get(r.json, "challenges"), 0), "url");
	world_reply_done(&r);
	*state = f;
	return 0;
}

static void tell(struct fixture *f, const struct progress *p)
{
	AUTO(buf_done) struct buf body = BUF_MAX(PROGRESS_MAX);
	struct err err = { 0 };
	MUST(progress_write(p, &body, &err));
	MUST(acme_apply_progress(f->w.acme, buf_str(&body), &err));
}

static struct progress good(const struct fixture *f)
{
	return (struct progress){ .attempt = f->attempt,
				  .perspective = STR("local"),
				  .problem = ERR_DNS,
				  .problem_detail = STR("attempt 1 of 3 failed: no such name"),
				  .next_ms = f->w.now_ms + 3500 };
}

static void expect_no_error(struct fixture *f)
{
	struct world_reply r = step_post(&f->w, &f->alice, f->challenge, STR_NONE);
	if (reply_says(&r, "error"))
		fail_msg("%.*s", STR_FMT(r.body));
	world_reply_done(&r);
}

/* RFC 8555 8.2: status processing, error, Retry-After: at the challenge and at its authorization. */
static void a_processing_challenge_says_what_went_wrong_and_when_to_look_again(void **state)
{
	struct fixture *f = *state;
	const struct progress p = good(f);
	tell(f, &p);
	const struct str urls[] = { f->challenge, f->authz };
	for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
		struct world_reply r = step_post(&f->w, &f->alice, urls[i], STR_NONE);
		const struct json *ch = i == 0 ? r.json : json_at(json_get(r.json, "challenges"), 0);
		const struct json *error = json_get(ch, "error");
		assert_true(str_eq(step_text(&f->w, ch, "status"), STR("processing")));
		assert_true(str_eq(step_text(&f->w, error, "type"), STR(PROBLEM_URN "dns")));
		assert_true(str_eq(step_text(&f->w, error, "detail"), p.problem_detail));
		assert_true(str_eq(world_header(&r, "Retry-After"), STR("4")));
		world_reply_done(&r);
	}
	f->w.now_ms += 3499;
	struct world_reply r = step_post(&f->w, &f->alice, f->challenge, STR_NONE);
	assert_true(str_eq(world_header(&r, "Retry-After"), STR("1")));
	world_reply_done(&r);
	STATUS_IS(&f->w, &f->alice, f->order, "pending");
}

/* However far off a message says the next attempt is, nobody waits beyond the end of this one. */
static void retry_after_ends_with_the_attempt(void **state)
{
	struct fixture *f = *state;
	struct progress p = good(f);
	uint64_t seconds;
	struct err err = { 0 };
	p.next_ms = INT64_MAX;
	tell(f, &p);
	struct world_reply r = step_post(&f->w, &f->alice, f->challenge, STR_NONE);
	MUST(str_u64(world_header(&r, "Retry-After"), 1000000, &seconds, &err));
	assert_true((int64_t)seconds * 1000 <= conf_zone(f->w.conf, STR("default"))->deadline_ms);
	world_reply_done(&r);
	p.next_ms = 0;
	tell(f, &p);
	r = step_post(&f->w, &f->alice, f->challenge, STR_NONE);
	assert_true(str_eq(world_header(&r, "Retry-After"), STR("1")));
	world_reply_done(&r);
}

static void what_is_not_of_a_perspective_of_the_zone_or_of_no_attempt_changes_nothing(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	struct progress p = good(f);
	p.perspective = STR("elsewhere");
	tell(f, &p);
	p = good(f);
	p.attempt = id_new(&f->w.clock, &rng_system);
	tell(f, &p);
	static const char *const garbage[] = { "", "{}", "[]", "null", "{\"version\":1,\"attempt\":7}", "\xff" };
	for (size_t i = 0; i < ARRAY_LEN(garbage); i++)
		MUST(acme_apply_progress(f->w.acme, str_z(garbage[i]), &err));
	expect_no_error(f);
}

static void it_neither_decides_nor_speaks_after_the_verdict(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	const struct progress p = good(f);
	world_site(&f->w, STR("www.a.test"))->thumbprint = str_z(f->alice.thumbprint.z);
	for (int i = 0; i < 3; i++)
		tell(f, &p);
	STATUS_IS(&f->w, &f->alice, f->authz, "pending");
	MUST(world_run(&f->w, &err));
	STATUS_IS(&f->w, &f->alice, f->order, "ready");
	expect_no_error(f);
	tell(f, &p);
	STATUS_IS(&f->w, &f->alice, f->challenge, "valid");
	expect_no_error(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_processing_challenge_says_what_went_wrong_and_when_to_look_again,
						open_world, fixture_free),
		cmocka_unit_test_setup_teardown(retry_after_ends_with_the_attempt, open_world, fixture_free),
		cmocka_unit_test_setup_teardown(
			what_is_not_of_a_perspective_of_the_zone_or_of_no_attempt_changes_nothing, open_world,
			fixture_free),
		cmocka_unit_test_setup_teardown(it_neither_decides_nor_speaks_after_the_verdict, open_world,
						fixture_free),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

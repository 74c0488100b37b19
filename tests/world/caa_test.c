/* SPDX-License-Identifier: Apache-2.0
 *
 * caa_test.c: what the api believes of CAA that is looked up again before an order is issued: only what a perspective
 * signed about this very name, account, key and method, and nothing of it as a proof of control.
 */
#include "fixture.h"
#include "steps.h"

#include <stdlib.h>

#define HOUR_MS ((int64_t)3600 * 1000)
#define REALM                                                                                                    \
	"realm:\n  default:\n    names: ['*.a.test']\n    challenges: [dns-01]\n    caa-identities: [ca.test]\n" \
	"zone:\n  default:\n    attempts: 1\n"

struct fixture {
	FIXTURE;
	struct key *key;
};

static int open_world(void **state)
{
	struct fixture *f = fixture_new(sizeof *f, REALM, 1);
	struct err err = { 0 };
	MUST(key_generate(KEY_P256, 0, &f->key, &err));
	world_site(&f->w, STR("www.a.test"))->thumbprint = str_z(f->alice.thumbprint.z);
	MUST(acme_sweep(f->w.acme, &err)); /* the first round sends all that is open, and would in the tests */
	*state = f;
	return 0;
}

static int close_world(void **state)
{
	struct fixture *f = *state;
	key_free(f->key);
	return fixture_free(state);
}

/* An order for www.a.test whose finalize waits for CAA: the job is the last on the bus. */
static struct str held_order(struct fixture *f)
{
	static const char *const names[] = { "www.a.test", NULL }, *const none[] = { NULL };
	struct err err = { 0 };
	struct str order;
	MUST(world_order_new(&f->w, &f->alice, STR("www.a.test"), &order, &err));
	if (str_eq(step_status(&f->w, &f->alice, order), STR("pending")))
		step_prove(&f->w, &f->alice, order);
	f->w.now_ms += 9 * HOUR_MS;
	struct world_reply r = step_finalize(&f->w, &f->alice, order, step_csr(&f->w, f->key, names, none));
	expect_status("finalize", &r, 200);
	STATUS_IS(&f->w, &f->alice, order, "processing");
	return order;
}

/* Takes the last job from the bus. */
static struct validate_job job_take(struct fixture *f)
{
	struct world *w = &f->w;
	struct err err = { 0 };
	struct validate_job job;
	assert_int_equal(w->last - w->first, 1);
	MUST(validate_job_read(&w->mem, w->queue[w->first % WORLD_QUEUE_MAX].body, &job, &err));
	w->first = w->last;
	return job;
}

static void say(struct fixture *f, const struct verdict *v)
{
	struct world *w = &f->w;
	struct err err = { 0 };
	AUTO(buf_done)
	struct buf payload = BUF_MAX(VERDICT_JWS_MAX), jws = BUF_MAX(VERDICT_JWS_MAX * 2), out = BUF_MAX(JOB_MAX);
	MUST(verdict_write(v, &payload, &err));
	MUST(jws_compact_sign(w->crypto, w->perspective_key, STR(VERDICT_TYP), STR("local"), buf_str(&payload), &jws,
			      &err));
	const struct verdict_message m = {
		.attempt = v->attempt, .order = v->attempt, .perspective = STR("local"), .jws = buf_str(&jws)
	};
	MUST(verdict_message_write(&m, &out, &err));
	MUST(acme_apply_verdict(w->acme, buf_str(&out), &err));
}

static struct verdict verdict_for(const struct fixture *f, const struct validate_job *job)
{
	return (struct verdict){ .attempt = job->attempt,
				 .authz = job->authz,
				 .perspective = STR("local"),
				 .realm = job->realm,
				 .zone = job->zone,
				 .method = job->method,
				 .ident = job->ident,
				 .wildcard = job->wildcard,
				 .token = job->token,
				 .thumbprint = job->thumbprint,
				 .account_url = job->account_url,
				 .caa_only = job->caa_only,
				 .valid = true,
				 .started_ms = f->w.now_ms,
				 .finished_ms = f->w.now_ms,
				 .caa = STR("no record"),
				 .caa_result = CAA_ALLOWED };
}

static void as_asked(struct verdict *v)
{
	(void)v;
}
static void of_another_name(struct verdict *v)
{
	v->ident.value = STR("api.a.test");
}
static void of_the_parent(struct verdict *v)
{
	v->ident.value = STR("a.test");
}
static void of_the_wildcard(struct verdict *v)
{
	v->wildcard = true;
}
static void of_another_account(struct verdict *v)
{
	v->account_url = STR(WORLD_BASE "/account/01890000-0000-7000-8000-000000000009");
}
static void of_another_key(struct verdict *v)
{
	v->thumbprint = v->token;
}
static void by_another_method(struct verdict *v)
{
	v->method = CHALLENGE_HTTP01;
}
static void with_control(struct verdict *v)
{
	v->caa_only = false;
}
static void of_another_authz(struct verdict *v)
{
	v->authz = v->attempt;
}

static void only_what_was_asked_lets_an_order_go(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *what;
		void (*change)(struct verdict *v);
		bool counts;
	} rows[] = {
		{ "another name", of_another_name, false }, { "the parent", of_the_parent, false },
		{ "the wildcard", of_the_wildcard, false }, { "another account", of_another_account, false },
		{ "another key", of_another_key, false },   { "another method", by_another_method, false },
		{ "not caaOnly", with_control, false },     { "another authorization", of_another_authz, false },
		{ "as it was asked", as_asked, true },
	};
	struct err err = { 0 };
	struct str order = held_order(f);
	const struct validate_job job = job_take(f);
	assert_true(job.caa_only && str_eq(job.ident.value, STR("www.a.test")) && !job.wildcard && !job.subdomains);
	assert_true(job.method == CHALLENGE_DNS01 && str_eq(job.account_url, f->alice.url));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct verdict v = verdict_for(f, &job);
		rows[i].change(&v);
		say(f, &v);
		if ((f->w.last != f->w.first) != rows[i].counts) /* the sign job */
			fail_msg("%s: %s", rows[i].what, rows[i].counts ? "held back" : "let go");
	}
	MUST(world_run(&f->w, &err));
	STATUS_IS(&f->w, &f->alice, order, "valid");
}

/* The other way round: it proves no control. */
static void a_lookup_of_caa_proves_no_control(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	struct str order, urls[IDENTS_MAX];
	MUST(world_order_new(&f->w, &f->alice, STR("www.a.test"), &order, &err));
	assert_int_equal(step_authzs(&f->w, &f->alice, order, urls), 1);
	step_answer(&f->w, &f->alice, urls[0], NULL);
	const struct validate_job job = job_take(f);
	struct verdict v = verdict_for(f, &job);
	v.caa_only = true;
	say(f, &v);
	STATUS_IS(&f->w, &f->alice, order, "pending");
	v.caa_only = false;
	say(f, &v);
	STATUS_IS(&f->w, &f->alice, order, "ready");
}

/* Configurations that differ: the order ends with a word for the operator, and not with a certificate. */
static void a_perspective_that_does_not_look_is_told_of(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	struct str order = held_order(f);
	const struct validate_job job = job_take(f);
	struct verdict v = verdict_for(f, &job);
	v.caa_result = CAA_NOT_NEEDED;
	say(f, &v);
	STATUS_IS(&f->w, &f->alice, order, "processing");
	f->w.now_ms += HOUR_MS;
	MUST(acme_sweep(f->w.acme, &err));
	struct world_reply r = step_post(&f->w, &f->alice, order, STR_NONE);
	if (!reply_says(&r, "\"invalid\"") || !reply_says(&r, "realm.caa must be the same everywhere"))
		fail_msg("%.*s", STR_FMT(r.body));
	world_reply_done(&r);
}

/* What the signer says of a job that it found too old counts once, however often and late it comes. */
static void a_late_refusal_of_the_signer_does_not_end_an_order(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	AUTO(buf_done) struct buf body = BUF_MAX(JOB_MAX);
	struct sign_job sign;
	struct str order = held_order(f);
	const struct validate_job job = job_take(f);
	struct verdict v = verdict_for(f, &job);
	say(f, &v);
	MUST(sign_job_read(&f->w.mem, f->w.queue[f->w.first % WORLD_QUEUE_MAX].body, &sign, &err));
	const struct sign_result old = {
		.issuance = sign.issuance, .order = sign.order, .problem = ERR_CAA, .problem_detail = STR("too old")
	};
	MUST(sign_result_write(&old, &body, &err));
	size_t waiting = f->w.last - f->w.first;
	for (int i = 0; i < 3; i++)
		MUST(acme_apply_signed(f->w.acme, buf_str(&body), &err));
	assert_int_equal(f->w.last - f->w.first, waiting); /* what is known is young: nobody is asked */
	STATUS_IS(&f->w, &f->alice, order, "processing");
	f->w.now_ms += 9 * HOUR_MS;
	for (int i = 0; i < 3; i++)
		MUST(acme_apply_signed(f->w.acme, buf_str(&body), &err));
	assert_int_equal(f->w.last - f->w.first, waiting + 1); /* once */
	MUST(world_run(&f->w, &err));
	STATUS_IS(&f->w, &f->alice, order, "valid");
	MUST(acme_apply_signed(f->w.acme, buf_str(&body), &err));
	STATUS_IS(&f->w, &f->alice, order, "valid");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(only_what_was_asked_lets_an_order_go, open_world, close_world),
		cmocka_unit_test_setup_teardown(a_lookup_of_caa_proves_no_control, open_world, close_world),
		cmocka_unit_test_setup_teardown(a_perspective_that_does_not_look_is_told_of, open_world, close_world),
		cmocka_unit_test_setup_teardown(a_late_refusal_of_the_signer_does_not_end_an_order, open_world,
						close_world),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

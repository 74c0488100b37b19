/* SPDX-License-Identifier: Apache-2.0
 *
 * wait_test.c: requests that wait a moment for what they have set going, so that a client need not ask again: what a
 * challenge and a finalize are answered when the outcome comes in time, when it does not, and who does not wait at all.
 */
#include "fixture.h"
#include "steps.h"

#include <stdatomic.h>
#include <stdlib.h>

#define NEW_ORDER STR(WORLD_BASE "/new-order")
#define LONG "  finalize-wait: 20s\n  challenge-wait: 20s\n" /* a test that waits so long has failed */
#define SHORT "  finalize-wait: 20ms\n  challenge-wait: 20ms\n"
#define REALM                                                                                                         \
	"realm:\n  default:\n    names: [\"*.a.test\"]\n    challenges: [http-01]\nzone:\n  default:\n    attempts: " \
	"1\n"

struct fixture {
	FIXTURE;
};

/* A POST of another thread, while this one delivers what is on the bus. */
struct sending {
	struct world *w;
	struct str path, body;
	struct arena mem;
	struct world_reply reply;
	atomic_bool done;
};

static void *sending_main(void *arg)
{
	struct sending *s = arg;
	struct err err = { 0 };
	MUST(world_send_on(s->w, &s->mem, HTTP_POST, s->path, STR("application/jose+json"), s->body, &s->reply, &err));
	atomic_store(&s->done, true);
	return NULL;
}

static struct world_reply post_while_delivering(struct fixture *f, struct str url, struct str payload)
{
	struct err err = { 0 };
	struct sending s = { .w = &f->w, .path = world_path(url) };
	const struct timespec nap = { .tv_nsec = 1000000 };
	pthread_t thread;
	MUST(world_sign(&f->w, &f->alice, url, payload, &s.body, &err));
	assert_int_equal(pthread_create(&thread, NULL, sending_main, &s), 0);
	while (!atomic_load(&s.done)) {
		struct rc rc = world_step(&f->w, &err);
		if (rc.kind == ERR_NOT_FOUND)
			(void)nanosleep(&nap, NULL);
		else
			MUST(rc);
	}
	pthread_join(thread, NULL);
	s.reply.headers = str_dup(&f->w.mem, s.reply.headers);
	s.reply.body = str_dup(&f->w.mem, s.reply.body);
	arena_done(&s.mem);
	return s.reply;
}

static int64_t mono_ms(void)
{
	return clock_mono_ms(&clock_system);
}

static struct str challenge_url(struct fixture *f, struct str authz)
{
	struct world_reply r = step_post(&f->w, &f->alice, authz, STR_NONE);
	struct str url = step_text(&f->w, json_at(json_get(r.json, "challenges"), 0), "url");
	world_reply_done(&r);
	return url;
}

static struct str order_new(struct fixture *f, const char *identifiers)
{
	return step_make(&f->w, &f->alice, NEW_ORDER, str_fmt(&f->w.mem, "{\"identifiers\":[%s]}", identifiers));
}

static void configure(struct fixture *f, const char *waits)
{
	struct err err = { 0 };
	f->w.waits_text = waits;
	MUST(world_configure(&f->w, REALM, &err));
}

static const struct {
	const char *name, *served, *status, *order;
	bool has_error;
} outcomes[] = {
	{ "good.a.test", NULL, "valid", "ready", false },
	{ "bad.a.test", "something else", "invalid", "invalid", true },
};

static void a_challenge_decided_in_time_is_answered_with_the_outcome(void **state)
{
	struct fixture *f = *state;
	struct str urls[IDENTS_MAX];
	configure(f, LONG);
	for (size_t i = 0; i < ARRAY_LEN(outcomes); i++) {
		struct world_site *site = world_site(&f->w, str_z(outcomes[i].name));
		site->thumbprint = str_z(f->alice.thumbprint.z);
		site->body = outcomes[i].served == NULL ? STR_NONE : str_z(outcomes[i].served);
		struct str order =
			order_new(f, str_fmt(&f->w.mem, "{\"type\":\"dns\",\"value\":\"%s\"}", outcomes[i].name).p);
		assert_int_equal(step_authzs(&f->w, &f->alice, order, urls), 1);
		int64_t begun = mono_ms();
		struct world_reply r = post_while_delivering(f, challenge_url(f, urls[0]), STR("{}"));
		assert_true(mono_ms() - begun < 10000);
		assert_int_equal(r.status, 200);
		assert_true(str_eq(step_text(&f->w, r.json, "status"), str_z(outcomes[i].status)));
		assert_int_equal(json_get(r.json, "error") != NULL, outcomes[i].has_error);
		assert_null(world_header(&r, "Retry-After").p);
		world_reply_done(&r);
		assert_true(str_eq(step_status(&f->w, &f->alice, urls[0]), str_z(outcomes[i].status)));
		assert_true(str_eq(step_status(&f->w, &f->alice, order), str_z(outcomes[i].order)));
	}
}

static void a_challenge_not_decided_in_time_is_processing(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	struct str urls[IDENTS_MAX];
	configure(f, SHORT);
	struct str order = order_new(f, "{\"type\":\"dns\",\"value\":\"late.a.test\"}");
	assert_int_equal(step_authzs(&f->w, &f->alice, order, urls), 1);
	struct world_reply r = step_post(&f->w, &f->alice, challenge_url(f, urls[0]), STR("{}"));
	assert_int_equal(r.status, 200);
	assert_true(str_eq(step_text(&f->w, r.json, "status"), STR("processing")));
	assert_true(str_eq(world_header(&r, "Retry-After"), STR("1")));
	world_reply_done(&r);
	MUST(world_run(&f->w, &err));
}

/* The second is asked for when the first is known: as clients do that ask for one after the other. */
static void each_name_of_an_order_is_waited_for(void **state)
{
	struct fixture *f = *state;
	struct str urls[IDENTS_MAX];
	configure(f, LONG);
	f->w.waits_ms = 20000; /* the first may wait for 100 ms only, which a slow machine takes */
	world_site(&f->w, STR("one.a.test"))->thumbprint = str_z(f->alice.thumbprint.z);
	world_site(&f->w, STR("two.a.test"))->thumbprint = str_z(f->alice.thumbprint.z);
	struct str order = order_new(f, "{\"type\":\"dns\",\"value\":\"one.a.test\"},"
					"{\"type\":\"dns\",\"value\":\"two.a.test\"}");
	assert_int_equal(step_authzs(&f->w, &f->alice, order, urls), 2);
	for (size_t i = 0; i < 2; i++) {
		struct world_reply r = post_while_delivering(f, challenge_url(f, urls[i]), STR("{}"));
		assert_true(str_eq(step_text(&f->w, r.json, "status"), STR("valid")));
		world_reply_done(&r);
	}
	f->w.waits_ms = 0;
	STATUS_IS(&f->w, &f->alice, order, "ready");
}

/* Nothing is validated: what the first has waited for the others need not. */
static void the_names_of_an_order_wait_no_longer_than_one_all_together(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	struct str urls[IDENTS_MAX], challenges[3];
	configure(f, SHORT);
	struct str order = order_new(f, "{\"type\":\"dns\",\"value\":\"slow1.a.test\"},"
					"{\"type\":\"dns\",\"value\":\"slow2.a.test\"},"
					"{\"type\":\"dns\",\"value\":\"slow3.a.test\"}");
	assert_int_equal(step_authzs(&f->w, &f->alice, order, urls), 3);
	for (size_t i = 0; i < 3; i++)
		challenges[i] = challenge_url(f, urls[i]);
	unsigned before = atomic_load(&f->w.parked);
	f->w.waits_take_time = true;
	for (size_t i = 0; i < 3; i++) {
		struct world_reply r = step_post(&f->w, &f->alice, challenges[i], STR("{}"));
		assert_true(str_eq(step_text(&f->w, r.json, "status"), STR("processing")));
		world_reply_done(&r);
		assert_int_equal(atomic_load(&f->w.parked) - before, 1); /* the first has waited for all */
		assert_int_equal(f->w.last - f->w.first, i + 1);
	}
	f->w.waits_take_time = false;
	MUST(world_run(&f->w, &err));
}

static void await_job(struct fixture *f)
{
	const struct timespec nap = { .tv_nsec = 1000000 };
	for (bool sent = false; !sent;) {
		pthread_mutex_lock(&f->w.lock);
		sent = f->w.last != f->w.first;
		pthread_mutex_unlock(&f->w.lock);
		if (!sent)
			(void)nanosleep(&nap, NULL);
	}
}

/* Its account is deactivated while it waits, and the wait ends without an outcome: the challenge was accepted all the same. */
static void what_was_accepted_is_no_error_when_nothing_new_can_be_read(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	struct str urls[IDENTS_MAX];
	pthread_t thread;
	configure(f, LONG);
	struct str order = order_new(f, "{\"type\":\"dns\",\"value\":\"leaves.a.test\"}");
	assert_int_equal(step_authzs(&f->w, &f->alice, order, urls), 1);
	struct str url = challenge_url(f, urls[0]);
	struct sending s = { .w = &f->w, .path = world_path(url) };
	MUST(world_sign(&f->w, &f->alice, url, STR("{}"), &s.body, &err));
	assert_int_equal(pthread_create(&thread, NULL, sending_main, &s), 0);
	await_job(f);
	struct world_reply r = step_post(&f->w, &f->alice, f->alice.url, STR("{\"status\":\"deactivated\"}"));
	assert_int_equal(r.status, 200);
	world_reply_done(&r);
	http_parking_end(atomic_load(&f->w.last_parked));
	pthread_join(thread, NULL);
	assert_int_equal(s.reply.status, 200);
	assert_true(str_eq(step_text(&f->w, s.reply.json, "status"), STR("processing")));
	world_reply_done(&s.reply);
	arena_done(&s.mem);
	MUST(world_run(&f->w, &err));
}

/* As after SIGHUP: it goes on with the configuration that it began with, which lives as long. */
static void a_reload_does_not_disturb_who_waits(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	struct str urls[IDENTS_MAX];
	pthread_t thread;
	configure(f, LONG);
	world_site(&f->w, STR("reload.a.test"))->thumbprint = str_z(f->alice.thumbprint.z);
	struct str order = order_new(f, "{\"type\":\"dns\",\"value\":\"reload.a.test\"}");
	assert_int_equal(step_authzs(&f->w, &f->alice, order, urls), 1);
	struct str url = challenge_url(f, urls[0]);
	struct sending s = { .w = &f->w, .path = world_path(url) };
	MUST(world_sign(&f->w, &f->alice, url, STR("{}"), &s.body, &err));
	assert_int_equal(pthread_create(&thread, NULL, sending_main, &s), 0);
	await_job(f);
	configure(f, SHORT);
	MUST(world_run(&f->w, &err));
	pthread_join(thread, NULL);
	assert_true(str_eq(step_text(&f->w, s.reply.json, "status"), STR("valid")));
	world_reply_done(&s.reply);
	arena_done(&s.mem);
}

static void a_finalize_signed_in_time_is_answered_valid(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	struct key *k;
	configure(f, LONG);
	world_site(&f->w, STR("sign.a.test"))->thumbprint = str_z(f->alice.thumbprint.z);
	struct str order = order_new(f, "{\"type\":\"dns\",\"value\":\"sign.a.test\"}"), payload, urls[IDENTS_MAX];
	assert_int_equal(step_authzs(&f->w, &f->alice, order, urls), 1);
	struct world_reply r = post_while_delivering(f, challenge_url(f, urls[0]), STR("{}"));
	world_reply_done(&r);
	MUST(key_generate(KEY_P256, 0, &k, &err));
	MUST(world_csr(&f->w, k, STR("sign.a.test"), &payload, &err));
	r = post_while_delivering(f, str_fmt(&f->w.mem, "%.*s/finalize", STR_FMT(order)), payload);
	assert_true(str_eq(step_text(&f->w, r.json, "status"), STR("valid")));
	assert_non_null(json_get(r.json, "certificate"));
	world_reply_done(&r);
	key_free(k);
}

static int open_world(void **state)
{
	*state = fixture_new(sizeof(struct fixture), REALM, 1);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_challenge_decided_in_time_is_answered_with_the_outcome),
		cmocka_unit_test(a_challenge_not_decided_in_time_is_processing),
		cmocka_unit_test(each_name_of_an_order_is_waited_for),
		cmocka_unit_test(the_names_of_an_order_wait_no_longer_than_one_all_together),
		cmocka_unit_test(a_reload_does_not_disturb_who_waits),
		cmocka_unit_test(a_finalize_signed_in_time_is_answered_valid),
		cmocka_unit_test(
			what_was_accepted_is_no_error_when_nothing_new_can_be_read), /* last: its account is gone */
	};
	return cmocka_run_group_tests(tests, open_world, fixture_free);
}

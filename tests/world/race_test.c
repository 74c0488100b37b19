/* SPDX-License-Identifier: Apache-2.0
 *
 * race_test.c: many requests at one moment, on threads of their own, straight into acme_handle. Whatever wins, exactly
 * one does, and what the losers are told is true.
 */
#include "fixture.h"
#include "unit.h"
#include "world.h"

#include <stdlib.h>

#define ROUNDS 20 /* of a race between two */

struct fixture {
	FIXTURE;
};

/* One request, or one message from the bus, that goes off with all the others. */
struct shot {
	pthread_t thread;
	struct world *w;
	pthread_barrier_t *start;
	struct str path, body;
	fallible (*apply)(struct acme *a, struct str body, struct err *err); /* NULL: a request */
	struct arena mem;
	struct world_reply reply;
	struct rc rc;
};

static void *shot_main(void *arg)
{
	struct shot *s = arg;
	pthread_barrier_wait(s->start);
	if (s->apply != NULL)
		s->rc = s->apply(s->w->acme, s->body, NULL);
	else
		s->rc = world_send_on(s->w, &s->mem, HTTP_POST, s->path, STR("application/jose+json"), s->body,
				      &s->reply, NULL);
	return NULL;
}

static void fire(struct fixture *f, struct shot *shots, size_t count)
{
	pthread_barrier_t start;
	assert_int_equal(pthread_barrier_init(&start, NULL, (unsigned)count), 0);
	for (size_t i = 0; i < count; i++) {
		shots[i].w = &f->w;
		shots[i].start = &start;
		assert_int_equal(pthread_create(&shots[i].thread, NULL, shot_main, &shots[i]), 0);
	}
	for (size_t i = 0; i < count; i++) {
		pthread_join(shots[i].thread, NULL);
		assert_false(FAILED(shots[i].rc));
	}
	pthread_barrier_destroy(&start);
}

static void clear(struct shot *shots, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		world_reply_done(&shots[i].reply);
		arena_done(&shots[i].mem);
		shots[i] = (struct shot){ .w = NULL };
	}
}

static size_t with_status(const struct shot *shots, size_t count, int status)
{
	size_t n = 0;
	for (size_t i = 0; i < count; i++)
		n += shots[i].reply.status == status;
	return n;
}

static bool says(const struct shot *s, const char *text)
{
	return memmem(s->reply.body.p, s->reply.body.n, text, strlen(text)) != NULL;
}

/* Signed now, with a nonce of its own, and sent later. */
static struct shot shot_of(struct fixture *f, const struct world_account *a, struct str url, struct str payload)
{
	struct err err = { 0 };
	struct str nonce;
	AUTO(buf_done) struct buf body = BUF_MAX(65536);
	MUST(world_nonce(&f->w, &nonce, &err));
	MUST(jws_sign_acme(f->w.crypto, a->key, a->url, nonce, url, payload, &body, &err));
	return (struct shot){ .path = world_path(url), .body = str_dup(&f->w.mem, buf_str(&body)) };
}

static fallible count_store(struct store_tx *tx, void *ctx, struct err *err)
{
	return store_count(tx, ctx, err);
}

static struct store_counts counts(struct fixture *f)
{
	struct err err = { 0 };
	struct store_counts n;
	MUST(store_read(f->w.store, count_store, &n, &err));
	return n;
}

static uint64_t intents(struct fixture *f)
{
	struct store_counts n = counts(f);
	return n.issuances[0] + n.issuances[1] + n.issuances[2] + n.issuances[3];
}

static struct str finalize_url(struct fixture *f, struct str order)
{
	return str_fmt(&f->w.mem, "%.*s/finalize", STR_FMT(order));
}

static struct str csr_new(struct fixture *f, struct str name)
{
	struct err err = { 0 };
	AUTO(key_auto) struct key *k = NULL;
	struct str payload;
	MUST(key_generate(KEY_P256, 0, &k, &err));
	MUST(world_csr(&f->w, k, name, &payload, &err));
	return payload;
}

static struct str ready_order(struct fixture *f, const struct world_account *a, struct str name)
{
	struct err err = { 0 };
	struct str order, status;
	world_site(&f->w, name)->thumbprint = str_dup(&f->w.mem, str_z(a->thumbprint.z));
	MUST(world_order_new(&f->w, a, name, &order, &err));
	MUST(world_order_status(&f->w, a, order, &status, &err));
	if (str_eq(status, STR("pending")))
		MUST(world_order_prove(&f->w, a, order, &err));
	return order;
}

static struct str status_of(struct fixture *f, const struct world_account *a, struct str order)
{
	struct err err = { 0 };
	struct str status;
	MUST(world_order_status(&f->w, a, order, &status, &err));
	return status;
}

static void one_nonce_serves_one_of_two_hundred(void **state)
{
	struct fixture *f = *state;
	static struct shot shots[200];
	struct str order = ready_order(f, &f->alice, STR("www.a.test"));
	const struct shot one = shot_of(f, &f->alice, order, STR_NONE);
	for (size_t i = 0; i < ARRAY_LEN(shots); i++)
		shots[i] = one;
	fire(f, shots, ARRAY_LEN(shots));
	assert_int_equal(with_status(shots, ARRAY_LEN(shots), 200), 1);
	assert_int_equal(with_status(shots, ARRAY_LEN(shots), 400), ARRAY_LEN(shots) - 1);
	for (size_t i = 0; i < ARRAY_LEN(shots); i++)
		assert_true(shots[i].reply.status == 200 || says(&shots[i], "badNonce"));
	clear(shots, ARRAY_LEN(shots));
}

static void fifty_finalizes_with_one_csr_are_one(void **state)
{
	struct fixture *f = *state;
	static struct shot shots[50];
	struct err err = { 0 };
	struct str order = ready_order(f, &f->alice, STR("www.a.test")), csr = csr_new(f, STR("www.a.test"));
	uint64_t before = intents(f);
	for (size_t i = 0; i < ARRAY_LEN(shots); i++)
		shots[i] = shot_of(f, &f->alice, finalize_url(f, order), csr);
	fire(f, shots, ARRAY_LEN(shots));
	assert_int_equal(with_status(shots, ARRAY_LEN(shots), 200), ARRAY_LEN(shots));
	assert_int_equal(intents(f), before + 1);
	MUST(world_run(&f->w, &err));
	assert_true(str_eq(status_of(f, &f->alice, order), STR("valid")));
	clear(shots, ARRAY_LEN(shots));
}

static void of_fifty_finalizes_with_csrs_of_their_own_one_wins(void **state)
{
	struct fixture *f = *state;
	static struct shot shots[50];
	struct err err = { 0 };
	struct str order = ready_order(f, &f->alice, STR("www.a.test"));
	struct store_counts before = counts(f);
	uint64_t intents_before = intents(f);
	for (size_t i = 0; i < ARRAY_LEN(shots); i++)
		shots[i] = shot_of(f, &f->alice, finalize_url(f, order), csr_new(f, STR("www.a.test")));
	fire(f, shots, ARRAY_LEN(shots));
	assert_int_equal(with_status(shots, ARRAY_LEN(shots), 200), 1);
	for (size_t i = 0; i < ARRAY_LEN(shots); i++)
		assert_true(shots[i].reply.status == 200 || says(&shots[i], "orderNotReady"));
	assert_int_equal(intents(f), intents_before + 1);
	MUST(world_run(&f->w, &err));
	assert_int_equal(counts(f).certificates, before.certificates + 1);
	clear(shots, ARRAY_LEN(shots));
}

static void fifty_new_accounts_with_one_key_are_one(void **state)
{
	struct fixture *f = *state;
	static struct shot shots[50];
	struct err err = { 0 };
	struct world_account bob = { .key = NULL };
	uint64_t before = counts(f).accounts;
	MUST(key_generate(KEY_P256, 0, &bob.key, &err));
	for (size_t i = 0; i < ARRAY_LEN(shots); i++)
		shots[i] = shot_of(f, &bob, STR(WORLD_BASE "/new-account"), STR("{}"));
	fire(f, shots, ARRAY_LEN(shots));
	assert_int_equal(with_status(shots, ARRAY_LEN(shots), 201), 1);
	assert_int_equal(with_status(shots, ARRAY_LEN(shots), 200), ARRAY_LEN(shots) - 1);
	for (size_t i = 0; i < ARRAY_LEN(shots); i++)
		assert_true(
			str_eq(world_header(&shots[i].reply, "Location"), world_header(&shots[0].reply, "Location")));
	assert_int_equal(counts(f).accounts, before + 1);
	clear(shots, ARRAY_LEN(shots));
	key_free(bob.key);
}

/* Only a finalize that was committed before the deactivation is carried out (THREATS A12). */
static void an_account_that_was_deactivated_begins_nothing(void **state)
{
	struct fixture *f = *state;
	for (size_t i = 0; i < ROUNDS; i++) {
		struct err err = { 0 };
		struct world_account carol = { .key = NULL };
		struct shot shots[2];
		MUST(world_account_new(&f->w, &carol, &err));
		struct str order = ready_order(f, &carol, STR("carol.a.test"));
		struct store_counts before = counts(f);
		uint64_t intents_before = intents(f);
		shots[0] = shot_of(f, &carol, finalize_url(f, order), csr_new(f, STR("carol.a.test")));
		shots[1] = shot_of(f, &carol, carol.url, STR("{\"status\":\"deactivated\"}"));
		fire(f, shots, 2);
		int finalized = shots[0].reply.status;
		assert_int_equal(shots[1].reply.status, 200);
		assert_true(finalized == 200 || finalized == 401);
		MUST(world_run(&f->w, &err));
		assert_int_equal(intents(f) - intents_before, finalized == 200 ? 1 : 0);
		assert_int_equal(counts(f).certificates - before.certificates, finalized == 200 ? 1 : 0);
		clear(shots, 2);
		key_free(carol.key);
	}
}

static struct str authz_of(struct fixture *f, struct str order)
{
	struct err err = { 0 };
	struct world_reply r;
	struct str url;
	MUST(world_post(&f->w, &f->alice, order, STR_NONE, &r, &err));
	assert_true(json_as_str(json_at(json_get(r.json, "authorizations"), 0), &url));
	url = str_dup(&f->w.mem, url);
	world_reply_done(&r);
	return url;
}

static void an_authorization_that_was_deactivated_carries_no_finalize(void **state)
{
	struct fixture *f = *state;
	for (size_t i = 0; i < ROUNDS; i++) {
		struct err err = { 0 };
		struct shot shots[2];
		struct str order = ready_order(f, &f->alice, STR("race.a.test"));
		uint64_t intents_before = intents(f);
		shots[0] = shot_of(f, &f->alice, finalize_url(f, order), csr_new(f, STR("race.a.test")));
		shots[1] = shot_of(f, &f->alice, authz_of(f, order), STR("{\"status\":\"deactivated\"}"));
		fire(f, shots, 2);
		bool finalized = shots[0].reply.status == 200;
		assert_int_equal(shots[1].reply.status, 200);
		assert_true(finalized || says(&shots[0], "orderNotReady"));
		assert_int_equal(intents(f) - intents_before, finalized);
		MUST(world_run(&f->w, &err));
		assert_true(str_eq(status_of(f, &f->alice, order), finalized ? STR("valid") : STR("invalid")));
		clear(shots, 2);
	}
}

/* The one message that the bus holds now, taken off it. */
static struct str take_message(struct fixture *f, const char *topic)
{
	struct world_message *m = &f->w.queue[f->w.first % WORLD_QUEUE_MAX];
	assert_true(f->w.last == f->w.first + 1 && str_eq(m->topic, str_z(topic)));
	f->w.first++;
	return m->body;
}

/* Lets one program work, whose answer stays on the bus. */
static struct str answer_of(struct fixture *f, const char *topic)
{
	struct err err = { 0 };
	MUST(world_step(&f->w, &err));
	return take_message(f, topic);
}

static void a_verdict_does_not_raise_what_was_deactivated(void **state)
{
	struct fixture *f = *state;
	world_site(&f->w, STR("late.a.test"))->thumbprint = str_z(f->alice.thumbprint.z);
	for (size_t i = 0; i < ROUNDS; i++) {
		struct err err = { 0 };
		struct shot shots[2];
		struct str order;
		MUST(world_order_new(&f->w, &f->alice, STR("late.a.test"), &order, &err));
		struct str authz = authz_of(f, order);
		MUST(world_challenge_answer(&f->w, &f->alice, order, &err));
		shots[0] = (struct shot){ .apply = acme_apply_verdict, .body = answer_of(f, TOPIC_VERDICT) };
		shots[1] = shot_of(f, &f->alice, authz, STR("{\"status\":\"deactivated\"}"));
		fire(f, shots, 2);
		assert_int_equal(shots[1].reply.status, 200);
		assert_true(says(&shots[1], "\"deactivated\""));
		assert_true(str_eq(status_of(f, &f->alice, order), STR("invalid")));
		clear(shots, 2);
	}
}

static void one_certificate_that_comes_eight_times_is_one(void **state)
{
	struct fixture *f = *state;
	static struct shot shots[8];
	struct err err = { 0 };
	struct world_reply r;
	struct str order = ready_order(f, &f->alice, STR("www.a.test"));
	uint64_t before = counts(f).certificates;
	MUST(world_post(&f->w, &f->alice, finalize_url(f, order), csr_new(f, STR("www.a.test")), &r, &err));
	world_reply_done(&r);
	struct str body = answer_of(f, TOPIC_SIGNED);
	for (size_t i = 0; i < ARRAY_LEN(shots); i++)
		shots[i] = (struct shot){ .apply = acme_apply_signed, .body = body };
	fire(f, shots, ARRAY_LEN(shots));
	assert_int_equal(counts(f).certificates, before + 1);
	assert_true(str_eq(status_of(f, &f->alice, order), STR("valid")));
	clear(shots, ARRAY_LEN(shots));
}

static int open_world(void **state)
{
	*state = fixture_new(sizeof(struct fixture),
			     "realm:\n  default:\n    names: [\"*.a.test\"]\n    accounts-per-hour: 0\n"
			     "    orders-per-hour: 0\n",
			     1);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_nonce_serves_one_of_two_hundred),
		cmocka_unit_test(fifty_finalizes_with_one_csr_are_one),
		cmocka_unit_test(of_fifty_finalizes_with_csrs_of_their_own_one_wins),
		cmocka_unit_test(fifty_new_accounts_with_one_key_are_one),
		cmocka_unit_test(an_account_that_was_deactivated_begins_nothing),
		cmocka_unit_test(an_authorization_that_was_deactivated_carries_no_finalize),
		cmocka_unit_test(a_verdict_does_not_raise_what_was_deactivated),
		cmocka_unit_test(one_certificate_that_comes_eight_times_is_one),
	};
	return cmocka_run_group_tests(tests, open_world, fixture_free);
}

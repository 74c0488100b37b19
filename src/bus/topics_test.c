/* SPDX-License-Identifier: Apache-2.0
 *
 * topics_test.c: who gets which message, with scripted consumers and a scripted clock.
 */
#include "bus/topics.h"

#include <stdio.h>
#include <stdlib.h>

// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#define T STR("t")

struct script {
	struct topics t;
	char log[512]; /* "owner:body " for each message given */
	struct bus_delivery *last;
};

static void give(void *ctx, struct sub *s, struct bus_delivery *d)
{
	struct script *x = (struct script *)ctx;
	size_t n = strlen(x->log);
	(void)snprintf(x->log + n, sizeof x->log - n, "%s:%.*s ", (const char *)s->owner, STR_FMT(d->body));
	x->last = d;
}

static void script_init(struct script *x, size_t queue_max)
{
	*x = (struct script){ .t = { .give = give, .queue_max = queue_max } };
	x->t.ctx = x;
}

static struct sub *join(struct script *x, struct str topic, unsigned credits, char *owner)
{
	struct sub *s = NULL;
	assert_false(FAILED(topics_subscribe(&x->t, topic, credits, owner, 7, &s, NULL)));
	return s;
}

static void post(struct script *x, struct str topic, const char *body)
{
	assert_false(FAILED(topics_publish(&x->t, topic, str_z(body), NULL)));
}

static void expect(struct script *x, const char *log)
{
	assert_string_equal(x->log, log);
	x->log[0] = '\0';
}

/* Ends a script in which every message was settled or waits: nothing may be left held. */
static void script_done(struct script *x)
{
	topics_done(&x->t);
}

static char a_name[] = "a", b_name[] = "b", c_name[] = "c";

static void consumers_take_turns(void **state)
{
	(void)state;
	struct script x;
	script_init(&x, 10);
	struct sub *subs[] = { join(&x, T, 3, a_name), join(&x, T, 3, b_name), join(&x, T, 1, c_name) };
	for (const char *body = "123456"; *body != '\0'; body++)
		assert_false(FAILED(topics_publish(&x.t, T, str_n(body, 1), NULL)));
	expect(&x, "a:1 b:2 c:3 a:4 b:5 a:6 ");
	assert_int_equal(topics_consumers(&x.t, T), 3);
	for (size_t i = 0; i < ARRAY_LEN(subs); i++)
		sub_drop(&x.t, subs[i]);
	script_done(&x);
}

static void without_credit_messages_wait_and_go_when_one_is_acknowledged(void **state)
{
	(void)state;
	struct script x;
	script_init(&x, 10);
	struct sub *a = join(&x, T, 1, a_name);
	post(&x, T, "1");
	uint64_t first = x.last->tag;
	post(&x, T, "2");
	expect(&x, "a:1 ");
	assert_false(FAILED(sub_settle(&x.t, a, first, true, 0, NULL)));
	expect(&x, "a:2 ");
	/* The same slot again, so only the counter tells the old tag from the new. */
	assert_true(FAILED(sub_settle(&x.t, a, first, true, 0, NULL)));
	assert_true(FAILED(sub_settle(&x.t, a, x.last->tag ^ 1, true, 0, NULL)));
	assert_true(FAILED(sub_settle(&x.t, a, UINT64_MAX, true, 0, NULL)));
	assert_false(FAILED(sub_settle(&x.t, a, x.last->tag, true, 0, NULL)));
	assert_int_equal(x.t.bytes, 0);
	sub_drop(&x.t, a);
	script_done(&x);
}

static void what_waits_goes_to_the_first_who_comes(void **state)
{
	(void)state;
	struct script x;
	script_init(&x, 10);
	post(&x, T, "1");
	post(&x, T, "2");
	post(&x, STR("other"), "3");
	expect(&x, "");
	struct sub *a = join(&x, T, 5, a_name);
	expect(&x, "a:1 a:2 ");
	sub_drop(&x.t, a);
	script_done(&x);
}

static void what_a_lost_consumer_held_goes_to_others_first(void **state)
{
	(void)state;
	struct script x;
	script_init(&x, 10);
	struct sub *a = join(&x, T, 2, a_name);
	post(&x, T, "1");
	post(&x, T, "2");
	post(&x, T, "3");
	expect(&x, "a:1 a:2 ");
	sub_drop(&x.t, a);
	struct sub *b = join(&x, T, 5, b_name);
	expect(&x, "b:1 b:2 b:3 ");
	sub_drop(&x.t, b);
	script_done(&x);
}

static void a_refused_message_goes_again_after_the_delay_to_anyone(void **state)
{
	(void)state;
	struct script x;
	script_init(&x, 10);
	struct sub *a = join(&x, T, 1, a_name);
	struct sub *b = join(&x, T, 1, b_name);
	post(&x, T, "1");
	expect(&x, "a:1 ");
	assert_true(topics_next_due(&x.t) == INT64_MAX);
	assert_false(FAILED(sub_settle(&x.t, a, x.last->tag, false, 5000, NULL)));
	assert_true(topics_next_due(&x.t) == 5000 + NACK_DELAY_MS);
	topics_run_due(&x.t, 5000 + NACK_DELAY_MS - 1);
	expect(&x, "");
	topics_run_due(&x.t, 5000 + NACK_DELAY_MS);
	expect(&x, "b:1 ");
	assert_true(topics_next_due(&x.t) == INT64_MAX);
	sub_drop(&x.t, b);
	expect(&x, "a:1 ");
	assert_false(FAILED(sub_settle(&x.t, a, x.last->tag, true, 0, NULL)));
	sub_drop(&x.t, a);
	assert_int_equal(x.t.count, 0);
	script_done(&x);
}

static void a_paused_consumer_gets_nothing_until_resumed(void **state)
{
	(void)state;
	struct script x;
	script_init(&x, 10);
	struct sub *a = join(&x, T, 4, a_name);
	a->paused = true;
	post(&x, T, "1");
	post(&x, T, "2");
	expect(&x, "");
	sub_resume(&x.t, a);
	expect(&x, "a:1 a:2 ");
	sub_drop(&x.t, a);
	script_done(&x);
}

static void queues_refuse_beyond_their_limit(void **state)
{
	(void)state;
	struct script x;
	script_init(&x, 3);
	for (int i = 0; i < 3; i++)
		post(&x, T, "x");
	struct err err = { 0 };
	assert_int_equal(topics_publish(&x.t, T, STR("x"), &err).kind, ERR_UNAVAILABLE);
	assert_non_null(strstr(err.detail, "3 messages wait on bus topic t"));
	post(&x, STR("other"), "x");
	/* Refused ones count as waiting too, else a consumer that refuses all would let the hub grow. */
	struct sub *a = join(&x, T, 1, a_name);
	assert_false(FAILED(sub_settle(&x.t, a, x.last->tag, false, 0, NULL)));
	post(&x, T, "x");
	assert_int_equal(topics_publish(&x.t, T, STR("x"), NULL).kind, ERR_UNAVAILABLE);
	sub_drop(&x.t, a);
	script_done(&x);
}

/* Publishes the largest messages until one is refused. */
static size_t fill(struct script *x, struct str topic)
{
	char *body = (char *)mem_alloc(BUS_BODY_MAX);
	size_t taken = 0;
	while (!FAILED(topics_publish(&x->t, topic, str_n(body, BUS_BODY_MAX), NULL)) && taken < 1000)
		taken++;
	free(body);
	return taken;
}

static void messages_have_a_limit_in_bytes_by_topic_and_together(void **state)
{
	(void)state;
	struct script x;
	script_init(&x, 1000);
	size_t one = sizeof(struct bus_delivery) + BUS_BODY_MAX + 1;
	/* Held by a consumer all of them: that counts as much as waiting. */
	struct sub *a = join(&x, T, 1000, a_name);
	assert_int_equal(fill(&x, T), TOPIC_BYTES_MAX / one);
	assert_int_equal(fill(&x, STR("u")), TOPIC_BYTES_MAX / one); /* others have room of their own */
	while (fill(&x, STR("w")) + fill(&x, STR("y")) + fill(&x, STR("z")) > 0)
		;
	assert_true(x.t.bytes <= TOPICS_BYTES_MAX && x.t.bytes + one > TOPICS_BYTES_MAX);
	/* What is done makes room again. */
	assert_false(FAILED(sub_settle(&x.t, a, x.last->tag, true, 0, NULL)));
	assert_int_equal(fill(&x, T), 1);
	sub_drop(&x.t, a);
	script_done(&x);
}

static void topics_are_limited_and_forgotten_when_unused(void **state)
{
	(void)state;
	struct script x;
	script_init(&x, 10);
	for (int i = 0; i < TOPICS_MAX; i++) {
		char name[16];
		(void)snprintf(name, sizeof name, "t%d", i);
		post(&x, str_z(name), "x");
	}
	assert_int_equal(topics_publish(&x.t, T, STR("x"), NULL).kind, ERR_UNAVAILABLE);
	struct sub *a = join(&x, STR("t5"), 1, a_name);
	assert_false(FAILED(sub_settle(&x.t, a, x.last->tag, true, 0, NULL)));
	sub_drop(&x.t, a);
	assert_int_equal(x.t.count, TOPICS_MAX - 1);
	post(&x, T, "x");
	script_done(&x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(consumers_take_turns),
		cmocka_unit_test(without_credit_messages_wait_and_go_when_one_is_acknowledged),
		cmocka_unit_test(what_waits_goes_to_the_first_who_comes),
		cmocka_unit_test(what_a_lost_consumer_held_goes_to_others_first),
		cmocka_unit_test(a_refused_message_goes_again_after_the_delay_to_anyone),
		cmocka_unit_test(a_paused_consumer_gets_nothing_until_resumed),
		cmocka_unit_test(queues_refuse_beyond_their_limit),
		cmocka_unit_test(messages_have_a_limit_in_bytes_by_topic_and_together),
		cmocka_unit_test(topics_are_limited_and_forgotten_when_unused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

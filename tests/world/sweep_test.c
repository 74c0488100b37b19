/* SPDX-License-Identifier: Apache-2.0
 *
 * sweep_test.c: no order is stuck (promise 3), however many there are and whatever the signer says.
 */
#include "fixture.h"
#include "unit.h"
#include "world.h"

#include <stdlib.h>

#define MANY 250 /* more than one batch of the sweeper */

struct fixture {
	FIXTURE;
	struct key *key;
	struct str csr; /* for www.a.test, which alice has proved */
};

static int open_world(void **state)
{
	struct fixture *f = fixture_new(sizeof *f, NULL, 1);
	struct err err = { 0 };
	struct str order;
	world_site(&f->w, STR("www.a.test"))->thumbprint = str_z(f->alice.thumbprint.z);
	MUST(world_order_new(&f->w, &f->alice, STR("www.a.test"), &order, &err));
	MUST(world_order_prove(&f->w, &f->alice, order, &err));
	MUST(key_generate(KEY_P256, 0, &f->key, &err));
	MUST(world_csr(&f->w, f->key, STR("www.a.test"), &f->csr, &err));
	*state = f;
	return 0;
}

static int close_world(void **state)
{
	struct fixture *f = *state;
	key_free(f->key);
	return fixture_free(state);
}

static struct str finalized_order(struct fixture *f)
{
	struct err err = { 0 };
	struct world_reply r;
	struct str order;
	MUST(world_order_new(&f->w, &f->alice, STR("www.a.test"), &order, &err));
	MUST(world_post(&f->w, &f->alice, str_fmt(&f->w.mem, "%.*s/finalize", STR_FMT(order)), f->csr, &r, &err));
	assert_int_equal(r.status, 200);
	world_reply_done(&r);
	return order;
}

static fallible count_store(struct store_tx *tx, void *ctx, struct err *err)
{
	return store_count(tx, ctx, err);
}

static void one_round_sends_all_that_is_due(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	struct store_counts n;
	f->w.signer_down = true;
	for (size_t i = 0; i < MANY; i++)
		(void)finalized_order(f);
	MUST(world_run(&f->w, &err)); /* all lost */
	f->w.signer_down = false;
	f->w.now_ms += 60 * 1000;
	MUST(acme_sweep(f->w.acme, &err));
	MUST(world_run(&f->w, &err));
	MUST(store_read(f->w.store, count_store, &n, &err));
	assert_int_equal(n.orders[ORDER_PROCESSING], 0);
	assert_int_equal(n.certificates, MANY);
}

static const struct world_message *latest(const struct world *w)
{
	assert_true(w->first != w->last);
	return &w->queue[(w->last - 1) % WORLD_QUEUE_MAX];
}

/* The handler makes it from the rows that it has just written, the sweeper from what it reads. */
static void a_job_that_is_sent_again_is_the_same_to_the_byte(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	struct str other, topics[] = { STR(TOPIC_VALIDATE), STR(TOPIC_SIGN) };
	for (size_t i = 0; i < ARRAY_LEN(topics); i++) {
		if (i == 0) {
			MUST(world_order_new(&f->w, &f->alice, STR("other.a.test"), &other, &err));
			MUST(world_challenge_answer(&f->w, &f->alice, other, &err));
		} else {
			(void)finalized_order(f);
		}
		const struct world_message *first = latest(&f->w);
		size_t sent = f->w.last;
		assert_true(str_starts(first->topic, topics[i]));
		struct str body = str_dup(&f->w.mem, first->body);
		f->w.now_ms += 6 * 1000;
		MUST(acme_sweep(f->w.acme, &err));
		assert_true(f->w.last > sent);
		assert_true(str_eq(latest(&f->w)->topic, first->topic));
		assert_true(str_eq(latest(&f->w)->body, body));
		MUST(world_run(&f->w, &err));
	}
}

/* What the world's signer would answer, with one word of it changed on the way. */
static struct str signed_message(struct fixture *f, struct str order)
{
	struct err err = { 0 };
	AUTO(buf_done) struct buf body = BUF_MAX(JOB_MAX);
	struct sign_job job;
	struct sign_result result;
	struct world_message *m = &f->w.queue[(f->w.last - 1) % WORLD_QUEUE_MAX];
	assert_true(f->w.first != f->w.last && str_eq(m->topic, STR(TOPIC_SIGN)));
	MUST(sign_job_read(&f->w.mem, m->body, &job, &err));
	assert_true(str_ends(order, str_z(id_show(job.order).z)));
	job.not_after -= 1; /* the signer signs another validity than was intended */
	MUST(signer_batch(f->w.signer, &f->w.mem, &job, 1, &result, &err));
	MUST(sign_result_write(&result, &body, &err));
	return str_dup(&f->w.mem, buf_str(&body));
}

static void a_certificate_that_was_not_intended_ends_its_order(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	struct str order = finalized_order(f), status;
	struct store_counts before, after;
	MUST(store_read(f->w.store, count_store, &before, &err));
	MUST(acme_apply_signed(f->w.acme, signed_message(f, order), &err));
	MUST(world_order_status(&f->w, &f->alice, order, &status, &err));
	assert_true(str_eq(status, STR("invalid")));
	MUST(store_read(f->w.store, count_store, &after, &err));
	assert_int_equal(before.certificates, after.certificates);
}

struct blocking {
	struct sha256 spki_hash;
	struct certificate_row row;
	struct arena *mem;
	struct id order;
};

static fallible block_key(struct store_tx *tx, void *ctx, struct err *err)
{
	const struct blocking *b = ctx;
	return blocked_key_insert(tx, &b->spki_hash, STR("keyCompromise"), 1, STR("key"), err);
}

static fallible read_certificate(struct store_tx *tx, void *ctx, struct err *err)
{
	struct blocking *b = ctx;
	struct order_row order;
	TRY(order_by_id(tx, b->mem, b->order, &order, err));
	return certificate_by_id(tx, b->mem, order.certificate, &b->row, err);
}

static void a_key_that_is_blocked_while_its_certificate_is_signed_gives_a_revoked_one(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	struct blocking b = { .mem = &f->w.mem };
	struct str order = finalized_order(f); /* its job waits on the bus */
	MUST(key_spki_hash(f->w.crypto, f->key, &b.spki_hash, &err));
	MUST(store_tx(f->w.store, block_key, &b, &err));
	MUST(world_run(&f->w, &err));
	MUST(id_read(str_sub(order, order.n - ID_TEXT_LEN, order.n), &b.order, &err));
	MUST(store_read(f->w.store, read_certificate, &b, &err));
	assert_int_equal(b.row.revoked_at, f->w.now_ms);
	assert_int_equal(b.row.revocation_reason, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_round_sends_all_that_is_due),
		cmocka_unit_test(a_job_that_is_sent_again_is_the_same_to_the_byte),
		cmocka_unit_test(a_certificate_that_was_not_intended_ends_its_order),
		cmocka_unit_test(a_key_that_is_blocked_while_its_certificate_is_signed_gives_a_revoked_one),
	};
	return cmocka_run_group_tests(tests, open_world, close_world);
}

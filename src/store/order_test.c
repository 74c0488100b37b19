/* SPDX-License-Identifier: Apache-2.0
 *
 * order_test.c: orders that replace a certificate (RFC 9773 5), of which one comes through; and proofs under an earlier
 * key, which count as open.
 */
#include "store/testing.h"

#define SERIAL STR("0a")

static void add_replacing(struct bench *b, uint32_t n, enum order_status status)
{
	struct order_row o = test_order(ID(n), ID(ACCOUNT));
	const struct id authzs[] = { ID(AUTHZ) };
	o.replaces = SERIAL;
	o.status = status;
	GOOD(order_insert(&b->tx, &o, authzs, 1, &err));
}

static void expect_replacing(struct bench *b, struct str serial, int64_t now, bool taken, bool open)
{
	bool is_taken, is_open;
	GOOD(order_replacing(&b->tx, serial, now, &is_taken, &is_open, &err));
	if (is_taken != taken || is_open != open)
		fail_msg("taken %d, open %d", is_taken, is_open);
}

static void an_order_says_what_it_replaces(void **state)
{
	struct bench *b = (struct bench *)*state;
	struct order_row got;
	add_account(b);
	add_authz(b, AUTHZ);
	add_replacing(b, ORDER, ORDER_PENDING);
	add_order(b, ORDER2, AUTHZ);
	GOOD(order_by_id(&b->tx, &b->mem, ID(ORDER), &got, &err));
	assert_true(str_eq(got.replaces, SERIAL));
	GOOD(order_by_id(&b->tx, &b->mem, ID(ORDER2), &got, &err));
	assert_int_equal(got.replaces.n, 0);
}

static void each_state_says_whether_a_certificate_is_replaced(void **state)
{
	struct bench *b = (struct bench *)*state;
	static const struct {
		enum order_status status;
		bool taken, open;
	} rows[] = {
		{ ORDER_PENDING, false, true },  { ORDER_READY, false, true }, { ORDER_PROCESSING, true, false },
		{ ORDER_INVALID, false, false }, { ORDER_VALID, true, false },
	};
	add_account(b);
	add_authz(b, AUTHZ);
	add_order(b, ORDER2, AUTHZ); /* replaces nothing */
	expect_replacing(b, SERIAL, T_START, false, false);
	expect_replacing(b, STR_NONE, T_START, false, false);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		GOOD(b->db->ops->savepoint(b->db, &err));
		add_replacing(b, ORDER, rows[i].status);
		expect_replacing(b, SERIAL, T_START, rows[i].taken, rows[i].open);
		expect_replacing(b, SERIAL, T_START + 1000, rows[i].taken, false); /* the sweeper has yet to come */
		expect_replacing(b, STR("0b"), T_START, false, false);
		GOOD(b->db->ops->undo(b->db, &err));
	}
}

static void of_two_orders_that_replace_one_certificate_one_begins(void **state)
{
	struct bench *b = (struct bench *)*state;
	const struct sha256 hash = { { 1 } };
	struct order_row got;
	add_account(b);
	add_authz(b, AUTHZ);
	add_replacing(b, ORDER, ORDER_READY);
	add_replacing(b, ORDER2, ORDER_READY);
	expect_replacing(b, SERIAL, T_START, false, true);
	GOOD(order_begin(&b->tx, ID(ORDER), &hash, &err));
	expect_replacing(b, SERIAL, T_START, true, true);
	BAD(order_begin(&b->tx, ID(ORDER2), &hash, &err), ERR_ALREADY_REPLACED, "another order has replaced");
	GOOD(order_by_id(&b->tx, &b->mem, ID(ORDER2), &got, &err));
	assert_true(got.status == ORDER_READY && bytes_are_zero(got.csr_hash.b, sizeof got.csr_hash.b));
	/* The one that began says what it is, not that it was replaced. */
	BAD(order_begin(&b->tx, ID(ORDER), &hash, &err), ERR_CONFLICT, "is processing");
	BAD(order_begin(&b->tx, ID(NOBODY), &hash, &err), ERR_NOT_FOUND, "order");

	/* The first one fails: the certificate is to be replaced still. */
	GOOD(order_fail(&b->tx, ID(ORDER), ORDER_PROCESSING, STR("{}"), &err));
	GOOD(order_begin(&b->tx, ID(ORDER2), &hash, &err));
	GOOD(order_finish(&b->tx, ID(ORDER2), ID(CERTIFICATE), &err));
	expect_replacing(b, SERIAL, T_START, true, false);
}

/* Whoever calls whatever. */
static void the_database_itself_holds_one_replacement(void **state)
{
	struct bench *b = (struct bench *)*state;
	add_account(b);
	add_authz(b, AUTHZ);
	add_replacing(b, ORDER, ORDER_VALID);
	struct order_row o = test_order(ID(ORDER2), ID(ACCOUNT));
	const struct id authzs[] = { ID(AUTHZ) };
	o.replaces = SERIAL;
	o.status = ORDER_PROCESSING;
	BAD(order_insert(&b->tx, &o, authzs, 1, &err), ERR_CONFLICT, "exists");
	add_replacing(b, ORDER2, ORDER_READY);
	uint64_t changed;
	BAD(tx_run(&b->tx, "UPDATE orders SET status = 'processing' WHERE replaces = '0a' AND status = 'ready'", NULL,
		   0, &changed, &err),
	    ERR_CONFLICT, "");
}

static size_t open_under(struct bench *b, const char *thumbprint)
{
	size_t open;
	GOOD(order_open_authzs(&b->tx, ID(ORDER), str_z(thumbprint), T_START, &open, &err));
	return open;
}

static void a_proof_under_an_earlier_key_counts_as_open(void **state)
{
	struct bench *b = (struct bench *)*state;
	add_account(b);
	add_authz(b, AUTHZ);
	struct authz_row newer = test_authz(ID(AUTHZ2), ID(ACCOUNT));
	newer.thumbprint = STR("rolled");
	GOOD(authz_insert(&b->tx, &newer, &err));
	struct order_row o = test_order(ID(ORDER), ID(ACCOUNT));
	const struct id authzs[] = { ID(AUTHZ), ID(AUTHZ2) };
	GOOD(order_insert(&b->tx, &o, authzs, 2, &err));
	assert_int_equal(open_under(b, "thumb"), 2);
	GOOD(authz_prove(&b->tx, ID(AUTHZ), ID(ATTEMPT), T_START + 1000, &err));
	GOOD(authz_prove(&b->tx, ID(AUTHZ2), ID(ATTEMPT), T_START + 1000, &err));
	assert_int_equal(open_under(b, "thumb"), 1);
	assert_int_equal(open_under(b, "rolled"), 1);
	assert_int_equal(open_under(b, "third"), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BENCH(an_order_says_what_it_replaces),
		BENCH(each_state_says_whether_a_certificate_is_replaced),
		BENCH(of_two_orders_that_replace_one_certificate_one_begins),
		BENCH(the_database_itself_holds_one_replacement),
		BENCH(a_proof_under_an_earlier_key_counts_as_open),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

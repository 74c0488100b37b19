/* SPDX-License-Identifier: Apache-2.0
 *
 * rows_test.c: the typed calls: what goes in comes out, each move finds its state or says what it found, no query reads
 * a whole table, and the sweeper removes what may go and nothing else. Everything but the plans runs in one transaction
 * that the test drives.
 */
#include "store/testing.h"

static void accounts(void **state)
{
	struct bench *b = (struct bench *)*state;
	struct account_row want = test_account(ID(ACCOUNT), "thumb");
	struct account_row got;
	GOOD(account_insert(&b->tx, &want, &err));
	GOOD(account_by_id(&b->tx, &b->mem, ID(ACCOUNT), &got, &err));
	assert_true(id_eq(got.id, want.id) && str_eq(got.realm, want.realm) && str_eq(got.jwk, want.jwk));
	assert_true(str_eq(got.contact, want.contact) && str_eq(got.eab_kid, want.eab_kid));
	assert_true(str_eq(got.created_ip, want.created_ip) && got.tos_agreed_at == 5 && got.created_at == T_START);
	GOOD(account_by_thumbprint(&b->tx, &b->mem, STR("default"), STR("thumb"), &got, &err));
	assert_true(id_eq(got.id, want.id));
	BAD(account_by_thumbprint(&b->tx, &b->mem, STR("other"), STR("thumb"), &got, &err), ERR_NOT_FOUND, "account");
	BAD(account_by_id(&b->tx, &b->mem, ID(NOBODY), &got, &err), ERR_NOT_FOUND, "account");

	/* The same key again, the same id again; the same key in another realm is another account. */
	want.id = ID(2);
	BAD(account_insert(&b->tx, &want, &err), ERR_CONFLICT, "exists");
	want.id = ID(ACCOUNT);
	want.thumbprint = STR("other");
	BAD(account_insert(&b->tx, &want, &err), ERR_CONFLICT, "exists");
	want = test_account(ID(3), "thumb");
	want.realm = STR("other");
	GOOD(account_insert(&b->tx, &want, &err));

	GOOD(account_set_contact(&b->tx, ID(ACCOUNT), STR_NONE, &err));
	GOOD(account_set_tos(&b->tx, ID(ACCOUNT), STR("https://a.example/terms"), 77, &err));
	BAD(account_set_contact(&b->tx, ID(NOBODY), STR("[]"), &err), ERR_NOT_FOUND, "account");
	BAD(account_set_tos(&b->tx, ID(NOBODY), STR_NONE, 1, &err), ERR_NOT_FOUND, "account");
	GOOD(account_move(&b->tx, ID(ACCOUNT), ACCOUNT_VALID, ACCOUNT_DEACTIVATED, &err));
	BAD(account_move(&b->tx, ID(ACCOUNT), ACCOUNT_VALID, ACCOUNT_DEACTIVATED, &err), ERR_CONFLICT,
	    "is deactivated");
	BAD(account_move(&b->tx, ID(NOBODY), ACCOUNT_VALID, ACCOUNT_DEACTIVATED, &err), ERR_NOT_FOUND, "account");
	BAD(account_move(&b->tx, ID(3), ACCOUNT_DEACTIVATED, ACCOUNT_VALID, &err), ERR_INTERNAL,
	    "deactivated to valid");
	GOOD(account_by_id(&b->tx, &b->mem, ID(ACCOUNT), &got, &err));
	assert_true(got.status == ACCOUNT_DEACTIVATED && got.tos_agreed_at == 77 && got.contact.n == 0);
}

static void orders_and_their_moves(void **state)
{
	struct bench *b = (struct bench *)*state;
	struct order_row got;
	struct sha256 hash = { { 9, 9 } };
	add_account(b);
	add_authz(b, AUTHZ);
	add_authz(b, AUTHZ2);
	struct order_row o = test_order(ID(ORDER), ID(ACCOUNT));
	const struct id authzs[] = { ID(AUTHZ2), ID(AUTHZ) };
	GOOD(order_insert(&b->tx, &o, authzs, 2, &err));
	BAD(order_insert(&b->tx, &o, authzs, 2, &err), ERR_CONFLICT, "exists");
	o.id = ID(ORDER2);
	BAD(order_insert(&b->tx, &o, authzs, 0, &err), ERR_INTERNAL, "0 authorizations");
	const struct id nobody[] = { ID(NOBODY) };
	ORPHAN(order_insert(&b->tx, &o, nobody, 1, &err));
	o.account = ID(NOBODY);
	o.id = ID(30);
	ORPHAN(order_insert(&b->tx, &o, authzs, 1, &err));

	struct id *list;
	size_t n;
	GOOD(order_authzs(&b->tx, &b->mem, ID(ORDER), &list, &n, &err));
	assert_true(n == 2 && id_eq(list[0], ID(AUTHZ2)) && id_eq(list[1], ID(AUTHZ)));
	GOOD(order_by_id(&b->tx, &b->mem, ID(ORDER), &got, &err));
	assert_true(got.status == ORDER_PENDING && id_is_zero(got.certificate) && got.error.n == 0);
	assert_true(bytes_are_zero(got.csr_hash.b, 32) && id_eq(got.account, ID(ACCOUNT)));
	BAD(order_by_id(&b->tx, &b->mem, ID(NOBODY), &got, &err), ERR_NOT_FOUND, "order");

	BAD(order_begin(&b->tx, ID(ORDER), &hash, &err), ERR_CONFLICT, "is pending, ready was wanted");
	BAD(order_finish(&b->tx, ID(ORDER), ID(CERTIFICATE), &err), ERR_CONFLICT, "is pending");
	BAD(order_move(&b->tx, ID(ORDER), ORDER_PENDING, ORDER_VALID, &err), ERR_INTERNAL, "pending to valid");
	BAD(order_fail(&b->tx, ID(ORDER), ORDER_VALID, STR("{}"), &err), ERR_INTERNAL, "valid to invalid");
	BAD(order_fail(&b->tx, ID(ORDER), ORDER_READY, STR("{}"), &err), ERR_CONFLICT, "is pending");
	BAD(order_move(&b->tx, ID(NOBODY), ORDER_PENDING, ORDER_READY, &err), ERR_NOT_FOUND, "order");
	GOOD(order_move(&b->tx, ID(ORDER), ORDER_PENDING, ORDER_READY, &err));
	BAD(order_move(&b->tx, ID(ORDER), ORDER_PENDING, ORDER_READY, &err), ERR_CONFLICT, "is ready");
	GOOD(order_begin(&b->tx, ID(ORDER), &hash, &err));
	BAD(order_begin(&b->tx, ID(ORDER), &hash, &err), ERR_CONFLICT, "is processing");
	GOOD(order_finish(&b->tx, ID(ORDER), ID(CERTIFICATE), &err));
	BAD(order_finish(&b->tx, ID(ORDER), ID(CERTIFICATE), &err), ERR_CONFLICT, "is valid");
	GOOD(order_by_id(&b->tx, &b->mem, ID(ORDER), &got, &err));
	assert_true(got.status == ORDER_VALID && id_eq(got.certificate, ID(CERTIFICATE)));
	assert_memory_equal(got.csr_hash.b, hash.b, 32);

	add_order(b, 40, AUTHZ);
	GOOD(order_fail(&b->tx, ID(40), ORDER_PENDING, STR("{\"type\":\"x\"}"), &err));
	GOOD(order_by_id(&b->tx, &b->mem, ID(40), &got, &err));
	assert_true(got.status == ORDER_INVALID && str_eq(got.error, STR("{\"type\":\"x\"}")));
}

static void order_lists(void **state)
{
	struct bench *b = (struct bench *)*state;
	const struct id zero = { { 0 } };
	struct id *list;
	size_t n, open;
	add_account(b);
	add_authz(b, AUTHZ);
	for (uint32_t i = 100; i < 120; i++)
		add_order(b, i, AUTHZ);
	GOOD(order_list(&b->tx, &b->mem, ID(ACCOUNT), zero, 5, &list, &n, &err));
	assert_true(n == 5 && id_eq(list[0], ID(119)) && id_eq(list[4], ID(115)));
	GOOD(order_list(&b->tx, &b->mem, ID(ACCOUNT), list[4], 100, &list, &n, &err));
	assert_true(n == 15 && id_eq(list[0], ID(114)) && id_eq(list[14], ID(100)));
	GOOD(order_list(&b->tx, &b->mem, ID(NOBODY), zero, 5, &list, &n, &err));
	assert_int_equal(n, 0);

	GOOD(order_move(&b->tx, ID(100), ORDER_PENDING, ORDER_READY, &err));
	GOOD(orders_of_authz(&b->tx, &b->mem, ID(AUTHZ), ORDER_PENDING, &list, &n, &err));
	assert_true(n == 19 && id_eq(list[0], ID(101)));
	GOOD(orders_of_authz(&b->tx, &b->mem, ID(AUTHZ), ORDER_READY, &list, &n, &err));
	assert_true(n == 1 && id_eq(list[0], ID(100)));
	GOOD(orders_of_authz(&b->tx, &b->mem, ID(AUTHZ2), ORDER_PENDING, &list, &n, &err));
	assert_int_equal(n, 0);

	GOOD(order_open_authzs(&b->tx, ID(100), STR("thumb"), T_START, &open, &err));
	assert_int_equal(open, 1);
	GOOD(authz_prove(&b->tx, ID(AUTHZ), ID(ATTEMPT), T_START + 500, &err));
	GOOD(order_open_authzs(&b->tx, ID(100), STR("thumb"), T_START, &open, &err));
	assert_int_equal(open, 0);
	GOOD(order_open_authzs(&b->tx, ID(100), STR("thumb"), T_START + 500, &open, &err));
	assert_int_equal(open, 1); /* a proof that has expired is none */
}

static void authorizations(void **state)
{
	struct bench *b = (struct bench *)*state;
	struct authz_row got;
	add_account(b);
	add_authz(b, AUTHZ);
	struct authz_row again = test_authz(ID(AUTHZ), ID(ACCOUNT));
	BAD(authz_insert(&b->tx, &again, &err), ERR_CONFLICT, "exists");
	GOOD(authz_by_id(&b->tx, &b->mem, ID(AUTHZ), &got, &err));
	assert_true(got.ident.type == IDENT_DNS && str_eq(got.ident.value, STR("a.example")) && !got.wildcard);
	assert_true(got.status == AUTHZ_PENDING && id_is_zero(got.attempt) && str_eq(got.thumbprint, STR("thumb")));
	BAD(authz_by_id(&b->tx, &b->mem, ID(NOBODY), &got, &err), ERR_NOT_FOUND, "authorization");

	GOOD(authz_prove(&b->tx, ID(AUTHZ), ID(ATTEMPT), T_START + 9000, &err));
	BAD(authz_prove(&b->tx, ID(AUTHZ), ID(ATTEMPT), T_START + 9000, &err), ERR_CONFLICT, "is valid");
	BAD(authz_move(&b->tx, ID(AUTHZ), AUTHZ_PENDING, AUTHZ_INVALID, &err), ERR_CONFLICT, "is valid");
	BAD(authz_move(&b->tx, ID(AUTHZ), AUTHZ_INVALID, AUTHZ_VALID, &err), ERR_INTERNAL, "invalid to valid");
	BAD(authz_move(&b->tx, ID(NOBODY), AUTHZ_PENDING, AUTHZ_INVALID, &err), ERR_NOT_FOUND, "authorization");
	GOOD(authz_by_id(&b->tx, &b->mem, ID(AUTHZ), &got, &err));
	assert_true(id_eq(got.attempt, ID(ATTEMPT)) && got.expires_at == T_START + 9000);
	GOOD(authz_move(&b->tx, ID(AUTHZ), AUTHZ_VALID, AUTHZ_DEACTIVATED, &err));
}

static void reuse_wants_the_same_account_key_name_and_wildcard(void **state)
{
	struct bench *b = (struct bench *)*state;
	const struct authz_want want = { .ident = { IDENT_DNS, STR("a.example") } };
	const struct authz_want other = { .ident = { IDENT_DNS, STR("b.example") } };
	const struct authz_want address = { .ident = { IDENT_IP, STR("a.example") } };
	const struct authz_want wild = { .ident = { IDENT_DNS, STR("a.example") }, .wildcard = true };
	struct authz_row got;
	add_account(b);
	add_authz(b, 50);
	add_authz(b, 51);
	GOOD(authz_find_reusable(&b->tx, &b->mem, ID(ACCOUNT), STR("thumb"), &want, T_START, &got, &err));
	assert_true(id_eq(got.id, ID(51))); /* the newest */
	GOOD(authz_prove(&b->tx, ID(50), ID(ATTEMPT), T_START + 1000, &err));
	GOOD(authz_find_reusable(&b->tx, &b->mem, ID(ACCOUNT), STR("thumb"), &want, T_START, &got, &err));
	assert_true(id_eq(got.id, ID(50))); /* a proof is worth more than a newer wait */
	const struct {
		struct id account;
		struct str thumbprint;
		const struct authz_want *want;
		int64_t until;
	} rows[] = {
		{ ID(NOBODY), STR("thumb"), &want, T_START },     { ID(ACCOUNT), STR("rolled"), &want, T_START },
		{ ID(ACCOUNT), STR("thumb"), &other, T_START },   { ID(ACCOUNT), STR("thumb"), &wild, T_START },
		{ ID(ACCOUNT), STR("thumb"), &address, T_START }, { ID(ACCOUNT), STR("thumb"), &want, T_START + 1000 },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		BAD(authz_find_reusable(&b->tx, &b->mem, rows[i].account, rows[i].thumbprint, rows[i].want,
					rows[i].until, &got, &err),
		    ERR_NOT_FOUND, "authorization");
	GOOD(authz_move(&b->tx, ID(50), AUTHZ_VALID, AUTHZ_DEACTIVATED, &err));
	GOOD(authz_move(&b->tx, ID(51), AUTHZ_PENDING, AUTHZ_INVALID, &err));
	BAD(authz_find_reusable(&b->tx, &b->mem, ID(ACCOUNT), STR("thumb"), &want, T_START, &got, &err), ERR_NOT_FOUND,
	    "authorization");
}

/* What ends with an authorization ends in one transaction, so its size has a limit. */
static void an_authorization_serves_a_limited_number_of_orders(void **state)
{
	struct bench *b = (struct bench *)*state;
	const struct authz_want want = { .ident = { IDENT_DNS, STR("a.example") } };
	struct authz_row got;
	add_account(b);
	add_authz(b, AUTHZ);
	for (uint32_t i = 0; i < AUTHZ_ORDERS_MAX; i++) {
		GOOD(authz_find_reusable(&b->tx, &b->mem, ID(ACCOUNT), STR("thumb"), &want, T_START, &got, &err));
		add_order(b, 10000 + i, AUTHZ);
	}
	BAD(authz_find_reusable(&b->tx, &b->mem, ID(ACCOUNT), STR("thumb"), &want, T_START, &got, &err), ERR_NOT_FOUND,
	    "authorization");
	add_authz(b, AUTHZ2);
	GOOD(authz_find_reusable(&b->tx, &b->mem, ID(ACCOUNT), STR("thumb"), &want, T_START, &got, &err));
	assert_true(id_eq(got.id, ID(AUTHZ2)));
}

static void challenges(void **state)
{
	struct bench *b = (struct bench *)*state;
	struct challenge_row got, *list;
	size_t n;
	bool kept;
	add_account(b);
	add_authz(b, AUTHZ);
	add_challenge(b);
	struct challenge_row other = test_challenge(ID(60), ID(AUTHZ));
	other.type = CHALLENGE_DNS01;
	GOOD(challenge_insert(&b->tx, &other, &err));
	BAD(challenge_insert(&b->tx, &other, &err), ERR_CONFLICT, "exists");
	other = test_challenge(ID(61), ID(NOBODY));
	ORPHAN(challenge_insert(&b->tx, &other, &err));
	GOOD(challenges_of_authz(&b->tx, &b->mem, ID(AUTHZ), &list, &n, &err));
	assert_true(n == 2 && list[0].type == CHALLENGE_HTTP01 && list[1].type == CHALLENGE_DNS01);

	BAD(challenge_end(&b->tx, ID(CHALLENGE), CHALLENGE_VALID, 5, STR_NONE, &err), ERR_CONFLICT, "is pending");
	GOOD(challenge_begin(&b->tx, ID(CHALLENGE), ID(ATTEMPT), &err));
	BAD(challenge_begin(&b->tx, ID(CHALLENGE), ID(ATTEMPT), &err), ERR_CONFLICT, "is processing");
	BAD(challenge_begin(&b->tx, ID(NOBODY), ID(ATTEMPT), &err), ERR_NOT_FOUND, "challenge");
	BAD(challenge_end(&b->tx, ID(CHALLENGE), CHALLENGE_PENDING, 5, STR_NONE, &err), ERR_INTERNAL, "to pending");
	GOOD(challenge_tell(&b->tx, ID(CHALLENGE), ID(NOBODY), STR("{}"), 9, &kept, &err));
	assert_false(kept); /* of another attempt */
	GOOD(challenge_tell(&b->tx, ID(CHALLENGE), ID(ATTEMPT), STR("{}"), 9, &kept, &err));
	GOOD(challenge_by_id(&b->tx, &b->mem, ID(CHALLENGE), &got, &err));
	assert_true(kept && got.status == CHALLENGE_PROCESSING && got.retry_at == 9 && str_eq(got.error, STR("{}")));
	GOOD(challenge_end(&b->tx, ID(CHALLENGE), CHALLENGE_VALID, 5, STR_NONE, &err));
	GOOD(challenge_tell(&b->tx, ID(CHALLENGE), ID(ATTEMPT), STR("{}"), 9, &kept, &err));
	assert_false(kept); /* it is decided */
	GOOD(challenge_by_id(&b->tx, &b->mem, ID(CHALLENGE), &got, &err));
	assert_true(got.retry_at == 0 && got.error.n == 0);
	BAD(challenge_end(&b->tx, ID(CHALLENGE), CHALLENGE_INVALID, 5, STR("{}"), &err), ERR_CONFLICT, "is valid");
	GOOD(challenge_by_id(&b->tx, &b->mem, ID(CHALLENGE), &got, &err));
	assert_true(got.status == CHALLENGE_VALID && got.validated_at == 5 && id_eq(got.attempt, ID(ATTEMPT)));
	GOOD(challenge_begin(&b->tx, ID(60), ID(ATTEMPT), &err));
	GOOD(challenge_end(&b->tx, ID(60), CHALLENGE_INVALID, 5, STR("{\"a\":1}"), &err));
	GOOD(challenge_by_id(&b->tx, &b->mem, ID(60), &got, &err));
	assert_true(got.status == CHALLENGE_INVALID && got.validated_at == 0 && str_eq(got.error, STR("{\"a\":1}")));
}

static void attempts_fall_due_when_sending_or_ending_is(void **state)
{
	struct bench *b = (struct bench *)*state;
	struct attempt_row got, *list;
	size_t n;
	add_all(b);
	GOOD(attempts_due(&b->tx, &b->mem, T_START + 9, 10, &list, &n, &err));
	assert_int_equal(n, 0);
	GOOD(attempts_due(&b->tx, &b->mem, T_START + 10, 10, &list, &n, &err));
	assert_true(n == 1 && id_eq(list[0].id, ID(ATTEMPT)) && str_eq(list[0].zone, STR("public")));
	GOOD(attempt_sent(&b->tx, ID(ATTEMPT), T_START + 40, &err));
	GOOD(attempts_due(&b->tx, &b->mem, T_START + 39, 10, &list, &n, &err));
	assert_int_equal(n, 0);
	GOOD(attempt_sent(&b->tx, ID(ATTEMPT), T_START + 100, &err)); /* beyond the deadline at +60 */
	GOOD(attempts_due(&b->tx, &b->mem, T_START + 59, 10, &list, &n, &err));
	assert_int_equal(n, 0);
	GOOD(attempts_due(&b->tx, &b->mem, T_START + 60, 10, &list, &n, &err));
	assert_true(n == 1 && list[0].sends == 2 && list[0].send_at == T_START + 100);

	struct attempt_row earlier = test_attempt(ID(70), ID(CHALLENGE), ID(AUTHZ), ID(ACCOUNT));
	GOOD(attempt_insert(&b->tx, &earlier, &err));
	BAD(attempt_insert(&b->tx, &earlier, &err), ERR_CONFLICT, "exists");
	GOOD(attempts_due(&b->tx, &b->mem, T_START + 60, 1, &list, &n, &err));
	assert_true(n == 1 && id_eq(list[0].id, ID(70)));

	GOOD(attempt_move(&b->tx, ID(70), ATTEMPT_OPEN, ATTEMPT_ABANDONED, &err));
	BAD(attempt_move(&b->tx, ID(70), ATTEMPT_OPEN, ATTEMPT_DECIDED, &err), ERR_CONFLICT, "is abandoned");
	BAD(attempt_move(&b->tx, ID(70), ATTEMPT_DECIDED, ATTEMPT_OPEN, &err), ERR_INTERNAL, "decided to open");
	BAD(attempt_move(&b->tx, ID(NOBODY), ATTEMPT_OPEN, ATTEMPT_DECIDED, &err), ERR_NOT_FOUND, "attempt");
	BAD(attempt_sent(&b->tx, ID(70), T_START, &err), ERR_CONFLICT, "is abandoned");
	GOOD(attempt_by_id(&b->tx, &b->mem, ID(70), &got, &err));
	assert_true(got.status == ATTEMPT_ABANDONED && id_is_zero(got.order));
}

static void a_perspective_speaks_once(void **state)
{
	struct bench *b = (struct bench *)*state;
	struct verdict_row *list;
	size_t n;
	bool fresh = false;
	add_all(b);
	struct verdict_row v = { ID(ATTEMPT), STR("fra-1"), true, STR("a.b.c"), 7 };
	GOOD(verdict_insert(&b->tx, &v, &fresh, &err));
	assert_true(fresh);
	v.valid = false;
	v.jws = STR("x.y.z");
	GOOD(verdict_insert(&b->tx, &v, &fresh, &err));
	assert_false(fresh);
	v.perspective = STR("ams-1");
	GOOD(verdict_insert(&b->tx, &v, &fresh, &err));
	assert_true(fresh);
	GOOD(verdicts_of_attempt(&b->tx, &b->mem, ID(ATTEMPT), &list, &n, &err));
	assert_int_equal(n, 2);
	assert_true(str_eq(list[0].perspective, STR("ams-1")) && !list[0].valid && str_eq(list[0].jws, STR("x.y.z")));
	assert_true(str_eq(list[1].perspective, STR("fra-1")) && list[1].valid && str_eq(list[1].jws, STR("a.b.c")));
	v.attempt = ID(NOBODY);
	ORPHAN(verdict_insert(&b->tx, &v, &fresh, &err));
}

/* A lookup that brought nothing gives way to the perspective's next word; every other word stays. */
static void a_failed_lookup_of_caa_is_no_last_word(void **state)
{
	static const struct {
		enum verdict_caa first;
		bool replaced;
	} rows[] = {
		{ VERDICT_CAA_NONE, false },
		{ VERDICT_CAA_ALLOWED, false },
		{ VERDICT_CAA_DENIED, false },
		{ VERDICT_CAA_FAILED, true },
	};
	struct bench *b = (struct bench *)*state;
	add_all(b);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct verdict_row *list;
		size_t n;
		bool fresh;
		struct attempt_row a = test_attempt(ID((uint8_t)(70 + i)), ID(CHALLENGE), ID(AUTHZ), ID(ACCOUNT));
		a.kind = ATTEMPT_CAA;
		a.name = STR("*.a.example");
		a.order = ID(ORDER);
		GOOD(attempt_insert(&b->tx, &a, &err));
		struct verdict_row v = { a.id, STR("fra-1"), false, STR("a.b.c"), 7, rows[i].first, 5 };
		GOOD(verdict_insert(&b->tx, &v, &fresh, &err));
		v = (struct verdict_row){ a.id, STR("fra-1"), true, STR("d.e.f"), 9, VERDICT_CAA_ALLOWED, 8 };
		GOOD(verdict_insert(&b->tx, &v, &fresh, &err));
		assert_int_equal(fresh, rows[i].replaced);
		GOOD(verdicts_of_attempt(&b->tx, &b->mem, a.id, &list, &n, &err));
		assert_int_equal(n, 1);
		assert_int_equal(list[0].caa, rows[i].replaced ? VERDICT_CAA_ALLOWED : rows[i].first);
		assert_int_equal(list[0].finished_at, rows[i].replaced ? 8 : 5);
		assert_true(str_eq(list[0].jws, rows[i].replaced ? STR("d.e.f") : STR("a.b.c")));
	}
	struct attempt_row *of_order;
	size_t count;
	GOOD(attempts_of_order(&b->tx, &b->mem, ID(ORDER), &of_order, &count, &err));
	assert_int_equal(count, ARRAY_LEN(rows)); /* without the attempt that proved control */
	assert_true(of_order[0].kind == ATTEMPT_CAA && str_eq(of_order[0].name, STR("*.a.example")));
	assert_true(id_eq(of_order[0].id, ID(70)) && id_eq(of_order[3].id, ID(73)));
}

static void what_is_held_back_is_not_due(void **state)
{
	struct bench *b = (struct bench *)*state;
	struct issuance_row got, *list;
	size_t n;
	add_all(b);
	struct issuance_row i = test_issuance(ID(ISSUANCE), ID(ORDER), ID(ACCOUNT), "0a");
	i.held = true;
	GOOD(issuance_insert(&b->tx, &i, &err));
	GOOD(issuances_due(&b->tx, &b->mem, INT64_MAX, 10, &list, &n, &err));
	assert_int_equal(n, 0);
	GOOD(issuance_hold(&b->tx, ID(ISSUANCE), false, T_START + 50, &err));
	GOOD(issuances_due(&b->tx, &b->mem, T_START + 49, 10, &list, &n, &err));
	assert_int_equal(n, 0);
	GOOD(issuances_due(&b->tx, &b->mem, T_START + 50, 10, &list, &n, &err));
	assert_int_equal(n, 1);
	GOOD(issuance_move(&b->tx, ID(ISSUANCE), ISSUANCE_INTENDED, ISSUANCE_REFUSED, &err));
	BAD(issuance_hold(&b->tx, ID(ISSUANCE), true, 0, &err), ERR_CONFLICT, "is refused");
	GOOD(issuance_by_id(&b->tx, &b->mem, ID(ISSUANCE), &got, &err));
	assert_false(got.held);
}

static void an_order_has_one_issuance_and_a_serial_is_used_once(void **state)
{
	struct bench *b = (struct bench *)*state;
	struct issuance_row got, *list;
	size_t n;
	add_all(b);
	add_order(b, ORDER2, AUTHZ);
	struct issuance_row i = test_issuance(ID(ISSUANCE), ID(ORDER), ID(ACCOUNT), "0a");
	GOOD(issuance_insert(&b->tx, &i, &err));
	struct issuance_row same_order = test_issuance(ID(80), ID(ORDER), ID(ACCOUNT), "0b");
	struct issuance_row same_serial = test_issuance(ID(81), ID(ORDER2), ID(ACCOUNT), "0a");
	BAD(issuance_insert(&b->tx, &same_order, &err), ERR_CONFLICT, "exists");
	BAD(issuance_insert(&b->tx, &same_serial, &err), ERR_CONFLICT, "exists");
	GOOD(issuance_by_order(&b->tx, &b->mem, ID(ORDER), &got, &err));
	assert_true(id_eq(got.id, ID(ISSUANCE)) && str_eq(got.finalize_payload, STR("cQ")));
	GOOD(issuance_by_serial(&b->tx, &b->mem, STR("0a"), &got, &err));
	assert_true(got.not_before_s == 1000 && got.not_after_s == 2000 && str_eq(got.issuer, STR("main")));
	BAD(issuance_by_serial(&b->tx, &b->mem, STR("0b"), &got, &err), ERR_NOT_FOUND, "issuance");

	GOOD(issuances_due(&b->tx, &b->mem, T_START + 9, 10, &list, &n, &err));
	assert_int_equal(n, 0);
	GOOD(issuances_due(&b->tx, &b->mem, T_START + 10, 10, &list, &n, &err));
	assert_int_equal(n, 1);
	GOOD(issuance_sent(&b->tx, ID(ISSUANCE), T_START + 50, &err));
	GOOD(issuances_due(&b->tx, &b->mem, T_START + 49, 10, &list, &n, &err));
	assert_int_equal(n, 0);

	GOOD(issuance_move(&b->tx, ID(ISSUANCE), ISSUANCE_INTENDED, ISSUANCE_ABANDONED, &err));
	BAD(issuance_move(&b->tx, ID(ISSUANCE), ISSUANCE_INTENDED, ISSUANCE_REFUSED, &err), ERR_CONFLICT,
	    "is abandoned");
	BAD(issuance_sent(&b->tx, ID(ISSUANCE), T_START, &err), ERR_CONFLICT, "is abandoned");
	GOOD(issuance_move(&b->tx, ID(ISSUANCE), ISSUANCE_ABANDONED, ISSUANCE_ISSUED, &err)); /* it came late */
	BAD(issuance_move(&b->tx, ID(ISSUANCE), ISSUANCE_ISSUED, ISSUANCE_REFUSED, &err), ERR_INTERNAL, "issued to");
	BAD(issuance_move(&b->tx, ID(NOBODY), ISSUANCE_INTENDED, ISSUANCE_ISSUED, &err), ERR_NOT_FOUND, "issuance");
	GOOD(issuance_by_id(&b->tx, &b->mem, ID(ISSUANCE), &got, &err));
	assert_true(got.status == ISSUANCE_ISSUED && got.sends == 1);
}

static void certificates_are_found_by_serial_and_their_names_by_suffix(void **state)
{
	struct bench *b = (struct bench *)*state;
	struct certificate_row got;
	add_all(b);
	struct certificate_row c = test_certificate(ID(CERTIFICATE), ID(ORDER), ID(ACCOUNT), "0a");
	const struct str names[] = { STR("a.example"), STR("*.www.a.example"), STR("192.0.2.1"), STR("a.example"),
				     STR("one"),       STR("2001:db8::1") };
	GOOD(certificate_insert(&b->tx, &c, names, ARRAY_LEN(names), &err));
	BAD(certificate_insert(&b->tx, &c, names, 0, &err), ERR_CONFLICT, "exists");
	GOOD(certificate_by_serial(&b->tx, &b->mem, STR("0a"), &got, &err));
	assert_true(id_eq(got.id, ID(CERTIFICATE)) && str_eq(got.der, c.der) && str_eq(got.chain_pem, STR("pem\n")));
	assert_true(got.spki_hash.b[0] == 7 && got.revoked_at == 0 && id_eq(got.order, ID(ORDER)));
	GOOD(certificate_by_id(&b->tx, &b->mem, ID(CERTIFICATE), &got, &err));
	assert_true(str_eq(got.serial, STR("0a")));
	BAD(certificate_by_serial(&b->tx, &b->mem, STR("0b"), &got, &err), ERR_NOT_FOUND, "certificate");
	assert_int_equal(count_of(b, "SELECT COUNT(*) FROM certificate_names"), 5);
	assert_int_equal(count_of(b, "SELECT COUNT(*) FROM certificate_names WHERE name >= 'example.a' AND name < "
				     "'example.a/'"),
			 2);
	assert_int_equal(count_of(b, "SELECT COUNT(*) FROM certificate_names WHERE name IN"
				     " ('example.a', 'example.a.www.*', '192.0.2.1', 'one', '2001:db8::1')"),
			 5);
}

static void counts_by_status(void **state)
{
	struct bench *b = (struct bench *)*state;
	struct store_counts c;
	add_all(b);
	add_order(b, ORDER2, AUTHZ);
	GOOD(order_move(&b->tx, ID(ORDER2), ORDER_PENDING, ORDER_READY, &err));
	struct issuance_row i = test_issuance(ID(ISSUANCE), ID(ORDER), ID(ACCOUNT), "0a");
	GOOD(issuance_insert(&b->tx, &i, &err));
	GOOD(store_count(&b->tx, &c, &err));
	assert_true(c.accounts == 1 && c.orders[ORDER_PENDING] == 1 && c.orders[ORDER_READY] == 1);
	assert_true(c.issuances[ISSUANCE_INTENDED] == 1 && c.certificates == 0 && c.orders[ORDER_VALID] == 0);
}

static void what_expires_ends(void **state)
{
	struct bench *b = (struct bench *)*state;
	struct order_row o;
	struct authz_row a;
	size_t n;
	add_account(b);
	for (uint32_t i = 0; i < 10; i++) {
		add_authz(b, 100 + i);
		add_order(b, 200 + i, 100 + i);
	}
	GOOD(authz_prove(&b->tx, ID(100), ID(ATTEMPT), T_START + 1000, &err));
	GOOD(order_move(&b->tx, ID(200), ORDER_PENDING, ORDER_READY, &err));
	const struct sha256 hash = { { 1 } };
	GOOD(order_move(&b->tx, ID(201), ORDER_PENDING, ORDER_READY, &err));
	GOOD(order_begin(&b->tx, ID(201), &hash, &err));
	GOOD(sweep_expired(&b->tx, T_START + 999, 100, &n, &err));
	assert_int_equal(n, 0);
	GOOD(sweep_expired(&b->tx, T_START + 1000, 4, &n, &err));
	assert_int_equal(n, 8);
	GOOD(sweep_expired(&b->tx, T_START + 1000, 100, &n, &err));
	assert_int_equal(n, 11);
	GOOD(order_by_id(&b->tx, &b->mem, ID(200), &o, &err));
	assert_int_equal(o.status, ORDER_INVALID);
	AUTO(json_auto) struct json *problem = NULL;
	GOOD(json_read(o.error, 4096, &problem, &err));
	enum err_kind kind;
	struct str detail;
	GOOD(problem_read(problem, &kind, &detail, &err));
	assert_int_equal(kind, ERR_MALFORMED);
	GOOD(order_by_id(&b->tx, &b->mem, ID(201), &o, &err));
	assert_int_equal(o.status, ORDER_PROCESSING); /* that one ends through its issuance */
	GOOD(authz_by_id(&b->tx, &b->mem, ID(100), &a, &err));
	assert_int_equal(a.status, AUTHZ_EXPIRED);
	GOOD(authz_by_id(&b->tx, &b->mem, ID(101), &a, &err));
	assert_int_equal(a.status, AUTHZ_INVALID);
}

/* An order with its own proven authorization, verdict and, from `serial` on, issuance and certificate. */
static void add_history(struct bench *b, uint32_t n, const char *serial, int64_t not_after_s, bool issued)
{
	struct authz_row a = test_authz(ID(n), ID(ACCOUNT));
	struct challenge_row c = test_challenge(ID(n + 1), ID(n));
	struct attempt_row t = test_attempt(ID(n + 2), ID(n + 1), ID(n), ID(ACCOUNT));
	struct verdict_row v = { ID(n + 2), STR("fra-1"), true, STR("a.b.c"), 1 };
	const struct sha256 hash = { { 1 } };
	bool fresh;
	GOOD(authz_insert(&b->tx, &a, &err));
	GOOD(challenge_insert(&b->tx, &c, &err));
	GOOD(attempt_insert(&b->tx, &t, &err));
	GOOD(verdict_insert(&b->tx, &v, &fresh, &err));
	GOOD(authz_prove(&b->tx, ID(n), ID(n + 2), T_START + 100, &err));
	add_order(b, n + 3, n);
	GOOD(order_move(&b->tx, ID(n + 3), ORDER_PENDING, ORDER_READY, &err));
	GOOD(order_begin(&b->tx, ID(n + 3), &hash, &err));
	struct issuance_row i = test_issuance(ID(n + 4), ID(n + 3), ID(ACCOUNT), serial);
	i.not_after_s = not_after_s;
	GOOD(issuance_insert(&b->tx, &i, &err));
	if (!issued) {
		GOOD(issuance_move(&b->tx, ID(n + 4), ISSUANCE_INTENDED, ISSUANCE_ABANDONED, &err));
		GOOD(order_fail(&b->tx, ID(n + 3), ORDER_PROCESSING, STR("{}"), &err));
		return;
	}
	struct certificate_row cert = test_certificate(ID(n + 5), ID(n + 3), ID(ACCOUNT), serial);
	cert.not_after_s = not_after_s;
	const struct str names[] = { STR("a.example") };
	GOOD(certificate_insert(&b->tx, &cert, names, 1, &err));
	GOOD(issuance_move(&b->tx, ID(n + 4), ISSUANCE_INTENDED, ISSUANCE_ISSUED, &err));
	GOOD(order_finish(&b->tx, ID(n + 3), ID(n + 5), &err));
}

static void sweep_to_the_end(struct bench *b, int64_t ended_before, int64_t expired_before_s)
{
	struct retention what = { ended_before, expired_before_s, 0, 2 };
	size_t n;
	bool more = true;
	for (unsigned calls = 0; more; calls++) {
		assert_true(calls < 1000);
		GOOD(sweep_retention(&b->tx, &what, &n, &more, &err));
	}
}

static bool is_there(struct bench *b, uint32_t n)
{
	struct order_row o;
	struct authz_row a;
	struct verdict_row *v;
	struct issuance_row i;
	size_t count;
	bool order = !FAILED(order_by_id(&b->tx, &b->mem, ID(n + 3), &o, NULL));
	bool authz = !FAILED(authz_by_id(&b->tx, &b->mem, ID(n), &a, NULL));
	bool issuance = !FAILED(issuance_by_id(&b->tx, &b->mem, ID(n + 4), &i, NULL));
	GOOD(verdicts_of_attempt(&b->tx, &b->mem, ID(n + 2), &v, &count, &err));
	if (order != authz || order != issuance || order != (count == 1))
		fail_msg("%u is only partly there: %d %d %d %zu", n, order, authz, issuance, count);
	return order;
}

static void retention_keeps_the_evidence_of_what_may_still_be_used(void **state)
{
	struct bench *b = (struct bench *)*state;
	size_t n;
	add_account(b);
	add_history(b, 1000, "01", 5000, true);  /* live */
	add_history(b, 1100, "02", 3000, true);  /* expired */
	add_history(b, 1200, "03", 5000, false); /* may have been signed, would be live */
	add_history(b, 1300, "04", 3000, false); /* may have been signed, expired anyhow */
	b->t->now = T_START + 200;
	GOOD(sweep_expired(&b->tx, T_START + 200, 100, &n, &err));
	assert_int_equal(n, 4); /* the proofs */

	sweep_to_the_end(b, T_START - 1, 1000); /* nothing is old enough */
	assert_true(is_there(b, 1000) && is_there(b, 1100) && is_there(b, 1200) && is_there(b, 1300));
	sweep_to_the_end(b, T_START + 10000, 4000);
	assert_true(is_there(b, 1000) && is_there(b, 1200));
	assert_false(is_there(b, 1100));
	assert_false(is_there(b, 1300));
	assert_int_equal(count_of(b, "SELECT COUNT(*) FROM certificates"), 1);
	assert_int_equal(count_of(b, "SELECT COUNT(*) FROM certificate_names"), 1);
	sweep_to_the_end(b, T_START + 10000, 6000);
	assert_false(is_there(b, 1000));
	assert_false(is_there(b, 1200));
	static const char *const tables[] = {
		"SELECT COUNT(*) FROM orders",       "SELECT COUNT(*) FROM authorizations",
		"SELECT COUNT(*) FROM challenges",   "SELECT COUNT(*) FROM attempts",
		"SELECT COUNT(*) FROM verdicts",     "SELECT COUNT(*) FROM issuances",
		"SELECT COUNT(*) FROM certificates", "SELECT COUNT(*) FROM order_authz"
	};
	for (size_t i = 0; i < ARRAY_LEN(tables); i++)
		assert_int_equal(count_of(b, tables[i]), 0);
	assert_int_equal(count_of(b, "SELECT COUNT(*) FROM accounts"), 1);
}

/* What protects the CA for good is no history. */
static void retention_never_takes_blocked_or_external_account_keys(void **state)
{
	struct bench *b = (struct bench *)*state;
	const struct sha256 key = { { 7 } };
	const struct eab_row eab = { .kid = STR("eab-1"), .realm = STR("default"), .created_at = 1, .expires_at = 2 };
	bool has;
	add_account(b);
	add_history(b, 1000, "01", 3000, true);
	GOOD(certificate_revoke(&b->tx, ID(1005), 1, 1, STR("key"), &err));
	GOOD(blocked_key_insert(&b->tx, &key, STR("keyCompromise"), 1, STR("key"), &err));
	GOOD(eab_insert(&b->tx, &eab, &err));
	GOOD(eab_disable(&b->tx, STR("eab-1"), 3, &err));
	size_t n;
	GOOD(sweep_expired(&b->tx, T_START + 1000, 100, &n, &err));
	sweep_to_the_end(b, INT64_MAX, INT64_MAX);
	assert_false(is_there(b, 1000));
	GOOD(blocked_key_has(&b->tx, &key, &has, &err));
	assert_true(has);
	assert_int_equal(count_of(b, "SELECT COUNT(*) FROM eab_keys"), 1);
}

/* An order that replaced a certificate goes with its own, and the serial is as if nothing had been. */
static void an_order_that_replaced_another_goes_like_any(void **state)
{
	struct bench *b = (struct bench *)*state;
	bool taken, open;
	add_account(b);
	add_history(b, 1000, "01", 3000, true);
	uint64_t changed;
	GOOD(tx_run(&b->tx, "UPDATE orders SET replaces = '0f'", NULL, 0, &changed, &err));
	GOOD(order_replacing(&b->tx, STR("0f"), T_START, &taken, &open, &err));
	assert_true(taken);
	sweep_to_the_end(b, T_START + 10000, 3001);
	assert_int_equal(count_of(b, "SELECT COUNT(*) FROM orders"), 0);
	GOOD(order_replacing(&b->tx, STR("0f"), T_START, &taken, &open, &err));
	assert_false(taken || open);
}

static void an_authorization_that_two_orders_share_goes_with_the_last(void **state)
{
	struct bench *b = (struct bench *)*state;
	size_t n;
	struct authz_row a;
	add_account(b);
	add_authz(b, AUTHZ);
	add_order(b, ORDER, AUTHZ);
	GOOD(sweep_expired(&b->tx, T_START + 1000, 100, &n, &err));
	add_authz(b, AUTHZ2);
	struct order_row o = test_order(ID(ORDER2), ID(ACCOUNT));
	o.expires_at = T_START + 5000;
	const struct id both[] = { ID(AUTHZ), ID(AUTHZ2) };
	GOOD(order_insert(&b->tx, &o, both, 2, &err));
	sweep_to_the_end(b, T_START + 2000, 0);
	GOOD(authz_by_id(&b->tx, &b->mem, ID(AUTHZ), &a, &err));
	assert_int_equal(count_of(b, "SELECT COUNT(*) FROM orders"), 1);
	b->t->now = T_START + 5000;
	GOOD(sweep_expired(&b->tx, T_START + 5000, 100, &n, &err));
	sweep_to_the_end(b, T_START + 9000, 0);
	assert_int_equal(count_of(b, "SELECT COUNT(*) FROM orders"), 0);
	assert_int_equal(count_of(b, "SELECT COUNT(*) FROM authorizations"), 0);
}

static void an_authorization_that_outlives_its_order_goes_too(void **state)
{
	struct bench *b = (struct bench *)*state;
	size_t n;
	add_account(b);
	add_authz(b, AUTHZ);
	add_order(b, ORDER, AUTHZ);
	GOOD(authz_prove(&b->tx, ID(AUTHZ), ID(ATTEMPT), T_START + 9000, &err));
	GOOD(order_fail(&b->tx, ID(ORDER), ORDER_PENDING, STR("{}"), &err));
	sweep_to_the_end(b, T_START + 1000, 0);
	assert_int_equal(count_of(b, "SELECT COUNT(*) FROM orders"), 0);
	assert_int_equal(count_of(b, "SELECT COUNT(*) FROM authorizations"), 1); /* may be used again */
	GOOD(sweep_expired(&b->tx, T_START + 9000, 100, &n, &err));
	sweep_to_the_end(b, T_START + 9001, 0);
	assert_int_equal(count_of(b, "SELECT COUNT(*) FROM authorizations"), 0);
}

/* Failed at one and the same time, each with an issuance that says how long it is kept. */
static void add_failed(struct bench *b, uint32_t from, uint32_t count, uint32_t go_every)
{
	const struct id authz = ID(AUTHZ);
	uint64_t changed = 0;
	add_account(b);
	add_authz(b, AUTHZ);
	for (uint32_t n = 0; n < count; n++) {
		char serial[16];
		struct order_row o = test_order(ID(from + n), ID(ACCOUNT));
		struct issuance_row i = test_issuance(ID(from + n), ID(from + n), ID(ACCOUNT), serial);
		(void)snprintf(serial, sizeof serial, "%08x", n);
		i.serial = str_z(serial);
		i.not_after_s = n % go_every == 0 ? 3000 : 5000;
		GOOD(order_insert(&b->tx, &o, &authz, 1, &err));
		GOOD(issuance_insert(&b->tx, &i, &err));
	}
	GOOD(tx_run(&b->tx, "UPDATE orders SET status = 'invalid', ended_at = $1", ARGS(A_I64(T_START)), &changed,
		    &err));
	assert_int_equal(changed, count);
	GOOD(tx_run(&b->tx, "UPDATE issuances SET status = 'abandoned'", NULL, 0, &changed, &err));
}

static int64_t looked_at(struct bench *b, struct sweep_mark from, struct sweep_mark to)
{
	AUTO(rows_done) struct rows r = { 0 };
	static const char between[] = "SELECT COUNT(*) FROM orders WHERE (ended_at, id) > ($1, $2)"
				      " AND (ended_at, id) <= ($3, $4)";
	GOOD(rows_one(&r, &b->tx, "count", between, ARGS(A_I64(from.ms), A_ID(from.id), A_I64(to.ms), A_ID(to.id)),
		      &err));
	return rows_i64(&r, 0);
}

static void a_round_looks_once_at_each_failed_order_that_is_kept_and_a_step_at_few(void **state)
{
	struct bench *b = (struct bench *)*state;
	enum { FAILED_ORDERS = 3050, GO = FAILED_ORDERS / 100 + 1 };
	struct retention what = { .ended_before = T_START + 1, .expired_before_s = 4000, .limit = 8 };
	int64_t looked = 0;
	size_t removed = 0, all_removed = 0;
	bool more = true;
	add_failed(b, 10000, FAILED_ORDERS, 100);
	for (unsigned step = 0; more; step++) {
		const struct sweep_mark from = what.orders_from;
		assert_true(step < 20);
		GOOD(sweep_retention(&b->tx, &what, &removed, &more, &err));
		all_removed += removed;
		if (!more)
			break;
		assert_false(what.orders_done);
		int64_t now = looked_at(b, from, what.orders_from);
		assert_true(now > 0 && now <= 200);
		looked += now;
	}
	assert_true(what.orders_done);
	assert_true(id_eq(what.orders_from.id, (struct id){ { 0 } }));
	assert_int_equal(all_removed, 3 * GO); /* with issuance and link */
	assert_int_equal(count_of(b, "SELECT COUNT(*) FROM orders"), FAILED_ORDERS - GO);
	assert_true(looked <= FAILED_ORDERS && looked > FAILED_ORDERS - GO - 200);

	/* The next round begins at the start again: what was kept has its time, too. */
	what.expired_before_s = 6000;
	what.orders_done = false;
	more = true;
	for (unsigned step = 0; more; step++) {
		assert_true(step < FAILED_ORDERS / 8 + 2);
		GOOD(sweep_retention(&b->tx, &what, &removed, &more, &err));
	}
	assert_int_equal(count_of(b, "SELECT COUNT(*) FROM orders"), 0);
}

/* Many names make many rows: a step ends early, and nothing is passed over. */
static void a_step_of_retention_is_bounded_in_rows_too(void **state)
{
	struct bench *b = (struct bench *)*state;
	enum { ORDERS = 6, PROOFS = 90, OF_ONE = 2 + 2 * PROOFS };
	struct retention what = { .ended_before = T_START + 9000, .expired_before_s = 3001, .limit = 8 };
	struct id authzs[PROOFS];
	size_t removed = 0, steps = 0, n = 0;
	bool more = true;
	add_account(b);
	for (uint32_t o = 0; o < ORDERS; o++) {
		struct order_row order = test_order(ID(5000 + o), ID(ACCOUNT));
		for (uint32_t i = 0; i < PROOFS; i++) {
			authzs[i] = ID(10000 + o * PROOFS + i);
			add_authz(b, 10000 + o * PROOFS + i);
		}
		GOOD(order_insert(&b->tx, &order, authzs, PROOFS, &err));
		if (o % 2 == 0) { /* half of them with a certificate */
			char serial[] = { '0', (char)('1' + o), '\0' };
			struct certificate_row c = test_certificate(ID(6000 + o), ID(5000 + o), ID(ACCOUNT), serial);
			GOOD(certificate_insert(&b->tx, &c, NULL, 0, &err));
		}
	}
	b->t->now = T_START + 1000;
	GOOD(sweep_expired(&b->tx, T_START + 1000, 10000, &n, &err));
	for (; more; steps++) {
		assert_true(steps < 100);
		GOOD(sweep_retention(&b->tx, &what, &removed, &more, &err));
		if (removed > 200 + OF_ONE)
			fail_msg("%zu rows in a step", removed);
	}
	assert_true(steps >= ORDERS * OF_ONE / (200 + OF_ONE));
	assert_int_equal(count_of(b, "SELECT COUNT(*) FROM orders"), 0);
	assert_int_equal(count_of(b, "SELECT COUNT(*) FROM authorizations"), 0);
	assert_int_equal(count_of(b, "SELECT COUNT(*) FROM certificates"), 0);
}

static void a_round_that_is_over_for_orders_does_not_look_at_them_again(void **state)
{
	struct bench *b = (struct bench *)*state;
	struct retention what = { .ended_before = T_START + 1, .expired_before_s = 6000, .limit = 8 };
	size_t removed = 0;
	bool more = false;
	add_failed(b, 10000, 1, 1);
	what.orders_done = true;
	GOOD(sweep_retention(&b->tx, &what, &removed, &more, &err));
	assert_int_equal(removed, 0);
	assert_false(more);
	what.orders_done = false;
	GOOD(sweep_retention(&b->tx, &what, &removed, &more, &err));
	assert_int_equal(removed, 3);
}

static int64_t take(struct bench *b, int64_t now, unsigned count, int64_t period, unsigned burst)
{
	int64_t wait = -1;
	GOOD(limit_take(&b->tx, STR("ip:192.0.2.1"), now, count, period, burst, &wait, &err));
	return wait;
}

static void a_bucket_gives_its_burst_and_then_its_rate(void **state)
{
	struct bench *b = (struct bench *)*state;
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(take(b, T_START, 10, 1000, 3), 0);
	assert_int_equal(take(b, T_START, 10, 1000, 3), 100);
	assert_int_equal(take(b, T_START + 40, 10, 1000, 3), 60); /* a refusal is not charged */
	assert_int_equal(take(b, T_START + 100, 10, 1000, 3), 0);
	assert_int_equal(take(b, T_START + 100, 10, 1000, 3), 100);
	assert_int_equal(take(b, T_START + 10000, 10, 1000, 3), 0); /* full again, no fuller than full */
	assert_int_equal(take(b, T_START + 10000, 10, 1000, 3), 0);
	assert_int_equal(take(b, T_START + 10000, 10, 1000, 3), 0);
	assert_int_equal(take(b, T_START + 10000, 10, 1000, 3), 100);
	/* The clock is set back a day: no day of refusals. */
	assert_int_equal(take(b, T_START - 86400000, 10, 1000, 3), 100);
	int64_t wait;
	BAD(limit_take(&b->tx, STR("x"), T_START, 0, 1000, 3, &wait, &err), ERR_INTERNAL, "no rate");
	BAD(limit_take(&b->tx, STR("x"), T_START, 1, INT64_MAX, 3, &wait, &err), ERR_INTERNAL, "no rate");
}

static void thousands_a_second_are_told_apart(void **state)
{
	struct bench *b = (struct bench *)*state;
	unsigned given = 0;
	for (int64_t ms = 0; ms < 10; ms++) {
		for (unsigned i = 0; i < 20; i++)
			given += take(b, T_START + ms, 5000, 1000, 5) == 0;
	}
	assert_int_equal(given, 5 + 9 * 5);
}

static void limits_that_are_full_again_are_removed(void **state)
{
	struct bench *b = (struct bench *)*state;
	struct retention what = { 0, 0, 0, 10 };
	size_t n;
	bool more;
	assert_int_equal(take(b, T_START, 1, 1000, 1), 0);
	GOOD(sweep_retention(&b->tx, &what, &n, &more, &err));
	assert_int_equal(n, 0);
	b->t->now = T_START + 1001;
	GOOD(sweep_retention(&b->tx, &what, &n, &more, &err));
	assert_int_equal(n, 1);
}

static void audit_records_are_kept_in_order(void **state)
{
	struct bench *b = (struct bench *)*state;
	for (int64_t i = 0; i < 3; i++) {
		const struct audit_row a = { i, STR("api"), STR("order made"), STR("order/1"), STR("{}") };
		GOOD(audit_insert(&b->tx, &a, &err));
	}
	assert_int_equal(count_of(b, "SELECT COUNT(*) FROM audit WHERE seq = at + 1"), 3);
}

static void audit_records_go_after_their_time_a_few_a_step(void **state)
{
	struct bench *b = (struct bench *)*state;
	struct retention what = { 0, 0, T_START + 5, 2 };
	static const struct {
		size_t removed;
		bool more;
	} rows[] = { { 2, true }, { 2, true }, { 1, false }, { 0, false } };
	for (int64_t i = 0; i < 9; i++) {
		const struct audit_row a = { T_START + i, STR("api"), STR("order made"), STR("order/1"), STR("{}") };
		GOOD(audit_insert(&b->tx, &a, &err));
	}
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		size_t removed;
		bool more;
		GOOD(sweep_retention(&b->tx, &what, &removed, &more, &err));
		assert_int_equal(removed, rows[i].removed);
		assert_int_equal(more, rows[i].more);
	}
	assert_int_equal(count_of(b, "SELECT COUNT(*) FROM audit WHERE at >= 1800000000005"), 4);
}

static void add_audit(struct bench *b, int64_t at, unsigned count)
{
	const struct audit_row a = { at, STR("api"), STR("order made"), STR("order/1"), STR("{}") };
	for (unsigned i = 0; i < count; i++)
		GOOD(audit_insert(&b->tx, &a, &err));
}

/* A round of steps: how many it takes, and that none removes more than it may. */
static unsigned audit_round(struct bench *b, int64_t before, unsigned steps_max)
{
	struct retention what = { .audit_before = before, .limit = 8 };
	unsigned steps = 0;
	size_t removed = 0;
	for (bool more = true; more; steps++) {
		assert_in_range(steps, 0, steps_max);
		GOOD(sweep_retention(&b->tx, &what, &removed, &more, &err));
		assert_in_range(removed, 0, what.limit);
	}
	return steps;
}

/* Rows: how many were written while the clock ran ahead, and how many then, once it was right again, that are due. */
static void audit_records_from_a_clock_that_ran_ahead_hold_up_no_others(void **state)
{
	struct bench *b = (struct bench *)*state;
	static const struct {
		unsigned ahead, due;
	} rows[] = { { 1, 30 }, { 7, 30 }, { 8, 30 }, { 9, 5 }, { 199, 30 }, { 200, 400 }, { 500, 1500 } };
	enum { NEW = 300 };
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const unsigned ahead = rows[i].ahead, due = rows[i].due, steps = due / 8 + ahead / 200 + 4;
		add_audit(b, T_START, 3);
		add_audit(b, T_START + 100000, ahead);
		add_audit(b, T_START + 10, due);
		add_audit(b, T_START + 1000, NEW);
		(void)audit_round(b, T_START + 500, steps);
		assert_int_equal(count_of(b, "SELECT COUNT(*) FROM audit WHERE at < 1800000000500"), 0);
		assert_int_equal(count_of(b, "SELECT COUNT(*) FROM audit"), ahead + NEW);
		assert_int_equal(audit_round(b, T_START + 500, steps), 1); /* nothing is due: no step is for nothing */

		/* All that stood behind them goes, and what comes then may have the numbers of what went. */
		(void)audit_round(b, T_START + 1001, NEW / 8 + steps);
		assert_int_equal(count_of(b, "SELECT COUNT(*) FROM audit"), ahead);
		add_audit(b, T_START + 1001, 3);
		(void)audit_round(b, T_START + 1002, steps);
		assert_int_equal(count_of(b, "SELECT COUNT(*) FROM audit"), ahead);

		/* They go in their own time. */
		(void)audit_round(b, T_START + 100000, steps);
		assert_int_equal(count_of(b, "SELECT COUNT(*) FROM audit"), ahead);
		(void)audit_round(b, T_START + 100001, ahead / 8 + steps);
		assert_int_equal(count_of(b, "SELECT COUNT(*) FROM audit"), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BENCH(accounts),
		BENCH(orders_and_their_moves),
		BENCH(order_lists),
		BENCH(authorizations),
		BENCH(reuse_wants_the_same_account_key_name_and_wildcard),
		BENCH(an_authorization_serves_a_limited_number_of_orders),
		BENCH(challenges),
		BENCH(attempts_fall_due_when_sending_or_ending_is),
		BENCH(a_perspective_speaks_once),
		BENCH(a_failed_lookup_of_caa_is_no_last_word),
		BENCH(what_is_held_back_is_not_due),
		BENCH(an_order_has_one_issuance_and_a_serial_is_used_once),
		BENCH(certificates_are_found_by_serial_and_their_names_by_suffix),
		BENCH(counts_by_status),
		BENCH(what_expires_ends),
		BENCH(retention_keeps_the_evidence_of_what_may_still_be_used),
		BENCH(retention_never_takes_blocked_or_external_account_keys),
		BENCH(an_order_that_replaced_another_goes_like_any),
		BENCH(an_authorization_that_two_orders_share_goes_with_the_last),
		BENCH(an_authorization_that_outlives_its_order_goes_too),
		BENCH(a_round_looks_once_at_each_failed_order_that_is_kept_and_a_step_at_few),
		BENCH(a_step_of_retention_is_bounded_in_rows_too),
		BENCH(a_round_that_is_over_for_orders_does_not_look_at_them_again),
		BENCH(a_bucket_gives_its_burst_and_then_its_rate),
		BENCH(thousands_a_second_are_told_apart),
		BENCH(limits_that_are_full_again_are_removed),
		BENCH(audit_records_are_kept_in_order),
		BENCH(audit_records_go_after_their_time_a_few_a_step),
		BENCH(audit_records_from_a_clock_that_ran_ahead_hold_up_no_others),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * account_test.c: an account's key is changed once and only by who has the earlier one; the accounts of an external
 * account key are found page by page; the terms that were agreed to are kept.
 */
#include "store/testing.h"

static void the_terms_are_kept_with_the_time(void **state)
{
	struct bench *b = (struct bench *)*state;
	struct account_row a = test_account(ID(ACCOUNT), "thumb"), got;
	a.tos_url = STR("https://a.example/terms-1");
	GOOD(account_insert(&b->tx, &a, &err));
	GOOD(account_by_id(&b->tx, &b->mem, ID(ACCOUNT), &got, &err));
	assert_true(str_eq(got.tos_url, a.tos_url) && got.tos_agreed_at == 5);
	GOOD(account_set_tos(&b->tx, ID(ACCOUNT), STR("https://a.example/terms-2"), 77, &err));
	GOOD(account_by_thumbprint(&b->tx, &b->mem, STR("default"), STR("thumb"), &got, &err));
	assert_true(str_eq(got.tos_url, STR("https://a.example/terms-2")) && got.tos_agreed_at == 77);
}

static fallible roll(struct bench *b, uint32_t account, const char *was, const char *will, struct err *err)
{
	return account_set_key(&b->tx, ID(account), str_z(was), str_z(will), STR("{\"kty\":\"OKP\"}"), err);
}

static void the_key_is_changed_by_who_has_the_earlier_one(void **state)
{
	struct bench *b = (struct bench *)*state;
	struct account_row got;
	add_account(b);
	GOOD(roll(b, ACCOUNT, "thumb", "rolled", &err));
	GOOD(account_by_thumbprint(&b->tx, &b->mem, STR("default"), STR("rolled"), &got, &err));
	assert_true(id_eq(got.id, ID(ACCOUNT)) && str_eq(got.jwk, STR("{\"kty\":\"OKP\"}")));
	assert_true(got.status == ACCOUNT_VALID && str_eq(got.eab_kid, STR("kid-1")));
	BAD(account_by_thumbprint(&b->tx, &b->mem, STR("default"), STR("thumb"), &got, &err), ERR_NOT_FOUND, "account");

	BAD(roll(b, ACCOUNT, "thumb", "third", &err), ERR_CONFLICT, "under another key");
	BAD(roll(b, NOBODY, "thumb", "third", &err), ERR_NOT_FOUND, "account");
	/* The earlier key is free for a new account, and back it goes only to one that nobody has. */
	struct account_row other = test_account(ID(2), "thumb");
	GOOD(account_insert(&b->tx, &other, &err));
	BAD(roll(b, ACCOUNT, "rolled", "thumb", &err), ERR_CONFLICT, "has the new key");
	BAD(roll(b, ACCOUNT, "rolled", "rolled", &err), ERR_CONFLICT, "has the new key");
	GOOD(account_by_id(&b->tx, &b->mem, ID(ACCOUNT), &got, &err));
	assert_true(str_eq(got.thumbprint, STR("rolled")));
}

static void the_same_key_may_serve_in_two_realms(void **state)
{
	struct bench *b = (struct bench *)*state;
	add_account(b);
	struct account_row other = test_account(ID(2), "theirs");
	other.realm = STR("other");
	GOOD(account_insert(&b->tx, &other, &err));
	GOOD(roll(b, ACCOUNT, "thumb", "theirs", &err));
}

static void an_account_that_has_ended_keeps_its_key(void **state)
{
	struct bench *b = (struct bench *)*state;
	static const enum account_status ends[] = { ACCOUNT_DEACTIVATED, ACCOUNT_REVOKED };
	static const char *const says[] = { "is deactivated", "is revoked" };
	for (uint32_t i = 0; i < ARRAY_LEN(ends); i++) {
		char thumbprint[8];
		(void)snprintf(thumbprint, sizeof thumbprint, "t%u", i);
		struct account_row a = test_account(ID(50 + i), thumbprint);
		GOOD(account_insert(&b->tx, &a, &err));
		GOOD(account_move(&b->tx, ID(50 + i), ACCOUNT_VALID, ends[i], &err));
		BAD(roll(b, 50 + i, thumbprint, "new", &err), ERR_CONFLICT, says[i]);
	}
}

static void key_changes_are_kept_in_their_order(void **state)
{
	struct bench *b = (struct bench *)*state;
	struct key_change_row *list;
	size_t n;
	add_account(b);
	struct account_row other = test_account(ID(2), "other");
	GOOD(account_insert(&b->tx, &other, &err));
	static const char *const keys[] = { "a", "b", "a", "c" };
	for (size_t i = 0; i + 1 < ARRAY_LEN(keys); i++) { /* all at the same time: the order is not by the clock */
		const struct key_change_row k = { .account = ID(ACCOUNT),
						  .was = str_z(keys[i]),
						  .became = str_z(keys[i + 1]),
						  .jws = STR("p.q.r"),
						  .created_at = 7 };
		GOOD(key_change_insert(&b->tx, &k, &err));
	}
	const struct key_change_row theirs = { .account = ID(2), .was = STR("x"), .became = STR("y"), .jws = STR("s") };
	GOOD(key_change_insert(&b->tx, &theirs, &err));
	GOOD(key_changes_of_account(&b->tx, &b->mem, ID(ACCOUNT), 10, &list, &n, &err));
	assert_int_equal(n, 3);
	assert_true(str_eq(list[0].was, STR("a")) && str_eq(list[0].became, STR("c")));
	assert_true(str_eq(list[1].was, STR("b")) && str_eq(list[1].became, STR("a")));
	assert_true(str_eq(list[2].was, STR("a")) && str_eq(list[2].became, STR("b")));
	assert_true(str_eq(list[2].jws, STR("p.q.r")) && list[2].created_at == 7);
	GOOD(key_changes_of_account(&b->tx, &b->mem, ID(ACCOUNT), 2, &list, &n, &err));
	assert_true(n == 2 && str_eq(list[0].became, STR("c")));
	GOOD(key_changes_of_account(&b->tx, &b->mem, ID(NOBODY), 10, &list, &n, &err));
	assert_int_equal(n, 0);
}

static void accounts_of_an_external_key_come_in_pages(void **state)
{
	struct bench *b = (struct bench *)*state;
	struct id *list;
	size_t n;
	for (uint32_t i = 0; i < 10; i++) {
		char thumbprint[8];
		(void)snprintf(thumbprint, sizeof thumbprint, "t%u", i);
		struct account_row a = test_account(ID(50 + i), thumbprint);
		a.eab_kid = i % 2 == 0 ? STR("even") : i == 9 ? STR_NONE : STR("odd");
		GOOD(account_insert(&b->tx, &a, &err));
	}
	GOOD(account_move(&b->tx, ID(54), ACCOUNT_VALID, ACCOUNT_DEACTIVATED, &err));
	const struct id zero = { { 0 } };
	GOOD(accounts_of_eab(&b->tx, &b->mem, STR("even"), zero, 3, &list, &n, &err));
	assert_true(n == 3 && id_eq(list[0], ID(50)) && id_eq(list[1], ID(52)) && id_eq(list[2], ID(56)));
	GOOD(accounts_of_eab(&b->tx, &b->mem, STR("even"), list[2], 3, &list, &n, &err));
	assert_true(n == 1 && id_eq(list[0], ID(58)));
	GOOD(accounts_of_eab(&b->tx, &b->mem, STR("none"), zero, 3, &list, &n, &err));
	assert_int_equal(n, 0);
	GOOD(accounts_of_eab(&b->tx, &b->mem, STR_NONE, zero, 3, &list, &n, &err));
	assert_int_equal(n, 0); /* no binding is not a key that those without one share */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BENCH(the_terms_are_kept_with_the_time),          BENCH(the_key_is_changed_by_who_has_the_earlier_one),
		BENCH(the_same_key_may_serve_in_two_realms),      BENCH(an_account_that_has_ended_keeps_its_key),
		BENCH(accounts_of_an_external_key_come_in_pages), BENCH(key_changes_are_kept_in_their_order),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * authz_test.c: which authorization serves a want, which is held for a revocation, and which goes over to a new key.
 */
#include "store/testing.h"

#define NAME                                \
	{                                   \
		IDENT_DNS, STR("a.example") \
	}

static void add_kind(struct bench *b, uint32_t n, bool subdomains, bool valid)
{
	struct authz_row a = test_authz(ID(n), ID(ACCOUNT));
	a.subdomains = subdomains;
	GOOD(authz_insert(&b->tx, &a, &err));
	if (valid)
		GOOD(authz_prove(&b->tx, ID(n), ID(ATTEMPT), T_START + 1000, &err));
}

static void what_holds_below_a_name_is_remembered(void **state)
{
	struct bench *b = (struct bench *)*state;
	struct authz_row got;
	add_account(b);
	add_kind(b, 50, true, false);
	add_kind(b, 51, false, false);
	GOOD(authz_by_id(&b->tx, &b->mem, ID(50), &got, &err));
	assert_true(got.subdomains);
	GOOD(authz_by_id(&b->tx, &b->mem, ID(51), &got, &err));
	assert_false(got.subdomains);
}

/* Each row: what there is, and whether it serves a want for the name alone, and one for all below it. */
static void a_want_takes_what_serves_it(void **state)
{
	struct bench *b = (struct bench *)*state;
	static const struct {
		bool subdomains, valid, serves_name, serves_below;
	} rows[] = {
		{ false, false, true, false },
		{ false, true, true, false },
		{ true, false, false, true }, /* pending, it offers dns-01 alone */
		{ true, true, true, true },
	};
	add_account(b);
	for (uint32_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct authz_row got;
		add_kind(b, 50 + i, rows[i].subdomains, rows[i].valid);
		for (unsigned below = 0; below < 2; below++) {
			const struct authz_want want = { .ident = NAME, .subdomains = below == 1 };
			struct rc rc = authz_find_reusable(&b->tx, &b->mem, ID(ACCOUNT), STR("thumb"), &want, T_START,
							   &got, NULL);
			bool serves = below == 1 ? rows[i].serves_below : rows[i].serves_name;
			if (rc.kind != (serves ? ERR_NONE : ERR_NOT_FOUND))
				fail_msg("row %u, below %u: %s", i, below, err_kind_name(rc.kind));
			if (serves)
				assert_true(id_eq(got.id, ID(50 + i)));
		}
		enum authz_status is = rows[i].valid ? AUTHZ_VALID : AUTHZ_PENDING;
		GOOD(authz_move(&b->tx, ID(50 + i), is, AUTHZ_DEACTIVATED, &err));
	}
}

static void a_proof_for_more_goes_before_a_wait_for_less(void **state)
{
	struct bench *b = (struct bench *)*state;
	const struct authz_want want = { .ident = NAME };
	struct authz_row got;
	add_account(b);
	add_kind(b, 50, true, true);
	add_kind(b, 51, false, false);
	GOOD(authz_find_reusable(&b->tx, &b->mem, ID(ACCOUNT), STR("thumb"), &want, T_START, &got, &err));
	assert_true(id_eq(got.id, ID(50)));
}

static bool held(struct bench *b, uint32_t account, const struct authz_want *want, int64_t now)
{
	bool is_held;
	GOOD(authz_is_held(&b->tx, ID(account), want, now, &is_held, &err));
	return is_held;
}

static void held_is_what_is_valid_under_whichever_key(void **state)
{
	struct bench *b = (struct bench *)*state;
	const struct authz_want want = { .ident = NAME };
	add_account(b);
	add_authz(b, AUTHZ);
	assert_false(held(b, ACCOUNT, &want, T_START)); /* pending */
	GOOD(authz_prove(&b->tx, ID(AUTHZ), ID(ATTEMPT), T_START + 500, &err));
	assert_true(held(b, ACCOUNT, &want, T_START));
	assert_false(held(b, ACCOUNT, &want, T_START + 500));
	assert_false(held(b, NOBODY, &want, T_START));
	GOOD(account_set_key(&b->tx, ID(ACCOUNT), STR("thumb"), STR("rolled"), STR("{}"), &err));
	assert_true(held(b, ACCOUNT, &want, T_START));

	const struct authz_want others[] = {
		{ .ident = { IDENT_DNS, STR("b.example") } },
		{ .ident = { IDENT_IP, STR("a.example") } },
		{ .ident = NAME, .wildcard = true },
		{ .ident = NAME, .subdomains = true },
	};
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		assert_false(held(b, ACCOUNT, &others[i], T_START));
	add_kind(b, 50, true, true);
	assert_true(held(b, ACCOUNT, &others[3], T_START));
	GOOD(authz_move(&b->tx, ID(AUTHZ), AUTHZ_VALID, AUTHZ_DEACTIVATED, &err));
	assert_true(held(b, ACCOUNT, &want, T_START)); /* by the one that holds below the name */
	GOOD(authz_move(&b->tx, ID(50), AUTHZ_VALID, AUTHZ_REVOKED, &err));
	assert_false(held(b, ACCOUNT, &want, T_START));
}

static void what_nobody_has_begun_to_prove_goes_over_to_the_new_key(void **state)
{
	struct bench *b = (struct bench *)*state;
	struct authz_row got;
	add_account(b);
	add_authz(b, AUTHZ);
	add_challenge(b);
	struct challenge_row other = test_challenge(ID(60), ID(AUTHZ));
	GOOD(challenge_insert(&b->tx, &other, &err));
	GOOD(authz_set_thumbprint(&b->tx, ID(AUTHZ), STR("rolled"), &err));
	GOOD(authz_by_id(&b->tx, &b->mem, ID(AUTHZ), &got, &err));
	assert_true(str_eq(got.thumbprint, STR("rolled")) && got.status == AUTHZ_PENDING);

	GOOD(challenge_begin(&b->tx, ID(60), ID(ATTEMPT), &err));
	BAD(authz_set_thumbprint(&b->tx, ID(AUTHZ), STR("third"), &err), ERR_CONFLICT, "being proved");
	GOOD(authz_prove(&b->tx, ID(AUTHZ), ID(ATTEMPT), T_START + 1000, &err));
	BAD(authz_set_thumbprint(&b->tx, ID(AUTHZ), STR("third"), &err), ERR_CONFLICT, "is valid");
	BAD(authz_set_thumbprint(&b->tx, ID(NOBODY), STR("third"), &err), ERR_NOT_FOUND, "authorization");
	GOOD(authz_by_id(&b->tx, &b->mem, ID(AUTHZ), &got, &err));
	assert_true(str_eq(got.thumbprint, STR("rolled")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BENCH(what_holds_below_a_name_is_remembered),
		BENCH(a_want_takes_what_serves_it),
		BENCH(a_proof_for_more_goes_before_a_wait_for_less),
		BENCH(held_is_what_is_valid_under_whichever_key),
		BENCH(what_nobody_has_begun_to_prove_goes_over_to_the_new_key),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

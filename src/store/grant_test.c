/* SPDX-License-Identifier: Apache-2.0
 *
 * grant_test.c: grants: what goes in comes out, an account key finds those of its realm that are in force, and they stay
 * as long as anything stands on them.
 */
#include "store/testing.h"

enum { GRANT = 500, GRANT2, GRANT3 };
#define NOW_S (T_START / 1000)

static struct grant_row test_grant(uint32_t n, const char *realm)
{
	return (struct grant_row){ .id = ID(n),
				   .realm = str_z(realm),
				   .signer = STR("alice"),
				   .jws = STR("a.b.c"),
				   .from_s = NOW_S,
				   .until_s = NOW_S + 100,
				   .created_at = T_START,
				   .created_by = STR("operator:0") };
}

static void add_grant(struct bench *b, uint32_t n, const char *realm, const char *thumbprint)
{
	const struct grant_row g = test_grant(n, realm);
	const struct str keys[] = { str_z(thumbprint), STR("shared"), str_z(thumbprint) };
	GOOD(grant_insert(&b->tx, &g, keys, ARRAY_LEN(keys), &err));
}

static void a_grant_comes_back_as_it_went(void **state)
{
	struct bench *b = (struct bench *)*state;
	const struct grant_row want = test_grant(GRANT, "default");
	struct grant_row got;
	add_grant(b, GRANT, "default", "thumb");
	GOOD(grant_by_id(&b->tx, &b->mem, ID(GRANT), &got, &err));
	assert_true(id_eq(got.id, want.id) && str_eq(got.realm, want.realm) && str_eq(got.signer, want.signer));
	assert_true(str_eq(got.jws, want.jws) && got.from_s == want.from_s && got.until_s == want.until_s);
	assert_true(got.created_at == T_START && got.revoked_at == 0 && str_eq(got.created_by, want.created_by));
	BAD(grant_insert(&b->tx, &want, NULL, 0, &err), ERR_CONFLICT, "exists");
	BAD(grant_by_id(&b->tx, &b->mem, ID(NOBODY), &got, &err), ERR_NOT_FOUND, "grant");
}

static void the_list_has_pages_and_realms(void **state)
{
	struct bench *b = (struct bench *)*state;
	struct grant_row *list;
	size_t n;
	add_grant(b, GRANT, "default", "t1");
	add_grant(b, GRANT2, "other", "t2");
	add_grant(b, GRANT3, "default", "t3");
	GOOD(grant_list(&b->tx, &b->mem, STR_NONE, (struct id){ 0 }, 2, &list, &n, &err));
	assert_true(n == 2 && id_eq(list[0].id, ID(GRANT)) && id_eq(list[1].id, ID(GRANT2)));
	GOOD(grant_list(&b->tx, &b->mem, STR_NONE, ID(GRANT2), 2, &list, &n, &err));
	assert_true(n == 1 && id_eq(list[0].id, ID(GRANT3)));
	GOOD(grant_list(&b->tx, &b->mem, STR("default"), ID(GRANT), 9, &list, &n, &err));
	assert_true(n == 1 && id_eq(list[0].id, ID(GRANT3)));
	GOOD(grant_list(&b->tx, &b->mem, STR("nowhere"), (struct id){ 0 }, 9, &list, &n, &err));
	assert_int_equal(n, 0);
}

static size_t found(struct bench *b, const char *realm, const char *thumbprint, int64_t now_s)
{
	struct grant_row *list;
	size_t n;
	GOOD(grants_of_key(&b->tx, &b->mem, str_z(realm), str_z(thumbprint), now_s, 10, &list, &n, &err));
	return n;
}

static void a_key_finds_the_grants_of_its_realm_that_are_in_force(void **state)
{
	struct bench *b = (struct bench *)*state;
	add_grant(b, GRANT, "default", "thumb");
	add_grant(b, GRANT2, "default", "other");
	add_grant(b, GRANT3, "other", "thumb");
	static const struct {
		const char *realm, *thumbprint;
		int64_t at;
		size_t want;
	} rows[] = {
		{ "default", "thumb", NOW_S, 1 },       { "default", "shared", NOW_S, 2 },
		{ "other", "thumb", NOW_S, 1 },         { "other", "other", NOW_S, 0 },
		{ "default", "Thumb", NOW_S, 0 },       { "default", "thumb", NOW_S - 1, 0 },
		{ "default", "thumb", NOW_S + 100, 1 }, { "default", "thumb", NOW_S + 101, 0 },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(found(b, rows[i].realm, rows[i].thumbprint, rows[i].at), rows[i].want);
	GOOD(grant_revoke(&b->tx, ID(GRANT), T_START + 7, &err));
	GOOD(grant_revoke(&b->tx, ID(GRANT), T_START + 9, &err)); /* the first one counts */
	BAD(grant_revoke(&b->tx, ID(NOBODY), T_START, &err), ERR_NOT_FOUND, "grant");
	struct grant_row got;
	GOOD(grant_by_id(&b->tx, &b->mem, ID(GRANT), &got, &err));
	assert_int_equal(got.revoked_at, T_START + 7);
	assert_int_equal(found(b, "default", "thumb", NOW_S), 0);
	assert_int_equal(found(b, "default", "shared", NOW_S), 1);
}

static void add_granted(struct bench *b, uint32_t n, uint32_t grant)
{
	struct authz_row z = test_authz(ID(n), ID(ACCOUNT));
	z.status = AUTHZ_VALID;
	z.grant = ID(grant);
	GOOD(authz_insert(&b->tx, &z, &err));
}

/* What was proved and what was granted never stand in for each other: a grant may be taken back. */
static void granted_and_proved_authorizations_are_kept_apart(void **state)
{
	struct bench *b = (struct bench *)*state;
	struct authz_want want = { .ident = { IDENT_DNS, STR("a.example") } };
	struct authz_row got;
	struct id *ids;
	size_t n;
	add_account(b);
	add_grant(b, GRANT, "default", "thumb");
	add_grant(b, GRANT2, "default", "thumb");
	add_granted(b, AUTHZ, GRANT);
	BAD(authz_find_reusable(&b->tx, &b->mem, ID(ACCOUNT), STR("thumb"), &want, T_START, &got, &err), ERR_NOT_FOUND,
	    "authorization");
	want.grant = ID(GRANT2);
	BAD(authz_find_reusable(&b->tx, &b->mem, ID(ACCOUNT), STR("thumb"), &want, T_START, &got, &err), ERR_NOT_FOUND,
	    "authorization");
	want.grant = ID(GRANT);
	GOOD(authz_find_reusable(&b->tx, &b->mem, ID(ACCOUNT), STR("thumb"), &want, T_START, &got, &err));
	assert_true(id_eq(got.id, ID(AUTHZ)) && id_eq(got.grant, ID(GRANT)) && id_is_zero(got.attempt));
	want.grant = (struct id){ 0 };
	add_authz(b, AUTHZ2);
	GOOD(authz_find_reusable(&b->tx, &b->mem, ID(ACCOUNT), STR("thumb"), &want, T_START, &got, &err));
	assert_true(id_eq(got.id, ID(AUTHZ2)) && id_is_zero(got.grant));
	GOOD(authzs_of_grant(&b->tx, &b->mem, ID(GRANT), 10, &ids, &n, &err));
	assert_true(n == 1 && id_eq(ids[0], ID(AUTHZ)));
	GOOD(authz_move(&b->tx, ID(AUTHZ), AUTHZ_VALID, AUTHZ_REVOKED, &err));
	GOOD(authzs_of_grant(&b->tx, &b->mem, ID(GRANT), 10, &ids, &n, &err));
	assert_int_equal(n, 0);
}

static void add_issued(struct bench *b)
{
	const struct issuance_row i = test_issuance(ID(ISSUANCE), ID(ORDER), ID(ACCOUNT), "01");
	const struct certificate_row c = test_certificate(ID(CERTIFICATE), ID(ORDER), ID(ACCOUNT), "01");
	add_account(b);
	add_grant(b, GRANT, "default", "thumb");
	add_grant(b, GRANT2, "default", "thumb");
	add_grant(b, GRANT3, "default", "thumb");
	add_granted(b, AUTHZ, GRANT2);
	add_order(b, ORDER, AUTHZ);
	GOOD(order_move(&b->tx, ID(ORDER), ORDER_PENDING, ORDER_READY, &err));
	GOOD(order_begin(&b->tx, ID(ORDER), &(struct sha256){ { 1 } }, &err));
	GOOD(issuance_insert(&b->tx, &i, &err));
	GOOD(issuance_add_grants(&b->tx, ID(ISSUANCE), (const struct id[]){ ID(GRANT2), ID(GRANT) }, 2, &err));
	GOOD(certificate_insert(&b->tx, &c, NULL, 0, &err));
	GOOD(order_finish(&b->tx, ID(ORDER), ID(CERTIFICATE), &err));
}

static void an_issuance_keeps_the_grants_that_it_was_given(void **state)
{
	struct bench *b = (struct bench *)*state;
	struct grant_row *list;
	size_t n;
	struct id *ids;
	add_issued(b);
	GOOD(grants_of_order(&b->tx, &b->mem, ID(ORDER), &ids, &n, &err));
	assert_true(n == 1 && id_eq(ids[0], ID(GRANT2)));
	GOOD(grants_of_issuance(&b->tx, &b->mem, ID(ISSUANCE), &list, &n, &err));
	assert_true(n == 2 && id_eq(list[0].id, ID(GRANT2)) && id_eq(list[1].id, ID(GRANT)));
	BAD(issuance_add_grants(&b->tx, ID(ISSUANCE), (const struct id[]){ ID(GRANT3) }, 1, &err), ERR_CONFLICT,
	    "exists");
	GOOD(grants_of_issuance(&b->tx, &b->mem, ID(NOBODY), &list, &n, &err));
	assert_int_equal(n, 0);
}

static void retain(struct bench *b, int64_t ended_before, int64_t expired_before_s)
{
	struct retention what = { ended_before, expired_before_s, 0, 100 };
	size_t n;
	bool more;
	GOOD(sweep_retention(&b->tx, &what, &n, &more, &err));
	assert_false(more);
}

static void retention_takes_a_grant_after_what_stands_on_it(void **state)
{
	struct bench *b = (struct bench *)*state;
	add_issued(b);
	retain(b, INT64_MAX, NOW_S + 100); /* until then it is in force */
	assert_int_equal(count_of(b, "SELECT COUNT(*) FROM grants"), 3);
	retain(b, 0, NOW_S + 101);
	assert_int_equal(count_of(b, "SELECT COUNT(*) FROM certificates"), 0);
	assert_int_equal(count_of(b, "SELECT COUNT(*) FROM issuance_grants"), 0);
	assert_int_equal(count_of(b, "SELECT COUNT(*) FROM grants"), 1); /* the authorization has not ended */
	GOOD(authz_move(&b->tx, ID(AUTHZ), AUTHZ_VALID, AUTHZ_EXPIRED, &err));
	retain(b, INT64_MAX, NOW_S + 101);
	assert_int_equal(count_of(b, "SELECT COUNT(*) FROM authorizations"), 0);
	assert_int_equal(count_of(b, "SELECT COUNT(*) FROM grants"), 0);
	assert_int_equal(count_of(b, "SELECT COUNT(*) FROM grant_keys"), 0);
}

static void certificates_are_listed_by_when_they_were_asked_for(void **state)
{
	struct bench *b = (struct bench *)*state;
	struct id *ids, last;
	size_t n;
	memset(last.b, 0xff, sizeof last.b);
	add_issued(b);
	GOOD(certificate_ids(&b->tx, &b->mem, (struct id){ 0 }, last, 10, &ids, &n, &err));
	assert_true(n == 1 && id_eq(ids[0], ID(CERTIFICATE)));
	GOOD(certificate_ids(&b->tx, &b->mem, ID(CERTIFICATE), last, 10, &ids, &n, &err));
	assert_int_equal(n, 0);
	GOOD(certificate_ids(&b->tx, &b->mem, (struct id){ 0 }, ID(CERTIFICATE), 10, &ids, &n, &err));
	assert_int_equal(n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BENCH(a_grant_comes_back_as_it_went),
		BENCH(the_list_has_pages_and_realms),
		BENCH(a_key_finds_the_grants_of_its_realm_that_are_in_force),
		BENCH(granted_and_proved_authorizations_are_kept_apart),
		BENCH(an_issuance_keeps_the_grants_that_it_was_given),
		BENCH(retention_takes_a_grant_after_what_stands_on_it),
		BENCH(certificates_are_listed_by_when_they_were_asked_for),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * eab_test.c: external account keys: what goes in comes out, the list has pages, and a key gives as many uses as it has,
 * however many ask at once.
 */
#include "store/testing.h"

static struct eab_row test_eab(const char *kid, const char *realm)
{
	return (struct eab_row){ .kid = str_z(kid),
				 .realm = str_z(realm),
				 .secret = str_n("\0\xff\1", 3),
				 .label = STR("printers"),
				 .names = STR("[\"*.corp.example\"]"),
				 .profiles = STR("[\"server\"]"),
				 .uses_max = 2,
				 .created_at = T_START,
				 .expires_at = T_START + 1000 };
}

static void a_key_comes_back_as_it_went(void **state)
{
	struct bench *b = (struct bench *)*state;
	struct eab_row want = test_eab("eab-1", "default"), got;
	GOOD(eab_insert(&b->tx, &want, &err));
	GOOD(eab_by_kid(&b->tx, &b->mem, STR("eab-1"), &got, &err));
	assert_true(str_eq(got.kid, want.kid) && str_eq(got.realm, want.realm) && str_eq(got.secret, want.secret));
	assert_true(str_eq(got.label, want.label) && str_eq(got.names, want.names));
	assert_true(str_eq(got.profiles, want.profiles) && got.uses == 0 && got.uses_max == 2);
	assert_true(got.created_at == T_START && got.expires_at == T_START + 1000 && got.disabled_at == 0);
	want.realm = STR("other");
	BAD(eab_insert(&b->tx, &want, &err), ERR_CONFLICT, "exists");
	BAD(eab_by_kid(&b->tx, &b->mem, STR("eab-2"), &got, &err), ERR_NOT_FOUND, "external account key");
	BAD(eab_by_kid(&b->tx, &b->mem, STR("EAB-1"), &got, &err), ERR_NOT_FOUND, "external account key");
}

static void ids_of_no_or_too_many_bytes_are_refused(void **state)
{
	struct bench *b = (struct bench *)*state;
	char longest[EAB_KID_MAX + 2];
	memset(longest, 'k', sizeof longest);
	struct eab_row e = test_eab("", "default");
	BAD(eab_insert(&b->tx, &e, &err), ERR_INTERNAL, "0 bytes");
	e.kid = str_n(longest, EAB_KID_MAX + 1);
	BAD(eab_insert(&b->tx, &e, &err), ERR_INTERNAL, "65 bytes");
	e.kid = str_n(longest, EAB_KID_MAX);
	GOOD(eab_insert(&b->tx, &e, &err));
}

static void the_list_has_pages_and_realms(void **state)
{
	struct bench *b = (struct bench *)*state;
	static const struct {
		const char *kid, *realm;
	} rows[] = { { "c", "default" }, { "a", "default" }, { "d", "other" }, { "b", "other" }, { "e", "default" } };
	struct eab_row *list;
	size_t n;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct eab_row e = test_eab(rows[i].kid, rows[i].realm);
		GOOD(eab_insert(&b->tx, &e, &err));
	}
	GOOD(eab_list(&b->tx, &b->mem, STR_NONE, STR_NONE, 3, &list, &n, &err));
	assert_true(n == 3 && str_eq(list[0].kid, STR("a")) && str_eq(list[2].kid, STR("c")));
	GOOD(eab_list(&b->tx, &b->mem, STR_NONE, list[2].kid, 3, &list, &n, &err));
	assert_true(n == 2 && str_eq(list[0].kid, STR("d")) && str_eq(list[1].kid, STR("e")));
	GOOD(eab_list(&b->tx, &b->mem, STR("default"), STR("a"), 10, &list, &n, &err));
	assert_true(n == 2 && str_eq(list[0].kid, STR("c")) && str_eq(list[1].kid, STR("e")));
	assert_true(str_eq(list[1].realm, STR("default")) && str_eq(list[1].secret, str_n("\0\xff\1", 3)));
	GOOD(eab_list(&b->tx, &b->mem, STR("nowhere"), STR_NONE, 10, &list, &n, &err));
	assert_int_equal(n, 0);
}

static void a_key_is_used_while_it_may_be(void **state)
{
	struct bench *b = (struct bench *)*state;
	struct eab_row e = test_eab("eab-1", "default"), got;
	GOOD(eab_insert(&b->tx, &e, &err));
	GOOD(eab_use(&b->tx, STR("eab-1"), T_START + 999, &err));
	BAD(eab_use(&b->tx, STR("eab-1"), T_START + 1000, &err), ERR_CONFLICT, "has expired");
	GOOD(eab_use(&b->tx, STR("eab-1"), T_START, &err));
	BAD(eab_use(&b->tx, STR("eab-1"), T_START, &err), ERR_CONFLICT, "used up: 2 of 2");
	GOOD(eab_by_kid(&b->tx, &b->mem, STR("eab-1"), &got, &err));
	assert_int_equal(got.uses, 2);
	BAD(eab_use(&b->tx, STR("eab-2"), T_START, &err), ERR_NOT_FOUND, "external account key");

	e = test_eab("eab-3", "default");
	e.uses_max = 0;
	e.expires_at = 0;
	GOOD(eab_insert(&b->tx, &e, &err));
	for (unsigned i = 0; i < 100; i++)
		GOOD(eab_use(&b->tx, STR("eab-3"), INT64_MAX, &err));
	GOOD(eab_disable(&b->tx, STR("eab-3"), T_START + 7, &err));
	BAD(eab_use(&b->tx, STR("eab-3"), T_START, &err), ERR_CONFLICT, "is disabled");
	GOOD(eab_disable(&b->tx, STR("eab-3"), T_START + 8, &err)); /* it is already */
	GOOD(eab_by_kid(&b->tx, &b->mem, STR("eab-3"), &got, &err));
	assert_true(got.uses == 100 && got.disabled_at == T_START + 7);
	BAD(eab_disable(&b->tx, STR("eab-9"), T_START, &err), ERR_NOT_FOUND, "external account key");
}

/* --- many at once -------------------------------------------------------------------------------------------------*/
#define CROWD 16
#define EACH 4
#define USES 10

struct user {
	struct test_store *t;
	uint32_t number;
	unsigned good, refused;
};

static fallible insert_key(struct store_tx *tx, void *ctx, struct err *err)
{
	(void)ctx;
	struct eab_row e = test_eab("eab-1", "default");
	e.uses_max = USES;
	return eab_insert(tx, &e, err);
}

/* As newAccount does it: one use and one account, or neither. */
static fallible use_key(struct store_tx *tx, void *ctx, struct err *err)
{
	uint32_t n = *(const uint32_t *)ctx;
	struct account_row a = test_account(test_id(n), id_show(test_id(n)).z);
	a.eab_kid = STR("eab-1");
	TRY(eab_use(tx, STR("eab-1"), T_START, err));
	return account_insert(tx, &a, err);
}

static void *use_often(void *arg)
{
	struct user *u = (struct user *)arg;
	for (uint32_t i = 0; i < EACH; i++) {
		uint32_t n = u->number * EACH + i;
		struct rc rc = store_tx(u->t->store, use_key, &n, NULL);
		u->good += rc.kind == ERR_NONE;
		u->refused += rc.kind == ERR_CONFLICT;
	}
	return NULL;
}

struct seen {
	struct eab_row key;
	size_t accounts;
	struct arena mem;
};

static fallible look(struct store_tx *tx, void *ctx, struct err *err)
{
	struct seen *s = (struct seen *)ctx;
	const struct id zero = { { 0 } };
	struct id *ids;
	TRY(eab_by_kid(tx, &s->mem, STR("eab-1"), &s->key, err));
	return accounts_of_eab(tx, &s->mem, STR("eab-1"), zero, 1000, &ids, &s->accounts, err);
}

static void of_many_at_once_as_many_bind_as_there_are_uses(void **state)
{
	struct test_store *t = (struct test_store *)*state;
	struct user users[CROWD];
	pthread_t threads[CROWD];
	struct err err = { 0 };
	must(store_tx(t->store, insert_key, NULL, &err), &err);
	for (uint32_t i = 0; i < CROWD; i++) {
		users[i] = (struct user){ t, i, 0, 0 };
		assert_int_equal(pthread_create(&threads[i], NULL, use_often, &users[i]), 0);
	}
	unsigned good = 0, refused = 0;
	for (size_t i = 0; i < CROWD; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		good += users[i].good;
		refused += users[i].refused;
	}
	assert_int_equal(good, USES);
	assert_int_equal(refused, CROWD * EACH - USES);
	struct seen s = { .accounts = 0 };
	must(store_read(t->store, look, &s, &err), &err);
	int64_t uses = s.key.uses;
	arena_done(&s.mem);
	assert_int_equal(uses, USES);
	assert_int_equal(s.accounts, USES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BENCH(a_key_comes_back_as_it_went),
		BENCH(ids_of_no_or_too_many_bytes_are_refused),
		BENCH(the_list_has_pages_and_realms),
		BENCH(a_key_is_used_while_it_may_be),
		cmocka_unit_test_setup_teardown(of_many_at_once_as_many_bind_as_there_are_uses, setup_store,
						teardown_store),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

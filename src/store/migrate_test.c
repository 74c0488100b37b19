/* SPDX-License-Identifier: Apache-2.0
 *
 * migrate_test.c: a database of the first version opens with today's program, and its rows keep their meaning.
 */
#include "store/testing.h"

#include <sqlite3.h>

#define X(n) "X'0100000000" #n "70008000000000000000'" /* test_id of a number of two hex digits */

/* One of everything, as version 1 wrote it. */
static const char rows_of_version_1[] = "INSERT INTO accounts VALUES (" X(
	01) ", 'default', 'thumb', '{\"kty\":\"EC\"}', 'valid', '[]', 5, '', 1, "
	    "'192.0.2.9');"
	    "INSERT INTO orders VALUES (" X(04) ", " X(
		    01) ", 'default', 'server', 'ready', '[]', 0, 0, 1, 1800000001000, 0, "
			"'', NULL, NULL);"
			"INSERT INTO orders VALUES (" X(05) ", " X(
				01) ", 'default', 'server', 'valid', '[]', 0, 0, 1, 1800000001000, 2, "
				    "'', " X(
					    09) ", NULL);"
						"INSERT INTO orders VALUES (" X(06) ", " X(
							01) ", 'default', 'server', 'valid', '[]', 0, 0, 1, "
							    "1800000001000, 2, "
							    "'', NULL, NULL);"
							    "INSERT INTO authorizations VALUES (" X(02) ", " X(
								    01) ", 'default', 'thumb', 'dns', 'a.example', 0, "
									"'valid', 1, "
									"1800000001000, 0, " X(
										07) ");"
										    "INSERT INTO order_authz VALUES "
										    "(" X(04) ", 0, " X(
											    02) ");"
												"INSERT INTO issuances "
												"VALUES (" X(08) ", " X(05) ", " X(
													01) ", "
													    "'default',"
													    " 'server',"
													    " 'main', "
													    "'0a', "
													    "1000, "
													    "2000, "
													    "'cA', "
													    "'cQ', "
													    "'cg', "
													    "'https://"
													    "ca."
													    "example/"
													    "f', "
													    "'issued', "
													    "1, 2, 3);"
													    "INSERT "
													    "INTO "
													    "certificat"
													    "es VALUES "
													    "(" X(09) ", " X(05) ", " X(
														    01) ", 'default', 'server', 'main', '0a', X'3000', "
															"'pem', X'0700000000000000000000000000000000000000000000000000000000000000', 1000, 2000, 3, 0, 0, '');"
															"INSERT INTO eab_keys VALUES ('eab-1', 'default', X'00ff', 'label', 1, 2, '[]', 3, 0, 0);";

/* The file that setup_store made is replaced by one of the first version. */
static void make_version_1(struct test_store *t)
{
	static const char *const ends[] = { "", "-wal", "-shm" };
	_Atomic bool lost = false;
	struct db *db;
	struct err err = { 0 };
	store_close(t->store);
	t->store = NULL;
	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		char path[112];
		(void)snprintf(path, sizeof path, "%s%s", t->path, ends[i]);
		(void)unlink(path);
	}
	must(sqlite_file_make(t->path, &err), &err);
	must(sqlite_open(t->path, SQLITE_WRITER, &lost, &db, &err), &err);
	must(store_migrate(db, &t->clock, store_migrations, 1, &err), &err);
	db->ops->close(db);

	sqlite3 *h;
	char *why = NULL;
	assert_int_equal(sqlite3_open(t->path, &h), SQLITE_OK);
	if (sqlite3_exec(h, rows_of_version_1, NULL, NULL, &why) != SQLITE_OK)
		fail_msg("%s", why);
	(void)sqlite3_close(h);
}

struct seen {
	struct arena mem;
	struct account_row account;
	struct order_row order;
	struct authz_row authz, reusable;
	struct issuance_row issuance;
	struct certificate_row certificate;
	struct eab_row eab;
	size_t open;
	bool taken, replaced_open, held;
};

static fallible look(struct store_tx *tx, void *ctx, struct err *err)
{
	struct seen *s = (struct seen *)ctx;
	const struct authz_want want = { .ident = { IDENT_DNS, STR("a.example") } };
	TRY(account_by_id(tx, &s->mem, test_id(1), &s->account, err));
	TRY(order_by_id(tx, &s->mem, test_id(4), &s->order, err));
	TRY(authz_by_id(tx, &s->mem, test_id(2), &s->authz, err));
	TRY(authz_find_reusable(tx, &s->mem, test_id(1), STR("thumb"), &want, T_START, &s->reusable, err));
	TRY(authz_is_held(tx, test_id(1), &want, T_START, &s->held, err));
	TRY(issuance_by_serial(tx, &s->mem, STR("0a"), &s->issuance, err));
	TRY(certificate_by_serial(tx, &s->mem, STR("0a"), &s->certificate, err));
	TRY(eab_by_kid(tx, &s->mem, STR("eab-1"), &s->eab, err));
	TRY(order_open_authzs(tx, test_id(4), STR("thumb"), T_START, &s->open, err));
	return order_replacing(tx, STR("0a"), T_START, &s->taken, &s->replaced_open, err);
}

static void expect_meanings(const struct seen *s)
{
	assert_true(s->account.tos_agreed_at == 5 && s->account.tos_url.n == 0);
	assert_true(str_eq(s->account.created_ip, STR("192.0.2.9")) && s->account.status == ACCOUNT_VALID);
	assert_true(s->order.status == ORDER_READY && s->order.replaces.n == 0);
	assert_true(s->authz.status == AUTHZ_VALID && !s->authz.subdomains && id_eq(s->authz.attempt, test_id(7)));
	assert_true(id_eq(s->reusable.id, test_id(2)) && s->held && s->open == 0);
	assert_true(s->issuance.account_jwk.n == 0 && s->issuance.sends == 3);
	assert_true(s->certificate.revoked_at == 0 && str_eq(s->certificate.chain_pem, STR("pem")));
	assert_true(str_eq(s->eab.secret, str_n("\0\xff", 2)) && s->eab.profiles.n == 0 && s->eab.uses == 1);
	assert_true(s->eab.uses_max == 2 && str_eq(s->eab.names, STR("[]")));
	assert_false(s->taken || s->replaced_open);
}

static fallible go_on(struct store_tx *tx, void *ctx, struct err *err)
{
	const struct sha256 hash = { { 1 } };
	(void)ctx;
	TRY(eab_use(tx, STR("eab-1"), T_START, err));
	TRY(certificate_revoke(tx, test_id(9), T_START, 4, STR("operator"), err));
	TRY(account_set_tos(tx, test_id(1), STR("https://a.example/terms"), T_START, err));
	return order_begin(tx, test_id(4), &hash, err); /* two orders replace nothing, and both may be valid */
}

static fallible versions(struct store_tx *tx, void *ctx, struct err *err)
{
	AUTO(rows_done) struct rows r = { 0 };
	TRY(rows_one(&r, tx, "version", "SELECT COUNT(*) * 1000 + MAX(version) FROM schema_version", NULL, 0, err));
	*(int64_t *)ctx = rows_i64(&r, 0);
	return OK;
}

static void rows_of_the_first_version_keep_their_meaning(void **state)
{
	ONLY_SQLITE();
	struct test_store *t = (struct test_store *)*state;
	struct err err = { 0 };
	make_version_1(t);
	for (unsigned i = 0; i < 2; i++) { /* the second time there is nothing to do */
		struct seen s = { .open = 99 };
		int64_t found = 0;
		test_open(t);
		must(store_read(t->store, look, &s, &err), &err);
		expect_meanings(&s);
		arena_done(&s.mem);
		must(store_read(t->store, versions, &found, &err), &err);
		assert_int_equal(found, (int64_t)store_migration_count * 1000 +
						store_migrations[store_migration_count - 1].version);
		if (i == 0)
			store_close(t->store);
	}
	must(store_tx(t->store, go_on, NULL, &err), &err);
}

static void versions_rise_by_one_from_one(void **state)
{
	(void)state;
	for (size_t i = 0; i < store_migration_count; i++)
		assert_int_equal(store_migrations[i].version, i + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(rows_of_the_first_version_keep_their_meaning, setup_store,
						teardown_store),
		cmocka_unit_test(versions_rise_by_one_from_one),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

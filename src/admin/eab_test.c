/* SPDX-License-Identifier: Apache-2.0
 *
 * eab_test.c: the operations behind the socket: what a request may look like at all, what each operation leaves in the
 * store and in the audit log, and that a key's secret is seen once and nowhere else.
 */
#include "admin/testing.h"

#include <dirent.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/wait.h>

/* --- looking from outside -------------------------------------------------------------------------------------------*/
static int64_t count_sql(const struct test_admin *t, const char *sql)
{
	sqlite3 *db = NULL;
	sqlite3_stmt *q = NULL;
	assert_int_equal(sqlite3_open_v2(t->url + strlen("sqlite:"), &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
	if (sqlite3_prepare_v2(db, sql, -1, &q, NULL) != SQLITE_OK || sqlite3_step(q) != SQLITE_ROW)
		fail_msg("%s: %s", sql, sqlite3_errmsg(db));
	int64_t n = sqlite3_column_int64(q, 0);
	sqlite3_finalize(q);
	sqlite3_close(db);
	return n;
}

struct row_of {
	struct arena *mem;
	struct str kid;
	struct eab_row row;
};

static fallible read_row(struct store_tx *tx, void *ctx, struct err *err)
{
	struct row_of *r = ctx;
	return eab_by_kid(tx, r->mem, r->kid, &r->row, err);
}

static struct eab_row row_of(struct test_admin *t, struct arena *mem, struct str kid)
{
	struct err err = { 0 };
	struct row_of r = { .mem = mem, .kid = kid };
	MUST(store_read(t->store, read_row, &r, &err));
	return r.row;
}

struct accounts { /* so many, bound to this key */
	const char *kid;
	unsigned count, first;
};

static fallible insert_accounts(struct store_tx *tx, void *ctx, struct err *err)
{
	const struct accounts *a = ctx;
	for (unsigned i = a->first; i < a->first + a->count; i++) {
		char thumbprint[16];
		(void)snprintf(thumbprint, sizeof thumbprint, "t%u", i);
		const struct account_row row = { .id = id_new(&clock_system, &rng_system),
						 .realm = STR("lab"),
						 .thumbprint = str_z(thumbprint),
						 .jwk = STR("{}"),
						 .contact = STR("[]"),
						 .eab_kid = str_z(a->kid),
						 .created_at = T_START };
		TRY(account_insert(tx, &row, err));
	}
	return OK;
}

static void make_accounts(struct test_admin *t, const char *kid, unsigned first, unsigned count)
{
	struct err err = { 0 };
	MUST(store_tx(t->store, insert_accounts, &(struct accounts){ kid, count, first }, &err));
}

/* --- the form of a request ------------------------------------------------------------------------------------------*/
static void what_is_no_request_is_refused_in_words(void **state)
{
	static const struct {
		const char *text, *kind, *says;
	} rows[] = {
		{ "", "malformed", "" },
		{ "x", "malformed", "" },
		{ "[]", "malformed", "" },
		{ "{}", "malformed", "\"v\"" },
		{ "{\"v\":1}", "malformed", "\"do\"" },
		{ "{\"v\":\"1\",\"do\":\"eab.list\"}", "malformed", "\"v\"" },
		{ "{\"v\":2,\"do\":\"eab.list\"}", "malformed", "speaks version 1 of the admin requests, not 2" },
		{ "{\"v\":0,\"do\":\"eab.list\"}", "malformed", "not 0" },
		{ "{\"v\":1,\"do\":7}", "malformed", "\"do\"" },
		{ "{\"v\":1,\"do\":\"\"}", "malformed", "no operation \"\"" },
		{ "{\"v\":1,\"do\":\"eab.frob\"}", "malformed", "no operation \"eab.frob\": it may be of an earlier" },
		{ "{\"v\":1,\"do\":\"EAB.LIST\"}", "malformed", "no operation" },
		{ "{\"v\":1,\"do\":\"eab.list\",\"frob\":1}", "malformed", "\"frob\" is not a member" },
		{ "{\"v\":1,\"do\":\"eab.list\",\"kid\":\"x\"}", "malformed", "\"kid\" is not a member" },
		{ "{\"v\":1,\"v\":1,\"do\":\"eab.list\"}", "malformed", "" },
		{ "{\"v\":1,\"do\":\"eab.list\"} x", "malformed", "" },
		{ "{\"v\":1,\"do\":\"eab.list\",\"after\":1}", "malformed", "after" },
		{ "{\"v\":1,\"do\":\"eab.show\"}", "malformed", "kid" },
		{ "{\"v\":1,\"do\":\"eab.show\",\"kid\":\"a/b\"}", "malformed", "1 to 64 letters" },
		{ "{\"v\":1,\"do\":\"eab.show\",\"kid\":\"nope\"}", "notFound", "no external account key \"nope\"" },
		{ "{\"v\":1,\"do\":\"eab.disable\",\"kid\":\"nope\"}", "notFound", "no external account key \"nope\"" },
		{ "{\"v\":1,\"do\":\"eab.disable\",\"kid\":\"k\",\"accounts\":1}", "malformed", "accounts" },
		{ "{\"v\":1,\"do\":\"eab.add\"}", "malformed", "realm" },
		{ "{\"v\":1,\"do\":\"eab.add\",\"realm\":\"nope\"}", "notFound",
		  "the configuration has: default, lab" },
	};
	struct test_admin *t = (struct test_admin *)*state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err = { 0 };
		AUTO(json_auto) struct json *answer = NULL;
		AUTO(buf_done) struct buf out = BUF_MAX(ADMIN_ANSWER_MAX);
		admin_answer(t->admin, str_z(rows[i].text), 0, &out);
		MUST(json_read(buf_str(&out), ADMIN_ANSWER_MAX, &answer, &err));
		assert_refused(answer, rows[i].kind, rows[i].says);
	}
	assert_int_equal(count_sql(t, "SELECT count(*) FROM audit"), 0);
}

/* --- add ------------------------------------------------------------------------------------------------------------*/
static void a_key_is_shown_once_and_lies_sealed(void **state)
{
	struct test_admin *t = (struct test_admin *)*state;
	struct err err = { 0 };
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(json_auto)
	struct json *key = test_ask(t, "eab.add",
				    "\"realm\":\"lab\",\"label\":\"team\",\"names\":[\"*.a.test\"],"
				    "\"profiles\":[\"server\"],\"uses\":3,\"expires\":\"1d\"");
	assert_true(test_bool(key, "ok"));
	struct str kid = test_str(key, "kid");
	assert_int_equal(kid.n, 4 + 22);
	assert_true(str_starts(kid, STR("eab-")));
	uint8_t bytes[32];
	MUST(b64url_decode_to(test_str(key, "hmacKey"), bytes, sizeof bytes, &err));
	ASSERT_STR(test_str(key, "directory"), "https://ca.test:14000/realm/lab/directory");
	ASSERT_STR(test_str(key, "realmEab"), "required");
	ASSERT_STR(test_str(key, "expires"), "2027-01-16T08:00:00Z");

	struct eab_row row = row_of(t, &mem, kid);
	ASSERT_STR(row.realm, "lab");
	ASSERT_STR(row.names, "[\"*.a.test\"]");
	ASSERT_STR(row.profiles, "[\"server\"]");
	assert_int_equal(row.uses_max, 3);
	assert_int_equal(row.expires_at, T_START + 86400000);
	assert_int_equal(row.secret.n, 32 + SEAL_OVERHEAD);
	struct secret opened = { 0 };
	MUST(unseal(t->crypto, &t->key, kid, row.secret, &opened, &err));
	assert_memory_equal(opened.p, bytes, sizeof bytes);
	assert_int_equal(opened.n, sizeof bytes);
	/* It is bound to its own id. */
	assert_true(FAILED(unseal(t->crypto, &t->key, STR("other"), row.secret, &opened, NULL)));
	secret_done(&opened);
	assert_int_equal(
		count_sql(t, "SELECT count(*) FROM audit WHERE actor = 'operator:0' AND event = 'external account "
			     "key added' AND detail LIKE '%\"label\":\"team\"%'"),
		1);
}

/* A76: neither the key's bytes nor their text stand in any file or in any later answer. */
static bool holds(struct str where, struct str what)
{
	return memmem(where.p, where.n, what.p, what.n) != NULL;
}

static void the_secret_is_in_no_file_and_no_later_answer(void **state)
{
	struct test_admin *t = (struct test_admin *)*state;
	struct err err = { 0 };
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(json_auto) struct json *key = test_ask(t, "eab.add", "\"realm\":\"lab\",\"kid\":\"canary\"");
	uint8_t bytes[32];
	struct str text = test_str(key, "hmacKey");
	MUST(b64url_decode_to(text, bytes, sizeof bytes, &err));
	static const char *const questions[] = { "{\"v\":1,\"do\":\"eab.show\",\"kid\":\"canary\"}",
						 "{\"v\":1,\"do\":\"eab.list\"}" };
	for (size_t i = 0; i < ARRAY_LEN(questions); i++) {
		AUTO(buf_done) struct buf out = BUF_MAX(ADMIN_ANSWER_MAX);
		admin_answer(t->admin, str_z(questions[i]), 0, &out);
		assert_true(holds(buf_str(&out), STR("\"kid\":\"canary\"")));
		assert_false(holds(buf_str(&out), text));
		assert_false(holds(buf_str(&out), STR("secret")));
	}
	DIR *d = opendir(t->folder);
	assert_non_null(d);
	bool seen = false;
	for (const struct dirent *e; (e = readdir(d)) != NULL;) {
		AUTO(buf_done) struct buf body = BUF_MAX(64 * 1024 * 1024);
		if (strncmp(e->d_name, "cairn.db", 8) != 0)
			continue;
		MUST(file_read(str_fmt(&mem, "%s/%s", t->folder, e->d_name).p, body.max, &body, &err));
		seen = seen || holds(buf_str(&body), STR("canary"));
		assert_false(holds(buf_str(&body), text));
		assert_false(holds(buf_str(&body), str_n(bytes, sizeof bytes)));
	}
	(void)closedir(d);
	assert_true(seen); /* the search can find what is there */
}

static void a_kid_is_given_once(void **state)
{
	struct test_admin *t = (struct test_admin *)*state;
	AUTO(json_auto) struct json *one = test_ask(t, "eab.add", "\"realm\":\"lab\",\"kid\":\"k\"");
	AUTO(json_auto) struct json *two = test_ask(t, "eab.add", "\"realm\":\"default\",\"kid\":\"k\"");
	assert_true(test_bool(one, "ok"));
	assert_refused(two, "conflict", "there is an external account key \"k\" already");
	assert_true(json_get(two, "hmacKey") == NULL);
	assert_int_equal(count_sql(t, "SELECT count(*) FROM audit"), 1);
	assert_int_equal(count_sql(t, "SELECT count(*) FROM eab_keys WHERE realm = 'lab'"), 1);
}

struct script { /* a source whose first draws of 32 bytes are the text "-...": 0xf8 is '-' and then some */
	int bad;
};
static void scripted_fill(void *ctx, void *p, size_t n)
{
	struct script *s = ctx;
	if (n == 32 && s->bad-- > 0)
		memset(p, 0xf8, n);
	else
		rng_fill(&rng_system, p, n);
}

/* Found with certbot: argparse takes a value that begins with '-' for an option. */
static void no_secret_begins_like_an_option(void **state)
{
	struct test_admin *t = (struct test_admin *)*state;
	struct script script = { .bad = 2 };
	const struct rng rng = { scripted_fill, &script };
	AUTO(buf_done) struct buf out = BUF_MAX(ADMIN_ANSWER_MAX);
	struct err err = { 0 };
	struct conf *conf = test_conf(T_CONF);
	t->deps.rng = &rng;
	MUST(admin_perform(&t->deps, conf, 0, STR("{\"v\":1,\"do\":\"eab.add\",\"realm\":\"lab\"}"), &out, &err));
	assert_true(script.bad < 0);
	assert_false(holds(buf_str(&out), STR("\"hmacKey\":\"-")));
	script.bad = 1000; /* and a source that is broken ends the loop */
	buf_reset(&out);
	MUST_FAIL(admin_perform(&t->deps, conf, 0, STR("{\"v\":1,\"do\":\"eab.add\",\"realm\":\"lab\"}"), &out, &err),
		  ERR_INTERNAL, "random source");
	conf_free(conf);
}

static void a_reload_changes_what_may_be_asked_for(void **state)
{
	struct test_admin *t = (struct test_admin *)*state;
	AUTO(json_auto) struct json *before = test_ask(t, "eab.add", "\"realm\":\"fresh\"");
	assert_refused(before, "notFound", "has: default, lab");
	admin_reload(t->admin, test_conf(T_CONF "  other:\n    lifetime: 1d\n"));
	AUTO(json_auto) struct json *same = test_ask(t, "eab.add", "\"realm\":\"lab\"");
	assert_true(test_bool(same, "ok"));
	admin_reload(t->admin, test_conf("realm:\n  fresh:\n    names: [\"*\"]\n"));
	AUTO(json_auto) struct json *after = test_ask(t, "eab.add", "\"realm\":\"fresh\"");
	assert_true(test_bool(after, "ok"));
	AUTO(json_auto) struct json *gone = test_ask(t, "eab.add", "\"realm\":\"lab\"");
	assert_refused(gone, "notFound", "has: fresh");
}

/* --- list and show --------------------------------------------------------------------------------------------------*/
static void a_list_comes_in_pages_and_by_realm(void **state)
{
	struct test_admin *t = (struct test_admin *)*state;
	AUTO(arena_done) struct arena mem = { 0 };
	for (int i = 0; i < 45; i++)
		json_free(test_ask(
			t, "eab.add",
			str_fmt(&mem, "\"realm\":\"%s\",\"kid\":\"k%02d\"", i % 9 == 0 ? "default" : "lab", i).p));
	static const struct {
		const char *realm;
		size_t want, pages;
	} rows[] = { { "", 45, 3 },
		     { "\"realm\":\"lab\"", 40, 2 },
		     { "\"realm\":\"default\"", 5, 1 },
		     { "\"realm\":\"nope\"", 0, 1 } };
	for (size_t r = 0; r < ARRAY_LEN(rows); r++) {
		struct str after = STR_NONE;
		struct str last = STR_NONE;
		size_t seen = 0;
		size_t pages = 0;
		do {
			AUTO(json_auto)
			struct json *page = test_ask(t, "eab.list",
						     str_fmt(&mem, "%s%s\"after\":\"%.*s\"", rows[r].realm,
							     rows[r].realm[0] == '\0' ? "" : ",", STR_FMT(after))
							     .p);
			const struct json *keys = json_get(page, "keys");
			for (size_t i = 0; i < json_count(keys); i++, seen++) {
				struct str kid = str_dup(&mem, test_str(json_at(keys, i), "kid"));
				assert_true(last.n == 0 || memcmp(last.p, kid.p, 3) < 0);
				last = kid;
			}
			after = str_dup(&mem, test_str(page, "after"));
			pages++;
		} while (after.n > 0 && pages < 10);
		assert_int_equal(seen, rows[r].want);
		assert_int_equal(pages, rows[r].pages);
	}
}

static void assert_status(struct test_admin *t, const char *kid, const char *want)
{
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(json_auto) struct json *key = test_ask(t, "eab.show", str_fmt(&mem, "\"kid\":\"%s\"", kid).p);
	ASSERT_STR(test_str(key, "status"), want);
}

static fallible use_key(struct store_tx *tx, void *ctx, struct err *err)
{
	return eab_use(tx, str_z(ctx), T_START, err);
}

static void the_status_says_why_a_key_is_of_no_use(void **state)
{
	struct test_admin *t = (struct test_admin *)*state;
	struct err err = { 0 };
	char used[] = "used";
	json_free(test_ask(t, "eab.add", "\"realm\":\"lab\",\"kid\":\"used\",\"uses\":1"));
	json_free(test_ask(t, "eab.add", "\"realm\":\"lab\",\"kid\":\"old\",\"expires\":\"1h\""));
	json_free(test_ask(t, "eab.add", "\"realm\":\"lab\",\"kid\":\"off\""));
	assert_status(t, "used", "active");
	MUST(store_tx(t->store, use_key, used, &err));
	assert_status(t, "used", "used up");
	assert_status(t, "old", "active");
	t->now = T_START + 3600000;
	assert_status(t, "old", "expired");
	assert_status(t, "off", "active");
	json_free(test_ask(t, "eab.disable", "\"kid\":\"off\""));
	assert_status(t, "off", "disabled");
}

/* --- disable --------------------------------------------------------------------------------------------------------*/
static void disabling_twice_is_fine_and_audited_once(void **state)
{
	struct test_admin *t = (struct test_admin *)*state;
	json_free(test_ask(t, "eab.add", "\"realm\":\"lab\",\"kid\":\"k\""));
	AUTO(json_auto) struct json *one = test_ask(t, "eab.disable", "\"kid\":\"k\"");
	AUTO(json_auto) struct json *two = test_ask(t, "eab.disable", "\"kid\":\"k\"");
	assert_true(test_bool(one, "ok"));
	assert_false(test_bool(one, "wasDisabled"));
	assert_true(test_bool(two, "wasDisabled"));
	assert_int_equal(count_sql(t, "SELECT count(*) FROM audit WHERE event = 'external account key disabled'"), 1);
}

static void accounts_are_revoked_only_when_asked_and_only_its_own(void **state)
{
	struct test_admin *t = (struct test_admin *)*state;
	json_free(test_ask(t, "eab.add", "\"realm\":\"lab\",\"kid\":\"k\""));
	json_free(test_ask(t, "eab.add", "\"realm\":\"lab\",\"kid\":\"other\""));
	make_accounts(t, "k", 0, 250);
	make_accounts(t, "other", 1000, 3);
	make_accounts(t, "", 2000, 2);
	AUTO(json_auto) struct json *shown = test_ask(t, "eab.show", "\"kid\":\"k\"");
	assert_int_equal(json_count(json_get(shown, "accounts")), 100);
	assert_true(test_bool(shown, "moreAccounts"));
	AUTO(json_auto) struct json *only = test_ask(t, "eab.disable", "\"kid\":\"k\"");
	assert_int_equal(test_i64(only, "revoked"), 0);
	assert_int_equal(count_sql(t, "SELECT count(*) FROM accounts WHERE status = 'valid'"), 255);

	AUTO(json_auto) struct json *all = test_ask(t, "eab.disable", "\"kid\":\"k\",\"accounts\":true");
	assert_int_equal(test_i64(all, "revoked"), 250);
	assert_false(test_bool(all, "more"));
	assert_int_equal(count_sql(t, "SELECT count(*) FROM accounts WHERE status = 'revoked' AND eab_kid = 'k'"), 250);
	assert_int_equal(count_sql(t, "SELECT count(*) FROM accounts WHERE status = 'valid'"), 5);
	assert_int_equal(count_sql(t, "SELECT count(*) FROM audit WHERE event = 'account revoked' AND detail = "
				      "'{\"eabKid\":\"k\"}' AND object LIKE 'account:________-%'"),
			 250);
	AUTO(json_auto) struct json *again = test_ask(t, "eab.disable", "\"kid\":\"k\",\"accounts\":true");
	assert_int_equal(test_i64(again, "revoked"), 0);
	AUTO(json_auto) struct json *empty = test_ask(t, "eab.show", "\"kid\":\"k\"");
	assert_int_equal(json_count(json_get(empty, "accounts")), 0);
}

/* --- kill -9 --------------------------------------------------------------------------------------------------------*/
#ifdef CAIRN_FAILPOINTS
/* A process of its own with the store, killed at this place of this request. */
static void kill_at(struct test_admin *t, const char *place, const char *op, const char *members)
{
	AUTO(arena_done) struct arena mem = { 0 };
	int status = 0;
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		test_open(t);
		(void)setenv("CAIRN_FP", str_fmt(&mem, "%s:1:kill", place).p, 1);
		json_free(test_ask(t, op, members));
		_exit(1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
		fail_msg("%s: found status %d, wanted the kill", place, status);
}

static void a_kill_leaves_a_key_with_its_audit_row_or_neither(void **state)
{
	struct test_admin *t = (struct test_admin *)*state;
	static const struct {
		const char *place;
		int64_t want;
	} rows[] = { { "admin.eab_sealed", 0 }, { "admin.eab_stored", 1 } };
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		kill_at(t, rows[i].place, "eab.add", "\"realm\":\"lab\",\"kid\":\"k\"");
		test_open(t);
		assert_int_equal(count_sql(t, "SELECT count(*) FROM eab_keys"), rows[i].want);
		assert_int_equal(count_sql(t, "SELECT count(*) FROM audit"), rows[i].want);
		test_close(t);
	}
}

static void a_killed_disable_is_finished_by_the_next(void **state)
{
	struct test_admin *t = (struct test_admin *)*state;
	test_open(t);
	json_free(test_ask(t, "eab.add", "\"realm\":\"lab\",\"kid\":\"k\""));
	make_accounts(t, "k", 0, 5);
	test_close(t);
	kill_at(t, "admin.eab_disabled", "eab.disable", "\"kid\":\"k\",\"accounts\":true");
	test_open(t);
	assert_int_equal(count_sql(t, "SELECT count(*) FROM eab_keys WHERE disabled_at != 0"), 1);
	assert_int_equal(count_sql(t, "SELECT count(*) FROM accounts WHERE status = 'valid'"), 5);
	AUTO(json_auto) struct json *rest = test_ask(t, "eab.disable", "\"kid\":\"k\",\"accounts\":true");
	assert_true(test_bool(rest, "wasDisabled"));
	assert_int_equal(test_i64(rest, "revoked"), 5);
}
#endif

#define WITH(test) cmocka_unit_test_setup_teardown(test, setup_admin, teardown_admin)
#define WITH_FOLDER(test) cmocka_unit_test_setup_teardown(test, setup_folder, teardown_admin)
int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(what_is_no_request_is_refused_in_words),
		WITH(a_key_is_shown_once_and_lies_sealed),
		WITH(the_secret_is_in_no_file_and_no_later_answer),
		WITH(a_kid_is_given_once),
		WITH(no_secret_begins_like_an_option),
		WITH(a_reload_changes_what_may_be_asked_for),
		WITH(a_list_comes_in_pages_and_by_realm),
		WITH(the_status_says_why_a_key_is_of_no_use),
		WITH(disabling_twice_is_fine_and_audited_once),
		WITH(accounts_are_revoked_only_when_asked_and_only_its_own),
#ifdef CAIRN_FAILPOINTS
		WITH_FOLDER(a_kill_leaves_a_key_with_its_audit_row_or_neither),
		WITH_FOLDER(a_killed_disable_is_finished_by_the_next),
#endif
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

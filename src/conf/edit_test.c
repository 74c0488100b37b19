/* SPDX-License-Identifier: Apache-2.0
 *
 * edit_test.c: one setting changed in a text, and nothing else.
 */
#include "conf/internal.h"
#include "unit.h"

struct row {
	const char *before, *key, *value, *after; /* after NULL: refused */
};

static void one_setting_changes_and_nothing_else(void **state)
{
	static const struct row rows[] = {
		/* a setting that is there, its comments kept */
		{ "# mine\nrealm:\n  default:\n    # who signs\n    issuers: default # the first\n    names: "
		  "[a.test]\nissuer:\n"
		  "  default:\n  rsa:\n",
		  "realm.default.issuers", "[rsa, default]",
		  "# mine\nrealm:\n  default:\n    # who signs\n    issuers: [rsa, default]\n    names: "
		  "[a.test]\nissuer:\n"
		  "  default:\n  rsa:\n" },
		/* a commented default */
		{ "realm:\n  default:\n    names: [a.test]\n    # who signs\n    #issuers: default\n\nzone:\n  "
		  "default:\n",
		  "realm.default.issuers", "default",
		  "realm:\n  default:\n    names: [a.test]\n    # who signs\n    issuers: default\n\nzone:\n  "
		  "default:\n" },
		/* an entry without it */
		{ "realm:\n  default:\n    names: [a.test]\n", "realm.default.website", "https://a.test",
		  "realm:\n  default:\n    website: https://a.test\n    names: [a.test]\n" },
		/* a section without the entry */
		{ "issuer:\n  default:\n    key: k\n", "issuer.rsa.key", "issuer/rsa.key",
		  "issuer:\n  rsa:\n    key: issuer/rsa.key\n  default:\n    key: k\n" },
		/* the same leaf elsewhere */
		{ "issuer:\n  a:\n    key: 1\n  b:\n    key: 2\nrealm:\n  default:\n    issuers: [a, b]\n",
		  "issuer.b.key", "3",
		  "issuer:\n  a:\n    key: 1\n  b:\n    key: 3\nrealm:\n  default:\n    issuers: [a, b]\n" },
		/* without a newline at the end */
		{ "realm:\n  default:\n    names: [a.test]", "realm.default.names", "[b.test]",
		  "realm:\n  default:\n    names: [b.test]\n" },
		/* an entry whose name begins like it */
		{ "issuer:\n  rsa2:\n    key: 1\n  rsa:\n    key: 2\nrealm:\n  default:\n    issuers: rsa\n",
		  "issuer.rsa.key", "3",
		  "issuer:\n  rsa2:\n    key: 1\n  rsa:\n    key: 3\nrealm:\n  default:\n    issuers: rsa\n" },
		/* what a program does not understand stays as it is */
		{ "realm: { default: { names: [a.test] } }\n", "realm.default.names", "[b.test]", NULL },
		{ "realm:\n  default:\n    names:\n      - a.test\n      - b.test\n", "realm.default.names", "[c.test]",
		  NULL },
		{ "realm:\n    default:\n        names: [a.test]\n", "realm.default.names", "[b.test]", NULL },
		/* the implied entry would be gone */
		{ "realm:\n  default:\n    names: [a.test]\n", "issuer.rsa.key", "k", NULL },
		/* a wrong value */
		{ "realm:\n  default:\n    names: [a.test]\n", "realm.default.issuers", "[nobody]", NULL },
		{ "realm:\n  default:\n    names: [a.test]\n", "realm.default.colour", "red", NULL },
		{ "realm:\n  default:\n    names: [a.test]\n", "realm.default.names", "[b.test]\n    eab: required",
		  NULL },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct row *r = &rows[i];
		AUTO(buf_done) struct buf got = BUF_MAX(4096);
		struct err err = { 0 };
		struct rc rc =
			conf_edit(str_z(r->before), STR("cairn.conf"), str_z(r->key), str_z(r->value), &got, &err);
		if (r->after == NULL) {
			if (rc.kind != ERR_CONFIG || strstr(err.detail, "by hand") == NULL || got.n != 0)
				fail_msg("row %zu: found \"%s\" (%s), wanted a refusal", i, got.p, err.detail);
			continue;
		}
		if (FAILED(rc))
			fail_msg("row %zu: %s", i, err.detail);
		if (!str_eq(buf_str(&got), str_z(r->after)))
			fail_msg("row %zu: found\n%.*s\nwanted\n%s", i, STR_FMT(buf_str(&got)), r->after);
	}
}

static void what_init_writes_can_be_edited(void **state)
{
	static const char *const values[] = { "realm.default.names", "a.test", NULL };
	static const struct {
		const char *key, *value;
	} edits[] = {
		{ "issuer.rsa.certificate", "issuer/rsa.pem" },
		{ "issuer.rsa.key", "issuer/rsa.key" },
		{ "realm.default.issuers", "[default, rsa]" },
		{ "realm.default.issuers", "[rsa]" },
		{ "zone.default.attempts", "1" },
	};
	AUTO(buf_done) struct buf text = BUF_MAX(512 * 1024);
	struct err err = { 0 };
	(void)state;
	MUST(conf_write_example(values, &text, &err));
	for (size_t i = 0; i < ARRAY_LEN(edits); i++) {
		AUTO(buf_done) struct buf next = BUF_MAX(512 * 1024);
		MUST(conf_edit(buf_str(&text), STR("cairn.conf"), str_z(edits[i].key), str_z(edits[i].value), &next,
			       &err));
		buf_reset(&text);
		MUST(buf_add(&text, buf_str(&next), &err));
	}
	struct conf *c;
	MUST(conf_read_text(buf_str(&text), "cairn.conf", conf_env_none, NULL, &c, &err));
	assert_int_equal(c->issuer_count, 2);
	assert_int_equal(conf_realm(c, STR("default"))->issuers.n, 1);
	assert_true(str_eq(conf_issuer(c, STR("rsa"))->key, STR("issuer/rsa.key")));
	assert_int_equal(conf_zone(c, STR("default"))->attempts, 1);
	conf_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_setting_changes_and_nothing_else),
		cmocka_unit_test(what_init_writes_can_be_edited),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

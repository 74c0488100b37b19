/* SPDX-License-Identifier: Apache-2.0
 *
 * schema_test.c: every row is whole, and the text that is made from the rows reads back as the rows say.
 */
#include "conf/internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void every_row_has_help_and_a_default(void **state)
{
	(void)state;
	size_t count = 0;
	const struct conf_row *rows = conf_schema(&count);
	assert_true(count > 40);
	for (size_t i = 0; i < count; i++) {
		struct str help = str_z(rows[i].help);
		assert_non_null(rows[i].deflt);
		assert_true(help.n > 10);
		if (help.p[help.n - 1] != '.')
			fail_msg("%s: help is no sentence", rows[i].key);
		assert_true(rows[i].min <= rows[i].max || rows[i].kind == CONF_STR);
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(rows[i].key, rows[j].key);
	}
}

/* The values of two configurations, setting by setting. */
static void assert_same_settings(const struct conf *a, const struct conf *b)
{
	assert_int_equal(a->setting_count, b->setting_count);
	for (size_t i = 0; i < a->setting_count; i++) {
		assert_true(str_eq(a->settings[i].key, b->settings[i].key));
		if (!str_eq(a->settings[i].text, b->settings[i].text))
			fail_msg("%.*s: %.*s is not %.*s", STR_FMT(a->settings[i].key), STR_FMT(a->settings[i].text),
				 STR_FMT(b->settings[i].text));
	}
}

static struct conf *read_text(struct str text)
{
	struct conf *c = NULL;
	struct err err = { 0 };
	if (FAILED(conf_read_text(text, "/etc/c", conf_env_none, NULL, &c, &err)))
		fail_msg("%s", err.detail);
	return c;
}

/* Settings are commented out as "#key: value" and words as "# words". */
static struct str uncomment(struct arena *mem, struct str text)
{
	char *out = ARENA_ARRAY(mem, char, text.n + 1);
	size_t n = 0;
	for (size_t i = 0; i < text.n; i++) {
		bool setting = text.p[i] == '#' && i + 1 < text.n && text.p[i + 1] >= 'a' && text.p[i + 1] <= 'z' &&
			       (i == 0 || text.p[i - 1] == ' ' || text.p[i - 1] == '\n');
		if (!setting)
			out[n++] = text.p[i];
	}
	return str_n(out, n);
}

static void the_example_is_the_defaults_commented_or_not(void **state)
{
	(void)state;
	AUTO(buf_done) struct buf text = BUF_MAX(65536);
	AUTO(arena_done) struct arena mem = { 0 };
	struct err err = { 0 };
	assert_false(FAILED(conf_write_example(NULL, &text, &err)));
	struct conf *empty = read_text(STR(""));
	struct conf *commented = read_text(buf_str(&text));
	struct conf *open = read_text(uncomment(&mem, buf_str(&text)));
	assert_same_settings(empty, commented);
	assert_same_settings(empty, open);
	for (size_t i = 0; i < open->setting_count; i++) {
		struct str key = open->settings[i].key;
		bool written = !str_starts(key, STR("profile.")) || str_starts(key, STR("profile.server."));
		assert_int_equal(open->settings[i].where.source, written ? CONF_FROM_FILE : CONF_FROM_DEFAULT);
		assert_int_equal(commented->settings[i].where.source, CONF_FROM_DEFAULT);
	}
	conf_free(empty);
	conf_free(commented);
	conf_free(open);
}

static void the_example_takes_values(void **state)
{
	(void)state;
	static const char *const values[] = { "api.listen",
					      "127.0.0.1:1, [::1]:2",
					      "realm.corp.names",
					      "*.corp.example",
					      "realm.corp.website",
					      "https://a.example/\"x\\",
					      "zone.default.names",
					      "a.example=192.0.2.1,a.example=::1,b.example=192.0.2.2",
					      "realm.more.names",
					      "",
					      NULL };
	AUTO(buf_done) struct buf text = BUF_MAX(65536);
	struct err err = { 0 };
	assert_false(FAILED(conf_write_example(values, &text, &err)));
	struct conf *c = NULL;
	/* The odd URL is there for the quoting; the URL reader may refuse it. */
	if (FAILED(conf_read_text(buf_str(&text), "/etc/c", conf_env_none, NULL, &c, &err))) {
		assert_non_null(strstr(err.detail, "realm.corp.website: found \"https://a.example/\"x\\\"; allowed"));
	} else {
		assert_true(str_eq(conf_realm(c, STR("corp"))->website, STR("https://a.example/\"x\\")));
		conf_free(c);
	}
	static const char *const plain[] = { "api.listen",
					     "127.0.0.1:1, [::1]:2",
					     "realm.corp.names",
					     "*.corp.example",
					     "zone.default.names",
					     "a.example=192.0.2.1,a.example=::1,b.example=192.0.2.2",
					     "realm.more.names",
					     "",
					     NULL };
	buf_reset(&text);
	assert_false(FAILED(conf_write_example(plain, &text, &err)));
	c = read_text(buf_str(&text));
	assert_int_equal(c->realm_count, 2);
	assert_int_equal(c->api.listen.n, 2);
	assert_int_equal(c->zones[0].name_count, 2);
	assert_int_equal(c->zones[0].names[0].addrs.n, 2);
	assert_true(str_eq(c->realms[0].names.v[0], STR("*.corp.example")));
	conf_free(c);
}

static void the_manual_names_every_row(void **state)
{
	(void)state;
	AUTO(buf_done) struct buf text = BUF_MAX(65536);
	struct err err = { 0 };
	assert_false(FAILED(conf_write_man(&text, &err)));
	assert_false(FAILED(buf_add_char(&text, '\0', &err)));
	size_t count = 0;
	const struct conf_row *rows = conf_schema(&count);
	for (size_t i = 0; i < count; i++) {
		AUTO(arena_done) struct arena mem = { 0 };
		struct str item = str_fmt(&mem, "\n.It Ic %s\n", rows[i].key);
		assert_non_null(strstr(text.p, str_dupz_raw(&mem, item)));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_row_has_help_and_a_default),
		cmocka_unit_test(the_example_is_the_defaults_commented_or_not),
		cmocka_unit_test(the_example_takes_values),
		cmocka_unit_test(the_manual_names_every_row),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

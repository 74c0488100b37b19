/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_conf.c: what is refused is refused as a configuration error that names the file; what is taken can be written as
 * a commented file and read back to the same settings.
 */
#include "conf/conf.h"
#include "fuzz.h"

/* "key", "value", ..., NULL of all settings; NULL when a value is not ASCII, which the writer leaves to YAML's rules.
 */
static const char **values_of(struct arena *mem, const struct conf *c)
{
	const char **values = ARENA_ARRAY(mem, const char *, c->setting_count * 2 + 1);
	for (size_t i = 0; i < c->setting_count; i++) {
		const struct conf_setting *s = &c->settings[i];
		for (size_t j = 0; j < s->text.n; j++) {
			if ((unsigned char)s->text.p[j] >= 0x80)
				return NULL;
		}
		values[i * 2] = str_dupz_raw(mem, s->key);
		values[i * 2 + 1] = str_dupz_raw(mem, s->text);
	}
	return values;
}

static void check_same(const struct conf *a, const struct conf *b)
{
	CHECK(a->setting_count == b->setting_count);
	for (size_t i = 0; i < a->setting_count; i++) {
		CHECK(str_eq(a->settings[i].key, b->settings[i].key));
		CHECK(str_eq(a->settings[i].text, b->settings[i].text));
	}
	CHECK(conf_needs_restart(a, b) == NULL);
}

static void check_written(const struct conf *c)
{
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(buf_done) struct buf text = BUF_MAX(8 * 1024 * 1024);
	struct err err = { 0 };
	const char **values = values_of(&mem, c);
	/* The writer's own limits: a text it can write and the reader can read. */
	if (values == NULL || FAILED(conf_write_example(values, &text, &err)) || text.n > 1024 * 1024)
		return;
	struct conf *again = NULL;
	if (FAILED(conf_read_text(buf_str(&text), "/f", conf_env_none, NULL, &again, &err))) {
		(void)fprintf(stderr, "%s\n", err.detail);
		CHECK(again != NULL);
	}
	check_same(c, again);
	conf_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err err = { 0 };
	struct conf *c = NULL;
	struct rc rc = conf_read_text(str_n(data, size), "/f", conf_env_none, NULL, &c, &err);
	check_err(rc, &err);
	if (FAILED(rc)) {
		CHECK(rc.kind == ERR_CONFIG && c == NULL);
		CHECK(str_starts(str_z(err.detail), STR("/f:")));
		return 0;
	}
	AUTO(buf_done) struct buf warnings = BUF_MAX(8 * 1024 * 1024);
	CHECK(!FAILED(conf_warnings(c, &warnings, &err)));
	check_written(c);
	conf_free(c);
	return 0;
}

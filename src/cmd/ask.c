/* SPDX-License-Identifier: Apache-2.0
 *
 * ask.c: one request to the running API and its answer, for the operator's commands.
 */
#include "cmd/ask.h"

#include <stdio.h>

#define WAIT_MS 60000

struct jw ask_begin(struct buf *text, const char *op, struct err *err)
{
	struct jw w = jw_begin(text, err);
	jw_object(&w);
	jw_ki64(&w, "v", ADMIN_VERSION);
	jw_kz(&w, "do", op);
	return w;
}

fallible ask(const char *conf_flag, struct jw *w, struct json **ret, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct conf *conf = NULL;
	jw_object_end(w);
	TRY(jw_end(w));
	TRY(conf_read(cmd_conf_path(conf_flag), conf_env_system, NULL, &conf, err));
	struct rc rc = admin_call(conf_path(conf, &mem, conf->api.admin_socket), buf_str(w->out), WAIT_MS, ret, err);
	conf_free(conf);
	return rc;
}

void ask_write_list(struct jw *w, const char *key, const struct conf_list *l)
{
	if (l->n == 0)
		return;
	jw_key(w, key);
	jw_array(w);
	for (size_t i = 0; i < l->n; i++)
		jw_str(w, l->v[i]);
	jw_array_end(w);
}

struct str ask_text(const struct json *o, const char *key)
{
	struct str s = STR_NONE;
	(void)json_as_str(json_get(o, key), &s);
	return s;
}

int64_t ask_number(const struct json *o, const char *key)
{
	int64_t i = 0;
	(void)json_as_i64(json_get(o, key), &i);
	return i;
}

bool ask_flag(const struct json *o, const char *key)
{
	bool b = false;
	(void)json_as_bool(json_get(o, key), &b);
	return b;
}

static void copy_list(struct jw *w, const struct json *list)
{
	jw_array(w);
	for (size_t i = 0; i < json_count(list); i++) {
		struct str s = STR_NONE;
		(void)json_as_str(json_at(list, i), &s);
		jw_str(w, s);
	}
	jw_array_end(w);
}

void ask_copy(struct jw *w, const struct json *from, const char *const *keys)
{
	for (; *keys != NULL; keys++) {
		const struct json *v = json_get(from, *keys);
		enum json_type type = json_type(v);
		if (type == JSON_ABSENT)
			continue;
		jw_key(w, *keys);
		if (type == JSON_STRING)
			jw_str(w, ask_text(from, *keys));
		else if (type == JSON_INTEGER)
			jw_i64(w, ask_number(from, *keys));
		else if (type == JSON_BOOL)
			jw_bool(w, ask_flag(from, *keys));
		else
			copy_list(w, v);
	}
}

fallible ask_print_json(const struct json *answer, const char *const *members, struct err *err)
{
	AUTO(buf_done) struct buf text = BUF_MAX(2 * ADMIN_ANSWER_MAX);
	struct jw w = jw_begin(&text, err);
	jw_object(&w);
	ask_copy(&w, answer, members);
	jw_object_end(&w);
	TRY(jw_end(&w));
	(void)fwrite(text.p, 1, text.n, stdout);
	(void)putchar('\n');
	return OK;
}

void ask_print_line(const char *what, struct str value, const char *otherwise)
{
	if (value.n > 0)
		(void)printf("  %-10s %.*s\n", what, STR_FMT(value));
	else if (otherwise != NULL)
		(void)printf("  %-10s %s\n", what, otherwise);
}

void ask_print_list(const char *what, const struct json *list, const char *otherwise)
{
	struct str s = STR_NONE;
	if (json_count(list) == 0)
		ask_print_line(what, STR_NONE, otherwise);
	for (size_t i = 0; i < json_count(list); i++) {
		(void)json_as_str(json_at(list, i), &s);
		ask_print_line(i == 0 ? what : "", s, NULL);
	}
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * read.c: file, environment and defaults become one struct conf. First the file's tree is held against the schema, so
 * that every key in it is known; then every row takes its value from the environment, the file or its default.
 */
#include "conf/check.h"
#include "conf/value.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUILT_IN_MAX 8 /* entries of a section that no file writes */

struct reader {
	struct conf *c;
	const char *name;
	const char *(*env)(void *ctx, const char *name);
	void *env_ctx;
	const struct node *top;
	size_t capacity; /* of c->settings */
};

const char *conf_env_system(void *ctx, const char *name)
{
	(void)ctx;
	return getenv(name);
}

const char *conf_env_none(void *ctx, const char *name)
{
	(void)ctx;
	(void)name;
	return NULL;
}

static struct conf_where where_key(const struct node *n)
{
	return (struct conf_where){ .source = CONF_FROM_FILE, .line = n->key_line, .col = n->key_col };
}

/* --- keys --- */

/* What may stand below a prefix ("", "api.", "realm.*."), one after the other; *at starts at 0. */
static bool next_key(struct str prefix, size_t *at, struct str *ret)
{
	size_t count = 0;
	const struct conf_row *rows = conf_schema(&count);
	for (; *at < count; (*at)++) {
		struct str rest = str_z(rows[*at].key);
		if (!str_skip(&rest, prefix))
			continue;
		*ret = str_sub(rest, 0, str_find(rest, '.', 0));
		(*at)++;
		return true;
	}
	return false;
}

static bool key_is_known(struct str prefix, struct str key)
{
	struct str known = STR_NONE;
	for (size_t at = 0; next_key(prefix, &at, &known);) {
		if (str_eq(known, key))
			return true;
	}
	return false;
}

/* Levenshtein's distance; words longer than this are no typing mistakes. */
#define WORD_MAX 32
static size_t distance(struct str a, struct str b)
{
	if (a.n > WORD_MAX || b.n > WORD_MAX)
		return SIZE_MAX;
	size_t row[WORD_MAX + 1];
	for (size_t j = 0; j <= b.n; j++)
		row[j] = j;
	for (size_t i = 1; i <= a.n; i++) {
		size_t corner = row[0];
		row[0] = i;
		for (size_t j = 1; j <= b.n; j++) {
			size_t best = corner + (a.p[i - 1] == b.p[j - 1] ? 0 : 1);
			corner = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[b.n];
}

/* The known key that is spelled most like this one; empty when none is close. */
static struct str nearest_key(struct str prefix, struct str key)
{
	struct str best = STR_NONE;
	size_t least = key.n < 6 ? 3 : 4;
	struct str known = STR_NONE;
	if (str_eq(key, STR("eku-client")) && key_is_known(prefix, STR("use"))) /* of before there was "use" */
		return STR("use");
	for (size_t at = 0; next_key(prefix, &at, &known);) {
		size_t d = distance(key, known);
		if (d < least && d < known.n) {
			least = d;
			best = known;
		}
	}
	return best;
}

/* shown: the full key as the file has it; path: the same without the last part, with its dot. */
static fallible refuse_unknown(const struct reader *r, const struct node *n, struct str prefix, struct str path,
			       struct err *err)
{
	struct str near = nearest_key(prefix, n->key);
	struct conf_where at = where_key(n);
	AUTO(arena_done) struct arena mem = { 0 };
	struct str shown = str_sub(n->key, 0, WORD_MAX);
	struct str place = conf_place(&mem, r->name, &at, str_fmt(&mem, "%.*s%.*s", STR_FMT(path), STR_FMT(shown)));
	if (near.n > 0)
		FAIL(err, ERR_CONFIG, "%.*sfound an unknown setting; did you mean %.*s%.*s?", STR_FMT(place),
		     STR_FMT(path), STR_FMT(near));
	struct str all = STR_NONE;
	struct str last = STR_NONE;
	struct str known = STR_NONE;
	for (size_t i = 0; next_key(prefix, &i, &known);) {
		if (!str_eq(known, last))
			all = str_fmt(&mem, "%.*s%s%.*s", STR_FMT(all), all.n == 0 ? "" : ", ", STR_FMT(known));
		last = known;
	}
	FAIL(err, ERR_CONFIG, "%.*sfound an unknown setting; allowed: %.*s", STR_FMT(place), STR_FMT(all));
}

/* Every key below this map is one that the schema has below the prefix. */
static fallible check_keys(const struct reader *r, const struct node *map, struct str prefix, struct str path,
			   struct err *err)
{
	for (const struct node *n = map->first; n != NULL; n = n->next) {
		if (!key_is_known(prefix, n->key))
			return refuse_unknown(r, n, prefix, path, err);
	}
	return OK;
}

static fallible require_map(const struct reader *r, const struct node *n, struct str key, struct err *err)
{
	if (n->kind == NODE_MAP || (n->kind == NODE_SCALAR && n->absent))
		return OK;
	struct conf_where at = { .source = CONF_FROM_FILE, .line = n->line, .col = n->col };
	return conf_refuse(r->name, &at, key, n->kind == NODE_LIST ? STR("[...]") : n->text, err, "settings below it");
}

static bool entry_name_ok(struct str name)
{
	if (name.n == 0 || name.n > CONF_NAME_MAX)
		return false;
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];
		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-')
			return false;
	}
	return true;
}

static fallible check_entries(const struct reader *r, const struct node *section, const struct conf_section *s,
			      struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	for (const struct node *entry = section->first; entry != NULL; entry = entry->next) {
		struct conf_where at = where_key(entry);
		if (!entry_name_ok(entry->key))
			return conf_refuse(r->name, &at, str_z(s->name), entry->key, err,
					   "names of 1 to 64 characters from a-z, 0-9 and -");
		struct str key = str_fmt(&mem, "%s.%.*s", s->name, STR_FMT(entry->key));
		TRY(require_map(r, entry, key, err));
		TRY(check_keys(r, entry, str_z(s->prefix), str_fmt(&mem, "%.*s.", STR_FMT(key)), err));
	}
	return OK;
}

static const struct conf_section *section_named(struct str name)
{
	size_t count = 0;
	const struct conf_section *sections = conf_sections(&count);
	for (size_t i = 0; i < count; i++) {
		if (str_eq(str_z(sections[i].name), name))
			return &sections[i];
	}
	return NULL;
}

static bool key_is_setting(struct str key)
{
	size_t count = 0;
	const struct conf_row *rows = conf_schema(&count);
	for (size_t i = 0; i < count; i++) {
		if (str_eq(str_z(rows[i].key), key))
			return true;
	}
	return false;
}

static fallible check_tree(const struct reader *r, struct err *err)
{
	TRY(check_keys(r, r->top, STR_NONE, STR_NONE, err));
	AUTO(arena_done) struct arena mem = { 0 };
	for (const struct node *n = r->top->first; n != NULL; n = n->next) {
		if (key_is_setting(n->key))
			continue;
		TRY(require_map(r, n, n->key, err));
		const struct conf_section *s = section_named(n->key);
		if (s != NULL) {
			TRY(check_entries(r, n, s, err));
			continue;
		}
		struct str path = str_fmt(&mem, "%.*s.", STR_FMT(n->key));
		TRY(check_keys(r, n, path, path, err));
	}
	return OK;
}

/* --- values --- */

/* The first of the row's variables that is set; an empty one counts as not set, because that is how shells unset. */
static const char *env_value(const struct reader *r, struct arena *mem, const struct conf_row *row,
			     const char **ret_name)
{
	struct conf_list names = { 0 };
	if (row->env == NULL || FAILED(conf_split(mem, str_z(row->env), &names, NULL)))
		return NULL;
	for (size_t i = 0; i < names.n; i++) {
		const char *name = str_dupz_raw(mem, names.v[i]);
		const char *text = r->env(r->env_ctx, name);
		if (text != NULL && text[0] != '\0') {
			*ret_name = name;
			return text;
		}
	}
	return NULL;
}

static fallible value_of_env(struct value *v, const char *text, const char *name, struct err *err)
{
	v->where = (struct conf_where){ .source = CONF_FROM_ENV, .env = name };
	v->kind = VALUE_TEXT;
	v->text = str_z(text);
	if (v->text.n > CONF_TEXT_MAX)
		return conf_refuse(v->name, &v->where, v->key, v->text, err, "at most 4096 bytes");
	for (size_t i = 0; i < v->text.n; i++) {
		unsigned char c = (unsigned char)text[i];
		if (c < 0x20 || c == 0x7f)
			return conf_refuse(v->name, &v->where, v->key, v->text, err, "text without control characters");
	}
	return OK;
}

/* A "key:" with nothing behind it is an empty list or map for those kinds, and an empty text for the others. */
static void value_of_node(struct value *v, const struct node *n)
{
	v->where = (struct conf_where){ .source = CONF_FROM_FILE, .line = n->line, .col = n->col };
	if (n->absent)
		v->where = where_key(n); /* libyaml puts the absent value's mark somewhere behind */
	v->node = n;
	v->kind = n->kind == NODE_LIST ? VALUE_LIST : n->kind == NODE_MAP ? VALUE_MAP : VALUE_TEXT;
	v->text = n->text;
}

/* A "*" in a default path stands for the entry's name. */
static struct str default_text(struct arena *mem, const struct conf_row *row, struct str entry)
{
	struct str text = str_z(profile_default(row, entry));
	size_t star = str_find(text, '*', 0);
	if (entry.n == 0 || star == text.n)
		return text;
	struct str before = str_sub(text, 0, star);
	struct str after = str_sub(text, star + 1, text.n);
	return str_fmt(mem, "%.*s%.*s%.*s", STR_FMT(before), STR_FMT(entry), STR_FMT(after));
}

/* map: where the row's last part would stand; entry: empty for rows without "*". */
static fallible read_row(struct reader *r, const struct conf_row *row, const struct node *map, struct str entry,
			 void *base, struct err *err)
{
	struct conf *c = r->c;
	struct str leaf = conf_row_leaf(row);
	const struct conf_section *s = conf_row_section(row);
	struct value v = { .name = r->name, .row = row, .key = str_z(row->key) };
	if (s != NULL)
		v.key = str_fmt(&c->mem, "%s.%.*s.%.*s", s->name, STR_FMT(entry), STR_FMT(leaf));
	const char *env_name = NULL;
	const char *env = env_value(r, &c->mem, row, &env_name);
	const struct node *node = node_get(map, leaf);
	if (env != NULL) {
		TRY(value_of_env(&v, env, env_name, err));
	} else if (node != NULL) {
		value_of_node(&v, node);
	} else {
		v.where = (struct conf_where){ .source = CONF_FROM_DEFAULT };
		if (map != NULL && s != NULL) {
			v.where.line = map->key_line;
			v.where.col = map->key_col;
		}
		v.text = default_text(&c->mem, row, entry);
	}
	TRY(value_set(&v, &c->mem, base, err));
	if (c->setting_count == r->capacity)
		FAIL(err, ERR_INTERNAL, "more settings than were counted");
	c->settings[c->setting_count++] = (struct conf_setting){ row, v.key, value_show(row, &c->mem, base), v.where };
	return OK;
}

static fallible read_entry(struct reader *r, const struct conf_section *s, const struct node *entry, struct str name,
			   void *base, struct err *err)
{
	memcpy(base, &name, sizeof name); /* the struct's first member */
	size_t count = 0;
	const struct conf_row *rows = conf_schema(&count);
	for (size_t i = 0; i < count; i++) {
		if (conf_row_section(&rows[i]) == s)
			TRY(read_row(r, &rows[i], entry, name, base, err));
	}
	return OK;
}

/* The entries that are there though the file does not write them. */
static size_t entries_unwritten(const struct conf_section *s, const struct node *section,
				struct str ret[static BUILT_IN_MAX])
{
	size_t n = 0;
	if (s->built_in == NULL && s->deflt != NULL && (section == NULL || section->first == NULL))
		ret[n++] = str_z(s->deflt);
	for (size_t i = 0; s->built_in != NULL && s->built_in[i] != NULL && n < BUILT_IN_MAX; i++)
		if (section == NULL || node_get(section, str_z(s->built_in[i])) == NULL)
			ret[n++] = str_z(s->built_in[i]);
	return n;
}

static fallible read_section(struct reader *r, const struct conf_section *s, struct err *err)
{
	struct conf *c = r->c;
	const struct node *section = node_get(r->top, str_z(s->name));
	const struct node *first = section == NULL ? NULL : section->first;
	size_t count = first != NULL ? section->count : 0, at = 0;
	struct str others[BUILT_IN_MAX];
	size_t other_count = entries_unwritten(s, section, others);
	count += other_count;
	char *entries = arena_alloc_n(&c->mem, s->size, count);
	memcpy((char *)c + s->array, &entries, sizeof entries); /* whichever struct it points to */
	memcpy((char *)c + s->count, &count, sizeof count);
	for (const struct node *n = first; n != NULL; n = n->next, at++)
		TRY(read_entry(r, s, n, str_dup(&c->mem, n->key), entries + at * s->size, err));
	for (size_t i = 0; i < other_count; i++, at++)
		TRY(read_entry(r, s, NULL, others[i], entries + at * s->size, err));
	return OK;
}

static fallible read_globals(struct reader *r, struct err *err)
{
	size_t count = 0;
	const struct conf_row *rows = conf_schema(&count);
	for (size_t i = 0; i < count; i++) {
		if (conf_row_section(&rows[i]) != NULL)
			continue;
		struct str key = str_z(rows[i].key);
		size_t dot = str_find(key, '.', 0);
		const struct node *map = dot == key.n ? r->top : node_get(r->top, str_sub(key, 0, dot));
		TRY(read_row(r, &rows[i], map, STR_NONE, r->c, err));
	}
	return OK;
}

static size_t count_settings(const struct node *top)
{
	size_t count = 0;
	(void)conf_schema(&count);
	size_t most = BUILT_IN_MAX;
	size_t n = 0;
	const struct conf_section *sections = conf_sections(&n);
	for (size_t i = 0; i < n; i++) {
		const struct node *s = node_get(top, str_z(sections[i].name));
		if (s != NULL)
			most += s->count;
	}
	return count * most;
}

/* --- files --- */

static fallible absolute(struct arena *mem, struct str base, struct str path, struct str *ret, struct err *err)
{
	if (str_starts(path, STR("/"))) {
		*ret = str_dup(mem, path);
		return OK;
	}
	char cwd[PATH_MAX];
	if (base.n == 0) {
		if (getcwd(cwd, sizeof cwd) == NULL)
			FAIL(err, ERR_IO, "the current folder: %s", strerrordesc_np(errno));
		base = str_z(cwd);
	}
	if (path.n == 0 || str_eq(path, STR(".")))
		*ret = str_dup(mem, base);
	else
		*ret = str_fmt(mem, "%.*s%s%.*s", STR_FMT(base), str_ends(base, STR("/")) ? "" : "/", STR_FMT(path));
	return OK;
}

static struct str folder_of(struct str path)
{
	size_t at = path.n;
	while (at > 1 && path.p[at - 1] != '/')
		at--;
	return at > 1 ? str_sub(path, 0, at - 1) : str_sub(path, 0, 1);
}

static fallible fill(struct reader *r, struct err *err)
{
	struct conf *c = r->c;
	c->name = str_dup(&c->mem, str_z(r->name));
	TRY(absolute(&c->mem, STR_NONE, c->name, &c->file, err));
	TRY(check_tree(r, err));
	r->capacity = count_settings(r->top);
	c->settings = ARENA_ARRAY(&c->mem, struct conf_setting, r->capacity);
	TRY(read_globals(r, err));
	size_t count = 0;
	const struct conf_section *sections = conf_sections(&count);
	for (size_t i = 0; i < count; i++)
		TRY(read_section(r, &sections[i], err));
	TRY(absolute(&c->mem, folder_of(c->file), c->state_dir, &c->state_dir, err));
	return conf_check(c, err);
}

fallible conf_read_text(struct str text, const char *name, const char *(*env)(void *ctx, const char *name),
			void *env_ctx, struct conf **ret, struct err *err)
{
	AUTO(arena_done) struct arena tree = { 0 };
	struct node *top = NULL;
	TRY(node_read(&tree, text, name, &top, err));
	struct conf *c = mem_alloc(sizeof *c);
	struct reader r = { .c = c, .name = name, .env = env, .env_ctx = env_ctx, .top = top };
	struct rc rc = fill(&r, err);
	if (FAILED(rc)) {
		conf_free(c);
		return rc;
	}
	*ret = c;
	return OK;
}

/* Whoever can write the configuration can make the CA issue anything (THREATS A87). */
static fallible check_mode(const char *path, struct err *err)
{
	struct stat st;
	if (stat(path, &st) != 0)
		FAIL(err, ERR_CONFIG, "%s: %s; make one with: cairn init, or name another with -c FILE", path,
		     strerrordesc_np(errno));
	if (!S_ISREG(st.st_mode))
		FAIL(err, ERR_CONFIG, "%s: found something that is no file; allowed: a configuration file", path);
	if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
		FAIL(err, ERR_CONFIG, "%s: found mode %04o, which lets others change it; mend it with: chmod go-w %s",
		     path, (unsigned)(st.st_mode & 07777), path);
	return OK;
}

fallible conf_read(const char *path, const char *(*env)(void *ctx, const char *name), void *env_ctx, struct conf **ret,
		   struct err *err)
{
	TRY(check_mode(path, err));
	AUTO(buf_done) struct buf text = BUF_MAX(CONF_FILE_MAX);
	TRY(file_read(path, CONF_FILE_MAX, &text, err));
	return conf_read_text(buf_str(&text), path, env, env_ctx, ret, err);
}

void conf_free(struct conf *c)
{
	if (c == NULL)
		return;
	suffixes_free(c->suffixes);
	struct arena mem = c->mem;
	arena_done(&mem);
	free(c);
}

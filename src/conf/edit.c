/* SPDX-License-Identifier: Apache-2.0
 *
 * edit.c: one setting changed in the text of a configuration, with all else left as its owner wrote it. Works on the block style
 * that `cairn init` writes, a setting a line; the result is read again and compared setting by setting, so whatever
 * the text looked like, either that setting alone has changed or nothing is returned.
 */
#include "conf/internal.h"

#define EDIT_MAX (1024 * 1024)

struct edit {
	struct str text;
	struct str section, entry, leaf, value;
};

/* "realm.default.issuers" */
static fallible key_split(struct str key, struct edit *e, struct err *err)
{
	size_t first = str_find(key, '.', 0), last = key.n;
	while (last > 0 && key.p[last - 1] != '.')
		last--;
	if (first >= key.n || last <= first + 1)
		FAIL(err, ERR_INTERNAL, "%.*s is no setting of an entry", STR_FMT(key));
	e->section = str_sub(key, 0, first);
	e->entry = str_sub(key, first + 1, last - 1);
	e->leaf = str_sub(key, last, key.n);
	return OK;
}

/* --- lines ----------------------------------------------------------------------------------------------------------*/
static struct str line_at(struct str text, size_t at)
{
	return str_sub(text, at, str_find(text, '\n', at));
}

static size_t line_after(struct str text, size_t at)
{
	size_t end = str_find(text, '\n', at);
	return end < text.n ? end + 1 : text.n;
}

static size_t indent_of(struct str line)
{
	size_t n = 0;
	while (n < line.n && line.p[n] == ' ')
		n++;
	return n;
}

static bool is_blank(struct str line)
{
	struct str rest = str_trim(line);
	return rest.n == 0 || rest.p[0] == '#';
}

/* "KEY:" with this indentation, and what follows on the line. */
static bool line_is(struct str line, size_t indent, struct str key, struct str *ret_rest)
{
	if (indent_of(line) != indent)
		return false;
	struct str rest = str_sub(line, indent, line.n);
	if (!str_skip(&rest, key) || !str_skip(&rest, STR(":")) || (rest.n > 0 && rest.p[0] != ' '))
		return false;
	*ret_rest = str_trim(rest);
	return true;
}

/* Where the block below the line at `at` ends: before the next line that stands no deeper. Comments and empty lines behind the
 * last setting belong to what follows. */
static size_t block_end(struct str text, size_t at, size_t indent)
{
	size_t end = line_after(text, at);
	for (size_t next = end; next < text.n; next = line_after(text, next)) {
		struct str line = line_at(text, next);
		if (is_blank(line))
			continue;
		if (indent_of(line) <= indent)
			break;
		end = line_after(text, next);
	}
	return end;
}

/* A "KEY:" line between two places that opens a block; text.n: there is none. */
static size_t find_block(struct str text, size_t from, size_t to, size_t indent, struct str key)
{
	struct str rest;
	for (size_t at = from; at < to; at = line_after(text, at))
		if (line_is(line_at(text, at), indent, key, &rest) && (rest.n == 0 || rest.p[0] == '#'))
			return at;
	return text.n;
}

/* The setting itself, or the commented default that stands for it. */
static size_t find_leaf(struct str text, size_t from, size_t to, size_t indent, struct str leaf)
{
	struct str rest;
	for (size_t at = from; at < to; at = line_after(text, at))
		if (line_is(line_at(text, at), indent, leaf, &rest))
			return at;
	for (size_t at = from; at < to; at = line_after(text, at)) {
		struct str line = line_at(text, at);
		if (indent_of(line) != indent || indent == line.n || line.p[indent] != '#')
			continue;
		if (line_is(str_sub(line, indent + 1, line.n), 0, leaf, &rest))
			return at;
	}
	return text.n;
}

/* --- the change -----------------------------------------------------------------------------------------------------*/
static fallible put_leaf(const struct edit *e, struct buf *ret, struct err *err)
{
	return buf_addf(ret, err, "    %.*s: %.*s\n", STR_FMT(e->leaf), STR_FMT(e->value));
}

static fallible put_text(struct buf *ret, struct str text, struct err *err)
{
	TRY(buf_add(ret, text, err));
	return text.n > 0 && text.p[text.n - 1] != '\n' ? buf_add_char(ret, '\n', err) : OK;
}

static fallible change(const struct edit *e, struct buf *ret, struct err *err)
{
	struct str t = e->text;
	size_t section = find_block(t, 0, t.n, 0, e->section);
	if (section >= t.n) {
		TRY(put_text(ret, t, err));
		TRY(buf_addf(ret, err, "\n%.*s:\n  %.*s:\n", STR_FMT(e->section), STR_FMT(e->entry)));
		return put_leaf(e, ret, err);
	}
	size_t below = line_after(t, section);
	size_t entry = find_block(t, below, block_end(t, section, 0), 2, e->entry);
	if (entry >= t.n) {
		TRY(put_text(ret, str_sub(t, 0, below), err));
		TRY(buf_addf(ret, err, "  %.*s:\n", STR_FMT(e->entry)));
		TRY(put_leaf(e, ret, err));
		return buf_add(ret, str_sub(t, below, t.n), err);
	}
	below = line_after(t, entry);
	/* comments after the last setting may hold the commented default */
	size_t end = below;
	while (end < t.n && (is_blank(line_at(t, end)) || indent_of(line_at(t, end)) > 2))
		end = line_after(t, end);
	size_t leaf = find_leaf(t, below, end, 4, e->leaf);
	TRY(put_text(ret, str_sub(t, 0, leaf < t.n ? leaf : below), err));
	TRY(put_leaf(e, ret, err));
	return buf_add(ret, str_sub(t, leaf < t.n ? line_after(t, leaf) : below, t.n), err);
}

/* --- what came of it ------------------------------------------------------------------------------------------------*/
static const struct conf_setting *setting_of(const struct conf *c, struct str key)
{
	for (size_t i = 0; i < c->setting_count; i++)
		if (str_eq(c->settings[i].key, key))
			return &c->settings[i];
	return NULL;
}

/* Every other setting is what it was; an entry that is new has its own. */
static fallible compare(const struct conf *before, const struct conf *after, struct str key, struct err *err)
{
	for (size_t i = 0; i < before->setting_count; i++) {
		const struct conf_setting *old = &before->settings[i], *now = setting_of(after, old->key);
		if (str_eq(old->key, key))
			continue;
		if (now == NULL || !str_eq(now->text, old->text))
			FAIL(err, ERR_CONFIG, "%.*s would change with it", STR_FMT(old->key));
	}
	const struct conf_setting *now = setting_of(after, key);
	if (now == NULL || now->where.source != CONF_FROM_FILE)
		FAIL(err, ERR_CONFIG, "%.*s would not be found there", STR_FMT(key));
	return OK;
}

static fallible check_change(const struct edit *e, struct str key, struct str changed, struct str name, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct conf *before = NULL, *after = NULL;
	const char *name_z = str_dupz_raw(&mem, name);
	struct rc rc = conf_read_text(e->text, name_z, conf_env_none, NULL, &before, err);
	if (!FAILED(rc))
		rc = conf_read_text(changed, name_z, conf_env_none, NULL, &after, err);
	if (!FAILED(rc))
		rc = compare(before, after, key, err);
	conf_free(before);
	conf_free(after);
	return rc;
}

fallible conf_edit(struct str text, struct str name, struct str key, struct str value, struct buf *ret, struct err *err)
{
	AUTO(buf_done) struct buf changed = BUF_MAX(EDIT_MAX);
	struct edit e = { .text = text, .value = value };
	TRY(key_split(key, &e, err));
	TRY(change(&e, &changed, err));
	struct err why = { 0 };
	if (FAILED(check_change(&e, key, buf_str(&changed), name, &why)))
		FAIL(err, ERR_CONFIG, "%.*s cannot be changed by a program (%s); set %.*s to %.*s by hand",
		     STR_FMT(name), why.detail, STR_FMT(key), STR_FMT(value));
	return buf_add(ret, buf_str(&changed), err);
}

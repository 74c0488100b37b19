/* SPDX-License-Identifier: Apache-2.0
 *
 * write.c: the schema as text: the settings of cairn.conf(5), and the commented file that `cairn init` starts with.
 */
#include "conf/check.h"

#include <inttypes.h>

#define COLUMNS 100 /* of the commented file */

/* --- manual --- */

/* Text in roff: a backslash, and a dot or quote at the start of a line, would be read as requests. */
static fallible add_roff(struct buf *ret, struct str text, struct err *err)
{
	if (text.n > 0 && (text.p[0] == '.' || text.p[0] == '\''))
		TRY(buf_add(ret, STR("\\&"), err));
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] == '\\')
			TRY(buf_add(ret, STR("\\e"), err));
		else if (text.p[i] == '"')
			TRY(buf_add(ret, STR("\\(dq"), err));
		else
			TRY(buf_add_char(ret, text.p[i], err));
	}
	return OK;
}

/* One sentence a line, as mdoc wants it. */
static fallible add_sentences(struct buf *ret, struct str text, struct err *err)
{
	size_t from = 0;
	for (size_t i = 0; i + 2 < text.n; i++) {
		bool ends = text.p[i] == '.' && text.p[i + 1] == ' ';
		bool capital = text.p[i + 2] >= 'A' && text.p[i + 2] <= 'Z';
		if (!ends || !capital)
			continue;
		TRY(add_roff(ret, str_sub(text, from, i + 1), err));
		TRY(buf_add_char(ret, '\n', err));
		from = i + 2;
	}
	TRY(add_roff(ret, str_sub(text, from, text.n), err));
	return buf_add_char(ret, '\n', err);
}

/* Built-in entries whose default is another one. */
static fallible add_man_others(struct buf *ret, const struct conf_row *row, struct err *err)
{
	const struct conf_section *s = conf_row_section(row);
	for (size_t i = 0; s != NULL && s->built_in != NULL && s->built_in[i] != NULL; i++) {
		const char *text = profile_default(row, str_z(s->built_in[i]));
		if (strcmp(text, row->deflt) == 0)
			continue;
		TRY(buf_addf(ret, err, "In the built-in %s %s: %s", s->name, s->built_in[i],
			     text[0] == '\0' ? "empty" : ""));
		TRY(add_roff(ret, str_z(text), err));
		TRY(buf_add(ret, STR(".\n"), err));
	}
	return OK;
}

/* A list's lines are joined by the reader, so that a default such as "::1" cannot become a macro's argument. */
static fallible add_man_facts(struct buf *ret, const struct conf_row *row, struct err *err)
{
	if (row->choices != NULL) {
		TRY(buf_add(ret, STR("One of"), err));
		for (size_t i = 0; row->choices[i] != NULL; i++)
			TRY(buf_addf(ret, err, "%s %s", i == 0 ? "" : ",", row->choices[i]));
		TRY(buf_add(ret, STR(".\n"), err));
	}
	if (row->deflt[0] == '\0') {
		TRY(buf_add(ret, STR("Default: empty"), err));
	} else {
		TRY(buf_add(ret, STR("Default:\n.Ql "), err));
		TRY(buf_addf(ret, err, "%s", strchr(row->deflt, ' ') == NULL ? "" : "\""));
		TRY(add_roff(ret, str_z(row->deflt), err));
		TRY(buf_addf(ret, err, "%s", strchr(row->deflt, ' ') == NULL ? " " : "\" "));
	}
	TRY(buf_add(ret, row->deflt[0] == '\0' ? STR(".\n") : STR(".\n"), err));
	TRY(add_man_others(ret, row, err));
	if (row->env != NULL)
		TRY(buf_addf(ret, err, "Variable: %s.\n", row->env));
	if (row->reload)
		TRY(buf_add(ret, STR("Taken over on reload.\n"), err));
	return OK;
}

fallible conf_write_man(struct buf *ret, struct err *err)
{
	size_t count = 0;
	const struct conf_row *rows = conf_schema(&count);
	TRY(buf_add(ret, STR(".Bl -tag -width Ds\n"), err));
	for (size_t i = 0; i < count; i++) {
		TRY(buf_add(ret, STR(".It Ic "), err));
		TRY(add_roff(ret, str_z(rows[i].key), err));
		TRY(buf_add_char(ret, '\n', err));
		TRY(add_sentences(ret, str_z(rows[i].help), err));
		TRY(add_man_facts(ret, &rows[i], err));
	}
	return buf_add(ret, STR(".El\n"), err);
}

/* --- commented file --- */

struct example {
	struct buf *out;
	const char *const *values;
	struct arena mem;
};

static const char *value_of(const struct example *x, struct str key)
{
	for (const char *const *v = x->values; v != NULL && v[0] != NULL; v += 2) {
		if (str_eq(str_z(v[0]), key))
			return v[1];
	}
	return NULL;
}

static fallible add_help(struct example *x, const char *indent, struct str help, struct err *err)
{
	struct str rest = help;
	size_t room = COLUMNS - strlen(indent) - 2;
	while (rest.n > 0) {
		size_t n = rest.n;
		if (n > room) {
			n = room;
			while (n > 0 && rest.p[n] != ' ')
				n--;
			if (n == 0) /* one word longer than a line */
				n = str_find(rest, ' ', 0);
		}
		struct str line = str_sub(rest, 0, n);
		TRY(buf_addf(x->out, err, "%s# %.*s\n", indent, STR_FMT(line)));
		rest = str_trim(str_sub(rest, n, rest.n));
	}
	return OK;
}

static bool plain_in_yaml(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
		if (!alnum && (i == 0 || strchr("._/-", c) == NULL))
			return false;
	}
	return s.n > 0;
}

static fallible add_scalar(struct example *x, struct str s, struct err *err)
{
	if (plain_in_yaml(s))
		return buf_add(x->out, s, err);
	TRY(buf_add_char(x->out, '"', err));
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c < 0x20 || c == 0x7f)
			FAIL(err, ERR_CONFIG, "a value for the configuration holds a control character");
		if (c == '"' || c == '\\')
			TRY(buf_add_char(x->out, '\\', err));
		TRY(buf_add_char(x->out, s.p[i], err));
	}
	return buf_add_char(x->out, '"', err);
}

static fallible add_list(struct example *x, struct str text, struct err *err)
{
	struct conf_list list = { 0 };
	TRY(conf_split(&x->mem, text, &list, err));
	TRY(buf_add_char(x->out, '[', err));
	for (size_t i = 0; i < list.n; i++) {
		if (i > 0)
			TRY(buf_add(x->out, STR(", "), err));
		TRY(add_scalar(x, list.v[i], err));
	}
	return buf_add_char(x->out, ']', err);
}

/* In one line, { a: [..], b: [..] }: it can be commented out with one character. Addresses of one name stand together.
 */
static fallible add_names(struct example *x, struct str text, struct err *err)
{
	struct conf_list list = { 0 };
	TRY(conf_split(&x->mem, text, &list, err));
	TRY(buf_add_char(x->out, '{', err));
	struct str last = STR_NONE;
	for (size_t i = 0; i < list.n; i++) {
		size_t eq = str_find(list.v[i], '=', 0);
		struct str name = str_sub(list.v[i], 0, eq);
		struct str address = str_sub(list.v[i], eq + 1, list.v[i].n);
		if (eq == 0 || address.n == 0)
			FAIL(err, ERR_CONFIG, "static name \"%.*s\": allowed: NAME=ADDRESS", STR_FMT(list.v[i]));
		bool more = i > 0 && str_eq(name, last);
		TRY(buf_addf(x->out, err, "%s", more ? ", " : i > 0 ? "], " : " "));
		if (!more) {
			TRY(add_scalar(x, name, err));
			TRY(buf_add(x->out, STR(": ["), err));
		}
		TRY(add_scalar(x, address, err));
		last = name;
	}
	return buf_addf(x->out, err, "%s}", list.n > 0 ? "] " : "");
}

static fallible add_value(struct example *x, const struct conf_row *row, struct str text, struct err *err)
{
	if (row->kind == CONF_LIST)
		return add_list(x, text, err);
	if (row->kind == CONF_NAMES || row->kind == CONF_FORWARDS)
		return add_names(x, text, err);
	return add_scalar(x, text, err);
}

/* entry: the name that "*" stands for; empty for the other rows. */
static fallible add_setting(struct example *x, const struct conf_row *row, struct str entry, struct err *err)
{
	const struct conf_section *s = conf_row_section(row);
	struct str leaf = conf_row_leaf(row);
	struct str key = str_z(row->key);
	const char *indent = s != NULL ? "    " : leaf.n == key.n ? "" : "  ";
	if (s != NULL)
		key = str_fmt(&x->mem, "%s.%.*s.%.*s", s->name, STR_FMT(entry), STR_FMT(leaf));
	const char *set = value_of(x, key);
	struct str text = str_z(set != NULL ? set : profile_default(row, entry));
	size_t star = str_find(text, '*', 0);
	if (set == NULL && s != NULL && star < text.n)
		text = str_fmt(&x->mem, "%.*s%.*s%.*s", (int)star, text.p, STR_FMT(entry), (int)(text.n - star - 1),
			       text.p + star + 1);
	TRY(add_help(x, indent, str_z(row->help), err));
	TRY(buf_addf(x->out, err, "%s%s%.*s: ", indent, set != NULL ? "" : "#", STR_FMT(leaf)));
	TRY(add_value(x, row, text, err));
	return buf_add_char(x->out, '\n', err);
}

static fallible add_entry(struct example *x, const struct conf_section *s, struct str entry, struct err *err)
{
	size_t count = 0;
	const struct conf_row *rows = conf_schema(&count);
	TRY(buf_addf(x->out, err, "  %.*s:\n", STR_FMT(entry)));
	for (size_t i = 0; i < count; i++) {
		if (conf_row_section(&rows[i]) == s)
			TRY(add_setting(x, &rows[i], entry, err));
	}
	return OK;
}

/* A section that is empty unless somebody fills it: what could stand there. */
static fallible add_hints(struct example *x, const struct conf_section *s, struct err *err)
{
	size_t count = 0;
	const struct conf_row *rows = conf_schema(&count);
	for (size_t i = 0; i < count; i++) {
		if (conf_row_section(&rows[i]) == s)
			TRY(add_help(x, "",
				     str_fmt(&x->mem, "%s.NAME.%.*s: %s", s->name, STR_FMT(conf_row_leaf(&rows[i])),
					     rows[i].help),
				     err));
	}
	return OK;
}

/* The entries that the values name, or the one that is always there. */
static fallible add_entries(struct example *x, const struct conf_section *s, struct err *err)
{
	TRY(buf_addf(x->out, err, "\n%s:\n", s->name));
	size_t n = 0;
	struct str done[64];
	for (const char *const *v = x->values; v != NULL && v[0] != NULL; v += 2) {
		struct str rest = str_z(v[0]);
		if (!str_skip(&rest, str_z(s->name)) || !str_skip(&rest, STR(".")))
			continue;
		struct str entry = str_sub(rest, 0, str_find(rest, '.', 0));
		bool again = false;
		for (size_t i = 0; i < n && !again; i++)
			again = str_eq(done[i], entry);
		if (again)
			continue;
		if (n == ARRAY_LEN(done))
			FAIL(err, ERR_CONFIG, "more than 64 entries of %s", s->name);
		done[n++] = entry;
		TRY(add_entry(x, s, entry, err));
	}
	if (n > 0)
		return OK;
	return s->deflt == NULL ? add_hints(x, s, err) : add_entry(x, s, str_z(s->deflt), err);
}

static fallible add_globals(struct example *x, struct err *err)
{
	size_t count = 0;
	const struct conf_row *rows = conf_schema(&count);
	struct str section = STR_NONE;
	for (size_t i = 0; i < count; i++) {
		if (conf_row_section(&rows[i]) != NULL)
			continue;
		struct str key = str_z(rows[i].key);
		size_t dot = str_find(key, '.', 0);
		struct str head = dot == key.n ? STR_NONE : str_sub(key, 0, dot);
		if (head.n > 0 && !str_eq(head, section))
			TRY(buf_addf(x->out, err, "\n%.*s:\n", STR_FMT(head)));
		section = head;
		TRY(add_setting(x, &rows[i], STR_NONE, err));
	}
	return OK;
}

static fallible add_all(struct example *x, struct err *err)
{
	TRY(buf_add(x->out,
		    STR("# cairn's configuration. What is commented out is at its default.\n"
			"# cairn.conf(5) explains the form; `cairn check-config` says what is wrong and where.\n\n"),
		    err));
	TRY(add_globals(x, err));
	size_t count = 0;
	const struct conf_section *sections = conf_sections(&count);
	for (size_t i = 0; i < count; i++)
		TRY(add_entries(x, &sections[i], err));
	return OK;
}

fallible conf_write_example(const char *const *values, struct buf *ret, struct err *err)
{
	struct example x = { .out = ret, .values = values };
	struct rc rc = add_all(&x, err);
	arena_done(&x.mem);
	return rc;
}

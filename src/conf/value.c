/* SPDX-License-Identifier: Apache-2.0
 *
 * value.c: one setting's text, wherever it came from, into its member of struct conf, within the bounds of its row.
 */
#include "conf/value.h"

#include <inttypes.h>
#include <stdio.h>

#define FOUND_SHOWN_MAX 80 /* of what was found; the operator knows the rest */

struct str conf_place(struct arena *mem, const char *name, const struct conf_where *at, struct str key)
{
	if (at->source == CONF_FROM_ENV)
		return str_fmt(mem, "environment %s: %.*s: ", at->env, STR_FMT(key));
	if (at->line == 0)
		return str_fmt(mem, "%s: %.*s: ", name, STR_FMT(key));
	return str_fmt(mem, "%s:%zu:%zu: %.*s: ", name, at->line, at->col, STR_FMT(key));
}

static fallible refuse_phrase(const char *name, const struct conf_where *at, struct str key, struct str phrase,
			      struct str rule, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct str place = conf_place(&mem, name, at, key);
	FAIL(err, ERR_CONFIG, "%.*sfound %.*s%s; allowed: %.*s", STR_FMT(place), STR_FMT(phrase),
	     at->source == CONF_FROM_DEFAULT ? " (the default)" : "", STR_FMT(rule));
}

fallible conf_refuse(const char *name, const struct conf_where *at, struct str key, struct str found, struct err *err,
		     const char *allowed, ...)
{
	char rule[ERR_DETAIL_MAX];
	va_list args;
	va_start(args, allowed);
	if (vsnprintf(rule, sizeof rule, allowed, args) < 0)
		rule[0] = '\0';
	va_end(args);
	AUTO(arena_done) struct arena mem = { 0 };
	struct str shown = str_sub(found, 0, FOUND_SHOWN_MAX);
	struct str phrase = found.n == 0 ? STR("nothing")
					 : str_fmt(&mem, "\"%.*s%s\"", STR_FMT(shown), shown.n < found.n ? "..." : "");
	return refuse_phrase(name, at, key, phrase, str_z(rule), err);
}

static fallible refuse(const struct value *v, struct str found, struct err *err, const char *allowed)
{
	return conf_refuse(v->name, &v->where, v->key, found, err, "%s", allowed);
}

/* "a map" where something else should stand. */
static fallible refuse_shape(const struct value *v, const char *shape, struct err *err, const char *allowed)
{
	return refuse_phrase(v->name, &v->where, v->key, str_z(shape), str_z(allowed), err);
}

/* "debug, info, ..." */
static struct str words(struct arena *mem, const char *const *choices)
{
	struct str all = STR_NONE;
	for (const char *const *c = choices; *c != NULL; c++)
		all = str_fmt(mem, "%.*s%s%s", STR_FMT(all), all.n == 0 ? "" : ", ", *c);
	return all;
}

static fallible check_word(const struct value *v, struct str item, struct err *err)
{
	if (v->row->choices == NULL)
		return OK;
	for (const char *const *c = v->row->choices; *c != NULL; c++) {
		if (str_eq(item, str_z(*c)))
			return OK;
	}
	AUTO(arena_done) struct arena mem = { 0 };
	struct str all = words(&mem, v->row->choices);
	return conf_refuse(v->name, &v->where, v->key, item, err, "%.*s", STR_FMT(all));
}

static fallible one_text(const struct value *v, struct str *ret, struct err *err)
{
	if (v->kind == VALUE_MAP)
		return refuse_shape(v, "a map", err, "one value");
	if (v->kind == VALUE_LIST)
		return refuse_shape(v, "a list", err, "one value");
	*ret = v->text;
	return OK;
}

static fallible set_str(const struct value *v, struct arena *mem, struct str *ret, struct err *err)
{
	struct str text = STR_NONE;
	TRY(one_text(v, &text, err));
	if (v->row->choices == NULL && v->row->min > 0 && text.n == 0)
		return refuse(v, text, err, "a value that is not empty");
	TRY(check_word(v, text, err));
	*ret = str_dup(mem, text);
	return OK;
}

fallible conf_split(struct arena *mem, struct str text, struct conf_list *ret, struct err *err)
{
	size_t n = 0;
	for (size_t i = 0; i < text.n; i++)
		n += text.p[i] == ',';
	struct conf_list list = { .v = ARENA_ARRAY(mem, struct str, n + 1), .n = 0 };
	if (str_trim(text).n == 0) {
		*ret = list;
		return OK;
	}
	for (size_t from = 0; from <= text.n;) {
		size_t to = str_find(text, ',', from);
		struct str item = str_trim(str_sub(text, from, to));
		if (item.n == 0)
			FAIL(err, ERR_CONFIG, "an empty item between commas");
		list.v[list.n++] = str_dup(mem, item);
		from = to + 1;
	}
	*ret = list;
	return OK;
}

static fallible split_node(const struct value *v, struct arena *mem, struct conf_list *ret, struct err *err)
{
	struct conf_list list = { .v = ARENA_ARRAY(mem, struct str, v->node->count + 1), .n = 0 };
	for (const struct node *item = v->node->first; item != NULL; item = item->next) {
		struct value at = *v;
		at.where.line = item->line;
		at.where.col = item->col;
		if (item->kind != NODE_SCALAR)
			return refuse_shape(&at, item->kind == NODE_MAP ? "a map" : "a list", err, "one value an item");
		if (item->text.n == 0 || str_find(item->text, ',', 0) < item->text.n)
			return refuse(&at, item->text, err, "one value an item, without commas");
		TRY(check_word(&at, item->text, err));
		list.v[list.n++] = str_dup(mem, item->text);
	}
	*ret = list;
	return OK;
}

static fallible set_list(const struct value *v, struct arena *mem, struct conf_list *ret, struct err *err)
{
	struct conf_list list = { 0 };
	if (v->kind == VALUE_MAP)
		return refuse_shape(v, "a map", err, "a value or a list of values");
	if (v->kind == VALUE_LIST)
		TRY(split_node(v, mem, &list, err));
	else if (FAILED(conf_split(mem, v->text, &list, NULL)))
		return refuse(v, v->text, err, "values between the commas");
	for (size_t i = 0; i < list.n; i++) {
		TRY(check_word(v, list.v[i], err));
		for (size_t j = 0; j < i; j++) {
			if (str_eq(list.v[i], list.v[j]))
				return conf_refuse(v->name, &v->where, v->key, list.v[i], err, "each value once");
		}
	}
	if ((int64_t)list.n < v->row->min || (int64_t)list.n > v->row->max) {
		struct str rule = str_fmt(mem, "%" PRId64 " to %" PRId64, v->row->min, v->row->max);
		return refuse_phrase(v->name, &v->where, v->key, str_fmt(mem, "%zu values", list.n), rule, err);
	}
	*ret = list;
	return OK;
}

static fallible set_int(const struct value *v, int64_t *ret, struct err *err)
{
	struct str text = STR_NONE;
	TRY(one_text(v, &text, err));
	uint64_t n = 0;
	if (FAILED(str_u64(text, INT64_MAX, &n, NULL)) || (int64_t)n < v->row->min || (int64_t)n > v->row->max)
		return conf_refuse(v->name, &v->where, v->key, text, err, "a number from %" PRId64 " to %" PRId64,
				   v->row->min, v->row->max);
	*ret = (int64_t)n;
	return OK;
}

static const struct {
	const char *unit;
	int64_t ms;
} units[] = { { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 }, { "d", 86400000 } };

/* The largest unit that leaves no rest. */
static struct str show_duration(struct arena *mem, int64_t ms)
{
	if (ms == 0)
		return STR("0");
	size_t u = ARRAY_LEN(units) - 1;
	while (ms % units[u].ms != 0)
		u--;
	return str_fmt(mem, "%" PRId64 "%s", ms / units[u].ms, units[u].unit);
}

static bool read_duration(struct str text, int64_t *ret_ms)
{
	size_t digits = 0;
	while (digits < text.n && text.p[digits] >= '0' && text.p[digits] <= '9')
		digits++;
	struct str unit = str_sub(text, digits, text.n);
	uint64_t n = 0;
	if (FAILED(str_u64(str_sub(text, 0, digits), INT64_MAX, &n, NULL)))
		return false;
	if (n == 0 && unit.n == 0) {
		*ret_ms = 0;
		return true;
	}
	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		if (str_eq(unit, str_z(units[i].unit)))
			return !__builtin_mul_overflow((int64_t)n, units[i].ms, ret_ms);
	}
	return false;
}

static fallible set_duration(const struct value *v, int64_t grain_ms, int64_t *ret, struct err *err)
{
	struct str text = STR_NONE;
	TRY(one_text(v, &text, err));
	int64_t ms = 0;
	bool fits = read_duration(text, &ms) && ms % grain_ms == 0 && ms / grain_ms >= v->row->min &&
		    ms / grain_ms <= v->row->max;
	if (!fits) {
		AUTO(arena_done) struct arena mem = { 0 };
		struct str least = show_duration(&mem, v->row->min * grain_ms);
		struct str most = show_duration(&mem, v->row->max * grain_ms);
		return conf_refuse(v->name, &v->where, v->key, text, err,
				   "a duration from %.*s to %.*s, with a unit: %s", STR_FMT(least), STR_FMT(most),
				   grain_ms == 1 ? "ms, s, m, h or d" : "s, m, h or d");
	}
	*ret = ms / grain_ms;
	return OK;
}

static fallible set_bool(const struct value *v, bool *ret, struct err *err)
{
	struct str text = STR_NONE;
	TRY(one_text(v, &text, err));
	if (!str_eq(text, STR("true")) && !str_eq(text, STR("false")))
		return refuse(v, text, err, "true, false");
	*ret = str_eq(text, STR("true"));
	return OK;
}

struct names {
	struct conf_static *v;
	size_t n;
};

/* What the two kinds of maps are called in errors. */
static const struct map_words {
	const char *pair, *each, *map;
} name_words = { "NAME=ADDRESS", "an address or a list of addresses for each name", "a map of names to addresses" },
  forward_words = { "DOMAIN=SERVER", "a DNS server or a list of them for each domain",
		    "a map of domains to DNS servers" };

static const struct map_words *words_of(const struct value *v)
{
	return v->row->kind == CONF_FORWARDS ? &forward_words : &name_words;
}

static void add_address(struct arena *mem, struct names *names, struct str pattern, struct str address)
{
	struct conf_static *at = NULL;
	for (size_t i = names->n; i > 0 && at == NULL; i--) { /* backwards: a name's addresses mostly stand together */
		if (str_eq(names->v[i - 1].pattern, pattern))
			at = &names->v[i - 1];
	}
	if (at == NULL) {
		at = &names->v[names->n++];
		at->pattern = str_dup(mem, pattern);
	}
	struct str *more = ARENA_ARRAY(mem, struct str, at->addrs.n + 1);
	for (size_t i = 0; i < at->addrs.n; i++)
		more[i] = at->addrs.v[i];
	more[at->addrs.n] = str_dup(mem, address);
	at->addrs = (struct conf_list){ more, at->addrs.n + 1 };
}

/* "a.example=192.0.2.1, a.example=192.0.2.2" */
static fallible names_of_text(const struct value *v, struct arena *mem, struct names *ret, struct err *err)
{
	struct conf_list list = { 0 };
	if (FAILED(conf_split(mem, v->text, &list, NULL)))
		return conf_refuse(v->name, &v->where, v->key, v->text, err, "%s between the commas",
				   words_of(v)->pair);
	ret->v = ARENA_ARRAY(mem, struct conf_static, list.n + 1);
	for (size_t i = 0; i < list.n; i++) {
		size_t eq = str_find(list.v[i], '=', 0);
		if (eq == 0 || eq + 1 >= list.v[i].n)
			return refuse(v, list.v[i], err, words_of(v)->pair);
		add_address(mem, ret, str_sub(list.v[i], 0, eq), str_sub(list.v[i], eq + 1, list.v[i].n));
	}
	return OK;
}

static fallible names_of_node(const struct value *v, struct arena *mem, struct names *ret, struct err *err)
{
	ret->v = ARENA_ARRAY(mem, struct conf_static, v->node->count + 1);
	for (const struct node *n = v->node->first; n != NULL; n = n->next) {
		struct value at = *v;
		at.where.line = n->line;
		at.where.col = n->col;
		bool one = n->kind == NODE_SCALAR && n->text.n > 0;
		if (!one && (n->kind != NODE_LIST || n->count == 0))
			return refuse(&at, n->key, err, words_of(v)->each);
		const struct node *item = one ? n : n->first;
		for (; item != NULL; item = one ? NULL : item->next) {
			if (item->kind != NODE_SCALAR || item->text.n == 0)
				return refuse(&at, n->key, err, words_of(v)->each);
			if (ret->n > 0 && str_eq(ret->v[ret->n - 1].pattern, n->key) &&
			    ret->v[ret->n - 1].addrs.n >= CONF_ADDRESSES_MAX)
				return refuse(&at, n->key, err, "at most 16 addresses a name");
			add_address(mem, ret, n->key, item->text);
		}
	}
	return OK;
}

static fallible set_names(const struct value *v, struct arena *mem, struct conf_static **ret, size_t *ret_count,
			  struct err *err)
{
	struct names names = { 0 };
	if (v->kind == VALUE_LIST)
		return refuse_shape(v, "a list", err, words_of(v)->map);
	if (v->kind == VALUE_MAP)
		TRY(names_of_node(v, mem, &names, err));
	else if (v->where.source == CONF_FROM_FILE && v->text.n > 0)
		return refuse(v, v->text, err, words_of(v)->map);
	else
		TRY(names_of_text(v, mem, &names, err));
	*ret = names.v;
	*ret_count = names.n;
	return OK;
}

fallible value_set(const struct value *v, struct arena *mem, void *base, struct err *err)
{
	void *at = (char *)base + v->row->offset;
	switch (v->row->kind) {
	case CONF_STR:
		return set_str(v, mem, (struct str *)at, err);
	case CONF_LIST:
		return set_list(v, mem, (struct conf_list *)at, err);
	case CONF_INT:
		return set_int(v, (int64_t *)at, err);
	case CONF_SECONDS:
		return set_duration(v, 1000, (int64_t *)at, err);
	case CONF_MILLIS:
		return set_duration(v, 1, (int64_t *)at, err);
	case CONF_BOOL:
		return set_bool(v, (bool *)at, err);
	case CONF_NAMES: /* the one row of this kind sits in a zone, and so does that of the next */
		return set_names(v, mem, (struct conf_static **)at, &((struct conf_zone *)base)->name_count, err);
	case CONF_FORWARDS:
		return set_names(v, mem, (struct conf_static **)at, &((struct conf_zone *)base)->forward_count, err);
	case CONF_KIND_COUNT:
		break;
	}
	FAIL(err, ERR_INTERNAL, "row %s has no kind", v->row->key);
}

static struct str show_list(struct arena *mem, const struct conf_list *list)
{
	size_t n = 1;
	for (size_t i = 0; i < list->n; i++)
		n += list->v[i].n + 2;
	char *text = ARENA_ARRAY(mem, char, n);
	size_t at = 0;
	for (size_t i = 0; i < list->n; i++) {
		if (i > 0) {
			memcpy(text + at, ", ", 2);
			at += 2;
		}
		memcpy(text + at, list->v[i].p, list->v[i].n);
		at += list->v[i].n;
	}
	return str_n(text, at);
}

static struct str show_names(struct arena *mem, const struct conf_static *names, size_t count)
{
	size_t n = 0;
	for (size_t i = 0; i < count; i++)
		n += names[i].addrs.n;
	struct conf_list pairs = { .v = ARENA_ARRAY(mem, struct str, n + 1), .n = 0 };
	for (size_t i = 0; i < count; i++)
		for (size_t j = 0; j < names[i].addrs.n; j++)
			pairs.v[pairs.n++] =
				str_fmt(mem, "%.*s=%.*s", STR_FMT(names[i].pattern), STR_FMT(names[i].addrs.v[j]));
	return show_list(mem, &pairs);
}

struct str value_show(const struct conf_row *row, struct arena *mem, const void *base)
{
	const void *at = (const char *)base + row->offset;
	switch (row->kind) {
	case CONF_STR:
		return *(const struct str *)at;
	case CONF_LIST:
		return show_list(mem, (const struct conf_list *)at);
	case CONF_INT:
		return str_fmt(mem, "%" PRId64, *(const int64_t *)at);
	case CONF_SECONDS:
		return show_duration(mem, *(const int64_t *)at * 1000);
	case CONF_MILLIS:
		return show_duration(mem, *(const int64_t *)at);
	case CONF_BOOL:
		return *(const bool *)at ? STR("true") : STR("false");
	case CONF_NAMES:
	case CONF_FORWARDS: {
		const struct conf_zone *zone = (const struct conf_zone *)base;
		bool names = row->kind == CONF_NAMES;
		return show_names(mem, names ? zone->names : zone->forwards,
				  names ? zone->name_count : zone->forward_count);
	}
	case CONF_KIND_COUNT:
		break;
	}
	return STR_NONE;
}

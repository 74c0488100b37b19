/* SPDX-License-Identifier: Apache-2.0
 *
 * conf.c: questions to a configuration that has been read.
 */
#include "conf/internal.h"

#include <inttypes.h>

const char *conf_path(const struct conf *c, struct arena *mem, struct str path)
{
	if (path.n > 0 && path.p[0] == '/')
		return str_dupz_raw(mem, path);
	const char *gap = str_ends(c->state_dir, STR("/")) ? "" : "/";
	return str_dupz_raw(mem, str_fmt(mem, "%.*s%s%.*s", STR_FMT(c->state_dir), gap, STR_FMT(path)));
}

#define FIND(array, count)                          \
	for (size_t i = 0; i < c->count; i++) {     \
		if (str_eq(c->array[i].name, name)) \
			return &c->array[i];        \
	}                                           \
	return NULL

const struct conf_realm *conf_realm(const struct conf *c, struct str name)
{
	FIND(realms, realm_count);
}

const struct conf_zone *conf_zone(const struct conf *c, struct str name)
{
	FIND(zones, zone_count);
}

const struct conf_profile *conf_profile(const struct conf *c, struct str name)
{
	FIND(profiles, profile_count);
}

const struct conf_issuer *conf_issuer(const struct conf *c, struct str name)
{
	FIND(issuers, issuer_count);
}

const struct conf_perspective *conf_perspective(const struct conf *c, struct str name)
{
	FIND(perspectives, perspective_count);
}

#define PATTERNS_SHOWN 8

fallible conf_realm_allows(const struct conf_realm *r, struct str name, struct err *err)
{
	for (size_t i = 0; i < r->names.n; i++) {
		if (name_matches(r->names.v[i], name))
			return OK;
	}
	if (r->names.n == 0)
		FAIL(err, ERR_REJECTED_IDENTIFIER, "%.*s is not allowed: realm %.*s allows no names yet", STR_FMT(name),
		     STR_FMT(r->name));
	AUTO(arena_done) struct arena mem = { 0 };
	struct str all = STR_NONE;
	for (size_t i = 0; i < r->names.n && i < PATTERNS_SHOWN; i++)
		all = str_fmt(&mem, "%.*s%s%.*s", STR_FMT(all), i == 0 ? "" : ", ", STR_FMT(r->names.v[i]));
	if (r->names.n > PATTERNS_SHOWN)
		all = str_fmt(&mem, "%.*s and %zu more", STR_FMT(all), r->names.n - PATTERNS_SHOWN);
	FAIL(err, ERR_REJECTED_IDENTIFIER, "%.*s is not allowed: realm %.*s allows %.*s", STR_FMT(name),
	     STR_FMT(r->name), STR_FMT(all));
}

static const struct conf_setting *find(const struct conf *c, struct str key)
{
	for (size_t i = 0; i < c->setting_count; i++) {
		if (str_eq(c->settings[i].key, key))
			return &c->settings[i];
	}
	return NULL;
}

/* Differs, appeared or went, from the side of a. */
static const struct conf_row *first_difference(const struct conf *a, const struct conf *b)
{
	for (size_t i = 0; i < a->setting_count; i++) {
		const struct conf_setting *s = &a->settings[i];
		if (s->row->reload)
			continue;
		const struct conf_setting *t = find(b, s->key);
		if (t == NULL || !str_eq(s->text, t->text))
			return s->row;
	}
	return NULL;
}

const char *conf_needs_restart(const struct conf *old, const struct conf *now)
{
	if (!str_eq(old->state_dir, now->state_dir))
		return "state-dir";
	const struct conf_row *row = first_difference(old, now);
	if (row == NULL)
		row = first_difference(now, old);
	return row == NULL ? NULL : row->key;
}

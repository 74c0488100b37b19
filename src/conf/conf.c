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

const struct conf_operator *conf_operator(const struct conf *c, struct str name)
{
	FIND(operators, operator_count);
}

#define PATTERNS_SHOWN 8

static struct str list_show(struct arena *mem, const struct conf_list *list)
{
	struct str all = STR_NONE;
	for (size_t i = 0; i < list->n && i < PATTERNS_SHOWN; i++)
		all = str_fmt(mem, "%.*s%s%.*s", STR_FMT(all), i == 0 ? "" : ", ", STR_FMT(list->v[i]));
	if (list->n > PATTERNS_SHOWN)
		all = str_fmt(mem, "%.*s and %zu more", STR_FMT(all), list->n - PATTERNS_SHOWN);
	return all;
}

bool conf_list_has(const struct conf_list *l, struct str item)
{
	for (size_t i = 0; i < l->n; i++)
		if (str_eq(l->v[i], item))
			return true;
	return false;
}

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
	struct str all = list_show(&mem, &r->names);
	FAIL(err, ERR_REJECTED_IDENTIFIER, "%.*s is not allowed: realm %.*s allows %.*s", STR_FMT(name),
	     STR_FMT(r->name), STR_FMT(all));
}

fallible conf_suffix_check(const struct conf *c, struct str name, struct err *err)
{
	if (!suffixes_have(c->suffixes, name))
		return OK;
	FAIL(err, ERR_REJECTED_IDENTIFIER,
	     "%.*s is a public suffix, below which anybody may register a name (Public Suffix List); name a domain "
	     "that "
	     "is below it, and yours",
	     STR_FMT(name));
}

/* Wide enough to hold what nobody thought of: not meant for special addresses. */
static bool range_is_wide(const struct addr_range *r)
{
	return r->bits < (r->base.family == AF_INET ? 8 : 7);
}

fallible conf_realm_allows_addr(const struct conf_realm *r, const struct addr *addr, struct err *err)
{
	static const struct addr_range mapped = { { AF_INET6, { [10] = 0xff, 0xff } }, 96 };
	const char *special = addr_special(addr);
	char text[ADDR_TEXT_MAX];
	bool inside = false;
	addr_show(addr, text);
	if (addr_in(addr, &mapped))
		FAIL(err, ERR_REJECTED_IDENTIFIER, "%s is not allowed: ask for the IPv4 address itself", text);
	for (size_t i = 0; i < r->addresses.n; i++) {
		struct addr_range range;
		TRY(addr_range_read(r->addresses.v[i], &range, err));
		if (!addr_in(addr, &range))
			continue;
		if (special == NULL || !range_is_wide(&range))
			return OK;
		inside = true;
	}
	if (inside)
		FAIL(err, ERR_REJECTED_IDENTIFIER,
		     "%s is not allowed: it is %s, for which realm %.*s has no range of its own", text, special,
		     STR_FMT(r->name));
	if (r->addresses.n == 0)
		FAIL(err, ERR_REJECTED_IDENTIFIER, "%s is not allowed: realm %.*s allows no addresses", text,
		     STR_FMT(r->name));
	AUTO(arena_done) struct arena mem = { 0 };
	struct str all = list_show(&mem, &r->addresses);
	FAIL(err, ERR_REJECTED_IDENTIFIER, "%s is not allowed: realm %.*s allows %.*s", text, STR_FMT(r->name),
	     STR_FMT(all));
}

bool conf_realm_proves(const struct conf_realm *r, bool address, bool dns_only)
{
	for (size_t i = 0; i < r->challenges.n; i++) {
		bool dns =
			str_starts(r->challenges.v[i], STR("dns-")); /* conf knows no model; schema.c has the words */
		if ((dns || !dns_only) && !(dns && address))
			return true;
	}
	return false;
}

struct str conf_realm_hash_prefix(const struct conf_realm *r, struct str base, struct arena *mem)
{
	return r->account_hash_prefix.n > 0 ? r->account_hash_prefix
					    : str_fmt(mem, "%.*s/account-hash/", STR_FMT(base));
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

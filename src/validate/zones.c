/* SPDX-License-Identifier: Apache-2.0
 *
 * zones.c: the zones that this perspective serves, made from the configuration and then independent of it: a copy, the
 * address ranges read, a resolver each, and what a probe wants to know of the realms.
 */
#include "validate/internal.h"

#include <stdatomic.h>
#include <stdlib.h>

struct zone_set {
	atomic_int refs;
	struct arena mem;
	struct zone_live *zones;
	size_t count;
	struct conf_realm *realms;
	size_t realm_count;
};

static struct conf_list list_dup(struct arena *mem, const struct conf_list *from)
{
	struct conf_list to = { ARENA_ARRAY(mem, struct str, from->n), from->n };
	for (size_t i = 0; i < from->n; i++)
		to.v[i] = str_dup(mem, from->v[i]);
	return to;
}

static fallible statics_read(const struct conf_zone *zone, struct arena *mem, struct resolve_conf *rc, struct err *err)
{
	size_t count = 0, at = 0;
	for (size_t i = 0; i < zone->name_count; i++)
		count += zone->names[i].addrs.n;
	struct resolve_static *statics = ARENA_ARRAY(mem, struct resolve_static, count);
	for (size_t i = 0; i < zone->name_count; i++)
		for (size_t k = 0; k < zone->names[i].addrs.n; k++) {
			statics[at].pattern = zone->names[i].pattern;
			TRY(addr_read(zone->names[i].addrs.v[k], &statics[at++].addr, err));
		}
	rc->statics = statics;
	rc->static_count = count;
	return OK;
}

static fallible zone_open(const struct conf *conf, const struct conf_zone *from, struct arena *mem, struct zone_live *z,
			  struct err *err)
{
	AUTO(arena_done) struct arena tmp = { 0 };
	z->zone = (struct conf_zone){
		.name = str_dup(mem, from->name),
		.quorum = from->quorum,
		.http_port = from->http_port,
		.alpn_port = from->alpn_port,
		.attempts = from->attempts,
		.deadline_ms = from->deadline_ms,
		.allow_addresses = list_dup(mem, &from->allow_addresses),
	};
	z->allowed_count = from->allow_addresses.n;
	z->allowed = ARENA_ARRAY(mem, struct addr_range, z->allowed_count);
	for (size_t i = 0; i < z->allowed_count; i++)
		TRY(addr_range_read(from->allow_addresses.v[i], &z->allowed[i], err));
	struct resolve_forward *forwards = ARENA_ARRAY(&tmp, struct resolve_forward, from->forward_count);
	for (size_t i = 0; i < from->forward_count; i++)
		forwards[i] = (struct resolve_forward){ from->forwards[i].pattern, from->forwards[i].addrs.v,
							from->forwards[i].addrs.n };
	struct resolve_conf rc = { .servers = from->resolvers.v,
				   .server_count = from->resolvers.n,
				   .forwards = forwards,
				   .forward_count = from->forward_count };
	TRY(statics_read(from, &tmp, &rc, err));
	if (from->trust_anchor.n > 0)
		rc.trust_anchor_file = str_z(conf_path(conf, &tmp, from->trust_anchor));
	return resolver_new(&rc, &z->resolver, err);
}

static void realms_copy(const struct conf *conf, struct zone_set *s)
{
	s->realms = ARENA_ARRAY(&s->mem, struct conf_realm, conf->realm_count);
	for (size_t i = 0; i < conf->realm_count; i++) {
		const struct conf_realm *from = &conf->realms[i];
		s->realms[s->realm_count++] = (struct conf_realm){
			.name = str_dup(&s->mem, from->name),
			.zone = str_dup(&s->mem, from->zone),
			.caa = str_dup(&s->mem, from->caa),
			.caa_identities = list_dup(&s->mem, &from->caa_identities),
			.account_hash_prefix = str_dup(&s->mem, from->account_hash_prefix),
		};
	}
}

static void zone_set_auto(struct zone_set **s)
{
	zone_set_unref(*s);
}

fallible zone_set_new(const struct conf *conf, struct str perspective, struct zone_set **ret, struct err *err)
{
	AUTO(zone_set_auto) struct zone_set *s = mem_alloc(sizeof *s);
	atomic_init(&s->refs, 1);
	realms_copy(conf, s);
	s->zones = ARENA_ARRAY(&s->mem, struct zone_live, conf->zone_count);
	for (size_t i = 0; i < conf->zone_count; i++) {
		const struct conf_zone *from = &conf->zones[i];
		if (!conf_list_has(&from->perspectives, perspective))
			continue;
		struct rc rc = zone_open(conf, from, &s->mem, &s->zones[s->count++], err);
		if (rc.kind != ERR_NONE) {
			err_prefix(err, "zone \"%.*s\": ", STR_FMT(from->name));
			return rc;
		}
	}
	*ret = TAKE(s);
	return OK;
}

struct zone_set *zone_set_ref(struct zone_set *s)
{
	atomic_fetch_add(&s->refs, 1);
	return s;
}

void zone_set_unref(struct zone_set *s)
{
	if (s == NULL || atomic_fetch_sub(&s->refs, 1) != 1)
		return;
	for (size_t i = 0; i < s->count; i++)
		resolver_free(s->zones[i].resolver);
	arena_done(&s->mem);
	free(s);
}

const struct zone_live *zone_set_find(const struct zone_set *s, struct str name)
{
	for (size_t i = 0; i < s->count; i++)
		if (str_eq(s->zones[i].zone.name, name))
			return &s->zones[i];
	return NULL;
}

const struct conf_realm *zone_set_realm(const struct zone_set *s, struct str name)
{
	for (size_t i = 0; i < s->realm_count; i++)
		if (str_eq(s->realms[i].name, name))
			return &s->realms[i];
	return NULL;
}

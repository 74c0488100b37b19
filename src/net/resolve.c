/* SPDX-License-Identifier: Apache-2.0
 *
 * resolve.c: the questions that others ask: the static table first, where it counts, then DNS.
 */
#include "net/resolve_internal.h"

/* --- the static table --------------------------------------------------------------------------------------------*/

/* The most specific pattern that matches: the name itself, else the longest wildcard. */
static struct str static_find(const struct resolver *r, struct str name)
{
	struct str best = STR_NONE;
	for (size_t i = 0; i < r->static_count; i++) {
		struct str pattern = r->statics[i].pattern;
		if (str_eq_nocase(pattern, name))
			return pattern;
		if (!str_starts(pattern, STR("*.")))
			continue;
		struct str tail = str_sub(pattern, 1, pattern.n); /* ".a.test": something must stand before it */
		bool below = name.n > tail.n && str_eq_nocase(str_sub(name, name.n - tail.n, name.n), tail);
		if (below && pattern.n > best.n)
			best = pattern;
	}
	return best;
}

static bool ask_static(const struct resolver *r, struct str name, struct arena *mem, struct resolve_answer *ret)
{
	struct str pattern = static_find(r, name);
	if (pattern.p == NULL)
		return false;
	ret->addrs = ARENA_ARRAY(mem, struct addr, RESOLVE_ADDRS_MAX);
	ret->from_static = true;
	for (size_t t = 0; t < ASK_COUNT; t++) {
		size_t of_type = 0;
		for (size_t i = 0; i < r->static_count && of_type < FAMILY_ADDRS_MAX; i++) {
			const struct resolve_static *s = &r->statics[i];
			if (s->addr.family != address_types[t].family || !str_eq_nocase(s->pattern, pattern))
				continue;
			ret->addrs[ret->addr_count++] = s->addr;
			of_type++;
		}
	}
	return true;
}

static fallible name_usable(const struct resolver *r, struct str name, struct arena *mem, char **ret, struct err *err)
{
	if (name.n == 0 || name.n > NAME_MAX_LEN)
		FAIL(err, ERR_DNS, "a name of %zu bytes cannot be looked up; wanted 1 to %d", name.n, NAME_MAX_LEN);
	if (r->zones.n == 0)
		FAIL(err, ERR_DNS,
		     "%.*s is not in the static table, and no resolver is configured; set zone.resolvers, or name "
		     "servers in %s",
		     STR_FMT(name), RESOLV_CONF);
	return str_dupz(mem, name, ret, err);
}

fallible resolve_addrs(struct resolver *r, const struct clock *clk, int64_t deadline_mono_ms, struct str name,
		       struct arena *mem, struct resolve_answer *ret, struct err *err)
{
	*ret = (struct resolve_answer){ .dnssec = DNSSEC_INSECURE };
	if (name.n > 0 && ask_static(r, name, mem, ret))
		return OK;
	char *namez;
	TRY(name_usable(r, name, mem, &namez, err));
	struct question q = { .name = namez, .wanted = "an address" };
	struct outcome o[ASK_COUNT];
	struct ask *a;
	TRY(ask_dns(r, clk, deadline_mono_ms, address_types, ASK_COUNT, &q, o, &a, err));
	struct rc rc = addresses_read(o, &q, mem, ret, err);
	ask_end(a);
	return rc;
}

fallible resolve_txt(struct resolver *r, const struct clock *clk, int64_t deadline_mono_ms, struct str name,
		     struct arena *mem, struct resolve_txt_answer *ret, struct err *err)
{
	*ret = (struct resolve_txt_answer){ .dnssec = DNSSEC_INSECURE };
	char *namez;
	TRY(name_usable(r, name, mem, &namez, err));
	struct question q = { .name = namez, .wanted = "a TXT record" };
	struct outcome o;
	struct ask *a;
	TRY(ask_dns(r, clk, deadline_mono_ms, &txt_type, 1, &q, &o, &a, err));
	struct rc rc = txt_read(&o, &q, mem, ret, err);
	ask_end(a);
	return rc;
}

fallible resolve_caa(struct resolver *r, const struct clock *clk, int64_t deadline_mono_ms, struct str name,
		     struct arena *mem, struct resolve_caa_answer *ret, struct err *err)
{
	*ret = (struct resolve_caa_answer){ .dnssec = DNSSEC_INSECURE };
	char *namez;
	TRY(name_usable(r, name, mem, &namez, err));
	struct question q = { .name = namez, .wanted = "an answer, if only that there is no CAA record" };
	struct outcome o;
	struct ask *a;
	TRY(ask_dns(r, clk, deadline_mono_ms, &caa_type, 1, &q, &o, &a, err));
	struct rc rc = caa_read(&o, &q, mem, ret, err);
	ask_end(a);
	return rc;
}

bool resolver_has_static(const struct resolver *r, struct str name)
{
	return name.n > 0 && static_find(r, name).p != NULL;
}

/* --- who is asked -------------------------------------------------------------------------------------------------*/

static bool is_at_or_below(struct str name, struct str domain)
{
	struct str tail = str_sub(name, name.n < domain.n ? name.n : name.n - domain.n, name.n);
	return str_eq_nocase(tail, domain) && (name.n == domain.n || name.p[name.n - domain.n - 1] == '.');
}

struct str resolver_describe(const struct resolver *r, struct str name)
{
	const struct forward *best = NULL;
	for (size_t i = 0; i < r->forward_count; i++)
		if (is_at_or_below(name, r->forwards[i].domain) &&
		    (best == NULL || r->forwards[i].domain.n > best->domain.n))
			best = &r->forwards[i];
	return best == NULL ? r->description : best->description;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * target.c: from a host to the addresses that may be contacted. Looked up once, every address vetted, and what passed is
 * what the caller pins (THREATS A29, A30).
 */
#include "validate/internal.h"

#define LOOKUP_MAX_MS 10000

static bool address_is_allowed(const struct probe_env *env, const struct addr *a)
{
	for (size_t i = 0; i < env->allowed_count; i++)
		if (addr_in(a, &env->allowed[i]))
			return true;
	return addr_special(a) == NULL;
}

/* from: the resolver, for the case of a split view; empty when none was asked.
 * Takes the first address of each family that may be contacted. What may not is told in the transcript, all of it. */
static fallible targets_vet(struct probe *p, struct str host, struct str from, const struct addr *addrs, size_t n,
			    struct targets *ret, struct err *err)
{
	struct str refused = STR("");
	bool have_v6 = false, have_v4 = false;
	ret->count = 0;
	for (size_t i = 0; i < n; i++) {
		bool *have = addrs[i].family == AF_INET6 ? &have_v6 : &have_v4;
		if (address_is_allowed(p->env, &addrs[i])) {
			if (!*have)
				ret->addrs[ret->count++] = addrs[i];
			*have = true;
			continue;
		}
		char text[ADDR_TEXT_MAX];
		addr_show(&addrs[i], text);
		refused = str_fmt(p->mem, "%.*s%s%s is %s", STR_FMT(refused), refused.n == 0 ? "" : ", ", text,
				  addr_special(&addrs[i]));
	}
	if (refused.n > 0)
		probe_step(p, "resolve", "refused: %.*s", STR_FMT(refused));
	if (ret->count > 0)
		return OK;
	p->final = true;
	FAIL(err, ERR_CONNECTION,
	     "%.*s has no address that may be contacted: %.*s; wanted a public address, or one in allow-addresses of "
	     "zone \"%.*s\"%s%.*s",
	     STR_FMT(host), STR_FMT(str_sub(refused, 0, 300)), STR_FMT(p->env->zone->name),
	     from.n == 0 ? "" : "; publish one where this validator asks: ", STR_FMT(from));
}

static struct str addrs_show(struct arena *mem, const struct addr *addrs, size_t n)
{
	struct str all = STR("");
	for (size_t i = 0; i < n; i++) {
		char text[ADDR_TEXT_MAX];
		addr_show(&addrs[i], text);
		all = str_fmt(mem, "%.*s%s%s", STR_FMT(all), i == 0 ? "" : ", ", text);
	}
	return all;
}

const char *targets_passed_over(const struct probe *p, const struct targets *t)
{
	char text[ADDR_TEXT_MAX];
	addr_show(&t->addrs[1], text);
	return str_dupz_raw(p->mem, str_fmt(p->mem,
					    " (the AAAA record leads there; %s of the A record is asked only when that "
					    "cannot be reached)",
					    text));
}

fallible targets_find(struct probe *p, struct str host, const struct addr *literal, struct targets *ret,
		      struct err *err)
{
	if (literal != NULL)
		return targets_vet(p, host, STR(""), literal, 1, ret, err);
	const struct probe_ops *ops = p->env->ops;
	int64_t until = clock_mono_ms(p->env->clk) + LOOKUP_MAX_MS;
	if (until > p->deadline_mono_ms)
		until = p->deadline_mono_ms;
	struct str from = ops->resolver_name(ops->ctx, host);
	struct resolve_answer answer = { 0 };
	struct err why = { 0 };
	struct rc rc = ops->resolve(ops->ctx, host, until, p->mem, &answer, &why);
	if (rc.kind != ERR_NONE) {
		probe_step(p, "resolve", "%.*s AAAA,A from %.*s: %s", STR_FMT(host), STR_FMT(from), why.detail);
		*err = why;
		return rc;
	}
	struct str found = addrs_show(p->mem, answer.addrs, answer.addr_count);
	probe_step(p, "resolve", "%.*s AAAA,A from %.*s: %.*s (%s)", STR_FMT(host),
		   STR_FMT(answer.from_static ? STR("static table") : from), STR_FMT(found),
		   answer.from_static               ? "set by the operator"
		   : answer.dnssec == DNSSEC_SECURE ? "secure"
						    : "insecure");
	return targets_vet(p, host, answer.from_static ? STR("") : from, answer.addrs, answer.addr_count, ret, err);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * recheck_caa.c: did CAA (RFC 8659) allow it, not too long ago? The same perspectives must say so, of the very name, for
 * this account and a method that proved it.
 */
#include "sign/recheck.h"

#define CAA_VALID_MS ((int64_t)8 * 3600 * 1000) /* BR 3.2.2.8.1 */

static bool caa_covers(const struct proof *p, const struct ident *ident)
{
	bool wildcard;
	struct str base = ident_below_star(ident, &wildcard);
	const struct verdict *v = &p->verdict;
	return p->readable && v->ident.type == IDENT_DNS && v->wildcard == wildcard && str_eq(v->ident.value, base);
}

static fallible caa_says(const struct check *x, struct proof *p, unsigned methods, struct err *err)
{
	const struct verdict *v = &p->verdict;
	TRY(proof_belongs(x, p, err));
	if (v->caa_result != CAA_ALLOWED)
		FAIL(err, ERR_UNAUTHORIZED, "%s",
		     v->caa_result == CAA_NOT_NEEDED
			     ? "it says that CAA was not needed; realm.caa must be the same everywhere"
			     : "CAA was not looked up");
	if (v->account_url.n == 0) /* RFC 8657 3 */
		FAIL(err, ERR_UNAUTHORIZED, "it does not say for which account CAA was looked up");
	if ((methods & (v->granted ? METHOD_GRANT : 1u << v->method)) == 0) /* RFC 8657 4 */
		FAIL(err, ERR_UNAUTHORIZED, "CAA was looked up for %s, by which the name was not proven",
		     v->granted ? CAA_GRANT_METHOD : challenge_type_name(v->method));
	if (v->finished_ms > x->rk->now_ms + CLOCK_SKEW_S * 1000 || v->started_ms > v->finished_ms)
		FAIL(err, ERR_UNAUTHORIZED, "its times are in the future or in the wrong order");
	return OK;
}

enum caa_age { CAA_NONE, CAA_OLD, CAA_FRESH };

/* Per perspective, its best; *ret_last: why the last one that was for this name did not count. */
static void caa_ages(const struct check *x, const struct ident *ident, unsigned methods, struct proof *proofs,
		     enum caa_age *ages, struct err *ret_last)
{
	memset(ages, 0, x->rk->conf->perspective_count * sizeof *ages);
	for (size_t i = 0; i < x->job->verdict_count; i++) {
		struct proof *p = &proofs[i];
		struct err why = { 0 };
		if (!caa_covers(p, ident))
			continue;
		if (FAILED(caa_says(x, p, methods, &why)) || FAILED(proof_verify(x, p, &why))) {
			*ret_last = why;
			continue;
		}
		bool fresh = p->verdict.finished_ms >= x->rk->now_ms - CAA_VALID_MS;
		if (fresh || ages[p->perspective] == CAA_NONE)
			ages[p->perspective] = fresh ? CAA_FRESH : CAA_OLD;
	}
}

fallible check_caa(const struct check *x, const struct ident *ident, unsigned methods, struct proof *proofs,
		   struct err *err)
{
	size_t fresh = 0, any = 0;
	struct err last = { 0 };
	if (ident->type != IDENT_DNS || str_eq(x->realm->caa, STR("off")))
		return OK;
	enum caa_age *ages = ARENA_ARRAY(x->mem, enum caa_age, x->rk->conf->perspective_count + 1);
	caa_ages(x, ident, methods, proofs, ages, &last);
	for (size_t i = 0; i < x->rk->conf->perspective_count; i++) {
		fresh += ages[i] == CAA_FRESH;
		any += ages[i] != CAA_NONE;
	}
	if ((int64_t)fresh >= x->zone->quorum)
		return OK;
	if ((int64_t)any >= x->zone->quorum) /* nothing is wrong but the time: the api asks again */
		FAIL(err, ERR_CAA, "CAA of %.*s was looked up more than %lld s ago by %zu perspectives",
		     STR_FMT(ident->value), (long long)(CAA_VALID_MS / 1000), any - fresh);
	FAIL(err, ERR_UNAUTHORIZED, "CAA of %.*s: %zu of the %lld perspectives that zone \"%.*s\" wants allow it%s%s",
	     STR_FMT(ident->value), any, (long long)x->zone->quorum, STR_FMT(x->zone->name),
	     last.kind == ERR_NONE ? "" : "; of one verdict: ", last.kind == ERR_NONE ? "" : last.detail);
}

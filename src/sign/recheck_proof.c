/* SPDX-License-Identifier: Apache-2.0
 *
 * recheck_proof.c: what the perspectives signed. A name is proven by a quorum of its zone's perspectives, each with a
 * verdict under a key that the signer has pinned, for this account's key, in time.
 */
#include "sign/recheck.h"

struct tally {            /* what was found for one name */
	size_t counted;   /* perspectives that saw the same */
	unsigned methods; /* by which: bits of enum challenge_type */
	struct err last;  /* why the last one that was for this name did not count */
};

struct str ident_below_star(const struct ident *id, bool *ret_wildcard)
{
	struct str base = id->value;
	*ret_wildcard = str_skip(&base, STR("*."));
	return base;
}

static fallible proof_read(const struct check *x, struct str text, struct proof *p, struct err *err)
{
	TRY(jws_compact_read(x->mem, text, STR(VERDICT_TYP), VERDICT_JWS_MAX, &p->jws, err));
	TRY(verdict_read(x->mem, p->jws.payload, &p->verdict, err));
	if (!str_eq(p->jws.kid, p->verdict.perspective))
		FAIL(err, ERR_UNAUTHORIZED, "it is signed as \"%.*s\" but speaks for \"%.*s\"", STR_FMT(p->jws.kid),
		     STR_FMT(p->verdict.perspective));
	return OK;
}

/* Who may speak in this realm: a perspective of its zone whose key the signer has pinned. */
static fallible proof_speaker(const struct check *x, struct proof *p, struct err *err)
{
	const struct conf *conf = x->rk->conf;
	struct str who = p->verdict.perspective;
	if (!conf_list_has(&x->zone->perspectives, who))
		FAIL(err, ERR_UNAUTHORIZED, "perspective \"%.*s\" is not of zone \"%.*s\"", STR_FMT(who),
		     STR_FMT(x->zone->name));
	for (size_t i = 0; i < conf->perspective_count; i++) {
		if (str_eq(conf->perspectives[i].name, who) && x->rk->perspective_keys[i] != NULL) {
			p->perspective = i;
			return OK;
		}
	}
	FAIL(err, ERR_UNAUTHORIZED, "the signer has no key of perspective \"%.*s\"", STR_FMT(who));
}

static fallible proof_method(const struct check *x, const struct verdict *v, struct err *err)
{
	const char *method = challenge_type_name(v->method);
	if (!conf_list_has(&x->realm->challenges, str_z(method)))
		FAIL(err, ERR_UNAUTHORIZED, "realm \"%.*s\" does not take %s", STR_FMT(x->realm->name), method);
	/* RFC 8555 8.3, RFC 8737 3: a name that answers for itself says nothing of those below it. */
	if (v->wildcard && !challenge_is_dns(v->method))
		FAIL(err, ERR_UNAUTHORIZED, "%s cannot prove a wildcard", method);
	/* RFC 8738 7: the reverse tree is no proof of who has the address. */
	if (v->ident.type == IDENT_IP && challenge_is_dns(v->method))
		FAIL(err, ERR_UNAUTHORIZED, "%s cannot prove an address", method);
	return OK;
}

/* A proof that was made for this order holds as long as the order; an older one is a reuse, which the realm bounds. */
static fallible proof_fresh(const struct check *x, const struct verdict *v, struct err *err)
{
	int64_t now = x->rk->now_ms, reuse_ms = conf_authz_valid(x->realm, x->profile) * 1000;
	if (v->finished_ms > now + CLOCK_SKEW_S * 1000 || v->started_ms > v->finished_ms)
		FAIL(err, ERR_UNAUTHORIZED, "its times are in the future or in the wrong order");
	if (v->finished_ms < now - reuse_ms && v->started_ms < id_time_ms(x->job->order))
		FAIL(err, ERR_UNAUTHORIZED, "it is %lld s old, realm \"%.*s\" and profile \"%.*s\" allow %lld s",
		     (long long)((now - v->finished_ms) / 1000), STR_FMT(x->realm->name), STR_FMT(x->profile->name),
		     (long long)(reuse_ms / 1000));
	return OK;
}

#define PERSIST_VALID_MS ((int64_t)10 * 86400 * 1000) /* BR 3.2.2.4.22 */

/* draft-ietf-acme-dns-persist-02 4.1, 4.2 */
static fallible proof_persists(const struct check *x, const struct verdict *v, struct err *err)
{
	int64_t now = x->rk->now_ms;
	bool found = v->record_thumbprint.n == 0;
	if (v->method != CHALLENGE_DNSPERSIST01)
		return OK;
	if (v->finished_ms < now - PERSIST_VALID_MS)
		FAIL(err, ERR_UNAUTHORIZED, "it is %lld s old, dns-persist-01 holds for %lld s",
		     (long long)((now - v->finished_ms) / 1000), (long long)(PERSIST_VALID_MS / 1000));
	if (v->persist_until_s != 0 && v->persist_until_s < now / 1000)
		FAIL(err, ERR_UNAUTHORIZED, "its record held until %lld s before now",
		     (long long)(now / 1000 - v->persist_until_s));
	for (size_t i = 0; !found && i < x->job->key_change_count; i++)
		found = str_eq(x->earlier[i], v->record_thumbprint);
	if (!found)
		FAIL(err, ERR_UNAUTHORIZED,
		     "its record names an earlier key of the account, and no key change of the job shows that");
	return OK;
}

/* Where a record was looked for, or what it had to say, depends on the account's URL: it must be this account's. */
static fallible proof_account(const struct check *x, const struct verdict *v, struct err *err)
{
	struct str want = own_url(x, "account", x->job->account, "");
	if (v->account_url.n > 0 && !str_eq(v->account_url, want))
		FAIL(err, ERR_UNAUTHORIZED, "it is for the account \"%.*s\"", STR_FMT(v->account_url));
	return OK; /* the model has seen to it that it is there where it matters */
}

fallible proof_belongs(const struct check *x, struct proof *p, struct err *err)
{
	const struct verdict *v = &p->verdict;
	if (!v->valid)
		FAIL(err, ERR_UNAUTHORIZED, "it says that the challenge failed");
	if (!str_eq(v->realm, x->realm->name))
		FAIL(err, ERR_UNAUTHORIZED, "it is for realm \"%.*s\"", STR_FMT(v->realm));
	/* One perspective may serve several zones; what it saw with another's tables and ranges says nothing here. */
	if (!str_eq(v->zone, x->zone->name))
		FAIL(err, ERR_UNAUTHORIZED, "it was looked up in zone \"%.*s\", realm \"%.*s\" wants \"%.*s\"",
		     STR_FMT(v->zone), STR_FMT(x->realm->name), STR_FMT(x->zone->name));
	if (!str_eq(v->thumbprint, str_z(x->thumbprint.z)))
		FAIL(err, ERR_UNAUTHORIZED, "it is for another account's key");
	TRY(proof_speaker(x, p, err));
	if (!v->granted) /* of CAA alone: the model has seen to it */
		TRY(proof_method(x, v, err));
	return proof_account(x, v, err);
}

/* All but the signature, which costs most and comes last. */
static fallible proof_says(const struct check *x, struct proof *p, struct err *err)
{
	TRY(proof_belongs(x, p, err));
	TRY(proof_persists(x, &p->verdict, err));
	return proof_fresh(x, &p->verdict, err);
}

fallible proof_verify(const struct check *x, struct proof *p, struct err *err)
{
	if (!p->verified) {
		p->good = !FAILED(
			jws_compact_verify(x->rk->crypto, &p->jws, x->rk->perspective_keys[p->perspective], NULL));
		p->verified = true;
	}
	if (!p->good)
		FAIL(err, ERR_UNAUTHORIZED, "perspective \"%.*s\" did not sign it", STR_FMT(p->verdict.perspective));
	return OK;
}

/* RFC 9444: a proof in the DNS that was asked for with all that lies below serves the names below, where the realm wants
 * that. It names no wildcards, and a wildcard stands for more than any one name: that is proven for itself only. Nor is
 * a whole top-level domain, or any other public suffix, anybody's to prove. */
static bool proof_covers_below(const struct check *x, const struct verdict *v, struct str name)
{
	return x->realm->subdomain_auth && v->subdomains && !v->wildcard && challenge_is_dns(v->method) &&
	       name_is_below(name, v->ident.value) && !FAILED(name_check(v->ident.value, false, NULL)) &&
	       !FAILED(conf_suffix_check(x->rk->conf, v->ident.value, NULL));
}

/* Is this verdict about that identifier? Whether it is any good is proof_says' question. */
static bool proof_covers(const struct check *x, const struct proof *p, const struct ident *ident)
{
	bool wildcard = false;
	struct str base = ident->type == IDENT_DNS ? ident_below_star(ident, &wildcard) : ident->value;
	const struct verdict *v = &p->verdict;
	if (!p->readable || v->caa_only || v->ident.type != ident->type)
		return false; /* who looked up CAA and nothing else has seen nobody's control */
	if (v->wildcard == wildcard && str_eq(v->ident.value, base))
		return true;
	return ident->type == IDENT_DNS && !wildcard && proof_covers_below(x, v, base);
}

/* Both saw the same: one method and, with dns-persist-01, one key in the record. A quorum of different sights is none. */
static bool proofs_agree(const struct proof *a, const struct proof *b)
{
	return a->verdict.method == b->verdict.method &&
	       str_eq(a->verdict.record_thumbprint, b->verdict.record_thumbprint);
}

/* Counts perspectives, not verdicts: a second one from the same perspective adds nothing. */
static size_t tally_sight(const struct check *x, const struct ident *ident, struct proof *proofs, size_t lead,
			  bool *counted, struct tally *t)
{
	size_t n = 0;
	memset(counted, 0, x->rk->conf->perspective_count);
	for (size_t i = lead; i < x->job->verdict_count && (int64_t)n < x->zone->quorum; i++) {
		struct proof *p = &proofs[i];
		struct err why = { 0 };
		if (!proof_covers(x, p, ident) || !proofs_agree(p, &proofs[lead]))
			continue;
		if (FAILED(proof_says(x, p, &why)) || (!counted[p->perspective] && FAILED(proof_verify(x, p, &why)))) {
			t->last = why;
			continue;
		}
		n += !counted[p->perspective];
		counted[p->perspective] = true;
	}
	return n;
}

/* The sights in the order of the job, until one has its quorum. Those that count can name a method and one of the account's
 * keys only, so there are few, however many verdicts a job has. */
static void tally_ident(const struct check *x, const struct ident *ident, struct proof *proofs, bool *counted,
			struct tally *t)
{
	size_t *leads = ARENA_ARRAY(x->mem, size_t, (EARLIER_KEYS_MAX + 1) * CHALLENGE_TYPE_COUNT + 1);
	size_t lead_count = 0;
	for (size_t i = 0; i < x->job->verdict_count && (int64_t)t->counted < x->zone->quorum; i++) {
		bool known = false;
		struct err why = { 0 };
		if (!proof_covers(x, &proofs[i], ident))
			continue;
		if (FAILED(proof_says(x, &proofs[i], &why))) {
			t->last = why;
			continue;
		}
		for (size_t k = 0; k < lead_count && !known; k++)
			known = proofs_agree(&proofs[leads[k]], &proofs[i]);
		if (known)
			continue;
		leads[lead_count++] = i;
		size_t n = tally_sight(x, ident, proofs, i, counted, t);
		if (n > t->counted)
			*t = (struct tally){ .counted = n, .methods = 1u << proofs[i].verdict.method, .last = t->last };
	}
}

static fallible evidence_lacks(const struct check *x, const struct ident *ident, const struct tally *t,
			       const struct err *unreadable, struct err *err)
{
	const struct err *last = t->last.kind != ERR_NONE ? &t->last : unreadable;
	if (x->grant_why.kind != ERR_NONE)
		FAIL(err, ERR_UNAUTHORIZED,
		     "%.*s is proven by %zu of %lld perspectives, and a grant does not count: %s",
		     STR_FMT(ident->value), t->counted, (long long)x->zone->quorum, x->grant_why.detail);
	FAIL(err, ERR_UNAUTHORIZED, "%.*s is proven by %zu of the %lld perspectives that zone \"%.*s\" wants%s%s",
	     STR_FMT(ident->value), t->counted, (long long)x->zone->quorum, STR_FMT(x->zone->name),
	     last->kind == ERR_NONE ? "" : "; of one verdict: ", last->kind == ERR_NONE ? "" : last->detail);
}

fallible check_evidence(struct check *x, struct err *err)
{
	struct proof *proofs = ARENA_ARRAY(x->mem, struct proof, x->job->verdict_count + 1);
	bool *counted = ARENA_ARRAY(x->mem, bool, x->rk->conf->perspective_count + 1);
	struct err unreadable = { 0 };
	for (size_t i = 0; i < x->job->verdict_count; i++)
		proofs[i].readable = !FAILED(proof_read(x, x->job->verdicts[i], &proofs[i], &unreadable));
	for (size_t i = 0; i < x->job->ident_count; i++) {
		const struct ident *ident = &x->job->idents[i];
		struct tally t = { 0 };
		tally_ident(x, ident, proofs, counted, &t);
		unsigned by = (int64_t)t.counted >= x->zone->quorum ? t.methods : 0;
		if (check_is_granted(x, ident))
			by |= METHOD_GRANT;
		if (by == 0)
			return evidence_lacks(x, ident, &t, &unreadable, err);
		TRY(check_caa(x, ident, by, proofs, err));
	}
	return OK;
}

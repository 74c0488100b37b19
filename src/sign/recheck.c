/* SPDX-License-Identifier: Apache-2.0
 *
 * recheck.c: does this job carry evidence for everything it asks? (DESIGN 5.) Nothing in a job is believed because the
 * api sent it: what the client wants is what the client signed, a name is proven by what pinned perspectives signed,
 * and the limits are those of the signer's own configuration. The steps stand in one table, cheap ones first; each may
 * rely on those before it.
 */
#include "sign/recheck.h"

#include <stdlib.h>

#define CLOCK_SKEW_S ((int64_t)300)
#define NOT_BEFORE_OFF_MAX_S ((int64_t)48 * 3600) /* of the signer's clock, either way: BR 7.1.2.7 */
#define CAA_VALID_MS ((int64_t)8 * 3600 * 1000)   /* BR 3.2.2.8.1 */
#define CSR_PAYLOAD_MAX (CSR_DER_MAX * 4 / 3 + 4)

struct check {
	const struct recheck *rk;
	struct arena *mem;
	const struct sign_job *job;
	const struct conf_realm *realm;
	const struct conf_profile *profile;
	const struct conf_zone *zone;
	struct str base; /* of the realm's URLs */
	struct key *account;
	struct thumbprint thumbprint;
	struct str *earlier; /* thumbprints of the account's earlier keys, as far as the job shows them */
	struct str csr_der;
	struct csr csr;
};

/* --- what the configuration says ----------------------------------------------------------------------------------*/
static fallible check_realm(struct check *x, struct err *err)
{
	x->realm = conf_realm(x->rk->conf, x->job->realm);
	if (x->realm == NULL)
		FAIL(err, ERR_UNAUTHORIZED, "the signer knows no realm \"%.*s\"", STR_FMT(x->job->realm));
	x->zone = conf_zone(x->rk->conf, x->realm->zone);
	if (x->zone == NULL || x->zone->quorum < 1)
		FAIL(err, ERR_UNAUTHORIZED, "realm \"%.*s\" has no zone that could prove a name",
		     STR_FMT(x->job->realm));
	struct str base = x->rk->conf->api.base_url;
	x->base = str_eq(x->realm->name, STR("default"))
			  ? base
			  : str_fmt(x->mem, "%.*s/realm/%.*s", STR_FMT(base), STR_FMT(x->realm->name));
	return OK;
}

static fallible check_profile(struct check *x, struct err *err)
{
	x->profile = conf_profile(x->rk->conf, x->job->profile);
	if (x->profile == NULL || !conf_list_has(&x->realm->profiles, x->job->profile))
		FAIL(err, ERR_INVALID_PROFILE, "realm \"%.*s\" does not issue the profile \"%.*s\"",
		     STR_FMT(x->job->realm), STR_FMT(x->job->profile));
	return OK;
}

static fallible check_issuer(struct check *x, struct err *err)
{
	if (!str_eq(x->job->issuer, x->realm->issuer))
		FAIL(err, ERR_UNAUTHORIZED, "realm \"%.*s\" is issued by \"%.*s\", not by \"%.*s\"",
		     STR_FMT(x->job->realm), STR_FMT(x->realm->issuer), STR_FMT(x->job->issuer));
	return OK;
}

static fallible check_allowed(const struct check *x, const struct ident *id, struct err *err)
{
	struct addr addr;
	TRY(ident_check(id, true, err)); /* of an address: its one text, so that texts compare below */
	if (id->type == IDENT_DNS) {
		TRY(name_check(id->value, true, err));
		return conf_realm_allows(x->realm, id->value, err);
	}
	TRY(addr_read(id->value, &addr, err));
	return conf_realm_allows_addr(x->realm, &addr, err);
}

static fallible check_name(const struct check *x, size_t i, struct err *err)
{
	const struct ident *id = &x->job->idents[i];
	TRY(check_allowed(x, id, err));
	for (size_t k = 0; k < i; k++) {
		if (str_eq(x->job->idents[k].value, id->value)) /* no name is an address: name_check */
			FAIL(err, ERR_MALFORMED, "the order names %.*s twice", STR_FMT(id->value));
	}
	return OK;
}

static fallible check_names(struct check *x, struct err *err)
{
	size_t max = IDENTS_MAX;
	if (x->realm->names_per_order >= 0 && (size_t)x->realm->names_per_order < max)
		max = (size_t)x->realm->names_per_order;
	if (x->job->ident_count == 0)
		FAIL(err, ERR_MALFORMED, "the order names nothing");
	if (x->job->ident_count > max)
		FAIL(err, ERR_REJECTED_IDENTIFIER, "the order has %zu names, realm \"%.*s\" allows %zu",
		     x->job->ident_count, STR_FMT(x->job->realm), max);
	for (size_t i = 0; i < x->job->ident_count; i++)
		TRY(check_name(x, i, err));
	return OK;
}

static fallible check_serial(struct check *x, struct err *err)
{
	struct serial serial;
	if (FAILED(serial_read_hex(x->job->serial_hex, &serial, err))) {
		err_prefix(err, "serial: ");
		return (struct rc){ ERR_MALFORMED };
	}
	/* After a lost journal the operator changes the prefix: then no serial from before may come back. */
	if (serial.b[0] != x->rk->conf->signer.serial_prefix)
		FAIL(err, ERR_MALFORMED, "serial: it begins with %02x, wanted %02x, this signer's serial-prefix",
		     serial.b[0], (unsigned)x->rk->conf->signer.serial_prefix);
	return OK;
}

static fallible check_validity(struct check *x, struct err *err)
{
	int64_t now = x->rk->now_ms / 1000, seconds;
	int64_t from = x->job->not_before, to = x->job->not_after;
	if (from < now - NOT_BEFORE_OFF_MAX_S)
		FAIL(err, ERR_MALFORMED, "notBefore is more than 48 hours ago");
	if (from > now + NOT_BEFORE_OFF_MAX_S)
		FAIL(err, ERR_MALFORMED, "notBefore is more than 48 hours ahead");
	/* Both ends count (RULES 1.1). */
	if (to < from || __builtin_sub_overflow(to, from, &seconds) || __builtin_add_overflow(seconds, 1, &seconds))
		FAIL(err, ERR_MALFORMED, "notAfter is before notBefore");
	if (to < now)
		FAIL(err, ERR_MALFORMED, "the certificate would have ended already");
	if (seconds > x->profile->lifetime_s)
		FAIL(err, ERR_MALFORMED, "a life of %lld s is asked for, profile \"%.*s\" allows %lld s",
		     (long long)seconds, STR_FMT(x->job->profile), (long long)x->profile->lifetime_s);
	return OK;
}

/* The order's id carries its time and is part of the URL that the client signed. An order that could have ended long
 * ago is refused, so the journal need not remember orders for ever to release one certificate for each. */
static fallible check_order_age(struct check *x, struct err *err)
{
	int64_t made = id_time_ms(x->job->order), now = x->rk->now_ms;
	if (made > now + CLOCK_SKEW_S * 1000)
		FAIL(err, ERR_MALFORMED, "the order was made in the future");
	if (made < now - (x->realm->order_life_s + ORDER_GRACE_S) * 1000)
		FAIL(err, ERR_UNAUTHORIZED, "the order is older than realm \"%.*s\" lets orders live",
		     STR_FMT(x->job->realm));
	return OK;
}

/* --- what the client signed --- */
/* The key that signed finalize: the account may have another by now, but what was proven was proven under this one. */
static fallible check_account(struct check *x, struct err *err)
{
	if (FAILED(jwk_read_text(x->job->account_jwk, &x->account, err))) {
		err_prefix(err, "account key: ");
		return (struct rc){ ERR_BAD_PUBLIC_KEY };
	}
	return jwk_thumbprint(x->rk->crypto, x->account, &x->thumbprint, err);
}

static struct str own_url(const struct check *x, const char *what, struct id id, const char *tail)
{
	return str_fmt(x->mem, "%.*s/%s/%s%s", STR_FMT(x->base), what, id_show(id).z, tail);
}

/* RFC 8555 6.4: the URL under the client's signature says which order it meant. */
static fallible finalize_url_check(const struct check *x, const struct jws *j, struct err *err)
{
	struct str want = own_url(x, "order", x->job->order, "/finalize");
	if (!str_eq(x->job->finalize_url, want))
		FAIL(err, ERR_UNAUTHORIZED, "the finalize URL is \"%.*s\", this order's is \"%.*s\"",
		     STR_FMT(x->job->finalize_url), STR_FMT(want));
	if (!str_eq(j->url, want))
		FAIL(err, ERR_UNAUTHORIZED, "the client signed a request for \"%.*s\", this order's is \"%.*s\"",
		     STR_FMT(j->url), STR_FMT(want));
	return OK;
}

static fallible finalize_kid_check(const struct check *x, const struct jws *j, struct err *err)
{
	struct str want = own_url(x, "account", x->job->account, "");
	if (!str_eq(j->kid, want))
		FAIL(err, ERR_UNAUTHORIZED, "the finalize request is from \"%.*s\", the order is of \"%.*s\"",
		     STR_FMT(j->kid), STR_FMT(want));
	return OK;
}

/* Keys that the account had before: nothing is proven by them but what a record of dns-persist-01 says of one. */
static fallible check_key_changes(struct check *x, struct err *err)
{
	const struct key_chain_want want = { .crypto = x->rk->crypto,
					     .url = str_fmt(x->mem, "%.*s/key-change", STR_FMT(x->base)),
					     .account_url = own_url(x, "account", x->job->account, ""),
					     .thumbprint = str_z(x->thumbprint.z) };
	return key_chain_read(&want, x->mem, x->job->key_changes, x->job->key_change_count, &x->earlier, err);
}

static fallible payload_csr(struct check *x, struct str payload, struct err *err)
{
	AUTO(json_auto) struct json *top = NULL;
	struct str csr;
	TRY(json_read(payload, JWS_BODY_MAX, &top, err));
	TRY(json_want_str(top, "csr", CSR_PAYLOAD_MAX, &csr, err));
	return b64url_decode(x->mem, csr, CSR_DER_MAX, &x->csr_der, err);
}

static fallible check_finalize(struct check *x, struct err *err)
{
	AUTO(jws_done) struct jws j = { 0 };
	const struct sign_job *job = x->job;
	TRY(jws_read_parts(x->mem, job->finalize_protected, job->finalize_payload, job->finalize_signature, &j, err));
	TRY(finalize_url_check(x, &j, err));
	TRY(finalize_kid_check(x, &j, err));
	if (j.alg != key_sig_alg(x->account))
		FAIL(err, ERR_BAD_SIGNATURE_ALGORITHM,
		     "the finalize request is signed with %s, the account's key wants %s", sig_alg_name(j.alg),
		     sig_alg_name(key_sig_alg(x->account)));
	if (FAILED(jws_verify(x->rk->crypto, &j, x->account, err)))
		FAIL(err, ERR_UNAUTHORIZED, "the account's key did not sign the finalize request");
	return payload_csr(x, j.payload, err);
}

static fallible check_csr(struct check *x, struct err *err)
{
	TRY(csr_read(x->rk->crypto, x->mem, x->csr_der, &x->csr, err));
	if (key_public_eq(x->csr.key, x->account))
		FAIL(err, ERR_BAD_CSR, "the CSR has the account's own key (RFC 8555 11.1)");
	return OK;
}

static int by_type_and_text(const void *a, const void *b)
{
	const struct ident *x = a, *y = b;
	size_t n = x->value.n < y->value.n ? x->value.n : y->value.n;
	int c = n == 0 ? 0 : memcmp(x->value.p, y->value.p, n);
	if (x->type != y->type)
		return x->type < y->type ? -1 : 1;
	return c != 0 ? c : (x->value.n > y->value.n) - (x->value.n < y->value.n);
}

/* What the CSR asks for, in the words of an order: addresses as RFC 5952 writes them. */
static struct ident *csr_idents(const struct check *x, size_t *ret_count)
{
	const struct csr *r = &x->csr;
	struct ident *v = ARENA_ARRAY(x->mem, struct ident, r->name_count + r->addr_count + 1);
	size_t n = 0;
	for (size_t i = 0; i < r->name_count; i++)
		v[n++] = (struct ident){ IDENT_DNS, r->names[i] };
	for (size_t i = 0; i < r->addr_count; i++) {
		char text[ADDR_TEXT_MAX];
		addr_show(&r->addrs[i], text);
		v[n++] = (struct ident){ IDENT_IP, str_dup(x->mem, str_z(text)) };
	}
	qsort(v, n, sizeof *v, by_type_and_text);
	*ret_count = n;
	return v;
}

/* RFC 8555 7.4: exactly the order's identifiers. Both lists are sets by now: csr_read and check_names saw to it. */
static fallible check_csr_names(struct check *x, struct err *err)
{
	size_t count = x->job->ident_count, asked_count;
	struct ident *ordered = ARENA_ARRAY(x->mem, struct ident, count);
	const struct ident *asked = csr_idents(x, &asked_count);
	memcpy(ordered, x->job->idents, count * sizeof *ordered);
	qsort(ordered, count, sizeof *ordered, by_type_and_text);
	if (asked_count != count)
		FAIL(err, ERR_BAD_CSR, "the CSR has %zu names, the order %zu", asked_count, count);
	for (size_t i = 0; i < count; i++) {
		int order = by_type_and_text(&ordered[i], &asked[i]);
		if (order < 0)
			FAIL(err, ERR_BAD_CSR, "the CSR lacks %.*s, which was ordered", STR_FMT(ordered[i].value));
		if (order > 0)
			FAIL(err, ERR_BAD_CSR, "the CSR names %.*s, which was not ordered", STR_FMT(asked[i].value));
	}
	return OK;
}

/* --- what the perspectives signed --- */
struct proof { /* one verdict of the job */
	struct jws_compact jws;
	struct verdict verdict;
	size_t perspective; /* index in conf->perspectives */
	bool readable, verified, good;
};

struct tally { /* what was found for one name */
	size_t seen, counted;
	unsigned methods; /* of those that counted: bits of enum challenge_type */
	struct err last;  /* why the last one that was for this name did not count */
};

static struct str ident_base(const struct ident *id, bool *ret_wildcard)
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
	int64_t now = x->rk->now_ms, reuse_ms = x->realm->authz_valid_s * 1000;
	if (v->finished_ms > now + CLOCK_SKEW_S * 1000 || v->started_ms > v->finished_ms)
		FAIL(err, ERR_UNAUTHORIZED, "its times are in the future or in the wrong order");
	if (v->finished_ms < now - reuse_ms && v->started_ms < id_time_ms(x->job->order))
		FAIL(err, ERR_UNAUTHORIZED, "it is %lld s old, realm \"%.*s\" allows %lld s",
		     (long long)((now - v->finished_ms) / 1000), STR_FMT(x->realm->name),
		     (long long)x->realm->authz_valid_s);
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

/* What control and CAA have in common: who speaks, of which realm and zone, to which account's key. */
static fallible proof_belongs(const struct check *x, struct proof *p, struct err *err)
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

static fallible proof_verify(const struct check *x, struct proof *p, struct err *err)
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
 * a whole top-level domain anybody's to prove. */
static bool proof_covers_below(const struct check *x, const struct verdict *v, struct str name)
{
	return x->realm->subdomain_auth && v->subdomains && !v->wildcard && challenge_is_dns(v->method) &&
	       name_is_below(name, v->ident.value) && !FAILED(name_check(v->ident.value, false, NULL));
}

/* Is this verdict about that identifier? Whether it is any good is proof_says' question. */
static bool proof_covers(const struct check *x, const struct proof *p, const struct ident *ident)
{
	bool wildcard = false;
	struct str base = ident->type == IDENT_DNS ? ident_base(ident, &wildcard) : ident->value;
	const struct verdict *v = &p->verdict;
	if (!p->readable || v->caa_only || v->ident.type != ident->type)
		return false; /* who looked up CAA and nothing else has seen nobody's control */
	if (v->wildcard == wildcard && str_eq(v->ident.value, base))
		return true;
	return ident->type == IDENT_DNS && !wildcard && proof_covers_below(x, v, base);
}

/* Counts perspectives, not verdicts: a second one from the same perspective adds nothing. */
static void tally_ident(const struct check *x, const struct ident *ident, struct proof *proofs, bool *counted,
			struct tally *t)
{
	memset(counted, 0, x->rk->conf->perspective_count);
	for (size_t i = 0; i < x->job->verdict_count && (int64_t)t->counted < x->zone->quorum; i++) {
		struct proof *p = &proofs[i];
		struct err why = { 0 };
		if (!proof_covers(x, p, ident))
			continue;
		t->seen++;
		if (FAILED(proof_says(x, p, &why)) || (!counted[p->perspective] && FAILED(proof_verify(x, p, &why)))) {
			t->last = why;
			continue;
		}
		t->counted += !counted[p->perspective];
		t->methods |= 1u << p->verdict.method;
		counted[p->perspective] = true;
	}
}

/* --- CAA (RFC 8659): the same perspectives, of the very name, for this account and a method that proved it --- */
static bool caa_covers(const struct proof *p, const struct ident *ident)
{
	bool wildcard;
	struct str base = ident_base(ident, &wildcard);
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
	if ((methods & 1u << v->method) == 0) /* RFC 8657 4 */
		FAIL(err, ERR_UNAUTHORIZED, "CAA was looked up for %s, by which the name was not proven",
		     challenge_type_name(v->method));
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

static fallible check_caa(const struct check *x, const struct ident *ident, unsigned methods, struct proof *proofs,
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

static fallible check_evidence(struct check *x, struct err *err)
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
		if ((int64_t)t.counted >= x->zone->quorum) {
			TRY(check_caa(x, ident, t.methods, proofs, err));
			continue;
		}
		const struct err *last = t.last.kind != ERR_NONE ? &t.last : &unreadable;
		FAIL(err, ERR_UNAUTHORIZED,
		     "%.*s is proven by %zu of the %lld perspectives that zone \"%.*s\" wants%s%s",
		     STR_FMT(ident->value), t.counted, (long long)x->zone->quorum, STR_FMT(x->zone->name),
		     last->kind == ERR_NONE ? "" : "; of one verdict: ", last->kind == ERR_NONE ? "" : last->detail);
	}
	return OK;
}

/* --- all of it --- */
static void check_done(struct check *x)
{
	key_free(x->account);
	csr_done(&x->csr);
}

fallible recheck_job(const struct recheck *rk, struct arena *mem, const struct sign_job *job, struct csr *ret_csr,
		     struct err *err)
{
	static const struct {
		fallible (*fn)(struct check *, struct err *);
	} checks[] = {
		{ check_realm },    { check_profile },   { check_issuer },   { check_names },    { check_serial },
		{ check_validity }, { check_order_age }, { check_account },  { check_finalize }, { check_key_changes },
		{ check_csr },      { check_csr_names }, { check_evidence },
	};
	AUTO(check_done) struct check x = { .rk = rk, .mem = mem, .job = job };
	for (size_t i = 0; i < ARRAY_LEN(checks); i++)
		TRY(checks[i].fn(&x, err));
	*ret_csr = x.csr;
	x.csr = (struct csr){ 0 };
	return OK;
}

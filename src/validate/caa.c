/* SPDX-License-Identifier: Apache-2.0
 *
 * caa.c: may this CA issue for the name (RFC 8659), to this account and by this method (RFC 8657)? First the judge of one
 * record set, which knows no DNS; below it the climb from the name to its top-level domain, where the first set that is
 * not empty decides. Where an alias leads, the resolver has seen; the tree above an alias's target is not climbed
 * (RFC 8659 3). A lookup that fails is never a permission.
 */
#include "validate/internal.h"

#define LOOKUP_MAX_MS 10000
#define FLAG_CRITICAL 0x80
#define FLAG_MISTAKEN 0x01 /* bit 0 of RFC 8659 is the highest: who wrote 1 meant that one */
#define RECORDS_SHOWN 4
#define URL_SHOWN_MAX 160
#define ADVICE_IDENTITIES 3

/* --- one property's value (RFC 8659 4.2) --------------------------------------------------------------------------*/

static bool is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* A label, and a parameter's tag: letters and digits, hyphens between them. */
static bool is_label(struct str s)
{
	if (s.n == 0 || !is_alnum(s.p[0]) || !is_alnum(s.p[s.n - 1]))
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!is_alnum(s.p[i]) && s.p[i] != '-')
			return false;
	return true;
}

static bool is_domain(struct str s)
{
	for (size_t at = 0; at <= s.n;) {
		size_t end = str_find(s, '.', at);
		if (!is_label(str_sub(s, at, end)))
			return false;
		at = end + 1;
	}
	return true;
}

/* What may stand in a parameter's value; the ; that ends it is gone already. */
static bool is_parameter_value(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < 0x21 || s.p[i] > 0x7e)
			return false;
	return true;
}

static fallible parameter_read(struct str text, struct caa_value *v, struct err *err)
{
	size_t eq = str_find(text, '=', 0);
	struct str tag = str_trim(str_sub(text, 0, eq));
	struct str value = str_trim(str_sub(text, eq + 1, text.n));
	if (eq == text.n || !is_label(tag) || !is_parameter_value(value))
		FAIL(err, ERR_MALFORMED, "a parameter is not of the form tag=value");
	/* A parameter under any other tag says nothing to this CA. */
	if (str_eq_nocase(tag, STR("accounturi"))) {
		v->account_uris++;
		v->account_uri = value;
	} else if (str_eq_nocase(tag, STR("validationmethods"))) {
		v->method_lists++;
		v->methods = value;
	}
	return OK;
}

fallible caa_value_read(struct str text, struct caa_value *ret, struct err *err)
{
	size_t end = str_find(text, ';', 0);
	struct caa_value v = { .issuer = str_trim(str_sub(text, 0, end)) };
	if (v.issuer.n > 0 && !is_domain(v.issuer))
		FAIL(err, ERR_MALFORMED, "what stands before the parameters is not a domain name");
	bool none = str_trim(str_sub(text, end, text.n)).n <= 1; /* nothing, or a ; with nothing behind it */
	while (!none && end < text.n) {
		size_t from = end + 1;
		end = str_find(text, ';', from);
		TRY(parameter_read(str_sub(text, from, end), &v, err));
	}
	*ret = v;
	return OK;
}

/* --- one record against the question ------------------------------------------------------------------------------*/

enum match {
	MATCH_YES,
	MATCH_OTHER_CA, /* names nobody, or somebody else */
	MATCH_MALFORMED,
	MATCH_ACCOUNT, /* from here on: names us, but */
	MATCH_METHOD,
	MATCH_REPEATED,
	MATCH_COUNT
};

static bool is_ours(const struct caa_question *q, struct str issuer)
{
	for (size_t i = 0; i < q->identities->n; i++)
		if (str_eq_nocase(q->identities->v[i], issuer))
			return true;
	return false;
}

/* RFC 8657 4: one label among others; a list that is not one has none of them. */
static bool methods_have(struct str list, struct str method)
{
	bool found = false;
	for (size_t at = 0; at <= list.n;) {
		size_t end = str_find(list, ',', at);
		struct str label = str_sub(list, at, end);
		for (size_t i = 0; i < label.n; i++)
			if (!is_alnum(label.p[i]) && label.p[i] != '-')
				return false;
		if (label.n == 0)
			return false;
		found = found || str_eq(label, method);
		at = end + 1;
	}
	return found;
}

static enum match value_match(const struct caa_question *q, struct str text)
{
	struct caa_value v;
	if (FAILED(caa_value_read(text, &v, NULL)))
		return MATCH_MALFORMED;
	if (v.issuer.n == 0 || !is_ours(q, v.issuer))
		return MATCH_OTHER_CA;
	if (v.account_uris > 1 || v.method_lists > 1)
		return MATCH_REPEATED;
	/* RFC 8657 3: compared as a string, without any normalisation. */
	if (v.account_uris == 1 && (q->account_url.n == 0 || !str_eq(v.account_uri, q->account_url)))
		return MATCH_ACCOUNT;
	if (v.method_lists == 1 && !methods_have(v.methods, q->method))
		return MATCH_METHOD;
	return MATCH_YES;
}

static bool tag_is_known(struct str tag)
{
	static const char *const known[] = { "issue", "issuewild", "iodef", "issuemail", "issuevmc" };
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (str_eq_nocase(tag, str_z(known[i])))
			return true;
	return false;
}

static struct str record_show(struct arena *mem, const struct resolve_caa_record *r)
{
	struct str tag = peer_text(mem, r->tag, PEER_TEXT_MAX);
	struct str value = peer_text(mem, r->value, URL_SHOWN_MAX);
	return str_fmt(mem, "%u %.*s '%.*s'", (unsigned)r->flags, STR_FMT(tag), STR_FMT(value));
}

struct str caa_set_show(struct arena *mem, const struct resolve_caa_answer *set)
{
	struct str all = STR("");
	size_t shown = set->count < RECORDS_SHOWN ? set->count : RECORDS_SHOWN;
	size_t more = set->count - shown;
	for (size_t i = 0; i < shown; i++)
		all = str_fmt(mem, "%.*s%s%.*s", STR_FMT(all), i == 0 ? "" : ", ",
			      STR_FMT(record_show(mem, &set->records[i])));
	if (more > 0)
		all = str_fmt(mem, "%.*s and %zu more", STR_FMT(all), more);
	if (set->left_out > 0)
		all = str_fmt(mem, "%.*s%s%zu that cannot be read", STR_FMT(all), set->count == 0 ? "" : " and ",
			      set->left_out);
	return all;
}

/* --- the judge of one set (RFC 8659 4) ----------------------------------------------------------------------------*/

static struct str identities_show(struct arena *mem, const struct conf_list *identities)
{
	if (identities->n == 0)
		return STR("this CA has no name for CAA records (realm.caa-identities is empty)");
	struct str all = STR("this CA is ");
	for (size_t i = 0; i < identities->n && i < ADVICE_IDENTITIES; i++)
		all = str_fmt(mem, "%.*s%s'%.*s'", STR_FMT(all), i == 0 ? "" : " or ", STR_FMT(identities->v[i]));
	return all;
}

/* What to do when no record of the property lets us issue. */
static struct str advice(const struct caa_question *q, const char *property, struct arena *mem)
{
	struct str who = identities_show(mem, q->identities);
	if (q->identities->n == 0)
		return str_fmt(mem, "%.*s; ask its operator to set one", STR_FMT(who));
	return str_fmt(mem, "%.*s; add a record 0 %s '%.*s', or use a CA that is allowed", STR_FMT(who), property,
		       STR_FMT(q->identities->v[0]));
}

/* The record that came nearest to a permission tells most. */
static fallible deny(const struct caa_question *q, const struct resolve_caa_record *r, enum match why,
		     const char *property, struct arena *mem, struct err *err)
{
	struct str shown = record_show(mem, r);
	struct str url = q->account_url.n == 0 ? STR("not known") : peer_text(mem, q->account_url, URL_SHOWN_MAX);
	struct str todo = advice(q, property, mem);
	switch (why) {
	case MATCH_ACCOUNT:
		FAIL(err, ERR_CAA, "%.*s is for another account (RFC 8657 3): this one is %.*s, to the letter; add it",
		     STR_FMT(shown), STR_FMT(url));
	case MATCH_METHOD:
		FAIL(err, ERR_CAA,
		     "%.*s does not allow %.*s (RFC 8657 4); add it to validationmethods, or use "
		     "another challenge",
		     STR_FMT(shown), STR_FMT(q->method));
	case MATCH_REPEATED:
		FAIL(err, ERR_CAA,
		     "%.*s repeats accounturi or validationmethods, so that nobody may issue (RFC 8657); "
		     "leave one of each",
		     STR_FMT(shown));
	case MATCH_MALFORMED:
		FAIL(err, ERR_CAA, "%.*s is not of the form 'domain; tag=value' and allows nobody (RFC 8659 4.2); %.*s",
		     STR_FMT(shown), STR_FMT(todo));
	case MATCH_OTHER_CA:
	case MATCH_YES:
	case MATCH_COUNT:
		break;
	}
	FAIL(err, ERR_CAA, "%.*s; %.*s", STR_FMT(shown), STR_FMT(todo));
}

static bool set_has(const struct resolve_caa_answer *set, struct str tag)
{
	for (size_t i = 0; i < set->count; i++)
		if (str_eq_nocase(set->records[i].tag, tag))
			return true;
	return false;
}

fallible caa_judge(const struct caa_question *q, const struct resolve_caa_answer *set, struct arena *mem,
		   struct str *ret_text, struct err *err)
{
	if (set->left_out > 0)
		FAIL(err, ERR_CAA,
		     "%zu of its records cannot be read, so that nobody knows what they forbid; remove "
		     "what is malformed or too much",
		     set->left_out);
	for (size_t i = 0; i < set->count; i++) {
		const struct resolve_caa_record *r = &set->records[i];
		if ((r->flags & (FLAG_CRITICAL | FLAG_MISTAKEN)) != 0 && !tag_is_known(r->tag))
			FAIL(err, ERR_CAA,
			     "%.*s is critical and its tag is not known here (RFC 8659 4.1); remove it, "
			     "or use a CA that knows it",
			     STR_FMT(record_show(mem, r)));
	}
	bool wild = q->wildcard && set_has(set, STR("issuewild")); /* RFC 8659 4.3: then issue does not count */
	const char *property = wild ? "issuewild" : "issue";
	const struct resolve_caa_record *nearest = NULL;
	enum match why = MATCH_OTHER_CA;
	for (size_t i = 0; i < set->count; i++) {
		const struct resolve_caa_record *r = &set->records[i];
		if (!str_eq_nocase(r->tag, str_z(property)))
			continue;
		enum match m = value_match(q, r->value);
		if (m == MATCH_YES) {
			*ret_text = record_show(mem, r);
			return OK;
		}
		if (nearest == NULL || m > why) {
			nearest = r;
			why = m;
		}
	}
	if (nearest != NULL)
		return deny(q, nearest, why, property, mem, err);
	*ret_text = STR("no record restricts this certificate");
	return OK;
}

/* --- the climb (RFC 8659 3) ---------------------------------------------------------------------------------------*/

/* Where violations should be reported; nobody reports them yet, so the transcript keeps it. */
static struct str iodef_of(struct arena *mem, const struct resolve_caa_answer *set)
{
	for (size_t i = 0; i < set->count; i++)
		if (str_eq_nocase(set->records[i].tag, STR("iodef")))
			return str_fmt(mem, "; iodef '%.*s'",
				       STR_FMT(peer_text(mem, set->records[i].value, PEER_TEXT_MAX)));
	return STR_NONE;
}

static const char *dnssec_name(enum dnssec d)
{
	return d == DNSSEC_SECURE ? "secure" : "insecure";
}

/* The verdict's own sentence, within its limit; what peers sent is printable in it. */
static void tell(struct probe *p, struct str text)
{
	p->caa_text = text.n <= VERDICT_CAA_MAX ? text : str_fmt(p->mem, "%.*s...", VERDICT_CAA_MAX - 3, text.p);
}

static fallible look_up(struct probe *p, struct str name, struct resolve_caa_answer *ret, struct err *err)
{
	const struct probe_ops *ops = p->env->ops;
	struct str from = ops->resolver_name(ops->ctx, name);
	int64_t until = clock_mono_ms(p->env->clk) + LOOKUP_MAX_MS;
	if (until > p->deadline_mono_ms)
		until = p->deadline_mono_ms;
	struct err why = { 0 };
	struct rc rc = ops->resolve_caa(ops->ctx, name, until, p->mem, ret, &why);
	if (rc.kind != ERR_NONE) {
		probe_step(p, "caa", "%.*s CAA from %.*s: %s", STR_FMT(name), STR_FMT(from), why.detail);
		tell(p, str_fmt(p->mem, "lookup failed at %.*s", STR_FMT(name)));
		err_prefix(&why, "CAA (RFC 8659) must be known before a certificate is issued: ");
		*err = why;
		return rc;
	}
	struct str alias = peer_text(p->mem, ret->canonical, 100);
	struct str found = ret->nxdomain                           ? STR("NXDOMAIN")
			   : ret->count == 0 && ret->left_out == 0 ? STR("no record")
								   : caa_set_show(p->mem, ret);
	probe_step(p, "caa", "%.*s%s%.*s CAA from %.*s: %.*s (%s)", STR_FMT(name), alias.n == 0 ? "" : ", alias of ",
		   STR_FMT(alias), STR_FMT(from), STR_FMT(found), dnssec_name(ret->dnssec));
	return OK;
}

static fallible judge_at(struct probe *p, const struct caa_question *q, struct str at,
			 const struct resolve_caa_answer *set, struct err *err)
{
	struct arena *mem = p->mem;
	struct str iodef = iodef_of(mem, set), text = STR_NONE;
	struct err why = { 0 };
	struct rc rc = caa_judge(q, set, mem, &text, &why);
	if (rc.kind == ERR_NONE) {
		tell(p, str_fmt(mem, "%.*s: %.*s (%s)%.*s", STR_FMT(at), STR_FMT(text), dnssec_name(set->dnssec),
				STR_FMT(iodef)));
		return OK;
	}
	p->final = true; /* what the zone says is clear */
	tell(p, str_fmt(mem, "forbidden by %.*s%.*s: %.*s (%s)", STR_FMT(at), STR_FMT(iodef),
			STR_FMT(caa_set_show(mem, set)), dnssec_name(set->dnssec)));
	struct str from = p->env->ops->resolver_name(p->env->ops->ctx, at);
	FAIL(err, rc.kind, "CAA record for %s%.*s prevents issuance: at %.*s from %.*s: %s", q->wildcard ? "*." : "",
	     STR_FMT(p->job->ident.value), STR_FMT(at), STR_FMT(from), why.detail);
}

static fallible climb(struct probe *p, const struct caa_question *q, struct err *err)
{
	struct str name = p->job->ident.value;
	for (size_t at = 0; at < name.n; at = str_find(name, '.', at) + 1) {
		struct resolve_caa_answer set;
		struct str here = str_sub(name, at, name.n);
		TRY(look_up(p, here, &set, err));
		if (set.count > 0 || set.left_out > 0)
			return judge_at(p, q, here, &set, err);
	}
	tell(p, str_fmt(p->mem, "no record at %.*s or above it", STR_FMT(name)));
	return OK;
}

fallible caa_check(struct probe *p, struct err *err)
{
	const struct conf_realm *realm = p->env->realm;
	const struct probe_ops *ops = p->env->ops;
	const struct validate_job *job = p->job;
	p->caa_result = CAA_NOT_NEEDED;
	if (job->ident.type != IDENT_DNS) {
		tell(p, STR("not-needed: an address has no CAA records"));
		return OK;
	}
	if (str_eq(realm->caa, STR("off"))) {
		tell(p, STR("not-needed: off in this realm"));
		return OK;
	}
	p->caa_result = CAA_NOT_CHECKED;
	struct str asked = job->wildcard ? str_fmt(p->mem, "*.%.*s", STR_FMT(job->ident.value)) : job->ident.value;
	const struct caa_question q = {
		.identities = &realm->caa_identities,
		.account_url = job->account_url,
		.method = job->granted ? STR(CAA_GRANT_METHOD) : str_z(challenge_type_name(job->method)),
		.wildcard = job->wildcard,
	};
	/* Where the operator has said what a name is, the DNS has no say in it. */
	if (ops->in_static_table(ops->ctx, asked))
		tell(p, STR("static table"));
	else
		TRY(climb(p, &q, err));
	p->caa_result = CAA_ALLOWED;
	return OK;
}

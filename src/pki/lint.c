/* SPDX-License-Identifier: Apache-2.0
 *
 * lint.c: the rules about certificates as one table, and its two uses: the last look before a signature (BR 4.3.1.2,
 * RULES R5), which stops at the first finding, and any certificate, of which all findings are told.
 */
#include "pki/lint_look.h"
#include "pki/lint_second.h"

#include <openssl/err.h>

static const struct {
	const struct lint_rule *rules;
	const size_t *count;
} parts[] = {
	{ lint_rules_form, &lint_rules_form_count },   { lint_rules_subject, &lint_rules_subject_count },
	{ lint_rules_key, &lint_rules_key_count },     { lint_rules_ext, &lint_rules_ext_count },
	{ lint_rules_names, &lint_rules_names_count }, { lint_rules_asked, &lint_rules_asked_count },
};

const struct lint_rule *lint_rule_at(size_t i)
{
	for (size_t part = 0; part < ARRAY_LEN(parts); part++) {
		if (i < *parts[part].count)
			return &parts[part].rules[i];
		i -= *parts[part].count;
	}
	return NULL;
}

const char *lint_level_name(enum lint_level level)
{
	return level == LINT_ERROR ? "error" : "notice";
}

static bool rule_holds(const struct lint_rule *rule, const struct look *l)
{
	unsigned kind = l->is_ca && !l->must_be_leaf ? FOR_CA : FOR_LEAF;
	unsigned strictness = l->public_rules ? IN_PUBLIC : IN_PRIVATE;
	if ((rule->when & kind) == 0 || (rule->when & strictness) == 0)
		return false;
	if ((rule->when & WITH_ISSUER) != 0 && l->issuer_cert == NULL)
		return false;
	return (rule->when & WHEN_ASKED) == 0 || l->asked != NULL;
}

/* --- before signing --------------------------------------------------------------------------------------------------*/
static fallible finding(const char *rule, const struct err *sub, struct err *err)
{
	ERR_clear_error();
	err_set(err, ERR_INTERNAL, "the certificate does not pass its own checks");
	err_cause(err, "%s: %s", rule, sub->detail);
	return (struct rc){ ERR_INTERNAL };
}

/* Those about what was asked for, or the others. Under public rules a notice stops a certificate as an error does. */
static fallible stop_at_first(const struct look *l, bool asked, struct err *err)
{
	struct err sub = { 0 };
	for (size_t part = 0; part < ARRAY_LEN(parts); part++) {
		for (size_t i = 0; i < *parts[part].count; i++) {
			const struct lint_rule *rule = &parts[part].rules[i];
			if (((rule->when & WHEN_ASKED) != 0) != asked || !rule_holds(rule, l))
				continue;
			if ((rule->level == LINT_ERROR || l->public_rules) && FAILED(rule->check(l, &sub)))
				return finding(rule->name, &sub, err);
		}
	}
	ERR_clear_error();
	return OK;
}

fallible cert_lint(const struct issuer *i, const struct cert_template *t, const struct cert_request *r, struct str der,
		   struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(cert_auto) struct cert *cert = NULL;
	AUTO(second_auto) struct second *second = second_read(der);
	struct err sub = { 0 }, unread = { 0 };
	const struct look_asked asked = { .issuer = i, .t = t, .r = r };
	struct look l = { .mem = &mem,
			  .der = der,
			  .public_rules = t->public_rules,
			  .must_be_leaf = true,
			  .issuer_cert = issuer_cert(i),
			  .issuer_key = i->public,
			  .asked = &asked,
			  .second = second };
	if (FAILED(look_take_apart(&l, &sub)))
		return finding("parse", &sub, err);
	TRY(stop_at_first(&l, false, err));
	if (FAILED(cert_read_der(der, &cert, &unread))) /* the rules say better than the reader what is wrong */
		return finding("parse", &unread, err);
	return stop_at_first(&l, true, err);
}

/* --- any certificate ---------------------------------------------------------------------------------------------------*/
static bool claims_public(const struct look *l)
{
	for (size_t i = 0; i < l->policy_count; i++)
		if (look_policy_is_reserved(l->policies[i].oid))
			return true;
	return false;
}

static size_t rule_count(void)
{
	size_t n = 0;
	for (size_t part = 0; part < ARRAY_LEN(parts); part++)
		n += *parts[part].count;
	return n;
}

static void report_add(struct arena *mem, struct lint_report *r, const struct lint_rule *rule, const struct err *why)
{
	r->findings[r->count++] = (struct lint_finding){ rule, str_dup(mem, str_z(why->detail)) };
}

static void find_all(const struct look *l, struct lint_report *r)
{
	const struct lint_rule *rule;
	for (size_t i = 0; (rule = lint_rule_at(i)) != NULL; i++) {
		struct err sub = { 0 };
		if (rule_holds(rule, l) && FAILED(rule->check(l, &sub)))
			report_add(l->mem, r, rule, &sub);
	}
	ERR_clear_error();
}

fallible cert_lint_any(struct arena *mem, const struct lint_how *how, struct str der, struct lint_report *ret,
		       struct err *err)
{
	AUTO(second_auto) struct second *second = second_read(der);
	AUTO(key_auto) struct key *issuer_key = NULL;
	struct err sub = { 0 };
	struct lint_report r = { .findings = ARENA_ARRAY(mem, struct lint_finding, rule_count()) };
	if (how->issuer != NULL && FAILED(cert_get_key(how->issuer, &issuer_key, NULL)))
		issuer_key = NULL; /* of no kind that is served: a finding of some rules */
	struct look l = { .mem = mem,
			  .der = der,
			  .must_be_leaf = how->must_be_leaf,
			  .issuer_cert = how->issuer,
			  .issuer_key = issuer_key,
			  .second = second };
	struct rc rc = look_take_apart(&l, &sub);
	if (FAILED(rc) && second == NULL)
		FAIL(err, ERR_MALFORMED, "this is no certificate: %s", sub.detail);
	l.public_rules = how->strictness == LINT_PUBLIC || (how->strictness == LINT_AS_IT_CLAIMS && claims_public(&l));
	r.public_rules = l.public_rules;
	r.is_ca = l.is_ca;
	if (FAILED(rc)) /* a certificate to a reader that takes BER: the other rules have nothing to look at */
		report_add(mem, &r, lint_rule_at(0), &sub);
	else
		find_all(&l, &r);
	*ret = r;
	return OK;
}

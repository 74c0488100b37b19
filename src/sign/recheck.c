/* SPDX-License-Identifier: Apache-2.0
 *
 * recheck.c: does this job carry evidence for everything it asks? (DESIGN 5.) Nothing in a job is believed because the
 * api sent it: what the client wants is what the client signed (recheck_request.c), a name is proven by what pinned
 * perspectives signed (recheck_proof.c, recheck_caa.c), and the limits are those of the signer's own configuration. The
 * steps stand in one table, cheap ones first; each may rely on those before it.
 */
#include "sign/recheck.h"

#define NOT_BEFORE_OFF_MAX_S ((int64_t)48 * 3600) /* of the signer's clock, either way: BR 7.1.2.7 */

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
	if (!conf_list_has(&x->realm->issuers, x->job->issuer))
		FAIL(err, ERR_UNAUTHORIZED, "realm \"%.*s\" is not issued by \"%.*s\"", STR_FMT(x->job->realm),
		     STR_FMT(x->job->issuer));
	return OK;
}

static fallible check_allowed(const struct check *x, const struct ident *id, struct err *err)
{
	struct addr addr;
	TRY(ident_check(id, true, err)); /* of an address: its one text, so that texts compare below */
	if (id->type == IDENT_DNS) {
		struct str base = id->value;
		TRY(name_check(id->value, true, err));
		if (str_skip(&base, STR("*.")))
			TRY(conf_suffix_check(x->rk->conf, base, err));
		return conf_realm_allows(x->realm, id->value, err);
	}
	TRY(addr_read(id->value, &addr, err));
	return conf_realm_allows_addr(x->realm, &addr, err);
}

static fallible check_name(const struct check *x, size_t i, struct err *err)
{
	const struct ident *id = &x->job->idents[i];
	TRY(check_allowed(x, id, err));
	TRY(conf_profile_allows(x->profile, id->value, id->type == IDENT_IP, err));
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
	if ((size_t)x->profile->names_max < max)
		max = (size_t)x->profile->names_max;
	if (x->job->ident_count == 0)
		FAIL(err, ERR_MALFORMED, "the order names nothing");
	if (x->job->ident_count > max)
		FAIL(err, ERR_REJECTED_IDENTIFIER,
		     "the order has %zu names, realm \"%.*s\" and profile \"%.*s\" allow %zu", x->job->ident_count,
		     STR_FMT(x->job->realm), STR_FMT(x->job->profile), max);
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
	int64_t most = conf_lifetime(x->realm, x->profile, from);
	if (seconds > most)
		FAIL(err, ERR_MALFORMED, "a life of %lld s is asked for, profile \"%.*s\" allows %lld s",
		     (long long)seconds, STR_FMT(x->job->profile), (long long)most);
	return OK;
}

/* What the profile says of the CSR; that it is sound, and whose it is, check_csr has seen. */
static fallible check_csr_profile(struct check *x, struct err *err)
{
	const struct csr *r = &x->csr;
	TRY(key_list_check(x->rk->crypto, x->rk->refused_keys, r->key, ERR_BAD_CSR, err));
	return conf_profile_allows_csr(x->profile, key_kind_name(key_get_kind(r->key)), key_get_bits(r->key),
				       r->must_staple, err);
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

/* --- all of it --- */
static void check_done(struct check *x)
{
	key_free(x->account);
	csr_done(&x->csr);
}

void rechecked_done(struct rechecked *r)
{
	csr_done(&r->csr);
}

#define BEYOND "alarm: a job beyond what the configuration allows"
#define UNASKED "alarm: a job that the client did not sign"
#define UNPROVEN "alarm: a job without proof"

static const struct {
	fallible (*fn)(struct check *, struct err *);
	const char *alarm;
} checks[] = {
	{ check_realm, BEYOND },         { check_profile, BEYOND },  { check_issuer, BEYOND },
	{ check_names, BEYOND },         { check_serial, BEYOND },   { check_validity, BEYOND },
	{ check_order_age, BEYOND },     { check_account, UNASKED }, { check_finalize, UNASKED },
	{ check_key_changes, UNPROVEN }, { check_csr, UNASKED },     { check_csr_profile, BEYOND },
	{ check_csr_names, UNASKED },    { check_grants, UNPROVEN }, { check_evidence, UNPROVEN },
	{ check_subject, UNPROVEN },
};

/* As of that moment; *ret_at: the step that failed. */
static fallible check_all(struct check *x, size_t *ret_at, struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(checks); i++) {
		*ret_at = i;
		TRY(checks[i].fn(x, err));
	}
	return OK;
}

/* A job may wait for its signer, and while it does a proof grows old, a grant ends or an operator takes it back. That is
 * no attack: had it come when the client asked, a backdating before notBefore's end, it would have held. */
static bool is_late(const struct recheck *rk, struct arena *mem, const struct sign_job *job)
{
	const struct conf_profile *p = conf_profile(rk->conf, job->profile);
	int64_t asked_s, now_s = rk->now_ms / 1000;
	if (p == NULL || __builtin_add_overflow(job->not_before, p->backdate_s, &asked_s) || asked_s > now_s ||
	    asked_s < now_s - ORDER_GRACE_S)
		return false;
	struct recheck then = *rk;
	then.now_ms = asked_s * 1000;
	AUTO(check_done) struct check x = { .rk = &then, .mem = mem, .job = job };
	size_t at;
	return !FAILED(check_all(&x, &at, NULL));
}

fallible recheck_job(const struct recheck *rk, struct arena *mem, const struct sign_job *job, struct rechecked *ret,
		     const char **ret_alarm, struct err *err)
{
	AUTO(check_done) struct check x = { .rk = rk, .mem = mem, .job = job };
	size_t at = 0;
	struct rc rc = check_all(&x, &at, err);
	if (FAILED(rc)) {
		if (ret_alarm != NULL)
			*ret_alarm = is_late(rk, mem, job) ? NULL : checks[at].alarm;
		return rc;
	}
	*ret = (struct rechecked){ .csr = x.csr,
				   .subject = x.subject,
				   .has_subject = x.has_subject,
				   .emails = x.emails,
				   .email_count = x.email_count };
	x.csr = (struct csr){ 0 };
	return OK;
}

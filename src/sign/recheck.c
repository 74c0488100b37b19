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

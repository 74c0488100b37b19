/* SPDX-License-Identifier: Apache-2.0
 *
 * resolve_read.c: from libunbound's results to answers, or to the words that say why there is none.
 */
#include "net/resolve_internal.h"

void outcome_read(const struct ub_result *r, struct outcome *o)
{
	o->rcode = r->rcode;
	o->secure = r->secure != 0;
	o->nxdomain = r->nxdomain != 0;
	o->bogus = r->bogus != 0;
	o->why_bogus = r->why_bogus;
	/* A bogus answer says havedata too: what it carries must never be looked at. */
	if (o->bogus)
		return;
	o->canonical = r->canonname;
	if (r->havedata != 0)
		o->data = r;
}

static void outcome_read_addrs(struct outcome *o)
{
	const struct ub_result *r = o->data;
	for (size_t i = 0; r != NULL && r->data[i] != NULL && o->count < FAMILY_ADDRS_MAX; i++) {
		if (r->len[i] != o->type->size)
			continue;
		struct addr *to = &o->addrs[o->count++];
		to->family = o->type->family;
		memcpy(to->b, r->data[i], (size_t)r->len[i]);
	}
}

static const char *rcode_name(int rcode)
{
	static const char *const names[] = { "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED" };
	return rcode >= 0 && (size_t)rcode < ARRAY_LEN(names) ? names[rcode] : "an unknown error code";
}

/* The failure of one type's lookup; OK when the answer is one, if only that there is nothing. */
static fallible outcome_check(const struct outcome *o, const struct question *q, struct err *err)
{
	if (!o->answered)
		FAIL(err, ERR_DNS,
		     "looking up %s of %s: no answer from %.*s within %.1f s; check that the resolver runs and that "
		     "the name's servers answer it",
		     o->type->name, q->name, STR_FMT(q->from), (double)q->waited_ms / 1000.0);
	if (o->error == UB_SYNTAX)
		FAIL(err, ERR_DNS, "%s cannot be looked up: it is not a DNS name", q->name);
	if (o->error != 0) {
		err_cause(err, "libunbound: %s", ub_strerror(o->error));
		FAIL(err, ERR_INTERNAL, "the DNS library failed to look up %s of %s", o->type->name, q->name);
	}
	if (o->bogus)
		FAIL(err, ERR_DNS,
		     "looking up %s of %s: the answer from %.*s is bogus (DNSSEC): %.200s; wanted a valid chain of "
		     "signatures; check the zone's DS and RRSIG records",
		     o->type->name, q->name, STR_FMT(q->from), o->why_bogus == NULL ? "no reason given" : o->why_bogus);
	if (o->rcode != 0 && !o->nxdomain)
		FAIL(err, ERR_DNS,
		     "looking up %s of %s: %s from %.*s%s; wanted %s; check the name servers of this name",
		     o->type->name, q->name, rcode_name(o->rcode), STR_FMT(q->from),
		     o->rcode == RCODE_SERVFAIL ? " (it failed, or did not answer)" : "", q->wanted);
	return OK;
}

static fallible addresses_fail(const struct outcome o[ASK_COUNT], const struct question *q, struct err *err)
{
	/* What was answered tells more than what was not. */
	for (size_t i = 0; i < ASK_COUNT; i++)
		if (o[i].answered && o[i].error != 0)
			return outcome_check(&o[i], q, err);
	for (size_t i = 0; i < ASK_COUNT; i++)
		if (o[i].nxdomain)
			FAIL(err, ERR_DNS,
			     "%s does not exist: NXDOMAIN from %.*s; wanted an A or AAAA record; publish one, or "
			     "correct the name",
			     q->name, STR_FMT(q->from));
	for (size_t i = 0; i < ASK_COUNT; i++)
		if (o[i].answered)
			TRY(outcome_check(&o[i], q, err));
	for (size_t i = 0; i < ASK_COUNT; i++)
		TRY(outcome_check(&o[i], q, err));
	FAIL(err, ERR_DNS, "%s has no address: no A and no AAAA record from %.*s; wanted one of them; publish it",
	     q->name, STR_FMT(q->from));
}

fallible addresses_read(struct outcome o[ASK_COUNT], const struct question *q, struct arena *mem,
			struct resolve_answer *ret, struct err *err)
{
	for (size_t i = 0; i < ASK_COUNT; i++) {
		ret->nxdomain = ret->nxdomain || o[i].nxdomain;
		/* One forged type spoils the other: the records of a name come from one zone. */
		if (o[i].bogus) {
			ret->dnssec = DNSSEC_BOGUS;
			return outcome_check(&o[i], q, err);
		}
		outcome_read_addrs(&o[i]);
	}
	if (o[ASK_AAAA].count + o[ASK_A].count == 0)
		return addresses_fail(o, q, err);
	ret->addrs = ARENA_ARRAY(mem, struct addr, RESOLVE_ADDRS_MAX);
	bool secure = true;
	for (size_t i = 0; i < ASK_COUNT; i++) {
		secure = secure && (o[i].count == 0 || o[i].secure);
		for (size_t k = 0; k < o[i].count; k++)
			ret->addrs[ret->addr_count++] = o[i].addrs[k];
	}
	ret->dnssec = secure ? DNSSEC_SECURE : DNSSEC_INSECURE;
	return OK;
}

fallible resolve_txt_join(struct str rdata, struct arena *mem, struct str *ret, struct err *err)
{
	char *out = arena_alloc(mem, rdata.n + 1); /* joined, they are shorter: no string's length is kept */
	size_t n = 0;
	uint8_t length;
	struct str one;
	for (struct cur c = cur_of(rdata); !cur_end(&c);) {
		TRY(cur_u8(&c, &length, err));
		TRY(cur_take(&c, length, &one, err));
		if (one.n > 0)
			memcpy(out + n, one.p, one.n);
		n += one.n;
	}
	*ret = str_n(out, n);
	return OK;
}

/* Empty: the name that was asked. */
static struct str canonical_read(const struct outcome *o, const struct question *q, struct arena *mem)
{
	struct str canonical = str_z(o->canonical);
	if (str_ends(canonical, STR(".")))
		canonical.n--;
	return str_eq_nocase(canonical, str_z(q->name)) ? STR_NONE : str_dup(mem, canonical);
}

static size_t data_count(const struct ub_result *r)
{
	size_t n = 0;
	while (r->data[n] != NULL)
		n++;
	return n;
}

fallible txt_read(const struct outcome *o, const struct question *q, struct arena *mem, struct resolve_txt_answer *ret,
		  struct err *err)
{
	ret->nxdomain = o->nxdomain && !o->bogus;
	ret->dnssec = o->bogus ? DNSSEC_BOGUS : o->secure ? DNSSEC_SECURE : DNSSEC_INSECURE;
	TRY(outcome_check(o, q, err));
	ret->canonical = canonical_read(o, q, mem);
	const struct ub_result *r = o->data;
	if (r == NULL)
		return OK;
	size_t n = data_count(r);
	ret->records = ARENA_ARRAY(mem, struct str, n < RESOLVE_TXT_MAX ? n : RESOLVE_TXT_MAX);
	for (size_t i = 0; i < n; i++)
		if (ret->count < RESOLVE_TXT_MAX && r->len[i] >= 0 &&
		    !FAILED(resolve_txt_join(str_n(r->data[i], (size_t)r->len[i]), mem, &ret->records[ret->count],
					     NULL)))
			ret->count++;
		else
			ret->left_out++;
	return OK;
}

fallible resolve_caa_read(struct str rdata, struct resolve_caa_record *ret, struct err *err)
{
	struct resolve_caa_record rec = { .flags = 0 };
	struct cur c = cur_of(rdata);
	uint8_t length;
	TRY(cur_u8(&c, &rec.flags, err));
	TRY(cur_u8(&c, &length, err));
	if (length == 0)
		FAIL(err, ERR_MALFORMED, "a CAA record without a tag");
	TRY(cur_take(&c, length, &rec.tag, err));
	rec.value = cur_rest(&c);
	if (rec.value.n > RESOLVE_CAA_VALUE_MAX)
		FAIL(err, ERR_MALFORMED, "a CAA record with a value of %zu bytes; at most %d are read", rec.value.n,
		     RESOLVE_CAA_VALUE_MAX);
	*ret = rec;
	return OK;
}

fallible caa_read(const struct outcome *o, const struct question *q, struct arena *mem, struct resolve_caa_answer *ret,
		  struct err *err)
{
	ret->nxdomain = o->nxdomain && !o->bogus;
	ret->dnssec = o->bogus ? DNSSEC_BOGUS : o->secure ? DNSSEC_SECURE : DNSSEC_INSECURE;
	TRY(outcome_check(o, q, err));
	ret->canonical = canonical_read(o, q, mem);
	const struct ub_result *r = o->data;
	size_t n = r == NULL ? 0 : data_count(r);
	ret->records = ARENA_ARRAY(mem, struct resolve_caa_record, n < RESOLVE_CAA_MAX ? n : RESOLVE_CAA_MAX);
	for (size_t i = 0; i < n; i++) {
		struct resolve_caa_record rec;
		if (ret->count == RESOLVE_CAA_MAX || r->len[i] < 0 ||
		    FAILED(resolve_caa_read(str_n(r->data[i], (size_t)r->len[i]), &rec, NULL))) {
			ret->left_out++;
			continue;
		}
		ret->records[ret->count++] =
			(struct resolve_caa_record){ rec.flags, str_dup(mem, rec.tag), str_dup(mem, rec.value) };
	}
	return OK;
}

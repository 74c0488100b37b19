/* SPDX-License-Identifier: Apache-2.0
 *
 * audit.c: the signer's questions, asked again of an exported record. The evidence must hold as of the time of issuance,
 * and the certificate must be the one that the job asked for, made from the profile, signed by the issuer.
 */
#include "sign/audit.h"
#include "sign/recheck.h"

#include <stdlib.h>

/* --- the journal, by serial ---------------------------------------------------------------------------------------*/
struct entry {
	struct serial serial;
	int64_t begun_ms;
	bool done;
	struct sha256 der_hash;
};

struct audit_journal {
	const struct crypto *crypto;
	struct entry *v;
	size_t n, room;
};

static int by_serial(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	return memcmp(x->serial.b, y->serial.b, sizeof x->serial.b);
}

static fallible journal_take(void *ctx, enum journal_kind kind, const struct journal_entry *e, struct err *err)
{
	struct audit_journal *j = ctx;
	struct entry new = { .begun_ms = kind == JOURNAL_BEGIN ? e->at_ms : 0, .done = kind == JOURNAL_DONE };
	if (kind == JOURNAL_REFUSED || FAILED(serial_read_hex(e->serial_hex, &new.serial, NULL)))
		return OK; /* no serial of ours */
	if (new.done)
		TRY(digest_sha256(j->crypto, e->der, &new.der_hash, err));
	if (j->n == j->room) {
		j->room = j->room == 0 ? 1024 : 2 * j->room;
		j->v = mem_grow(j->v, sizeof *j->v, j->room);
	}
	j->v[j->n++] = new;
	return OK;
}

/* A begin and its done become one entry. */
static void journal_join(struct audit_journal *j)
{
	size_t n = 0;
	if (j->n > 0)
		qsort(j->v, j->n, sizeof *j->v, by_serial);
	for (size_t i = 0; i < j->n; i++) {
		if (n == 0 || by_serial(&j->v[n - 1], &j->v[i]) != 0) {
			j->v[n++] = j->v[i];
			continue;
		}
		struct entry *e = &j->v[n - 1];
		if (j->v[i].begun_ms != 0)
			e->begun_ms = j->v[i].begun_ms;
		if (j->v[i].done) {
			e->done = true;
			e->der_hash = j->v[i].der_hash;
		}
	}
	j->n = n;
}

fallible audit_journal_read(const char *dir, const struct crypto *crypto, struct audit_journal **ret, struct err *err)
{
	struct audit_journal *j = mem_alloc(sizeof *j);
	j->crypto = crypto;
	struct rc rc = journal_walk(dir, journal_take, j, err);
	if (FAILED(rc)) {
		audit_journal_free(j);
		return rc;
	}
	journal_join(j);
	*ret = j;
	return OK;
}

void audit_journal_free(struct audit_journal *j)
{
	if (j == NULL)
		return;
	free(j->v);
	free(j);
}

size_t audit_journal_count(const struct audit_journal *j)
{
	size_t n = 0;
	for (size_t i = 0; i < j->n; i++)
		n += j->v[i].done;
	return n;
}

static const struct entry *journal_find(const struct audit_journal *j, const struct serial *serial)
{
	const struct entry want = { .serial = *serial };
	return j == NULL || j->n == 0 ? NULL : bsearch(&want, j->v, j->n, sizeof *j->v, by_serial);
}

/* --- one record ---------------------------------------------------------------------------------------------------*/
struct look {
	const struct audit *a;
	struct arena *mem;
	const struct audit_record *record;
	struct audit_report *report;
	struct sign_job job;
	struct cert *cert;
	struct serial serial; /* the certificate's */
	const struct entry *entry;
	struct rechecked held;
	const struct issuer *issuer;
	const struct conf_issuer *issuer_conf;
};

static void look_done(struct look *l)
{
	cert_free(l->cert);
	rechecked_done(&l->held);
}

static fallible look_job(struct look *l, struct err *err)
{
	TRY(sign_job_read(l->mem, l->record->job, &l->job, err));
	l->report->order = l->job.order;
	return OK;
}

static fallible look_certificate(struct look *l, struct err *err)
{
	TRY(cert_read_der(l->record->der, &l->cert, err));
	TRY(cert_get_serial_hex(l->mem, l->cert, &l->report->serial_hex, err));
	return serial_read_hex(l->report->serial_hex, &l->serial, err);
}

static fallible look_journal(struct look *l, struct err *err)
{
	struct sha256 hash;
	if (l->a->journal == NULL)
		return OK;
	l->entry = journal_find(l->a->journal, &l->serial);
	if (l->entry == NULL || !l->entry->done)
		FAIL(err, ERR_MALFORMED, "the signer's journal does not know this serial as issued");
	TRY(digest_sha256(l->a->crypto, l->record->der, &hash, err));
	if (memcmp(hash.b, l->entry->der_hash.b, sizeof hash.b) != 0)
		FAIL(err, ERR_MALFORMED, "the signer's journal has another certificate with this serial");
	return OK;
}

static fallible evidence_at(struct look *l, int64_t now_ms, struct err *err)
{
	const struct recheck rk = { .crypto = l->a->crypto,
				    .conf = l->a->conf,
				    .perspective_keys = l->a->keys->perspectives,
				    .operator_keys = l->a->keys->operators,
				    .revoked = l->a->revoked,
				    .now_ms = now_ms };
	return recheck_job(&rk, l->mem, &l->job, &l->held, NULL, err);
}

/* The journal knows when the signer looked. Without it: the api had the certificate a moment later, or much later when it
 * was down meanwhile; then the evidence must have held when the client asked. */
static fallible look_evidence(struct look *l, struct err *err)
{
	const struct conf_profile *p = conf_profile(l->a->conf, l->job.profile);
	int64_t asked_s;
	if (l->entry != NULL && l->entry->begun_ms != 0)
		return evidence_at(l, l->entry->begun_ms, err);
	struct rc rc = evidence_at(l, l->record->issued_ms, err);
	if (!FAILED(rc) || p == NULL || __builtin_add_overflow(l->job.not_before, p->backdate_s, &asked_s) ||
	    asked_s >= l->record->issued_ms / 1000 || asked_s < l->record->issued_ms / 1000 - ORDER_GRACE_S)
		return rc;
	return FAILED(evidence_at(l, asked_s * 1000, NULL)) ? rc : OK;
}

static fallible look_issuer(struct look *l, struct err *err)
{
	for (size_t i = 0; i < l->a->conf->issuer_count; i++) {
		l->issuer_conf = &l->a->conf->issuers[i];
		l->issuer = l->a->issuers[i];
		if (!str_eq(l->issuer_conf->name, l->job.issuer))
			continue;
		if (l->issuer == NULL)
			FAIL(err, ERR_MALFORMED, "the certificate of issuer \"%.*s\" is not at hand",
			     STR_FMT(l->job.issuer));
		return cert_check_issued(l->cert, issuer_get_cert(l->issuer), err);
	}
	FAIL(err, ERR_MALFORMED, "there is no issuer \"%.*s\"", STR_FMT(l->job.issuer));
}

static fallible look_key(struct look *l, struct err *err)
{
	AUTO(key_auto) struct key *k = NULL;
	TRY(cert_get_key(l->cert, &k, err));
	if (!key_public_eq(k, l->held.csr.key))
		FAIL(err, ERR_MALFORMED, "it certifies another key than the CSR's");
	return OK;
}

static fallible look_names(struct look *l, struct err *err)
{
	const struct csr *csr = &l->held.csr;
	struct str *names;
	struct addr *addrs;
	size_t name_count, addr_count;
	TRY(cert_get_dns_names(l->mem, l->cert, &names, &name_count, err));
	TRY(cert_get_addrs(l->mem, l->cert, &addrs, &addr_count, err));
	if (name_count != csr->name_count || addr_count != csr->addr_count)
		FAIL(err, ERR_MALFORMED, "it has %zu names and %zu addresses, %zu and %zu were asked for", name_count,
		     addr_count, csr->name_count, csr->addr_count);
	for (size_t i = 0; i < csr->name_count; i++) {
		if (!cert_has_dns_name(l->cert, csr->names[i]))
			FAIL(err, ERR_MALFORMED, "it lacks %.*s, which was asked for", STR_FMT(csr->names[i]));
	}
	for (size_t i = 0; i < csr->addr_count; i++) {
		if (!cert_has_addr(l->cert, &csr->addrs[i]))
			FAIL(err, ERR_MALFORMED, "it lacks an address that was asked for");
	}
	return OK;
}

static fallible look_serial(struct look *l, struct err *err)
{
	if (!str_eq(l->report->serial_hex, l->job.serial_hex))
		FAIL(err, ERR_MALFORMED, "its serial is %.*s, the job's %.*s", STR_FMT(l->report->serial_hex),
		     STR_FMT(l->job.serial_hex));
	return OK;
}

static fallible look_validity(struct look *l, struct err *err)
{
	int64_t from = cert_get_not_before(l->cert), to = cert_get_not_after(l->cert);
	if (from != l->job.not_before || to != l->job.not_after)
		FAIL(err, ERR_MALFORMED, "it is valid from %lld to %lld, the job says %lld to %lld", (long long)from,
		     (long long)to, (long long)l->job.not_before, (long long)l->job.not_after);
	return OK;
}

/* Made again from the job and the profile, it comes out the same, byte for byte: nothing else stands in it. */
static fallible look_template(struct look *l, struct err *err)
{
	AUTO(buf_done) struct buf tbs = BUF_MAX(CERT_DER_MAX);
	struct cert_template template = sign_template(conf_profile(l->a->conf, l->job.profile), l->issuer_conf);
	struct cert_request request = sign_request(&l->held, &l->job);
	request.serial = l->serial;
	TRY(cert_build_tbs(l->issuer, &template, &request, &tbs, err));
	if (!str_eq(buf_str(&tbs), cert_get_tbs(l->cert)))
		FAIL(err, ERR_MALFORMED,
		     "it is not what profile \"%.*s\" and issuer \"%.*s\" make of the job; were they changed since?",
		     STR_FMT(l->job.profile), STR_FMT(l->job.issuer));
	return OK;
}

static const struct {
	const char *name;
	fallible (*fn)(struct look *l, struct err *err);
} rules[] = {
	{ "job", look_job },           { "certificate", look_certificate },
	{ "journal", look_journal },   { "serial", look_serial },
	{ "evidence", look_evidence }, { "issuer", look_issuer },
	{ "key", look_key },           { "names", look_names },
	{ "validity", look_validity }, { "template", look_template },
};

fallible audit_check(const struct audit *a, struct arena *mem, const struct audit_record *record,
		     struct audit_report *ret, struct err *err)
{
	AUTO(look_done) struct look l = { .a = a, .mem = mem, .record = record, .report = ret };
	*ret = (struct audit_report){ .rule = NULL };
	for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
		ret->rule = rules[i].name;
		TRY(rules[i].fn(&l, err));
	}
	ret->rule = NULL;
	return OK;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * issue.c: one batch of jobs, from evidence to certificates. The order of things is the promise: known before it is
 * signed (begin, sync), signed, known to be signed (done, sync), released. A repeat gets the bytes of the first time;
 * anything else under an order or serial that is taken already is an alarm, because the api does not ask such things.
 */
#include "sign/signer_internal.h"

#define NAMES_LOGGED_MAX 1024
#define CHAIN_PEM_MAX (256 * 1024)

enum task_state {
	TASK_SIGN,  /* begun, to be signed in this batch */
	TASK_KNOWN, /* signed before: the journal has the certificate */
	TASK_TWIN,  /* the same job came earlier in this batch: its answer is this one's */
	TASK_REFUSED,
};

struct task {
	const struct sign_job *job;
	enum task_state state;
	struct err why;
	const char *alarm; /* NULL, or what is alarming about the refusal */
	const struct signer_issuer *issuer;
	size_t twin;
	struct journal_entry entry;
	struct buf tbs, der;
};

struct batch {
	struct signer *s;
	struct arena *mem;
	struct task *v;
	size_t n;
};

static void batch_done(struct batch *b)
{
	for (size_t i = 0; i < b->n; i++) {
		buf_done(&b->v[i].tbs);
		buf_done(&b->v[i].der);
	}
	pthread_mutex_unlock(&b->s->lock);
}

/* What was asked for: all that decides what the certificate will be and for whom. Evidence is not part of it (a repeat
 * may carry more of it), nor the key that signed the finalize request: the request, which is, verifies with no other. */
static fallible job_hash(const struct signer *s, const struct sign_job *job, struct sha256 *ret, struct err *err)
{
	AUTO(buf_done) struct buf text = BUF_MAX(JOB_MAX);
	struct sign_job asked = *job;
	asked.verdict_count = asked.key_change_count = asked.grant_count = 0;
	asked.account_jwk = STR("{}");
	TRY(sign_job_write(&asked, &text, err));
	return digest_sha256(s->crypto, buf_str(&text), ret, err);
}

static void task_refuse(struct task *t, const char *alarm)
{
	t->state = TASK_REFUSED;
	t->alarm = alarm;
}

/* A refusal that is also an alarm. The client learns no more than that its order is stuck. */
#define TASK_ALARM(t, alarm, ...)                              \
	do {                                                   \
		err_set(&(t)->why, ERR_CONFLICT, __VA_ARGS__); \
		task_refuse((t), (alarm));                     \
	} while (0)

static void task_meet_twin(struct batch *b, struct task *t)
{
	for (size_t i = 0; &b->v[i] < t; i++) {
		const struct task *other = &b->v[i];
		if (!id_eq(other->job->order, t->job->order) || other->state == TASK_REFUSED)
			continue;
		if (memcmp(other->entry.job_hash.b, t->entry.job_hash.b, sizeof t->entry.job_hash.b) != 0) {
			TASK_ALARM(t, "alarm: two different jobs for one order",
				   "the order was asked for otherwise before");
			return;
		}
		t->state = TASK_TWIN;
		t->twin = other->state == TASK_TWIN ? other->twin : i;
		return;
	}
}

/* What the journal knows of this order: nothing (*ret_known stays false), the same job, or another one. Fails only when
 * the journal cannot be read. */
static fallible task_meet_journal(struct batch *b, struct task *t, struct journal_entry *before, bool *ret_known,
				  struct err *err)
{
	*ret_known = false;
	struct rc rc = journal_find_order(b->s->journal, b->mem, t->job->order, before, err);
	if (rc.kind == ERR_NOT_FOUND) {
		*err = (struct err){ 0 };
		return OK;
	}
	TRY(rc);
	*ret_known = true;
	if (memcmp(before->job_hash.b, t->entry.job_hash.b, sizeof before->job_hash.b) != 0)
		TASK_ALARM(t, "alarm: another job for an order that was begun",
			   "the order was asked for otherwise before");
	return OK;
}

/* RULES R5: in the form that it will have, but for the signature, read back and looked at; only then the real key sees these
 * very bytes. */
static fallible lint_tbs(const struct issuer *issuer, const struct cert_template *template,
			 const struct cert_request *request, struct str tbs, struct err *err)
{
	AUTO(buf_done) struct buf der = BUF_MAX(CERT_DER_MAX);
	TRY(cert_with_placeholder(issuer, tbs, &der, err));
	return cert_lint(issuer, template, request, buf_str(&der), err);
}

/* RULES R14. The client did nothing wrong and can do nothing about it: the operator has to, so he is told what. */
static fallible check_issuer_end(const struct issuer *issuer, const struct sign_job *job, struct err *err)
{
	char ends[TIME_TEXT_MAX], wanted[TIME_TEXT_MAX];
	int64_t end = cert_get_not_after(issuer_get_cert(issuer));
	if (job->not_after <= end)
		return OK;
	time_show(end, ends);
	time_show(job->not_after, wanted);
	FAIL(err, ERR_UNAVAILABLE,
	     "issuer %.*s ends at %s and a certificate of profile %.*s would last until %s; this is for the CA's "
	     "operator to mend: renew "
	     "the issuer, or give the profile a shorter lifetime",
	     STR_FMT(job->issuer), ends, STR_FMT(job->profile), wanted);
}

/* Verifiers hold an issuer's extended key usages against those of what it issued. */
static fallible check_issuer_uses(const struct issuer *issuer, const struct sign_job *job, unsigned ekus,
				  struct err *err)
{
	if (cert_permits_uses(issuer_get_cert(issuer), ekus))
		return OK;
	FAIL(err, ERR_UNAVAILABLE,
	     "issuer %.*s may not issue for what profile %.*s is for (its extended key usage); this is for the CA's "
	     "operator to mend: give the realm another issuer",
	     STR_FMT(job->issuer), STR_FMT(job->profile));
}

/* Everything that can be refused: evidence, template, lint. Leaves the TBS and its hash in the task. */
static fallible task_build(struct batch *b, struct task *t, struct err *err)
{
	const struct signer *s = b->s;
	const struct recheck rk = { .crypto = s->crypto,
				    .conf = s->conf,
				    .perspective_keys = s->keys.perspectives,
				    .refused_keys = s->keys.refused,
				    .operator_keys = s->keys.operators,
				    .revoked = s->revoked.list,
				    .accounts = s->accounts,
				    .now_ms = clock_now_ms(s->clk) };
	AUTO(rechecked_done) struct rechecked held = { .email_count = 0 };
	TRY(recheck_job(&rk, b->mem, t->job, &held, &t->alarm, err));
	t->issuer = signer_issuer(s, t->job->issuer);
	const struct conf_issuer *ci = conf_issuer(s->conf, t->job->issuer);
	if (t->issuer == NULL || ci == NULL)
		FAIL(err, ERR_INTERNAL, "issuer %.*s is not loaded", STR_FMT(t->job->issuer));
	struct cert_template template = sign_template(conf_profile(s->conf, t->job->profile), ci);
	TRY(check_issuer_end(t->issuer->issuer, t->job, err));
	TRY(check_issuer_uses(t->issuer->issuer, t->job, template.ekus, err));
	struct cert_request request = sign_request(&held, t->job);
	TRY(serial_read_hex(t->job->serial_hex, &request.serial, err));
	TRY(cert_build_tbs(t->issuer->issuer, &template, &request, &t->tbs, err));
	TRY(lint_tbs(t->issuer->issuer, &template, &request, buf_str(&t->tbs), err));
	t->entry.tbs = buf_str(&t->tbs);
	return digest_sha256(s->crypto, t->entry.tbs, &t->entry.tbs_hash, err);
}

/* Begun before and not done: no signature left this process (it is released after done only), so it may be made again,
 * but over the same bytes. */
static void task_resume(struct task *t, const struct journal_entry *before)
{
	if (memcmp(before->tbs_hash.b, t->entry.tbs_hash.b, sizeof before->tbs_hash.b) != 0)
		TASK_ALARM(t, "alarm: an issuance that was begun comes out differently",
			   "the certificate would differ from the one that was begun; was the configuration changed?");
}

static fallible task_begin(struct batch *b, struct task *t, struct err *err)
{
	if (journal_has_serial(b->s->journal, t->job->serial_hex)) {
		TASK_ALARM(t, "alarm: a serial is used twice", "the serial is taken by another order");
		return OK;
	}
	return journal_begin(b->s->journal, &t->entry, err);
}

/* Fails only when nothing can be signed at all; a job that does not hold is refused in its task. */
static fallible task_prepare(struct batch *b, struct task *t, struct err *err)
{
	struct journal_entry before;
	bool known;
	const struct sign_job *job = t->job;
	t->tbs = (struct buf)BUF_MAX(CERT_DER_MAX);
	t->der = (struct buf)BUF_MAX(CERT_DER_MAX);
	t->entry = (struct journal_entry){ .issuance = job->issuance,
					   .order = job->order,
					   .account = job->account,
					   .realm = job->realm,
					   .profile = job->profile,
					   .issuer = job->issuer,
					   .serial_hex = job->serial_hex };
	if (FAILED(job_hash(b->s, job, &t->entry.job_hash, &t->why))) {
		task_refuse(t, NULL);
		return OK;
	}
	task_meet_twin(b, t);
	if (t->state != TASK_SIGN)
		return OK;
	TRY(task_meet_journal(b, t, &before, &known, err));
	if (t->state != TASK_SIGN)
		return OK;
	if (known && before.done) {
		t->state = TASK_KNOWN;
		t->entry.der = before.der;
		t->issuer = signer_issuer(b->s, job->issuer);
		if (t->issuer != NULL)
			return OK;
		err_set(&t->why, ERR_INTERNAL, "issuer %.*s is not loaded", STR_FMT(job->issuer));
		task_refuse(t, NULL);
		return OK;
	}
	if (FAILED(task_build(b, t, &t->why))) {
		task_refuse(t, t->alarm);
		return OK;
	}
	if (!known)
		return task_begin(b, t, err);
	task_resume(t, &before);
	return OK;
}

/* What was signed is verified there. A key that signs wrongly is nobody's but the operator's to look at. */
static fallible sign_tbs(const struct signer *s, const struct signer_issuer *issuer, struct str tbs, struct buf *ret,
			 struct err *err)
{
	struct rc rc = cert_sign_tbs(s->crypto, issuer->issuer, tbs, ret, err);
	if (rc.kind == ERR_INTERNAL)
		LOG(s->log, LOG_ERROR, "alarm: an issuer's key signed wrongly", KV_Z("issuer", issuer->name),
		    KV_ERR(err));
	return rc;
}

struct signing {
	const struct signer *s;
	struct task **v;
	struct rc *rc;
	struct err *err;
};

static void sign_part(void *ctx, size_t i)
{
	struct signing *g = ctx;
	struct task *t = g->v[i];
	g->rc[i] = sign_tbs(g->s, t->issuer, buf_str(&t->tbs), &t->der, &g->err[i]);
}

/* Side by side, then into the journal one after the other. */
static fallible batch_sign(struct batch *b, struct err *err)
{
	struct signing g = { .s = b->s,
			     .v = ARENA_ARRAY(b->mem, struct task *, b->n + 1),
			     .rc = ARENA_ARRAY(b->mem, struct rc, b->n + 1),
			     .err = ARENA_ARRAY(b->mem, struct err, b->n + 1) };
	size_t n = 0;
	for (size_t i = 0; i < b->n; i++)
		if (b->v[i].state == TASK_SIGN)
			g.v[n++] = &b->v[i];
	crew_run(b->s->crew, n, sign_part, &g);
	for (size_t i = 0; i < n; i++) {
		struct task *t = g.v[i];
		if (FAILED(g.rc[i])) {
			*err = g.err[i];
			return g.rc[i];
		}
		t->entry.der = buf_str(&t->der);
		t->entry.done = true;
		TRY(journal_done(b->s->journal, &t->entry, err));
	}
	return OK;
}

static fallible batch_note_refusals(struct batch *b, struct err *err)
{
	for (size_t i = 0; i < b->n; i++) {
		struct task *t = &b->v[i];
		if (t->state != TASK_REFUSED)
			continue;
		struct journal_entry e = t->entry;
		e.serial_hex = str_sub(e.serial_hex, 0, 2 * SERIAL_LEN); /* unchecked yet, and of any length */
		TRY(journal_refused(b->s->journal, &e, str_z(t->why.detail), err));
	}
	return OK;
}

/* --- answers ------------------------------------------------------------------------------------------------------*/
static struct str names_text(struct arena *mem, const struct sign_job *job)
{
	AUTO(buf_done) struct buf b = BUF_MAX(NAMES_LOGGED_MAX);
	for (size_t i = 0; i < job->ident_count; i++) {
		if (b.n + job->idents[i].value.n + 1 > NAMES_LOGGED_MAX)
			break;
		if ((i > 0 && FAILED(buf_add_char(&b, ' ', NULL))) || FAILED(buf_add(&b, job->idents[i].value, NULL)))
			break;
	}
	return str_dup(mem, buf_str(&b));
}

static void tell_issued(const struct batch *b, const struct task *t)
{
	const struct sign_job *job = t->job;
	LOG(b->s->log, LOG_NOTICE, "certificate issued", KV_ID("order", job->order), KV_ID("issuance", job->issuance),
	    KV_STR("serial", job->serial_hex), KV_STR("names", names_text(b->mem, job)), KV_ID("account", job->account),
	    KV_STR("realm", job->realm), KV_STR("profile", job->profile), KV_BOOL("again", t->state == TASK_KNOWN));
}

void signer_tell_refused(const struct signer *s, const struct sign_job *job, const struct err *why, const char *alarm)
{
	if (alarm != NULL)
		LOG(s->log, LOG_ERROR, alarm, KV_ID("order", job->order), KV_ID("issuance", job->issuance),
		    KV_STR("serial", job->serial_hex), KV_ID("account", job->account), KV_ERR(why));
	LOG(s->log, LOG_WARNING, "issuance refused", KV_ID("order", job->order), KV_ID("issuance", job->issuance),
	    KV_STR("serial", job->serial_hex), KV_ID("account", job->account), KV_STR("realm", job->realm),
	    KV_ERR(why));
}

static fallible task_answer(const struct batch *b, const struct task *t, struct sign_result *ret, struct err *err)
{
	struct sign_result r = { .issuance = t->job->issuance, .order = t->job->order };
	if (t->state == TASK_REFUSED) {
		r.problem = t->why.kind;
		r.problem_detail = str_dup(b->mem, str_z(t->why.detail));
		signer_tell_refused(b->s, t->job, &t->why, t->alarm);
		*ret = r;
		return OK;
	}
	AUTO(buf_done) struct buf pem = BUF_MAX(CHAIN_PEM_MAX);
	TRY(signer_chain_pem(t->issuer, t->entry.der, &pem, err));
	r.issued = true;
	r.der = str_dup(b->mem, t->entry.der);
	r.chain_pem = str_dup(b->mem, buf_str(&pem));
	tell_issued(b, t);
	*ret = r;
	return OK;
}

static fallible batch_answer(const struct batch *b, struct sign_result *ret, struct err *err)
{
	for (size_t i = 0; i < b->n; i++) {
		const struct task *t = &b->v[i];
		if (t->state == TASK_TWIN)
			ret[i] = ret[t->twin];
		else
			TRY(task_answer(b, t, &ret[i], err));
	}
	return OK;
}

fallible signer_batch(struct signer *s, struct arena *mem, const struct sign_job *jobs, size_t count,
		      struct sign_result *ret, struct err *err)
{
	pthread_mutex_lock(&s->lock);
	AUTO(batch_done) struct batch b = { .s = s, .mem = mem, .v = ARENA_ARRAY(mem, struct task, count + 1) };
	struct sign_result *answers = ARENA_ARRAY(mem, struct sign_result, count + 1);
	for (size_t i = 0; i < count; i++) {
		if (jobs[i].grant_count > 0) {
			signer_reread_revoked(s);
			break;
		}
	}
	if (count > SIGN_BATCH_MAX)
		FAIL(err, ERR_INTERNAL, "a batch of %zu jobs, at most %d", count, SIGN_BATCH_MAX);
	while (b.n < count) {
		struct task *t = &b.v[b.n];
		t->job = &jobs[b.n++]; /* counted before it can fail, so that its buffers are freed */
		TRY(task_prepare(&b, t, err));
	}
	FP("sign.before_begin");
	TRY(journal_sync(s->journal, err));
	FP("sign.after_begin");
	TRY(batch_sign(&b, err));
	FP("sign.after_sign");
	TRY(batch_note_refusals(&b, err));
	TRY(journal_sync(s->journal, err));
	FP("sign.after_done");
	TRY(batch_answer(&b, answers, err));
	if (count > 0)
		memcpy(ret, answers, count * sizeof *ret);
	return OK;
}

/* --- the signer's own certificates --- */
fallible signer_issue_own(struct signer *s, const struct own_request *o, struct buf *ret_der, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(buf_done) struct buf tbs = BUF_MAX(CERT_DER_MAX);
	const struct issuer *issuer = o->issuer->issuer;
	TRY(cert_build_tbs(issuer, o->template, o->request, &tbs, err));
	TRY(lint_tbs(issuer, o->template, o->request, buf_str(&tbs), err));
	struct journal_entry e = { .issuance = id_new(s->clk, s->rng),
				   .order = id_new(s->clk, s->rng),
				   .serial_hex = serial_hex(&mem, &o->request->serial),
				   .tbs = buf_str(&tbs) };
	TRY(digest_sha256(s->crypto, e.tbs, &e.tbs_hash, err));
	e.job_hash = e.tbs_hash; /* nobody asked; what is signed is what was asked for */
	if (journal_has_serial(s->journal, e.serial_hex))
		FAIL(err, ERR_CONFLICT, "serial %.*s is taken", STR_FMT(e.serial_hex));
	TRY(journal_begin(s->journal, &e, err));
	TRY(journal_sync(s->journal, err));
	TRY(sign_tbs(s, o->issuer, buf_str(&tbs), ret_der, err));
	e.der = buf_str(ret_der);
	e.done = true;
	TRY(journal_done(s->journal, &e, err));
	return journal_sync(s->journal, err);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * audit_test.c: what a signer issued holds when it is asked again; what somebody put into the store, or changed there
 * afterwards, does not, and the rule that it breaks is named.
 */
#include "sign/test.h"

struct scene {
	struct town *t;
	struct pinned_keys keys;
	struct issuer *issuer;
	struct audit audit;
	struct audit_record record; /* of the good plan, issued by a whole signer */
};

static struct str job_text(struct town *t, const struct sign_job *job)
{
	AUTO(buf_done) struct buf text = BUF_MAX(JOB_MAX);
	struct err err = { 0 };
	MUST(sign_job_write(job, &text, &err));
	return str_dup(&t->mem, buf_str(&text));
}

static struct str issue(struct town *t, const struct sign_job *job)
{
	struct signer *s = NULL;
	struct sign_result r = { 0 };
	struct err err = { 0 };
	MUST(signer_new(t->conf, t->crypto, NULL, &t->clk, &rng_system, &s, &err));
	MUST(signer_batch(s, &t->mem, job, 1, &r, &err));
	signer_free(s);
	if (!r.issued)
		fail_msg("%.*s", STR_FMT(r.problem_detail));
	return r.der;
}

static void scene_open(struct scene *c)
{
	struct err err = { 0 };
	c->t = town_new();
	struct plan p = plan_good(c->t);
	struct sign_job job = plan_job(&p);
	struct cert *const chain[] = { c->t->issuer };
	c->record = (struct audit_record){ .issued_ms = NOW_MS + 100,
					   .der = issue(c->t, &job),
					   .job = job_text(c->t, &job) };
	MUST(pinned_keys_read(c->t->conf, &c->keys, &err));
	MUST(issuer_new(c->t->crypto, chain, 1, NULL, &c->issuer, &err));
	c->audit =
		(struct audit){ .crypto = c->t->crypto, .conf = c->t->conf, .keys = &c->keys, .issuers = &c->issuer };
}

static void scene_close(struct scene *c)
{
	issuer_free(c->issuer);
	pinned_keys_done(&c->keys);
	town_free(c->t);
}

struct row {
	const char *what;
	void (*change)(struct plan *p); /* of the job in the record */
	void (*after)(struct scene *c); /* the rest */
	const char *rule, *says;        /* NULL: it holds */
};

static void check_rows(const struct row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		AUTO(arena_done) struct arena mem = { 0 };
		struct scene c = { .t = NULL };
		struct audit_report report;
		struct err err = { 0 };
		scene_open(&c);
		struct plan p = plan_good(c.t);
		if (rows[i].change != NULL) {
			rows[i].change(&p);
			struct sign_job job = plan_job(&p);
			c.record.job = job_text(c.t, &job);
		}
		if (rows[i].after != NULL)
			rows[i].after(&c);
		struct rc rc = audit_check(&c.audit, &mem, &c.record, &report, &err);
		const char *rule = report.rule == NULL ? "none" : report.rule;
		if (FAILED(rc) != (rows[i].rule != NULL) ||
		    strcmp(rule, rows[i].rule == NULL ? "none" : rows[i].rule) != 0 ||
		    (FAILED(rc) && strstr(err.detail, rows[i].says) == NULL))
			fail_msg("%s: found %s \"%s\", wanted %s \"%s\"", rows[i].what, rule, err.detail,
				 rows[i].rule == NULL ? "none" : rows[i].rule,
				 rows[i].says == NULL ? "" : rows[i].says);
		scene_close(&c);
	}
}

#define CHANGE(name, ...)                \
	static void name(struct plan *p) \
	{                                \
		__VA_ARGS__;             \
	}
#define AFTER(name, ...)                  \
	static void name(struct scene *c) \
	{                                 \
		__VA_ARGS__;              \
	}
#define BOTH(member, value) (p->votes[0].member = (value), p->votes[1].member = (value))

CHANGE(other_key, p->csr_key = p->town->stranger)
CHANGE(other_names, p->names[1] = STR("www2.corp.example"))
CHANGE(fewer_names, p->name_count = 1)
CHANGE(with_address, p->names[2] = STR("192.0.2.7"); p->name_count = 3)
CHANGE(other_serial, p->serial = "010203040506070809101112131415161719")
CHANGE(other_end, p->not_after -= 1)
CHANGE(other_start, p->not_before += 1)
CHANGE(no_votes, BOTH(cast, false))
CHANGE(forged, BOTH(spoil, true))
CHANGE(other_client, p->finalize_key = p->town->stranger)
CHANGE(later_votes, BOTH(started_ms, NOW_MS + DAY_S * 1000); BOTH(finished_ms, NOW_MS + DAY_S * 1000))
CHANGE(old_votes, BOTH(started_ms, NOW_MS - 31 * DAY_S * 1000); BOTH(finished_ms, NOW_MS - 31 * DAY_S * 1000))

AFTER(no_job, c->record.job = STR("{\"v\":1}"))
AFTER(no_certificate, c->record.der = str_sub(c->record.der, 0, c->record.der.n - 1))
AFTER(spoilt, char *der = arena_alloc(&c->t->mem, c->record.der.n); memcpy(der, c->record.der.p, c->record.der.n);
      der[c->record.der.n - 1] ^= 1; c->record.der.p = der)
AFTER(later, c->record.issued_ms = NOW_MS + 20 * 3600 * 1000)
AFTER(much_later, c->record.issued_ms = NOW_MS + 2 * DAY_S * 1000)
AFTER(profile_changed, c->t->conf->profiles[0].common_name = !c->t->conf->profiles[0].common_name)
AFTER(no_issuer, c->issuer = (issuer_free(c->issuer), NULL))
AFTER(issuer_of_another_town, struct town *o = town_new(); struct cert *const chain[] = { o->issuer };
      struct err err = { 0 }; issuer_free(c->issuer); MUST(issuer_new(o->crypto, chain, 1, NULL, &c->issuer, &err));
      town_free(o))
AFTER(key_changed, key_free(c->keys.perspectives[0]); c->keys.perspectives[0] = key_ref(c->t->stranger))

static void with_journal(struct scene *c)
{
	struct err err = { 0 };
	struct audit_journal *j = NULL;
	MUST(audit_journal_read(town_path(c->t, "journal"), c->t->crypto, &j, &err));
	assert_int_equal(audit_journal_count(j), 1);
	c->audit.journal = j;
}
AFTER(much_later_with_journal, much_later(c); with_journal(c))

static void what_was_issued_holds_when_it_is_asked_again(void **state)
{
	static const struct row rows[] = {
		{ "as it was", NULL, NULL, NULL, NULL },
		{ "which the api had late", NULL, later, NULL, NULL },
	};
	(void)state;
	check_rows(rows, ARRAY_LEN(rows));
}

static void what_was_not_issued_rightly_breaks_a_rule(void **state)
{
	static const struct row rows[] = {
		{ "no job", NULL, no_job, "job", "sign job" },
		{ "no certificate", NULL, no_certificate, "certificate", "" },
		{ "another serial", other_serial, NULL, "serial", "the job's 0102030405060708091011121314151617" },
		{ "no evidence", no_votes, NULL, "evidence", "proven by 0" },
		{ "forged evidence", forged, NULL, "evidence", "did not sign it" },
		{ "a request that nobody signed", other_client, NULL, "evidence", "did not sign the finalize request" },
		{ "evidence from afterwards", later_votes, NULL, "evidence", "in the future" },
		{ "evidence that was too old by then", old_votes, NULL, "evidence", "s old" },
		{ "a job of days before", NULL, much_later, "evidence", "48 hours ago" },
		{ "a perspective's key that is not pinned", NULL, key_changed, "evidence", "proven by 1" },
		{ "another key", other_key, NULL, "key", "another key" },
		{ "another name", other_names, NULL, "names", "it lacks www2.corp.example" },
		{ "a name less", fewer_names, NULL, "names", "it has 2 names" },
		{ "an address more", with_address, NULL, "names", "2 and 1 were asked for" },
		{ "a longer life", other_end, NULL, "validity", "it is valid from" },
		{ "an earlier start", other_start, NULL, "validity", "it is valid from" },
		{ "a signature of nobody's", NULL, spoilt, "issuer", "signature does not verify" },
		{ "another issuer", NULL, issuer_of_another_town, "issuer", "names another issuer" },
		{ "no issuer at hand", NULL, no_issuer, "issuer", "not at hand" },
		{ "another profile than now", NULL, profile_changed, "template", "is not what profile" },
	};
	(void)state;
	check_rows(rows, ARRAY_LEN(rows));
}

/* It tells when the signer looked, what it made, and of what it never made. */
static void the_journal_is_believed(void **state)
{
	struct scene c = { .t = NULL };
	struct audit_report report;
	struct err err = { 0 };
	(void)state;
	scene_open(&c);
	much_later_with_journal(&c);
	if (FAILED(audit_check(&c.audit, &c.t->mem, &c.record, &report, &err)))
		fail_msg("%s: %s", report.rule, err.detail);

	spoilt(&c);
	assert_true(FAILED(audit_check(&c.audit, &c.t->mem, &c.record, &report, &err)));
	assert_string_equal(report.rule, "journal");
	assert_non_null(strstr(err.detail, "another certificate"));

	/* A certificate by the issuer's key that the signer never began. */
	struct plan p = plan_good(c.t);
	p.serial = "010203040506070809101112131415161799";
	struct sign_job job = plan_job(&p);
	MUST(dir_make(town_path(c.t, "other"), 0700, &err));
	c.t->conf->signer.journal = STR("other");
	c.record = (struct audit_record){ NOW_MS, issue(c.t, &job), job_text(c.t, &job) };
	assert_true(FAILED(audit_check(&c.audit, &c.t->mem, &c.record, &report, &err)));
	assert_string_equal(report.rule, "journal");
	assert_non_null(strstr(err.detail, "does not know this serial"));
	audit_journal_free((struct audit_journal *)(uintptr_t)c.audit.journal);
	c.audit.journal = NULL;
	if (FAILED(audit_check(&c.audit, &c.t->mem, &c.record, &report, &err)))
		fail_msg("%s: %s", report.rule, err.detail);
	scene_close(&c);
}

static void what_a_grant_gave_holds_until_it_was_revoked(void **state)
{
	struct scene c = { .t = NULL };
	struct audit_report report;
	struct err err = { 0 };
	(void)state;
	scene_open(&c);
	struct plan p = plan_good(c.t);
	p.serial = "010203040506070809101112131415161720";
	p.order = p.url_order = id_at(NOW_MS - 60000, 20);
	p.profile = "staff";
	p.pledges[0].given = true;
	p.pledges[0].organization = STR("Corp");
	p.votes[0].cast = p.votes[1].cast = false;
	struct sign_job job = plan_job(&p);
	c.record = (struct audit_record){ NOW_MS, issue(c.t, &job), job_text(c.t, &job) };
	struct revoked_grant gone = { GRANT_ID(0), NOW_MS + 1 };
	c.audit.revoked = (struct revoked_grants){ .v = &gone, .n = 1 };
	if (FAILED(audit_check(&c.audit, &c.t->mem, &c.record, &report, &err)))
		fail_msg("%s: %s", report.rule, err.detail);
	gone.since_ms = NOW_MS - 3600 * 1000 * 2;
	assert_true(FAILED(audit_check(&c.audit, &c.t->mem, &c.record, &report, &err)));
	assert_string_equal(report.rule, "evidence");
	scene_close(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_issued_holds_when_it_is_asked_again),
		cmocka_unit_test(what_was_not_issued_rightly_breaks_a_rule),
		cmocka_unit_test(the_journal_is_believed),
		cmocka_unit_test(what_a_grant_gave_holds_until_it_was_revoked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * takeover_test.c: somebody has taken over the api, with its database, its bus and every request that clients ever sent. He
 * asks a whole signer for certificates that he has no right to. Each is refused, stands in the journal as refused, and is
 * told as an alarm; none of them has left a begun certificate. What an honest api may ask too is refused without one.
 */
#include "sign/journal_internal.h"
#include "sign/test.h"

#include <fcntl.h>
#include <openssl/x509v3.h>

struct attack {
	const char *what;
	void (*change)(struct plan *p);
	void (*after)(struct plan *p, struct sign_job *j);
	const char *says;  /* NULL: issued, to show that the rest of the plan would hold */
	const char *alarm; /* NULL: an honest api may ask this */
	const char *
		revoked; /* signer.revoked-grants, @ for the id of ann's grant, & for bob's; NULL: there is no such file */
};

#define BEYOND "alarm: a job beyond what the configuration allows"
#define UNASKED "alarm: a job that the client did not sign"
#define UNPROVEN "alarm: a job without proof"

/* --- one signer for all, each attack with an order and a serial of its own ---*/
struct scene {
	struct town *t;
	struct signer *s;
	struct log log;
	const char *log_path;
	uint8_t number;
};

static void scene_open(struct scene *c)
{
	struct err err = { 0 };
	c->t = town_new();
	c->log_path = town_path(c->t, "log");
	c->log = (struct log){ .program = "cairn-signer",
			       .level = LOG_DEBUG,
			       .form = LOG_JSON,
			       .fd = open(c->log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600),
			       .clock = &c->t->clk };
	assert_true(c->log.fd >= 0);
	MUST(signer_new(c->t->conf, c->t->crypto, &c->log, &c->t->clk, &rng_system, &c->s, &err));
}

static void scene_close(struct scene *c)
{
	signer_free(c->s);
	close(c->log.fd);
	town_free(c->t);
}

struct seen {
	struct id order;
	unsigned n[4];
	char why[ERR_DETAIL_MAX];
};

static fallible see_entry(void *ctx, enum journal_kind kind, const struct journal_entry *e, struct err *err)
{
	struct seen *s = ctx;
	(void)err;
	if (!id_eq(e->order, s->order))
		return OK;
	s->n[kind]++;
	if (kind == JOURNAL_REFUSED)
		snprintf(s->why, sizeof s->why, "%.*s", STR_FMT(e->why));
	return OK;
}

static bool log_has(struct scene *c, struct id order, const char *event)
{
	AUTO(buf_done) struct buf text = BUF_MAX(4 * 1024 * 1024);
	struct err err = { 0 };
	bool found = false;
	MUST(file_read(c->log_path, text.max, &text, &err));
	const char *rest = str_dupz_raw(&c->t->mem, buf_str(&text));
	for (const char *line = rest; *line != '\0' && !found; line = strchr(line, '\n') + 1) {
		struct str l = str_n(line, (size_t)(strchr(line, '\n') - line));
		found = memmem(l.p, l.n, id_show(order).z, ID_TEXT_LEN) != NULL &&
			memmem(l.p, l.n, event, strlen(event)) != NULL;
	}
	return found;
}

static void set_revoked(struct scene *c, const char *text)
{
	struct err err = { 0 };
	const char *path = town_path(c->t, "grants/revoked");
	AUTO(buf_done) struct buf b = BUF_MAX(4096);
	unlink(path);
	if (text == NULL)
		return;
	for (; *text != '\0'; text++) {
		if (*text == '@' || *text == '&')
			MUST(buf_add(&b, str_z(id_show(GRANT_ID(*text == '&')).z), &err));
		else
			MUST(buf_add_char(&b, *text, &err));
	}
	MUST(dir_make(town_path(c->t, "grants"), 0700, &err));
	MUST(file_write_new(path, buf_str(&b), 0644, &err));
}

static void run(struct scene *c, const struct attack *a)
{
	struct plan p = plan_good(c->t);
	struct sign_result r = { 0 };
	struct err err = { 0 };
	char serial[2 * SERIAL_LEN + 1];
	snprintf(serial, sizeof serial, "0102030405060708091011121314151617%02x", ++c->number);
	p.serial = serial;
	p.order = p.url_order = id_at(NOW_MS - 60000, c->number);
	p.issuance = id_at(NOW_MS - 1000, c->number);
	if (a->change != NULL)
		a->change(&p);
	struct sign_job job = plan_job(&p);
	if (a->after != NULL)
		a->after(&p, &job);
	set_revoked(c, a->revoked);
	MUST(signer_batch(c->s, &c->t->mem, &job, 1, &r, &err));
	struct seen seen = { .order = job.order };
	MUST(journal_walk(town_path(c->t, "journal"), see_entry, &seen, &err));
	if (r.issued != (a->says == NULL))
		fail_msg("%s: %s %.*s", a->what, r.issued ? "issued" : "refused:", STR_FMT(r.problem_detail));
	if (r.issued) {
		assert_int_equal(seen.n[JOURNAL_DONE], 1);
		return;
	}
	if (memmem(r.problem_detail.p, r.problem_detail.n, a->says, strlen(a->says)) == NULL)
		fail_msg("%s: says \"%.*s\", wanted \"%s\"", a->what, STR_FMT(r.problem_detail), a->says);
	if (seen.n[JOURNAL_REFUSED] != 1 || seen.n[JOURNAL_BEGIN] != 0 || seen.n[JOURNAL_DONE] != 0)
		fail_msg("%s: the journal has %u begun, %u done, %u refused", a->what, seen.n[JOURNAL_BEGIN],
			 seen.n[JOURNAL_DONE], seen.n[JOURNAL_REFUSED]);
	assert_non_null(strstr(seen.why, a->says));
	if (!log_has(c, job.order, "issuance refused"))
		fail_msg("%s: the log does not tell of it", a->what);
	if (log_has(c, job.order, "alarm: ") != (a->alarm != NULL) ||
	    (a->alarm != NULL && !log_has(c, job.order, a->alarm)))
		fail_msg("%s: wanted %s", a->what, a->alarm != NULL ? a->alarm : "no alarm");
}

#define CHANGE(name, ...)                \
	static void name(struct plan *p) \
	{                                \
		__VA_ARGS__;             \
	}
#define AFTER(name, ...)                                     \
	static void name(struct plan *p, struct sign_job *j) \
	{                                                    \
		(void)p;                                     \
		__VA_ARGS__;                                 \
	}
#define BOTH(member, value) (p->votes[0].member = (value), p->votes[1].member = (value))

/* --- evidence of control ---*/
CHANGE(none, BOTH(cast, false))
CHANGE(forged, BOTH(spoil, true))
CHANGE(forged_one, p->votes[1].spoil = true)
CHANGE(own_key, BOTH(signer, p->town->stranger))
CHANGE(as_another, p->votes[1].kid = p->votes[1].perspective = "c")
CHANGE(twice, p->votes[1].cast = false; p->votes[0].twice = true)
CHANGE(unknown_voter, BOTH(perspective, "z"); BOTH(kid, "z"); BOTH(signer, p->town->stranger))
CHANGE(far_voter, p->votes[1].cast = false; p->votes[3].cast = true)
CHANGE(foreign, BOTH(thumbprint_of, p->town->stranger))
CHANGE(foreign_realm, BOTH(realm, "team"))
CHANGE(other_zone, BOTH(zone, "far"))
CHANGE(failed, BOTH(valid, false))
CHANGE(other_name, BOTH(name, STR("other.corp.example")))
CHANGE(for_wildcard, p->names[1] = STR("*.corp.example"); BOTH(method, CHALLENGE_DNS01); BOTH(wildcard, 0))
CHANGE(wildcard_by_http, p->names[1] = STR("*.corp.example"))
CHANGE(ancestor, p->names[0] = STR("x.www.corp.example"); BOTH(name, STR("www.corp.example"));
       BOTH(method, CHALLENGE_DNS01); BOTH(subdomains, true))
CHANGE(expired, BOTH(started_ms, NOW_MS - 40 * DAY_S * 1000); BOTH(finished_ms, NOW_MS - 40 * DAY_S * 1000 + 1))
CHANGE(future, BOTH(finished_ms, NOW_MS + DAY_S * 1000))
CHANGE(caa_only, BOTH(caa_only, true); BOTH(caa, CAA_ALLOWED))
CHANGE(as_grant, BOTH(typ, GRANT_TYP))
CHANGE(method_off, BOTH(method, CHALLENGE_TLSALPN01))
AFTER(moved, struct sign_job other; struct plan q = plan_good(p->town); q.names[0] = STR("mine.corp.example");
      q.names[1] = STR("also.corp.example"); other = plan_job(&q); j->verdicts = other.verdicts)

/* --- what the client signed ---*/
CHANGE(other_client, p->finalize_key = p->town->stranger)
CHANGE(own_account, p->finalize_key = p->job_key = p->town->stranger)
CHANGE(other_order, p->url_order = id_at(NOW_MS - 61000, 77))
CHANGE(other_account, p->kid_account = id_at(NOW_MS - 61000, 77))
CHANGE(spoilt_csr, p->spoil_csr = true)
CHANGE(account_key_csr, p->csr_key = p->town->account)
CHANGE(more_names, p->csr_names[0] = STR("www.corp.example"); p->csr_names[1] = STR("api.corp.example");
       p->csr_names[2] = STR("x.corp.example"); p->csr_name_count = 3)
AFTER(swapped_csr, struct plan q = plan_good(p->town); q.csr_key = p->town->stranger;
      q.finalize_key = p->town->stranger; q.order = q.url_order = p->order; struct sign_job other = plan_job(&q);
      j->finalize_payload = other.finalize_payload)
AFTER(replayed_csr, struct plan q = plan_good(p->town); q.order = q.url_order = id_at(NOW_MS - 70000, 99);
      struct sign_job other = plan_job(&q); j->finalize_protected = other.finalize_protected;
      j->finalize_payload = other.finalize_payload; j->finalize_signature = other.finalize_signature)
/* csr_make would not write it. */
static void ca_true(struct plan *p)
{
	struct town *t = p->town;
	X509_REQ *r = X509_REQ_new();
	STACK_OF(X509_EXTENSION) *x = sk_X509_EXTENSION_new_null();
	unsigned char *der = NULL;
	sk_X509_EXTENSION_push(
		x, X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "DNS:www.corp.example,DNS:api.corp.example"));
	sk_X509_EXTENSION_push(x, X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints, "critical,CA:TRUE"));
	assert_int_equal(X509_REQ_set_version(r, 0), 1);
	assert_int_equal(X509_REQ_set_pubkey(r, key_get_evp(t->subscriber)), 1);
	assert_int_equal(X509_REQ_add_extensions(r, x), 1);
	assert_true(X509_REQ_sign(r, key_get_evp(t->subscriber), EVP_sha256()) > 0);
	int n = i2d_X509_REQ(r, &der);
	assert_true(n > 0);
	struct str csr = b64url_encode(&t->mem, str_n((char *)der, (size_t)n));
	p->payload = str_fmt(&t->mem, "{\"csr\":\"%.*s\"}%c", STR_FMT(csr), 0).p;
	OPENSSL_free(der);
	sk_X509_EXTENSION_pop_free(x, X509_EXTENSION_free);
	X509_REQ_free(r);
}

/* --- the configuration's limits ---*/
CHANGE(profile_other, p->profile = "other")
CHANGE(profile_none, p->profile = "root")
CHANGE(issuer_none, p->issuer = "root")
CHANGE(realm_none, p->realm = "nowhere")
CHANGE(longer, p->not_after = p->not_before + 91 * DAY_S)
CHANGE(longer_brief, p->profile = "brief")
CHANGE(much_longer, p->not_after = p->not_before + 3000 * DAY_S)
CHANGE(long_ago, p->not_before = NOW_S - 50 * 3600)
CHANGE(ahead, p->not_before = NOW_S + 3 * DAY_S; p->not_after = p->not_before + DAY_S)
CHANGE(foreign_name, p->names[0] = STR("www.team.example"))
CHANGE(public_name, p->names[0] = STR("www.example.com"))
CHANGE(loopback, p->names[0] = STR("127.0.0.1"))
CHANGE(old_order, p->order = p->url_order = id_at(NOW_MS - 30 * DAY_S * 1000, 66))
CHANGE(foreign_serial, p->serial = "7f0203040506070809101112131415161718")

/* --- grants: ann's, for both names and without a verdict, unless it says otherwise ---*/
static void granted(struct plan *p)
{
	BOTH(cast, false);
	p->pledges[0].given = true;
}
#define PLEDGE (p->pledges[0])
CHANGE(g_bob, granted(p); PLEDGE.given = false; p->pledges[1].given = true)
CHANGE(g_forged, granted(p); PLEDGE.spoil = true)
CHANGE(g_own_key, granted(p); PLEDGE.signer = p->town->stranger)
CHANGE(g_as_bob, granted(p); PLEDGE.kid = "bob")
CHANGE(g_nobody, granted(p); PLEDGE.kid = "eve"; PLEDGE.signer = p->town->stranger)
CHANGE(g_voter, granted(p); PLEDGE.kid = "a"; PLEDGE.signer = p->town->voters[0])
CHANGE(g_as_verdict, granted(p); PLEDGE.typ = VERDICT_TYP)
CHANGE(g_expired, granted(p); PLEDGE.from_s = NOW_S - 40 * DAY_S; PLEDGE.until_s = NOW_S - 10 * DAY_S)
CHANGE(g_waiting, granted(p); p->not_before -= 30; p->not_after -= 30) /* asked for half a minute ago */
CHANGE(g_just_expired, g_waiting(p); PLEDGE.until_s = NOW_S - 1)
CHANGE(g_not_yet, granted(p); PLEDGE.from_s = NOW_S + 60)
CHANGE(g_from_future, granted(p); PLEDGE.made_ms = NOW_MS + DAY_S * 1000)
CHANGE(g_eternal, granted(p); PLEDGE.until_s = NOW_S + 9000 * DAY_S)
CHANGE(g_foreign, granted(p); PLEDGE.thumbprint_of = p->town->stranger)
CHANGE(g_realm, granted(p); PLEDGE.realm = "team")
CHANGE(g_other_name, granted(p); PLEDGE.name = STR("api.corp.example"))
CHANGE(g_base_only, granted(p); PLEDGE.name = STR("*.www.corp.example"))
CHANGE(g_wildcard, granted(p); p->names[1] = STR("*.x.corp.example"))
CHANGE(g_wildcard_ok, g_wildcard(p); PLEDGE.wildcards = true)
CHANGE(g_beyond_realm, granted(p); PLEDGE.name = STR("*"); p->names[1] = STR("www.example.com"))
CHANGE(g_profile, granted(p); PLEDGE.profile = STR("brief"))
CHANGE(g_profile_ok, granted(p); PLEDGE.profile = STR("server"))
CHANGE(g_address, granted(p); p->names[1] = STR("192.0.2.7"); PLEDGE.address = STR("192.0.2.8/29"))
CHANGE(g_address_ok, granted(p); p->names[1] = STR("192.0.2.7"); PLEDGE.address = STR("192.0.2.0/29"))
CHANGE(g_public, granted(p); p->profile = "strict")
CHANGE(g_half, granted(p); PLEDGE.name = STR("api.corp.example"); p->votes[0].cast = true)
CHANGE(g_half_ok, g_half(p); p->votes[1].cast = true)
CHANGE(g_realm_off, granted(p); p->realm = PLEDGE.realm = "team"; p->names[0] = STR("a.team.example");
       p->names[1] = STR("b.team.example"); PLEDGE.name = STR("*.team.example");
       p->url_base = p->kid_base = BASE "/realm/team")
CHANGE(s_none, p->profile = "staff")
CHANGE(s_names_only, s_none(p); PLEDGE.given = true)
CHANGE(s_foreign, s_none(p); PLEDGE.given = true; PLEDGE.organization = STR("Corp");
       PLEDGE.thumbprint_of = p->town->stranger)
CHANGE(s_forged, s_none(p); PLEDGE.given = true; PLEDGE.organization = STR("Corp"); PLEDGE.spoil = true)
CHANGE(s_expired, s_none(p); PLEDGE.given = true; PLEDGE.organization = STR("Corp"); PLEDGE.from_s = NOW_S - 9 * DAY_S;
       PLEDGE.until_s = NOW_S - 8 * DAY_S)
CHANGE(s_ok, s_none(p); PLEDGE.given = true; PLEDGE.name = STR_NONE; PLEDGE.organization = STR("Corp");
       PLEDGE.country = STR("DE"); PLEDGE.email = STR("ops@corp.example"))

static const struct attack attacks[] = {
	{ "an honest job", NULL, NULL, NULL, NULL, NULL },
	{ "no evidence at all", none, NULL, "proven by 0", UNPROVEN, NULL },
	{ "forged verdicts", forged, NULL, "did not sign it", UNPROVEN, NULL },
	{ "one of two forged", forged_one, NULL, "proven by 1", UNPROVEN, NULL },
	{ "verdicts by his own key", own_key, NULL, "did not sign it", UNPROVEN, NULL },
	{ "one perspective signs for another", as_another, NULL, "proven by 1", UNPROVEN, NULL },
	{ "a quorum short by one", twice, NULL, "proven by 1 of the 2", UNPROVEN, NULL },
	{ "a perspective that nobody knows", unknown_voter, NULL, "is not of zone", UNPROVEN, NULL },
	{ "a perspective of another zone", far_voter, NULL, "proven by 1", UNPROVEN, NULL },
	{ "a foreign account's evidence", foreign, NULL, "another account's key", UNPROVEN, NULL },
	{ "evidence of another realm", foreign_realm, NULL, "it is for realm", UNPROVEN, NULL },
	{ "evidence of another zone", other_zone, NULL, "looked up in zone", UNPROVEN, NULL },
	{ "verdicts that say no", failed, NULL, "says that the challenge failed", UNPROVEN, NULL },
	{ "evidence for another name", other_name, NULL, "proven by 0", UNPROVEN, NULL },
	{ "evidence of another order's names", NULL, moved, "proven by 0", UNPROVEN, NULL },
	{ "a wildcard by a plain proof", for_wildcard, NULL, "proven by 0", UNPROVEN, NULL },
	{ "a wildcard by http-01", wildcard_by_http, NULL, "cannot prove a wildcard", UNPROVEN, NULL },
	{ "an ancestor where the realm wants none", ancestor, NULL, "proven by 0", UNPROVEN, NULL },
	{ "expired evidence, replayed", expired, NULL, "s old", UNPROVEN, NULL },
	{ "evidence from the future", future, NULL, "in the future", UNPROVEN, NULL },
	{ "lookups of CAA instead of proofs", caa_only, NULL, "proven by 0", UNPROVEN, NULL },
	{ "verdicts signed as grants", as_grant, NULL, "proven by 0", UNPROVEN, NULL },
	{ "a method that the realm does not take", method_off, NULL, "does not take", UNPROVEN, NULL },

	{ "a request that another client signed", other_client, NULL, "did not sign the finalize request", UNASKED,
	  NULL },
	{ "his own account's key", own_account, NULL, "another account's key", UNPROVEN, NULL },
	{ "a request for another order", other_order, NULL, "finalize URL", UNASKED, NULL },
	{ "a request of another account", other_account, NULL, "is from", UNASKED, NULL },
	{ "a swapped CSR", NULL, swapped_csr, "did not sign the finalize request", UNASKED, NULL },
	{ "a replayed request", NULL, replayed_csr, "signed a request for", UNASKED, NULL },
	{ "a CSR that its key did not sign", spoilt_csr, NULL, "", UNASKED, NULL },
	{ "a CSR of CA:TRUE", ca_true, NULL, "CA", UNASKED, NULL },
	{ "a CSR with the account's key", account_key_csr, NULL, "account's own key", UNASKED, NULL },
	{ "names that were not ordered", more_names, NULL, "the CSR has 3 names", UNASKED, NULL },

	{ "a profile that the realm does not have", profile_other, NULL, "does not issue the profile", BEYOND, NULL },
	{ "a profile that there is not", profile_none, NULL, "does not issue the profile", BEYOND, NULL },
	{ "an issuer that there is not", issuer_none, NULL, "issued by", BEYOND, NULL },
	{ "a realm that there is not", realm_none, NULL, "no realm", BEYOND, NULL },
	{ "a longer lifetime", longer, NULL, "is asked for", BEYOND, NULL },
	{ "the lifetime of another profile", longer_brief, NULL, "is asked for", BEYOND, NULL },
	{ "years", much_longer, NULL, "is asked for", BEYOND, NULL },
	{ "a backdated certificate", long_ago, NULL, "48 hours ago", BEYOND, NULL },
	{ "a postdated certificate", ahead, NULL, "48 hours ahead", BEYOND, NULL },
	{ "another realm's name", foreign_name, NULL, "is not allowed", BEYOND, NULL },
	{ "anybody's name", public_name, NULL, "is not allowed", BEYOND, NULL },
	{ "an address that is nobody's", loopback, NULL, "is not allowed", BEYOND, NULL },
	{ "an order of long ago", old_order, NULL, "older than realm", BEYOND, NULL },
	{ "a serial of another signer's", foreign_serial, NULL, "serial-prefix", BEYOND, NULL },

	{ "names that ann granted", granted, NULL, NULL, NULL, NULL },
	{ "names that bob granted", g_bob, NULL, NULL, NULL, NULL },
	{ "wildcards that a grant has", g_wildcard_ok, NULL, NULL, NULL, NULL },
	{ "the profile of a grant", g_profile_ok, NULL, NULL, NULL, NULL },
	{ "an address of a grant", g_address_ok, NULL, NULL, NULL, NULL },
	{ "one name by a grant, one by a proof", g_half_ok, NULL, NULL, NULL, NULL },
	{ "a forged grant", g_forged, NULL, "did not sign it", UNPROVEN, NULL },
	{ "a grant by his own key", g_own_key, NULL, "did not sign it", UNPROVEN, NULL },
	{ "ann's grant as bob's", g_as_bob, NULL, "\"bob\" did not sign it", UNPROVEN, NULL },
	{ "an operator that nobody knows", g_nobody, NULL, "no key of an operator", UNPROVEN, NULL },
	{ "a perspective's grant", g_voter, NULL, "no key of an operator", UNPROVEN, NULL },
	{ "a grant signed as a verdict", g_as_verdict, NULL, "a grant does not count", UNPROVEN, NULL },
	{ "an expired grant", g_expired, NULL, "it ended", UNPROVEN, NULL },
	{ "a grant that ended while the job waited", g_just_expired, NULL, "it ended 1 s ago", NULL, NULL },
	{ "a grant that begins later", g_not_yet, NULL, "begins later", UNPROVEN, NULL },
	{ "a grant made in the future", g_from_future, NULL, "begins later", UNPROVEN, NULL },
	{ "a grant for ever", g_eternal, NULL, "days", UNPROVEN, NULL },
	{ "a foreign account's grant", g_foreign, NULL, "another account's key", UNPROVEN, NULL },
	{ "another realm's grant", g_realm, NULL, "it is for realm", UNPROVEN, NULL },
	{ "a realm without grants", g_realm_off, NULL, "takes no grants", UNPROVEN, NULL },
	{ "a grant for one name of two", g_other_name, NULL, "www.corp.example is proven by 0", UNPROVEN, NULL },
	{ "a grant for names below", g_base_only, NULL, "proven by 0", UNPROVEN, NULL },
	{ "a wildcard by a grant of names", g_wildcard, NULL, "proven by 0", UNPROVEN, NULL },
	{ "a grant wider than the realm", g_beyond_realm, NULL, "is not allowed", BEYOND, NULL },
	{ "a grant for another profile", g_profile, NULL, "not for the profile", UNPROVEN, NULL },
	{ "an address beside the granted ones", g_address, NULL, "proven by 0", UNPROVEN, NULL },
	{ "a grant where the public rules hold", g_public, NULL, "proven by 0", UNPROVEN, NULL },
	{ "a grant for one name, half a quorum for the other", g_half, NULL, "proven by 1", UNPROVEN, NULL },
	{ "a revoked grant", granted, NULL, "it was revoked", UNPROVEN, "# taken back\n@\n" },
	{ "one revoked long ago", granted, NULL, "it was revoked", UNPROVEN, "@ 2026-11-20T00:00:00Z\n" },
	{ "one revoked while the job waited", g_waiting, NULL, "it was revoked", NULL, "@ 2026-11-21T23:59:50Z\n" },
	{ "one that will be revoked", granted, NULL, NULL, NULL, "@ 2026-11-29T00:00:00Z\n" },
	{ "another one revoked", granted, NULL, NULL, NULL, "&\n" },
	{ "a list of revoked ones that cannot be read", granted, NULL, "cannot read", UNPROVEN, "who knows\n" },
	{ "names that ann granted, again", granted, NULL, NULL, NULL, NULL },

	{ "an organization that an operator vouches for", s_ok, NULL, NULL, NULL, NULL },
	{ "no organization where one is wanted", s_none, NULL, "wants a subject", UNPROVEN, NULL },
	{ "a grant without one", s_names_only, NULL, "wants a subject", UNPROVEN, NULL },
	{ "a foreign account's organization", s_foreign, NULL, "another account's key", UNPROVEN, NULL },
	{ "an organization that nobody signed", s_forged, NULL, "did not sign it", UNPROVEN, NULL },
	{ "an organization of last week", s_expired, NULL, "it ended", UNPROVEN, NULL },
};

static void what_a_taken_over_api_asks_is_refused_journaled_and_told(void **state)
{
	struct scene c = { .number = 9 };
	(void)state;
	scene_open(&c);
	for (size_t i = 0; i < ARRAY_LEN(attacks); i++)
		run(&c, &attacks[i]);
	scene_close(&c);
}

/* The list is looked at when it is needed, and what a job without grants costs does not depend on it. */
static void a_new_list_of_revoked_grants_counts_from_the_next_batch_on(void **state)
{
	static const struct attack rows[] = {
		{ "before", granted, NULL, NULL, NULL, NULL },
		{ "after", granted, NULL, "it was revoked", UNPROVEN, "@\n" },
		{ "longer", granted, NULL, NULL, NULL, "# nothing, and not the same length\n" },
		{ "back", granted, NULL, "it was revoked", UNPROVEN, "@\n" },
		{ "gone", granted, NULL, NULL, NULL, NULL },
	};
	struct scene c = { .number = 9 };
	(void)state;
	scene_open(&c);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		run(&c, &rows[i]);
	scene_close(&c);
}

/* Why it could not be read may end without a trace in the file: a mode, a mount, the door that opens it. */
static void a_list_that_could_not_be_read_is_tried_again(void **state)
{
	static const char bad[] = "who knows\n", good[] = "# nothing\n";
	struct scene c = { .number = 19 };
	struct stat st;
	(void)state;
	scene_open(&c);
	set_revoked(&c, bad);
	signer_reread_revoked(c.s);
	assert_true(c.s->revoked.list.unreadable);
	AUTO(fd_close) int fd = open(town_path(c.t, "grants/revoked"), O_WRONLY | O_CLOEXEC);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(pwrite(fd, good, sizeof good - 1, 0), st.st_size);
	assert_int_equal(futimens(fd, (const struct timespec[]){ st.st_atim, st.st_mtim }), 0);
	signer_reread_revoked(c.s);
	assert_false(c.s->revoked.list.unreadable);
	scene_close(&c);
}

static void a_list_of_revoked_grants_says_what_is_wrong_with_it(void **state)
{
	static const struct {
		const char *text;
		size_t count;
		const char *says; /* NULL: it is read */
	} rows[] = {
		{ "", 0, NULL },
		{ "\n# words\n\n  \n", 0, NULL },
		{ "019ab3f2-0000-7000-8000-000000000001", 1, NULL },
		{ " 019ab3f2-0000-7000-8000-000000000001  2026-11-22T00:00:00Z \n#\n"
		  "019ab3f2-0000-7000-8000-000000000002\n",
		  2, NULL },
		{ "019ab3f2-0000-7000-8000-000000000001 yesterday\n", 0, "line 1" },
		{ "#\n019ab3f2-0000-7000-8000-00000000000\n", 0, "line 2" },
		{ "019ab3f2-0000-7000-8000-000000000001,019ab3f2-0000-7000-8000-000000000002\n", 0, "line 1" },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(arena_done) struct arena mem = { 0 };
		struct revoked_grants r = { .n = 99 };
		struct err err = { 0 };
		struct rc rc = revoked_grants_read_text(&mem, str_z(rows[i].text), &r, &err);
		if (FAILED(rc) != (rows[i].says != NULL) || (FAILED(rc) && strstr(err.detail, rows[i].says) == NULL))
			fail_msg("row %zu: %s", i, err.detail);
		assert_int_equal(r.n, FAILED(rc) ? 99 : rows[i].count);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_taken_over_api_asks_is_refused_journaled_and_told),
		cmocka_unit_test(a_new_list_of_revoked_grants_counts_from_the_next_batch_on),
		cmocka_unit_test(a_list_that_could_not_be_read_is_tried_again),
		cmocka_unit_test(a_list_of_revoked_grants_says_what_is_wrong_with_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

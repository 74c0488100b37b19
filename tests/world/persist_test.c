/* SPDX-License-Identifier: Apache-2.0
 *
 * persist_test.c: what the api says and believes of dns-persist-01 and dns-account-01: the directory, the challenge
 * objects, how long a proof holds, whose it is, and what is kept of a key change (draft-ietf-acme-dns-persist-02,
 * draft-ietf-acme-dns-account-label-03, THREATS A53).
 */
#include "fixture.h"
#include "steps.h"

#include <stdlib.h>

#define NEW_ORDER STR(WORLD_BASE "/new-order")
#define UNTIL_S ((int64_t)1790003600) /* an hour after the world's beginning */
#define DAY_MS ((int64_t)86400 * 1000)

#define REALM(more)                                                                                         \
	"realm:\n  default:\n    names: [\"*.a.test\"]\n    challenges: [dns-persist-01, dns-account-01]\n" \
	"    caa-identities: [ca.test, issuer.test]\n" more "zone:\n  default:\n    attempts: 1\n"

struct fixture {
	FIXTURE;
};

static struct str order_for(struct fixture *f, const char *name)
{
	return step_make(&f->w, &f->alice, NEW_ORDER,
			 str_fmt(&f->w.mem, "{\"identifiers\":[{\"type\":\"dns\",\"value\":\"%s\"}]}", name));
}

static struct str authz_of(struct fixture *f, struct str order)
{
	struct str urls[IDENTS_MAX];
	assert_int_equal(step_authzs(&f->w, &f->alice, order, urls), 1);
	return urls[0];
}

static struct str publish(struct fixture *f, const char *name, const char *more)
{
	struct err err = { 0 };
	struct str uri;
	struct world_site *site = world_site(&f->w, str_z(name));
	MUST(world_persist_uri(&f->w, &f->alice, site->name, &uri, &err));
	site->persist = str_fmt(&f->w.mem, "issuer.test; accounturi=%.*s%s", STR_FMT(uri), more);
	return site->persist;
}

static void directory_is(struct fixture *f, const char *const *has, const char *const *lacks)
{
	struct err err = { 0 };
	struct world_reply r;
	MUST(world_send(&f->w, HTTP_GET, STR("/directory"), STR_NONE, STR_NONE, &r, &err));
	for (; *has != NULL; has++)
		if (!reply_says(&r, *has))
			fail_msg("%s is not in %.*s", *has, (int)r.body.n, r.body.p);
	for (; *lacks != NULL; lacks++)
		if (reply_says(&r, *lacks))
			fail_msg("%s is in %.*s", *lacks, (int)r.body.n, r.body.p);
	expect_status("directory", &r, 200);
}

/* Draft 3.2, 4.1: what clients need to make records before they order anything. */
static void the_directory_says_what_records_are_made_of(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	static const char *const nothing[] = { NULL };
	static const char *const both[] = { "\"issuerDomainNames\":[\"ca.test\",\"issuer.test\"]",
					    "\"caaIdentities\":[\"ca.test\",\"issuer.test\"]",
					    "\"accountHashPrefix\":\"https://ca.test/account-hash/\"", NULL };
	static const char *const own[] = { "\"accountHashPrefix\":\"https://hash.test/h/\"", NULL };
	static const char *const neither[] = { "issuerDomainNames", "accountHashPrefix", NULL };
	static const char *const caa[] = { "\"caaIdentities\":[\"ca.test\"]", NULL };
	directory_is(f, both, nothing);
	MUST(world_configure(&f->w, REALM("    account-hash-prefix: https://hash.test/h/\n"), &err));
	directory_is(f, own, nothing);
	MUST(world_configure(&f->w, "realm: {default: {names: ['*.a.test'], caa-identities: ca.test}}\n", &err));
	directory_is(f, caa, neither);
	MUST(world_configure(&f->w, REALM(""), &err));
}

/* Draft 3.1: no token, but whose record may stand there. */
static void the_challenge_names_issuers_and_no_token(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	struct str names[2];
	struct world_reply r = step_post(&f->w, &f->alice, authz_of(f, order_for(f, "c.a.test")), STR_NONE);
	const struct json *list = json_get(r.json, "challenges"), *persist = json_at(list, 0),
			  *label = json_at(list, 1);
	assert_int_equal(json_count(list), 2);
	assert_true(str_eq(step_text(&f->w, persist, "type"), STR("dns-persist-01")));
	assert_null(json_get(persist, "token"));
	assert_int_equal(json_count(json_get(persist, "issuerDomainNames")), 2);
	for (size_t i = 0; i < 2; i++)
		assert_true(json_as_str(json_at(json_get(persist, "issuerDomainNames"), i), &names[i]));
	assert_true(str_eq(names[0], STR("ca.test")) && str_eq(names[1], STR("issuer.test")));
	assert_true(str_eq(step_text(&f->w, label, "type"), STR("dns-account-01")));
	assert_int_equal(step_text(&f->w, label, "token").n, TOKEN_LEN);
	assert_null(json_get(label, "issuerDomainNames"));
	struct str url = step_text(&f->w, persist, "url");
	world_reply_done(&r);
	r = step_post(&f->w, &f->alice, url, STR_NONE); /* and so it is by itself */
	assert_null(json_get(r.json, "token"));
	assert_true(reply_says(&r, "\"issuerDomainNames\":[\"ca.test\",\"issuer.test\"]"));
	expect_status("challenge", &r, 200);
	MUST(world_configure(&f->w,
			     "realm: {default: {names: ['*.a.test'], challenges: [http-01, dns-persist-01], "
			     "caa-identities: ca.test}}\n",
			     &err));
	r = step_post(&f->w, &f->alice, url, STR_NONE); /* names that were taken away are not shown any more */
	assert_true(reply_says(&r, "\"issuerDomainNames\":[\"ca.test\"]"));
	expect_status("challenge", &r, 200);
	MUST(world_configure(&f->w, REALM(""), &err));
}

static int64_t expires_of(struct fixture *f, struct str authz)
{
	struct err err = { 0 };
	int64_t seconds;
	struct world_reply r = step_post(&f->w, &f->alice, authz, STR_NONE);
	MUST(time_read(step_text(&f->w, r.json, "expires"), &seconds, &err));
	world_reply_done(&r);
	return seconds;
}

/* BR 3.2.2.4.22; draft 4.1. The realm would let proofs live for 30 days. */
static void a_proof_lives_ten_days_and_no_longer_than_its_record_says(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	const struct {
		const char *name, *more;
		int64_t expires_s;
	} rows[] = {
		{ "e1.a.test", "", (f->w.now_ms + 10 * DAY_MS) / 1000 },
		{ "e2.a.test", "; persistUntil=99999999999", (f->w.now_ms + 10 * DAY_MS) / 1000 },
		{ "e3.a.test", "; persistUntil=9223372036854775807", (f->w.now_ms + 10 * DAY_MS) / 1000 },
		{ "e4.a.test", "; persistUntil=1790003600", UNTIL_S },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		publish(f, rows[i].name, rows[i].more);
		struct str order = order_for(f, rows[i].name), authz = authz_of(f, order);
		step_answer(&f->w, &f->alice, authz, "dns-persist-01");
		MUST(world_run(&f->w, &err));
		STATUS_IS(&f->w, &f->alice, authz, "valid");
		assert_int_equal(expires_of(f, authz), rows[i].expires_s);
	}
}

/* What a validator could send: a verdict for the job that waits on the bus, changed, and signed by its true key. */
static void forge(struct fixture *f, void (*change)(struct verdict *v))
{
	struct world *w = &f->w;
	struct err err = { 0 };
	struct validate_job job;
	AUTO(buf_done)
	struct buf payload = BUF_MAX(VERDICT_JWS_MAX), jws = BUF_MAX(VERDICT_JWS_MAX * 2), out = BUF_MAX(JOB_MAX);
	assert_true(w->last > w->first);
	MUST(validate_job_read(&w->mem, w->queue[w->first % WORLD_QUEUE_MAX].body, &job, &err));
	w->first = w->last;
	struct verdict v = { .attempt = job.attempt,
			     .authz = job.authz,
			     .perspective = STR("local"),
			     .realm = job.realm,
			     .zone = job.zone,
			     .method = job.method,
			     .ident = job.ident,
			     .token = job.token,
			     .thumbprint = job.thumbprint,
			     .account_url = job.account_url,
			     .valid = true,
			     .started_ms = w->now_ms,
			     .finished_ms = w->now_ms,
			     .caa = STR("not-checked") };
	change(&v);
	MUST(verdict_write(&v, &payload, &err));
	MUST(jws_compact_sign(w->crypto, w->perspective_key, STR(VERDICT_TYP), STR("local"), buf_str(&payload), &jws,
			      &err));
	const struct verdict_message m = {
		.attempt = job.attempt, .order = job.order, .perspective = STR("local"), .jws = buf_str(&jws)
	};
	MUST(verdict_message_write(&m, &out, &err));
	MUST(acme_apply_verdict(w->acme, buf_str(&out), &err));
}

static void unchanged(struct verdict *v)
{
	(void)v;
}
static void other_account(struct verdict *v)
{
	v->account_url = STR(WORLD_BASE "/account/01890000-0000-7000-8000-000000000009");
}
static void over_already(struct verdict *v)
{
	v->persist_until_s = UNTIL_S - 3601;
}

static void a_verdict_for_another_account_is_dropped(void **state)
{
	struct fixture *f = *state;
	const struct {
		const char *name;
		void (*change)(struct verdict *v);
		const char *status;
	} rows[] = {
		{ "v1.a.test", unchanged, "valid" },
		{ "v2.a.test", other_account, "pending" },
		{ "v3.a.test", over_already, "expired" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct str authz = authz_of(f, order_for(f, rows[i].name));
		step_answer(&f->w, &f->alice, authz, "dns-persist-01");
		forge(f, rows[i].change);
		assert_true(str_eq(step_status(&f->w, &f->alice, authz), str_z(rows[i].status)));
	}
}

struct look {
	struct arena *mem;
	struct id id;
	struct authz_row row;
	struct challenge_row *challenges;
	size_t count;
};

static fallible look_tx(struct store_tx *tx, void *ctx, struct err *err)
{
	struct look *l = ctx;
	TRY(authz_by_id(tx, l->mem, l->id, &l->row, err));
	return challenges_of_authz(tx, l->mem, l->id, &l->challenges, &l->count, err);
}

/* Draft 4.2 rule 1: at once, whatever the validator saw. dns-account-01 is under no such rule (docs/decisions/0010). */
static void a_deactivated_accounts_record_proves_nothing(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	struct look l = { .mem = &f->w.mem };
	static const char ended[] = "the account is deactivated: its dns-persist-01 records prove nothing any more";
	struct world_account eve;
	const struct world_account alice = f->alice;
	MUST(world_account_new(&f->w, &eve, &err));
	f->alice = eve;
	publish(f, "d.a.test", "");
	struct str authz = authz_of(f, order_for(f, "d.a.test"));
	step_answer(&f->w, &eve, authz, "dns-persist-01");
	struct world_reply r = step_post(&f->w, &eve, eve.url, STR("{\"status\":\"deactivated\"}"));
	expect_status("deactivate", &r, 200);
	MUST(world_run(&f->w, &err));
	MUST(id_read(str_sub(authz, strlen(WORLD_BASE "/authz/"), authz.n), &l.id, &err));
	MUST(store_read(f->w.store, look_tx, &l, &err));
	assert_int_equal(l.row.status, AUTHZ_INVALID);
	size_t failed = 0;
	for (size_t i = 0; i < l.count; i++)
		if (l.challenges[i].type == CHALLENGE_DNSPERSIST01) {
			failed++;
			assert_int_equal(l.challenges[i].status, CHALLENGE_INVALID);
			struct str error = l.challenges[i].error;
			assert_non_null(memmem(error.p, error.n, ended, sizeof ended - 1));
			;
		}
	assert_int_equal(failed, 1);
	f->alice = alice;
	key_free(eve.key);
}

/* What is kept for the signer has a bound, and so has the request. */
static void a_key_change_that_could_not_be_kept_is_refused(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	AUTO(key_auto) struct key *fresh = NULL;
	AUTO(buf_done) struct buf jwk = BUF_MAX(4096), inner = BUF_MAX(32768);
	char padding[4096];
	const struct str url = STR(WORLD_BASE "/key-change");
	memset(padding, 'x', sizeof padding);
	MUST(key_generate(KEY_P256, 0, &fresh, &err));
	MUST(jwk_write(f->alice.key, &jwk, &err));
	struct str payload = str_fmt(&f->w.mem, "{\"account\":\"%.*s\",\"oldKey\":%.*s,\"x\":\"%.*s\"}",
				     STR_FMT(f->alice.url), STR_FMT(buf_str(&jwk)), (int)sizeof padding, padding);
	MUST(jws_sign_acme(f->w.crypto, fresh, STR_NONE, STR_NONE, url, payload, &inner, &err));
	struct world_reply r = step_post(&f->w, &f->alice, url, buf_str(&inner));
	expect_problem("padded", &r, 400, "malformed", "bytes; a key change has at most 8192");
	r = step_post(&f->w, &f->alice, f->alice.url, STR_NONE); /* the key is as it was */
	expect_status("account", &r, 200);
}

static int open_world(void **state)
{
	*state = fixture_new(sizeof(struct fixture), REALM(""), 1);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_directory_says_what_records_are_made_of),
		cmocka_unit_test(the_challenge_names_issuers_and_no_token),
		cmocka_unit_test(a_proof_lives_ten_days_and_no_longer_than_its_record_says),
		cmocka_unit_test(a_verdict_for_another_account_is_dropped),
		cmocka_unit_test(a_deactivated_accounts_record_proves_nothing),
		cmocka_unit_test(a_key_change_that_could_not_be_kept_is_refused),
	};
	return cmocka_run_group_tests(tests, open_world, fixture_free);
}

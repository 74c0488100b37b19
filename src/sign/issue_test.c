/* SPDX-License-Identifier: Apache-2.0
 *
 * issue_test.c: what comes out of a batch, and that it comes out once: repeats, restarts between the records, two jobs
 * for one order, a serial twice, kills at every failpoint; the API's own certificate; jobs over a real bus.
 */
#include "sign/journal_internal.h"
#include "sign/test.h"

#include <errno.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

static void signer_restart(struct town *t, struct signer **s)
{
	struct err err = { 0 };
	signer_free(TAKE(*s));
	MUST(signer_new(t->conf, t->crypto, NULL, &t->clk, &rng_system, s, &err));
}

static struct sign_result sign_one(struct signer *s, struct town *t, const struct sign_job *job)
{
	struct sign_result r = { 0 };
	struct err err = { 0 };
	MUST(signer_batch(s, &t->mem, job, 1, &r, &err));
	assert_true(id_eq(r.issuance, job->issuance));
	assert_true(id_eq(r.order, job->order));
	return r;
}

#define ISSUED(r)                                                                                               \
	do {                                                                                                    \
		if (!(r).issued)                                                                                \
			fail_msg("refused: %s: %.*s", err_kind_name((r).problem), STR_FMT((r).problem_detail)); \
	} while (0)
#define REFUSED(r, want, text)                                                                                         \
	do {                                                                                                           \
		struct str refused_ = (r).problem_detail;                                                              \
		assert_false((r).issued);                                                                              \
		assert_int_equal((r).der.n, 0);                                                                        \
		if ((r).problem != (want) || memmem(refused_.p, refused_.n, (text), strlen(text)) == NULL)             \
			fail_msg("found %s \"%.*s\", wanted %s \"%s\"", err_kind_name((r).problem), STR_FMT(refused_), \
				 err_kind_name(want), (text));                                                         \
	} while (0)

/* As a TLS client that went to this name or address would look at it. */
static void verify_chain(struct town *t, struct str der, const char *host)
{
	struct addr addr;
	AUTO(cert_auto) struct cert *leaf = NULL;
	struct err err = { 0 };
	MUST(cert_read_der(der, &leaf, &err));
	X509_STORE *store = X509_STORE_new();
	STACK_OF(X509) *between = sk_X509_new_null();
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	assert_int_equal(X509_STORE_add_cert(store, cert_get_x509(t->root)), 1);
	assert_true(sk_X509_push(between, cert_get_x509(t->issuer)) > 0);
	assert_int_equal(X509_STORE_CTX_init(ctx, store, cert_get_x509(leaf), between), 1);
	X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(ctx);
	X509_VERIFY_PARAM_set_time(param, (time_t)(t->now_ms / 1000));
	X509_VERIFY_PARAM_set_purpose(param, X509_PURPOSE_SSL_SERVER);
	X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_X509_STRICT);
	if (FAILED(addr_read(str_z(host), &addr, NULL)))
		assert_int_equal(X509_VERIFY_PARAM_set1_host(param, host, 0), 1);
	else
		assert_int_equal(X509_VERIFY_PARAM_set1_ip_asc(param, host), 1);
	if (X509_verify_cert(ctx) != 1)
		fail_msg("%s", X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx)));
	X509_STORE_CTX_free(ctx);
	sk_X509_free(between);
	X509_STORE_free(store);
}

struct tally {
	unsigned n[4];
	struct str der; /* of the last done */
	struct arena *mem;
};

static fallible tally_entry(void *ctx, enum journal_kind kind, const struct journal_entry *e, struct err *err)
{
	struct tally *t = ctx;
	(void)err;
	t->n[kind]++;
	if (kind == JOURNAL_DONE && t->mem != NULL)
		t->der = str_dup(t->mem, e->der);
	return OK;
}

static struct tally journal_tally(struct town *t)
{
	struct tally tally = { .mem = &t->mem };
	struct err err = { 0 };
	MUST(journal_walk(town_path(t, "journal"), tally_entry, &tally, &err));
	return tally;
}

/* --- batches --- */
static void a_good_job_gives_a_certificate_that_clients_accept(void **state)
{
	struct town *t = town_new();
	struct signer *s = NULL;
	struct plan p = plan_good(t);
	struct sign_job job = plan_job(&p);
	struct err err = { 0 };
	(void)state;
	signer_restart(t, &s);
	struct sign_result r = sign_one(s, t, &job);
	ISSUED(r);
	verify_chain(t, r.der, "www.corp.example");
	verify_chain(t, r.der, "api.corp.example");

	AUTO(cert_auto) struct cert *c = NULL;
	AUTO(key_auto) struct key *k = NULL;
	struct str serial;
	MUST(cert_read_der(r.der, &c, &err));
	MUST(cert_get_key(c, &k, &err));
	MUST(cert_get_serial_hex(&t->mem, c, &serial, &err));
	assert_true(key_public_eq(k, t->subscriber));
	assert_true(str_eq(serial, job.serial_hex));
	assert_int_equal(cert_get_not_before(c), job.not_before);
	assert_int_equal(cert_get_not_after(c), job.not_after);

	/* Leaf, then the issuer; the root stays at home. */
	struct cert *chain[4];
	size_t count;
	const char *path = town_path(t, "chain.pem");
	MUST(file_write_new(path, r.chain_pem, 0644, &err));
	MUST(cert_read_pem_file(path, chain, 4, &count, &err));
	assert_int_equal(count, 2);
	assert_true(str_eq(cert_get_der(chain[0]), r.der));
	assert_true(str_eq(cert_get_der(chain[1]), cert_get_der(t->issuer)));
	cert_free(chain[0]);
	cert_free(chain[1]);

	struct tally tally = journal_tally(t);
	assert_int_equal(tally.n[JOURNAL_BEGIN], 1);
	assert_int_equal(tally.n[JOURNAL_DONE], 1);
	assert_true(str_eq(tally.der, r.der));
	signer_free(s);
	town_free(t);
}

static void names_and_addresses_share_a_certificate(void **state)
{
	static const struct {
		struct str ordered[3];
		size_t count;
	} rows[] = {
		{ { { "2001:db8::7", 11 }, { "www.corp.example", 16 }, { "192.0.2.7", 9 } }, 3 },
		{ { { "192.0.2.9", 9 }, { "192.0.2.10", 10 } }, 2 },
		{ { { "2001:db8::", 10 } }, 1 },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct town *t = town_new();
		struct signer *s = NULL;
		struct plan p = plan_good(t);
		struct err err = { 0 };
		AUTO(cert_auto) struct cert *c = NULL;
		memcpy(p.names, rows[i].ordered, sizeof rows[i].ordered);
		p.name_count = rows[i].count;
		struct sign_job job = plan_job(&p);
		signer_restart(t, &s);
		struct sign_result r = sign_one(s, t, &job);
		ISSUED(r);
		MUST(cert_read_der(r.der, &c, &err));
		GENERAL_NAMES *san = X509_get_ext_d2i(cert_get_x509(c), NID_subject_alt_name, NULL, NULL);
		assert_int_equal(sk_GENERAL_NAME_num(san), rows[i].count);
		GENERAL_NAMES_free(san);
		for (size_t n = 0; n < rows[i].count; n++) {
			struct addr a;
			verify_chain(t, r.der, rows[i].ordered[n].p);
			if (!FAILED(addr_read(rows[i].ordered[n], &a, NULL)))
				assert_int_equal(X509_check_ip(cert_get_x509(c), a.b, a.family == AF_INET ? 4 : 16, 0),
						 1);
		}
		assert_int_equal(X509_check_ip_asc(cert_get_x509(c), "192.0.2.8", 0), 0);
		assert_int_equal(X509_check_ip_asc(cert_get_x509(c), "2001:db8::8", 0), 0);
		/* No address is a host name, too: some clients look for it there. */
		for (size_t n = 0; n < rows[i].count; n++)
			assert_int_equal(
				X509_check_host(cert_get_x509(c), rows[i].ordered[n].p, rows[i].ordered[n].n, 0, NULL),
				plan_ident(rows[i].ordered[n]).type == IDENT_DNS);
		assert_true(str_eq(sign_one(s, t, &job).der, r.der));
		signer_free(s);
		town_free(t);
	}
}

static void a_repeat_gets_the_same_bytes_even_later_and_after_a_restart(void **state)
{
	struct town *t = town_new();
	struct signer *s = NULL;
	struct plan p = plan_good(t);
	struct sign_job job = plan_job(&p);
	(void)state;
	signer_restart(t, &s);
	struct sign_result first = sign_one(s, t, &job);
	ISSUED(first);
	for (int i = 0; i < 3; i++) {
		struct sign_result again = sign_one(s, t, &job);
		ISSUED(again);
		assert_true(str_eq(first.der, again.der));
		assert_true(str_eq(first.chain_pem, again.chain_pem));
		t->now_ms += 2 * DAY_S * 1000; /* the evidence may be too old by now: it was looked at once */
		signer_restart(t, &s);
	}
	job.verdict_count = 0; /* nor does a repeat need it */
	assert_true(str_eq(first.der, sign_one(s, t, &job).der));
	assert_int_equal(journal_tally(t).n[JOURNAL_DONE], 1);
	signer_free(s);
	town_free(t);
}

static void one_job_twice_in_a_batch_is_signed_once(void **state)
{
	struct town *t = town_new();
	struct signer *s = NULL;
	struct plan p = plan_good(t);
	struct sign_job jobs[3];
	struct sign_result r[3];
	struct err err = { 0 };
	(void)state;
	jobs[0] = jobs[1] = jobs[2] = plan_job(&p);
	signer_restart(t, &s);
	MUST(signer_batch(s, &t->mem, jobs, 3, r, &err));
	for (int i = 0; i < 3; i++) {
		ISSUED(r[i]);
		assert_true(str_eq(r[i].der, r[0].der));
	}
	assert_int_equal(journal_tally(t).n[JOURNAL_DONE], 1);
	signer_free(s);
	town_free(t);
}

static void good_and_bad_jobs_share_a_batch_in_order(void **state)
{
	struct town *t = town_new();
	struct signer *s = NULL;
	struct plan good = plan_good(t), bad = plan_good(t), other = plan_good(t);
	struct sign_job jobs[3];
	struct sign_result r[3];
	struct err err = { 0 };
	(void)state;
	bad.order = bad.url_order = id_at(NOW_MS - 60000, 5);
	bad.serial = "010203040506070809101112131415161719";
	bad.votes[0].cast = false;
	other.order = other.url_order = id_at(NOW_MS - 60000, 6);
	other.serial = "010203040506070809101112131415161720";
	jobs[0] = plan_job(&bad);
	jobs[1] = plan_job(&good);
	jobs[2] = plan_job(&other);
	signer_restart(t, &s);
	MUST(signer_batch(s, &t->mem, jobs, 3, r, &err));
	REFUSED(r[0], ERR_UNAUTHORIZED, "proven by 1 of the 2");
	ISSUED(r[1]);
	ISSUED(r[2]);
	struct tally tally = journal_tally(t);
	assert_int_equal(tally.n[JOURNAL_BEGIN], 2);
	assert_int_equal(tally.n[JOURNAL_DONE], 2);
	assert_int_equal(tally.n[JOURNAL_REFUSED], 1);
	signer_free(s);
	town_free(t);
}

static void another_job_for_an_order_is_refused(void **state)
{
	static const int ways = 3; /* same batch, later, after a restart */
	(void)state;
	for (int way = 0; way < ways; way++) {
		struct town *t = town_new();
		struct signer *s = NULL;
		struct plan p = plan_good(t), q = plan_good(t);
		struct sign_job jobs[2];
		struct sign_result r[2];
		struct err err = { 0 };
		q.csr_key = t->stranger; /* a second finalize, with another key, duly signed by the client */
		q.serial = "010203040506070809101112131415161799";
		jobs[0] = plan_job(&p);
		jobs[1] = plan_job(&q);
		signer_restart(t, &s);
		if (way == 0) {
			MUST(signer_batch(s, &t->mem, jobs, 2, r, &err));
		} else {
			r[0] = sign_one(s, t, &jobs[0]);
			if (way == 2)
				signer_restart(t, &s);
			r[1] = sign_one(s, t, &jobs[1]);
		}
		ISSUED(r[0]);
		REFUSED(r[1], ERR_CONFLICT, "asked for otherwise");
		assert_true(str_eq(sign_one(s, t, &jobs[0]).der, r[0].der));
		assert_int_equal(journal_tally(t).n[JOURNAL_DONE], 1);
		signer_free(s);
		town_free(t);
	}
}

static void a_certificate_does_not_outlive_its_issuer(void **state)
{
	(void)state;
	struct town *t = town_new_issuer_days(30);
	struct signer *s = NULL;
	struct plan p = plan_good(t); /* 90 days */
	struct sign_job job = plan_job(&p);
	signer_restart(t, &s);
	struct sign_result r = sign_one(s, t, &job);
	REFUSED(r, ERR_UNAVAILABLE, "issuer default ends at 2026-12-22T00:00:00Z");
	assert_int_equal(journal_tally(t).n[JOURNAL_BEGIN], 0);
	signer_free(s);
	town_free(t);
}

static void a_serial_is_never_used_twice(void **state)
{
	(void)state;
	for (int way = 0; way < 3; way++) {
		struct town *t = town_new();
		struct signer *s = NULL;
		struct plan p = plan_good(t), q = plan_good(t);
		struct sign_job jobs[2];
		struct sign_result r[2];
		struct err err = { 0 };
		q.order = q.url_order = id_at(NOW_MS - 60000, 7);
		jobs[0] = plan_job(&p);
		jobs[1] = plan_job(&q);
		signer_restart(t, &s);
		if (way == 0) {
			MUST(signer_batch(s, &t->mem, jobs, 2, r, &err));
		} else {
			r[0] = sign_one(s, t, &jobs[0]);
			if (way == 2)
				signer_restart(t, &s);
			r[1] = sign_one(s, t, &jobs[1]);
		}
		ISSUED(r[0]);
		REFUSED(r[1], ERR_CONFLICT, "serial is taken");
		assert_int_equal(journal_tally(t).n[JOURNAL_DONE], 1);
		signer_free(s);
		town_free(t);
	}
}

static void a_crash_between_begin_and_done_is_made_good(void **state)
{
	(void)state;
	for (uint8_t spoil = 0; spoil < 2; spoil++) {
		struct town *t = town_new();
		struct signer *s = NULL;
		struct plan p = plan_good(t);
		struct sign_job job = plan_job(&p);
		struct journal *j = NULL;
		struct journal_entry e;
		struct err err = { 0 };
		signer_restart(t, &s);
		ISSUED(sign_one(s, t, &job));
		MUST(journal_find_order(s->journal, &t->mem, p.order, &e, &err));
		signer_free(TAKE(s));
		assert_int_equal(unlink(town_path(t, "journal/journal-000001.cj")), 0);
		MUST(journal_open(town_path(t, "journal"), 1000000000, t->crypto, &t->clk, &j, &err));
		e.tbs_hash.b[0] ^= spoil;
		MUST(journal_begin(j, &e, &err));
		MUST(journal_sync(j, &err));
		journal_close(j);

		signer_restart(t, &s);
		struct sign_result r = sign_one(s, t, &job);
		if (spoil) {
			REFUSED(r, ERR_CONFLICT, "would differ");
		} else {
			ISSUED(r);
			verify_chain(t, r.der, "www.corp.example");
			assert_true(str_eq(sign_one(s, t, &job).der, r.der));
		}
		assert_int_equal(journal_tally(t).n[JOURNAL_BEGIN], 1);
		assert_int_equal(journal_tally(t).n[JOURNAL_DONE], !spoil);
		signer_free(s);
		town_free(t);
	}
}

static void a_full_batch_is_signed_and_a_larger_one_refused(void **state)
{
	struct town *t = town_new();
	struct signer *s = NULL;
	struct sign_job *jobs = ARENA_ARRAY(&t->mem, struct sign_job, SIGN_BATCH_MAX + 1);
	struct sign_result r[SIGN_BATCH_MAX + 1];
	struct err err = { 0 };
	(void)state;
	for (unsigned i = 0; i < SIGN_BATCH_MAX; i++) {
		struct plan p = plan_good(t);
		p.order = p.url_order = id_at(NOW_MS - 60000 - (int64_t)i, 2);
		p.serial = str_fmt(&t->mem, "0102030405060708091011121314151600%02x%c", i, 0).p;
		jobs[i] = plan_job(&p);
	}
	jobs[SIGN_BATCH_MAX] = jobs[0];
	signer_restart(t, &s);
	MUST_FAIL(signer_batch(s, &t->mem, jobs, SIGN_BATCH_MAX + 1, r, &err), ERR_INTERNAL, "at most");
	MUST(signer_batch(s, &t->mem, jobs, SIGN_BATCH_MAX, r, &err));
	for (unsigned i = 0; i < SIGN_BATCH_MAX; i++)
		ISSUED(r[i]);
	assert_int_equal(journal_tally(t).n[JOURNAL_DONE], SIGN_BATCH_MAX);
	signer_free(s);
	town_free(t);
}

static void a_clock_that_went_back_stops_the_batch_without_breaking(void **state)
{
	struct town *t = town_new();
	struct signer *s = NULL;
	struct plan p = plan_good(t), q = plan_good(t);
	struct sign_result r;
	struct err err = { 0 };
	(void)state;
	p.order = p.url_order = id_at(NOW_MS - 60000, 7);
	q.serial = "010203040506070809101112131415161799";
	struct sign_job jobs[2] = { plan_job(&p), plan_job(&q) };
	signer_restart(t, &s);
	ISSUED(sign_one(s, t, &jobs[0]));
	t->now_ms -= 301000;
	q.votes[0].finished_ms = q.votes[1].finished_ms = q.votes[0].started_ms = q.votes[1].started_ms =
		t->now_ms - 1000;
	q.order = q.url_order = id_at(t->now_ms - 60000, 2);
	jobs[1] = plan_job(&q);
	MUST_FAIL(signer_batch(s, &t->mem, &jobs[1], 1, &r, &err), ERR_UNAVAILABLE, "set the clock right");
	assert_false(journal_is_broken(s->journal));
	t->now_ms += 2000;
	ISSUED(sign_one(s, t, &jobs[1]));
	signer_free(s);
	town_free(t);
}

/* --- opening and reloading --- */
static void a_second_signer_a_wrong_key_and_a_shared_key_are_refused_at_start(void **state)
{
	struct town *t = town_new();
	struct signer *s = NULL, *second = NULL;
	struct err err = { 0 };
	(void)state;
	signer_restart(t, &s);
	MUST_FAIL(signer_new(t->conf, t->crypto, NULL, &t->clk, &rng_system, &second, &err), ERR_CONFLICT, "in use");
	signer_free(TAKE(s));

	AUTO(buf_done) struct buf jwk = BUF_MAX(8192);
	MUST(file_read(town_path(t, "perspectives/a.jwk"), 8192, &jwk, &err));
	MUST(file_write_atomic(town_path(t, "perspectives/b.jwk"), buf_str(&jwk), 0644, &err));
	MUST_FAIL(signer_new(t->conf, t->crypto, NULL, &t->clk, &rng_system, &second, &err), ERR_CONFIG,
		  "have the same key");
	assert_int_equal(unlink(town_path(t, "perspectives/b.jwk")), 0);
	MUST_FAIL(signer_new(t->conf, t->crypto, NULL, &t->clk, &rng_system, &second, &err), ERR_IO, "perspective b");

	MUST(jwk_write(t->voters[1], (buf_reset(&jwk), &jwk), &err));
	MUST(file_write_atomic(town_path(t, "perspectives/b.jwk"), buf_str(&jwk), 0644, &err));
	town_wrong_key(t, t->stranger);
	MUST_FAIL(signer_new(t->conf, t->crypto, NULL, &t->clk, &rng_system, &second, &err), ERR_CONFIG,
		  "issuer default: issuer's key is not the key of its certificate");
	town_free(t);
}

static void a_reload_is_taken_over_whole_or_not_at_all(void **state)
{
	struct town *t = town_new();
	struct signer *s = NULL;
	struct plan p = plan_good(t);
	struct sign_job job = plan_job(&p);
	struct err err = { 0 };
	(void)state;
	signer_restart(t, &s);
	struct conf *old = t->conf;
	town_conf(t);
	t->conf->realms[0].names.n = t->conf->realms[1].names.n = 0; /* nothing may be issued any more */
	assert_int_equal(rename(town_path(t, "perspectives/c.jwk"), town_path(t, "away")), 0);
	MUST_FAIL(signer_reload(s, t->conf, &err), ERR_IO, "perspective c");
	assert_ptr_equal(s->conf, old);
	assert_int_equal(rename(town_path(t, "away"), town_path(t, "perspectives/c.jwk")), 0);
	t->conf->realms[0].order_life_s = 30 * DAY_S;
	MUST_FAIL(signer_reload(s, t->conf, &err), ERR_CONFIG, "restart the signer");
	t->conf->realms[0].order_life_s = 7 * DAY_S;
	MUST(signer_reload(s, t->conf, &err));
	conf_free(old);
	struct sign_result r = sign_one(s, t, &job);
	REFUSED(r, ERR_REJECTED_IDENTIFIER, "corp.example");
	signer_free(s);
	town_free(t);
}

/* --- crashes --- */
static void a_kill_at_any_failpoint_leaves_at_most_one_certificate(void **state)
{
#ifndef CAIRN_FAILPOINTS
	(void)state;
	skip();
#else
	static const struct {
		const char *spec;
		unsigned begun, done; /* what the killed process left behind */
	} rows[] = {
		{ "sign.before_begin:1:kill", 0, 0 },
		{ "sign.after_begin:1:kill", 1, 0 },
		{ "sign.after_sign:1:kill", 1, 0 },
		{ "sign.after_done:1:kill", 1, 1 },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct town *t = town_new();
		struct signer *s = NULL;
		struct plan p = plan_good(t);
		struct sign_job job = plan_job(&p);
		int status;
		pid_t child = fork();
		if (child == 0) {
			struct sign_result r;
			struct err err = { 0 };
			setenv("CAIRN_FP", rows[i].spec, 1);
			if (FAILED(signer_new(t->conf, t->crypto, NULL, &t->clk, &rng_system, &s, &err)) ||
			    FAILED(signer_batch(s, &t->mem, &job, 1, &r, &err)))
				_exit(1);
			_exit(0);
		}
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		struct tally left = journal_tally(t);
		assert_int_equal(left.n[JOURNAL_BEGIN], rows[i].begun);
		assert_int_equal(left.n[JOURNAL_DONE], rows[i].done);
		signer_restart(t, &s);
		struct sign_result r = sign_one(s, t, &job);
		ISSUED(r);
		if (rows[i].done)
			assert_true(str_eq(r.der, left.der));
		struct tally now = journal_tally(t);
		assert_int_equal(now.n[JOURNAL_BEGIN], 1);
		assert_int_equal(now.n[JOURNAL_DONE], 1);
		assert_true(str_eq(sign_one(s, t, &job).der, r.der));
		signer_free(s);
		town_free(t);
	}
#endif
}

/* --- the API's own certificate --- */
static struct cert *own_cert(struct town *t)
{
	struct cert *chain[4];
	size_t count;
	struct err err = { 0 };
	MUST(cert_read_pem_file(town_path(t, "tls/api.pem"), chain, 4, &count, &err));
	assert_int_equal(count, 2);
	cert_free(chain[1]);
	return chain[0];
}

static bool renewed(struct signer *s)
{
	struct err err = { 0 };
	bool did;
	MUST(signer_renew_tls(s, &did, &err));
	return did;
}

static void the_api_gets_a_certificate_and_a_new_one_in_time(void **state)
{
	struct town *t = town_new();
	struct signer *s = NULL;
	struct stat st;
	struct err err = { 0 };
	(void)state;
	MUST(dir_make(town_path(t, "tls"), 0700, &err));
	signer_restart(t, &s);
	assert_true(renewed(s));
	assert_false(renewed(s));
	AUTO(cert_auto) struct cert *first = own_cert(t);
	AUTO(key_auto) struct key *key = NULL;
	AUTO(key_auto) struct key *certified = NULL;
	verify_chain(t, cert_get_der(first), "localhost");
	assert_int_equal(X509_check_ip_asc(cert_get_x509(first), "127.0.0.1", 0), 1);
	assert_int_equal(X509_check_ip_asc(cert_get_x509(first), "::1", 0), 1);
	MUST(key_read_file(town_path(t, "tls/api.key"), NULL, &key, &err));
	MUST(cert_get_key(first, &certified, &err));
	assert_true(key_public_eq(key, certified));
	assert_int_equal(stat(town_path(t, "tls/api.key"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(cert_get_not_after(first) - cert_get_not_before(first) + 1, 90 * DAY_S);
	assert_int_equal(journal_tally(t).n[JOURNAL_DONE], 1);

	t->now_ms += 59 * DAY_S * 1000;
	assert_false(renewed(s));
	t->now_ms += 2 * DAY_S * 1000; /* less than a third is left */
	assert_true(renewed(s));
	AUTO(cert_auto) struct cert *second = own_cert(t);
	assert_false(str_eq(cert_get_der(first), cert_get_der(second)));
	signer_free(s);
	town_free(t);
}

static void the_api_gets_a_new_certificate_when_the_old_one_does_not_fit(void **state)
{
	struct town *t = town_new();
	struct signer *s = NULL;
	AUTO(buf_done) struct buf pem = BUF_MAX(8192);
	struct err err = { 0 };
	static struct str more[3];
	(void)state;
	MUST(dir_make(town_path(t, "tls"), 0700, &err));
	signer_restart(t, &s);
	assert_true(renewed(s));
	MUST(key_to_pem(t->stranger, NULL, &pem, &err)); /* a crash between the two writes */
	MUST(file_write_atomic(town_path(t, "tls/api.key"), buf_str(&pem), 0600, &err));
	assert_true(renewed(s));
	assert_false(renewed(s));
	more[0] = STR("localhost");
	more[1] = STR("ca.corp.example");
	t->conf->api.tls_names = (struct conf_list){ more, 2 };
	assert_true(renewed(s));
	more[2] = STR("192.0.2.7");
	t->conf->api.tls_names.n = 3;
	assert_true(renewed(s));
	assert_false(renewed(s));
	assert_int_equal(unlink(town_path(t, "tls/api.pem")), 0);
	t->conf->api.tls_own = false;
	assert_false(renewed(s));
	t->conf->api.tls_own = true;
	assert_true(renewed(s));
	signer_free(s);
	town_free(t);
}

/* --- over the bus --- */
#define RESULTS_MAX 64
struct desk { /* the api's end */
	struct bus *bus;
	pthread_mutex_t lock;
	struct str results[RESULTS_MAX];
	size_t count;
	struct arena mem;
};

static void desk_met_result(void *ctx, struct bus_delivery *d)
{
	struct desk *k = ctx;
	pthread_mutex_lock(&k->lock);
	if (k->count < RESULTS_MAX)
		k->results[k->count++] = str_dup(&k->mem, bus_delivery_body(d));
	pthread_mutex_unlock(&k->lock);
	bus_ack(d);
}

static size_t desk_count(struct desk *k)
{
	pthread_mutex_lock(&k->lock);
	size_t n = k->count;
	pthread_mutex_unlock(&k->lock);
	return n;
}

static void wait_for_results(struct desk *k, size_t want)
{
	for (int i = 0; i < 2000 && desk_count(k) < want; i++)
		usleep(5000);
	assert_int_equal(desk_count(k), want);
}

static void publish_job(struct desk *k, const struct sign_job *job)
{
	AUTO(buf_done) struct buf body = BUF_MAX(JOB_MAX);
	struct err err = { 0 };
	MUST(sign_job_write(job, &body, &err));
	MUST(bus_publish(k->bus, STR(TOPIC_SIGN), buf_str(&body), &err));
}

static void count_call(void *ctx)
{
	(*(unsigned *)ctx)++;
}

struct wire { /* the api's end, the signer's and the signer */
	struct desk desk;
	struct bus *end;
	struct signer *s;
};

static void wire_open(struct wire *w, struct town *t, unsigned *broken_calls)
{
	struct err err = { 0 };
	struct str url = str_fmt(&t->mem, "unix:%s/bus.sock", t->dir);
	const struct bus_conf hub = {
		.url = url, .hub = true, .name = STR("api"), .queue_max = 100, .clk = &clock_system
	};
	const struct bus_conf client = { .url = url, .name = STR("signer"), .clk = &clock_system };
	pthread_mutex_init(&w->desk.lock, NULL);
	MUST(bus_new(&hub, &w->desk.bus, &err));
	MUST(bus_consume(w->desk.bus, STR(TOPIC_SIGNED), 16, desk_met_result, &w->desk, &err));
	MUST(bus_start(w->desk.bus, &err));
	signer_restart(t, &w->s);
	MUST(bus_new(&client, &w->end, &err));
	signer_on_broken(w->s, count_call, broken_calls);
	MUST(signer_start(w->s, w->end, &err));
	MUST(bus_start(w->end, &err));
}

static void wire_close(struct wire *w)
{
	signer_drain(w->s, 5000);
	bus_stop(w->end);
	signer_free(w->s);
	bus_free(w->end);
	bus_stop(w->desk.bus);
	bus_free(w->desk.bus);
	arena_done(&w->desk.mem);
}

static void jobs_on_the_bus_get_results_on_the_bus(void **state)
{
	struct town *t = town_new();
	struct wire w = { .s = NULL };
	struct err err = { 0 };
	unsigned calls = 0;
	(void)state;
	wire_open(&w, t, &calls);

	struct plan good = plan_good(t), bad = plan_good(t);
	bad.order = bad.url_order = id_at(NOW_MS - 60000, 5);
	bad.votes[0].cast = false;
	struct sign_job good_job = plan_job(&good), bad_job = plan_job(&bad);
	publish_job(&w.desk, &good_job);
	publish_job(&w.desk, &bad_job);
	publish_job(&w.desk, &good_job);
	/* What is no job is told so when it says whose it is, and dropped when it does not. */
	struct str half = str_fmt(&t->mem, "{\"version\":1,\"issuance\":\"%s\",\"order\":\"%s\"}",
				  id_show(good.issuance).z, id_show(good.order).z);
	MUST(bus_publish(w.desk.bus, STR(TOPIC_SIGN), half, &err));
	MUST(bus_publish(w.desk.bus, STR(TOPIC_SIGN), STR("garbage"), &err));
	wait_for_results(&w.desk, 4);
	unsigned issued = 0, refused = 0, malformed = 0;
	for (size_t i = 0; i < 4; i++) {
		struct sign_result r;
		MUST(sign_result_read(&t->mem, w.desk.results[i], &r, &err));
		issued += r.issued;
		refused += !r.issued && r.problem == ERR_UNAUTHORIZED && id_eq(r.order, bad.order);
		malformed += !r.issued && r.problem == ERR_MALFORMED && id_eq(r.order, good.order);
	}
	assert_int_equal(issued, 2);
	assert_int_equal(refused, 1);
	assert_int_equal(malformed, 1);
	assert_int_equal(journal_tally(t).n[JOURNAL_DONE], 1);
	assert_false(signer_is_broken(w.s));
	assert_int_equal(calls, 0);

	wire_close(&w);
	town_free(t);
}

/* A token that is lost for one of two jobs: whoever has the serial waits for it. */
struct half_lost {
	struct town *t;
	atomic_bool lost;
};
#define LOST_SERIAL "\x01\x02\x03\x04\x05\x06\x07\x08\x09\x10\x11\x12\x13\x14\x15\x16\x17\x77"

static fallible half_lost_sign(void *ctx, enum digest d, struct str tbs, struct arena *mem, struct str *ret,
			       struct err *err)
{
	struct half_lost *h = ctx;
	(void)d;
	if (atomic_load(&h->lost) && memmem(tbs.p, tbs.n, LOST_SERIAL, sizeof LOST_SERIAL - 1) != NULL)
		FAIL(err, ERR_UNAVAILABLE, "token \"half\" is away");
	return sig_sign_x509(h->t->crypto, h->t->issuer_key, tbs, mem, ret, err);
}

static void half_lost_free(void *ctx)
{
	(void)ctx;
}

static void half_lose(struct half_lost *h, struct signer *s)
{
	static const struct key_signer half_ops = { half_lost_sign, half_lost_free };
	AUTO(key_auto) struct key *key = NULL;
	struct err err = { 0 };
	MUST(key_with_signer(h->t->issuer_key, &half_ops, h, &key, &err));
	pthread_mutex_lock(&s->lock);
	issuer_free(s->issuers[0].issuer);
	MUST(issuer_new(h->t->crypto, &h->t->issuer, 1, key, &s->issuers[0].issuer, &err));
	pthread_mutex_unlock(&s->lock);
}

static void what_cannot_be_signed_now_holds_up_nothing_else(void **state)
{
	struct town *t = town_new();
	struct half_lost h = { .t = t, .lost = true };
	struct wire w = { .s = NULL };
	struct err err = { 0 };
	struct sign_result r;
	unsigned calls = 0;
	(void)state;
	wire_open(&w, t, &calls);
	half_lose(&h, w.s);
	struct plan waits = plan_good(t), other = plan_good(t);
	waits.order = waits.url_order = id_at(NOW_MS - 60000, 5);
	waits.serial = "010203040506070809101112131415161777";
	struct sign_job waits_job = plan_job(&waits), other_job = plan_job(&other);
	publish_job(&w.desk, &waits_job);
	publish_job(&w.desk, &other_job);
	wait_for_results(&w.desk, 1);
	MUST(sign_result_read(&t->mem, w.desk.results[0], &r, &err));
	ISSUED(r);
	assert_true(id_eq(r.order, other.order));
	atomic_store(&h.lost, false);
	wait_for_results(&w.desk, 2);
	MUST(sign_result_read(&t->mem, w.desk.results[1], &r, &err));
	ISSUED(r);
	assert_true(id_eq(r.order, waits.order));
	assert_int_equal(journal_tally(t).n[JOURNAL_BEGIN], 2);
	assert_int_equal(journal_tally(t).n[JOURNAL_DONE], 2);
	assert_int_equal(calls, 0);
	wire_close(&w);
	town_free(t);
}

/* As large as jobs become: 100 names, six perspectives that all must agree, CAA looked up again, and verdicts that hold as
 * much as fits. */
static void a_hundred_names_seen_by_six_perspectives_are_signed(void **state)
{
	struct town *t = town_new();
	struct wire w = { .s = NULL };
	struct err err = { 0 };
	unsigned calls = 0;
	(void)state;
	struct plan p = plan_good(t);
	p.realm = "wide";
	p.url_base = p.kid_base = BASE "/realm/wide";
	p.name_count = PLAN_NAMES;
	for (size_t i = 0; i < PLAN_NAMES; i++)
		p.names[i] = str_fmt(&t->mem, "n%zu.wide.example", i);
	for (int i = 0; i < VOTERS; i++) {
		p.votes[i].realm = p.votes[i].zone = "wide";
		p.votes[i].cast = i != 3;
		p.votes[i].wordy = true;
		p.caa_votes[i] = p.votes[i];
		p.caa_votes[i].caa_only = true;
		p.caa_votes[i].caa = CAA_ALLOWED;
	}
	struct sign_job job = plan_job(&p);
	assert_int_equal(job.verdict_count, 1200);
	size_t bytes = 0;
	for (size_t i = 0; i < job.verdict_count; i++)
		bytes += job.verdicts[i].n;
	assert_in_range(bytes, (size_t)6 * 1024 * 1024, JOB_MAX);
	wire_open(&w, t, &calls);
	publish_job(&w.desk, &job);
	wait_for_results(&w.desk, 1);
	struct sign_result r;
	MUST(sign_result_read(&t->mem, w.desk.results[0], &r, &err));
	ISSUED(r);
	assert_int_equal(calls, 0);
	wire_close(&w);
	town_free(t);
}

/* The opening's own sync passes, none after it does. */
static unsigned syncs;
static int journal_test_no_sync(int fd)
{
	if (syncs++ < 1)
		return fdatasync(fd);
	errno = EIO;
	return -1;
}

static void a_broken_journal_gives_the_jobs_back_and_says_so_once(void **state)
{
	struct town *t = town_new();
	struct signer *s = NULL;
	struct bus *end = NULL;
	struct desk k = { .lock = PTHREAD_MUTEX_INITIALIZER };
	struct err err = { 0 };
	unsigned calls = 0;
	struct str url = str_fmt(&t->mem, "unix:%s/bus.sock", t->dir);
	(void)state;
	const struct bus_conf hub = {
		.url = url, .hub = true, .name = STR("api"), .queue_max = 100, .clk = &clock_system
	};
	const struct bus_conf client = { .url = url, .name = STR("signer"), .clk = &clock_system };
	MUST(bus_new(&hub, &k.bus, &err));
	MUST(bus_consume(k.bus, STR(TOPIC_SIGNED), 16, desk_met_result, &k, &err));
	MUST(bus_start(k.bus, &err));
	struct plan p = plan_good(t);
	struct sign_job job = plan_job(&p);
	publish_job(&k, &job);
	for (int round = 0; round < 2; round++) {
		signer_restart(t, &s);
		if (round == 0) { /* a disk that fails to sync */
			static const struct journal_io *const system_io = &journal_io_system;
			static struct journal_io no_sync;
			no_sync = *system_io;
			no_sync.fdatasync = journal_test_no_sync;
			journal_close(s->journal);
			MUST(journal_open_with(town_path(t, "journal"), s->keep_ms, t->crypto, &t->clk, &no_sync,
					       1 << 20, &s->journal, &err));
		}
		MUST(bus_new(&client, &end, &err));
		signer_on_broken(s, count_call, &calls);
		MUST(signer_start(s, end, &err));
		MUST(bus_start(end, &err));
		if (round == 0) {
			for (int i = 0; i < 2000 && !signer_is_broken(s); i++)
				usleep(5000);
			assert_true(signer_is_broken(s));
			assert_int_equal(desk_count(&k), 0);
		} else {
			wait_for_results(&k, 1); /* the job was not lost */
		}
		signer_drain(s, 5000);
		bus_stop(end);
		signer_free(TAKE(s));
		bus_free(end);
	}
	assert_int_equal(calls, 1);
	bus_stop(k.bus);
	bus_free(k.bus);
	arena_done(&k.mem);
	town_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_good_job_gives_a_certificate_that_clients_accept),
		cmocka_unit_test(names_and_addresses_share_a_certificate),
		cmocka_unit_test(a_repeat_gets_the_same_bytes_even_later_and_after_a_restart),
		cmocka_unit_test(one_job_twice_in_a_batch_is_signed_once),
		cmocka_unit_test(a_certificate_does_not_outlive_its_issuer),
		cmocka_unit_test(good_and_bad_jobs_share_a_batch_in_order),
		cmocka_unit_test(another_job_for_an_order_is_refused),
		cmocka_unit_test(a_serial_is_never_used_twice),
		cmocka_unit_test(a_crash_between_begin_and_done_is_made_good),
		cmocka_unit_test(a_full_batch_is_signed_and_a_larger_one_refused),
		cmocka_unit_test(a_clock_that_went_back_stops_the_batch_without_breaking),
		cmocka_unit_test(a_second_signer_a_wrong_key_and_a_shared_key_are_refused_at_start),
		cmocka_unit_test(a_reload_is_taken_over_whole_or_not_at_all),
		cmocka_unit_test(a_kill_at_any_failpoint_leaves_at_most_one_certificate),
		cmocka_unit_test(the_api_gets_a_certificate_and_a_new_one_in_time),
		cmocka_unit_test(the_api_gets_a_new_certificate_when_the_old_one_does_not_fit),
		cmocka_unit_test(jobs_on_the_bus_get_results_on_the_bus),
		cmocka_unit_test(what_cannot_be_signed_now_holds_up_nothing_else),
		cmocka_unit_test(a_hundred_names_seen_by_six_perspectives_are_signed),
		cmocka_unit_test(a_broken_journal_gives_the_jobs_back_and_says_so_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

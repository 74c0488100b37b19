/* SPDX-License-Identifier: Apache-2.0
 *
 * validator_test.c: the whole validator between a real bus and a real web server on loopback: what it publishes, what
 * it drops, and that it opens no socket to an address that its zone does not allow.
 */
#include "alpn.h"
#include "validate/internal.h"

#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#define TOKEN "tttttttt-_0123456789abcdefghijklmnopqrstuvw"
#define THUMB "hhhhhhhh-_0123456789ABCDEFGHIJKLMNOPQRSTUVU"
#define WAIT_MS 20000
#define MESSAGES_MAX 128

#define EVENTUALLY(cond)                                         \
	do {                                                     \
		int tries_ = 0;                                  \
		while (!(cond) && tries_++ < WAIT_MS / 5)        \
			(void)poll(NULL, 0, 5);                  \
		if (!(cond))                                     \
			fail_msg("%s did not come true", #cond); \
	} while (0)

/* --- a web server --- */

static uint16_t listen_on_loopback(int *ret_fd)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof sa;
	*ret_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(*ret_fd, (const struct sockaddr *)&sa, sizeof sa), 0);
	assert_int_equal(getsockname(*ret_fd, (struct sockaddr *)&sa, &n), 0);
	assert_int_equal(listen(*ret_fd, 128), 0);
	return ntohs(sa.sin_port);
}

struct web {
	int fd;
	uint16_t port;
	pthread_t thread;
	atomic_bool stop, hold; /* hold: accept, and do not answer yet */
	atomic_bool wrong;      /* answer 404 */
	atomic_int accepted, wrong_answers;
};

static void web_serve(struct web *w, int fd)
{
	static const char reply[] = "HTTP/1.1 200 OK\r\nContent-Length: 88\r\n\r\n" TOKEN "." THUMB "\n";
	char head[4096];
	size_t n = 0;
	while (n + 1 < sizeof head) {
		ssize_t got = recv(fd, head + n, sizeof head - 1 - n, 0);
		if (got <= 0)
			return;
		n += (size_t)got;
		head[n] = '\0';
		if (strstr(head, "\r\n\r\n") != NULL)
			break;
	}
	while (atomic_load(&w->hold) && !atomic_load(&w->stop))
		(void)poll(NULL, 0, 5);
	static const char wrong[] = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
	bool is_wrong = atomic_load(&w->wrong);
	(void)!send(fd, is_wrong ? wrong : reply, is_wrong ? sizeof wrong - 1 : sizeof reply - 1, MSG_NOSIGNAL);
	atomic_fetch_add(&w->wrong_answers, is_wrong ? 1 : 0);
}

static void *web_run(void *arg)
{
	struct web *w = arg;
	while (!atomic_load(&w->stop)) {
		struct pollfd p = { .fd = w->fd, .events = POLLIN };
		if (poll(&p, 1, 20) <= 0)
			continue;
		int fd = accept(w->fd, NULL, NULL);
		if (fd < 0)
			continue;
		atomic_fetch_add(&w->accepted, 1);
		struct timeval limit = { .tv_sec = 3 };
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
		web_serve(w, fd);
		close(fd);
	}
	return NULL;
}

static void web_start(struct web *w)
{
	w->port = listen_on_loopback(&w->fd);
	assert_int_equal(pthread_create(&w->thread, NULL, web_run, w), 0);
}

/* --- a TLS server: the certificate of tls-alpn-01 for www.a.test --- */

struct tls_web {
	int fd;
	uint16_t port;
	pthread_t thread;
	atomic_bool stop;
	SSL_CTX *ctx;
};

static int tls_choose(SSL *ssl, const unsigned char **out, unsigned char *outlen, const unsigned char *in,
		      unsigned int n, void *arg)
{
	(void)ssl, (void)arg;
	*out = in + 1;
	*outlen = in[0];
	return n > 1 ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

static void *tls_web_run(void *arg)
{
	struct tls_web *w = arg;
	while (!atomic_load(&w->stop)) {
		struct pollfd p = { .fd = w->fd, .events = POLLIN };
		if (poll(&p, 1, 20) <= 0)
			continue;
		int fd = accept(w->fd, NULL, NULL);
		if (fd < 0)
			continue;
		struct timeval limit = { .tv_sec = 3 };
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
		SSL *ssl = SSL_new(w->ctx);
		SSL_set_fd(ssl, fd);
		char byte;
		if (SSL_accept(ssl) == 1)
			(void)SSL_read(ssl, &byte, 1); /* until it hangs up */
		SSL_free(ssl);
		close(fd);
	}
	return NULL;
}

static void tls_web_start(struct tls_web *w, const struct crypto *crypto, const struct key *key)
{
	AUTO(buf_done) struct buf der = BUF_MAX(65536);
	struct sha256 digest;
	struct err err = { 0 };
	assert_false(FAILED(digest_sha256(crypto, STR(TOKEN "." THUMB), &digest, &err)));
	const struct alpn_cert cert = { .digest = str_n(digest.b, sizeof digest.b), .names = { STR("www.a.test") } };
	assert_false(FAILED(alpn_cert_make(crypto, key, &cert, &der, &err)));
	w->ctx = SSL_CTX_new(TLS_server_method());
	assert_int_equal(SSL_CTX_use_certificate_ASN1(w->ctx, (int)der.n, (const unsigned char *)der.p), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(w->ctx, key_get_evp(key)), 1);
	SSL_CTX_set_alpn_select_cb(w->ctx, tls_choose, NULL);
	w->port = listen_on_loopback(&w->fd);
	assert_int_equal(pthread_create(&w->thread, NULL, tls_web_run, w), 0);
}

static void tls_web_stop(struct tls_web *w)
{
	atomic_store(&w->stop, true);
	pthread_join(w->thread, NULL);
	close(w->fd);
	SSL_CTX_free(w->ctx);
}

/* --- the fixture --- */

struct fixture {
	struct web web;
	struct tls_web tls;
	char folder[64], url[104];
	struct bus *hub, *bus;
	struct crypto *crypto;
	struct key *key;
	struct validator *v;
	struct conf conf;
	struct conf_zone zones[2];
	struct conf_realm realm;
	struct conf_static names[1];
	struct str local, loopback, range, resolver;
	struct err err;
	pthread_mutex_t lock;
	struct arena mem;
	struct str got[MESSAGES_MAX];
	size_t got_count;
	struct progress progress; /* the last */
	size_t progress_count;
};

static void on_progress(void *ctx, struct bus_delivery *d)
{
	struct fixture *f = ctx;
	struct progress p;
	pthread_mutex_lock(&f->lock);
	if (!FAILED(progress_read(&f->mem, bus_delivery_body(d), &p, NULL))) {
		f->progress = p;
		f->progress_count++;
	}
	pthread_mutex_unlock(&f->lock);
	bus_ack(d);
}

static size_t progress_count(struct fixture *f)
{
	pthread_mutex_lock(&f->lock);
	size_t n = f->progress_count;
	pthread_mutex_unlock(&f->lock);
	return n;
}

static void on_verdict(void *ctx, struct bus_delivery *d)
{
	struct fixture *f = ctx;
	pthread_mutex_lock(&f->lock);
	if (f->got_count < MESSAGES_MAX)
		f->got[f->got_count++] = str_dup(&f->mem, bus_delivery_body(d));
	pthread_mutex_unlock(&f->lock);
	bus_ack(d);
}

static size_t got_count(struct fixture *f)
{
	pthread_mutex_lock(&f->lock);
	size_t n = f->got_count;
	pthread_mutex_unlock(&f->lock);
	return n;
}

/* Two zones: "open" lets the validator contact loopback, "closed" does not; both know every name below a.test. */
static void conf_make(struct fixture *f)
{
	f->local = STR("local");
	f->loopback = STR("127.0.0.1");
	f->range = STR("127.0.0.0/8");
	f->resolver = STR("127.0.0.1:1"); /* nobody there: nothing but the table may be asked */
	f->names[0] = (struct conf_static){ STR("*.a.test"), { &f->loopback, 1 } };
	for (size_t i = 0; i < 2; i++)
		f->zones[i] = (struct conf_zone){
			.name = i == 0 ? STR("open") : STR("closed"),
			.perspectives = { &f->local, 1 },
			.quorum = 1,
			.resolvers = { &f->resolver, 1 },
			.names = f->names,
			.name_count = 1,
			.http_port = f->web.port,
			.alpn_port = f->tls.port,
			.attempts = 3,
			.allow_addresses = { &f->range, i == 0 ? 1 : 0 },
			.deadline_ms = 20000,
		};
	f->conf.zones = f->zones;
	f->conf.zone_count = 2;
	f->realm = (struct conf_realm){ .name = STR("default"), .zone = STR("inside"), .caa = STR("on") };
	f->conf.realms = &f->realm;
	f->conf.realm_count = 1;
	f->conf.validator.perspective = STR("local");
	f->conf.validator.probes_max = 8;
}

static int setup(void **state)
{
	struct fixture *f = mem_alloc(sizeof *f);
	*state = f;
	pthread_mutex_init(&f->lock, NULL);
	web_start(&f->web);
	snprintf(f->folder, sizeof f->folder, "/tmp/validator-test-XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	snprintf(f->url, sizeof f->url, "unix:%s/s", f->folder);
	assert_false(FAILED(crypto_new(&f->crypto, &f->err)));
	assert_false(FAILED(key_generate(KEY_P256, 0, &f->key, &f->err)));
	tls_web_start(&f->tls, f->crypto, f->key);
	conf_make(f);
	const struct bus_conf hub = {
		.url = str_z(f->url), .hub = true, .name = STR("api"), .queue_max = 1000, .clk = &clock_system
	};
	const struct bus_conf own = {
		.url = str_z(f->url), .name = STR("validator.local"), .queue_max = 1000, .clk = &clock_system
	};
	assert_false(FAILED(bus_new(&hub, &f->hub, &f->err)));
	assert_false(FAILED(bus_consume(f->hub, STR(TOPIC_VERDICT), 100, on_verdict, f, &f->err)));
	assert_false(FAILED(bus_consume(f->hub, STR(TOPIC_PROGRESS), 100, on_progress, f, &f->err)));
	assert_false(FAILED(bus_start(f->hub, &f->err)));
	assert_false(FAILED(bus_new(&own, &f->bus, &f->err)));
	if (FAILED(validator_new(&f->conf, f->bus, f->crypto, f->key, NULL, &clock_system, &f->v, &f->err)))
		fail_msg("%s", f->err.detail);
	assert_false(FAILED(validator_start(f->v, &f->err)));
	assert_false(FAILED(bus_start(f->bus, &f->err)));
	EVENTUALLY(bus_consumers(f->hub, STR("validate.local")) == 1);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	validator_drain(f->v, 10000);
	bus_stop(f->bus);
	validator_free(f->v);
	bus_free(f->bus);
	bus_stop(f->hub);
	bus_free(f->hub);
	atomic_store(&f->web.stop, true);
	pthread_join(f->web.thread, NULL);
	close(f->web.fd);
	tls_web_stop(&f->tls);
	key_free(f->key);
	crypto_free(f->crypto);
	arena_done(&f->mem);
	pthread_mutex_destroy(&f->lock);
	rmdir(f->folder);
	free(f);
	return 0;
}

static struct validate_job job_make(const char *zone)
{
	return (struct validate_job){
		.attempt = id_new(&clock_system, &rng_system),
		.authz = id_new(&clock_system, &rng_system),
		.order = id_new(&clock_system, &rng_system),
		.realm = STR("default"),
		.zone = str_z(zone),
		.method = CHALLENGE_HTTP01,
		.ident = { IDENT_DNS, STR("www.a.test") },
		.token = STR(TOKEN),
		.thumbprint = STR(THUMB),
		.deadline_ms = clock_now_ms(&clock_system) + 30000,
	};
}

static void publish(struct fixture *f, const struct validate_job *job)
{
	AUTO(buf_done) struct buf text = BUF_MAX(VALIDATE_JOB_MAX);
	if (FAILED(validate_job_write(job, &text, &f->err)))
		fail_msg("%s", f->err.detail);
	assert_false(FAILED(bus_publish(f->hub, STR("validate.local"), buf_str(&text), &f->err)));
}

/* The i-th message, taken apart and its signature verified. */
static void verdict_at(struct fixture *f, size_t i, struct arena *mem, struct verdict *ret)
{
	struct verdict_message m;
	struct jws_compact jws;
	pthread_mutex_lock(&f->lock);
	struct str text = str_dup(mem, f->got[i]);
	pthread_mutex_unlock(&f->lock);
	assert_false(FAILED(verdict_message_read(mem, text, &m, &f->err)));
	assert_true(str_eq(m.perspective, STR("local")));
	assert_false(FAILED(jws_compact_read(mem, m.jws, STR(VERDICT_TYP), VERDICT_JWS_MAX, &jws, &f->err)));
	assert_true(str_eq(jws.kid, STR("local")));
	assert_false(FAILED(jws_compact_verify(f->crypto, &jws, f->key, &f->err)));
	assert_false(FAILED(verdict_read(mem, jws.payload, ret, &f->err)));
	assert_true(id_eq(ret->attempt, m.attempt));
}

static void ask(struct fixture *f, const struct validate_job *job, struct arena *mem, struct verdict *ret)
{
	size_t before = got_count(f);
	publish(f, job);
	EVENTUALLY(got_count(f) == before + 1);
	verdict_at(f, before, mem, ret);
	assert_true(id_eq(ret->attempt, job->attempt));
}

/* --- the tests --- */

static void a_name_is_proven_and_the_verdict_signed(void **state)
{
	struct fixture *f = *state;
	AUTO(arena_done) struct arena mem = { 0 };
	struct validate_job job = job_make("open");
	struct verdict v;
	ask(f, &job, &mem, &v);
	assert_true(v.valid);
	assert_true(str_eq(v.ident.value, STR("www.a.test")) && str_eq(v.token, STR(TOKEN)) &&
		    str_eq(v.thumbprint, STR(THUMB)));
	assert_true(str_eq(v.caa, STR("static table")));
	assert_int_equal(v.caa_result, CAA_ALLOWED);
	assert_int_equal(v.step_count, 2);
	assert_true(
		str_eq(v.steps[0].detail, STR("www.a.test AAAA,A from static table: 127.0.0.1 (set by the operator)")));
}

static void a_name_is_proven_by_the_certificate_of_its_server(void **state)
{
	struct fixture *f = *state;
	AUTO(arena_done) struct arena mem = { 0 };
	struct validate_job job = job_make("open");
	job.method = CHALLENGE_TLSALPN01;
	struct verdict v;
	ask(f, &job, &mem, &v);
	if (!v.valid)
		fail_msg("%.*s", STR_FMT(v.problem_detail));
	assert_int_equal(v.method, CHALLENGE_TLSALPN01);
	assert_int_equal(v.step_count, 2);
	job = job_make("closed");
	job.method = CHALLENGE_TLSALPN01;
	ask(f, &job, &mem, &v);
	assert_int_equal(v.problem, ERR_CONNECTION);
	assert_true(str_starts(v.problem_detail, STR("www.a.test has no address that may be contacted: ")));
}

/* The canary: the very server that serves the open zone must not see a single connection. */
static void a_forbidden_address_sees_no_connection(void **state)
{
	struct fixture *f = *state;
	AUTO(arena_done) struct arena mem = { 0 };
	int before = atomic_load(&f->web.accepted);
	struct validate_job job = job_make("closed");
	struct verdict v;
	ask(f, &job, &mem, &v);
	assert_int_equal(v.problem, ERR_CONNECTION);
	assert_true(str_starts(v.problem_detail,
			       STR("www.a.test has no address that may be contacted: 127.0.0.1 is loopback")));
	(void)poll(NULL, 0, 100);
	assert_int_equal(atomic_load(&f->web.accepted), before);
}

static void a_zone_of_others_is_a_fault_and_no_vote(void **state)
{
	struct fixture *f = *state;
	AUTO(arena_done) struct arena mem = { 0 };
	struct validate_job job = job_make("elsewhere");
	struct verdict v;
	ask(f, &job, &mem, &v);
	assert_int_equal(v.problem, ERR_INTERNAL);
	assert_true(
		str_eq(v.problem_detail,
		       STR("zone \"elsewhere\" is not served by perspective \"local\": check zone.perspectives here")));
}

static void late_and_unreadable_jobs_are_dropped(void **state)
{
	struct fixture *f = *state;
	AUTO(arena_done) struct arena mem = { 0 };
	size_t before = got_count(f);
	struct validate_job late = job_make("open");
	late.deadline_ms = clock_now_ms(&clock_system) - 1;
	publish(f, &late);
	assert_false(FAILED(bus_publish(f->hub, STR("validate.local"), STR("{\"v\":99}"), &f->err)));
	struct validate_job job = job_make("open");
	struct verdict v;
	ask(f, &job, &mem, &v); /* behind the two: neither blocks the queue, neither is answered */
	assert_true(v.valid);
	assert_int_equal(got_count(f), before + 1);
}

static void a_running_attempt_is_not_begun_again(void **state)
{
	struct fixture *f = *state;
	AUTO(arena_done) struct arena mem = { 0 };
	size_t before = got_count(f);
	int accepted = atomic_load(&f->web.accepted);
	atomic_store(&f->web.hold, true);
	struct validate_job job = job_make("open");
	publish(f, &job);
	EVENTUALLY(atomic_load(&f->web.accepted) == accepted + 1);
	publish(f, &job);
	publish(f, &job);
	struct validate_job marker = job_make("elsewhere"); /* taken up after the two repeats */
	publish(f, &marker);
	EVENTUALLY(got_count(f) == before + 1);
	(void)poll(NULL, 0, 100);
	atomic_store(&f->web.hold, false);
	EVENTUALLY(got_count(f) == before + 2);
	(void)poll(NULL, 0, 100);
	assert_int_equal(got_count(f), before + 2);
	assert_int_equal(atomic_load(&f->web.accepted), accepted + 1);
	/* Once it has ended it may be asked again: the api keeps one verdict of each attempt. */
	struct verdict v;
	ask(f, &job, &mem, &v);
	assert_true(v.valid);
}

static void a_reload_changes_what_is_allowed(void **state)
{
	struct fixture *f = *state;
	AUTO(arena_done) struct arena mem = { 0 };
	f->zones[0].allow_addresses.n = 0;
	f->zones[1].allow_addresses.n = 1;
	assert_false(FAILED(validator_reload(f->v, &f->conf, &f->err)));
	struct validate_job job = job_make("open");
	struct verdict v;
	ask(f, &job, &mem, &v);
	assert_false(v.valid);
	job = job_make("closed");
	ask(f, &job, &mem, &v);
	assert_true(v.valid);
	/* What cannot be taken over leaves everything as it was. */
	f->resolver = STR("nonsense");
	assert_int_equal(validator_reload(f->v, &f->conf, &f->err).kind, ERR_CONFIG);
	assert_true(str_starts(str_z(f->err.detail), STR("zone \"open\": resolver \"nonsense\" is not an address")));
	job = job_make("closed");
	ask(f, &job, &mem, &v);
	assert_true(v.valid);
}

static void many_jobs_are_all_answered(void **state)
{
	struct fixture *f = *state;
	size_t before = got_count(f);
	for (int i = 0; i < 60; i++) {
		struct validate_job job = job_make(i % 2 == 0 ? "closed" : "open");
		publish(f, &job);
	}
	EVENTUALLY(got_count(f) == before + 60);
}

/* The server answers wrongly at first: the real pause passes, and then it is asked again. */
static void what_fails_at_first_is_tried_again(void **state)
{
	struct fixture *f = *state;
	AUTO(arena_done) struct arena mem = { 0 };
	int accepted = atomic_load(&f->web.accepted);
	size_t before = got_count(f), told = progress_count(f);
	struct validate_job job = job_make("closed"); /* allowed since the reload */
	atomic_store(&f->web.wrong, true);
	publish(f, &job);
	EVENTUALLY(atomic_load(&f->web.wrong_answers) == 1);
	atomic_store(&f->web.wrong, false);
	EVENTUALLY(progress_count(f) == told + 1); /* RFC 8555 8.2: said while it waits */
	assert_int_equal(got_count(f), before);
	assert_true(id_eq(f->progress.attempt, job.attempt) && str_eq(f->progress.perspective, STR("local")));
	assert_int_equal(f->progress.problem, ERR_UNAUTHORIZED);
	assert_true(str_starts(f->progress.problem_detail, STR("attempt 1 of 3 failed: ")));
	EVENTUALLY(got_count(f) == before + 1);
	struct verdict v;
	verdict_at(f, before, &mem, &v);
	assert_true(v.valid);
	assert_int_equal(atomic_load(&f->web.accepted), accepted + 2);
	assert_true(v.finished_ms - v.started_ms >= 1990); /* the first pause */
	assert_true(f->progress.next_ms > v.started_ms && f->progress.next_ms <= v.finished_ms);
}

/* Stopping waits for what runs, not for a pause between attempts, and gives the rest back. */
static void a_drained_validator_takes_nothing_new(void **state)
{
	struct fixture *f = *state;
	size_t before = got_count(f);
	int accepted = atomic_load(&f->web.accepted);
	atomic_store(&f->web.wrong, true);
	struct validate_job pausing = job_make("closed");
	publish(f, &pausing);
	EVENTUALLY(atomic_load(&f->web.wrong_answers) == 2);
	(void)poll(NULL, 0, 100); /* the answer is read by then */
	atomic_store(&f->web.wrong, false);
	accepted++;
	atomic_store(&f->web.hold, true);
	struct validate_job job = job_make("closed"); /* allowed since the reload */
	publish(f, &job);
	EVENTUALLY(atomic_load(&f->web.accepted) == accepted + 1);
	int64_t began = clock_mono_ms(&clock_system);
	validator_drain(f->v, 200); /* not enough: the probe is held */
	assert_true(clock_mono_ms(&clock_system) - began >= 190);
	atomic_store(&f->web.hold, false);
	began = clock_mono_ms(&clock_system);
	validator_drain(f->v, 10000);
	assert_true(clock_mono_ms(&clock_system) - began < 1200); /* of the pause's 2 s, about 1.7 s were left */
	EVENTUALLY(got_count(f) == before + 1);
	AUTO(arena_done) struct arena mem = { 0 };
	struct verdict v;
	verdict_at(f, before, &mem, &v);
	assert_true(v.valid && id_eq(v.attempt, job.attempt));
	/* The other one is somebody else's now: there was neither a verdict nor a second attempt. */
	assert_int_equal(atomic_load(&f->web.accepted), accepted + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_is_proven_and_the_verdict_signed),
		cmocka_unit_test(a_name_is_proven_by_the_certificate_of_its_server),
		cmocka_unit_test(a_forbidden_address_sees_no_connection),
		cmocka_unit_test(a_zone_of_others_is_a_fault_and_no_vote),
		cmocka_unit_test(late_and_unreadable_jobs_are_dropped),
		cmocka_unit_test(a_running_attempt_is_not_begun_again),
		cmocka_unit_test(a_reload_changes_what_is_allowed),
		cmocka_unit_test(many_jobs_are_all_answered),
		cmocka_unit_test(what_fails_at_first_is_tried_again),
		cmocka_unit_test(a_drained_validator_takes_nothing_new),
	};
	signal(SIGPIPE, SIG_IGN); /* the TLS server's own writes */
	return cmocka_run_group_tests(tests, setup, teardown);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * validator_test.c: the whole validator between a real bus and a real web server on loopback: what it publishes, what
 * it drops, and that it opens no socket to an address that its zone does not allow.
 */
#include "validate/internal.h"

#include <poll.h>
#include <pthread.h>
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

struct web {
	int fd;
	uint16_t port;
	pthread_t thread;
	atomic_bool stop, hold; /* hold: accept, and do not answer yet */
	atomic_int accepted;
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
	(void)!send(fd, reply, sizeof reply - 1, MSG_NOSIGNAL);
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
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof sa;
	w->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(w->fd, (const struct sockaddr *)&sa, sizeof sa), 0);
	assert_int_equal(getsockname(w->fd, (struct sockaddr *)&sa, &n), 0);
	assert_int_equal(listen(w->fd, 128), 0);
	w->port = ntohs(sa.sin_port);
	assert_int_equal(pthread_create(&w->thread, NULL, web_run, w), 0);
}

/* --- the fixture --- */

struct fixture {
	struct web web;
	char folder[64], url[104];
	struct bus *hub, *bus;
	struct crypto *crypto;
	struct key *key;
	struct validator *v;
	struct conf conf;
	struct conf_zone zones[2];
	struct conf_static names[1];
	struct str local, loopback, range, resolver;
	struct err err;
	pthread_mutex_t lock;
	struct arena mem;
	struct str got[MESSAGES_MAX];
	size_t got_count;
};

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
			.allow_addresses = { &f->range, i == 0 ? 1 : 0 },
			.deadline_ms = 5000,
		};
	f->conf.zones = f->zones;
	f->conf.zone_count = 2;
	f->conf.validator.perspective = STR("local");
	f->conf.validator.probes_max = 8;
}

static int setup(void **state)
{
	struct fixture *f = mem_alloc(sizeof *f);
	*state = f;
	pthread_mutex_init(&f->lock, NULL);
	web_start(&f->web);
	conf_make(f);
	snprintf(f->folder, sizeof f->folder, "/tmp/validator-test-XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	snprintf(f->url, sizeof f->url, "unix:%s/s", f->folder);
	assert_false(FAILED(crypto_new(&f->crypto, &f->err)));
	assert_false(FAILED(key_generate(KEY_P256, 0, &f->key, &f->err)));
	const struct bus_conf hub = {
		.url = str_z(f->url), .hub = true, .name = STR("api"), .queue_max = 1000, .clk = &clock_system
	};
	const struct bus_conf own = {
		.url = str_z(f->url), .name = STR("validator.local"), .queue_max = 1000, .clk = &clock_system
	};
	assert_false(FAILED(bus_new(&hub, &f->hub, &f->err)));
	assert_false(FAILED(bus_consume(f->hub, STR(TOPIC_VERDICT), 100, on_verdict, f, &f->err)));
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
	assert_true(str_eq(v.caa, STR("not-checked")));
	assert_int_equal(v.step_count, 2);
	assert_true(
		str_eq(v.steps[0].detail, STR("www.a.test AAAA,A from static table: 127.0.0.1 (set by the operator)")));
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

/* Stopping waits for what runs and gives the rest back. */
static void a_drained_validator_takes_nothing_new(void **state)
{
	struct fixture *f = *state;
	size_t before = got_count(f);
	atomic_store(&f->web.hold, true);
	int accepted = atomic_load(&f->web.accepted);
	struct validate_job job = job_make("closed"); /* allowed since the reload */
	publish(f, &job);
	EVENTUALLY(atomic_load(&f->web.accepted) == accepted + 1);
	int64_t began = clock_mono_ms(&clock_system);
	validator_drain(f->v, 200); /* not enough: the probe is held */
	assert_true(clock_mono_ms(&clock_system) - began >= 190);
	atomic_store(&f->web.hold, false);
	validator_drain(f->v, 10000);
	EVENTUALLY(got_count(f) == before + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_is_proven_and_the_verdict_signed),
		cmocka_unit_test(a_forbidden_address_sees_no_connection),
		cmocka_unit_test(a_zone_of_others_is_a_fault_and_no_vote),
		cmocka_unit_test(late_and_unreadable_jobs_are_dropped),
		cmocka_unit_test(a_running_attempt_is_not_begun_again),
		cmocka_unit_test(a_reload_changes_what_is_allowed),
		cmocka_unit_test(many_jobs_are_all_answered),
		cmocka_unit_test(a_drained_validator_takes_nothing_new),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * parked_test.c: a server whose handler parks requests: no worker waits with them, whatever ends the wait brings one reply,
 * and none keeps the server from ending. And who takes turns for workers. A wait that nothing ends is LONG, so a test that
 * needs it to end in time has failed by hanging, and none asks how long anything took.
 */
#include "http/conn.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define LONG_MS 3600000
#define GUESTS_MAX 64
#define NAP_MS 3
#define SLEEP_MS 150 /* longer than a loop dozes: it is not woken for the deadline, but comes to see it (exchange.c) */
#define NAP (&(const struct timespec){ .tv_nsec = 1000000 })

struct rig;
struct guest { /* in a request's arena */
	struct rig *rig;
	struct http_parking *parking;
	size_t place;
};
struct rig {
	struct http_server *server;
	struct workers *workers;
	int listen_fd;
	uint16_t port;
	pthread_mutex_t lock; /* what follows; and who has it may call guests, since they leave under it */
	pthread_cond_t changed;
	struct guest *guests[GUESTS_MAX];
	unsigned parked, inside;
	bool open; /* "/door" waits for it */
	char order[64];
};

static void say(struct http_reply *re, const char *text)
{
	re->status = 200;
	re->content_type = "text/plain";
	assert_false(FAILED(buf_add(&re->body, str_z(text), NULL)));
}

static void go_on(void *arg, bool called, struct http_reply *re)
{
	struct guest *g = arg;
	pthread_mutex_lock(&g->rig->lock);
	g->rig->guests[g->place] = NULL;
	g->rig->parked--;
	pthread_cond_broadcast(&g->rig->changed);
	pthread_mutex_unlock(&g->rig->lock);
	say(re, called ? "called" : "over");
}

static void park(struct rig *r, const struct http_request *rq, int64_t wait_ms, struct http_reply *re)
{
	struct guest *g = ARENA_NEW(rq->mem, struct guest);
	*g = (struct guest){ .rig = r, .parking = rq->parking };
	if (!http_park(rq, wait_ms, go_on, g)) {
		say(re, "no room");
		return;
	}
	pthread_mutex_lock(&r->lock);
	while (r->guests[g->place] != NULL)
		g->place++;
	r->guests[g->place] = g;
	r->parked++;
	pthread_cond_broadcast(&r->changed);
	pthread_mutex_unlock(&r->lock);
	if (str_eq(rq->query, STR("called"))) /* before this worker has left it; another may have been quicker still */
		(void)http_parking_call(rq->parking);
	if (str_eq(rq->query, STR("no-use")))
		http_parking_end(rq->parking);
}

static void handle(void *ctx, const struct http_request *rq, struct http_reply *re)
{
	struct rig *r = ctx;
	if (str_eq(rq->path, STR("/park"))) {
		park(r, rq, LONG_MS, re);
		return;
	}
	if (str_eq(rq->path, STR("/nap"))) {
		park(r, rq, NAP_MS, re);
		return;
	}
	if (str_eq(rq->path, STR("/sleep"))) {
		park(r, rq, SLEEP_MS, re);
		return;
	}
	pthread_mutex_lock(&r->lock);
	if (str_eq(rq->path, STR("/door"))) {
		r->inside++;
		pthread_cond_broadcast(&r->changed);
		while (!r->open)
			pthread_cond_wait(&r->changed, &r->lock);
	} else if (strlen(r->order) + 1 < sizeof r->order) {
		r->order[strlen(r->order)] = rq->path.p[1];
	}
	pthread_mutex_unlock(&r->lock);
	say(re, "done");
}

static bool quick(void *ctx, const struct http_request *rq, struct http_reply *re)
{
	(void)ctx;
	(void)rq;
	(void)re;
	return false;
}

static void refuse(void *ctx, int status, const char *detail, struct http_reply *re)
{
	(void)ctx;
	(void)detail;
	say(re, "refused");
	re->status = status;
}

static struct rig *rig_on(unsigned loops, unsigned workers, unsigned queue, size_t parked_max)
{
	struct rig *r = mem_alloc(sizeof *r);
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_ANY) };
	socklen_t n = sizeof a;
	struct http_limits limits = http_limits_default;
	const struct http_handlers handlers = { .quick = quick, .handle = handle, .refuse = refuse, .ctx = r };
	if (parked_max > 0)
		limits.parked_max = parked_max;
	limits.queue_ms = limits.queue_begin_ms = LONG_MS;
	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->changed, NULL);
	r->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(r->listen_fd, (struct sockaddr *)&a, sizeof a), 0);
	assert_int_equal(listen(r->listen_fd, 128), 0);
	assert_int_equal(getsockname(r->listen_fd, (struct sockaddr *)&a, &n), 0);
	r->port = ntohs(a.sin_port);
	assert_false(FAILED(workers_new("test", workers, queue, 0, &r->workers, NULL)));
	assert_false(FAILED(http_server_new(&r->listen_fd, 1, NULL, r->workers, loops, &limits, &handlers,
					    &clock_system, &r->server, NULL)));
	assert_false(FAILED(http_server_start(r->server, NULL)));
	return r;
}

static struct rig *rig_new(unsigned workers, unsigned queue, size_t parked_max)
{
	return rig_on(2, workers, queue, parked_max);
}

static void rig_free(struct rig *r)
{
	http_server_free(r->server);
	workers_free(r->workers);
	close(r->listen_fd);
	pthread_cond_destroy(&r->changed);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

static void await(struct rig *r, const unsigned *what, unsigned n)
{
	pthread_mutex_lock(&r->lock);
	while (*what != n)
		pthread_cond_wait(&r->changed, &r->lock);
	pthread_mutex_unlock(&r->lock);
}

static void call_all(struct rig *r)
{
	pthread_mutex_lock(&r->lock);
	for (size_t i = 0; i < GUESTS_MAX; i++)
		if (r->guests[i] != NULL)
			(void)http_parking_call(r->guests[i]->parking);
	pthread_mutex_unlock(&r->lock);
}

/* --- clients: from whichever address of loopback ------------------------------------------------------------------- */

static int dial(const struct rig *r, uint8_t host)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
	struct sockaddr_in from = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000000u | host) };
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				  .sin_port = htons(r->port) };
	assert_int_equal(bind(fd, (struct sockaddr *)&from, sizeof from), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	return fd;
}

static void ask(int fd, const char *target)
{
	char text[128];
	int n = snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: ca.test\r\n\r\n", target);
	assert_int_equal(send(fd, text, (size_t)n, MSG_NOSIGNAL), n);
}

/* One reply; its body is short. False: the connection ended. */
static bool reply_of(int fd, char text[1024])
{
	size_t n = 0, head = 0;
	for (;;) {
		text[n] = '\0';
		const char *end = strstr(text, "\r\n\r\n"), *length = strstr(text, "Content-Length: ");
		head = end == NULL ? 0 : (size_t)(end - text) + 4;
		if (head > 0 && n == head + strtoul(length + 16, NULL, 10))
			return true;
		ssize_t got = recv(fd, text + n, 1, 0); /* byte by byte: the next one is not ours */
		if (got <= 0)
			return false;
		n += (size_t)got;
		assert_true(n < 1023);
	}
}

#define REPLY_SAYS(fd, want)                                     \
	do {                                                     \
		char text_[1024];                                \
		assert_true(reply_of((fd), text_));              \
		assert_non_null(strstr(text_, "\r\n\r\n" want)); \
	} while (0)

static void parked_requests_hold_no_worker(void **state)
{
	(void)state;
	enum { PARKED = 8 };
	struct rig *r = rig_new(1, 4, 0);
	int fds[PARKED], other = dial(r, 1);
	for (size_t i = 0; i < PARKED; i++) {
		fds[i] = dial(r, 1);
		ask(fds[i], "/park");
		await(r, &r->parked, (unsigned)i + 1);
	}
	assert_true(http_server_stats(r->server).parked > PARKED * sizeof(struct conn));
	ask(other, "/other");
	REPLY_SAYS(other, "done");
	call_all(r);
	for (size_t i = 0; i < PARKED; i++) {
		REPLY_SAYS(fds[i], "called");
		ask(fds[i], "/again"); /* the connection is as before */
		REPLY_SAYS(fds[i], "done");
		close(fds[i]);
	}
	assert_int_equal(http_server_stats(r->server).parked, 0);
	close(other);
	rig_free(r);
}

static void a_wait_ends_by_its_deadline_or_before_it_has_begun(void **state)
{
	(void)state;
	struct rig *r = rig_new(1, 4, 0);
	int fd = dial(r, 1);
	for (size_t i = 0; i < 3; i++) {
		ask(fd, "/nap");
		REPLY_SAYS(fd, "over");
		ask(fd, "/sleep"); /* the only connection: nothing else has its loop look */
		REPLY_SAYS(fd, "over");
		ask(fd, "/park?called");
		REPLY_SAYS(fd, "called");
		ask(fd, "/park?no-use");
		REPLY_SAYS(fd, "over");
	}
	close(fd);
	rig_free(r);
}

static void what_comes_behind_a_parked_request_waits_for_it(void **state)
{
	(void)state;
	struct rig *r = rig_on(1, 2, 4, 0);
	int fd = dial(r, 1), other = dial(r, 1);
	ask(fd, "/park");
	await(r, &r->parked, 1);
	ask(fd, "/behind");
	call_all(r);
	REPLY_SAYS(fd, "called");
	REPLY_SAYS(fd, "done");
	ask(fd, "/park");
	await(r, &r->parked, 1);
	assert_int_equal(shutdown(fd, SHUT_WR), 0); /* it has said all, and still listens */
	ask(other, "/other");                       /* the loop comes to it after that end */
	REPLY_SAYS(other, "done");
	call_all(r);
	REPLY_SAYS(fd, "called");
	close(fd);
	close(other);
	rig_free(r);
}

/* Its place is another's at once, not when the wait would have ended. */
static void a_peer_that_resets_ends_its_wait(void **state)
{
	(void)state;
	struct rig *r = rig_new(1, 4, 0);
	const struct linger reset = { .l_onoff = 1 };
	int fd = dial(r, 1);
	ask(fd, "/park");
	await(r, &r->parked, 1);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset), 0);
	close(fd);
	await(r, &r->parked, 0);
	while (http_server_stats(r->server).parked > 0 || http_server_stats(r->server).open > 0)
		(void)nanosleep(NAP, NULL);
	rig_free(r);
}

static void more_than_there_is_room_for_do_not_wait(void **state)
{
	(void)state;
	struct rig *r = rig_new(1, 4, 0);
	int fds[3] = { dial(r, 1) };
	ask(fds[0], "/park");
	await(r, &r->parked, 1);
	size_t one = http_server_stats(r->server).parked;
	rig_free(r);
	close(fds[0]);
	r = rig_new(1, 4, 2 * one + one / 2);
	for (size_t i = 0; i < 3; i++) {
		fds[i] = dial(r, 1);
		ask(fds[i], "/park");
		if (i < 2)
			await(r, &r->parked, (unsigned)i + 1);
	}
	REPLY_SAYS(fds[2], "no room");
	call_all(r);
	REPLY_SAYS(fds[0], "called");
	REPLY_SAYS(fds[1], "called");
	ask(fds[2], "/park?called");
	REPLY_SAYS(fds[2], "called");
	for (size_t i = 0; i < 3; i++)
		close(fds[i]);
	rig_free(r);
}

/* What a client sends behind a request that is parked is kept as long, and counts. */
static void requests_behind_a_parked_one_take_room(void **state)
{
	(void)state;
	enum { BEHIND = 100 };
	static const char text[] = "GET /behind HTTP/1.1\r\nHost: ca.test\r\n\r\n";
	struct rig *r = rig_new(1, 4, 0);
	struct buf all = BUF_MAX(SCRATCH);
	int fd = dial(r, 1);
	ask(fd, "/park");
	await(r, &r->parked, 1);
	size_t one = http_server_stats(r->server).parked;
	call_all(r);
	REPLY_SAYS(fd, "called");
	assert_false(FAILED(buf_add(&all, STR("GET /park HTTP/1.1\r\nHost: ca.test\r\n\r\n"), NULL)));
	for (size_t i = 0; i < BEHIND; i++)
		assert_false(FAILED(buf_add(&all, str_z(text), NULL)));
	assert_int_equal(send(fd, all.p, all.n, MSG_NOSIGNAL), all.n);
	await(r, &r->parked, 1);
	assert_true(http_server_stats(r->server).parked >= one + BEHIND * (sizeof text - 1));
	call_all(r);
	REPLY_SAYS(fd, "called");
	for (size_t i = 0; i < BEHIND; i++)
		REPLY_SAYS(fd, "done");
	buf_done(&all);
	close(fd);
	rig_free(r);
}

static void a_drain_ends_all_waits_with_replies(void **state)
{
	(void)state;
	struct rig *r = rig_new(2, 4, 0);
	int fds[4];
	char text[1024];
	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		fds[i] = dial(r, 1);
		ask(fds[i], "/park");
	}
	await(r, &r->parked, ARRAY_LEN(fds));
	http_server_drain(r->server, LONG_MS);
	assert_int_equal(http_server_stats(r->server).open, 0);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		assert_true(reply_of(fds[i], text));
		assert_non_null(strstr(text, "\r\n\r\nover"));
		assert_non_null(strstr(text, "Connection: close\r\n"));
		close(fds[i]);
	}
	rig_free(r);
}

static void *drain_main(void *arg)
{
	http_server_drain(((struct rig *)arg)->server, LONG_MS);
	return NULL;
}

/* The worker is about to park when the drain begins: it must not. */
static void who_would_park_in_a_drain_replies(void **state)
{
	(void)state;
	struct rig *r = rig_new(1, 4, 0);
	int door = dial(r, 1), fd = dial(r, 1);
	pthread_t thread;
	char text[1024];
	ask(door, "/door");
	await(r, &r->inside, 1);
	ask(fd, "/park"); /* queued behind it */
	while (http_server_stats(r->server).requests < 2)
		(void)nanosleep(NAP, NULL);
	assert_int_equal(pthread_create(&thread, NULL, drain_main, r), 0);
	while (!atomic_load(&r->server->draining))
		(void)nanosleep(NAP, NULL);
	pthread_mutex_lock(&r->lock);
	r->open = true;
	pthread_cond_broadcast(&r->changed);
	pthread_mutex_unlock(&r->lock);
	assert_true(reply_of(door, text));
	assert_true(reply_of(fd, text));
	assert_non_null(strstr(text, "no room"));
	pthread_join(thread, NULL);
	close(door);
	close(fd);
	rig_free(r);
}

static void a_server_may_be_freed_with_parked_requests(void **state)
{
	(void)state;
	struct rig *r = rig_new(1, 4, 0);
	int fds[4];
	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		fds[i] = dial(r, 1);
		ask(fds[i], "/park");
	}
	await(r, &r->parked, ARRAY_LEN(fds));
	rig_free(r);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		close(fds[i]);
}

struct crowd {
	struct rig *r;
	unsigned seed;
};

static void *crowd_main(void *arg)
{
	const struct crowd *c = arg;
	static const char *const targets[] = { "/park", "/nap", "/park?called", "/other", "/nap", "/park?no-use" };
	unsigned seed = c->seed;
	char text[1024];
	for (unsigned i = 0; i < 60; i++) {
		int fd = dial(c->r, 1);
		for (unsigned k = 0; k < 4; k++) {
			seed = seed * 1664525u + 1013904223u;
			ask(fd, targets[(seed >> 16) % ARRAY_LEN(targets)]);
			if (seed >> 29 == 0) /* gone without its reply */
				break;
			assert_true(reply_of(fd, text));
		}
		close(fd);
	}
	return NULL;
}

/* Calls, deadlines, vanishing peers and a full queue at once; then the server goes in the middle of it. */
static void anything_may_come_at_once(void **state)
{
	(void)state;
	enum { CROWD = 4 };
	struct rig *r = rig_new(2, 64, 0);
	struct crowd crowd[CROWD];
	pthread_t threads[CROWD];
	int last[8];
	atomic_uint ended = 0;
	for (unsigned i = 0; i < CROWD; i++) {
		crowd[i] = (struct crowd){ .r = r, .seed = i };
		assert_int_equal(pthread_create(&threads[i], NULL, crowd_main, &crowd[i]), 0);
	}
	while (atomic_load(&ended) < CROWD) {
		call_all(r);
		for (unsigned i = atomic_load(&ended); i < CROWD && pthread_tryjoin_np(threads[i], NULL) == 0; i++)
			atomic_fetch_add(&ended, 1);
		(void)sched_yield();
	}
	for (size_t i = 0; i < ARRAY_LEN(last); i++) {
		last[i] = dial(r, 1);
		ask(last[i], i % 2 == 0 ? "/park" : "/nap");
	}
	call_all(r);
	rig_free(r);
	for (size_t i = 0; i < ARRAY_LEN(last); i++)
		close(last[i]);
}

/* --- turns ---------------------------------------------------------------------------------------------------------*/

static void await_requests(struct rig *r, unsigned n)
{
	while (http_server_stats(r->server).requests < n)
		(void)nanosleep(NAP, NULL);
}

/* One address with many connections, and another with one. */
static void an_address_with_many_requests_waits_for_itself(void **state)
{
	(void)state;
	enum { MANY = 8 };
	struct rig *r = rig_new(1, MANY, 0);
	int door = dial(r, 1), many[MANY], other;
	char text[1024];
	ask(door, "/door");
	await(r, &r->inside, 1);
	for (unsigned i = 0; i < MANY; i++) {
		many[i] = dial(r, 2);
		ask(many[i], "/m");
		await_requests(r, i + 2);
		while (workers_busy(r->workers) < i + 2)
			(void)nanosleep(NAP, NULL);
	}
	other = dial(r, 3);
	ask(other, "/o");
	assert_true(reply_of(many[MANY - 1], text)); /* the queue is full: the newest of those of most gives way */
	assert_non_null(strstr(text, "HTTP/1.1 503"));
	assert_non_null(strstr(text, "Retry-After: "));
	assert_null(strstr(text, "Connection: close"));
	pthread_mutex_lock(&r->lock);
	r->open = true;
	pthread_cond_broadcast(&r->changed);
	pthread_mutex_unlock(&r->lock);
	REPLY_SAYS(other, "done");
	for (unsigned i = 0; i + 1 < MANY; i++)
		REPLY_SAYS(many[i], "done");
	assert_string_equal(r->order, "mommmmmm");
	ask(many[MANY - 1], "/m"); /* and its connection is as before */
	REPLY_SAYS(many[MANY - 1], "done");
	REPLY_SAYS(door, "done");
	for (unsigned i = 0; i < MANY; i++)
		close(many[i]);
	close(other);
	close(door);
	rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parked_requests_hold_no_worker),
		cmocka_unit_test(a_wait_ends_by_its_deadline_or_before_it_has_begun),
		cmocka_unit_test(what_comes_behind_a_parked_request_waits_for_it),
		cmocka_unit_test(a_peer_that_resets_ends_its_wait),
		cmocka_unit_test(more_than_there_is_room_for_do_not_wait),
		cmocka_unit_test(requests_behind_a_parked_one_take_room),
		cmocka_unit_test(a_drain_ends_all_waits_with_replies),
		cmocka_unit_test(who_would_park_in_a_drain_replies),
		cmocka_unit_test(a_server_may_be_freed_with_parked_requests),
		cmocka_unit_test(anything_may_come_at_once),
		cmocka_unit_test(an_address_with_many_requests_waits_for_itself),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

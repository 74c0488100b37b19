/* SPDX-License-Identifier: Apache-2.0
 *
 * server_test.c: a real server on the loopback interface, TLS and plain, and clients that behave, misbehave and vanish.
 */
#include "http/conn.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define H "Host: ca.test\r\n"

/* --- the server under test --------------------------------------------------------------------------------------- */

struct site { /* certificate and key, made once */
	char dir[64], chain[96], key[96];
};

struct bench {
	struct http_server *server;
	struct workers *workers;
	struct tls_server *tls;
	int listen_fd;
	uint16_t port;
	/* "/wait" waits here until the test opens it */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool open;
	unsigned inside;
};

struct setup {
	bool tls;
	unsigned loops, threads, queue;
	struct http_limits limits;
};

static void add(struct buf *b, struct str s)
{
	struct err err = { 0 };
	assert(!FAILED(buf_add(b, s, &err)));
}

static void say_inside(struct bench *b)
{
	pthread_mutex_lock(&b->lock);
	b->inside++;
	pthread_cond_broadcast(&b->changed);
	pthread_mutex_unlock(&b->lock);
}

static void wait_for_the_test(struct bench *b)
{
	say_inside(b);
	pthread_mutex_lock(&b->lock);
	while (!b->open)
		pthread_cond_wait(&b->changed, &b->lock);
	pthread_mutex_unlock(&b->lock);
}

static void await_inside(struct bench *b, unsigned n)
{
	pthread_mutex_lock(&b->lock);
	while (b->inside < n)
		pthread_cond_wait(&b->changed, &b->lock);
	pthread_mutex_unlock(&b->lock);
}

static void let_go(struct bench *b)
{
	pthread_mutex_lock(&b->lock);
	b->open = true;
	pthread_cond_broadcast(&b->changed);
	pthread_mutex_unlock(&b->lock);
}

/* Answers "METHOD target [body]", so that a test sees what the server understood. */
static void echo(void *ctx, const struct http_request *rq, struct http_reply *re)
{
	struct bench *b = ctx;
	struct err err = { 0 };
	if (str_eq(rq->path, STR("/wait")))
		wait_for_the_test(b);
	if (str_eq(rq->path, STR("/nap")))
		nanosleep(&(struct timespec){ .tv_nsec = 20 * 1000 * 1000 }, NULL);
	re->status = 200;
	re->content_type = "text/plain";
	if (str_eq(rq->path, STR("/none"))) {
		re->status = 204;
		return;
	}
	if (str_eq(rq->path, STR("/silent"))) {
		re->status = 0;
		return;
	}
	if (str_eq(rq->path, STR("/big"))) {
		static const char kilo[1024] = { 'x' };
		say_inside(b);
		for (unsigned i = 0; i < 4096; i++)
			add(&re->body, str_n(kilo, sizeof kilo));
		return;
	}
	re->close = str_eq(rq->path, STR("/close"));
	add(&re->body, rq->method_text);
	add(&re->body, STR(" "));
	add(&re->body, rq->target);
	add(&re->body, STR(" ["));
	add(&re->body, rq->body);
	add(&re->body, STR("]"));
	if (rq->method == HTTP_OTHER)
		assert(!FAILED(http_reply_header(re, "X-Other", STR("yes"), &err)));
}

static bool quick(void *ctx, const struct http_request *rq, struct http_reply *re)
{
	if (!str_eq(rq->path, STR("/quick")))
		return false;
	echo(ctx, rq, re);
	return true;
}

static void refuse(void *ctx, int status, const char *detail, struct http_reply *re)
{
	(void)ctx;
	re->status = status;
	re->content_type = "text/problem";
	add(&re->body, STR("refused: "));
	add(&re->body, str_z(detail));
}

static struct http_limits short_limits(void)
{
	struct http_limits l = http_limits_default;
	l.handshake_ms = l.head_ms = l.body_ms = l.idle_ms = l.write_ms = 20000;
	return l;
}

static struct setup setup_of(bool tls)
{
	return (struct setup){ .tls = tls, .loops = 2, .threads = 4, .queue = 16, .limits = short_limits() };
}

static int listen_on_loopback(uint16_t *ret_port)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof a;
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
	assert_int_equal(listen(fd, 512), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
	*ret_port = ntohs(a.sin_port);
	return fd;
}

static struct bench *start(const struct site *site, struct setup setup)
{
	struct err err = { 0 };
	struct bench *b = mem_alloc(sizeof *b);
	pthread_mutex_init(&b->lock, NULL);
	pthread_cond_init(&b->changed, NULL);
	b->listen_fd = listen_on_loopback(&b->port);
	if (setup.tls)
		assert_int_equal(tls_server_new(site->chain, site->key, &b->tls, &err).kind, ERR_NONE);
	assert_int_equal(workers_new("test", setup.threads, setup.queue, 0, &b->workers, &err).kind, ERR_NONE);
	const struct http_handlers handlers = { .quick = quick, .handle = echo, .refuse = refuse, .ctx = b };
	assert_int_equal(http_server_new(&b->listen_fd, 1, b->tls, b->workers, setup.loops, &setup.limits, &handlers,
					 &clock_system, &b->server, &err)
				 .kind,
			 ERR_NONE);
	assert_int_equal(http_server_start(b->server, &err).kind, ERR_NONE);
	return b;
}

static void stop(struct bench *b)
{
	let_go(b);
	http_server_free(b->server);
	workers_free(b->workers);
	tls_server_free(b->tls);
	close(b->listen_fd);
	pthread_cond_destroy(&b->changed);
	pthread_mutex_destroy(&b->lock);
	free(b);
}

static int64_t now_ms(void)
{
	return clock_mono_ms(&clock_system);
}

static void sleep_ms(long ms)
{
	nanosleep(&(struct timespec){ .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 }, NULL);
}

/* Waits until the server has that many connections open; false after five seconds. */
static bool await_open(struct bench *b, unsigned n)
{
	for (int i = 0; i < 500 && http_server_stats(b->server).open != n; i++)
		sleep_ms(10);
	return http_server_stats(b->server).open == n;
}

/* --- the client -------------------------------------------------------------------------------------------------- */

struct client {
	int fd;
	SSL_CTX *ctx;
	SSL *ssl;
	char in[8192];
	size_t n;
};

static int dial(const struct bench *b)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	struct timeval limit = { .tv_sec = 10 };
	int one = 1;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_port = htons(b->port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
	return fd;
}

static struct client *client_new(const struct bench *b)
{
	struct client *c = mem_alloc(sizeof *c);
	c->fd = dial(b);
	if (b->tls != NULL) {
		c->ctx = SSL_CTX_new(TLS_client_method());
		SSL_CTX_set_options(c->ctx, SSL_OP_IGNORE_UNEXPECTED_EOF);
		c->ssl = SSL_new(c->ctx);
		SSL_set_fd(c->ssl, c->fd);
		assert_int_equal(SSL_connect(c->ssl), 1);
	}
	return c;
}

static void client_free(struct client *c)
{
	SSL_free(c->ssl);
	SSL_CTX_free(c->ctx);
	close(c->fd);
	free(c);
}

/* OpenSSL writes without MSG_NOSIGNAL. Only this thread and only here looks away: the server must not need it. */
static ssize_t quiet_ssl_write(SSL *ssl, struct str s)
{
	sigset_t pipe_only, old;
	sigemptyset(&pipe_only);
	sigaddset(&pipe_only, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &pipe_only, &old);
	int n = SSL_write(ssl, s.p, (int)s.n);
	(void)sigtimedwait(&pipe_only, NULL, &(struct timespec){ 0 });
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return n;
}

static bool put(struct client *c, struct str s)
{
	while (s.n > 0) {
		ssize_t n = c->ssl != NULL ? quiet_ssl_write(c->ssl, s) : send(c->fd, s.p, s.n, MSG_NOSIGNAL);
		if (n <= 0)
			return false;
		s = str_sub(s, (size_t)n, s.n);
	}
	return true;
}

/* 0: the end, in order or by reset; -1: nothing within ten seconds. */
static ssize_t get(struct client *c, char *p, size_t n)
{
	ssize_t got = c->ssl != NULL ? SSL_read(c->ssl, p, (int)n) : recv(c->fd, p, n, 0);
	if (got > 0)
		return got;
	bool late = got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
	ERR_clear_error();
	return late ? -1 : 0;
}

static bool at_end(struct client *c)
{
	char byte;
	return c->n == 0 && get(c, &byte, 1) == 0;
}

struct answer {
	int status;
	char head[4096];
	char body[4096];
	size_t length;
};

/* One reply from the stream; status 0 when the connection ends first. Bodies beyond the buffer are counted only. */
static struct answer answer_of(struct client *c, bool head_only)
{
	struct answer a = { 0 };
	char *end = NULL;
	while ((end = memmem(c->in, c->n, "\r\n\r\n", 4)) == NULL) {
		assert_true(c->n < sizeof c->in);
		ssize_t got = get(c, c->in + c->n, sizeof c->in - c->n);
		assert_int_not_equal(got, -1);
		if (got == 0)
			return a;
		c->n += (size_t)got;
	}
	size_t head = (size_t)(end - c->in) + 4, want = 0;
	snprintf(a.head, sizeof a.head, "%.*s", (int)head, c->in);
	c->n -= head;
	memmove(c->in, c->in + head, c->n);
	const char *length = strstr(a.head, "Content-Length: ");
	if (length != NULL && !head_only)
		want = (size_t)strtoul(length + 16, NULL, 10);
	while (a.length < want) {
		if (c->n == 0) {
			ssize_t got = get(c, c->in, sizeof c->in);
			assert_true(got > 0);
			c->n = (size_t)got;
		}
		size_t part = c->n < want - a.length ? c->n : want - a.length;
		if (a.length + part < sizeof a.body)
			memcpy(a.body + a.length, c->in, part);
		a.length += part;
		c->n -= part;
		memmove(c->in, c->in + part, c->n);
	}
	a.status = atoi(a.head + 9);
	return a;
}

static struct answer ask(struct client *c, const char *text)
{
	assert_true(put(c, str_z(text)));
	return answer_of(c, strncmp(text, "HEAD", 4) == 0);
}

static bool says(const struct answer *a, const char *header)
{
	return strstr(a->head, header) != NULL;
}

/* --- tests: each runs over TLS and plain ------------------------------------------------------------------------- */

static void exchanges_are_answered(const struct site *site, bool tls)
{
	static const struct {
		const char *text;
		int status;
		const char *body, *header;
	} rows[] = {
		{ "GET /a HTTP/1.1\r\n" H "\r\n", 200, "GET /a []", "Content-Length: 9\r\n" },
		{ "GET /quick?x HTTP/1.1\r\n" H "\r\n", 200, "GET /quick?x []", "Date: " },
		{ "POST /p HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nhello", 200, "POST /p [hello]", "text/plain\r\n" },
		{ "POST /p HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n", 200, "POST /p []", "200 OK" },
		{ "POST /p HTTP/1.1\r\n" H
		  "Transfer-Encoding: chunked\r\n\r\n3;e\r\nabc\r\n2\r\nde\r\n0\r\nT: x\r\n\r\n",
		  200, "POST /p [abcde]", "200 OK" },
		{ "POST /p HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 2\r\n\r\nhi", 200, "POST /p [hi]",
		  "HTTP/1.1 200 OK" }, /* the body came along: no interim reply */
		{ "HEAD /h HTTP/1.1\r\n" H "\r\n", 200, "", "Content-Length: 10\r\n" },
		{ "HEAD /quick HTTP/1.1\r\n" H "\r\n", 200, "", "Content-Length: 14\r\n" },
		{ "BREW /pot HTTP/1.1\r\n" H "\r\n", 200, "BREW /pot []", "X-Other: yes\r\n" },
		{ "GET /none HTTP/1.1\r\n" H "\r\n", 204, "", "204 No Content" },
		{ "GET /silent HTTP/1.1\r\n" H "\r\n", 500, "", "Content-Length: 0\r\n" },
		{ "OPTIONS /o HTTP/1.1\r\n" H "\r\n", 200, "OPTIONS /o []", "200 OK" },
	};
	struct bench *b = start(site, setup_of(tls));
	struct client *c = client_new(b); /* one connection for all: a byte too many or too few shows in the next row */
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct answer a = ask(c, rows[i].text);
		assert_int_equal(a.status, rows[i].status);
		assert_string_equal(a.body, rows[i].body);
		assert_true(says(&a, rows[i].header));
		assert_true(says(&a, " GMT\r\n"));
		assert_false(says(&a, "Connection: close"));
		assert_int_equal(says(&a, "Content-Length"), rows[i].status != 204);
	}
	assert_int_equal(http_server_stats(b->server).requests, ARRAY_LEN(rows));
	assert_int_equal(http_server_stats(b->server).refused, 0);
	client_free(c);
	assert_true(await_open(b, 0));
	stop(b);
}

static void refusals_say_why_and_close(const struct site *site, bool tls)
{
	static const struct {
		const char *text;
		int status;
	} rows[] = {
		{ "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", 400 },
		{ "POST / HTTP/1.1\r\n" H "Content-Length : 38\r\n\r\nGET /smuggled HTTP/1.1\r\n" H "\r\n", 400 },
		{ "GET http://ca.test/ HTTP/1.1\r\n" H "\r\n", 400 },
		{ "GET / HTTP/1.1\r\n\r\n", 400 },
		{ "GET / HTTP/1.1\n", 400 },
		{ "GET /%2e%2e/ HTTP/1.1\r\n" H "\r\n", 400 },
		{ "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n-1\r\n", 400 },
		{ "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\nffff\r\n", 413 },
		{ "POST / HTTP/1.1\r\n" H "Content-Length: 50001\r\n\r\n", 413 },
		{ "POST / HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 50001\r\n\r\n", 413 },
		{ "POST / HTTP/1.1\r\n" H "Expect: more\r\n\r\n", 417 },
		{ "POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n", 501 },
		{ "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505 },
	};
	struct bench *b = start(site, setup_of(tls));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct client *c = client_new(b);
		struct answer a = ask(c, "GET /before HTTP/1.1\r\n" H "\r\n");
		assert_int_equal(a.status, 200);
		a = ask(c, rows[i].text);
		if (a.status != rows[i].status)
			fail_msg("row %zu: %d, wanted %d", i, a.status, rows[i].status);
		assert_true(says(&a, "Connection: close\r\n"));
		assert_true(says(&a, "text/problem"));
		assert_memory_equal(a.body, "refused: ", 9);
		assert_true(a.length > 9);
		assert_true(at_end(c)); /* and nothing smuggled is answered */
		client_free(c);
	}
	assert_int_equal(http_server_stats(b->server).refused, ARRAY_LEN(rows));
	stop(b);
}

/* The reply must survive that the client is still sending: closing at once would reset it away. */
static void refusal_reaches_a_client_that_goes_on_sending(const struct site *site, bool tls)
{
	struct bench *b = start(site, setup_of(tls));
	struct client *c = client_new(b);
	assert_true(put(c, STR("POST / HTTP/1.1\r\n" H "Content-Length: 100000\r\n\r\n")));
	static const char zeros[1000];
	for (unsigned i = 0; i < 100; i++) {
		if (!put(c, str_n(zeros, sizeof zeros)))
			break;
	}
	struct answer a = answer_of(c, false);
	assert_int_equal(a.status, 413);
	client_free(c);
	assert_true(await_open(b, 0));
	stop(b);
}

static void long_heads_are_431_and_long_lines_414(const struct site *site, bool tls)
{
	static const struct {
		const char *first, *again;
		int status;
	} rows[] = {
		{ "GET / HTTP/1.1\r\n" H,
		  "X: 0123456789012345678901234567890123456789012345678901234567890123456789\r\n", 431 },
		{ "GET / HTTP/1.1\r\n" H "X: ",
		  "0123456789012345678901234567890123456789012345678901234567890123456789", 431 },
		{ "GET /", "0123456789012345678901234567890123456789012345678901234567890123456789", 414 },
	};
	struct bench *b = start(site, setup_of(tls));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct client *c = client_new(b);
		assert_true(put(c, str_z(rows[i].first)));
		for (unsigned k = 0; k < 250; k++) {
			if (!put(c, str_z(rows[i].again)))
				break;
		}
		struct answer a = answer_of(c, false);
		assert_int_equal(a.status, rows[i].status);
		client_free(c);
	}
	stop(b);
}

static void pipelined_requests_are_answered_in_order(const struct site *site, bool tls)
{
	struct bench *b = start(site, setup_of(tls));
	struct client *c = client_new(b);
	AUTO(buf_done) struct buf all = BUF_MAX(1 << 20);
	struct err err = { 0 };
	for (unsigned i = 0; i < 100; i++) { /* quick and worker's, with and without bodies */
		const char *path = i % 3 == 0 ? "/quick" : "/slow";
		assert_false(FAILED(buf_addf(&all, &err, "GET %s?%u HTTP/1.1\r\n" H "\r\n", path, i)));
		assert_false(FAILED(
			buf_addf(&all, &err, "POST %s?%u HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabc", path, i)));
		assert_false(FAILED(buf_addf(
			&all, &err, "POST %s?%u HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n1\r\nz\r\n0\r\n\r\n",
			path, i)));
	}
	assert_true(put(c, buf_str(&all)));
	for (unsigned i = 0; i < 300; i++) {
		static const struct {
			const char *method, *body;
		} want[] = { { "GET", "" }, { "POST", "abc" }, { "POST", "z" } };
		char text[64];
		snprintf(text, sizeof text, "%s %s?%u [%s]", want[i % 3].method, i / 3 % 3 == 0 ? "/quick" : "/slow",
			 i / 3, want[i % 3].body);
		struct answer a = answer_of(c, false);
		assert_int_equal(a.status, 200);
		assert_string_equal(a.body, text);
	}
	client_free(c);
	stop(b);
}

/* A worker's reply wakes no loop, since the next request will. It must, even after one that came while a worker was at it
 * and for which the loop had to look away from the socket. */
static void the_request_after_an_early_one_is_not_left_waiting(const struct site *site, bool tls)
{
	int64_t quickest = INT64_MAX;
	for (unsigned try = 0; try < 5; try++) {
		struct bench *b = start(site, setup_of(tls));
		struct client *c = client_new(b);
		assert_true(put(c, STR("GET /wait HTTP/1.1\r\n" H "\r\n")));
		await_inside(b, 1);
		assert_true(put(c, STR("GET /nap HTTP/1.1\r\n" H "\r\n")));
		sleep_ms(20);
		let_go(b);
		assert_int_equal(answer_of(c, false).status, 200);
		assert_int_equal(answer_of(c, false).status, 200);
		int64_t before = now_ms();
		assert_int_equal(ask(c, "GET /next HTTP/1.1\r\n" H "\r\n").status, 200);
		int64_t took = now_ms() - before;
		quickest = took < quickest ? took : quickest;
		client_free(c);
		stop(b);
	}
	assert_true(quickest < 50);
}

static void expectation_is_met_before_the_body_is_sent(const struct site *site, bool tls)
{
	struct bench *b = start(site, setup_of(tls));
	struct client *c = client_new(b);
	for (unsigned i = 0; i < 2; i++) {
		struct answer a =
			ask(c, i == 0 ? "POST /e HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 4\r\n\r\n"
				      : "POST /e HTTP/1.1\r\n" H
					"Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n");
		assert_string_equal(a.head, "HTTP/1.1 100 Continue\r\n\r\n");
		a = ask(c, i == 0 ? "body" : "4\r\nbody\r\n0\r\n\r\n");
		assert_int_equal(a.status, 200);
		assert_string_equal(a.body, "POST /e [body]");
	}
	client_free(c);
	stop(b);
}

static void requests_may_come_byte_by_byte(const struct site *site, bool tls)
{
	struct bench *b = start(site, setup_of(tls));
	struct client *c = client_new(b);
	const struct str texts[] = {
		STR("\r\nPOST /slow HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabc"),
		STR("POST /slow HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"),
	};
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		for (size_t k = 0; k < texts[i].n; k++)
			assert_true(put(c, str_sub(texts[i], k, k + 1)));
		struct answer a = answer_of(c, false);
		assert_string_equal(a.body, "POST /slow [abc]");
	}
	client_free(c);
	stop(b);
}

static void bodies_at_the_limit_pass_and_large_replies_arrive(const struct site *site, bool tls)
{
	struct bench *b = start(site, setup_of(tls));
	struct client *c = client_new(b);
	char *body = mem_alloc(50001);
	memset(body, 'b', 50000);
	assert_true(put(c, STR("POST /p HTTP/1.1\r\n" H "Content-Length: 50000\r\n\r\n")));
	assert_true(put(c, str_n(body, 50000)));
	struct answer a = answer_of(c, false);
	assert_int_equal(a.status, 200);
	assert_int_equal(a.length, 50000 + strlen("POST /p []"));
	free(body);
	/* four megabytes are more than the socket takes at once */
	a = ask(c, "GET /big HTTP/1.1\r\n" H "\r\n");
	assert_int_equal(a.length, 4096 * 1024);
	a = ask(c, "GET /after HTTP/1.1\r\n" H "\r\n");
	assert_string_equal(a.body, "GET /after []");
	client_free(c);
	stop(b);
}

static void connection_ends_when_either_side_says_so(const struct site *site, bool tls)
{
	struct setup setup = setup_of(tls);
	setup.limits.requests_per_connection = 3;
	struct bench *b = start(site, setup);
	static const char *const closing[] = {
		"GET /close HTTP/1.1\r\n" H "\r\n",
		"GET / HTTP/1.1\r\n" H "Connection: close\r\n\r\n",
		"GET / HTTP/1.0\r\n" H "\r\n",
	};
	for (size_t i = 0; i < ARRAY_LEN(closing); i++) {
		struct client *c = client_new(b);
		struct answer a = ask(c, closing[i]);
		assert_int_equal(a.status, 200);
		assert_true(says(&a, "Connection: close\r\n"));
		assert_true(at_end(c));
		client_free(c);
	}
	struct client *c = client_new(b);
	for (unsigned i = 1; i <= 3; i++) {
		struct answer a = ask(c, "GET /n HTTP/1.1\r\n" H "\r\n");
		assert_int_equal(says(&a, "Connection: close\r\n"), i == 3);
	}
	assert_true(at_end(c));
	client_free(c);
	assert_true(await_open(b, 0));
	stop(b);
}

/* --- deadlines --------------------------------------------------------------------------------------------------- */

/* Sends `byte` every 20 ms for ever after `first`; gives the ms until the server ended it, and the last status. */
static int64_t drip(struct bench *b, const char *first, const char *byte, int *ret_status)
{
	struct client *c = client_new(b);
	int64_t from = now_ms();
	assert_true(put(c, str_z(first)));
	bool over = false;
	while (!over && now_ms() - from < 8000) {
		struct pollfd p = { .fd = c->fd, .events = POLLIN };
		over = poll(&p, 1, 20) > 0 || (byte[0] != '\0' && !put(c, str_z(byte)));
	}
	int64_t took = now_ms() - from;
	*ret_status = answer_of(c, false).status;
	client_free(c);
	return took;
}

static void deadlines_are_absolute(const struct site *site, bool tls)
{
	struct setup setup = setup_of(tls);
	setup.limits.head_ms = setup.limits.body_ms = setup.limits.idle_ms = 300;
	struct bench *b = start(site, setup);
	static const struct {
		const char *first, *byte;
		int status;
	} rows[] = {
		{ "GET / HTTP/1.1\r\nHost: ", "a", 408 },
		{ "GET / HTTP/1.1\r\n" H, "X: y\r\n", 408 },
		{ "POST / HTTP/1.1\r\n" H "Content-Length: 40000\r\n\r\n", "a", 408 },
		{ "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n", "1\r\na\r\n", 408 },
		{ "", "", 0 }, /* idle from the start: closed without a word */
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int status = -1;
		int64_t took = drip(b, rows[i].first, rows[i].byte, &status);
		if (took < 250 || took > 3000 || status != rows[i].status)
			fail_msg("row %zu: %lld ms, status %d", i, (long long)took, status);
	}
	assert_true(await_open(b, 0));
	stop(b);
}

static void a_reply_that_nobody_reads_is_given_up(const struct site *site, bool tls)
{
	struct setup setup = setup_of(tls);
	setup.limits.write_ms = 300;
	struct bench *b = start(site, setup);
	struct client *c = client_new(b);
	for (unsigned i = 0; i < 8; i++) /* more than all socket buffers */
		assert_true(put(c, STR("GET /big HTTP/1.1\r\n" H "\r\n")));
	assert_true(await_open(b, 0));
	client_free(c);
	stop(b);
}

/* --- clients that vanish ----------------------------------------------------------------------------------------- */

static void reset_and_close(int fd)
{
	struct linger now = { .l_onoff = 1, .l_linger = 0 };
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
	close(fd);
}

/* What this process burns while the test sleeps 300 ms. */
static int64_t cpu_ms_of_a_nap(void)
{
	struct timespec before, after;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
	sleep_ms(300);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
	return (after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000;
}

static void client_may_vanish_while_a_worker_has_its_request(const struct site *site, bool tls)
{
	struct bench *b = start(site, setup_of(tls));
	for (unsigned i = 0; i < 4; i++) {
		struct client *c = client_new(b);
		assert_true(put(c, STR("POST /wait HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabc")));
		await_inside(b, i + 1);
		if (i % 2 == 0) {
			int fd = dup(c->fd);
			client_free(c);
			reset_and_close(fd);
		} else {
			client_free(c);
		}
	}
	assert_true(cpu_ms_of_a_nap() < 150); /* no loop spins on the hang-ups meanwhile */
	let_go(b);
	assert_true(await_open(b, 0));
	stop(b);
}

static void *let_go_later(void *arg)
{
	sleep_ms(200);
	let_go(arg);
	return NULL;
}

static void server_may_be_freed_while_a_worker_has_a_request(const struct site *site, bool tls)
{
	struct bench *b = start(site, setup_of(tls));
	struct client *c = client_new(b);
	assert_true(put(c, STR("GET /wait HTTP/1.1\r\n" H "\r\n")));
	await_inside(b, 1);
	int64_t from = now_ms();
	pthread_t t;
	assert_int_equal(pthread_create(&t, NULL, let_go_later, b), 0);
	http_server_free(b->server); /* waits for the worker */
	b->server = NULL;
	assert_true(now_ms() - from >= 190);
	assert_true(at_end(c));
	pthread_join(t, NULL);
	client_free(c);
	stop(b);
}

static void a_thousand_connections_opened_and_reset_leave_nothing(const struct site *site, bool tls)
{
	struct bench *b = start(site, setup_of(tls));
	static const char *const bits[] = { "", "G", "GET /a HTTP/1.1\r\n" H, "GET /a HTTP/1.1\r\n" H "\r\n",
					    "POST /a HTTP/1.1\r\n" H "Content-Length: 9\r\n\r\nabc" };
	for (unsigned i = 0; i < 1000; i++) {
		int fd = dial(b);
		const char *bit = bits[i % ARRAY_LEN(bits)];
		(void)send(fd, bit, strlen(bit), MSG_NOSIGNAL);
		if (i % 3 == 0)
			close(fd);
		else
			reset_and_close(fd);
	}
	assert_true(await_open(b, 0));
	/* one that was reset in the backlog may have been skipped by accept */
	assert_true(http_server_stats(b->server).accepted <= 1000);
	assert_true(http_server_stats(b->server).accepted > 500);
	struct client *c = client_new(b);
	struct answer a = ask(c, "GET /after HTTP/1.1\r\n" H "\r\n");
	assert_int_equal(a.status, 200);
	client_free(c);
	stop(b);
}

/* --- limits ------------------------------------------------------------------------------------------------------ */

static void full_queue_is_503_and_the_connection_stays(const struct site *site, bool tls)
{
	struct setup setup = setup_of(tls);
	setup.threads = 1;
	setup.queue = 1;
	struct bench *b = start(site, setup);
	struct client *busy[2];
	for (unsigned i = 0; i < 2; i++) {
		busy[i] = client_new(b);
		assert_true(put(busy[i], STR("GET /wait HTTP/1.1\r\n" H "\r\n")));
		if (i == 0)
			await_inside(b, 1);
	}
	while (workers_busy(b->workers) < 2)
		sleep_ms(5);
	struct client *c = client_new(b);
	struct answer a = ask(c, "POST /p HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabc");
	assert_int_equal(a.status, 503);
	assert_true(says(&a, "Retry-After: 1\r\n"));
	assert_false(says(&a, "Connection: close"));
	a = ask(c, "GET /quick HTTP/1.1\r\n" H "\r\n"); /* needs no worker */
	assert_int_equal(a.status, 200);
	let_go(b);
	for (unsigned i = 0; i < 2; i++) {
		a = answer_of(busy[i], false);
		assert_int_equal(a.status, 200);
		client_free(busy[i]);
	}
	a = ask(c, "GET /again HTTP/1.1\r\n" H "\r\n");
	assert_int_equal(a.status, 200);
	client_free(c);
	stop(b);
}

static bool is_turned_away(int fd)
{
	char byte;
	ssize_t got = recv(fd, &byte, 1, 0);
	return got == 0 || (got < 0 && errno == ECONNRESET);
}

static void new_connections_take_the_place_of_the_oldest_idle_ones(const struct site *site, bool tls)
{
	struct setup setup = setup_of(tls);
	setup.loops = 1;
	setup.limits.connections_max = 3;
	struct bench *b = start(site, setup);
	struct client *c[5];
	for (unsigned i = 0; i < 4; i++) {
		c[i] = client_new(b);
		/* the loop's own: after a worker's reply a connection is busy for as long as that worker sleeps */
		assert_int_equal(ask(c[i], "GET /quick HTTP/1.1\r\n" H "\r\n").status, 200);
	}
	assert_int_equal(http_server_stats(b->server).open, 3);
	assert_true(at_end(c[0]));
	assert_int_equal(ask(c[1], "GET /a HTTP/1.1\r\n" H "\r\n").status, 200);
	/* busy ones are no room: with all three at work the next is closed at once */
	for (unsigned i = 1; i < 4; i++)
		assert_true(put(c[i], STR("GET /wait HTTP/1.1\r\n" H "\r\n")));
	await_inside(b, 3);
	int fd = dial(b);
	assert_true(is_turned_away(fd));
	close(fd);
	let_go(b);
	for (unsigned i = 1; i < 4; i++)
		assert_int_equal(answer_of(c[i], false).status, 200);
	for (unsigned i = 0; i < 4; i++)
		client_free(c[i]);
	assert_true(await_open(b, 0));
	stop(b);
}

/* A connection that cannot be accepted stays in the backlog and keeps the listener readable. */
static void out_of_descriptors_the_server_waits_without_spinning(const struct site *site, bool tls)
{
	struct bench *b = start(site, setup_of(tls));
	struct rlimit before;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	int next = dup(b->listen_fd);
	close(next);
	struct rlimit tight = { .rlim_cur = (rlim_t)next + 1, .rlim_max = before.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
	int fd = dial(b); /* the last one there is */
	int64_t cpu_ms = cpu_ms_of_a_nap();
	unsigned accepted = (unsigned)http_server_stats(b->server).accepted;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(accepted, 0);
	assert_true(cpu_ms < 150);
	assert_true(await_open(b, 1)); /* it looks again by itself */
	close(fd);
	assert_true(await_open(b, 0));
	stop(b);
}

static void one_address_has_its_own_limit(const struct site *site, bool tls)
{
	struct setup setup = setup_of(tls);
	setup.limits.connections_per_ip = 2;
	struct bench *b = start(site, setup);
	struct client *a = client_new(b), *d = client_new(b);
	assert_int_equal(ask(a, "GET /a HTTP/1.1\r\n" H "\r\n").status, 200);
	assert_int_equal(ask(d, "GET /a HTTP/1.1\r\n" H "\r\n").status, 200);
	int fd = dial(b);
	assert_true(is_turned_away(fd));
	close(fd);
	client_free(a);
	assert_true(await_open(b, 1));
	a = client_new(b);
	assert_int_equal(ask(a, "GET /a HTTP/1.1\r\n" H "\r\n").status, 200);
	client_free(a);
	client_free(d);
	stop(b);
}

/* A head is kept until its body is there, so it is in the bound as the body is. */
static void heads_that_wait_for_their_bodies_have_a_bound_together(const struct site *site, bool tls)
{
	enum { CLIENTS = 20, PAD = 8000, KEPT = 8 };
	struct setup setup = setup_of(tls);
	setup.loops = 1;
	setup.limits.buffered_max = (size_t)KEPT * PAD;
	struct bench *b = start(site, setup);
	char head[PAD + 200];
	snprintf(head, sizeof head, "POST /p HTTP/1.1\r\n" H "Content-Length: 4\r\nX-Pad: %0*d\r\n\r\n", PAD, 0);
	struct client *c[CLIENTS];
	for (unsigned i = 0; i < CLIENTS; i++) {
		c[i] = client_new(b);
		assert_true(put(c[i], str_z(head)));
		while (http_server_stats(b->server).requests < i + 1)
			sleep_ms(1);
	}
	assert_int_equal(ask(c[CLIENTS - 1], "body").status, 200); /* the last is not the slowest */
	assert_true(http_server_stats(b->server).refused >= CLIENTS - KEPT);
	assert_true(http_server_stats(b->server).open <= KEPT);
	assert_true(at_end(c[0]));
	for (unsigned i = 0; i < CLIENTS; i++)
		client_free(c[i]);
	assert_true(await_open(b, 0));
	stop(b);
}

/* --- drain ------------------------------------------------------------------------------------------------------- */

struct draining {
	struct bench *b;
	int64_t took;
};

static void *drain_main(void *arg)
{
	struct draining *d = arg;
	int64_t from = now_ms();
	http_server_drain(d->b->server, 8000);
	d->took = now_ms() - from;
	return NULL;
}

static void drain_answers_what_is_in_flight_and_closes_the_rest(const struct site *site, bool tls)
{
	struct bench *b = start(site, setup_of(tls));
	struct client *idle = client_new(b), *busy = client_new(b), *half = client_new(b);
	assert_int_equal(ask(idle, "GET /a HTTP/1.1\r\n" H "\r\n").status, 200);
	assert_true(put(busy, STR("GET /wait HTTP/1.1\r\n" H "\r\n")));
	assert_int_equal(ask(half, "GET /a HTTP/1.1\r\n" H "\r\n").status, 200);
	assert_true(put(half, STR("POST /half HTTP/1.1\r\n" H "Content-Length: 4\r\n\r\nab")));
	await_inside(b, 1);
	while (http_server_stats(b->server).requests < 4)
		sleep_ms(5);
	pthread_t t;
	struct draining d = { .b = b };
	assert_int_equal(pthread_create(&t, NULL, drain_main, &d), 0);
	assert_true(at_end(idle));
	sleep_ms(100);
	assert_true(put(half, STR("cd")));
	struct answer a = answer_of(half, false);
	assert_string_equal(a.body, "POST /half [abcd]");
	assert_true(says(&a, "Connection: close\r\n"));
	assert_true(at_end(half));
	let_go(b);
	a = answer_of(busy, false);
	assert_int_equal(a.status, 200);
	assert_true(says(&a, "Connection: close\r\n"));
	assert_true(at_end(busy));
	client_free(idle);
	client_free(busy);
	client_free(half);
	pthread_join(t, NULL);
	assert_true(d.took >= 100 && d.took < 5000);
	assert_int_equal(http_server_stats(b->server).open, 0);
	stop(b);
}

/* Its reply was composed before the drain and does not say goodbye; the rest of it is still to be sent. */
static void drain_ends_who_still_reads_a_reply_and_answers_what_came_behind(const struct site *site, bool tls)
{
	for (unsigned behind = 0; behind < 2; behind++) {
		struct setup setup = setup_of(tls);
		setup.loops = 1;
		struct bench *b = start(site, setup);
		struct client *c = client_new(b), *idle = client_new(b);
		int little = 64 * 1024; /* with less the window opens at a crawl */
		setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &little, sizeof little);
		assert_true(put(c, STR("GET /big HTTP/1.1\r\n" H "\r\n")));
		await_inside(b, 1);
		while (workers_busy(b->workers) > 0) /* the reply is composed, and what could be sent is */
			sleep_ms(5);
		pthread_t t;
		struct draining d = { .b = b };
		assert_int_equal(pthread_create(&t, NULL, drain_main, &d), 0);
		assert_true(at_end(idle));
		if (behind > 0)
			assert_true(put(c, STR("GET /behind HTTP/1.1\r\n" H "\r\n")));
		struct answer a = answer_of(c, false);
		assert_int_equal(a.length, 4096 * 1024);
		assert_false(says(&a, "Connection: close\r\n"));
		if (behind > 0) {
			a = answer_of(c, false);
			assert_string_equal(a.body, "GET /behind []");
			assert_true(says(&a, "Connection: close\r\n"));
		}
		assert_true(at_end(c));
		client_free(c);
		client_free(idle);
		pthread_join(t, NULL);
		assert_true(d.took < 5000);
		assert_int_equal(http_server_stats(b->server).open, 0);
		stop(b);
	}
}

static void drain_gives_up_after_its_time(const struct site *site, bool tls)
{
	struct bench *b = start(site, setup_of(tls));
	struct client *c = client_new(b);
	assert_true(put(c, STR("GET /wait HTTP/1.1\r\n" H "\r\n")));
	await_inside(b, 1);
	int64_t from = now_ms();
	http_server_drain(b->server, 200);
	assert_true(now_ms() - from >= 200 && now_ms() - from < 3000);
	assert_int_equal(http_server_stats(b->server).open, 1);
	client_free(c);
	stop(b);
}

/* --- TLS only ---------------------------------------------------------------------------------------------------- */

static void plain_text_and_silence_on_the_tls_port_are_closed(void **state)
{
	struct setup setup = setup_of(true);
	setup.limits.handshake_ms = 300;
	struct bench *b = start(*state, setup);
	static const char *const texts[] = { "GET / HTTP/1.1\r\n" H "\r\n", "\x16\x03\x01", "" };
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		int fd = dial(b);
		int64_t from = now_ms();
		assert_int_equal(send(fd, texts[i], strlen(texts[i]), MSG_NOSIGNAL), strlen(texts[i]));
		char in[256];
		ssize_t got;
		while ((got = recv(fd, in, sizeof in, 0)) > 0)
			assert_null(memmem(in, (size_t)got, "HTTP/", 5)); /* an alert at most */
		assert_true(got == 0 || errno == ECONNRESET);
		assert_true(now_ms() - from < 3000);
		close(fd);
	}
	assert_true(await_open(b, 0));
	assert_int_equal(http_server_stats(b->server).handshake_failures, ARRAY_LEN(texts));
	assert_int_equal(http_server_stats(b->server).requests, 0);
	stop(b);
}

/* The client's next flight, as bytes. */
static size_t flight_of(SSL *ssl, BIO *out, char *p, size_t n)
{
	assert_int_equal(SSL_connect(ssl), -1);
	int got = BIO_read(out, p, (int)n);
	assert_true(got > 1);
	return (size_t)got;
}

/* What makes a handshake go before others must be our work, and not a byte, nor a hello that is asked for again. */
static void a_handshake_has_begun_when_our_signature_is_out(void **state)
{
	const struct site *site = *state;
	struct err err = { 0 };
	struct http_server server = { .fds = NULL };
	assert_int_equal(tls_server_new(site->chain, site->key, &server.tls, &err).kind, ERR_NONE);
	int ends[2] = { -1, -1 };
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
	struct shard shard = { .server = &server };
	struct conn c = { .shard = &shard, .fd = ends[0] };
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	SSL *ssl = SSL_new(ctx);
	BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
	SSL_set_bio(ssl, in, out);
	char both[] = "X25519:P-256", other[] = "P-256"; /* the macro takes constness away */
	assert_int_equal(SSL_set1_groups_list(ssl, both), 1);
	assert_false(wire_answered(&c));

	char bytes[4096];
	size_t n = flight_of(ssl, out, bytes, sizeof bytes);
	assert_int_equal(send(ends[1], bytes, 1, MSG_NOSIGNAL), 1);
	assert_int_equal(wire_shake(&c), WIRE_WANT_READ);
	assert_non_null(c.ssl);
	assert_false(wire_answered(&c));

	assert_int_equal(SSL_set1_groups_list(c.ssl, other), 1);
	assert_int_equal(send(ends[1], bytes + 1, n - 1, MSG_NOSIGNAL), n - 1);
	assert_int_equal(wire_shake(&c), WIRE_WANT_READ);
	ssize_t asked_again = recv(ends[1], bytes, sizeof bytes, 0);
	assert_true(asked_again > 0);
	assert_false(wire_answered(&c));

	assert_int_equal(BIO_write(in, bytes, (int)asked_again), asked_again);
	n = flight_of(ssl, out, bytes, sizeof bytes);
	assert_int_equal(send(ends[1], bytes, n, MSG_NOSIGNAL), n);
	assert_int_equal(wire_shake(&c), WIRE_WANT_READ);
	assert_true(wire_answered(&c));

	wire_close(&c);
	close(ends[1]);
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	tls_server_free(server.tls);
}

/* --- the bench itself -------------------------------------------------------------------------------------------- */

static int make_site(void **state)
{
	struct site *s = mem_alloc(sizeof *s);
	snprintf(s->dir, sizeof s->dir, "/tmp/cairn-http-XXXXXX");
	assert_non_null(mkdtemp(s->dir));
	snprintf(s->chain, sizeof s->chain, "%s/chain.pem", s->dir);
	snprintf(s->key, sizeof s->key, "%s/key.pem", s->dir);
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *c = X509_new();
	X509_set_version(c, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(c), 1);
	X509_gmtime_adj(X509_getm_notBefore(c), -60);
	X509_gmtime_adj(X509_getm_notAfter(c), 3600);
	X509_NAME *name = X509_NAME_new();
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"ca.test", -1, -1, 0);
	X509_set_subject_name(c, name);
	X509_set_issuer_name(c, name);
	X509_NAME_free(name);
	X509_set_pubkey(c, key);
	assert_true(X509_sign(c, key, EVP_sha256()) > 0);
	FILE *f = fopen(s->chain, "w");
	assert_int_equal(PEM_write_X509(f, c), 1);
	fclose(f);
	f = fopen(s->key, "w");
	assert_int_equal(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL), 1);
	fclose(f);
	X509_free(c);
	EVP_PKEY_free(key);
	*state = s;
	return 0;
}

static int remove_site(void **state)
{
	struct site *s = *state;
	unlink(s->chain);
	unlink(s->key);
	rmdir(s->dir);
	free(s);
	return 0;
}

#define BOTH(name)                                \
	static void name##_over_tls(void **state) \
	{                                         \
		name(*state, true);               \
	}                                         \
	static void name##_in_plain(void **state) \
	{                                         \
		name(*state, false);              \
	}

BOTH(exchanges_are_answered)
BOTH(refusals_say_why_and_close)
BOTH(refusal_reaches_a_client_that_goes_on_sending)
BOTH(long_heads_are_431_and_long_lines_414)
BOTH(pipelined_requests_are_answered_in_order)
BOTH(the_request_after_an_early_one_is_not_left_waiting)
BOTH(expectation_is_met_before_the_body_is_sent)
BOTH(requests_may_come_byte_by_byte)
BOTH(bodies_at_the_limit_pass_and_large_replies_arrive)
BOTH(connection_ends_when_either_side_says_so)
BOTH(deadlines_are_absolute)
BOTH(a_reply_that_nobody_reads_is_given_up)
BOTH(client_may_vanish_while_a_worker_has_its_request)
BOTH(server_may_be_freed_while_a_worker_has_a_request)
BOTH(a_thousand_connections_opened_and_reset_leave_nothing)
BOTH(full_queue_is_503_and_the_connection_stays)
BOTH(new_connections_take_the_place_of_the_oldest_idle_ones)
BOTH(one_address_has_its_own_limit)
BOTH(heads_that_wait_for_their_bodies_have_a_bound_together)
BOTH(out_of_descriptors_the_server_waits_without_spinning)
BOTH(drain_answers_what_is_in_flight_and_closes_the_rest)
BOTH(drain_ends_who_still_reads_a_reply_and_answers_what_came_behind)
BOTH(drain_gives_up_after_its_time)

#define RUN_BOTH(name) cmocka_unit_test(name##_over_tls), cmocka_unit_test(name##_in_plain)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RUN_BOTH(exchanges_are_answered),
		RUN_BOTH(refusals_say_why_and_close),
		RUN_BOTH(refusal_reaches_a_client_that_goes_on_sending),
		RUN_BOTH(long_heads_are_431_and_long_lines_414),
		RUN_BOTH(pipelined_requests_are_answered_in_order),
		RUN_BOTH(the_request_after_an_early_one_is_not_left_waiting),
		RUN_BOTH(expectation_is_met_before_the_body_is_sent),
		RUN_BOTH(requests_may_come_byte_by_byte),
		RUN_BOTH(bodies_at_the_limit_pass_and_large_replies_arrive),
		RUN_BOTH(connection_ends_when_either_side_says_so),
		RUN_BOTH(deadlines_are_absolute),
		RUN_BOTH(a_reply_that_nobody_reads_is_given_up),
		RUN_BOTH(client_may_vanish_while_a_worker_has_its_request),
		RUN_BOTH(server_may_be_freed_while_a_worker_has_a_request),
		RUN_BOTH(a_thousand_connections_opened_and_reset_leave_nothing),
		RUN_BOTH(full_queue_is_503_and_the_connection_stays),
		RUN_BOTH(new_connections_take_the_place_of_the_oldest_idle_ones),
		RUN_BOTH(one_address_has_its_own_limit),
		RUN_BOTH(heads_that_wait_for_their_bodies_have_a_bound_together),
		RUN_BOTH(out_of_descriptors_the_server_waits_without_spinning),
		RUN_BOTH(drain_answers_what_is_in_flight_and_closes_the_rest),
		RUN_BOTH(drain_ends_who_still_reads_a_reply_and_answers_what_came_behind),
		RUN_BOTH(drain_gives_up_after_its_time),
		cmocka_unit_test(a_handshake_has_begun_when_our_signature_is_out),
		cmocka_unit_test(plain_text_and_silence_on_the_tls_port_are_closed),
	};
	return cmocka_run_group_tests(tests, make_site, remove_site);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * fetch_test.c: against small servers on loopback, most of which misbehave.
 */
#include "net/fetch.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

/* --- the servers --------------------------------------------------------------------------------------------------*/

enum after { AFTER_CLOSE, AFTER_HANG, AFTER_DRIP, AFTER_FLOOD, AFTER_RESET, AFTER_KEEP };
struct script {
	const char *reply; /* sent once, after the request's head has come; NULL: the request is not even read */
	enum after after;
	const char *repeat; /* what AFTER_DRIP and AFTER_FLOOD send again and again */
};

struct server {
	const struct script *script;
	SSL_CTX *tls;
	int fd;
	uint16_t port;
	pthread_t thread;
	atomic_bool stop;
	atomic_int accepted;
	char request[4096]; /* of the last connection; read after server_stop */
};

struct line { /* one connection, with or without TLS */
	int fd;
	SSL *ssl;
};

static ssize_t line_send(struct line *l, const char *p, size_t n)
{
	return l->ssl != NULL ? SSL_write(l->ssl, p, (int)n) : send(l->fd, p, n, MSG_NOSIGNAL);
}

static bool read_head(struct server *s, struct line *l)
{
	size_t n = 0;
	while (n + 1 < sizeof s->request) {
		char *to = s->request + n;
		size_t room = sizeof s->request - 1 - n;
		ssize_t got = l->ssl != NULL ? SSL_read(l->ssl, to, (int)room) : recv(l->fd, to, room, 0);
		if (got <= 0)
			return false;
		n += (size_t)got;
		s->request[n] = '\0';
		if (strstr(s->request, "\r\n\r\n") != NULL)
			return true;
	}
	return false;
}

static bool wait_closed(const struct server *s, int fd, int for_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLRDHUP };
	return atomic_load(&s->stop) || poll(&p, 1, for_ms) > 0;
}

static void serve_one(struct server *s, struct line *l)
{
	const struct script *script = s->script;
	do {
		if (script->reply == NULL)
			break;
		if (!read_head(s, l) || line_send(l, script->reply, strlen(script->reply)) <= 0)
			return;
	} while (script->after == AFTER_KEEP && !atomic_load(&s->stop));
	if (script->after == AFTER_HANG)
		while (!wait_closed(s, l->fd, 20))
			;
	if (script->after == AFTER_DRIP)
		while (!wait_closed(s, l->fd, 20) && line_send(l, script->repeat, strlen(script->repeat)) > 0)
			;
	if (script->after == AFTER_FLOOD)
		while (!wait_closed(s, l->fd, 0) && line_send(l, script->repeat, strlen(script->repeat)) > 0)
			;
	if (script->after == AFTER_RESET) {
		struct linger abort_it = { .l_onoff = 1, .l_linger = 0 };
		setsockopt(l->fd, SOL_SOCKET, SO_LINGER, &abort_it, sizeof abort_it);
	}
}

static void *server_run(void *arg)
{
	struct server *s = arg;
	while (!atomic_load(&s->stop)) {
		struct pollfd p = { .fd = s->fd, .events = POLLIN };
		if (poll(&p, 1, 20) <= 0)
			continue;
		struct line l = { .fd = accept(s->fd, NULL, NULL) };
		if (l.fd < 0)
			continue;
		struct timeval limit = { .tv_sec = 3 };
		setsockopt(l.fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
		setsockopt(l.fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
		atomic_fetch_add(&s->accepted, 1);
		if (s->tls != NULL) {
			l.ssl = SSL_new(s->tls);
			SSL_set_fd(l.ssl, l.fd);
			if (SSL_accept(l.ssl) == 1) {
				serve_one(s, &l);
				SSL_shutdown(l.ssl);
			}
			ERR_clear_error();
			SSL_free(l.ssl);
		} else {
			serve_one(s, &l);
		}
		close(l.fd);
	}
	return NULL;
}

static int listen_on(int family, uint16_t *ret_port)
{
	struct addr any = { .family = family, .b = { 127, 0, 0, 1 } };
	if (family == AF_INET6)
		any = (struct addr){ .family = AF_INET6, .b = { [15] = 1 } };
	struct sockaddr_storage sa;
	socklen_t n = addr_sockaddr(&any, 0, &sa);
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (const struct sockaddr *)&sa, n) != 0 || listen(fd, 64) != 0) {
		fd_close(&fd);
		return -1;
	}
	n = sizeof sa;
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &n), 0);
	assert_true(addr_of_sockaddr(&sa, &any, ret_port));
	return fd;
}

static void server_start(struct server *s, const struct script *script, SSL_CTX *tls)
{
	memset(s, 0, sizeof *s);
	s->script = script;
	s->tls = tls;
	s->fd = listen_on(AF_INET, &s->port);
	assert_true(s->fd >= 0);
	assert_int_equal(pthread_create(&s->thread, NULL, server_run, s), 0);
}

static void server_stop(struct server *s)
{
	atomic_store(&s->stop, true);
	pthread_join(s->thread, NULL);
	close(s->fd);
}

/* --- asking -------------------------------------------------------------------------------------------------------*/

static const struct addr loopback = { .family = AF_INET, .b = { 127, 0, 0, 1 } };

struct fixture {
	struct fetcher *f;
	struct arena mem;
	struct fetch_reply reply;
	struct err err;
	SSL_CTX *tls;
	char ca_file[64];
};

static struct fetch_request request_to(struct fixture *f, const char *scheme, uint16_t port)
{
	return (struct fetch_request){
		.method = STR("GET"),
		.url = str_fmt(&f->mem, "%s://www.a.test:%u/x?y", scheme, port),
		.pin = &loopback,
		.user_agent = STR("cairn-test"),
		.body_max = 128,
		.headers_max = 8192,
		.connect_timeout_ms = 3000,
		.timeout_ms = 5000,
		.verify_tls = true,
	};
}

static enum err_kind run(struct fixture *f, const struct fetch_request *rq)
{
	f->err = (struct err){ 0 };
	return fetch(f->f, rq, &f->mem, &f->reply, &f->err).kind;
}

static enum err_kind ask(struct fixture *f, const struct script *script, int64_t timeout_ms)
{
	struct server s;
	server_start(&s, script, NULL);
	struct fetch_request rq = request_to(f, "http", s.port);
	rq.timeout_ms = timeout_ms;
	enum err_kind kind = run(f, &rq);
	server_stop(&s);
	return kind;
}

/* A certificate for www.a.test that signs itself. */
static SSL_CTX *tls_make(const char *ca_file)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = X509_new();
	X509_set_version(cert, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
	X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
	X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
	X509_set_pubkey(cert, key);
	X509_NAME *name = X509_NAME_new();
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"www.a.test", -1, -1, 0);
	X509_set_subject_name(cert, name);
	X509_set_issuer_name(cert, name);
	X509_NAME_free(name);
	X509V3_CTX v3;
	X509V3_set_ctx(&v3, cert, cert, NULL, NULL, 0);
	X509_EXTENSION *san = X509V3_EXT_conf_nid(NULL, &v3, NID_subject_alt_name, "DNS:www.a.test");
	X509_add_ext(cert, san, -1);
	X509_EXTENSION_free(san);
	assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
	FILE *out = fopen(ca_file, "w");
	assert_non_null(out);
	assert_int_equal(PEM_write_X509(out, cert), 1);
	fclose(out);
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	assert_int_equal(SSL_CTX_use_certificate(ctx, cert), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(ctx, key), 1);
	X509_free(cert);
	EVP_PKEY_free(key);
	return ctx;
}

static int setup(void **state, bool keep_alive)
{
	struct fixture *f = mem_alloc(sizeof *f);
	*state = f;
	/* What a careless environment may hold: none of it may count. */
	setenv("http_proxy", "http://127.0.0.1:1", 1);
	setenv("https_proxy", "http://127.0.0.1:1", 1);
	setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
	snprintf(f->ca_file, sizeof f->ca_file, "/tmp/cairn-fetch-test-%ld.pem", (long)getpid());
	f->tls = tls_make(f->ca_file);
	assert_false(FAILED(fetcher_new(keep_alive, &f->f, &f->err)));
	return 0;
}

static int setup_plain(void **state)
{
	return setup(state, false);
}

static int setup_kept(void **state)
{
	return setup(state, true);
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	unlink(f->ca_file);
	SSL_CTX_free(f->tls);
	fetcher_free(f->f);
	arena_done(&f->mem);
	free(f);
	return 0;
}

/* --- the tests ----------------------------------------------------------------------------------------------------*/

static const struct script hello = { "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-One: a b \r\nLocation: /y\r\n\r\nhello",
				     AFTER_CLOSE, NULL };

static void an_answer_comes_back_whole(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(ask(f, &hello, 5000), ERR_NONE);
	assert_int_equal(f->reply.status, 200);
	assert_true(str_eq(f->reply.body, STR("hello")));
	assert_false(f->reply.body_cut);
	assert_true(f->reply.connected);
	assert_true(addr_eq(&f->reply.peer, &loopback));
	assert_int_equal(f->reply.header_count, 3);
	assert_true(str_eq(fetch_reply_header(&f->reply, "x-one"), STR("a b")));
	assert_true(str_eq(fetch_reply_header(&f->reply, "location"), STR("/y")));
	assert_null(fetch_reply_header(&f->reply, "x-two").p);
}

static void the_request_says_what_it_must_and_no_more(void **state)
{
	struct fixture *f = *state;
	struct server s;
	server_start(&s, &hello, NULL);
	struct fetch_request rq = request_to(f, "http", s.port);
	assert_int_equal(run(f, &rq), ERR_NONE);
	server_stop(&s);
	struct str want = str_fmt(
		&f->mem, "GET /x?y HTTP/1.1\r\nHost: www.a.test:%u\r\nUser-Agent: cairn-test\r\nAccept: */*\r\n\r\n",
		s.port);
	assert_string_equal(s.request, str_dupz_raw(&f->mem, want));

	server_start(&s, &hello, NULL);
	rq = request_to(f, "http", s.port);
	rq.method = STR("POST");
	rq.body = STR("{}");
	rq.content_type = STR("application/jose+json");
	assert_int_equal(run(f, &rq), ERR_NONE);
	server_stop(&s);
	assert_memory_equal(s.request, "POST /x?y HTTP/1.1\r\n", 20);
	assert_non_null(strstr(s.request, "\r\nContent-Type: application/jose+json\r\n"));
	assert_non_null(strstr(s.request, "\r\nContent-Length: 2\r\n"));

	rq.method = STR("BREW");
	assert_int_equal(run(f, &rq), ERR_INTERNAL);
}

static void no_redirect_is_followed(void **state)
{
	struct fixture *f = *state;
	struct server s;
	static const struct script moved = { "HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n",
					     AFTER_CLOSE, NULL };
	server_start(&s, &moved, NULL);
	struct fetch_request rq = request_to(f, "http", s.port);
	assert_int_equal(run(f, &rq), ERR_NONE);
	assert_int_equal(f->reply.status, 302);
	server_stop(&s);
	assert_int_equal(atomic_load(&s.accepted), 1);
}

static void a_body_over_the_maximum_is_cut_and_that_is_no_failure(void **state)
{
	struct fixture *f = *state;
	static const struct {
		struct script script;
		size_t want;
		bool cut;
	} rows[] = {
		{ { "HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\n", AFTER_FLOOD, "xxxxxxxxxxxxxxxx" },
		  128,
		  true },
		{ { "HTTP/1.1 200 OK\r\n\r\n", AFTER_FLOOD, "xxxxxxxxxxxxxxxx" }, 128, true },
		{ { "HTTP/1.1 200 OK\r\n\r\n", AFTER_DRIP, "xxxxxxxxxxxxxxxx" }, 128, true },
		{ { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", AFTER_FLOOD, "5\r\nxxxxx\r\n" },
		  128,
		  true },
		{ { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nxxxxx\r\n0\r\n\r\n", AFTER_HANG, NULL },
		  5,
		  false },
		/* asked for no encoding, so what comes is taken as it is */
		{ { "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nxxxxx", AFTER_CLOSE, NULL }, 5, false },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(ask(f, &rows[i].script, 5000), ERR_NONE);
		assert_int_equal(f->reply.body.n, rows[i].want);
		assert_int_equal(f->reply.body_cut, rows[i].cut);
		for (size_t k = 0; k < f->reply.body.n; k++)
			assert_int_equal(f->reply.body.p[k], 'x');
	}
}

static void interim_answers_leave_no_trace(void **state)
{
	struct fixture *f = *state;
	static const struct script early = {
		"HTTP/1.1 103 Early Hints\r\nX-One: early\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
		AFTER_CLOSE, NULL
	};
	assert_int_equal(ask(f, &early, 5000), ERR_NONE);
	assert_int_equal(f->reply.status, 200);
	assert_null(fetch_reply_header(&f->reply, "x-one").p);
}

static void misbehaviour_is_told_in_plain_words(void **state)
{
	struct fixture *f = *state;
	static const struct {
		struct script script;
		int64_t timeout_ms;
		enum err_kind kind;
		const char *want;
	} rows[] = {
		{ { "HTTP/1.1 200 OK\r\n", AFTER_FLOOD, "X-More: and more\r\n" },
		  5000,
		  ERR_CONNECTION,
		  "response header is larger than 8192 bytes or 200 lines" },
		{ { "HTTP/1.1 200 OK\r\n", AFTER_FLOOD, "X:\r\n" },
		  5000,
		  ERR_CONNECTION,
		  "response header is larger than 8192 bytes or 200 lines" },
		{ { "HTTP/1.1 200 OK\r\nX-Long: ", AFTER_FLOOD, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" },
		  5000,
		  ERR_CONNECTION,
		  "response header line is too long" },
		{ { "HTTP/1.1 100 Continue\r\n\r\n", AFTER_FLOOD, "HTTP/1.1 100 Continue\r\n\r\n" },
		  5000,
		  ERR_CONNECTION,
		  "response header is larger than 8192 bytes or 200 lines" },
		{ { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", AFTER_FLOOD,
		    "X-Trailer: and more\r\n" },
		  5000,
		  ERR_CONNECTION,
		  "response header is larger than 8192 bytes or 200 lines" },
		{ { "HTTP/1.1 200 OK\r\n\r\nshort", AFTER_HANG, NULL },
		  400,
		  ERR_TIMEOUT,
		  "timeout after connect (your server may be slow or overloaded)" },
		{ { "HTTP/1.1 200 OK\r\n\r\n", AFTER_DRIP, "x" },
		  400,
		  ERR_TIMEOUT,
		  "timeout after connect (your server may be slow or overloaded)" },
		{ { "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", AFTER_CLOSE, NULL },
		  5000,
		  ERR_CONNECTION,
		  "the server closed the connection in the middle of the body" },
		{ { NULL, AFTER_HANG, NULL },
		  400,
		  ERR_TIMEOUT,
		  "timeout after connect (your server may be slow or overloaded)" },
		{ { "HTTP/1.1 200 OK\r\nContent-Type: te", AFTER_CLOSE, NULL },
		  5000,
		  ERR_CONNECTION,
		  "the server closed the connection in the middle of the header" },
		{ { "HTTP/1.1 200 OK\r\nServer: x\r\n", AFTER_CLOSE, NULL },
		  5000,
		  ERR_CONNECTION,
		  "the server closed the connection in the middle of the header" },
		{ { "HTTP/1.1 103 Early Hints\r\nLink: <", AFTER_CLOSE, NULL },
		  5000,
		  ERR_CONNECTION,
		  "the server closed the connection in the middle of the header" },
		{ { "HTTP/1.1 103 Early Hints\r\n\r\n", AFTER_CLOSE, NULL },
		  5000,
		  ERR_CONNECTION,
		  "the server closed the connection without an answer" },
		{ { "hTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", AFTER_CLOSE, NULL },
		  5000,
		  ERR_CONNECTION,
		  "the answer is not HTTP/1.x (does this port speak TLS or HTTP/2?)" },
		{ { "", AFTER_CLOSE, NULL },
		  5000,
		  ERR_CONNECTION,
		  "the server closed the connection without an answer" },
		{ { "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", AFTER_RESET, NULL },
		  5000,
		  ERR_CONNECTION,
		  "connection reset after connect" },
		{ { "hello\n", AFTER_CLOSE, NULL },
		  5000,
		  ERR_CONNECTION,
		  "the answer is not HTTP/1.x (does this port speak TLS or HTTP/2?)" },
		{ { "\x15\x03\x03\x00\x02\x02\x46", AFTER_CLOSE, NULL },
		  5000,
		  ERR_CONNECTION,
		  "the answer is not HTTP/1.x (does this port speak TLS or HTTP/2?)" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int64_t began = clock_mono_ms(&clock_system);
		enum err_kind kind = ask(f, &rows[i].script, rows[i].timeout_ms);
		print_message("%zu: %s\n", i, f->err.detail);
		assert_string_equal(f->err.detail, rows[i].want);
		assert_int_equal(kind, rows[i].kind);
		assert_true(f->reply.connected);
		assert_true(addr_eq(&f->reply.peer, &loopback));
		assert_true(f->reply.body.n <= 128);
		assert_true(clock_mono_ms(&clock_system) - began < 4500);
	}
}

/* THREATS A35: libcurl would take one of the readings. */
static void an_answer_that_can_be_read_in_two_ways_is_none(void **state)
{
	struct fixture *f = *state;
	static const char length[] = "the answer's Content-Length is no number, or there are several";
	static const char coding[] = "the answer's Transfer-Encoding is not \"chunked\"";
	static const char both[] = "the answer has both Content-Length and Transfer-Encoding";
	static const char version[] = "the answer is not HTTP/1.x (does this port speak TLS or HTTP/2?)";
#define OK_WITH(headers) "HTTP/1.1 200 OK\r\n" headers "\r\n"
#define CHUNKS "2\r\nhi\r\n0\r\n\r\n"
	static const struct {
		const char *head, *want; /* NULL: it is a good one */
	} rows[] = {
		{ OK_WITH("Content-Length: 5\r\nContent-Length: 2\r\n") "hiya!", length },
		{ OK_WITH("Content-Length: 5, 2\r\n") "hiya!", length },
		{ OK_WITH("Content-Length: 2x\r\n") "hi", length },
		{ OK_WITH("Content-Length: +2\r\n") "hi", length },
		{ OK_WITH("Content-Length: 18446744073709551618\r\n") "hi", length },
		{ OK_WITH("Content-Length: 2\r\nTransfer-Encoding: chunked\r\n") CHUNKS, both },
		{ OK_WITH("Transfer-Encoding: chunked\r\nContent-Length: 2\r\n") CHUNKS, both },
		{ OK_WITH("Transfer-Encoding: identity\r\n") "hi", coding },
		{ OK_WITH("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n") CHUNKS, coding },
		{ "HTTP/2 200 OK\r\nContent-Length: 2\r\n\r\nhi", version },
		{ OK_WITH("Content-Length: 2\r\nContent-Length: 2\r\n") "hi", NULL },
		{ "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" CHUNKS,
		  "the answer has Transfer-Encoding, which HTTP/1.0 does not know" },
		{ OK_WITH("Transfer-Encoding: Chunked\r\n") CHUNKS, NULL },
		{ "HTTP/1.0 200 OK\r\n\r\nhi", NULL },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct script script = { rows[i].head, AFTER_CLOSE, NULL };
		enum err_kind kind = ask(f, &script, 5000);
		if (rows[i].want == NULL) {
			assert_int_equal(kind, ERR_NONE);
			assert_true(str_eq(f->reply.body, STR("hi")));
			continue;
		}
		print_message("%zu: %s\n", i, f->err.detail);
		assert_string_equal(f->err.detail, rows[i].want);
		assert_int_equal(kind, ERR_CONNECTION);
	}
}

/* Our own reader only: libcurl is laxer in some, and uses other words. */
static void what_is_not_to_the_letter_is_refused_and_what_is_unusual_is_read(void **state)
{
	struct fixture *f = *state;
	static const char version[] = "the answer is not HTTP/1.x (does this port speak TLS or HTTP/2?)";
	static const char chunks[] = "the answer's body does not have the chunks that its Transfer-Encoding promises";
	static const char line[] = "the answer has a header line that is none (RFC 9112 5)";
	static const char half[] = "the server closed the connection in the middle of the body";
#define CHUNKED OK_WITH("Transfer-Encoding: chunked\r\n")
	static const struct {
		const char *answer, *want; /* NULL: it is a good one */
		int status;
	} rows[] = {
		{ "HTTP/1.1 20\r\n\r\nhi", version, 0 },
		{ "HTTP/1.1 2000 x\r\n\r\nhi", version, 0 },
		{ "HTTP/1.1 099 x\r\n\r\nhi", version, 0 },
		{ "HTTP/1.1  200 x\r\n\r\nhi", version, 0 },
		{ "HTTP/1.2 200 x\r\n\r\nhi", version, 0 },
		{ "HTTP/1.1", "the server closed the connection in the middle of the header", 0 },
		{ "HTTP/1.1 101 Switching Protocols\r\n\r\n\x01\x02", version, 0 },
		{ OK_WITH("X-One: 1\r\nHTTP/1.1 204 No\r\n") "hi", line, 0 },
		{ OK_WITH("Content-Length : 2\r\n") "hi", line, 0 },
		{ OK_WITH("Transfer-Encoding:\r\n chunked\r\n") CHUNKS, line, 0 },
		{ OK_WITH("X-One: 1\r\n X-Two: 2\r\n") "hi", line, 0 },
		{ OK_WITH("X-One: 1\rContent-Length: 1\r\n") "hi", line, 0 },
		{ OK_WITH(": 1\r\n") "hi", line, 0 },
		{ "HTTP/1.1 200 OK\rX-One: 1\r\n\r\nhi", version, 0 },
		{ CHUNKED "2\rx\r\nhi\r\n0\r\n\r\n", chunks, 0 },
		{ CHUNKED "2\r\nhi\r\n0\r\nX-Trailer: 1\rx\r\n\r\n", chunks, 0 },
		{ OK_WITH("\r\r\n") "hi", line, 0 },
		{ CHUNKED "\r\nhi\r\n0\r\n\r\n", chunks, 0 },
		{ CHUNKED "2hi\r\n0\r\n\r\n", chunks, 0 },
		{ CHUNKED "-2\r\nhi\r\n0\r\n\r\n", chunks, 0 },
		{ CHUNKED "10000000000000002\r\nhi\r\n0\r\n\r\n", chunks, 0 },
		{ CHUNKED "2\r\nhi!\r\n0\r\n\r\n", chunks, 0 },
		{ CHUNKED "2\r\nhi\rx0\r\n\r\n", chunks, 0 },
		{ CHUNKED "2\r\nhi\r\n", half, 0 },
		{ CHUNKED "2\r\nhi\r\n0\r\nX-One: 1\r\n", half, 0 },
		{ "HTTP/1.1 200\r\n\r\nhi", NULL, 200 },
		{ "HTTP/1.1 404 \nContent-Length: 2\n\nhi!", NULL, 404 },
		{ CHUNKED "1;a=\"b\"\r\nh\r\n01 \r\ni\r\n000\r\nX-Trailer: 1\r\n\r\n", NULL, 200 },
		{ "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\nhi", NULL, 200 },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct script script = { rows[i].answer, AFTER_CLOSE, NULL };
		enum err_kind kind = ask(f, &script, 5000);
		print_message("%zu: %s\n", i, f->err.detail);
		assert_string_equal(f->err.detail, rows[i].want == NULL ? "" : rows[i].want);
		assert_int_equal(kind, rows[i].want == NULL ? ERR_NONE : ERR_CONNECTION);
		if (rows[i].want != NULL)
			continue;
		assert_true(str_eq(f->reply.body, STR("hi")));
		assert_int_equal(f->reply.status, rows[i].status);
		assert_null(fetch_reply_header(&f->reply, "x-trailer").p);
	}
	static const struct script endless = { CHUNKED "5;", AFTER_FLOOD, "extension" };
	assert_int_equal(ask(f, &endless, 5000), ERR_CONNECTION);
	assert_string_equal(f->err.detail, "response header line is too long");
	static const struct script none = { "HTTP/1.1 204 No Content\r\nContent-Length: 7\r\n\r\n", AFTER_HANG, NULL };
	assert_int_equal(ask(f, &none, 5000), ERR_NONE);
	assert_int_equal(f->reply.body.n, 0);
}

static void a_reset_at_once_counts_as_connected(void **state)
{
	struct fixture *f = *state;
	static const struct script reset = { NULL, AFTER_RESET, NULL };
	bool seen = false;
	/* It may come before the library has looked whether it is connected at all: then that is what it tells. */
	for (int i = 0; i < 20 && !seen; i++) {
		assert_int_equal(ask(f, &reset, 5000), ERR_CONNECTION);
		seen = strstr(f->err.detail, "after connect") != NULL && f->reply.connected;
		if (!seen)
			print_message("%s\n", f->err.detail);
	}
	assert_true(seen);
}

static void failing_to_connect_is_told_apart(void **state)
{
	struct fixture *f = *state;
	uint16_t port;
	int fd = listen_on(AF_INET, &port);
	close(fd); /* nobody listens there now */
	struct fetch_request rq = request_to(f, "http", port);
	assert_int_equal(run(f, &rq), ERR_CONNECTION);
	assert_string_equal(f->err.detail, "connection refused");
	assert_false(f->reply.connected);
	assert_true(addr_eq(&f->reply.peer, &loopback));

	/* A full backlog swallows the SYN, as a firewall does. */
	fd = listen_on(AF_INET, &port);
	assert_int_equal(listen(fd, 0), 0);
	struct sockaddr_storage sa;
	socklen_t n = addr_sockaddr(&loopback, port, &sa);
	int full[4];
	for (size_t i = 0; i < ARRAY_LEN(full); i++) {
		full[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		(void)!connect(full[i], (const struct sockaddr *)&sa, n);
	}
	usleep(50000);
	rq = request_to(f, "http", port);
	rq.connect_timeout_ms = 400;
	assert_int_equal(run(f, &rq), ERR_TIMEOUT);
	assert_string_equal(f->err.detail, "timeout during connect (likely firewall problem)");
	assert_false(f->reply.connected);
	for (size_t i = 0; i < ARRAY_LEN(full); i++)
		close(full[i]);
	close(fd);

	rq.timeout_ms = 0;
	assert_int_equal(run(f, &rq), ERR_TIMEOUT);
	assert_string_equal(f->err.detail, "no time is left for this request");
}

static void the_pin_decides_where_it_goes(void **state)
{
	struct fixture *f = *state;
	struct server s;
	server_start(&s, &hello, NULL);
	struct fetch_request rq = request_to(f, "http", 1);
	rq.pin_port = s.port; /* the URL says port 1 and a name that nobody knows */
	assert_int_equal(run(f, &rq), ERR_NONE);
	/* Even a URL with another address in it goes to the pin. */
	rq.url = str_fmt(&f->mem, "http://192.0.2.1:%u/", s.port);
	rq.pin_port = 0;
	assert_int_equal(run(f, &rq), ERR_NONE);
	assert_true(addr_eq(&f->reply.peer, &loopback));
	server_stop(&s);
	assert_int_equal(atomic_load(&s.accepted), 2);

	uint16_t port;
	int fd = listen_on(AF_INET6, &port);
	if (fd < 0) {
		print_message("no IPv6 on this machine: the bracketed form is not tried\n");
		return;
	}
	close(fd);
	struct addr v6 = { .family = AF_INET6, .b = { [15] = 1 } };
	rq = request_to(f, "http", port);
	rq.pin = &v6;
	assert_int_equal(run(f, &rq), ERR_CONNECTION);
	assert_string_equal(f->err.detail, "connection refused");
	assert_true(addr_eq(&f->reply.peer, &v6));
}

static void only_http_and_https_are_spoken(void **state)
{
	struct fixture *f = *state;
	static const char *const urls[] = { "file:///etc/passwd",      "gopher://127.0.0.1:1/", "ftp://127.0.0.1:1/",
					    "http://u:p@127.0.0.1:1/", "dict://127.0.0.1:1/x",  "" };
	for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
		struct fetch_request rq = request_to(f, "http", 1);
		rq.url = str_z(urls[i]);
		assert_int_equal(run(f, &rq), i < 3 || i == 4 ? ERR_CONNECTION : ERR_MALFORMED);
		assert_false(f->reply.connected);
		assert_int_equal(f->reply.body.n, 0);
	}
}

static void tls_is_verified_only_when_asked(void **state)
{
	struct fixture *f = *state;
	struct server s;
	server_start(&s, &hello, f->tls);
	struct fetch_request rq = request_to(f, "https", s.port);
	assert_int_equal(run(f, &rq), ERR_TLS);
	assert_memory_equal(f->err.detail, "the server's certificate is not trusted: ", 41);
	assert_true(f->reply.connected);
	rq.ca_file = f->ca_file;
	assert_int_equal(run(f, &rq), ERR_NONE);
	assert_true(str_eq(f->reply.body, STR("hello")));
	rq.url = str_fmt(&f->mem, "https://other.a.test:%u/", s.port); /* not in the certificate */
	assert_int_equal(run(f, &rq), ERR_TLS);
	rq.verify_tls = false;
	rq.ca_file = NULL;
	assert_int_equal(run(f, &rq), ERR_NONE);
	assert_true(str_eq(f->reply.body, STR("hello")));
	rq.verify_tls = true;
	rq.ca_file = "/nonexistent/ca.pem";
	assert_int_equal(run(f, &rq), ERR_CONFIG);
	server_stop(&s);
}

static void a_port_that_speaks_the_other_thing_is_recognised(void **state)
{
	struct fixture *f = *state;
	static const struct script bad_request = { "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", AFTER_CLOSE,
						   NULL };
	/* Reads no request: a TLS hello has no empty line. */
	static const struct script eager = { NULL, AFTER_DRIP, "HTTP/1.1 400 Bad Request\r\n\r\n" };
	struct server s;
	server_start(&s, &eager, NULL);
	struct fetch_request rq = request_to(f, "https", s.port);
	assert_int_equal(run(f, &rq), ERR_TLS);
	assert_string_equal(f->err.detail, "server only speaks HTTP, not TLS");
	server_stop(&s);

	server_start(&s, &bad_request, f->tls);
	rq = request_to(f, "http", s.port);
	assert_int_equal(run(f, &rq), ERR_CONNECTION);
	assert_true(f->reply.connected);
	server_stop(&s);

	static const struct script silent = { NULL, AFTER_HANG, NULL };
	server_start(&s, &silent, NULL);
	rq = request_to(f, "https", s.port);
	rq.timeout_ms = 400;
	assert_int_equal(run(f, &rq), ERR_TIMEOUT);
	assert_string_equal(f->err.detail, "timeout during the TLS handshake (does this port speak TLS?)");
	server_stop(&s);
}

struct small {
	struct fixture *f;
	struct fetch_request rq;
	enum err_kind kind;
};

static void *small_run(void *arg)
{
	struct small *s = arg;
	s->kind = run(s->f, &s->rq);
	return NULL;
}

/* The validator's threads have this much, and a TLS handshake is the deepest that they go. */
static void a_stack_of_256_kib_is_enough(void **state)
{
	struct fixture *f = *state;
	struct server s;
	server_start(&s, &hello, f->tls);
	struct small small = { .f = f, .rq = request_to(f, "https", s.port) };
	small.rq.ca_file = f->ca_file;
	pthread_attr_t attr;
	pthread_t thread;
	pthread_attr_init(&attr);
	assert_int_equal(pthread_attr_setstacksize(&attr, 256 * 1024), 0);
	assert_int_equal(pthread_create(&thread, &attr, small_run, &small), 0);
	pthread_attr_destroy(&attr);
	pthread_join(thread, NULL);
	assert_int_equal(small.kind, ERR_NONE);
	server_stop(&s);
}

static void connections_are_kept_only_when_asked(void **state)
{
	struct fixture *f = *state;
	static const struct script keep = { "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", AFTER_KEEP, NULL };
	struct fetcher *plain = f->f;
	for (int keep_alive = 0; keep_alive < 2; keep_alive++) {
		struct server s;
		assert_false(FAILED(fetcher_new(keep_alive == 1, &f->f, &f->err)));
		server_start(&s, &keep, NULL);
		struct fetch_request rq = request_to(f, "http", s.port);
		for (int i = 0; i < 3; i++) {
			assert_int_equal(run(f, &rq), ERR_NONE);
			assert_true(f->reply.connected);
			assert_true(addr_eq(&f->reply.peer, &loopback));
		}
		fetcher_free(f->f);
		server_stop(&s);
		assert_int_equal(atomic_load(&s.accepted), keep_alive == 1 ? 1 : 3);
	}
	f->f = plain;
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN); /* the servers' own TLS writes */
	/* What our own reader and libcurl must do alike. */
	const struct CMUnitTest both[] = {
		cmocka_unit_test(an_answer_comes_back_whole),
		cmocka_unit_test(the_request_says_what_it_must_and_no_more),
		cmocka_unit_test(no_redirect_is_followed),
		cmocka_unit_test(a_body_over_the_maximum_is_cut_and_that_is_no_failure),
		cmocka_unit_test(interim_answers_leave_no_trace),
		cmocka_unit_test(misbehaviour_is_told_in_plain_words),
		cmocka_unit_test(an_answer_that_can_be_read_in_two_ways_is_none),
		cmocka_unit_test(a_reset_at_once_counts_as_connected),
		cmocka_unit_test(failing_to_connect_is_told_apart),
		cmocka_unit_test(the_pin_decides_where_it_goes),
		cmocka_unit_test(only_http_and_https_are_spoken),
	};
	const struct CMUnitTest rest[] = {
		cmocka_unit_test(what_is_not_to_the_letter_is_refused_and_what_is_unusual_is_read),
		cmocka_unit_test(tls_is_verified_only_when_asked),
		cmocka_unit_test(a_port_that_speaks_the_other_thing_is_recognised),
		cmocka_unit_test(a_stack_of_256_kib_is_enough),
		cmocka_unit_test(connections_are_kept_only_when_asked),
	};
	return cmocka_run_group_tests_name("plain", both, setup_plain, teardown) +
	       cmocka_run_group_tests_name("libcurl", both, setup_kept, teardown) +
	       cmocka_run_group_tests_name("rest", rest, setup_plain, teardown);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * conn.c: one connection to the server under measurement: TLS, and as much of HTTP/1.1 as its replies need (RFC 9112).
 * A request is written in one piece and its reply read until it is whole, with no look for more: two system calls each.
 */
#include "generator.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <unistd.h>

#define REPLY_MAX (4u << 20)
#define REQUEST_MAX (256u * 1024)
#define READ_STEP 16384

enum conn_state { CONN_CLOSED, CONN_DIALLING, CONN_SHAKING, CONN_WRITING, CONN_READING, CONN_IDLE };

struct conn {
	const struct conn_settings *s;
	void *ctx;
	enum conn_state state;
	int fd;
	SSL *ssl;
	struct loop_io *io;
	struct buf out, in, body; /* body: of chunks */
	size_t written;
	bool head_only, fresh, last; /* the request is a HEAD; nothing was carried yet; the server will close */
};

/* --- set-up ----------------------------------------------------------------------------------------------------------*/

fallible conn_tls_new(const char *ca_file, SSL_CTX **ret, struct err *err)
{
	SSL_CTX *tls = SSL_CTX_new(TLS_client_method());
	if (tls == NULL || SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION) != 1 ||
	    (ca_file != NULL && SSL_CTX_load_verify_file(tls, ca_file) != 1)) {
		SSL_CTX_free(tls);
		err_cause_openssl(err);
		FAIL(err, ERR_CONFIG, "%s does not read as certificates", ca_file == NULL ? "(none)" : ca_file);
	}
	SSL_CTX_set_verify(tls, ca_file == NULL ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
	(void)SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
	(void)SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_read_ahead(tls, 1); /* a record's head and body in one read */
	*ret = tls;
	return OK;
}

struct conn *conn_new(const struct conn_settings *s, void *ctx)
{
	struct conn *c = mem_alloc(sizeof *c);
	*c = (struct conn){ .s = s, .ctx = ctx, .fd = -1 };
	c->out = (struct buf)BUF_MAX(REQUEST_MAX);
	c->in = (struct buf)BUF_MAX(REPLY_MAX);
	c->body = (struct buf)BUF_MAX(REPLY_MAX);
	return c;
}

void conn_close(struct conn *c)
{
	if (c->state > CONN_SHAKING)
		(void)SSL_shutdown(c->ssl); /* a goodbye, if it can be said at once */
	loop_io_free(c->io);
	c->io = NULL;
	SSL_free(c->ssl);
	c->ssl = NULL;
	ERR_clear_error();
	fd_close(&c->fd);
	c->state = CONN_CLOSED;
}

void conn_free(struct conn *c)
{
	if (c == NULL)
		return;
	conn_close(c);
	buf_done(&c->out);
	buf_done(&c->in);
	buf_done(&c->body);
	free(c);
}

static void broke(struct conn *c, const char *what)
{
	bool fresh = c->fresh;
	conn_close(c);
	c->s->on_failure(c->ctx, what, fresh);
}

/* --- replies ---------------------------------------------------------------------------------------------------------*/

struct head {
	struct reply r;
	size_t head_n, length;
	bool has_length, chunked, close;
};

static struct str header_value(struct str line, size_t colon)
{
	return str_trim(str_sub(line, colon + 1, line.n));
}

static bool header_read(struct head *h, struct str line)
{
	size_t colon = str_find(line, ':', 0);
	struct str name = str_sub(line, 0, colon), value = header_value(line, colon);
	uint64_t n = 0;
	if (colon == 0 || colon == line.n)
		return false;
	if (str_eq_nocase(name, STR("replay-nonce"))) {
		h->r.nonce = value;
	} else if (str_eq_nocase(name, STR("location"))) {
		h->r.location = value;
	} else if (str_eq_nocase(name, STR("content-type"))) {
		h->r.content_type = value;
	} else if (str_eq_nocase(name, STR("content-length"))) {
		if (FAILED(str_u64(value, REPLY_MAX, &n, NULL)))
			return false;
		h->length = (size_t)n;
		h->has_length = true;
	} else if (str_eq_nocase(name, STR("transfer-encoding"))) {
		h->chunked = true;
		return str_eq_nocase(value, STR("chunked"));
	} else if (str_eq_nocase(name, STR("connection"))) {
		h->close = str_eq_nocase(value, STR("close"));
	} else if (str_eq_nocase(name, STR("retry-after"))) {
		(void)FAILED(str_u64(value, 86400, &h->r.retry_after_s, NULL)); /* a date: as if it were not there */
	}
	return true;
}

/* false: it is no HTTP. head_n 0: not whole yet. */
static bool head_read(struct str in, struct head *h)
{
	static const char end[] = "\r\n\r\n";
	const char *stop = memmem(in.p, in.n, end, sizeof end - 1);
	uint64_t status = 0;
	if (stop == NULL)
		return true;
	struct cur c = cur_of(str_n(in.p, (size_t)(stop - in.p) + 2));
	struct str line;
	if (FAILED(cur_until(&c, '\r', &line, NULL)) || !str_skip(&line, STR("HTTP/1.1 ")) || line.n < 3 ||
	    FAILED(str_u64(str_sub(line, 0, 3), 599, &status, NULL)) || status < 100)
		return false;
	h->r.status = (int)status;
	h->head_n = (size_t)(stop - in.p) + sizeof end - 1;
	while (cur_left(&c) > 1) {
		c.p++; /* the line feed of the line before */
		if (FAILED(cur_until(&c, '\r', &line, NULL)) || !header_read(h, line))
			return false;
	}
	return true;
}

/* RFC 9112 7.1; trailers are passed over. *ret_whole: the last chunk was there. */
static bool chunks_read(struct str in, struct buf *body, bool *ret_whole)
{
	struct cur c = cur_of(in);
	struct str line, data;
	*ret_whole = false;
	buf_reset(body);
	while (!FAILED(cur_until(&c, '\n', &line, NULL))) {
		char *end = NULL;
		unsigned long n = line.n == 0 || line.n > 16 ? ULONG_MAX : strtoul(line.p, &end, 16);
		if (n > REPLY_MAX || end == line.p)
			return false;
		if (n == 0) {
			*ret_whole = cur_left(&c) >= 2;
			return true;
		}
		if (FAILED(cur_take(&c, n + 2, &data, NULL)))
			return true;
		if (FAILED(buf_add(body, str_sub(data, 0, n), NULL)))
			return false;
	}
	return true;
}

/* false: it is no HTTP; whole: the reply is there. */
static bool reply_read(struct conn *c, struct head *h, bool *ret_whole)
{
	*ret_whole = false;
	if (!head_read(buf_str(&c->in), h))
		return false;
	if (h->head_n == 0)
		return true;
	struct str rest = str_sub(buf_str(&c->in), h->head_n, c->in.n);
	if (c->head_only || h->r.status == 204) {
		*ret_whole = true;
		return rest.n == 0;
	}
	if (h->chunked) {
		bool good = chunks_read(rest, &c->body, ret_whole);
		h->r.body = buf_str(&c->body);
		return good;
	}
	h->r.body = rest;
	*ret_whole = rest.n == h->length;
	return h->has_length && rest.n <= h->length;
}

static void looked(struct conn *c)
{
	struct head h = { 0 };
	bool whole = false;
	if (!reply_read(c, &h, &whole)) {
		broke(c, "a reply that is no HTTP");
		return;
	}
	if (!whole)
		return;
	c->state = CONN_IDLE;
	c->fresh = false;
	c->last = h.close;
	c->s->on_reply(c->ctx, &h.r);
}

/* --- input and output ------------------------------------------------------------------------------------------------*/

static void watch(struct conn *c, unsigned events)
{
	if (FAILED(loop_io_set(c->io, events, NULL)))
		broke(c, "epoll");
}

/* What SSL_read, SSL_write and SSL_do_handshake said when they did not say 1. */
static void not_yet(struct conn *c, int rc, const char *what)
{
	switch (SSL_get_error(c->ssl, rc)) {
	case SSL_ERROR_WANT_READ:
		watch(c, LOOP_READ);
		return;
	case SSL_ERROR_WANT_WRITE:
		watch(c, LOOP_WRITE);
		return;
	default:
		broke(c, what);
	}
}

static void go_write(struct conn *c)
{
	while (c->written < c->out.n) {
		size_t n = 0;
		ERR_clear_error();
		int rc = SSL_write_ex(c->ssl, c->out.p + c->written, c->out.n - c->written, &n);
		if (rc != 1) {
			not_yet(c, rc, "the connection broke while writing");
			return;
		}
		c->written += n;
	}
	c->state = CONN_READING;
	buf_reset(&c->in);
	watch(c, LOOP_READ);
}

static void go_read(struct conn *c)
{
	do {
		char *to = NULL;
		size_t n = 0;
		if (FAILED(buf_room(&c->in, READ_STEP, &to, NULL))) {
			broke(c, "a reply that does not end");
			return;
		}
		ERR_clear_error();
		int rc = SSL_read_ex(c->ssl, to, READ_STEP, &n);
		if (rc != 1) {
			not_yet(c, rc, "the connection ended before a reply");
			return;
		}
		c->in.n += n;
		looked(c);
	} while (c->state == CONN_READING && SSL_has_pending(c->ssl));
}

static void go_shake(struct conn *c)
{
	ERR_clear_error();
	int rc = SSL_do_handshake(c->ssl);
	if (rc != 1) {
		not_yet(c, rc, "the TLS handshake failed");
		return;
	}
	c->state = CONN_WRITING;
	c->s->on_open(c->ctx);
	go_write(c);
}

static void dialled(struct conn *c)
{
	int error = 0;
	socklen_t n = sizeof error;
	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &n) != 0 || error != 0) {
		broke(c, "the server is not reached");
		return;
	}
	c->state = CONN_SHAKING;
	go_shake(c);
}

static void on_event(struct loop *l, unsigned events, void *arg)
{
	struct conn *c = arg;
	(void)l;
	(void)events;
	switch (c->state) {
	case CONN_DIALLING:
		dialled(c);
		return;
	case CONN_SHAKING:
		go_shake(c);
		return;
	case CONN_WRITING:
		go_write(c);
		return;
	case CONN_READING:
		go_read(c);
		return;
	case CONN_IDLE:
	case CONN_CLOSED:
		conn_close(c); /* a word without a question: a goodbye */
		return;
	}
}

static void dial(struct conn *c)
{
	struct sockaddr_storage to;
	socklen_t n = addr_sockaddr(&c->s->addr, c->s->port, &to);
	int on = 1;
	c->fresh = true;
	c->fd = socket(c->s->addr.family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	c->ssl = SSL_new(c->s->tls);
	if (c->fd < 0 || c->ssl == NULL || SSL_set_fd(c->ssl, c->fd) != 1 ||
	    SSL_set_tlsext_host_name(c->ssl, c->s->host) != 1 || SSL_set1_host(c->ssl, c->s->host) != 1 ||
	    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0 ||
	    (connect(c->fd, (const struct sockaddr *)&to, n) != 0 && errno != EINPROGRESS) ||
	    FAILED(loop_watch(c->s->loop, c->fd, LOOP_WRITE, on_event, c, &c->io, NULL))) {
		broke(c, "the server is not reached");
		return;
	}
	SSL_set_connect_state(c->ssl);
	c->state = CONN_DIALLING;
}

static fallible head_write(struct conn *c, const char *method, struct str path)
{
	TRY(buf_add(&c->out, str_z(method), NULL));
	TRY(buf_add_char(&c->out, ' ', NULL));
	TRY(buf_add(&c->out, path, NULL));
	TRY(buf_add(&c->out, STR(" HTTP/1.1\r\nUser-Agent: cairn-bench/" CAIRN_VERSION "\r\nHost: "), NULL));
	TRY(buf_add(&c->out, c->s->authority, NULL));
	return buf_add(&c->out, STR("\r\n"), NULL);
}

void conn_send(struct conn *c, const char *method, struct str path, struct str body)
{
	buf_reset(&c->out);
	c->written = 0;
	c->head_only = strcmp(method, "HEAD") == 0;
	struct rc rc = head_write(c, method, path);
	if (!FAILED(rc) && body.p != NULL)
		rc = buf_addf(&c->out, NULL, "Content-Type: application/jose+json\r\nContent-Length: %zu\r\n", body.n);
	if (!FAILED(rc))
		rc = buf_add(&c->out, STR("\r\n"), NULL);
	if (!FAILED(rc) && body.p != NULL)
		rc = buf_add(&c->out, body, NULL);
	if (FAILED(rc)) {
		broke(c, "a request that is too long");
		return;
	}
	if (c->state == CONN_IDLE && c->last)
		conn_close(c);
	if (c->state == CONN_CLOSED) {
		dial(c);
		return;
	}
	c->state = CONN_WRITING;
	go_write(c);
}

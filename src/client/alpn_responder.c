/* SPDX-License-Identifier: Apache-2.0
 *
 * alpn_responder.c: answers tls-alpn-01 (RFC 8737): a TLS server on one thread that shows the certificate of the name
 * that was asked for and hangs up. One key serves all of its certificates, as long as it lives.
 */
#include "client/listen.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define CONNS_MAX 64
#define TICK_MS 500
#define ACCEPTS_A_ROUND 32
#define SERVER_NAME_MAX 128

struct guest { /* a connection in its handshake */
	struct alpn_responder *r;
	int fd;
	SSL *ssl;
	struct loop_io *io;
	int64_t deadline;
};

struct alpn_responder {
	const struct crypto *crypto;
	struct key *key;
	struct tls_alpn *tls;
	int fd;
	uint16_t port;
	struct loop *loop;
	struct loop_io *listen_io;
	struct loop_timer *tick;
	pthread_t thread;
	bool running;
	struct guest *guests[CONNS_MAX]; /* the loop's thread only */
	size_t guest_count;
};

/* --- certificates -------------------------------------------------------------------------------------------------*/

/* RFC 8738 6: an address is asked for by its name in the reverse tree. */
static struct str server_name_of(const struct addr *a, char out[SERVER_NAME_MAX])
{
	static const char hex[] = "0123456789abcdef";
	struct buf b = BUF_MAX(SERVER_NAME_MAX);
	struct str name = STR_NONE;
	struct rc rc = OK;
	if (a->family == AF_INET)
		rc = buf_addf(&b, NULL, "%u.%u.%u.%u.in-addr.arpa", a->b[3], a->b[2], a->b[1], a->b[0]);
	for (size_t i = 16; a->family == AF_INET6 && i-- > 0;)
		if (!FAILED(rc))
			rc = buf_addf(&b, NULL, "%c.%c.", hex[a->b[i] & 15], hex[a->b[i] >> 4]);
	if (a->family == AF_INET6 && !FAILED(rc))
		rc = buf_add(&b, STR("ip6.arpa"), NULL);
	if (!FAILED(rc)) {
		memcpy(out, b.p, b.n);
		name = str_n(out, b.n);
	}
	buf_done(&b);
	return name;
}

fallible alpn_responder_add(struct alpn_responder *r, const struct ident *ident, const struct sha256 *digest,
			    struct err *err)
{
	AUTO(buf_done) struct buf der = BUF_MAX(CERT_DER_MAX);
	char text[SERVER_NAME_MAX];
	struct addr addr = { 0 };
	struct str name = ident->value;
	bool is_name = ident->type == IDENT_DNS;
	if (!is_name) {
		TRY(addr_read(ident->value, &addr, err));
		name = server_name_of(&addr, text);
	}
	TRY(cert_make_acme(r->crypto, r->key, is_name ? &ident->value : NULL, is_name ? NULL : &addr, digest,
			   clock_now_ms(&clock_system) / 1000, &der, err));
	return tls_alpn_put(r->tls, name, buf_str(&der), key_get_evp(r->key), err);
}

void alpn_responder_remove(struct alpn_responder *r, const struct ident *ident)
{
	char text[SERVER_NAME_MAX];
	struct addr addr = { 0 };
	if (ident->type == IDENT_DNS)
		tls_alpn_remove(r->tls, ident->value);
	else if (!FAILED(addr_read(ident->value, &addr, NULL)))
		tls_alpn_remove(r->tls, server_name_of(&addr, text));
}

/* --- connections --------------------------------------------------------------------------------------------------*/

static void guest_end(struct guest *g)
{
	struct alpn_responder *r = g->r;
	for (size_t i = 0; i < r->guest_count; i++) {
		if (r->guests[i] == g) {
			r->guests[i] = r->guests[--r->guest_count];
			break;
		}
	}
	loop_io_free(g->io);
	tls_alpn_end(g->ssl);
	fd_close(&g->fd);
	free(g);
}

static void guest_go_on(struct guest *g)
{
	enum tls_alpn_wants wants = tls_alpn_step(g->ssl);
	if (wants == TLS_ALPN_OVER || FAILED(loop_io_set(g->io, wants == TLS_ALPN_READ ? LOOP_READ : LOOP_WRITE, NULL)))
		guest_end(g);
}

static void guest_cb(struct loop *l, unsigned events, void *arg)
{
	(void)l;
	(void)events;
	guest_go_on(arg);
}

/* The oldest connection makes room: whoever holds all of them open must not keep the CA's probe out. */
static void guest_begin(struct alpn_responder *r, int fd)
{
	if (r->guest_count == CONNS_MAX) {
		struct guest *oldest = r->guests[0];
		for (size_t i = 1; i < CONNS_MAX; i++)
			if (r->guests[i]->deadline < oldest->deadline)
				oldest = r->guests[i];
		guest_end(oldest);
	}
	struct guest *g = mem_alloc(sizeof *g);
	*g = (struct guest){ .r = r, .fd = fd, .deadline = loop_now_ms(r->loop) + LISTEN_CONN_LIFE_MS };
	g->ssl = tls_alpn_accept(r->tls, fd);
	if (g->ssl == NULL || FAILED(loop_watch(r->loop, fd, LOOP_READ, guest_cb, g, &g->io, NULL))) {
		tls_alpn_end(g->ssl);
		fd_close(&g->fd);
		free(g);
		return;
	}
	if (r->guest_count == 0)
		loop_timer_set(r->tick, TICK_MS);
	r->guests[r->guest_count++] = g;
	guest_go_on(g);
}

static void tick_cb(struct loop *l, void *arg)
{
	struct alpn_responder *r = arg;
	for (size_t i = r->guest_count; i-- > 0;)
		if (r->guests[i]->deadline <= loop_now_ms(l))
			guest_end(r->guests[i]);
	if (r->guest_count > 0)
		loop_timer_set(r->tick, TICK_MS);
}

static void accept_cb(struct loop *l, unsigned events, void *arg)
{
	struct alpn_responder *r = arg;
	(void)l;
	(void)events;
	for (int i = 0; i < ACCEPTS_A_ROUND; i++) {
		int fd = accept4(r->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0 && (errno == EMFILE || errno == ENFILE) && r->guest_count > 0)
			guest_end(r->guests[0]); /* room for the next one */
		if (fd < 0)
			return;
		guest_begin(r, fd);
	}
}

/* --- life ---------------------------------------------------------------------------------------------------------*/

static fallible start(struct alpn_responder *r, const struct addr *addr, uint16_t port, struct err *err)
{
	TRY(key_generate(KEY_P256, 0, &r->key, err));
	TRY(tls_alpn_new(STR("acme-tls/1"), &r->tls, err));
	TRY(listen_open(addr, port, &r->fd, &r->port, err));
	TRY(loop_new(&clock_system, &r->loop, err));
	r->tick = loop_timer_new(r->loop, tick_cb, r);
	TRY(loop_watch(r->loop, r->fd, LOOP_READ, accept_cb, r, &r->listen_io, err));
	TRY(listen_thread(r->loop, &r->thread, err));
	r->running = true;
	return OK;
}

fallible alpn_responder_new(const struct crypto *c, const struct addr *addr, uint16_t port, struct alpn_responder **ret,
			    struct err *err)
{
	struct alpn_responder *r = mem_alloc(sizeof *r);
	r->crypto = c;
	r->fd = -1;
	struct rc rc = start(r, addr, port, err);
	if (FAILED(rc)) {
		alpn_responder_free(r);
		return rc;
	}
	*ret = r;
	return OK;
}

uint16_t alpn_responder_port(const struct alpn_responder *r)
{
	return r->port;
}

void alpn_responder_free(struct alpn_responder *r)
{
	if (r == NULL)
		return;
	if (r->running) {
		loop_stop(r->loop);
		pthread_join(r->thread, NULL);
	}
	while (r->guest_count > 0)
		guest_end(r->guests[0]);
	if (r->listen_io != NULL)
		loop_io_free(r->listen_io);
	if (r->tick != NULL)
		loop_timer_free(r->tick);
	if (r->loop != NULL)
		loop_free(r->loop);
	fd_close(&r->fd);
	tls_alpn_free(r->tls);
	key_free(r->key);
	free(r);
}

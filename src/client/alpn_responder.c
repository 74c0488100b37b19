/* SPDX-License-Identifier: Apache-2.0
 *
 * alpn_responder.c: answers tls-alpn-01 (RFC 8737): a TLS server on one thread that shows the certificate of the name
 * that was asked for and hangs up. One key serves all of its certificates, as long as it lives.
 */
#include "client/listen.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define SERVER_NAME_MAX 128

struct handshake {
	struct guest guest;
	SSL *ssl;
};

struct alpn_responder {
	const struct crypto *crypto;
	struct key *key;
	struct tls_alpn *tls;
	struct listener listener;
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

static void handshake_ready(struct guest *g)
{
	enum tls_alpn_wants wants = tls_alpn_step(((struct handshake *)g)->ssl);
	if (wants == TLS_ALPN_OVER || FAILED(loop_io_set(g->io, wants == TLS_ALPN_READ ? LOOP_READ : LOOP_WRITE, NULL)))
		guest_end(g);
}

static void handshake_ended(struct guest *g)
{
	tls_alpn_end(((struct handshake *)g)->ssl);
	free(g);
}

static void arrived(void *ctx, int fd)
{
	struct alpn_responder *r = ctx;
	struct handshake *h = mem_alloc(sizeof *h);
	h->ssl = tls_alpn_accept(r->tls, fd);
	if (h->ssl == NULL) {
		fd_close(&fd);
		free(h);
	} else if (guest_wait(&r->listener, &h->guest, fd))
		handshake_ready(&h->guest);
}

static const struct listener_ops alpn_responder_ops = { arrived, handshake_ready, handshake_ended };

/* --- life ---------------------------------------------------------------------------------------------------------*/

static fallible start(struct alpn_responder *r, const struct addr *addr, uint16_t port, struct err *err)
{
	TRY(key_generate(KEY_P256, 0, &r->key, err));
	TRY(tls_alpn_new(STR("acme-tls/1"), &r->tls, err));
	return listener_start(&r->listener, addr, port, &alpn_responder_ops, r, err);
}

fallible alpn_responder_new(const struct crypto *c, const struct addr *addr, uint16_t port, struct alpn_responder **ret,
			    struct err *err)
{
	struct alpn_responder *r = mem_alloc(sizeof *r);
	r->crypto = c;
	r->listener = (struct listener)LISTENER_CLOSED; /* keys come before it */
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
	return r->listener.port;
}

void alpn_responder_free(struct alpn_responder *r)
{
	if (r == NULL)
		return;
	listener_stop(&r->listener);
	tls_alpn_free(r->tls);
	key_free(r->key);
	free(r);
}

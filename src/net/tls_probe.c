/* SPDX-License-Identifier: Apache-2.0
 *
 * tls_probe.c: one outgoing handshake, to see which certificate a server shows (RFC 8737). Nothing is trusted and
 * nothing is verified but that the server holds the certificate's key. OpenSSL sees no socket, only memory: so every
 * byte and every wait is counted here, and no write of its can raise SIGPIPE.
 */
#include "net/dial.h"
#include "net/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdlib.h>

#define RSA_BITS_MAX 8192 /* the cost of a verification is the peer's choice (THREATS A37) */
#define ALPN_MAX 64

struct tls_client {
	SSL_CTX *ctx;
};

struct shake {
	const struct tls_probe_request *rq;
	SSL *ssl;
	BIO *from_peer, *to_peer; /* owned by ssl */
	int fd;
	int64_t until_mono_ms;
	size_t received;
};

static void shake_done(struct shake *h)
{
	SSL_free(h->ssl);
	fd_close(&h->fd);
	ERR_clear_error();
}

/* --- settings -----------------------------------------------------------------------------------------------------*/

/* Called when the server's certificates are there, before any signature is verified with a key of theirs. */
static int judge_key(X509_STORE_CTX *store, void *arg)
{
	(void)arg;
	const X509 *cert = X509_STORE_CTX_get0_cert(store);
	EVP_PKEY *key = cert == NULL ? NULL : X509_get0_pubkey(cert);
	bool too_big = key != NULL && EVP_PKEY_is_a(key, "RSA") == 1 && EVP_PKEY_get_bits(key) > RSA_BITS_MAX;
	if (key != NULL && !too_big)
		return 1;
	X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
	return 0;
}

fallible tls_client_new(struct tls_client **ret, struct err *err)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	if (ctx == NULL || SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 ||
	    SSL_CTX_set_max_proto_version(ctx, 0) != 1) { /* whatever openssl.cnf says */
		SSL_CTX_free(ctx);
		ERR_clear_error();
		FAIL(err, ERR_INTERNAL, "OpenSSL refuses the TLS settings");
	}
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_max_cert_list(ctx, TLS_PROBE_CHAIN_MAX);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL); /* or what judge_key says would not count */
	SSL_CTX_set_cert_verify_callback(ctx, judge_key, NULL);
	struct tls_client *c = mem_alloc(sizeof *c);
	c->ctx = ctx;
	*ret = c;
	return OK;
}

void tls_client_free(struct tls_client *c)
{
	if (c == NULL)
		return;
	SSL_CTX_free(c->ctx);
	free(c);
}

static fallible shake_begin(const struct tls_client *c, struct shake *h, struct arena *mem, struct err *err)
{
	uint8_t alpn[1 + ALPN_MAX];
	char *name;
	TRY(str_dupz(mem, h->rq->server_name, &name, err));
	if (h->rq->alpn.n == 0 || h->rq->alpn.n > ALPN_MAX)
		FAIL(err, ERR_INTERNAL, "a protocol name of %zu bytes; wanted 1 to %d", h->rq->alpn.n, ALPN_MAX);
	alpn[0] = (uint8_t)h->rq->alpn.n;
	memcpy(alpn + 1, h->rq->alpn.p, h->rq->alpn.n);
	h->ssl = SSL_new(c->ctx);
	h->from_peer = BIO_new(BIO_s_mem());
	h->to_peer = BIO_new(BIO_s_mem());
	if (h->ssl == NULL || h->from_peer == NULL || h->to_peer == NULL) {
		BIO_free(h->from_peer);
		BIO_free(h->to_peer);
		FAIL(err, ERR_INTERNAL, "out of memory");
	}
	SSL_set_bio(h->ssl, h->from_peer, h->to_peer);
	BIO_set_mem_eof_return(h->from_peer, -1); /* empty means: wait for more */
	SSL_set_connect_state(h->ssl);
	/* This one says 0 when it is fine. */
	if (SSL_set_alpn_protos(h->ssl, alpn, 1 + (unsigned)h->rq->alpn.n) != 0 ||
	    SSL_set_tlsext_host_name(h->ssl, name) != 1)
		FAIL(err, ERR_INTERNAL, "OpenSSL refuses the server name or protocol of this handshake");
	return OK;
}

/* --- the wire -----------------------------------------------------------------------------------------------------*/

static fallible wait_for(const struct shake *h, short events, struct err *err)
{
	for (;;) {
		struct pollfd p = { .fd = h->fd, .events = events };
		int64_t left = h->until_mono_ms - clock_mono_ms(&clock_system);
		int n = left <= 0 ? 0 : poll(&p, 1, left > 600000 ? 600000 : (int)left);
		if (n > 0)
			return OK;
		if (n == 0 && clock_mono_ms(&clock_system) >= h->until_mono_ms)
			FAIL(err, ERR_TIMEOUT, "timeout during the TLS handshake (does this port speak TLS?)");
		if (n < 0 && errno != EINTR)
			FAIL(err, ERR_IO, "poll: %s", strerror(errno));
	}
}

static fallible wire_broken(int os_error, struct err *err)
{
	FAIL(err, ERR_TLS, "the server %s during the TLS handshake",
	     os_error == ECONNRESET || os_error == EPIPE ? "reset the connection" : "lost the connection");
}

static fallible wire_send(struct shake *h, struct err *err)
{
	char part[4096];
	for (;;) {
		int n = BIO_read(h->to_peer, part, sizeof part);
		if (n <= 0)
			return OK;
		for (struct str left = str_n(part, (size_t)n); left.n > 0;) {
			ssize_t sent = send(h->fd, left.p, left.n, MSG_NOSIGNAL);
			if (sent >= 0)
				left = str_sub(left, (size_t)sent, left.n);
			else if (errno == EAGAIN)
				TRY(wait_for(h, POLLOUT, err));
			else if (errno != EINTR)
				return wire_broken(errno, err);
		}
	}
}

static fallible wire_receive(struct shake *h, struct err *err)
{
	char part[4096];
	for (;;) {
		TRY(wait_for(h, POLLIN, err));
		ssize_t n = recv(h->fd, part, sizeof part, 0);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n < 0)
			return wire_broken(errno, err);
		if (n == 0)
			FAIL(err, ERR_TLS, "the server closed the connection during the TLS handshake");
		h->received += (size_t)n;
		if (h->received > TLS_PROBE_BYTES_MAX)
			FAIL(err, ERR_TLS, "the server sent more than %d bytes in the TLS handshake",
			     TLS_PROBE_BYTES_MAX);
		if (BIO_write(h->from_peer, part, (int)n) != (int)n)
			FAIL(err, ERR_INTERNAL, "out of memory");
		return OK;
	}
}

/* --- what went wrong, in plain words ------------------------------------------------------------------------------*/

static fallible fail_alert(const struct shake *h, int alert, struct err *err)
{
	if (alert == SSL_AD_NO_APPLICATION_PROTOCOL)
		FAIL(err, ERR_TLS, "the server does not speak %.*s: it ended the TLS handshake with alert \"%s\"",
		     STR_FMT(h->rq->alpn), SSL_alert_desc_string_long(alert));
	if (alert == SSL_AD_PROTOCOL_VERSION)
		FAIL(err, ERR_TLS,
		     "the server speaks neither TLS 1.2 nor 1.3: it ended the handshake with alert \"%s\"",
		     SSL_alert_desc_string_long(alert));
	FAIL(err, ERR_TLS, "the server ended the TLS handshake with alert \"%s\"", SSL_alert_desc_string_long(alert));
}

static fallible fail_words(const struct shake *h, unsigned long e, struct err *err)
{
	const char *reason = ERR_reason_error_string(e);
	int code = ERR_GET_REASON(e);
	if (ERR_GET_LIB(e) != ERR_LIB_SSL)
		code = 0;
	if (reason != NULL)
		err_cause(err, "%s", reason);
	if (code > SSL_AD_REASON_OFFSET && code < SSL_AD_REASON_OFFSET + 256)
		return fail_alert(h, code - SSL_AD_REASON_OFFSET, err);
	switch (code) {
	case SSL_R_WRONG_VERSION_NUMBER: /* plain text looks like a record of an absurd version or length */
	case SSL_R_HTTP_REQUEST:
	case SSL_R_PACKET_LENGTH_TOO_LONG:
	case SSL_R_RECORD_TOO_SMALL:
		FAIL(err, ERR_TLS, "the server does not speak TLS on this port");
	case SSL_R_UNSUPPORTED_PROTOCOL:
	case SSL_R_VERSION_TOO_LOW:
		FAIL(err, ERR_TLS, "the server speaks neither TLS 1.2 nor 1.3");
	case SSL_R_EXCESSIVE_MESSAGE_SIZE:
		FAIL(err, ERR_TLS, "the server's certificates, or another message, are larger than %d bytes",
		     TLS_PROBE_CHAIN_MAX);
	case SSL_R_CERTIFICATE_VERIFY_FAILED:
		FAIL(err, ERR_TLS, "the server's certificate has a key of unknown kind, or of RSA with over %d bits",
		     RSA_BITS_MAX);
	default:
		FAIL(err, ERR_TLS, "TLS handshake failed: %.200s", reason == NULL ? "no reason given" : reason);
	}
}

/* --- the handshake ------------------------------------------------------------------------------------------------*/

static fallible shake_run(struct shake *h, struct err *err)
{
	for (;;) {
		ERR_clear_error();
		int rc = SSL_do_handshake(h->ssl);
		int want = rc == 1 ? SSL_ERROR_NONE : SSL_get_error(h->ssl, rc);
		unsigned long e = ERR_peek_error();
		if (want != SSL_ERROR_NONE && want != SSL_ERROR_WANT_READ) {
			struct rc ignored = wire_send(h, NULL); /* our alert: the server's log may show it */
			(void)ignored;
			return fail_words(h, e, err);
		}
		TRY(wire_send(h, err));
		if (want == SSL_ERROR_NONE)
			return OK;
		TRY(wire_receive(h, err));
	}
}

static fallible reply_fill(const struct shake *h, struct arena *mem, struct tls_probe_reply *ret, struct err *err)
{
	const unsigned char *chosen = NULL;
	unsigned chosen_n = 0;
	SSL_get0_alpn_selected(h->ssl, &chosen, &chosen_n);
	ret->alpn = str_dup(mem, str_n(chosen, chosen_n));
	ret->version = SSL_get_version(h->ssl);
	X509 *cert = SSL_get0_peer_certificate(h->ssl);
	int n = cert == NULL ? 0 : i2d_X509(cert, NULL);
	if (n <= 0 || n > TLS_PROBE_CHAIN_MAX)
		FAIL(err, ERR_TLS, "the server showed no certificate");
	unsigned char *der = arena_alloc(mem, (size_t)n), *at = der;
	(void)i2d_X509(cert, &at);
	ret->certificate = str_n(der, (size_t)n);
	return OK;
}

fallible tls_probe(const struct tls_client *c, const struct tls_probe_request *rq, struct arena *mem,
		   struct tls_probe_reply *ret, struct err *err)
{
	*ret = (struct tls_probe_reply){ 0 };
	if (rq->timeout_ms <= 0)
		FAIL(err, ERR_TIMEOUT, "no time is left for this handshake");
	AUTO(shake_done)
	struct shake h = { .rq = rq, .fd = -1, .until_mono_ms = clock_mono_ms(&clock_system) + rq->timeout_ms };
	TRY(shake_begin(c, &h, mem, err));
	bool short_connect = rq->connect_timeout_ms > 0 && rq->connect_timeout_ms < rq->timeout_ms;
	TRY(dial(&rq->addr, rq->port, short_connect ? rq->connect_timeout_ms : rq->timeout_ms, &h.fd, err));
	ret->connected = true;
	TRY(shake_run(&h, err));
	TRY(reply_fill(&h, mem, ret, err));
	(void)SSL_shutdown(h.ssl);
	/* What the peer makes of our goodbye changes nothing. */
	h.until_mono_ms = 0;
	struct rc ignored = wire_send(&h, NULL);
	(void)ignored;
	return OK;
}

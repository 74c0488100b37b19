/* SPDX-License-Identifier: Apache-2.0
 *
 * wire.c: non-blocking reads and writes, with OpenSSL's many ways to say "not now" in four words.
 */
#include "http/wire.h"

#include "http/conn.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

static enum wire_end ssl_end(const struct conn *c, int r)
{
	int e = SSL_get_error(c->ssl, r);
	ERR_clear_error(); /* what is left here would be taken for the next connection's fault */
	return e == SSL_ERROR_WANT_READ ? WIRE_WANT_READ : e == SSL_ERROR_WANT_WRITE ? WIRE_WANT_WRITE : WIRE_OVER;
}

static enum wire_end errno_end(enum wire_end when_blocked)
{
	return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? when_blocked : WIRE_OVER;
}

enum wire_end wire_read(const struct conn *c, char *p, size_t n, size_t *ret, bool *ret_more)
{
	if (c->ssl != NULL) {
		ERR_clear_error();
		int r = SSL_read_ex(c->ssl, p, n, ret);
		enum wire_end end = r == 1 ? WIRE_SOME : ssl_end(c, r);
		/* a read that waits for a write has to be tried again after it */
		*ret_more = end == WIRE_WANT_WRITE || (end == WIRE_SOME && SSL_has_pending(c->ssl) == 1);
		return end;
	}
	ssize_t got = recv(c->fd, p, n, 0);
	*ret_more = got == (ssize_t)n;
	if (got < 0)
		return errno_end(WIRE_WANT_READ);
	*ret = (size_t)got;
	return got == 0 ? WIRE_OVER : WIRE_SOME;
}

enum wire_end wire_write(const struct conn *c, struct str s, size_t *ret)
{
	if (c->ssl != NULL) {
		ERR_clear_error();
		int r = SSL_write_ex(c->ssl, s.p, s.n, ret);
		return r == 1 ? WIRE_SOME : ssl_end(c, r);
	}
	ssize_t sent = send(c->fd, s.p, s.n, MSG_NOSIGNAL);
	if (sent < 0)
		return errno_end(WIRE_WANT_WRITE);
	*ret = (size_t)sent;
	return WIRE_SOME;
}

enum wire_end wire_shake(struct conn *c)
{
	/* Not before the first byte: until then a connection costs 1 KiB and not 10. */
	if (c->ssl == NULL && (c->ssl = tls_server_accept(c->shard->server->tls, c->fd)) == NULL)
		return WIRE_OVER;
	ERR_clear_error();
	int r = SSL_do_handshake(c->ssl);
	return r == 1 ? WIRE_SOME : ssl_end(c, r);
}

/* Written at most without a signature: a HelloRetryRequest of 99 bytes. At least with one: 740 (TLS 1.3, P-256). */
#define FLIGHT_MIN 256

bool wire_answered(const struct conn *c)
{
	return c->ssl != NULL && BIO_number_written(SSL_get_wbio(c->ssl)) > FLIGHT_MIN;
}

void wire_bye(const struct conn *c)
{
	if (c->ssl == NULL)
		return;
	ERR_clear_error();
	(void)SSL_shutdown(c->ssl);
	ERR_clear_error();
}

void wire_close(struct conn *c)
{
	SSL_free(c->ssl);
	c->ssl = NULL;
	fd_close(&c->fd);
}

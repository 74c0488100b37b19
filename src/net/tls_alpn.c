/* SPDX-License-Identifier: Apache-2.0
 *
 * tls_alpn.c: the server's side of handshakes that exist for the certificate they show (RFC 8737). The client hello
 * decides everything: the protocol must be ours, and the server name must be one that has a certificate here.
 */
#include "net/tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdlib.h>

#define NAMES_MAX 256
#define PROTOCOL_MAX 64
#define SERVER_NAME_MAX 255

struct shown {
	char *name;
	X509 *certificate;
	EVP_PKEY *key;
};

struct tls_alpn {
	SSL_CTX *ctx;
	uint8_t protocol[PROTOCOL_MAX];
	size_t protocol_n;
	pthread_mutex_t lock; /* the table */
	struct shown shown[NAMES_MAX];
	size_t count;
};

static void shown_done(struct shown *s)
{
	free(s->name);
	X509_free(s->certificate);
	EVP_PKEY_free(s->key);
	*s = (struct shown){ 0 };
}

static struct shown *find(struct tls_alpn *t, struct str name)
{
	for (size_t i = 0; i < t->count; i++)
		if (str_eq_nocase(str_z(t->shown[i].name), name))
			return &t->shown[i];
	return NULL;
}

/* --- what the client hello decides --------------------------------------------------------------------------------*/

static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *outlen, const unsigned char *in,
			   unsigned int inlen, void *arg)
{
	const struct tls_alpn *t = arg;
	(void)ssl;
	for (unsigned i = 0; i < inlen && in[i] < inlen - i; i += 1u + in[i]) {
		if (in[i] == t->protocol_n && memcmp(in + i + 1, t->protocol, t->protocol_n) == 0) {
			*out = in + i + 1;
			*outlen = in[i];
			return SSL_TLSEXT_ERR_OK;
		}
	}
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static int offers_protocol(SSL *ssl, int *alert, void *arg)
{
	const unsigned char *data;
	size_t n;
	(void)arg;
	/* Without the extension nobody asks choose_protocol, and this is no server for others. */
	if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_application_layer_protocol_negotiation, &data, &n) == 1)
		return SSL_CLIENT_HELLO_SUCCESS;
	*alert = SSL_AD_NO_APPLICATION_PROTOCOL;
	return SSL_CLIENT_HELLO_ERROR;
}

static int choose_certificate(SSL *ssl, void *arg)
{
	struct tls_alpn *t = arg;
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	int ok = 0;
	if (name == NULL)
		return 0;
	pthread_mutex_lock(&t->lock);
	const struct shown *s = find(t, str_z(name));
	if (s != NULL)
		ok = SSL_use_certificate(ssl, s->certificate) == 1 && SSL_use_PrivateKey(ssl, s->key) == 1;
	pthread_mutex_unlock(&t->lock);
	return ok;
}

/* --- life ---------------------------------------------------------------------------------------------------------*/

fallible tls_alpn_new(struct str protocol, struct tls_alpn **ret, struct err *err)
{
	if (protocol.n == 0 || protocol.n > PROTOCOL_MAX)
		FAIL(err, ERR_INTERNAL, "a protocol name of %zu bytes; wanted 1 to %d", protocol.n, PROTOCOL_MAX);
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	if (ctx == NULL || SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1) {
		SSL_CTX_free(ctx);
		ERR_clear_error();
		FAIL(err, ERR_INTERNAL, "OpenSSL refuses the TLS settings");
	}
	struct tls_alpn *t = mem_alloc(sizeof *t);
	t->ctx = ctx;
	t->protocol_n = protocol.n;
	memcpy(t->protocol, protocol.p, protocol.n);
	pthread_mutex_init(&t->lock, NULL);
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	(void)SSL_CTX_set_num_tickets(ctx, 0);
	SSL_CTX_set_client_hello_cb(ctx, offers_protocol, NULL);
	SSL_CTX_set_alpn_select_cb(ctx, choose_protocol, t);
	SSL_CTX_set_cert_cb(ctx, choose_certificate, t);
	*ret = t;
	return OK;
}

void tls_alpn_free(struct tls_alpn *t)
{
	if (t == NULL)
		return;
	while (t->count > 0)
		shown_done(&t->shown[--t->count]);
	SSL_CTX_free(t->ctx);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

static fallible shown_make(struct str name, struct str der, EVP_PKEY *key, struct shown *ret, struct err *err)
{
	const unsigned char *p = (const unsigned char *)der.p;
	if (name.n == 0 || name.n > SERVER_NAME_MAX || memchr(name.p, '\0', name.n) != NULL)
		FAIL(err, ERR_INTERNAL, "a server name of %zu bytes; wanted 1 to %d", name.n, SERVER_NAME_MAX);
	X509 *certificate = d2i_X509(NULL, &p, (long)der.n);
	if (certificate == NULL || X509_check_private_key(certificate, key) != 1 || EVP_PKEY_up_ref(key) != 1) {
		X509_free(certificate);
		ERR_clear_error();
		FAIL(err, ERR_INTERNAL, "a certificate that cannot be shown");
	}
	*ret = (struct shown){ .name = mem_dupz(name), .certificate = certificate, .key = key };
	return OK;
}

fallible tls_alpn_put(struct tls_alpn *t, struct str server_name, struct str certificate_der, EVP_PKEY *key,
		      struct err *err)
{
	struct shown made = { 0 };
	TRY(shown_make(server_name, certificate_der, key, &made, err));
	pthread_mutex_lock(&t->lock);
	struct shown *at = find(t, server_name);
	bool full = at == NULL && t->count == NAMES_MAX;
	if (at == NULL && !full)
		at = &t->shown[t->count++];
	if (!full) {
		shown_done(at);
		*at = made;
	}
	pthread_mutex_unlock(&t->lock);
	if (full) {
		shown_done(&made);
		FAIL(err, ERR_TOO_LARGE, "%d certificates are shown already", NAMES_MAX);
	}
	return OK;
}

void tls_alpn_remove(struct tls_alpn *t, struct str server_name)
{
	pthread_mutex_lock(&t->lock);
	struct shown *at = find(t, server_name);
	if (at != NULL) {
		shown_done(at);
		*at = t->shown[--t->count];
		t->shown[t->count] = (struct shown){ 0 };
	}
	pthread_mutex_unlock(&t->lock);
}

/* --- one connection -----------------------------------------------------------------------------------------------*/

SSL *tls_alpn_accept(struct tls_alpn *t, int fd)
{
	ERR_clear_error();
	SSL *ssl = SSL_new(t->ctx);
	if (ssl != NULL && SSL_set_fd(ssl, fd) != 1) {
		SSL_free(ssl);
		return NULL;
	}
	if (ssl != NULL)
		SSL_set_accept_state(ssl);
	return ssl;
}

enum tls_alpn_wants tls_alpn_step(SSL *ssl)
{
	ERR_clear_error();
	int n = SSL_do_handshake(ssl);
	if (n == 1) {
		(void)SSL_shutdown(ssl); /* RFC 8737 3: nothing follows */
		return TLS_ALPN_OVER;
	}
	int why = SSL_get_error(ssl, n);
	return why == SSL_ERROR_WANT_READ    ? TLS_ALPN_READ
	       : why == SSL_ERROR_WANT_WRITE ? TLS_ALPN_WRITE
					     : TLS_ALPN_OVER;
}

void tls_alpn_end(SSL *ssl)
{
	SSL_free(ssl);
	ERR_clear_error();
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * tls.c: builds an SSL_CTX from a chain and a key, and swaps it for a new one while connections are served: each SSL
 * holds its own reference, so the old context lives as long as its last connection.
 */
#include "net/tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdlib.h>

#define FILE_MAX (1024 * 1024)

struct tls_server {
	char *chain_path, *key_path;
	pthread_mutex_t lock; /* ctx */
	SSL_CTX *ctx;
};

static void ctx_auto(SSL_CTX **p)
{
	SSL_CTX_free(*p);
}

static void bio_auto(BIO **p)
{
	BIO_free(*p);
}

static void x509_auto(X509 **p)
{
	X509_free(*p);
}

static void pkey_auto(EVP_PKEY **p)
{
	EVP_PKEY_free(*p);
}

static void secret_buf_done(struct buf *b)
{
	if (b->p != NULL)
		OPENSSL_cleanse(b->p, b->cap);
	buf_done(b);
}

/* OpenSSL's own reason, for the log; empties its queue, which would confuse the next SSL_get_error. */
static void openssl_cause(struct err *err)
{
	unsigned long e = ERR_peek_error();
	const char *reason = e == 0 ? NULL : ERR_reason_error_string(e);
	if (reason != NULL)
		err_cause(err, "%s", reason);
	ERR_clear_error();
}

#define FAIL_CONFIG(err, ...)                            \
	do {                                             \
		err_set((err), ERR_CONFIG, __VA_ARGS__); \
		openssl_cause(err);                      \
		return (struct rc){ ERR_CONFIG };        \
	} while (0)

/* A file that cannot be read is the operator's fault to mend: the text of file_read, the kind of a wrong setting. */
static fallible read_setting_file(const char *path, struct buf *ret, struct err *err)
{
	struct err why = { 0 };
	if (FAILED(file_read(path, FILE_MAX, ret, &why)))
		FAIL(err, ERR_CONFIG, "%s", why.detail);
	return OK;
}

/* Never asks on a terminal: a key with a passphrase is refused instead. */
static int no_passphrase(char *buf, int size, int rwflag, void *u)
{
	(void)buf;
	(void)size;
	(void)rwflag;
	(void)u;
	return -1;
}

static fallible load_chain(SSL_CTX *ctx, const char *path, struct err *err)
{
	AUTO(buf_done) struct buf pem = BUF_MAX(FILE_MAX);
	TRY(read_setting_file(path, &pem, err));
	AUTO(bio_auto) BIO *bio = BIO_new_mem_buf(pem.p == NULL ? "" : pem.p, (int)pem.n);
	if (bio == NULL)
		FAIL(err, ERR_INTERNAL, "out of memory");
	size_t count = 0;
	for (;; count++) {
		ERR_clear_error();
		AUTO(x509_auto) X509 *cert = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL);
		if (cert == NULL)
			break;
		if (count == 0 && SSL_CTX_use_certificate(ctx, cert) != 1)
			FAIL_CONFIG(err, "%s: the first certificate cannot be served", path);
		/* up_ref'ing variant: cert is freed here in every case */
		if (count > 0 && SSL_CTX_add1_chain_cert(ctx, cert) != 1)
			FAIL_CONFIG(err, "%s: certificate %zu cannot be served", path, count + 1);
	}
	if (count == 0)
		FAIL_CONFIG(err, "%s holds no PEM certificate", path);
	/* The end of the file looks like this; anything else is a damaged block. */
	if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
		FAIL_CONFIG(err, "%s: certificate %zu cannot be read", path, count + 1);
	ERR_clear_error();
	return OK;
}

static fallible load_key(SSL_CTX *ctx, const char *path, const char *chain_path, struct err *err)
{
	AUTO(secret_buf_done) struct buf pem = BUF_MAX(FILE_MAX);
	TRY(read_setting_file(path, &pem, err));
	AUTO(bio_auto) BIO *bio = BIO_new_mem_buf(pem.p == NULL ? "" : pem.p, (int)pem.n);
	if (bio == NULL)
		FAIL(err, ERR_INTERNAL, "out of memory");
	ERR_clear_error();
	AUTO(pkey_auto) EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
	if (key == NULL)
		FAIL_CONFIG(err, "%s holds no private key in PEM without passphrase", path);
	const X509 *cert = SSL_CTX_get0_certificate(ctx);
	if (cert == NULL || X509_check_private_key(cert, key) != 1)
		FAIL_CONFIG(err, "the key in %s is not that of the first certificate in %s", path, chain_path);
	if (SSL_CTX_use_PrivateKey(ctx, key) != 1)
		FAIL_CONFIG(err, "the key in %s cannot be used", path);
	return OK;
}

/* RFC 7301 3.2: a client that offers only what we do not speak gets the alert; one that offers nothing gets HTTP/1.1.
 */
static int choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *outlen, const unsigned char *in,
		       unsigned int inlen, void *arg)
{
	(void)ssl;
	(void)arg;
	static const unsigned char ours[] = "http/1.1";
	for (unsigned i = 0; i < inlen && in[i] < inlen - i; i += 1u + in[i]) {
		if (in[i] == sizeof ours - 1 && memcmp(in + i + 1, ours, sizeof ours - 1) == 0) {
			*out = in + i + 1;
			*outlen = in[i];
			return SSL_TLSEXT_ERR_OK;
		}
	}
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static void set_options(SSL_CTX *ctx)
{
	/* A peer that goes without close_notify is a closed connection, nothing more: HTTP frames its own messages. */
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET |
					 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA |
					 SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				      SSL_MODE_RELEASE_BUFFERS);
	/* No resumption: ACME clients come once in weeks, and tickets cost 15 % of a handshake and a key to rotate. */
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	(void)SSL_CTX_set_num_tickets(ctx, 0);
	/* One read instead of two a record. */
	SSL_CTX_set_read_ahead(ctx, 1);
	SSL_CTX_set_alpn_select_cb(ctx, choose_alpn, NULL);
}

static fallible make_ctx(const char *chain_path, const char *key_path, SSL_CTX **ret, struct err *err)
{
	AUTO(ctx_auto) SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	if (ctx == NULL || SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 ||
	    SSL_CTX_set_cipher_list(ctx, "ECDHE+AESGCM:ECDHE+CHACHA20") != 1) {
		err_set(err, ERR_INTERNAL, "OpenSSL refuses the TLS settings");
		openssl_cause(err);
		return (struct rc){ ERR_INTERNAL };
	}
	set_options(ctx);
	TRY(load_chain(ctx, chain_path, err));
	TRY(load_key(ctx, key_path, chain_path, err));
	*ret = TAKE(ctx);
	return OK;
}

fallible tls_server_new(const char *chain_path, const char *key_path, struct tls_server **ret, struct err *err)
{
	SSL_CTX *ctx = NULL;
	TRY(make_ctx(chain_path, key_path, &ctx, err));
	struct tls_server *t = mem_alloc(sizeof *t);
	t->chain_path = mem_dupz(str_z(chain_path));
	t->key_path = mem_dupz(str_z(key_path));
	pthread_mutex_init(&t->lock, NULL);
	t->ctx = ctx;
	*ret = t;
	return OK;
}

fallible tls_server_reload(struct tls_server *t, struct err *err)
{
	SSL_CTX *ctx = NULL;
	TRY(make_ctx(t->chain_path, t->key_path, &ctx, err));
	pthread_mutex_lock(&t->lock);
	SSL_CTX *old = t->ctx;
	t->ctx = ctx;
	pthread_mutex_unlock(&t->lock);
	SSL_CTX_free(old);
	return OK;
}

SSL *tls_server_accept(struct tls_server *t, int fd)
{
	ERR_clear_error();
	pthread_mutex_lock(&t->lock);
	SSL *ssl = SSL_new(t->ctx);
	pthread_mutex_unlock(&t->lock);
	if (ssl == NULL)
		return NULL;
	if (SSL_set_fd(ssl, fd) != 1) {
		SSL_free(ssl);
		return NULL;
	}
	SSL_set_accept_state(ssl);
	return ssl;
}

void tls_server_free(struct tls_server *t)
{
	if (t == NULL)
		return;
	SSL_CTX_free(t->ctx);
	pthread_mutex_destroy(&t->lock);
	free(t->chain_path);
	free(t->key_path);
	free(t);
}

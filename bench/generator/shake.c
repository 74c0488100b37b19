/* SPDX-License-Identifier: Apache-2.0
 *
 * shake.c: answers tls-alpn-01 (RFC 8737). One certificate serves all: when a client hello names its name, name and
 * digest are put into it and it is signed again; it is sent before the next hello is read. What this costs is dear and
 * none of the server's business, so it is counted apart.
 */
#include "generator.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <time.h>

#define BATCH 16
#define LIFE_S (7 * 86400L)
#define PROTOCOL \
	"\x0a"   \
	"acme-tls/1"

struct shake {
	struct bench *b;
	int fd;
	struct loop_io *io;
	SSL_CTX *tls;
	X509 *shown;
	struct bench_key *key;
	struct visitor *visitors;
};

struct visitor {
	struct shake *s;
	int fd;
	struct loop_io *io;
	SSL *ssl;
	struct visitor *prev, *next;
};

/* --- the certificate -------------------------------------------------------------------------------------------------*/

static bool extension_add(X509 *x, const char *oid, bool critical, struct str value)
{
	ASN1_OBJECT *o = OBJ_txt2obj(oid, 1);
	ASN1_OCTET_STRING *v = ASN1_OCTET_STRING_new();
	X509_EXTENSION *e = NULL;
	if (o != NULL && v != NULL && ASN1_OCTET_STRING_set(v, (const unsigned char *)value.p, (int)value.n) == 1)
		e = X509_EXTENSION_create_by_OBJ(NULL, o, critical, v);
	bool good = e != NULL && X509_add_ext(x, e, -1) == 1;
	X509_EXTENSION_free(e);
	ASN1_OCTET_STRING_free(v);
	ASN1_OBJECT_free(o);
	return good;
}

/* For this name and this digest, signed. */
static bool certificate_set(struct shake *s, struct str name, const uint8_t hash[32])
{
	AUTO(buf_done) struct buf san = BUF_MAX(512);
	char digest[2 + 32] = { 4, 32 };
	struct derw w = derw_begin(&san, NULL);
	derw_open(&w, DER_SEQUENCE);
	derw_put(&w, DER_CONTEXT(2), name);
	derw_close(&w);
	memcpy(digest + 2, hash, 32);
	while (X509_get_ext_count(s->shown) > 0)
		X509_EXTENSION_free(X509_delete_ext(s->shown, 0));
	return !FAILED(derw_end(&w)) && extension_add(s->shown, "2.5.29.17", false, buf_str(&san)) &&
	       extension_add(s->shown, "1.3.6.1.5.5.7.1.31", true, str_n(digest, sizeof digest)) &&
	       X509_sign(s->shown, bench_key_evp(s->key), EVP_sha256()) > 0;
}

static bool certificate_new(struct shake *s)
{
	X509_NAME *name = X509_NAME_new();
	s->shown = X509_new();
	bool good = name != NULL && s->shown != NULL && X509_set_version(s->shown, X509_VERSION_3) == 1 &&
		    ASN1_INTEGER_set(X509_get_serialNumber(s->shown), 1) == 1 &&
		    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"acme-tls/1", -1, -1,
					       0) == 1 &&
		    X509_set_subject_name(s->shown, name) == 1 && X509_set_issuer_name(s->shown, name) == 1 &&
		    X509_gmtime_adj(X509_getm_notBefore(s->shown), -LIFE_S) != NULL &&
		    X509_gmtime_adj(X509_getm_notAfter(s->shown), LIFE_S) != NULL &&
		    X509_set_pubkey(s->shown, bench_key_evp(s->key)) == 1;
	X509_NAME_free(name);
	return good && X509_sign(s->shown, bench_key_evp(s->key), EVP_sha256()) > 0;
}

/* --- hands -----------------------------------------------------------------------------------------------------------*/

static int on_name(SSL *ssl, int *alert, void *arg)
{
	struct shake *s = arg;
	struct str name = str_z(SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name));
	struct client_answer a;
	uint8_t hash[32];
	if (clients_answer(s->b, name, &a) && !FAILED(client_answer_hash(s->b, &a, hash)) &&
	    certificate_set(s, name, hash))
		return SSL_TLSEXT_ERR_OK;
	*alert = SSL_AD_UNRECOGNIZED_NAME;
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static int on_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_n, const unsigned char *in,
		       unsigned in_n, void *arg)
{
	(void)ssl;
	(void)arg;
	if (in_n != sizeof PROTOCOL - 1 || memcmp(in, PROTOCOL, in_n) != 0)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = in + 1;
	*out_n = in[0];
	return SSL_TLSEXT_ERR_OK;
}

static void visitor_end(struct visitor *v)
{
	if (v->prev != NULL)
		v->prev->next = v->next;
	else
		v->s->visitors = v->next;
	if (v->next != NULL)
		v->next->prev = v->prev;
	loop_io_free(v->io);
	SSL_free(v->ssl);
	fd_close(&v->fd);
	ERR_clear_error();
	free(v);
}

static void visitor_step(struct visitor *v)
{
	ERR_clear_error();
	int rc = SSL_accept(v->ssl);
	int wants = rc == 1 ? SSL_ERROR_NONE : SSL_get_error(v->ssl, rc);
	if (rc == 1)
		(void)SSL_shutdown(v->ssl);
	if ((wants != SSL_ERROR_WANT_READ && wants != SSL_ERROR_WANT_WRITE) ||
	    FAILED(loop_io_set(v->io, wants == SSL_ERROR_WANT_READ ? LOOP_READ : LOOP_WRITE, NULL)))
		visitor_end(v);
}

static double cpu_us(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void ready(struct loop *l, unsigned events, void *arg)
{
	struct visitor *v = arg;
	struct tally *t = &v->s->b->tally;
	double began = cpu_us();
	(void)l;
	(void)events;
	visitor_step(v);
	t->challenge_us += cpu_us() - began;
}

static bool visitor_new(struct shake *s, int fd)
{
	struct visitor *v = mem_alloc(sizeof *v);
	v->s = s;
	v->fd = fd;
	v->next = s->visitors;
	if (v->next != NULL)
		v->next->prev = v;
	s->visitors = v;
	v->ssl = SSL_new(s->tls);
	if (v->ssl == NULL || SSL_set_fd(v->ssl, fd) != 1 ||
	    FAILED(loop_watch(s->b->loop, fd, LOOP_READ, ready, v, &v->io, NULL))) {
		visitor_end(v);
		return false;
	}
	visitor_step(v);
	return true;
}

static void arrived(struct loop *l, unsigned events, void *arg)
{
	struct shake *s = arg;
	double began = cpu_us();
	(void)l;
	(void)events;
	for (unsigned i = 0; i < BATCH; i++) {
		int fd = accept4(s->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0 || !visitor_new(s, fd))
			break;
	}
	s->b->tally.challenge_us += cpu_us() - began;
}

static fallible tls_new(struct shake *s, struct err *err)
{
	TRY(bench_key_new(s->b->signing, BENCH_ES256, &s->key, err));
	s->tls = SSL_CTX_new(TLS_server_method());
	if (s->tls == NULL || !certificate_new(s) || SSL_CTX_use_certificate(s->tls, s->shown) != 1 ||
	    SSL_CTX_use_PrivateKey(s->tls, bench_key_evp(s->key)) != 1) {
		err_cause_openssl(err);
		FAIL(err, ERR_INTERNAL, "the certificate of tls-alpn-01 cannot be made");
	}
	(void)SSL_CTX_set_tlsext_servername_callback(s->tls, on_name);
	(void)SSL_CTX_set_tlsext_servername_arg(s->tls, s);
	SSL_CTX_set_alpn_select_cb(s->tls, on_protocol, NULL);
	(void)SSL_CTX_set_num_tickets(s->tls, 0);
	(void)SSL_CTX_set_session_cache_mode(s->tls, SSL_SESS_CACHE_OFF);
	return OK;
}

static fallible shake_new(struct bench *b, uint16_t port, void **ret, struct err *err)
{
	struct shake *s = mem_alloc(sizeof *s);
	*ret = s;
	s->b = b;
	s->fd = -1;
	TRY(tls_new(s, err));
	TRY(answerer_listen(port, &s->fd, err));
	return loop_watch(b->loop, s->fd, LOOP_READ, arrived, s, &s->io, err);
}

static void shake_free(void *ctx)
{
	struct shake *s = ctx;
	while (s->visitors != NULL)
		visitor_end(s->visitors);
	loop_io_free(s->io);
	fd_close(&s->fd);
	SSL_CTX_free(s->tls);
	X509_free(s->shown);
	bench_key_free(s->key);
	free(s);
}

const struct answerer answerer_alpn = { shake_new, shake_free };

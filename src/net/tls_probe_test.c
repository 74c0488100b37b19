/* SPDX-License-Identifier: Apache-2.0
 *
 * tls_probe_test.c: handshakes with a real TLS server on loopback, which misbehaves as each row says (THREATS A36, A37).
 */
#include "net/tls.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/ssl.h>
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

enum mode {
	MODE_ACME,       /* speaks acme-tls/1 */
	MODE_NO_ALPN,    /* ignores the offer */
	MODE_WRONG_ALPN, /* chooses what was not offered */
	MODE_ALERT,      /* refuses the offer */
	MODE_OLD,        /* TLS 1.1 at most */
	MODE_ONLY_1_2,
	MODE_CHAIN, /* two hundred certificates */
	MODE_RSA,   /* a key of 8448 bits */
	MODE_ED25519,
	MODE_PLAIN, /* HTTP */
	MODE_CLOSE,
	MODE_RESET,
	MODE_STALL,
	MODE_DRIP, /* a byte of a record now and then */
	MODE_FLOOD /* records without end */
};

struct server {
	int fd;
	uint16_t port;
	pthread_t thread;
	enum mode mode;
	EVP_PKEY *key;
	X509 *cert;
	atomic_bool stop;
	char sni[300]; /* what the client asked for */
	int shaken;
};

static X509 *cert_make(EVP_PKEY *key)
{
	X509 *c = X509_new();
	assert_non_null(c);
	X509_set_version(c, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(c), 1);
	X509_gmtime_adj(X509_getm_notBefore(c), -7200);
	X509_gmtime_adj(X509_getm_notAfter(c), -3600); /* ended: nobody minds */
	X509_NAME *name = X509_NAME_new();
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"nobody", -1, -1, 0);
	X509_set_subject_name(c, name);
	X509_set_issuer_name(c, name);
	X509_NAME_free(name);
	X509_set_pubkey(c, key);
	assert_true(X509_sign(c, key, EVP_PKEY_is_a(key, "ED25519") == 1 ? NULL : EVP_sha256()) > 0);
	return c;
}

/* An RSA key out of many small primes: quickly made, worth nothing, and as long as one likes. */
static EVP_PKEY *rsa_make(int bits)
{
	BN_CTX *ctx = BN_CTX_new();
	BIGNUM *n = BN_new(), *phi = BN_new(), *e = BN_new(), *d = BN_new(), *p = BN_new();
	BN_one(n);
	BN_one(phi);
	BN_set_word(e, 65537);
	while (BN_num_bits(n) < bits) {
		assert_int_equal(BN_generate_prime_ex(p, 256, 0, NULL, NULL, NULL), 1);
		BN_mul(n, n, p, ctx);
		BN_sub_word(p, 1);
		BN_mul(phi, phi, p, ctx);
	}
	assert_non_null(BN_mod_inverse(d, e, phi, ctx));
	OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
	OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, n);
	OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, e);
	OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_D, d);
	OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);
	EVP_PKEY_CTX *pctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	EVP_PKEY *key = NULL;
	assert_true(EVP_PKEY_fromdata_init(pctx) > 0 && EVP_PKEY_fromdata(pctx, &key, EVP_PKEY_KEYPAIR, params) > 0);
	EVP_PKEY_CTX_free(pctx);
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(bld);
	BIGNUM *const all[] = { n, phi, e, d, p };
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		BN_free(all[i]);
	BN_CTX_free(ctx);
	return key;
}

/* --- the server ---------------------------------------------------------------------------------------------------*/

static int choose(SSL *ssl, const unsigned char **out, unsigned char *outlen, const unsigned char *in, unsigned int n,
		  void *arg)
{
	const struct server *s = arg;
	(void)ssl;
	if (s->mode == MODE_ALERT || n != 11 ||
	    memcmp(in,
		   "\x0a"
		   "acme-tls/1",
		   11) != 0)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = s->mode == MODE_WRONG_ALPN ? (const unsigned char *)"h2" : in + 1;
	*outlen = s->mode == MODE_WRONG_ALPN ? 2 : in[0];
	return SSL_TLSEXT_ERR_OK;
}

static void serve_tls(struct server *s, int fd)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	SSL_CTX_use_certificate(ctx, s->cert);
	SSL_CTX_use_PrivateKey(ctx, s->key);
	if (s->mode != MODE_NO_ALPN)
		SSL_CTX_set_alpn_select_cb(ctx, choose, s);
	if (s->mode == MODE_OLD) {
		SSL_CTX_set_security_level(ctx, 0);
		SSL_CTX_set_min_proto_version(ctx, TLS1_VERSION);
		SSL_CTX_set_max_proto_version(ctx, TLS1_1_VERSION);
	}
	if (s->mode == MODE_ONLY_1_2)
		SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
	for (int i = 0; s->mode == MODE_CHAIN && i < 200; i++)
		SSL_CTX_add1_chain_cert(ctx, s->cert);
	SSL *ssl = SSL_new(ctx);
	SSL_set_fd(ssl, fd);
	s->shaken = SSL_accept(ssl);
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	snprintf(s->sni, sizeof s->sni, "%s", name == NULL ? "" : name);
	char byte;
	(void)SSL_read(ssl, &byte, 1); /* until it hangs up */
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	ERR_clear_error();
}

static void serve_raw(struct server *s, int fd)
{
	static const char http[] = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n";
	/* A record of one CCS byte: TLS 1.3 lets a peer send such, and the count of them is its own business. */
	static const char record[] = { 20, 3, 3, 0, 1, 1 };
	char in[2048];
	(void)!recv(fd, in, sizeof in, 0);
	if (s->mode == MODE_PLAIN)
		(void)!send(fd, http, sizeof http - 1, MSG_NOSIGNAL);
	for (int i = 0; s->mode == MODE_FLOOD && i < 100000; i++)
		if (send(fd, record, sizeof record, MSG_NOSIGNAL) < 0)
			break;
	for (size_t i = 0; s->mode == MODE_DRIP && i < 100 && !atomic_load(&s->stop); i++) {
		if (send(fd, i < 5 ? &"\x16\x03\x03\x10\x00"[i] : "\x02", 1, MSG_NOSIGNAL) < 0)
			break;
		(void)poll(NULL, 0, 50);
	}
	if (s->mode == MODE_STALL)
		while (recv(fd, in, sizeof in, 0) > 0)
			;
	struct linger now = { .l_onoff = 1, .l_linger = 0 };
	if (s->mode == MODE_RESET)
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

static void *server_run(void *arg)
{
	struct server *s = arg;
	int fd = accept(s->fd, NULL, NULL);
	if (fd < 0)
		return NULL;
	struct timeval limit = { .tv_sec = 10 };
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	if (s->mode < MODE_PLAIN)
		serve_tls(s, fd);
	else
		serve_raw(s, fd);
	close(fd);
	return NULL;
}

static void server_start(struct server *s, enum mode mode)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof sa;
	*s = (struct server){ .mode = mode };
	s->key = mode == MODE_RSA       ? rsa_make(8448)
		 : mode == MODE_ED25519 ? EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")
					: EVP_EC_gen("P-256");
	s->cert = cert_make(s->key);
	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(s->fd, (const struct sockaddr *)&sa, sizeof sa), 0);
	assert_int_equal(getsockname(s->fd, (struct sockaddr *)&sa, &n), 0);
	assert_int_equal(listen(s->fd, 4), 0);
	s->port = ntohs(sa.sin_port);
	assert_int_equal(pthread_create(&s->thread, NULL, server_run, s), 0);
}

static void server_stop(struct server *s)
{
	atomic_store(&s->stop, true);
	pthread_join(s->thread, NULL);
	close(s->fd);
	X509_free(s->cert);
	EVP_PKEY_free(s->key);
}

/* --- the tests ----------------------------------------------------------------------------------------------------*/

static int setup(void **state)
{
	return FAILED(tls_client_new((struct tls_client **)state, NULL));
}

static int teardown(void **state)
{
	tls_client_free(*state);
	tls_client_free(NULL);
	return 0;
}

static struct tls_probe_request request_for(uint16_t port)
{
	return (struct tls_probe_request){
		.addr = { AF_INET, { 127, 0, 0, 1 } },
		.port = port,
		.server_name = STR("www.a.test"),
		.alpn = STR("acme-tls/1"),
		.connect_timeout_ms = 5000,
		.timeout_ms = 8000,
	};
}

static void the_certificate_and_what_was_agreed_come_back(void **state)
{
	static const struct {
		enum mode mode;
		const char *version, *alpn;
	} rows[] = {
		{ MODE_ACME, "TLSv1.3", "acme-tls/1" },
		{ MODE_ONLY_1_2, "TLSv1.2", "acme-tls/1" },
		{ MODE_ED25519, "TLSv1.3", "acme-tls/1" },
		{ MODE_NO_ALPN, "TLSv1.3", "" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(arena_done) struct arena mem = { 0 };
		struct server s;
		struct err err = { 0 };
		struct tls_probe_reply reply;
		server_start(&s, rows[i].mode);
		struct tls_probe_request rq = request_for(s.port);
		if (FAILED(tls_probe(*state, &rq, &mem, &reply, &err)))
			fail_msg("row %zu: %s", i, err.detail);
		unsigned char *der = NULL;
		int n = i2d_X509(s.cert, &der);
		assert_true(str_eq(reply.certificate, str_n(der, (size_t)n)));
		OPENSSL_free(der);
		assert_string_equal(reply.version, rows[i].version);
		assert_true(str_eq(reply.alpn, str_z(rows[i].alpn)));
		assert_true(reply.connected);
		server_stop(&s);
		assert_int_equal(s.shaken, 1);
		assert_string_equal(s.sni, "www.a.test");
		assert_int_equal(ERR_peek_error(), 0);
	}
}

static void what_goes_wrong_is_said_in_plain_words(void **state)
{
	static const struct {
		enum mode mode;
		enum err_kind kind;
		const char *want;
		int64_t timeout_ms;
	} rows[] = {
		{ MODE_ALERT, ERR_TLS,
		  "the server does not speak acme-tls/1: it ended the TLS handshake with alert \"no application "
		  "protocol\"",
		  8000 },
		{ MODE_OLD, ERR_TLS, "the server speaks neither TLS 1.2 nor 1.3", 8000 },
		{ MODE_CHAIN, ERR_TLS, "the server's certificates, or another message, are larger than 32768 bytes",
		  8000 },
		{ MODE_RSA, ERR_TLS,
		  "the server's certificate has a key of unknown kind, or of RSA with over 8192 bits", 30000 },
		{ MODE_PLAIN, ERR_TLS, "the server does not speak TLS on this port", 8000 },
		{ MODE_CLOSE, ERR_TLS, "the server closed the connection during the TLS handshake", 8000 },
		{ MODE_RESET, ERR_TLS, "the server reset the connection during the TLS handshake", 8000 },
		{ MODE_STALL, ERR_TIMEOUT, "timeout during the TLS handshake (does this port speak TLS?)", 300 },
		{ MODE_DRIP, ERR_TIMEOUT, "timeout during the TLS handshake (does this port speak TLS?)", 400 },
		{ MODE_FLOOD, ERR_TLS, "", 8000 }, /* which limit strikes first is OpenSSL's affair, or ours */
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(arena_done) struct arena mem = { 0 };
		struct server s;
		struct err err = { 0 };
		struct tls_probe_reply reply;
		server_start(&s, rows[i].mode);
		struct tls_probe_request rq = request_for(s.port);
		rq.timeout_ms = rows[i].timeout_ms;
		int64_t began = clock_mono_ms(&clock_system);
		enum err_kind kind = tls_probe(*state, &rq, &mem, &reply, &err).kind;
		if (kind != rows[i].kind || !str_starts(str_z(err.detail), str_z(rows[i].want)))
			fail_msg("row %zu: got %s: %s", i, err_kind_name(kind), err.detail);
		assert_true(clock_mono_ms(&clock_system) - began < rows[i].timeout_ms + 1000);
		assert_true(reply.connected);
		assert_int_equal(reply.certificate.n, 0);
		assert_int_equal(ERR_peek_error(), 0);
		server_stop(&s);
	}
}

/* A protocol that was not offered never passes for the one that was. */
static void a_protocol_that_was_not_offered_is_seen(void **state)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct server s;
	struct err err = { 0 };
	struct tls_probe_reply reply;
	server_start(&s, MODE_WRONG_ALPN);
	struct tls_probe_request rq = request_for(s.port);
	struct rc rc = tls_probe(*state, &rq, &mem, &reply, &err);
	assert_true(rc.kind == ERR_TLS || (rc.kind == ERR_NONE && str_eq(reply.alpn, STR("h2"))));
	server_stop(&s);
}

static void nobody_there_is_no_connection(void **state)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct server s;
	struct err err = { 0 };
	struct tls_probe_reply reply;
	server_start(&s, MODE_CLOSE);
	struct tls_probe_request rq = request_for(s.port);
	assert_false(FAILED(tls_probe(*state, &rq, &mem, &reply, NULL)) && !reply.connected); /* lets the thread end */
	server_stop(&s);
	assert_int_equal(tls_probe(*state, &rq, &mem, &reply, &err).kind, ERR_CONNECTION);
	assert_string_equal(err.detail, "connection refused");
	assert_false(reply.connected);
	rq.timeout_ms = 0;
	assert_int_equal(tls_probe(*state, &rq, &mem, &reply, &err).kind, ERR_TIMEOUT);
	assert_string_equal(err.detail, "no time is left for this handshake");
	rq.timeout_ms = 1000;
	rq.server_name = (struct str){ "a\0b", 3 };
	assert_int_equal(tls_probe(*state, &rq, &mem, &reply, &err).kind, ERR_MALFORMED);
	rq.server_name = STR("a.test");
	rq.alpn = STR_NONE;
	assert_int_equal(tls_probe(*state, &rq, &mem, &reply, &err).kind, ERR_INTERNAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_certificate_and_what_was_agreed_come_back),
		cmocka_unit_test(what_goes_wrong_is_said_in_plain_words),
		cmocka_unit_test(a_protocol_that_was_not_offered_is_seen),
		cmocka_unit_test(nobody_there_is_no_connection),
	};
	signal(SIGPIPE, SIG_IGN); /* the server's own writes */
	return cmocka_run_group_tests(tests, setup, teardown);
}

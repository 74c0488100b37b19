/* SPDX-License-Identifier: Apache-2.0
 *
 * tls.h: the server's TLS settings: certificate and key from files, replaced while serving. And one outgoing handshake
 * for the sake of the certificate that it shows (tls_probe.c).
 */
#ifndef CAIRN_NET_TLS_H
#define CAIRN_NET_TLS_H

#include "codec/codec.h"

#include <openssl/types.h>

struct tls_server; /* holds the current SSL_CTX; thread-safe */
/* Chain and key in PEM. TLS 1.2 and 1.3, no tickets, no renegotiation, ALPN http/1.1. ERR_CONFIG names file and fault, also
 * when key and certificate differ. */
fallible tls_server_new(const char *chain_path, const char *key_path, struct tls_server **ret, struct err *err);
/* Reads the files again; on failure the old ones go on being served. */
fallible tls_server_reload(struct tls_server *t, struct err *err);
/* A new SSL for one accepted connection (caller frees with SSL_free); NULL only out of memory. */
SSL *tls_server_accept(struct tls_server *t, int fd);
void tls_server_free(struct tls_server *t);

/* A server of one protocol name that shakes hands and says no more (RFC 8737): to each server name belongs a
 * certificate, and who asks for another name or offers another protocol gets an alert. Thread-safe. */
struct tls_alpn;
fallible tls_alpn_new(struct str protocol, struct tls_alpn **ret, struct err *err);
void tls_alpn_free(struct tls_alpn *t); /* accepts NULL; connections end first */
/* Replaces what was there for the name. The key's own reference is taken. */
fallible tls_alpn_put(struct tls_alpn *t, struct str server_name, struct str certificate_der, EVP_PKEY *key,
		      struct err *err);
void tls_alpn_remove(struct tls_alpn *t, struct str server_name);
/* The server's side of one connection, whose socket does not block; NULL out of memory. Freed with tls_alpn_end. */
SSL *tls_alpn_accept(struct tls_alpn *t, int fd);
enum tls_alpn_wants { TLS_ALPN_READ, TLS_ALPN_WRITE, TLS_ALPN_OVER };
/* As far as it goes now. OVER: hands were shaken and a goodbye was said, or it failed. */
enum tls_alpn_wants tls_alpn_step(SSL *ssl);
void tls_alpn_end(SSL *ssl);

struct tls_client; /* settings of outgoing handshakes that trust nobody; thread-safe */
fallible tls_client_new(struct tls_client **ret, struct err *err);
void tls_client_free(struct tls_client *c); /* accepts NULL; no probe may be running */
struct tls_probe_request {
	struct addr addr; /* what is dialled, whatever the name */
	uint16_t port;
	struct str server_name; /* SNI */
	struct str alpn;        /* the one protocol that is offered */
	int64_t connect_timeout_ms, timeout_ms;
};
struct tls_probe_reply {        /* in the caller's arena */
	bool connected;         /* on failure: had a connection been made? (decides v6 to v4 fall-back) */
	const char *version;    /* "TLSv1.3" */
	struct str alpn;        /* what the server chose; empty: nothing */
	struct str certificate; /* DER: the one whose key signed the handshake; nobody has judged it */
};
#define TLS_PROBE_CHAIN_MAX (32 * 1024) /* of all certificates that a server sends */
#define TLS_PROBE_BYTES_MAX (128 * 1024)
/* Connects, shakes hands under TLS 1.2 or 1.3, sends nothing and hangs up. ERR_CONNECTION, ERR_TIMEOUT or ERR_TLS in the
 * words of fetch; ret->connected is set even then. */
fallible tls_probe(const struct tls_client *c, const struct tls_probe_request *rq, struct arena *mem,
		   struct tls_probe_reply *ret, struct err *err);

#endif

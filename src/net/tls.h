/* SPDX-License-Identifier: Apache-2.0
 *
 * tls.h: the server's TLS settings: certificate and key from files, replaced while serving.
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

#endif

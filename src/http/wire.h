/* SPDX-License-Identifier: Apache-2.0
 *
 * wire.h: bytes of one connection, TLS or plain; inside of this folder only. Whoever owns the connection's turn calls
 * these: its loop, or in CONN_BUSY the worker.
 */
#ifndef CAIRN_HTTP_WIRE_H
#define CAIRN_HTTP_WIRE_H

#include "codec/codec.h"

struct conn;
enum wire_end { WIRE_SOME, WIRE_WANT_READ, WIRE_WANT_WRITE, WIRE_OVER };

/* *ret_more: more may be there without a new event, since OpenSSL reads ahead. */
enum wire_end wire_read(const struct conn *c, char *p, size_t n, size_t *ret, bool *ret_more);
enum wire_end wire_write(const struct conn *c, struct str s, size_t *ret);
/* WIRE_SOME: hands are shaken. Makes the SSL when it is the first step. */
enum wire_end wire_shake(struct conn *c);
/* Our flight with the signature has gone out: what a handshake costs us has been paid. */
bool wire_answered(const struct conn *c);
void wire_bye(const struct conn *c); /* says that nothing more comes, if it can be said without waiting */
void wire_close(struct conn *c);

#endif

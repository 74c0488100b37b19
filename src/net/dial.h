/* SPDX-License-Identifier: Apache-2.0
 *
 * dial.h: one TCP connection to one address, within a time, and the words for what hinders it. Inside of net only.
 */
#ifndef CAIRN_NET_DIAL_H
#define CAIRN_NET_DIAL_H

#include "codec/codec.h"

/* *ret is connected and non-blocking; ERR_CONNECTION or ERR_TIMEOUT in the words of fetch. */
fallible dial(const struct addr *to, uint16_t port, int64_t timeout_ms, int *ret, struct err *err);
const char *dial_words(long os_error); /* "connection refused" ... */

#endif

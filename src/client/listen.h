/* SPDX-License-Identifier: Apache-2.0
 *
 * listen.h: what both responders share: a listening socket, and a thread that runs a loop.
 */
#ifndef CAIRN_CLIENT_LISTEN_H
#define CAIRN_CLIENT_LISTEN_H

#include "client/client.h"

#include <pthread.h>

#define LISTEN_CONN_LIFE_MS 5000
/* A connection is accepted when its first bytes are there. Port 0 picks a free one. *ret_fd is set even on failure, to
 * be closed. */
fallible listen_open(const struct addr *addr, uint16_t port, int *ret_fd, uint16_t *ret_port, struct err *err);
/* Signals stay with the program's own thread. */
fallible listen_thread(struct loop *loop, pthread_t *ret, struct err *err);

#endif

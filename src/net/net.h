/* SPDX-License-Identifier: Apache-2.0
 *
 * net.h: sockets and threads: the event loop, the worker pool, TLS, outgoing requests, DNS, frames. Knows no ACME.
 */
#ifndef CAIRN_NET_NET_H
#define CAIRN_NET_NET_H

#include "net/fetch.h"
#include "net/frames.h"
#include "net/loop.h"
#include "net/resolve.h"
#include "net/tls.h"
#include "net/workers.h"

#endif

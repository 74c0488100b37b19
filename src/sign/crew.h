/* SPDX-License-Identifier: Apache-2.0
 *
 * crew.h: threads that share the work of one batch. A token far away takes milliseconds a signature and makes several at
 * once. The threads are made by the first batch that has work for them: by then the signer is confined, and so are they.
 */
#ifndef CAIRN_SIGN_CREW_H
#define CAIRN_SIGN_CREW_H

#include "base/base.h"

struct crew;
/* width: how many work at once, the caller of crew_run among them; 1 makes no thread. */
struct crew *crew_new(unsigned width);
/* Calls fn(ctx, 0) to fn(ctx, count - 1), each once, in any order and on any thread; returns when all are done. One caller
 * at a time. */
void crew_run(struct crew *c, size_t count, void (*fn)(void *ctx, size_t i), void *ctx);
void crew_free(struct crew *c); /* accepts NULL */

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * loop.h: an event loop on epoll with timers and a way to wake it from other threads. One thread owns a loop and all that
 * hangs on it; loop_post and loop_stop are the only calls for others. Callbacks unpack and call, they never block.
 */
#ifndef CAIRN_NET_LOOP_H
#define CAIRN_NET_LOOP_H

#include "codec/codec.h"

#include <stdatomic.h>

struct loop;
struct loop_io;    /* one watched descriptor */
struct loop_timer; /* one timer, armed or not */

fallible loop_new(const struct clock *clk, struct loop **ret, struct err *err);
/* Free its watches and timers first. What was posted and has not run is dropped. Accepts NULL. */
void loop_free(struct loop *l);
/* Runs until loop_stop, also one that came before; may be run again. */
fallible loop_run(struct loop *l, struct err *err);
void loop_stop(struct loop *l); /* any thread, and signal handlers */
/* fn runs on the loop's thread soon; any thread. Posts before loop_run are kept. What was posted before an event came
 * runs before the event's callback. */
void loop_post(struct loop *l, void (*fn)(struct loop *l, void *arg), void *arg);
/* As loop_post, for what need not be done before the loop has something else to do: no system call, unless *hurry is set,
 * which the loop's own thread sets when it has come to wait for this post. The owner sees to it that the loop does not
 * sleep for too long (loop_doze). */
void loop_post_idly(struct loop *l, void (*fn)(struct loop *l, void *arg), void *arg, const atomic_bool *hurry);
/* The longest sleep from now on; -1: as long as nothing happens. The loop's own thread. */
void loop_doze(struct loop *l, int max_ms);

#define LOOP_READ 1u
#define LOOP_WRITE 2u
/* Reported, never asked for, and always together with what was asked for, so that the next read or write meets the fault. */
#define LOOP_HANGUP 4u
/* Asked for with loop_watch only: several loops watch one listening socket and not all of them are woken. */
#define LOOP_EXCLUSIVE 8u
/* Level-triggered. The descriptor stays the caller's; end the watch before closing it. */
fallible loop_watch(struct loop *l, int fd, unsigned events, void (*fn)(struct loop *l, unsigned events, void *arg),
		    void *arg, struct loop_io **ret, struct err *err);
/* events 0: not even a hang-up is reported until events are asked for again. */
fallible loop_io_set(struct loop_io *io, unsigned events, struct err *err);
/* Stops watching; safe inside any callback of the same loop: no callback of this io runs afterwards, even when its
 * event was already fetched in the same batch. */
void loop_io_free(struct loop_io *io);

struct loop_timer *loop_timer_new(struct loop *l, void (*fn)(struct loop *l, void *arg), void *arg);
void loop_timer_set(struct loop_timer *t, int64_t after_ms); /* one shot; replaces an earlier setting */
void loop_timer_stop(struct loop_timer *t);
void loop_timer_free(struct loop_timer *t);
int64_t loop_now_ms(const struct loop *l); /* monotonic, read once per round */

#endif

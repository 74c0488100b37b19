/* SPDX-License-Identifier: Apache-2.0
 *
 * role.h: what the three role programs (cairn-api, cairn-validator, cairn-signer) share: their main, the configuration
 * and its reload, the log, the signals. A program says how it opens, what it does with a new configuration, and how it
 * closes.
 */
#ifndef CAIRN_CMD_ROLE_H
#define CAIRN_CMD_ROLE_H

#include "cmd/urls.h"
#include "proc/proc.h"

#include <pthread.h>

struct role {
	const char *program; /* "cairn-api" */
	const char *summary; /* the help's first line */
	void *ctx;           /* given to each of these */
	/* After the configuration was read and the signals taken over. What was opened before a failure, close takes
	 * care of. */
	fallible (*open)(void *ctx, struct err *err);
	void (*close)(void *ctx);
	/* SIGHUP: takes over what may change; when it fails, the old configuration stays. On the signals' thread, never
	 * together with tick, open or close. fresh stays the role's: it is `conf` from then on. */
	fallible (*take)(void *ctx, const struct conf *fresh, struct err *err);
	void (*tick)(void *ctx); /* every tick_ms, on the main thread; NULL: nothing */
	int64_t tick_ms;

	struct conf *conf; /* in force; from before open until after close */
	struct log log;
	const char *conf_path;

	/* role.c's own */
	struct proc_signals *signals;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	pthread_mutex_t changing; /* held by whoever uses or replaces conf while serving */
	_Atomic bool serving;
	unsigned stops; /* SIGTERMs so far */
	bool failed;    /* role_fail was called */
};

/* The whole program: -c FILE, --help, --version; open, say that we serve, wait for SIGTERM or role_fail, close. */
int role_main(struct role *r, int argc, char **argv);
/* Any thread: the program cannot go on; the supervisor will start a new one. */
void role_fail(struct role *r);

/* The event hook of struct bus_conf: ctx is the role. */
void role_bus_event(void *ctx, const char *what, struct str peer, const struct err *err);

#endif

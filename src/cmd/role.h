/* SPDX-License-Identifier: Apache-2.0
 *
 * role.h: what the three role programs (cairn-api, cairn-validator, cairn-signer) share: arguments, the log, URLs of
 * the configuration made absolute, and waiting for signals. Their main is: arguments, role_start, open, role_wait,
 * close.
 */
#ifndef CAIRN_CMD_ROLE_H
#define CAIRN_CMD_ROLE_H

#include "conf/conf.h"
#include "proc/proc.h"

#include <pthread.h>

struct role {
	const char *program;   /* "cairn-api" */
	const char *conf_path; /* after role_args */
	struct log log;        /* usable at once; role_conf_read sets its level and form */
	/* Called for SIGHUP (on the signals' thread) and every tick_ms (on the main thread); NULL: nothing. */
	void (*reload)(void *ctx);
	void (*tick)(void *ctx);
	int64_t tick_ms;
	void *ctx;

	/* role.c's own */
	struct proc_signals *signals;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	pthread_mutex_t reloading;
	bool serving;
	unsigned stops; /* SIGTERMs so far */
	bool failed;    /* role_fail was called */
};

/* -c FILE, --help, --version. true: the program ends now with *ret_code. `summary` is the help's first line. */
bool role_args(struct role *r, int argc, char **argv, const char *summary, int *ret_code);
/* Takes over the signals: before any thread is made. */
fallible role_start(struct role *r, struct err *err);
fallible role_conf_read(struct role *r, struct conf **ret, struct err *err);
/* Tells the supervisor that we serve; returns when asked to stop (OK), or after role_fail (ERR_CLOSED). */
fallible role_wait(struct role *r, struct err *err);
/* Any thread: the program cannot go on; the supervisor will start a new one. */
void role_fail(struct role *r);
void role_done(struct role *r);

/* store.url and bus.url with their relative paths taken from state-dir. */
fallible role_store_url(const struct conf *conf, struct arena *mem, struct str *ret, struct err *err);
fallible role_bus_url(const struct conf *conf, struct arena *mem, struct str *ret, struct err *err);
/* The event hook of struct bus_conf: ctx is the role. */
void role_bus_event(void *ctx, const char *what, struct str peer, const struct err *err);

#endif

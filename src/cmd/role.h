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

#define ROLE_FILES_MAX 8

struct role {
	const char *program; /* "cairn-api" */
	const char *summary; /* the help's first line */
	void *ctx;           /* given to each of these */
	enum sandbox_role sandbox;
	/* The three steps of a start (docs/security.md), after the configuration was read. What was opened before a
	 * failure, close takes care of.
	 * prepare: opens what the sandbox will keep away, such as keys. Makes no thread. NULL: nothing.
	 * open: with the files that the sandbox leaves, with all system calls and with threads, but reads nothing that
	 * comes from outside.
	 * start: locked down; begins to read. */
	fallible (*prepare)(void *ctx, struct err *err);
	fallible (*open)(void *ctx, struct err *err);
	fallible (*start)(void *ctx, struct err *err);
	void (*close)(void *ctx);
	/* SIGHUP: takes over what may change; when it fails, the old configuration stays. On the signals' thread, never
	 * together with tick, open or close. fresh stays the role's: it is `conf` from then on. */
	fallible (*take)(void *ctx, const struct conf *fresh, struct err *err);
	/* In the door: files that it may open beside those of role_sandbox.c's table, of the configuration as it is now.
	 * Paths are in mem. NULL: none. */
	fallible (*files)(const struct conf *conf, struct arena *mem, const char *ret[ROLE_FILES_MAX],
			  size_t *ret_count, struct err *err);
	void (*tick)(void *ctx); /* every tick_ms, on the main thread; NULL: nothing */
	int64_t tick_ms;

	struct conf *conf; /* in force; from before open until after close */
	struct log log;
	const char *conf_path;

	/* role.c's own */
	struct proc_signals *signals;
	bool met; /* the bus was connected once; its thread's own */
	struct sandbox_spec spec;
	struct door *door; /* NULL: no sandbox */
	struct file_opener opener;
	int ready_fd; /* -1: nobody to tell */
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

/* The `connect` hook of struct bus_conf, with the role as its ctx; without a door it is NULL. */
typedef fallible role_connect(void *ctx, const char *path, int *ret_fd, struct err *err);
role_connect *role_bus_connect(const struct role *r);

/* role_sandbox.c, for role.c */
fallible role_secret_memory(struct role *r, struct err *err); /* before there is any key */
fallible role_sandbox_open(struct role *r, struct err *err);  /* the mode, and the door */
fallible role_sandbox_files(struct role *r, struct err *err);

#endif

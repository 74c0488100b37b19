/* SPDX-License-Identifier: Apache-2.0
 *
 * role.c: what the three role programs share.
 */
#include "cmd/role.h"

#include <getopt.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define EXIT_USAGE 2

static const char *conf_path_default(void)
{
	const char *env = getenv("CAIRN_CONF");
	if (env != NULL && *env != '\0')
		return env;
	return access("cairn.conf", F_OK) == 0 ? "cairn.conf" : "/etc/cairn/cairn.conf";
}

/* true: the program ends now with *ret_code. */
static bool role_args(struct role *r, int argc, char **argv, int *ret_code)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	int c;
	r->conf_path = conf_path_default();
	r->log = (struct log){
		.program = r->program, .level = LOG_NOTICE, .form = LOG_AUTO, .fd = 2, .clock = &clock_system
	};
	while ((c = getopt_long(argc, argv, "c:hV", options, NULL)) != -1) {
		if (c == 'c') {
			r->conf_path = optarg;
		} else if (c == 'h') {
			printf("%s\n\nusage: %s [-c FILE]\n\n"
			       "  -c, --config FILE  configuration (default: $CAIRN_CONF, ./cairn.conf, "
			       "/etc/cairn/cairn.conf)\n"
			       "  -h, --help         this text\n"
			       "  -V, --version      the version\n\n"
			       "`cairn serve` starts this program; cairn.conf(5) has its settings.\n",
			       r->summary, r->program);
			*ret_code = 0;
			return true;
		} else if (c == 'V') {
			printf("%s %s\n", r->program, CAIRN_VERSION);
			*ret_code = 0;
			return true;
		} else {
			fprintf(stderr, "%s: see --help\n", r->program);
			*ret_code = EXIT_USAGE;
			return true;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "%s: unexpected argument; see --help\n", r->program);
		*ret_code = EXIT_USAGE;
		return true;
	}
	return false;
}

static void on_stop(void *ctx, unsigned times)
{
	struct role *r = ctx;
	if (times > 1) /* asked twice: at once; kill -9 is boring, so this is too */
		_exit(1);
	pthread_mutex_lock(&r->lock);
	r->stops = times;
	pthread_cond_signal(&r->wake);
	pthread_mutex_unlock(&r->lock);
}

static enum log_form log_form_of(const struct conf *conf)
{
	return str_eq(conf->log.format, STR("json"))   ? LOG_JSON
	       : str_eq(conf->log.format, STR("text")) ? LOG_TEXT
						       : LOG_AUTO;
}

/* A bad configuration is told and left where it is; so is one that the program cannot take. Nothing changes by halves.
 */
static fallible reload(struct role *r, struct err *err)
{
	struct conf *fresh;
	enum log_level level;
	TRY(conf_read(r->conf_path, conf_env_system, NULL, &fresh, err));
	struct rc rc = log_level_read(fresh->log.level, &level, err);
	if (!FAILED(rc))
		rc = r->take(r->ctx, fresh, err);
	if (FAILED(rc)) {
		conf_free(fresh);
		return rc;
	}
	const char *key = conf_needs_restart(r->conf, fresh);
	if (key != NULL)
		LOG(&r->log, LOG_WARNING, "setting wants a restart", KV_Z("key", key));
	r->log.level = level;
	conf_free(r->conf);
	r->conf = fresh;
	return OK;
}

static void on_reload(void *ctx)
{
	struct role *r = ctx;
	struct err why = { 0 };
	pthread_mutex_lock(&r->changing);
	if (r->serving) {
		if (FAILED(reload(r, &why)))
			LOG(&r->log, LOG_ERROR, "reload refused: the old configuration stays", KV_ERR(&why));
		else
			LOG(&r->log, LOG_NOTICE, "configuration reloaded");
	}
	pthread_mutex_unlock(&r->changing);
}

/* glibc would give the threads eight heaps a processor; what lives long (pages of the database that whoever commits reads)
 * is then spread over all of them, and none ever shrinks. */
static void heaps_limit(void)
{
#ifdef M_ARENA_MAX
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	(void)mallopt(M_ARENA_MAX, processors < 2 ? 2 : (int)processors);
#endif
}

static fallible role_start(struct role *r, struct err *err)
{
	pthread_condattr_t attr;
	enum log_level level;
	pthread_mutex_init(&r->lock, NULL);
	pthread_mutex_init(&r->changing, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&r->wake, &attr);
	pthread_condattr_destroy(&attr);
	TRY(proc_signals_hold(err)); /* before any other thread is made */
	TRY(proc_harden(err));
	TRY(conf_read(r->conf_path, conf_env_system, NULL, &r->conf, err));
	TRY(log_level_read(r->conf->log.level, &level, err));
	r->log.level = level;
	r->log.form = log_form_settle(log_form_of(r->conf), r->log.fd);
	TRY(role_sandbox_open(r, err)); /* its door is to have no key in its memory */
	return role_secret_memory(r, err);
}

/* What may be done shrinks from step to step; the first byte from outside is read in the last one. */
static fallible role_open(struct role *r, struct err *err)
{
	const struct proc_signal_calls calls = { .stop = on_stop, .reload = on_reload, .ctx = r };
	if (r->prepare != NULL)
		TRY(r->prepare(r->ctx, err));
	TRY(role_sandbox_files(r, err));
	TRY(proc_signals_start(&calls, &r->signals, err));
	TRY(r->open(r->ctx, err));
	TRY(proc_ready_open(&r->ready_fd, err));
	TRY(sandbox_calls(&r->spec, err));
	return r->start(r->ctx, err);
}

/* One tick's sleep; true when it is time to end. */
static bool role_sleep(struct role *r)
{
	const struct timespec until = mono_after_ms(r->tick_ms > 0 ? r->tick_ms : 60 * 1000);
	pthread_mutex_lock(&r->lock);
	while (r->stops == 0 && !r->failed && pthread_cond_timedwait(&r->wake, &r->lock, &until) == 0)
		;
	bool end = r->stops > 0 || r->failed;
	pthread_mutex_unlock(&r->lock);
	return end;
}

/* A reload touches what main opens and closes: it waits for the one and is over before the other begins. */
static void set_serving(struct role *r, bool serving)
{
	pthread_mutex_lock(&r->changing);
	r->serving = serving;
	pthread_mutex_unlock(&r->changing);
}

static void role_tick(struct role *r)
{
	if (r->tick == NULL)
		return;
	pthread_mutex_lock(&r->changing);
	r->tick(r->ctx);
	pthread_mutex_unlock(&r->changing);
}

/* Tells the supervisor that we serve; returns when asked to stop (OK), or after role_fail. */
static fallible role_wait(struct role *r, struct err *err)
{
	set_serving(r, true);
	struct rc rc = proc_ready_say(&r->ready_fd, err);
	while (!FAILED(rc) && !role_sleep(r))
		role_tick(r);
	set_serving(r, false);
	TRY(rc);
	pthread_mutex_lock(&r->lock);
	bool failed = r->failed;
	pthread_mutex_unlock(&r->lock);
	if (failed)
		FAIL(err, ERR_CLOSED, "the program cannot go on; see the lines above");
	return OK;
}

void role_fail(struct role *r)
{
	pthread_mutex_lock(&r->lock);
	r->failed = true;
	pthread_cond_signal(&r->wake);
	pthread_mutex_unlock(&r->lock);
}

int role_main(struct role *r, int argc, char **argv)
{
	struct err err = { 0 };
	int code;
	if (role_args(r, argc, argv, &code))
		return code;
	r->ready_fd = -1;
	heaps_limit();
	struct rc rc = role_start(r, &err);
	if (!FAILED(rc))
		rc = role_open(r, &err);
	if (!FAILED(rc))
		rc = role_wait(r, &err);
	if (FAILED(rc))
		LOG(&r->log, LOG_ERROR, "program stops", KV_ERR(&err));
	else
		LOG(&r->log, LOG_NOTICE, "stopping");
	r->close(r->ctx);
	proc_signals_free(r->signals);
	file_opener_set(NULL);
	door_close(r->door);
	conf_free(r->conf);
	return FAILED(rc) ? 1 : 0;
}

void role_bus_event(void *ctx, const char *what, struct str peer, const struct err *err)
{
	struct role *r = ctx;
	/* Who starts first waits for the other: that is no fault before they have met. */
	enum log_level level = r->met ? LOG_WARNING : LOG_INFO;
	if (err == NULL)
		r->met = true;
	if (err != NULL)
		LOG(&r->log, level, "bus", KV_Z("what", what), KV_STR("peer", peer), KV_ERR(err));
	else
		LOG(&r->log, LOG_INFO, "bus", KV_Z("what", what), KV_STR("peer", peer));
}

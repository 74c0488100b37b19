/* SPDX-License-Identifier: Apache-2.0
 *
 * role.c: what the three role programs share.
 */
#include "cmd/role.h"

#include <getopt.h>
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

bool role_args(struct role *r, int argc, char **argv, const char *summary, int *ret_code)
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
			       summary, r->program);
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

static void on_reload(void *ctx)
{
	struct role *r = ctx;
	pthread_mutex_lock(&r->reloading);
	if (r->serving && r->reload != NULL)
		r->reload(r->ctx);
	pthread_mutex_unlock(&r->reloading);
}

fallible role_start(struct role *r, struct err *err)
{
	pthread_condattr_t attr;
	json_seed(&rng_system);
	pthread_mutex_init(&r->lock, NULL);
	pthread_mutex_init(&r->reloading, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&r->wake, &attr);
	pthread_condattr_destroy(&attr);
	const struct proc_signal_calls calls = { .stop = on_stop, .reload = on_reload, .ctx = r };
	TRY(proc_signals_start(&calls, &r->signals, err));
	return proc_harden(err);
}

fallible role_conf_read(struct role *r, struct conf **ret, struct err *err)
{
	struct conf *conf;
	enum log_level level;
	enum log_form form = LOG_AUTO;
	TRY(conf_read(r->conf_path, conf_env_system, NULL, &conf, err));
	struct rc rc = log_level_read(conf->log.level, &level, err);
	if (FAILED(rc)) {
		conf_free(conf);
		return rc;
	}
	if (str_eq(conf->log.format, STR("json")))
		form = LOG_JSON;
	else if (str_eq(conf->log.format, STR("text")))
		form = LOG_TEXT;
	r->log.level = level;
	if (!r->serving) /* other threads write by now, and the form wants a restart anyway */
		r->log.form = form;
	*ret = conf;
	return OK;
}

/* One tick's sleep; true when it is time to end. */
static bool role_sleep(struct role *r)
{
	struct timespec until;
	int64_t ms = r->tick_ms > 0 ? r->tick_ms : 60 * 1000;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += ms / 1000;
	until.tv_nsec += ms % 1000 * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
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
	pthread_mutex_lock(&r->reloading);
	r->serving = serving;
	pthread_mutex_unlock(&r->reloading);
}

fallible role_wait(struct role *r, struct err *err)
{
	set_serving(r, true);
	struct rc rc = proc_ready(err);
	while (!FAILED(rc) && !role_sleep(r))
		if (r->tick != NULL)
			r->tick(r->ctx);
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

void role_done(struct role *r)
{
	proc_signals_free(r->signals);
	r->signals = NULL;
}

/* "scheme:relative/path" -> "scheme:/state/dir/relative/path"; other URLs as they are. */
static fallible url_absolute(const struct conf *conf, struct arena *mem, struct str url, struct str scheme,
			     struct str *ret, struct err *err)
{
	struct str path = url;
	if (!str_skip(&path, scheme))
		FAIL(err, ERR_CONFIG, "%.*s: this build has no driver for it; use %.*sPATH", STR_FMT(url),
		     STR_FMT(scheme));
	*ret = str_fmt(mem, "%.*s%s", STR_FMT(scheme), conf_path(conf, mem, path));
	return OK;
}

fallible role_store_url(const struct conf *conf, struct arena *mem, struct str *ret, struct err *err)
{
	return url_absolute(conf, mem, conf->store.url, STR("sqlite:"), ret, err);
}

fallible role_bus_url(const struct conf *conf, struct arena *mem, struct str *ret, struct err *err)
{
	return url_absolute(conf, mem, conf->bus.url, STR("unix:"), ret, err);
}

void role_bus_event(void *ctx, const char *what, struct str peer, const struct err *err)
{
	struct role *r = ctx;
	if (err != NULL)
		LOG(&r->log, LOG_WARNING, "bus", KV_Z("what", what), KV_STR("peer", peer), KV_ERR(err));
	else
		LOG(&r->log, LOG_INFO, "bus", KV_Z("what", what), KV_STR("peer", peer));
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * cairn_serve.c: the whole CA with one command. Opens the listening sockets and starts the three roles; parses nothing
 * that a client sends and holds no key.
 */
#include "cmd/cmd.h"
#include "proc/proc.h"

#include <getopt.h>
#include <stdio.h>

#define BACKLOG 4096
#define SOCKETS_MAX 16

static const char help[] = "usage: cairn serve [-c FILE]\n"
			   "\n"
			   "Starts cairn-api, cairn-validator and cairn-signer and keeps them running. SIGHUP checks "
			   "the configuration and has\n"
			   "it taken over; SIGTERM stops everything in order, a second one at once. Works under "
			   "systemd (Type=notify-reload,\n"
			   "socket units, watchdog) and without it.\n"
			   "\n"
			   "  -c, --config FILE  default: $CAIRN_CONF, ./cairn.conf, /etc/cairn/cairn.conf\n"
			   "  -h, --help         this text\n"
			   "\n"
			   "Exit status: 0 stopped as asked, 1 could not start or go on, 2 called wrongly.\n";

struct serve {
	struct conf *conf; /* as started: what wants a restart is measured against it */
	const char *file;  /* absolute: the roles may not share our folder */
	struct log log;
	struct arena mem;
	struct proc_pass pass[SOCKETS_MAX];
	size_t pass_count;
};

static fallible open_sockets(struct serve *s, struct err *err)
{
	struct proc_fd *given = NULL;
	size_t count = 0;
	TRY(proc_listen_fds(&s->mem, &given, &count, err));
	if (count > SOCKETS_MAX)
		FAIL(err, ERR_CONFIG, "found %zu sockets from the service manager; allowed: at most %d", count,
		     SOCKETS_MAX);
	for (size_t i = 0; i < count; i++)
		s->pass[s->pass_count++] = (struct proc_pass){ given[i].fd, "https" };
	if (count > 0) {
		LOG(&s->log, LOG_NOTICE, "sockets taken from the service manager", KV_U64("count", count));
		return OK;
	}
	const struct conf_list *listen = &s->conf->api.listen;
	for (size_t i = 0; i < listen->n && i < SOCKETS_MAX; i++) {
		struct addr addr = { 0 };
		uint16_t port = 0;
		int fd = -1;
		TRY(addr_port_read(listen->v[i], &addr, &port, err));
		TRY(proc_listen(&addr, port, BACKLOG, &fd, err));
		s->pass[s->pass_count++] = (struct proc_pass){ fd, "https" };
	}
	return OK;
}

#define WARNINGS_MAX (64 * 1024)

/* What is allowed but hardly meant, or counts as something else, such as a lifetime above the ceiling: `cairn check-config`
 * says it too, but not everybody asks. */
static void say_warnings(const struct serve *s, const struct conf *conf)
{
	AUTO(buf_done) struct buf text = BUF_MAX(WARNINGS_MAX);
	if (FAILED(conf_warnings(conf, &text, NULL)))
		return;
	for (struct str rest = buf_str(&text); rest.n > 0;) {
		size_t end = str_find(rest, '\n', 0);
		LOG(&s->log, LOG_WARNING, "configuration", KV_STR("detail", str_sub(rest, 0, end)));
		rest = str_sub(rest, end < rest.n ? end + 1 : rest.n, rest.n);
	}
}

static fallible check_reload(void *ctx, struct err *err)
{
	struct serve *s = ctx;
	struct conf *now = NULL;
	TRY(conf_read(s->file, conf_env_system, NULL, &now, err));
	const char *key = conf_needs_restart(s->conf, now);
	if (key != NULL)
		LOG(&s->log, LOG_WARNING, "setting wants a restart", KV_Z("setting", key));
	say_warnings(s, now);
	conf_free(now);
	return OK;
}

static void say_ready(void *ctx)
{
	const struct serve *s = ctx;
	AUTO(arena_done) struct arena mem = { 0 };
	struct str url = s->conf->api.base_url;
	for (size_t i = 0; i < s->conf->realm_count; i++) {
		const struct conf_realm *r = &s->conf->realms[i];
		bool first = str_eq(r->name, STR("default"));
		struct str directory =
			first ? str_fmt(&mem, "%.*s/directory", STR_FMT(url))
			      : str_fmt(&mem, "%.*s/realm/%.*s/directory", STR_FMT(url), STR_FMT(r->name));
		LOG(&s->log, LOG_NOTICE, "serving", KV_STR("realm", r->name), KV_STR("directory", directory),
		    KV_U64("patterns", r->names.n));
	}
}

static fallible run(struct serve *s, struct err *err)
{
	/* In the order in which they are to stop: the API drains while the others can still finish its orders. */
	static const char *const names[] = { "cairn-api", "cairn-validator", "cairn-signer" };
	struct child_spec children[ARRAY_LEN(names)];
	const char *argv[ARRAY_LEN(names)][4];
	s->file = conf_path(s->conf, &s->mem, s->conf->file);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		const char *program = NULL;
		TRY(proc_find(&s->mem, names[i], &program, err));
		argv[i][0] = program;
		argv[i][1] = "-c";
		argv[i][2] = s->file;
		argv[i][3] = NULL;
		children[i] = (struct child_spec){ .name = names[i], .argv = argv[i], .critical = true };
	}
	TRY(open_sockets(s, err));
	children[0].pass = s->pass;
	children[0].pass_count = s->pass_count;
	TRY(proc_harden(err));
	const struct supervisor_spec spec = { .children = children,
					      .count = ARRAY_LEN(children),
					      .log = &s->log,
					      .clock = &clock_system,
					      .reload = check_reload,
					      .ready = say_ready,
					      .ctx = s };
	return supervise(&spec, err);
}

static fallible open_log(struct serve *s, struct err *err)
{
	enum log_level level;
	enum log_form form = LOG_AUTO;
	s->log = (struct log){ .program = "cairn", .fd = 2, .clock = &clock_system };
	TRY(log_level_read(s->conf->log.level, &level, err));
	TRY(log_form_read(s->conf->log.format, &form, err));
	s->log.level = level;
	s->log.form = log_form_settle(form, s->log.fd);
	return OK;
}

static int serve(const char *flag)
{
	struct serve s = { 0 };
	struct err err = { 0 };
	struct rc rc = conf_read(cmd_conf_path(flag), conf_env_system, NULL, &s.conf, &err);
	if (!FAILED(rc))
		rc = open_log(&s, &err);
	if (!FAILED(rc)) {
		say_warnings(&s, s.conf);
		rc = run(&s, &err);
	}
	int code = FAILED(rc) ? cmd_fail("serve", &err) : CMD_OK;
	for (size_t i = 0; i < s.pass_count; i++)
		fd_close(&s.pass[i].fd);
	conf_free(s.conf);
	arena_done(&s.mem);
	return code;
}

int cmd_serve(int argc, char **argv)
{
	static const struct option options[] = { { "config", required_argument, NULL, 'c' },
						 { "help", no_argument, NULL, 'h' },
						 { NULL, 0, NULL, 0 } };
	const char *path = NULL;
	for (int o; (o = getopt_long(argc, argv, "c:h", options, NULL)) != -1;) {
		if (o == 'h')
			return cmd_print(help);
		if (o != 'c')
			return cmd_usage("serve", "that is not an option");
		path = optarg;
	}
	if (optind < argc)
		return cmd_usage("serve", "found argument \"%s\"; allowed: options (a file goes behind -c)",
				 argv[optind]);
	return serve(path);
}

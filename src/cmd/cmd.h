/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd.h: what the subcommands of `cairn` share. Each one is a function with main's shape that returns the exit code: 0
 * it worked, 1 it failed and said why, 2 it was called wrongly. Results go to stdout, everything else to stderr.
 */
#ifndef CAIRN_CMD_CMD_H
#define CAIRN_CMD_CMD_H

#include "conf/conf.h"

enum { CMD_OK, CMD_FAILED, CMD_USAGE };

struct command {
	const char *name;
	int (*run)(int argc, char **argv); /* argv[0] is the subcommand */
	const char *line;                  /* for the list in --help */
};

int cmd_init(int argc, char **argv);
int cmd_serve(int argc, char **argv);
int cmd_check_config(int argc, char **argv);
int cmd_eab(int argc, char **argv);
int cmd_grant(int argc, char **argv);
int cmd_lint(int argc, char **argv);
int cmd_audit(int argc, char **argv);
int cmd_issuer(int argc, char **argv);
int cmd_root(int argc, char **argv);
int cmd_backup(int argc, char **argv);
int cmd_restore(int argc, char **argv);

/* -c, $CAIRN_CONF, ./cairn.conf, /etc/cairn/cairn.conf: the first one there is. */
const char *cmd_conf_path(const char *flag);
/* "cairn COMMAND: detail" to stderr; CMD_FAILED, or CMD_USAGE for an error of cmd_usage's. */
int cmd_fail(const char *command, const struct err *err);
/* After getopt_long has printed what it did not like, or for a wrong value. */
int cmd_usage(const char *command, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Prints a help text; CMD_OK, or CMD_FAILED when stdout takes nothing. */
int cmd_print(const char *text);
/* Flushes stdout: a full disk behind `cairn check-config --print > file` must not pass for success. */
int cmd_flush(const char *command);
/* A file made by root for a CA that runs as somebody else: whoever owns the folder is to read it. */
fallible cmd_give_to_owner(const char *path, struct err *err);

#endif

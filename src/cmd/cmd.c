/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd.c: how the subcommands of `cairn` speak to the operator.
 */
#include "cmd/cmd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

const char *cmd_conf_path(const char *flag)
{
	if (flag != NULL)
		return flag;
	const char *env = getenv("CAIRN_CONF");
	if (env != NULL && env[0] != '\0')
		return env;
	return access("cairn.conf", F_OK) == 0 ? "cairn.conf" : "/etc/cairn/cairn.conf";
}

int cmd_fail(const char *command, const struct err *err)
{
	(void)fprintf(stderr, "cairn %s: %s\n", command, err->detail);
	if (err->cause[0] != '\0')
		(void)fprintf(stderr, "  because: %s\n", err->cause);
	return CMD_FAILED;
}

int cmd_usage(const char *command, const char *fmt, ...)
{
	struct err text = { 0 };
	char line[ERR_DETAIL_MAX];
	va_list args;
	va_start(args, fmt);
	if (vsnprintf(line, sizeof line, fmt, args) < 0)
		line[0] = '\0';
	va_end(args);
	err_set(&text, ERR_CONFIG, "%s", line); /* escapes what a terminal should not see */
	(void)fprintf(stderr, "cairn %s: %s\nSee: cairn %s --help\n", command, text.detail, command);
	return CMD_USAGE;
}

int cmd_print(const char *text)
{
	(void)fputs(text, stdout);
	return cmd_flush("help");
}

int cmd_flush(const char *command)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return CMD_OK;
	(void)fprintf(stderr, "cairn %s: writing the output: %s\n", command, strerrordesc_np(errno));
	return CMD_FAILED;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd.c: how the subcommands of `cairn` speak to the operator.
 */
#include "cmd/cmd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
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

fallible cmd_give_to_owner(const char *path, struct err *err)
{
	struct stat folder, file;
	AUTO(arena_done) struct arena mem = { 0 };
	struct str dir = str_z(path);
	while (dir.n > 0 && dir.p[dir.n - 1] != '/')
		dir.n--;
	if (stat(str_dupz_raw(&mem, dir), &folder) != 0 || stat(path, &file) != 0)
		FAIL(err, ERR_IO, "%s: %s", path, strerrordesc_np(errno));
	if (geteuid() == 0 && folder.st_uid != file.st_uid && chown(path, folder.st_uid, folder.st_gid) != 0)
		FAIL(err, ERR_IO, "%s: giving it to the folder's owner: %s", path, strerrordesc_np(errno));
	return OK;
}

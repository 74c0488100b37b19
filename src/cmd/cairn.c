/* SPDX-License-Identifier: Apache-2.0
 *
 * cairn.c: the operator's program: finds the subcommand and runs it.
 */
#include "cmd/cmd.h"

#include <stdio.h>

static int cmd_version(int argc, char **argv);
static int cmd_help(int argc, char **argv);

static const struct command commands[] = {
	{ "init", cmd_init, "make a new CA in a folder: keys, certificates, configuration" },
	{ "serve", cmd_serve, "run the CA: start cairn-api, cairn-validator and cairn-signer and watch them" },
	{ "check-config", cmd_check_config, "say whether the configuration is good, and what it comes to" },
	{ "eab", cmd_eab, "external account keys: add, list, show, disable" },
	{ "issuer", cmd_issuer, "issuing CAs: add, activate, retire, take a certificate back" },
	{ "root", cmd_root, "with the root's key, offline: sign an intermediate, list the revoked ones" },
	{ "backup", cmd_backup, "copy the database to a file while the CA runs" },
	{ "restore", cmd_restore, "put a backup back, and add what the signer's journal knows beyond it" },
	{ "lint", cmd_lint, "hold certificates, ours or not, against the rules" },
	{ "grant", cmd_grant, "names without a challenge, on an operator's word: key, add, list, show, revoke" },
	{ "audit", cmd_audit, "ask again, offline, whether certificates were issued rightly" },
	{ "version", cmd_version, "print the version" },
	{ "help", cmd_help, "print this text, or a subcommand's" },
};

static const struct command *find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	}
	return NULL;
}

static int cmd_version(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "--help") == 0)
		return cmd_print("usage: cairn version\n\nPrints the version.\n");
	if (argc > 1)
		return cmd_usage("version", "found argument \"%s\"; allowed: none", argv[1]);
	return cmd_print("cairn " CAIRN_VERSION "\n");
}

static int print_help(FILE *to)
{
	(void)fprintf(to, "cairn: a certificate authority that speaks ACME\n\nusage: cairn COMMAND [OPTION...]\n\n");
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		(void)fprintf(to, "  %-13s %s\n", commands[i].name, commands[i].line);
	(void)fprintf(to, "\ncairn COMMAND --help says more. A new CA takes two commands:\n\n"
			  "  cairn init --dir /etc/cairn --host ca.corp.example --allow \"*.corp.example\"\n"
			  "  cairn serve -c /etc/cairn/cairn.conf\n");
	return CMD_OK;
}

static int cmd_help(int argc, char **argv)
{
	if (argc < 2 || strcmp(argv[1], "--help") == 0) {
		(void)print_help(stdout);
		return cmd_flush("help");
	}
	const struct command *c = find(argv[1]);
	if (c == NULL || c->run == cmd_help)
		return cmd_usage("help", "found command \"%s\"; allowed: one of the list", argv[1]);
	char flag[] = "--help";
	char *args[] = { argv[1], flag, NULL };
	return c->run(2, args);
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		(void)print_help(stderr);
		return CMD_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
		return cmd_help(1, argv);
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0)
		return cmd_version(1, argv);
	const struct command *c = find(argv[1]);
	if (c == NULL) {
		struct err err = { 0 };
		err_set(&err, ERR_CONFIG, "%s", argv[1]);
		(void)fprintf(stderr, "cairn: found command \"%s\", which is none; `cairn help` lists them\n",
			      err.detail);
		return CMD_USAGE;
	}
	return c->run(argc - 1, argv + 1);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * cairn_agent.c: the program cairn-agent: an ACME client for hosts. This file reads the command line.
 */
#include "cmd/agent.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define TIMEOUT_DEFAULT_S 300

/* A signal handler has no other way to be told where to write. */
static volatile sig_atomic_t stop_asked;

static void on_signal(int number)
{
	(void)number;
	stop_asked = 1;
}

static const char usage[] =
	"cairn-agent: gets certificates from an ACME server\n"
	"\n"
	"usage: cairn-agent obtain --server DIRECTORY-URL -d NAME [-d NAME ...] (--webroot DIR | --standalone) "
	"[options]\n"
	"\n"
	"  -s, --server URL       the server's directory\n"
	"  -d, --domain NAME      a name to get the certificate for; the first one names its folder\n"
	"  -w, --webroot DIR      put answers into this web server's folder\n"
	"      --standalone       answer on port 80 ourselves, while it takes\n"
	"      --http-port N      another port for --standalone\n"
	"      --http-address A   another address for --standalone than all of them\n"
	"      --ca-file FILE     trust these roots for the server's own certificate\n"
	"      --dir DIR          where accounts and certificates are kept (/etc/cairn-agent; ~/.config/cairn-agent\n"
	"                         for others than root)\n"
	"      --email ADDRESS    contact for the account\n"
	"      --agree-terms      agree to the server's terms of service\n"
	"      --key KIND         p256 (default), p384, rsa2048, rsa3072, rsa4096\n"
	"      --renew-days N     due so many days before the end (default: a third of the life)\n"
	"      --force            get one even when it is not due\n"
	"      --json             one JSON object on standard output\n"
	"      --timeout SECONDS  give up after so long (default: 300)\n"
	"      --quiet            only errors\n"
	"  -h, --help             this text\n"
	"  -V, --version          the version\n"
	"\n"
	"exit status: 0 a new certificate is in place, 1 error, 2 not due: nothing was done\n";

enum opt {
	OPT_STANDALONE = 256,
	OPT_HTTP_PORT,
	OPT_HTTP_ADDRESS,
	OPT_CA_FILE,
	OPT_DIR,
	OPT_EMAIL,
	OPT_AGREE,
	OPT_KEY,
	OPT_RENEW_DAYS,
	OPT_FORCE,
	OPT_JSON,
	OPT_TIMEOUT,
	OPT_QUIET
};

static const struct option options[] = {
	{ "server", required_argument, NULL, 's' },
	{ "domain", required_argument, NULL, 'd' },
	{ "webroot", required_argument, NULL, 'w' },
	{ "standalone", no_argument, NULL, OPT_STANDALONE },
	{ "http-port", required_argument, NULL, OPT_HTTP_PORT },
	{ "http-address", required_argument, NULL, OPT_HTTP_ADDRESS },
	{ "ca-file", required_argument, NULL, OPT_CA_FILE },
	{ "dir", required_argument, NULL, OPT_DIR },
	{ "email", required_argument, NULL, OPT_EMAIL },
	{ "agree-terms", no_argument, NULL, OPT_AGREE },
	{ "key", required_argument, NULL, OPT_KEY },
	{ "renew-days", required_argument, NULL, OPT_RENEW_DAYS },
	{ "force", no_argument, NULL, OPT_FORCE },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "timeout", required_argument, NULL, OPT_TIMEOUT },
	{ "quiet", no_argument, NULL, OPT_QUIET },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ NULL, 0, NULL, 0 },
};

static fallible add_name(struct arena *mem, struct agent_options *o, const char *text, struct err *err)
{
	struct ident id = { .type = IDENT_DNS, .value = name_lower(mem, str_z(text)) };
	if (str_starts(id.value, STR("*.")))
		FAIL(err, ERR_CONFIG, "-d %s: wildcards cannot be shown over http-01 (RFC 8555 8.3)", text);
	struct rc rc = ident_check(&id, false, err);
	if (FAILED(rc)) {
		err_prefix(err, "-d: ");
		return rc;
	}
	for (size_t i = 0; i < o->name_count; i++)
		if (str_eq(o->names[i], id.value))
			return OK;
	if (o->name_count == IDENTS_MAX)
		FAIL(err, ERR_CONFIG, "-d: more than %d names", IDENTS_MAX);
	o->names[o->name_count++] = id.value;
	return OK;
}

static fallible read_key_kind(struct agent_options *o, const char *text, struct err *err)
{
	static const struct {
		const char *name;
		enum key_kind kind;
		unsigned bits;
	} rows[] = {
		{ "p256", KEY_P256, 0 },      { "p384", KEY_P384, 0 },      { "rsa2048", KEY_RSA, 2048 },
		{ "rsa3072", KEY_RSA, 3072 }, { "rsa4096", KEY_RSA, 4096 },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (strcmp(rows[i].name, text) == 0) {
			o->key_kind = rows[i].kind;
			o->rsa_bits = rows[i].bits;
			return OK;
		}
	}
	FAIL(err, ERR_CONFIG, "--key %s: wanted p256, p384, rsa2048, rsa3072 or rsa4096", text);
}

static fallible read_number(const char *flag, const char *text, uint64_t min, uint64_t max, uint64_t *ret,
			    struct err *err)
{
	if (FAILED(str_u64(str_z(text), max, ret, NULL)) || *ret < min)
		FAIL(err, ERR_CONFIG, "%s %s: wanted a number from %llu to %llu", flag, text, (unsigned long long)min,
		     (unsigned long long)max);
	return OK;
}

static fallible read_email(struct agent_options *o, const char *text, struct err *err)
{
	size_t n = strlen(text);
	size_t at = str_find(str_z(text), '@', 0);
	for (size_t i = 0; i < n; i++)
		if (text[i] <= ' ' || text[i] > '~' || strchr("?,<>\"", text[i]) != NULL)
			at = n;
	if (at == 0 || at + 1 >= n || n > 254)
		FAIL(err, ERR_CONFIG, "--email %s: wanted one address such as ops@example.org", text);
	o->email = str_z(text);
	return OK;
}

static fallible take_option(struct arena *mem, struct agent_options *o, int c, const char *arg, struct err *err)
{
	uint64_t number = 0;
	switch (c) {
	case 's':
		o->server = str_z(arg);
		return OK;
	case 'd':
		return add_name(mem, o, arg, err);
	case 'w':
		o->webroot = arg;
		return OK;
	case OPT_STANDALONE:
		o->standalone = true;
		return OK;
	case OPT_HTTP_PORT:
		TRY(read_number("--http-port", arg, 1, UINT16_MAX, &number, err));
		o->http_port = (uint16_t)number;
		return OK;
	case OPT_HTTP_ADDRESS:
		o->has_address = true;
		return addr_read(str_z(arg), &o->address, err);
	case OPT_CA_FILE:
		o->ca_file = arg;
		return OK;
	case OPT_DIR:
		o->dir = arg;
		return OK;
	case OPT_EMAIL:
		return read_email(o, arg, err);
	case OPT_AGREE:
		o->agree_terms = true;
		return OK;
	case OPT_KEY:
		return read_key_kind(o, arg, err);
	case OPT_RENEW_DAYS:
		TRY(read_number("--renew-days", arg, 1, 3650, &number, err));
		o->renew_days = (int64_t)number;
		return OK;
	case OPT_FORCE:
		o->force = true;
		return OK;
	case OPT_JSON:
		o->json = true;
		return OK;
	case OPT_TIMEOUT:
		TRY(read_number("--timeout", arg, 1, 86400, &number, err));
		o->timeout_s = (int64_t)number;
		return OK;
	case OPT_QUIET:
		o->quiet = true;
		return OK;
	default:
		FAIL(err, ERR_CONFIG, "see cairn-agent --help"); /* getopt has said what is wrong */
	}
}

static fallible default_dir(struct arena *mem, struct agent_options *o, struct err *err)
{
	const char *home = getenv("HOME");
	if (o->dir != NULL)
		return OK;
	if (geteuid() == 0)
		o->dir = "/etc/cairn-agent";
	else if (home != NULL && home[0] == '/')
		o->dir = str_dupz_raw(mem, str_fmt(mem, "%s/.config/cairn-agent", home));
	else
		FAIL(err, ERR_CONFIG, "no --dir, and HOME is not set");
	return OK;
}

static fallible check_options(struct arena *mem, struct agent_options *o, struct err *err)
{
	if (o->server.n == 0)
		FAIL(err, ERR_CONFIG, "--server is missing: the URL of the ACME server's directory");
	if (o->name_count == 0)
		FAIL(err, ERR_CONFIG, "-d is missing: the name to get a certificate for");
	if ((o->webroot != NULL) == o->standalone)
		FAIL(err, ERR_CONFIG, "one of --webroot and --standalone is needed, and not both");
	if (!o->standalone && (o->has_address || o->http_port != 80))
		FAIL(err, ERR_CONFIG, "--http-port and --http-address go with --standalone");
	return default_dir(mem, o, err);
}

/* true: the program ends here, with *ret_code. */
static bool read_options(struct arena *mem, int argc, char **argv, struct agent_options *o, int *ret_code)
{
	struct err err = { 0 };
	struct rc rc = OK;
	int c;
	while (rc.kind == ERR_NONE && (c = getopt_long(argc, argv, "s:d:w:hV", options, NULL)) != -1) {
		if (c == 'h' || c == 'V') {
			(void)fputs(c == 'h' ? usage : "cairn-agent " CAIRN_VERSION "\n", stdout);
			*ret_code = 0;
			return true;
		}
		rc = take_option(mem, o, c, optarg, &err);
	}
	if (rc.kind == ERR_NONE && (optind + 1 != argc || strcmp(argv[optind], "obtain") != 0)) {
		err_set(&err, ERR_CONFIG, "the command is missing or is not \"obtain\"; see cairn-agent --help");
		rc = (struct rc){ ERR_CONFIG };
	}
	if (rc.kind == ERR_NONE)
		rc = check_options(mem, o, &err);
	if (rc.kind == ERR_NONE)
		return false;
	(void)fprintf(stderr, "cairn-agent: %s\n", err.detail);
	*ret_code = AGENT_ERROR;
	return true;
}

int main(int argc, char **argv)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct agent_options o = { .http_port = 80, .key_kind = KEY_P256, .timeout_s = TIMEOUT_DEFAULT_S };
	int code;
	if (read_options(&mem, argc, argv, &o, &code))
		return code;
	struct sigaction act = { .sa_handler = on_signal };
	sigemptyset(&act.sa_mask);
	(void)sigaction(SIGINT, &act, NULL); /* answers that are up come down before we go */
	(void)sigaction(SIGTERM, &act, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	json_seed(&rng_system);
	return agent_obtain(&o, &stop_asked);
}

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
	"usage: cairn-agent obtain --server URL -d NAME [-d NAME ...] [--challenge TYPES] [options]\n"
	"       cairn-agent revoke --server URL (-d NAME | --cert FILE) [--by-key | --key-file FILE] [--reason WORD]\n"
	"       cairn-agent key-change --server URL\n"
	"       cairn-agent deactivate --server URL\n"
	"       cairn-agent persist-record --server URL -d NAME [-d NAME ...]\n"
	"\n"
	"  -s, --server URL       the server's directory\n"
	"  -d, --domain NAME      a name, *.NAME or address to get the certificate for; the first one names its "
	"folder\n"
	"      --ca-file FILE     trust these roots for the server's own certificate\n"
	"      --dir DIR          where accounts and certificates are kept (/etc/cairn-agent; ~/.config/cairn-agent\n"
	"                         for others than root)\n"
	"      --json             one JSON object on standard output\n"
	"      --timeout SECONDS  give up after so long (default: 300)\n"
	"      --quiet            only errors\n"
	"How it is shown that a name is ours\n"
	"      --challenge TYPES  http-01 (default), dns-01, tls-alpn-01, dns-account-01, dns-persist-01; of several,\n"
	"                         with commas between them, the first one that the server offers for the name\n"
	"  -w, --webroot DIR      http-01: put answers into this web server's folder\n"
	"      --standalone       http-01: answer on port 80 ourselves, while it takes\n"
	"      --http-port N      another port for --standalone\n"
	"      --http-address A   another address for --standalone than all of them\n"
	"      --tls-port N       tls-alpn-01: another port than 443\n"
	"      --tls-address A    tls-alpn-01: another address than all of them\n"
	"      --dns-hook PROGRAM dns-01, dns-account-01: runs PROGRAM add NAME VALUE and PROGRAM remove NAME VALUE\n"
	"      --dns-wait SECONDS between the last record and the first look at it (default: 0)\n"
	"The account\n"
	"      --email ADDRESS    contact for the account\n"
	"      --agree-terms      agree to the server's terms of service\n"
	"      --eab-kid ID       the id of an external account key, which some servers want\n"
	"      --eab-key-file F   the key itself, base64url, in a file that others cannot read\n"
	"The certificate\n"
	"      --key KIND         p256 (default), p384, rsa2048, rsa3072, rsa4096; of key-change: the account's new "
	"key\n"
	"      --profile NAME     one of the server's profiles\n"
	"      --renew-days N     due so many days before the end (default: a third of the life)\n"
	"      --force            get one even when it is not due\n"
	"Which one is revoked, by whom, why\n"
	"      --cert FILE        this one, instead of the one in place for -d NAME\n"
	"      --by-key           signed by its own key, the one in place, instead of the account's\n"
	"      --key-file FILE    signed by its own key, this one\n"
	"      --reason WORD      unspecified (default), keyCompromise, affiliationChanged, superseded,\n"
	"                         cessationOfOperation\n"
	"\n"
	"  -h, --help             this text\n"
	"  -V, --version          the version\n"
	"\n"
	"exit status: 0 done: obtain has put a new certificate in place; 1 error; 2 nothing was to be done: not due, "
	"or\n"
	"revoked already\n";

enum opt {
	OPT_STANDALONE = 256,
	OPT_HTTP_PORT,
	OPT_HTTP_ADDRESS,
	OPT_TLS_PORT,
	OPT_TLS_ADDRESS,
	OPT_CHALLENGE,
	OPT_DNS_HOOK,
	OPT_DNS_WAIT,
	OPT_CA_FILE,
	OPT_DIR,
	OPT_EMAIL,
	OPT_AGREE,
	OPT_EAB_KID,
	OPT_EAB_KEY_FILE,
	OPT_KEY,
	OPT_PROFILE,
	OPT_RENEW_DAYS,
	OPT_FORCE,
	OPT_CERT,
	OPT_BY_KEY,
	OPT_KEY_FILE,
	OPT_REASON,
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
	{ "tls-port", required_argument, NULL, OPT_TLS_PORT },
	{ "tls-address", required_argument, NULL, OPT_TLS_ADDRESS },
	{ "challenge", required_argument, NULL, OPT_CHALLENGE },
	{ "dns-hook", required_argument, NULL, OPT_DNS_HOOK },
	{ "dns-wait", required_argument, NULL, OPT_DNS_WAIT },
	{ "ca-file", required_argument, NULL, OPT_CA_FILE },
	{ "dir", required_argument, NULL, OPT_DIR },
	{ "email", required_argument, NULL, OPT_EMAIL },
	{ "agree-terms", no_argument, NULL, OPT_AGREE },
	{ "eab-kid", required_argument, NULL, OPT_EAB_KID },
	{ "eab-key-file", required_argument, NULL, OPT_EAB_KEY_FILE },
	{ "key", required_argument, NULL, OPT_KEY },
	{ "profile", required_argument, NULL, OPT_PROFILE },
	{ "renew-days", required_argument, NULL, OPT_RENEW_DAYS },
	{ "force", no_argument, NULL, OPT_FORCE },
	{ "cert", required_argument, NULL, OPT_CERT },
	{ "by-key", no_argument, NULL, OPT_BY_KEY },
	{ "key-file", required_argument, NULL, OPT_KEY_FILE },
	{ "reason", required_argument, NULL, OPT_REASON },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "timeout", required_argument, NULL, OPT_TIMEOUT },
	{ "quiet", no_argument, NULL, OPT_QUIET },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ NULL, 0, NULL, 0 },
};

static fallible check_obtain(const struct agent_options *o, struct err *err);
static fallible check_revoke(const struct agent_options *o, struct err *err);
static fallible check_names(const struct agent_options *o, struct err *err);

/* What every command takes: */
#define COMMON 's', OPT_CA_FILE, OPT_DIR, OPT_JSON, OPT_TIMEOUT, OPT_QUIET
#define ACCOUNT OPT_EMAIL, OPT_AGREE, OPT_EAB_KID, OPT_EAB_KEY_FILE
static const struct command {
	const char *name;
	int (*run)(const struct agent_options *o, const volatile sig_atomic_t *stop);
	fallible (*check)(const struct agent_options *o, struct err *err); /* may be NULL */
	int takes[32];                                                     /* options, 0 at the end */
} commands[] = {
	{ "obtain",
	  agent_obtain,
	  check_obtain,
	  { COMMON, ACCOUNT, 'd', 'w', OPT_STANDALONE, OPT_HTTP_PORT, OPT_HTTP_ADDRESS, OPT_TLS_PORT, OPT_TLS_ADDRESS,
	    OPT_CHALLENGE, OPT_DNS_HOOK, OPT_DNS_WAIT, OPT_KEY, OPT_PROFILE, OPT_RENEW_DAYS, OPT_FORCE, 0 } },
	{ "revoke", agent_revoke, check_revoke, { COMMON, 'd', OPT_CERT, OPT_BY_KEY, OPT_KEY_FILE, OPT_REASON, 0 } },
	{ "key-change", agent_key_change, NULL, { COMMON, OPT_KEY, 0 } },
	{ "deactivate", agent_deactivate, NULL, { COMMON, 0 } },
	{ "persist-record", agent_persist_record, check_names, { COMMON, ACCOUNT, 'd', 0 } },
};

/* --- single options -----------------------------------------------------------------------------------------------*/

static fallible add_name(struct arena *mem, struct agent_options *o, const char *text, struct err *err)
{
	struct addr addr;
	char shown[ADDR_TEXT_MAX];
	struct ident id = { .type = IDENT_DNS, .value = name_lower(mem, str_z(text)) };
	if (!FAILED(addr_read(str_z(text), &addr, NULL))) {
		addr_show(&addr, shown);
		id = (struct ident){ IDENT_IP, str_dup(mem, str_z(shown)) };
	}
	struct rc rc = ident_check(&id, true, err);
	if (FAILED(rc)) {
		err_prefix(err, "-d: ");
		return rc;
	}
	for (size_t i = 0; i < o->ident_count; i++)
		if (str_eq(o->idents[i].value, id.value))
			return OK;
	if (o->ident_count == IDENTS_MAX)
		FAIL(err, ERR_CONFIG, "-d: more than %d names", IDENTS_MAX);
	o->idents[o->ident_count++] = id;
	return OK;
}

bool agent_has_method(const struct agent_options *o, enum challenge_type method)
{
	for (size_t i = 0; i < o->method_count; i++)
		if (o->methods[i] == method)
			return true;
	return false;
}

static fallible add_methods(struct agent_options *o, const char *text, struct err *err)
{
	struct str list = str_z(text);
	for (size_t from = 0; from <= list.n;) {
		size_t to = str_find(list, ',', from);
		enum challenge_type method;
		struct rc rc = challenge_type_read(str_trim(str_sub(list, from, to)), &method, err);
		if (FAILED(rc)) {
			err_prefix(err, "--challenge: ");
			return rc;
		}
		if (!agent_has_method(o, method))
			o->methods[o->method_count++] = method;
		from = to + 1;
	}
	return OK;
}

static fallible read_reason(struct agent_options *o, const char *text, struct err *err)
{
	static const struct { /* RFC 5280 5.3.1; the others are not a subscriber's to say */
		const char *word;
		int reason;
	} rows[] = {
		{ "unspecified", 0 }, { "keyCompromise", 1 },        { "affiliationChanged", 3 },
		{ "superseded", 4 },  { "cessationOfOperation", 5 },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (str_eq_nocase(str_z(text), str_z(rows[i].word))) {
			o->reason = rows[i].reason;
			return OK;
		}
	}
	FAIL(err, ERR_CONFIG,
	     "--reason %s: wanted unspecified, keyCompromise, affiliationChanged, superseded or cessationOfOperation",
	     text);
}

/* What goes into messages to servers as it is. */
static fallible read_word(const char *flag, const char *text, struct str *ret, struct err *err)
{
	size_t n = strlen(text);
	for (size_t i = 0; i < n; i++)
		if (text[i] <= ' ' || text[i] > '~')
			n = 0;
	if (n == 0 || n > 64)
		FAIL(err, ERR_CONFIG, "%s %s: wanted 1 to 64 printable characters without blanks", flag, text);
	*ret = str_n(text, n);
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

static fallible read_port(const char *flag, const char *text, uint16_t *ret, struct err *err)
{
	uint64_t number = 0;
	TRY(read_number(flag, text, 1, UINT16_MAX, &number, err));
	*ret = (uint16_t)number;
	return OK;
}

static fallible read_count(const char *flag, const char *text, uint64_t min, uint64_t max, int64_t *ret,
			   struct err *err)
{
	uint64_t number = 0;
	TRY(read_number(flag, text, min, max, &number, err));
	*ret = (int64_t)number;
	return OK;
}

/* Options whose argument is kept as it is, or that have none. */
static bool take_plain(struct agent_options *o, int c, const char *arg)
{
	switch (c) {
	case 's':
		o->server = str_z(arg);
		return true;
	case 'w':
		o->webroot = arg;
		return true;
	case OPT_STANDALONE:
		o->standalone = true;
		return true;
	case OPT_DNS_HOOK:
		o->dns_hook = arg;
		return true;
	case OPT_CA_FILE:
		o->ca_file = arg;
		return true;
	case OPT_DIR:
		o->dir = arg;
		return true;
	case OPT_AGREE:
		o->agree_terms = true;
		return true;
	case OPT_EAB_KEY_FILE:
		o->eab_key_file = arg;
		return true;
	case OPT_FORCE:
		o->force = true;
		return true;
	case OPT_CERT:
		o->certificate_file = arg;
		return true;
	case OPT_KEY_FILE:
		o->key_file = arg;
		o->by_key = true;
		return true;
	case OPT_BY_KEY:
		o->by_key = true;
		return true;
	case OPT_JSON:
		o->json = true;
		return true;
	case OPT_QUIET:
		o->quiet = true;
		return true;
	default:
		return false;
	}
}

static fallible take_option(struct arena *mem, struct agent_options *o, int c, const char *arg, struct err *err)
{
	if (take_plain(o, c, arg))
		return OK;
	switch (c) {
	case 'd':
		return add_name(mem, o, arg, err);
	case OPT_CHALLENGE:
		return add_methods(o, arg, err);
	case OPT_HTTP_PORT:
		return read_port("--http-port", arg, &o->http_port, err);
	case OPT_TLS_PORT:
		return read_port("--tls-port", arg, &o->tls_port, err);
	case OPT_HTTP_ADDRESS:
		o->has_http_address = true;
		return addr_read(str_z(arg), &o->http_address, err);
	case OPT_TLS_ADDRESS:
		o->has_tls_address = true;
		return addr_read(str_z(arg), &o->tls_address, err);
	case OPT_DNS_WAIT:
		return read_count("--dns-wait", arg, 0, 86400, &o->dns_wait_s, err);
	case OPT_EMAIL:
		return read_email(o, arg, err);
	case OPT_EAB_KID:
		return read_word("--eab-kid", arg, &o->eab_kid, err);
	case OPT_PROFILE:
		return read_word("--profile", arg, &o->profile, err);
	case OPT_KEY:
		return read_key_kind(o, arg, err);
	case OPT_REASON:
		return read_reason(o, arg, err);
	case OPT_RENEW_DAYS:
		return read_count("--renew-days", arg, 1, 3650, &o->renew_days, err);
	case OPT_TIMEOUT:
		return read_count("--timeout", arg, 1, 86400, &o->timeout_s, err);
	default:
		FAIL(err, ERR_CONFIG, "see cairn-agent --help"); /* getopt has said what is wrong */
	}
}

/* --- all together -------------------------------------------------------------------------------------------------*/

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

static fallible check_names(const struct agent_options *o, struct err *err)
{
	if (o->ident_count == 0)
		FAIL(err, ERR_CONFIG, "-d is missing: the name to get a certificate for");
	return OK;
}

static fallible check_revoke(const struct agent_options *o, struct err *err)
{
	if ((o->ident_count == 1) == (o->certificate_file != NULL) || o->ident_count > 1)
		FAIL(err, ERR_CONFIG, "one of -d and --cert is needed, once, and not both: which certificate it is");
	if (o->certificate_file != NULL && o->by_key && o->key_file == NULL)
		FAIL(err, ERR_CONFIG, "--by-key with --cert: the key's file is needed too, --key-file");
	return OK;
}

/* Options that say how, without the method that would do it so. */
static fallible check_means(const struct agent_options *o, struct err *err)
{
	bool http = agent_has_method(o, CHALLENGE_HTTP01), tls = agent_has_method(o, CHALLENGE_TLSALPN01);
	bool records = agent_has_method(o, CHALLENGE_DNS01) || agent_has_method(o, CHALLENGE_DNSACCOUNT01);
	if (http && (o->webroot != NULL) == o->standalone)
		FAIL(err, ERR_CONFIG, "http-01: one of --webroot and --standalone is needed, and not both");
	if (!http && (o->webroot != NULL || o->standalone))
		FAIL(err, ERR_CONFIG, "--webroot and --standalone go with --challenge http-01");
	if (!o->standalone && (o->has_http_address || o->http_port != 80))
		FAIL(err, ERR_CONFIG, "--http-port and --http-address go with --standalone");
	if (!tls && (o->has_tls_address || o->tls_port != 443))
		FAIL(err, ERR_CONFIG, "--tls-port and --tls-address go with --challenge tls-alpn-01");
	if (records && o->dns_hook == NULL)
		FAIL(err, ERR_CONFIG,
		     "dns-01 and dns-account-01: --dns-hook is needed, a program that puts records into the DNS");
	if (!records && (o->dns_hook != NULL || o->dns_wait_s > 0))
		FAIL(err, ERR_CONFIG, "--dns-hook and --dns-wait go with --challenge dns-01 or dns-account-01");
	return OK;
}

static fallible check_obtain(const struct agent_options *o, struct err *err)
{
	TRY(check_names(o, err));
	for (size_t i = 0; i < o->ident_count; i++) {
		bool can = false;
		for (size_t m = 0; m < o->method_count; m++)
			can = can || client_method_serves(o->methods[m], &o->idents[i]);
		if (!can && o->idents[i].type == IDENT_DNS)
			FAIL(err, ERR_CONFIG,
			     "-d %.*s: wildcards cannot be shown over http-01 or tls-alpn-01 (RFC 8555 8.3); "
			     "--challenge dns-01 does it",
			     STR_FMT(o->idents[i].value));
		if (!can)
			FAIL(err, ERR_CONFIG,
			     "-d %.*s: addresses cannot be shown in the DNS (RFC 8738); --challenge http-01 or "
			     "tls-alpn-01 does it",
			     STR_FMT(o->idents[i].value));
	}
	return check_means(o, err);
}

static fallible check_common(struct arena *mem, struct agent_options *o, struct err *err)
{
	if (o->server.n == 0)
		FAIL(err, ERR_CONFIG, "--server is missing: the URL of the ACME server's directory");
	if ((o->eab_kid.n == 0) != (o->eab_key_file == NULL))
		FAIL(err, ERR_CONFIG, "--eab-kid and --eab-key-file go together");
	if (o->method_count == 0)
		o->methods[o->method_count++] = CHALLENGE_HTTP01;
	return default_dir(mem, o, err);
}

static const char *option_name(int c)
{
	for (const struct option *o = options; o->name != NULL; o++)
		if (o->val == c)
			return o->name;
	return "";
}

static fallible check_taken(const struct command *command, const bool *given, struct err *err)
{
	for (const struct option *o = options; o->name != NULL; o++) {
		bool taken = !given[o->val];
		for (size_t i = 0; command->takes[i] != 0; i++)
			taken = taken || command->takes[i] == o->val;
		if (!taken)
			FAIL(err, ERR_CONFIG, "--%s is no option of %s", option_name(o->val), command->name);
	}
	return OK;
}

static fallible find_command(int argc, char **argv, const struct command **ret, struct err *err)
{
	for (size_t i = 0; optind + 1 == argc && i < ARRAY_LEN(commands); i++) {
		if (strcmp(argv[optind], commands[i].name) == 0) {
			*ret = &commands[i];
			return OK;
		}
	}
	FAIL(err, ERR_CONFIG,
	     "the command is missing or is not \"obtain\", \"revoke\", \"key-change\", \"deactivate\" or "
	     "\"persist-record\"; see cairn-agent --help");
}

static fallible judge_options(struct arena *mem, int argc, char **argv, struct agent_options *o, const bool *given,
			      const struct command **ret, struct err *err)
{
	TRY(find_command(argc, argv, ret, err));
	TRY(check_taken(*ret, given, err));
	TRY(check_common(mem, o, err));
	return (*ret)->check == NULL ? OK : (*ret)->check(o, err);
}

/* true: the program ends here, with *ret_code. */
static bool read_options(struct arena *mem, int argc, char **argv, struct agent_options *o,
			 const struct command **ret_command, int *ret_code)
{
	struct err err = { 0 };
	struct rc rc = OK;
	bool given[OPT_QUIET + 1] = { false };
	int c;
	while (rc.kind == ERR_NONE && (c = getopt_long(argc, argv, "s:d:w:hV", options, NULL)) != -1) {
		if (c == 'h' || c == 'V') {
			(void)fputs(c == 'h' ? usage : "cairn-agent " CAIRN_VERSION "\n", stdout);
			*ret_code = 0;
			return true;
		}
		if (c >= 0 && c <= OPT_QUIET)
			given[c] = true;
		rc = take_option(mem, o, c, optarg, &err);
	}
	if (rc.kind == ERR_NONE)
		rc = judge_options(mem, argc, argv, o, given, ret_command, &err);
	if (rc.kind == ERR_NONE)
		return false;
	(void)fprintf(stderr, "cairn-agent: %s\n", err.detail);
	*ret_code = AGENT_ERROR;
	return true;
}

int main(int argc, char **argv)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct agent_options o = {
		.http_port = 80, .tls_port = 443, .key_kind = KEY_P256, .timeout_s = TIMEOUT_DEFAULT_S
	};
	const struct command *command = NULL;
	int code;
	if (read_options(&mem, argc, argv, &o, &command, &code))
		return code;
	struct sigaction act = { .sa_handler = on_signal };
	sigemptyset(&act.sa_mask);
	(void)sigaction(SIGINT, &act, NULL); /* answers that are up come down before we go */
	(void)sigaction(SIGTERM, &act, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	return command->run(&o, &stop_asked);
}

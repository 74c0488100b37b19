/* SPDX-License-Identifier: Apache-2.0
 *
 * cairn_audit.c: `cairn audit`: what every certificate was issued upon, got out of the running API, and asked again.
 */
#include "cmd/audit.h"

#include <getopt.h>
#include <stdio.h>

static const char help[] =
	"usage: cairn audit export [--since WHEN] [--until WHEN] [-c FILE]\n"
	"       cairn audit verify [--since WHEN] [--until WHEN] [--journal DIR | --no-journal] [-c FILE] [--json]\n"
	"                          [FILE...]\n"
	"\n"
	"  export             writes a line of JSON for each certificate to stdout: the certificate, the job that the\n"
	"                     signer was sent for it with all of its evidence, and when it was issued. The API must "
	"be\n"
	"                     running; be root or the user whom it runs as.\n"
	"  verify             asks of each line of an export whether it was issued rightly: the evidence, the\n"
	"                     certificate, its issuer, and the signer's journal. Needs the configuration and the "
	"public\n"
	"                     keys that it names; no store, no API. Without FILE, or for -, reads standard input.\n"
	"      --journal DIR      the signer's journal; default: signer.journal, when it is at hand\n"
	"      --no-journal       none\n"
	"      --json             a line of JSON for each failure, and one at the end\n"
	"\n"
	"      --since WHEN       certificates from then on: 2027-01-01, 2027-01-01T12:00:00Z, or 7d, that long ago\n"
	"      --until WHEN       and before then\n"
	"  -c, --config FILE  default: $CAIRN_CONF, ./cairn.conf, /etc/cairn/cairn.conf\n"
	"  -h, --help         this text\n"
	"\n"
	"Exit status: 0 done and all is well, 1 something failed, 2 called wrongly.\n";

enum flag { FLAG_SINCE = 256, FLAG_UNTIL, FLAG_JOURNAL, FLAG_NO_JOURNAL, FLAG_JSON, FLAG_END };
#define BIT(flag) (1u << ((flag)-FLAG_SINCE))
static const struct option options[] = { { "since", required_argument, NULL, FLAG_SINCE },
					 { "until", required_argument, NULL, FLAG_UNTIL },
					 { "journal", required_argument, NULL, FLAG_JOURNAL },
					 { "no-journal", no_argument, NULL, FLAG_NO_JOURNAL },
					 { "json", no_argument, NULL, FLAG_JSON },
					 { "config", required_argument, NULL, 'c' },
					 { "help", no_argument, NULL, 'h' },
					 { NULL, 0, NULL, 0 } };

static const struct sub {
	const char *name;
	unsigned flags; /* those that it takes */
	bool takes_files;
	int (*run)(const struct audit_given *g);
} subs[] = {
	{ "export", BIT(FLAG_SINCE) | BIT(FLAG_UNTIL), false, audit_export },
	{ "verify", BIT(FLAG_SINCE) | BIT(FLAG_UNTIL) | BIT(FLAG_JOURNAL) | BIT(FLAG_NO_JOURNAL) | BIT(FLAG_JSON), true,
	  audit_verify },
};

/* "7d": how long; false: it has another form. */
static bool span_read(struct str text, int64_t *ret_ms)
{
	static const struct {
		char unit;
		int64_t ms;
	} units[] = { { 's', 1000 }, { 'm', 60000 }, { 'h', 3600000 }, { 'd', 86400000 } };
	uint64_t n = 0;
	if (text.n < 2 || FAILED(str_u64(str_sub(text, 0, text.n - 1), 1000000, &n, NULL)))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		if (text.p[text.n - 1] == units[i].unit) {
			*ret_ms = (int64_t)n * units[i].ms;
			return true;
		}
	}
	return false;
}

static fallible moment_read(const char *option, const char *text, int64_t *ret_ms, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	int64_t span_ms, at_s;
	bool day = strlen(text) == strlen("2027-01-01");
	struct str moment = day ? str_fmt(&mem, "%sT00:00:00Z", text) : str_z(text);
	if (span_read(str_z(text), &span_ms))
		*ret_ms = clock_now_ms(&clock_system) - span_ms;
	else if (!FAILED(time_read(moment, &at_s, NULL)) && at_s >= 0)
		*ret_ms = at_s * 1000;
	else
		FAIL(err, ERR_CONFIG,
		     "--%s: found \"%s\"; allowed: a day such as 2027-01-01 (its beginning, UTC), a time such as "
		     "2027-01-01T12:00:00Z, or 7d (d, h, m, s), that long ago",
		     option, text);
	return OK;
}

static fallible flag_add(struct audit_given *g, int flag, const char *value, struct err *err)
{
	switch (flag) {
	case FLAG_SINCE:
		return moment_read("since", value, &g->since_ms, err);
	case FLAG_UNTIL:
		return moment_read("until", value, &g->until_ms, err);
	case FLAG_JOURNAL:
		g->journal = value;
		break;
	case FLAG_NO_JOURNAL:
		g->no_journal = true;
		break;
	default:
		g->json = true;
		break;
	}
	return OK;
}

static fallible parse(struct audit_given *g, const struct sub *sub, int argc, char **argv, struct err *err)
{
	for (int o; (o = getopt_long(argc, argv, "c:h", options, NULL)) != -1;) {
		if (o == 'c') {
			g->conf = optarg;
			continue;
		}
		if (o < FLAG_SINCE || o >= FLAG_END)
			FAIL(err, ERR_CONFIG, "that is not an option");
		if ((sub->flags & BIT(o)) == 0)
			FAIL(err, ERR_CONFIG, "found --%s, which is no option of %s", options[o - FLAG_SINCE].name,
			     sub->name);
		TRY(flag_add(g, o, optarg, err));
	}
	g->files = argv + optind;
	g->file_count = argc - optind;
	if (!sub->takes_files && g->file_count > 0)
		FAIL(err, ERR_CONFIG, "found argument \"%s\"; allowed: options", g->files[0]);
	if (g->journal != NULL && g->no_journal)
		FAIL(err, ERR_CONFIG, "found --journal and --no-journal; allowed: one of them");
	return OK;
}

int cmd_audit(int argc, char **argv)
{
	struct audit_given g = { .until_ms = INT64_MAX };
	struct err err = { 0 };
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			return cmd_print(help);
	}
	if (argc < 2)
		return cmd_usage("audit", "found no command; allowed: export, verify");
	for (size_t i = 0; i < ARRAY_LEN(subs); i++) {
		if (strcmp(argv[1], subs[i].name) != 0)
			continue;
		if (FAILED(parse(&g, &subs[i], argc - 1, argv + 1, &err)))
			return cmd_usage("audit", "%s", err.detail);
		return subs[i].run(&g);
	}
	return cmd_usage("audit", "found \"%s\"; allowed: export, verify", argv[1]);
}

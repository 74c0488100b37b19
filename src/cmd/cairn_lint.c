/* SPDX-License-Identifier: Apache-2.0
 *
 * cairn_lint.c: `cairn lint`: holds certificates, whoever made them, against the rules that this CA's own are held
 * against before it signs them.
 */
#include "cmd/cmd.h"
#include "pki/pki.h"

#include <getopt.h>
#include <stdio.h>

#define FILE_MAX (8 * 1024 * 1024)
#define CERTS_MAX 4096 /* in one file */

static const char help[] =
	"usage: cairn lint [--issuer FILE] [--public | --private] [--leaf] [--json] FILE...\n"
	"       cairn lint --rules [--json]\n"
	"\n"
	"Holds certificates, PEM or DER, ours or not, against rules of the CA/Browser Forum's Baseline Requirements "
	"and\n"
	"RFC 5280, and says for each finding which rule it is about. The same rules hold for what cairn-signer "
	"issues.\n"
	"\n"
	"      --issuer FILE  the issuer's certificate: signature, names, key identifiers and end are compared with "
	"it\n"
	"      --public       the strict rules, for publicly trusted servers\n"
	"      --private      the rules for private CAs (default: strict when the certificate names one of the\n"
	"                     Forum's policies)\n"
	"      --leaf         a CA's certificate is a finding\n"
	"      --json         for programs\n"
	"      --rules        lists the rules\n"
	"  -h, --help         this text\n"
	"\n"
	"Exit status: 0 no finding, 1 findings, 2 called wrongly or something could not be read.\n";

enum { FLAG_ISSUER = 256, FLAG_PUBLIC, FLAG_PRIVATE, FLAG_LEAF, FLAG_JSON, FLAG_RULES };
static const struct option options[] = { { "issuer", required_argument, NULL, FLAG_ISSUER },
					 { "public", no_argument, NULL, FLAG_PUBLIC },
					 { "private", no_argument, NULL, FLAG_PRIVATE },
					 { "leaf", no_argument, NULL, FLAG_LEAF },
					 { "json", no_argument, NULL, FLAG_JSON },
					 { "rules", no_argument, NULL, FLAG_RULES },
					 { "help", no_argument, NULL, 'h' },
					 { NULL, 0, NULL, 0 } };

struct given {
	const char *issuer;
	bool public_rules, private_rules, leaf, json, rules, help;
	char **files;
	int file_count;
};

struct run {
	const struct given *g;
	struct lint_how how;
	size_t findings, unreadable;
	struct jw w; /* with --json */
};

/* --- telling ---------------------------------------------------------------------------------------------------------*/
static void tell_rule(struct jw *w, const struct lint_rule *rule)
{
	jw_kz(w, "rule", rule->name);
	jw_kz(w, "level", lint_level_name(rule->level));
	jw_kz(w, "source", rule->source);
	jw_kz(w, "wants", rule->wants);
}

/* "FILE", or "FILE, certificate 2" when it holds several. */
static struct str place(struct arena *mem, const char *file, size_t n, size_t count)
{
	struct err shown = { 0 };
	err_set(&shown, ERR_CONFIG, "%s", file); /* escapes what a terminal should not see */
	return count > 1 ? str_fmt(mem, "%s, certificate %zu", shown.detail, n + 1) : str_fmt(mem, "%s", shown.detail);
}

static void tell_text(struct str where, const struct lint_report *r)
{
	const char *rules = r->public_rules ? "public" : "private";
	if (r->count == 0)
		(void)printf("%.*s: ok (%s rules, %s)\n", STR_FMT(where), rules, r->is_ca ? "CA" : "leaf");
	for (size_t i = 0; i < r->count; i++) {
		const struct lint_finding *f = &r->findings[i];
		(void)printf("%.*s: %s: %s: %.*s (%s)\n", STR_FMT(where), lint_level_name(f->rule->level),
			     f->rule->name, STR_FMT(f->text), f->rule->source);
	}
}

static void tell_json(struct jw *w, const char *file, size_t n, const struct lint_report *r)
{
	jw_object(w);
	jw_kz(w, "file", file);
	jw_ki64(w, "certificate", (int64_t)n + 1);
	jw_kz(w, "kind", r->is_ca ? "ca" : "leaf");
	jw_kz(w, "rules", r->public_rules ? "public" : "private");
	jw_key(w, "findings");
	jw_array(w);
	for (size_t i = 0; i < r->count; i++) {
		jw_object(w);
		tell_rule(w, r->findings[i].rule);
		jw_kstr(w, "found", r->findings[i].text);
		jw_object_end(w);
	}
	jw_array_end(w);
	jw_object_end(w);
}

static void tell_unreadable(struct run *run, struct str where, const struct err *err)
{
	run->unreadable++;
	(void)fprintf(stderr, "cairn lint: %.*s: %s\n", STR_FMT(where), err->detail);
}

/* --- looking ---------------------------------------------------------------------------------------------------------*/
static void lint_one(struct run *run, const char *file, size_t n, size_t count, struct str der)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct err err = { 0 };
	struct lint_report r = { 0 };
	if (FAILED(cert_lint_any(&mem, &run->how, der, &r, &err))) {
		tell_unreadable(run, place(&mem, file, n, count), &err);
		return;
	}
	run->findings += r.count;
	if (run->g->json)
		tell_json(&run->w, file, n, &r);
	else
		tell_text(place(&mem, file, n, count), &r);
}

static fallible read_blocks(struct arena *mem, const char *file, struct str **ret, size_t *ret_count, struct err *err)
{
	AUTO(buf_done) struct buf text = BUF_MAX(FILE_MAX);
	*ret = ARENA_ARRAY(mem, struct str, CERTS_MAX);
	TRY(file_read(file, FILE_MAX, &text, err));
	return cert_find_blocks(mem, buf_str(&text), CERTS_MAX, *ret, ret_count, err);
}

static void lint_file(struct run *run, const char *file)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct err err = { 0 };
	struct str *blocks;
	size_t count = 0;
	if (FAILED(read_blocks(&mem, file, &blocks, &count, &err))) {
		tell_unreadable(run, place(&mem, file, 0, 1), &err);
		return;
	}
	for (size_t n = 0; n < count; n++)
		lint_one(run, file, n, count, blocks[n]);
}

static int lint_files(struct run *run)
{
	AUTO(buf_done) struct buf text = BUF_MAX(64 * (size_t)FILE_MAX);
	struct err err = { 0 };
	run->w = jw_begin(&text, &err);
	jw_object(&run->w);
	jw_key(&run->w, "certificates");
	jw_array(&run->w);
	for (int i = 0; i < run->g->file_count; i++)
		lint_file(run, run->g->files[i]);
	jw_array_end(&run->w);
	jw_object_end(&run->w);
	if (FAILED(jw_end(&run->w))) {
		(void)cmd_fail("lint", &err);
		return CMD_USAGE;
	}
	if (run->g->json) {
		(void)fwrite(text.p, 1, text.n, stdout);
		(void)putchar('\n');
	}
	if (cmd_flush("lint") != CMD_OK || run->unreadable > 0)
		return CMD_USAGE;
	return run->findings > 0 ? CMD_FAILED : CMD_OK;
}

static int lint_with_issuer(struct run *run)
{
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(cert_auto) struct cert *issuer = NULL;
	struct err err = { 0 };
	struct str *blocks;
	size_t count = 0;
	if (run->g->issuer == NULL)
		return lint_files(run);
	if (FAILED(read_blocks(&mem, run->g->issuer, &blocks, &count, &err)) ||
	    FAILED(cert_read_der(blocks[0], &issuer, &err))) { /* a chain's first certificate is the one that issues */
		err_prefix(&err, "--issuer %s: ", run->g->issuer);
		(void)cmd_fail("lint", &err);
		return CMD_USAGE;
	}
	run->how.issuer = issuer;
	return lint_files(run);
}

static int list_rules(const struct given *g)
{
	AUTO(buf_done) struct buf text = BUF_MAX(1024 * 1024);
	struct err err = { 0 };
	const struct lint_rule *rule;
	struct jw w = jw_begin(&text, &err);
	jw_array(&w);
	for (size_t i = 0; (rule = lint_rule_at(i)) != NULL; i++) {
		jw_object(&w);
		tell_rule(&w, rule);
		jw_object_end(&w);
		if (!g->json)
			(void)printf("%-24s %-7s %s (%s)\n", rule->name, lint_level_name(rule->level), rule->wants,
				     rule->source);
	}
	jw_array_end(&w);
	if (FAILED(jw_end(&w)))
		return cmd_fail("lint", &err);
	if (g->json)
		(void)printf("%.*s\n", (int)text.n, text.p);
	return cmd_flush("lint");
}

/* --- the command line --------------------------------------------------------------------------------------------------*/
static bool parse(struct given *g, int argc, char **argv)
{
	for (int o; (o = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
		switch (o) {
		case FLAG_ISSUER:
			g->issuer = optarg;
			break;
		case FLAG_PUBLIC:
			g->public_rules = true;
			break;
		case FLAG_PRIVATE:
			g->private_rules = true;
			break;
		case FLAG_LEAF:
			g->leaf = true;
			break;
		case FLAG_JSON:
			g->json = true;
			break;
		case FLAG_RULES:
			g->rules = true;
			break;
		case 'h':
			g->help = true;
			break;
		default:
			return false;
		}
	}
	g->files = argv + optind;
	g->file_count = argc - optind;
	return true;
}

int cmd_lint(int argc, char **argv)
{
	struct given g = { 0 };
	if (!parse(&g, argc, argv))
		return cmd_usage("lint", "that is not an option");
	if (g.help)
		return cmd_print(help);
	if (g.public_rules && g.private_rules)
		return cmd_usage("lint", "found --public and --private; allowed: one of them");
	if (g.rules && g.file_count > 0)
		return cmd_usage("lint", "found argument \"%s\" besides --rules; allowed: none", g.files[0]);
	if (g.rules)
		return list_rules(&g);
	if (g.file_count == 0)
		return cmd_usage("lint", "found no file; allowed: files with certificates");
	struct run run = { .g = &g,
			   .how = { .strictness = g.public_rules    ? LINT_PUBLIC
						  : g.private_rules ? LINT_PRIVATE
								    : LINT_AS_IT_CLAIMS,
				    .must_be_leaf = g.leaf } };
	return lint_with_issuer(&run);
}

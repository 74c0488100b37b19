/* SPDX-License-Identifier: Apache-2.0
 *
 * cairn_root.c: `cairn root`: what is done with a root's key, on the machine where that key is and nowhere else: a list of
 * revoked intermediates, and a certificate for an intermediate whose key is elsewhere. Needs no configuration and no
 * running CA.
 */
#include "cmd/authority.h"
#include "cmd/cmd.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define DAY_S ((int64_t)86400)
#define CRL_DAYS 180
#define CRL_DAYS_MAX 366 /* BR 7.2: a root's list lasts 12 months at most */
#define REVOKE_MAX 64

static const char help[] =
	"usage: cairn root crl --root FILE --root-key FILE [--revoke CERT[,REASON]]... [--days N] -o FILE\n"
	"       cairn root sign CSR --root FILE --root-key FILE [--name TEXT] [--days N] [--permit DOMAIN|RANGE]...\n"
	"                       [--use USES] [--crl-url URL] [--aia-url URL] -o FILE\n"
	"\n"
	"What a root's key is needed for. Run it where that key is: an offline machine, or a medium that is taken away "
	"after.\n"
	"\n"
	"  crl                    signs the list of intermediates that the root has revoked. A list that is in FILE "
	"already is\n"
	"                         continued: what it revoked stays revoked, and the number grows\n"
	"      --revoke CERT[,REASON] one more, by its certificate's file; the reason as RFC 5280 names it, such as\n"
	"                         cACompromise, superseded or cessationOfOperation (may be repeated)\n"
	"      --days N               until the next list at the latest (default: 180, at most 366)\n"
	"  sign                   makes an intermediate of a request that `cairn init --root external` or `cairn "
	"issuer add\n"
	"                         --external` wrote\n"
	"      --name TEXT            its common name (default: the root's organisation and \"Issuing CA\")\n"
	"      --days N               how long it is valid (default: 1825, never longer than the root)\n"
	"      --permit DOMAIN|RANGE  what it may issue for (may be repeated; default: anything)\n"
	"      --use USE[,USE...]     what its certificates may be for: server-auth, client-auth, code-signing,\n"
	"                         email-protection (default: server-auth,client-auth)\n"
	"      --crl-url, --aia-url URL  http URLs in it, of the root's list and of the root's certificate\n"
	"\n"
	"      --root FILE            the root's certificate\n"
	"      --root-key FILE        its key\n"
	"      --passphrase-file FILE of that key; default: asked for when it is encrypted\n"
	"  -o, --output FILE          crl: as DER, and as PEM in FILE.pem; sign: as PEM, never replaced\n"
	"  -h, --help                 this text\n"
	"\n"
	"Exit status: 0 done, 1 failed and said why, 2 called wrongly.\n";

enum flag {
	FLAG_ROOT = 256,
	FLAG_ROOT_KEY,
	FLAG_PASSPHRASE,
	FLAG_REVOKE,
	FLAG_DAYS,
	FLAG_NAME,
	FLAG_PERMIT,
	FLAG_USE,
	FLAG_CRL,
	FLAG_AIA
};

static const struct option options[] = { { "root", required_argument, NULL, FLAG_ROOT },
					 { "root-key", required_argument, NULL, FLAG_ROOT_KEY },
					 { "passphrase-file", required_argument, NULL, FLAG_PASSPHRASE },
					 { "revoke", required_argument, NULL, FLAG_REVOKE },
					 { "days", required_argument, NULL, FLAG_DAYS },
					 { "name", required_argument, NULL, FLAG_NAME },
					 { "permit", required_argument, NULL, FLAG_PERMIT },
					 { "use", required_argument, NULL, FLAG_USE },
					 { "crl-url", required_argument, NULL, FLAG_CRL },
					 { "aia-url", required_argument, NULL, FLAG_AIA },
					 { "output", required_argument, NULL, 'o' },
					 { "help", no_argument, NULL, 'h' },
					 { NULL, 0, NULL, 0 } };

struct given {
	const char *root, *root_key, *passphrase, *output, *operand;
	struct str revoke[REVOKE_MAX], name, crl_url, aia_url, permit_texts[REVOKE_MAX];
	size_t revoke_count;
	struct conf_list permits;
	unsigned uses; /* EKU_*; 0: the default */
	uint64_t days; /* 0: not given */
};

struct work {
	struct arena mem;
	struct crypto *crypto;
	struct authority_root root;
	int64_t now_s;
};

static void work_done(struct work *w)
{
	authority_root_done(&w->root);
	crypto_free(w->crypto);
	arena_done(&w->mem);
}

static fallible work_open(const struct given *g, struct work *w, struct err *err)
{
	w->now_s = clock_now_ms(&clock_system) / 1000;
	TRY(crypto_new(&w->crypto, err));
	return authority_root_open(g->root, g->root_key, g->passphrase, &w->root, err);
}

/* --- crl ------------------------------------------------------------------------------------------------------------*/
/* The list that is continued; with no list there the first one begins. */
static fallible list_before(const struct given *g, struct work *w, struct crl *ret, struct err *err)
{
	struct str der, text;
	*ret = (struct crl){ .v = ARENA_ARRAY(&w->mem, struct crl_entry, REVOKE_MAX) };
	if (g->output == NULL || access(g->output, F_OK) != 0)
		return OK;
	AUTO(buf_done) struct buf file = BUF_MAX(2 * CRL_DER_MAX);
	TRY(file_read(g->output, 2 * CRL_DER_MAX, &file, err));
	text = str_dup(&w->mem, buf_str(&file));
	struct rc rc = pem_read(&w->mem, "X509 CRL", text, &der, err);
	if (!FAILED(rc))
		rc = crl_read(&w->mem, der, w->root.cert, ret, err);
	if (FAILED(rc)) {
		err_prefix(err, "%s is there and cannot be continued: ", g->output);
		return rc;
	}
	struct crl_entry *wider = ARENA_ARRAY(&w->mem, struct crl_entry, ret->count + REVOKE_MAX);
	if (ret->count > 0)
		memcpy(wider, ret->v, ret->count * sizeof *wider);
	ret->v = wider;
	return OK;
}

/* Only what this root issued can be revoked by it. */
static fallible issued_by_root(struct work *w, const char *path, struct str *ret_serial, struct err *err)
{
	AUTO(authority_chain_done) struct authority_chain chain = { .n = 0 };
	struct issuer *whole = NULL;
	TRY(authority_chain_read(path, &chain, err));
	struct cert *pair[] = { chain.v[0], w->root.cert };
	struct rc rc = issuer_new(w->crypto, pair, ARRAY_LEN(pair), NULL, &whole, err);
	issuer_free(whole);
	if (FAILED(rc)) {
		err_prefix(err, "%s was not issued by this root: ", path);
		return rc;
	}
	*ret_serial = str_dup(&w->mem, cert_get_serial(chain.v[0]));
	return OK;
}

static fallible revoke_one(struct work *w, struct crl *l, struct str text, struct err *err)
{
	size_t comma = str_find(text, ',', 0);
	struct crl_entry e = { .revoked_at = w->now_s };
	const char *path = str_dupz_raw(&w->mem, str_sub(text, 0, comma));
	if (comma < text.n)
		TRY(authority_reason_read(str_sub(text, comma + 1, text.n), &e.reason, err));
	TRY(issued_by_root(w, path, &e.serial, err));
	/* It has signed itself, but who trusts it asks nobody about it; and nothing takes an entry back. */
	if (str_eq(e.serial, cert_get_serial(w->root.cert)))
		FAIL(err, ERR_CONFIG,
		     "%s is the root itself, which no list of its own can revoke; allowed: a certificate that it made",
		     path);
	for (size_t i = 0; i < l->count; i++) {
		if (!str_eq(l->v[i].serial, e.serial))
			continue;
		(void)printf("%s is revoked already\n", path);
		return OK;
	}
	l->v[l->count++] = e;
	return OK;
}

static fallible write_list(const struct given *g, struct work *w, struct str der, struct err *err)
{
	AUTO(buf_done) struct buf pem = BUF_MAX(2 * CRL_DER_MAX);
	TRY(pem_add("X509 CRL", der, &pem, err));
	TRY(file_write_atomic(g->output, der, 0644, err));
	return file_write_atomic(str_dupz_raw(&w->mem, str_fmt(&w->mem, "%s.pem", g->output)), buf_str(&pem), 0644,
				 err);
}

static fallible make_list(const struct given *g, struct work *w, struct err *err)
{
	AUTO(buf_done) struct buf der = BUF_MAX(CRL_DER_MAX);
	struct crl before, l;
	char until[TIME_TEXT_MAX];
	TRY(list_before(g, w, &before, err));
	l = before;
	if (before.number.n == 0)
		l.number = STR("\x01");
	else
		TRY(crl_number_after(&w->mem, before.number, &l.number, err));
	if (before.this_update > w->now_s)
		FAIL(err, ERR_CONFIG, "%s was made later than now: is this machine's clock right?", g->output);
	for (size_t i = 0; i < g->revoke_count; i++)
		TRY(revoke_one(w, &l, g->revoke[i], err));
	l.this_update = w->now_s;
	l.next_update = w->now_s + (int64_t)(g->days == 0 ? CRL_DAYS : g->days) * DAY_S - 1;
	TRY(crl_make(w->crypto, w->root.cert, w->root.key, &l, &der, err));
	TRY(write_list(g, w, buf_str(&der), err));
	time_show(l.next_update, until);
	(void)printf("%s: %zu revoked, good until %s; make the next one before that\n", g->output, l.count, until);
	return OK;
}

/* --- sign -----------------------------------------------------------------------------------------------------------*/
static fallible request_key(const struct given *g, struct work *w, struct key **ret, struct err *err)
{
	AUTO(buf_done) struct buf file = BUF_MAX(AUTHORITY_PEM_MAX);
	struct str der;
	TRY(file_read(g->operand, AUTHORITY_PEM_MAX, &file, err));
	struct rc rc = pem_read(&w->mem, "CERTIFICATE REQUEST", buf_str(&file), &der, err);
	if (!FAILED(rc))
		rc = csr_read_key(w->crypto, der, ret, err);
	if (FAILED(rc))
		err_prefix(err, "%s: ", g->operand);
	return rc;
}

static fallible make_intermediate(const struct given *g, struct work *w, struct err *err)
{
	AUTO(key_auto) struct key *key = NULL;
	AUTO(cert_auto) struct cert *made = NULL;
	struct str organization, root_name;
	char until[TIME_TEXT_MAX];
	TRY(request_key(g, w, &key, err));
	TRY(ca_get_names(w->root.cert, &organization, &root_name, err));
	int64_t end = w->now_s + (int64_t)(g->days == 0 ? 1825 : g->days) * DAY_S;
	struct ca_request r = {
		.organization = organization,
		.common_name = g->name.n > 0 ? g->name : str_fmt(&w->mem, "%.*s Issuing CA", STR_FMT(organization)),
		.key = key,
		.not_before = w->now_s - AUTHORITY_BACKDATE_S,
		.not_after = end < cert_get_not_after(w->root.cert) ? end : cert_get_not_after(w->root.cert),
		.ekus = g->uses,
		.crl_url = g->crl_url,
		.aia_url = g->aia_url
	};
	TRY(authority_permits_read(&w->mem, &g->permits, &r, err));
	TRY(ca_make_intermediate(w->crypto, &r, w->root.cert, w->root.key, &rng_system, &made, err));
	TRY(authority_write_pem(g->output, "CERTIFICATE", cert_get_der(made), err));
	time_show(r.not_after, until);
	(void)printf("%s: \"%.*s\", good until %s\nTake it to the CA: cairn issuer certificate NAME %s\n", g->output,
		     STR_FMT(r.common_name), until, g->output);
	return OK;
}

/* --- the command line -----------------------------------------------------------------------------------------------*/
static fallible given_add(struct given *g, int o, const char *value, struct err *err)
{
	switch (o) {
	case FLAG_ROOT:
		g->root = value;
		return OK;
	case FLAG_ROOT_KEY:
		g->root_key = value;
		return OK;
	case FLAG_PASSPHRASE:
		g->passphrase = value;
		return OK;
	case FLAG_NAME:
		g->name = str_z(value);
		return OK;
	case FLAG_CRL:
	case FLAG_AIA:
		if (!str_starts(str_z(value), STR("http://")))
			FAIL(err, ERR_CONFIG, "found the URL \"%s\"; allowed: http://", value);
		*(o == FLAG_CRL ? &g->crl_url : &g->aia_url) = str_z(value);
		return OK;
	case FLAG_DAYS:
		if (FAILED(str_u64(str_z(value), 36500, &g->days, NULL)) || g->days == 0)
			FAIL(err, ERR_CONFIG, "--days: found \"%s\"; allowed: a number from 1 to 36500", value);
		return OK;
	case FLAG_USE:
		return authority_uses_read(str_z(value), &g->uses, err);
	case FLAG_REVOKE:
		if (g->revoke_count == REVOKE_MAX)
			FAIL(err, ERR_CONFIG, "--revoke: at most %d at once", REVOKE_MAX);
		g->revoke[g->revoke_count++] = str_z(value);
		return OK;
	case FLAG_PERMIT:
		if (g->permits.n == REVOKE_MAX)
			FAIL(err, ERR_CONFIG, "--permit: at most %d", REVOKE_MAX);
		g->permit_texts[g->permits.n++] = str_z(value);
		g->permits.v = g->permit_texts;
		return OK;
	default:
		g->output = value;
		return OK;
	}
}

static fallible given_check(const struct given *g, bool signs, struct err *err)
{
	if (g->root == NULL || g->root_key == NULL || g->output == NULL)
		FAIL(err, ERR_CONFIG, "found no --%s; it is needed",
		     g->root == NULL       ? "root"
		     : g->root_key == NULL ? "root-key"
					   : "output");
	if (signs != (g->operand != NULL))
		FAIL(err, ERR_CONFIG,
		     signs ? "found no request; allowed: cairn root sign CSR ..."
			   : "found an argument; allowed: options (a certificate goes behind --revoke)");
	if (signs && g->revoke_count > 0)
		FAIL(err, ERR_CONFIG, "--revoke is of crl, not of sign");
	if (!signs && (g->permits.n > 0 || g->name.n > 0 || g->crl_url.n > 0 || g->aia_url.n > 0 || g->uses != 0))
		FAIL(err, ERR_CONFIG, "--name, --permit, --use, --crl-url and --aia-url are of sign, not of crl");
	if (!signs && g->days > CRL_DAYS_MAX)
		FAIL(err, ERR_CONFIG, "--days: found %" PRIu64 "; allowed: at most %d", g->days, CRL_DAYS_MAX);
	return OK;
}

static int run(struct given *g, bool signs)
{
	AUTO(work_done) struct work w = { .crypto = NULL };
	struct err err = { 0 };
	if (FAILED(given_check(g, signs, &err)))
		return cmd_usage("root", "%s", err.detail);
	struct rc rc = work_open(g, &w, &err);
	if (!FAILED(rc))
		rc = signs ? make_intermediate(g, &w, &err) : make_list(g, &w, &err);
	return FAILED(rc) ? cmd_fail("root", &err) : cmd_flush("root");
}

int cmd_root(int argc, char **argv)
{
	struct given g = { .root = NULL };
	struct err err = { 0 };
	for (int o; (o = getopt_long(argc, argv, "o:h", options, NULL)) != -1;) {
		if (o == 'h')
			return cmd_print(help);
		if (o == '?')
			return cmd_usage("root", "that is not an option");
		if (FAILED(given_add(&g, o, optarg, &err)))
			return cmd_usage("root", "%s", err.detail);
	}
	if (optind >= argc)
		return cmd_usage("root", "found no command; allowed: crl, sign");
	bool signs = strcmp(argv[optind], "sign") == 0;
	if (!signs && strcmp(argv[optind], "crl") != 0)
		return cmd_usage("root", "found command \"%s\"; allowed: crl, sign", argv[optind]);
	if (++optind < argc)
		g.operand = argv[optind++];
	if (optind < argc)
		return cmd_usage("root", "found argument \"%s\"; allowed: one request", argv[optind]);
	(void)umask(022);
	return run(&g, signs);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * cairn_backup.c: `cairn backup` and `cairn restore`: the database copied while the CA runs, put back while it does not, and made
 * whole again from the signer's journal, which knows every certificate that ever left (THREATS F24).
 */
#include "cmd/cmd.h"
#include "cmd/urls.h"

#include "acme/acme.h"
#include "pki/pki.h"
#include "sign/sign.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

static const char help_backup[] = "usage: cairn backup FILE [--journal DIR] [-c FILE]\n"
				  "       cairn backup --journal DIR [-c FILE]\n"
				  "\n"
				  "Copies the database to FILE, as it is at this moment; the CA may go on running. A "
				  "file that is there is not replaced.\n"
				  "Not in it, and to be kept apart: the keys (issuer/, tls/, perspectives/, "
				  "store/secret.key), cairn.conf, and the\n"
				  "signer's journal, which is what makes an older backup whole again.\n"
				  "\n"
				  "      --journal DIR  copies the signer's journal into DIR after that, each record "
				  "checked. In DIR may be an earlier\n"
				  "                     copy of the same journal, which is made longer. Alone: the "
				  "journal only\n"
				  "  -c, --config FILE  default: $CAIRN_CONF, ./cairn.conf, /etc/cairn/cairn.conf\n"
				  "  -h, --help         this text\n"
				  "\n"
				  "Exit status: 0 done, 1 failed and said why, 2 called wrongly.\n";

static const char help_restore[] = "usage: cairn restore FILE [--reconcile] [-c FILE]\n"
				   "       cairn restore --reconcile [-c FILE]\n"
				   "\n"
				   "Puts a file that `cairn backup` made in the database's place; what was there is "
				   "kept beside it. The CA must be\n"
				   "stopped.\n"
				   "\n"
				   "      --reconcile    adds what the signer's journal has and the database lacks: "
				   "certificates that were issued after\n"
				   "                     the backup can be revoked again, and orders that waited for "
				   "one get it. Alone: no file is\n"
				   "                     put in place before.\n"
				   "  -c, --config FILE  default: $CAIRN_CONF, ./cairn.conf, /etc/cairn/cairn.conf\n"
				   "  -h, --help         this text\n"
				   "\n"
				   "Exit status: 0 done, 1 failed and said why, 2 called wrongly.\n";

struct given {
	const char *conf, *file, *journal;
	bool reconcile;
};

/* --- backup ---------------------------------------------------------------------------------------------------------*/
static fallible backup_store(const struct given *g, const struct conf *conf, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct str url;
	TRY(url_of_store(conf, &mem, &url, err));
	TRY(store_backup(url, g->file, err));
	(void)printf("%s: the database as it is now\n", g->file);
	return OK;
}

static fallible backup(const struct given *g, const struct conf *conf, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	const char *journal = conf_path(conf, &mem, conf->signer.journal);
	if (g->file != NULL)
		TRY(backup_store(g, conf, err));
	if (g->journal == NULL) {
		(void)printf(
			"keep apart from it: the keys, %.*s, and the signer's journal in %s (--journal copies it)\n",
			STR_FMT(conf->file), journal);
		return OK;
	}
	/* After the store, so that it knows at least what the store knows. */
	struct journal_copied got;
	TRY(journal_copy(journal, g->journal, &got, err));
	(void)printf("%s: the signer's journal as it is now: certificates %" PRIu64 ", files %zu, written anew %zu\n"
		     "keep apart from it: the keys, and %.*s\n",
		     g->journal, got.certificates, got.segments, got.written, STR_FMT(conf->file));
	return OK;
}

/* --- reconcile ------------------------------------------------------------------------------------------------------*/
struct tally {
	struct acme_recover_deps deps;
	bool only_count; /* what is missing is counted, and nothing changed */
	uint64_t certificates, own, unowned, accounts_lost, missing, ended;
	uint64_t results[RECOVERY_COUNT];
};

static fallible is_missing(struct store_tx *tx, void *ctx, struct err *err)
{
	struct journal_entry *e = ctx;
	AUTO(arena_done) struct arena mem = { 0 };
	struct certificate_row c;
	return certificate_by_serial(tx, &mem, e->serial_hex, &c, err);
}

/* The journal keeps all of them; the database those that have not ended longer ago than store.keep-expired. */
static fallible is_over(const struct tally *t, const struct journal_entry *e, bool *ret, struct err *err)
{
	AUTO(cert_auto) struct cert *cert = NULL;
	TRY(cert_read_der(e->der, &cert, err));
	*ret = cert_get_not_after(cert) < clock_now_ms(t->deps.clk) / 1000 - t->deps.conf->store.keep_expired_s;
	return OK;
}

static fallible reconcile_one(struct tally *t, const struct journal_entry *e, struct err *err)
{
	struct journal_entry entry = *e;
	struct acme_recovered got;
	struct rc rc = store_read(t->deps.store, is_missing, &entry, err);
	if (rc.kind != ERR_NOT_FOUND) {
		t->results[RECOVERY_KNOWN] += !FAILED(rc);
		return rc;
	}
	*err = (struct err){ 0 };
	bool over;
	TRY(is_over(t, e, &over, err));
	if (over) {
		t->ended++;
		return OK;
	}
	t->missing++;
	if (t->only_count)
		return OK;
	const struct acme_lost lost = { .issuance = e->issuance,
					.order = e->order,
					.account = e->account,
					.realm = e->realm,
					.profile = e->profile,
					.issuer = e->issuer,
					.der = e->der,
					.at_ms = e->at_ms };
	TRY(acme_recover(&t->deps, &lost, &got, err));
	t->results[got.result]++;
	t->accounts_lost += got.account_lost;
	if (got.result == RECOVERY_ADDED || got.result == RECOVERY_ORDER_KEPT)
		(void)printf("recovered %.*s of order %s, account %s%s\n", STR_FMT(e->serial_hex), id_show(e->order).z,
			     id_show(e->account).z, got.account_lost ? " (the account is lost)" : "");
	return OK;
}

static fallible reconcile_entry(void *ctx, enum journal_kind kind, const struct journal_entry *e, struct err *err)
{
	struct tally *t = ctx;
	if (kind != JOURNAL_DONE)
		return OK;
	t->certificates++;
	if (memcmp(e->job_hash.b, e->tbs_hash.b, sizeof e->job_hash.b) == 0)
		t->own++; /* nobody asked for it: the API's own TLS certificate */
	else if (e->realm.n == 0)
		t->unowned++;
	else
		return reconcile_one(t, e, err);
	return OK;
}

static void tell(const char *what, uint64_t n, const char *more)
{
	if (n > 0)
		(void)printf("%s: %" PRIu64 "%s\n", what, n, more);
}

static void tell_tally(const struct tally *t)
{
	const uint64_t *r = t->results;
	(void)printf("certificates in the journal: %" PRIu64 "\n", t->certificates);
	tell("in the database already", r[RECOVERY_KNOWN], "");
	tell("added", r[RECOVERY_ADDED] + r[RECOVERY_ORDER_KEPT], "");
	tell("of them to orders that had ended otherwise", r[RECOVERY_ORDER_KEPT], ", which stay as they are");
	tell("asked for again as soon as the CA runs", r[RECOVERY_PENDING], "");
	tell("ended too long ago for the database", t->ended, " (store.keep-expired)");
	tell("the CA's own", t->own, "");
	tell("accounts that are lost", t->accounts_lost,
	     ": their clients make new ones; what they had can be revoked with the certificate's own key");
	tell("journaled before it said whose they are", t->unowned, ", and left out");
}

static fallible reconcile(const struct conf *conf, bool only_count, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct store_where where;
	struct store *store;
	struct crypto *crypto;
	TRY(store_where_of(conf, &mem, &where, err));
	TRY(store_open_at(&where, &clock_system, &store, err));
	struct rc rc = crypto_new(&crypto, err);
	if (FAILED(rc)) {
		store_close(store);
		return rc;
	}
	struct tally t = { .deps = { store, conf, crypto, &clock_system, &rng_system }, .only_count = only_count };
	rc = journal_walk(conf_path(conf, &mem, conf->signer.journal), reconcile_entry, &t, err);
	crypto_free(crypto);
	store_close(store);
	TRY(rc);
	if (!only_count)
		tell_tally(&t);
	else if (t.missing > 0)
		(void)printf("%" PRIu64
			     " certificates that the signer's journal has are not in it; add them with: cairn "
			     "restore --reconcile\n",
			     t.missing);
	return OK;
}

/* --- restore --------------------------------------------------------------------------------------------------------*/
static fallible put_back(const struct given *g, const struct conf *conf, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct str url;
	const char *kept;
	TRY(url_of_store(conf, &mem, &url, err));
	TRY(store_restore(url, g->file, &clock_system, &mem, &kept, err));
	(void)printf("restored from %s\n", g->file);
	if (kept != NULL)
		(void)printf("the database that was there is kept as %s; remove it when all is well\n", kept);
	return OK;
}

/* The API is to open them, which mostly is not root. */
static fallible give_to_owner(const struct conf *conf, struct err *err)
{
	static const char *const ends[] = { "", ".lock" };
	AUTO(arena_done) struct arena mem = { 0 };
	struct str url;
	TRY(url_of_store(conf, &mem, &url, err));
	if (!str_skip(&url, STR("sqlite:")))
		return OK;
	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		const char *path = str_dupz_raw(&mem, str_fmt(&mem, "%.*s%s", STR_FMT(url), ends[i]));
		if (access(path, F_OK) == 0)
			TRY(cmd_give_to_owner(path, err));
	}
	return OK;
}

static fallible restore(const struct given *g, const struct conf *conf, struct err *err)
{
	if (g->file != NULL)
		TRY(put_back(g, conf, err));
	TRY(give_to_owner(conf, err));
	TRY(reconcile(conf, !g->reconcile, err));
	return give_to_owner(conf, err);
}

/* --- the command lines ----------------------------------------------------------------------------------------------*/
static int run(const char *command, const struct given *g,
	       fallible (*fn)(const struct given *g, const struct conf *conf, struct err *err))
{
	struct err err = { 0 };
	struct conf *conf = NULL;
	struct rc rc = conf_read(cmd_conf_path(g->conf), conf_env_system, NULL, &conf, &err);
	if (!FAILED(rc))
		rc = fn(g, conf, &err);
	conf_free(conf);
	if (FAILED(rc))
		return cmd_fail(command, &err);
	return cmd_flush(command);
}

static int read_args(const char *command, const char *help, int argc, char **argv, struct given *g, bool *ret_done)
{
	static const struct option options[] = { { "config", required_argument, NULL, 'c' },
						 { "reconcile", no_argument, NULL, 'r' },
						 { "journal", required_argument, NULL, 'j' },
						 { "help", no_argument, NULL, 'h' },
						 { NULL, 0, NULL, 0 } };
	*ret_done = true;
	for (int o; (o = getopt_long(argc, argv, "c:h", options, NULL)) != -1;) {
		if (o == 'h')
			return cmd_print(help);
		if (o == 'c')
			g->conf = optarg;
		else if (o == 'r' && strcmp(command, "restore") == 0)
			g->reconcile = true;
		else if (o == 'j' && strcmp(command, "backup") == 0)
			g->journal = optarg;
		else
			return cmd_usage(command, "that is not an option");
	}
	if (optind < argc)
		g->file = argv[optind++];
	if (optind < argc)
		return cmd_usage(command, "found argument \"%s\"; allowed: one file", argv[optind]);
	if (g->file == NULL && g->journal == NULL && !g->reconcile)
		return cmd_usage(command, "found no file; allowed: one, or %s alone",
				 strcmp(command, "restore") == 0 ? "--reconcile" : "--journal DIR");
	*ret_done = false;
	return CMD_OK;
}

int cmd_backup(int argc, char **argv)
{
	struct given g = { .conf = NULL };
	bool done;
	int code = read_args("backup", help_backup, argc, argv, &g, &done);
	return done ? code : run("backup", &g, backup);
}

int cmd_restore(int argc, char **argv)
{
	struct given g = { .conf = NULL };
	bool done;
	int code = read_args("restore", help_restore, argc, argv, &g, &done);
	return done ? code : run("restore", &g, restore);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * audit_verify.c: `cairn audit verify`: an export, line by line, held against the configuration. No store, no socket and no
 * private key is needed, so it may run where none of them is.
 */
#include "cmd/audit.h"

#include "sign/sign.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define CHAIN_MAX 8
#define CHUNK (64 * 1024)

struct verify {
	const struct audit_given *g;
	struct crypto *crypto;
	struct conf *conf;
	struct arena mem; /* has the list of revoked grants */
	struct pinned_keys keys;
	struct issuer **issuers; /* as conf->issuers */
	struct audit_journal *journal;
	struct audit audit;
	size_t looked, failed, unreadable;
};

static void verify_done(struct verify *v)
{
	for (size_t i = 0; v->issuers != NULL && i < v->conf->issuer_count; i++)
		issuer_free(v->issuers[i]);
	free(v->issuers);
	audit_journal_free(v->journal);
	pinned_keys_done(&v->keys);
	arena_done(&v->mem);
	conf_free(v->conf);
	crypto_free(v->crypto);
}

/* --- what is believed ---------------------------------------------------------------------------------------------*/
static fallible issuer_open(struct verify *v, const struct conf_issuer *ci, struct issuer **ret, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct cert *chain[CHAIN_MAX] = { NULL };
	size_t n = 0;
	TRY(cert_read_pem_file(conf_path(v->conf, &mem, ci->certificate), chain, CHAIN_MAX, &n, err));
	struct rc rc = issuer_new(v->crypto, chain, n, NULL, ret, err);
	for (size_t i = 0; i < n; i++)
		cert_free(chain[i]);
	return rc;
}

/* One that cannot be read is told of once, and its certificates then fail. */
static void issuers_open(struct verify *v)
{
	v->issuers = mem_alloc_n(sizeof(struct issuer *), v->conf->issuer_count + 1);
	for (size_t i = 0; i < v->conf->issuer_count; i++) {
		struct err err = { 0 };
		const struct conf_issuer *ci = &v->conf->issuers[i];
		if (FAILED(issuer_open(v, ci, &v->issuers[i], &err)))
			(void)fprintf(stderr, "cairn audit: issuer %.*s: %s\n", STR_FMT(ci->name), err.detail);
	}
}

static fallible journal_open_for(struct verify *v, struct err *err)
{
	const struct audit_given *g = v->g;
	struct err why = { 0 };
	if (g->no_journal)
		return OK;
	if (g->journal != NULL)
		return audit_journal_read(g->journal, v->crypto, &v->journal, err);
	const char *dir = conf_path(v->conf, &v->mem, v->conf->signer.journal);
	if (FAILED(audit_journal_read(dir, v->crypto, &v->journal, &why)))
		(void)fprintf(stderr, "cairn audit: looked at without the signer's journal: %s\n", why.detail);
	return OK;
}

static fallible verify_open(struct verify *v, struct err *err)
{
	TRY(crypto_new(&v->crypto, err));
	TRY(conf_read(cmd_conf_path(v->g->conf), conf_env_system, NULL, &v->conf, err));
	TRY(pinned_keys_read(v->conf, &v->keys, err));
	issuers_open(v);
	TRY(journal_open_for(v, err));
	v->audit = (struct audit){
		.crypto = v->crypto, .conf = v->conf, .keys = &v->keys, .issuers = v->issuers, .journal = v->journal
	};
	return revoked_grants_read(&v->mem, conf_path(v->conf, &v->mem, v->conf->signer.revoked_grants),
				   &v->audit.revoked, err);
}

/* --- telling ------------------------------------------------------------------------------------------------------*/
static void tell_failure(const struct verify *v, const char *file, size_t line, const struct audit_report *r,
			 const struct err *why)
{
	const char *rule = r->rule == NULL ? "record" : r->rule;
	if (!v->g->json) {
		struct err shown = { 0 };
		err_set(&shown, ERR_CONFIG, "%s", file); /* escapes what a terminal should not see */
		(void)printf("%s:%zu: %s%.*s%s%s: %s\n", shown.detail, line, r->serial_hex.n > 0 ? "serial " : "",
			     STR_FMT(r->serial_hex), r->serial_hex.n > 0 ? ": " : "", rule, why->detail);
		return;
	}
	AUTO(buf_done) struct buf out = BUF_MAX(16 * 1024);
	struct jw w = jw_begin(&out, NULL);
	jw_object(&w);
	jw_kz(&w, "file", file);
	jw_ki64(&w, "line", (int64_t)line);
	jw_kstr(&w, "serial", r->serial_hex);
	if (!id_is_zero(r->order))
		jw_kid(&w, "order", r->order);
	jw_kz(&w, "rule", rule);
	jw_kz(&w, "found", why->detail);
	jw_object_end(&w);
	if (!FAILED(jw_end(&w)))
		(void)printf("%.*s\n", STR_FMT(buf_str(&out)));
}

static void tell_sum(const struct verify *v)
{
	const char *journal = v->journal == NULL ? "without the signer's journal" : "with the signer's journal";
	if (v->g->json)
		(void)printf("{\"certificates\":%zu,\"failed\":%zu,\"journal\":%s}\n", v->looked, v->failed,
			     v->journal == NULL ? "false" : "true");
	else
		(void)printf("%zu certificates looked at, %s: %zu failed\n", v->looked, journal, v->failed);
}

/* --- looking ------------------------------------------------------------------------------------------------------*/
static void look_at(struct verify *v, const char *file, size_t line, struct str text)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct audit_record record;
	struct audit_report report = { .rule = NULL };
	struct err err = { 0 };
	struct rc rc = audit_record_read(&mem, text, &record, &err);
	if (!FAILED(rc)) {
		if (record.issued_ms < v->g->since_ms || record.issued_ms >= v->g->until_ms)
			return;
		rc = audit_check(&v->audit, &mem, &record, &report, &err);
	}
	v->looked++;
	if (!FAILED(rc))
		return;
	v->failed++;
	tell_failure(v, file, line, &report, &err);
}

/* False: the end. Blank lines are passed over; a last line without its newline counts. */
static fallible next_line(FILE *f, struct buf *line, bool *ret_more, struct err *err)
{
	char chunk[CHUNK];
	buf_reset(line);
	*ret_more = false;
	while (fgets(chunk, sizeof chunk, f) != NULL) {
		size_t n = strlen(chunk);
		*ret_more = true;
		TRY(buf_add(line, str_n(chunk, n), err));
		if (n > 0 && chunk[n - 1] == '\n')
			return OK;
	}
	if (ferror(f))
		FAIL(err, ERR_IO, "it cannot be read");
	return OK;
}

static fallible look_through(struct verify *v, const char *file, FILE *f, struct err *err)
{
	AUTO(buf_done) struct buf line = BUF_MAX(AUDIT_LINE_MAX + 1);
	for (size_t number = 1;; number++) {
		bool more;
		TRY(next_line(f, &line, &more, err));
		if (!more)
			return OK;
		struct str text = str_trim(buf_str(&line));
		if (text.n > 0)
			look_at(v, file, number, text);
	}
}

static void look_into(struct verify *v, const char *file)
{
	struct err err = { 0 };
	bool standard = strcmp(file, "-") == 0;
	FILE *f = standard ? stdin : fopen(file, "re");
	struct rc rc = { ERR_IO };
	if (f == NULL)
		err_set(&err, ERR_IO, "%s: it cannot be opened", file);
	else if (FAILED(rc = look_through(v, standard ? "standard input" : file, f, &err)))
		err_prefix(&err, "%s: ", file);
	if (f != NULL && !standard)
		(void)fclose(f);
	if (!FAILED(rc))
		return;
	v->unreadable++;
	(void)cmd_fail("audit", &err);
}

int audit_verify(const struct audit_given *g)
{
	AUTO(verify_done) struct verify v = { .g = g };
	struct err err = { 0 };
	if (FAILED(verify_open(&v, &err)))
		return cmd_fail("audit", &err);
	for (int i = 0; i < g->file_count; i++)
		look_into(&v, g->files[i]);
	if (g->file_count == 0)
		look_into(&v, "-");
	tell_sum(&v);
	if (cmd_flush("audit") != CMD_OK)
		return CMD_FAILED;
	return v.failed == 0 && v.unreadable == 0 ? CMD_OK : CMD_FAILED;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * agent_account.c: the commands that order nothing: revoke, key-change, deactivate, persist-record.
 */
#include "cmd/agent.h"

#include <stdio.h>

#define TXT_STRING_MAX 255 /* RFC 1035 3.3.14: of one string of a record */

struct deed {
	const struct agent_options *o;
	struct agent_session s;
	struct agent_place place;
	struct cert *cert;
	struct key *key;
	struct str what; /* a path or URL, for the line that says so */
};

static void deed_done(struct deed *d)
{
	agent_session_done(&d->s);
	agent_place_done(&d->place);
	cert_free(d->cert);
	key_free(d->key);
}
#define DEED(o_)                                                                           \
	{                                                                                  \
		.o = (o_), .s = { .answers = { .dir_fd = -1 } }, .place = {.lock_fd = -1 } \
	}

static void put_what(struct jw *w, void *ctx)
{
	const struct deed *d = ctx;
	if (d->what.n > 0)
		jw_kstr(w, d->cert != NULL ? "certificate" : "account", d->what);
}

/* How a deed ends; `nothing` names the outcome of one that had been done before. */
static int report(struct deed *d, const char *outcome, const char *nothing, struct rc rc, const struct err *err)
{
	struct err said = { 0 };
	enum agent_exit code = rc.kind == ERR_NONE ? AGENT_CHANGED : nothing != NULL ? AGENT_NOT_DUE : AGENT_ERROR;
	const char *word = code == AGENT_CHANGED ? outcome : code == AGENT_NOT_DUE ? nothing : "error";
	if (code == AGENT_ERROR)
		agent_say_error(&d->s, err);
	if (d->o->json) {
		const struct err none = { 0 };
		if (FAILED(agent_print_json(&d->s, word, code == AGENT_ERROR ? err : &none, put_what, d, &said))) {
			agent_say_error(&d->s, &said);
			return AGENT_ERROR;
		}
	} else if (code != AGENT_ERROR && !d->o->quiet) {
		printf("%s: %.*s\n", word, STR_FMT(d->what));
	}
	return (int)code;
}

/* --- revoke -------------------------------------------------------------------------------------------------------*/

static fallible revoke_find(struct deed *d, struct err *err)
{
	const struct agent_options *o = d->o;
	struct cert *certs[CLIENT_CHAIN_MAX];
	size_t count = 0;
	if (o->certificate_file == NULL) {
		TRY(agent_place_open(&d->s.mem, o, false, &d->place, err));
		d->what = agent_place_file(&d->s.mem, &d->place, "cert.pem");
		return agent_place_current(&d->s.mem, &d->place, &d->cert, err);
	}
	d->what = str_z(o->certificate_file);
	TRY(cert_read_pem_file(o->certificate_file, certs, CLIENT_CHAIN_MAX, &count, err));
	d->cert = certs[0];
	while (count > 1)
		cert_free(certs[--count]);
	return OK;
}

static fallible revoke_key(struct deed *d, struct err *err)
{
	AUTO(key_auto) struct key *public = NULL;
	const char *path = d->o->key_file;
	if (path == NULL)
		path = str_dupz_raw(&d->s.mem, agent_place_file(&d->s.mem, &d->place, "privkey.pem"));
	TRY(key_read_file(path, NULL, &d->key, err));
	TRY(cert_get_key(d->cert, &public, err));
	if (!key_public_eq(public, d->key))
		FAIL(err, ERR_CONFIG, "%s is not the key of %.*s", path, STR_FMT(d->what));
	return OK;
}

static fallible revoke_it(struct deed *d, const volatile sig_atomic_t *stop, struct err *err)
{
	TRY(agent_session_begin(&d->s, d->o, stop, err));
	TRY(revoke_find(d, err));
	if (d->o->by_key)
		TRY(revoke_key(d, err));
	TRY(agent_session_open(&d->s, false, d->key, err));
	TRY(client_revoke(d->s.client, cert_get_der(d->cert), d->o->reason, d->key, err));
	struct rc rc = agent_session_run(&d->s, NULL, err);
	/* One that was revoked before, by whomever, is as due as one that we revoked. */
	if (d->place.lock_fd >= 0 && (rc.kind == ERR_NONE || rc.kind == ERR_ALREADY_REVOKED))
		TRY(agent_place_mark_revoked(&d->s.mem, &d->place, err));
	return rc;
}

int agent_revoke(const struct agent_options *o, const volatile sig_atomic_t *stop)
{
	AUTO(deed_done) struct deed d = DEED(o);
	struct err err = { 0 };
	struct rc rc = revoke_it(&d, stop, &err);
	return report(&d, "revoked", rc.kind == ERR_ALREADY_REVOKED ? "already-revoked" : NULL, rc, &err);
}

/* --- key-change ---------------------------------------------------------------------------------------------------*/

static fallible key_change(struct deed *d, const volatile sig_atomic_t *stop, struct err *err)
{
	struct agent_session *s = &d->s;
	TRY(agent_session_begin(s, d->o, stop, err));
	TRY(agent_session_open(s, false, NULL, err));
	TRY(key_generate(d->o->key_kind, d->o->rsa_bits, &s->next_key, err));
	TRY(agent_next_key_put(s->crypto, &s->mem, d->o, s->next_key, err));
	FP("agent.before_key_change");
	TRY(client_key_change(s->client, s->next_key, err));
	struct rc rc = agent_session_run(s, NULL, err);
	/* Of any other failure only the server can tell whether it heard of the key: the next command asks it. */
	if (rc.kind == ERR_KEY_IN_USE)
		agent_next_key_drop(s->crypto, &s->mem, d->o);
	TRY(rc);
	FP("agent.after_key_change");
	d->what = s->account_url;
	return agent_next_key_take(s->crypto, &s->mem, d->o, err);
}

int agent_key_change(const struct agent_options *o, const volatile sig_atomic_t *stop)
{
	AUTO(deed_done) struct deed d = DEED(o);
	struct err err = { 0 };
	struct rc rc = key_change(&d, stop, &err);
	return report(&d, "key-changed", NULL, rc, &err);
}

/* --- deactivate ---------------------------------------------------------------------------------------------------*/

static fallible deactivate(struct deed *d, const volatile sig_atomic_t *stop, struct err *err)
{
	struct agent_session *s = &d->s;
	TRY(agent_session_begin(s, d->o, stop, err));
	TRY(agent_session_open(s, false, NULL, err));
	TRY(client_deactivate(s->client, err));
	TRY(agent_session_run(s, NULL, err));
	d->what = s->account_url;
	return agent_account_retire(s->crypto, &s->mem, d->o, err);
}

int agent_deactivate(const struct agent_options *o, const volatile sig_atomic_t *stop)
{
	AUTO(deed_done) struct deed d = DEED(o);
	struct err err = { 0 };
	struct rc rc = deactivate(&d, stop, &err);
	return report(&d, "deactivated", NULL, rc, &err);
}

/* --- persist-record -----------------------------------------------------------------------------------------------*/

static fallible persist_open(struct deed *d, const volatile sig_atomic_t *stop, struct err *err)
{
	TRY(agent_session_begin(&d->s, d->o, stop, err));
	TRY(agent_session_open(&d->s, true, NULL, err));
	TRY(client_register(d->s.client, err));
	TRY(agent_session_run(&d->s, NULL, err));
	d->what = d->s.account_url;
	for (size_t i = 0; i < d->o->ident_count; i++) { /* all of them are possible before one is printed */
		struct str name, value;
		TRY(client_persist_record(d->s.client, &d->s.mem, &d->o->idents[i], &name, &value, err));
	}
	return OK;
}

/* As a zone file has it. The engine lets no quote and no backslash into a value. */
static void print_record(struct str name, struct str value)
{
	printf("%.*s. IN TXT", STR_FMT(name));
	for (size_t at = 0; at < value.n; at += TXT_STRING_MAX)
		printf(" \"%.*s\"", STR_FMT(str_sub(value, at, at + TXT_STRING_MAX)));
	printf("\n");
}

static void put_records(struct jw *w, void *ctx)
{
	struct deed *d = ctx;
	jw_kstr(w, "account", d->what);
	jw_key(w, "records");
	jw_array(w);
	for (size_t i = 0; i < d->o->ident_count; i++) {
		struct str name, value;
		if (FAILED(client_persist_record(d->s.client, &d->s.mem, &d->o->idents[i], &name, &value, NULL)))
			continue;
		jw_object(w);
		jw_kstr(w, "name", name);
		jw_kstr(w, "value", value);
		jw_object_end(w);
	}
	jw_array_end(w);
}

int agent_persist_record(const struct agent_options *o, const volatile sig_atomic_t *stop)
{
	AUTO(deed_done) struct deed d = DEED(o);
	struct err err = { 0 };
	struct rc rc = persist_open(&d, stop, &err);
	if (FAILED(rc))
		return report(&d, "records", NULL, rc, &err);
	if (o->json) {
		const struct err none = { 0 };
		if (!FAILED(agent_print_json(&d.s, "records", &none, put_records, &d, &err)))
			return AGENT_CHANGED;
		agent_say_error(&d.s, &err);
		return AGENT_ERROR;
	}
	for (size_t i = 0; i < o->ident_count; i++) {
		struct str name, value;
		if (!FAILED(client_persist_record(d.s.client, &d.s.mem, &o->idents[i], &name, &value, NULL)))
			print_record(name, value);
	}
	return AGENT_CHANGED;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * agent_obtain.c: `cairn-agent obtain`: is a certificate due, get one, look at what came, put it in place.
 */
#include "cmd/agent.h"

#include <stdio.h>

struct obtaining {
	const struct agent_options *o;
	struct agent_session s;
	struct agent_place place;
	struct key *key;
	int64_t not_after;
};

static void obtaining_done(struct obtaining *x)
{
	agent_session_done(&x->s);
	agent_place_done(&x->place);
	key_free(x->key);
}

/* --- is it due ----------------------------------------------------------------------------------------------------*/

static bool same_key_kind(const struct obtaining *x, const struct cert *cert)
{
	AUTO(key_auto) struct key *key = NULL;
	if (FAILED(cert_get_key(cert, &key, NULL)) || key_get_kind(key) != x->o->key_kind)
		return false;
	return x->o->key_kind != KEY_RSA || key_get_bits(key) == x->o->rsa_bits;
}

/* A certificate in place that does not parse, or is another one than was asked for, is due. */
static bool is_due(struct obtaining *x)
{
	AUTO(cert_auto) struct cert *cert = NULL;
	if (FAILED(agent_place_current(&x->s.mem, &x->place, &cert, NULL)) || cert == NULL)
		return true;
	x->not_after = cert_get_not_after(cert);
	int64_t before =
		x->o->renew_days > 0 ? x->o->renew_days * 86400 : (x->not_after - cert_get_not_before(cert)) / 3;
	return clock_now_ms(&clock_system) / 1000 >= x->not_after - before || !same_key_kind(x, cert) ||
	       agent_place_is_revoked(&x->s.mem, &x->place) ||
	       FAILED(client_idents_fit(&x->s.mem, cert, x->o->idents, x->o->ident_count, NULL));
}

/* --- getting it ---------------------------------------------------------------------------------------------------*/

static fallible get_certificate(struct obtaining *x, struct err *err)
{
	const struct agent_options *o = x->o;
	struct agent_session *s = &x->s;
	struct client_chain chain;
	struct str pem;
	TRY(key_generate(o->key_kind, o->rsa_bits, &x->key, err));
	TRY(agent_answers_open(s->crypto, o, &s->answers, err));
	TRY(agent_session_open(s, true, NULL, err));
	const struct client_wanted wanted = {
		.idents = o->idents, .count = o->ident_count, .key = x->key, .profile = o->profile
	};
	TRY(client_order(s->client, &wanted, err));
	TRY(agent_session_run(s, &pem, err));
	TRY(client_chain_check(&s->mem, pem, x->key, o->idents, o->ident_count, &chain, err));
	x->not_after = chain.not_after;
	return agent_place_put(&s->mem, &x->place, x->key, &chain, err);
}

static fallible obtain(struct obtaining *x, const volatile sig_atomic_t *stop, bool *ret_due, struct err *err)
{
	TRY(agent_session_begin(&x->s, x->o, stop, err));
	TRY(agent_place_open(&x->s.mem, x->o, true, &x->place, err));
	*ret_due = x->o->force || is_due(x);
	return *ret_due ? get_certificate(x, err) : OK;
}

/* --- saying so ----------------------------------------------------------------------------------------------------*/

static void put_names(struct jw *w, const struct agent_options *o)
{
	jw_key(w, "names");
	jw_array(w);
	for (size_t i = 0; i < o->ident_count; i++)
		jw_str(w, o->idents[i].value);
	jw_array_end(w);
}

static void put_error_names(struct jw *w, void *ctx)
{
	const struct obtaining *x = ctx;
	put_names(w, x->o);
}

static void put_result(struct jw *w, void *ctx)
{
	struct obtaining *x = ctx;
	char text[TIME_TEXT_MAX];
	time_show(x->not_after, text);
	put_names(w, x->o);
	jw_kstr(w, "certificate", agent_place_file(&x->s.mem, &x->place, "fullchain.pem"));
	jw_kstr(w, "key", agent_place_file(&x->s.mem, &x->place, "privkey.pem"));
	jw_kz(w, "not_after", text);
}

static void print_text(struct obtaining *x, const char *outcome)
{
	char text[TIME_TEXT_MAX];
	struct str path = agent_place_file(&x->s.mem, &x->place, "fullchain.pem");
	time_show(x->not_after, text);
	if (!x->o->quiet)
		printf("%s: %.*s, good until %s\n", outcome, STR_FMT(path), text);
}

int agent_obtain(const struct agent_options *o, const volatile sig_atomic_t *stop)
{
	AUTO(obtaining_done)
	struct obtaining x = { .o = o, .s = { .answers = { .dir_fd = -1 } }, .place = { .lock_fd = -1 } };
	struct err err = { 0 }, said = { 0 };
	bool due = true;
	enum agent_exit code = AGENT_CHANGED;
	const char *outcome = "obtained";
	if (FAILED(obtain(&x, stop, &due, &err))) {
		agent_say_error(&x.s, &err);
		code = AGENT_ERROR;
		outcome = "error";
	} else if (!due) {
		code = AGENT_NOT_DUE;
		outcome = "not-due";
	}
	if (!o->json) {
		if (code != AGENT_ERROR)
			print_text(&x, outcome);
	} else if (FAILED(agent_print_json(&x.s, outcome, &err, code == AGENT_ERROR ? put_error_names : put_result, &x,
					   &said))) {
		agent_say_error(&x.s, &said);
		return AGENT_ERROR;
	}
	return (int)code;
}

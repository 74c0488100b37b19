/* SPDX-License-Identifier: Apache-2.0
 *
 * agent_obtain.c: `cairn-agent obtain`: is a certificate due, get one, look at what came, put it in place.
 */
#include "cmd/agent.h"

#include <stdio.h>
#include <unistd.h>

#define OUTPUT_MAX (64 * 1024)

struct obtaining {
	const struct agent_options *o;
	const volatile sig_atomic_t *stop;
	struct arena mem;
	struct crypto *crypto;
	struct agent_place place;
	struct agent_answers answers;
	struct key *account_key, *key;
	struct client *client;
	struct fetcher *fetcher;
	struct str account_url, chain_pem;
	int64_t not_after;
	bool progress;
};

static void obtaining_done(struct obtaining *x)
{
	client_free(x->client);
	fetcher_free(x->fetcher);
	agent_answers_done(&x->answers);
	agent_place_done(&x->place);
	key_free(x->key);
	key_free(x->account_key);
	crypto_free(x->crypto);
	arena_done(&x->mem);
}

/* --- is it due ----------------------------------------------------------------------------------------------------*/

static bool same_names(struct obtaining *x, const struct cert *cert)
{
	struct str *found;
	size_t count;
	if (FAILED(cert_get_dns_names(&x->mem, cert, &found, &count, NULL)) || count != x->o->name_count)
		return false;
	for (size_t i = 0; i < count; i++) {
		size_t at = 0;
		while (at < count && !str_eq(x->o->names[i], found[at]))
			at++;
		if (at == count)
			return false;
	}
	return true;
}

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
	if (FAILED(agent_place_current(&x->mem, &x->place, &cert, NULL)) || cert == NULL)
		return true;
	x->not_after = cert_get_not_after(cert);
	int64_t before =
		x->o->renew_days > 0 ? x->o->renew_days * 86400 : (x->not_after - cert_get_not_before(cert)) / 3;
	return clock_now_ms(&clock_system) / 1000 >= x->not_after - before || !same_names(x, cert) ||
	       !same_key_kind(x, cert);
}

/* --- getting it ---------------------------------------------------------------------------------------------------*/

static void on_progress(void *ctx, const char *doing, struct str detail)
{
	const struct obtaining *x = ctx;
	if (x->progress)
		(void)fprintf(stderr, "cairn-agent: %s %.*s\n", doing, STR_FMT(detail));
}

static void on_step(void *ctx, const struct client_step *step)
{
	struct obtaining *x = ctx;
	if (x->account_url.n == 0)
		x->account_url = str_dup(&x->mem, step->account_url);
}

static fallible on_publish(void *ctx, struct str name, struct str token, struct str key_authorization, struct err *err)
{
	struct obtaining *x = ctx;
	return agent_publish(&x->answers, name, token, key_authorization, err);
}

static void on_withdraw(void *ctx, struct str name, struct str token)
{
	struct obtaining *x = ctx;
	agent_withdraw(&x->answers, name, token);
}

static fallible run_order(struct obtaining *x, struct err *err)
{
	const struct agent_options *o = x->o;
	const struct client_answers answers = {
		.publish = on_publish, .withdraw = on_withdraw, .progress = on_progress, .step = on_step, .ctx = x
	};
	const struct client_drive how = {
		.fetcher = x->fetcher,
		.ca_file = o->ca_file,
		.user_agent = STR("cairn-agent/" CAIRN_VERSION),
		.clk = &clock_system,
		.deadline_mono_ms = clock_mono_ms(&clock_system) + o->timeout_s * 1000,
		.answers = &answers,
		.stop = x->stop,
	};
	TRY(client_order(x->client, o->names, o->name_count, x->key, err));
	return client_drive(x->client, &how, &x->mem, &x->chain_pem, err);
}

static fallible get_certificate(struct obtaining *x, struct err *err)
{
	const struct agent_options *o = x->o;
	struct client_chain chain;
	TRY(agent_account_key(x->crypto, &x->mem, o, &x->account_key, err));
	TRY(key_generate(o->key_kind, o->rsa_bits, &x->key, err));
	TRY(agent_answers_open(o, &x->answers, err));
	TRY(fetcher_new(true, &x->fetcher, err));
	const struct client_conf conf = {
		.crypto = x->crypto,
		.directory_url = o->server,
		.account_key = x->account_key,
		.contact = o->email.n == 0 ? STR_NONE : str_fmt(&x->mem, "mailto:%.*s", STR_FMT(o->email)),
		.terms_agreed = o->agree_terms,
		.method = CHALLENGE_HTTP01,
	};
	TRY(client_new(&conf, &x->client, err));
	TRY(run_order(x, err));
	TRY(client_chain_check(&x->mem, x->chain_pem, x->key, o->names, o->name_count, &chain, err));
	x->not_after = chain.not_after;
	TRY(agent_place_put(&x->mem, &x->place, x->key, &chain, err));
	return agent_account_note(x->crypto, &x->mem, o, x->account_url, err);
}

static fallible obtain(struct obtaining *x, bool *ret_due, struct err *err)
{
	TRY(crypto_new(&x->crypto, err));
	TRY(agent_place_open(&x->mem, x->o, &x->place, err));
	*ret_due = x->o->force || is_due(x);
	return *ret_due ? get_certificate(x, err) : OK;
}

/* --- saying so ----------------------------------------------------------------------------------------------------*/

/* What to do next, where that can be known from the kind alone. */
static const char *advice(const struct err *e)
{
	static const struct {
		enum err_kind kind;
		const char *text;
	} rows[] = {
		{ ERR_USER_ACTION_REQUIRED, "read the server's terms and run again with --agree-terms" },
		{ ERR_EXTERNAL_ACCOUNT_REQUIRED,
		  "this server serves accounts that its operator has registered; ask there" },
		{ ERR_TLS, "when the server's root is a private one, name its file with --ca-file" },
		{ ERR_DNS, "see that the name is spelt right and has an A or AAAA record where the server looks" },
		{ ERR_CONNECTION,
		  "see that --server is up, and that it reaches port 80 of each name (firewall, address record)" },
		{ ERR_UNAUTHORIZED,
		  "see that http://NAME/.well-known/acme-challenge/ is served by this host, from the --webroot" },
		{ ERR_INCORRECT_RESPONSE,
		  "see that http://NAME/.well-known/acme-challenge/ is served by this host, from the --webroot" },
		{ ERR_REJECTED_IDENTIFIER, "ask the server's operator whether this name may be had" },
		{ ERR_CAA, "the name's CAA record must list this server" },
		{ ERR_TIMEOUT, "run again later, or with a longer --timeout" },
		{ ERR_UNAVAILABLE, "run again later" },
		{ ERR_CONFLICT, "wait until it has ended" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].kind == e->kind)
			return rows[i].text;
	return NULL;
}

static void say_error(const struct err *e)
{
	const char *next = advice(e);
	(void)fprintf(stderr, "cairn-agent: %s\n", e->detail);
	if (e->cause[0] != '\0')
		(void)fprintf(stderr, "cairn-agent: (%s)\n", e->cause);
	if (e->kind == ERR_RATE_LIMITED && e->retry_after_s > 0)
		(void)fprintf(stderr, "cairn-agent: try again in %u seconds\n", (unsigned)e->retry_after_s);
	else if (next != NULL)
		(void)fprintf(stderr, "cairn-agent: %s\n", next);
}

static void put_result(struct jw *w, struct obtaining *x)
{
	char text[TIME_TEXT_MAX];
	time_show(x->not_after, text);
	jw_kstr(w, "certificate", agent_place_file(&x->mem, &x->place, "fullchain.pem"));
	jw_kstr(w, "key", agent_place_file(&x->mem, &x->place, "privkey.pem"));
	jw_kz(w, "not_after", text);
}

static void put_error(struct jw *w, const struct err *e)
{
	const char *next = advice(e);
	jw_kz(w, "error", err_kind_name(e->kind));
	jw_kz(w, "detail", e->detail);
	if (next != NULL)
		jw_kz(w, "advice", next);
	if (e->retry_after_s > 0)
		jw_ki64(w, "retry_after", e->retry_after_s);
}

static fallible print_json(struct obtaining *x, const char *outcome, const struct err *e, struct err *err)
{
	AUTO(buf_done) struct buf out = BUF_MAX(OUTPUT_MAX);
	struct jw w = jw_begin(&out, err);
	jw_object(&w);
	jw_kz(&w, "outcome", outcome);
	jw_key(&w, "names");
	jw_array(&w);
	for (size_t i = 0; i < x->o->name_count; i++)
		jw_str(&w, x->o->names[i]);
	jw_array_end(&w);
	if (e->kind == ERR_NONE)
		put_result(&w, x);
	else
		put_error(&w, e);
	jw_object_end(&w);
	TRY(jw_end(&w));
	TRY(buf_add_char(&out, '\n', err));
	return fd_write_all(STDOUT_FILENO, buf_str(&out), err);
}

static void print_text(struct obtaining *x, const char *outcome)
{
	char text[TIME_TEXT_MAX];
	struct str path = agent_place_file(&x->mem, &x->place, "fullchain.pem");
	time_show(x->not_after, text);
	if (!x->o->quiet)
		printf("%s: %.*s, good until %s\n", outcome, STR_FMT(path), text);
}

int agent_obtain(const struct agent_options *o, const volatile sig_atomic_t *stop)
{
	AUTO(obtaining_done)
	struct obtaining x = {
		.o = o,
		.stop = stop,
		.place = { .lock_fd = -1 },
		.answers = { .dir_fd = -1 },
		.progress = !o->quiet && isatty(STDERR_FILENO) == 1,
	};
	struct err err = { 0 }, said = { 0 };
	bool due = true;
	enum agent_exit code = AGENT_CHANGED;
	const char *outcome = "obtained";
	if (FAILED(obtain(&x, &due, &err))) {
		say_error(&err);
		code = AGENT_ERROR;
		outcome = "error";
	} else if (!due) {
		code = AGENT_NOT_DUE;
		outcome = "not-due";
	}
	if (!o->json) {
		if (code != AGENT_ERROR)
			print_text(&x, outcome);
	} else if (FAILED(print_json(&x, outcome, &err, &said))) {
		say_error(&said);
		return AGENT_ERROR;
	}
	return (int)code;
}

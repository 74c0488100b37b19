/* SPDX-License-Identifier: Apache-2.0
 *
 * agent_session.c: a session with a server: the account's key from the folder, the client, and running it to its end.
 */
#include "cmd/agent.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define EAB_KEY_FILE_MAX 4096

static void on_progress(void *ctx, const char *doing, struct str detail)
{
	const struct agent_session *s = ctx;
	if (s->progress)
		(void)fprintf(stderr, "cairn-agent: %s %.*s\n", doing, STR_FMT(detail));
}

static void on_step(void *ctx, const struct client_step *step)
{
	struct agent_session *s = ctx;
	if (s->account_url.n == 0)
		s->account_url = str_dup(&s->mem, step->account_url);
	if (step->answer.ident.value.n > 0)
		s->method = step->answer.method;
	else if (step->order_url.n > 0 && s->method == CHALLENGE_TYPE_COUNT)
		s->method = s->o->methods[0]; /* nothing goes up for dns-persist-01 */
}

static fallible on_publish(void *ctx, const struct client_answer *answer, struct err *err)
{
	struct agent_session *s = ctx;
	return agent_publish(&s->answers, answer, err);
}

static void on_withdraw(void *ctx, const struct client_answer *answer)
{
	struct agent_session *s = ctx;
	agent_withdraw(&s->answers, answer);
}

static fallible run(struct agent_session *s, struct client *client, struct str *ret_chain_pem, struct err *err)
{
	const struct client_answers answers = {
		.publish = on_publish, .withdraw = on_withdraw, .progress = on_progress, .step = on_step, .ctx = s
	};
	const struct client_drive how = {
		.fetcher = s->fetcher,
		.ca_file = s->o->ca_file,
		.user_agent = STR("cairn-agent/" CAIRN_VERSION),
		.clk = &clock_system,
		.deadline_mono_ms = s->deadline_mono_ms,
		.answers = &answers,
		.stop = s->stop,
	};
	return client_drive(client, &how, &s->mem, ret_chain_pem, err);
}

fallible agent_session_begin(struct agent_session *s, const struct agent_options *o, const volatile sig_atomic_t *stop,
			     struct err *err)
{
	s->o = o;
	s->stop = stop;
	s->answers.dir_fd = -1;
	s->method = CHALLENGE_TYPE_COUNT;
	s->progress = !o->quiet && isatty(STDERR_FILENO) == 1;
	s->deadline_mono_ms = clock_mono_ms(&clock_system) + o->timeout_s * 1000;
	return crypto_new(&s->crypto, err);
}

/* --- a key change that was cut off --------------------------------------------------------------------------------*/

static fallible find_by(struct agent_session *s, const struct key *key, struct err *err)
{
	struct client *client = NULL;
	const struct client_conf conf = { .crypto = s->crypto, .directory_url = s->o->server, .account_key = key };
	TRY(client_new(&conf, &client, err));
	struct rc rc = client_find(client, err);
	if (!FAILED(rc))
		rc = run(s, client, NULL, err);
	client_free(client);
	return rc;
}

/* Whether the server heard of the next key, only the server knows. */
static fallible key_change_settle(struct agent_session *s, struct err *err)
{
	AUTO(key_auto) struct key *next = NULL;
	TRY(agent_next_key_get(s->crypto, &s->mem, s->o, &next, err));
	if (next == NULL)
		return OK;
	struct err why = { 0 };
	struct rc rc = find_by(s, next, &why);
	struct str known = agent_account_url(s->crypto, &s->mem, s->o), found = s->account_url;
	s->account_url = STR_NONE;
	if (rc.kind == ERR_ACCOUNT_DOES_NOT_EXIST) {
		agent_next_key_drop(s->crypto, &s->mem, s->o);
		return OK;
	}
	if (FAILED(rc)) {
		err_prefix(&why, "an earlier key-change was cut off, and whether the server has the new key: ");
		*err = why;
		return rc;
	}
	if (known.n > 0 && !str_eq(known, found))
		FAIL(err, ERR_CONFIG,
		     "an earlier key-change was cut off, and its new key belongs to another account: %.*s instead of "
		     "%.*s",
		     STR_FMT(found), STR_FMT(known));
	return agent_next_key_take(s->crypto, &s->mem, s->o, err);
}

/* --- opening ------------------------------------------------------------------------------------------------------*/

/* Operators hand it out as base64url; some write the padding. */
static fallible eab_key_read(struct agent_session *s, struct err *err)
{
	AUTO(secret_done) struct secret text = { 0 };
	struct str bytes = STR_NONE;
	if (s->o->eab_key_file == NULL)
		return OK;
	TRY(secret_read_file(&text, s->o->eab_key_file, EAB_KEY_FILE_MAX, err));
	struct str b64 = str_trim(str_n(text.p, text.n));
	while (b64.n > 0 && b64.p[b64.n - 1] == '=')
		b64.n--;
	struct rc rc = b64url_decode(&s->mem, b64, EAB_KEY_FILE_MAX, &bytes, NULL);
	if (FAILED(rc) || bytes.n == 0)
		FAIL(err, ERR_CONFIG, "--eab-key-file %s: wanted one line of base64url", s->o->eab_key_file);
	rc = secret_set(&s->eab_key, bytes, err);
	explicit_bzero((void *)(uintptr_t)bytes.p, bytes.n);
	return rc;
}

fallible agent_session_open(struct agent_session *s, bool make_account, struct key *key, struct err *err)
{
	const struct agent_options *o = s->o;
	s->answers.stop = s->stop;
	s->answers.deadline_mono_ms = s->deadline_mono_ms;
	TRY(fetcher_new(true, &s->fetcher, err));
	TRY(eab_key_read(s, err));
	if (key == NULL) {
		TRY(key_change_settle(s, err));
		TRY(agent_account_key(s->crypto, &s->mem, o, make_account, &s->account_key, err));
	}
	const struct client_conf conf = {
		.crypto = s->crypto,
		.directory_url = o->server,
		.account_key = key != NULL ? key : s->account_key,
		.contact = o->email.n == 0 ? STR_NONE : str_fmt(&s->mem, "mailto:%.*s", STR_FMT(o->email)),
		.terms_agreed = o->agree_terms,
		.methods = o->methods,
		.method_count = o->method_count,
		.eab_kid = o->eab_kid,
		.eab_key = &s->eab_key,
		.settle_ms = o->dns_wait_s * 1000,
	};
	return client_new(&conf, &s->client, err);
}

fallible agent_session_run(struct agent_session *s, struct str *ret_chain_pem, struct err *err)
{
	TRY(run(s, s->client, ret_chain_pem, err));
	return s->account_url.n == 0 ? OK : agent_account_note(s->crypto, &s->mem, s->o, s->account_url, err);
}

void agent_session_done(struct agent_session *s)
{
	client_free(s->client);
	fetcher_free(s->fetcher);
	agent_answers_done(&s->answers);
	key_free(s->account_key);
	key_free(s->next_key);
	secret_done(&s->eab_key);
	crypto_free(s->crypto);
	arena_done(&s->mem);
}

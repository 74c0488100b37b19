/* SPDX-License-Identifier: Apache-2.0
 *
 * agent_say.c: what went wrong, and what to do about it where that can be known.
 */
#include "cmd/agent.h"

#include <stdio.h>
#include <unistd.h>

#define OUTPUT_MAX (64 * 1024)

/* The server looked, and saw something else or nothing. */
static const char *advice_on_proof(enum challenge_type method, bool reached)
{
	switch (method) {
	case CHALLENGE_HTTP01:
		return reached ? "see that http://NAME/.well-known/acme-challenge/ is served by this host, from the "
				 "--webroot"
			       : "see that --server is up, and that it reaches port 80 of each name (firewall, address "
				 "record)";
	case CHALLENGE_TLSALPN01:
		return "see that port 443 of each name leads to this host's --tls-port, and that nothing on the way "
		       "ends "
		       "TLS";
	case CHALLENGE_DNS01:
	case CHALLENGE_DNSACCOUNT01:
		return "see that the record of --dns-hook was where the server looks; more --dns-wait may help";
	case CHALLENGE_DNSPERSIST01:
		return "publish what `cairn-agent persist-record` prints for the name";
	case CHALLENGE_TYPE_COUNT:
		break;
	}
	return NULL;
}

/* What to do next, where that can be known from the kind alone. */
static const char *advice(const struct agent_session *s, const struct err *e)
{
	static const struct {
		enum err_kind kind;
		const char *text;
	} rows[] = {
		{ ERR_USER_ACTION_REQUIRED, "read the server's terms and run again with --agree-terms" },
		{ ERR_EXTERNAL_ACCOUNT_REQUIRED,
		  "this server serves accounts that its operator has registered: ask there for a key, and give it with "
		  "--eab-kid and --eab-key-file" },
		{ ERR_TLS, "when the server's root is a private one, name its file with --ca-file" },
		{ ERR_DNS, "see that the name is spelt right and has an A or AAAA record where the server looks" },
		{ ERR_REJECTED_IDENTIFIER, "ask the server's operator whether this name may be had" },
		{ ERR_CAA, "the name's CAA record must list this server" },
		{ ERR_TIMEOUT, "run again later, or with a longer --timeout" },
		{ ERR_UNAVAILABLE, "run again later" },
		{ ERR_CONFLICT, "wait until it has ended" },
	};
	bool proving = s->method != CHALLENGE_TYPE_COUNT;
	bool by_http = !proving || s->method == CHALLENGE_HTTP01;
	if (e->kind == ERR_UNAUTHORIZED || e->kind == ERR_INCORRECT_RESPONSE)
		return proving ? advice_on_proof(s->method, true) : NULL;
	if (e->kind == ERR_CONNECTION)
		return advice_on_proof(by_http ? CHALLENGE_HTTP01 : s->method, false);
	if ((e->kind == ERR_DNS || e->kind == ERR_TLS) && !by_http)
		return advice_on_proof(s->method, true);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].kind == e->kind)
			return rows[i].text;
	return NULL;
}

void agent_say_error(const struct agent_session *s, const struct err *e)
{
	const char *next = advice(s, e);
	(void)fprintf(stderr, "cairn-agent: %s\n", e->detail);
	if (e->cause[0] != '\0')
		(void)fprintf(stderr, "cairn-agent: (%s)\n", e->cause);
	if (e->kind == ERR_RATE_LIMITED && e->retry_after_s > 0)
		(void)fprintf(stderr, "cairn-agent: try again in %u seconds\n", (unsigned)e->retry_after_s);
	else if (next != NULL)
		(void)fprintf(stderr, "cairn-agent: %s\n", next);
}

static void put_error(const struct agent_session *s, struct jw *w, const struct err *e)
{
	const char *next = advice(s, e);
	jw_kz(w, "error", err_kind_name(e->kind));
	jw_kz(w, "detail", e->detail);
	if (next != NULL)
		jw_kz(w, "advice", next);
	if (e->retry_after_s > 0)
		jw_ki64(w, "retry_after", e->retry_after_s);
}

fallible agent_print_json(const struct agent_session *s, const char *outcome, const struct err *e,
			  void (*put)(struct jw *w, void *ctx), void *ctx, struct err *err)
{
	AUTO(buf_done) struct buf out = BUF_MAX(OUTPUT_MAX);
	struct jw w = jw_begin(&out, err);
	jw_object(&w);
	jw_kz(&w, "outcome", outcome);
	if (put != NULL)
		put(&w, ctx);
	if (e->kind != ERR_NONE)
		put_error(s, &w, e);
	jw_object_end(&w);
	TRY(jw_end(&w));
	TRY(buf_add_char(&out, '\n', err));
	return fd_write_all(STDOUT_FILENO, buf_str(&out), err);
}

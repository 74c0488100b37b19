/* SPDX-License-Identifier: Apache-2.0
 *
 * probe.c: one job to its verdict: the deadline, the transcript, the dispatch by method, the attempts, and the
 * translation of what went wrong into kinds that a client may see.
 */
#include "validate/internal.h"

#include <assert.h>
#include <stdio.h>

void probe_step(struct probe *p, const char *what, const char *fmt, ...)
{
	char text[STEP_DETAIL_MAX + 1];
	va_list args;
	va_start(args, fmt);
	int n = vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	if (n < 0)
		text[0] = '\0';
	for (char *c = text; *c != '\0'; c++)
		if (*c < 0x20 || *c > 0x7e)
			*c = '?'; /* callers escape what peers sent: this is a second wall */
	struct verdict_step step = { str_z(what), str_dup(p->mem, str_z(text)) };
	if (p->step_count < VERDICT_STEPS_MAX) {
		p->steps[p->step_count++] = step;
		return;
	}
	p->steps_left_out +=
		p->steps_left_out == 0 ? 2 : 1; /* the first time, two make room: for this and for the note */
	p->steps[VERDICT_STEPS_MAX - 2] =
		(struct verdict_step){ STR("note"), str_fmt(p->mem, "%zu steps are left out here", p->steps_left_out) };
	p->steps[VERDICT_STEPS_MAX - 1] = step;
}

int64_t probe_left_ms(const struct probe *p)
{
	int64_t left = p->deadline_mono_ms - clock_mono_ms(p->env->clk);
	return left < 0 ? 0 : left;
}

struct str peer_text(struct arena *mem, struct str bytes, size_t max)
{
	static const char digits[] = "0123456789abcdef";
	char *out = arena_alloc_n(mem, 1, max + 4);
	size_t at = 0;
	for (size_t i = 0; i < bytes.n; i++) {
		unsigned char c = (unsigned char)bytes.p[i];
		bool plain = c >= 0x20 && c <= 0x7e && c != '"' && c != '\\';
		if (at + (plain ? 1 : 4) > max) {
			memcpy(out + at, "...", 3);
			return str_n(out, at + 3);
		}
		if (plain) {
			out[at++] = (char)c;
			continue;
		}
		out[at++] = '\\';
		out[at++] = 'x';
		out[at++] = digits[c >> 4];
		out[at++] = digits[c & 15];
	}
	return str_n(out, at);
}

struct str key_authorization(const struct probe *p)
{
	return str_fmt(p->mem, "%.*s.%.*s", STR_FMT(p->job->token), STR_FMT(p->job->thumbprint));
}

static struct rc (*const methods[])(struct probe *p, struct err *err) = {
	[CHALLENGE_HTTP01] = http01,
	[CHALLENGE_DNS01] = dns01,
	[CHALLENGE_TLSALPN01] = tlsalpn01,
	[CHALLENGE_DNSACCOUNT01] = dnsaccount01,
	[CHALLENGE_DNSPERSIST01] = dnspersist01,
};
static_assert(ARRAY_LEN(methods) == CHALLENGE_TYPE_COUNT, "a row for each method");

/* What the api must never have asked for. The job is believed no more than any other message. */
static fallible job_check(const struct validate_job *j, struct err *err)
{
	if (j->method >= CHALLENGE_TYPE_COUNT)
		FAIL(err, ERR_INTERNAL, "this validator has no method of that number");
	const char *method = challenge_type_name(j->method);
	bool dns = challenge_is_dns(j->method);
	if (j->wildcard && !dns)
		FAIL(err, ERR_INTERNAL, "%s proves no wildcard name (BR 3.2.2.4.19, 3.2.2.4.20)", method);
	if (j->subdomains && !dns)
		FAIL(err, ERR_INTERNAL, "%s proves nothing about the names below (RFC 9444)", method);
	if (j->ident.type != IDENT_DNS && dns)
		FAIL(err, ERR_INTERNAL, "%s proves no address (RFC 8738 7)", method);
	if (j->ident.type != IDENT_DNS && (j->wildcard || j->subdomains))
		FAIL(err, ERR_INTERNAL, "an address has neither wildcards nor names below it");
	if (j->account_url.n == 0 && challenge_wants_account_url(j->method))
		FAIL(err, ERR_INTERNAL, "the job has no account URL, which %s wants", method);
	if (!token_is_wellformed(j->token) || !token_is_wellformed(j->thumbprint))
		FAIL(err, ERR_INTERNAL, "token and thumbprint must be 43 base64url characters");
	struct err why = { 0 };
	struct rc rc = j->ident.type == IDENT_DNS ? name_check(j->ident.value, false, &why)
						  : ident_check(&j->ident, false, &why);
	if (FAILED(rc))
		FAIL(err, ERR_INTERNAL, "the job's identifier is not one to validate: %s", why.detail);
	return OK;
}

/* The kinds that may stand in a verdict; the rest are faults of ours, or of this machine. */
static enum err_kind kind_for_verdict(const struct probe *p, enum err_kind kind)
{
	switch ((int)kind) {
	case ERR_CAA:
	case ERR_CONNECTION:
	case ERR_DNS:
	case ERR_INCORRECT_RESPONSE:
	case ERR_TLS:
	case ERR_UNAUTHORIZED:
		return kind;
	case ERR_TIMEOUT:
		return ERR_CONNECTION;
	case ERR_MALFORMED: /* a record that cannot be read: no other method has any */
		return p->job->method == CHALLENGE_DNSPERSIST01 ? kind : ERR_INTERNAL;
	default:
		return ERR_INTERNAL;
	}
}

/* --- attempts -----------------------------------------------------------------------------------------------------*/

#define PAUSE_FIRST_MS 2000
#define ATTEMPT_MIN_MS 1000 /* with less time left, there is no use in another one */

/* They grow, and never take more than half of what is left to the attempts that follow. 0: no time for another one. */
static int64_t pause_before_next(const struct probe *p, int64_t done, int64_t attempts)
{
	int64_t left = probe_left_ms(p);
	int64_t pause = (int64_t)PAUSE_FIRST_MS << (done < 6 ? done - 1 : 5);
	int64_t room = left / (2 * (attempts - done));
	return left < ATTEMPT_MIN_MS ? 0 : pause < room ? pause : room;
}

/* Control first: who does not have the name learns nothing of its CAA records. */
static struct rc attempt_run(struct probe *p, struct err *err)
{
	if (!p->proved)
		TRY(methods[p->job->method](p, err));
	p->proved = true;
	return caa_check(p, err);
}

/* RFC 8555 8.2: a client that looks meanwhile sees what went wrong so far. */
static void attempt_tell(const struct probe *p, int64_t done, int64_t attempts, int64_t pause, enum err_kind kind,
			 const struct err *why)
{
	struct err told = *why;
	if (p->env->ops->progress == NULL)
		return;
	err_prefix(&told, "attempt %lld of %lld failed: ", (long long)done, (long long)attempts);
	const struct progress now = {
		.attempt = p->job->attempt,
		.perspective = p->env->perspective,
		.problem = kind_for_verdict(p, kind),
		.problem_detail = str_z(told.detail),
		.next_ms = clock_now_ms(p->env->clk) + pause,
	};
	p->env->ops->progress(p->env->ops->ctx, &now);
}

/* Records spread, servers start, firewalls open: what may be better in a moment is tried again. */
static struct rc attempts_run(struct probe *p, bool *ret_stopping, struct err *err)
{
	int64_t attempts = p->env->zone->attempts;
	for (int64_t done = 1;; done++) {
		struct err why = { 0 };
		p->final = false;
		struct rc rc = attempt_run(p, &why);
		bool again = rc.kind != ERR_NONE && kind_for_verdict(p, rc.kind) != ERR_INTERNAL && !p->final &&
			     done < attempts;
		int64_t pause = again ? pause_before_next(p, done, attempts) : 0;
		*ret_stopping = false;
		if (pause > 0) {
			probe_step(p, "attempt", "%lld of %lld failed (%s); the next one in %.1f s", (long long)done,
				   (long long)attempts, err_kind_name(rc.kind), (double)pause / 1000.0);
			attempt_tell(p, done, attempts, pause, rc.kind, &why);
			*ret_stopping = !p->env->ops->pause(p->env->ops->ctx, pause);
		}
		if (pause > 0 && !*ret_stopping)
			continue;
		if (rc.kind != ERR_NONE && done > 1)
			err_prefix(&why, "%lld attempts failed, the last one: ", (long long)done);
		*err = why;
		return rc;
	}
}

/* --- the verdict --------------------------------------------------------------------------------------------------*/

static void verdict_begin(const struct probe_env *env, const struct validate_job *job, struct arena *mem,
			  struct verdict *ret)
{
	*ret = (struct verdict){
		.attempt = job->attempt,
		.authz = job->authz,
		.perspective = str_dup(mem, env->perspective),
		.realm = str_dup(mem, job->realm),
		.zone = str_dup(mem, env->zone->name),
		.method = job->method,
		.ident = { job->ident.type, str_dup(mem, job->ident.value) },
		.wildcard = job->wildcard,
		.subdomains = job->subdomains,
		.token = str_dup(mem, job->token),
		.thumbprint = str_dup(mem, job->thumbprint),
		.account_url = str_dup(mem, job->account_url),
		.caa_only = job->caa_only,
		.granted = job->granted,
		.started_ms = clock_now_ms(env->clk),
		.caa = STR("not-checked"),
	};
}

static void verdict_end(const struct probe *p, struct rc rc, struct err *why, struct verdict *ret)
{
	int64_t now = clock_now_ms(p->env->clk);
	ret->finished_ms = now > ret->started_ms ? now : ret->started_ms; /* the wall clock may have been set back */
	ret->steps = p->steps;
	ret->step_count = p->step_count;
	ret->valid = rc.kind == ERR_NONE;
	if (p->caa_text.n > 0)
		ret->caa = str_dup(p->mem, p->caa_text);
	if (ret->valid) {
		ret->caa_result = p->caa_result;
		ret->record_thumbprint = str_dup(p->mem, p->record_thumbprint);
		ret->persist_until_s = p->persist_until_s;
		return;
	}
	why->kind = kind_for_verdict(p, rc.kind);
	ret->problem = why->kind;
	ret->problem_detail = str_dup(p->mem, str_z(why->detail));
}

bool probe_run_why(const struct probe_env *env, const struct validate_job *job, struct arena *mem, struct verdict *ret,
		   struct err *why)
{
	verdict_begin(env, job, mem, ret);
	int64_t left = job->deadline_ms - ret->started_ms;
	if (left > env->zone->deadline_ms)
		left = env->zone->deadline_ms;
	struct probe p = {
		.env = env,
		.job = job,
		.mem = mem,
		.proved = job->caa_only, /* at another time, and the signer will see by whom */
		.deadline_mono_ms = clock_mono_ms(env->clk) + left,
		.allowed_ms = left < 0 ? 0 : left,
		.steps = ARENA_ARRAY(mem, struct verdict_step, VERDICT_STEPS_MAX),
	};
	*why = (struct err){ 0 };
	struct rc rc = job_check(job, why);
	bool stopping = false;
	if (rc.kind == ERR_NONE)
		rc = attempts_run(&p, &stopping, why);
	verdict_end(&p, rc, why, ret);
	return !stopping;
}

void probe_run(const struct probe_env *env, const struct validate_job *job, struct arena *mem, struct verdict *ret)
{
	struct err why;
	(void)probe_run_why(env, job, mem, ret, &why);
}

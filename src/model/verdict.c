/* SPDX-License-Identifier: Apache-2.0
 *
 * verdict.c: what one perspective saw, as it signs it, and the message that carries it.
 */
#include "model/message.h"

#include <stddef.h>

#define AT(member) offsetof(struct verdict, member)
static const struct field verdict_fields[] = {
	{ "attempt", FIELD_ID, AT(attempt), .min = 1 },
	{ "authz", FIELD_ID, AT(authz), .min = 1 },
	{ "perspective", FIELD_WORD, AT(perspective), .min = 1, .max = PERSPECTIVE_NAME_MAX },
	{ "realm", FIELD_WORD, AT(realm), .min = 1, .max = REALM_NAME_MAX },
	{ "zone", FIELD_WORD, AT(zone), .min = 1, .max = ZONE_NAME_MAX },
	{ "method", FIELD_METHOD, AT(method) },
	{ "identifier", FIELD_IDENT, AT(ident) },
	{ "wildcard", FIELD_BOOL, AT(wildcard) },
	{ "subdomains", FIELD_FLAG, AT(subdomains) },
	{ "token", FIELD_TOKEN, AT(token), .min = TOKEN_LEN, .max = TOKEN_LEN },
	{ "thumbprint", FIELD_TOKEN, AT(thumbprint), .min = TOKEN_LEN, .max = TOKEN_LEN },
	{ "valid", FIELD_BOOL, AT(valid) },
	{ "problem", FIELD_PROBLEM, AT(problem), .min = 0 },
	{ "problemDetail", FIELD_TEXT, AT(problem_detail), .min = 0, .max = ERR_DETAIL_MAX },
	{ "started", FIELD_TIME, AT(started_ms) },
	{ "finished", FIELD_TIME, AT(finished_ms) },
	{ "caa", FIELD_TEXT, AT(caa), .min = 1, .max = VERDICT_CAA_MAX },
	{ "caaResult", FIELD_CAA, AT(caa_result) },
	{ "steps", FIELD_STEPS, AT(steps), AT(step_count), .min = 0, .max = VERDICT_STEPS_MAX },
	{ "caaOnly", FIELD_FLAG, AT(caa_only) },
	{ "granted", FIELD_FLAG, AT(granted) },
	{ "accountUrl", FIELD_TEXT, AT(account_url), .min = 1, .max = ACCOUNT_URL_MAX, .may_lack = true },
	{ "recordThumbprint", FIELD_TOKEN, AT(record_thumbprint), .min = TOKEN_LEN, .max = TOKEN_LEN,
	  .may_lack = true },
	{ "persistUntil", FIELD_TIME, AT(persist_until_s), .may_lack = true },
};
#undef AT

static fallible verdict_check(const void *m, struct err *err)
{
	const struct verdict *v = (const struct verdict *)m;
	TRY(subdomains_check(v->subdomains, v->method, &v->ident, err));
	TRY(account_url_check(v->account_url, v->method, err));
	TRY(caa_only_check(v->caa_only, v->granted, v->subdomains, &v->ident, v->account_url, err));
	if (v->caa_only &&
	    ((v->valid && v->caa_result == CAA_NOT_CHECKED) || v->record_thumbprint.n > 0 || v->persist_until_s != 0))
		FAIL(err, ERR_MALFORMED,
		     "\"caaOnly\" goes with a \"caaResult\", and with nothing that a challenge found");
	if ((v->record_thumbprint.n > 0 || v->persist_until_s != 0) &&
	    (v->method != CHALLENGE_DNSPERSIST01 || !v->valid))
		FAIL(err, ERR_MALFORMED,
		     "\"recordThumbprint\" and \"persistUntil\" are of a record that dns-persist-01 took; this is %s, "
		     "%s",
		     challenge_type_name(v->method), v->valid ? "valid" : "not valid");
	if (v->valid != (v->problem == ERR_NONE))
		FAIL(err, ERR_MALFORMED, "\"valid\" is %s but \"problem\" is %s", v->valid ? "true" : "false",
		     err_kind_name(v->problem));
	if (v->valid && v->problem_detail.n > 0)
		FAIL(err, ERR_MALFORMED, "\"valid\" is true but \"problemDetail\" says why not");
	if (!v->valid && v->caa_result != CAA_NOT_CHECKED)
		FAIL(err, ERR_MALFORMED, "\"valid\" is false but \"caaResult\" lets pass");
	if (v->finished_ms < v->started_ms)
		FAIL(err, ERR_MALFORMED, "\"finished\" %lld lies before \"started\" %lld", (long long)v->finished_ms,
		     (long long)v->started_ms);
	return OK;
}

static const struct message verdict_message_table = {
	"verdict", VERDICT_PAYLOAD_MAX, verdict_fields, ARRAY_LEN(verdict_fields), verdict_check,
};

/* The same verdict without `drop` steps of its middle: how it began and how it ended tells most. */
static fallible write_without(const struct verdict *v, size_t drop, struct buf *ret, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct verdict_step kept[VERDICT_STEPS_MAX];
	struct verdict less = *v;
	size_t head = (v->step_count - drop + 1) / 2, tail = v->step_count - drop - head;
	less.steps = kept;
	less.step_count = head + 1 + tail;
	memcpy(kept, v->steps, head * sizeof *kept);
	kept[head] = (struct verdict_step){ STR("note"), str_fmt(&mem, "%zu steps are left out here", drop) };
	memcpy(kept + head + 1, v->steps + v->step_count - tail, tail * sizeof *kept);
	return message_write(&verdict_message_table, &less, ret, err);
}

/* What a target answers stands in the steps, so how large they are is not ours to say. They are for people: nothing is
 * decided by them, and a verdict that could not be sent would help whoever made them large. */
fallible verdict_write(const struct verdict *v, struct buf *ret, struct err *err)
{
	size_t from = ret->n;
	struct rc rc = message_write(&verdict_message_table, v, ret, err);
	for (size_t drop = 2; rc.kind == ERR_TOO_LARGE && drop <= v->step_count; drop++) {
		ret->n = from;
		if (err != NULL)
			*err = (struct err){ 0 };
		rc = write_without(v, drop, ret, err);
	}
	return rc;
}

fallible verdict_read(struct arena *mem, struct str text, struct verdict *ret, struct err *err)
{
	struct verdict v = { .valid = false };
	TRY(message_read(&verdict_message_table, mem, text, &v, err));
	*ret = v;
	return OK;
}

#define AT(member) offsetof(struct verdict_message, member)
static const struct field carrier_fields[] = {
	{ "attempt", FIELD_ID, AT(attempt), .min = 1 },
	{ "order", FIELD_ID, AT(order), .min = 0 },
	{ "perspective", FIELD_WORD, AT(perspective), .min = 1, .max = PERSPECTIVE_NAME_MAX },
	{ "jws", FIELD_WORD, AT(jws), .min = 1, .max = VERDICT_JWS_MAX }, /* base64url and dots */
};
#undef AT

static const struct message carrier_table = {
	"verdict message", VERDICT_JWS_MAX + 1024, carrier_fields, ARRAY_LEN(carrier_fields), NULL,
};

fallible verdict_message_write(const struct verdict_message *m, struct buf *ret, struct err *err)
{
	return message_write(&carrier_table, m, ret, err);
}

fallible verdict_message_read(struct arena *mem, struct str text, struct verdict_message *ret, struct err *err)
{
	struct verdict_message m = { .jws = STR_NONE };
	TRY(message_read(&carrier_table, mem, text, &m, err));
	*ret = m;
	return OK;
}

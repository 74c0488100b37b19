/* SPDX-License-Identifier: Apache-2.0
 *
 * job.c: the messages that ask for work, and the signer's answer, as tables.
 */
#include "model/message.h"

#include <stddef.h>

#define AT(member) offsetof(struct validate_job, member)
static const struct field validate_fields[] = {
	{ "attempt", FIELD_ID, AT(attempt), .min = 1 },
	{ "authz", FIELD_ID, AT(authz), .min = 1 },
	{ "order", FIELD_ID, AT(order), .min = 0 },
	{ "realm", FIELD_WORD, AT(realm), .min = 1, .max = REALM_NAME_MAX },
	{ "zone", FIELD_WORD, AT(zone), .min = 1, .max = ZONE_NAME_MAX },
	{ "method", FIELD_METHOD, AT(method) },
	{ "identifier", FIELD_IDENT, AT(ident) },
	{ "wildcard", FIELD_BOOL, AT(wildcard) },
	{ "subdomains", FIELD_FLAG, AT(subdomains) },
	{ "token", FIELD_TOKEN, AT(token), .min = TOKEN_LEN, .max = TOKEN_LEN },
	{ "thumbprint", FIELD_TOKEN, AT(thumbprint), .min = TOKEN_LEN, .max = TOKEN_LEN },
	{ "deadline", FIELD_TIME, AT(deadline_ms) },
	{ "accountUrl", FIELD_TEXT, AT(account_url), .min = 1, .max = ACCOUNT_URL_MAX, .may_lack = true },
	{ "caaOnly", FIELD_FLAG, AT(caa_only) },
	{ "granted", FIELD_FLAG, AT(granted) },
	{ "earlierThumbprints", FIELD_TEXTS, AT(earlier_thumbprints), AT(earlier_count), 1, EARLIER_KEYS_MAX, TOKEN_LEN,
	  .may_lack = true },
};
#undef AT

fallible subdomains_check(bool subdomains, enum challenge_type method, const struct ident *ident, struct err *err)
{
	if (subdomains && (!challenge_is_dns(method) || ident->type != IDENT_DNS))
		FAIL(err, ERR_MALFORMED, "\"subdomains\" goes with a DNS method and a name, this is %s and type %s",
		     challenge_type_name(method), ident_type_name(ident->type));
	return OK;
}

fallible account_url_check(struct str url, enum challenge_type method, struct err *err)
{
	if (url.n == 0 && challenge_wants_account_url(method))
		FAIL(err, ERR_MALFORMED, "\"accountUrl\" is missing; %s wants it", challenge_type_name(method));
	return OK;
}

fallible caa_only_check(bool caa_only, bool granted, bool subdomains, const struct ident *ident, struct str account_url,
			struct err *err)
{
	if (granted && !caa_only)
		FAIL(err, ERR_MALFORMED, "\"granted\" goes with \"caaOnly\": a grant is no challenge");
	if (caa_only && (subdomains || ident->type != IDENT_DNS || account_url.n == 0))
		FAIL(err, ERR_MALFORMED,
		     "\"caaOnly\" goes with a name, without \"subdomains\", and with \"accountUrl\"");
	return OK;
}

static fallible validate_job_check(const void *m, struct err *err)
{
	const struct validate_job *j = (const struct validate_job *)m;
	TRY(subdomains_check(j->subdomains, j->method, &j->ident, err));
	TRY(account_url_check(j->account_url, j->method, err));
	TRY(caa_only_check(j->caa_only, j->granted, j->subdomains, &j->ident, j->account_url, err));
	if (j->earlier_count > 0 && j->method != CHALLENGE_DNSPERSIST01)
		FAIL(err, ERR_MALFORMED, "\"earlierThumbprints\" goes with dns-persist-01, this is %s",
		     challenge_type_name(j->method));
	for (size_t i = 0; i < j->earlier_count; i++)
		if (!token_is_wellformed(j->earlier_thumbprints[i]))
			FAIL(err, ERR_MALFORMED, "\"earlierThumbprints\"[%zu] is not 32 bytes in base64url", i);
	return OK;
}

static const struct message validate_table = {
	"validate job", VALIDATE_JOB_MAX, validate_fields, ARRAY_LEN(validate_fields), validate_job_check,
};

fallible validate_job_write(const struct validate_job *j, struct buf *ret, struct err *err)
{
	return message_write(&validate_table, j, ret, err);
}

fallible validate_job_read(struct arena *mem, struct str text, struct validate_job *ret, struct err *err)
{
	struct validate_job j = { .wildcard = false };
	TRY(message_read(&validate_table, mem, text, &j, err));
	*ret = j;
	return OK;
}

#define AT(member) offsetof(struct sign_job, member)
static const struct field sign_fields[] = {
	{ "issuance", FIELD_ID, AT(issuance), .min = 1 },
	{ "order", FIELD_ID, AT(order), .min = 1 },
	{ "account", FIELD_ID, AT(account), .min = 1 },
	{ "realm", FIELD_WORD, AT(realm), .min = 1, .max = REALM_NAME_MAX },
	{ "profile", FIELD_WORD, AT(profile), .min = 1, .max = PROFILE_NAME_MAX },
	{ "issuer", FIELD_WORD, AT(issuer), .min = 1, .max = ISSUER_NAME_MAX },
	{ "serial", FIELD_HEX, AT(serial_hex), .min = 2, .max = SERIAL_HEX_MAX },
	{ "notBefore", FIELD_TIME, AT(not_before) },
	{ "notAfter", FIELD_TIME, AT(not_after) },
	{ "identifiers", FIELD_IDENTS, AT(idents), AT(ident_count), .min = 1, .max = IDENTS_MAX },
	{ "finalizeProtected", FIELD_B64URL, AT(finalize_protected), .min = 1, .max = 16 * 1024 },
	{ "finalizePayload", FIELD_B64URL, AT(finalize_payload), .min = 1, .max = 64 * 1024 },
	{ "finalizeSignature", FIELD_B64URL, AT(finalize_signature), .min = 1, .max = 2 * 1024 },
	{ "finalizeUrl", FIELD_TEXT, AT(finalize_url), .min = 1, .max = 2 * 1024 },
	{ "accountJwk", FIELD_TEXT, AT(account_jwk), .min = 2, .max = 4 * 1024 },
	{ "verdicts", FIELD_TEXTS, AT(verdicts), AT(verdict_count), 0, SIGN_VERDICTS_MAX, VERDICT_JWS_MAX },
	{ "keyChanges", FIELD_TEXTS, AT(key_changes), AT(key_change_count), 1, EARLIER_KEYS_MAX, KEY_CHANGE_JWS_MAX,
	  .may_lack = true },
	{ "grants", FIELD_WORDS, AT(grants), AT(grant_count), 1, SIGN_GRANTS_MAX, GRANT_JWS_MAX, .may_lack = true },
};
#undef AT

static fallible sign_job_check(const void *m, struct err *err)
{
	const struct sign_job *j = (const struct sign_job *)m;
	if (j->serial_hex.n % 2 != 0)
		FAIL(err, ERR_MALFORMED, "\"serial\" has %zu hex digits, an odd number", j->serial_hex.n);
	if (j->not_after <= j->not_before)
		FAIL(err, ERR_MALFORMED, "\"notAfter\" %lld is not later than \"notBefore\" %lld",
		     (long long)j->not_after, (long long)j->not_before);
	return OK;
}

static const struct message sign_table = {
	"sign job", JOB_MAX, sign_fields, ARRAY_LEN(sign_fields), sign_job_check,
};

fallible sign_job_write(const struct sign_job *j, struct buf *ret, struct err *err)
{
	return message_write(&sign_table, j, ret, err);
}

fallible sign_job_read(struct arena *mem, struct str text, struct sign_job *ret, struct err *err)
{
	struct sign_job j = { .ident_count = 0 };
	TRY(message_read(&sign_table, mem, text, &j, err));
	*ret = j;
	return OK;
}

#define AT(member) offsetof(struct sign_result, member)
static const struct field result_fields[] = {
	{ "issuance", FIELD_ID, AT(issuance), .min = 1 },
	{ "order", FIELD_ID, AT(order), .min = 1 },
	{ "issued", FIELD_BOOL, AT(issued) },
	{ "der", FIELD_BYTES, AT(der), .min = 0, .max = 64 * 1024 },
	{ "chain", FIELD_LINES, AT(chain_pem), .min = 0, .max = 256 * 1024 },
	{ "problem", FIELD_PROBLEM, AT(problem), .min = 0 },
	{ "problemDetail", FIELD_TEXT, AT(problem_detail), .min = 0, .max = ERR_DETAIL_MAX },
};
#undef AT

static fallible sign_result_check(const void *m, struct err *err)
{
	const struct sign_result *r = (const struct sign_result *)m;
	bool has_certificate = r->der.n > 0 && r->chain_pem.n > 0;
	bool has_nothing = r->der.n == 0 && r->chain_pem.n == 0;
	if (r->issued ? !has_certificate : !has_nothing)
		FAIL(err, ERR_MALFORMED, "\"issued\" is %s, \"der\" has %zu bytes and \"chain\" %zu",
		     r->issued ? "true" : "false", r->der.n, r->chain_pem.n);
	if (r->issued != (r->problem == ERR_NONE) || (r->issued && r->problem_detail.n > 0))
		FAIL(err, ERR_MALFORMED, "\"issued\" is %s but \"problem\" is %s", r->issued ? "true" : "false",
		     err_kind_name(r->problem));
	return OK;
}

static const struct message result_table = {
	"sign result", JOB_MAX, result_fields, ARRAY_LEN(result_fields), sign_result_check,
};

fallible sign_result_write(const struct sign_result *r, struct buf *ret, struct err *err)
{
	return message_write(&result_table, r, ret, err);
}

fallible sign_result_read(struct arena *mem, struct str text, struct sign_result *ret, struct err *err)
{
	struct sign_result r = { .issued = false };
	TRY(message_read(&result_table, mem, text, &r, err));
	*ret = r;
	return OK;
}

#define AT(member) offsetof(struct audit_record, member)
static const struct field audit_fields[] = {
	{ "issued", FIELD_TIME, AT(issued_ms) },
	{ "certificate", FIELD_BYTES, AT(der), .min = 1, .max = 64 * 1024 },
	{ "job", FIELD_TEXT, AT(job), .min = 2, .max = JOB_MAX },
};
#undef AT

static const struct message audit_table = {
	"audit record", AUDIT_LINE_MAX, audit_fields, ARRAY_LEN(audit_fields), NULL,
};

fallible audit_record_write(const struct audit_record *r, struct buf *ret, struct err *err)
{
	return message_write(&audit_table, r, ret, err);
}

fallible audit_record_read(struct arena *mem, struct str line, struct audit_record *ret, struct err *err)
{
	struct audit_record r = { .issued_ms = 0 };
	TRY(message_read(&audit_table, mem, line, &r, err));
	*ret = r;
	return OK;
}

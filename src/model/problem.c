/* SPDX-License-Identifier: Apache-2.0
 *
 * problem.c: error kinds as problem documents (RFC 9457, RFC 8555 6.7) and back: the one table. What only we may know
 * stays inside: kinds from ERR_CONFLICT on are sent as serverInternal without their text.
 */
#include "model/model.h"

#include <assert.h>

#define PROBLEM_TYPE_MAX 256
#define PROBLEM_DETAIL_MAX 4096

static const struct problem_row rows[] = {
	[ERR_NONE] = { "serverInternal", 500 }, /* asked only by mistake */
	[ERR_ACCOUNT_DOES_NOT_EXIST] = { "accountDoesNotExist", 400 },
	[ERR_ALREADY_REPLACED] = { "alreadyReplaced", 409 },
	[ERR_ALREADY_REVOKED] = { "alreadyRevoked", 400 },
	[ERR_BAD_CSR] = { "badCSR", 400 },
	[ERR_BAD_NONCE] = { "badNonce", 400 },
	[ERR_BAD_PUBLIC_KEY] = { "badPublicKey", 400 },
	[ERR_BAD_REVOCATION_REASON] = { "badRevocationReason", 400 },
	[ERR_BAD_SIGNATURE_ALGORITHM] = { "badSignatureAlgorithm", 400 },
	[ERR_CAA] = { "caa", 403 },
	[ERR_COMPOUND] = { "compound", 400 },
	[ERR_CONNECTION] = { "connection", 400 },
	[ERR_DNS] = { "dns", 400 },
	[ERR_EXTERNAL_ACCOUNT_REQUIRED] = { "externalAccountRequired", 403 },
	[ERR_INCORRECT_RESPONSE] = { "incorrectResponse", 403 },
	[ERR_INVALID_CONTACT] = { "invalidContact", 400 },
	[ERR_INVALID_PROFILE] = { "invalidProfile", 400 },
	[ERR_MALFORMED] = { "malformed", 400 },
	[ERR_ORDER_NOT_READY] = { "orderNotReady", 403 },
	[ERR_RATE_LIMITED] = { "rateLimited", 429 },
	[ERR_REJECTED_IDENTIFIER] = { "rejectedIdentifier", 400 },
	[ERR_TLS] = { "tls", 400 },
	[ERR_UNAUTHORIZED] = { "unauthorized", 403 },
	[ERR_UNSUPPORTED_CONTACT] = { "unsupportedContact", 400 },
	[ERR_UNSUPPORTED_IDENTIFIER] = { "unsupportedIdentifier", 400 },
	[ERR_USER_ACTION_REQUIRED] = { "userActionRequired", 403 },
	[ERR_NOT_FOUND] = { "malformed", 404 },
	[ERR_METHOD_NOT_ALLOWED] = { "malformed", 405 },
	[ERR_TOO_LARGE] = { "malformed", 413 },
	[ERR_MEDIA_TYPE] = { "malformed", 415 },
	[ERR_KEY_IN_USE] = { "malformed", 409 },
	[ERR_ACCOUNT_ENDED] = { "unauthorized", 401 },
	[ERR_UNAVAILABLE] = { "serverInternal", 503 },
	[ERR_CONFLICT] = { "serverInternal", 500 },
	[ERR_TIMEOUT] = { "serverInternal", 500 },
	[ERR_CLOSED] = { "serverInternal", 500 },
	[ERR_CONFIG] = { "serverInternal", 500 },
	[ERR_IO] = { "serverInternal", 500 },
	[ERR_INTERNAL] = { "serverInternal", 500 },
};
static_assert(ARRAY_LEN(rows) == ERR_KIND_COUNT, "a row for every kind");

static bool is_inside(enum err_kind kind)
{
	return kind == ERR_NONE || (unsigned)kind >= ERR_CONFLICT;
}

const struct problem_row *problem_row(enum err_kind kind)
{
	return (unsigned)kind < ERR_KIND_COUNT ? &rows[kind] : &rows[ERR_INTERNAL];
}

fallible problem_write(const struct err *e, struct str extra, struct buf *ret, struct err *err)
{
	const struct problem_row *row = problem_row(e->kind);
	TRY(buf_addf(ret, err, "{\"type\":\"" PROBLEM_URN "%s\",\"status\":%d,\"detail\":", row->type, row->status));
	struct jw w = jw_begin(ret, err);
	jw_str(&w, is_inside(e->kind) ? STR("internal error; the server's log has the cause") : str_z(e->detail));
	TRY(jw_end(&w));
	if (extra.n > 0) {
		TRY(buf_add_char(ret, ',', err));
		TRY(buf_add(ret, extra, err));
	}
	return buf_add_char(ret, '}', err);
}

/* The kind whose row has this type and status; failing that, the first with this type. */
static bool kind_of_type(struct str type, int64_t status, enum err_kind *ret)
{
	bool found = false;
	for (unsigned k = ERR_ACCOUNT_DOES_NOT_EXIST; k < ERR_KIND_COUNT; k++) {
		if (is_inside((enum err_kind)k) && k != ERR_INTERNAL)
			continue;
		if (!str_eq(type, str_z(rows[k].type)))
			continue;
		if (rows[k].status == status) {
			*ret = (enum err_kind)k;
			return true;
		}
		if (!found)
			*ret = (enum err_kind)k;
		found = true;
	}
	return found;
}

/* A server may use types that we do not know (RFC 8555 6.7): its status then says the most. */
static enum err_kind kind_of_status(int64_t status)
{
	for (unsigned k = ERR_NOT_FOUND; k <= ERR_UNAVAILABLE; k++) {
		if (rows[k].status == status)
			return (enum err_kind)k;
	}
	if (status == rows[ERR_RATE_LIMITED].status)
		return ERR_RATE_LIMITED;
	if (status == rows[ERR_UNAUTHORIZED].status)
		return ERR_UNAUTHORIZED;
	return status >= 500 ? ERR_INTERNAL : ERR_MALFORMED;
}

fallible problem_read(const struct json *v, enum err_kind *ret_kind, struct str *ret_detail, struct err *err)
{
	if (json_type(v) != JSON_OBJECT)
		FAIL(err, ERR_MALFORMED, "a problem document is an object, this is not");
	struct str type = STR_NONE;
	struct str detail = STR_NONE;
	int64_t status = 0;
	TRY(json_may_str(v, "type", PROBLEM_TYPE_MAX, &type, err));
	TRY(json_may_str(v, "detail", PROBLEM_DETAIL_MAX, &detail, err));
	if (json_get(v, "status") != NULL)
		TRY(json_want_i64(v, "status", 100, 999, &status, err));

	enum err_kind kind = ERR_INTERNAL;
	if (!str_skip(&type, STR(PROBLEM_URN)) || !kind_of_type(type, status, &kind))
		kind = kind_of_status(status);
	*ret_kind = kind;
	*ret_detail = detail;
	return OK;
}

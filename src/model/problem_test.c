/* SPDX-License-Identifier: Apache-2.0
 *
 * problem_test.c: the table of problem types, what leaves the machine and what does not, and reading back.
 */
#include "model/model.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct str written(struct buf *b, enum err_kind kind, const char *detail, const char *extra)
{
	struct err e = { 0 };
	err_set(&e, kind, "%s", detail);
	err_cause(&e, "secret cause");
	struct err err = { 0 };
	buf_reset(b);
	if (FAILED(problem_write(&e, str_z(extra), b, &err)))
		fail_msg("%s", err.detail);
	return buf_str(b);
}

static void each_kind_has_the_type_and_status_of_the_rfc(void **state)
{
	(void)state;
	static const struct {
		enum err_kind kind;
		const char *type;
		int status;
	} rows[] = {
		{ ERR_ACCOUNT_DOES_NOT_EXIST, "accountDoesNotExist", 400 },
		{ ERR_ALREADY_REVOKED, "alreadyRevoked", 400 },
		{ ERR_BAD_CSR, "badCSR", 400 },
		{ ERR_BAD_NONCE, "badNonce", 400 },
		{ ERR_BAD_PUBLIC_KEY, "badPublicKey", 400 },
		{ ERR_BAD_SIGNATURE_ALGORITHM, "badSignatureAlgorithm", 400 },
		{ ERR_CAA, "caa", 403 },
		{ ERR_EXTERNAL_ACCOUNT_REQUIRED, "externalAccountRequired", 403 },
		{ ERR_MALFORMED, "malformed", 400 },
		{ ERR_ORDER_NOT_READY, "orderNotReady", 403 },
		{ ERR_RATE_LIMITED, "rateLimited", 429 },
		{ ERR_REJECTED_IDENTIFIER, "rejectedIdentifier", 400 },
		{ ERR_UNAUTHORIZED, "unauthorized", 403 },
		{ ERR_USER_ACTION_REQUIRED, "userActionRequired", 403 },
		{ ERR_NOT_FOUND, "malformed", 404 },
		{ ERR_METHOD_NOT_ALLOWED, "malformed", 405 },
		{ ERR_TOO_LARGE, "malformed", 413 },
		{ ERR_MEDIA_TYPE, "malformed", 415 },
		{ ERR_ACCOUNT_ENDED, "unauthorized", 401 },
		{ ERR_UNAVAILABLE, "serverInternal", 503 },
		{ ERR_CONFLICT, "serverInternal", 500 },
		{ ERR_INTERNAL, "serverInternal", 500 },
		{ ERR_KIND_COUNT, "serverInternal", 500 },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct problem_row *row = problem_row(rows[i].kind);
		assert_string_equal(row->type, rows[i].type);
		assert_int_equal(row->status, rows[i].status);
	}
	for (unsigned k = 0; k < ERR_KIND_COUNT; k++) {
		const struct problem_row *row = problem_row((enum err_kind)k);
		assert_non_null(row->type);
		assert_in_range(row->status, 400, 503);
	}
}

static void a_refusal_says_why(void **state)
{
	(void)state;
	AUTO(buf_done) struct buf b = BUF_MAX(4096);
	struct str got = written(&b, ERR_BAD_CSR, "the CSR names no identifier, \"a.example\" was ordered", "");
	struct str want = STR("{\"type\":\"urn:ietf:params:acme:error:badCSR\",\"status\":400,"
			      "\"detail\":\"the CSR names no identifier, \\\"a.example\\\" was ordered\"}");
	if (!str_eq(got, want))
		fail_msg("got %.*s", STR_FMT(got));
}

static void extra_members_follow(void **state)
{
	(void)state;
	AUTO(buf_done) struct buf b = BUF_MAX(4096);
	struct str got = written(&b, ERR_BAD_SIGNATURE_ALGORITHM, "x", "\"algorithms\":[\"ES256\"]");
	assert_true(str_ends(got, STR("\"detail\":\"x\",\"algorithms\":[\"ES256\"]}")));
	AUTO(json_auto) struct json *top = NULL;
	assert_false(FAILED(json_read(got, 4096, &top, NULL)));
	assert_int_equal(json_count(json_get(top, "algorithms")), 1);
}

static void inside_kinds_send_no_text_of_ours(void **state)
{
	(void)state;
	static const enum err_kind inside[] = {
		ERR_CONFLICT, ERR_TIMEOUT, ERR_CLOSED, ERR_CONFIG, ERR_IO, ERR_INTERNAL
	};
	AUTO(buf_done) struct buf b = BUF_MAX(4096);
	for (size_t i = 0; i < ARRAY_LEN(inside); i++) {
		struct str got = written(&b, inside[i], "/var/lib/cairn.db", "");
		if (memmem(got.p, got.n, "/var/lib", 8) != NULL)
			fail_msg("%.*s", STR_FMT(got));
		assert_true(str_ends(got, STR("\"internal error; the server's log has the cause\"}")));
	}
	for (unsigned k = ERR_ACCOUNT_DOES_NOT_EXIST; k < ERR_KIND_COUNT; k++) {
		struct str got = written(&b, (enum err_kind)k, "d", "");
		assert_null(memmem(got.p, got.n, "secret cause", 12));
	}
}

static void what_was_written_reads_back(void **state)
{
	(void)state;
	AUTO(buf_done) struct buf b = BUF_MAX(4096);
	for (unsigned k = ERR_ACCOUNT_DOES_NOT_EXIST; k < ERR_CONFLICT; k++) {
		AUTO(json_auto) struct json *top = NULL;
		assert_false(FAILED(json_read(written(&b, (enum err_kind)k, "some detail", ""), 4096, &top, NULL)));
		enum err_kind kind = ERR_NONE;
		struct str detail = STR_NONE;
		assert_false(FAILED(problem_read(top, &kind, &detail, NULL)));
		assert_int_equal(kind, k);
		assert_true(str_eq(detail, STR("some detail")));
	}
}

static void problems_of_other_servers_are_understood_as_far_as_they_go(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		enum err_kind want;
	} rows[] = {
		{ "{\"type\":\"urn:ietf:params:acme:error:badNonce\"}", ERR_BAD_NONCE },
		{ "{\"type\":\"urn:ietf:params:acme:error:rateLimited\",\"status\":503}", ERR_RATE_LIMITED },
		{ "{\"type\":\"urn:ietf:params:acme:error:malformed\",\"status\":400}", ERR_MALFORMED },
		{ "{\"type\":\"urn:ietf:params:acme:error:malformed\",\"status\":404}", ERR_NOT_FOUND },
		{ "{\"type\":\"urn:ietf:params:acme:error:serverInternal\",\"status\":500}", ERR_INTERNAL },
		{ "{\"type\":\"urn:ietf:params:acme:error:serverInternal\",\"status\":503}", ERR_UNAVAILABLE },
		{ "{\"type\":\"urn:ietf:params:acme:error:notYetInvented\",\"status\":400}", ERR_MALFORMED },
		{ "{\"type\":\"urn:example:other\",\"status\":403}", ERR_UNAUTHORIZED },
		{ "{\"type\":\"about:blank\",\"status\":429}", ERR_RATE_LIMITED },
		{ "{\"status\":502}", ERR_INTERNAL },
		{ "{}", ERR_MALFORMED },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(json_auto) struct json *top = NULL;
		assert_false(FAILED(json_read(str_z(rows[i].text), 4096, &top, NULL)));
		enum err_kind kind = ERR_NONE;
		struct str detail = STR("untouched");
		assert_false(FAILED(problem_read(top, &kind, &detail, NULL)));
		if (kind != rows[i].want)
			fail_msg("%s: %s", rows[i].text, err_kind_name(kind));
		assert_int_equal(detail.n, 0);
	}
}

static void what_is_no_problem_document_is_refused(void **state)
{
	(void)state;
	static const char *const rows[] = { "{\"type\":1}", "{\"detail\":[]}", "{\"status\":\"400\"}",
					    "{\"status\":7}" };
	enum err_kind kind;
	struct str detail;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(json_auto) struct json *top = NULL;
		assert_false(FAILED(json_read(str_z(rows[i]), 4096, &top, NULL)));
		assert_int_equal(problem_read(top, &kind, &detail, NULL).kind, ERR_MALFORMED);
	}
	assert_int_equal(problem_read(NULL, &kind, &detail, NULL).kind, ERR_MALFORMED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_kind_has_the_type_and_status_of_the_rfc),
		cmocka_unit_test(a_refusal_says_why),
		cmocka_unit_test(extra_members_follow),
		cmocka_unit_test(inside_kinds_send_no_text_of_ours),
		cmocka_unit_test(what_was_written_reads_back),
		cmocka_unit_test(problems_of_other_servers_are_understood_as_far_as_they_go),
		cmocka_unit_test(what_is_no_problem_document_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

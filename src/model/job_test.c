/* SPDX-License-Identifier: Apache-2.0
 *
 * job_test.c: messages between programs. Each goes out and comes back the same, byte for byte when written again; then
 * one member at a time is spoilt, and the reader must refuse and name it.
 */
#include "model/model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define TOKEN "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
#define ACCOUNT_URL "https://ca.example/account/7"
#define THUMB "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8"

static struct id make_id(uint8_t n)
{
	struct id id = { { 1, 2, 3, 4, 5, 6, 0x70, n, 0x80, n } };
	return id;
}

static struct validate_job example_validate(void)
{
	return (struct validate_job){
		.attempt = make_id(1),
		.authz = make_id(2),
		.order = make_id(3),
		.realm = STR("default"),
		.zone = STR("public"),
		.method = CHALLENGE_DNS01,
		.ident = { IDENT_DNS, STR("a.example") },
		.wildcard = true,
		.token = STR(TOKEN),
		.thumbprint = STR(THUMB),
		.deadline_ms = 1700000000123,
	};
}

static struct verdict example_verdict(struct verdict_step steps[2])
{
	steps[0] = (struct verdict_step){ STR("resolve"), STR("a.example A: 192.0.2.7 (insecure)") };
	steps[1] = (struct verdict_step){ STR("connect"), STR("192.0.2.7:80: \"refused\"") };
	return (struct verdict){
		.attempt = make_id(1),
		.authz = make_id(2),
		.perspective = STR("fra-1"),
		.realm = STR("default"),
		.zone = STR("public"),
		.method = CHALLENGE_HTTP01,
		.ident = { IDENT_IP, STR("2001:db8::1") },
		.token = STR(TOKEN),
		.thumbprint = STR(THUMB),
		.valid = false,
		.problem = ERR_CONNECTION,
		.problem_detail = STR("192.0.2.7:80 refused the connection"),
		.started_ms = 10,
		.finished_ms = 20,
		.caa = STR("not-checked"),
		.steps = steps,
		.step_count = 2,
	};
}

static struct verdict persist_verdict(struct verdict_step steps[2])
{
	struct verdict v = example_verdict(steps);
	v.method = CHALLENGE_DNSPERSIST01;
	v.ident = (struct ident){ IDENT_DNS, STR("a.example") };
	v.valid = true;
	v.problem = ERR_NONE;
	v.problem_detail = STR_NONE;
	v.account_url = STR(ACCOUNT_URL);
	v.record_thumbprint = STR(TOKEN);
	v.persist_until_s = 1800000000;
	return v;
}

static struct sign_job example_sign(struct ident idents[2], struct str verdicts[2])
{
	idents[0] = (struct ident){ IDENT_DNS, STR("*.a.example") };
	idents[1] = (struct ident){ IDENT_IP, STR("192.0.2.1") };
	verdicts[0] = STR("aa.bb.cc");
	verdicts[1] = STR("dd.ee.ff");
	return (struct sign_job){
		.issuance = make_id(4),
		.order = make_id(3),
		.account = make_id(5),
		.realm = STR("default"),
		.profile = STR("server"),
		.issuer = STR("main"),
		.serial_hex = STR("0a0b0c"),
		.not_before = 1000,
		.not_after = 2000,
		.idents = idents,
		.ident_count = 2,
		.finalize_protected = STR("eyJ9"),
		.finalize_payload = STR("e30"),
		.finalize_signature = STR("c2ln"),
		.finalize_url = STR("https://ca.example/order/1/finalize"),
		.account_jwk = STR("{\"kty\":\"EC\"}"),
		.verdicts = verdicts,
		.verdict_count = 2,
	};
}

static struct sign_result example_result(void)
{
	return (struct sign_result){
		.issuance = make_id(4),
		.order = make_id(3),
		.issued = true,
		.der = str_n("\x30\x00\xff", 3),
		.chain_pem = STR("-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n"),
		.problem = ERR_NONE,
	};
}

static fallible write_validate(struct buf *b, struct err *err)
{
	struct validate_job j = example_validate();
	return validate_job_write(&j, b, err);
}

static fallible again_validate(struct arena *mem, struct str text, struct buf *b, struct err *err)
{
	struct validate_job j;
	TRY(validate_job_read(mem, text, &j, err));
	return validate_job_write(&j, b, err);
}

static fallible write_verdict(struct buf *b, struct err *err)
{
	struct verdict_step steps[2];
	struct verdict v = example_verdict(steps);
	return verdict_write(&v, b, err);
}

static fallible again_verdict(struct arena *mem, struct str text, struct buf *b, struct err *err)
{
	struct verdict v;
	TRY(verdict_read(mem, text, &v, err));
	return verdict_write(&v, b, err);
}

static fallible write_carrier(struct buf *b, struct err *err)
{
	const struct verdict_message m = { make_id(1), make_id(3), STR("fra-1"), STR("aa.bb.cc") };
	return verdict_message_write(&m, b, err);
}

static fallible again_carrier(struct arena *mem, struct str text, struct buf *b, struct err *err)
{
	struct verdict_message m;
	TRY(verdict_message_read(mem, text, &m, err));
	return verdict_message_write(&m, b, err);
}

static fallible write_sign(struct buf *b, struct err *err)
{
	struct ident idents[2];
	struct str verdicts[2];
	struct sign_job j = example_sign(idents, verdicts);
	return sign_job_write(&j, b, err);
}

static fallible again_sign(struct arena *mem, struct str text, struct buf *b, struct err *err)
{
	struct sign_job j;
	TRY(sign_job_read(mem, text, &j, err));
	return sign_job_write(&j, b, err);
}

static fallible write_result(struct buf *b, struct err *err)
{
	struct sign_result r = example_result();
	return sign_result_write(&r, b, err);
}

static fallible again_result(struct arena *mem, struct str text, struct buf *b, struct err *err)
{
	struct sign_result r;
	TRY(sign_result_read(mem, text, &r, err));
	return sign_result_write(&r, b, err);
}

static fallible write_progress(struct buf *b, struct err *err)
{
	const struct progress p = { make_id(1), STR("fra-1"), ERR_DNS, STR("attempt 1 of 3 failed: SERVFAIL"), 5000 };
	return progress_write(&p, b, err);
}

static fallible again_progress(struct arena *mem, struct str text, struct buf *b, struct err *err)
{
	struct progress p;
	TRY(progress_read(mem, text, &p, err));
	return progress_write(&p, b, err);
}

static fallible write_audit(struct buf *b, struct err *err)
{
	const struct audit_record r = { 1700000000000, str_n("\x30\x00\xff", 3), STR("{\"v\":1}") };
	return audit_record_write(&r, b, err);
}

static fallible again_audit(struct arena *mem, struct str text, struct buf *b, struct err *err)
{
	struct audit_record r;
	TRY(audit_record_read(mem, text, &r, err));
	return audit_record_write(&r, b, err);
}

enum { M_VALIDATE, M_VERDICT, M_CARRIER, M_SIGN, M_RESULT, M_PROGRESS, M_AUDIT, M_COUNT };
static const struct {
	fallible (*write)(struct buf *b, struct err *err);
	fallible (*again)(struct arena *mem, struct str text, struct buf *b, struct err *err);
} messages[M_COUNT] = {
	[M_VALIDATE] = { write_validate, again_validate }, [M_VERDICT] = { write_verdict, again_verdict },
	[M_CARRIER] = { write_carrier, again_carrier },    [M_SIGN] = { write_sign, again_sign },
	[M_RESULT] = { write_result, again_result },       [M_PROGRESS] = { write_progress, again_progress },
	[M_AUDIT] = { write_audit, again_audit },
};

static void must(struct rc rc, const struct err *err)
{
	if (FAILED(rc))
		fail_msg("%s: %s", err_kind_name(err->kind), err->detail);
}

static void messages_round_trip(void **state)
{
	(void)state;
	for (size_t i = 0; i < M_COUNT; i++) {
		AUTO(arena_done) struct arena mem = { 0 };
		AUTO(buf_done) struct buf one = BUF_MAX(JOB_MAX);
		AUTO(buf_done) struct buf two = BUF_MAX(JOB_MAX);
		struct err err = { 0 };
		must(messages[i].write(&one, &err), &err);
		must(messages[i].again(&mem, buf_str(&one), &two, &err), &err);
		assert_true(str_eq(buf_str(&one), buf_str(&two)));
	}
}

static void fields_arrive_in_their_places(void **state)
{
	(void)state;
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(buf_done) struct buf b = BUF_MAX(JOB_MAX);
	struct err err = { 0 };

	struct validate_job j;
	must(write_validate(&b, &err), &err);
	must(validate_job_read(&mem, buf_str(&b), &j, &err), &err);
	buf_reset(&b); /* what was read must not lean on the text */
	assert_true(id_eq(j.attempt, make_id(1)) && id_eq(j.authz, make_id(2)) && id_eq(j.order, make_id(3)));
	assert_true(str_eq(j.realm, STR("default")) && str_eq(j.zone, STR("public")));
	assert_int_equal(j.method, CHALLENGE_DNS01);
	assert_true(str_eq(j.ident.value, STR("a.example")) && j.wildcard);
	assert_true(str_eq(j.token, STR(TOKEN)) && str_eq(j.thumbprint, STR(THUMB)));
	assert_int_equal(j.deadline_ms, 1700000000123);

	struct verdict v;
	must(write_verdict(&b, &err), &err);
	must(verdict_read(&mem, buf_str(&b), &v, &err), &err);
	buf_reset(&b);
	assert_int_equal(v.problem, ERR_CONNECTION);
	assert_int_equal(v.ident.type, IDENT_IP);
	assert_int_equal(v.step_count, 2);
	assert_true(str_eq(v.steps[1].detail, STR("192.0.2.7:80: \"refused\"")));

	struct sign_job s;
	must(write_sign(&b, &err), &err);
	must(sign_job_read(&mem, buf_str(&b), &s, &err), &err);
	buf_reset(&b);
	assert_int_equal(s.ident_count, 2);
	assert_true(str_eq(s.idents[0].value, STR("*.a.example")));
	assert_int_equal(s.verdict_count, 2);
	assert_true(str_eq(s.verdicts[1], STR("dd.ee.ff")));
	assert_true(str_eq(s.account_jwk, STR("{\"kty\":\"EC\"}")));

	struct sign_result r;
	must(write_result(&b, &err), &err);
	must(sign_result_read(&mem, buf_str(&b), &r, &err), &err);
	assert_true(r.issued && str_eq(r.der, str_n("\x30\x00\xff", 3)));
	assert_true(str_ends(r.chain_pem, STR("CERTIFICATE-----\n")));
}

static void spoilt_messages_are_refused_and_the_member_is_named(void **state)
{
	(void)state;
	static const struct {
		int message;
		const char *from, *to; /* the first occurrence is replaced */
		const char *says;
	} rows[] = {
		{ M_VALIDATE, "\"v\":1", "\"v\":2", "\"v\"" },
		{ M_VALIDATE, "\"v\":1,", "", "\"v\"" },
		{ M_VALIDATE, "\"v\":1", "\"v\":1,\"admin\":true", "admin" },
		{ M_VALIDATE, "\"attempt\"", "\"atempt\"", "atempt" },
		{ M_VALIDATE, "\"default\"", "\"\"", "\"realm\"" },
		{ M_VALIDATE, "\"default\"", "\"../x\"", "\"realm\"" },
		{ M_VALIDATE, "\"default\"", "null", "\"realm\"" },
		{ M_VALIDATE, "\"default\"", "[]", "\"realm\"" },
		{ M_VALIDATE, "\"public\"", "\"pub lic\"", "\"zone\"" },
		{ M_VALIDATE, "\"dns-01\"", "\"dns-02\"", "dns-02" },
		{ M_VALIDATE, "\"dns-01\"", "1", "\"method\"" },
		{ M_VALIDATE, "\"a.example\"", "\"A.example\"", "A.example" },
		{ M_VALIDATE, "\"a.example\"", "\"*.a.example\"", "*.a.example" },
		{ M_VALIDATE, "\"a.example\"", "\"a.example\",\"port\":81", "port" },
		{ M_VALIDATE, "{\"type\":\"dns\"", "{\"type\":\"email\"", "email" },
		{ M_VALIDATE, "true", "1", "\"wildcard\"" },
		{ M_VALIDATE, TOKEN, "AAEC", "\"token\"" },
		{ M_VALIDATE, TOKEN, "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9", "\"token\"" },
		{ M_VALIDATE, THUMB, "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9P/8", "\"thumbprint\"" },
		{ M_VALIDATE, "1700000000123", "-1", "\"deadline\"" },
		{ M_VALIDATE, "1700000000123", "1.5", "\"deadline\"" },
		{ M_VALIDATE, "1700000000123", "1700000000123}", "" },
		{ M_VALIDATE, "\"token\"", "\"subdomains\":1,\"token\"", "\"subdomains\"" },
		{ M_VALIDATE, "\"token\"", "\"subdomain\":true,\"token\"", "subdomain" },
		{ M_VERDICT, "\"token\"", "\"subdomains\":\"true\",\"token\"", "\"subdomains\"" },
		{ M_VERDICT, "\"token\"", "\"subdomains\":true,\"token\"", "http-01 and type ip" },
		{ M_VERDICT, "\"fra-1\"", "\"fra/1\"", "\"perspective\"" },
		{ M_VERDICT, "\"valid\":false", "\"valid\":true", "\"valid\"" },
		{ M_VERDICT, "\"connection\"", "\"none\"", "\"valid\"" },
		{ M_VERDICT, "\"connection\"", "\"fine\"", "\"problem\"" },
		{ M_VERDICT, "\"started\":10", "\"started\":21", "\"finished\"" },
		{ M_VERDICT, "refused the", "refused\\u001b[2Jthe", "\"problemDetail\"" },
		{ M_VERDICT, "(insecure)", "\\n(insecure)", "\"detail\"" },
		{ M_VERDICT, "\"resolve\"", "\"\"", "\"what\"" },
		{ M_VERDICT, "{\"what\":\"resolve\"", "{\"why\":\"\",\"what\":\"resolve\"", "why" },
		{ M_VERDICT, "\"steps\":[", "\"steps\":[7,", "\"steps\"" },
		{ M_VERDICT, "\"not-checked\"", "\"\"", "\"caa\"" },
		{ M_CARRIER, "aa.bb.cc", "aa.bb.c=", "\"jws\"" },
		{ M_CARRIER, "aa.bb.cc", "", "\"jws\"" },
		{ M_AUDIT, "\"issued\":17", "\"issued\":-17", "\"issued\"" },
		{ M_AUDIT, "\"certificate\":\"MA", "\"certificate\":\"M=", "" },
		{ M_AUDIT, "\\\"v\\\":1", "\\u001b", "\"job\"" },
		{ M_AUDIT, "\"job\"", "\"jobs\"", "jobs" },
		{ M_SIGN, "\"verdicts\"", "\"grants\":[],\"verdicts\"", "\"grants\"" },
		{ M_SIGN, "\"verdicts\"", "\"grants\":[\"a b\"],\"verdicts\"", "\"grants\"" },
		{ M_SIGN, "\"verdicts\"", "\"grants\":\"a\",\"verdicts\"", "\"grants\"" },
		{ M_CARRIER, "01020304-", "01020304_", "" },
		{ M_SIGN, "\"0a0b0c\"", "\"0a0b0\"", "\"serial\"" },
		{ M_SIGN, "\"0a0b0c\"", "\"0A0B0C\"", "\"serial\"" },
		{ M_SIGN, "\"0a0b0c\"", "\"00112233445566778899aabbccddeeff0011223344\"", "\"serial\"" },
		{ M_SIGN, "\"notAfter\":2000", "\"notAfter\":1000", "\"notAfter\"" },
		{ M_SIGN, "\"*.a.example\"", "\"*.*.a.example\"", "*.*" },
		{ M_SIGN, "[{\"type\":\"dns\",\"value\":\"*.a.example\"},{\"type\":\"ip\",\"value\":\"192.0.2.1\"}]",
		  "[]", "\"identifiers\"" },
		{ M_SIGN, "\"eyJ9\"", "\"eyJ9=\"", "\"finalizeProtected\"" },
		{ M_SIGN, "\"eyJ9\"", "\"\"", "\"finalizeProtected\"" },
		{ M_SIGN, "https://ca", "https://\\u00e4ca", "\"finalizeUrl\"" },
		{ M_SIGN, "\"aa.bb.cc\"", "{}", "\"verdicts\"" },
		{ M_SIGN, "\"aa.bb.cc\"", "\"\"", "\"verdicts\"" },
		{ M_RESULT, "\"issued\":true", "\"issued\":false", "\"issued\"" },
		{ M_RESULT, "\"der\":\"MAD_\"", "\"der\":\"\"", "\"issued\"" },
		{ M_RESULT, "\"der\":\"MAD_\"", "\"der\":\"MAD/\"", "" },
		{ M_RESULT, "\"none\"", "\"badCSR\"", "\"issued\"" },
		{ M_RESULT, "MA==", "M\\tA==", "\"chain\"" },
		{ M_PROGRESS, "\"dns\"", "\"none\"", "\"problem\"" },
		{ M_PROGRESS, "\"dns\"", "\"accountDoesNotExist\"", "not about an attempt" },
		{ M_PROGRESS, "\"dns\"", "\"rateLimited\"", "not about an attempt" },
		{ M_PROGRESS, "\"dns\"", "\"internal\"", "not about an attempt" },
		{ M_PROGRESS, "failed: ", "failed\\n ", "\"problemDetail\"" },
		{ M_PROGRESS, "attempt 1 of 3 failed: SERVFAIL", "", "\"problemDetail\"" },
		{ M_PROGRESS, "\"fra-1\"", "\"fra/1\"", "\"perspective\"" },
		{ M_PROGRESS, ":5000", ":-1", "\"next\"" },
		{ M_PROGRESS, ":5000", ":5000,\"valid\":true", "valid" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(arena_done) struct arena mem = { 0 };
		AUTO(buf_done) struct buf good = BUF_MAX(JOB_MAX);
		AUTO(buf_done) struct buf bad = BUF_MAX(JOB_MAX);
		AUTO(buf_done) struct buf again = BUF_MAX(JOB_MAX);
		struct err err = { 0 };
		must(messages[rows[i].message].write(&good, &err), &err);
		size_t n = strlen(rows[i].from);
		const char *hit = (const char *)memmem(good.p, good.n, rows[i].from, n);
		if (hit == NULL)
			fail_msg("row %zu: %s is not in %.*s", i, rows[i].from, STR_FMT(buf_str(&good)));
		size_t head = (size_t)(hit - good.p);
		must(buf_add(&bad, str_n(good.p, head), &err), &err);
		must(buf_add(&bad, str_z(rows[i].to), &err), &err);
		must(buf_add(&bad, str_n(hit + n, good.n - head - n), &err), &err);

		struct rc rc = messages[rows[i].message].again(&mem, buf_str(&bad), &again, &err);
		if (rc.kind != ERR_MALFORMED || strstr(err.detail, rows[i].says) == NULL)
			fail_msg("row %zu (%s): %s: %s", i, rows[i].to, err_kind_name(rc.kind), err.detail);
	}
}

/* --- the member that came later -----------------------------------------------------------------------------------*/
static void a_message_of_before_is_read_and_says_nothing_of_subdomains(void **state)
{
	(void)state;
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(buf_done) struct buf b = BUF_MAX(JOB_MAX);
	struct err err = { 0 };
	struct verdict v;
	struct validate_job j;

	must(write_verdict(&b, &err), &err);
	assert_null(memmem(b.p, b.n, "subdomains", 10));
	v.subdomains = true;
	must(verdict_read(&mem, buf_str(&b), &v, &err), &err);
	assert_false(v.subdomains);
	buf_reset(&b);
	must(write_validate(&b, &err), &err);
	assert_null(memmem(b.p, b.n, "subdomains", 10));
	j.subdomains = true;
	must(validate_job_read(&mem, buf_str(&b), &j, &err), &err);
	assert_false(j.subdomains);
}

static void subdomains_are_written_when_true_and_come_back(void **state)
{
	(void)state;
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(buf_done) struct buf b = BUF_MAX(JOB_MAX);
	AUTO(buf_done) struct buf again = BUF_MAX(JOB_MAX);
	struct err err = { 0 };
	struct verdict_step steps[2];
	struct validate_job j = example_validate();
	struct verdict v = example_verdict(steps);

	j.subdomains = true;
	must(validate_job_write(&j, &b, &err), &err);
	assert_non_null(memmem(b.p, b.n, "\"subdomains\":true", 17));
	must(again_validate(&mem, buf_str(&b), &again, &err), &err);
	assert_true(str_eq(buf_str(&b), buf_str(&again)));
	must(validate_job_read(&mem, buf_str(&b), &j, &err), &err);
	assert_true(j.subdomains);

	buf_reset(&b);
	v.method = CHALLENGE_DNS01;
	v.ident = (struct ident){ IDENT_DNS, STR("a.example") };
	v.subdomains = true;
	must(verdict_write(&v, &b, &err), &err);
	must(verdict_read(&mem, buf_str(&b), &v, &err), &err);
	assert_true(v.subdomains);
}

static void subdomains_go_with_methods_of_the_dns_and_names_only(void **state)
{
	(void)state;
	const struct {
		enum challenge_type method;
		struct ident ident;
		bool good;
	} rows[] = {
		{ CHALLENGE_DNS01, { IDENT_DNS, STR("a.example") }, true },
		{ CHALLENGE_DNSACCOUNT01, { IDENT_DNS, STR("a.example") }, true },
		{ CHALLENGE_DNSPERSIST01, { IDENT_DNS, STR("a.example") }, true },
		{ CHALLENGE_HTTP01, { IDENT_DNS, STR("a.example") }, false },
		{ CHALLENGE_TLSALPN01, { IDENT_DNS, STR("a.example") }, false },
		{ CHALLENGE_DNS01, { IDENT_IP, STR("192.0.2.1") }, false },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(buf_done) struct buf b = BUF_MAX(JOB_MAX);
		struct err err = { 0 };
		struct verdict_step steps[2];
		struct validate_job j = example_validate();
		struct verdict v = example_verdict(steps);
		j.wildcard = false;
		j.subdomains = v.subdomains = true;
		j.method = v.method = rows[i].method;
		j.account_url = v.account_url = STR(ACCOUNT_URL);
		j.ident = v.ident = rows[i].ident;
		struct rc job = validate_job_write(&j, &b, &err), verdict = verdict_write(&v, &b, &err);
		assert_int_equal(job.kind, rows[i].good ? ERR_NONE : ERR_MALFORMED);
		assert_int_equal(verdict.kind, rows[i].good ? ERR_NONE : ERR_MALFORMED);
		if (!rows[i].good)
			assert_non_null(strstr(err.detail, "\"subdomains\" goes with a DNS method and a name"));
	}
}

static void a_lookup_of_caa_alone_is_for_a_name_and_an_account(void **state)
{
	(void)state;
	const struct {
		struct ident ident;
		const char *url;
		bool subdomains, good;
	} rows[] = {
		{ { IDENT_DNS, STR("a.example") }, ACCOUNT_URL, false, true },
		{ { IDENT_DNS, STR("a.example") }, "", false, false },
		{ { IDENT_DNS, STR("a.example") }, ACCOUNT_URL, true, false },
		{ { IDENT_IP, STR("192.0.2.1") }, ACCOUNT_URL, false, false },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(arena_done) struct arena mem = { 0 };
		AUTO(buf_done) struct buf one = BUF_MAX(JOB_MAX);
		AUTO(buf_done) struct buf two = BUF_MAX(JOB_MAX);
		struct err err = { 0 };
		struct verdict_step steps[2];
		struct validate_job j = example_validate();
		struct verdict v = example_verdict(steps);
		j.method = v.method = rows[i].ident.type == IDENT_DNS ? CHALLENGE_DNS01 : CHALLENGE_HTTP01;
		j.wildcard = false;
		j.ident = v.ident = rows[i].ident;
		j.account_url = v.account_url = str_z(rows[i].url);
		j.subdomains = v.subdomains = rows[i].subdomains;
		j.caa_only = v.caa_only = true;
		struct rc job = validate_job_write(&j, &one, &err), verdict = verdict_write(&v, &two, &err);
		assert_int_equal(job.kind, rows[i].good ? ERR_NONE : ERR_MALFORMED);
		assert_int_equal(verdict.kind, rows[i].good ? ERR_NONE : ERR_MALFORMED);
		if (!rows[i].good) {
			assert_non_null(strstr(err.detail, "\"caaOnly\" goes with a name"));
			continue;
		}
		j.caa_only = v.caa_only = false;
		must(validate_job_read(&mem, buf_str(&one), &j, &err), &err);
		must(verdict_read(&mem, buf_str(&two), &v, &err), &err);
		assert_true(j.caa_only && v.caa_only);
	}
}

/* It says what came of it, and nothing that only a challenge could have found. */
static void a_lookup_of_caa_alone_says_what_came_of_it(void **state)
{
	(void)state;
	AUTO(buf_done) struct buf b = BUF_MAX(JOB_MAX);
	struct err err = { 0 };
	struct verdict_step steps[2];
	struct verdict v = persist_verdict(steps);
	v.caa_only = true;
	v.caa_result = CAA_ALLOWED;
	assert_int_equal(verdict_write(&v, &b, &err).kind, ERR_MALFORMED);
	v.persist_until_s = 0;
	assert_int_equal(verdict_write(&v, &b, &err).kind, ERR_MALFORMED);
	v.record_thumbprint = STR_NONE;
	v.caa_result = CAA_NOT_CHECKED;
	assert_int_equal(verdict_write(&v, &b, &err).kind, ERR_MALFORMED);
	v.caa_result = CAA_ALLOWED;
	must(verdict_write(&v, &b, &err), &err);
	buf_reset(&b);
	v = example_verdict(steps);
	must(verdict_write(&v, &b, &err), &err);
	assert_null(memmem(b.p, b.n, "caaOnly", 7)); /* evidence of before reads and writes as it did */
	assert_null(memmem(b.p, b.n, "granted", 7));
}

/* A grant stands for a challenge where CAA is looked up, and nowhere else: no verdict of control comes without one. */
static void granted_goes_with_a_lookup_of_caa_alone(void **state)
{
	(void)state;
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(buf_done) struct buf one = BUF_MAX(JOB_MAX);
	AUTO(buf_done) struct buf two = BUF_MAX(JOB_MAX);
	struct err err = { 0 };
	struct verdict_step steps[2];
	struct validate_job j = example_validate();
	struct verdict v = example_verdict(steps);
	j.granted = v.granted = true;
	j.account_url = v.account_url = STR("https://ca.example/account/1");
	j.subdomains = v.subdomains = false;
	v.ident = (struct ident){ IDENT_DNS, STR("a.example") };
	assert_int_equal(validate_job_write(&j, &one, &err).kind, ERR_MALFORMED);
	assert_non_null(strstr(err.detail, "\"granted\""));
	assert_int_equal(verdict_write(&v, &two, &err).kind, ERR_MALFORMED);
	assert_non_null(strstr(err.detail, "\"granted\""));
	j.caa_only = v.caa_only = true;
	must(validate_job_write(&j, &one, &err), &err);
	must(verdict_write(&v, &two, &err), &err);
	j.granted = v.granted = false;
	must(validate_job_read(&mem, buf_str(&one), &j, &err), &err);
	must(verdict_read(&mem, buf_str(&two), &v, &err), &err);
	assert_true(j.granted && v.granted);
}

static void what_came_later_is_written_when_there_and_comes_back(void **state)
{
	(void)state;
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(buf_done) struct buf b = BUF_MAX(JOB_MAX);
	struct err err = { 0 };
	struct verdict_step steps[2];
	struct ident idents[2];
	struct str verdicts[2], earlier[] = { STR(THUMB), STR(TOKEN) }, changes[] = { STR("aa.bb.cc") };

	struct validate_job j = example_validate();
	must(validate_job_write(&j, &b, &err), &err);
	assert_null(memmem(b.p, b.n, "accountUrl", 10));
	assert_null(memmem(b.p, b.n, "earlierThumbprints", 18));
	must(validate_job_read(&mem, buf_str(&b), &j, &err), &err);
	assert_true(j.account_url.n == 0 && j.earlier_count == 0);
	buf_reset(&b);
	j.method = CHALLENGE_DNSPERSIST01;
	j.account_url = STR(ACCOUNT_URL);
	j.earlier_thumbprints = earlier;
	j.earlier_count = 2;
	must(validate_job_write(&j, &b, &err), &err);
	j = (struct validate_job){ .wildcard = false };
	must(validate_job_read(&mem, buf_str(&b), &j, &err), &err);
	assert_true(str_eq(j.account_url, STR(ACCOUNT_URL)) && j.earlier_count == 2);
	assert_true(str_eq(j.earlier_thumbprints[1], STR(TOKEN)));

	buf_reset(&b);
	struct verdict v = example_verdict(steps);
	must(verdict_write(&v, &b, &err), &err);
	assert_null(memmem(b.p, b.n, "accountUrl", 10));
	assert_null(memmem(b.p, b.n, "recordThumbprint", 16));
	assert_null(memmem(b.p, b.n, "persistUntil", 12));
	must(verdict_read(&mem, buf_str(&b), &v, &err), &err);
	assert_true(v.account_url.n == 0 && v.record_thumbprint.n == 0 && v.persist_until_s == 0);
	buf_reset(&b);
	v = persist_verdict(steps);
	must(verdict_write(&v, &b, &err), &err);
	v = (struct verdict){ .valid = false };
	must(verdict_read(&mem, buf_str(&b), &v, &err), &err);
	assert_true(str_eq(v.account_url, STR(ACCOUNT_URL)) && str_eq(v.record_thumbprint, STR(TOKEN)));
	assert_int_equal(v.persist_until_s, 1800000000);

	buf_reset(&b);
	struct sign_job s = example_sign(idents, verdicts);
	must(sign_job_write(&s, &b, &err), &err);
	assert_null(memmem(b.p, b.n, "keyChanges", 10));
	must(sign_job_read(&mem, buf_str(&b), &s, &err), &err);
	assert_int_equal(s.key_change_count, 0);
	buf_reset(&b);
	s.key_changes = changes;
	s.key_change_count = 1;
	must(sign_job_write(&s, &b, &err), &err);
	must(sign_job_read(&mem, buf_str(&b), &s, &err), &err);
	assert_int_equal(s.key_change_count, 1);
	assert_true(str_eq(s.key_changes[0], STR("aa.bb.cc")));
}

/* What is there is not empty, and stands only where it means something. */
static void what_came_later_is_read_as_strictly_as_the_rest(void **state)
{
	(void)state;
	static const struct {
		int message;
		const char *members, *says;
	} rows[] = {
		{ M_VALIDATE, "\"accountUrl\":\"\"", "\"accountUrl\" has 0 bytes" },
		{ M_VALIDATE, "\"accountUrl\":7", "\"accountUrl\"" },
		{ M_VALIDATE, "\"accountUrl\":\"https://\\u00e4\"", "\"accountUrl\" holds byte 0xc3" },
		{ M_VALIDATE, "\"earlierThumbprints\":[]", "\"earlierThumbprints\" has 0 elements" },
		{ M_VALIDATE, "\"earlierThumbprints\":[\"" THUMB "\"]", "goes with dns-persist-01, this is dns-01" },
		{ M_VERDICT, "\"recordThumbprint\":\"" THUMB "\"",
		  "of a record that dns-persist-01 took; this is http-01" },
		{ M_VERDICT, "\"recordThumbprint\":\"\"", "\"recordThumbprint\" has 0 bytes" },
		{ M_VERDICT, "\"persistUntil\":5", "of a record that dns-persist-01 took; this is http-01, not valid" },
		{ M_VERDICT, "\"persistUntil\":-5", "\"persistUntil\"" },
		{ M_SIGN, "\"keyChanges\":[]", "\"keyChanges\" has 0 elements" },
		{ M_SIGN, "\"keyChanges\":[\"\"]", "\"keyChanges\" has 0 bytes" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(arena_done) struct arena mem = { 0 };
		AUTO(buf_done) struct buf good = BUF_MAX(JOB_MAX);
		AUTO(buf_done) struct buf bad = BUF_MAX(JOB_MAX);
		AUTO(buf_done) struct buf again = BUF_MAX(JOB_MAX);
		struct err err = { 0 };
		must(messages[rows[i].message].write(&good, &err), &err);
		must(buf_addf(&bad, &err, "%.*s,%s}", (int)good.n - 1, good.p, rows[i].members), &err);
		struct rc rc = messages[rows[i].message].again(&mem, buf_str(&bad), &again, &err);
		if (rc.kind != ERR_MALFORMED || strstr(err.detail, rows[i].says) == NULL)
			fail_msg("%s: %s: %s", rows[i].members, err_kind_name(rc.kind), err.detail);
	}
}

static void methods_that_look_for_an_account_want_its_url(void **state)
{
	(void)state;
	for (unsigned t = 0; t < CHALLENGE_TYPE_COUNT; t++) {
		AUTO(buf_done) struct buf b = BUF_MAX(JOB_MAX);
		struct verdict_step steps[2];
		struct validate_job j = example_validate();
		struct verdict v = persist_verdict(steps);
		struct err err = { 0 };
		bool wants = t == CHALLENGE_DNSACCOUNT01 || t == CHALLENGE_DNSPERSIST01;
		j.method = v.method = (enum challenge_type)t;
		v.account_url = v.record_thumbprint = STR_NONE;
		v.persist_until_s = 0;
		assert_int_equal(challenge_wants_account_url((enum challenge_type)t), wants);
		assert_int_equal(verdict_write(&v, &b, &err).kind, wants ? ERR_MALFORMED : ERR_NONE);
		assert_int_equal(validate_job_write(&j, &b, &err).kind, wants ? ERR_MALFORMED : ERR_NONE);
		if (wants)
			assert_non_null(strstr(err.detail, "\"accountUrl\" is missing; dns-"));
	}
}

static void a_caa_result_comes_back_and_goes_with_a_valid_verdict_only(void **state)
{
	(void)state;
	AUTO(arena_done) struct arena mem = { 0 };
	static const struct {
		enum caa_result result;
		const char *written; /* NULL: not at all, as in verdicts of before */
	} rows[] = {
		{ CAA_NOT_CHECKED, NULL },
		{ CAA_ALLOWED, "\"caaResult\":\"allowed\"" },
		{ CAA_NOT_NEEDED, "\"caaResult\":\"not-needed\"" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(buf_done) struct buf b = BUF_MAX(JOB_MAX);
		struct err err = { 0 };
		struct verdict_step steps[2];
		struct verdict v = example_verdict(steps), back = { .caa_result = CAA_RESULT_COUNT };
		v.valid = true;
		v.problem = ERR_NONE;
		v.problem_detail = STR_NONE;
		v.caa_result = rows[i].result;
		must(verdict_write(&v, &b, &err), &err);
		if (rows[i].written != NULL)
			assert_non_null(memmem(b.p, b.n, rows[i].written, strlen(rows[i].written)));
		else
			assert_null(memmem(b.p, b.n, "caaResult", 9));
		must(verdict_read(&mem, buf_str(&b), &back, &err), &err);
		assert_int_equal(back.caa_result, rows[i].result);
		v = example_verdict(steps);
		v.caa_result = rows[i].result;
		assert_int_equal(verdict_write(&v, &b, &err).kind,
				 rows[i].result == CAA_NOT_CHECKED ? ERR_NONE : ERR_MALFORMED);
	}
	AUTO(buf_done) struct buf b = BUF_MAX(JOB_MAX);
	struct err err = { 0 };
	struct verdict v;
	must(write_verdict(&b, &err), &err);
	struct str text = buf_str(&b), with = str_fmt(&mem, "%.*s,\"caaResult\":\"yes\"}", (int)text.n - 1, text.p);
	assert_int_equal(verdict_read(&mem, with, &v, &err).kind, ERR_MALFORMED);
	assert_non_null(strstr(err.detail, "\"caaResult\" is \"yes\", allowed and not-needed are known"));
}

static void every_prefix_of_a_message_is_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < M_COUNT; i++) {
		AUTO(buf_done) struct buf good = BUF_MAX(JOB_MAX);
		struct err err = { 0 };
		must(messages[i].write(&good, &err), &err);
		for (size_t n = 0; n < good.n; n++) {
			AUTO(arena_done) struct arena mem = { 0 };
			AUTO(buf_done) struct buf again = BUF_MAX(JOB_MAX);
			assert_true(FAILED(messages[i].again(&mem, str_n(good.p, n), &again, NULL)));
		}
	}
}

static void a_writer_refuses_what_the_reader_would(void **state)
{
	(void)state;
	AUTO(buf_done) struct buf b = BUF_MAX(JOB_MAX);
	struct err err = { 0 };

	struct validate_job j = example_validate();
	j.attempt = (struct id){ { 0 } };
	assert_int_equal(validate_job_write(&j, &b, &err).kind, ERR_MALFORMED);
	j = example_validate();
	j.ident.value = STR("a\nb");
	assert_int_equal(validate_job_write(&j, &b, &err).kind, ERR_MALFORMED);
	j = example_validate();
	j.method = CHALLENGE_TYPE_COUNT;
	assert_int_equal(validate_job_write(&j, &b, &err).kind, ERR_MALFORMED);

	struct verdict_step steps[VERDICT_STEPS_MAX + 1];
	struct verdict v = example_verdict(steps);
	for (size_t i = 0; i < ARRAY_LEN(steps); i++)
		steps[i] = (struct verdict_step){ STR("resolve"), STR("x") };
	v.step_count = VERDICT_STEPS_MAX;
	must(verdict_write(&v, &b, &err), &err);
	v.step_count = VERDICT_STEPS_MAX + 1;
	assert_int_equal(verdict_write(&v, &b, &err).kind, ERR_MALFORMED);

	struct sign_result r = example_result();
	r.issued = false;
	assert_int_equal(sign_result_write(&r, &b, &err).kind, ERR_MALFORMED);
	assert_int_equal(b.n > 0, 1);
}

static void a_verdict_of_many_words_leaves_out_steps_and_says_so(void **state)
{
	(void)state;
	/* Quotes double in JSON: 24 steps of 512 of them are more than 23 KiB. */
	char quotes[512];
	memset(quotes, '"', sizeof quotes);
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(buf_done) struct buf b = BUF_MAX(VERDICT_PAYLOAD_MAX);
	struct verdict_step steps[VERDICT_STEPS_MAX];
	struct verdict v = example_verdict(steps), back;
	struct err err = { 0 };
	for (size_t i = 0; i < ARRAY_LEN(steps); i++)
		steps[i] = (struct verdict_step){ STR("redirect"), str_n(quotes, 10 * i + 200) };
	v.step_count = ARRAY_LEN(steps);
	must(verdict_write(&v, &b, &err), &err);
	must(verdict_read(&mem, buf_str(&b), &back, &err), &err);
	assert_in_range(back.step_count, 3, ARRAY_LEN(steps) - 1);
	assert_true(str_eq(back.steps[0].detail, steps[0].detail));
	assert_true(str_eq(back.steps[back.step_count - 1].detail, steps[ARRAY_LEN(steps) - 1].detail));
	char note[64];
	snprintf(note, sizeof note, "%zu steps are left out here", ARRAY_LEN(steps) - back.step_count + 1);
	bool said = false;
	for (size_t i = 0; i < back.step_count; i++)
		said = said || (str_eq(back.steps[i].what, STR("note")) && str_eq(back.steps[i].detail, str_z(note)));
	assert_true(said);
}

/* The largest that the tables allow, but for the steps: it must fit without them. */
static void a_verdict_without_steps_always_fits(void **state)
{
	(void)state;
	char quotes[1024], label[64];
	memset(quotes, '"', sizeof quotes);
	memset(label, 'a', sizeof label);
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(buf_done) struct buf b = BUF_MAX(VERDICT_PAYLOAD_MAX);
	struct verdict_step steps[VERDICT_STEPS_MAX];
	struct verdict v = example_verdict(steps), back;
	struct err err = { 0 };
	v.perspective = v.realm = v.zone = str_n(label, 64);
	v.method = CHALLENGE_DNSPERSIST01;
	v.ident = (struct ident){ IDENT_DNS,
				  str_fmt(&mem, "%.*s.%.*s.%.*s.%.*s", 63, label, 63, label, 63, label, 61, label) };
	v.problem_detail = str_n(quotes, ERR_DETAIL_MAX);
	v.caa = str_n(quotes, VERDICT_CAA_MAX);
	v.account_url = str_n(quotes, ACCOUNT_URL_MAX);
	for (size_t i = 0; i < ARRAY_LEN(steps); i++)
		steps[i] = (struct verdict_step){ STR("redirect"), str_n(quotes, 512) };
	v.step_count = ARRAY_LEN(steps);
	must(verdict_write(&v, &b, &err), &err);
	must(verdict_read(&mem, buf_str(&b), &back, &err), &err);
}

static void the_largest_job_fits(void **state)
{
	(void)state;
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(buf_done) struct buf b = BUF_MAX(JOB_MAX), line = BUF_MAX(AUDIT_LINE_MAX);
	struct ident idents[IDENTS_MAX];
	struct str two[2];
	struct err err = { 0 };
	struct sign_job j = example_sign(idents, two), back;
	char *filler = arena_alloc(&mem, JOB_MAX);
	memset(filler, 'a', JOB_MAX);
	for (size_t i = 0; i < IDENTS_MAX; i++)
		idents[i] = (struct ident){ IDENT_DNS, str_fmt(&mem, "%.*s.%.*s.%.*s.n%zu", 63, filler, 63, filler, 63,
							       filler, i) };
	j.ident_count = IDENTS_MAX;
	j.verdict_count = (size_t)IDENTS_MAX * 6 * 2;
	j.verdicts = ARENA_ARRAY(&mem, struct str, j.verdict_count);
	for (size_t i = 0; i < j.verdict_count; i++)
		j.verdicts[i] = str_n(filler, VERDICT_JWS_MAX);
	j.key_change_count = EARLIER_KEYS_MAX;
	j.key_changes = ARENA_ARRAY(&mem, struct str, j.key_change_count);
	for (size_t i = 0; i < j.key_change_count; i++)
		j.key_changes[i] = str_n(filler, KEY_CHANGE_JWS_MAX);
	j.grant_count = SIGN_GRANTS_MAX;
	j.grants = ARENA_ARRAY(&mem, struct str, j.grant_count);
	for (size_t i = 0; i < j.grant_count; i++)
		j.grants[i] = str_n(filler, GRANT_JWS_MAX);
	j.finalize_payload = str_n(filler, 64 * 1024);
	must(sign_job_write(&j, &b, &err), &err);
	must(sign_job_read(&mem, buf_str(&b), &back, &err), &err);
	assert_int_equal(back.verdict_count, j.verdict_count);
	const struct audit_record r = { 7, str_n(filler, 16 * 1024), buf_str(&b) };
	struct audit_record again;
	must(audit_record_write(&r, &line, &err), &err);
	must(audit_record_read(&mem, buf_str(&line), &again, &err), &err);
	assert_true(str_eq(again.job, r.job) && str_eq(again.der, r.der) && again.issued_ms == 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_round_trip),
		cmocka_unit_test(fields_arrive_in_their_places),
		cmocka_unit_test(spoilt_messages_are_refused_and_the_member_is_named),
		cmocka_unit_test(a_message_of_before_is_read_and_says_nothing_of_subdomains),
		cmocka_unit_test(subdomains_are_written_when_true_and_come_back),
		cmocka_unit_test(subdomains_go_with_methods_of_the_dns_and_names_only),
		cmocka_unit_test(a_lookup_of_caa_alone_is_for_a_name_and_an_account),
		cmocka_unit_test(a_lookup_of_caa_alone_says_what_came_of_it),
		cmocka_unit_test(granted_goes_with_a_lookup_of_caa_alone),
		cmocka_unit_test(what_came_later_is_written_when_there_and_comes_back),
		cmocka_unit_test(what_came_later_is_read_as_strictly_as_the_rest),
		cmocka_unit_test(methods_that_look_for_an_account_want_its_url),
		cmocka_unit_test(a_caa_result_comes_back_and_goes_with_a_valid_verdict_only),
		cmocka_unit_test(every_prefix_of_a_message_is_refused),
		cmocka_unit_test(a_writer_refuses_what_the_reader_would),
		cmocka_unit_test(a_verdict_of_many_words_leaves_out_steps_and_says_so),
		cmocka_unit_test(a_verdict_without_steps_always_fits),
		cmocka_unit_test(the_largest_job_fits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

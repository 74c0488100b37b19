/* SPDX-License-Identifier: Apache-2.0
 *
 * evidence.c FLOOR: what evidence-bound issuance costs for one certificate, in CPU microseconds and as a share of FLOOR
 * (bench/floor.c): verdicts made and signed by validators, read and verified by the api, carried in the sign job, and all of it
 * checked by the signer; against a CA whose validators just say yes and whose signer believes the api, which would read the
 * CSR and no more. bench/run.sh prints it beside the whole.
 */
#include "sign/sign.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define NOW_S ((int64_t)1795305600)
#define NOW_MS (NOW_S * 1000)
#define BASE "https://ca.bench.test"
#define VOTERS_MAX 6
#define TOKEN "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"

static void check(struct rc rc, const struct err *err)
{
	if (!FAILED(rc))
		return;
	(void)fprintf(stderr, "evidence: %s %s\n", err->detail, err->cause);
	exit(1);
}
#define MUST(call) check((call), &err)

struct bench {
	struct arena mem;
	struct crypto *crypto;
	struct conf *conf;
	struct key *account, *subscriber, *voters[VOTERS_MAX];
	struct thumbprint thumb;
	size_t names, quorum;
	struct str *name_texts;
	struct sign_job job;
	struct str text; /* of the job */
	struct str csr;  /* DER */
};

static double cpu_us(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static struct id id_of(uint8_t tail)
{
	struct id id = { .b = { [6] = 0x70, [8] = 0x80, [15] = tail } };
	for (int i = 0; i < 6; i++)
		id.b[i] = (uint8_t)((NOW_MS - 60000) >> (40 - 8 * i));
	return id;
}

static struct str verdict_make(struct bench *b, struct arena *mem, size_t name, size_t voter)
{
	AUTO(buf_done) struct buf payload = BUF_MAX(VERDICT_PAYLOAD_MAX), jws = BUF_MAX(VERDICT_JWS_MAX);
	struct err err = { 0 };
	struct verdict_step steps[] = {
		{ STR("resolve"), STR("www0.bench.test AAAA,A from 192.0.2.53: 192.0.2.7 (insecure)") },
		{ STR("connect"), STR("192.0.2.7:80") },
		{ STR("response"), STR("200, 87 bytes: the key authorization") },
	};
	const char who[] = { 'p', (char)('0' + voter) };
	const struct verdict v = { .attempt = id_of(1),
				   .authz = id_of(2),
				   .perspective = str_n(who, sizeof who),
				   .realm = STR("default"),
				   .zone = STR("default"),
				   .method = CHALLENGE_HTTP01,
				   .ident = { IDENT_DNS, b->name_texts[name] },
				   .token = STR(TOKEN),
				   .thumbprint = str_z(b->thumb.z),
				   .valid = true,
				   .started_ms = NOW_MS - 31000,
				   .finished_ms = NOW_MS - 30000,
				   .caa = STR("no CAA records from www0.bench.test up to bench.test"),
				   .caa_result = CAA_ALLOWED,
				   .account_url = str_fmt(mem, BASE "/account/%s", id_show(id_of(3)).z),
				   .steps = steps,
				   .step_count = ARRAY_LEN(steps) };
	MUST(verdict_write(&v, &payload, &err));
	MUST(jws_compact_sign(b->crypto, b->voters[voter], STR(VERDICT_TYP), v.perspective, buf_str(&payload), &jws,
			      &err));
	return str_dup(mem, buf_str(&jws));
}

static void finalize_make(struct bench *b)
{
	AUTO(buf_done) struct buf der = BUF_MAX(CSR_DER_MAX), body = BUF_MAX(JWS_BODY_MAX), jwk = BUF_MAX(4096);
	AUTO(json_auto) struct json *top = NULL;
	struct err err = { 0 };
	struct str url = str_fmt(&b->mem, BASE "/order/%s/finalize", id_show(id_of(4)).z);
	MUST(csr_make(b->crypto, b->subscriber, b->name_texts, b->names, &der, &err));
	b->csr = str_dup(&b->mem, buf_str(&der));
	struct str csr = b64url_encode(&b->mem, b->csr);
	MUST(jws_sign_acme(b->crypto, b->account, str_fmt(&b->mem, BASE "/account/%s", id_show(id_of(3)).z),
			   STR("bm9uY2U"), url, str_fmt(&b->mem, "{\"csr\":\"%.*s\"}", STR_FMT(csr)), &body, &err));
	MUST(json_read(buf_str(&body), JWS_BODY_MAX, &top, &err));
	MUST(json_want_str(top, "protected", JWS_BODY_MAX, &b->job.finalize_protected, &err));
	MUST(json_want_str(top, "payload", JWS_BODY_MAX, &b->job.finalize_payload, &err));
	MUST(json_want_str(top, "signature", JWS_BODY_MAX, &b->job.finalize_signature, &err));
	b->job.finalize_protected = str_dup(&b->mem, b->job.finalize_protected);
	b->job.finalize_payload = str_dup(&b->mem, b->job.finalize_payload);
	b->job.finalize_signature = str_dup(&b->mem, b->job.finalize_signature);
	b->job.finalize_url = url;
	MUST(jwk_write(b->account, &jwk, &err));
	b->job.account_jwk = str_dup(&b->mem, buf_str(&jwk));
}

static struct str job_text(const struct sign_job *job, struct arena *mem)
{
	AUTO(buf_done) struct buf text = BUF_MAX(JOB_MAX);
	struct err err = { 0 };
	MUST(sign_job_write(job, &text, &err));
	return str_dup(mem, buf_str(&text));
}

static void job_make(struct bench *b)
{
	struct err err = { 0 };
	b->job = (struct sign_job){ .issuance = id_of(5),
				    .order = id_of(4),
				    .account = id_of(3),
				    .realm = STR("default"),
				    .profile = STR("server"),
				    .issuer = STR("default"),
				    .serial_hex = STR("010203040506070809101112131415161718"),
				    .not_before = NOW_S - 3600,
				    .not_after = NOW_S + 80 * 86400,
				    .idents = ARENA_ARRAY(&b->mem, struct ident, b->names),
				    .ident_count = b->names,
				    .verdicts = ARENA_ARRAY(&b->mem, struct str, b->names * b->quorum) };
	b->name_texts = ARENA_ARRAY(&b->mem, struct str, b->names);
	for (size_t i = 0; i < b->names; i++) {
		b->name_texts[i] = str_fmt(&b->mem, "www%zu.bench.test", i);
		b->job.idents[i] = (struct ident){ IDENT_DNS, b->name_texts[i] };
	}
	MUST(jwk_thumbprint(b->crypto, b->account, &b->thumb, &err));
	finalize_make(b);
	for (size_t i = 0; i < b->names; i++)
		for (size_t v = 0; v < b->quorum; v++)
			b->job.verdicts[b->job.verdict_count++] = verdict_make(b, &b->mem, i, v);
	b->text = job_text(&b->job, &b->mem);
}

static void conf_make(struct bench *b)
{
	struct err err = { 0 };
	struct str text = str_fmt(&b->mem,
				  "api: { base-url: \"" BASE "\" }\n"
				  "validator: { perspective: p0 }\n"
				  "realm: { default: { names: ['*.bench.test'], caa-identities: [ca.bench.test] } }\n"
				  "zone: { default: { perspectives: [p0, p1, p2, p3, p4, p5], quorum: %zu } }\n"
				  "perspective: { p0: {}, p1: {}, p2: {}, p3: {}, p4: {}, p5: {} }\n",
				  b->quorum);
	MUST(conf_read_text(text, "bench.conf", conf_env_none, NULL, &b->conf, &err));
}

/* --- what is measured ---------------------------------------------------------------------------------------------*/
static void make(struct bench *b, struct arena *mem)
{
	for (size_t i = 0; i < b->names; i++)
		for (size_t v = 0; v < b->quorum; v++)
			(void)verdict_make(b, mem, i, v);
}

static void take(struct bench *b, struct arena *mem)
{
	struct err err = { 0 };
	for (size_t i = 0; i < b->job.verdict_count; i++) {
		struct jws_compact jws;
		struct verdict v;
		MUST(jws_compact_read(mem, b->job.verdicts[i], STR(VERDICT_TYP), VERDICT_JWS_MAX, &jws, &err));
		MUST(verdict_read(mem, jws.payload, &v, &err));
		MUST(jws_compact_verify(b->crypto, &jws, b->voters[i % b->quorum], &err));
	}
}

static void carry(struct bench *b, struct arena *mem)
{
	struct err err = { 0 };
	struct sign_job job;
	MUST(sign_job_read(mem, job_text(&b->job, mem), &job, &err));
}

static void carry_bare(struct bench *b, struct arena *mem)
{
	struct err err = { 0 };
	struct sign_job job = b->job, back;
	job.verdict_count = 0;
	MUST(sign_job_read(mem, job_text(&job, mem), &back, &err));
}

static void judge(struct bench *b, struct arena *mem)
{
	AUTO(rechecked_done) struct rechecked held = { .email_count = 0 };
	struct err err = { 0 };
	const struct recheck rk = {
		.crypto = b->crypto, .conf = b->conf, .perspective_keys = b->voters, .now_ms = NOW_MS
	};
	MUST(recheck_job(&rk, mem, &b->job, &held, NULL, &err));
}

static void believe(struct bench *b, struct arena *mem)
{
	AUTO(csr_done) struct csr csr = { 0 };
	struct err err = { 0 };
	MUST(csr_read(b->crypto, mem, b->csr, &csr, &err));
}

static double cost(struct bench *b, void (*fn)(struct bench *b, struct arena *mem))
{
	int rounds = (int)(400 / (b->names * b->quorum)) + 3;
	double began = 0;
	for (int i = -1; i < rounds; i++) { /* the first one warms up */
		AUTO(arena_done) struct arena mem = { 0 };
		if (i == 0)
			began = cpu_us();
		fn(b, &mem);
	}
	return (cpu_us() - began) / rounds;
}

static void measure(struct bench *b, size_t names, size_t quorum, double floor)
{
	b->names = names;
	b->quorum = quorum;
	conf_make(b);
	job_make(b);
	double made = cost(b, make), taken = cost(b, take), carried = cost(b, carry) - cost(b, carry_bare),
	       judged = cost(b, judge), believed = cost(b, believe);
	double sum = made + taken + carried + judged - believed;
	printf("evidence %3zu name%s x %zu perspective%s: %.0f us = %.2f x the floor: verdicts made %.0f, taken %.0f, "
	       "carried %.0f (job of %zu KiB), judged %.0f; a signer that believes: %.0f\n",
	       names, names == 1 ? " " : "s", quorum, quorum == 1 ? " " : "s", sum, sum / floor, made, taken, carried,
	       b->text.n / 1024, judged, believed);
	conf_free(b->conf);
	arena_done(&b->mem);
}

int main(int argc, char **argv)
{
	static const struct {
		size_t names, quorum;
	} rows[] = { { 1, 1 }, { 1, 2 }, { 1, 4 }, { 10, 2 }, { 100, 6 } };
	struct bench b = { .names = 0 };
	struct err err = { 0 };
	double floor = argc == 2 ? strtod(argv[1], NULL) : 0;
	if (floor <= 0) {
		(void)fprintf(stderr, "usage: bench-evidence FLOOR: the microseconds that bench-floor prints\n");
		return 2;
	}
	MUST(crypto_new(&b.crypto, &err));
	MUST(key_generate(KEY_P256, 0, &b.account, &err));
	MUST(key_generate(KEY_P256, 0, &b.subscriber, &err));
	for (size_t i = 0; i < VOTERS_MAX; i++)
		MUST(key_generate(KEY_P256, 0, &b.voters[i], &err));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		measure(&b, rows[i].names, rows[i].quorum, floor);
	key_free(b.account);
	key_free(b.subscriber);
	for (size_t i = 0; i < VOTERS_MAX; i++)
		key_free(b.voters[i]);
	crypto_free(b.crypto);
	return 0;
}

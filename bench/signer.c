/* SPDX-License-Identifier: Apache-2.0
 *
 * signer.c [JOBS [BATCH [rsa]]]: what the signer takes for one certificate, in CPU microseconds, from the text of a job to the
 * text of its result: evidence, certificate, lint, journal with both syncs. A folder below TMPDIR is the signer's; on a
 * file system in memory a sync costs nothing, and what is printed is work alone. For callgrind: --toggle-collect=bench_batch.
 */
#include "sign/signer_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define NOW_S ((int64_t)1795305600)
#define NOW_MS (NOW_S * 1000)
#define DAY_S ((int64_t)86400)
#define BASE "https://ca.bench.test"
#define NAME "www.bench.test"
#define WARM_UP 5
#define JOBS_MAX 100000

static void check(struct rc rc, const struct err *err)
{
	if (!FAILED(rc))
		return;
	(void)fprintf(stderr, "bench-signer: %s %s\n", err->detail, err->cause);
	exit(1);
}
#define MUST(call) check((call), &err)

struct bench {
	struct arena mem;
	struct crypto *crypto;
	struct conf *conf;
	struct signer *signer;
	struct clock clk;
	struct log log;
	struct key *account, *voter,
		*rsa; /* rsa: the subscriber's, which is one: making them takes long; NULL: P-256 */
	struct thumbprint thumb;
	char dir[256];
	struct str *jobs;
	size_t count;
	uint64_t answered; /* bytes, so that nothing is left out */
};

static int64_t bench_now(void *ctx)
{
	(void)ctx;
	return NOW_MS;
}

static double cpu_us(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static struct id id_of(uint8_t kind, size_t n)
{
	struct id id = { .b = { [6] = 0x70, [8] = 0x80, [15] = kind } };
	for (int i = 0; i < 6; i++)
		id.b[i] = (uint8_t)((NOW_MS - 60000) >> (40 - 8 * i));
	for (int i = 0; i < 4; i++)
		id.b[11 + i] = (uint8_t)(n >> (24 - 8 * i));
	return id;
}

static const char *path(struct bench *b, const char *name)
{
	return str_fmt(&b->mem, "%s/%s%c", b->dir, name, 0).p;
}

static void issuer_make(struct bench *b)
{
	AUTO(key_auto) struct key *root_key = NULL, *key = NULL;
	AUTO(cert_auto) struct cert *root = NULL, *issuer = NULL;
	AUTO(buf_done) struct buf pem = BUF_MAX(64 * 1024);
	struct err err = { 0 };
	MUST(key_generate(KEY_P256, 0, &root_key, &err));
	MUST(key_generate(KEY_P256, 0, &key, &err));
	struct ca_request r = { .common_name = STR("Bench Root"),
				.key = root_key,
				.not_before = NOW_S - DAY_S,
				.not_after = NOW_S + 3650 * DAY_S,
				.path_len = -1 };
	MUST(ca_make_root(b->crypto, &r, &rng_system, &root, &err));
	r.common_name = STR("Bench Issuer");
	r.key = key;
	r.path_len = 0;
	MUST(ca_make_intermediate(b->crypto, &r, root, root_key, &rng_system, &issuer, &err));
	MUST(cert_add_pem(issuer, &pem, &err));
	MUST(cert_add_pem(root, &pem, &err));
	MUST(dir_make(path(b, "issuer"), 0700, &err));
	MUST(file_write_new(path(b, "issuer/issuer.pem"), buf_str(&pem), 0644, &err));
	MUST(key_write_file(key, path(b, "issuer/issuer.key"), NULL, &err));
}

static void town_make(struct bench *b)
{
	AUTO(buf_done) struct buf jwk = BUF_MAX(4096);
	struct err err = { 0 };
	const char *tmp = getenv("TMPDIR");
	(void)snprintf(b->dir, sizeof b->dir, "%s/cairn-bench-XXXXXX", tmp == NULL ? "/tmp" : tmp);
	if (mkdtemp(b->dir) == NULL)
		MUST((struct rc){ ERR_IO });
	MUST(crypto_new(&b->crypto, &err));
	MUST(key_generate(KEY_P256, 0, &b->account, &err));
	MUST(key_generate(KEY_P256, 0, &b->voter, &err));
	MUST(jwk_thumbprint(b->crypto, b->account, &b->thumb, &err));
	issuer_make(b);
	MUST(dir_make(path(b, "perspectives"), 0700, &err));
	MUST(jwk_write(b->voter, &jwk, &err));
	MUST(file_write_new(path(b, "perspectives/local.jwk"), buf_str(&jwk), 0644, &err));
	struct str text = str_fmt(&b->mem,
				  "state-dir: %s\n"
				  "api: { base-url: \"" BASE "\" }\n"
				  "realm: { default: { names: ['*.bench.test'], caa-identities: [ca.bench.test] } }\n"
				  "zone: { default: { perspectives: [local] } }\n"
				  "perspective: { local: {} }\n"
				  "issuer: { default: { aia-url: \"http://ca.bench.test/issuer.crt\", crl-url: "
				  "\"http://ca.bench.test/ca.crl\" } }\n",
				  b->dir);
	MUST(conf_read_text(text, "bench.conf", conf_env_none, NULL, &b->conf, &err));
}

/* --- jobs ---------------------------------------------------------------------------------------------------------*/
static struct str verdict_make(struct bench *b)
{
	AUTO(buf_done) struct buf payload = BUF_MAX(VERDICT_PAYLOAD_MAX), jws = BUF_MAX(VERDICT_JWS_MAX);
	struct err err = { 0 };
	struct verdict_step steps[] = {
		{ STR("resolve"), STR(NAME " AAAA,A from 192.0.2.53: 192.0.2.7 (insecure)") },
		{ STR("connect"), STR("192.0.2.7:80") },
		{ STR("response"), STR("200, 87 bytes: the key authorization") },
	};
	const struct verdict v = { .attempt = id_of(1, 0),
				   .authz = id_of(2, 0),
				   .perspective = STR("local"),
				   .realm = STR("default"),
				   .zone = STR("default"),
				   .method = CHALLENGE_HTTP01,
				   .ident = { IDENT_DNS, STR(NAME) },
				   .token = STR("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"),
				   .thumbprint = str_z(b->thumb.z),
				   .valid = true,
				   .started_ms = NOW_MS - 31000,
				   .finished_ms = NOW_MS - 30000,
				   .caa = STR("no CAA records from " NAME " up to bench.test"),
				   .caa_result = CAA_ALLOWED,
				   .account_url = str_fmt(&b->mem, BASE "/account/%s", id_show(id_of(3, 0)).z),
				   .steps = steps,
				   .step_count = ARRAY_LEN(steps) };
	MUST(verdict_write(&v, &payload, &err));
	MUST(jws_compact_sign(b->crypto, b->voter, STR(VERDICT_TYP), v.perspective, buf_str(&payload), &jws, &err));
	return str_dup(&b->mem, buf_str(&jws));
}

static void finalize_make(struct bench *b, struct arena *mem, struct sign_job *job)
{
	AUTO(key_auto) struct key *subscriber = b->rsa == NULL ? NULL : key_ref(b->rsa);
	AUTO(buf_done) struct buf der = BUF_MAX(CSR_DER_MAX), body = BUF_MAX(JWS_BODY_MAX), jwk = BUF_MAX(4096);
	AUTO(json_auto) struct json *top = NULL;
	struct str name = STR(NAME);
	struct err err = { 0 };
	if (subscriber == NULL)
		MUST(key_generate(KEY_P256, 0, &subscriber, &err));
	MUST(csr_make(b->crypto, subscriber, &name, 1, &der, &err));
	struct str csr = b64url_encode(mem, buf_str(&der));
	job->finalize_url = str_fmt(mem, BASE "/order/%s/finalize", id_show(job->order).z);
	MUST(jws_sign_acme(b->crypto, b->account, str_fmt(mem, BASE "/account/%s", id_show(job->account).z),
			   STR("bm9uY2U"), job->finalize_url, str_fmt(mem, "{\"csr\":\"%.*s\"}", STR_FMT(csr)), &body,
			   &err));
	MUST(json_read(buf_str(&body), JWS_BODY_MAX, &top, &err));
	MUST(json_want_str(top, "protected", JWS_BODY_MAX, &job->finalize_protected, &err));
	MUST(json_want_str(top, "payload", JWS_BODY_MAX, &job->finalize_payload, &err));
	MUST(json_want_str(top, "signature", JWS_BODY_MAX, &job->finalize_signature, &err));
	job->finalize_protected = str_dup(mem, job->finalize_protected);
	job->finalize_payload = str_dup(mem, job->finalize_payload);
	job->finalize_signature = str_dup(mem, job->finalize_signature);
	MUST(jwk_write(b->account, &jwk, &err));
	job->account_jwk = str_dup(mem, buf_str(&jwk));
}

static struct str job_make(struct bench *b, size_t n, struct str *verdict)
{
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(buf_done) struct buf text = BUF_MAX(JOB_MAX);
	struct ident ident = { IDENT_DNS, STR(NAME) };
	struct err err = { 0 };
	struct sign_job job = { .issuance = id_of(5, n),
				.order = id_of(4, n),
				.account = id_of(3, 0),
				.realm = STR("default"),
				.profile = STR("server"),
				.issuer = STR("default"),
				.serial_hex = str_fmt(&mem, "01%034zx", n + 1),
				.not_before = NOW_S - 3600,
				.not_after = NOW_S + 80 * DAY_S,
				.idents = &ident,
				.ident_count = 1,
				.verdicts = verdict,
				.verdict_count = 1 };
	finalize_make(b, &mem, &job);
	MUST(sign_job_write(&job, &text, &err));
	return str_dup(&b->mem, buf_str(&text));
}

static void jobs_make(struct bench *b, size_t count)
{
	struct str verdict = verdict_make(b);
	b->count = count;
	b->jobs = ARENA_ARRAY(&b->mem, struct str, count);
	for (size_t i = 0; i < count; i++)
		b->jobs[i] = job_make(b, i, &verdict);
}

/* --- what is measured ---------------------------------------------------------------------------------------------*/
static void __attribute__((noinline)) bench_batch(struct bench *b, size_t from, size_t n)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct sign_job *jobs = ARENA_ARRAY(&mem, struct sign_job, n);
	struct sign_result *results = ARENA_ARRAY(&mem, struct sign_result, n);
	struct err err = { 0 };
	for (size_t i = 0; i < n; i++)
		MUST(sign_job_read(&mem, b->jobs[from + i], &jobs[i], &err));
	MUST(signer_batch(b->signer, &mem, jobs, n, results, &err));
	for (size_t i = 0; i < n; i++) {
		AUTO(buf_done) struct buf text = BUF_MAX(JOB_MAX);
		if (!results[i].issued) {
			(void)fprintf(stderr, "bench-signer: refused: %.*s\n", STR_FMT(results[i].problem_detail));
			exit(1);
		}
		MUST(sign_result_write(&results[i], &text, &err));
		b->answered += text.n;
	}
}

static void bench_free(struct bench *b)
{
	char command[512];
	signer_free(b->signer);
	conf_free(b->conf);
	key_free(b->account);
	key_free(b->voter);
	key_free(b->rsa);
	crypto_free(b->crypto);
	arena_done(&b->mem);
	(void)snprintf(command, sizeof command, "rm -rf '%s'", b->dir);
	if (system(command) != 0)
		(void)fprintf(stderr, "bench-signer: %s is left behind\n", b->dir);
}

int main(int argc, char **argv)
{
	struct err err = { 0 };
	struct bench b = { .clk = { bench_now, bench_now, NULL } };
	size_t jobs = argc > 1 ? strtoul(argv[1], NULL, 10) : 500, batch = argc > 2 ? strtoul(argv[2], NULL, 10) : 1;
	if (argc > 4 || (argc == 4 && strcmp(argv[3], "rsa") != 0) || jobs == 0 || jobs > JOBS_MAX || batch == 0 ||
	    batch > SIGN_BATCH_MAX) {
		(void)fprintf(stderr, "usage: bench-signer [JOBS [BATCH [rsa]]]\n");
		return 2;
	}
	town_make(&b);
	if (argc == 4)
		MUST(key_generate(KEY_RSA, 2048, &b.rsa, &err));
	FILE *none = fopen("/dev/null", "w");
	if (none == NULL)
		return 1;
	b.log = (struct log){
		.program = "bench", .level = LOG_NOTICE, .form = LOG_JSON, .fd = fileno(none), .clock = &b.clk
	};
	MUST(signer_new(b.conf, b.crypto, &b.log, &b.clk, &rng_system, &b.signer, &err));
	jobs_make(&b, jobs + WARM_UP);
	for (size_t i = 0; i < WARM_UP; i++)
		bench_batch(&b, i, 1);
	double began = cpu_us();
	for (size_t i = 0; i < jobs; i += batch)
		bench_batch(&b, WARM_UP + i, jobs - i < batch ? jobs - i : batch);
	printf("signer: %.0f us a certificate, batches of %zu\n", (cpu_us() - began) / (double)jobs, batch);
	bench_free(&b);
	(void)fclose(none);
	return 0;
}

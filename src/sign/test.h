/* SPDX-License-Identifier: Apache-2.0
 *
 * test.h: a small CA for the signer's tests: real keys on disk, three perspectives of which two must agree, two realms,
 * and a job that holds. A test says what is different about it (struct plan) and the builder signs that as its parties
 * would.
 */
#ifndef CAIRN_SIGN_TEST_H
#define CAIRN_SIGN_TEST_H

#include "sign/signer_internal.h"
#include "sign/test_token.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define DAY_S ((int64_t)86400)
#define NOW_S ((int64_t)1795305600) /* 2026-11-22 */
#define NOW_MS (NOW_S * 1000)
#define BASE "https://ca.corp.example"
#define VOTERS 7 /* a, b, c are zone "default"; d is zone "far"; all but d are zone "wide" */
#define PLAN_NAMES 100
#define OPERATORS 2 /* ann and bob */

struct town {
	char dir[64];
	int64_t now_ms;
	struct clock clk;
	struct crypto *crypto;
	struct conf *conf;
	struct key *account, *stranger, *subscriber, *issuer_key;
	struct key *voters[VOTERS], *operators[OPERATORS];
	struct cert *root, *issuer;
	struct soft *soft;     /* with CAIRN_TEST_KEYS=token: the issuer's key is in it; NULL: in a file */
	const char *token_key; /* its label */
	struct arena mem;
};

static inline int64_t town_now(void *ctx)
{
	return ((struct town *)ctx)->now_ms;
}

static inline void town_conf(struct town *t)
{
	static const char text[] =
		"state-dir: %s\n"
		"api:\n  base-url: " BASE "\n"
		"validator:\n  perspective: a\n"
		"realm:\n"
		"  default:\n    names: ['*.corp.example']\n    addresses: [192.0.2.0/24, '2001:db8::/32']\n"
		"    challenges: [http-01, dns-01, dns-account-01, dns-persist-01]\n"
		"    caa: \"off\"\n    caa-identities: [ca.corp.example]\n    profiles: [server, brief, staff, "
		"strict, p384, single, hosts, young, ages]\n    "
		"names-per-order: 3\n    grants: true\n"
		"  team:\n    names: ['*.team.example']\n    challenges: [http-01, dns-01]\n    zone: far\n    caa: "
		"\"off\"\n"
		"  wide:\n    names: ['*.wide.example']\n    zone: wide\n    caa-identities: [ca.corp.example]\n"
		"zone:\n"
		"  default:\n    perspectives: [a, b, c]\n    quorum: 2\n"
		"  far:\n    perspectives: [d]\n"
		"  wide:\n    perspectives: [a, b, c, e, f, g]\n    quorum: 6\n"
		"perspective:\n  a: {}\n  b: {}\n  c: {}\n  d: {}\n  e: {}\n  f: {}\n  g: {}\n"
		"profile:\n  server: {}\n  brief:\n    lifetime: 7d\n  other: {}\n  strict:\n    public: true\n"
		"  p384:\n    keys: [P-384]\n  single:\n    names-max: 1\n  hosts:\n    identifiers: [dns]\n"
		"  young:\n    authz-valid: 1h\n  ages:\n    lifetime: 825d\n"
		"  staff:\n    subject: required\n    policies: []\n"
		"operator:\n  ann: {}\n  bob: {}\n"
		"issuer:\n  default:\n    aia-url: http://ca.corp.example/issuer.crt\n"
		"    crl-url: http://ca.corp.example/ca.crl\n%s";
	struct str key = STR_NONE;
	char buf[4096];
	struct err err = { 0 };
	if (t->soft != NULL)
		key = str_fmt(&t->mem, "    key: \"%s\"\n    pin-file: %s\n", soft_uri(t->soft, t->token_key),
			      t->soft->pin_file);
	snprintf(buf, sizeof buf, text, t->dir, str_fmt(&t->mem, "%.*s%c", STR_FMT(key), 0).p);
	MUST(conf_read_text(str_z(buf), "/test/cairn.conf", conf_env_none, NULL, &t->conf, &err));
}

static inline const char *town_path(struct town *t, const char *name)
{
	return str_fmt(&t->mem, "%s/%s%c", t->dir, name, 0).p;
}

static inline void town_issuer(struct town *t, int days)
{
	AUTO(key_auto) struct key *root_key = NULL;
	AUTO(buf_done) struct buf pem = BUF_MAX(64 * 1024);
	struct err err = { 0 };
	MUST(key_generate(KEY_P384, 0, &root_key, &err));
	MUST(key_generate(KEY_P256, 0, &t->issuer_key, &err));
	struct ca_request r = { .common_name = STR("Test Root"),
				.key = root_key,
				.not_before = NOW_S - DAY_S,
				.not_after = NOW_S + 3650 * DAY_S,
				.path_len = -1 };
	MUST(ca_make_root(t->crypto, &r, &rng_system, &t->root, &err));
	r.common_name = STR("Test Issuer");
	r.key = t->issuer_key;
	r.not_after = NOW_S + days * DAY_S;
	r.path_len = 0;
	MUST(ca_make_intermediate(t->crypto, &r, t->root, root_key, &rng_system, &t->issuer, &err));
	MUST(cert_add_pem(t->issuer, &pem, &err));
	MUST(cert_add_pem(t->root, &pem, &err));
	MUST(dir_make(town_path(t, "issuer"), 0700, &err));
	MUST(file_write_new(town_path(t, "issuer/issuer.pem"), buf_str(&pem), 0644, &err));
	const char *keys = getenv("CAIRN_TEST_KEYS");
	if (keys != NULL && strcmp(keys, "token") == 0) {
		t->soft = soft_new();
		t->token_key = "issuer";
		soft_import(t->soft, t->issuer_key, "issuer", "01");
	} else {
		MUST(key_write_file(t->issuer_key, town_path(t, "issuer/issuer.key"), NULL, &err));
	}
}

/* From the next start on the issuer has another key than its certificate's. */
static inline void town_wrong_key(struct town *t, const struct key *k)
{
	AUTO(buf_done) struct buf pem = BUF_MAX(8192);
	struct err err = { 0 };
	if (t->soft != NULL) {
		soft_import(t->soft, k, "wrong", "02");
		t->token_key = "wrong";
		conf_free(t->conf);
		town_conf(t);
		return;
	}
	MUST(key_to_pem(k, NULL, &pem, &err));
	MUST(file_write_atomic(town_path(t, "issuer/issuer.key"), buf_str(&pem), 0600, &err));
}

static inline void town_voter(struct town *t, int i)
{
	AUTO(buf_done) struct buf jwk = BUF_MAX(4096);
	struct err err = { 0 };
	char name[64];
	snprintf(name, sizeof name, "perspectives/%c.jwk", 'a' + i);
	MUST(key_generate(KEY_P256, 0, &t->voters[i], &err));
	MUST(jwk_write(t->voters[i], &jwk, &err));
	MUST(dir_make(town_path(t, "perspectives"), 0700, &err));
	MUST(file_write_new(town_path(t, name), buf_str(&jwk), 0644, &err));
}

static inline void town_operator(struct town *t, int i)
{
	static const char *const names[OPERATORS] = { "operators/ann.jwk", "operators/bob.jwk" };
	AUTO(buf_done) struct buf jwk = BUF_MAX(4096);
	struct err err = { 0 };
	MUST(key_generate(KEY_P256, 0, &t->operators[i], &err));
	MUST(jwk_write(t->operators[i], &jwk, &err));
	MUST(dir_make(town_path(t, "operators"), 0700, &err));
	MUST(file_write_new(town_path(t, names[i]), buf_str(&jwk), 0644, &err));
}

static inline struct town *town_new_issuer_days(int days)
{
	struct town *t = mem_alloc(sizeof *t);
	struct err err = { 0 };
	strcpy(t->dir, "/tmp/cairn-sign-XXXXXX");
	assert_non_null(mkdtemp(t->dir));
	t->now_ms = NOW_MS;
	t->clk = (struct clock){ town_now, town_now, t };
	MUST(crypto_new(&t->crypto, &err));
	MUST(key_generate(KEY_P256, 0, &t->account, &err));
	MUST(key_generate(KEY_P256, 0, &t->stranger, &err));
	MUST(key_generate(KEY_P256, 0, &t->subscriber, &err));
	town_issuer(t, days);
	for (int i = 0; i < VOTERS; i++)
		town_voter(t, i);
	for (int i = 0; i < OPERATORS; i++)
		town_operator(t, i);
	town_conf(t);
	return t;
}

static inline struct town *town_new(void)
{
	return town_new_issuer_days(1800);
}

static inline void town_free(struct town *t)
{
	char command[128];
	snprintf(command, sizeof command, "rm -rf '%s'", t->dir);
	assert_int_equal(system(command), 0);
	key_free(t->account);
	key_free(t->stranger);
	key_free(t->subscriber);
	key_free(t->issuer_key);
	for (int i = 0; i < VOTERS; i++)
		key_free(t->voters[i]);
	for (int i = 0; i < OPERATORS; i++)
		key_free(t->operators[i]);
	cert_free(t->root);
	cert_free(t->issuer);
	conf_free(t->conf);
	if (t->soft != NULL)
		soft_free(t->soft);
	crypto_free(t->crypto);
	arena_done(&t->mem);
	free(t);
}

/* --- plans --- */
struct vote { /* one perspective's verdict for every name of the plan */
	bool cast, valid;
	const char *kid, *perspective, *realm, *zone;
	const struct key *signer, *thumbprint_of;
	const char *typ;
	enum challenge_type method;
	struct str name; /* empty: each ordered name */
	int wildcard;    /* -1: as ordered */
	int type;        /* -1: as ordered; otherwise enum ident_type */
	bool subdomains;
	bool claim_subdomains; /* the member is put there by hand: what no writer of ours would write */
	int64_t started_ms, finished_ms;
	bool twice;
	const struct key *record_of; /* dns-persist-01: the key that the record names; NULL: thumbprint_of */
	int64_t persist_until_s;
	const char *account_url; /* NULL: the account's where the method wants it; "": none */
	enum caa_result caa;
	bool caa_only;
	bool spoil; /* change a byte of the payload after it was signed */
	bool wordy; /* as many steps, as long and as hard to write, as there may be */
};
struct pledge { /* one operator's grant */
	bool given;
	const char *kid, *typ, *realm;
	const struct key *signer, *thumbprint_of;
	struct str name; /* pattern; empty: none */
	struct str address;
	bool wildcards;
	struct str organization, country, email, profile;
	int64_t made_ms, from_s, until_s;
	bool spoil; /* put another name into it after it was signed */
};
struct plan {
	struct town *town;
	const char *realm, *profile, *issuer, *serial;
	struct id issuance, order, account;
	struct id url_order, kid_account;
	const char *url_base, *kid_base, *job_url; /* job_url NULL: the signed one */
	struct str names[PLAN_NAMES], csr_names[4];
	size_t name_count, csr_name_count; /* csr_name_count 0: as ordered */
	const struct key *finalize_key, *job_key, *csr_key;
	const char *payload; /* NULL: {"csr":...}; %s is the CSR */
	int64_t not_before, not_after;
	struct vote votes[VOTERS];
	struct vote caa_votes[VOTERS]; /* caaOnly ones, cast by those that a row lets speak again */
	struct pledge pledges[OPERATORS];
	bool spoil_csr, spoil_finalize;
};

/* An id as if made at that moment. */
static inline struct id id_at(int64_t ms, uint8_t tail)
{
	struct id id;
	memset(id.b, tail, sizeof id.b);
	for (int i = 0; i < 6; i++)
		id.b[i] = (uint8_t)(ms >> (40 - 8 * i));
	id.b[6] = 0x70 | (tail & 15);
	id.b[8] = 0x80 | (tail & 63);
	return id;
}

static inline struct plan plan_good(struct town *t)
{
	static const char *const names[VOTERS] = { "a", "b", "c", "d", "e", "f", "g" };
	struct plan p = { .town = t,
			  .realm = "default",
			  .profile = "server",
			  .issuer = "default",
			  .serial = "010203040506070809101112131415161718",
			  .issuance = id_at(NOW_MS - 1000, 1),
			  .order = id_at(NOW_MS - 60000, 2),
			  .account = id_at(NOW_MS - 90000, 3),
			  .url_base = BASE,
			  .kid_base = BASE,
			  .names = { STR("www.corp.example"), STR("api.corp.example") },
			  .name_count = 2,
			  .finalize_key = t->account,
			  .job_key = t->account,
			  .csr_key = t->subscriber,
			  .not_before = NOW_S - 3600,
			  .not_after = NOW_S - 3600 + 90 * DAY_S - 1 };
	p.url_order = p.order;
	p.kid_account = p.account;
	for (int i = 0; i < VOTERS; i++)
		p.votes[i] = (struct vote){ .cast = i < 2,
					    .valid = true,
					    .kid = names[i],
					    .perspective = names[i],
					    .realm = "default",
					    .zone = "default",
					    .signer = t->voters[i],
					    .thumbprint_of = t->account,
					    .typ = VERDICT_TYP,
					    .method = CHALLENGE_HTTP01,
					    .wildcard = -1,
					    .type = -1,
					    .started_ms = NOW_MS - 31000,
					    .finished_ms = NOW_MS - 30000 };
	static const char *const operators[OPERATORS] = { "ann", "bob" };
	for (int i = 0; i < OPERATORS; i++)
		p.pledges[i] = (struct pledge){ .kid = operators[i],
						.typ = GRANT_TYP,
						.realm = "default",
						.signer = t->operators[i],
						.thumbprint_of = t->account,
						.name = STR("*.corp.example"),
						.made_ms = NOW_MS - 50000,
						.from_s = NOW_S - 50,
						.until_s = NOW_S + 30 * DAY_S };
	return p;
}

#define GRANT_ID(i) id_at(NOW_MS - 50000, (uint8_t)(40 + (i)))

/* What an ordered text is. */
static inline struct ident plan_ident(struct str text)
{
	struct addr a;
	return (struct ident){ FAILED(addr_read(text, &a, NULL)) ? IDENT_DNS : IDENT_IP, text };
}

static inline struct str plan_csr(struct plan *p)
{
	struct str dns[PLAN_NAMES];
	struct addr addrs[PLAN_NAMES];
	size_t dns_count = 0, addr_count = 0;
	struct town *t = p->town;
	AUTO(buf_done) struct buf der = BUF_MAX(CSR_DER_MAX);
	struct err err = { 0 };
	const struct str *names = p->csr_name_count > 0 ? p->csr_names : p->names;
	size_t count = p->csr_name_count > 0 ? p->csr_name_count : p->name_count;
	for (size_t i = 0; i < count; i++) {
		if (plan_ident(names[i]).type == IDENT_DNS)
			dns[dns_count++] = names[i];
		else
			MUST(addr_read(names[i], &addrs[addr_count++], &err));
	}
	MUST(csr_make_for(t->crypto, p->csr_key, dns, dns_count, addrs, addr_count, &der, &err));
	if (p->spoil_csr)
		der.p[der.n - 1] ^= 1;
	return b64url_encode(&t->mem, buf_str(&der));
}

static inline struct str json_member(struct town *t, const struct json *o, const char *key)
{
	struct str s;
	assert_true(json_as_str(json_get(o, key), &s));
	return str_dup(&t->mem, s);
}

static inline void plan_finalize(struct plan *p, struct sign_job *job)
{
	struct town *t = p->town;
	AUTO(buf_done) struct buf body = BUF_MAX(JWS_BODY_MAX);
	AUTO(json_auto) struct json *top = NULL;
	struct err err = { 0 };
	struct str csr = plan_csr(p);
	struct str url = str_fmt(&t->mem, "%s/order/%s/finalize", p->url_base, id_show(p->url_order).z);
	struct str kid = str_fmt(&t->mem, "%s/account/%s", p->kid_base, id_show(p->kid_account).z);
	struct str payload =
		p->payload != NULL ? str_z(p->payload) : str_fmt(&t->mem, "{\"csr\":\"%.*s\"}", (int)csr.n, csr.p);
	MUST(jws_sign_acme(t->crypto, p->finalize_key, kid, STR("bm9uY2U"), url, payload, &body, &err));
	MUST(json_read(buf_str(&body), JWS_BODY_MAX, &top, &err));
	job->finalize_protected = json_member(t, top, "protected");
	job->finalize_payload = json_member(t, top, "payload");
	job->finalize_signature = json_member(t, top, "signature");
	job->finalize_url = p->job_url != NULL ? str_z(p->job_url) : url;
	if (p->spoil_finalize) {
		char *s = arena_alloc(&t->mem, job->finalize_signature.n);
		memcpy(s, job->finalize_signature.p, job->finalize_signature.n);
		s[8] = s[8] == 'A' ? 'B' : 'A';
		job->finalize_signature.p = s;
	}
}

static inline struct str plan_verdict(struct plan *p, const struct vote *v, struct str name, uint8_t n)
{
	struct town *t = p->town;
	AUTO(buf_done) struct buf payload = BUF_MAX(VERDICT_JWS_MAX), jws = BUF_MAX(VERDICT_JWS_MAX);
	struct err err = { 0 };
	struct thumbprint thumb;
	MUST(jwk_thumbprint(t->crypto, v->thumbprint_of, &thumb, &err));
	struct str base = name;
	bool wildcard = str_skip(&base, STR("*."));
	struct verdict verdict = { .attempt = id_at(NOW_MS, n),
				   .authz = id_at(NOW_MS, n),
				   .perspective = str_z(v->perspective),
				   .realm = str_z(v->realm),
				   .zone = str_z(v->zone),
				   .method = v->method,
				   .ident = plan_ident(v->name.n > 0 ? v->name : base),
				   .wildcard = v->wildcard < 0 ? wildcard : v->wildcard != 0,
				   .subdomains = v->subdomains,
				   .token = STR("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
				   .thumbprint = str_z(thumb.z),
				   .valid = v->valid,
				   .problem = v->valid ? ERR_NONE : ERR_CONNECTION,
				   .problem_detail = v->valid ? STR_NONE : STR("nobody answered"),
				   .started_ms = v->started_ms,
				   .finished_ms = v->finished_ms,
				   .caa = STR("not-checked"),
				   .caa_result = v->valid ? v->caa : CAA_NOT_CHECKED,
				   .caa_only = v->caa_only };
	struct verdict_step steps[VERDICT_STEPS_MAX];
	char quotes[512];
	memset(quotes, '"', sizeof quotes);
	for (size_t i = 0; i < VERDICT_STEPS_MAX; i++)
		steps[i] = (struct verdict_step){ STR("response"), str_n(quotes, v->wordy ? 500 : 0) };
	if (v->wordy) {
		verdict.steps = steps;
		verdict.step_count = VERDICT_STEPS_MAX;
	}
	struct thumbprint record_thumb;
	if (v->record_of != NULL) {
		MUST(jwk_thumbprint(t->crypto, v->record_of, &record_thumb, &err));
		verdict.record_thumbprint = str_z(record_thumb.z);
	}
	verdict.persist_until_s = v->persist_until_s;
	if (v->account_url != NULL)
		verdict.account_url = str_z(v->account_url);
	else if (challenge_wants_account_url(v->method) || v->caa != CAA_NOT_CHECKED || v->caa_only)
		verdict.account_url = str_fmt(&t->mem, "%s/account/%s", p->kid_base, id_show(p->account).z);
	if (v->type >= 0)
		verdict.ident.type = (enum ident_type)v->type;
	MUST(verdict_write(&verdict, &payload, &err));
	if (v->claim_subdomains) {
		struct str said = str_dup(&t->mem, str_sub(buf_str(&payload), 1, payload.n));
		buf_reset(&payload);
		MUST(buf_add(&payload, STR("{\"subdomains\":true,"), &err));
		MUST(buf_add(&payload, said, &err));
	}
	MUST(jws_compact_sign(t->crypto, v->signer, str_z(v->typ), str_z(v->kid), buf_str(&payload), &jws, &err));
	if (v->spoil) { /* another payload under the same signature: what a forger can do */
		struct str text = buf_str(&jws);
		size_t dot = str_find(text, '.', 0), end = str_find(text, '.', dot + 1);
		verdict.token = STR("BAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
		buf_reset(&payload);
		MUST(verdict_write(&verdict, &payload, &err));
		struct str forged = b64url_encode(&t->mem, buf_str(&payload));
		return str_fmt(&t->mem, "%.*s.%.*s%.*s", (int)dot, text.p, (int)forged.n, forged.p, (int)(text.n - end),
			       text.p + end);
	}
	return str_dup(&t->mem, buf_str(&jws));
}

static inline struct str plan_grant(struct plan *p, int i)
{
	struct town *t = p->town;
	const struct pledge *v = &p->pledges[i];
	AUTO(buf_done) struct buf payload = BUF_MAX(GRANT_PAYLOAD_MAX), jws = BUF_MAX(GRANT_JWS_MAX);
	struct err err = { 0 };
	struct thumbprint thumb;
	MUST(jwk_thumbprint(t->crypto, v->thumbprint_of, &thumb, &err));
	struct str key = str_z(thumb.z), name = v->name, address = v->address, email = v->email, profile = v->profile;
	struct grant g = { .id = GRANT_ID(i),
			   .realm = str_z(v->realm),
			   .thumbprints = &key,
			   .thumbprint_count = 1,
			   .names = &name,
			   .name_count = name.n > 0,
			   .addresses = &address,
			   .address_count = address.n > 0,
			   .wildcards = v->wildcards,
			   .organization = v->organization,
			   .country = v->country,
			   .emails = &email,
			   .email_count = email.n > 0,
			   .profiles = &profile,
			   .profile_count = profile.n > 0,
			   .made_ms = v->made_ms,
			   .from_s = v->from_s,
			   .until_s = v->until_s };
	MUST(grant_write(&g, &payload, &err));
	MUST(jws_compact_sign(t->crypto, v->signer, str_z(v->typ), str_z(v->kid), buf_str(&payload), &jws, &err));
	if (!v->spoil)
		return str_dup(&t->mem, buf_str(&jws));
	struct str text = buf_str(&jws);
	size_t dot = str_find(text, '.', 0), end = str_find(text, '.', dot + 1);
	name = STR("*");
	buf_reset(&payload);
	MUST(grant_write(&g, &payload, &err));
	struct str forged = b64url_encode(&t->mem, buf_str(&payload));
	return str_fmt(&t->mem, "%.*s.%.*s%.*s", (int)dot, text.p, (int)forged.n, forged.p, (int)(text.n - end),
		       text.p + end);
}

static inline struct sign_job plan_job(struct plan *p)
{
	struct town *t = p->town;
	AUTO(buf_done) struct buf jwk = BUF_MAX(4096);
	struct err err = { 0 };
	struct sign_job job = { .issuance = p->issuance,
				.order = p->order,
				.account = p->account,
				.realm = str_z(p->realm),
				.profile = str_z(p->profile),
				.issuer = str_z(p->issuer),
				.serial_hex = str_z(p->serial),
				.not_before = p->not_before,
				.not_after = p->not_after,
				.idents = ARENA_ARRAY(&t->mem, struct ident, PLAN_NAMES),
				.ident_count = p->name_count,
				.verdicts = ARENA_ARRAY(&t->mem, struct str, PLAN_NAMES * VOTERS * 3),
				.grants = ARENA_ARRAY(&t->mem, struct str, OPERATORS) };
	for (int i = 0; i < OPERATORS; i++) {
		if (p->pledges[i].given)
			job.grants[job.grant_count++] = plan_grant(p, i);
	}
	for (size_t i = 0; i < p->name_count; i++)
		job.idents[i] = plan_ident(p->names[i]);
	MUST(jwk_write(p->job_key, &jwk, &err));
	job.account_jwk = str_dup(&t->mem, buf_str(&jwk));
	plan_finalize(p, &job);
	for (size_t i = 0; i < p->name_count; i++) {
		for (int v = 0; v < VOTERS; v++) {
			for (int k = 0; p->votes[v].cast && k < 1 + p->votes[v].twice; k++)
				job.verdicts[job.verdict_count++] =
					plan_verdict(p, &p->votes[v], p->names[i], (uint8_t)k);
			if (p->caa_votes[v].cast)
				job.verdicts[job.verdict_count++] = plan_verdict(p, &p->caa_votes[v], p->names[i], 9);
		}
	}
	return job;
}

#endif

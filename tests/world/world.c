/* SPDX-License-Identifier: Apache-2.0
 *
 * world.c: the in-process CA: opening, the scripted bus, DNS, HTTP and TLS.
 */
#include "world.h"

#include "../support/alpn.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef CAIRN_PGSQL
#include <libpq-fe.h>
#endif

static int64_t world_now(void *ctx)
{
	const struct world *w = ctx;
	return w->now_ms;
}

static const char *no_env(void *ctx, const char *name)
{
	(void)ctx;
	(void)name;
	return NULL;
}

static struct str in_dir(struct world *w, const char *name)
{
	return str_fmt(&w->mem, "%s/%s", w->dir, name);
}

static fallible issuer_make(struct world *w, struct err *err)
{
	AUTO(key_auto) struct key *root_key = NULL;
	AUTO(key_auto) struct key *key = NULL;
	AUTO(cert_auto) struct cert *root = NULL;
	AUTO(cert_auto) struct cert *cert = NULL;
	AUTO(buf_done) struct buf pem = BUF_MAX(65536);
	int64_t now = w->now_ms / 1000;
	TRY(key_generate(KEY_P256, 0, &root_key, err));
	TRY(key_generate(KEY_P256, 0, &key, err));
	struct ca_request r = { .common_name = STR("World Root"),
				.key = root_key,
				.not_before = now - 86400,
				.not_after = now + 3650 * (int64_t)86400,
				.path_len = -1 };
	TRY(ca_make_root(w->crypto, &r, &rng_system, &root, err));
	struct ca_request i = { .common_name = STR("World Issuer"),
				.key = key,
				.not_before = now - 86400,
				.not_after = now + 1825 * (int64_t)86400,
				.path_len = 0 };
	TRY(ca_make_intermediate(w->crypto, &i, root, root_key, &rng_system, &cert, err));
	TRY(cert_add_pem(cert, &pem, err));
	TRY(file_write_new(in_dir(w, "issuer.pem").p, buf_str(&pem), 0644, err));
	buf_reset(&pem);
	TRY(cert_add_pem(root, &pem, err));
	TRY(file_write_new(in_dir(w, "root.pem").p, buf_str(&pem), 0644, err));
	return key_write_file(key, in_dir(w, "issuer.key").p, NULL, err);
}

static fallible seal_key_make(struct world *w, struct err *err)
{
	uint8_t bytes[SEAL_KEY_LEN];
	rng_fill(&rng_system, bytes, sizeof bytes);
	return secret_set(&w->seal_key, str_n(bytes, sizeof bytes), err);
}

static fallible perspective_make(struct world *w, struct err *err)
{
	AUTO(buf_done) struct buf jwk = BUF_MAX(4096);
	TRY(key_generate(KEY_P256, 0, &w->perspective_key, err));
	TRY(jwk_write(w->perspective_key, &jwk, err));
	return file_write_new(in_dir(w, "local.jwk").p, buf_str(&jwk), 0644, err);
}

static fallible operator_make(struct world *w, struct err *err)
{
	AUTO(buf_done) struct buf jwk = BUF_MAX(4096);
	TRY(key_generate(KEY_P256, 0, &w->operator_key, err));
	TRY(jwk_write(w->operator_key, &jwk, err));
	return file_write_new(in_dir(w, "ops.jwk").p, buf_str(&jwk), 0644, err);
}

static fallible conf_make(struct world *w, const char *realm_text, struct err *err)
{
	AUTO(buf_done) struct buf text = BUF_MAX(65536);
	TRY(buf_addf(&text, err,
		     "state-dir: %s\n"
		     "api:\n  base-url: %s\n%s  tls-own: false\n"
		     "signer:\n  journal: journal\n"
		     "issuer:\n  default:\n    certificate: issuer.pem\n    key: issuer.key\n%s"
		     "perspective:\n  local:\n    key: local.key\n    public-key: local.jwk\n"
		     "operator:\n  ops:\n    public-key: ops.jwk\n"
		     "%s",
		     w->dir, WORLD_BASE,
		     w->waits_text != NULL ? w->waits_text : "  finalize-wait: 0ms\n  challenge-wait: 0ms\n",
		     w->issuer_text != NULL ? w->issuer_text : "",
		     realm_text != NULL ? realm_text
					: "realm:\n  default:\n    names: [\"*.a.test\", \"*.b.test\"]\n"
					  "zone:\n  default:\n    attempts: 1\n"));
	return file_write_atomic(in_dir(w, "cairn.conf").p, buf_str(&text), 0644, err);
}

static fallible world_publish(void *ctx, struct str topic, struct str body, struct err *err)
{
	struct world *w = ctx;
	if (w->bus_down)
		FAIL(err, ERR_UNAVAILABLE, "the bus is down in this story");
	pthread_mutex_lock(&w->lock);
	bool room = w->last - w->first < WORLD_QUEUE_MAX;
	if (room)
		w->queue[w->last++ % WORLD_QUEUE_MAX] = (struct world_message){ .topic = str_dup(&w->bus_mem, topic),
										.body = str_dup(&w->bus_mem, body) };
	pthread_mutex_unlock(&w->lock);
	if (!room)
		FAIL(err, ERR_UNAVAILABLE, "the bus is full");
	return OK;
}

static bool is_late(const struct world *w, struct str topic)
{
	return (w->late_verdicts && str_eq(topic, STR(TOPIC_VERDICT))) ||
	       (w->late_progress && str_eq(topic, STR(TOPIC_PROGRESS)));
}

/* What a validator says: on the bus now, or later. */
static fallible world_say(struct world *w, const char *topic, struct str body, struct err *err)
{
	const struct world_message m = { .topic = str_z(topic), .body = str_dup(&w->mem, body) };
	if (!is_late(w, m.topic))
		return world_publish(w, m.topic, m.body, err);
	if (w->held_count == WORLD_HELD_MAX)
		FAIL(err, ERR_UNAVAILABLE, "too much is held back");
	w->held[w->held_count++] = m;
	return OK;
}

fallible world_release(struct world *w, struct err *err)
{
	size_t still = 0;
	for (size_t i = 0; i < w->held_count; i++) {
		if (is_late(w, w->held[i].topic))
			w->held[still++] = w->held[i];
		else
			TRY(world_publish(w, w->held[i].topic, w->held[i].body, err));
	}
	w->held_count = still;
	return OK;
}

static bool world_take(struct world *w, struct world_message *ret)
{
	pthread_mutex_lock(&w->lock);
	bool some = w->first != w->last;
	if (some)
		*ret = w->queue[w->first++ % WORLD_QUEUE_MAX];
	pthread_mutex_unlock(&w->lock);
	return some;
}

/* --- the store: a file, or with CAIRN_TEST_PG (tests/pg/with-postgres.sh) a schema of the world's own on that server, named
 * like its folder; the server goes with all of them --- */
#ifdef CAIRN_PGSQL
static const char *schema_of(const struct world *w)
{
	return w->dir + strlen(w->dir) - 6; /* mkdtemp's */
}

/* Adds the first column of each row that a statement gives. */
static fallible pg_ask(const char *sql, struct buf *ret, struct err *err)
{
	PGconn *h = PQconnectdb(getenv("CAIRN_TEST_PG"));
	PGresult *r = PQexec(h, sql);
	struct rc rc = OK;
	if (PQresultStatus(r) != PGRES_COMMAND_OK && PQresultStatus(r) != PGRES_TUPLES_OK) {
		err_set(err, ERR_IO, "%s: %s", sql, PQerrorMessage(h));
		rc = (struct rc){ ERR_IO };
	}
	for (int i = 0; ret != NULL && !FAILED(rc) && i < PQntuples(r); i++)
		rc = buf_addf(ret, err, "%s\n", PQgetvalue(r, i, 0));
	PQclear(r);
	PQfinish(h);
	return rc;
}

static fallible pg_url(struct world *w, struct str *ret, struct err *err)
{
	*ret = str_fmt(&w->mem, "%s&options=-csearch_path%%3Dw_%s", getenv("CAIRN_TEST_PG"), schema_of(w));
	return pg_ask(
		str_fmt(&w->mem, "SET client_min_messages = error; CREATE SCHEMA IF NOT EXISTS w_%s", schema_of(w)).p,
		NULL, err);
}

static fallible pg_bytes(struct world *w, struct buf *ret, struct err *err)
{
	AUTO(buf_done) struct buf tables = BUF_MAX(1 << 20);
	TRY(pg_ask(str_fmt(&w->mem, "SELECT tablename FROM pg_tables WHERE schemaname = lower('w_%s')", schema_of(w)).p,
		   &tables, err));
	struct cur c = cur_of(buf_str(&tables));
	struct str name;
	while (!FAILED(cur_until(&c, '\n', &name, NULL)))
		TRY(pg_ask(str_fmt(&w->mem,
				   "SELECT (SELECT string_agg(value, '' ORDER BY ordinality) FROM "
				   "json_each_text(to_json(t)) WITH ORDINALITY) FROM w_%s.%.*s AS t",
				   schema_of(w), STR_FMT(name))
				   .p,
			   ret, err));
	return OK;
}
#else
static fallible pg_url(struct world *w, struct str *ret, struct err *err)
{
	(void)w, (void)ret;
	FAIL(err, ERR_CONFIG, "CAIRN_TEST_PG is set, and this build has no PostgreSQL");
}

static fallible pg_bytes(struct world *w, struct buf *ret, struct err *err)
{
	(void)ret;
	return pg_url(w, &(struct str){ 0 }, err);
}
#endif

static fallible store_url(struct world *w, struct str *ret, struct err *err)
{
	if (getenv("CAIRN_TEST_PG") != NULL)
		return pg_url(w, ret, err);
	*ret = str_fmt(&w->mem, "sqlite:%s/cairn.db", w->dir);
	return OK;
}

fallible world_store_bytes(struct world *w, struct buf *ret, struct err *err)
{
	static const char *const files[] = { "cairn.db", "cairn.db-wal" };
	if (getenv("CAIRN_TEST_PG") != NULL)
		return pg_bytes(w, ret, err);
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		AUTO(buf_done) struct buf one = BUF_MAX(ret->max);
		TRY(file_read(in_dir(w, files[i]).p, one.max, &one, err));
		TRY(buf_add(ret, buf_str(&one), err));
	}
	return OK;
}

static fallible api_open(struct world *w, struct err *err)
{
	struct conf *own = NULL;
	const struct acme_deps deps = { .store = NULL,
					.crypto = w->crypto,
					.log = &w->log,
					.clk = &w->clock,
					.rng = &rng_system,
					.seal_key = &w->seal_key,
					.publish = world_publish,
					.publish_ctx = w };
	struct acme_deps d = deps;
	struct str url;
	TRY(store_url(w, &url, err));
	TRY(store_open(url, 2, &w->clock, &w->store, err));
	d.store = w->store;
	TRY(conf_read(in_dir(w, "cairn.conf").p, no_env, NULL, &own, err));
	struct rc rc = acme_new(&d, own, &w->acme, err);
	if (FAILED(rc))
		conf_free(own);
	return rc;
}

static void api_close(struct world *w)
{
	acme_free(w->acme);
	store_close(w->store);
	w->acme = NULL;
	w->store = NULL;
}

/* TMPDIR=/dev/shm takes the disk's time out of it. */
static fallible dir_new(struct world *w, struct err *err)
{
	const char *in = getenv("TMPDIR");
	if (in == NULL || in[0] == '\0' || strchr(in, '\'') != NULL) /* world_close gives it to a shell in quotes */
		in = "/tmp";
	int n = snprintf(w->dir, sizeof w->dir, "%s/cairn-world-XXXXXX", in);
	if (n >= (int)sizeof w->dir || mkdtemp(w->dir) == NULL)
		FAIL(err, ERR_IO, "no folder for a world in %s", in);
	return OK;
}

fallible world_open(struct world *w, const char *realm_text, struct err *err)
{
	memset(w, 0, sizeof *w);
	pthread_mutex_init(&w->lock, NULL);
	w->now_ms = INT64_C(1790000000000);
	w->clock = (struct clock){ .now_ms = world_now, .mono_ms = world_now, .ctx = w };
	w->log = (struct log){ .program = "world",
			       .level = getenv("CAIRN_WORLD_LOG") != NULL ? LOG_DEBUG : LOG_LEVEL_COUNT,
			       .form = LOG_TEXT,
			       .fd = 2,
			       .clock = &w->clock };
	TRY(dir_new(w, err));
	TRY(crypto_new(&w->crypto, err));
	TRY(seal_key_make(w, err));
	TRY(issuer_make(w, err));
	TRY(perspective_make(w, err));
	TRY(operator_make(w, err));
	TRY(conf_make(w, realm_text, err));
	TRY(dir_make(in_dir(w, "journal").p, 0700, err));
	TRY(conf_read(in_dir(w, "cairn.conf").p, no_env, NULL, &w->conf, err));
	TRY(signer_new(w->conf, w->crypto, &w->log, &w->clock, &rng_system, &w->signer, err));
	return api_open(w, err);
}

fallible world_restart_api(struct world *w, struct err *err)
{
	api_close(w);
	return api_open(w, err);
}

fallible world_restart_signer(struct world *w, struct err *err)
{
	signer_free(w->signer);
	w->signer = NULL;
	return signer_new(w->conf, w->crypto, &w->log, &w->clock, &rng_system, &w->signer, err);
}

fallible world_configure(struct world *w, const char *realm_text, struct err *err)
{
	struct conf *own = NULL, *fresh = NULL;
	TRY(conf_make(w, realm_text, err));
	TRY(conf_read(in_dir(w, "cairn.conf").p, no_env, NULL, &own, err));
	struct rc rc = acme_reload(w->acme, own, err);
	if (FAILED(rc)) {
		conf_free(own);
		return rc;
	}
	TRY(conf_read(in_dir(w, "cairn.conf").p, no_env, NULL, &fresh, err));
	rc = signer_reload(w->signer, fresh, err);
	if (FAILED(rc)) {
		conf_free(fresh);
		return rc;
	}
	conf_free(w->conf);
	w->conf = fresh;
	return OK;
}

void world_close(struct world *w)
{
	char command[192];
	api_close(w);
	signer_free(w->signer);
	conf_free(w->conf);
	key_free(w->perspective_key);
	key_free(w->operator_key);
	secret_done(&w->seal_key);
	crypto_free(w->crypto);
	arena_done(&w->bus_mem);
	arena_done(&w->mem);
	pthread_mutex_destroy(&w->lock);
	snprintf(command, sizeof command, "rm -rf '%s'", w->dir);
	if (strstr(w->dir, "/cairn-world-") != NULL && system(command) != 0)
		fprintf(stderr, "cannot remove %s\n", w->dir);
}

struct world_site *world_site(struct world *w, struct str name)
{
	for (size_t i = 0; i < w->site_count; i++)
		if (str_eq(w->sites[i].name, name))
			return &w->sites[i];
	if (w->site_count == WORLD_SITES_MAX)
		abort();
	struct world_site *s = &w->sites[w->site_count++];
	*s = (struct world_site){ .name = str_dup(&w->mem, name), .status = 200 };
	return s;
}

/* --- the validator's eyes --- */
static struct world_site *site_find(struct world *w, struct str name)
{
	for (size_t i = 0; i < w->site_count; i++)
		if (str_eq(w->sites[i].name, name))
			return &w->sites[i];
	return NULL;
}

/* What a probe is told depends on its job: a scripted TXT record fits the token that is asked for. */
struct eyes {
	struct world *w;
	const struct validate_job *job;
	bool killed;
	struct err failed; /* what happened meanwhile was not as told */
};

static fallible world_resolve(void *ctx, struct str name, int64_t deadline, struct arena *mem,
			      struct resolve_answer *ret, struct err *err)
{
	const struct eyes *e = ctx;
	(void)deadline;
	if (site_find(e->w, name) == NULL)
		FAIL(err, ERR_DNS, "%.*s A, AAAA from scripted: NXDOMAIN", STR_FMT(name));
	*ret = (struct resolve_answer){ .addrs = ARENA_NEW(mem, struct addr), .addr_count = 1 };
	return addr_read(STR("93.184.216.34"), ret->addrs, err);
}

/* "_" and sixteen characters of base32, bit by bit, whoever's account the probe is for. */
static fallible skip_account_label(const struct eyes *e, struct str *name, struct err *err)
{
	static const char digits[] = "abcdefghijklmnopqrstuvwxyz234567";
	struct sha256 digest;
	char label[18] = "_";
	unsigned bits = 0, have = 0;
	size_t n = 1;
	TRY(digest_sha256(e->w->crypto, e->job->account_url, &digest, err));
	for (size_t i = 0; i < 80; i++) {
		bits = bits << 1 | ((unsigned)digest.b[i / 8] >> (7 - i % 8) & 1u);
		if (++have == 5) {
			label[n++] = digits[bits];
			bits = have = 0;
		}
	}
	label[n] = '.';
	(void)str_skip(name, str_n(label, sizeof label));
	return OK;
}

static bool persist_answer(const struct eyes *e, struct str name, struct arena *mem, struct resolve_txt_answer *ret)
{
	if (!str_skip(&name, STR("_validation-persist.")))
		return false;
	const struct world_site *s = site_find(e->w, name);
	ret->nxdomain = s == NULL;
	if (s == NULL || s->persist.n == 0)
		return true;
	ret->records = ARENA_NEW(mem, struct str);
	ret->records[ret->count++] = s->persist;
	return true;
}

/* RFC 8555 8.4, for every account that the site serves. */
static fallible world_resolve_txt(void *ctx, struct str name, int64_t deadline, struct arena *mem,
				  struct resolve_txt_answer *ret, struct err *err)
{
	const struct eyes *e = ctx;
	struct sha256 digest;
	(void)deadline;
	*ret = (struct resolve_txt_answer){ 0 };
	if (persist_answer(e, name, mem, ret))
		return OK;
	if (e->job->method == CHALLENGE_DNSACCOUNT01)
		TRY(skip_account_label(e, &name, err));
	const struct world_site *s = str_skip(&name, STR("_acme-challenge.")) ? site_find(e->w, name) : NULL;
	if (s == NULL || (s->txt.n == 0 && s->thumbprint.n == 0)) {
		ret->nxdomain = true;
		return OK;
	}
	if (s->refuses)
		FAIL(err, ERR_DNS, "_acme-challenge.%.*s TXT from scripted: SERVFAIL", STR_FMT(name));
	ret->records = ARENA_NEW(mem, struct str);
	ret->count = 1;
	if (s->txt.n > 0) {
		ret->records[0] = s->txt;
		return OK;
	}
	struct str text = str_fmt(mem, "%.*s.%.*s", STR_FMT(e->job->token), STR_FMT(s->thumbprint));
	TRY(digest_sha256(e->w->crypto, text, &digest, err));
	ret->records[0] = b64url_encode(mem, str_n(digest.b, sizeof digest.b));
	return OK;
}

static fallible world_resolve_caa(void *ctx, struct str name, int64_t deadline, struct arena *mem,
				  struct resolve_caa_answer *ret, struct err *err)
{
	const struct eyes *e = ctx;
	(void)deadline;
	(void)mem;
	*ret = (struct resolve_caa_answer){ .dnssec = DNSSEC_INSECURE };
	struct world_site *s = site_find(e->w, name);
	if (s == NULL)
		return OK;
	s->caa_lookups++;
	if (s->caa_failures > 0) {
		s->caa_failures--;
		FAIL(err, ERR_DNS, "%.*s CAA from scripted: SERVFAIL", STR_FMT(name));
	}
	ret->records = s->caa;
	ret->count = s->caa_count;
	return OK;
}

static bool world_in_static_table(void *ctx, struct str name)
{
	const struct eyes *e = ctx;
	const struct conf_zone *zone = conf_zone(e->w->conf, e->job->zone);
	for (size_t i = 0; i < zone->name_count; i++)
		if (name_matches(zone->names[i].pattern, name))
			return true;
	return false;
}

/* RFC 8737 3 and RFC 8738, for the account that the site serves; sites without one speak plain HTTP only. */
static fallible world_tls(void *ctx, const struct tls_probe_request *rq, struct arena *mem, struct tls_probe_reply *ret,
			  struct err *err)
{
	const struct eyes *e = ctx;
	const struct ident *ident = &e->job->ident;
	const struct world_site *s = site_find(e->w, ident->value);
	AUTO(buf_done) struct buf der = BUF_MAX(CERT_DER_MAX);
	struct sha256 digest;
	struct addr addr;
	*ret = (struct tls_probe_reply){ 0 };
	if (s == NULL || s->refuses)
		FAIL(err, ERR_CONNECTION, "connection refused");
	ret->connected = true;
	if (s->thumbprint.n == 0)
		FAIL(err, ERR_TLS, "the server does not speak TLS on this port");
	struct str text = str_fmt(mem, "%.*s.%.*s", STR_FMT(e->job->token), STR_FMT(s->thumbprint));
	TRY(digest_sha256(e->w->crypto, text, &digest, err));
	struct alpn_cert cert = { .digest = str_n(digest.b, sizeof digest.b) };
	if (ident->type == IDENT_IP) {
		TRY(addr_read(ident->value, &addr, err));
		cert.ip = str_n(addr.b, addr.family == AF_INET ? 4 : 16);
	} else {
		cert.names[0] = rq->server_name;
	}
	TRY(alpn_cert_make(e->w->crypto, e->w->perspective_key, &cert, &der, err));
	ret->version = "TLSv1.3";
	ret->alpn = STR("acme-tls/1");
	ret->certificate = str_dup(mem, buf_str(&der));
	return OK;
}

static bool world_pause(void *ctx, int64_t ms)
{
	struct eyes *e = ctx;
	struct world *w = e->w;
	w->now_ms += ms;
	if (w->meanwhile != NULL && FAILED(w->meanwhile(w->meanwhile_ctx, &e->killed, &e->failed)))
		e->killed = true;
	return !e->killed;
}

static void world_progress(void *ctx, const struct progress *p)
{
	const struct eyes *e = ctx;
	AUTO(buf_done) struct buf out = BUF_MAX(PROGRESS_MAX);
	struct err why = { 0 };
	if (e->w->losing_progress)
		return;
	if (FAILED(progress_write(p, &out, &why)) || FAILED(world_say(e->w, TOPIC_PROGRESS, buf_str(&out), &why)))
		fprintf(stderr, "progress not published: %s\n", why.detail);
}

static struct str world_resolver_name(void *ctx, struct str name)
{
	(void)name;
	(void)ctx;
	return STR("scripted");
}

static fallible world_fetch(void *ctx, const struct fetch_request *rq, struct arena *mem, struct fetch_reply *ret,
			    struct err *err)
{
	const struct eyes *e = ctx;
	struct url url;
	*ret = (struct fetch_reply){ 0 };
	TRY(url_read(mem, rq->url, 4096, &url, err));
	const struct world_site *s = site_find(e->w, url.host);
	if (s == NULL || s->refuses)
		FAIL(err, ERR_CONNECTION, "connection refused");
	struct str token = url.path;
	if (!str_skip(&token, STR("/.well-known/acme-challenge/")))
		FAIL(err, ERR_CONNECTION, "not a challenge path");
	ret->connected = true;
	if (rq->pin != NULL)
		ret->peer = *rq->pin;
	ret->status = s->status;
	if (s->body.n > 0)
		ret->body = str_dup(mem, s->body);
	else if (s->thumbprint.n > 0)
		ret->body = str_fmt(mem, "%.*s.%.*s", STR_FMT(token), STR_FMT(s->thumbprint));
	else
		ret->status = 404;
	return OK;
}

static fallible ranges_read(const struct conf_zone *zone, struct arena *mem, struct probe_env *env, struct err *err)
{
	struct addr_range *ranges = ARENA_ARRAY(mem, struct addr_range, zone->allow_addresses.n);
	for (size_t i = 0; i < zone->allow_addresses.n; i++)
		TRY(addr_range_read(zone->allow_addresses.v[i], &ranges[i], err));
	env->allowed = ranges;
	env->allowed_count = zone->allow_addresses.n;
	return OK;
}

static fallible validate_one(struct world *w, struct str body, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(buf_done) struct buf payload = BUF_MAX(VERDICT_JWS_MAX);
	AUTO(buf_done) struct buf jws = BUF_MAX(VERDICT_JWS_MAX * 2);
	AUTO(buf_done) struct buf out = BUF_MAX(JOB_MAX);
	struct validate_job job;
	struct verdict v;
	struct eyes eyes = { .w = w, .job = &job };
	const struct probe_ops ops = { .resolve = world_resolve,
				       .resolve_txt = world_resolve_txt,
				       .resolve_caa = world_resolve_caa,
				       .in_static_table = world_in_static_table,
				       .resolver_name = world_resolver_name,
				       .fetch = world_fetch,
				       .tls = world_tls,
				       .pause = world_pause,
				       .progress = world_progress,
				       .ctx = &eyes };
	TRY(validate_job_read(&mem, body, &job, err));
	struct probe_env env = { .zone = conf_zone(w->conf, job.zone),
				 .realm = conf_realm(w->conf, job.realm),
				 .ops = &ops,
				 .crypto = w->crypto,
				 .clk = &w->clock,
				 .perspective = STR("local") };
	if (env.zone == NULL || env.realm == NULL) /* the real one says so in a verdict, which is no vote */
		return OK;
	TRY(ranges_read(env.zone, &mem, &env, err));
	probe_run(&env, &job, &mem, &v);
	if (eyes.failed.kind != ERR_NONE) {
		*err = eyes.failed;
		return (struct rc){ err->kind };
	}
	if (eyes.killed)
		return OK;
	TRY(verdict_write(&v, &payload, err));
	TRY(jws_compact_sign(w->crypto, w->perspective_key, STR(VERDICT_TYP), STR("local"), buf_str(&payload), &jws,
			     err));
	const struct verdict_message m = {
		.attempt = job.attempt, .order = job.order, .perspective = STR("local"), .jws = buf_str(&jws)
	};
	TRY(verdict_message_write(&m, &out, err));
	return w->losing_verdicts ? OK : world_say(w, TOPIC_VERDICT, buf_str(&out), err);
}

static fallible sign_one(struct world *w, struct str body, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(buf_done) struct buf out = BUF_MAX(JOB_MAX);
	struct sign_job job;
	struct sign_result result;
	TRY(sign_job_read(&mem, body, &job, err));
	TRY(signer_batch(w->signer, &mem, &job, 1, &result, err));
	TRY(sign_result_write(&result, &out, err));
	return w->losing_certificates ? OK : world_publish(w, STR(TOPIC_SIGNED), buf_str(&out), err);
}

static fallible deliver(struct world *w, const struct world_message *m, struct err *err)
{
	w->delivered++;
	if (str_starts(m->topic, STR(TOPIC_VALIDATE ".")))
		return w->validator_down ? OK : validate_one(w, m->body, err);
	if (str_eq(m->topic, STR(TOPIC_SIGN)))
		return w->signer_down ? OK : sign_one(w, m->body, err);
	if (str_eq(m->topic, STR(TOPIC_VERDICT)))
		return acme_apply_verdict(w->acme, m->body, err);
	if (str_eq(m->topic, STR(TOPIC_PROGRESS)))
		return acme_apply_progress(w->acme, m->body, err);
	return acme_apply_signed(w->acme, m->body, err);
}

fallible world_step(struct world *w, struct err *err)
{
	struct world_message m;
	if (!world_take(w, &m))
		FAIL(err, ERR_NOT_FOUND, "the bus is empty");
	return deliver(w, &m, err);
}

fallible world_run(struct world *w, struct err *err)
{
	struct world_message m;
	while (world_take(w, &m)) {
		TRY(deliver(w, &m, err));
		/* Every message twice: repeats of requests make repeats of answers, which are not repeated again. */
		bool is_job = str_starts(m.topic, STR(TOPIC_VALIDATE ".")) || str_eq(m.topic, STR(TOPIC_SIGN));
		if (w->doubling && is_job)
			TRY(deliver(w, &m, err));
	}
	return OK;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * test.h: one scripted world for the probes of dns-01, tls-alpn-01 and their attempts: time stands still until a script
 * lets it pass, and what is not in the script fails the test.
 */
#ifndef CAIRN_VALIDATE_TEST_H
#define CAIRN_VALIDATE_TEST_H

#include "alpn.h"
#include "unit.h"
#include "validate/internal.h"

#include <stdlib.h>

#define TOKEN "tttttttt-_0123456789abcdefghijklmnopqrstuxw"
#define THUMB "hhhhhhhh-_0123456789ABCDEFGHIJKLMNOPQRSTUVU"
#define KEYAUTH TOKEN "." THUMB
#define DIGEST "hnBSHdPn51KwSeRPOCYi3oCAFtGyOtJ8_hiip4YUz-o" /* SHA-256 of that; it has both - and _ */
#define DIGEST_BYTES                                                                                           \
	"\x86\x70\x52\x1d\xd3\xe7\xe7\x52\xb0\x49\xe4\x4f\x38\x26\x22\xde\x80\x80\x16\xd1\xb2\x3a\xd2\x7c\xfe" \
	"\x18\xa2\xa7\x86\x14\xcf\xea"
#define SCRIPT_BEGIN_MS 1000000

struct script {
	struct err err; /* for MUST */
	int64_t now;
	/* Each call takes the next row of its list; the tests say what a row holds. */
	const struct script_step {
		const char *asked; /* the name, or the address that is dialled */
		const char *fail;  /* what happened; NULL: it goes well */
		enum err_kind kind;
		bool connected;
		int64_t takes_ms;
		struct resolve_txt_answer txt;
		struct resolve_caa_answer caa;
		struct str addrs;               /* separated by blanks */
		const struct alpn_cert *cert;   /* what the server shows */
		struct str alpn;                /* what it agrees to */
		const char *server_name, *body; /* SNI that is wanted; the answer of a web server */
	} * steps;
	size_t count, at;
	int64_t pauses[16];
	const struct conf_realm *realm; /* NULL: one that looks up no CAA records */
	size_t pause_count, stop_at;    /* stop_at: which pause is cut short; 0: none */
	struct crypto *crypto;
	struct key *key;
};

static inline int64_t script_now(void *ctx)
{
	return ((const struct script *)ctx)->now;
}

static inline const struct script_step *script_next(struct script *s)
{
	assert_true(s->at < s->count);
	s->now += s->steps[s->at].takes_ms;
	return &s->steps[s->at++];
}

static inline fallible script_resolve_caa(void *ctx, struct str name, int64_t deadline_mono_ms, struct arena *mem,
					  struct resolve_caa_answer *ret, struct err *err)
{
	struct script *s = ctx;
	(void)mem;
	assert_true(deadline_mono_ms <= s->now + 10000);
	const struct script_step *step = script_next(s);
	assert_true(str_eq(name, str_z(step->asked)));
	*ret = step->caa;
	if (step->fail != NULL)
		FAIL(err, step->kind, "%s", step->fail);
	return OK;
}

static inline bool script_in_static_table(void *ctx, struct str name)
{
	(void)ctx;
	return str_ends(name, STR(".static.test"));
}

static inline struct str script_resolver_name(void *ctx, struct str name)
{
	(void)name;
	(void)ctx;
	return STR("127.0.0.1:5353");
}

static inline fallible script_resolve(void *ctx, struct str name, int64_t deadline_mono_ms, struct arena *mem,
				      struct resolve_answer *ret, struct err *err)
{
	struct script *s = ctx;
	assert_true(deadline_mono_ms <= s->now + 10000);
	const struct script_step *step = script_next(s);
	assert_true(str_eq(name, str_z(step->asked)));
	*ret = (struct resolve_answer){ .addrs = ARENA_ARRAY(mem, struct addr, RESOLVE_ADDRS_MAX) };
	if (step->fail != NULL)
		FAIL(err, step->kind, "%s", step->fail);
	for (size_t at = 0; at < step->addrs.n;) {
		size_t end = str_find(step->addrs, ' ', at);
		TRY(addr_read(str_sub(step->addrs, at, end), &ret->addrs[ret->addr_count++], err));
		at = end + 1;
	}
	return OK;
}

static inline fallible script_resolve_txt(void *ctx, struct str name, int64_t deadline_mono_ms, struct arena *mem,
					  struct resolve_txt_answer *ret, struct err *err)
{
	struct script *s = ctx;
	(void)mem;
	assert_true(deadline_mono_ms <= s->now + 10000);
	const struct script_step *step = script_next(s);
	assert_true(str_eq(name, str_z(step->asked)));
	*ret = step->txt;
	if (step->fail != NULL)
		FAIL(err, step->kind, "%s", step->fail);
	return OK;
}

static inline fallible script_fetch(void *ctx, const struct fetch_request *rq, struct arena *mem,
				    struct fetch_reply *ret, struct err *err)
{
	struct script *s = ctx;
	char peer[ADDR_TEXT_MAX];
	(void)mem;
	const struct script_step *step = script_next(s);
	addr_show(rq->pin, peer);
	assert_string_equal(peer, step->asked);
	*ret = (struct fetch_reply){ .connected = step->connected || step->fail == NULL, .status = 200 };
	if (step->fail != NULL)
		FAIL(err, step->kind, "%s", step->fail);
	ret->body = str_z(step->body);
	return OK;
}

static inline fallible script_tls(void *ctx, const struct tls_probe_request *rq, struct arena *mem,
				  struct tls_probe_reply *ret, struct err *err)
{
	struct script *s = ctx;
	AUTO(buf_done) struct buf der = BUF_MAX(65536);
	char peer[ADDR_TEXT_MAX];
	assert_true(rq->timeout_ms > 0 && rq->timeout_ms <= 20000 - (s->now - SCRIPT_BEGIN_MS));
	assert_true(rq->connect_timeout_ms > 0 && rq->connect_timeout_ms <= 10000);
	assert_true(str_eq(rq->alpn, STR("acme-tls/1")));
	const struct script_step *step = script_next(s);
	addr_show(&rq->addr, peer);
	assert_string_equal(peer, step->asked);
	if (step->server_name != NULL)
		assert_true(str_eq(rq->server_name, str_z(step->server_name)));
	*ret = (struct tls_probe_reply){ .connected = step->connected || step->fail == NULL, .version = "TLSv1.3" };
	if (step->fail != NULL)
		FAIL(err, step->kind, "%s", step->fail);
	TRY(alpn_cert_make(s->crypto, s->key, step->cert, &der, err));
	ret->certificate = str_dup(mem, buf_str(&der));
	ret->alpn = step->alpn;
	return OK;
}

static inline bool script_pause(void *ctx, int64_t ms)
{
	struct script *s = ctx;
	assert_true(s->pause_count < ARRAY_LEN(s->pauses));
	assert_true(ms > 0);
	s->pauses[s->pause_count++] = ms;
	s->now += ms;
	return s->pause_count != s->stop_at;
}

static inline struct validate_job script_job(enum challenge_type method)
{
	return (struct validate_job){
		.attempt = { { 1 } },
		.authz = { { 2 } },
		.order = { { 3 } },
		.realm = STR("default"),
		.zone = STR("inside"),
		.method = method,
		.ident = { IDENT_DNS, STR("a.test") },
		.token = STR(TOKEN),
		.thumbprint = STR(THUMB),
		.deadline_ms = SCRIPT_BEGIN_MS + 60000,
	};
}

/* Whatever happened, the verdict is one that can be written, and all that was scripted took place. */
static inline bool script_run(struct script *s, const struct script_step *steps, size_t count, int64_t attempts,
			      const struct validate_job *job, struct arena *mem, struct verdict *ret)
{
	AUTO(buf_done) struct buf text = BUF_MAX(VERDICT_PAYLOAD_MAX);
	const struct conf_zone zone = {
		.name = STR("inside"), .http_port = 80, .alpn_port = 443, .deadline_ms = 20000, .attempts = attempts
	};
	struct addr_range allowed[2];
	struct err err = { 0 }, why;
	MUST(addr_range_read(STR("192.0.2.0/24"), &allowed[0], &err));
	MUST(addr_range_read(STR("2001:db8::/32"), &allowed[1], &err));
	const struct clock clk = { script_now, script_now, s };
	const struct probe_ops ops = { .resolve = script_resolve,
				       .resolve_txt = script_resolve_txt,
				       .resolve_caa = script_resolve_caa,
				       .in_static_table = script_in_static_table,
				       .resolver_name = script_resolver_name,
				       .fetch = script_fetch,
				       .tls = script_tls,
				       .pause = script_pause,
				       .ctx = s };
	const struct conf_realm off = { .name = STR("default"), .caa = STR("off") };
	const struct probe_env env = { .zone = &zone,
				       .realm = s->realm != NULL ? s->realm : &off,
				       .allowed = allowed,
				       .allowed_count = ARRAY_LEN(allowed),
				       .ops = &ops,
				       .crypto = s->crypto,
				       .clk = &clk,
				       .perspective = STR("local") };
	s->now = SCRIPT_BEGIN_MS;
	s->steps = steps;
	s->count = count;
	s->at = s->pause_count = 0;
	bool done = probe_run_why(&env, job, mem, ret, &why);
	MUST(verdict_write(ret, &text, &err));
	assert_int_equal(s->at, count);
	assert_int_equal(ret->valid, ret->problem == ERR_NONE);
	assert_int_equal(ret->finished_ms - ret->started_ms, s->now - SCRIPT_BEGIN_MS);
	return done;
}

static inline int script_setup(void **state)
{
	struct script *s = mem_alloc(sizeof *s);
	struct err err = { 0 };
	*state = s;
	MUST(crypto_new(&s->crypto, &err));
	MUST(key_generate(KEY_P256, 0, &s->key, &err));
	return 0;
}

static inline int script_teardown(void **state)
{
	struct script *s = *state;
	key_free(s->key);
	crypto_free(s->crypto);
	free(s);
	return 0;
}

/* A row may give only the beginning of a text: then it ends in a blank. */
static inline void script_check_problem(const char *title, const struct verdict *v, enum err_kind kind,
					const char *want, struct arena *mem)
{
	const char *detail = str_dupz_raw(mem, v->problem_detail);
	bool beginning = str_ends(str_z(want), STR(" "));
	struct str found = beginning ? str_sub(v->problem_detail, 0, strlen(want)) : v->problem_detail;
	if (v->problem != kind || !str_eq(found, str_z(want)))
		fail_msg("%s:\n  got    %s: %s\n  wanted %s: %s", title, err_kind_name(v->problem), detail,
			 err_kind_name(kind), want);
}

#endif

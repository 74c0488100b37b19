/* SPDX-License-Identifier: Apache-2.0
 *
 * counts.c: a whole issuance, step by step, for callgrind to count instructions in. Each step is taken ROUNDS times in a
 * row, with requests that were signed before, and ends with a dump of its name; what the client does is not counted,
 * since check.sh names the functions that are. Run alone it only checks that every step goes well.
 */
#include "world.h"

#include <stdio.h>
#include <valgrind/callgrind.h>

#define ROUNDS 16

struct step_request {
	struct str path, body;
};

struct counting {
	struct world w;
	struct world_account account;
	struct key *cert_key;
	struct step_request ready[ROUNDS];
	struct str order[ROUNDS], authz[ROUNDS], challenge[ROUNDS], certificate[ROUNDS];
	bool counts;
};

/* From here on is this step's, until the next. */
static void step_ends(const struct counting *c, const char *name)
{
	if (!c->counts)
		return;
	printf("%s %d\n", name, ROUNDS);
	CALLGRIND_DUMP_STATS_AT(name);
}

static fallible prepare(struct counting *c, size_t i, struct str url, struct str payload, struct err *err)
{
	c->ready[i].path = world_path(url);
	return world_sign(&c->w, &c->account, url, payload, &c->ready[i].body, err);
}

/* Sends what was prepared. ret: the member of each answer, or with member NULL its Location; ret NULL: nothing. */
static fallible send_all(struct counting *c, const char *step, int status, const char *member, struct str *ret,
			 struct err *err)
{
	CALLGRIND_ZERO_STATS;
	for (size_t i = 0; i < ROUNDS; i++) {
		struct world_reply r;
		struct str text = STR_NONE;
		TRY(world_send(&c->w, HTTP_POST, c->ready[i].path, STR("application/jose+json"), c->ready[i].body, &r,
			       err));
		if (ret != NULL && member != NULL)
			(void)json_as_str(json_get(r.json, member), &text);
		else if (ret != NULL)
			text = world_header(&r, "Location");
		if (ret != NULL)
			ret[i] = str_dup(&c->w.mem, text);
		world_reply_done(&r);
		if (r.status != status)
			FAIL(err, ERR_CONFLICT, "%s: found status %d, wanted %d: %.*s", step, r.status, status,
			     STR_FMT(r.body));
	}
	step_ends(c, step);
	return OK;
}

static fallible quick_all(struct counting *c, const char *step, enum http_method method, struct str path, int status,
			  struct err *err)
{
	CALLGRIND_ZERO_STATS;
	for (size_t i = 0; i < ROUNDS; i++) {
		struct world_reply r;
		TRY(world_send(&c->w, method, path, STR_NONE, STR_NONE, &r, err));
		world_reply_done(&r);
		if (r.status != status)
			FAIL(err, ERR_CONFLICT, "%s: found status %d, wanted %d", step, r.status, status);
	}
	step_ends(c, step);
	return OK;
}

static fallible deliver_round(struct counting *c, const char *step, struct err *err)
{
	size_t n = c->w.last - c->w.first;
	CALLGRIND_ZERO_STATS;
	if (n != ROUNDS)
		FAIL(err, ERR_CONFLICT, "%s: found %zu messages on the bus, wanted %d", step, n, ROUNDS);
	for (size_t i = 0; i < n; i++)
		TRY(world_step(&c->w, err));
	step_ends(c, step);
	return OK;
}

static fallible account_steps(struct counting *c, struct err *err)
{
	TRY(quick_all(c, "directory", HTTP_GET, STR("/directory"), 200, err));
	TRY(quick_all(c, "newNonce", HTTP_HEAD, STR("/new-nonce"), 200, err));
	for (size_t i = 0; i < ROUNDS; i++)
		TRY(prepare(c, i, c->account.url, STR_NONE, err));
	return send_all(c, "account-read", 200, NULL, NULL, err);
}

static fallible order_steps(struct counting *c, const char *prefix, struct err *err)
{
	for (size_t i = 0; i < ROUNDS; i++) {
		struct str name = str_fmt(&c->w.mem, "%s%zu.a.test", prefix, i);
		world_site(&c->w, name)->thumbprint = str_dup(&c->w.mem, str_z(c->account.thumbprint.z));
		TRY(prepare(
			c, i, STR(WORLD_BASE "/new-order"),
			str_fmt(&c->w.mem, "{\"identifiers\":[{\"type\":\"dns\",\"value\":\"%.*s\"}]}", STR_FMT(name)),
			err));
	}
	TRY(send_all(c, "newOrder", 201, NULL, c->order, err));
	for (size_t i = 0; i < ROUNDS; i++)
		TRY(prepare(c, i, c->order[i], STR_NONE, err));
	return send_all(c, "order-read", 200, NULL, NULL, err);
}

static fallible authz_urls(struct counting *c, struct err *err)
{
	for (size_t i = 0; i < ROUNDS; i++) {
		struct world_reply r;
		struct str url = STR_NONE;
		TRY(world_post(&c->w, &c->account, c->order[i], STR_NONE, &r, err));
		(void)json_as_str(json_at(json_get(r.json, "authorizations"), 0), &url);
		c->authz[i] = str_dup(&c->w.mem, url);
		world_reply_done(&r);
		TRY(world_post(&c->w, &c->account, c->authz[i], STR_NONE, &r, err));
		url = STR_NONE;
		(void)json_as_str(json_get(json_at(json_get(r.json, "challenges"), 0), "url"), &url);
		c->challenge[i] = str_dup(&c->w.mem, url);
		world_reply_done(&r);
	}
	return OK;
}

static fallible proof_steps(struct counting *c, struct err *err)
{
	TRY(authz_urls(c, err));
	for (size_t i = 0; i < ROUNDS; i++)
		TRY(prepare(c, i, c->authz[i], STR_NONE, err));
	TRY(send_all(c, "authorization-read", 200, NULL, NULL, err));
	for (size_t i = 0; i < ROUNDS; i++)
		TRY(prepare(c, i, c->challenge[i], STR("{}"), err));
	TRY(send_all(c, "challenge", 200, NULL, NULL, err));
	TRY(deliver_round(c, "probe", err));
	return deliver_round(c, "verdict", err);
}

static fallible certificate_steps(struct counting *c, const char *prefix, struct err *err)
{
	for (size_t i = 0; i < ROUNDS; i++) {
		struct str csr;
		TRY(world_csr(&c->w, c->cert_key, str_fmt(&c->w.mem, "%s%zu.a.test", prefix, i), &csr, err));
		TRY(prepare(c, i, str_fmt(&c->w.mem, "%.*s/finalize", STR_FMT(c->order[i])), csr, err));
	}
	TRY(send_all(c, "finalize", 200, NULL, NULL, err));
	TRY(deliver_round(c, "sign", err));
	TRY(deliver_round(c, "certificate-store", err));
	for (size_t i = 0; i < ROUNDS; i++)
		TRY(prepare(c, i, c->order[i], STR_NONE, err));
	TRY(send_all(c, "order-read-valid", 200, "certificate", c->certificate, err));
	for (size_t i = 0; i < ROUNDS; i++)
		TRY(prepare(c, i, c->certificate[i], STR_NONE, err));
	return send_all(c, "certificate-read", 200, NULL, NULL, err);
}

static fallible all_steps(struct counting *c, const char *prefix, bool counts, struct err *err)
{
	c->counts = counts;
	TRY(account_steps(c, err));
	TRY(order_steps(c, prefix, err));
	TRY(proof_steps(c, err));
	return certificate_steps(c, prefix, err);
}

static fallible run(struct counting *c, struct err *err)
{
	TRY(world_open(&c->w, NULL, err));
	TRY(world_account_new(&c->w, &c->account, err));
	TRY(key_generate(KEY_P256, 0, &c->cert_key, err));
	TRY(all_steps(c, "warm", false, err));
	return all_steps(c, "count", true, err);
}

int main(void)
{
	static struct counting c;
	struct err err = { 0 };
	struct rc rc = run(&c, &err);
	if (FAILED(rc))
		(void)fprintf(stderr, "counts: %s\n", err.detail);
	key_free(c.cert_key);
	key_free(c.account.key);
	world_close(&c.w);
	return FAILED(rc) ? 1 : 0;
}

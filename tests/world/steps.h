/* SPDX-License-Identifier: Apache-2.0
 *
 * steps.h: a client's usual steps for tests with orders of any shape; each must succeed. Text lives in the world.
 */
#ifndef CAIRN_TESTS_WORLD_STEPS_H
#define CAIRN_TESTS_WORLD_STEPS_H

#include "expect.h"

static inline struct world_reply step_post(struct world *w, const struct world_account *a, struct str url,
					   struct str payload)
{
	struct err err = { 0 };
	struct world_reply r;
	MUST(world_post(w, a, url, payload, &r, &err));
	return r;
}

static inline struct str step_text(struct world *w, const struct json *o, const char *key)
{
	struct err err = { 0 };
	struct str text;
	MUST(json_want_str(o, key, 4096, &text, &err));
	return str_dup(&w->mem, text);
}

/* newOrder or newAuthz: the URL of what was made. */
static inline struct str step_make(struct world *w, const struct world_account *a, struct str at, struct str payload)
{
	struct world_reply r = step_post(w, a, at, payload);
	struct str url = world_header(&r, "Location");
	expect_status(str_dupz_raw(&w->mem, payload), &r, 201);
	return url;
}

static inline struct str step_status(struct world *w, const struct world_account *a, struct str url)
{
	struct world_reply r = step_post(w, a, url, STR_NONE);
	struct str status = step_text(w, r.json, "status");
	world_reply_done(&r);
	return status;
}

#define STATUS_IS(w, a, url, wanted) assert_true(str_eq(step_status((w), (a), (url)), STR(wanted)))

static inline size_t step_authzs(struct world *w, const struct world_account *a, struct str order,
				 struct str urls[IDENTS_MAX])
{
	struct world_reply r = step_post(w, a, order, STR_NONE);
	const struct json *list = json_get(r.json, "authorizations");
	size_t count = json_count(list);
	for (size_t i = 0; i < count; i++) {
		assert_true(json_as_str(json_at(list, i), &urls[i]));
		urls[i] = str_dup(&w->mem, urls[i]);
	}
	world_reply_done(&r);
	return count;
}

/* Answers the challenge of this type, or the first one (NULL). */
static inline void step_answer(struct world *w, const struct world_account *a, struct str authz, const char *type)
{
	struct world_reply r = step_post(w, a, authz, STR_NONE);
	const struct json *list = json_get(r.json, "challenges");
	struct str url = STR_NONE;
	for (size_t i = 0; i < json_count(list) && url.n == 0; i++)
		if (type == NULL || str_eq(step_text(w, json_at(list, i), "type"), str_z(type)))
			url = step_text(w, json_at(list, i), "url");
	world_reply_done(&r);
	assert_true(url.n > 0);
	r = step_post(w, a, url, STR("{}"));
	expect_status("challenge", &r, 200);
}

/* All of an order's authorizations, for the first challenge of each, and what comes of it. */
static inline void step_prove(struct world *w, const struct world_account *a, struct str order)
{
	struct err err = { 0 };
	struct str urls[IDENTS_MAX];
	size_t count = step_authzs(w, a, order, urls);
	for (size_t i = 0; i < count; i++)
		step_answer(w, a, urls[i], NULL);
	MUST(world_run(w, &err));
}

/* The payload of a finalize; NULL ends a list. */
static inline struct str step_csr(struct world *w, const struct key *k, const char *const *names,
				  const char *const *addrs)
{
	struct err err = { 0 };
	AUTO(buf_done) struct buf der = BUF_MAX(CSR_DER_MAX);
	struct str n[8];
	struct addr a[8];
	size_t name_count = 0, addr_count = 0;
	for (; names[name_count] != NULL; name_count++)
		n[name_count] = str_z(names[name_count]);
	for (; addrs[addr_count] != NULL; addr_count++)
		MUST(addr_read(str_z(addrs[addr_count]), &a[addr_count], &err));
	MUST(csr_make_for(w->crypto, k, n, name_count, a, addr_count, &der, &err));
	struct str text = b64url_encode(&w->mem, buf_str(&der));
	return str_fmt(&w->mem, "{\"csr\":\"%.*s\"}", (int)text.n, text.p);
}

static inline struct world_reply step_finalize(struct world *w, const struct world_account *a, struct str order,
					       struct str csr)
{
	return step_post(w, a, str_fmt(&w->mem, "%.*s/finalize", STR_FMT(order)), csr);
}

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * client.c: the world's client: signs and sends one request at a time, straight into acme_handle.
 */
#include "world.h"

#include <errno.h>
#include <semaphore.h>

void world_reply_done(struct world_reply *r)
{
	json_free(r->json);
	r->json = NULL;
}

struct str world_path(struct str url)
{
	struct str path = url;
	return str_skip(&path, STR(WORLD_BASE)) ? path : STR("/not-of-this-world");
}

struct str world_header(const struct world_reply *r, const char *name)
{
	struct str want = str_z(name);
	struct cur c = cur_of(r->headers);
	struct str line;
	while (!FAILED(cur_until(&c, '\n', &line, NULL))) {
		size_t colon = str_find(line, ':', 0);
		if (!str_eq_nocase(str_sub(line, 0, colon), want))
			continue;
		struct str value = str_trim(str_sub(line, colon + 1, line.n));
		return value.n > 0 && value.p[value.n - 1] == '\r' ? str_sub(value, 0, value.n - 1) : value;
	}
	return STR_NONE;
}

/* In place of the server: a parked request has its sender wait, and go on by itself. */
struct sender {
	struct http_parking parking; /* first: ops get it */
	struct world *w;
	sem_t resumed;
};

static bool sender_admit(struct http_parking *p)
{
	struct world *w = ((struct sender *)(void *)p)->w;
	atomic_store(&w->last_parked, p);
	atomic_fetch_add(&w->parked, 1);
	return true;
}

static void sender_resume(struct http_parking *p)
{
	(void)sem_post(&((struct sender *)(void *)p)->resumed);
}

static const struct http_parking_ops sender_ops = { .admit = sender_admit, .resume = sender_resume };

static void handle(struct world *w, const struct http_request *rq, struct http_reply *re)
{
	struct sender *s = (struct sender *)(void *)rq->parking;
	acme_handle(w->acme, rq, re);
	if (s->parking.go_on == NULL)
		return;
	const struct timespec until = mono_after_ms(w->waits_ms > 0 ? w->waits_ms : s->parking.wait_ms);
	bool left = http_parking_leave(&s->parking), resumed = false;
	for (int rc = 0; left && !resumed && rc == 0;) {
		rc = sem_clockwait(&s->resumed, CLOCK_MONOTONIC, &until);
		resumed = rc == 0;
		if (rc != 0 && errno == EINTR)
			rc = 0;
	}
	if (left && !resumed) { /* the deadline, or the call that comes in the same moment: it posts in any case */
		http_parking_end(&s->parking);
		while (sem_wait(&s->resumed) != 0)
			;
		if (s->w->waits_take_time)
			s->w->now_ms += s->parking.wait_ms;
	}
	http_parking_go_on(&s->parking, re);
}

fallible world_send_on(struct world *w, struct arena *reply_mem, enum http_method method, struct str path,
		       struct str content_type, struct str body, struct world_reply *ret, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	size_t q = str_find(path, '?', 0);
	struct http_request rq = { .method = method,
				   .method_text = str_z(http_method_name(method)),
				   .target = path,
				   .path = str_sub(path, 0, q),
				   .query = q < path.n ? str_sub(path, q + 1, path.n) : STR_NONE,
				   .host = STR("ca.test"),
				   .content_type = content_type,
				   .body = body,
				   .mem = &mem };
	struct http_reply re = { .headers = BUF_MAX(HTTP_REPLY_HEADERS_MAX), .body = BUF_MAX(1 << 20) };
	struct sender sender = { .w = w };
	TRY(addr_read(STR("192.0.2.99"), &rq.peer, err));
	http_parking_begin(&sender.parking, &sender_ops);
	(void)sem_init(&sender.resumed, 0, 0);
	rq.parking = &sender.parking;
	if (!acme_quick(w->acme, &rq, &re))
		handle(w, &rq, &re);
	sem_destroy(&sender.resumed);
	*ret = (struct world_reply){ .status = re.status,
				     .content_type = re.content_type,
				     .body = str_dup(reply_mem, buf_str(&re.body)),
				     .headers = str_dup(reply_mem, buf_str(&re.headers)) };
	bool is_json = re.content_type != NULL && strstr(re.content_type, "json") != NULL;
	http_reply_done(&re);
	return is_json && ret->body.n > 0 ? json_read(ret->body, 1 << 20, &ret->json, err) : OK;
}

fallible world_send(struct world *w, enum http_method method, struct str path, struct str content_type, struct str body,
		    struct world_reply *ret, struct err *err)
{
	return world_send_on(w, &w->mem, method, path, content_type, body, ret, err);
}

fallible world_nonce(struct world *w, struct str *ret, struct err *err)
{
	struct world_reply r;
	TRY(world_send(w, HTTP_HEAD, STR("/new-nonce"), STR_NONE, STR_NONE, &r, err));
	*ret = world_header(&r, "Replay-Nonce");
	if (ret->n == 0)
		FAIL(err, ERR_MALFORMED, "new-nonce gave no Replay-Nonce");
	return OK;
}

fallible world_sign(struct world *w, const struct world_account *a, struct str url, struct str payload, struct str *ret,
		    struct err *err)
{
	AUTO(buf_done) struct buf body = BUF_MAX(1 << 20);
	struct str nonce;
	TRY(world_nonce(w, &nonce, err));
	TRY(jws_sign_acme(w->crypto, a->key, a->url, nonce, url, payload, &body, err));
	*ret = str_dup(&w->mem, buf_str(&body));
	return OK;
}

fallible world_post(struct world *w, const struct world_account *a, struct str url, struct str payload,
		    struct world_reply *ret, struct err *err)
{
	struct str body;
	TRY(world_sign(w, a, url, payload, &body, err));
	return world_send(w, HTTP_POST, world_path(url), STR("application/jose+json"), body, ret, err);
}

fallible world_account_new(struct world *w, struct world_account *a, struct err *err)
{
	struct world_reply r = { 0 };
	if (a->key == NULL)
		TRY(key_generate(KEY_P256, 0, &a->key, err));
	TRY(jwk_thumbprint(w->crypto, a->key, &a->thumbprint, err));
	a->url = STR_NONE;
	TRY(world_post(w, a, STR(WORLD_BASE "/new-account"), STR("{\"termsOfServiceAgreed\":true}"), &r, err));
	a->url = world_header(&r, "Location");
	world_reply_done(&r);
	if (r.status != 201 && r.status != 200)
		FAIL(err, ERR_UNAUTHORIZED, "newAccount answered %d: %.*s", r.status, STR_FMT(r.body));
	return OK;
}

static fallible post_fine(struct world *w, const struct world_account *a, struct str url, struct str payload,
			  struct world_reply *ret, struct err *err)
{
	TRY(world_post(w, a, url, payload, ret, err));
	if (ret->status >= 200 && ret->status < 300)
		return OK;
	world_reply_done(ret);
	FAIL(err, ERR_CONFLICT, "%.*s answered %d: %.*s", STR_FMT(url), ret->status, STR_FMT(ret->body));
}

static fallible post_member(struct world *w, const struct world_account *a, struct str url, const char *list,
			    const char *key, struct str *ret, struct err *err)
{
	struct world_reply r;
	struct str text;
	TRY(post_fine(w, a, url, STR_NONE, &r, err));
	const struct json *first = list == NULL ? r.json : json_at(json_get(r.json, list), 0);
	bool found = json_as_str(key == NULL ? first : json_get(first, key), &text);
	if (found)
		*ret = str_dup(&w->mem, text);
	world_reply_done(&r);
	if (!found)
		FAIL(err, ERR_MALFORMED, "%.*s has no %s %s", STR_FMT(url), list == NULL ? "" : list,
		     key == NULL ? "" : key);
	return OK;
}

fallible world_order_new(struct world *w, const struct world_account *a, struct str name, struct str *ret,
			 struct err *err)
{
	struct world_reply r;
	TRY(post_fine(w, a, STR(WORLD_BASE "/new-order"),
		      str_fmt(&w->mem, "{\"identifiers\":[{\"type\":\"dns\",\"value\":\"%.*s\"}]}", STR_FMT(name)), &r,
		      err));
	*ret = world_header(&r, "Location");
	world_reply_done(&r);
	return OK;
}

fallible world_challenge_answer(struct world *w, const struct world_account *a, struct str order, struct err *err)
{
	struct world_reply r;
	struct str authz, challenge;
	TRY(post_member(w, a, order, "authorizations", NULL, &authz, err));
	TRY(post_member(w, a, authz, "challenges", "url", &challenge, err));
	TRY(post_fine(w, a, challenge, STR("{}"), &r, err));
	world_reply_done(&r);
	return OK;
}

fallible world_order_prove(struct world *w, const struct world_account *a, struct str order, struct err *err)
{
	TRY(world_challenge_answer(w, a, order, err));
	return world_run(w, err);
}

fallible world_order_status(struct world *w, const struct world_account *a, struct str order, struct str *ret,
			    struct err *err)
{
	return post_member(w, a, order, NULL, "status", ret, err);
}

fallible world_csr(struct world *w, const struct key *k, struct str name, struct str *ret_payload, struct err *err)
{
	AUTO(buf_done) struct buf der = BUF_MAX(CSR_DER_MAX);
	TRY(csr_make(w->crypto, k, &name, 1, &der, err));
	struct str text = b64url_encode(&w->mem, buf_str(&der));
	*ret_payload = str_fmt(&w->mem, "{\"csr\":\"%.*s\"}", (int)text.n, text.p);
	return OK;
}

fallible world_issue(struct world *w, const struct world_account *a, const struct key *k, struct str name,
		     struct str *ret_der, struct err *err)
{
	AUTO(cert_auto) struct cert *leaf = NULL;
	struct cert *chain[8] = { NULL };
	struct world_reply r;
	struct str order, status, csr, certificate;
	size_t count = 0;
	world_site(w, name)->thumbprint = str_dup(&w->mem, str_z(a->thumbprint.z));
	TRY(world_order_new(w, a, name, &order, err));
	TRY(world_order_status(w, a, order, &status, err));
	if (str_eq(status, STR("pending")))
		TRY(world_order_prove(w, a, order, err));
	TRY(world_csr(w, k, name, &csr, err));
	TRY(post_fine(w, a, str_fmt(&w->mem, "%.*s/finalize", STR_FMT(order)), csr, &r, err));
	world_reply_done(&r);
	TRY(world_run(w, err));
	TRY(post_member(w, a, order, NULL, "certificate", &certificate, err));
	TRY(post_fine(w, a, certificate, STR_NONE, &r, err));
	struct rc rc = cert_read_pem(r.body, chain, ARRAY_LEN(chain), &count, err);
	world_reply_done(&r);
	TRY(rc);
	leaf = chain[0];
	*ret_der = str_dup(&w->mem, cert_get_der(leaf));
	for (size_t i = 1; i < count; i++)
		cert_free(chain[i]);
	return OK;
}

static fallible eab_add_tx(struct store_tx *tx, void *ctx, struct err *err)
{
	return eab_insert(tx, ctx, err);
}

fallible world_eab_add(struct world *w, const struct eab_row *row, struct str secret, struct err *err)
{
	AUTO(buf_done) struct buf sealed = BUF_MAX(4096);
	struct eab_row e = *row;
	TRY(seal(w->crypto, &w->seal_key, &rng_system, row->kid, secret, &sealed, err));
	e.secret = buf_str(&sealed);
	e.created_at = w->now_ms;
	return store_tx(w->store, eab_add_tx, &e, err);
}

fallible world_persist_uri(struct world *w, const struct world_account *a, struct str domain, struct str *ret,
			   struct err *err)
{
	struct sha256 digest;
	struct str in =
		str_fmt(&w->mem, "%c%.*s%s%.*s", (int)domain.n, STR_FMT(domain), a->thumbprint.z, STR_FMT(a->url));
	TRY(digest_sha256(w->crypto, in, &digest, err));
	struct str hash = b64url_encode(&w->mem, str_n(digest.b, sizeof digest.b));
	*ret = str_fmt(&w->mem, WORLD_BASE "/account-hash/sha-256/%.*s", STR_FMT(hash));
	return OK;
}

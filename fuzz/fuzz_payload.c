/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_payload.c: the payload of every request of the protocol. The first byte finds the route, in the server's own
 * table, so that a new one is fuzzed without a word here; the second says which of the account's things it goes to and
 * who signs it; the rest is the payload, signed with a fresh nonce, or, where the route is a GET, the last segment of
 * its path, or, after a "?", the query. What it puts on the bus is delivered.
 */
#include "stage.h"

struct request {
	const struct route *route;
	unsigned which; /* of the account's things, and of the signers */
	struct str text;
};

/* Each route has a place on a ring of 256; the byte finds the next one, so that a route that comes or goes leaves most
 * of the corpus with what it was about. */
static uint8_t place_of(const struct route *r)
{
	uint8_t place = (uint8_t)(r->method * 101);
	for (const char *p = r->path; *p != '\0'; p++)
		place = (uint8_t)(place * 31 + (uint8_t)*p);
	return place;
}

static const struct route *route_at(uint8_t byte)
{
	size_t count, best = 0;
	const struct route *table = routes(&count);
	for (size_t i = 1; i < count; i++)
		if ((uint8_t)(place_of(&table[i]) - byte) < (uint8_t)(place_of(&table[best]) - byte))
			best = i;
	return &table[best];
}

static struct str id_of(struct str url)
{
	return str_sub(url, url.n - ID_TEXT_LEN, url.n);
}

/* The thing that stands for the first star of a path. */
static struct str thing_for(const struct stage *s, struct str path, unsigned which)
{
	const struct {
		struct str prefix;
		struct str urls[STAGE_THINGS];
	} things[] = {
		{ STR("/account/"), { s->alice.url, s->alice.url, s->alice.url, s->bob.url } },
		{ STR("/order/"), { s->orders[0], s->orders[1], s->orders[2], s->orders[3] } },
		{ STR("/authz/"), { s->authz, s->authz, s->bob_authz, s->certificate } },
		{ STR("/challenge/"), { s->challenge, s->challenge, s->bob_challenge, s->authz } },
		{ STR("/certificate/"), { s->certificate, s->certificate, s->certificate, s->authz } },
	};
	for (size_t i = 0; i < ARRAY_LEN(things); i++)
		if (str_starts(path, things[i].prefix))
			return id_of(things[i].urls[which % STAGE_THINGS]);
	return STR("0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b");
}

/* What http lets through into a path or query. */
static bool is_target_text(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= 0x20 || s.p[i] >= 0x7f || s.p[i] == '/' || s.p[i] == '#' || (i > 0 && s.p[i] == '?'))
			return false;
	return true;
}

static struct str url_for(const struct stage *s, const struct request *rq, struct arena *mem)
{
	AUTO(buf_done) struct buf url = BUF_MAX(65536);
	struct str path = str_z(rq->route->path);
	unsigned stars = 0;
	CHECK(!FAILED(buf_add(&url, STR(WORLD_BASE), NULL)));
	for (size_t i = 0; i < path.n; i++) {
		struct str piece = str_sub(path, i, i + 1);
		if (path.p[i] == '*' && rq->route->has_id)
			piece = stars++ == 0 ? thing_for(s, path, rq->which) : STR("1");
		else if (path.p[i] == '*')
			piece = rq->text;
		CHECK(!FAILED(buf_add(&url, piece, NULL)));
	}
	if (rq->text.n > 0 && rq->text.p[0] == '?')
		CHECK(!FAILED(buf_add(&url, rq->text, NULL)));
	return str_dup(mem, buf_str(&url));
}

/* A new account is made by the spare key, or asked for by the old one; a certificate may be revoked by its own. */
static struct world_reply post(struct stage *s, const struct request *rq, struct str url, struct arena *mem)
{
	bool query = rq->text.n > 0 && rq->text.p[0] == '?';
	struct str payload = query ? STR_NONE : rq->text;
	bool odd = (rq->which / STAGE_THINGS) % 4 == 1;
	if (rq->route->auth == AUTH_JWK)
		return stage_post(s, mem, odd ? s->alice.key : s->spare, STR_NONE, url, payload);
	if (rq->route->auth == AUTH_EITHER && rq->which % 2 == 1)
		return stage_post(s, mem, odd ? s->spare : s->cert_key, STR_NONE, url, payload);
	const struct world_account *who = odd ? &s->bob : &s->alice;
	return stage_post(s, mem, who->key, who->url, url, payload);
}

static struct world_reply get(struct stage *s, struct str url, struct arena *mem)
{
	struct world_reply r;
	CHECK(!FAILED(world_send_on(&s->w, mem, HTTP_GET, world_path(url), STR_NONE, STR_NONE, &r, NULL)));
	return r;
}

/* New orders and authorizations only add; all else that has a payload leaves other things than it found. */
static bool changes(const struct route *r)
{
	return r->payload != PAYLOAD_EMPTY && r->handle != post_new_order && r->handle != post_new_authz;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(arena_done) struct arena mem = { 0 };
	if (size < 2)
		return 0;
	struct stage *s = stage_get();
	struct request rq = { .route = route_at(data[0]), .which = data[1] };
	rq.text = stage_expand(s, &mem, str_n(data + 2, size - 2));
	bool is_get = rq.route->method == HTTP_GET, query = rq.text.n > 0 && rq.text.p[0] == '?';
	if ((is_get || query) && (rq.text.n > 4096 || !is_target_text(rq.text)))
		return 0;
	struct str url = url_for(s, &rq, &mem);
	struct world_reply r = is_get ? get(s, url, &mem) : post(s, &rq, url, &mem);
	stage_check_reply(&r, !is_get);
	s->spoiled = !is_get && r.status < 300 && changes(rq.route);
	world_reply_done(&r);
	stage_settle(s);
	return 0;
}

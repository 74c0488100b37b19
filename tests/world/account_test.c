/* SPDX-License-Identifier: Apache-2.0
 *
 * account_test.c: what becomes of accounts: key changes (RFC 8555 7.3.5), external account bindings (7.3.4), terms that
 * change (7.3.3), updates (7.3.2): every refusal with its status, type and words, and what several at once come to.
 */
#include "fixture.h"
#include "steps.h"

#include <openssl/evp.h>
#include <stdlib.h>

#define KEY_CHANGE STR(WORLD_BASE "/key-change")
#define NEW_ACCOUNT STR(WORLD_BASE "/new-account")
#define NEW_ORDER STR(WORLD_BASE "/new-order")
#define ONE_NAME STR("{\"identifiers\":[{\"type\":\"dns\",\"value\":\"www.a.test\"}]}")
#define ROUNDS 10
#define REALM(more)                                                                                                   \
	"realm:\n  default:\n    names: [\"*.a.test\"]\n    accounts-per-hour: 0\n" more                              \
	"  bound:\n    names: [\"*.a.test\"]\n    addresses: [\"192.0.2.0/24\"]\n    challenges: [http-01, dns-01]\n" \
	"    profiles: [server, short]\n    eab: required\n    accounts-per-hour: 0\n"                                \
	"  offered:\n    names: [\"*.a.test\"]\n    eab: optional\n    accounts-per-hour: 0\n"                        \
	"profile:\n  server: {}\n  short:\n    lifetime: 6d\n"

struct fixture {
	FIXTURE;
	struct key *fresh;   /* a key that no account has */
	struct key *blocked; /* and one that nobody may have */
};

static struct str b64(struct fixture *f, struct str s)
{
	return b64url_encode(&f->w.mem, s);
}

static struct key *key_new(void)
{
	struct err err = { 0 };
	struct key *k = NULL;
	MUST(key_generate(KEY_P256, 0, &k, &err));
	return k;
}

static struct str jwk_of(struct fixture *f, const struct key *k)
{
	struct err err = { 0 };
	AUTO(buf_done) struct buf b = BUF_MAX(8192);
	MUST(jwk_write(k, &b, &err));
	return str_dup(&f->w.mem, buf_str(&b));
}

static struct world_reply post(struct fixture *f, const struct world_account *a, struct str url, struct str payload)
{
	struct err err = { 0 };
	struct world_reply r;
	MUST(world_post(&f->w, a, url, payload, &r, &err));
	return r;
}

static struct world_reply send_signed(struct fixture *f, struct str url, struct str body)
{
	struct err err = { 0 };
	struct world_reply r;
	MUST(world_send(&f->w, HTTP_POST, world_path(url), STR("application/jose+json"), body, &r, &err));
	return r;
}

static void assert_good(struct fixture *f, const struct world_account *a)
{
	struct world_reply r = post(f, a, a->url, STR_NONE);
	expect_status("the account with its key", &r, 200);
}

/* --- key change ---------------------------------------------------------------------------------------------------*/

/* The inner JWS, each part of which a row may spoil; p == NULL leaves a member out. */
struct inner {
	const struct key *signer;
	struct str alg, jwk, kid, nonce, url; /* of its protected header */
	struct str account, old_key;          /* of its payload: a string, and JSON */
	struct str payload;                   /* p != NULL: instead of the two */
	struct str whole;                     /* p != NULL: instead of everything */
};

static struct inner inner_good(struct fixture *f, const struct world_account *a, const struct key *fresh)
{
	return (struct inner){ .signer = fresh,
			       .alg = str_z(sig_alg_name(key_sig_alg(fresh))),
			       .jwk = jwk_of(f, fresh),
			       .url = KEY_CHANGE,
			       .account = a->url,
			       .old_key = jwk_of(f, a->key) };
}

static void write_may(struct jw *w, const char *key, struct str text)
{
	if (text.p != NULL)
		jw_kstr(w, key, text);
}

static void write_may_raw(struct jw *w, const char *key, struct str json)
{
	if (json.p == NULL)
		return;
	jw_key(w, key);
	jw_raw(w, json);
}

static struct str inner_header(struct fixture *f, const struct inner *i)
{
	struct err err = { 0 };
	AUTO(buf_done) struct buf b = BUF_MAX(16384);
	struct jw w = jw_begin(&b, &err);
	jw_object(&w);
	write_may(&w, "alg", i->alg);
	write_may_raw(&w, "jwk", i->jwk);
	write_may(&w, "kid", i->kid);
	write_may(&w, "nonce", i->nonce);
	write_may(&w, "url", i->url);
	jw_object_end(&w);
	MUST(jw_end(&w));
	return b64(f, buf_str(&b));
}

static struct str inner_payload(struct fixture *f, const struct inner *i)
{
	struct err err = { 0 };
	AUTO(buf_done) struct buf b = BUF_MAX(16384);
	if (i->payload.p != NULL)
		return b64(f, i->payload);
	struct jw w = jw_begin(&b, &err);
	jw_object(&w);
	write_may(&w, "account", i->account);
	write_may_raw(&w, "oldKey", i->old_key);
	jw_object_end(&w);
	MUST(jw_end(&w));
	return b64(f, buf_str(&b));
}

static struct str inner_sealed(struct fixture *f, const struct inner *i)
{
	struct err err = { 0 };
	struct arena *mem = &f->w.mem;
	struct str signature;
	if (i->whole.p != NULL)
		return i->whole;
	struct str header = inner_header(f, i), payload = inner_payload(f, i);
	struct str in = str_fmt(mem, "%.*s.%.*s", STR_FMT(header), STR_FMT(payload));
	MUST(sig_sign(f->w.crypto, i->signer, in, mem, &signature, &err));
	return str_fmt(mem, "{\"protected\":\"%.*s\",\"payload\":\"%.*s\",\"signature\":\"%.*s\"}", STR_FMT(header),
		       STR_FMT(payload), STR_FMT(b64(f, signature)));
}

static struct world_reply change_key(struct fixture *f, const struct world_account *a, const struct key *fresh)
{
	struct inner i = inner_good(f, a, fresh);
	return post(f, a, KEY_CHANGE, inner_sealed(f, &i));
}

static void inner_no_json(struct fixture *f, struct inner *i)
{
	(void)f;
	i->whole = STR("no json");
}
static void inner_no_jws(struct fixture *f, struct inner *i)
{
	(void)f;
	i->whole = STR("{\"protected\":\"e30\"}");
}
static void inner_two_signatures(struct fixture *f, struct inner *i)
{
	(void)f;
	i->whole = STR("{\"protected\":\"e30\",\"payload\":\"\",\"signatures\":[]}");
}
static void inner_with_kid(struct fixture *f, struct inner *i)
{
	i->jwk = STR_NONE;
	i->kid = f->alice.url;
}
static void inner_with_nonce(struct fixture *f, struct inner *i)
{
	struct err err = { 0 };
	MUST(world_nonce(&f->w, &i->nonce, &err));
}
static void inner_without_url(struct fixture *f, struct inner *i)
{
	(void)f;
	i->url = STR_NONE;
}
static void inner_for_another_url(struct fixture *f, struct inner *i)
{
	(void)f;
	i->url = NEW_ACCOUNT;
}
static void inner_by_the_old_key(struct fixture *f, struct inner *i)
{
	i->signer = f->alice.key;
}
static void inner_with_a_mac(struct fixture *f, struct inner *i)
{
	(void)f;
	i->alg = STR("HS256");
}
static void inner_with_another_alg(struct fixture *f, struct inner *i)
{
	(void)f;
	i->alg = STR("RS256");
}
static void inner_empty_payload(struct fixture *f, struct inner *i)
{
	(void)f;
	i->payload = STR("");
}
static void inner_payload_no_json(struct fixture *f, struct inner *i)
{
	(void)f;
	i->payload = STR("account=me");
}
static void inner_without_account(struct fixture *f, struct inner *i)
{
	(void)f;
	i->account = STR_NONE;
}
static void inner_for_another_account(struct fixture *f, struct inner *i)
{
	i->account = f->bob.url;
}
static void inner_without_old_key(struct fixture *f, struct inner *i)
{
	(void)f;
	i->old_key = STR_NONE;
}
static void inner_old_key_no_object(struct fixture *f, struct inner *i)
{
	(void)f;
	i->old_key = STR("\"my key\"");
}
static void inner_old_key_no_jwk(struct fixture *f, struct inner *i)
{
	(void)f;
	i->old_key = STR("{\"kty\":\"oct\",\"k\":\"AAAA\"}");
}
static void inner_old_key_of_another(struct fixture *f, struct inner *i)
{
	i->old_key = jwk_of(f, f->bob.key);
}
static void inner_new_key_of_another(struct fixture *f, struct inner *i)
{
	*i = inner_good(f, &f->alice, f->bob.key);
}
static void inner_new_key_is_the_old_one(struct fixture *f, struct inner *i)
{
	*i = inner_good(f, &f->alice, f->alice.key);
}
static void inner_new_key_blocked(struct fixture *f, struct inner *i)
{
	*i = inner_good(f, &f->alice, f->blocked);
}
static void inner_new_key_with_private_part(struct fixture *f, struct inner *i)
{
	(void)f;
	i->jwk = str_fmt(&f->w.mem, "{\"d\":\"AAAA\",%.*s", (int)i->jwk.n - 1, i->jwk.p + 1);
}
static void inner_new_key_of_odd_size(struct fixture *f, struct inner *i)
{
	struct err err = { 0 };
	AUTO(key_auto) struct key *k = NULL;
	EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2304); /* key_generate makes no such key */
	assert_non_null(pkey);
	struct rc rc = key_from_evp(pkey, &k, &err);
	EVP_PKEY_free(pkey);
	MUST(rc);
	*i = inner_good(f, &f->alice, k);
	i->whole = inner_sealed(f, i);
}

static const struct change_row {
	const char *name;
	void (*spoil)(struct fixture *f, struct inner *i);
	int status;
	const char *type, *words;
} change_rows[] = {
	{ "no JSON", inner_no_json, 400, "malformed", "payload: " },
	{ "no JWS", inner_no_jws, 400, "malformed", "the inner JWS: \"payload\" is missing" },
	{ "general form", inner_two_signatures, 400, "malformed", "the inner JWS: JWS with \"signatures\"" },
	{ "kid", inner_with_kid, 400, "malformed", "the inner JWS has \"kid\"; it wants \"jwk\"" },
	{ "nonce", inner_with_nonce, 400, "malformed", "the inner JWS has a nonce" },
	{ "no url", inner_without_url, 400, "malformed", "the inner JWS has no url" },
	{ "another url", inner_for_another_url, 400, "malformed",
	  "the inner JWS's url is \"https://ca.test/new-account\"; the outer one's is https://ca.test/key-change" },
	{ "signed by another key", inner_by_the_old_key, 400, "malformed",
	  "the inner JWS's signature does not verify with its jwk" },
	{ "alg HS256", inner_with_a_mac, 400, "badSignatureAlgorithm", "the inner JWS: " },
	{ "alg of another key", inner_with_another_alg, 400, "badSignatureAlgorithm", "the inner JWS: " },
	{ "empty payload", inner_empty_payload, 400, "malformed", "the inner JWS's payload is empty" },
	{ "payload no JSON", inner_payload_no_json, 400, "malformed", "the inner JWS's payload: " },
	{ "no account", inner_without_account, 400, "malformed", "\"account\" is missing" },
	{ "another account", inner_for_another_account, 400, "malformed", "the outer one's kid is" },
	{ "no oldKey", inner_without_old_key, 400, "malformed", "\"oldKey\" is missing" },
	{ "oldKey a string", inner_old_key_no_object, 400, "malformed", "\"oldKey\" is a string" },
	{ "oldKey no public key", inner_old_key_no_jwk, 400, "badPublicKey", "oldKey: " },
	{ "oldKey another's", inner_old_key_of_another, 400, "malformed",
	  "oldKey is not the key that the account has" },
	{ "new key another's", inner_new_key_of_another, 409, "malformed", "the key of another account already" },
	{ "new key the old one", inner_new_key_is_the_old_one, 409, "malformed", "the key of this account already" },
	{ "new key compromised", inner_new_key_blocked, 400, "badPublicKey", "known to be compromised" },
	{ "new key with private part", inner_new_key_with_private_part, 400, "badPublicKey", "private" },
	{ "new key of odd size", inner_new_key_of_odd_size, 400, "badPublicKey", "2304" },
};

/* RFC 8555 7.3.5: each of the server's checks. */
static void each_wrong_key_change_gets_its_own_refusal(void **state)
{
	struct fixture *f = *state;
	for (size_t i = 0; i < ARRAY_LEN(change_rows); i++) {
		const struct change_row *row = &change_rows[i];
		struct inner inner = inner_good(f, &f->alice, f->fresh);
		row->spoil(f, &inner);
		struct world_reply r = post(f, &f->alice, KEY_CHANGE, inner_sealed(f, &inner));
		expect_problem(row->name, &r, row->status, row->type, row->words);
		assert_good(f, &f->alice);
	}
}

/* RFC 8555 7.3.5: 409, and whose key it is in Location. */
static void a_key_in_use_names_the_account_that_has_it(void **state)
{
	struct fixture *f = *state;
	struct world_reply r = change_key(f, &f->alice, f->bob.key);
	assert_true(str_eq(world_header(&r, "Location"), f->bob.url));
	expect_status("bob's key", &r, 409);
}

static void a_key_change_is_for_accounts_not_for_embedded_keys(void **state)
{
	struct fixture *f = *state;
	struct inner i = inner_good(f, &f->alice, f->fresh);
	struct world_account no_kid = { .key = f->alice.key };
	struct world_reply r = post(f, &no_kid, KEY_CHANGE, inner_sealed(f, &i));
	expect_problem("jwk outside", &r, 400, "malformed", "this resource wants \"kid\"");
}

struct carol {
	struct world_account old, now; /* one account under its two keys */
};

static struct carol carol_new(struct fixture *f)
{
	struct err err = { 0 };
	struct carol c = { .old = { .key = NULL } };
	MUST(world_account_new(&f->w, &c.old, &err));
	c.now = c.old;
	c.now.key = key_new();
	MUST(jwk_thumbprint(f->w.crypto, c.now.key, &c.now.thumbprint, &err));
	return c;
}

static void carol_done(struct carol *c)
{
	key_free(c->old.key);
	key_free(c->now.key);
}

static void after_a_key_change_the_new_key_opens_and_the_old_one_does_not(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	struct carol c = carol_new(f);
	struct world_reply r = change_key(f, &c.old, c.now.key);
	assert_true(str_eq(world_header(&r, "Location"), c.old.url));
	assert_true(reply_says(&r, "\"status\":\"valid\""));
	expect_status("the change", &r, 200);
	r = post(f, &c.old, c.old.url, STR_NONE);
	expect_problem("the old key", &r, 400, "malformed", "after a key change only the new key signs");
	assert_good(f, &c.now);
	/* The key of before is free: it is nobody's, and may get an account of its own. */
	struct world_account lookup = { .key = c.old.key };
	r = post(f, &lookup, NEW_ACCOUNT, STR("{\"onlyReturnExisting\":true}"));
	expect_problem("the old key's account", &r, 400, "accountDoesNotExist", "no account has this key");
	lookup.key = c.now.key;
	r = post(f, &lookup, NEW_ACCOUNT, STR("{\"onlyReturnExisting\":true}"));
	assert_true(str_eq(world_header(&r, "Location"), c.old.url));
	expect_status("the new key's account", &r, 200);
	MUST(world_restart_api(&f->w, &err)); /* and so it stays */
	assert_good(f, &c.now);
	carol_done(&c);
}

/* The answer was lost: whichever key the client tries again with, it learns that the change was made. */
static void who_repeats_a_key_change_learns_that_it_is_done(void **state)
{
	struct fixture *f = *state;
	struct carol c = carol_new(f);
	struct inner i = inner_good(f, &c.old, c.now.key);
	struct str inner = inner_sealed(f, &i);
	struct world_reply r = post(f, &c.old, KEY_CHANGE, inner);
	expect_status("the change", &r, 200);
	r = post(f, &c.old, KEY_CHANGE, inner);
	expect_problem("again by the old key", &r, 403, "unauthorized",
		       "the account's key was changed already, to the one of the inner JWS");
	r = post(f, &c.now, KEY_CHANGE, inner);
	assert_true(str_eq(world_header(&r, "Location"), c.old.url));
	expect_problem("again by the new key", &r, 409, "malformed", "the key of this account already");
	/* A stranger who guesses learns nothing: no inner JWS of his is by the account's key. */
	i.signer = f->fresh;
	r = post(f, &c.old, KEY_CHANGE, inner_sealed(f, &i));
	expect_problem("a guess", &r, 400, "malformed", "does not verify with the key that account");
	carol_done(&c);
}

static struct str order_status(struct fixture *f, const struct world_account *a, struct str order)
{
	struct err err = { 0 };
	struct str status;
	MUST(world_order_status(&f->w, a, order, &status, &err));
	return status;
}

static struct str order_ready(struct fixture *f, const struct world_account *a, struct str name)
{
	struct err err = { 0 };
	struct str order;
	world_site(&f->w, name)->thumbprint = str_dup(&f->w.mem, str_z(a->thumbprint.z));
	MUST(world_order_new(&f->w, a, name, &order, &err));
	MUST(world_order_prove(&f->w, a, order, &err));
	assert_true(str_eq(order_status(f, a, order), STR("ready")));
	return order;
}

static struct world_reply finalize(struct fixture *f, const struct world_account *a, struct str order,
				   const struct key *k, struct str name)
{
	struct err err = { 0 };
	struct str csr;
	MUST(world_csr(&f->w, k, name, &csr, &err));
	return post(f, a, str_fmt(&f->w.mem, "%.*s/finalize", STR_FMT(order)), csr);
}

/* The evidence names the old key's thumbprint: the order stays, but wants a proof under the new key. */
static void a_proof_under_the_old_key_carries_no_finalize_under_the_new_one(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	struct carol c = carol_new(f);
	struct str name = STR("carol.a.test"), der;
	AUTO(key_auto) struct key *k = key_new();
	struct str order = order_ready(f, &c.old, name);
	struct world_reply r = change_key(f, &c.old, c.now.key);
	expect_status("the change", &r, 200);
	r = finalize(f, &c.now, order, k, name);
	expect_problem("finalize", &r, 403, "orderNotReady", "make a new order");
	MUST(world_issue(&f->w, &c.now, k, name, &der, &err));
	carol_done(&c);
}

static void what_was_finalized_under_the_old_key_is_issued(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	struct carol c = carol_new(f);
	struct str name = STR("later.a.test");
	AUTO(key_auto) struct key *k = key_new();
	struct str order = order_ready(f, &c.old, name);
	struct world_reply r = finalize(f, &c.old, order, k, name);
	expect_status("finalize", &r, 200);
	r = change_key(f, &c.old, c.now.key);
	expect_status("the change", &r, 200);
	MUST(world_run(&f->w, &err));
	assert_true(str_eq(order_status(f, &c.now, order), STR("valid")));
	carol_done(&c);
}

/* --- several at once ----------------------------------------------------------------------------------------------*/
struct shot {
	pthread_t thread;
	struct world *w;
	pthread_barrier_t *start;
	struct str path, body;
	struct arena mem;
	struct world_reply reply;
	struct rc rc;
};

static void *shot_main(void *arg)
{
	struct shot *s = arg;
	pthread_barrier_wait(s->start);
	s->rc = world_send_on(s->w, &s->mem, HTTP_POST, s->path, STR("application/jose+json"), s->body, &s->reply,
			      NULL);
	return NULL;
}

static void fire(struct fixture *f, struct shot *shots, size_t count)
{
	pthread_barrier_t start;
	assert_int_equal(pthread_barrier_init(&start, NULL, (unsigned)count), 0);
	for (size_t i = 0; i < count; i++) {
		shots[i].w = &f->w;
		shots[i].start = &start;
		assert_int_equal(pthread_create(&shots[i].thread, NULL, shot_main, &shots[i]), 0);
	}
	for (size_t i = 0; i < count; i++) {
		pthread_join(shots[i].thread, NULL);
		assert_false(FAILED(shots[i].rc));
	}
	pthread_barrier_destroy(&start);
}

static void clear(struct shot *shots, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		world_reply_done(&shots[i].reply);
		arena_done(&shots[i].mem);
	}
}

static struct shot shot_of(struct fixture *f, const struct world_account *a, struct str url, struct str payload)
{
	struct err err = { 0 };
	struct shot s = { .path = world_path(url) };
	MUST(world_sign(&f->w, a, url, payload, &s.body, &err));
	return s;
}

static struct shot shot_change(struct fixture *f, const struct world_account *a, const struct key *fresh)
{
	struct inner i = inner_good(f, a, fresh);
	return shot_of(f, a, KEY_CHANGE, inner_sealed(f, &i));
}

/* 403: it was past the gate when the key went; 400: it was not. */
static bool lost_the_key(const struct shot *s)
{
	return (s->reply.status == 403 && reply_says(&s->reply, "the account's key was changed")) ||
	       (s->reply.status == 400 && reply_says(&s->reply, "after a key change"));
}

static void of_two_key_changes_at_once_one_wins(void **state)
{
	struct fixture *f = *state;
	for (size_t i = 0; i < ROUNDS; i++) {
		struct carol c = carol_new(f);
		AUTO(key_auto) struct key *other = key_new();
		struct shot shots[2] = { shot_change(f, &c.old, c.now.key), shot_change(f, &c.old, other) };
		fire(f, shots, 2);
		size_t won = shots[0].reply.status == 200 ? 0 : 1;
		assert_int_equal(shots[won].reply.status, 200);
		assert_true(lost_the_key(&shots[1 - won]));
		struct world_account a = c.now, b = c.now;
		b.key = other;
		assert_good(f, won == 0 ? &a : &b);
		struct world_reply r = post(f, won == 0 ? &b : &a, c.old.url, STR_NONE);
		expect_status("the loser's key", &r, 400);
		clear(shots, 2);
		carol_done(&c);
	}
}

static void of_two_accounts_that_take_one_key_one_wins(void **state)
{
	struct fixture *f = *state;
	for (size_t i = 0; i < ROUNDS; i++) {
		struct carol c = carol_new(f), d = carol_new(f);
		struct shot shots[2] = { shot_change(f, &c.old, c.now.key), shot_change(f, &d.old, c.now.key) };
		fire(f, shots, 2);
		size_t won = shots[0].reply.status == 200 ? 0 : 1;
		assert_int_equal(shots[won].reply.status, 200);
		assert_int_equal(shots[1 - won].reply.status, 409);
		assert_true(str_eq(world_header(&shots[1 - won].reply, "Location"), won == 0 ? c.old.url : d.old.url));
		assert_good(f, won == 0 ? &d.old : &c.old); /* the loser has what it had */
		clear(shots, 2);
		carol_done(&c);
		carol_done(&d);
	}
}

static void a_key_goes_to_a_new_account_or_to_the_one_that_changes(void **state)
{
	struct fixture *f = *state;
	for (size_t i = 0; i < ROUNDS; i++) {
		struct carol c = carol_new(f);
		struct world_account newcomer = { .key = c.now.key };
		struct shot shots[2] = { shot_change(f, &c.old, c.now.key),
					 shot_of(f, &newcomer, NEW_ACCOUNT, STR("{}")) };
		fire(f, shots, 2);
		struct str made = world_header(&shots[1].reply, "Location");
		bool changed = shots[0].reply.status == 200;
		assert_int_equal(shots[0].reply.status, changed ? 200 : 409);
		assert_int_equal(shots[1].reply.status, changed ? 200 : 201);
		assert_true(str_eq(made, c.old.url) == changed);
		clear(shots, 2);
		carol_done(&c);
	}
}

static void a_deactivation_and_a_key_change_do_not_both_happen(void **state)
{
	struct fixture *f = *state;
	for (size_t i = 0; i < ROUNDS; i++) {
		struct carol c = carol_new(f);
		struct shot shots[2] = { shot_change(f, &c.old, c.now.key),
					 shot_of(f, &c.old, c.old.url, STR("{\"status\":\"deactivated\"}")) };
		fire(f, shots, 2);
		bool changed = shots[0].reply.status == 200;
		if (changed)
			assert_true(lost_the_key(&shots[1]));
		else
			assert_int_equal(shots[1].reply.status, 200);
		assert_int_equal(shots[0].reply.status, changed ? 200 : 401);
		struct world_reply r = post(f, changed ? &c.now : &c.old, c.old.url, STR_NONE);
		expect_status("the account", &r, changed ? 200 : 401);
		clear(shots, 2);
		carol_done(&c);
	}
}

/* --- external account binding -------------------------------------------------------------------------------------*/
#define MAC_KEY STR("0123456789abcdef0123456789abcdef")
#define OTHER_MAC_KEY STR("fedcba9876543210fedcba9876543210")
#define BOUND(path) STR(WORLD_BASE "/realm/bound" path)
#define OFFERED(path) STR(WORLD_BASE "/realm/offered" path)

static void eab_add(struct fixture *f, struct eab_row row)
{
	struct err err = { 0 };
	row.realm = row.realm.n == 0 ? STR("bound") : row.realm;
	MUST(world_eab_add(&f->w, &row, MAC_KEY, &err));
}

struct binding {
	enum digest mac;
	struct str kid, url, key;
	const struct key *account;
	struct str whole; /* p != NULL: instead of everything */
};

static struct str binding_text(struct fixture *f, const struct binding *b)
{
	struct err err = { 0 };
	AUTO(secret_done) struct secret key = { 0 };
	AUTO(buf_done) struct buf text = BUF_MAX(16384);
	if (b->whole.p != NULL)
		return b->whole;
	MUST(secret_set(&key, b->key, &err));
	MUST(jws_sign_eab(f->w.crypto, b->mac, &key, b->kid, b->url, b->account, &text, &err));
	return str_dup(&f->w.mem, buf_str(&text));
}

static struct binding binding_good(const struct world_account *a, struct str url)
{
	return (struct binding){
		.mac = DIGEST_SHA256, .kid = STR("eab-good"), .url = url, .key = MAC_KEY, .account = a->key
	};
}

static struct world_reply bind_new(struct fixture *f, const struct world_account *a, struct str url,
				   const struct binding *b)
{
	return post(f, a, url, str_fmt(&f->w.mem, "{\"externalAccountBinding\":%.*s}", STR_FMT(binding_text(f, b))));
}

static void binding_no_object(struct fixture *f, struct binding *b)
{
	(void)f;
	b->whole = STR("\"eab-good\"");
}
static void binding_no_jws(struct fixture *f, struct binding *b)
{
	(void)f;
	b->whole = STR("{}");
}
static void binding_signed_not_maced(struct fixture *f, struct binding *b)
{
	struct err err = { 0 };
	AUTO(buf_done) struct buf text = BUF_MAX(16384);
	MUST(jws_sign_acme(f->w.crypto, b->account, b->kid, STR_NONE, b->url, jwk_of(f, b->account), &text, &err));
	b->whole = str_dup(&f->w.mem, buf_str(&text));
}
static void binding_for_another_url(struct fixture *f, struct binding *b)
{
	(void)f;
	b->url = NEW_ACCOUNT;
}
static void binding_for_another_key(struct fixture *f, struct binding *b)
{
	b->account = f->bob.key;
}
static void binding_of_unknown_kid(struct fixture *f, struct binding *b)
{
	(void)f;
	b->kid = STR("eab-nobody");
}
static void binding_of_another_realm(struct fixture *f, struct binding *b)
{
	(void)f;
	b->kid = STR("eab-offered");
}
static void binding_with_a_wrong_mac(struct fixture *f, struct binding *b)
{
	(void)f;
	b->key = OTHER_MAC_KEY;
}
static void binding_disabled(struct fixture *f, struct binding *b)
{
	(void)f;
	b->kid = STR("eab-disabled");
}
static void binding_disabled_and_a_wrong_mac(struct fixture *f, struct binding *b)
{
	(void)f;
	b->kid = STR("eab-disabled");
	b->key = OTHER_MAC_KEY;
}
static void binding_expired(struct fixture *f, struct binding *b)
{
	(void)f;
	b->kid = STR("eab-expired");
}
static void binding_used_up(struct fixture *f, struct binding *b)
{
	(void)f;
	b->kid = STR("eab-used");
}

#define NOT_BOUND "this realm has no such key id, or the MAC is not by its key"
static const struct binding_row {
	const char *name;
	void (*spoil)(struct fixture *f, struct binding *b);
	int status;
	const char *type, *words;
} binding_rows[] = {
	{ "no object", binding_no_object, 400, "malformed", "external account binding: " },
	{ "no JWS", binding_no_jws, 400, "malformed", "external account binding: " },
	{ "a signature", binding_signed_not_maced, 400, "malformed", "HS256, HS384 and HS512" },
	{ "another url", binding_for_another_url, 400, "malformed",
	  "its url is \"https://ca.test/new-account\"; the request's is https://ca.test/realm/bound/new-account" },
	{ "another key", binding_for_another_key, 400, "malformed", "it binds another key than the jwk" },
	{ "unknown kid", binding_of_unknown_kid, 403, "unauthorized", NOT_BOUND },
	{ "kid of another realm", binding_of_another_realm, 403, "unauthorized", NOT_BOUND },
	{ "wrong MAC", binding_with_a_wrong_mac, 403, "unauthorized", NOT_BOUND },
	{ "wrong MAC of a disabled key", binding_disabled_and_a_wrong_mac, 403, "unauthorized", NOT_BOUND },
	{ "disabled", binding_disabled, 403, "unauthorized", "eab-disabled was disabled" },
	{ "expired", binding_expired, 403, "unauthorized", "eab-expired has expired" },
	{ "used up", binding_used_up, 403, "unauthorized", "eab-used is used up: it serves 1 account;" },
};

/* RFC 8555 7.3.4: each of the server's checks; who has not the MAC key does not learn which ids there are. */
static void each_wrong_binding_gets_its_own_refusal(void **state)
{
	struct fixture *f = *state;
	struct world_account dave = { .key = key_new() };
	for (size_t i = 0; i < ARRAY_LEN(binding_rows); i++) {
		const struct binding_row *row = &binding_rows[i];
		struct binding b = binding_good(&dave, BOUND("/new-account"));
		row->spoil(f, &b);
		struct world_reply r = bind_new(f, &dave, BOUND("/new-account"), &b);
		expect_problem(row->name, &r, row->status, row->type, row->words);
	}
	struct world_reply r = post(f, &dave, BOUND("/new-account"), STR("{\"externalAccountBinding\":null}"));
	expect_problem("null", &r, 403, "externalAccountRequired", "ask the CA's operator");
	r = post(f, &dave, BOUND("/new-account"), STR("{}"));
	expect_problem("none", &r, 403, "externalAccountRequired", "ask the CA's operator");
	r = post(f, &dave, BOUND("/new-account"), STR("{\"onlyReturnExisting\":true}"));
	expect_problem("no account was made", &r, 400, "accountDoesNotExist", "onlyReturnExisting");
	key_free(dave.key);
}

static fallible eab_read(struct store_tx *tx, void *ctx, struct err *err)
{
	struct eab_row *row = ctx;
	AUTO(arena_done) struct arena mem = { 0 };
	struct eab_row found;
	TRY(eab_by_kid(tx, &mem, row->kid, &found, err));
	row->uses = found.uses;
	return OK;
}

static int64_t uses_of(struct fixture *f, const char *kid)
{
	struct err err = { 0 };
	struct eab_row row = { .kid = str_z(kid) };
	MUST(store_read(f->w.store, eab_read, &row, &err));
	return row.uses;
}

/* RFC 8555 7.3.4: the account object of the answer has the binding as it was sent. */
static void a_binding_is_taken_with_every_mac_and_said_back(void **state)
{
	struct fixture *f = *state;
	int64_t before = uses_of(f, "eab-good");
	for (unsigned mac = 0; mac < DIGEST_COUNT; mac++) {
		struct world_account dave = { .key = key_new() };
		struct binding b = binding_good(&dave, BOUND("/new-account"));
		b.mac = (enum digest)mac;
		struct world_reply r = bind_new(f, &dave, BOUND("/new-account"), &b);
		assert_true(reply_says(
			&r,
			str_fmt(&f->w.mem, "\"externalAccountBinding\":%.*s%c", STR_FMT(binding_text(f, &b)), 0).p));
		dave.url = world_header(&r, "Location");
		expect_status("newAccount", &r, 201);
		assert_good(f, &dave);
		/* The account is there: a binding, good or bad, is not looked at, and nothing is used up. */
		struct world_account again = { .key = dave.key };
		b.key = OTHER_MAC_KEY;
		r = bind_new(f, &again, BOUND("/new-account"), &b);
		assert_true(str_eq(world_header(&r, "Location"), dave.url));
		expect_status("again", &r, 200);
		key_free(dave.key);
	}
	assert_int_equal(uses_of(f, "eab-good"), before + DIGEST_COUNT);
}

static void a_realm_may_offer_bindings_or_know_none(void **state)
{
	struct fixture *f = *state;
	struct world_account dave = { .key = key_new() }, erin = { .key = key_new() };
	struct binding b = binding_good(&dave, OFFERED("/new-account"));
	struct world_reply r = bind_new(f, &dave, OFFERED("/new-account"), &b);
	expect_problem("offered, and wrong", &r, 403, "unauthorized", NOT_BOUND);
	r = post(f, &dave, OFFERED("/new-account"), STR("{}"));
	expect_status("offered, and not taken", &r, 201);
	b = binding_good(&erin, OFFERED("/new-account"));
	b.kid = STR("eab-offered");
	r = bind_new(f, &erin, OFFERED("/new-account"), &b);
	expect_status("offered, and taken", &r, 201);
	b.whole = STR("\"what is this\"");
	r = bind_new(f, &dave, NEW_ACCOUNT, &b);
	assert_false(reply_says(&r, "externalAccountBinding"));
	expect_status("not known", &r, 201);
	key_free(dave.key);
	key_free(erin.key);
}

static struct world_account account_bound(struct fixture *f, const char *kid)
{
	struct world_account a = { .key = key_new() };
	struct binding b = binding_good(&a, BOUND("/new-account"));
	b.kid = str_z(kid);
	struct world_reply r = bind_new(f, &a, b.url, &b);
	a.url = world_header(&r, "Location");
	expect_status("newAccount", &r, 201);
	return a;
}

static fallible disable_tx(struct store_tx *tx, void *ctx, struct err *err)
{
	return eab_disable(tx, str_z(ctx), 1, err);
}

#define DNS(name) "\"identifiers\":[{\"type\":\"dns\",\"value\":\"" name "\"}]"
#define IP(addr) "\"identifiers\":[{\"type\":\"ip\",\"value\":\"" addr "\"}]"

/* What the operator gave the key for is all that its accounts get, within what the realm allows. */
static void an_account_gets_what_its_external_key_allows(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	char kid[] = "eab-narrow";
	eab_add(f, (struct eab_row){ .kid = str_z(kid),
				     .names = STR("[\"www.a.test\",\"*.sub.a.test\",\"192.0.2.0/28\"]"),
				     .profiles = STR("[\"short\"]") });
	eab_add(f, (struct eab_row){ .kid = STR("eab-names"), .names = STR("[\"*\"]") });
	struct world_account narrow = account_bound(f, kid), names = account_bound(f, "eab-names");
	const struct {
		const struct world_account *who;
		const char *payload;
		int status;
		const char *type, *words;
	} rows[] = {
		{ &narrow, DNS("www.a.test"), 201, NULL, NULL },
		{ &narrow, DNS("x.sub.a.test"), 201, NULL, NULL },
		{ &narrow, DNS("*.sub.a.test"), 201, NULL, NULL },
		{ &narrow, IP("192.0.2.7"), 201, NULL, NULL },
		{ &narrow, DNS("www.a.test") ",\"profile\":\"short\"", 201, NULL, NULL },
		{ &narrow, DNS("mail.a.test"), 400, "rejectedIdentifier",
		  "mail.a.test: the external account key of this account does not allow it, only www.a.test, "
		  "*.sub.a.test, 192.0.2.0/28" },
		{ &narrow, DNS("*.www.a.test"), 400, "rejectedIdentifier", "the external account key" },
		{ &narrow, IP("192.0.2.17"), 400, "rejectedIdentifier", "the external account key" },
		{ &narrow, DNS("www.a.test") ",\"profile\":\"server\"", 400, "invalidProfile", "short" },
		{ &names, DNS("mail.a.test") ",\"profile\":\"server\"", 201, NULL, NULL },
		{ &names, IP("192.0.2.7"), 400, "rejectedIdentifier", "does not allow it, only *" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct str payload = str_fmt(&f->w.mem, "{%s}", rows[i].payload);
		struct world_reply r = post(f, rows[i].who, BOUND("/new-order"), payload);
		if (rows[i].type == NULL)
			expect_status(rows[i].payload, &r, rows[i].status);
		else
			expect_problem(rows[i].payload, &r, rows[i].status, rows[i].type, rows[i].words);
	}
	/* A key that is disabled makes no more accounts; those that are there stay as they were. */
	MUST(store_tx(f->w.store, disable_tx, kid, &err));
	struct world_reply r = post(f, &narrow, BOUND("/new-order"), STR("{" DNS("www.a.test") "}"));
	expect_status("after it was disabled", &r, 201);
	r = post(f, &narrow, BOUND("/new-order"), STR("{" DNS("mail.a.test") "}"));
	expect_problem("after it was disabled", &r, 400, "rejectedIdentifier", "the external account key");
	key_free(narrow.key);
	key_free(names.key);
}

static void a_binding_for_one_account_makes_one_of_twenty(void **state)
{
	struct fixture *f = *state;
	static struct shot shots[20];
	struct world_account many[ARRAY_LEN(shots)];
	eab_add(f, (struct eab_row){ .kid = STR("eab-once"), .uses_max = 1 });
	for (size_t i = 0; i < ARRAY_LEN(shots); i++) {
		many[i] = (struct world_account){ .key = key_new() };
		struct binding b = binding_good(&many[i], BOUND("/new-account"));
		b.kid = STR("eab-once");
		shots[i] =
			shot_of(f, &many[i], b.url,
				str_fmt(&f->w.mem, "{\"externalAccountBinding\":%.*s}", STR_FMT(binding_text(f, &b))));
	}
	fire(f, shots, ARRAY_LEN(shots));
	size_t made = 0;
	for (size_t i = 0; i < ARRAY_LEN(shots); i++) {
		made += shots[i].reply.status == 201;
		assert_true(shots[i].reply.status == 201 ||
			    (shots[i].reply.status == 403 && reply_says(&shots[i].reply, "is used up")));
		key_free(many[i].key);
	}
	assert_int_equal(made, 1);
	assert_int_equal(uses_of(f, "eab-once"), 1);
	clear(shots, ARRAY_LEN(shots));
}

/* THREATS A76: what is sealed stays so. And what an operator will ask for one day is there. */
static void the_store_holds_the_audit_and_no_mac_key(void **state)
{
	struct fixture *f = *state;
	static const char *const events[] = { "account created", "account key changed", "\"eab\":\"eab-good\"" };
	for (size_t i = 0; i < ARRAY_LEN(events); i++)
		assert_true(store_has(&f->w, str_z(events[i])));
	assert_false(store_has(&f->w, MAC_KEY));
}

/* --- terms, updates, ends -----------------------------------------------------------------------------------------*/
#define TERMS(n) "    terms-of-service: https://ca.test/terms/" n "\n"
#define SHOWN(n) "\"instance\":\"https://ca.test/terms/" n "\""

static void expect_terms(struct world_reply *r, const char *link, const char *instance, const char *words)
{
	assert_true(reply_says(r, instance));
	assert_true(memmem(r->headers.p, r->headers.n, link, strlen(link)) != NULL);
	expect_problem("terms", r, 403, "userActionRequired", words);
}

/* RFC 8555 7.3, 7.3.3 */
static void terms_are_agreed_to_and_again_when_they_change(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	struct world_account dave = { .key = key_new() };
	MUST(world_configure(&f->w, REALM(TERMS("1") "    terms-agree-again: true\n"), &err));
	struct world_reply r = post(f, &dave, NEW_ACCOUNT, STR("{}"));
	expect_terms(&r, "<https://ca.test/terms/1>;rel=\"terms-of-service\"", SHOWN("1"),
		     "read https://ca.test/terms/1, then send termsOfServiceAgreed");
	r = post(f, &dave, NEW_ACCOUNT, STR("{\"termsOfServiceAgreed\":true}"));
	assert_true(reply_says(&r, "\"termsOfServiceAgreed\":true"));
	dave.url = world_header(&r, "Location");
	expect_status("agreed", &r, 201);
	r = post(f, &dave, NEW_ORDER, ONE_NAME);
	expect_status("newOrder", &r, 201);

	MUST(world_configure(&f->w, REALM(TERMS("2") "    terms-agree-again: true\n"), &err));
	r = post(f, &dave, NEW_ORDER, ONE_NAME);
	expect_terms(&r, "<https://ca.test/terms/2>;rel=\"terms-of-service\"", SHOWN("2"),
		     "the terms of service have changed since this account agreed: read https://ca.test/terms/2");
	r = post(f, &dave, dave.url, STR("{\"termsOfServiceAgreed\":false}"));
	expect_status("not agreed is no change", &r, 200);
	r = post(f, &dave, NEW_ORDER, ONE_NAME);
	expect_status("newOrder", &r, 403);
	r = post(f, &dave, dave.url, STR("{\"termsOfServiceAgreed\":true}"));
	expect_status("agreed again", &r, 200);
	r = post(f, &dave, NEW_ORDER, ONE_NAME);
	expect_status("newOrder", &r, 201);

	MUST(world_configure(&f->w, REALM(TERMS("3")), &err)); /* changed, but the operator does not mind */
	r = post(f, &dave, NEW_ORDER, ONE_NAME);
	expect_status("newOrder", &r, 201);
	MUST(world_configure(&f->w, REALM(""), &err));
	key_free(dave.key);
}

/* RFC 8555 7.3.2: what an update may change, and what it leaves. */
static void an_update_changes_contacts_and_ignores_what_is_not_the_clients(void **state)
{
	struct fixture *f = *state;
	struct carol c = carol_new(f);
	static const struct {
		const char *name, *payload, *says, *says_not;
	} rows[] = {
		{ "contacts", "{\"contact\":[\"mailto:a@a.example.com\",\"mailto:b@a.example.com\"]}",
		  "\"contact\":[\"mailto:a@a.example.com\",\"mailto:b@a.example.com\"]", "deactivated" },
		{ "nothing", "{}", "mailto:a@a.example.com", "deactivated" },
		{ "orders", "{\"orders\":\"https://ca.test/elsewhere\"}", "/orders\"", "elsewhere" },
		{ "a status of the server's", "{\"status\":\"revoked\"}", "\"status\":\"valid\"", "revoked" },
		{ "unknown members", "{\"favouriteColour\":\"blue\"}", "\"status\":\"valid\"", "blue" },
		{ "a domain in capitals", "{\"contact\":[\"mailto:Ann@A.Example.COM\"]}",
		  "\"contact\":[\"mailto:Ann@A.Example.COM\"]", "deactivated" },
		{ "no contacts", "{\"contact\":[]}", "\"status\":\"valid\"", "contact" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct world_reply r = post(f, &c.old, c.old.url, str_z(rows[i].payload));
		if (!reply_says(&r, rows[i].says) || reply_says(&r, rows[i].says_not))
			fail_msg("%s: %.*s", rows[i].name, STR_FMT(r.body));
		expect_status(rows[i].name, &r, 200);
	}
	carol_done(&c);
}

static void what_becomes_of_an_account_is_written_down(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	MUST(world_configure(&f->w, REALM("    orders-per-hour: 2\n" TERMS("21")), &err));
	struct world_account dave = { .key = key_new() };
	struct world_reply r = post(f, &dave, NEW_ACCOUNT, STR("{\"termsOfServiceAgreed\":true}"));
	dave.url = world_header(&r, "Location");
	expect_status("newAccount", &r, 201);
	static const char *const same = "{\"contact\":[\"mailto:dave@a.example.com\"],\"termsOfServiceAgreed\":true}";
	for (int i = 0; i < 4; i++) { /* only the first one changes anything */
		r = post(f, &dave, dave.url, str_z(same));
		expect_status("update", &r, 200);
	}
	assert_true(store_has(&f->w, STR("{\"from\":[],\"to\":[\"mailto:dave@a.example.com\"]}")));
	assert_false(store_has(&f->w, STR("{\"terms\":\"https://ca.test/terms/22\"}")));
	MUST(world_configure(&f->w, REALM("    orders-per-hour: 2\n" TERMS("22")), &err));
	r = post(f, &dave, dave.url, STR("{\"termsOfServiceAgreed\":true}"));
	expect_status("agree", &r, 200);
	assert_true(store_has(&f->w, STR("{\"terms\":\"https://ca.test/terms/22\"}")));
	/* What stays is not made without end (THREATS A70). */
	r = post(f, &dave, dave.url, STR("{\"contact\":[\"mailto:b@a.example.com\"]}"));
	expect_status("second", &r, 200);
	r = post(f, &dave, dave.url, STR("{\"contact\":[]}"));
	expect_problem("third", &r, 429, "rateLimited", "too many changes of this account's contacts: 2 an hour");
	MUST(world_configure(&f->w, REALM(""), &err));
	key_free(dave.key);
}

/* RFC 8555 7.3.6 */
static void a_deactivated_account_can_do_nothing_and_its_key_gets_no_other(void **state)
{
	struct fixture *f = *state;
	struct carol c = carol_new(f);
	struct world_reply r = post(f, &c.old, c.old.url, STR("{\"status\":\"deactivated\"}"));
	assert_true(reply_says(&r, "\"status\":\"deactivated\""));
	expect_status("deactivate", &r, 200);
	r = post(f, &c.old, c.old.url, STR_NONE);
	expect_problem("read", &r, 401, "unauthorized", "the account is deactivated");
	r = change_key(f, &c.old, c.now.key);
	expect_problem("key change", &r, 401, "unauthorized", "the account is deactivated");
	struct world_account again = { .key = c.old.key };
	r = post(f, &again, NEW_ACCOUNT, STR("{}"));
	expect_problem("newAccount", &r, 401, "unauthorized", "use another key");
	r = change_key(f, &f->alice, c.old.key);
	expect_problem("its key for another", &r, 409, "malformed", "the key of another account already");
	carol_done(&c);
}

/* The places whose handlers read the account themselves, when its key is known. */
struct place {
	const char *what;
	struct str url, payload; /* payload empty: it is read */
};
#define PLACES 8

static void places_of(struct fixture *f, const struct world_account *a, struct place ret[PLACES])
{
	struct err err = { 0 };
	struct key *k = key_new();
	struct str csr, order = order_ready(f, a, STR("known.a.test")), open;
	struct world_reply r = finalize(f, a, order, k, STR("known.a.test"));
	expect_status("finalize", &r, 200);
	MUST(world_run(&f->w, &err));
	r = post(f, a, order, STR_NONE);
	struct str cert = step_text(&f->w, r.json, "certificate");
	world_reply_done(&r);
	MUST(world_order_new(&f->w, a, STR("open.a.test"), &open, &err));
	struct str urls[IDENTS_MAX];
	assert_int_equal(step_authzs(&f->w, a, open, urls), 1);
	r = post(f, a, urls[0], STR_NONE);
	struct str challenge = step_text(&f->w, json_at(json_get(r.json, "challenges"), 0), "url");
	world_reply_done(&r);
	MUST(world_csr(&f->w, k, STR("known.a.test"), &csr, &err));
	const struct place all[PLACES] = {
		{ "order", order, STR_NONE },
		{ "authorization", urls[0], STR_NONE },
		{ "challenge", challenge, STR_NONE },
		{ "certificate", cert, STR_NONE },
		{ "finalize", str_fmt(&f->w.mem, "%.*s/finalize", STR_FMT(order)), csr },
		{ "deactivation", urls[0], STR("{\"status\":\"deactivated\"}") },
		{ "answer", challenge, STR("{}") },
		{ "alternate", str_fmt(&f->w.mem, "%.*s/alternate/1", STR_FMT(cert)), STR_NONE },
	};
	memcpy(ret, all, sizeof all);
	key_free(k);
}

static fallible key_change_tx(struct store_tx *tx, void *ctx, struct err *err)
{
	struct carol *c = ctx;
	AUTO(buf_done) struct buf jwk = BUF_MAX(4096);
	struct str id = str_sub(c->old.url, c->old.url.n - ID_TEXT_LEN, c->old.url.n);
	struct id account;
	TRY(id_read(id, &account, err));
	TRY(jwk_write(c->now.key, &jwk, err));
	return account_set_key(tx, account, str_z(c->old.thumbprint.z), str_z(c->now.thumbprint.z), buf_str(&jwk), err);
}

static fallible account_end_tx(struct store_tx *tx, void *ctx, struct err *err)
{
	const struct carol *c = ctx;
	struct id account;
	TRY(id_read(str_sub(c->old.url, c->old.url.n - ID_TEXT_LEN, c->old.url.n), &account, err));
	return account_move(tx, account, ACCOUNT_VALID, ACCOUNT_DEACTIVATED, err);
}

/* Behind the api's back, as another api on the same database would: what it remembers lets nobody in. */
static void what_is_remembered_of_an_account_opens_nothing(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	struct carol c = carol_new(f);
	struct place places[PLACES];
	places_of(f, &c.old, places);
	MUST(store_tx(f->w.store, key_change_tx, &c, &err));
	for (size_t i = 0; i < 2 * PLACES; i++) { /* once while the old key is remembered, once while the new one is */
		const struct place *p = &places[i % PLACES];
		struct world_reply r = post(f, &c.old, p->url, p->payload);
		expect_problem(p->what, &r, 400, "malformed", "after a key change only the new key signs");
		if (p->payload.n > 0 || i % PLACES == PLACES - 1)
			continue;
		r = post(f, &c.now, p->url, STR_NONE);
		expect_status(p->what, &r, 200);
		if (i < PLACES) {
			r = post(f, &c.old, p->url, p->payload);
			expect_problem(p->what, &r, 400, "malformed", "after a key change only the new key signs");
		}
	}
	MUST(store_tx(f->w.store, account_end_tx, &c, &err));
	for (size_t i = 0; i < PLACES; i++) {
		struct world_reply r = post(f, &c.now, places[i].url, places[i].payload);
		expect_problem(places[i].what, &r, 401, "unauthorized", "the account is deactivated");
	}
	carol_done(&c);
}

static void a_compromised_key_gets_no_account(void **state)
{
	struct fixture *f = *state;
	struct world_account mallory = { .key = f->blocked };
	struct world_reply r = post(f, &mallory, NEW_ACCOUNT, STR("{}"));
	expect_problem("newAccount", &r, 400, "badPublicKey", "this key is known to be compromised");
}

/* What stays for ever is not made without end (THREATS A70). */
static void key_changes_are_limited_as_orders_are(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	MUST(world_configure(&f->w, REALM("    orders-per-hour: 1\n"), &err));
	struct carol c = carol_new(f);
	struct world_account third = { .key = key_new(), .url = c.old.url };
	struct world_reply r = change_key(f, &c.old, c.now.key);
	expect_status("first", &r, 200);
	r = change_key(f, &c.now, third.key);
	assert_true(world_header(&r, "Retry-After").n > 0);
	expect_problem("second", &r, 429, "rateLimited", "too many key changes of this account: 1 an hour");
	assert_good(f, &c.now);
	f->w.now_ms += 2 * 3600 * 1000;
	r = change_key(f, &c.now, third.key);
	expect_status("later", &r, 200);
	key_free(third.key);
	carol_done(&c);
	MUST(world_configure(&f->w, REALM(""), &err));
}

static void a_key_change_that_is_sent_twice_to_the_byte_is_done_once(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	struct carol c = carol_new(f);
	struct inner i = inner_good(f, &c.old, c.now.key);
	struct str body;
	MUST(world_sign(&f->w, &c.old, KEY_CHANGE, inner_sealed(f, &i), &body, &err));
	struct world_reply r = send_signed(f, KEY_CHANGE, body);
	expect_status("first", &r, 200);
	r = send_signed(f, KEY_CHANGE, body);
	expect_problem("replayed", &r, 403, "unauthorized", "was changed already");
	carol_done(&c);
}

static fallible block_tx(struct store_tx *tx, void *ctx, struct err *err)
{
	return blocked_key_insert(tx, ctx, STR("keyCompromise"), 1, STR("operator"), err);
}

static int open_world(void **state)
{
	struct fixture *f = fixture_new(sizeof *f, REALM(""), 2);
	struct err err = { 0 };
	struct sha256 hash;
	f->fresh = key_new();
	f->blocked = key_new();
	MUST(key_spki_hash(f->w.crypto, f->blocked, &hash, &err));
	MUST(store_tx(f->w.store, block_tx, &hash, &err));
	eab_add(f, (struct eab_row){ .kid = STR("eab-good") });
	eab_add(f, (struct eab_row){ .kid = STR("eab-offered"), .realm = STR("offered") });
	eab_add(f, (struct eab_row){ .kid = STR("eab-disabled"), .disabled_at = f->w.now_ms - 1 });
	eab_add(f, (struct eab_row){ .kid = STR("eab-expired"), .expires_at = f->w.now_ms });
	eab_add(f, (struct eab_row){ .kid = STR("eab-used"), .uses = 1, .uses_max = 1 });
	*state = f;
	return 0;
}

static int close_world(void **state)
{
	struct fixture *f = *state;
	key_free(f->fresh);
	key_free(f->blocked);
	return fixture_free(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_wrong_key_change_gets_its_own_refusal),
		cmocka_unit_test(a_key_in_use_names_the_account_that_has_it),
		cmocka_unit_test(a_key_change_is_for_accounts_not_for_embedded_keys),
		cmocka_unit_test(after_a_key_change_the_new_key_opens_and_the_old_one_does_not),
		cmocka_unit_test(who_repeats_a_key_change_learns_that_it_is_done),
		cmocka_unit_test(a_proof_under_the_old_key_carries_no_finalize_under_the_new_one),
		cmocka_unit_test(what_was_finalized_under_the_old_key_is_issued),
		cmocka_unit_test(of_two_key_changes_at_once_one_wins),
		cmocka_unit_test(of_two_accounts_that_take_one_key_one_wins),
		cmocka_unit_test(a_key_goes_to_a_new_account_or_to_the_one_that_changes),
		cmocka_unit_test(a_deactivation_and_a_key_change_do_not_both_happen),
		cmocka_unit_test(each_wrong_binding_gets_its_own_refusal),
		cmocka_unit_test(a_binding_is_taken_with_every_mac_and_said_back),
		cmocka_unit_test(a_realm_may_offer_bindings_or_know_none),
		cmocka_unit_test(an_account_gets_what_its_external_key_allows),
		cmocka_unit_test(a_binding_for_one_account_makes_one_of_twenty),
		cmocka_unit_test(the_store_holds_the_audit_and_no_mac_key),
		cmocka_unit_test(terms_are_agreed_to_and_again_when_they_change),
		cmocka_unit_test(what_becomes_of_an_account_is_written_down),
		cmocka_unit_test(an_update_changes_contacts_and_ignores_what_is_not_the_clients),
		cmocka_unit_test(a_deactivated_account_can_do_nothing_and_its_key_gets_no_other),
		cmocka_unit_test(what_is_remembered_of_an_account_opens_nothing),
		cmocka_unit_test(a_compromised_key_gets_no_account),
		cmocka_unit_test(a_key_change_that_is_sent_twice_to_the_byte_is_done_once),
		cmocka_unit_test(key_changes_are_limited_as_orders_are),
	};
	return cmocka_run_group_tests(tests, open_world, close_world);
}

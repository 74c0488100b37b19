/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_client_reply.c: an arbitrary server in front of the client's engine. The input is a script of replies, one line
 * for the head (status, then flags) and then its body up to a zero byte; the engine's steps are taken with them until
 * it ends. Whatever is said: it comes to an end, what it publishes is a file's name and nothing else, all of it comes
 * down again before an error goes out, and no request leaves for anything but https.
 *
 * A body's "@" stands for "https://c.test/", so that mutation finds its way into the later phases.
 */
#include "client/client.h"
#include "fuzz.h"

#define STEPS_MAX 2000
#define BODY_MAX 65536

struct fixture {
	struct crypto *c;
	struct key *key;
};

static const struct fixture *fixture_get(void)
{
	static struct fixture f; /* made once a process: keys are slow, and not what is looked at */
	if (f.c == NULL) {
		json_seed(&rng_system);
		CHECK(!FAILED(crypto_new(&f.c, NULL)));
		CHECK(!FAILED(key_generate(KEY_P256, 0, &f.key, NULL)));
	}
	return &f;
}

static struct str expand(struct str body, struct buf *out)
{
	buf_reset(out);
	for (size_t i = 0; i < body.n; i++) {
		struct str piece = body.p[i] == '@' ? STR("https://c.test/") : str_sub(body, i, i + 1);
		if (FAILED(buf_add(out, piece, NULL)))
			break;
	}
	return buf_str(out);
}

static struct client_reply reply_body(struct client_reply r, struct str body, struct buf *out)
{
	r.body = expand(body, out);
	return r;
}

/* "2" 200, "1" 201, "4" 400, "5" 503, anything else 500; then flags: n no nonce, b a bad one, l no Location, r
 * Retry-After. */
static struct client_reply reply_next(struct str *script, struct buf *body)
{
	struct str one = str_sub(*script, 0, str_find(*script, '\0', 0));
	*script = str_sub(*script, one.n + 1, script->n);
	struct str head = str_sub(one, 0, str_find(one, '\n', 0));
	struct client_reply r = {
		.status = 500, .nonce = STR("nonce"), .location = STR("https://c.test/l"), .now_s = 1795305600
	};
	for (size_t i = 0; i < head.n; i++) {
		switch (head.p[i]) {
		case '1':
			r.status = 201;
			break;
		case '2':
			r.status = 200;
			break;
		case '4':
			r.status = 400;
			break;
		case '5':
			r.status = 503;
			break;
		case 'n':
			r.nonce = STR_NONE;
			break;
		case 'b':
			r.nonce = head;
			break;
		case 'l':
			r.location = STR_NONE;
			break;
		case 'L':
			r.location = str_sub(head, i + 1, head.n);
			return reply_body(r, str_sub(one, head.n + 1, one.n), body);
		case 'r':
			r.retry_after = str_sub(head, i + 1, head.n);
			return reply_body(r, str_sub(one, head.n + 1, one.n), body);
		default:
			break;
		}
	}
	return reply_body(r, str_sub(one, head.n + 1, one.n), body);
}

static void check_token(struct str token)
{
	CHECK(token.n >= 22 && token.n <= 128);
	for (size_t i = 0; i < token.n; i++)
		CHECK(strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", token.p[i]) != NULL &&
		      token.p[i] != '\0');
}

struct run {
	struct client *cl;
	struct str script;
	struct buf body;
	int up; /* answers published and not withdrawn */
	bool done;
};

static struct rc step(struct run *x, struct err *err)
{
	struct client_step s;
	TRY(client_next(x->cl, &s, err));
	switch (s.kind) {
	case CLIENT_REQUEST: {
		CHECK(str_starts(s.url, STR("https://")) || str_starts(s.url, STR("HTTPS://")) ||
		      str_eq_nocase(str_sub(s.url, 0, 8), STR("https://")));
		struct client_reply r = reply_next(&x->script, &x->body);
		return client_replied(x->cl, &r, err);
	}
	case CLIENT_PUBLISH:
		check_token(s.token);
		CHECK(str_starts(s.key_authorization, s.token));
		x->up++;
		return client_did(x->cl, err);
	case CLIENT_WITHDRAW:
		check_token(s.token);
		x->up--;
		return client_did(x->cl, err);
	case CLIENT_WAIT:
		CHECK(s.wait_ms > 0 && s.wait_ms <= CLIENT_WAIT_MAX_MS);
		return client_did(x->cl, err);
	case CLIENT_DONE:
		x->done = true;
		return OK;
	}
	return OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct fixture *f = fixture_get();
	const struct str names[] = { STR("a.test"), STR("b.test") };
	const struct client_conf conf = { .crypto = f->c,
					  .directory_url = STR("https://c.test/d"),
					  .account_key = f->key };
	struct run x = { .script = str_n(data, size), .body = BUF_MAX(BODY_MAX) };
	struct err err = { 0 };
	struct rc rc = OK;
	CHECK(!FAILED(client_new(&conf, &x.cl, NULL)));
	CHECK(!FAILED(client_order(x.cl, names, 2, f->key, NULL)));
	for (int i = 0; rc.kind == ERR_NONE && !x.done; i++) {
		CHECK(i < STEPS_MAX);
		rc = step(&x, &err);
	}
	check_err(rc, &err);
	CHECK(x.up == 0);
	client_free(x.cl);
	buf_done(&x.body);
	return 0;
}

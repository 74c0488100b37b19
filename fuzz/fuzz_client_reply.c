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
	struct key *key, *next;
};

static const struct fixture *fixture_get(void)
{
	static struct fixture f; /* made once a process: keys are slow, and not what is looked at */
	if (f.c == NULL) {
		CHECK(!FAILED(crypto_new(&f.c, NULL)));
		CHECK(!FAILED(key_generate(KEY_P256, 0, &f.key, NULL)));
		CHECK(!FAILED(key_generate(KEY_P256, 0, &f.next, NULL)));
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

/* What goes up is a file's name, or a name and a value of the DNS: nothing that a server could use for more. */
static void check_answer(const struct client_answer *a)
{
	struct str token = a->token;
	CHECK(token.n >= 22 && token.n <= 128);
	for (size_t i = 0; i < token.n; i++)
		CHECK(strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", token.p[i]) != NULL &&
		      token.p[i] != '\0');
	CHECK(str_starts(a->key_authorization, token));
	CHECK(client_method_serves(a->method, &a->ident));
	if (a->dns_name.n > 0)
		CHECK(str_ends(a->dns_name, STR("_acme-challenge.a.test")) && a->dns_value.n == 43);
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
		check_answer(&s.answer);
		x->up++;
		return client_did(x->cl, err);
	case CLIENT_WITHDRAW:
		check_answer(&s.answer);
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

static void check_record(struct client *cl, const struct ident *ident)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct str name, value;
	if (FAILED(client_persist_record(cl, &mem, ident, &name, &value, NULL)))
		return;
	for (size_t i = 0; i < value.n; i++)
		CHECK(value.p[i] >= ' ' && value.p[i] <= '~' && value.p[i] != '"' && value.p[i] != '\\');
}

/* The first byte says what is wanted of the server, if it is one of these; an order otherwise. */
static struct rc begin(struct run *x, const struct fixture *f, const struct ident *idents, size_t count)
{
	const struct client_wanted wanted = { .idents = idents, .count = count, .key = f->key, .profile = STR("p") };
	const struct client_wanted plain = { .idents = idents, .count = count, .key = f->key };
	char what = x->script.n > 0 ? x->script.p[0] : '\0';
	if (strchr("RKDGP", what) == NULL || what == '\0')
		return client_order(x->cl, &plain, NULL);
	x->script = str_sub(x->script, 1, x->script.n);
	switch (what) {
	case 'R':
		return client_revoke(x->cl, STR("certificate"), 1, NULL, NULL);
	case 'K':
		return client_key_change(x->cl, f->next, NULL);
	case 'D':
		return client_deactivate(x->cl, NULL);
	case 'G':
		return client_register(x->cl, NULL);
	default:
		return client_order(x->cl, &wanted, NULL);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum challenge_type methods[] = { CHALLENGE_HTTP01, CHALLENGE_DNSACCOUNT01, CHALLENGE_DNS01,
						       CHALLENGE_TLSALPN01, CHALLENGE_DNSPERSIST01 };
	const struct fixture *f = fixture_get();
	const struct ident idents[] = { { IDENT_DNS, STR("a.test") },
					{ IDENT_DNS, STR("*.a.test") },
					{ IDENT_DNS, STR("b.test") },
					{ IDENT_IP, STR("192.0.2.1") } };
	const struct client_conf conf = { .crypto = f->c,
					  .directory_url = STR("https://c.test/d"),
					  .account_key = f->key,
					  .methods = methods,
					  .method_count = ARRAY_LEN(methods),
					  .settle_ms = 10 };
	struct run x = { .script = str_n(data, size), .body = BUF_MAX(BODY_MAX) };
	struct err err = { 0 };
	struct rc rc = OK;
	CHECK(!FAILED(client_new(&conf, &x.cl, NULL)));
	CHECK(!FAILED(begin(&x, f, idents, ARRAY_LEN(idents))));
	for (int i = 0; rc.kind == ERR_NONE && !x.done; i++) {
		CHECK(i < STEPS_MAX);
		rc = step(&x, &err);
	}
	check_err(rc, &err);
	CHECK(x.up == 0);
	check_record(x.cl, &idents[1]);
	client_free(x.cl);
	buf_done(&x.body);
	return 0;
}

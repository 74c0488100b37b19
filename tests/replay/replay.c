/* SPDX-License-Identifier: Apache-2.0
 *
 * replay.c: runs one story (*.scn) against a whole CA in one process (tests/world), with scripted time, DNS, HTTP and
 * faults. A story is lines of words; README.md beside this file lists the commands. The first thing that is not as told
 * ends it, with its line.
 */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>

#define WORDS_MAX 64
#define THINGS_MAX 64

struct named_account {
	struct str name;
	struct world_account a;
};
struct named_order {
	struct str name, url;
	struct named_account *account;
	struct key *key; /* of its certificate */
	struct str csr;  /* the last one, base64url: sent again unless the story wants another */
	struct str names[IDENTS_MAX];
	size_t name_count;
	struct str first_chain;
};
struct story {
	struct world w;
	struct named_account accounts[THINGS_MAX];
	size_t account_count;
	struct named_order orders[THINGS_MAX];
	size_t order_count;
	struct world_reply last;
};

#define WANT(cond, ...)                                       \
	do {                                                  \
		if (!(cond))                                  \
			FAIL(err, ERR_CONFLICT, __VA_ARGS__); \
	} while (0)

static fallible account_named(struct story *s, struct str name, struct named_account **ret, struct err *err)
{
	for (size_t i = 0; i < s->account_count; i++) {
		*ret = &s->accounts[i];
		if (str_eq((*ret)->name, name))
			return OK;
	}
	FAIL(err, ERR_CONFIG, "no account %.*s in this story", STR_FMT(name));
}

static fallible order_named(struct story *s, struct str name, struct named_order **ret, struct err *err)
{
	for (size_t i = 0; i < s->order_count; i++) {
		*ret = &s->orders[i];
		if (str_eq((*ret)->name, name))
			return OK;
	}
	FAIL(err, ERR_CONFIG, "no order %.*s in this story", STR_FMT(name));
}

static fallible post(struct story *s, const struct named_account *a, struct str url, struct str payload,
		     struct err *err)
{
	world_reply_done(&s->last);
	return world_post(&s->w, &a->a, url, payload, &s->last, err);
}

static fallible want_2xx(const struct story *s, const char *doing, struct err *err)
{
	WANT(s->last.status >= 200 && s->last.status < 300, "%s: answered %d: %.*s", doing, s->last.status,
	     STR_FMT(s->last.body));
	return OK;
}

static fallible member(struct story *s, const struct json *o, const char *key, struct str *ret, struct err *err)
{
	struct str v;
	TRY(json_want_str(o, key, 8192, &v, err));
	*ret = str_dup(&s->w.mem, v);
	return OK;
}

/* --- commands: each gets its words after the command's own --- */
static fallible do_account(struct story *s, const struct str *w, size_t n, struct err *err)
{
	WANT(n == 1 && s->account_count < THINGS_MAX, "account NAME");
	struct named_account *a = &s->accounts[s->account_count++];
	a->name = w[0];
	return world_account_new(&s->w, &a->a, err);
}

static fallible do_site(struct story *s, const struct str *w, size_t n, struct err *err)
{
	struct named_account *a;
	uint64_t status;
	WANT(n >= 2, "site NAME account A | body TEXT | status N | refuses | answers");
	struct world_site *site = world_site(&s->w, w[0]);
	if (str_eq(w[1], STR("refuses"))) {
		site->refuses = true;
	} else if (str_eq(w[1], STR("answers"))) {
		site->refuses = false;
	} else if (n == 3 && str_eq(w[1], STR("account"))) {
		TRY(account_named(s, w[2], &a, err));
		site->thumbprint = str_z(a->a.thumbprint.z);
		site->body = STR_NONE;
	} else if (n == 3 && str_eq(w[1], STR("body"))) {
		site->body = w[2];
	} else if (n == 3 && str_eq(w[1], STR("status"))) {
		TRY(str_u64(w[2], 999, &status, err));
		site->status = (int)status;
	} else {
		WANT(false, "site: what is %.*s?", STR_FMT(w[1]));
	}
	return OK;
}

static fallible do_order(struct story *s, const struct str *w, size_t n, struct err *err)
{
	AUTO(buf_done) struct buf payload = BUF_MAX(65536);
	WANT(n >= 3 && s->order_count < THINGS_MAX, "order ORDER ACCOUNT NAME...");
	struct named_order *o = &s->orders[s->order_count];
	o->name = w[0];
	TRY(account_named(s, w[1], &o->account, err));
	struct jw j = jw_begin(&payload, err);
	jw_object(&j);
	jw_key(&j, "identifiers");
	jw_array(&j);
	for (size_t i = 2; i < n; i++) {
		o->names[o->name_count++] = w[i];
		jw_object(&j);
		jw_kz(&j, "type", "dns");
		jw_kstr(&j, "value", w[i]);
		jw_object_end(&j);
	}
	jw_array_end(&j);
	jw_object_end(&j);
	TRY(jw_end(&j));
	TRY(post(s, o->account, STR(WORLD_BASE "/new-order"), buf_str(&payload), err));
	if (s->last.status != 201)
		return OK; /* the story may expect a problem */
	o->url = world_header(&s->last, "Location");
	s->order_count++;
	return OK;
}

static fallible read_order(struct story *s, const struct named_order *o, struct err *err)
{
	TRY(post(s, o->account, o->url, STR_NONE, err));
	return want_2xx(s, "order", err);
}

/* Answers the http-01 challenge of every authorization, whatever state it is in. */
static fallible do_answer(struct story *s, const struct str *w, size_t n, struct err *err)
{
	struct named_order *o;
	struct str urls[IDENTS_MAX];
	WANT(n == 1, "answer ORDER");
	TRY(order_named(s, w[0], &o, err));
	TRY(read_order(s, o, err));
	const struct json *list = json_get(s->last.json, "authorizations");
	size_t count = json_count(list);
	for (size_t i = 0; i < count; i++) {
		WANT(json_as_str(json_at(list, i), &urls[i]), "authorization is no string");
		urls[i] = str_dup(&s->w.mem, urls[i]);
	}
	for (size_t i = 0; i < count; i++) {
		struct str url;
		TRY(post(s, o->account, urls[i], STR_NONE, err));
		TRY(want_2xx(s, "authorization", err));
		TRY(member(s, json_at(json_get(s->last.json, "challenges"), 0), "url", &url, err));
		TRY(post(s, o->account, url, STR("{}"), err));
		TRY(want_2xx(s, "challenge", err));
	}
	return OK;
}

static fallible csr_new(struct story *s, struct named_order *o, const struct str *names, size_t count, struct err *err)
{
	AUTO(buf_done) struct buf der = BUF_MAX(CSR_DER_MAX);
	if (count > 0)
		TRY(csr_make(s->w.crypto, o->key, names, count, &der, err));
	else
		TRY(csr_make(s->w.crypto, o->key, o->names, o->name_count, &der, err));
	o->csr = b64url_encode(&s->w.mem, buf_str(&der));
	return OK;
}

static fallible do_finalize(struct story *s, const struct str *w, size_t n, struct err *err)
{
	struct named_order *o;
	WANT(n >= 1, "finalize ORDER [fresh-key] [NAME...]");
	TRY(order_named(s, w[0], &o, err));
	bool fresh = n > 1 && str_eq(w[1], STR("fresh-key"));
	size_t from = fresh ? 2 : 1;
	if (o->key == NULL || fresh) {
		key_free(o->key);
		o->key = NULL;
		TRY(key_generate(KEY_P256, 0, &o->key, err));
	}
	if (o->csr.n == 0 || fresh || n > from)
		TRY(csr_new(s, o, w + from, n - from, err));
	struct str payload = str_fmt(&s->w.mem, "{\"csr\":\"%.*s\"}", (int)o->csr.n, o->csr.p);
	return post(s, o->account, str_fmt(&s->w.mem, "%.*s/finalize", STR_FMT(o->url)), payload, err);
}

static fallible leaf_check(struct story *s, const struct named_order *o, struct str chain, struct err *err)
{
	AUTO(cert_auto) struct cert *leaf = NULL;
	AUTO(key_auto) struct key *key = NULL;
	struct cert *all[8] = { 0 };
	size_t count;
	struct str *names;
	size_t name_count;
	char path[128];
	snprintf(path, sizeof path, "%s/got.pem", s->w.dir);
	TRY(file_write_atomic(path, chain, 0644, err));
	TRY(cert_read_pem_file(path, all, ARRAY_LEN(all), &count, err));
	leaf = all[0];
	for (size_t i = 1; i < count; i++)
		cert_free(all[i]);
	WANT(count == 2, "the chain has %zu certificates", count);
	TRY(cert_get_key(leaf, &key, err));
	TRY(cert_get_dns_names(&s->w.mem, leaf, &names, &name_count, err));
	WANT(name_count == o->name_count, "the certificate has %zu names, the order %zu", name_count, o->name_count);
	WANT(cert_get_not_after(leaf) - cert_get_not_before(leaf) + 1 == 90 * 86400,
	     "the certificate's life is not 90 days");
	return OK;
}

/* Fetches the certificate; a second time it must be the same bytes. */
static fallible do_cert(struct story *s, const struct str *w, size_t n, struct err *err)
{
	struct named_order *o;
	struct str url;
	WANT(n == 1, "cert ORDER");
	TRY(order_named(s, w[0], &o, err));
	TRY(read_order(s, o, err));
	TRY(member(s, s->last.json, "certificate", &url, err));
	TRY(post(s, o->account, url, STR_NONE, err));
	TRY(want_2xx(s, "certificate", err));
	TRY(leaf_check(s, o, s->last.body, err));
	WANT(o->first_chain.n == 0 || str_eq(o->first_chain, s->last.body), "the order has a second certificate");
	o->first_chain = s->last.body;
	return OK;
}

static fallible do_run(struct story *s, const struct str *w, size_t n, struct err *err)
{
	(void)w;
	WANT(n == 0, "run");
	return world_run(&s->w, err);
}

static fallible do_sweep(struct story *s, const struct str *w, size_t n, struct err *err)
{
	(void)w;
	WANT(n == 0, "sweep");
	return acme_sweep(s->w.acme, err);
}

static fallible do_sleep(struct story *s, const struct str *w, size_t n, struct err *err)
{
	uint64_t v;
	WANT(n == 1 && w[0].n > 1, "sleep 5s");
	char unit = w[0].p[w[0].n - 1];
	TRY(str_u64(str_sub(w[0], 0, w[0].n - 1), 1000000, &v, err));
	int64_t ms = unit == 's' ? 1000 : unit == 'm' ? 60000 : unit == 'h' ? 3600000 : unit == 'd' ? 86400000 : 0;
	WANT(ms > 0, "sleep wants s, m, h or d");
	s->w.now_ms += (int64_t)v * ms;
	return OK;
}

static fallible do_switch(struct story *s, const struct str *w, size_t n, struct err *err)
{
	WANT(n == 2, "set SWITCH on|off");
	bool on = str_eq(w[1], STR("on"));
	const struct {
		struct str name;
		bool *at;
	} rows[] = {
		{ STR("validator-down"), &s->w.validator_down },
		{ STR("signer-down"), &s->w.signer_down },
		{ STR("bus-down"), &s->w.bus_down },
		{ STR("doubling"), &s->w.doubling },
		{ STR("losing-verdicts"), &s->w.losing_verdicts },
		{ STR("losing-certificates"), &s->w.losing_certificates },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (str_eq(w[0], rows[i].name)) {
			*rows[i].at = on;
			return OK;
		}
	}
	WANT(false, "no switch %.*s", STR_FMT(w[0]));
	return OK;
}

static fallible do_restart(struct story *s, const struct str *w, size_t n, struct err *err)
{
	WANT(n == 1, "restart api|signer|bus");
	if (str_eq(w[0], STR("api")))
		return world_restart_api(&s->w, err);
	if (str_eq(w[0], STR("signer")))
		return world_restart_signer(&s->w, err);
	WANT(str_eq(w[0], STR("bus")), "restart what?");
	s->w.first = s->w.last; /* all that was on it is lost */
	return OK;
}

/* Each word is a line of the configuration file; together they take the place of the world's realm. */
static fallible do_configure(struct story *s, const struct str *w, size_t n, struct err *err)
{
	AUTO(buf_done) struct buf text = BUF_MAX(8192);
	WANT(n >= 1, "configure LINE...");
	for (size_t i = 0; i < n; i++)
		TRY(buf_addf(&text, err, "%.*s\n", STR_FMT(w[i])));
	TRY(buf_add_char(&text, '\0', err));
	return world_configure(&s->w, text.p, err);
}

static fallible do_deactivate(struct story *s, const struct str *w, size_t n, struct err *err)
{
	struct named_account *a;
	struct named_order *o;
	struct str url;
	if (n == 2 && str_eq(w[0], STR("account"))) {
		TRY(account_named(s, w[1], &a, err));
		return post(s, a, a->a.url, STR("{\"status\":\"deactivated\"}"), err);
	}
	WANT(n == 2 && str_eq(w[0], STR("authz")), "deactivate account A | authz ORDER");
	TRY(order_named(s, w[1], &o, err));
	TRY(read_order(s, o, err));
	WANT(json_as_str(json_at(json_get(s->last.json, "authorizations"), 0), &url), "no authorization");
	return post(s, o->account, str_dup(&s->w.mem, url), STR("{\"status\":\"deactivated\"}"), err);
}

static bool contains(struct str hay, struct str needle)
{
	return memmem(hay.p, hay.n, needle.p, needle.n) != NULL;
}

static fallible problem_is(const struct json *p, struct str type, struct str text, struct err *err)
{
	struct str got_type, detail;
	WANT(p != NULL, "there is no problem document");
	TRY(json_want_str(p, "type", 256, &got_type, err));
	TRY(json_want_str(p, "detail", 4096, &detail, err));
	WANT(str_skip(&got_type, STR(PROBLEM_URN)) && str_eq(got_type, type), "problem type %.*s (%.*s), wanted %.*s",
	     STR_FMT(got_type), STR_FMT(detail), STR_FMT(type));
	WANT(contains(detail, text), "problem says \"%.*s\", wanted \"%.*s\" in it", STR_FMT(detail), STR_FMT(text));
	return OK;
}

static fallible count_store(struct store_tx *tx, void *ctx, struct err *err)
{
	return store_count(tx, ctx, err);
}

struct journal_count {
	size_t done, begun;
};

static fallible count_journal(void *ctx, enum journal_kind kind, const struct journal_entry *e, struct err *err)
{
	struct journal_count *c = ctx;
	(void)e;
	(void)err;
	c->done += kind == JOURNAL_DONE;
	c->begun += kind == JOURNAL_BEGIN;
	return OK;
}

/* Certificates in the store, and in the signer's journal: never more there than were finalized. */
static fallible expect_issued(struct story *s, const struct str *w, size_t n, struct err *err)
{
	struct store_counts counts;
	struct journal_count j = { 0 };
	uint64_t in_store, in_journal;
	char path[128];
	WANT(n == 2, "expect issued STORE JOURNAL");
	TRY(str_u64(w[0], 1000, &in_store, err));
	TRY(str_u64(w[1], 1000, &in_journal, err));
	TRY(store_read(s->w.store, count_store, &counts, err));
	snprintf(path, sizeof path, "%s/journal", s->w.dir);
	TRY(journal_walk(path, count_journal, &j, err));
	WANT(counts.certificates == in_store, "the store has %llu certificates",
	     (unsigned long long)counts.certificates);
	WANT(j.done == in_journal, "the journal has %zu certificates", j.done);
	return OK;
}

static fallible expect_authz(struct story *s, const struct str *w, size_t n, struct err *err)
{
	struct named_order *o;
	struct str url, status;
	WANT(n == 2 || n == 3, "expect authz ORDER STATUS [CHALLENGE-STATUS]");
	TRY(order_named(s, w[0], &o, err));
	TRY(read_order(s, o, err));
	WANT(json_as_str(json_at(json_get(s->last.json, "authorizations"), 0), &url), "no authorization");
	TRY(post(s, o->account, str_dup(&s->w.mem, url), STR_NONE, err));
	TRY(json_want_str(s->last.json, "status", 64, &status, err));
	WANT(str_eq(status, w[1]), "the authorization is %.*s", STR_FMT(status));
	if (n == 3) {
		TRY(json_want_str(json_at(json_get(s->last.json, "challenges"), 0), "status", 64, &status, err));
		WANT(str_eq(status, w[2]), "the challenge is %.*s", STR_FMT(status));
	}
	return OK;
}

static fallible do_expect(struct story *s, const struct str *w, size_t n, struct err *err)
{
	struct named_order *o;
	struct str status;
	uint64_t code;
	WANT(n >= 2, "expect what?");
	if (str_eq(w[0], STR("issued")))
		return expect_issued(s, w + 1, n - 1, err);
	if (str_eq(w[0], STR("authz")))
		return expect_authz(s, w + 1, n - 1, err);
	if (str_eq(w[0], STR("status"))) {
		TRY(str_u64(w[1], 999, &code, err));
		WANT(s->last.status == (int)code, "the last reply was %d: %.*s", s->last.status, STR_FMT(s->last.body));
		return OK;
	}
	if (str_eq(w[0], STR("problem")))
		return problem_is(s->last.json, w[1], n > 2 ? w[2] : STR_NONE, err);
	TRY(order_named(s, w[1], &o, err));
	TRY(read_order(s, o, err));
	if (str_eq(w[0], STR("error")))
		return problem_is(json_get(s->last.json, "error"), w[2], n > 3 ? w[3] : STR_NONE, err);
	WANT(n == 3 && str_eq(w[0], STR("order")), "expect order ORDER STATUS");
	TRY(json_want_str(s->last.json, "status", 64, &status, err));
	WANT(str_eq(status, w[2]), "order %.*s is %.*s, wanted %.*s", STR_FMT(w[1]), STR_FMT(status), STR_FMT(w[2]));
	return OK;
}

static const struct {
	const char *name;
	fallible (*run)(struct story *s, const struct str *words, size_t count, struct err *err);
} commands[] = {
	{ "account", do_account },
	{ "site", do_site },
	{ "order", do_order },
	{ "answer", do_answer },
	{ "finalize", do_finalize },
	{ "cert", do_cert },
	{ "run", do_run },
	{ "sweep", do_sweep },
	{ "sleep", do_sleep },
	{ "set", do_switch },
	{ "restart", do_restart },
	{ "deactivate", do_deactivate },
	{ "configure", do_configure },
	{ "expect", do_expect },
};

/* Words are parted by blanks; "two words" in quotes are one. */
static size_t split(struct str line, struct str words[WORDS_MAX])
{
	size_t n = 0, i = 0;
	while (n < WORDS_MAX) {
		while (i < line.n && (line.p[i] == ' ' || line.p[i] == '\t'))
			i++;
		if (i >= line.n || line.p[i] == '#')
			break;
		bool quoted = line.p[i] == '"';
		size_t end = str_find(line, quoted ? '"' : ' ', i + 1);
		words[n++] = str_sub(line, quoted ? i + 1 : i, end);
		i = end + 1;
	}
	return n;
}

static fallible run_line(struct story *s, struct str line, struct err *err)
{
	struct str words[WORDS_MAX];
	size_t n = split(line, words);
	if (n == 0)
		return OK;
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (str_eq(words[0], str_z(commands[i].name)))
			return commands[i].run(s, words + 1, n - 1, err);
	FAIL(err, ERR_CONFIG, "no command %.*s", STR_FMT(words[0]));
}

static void story_done(struct story *s)
{
	world_reply_done(&s->last);
	for (size_t i = 0; i < s->account_count; i++)
		key_free(s->accounts[i].a.key);
	for (size_t i = 0; i < s->order_count; i++)
		key_free(s->orders[i].key);
	world_close(&s->w);
}

int main(int argc, char **argv)
{
	static struct story story;
	AUTO(buf_done) struct buf text = BUF_MAX(1 << 20);
	struct err err = { 0 };
	struct str line;
	int number = 0, code = 0;
	if (argc != 2 || FAILED(file_read(argv[1], text.max, &text, &err)) ||
	    FAILED(world_open(&story.w, NULL, &err))) {
		fprintf(stderr, "usage: replay STORY.scn: %s\n", err.detail);
		return 2;
	}
	struct cur c = cur_of(buf_str(&text));
	while (code == 0 && !FAILED(cur_until(&c, '\n', &line, NULL))) {
		number++;
		err = (struct err){ 0 };
		if (FAILED(run_line(&story, line, &err))) {
			fprintf(stderr, "%s:%d: %.*s\n\t%s %s\n", argv[1], number, STR_FMT(line), err.detail,
				err.cause);
			code = 1;
		}
	}
	story_done(&story);
	return code;
}

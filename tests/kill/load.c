/* SPDX-License-Identifier: Apache-2.0
 *
 * load.c: cairn-load: clients that go on while a server is killed under them. Each is a thread with an account, an engine
 * and kept connections of its own; each order asks for a name that was never asked for; each certificate is looked at
 * before it counts. With --tolerate-unavailable it waits for a server that is being killed, and --journal keeps every
 * object that the server has acknowledged, so that somebody can ask afterwards whether it is still there.
 */
#include "client/client.h"

#include "../../bench/options.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define CLIENTS_MAX 1024
#define LINE_MAX_LEN 8192
#define NUMBER_MAX 1000000000

struct options {
	struct str server, suffix;
	const char *ca_file, *journal;
	unsigned clients, port;
	uint64_t seconds, orders, timeout_s, poll_ms;
	bool json, tolerate;
};

struct failures { /* one kind */
	unsigned count;
	char first[ERR_DETAIL_MAX];
};

struct shared {
	const struct options *o;
	const struct crypto *crypto;
	struct responder *responder;
	int64_t end_ms; /* INT64_MAX: --orders decides */
	atomic_uint_fast64_t begun;
	int journal_fd;
};

struct worker {
	struct shared *s;
	unsigned number;
	pthread_t thread;
	struct key *account_key, *key;
	struct client *client;
	struct fetcher *fetcher;
	struct str account_url, order_url; /* in order_mem or account_mem: what the journal has already */
	struct arena account_mem, order_mem;
	struct str issuers; /* in account_mem: behind the leaf, as it was checked once */
	int64_t *took_us;
	size_t done, room;
	struct failures failures[ERR_KIND_COUNT];
};

/* --- the journal --------------------------------------------------------------------------------------------------*/

/* One write(2) with O_APPEND a line: lines of several threads do not mix. */
static void journal(struct worker *w, const char *kind, struct str url, struct str order, struct str sha256)
{
	AUTO(buf_done) struct buf line = BUF_MAX(LINE_MAX_LEN);
	if (w->s->journal_fd < 0)
		return;
	struct jw j = jw_begin(&line, NULL);
	jw_object(&j);
	jw_ki64(&j, "at", clock_now_ms(&clock_system));
	jw_kz(&j, "kind", kind);
	jw_kstr(&j, "url", url);
	jw_kstr(&j, "account", w->account_url);
	if (order.n > 0)
		jw_kstr(&j, "order", order);
	if (sha256.n > 0)
		jw_kstr(&j, "sha256", sha256);
	jw_object_end(&j);
	if (FAILED(jw_end(&j)) || FAILED(buf_add_char(&line, '\n', NULL)) ||
	    FAILED(fd_write_all(w->s->journal_fd, buf_str(&line), NULL))) {
		(void)fprintf(stderr, "cairn-load: the journal cannot be written\n");
		_exit(1); /* a journal with holes proves nothing */
	}
}

static void on_step(void *ctx, const struct client_step *step)
{
	struct worker *w = ctx;
	if (w->account_url.n == 0 && step->account_url.n > 0) {
		w->account_url = str_dup(&w->account_mem, step->account_url);
		journal(w, "account", w->account_url, STR_NONE, STR_NONE);
	}
	if (step->order_url.n > 0 && w->order_url.n == 0) {
		w->order_url = str_dup(&w->order_mem, step->order_url);
		journal(w, "order", w->order_url, STR_NONE, STR_NONE);
	}
	if (step->kind != CLIENT_DONE || w->s->journal_fd < 0)
		return;
	struct sha256 hash;
	if (!FAILED(digest_sha256(w->s->crypto, step->chain_pem, &hash, NULL)))
		journal(w, "certificate", step->certificate_url, w->order_url,
			hex_encode(&w->order_mem, str_n(hash.b, sizeof hash.b)));
}

/* --- one order ----------------------------------------------------------------------------------------------------*/

static fallible on_publish(void *ctx, const struct client_answer *answer, struct err *err)
{
	const struct worker *w = ctx;
	return responder_add(w->s->responder, answer->token, answer->key_authorization, err);
}

static void on_withdraw(void *ctx, const struct client_answer *answer)
{
	const struct worker *w = ctx;
	responder_remove(w->s->responder, answer->token);
}

/* Parsing a certificate is dear in OpenSSL 3, so the issuers, which do not change, are looked at once. */
static fallible chain_look(struct worker *w, struct str pem, const struct ident *name, struct err *err)
{
	static const char end[] = "-----END CERTIFICATE-----\n";
	struct client_chain chain;
	const char *leaf_end = memmem(pem.p, pem.n, end, sizeof end - 1);
	size_t at = leaf_end == NULL ? pem.n : (size_t)(leaf_end - pem.p) + sizeof end - 1;
	struct str rest = str_sub(pem, at, pem.n);
	bool known = w->issuers.n > 0 && str_eq(rest, w->issuers);
	TRY(client_chain_check(&w->order_mem, known ? str_sub(pem, 0, at) : pem, w->key, name, 1, &chain, err));
	if (w->issuers.n == 0)
		w->issuers = str_dup(&w->account_mem, rest);
	return OK;
}

static fallible one_order(struct worker *w, uint64_t number, struct err *err)
{
	const struct options *o = w->s->o;
	const struct client_answers answers = {
		.publish = on_publish, .withdraw = on_withdraw, .step = on_step, .ctx = w
	};
	const struct client_drive how = {
		.fetcher = w->fetcher,
		.ca_file = o->ca_file,
		.user_agent = STR("cairn-load/" CAIRN_VERSION),
		.clk = &clock_system,
		.deadline_mono_ms = clock_mono_ms(&clock_system) + (int64_t)o->timeout_s * 1000,
		.answers = &answers,
		.patient = o->tolerate,
	};
	struct str pem;
	const struct ident name = {
		IDENT_DNS,
		str_fmt(&w->order_mem, "c%u-%06llu%.*s", w->number, (unsigned long long)number, STR_FMT(o->suffix)),
	};
	const struct client_wanted wanted = { .idents = &name, .count = 1, .key = w->key };
	TRY(client_order(w->client, &wanted, err));
	TRY(client_drive(w->client, &how, &w->order_mem, &pem, err));
	return chain_look(w, pem, &name, err);
}

static void count_failure(struct worker *w, const struct err *err)
{
	struct failures *f = &w->failures[err->kind];
	if (f->count++ == 0)
		memcpy(f->first, err->detail, sizeof f->first);
}

static void count_success(struct worker *w, int64_t us)
{
	if (w->done == w->room) {
		w->room = w->room == 0 ? 1024 : 2 * w->room;
		w->took_us = mem_grow(w->took_us, sizeof *w->took_us, w->room);
	}
	w->took_us[w->done++] = us;
}

static int64_t mono_us(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* SIGTERM is blocked in every thread and stays pending for all of them to see: what is in work is finished. */
static bool asked_to_stop(void)
{
	sigset_t pending;
	return sigpending(&pending) == 0 && sigismember(&pending, SIGTERM) == 1;
}

static void *worker_run(void *arg)
{
	struct worker *w = arg;
	struct shared *s = w->s;
	for (uint64_t n = 0; clock_mono_ms(&clock_system) < s->end_ms && !asked_to_stop(); n++) {
		struct err err = { 0 };
		if (s->o->orders > 0 && atomic_fetch_add(&s->begun, 1) >= s->o->orders)
			break;
		int64_t began = mono_us();
		w->order_url = STR_NONE;
		if (FAILED(one_order(w, n, &err)))
			count_failure(w, &err);
		else
			count_success(w, mono_us() - began);
		arena_done(&w->order_mem);
	}
	return NULL;
}

static fallible worker_open(struct worker *w, struct shared *s, unsigned number, struct err *err)
{
	w->s = s;
	w->number = number;
	TRY(key_generate(KEY_P256, 0, &w->account_key, err));
	TRY(key_generate(KEY_P256, 0, &w->key, err)); /* one for all of its orders: this measures the server */
	TRY(fetcher_new(true, &w->fetcher, err));
	const struct client_conf conf = {
		.crypto = s->crypto,
		.directory_url = s->o->server,
		.account_key = w->account_key,
		.terms_agreed = true,
		.poll_ms = (int64_t)s->o->poll_ms,
	};
	return client_new(&conf, &w->client, err);
}

static void worker_done(struct worker *w)
{
	client_free(w->client);
	fetcher_free(w->fetcher);
	key_free(w->account_key);
	key_free(w->key);
	arena_done(&w->account_mem);
	free(w->took_us);
}

/* --- the report ---------------------------------------------------------------------------------------------------*/

struct report {
	size_t orders, failed;
	double seconds, rate, p50_ms, p90_ms, p99_ms, max_ms;
	struct failures failures[ERR_KIND_COUNT];
};

static int by_size(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return x < y ? -1 : x > y;
}

static double at_percent(const int64_t *sorted, size_t n, unsigned percent)
{
	return n == 0 ? 0 : (double)sorted[(n - 1) * percent / 100] / 1000;
}

static void report_make(const struct worker *workers, unsigned count, int64_t us, struct report *ret)
{
	size_t n = 0;
	for (unsigned i = 0; i < count; i++)
		ret->orders += workers[i].done;
	int64_t *all = mem_alloc_n(sizeof *all, ret->orders + 1);
	for (unsigned i = 0; i < count; i++) {
		if (workers[i].done > 0)
			memcpy(all + n, workers[i].took_us, workers[i].done * sizeof *all);
		n += workers[i].done;
		for (size_t k = 0; k < ERR_KIND_COUNT; k++) {
			const struct failures *f = &workers[i].failures[k];
			if (f->count > 0 && ret->failures[k].count == 0)
				memcpy(ret->failures[k].first, f->first, sizeof f->first);
			ret->failures[k].count += f->count;
			ret->failed += f->count;
		}
	}
	qsort(all, n, sizeof *all, by_size);
	ret->seconds = (double)us / 1e6;
	ret->rate = ret->seconds > 0 ? (double)n / ret->seconds : 0;
	ret->p50_ms = at_percent(all, n, 50);
	ret->p90_ms = at_percent(all, n, 90);
	ret->p99_ms = at_percent(all, n, 99);
	ret->max_ms = at_percent(all, n, 100);
	free(all);
}

static void report_text(const struct report *r)
{
	printf("%zu certificates in %.1f s: %.1f/s; %zu failed\n", r->orders, r->seconds, r->rate, r->failed);
	printf("a whole issuance: p50 %.1f ms, p90 %.1f ms, p99 %.1f ms, worst %.1f ms\n", r->p50_ms, r->p90_ms,
	       r->p99_ms, r->max_ms);
	for (size_t k = 0; k < ERR_KIND_COUNT; k++)
		if (r->failures[k].count > 0)
			printf("%u x %s, the first: %s\n", r->failures[k].count, err_kind_name((enum err_kind)k),
			       r->failures[k].first);
}

static fallible report_json(const struct report *r, struct err *err)
{
	AUTO(buf_done) struct buf out = BUF_MAX(256 * 1024);
	TRY(buf_addf(&out, err,
		     "{\"orders\":%zu,\"failed\":%zu,\"seconds\":%.3f,\"rate\":%.2f,\"p50_ms\":%.3f,\"p90_ms\":%.3f,"
		     "\"p99_ms\":%.3f,\"max_ms\":%.3f,\"failures\":",
		     r->orders, r->failed, r->seconds, r->rate, r->p50_ms, r->p90_ms, r->p99_ms, r->max_ms));
	struct jw w = jw_begin(&out, err);
	jw_array(&w);
	for (size_t k = 0; k < ERR_KIND_COUNT; k++) {
		if (r->failures[k].count == 0)
			continue;
		jw_object(&w);
		jw_kz(&w, "kind", err_kind_name((enum err_kind)k));
		jw_ki64(&w, "count", r->failures[k].count);
		jw_kz(&w, "first", r->failures[k].first);
		jw_object_end(&w);
	}
	jw_array_end(&w);
	TRY(jw_end(&w));
	TRY(buf_add(&out, STR("}\n"), err));
	return fd_write_all(STDOUT_FILENO, buf_str(&out), err);
}

/* --- the run ------------------------------------------------------------------------------------------------------*/

static fallible run_workers(struct shared *s, struct worker *workers, struct err *err)
{
	unsigned started = 0;
	int rc = 0;
	for (unsigned i = 0; i < s->o->clients; i++)
		TRY(worker_open(&workers[i], s, i, err));
	s->end_ms = s->o->orders > 0 ? INT64_MAX : clock_mono_ms(&clock_system) + (int64_t)s->o->seconds * 1000;
	while (started < s->o->clients && rc == 0) {
		rc = pthread_create(&workers[started].thread, NULL, worker_run, &workers[started]);
		started += rc == 0 ? 1 : 0;
	}
	for (unsigned i = 0; i < started; i++)
		(void)pthread_join(workers[i].thread, NULL);
	if (rc != 0)
		FAIL(err, ERR_IO, "only %u of %u threads could be started: %s", started, s->o->clients,
		     strerrordesc_np(rc));
	return OK;
}

static fallible run(struct shared *s, struct worker *workers, struct report *ret, struct err *err)
{
	struct addr local = { .family = AF_INET, .b = { 127, 0, 0, 1 } };
	const struct options *o = s->o;
	TRY(responder_new(&local, (uint16_t)o->port, &s->responder, err));
	if (o->journal != NULL) {
		s->journal_fd = open(o->journal, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
		if (s->journal_fd < 0)
			FAIL(err, ERR_IO, "open %s: %s", o->journal, strerrordesc_np(errno));
	}
	int64_t began = mono_us();
	TRY(run_workers(s, workers, err));
	report_make(workers, o->clients, mono_us() - began, ret);
	return OK;
}

/* --- the command line ---------------------------------------------------------------------------------------------*/

static const char usage[] =
	"usage: cairn-load --server DIRECTORY-URL (--seconds S | --orders N) [options]\n"
	"\n"
	"  --ca-file FILE          roots to trust for the server's certificate\n"
	"  --clients N             threads, each with an account of its own (1)\n"
	"  --http-port P           where http-01 is answered, on 127.0.0.1 (5002)\n"
	"  --names-suffix S        names are cCLIENT-NUMBER with this behind (.load.test)\n"
	"  --poll-ms N             look again after so long, whatever Retry-After says (10; 0: do as the server says)\n"
	"  --timeout S             of one order (60)\n"
	"  --tolerate-unavailable  try again while the server is away or answers 5xx\n"
	"  --journal FILE          append a JSON line for each account, order and certificate acknowledged\n"
	"  --json                  report as one JSON object\n"
	"\n"
	"SIGTERM: begin no more orders, finish those in work, report.\n"
	"exit status: 0 every order gave its certificate, 1 otherwise\n";

#define AT(member) offsetof(struct options, member)
static const struct option_row rows[] = {
	{ "server", OPTION_STR, AT(server) },
	{ "ca-file", OPTION_TEXT, AT(ca_file) },
	{ "clients", OPTION_COUNT, AT(clients), 1, CLIENTS_MAX },
	{ "seconds", OPTION_NUMBER, AT(seconds), 1, NUMBER_MAX },
	{ "orders", OPTION_NUMBER, AT(orders), 1, NUMBER_MAX },
	{ "http-port", OPTION_COUNT, AT(port), 1, UINT16_MAX },
	{ "names-suffix", OPTION_STR, AT(suffix) },
	{ "poll-ms", OPTION_NUMBER, AT(poll_ms), 0, NUMBER_MAX },
	{ "timeout", OPTION_NUMBER, AT(timeout_s), 1, NUMBER_MAX },
	{ "tolerate-unavailable", OPTION_FLAG, AT(tolerate) },
	{ "journal", OPTION_TEXT, AT(journal) },
	{ "json", OPTION_FLAG, AT(json) },
	{ .name = NULL },
};

int main(int argc, char **argv)
{
	struct options o = { .suffix = STR(".load.test"), .clients = 1, .port = 5002, .timeout_s = 60, .poll_ms = 10 };
	struct shared s = { .o = &o, .journal_fd = -1 };
	struct report r = { 0 };
	struct err err = { 0 };
	struct crypto *crypto = NULL;
	int code = options_read(rows, usage, &o, argc, argv);
	if (code >= 0)
		return code;
	if (o.server.n == 0 || (o.seconds > 0) == (o.orders > 0)) {
		(void)fputs(usage, stderr);
		return 1;
	}
	sigset_t term;
	(void)sigemptyset(&term);
	(void)sigaddset(&term, SIGTERM);
	(void)sigprocmask(SIG_BLOCK, &term, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	struct worker *workers = mem_alloc_n(sizeof *workers, o.clients);
	struct rc rc = crypto_new(&crypto, &err);
	s.crypto = crypto;
	if (!FAILED(rc))
		rc = run(&s, workers, &r, &err);
	if (!FAILED(rc) && o.json)
		rc = report_json(&r, &err);
	else if (!FAILED(rc))
		report_text(&r);
	if (FAILED(rc))
		(void)fprintf(stderr, "cairn-load: %s\n", err.detail);
	for (unsigned i = 0; i < o.clients; i++)
		worker_done(&workers[i]);
	free(workers);
	responder_free(s.responder);
	fd_close(&s.journal_fd);
	crypto_free(crypto);
	return FAILED(rc) || r.failed > 0 || r.orders == 0 ? 1 : 0;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * main.c: cairn-bench, a load generator for ACME servers: sets the clients up, starts the clock, stops it, reports. What
 * it measures and how cheaply is told in bench/README.md.
 */
#include "generator.h"

#include "../options.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#define RSA_KEYS_MAX 8
#define VERIFY_SHARE 16
#define PREPARE 200

static const struct answerer *const answerers[CHALLENGE_COUNT] = {
	[CHALLENGE_HTTP] = &answerer_http,
	[CHALLENGE_DNS] = &answerer_dns,
	[CHALLENGE_ALPN] = &answerer_alpn,
};

/* --- the clock -------------------------------------------------------------------------------------------------------*/

static void time_up(struct loop *l, void *arg)
{
	struct bench *b = arg;
	(void)l;
	if (b->phase != PHASE_RUN)
		return;
	b->tally.time_up_us = mono_us();
	b->phase = PHASE_OVER;
}

void bench_ready(struct bench *b)
{
	b->phase = PHASE_RUN;
	b->busy = b->o->clients;
	b->begun = 0;
	tally_begin(&b->tally);
	b->next_us = b->tally.began_us;
	if (b->o->seconds > 0)
		loop_timer_set(b->time_up, (int64_t)b->o->seconds * 1000);
	for (unsigned i = 0; i < b->o->clients; i++)
		client_begin(b->clients[i]);
}

void bench_idle(struct bench *b)
{
	time_up(b->loop, b); /* when the orders ended before the time */
	tally_end(&b->tally);
	loop_stop(b->loop);
}

/* --- set-up ----------------------------------------------------------------------------------------------------------*/

static fallible address_of(const struct url *u, struct addr *ret, struct err *err)
{
	if (u->host_is_addr) {
		*ret = u->addr;
		return OK;
	}
	AUTO(arena_done) struct arena mem = { 0 };
	struct addrinfo hints = { .ai_family = AF_INET, .ai_socktype = SOCK_STREAM }, *found = NULL;
	struct sockaddr_storage sa = { 0 };
	uint16_t port;
	int rc = getaddrinfo(str_dupz_raw(&mem, u->host), NULL, &hints, &found);
	if (rc != 0)
		FAIL(err, ERR_CONFIG, "the server's address: %s", gai_strerror(rc));
	memcpy(&sa, found->ai_addr, found->ai_addrlen);
	freeaddrinfo(found);
	if (!addr_of_sockaddr(&sa, ret, &port))
		FAIL(err, ERR_CONFIG, "the server has no address that is served");
	return OK;
}

static fallible server_read(struct bench *b, struct err *err)
{
	const struct options *o = b->o;
	struct url u;
	TRY(url_read(&b->mem, o->server, 512, &u, err));
	if (!u.https)
		FAIL(err, ERR_CONFIG, "--server wants an https URL");
	/* Up to the path, as it was given: the URLs of the directory begin the same way. */
	size_t path = str_find(o->server, '/', sizeof "https://" - 1);
	b->base = str_sub(o->server, 0, path);
	b->conn.authority = str_sub(o->server, sizeof "https://" - 1, path);
	b->conn.host = str_dupz_raw(&b->mem, u.host);
	b->conn.port = u.port;
	b->conn.loop = b->loop;
	TRY(address_of(&u, &b->conn.addr, err));
	return conn_tls_new(o->ca_file, &b->conn.tls, err);
}

static fallible clients_new(struct bench *b, struct bench_key **keys, unsigned key_count, struct err *err)
{
	for (unsigned i = 0; i < key_count; i++)
		TRY(bench_key_new(b->signing, b->o->alg, &keys[i], err));
	for (unsigned i = 0; i < b->o->clients; i++) {
		b->clients[i] = client_new(b, i, keys[i % key_count]);
		TRY(client_set_up(b->clients[i], err));
	}
	return OK;
}

static void files_raise(void)
{
	struct rlimit r;
	if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur < r.rlim_max) {
		r.rlim_cur = r.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &r);
	}
}

static fallible run(struct bench *b, struct bench_key **keys, unsigned key_count, void **answers, struct err *err)
{
	TRY(loop_new(&clock_system, &b->loop, err));
	TRY(signing_new(&b->signing, err));
	b->scratch = scratch_new();
	if (b->o->syncs != NULL)
		TRY(tally_syncs(&b->tally, b->o->syncs, err));
	TRY(signing_measure(&b->tally.sign_us, err));
	TRY(looker_new(b->o->roots, b->o->share, &b->looker, err));
	TRY(server_read(b, err));
	b->time_up = loop_timer_new(b->loop, time_up, b);
	TRY(clients_new(b, keys, key_count, err));
	TRY(answerers[b->o->challenge]->new (b, (uint16_t)b->o->challenge_port, answers, err));
	b->started_us = mono_us();
	client_start(b->clients[0]); /* the directory; then the others */
	TRY(loop_run(b->loop, err));
	if (b->broken)
		FAIL(err, ERR_CLOSED, "it could not be set up");
	return OK;
}

static void bench_done(struct bench *b, struct bench_key **keys, unsigned key_count, void *answers)
{
	if (answers != NULL)
		answerers[b->o->challenge]->free(answers);
	for (unsigned i = 0; i < b->o->clients; i++)
		client_free(b->clients[i]);
	for (unsigned i = 0; i < key_count; i++)
		bench_key_free(keys[i]);
	if (b->time_up != NULL)
		loop_timer_free(b->time_up);
	SSL_CTX_free(b->conn.tls);
	looker_free(b->looker);
	scratch_free(b->scratch);
	signing_free(b->signing);
	loop_free(b->loop);
	arena_done(&b->mem);
	free(b->clients);
}

/* --- the command line ------------------------------------------------------------------------------------------------*/

static const char usage[] =
	"usage: cairn-bench --server DIRECTORY-URL (--seconds S | --orders N) [options]\n"
	"\n"
	"  --ca-file FILE          roots to trust for the server's own certificate (none: it is not looked at)\n"
	"  --root FILE             roots that the issued certificates must lead to\n"
	"  --clients N             each with an account and a connection of its own (1)\n"
	"  --names N               in each certificate (1)\n"
	"  --challenge TYPE        http-01, dns-01 (this is then the name server for all names) or tls-alpn-01\n"
	"  --challenge-port P      where it is answered, on 127.0.0.1 (5002); also --http-port\n"
	"  --only REQUEST          newnonce, newaccount, neworder, read or revoke, instead of whole issuances\n"
	"  --prepare N             certificates to issue before the clock starts, with --only revoke (200)\n"
	"  --account-alg ALG       ES256, or RS256 (clients then share eight accounts)\n"
	"  --connection KEPT       kept, order (a new one for each order) or request\n"
	"  --rate N                orders begun in a second, whether or not the last ones have ended; the wait counts\n"
	"  --overload              503 and 429 are no failures: the client comes back after Retry-After\n"
	"  --poll-ms N             look again after so long, whatever Retry-After says (10; 0: do as the server says)\n"
	"  --timeout S             of one request, and of one order's polling (60)\n"
	"  --verify-share N        of one certificate in N the signature is verified (16); all else of every one\n"
	"  --watch NAME=PID        report what this process used meanwhile; PID+: and its children; up to eight\n"
	"  --syncs FILE            where bench-syncs counts them\n"
	"  --names-suffix S        (.load.test)\n"
	"  --json                  report as one JSON object\n"
	"\n"
	"exit status: 0 everything was as it must be, 1 otherwise\n";

static const char *const task_names[TASK_COUNT] = {
	[TASK_ISSUE] = "issue",        [TASK_NEW_NONCE] = "newnonce", [TASK_NEW_ACCOUNT] = "newaccount",
	[TASK_NEW_ORDER] = "neworder", [TASK_READ] = "read",          [TASK_REVOKE] = "revoke",
};
static const char *const challenge_names[CHALLENGE_COUNT] = { "http-01", "dns-01", "tls-alpn-01" };
static const char *const alg_names[] = { "ES256", "RS256" };
static const char *const kept_names[] = { "kept", "order", "request" };

/* The command line fills this. */
struct given {
	struct options o;
	struct tally *tally;
};

/* NAME=PID, or NAME=PID+ */
static bool take_watch(void *into, char *arg)
{
	struct tally *t = ((struct given *)into)->tally;
	char *pid = strchr(arg, '=');
	uint64_t n = 0;
	if (pid == NULL || t->watched_count == WATCH_MAX)
		return false;
	*pid++ = '\0';
	struct str digits = str_z(pid);
	bool children = str_ends(digits, STR("+"));
	if (FAILED(str_u64(str_sub(digits, 0, digits.n - children), INT32_MAX, &n, NULL)) || n == 0)
		return false;
	t->watched[t->watched_count++] = (struct watched){ .name = arg, .pid = (long)n, .children = children };
	return true;
}

#define AT(member) offsetof(struct given, o.member)
static const struct option_row rows[] = {
	{ "server", OPTION_STR, AT(server) },
	{ "ca-file", OPTION_TEXT, AT(ca_file) },
	{ "root", OPTION_TEXT, AT(roots) },
	{ "clients", OPTION_COUNT, AT(clients), 1, CLIENTS_MAX },
	{ "names", OPTION_COUNT, AT(names), 1, NAMES_MAX },
	{ "challenge", OPTION_WORD, AT(challenge), 0, CHALLENGE_COUNT, challenge_names },
	{ "challenge-port", OPTION_COUNT, AT(challenge_port), 1, UINT16_MAX },
	{ "http-port", OPTION_COUNT, AT(challenge_port), 1, UINT16_MAX },
	{ "only", OPTION_WORD, AT(task), 0, TASK_COUNT, task_names },
	{ "prepare", OPTION_NUMBER, AT(prepare), 1, 100000 },
	{ "account-alg", OPTION_WORD, AT(alg), 0, ARRAY_LEN(alg_names), alg_names },
	{ "connection", OPTION_WORD, AT(kept), 0, ARRAY_LEN(kept_names), kept_names },
	{ "rate", OPTION_NUMBER, AT(rate), 1, 1000000 },
	{ "overload", OPTION_FLAG, AT(overload) },
	{ "poll-ms", OPTION_NUMBER, AT(poll_ms), 0, 60000 },
	{ "timeout", OPTION_NUMBER, AT(timeout_s), 1, 3600 },
	{ "verify-share", OPTION_COUNT, AT(share), 1, 1000000 },
	{ "watch", OPTION_CALL, .take = take_watch },
	{ "syncs", OPTION_TEXT, AT(syncs) },
	{ "names-suffix", OPTION_STR, AT(suffix) },
	{ "seconds", OPTION_NUMBER, AT(seconds), 1, 1000000 },
	{ "orders", OPTION_NUMBER, AT(orders), 1, UINT32_MAX },
	{ "json", OPTION_FLAG, AT(json) },
	{ .name = NULL },
};

static fallible report(const struct bench *b, struct err *err)
{
	const struct options *o = b->o;
	char mode[64];
	(void)snprintf(mode, sizeof mode, "%s, %s, %s, connection %s",
		       o->task == TASK_ISSUE ? "issue" : task_names[o->task], challenge_names[o->challenge],
		       alg_names[o->alg], kept_names[o->kept]);
	const struct report_about a = { mode, o->clients, o->names, o->share, looker_verified(b->looker) };
	if (o->json)
		return report_json(&b->tally, &a, err);
	report_text(&b->tally, &a);
	return OK;
}

int main(int argc, char **argv)
{
	struct bench b = { 0 };
	struct given given = { .tally = &b.tally };
	given.o = (struct options){
		.suffix = STR(".load.test"),
		.clients = 1,
		.names = 1,
		.share = VERIFY_SHARE,
		.challenge_port = 5002,
		.timeout_s = 60,
		.poll_ms = 10,
		.prepare = PREPARE,
	};
	const struct options *o = &given.o;
	b.o = o;
	struct bench_key *keys[CLIENTS_MAX] = { NULL };
	void *answers = NULL;
	struct err err = { 0 };
	int code = options_read(rows, usage, &given, argc, argv);
	if (code >= 0)
		return code;
	if (o->server.n == 0 || (o->seconds == 0 && o->orders == 0)) {
		(void)fputs(usage, stderr);
		return 1;
	}
	(void)signal(SIGPIPE, SIG_IGN);
	files_raise();
	(void)snprintf(b.run_id, sizeof b.run_id, "%05llx", (unsigned long long)time(NULL) & 0xfffff);
	b.clients = mem_alloc_n(sizeof(struct client *), o->clients);
	unsigned key_count = o->alg == BENCH_RS256 && o->clients > RSA_KEYS_MAX ? RSA_KEYS_MAX : o->clients;
	struct rc rc = run(&b, keys, key_count, &answers, &err);
	if (!FAILED(rc))
		rc = report(&b, &err);
	if (FAILED(rc))
		(void)fprintf(stderr, "cairn-bench: %s\n", err.detail);
	bench_done(&b, keys, key_count, answers);
	return FAILED(rc) || b.tally.failed > 0 || b.tally.done == 0 ? 1 : 0;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_fetch.c: a hostile web server in front of the validator. The input is what it says: up to a 0xff byte to the first
 * connection, then to the next one, and so on. Every connection of this process ends here: connect() below gives the
 * dialling side a socket pair with the server's words in it, so that libcurl, its redirects and http-01's judgement run as
 * they are, without a network.
 *
 * The first byte chooses: 'P', 'H' or 'G' one exchange (POST, HEAD, GET), anything else a whole http-01 validation.
 */
#include "fuzz.h"
#include "validate/internal.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#define TOKEN "tttttttt-_0123456789abcdefghijklmnopqrstuxw"
#define THUMB "hhhhhhhh-_0123456789ABCDEFGHIJKLMNOPQRSTUVU"
#define KEY_AUTHORIZATION TOKEN "." THUMB
#define CONNECTIONS_MAX 12 /* one, a second address for it, ten redirects */
#define BODY_MAX 128
#define HEADERS_MAX 4096
#define TIME_MS 4000 /* below libFuzzer's own limit: a stall is a finding */

/* One input's server. A static, because connect() knows nothing else; the fuzzer runs one input at a time. */
static struct server {
	struct str script; /* what is left of it */
	struct str said;   /* to the last connection */
	const struct addr *pin;
	int fds[CONNECTIONS_MAX];
	size_t connections;
} server;

static const struct addr v4 = { AF_INET, { 192, 0, 2, 7 } };
static const struct addr v6 = { AF_INET6, { 0x20, 0x01, 0x0d, 0xb8, [15] = 7 } };

static struct str next_words(void)
{
	size_t end = str_find(server.script, '\xff', 0);
	server.said = str_sub(server.script, 0, end);
	server.script = str_sub(server.script, end + 1, server.script.n);
	return server.said;
}

/* In place of libc's, for libcurl too. */
int connect(int fd, const struct sockaddr *to, socklen_t n)
{
	struct sockaddr_storage sa = { 0 };
	struct addr addr;
	uint16_t port;
	int pair[2];
	CHECK(n <= sizeof sa);
	memcpy(&sa, to, n);
	CHECK(addr_of_sockaddr(&sa, &addr, &port));
	CHECK(server.pin != NULL && addr_eq(&addr, server.pin)); /* what was vetted is what is dialled */
	CHECK(port == 80 || port == 443);
	CHECK(server.connections < CONNECTIONS_MAX);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
	struct str words = next_words();
	CHECK(words.n == 0 || send(pair[1], words.p, words.n, MSG_NOSIGNAL) == (ssize_t)words.n);
	CHECK(shutdown(pair[1], SHUT_WR) == 0);
	CHECK(dup3(pair[0], fd, O_CLOEXEC) == fd);
	close(pair[0]);
	server.fds[server.connections++] = pair[1];
	return 0;
}

static void server_begin(struct str script)
{
	server = (struct server){ .script = script };
}

static void server_end(void)
{
	for (size_t i = 0; i < server.connections; i++)
		close(server.fds[i]);
}

static struct fetcher *fetcher_get(void)
{
	static struct fetcher *f; /* its libraries start slowly, and are not what is looked at */
	if (f == NULL)
		CHECK(!FAILED(fetcher_new(false, &f, NULL)));
	return f;
}

/* --- one exchange -------------------------------------------------------------------------------------------------*/

/* A body is what the server said, in that order: chunks leave out, nothing is made up. */
static bool is_subsequence(struct str part, struct str whole)
{
	size_t at = 0;
	for (size_t i = 0; at < part.n && i < whole.n; i++)
		if (whole.p[i] == part.p[at])
			at++;
	return at == part.n;
}

static void check_reply(const struct fetch_request *rq, const struct fetch_reply *r, struct rc rc)
{
	size_t bytes = 0;
	CHECK(r->body.n <= rq->body_max && r->header_count <= 200);
	CHECK(is_subsequence(r->body, server.said));
	for (size_t i = 0; i < r->header_count; i++) {
		struct str name = r->headers[i].name;
		bytes += name.n + r->headers[i].value.n;
		CHECK(str_find(name, ':', 0) == name.n);
		for (size_t k = 0; k < name.n; k++)
			CHECK(name.p[k] < 'A' || name.p[k] > 'Z');
	}
	CHECK(bytes <= rq->headers_max);
	if (rc.kind != ERR_NONE)
		return;
	CHECK(r->connected && addr_eq(&r->peer, rq->pin));
	CHECK(r->status >= 200 && r->status <= 999 && str_starts(server.said, STR("HTTP/1.")));
	CHECK(!r->body_cut || r->body.n == rq->body_max);
	CHECK(!str_eq(rq->method, STR("HEAD")) || r->body.n == 0);
}

static struct rc fetch_checked(void *ctx, const struct fetch_request *rq, struct arena *mem, struct fetch_reply *ret,
			       struct err *err)
{
	(void)ctx;
	CHECK(rq->pin != NULL && (rq->pin_port == 80 || rq->pin_port == 443));
	CHECK(str_starts(rq->url, STR("http://")) || str_starts(rq->url, STR("https://")));
	CHECK(addr_eq(rq->pin, &v4) || addr_eq(rq->pin, &v6) || addr_special(rq->pin) == NULL);
	struct err why = { 0 };
	size_t connections = server.connections;
	server.pin = rq->pin;
	server.said = STR("");
	struct rc rc = fetch(fetcher_get(), rq, mem, ret, &why);
	server.pin = NULL;
	CHECK(server.connections <= connections + 1); /* one exchange, whatever the answer says */
	check_err(rc, &why);
	CHECK(rc.kind == ERR_NONE || rc.kind == ERR_CONNECTION || rc.kind == ERR_TLS || rc.kind == ERR_TIMEOUT);
	check_reply(rq, ret, rc);
	if (rc.kind != ERR_NONE)
		*err = why;
	return rc;
}

static void one_exchange(char method)
{
	AUTO(arena_done) struct arena mem = { 0 };
	const struct fetch_request rq = {
		.method = method == 'P'   ? STR("POST")
			  : method == 'H' ? STR("HEAD")
					  : STR("GET"),
		.url = STR("http://a.test/x"),
		.pin = &v4,
		.pin_port = 80,
		.body = STR("{}"),
		.content_type = STR("application/jose+json"),
		.user_agent = STR("fuzz"),
		.body_max = BODY_MAX,
		.headers_max = HEADERS_MAX,
		.timeout_ms = TIME_MS,
	};
	struct fetch_reply reply;
	struct err err = { 0 };
	check_err(fetch_checked(NULL, &rq, &mem, &reply, &err), &err);
}

/* --- a whole validation -------------------------------------------------------------------------------------------*/

static fallible resolve_any(void *ctx, struct str name, int64_t deadline_mono_ms, struct arena *mem,
			    struct resolve_answer *ret, struct err *err)
{
	(void)ctx;
	(void)deadline_mono_ms;
	*ret = (struct resolve_answer){ .addrs = ARENA_ARRAY(mem, struct addr, 2), .dnssec = DNSSEC_INSECURE };
	CHECK(!FAILED(name_check(name, false, NULL)));
	if (str_starts(name, STR("no")))
		FAIL(err, ERR_DNS, "no such name");
	ret->addrs[ret->addr_count++] = v6;
	ret->addrs[ret->addr_count++] = v4;
	return OK;
}

static struct str nobody(void *ctx, struct str name)
{
	(void)ctx;
	(void)name;
	return STR("nobody");
}

static bool pause_never(void *ctx, int64_t ms)
{
	(void)ctx;
	CHECK(ms < 0); /* never called: there is a single attempt */
	return false;
}

static void check_verdict(const struct verdict *v, bool redirected)
{
	AUTO(buf_done) struct buf text = BUF_MAX(VERDICT_PAYLOAD_MAX);
	struct err err = { 0 };
	CHECK(!FAILED(verdict_write(v, &text, &err)));
	CHECK(v->valid == (v->problem == ERR_NONE));
	CHECK(v->valid || v->problem == ERR_CONNECTION || v->problem == ERR_DNS || v->problem == ERR_TLS ||
	      v->problem == ERR_UNAUTHORIZED || v->problem == ERR_INCORRECT_RESPONSE);
	CHECK(redirected || server.connections <= 1);
	if (!v->valid)
		return;
	CHECK(is_subsequence(STR(KEY_AUTHORIZATION), server.said));
	CHECK(str_starts(server.said, STR("HTTP/1.")));
}

static void whole_validation(struct str script)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct addr_range allowed[2];
	CHECK(!FAILED(addr_range_read(STR("192.0.2.7/32"), &allowed[0], NULL)));
	CHECK(!FAILED(addr_range_read(STR("2001:db8::7/128"), &allowed[1], NULL)));
	const struct conf_zone zone = { .name = STR("z"), .http_port = 80, .deadline_ms = TIME_MS, .attempts = 1 };
	const struct conf_realm realm = { .name = STR("default"), .caa = STR("off") };
	const struct probe_ops ops = {
		.resolve = resolve_any, .resolver_name = nobody, .fetch = fetch_checked, .pause = pause_never
	};
	const struct probe_env env = { .zone = &zone,
				       .realm = &realm,
				       .allowed = allowed,
				       .allowed_count = ARRAY_LEN(allowed),
				       .ops = &ops,
				       .clk = &clock_system,
				       .perspective = STR("local") };
	const struct validate_job job = { .attempt = { { 1 } },
					  .authz = { { 2 } },
					  .order = { { 3 } },
					  .realm = STR("default"),
					  .zone = STR("z"),
					  .method = CHALLENGE_HTTP01,
					  .ident = { IDENT_DNS, STR("a.test") },
					  .token = STR(TOKEN),
					  .thumbprint = STR(THUMB),
					  .deadline_ms = clock_now_ms(&clock_system) + TIME_MS };
	struct verdict v;
	probe_run(&env, &job, &mem, &v);
	check_verdict(&v, is_subsequence(STR("HTTP/1. 30"), script));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_n(data, size);
	char first = size > 0 ? in.p[0] : '\0';
	bool one = first == 'P' || first == 'G' || (first == 'H' && !str_starts(in, STR("HTTP/")));
	server_begin(one ? str_sub(in, 1, in.n) : in);
	if (one)
		one_exchange(first);
	else
		whole_validation(in);
	server_end();
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_http_request.c: all that one client sends on one connection, from its first byte to its end, through the
 * server's own connection on a socket pair: pipelined requests, bodies of both framings, garbage behind them. The first
 * byte says how long the pieces are that it arrives in. However it is cut, the same requests must reach the handler and
 * the same replies come back; each reply is whole, and nothing follows one that closes.
 */
#include "fuzz.h"

#include "http/conn.h"

#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define SEEN_MAX 512
#define OUT_MAX ((size_t)1 << 20)
#define QUIET_ROUNDS 3

struct rig {
	struct http_server server;
	struct shard shard;
	struct clock clock;
	/* of the exchange that runs */
	int client;
	struct buf out, trace;
	struct {
		bool head;
	} seen[SEEN_MAX];
	size_t seen_count;
	unsigned quiet;
	size_t progress;
};

/* Time stands still: what waits for its peer waits until the peer goes. */
static int64_t still(void *ctx)
{
	(void)ctx;
	return INT64_C(1790000000000);
}

static uint64_t hash(uint64_t h, struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		h = (h ^ (uint8_t)s.p[i]) * UINT64_C(0x100000001b3);
	return h * 31 + (s.p != NULL);
}

static bool handle(void *ctx, const struct http_request *rq, struct http_reply *re)
{
	struct rig *r = ctx;
	const struct str parts[] = {
		rq->method_text,  rq->target,           rq->path,       rq->query,           rq->host,
		rq->content_type, rq->content_encoding, rq->user_agent, rq->accept_language, rq->origin,
		rq->body
	};
	uint64_t h = 0;
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		h = hash(h, parts[i]);
	CHECK(rq->body.n <= r->server.limits.body_max);
	CHECK(rq->path.n > 0 && rq->path.p[0] == '/' && rq->host.n > 0 && rq->mem != NULL);
	CHECK(r->seen_count < SEEN_MAX);
	r->seen[r->seen_count++].head = rq->method == HTTP_HEAD;
	CHECK(!FAILED(buf_addf(&r->trace, NULL, "%d %llx\n", (int)rq->method, (unsigned long long)h)));
	re->status = rq->method == HTTP_OPTIONS ? 204 : 200;
	re->content_type = "text/plain";
	return re->status == 204 || !FAILED(buf_addf(&re->body, NULL, "%llx\n", (unsigned long long)h));
}

static void handle_late(void *ctx, const struct http_request *rq, struct http_reply *re)
{
	const struct rig *r = ctx;
	(void)rq;
	(void)re;
	CHECK(r == NULL); /* a request went to a worker, and there is none */
}

static void refuse(void *ctx, int status, const char *detail, struct http_reply *re)
{
	struct rig *r = ctx;
	CHECK(status >= 400 && status <= 505 && detail[0] != '\0');
	CHECK(!FAILED(buf_addf(&r->trace, NULL, "refused %d %s\n", status, detail)));
	re->content_type = "text/plain";
	CHECK(!FAILED(buf_addf(&re->body, NULL, "%s\n", detail)));
}

static struct rig *rig_get(void)
{
	static struct rig r; /* made once a process: a loop has descriptors */
	if (r.shard.loop != NULL)
		return &r;
	r.clock = (struct clock){ .now_ms = still, .mono_ms = still };
	r.out = (struct buf)BUF_MAX(OUT_MAX);
	r.trace = (struct buf)BUF_MAX(OUT_MAX);
	r.server = (struct http_server){
		.shard_count = 1,
		.limits = { .buffered_max = 1 << 20,
			    .head_max = 1024,
			    .body_max = 512,
			    .header_count_max = 20,
			    .requests_per_connection = 50,
			    .idle_ms = 1000,
			    .head_ms = 1000,
			    .body_ms = 1000,
			    .write_ms = 1000 },
		.handlers = { .quick = handle, .handle = handle_late, .refuse = refuse, .ctx = &r },
		.clk = &r.clock,
	};
	pthread_mutex_init(&r.server.lock, NULL);
	pthread_cond_init(&r.server.changed, NULL);
	r.shard = (struct shard){ .server = &r.server, .scratch = mem_alloc(SCRATCH) };
	r.server.peers = peers_new(0);
	TAILQ_INIT(&r.shard.all);
	TAILQ_INIT(&r.shard.idle);
	TAILQ_INIT(&r.shard.reading);
	CHECK(!FAILED(loop_new(&r.clock, &r.shard.loop, NULL)));
	return &r;
}

static void collect(struct rig *r)
{
	char *at;
	CHECK(!FAILED(buf_room(&r->out, 16384, &at, NULL)));
	ssize_t n = recv(r->client, at, 16384, MSG_DONTWAIT);
	r->out.n += n > 0 ? (size_t)n : 0;
}

/* Once a round of the loop, until some have passed in which nothing moved. */
static void tick(struct loop *l, void *arg)
{
	struct rig *r = arg;
	int waiting = 0;
	collect(r);
	const struct conn *c = TAILQ_FIRST(&r->shard.all);
	if (c != NULL)
		(void)ioctl(c->fd, FIONREAD, &waiting);
	size_t progress = r->out.n * 7 + r->trace.n * 3 + (size_t)waiting + r->shard.held;
	r->quiet = progress == r->progress ? r->quiet + 1 : 0;
	r->progress = progress;
	if (r->quiet >= QUIET_ROUNDS)
		loop_stop(l);
	else
		loop_post(l, tick, r);
}

static void settle(struct rig *r)
{
	r->quiet = 0;
	loop_post(r->shard.loop, tick, r);
	CHECK(!FAILED(loop_run(r->shard.loop, NULL)));
}

static void converse(struct rig *r, struct str in, size_t piece)
{
	int fds[2];
	const struct addr peer = { .family = AF_UNSPEC };
	buf_reset(&r->out);
	buf_reset(&r->trace);
	r->seen_count = 0;
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
	r->client = fds[1];
	atomic_fetch_add(&r->server.open, 1);
	CHECK(peers_enter(r->server.peers, &peer));
	conn_new(&r->shard, fds[0], &peer, 0);
	for (size_t at = 0; at < in.n; at += piece) {
		struct str now = str_sub(in, at, at + piece);
		if (send(fds[1], now.p, now.n, MSG_NOSIGNAL) != (ssize_t)now.n)
			break; /* the server has gone, and has said all */
		settle(r);
	}
	(void)shutdown(fds[1], SHUT_WR);
	settle(r);
	CHECK(r->shard.held == 0 && atomic_load(&r->server.open) == 0);
	(void)close(fds[1]);
}

/* --- what came back --- */

static bool line_next(struct str *rest, struct str *ret)
{
	size_t lf = str_find(*rest, '\n', 0);
	if (lf == rest->n || lf == 0 || rest->p[lf - 1] != '\r')
		return false;
	*ret = str_sub(*rest, 0, lf - 1);
	*rest = str_sub(*rest, lf + 1, rest->n);
	return true;
}

/* Eats one reply; *ret_close: it is the last. */
static int reply_next(struct str *rest, bool head, bool *ret_close)
{
	struct str line, value;
	uint64_t length = 0;
	CHECK(line_next(rest, &line) && str_skip(&line, STR("HTTP/1.1 ")) && line.n >= 4);
	int status = (line.p[0] - '0') * 100 + (line.p[1] - '0') * 10 + (line.p[2] - '0');
	CHECK(status >= 100 && status <= 599);
	*ret_close = false;
	for (;;) {
		CHECK(line_next(rest, &line));
		if (line.n == 0)
			break;
		value = line;
		if (str_skip(&value, STR("Content-Length: ")))
			CHECK(!FAILED(str_u64(value, OUT_MAX, &length, NULL)));
		*ret_close |= str_eq(line, STR("Connection: close"));
	}
	size_t body = head || status == 204 || status < 200 ? 0 : (size_t)length;
	if (rest->n == 0 && *ret_close) /* the refusal of a HEAD that no handler has seen */
		body = 0;
	CHECK(rest->n >= body);
	*rest = str_sub(*rest, body, rest->n);
	return status;
}

/* Interim replies depend on how the body arrived, by right (RFC 9110 10.1.1): they are left out of *ret_final. */
static void check_replies(const struct rig *r, struct buf *ret_final)
{
	struct str rest = buf_str(&r->out);
	size_t count = 0;
	bool over = false;
	while (rest.n > 0) {
		struct str from = rest;
		bool head = count < r->seen_count && r->seen[count].head;
		CHECK(!over);
		int status = reply_next(&rest, head, &over);
		if (status == 100)
			continue;
		CHECK(count < r->seen_count || (status >= 400 && over)); /* beyond the handler's own: the one refusal */
		count++;
		CHECK(!FAILED(buf_add(ret_final, str_sub(from, 0, from.n - rest.n), NULL)));
	}
	CHECK(count == r->seen_count || count == r->seen_count + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	struct rig *r = rig_get();
	struct str in = str_n(data + 1, size - 1);
	AUTO(buf_done) struct buf whole = BUF_MAX(OUT_MAX), cut = BUF_MAX(OUT_MAX), trace = BUF_MAX(OUT_MAX);
	size_t piece = (size_t)data[0] + 1;
	if (in.n / piece > 256) /* each costs a turn of the loop */
		piece = in.n / 256 + 1;
	converse(r, in, in.n + 1);
	check_replies(r, &whole);
	CHECK(!FAILED(buf_add(&trace, buf_str(&r->trace), NULL)));
	converse(r, in, piece);
	check_replies(r, &cut);
	CHECK(str_eq(buf_str(&trace), buf_str(&r->trace)));
	CHECK(str_eq(buf_str(&whole), buf_str(&cut)));
	return 0;
}

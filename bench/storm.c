/* SPDX-License-Identifier: Apache-2.0
 *
 * storm.c: cairn-storm, many connections that are no good to a server: idle ones, slow ones, handshakes that nobody ends,
 * clients that come anew for each request, requests without a pause. It counts what comes back and how soon. One thread,
 * one loop; it looks at no certificate, since it is there to be a burden. And what it is to be compared with: somebody who
 * uses as much of a processor and never talks to the server.
 */
#include "net/loop.h"

#include "options.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define LINKS_MAX 60000u
#define TIMES_MAX 1000000u
#define OPENING_MAX 64u /* connections that are being made at once, so that what is measured is not the backlog */
#define DRIP_MS 1000
#define BURN_MS 5
#define RATE_MS 5
#define HELLO_MAX 2048
#define REPLY_MAX 16384
#define BODY_MAX 50000u

enum mode {
	MODE_IDLE,
	MODE_SLOW_HEAD,
	MODE_SLOW_BODY,
	MODE_HANDSHAKE,
	MODE_RECONNECT,
	MODE_FLOOD,
	MODE_BURN,
	MODE_COUNT
};
static const char *const mode_names[] = { "idle", "slow-head", "slow-body", "handshake", "reconnect", "flood", "burn" };

struct options {
	enum mode mode;
	struct sockaddr_in server, from;
	unsigned links, seconds, body;
	unsigned rate;     /* connections begun in a second at the most; 0: as fast as they are answered */
	unsigned permille; /* of a processor, to burn */
	const char *path, *method;
};

enum link_state { LINK_CLOSED, LINK_CONNECTING, LINK_SHAKING, LINK_UP, LINK_WAITING /* for a reply */ };

struct storm;
struct link {
	struct storm *storm;
	enum link_state state;
	int fd;
	SSL *ssl;
	struct loop_io *io;
	int64_t asked_us;
	size_t sent, got;
	char reply[512]; /* the first bytes of it: status and fields */
	size_t reply_n, reply_left;
	bool head_seen;
};

struct storm {
	const struct options *o;
	struct loop *loop;
	SSL_CTX *ctx;
	struct link *links;
	struct loop_timer *end, *drip, *beat; /* beat: of a rate, or of what is burnt */
	int64_t began_us;
	uint64_t begun;
	char hello[HELLO_MAX];
	size_t hello_n;
	struct buf request;
	unsigned up, opening, next;
	bool announced, over;
	uint64_t opened, failed, closed, replies, ok, unavailable, refused, no_retry_after;
	uint32_t *times_us;
	size_t time_count;
};

static int64_t mono_us(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static int64_t cpu_us(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void took(struct storm *s, int64_t since_us)
{
	int64_t us = mono_us() - since_us;
	if (s->time_count < TIMES_MAX)
		s->times_us[s->time_count++] = us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
}

/* --- one connection --------------------------------------------------------------------------------------------------*/

static void open_more(struct storm *s);
static void link_step(struct link *l);

static void link_close(struct link *l, bool reset)
{
	struct storm *s = l->storm;
	if (l->state == LINK_CONNECTING || l->state == LINK_SHAKING)
		s->opening--;
	if (l->state == LINK_UP || l->state == LINK_WAITING)
		s->up--;
	l->state = LINK_CLOSED;
	loop_io_free(l->io);
	l->io = NULL;
	SSL_free(l->ssl);
	l->ssl = NULL;
	const struct linger hard = { .l_onoff = 1 };
	if (reset)
		(void)setsockopt(l->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
	fd_close(&l->fd);
}

static void link_lost(struct link *l)
{
	struct storm *s = l->storm;
	if (l->state == LINK_CONNECTING || l->state == LINK_SHAKING)
		s->failed++;
	else
		s->closed++;
	link_close(l, false);
	open_more(s);
}

static void watch(struct link *l, unsigned events)
{
	if (FAILED(loop_io_set(l->io, events, NULL)))
		link_lost(l);
}

/* >0: so many bytes. 0: not now, and it is watched. -1: lost. */
static int link_read(struct link *l, char *p, size_t n)
{
	ERR_clear_error();
	int got = SSL_read(l->ssl, p, (int)n);
	if (got > 0)
		return got;
	int e = SSL_get_error(l->ssl, got);
	if (e != SSL_ERROR_WANT_READ && e != SSL_ERROR_WANT_WRITE)
		return -1;
	watch(l, e == SSL_ERROR_WANT_READ ? LOOP_READ : LOOP_WRITE);
	return 0;
}

static bool link_write(struct link *l, struct str s)
{
	ERR_clear_error();
	return s.n == 0 || SSL_write(l->ssl, s.p, (int)s.n) == (int)s.n; /* small: it fits, or the peer does not read */
}

static void link_ask(struct link *l)
{
	l->asked_us = mono_us();
	l->state = LINK_WAITING;
	l->reply_n = l->reply_left = 0;
	l->head_seen = false;
	if (!link_write(l, buf_str(&l->storm->request)))
		link_lost(l);
}

static void reply_count(struct link *l)
{
	struct storm *s = l->storm;
	struct str head = str_n(l->reply, l->reply_n);
	bool fine = str_starts(head, STR("HTTP/1.1 2"));
	s->replies++;
	took(s, l->asked_us);
	if (fine)
		s->ok++;
	else if (!str_starts(head, STR("HTTP/1.1 503 ")))
		s->refused++;
	else
		s->unavailable++;
	if (str_starts(head, STR("HTTP/1.1 503 ")) && memmem(head.p, head.n, "Retry-After: ", 13) == NULL)
		s->no_retry_after++;
	l->state = LINK_UP;
	if (s->o->mode == MODE_RECONNECT) {
		link_close(l, false);
		open_more(s);
	} else {
		link_ask(l);
	}
}

/* Only the length is wanted of what comes; a head longer than `reply` ends the connection. */
static void reply_bytes(struct link *l, struct str in)
{
	if (!l->head_seen) {
		size_t room = sizeof l->reply - l->reply_n, n = in.n < room ? in.n : room;
		size_t before = l->reply_n;
		memcpy(l->reply + before, in.p, n);
		l->reply_n += n;
		const char *end = memmem(l->reply, l->reply_n, "\r\n\r\n", 4);
		if (end == NULL) {
			if (l->reply_n == sizeof l->reply)
				link_lost(l);
			return;
		}
		size_t head = (size_t)(end - l->reply) + 4;
		const char *length = memmem(l->reply, head, "Content-Length: ", 16);
		bool empty = length == NULL || strcmp(l->storm->o->method, "HEAD") == 0;
		l->reply_left = empty ? 0 : (size_t)strtoul(length + 16, NULL, 10);
		l->head_seen = true;
		l->reply_n = head;
		in = str_sub(in, head - before, in.n);
	}
	l->reply_left -= in.n < l->reply_left ? in.n : l->reply_left;
	if (l->reply_left == 0)
		reply_count(l);
}

static void link_is_up(struct link *l)
{
	struct storm *s = l->storm;
	l->state = LINK_UP;
	s->opening--;
	s->up++;
	s->opened++;
	if (s->o->mode == MODE_RECONNECT || s->o->mode == MODE_FLOOD)
		link_ask(l);
	if (!s->announced && s->up == s->o->links) {
		s->announced = true;
		(void)printf("up %u\n", s->up);
		(void)fflush(stdout);
	}
	open_more(s);
}

static void link_shake(struct link *l)
{
	ERR_clear_error();
	int r = SSL_connect(l->ssl);
	if (r == 1) {
		watch(l, LOOP_READ);
		if (l->state == LINK_SHAKING)
			link_is_up(l);
		return;
	}
	int e = SSL_get_error(l->ssl, r);
	if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE)
		watch(l, e == SSL_ERROR_WANT_READ ? LOOP_READ : LOOP_WRITE);
	else
		link_lost(l);
}

/* The server has done its part of a handshake, which is the dear one; the rest is never sent. */
static void link_half_shaken(struct link *l)
{
	char some[REPLY_MAX];
	ssize_t got = recv(l->fd, some, sizeof some, 0);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	struct storm *s = l->storm;
	if (got > 0) {
		took(s, l->asked_us);
		s->opened++;
	} else {
		s->failed++;
	}
	link_close(l, true);
	open_more(s);
}

static void link_connected(struct link *l)
{
	struct storm *s = l->storm;
	int e = 0;
	socklen_t n = sizeof e;
	(void)getsockopt(l->fd, SOL_SOCKET, SO_ERROR, &e, &n);
	if (e != 0) {
		link_lost(l);
		return;
	}
	l->state = LINK_SHAKING;
	l->asked_us = mono_us();
	if (s->o->mode == MODE_HANDSHAKE) {
		if (send(l->fd, s->hello, s->hello_n, MSG_NOSIGNAL) != (ssize_t)s->hello_n)
			link_lost(l);
		else
			watch(l, LOOP_READ);
		return;
	}
	l->ssl = SSL_new(s->ctx);
	if (l->ssl == NULL || SSL_set_fd(l->ssl, l->fd) != 1)
		link_lost(l);
	else
		link_shake(l);
}

static void link_step(struct link *l)
{
	char some[REPLY_MAX];
	switch (l->state) {
	case LINK_CONNECTING:
		link_connected(l);
		return;
	case LINK_SHAKING:
		if (l->ssl == NULL)
			link_half_shaken(l);
		else
			link_shake(l);
		return;
	case LINK_UP:
	case LINK_WAITING: {
		int got = link_read(l, some, sizeof some);
		if (got < 0)
			link_lost(l);
		else if (got > 0 && l->state == LINK_WAITING)
			reply_bytes(l, str_n(some, (size_t)got));
		return;
	}
	case LINK_CLOSED:
		return;
	}
}

static void on_event(struct loop *loop, unsigned events, void *arg)
{
	(void)loop;
	(void)events;
	link_step(arg);
}

static bool link_open(struct link *l)
{
	struct storm *s = l->storm;
	const int one = 1;
	l->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (l->fd < 0)
		return false;
	(void)setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	(void)setsockopt(l->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
	bool ok = bind(l->fd, (const struct sockaddr *)&s->o->from, sizeof s->o->from) == 0;
	ok = ok &&
	     (connect(l->fd, (const struct sockaddr *)&s->o->server, sizeof s->o->server) == 0 || errno == EINPROGRESS);
	if (!ok || FAILED(loop_watch(s->loop, l->fd, LOOP_WRITE, on_event, l, &l->io, NULL))) {
		fd_close(&l->fd);
		return false;
	}
	l->state = LINK_CONNECTING;
	l->sent = 0;
	s->opening++;
	return true;
}

/* At a rate, those that are due by now. */
static bool may_open(const struct storm *s)
{
	uint64_t due = (uint64_t)(mono_us() - s->began_us) * s->o->rate / 1000000;
	return !s->over && s->opening < OPENING_MAX && (s->o->rate == 0 || s->begun < due);
}

static void open_more(struct storm *s)
{
	for (unsigned tried = 0; tried < s->o->links && may_open(s); tried++) {
		struct link *l = &s->links[s->next];
		s->next = (s->next + 1) % s->o->links;
		if (l->state != LINK_CLOSED)
			continue;
		if (!link_open(l)) {
			s->failed++;
			return; /* the next drip tries again */
		}
		s->begun++;
	}
}

/* --- time ------------------------------------------------------------------------------------------------------------*/

/* A byte of a request that never ends. */
static void link_drip(struct link *l)
{
	struct storm *s = l->storm;
	struct str all = buf_str(&s->request);
	if (l->state == LINK_UP && l->sent == 0 && s->o->mode == MODE_SLOW_BODY) {
		/* nearly all of the body at once, to make the server keep it */
		l->sent = all.n - 1;
		if (!link_write(l, str_sub(all, 0, l->sent)))
			link_lost(l);
	} else if (l->state == LINK_UP && s->o->mode == MODE_SLOW_HEAD) {
		if (!link_write(l, str_sub(all, l->sent % 16, l->sent % 16 + 1)))
			link_lost(l);
		l->sent++;
	}
}

static void on_drip(struct loop *loop, void *arg)
{
	struct storm *s = arg;
	(void)loop;
	for (unsigned i = 0; i < s->o->links; i++)
		link_drip(&s->links[i]);
	open_more(s);
	loop_timer_set(s->drip, DRIP_MS);
}

static void on_beat(struct loop *loop, void *arg)
{
	struct storm *s = arg;
	(void)loop;
	if (s->o->mode == MODE_BURN) {
		int64_t due = (mono_us() - s->began_us) * s->o->permille / 1000;
		while (cpu_us() < due && mono_us() - s->began_us < (int64_t)s->o->seconds * 1000000)
			;
		loop_timer_set(s->beat, BURN_MS);
		return;
	}
	open_more(s);
	loop_timer_set(s->beat, RATE_MS);
}

static void on_end(struct loop *loop, void *arg)
{
	struct storm *s = arg;
	s->over = true;
	loop_stop(loop);
}

/* --- set-up and report -----------------------------------------------------------------------------------------------*/

static bool hello_make(struct storm *s)
{
	SSL *ssl = SSL_new(s->ctx);
	BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
	if (ssl == NULL || in == NULL || out == NULL)
		return false;
	SSL_set_bio(ssl, in, out);
	(void)SSL_connect(ssl);
	int n = BIO_read(out, s->hello, sizeof s->hello);
	SSL_free(ssl);
	s->hello_n = n > 0 ? (size_t)n : 0;
	return n > 0;
}

static void request_make(struct storm *s)
{
	const struct options *o = s->o;
	static const char filler[1024] = { 'x' };
	struct err err = { 0 };
	s->request = (struct buf)BUF_MAX(BODY_MAX + 4096);
	struct rc rc =
		buf_addf(&s->request, &err, "%s %s HTTP/1.1\r\nHost: localhost\r\nX-Filler: xxxxxxxxxxxxxxxx\r\n",
			 o->method, o->path);
	if (!FAILED(rc) && o->body > 0)
		rc = buf_addf(&s->request, &err, "Content-Type: application/jose+json\r\nContent-Length: %u\r\n",
			      o->body);
	if (!FAILED(rc))
		rc = buf_add(&s->request, STR("\r\n"), &err);
	for (unsigned left = o->body; !FAILED(rc) && left > 0;) {
		unsigned n = left < sizeof filler ? left : (unsigned)sizeof filler;
		rc = buf_add(&s->request, str_n(filler, n), &err);
		left -= n;
	}
	if (FAILED(rc))
		abort(); /* the buffer holds all that the options allow */
}

static int by_value(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;
	return *x < *y ? -1 : *x > *y;
}

static double part_ms(const struct storm *s, double part)
{
	if (s->time_count == 0)
		return 0;
	return s->times_us[(size_t)((double)(s->time_count - 1) * part)] / 1000.0;
}

static void report(struct storm *s)
{
	qsort(s->times_us, s->time_count, sizeof *s->times_us, by_value);
	(void)printf("{\"mode\":\"%s\",\"connections\":%u,\"up\":%u,\"opened\":%llu,\"failed\":%llu,\"closed\":%llu,"
		     "\"replies\":%llu,\"ok\":%llu,\"unavailable\":%llu,\"refused\":%llu,\"no_retry_after\":%llu,"
		     "\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"max_ms\":%.3f,\"cpu_ms\":%.1f}\n",
		     mode_names[s->o->mode], s->o->links, s->up, (unsigned long long)s->opened,
		     (unsigned long long)s->failed, (unsigned long long)s->closed, (unsigned long long)s->replies,
		     (unsigned long long)s->ok, (unsigned long long)s->unavailable, (unsigned long long)s->refused,
		     (unsigned long long)s->no_retry_after, part_ms(s, 0.5), part_ms(s, 0.99), part_ms(s, 1),
		     (double)cpu_us() / 1e3);
}

static fallible storm_run(struct storm *s, struct err *err)
{
	TRY(loop_new(&clock_system, &s->loop, err));
	s->ctx = SSL_CTX_new(TLS_client_method());
	if (s->ctx == NULL || !hello_make(s))
		FAIL(err, ERR_INTERNAL, "OpenSSL makes no client");
	SSL_CTX_set_options(s->ctx, SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_mode(s->ctx, SSL_MODE_RELEASE_BUFFERS);
	request_make(s);
	s->links = mem_alloc_n(sizeof *s->links, s->o->links);
	s->times_us = mem_alloc_n(sizeof *s->times_us, TIMES_MAX);
	for (unsigned i = 0; i < s->o->links; i++)
		s->links[i] = (struct link){ .storm = s, .fd = -1 };
	s->end = loop_timer_new(s->loop, on_end, s);
	s->drip = loop_timer_new(s->loop, on_drip, s);
	loop_timer_set(s->end, (int64_t)s->o->seconds * 1000);
	s->began_us = mono_us();
	s->beat = loop_timer_new(s->loop, on_beat, s);
	if (s->o->mode != MODE_BURN)
		loop_timer_set(s->drip, 0);
	if (s->o->mode == MODE_BURN || s->o->rate > 0)
		loop_timer_set(s->beat, 0);
	return loop_run(s->loop, err);
}

static void storm_done(struct storm *s)
{
	s->over = true;
	for (unsigned i = 0; s->links != NULL && i < s->o->links; i++)
		if (s->links[i].state != LINK_CLOSED)
			link_close(&s->links[i], false);
	loop_timer_free(s->end);
	loop_timer_free(s->drip);
	loop_timer_free(s->beat);
	loop_free(s->loop);
	SSL_CTX_free(s->ctx);
	buf_done(&s->request);
	free(s->links);
	free(s->times_us);
}

static const char usage_text[] =
	"usage: cairn-storm --server ADDRESS:PORT --mode MODE [options]\n"
	"Many TLS connections that are a burden to a server. MODE: idle, slow-head, slow-body (nearly all of a "
	"request, then\n"
	"nothing), handshake (half of one, again and again), reconnect (one request each), flood (requests without a "
	"pause),\n"
	"burn (nothing but a processor's time).\n"
	"  --connections N    how many at once (100)\n"
	"  --seconds N        how long (10)\n"
	"  --rate N           connections begun in a second at the most (0: as fast as they are answered)\n"
	"  --permille N       of a processor, to burn (100)\n"
	"  --from ADDRESS     where they come from (127.0.0.1)\n"
	"  --method, --path   what is asked (GET /directory)\n"
	"  --body N           bytes of the request's body, no JWS\n"
	"Prints \"up N\" when all are connected for the first time, and one JSON object at the end.\n";

static bool take_server(void *into, char *text)
{
	struct sockaddr_in *ret = &((struct options *)into)->server;
	struct str all = str_z(text);
	size_t colon = str_find(all, ':', 0);
	char host[64] = "";
	uint64_t port;
	if (colon >= sizeof host || FAILED(str_u64(str_sub(all, colon + 1, all.n), 65535, &port, NULL)))
		return false;
	memcpy(host, all.p, colon);
	*ret = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	return inet_pton(AF_INET, host, &ret->sin_addr) == 1;
}

static bool take_from(void *into, char *text)
{
	return inet_pton(AF_INET, text, &((struct options *)into)->from.sin_addr) == 1;
}

#define AT(member) offsetof(struct options, member)
static const struct option_row rows[] = {
	{ "server", OPTION_CALL, .take = take_server },
	{ "mode", OPTION_WORD, AT(mode), 0, MODE_COUNT, mode_names },
	{ "connections", OPTION_COUNT, AT(links), 1, LINKS_MAX },
	{ "seconds", OPTION_COUNT, AT(seconds), 1, 86400 },
	{ "rate", OPTION_COUNT, AT(rate), 1, 1000000 },
	{ "permille", OPTION_COUNT, AT(permille), 1, 1000 },
	{ "from", OPTION_CALL, .take = take_from },
	{ "path", OPTION_TEXT, AT(path) },
	{ "method", OPTION_TEXT, AT(method) },
	{ "body", OPTION_COUNT, AT(body), 1, BODY_MAX },
	{ .name = NULL },
};

static void files_raise(void)
{
	struct rlimit r;
	if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur < r.rlim_max) {
		r.rlim_cur = r.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &r);
	}
}

int main(int argc, char **argv)
{
	struct options o = {
		.mode = MODE_COUNT, .links = 100, .seconds = 10, .permille = 100, .path = "/directory", .method = "GET"
	};
	o.from = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int code = options_read(rows, usage_text, &o, argc, argv);
	if (code >= 0)
		return code;
	if (o.mode == MODE_COUNT || (o.server.sin_port == 0 && o.mode != MODE_BURN) ||
	    strlen(o.path) + strlen(o.method) >= 1024) {
		(void)fputs(usage_text, stderr);
		return 1;
	}
	(void)signal(SIGPIPE, SIG_IGN); /* OpenSSL writes without MSG_NOSIGNAL */
	files_raise();
	struct storm s = { .o = &o };
	struct err err = { 0 };
	struct rc rc = storm_run(&s, &err);
	if (FAILED(rc))
		(void)fprintf(stderr, "cairn-storm: %s\n", err.detail);
	else
		report(&s);
	storm_done(&s);
	return FAILED(rc) ? 1 : 0;
}

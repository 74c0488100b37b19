/* SPDX-License-Identifier: Apache-2.0
 *
 * web.c: answers http-01 (RFC 8555 8.3). A probe's request is there when its connection is accepted (TCP_DEFER_ACCEPT),
 * so that the usual answer costs accept, recv, send and close; only who is slow is watched.
 */
#include "generator.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define HEAD_MAX 4096
#define BACKLOG 1024
#define GUESTS_MAX 256
#define BATCH 16
#define DEFER_S 5

struct guest { /* a connection whose request has not come whole */
	struct web *w;
	int fd;
	struct loop_io *io;
	size_t n;
	char head[HEAD_MAX];
	struct guest *prev, *next;
};

struct web {
	struct bench *b;
	int fd;
	struct loop_io *io;
	struct guest *guests;
	unsigned guest_count;
};

static void reply(int fd, int status, struct str token, struct str thumbprint)
{
	char out[1024];
	size_t n = status == 200 ? token.n + 1 + thumbprint.n : 0;
	int len = snprintf(out, sizeof out,
			   "HTTP/1.1 %s\r\nContent-Type: application/octet-stream\r\nContent-Length: %zu\r\n"
			   "Connection: close\r\n\r\n%.*s%s%.*s",
			   status == 200 ? "200 OK" : "404 Not Found", n, STR_FMT(token), status == 200 ? "." : "",
			   STR_FMT(thumbprint));
	if (len > 0 && (size_t)len < sizeof out)
		(void)send(fd, out, (size_t)len, MSG_NOSIGNAL);
}

static struct str line_value(struct str head, struct str name)
{
	struct cur c = cur_of(head);
	struct str line;
	while (!FAILED(cur_until(&c, '\n', &line, NULL))) {
		size_t colon = str_find(line, ':', 0);
		if (!str_eq_nocase(str_sub(line, 0, colon), name))
			continue;
		struct str v = str_sub(line, colon + 1, line.n);
		return str_trim(str_sub(v, 0, str_find(v, '\r', 0)));
	}
	return STR_NONE;
}

/* false: not whole yet. */
static bool answer(const struct web *w, int fd, struct str head)
{
	struct client_answer a;
	if (memmem(head.p, head.n, "\r\n\r\n", 4) == NULL)
		return head.n == HEAD_MAX;
	struct str path = head, host = line_value(head, STR("host"));
	host = str_sub(host, 0, str_find(host, ':', 0));
	bool good = str_skip(&path, STR("GET /.well-known/acme-challenge/")) && clients_answer(w->b, host, &a) &&
		    str_eq(str_sub(path, 0, str_find(path, ' ', 0)), a.token);
	if (good)
		reply(fd, 200, a.token, a.thumbprint);
	else
		reply(fd, 404, STR_NONE, STR_NONE);
	return true;
}

/* --- who is slow -----------------------------------------------------------------------------------------------------*/

static void guest_end(struct guest *g)
{
	if (g->prev != NULL)
		g->prev->next = g->next;
	else
		g->w->guests = g->next;
	if (g->next != NULL)
		g->next->prev = g->prev;
	g->w->guest_count--;
	loop_io_free(g->io);
	fd_close(&g->fd);
	free(g);
}

static void guest_ready(struct loop *l, unsigned events, void *arg)
{
	struct guest *g = arg;
	(void)l;
	(void)events;
	ssize_t n = recv(g->fd, g->head + g->n, HEAD_MAX - g->n, 0);
	if (n < 0 && errno == EAGAIN)
		return;
	g->n += n > 0 ? (size_t)n : 0;
	if (n <= 0 || answer(g->w, g->fd, str_n(g->head, g->n)))
		guest_end(g);
}

static void guest_wait(struct web *w, int fd, struct str head)
{
	struct guest *g = mem_alloc(sizeof *g);
	if (w->guest_count == GUESTS_MAX)
		guest_end(w->guests);
	g->w = w;
	g->fd = fd;
	g->n = head.n;
	memcpy(g->head, head.p, head.n);
	g->next = w->guests;
	if (g->next != NULL)
		g->next->prev = g;
	w->guests = g;
	w->guest_count++;
	if (FAILED(loop_watch(w->b->loop, fd, LOOP_READ, guest_ready, g, &g->io, NULL)))
		guest_end(g);
}

/* --- who is not ------------------------------------------------------------------------------------------------------*/

static void arrived(struct loop *l, unsigned events, void *arg)
{
	struct web *w = arg;
	char head[HEAD_MAX];
	(void)l;
	(void)events;
	for (unsigned i = 0; i < BATCH; i++) {
		int fd = accept4(w->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0)
			return;
		ssize_t n = recv(fd, head, sizeof head, 0);
		if ((n < 0 && errno == EAGAIN) || (n > 0 && !answer(w, fd, str_n(head, (size_t)n))))
			guest_wait(w, fd, str_n(head, n > 0 ? (size_t)n : 0));
		else
			fd_close(&fd);
	}
}

fallible answerer_listen(uint16_t port, int *ret, struct err *err)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(port) };
	int on = 1, defer = DEFER_S, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &defer, sizeof defer) != 0 ||
	    bind(fd, (const struct sockaddr *)&at, sizeof at) != 0 || listen(fd, BACKLOG) != 0) {
		int saved = errno;
		fd_close(&fd);
		FAIL(err, ERR_IO, "listening on 127.0.0.1:%u: %s", port, strerrordesc_np(saved));
	}
	*ret = fd;
	return OK;
}

static fallible web_new(struct bench *b, uint16_t port, void **ret, struct err *err)
{
	struct web *w = mem_alloc(sizeof *w);
	*ret = w;
	w->b = b;
	w->fd = -1;
	TRY(answerer_listen(port, &w->fd, err));
	return loop_watch(b->loop, w->fd, LOOP_READ, arrived, w, &w->io, err);
}

static void web_free(void *ctx)
{
	struct web *w = ctx;
	while (w->guests != NULL)
		guest_end(w->guests);
	loop_io_free(w->io);
	fd_close(&w->fd);
	free(w);
}

const struct answerer answerer_http = { web_new, web_free };

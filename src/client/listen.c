/* SPDX-License-Identifier: Apache-2.0
 *
 * listen.c: a listening socket for answers, the thread that serves it, and the connections that it waits for.
 */
#include "client/listen.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <unistd.h>

#define BACKLOG 1024
#define TICK_MS 500
#define ACCEPTS_A_ROUND 64

static fallible set_option(int fd, int level, int option, int value, struct err *err)
{
	if (setsockopt(fd, level, option, &value, sizeof value) != 0)
		FAIL(err, ERR_IO, "setsockopt: %s", strerrordesc_np(errno));
	return OK;
}

/* --- connections --------------------------------------------------------------------------------------------------*/

void guest_end(struct guest *g)
{
	struct listener *l = g->listener;
	int fd = g->fd;
	for (size_t i = 0; i < l->guest_count; i++) {
		if (l->guests[i] == g) {
			l->guests[i] = l->guests[--l->guest_count];
			break;
		}
	}
	if (g->io != NULL)
		loop_io_free(g->io);
	l->ops->ended(g);
	fd_close(&fd);
}

static void guest_cb(struct loop *loop, unsigned events, void *arg)
{
	struct guest *g = arg;
	(void)loop;
	(void)events;
	g->listener->ops->ready(g);
}

static struct guest *oldest_guest(const struct listener *l)
{
	struct guest *oldest = l->guests[0];
	for (size_t i = 1; i < l->guest_count; i++)
		if (l->guests[i]->deadline < oldest->deadline)
			oldest = l->guests[i];
	return oldest;
}

bool guest_wait(struct listener *l, struct guest *g, int fd)
{
	if (l->guest_count == LISTEN_GUESTS_MAX)
		guest_end(oldest_guest(l));
	*g = (struct guest){ .listener = l, .fd = fd, .deadline = loop_now_ms(l->loop) + LISTEN_CONN_LIFE_MS };
	if (FAILED(loop_watch(l->loop, fd, LOOP_READ, guest_cb, g, &g->io, NULL))) {
		guest_end(g);
		return false;
	}
	if (l->guest_count == 0)
		loop_timer_set(l->tick, TICK_MS);
	l->guests[l->guest_count++] = g;
	return true;
}

static void tick_cb(struct loop *loop, void *arg)
{
	struct listener *l = arg;
	for (size_t i = l->guest_count; i-- > 0;)
		if (l->guests[i]->deadline <= loop_now_ms(loop))
			guest_end(l->guests[i]);
	if (l->guest_count > 0)
		loop_timer_set(l->tick, TICK_MS);
}

static void accept_cb(struct loop *loop, unsigned events, void *arg)
{
	struct listener *l = arg;
	(void)loop;
	(void)events;
	for (int i = 0; i < ACCEPTS_A_ROUND; i++) {
		int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0 && (errno == EMFILE || errno == ENFILE) && l->guest_count > 0)
			guest_end(oldest_guest(l)); /* room for the next one */
		if (fd < 0)
			return;
		l->ops->arrived(l->ctx, fd);
	}
}

/* --- life ---------------------------------------------------------------------------------------------------------*/

/* *ret_fd is set even on failure, to be closed. */
static fallible listen_open(const struct addr *addr, uint16_t port, int *ret_fd, uint16_t *ret_port, struct err *err)
{
	char text[ADDR_TEXT_MAX];
	struct sockaddr_storage sa;
	struct addr bound;
	socklen_t n = addr_sockaddr(addr, port, &sa);
	addr_show(addr, text);
	int fd = *ret_fd = socket(addr->family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		FAIL(err, ERR_IO, "socket for %s: %s", text, strerrordesc_np(errno));
	TRY(set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1, err));
	TRY(set_option(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, LISTEN_CONN_LIFE_MS / 1000, err));
	if (addr->family == AF_INET6)
		TRY(set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0, err));
	if (bind(fd, (const struct sockaddr *)&sa, n) != 0)
		FAIL(err, ERR_IO, "cannot listen on %s port %u: %s", text, (unsigned)port, strerrordesc_np(errno));
	n = sizeof sa;
	if (listen(fd, BACKLOG) != 0 || getsockname(fd, (struct sockaddr *)&sa, &n) != 0 ||
	    !addr_of_sockaddr(&sa, &bound, ret_port))
		FAIL(err, ERR_IO, "cannot listen on %s port %u: %s", text, (unsigned)port, strerrordesc_np(errno));
	return OK;
}

static void *run(void *arg)
{
	(void)FAILED(loop_run(arg, NULL)); /* ends by loop_stop; epoll itself does not fail */
	return NULL;
}

/* Signals stay with the program's own thread. */
static fallible listen_thread(struct loop *loop, pthread_t *ret, struct err *err)
{
	sigset_t all, old;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	int rc = pthread_create(ret, NULL, run, loop);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (rc != 0)
		FAIL(err, ERR_IO, "cannot start a thread: %s", strerrordesc_np(rc));
	return OK;
}

fallible listener_start(struct listener *l, const struct addr *addr, uint16_t port, const struct listener_ops *ops,
			void *ctx, struct err *err)
{
	*l = (struct listener){ .ops = ops, .ctx = ctx, .fd = -1 };
	TRY(listen_open(addr, port, &l->fd, &l->port, err));
	TRY(loop_new(&clock_system, &l->loop, err));
	l->tick = loop_timer_new(l->loop, tick_cb, l);
	TRY(loop_watch(l->loop, l->fd, LOOP_READ, accept_cb, l, &l->io, err));
	TRY(listen_thread(l->loop, &l->thread, err));
	l->running = true;
	return OK;
}

void listener_stop(struct listener *l)
{
	if (l->running) {
		loop_stop(l->loop);
		pthread_join(l->thread, NULL);
		l->running = false;
	}
	while (l->guest_count > 0)
		guest_end(l->guests[0]);
	if (l->io != NULL)
		loop_io_free(l->io);
	if (l->tick != NULL)
		loop_timer_free(l->tick);
	loop_free(l->loop);
	fd_close(&l->fd);
}

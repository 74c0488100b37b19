/* SPDX-License-Identifier: Apache-2.0
 *
 * listen.c: a listening socket for answers, and the thread that serves it.
 */
#include "client/listen.h"

#include <errno.h>
#include <netinet/tcp.h>

#define BACKLOG 1024

static fallible set_option(int fd, int level, int option, int value, struct err *err)
{
	if (setsockopt(fd, level, option, &value, sizeof value) != 0)
		FAIL(err, ERR_IO, "setsockopt: %s", strerrordesc_np(errno));
	return OK;
}

fallible listen_open(const struct addr *addr, uint16_t port, int *ret_fd, uint16_t *ret_port, struct err *err)
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

fallible listen_thread(struct loop *loop, pthread_t *ret, struct err *err)
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

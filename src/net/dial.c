/* SPDX-License-Identifier: Apache-2.0
 *
 * dial.c: see dial.h.
 */
#include "net/dial.h"

#include <errno.h>
#include <poll.h>

const char *dial_words(long os_error)
{
	switch (os_error) {
	case ECONNREFUSED:
		return "connection refused";
	case ENETUNREACH:
	case EADDRNOTAVAIL:
		return "network is unreachable";
	case EHOSTUNREACH:
		return "host is unreachable (no route)";
	case ECONNRESET:
		return "connection reset during connect";
	case EACCES:
	case EPERM:
		return "a local rule forbids this connection";
	default:
		return "could not connect";
	}
}

static fallible wait_connected(int fd, int64_t timeout_ms, struct err *err)
{
	int64_t until = clock_mono_ms(&clock_system) + timeout_ms;
	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLOUT };
		int64_t left = until - clock_mono_ms(&clock_system);
		int n = left <= 0 ? 0 : poll(&p, 1, left > 600000 ? 600000 : (int)left);
		if (n > 0)
			break;
		if (n == 0 && clock_mono_ms(&clock_system) >= until)
			FAIL(err, ERR_TIMEOUT, "timeout during connect (likely firewall problem)");
		if (n < 0 && errno != EINTR)
			FAIL(err, ERR_IO, "poll: %s", strerror(errno));
	}
	int os_error = 0;
	socklen_t n = sizeof os_error;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &os_error, &n) != 0)
		os_error = errno;
	if (os_error == ETIMEDOUT)
		FAIL(err, ERR_TIMEOUT, "timeout during connect (likely firewall problem)");
	if (os_error != 0)
		FAIL(err, ERR_CONNECTION, "%s", dial_words(os_error));
	return OK;
}

fallible dial(const struct addr *to, uint16_t port, int64_t timeout_ms, int *ret, struct err *err)
{
	struct sockaddr_storage sa;
	socklen_t n = addr_sockaddr(to, port, &sa);
	AUTO(fd_close) int fd = socket(to->family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 && errno == EAFNOSUPPORT) /* a machine without IPv6 */
		FAIL(err, ERR_CONNECTION, "%s", dial_words(ENETUNREACH));
	if (fd < 0)
		FAIL(err, ERR_IO, "socket: %s", strerror(errno));
	if (connect(fd, (const struct sockaddr *)&sa, n) != 0) {
		if (errno != EINPROGRESS)
			FAIL(err, ERR_CONNECTION, "%s", dial_words(errno));
		TRY(wait_connected(fd, timeout_ms, err));
	}
	*ret = fd;
	fd = -1;
	return OK;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * notify.c: sd_notify(3) without its library: one datagram to the socket that the service manager names.
 */
#include "proc/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

const char *proc_errno_text(int number)
{
	const char *text = strerrordesc_np(number);
	return text == NULL ? "unknown error" : text;
}

fallible proc_notify_open(int *ret_fd, struct err *err)
{
	const char *path = getenv("NOTIFY_SOCKET");
	*ret_fd = -1;
	if (path == NULL || path[0] == '\0')
		return OK;
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	size_t n = strlen(path);
	if ((path[0] != '/' && path[0] != '@') || n >= sizeof to.sun_path)
		FAIL(err, ERR_CONFIG,
		     "NOTIFY_SOCKET: found \"%s\"; allowed: an absolute path, or @ and an abstract name", path);
	memcpy(to.sun_path, path, n);
	if (path[0] == '@')
		to.sun_path[0] = '\0';
	/* An abstract name is as long as the address says, without a NUL at its end. */
	socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
	AUTO(fd_close) int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		FAIL(err, ERR_IO, "socket: %s", proc_errno_text(errno));
	if (connect(fd, (const struct sockaddr *)&to, size) != 0)
		FAIL(err, ERR_IO, "connect %s: %s", path, proc_errno_text(errno));
	*ret_fd = fd;
	fd = -1;
	return OK;
}

fallible proc_notify(struct str lines, struct err *err)
{
	AUTO(fd_close) int fd = -1;
	TRY(proc_notify_open(&fd, err));
	if (fd < 0)
		return OK;
	ssize_t sent = send(fd, lines.p, lines.n, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (sent != (ssize_t)lines.n)
		FAIL(err, ERR_IO, "the service manager: %s", proc_errno_text(sent < 0 ? errno : EMSGSIZE));
	return OK;
}

int64_t proc_watchdog_ms(void)
{
	const char *usec = getenv("WATCHDOG_USEC");
	const char *pid = getenv("WATCHDOG_PID");
	uint64_t n = 0;
	uint64_t who = 0;
	if (usec == NULL || FAILED(str_u64(str_z(usec), INT64_MAX, &n, NULL)) || n == 0)
		return 0;
	if (pid != NULL && (FAILED(str_u64(str_z(pid), INT32_MAX, &who, NULL)) || (pid_t)who != getpid()))
		return 0;
	int64_t half = (int64_t)(n / 2000);
	return half > 0 ? half : 1;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * role.c: a role's own side: the sockets it was given, saying that it serves, and giving up what it does not need.
 */
#include "proc/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define FIRST_FD 3
#define FDS_MAX 64

static bool env_number(const char *name, uint64_t max, uint64_t *ret)
{
	const char *text = getenv(name);
	return text != NULL && !FAILED(str_u64(str_z(text), max, ret, NULL));
}

static fallible set_cloexec(int fd, struct err *err)
{
	int flags = fcntl(fd, F_GETFD);
	if (flags < 0 || fcntl(fd, F_SETFD, flags | FD_CLOEXEC) < 0)
		FAIL(err, ERR_CONFIG, "descriptor %d, passed by the caller: %s", fd, proc_errno_text(errno));
	return OK;
}

fallible proc_listen_fds(struct arena *mem, struct proc_fd **ret, size_t *ret_count, struct err *err)
{
	uint64_t pid = 0;
	uint64_t count = 0;
	bool ours = env_number("LISTEN_PID", INT32_MAX, &pid) && (pid_t)pid == getpid() &&
		    env_number("LISTEN_FDS", FDS_MAX, &count);
	const char *text = getenv("LISTEN_FDNAMES");
	struct str names = str_dup(mem, str_z(text)); /* unsetenv may take the text away */
	(void)unsetenv("LISTEN_PID");
	(void)unsetenv("LISTEN_FDS");
	(void)unsetenv("LISTEN_FDNAMES");
	if (!ours)
		count = 0;
	struct proc_fd *fds = ARENA_ARRAY(mem, struct proc_fd, (size_t)count + 1);
	size_t at = 0;
	for (size_t i = 0; i < count; i++) {
		fds[i].fd = FIRST_FD + (int)i;
		TRY(set_cloexec(fds[i].fd, err));
		size_t end = at <= names.n ? str_find(names, ':', at) : at;
		fds[i].name = str_sub(names, at, end);
		if (fds[i].name.n == 0)
			fds[i].name = STR("unknown");
		at = end + 1;
	}
	*ret = fds;
	*ret_count = (size_t)count;
	return OK;
}

static fallible set_option(int fd, int level, int option, int value, const char *name, struct err *err)
{
	if (setsockopt(fd, level, option, &value, sizeof value) != 0)
		FAIL(err, ERR_IO, "setsockopt %s: %s", name, proc_errno_text(errno));
	return OK;
}

static fallible fail_bind(const struct addr *addr, uint16_t port, int number, struct err *err)
{
	char text[ADDR_TEXT_MAX];
	addr_show(addr, text);
	const char *next = "";
	if (number == EADDRINUSE)
		next = "; \"ss -ltnp\" shows which program has it";
	else if (number == EACCES)
		next = "; ports below 1024 need CAP_NET_BIND_SERVICE or a systemd socket unit";
	else if (number == EADDRNOTAVAIL)
		next = "; no interface of this machine has that address";
	FAIL(err, ERR_CONFIG, "listening on %s port %u: %s%s", text, port, proc_errno_text(number), next);
}

fallible proc_listen(const struct addr *addr, uint16_t port, int backlog, int *ret, struct err *err)
{
	struct sockaddr_storage sa;
	socklen_t size = addr_sockaddr(addr, port, &sa);
	AUTO(fd_close) int fd = socket(addr->family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		FAIL(err, ERR_IO, "socket: %s", proc_errno_text(errno));
	TRY(set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR", err));
	/* Accepted sockets inherit it on Linux: one system call less for each connection. */
	TRY(set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1, "TCP_NODELAY", err));
	if (addr->family == AF_INET6)
		TRY(set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0, "IPV6_V6ONLY", err));
	if (bind(fd, (const struct sockaddr *)&sa, size) != 0 || listen(fd, backlog) != 0)
		return fail_bind(addr, port, errno, err);
	*ret = fd;
	fd = -1;
	return OK;
}

fallible proc_ready_open(int *ret_fd, struct err *err)
{
	uint64_t number = 0;
	if (getenv("CAIRN_READY_FD") == NULL)
		return proc_notify_open(ret_fd, err);
	if (!env_number("CAIRN_READY_FD", INT_MAX, &number))
		FAIL(err, ERR_CONFIG, "CAIRN_READY_FD: found \"%s\"; allowed: a descriptor's number",
		     getenv("CAIRN_READY_FD"));
	(void)unsetenv("CAIRN_READY_FD");
	TRY(set_cloexec((int)number, err));
	*ret_fd = (int)number;
	return OK;
}

fallible proc_ready_say(int *fd, struct err *err)
{
	struct rc rc = *fd < 0 ? OK : fd_write_all(*fd, STR("READY=1\n"), err);
	fd_close(fd);
	return rc;
}

fallible proc_harden(struct err *err)
{
	const struct rlimit none = { 0, 0 };
	if (setrlimit(RLIMIT_CORE, &none) != 0)
		FAIL(err, ERR_IO, "setrlimit RLIMIT_CORE: %s", proc_errno_text(errno));
	if (prctl(PR_SET_DUMPABLE, 0) != 0)
		FAIL(err, ERR_IO, "prctl PR_SET_DUMPABLE: %s", proc_errno_text(errno));
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		FAIL(err, ERR_IO, "prctl PR_SET_NO_NEW_PRIVS: %s", proc_errno_text(errno));
	return OK;
}

fallible proc_files_raise(uint64_t wanted, uint64_t *ret, struct err *err)
{
	struct rlimit r;
	if (getrlimit(RLIMIT_NOFILE, &r) != 0)
		FAIL(err, ERR_IO, "getrlimit RLIMIT_NOFILE: %s", proc_errno_text(errno));
	rlim_t most = wanted < r.rlim_max ? (rlim_t)wanted : r.rlim_max;
	if (r.rlim_cur < most) {
		r.rlim_cur = most;
		if (setrlimit(RLIMIT_NOFILE, &r) != 0)
			FAIL(err, ERR_IO, "setrlimit RLIMIT_NOFILE: %s", proc_errno_text(errno));
	}
	*ret = r.rlim_cur;
	return OK;
}

static bool is_program(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

static const char *in_folder(struct arena *mem, struct str folder, const char *gap, const char *name)
{
	if (folder.n == 0 || folder.p[0] != '/') /* a relative folder in PATH could be anybody's */
		return NULL;
	const char *path = str_dupz_raw(mem, str_fmt(mem, "%.*s%s/%s", STR_FMT(folder), gap, name));
	return is_program(path) ? path : NULL;
}

fallible proc_find(struct arena *mem, const char *name, const char **ret, struct err *err)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof self);
	struct str folder = n > 0 && (size_t)n < sizeof self ? str_n(self, (size_t)n) : STR_NONE;
	while (folder.n > 0 && folder.p[folder.n - 1] != '/')
		folder.n--;
	if (folder.n > 1)
		folder.n--;
	const char *found = in_folder(mem, folder, "", name);
	if (found == NULL)
		found = in_folder(mem, folder, "/../libexec/cairn", name);
	struct str path = str_z(getenv("PATH"));
	for (size_t from = 0; found == NULL && from < path.n;) {
		size_t to = str_find(path, ':', from);
		found = in_folder(mem, str_sub(path, from, to), "", name);
		from = to + 1;
	}
	if (found == NULL)
		FAIL(err, ERR_CONFIG,
		     "%s: found neither beside this program (%.*s), nor in ../libexec/cairn, nor in PATH; "
		     "is cairn installed completely?",
		     name, STR_FMT(folder));
	*ret = found;
	return OK;
}

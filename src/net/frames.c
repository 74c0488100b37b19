/* SPDX-License-Identifier: Apache-2.0
 *
 * frames.c: frames in and out of buffers, and the Unix sockets that carry them. Nothing here blocks: local sockets
 * connect at once or refuse.
 */
#include "net/frames.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static const uint8_t frame_start[] = { 'C', 'F', 1 };

fallible frame_read(struct str in, struct frame *ret, size_t *ret_used, struct err *err)
{
	/* Checked byte by byte as it comes: who does not speak frames is found out at the first byte. */
	for (size_t i = 0; i < sizeof frame_start && i < in.n; i++) {
		if ((uint8_t)in.p[i] != frame_start[i])
			FAIL(err, ERR_MALFORMED, "frame byte %zu is 0x%02x, wanted 0x%02x", i,
			     (unsigned)(uint8_t)in.p[i], (unsigned)frame_start[i]);
	}
	if (in.n < FRAME_HEAD) {
		*ret_used = 0;
		return OK;
	}
	struct cur c = cur_of(str_sub(in, sizeof frame_start, in.n));
	struct frame f = { 0 };
	uint32_t length = 0;
	TRY(cur_u8(&c, &f.type, err));
	TRY(cur_u32(&c, &length, err));
	if (length > FRAME_BODY_MAX)
		FAIL(err, ERR_MALFORMED, "frame of %u bytes is over the limit of %u", (unsigned)length,
		     (unsigned)FRAME_BODY_MAX);
	if (cur_left(&c) < length) {
		*ret_used = 0;
		return OK;
	}
	TRY(cur_take(&c, length, &f.body, err));
	*ret = f;
	*ret_used = FRAME_HEAD + length;
	return OK;
}

fallible frame_begin(struct buf *out, uint8_t type, size_t length, char **ret, struct err *err)
{
	if (length > FRAME_BODY_MAX)
		FAIL(err, ERR_TOO_LARGE, "frame of %zu bytes is over the limit of %u", length,
		     (unsigned)FRAME_BODY_MAX);
	char *at = NULL;
	TRY(buf_room(out, FRAME_HEAD + length, &at, err));
	memcpy(at, frame_start, sizeof frame_start);
	at[3] = (char)type;
	for (unsigned i = 0; i < 4; i++)
		at[4 + i] = (char)(uint8_t)(length >> (24 - 8 * i));
	out->n += FRAME_HEAD + length;
	*ret = at + FRAME_HEAD;
	return OK;
}

fallible frame_add(struct buf *out, uint8_t type, struct str body, struct err *err)
{
	char *at = NULL;
	TRY(frame_begin(out, type, body.n, &at, err));
	if (body.n > 0)
		memcpy(at, body.p, body.n);
	return OK;
}

/* --- Unix sockets ------------------------------------------------------------------------------------------------*/

static fallible address_of(const char *path, struct sockaddr_un *ret, struct err *err)
{
	size_t n = strlen(path);
	if (n == 0 || n >= sizeof ret->sun_path)
		FAIL(err, ERR_CONFIG, "socket path \"%s\" has %zu characters, wanted 1 to %zu", path, n,
		     sizeof ret->sun_path - 1);
	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	memcpy(ret->sun_path, path, n);
	return OK;
}

static fallible socket_new(int *ret, struct err *err)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		FAIL(err, ERR_IO, "socket: %s", strerrordesc_np(errno));
	*ret = fd;
	return OK;
}

static int connect_to(int fd, const struct sockaddr_un *a)
{
	return connect(fd, (const struct sockaddr *)a, sizeof *a);
}

/* Held while a stale socket is looked at and replaced; else two starts at once could each remove the other's. */
static fallible lock_folder(const char *path, int *ret, struct err *err)
{
	char folder[sizeof((struct sockaddr_un *)NULL)->sun_path] = ".";
	const char *slash = strrchr(path, '/');
	if (slash != NULL)
		(void)snprintf(folder, sizeof folder, "%.*s", slash == path ? 1 : (int)(slash - path), path);
	AUTO(fd_close) int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		FAIL(err, ERR_IO, "open %s: %s", folder, strerrordesc_np(errno));
	for (int tries = 0; flock(fd, LOCK_EX | LOCK_NB) != 0; tries++) {
		if ((errno != EWOULDBLOCK && errno != EINTR) || tries == 200)
			FAIL(err, ERR_IO, "lock %s: %s", folder, strerrordesc_np(errno));
		(void)poll(NULL, 0, 10);
	}
	*ret = fd;
	fd = -1;
	return OK;
}

/* Makes way for bind: nothing there, or a socket that nobody serves any more, which is removed. */
static fallible clear_stale(const char *path, const struct sockaddr_un *a, struct err *err)
{
	struct stat st;
	if (lstat(path, &st) != 0) {
		if (errno == ENOENT)
			return OK;
		FAIL(err, ERR_IO, "stat %s: %s", path, strerrordesc_np(errno));
	}
	if (!S_ISSOCK(st.st_mode))
		FAIL(err, ERR_CONFIG, "%s is there and is no socket: remove it or choose another path", path);
	AUTO(fd_close) int probe = -1;
	TRY(socket_new(&probe, err));
	if (connect_to(probe, a) == 0 || errno == EAGAIN) /* EAGAIN: served, with a full backlog */
		FAIL(err, ERR_CONFIG, "%s is served by another process already", path);
	if (errno != ECONNREFUSED && errno != ENOENT)
		FAIL(err, ERR_IO, "connect %s: %s", path, strerrordesc_np(errno));
	if (unlink(path) != 0 && errno != ENOENT)
		FAIL(err, ERR_IO, "remove the stale socket %s: %s", path, strerrordesc_np(errno));
	return OK;
}

fallible unix_listen(const char *path, mode_t mode, int *ret_fd, struct err *err)
{
	struct sockaddr_un a;
	TRY(address_of(path, &a, err));
	AUTO(fd_close) int lock = -1;
	TRY(lock_folder(path, &lock, err));
	TRY(clear_stale(path, &a, err));
	AUTO(fd_close) int fd = -1;
	TRY(socket_new(&fd, err));
	/* Linux gives the file the unbound socket's mode (less the umask), so it is never open to more than `mode`;
	 * the chmod then adds what the umask took. */
	if (fchmod(fd, mode) != 0 || bind(fd, (const struct sockaddr *)&a, sizeof a) != 0)
		FAIL(err, ERR_IO, "bind %s: %s", path, strerrordesc_np(errno));
	if (chmod(path, mode) != 0 || listen(fd, SOMAXCONN) != 0) {
		int why = errno;
		(void)unlink(path);
		FAIL(err, ERR_IO, "listen on %s: %s", path, strerrordesc_np(why));
	}
	*ret_fd = fd;
	fd = -1;
	return OK;
}

fallible unix_connect(const char *path, int *ret_fd, struct err *err)
{
	struct sockaddr_un a;
	TRY(address_of(path, &a, err));
	AUTO(fd_close) int fd = -1;
	TRY(socket_new(&fd, err));
	if (connect_to(fd, &a) != 0)
		FAIL(err, ERR_IO, "connect %s: %s", path, strerrordesc_np(errno));
	*ret_fd = fd;
	fd = -1;
	return OK;
}

fallible unix_peer(int fd, uid_t *ret_uid, pid_t *ret_pid, struct err *err)
{
	struct ucred who;
	socklen_t n = sizeof who;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) != 0 || n != sizeof who)
		FAIL(err, ERR_IO, "the peer's credentials: %s", strerrordesc_np(errno));
	*ret_uid = who.uid;
	*ret_pid = who.pid;
	return OK;
}

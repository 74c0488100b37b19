/* SPDX-License-Identifier: Apache-2.0
 *
 * wire.c: one frame in, one frame out, each by an absolute deadline, however the peer doles its bytes out. Both halves
 * use it.
 */
#include "admin/internal.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>

#define CHUNK (64 * 1024)

void wipe_done(struct buf *b)
{
	if (b != NULL && b->p != NULL)
		explicit_bzero(b->p, b->cap);
	buf_done(b);
}

static fallible wait_for(const struct wire *w, short events, struct err *err)
{
	struct pollfd fds[] = { { .fd = w->fd, .events = events }, { .fd = w->stop_fd, .events = POLLIN } };
	for (;;) {
		int64_t left = w->deadline_ms - clock_mono_ms(w->clk);
		if (left <= 0)
			FAIL(err, ERR_TIMEOUT, "the other side took too long");
		int n = poll(fds, ARRAY_LEN(fds), left > INT_MAX ? INT_MAX : (int)left);
		if (n < 0 && errno != EINTR)
			FAIL(err, ERR_IO, "poll: %s", strerrordesc_np(errno));
		if (n > 0 && fds[1].revents != 0)
			FAIL(err, ERR_CLOSED, "the program stops");
		if (n > 0)
			return OK;
	}
}

/* Some bytes more, or the reason why there are none; nothing is read past the largest frame that is wanted. */
static fallible receive_some(const struct wire *w, size_t max, struct buf *in, struct err *err)
{
	size_t left = FRAME_HEAD + max - in->n;
	char *at = NULL;
	if (left == 0)
		FAIL(err, ERR_TOO_LARGE, "more than %zu bytes came, at most so many are taken", max);
	if (in->n == in->cap)
		TRY(buf_room(in, left < CHUNK ? left : CHUNK, &at, err));
	size_t room = in->cap - in->n < left ? in->cap - in->n : left;
	TRY(wait_for(w, POLLIN, err));
	ssize_t n = recv(w->fd, in->p + in->n, room, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return OK;
	if (n < 0)
		FAIL(err, ERR_CLOSED, "receive: %s", strerrordesc_np(errno));
	if (n == 0)
		FAIL(err, ERR_CLOSED, "the other side ended the connection after %zu bytes", in->n);
	in->n += (size_t)n;
	return OK;
}

fallible wire_receive(const struct wire *w, enum admin_frame type, size_t max, struct buf *in, struct str *ret,
		      struct err *err)
{
	struct frame f = { 0 };
	size_t used = 0;
	char *at = NULL;
	TRY(buf_room(in, max < ADMIN_ROOM ? FRAME_HEAD + max : ADMIN_ROOM, &at, err));
	while (used == 0) {
		TRY(receive_some(w, max, in, err));
		TRY(frame_read(buf_str(in), &f, &used, err));
	}
	if (f.type != (uint8_t)type)
		FAIL(err, ERR_MALFORMED, "found a frame of type %u, wanted %u", (unsigned)f.type, (unsigned)type);
	if (f.body.n > max)
		FAIL(err, ERR_TOO_LARGE, "found %zu bytes, at most %zu are taken", f.body.n, max);
	if (used != in->n)
		FAIL(err, ERR_MALFORMED, "found %zu bytes behind the frame, wanted one frame alone", in->n - used);
	*ret = f.body;
	return OK;
}

fallible wire_send(const struct wire *w, enum admin_frame type, struct str body, struct err *err)
{
	AUTO(wipe_done) struct buf out = BUF_MAX(FRAME_HEAD + FRAME_BODY_MAX);
	TRY(frame_add(&out, (uint8_t)type, body, err));
	for (size_t sent = 0; sent < out.n;) {
		ssize_t n = send(w->fd, out.p + sent, out.n - sent, MSG_NOSIGNAL);
		if (n >= 0) {
			sent += (size_t)n;
			continue;
		}
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			FAIL(err, ERR_CLOSED, "send: %s", strerrordesc_np(errno));
		TRY(wait_for(w, POLLOUT, err));
	}
	return OK;
}

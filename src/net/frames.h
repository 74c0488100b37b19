/* SPDX-License-Identifier: Apache-2.0
 *
 * frames.h: length-prefixed frames on a stream socket, parsed as hostile: magic, version, type, exact length.
 * Layout: 'C' 'F', version 1, type (u8), body length (u32 big endian), body.
 */
#ifndef CAIRN_NET_FRAMES_H
#define CAIRN_NET_FRAMES_H

#include "codec/codec.h"

#define FRAME_HEAD 8
#define FRAME_BODY_MAX (12 * 1024 * 1024) /* the largest sign job */

struct frame {
	uint8_t type;
	struct str body; /* borrowed from the input buffer */
};
/* Takes one whole frame off the front of `in`: *ret_used bytes, or 0 when more input is needed. ERR_MALFORMED
 * otherwise. */
fallible frame_read(struct str in, struct frame *ret, size_t *ret_used, struct err *err);
fallible frame_add(struct buf *out, uint8_t type, struct str body, struct err *err);
/* The head alone, with room for the body: the caller fills all `length` bytes at *ret at once (out may move later). */
fallible frame_begin(struct buf *out, uint8_t type, size_t length, char **ret, struct err *err);

/* Unix sockets: listen (mode, removing a stale socket nobody answers on; a served one is refused), connect, and who
 * the peer is: for a listener the accepting side's connector, for a connector whoever called listen. The descriptors
 * are non-blocking and close-on-exec. */
fallible unix_listen(const char *path, mode_t mode, int *ret_fd, struct err *err);
fallible unix_connect(const char *path, int *ret_fd, struct err *err);
fallible unix_peer(int fd, uid_t *ret_uid, pid_t *ret_pid, struct err *err);

#endif

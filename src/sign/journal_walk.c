/* SPDX-License-Identifier: Apache-2.0
 *
 * journal_walk.c: reading a journal that is not ours to write, which its signer may be writing meanwhile: every record for
 * who asks, and a copy that ends with a whole record wherever the writer was.
 */
#include "sign/journal_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define WALK_TURNS 10
#define WALK_NAP_MS 20

struct walk_ctx {
	fallible (*entry)(void *ctx, enum journal_kind kind, const struct journal_entry *e, struct err *err);
	/* NULL, or what is done with a segment once all of it was followed: up to w->offset it holds. */
	fallible (*segment)(void *ctx, const struct segment_walk *w, struct err *err);
	void *ctx;
};

static fallible walk_entry(void *ctx, enum journal_kind kind, const struct journal_entry *e, uint64_t loc,
			   struct err *err)
{
	struct walk_ctx *x = ctx;
	(void)loc;
	return x->entry(x->ctx, kind, e, err);
}

/* A writer that ends a file takes off the room that it had made there: what was to be read is gone, and was no record. */
static fallible size_again(struct segment_walk *w, bool *ret_cut, struct err *err)
{
	struct stat st;
	if (fstat(w->fd, &st) != 0)
		FAIL(err, ERR_IO, "cannot be looked at: %s", strerror(errno));
	uint64_t size = (uint64_t)st.st_size;
	*ret_cut = size < w->size && size >= w->offset;
	if (*ret_cut)
		w->size = size;
	return OK;
}

/* To the end, or to what is bad; *ret_more: there are records behind that, or the file was cut meanwhile. */
static fallible walk_turn(struct segment_walk *w, struct walk_ctx *x, bool *ret_more, struct err *err)
{
	struct err why = { 0 };
	bool cut;
	*ret_more = false;
	struct rc rc = segment_walk(w, walk_entry, x, &why);
	if (!FAILED(rc) && w->bad != NULL)
		rc = segment_has_frame_after(w, w->offset, ret_more, &why);
	if (!FAILED(rc))
		return OK;
	TRY(size_again(w, &cut, err));
	if (cut) {
		w->bad = "the file becomes shorter while it is read";
		*ret_more = true;
		return OK;
	}
	*err = why;
	return rc;
}

/* Its writer may be at work while we read: what was read as zeros may have records behind it by the time that these are read.
 * So damage that is followed by whole records is looked at again before it is believed. */
static fallible walk_frames(const char *dir, const struct segment *s, bool last, struct segment_walk *w,
			    struct walk_ctx *x, struct err *err)
{
	static const struct timespec nap = { 0, WALK_NAP_MS * 1000000 };
	bool more = true;
	for (unsigned turn = 0; more && turn < WALK_TURNS; turn++) {
		if (turn > 0)
			(void)nanosleep(&nap, NULL);
		TRY(walk_turn(w, x, &more, err));
		if (w->bad == NULL)
			return OK;
		if (!last && !more)
			break;
	}
	return more || !last ? segment_refuse(dir, s->number, w->offset, w->bad, err) : OK;
}

static fallible walk_segment(const char *dir, int dir_fd, const struct crypto *c, struct segment *s, bool last,
			     struct segment_walk *w, struct walk_ctx *x, struct err *err)
{
	AUTO(fd_close) int fd = -1;
	bool whole;
	TRY(segment_open(dir, dir_fd, s->number, O_RDONLY, &fd, err));
	TRY(segment_begin(c, dir, fd, s, &whole, err));
	if (!whole && last)
		return OK;
	if (!whole)
		return segment_refuse(dir, s->number, 0, "its head does not hold", err);
	if (w->number != 0 && memcmp(w->sum.b, s->head.prev.b, SUM_LEN) != 0)
		return segment_refuse(dir, s->number, 0, "it does not continue the segment before it", err);
	w->fd = fd;
	w->number = s->number;
	w->size = s->size;
	w->sum = s->head.own;
	w->offset = SEGMENT_HEAD;
	TRY(walk_frames(dir, s, last, w, x, err));
	return x->segment == NULL ? OK : x->segment(x->ctx, w, err);
}

static void crypto_auto(struct crypto **c)
{
	crypto_free(*c);
}

static fallible walk_all(const char *dir, struct walk_ctx *x, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(crypto_auto) struct crypto *c = NULL;
	struct segment *v;
	size_t count;
	TRY(crypto_new(&c, err));
	AUTO(fd_close) int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd < 0)
		FAIL(err, ERR_IO, "journal folder %s: %s", dir, strerror(errno));
	TRY(segments_list(&mem, dir, dir_fd, &v, &count, err));
	AUTO(segment_walk_done)
	struct segment_walk w = { .crypto = c, .frame = BUF_MAX(JFRAME_MAX + JFRAME_HEAD + 2 * SUM_LEN) };
	for (size_t i = 0; i < count; i++)
		TRY(walk_segment(dir, dir_fd, c, &v[i], i + 1 == count, &w, x, err));
	return OK;
}

fallible journal_walk(const char *dir,
		      fallible (*fn)(void *ctx, enum journal_kind kind, const struct journal_entry *e, struct err *err),
		      void *ctx, struct err *err)
{
	struct walk_ctx x = { .entry = fn, .ctx = ctx };
	return walk_all(dir, &x, err);
}

/* --- copying --------------------------------------------------------------------------------------------------------*/

struct copy {
	const char *from, *to;
	int to_fd;
	struct journal_copied done;
};

static fallible copy_entry(void *ctx, enum journal_kind kind, const struct journal_entry *e, struct err *err)
{
	struct copy *x = ctx;
	(void)e;
	(void)err;
	x->done.certificates += kind == JOURNAL_DONE;
	return OK;
}

/* Are the n bytes at that place the same in both? Both files have them. */
static fallible same_at(int a, int b, uint64_t at, size_t n, bool *ret, struct err *err)
{
	uint8_t of_a[SEGMENT_HEAD], of_b[SEGMENT_HEAD];
	TRY(read_at(a, at, of_a, n, err));
	TRY(read_at(b, at, of_b, n, err));
	*ret = memcmp(of_a, of_b, n) == 0;
	return OK;
}

static fallible pass_entry(void *ctx, enum journal_kind kind, const struct journal_entry *e, uint64_t loc,
			   struct err *err)
{
	(void)ctx;
	(void)kind;
	(void)e;
	(void)loc;
	(void)err;
	return OK;
}

/* Behind its head, to where its records end; behind them may be zeros, when it is of a snapshot. */
static fallible copy_follow(struct segment_walk *had, struct err *err)
{
	uint8_t head[SEGMENT_HEAD];
	struct segment_head h;
	TRY(read_at(had->fd, 0, head, sizeof head, err));
	TRY(segment_head_read(had->crypto, head, &h, err));
	had->sum = h.own;
	had->offset = SEGMENT_HEAD;
	TRY(segment_walk(had, pass_entry, NULL, err));
	if (had->bad != NULL)
		FAIL(err, ERR_CONFLICT, "is damaged at byte %llu: %s; move it away, and copy again",
		     (unsigned long long)had->offset, had->bad);
	return OK;
}

/* What an earlier copy has of this segment: each record of it is looked at again, lest a copy is relied upon that has gone bad.
 * The last sum covers all that stands before it. *ret_whole: nothing is left to be done. */
static fallible copy_compare(const struct copy *x, const struct segment_walk *w, int fd, bool *ret_whole,
			     struct err *err)
{
	AUTO(segment_walk_done)
	struct segment_walk had = { .crypto = w->crypto,
				    .fd = fd,
				    .number = w->number,
				    .frame = BUF_MAX(JFRAME_MAX + JFRAME_HEAD + 2 * SUM_LEN) };
	struct stat st;
	bool same;
	if (fstat(fd, &st) != 0)
		FAIL(err, ERR_IO, "cannot be looked at: %s", strerror(errno));
	had.size = (uint64_t)st.st_size;
	*ret_whole = false;
	if (had.size < SEGMENT_HEAD)
		FAIL(err, ERR_CONFLICT, "is no part of a journal");
	TRY(same_at(w->fd, fd, 0, SEGMENT_HEAD, &same, err));
	if (!same)
		FAIL(err, ERR_CONFLICT, "is of another journal than %s", x->from);
	TRY(copy_follow(&had, err));
	if (had.offset > w->offset)
		FAIL(err, ERR_CONFLICT, "has more records than what it would be a copy of");
	TRY(same_at(w->fd, fd, had.offset - SUM_LEN, SUM_LEN, &same, err));
	if (!same)
		FAIL(err, ERR_CONFLICT,
		     "is not how %s began, which was put back from an older copy or has lost its end", x->from);
	*ret_whole = had.offset == w->offset;
	return OK;
}

static fallible copy_segment(void *ctx, const struct segment_walk *w, struct err *err)
{
	struct copy *x = ctx;
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(buf_done) struct buf body = BUF_MAX(SEGMENT_MAX + JFRAME_MAX);
	AUTO(fd_close) int there = -1;
	char name[SEGMENT_NAME_SIZE], *bytes;
	bool whole = false;
	segment_name(w->number, name);
	const char *path = str_dupz_raw(&mem, str_fmt(&mem, "%s/%s", x->to, name));
	there = openat(x->to_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (there < 0 && errno != ENOENT)
		FAIL(err, ERR_IO, "%s: %s", path, strerror(errno));
	struct rc rc = there < 0 ? OK : copy_compare(x, w, there, &whole, err);
	if (FAILED(rc)) {
		err_prefix(err, "%s ", path);
		return rc;
	}
	x->done.segments++;
	if (whole)
		return OK;
	/* What its writer has not synced yet may be gone after a power cut, and other records in its place: a copy is never
	 * ahead of its original. */
	if (fdatasync(w->fd) != 0)
		FAIL(err, ERR_IO, "%s/%s: fdatasync: %s", x->from, name, strerror(errno));
	TRY(buf_room(&body, (size_t)w->offset, &bytes, err));
	TRY(read_at(w->fd, 0, bytes, (size_t)w->offset, err));
	body.n = (size_t)w->offset;
	TRY(file_write_atomic(path, buf_str(&body), 0600, err));
	x->done.written++;
	return OK;
}

/* Of the folder that is copied to, until x->to_fd is closed: two copies at once would make one another's files shorter. */
static fallible copy_lock(const struct copy *x, int from_fd, struct err *err)
{
	struct stat from, to;
	if (fstat(from_fd, &from) != 0 || fstat(x->to_fd, &to) != 0)
		FAIL(err, ERR_IO, "%s and %s cannot be looked at: %s", x->from, x->to, strerror(errno));
	if (from.st_dev == to.st_dev && from.st_ino == to.st_ino)
		FAIL(err, ERR_CONFIG, "%s is the journal itself; wanted another folder for its copy", x->to);
	while (flock(x->to_fd, LOCK_EX | LOCK_NB) != 0) {
		if (errno == EINTR)
			continue;
		if (errno == EWOULDBLOCK)
			FAIL(err, ERR_CONFLICT, "another copy is being made in %s; wait for its end", x->to);
		FAIL(err, ERR_IO, "folder %s cannot be locked: %s", x->to, strerror(errno));
	}
	return OK;
}

/* One that has more than its original is the better of the two, whatever became of the original. */
static fallible copy_is_no_longer(const struct copy *x, int from_fd, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct segment *from, *to;
	size_t from_count, to_count;
	TRY(segments_list(&mem, x->from, from_fd, &from, &from_count, err));
	TRY(segments_list(&mem, x->to, x->to_fd, &to, &to_count, err));
	uint32_t last = from_count == 0 ? 0 : from[from_count - 1].number;
	if (to_count > 0 && to[to_count - 1].number > last)
		FAIL(err, ERR_CONFLICT,
		     "%s ends with segment %u of a journal, and %s with segment %u: found no earlier copy there; "
		     "wanted one, or an "
		     "empty folder",
		     x->to, to[to_count - 1].number, x->from, last);
	return OK;
}

fallible journal_copy(const char *dir, const char *to, struct journal_copied *ret, struct err *err)
{
	AUTO(fd_close) int from_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AUTO(fd_close) int to_fd = -1;
	if (from_fd < 0)
		FAIL(err, ERR_IO, "journal folder %s: %s", dir, strerror(errno));
	TRY(dir_make(to, 0700, err));
	to_fd = open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (to_fd < 0)
		FAIL(err, ERR_IO, "folder %s: %s", to, strerror(errno));
	struct copy copy = { .from = dir, .to = to, .to_fd = to_fd };
	TRY(copy_lock(&copy, from_fd, err));
	TRY(copy_is_no_longer(&copy, from_fd, err));
	struct walk_ctx x = { .entry = copy_entry, .segment = copy_segment, .ctx = &copy };
	TRY(walk_all(dir, &x, err));
	*ret = copy.done;
	return OK;
}

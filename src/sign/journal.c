/* SPDX-License-Identifier: Apache-2.0
 *
 * journal.c: the writer's journal: opening and checking it, adding, syncing, finding. What was added since the last
 * sync waits in memory and goes out as one frame, so a crash can tear the last frame only, and nothing that was relied
 * upon is in it. A segment whose successor is older than keep_ms is not read at start: opening stays as cheap as the
 * young part.
 */
#include "sign/journal_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define CLOCK_BACK_MAX_MS (5 * 60 * 1000)

const struct journal_io journal_io_system = { pwrite, fdatasync, ftruncate };

struct pending { /* added, not yet written */
	enum journal_kind kind;
	struct id order;
	uint64_t serial_hash;
	size_t at; /* in journal.frame */
	int64_t at_ms;
};

struct journal {
	char *dir;
	int dir_fd, lock_fd, fd;
	const struct crypto *crypto;
	const struct clock *clk;
	const struct journal_io *io;
	uint64_t segment_max;

	uint32_t number; /* of the segment that is written */
	uint64_t end;    /* of what is durable in it */
	uint64_t room;   /* the file is that long: zeros from end on */
	struct sum sum;  /* of the last frame */
	uint64_t sequence;
	int64_t last_ms;
	bool broken;
	struct index index;

	struct buf frame; /* SUM_LEN + JFRAME_HEAD bytes to be filled in, then the entries */
	struct pending pending[FRAME_ENTRIES_MAX];
	size_t pending_count;

	uint64_t torn;
	char torn_kept[SEGMENT_NAME_SIZE + 24];
};

/* --- opening ------------------------------------------------------------------------------------------------------*/
static fallible journal_lock(struct journal *j, struct err *err)
{
	j->lock_fd = openat(j->dir_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (j->lock_fd < 0)
		FAIL(err, ERR_IO, "journal %s/lock: %s", j->dir, strerror(errno));
	while (flock(j->lock_fd, LOCK_EX | LOCK_NB) != 0) {
		if (errno == EINTR)
			continue;
		if (errno == EWOULDBLOCK)
			FAIL(err, ERR_CONFLICT, "journal %s is in use by another signer; two must never share one",
			     j->dir);
		FAIL(err, ERR_IO, "journal %s/lock: %s", j->dir, strerror(errno));
	}
	return OK;
}

static void journal_index_entry(struct journal *j, enum journal_kind kind, struct id order, uint64_t serial_hash,
				uint64_t loc, int64_t at_ms)
{
	if (kind == JOURNAL_REFUSED)
		return;
	index_put(&j->index, index_hash(&j->index, 'o', str_n(order.b, sizeof order.b)), loc, at_ms);
	index_put(&j->index, serial_hash, loc, at_ms);
}

static fallible journal_met_entry(void *ctx, enum journal_kind kind, const struct journal_entry *e, uint64_t loc,
				  struct err *err)
{
	struct journal *j = ctx;
	(void)err;
	journal_index_entry(j, kind, e->order, index_hash(&j->index, 's', e->serial_hex), loc, e->at_ms);
	if (e->at_ms > j->last_ms)
		j->last_ms = e->at_ms;
	return OK;
}

/* Whole pages of zeros at the end are the room behind what is torn. */
static size_t without_zero_pages(const char *p, size_t n)
{
	static const char zeros[4096];
	while (n >= sizeof zeros && memcmp(p + n - sizeof zeros, zeros, sizeof zeros) == 0)
		n -= sizeof zeros;
	return n;
}

/* Keeps what is cut: were it no torn write but damage to the last record, it is evidence. */
static fallible torn_keep(struct journal *j, const struct segment_walk *w, struct err *err)
{
	size_t n = (size_t)(w->size - w->offset);
	AUTO(buf_done) struct buf cut = BUF_MAX(SEGMENT_MAX + JFRAME_MAX);
	char name[SEGMENT_NAME_SIZE], *p;
	segment_name(w->number, name);
	snprintf(j->torn_kept, sizeof j->torn_kept, "%s.torn-%llu", name, (unsigned long long)w->offset);
	TRY(buf_room(&cut, n, &p, err));
	TRY(read_at(w->fd, w->offset, p, n, err));
	n = without_zero_pages(p, n);
	AUTO(fd_close)
	int fd = openat(j->dir_fd, j->torn_kept, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		FAIL(err, ERR_IO, "journal %s/%s: %s", j->dir, j->torn_kept, strerror(errno));
	TRY(fd_write_all(fd, str_n(p, n), err));
	if (fsync(fd) != 0)
		FAIL(err, ERR_IO, "journal %s/%s: fsync: %s", j->dir, j->torn_kept, strerror(errno));
	j->torn = n;
	return OK;
}

static fallible journal_cut(struct journal *j, const struct segment_walk *w, struct err *err)
{
	if (j->io->ftruncate(w->fd, (off_t)w->offset) != 0)
		FAIL(err, ERR_IO, "journal %s: the torn end of segment %u cannot be cut off: %s", j->dir, w->number,
		     strerror(errno));
	return OK;
}

static fallible journal_cut_torn(struct journal *j, struct segment_walk *w, struct err *err)
{
	bool more;
	TRY(segment_has_frame_after(w, w->offset, &more, err));
	if (more)
		return segment_refuse(j->dir, w->number, w->offset, w->bad, err);
	TRY(torn_keep(j, w, err));
	return journal_cut(j, w, err);
}

/* Follows the chain through one segment; `sum` is the last one of the segment before when that was read, else NULL. */
static fallible journal_read_segment(struct journal *j, const struct segment *s, int fd, const struct sum *before,
				     bool last, struct err *err)
{
	AUTO(segment_walk_done)
	struct segment_walk w = { .crypto = j->crypto,
				  .fd = fd,
				  .number = s->number,
				  .size = s->size,
				  .sum = s->head.own,
				  .sequence = before == NULL ? 0 : j->sequence,
				  .offset = SEGMENT_HEAD,
				  .frame = BUF_MAX(JFRAME_MAX + JFRAME_HEAD + 2 * SUM_LEN) };
	if (before != NULL && memcmp(before->b, s->head.prev.b, SUM_LEN) != 0)
		return segment_refuse(j->dir, s->number, 0, "it does not continue the segment before it", err);
	if (FAILED(segment_walk(&w, journal_met_entry, j, err)))
		return segment_blame(j->dir, s->number, err);
	if (w.bad != NULL && !last)
		return segment_refuse(j->dir, s->number, w.offset, w.bad, err);
	if (w.bad != NULL)
		TRY(journal_cut_torn(j, &w, err));
	else if (last &&
		 w.offset < w.size) /* room that a killed process had made: it is made again when it is needed */
		TRY(journal_cut(j, &w, err));
	j->end = j->room = w.offset;
	j->sum = w.sum;
	j->sequence = w.sequence == 0 ? 1 : w.sequence;
	return OK;
}

static fallible journal_write_all(struct journal *j, struct str s, uint64_t at, struct err *err)
{
	while (s.n > 0) {
		ssize_t did = j->io->pwrite(j->fd, s.p, s.n, (off_t)at);
		if (did < 0 && errno == EINTR)
			continue;
		if (did < 0)
			FAIL(err, journal_errno_kind(), "journal %s: write: %s", j->dir, strerror(errno));
		if (did == 0)
			FAIL(err, ERR_IO, "journal %s: the disk wrote nothing and gave no reason", j->dir);
		s = str_sub(s, (size_t)did, s.n);
		at += (uint64_t)did;
	}
	return OK;
}

static fallible journal_fsync(struct journal *j, int fd, struct err *err)
{
	FP("journal.written");
	if (j->io->fdatasync(fd) == 0)
		return OK;
	j->broken = true;
	FAIL(err, ERR_IO, "journal %s: fdatasync: %s; what was written last may be lost, so this process signs no more",
	     j->dir, strerror(errno));
}

/* A file that is not written any more ends where its records do. Left as it is it would be read just the same. */
static void give_room_back(struct journal *j, int fd)
{
	if (j->room > j->end && j->io->ftruncate(fd, (off_t)j->end) == 0)
		j->room = j->end;
}

/* So that the next n bytes go where zeros are. That there is no room for zeros is no failure: there may be for n bytes. */
static fallible journal_make_room(struct journal *j, size_t n, struct err *err)
{
	static const char zeros[ROOM_MIN];
	uint64_t ahead = j->end < ROOM_MIN ? ROOM_MIN : j->end > ROOM_MAX ? ROOM_MAX : j->end;
	uint64_t until = j->end + n + ahead < j->segment_max ? j->end + n + ahead : j->segment_max;
	if (j->end + n <= j->room)
		return OK;
	while (j->room < until) {
		struct err why = { 0 };
		size_t some = until - j->room < sizeof zeros ? (size_t)(until - j->room) : sizeof zeros;
		struct rc rc = journal_write_all(j, str_n(zeros, some), j->room, &why);
		if (rc.kind == ERR_UNAVAILABLE)
			return OK;
		if (FAILED(rc) && err != NULL)
			*err = why;
		TRY(rc);
		j->room += some;
	}
	return OK;
}

/* Makes the next segment: whole and durable, its name too, before it is written to. A full disk leaves the old one in
 * use. */
static fallible journal_next_segment(struct journal *j, struct err *err)
{
	struct segment_head h = { .number = j->number + 1, .created_ms = clock_now_ms(j->clk), .prev = j->sum };
	uint8_t head[SEGMENT_HEAD];
	char name[SEGMENT_NAME_SIZE];
	if (h.number > SEGMENT_NUMBER_MAX)
		FAIL(err, ERR_IO, "journal %s: segment %u is the last one; begin a new folder", j->dir, j->number);
	TRY(segment_head_write(j->crypto, &h, head, err));
	int old = j->fd;
	TRY(segment_open(j->dir, j->dir_fd, h.number, O_RDWR | O_CREAT | O_EXCL, &j->fd, err));
	struct rc rc = journal_write_all(j, str_n(head, sizeof head), 0, err);
	if (rc.kind == ERR_NONE)
		rc = journal_fsync(j, j->fd, err);
	if (rc.kind == ERR_NONE && fsync(j->dir_fd) != 0) {
		j->broken = true;
		err_set(err, ERR_IO, "journal %s: fsync of the folder: %s", j->dir, strerror(errno));
		rc = (struct rc){ ERR_IO };
	}
	if (rc.kind != ERR_NONE) {
		segment_name(h.number, name);
		j->broken = j->broken || rc.kind != ERR_UNAVAILABLE || unlinkat(j->dir_fd, name, 0) != 0;
		fd_close(&j->fd);
		j->fd = old;
		return rc;
	}
	if (old >= 0)
		give_room_back(j, old);
	fd_close(&old);
	j->number = h.number;
	j->end = j->room = SEGMENT_HEAD;
	j->sum = h.own;
	return OK;
}

/* Reads every segment's head; one that a crash left half made is removed (it never held anything). */
static fallible journal_read_heads(struct journal *j, struct segment *v, size_t *count, struct err *err)
{
	for (size_t i = 0; i < *count; i++) {
		bool whole;
		AUTO(fd_close) int fd = -1;
		TRY(segment_open(j->dir, j->dir_fd, v[i].number, O_RDONLY, &fd, err));
		TRY(segment_begin(j->crypto, j->dir, fd, &v[i], &whole, err));
		if (whole)
			continue;
		if (i + 1 != *count)
			return segment_refuse(j->dir, v[i].number, 0, "its head does not hold", err);
		char name[SEGMENT_NAME_SIZE];
		segment_name(v[i].number, name);
		if (unlinkat(j->dir_fd, name, 0) != 0)
			FAIL(err, ERR_IO, "journal %s/%s: unlink: %s", j->dir, name, strerror(errno));
		*count -= 1;
	}
	return OK;
}

/* The first segment that may hold something young: all that is in a segment is older than the head of the next one. */
static size_t first_young(const struct segment *v, size_t count, int64_t oldest_ms)
{
	size_t first = 0;
	for (size_t i = 1; i < count; i++) {
		if (v[i].head.created_ms <= oldest_ms)
			first = i;
	}
	return first;
}

static fallible journal_read_all(struct journal *j, struct segment *v, size_t count, struct err *err)
{
	struct sum before;
	TRY(journal_read_heads(j, v, &count, err));
	/* A clock that is ahead for now would skip what is young still: nothing counts as old that was young when the
	 * last segment was begun. */
	int64_t now = clock_now_ms(j->clk);
	if (count > 0 && v[count - 1].head.created_ms < now)
		now = v[count - 1].head.created_ms;
	size_t first = first_young(v, count, now - j->index.keep_ms);
	for (size_t i = first; i < count; i++) {
		bool last = i + 1 == count;
		fd_close(&j->fd);
		TRY(segment_open(j->dir, j->dir_fd, v[i].number, last ? O_RDWR : O_RDONLY, &j->fd, err));
		if (v[i].head.created_ms > j->last_ms)
			j->last_ms = v[i].head.created_ms;
		j->number = v[i].number;
		before = j->sum;
		TRY(journal_read_segment(j, &v[i], j->fd, i == first ? NULL : &before, last, err));
	}
	return OK;
}

/* What a killed process wrote may be in the page cache only: make it durable before anything is built upon it. */
static fallible journal_settle(struct journal *j, struct err *err)
{
	if (j->fd < 0)
		return journal_next_segment(j, err);
	TRY(journal_fsync(j, j->fd, err));
	if (fsync(j->dir_fd) != 0)
		FAIL(err, ERR_IO, "journal %s: fsync of the folder: %s", j->dir, strerror(errno));
	return OK;
}

static fallible journal_frame_reset(struct journal *j, struct err *err)
{
	char *p;
	buf_reset(&j->frame);
	j->pending_count = 0;
	TRY(buf_room(&j->frame, SUM_LEN + JFRAME_HEAD, &p, err));
	memset(p, 0, SUM_LEN + JFRAME_HEAD);
	j->frame.n = SUM_LEN + JFRAME_HEAD;
	return OK;
}

static void journal_auto(struct journal **j)
{
	journal_close(*j);
}

fallible journal_open_with(const char *dir, int64_t keep_ms, const struct crypto *c, const struct clock *clk,
			   const struct journal_io *io, uint64_t segment_max, struct journal **ret, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(journal_auto) struct journal *j = mem_alloc(sizeof *j);
	struct segment *v;
	size_t count;
	j->dir = mem_dupz(str_z(dir));
	j->dir_fd = j->lock_fd = j->fd = -1;
	j->crypto = c;
	j->clk = clk;
	j->io = io;
	j->segment_max = segment_max;
	j->sequence = 1;
	j->frame = (struct buf)BUF_MAX(SUM_LEN + JFRAME_HEAD + JFRAME_MAX + SUM_LEN);
	index_init(&j->index, keep_ms);
	TRY(journal_frame_reset(j, err));
	TRY(dir_make(dir, 0700, err));
	j->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (j->dir_fd < 0)
		FAIL(err, ERR_IO, "journal folder %s: %s", dir, strerror(errno));
	TRY(journal_lock(j, err));
	TRY(segments_list(&mem, dir, j->dir_fd, &v, &count, err));
	j->number = count == 0 ? 0 : v[0].number - 1; /* the one that journal_settle makes when the only one was torn */
	TRY(journal_read_all(j, v, count, err));
	TRY(journal_settle(j, err));
	*ret = TAKE(j);
	return OK;
}

fallible journal_open(const char *dir, int64_t keep_ms, const struct crypto *c, const struct clock *clk,
		      struct journal **ret, struct err *err)
{
	return journal_open_with(dir, keep_ms, c, clk, &journal_io_system, SEGMENT_MAX, ret, err);
}

void journal_close(struct journal *j)
{
	if (j == NULL)
		return;
	if (j->fd >= 0 && !j->broken)
		give_room_back(j, j->fd);
	fd_close(&j->fd);
	fd_close(&j->lock_fd); /* gives the lock back */
	fd_close(&j->dir_fd);
	index_done(&j->index);
	buf_done(&j->frame);
	free(j->dir);
	free(j);
}

bool journal_is_broken(const struct journal *j)
{
	return j->broken;
}

uint64_t journal_torn(const struct journal *j, const char **ret_kept)
{
	*ret_kept = j->torn_kept;
	return j->torn;
}

uint64_t journal_end(const struct journal *j)
{
	return j->end;
}

size_t journal_index_bytes(const struct journal *j)
{
	return index_bytes(&j->index);
}

/* --- adding -------------------------------------------------------------------------------------------------------*/
static fallible journal_require_whole(const struct journal *j, struct err *err)
{
	if (j->broken)
		FAIL(err, ERR_IO, "journal %s failed before; the signer must be started again", j->dir);
	return OK;
}

static fallible journal_add(struct journal *j, enum journal_kind kind, const struct journal_entry *e, struct err *err)
{
	TRY(journal_require_whole(j, err));
	if (j->pending_count == FRAME_ENTRIES_MAX)
		FAIL(err, ERR_INTERNAL, "journal: %u entries wait already; sync first", FRAME_ENTRIES_MAX);
	struct journal_entry copy = *e;
	size_t at = j->frame.n;
	copy.at_ms = clock_now_ms(j->clk);
	struct rc rc = entry_write(&j->frame, kind, &copy, err);
	if (rc.kind != ERR_NONE) {
		j->frame.n = at; /* no half entry */
		return rc;
	}
	j->pending[j->pending_count++] = (struct pending){ .kind = kind,
							   .order = e->order,
							   .serial_hash = index_hash(&j->index, 's', e->serial_hex),
							   .at = at,
							   .at_ms = copy.at_ms };
	return OK;
}

fallible journal_begin(struct journal *j, const struct journal_entry *e, struct err *err)
{
	int64_t now = clock_now_ms(j->clk);
	if (now < j->last_ms - CLOCK_BACK_MAX_MS) {
		char is[TIME_TEXT_MAX], was[TIME_TEXT_MAX];
		time_show_ms(now, is);
		time_show_ms(j->last_ms, was);
		err_cause(err, "journal %s", j->dir);
		FAIL(err, ERR_UNAVAILABLE,
		     "the clock says %s, but the journal's last record was written at %s; set the clock right", is,
		     was);
	}
	return journal_add(j, JOURNAL_BEGIN, e, err);
}

fallible journal_done(struct journal *j, const struct journal_entry *e, struct err *err)
{
	return journal_add(j, JOURNAL_DONE, e, err);
}

fallible journal_refused(struct journal *j, const struct journal_entry *e, struct str why, struct err *err)
{
	struct journal_entry copy = *e;
	copy.why = why;
	return journal_add(j, JOURNAL_REFUSED, &copy, err);
}

/* Completes the frame in memory: the chain before it, its head, its sum. */
static fallible journal_seal(struct journal *j, struct sum *ret, struct err *err)
{
	struct frame_head h = { .length = (uint32_t)(j->frame.n - SUM_LEN - JFRAME_HEAD),
				.count = (uint32_t)j->pending_count,
				.sequence = j->sequence };
	memcpy(j->frame.p, j->sum.b, SUM_LEN);
	frame_head_write(&h, (uint8_t *)j->frame.p + SUM_LEN);
	TRY(frame_sum(j->crypto, buf_str(&j->frame), ret, err));
	return buf_add(&j->frame, str_n(ret->b, SUM_LEN), err);
}

static fallible journal_write_frame(struct journal *j, struct err *err)
{
	struct sum sum;
	size_t n = j->frame.n; /* less the chain before it, which stands in the file already, plus its own sum */
	if (j->end + n > j->segment_max && j->end > SEGMENT_HEAD)
		TRY(journal_next_segment(j, err));
	TRY(journal_make_room(j, n, err));
	TRY(journal_seal(j, &sum, err));
	struct rc rc = journal_write_all(j, str_sub(buf_str(&j->frame), SUM_LEN, j->frame.n), j->end, err);
	if (rc.kind == ERR_UNAVAILABLE && j->io->ftruncate(j->fd, (off_t)j->end) == 0) {
		j->room = j->end;
		return rc;
	}
	if (rc.kind != ERR_NONE) {
		j->broken = true;
		return rc;
	}
	TRY(journal_fsync(j, j->fd, err));
	for (size_t i = 0; i < j->pending_count; i++) {
		const struct pending *p = &j->pending[i];
		journal_index_entry(j, p->kind, p->order, p->serial_hash, loc_of(j->number, j->end, (unsigned)i),
				    p->at_ms);
		if (p->at_ms > j->last_ms)
			j->last_ms = p->at_ms;
	}
	j->end += n;
	if (j->room < j->end)
		j->room = j->end;
	j->sum = sum;
	j->sequence += j->pending_count;
	return OK;
}

fallible journal_sync(struct journal *j, struct err *err)
{
	TRY(journal_require_whole(j, err));
	if (j->pending_count == 0)
		return OK;
	struct rc rc = journal_write_frame(j, err);
	if (rc.kind != ERR_NONE && rc.kind != ERR_UNAVAILABLE)
		j->broken = true;
	struct rc again = journal_frame_reset(j, rc.kind == ERR_NONE ? err : NULL);
	index_expire(&j->index, j->last_ms);
	return rc.kind != ERR_NONE ? rc : again;
}

/* --- finding ------------------------------------------------------------------------------------------------------*/
static fallible pending_entry(struct journal *j, const struct pending *p, struct arena *mem, struct journal_entry *ret,
			      struct err *err)
{
	struct str bytes = str_dup(mem, str_sub(buf_str(&j->frame), p->at, j->frame.n));
	struct cur c = cur_of(bytes);
	enum journal_kind kind;
	return entry_read(&c, &kind, ret, err);
}

static fallible journal_read_loc(struct journal *j, uint64_t loc, struct arena *mem, struct journal_entry *ret,
				 struct err *err)
{
	AUTO(fd_close) int old = -1;
	enum journal_kind kind;
	if (LOC_SEGMENT(loc) != j->number)
		TRY(segment_open(j->dir, j->dir_fd, LOC_SEGMENT(loc), O_RDONLY, &old, err));
	if (FAILED(segment_read_entry(j->crypto, old >= 0 ? old : j->fd, loc, mem, &kind, ret, err)))
		return segment_blame(j->dir, LOC_SEGMENT(loc), err);
	return OK;
}

fallible journal_find_order(struct journal *j, struct arena *mem, struct id order, struct journal_entry *ret,
			    struct err *err)
{
	struct journal_entry e;
	for (size_t i = j->pending_count; i-- > 0;) {
		if (j->pending[i].kind != JOURNAL_REFUSED && id_eq(j->pending[i].order, order))
			return pending_entry(j, &j->pending[i], mem, ret, err);
	}
	uint64_t loc = index_get(&j->index, index_hash(&j->index, 'o', str_n(order.b, sizeof order.b)));
	if (loc == 0)
		FAIL(err, ERR_NOT_FOUND, "the journal knows no such order");
	TRY(journal_read_loc(j, loc, mem, &e, err));
	if (!id_eq(e.order, order))
		FAIL(err, ERR_NOT_FOUND, "the journal knows no such order");
	*ret = e;
	return OK;
}

bool journal_has_serial(struct journal *j, struct str serial_hex)
{
	uint64_t hash = index_hash(&j->index, 's', serial_hex);
	for (size_t i = 0; i < j->pending_count; i++) {
		if (j->pending[i].kind != JOURNAL_REFUSED && j->pending[i].serial_hash == hash)
			return true;
	}
	return index_get(&j->index, hash) != 0;
}

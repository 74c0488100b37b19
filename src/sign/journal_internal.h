/* SPDX-License-Identifier: Apache-2.0
 *
 * journal_internal.h: what the journal's files share. On disk (docs: the comment at the top of journal_format.c):
 * segments of frames of entries. One journal_sync writes one frame, so whatever a crash can tear is the last frame.
 */
#ifndef CAIRN_SIGN_JOURNAL_INTERNAL_H
#define CAIRN_SIGN_JOURNAL_INTERNAL_H

#include "sign/sign.h"

#define SEGMENT_MAX (64u * 1024 * 1024)
#define SEGMENT_HEAD 64u
#define JFRAME_HEAD 20u
#define FRAME_ENTRIES_MAX 256u
#define JFRAME_MAX (8u * 1024 * 1024)
#define SUM_LEN 16u
/* Zeros are written ahead of the records, as much again as there is, within these bounds. A record then goes where the
 * file has blocks already, and syncing it needs no change of the file's length, which takes the file system twice as long. */
#define ROOM_MIN (64u * 1024)
#define ROOM_MAX (1024u * 1024)
#define ENTRY_DATA_MAX (64u * 1024)
#define SERIAL_TEXT_MAX 64u
#define OWNER_TEXT_MAX 64u /* names of realms, profiles and issuers */

struct sum {
	uint8_t b[SUM_LEN];
};

/* --- journal_format.c: bytes ------------------------------------------------------------------------------------*/
struct segment_head {
	uint32_t number;
	int64_t created_ms;
	struct sum prev; /* of the last frame of the segment before; zero for the first */
	struct sum own;  /* of this head: where the chain of this segment begins */
};
fallible segment_head_write(const struct crypto *c, struct segment_head *h, uint8_t out[SEGMENT_HEAD], struct err *err);
fallible segment_head_read(const struct crypto *c, const uint8_t in[SEGMENT_HEAD], struct segment_head *ret,
			   struct err *err);
fallible entry_write(struct buf *b, enum journal_kind kind, const struct journal_entry *e, struct err *err);
/* Slices point into the cursor's bytes; serial_hex too. */
fallible entry_read(struct cur *c, enum journal_kind *ret_kind, struct journal_entry *ret, struct err *err);
struct frame_head {
	uint32_t length; /* of the entries */
	uint32_t count;
	uint64_t sequence; /* of the first entry */
};
void frame_head_write(const struct frame_head *h, uint8_t out[JFRAME_HEAD]);
/* Says whether these bytes can be a frame's head at all. */
bool frame_head_read(const uint8_t in[JFRAME_HEAD], struct frame_head *ret);
/* The sum covers the sum before it, the head and the entries: `chained` starts SUM_LEN bytes before the frame. */
fallible frame_sum(const struct crypto *c, struct str chained, struct sum *ret, struct err *err);

/* Reading one segment file. `ended` says how the walk came to its end: at the end of the file, or at a frame that does
 * not hold. */
struct segment_walk {
	const struct crypto *crypto;
	int fd;
	uint32_t number;
	uint64_t size;
	/* In and out: the chain as far as it has been followed. */
	struct sum sum;
	uint64_t sequence; /* expected next; 0: not known yet */
	uint64_t offset;   /* after the last good frame */
	const char *bad;   /* NULL, or why the frame at offset does not hold */
	struct buf frame;  /* SUM_LEN bytes of chain, then the frame */
};
typedef fallible segment_entry_fn(void *ctx, enum journal_kind kind, const struct journal_entry *e, uint64_t loc,
				  struct err *err);
/* Fails only when the file cannot be read or fn fails; damage is told in w->bad. Zeros up to the end are room, not damage:
 * the walk ends before them. */
fallible segment_walk(struct segment_walk *w, segment_entry_fn *fn, void *ctx, struct err *err);
/* Does any whole frame stand behind `offset`? Then what is bad at offset was durable once, and is no torn tail. */
fallible segment_has_frame_after(struct segment_walk *w, uint64_t offset, bool *ret, struct err *err);
/* One entry by its place, checked against its frame's sum; *ret's slices live in mem. */
fallible segment_read_entry(const struct crypto *c, int fd, uint64_t loc, struct arena *mem,
			    enum journal_kind *ret_kind, struct journal_entry *ret, struct err *err);
fallible read_at(int fd, uint64_t offset, void *p, size_t n, struct err *err);

/* Where an entry is: segment (30 bits), byte offset of its frame (26), index in the frame (8). Never 0. */
static inline uint64_t loc_of(uint32_t segment, uint64_t offset, unsigned index)
{
	return (uint64_t)segment << 34 | offset << 8 | index;
}
#define LOC_SEGMENT(l) ((uint32_t)((l) >> 34))
#define LOC_OFFSET(l) ((l) >> 8 & 0x3ffffff)
#define LOC_INDEX(l) ((unsigned)((l)&0xff))

void segment_walk_done(struct segment_walk *w);

/* --- journal_segment.c: the files --------------------------------------------------------------------------------*/
#define SEGMENT_NAME_SIZE 32
#define SEGMENT_NUMBER_MAX 999999u
struct segment {
	uint32_t number;
	uint64_t size;
	struct segment_head head;
};
void segment_name(uint32_t number, char out[SEGMENT_NAME_SIZE]);
/* In order, only the numbers set; a gap is refused. */
fallible segments_list(struct arena *mem, const char *dir, int dir_fd, struct segment **ret, size_t *ret_count,
		       struct err *err);
fallible segment_open(const char *dir, int dir_fd, uint32_t number, int flags, int *ret, struct err *err);
/* Reads a segment's size and head. *ret_whole is false for what a crash in the middle of making a segment leaves: a
 * file that is not longer than a head, and whose head does not hold. */
fallible segment_begin(const struct crypto *c, const char *dir, int fd, struct segment *s, bool *ret_whole,
		       struct err *err);
/* ERR_IO with the segment's name before what err says, or with what is damaged and what to do. */
struct rc segment_blame(const char *dir, uint32_t number, struct err *err);
struct rc segment_refuse(const char *dir, uint32_t number, uint64_t offset, const char *bad, struct err *err);
/* ERR_UNAVAILABLE for a full disk, which may have room again later; anything else is not for waiting. */
enum err_kind journal_errno_kind(void);

/* --- journal_index.c: what is young, in memory --------------------------------------------------------------------*/
struct index_gen;
struct index {
	uint8_t key[16];
	int64_t keep_ms;
	struct index_gen *newest;
};
void index_init(struct index *ix, int64_t keep_ms);
void index_done(struct index *ix);
uint64_t index_hash(const struct index *ix, char what, struct str key);
void index_put(struct index *ix, uint64_t hash, uint64_t loc, int64_t at_ms);
uint64_t index_get(const struct index *ix, uint64_t hash); /* 0: not there */
/* Drops whole generations whose youngest entry is older than keep_ms. */
void index_expire(struct index *ix, int64_t now_ms);
size_t index_bytes(const struct index *ix);

/* --- journal.c: the system calls, behind a table so that tests make them fail --------------------------------------*/
struct journal_io {
	ssize_t (*pwrite)(int fd, const void *p, size_t n, off_t at);
	int (*fdatasync)(int fd);
	int (*ftruncate)(int fd, off_t n);
};
extern const struct journal_io journal_io_system;
fallible journal_open_with(const char *dir, int64_t keep_ms, const struct crypto *c, const struct clock *clk,
			   const struct journal_io *io, uint64_t segment_max, struct journal **ret, struct err *err);
size_t journal_index_bytes(const struct journal *j);
uint64_t journal_end(const struct journal *j); /* of what is durable in the segment that is written */

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * journal_format.c: the journal's bytes. All numbers big endian.
 *
 *   segment   head (64): "cairn journal 1\n", version u32, number u32, created_ms u64, sum of the segment before (16),
 *             sum of these 48 bytes (16); then frames; then, while it is written to, zeros
 *   frame     "CJF1", length of the entries u32, their count u32, sequence of the first u64; entries; sum (16)
 *   entry     kind u8, at_ms u64, issuance 16, order 16, job hash 32, tbs hash 32, serial u8 + text, data u32 + bytes;
 *             data is the TBS of a begin, the certificate of a done, the reason of a refusal; with ENTRY_OWNED in the
 *             kind there follow account 16, realm u8 + text, profile u8 + text, issuer u8 + text
 *
 * A sum is the first half of SHA-256 over the sum that stands before the frame, the head and the entries: a frame that
 * was taken out, put elsewhere or changed breaks the chain at that place.
 */
#include "sign/journal_internal.h"

#include <errno.h>
#include <unistd.h>

#define SEGMENT_VERSION 1
static const char segment_magic[16] = {
	'c', 'a', 'i', 'r', 'n', ' ', 'j', 'o', 'u', 'r', 'n', 'a', 'l', ' ', '1', '\n'
};
#define FRAME_MAGIC 0x434a4631u /* "CJF1" */
#define ENTRY_FIXED (1 + 8 + 16 + 16 + 32 + 32)
#define ENTRY_OWNED 0x80u

static void put_u32(uint8_t *p, uint32_t v)
{
	for (unsigned i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> (24 - 8 * i));
}

static void put_u64(uint8_t *p, uint64_t v)
{
	put_u32(p, (uint32_t)(v >> 32));
	put_u32(p + 4, (uint32_t)v);
}

static uint32_t get_u32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint64_t get_u64(const uint8_t *p)
{
	return (uint64_t)get_u32(p) << 32 | get_u32(p + 4);
}

fallible frame_sum(const struct crypto *c, struct str chained, struct sum *ret, struct err *err)
{
	struct sha256 h;
	TRY(digest_sha256(c, chained, &h, err));
	memcpy(ret->b, h.b, sizeof ret->b);
	return OK;
}

fallible segment_head_write(const struct crypto *c, struct segment_head *h, uint8_t out[SEGMENT_HEAD], struct err *err)
{
	memcpy(out, segment_magic, sizeof segment_magic);
	put_u32(out + 16, SEGMENT_VERSION);
	put_u32(out + 20, h->number);
	put_u64(out + 24, (uint64_t)h->created_ms);
	memcpy(out + 32, h->prev.b, SUM_LEN);
	TRY(frame_sum(c, str_n(out, 48), &h->own, err));
	memcpy(out + 48, h->own.b, SUM_LEN);
	return OK;
}

fallible segment_head_read(const struct crypto *c, const uint8_t in[SEGMENT_HEAD], struct segment_head *ret,
			   struct err *err)
{
	struct segment_head h;
	if (memcmp(in, segment_magic, sizeof segment_magic) != 0)
		FAIL(err, ERR_IO, "is no journal of cairn: its first bytes differ");
	uint32_t version = get_u32(in + 16);
	if (version != SEGMENT_VERSION)
		FAIL(err, ERR_IO, "has version %u; this program reads version %u", version, SEGMENT_VERSION);
	h.number = get_u32(in + 20);
	h.created_ms = (int64_t)get_u64(in + 24);
	memcpy(h.prev.b, in + 32, SUM_LEN);
	TRY(frame_sum(c, str_n(in, 48), &h.own, err));
	if (memcmp(h.own.b, in + 48, SUM_LEN) != 0)
		FAIL(err, ERR_IO, "is damaged in its head (bytes 0 to %u): the checksum differs", SEGMENT_HEAD - 1);
	*ret = h;
	return OK;
}

static struct str entry_data(enum journal_kind kind, const struct journal_entry *e)
{
	switch (kind) {
	case JOURNAL_BEGIN:
		return e->tbs;
	case JOURNAL_DONE:
		return e->der;
	case JOURNAL_REFUSED:
		return e->why;
	}
	return STR_NONE;
}

static fallible put_short(struct buf *b, struct str s, struct err *err)
{
	const char n = (char)(uint8_t)s.n;
	if (s.n > OWNER_TEXT_MAX)
		FAIL(err, ERR_INTERNAL, "a name of %zu bytes in a journal entry", s.n);
	TRY(buf_add(b, str_n(&n, 1), err));
	return buf_add(b, s, err);
}

static fallible owner_write(struct buf *b, const struct journal_entry *e, struct err *err)
{
	if (e->realm.n == 0)
		return OK;
	TRY(buf_add(b, str_n(e->account.b, sizeof e->account.b), err));
	TRY(put_short(b, e->realm, err));
	TRY(put_short(b, e->profile, err));
	return put_short(b, e->issuer, err);
}

static fallible get_short(struct cur *c, struct str *ret, struct err *err)
{
	uint8_t n;
	TRY(cur_u8(c, &n, err));
	if (n > OWNER_TEXT_MAX)
		FAIL(err, ERR_IO, "a name of %u bytes", n);
	return cur_take(c, n, ret, err);
}

static fallible owner_read(struct cur *c, struct journal_entry *e, struct err *err)
{
	struct str account;
	TRY(cur_take(c, sizeof e->account.b, &account, err));
	memcpy(e->account.b, account.p, sizeof e->account.b);
	TRY(get_short(c, &e->realm, err));
	TRY(get_short(c, &e->profile, err));
	return get_short(c, &e->issuer, err);
}

fallible entry_write(struct buf *b, enum journal_kind kind, const struct journal_entry *e, struct err *err)
{
	struct str data = entry_data(kind, e);
	if (data.n > ENTRY_DATA_MAX || e->serial_hex.n > SERIAL_TEXT_MAX)
		FAIL(err, ERR_INTERNAL, "journal entry too long: %zu bytes of data, serial of %zu", data.n,
		     e->serial_hex.n);
	uint8_t head[ENTRY_FIXED + 1];
	uint8_t *p = head;
	*p++ = (uint8_t)(kind | (e->realm.n > 0 ? ENTRY_OWNED : 0));
	put_u64(p, (uint64_t)e->at_ms);
	p += 8;
	memcpy(p, e->issuance.b, 16);
	memcpy(p + 16, e->order.b, 16);
	memcpy(p + 32, e->job_hash.b, 32);
	memcpy(p + 64, e->tbs_hash.b, 32);
	p[96] = (uint8_t)e->serial_hex.n;
	uint8_t len[4];
	put_u32(len, (uint32_t)data.n);
	TRY(buf_add(b, str_n(head, sizeof head), err));
	TRY(buf_add(b, e->serial_hex, err));
	TRY(buf_add(b, str_n(len, sizeof len), err));
	TRY(buf_add(b, data, err));
	return owner_write(b, e, err);
}

fallible entry_read(struct cur *c, enum journal_kind *ret_kind, struct journal_entry *ret, struct err *err)
{
	struct journal_entry e = { 0 };
	struct str fixed, data;
	uint8_t serial_len;
	uint32_t data_len;
	TRY(cur_take(c, ENTRY_FIXED, &fixed, err));
	TRY(cur_u8(c, &serial_len, err));
	if (serial_len > SERIAL_TEXT_MAX)
		FAIL(err, ERR_IO, "a serial of %u characters", serial_len);
	TRY(cur_take(c, serial_len, &e.serial_hex, err));
	TRY(cur_u32(c, &data_len, err));
	if (data_len > ENTRY_DATA_MAX)
		FAIL(err, ERR_IO, "an entry of %u bytes", data_len);
	TRY(cur_take(c, data_len, &data, err));
	if ((uint8_t)fixed.p[0] & ENTRY_OWNED)
		TRY(owner_read(c, &e, err));

	const uint8_t *p = (const uint8_t *)fixed.p;
	e.at_ms = (int64_t)get_u64(p + 1);
	memcpy(e.issuance.b, p + 9, 16);
	memcpy(e.order.b, p + 25, 16);
	memcpy(e.job_hash.b, p + 41, 32);
	memcpy(e.tbs_hash.b, p + 73, 32);
	const unsigned kind = p[0] & ~ENTRY_OWNED;
	switch (kind) {
	case JOURNAL_BEGIN:
		e.tbs = data;
		break;
	case JOURNAL_DONE:
		e.der = data;
		e.done = true;
		break;
	case JOURNAL_REFUSED:
		e.why = data;
		break;
	default:
		FAIL(err, ERR_IO, "an entry of unknown kind %u", kind);
	}
	*ret_kind = (enum journal_kind)kind;
	*ret = e;
	return OK;
}

void frame_head_write(const struct frame_head *h, uint8_t out[JFRAME_HEAD])
{
	put_u32(out, FRAME_MAGIC);
	put_u32(out + 4, h->length);
	put_u32(out + 8, h->count);
	put_u64(out + 12, h->sequence);
}

bool frame_head_read(const uint8_t in[JFRAME_HEAD], struct frame_head *ret)
{
	ret->length = get_u32(in + 4);
	ret->count = get_u32(in + 8);
	ret->sequence = get_u64(in + 12);
	return get_u32(in) == FRAME_MAGIC && ret->length <= JFRAME_MAX && ret->count >= 1 &&
	       ret->count <= FRAME_ENTRIES_MAX;
}

fallible read_at(int fd, uint64_t offset, void *p, size_t n, struct err *err)
{
	uint8_t *at = p;
	while (n > 0) {
		ssize_t got = pread(fd, at, n, (off_t)offset);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			FAIL(err, ERR_IO, "cannot be read at byte %llu: %s", (unsigned long long)offset,
			     strerror(errno));
		if (got == 0)
			FAIL(err, ERR_IO, "ends at byte %llu, in the middle of a record", (unsigned long long)offset);
		at += got;
		offset += (uint64_t)got;
		n -= (size_t)got;
	}
	return OK;
}

/* Brings the frame at `offset`, with the SUM_LEN bytes of chain before it, into w->frame and compares its sum. */
static fallible frame_load(const struct crypto *c, int fd, uint64_t size, uint64_t offset, struct buf *frame,
			   struct frame_head *ret_head, const char **ret_bad, struct err *err)
{
	uint8_t head[JFRAME_HEAD];
	*ret_bad = NULL;
	if (size - offset < JFRAME_HEAD + SUM_LEN) {
		*ret_bad = "the file ends in the middle of a record";
		return OK;
	}
	TRY(read_at(fd, offset, head, sizeof head, err));
	if (!frame_head_read(head, ret_head)) {
		*ret_bad = "no record begins there";
		return OK;
	}
	size_t whole = JFRAME_HEAD + (size_t)ret_head->length + SUM_LEN;
	if (size - offset < whole) {
		*ret_bad = "the file ends in the middle of a record";
		return OK;
	}
	char *at;
	buf_reset(frame);
	TRY(buf_room(frame, SUM_LEN + whole, &at, err));
	TRY(read_at(fd, offset - SUM_LEN, at, SUM_LEN + whole, err));
	frame->n = SUM_LEN + whole;
	struct sum want;
	TRY(frame_sum(c, str_n(at, frame->n - SUM_LEN), &want, err));
	if (memcmp(want.b, at + frame->n - SUM_LEN, SUM_LEN) != 0)
		*ret_bad = "the checksum differs";
	return OK;
}

static struct cur frame_entries(const struct buf *frame, const struct frame_head *h)
{
	return cur_of(str_n(frame->p + SUM_LEN + JFRAME_HEAD, h->length));
}

static fallible frame_give(struct segment_walk *w, const struct frame_head *h, segment_entry_fn *fn, void *ctx,
			   struct err *err)
{
	struct cur c = frame_entries(&w->frame, h);
	for (unsigned i = 0; i < h->count; i++) {
		enum journal_kind kind;
		struct journal_entry e;
		TRY(entry_read(&c, &kind, &e, err)); /* the sum holds: we wrote it so */
		TRY(fn(ctx, kind, &e, loc_of(w->number, w->offset, i), err));
	}
	if (!cur_end(&c))
		FAIL(err, ERR_IO, "%zu bytes too many in a record", cur_left(&c));
	return OK;
}

/* From w->offset on, the room for more. */
static fallible rest_is_zero(const struct segment_walk *w, bool *ret, struct err *err)
{
	uint8_t chunk[4096];
	*ret = false;
	for (uint64_t at = w->offset; at < w->size;) {
		size_t n = w->size - at < sizeof chunk ? (size_t)(w->size - at) : sizeof chunk;
		TRY(read_at(w->fd, at, chunk, n, err));
		for (size_t i = 0; i < n; i++)
			if (chunk[i] != 0)
				return OK;
		at += n;
	}
	*ret = true;
	return OK;
}

fallible segment_walk(struct segment_walk *w, segment_entry_fn *fn, void *ctx, struct err *err)
{
	struct frame_head h;
	w->bad = NULL;
	while (w->offset < w->size) {
		TRY(frame_load(w->crypto, w->fd, w->size, w->offset, &w->frame, &h, &w->bad, err));
		if (w->bad == NULL && w->sequence != 0 && h.sequence != w->sequence)
			w->bad = "the sequence number is not the next one";
		if (w->bad != NULL) {
			bool zero;
			TRY(rest_is_zero(w, &zero, err));
			if (zero)
				w->bad = NULL;
			return OK;
		}
		TRY(frame_give(w, &h, fn, ctx, err));
		w->sequence = h.sequence + h.count;
		w->offset += JFRAME_HEAD + (uint64_t)h.length + SUM_LEN;
		memcpy(w->sum.b, w->frame.p + w->frame.n - SUM_LEN, SUM_LEN);
	}
	return OK;
}

void segment_walk_done(struct segment_walk *w)
{
	buf_done(&w->frame);
}

fallible segment_has_frame_after(struct segment_walk *w, uint64_t offset, bool *ret, struct err *err)
{
	AUTO(buf_done) struct buf rest = BUF_MAX(SEGMENT_MAX + JFRAME_MAX);
	char *p;
	*ret = false;
	if (offset >= w->size)
		return OK;
	size_t n = (size_t)(w->size - offset);
	TRY(buf_room(&rest, n, &p, err));
	TRY(read_at(w->fd, offset, p, n, err));
	rest.n = n;
	for (size_t at = 1; at + JFRAME_HEAD + SUM_LEN <= n; at++) {
		struct frame_head h;
		const char *bad;
		if (!frame_head_read((const uint8_t *)p + at, &h))
			continue;
		TRY(frame_load(w->crypto, w->fd, w->size, offset + at, &w->frame, &h, &bad, err));
		if (bad == NULL) {
			*ret = true;
			return OK;
		}
	}
	return OK;
}

static struct journal_entry entry_dup(struct arena *mem, const struct journal_entry *e)
{
	struct journal_entry d = *e;
	d.serial_hex = str_dup(mem, e->serial_hex);
	d.realm = str_dup(mem, e->realm);
	d.profile = str_dup(mem, e->profile);
	d.issuer = str_dup(mem, e->issuer);
	d.tbs = str_dup(mem, e->tbs);
	d.der = str_dup(mem, e->der);
	d.why = str_dup(mem, e->why);
	return d;
}

fallible segment_read_entry(const struct crypto *c, int fd, uint64_t loc, struct arena *mem,
			    enum journal_kind *ret_kind, struct journal_entry *ret, struct err *err)
{
	AUTO(buf_done) struct buf frame = BUF_MAX(JFRAME_MAX + JFRAME_HEAD + 2 * SUM_LEN);
	struct frame_head h;
	const char *bad;
	TRY(frame_load(c, fd, SEGMENT_MAX + (uint64_t)JFRAME_MAX, LOC_OFFSET(loc), &frame, &h, &bad, err));
	if (bad != NULL)
		FAIL(err, ERR_IO, "is damaged at byte %llu: %s", (unsigned long long)LOC_OFFSET(loc), bad);
	struct cur cur = frame_entries(&frame, &h);
	struct journal_entry e = { 0 };
	for (unsigned i = 0; i <= LOC_INDEX(loc); i++)
		TRY(entry_read(&cur, ret_kind, &e, err));
	*ret = entry_dup(mem, &e);
	return OK;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_journal.c: what the signer reads back from its journal. The first byte says how: even, the bytes are a segment
 * file as a broken disk gives it back; odd, they are the entries of a frame whose checksums hold, so that the reader
 * behind them is met.
 */
#include "sign/journal_internal.h"

#include "fuzz.h"

#include <sys/mman.h>
#include <unistd.h>

static fallible check_entry(void *ctx, enum journal_kind kind, const struct journal_entry *e, uint64_t loc,
			    struct err *err)
{
	AUTO(buf_done) struct buf b = BUF_MAX(1 << 20);
	enum journal_kind again_kind;
	struct journal_entry again = { 0 };
	unsigned *count = ctx;
	(void)loc;
	TRY(entry_write(&b, kind, e, err));
	struct cur c = cur_of(buf_str(&b));
	CHECK(!FAILED(entry_read(&c, &again_kind, &again, NULL)) && cur_end(&c));
	CHECK(again_kind == kind && id_eq(again.order, e->order) && str_eq(again.serial_hex, e->serial_hex));
	CHECK(str_eq(again.tbs, e->tbs) && str_eq(again.der, e->der) && str_eq(again.why, e->why));
	++*count;
	return OK;
}

static void walk(const struct crypto *crypto, struct str file)
{
	AUTO(fd_close) int fd = memfd_create("journal", MFD_CLOEXEC);
	CHECK(fd >= 0 && !FAILED(fd_write_all(fd, file, NULL)));
	struct segment_walk w = { .crypto = crypto,
				  .fd = fd,
				  .number = 1,
				  .size = file.n,
				  .offset = SEGMENT_HEAD,
				  .frame = BUF_MAX(JFRAME_MAX + JFRAME_HEAD + 2 * SUM_LEN) };
	struct err err = { 0 };
	unsigned count = 0;
	bool more;
	struct rc rc = segment_walk(&w, check_entry, &count, &err);
	check_err(rc, &err);
	CHECK(w.offset <= file.n);
	for (size_t i = w.offset; rc.kind == ERR_NONE && w.bad == NULL && i < file.n; i++)
		CHECK(file.p[i] == 0); /* room */
	if (rc.kind == ERR_NONE && w.bad != NULL)
		CHECK(!FAILED(segment_has_frame_after(&w, w.offset, &more, &err)));
	buf_done(&w.frame);
}

/* A segment with one frame that holds these entries. */
static void walk_framed(const struct crypto *crypto, struct str entries, unsigned count)
{
	AUTO(buf_done) struct buf file = BUF_MAX(1 << 21);
	struct segment_head head = { .number = 1 };
	struct frame_head frame = { .length = (uint32_t)entries.n, .count = count, .sequence = 1 };
	uint8_t bytes[SEGMENT_HEAD], frame_bytes[JFRAME_HEAD];
	struct sum sum;
	CHECK(!FAILED(segment_head_write(crypto, &head, bytes, NULL)));
	frame_head_write(&frame, frame_bytes);
	CHECK(!FAILED(buf_add(&file, str_n(bytes, sizeof bytes), NULL)));
	CHECK(!FAILED(buf_add(&file, str_n(frame_bytes, sizeof frame_bytes), NULL)));
	CHECK(!FAILED(buf_add(&file, entries, NULL)));
	CHECK(!FAILED(frame_sum(crypto, str_sub(buf_str(&file), SEGMENT_HEAD - SUM_LEN, file.n), &sum, NULL)));
	CHECK(!FAILED(buf_add(&file, str_n(sum.b, SUM_LEN), NULL)));
	walk(crypto, buf_str(&file));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct crypto *crypto; /* as long as the fuzzer runs */
	if (crypto == NULL)
		CHECK(!FAILED(crypto_new(&crypto, NULL)));
	if (size < 2 || size > 1 << 20)
		return 0;
	if (data[0] & 1) {
		walk_framed(crypto, str_n(data + 2, size - 2), 1u + data[1]);
		return 0;
	}
	struct str file = str_n(data + 1, size - 1);
	if (file.n < SEGMENT_HEAD)
		return 0;
	struct segment_head head;
	struct err err = { 0 };
	check_err(segment_head_read(crypto, (const uint8_t *)file.p, &head, &err), &err);
	walk(crypto, file);
	return 0;
}

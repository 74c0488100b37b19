/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_frames.c: a byte stream as a bus peer sends it. The first byte says from which side; then frames, each of which
 * is read as the bus reads it and must be written back as the same bytes.
 */
#include "bus/proto.h"
#include "fuzz.h"

static void check_written_alike(const struct bus_frame *m, struct str as_read)
{
	AUTO(buf_done) struct buf out = BUF_MAX(FRAME_HEAD + FRAME_BODY_MAX);
	CHECK(!FAILED(bus_frame_add(&out, m, NULL)));
	CHECK(str_eq(buf_str(&out), as_read));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	struct str left = str_n(data + 1, size - 1);
	for (;;) {
		struct frame f = { 0 };
		struct bus_frame m = { 0 };
		struct err err = { 0 };
		size_t used = 0;
		struct rc rc = frame_read(left, &f, &used, &err);
		check_err(rc, &err);
		if (rc.kind != ERR_NONE || used == 0)
			return 0;
		CHECK(used == FRAME_HEAD + f.body.n && used <= left.n);
		rc = bus_frame_read(&f, (data[0] & 1) != 0, &m, &err);
		check_err(rc, &err);
		if (rc.kind == ERR_NONE)
			check_written_alike(&m, str_sub(left, 0, used));
		left = str_sub(left, used, left.n);
	}
}

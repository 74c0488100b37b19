/* SPDX-License-Identifier: Apache-2.0
 *
 * journal_test.c: what the journal promises across crashes, damage, full disks, broken disks and clocks.
 */
#include "sign/journal_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define KEEP_MS ((int64_t)7 * 86400 * 1000)
#define T0 ((int64_t)1795000000000)

#define MUST(call)                                                                               \
	do {                                                                                     \
		struct rc must_rc_ = (call);                                                     \
		if (must_rc_.kind != ERR_NONE)                                                   \
			fail_msg("%s: %s: %s", #call, err_kind_name(must_rc_.kind), err.detail); \
	} while (0)
#define MUST_FAIL(call, want, text)                                                                            \
	do {                                                                                                   \
		struct rc must_rc_ = (call);                                                                   \
		if (must_rc_.kind != (want) || strstr(err.detail, (text)) == NULL)                             \
			fail_msg("%s: found %s \"%s\", wanted %s \"%s\"", #call, err_kind_name(must_rc_.kind), \
				 err.detail, err_kind_name(want), (text));                                     \
	} while (0)

/* --- a world of its own for each test --- */
struct world {
	char dir[64];
	int64_t now_ms;
	struct clock clk;
	struct crypto *crypto;
	struct journal *j;
};

static int64_t world_now(void *ctx)
{
	return ((struct world *)ctx)->now_ms;
}

static struct world *world_new(void)
{
	struct world *w = mem_alloc(sizeof *w);
	struct err err = { 0 };
	strcpy(w->dir, "/tmp/cairn-journal-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	w->now_ms = T0;
	w->clk = (struct clock){ world_now, world_now, w };
	MUST(crypto_new(&w->crypto, &err));
	return w;
}

static void world_free(struct world *w)
{
	char command[128];
	journal_close(w->j);
	crypto_free(w->crypto);
	snprintf(command, sizeof command, "rm -rf '%s'", w->dir);
	assert_int_equal(system(command), 0);
	free(w);
}

static struct rc world_try_open(struct world *w, const struct journal_io *io, uint64_t segment_max, struct err *err)
{
	journal_close(TAKE(w->j));
	*err = (struct err){ 0 };
	return journal_open_with(w->dir, KEEP_MS, w->crypto, &w->clk, io, segment_max, &w->j, err);
}

static void world_open(struct world *w)
{
	struct err err;
	MUST(world_try_open(w, &journal_io_system, SEGMENT_MAX, &err));
}

static char *world_path(const struct world *w, const char *name)
{
	static char path[128];
	snprintf(path, sizeof path, "%s/%s", w->dir, name);
	return path;
}

static size_t file_size(const char *path)
{
	struct stat st;
	assert_int_equal(stat(path, &st), 0);
	return (size_t)st.st_size;
}

static void file_flip(const char *path, size_t at)
{
	int fd = open(path, O_RDWR);
	uint8_t b;
	assert_int_equal(pread(fd, &b, 1, (off_t)at), 1);
	b ^= 0x10;
	assert_int_equal(pwrite(fd, &b, 1, (off_t)at), 1);
	close(fd);
}

/* --- entries --- */
struct sample {
	struct journal_entry e;
	char serial[2 * SERIAL_LEN + 1];
	char tbs[64], der[64];
};

static struct sample *sample_of(struct sample *s, unsigned i)
{
	*s = (struct sample){ 0 };
	snprintf(s->serial, sizeof s->serial, "01%034x", i);
	snprintf(s->tbs, sizeof s->tbs, "to be signed %u", i);
	snprintf(s->der, sizeof s->der, "certificate %u", i);
	memset(s->e.issuance.b, 0xaa, 16);
	memset(s->e.order.b, 0x55, 16);
	memcpy(s->e.issuance.b, &i, sizeof i);
	memcpy(s->e.order.b, &i, sizeof i);
	memset(s->e.job_hash.b, (int)(i & 0xff), 32);
	memset(s->e.tbs_hash.b, (int)(i >> 8 & 0xff), 32);
	s->e.serial_hex = str_z(s->serial);
	s->e.tbs = str_z(s->tbs);
	s->e.der = str_z(s->der);
	if (i % 2 == 0) /* the others are as they were written before owners were kept, and as the CA's own are */
		return s;
	memset(s->e.account.b, 0x77, 16);
	s->e.realm = STR("team-a");
	s->e.profile = STR("server");
	s->e.issuer = i % 3 == 0 ? STR_NONE : STR("default");
	return s;
}

static void add_begin(struct world *w, unsigned i)
{
	struct sample s;
	struct err err = { 0 };
	MUST(journal_begin(w->j, &sample_of(&s, i)->e, &err));
}

static void add_done(struct world *w, unsigned i)
{
	struct sample s;
	struct err err = { 0 };
	MUST(journal_done(w->j, &sample_of(&s, i)->e, &err));
}

static void sync_now(struct world *w)
{
	struct err err = { 0 };
	MUST(journal_sync(w->j, &err));
}

static void issue(struct world *w, unsigned i)
{
	add_begin(w, i);
	sync_now(w);
	add_done(w, i);
	sync_now(w);
}

enum known { UNKNOWN, BEGUN, DONE };

static enum known known(struct world *w, unsigned i)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct sample s;
	struct err err = { 0 };
	struct journal_entry e;
	sample_of(&s, i);
	struct rc rc = journal_find_order(w->j, &mem, s.e.order, &e, &err);
	assert_int_equal(journal_has_serial(w->j, s.e.serial_hex), rc.kind == ERR_NONE);
	if (rc.kind == ERR_NOT_FOUND)
		return UNKNOWN;
	if (rc.kind != ERR_NONE)
		fail_msg("order %u: %s", i, err.detail);
	assert_memory_equal(e.issuance.b, s.e.issuance.b, 16);
	assert_memory_equal(e.job_hash.b, s.e.job_hash.b, 32);
	assert_memory_equal(e.tbs_hash.b, s.e.tbs_hash.b, 32);
	assert_true(str_eq(e.serial_hex, s.e.serial_hex));
	assert_memory_equal(e.account.b, s.e.account.b, 16);
	assert_true(str_eq(e.realm, s.e.realm) && str_eq(e.profile, s.e.profile) && str_eq(e.issuer, s.e.issuer));
	assert_true(str_eq(e.done ? e.der : e.tbs, e.done ? s.e.der : s.e.tbs));
	return e.done ? DONE : BEGUN;
}

/* --- tests --- */
static void what_was_added_is_found_before_and_after_syncing_and_reopening(void **state)
{
	struct world *w = world_new();
	(void)state;
	world_open(w);
	assert_int_equal(known(w, 1), UNKNOWN);
	add_begin(w, 1);
	assert_int_equal(known(w, 1), BEGUN);
	sync_now(w);
	assert_int_equal(known(w, 1), BEGUN);
	add_done(w, 1);
	assert_int_equal(known(w, 1), DONE);
	sync_now(w);
	add_begin(w, 2);
	sync_now(w);
	world_open(w);
	assert_int_equal(known(w, 1), DONE);
	assert_int_equal(known(w, 2), BEGUN);
	assert_int_equal(known(w, 3), UNKNOWN);
	world_free(w);
}

static void what_was_not_synced_is_gone_after_reopening(void **state)
{
	struct world *w = world_new();
	(void)state;
	world_open(w);
	issue(w, 1);
	add_begin(w, 2);
	world_open(w);
	assert_int_equal(known(w, 1), DONE);
	assert_int_equal(known(w, 2), UNKNOWN);
	world_free(w);
}

static void a_refusal_is_on_record_but_does_not_take_order_or_serial(void **state)
{
	struct world *w = world_new();
	struct sample s;
	struct err err = { 0 };
	(void)state;
	world_open(w);
	MUST(journal_refused(w->j, &sample_of(&s, 1)->e, STR("no evidence"), &err));
	assert_int_equal(known(w, 1), UNKNOWN);
	sync_now(w);
	assert_int_equal(known(w, 1), UNKNOWN);
	issue(w, 1);
	world_open(w);
	assert_int_equal(known(w, 1), DONE);
	world_free(w);
}

static void files_are_private(void **state)
{
	struct world *w = world_new();
	struct stat st;
	(void)state;
	world_open(w);
	assert_int_equal(stat(world_path(w, "journal-000001.cj"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	world_free(w);
}

static void a_record_torn_at_any_byte_is_cut_off_and_kept_aside(void **state)
{
	struct world *w = world_new();
	struct err err;
	const char *kept;
	(void)state;
	world_open(w);
	issue(w, 1);
	size_t whole = (size_t)journal_end(w->j);
	add_begin(w, 2);
	sync_now(w);
	size_t longer = (size_t)journal_end(w->j);
	assert_true(longer > whole);
	journal_close(TAKE(w->j));
	AUTO(buf_done) struct buf body = BUF_MAX(1 << 20);
	MUST(file_read(world_path(w, "journal-000001.cj"), 1 << 20, &body, &err));
	for (size_t n = whole; n < longer; n++) {
		MUST(file_write_atomic(world_path(w, "journal-000001.cj"), str_sub(buf_str(&body), 0, n), 0600, &err));
		world_open(w);
		assert_int_equal(known(w, 1), DONE);
		assert_int_equal(known(w, 2), UNKNOWN);
		assert_int_equal(journal_torn(w->j, &kept), n - whole);
		assert_int_equal(file_size(world_path(w, "journal-000001.cj")), whole);
		if (n > whole)
			assert_int_equal(file_size(world_path(w, kept)), n - whole);
		issue(w, 3); /* and the journal goes on from there */
		world_open(w);
		assert_int_equal(known(w, 3), DONE);
		journal_close(TAKE(w->j));
	}
	world_free(w);
}

static void a_last_record_whose_pages_were_never_written_is_cut_off(void **state)
{
	struct world *w = world_new();
	(void)state;
	world_open(w);
	issue(w, 1);
	size_t whole = (size_t)journal_end(w->j);
	journal_close(TAKE(w->j));
	assert_int_equal(truncate(world_path(w, "journal-000001.cj"), (off_t)whole + 5000), 0); /* zeros */
	world_open(w);
	assert_int_equal(known(w, 1), DONE);
	assert_int_equal(file_size(world_path(w, "journal-000001.cj")), whole);
	world_free(w);
}

/* What a killed process leaves: the records, and zeros behind them. */
static void leave_as_if_killed(struct world *w, struct buf *file)
{
	struct err err;
	MUST(file_read(world_path(w, "journal-000001.cj"), 1 << 20, file, &err));
	journal_close(TAKE(w->j));
	MUST(file_write_atomic(world_path(w, "journal-000001.cj"), buf_str(file), 0600, &err));
}

static fallible count_entry(void *ctx, enum journal_kind kind, const struct journal_entry *e, struct err *err)
{
	unsigned *n = ctx;
	(void)e;
	(void)err;
	n[kind]++;
	return OK;
}

static void room_is_made_ahead_and_given_back(void **state)
{
	struct world *w = world_new();
	struct err err;
	const char *kept;
	unsigned n[4] = { 0 };
	(void)state;
	world_open(w);
	issue(w, 1);
	size_t room = file_size(world_path(w, "journal-000001.cj"));
	assert_true(room > journal_end(w->j) + ROOM_MIN / 2);
	issue(w, 2);
	assert_int_equal(file_size(world_path(w, "journal-000001.cj")), room);
	MUST(journal_walk(w->dir, count_entry, n, &err)); /* others read it meanwhile */
	assert_int_equal(n[JOURNAL_DONE], 2);

	AUTO(buf_done) struct buf file = BUF_MAX(1 << 20);
	size_t end = (size_t)journal_end(w->j);
	leave_as_if_killed(w, &file);
	assert_int_equal(file.n, room);
	world_open(w);
	assert_int_equal(journal_torn(w->j, &kept), 0);
	assert_int_equal(file_size(world_path(w, "journal-000001.cj")), end);
	assert_int_equal(known(w, 2), DONE);
	issue(w, 3);
	end = (size_t)journal_end(w->j);
	journal_close(TAKE(w->j));
	assert_int_equal(file_size(world_path(w, "journal-000001.cj")), end);
	world_free(w);
}

static void a_segment_that_is_full_keeps_no_room(void **state)
{
	struct world *w = world_new();
	struct err err;
	(void)state;
	MUST(world_try_open(w, &journal_io_system, 2 * ROOM_MIN, &err));
	unsigned i = 1;
	uint64_t end = 0;
	for (; access(world_path(w, "journal-000002.cj"), F_OK) != 0; i++) {
		end = journal_end(w->j);
		assert_true(file_size(world_path(w, "journal-000001.cj")) <= 2 * ROOM_MIN);
		add_begin(w, i);
		sync_now(w);
	}
	assert_int_equal(file_size(world_path(w, "journal-000001.cj")), end);
	MUST(world_try_open(w, &journal_io_system, 2 * ROOM_MIN, &err));
	for (unsigned k = 1; k < i; k++)
		assert_int_equal(known(w, k), BEGUN);
	world_free(w);
}

static void a_record_torn_within_the_room_is_cut_off_and_kept_aside(void **state)
{
	struct world *w = world_new();
	struct err err;
	const char *kept;
	(void)state;
	world_open(w);
	issue(w, 1);
	size_t whole = (size_t)journal_end(w->j);
	add_begin(w, 2);
	sync_now(w);
	size_t longer = (size_t)journal_end(w->j);
	AUTO(buf_done) struct buf file = BUF_MAX(1 << 20);
	leave_as_if_killed(w, &file);
	for (size_t n = whole + 1; n < longer; n += 7) {
		AUTO(buf_done) struct buf torn = BUF_MAX(1 << 20);
		MUST(buf_add(&torn, buf_str(&file), &err));
		memset(torn.p + n, 0, longer - n); /* the rest of it never reached the disk */
		MUST(file_write_atomic(world_path(w, "journal-000001.cj"), buf_str(&torn), 0600, &err));
		world_open(w);
		assert_int_equal(known(w, 1), DONE);
		assert_int_equal(known(w, 2), UNKNOWN);
		uint64_t cut = journal_torn(w->j, &kept);
		assert_true(cut >= n - whole && cut < n - whole + 4096);
		assert_int_equal(file_size(world_path(w, kept)), cut);
		assert_int_equal(file_size(world_path(w, "journal-000001.cj")), whole);
		journal_close(TAKE(w->j));
	}
	world_free(w);
}

static void a_flipped_bit_anywhere_before_the_last_record_refuses_with_its_place(void **state)
{
	struct world *w = world_new();
	struct err err;
	char want[64];
	(void)state;
	world_open(w);
	issue(w, 1);
	size_t second = (size_t)journal_end(w->j);
	add_begin(w, 2);
	sync_now(w);
	size_t third = (size_t)journal_end(w->j);
	issue(w, 3);
	snprintf(want, sizeof want, "journal-000001.cj is damaged at byte %zu", second);
	for (size_t at = second; at < third; at++) {
		journal_close(TAKE(w->j));
		file_flip(world_path(w, "journal-000001.cj"), at);
		MUST_FAIL(world_try_open(w, &journal_io_system, SEGMENT_MAX, &err), ERR_IO, want);
		assert_non_null(strstr(err.detail, "restore"));
		file_flip(world_path(w, "journal-000001.cj"), at);
	}
	world_open(w);
	assert_int_equal(known(w, 3), DONE);
	world_free(w);
}

/* A record that others have not seen yet when they see the one behind it. */
struct late {
	char path[128];
	size_t at;
	struct str bytes;
};

static void *write_late(void *arg)
{
	const struct late *l = arg;
	const struct timespec moment = { 0, 30 * 1000000 };
	(void)nanosleep(&moment, NULL);
	int fd = open(l->path, O_WRONLY);
	assert_int_equal(pwrite(fd, l->bytes.p, l->bytes.n, (off_t)l->at), l->bytes.n);
	close(fd);
	return NULL;
}

static void a_reader_beside_the_writer_takes_no_record_for_damage(void **state)
{
	struct world *w = world_new();
	struct err err;
	struct late late = { .at = 0 };
	pthread_t writer;
	unsigned n[4] = { 0 };
	AUTO(buf_done) struct buf file = BUF_MAX(4u << 20);
	(void)state;
	world_open(w);
	issue(w, 1);
	late.at = (size_t)journal_end(w->j);
	issue(w, 2);
	size_t third = (size_t)journal_end(w->j);
	issue(w, 3);
	(void)snprintf(late.path, sizeof late.path, "%s", world_path(w, "journal-000001.cj"));
	MUST(file_read(late.path, file.max, &file, &err));
	late.bytes = str_sub(buf_str(&file), late.at, third);
	int fd = open(late.path, O_WRONLY);
	AUTO(arena_done) struct arena mem = { 0 };
	char *zeros = arena_alloc(&mem, late.bytes.n);
	assert_int_equal(pwrite(fd, zeros, late.bytes.n, (off_t)late.at), late.bytes.n);
	close(fd);
	assert_int_equal(pthread_create(&writer, NULL, write_late, &late), 0);
	MUST(journal_walk(w->dir, count_entry, n, &err));
	(void)pthread_join(writer, NULL);
	assert_int_equal(n[JOURNAL_DONE], 3);
	world_free(w);
}

static void a_flipped_bit_in_the_head_refuses(void **state)
{
	struct world *w = world_new();
	struct err err;
	(void)state;
	world_open(w);
	issue(w, 1);
	for (size_t at = 0; at < SEGMENT_HEAD; at++) {
		journal_close(TAKE(w->j));
		file_flip(world_path(w, "journal-000001.cj"), at);
		MUST_FAIL(world_try_open(w, &journal_io_system, SEGMENT_MAX, &err), ERR_IO, "");
		file_flip(world_path(w, "journal-000001.cj"), at);
	}
	world_open(w);
	world_free(w);
}

static void damage_after_opening_is_found_when_the_record_is_read_back(void **state)
{
	struct world *w = world_new();
	AUTO(arena_done) struct arena mem = { 0 };
	struct sample s;
	struct journal_entry e;
	struct err err = { 0 };
	(void)state;
	world_open(w);
	issue(w, 1);
	file_flip(world_path(w, "journal-000001.cj"), (size_t)journal_end(w->j) - SUM_LEN - 1);
	MUST_FAIL(journal_find_order(w->j, &mem, sample_of(&s, 1)->e.order, &e, &err), ERR_IO, "damaged at byte");
	world_free(w);
}

/* --- segments --- */
static void open_small(struct world *w)
{
	struct err err;
	MUST(world_try_open(w, &journal_io_system, 2048, &err));
}

static void segments_roll_over_and_stay_one_chain(void **state)
{
	struct world *w = world_new();
	struct err err = { 0 };
	unsigned n[4] = { 0 };
	(void)state;
	open_small(w);
	for (unsigned i = 1; i <= 60; i++)
		issue(w, i);
	assert_int_equal(access(world_path(w, "journal-000003.cj"), F_OK), 0);
	for (unsigned i = 1; i <= 60; i++)
		assert_int_equal(known(w, i), DONE);
	open_small(w);
	for (unsigned i = 1; i <= 60; i++)
		assert_int_equal(known(w, i), DONE);
	MUST(journal_walk(w->dir, count_entry, n, &err));
	assert_int_equal(n[JOURNAL_BEGIN], 60);
	assert_int_equal(n[JOURNAL_DONE], 60);

	/* A torn end in any but the last segment is damage. */
	journal_close(TAKE(w->j));
	size_t size = file_size(world_path(w, "journal-000002.cj"));
	assert_int_equal(truncate(world_path(w, "journal-000002.cj"), (off_t)size - 1), 0);
	MUST_FAIL(world_try_open(w, &journal_io_system, 2048, &err), ERR_IO, "journal-000002.cj is damaged");
	err = (struct err){ 0 };
	MUST_FAIL(journal_walk(w->dir, count_entry, n, &err), ERR_IO, "journal-000002.cj is damaged");
	world_free(w);
}

/* --- copies --- */
static void copy_path(const struct world *w, char out[128])
{
	(void)snprintf(out, 128, "%s/copy", w->dir);
}

static struct rc try_copy(const struct world *w, struct journal_copied *ret, struct err *err)
{
	char to[128];
	copy_path(w, to);
	*err = (struct err){ 0 };
	return journal_copy(w->dir, to, ret, err);
}

static unsigned certificates_in_copy(const struct world *w)
{
	char to[128];
	struct err err = { 0 };
	unsigned n[4] = { 0 };
	copy_path(w, to);
	MUST(journal_walk(to, count_entry, n, &err));
	return n[JOURNAL_DONE];
}

#define WRITTEN_MEANWHILE 400
struct busy {
	struct world *w;
	atomic_bool done;
};

static void *write_on(void *arg)
{
	struct busy *b = arg;
	for (unsigned i = 1; i <= WRITTEN_MEANWHILE; i++)
		issue(b->w, i);
	atomic_store(&b->done, true);
	return NULL;
}

static void copy_beside_the_writer(uint64_t segment_max)
{
	struct world *w = world_new();
	struct busy busy = { .w = w };
	struct journal_copied got = { 0 };
	struct err err;
	pthread_t writer;
	uint64_t before = 0;
	MUST(world_try_open(w, &journal_io_system, segment_max, &err));
	assert_int_equal(pthread_create(&writer, NULL, write_on, &busy), 0);
	for (bool last = false; !last; before = got.certificates) {
		last = atomic_load(&busy.done);
		MUST(try_copy(w, &got, &err));
		assert_true(got.certificates >= before);
		assert_int_equal(certificates_in_copy(w), got.certificates);
	}
	(void)pthread_join(writer, NULL);
	assert_int_equal(got.certificates, WRITTEN_MEANWHILE);
	world_free(w);
}

/* With small files many are begun and cut, in large ones there is much room behind the records. */
static void a_copy_of_a_journal_that_is_written_to_is_whole(void **state)
{
	(void)state;
	copy_beside_the_writer(2048);
	copy_beside_the_writer(SEGMENT_MAX);
}

static void a_copy_is_made_longer_and_nothing_is_written_twice(void **state)
{
	struct world *w = world_new();
	struct journal_copied got;
	struct err err;
	char signed_there[160];
	(void)state;
	open_small(w);
	for (unsigned i = 1; i <= 30; i++)
		issue(w, i);
	MUST(try_copy(w, &got, &err));
	assert_true(got.segments > 2);
	assert_int_equal(got.written, got.segments);
	MUST(try_copy(w, &got, &err));
	assert_int_equal(got.written, 0);
	issue(w, 31);
	MUST(try_copy(w, &got, &err));
	assert_true(got.written == 1 || got.written == 2); /* it may have begun another file */
	assert_int_equal(certificates_in_copy(w), 31);
	/* It serves as a journal. */
	journal_close(TAKE(w->j));
	(void)snprintf(signed_there, sizeof signed_there, "%s/copy", w->dir);
	MUST(journal_open_with(signed_there, KEEP_MS, w->crypto, &w->clk, &journal_io_system, 2048, &w->j, &err));
	for (unsigned i = 1; i <= 31; i++)
		assert_int_equal(known(w, i), DONE);
	world_free(w);
}

/* Of a snapshot, whose last file has the room that the signer had made. */
static void a_snapshot_is_made_longer_as_a_copy_is(void **state)
{
	struct world *w = world_new();
	struct journal_copied got;
	struct err err;
	char to[128], path[160];
	AUTO(buf_done) struct buf body = BUF_MAX(1 << 20);
	(void)state;
	world_open(w);
	issue(w, 1);
	copy_path(w, to);
	MUST(dir_make(to, 0700, &err));
	MUST(file_read(world_path(w, "journal-000001.cj"), body.max, &body, &err));
	assert_true(body.n > journal_end(w->j));
	(void)snprintf(path, sizeof path, "%s/journal-000001.cj", to);
	MUST(file_write_new(path, buf_str(&body), 0600, &err));
	MUST(try_copy(w, &got, &err));
	assert_int_equal(got.written, 0);
	issue(w, 2);
	MUST(try_copy(w, &got, &err));
	assert_int_equal(got.written, 1);
	assert_int_equal(certificates_in_copy(w), 2);
	world_free(w);
}

static void a_copy_knows_a_journal_that_was_put_back(void **state)
{
	struct world *w = world_new();
	struct journal_copied got;
	struct err err;
	AUTO(buf_done) struct buf older = BUF_MAX(1 << 20);
	(void)state;
	world_open(w);
	issue(w, 1);
	journal_close(TAKE(w->j));
	MUST(file_read(world_path(w, "journal-000001.cj"), older.max, &older, &err));
	world_open(w);
	issue(w, 2);
	MUST(try_copy(w, &got, &err));
	journal_close(TAKE(w->j));
	MUST(file_write_atomic(world_path(w, "journal-000001.cj"), buf_str(&older), 0600, &err));
	world_open(w);
	MUST_FAIL(try_copy(w, &got, &err), ERR_CONFLICT, "has more records");
	issue(w, 3);
	issue(w, 4);
	MUST_FAIL(try_copy(w, &got, &err), ERR_CONFLICT, "was put back");
	assert_int_equal(certificates_in_copy(w), 2);
	world_free(w);
}

static void a_copy_never_replaces_what_is_none(void **state)
{
	struct world *w = world_new(), *other = world_new();
	struct journal_copied got;
	struct err err;
	char to[128], path[160];
	(void)state;
	open_small(w);
	for (unsigned i = 1; i <= 30; i++)
		issue(w, i);
	MUST(try_copy(w, &got, &err));
	copy_path(w, to);
	other->now_ms += 1000; /* another head */
	open_small(other);
	for (unsigned i = 1; i <= 60; i++)
		issue(other, i);
	MUST_FAIL(journal_copy(other->dir, to, &got, &err), ERR_CONFLICT, "is of another journal");
	assert_int_equal(certificates_in_copy(w), 30);

	err = (struct err){ 0 };
	(void)snprintf(path, sizeof path, "%s/journal-000099.cj", to);
	MUST(file_write_new(path, STR("?"), 0600, &err));
	MUST_FAIL(try_copy(w, &got, &err), ERR_IO, "is missing");
	assert_int_equal(unlink(path), 0);
	(void)snprintf(path, sizeof path, "%s/journal-000001.cj", to);
	file_flip(path, file_size(path) - 1);
	MUST_FAIL(try_copy(w, &got, &err), ERR_CONFLICT, "is damaged at byte");
	file_flip(path, file_size(path) - 1);
	file_flip(path, SEGMENT_HEAD + 30); /* in the middle, long copied */
	MUST_FAIL(try_copy(w, &got, &err), ERR_CONFLICT, "is damaged at byte 64");
	file_flip(path, SEGMENT_HEAD + 30);
	MUST(try_copy(w, &got, &err));
	assert_int_equal(truncate(path, 10), 0);
	MUST_FAIL(try_copy(w, &got, &err), ERR_CONFLICT, "is no part of a journal");

	err = (struct err){ 0 };
	MUST_FAIL(journal_copy(w->dir, w->dir, &got, &err), ERR_CONFIG, "is the journal itself");
	AUTO(fd_close) int locked = open(to, O_RDONLY | O_DIRECTORY);
	assert_int_equal(flock(locked, LOCK_EX | LOCK_NB), 0);
	MUST_FAIL(try_copy(w, &got, &err), ERR_CONFLICT, "another copy is being made");
	fd_close(&locked);

	/* A copy with more segments than the journal has is the one to keep. */
	struct world *less = world_new();
	open_small(less);
	issue(less, 1);
	err = (struct err){ 0 };
	MUST_FAIL(journal_copy(less->dir, other->dir, &got, &err), ERR_CONFLICT, "ends with segment");
	world_free(less);
	world_free(other);
	world_free(w);
}

static void a_missing_or_exchanged_segment_refuses(void **state)
{
	struct world *w = world_new();
	struct err err;
	char two[128], away[128];
	(void)state;
	open_small(w);
	for (unsigned i = 1; i <= 60; i++)
		issue(w, i);
	journal_close(TAKE(w->j));
	strcpy(two, world_path(w, "journal-000002.cj"));
	strcpy(away, world_path(w, "away"));
	assert_int_equal(rename(two, away), 0);
	MUST_FAIL(world_try_open(w, &journal_io_system, 2048, &err), ERR_IO, "segment 2 is missing");
	AUTO(buf_done) struct buf body = BUF_MAX(1 << 20);
	MUST(file_read(world_path(w, "journal-000003.cj"), 1 << 20, &body, &err));
	MUST(file_write_new(two, buf_str(&body), 0600, &err));
	MUST_FAIL(world_try_open(w, &journal_io_system, 2048, &err), ERR_IO, "says in its head that it is segment 3");
	world_free(w);
}

static void a_whole_record_taken_out_breaks_the_chain(void **state)
{
	struct world *w = world_new();
	struct err err;
	size_t at[4];
	(void)state;
	world_open(w);
	for (unsigned i = 0; i < 4; i++) {
		at[i] = (size_t)journal_end(w->j);
		add_begin(w, i + 1);
		sync_now(w);
	}
	journal_close(TAKE(w->j));
	AUTO(buf_done) struct buf body = BUF_MAX(1 << 20), less = BUF_MAX(1 << 20);
	MUST(file_read(world_path(w, "journal-000001.cj"), 1 << 20, &body, &err));
	MUST(buf_add(&less, str_sub(buf_str(&body), 0, at[1]), &err));
	MUST(buf_add(&less, str_sub(buf_str(&body), at[2], body.n), &err));
	MUST(file_write_atomic(world_path(w, "journal-000001.cj"), buf_str(&less), 0600, &err));
	MUST_FAIL(world_try_open(w, &journal_io_system, SEGMENT_MAX, &err), ERR_IO, "is damaged at byte");
	world_free(w);
}

static void a_segment_half_made_is_made_again(void **state)
{
	struct world *w = world_new();
	(void)state;
	for (size_t n = 0; n <= SEGMENT_HEAD; n++) {
		open_small(w);
		issue(w, (unsigned)n + 1);
		char next[64];
		journal_close(TAKE(w->j));
		unsigned k = 1;
		do
			snprintf(next, sizeof next, "journal-%06u.cj", ++k);
		while (access(world_path(w, next), F_OK) == 0);
		int fd = open(world_path(w, next), O_WRONLY | O_CREAT, 0600);
		assert_int_equal(ftruncate(fd, (off_t)n), 0);
		close(fd);
		open_small(w);
		assert_int_equal(access(world_path(w, next), F_OK), -1);
		for (unsigned i = 1; i <= n + 1; i++)
			assert_int_equal(known(w, i), DONE);
	}
	world_free(w);
}

static void old_segments_are_neither_read_at_start_nor_kept_in_memory(void **state)
{
	struct world *w = world_new();
	(void)state;
	open_small(w);
	for (unsigned i = 1; i <= 30; i++)
		issue(w, i);
	w->now_ms += KEEP_MS + 1;
	for (unsigned i = 31; i <= 60; i++)
		issue(w, i);
	w->now_ms += 1;
	file_flip(world_path(w, "journal-000001.cj"), SEGMENT_HEAD + 100); /* only a walk finds it */
	open_small(w);
	assert_int_equal(known(w, 1), UNKNOWN);
	assert_int_equal(known(w, 60), DONE);
	world_free(w);
}

/* The machine's clock is often wrong until it has heard from others: what was skipped then would be missed later. */
static void a_clock_that_is_ahead_at_start_hides_no_young_segment(void **state)
{
	struct world *w = world_new();
	(void)state;
	open_small(w);
	for (unsigned i = 1; i <= 30; i++)
		issue(w, i);
	w->now_ms += 365 * (int64_t)86400 * 1000;
	open_small(w);
	w->now_ms = T0 + 1000;
	for (unsigned i = 1; i <= 30; i++)
		assert_int_equal(known(w, i), DONE);
	world_free(w);
}

static void the_index_forgets_what_is_old(void **state)
{
	struct world *w = world_new();
	size_t most = 0;
	(void)state;
	world_open(w);
	for (unsigned round = 0; round < 40; round++) {
		for (unsigned i = 0; i < 10; i++) {
			for (unsigned k = 0; k < 200; k++)
				add_begin(w, round * 2000 + i * 200 + k + 1);
			sync_now(w);
		}
		w->now_ms += KEEP_MS / 2;
		if (round == 15)
			most = journal_index_bytes(w->j);
	}
	assert_int_equal(known(w, 39 * 2000 + 1), BEGUN);
	assert_int_equal(known(w, 1), UNKNOWN);
	assert_true(journal_index_bytes(w->j) <= 2 * most);
	world_free(w);
}

static void ten_thousand_issuances_are_found_again(void **state)
{
	struct world *w = world_new();
	unsigned n[4] = { 0 };
	struct err err = { 0 };
	(void)state;
	world_open(w);
	for (unsigned i = 0; i < 10000; i += 100) {
		for (unsigned k = 0; k < 100; k++)
			add_begin(w, i + k);
		sync_now(w);
		for (unsigned k = 0; k < 100; k++)
			add_done(w, i + k);
		sync_now(w);
	}
	world_open(w);
	for (unsigned i = 0; i < 10000; i += 7)
		assert_int_equal(known(w, i), DONE);
	assert_int_equal(known(w, 10000), UNKNOWN);
	MUST(journal_walk(w->dir, count_entry, n, &err));
	assert_int_equal(n[JOURNAL_BEGIN], 10000);
	assert_int_equal(n[JOURNAL_DONE], 10000);
	world_free(w);
}

/* --- the world around --- */
static void a_second_opener_is_refused_until_the_first_closes(void **state)
{
	struct world *w = world_new();
	struct journal *second = NULL;
	struct err err = { 0 };
	(void)state;
	world_open(w);
	MUST_FAIL(journal_open(w->dir, KEEP_MS, w->crypto, &w->clk, &second, &err), ERR_CONFLICT, "in use by another");
	assert_null(second);
	journal_close(TAKE(w->j));
	MUST(journal_open(w->dir, KEEP_MS, w->crypto, &w->clk, &second, &err));
	journal_close(second);
	world_free(w);
}

static void a_clock_that_went_back_stops_beginning(void **state)
{
	struct world *w = world_new();
	struct sample s;
	struct err err = { 0 };
	(void)state;
	world_open(w);
	issue(w, 1);
	w->now_ms -= 5 * 60 * 1000;
	issue(w, 2); /* five minutes are within what clocks do */
	w->now_ms -= 1;
	MUST_FAIL(journal_begin(w->j, &sample_of(&s, 3)->e, &err), ERR_UNAVAILABLE, "set the clock right");
	world_open(w); /* a restart is no way around it */
	MUST_FAIL(journal_begin(w->j, &sample_of(&s, 3)->e, &err), ERR_UNAVAILABLE, "the clock says 2026-");
	w->now_ms += 1;
	issue(w, 3);
	world_free(w);
}

/* A disk that misbehaves at the nth call from now. */
static struct {
	unsigned writes_left, syncs_left;
	int error;
	bool half; /* writes half before it fails, or just less than asked */
} fault;

static ssize_t faulty_pwrite(int fd, const void *p, size_t n, off_t at)
{
	if (fault.writes_left == 0 || --fault.writes_left > 0)
		return pwrite(fd, p, n, at);
	if (fault.error == 0)
		return 0;
	if (fault.half) {
		fault.half = false;
		fault.writes_left = 1;
		return pwrite(fd, p, n / 2, at);
	}
	errno = fault.error;
	return -1;
}

static int faulty_fdatasync(int fd)
{
	if (fault.syncs_left == 0 || --fault.syncs_left > 0)
		return fdatasync(fd);
	errno = EIO;
	return -1;
}

static const struct journal_io faulty = { faulty_pwrite, faulty_fdatasync, ftruncate };

static void open_faulty(struct world *w, uint64_t segment_max)
{
	struct err err;
	memset(&fault, 0, sizeof fault);
	MUST(world_try_open(w, &faulty, segment_max, &err));
}

static void a_full_disk_fails_the_call_and_heals(void **state)
{
	(void)state;
	for (unsigned half = 0; half < 2; half++) {
		struct world *w = world_new();
		struct err err = { 0 };
		open_faulty(w, SEGMENT_MAX);
		issue(w, 1);
		size_t whole = (size_t)journal_end(w->j);
		add_begin(w, 2);
		fault.writes_left = 1;
		fault.error = ENOSPC;
		fault.half = half;
		MUST_FAIL(journal_sync(w->j, &err), ERR_UNAVAILABLE, "No space left");
		assert_false(journal_is_broken(w->j));
		assert_int_equal(file_size(world_path(w, "journal-000001.cj")), whole);
		assert_int_equal(known(w, 2), UNKNOWN);
		issue(w, 2);
		world_open(w);
		assert_int_equal(known(w, 1), DONE);
		assert_int_equal(known(w, 2), DONE);
		world_free(w);
	}
}

static void a_disk_without_room_for_zeros_has_some_for_records(void **state)
{
	(void)state;
	for (unsigned half = 0; half < 2; half++) {
		struct world *w = world_new();
		open_faulty(w, SEGMENT_MAX);
		fault.writes_left = 1; /* the zeros come first */
		fault.error = ENOSPC;
		fault.half = half;
		issue(w, 1);
		world_open(w);
		assert_int_equal(known(w, 1), DONE);
		world_free(w);
	}
}

static void a_full_disk_while_a_segment_is_made_heals_too(void **state)
{
	struct world *w = world_new();
	struct err err = { 0 };
	(void)state;
	open_faulty(w, 600);
	unsigned i = 1;
	for (; journal_end(w->j) < 400; i++) {
		add_begin(w, i);
		sync_now(w);
	}
	add_begin(w, i);
	fault.writes_left = 1;
	fault.error = ENOSPC;
	MUST_FAIL(journal_sync(w->j, &err), ERR_UNAVAILABLE, "No space left");
	assert_int_equal(access(world_path(w, "journal-000002.cj"), F_OK), -1);
	assert_false(journal_is_broken(w->j));
	add_begin(w, i);
	sync_now(w);
	assert_int_equal(access(world_path(w, "journal-000002.cj"), F_OK), 0);
	world_open(w);
	for (unsigned k = 1; k <= i; k++)
		assert_int_equal(known(w, k), BEGUN);
	world_free(w);
}

static void short_writes_and_interruptions_are_finished(void **state)
{
	struct world *w = world_new();
	(void)state;
	open_faulty(w, SEGMENT_MAX);
	fault.writes_left = 1;
	fault.half = true;
	fault.error = EINTR;
	add_begin(w, 1);
	sync_now(w);
	world_open(w);
	assert_int_equal(known(w, 1), BEGUN);
	world_free(w);
}

static void a_write_that_takes_nothing_is_an_error_and_no_endless_loop(void **state)
{
	struct world *w = world_new();
	struct err err = { 0 };
	(void)state;
	open_faulty(w, SEGMENT_MAX);
	fault.writes_left = 1;
	add_begin(w, 1);
	MUST_FAIL(journal_sync(w->j, &err), ERR_IO, "wrote nothing");
	assert_true(journal_is_broken(w->j));
	world_free(w);
}

static void a_failed_sync_or_write_breaks_the_journal_for_good(void **state)
{
	(void)state;
	for (unsigned writes = 0; writes < 2; writes++) {
		struct world *w = world_new();
		struct sample s;
		struct err err = { 0 };
		open_faulty(w, SEGMENT_MAX);
		issue(w, 1);
		add_begin(w, 2);
		fault.writes_left = writes;
		fault.syncs_left = !writes;
		fault.error = EIO;
		MUST_FAIL(journal_sync(w->j, &err), ERR_IO, "Input/output error");
		assert_true(journal_is_broken(w->j));
		MUST_FAIL(journal_begin(w->j, &sample_of(&s, 3)->e, &err), ERR_IO, "failed before");
		MUST_FAIL(journal_done(w->j, &sample_of(&s, 2)->e, &err), ERR_IO, "failed before");
		MUST_FAIL(journal_sync(w->j, &err), ERR_IO, "failed before");
		world_open(w); /* recovery reads what is really there */
		assert_int_equal(known(w, 1), DONE);
		issue(w, 3);
		world_free(w);
	}
}

static void a_full_small_disk_heals_when_there_is_room(void **state)
{
	struct world *w = world_new();
	struct err err = { 0 };
	unsigned i = 1;
	(void)state;
	if (geteuid() != 0 || mount("cairn-test", w->dir, "tmpfs", 0, "size=256k") != 0) {
		world_free(w);
		skip();
	}
	world_open(w);
	int fd = open(world_path(w, "ballast"), O_WRONLY | O_CREAT, 0600);
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(fallocate(fd, 0, 0, 128 * 1024), 0);
	close(fd);
	struct rc rc = OK;
	for (; rc.kind == ERR_NONE && i < 4000; i++) {
		add_begin(w, i);
		rc = journal_sync(w->j, &err);
	}
	assert_int_equal(rc.kind, ERR_UNAVAILABLE);
	assert_int_equal(known(w, i - 1), UNKNOWN);
	assert_int_equal(unlink(world_path(w, "ballast")), 0);
	issue(w, i - 1);
	world_open(w);
	for (unsigned k = 1; k < i - 1; k++)
		assert_int_equal(known(w, k), BEGUN);
	assert_int_equal(known(w, i - 1), DONE);
	journal_close(TAKE(w->j));
	assert_int_equal(umount(w->dir), 0);
	world_free(w);
}

static void a_killed_process_leaves_all_that_it_synced(void **state)
{
	struct world *w = world_new();
	int pipe_fds[2], status;
	unsigned last = 0, i;
	(void)state;
	assert_int_equal(pipe(pipe_fds), 0);
	pid_t child = fork();
	if (child == 0) {
		world_open(w);
		for (unsigned k = 1; k < 100000; k++) {
			issue(w, k);
			if (write(pipe_fds[1], &k, sizeof k) != sizeof k)
				_exit(1);
		}
		_exit(0);
	}
	close(pipe_fds[1]);
	while (last < 50 && read(pipe_fds[0], &i, sizeof i) == sizeof i)
		last = i;
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	while (read(pipe_fds[0], &i, sizeof i) == sizeof i)
		last = i;
	close(pipe_fds[0]);
	world_open(w);
	for (i = 1; i <= last; i++)
		assert_int_equal(known(w, i), DONE);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_added_is_found_before_and_after_syncing_and_reopening),
		cmocka_unit_test(what_was_not_synced_is_gone_after_reopening),
		cmocka_unit_test(a_refusal_is_on_record_but_does_not_take_order_or_serial),
		cmocka_unit_test(files_are_private),
		cmocka_unit_test(a_record_torn_at_any_byte_is_cut_off_and_kept_aside),
		cmocka_unit_test(a_last_record_whose_pages_were_never_written_is_cut_off),
		cmocka_unit_test(room_is_made_ahead_and_given_back),
		cmocka_unit_test(a_segment_that_is_full_keeps_no_room),
		cmocka_unit_test(a_record_torn_within_the_room_is_cut_off_and_kept_aside),
		cmocka_unit_test(a_flipped_bit_anywhere_before_the_last_record_refuses_with_its_place),
		cmocka_unit_test(a_reader_beside_the_writer_takes_no_record_for_damage),
		cmocka_unit_test(a_flipped_bit_in_the_head_refuses),
		cmocka_unit_test(damage_after_opening_is_found_when_the_record_is_read_back),
		cmocka_unit_test(segments_roll_over_and_stay_one_chain),
		cmocka_unit_test(a_copy_of_a_journal_that_is_written_to_is_whole),
		cmocka_unit_test(a_copy_is_made_longer_and_nothing_is_written_twice),
		cmocka_unit_test(a_snapshot_is_made_longer_as_a_copy_is),
		cmocka_unit_test(a_copy_knows_a_journal_that_was_put_back),
		cmocka_unit_test(a_copy_never_replaces_what_is_none),
		cmocka_unit_test(a_missing_or_exchanged_segment_refuses),
		cmocka_unit_test(a_whole_record_taken_out_breaks_the_chain),
		cmocka_unit_test(a_segment_half_made_is_made_again),
		cmocka_unit_test(old_segments_are_neither_read_at_start_nor_kept_in_memory),
		cmocka_unit_test(a_clock_that_is_ahead_at_start_hides_no_young_segment),
		cmocka_unit_test(the_index_forgets_what_is_old),
		cmocka_unit_test(ten_thousand_issuances_are_found_again),
		cmocka_unit_test(a_second_opener_is_refused_until_the_first_closes),
		cmocka_unit_test(a_clock_that_went_back_stops_beginning),
		cmocka_unit_test(a_full_disk_fails_the_call_and_heals),
		cmocka_unit_test(a_disk_without_room_for_zeros_has_some_for_records),
		cmocka_unit_test(a_full_disk_while_a_segment_is_made_heals_too),
		cmocka_unit_test(short_writes_and_interruptions_are_finished),
		cmocka_unit_test(a_write_that_takes_nothing_is_an_error_and_no_endless_loop),
		cmocka_unit_test(a_failed_sync_or_write_breaks_the_journal_for_good),
		cmocka_unit_test(a_full_small_disk_heals_when_there_is_room),
		cmocka_unit_test(a_killed_process_leaves_all_that_it_synced),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * journal_segment.c: the journal's files in their folder: their names and order, their heads, and what is said of one
 * that does not hold.
 */
#include "sign/journal_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

void segment_name(uint32_t number, char out[SEGMENT_NAME_SIZE])
{
	snprintf(out, SEGMENT_NAME_SIZE, "journal-%06u.cj", number);
}

static void close_pp(DIR **d)
{
	if (*d != NULL)
		closedir(*d);
}

static int by_number(const void *a, const void *b)
{
	const struct segment *x = a, *y = b;
	return (x->number > y->number) - (x->number < y->number);
}

static bool segment_number_of(const char *name, uint32_t *ret)
{
	struct str s = str_z(name);
	char again[SEGMENT_NAME_SIZE];
	if (!str_skip(&s, STR("journal-")) || s.n != 9)
		return false;
	*ret = (uint32_t)strtoul(s.p, NULL, 10);
	segment_name(*ret, again);
	return *ret > 0 && strcmp(name, again) == 0;
}

fallible segments_list(struct arena *mem, const char *dir, int dir_fd, struct segment **ret, size_t *ret_count,
		       struct err *err)
{
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AUTO(close_pp) DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (d == NULL)
		FAIL(err, ERR_IO, "journal folder %s cannot be listed: %s", dir, strerror(errno));
	AUTO(buf_done) struct buf found = BUF_MAX(sizeof(struct segment) * SEGMENT_NUMBER_MAX);
	for (struct dirent *e; (e = readdir(d)) != NULL;) {
		struct segment s = { 0 };
		if (segment_number_of(e->d_name, &s.number))
			TRY(buf_add(&found, str_n(&s, sizeof s), err));
	}
	size_t count = found.n / sizeof(struct segment);
	struct segment *v = ARENA_ARRAY(mem, struct segment, count + 1);
	if (count > 0)
		memcpy(v, found.p, found.n);
	qsort(v, count, sizeof *v, by_number);
	for (size_t i = 1; i < count; i++) {
		if (v[i].number != v[i - 1].number + 1)
			FAIL(err, ERR_IO, "journal folder %s: segment %u is missing between %u and %u; put it back",
			     dir, v[i - 1].number + 1, v[i - 1].number, v[i].number);
	}
	*ret = v;
	*ret_count = count;
	return OK;
}

enum err_kind journal_errno_kind(void)
{
	return errno == ENOSPC || errno == EDQUOT ? ERR_UNAVAILABLE : ERR_IO;
}

fallible segment_open(const char *dir, int dir_fd, uint32_t number, int flags, int *ret, struct err *err)
{
	char name[SEGMENT_NAME_SIZE];
	segment_name(number, name);
	int fd = openat(dir_fd, name, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		FAIL(err, journal_errno_kind(), "journal %s/%s: %s", dir, name, strerror(errno));
	*ret = fd;
	return OK;
}

struct rc segment_blame(const char *dir, uint32_t number, struct err *err)
{
	char name[SEGMENT_NAME_SIZE];
	segment_name(number, name);
	err_prefix(err, "journal %s/%s ", dir, name);
	return (struct rc){ ERR_IO };
}

#define DAMAGE_ADVICE                                                                                              \
	"nothing is signed until this is settled: restore the file from a copy; if there is none, move the whole " \
	"folder away, keep it for the audit, and change signer.serial-prefix so that no serial can come back"

struct rc segment_refuse(const char *dir, uint32_t number, uint64_t offset, const char *bad, struct err *err)
{
	char name[SEGMENT_NAME_SIZE];
	segment_name(number, name);
	FAIL(err, ERR_IO, "journal %s/%s is damaged at byte %llu: %s; " DAMAGE_ADVICE, dir, name,
	     (unsigned long long)offset, bad);
}

fallible segment_begin(const struct crypto *c, const char *dir, int fd, struct segment *s, bool *ret_whole,
		       struct err *err)
{
	struct stat st;
	uint8_t head[SEGMENT_HEAD];
	if (fstat(fd, &st) != 0)
		FAIL(err, ERR_IO, "journal %s: fstat: %s", dir, strerror(errno));
	s->size = (uint64_t)st.st_size;
	*ret_whole = false;
	if (s->size < SEGMENT_HEAD)
		return OK;
	if (FAILED(read_at(fd, 0, head, sizeof head, err)))
		return segment_blame(dir, s->number, err);
	struct err why = { 0 };
	struct rc rc = segment_head_read(c, head, &s->head, &why);
	if (rc.kind == ERR_NONE && s->head.number != s->number)
		rc = (struct rc){ ERR_IO },
		err_set(&why, ERR_IO, "says in its head that it is segment %u", s->head.number);
	*ret_whole = rc.kind == ERR_NONE;
	if (*ret_whole || s->size == SEGMENT_HEAD)
		return OK;
	FAIL(err, ERR_IO, "journal %s, segment %u %s; " DAMAGE_ADVICE, dir, s->number, why.detail);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * secret.c: bytes that are wiped when done, and the files that they come from. Each secret has pages of its own, which
 * are never swapped out where the limit on locked memory allows it, are left out of core dumps and are empty in a child.
 */
#include "crypto/crypto.h"

#include "crypto/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECRET_MAX (64 * 1024)
#define SECURE_LEAST 32 /* bytes that OpenSSL gives out at least */

/* --- memory -------------------------------------------------------------------------------------------------------*/
static size_t pages_for(size_t n)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	return (n == 0 ? 1 : (n - 1) / page + 1) * page;
}

/* *ret_locked: not so where RLIMIT_MEMLOCK is used up, which only an operator can mend; secret_memory_check says so at
 * start. An old kernel that lacks an advice leaves the secret no worse off than the rest of the memory. */
static void *pages_new(size_t size, bool *ret_locked)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		mem_die();
	*ret_locked = mlock(p, size) == 0;
	(void)madvise(p, size, MADV_DONTDUMP);
	(void)madvise(p, size, MADV_WIPEONFORK);
	return p;
}

fallible secret_memory_check(size_t heap, struct err *err)
{
	bool locked;
	void *p = pages_new(1, &locked);
	(void)munmap(p, pages_for(1));
	/* 2: in use, but not all of it is locked or guarded. 0 also when there is such a heap already. */
	int made = CRYPTO_secure_malloc_initialized() == 1 ? 1 : CRYPTO_secure_malloc_init(heap, SECURE_LEAST);
	if (made == 0)
		return fail_openssl(err, "memory for private keys");
	if (made != 1 || !locked)
		FAIL(err, ERR_UNAVAILABLE,
		     "secrets may be written to swap: the limit on locked memory (RLIMIT_MEMLOCK) is used up; %zu KiB "
		     "and more are wanted",
		     heap / 1024);
	return OK;
}

void secret_done(struct secret *s)
{
	if (s == NULL)
		return;
	if (s->p != NULL) {
		OPENSSL_cleanse(s->p, s->n);
		(void)munmap(s->p, pages_for(s->n)); /* unlocks, too */
	}
	*s = (struct secret){ 0 };
}

fallible secret_set(struct secret *s, struct str bytes, struct err *err)
{
	if (bytes.n > SECRET_MAX)
		FAIL(err, ERR_MALFORMED, "secret of %zu bytes, at most %d are served", bytes.n, SECRET_MAX);
	bool locked;
	struct secret made = { .p = pages_new(pages_for(bytes.n), &locked), .n = bytes.n };
	if (bytes.n > 0)
		memcpy(made.p, bytes.p, bytes.n);
	secret_done(s);
	*s = made;
	return OK;
}

bool bytes_eq_ct(struct str a, struct str b)
{
	return a.n == b.n && (a.n == 0 || CRYPTO_memcmp(a.p, b.p, a.n) == 0);
}

bool secret_eq(const struct secret *a, const struct secret *b)
{
	return bytes_eq_ct(str_n(a->p, a->n), str_n(b->p, b->n));
}

void buf_wipe_done(struct buf *b)
{
	if (b != NULL && b->p != NULL)
		OPENSSL_cleanse(b->p, b->cap);
	buf_done(b);
}

/* O_NONBLOCK so that a FIFO in the place of a file cannot hold the program. */
fallible secret_file_read(const char *path, size_t max, struct buf *ret, mode_t *ret_mode, struct err *err)
{
	struct stat st;
	char *room;
	AUTO(fd_close) int fd = file_open_read(path, O_NONBLOCK);
	if (fd < 0)
		FAIL(err, errno == ENOENT ? ERR_CONFIG : ERR_IO, "open %s: %s", path, strerror(errno));
	if (fstat(fd, &st) != 0)
		FAIL(err, ERR_IO, "stat %s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		FAIL(err, ERR_CONFIG, "%s is not a regular file", path);
	if (st.st_size < 0 || (uintmax_t)st.st_size > max)
		FAIL(err, ERR_CONFIG, "%s has %jd bytes, at most %zu are read", path, (intmax_t)st.st_size, max);
	/* Room for all of it at once: a buffer that grows would leave copies of the secret behind. */
	size_t want = (size_t)st.st_size + 1;
	TRY(buf_room(ret, want, &room, err));
	for (;;) {
		ssize_t n = read(fd, room, want);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			FAIL(err, ERR_IO, "read %s: %s", path, strerror(errno));
		if (n == 0)
			break;
		ret->n += (size_t)n;
		room += n;
		want -= (size_t)n;
		if (want == 0)
			FAIL(err, ERR_CONFIG, "%s grows while it is read", path);
	}
	*ret_mode = st.st_mode;
	return OK;
}

fallible secret_mode_check(const char *path, mode_t mode, struct err *err)
{
	if ((mode & 077) != 0)
		FAIL(err, ERR_CONFIG, "%s holds a secret but has mode %04o: chmod 600 %s", path,
		     (unsigned)(mode & 07777), path);
	return OK;
}

/* A line of text as an editor leaves it; a binary secret that ends in 0x0a has other bytes below 0x20, too. */
static struct str without_newline(struct str s)
{
	if (s.n == 0 || s.p[s.n - 1] != '\n')
		return s;
	struct str text = str_sub(s, 0, s.n - 1);
	for (size_t i = 0; i < text.n; i++)
		if ((uint8_t)text.p[i] < 0x20 || (uint8_t)text.p[i] >= 0x7f)
			return s;
	return text;
}

fallible secret_read_file(struct secret *ret, const char *path, size_t max, struct err *err)
{
	AUTO(buf_wipe_done) struct buf body = BUF_MAX(SECRET_MAX + 1);
	mode_t mode;
	TRY(secret_file_read(path, max < SECRET_MAX ? max : SECRET_MAX, &body, &mode, err));
	TRY(secret_mode_check(path, mode, err));
	struct str text = without_newline(buf_str(&body));
	if (text.n == 0)
		FAIL(err, ERR_CONFIG, "%s is empty, a secret was wanted", path);
	return secret_set(ret, text, err);
}

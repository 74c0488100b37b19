/* SPDX-License-Identifier: Apache-2.0
 *
 * seal_key.c: the file of store.secret-key, and what cairn-api does when it is not there. A key that is made while the
 * store holds sealed secrets would lock them up for good, so that never happens.
 */
#include "admin/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_LEN (2 * SEAL_KEY_LEN + 1)

struct bytes { /* the file's text or the key's bytes; wiped */
	char text[FILE_LEN + 1];
	uint8_t key[SEAL_KEY_LEN];
};

static void bytes_done(struct bytes *b)
{
	explicit_bzero(b, sizeof *b);
}

fallible seal_key_make(const char *path, const struct rng *rng, struct err *err)
{
	static const char digits[] = "0123456789abcdef";
	AUTO(bytes_done) struct bytes b = { 0 };
	rng_fill(rng, b.key, sizeof b.key);
	for (size_t i = 0; i < SEAL_KEY_LEN; i++) {
		b.text[2 * i] = digits[b.key[i] >> 4];
		b.text[2 * i + 1] = digits[b.key[i] & 15];
	}
	b.text[FILE_LEN - 1] = '\n';
	return file_write_new(path, str_n(b.text, FILE_LEN), 0600, err);
}

static int hex_value(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
				      : -1;
}

static fallible parse(const char *path, size_t n, struct bytes *b, struct err *err)
{
	bool good = n == FILE_LEN && b->text[FILE_LEN - 1] == '\n';
	for (size_t i = 0; i < SEAL_KEY_LEN && good; i++) {
		int high = hex_value(b->text[2 * i]);
		int low = hex_value(b->text[2 * i + 1]);
		good = high >= 0 && low >= 0;
		b->key[i] = good ? (uint8_t)(high * 16 + low) : 0;
	}
	if (!good)
		FAIL(err, ERR_CONFIG,
		     "store.secret-key: %s: found other contents; allowed: %d hex digits and a newline", path,
		     2 * SEAL_KEY_LEN);
	return OK;
}

static fallible check_file(int fd, const char *path, struct err *err)
{
	struct stat st;
	if (fstat(fd, &st) != 0)
		FAIL(err, ERR_IO, "stat %s: %s", path, strerrordesc_np(errno));
	if (!S_ISREG(st.st_mode))
		FAIL(err, ERR_CONFIG, "store.secret-key: %s is no regular file", path);
	if (st.st_uid != 0 && st.st_uid != geteuid())
		FAIL(err, ERR_CONFIG,
		     "store.secret-key: %s belongs to uid %u; allowed: root or uid %u, whom this program runs as", path,
		     (unsigned)st.st_uid, (unsigned)geteuid());
	if ((st.st_mode & 077) != 0)
		FAIL(err, ERR_CONFIG, "store.secret-key: %s has mode %04o, so that others may read it: chmod 600 %s",
		     path, (unsigned)(st.st_mode & 07777), path);
	return OK;
}

fallible seal_key_read(const char *path, struct secret *ret, struct err *err)
{
	AUTO(bytes_done) struct bytes b = { 0 };
	/* O_NONBLOCK: a FIFO in its place must not hold the program. */
	AUTO(fd_close) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 && errno == ENOENT)
		FAIL(err, ERR_NOT_FOUND, "store.secret-key: %s is missing", path);
	if (fd < 0)
		FAIL(err, ERR_IO, "store.secret-key: open %s: %s", path, strerrordesc_np(errno));
	TRY(check_file(fd, path, err));
	ssize_t n;
	do
		n = read(fd, b.text, sizeof b.text); /* one byte more than it may have */
	while (n < 0 && errno == EINTR);
	if (n < 0)
		FAIL(err, ERR_IO, "store.secret-key: read %s: %s", path, strerrordesc_np(errno));
	TRY(parse(path, (size_t)n, &b, err));
	return secret_set(ret, str_n(b.key, sizeof b.key), err);
}

/* --- at start -------------------------------------------------------------------------------------------------------*/
struct first {
	struct arena *mem;
	struct eab_row *rows;
	size_t count;
};

static fallible read_first(struct store_tx *tx, void *ctx, struct err *err)
{
	struct first *f = ctx;
	return eab_list(tx, f->mem, STR_NONE, STR_NONE, 1, &f->rows, &f->count, err);
}

static fallible make_or_refuse(const char *path, const struct rng *rng, bool has_keys, struct err *err)
{
	if (has_keys)
		FAIL(err, ERR_CONFIG,
		     "store.secret-key: %s is missing, and the store has external account keys that were sealed with "
		     "it: "
		     "put it back from the backup. Is it lost for good, put a new one there (umask 077; openssl rand "
		     "-hex "
		     "32 >%s), disable the old keys (cairn eab disable) and make new ones",
		     path, path);
	return seal_key_make(path, rng, err);
}

/* A key of another backup than the store's is found out now, not at some client's registration. */
static void say_whether_it_opens(const struct admin_deps *d, const char *path, const struct secret *key,
				 const struct first *f)
{
	struct secret opened = { 0 };
	struct err why = { 0 };
	if (f->count > 0 && FAILED(unseal(d->crypto, key, f->rows[0].kid, f->rows[0].secret, &opened, &why)))
		LOG(d->log, LOG_ERROR,
		    "external account keys cannot be opened: the store's were sealed with another key",
		    KV_Z("file", path), KV_STR("kid", f->rows[0].kid), KV_ERR(&why));
	secret_done(&opened);
}

fallible seal_key_open(const struct admin_deps *d, const char *path, struct secret *ret, bool *ret_made,
		       struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct first f = { .mem = &mem };
	bool made = false;
	struct err missing = { 0 };
	TRY(store_read(d->store, read_first, &f, err));
	struct rc rc = seal_key_read(path, ret, &missing);
	if (rc.kind == ERR_NOT_FOUND) {
		TRY(make_or_refuse(path, d->rng, f.count > 0, err));
		TRY(seal_key_read(path, ret, err));
		made = true;
	} else if (FAILED(rc)) {
		*err = missing;
		return rc;
	}
	say_whether_it_opens(d, path, ret, &f);
	*ret_made = made;
	return OK;
}

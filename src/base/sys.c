/* SPDX-License-Identifier: Apache-2.0
 *
 * sys.c: the system's clock and randomness behind their structs, ids, the keyed hash, and files whose errors name
 * the call and the path.
 */
#include "base/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* --- time and randomness -----------------------------------------------------------------------------------------*/

static int64_t read_clock_ms(clockid_t which)
{
	struct timespec t = { 0 };
	(void)clock_gettime(which, &t); /* cannot fail with these ids and a good pointer */
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int64_t system_now_ms(void *ctx)
{
	(void)ctx;
	return read_clock_ms(CLOCK_REALTIME);
}

static int64_t system_mono_ms(void *ctx)
{
	(void)ctx;
	return read_clock_ms(CLOCK_MONOTONIC);
}

const struct clock clock_system = { .now_ms = system_now_ms, .mono_ms = system_mono_ms, .ctx = NULL };

static void system_fill(void *ctx, void *p, size_t n)
{
	(void)ctx;
	unsigned char *at = (unsigned char *)p;
	while (n > 0) {
		ssize_t got = getrandom(at, n, 0);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) {
			/* Going on without randomness would hand out guessable nonces and serials. */
			static const char line[] = "cairn: the system gives no randomness\n";
			ssize_t ignored = write(STDERR_FILENO, line, sizeof line - 1);
			(void)ignored;
			abort();
		}
		at += (size_t)got;
		n -= (size_t)got;
	}
}

const struct rng rng_system = { .fill = system_fill, .ctx = NULL };

struct civil civil_of(int64_t unix_s)
{
	int64_t days = unix_s / 86400;
	int64_t second = unix_s % 86400;
	if (second < 0) {
		second += 86400;
		days--;
	}
	/* Years counted from March make the leap day the last day, so that months need no table:
	 * 146097 days are one 400-year cycle, and day 0 of it is 0000-03-01, 719468 days before 1970. */
	int64_t shifted = days + 719468;
	int64_t cycle = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
	int64_t day = shifted - cycle * 146097;
	int64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
	int64_t day_of_year = day - (365 * year + year / 4 - year / 100);
	int64_t month = (5 * day_of_year + 2) / 153;
	return (struct civil){
		.year = year + cycle * 400 + (month >= 10 ? 1 : 0),
		.month = (int)(month < 10 ? month + 3 : month - 9),
		.day = (int)(day_of_year - (153 * month + 2) / 5 + 1),
		.hour = (int)(second / 3600),
		.minute = (int)(second / 60 % 60),
		.second = (int)(second % 60),
	};
}

int64_t civil_unix(const struct civil *c)
{
	int64_t year = c->month <= 2 ? c->year - 1 : c->year;
	int64_t cycle = (year >= 0 ? year : year - 399) / 400;
	int64_t in_cycle = year - cycle * 400;
	int64_t month = c->month > 2 ? c->month - 3 : c->month + 9;
	int64_t day_of_year = (153 * month + 2) / 5 + c->day - 1;
	int64_t days = cycle * 146097 + in_cycle * 365 + in_cycle / 4 - in_cycle / 100 + day_of_year - 719468;
	return days * 86400 + c->hour * 3600 + c->minute * 60 + c->second;
}

/* --- ids ---------------------------------------------------------------------------------------------------------*/

struct timespec mono_after_ms(int64_t ms)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	if (ms <= 0)
		return t;
	t.tv_sec += (time_t)(ms / 1000);
	t.tv_nsec += (long)(ms % 1000) * 1000000L;
	if (t.tv_nsec >= 1000000000L) {
		t.tv_sec++;
		t.tv_nsec -= 1000000000L;
	}
	return t;
}

struct id id_new(const struct clock *clk, const struct rng *rng)
{
	struct id id;
	rng_fill(rng, id.b, sizeof id.b);
	uint64_t ms = (uint64_t)clock_now_ms(clk);
	for (size_t i = 0; i < 6; i++)
		id.b[i] = (uint8_t)(ms >> (40 - 8 * i));
	id.b[6] = (uint8_t)(0x70 | (id.b[6] & 0x0f)); /* RFC 9562 5.7: version 7 */
	id.b[8] = (uint8_t)(0x80 | (id.b[8] & 0x3f)); /* RFC 9562 4.1: variant 10 */
	return id;
}

static bool dash_before_byte(size_t i)
{
	return i == 4 || i == 6 || i == 8 || i == 10;
}

struct id_text id_show(struct id id)
{
	static const char digits[] = "0123456789abcdef";
	struct id_text text;
	size_t at = 0;
	for (size_t i = 0; i < sizeof id.b; i++) {
		if (dash_before_byte(i))
			text.z[at++] = '-';
		text.z[at++] = digits[id.b[i] >> 4];
		text.z[at++] = digits[id.b[i] & 15];
	}
	text.z[at] = '\0';
	return text;
}

static int hex_digit_lower(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

fallible id_read(struct str text, struct id *ret, struct err *err)
{
	if (text.n != ID_TEXT_LEN)
		FAIL(err, ERR_MALFORMED, "an id has %d characters, this has %zu", ID_TEXT_LEN, text.n);
	struct id id;
	size_t at = 0;
	for (size_t i = 0; i < sizeof id.b; i++) {
		if (dash_before_byte(i) && text.p[at++] != '-')
			FAIL(err, ERR_MALFORMED, "\"%.*s\" is not an id", STR_FMT(text));
		int high = hex_digit_lower(text.p[at]);
		int low = hex_digit_lower(text.p[at + 1]);
		if (high < 0 || low < 0)
			FAIL(err, ERR_MALFORMED, "\"%.*s\" is not an id", STR_FMT(text));
		id.b[i] = (uint8_t)(high << 4 | low);
		at += 2;
	}
	if (id.b[6] >> 4 != 7 || id.b[8] >> 6 != 2)
		FAIL(err, ERR_MALFORMED, "\"%.*s\" is not a UUID of version 7", STR_FMT(text));
	*ret = id;
	return OK;
}

int64_t id_time_ms(struct id id)
{
	int64_t ms = 0;
	for (size_t i = 0; i < 6; i++)
		ms = ms << 8 | id.b[i];
	return ms;
}

/* --- SipHash-2-4 (Aumasson and Bernstein, 2012) ------------------------------------------------------------------*/

static uint64_t load_le64(const uint8_t *p, size_t n)
{
	uint64_t v = 0;
	for (size_t i = 0; i < n; i++)
		v |= (uint64_t)p[i] << (8 * i);
	return v;
}

static uint64_t rotate_left(uint64_t v, unsigned bits)
{
	return v << bits | v >> (64 - bits);
}

static void sip_rounds(uint64_t v[4], int rounds)
{
	for (int i = 0; i < rounds; i++) {
		v[0] += v[1];
		v[1] = rotate_left(v[1], 13) ^ v[0];
		v[0] = rotate_left(v[0], 32);
		v[2] += v[3];
		v[3] = rotate_left(v[3], 16) ^ v[2];
		v[0] += v[3];
		v[3] = rotate_left(v[3], 21) ^ v[0];
		v[2] += v[1];
		v[1] = rotate_left(v[1], 17) ^ v[2];
		v[2] = rotate_left(v[2], 32);
	}
}

uint64_t hash_keyed(const uint8_t key[16], struct str s)
{
	uint64_t k0 = load_le64(key, 8);
	uint64_t k1 = load_le64(key + 8, 8);
	uint64_t v[4] = { k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d, k0 ^ 0x6c7967656e657261,
			  k1 ^ 0x7465646279746573 };
	const uint8_t *p = (const uint8_t *)s.p;
	size_t whole = s.n / 8 * 8;
	for (size_t i = 0; i < whole; i += 8) {
		uint64_t m = load_le64(p + i, 8);
		v[3] ^= m;
		sip_rounds(v, 2);
		v[0] ^= m;
	}
	uint64_t last = (uint64_t)(s.n & 0xff) << 56;
	if (s.n > whole)
		last |= load_le64(p + whole, s.n - whole);
	v[3] ^= last;
	sip_rounds(v, 2);
	v[0] ^= last;
	v[2] ^= 0xff;
	sip_rounds(v, 4);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* --- files -------------------------------------------------------------------------------------------------------*/

static const char *errno_text(int number)
{
	const char *text = strerrordesc_np(number); /* unlike strerror: no shared buffer, no locale */
	return text == NULL ? "unknown error" : text;
}

#define FAIL_IO(err, call, path)                                                      \
	do {                                                                          \
		int saved_ = errno;                                                   \
		FAIL((err), ERR_IO, "%s %s: %s", (call), (path), errno_text(saved_)); \
	} while (0)

void fd_close(int *fd)
{
	if (fd == NULL || *fd < 0)
		return;
	int saved = errno; /* runs in cleanups, behind the call whose errno the caller wants */
	(void)close(*fd);  /* EINTR closes too on Linux; lost data is what fsync is asked about */
	*fd = -1;
	errno = saved;
}

/* A process has one sandbox, so it has one way out of it. */
static const struct file_opener *file_opener;

void file_opener_set(const struct file_opener *opener)
{
	file_opener = opener;
}

int file_open_read(const char *path, int flags)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | flags);
	if (fd < 0 && errno == EACCES && file_opener != NULL)
		fd = file_opener->open(file_opener->ctx, path);
	return fd;
}

fallible file_read(const char *path, size_t max, struct buf *ret, struct err *err)
{
	buf_reset(ret);
	AUTO(fd_close) int fd = file_open_read(path, 0);
	if (fd < 0)
		FAIL_IO(err, "open", path);
	char chunk[16 * 1024];
	for (;;) {
		ssize_t got = read(fd, chunk, sizeof chunk);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			FAIL_IO(err, "read", path);
		if (got == 0)
			return OK;
		if ((size_t)got > max - ret->n)
			FAIL(err, ERR_IO, "read %s: the file is over the limit of %zu bytes", path, max);
		TRY(buf_add(ret, str_n(chunk, (size_t)got), err));
	}
}

static fallible write_all(int fd, struct str s, const char *path, struct err *err)
{
	while (s.n > 0) {
		ssize_t put = write(fd, s.p, s.n);
		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			FAIL_IO(err, "write", path);
		s = str_sub(s, (size_t)put, s.n);
	}
	return OK;
}

fallible fd_write_all(int fd, struct str s, struct err *err)
{
	char name[32];
	(void)snprintf(name, sizeof name, "descriptor %d", fd);
	return write_all(fd, s, name, err);
}

void signals_block(sigset_t *ret_old)
{
	static const int own[] = { SIGSYS, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT };
	sigset_t most;
	(void)sigfillset(&most);
	for (size_t i = 0; i < ARRAY_LEN(own); i++)
		(void)sigdelset(&most, own[i]);
	(void)pthread_sigmask(SIG_SETMASK, &most, ret_old);
}

static fallible sync_folder_of(struct arena *mem, const char *path, struct err *err)
{
	const char *slash = strrchr(path, '/');
	const char *folder = ".";
	if (slash == path)
		folder = "/";
	else if (slash != NULL)
		folder = str_dupz_raw(mem, str_n(path, (size_t)(slash - path)));
	AUTO(fd_close) int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		FAIL_IO(err, "open", folder);
	if (fsync(fd) != 0)
		FAIL_IO(err, "fsync", folder);
	return OK;
}

/* The body, durable, under a name of its own beside `path`; *tmp is that name from the moment it exists. */
static fallible write_beside(const char *tmp, int fd, struct str body, mode_t mode, struct err *err)
{
	if (fchmod(fd, mode) != 0)
		FAIL_IO(err, "fchmod", tmp);
	TRY(write_all(fd, body, tmp, err));
	if (fsync(fd) != 0)
		FAIL_IO(err, "fsync", tmp);
	return OK;
}

static fallible rename_over(const char *tmp, const char *path, struct err *err)
{
	if (rename(tmp, path) != 0)
		FAIL_IO(err, "rename to", path);
	return OK;
}

/* link(2) refuses a name that exists, in one step, on every file system that a key would be put on. */
static fallible link_new(const char *tmp, const char *path, struct err *err)
{
	if (link(tmp, path) != 0) {
		if (errno == EEXIST)
			FAIL(err, ERR_CONFLICT, "%s exists already", path);
		FAIL_IO(err, "link to", path);
	}
	if (unlink(tmp) != 0)
		FAIL_IO(err, "unlink", tmp);
	return OK;
}

static fallible write_and_place(const char *path, struct str body, mode_t mode,
				fallible (*place)(const char *tmp, const char *path, struct err *err), struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	char *tmp = str_dupz_raw(&mem, str_fmt(&mem, "%s.tmp-XXXXXX", path));
	AUTO(fd_close) int fd = mkostemp(tmp, O_CLOEXEC);
	if (fd < 0)
		FAIL_IO(err, "create", tmp);
	struct rc rc = write_beside(tmp, fd, body, mode, err);
	if (rc.kind == ERR_NONE)
		rc = place(tmp, path, err);
	if (rc.kind != ERR_NONE) {
		(void)unlink(tmp); /* the first error is the one to tell */
		return rc;
	}
	return sync_folder_of(&mem, path, err);
}

fallible file_write_atomic(const char *path, struct str body, mode_t mode, struct err *err)
{
	return write_and_place(path, body, mode, rename_over, err);
}

fallible file_write_new(const char *path, struct str body, mode_t mode, struct err *err)
{
	return write_and_place(path, body, mode, link_new, err);
}

fallible dir_make(const char *path, mode_t mode, struct err *err)
{
	if (mkdir(path, mode) == 0)
		return OK;
	if (errno != EEXIST)
		FAIL_IO(err, "mkdir", path);
	struct stat st;
	if (stat(path, &st) != 0)
		FAIL_IO(err, "stat", path);
	if (!S_ISDIR(st.st_mode))
		FAIL(err, ERR_IO, "mkdir %s: something else than a folder is there", path);
	return OK;
}

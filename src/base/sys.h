/* SPDX-License-Identifier: Apache-2.0
 *
 * sys.h: time and randomness as parameters, identifiers made of both, and files: the few system calls that every
 * program needs, wrapped so that errors name the file.
 */
#ifndef CAIRN_BASE_SYS_H
#define CAIRN_BASE_SYS_H

#include "base/arena.h"

#include <signal.h>
#include <sys/types.h>
#include <time.h>

struct clock {
	int64_t (*now_ms)(void *ctx);  /* wall clock, milliseconds since 1970 */
	int64_t (*mono_ms)(void *ctx); /* monotonic, for waits and deadlines inside one process */
	void *ctx;
};

struct rng {
	void (*fill)(void *ctx, void *p,
		     size_t n); /* cannot fail: the system's source ends the process if it is broken */
	void *ctx;
};

extern const struct clock clock_system;
extern const struct rng rng_system;

/* The real monotonic clock's time in so many milliseconds (below 0: now): what waits for a condition or a semaphore end by,
 * also under a clock that a test scripts. */
struct timespec mono_after_ms(int64_t ms);
static inline int64_t clock_now_ms(const struct clock *c)
{
	return c->now_ms(c->ctx);
}
static inline int64_t clock_mono_ms(const struct clock *c)
{
	return c->mono_ms(c->ctx);
}
static inline void rng_fill(const struct rng *r, void *p, size_t n)
{
	r->fill(r->ctx, p, n);
}

/* A UTC moment in the proleptic Gregorian calendar. Own arithmetic, because gmtime_r takes glibc's time zone lock and
 * opens /etc/localtime at its first call, which a locked-down program must not. */
struct civil {
	int64_t year;
	int month, day, hour, minute, second; /* month and day from 1 */
};
struct civil civil_of(int64_t unix_s);
int64_t civil_unix(const struct civil *c); /* the fields must be in their ranges */

/* A UUIDv7 (RFC 9562 5.7): time-ordered, so that indexes stay local. Stored as 16 bytes, shown in its text form. */
struct id {
	uint8_t b[16];
};
#define ID_TEXT_LEN 36
struct id_text {
	char z[ID_TEXT_LEN + 1];
};

struct id id_new(const struct clock *clk, const struct rng *rng);
struct id_text id_show(struct id id);
/* Lower-case canonical text only: one spelling an id, so URLs compare as bytes. */
fallible id_read(struct str text, struct id *ret, struct err *err);
int64_t id_time_ms(struct id id);
static inline bool id_eq(struct id a, struct id b)
{
	return memcmp(a.b, b.b, sizeof a.b) == 0;
}
static inline bool id_is_zero(struct id a)
{
	static const struct id zero;
	return id_eq(a, zero);
}

/* Keyed SipHash-2-4, for hash tables that hold peers' strings (THREATS A72). */
uint64_t hash_keyed(const uint8_t key[16], struct str s);

/* The one way to a file that a program reads, so that a program whose sandbox forbids it files can be given another way
 * (proc's door): what the kernel refuses with EACCES, the opener is asked for. Process-wide, as the kernel's refusal is:
 * set before there are threads and never changed. open returns a descriptor, or -1 with errno. */
struct file_opener {
	int (*open)(void *ctx, const char *path);
	void *ctx;
};
void file_opener_set(const struct file_opener *opener); /* borrowed for good; NULL: none */
int file_open_read(const char *path, int flags);        /* O_RDONLY, O_CLOEXEC and O_NOCTTY are added */

/* Files. A path is our own or the operator's, never a peer's. Failures, a missing or too large file among them, are
 * ERR_IO, so that no path can reach a client as some refusal's detail. */
fallible file_read(const char *path, size_t max, struct buf *ret, struct err *err); /* ret is reset first */
/* Writes beside the target, fsyncs, renames over it, fsyncs the folder: old or new, never partial. */
fallible file_write_atomic(const char *path, struct str body, mode_t mode, struct err *err);
/* As above, but fails with ERR_CONFLICT when the path exists. */
fallible file_write_new(const char *path, struct str body, mode_t mode, struct err *err);
fallible dir_make(const char *path, mode_t mode, struct err *err); /* one level; fine when it is there already */
fallible fd_write_all(int fd, struct str s, struct err *err);
/* For the thread that is about to make one: signals are the main thread's business, and the new one inherits the mask.
 * All but those that a thread brings upon itself: blocked, they would end the program before anybody can say why. */
void signals_block(sigset_t *ret_old);
void fd_close(int *fd); /* for AUTO: closes and sets to -1 */

#endif

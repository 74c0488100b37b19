/* SPDX-License-Identifier: Apache-2.0
 *
 * err.h: the one way to fail. A fallible function returns struct rc, which the caller must look at, and fills a
 * struct err. Kinds stay inside; model/problem.c turns them into problem documents at the edge (STYLE.md rules 5, 6).
 */
#ifndef CAIRN_BASE_ERR_H
#define CAIRN_BASE_ERR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum err_kind {
	ERR_NONE,
	/* Refusals that a client can read: RFC 8555 6.7. model/problem.c has the row for each. */
	ERR_ACCOUNT_DOES_NOT_EXIST,
	ERR_ALREADY_REPLACED, /* RFC 9773 7.4 */
	ERR_ALREADY_REVOKED,
	ERR_BAD_CSR,
	ERR_BAD_NONCE,
	ERR_BAD_PUBLIC_KEY,
	ERR_BAD_REVOCATION_REASON,
	ERR_BAD_SIGNATURE_ALGORITHM,
	ERR_CAA,
	ERR_COMPOUND,
	ERR_CONNECTION,
	ERR_DNS,
	ERR_EXTERNAL_ACCOUNT_REQUIRED,
	ERR_INCORRECT_RESPONSE,
	ERR_INVALID_CONTACT,
	ERR_INVALID_PROFILE,
	ERR_MALFORMED,
	ERR_ORDER_NOT_READY,
	ERR_RATE_LIMITED,
	ERR_REJECTED_IDENTIFIER,
	ERR_TLS,
	ERR_UNAUTHORIZED,
	ERR_UNSUPPORTED_CONTACT,
	ERR_UNSUPPORTED_IDENTIFIER,
	ERR_USER_ACTION_REQUIRED,
	/* Refusals of HTTP or of the resource; sent as "malformed" or "serverInternal" with their own status. */
	ERR_NOT_FOUND,          /* 404 */
	ERR_METHOD_NOT_ALLOWED, /* 405 */
	ERR_TOO_LARGE,          /* 413 */
	ERR_MEDIA_TYPE,         /* 415 */
	ERR_KEY_IN_USE,         /* 409: RFC 8555 7.3.5 */
	ERR_ACCOUNT_ENDED,      /* 401: RFC 8555 7.3.6 wants that status for a deactivated account */
	ERR_UNAVAILABLE,        /* 503, Retry-After: try again later, nothing was changed */
	/* Inside only. */
	ERR_CONFLICT, /* a conditional move found another state; a row exists already */
	ERR_TIMEOUT,
	ERR_CLOSED,   /* the peer or the queue is gone */
	ERR_CONFIG,   /* a setting, flag or file of the operator's is wrong; detail says where */
	ERR_IO,       /* a system call failed; detail names it, the file and errno's text */
	ERR_INTERNAL, /* our fault: detail never leaves the machine */
	ERR_KIND_COUNT
};

struct rc {
	enum err_kind kind;
};

#define ERR_DETAIL_MAX 768

/* What went wrong. detail is for whoever asked (a client, an operator); cause only for the log.
 * Both are always NUL-terminated printable ASCII: err_set escapes everything else, so peer text cannot
 * forge a log line or a terminal sequence. Plain data: copy freely, nothing to free. */
struct err {
	enum err_kind kind;
	char detail[ERR_DETAIL_MAX];
	char cause[256];
	uint32_t retry_after_s; /* 0: not said */
};

#define fallible __attribute__((warn_unused_result)) struct rc
#define OK ((struct rc){ ERR_NONE })
#define TRY(call)                             \
	do {                                  \
		struct rc try_rc_ = (call);   \
		if (try_rc_.kind != ERR_NONE) \
			return try_rc_;       \
	} while (0)
#define FAIL(err, kind, ...)                         \
	do {                                         \
		err_set((err), (kind), __VA_ARGS__); \
		return (struct rc){ (kind) };        \
	} while (0)
#define FAILED(call) ((call).kind != ERR_NONE)

#define AUTO(done) __attribute__((cleanup(done)))
#define TAKE(p) ((__typeof__(p))take_at((void *)&(p))) /* hands the pointer over, leaves NULL */
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

static inline void *take_at(void *pp)
{
	void **at = (void **)pp;
	void *p = *at;
	*at = NULL;
	return p;
}

/* An err starts zeroed. err may be NULL: the kind is then all that the caller learns. Long text is cut, never overflowed. */
void err_set(struct err *err, enum err_kind kind, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Adds what only the log may know (library error text, file names). Either after err_set, or, when the err is fresh,
 * before it, so that FAIL can follow; setting an err that carries an error already drops the old cause. */
void err_cause(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Puts words before the detail: "reading config: " + detail. */
void err_prefix(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A short stable name for logs: "badCSR", "io", ... never NULL. */
const char *err_kind_name(enum err_kind kind);

#endif

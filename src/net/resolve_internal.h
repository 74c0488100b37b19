/* SPDX-License-Identifier: Apache-2.0
 *
 * resolve_internal.h: what the files of resolve share. resolve.c: the questions that others ask, and the static table;
 * resolve_setup.c: a resolver from its configuration; resolve_ask.c: asking libunbound and waiting; resolve_read.c: what
 * came back.
 */
#ifndef CAIRN_NET_RESOLVE_INTERNAL_H
#define CAIRN_NET_RESOLVE_INTERNAL_H

#include "net/resolve.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unbound.h>

#define RESOLV_CONF "/etc/resolv.conf"
#define RCODE_SERVFAIL 2
#define FAMILY_ADDRS_MAX (RESOLVE_ADDRS_MAX / 2) /* so that neither family can crowd the other out */

struct forward { /* names at or below the domain */
	struct str domain, description;
};

struct resolver {
	struct arena mem; /* statics, description */
	struct resolve_static *statics;
	size_t static_count;
	struct str description;
	struct forward *forwards;
	size_t forward_count;
	struct ub_ctx *ctx; /* NULL: no server is known, only the static table answers */
	int wake_fd;
	pthread_t dispatcher;
	bool dispatching;
	atomic_bool lost; /* libunbound's answers cannot be read any more */
};

/* --- asking -------------------------------------------------------------------------------------------------------*/

struct ask_type {
	const char *name;
	int rrtype, family;
	int size; /* of an address */
};
enum { ASK_AAAA, ASK_A, ASK_COUNT };
extern const struct ask_type address_types[ASK_COUNT], txt_type, caa_type;

struct ask; /* one question, one or two types */
/* What one type's lookup came to; text and data belong to the result, which the ask keeps. */
struct outcome {
	const struct ask_type *type;
	bool answered, bogus, secure, nxdomain;
	int error, rcode;
	const char *why_bogus, *canonical;
	const struct ub_result *data; /* NULL: none, or none that may be looked at */
	struct addr addrs[FAMILY_ADDRS_MAX];
	size_t count;
};
/* The words in which a question's failures are told. */
struct question {
	const char *name;
	struct str from;
	int64_t waited_ms;
	const char *wanted;
};

/* Asks and waits, and asks again while the time allows when libunbound gives up by itself. On success *ret_ask is the caller's to end, and holds what `out` points at. */
fallible ask_dns(struct resolver *r, const struct clock *clk, int64_t deadline_mono_ms, const struct ask_type *types,
		 size_t count, struct question *q, struct outcome *out, struct ask **ret_ask, struct err *err);
void ask_end(struct ask *a, struct ub_ctx *ctx);
/* The thread that hears what libunbound's own thread has found. */
fallible dispatcher_start(struct resolver *r, struct err *err);
void dispatcher_stop(struct resolver *r); /* accepts one that was not started */

/* --- reading the answers ------------------------------------------------------------------------------------------*/

/* For an answer that came; o, whose type and state of asking are set, points into it afterwards. */
void outcome_read(const struct ub_result *r, struct outcome *o);
fallible addresses_read(struct outcome o[ASK_COUNT], const struct question *q, struct arena *mem,
			struct resolve_answer *ret, struct err *err);
fallible txt_read(const struct outcome *o, const struct question *q, struct arena *mem, struct resolve_txt_answer *ret,
		  struct err *err);
fallible caa_read(const struct outcome *o, const struct question *q, struct arena *mem, struct resolve_caa_answer *ret,
		  struct err *err);

#endif

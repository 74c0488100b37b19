/* SPDX-License-Identifier: Apache-2.0
 *
 * resolve_internal.h: what the files of resolve share. resolve.c: the questions that others ask, and the static table;
 * resolve_setup.c: a resolver from its configuration; resolve_library.c: libunbound's contexts; resolve_ask.c: asking and
 * waiting; resolve_read.c: what came back.
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
	struct arena mem; /* statics, descriptions, what a context is made of */
	struct resolve_static *statics;
	size_t static_count;
	struct str description;
	struct forward *forwards;
	size_t forward_count;
	struct str zones, anchors; /* for libunbound: whom to ask for what; the trust anchors */
	char *anchors_name;        /* NULL: there are none */
	pthread_mutex_t lock;
	struct library *library; /* NULL: no server is known, only the static table answers */
	unsigned libraries;      /* with those whose questions are not done yet */
	int64_t replaced_ms;     /* monotonic: when another one took its place */
};

/* --- libunbound's contexts ---------------------------------------------------------------------------------------- */

struct library;
fallible library_new(struct resolver *r, struct library **ret, struct err *err);
/* The one that questions go to now; the caller's to give back. */
struct library *library_ref(struct resolver *r);
void library_unref(struct library *lib); /* accepts NULL; may wait for its threads when it was the last */
struct ub_ctx *library_ctx(const struct library *lib);
/* ERR_INTERNAL when its answers cannot be read any more. */
fallible library_check(const struct library *lib, const char *name, struct err *err);
/* An answer of it was bogus. A zone whose keys it could not prove it then refuses for a minute, whoever asks, and no
 * setting changes that: one forged packet would take all names of a zone away for so long, and a zone that was mended
 * would not count. So later questions go to a fresh one, two seconds after the last one at the soonest. true: another answer had been bogus before, so this one may
 * come of what it remembers, and is worth asking again. */
bool library_doubt(struct library *lib, int64_t now_mono_ms);

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

/* Asks and waits, and asks again while the time allows when libunbound gives up by itself, and once when what it says may
 * come of its memory. On success *ret_ask is the caller's to end, and holds what `out` points at. */
fallible ask_dns(struct resolver *r, const struct clock *clk, int64_t deadline_mono_ms, const struct ask_type *types,
		 size_t count, struct question *q, struct outcome *out, struct ask **ret_ask, struct err *err);
void ask_end(struct ask *a);

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

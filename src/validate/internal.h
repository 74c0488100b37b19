/* SPDX-License-Identifier: Apache-2.0
 *
 * internal.h: what the files of this folder share: one probe on its way to a verdict, and the zones that a running
 * validator serves.
 */
#ifndef CAIRN_VALIDATE_INTERNAL_H
#define CAIRN_VALIDATE_INTERNAL_H

#include "validate/validate.h"

/* --- a probe ------------------------------------------------------------------------------------------------------*/

/* Half of a step's limit in a verdict would be escapes in JSON: 24 of this length fit even then. */
#define STEP_DETAIL_MAX 400
#define PEER_TEXT_MAX 60 /* bytes of a peer that any message shows */

struct probe {
	const struct probe_env *env;
	const struct validate_job *job;
	struct arena *mem;
	int64_t deadline_mono_ms;   /* of everything */
	int64_t allowed_ms;         /* what that was at the start, for messages */
	struct verdict_step *steps; /* VERDICT_STEPS_MAX of them */
	size_t step_count;
	size_t steps_left_out;
};

/* Adds to the transcript. When it is full, the latest step stays and the one before it says how many are missing. */
void probe_step(struct probe *p, const char *what, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int64_t probe_left_ms(const struct probe *p); /* 0 when the time is used up */
/* Bytes of a peer for a message: at most max of them, printable, without quotes or backslashes of their own. */
struct str peer_text(struct arena *mem, struct str bytes, size_t max);
/* probe_run, and for the log: why, with the cause that no verdict carries. */
void probe_run_why(const struct probe_env *env, const struct validate_job *job, struct arena *mem, struct verdict *ret,
		   struct err *why);

/* RFC 8555 8.3. OK: the name is proven. */
fallible http01(struct probe *p, struct err *err);

/* --- zones --------------------------------------------------------------------------------------------------------*/

struct zone_live {
	struct conf_zone zone; /* copied: name, http_port, deadline_ms, quorum, allow_addresses */
	struct addr_range *allowed;
	size_t allowed_count;
	struct resolver *resolver;
};

/* Counted, because probes keep the set that they began with while a reload puts another in its place. */
struct zone_set;
/* The zones that list the perspective, with a resolver each. */
fallible zone_set_new(const struct conf *conf, struct str perspective, struct zone_set **ret, struct err *err);
struct zone_set *zone_set_ref(struct zone_set *s);
void zone_set_unref(struct zone_set *s);                                          /* accepts NULL */
const struct zone_live *zone_set_find(const struct zone_set *s, struct str name); /* NULL: not served here */

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * validate.h: proves that an account controls a name, as one perspective sees it: looks up, connects, compares, and
 * signs what it saw. Straight-line code with one deadline for a whole probe; knows no store and no CA key.
 */
#ifndef CAIRN_VALIDATE_VALIDATE_H
#define CAIRN_VALIDATE_VALIDATE_H

#include "bus/bus.h"
#include "conf/conf.h"
#include "jose/jose.h"
#include "model/model.h"

/* What a probe asks of the world, behind a table, so that replay tests script DNS, HTTP, TLS and time. */
struct probe_ops {
	fallible (*resolve)(void *ctx, struct str name, int64_t deadline_mono_ms, struct arena *mem,
			    struct resolve_answer *ret, struct err *err);
	fallible (*resolve_txt)(void *ctx, struct str name, int64_t deadline_mono_ms, struct arena *mem,
				struct resolve_txt_answer *ret, struct err *err);
	fallible (*resolve_caa)(void *ctx, struct str name, int64_t deadline_mono_ms, struct arena *mem,
				struct resolve_caa_answer *ret, struct err *err);
	bool (*in_static_table)(void *ctx, struct str name);     /* has the operator said where that name is? */
	struct str (*resolver_name)(void *ctx, struct str name); /* who is asked about that name */
	fallible (*fetch)(void *ctx, const struct fetch_request *rq, struct arena *mem, struct fetch_reply *ret,
			  struct err *err);
	fallible (*tls)(void *ctx, const struct tls_probe_request *rq, struct arena *mem, struct tls_probe_reply *ret,
			struct err *err);
	/* Between two attempts. False: it is not to be waited for, the program is stopping. */
	bool (*pause)(void *ctx, int64_t ms);
	/* Before such a pause: what the attempt met, for the client to see meanwhile. May be NULL. */
	void (*progress)(void *ctx, const struct progress *p);
	void *ctx;
};

struct probe_env {
	const struct conf_zone *zone;
	const struct conf_realm *realm;   /* name, caa, caa_identities and account_hash_prefix are read */
	const struct addr_range *allowed; /* the zone's allow-addresses, read */
	size_t allowed_count;
	const struct probe_ops *ops;
	const struct crypto *crypto;
	const struct clock *clk;
	struct str perspective;
};

/* Runs one job to its verdict: never fails, whatever the peer does; a fault of our own is a verdict of ERR_INTERNAL
 * that the api does not count as a vote. What may be better in a moment is tried zone.attempts times. Everything in
 * *ret lives in mem. */
void probe_run(const struct probe_env *env, const struct validate_job *job, struct arena *mem, struct verdict *ret);

/* The running validator: consumes validate.<perspective>, at most probes_max at once, signs and publishes verdicts.
 * Jobs of an attempt that is running already are acknowledged and dropped. */
struct validator; /* borrows bus, crypto, key, log and clock; conf only during the calls */
fallible validator_new(const struct conf *conf, struct bus *bus, const struct crypto *crypto,
		       const struct key *perspective_key, const struct log *log, const struct clock *clk,
		       struct validator **ret, struct err *err);
fallible validator_start(struct validator *v, struct err *err);                           /* before bus_start */
fallible validator_reload(struct validator *v, const struct conf *conf, struct err *err); /* zones, ranges, resolvers */
/* Waits until no probe runs, or for wait_ms. From then on, jobs go back to the bus unread, and so does one that waits
 * for another attempt. */
void validator_drain(struct validator *v, int64_t wait_ms);
void validator_free(
	struct validator *v); /* after bus_stop; accepts NULL; waits for the probes that run, a zone's deadline */

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * resolve.h: DNS through libunbound, blocking calls with a deadline, safe from many threads at once. A static table of
 * names comes first, for closed networks and tests.
 */
#ifndef CAIRN_NET_RESOLVE_H
#define CAIRN_NET_RESOLVE_H

#include "codec/codec.h"

struct resolver;
struct resolve_static { /* "www.a.test" or "*.a.test" -> addresses */
	struct str pattern;
	struct addr addr;
};
struct resolve_forward {           /* names at or below the domain are asked for there; the longest domain decides */
	struct str domain;         /* "corp.example" */
	const struct str *servers; /* as below */
	size_t server_count;       /* 1 to 8 */
};
struct resolve_conf {
	const struct str *servers;              /* "192.0.2.53", "127.0.0.1:5353"; none: those of /etc/resolv.conf */
	size_t server_count;                    /* at most 8 */
	const struct resolve_forward *forwards; /* an exception to nothing else: anchors hold for these names too */
	size_t forward_count;
	const struct resolve_static *statics;
	size_t static_count;
	struct str trust_anchor_file; /* empty: none, everything is "insecure" */
};
/* ERR_CONFIG names the server or file that cannot be used. Without any server the static table alone answers. */
fallible resolver_new(const struct resolve_conf *conf, struct resolver **ret, struct err *err);
void resolver_free(struct resolver *r); /* accepts NULL; no lookup may be running */
/* Who is asked about that name, for transcripts: "static table", "127.0.0.1:5353", "system resolvers 192.0.2.1". */
struct str resolver_describe(const struct resolver *r, struct str name);

enum dnssec { DNSSEC_INSECURE, DNSSEC_SECURE, DNSSEC_BOGUS };
struct resolve_answer {     /* in the caller's arena */
	struct addr *addrs; /* at most RESOLVE_ADDRS_MAX; the order of the answer */
	size_t addr_count;
	bool from_static;
	enum dnssec dnssec;
	bool nxdomain;
};
#define RESOLVE_ADDRS_MAX 16
/* AAAA and A of a name: v6 first in addrs. ERR_DNS with a text that names the question, the resolver and what came back
 * (SERVFAIL, NXDOMAIN, no address, bogus with its reason, no answer in time). deadline is mono_ms of clk; at most half
 * of the addresses are of one family. One family's addresses are enough, whatever became of the other, unless it was
 * bogus. ret->nxdomain and ret->dnssec are set even on failure. */
fallible resolve_addrs(struct resolver *r, const struct clock *clk, int64_t deadline_mono_ms, struct str name,
		       struct arena *mem, struct resolve_answer *ret, struct err *err);

struct resolve_txt_answer {   /* in the caller's arena */
	struct str *records;  /* each record's strings joined; bytes of a peer, whatever they are; the answer's order */
	size_t count;         /* at most RESOLVE_TXT_MAX */
	size_t left_out;      /* records beyond that, or with strings that run past their end */
	struct str canonical; /* where aliases led, without a dot at its end; empty: there was none */
	enum dnssec dnssec;
	bool nxdomain;
};
#define RESOLVE_TXT_MAX 1000
/* TXT of a name, aliases followed by the resolver; never from the static table. That there is no record, or no such
 * name, is an answer: OK with none. Otherwise ERR_DNS, as above (SERVFAIL, bogus, no answer in time). */
fallible resolve_txt(struct resolver *r, const struct clock *clk, int64_t deadline_mono_ms, struct str name,
		     struct arena *mem, struct resolve_txt_answer *ret, struct err *err);
struct resolve_caa_record { /* RFC 8659 4.1 */
	uint8_t flags;
	struct str tag;   /* 1 to 255 bytes, letters and digits if all is well */
	struct str value; /* at most RESOLVE_CAA_VALUE_MAX bytes, whatever they are */
};
struct resolve_caa_answer {                 /* in the caller's arena */
	struct resolve_caa_record *records; /* at most RESOLVE_CAA_MAX; the answer's order */
	size_t count;
	size_t left_out;      /* records beyond that, too long, or not of this form: what they forbid is not known */
	struct str canonical; /* where aliases led, without a dot at its end; empty: there was none */
	enum dnssec dnssec;
	bool nxdomain;
};
#define RESOLVE_CAA_MAX 100
#define RESOLVE_CAA_VALUE_MAX 4096
/* CAA of exactly this name, aliases followed by the resolver; never from the static table, and nothing about the names
 * above it. That there is no record, or no such name, is an answer: OK with none. Otherwise ERR_DNS, as above. */
fallible resolve_caa(struct resolver *r, const struct clock *clk, int64_t deadline_mono_ms, struct str name,
		     struct arena *mem, struct resolve_caa_answer *ret, struct err *err);
/* One record's bytes; the slices point into them. ERR_MALFORMED says what is wrong with the form. */
fallible resolve_caa_read(struct str rdata, struct resolve_caa_record *ret, struct err *err);
/* Does the static table say where that name is, itself or by a wildcard? */
bool resolver_has_static(const struct resolver *r, struct str name);

/* The strings of one record (RFC 1035 3.3.14) as one; ERR_MALFORMED when one runs past the end. */
fallible resolve_txt_join(struct str rdata, struct arena *mem, struct str *ret, struct err *err);

#endif

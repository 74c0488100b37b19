/* SPDX-License-Identifier: Apache-2.0
 *
 * story.h: what the files of the replay program share: a story on its way through a world, and its words.
 */
#ifndef CAIRN_TESTS_REPLAY_STORY_H
#define CAIRN_TESTS_REPLAY_STORY_H

#include "world.h"

#define WORDS_MAX 128
#define THINGS_MAX 64
#define MEANWHILE_WORDS_MAX 16

struct named_account {
	struct str name;
	struct world_account a;
};
struct named_order {
	struct str name, url;
	struct named_account *account;
	struct key *key; /* of its certificate */
	struct str csr;  /* the last one, base64url: sent again unless the story wants another */
	struct str names[IDENTS_MAX];
	size_t name_count;
	struct addr addrs[IDENTS_MAX];
	size_t addr_count;
	struct str profile; /* as ordered, or empty */
	bool has_times;     /* notBefore or notAfter was asked for */
	struct str first_chain;
};
struct named_authz { /* made by newAuthz */
	struct str name, url;
	struct named_account *account;
};
struct named_grant {
	struct str name;
	struct id id;
};
struct meanwhile { /* a line for a pause between two attempts */
	size_t pause;
	struct str words[MEANWHILE_WORDS_MAX];
	size_t count;
};
struct story {
	struct world w;
	struct meanwhile meanwhile[THINGS_MAX];
	size_t meanwhile_count, pauses;
	struct named_account accounts[THINGS_MAX];
	size_t account_count;
	struct named_order orders[THINGS_MAX];
	size_t order_count;
	struct named_authz authzs[THINGS_MAX];
	size_t authz_count;
	struct named_grant grants[THINGS_MAX];
	size_t grant_count;
	struct world_reply last;
};

#define WANT(cond, ...)                                       \
	do {                                                  \
		if (!(cond))                                  \
			FAIL(err, ERR_CONFLICT, __VA_ARGS__); \
	} while (0)

/* things.c: what the story has given a name, and one request about it. */
fallible account_named(struct story *s, struct str name, struct named_account **ret, struct err *err);
fallible order_named(struct story *s, struct str name, struct named_order **ret, struct err *err);
fallible authz_named(struct story *s, struct str name, struct named_authz **ret, struct err *err);
fallible grant_named(struct story *s, struct str name, struct named_grant **ret, struct err *err);
fallible post(struct story *s, const struct named_account *a, struct str url, struct str payload, struct err *err);
fallible want_2xx(const struct story *s, const char *doing, struct err *err);
/* A string member of the last reply, or of an object in it, that outlives it. */
fallible member(struct story *s, const struct json *o, const char *key, struct str *ret, struct err *err);
fallible read_order(struct story *s, const struct named_order *o, struct err *err);
/* The URLs of an order's authorizations. */
fallible order_authz_urls(struct story *s, const struct named_order *o, struct str urls[IDENTS_MAX], size_t *ret_count,
			  struct err *err);
/* The order's certificate, which `cert` has fetched. */
fallible order_leaf(struct story *s, const struct named_order *o, struct cert **ret, struct err *err);
/* Its name in RFC 9773 4.1. */
fallible order_certid(struct story *s, const struct named_order *o, struct str *ret, struct err *err);

/* steps.c, ca.c, grants.c, expect.c: commands; each gets its words after the command's own. */
typedef fallible command(struct story *s, const struct str *words, size_t count, struct err *err);
command do_account, do_key_change, do_order, do_preauth, do_answer, do_finalize, do_cert, do_deactivate, do_revoke,
	do_renewal;
command do_grant, do_grant_revoke;
command do_site, do_run, do_sweep, do_sleep, do_meanwhile, do_switch, do_restart, do_configure;
command do_expect;
/* replay.c: one line of a story. */
fallible run_words(struct story *s, const struct str *words, size_t count, struct err *err);

#endif

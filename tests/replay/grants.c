/* SPDX-License-Identifier: Apache-2.0
 *
 * grants.c: commands about what an operator vouches for.
 */
#include "story.h"

/* "wildcards", "days=2", "profile=client", "organization=Team A": false when it is a name. */
static fallible grant_option(struct story *s, struct str word, struct grant *g, bool *ret_is_option, struct err *err)
{
	uint64_t days;
	*ret_is_option = true;
	if (str_eq(word, STR("wildcards"))) {
		g->wildcards = true;
	} else if (str_skip(&word, STR("days="))) {
		TRY(str_u64(word, 1000, &days, err));
		g->until_s = g->from_s + (int64_t)days * 86400;
	} else if (str_skip(&word, STR("organization="))) {
		g->organization = word;
	} else if (str_skip(&word, STR("profile="))) {
		g->profiles = ARENA_NEW(&s->w.mem, struct str);
		g->profiles[0] = word;
		g->profile_count = 1;
	} else {
		*ret_is_option = false;
	}
	return OK;
}

fallible do_grant(struct story *s, const struct str *w, size_t n, struct err *err)
{
	struct named_account *a;
	WANT(n >= 3 && s->grant_count < THINGS_MAX, "grant GRANT ACCOUNT NAME... [OPTION...]");
	TRY(account_named(s, w[1], &a, err));
	struct str *names = ARENA_ARRAY(&s->w.mem, struct str, n);
	struct grant g = world_grant(&s->w, &a->a, names, 0);
	for (size_t i = 2; i < n; i++) {
		bool is_option;
		TRY(grant_option(s, w[i], &g, &is_option, err));
		if (!is_option)
			names[g.name_count++] = w[i];
	}
	TRY(world_grant_add(&s->w, &g, NULL, err));
	s->grants[s->grant_count++] = (struct named_grant){ w[0], g.id };
	return OK;
}

fallible do_grant_revoke(struct story *s, const struct str *w, size_t n, struct err *err)
{
	struct named_grant *g;
	WANT(n == 2 && (str_eq(w[1], STR("signer")) || str_eq(w[1], STR("api"))), "grant-revoke GRANT signer|api");
	TRY(grant_named(s, w[0], &g, err));
	return str_eq(w[1], STR("api")) ? world_grant_revoke_api(&s->w, g->id, err)
					: world_grant_revoke_signer(&s->w, g->id, err);
}

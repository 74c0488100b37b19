/* SPDX-License-Identifier: Apache-2.0
 *
 * grants.c: grants in a world: signed by its operator, given to the store as the API gives them, and taken back at either
 * end.
 */
#include "world.h"

struct adding {
	const struct grant *grant;
	struct grant_row row;
};

static fallible insert(struct store_tx *tx, void *ctx, struct err *err)
{
	const struct adding *a = ctx;
	return grant_insert(tx, &a->row, a->grant->thumbprints, a->grant->thumbprint_count, err);
}

fallible world_grant_sign(struct world *w, const struct grant *g, const struct key *k, struct str *ret, struct err *err)
{
	AUTO(buf_done) struct buf payload = BUF_MAX(GRANT_PAYLOAD_MAX), jws = BUF_MAX(GRANT_JWS_MAX);
	TRY(grant_write(g, &payload, err));
	TRY(jws_compact_sign(w->crypto, k, STR(GRANT_TYP), STR("ops"), buf_str(&payload), &jws, err));
	*ret = str_dup(&w->mem, buf_str(&jws));
	return OK;
}

struct grant world_grant(struct world *w, const struct world_account *a, struct str *names, size_t count)
{
	struct str *key = ARENA_NEW(&w->mem, struct str);
	*key = str_dup(&w->mem, str_z(a->thumbprint.z));
	return (struct grant){ .id = id_new(&w->clock, &rng_system),
			       .realm = STR("default"),
			       .thumbprints = key,
			       .thumbprint_count = 1,
			       .names = names,
			       .name_count = count,
			       .made_ms = w->now_ms,
			       .from_s = w->now_ms / 1000,
			       .until_s = w->now_ms / 1000 + 30 * (int64_t)86400 };
}

fallible world_grant_add(struct world *w, const struct grant *g, const struct key *k, struct err *err)
{
	struct adding a = { .grant = g,
			    .row = { .id = g->id,
				     .realm = g->realm,
				     .signer = STR("ops"),
				     .from_s = g->from_s,
				     .until_s = g->until_s,
				     .created_at = w->now_ms,
				     .created_by = STR("operator:0") } };
	TRY(world_grant_sign(w, g, k != NULL ? k : w->operator_key, &a.row.jws, err));
	return store_tx(w->store, insert, &a, err);
}

fallible world_grant_revoke_signer(struct world *w, struct id id, struct err *err)
{
	AUTO(buf_done) struct buf list = BUF_MAX(65536);
	const char *path = str_fmt(&w->mem, "%s/grants/revoked", w->dir).p;
	char now[TIME_TEXT_MAX];
	TRY(dir_make(str_fmt(&w->mem, "%s/grants", w->dir).p, 0755, err));
	if (FAILED(file_read(path, list.max, &list, NULL)))
		buf_reset(&list);
	time_show(w->now_ms / 1000, now);
	TRY(buf_addf(&list, err, "%s %s\n", id_show(id).z, now));
	return file_write_atomic(path, buf_str(&list), 0644, err);
}

struct revoking {
	struct id id;
	int64_t at;
};

static fallible revoke_tx(struct store_tx *tx, void *ctx, struct err *err)
{
	const struct revoking *r = ctx;
	return grant_revoke(tx, r->id, r->at, err);
}

fallible world_grant_revoke_api(struct world *w, struct id id, struct err *err)
{
	return store_tx(w->store, revoke_tx, &(struct revoking){ id, w->now_ms }, err);
}

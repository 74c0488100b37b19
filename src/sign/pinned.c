/* SPDX-License-Identifier: Apache-2.0
 *
 * pinned.c: the public keys that the signer believes: each perspective's for its verdicts, each operator's for its grants.
 * They come from files beside the signer's own configuration; no message brings one.
 */
#include "sign/sign.h"

#include <stdlib.h>

#define JWK_MAX (8 * 1024)

static void keys_free(struct key **v, size_t n)
{
	for (size_t i = 0; v != NULL && i < n; i++)
		key_free(v[i]);
	free(v);
}

void pinned_keys_done(struct pinned_keys *k)
{
	keys_free(k->perspectives, k->perspective_count);
	keys_free(k->operators, k->operator_count);
	key_list_free(k->refused);
	*k = (struct pinned_keys){ 0 };
}

/* *ret stays NULL where no file is named: what that one signs does not count. */
static fallible pinned_read(const struct conf *conf, struct str path, struct key **ret, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(buf_done) struct buf text = BUF_MAX(JWK_MAX);
	AUTO(key_auto) struct key *key = NULL;
	if (path.n == 0)
		return OK;
	TRY(file_read(conf_path(conf, &mem, path), JWK_MAX, &text, err));
	TRY(jwk_read_text(str_trim(buf_str(&text)), &key, err));
	TRY(key_check(key, KEY_USE_ACCOUNT, err));
	*ret = TAKE(key);
	return OK;
}

static fallible pinned_read_of(const struct conf *conf, const char *what, struct str name, struct str path,
			       struct key **ret, struct err *err)
{
	struct rc rc = pinned_read(conf, path, ret, err);
	if (FAILED(rc))
		err_prefix(err, "%s %.*s: public-key: ", what, STR_FMT(name));
	return rc;
}

/* Two perspectives with one key would be one vote that counts twice. */
static fallible perspectives_distinct(const struct conf *conf, const struct pinned_keys *k, struct err *err)
{
	for (size_t i = 0; i < k->perspective_count; i++) {
		for (size_t j = 0; j < i; j++) {
			if (k->perspectives[i] != NULL && k->perspectives[j] != NULL &&
			    key_public_eq(k->perspectives[i], k->perspectives[j]))
				FAIL(err, ERR_CONFIG,
				     "perspectives %.*s and %.*s have the same key; each needs its own",
				     STR_FMT(conf->perspectives[j].name), STR_FMT(conf->perspectives[i].name));
		}
	}
	return OK;
}

static fallible refused_read(const struct conf *conf, struct key_list *l, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	if (conf->keys.blocked.n > 0)
		TRY(key_list_add_blocked(l, conf_path(conf, &mem, conf->keys.blocked), err));
	for (size_t i = 0; i < conf->keys.weak.n; i++)
		TRY(key_list_add_weak(l, conf_path(conf, &mem, conf->keys.weak.v[i]), err));
	return OK;
}

fallible pinned_keys_read(const struct conf *conf, struct pinned_keys *ret, struct err *err)
{
	AUTO(pinned_keys_done)
	struct pinned_keys k = { .perspectives = mem_alloc_n(sizeof *k.perspectives, conf->perspective_count + 1),
				 .perspective_count = conf->perspective_count,
				 .operators = mem_alloc_n(sizeof *k.operators, conf->operator_count + 1),
				 .operator_count = conf->operator_count,
				 .refused = key_list_new() };
	TRY(refused_read(conf, k.refused, err));
	for (size_t i = 0; i < conf->perspective_count; i++)
		TRY(pinned_read_of(conf, "perspective", conf->perspectives[i].name, conf->perspectives[i].public_key,
				   &k.perspectives[i], err));
	for (size_t i = 0; i < conf->operator_count; i++)
		TRY(pinned_read_of(conf, "operator", conf->operators[i].name, conf->operators[i].public_key,
				   &k.operators[i], err));
	TRY(perspectives_distinct(conf, &k, err));
	*ret = k;
	k = (struct pinned_keys){ 0 };
	return OK;
}

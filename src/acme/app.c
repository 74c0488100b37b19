/* SPDX-License-Identifier: Apache-2.0
 *
 * app.c: the app and its configuration views. A reload builds a whole new view and swaps the pointer; a request keeps
 * the view that it began with, so no request ever sees half of two configurations.
 */
#include "acme/app.h"

#include <stdatomic.h>
#include <stdlib.h>

/* All but the configuration, which is the caller's when a view cannot be made. */
static void view_done(struct view *v)
{
	for (size_t i = 0; i < v->conf->perspective_count; i++)
		key_free(v->perspective_keys[i]);
	for (size_t i = 0; i < v->conf->operator_count; i++)
		key_free(v->operator_keys[i]);
	for (size_t i = 0; i < v->conf->issuer_count; i++)
		cert_free(v->issuers[i].cert);
	key_list_free(v->refused_keys);
	free(v->perspective_keys);
	free(v->operator_keys);
	free(v->issuers);
	arena_done(&v->mem);
}

static void view_free(struct view *v)
{
	view_done(v);
	conf_free(v->conf);
	free(v);
}

/* A public key that the configuration pins: of a perspective or an operator. */
static fallible pinned_key_read(const struct conf *conf, const char *of, struct str name, struct str file,
				struct key **ret, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(buf_done) struct buf text = BUF_MAX(4096);
	const char *path = conf_path(conf, &mem, file);
	TRY(file_read(path, text.max, &text, err));
	struct rc rc = jwk_read_text(str_trim(buf_str(&text)), ret, err);
	if (FAILED(rc))
		err_prefix(err, "%s: the public key of %s %.*s: ", path, of, STR_FMT(name));
	return rc;
}

static fallible pinned_keys_read(struct view *v, struct err *err)
{
	const struct conf *conf = v->conf;
	for (size_t i = 0; i < conf->perspective_count; i++) {
		const struct conf_perspective *p = &conf->perspectives[i];
		TRY(pinned_key_read(conf, "perspective", p->name, p->public_key, &v->perspective_keys[i], err));
	}
	for (size_t i = 0; i < conf->operator_count; i++) {
		const struct conf_operator *o = &conf->operators[i];
		TRY(pinned_key_read(conf, "operator", o->name, o->public_key, &v->operator_keys[i], err));
	}
	return OK;
}

static fallible refused_keys_read(struct view *v, struct err *err)
{
	const struct conf *conf = v->conf;
	if (conf->keys.blocked.n > 0)
		TRY(key_list_add_blocked(v->refused_keys, conf_path(conf, &v->mem, conf->keys.blocked), err));
	for (size_t i = 0; i < conf->keys.weak.n; i++)
		TRY(key_list_add_weak(v->refused_keys, conf_path(conf, &v->mem, conf->keys.weak.v[i]), err));
	return OK;
}

static fallible view_new(struct conf *conf, struct view **ret, struct err *err)
{
	struct view *v = mem_alloc(sizeof *v);
	atomic_init(&v->refs, 1);
	v->conf = conf;
	v->perspective_keys = mem_alloc_n(sizeof *v->perspective_keys, conf->perspective_count + 1);
	v->operator_keys = mem_alloc_n(sizeof *v->operator_keys, conf->operator_count + 1);
	v->refused_keys = key_list_new();
	v->issuers = mem_alloc_n(sizeof *v->issuers, conf->issuer_count + 1);
	struct rc rc = issuers_of_conf(conf, &v->mem, v->issuers, err);
	if (!FAILED(rc))
		rc = pinned_keys_read(v, err);
	if (!FAILED(rc))
		rc = refused_keys_read(v, err);
	if (FAILED(rc)) {
		view_done(v);
		free(v);
		return rc;
	}
	*ret = v;
	return OK;
}

struct view *view_get(struct acme *a)
{
	pthread_mutex_lock(&a->view_lock);
	struct view *v = a->view;
	atomic_fetch_add(&v->refs, 1);
	pthread_mutex_unlock(&a->view_lock);
	return v;
}

void view_put(struct view *v)
{
	if (v != NULL && atomic_fetch_sub(&v->refs, 1) == 1)
		view_free(v);
}

void view_auto(struct view **v)
{
	view_put(*v);
}

const struct key *view_perspective_key(const struct view *v, struct str name)
{
	for (size_t i = 0; i < v->conf->perspective_count; i++)
		if (str_eq(v->conf->perspectives[i].name, name))
			return v->perspective_keys[i];
	return NULL;
}

const struct key *view_operator_key(const struct view *v, struct str name)
{
	for (size_t i = 0; i < v->conf->operator_count; i++)
		if (str_eq(v->conf->operators[i].name, name))
			return v->operator_keys[i];
	return NULL;
}

const struct view_issuer *view_issuer(const struct view *v, struct str name)
{
	for (size_t i = 0; i < v->conf->issuer_count; i++)
		if (str_eq(v->conf->issuers[i].name, name))
			return &v->issuers[i];
	return NULL;
}

fallible acme_new(const struct acme_deps *deps, struct conf *conf, struct acme **ret, struct err *err)
{
	struct acme *a = mem_alloc(sizeof *a);
	a->d = *deps;
	pthread_mutex_init(&a->view_lock, NULL);
	a->signers = signers_new();
	a->room = waitroom_new();
	a->patience = patience_new();
	struct rc rc = nonces_new(deps->clk, deps->rng, &a->nonces, err);
	if (!FAILED(rc))
		rc = keycache_new(&a->keys, err);
	if (!FAILED(rc))
		rc = view_new(conf, &a->view, err);
	if (FAILED(rc)) {
		acme_free(a);
		return rc;
	}
	*ret = a;
	return OK;
}

void acme_free(struct acme *a)
{
	if (a == NULL)
		return;
	view_put(a->view);
	waitroom_free(a->room);
	patience_free(a->patience);
	signers_free(a->signers);
	keycache_free(a->keys);
	nonces_free(a->nonces);
	pthread_mutex_destroy(&a->view_lock);
	free(a);
}

fallible acme_reload(struct acme *a, struct conf *conf, struct err *err)
{
	struct view *fresh;
	TRY(view_new(conf, &fresh, err));
	pthread_mutex_lock(&a->view_lock);
	struct view *old = a->view;
	a->view = fresh;
	pthread_mutex_unlock(&a->view_lock);
	view_put(old);
	return OK;
}

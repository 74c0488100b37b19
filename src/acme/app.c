/* SPDX-License-Identifier: Apache-2.0
 *
 * app.c: the app and its configuration views. A reload builds a whole new view and swaps the pointer; a request keeps
 * the view that it began with, so no request ever sees half of two configurations.
 */
#include "acme/app.h"

#include <stdatomic.h>
#include <stdlib.h>

#define SEATS_OF_WORKERS(w) \
	((unsigned)((w)*3 / 4)) /* a quarter of the workers, one at least, never waits for a signer */

static void view_free(struct view *v)
{
	if (v == NULL)
		return;
	if (v->conf != NULL && v->perspective_keys != NULL)
		for (size_t i = 0; i < v->conf->perspective_count; i++)
			key_free(v->perspective_keys[i]);
	free(v->perspective_keys);
	conf_free(v->conf);
	free(v);
}

static fallible perspective_key_read(const struct conf *conf, const struct conf_perspective *p, struct key **ret,
				     struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(buf_done) struct buf text = BUF_MAX(4096);
	const char *path = conf_path(conf, &mem, p->public_key);
	TRY(file_read(path, text.max, &text, err));
	struct rc rc = jwk_read_text(str_trim(buf_str(&text)), ret, err);
	if (FAILED(rc))
		err_prefix(err, "%s: the public key of perspective %.*s: ", path, STR_FMT(p->name));
	return rc;
}

static fallible view_new(struct conf *conf, struct view **ret, struct err *err)
{
	struct view *v = mem_alloc(sizeof *v);
	atomic_init(&v->refs, 1);
	v->perspective_keys = mem_alloc_n(sizeof *v->perspective_keys, conf->perspective_count + 1);
	struct rc rc = OK;
	v->conf = conf;
	for (size_t i = 0; i < conf->perspective_count && !FAILED(rc); i++)
		rc = perspective_key_read(conf, &conf->perspectives[i], &v->perspective_keys[i], err);
	if (FAILED(rc)) {
		for (size_t i = 0; i < conf->perspective_count; i++)
			key_free(v->perspective_keys[i]);
		free(v->perspective_keys);
		free(v); /* the configuration stays the caller's */
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

fallible acme_new(const struct acme_deps *deps, struct conf *conf, struct acme **ret, struct err *err)
{
	struct acme *a = mem_alloc(sizeof *a);
	a->d = *deps;
	pthread_mutex_init(&a->view_lock, NULL);
	struct rc rc = nonces_new(deps->crypto, deps->clk, deps->rng, &a->nonces, err);
	if (!FAILED(rc))
		rc = keycache_new(&a->keys, err);
	if (!FAILED(rc))
		rc = waitroom_new(SEATS_OF_WORKERS(conf->api.workers), &a->room, err);
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

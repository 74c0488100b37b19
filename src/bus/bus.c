/* SPDX-License-Identifier: Apache-2.0
 *
 * bus.c: the public face: checks what callers give, picks the backend by the URL's scheme, and counts the deliveries
 * in handlers' hands, so that a late bus_ack finds a struct bus, even after bus_free.
 */
#include "bus/bus.h"

#include "bus/internal.h"
#include "bus/proto.h"
#include "bus/roles.h"

#include <assert.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define FREE_WAIT_S 2 /* bus_free gives handlers this long to let go */
#define QUEUE_MAX_DEFAULT 10000

static const struct bus_ops *const backends[] = { &bus_local_ops };

struct bus_delivery *delivery_new(struct str topic, struct str body)
{
	/* Both lengths are bounded by frames. */
	struct bus_delivery *d = (struct bus_delivery *)mem_alloc(sizeof *d + topic.n + body.n);
	memcpy(d->bytes, topic.p, topic.n);
	if (body.n > 0)
		memcpy(d->bytes + topic.n, body.p, body.n);
	d->topic = str_n(d->bytes, topic.n);
	d->body = str_n(d->bytes + topic.n, body.n);
	return d;
}

/* Copies what conf points to; without uids it is ours. */
static void own_conf(struct bus *b, const struct bus_conf *conf)
{
	b->conf = *conf;
	b->conf.url = str_dup(&b->mem, conf->url);
	b->conf.name = str_dup(&b->mem, conf->name);
	size_t count = conf->peer_uid_count == 0 ? 1 : conf->peer_uid_count;
	uid_t *uids = ARENA_ARRAY(&b->mem, uid_t, count);
	uids[0] = geteuid();
	if (conf->peer_uid_count > 0)
		memcpy(uids, conf->peer_uids, count * sizeof uids[0]);
	b->conf.peer_uids = uids;
	b->conf.peer_uid_count = count;
}

static void init_locks(struct bus *b)
{
	pthread_condattr_t attr;
	(void)pthread_mutex_init(&b->mu, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&b->idle, &attr);
	(void)pthread_condattr_destroy(&attr);
}

fallible bus_new(const struct bus_conf *conf, struct bus **ret, struct err *err)
{
	struct rc rc = bus_name_check(conf->name, err);
	if (rc.kind != ERR_NONE)
		FAIL(err, ERR_CONFIG, "bus name \"%.*s\" is not 1 to %d of a-z 0-9 . -", STR_FMT(conf->name),
		     BUS_TOPIC_MAX);
	struct bus_conf full = *conf;
	full.queue_max = conf->queue_max == 0 ? QUEUE_MAX_DEFAULT : conf->queue_max;
	if (conf->role_count == 0) {
		full.roles = bus_roles_cairn;
		full.role_count = bus_role_count;
	}
	full.clk = conf->clk == NULL ? &clock_system : conf->clk;
	for (size_t i = 0; i < ARRAY_LEN(backends); i++) {
		if (!str_starts(conf->url, backends[i]->scheme))
			continue;
		struct bus *b = NULL;
		TRY(backends[i]->open(&full, &b, err));
		b->ops = backends[i];
		own_conf(b, &full);
		init_locks(b);
		*ret = b;
		return OK;
	}
	FAIL(err, ERR_CONFIG, "bus url \"%.*s\" is not served, wanted unix:/path", STR_FMT(conf->url));
}

static fallible check_topic(struct str topic, struct err *err)
{
	struct rc rc = bus_name_check(topic, err);
	if (rc.kind != ERR_NONE)
		err_prefix(err, "bus topic: ");
	return rc;
}

fallible bus_consume(struct bus *b, struct str topic, unsigned credits, bus_handler *fn, void *ctx, struct err *err)
{
	assert(!b->started);
	TRY(check_topic(topic, err));
	if (credits == 0 || credits > BUS_CREDITS_MAX)
		FAIL(err, ERR_CONFIG, "bus topic %.*s: %u credits, wanted 1 to %d", STR_FMT(topic), credits,
		     BUS_CREDITS_MAX);
	struct bus_use **end = &b->uses;
	for (; *end != NULL; end = &(*end)->next) {
		if (str_eq((*end)->topic, topic))
			FAIL(err, ERR_CONFIG, "bus topic %.*s is consumed twice", STR_FMT(topic));
	}
	struct bus_use *u = ARENA_NEW(&b->mem, struct bus_use);
	*u = (struct bus_use){ .topic = str_dup(&b->mem, topic), .credits = credits, .fn = fn, .ctx = ctx };
	*end = u;
	return OK;
}

fallible bus_start(struct bus *b, struct err *err)
{
	assert(!b->started);
	TRY(b->ops->start(b, err));
	b->started = true;
	return OK;
}

static fallible check_message(struct str topic, struct str body, struct err *err)
{
	TRY(check_topic(topic, err));
	if (body.n > BUS_BODY_MAX)
		FAIL(err, ERR_TOO_LARGE, "bus message of %zu bytes is over the limit of %d", body.n, BUS_BODY_MAX);
	return OK;
}

fallible bus_publish(struct bus *b, struct str topic, struct str body, struct err *err)
{
	TRY(check_message(topic, body, err));
	(void)pthread_mutex_lock(&b->mu);
	struct rc rc = b->ops->publish(b, topic, body, err);
	b->ops->push(b);
	(void)pthread_mutex_unlock(&b->mu);
	return rc;
}

struct str bus_delivery_body(const struct bus_delivery *d)
{
	return d->body;
}

struct str bus_delivery_topic(const struct bus_delivery *d)
{
	return d->topic;
}

static void destroy(struct bus *b)
{
	(void)pthread_cond_destroy(&b->idle);
	(void)pthread_mutex_destroy(&b->mu);
	arena_done(&b->mem);
	free(b);
}

/* With mu held. */
static void settle_held(struct bus *b, struct bus_delivery *d, bool done)
{
	b->ops->settle(b, d, done);
	b->out--;
	if (b->out == 0)
		(void)pthread_cond_signal(&b->idle);
	b->ops->push(b);
}

static void settle(struct bus_delivery *d, bool done)
{
	struct bus *b = d->bus;
	(void)pthread_mutex_lock(&b->mu);
	bool closed = b->closed;
	if (closed) {
		free(d); /* its hub or connection is long gone */
		b->out--;
	} else {
		settle_held(b, d, done);
	}
	bool last = b->out == 0;
	(void)pthread_mutex_unlock(&b->mu);
	if (last && closed)
		destroy(b);
}

fallible bus_answer(struct bus_delivery *d, struct str topic, struct str body, struct err *err)
{
	struct bus *b = d->bus;
	TRY(check_message(topic, body, err));
	(void)pthread_mutex_lock(&b->mu);
	struct rc rc = { ERR_UNAVAILABLE };
	if (b->closed)
		err_set(err, ERR_UNAVAILABLE, "the bus is stopped");
	else
		rc = b->ops->publish(b, topic, body, err);
	if (!FAILED(rc))
		settle_held(b, d, true);
	(void)pthread_mutex_unlock(&b->mu);
	return rc;
}

void bus_ack(struct bus_delivery *d)
{
	settle(d, true);
}

void bus_nack(struct bus_delivery *d)
{
	settle(d, false);
}

unsigned bus_consumers(struct bus *b, struct str topic)
{
	return b->ops->consumers(b, topic);
}

bool bus_connected(struct bus *b)
{
	return b->ops->connected(b);
}

void bus_stop(struct bus *b)
{
	b->ops->stop(b);
}

void bus_free(struct bus *b)
{
	if (b == NULL)
		return;
	bus_stop(b);
	struct timespec until;
	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += FREE_WAIT_S;
	(void)pthread_mutex_lock(&b->mu);
	while (b->out > 0 && pthread_cond_timedwait(&b->idle, &b->mu, &until) == 0)
		;
	b->ops->close(b);
	b->closed = true;
	bool last = b->out == 0;
	(void)pthread_mutex_unlock(&b->mu);
	if (last)
		destroy(b);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * topics.c: who gets which message. After every call no message waits while a consumer of its topic could take it, so
 * a queue grows only while there is none.
 */
#include "bus/topics.h"

#include <assert.h>
#include <stdlib.h>

#define NO_SLOT UINT32_MAX

struct topic {
	struct topic *next;
	struct delivery_list queue;
	size_t waiting; /* in the queue or delayed */
	size_t bytes;   /* of its messages, waiting or held */
	struct sub **subs;
	size_t sub_count;
	size_t turn; /* round robin: who is asked first */
	struct str name;
	char name_bytes[BUS_TOPIC_MAX];
};

void delivery_push(struct delivery_list *l, struct bus_delivery *d)
{
	d->next = NULL;
	if (l->tail == NULL)
		l->head = d;
	else
		l->tail->next = d;
	l->tail = d;
}

struct bus_delivery *delivery_pop(struct delivery_list *l)
{
	struct bus_delivery *d = l->head;
	if (d == NULL)
		return NULL;
	l->head = d->next;
	if (l->head == NULL)
		l->tail = NULL;
	d->next = NULL;
	return d;
}

static void push_front(struct delivery_list *l, struct bus_delivery *d)
{
	d->next = l->head;
	l->head = d;
	if (l->tail == NULL)
		l->tail = d;
}

static size_t cost(const struct bus_delivery *d)
{
	return sizeof *d + d->topic.n + d->body.n;
}

static struct topic *find(const struct topics *t, struct str name)
{
	for (struct topic *at = t->list; at != NULL; at = at->next) {
		if (str_eq(at->name, name))
			return at;
	}
	return NULL;
}

static fallible find_or_add(struct topics *t, struct str name, struct topic **ret, struct err *err)
{
	*ret = find(t, name);
	if (*ret != NULL)
		return OK;
	if (t->count == TOPICS_MAX)
		FAIL(err, ERR_UNAVAILABLE, "the bus has %d topics in use and takes no more", TOPICS_MAX);
	assert(name.n <= BUS_TOPIC_MAX);
	struct topic *at = (struct topic *)mem_alloc(sizeof *at);
	memcpy(at->name_bytes, name.p, name.n);
	at->name = str_n(at->name_bytes, name.n);
	at->next = t->list;
	t->list = at;
	t->count++;
	*ret = at;
	return OK;
}

static void topic_free(struct topic *at)
{
	free(at->subs);
	free(at);
}

/* A topic lives while anything waits on it or anyone consumes it. */
static void forget_if_unused(struct topics *t, struct topic *at)
{
	if (at->waiting > 0 || at->sub_count > 0)
		return;
	struct topic **link = &t->list;
	while (*link != at)
		link = &(*link)->next;
	*link = at->next;
	t->count--;
	topic_free(at);
}

static struct sub *next_ready(struct topic *at)
{
	for (size_t i = 0; i < at->sub_count; i++) {
		size_t k = (at->turn + i) % at->sub_count;
		struct sub *s = at->subs[k];
		if (s->paused || s->first_free == NO_SLOT)
			continue;
		at->turn = k + 1;
		return s;
	}
	return NULL;
}

static void hold(struct sub *s, struct bus_delivery *d)
{
	uint32_t k = s->first_free;
	s->first_free = s->slots[k].next_free;
	s->slots[k].d = d;
	d->sub = s;
	d->tag = (uint64_t)s->turns++ << 32 | (uint64_t)s->index << 16 | k;
}

static void dispatch(struct topics *t, struct topic *at)
{
	while (at->queue.head != NULL) {
		struct sub *s = next_ready(at);
		if (s == NULL)
			return;
		struct bus_delivery *d = delivery_pop(&at->queue);
		at->waiting--;
		hold(s, d);
		t->give(t->ctx, s, d);
	}
}

fallible topics_publish(struct topics *t, struct str topic, struct str body, struct err *err)
{
	struct topic *at = find(t, topic);
	if (at != NULL && at->waiting >= t->queue_max)
		FAIL(err, ERR_UNAVAILABLE, "%zu messages wait on bus topic %.*s already", at->waiting, STR_FMT(topic));
	size_t need = sizeof(struct bus_delivery) + topic.n + body.n;
	if (t->bytes + need > TOPICS_BYTES_MAX)
		FAIL(err, ERR_UNAVAILABLE, "the bus holds %zu bytes and takes no more", t->bytes);
	if (at != NULL && at->bytes + need > TOPIC_BYTES_MAX)
		FAIL(err, ERR_UNAVAILABLE, "bus topic %.*s holds %zu bytes and takes no more", STR_FMT(topic),
		     at->bytes);
	TRY(find_or_add(t, topic, &at, err));
	struct bus_delivery *d = delivery_new(topic, body);
	t->bytes += need;
	at->bytes += need;
	d->at = at;
	delivery_push(&at->queue, d);
	at->waiting++;
	dispatch(t, at);
	return OK;
}

fallible topics_subscribe(struct topics *t, struct str topic, unsigned credits, void *owner, uint16_t index,
			  struct sub **ret, struct err *err)
{
	assert(credits > 0 && credits <= UINT16_MAX);
	struct topic *at = NULL;
	TRY(find_or_add(t, topic, &at, err));
	struct sub *s = (struct sub *)mem_alloc(sizeof *s + credits * sizeof s->slots[0]);
	s->topic = at;
	s->owner = owner;
	s->index = index;
	s->credits = credits;
	for (uint32_t i = 0; i < credits; i++)
		s->slots[i].next_free = i + 1 < credits ? i + 1 : NO_SLOT;
	at->subs = (struct sub **)mem_grow(at->subs, sizeof *at->subs, at->sub_count + 1);
	at->subs[at->sub_count++] = s;
	*ret = s;
	dispatch(t, at);
	return OK;
}

static void unlist(struct topic *at, const struct sub *s)
{
	size_t k = 0;
	while (at->subs[k] != s)
		k++;
	at->sub_count--;
	memmove(at->subs + k, at->subs + k + 1, (at->sub_count - k) * sizeof *at->subs);
}

void sub_drop(struct topics *t, struct sub *s)
{
	struct topic *at = s->topic;
	unlist(at, s);
	for (size_t i = s->credits; i-- > 0;) {
		struct bus_delivery *d = s->slots[i].d;
		if (d == NULL)
			continue;
		d->sub = NULL;
		push_front(&at->queue, d);
		at->waiting++;
	}
	free(s);
	dispatch(t, at);
	forget_if_unused(t, at);
}

struct str sub_topic(const struct sub *s)
{
	return s->topic->name;
}

void sub_resume(struct topics *t, struct sub *s)
{
	s->paused = false;
	dispatch(t, s->topic);
}

fallible sub_settle(struct topics *t, struct sub *s, uint64_t tag, bool done, int64_t now_ms, struct err *err)
{
	uint32_t k = (uint32_t)(tag & UINT16_MAX);
	struct bus_delivery *d = k < s->credits ? s->slots[k].d : NULL;
	if (d == NULL || d->tag != tag)
		FAIL(err, ERR_MALFORMED, "tag %llx is not held", (unsigned long long)tag);
	s->slots[k] = (struct slot){ .d = NULL, .next_free = s->first_free };
	s->first_free = k;
	d->sub = NULL;
	if (done) {
		t->bytes -= cost(d);
		s->topic->bytes -= cost(d);
		free(d);
	} else {
		d->due_ms = now_ms + NACK_DELAY_MS;
		delivery_push(&t->delayed, d); /* one delay for all: the list stays in order */
		s->topic->waiting++;
	}
	dispatch(t, s->topic);
	return OK;
}

void topics_run_due(struct topics *t, int64_t now_ms)
{
	while (t->delayed.head != NULL && t->delayed.head->due_ms <= now_ms) {
		struct bus_delivery *d = delivery_pop(&t->delayed);
		delivery_push(&d->at->queue, d);
		dispatch(t, d->at);
	}
}

int64_t topics_next_due(const struct topics *t)
{
	return t->delayed.head == NULL ? INT64_MAX : t->delayed.head->due_ms;
}

unsigned topics_consumers(const struct topics *t, struct str topic)
{
	const struct topic *at = find(t, topic);
	return at == NULL ? 0 : (unsigned)at->sub_count;
}

static void free_list(struct delivery_list *l)
{
	for (struct bus_delivery *d = delivery_pop(l); d != NULL; d = delivery_pop(l))
		free(d);
}

void topics_done(struct topics *t)
{
	free_list(&t->delayed);
	while (t->list != NULL) {
		struct topic *at = t->list;
		t->list = at->next;
		free_list(&at->queue);
		for (size_t i = 0; i < at->sub_count; i++)
			free(at->subs[i]);
		topic_free(at);
	}
	t->count = 0;
	t->bytes = 0;
}

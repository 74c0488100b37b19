/* SPDX-License-Identifier: Apache-2.0
 *
 * bus_local.c: the bus over a Unix socket: the hub serves it, everybody else connects. One thread a bus, one lock a
 * bus: the thread holds it but in poll(2), in handlers and in event. Other threads append to a peer's buffer under it.
 * While the thread is in poll(2) they send that buffer themselves, which spares waking it; what the socket does not take,
 * and what comes while it is at work, is the thread's to send, with one call a peer.
 */
#include "bus/internal.h"
#include "bus/proto.h"
#include "bus/roles.h"
#include "bus/topics.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/un.h>
#include <unistd.h>

#define PEERS_MAX 256
#define PEER_SUBS_MAX 64
#define READ_CHUNK (64 * 1024)
#define IN_MAX (FRAME_HEAD + FRAME_BODY_MAX + READ_CHUNK)
#define OUT_PAUSE (1024 * 1024) /* above it a consumer gets nothing more, and a client's publish is refused */
#define OUT_MAX (FRAME_BODY_MAX + 4 * 1024 * 1024) /* above it a peer is dropped */
#define HELLO_MS 5000
#define PING_MS 10000 /* of silence, until a ping is sent */
#define DEAD_MS 30000 /* of silence, until the peer is given up */
#define RETRY_MIN_MS 50
#define RETRY_MAX_MS 2000
#define ACCEPT_PAUSE_MS 100  /* when the system has no descriptor left */
#define HANDLERS_A_ROUND 256 /* so that a full hand of deliveries does not keep the sockets waiting */
#define POLL_MAX_MS 60000
#define TELL_MAX 20 /* refusals in TELL_MS, so that a peer's persistence does not fill the log */
#define TELL_MS 10000

struct peer {
	struct peer *next;
	int fd;
	uid_t uid;
	pid_t pid;
	char name[BUS_TOPIC_MAX + 1]; /* empty until its hello */
	const struct bus_role *role;  /* hub, from the hello on */
	struct buf in, out;
	int64_t since_ms, heard_ms, asked_ms;
	bool greeted;
	bool paused;
	bool full;                       /* the socket: only the thread sends, when poll(2) says so */
	struct sub *subs[PEER_SUBS_MAX]; /* hub */
	uint16_t sub_count;
	struct err doom; /* set: to be dropped, for this reason, by the bus's thread */
};

/* Something for conf.event, told when the lock is free. */
struct event {
	struct event *next;
	const char *what;
	char peer[BUS_TOPIC_MAX + 1];
	bool failed;
	struct err err;
};

struct local {
	struct bus bus; /* first */
	char path[sizeof((struct sockaddr_un *)NULL)->sun_path];
	int listen_fd, wake_fd;
	pthread_t thread;
	bool running;
	bool stopping;
	bool polling;  /* the thread waits, and nobody has woken it yet */
	bool gathered; /* something was appended that nobody has tried to send */
	int64_t now_ms;
	struct peer *peers; /* a client has at most one */
	size_t peer_count;
	struct delivery_list ready; /* for our own handlers */
	struct event *events, **events_end;
	/* hub */
	struct topics topics;
	int64_t accept_at_ms;
	int64_t told_since_ms; /* refusals are told up to TELL_MAX in TELL_MS */
	unsigned told;
	/* client */
	uint64_t link; /* counts connections */
	int64_t retry_at_ms;
	int64_t retry_ms;
	struct err outage; /* the reason told last, so that an hour without a hub is not an hour of events */
	struct pollfd polls[PEERS_MAX + 2];
};

static struct local *local_of(struct bus *b)
{
	return (struct local *)(void *)b;
}

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int64_t later(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

/* One write until the thread has seen it; none while it is at work anyway. */
static void wake(struct local *l)
{
	if (!l->polling)
		return;
	l->polling = false;
	(void)eventfd_write(l->wake_fd, 1); /* fails only when the counter is full: awake already */
}

static void tell(struct local *l, const char *what, const struct peer *p, const struct err *err)
{
	if (l->bus.conf.event == NULL)
		return;
	struct event *e = (struct event *)mem_alloc(sizeof *e);
	e->what = what;
	if (p != NULL)
		memcpy(e->peer, p->name, sizeof e->peer);
	e->failed = err != NULL;
	if (err != NULL)
		e->err = *err;
	*l->events_end = e;
	l->events_end = &e->next;
}

static void tell_refusal(struct local *l, const char *what, const struct peer *p, struct err *err)
{
	if (l->now_ms - l->told_since_ms >= TELL_MS) {
		l->told_since_ms = l->now_ms;
		l->told = 0;
	}
	if (l->told == TELL_MAX)
		return;
	if (++l->told == TELL_MAX)
		err_prefix(err, "(more of this is not told for a while) ");
	tell(l, what, p, err);
}

/* --- peers -------------------------------------------------------------------------------------------------------*/

static void doom(struct local *l, struct peer *p, const struct err *why)
{
	if (p->doom.kind == ERR_NONE)
		p->doom = *why;
	wake(l);
}

static void send_frame(struct local *l, struct peer *p, const struct bus_frame *m)
{
	if (p->doom.kind != ERR_NONE)
		return;
	struct err err = { 0 };
	if (FAILED(bus_frame_add(&p->out, m, &err))) {
		struct err why = { 0 };
		err_set(&why, ERR_CLOSED, "the peer does not read: %s", err.detail);
		doom(l, p, &why);
	}
	l->gathered = true;
}

static void peer_add(struct local *l, int fd, uid_t uid, pid_t pid)
{
	struct peer *p = (struct peer *)mem_alloc(sizeof *p);
	p->fd = fd;
	p->uid = uid;
	p->pid = pid;
	p->in = (struct buf)BUF_MAX(IN_MAX);
	p->out = (struct buf)BUF_MAX(OUT_MAX);
	p->since_ms = p->heard_ms = p->asked_ms = l->now_ms;
	p->next = l->peers;
	l->peers = p;
	l->peer_count++;
	send_frame(l, p, &(struct bus_frame){ .type = BUS_HELLO, .number = BUS_VERSION, .name = l->bus.conf.name });
}

static void free_ready(struct local *l)
{
	for (struct bus_delivery *d = delivery_pop(&l->ready); d != NULL; d = delivery_pop(&l->ready))
		free(d);
}

/* Half to all of the present step, so that clients of a hub that comes back do not come back as one. */
static void retry_later(struct local *l)
{
	uint32_t dice = 0;
	rng_fill(&rng_system, &dice, sizeof dice);
	l->retry_at_ms = l->now_ms + l->retry_ms / 2 + (int64_t)dice % (l->retry_ms / 2 + 1);
	l->retry_ms = earlier(l->retry_ms * 2, RETRY_MAX_MS);
}

static void tell_outage(struct local *l, const char *what, const struct err *err)
{
	if (strcmp(l->outage.detail, err->detail) == 0)
		return;
	l->outage = *err;
	tell(l, what, NULL, err);
}

/* The client's end of a connection: what came over it and has not reached a handler will come again. */
static void link_lost(struct local *l)
{
	free_ready(l);
	for (struct bus_use *u = l->bus.uses; u != NULL; u = u->next)
		u->held = 0;
	retry_later(l);
}

static void peer_free(struct local *l, struct peer *p)
{
	for (uint16_t i = 0; i < p->sub_count; i++)
		sub_drop(&l->topics, p->subs[i]);
	fd_close(&p->fd);
	buf_done(&p->in);
	buf_done(&p->out);
	free(p);
	l->peer_count--;
}

static void drop_doomed(struct local *l)
{
	for (struct peer **at = &l->peers; *at != NULL;) {
		struct peer *p = *at;
		if (p->doom.kind == ERR_NONE) {
			at = &p->next;
			continue;
		}
		*at = p->next;
		if (!p->greeted)
			err_prefix(&p->doom, "uid %u, pid %d: ", (unsigned)p->uid, (int)p->pid);
		if (p->greeted)
			tell(l, "bus disconnected", p, &p->doom);
		else if (l->bus.conf.hub)
			tell_refusal(l, "bus peer refused", p, &p->doom);
		else
			tell_outage(l, "bus peer refused", &p->doom);
		if (!l->bus.conf.hub)
			link_lost(l);
		peer_free(l, p);
		at = &l->peers; /* redelivery may have doomed one that was passed already */
	}
}

static fallible check_uid(const struct local *l, int fd, uid_t *ret_uid, pid_t *ret_pid, struct err *err)
{
	uid_t uid = 0;
	pid_t pid = 0;
	TRY(unix_peer(fd, &uid, &pid, err));
	for (size_t i = 0; i < l->bus.conf.peer_uid_count; i++) {
		if (l->bus.conf.peer_uids[i] == uid) {
			*ret_uid = uid;
			*ret_pid = pid;
			return OK;
		}
	}
	FAIL(err, ERR_UNAUTHORIZED, "uid %u (pid %d) may not be on this bus", (unsigned)uid, (int)pid);
}

/* --- the hub -----------------------------------------------------------------------------------------------------*/

static void hub_give(void *ctx, struct sub *s, struct bus_delivery *d)
{
	struct local *l = (struct local *)ctx;
	struct peer *p = (struct peer *)s->owner;
	if (p == NULL) {
		for (d->use = l->bus.uses; !str_eq(d->use->topic, d->topic);)
			d->use = d->use->next;
		delivery_push(&l->ready, d);
		wake(l);
		return;
	}
	send_frame(l, p, &(struct bus_frame){ .type = BUS_DELIVER, .tag = d->tag, .name = d->topic, .body = d->body });
	if (p->out.n < OUT_PAUSE)
		return;
	p->paused = true;
	s->paused = true; /* perhaps not in subs yet */
	for (uint16_t i = 0; i < p->sub_count; i++)
		p->subs[i]->paused = true;
}

static void hub_resume(struct local *l, struct peer *p)
{
	p->paused = false;
	for (uint16_t i = 0; i < p->sub_count && !p->paused; i++)
		sub_resume(&l->topics, p->subs[i]);
}

static fallible hub_require(const struct peer *p, const char *topics, const struct bus_frame *m, struct err *err)
{
	if (!bus_role_allows(p->role, str_z(p->name), topics, m->name))
		FAIL(err, ERR_UNAUTHORIZED, "%s may not %s %.*s", p->name,
		     m->type == BUS_SUBSCRIBE ? "consume" : "publish", STR_FMT(m->name));
	return OK;
}

static fallible hub_on_hello(struct local *l, struct peer *p, const struct bus_frame *m, struct err *err)
{
	p->role = bus_role_find(l->bus.conf.roles, l->bus.conf.role_count, m->name);
	if (p->role == NULL)
		FAIL(err, ERR_UNAUTHORIZED, "\"%.*s\" is the name of no program on this bus", STR_FMT(m->name));
	return OK;
}

static fallible hub_on_subscribe(struct local *l, struct peer *p, const struct bus_frame *m, struct err *err)
{
	TRY(hub_require(p, p->role->consume, m, err));
	if (p->sub_count == PEER_SUBS_MAX)
		FAIL(err, ERR_MALFORMED, "more than %d subscriptions", PEER_SUBS_MAX);
	for (uint16_t i = 0; i < p->sub_count; i++) {
		if (str_eq(sub_topic(p->subs[i]), m->name))
			FAIL(err, ERR_MALFORMED, "%.*s is subscribed twice", STR_FMT(m->name));
	}
	TRY(topics_subscribe(&l->topics, m->name, m->number, p, p->sub_count, &p->subs[p->sub_count], err));
	p->sub_count++;
	return OK;
}

/* A message that finds no room is dropped and told, not held back: to stop reading this peer would stop its
 * acknowledgements too, which are what makes room. */
static fallible hub_on_publish(struct local *l, const struct peer *p, const struct bus_frame *m, struct err *err)
{
	struct err full = { 0 };
	TRY(hub_require(p, p->role->publish, m, err));
	if (FAILED(topics_publish(&l->topics, m->name, m->body, &full)))
		tell_refusal(l, "bus message dropped", p, &full);
	return OK;
}

static fallible hub_on_settle(struct local *l, struct peer *p, const struct bus_frame *m, struct err *err)
{
	size_t index = m->tag >> 16 & UINT16_MAX;
	if (index >= p->sub_count)
		FAIL(err, ERR_MALFORMED, "tag %llx is not held", (unsigned long long)m->tag);
	return sub_settle(&l->topics, p->subs[index], m->tag, m->type == BUS_ACK, l->now_ms, err);
}

static void hub_accept(struct local *l)
{
	for (int i = 0; i < 16; i++) {
		AUTO(fd_close) int fd = accept4(l->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0) {
			if (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR)
				l->accept_at_ms = l->now_ms + ACCEPT_PAUSE_MS;
			return;
		}
		struct err err = { 0 };
		uid_t uid = 0;
		pid_t pid = 0;
		bool refused = FAILED(check_uid(l, fd, &uid, &pid, &err));
		if (!refused && l->peer_count == PEERS_MAX) {
			err_set(&err, ERR_UNAVAILABLE, "%d programs are connected and there is no room", PEERS_MAX);
			refused = true;
		}
		if (refused) {
			tell_refusal(l, "bus peer refused", NULL, &err);
			continue;
		}
		peer_add(l, fd, uid, pid);
		fd = -1;
	}
}

/* --- the client --------------------------------------------------------------------------------------------------*/

static void client_connect(struct local *l)
{
	struct err err = { 0 };
	AUTO(fd_close) int fd = -1;
	uid_t uid = 0;
	pid_t pid = 0;
	const struct bus_conf *conf = &l->bus.conf;
	struct rc rc = conf->connect == NULL ? unix_connect(l->path, &fd, &err)
					     : conf->connect(conf->connect_ctx, l->path, &fd, &err);
	if (FAILED(rc)) {
		tell_outage(l, "bus unreachable", &err);
		retry_later(l);
		return;
	}
	if (FAILED(check_uid(l, fd, &uid, &pid, &err))) {
		tell_outage(l, "bus peer refused", &err);
		retry_later(l);
		return;
	}
	l->link++;
	peer_add(l, fd, uid, pid);
	fd = -1;
}

static fallible client_on_deliver(struct local *l, const struct bus_frame *m, struct err *err)
{
	struct bus_use *u = l->bus.uses;
	while (u != NULL && !str_eq(u->topic, m->name))
		u = u->next;
	if (u == NULL)
		FAIL(err, ERR_MALFORMED, "deliver: %.*s was not subscribed", STR_FMT(m->name));
	if (u->held == u->credits)
		FAIL(err, ERR_MALFORMED, "deliver: %.*s is over its %u credits", STR_FMT(m->name), u->credits);
	u->held++;
	struct bus_delivery *d = delivery_new(m->name, m->body);
	d->use = u;
	d->tag = m->tag;
	d->link = l->link;
	delivery_push(&l->ready, d);
	return OK;
}

static void client_on_hello(struct local *l, struct peer *p)
{
	l->retry_ms = RETRY_MIN_MS;
	l->outage = (struct err){ 0 };
	for (const struct bus_use *u = l->bus.uses; u != NULL; u = u->next)
		send_frame(
			l, p,
			&(struct bus_frame){ .type = BUS_SUBSCRIBE, .number = (uint16_t)u->credits, .name = u->topic });
}

/* --- frames in and out -------------------------------------------------------------------------------------------*/

static fallible on_hello(struct local *l, struct peer *p, const struct bus_frame *m, struct err *err)
{
	if (p->greeted)
		FAIL(err, ERR_MALFORMED, "hello: said twice");
	if (l->bus.conf.hub)
		TRY(hub_on_hello(l, p, m, err));
	memcpy(p->name, m->name.p, m->name.n);
	p->greeted = true;
	tell(l, "bus connected", p, NULL);
	if (!l->bus.conf.hub)
		client_on_hello(l, p);
	return OK;
}

static fallible on_frame(struct local *l, struct peer *p, const struct frame *f, struct err *err)
{
	struct bus_frame m = { 0 };
	TRY(bus_frame_read(f, !l->bus.conf.hub, &m, err));
	if (!p->greeted && m.type != BUS_HELLO)
		FAIL(err, ERR_MALFORMED, "the first frame is no hello");
	switch (m.type) {
	case BUS_HELLO:
		return on_hello(l, p, &m, err);
	case BUS_SUBSCRIBE:
		return hub_on_subscribe(l, p, &m, err);
	case BUS_PUBLISH:
		return hub_on_publish(l, p, &m, err);
	case BUS_DELIVER:
		return client_on_deliver(l, &m, err);
	case BUS_ACK:
	case BUS_NACK:
		return hub_on_settle(l, p, &m, err);
	case BUS_PING:
		send_frame(l, p, &(struct bus_frame){ .type = BUS_PONG });
		return OK;
	case BUS_PONG:
	case BUS_TYPE_END:
		return OK;
	}
	return OK;
}

static fallible eat_frames(struct local *l, struct peer *p, struct err *err)
{
	size_t eaten = 0;
	for (;;) {
		struct frame f = { 0 };
		size_t used = 0;
		TRY(frame_read(str_sub(buf_str(&p->in), eaten, p->in.n), &f, &used, err));
		if (used == 0)
			break;
		TRY(on_frame(l, p, &f, err));
		eaten += used;
	}
	buf_eat(&p->in, eaten);
	return OK;
}

static fallible receive(struct local *l, struct peer *p, struct err *err)
{
	char *at = NULL;
	TRY(buf_room(&p->in, READ_CHUNK, &at, err));
	ssize_t n = recv(p->fd, at, READ_CHUNK, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return OK;
	if (n < 0)
		FAIL(err, ERR_IO, "receive: %s", strerrordesc_np(errno));
	if (n == 0)
		FAIL(err, ERR_CLOSED, "the peer closed the connection");
	p->in.n += (size_t)n;
	p->heard_ms = l->now_ms;
	return eat_frames(l, p, err);
}

static void flush(struct local *l, struct peer *p)
{
	if (p->out.n == 0 || p->doom.kind != ERR_NONE)
		return;
	ssize_t n = send(p->fd, p->out.p, p->out.n, MSG_NOSIGNAL);
	p->full = n < (ssize_t)p->out.n;
	if (n < 0) {
		if (errno == EAGAIN || errno == EINTR)
			return;
		struct err err = { 0 };
		err_set(&err, ERR_IO, "send: %s", strerrordesc_np(errno));
		doom(l, p, &err);
		return;
	}
	buf_eat(&p->out, (size_t)n);
	if (p->paused && p->out.n < OUT_PAUSE)
		hub_resume(l, p);
}

/* --- time --------------------------------------------------------------------------------------------------------*/

static int64_t peer_due(const struct peer *p)
{
	if (!p->greeted)
		return p->since_ms + HELLO_MS;
	return earlier(later(p->heard_ms, p->asked_ms) + PING_MS, p->heard_ms + DEAD_MS);
}

/* A quiet peer keeps no memory from its busy times. */
static void give_back(struct buf *b)
{
	if (b->n == 0)
		buf_done(b);
}

static void peer_on_time(struct local *l, struct peer *p)
{
	struct err err = { 0 };
	if (l->now_ms < peer_due(p))
		return;
	if (!p->greeted) {
		err_set(&err, ERR_TIMEOUT, "no hello within %d ms", HELLO_MS);
		doom(l, p, &err);
	} else if (l->now_ms - p->heard_ms >= DEAD_MS) {
		err_set(&err, ERR_TIMEOUT, "silent for %d ms", DEAD_MS);
		doom(l, p, &err);
	} else {
		p->asked_ms = l->now_ms;
		give_back(&p->in);
		give_back(&p->out);
		send_frame(l, p, &(struct bus_frame){ .type = BUS_PING });
	}
}

static void on_time(struct local *l)
{
	for (struct peer *p = l->peers; p != NULL; p = p->next)
		peer_on_time(l, p);
	if (l->bus.conf.hub)
		topics_run_due(&l->topics, l->now_ms);
	else if (l->peers == NULL && l->now_ms >= l->retry_at_ms)
		client_connect(l);
}

static int poll_wait_ms(const struct local *l)
{
	if (l->ready.head != NULL || l->events != NULL)
		return 0;
	int64_t due = l->now_ms + POLL_MAX_MS;
	for (const struct peer *p = l->peers; p != NULL; p = p->next)
		due = p->doom.kind != ERR_NONE ? l->now_ms : earlier(due, peer_due(p));
	if (l->bus.conf.hub) {
		due = earlier(due, topics_next_due(&l->topics));
		if (l->accept_at_ms > l->now_ms)
			due = earlier(due, l->accept_at_ms);
	} else if (l->peers == NULL) {
		due = earlier(due, l->retry_at_ms);
	}
	return (int)later(due - l->now_ms, 0);
}

/* --- the thread --------------------------------------------------------------------------------------------------*/

static void run_events(struct local *l)
{
	struct event *e = l->events;
	l->events = NULL;
	l->events_end = &l->events;
	(void)pthread_mutex_unlock(&l->bus.mu);
	while (e != NULL) {
		struct event *next = e->next;
		l->bus.conf.event(l->bus.conf.event_ctx, e->what, str_z(e->peer), e->failed ? &e->err : NULL);
		free(e);
		e = next;
	}
	(void)pthread_mutex_lock(&l->bus.mu);
}

static void run_handlers(struct local *l)
{
	for (int i = 0; i < HANDLERS_A_ROUND && !l->stopping; i++) {
		struct bus_delivery *d = delivery_pop(&l->ready);
		if (d == NULL)
			return;
		bus_lend(&l->bus, d);
		const struct bus_use *u = d->use;
		(void)pthread_mutex_unlock(&l->bus.mu);
		u->fn(u->ctx, d);
		(void)pthread_mutex_lock(&l->bus.mu);
	}
}

static nfds_t fill_polls(struct local *l)
{
	nfds_t n = 0;
	l->polls[n++] = (struct pollfd){ .fd = l->wake_fd, .events = POLLIN };
	bool accepting = l->listen_fd >= 0 && l->now_ms >= l->accept_at_ms;
	l->polls[n++] = (struct pollfd){ .fd = accepting ? l->listen_fd : -1, .events = POLLIN };
	for (const struct peer *p = l->peers; p != NULL; p = p->next)
		l->polls[n++] =
			(struct pollfd){ .fd = p->fd, .events = (short)(p->out.n > 0 ? POLLIN | POLLOUT : POLLIN) };
	return n;
}

/* Waits, then reads from everyone who has something. The list of peers changes only in the thread, so it is in the
 * order of polls still. */
static void poll_once(struct local *l)
{
	nfds_t n = fill_polls(l);
	int wait_ms = poll_wait_ms(l);
	l->polling = wait_ms > 0;
	(void)pthread_mutex_unlock(&l->bus.mu);
	int got = poll(l->polls, n, wait_ms);
	(void)pthread_mutex_lock(&l->bus.mu);
	l->polling = false;
	l->now_ms = clock_mono_ms(l->bus.conf.clk);
	if (got <= 0)
		return;
	eventfd_t ignored;
	if (l->polls[0].revents != 0)
		(void)eventfd_read(l->wake_fd, &ignored);
	nfds_t i = 2;
	for (struct peer *p = l->peers; p != NULL; p = p->next, i++) {
		struct err err = { 0 };
		if ((l->polls[i].revents & ~POLLOUT) != 0 && p->doom.kind == ERR_NONE && FAILED(receive(l, p, &err)))
			doom(l, p, &err);
	}
	if (l->polls[1].revents != 0)
		hub_accept(l);
}

static void flush_all(struct local *l)
{
	for (struct peer *p = l->peers; p != NULL; p = p->next)
		flush(l, p);
	l->gathered = false;
}

static void local_push(struct bus *b)
{
	struct local *l = local_of(b);
	if (!l->gathered || !l->polling)
		return; /* the thread sends before it waits again */
	l->gathered = false;
	for (struct peer *p = l->peers; p != NULL; p = p->next) {
		if (p->full)
			continue; /* poll(2) waits for it */
		flush(l, p);
		if (p->full)
			wake(l); /* it does not yet */
	}
	if (l->gathered) /* a peer with room again got more, and its turn may be over */
		wake(l);
}

static void *run(void *arg)
{
	struct local *l = (struct local *)arg;
	(void)prctl(PR_SET_NAME, "bus"); /* from another thread it would be a write to a file */
	(void)pthread_mutex_lock(&l->bus.mu);
	while (!l->stopping) {
		on_time(l);
		flush_all(l);
		drop_doomed(l);
		poll_once(l);
		if (l->events != NULL)
			run_events(l);
		run_handlers(l);
	}
	flush_all(l); /* acknowledgements given before the stop */
	while (l->peers != NULL) {
		struct peer *p = l->peers;
		l->peers = p->next;
		peer_free(l, p);
	}
	(void)pthread_mutex_unlock(&l->bus.mu);
	return NULL;
}

/* --- ops ---------------------------------------------------------------------------------------------------------*/

static void close_sockets(struct local *l)
{
	if (l->listen_fd >= 0)
		(void)unlink(l->path); /* before close: until then nobody takes the path for a stale one */
	fd_close(&l->listen_fd);
	fd_close(&l->wake_fd);
}

static void local_auto(struct local **l)
{
	if (*l == NULL)
		return;
	close_sockets(*l);
	free(*l);
}

static fallible local_open(const struct bus_conf *conf, struct bus **ret, struct err *err)
{
	struct str path = str_sub(conf->url, bus_local_ops.scheme.n, conf->url.n);
	AUTO(local_auto) struct local *l = (struct local *)mem_alloc(sizeof *l);
	l->listen_fd = l->wake_fd = -1;
	if (path.n == 0 || path.n >= sizeof l->path || str_find(path, '\0', 0) < path.n)
		FAIL(err, ERR_CONFIG, "bus url \"%.*s\" has a path of %zu characters, wanted 1 to %zu",
		     STR_FMT(conf->url), path.n, sizeof l->path - 1);
	memcpy(l->path, path.p, path.n);
	l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (l->wake_fd < 0)
		FAIL(err, ERR_IO, "eventfd: %s", strerrordesc_np(errno));
	/* The file's mode lets in who may come at all; with uids named, those are looked at one by one. */
	if (conf->hub)
		TRY(unix_listen(l->path, conf->peer_uid_count > 0 ? 0666 : 0600, &l->listen_fd, err));
	l->events_end = &l->events;
	l->retry_ms = RETRY_MIN_MS;
	l->topics.give = hub_give;
	l->topics.ctx = l;
	l->topics.queue_max = conf->queue_max;
	*ret = &l->bus;
	l = NULL;
	return OK;
}

static fallible subscribe_own(struct local *l, struct err *err)
{
	for (const struct bus_use *u = l->bus.uses; u != NULL; u = u->next) {
		struct sub *s = NULL;
		TRY(topics_subscribe(&l->topics, u->topic, u->credits, NULL, 0, &s, err));
	}
	return OK;
}

static fallible start_thread(struct local *l, struct err *err)
{
	sigset_t before;
	signals_block(&before);
	int failed = pthread_create(&l->thread, NULL, run, l);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (failed != 0)
		FAIL(err, ERR_IO, "start the bus thread: %s", strerrordesc_np(failed));
	return OK;
}

static fallible local_start(struct bus *b, struct err *err)
{
	struct local *l = local_of(b);
	(void)pthread_mutex_lock(&b->mu);
	l->now_ms = clock_mono_ms(b->conf.clk);
	l->retry_at_ms = l->now_ms;
	struct rc rc = b->conf.hub ? subscribe_own(l, err) : OK;
	if (rc.kind == ERR_NONE)
		rc = start_thread(l, err);
	l->running = rc.kind == ERR_NONE;
	(void)pthread_mutex_unlock(&b->mu);
	return rc;
}

static fallible client_publish(struct local *l, struct str topic, struct str body, struct err *err)
{
	struct peer *p = l->peers;
	if (p == NULL || !p->greeted || p->doom.kind != ERR_NONE)
		FAIL(err, ERR_UNAVAILABLE, "the bus is not connected");
	if (p->out.n >= OUT_PAUSE)
		FAIL(err, ERR_UNAVAILABLE, "the bus does not keep up: %zu bytes wait to be sent", p->out.n);
	send_frame(l, p, &(struct bus_frame){ .type = BUS_PUBLISH, .name = topic, .body = body });
	return OK;
}

static fallible local_publish(struct bus *b, struct str topic, struct str body, struct err *err)
{
	struct local *l = local_of(b);
	if (l->stopping)
		FAIL(err, ERR_UNAVAILABLE, "the bus is stopping");
	return b->conf.hub ? topics_publish(&l->topics, topic, body, err) : client_publish(l, topic, body, err);
}

static void local_settle(struct bus *b, struct bus_delivery *d, bool done)
{
	struct local *l = local_of(b);
	if (b->conf.hub) {
		struct rc rc = sub_settle(&l->topics, d->sub, d->tag, done, clock_mono_ms(b->conf.clk), NULL);
		assert(rc.kind == ERR_NONE); /* or a handler acknowledged twice */
		if (rc.kind == ERR_NONE && !done)
			wake(l); /* it has a due time now */
		return;
	}
	/* What came over an earlier connection the hub has given to somebody again. */
	if (l->peers != NULL && l->peers->greeted && d->link == l->link) {
		d->use->held--;
		send_frame(l, l->peers, &(struct bus_frame){ .type = done ? BUS_ACK : BUS_NACK, .tag = d->tag });
	}
	free(d);
}

static unsigned local_consumers(struct bus *b, struct str topic)
{
	(void)pthread_mutex_lock(&b->mu);
	unsigned n = topics_consumers(&local_of(b)->topics, topic);
	(void)pthread_mutex_unlock(&b->mu);
	return n;
}

static bool local_connected(struct bus *b)
{
	struct local *l = local_of(b);
	(void)pthread_mutex_lock(&b->mu);
	bool up = !l->stopping && (b->conf.hub ? l->running : l->peers != NULL && l->peers->greeted);
	(void)pthread_mutex_unlock(&b->mu);
	return up;
}

static void local_stop(struct bus *b)
{
	struct local *l = local_of(b);
	(void)pthread_mutex_lock(&b->mu);
	bool join = l->running && !l->stopping;
	l->stopping = true;
	wake(l);
	(void)pthread_mutex_unlock(&b->mu);
	if (join)
		(void)pthread_join(l->thread, NULL);
}

static void local_close(struct bus *b)
{
	struct local *l = local_of(b);
	free_ready(l);
	while (l->events != NULL) {
		struct event *e = l->events;
		l->events = e->next;
		free(e);
	}
	topics_done(&l->topics);
	close_sockets(l);
}

const struct bus_ops bus_local_ops = {
	.scheme = { "unix:", 5 },
	.open = local_open,
	.start = local_start,
	.publish = local_publish,
	.settle = local_settle,
	.push = local_push,
	.consumers = local_consumers,
	.connected = local_connected,
	.stop = local_stop,
	.close = local_close,
};

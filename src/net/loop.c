/* SPDX-License-Identifier: Apache-2.0
 *
 * loop.c: the event loop. A round is: run what was posted, run what is due, wait, hand out events, and only then free
 * the watches that were given up meanwhile, because one batch of epoll events may name a watch that an earlier event of
 * the same batch has ended.
 */
#include "net/loop.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define BATCH 64
#define TIMER_UNSET SIZE_MAX

struct loop_io {
	struct loop *l;
	void (*fn)(struct loop *l, unsigned events, void *arg); /* NULL: given up, waits for the end of the batch */
	void *arg;
	int fd;
	unsigned events; /* 0: not in epoll's set */
	struct loop_io *next_dead;
};

struct loop_timer {
	struct loop *l;
	void (*fn)(struct loop *l, void *arg);
	void *arg;
	int64_t due;
	size_t at; /* place in the heap, or TIMER_UNSET */
};

struct post {
	void (*fn)(struct loop *l, void *arg);
	void *arg;
};

struct post_list {
	struct post *p;
	size_t n, cap;
};

struct loop {
	const struct clock *clk;
	int64_t now;
	int epoll_fd, wake_fd;
	int doze_ms; /* -1: no limit */
	struct loop_io *dead;
	size_t io_count; /* alive */
	struct loop_timer **heap;
	size_t heap_n, heap_cap;
	size_t timer_count; /* made and not freed */
	atomic_bool stop;
	pthread_mutex_t lock; /* posts, asleep */
	struct post_list posts;
	struct post_list running; /* the loop's own: swapped with posts, so that fn runs without the lock */
	bool asleep;              /* in epoll_wait, or about to be: a post must write to wake_fd */
};

fallible loop_new(const struct clock *clk, struct loop **ret, struct err *err)
{
	int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_fd < 0)
		FAIL(err, ERR_IO, "epoll_create1: %s", strerror(errno));
	int wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = NULL };
	if (wake_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, wake_fd, &ev) != 0) {
		int saved = errno;
		fd_close(&wake_fd);
		fd_close(&epoll_fd);
		FAIL(err, ERR_IO, "eventfd: %s", strerror(saved));
	}
	struct loop *l = mem_alloc(sizeof *l);
	l->clk = clk;
	l->now = clock_mono_ms(clk);
	l->epoll_fd = epoll_fd;
	l->wake_fd = wake_fd;
	l->doze_ms = -1;
	atomic_init(&l->stop, false);
	pthread_mutex_init(&l->lock, NULL);
	*ret = l;
	return OK;
}

static void reap(struct loop *l)
{
	while (l->dead != NULL) {
		struct loop_io *io = l->dead;
		l->dead = io->next_dead;
		free(io);
	}
}

void loop_free(struct loop *l)
{
	if (l == NULL)
		return;
	assert(l->io_count == 0 && l->timer_count == 0);
	reap(l);
	fd_close(&l->wake_fd);
	fd_close(&l->epoll_fd);
	pthread_mutex_destroy(&l->lock);
	free(l->posts.p);
	free(l->running.p);
	free(l->heap);
	free(l);
}

/* Async-signal-safe. A full counter (EAGAIN) means that the loop has been woken already. */
static void wake(struct loop *l)
{
	int saved = errno;
	uint64_t one = 1;
	ssize_t n = write(l->wake_fd, &one, sizeof one);
	(void)n;
	errno = saved;
}

void loop_stop(struct loop *l)
{
	atomic_store(&l->stop, true);
	wake(l);
}

static void post(struct loop *l, struct post p, const atomic_bool *hurry)
{
	pthread_mutex_lock(&l->lock);
	struct post_list *q = &l->posts;
	if (q->n == q->cap) {
		q->cap = q->cap == 0 ? 32 : q->cap * 2;
		q->p = mem_grow(q->p, sizeof *q->p, q->cap);
	}
	q->p[q->n++] = p;
	/* One system call a nap, however many posts arrive meanwhile. Whoever sets hurry takes the lock before it sleeps, so
	 * either it finds this post or we find hurry set. */
	bool must_wake = l->asleep && (hurry == NULL || atomic_load(hurry));
	if (must_wake)
		l->asleep = false;
	/* Before the unlock: a loop that wakes by itself may run this post, end by it and be freed. */
	if (must_wake)
		wake(l);
	pthread_mutex_unlock(&l->lock);
}

void loop_post(struct loop *l, void (*fn)(struct loop *l, void *arg), void *arg)
{
	post(l, (struct post){ fn, arg }, NULL);
}

void loop_post_idly(struct loop *l, void (*fn)(struct loop *l, void *arg), void *arg, const atomic_bool *hurry)
{
	post(l, (struct post){ fn, arg }, hurry);
}

void loop_doze(struct loop *l, int max_ms)
{
	l->doze_ms = max_ms;
}

static void run_posts(struct loop *l)
{
	pthread_mutex_lock(&l->lock);
	l->asleep = false;
	struct post_list batch = l->posts;
	l->posts = l->running;
	l->posts.n = 0;
	pthread_mutex_unlock(&l->lock);
	l->running = batch;
	for (size_t i = 0; i < batch.n; i++)
		batch.p[i].fn(l, batch.p[i].arg);
}

static bool go_to_sleep(struct loop *l)
{
	pthread_mutex_lock(&l->lock);
	bool sleep = l->posts.n == 0;
	l->asleep = sleep;
	pthread_mutex_unlock(&l->lock);
	return sleep;
}

/* --- watches ---------------------------------------------------------------------------------------------------- */

static fallible io_control(struct loop_io *io, unsigned events, struct err *err)
{
	unsigned had = io->events & (LOOP_READ | LOOP_WRITE), want = events & (LOOP_READ | LOOP_WRITE);
	if (had == want)
		return OK;
	struct epoll_event ev = { .data.ptr = io };
	if (want & LOOP_READ)
		ev.events |= EPOLLIN;
	if (want & LOOP_WRITE)
		ev.events |= EPOLLOUT;
	if (events & LOOP_EXCLUSIVE)
		ev.events |= EPOLLEXCLUSIVE;
	/* With no event asked for, the kernel would still report a hang-up, again and again: so take it out instead.
	 * EPOLLEXCLUSIVE cannot be modified, only removed and added. */
	int op = had == 0 ? EPOLL_CTL_ADD : want == 0 ? EPOLL_CTL_DEL : EPOLL_CTL_MOD;
	if (op == EPOLL_CTL_MOD && (events & LOOP_EXCLUSIVE) != 0) {
		if (epoll_ctl(io->l->epoll_fd, EPOLL_CTL_DEL, io->fd, NULL) != 0)
			FAIL(err, ERR_IO, "epoll_ctl: %s", strerror(errno));
		op = EPOLL_CTL_ADD;
	}
	if (epoll_ctl(io->l->epoll_fd, op, io->fd, &ev) != 0)
		FAIL(err, ERR_IO, "epoll_ctl: %s", strerror(errno));
	io->events = events;
	return OK;
}

fallible loop_watch(struct loop *l, int fd, unsigned events, void (*fn)(struct loop *l, unsigned events, void *arg),
		    void *arg, struct loop_io **ret, struct err *err)
{
	struct loop_io *io = mem_alloc(sizeof *io);
	*io = (struct loop_io){ .l = l, .fn = fn, .arg = arg, .fd = fd };
	struct rc rc = io_control(io, events, err);
	if (FAILED(rc)) {
		free(io);
		return rc;
	}
	io->events = events;
	l->io_count++;
	*ret = io;
	return OK;
}

fallible loop_io_set(struct loop_io *io, unsigned events, struct err *err)
{
	return io_control(io, events | (io->events & LOOP_EXCLUSIVE), err);
}

void loop_io_free(struct loop_io *io)
{
	if (io == NULL)
		return;
	if (io->events & (LOOP_READ | LOOP_WRITE))
		(void)epoll_ctl(io->l->epoll_fd, EPOLL_CTL_DEL, io->fd, NULL);
	io->fn = NULL;
	io->next_dead = io->l->dead;
	io->l->dead = io;
	io->l->io_count--;
}

static void dispatch(struct loop *l, const struct epoll_event *ev)
{
	struct loop_io *io = ev->data.ptr;
	if (io == NULL) {
		uint64_t count;
		ssize_t n = read(l->wake_fd, &count, sizeof count);
		(void)n;
		return;
	}
	if (io->fn == NULL)
		return;
	unsigned events = 0;
	if (ev->events & EPOLLIN)
		events |= LOOP_READ;
	if (ev->events & EPOLLOUT)
		events |= LOOP_WRITE;
	/* Whoever looks only for what it asked for must meet the error too, or a level-triggered loop spins on it. */
	if (ev->events & (EPOLLHUP | EPOLLERR))
		events |= LOOP_HANGUP | (io->events & (LOOP_READ | LOOP_WRITE));
	io->fn(l, events, io->arg);
}

/* --- timers: a binary heap by due time --------------------------------------------------------------------------- */

static void heap_put(struct loop *l, size_t at, struct loop_timer *t)
{
	l->heap[at] = t;
	t->at = at;
}

static void heap_up(struct loop *l, size_t at, struct loop_timer *t)
{
	while (at > 0 && l->heap[(at - 1) / 2]->due > t->due) {
		heap_put(l, at, l->heap[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	heap_put(l, at, t);
}

static void heap_down(struct loop *l, size_t at, struct loop_timer *t)
{
	for (;;) {
		size_t child = 2 * at + 1;
		if (child >= l->heap_n)
			break;
		if (child + 1 < l->heap_n && l->heap[child + 1]->due < l->heap[child]->due)
			child++;
		if (l->heap[child]->due >= t->due)
			break;
		heap_put(l, at, l->heap[child]);
		at = child;
	}
	heap_put(l, at, t);
}

static void heap_settle(struct loop *l, size_t at, struct loop_timer *t)
{
	if (at > 0 && l->heap[(at - 1) / 2]->due > t->due)
		heap_up(l, at, t);
	else
		heap_down(l, at, t);
}

struct loop_timer *loop_timer_new(struct loop *l, void (*fn)(struct loop *l, void *arg), void *arg)
{
	struct loop_timer *t = mem_alloc(sizeof *t);
	*t = (struct loop_timer){ .l = l, .fn = fn, .arg = arg, .at = TIMER_UNSET };
	l->timer_count++;
	return t;
}

void loop_timer_set(struct loop_timer *t, int64_t after_ms)
{
	struct loop *l = t->l;
	if (after_ms < 0)
		after_ms = 0;
	if (__builtin_add_overflow(l->now, after_ms, &t->due))
		t->due = INT64_MAX;
	if (t->at != TIMER_UNSET) {
		heap_settle(l, t->at, t);
		return;
	}
	if (l->heap_n == l->heap_cap) {
		l->heap_cap = l->heap_cap == 0 ? 32 : l->heap_cap * 2;
		l->heap = mem_grow(l->heap, sizeof(struct loop_timer *), l->heap_cap);
	}
	heap_up(l, l->heap_n++, t);
}

void loop_timer_stop(struct loop_timer *t)
{
	if (t->at == TIMER_UNSET)
		return;
	struct loop *l = t->l;
	struct loop_timer *last = l->heap[--l->heap_n];
	if (last != t)
		heap_settle(l, t->at, last);
	t->at = TIMER_UNSET;
}

void loop_timer_free(struct loop_timer *t)
{
	if (t == NULL)
		return;
	loop_timer_stop(t);
	t->l->timer_count--;
	free(t);
}

static void run_timers(struct loop *l)
{
	/* As many as are armed now: a timer that sets itself to zero must not keep the round from ending. */
	for (size_t most = l->heap_n; most > 0 && l->heap_n > 0 && l->heap[0]->due <= l->now; most--) {
		struct loop_timer *t = l->heap[0];
		loop_timer_stop(t);
		t->fn(l, t->arg); /* may free t */
	}
}

static int wait_ms(const struct loop *l)
{
	if (l->heap_n == 0)
		return l->doze_ms;
	int64_t left = l->heap[0]->due - l->now;
	if (left <= 0)
		return 0;
	if (l->doze_ms >= 0 && left > l->doze_ms)
		return l->doze_ms;
	return left > 3600 * 1000 ? 3600 * 1000 : (int)left;
}

int64_t loop_now_ms(const struct loop *l)
{
	return l->now;
}

fallible loop_run(struct loop *l, struct err *err)
{
	struct epoll_event events[BATCH];
	for (;;) {
		l->now = clock_mono_ms(l->clk);
		run_timers(l);
		run_posts(l);
		reap(l);
		/* Taken back, so that a loop may be run again; a stop that came before the run counts. */
		if (atomic_exchange(&l->stop, false))
			return OK;
		bool sleep = go_to_sleep(l);
		int n = epoll_wait(l->epoll_fd, events, BATCH, sleep ? wait_ms(l) : 0);
		if (n < 0 && errno != EINTR)
			FAIL(err, ERR_IO, "epoll_wait: %s", strerror(errno));
		l->now = clock_mono_ms(l->clk);
		/* Awake. And an event may be the answer to what another thread did before it posted. */
		run_posts(l);
		for (int i = 0; i < n; i++)
			dispatch(l, &events[i]);
		reap(l);
	}
}

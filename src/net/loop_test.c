/* SPDX-License-Identifier: Apache-2.0
 *
 * loop_test.c: watches, timers, posts and stops, with the orders of events that a loop gets wrong.
 */
#include "net/loop.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

struct pair {
	int a, b;
};

static struct pair make_pair(void)
{
	int fds[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	return (struct pair){ fds[0], fds[1] };
}

static struct loop *make_loop(void)
{
	struct err err = { 0 };
	struct loop *l = NULL;
	assert_int_equal(loop_new(&clock_system, &l, &err).kind, ERR_NONE);
	return l;
}

static void run(struct loop *l)
{
	struct err err = { 0 };
	assert_int_equal(loop_run(l, &err).kind, ERR_NONE);
}

static struct loop_io *watch(struct loop *l, int fd, unsigned events, void (*fn)(struct loop *, unsigned, void *),
			     void *arg)
{
	struct err err = { 0 };
	struct loop_io *io = NULL;
	assert_int_equal(loop_watch(l, fd, events, fn, arg, &io, &err).kind, ERR_NONE);
	return io;
}

/* What a callback saw, and what it shall do. */
struct seen {
	unsigned events, calls, stop_after;
	struct loop_io *io, *other;
	struct seen *other_seen;
};

static void note(struct loop *l, unsigned events, void *arg)
{
	struct seen *s = arg;
	s->events |= events;
	if (++s->calls >= s->stop_after)
		loop_stop(l);
}

static void stop_now(struct loop *l, void *arg)
{
	(void)arg;
	loop_stop(l);
}

static void events_are_reported_until_they_are_served(void **state)
{
	(void)state;
	struct loop *l = make_loop();
	struct pair p = make_pair();
	struct seen s = { .stop_after = 3 };
	struct loop_io *io = watch(l, p.a, LOOP_READ, note, &s);
	assert_int_equal(write(p.b, "x", 1), 1);
	run(l);
	assert_int_equal(s.calls, 3);
	assert_int_equal(s.events, LOOP_READ);

	struct err err = { 0 };
	assert_int_equal(loop_io_set(io, LOOP_WRITE, &err).kind, ERR_NONE);
	s = (struct seen){ .stop_after = 1 };
	run(l);
	assert_int_equal(s.events, LOOP_WRITE);
	loop_io_free(io);
	close(p.a);
	close(p.b);
	loop_free(l);
}

static void hangup_comes_with_what_was_asked_for_and_not_at_all_when_nothing_was(void **state)
{
	(void)state;
	struct loop *l = make_loop();
	struct pair p = make_pair();
	struct seen s = { .stop_after = 1 };
	struct loop_io *io = watch(l, p.a, LOOP_WRITE, note, &s);
	close(p.b);
	run(l);
	assert_int_equal(s.events, LOOP_WRITE | LOOP_HANGUP);

	struct err err = { 0 };
	assert_int_equal(loop_io_set(io, 0, &err).kind, ERR_NONE);
	s = (struct seen){ .stop_after = 1 };
	struct loop_timer *t = loop_timer_new(l, stop_now, NULL);
	loop_timer_set(t, 20);
	run(l);
	assert_int_equal(s.calls, 0);
	assert_int_equal(loop_io_set(io, LOOP_READ, &err).kind, ERR_NONE);
	run(l);
	assert_int_equal(s.events, LOOP_READ | LOOP_HANGUP);
	loop_timer_free(t);
	loop_io_free(io);
	close(p.a);
	loop_free(l);
}

static void free_other(struct loop *l, unsigned events, void *arg)
{
	struct seen *s = arg;
	(void)events;
	s->calls++;
	loop_io_free(s->io);
	if (s->other_seen->io != NULL) {
		loop_io_free(s->other_seen->io);
		s->other_seen->io = NULL;
	}
	s->io = NULL;
	loop_post(l, stop_now, NULL);
}

/* Both sockets are readable in one batch; whichever comes first ends both watches. */
static void freed_watch_gets_no_event_of_the_same_batch(void **state)
{
	(void)state;
	struct loop *l = make_loop();
	struct pair p = make_pair(), q = make_pair();
	struct seen a = { 0 }, b = { 0 };
	a.other_seen = &b;
	b.other_seen = &a;
	a.io = watch(l, p.a, LOOP_READ, free_other, &a);
	b.io = watch(l, q.a, LOOP_READ, free_other, &b);
	assert_int_equal(write(p.b, "x", 1), 1);
	assert_int_equal(write(q.b, "x", 1), 1);
	run(l);
	assert_int_equal(a.calls + b.calls, 1);
	close(p.a);
	close(p.b);
	close(q.a);
	close(q.b);
	loop_free(l);
}

static void watching_a_closed_descriptor_is_an_error(void **state)
{
	(void)state;
	struct loop *l = make_loop();
	struct err err = { 0 };
	struct loop_io *io = NULL;
	struct seen s = { 0 };
	assert_int_equal(loop_watch(l, -1, LOOP_READ, note, &s, &io, &err).kind, ERR_IO);
	assert_null(io);
	loop_free(l);
}

#define TIMERS 40
struct ticks {
	struct loop_timer *t[TIMERS];
	int64_t due[TIMERS];
	int64_t last;
	unsigned fired, wanted;
	bool out_of_order;
};
struct tick {
	struct ticks *all;
	unsigned i;
};

static void tick(struct loop *l, void *arg)
{
	struct tick *k = arg;
	if (k->all->due[k->i] < k->all->last)
		k->all->out_of_order = true;
	k->all->last = k->all->due[k->i];
	loop_timer_free(k->all->t[k->i]); /* in its own callback */
	k->all->t[k->i] = NULL;
	if (++k->all->fired == k->all->wanted)
		loop_stop(l);
}

static void timers_fire_in_order_of_their_due_times(void **state)
{
	(void)state;
	struct loop *l = make_loop();
	struct ticks all = { .wanted = TIMERS - TIMERS / 4 };
	struct tick ks[TIMERS];
	for (unsigned i = 0; i < TIMERS; i++) {
		ks[i] = (struct tick){ &all, i };
		all.t[i] = loop_timer_new(l, tick, &ks[i]);
		loop_timer_set(all.t[i], 1000);
	}
	for (unsigned i = 0; i < TIMERS; i++) { /* set again: replaces */
		all.due[i] = (i * 7919) % 30;
		loop_timer_set(all.t[i], all.due[i]);
	}
	for (unsigned i = 0; i < TIMERS; i += 4)
		loop_timer_stop(all.t[i]);
	run(l);
	assert_int_equal(all.fired, all.wanted);
	assert_false(all.out_of_order);
	for (unsigned i = 0; i < TIMERS; i++) {
		assert_true((all.t[i] != NULL) == (i % 4 == 0));
		loop_timer_free(all.t[i]);
	}
	loop_free(l);
}

struct again {
	struct loop_timer *t;
	unsigned calls;
};

static void set_again(struct loop *l, void *arg)
{
	struct again *a = arg;
	(void)l;
	a->calls++;
	loop_timer_set(a->t, 0);
}

static void timer_set_to_zero_in_its_callback_starves_nobody(void **state)
{
	(void)state;
	struct loop *l = make_loop();
	struct pair p = make_pair();
	struct seen s = { .stop_after = 1 };
	struct again a = { 0 };
	a.t = loop_timer_new(l, set_again, &a);
	loop_timer_set(a.t, 0);
	struct loop_io *io = watch(l, p.a, LOOP_WRITE, note, &s);
	run(l);
	assert_int_equal(s.calls, 1);
	assert_true(a.calls >= 1);
	loop_io_free(io);
	loop_timer_free(a.t);
	close(p.a);
	close(p.b);
	loop_free(l);
}

static void loop_time_advances_with_the_timer(void **state)
{
	(void)state;
	struct loop *l = make_loop();
	int64_t before = loop_now_ms(l);
	struct loop_timer *t = loop_timer_new(l, stop_now, NULL);
	loop_timer_set(t, 25);
	run(l);
	assert_true(loop_now_ms(l) - before >= 25);
	loop_timer_free(t);
	loop_free(l);
}

#define POSTERS 4
#define POSTS 5000
struct posting {
	struct loop *l;
	unsigned ran; /* the loop's thread only */
	unsigned last[POSTERS];
	bool out_of_order;
};
struct posted {
	struct posting *all;
	unsigned poster, number;
};

static void on_posted(struct loop *l, void *arg)
{
	struct posted *p = arg;
	if (p->number != p->all->last[p->poster]++)
		p->all->out_of_order = true;
	if (++p->all->ran == POSTERS * POSTS)
		loop_stop(l);
}

static struct posted posted_table[POSTERS][POSTS];

static void *poster(void *arg)
{
	struct posted *mine = arg;
	for (unsigned i = 0; i < POSTS; i++)
		loop_post(mine[i].all->l, on_posted, &mine[i]);
	return NULL;
}

static void posts_of_many_threads_all_run_each_threads_in_order(void **state)
{
	(void)state;
	struct posting all = { .l = make_loop() };
	pthread_t threads[POSTERS];
	for (unsigned t = 0; t < POSTERS; t++) {
		for (unsigned i = 0; i < POSTS; i++)
			posted_table[t][i] = (struct posted){ &all, t, i };
		assert_int_equal(pthread_create(&threads[t], NULL, poster, posted_table[t]), 0);
	}
	run(all.l);
	for (unsigned t = 0; t < POSTERS; t++)
		pthread_join(threads[t], NULL);
	assert_int_equal(all.ran, POSTERS * POSTS);
	assert_false(all.out_of_order);
	loop_free(all.l);
}

static void *post_late(void *arg)
{
	nanosleep(&(struct timespec){ .tv_nsec = 30 * 1000 * 1000 }, NULL);
	loop_post(arg, stop_now, NULL);
	return NULL;
}

static void post_wakes_a_sleeping_loop_and_one_before_the_run_is_kept(void **state)
{
	(void)state;
	struct loop *l = make_loop();
	pthread_t t;
	assert_int_equal(pthread_create(&t, NULL, post_late, l), 0);
	run(l); /* hangs when the wake-up is lost */
	pthread_join(t, NULL);
	loop_post(l, stop_now, NULL);
	run(l);
	loop_stop(l); /* before the run: counts */
	run(l);
	loop_free(l);
}

/* A post that wakes nobody, then an event of the same cause. */
struct idle_post {
	struct loop *l;
	int fd; /* -1: no event comes */
	atomic_bool hurry;
	char order[4];
};

static void on_idle_post(struct loop *l, void *arg)
{
	struct idle_post *p = arg;
	p->order[strlen(p->order)] = 'p';
	if (p->fd < 0)
		loop_stop(l);
}

static void on_its_event(struct loop *l, unsigned events, void *arg)
{
	(void)events;
	struct idle_post *p = arg;
	p->order[strlen(p->order)] = 'e';
	loop_stop(l);
}

static void *post_idly(void *arg)
{
	struct idle_post *p = arg;
	nanosleep(&(struct timespec){ .tv_nsec = 20 * 1000 * 1000 }, NULL); /* the loop sleeps by now */
	loop_post_idly(p->l, on_idle_post, p, &p->hurry);
	if (p->fd >= 0)
		assert_int_equal(write(p->fd, "x", 1), 1);
	return NULL;
}

static void give_up(struct loop *l, void *arg)
{
	(void)l;
	(void)arg;
	fail_msg("the post never came");
}

static void idle_posts_come_with_the_next_event_or_the_next_look_or_in_a_hurry(void **state)
{
	(void)state;
	static const struct {
		bool event, hurry;
		int doze_ms;
		const char *want;
	} rows[] = { { true, false, -1, "pe" }, { false, true, -1, "p" }, { false, false, 50, "p" } };
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int ends[2];
		assert_int_equal(pipe(ends), 0);
		struct idle_post p = { .l = make_loop(), .fd = rows[i].event ? ends[1] : -1 };
		atomic_store(&p.hurry, rows[i].hurry);
		struct loop_io *io = NULL;
		struct err err = { 0 };
		assert_int_equal(loop_watch(p.l, ends[0], LOOP_READ, on_its_event, &p, &io, &err).kind, ERR_NONE);
		struct loop_timer *limit = loop_timer_new(p.l, give_up, NULL);
		loop_timer_set(limit, 20000);
		loop_doze(p.l, rows[i].doze_ms);
		pthread_t t;
		assert_int_equal(pthread_create(&t, NULL, post_idly, &p), 0);
		assert_int_equal(loop_run(p.l, &err).kind, ERR_NONE);
		pthread_join(t, NULL);
		assert_string_equal(p.order, rows[i].want);
		loop_io_free(io);
		loop_timer_free(limit);
		loop_free(p.l);
		close(ends[0]);
		close(ends[1]);
	}
}

static void stop_by_post(struct loop *l, void *arg)
{
	(void)arg;
	loop_stop(l);
}

static void *post_the_last(void *arg)
{
	nanosleep(&(struct timespec){ .tv_nsec = 1000 * 1000 }, NULL);
	loop_post(arg, stop_by_post, NULL);
	return NULL;
}

/* The loop may look by itself while the poster is about to wake it. For the sanitizers to see. */
static void a_loop_may_be_freed_as_soon_as_the_last_post_has_run(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 200; i++) {
		struct err err = { 0 };
		struct loop *l = make_loop();
		loop_doze(l, 1);
		pthread_t t;
		assert_int_equal(pthread_create(&t, NULL, post_the_last, l), 0);
		assert_int_equal(loop_run(l, &err).kind, ERR_NONE);
		loop_free(l);
		pthread_join(t, NULL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(events_are_reported_until_they_are_served),
		cmocka_unit_test(hangup_comes_with_what_was_asked_for_and_not_at_all_when_nothing_was),
		cmocka_unit_test(freed_watch_gets_no_event_of_the_same_batch),
		cmocka_unit_test(watching_a_closed_descriptor_is_an_error),
		cmocka_unit_test(timers_fire_in_order_of_their_due_times),
		cmocka_unit_test(timer_set_to_zero_in_its_callback_starves_nobody),
		cmocka_unit_test(loop_time_advances_with_the_timer),
		cmocka_unit_test(posts_of_many_threads_all_run_each_threads_in_order),
		cmocka_unit_test(post_wakes_a_sleeping_loop_and_one_before_the_run_is_kept),
		cmocka_unit_test(idle_posts_come_with_the_next_event_or_the_next_look_or_in_a_hurry),
		cmocka_unit_test(a_loop_may_be_freed_as_soon_as_the_last_post_has_run),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

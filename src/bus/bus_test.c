/* SPDX-License-Identifier: Apache-2.0
 *
 * bus_test.c: a hub and its clients in one process over a real socket: deliveries, credits, losses, restarts, peers
 * that break the protocol, and traffic from many threads.
 */
#include "bus/bus.h"

#include "bus/proto.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#define T STR("work")
#define WAIT_MS 20000 /* for what must happen; only a failing test waits it out */
#define NOBODY 65534

/* Most tests are about something else than who may do what. */
static const struct bus_role everybody[] = { { "*", "*", "*" } };

/* Waits for a condition that other threads make true. */
#define EVENTUALLY(cond)                                         \
	do {                                                     \
		int tries_ = 0;                                  \
		while (!(cond) && tries_++ < WAIT_MS / 2)        \
			(void)poll(NULL, 0, 2);                  \
		if (!(cond))                                     \
			fail_msg("%s did not come true", #cond); \
	} while (0)

/* --- a place, a clock, and what was told -------------------------------------------------------------------------*/

struct place {
	char folder[64];
	char path[96];
	char url[104];
};

static int place_make(void **state)
{
	struct place *at = (struct place *)mem_alloc(sizeof *at);
	(void)snprintf(at->folder, sizeof at->folder, "/tmp/bus-test-XXXXXX");
	if (mkdtemp(at->folder) == NULL)
		return -1;
	(void)chmod(at->folder, 0755);
	(void)snprintf(at->path, sizeof at->path, "%s/s", at->folder);
	(void)snprintf(at->url, sizeof at->url, "unix:%s", at->path);
	*state = at;
	return 0;
}

static int place_remove(void **state)
{
	struct place *at = (struct place *)*state;
	(void)unlink(at->path);
	int rc = rmdir(at->folder);
	free(at);
	return rc;
}

/* The system's clock with a skip that tests add to. */
struct skip_clock {
	struct clock clk;
	_Atomic int64_t skip_ms;
};

static int64_t skip_mono_ms(void *ctx)
{
	struct skip_clock *c = (struct skip_clock *)ctx;
	return clock_mono_ms(&clock_system) + c->skip_ms;
}

static struct skip_clock *skip_clock_init(struct skip_clock *c)
{
	*c = (struct skip_clock){ .clk = { .mono_ms = skip_mono_ms, .ctx = c } };
	return c;
}

/* All events as text, "what peer: detail" a line. */
struct told {
	pthread_mutex_t mu;
	char text[32768];
	size_t n;
};
#define TOLD_NEW                                \
	{                                       \
		.mu = PTHREAD_MUTEX_INITIALIZER \
	}

static void tell(void *ctx, const char *what, struct str peer, const struct err *err)
{
	struct told *t = (struct told *)ctx;
	(void)pthread_mutex_lock(&t->mu);
	int n = snprintf(t->text + t->n, sizeof t->text - t->n, "%s %.*s: %s\n", what, STR_FMT(peer),
			 err == NULL ? "" : err->detail);
	if (n > 0 && (size_t)n < sizeof t->text - t->n)
		t->n += (size_t)n;
	(void)pthread_mutex_unlock(&t->mu);
}

static int was_told(struct told *t, const char *words)
{
	int count = 0;
	(void)pthread_mutex_lock(&t->mu);
	for (const char *p = strstr(t->text, words); p != NULL; p = strstr(p + 1, words))
		count++;
	(void)pthread_mutex_unlock(&t->mu);
	return count;
}

/* --- handlers ----------------------------------------------------------------------------------------------------*/

#define KEPT_MAX 64
enum habit { ACK, KEEP, NACK_ONCE };
struct count {
	_Atomic unsigned char n;
};
struct worker {
	enum habit habit;
	_Atomic unsigned got;
	pthread_mutex_t mu;
	struct bus_delivery *kept[KEPT_MAX];
	unsigned kept_count;
	char first[64];     /* body of the first delivery */
	struct count *seen; /* counts by the number that a body is */
};
#define WORKER(h)                                             \
	{                                                     \
		.habit = (h), .mu = PTHREAD_MUTEX_INITIALIZER \
	}

static void handle(void *ctx, struct bus_delivery *d)
{
	struct worker *w = (struct worker *)ctx;
	struct str body = bus_delivery_body(d);
	unsigned before = atomic_load(&w->got);
	if (before == 0)
		(void)snprintf(w->first, sizeof w->first, "%.*s", STR_FMT(body));
	uint64_t number = 0;
	if (w->seen != NULL && !FAILED(str_u64(body, 1000000, &number, NULL)))
		w->seen[number].n++;
	if (w->habit == KEEP) {
		(void)pthread_mutex_lock(&w->mu);
		if (w->kept_count < KEPT_MAX)
			w->kept[w->kept_count++] = d;
		(void)pthread_mutex_unlock(&w->mu);
	} else if (w->habit == NACK_ONCE && before == 0) {
		bus_nack(d);
	} else {
		bus_ack(d);
	}
	w->got++;
}

static struct bus_delivery *take_kept(struct worker *w)
{
	(void)pthread_mutex_lock(&w->mu);
	struct bus_delivery *d = w->kept_count == 0 ? NULL : w->kept[--w->kept_count];
	(void)pthread_mutex_unlock(&w->mu);
	return d;
}

static void ack_all(struct worker *w)
{
	for (struct bus_delivery *d = take_kept(w); d != NULL; d = take_kept(w))
		bus_ack(d);
}

/* --- buses -------------------------------------------------------------------------------------------------------*/

static struct bus *new_bus(const struct place *at, bool hub, const char *name, struct told *told,
			   const struct clock *clk)
{
	struct bus *b = NULL;
	struct err err = { 0 };
	struct bus_conf conf = { .url = str_z(at->url),
				 .hub = hub,
				 .name = str_z(name),
				 .clk = clk,
				 .queue_max = 40000,
				 .roles = everybody,
				 .role_count = 1,
				 .event = told == NULL ? NULL : tell,
				 .event_ctx = told };
	if (FAILED(bus_new(&conf, &b, &err)))
		fail_msg("bus_new: %s", err.detail);
	return b;
}

static void consume(struct bus *b, unsigned credits, struct worker *w)
{
	assert_false(FAILED(bus_consume(b, T, credits, handle, w, NULL)));
}

static void start(struct bus *b)
{
	assert_false(FAILED(bus_start(b, NULL)));
	EVENTUALLY(bus_connected(b));
}

static struct bus *start_hub(const struct place *at, struct told *told)
{
	struct bus *b = new_bus(at, true, "api", told, NULL);
	start(b);
	return b;
}

static struct bus *start_consumer(const struct place *at, const char *name, unsigned credits, struct worker *w)
{
	struct bus *b = new_bus(at, false, name, NULL, NULL);
	consume(b, credits, w);
	start(b);
	return b;
}

static void post(struct bus *b, const char *body)
{
	struct err err = { 0 };
	if (FAILED(bus_publish(b, T, str_z(body), &err)))
		fail_msg("publish: %s", err.detail);
}

static void messages_reach_handlers_both_ways(void **state)
{
	const struct place *at = (const struct place *)*state;
	struct worker up = WORKER(ACK);
	struct worker down = WORKER(ACK);
	struct bus *hub = new_bus(at, true, "api", NULL, NULL);
	assert_false(FAILED(bus_consume(hub, STR("results"), 4, handle, &up, NULL)));
	start(hub);
	struct bus *client = start_consumer(at, "signer", 4, &down);
	post(hub, "job");
	assert_false(FAILED(bus_publish(client, STR("results"), STR("done\0!"), NULL)));
	EVENTUALLY(down.got == 1 && up.got == 1);
	assert_string_equal(down.first, "job");
	assert_string_equal(up.first, "done");
	assert_int_equal(bus_consumers(hub, T), 1);
	assert_int_equal(bus_consumers(hub, STR("results")), 1);
	assert_int_equal(bus_consumers(hub, STR("nothing")), 0);
	bus_free(client);
	EVENTUALLY(bus_consumers(hub, T) == 0);
	bus_free(hub);
}

/* With one credit: the second job only comes when the first one's acknowledgement was there. */
static void an_answer_publishes_and_gives_the_credit_back(void **state)
{
	const struct place *at = (const struct place *)*state;
	struct worker up = WORKER(ACK);
	struct worker down = WORKER(KEEP);
	struct bus *hub = new_bus(at, true, "api", NULL, NULL);
	assert_false(FAILED(bus_consume(hub, STR("results"), 4, handle, &up, NULL)));
	start(hub);
	struct bus *client = start_consumer(at, "signer", 1, &down);
	post(hub, "one");
	post(hub, "two");
	EVENTUALLY(down.got == 1 && down.kept_count == 1);
	struct bus_delivery *one = take_kept(&down);
	assert_true(FAILED(bus_answer(one, STR("No Topic"), STR("x"), NULL)));
	assert_string_equal(down.first, "one"); /* still ours */
	assert_false(FAILED(bus_answer(one, STR("results"), STR("done"), NULL)));
	EVENTUALLY(up.got == 1 && down.got == 2);
	assert_string_equal(up.first, "done");
	bus_stop(client);
	EVENTUALLY(down.kept_count == 1);
	struct bus_delivery *two = take_kept(&down);
	struct err err = { 0 };
	assert_int_equal(bus_answer(two, STR("results"), STR("late"), &err).kind, ERR_UNAVAILABLE);
	bus_nack(two);
	bus_free(client);
	bus_free(hub);
	assert_int_equal(up.got, 1);
}

static void credits_are_the_most_that_a_consumer_holds(void **state)
{
	const struct place *at = (const struct place *)*state;
	struct worker w = WORKER(KEEP);
	struct bus *hub = start_hub(at, NULL);
	struct bus *client = start_consumer(at, "signer", 3, &w);
	for (int i = 0; i < 10; i++)
		post(hub, "x");
	EVENTUALLY(w.got == 3);
	(void)poll(NULL, 0, 50); /* nothing more comes */
	assert_int_equal(w.got, 3);
	bus_ack(take_kept(&w));
	EVENTUALLY(w.got == 4);
	bus_ack(take_kept(&w));
	bus_ack(take_kept(&w));
	EVENTUALLY(w.got == 6);
	bus_stop(client);
	ack_all(&w);
	bus_free(client);
	bus_free(hub);
}

static void a_refused_message_comes_again_after_a_second(void **state)
{
	const struct place *at = (const struct place *)*state;
	static const bool hub_handles[] = { false, true };
	for (size_t i = 0; i < ARRAY_LEN(hub_handles); i++) {
		struct worker w = WORKER(NACK_ONCE);
		struct bus *hub = new_bus(at, true, "api", NULL, NULL);
		if (hub_handles[i])
			consume(hub, 1, &w);
		start(hub);
		struct bus *client = hub_handles[i] ? NULL : start_consumer(at, "signer", 1, &w);
		int64_t before = clock_mono_ms(&clock_system);
		post(hub, "x");
		EVENTUALLY(w.got == 2);
		assert_true(clock_mono_ms(&clock_system) - before >= 990);
		bus_free(client);
		bus_free(hub);
	}
}

static void what_a_dead_consumer_held_goes_to_another(void **state)
{
	const struct place *at = (const struct place *)*state;
	struct worker dies = WORKER(KEEP);
	struct worker lives = WORKER(ACK);
	struct bus *hub = start_hub(at, NULL);
	struct bus *first = start_consumer(at, "a", 8, &dies);
	for (int i = 0; i < 8; i++)
		post(hub, "x");
	EVENTUALLY(dies.got == 8);
	struct bus *second = start_consumer(at, "b", 8, &lives);
	bus_stop(first);
	EVENTUALLY(lives.got == 8);
	ack_all(&dies); /* late: nobody minds */
	bus_free(first);
	bus_free(second);
	bus_free(hub);
}

static void clients_come_back_to_a_hub_that_restarts(void **state)
{
	const struct place *at = (const struct place *)*state;
	struct told told = TOLD_NEW;
	struct worker w = WORKER(KEEP);
	struct bus *client = new_bus(at, false, "signer", &told, NULL);
	consume(client, 2, &w);
	assert_false(FAILED(bus_start(client, NULL)));
	EVENTUALLY(was_told(&told, "bus unreachable") == 1);
	struct err err = { 0 };
	assert_int_equal(bus_publish(client, T, STR("x"), &err).kind, ERR_UNAVAILABLE);
	assert_non_null(strstr(err.detail, "not connected"));
	for (int round = 1; round <= 3; round++) {
		struct bus *hub = start_hub(at, NULL);
		EVENTUALLY(bus_consumers(hub, T) == 1 && bus_connected(client));
		post(hub, "x");
		EVENTUALLY(w.got == (unsigned)(2 * round - 1));
		/* The one that is held since an earlier round is of no use to this hub: its credit is not ours. */
		post(hub, "x");
		EVENTUALLY(w.got == (unsigned)(2 * round));
		bus_free(hub);
		EVENTUALLY(!bus_connected(client));
		assert_int_equal(was_told(&told, "bus connected api"), round);
		bus_ack(take_kept(&w));
	}
	ack_all(&w);
	bus_free(client);
}

static void acknowledgements_of_an_earlier_connection_are_dropped(void **state)
{
	const struct place *at = (const struct place *)*state;
	struct told told = TOLD_NEW;
	struct worker w = WORKER(KEEP);
	struct bus *hub = start_hub(at, NULL);
	struct bus *client = start_consumer(at, "signer", 1, &w);
	post(hub, "x");
	EVENTUALLY(w.got == 1);
	struct bus_delivery *old = take_kept(&w);
	bus_free(hub);
	hub = start_hub(at, &told);
	post(hub, "y");
	EVENTUALLY(w.got == 2);
	bus_ack(old); /* has the tag that y has: must not settle y */
	post(hub, "z");
	(void)poll(NULL, 0, 50);
	assert_int_equal(w.got, 2);
	bus_ack(take_kept(&w));
	EVENTUALLY(w.got == 3);
	assert_int_equal(was_told(&told, "disconnected"), 0);
	ack_all(&w);
	bus_free(client);
	bus_free(hub);
}

static void a_full_queue_refuses(void **state)
{
	const struct place *at = (const struct place *)*state;
	struct told told = TOLD_NEW;
	struct bus *hub = NULL;
	struct bus_conf conf = { .url = str_z(at->url),
				 .hub = true,
				 .name = STR("api"),
				 .queue_max = 5,
				 .roles = everybody,
				 .role_count = 1,
				 .event = tell,
				 .event_ctx = &told };
	assert_false(FAILED(bus_new(&conf, &hub, NULL)));
	start(hub);
	for (int i = 0; i < 5; i++)
		post(hub, "x");
	assert_int_equal(bus_publish(hub, T, STR("x"), NULL).kind, ERR_UNAVAILABLE);
	struct bus *client = new_bus(at, false, "signer", NULL, NULL);
	start(client);
	post(client, "x"); /* handed over, and dropped there with a word */
	EVENTUALLY(was_told(&told, "bus message dropped signer: 5 messages wait on bus topic work") == 1);
	struct worker w = WORKER(ACK);
	struct bus *consumer = start_consumer(at, "b", 1, &w);
	EVENTUALLY(w.got == 5);
	post(hub, "x");
	EVENTUALLY(w.got == 6);
	bus_free(consumer);
	bus_free(client);
	bus_free(hub);
}

#define LARGE (1024 * 1024) /* a topic holds 24 of them */

static void large_messages_to_a_slow_consumer_all_arrive(void **state)
{
	const struct place *at = (const struct place *)*state;
	struct worker w = WORKER(ACK);
	struct bus *hub = start_hub(at, NULL);
	char *body = (char *)mem_alloc(BUS_BODY_MAX + 1);
	for (int i = 0; i < 20; i++) /* many times what a peer's buffer may hold, and credit for all of them */
		assert_false(FAILED(bus_publish(hub, T, str_n(body, LARGE), NULL)));
	assert_int_equal(bus_publish(hub, T, str_n(body, BUS_BODY_MAX + 1), NULL).kind, ERR_TOO_LARGE);
	free(body);
	struct bus *client = start_consumer(at, "signer", 32, &w);
	EVENTUALLY(w.got == 20);
	bus_free(client);
	bus_free(hub);
}

static void the_largest_message_arrives(void **state)
{
	const struct place *at = (const struct place *)*state;
	struct worker w = WORKER(ACK);
	struct bus *hub = start_hub(at, NULL);
	char *body = (char *)mem_alloc(BUS_BODY_MAX);
	assert_false(FAILED(bus_publish(hub, T, str_n(body, BUS_BODY_MAX), NULL)));
	free(body);
	struct bus *client = start_consumer(at, "signer", 32, &w);
	EVENTUALLY(w.got == 1);
	bus_free(client);
	bus_free(hub);
}

static void wrong_calls_are_refused(void **state)
{
	const struct place *at = (const struct place *)*state;
	struct bus *b = NULL;
	struct err err = { 0 };
	static const struct {
		const char *url, *name;
	} rows[] = { { "amqp://x", "api" },
		     { "/run/x", "api" },
		     { "unix:", "api" },
		     { "unix:/tmp/x", "Api" },
		     { "unix:/tmp/x", "" } };
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct bus_conf conf = { .url = str_z(rows[i].url), .name = str_z(rows[i].name), .hub = true };
		assert_int_equal(bus_new(&conf, &b, &err).kind, ERR_CONFIG);
	}
	b = new_bus(at, true, "api", NULL, NULL);
	assert_true(FAILED(bus_consume(b, STR("No"), 1, handle, NULL, NULL)));
	assert_true(FAILED(bus_consume(b, T, 0, handle, NULL, NULL)));
	assert_true(FAILED(bus_consume(b, T, BUS_CREDITS_MAX + 1, handle, NULL, NULL)));
	consume(b, 1, NULL);
	assert_true(FAILED(bus_consume(b, T, 1, handle, NULL, NULL)));
	assert_true(FAILED(bus_publish(b, STR("a b"), STR("x"), NULL)));
	bus_stop(b);
	assert_int_equal(bus_publish(b, T, STR("x"), NULL).kind, ERR_UNAVAILABLE);
	bus_free(b);
	bus_free(NULL);
}

/* --- peers that do not behave ------------------------------------------------------------------------------------*/

static int raw_connect(const struct place *at)
{
	int fd = -1;
	assert_false(FAILED(unix_connect(at->path, &fd, NULL)));
	return fd;
}

static void raw_send(int fd, const struct bus_frame *m)
{
	AUTO(buf_done) struct buf out = BUF_MAX(2 * FRAME_BODY_MAX);
	assert_false(FAILED(bus_frame_add(&out, m, NULL)));
	assert_int_equal(send(fd, out.p, out.n, MSG_NOSIGNAL), out.n);
}

/* To a peer that may have hung up already. */
static void raw_say(int fd, struct str bytes)
{
	ssize_t n = send(fd, bytes.p, bytes.n, MSG_NOSIGNAL);
	if (n != (ssize_t)bytes.n && errno != EPIPE && errno != ECONNRESET)
		fail_msg("send: %s", strerror(errno));
}

/* Reads until the peer closes; false when it does not. */
static bool raw_closes(int fd)
{
	char sink[4096];
	struct pollfd p = { .fd = fd, .events = POLLIN };
	while (poll(&p, 1, WAIT_MS) == 1) {
		if (recv(fd, sink, sizeof sink, 0) <= 0)
			return true;
	}
	return false;
}

#define RAW(hex)                     \
	{                            \
		hex, sizeof(hex) - 1 \
	}
#define RAW_HELLO "CF\1\1\0\0\0\4\0\1\1x"

static void peers_that_break_the_protocol_are_dropped_and_the_reason_told(void **state)
{
	const struct place *at = (const struct place *)*state;
	static const struct {
		struct str bytes;
		const char *says;
	} rows[] = {
		{ RAW("GET / HTTP/1.1\r\n\r\n"), "bus peer refused : uid" },
		{ RAW("GET / HTTP/1.1\r\n\r\n"), "frame byte 0 is 0x47" },
		{ RAW("CF\1\1\xff\xff\xff\xff"), "frame of 4294967295 bytes" },
		{ RAW("CF\1\7\0\0\0\0"), "the first frame is no hello" },
		{ RAW("CF\1\1\0\0\0\5\0\2zzz"), "speaks bus version 2, this is version 1" },
		{ RAW("CF\1\1\0\0\0\4\0\1\1\n"), "other than a-z" },
		{ RAW(RAW_HELLO RAW_HELLO), "bus disconnected x: hello: said twice" },
		{ RAW(RAW_HELLO "CF\1\x63\0\0\0\0"), "frame type 99 is unknown" },
		{ RAW(RAW_HELLO "CF\1\4\0\0\0\x0a\0\0\0\0\0\0\0\1\1t"), "deliver is not for this side" },
		{ RAW(RAW_HELLO "CF\1\5\0\0\0\x08\0\0\0\0\0\0\0\1"), "tag 1 is not held" },
		{ RAW(RAW_HELLO "CF\1\2\0\0\0\4\0\1\1tCF\1\2\0\0\0\4\0\1\1t"), "t is subscribed twice" },
		{ RAW(RAW_HELLO "CF\1\2\0\0\0\4\0\1\1tCF\1\6\0\0\0\x08\0\0\0\0\0\0\0\0"), "tag 0 is not held" },
		{ RAW(RAW_HELLO "CF\1\7\0\0\0\1x"), "ping: 1 bytes too many" },
	};
	struct told told = TOLD_NEW;
	struct worker w = WORKER(ACK);
	struct bus *hub = start_hub(at, &told);
	struct bus *client = start_consumer(at, "signer", 4, &w);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int fd = raw_connect(at);
		raw_say(fd, rows[i].bytes);
		if (!raw_closes(fd))
			fail_msg("row %zu stays connected", i);
		EVENTUALLY(was_told(&told, rows[i].says) > 0);
		fd_close(&fd);
	}
	assert_int_equal(bus_consumers(hub, STR("t")), 0);
	post(hub, "x");
	EVENTUALLY(w.got == 1);
	bus_free(client);
	bus_free(hub);
}

static void a_client_checks_its_hub_as_well(void **state)
{
	const struct place *at = (const struct place *)*state;
	static const struct {
		struct str bytes;
		const char *says;
	} rows[] = {
		{ RAW("CF\1\1\0\0\0\3\0\2z"), "speaks bus version 2" },
		{ RAW("CF\1\1\0\0\0\4\0\1\1hCF\1\3\0\0\0\2\1t"), "publish is not for this side" },
		{ RAW("CF\1\1\0\0\0\4\0\1\1hCF\1\4\0\0\0\x0a\0\0\0\0\0\0\0\1\1t"), "t was not subscribed" },
		{ RAW("CF\1\1\0\0\0\4\0\1\1h"
		      "CF\1\4\0\0\0\x0d\0\0\0\0\0\0\0\1\4workCF\1\4\0\0\0\x0d\0\0\0\0\0\0\0\2\4work"),
		  "work is over its 1 credits" },
	};
	int listener = -1;
	assert_false(FAILED(unix_listen(at->path, 0600, &listener, NULL)));
	struct told told = TOLD_NEW;
	struct worker w = WORKER(KEEP);
	struct bus *client = new_bus(at, false, "signer", &told, NULL);
	consume(client, 1, &w);
	assert_false(FAILED(bus_start(client, NULL)));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct pollfd p = { .fd = listener, .events = POLLIN };
		assert_int_equal(poll(&p, 1, WAIT_MS), 1);
		int fd = accept(listener, NULL, NULL);
		raw_say(fd, rows[i].bytes);
		assert_true(raw_closes(fd));
		EVENTUALLY(was_told(&told, rows[i].says) > 0);
		fd_close(&fd);
	}
	bus_stop(client);
	ack_all(&w);
	bus_free(client);
	fd_close(&listener);
}

static void silent_peers_are_asked_and_then_dropped(void **state)
{
	const struct place *at = (const struct place *)*state;
	struct told told = TOLD_NEW;
	struct skip_clock clock;
	struct bus *hub = new_bus(at, true, "api", &told, &skip_clock_init(&clock)->clk);
	start(hub);
	struct worker w = WORKER(ACK);
	int mute = raw_connect(at);
	int silent = raw_connect(at);
	raw_send(silent, &(struct bus_frame){ .type = BUS_HELLO, .number = BUS_VERSION, .name = STR("quiet") });
	raw_send(silent, &(struct bus_frame){ .type = BUS_SUBSCRIBE, .number = 4, .name = T });
	EVENTUALLY(bus_consumers(hub, T) == 1);
	clock.skip_ms = 5001;
	post(hub, "1"); /* also makes the hub look at its clock */
	assert_true(raw_closes(mute));
	EVENTUALLY(was_told(&told, "no hello within 5000 ms") == 1);
	struct bus *other = new_bus(at, false, "lively", NULL, NULL);
	consume(other, 4, &w);
	start(other);
	clock.skip_ms = 16000;
	post(hub, "2");
	post(hub, "3");
	EVENTUALLY(w.got >= 1);
	clock.skip_ms = 36000;
	post(hub, "4");
	post(hub, "5");
	assert_true(raw_closes(silent));
	EVENTUALLY(was_told(&told, "bus disconnected quiet: silent for 30000 ms") == 1);
	EVENTUALLY(w.got == 5); /* with what the silent one held */
	fd_close(&mute);
	fd_close(&silent);
	bus_free(other);
	bus_free(hub);
}

static void a_ping_is_sent_to_the_silent_and_answered_to_the_asking(void **state)
{
	const struct place *at = (const struct place *)*state;
	struct skip_clock clock;
	struct bus *hub = new_bus(at, true, "api", NULL, &skip_clock_init(&clock)->clk);
	start(hub);
	int fd = raw_connect(at);
	raw_send(fd, &(struct bus_frame){ .type = BUS_HELLO, .number = BUS_VERSION, .name = STR("quiet") });
	raw_send(fd, &(struct bus_frame){ .type = BUS_SUBSCRIBE, .number = 4, .name = T });
	raw_send(fd, &(struct bus_frame){ .type = BUS_PING });
	EVENTUALLY(bus_consumers(hub, T) == 1);
	clock.skip_ms = 10001;
	post(hub, "x");
	/* hello, pong, deliver, ping: the last two in either order */
	AUTO(buf_done) struct buf in = BUF_MAX(4096);
	bool seen[BUS_TYPE_END] = { false };
	size_t frames = 0;
	while (frames < 4) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		assert_int_equal(poll(&p, 1, WAIT_MS), 1);
		char *to = NULL;
		assert_false(FAILED(buf_room(&in, 512, &to, NULL)));
		ssize_t n = recv(fd, to, 512, 0);
		assert_true(n > 0);
		in.n += (size_t)n;
		struct frame f = { 0 };
		struct bus_frame m = { 0 };
		size_t used = 0;
		for (;; frames++) {
			assert_false(FAILED(frame_read(buf_str(&in), &f, &used, NULL)));
			if (used == 0)
				break;
			assert_false(FAILED(bus_frame_read(&f, true, &m, NULL)));
			seen[m.type] = true;
			buf_eat(&in, used);
		}
	}
	assert_true(seen[BUS_HELLO] && seen[BUS_PONG] && seen[BUS_DELIVER] && seen[BUS_PING]);
	fd_close(&fd);
	bus_free(hub);
}

static void a_peer_that_never_reads_is_dropped(void **state)
{
	const struct place *at = (const struct place *)*state;
	struct told told = TOLD_NEW;
	struct bus *hub = start_hub(at, &told);
	int fd = raw_connect(at);
	raw_send(fd, &(struct bus_frame){ .type = BUS_HELLO, .number = BUS_VERSION, .name = STR("deaf") });
	AUTO(buf_done) struct buf pings = BUF_MAX(8192);
	while (pings.n < 8000)
		assert_false(FAILED(bus_frame_add(&pings, &(struct bus_frame){ .type = BUS_PING }, NULL)));
	/* Answers pile up at the hub, each as long as its question. */
	for (size_t sent = 0; sent < 64u << 20 && was_told(&told, "bus disconnected deaf") == 0;) {
		struct pollfd p = { .fd = fd, .events = POLLOUT };
		(void)poll(&p, 1, 100);
		ssize_t n = send(fd, pings.p, pings.n / 8 * 8, MSG_NOSIGNAL);
		sent += n > 0 ? (size_t)n : 0;
		/* Half a frame may be left over by a short write; the rest completes it. */
		while (n > 0 && n % FRAME_HEAD != 0) {
			ssize_t more =
				send(fd, pings.p + n % FRAME_HEAD, FRAME_HEAD - (size_t)(n % FRAME_HEAD), MSG_NOSIGNAL);
			if (more < 0 && was_told(&told, "bus disconnected deaf") > 0)
				break;
			n += more > 0 ? more : 0;
		}
	}
	EVENTUALLY(was_told(&told, "bus disconnected deaf: the peer does not read") == 1);
	fd_close(&fd);
	bus_free(hub);
}

static void a_hub_that_never_reads_has_publishers_refused(void **state)
{
	const struct place *at = (const struct place *)*state;
	int listener = -1;
	assert_false(FAILED(unix_listen(at->path, 0600, &listener, NULL)));
	struct bus *client = new_bus(at, false, "signer", NULL, NULL);
	assert_false(FAILED(bus_start(client, NULL)));
	struct pollfd p = { .fd = listener, .events = POLLIN };
	assert_int_equal(poll(&p, 1, WAIT_MS), 1);
	int fd = accept(listener, NULL, NULL);
	raw_send(fd, &(struct bus_frame){ .type = BUS_HELLO, .number = BUS_VERSION, .name = STR("deaf") });
	EVENTUALLY(bus_connected(client));
	char *body = (char *)mem_alloc(BUS_BODY_MAX);
	struct err err = { 0 };
	int taken = 0;
	while (!FAILED(bus_publish(client, T, str_n(body, BUS_BODY_MAX), &err)) && taken < 100)
		taken++;
	free(body);
	assert_in_range(taken, 1, 4);
	assert_int_equal(err.kind, ERR_UNAVAILABLE);
	assert_non_null(strstr(err.detail, "does not keep up"));
	assert_true(bus_connected(client));
	bus_free(client); /* does not wait for what cannot be sent */
	fd_close(&fd);
	fd_close(&listener);
}

static void a_foreign_uid_is_refused_by_the_hub(void **state)
{
	const struct place *at = (const struct place *)*state;
	if (geteuid() != 0)
		skip();
	struct told told = TOLD_NEW;
	struct bus *hub = NULL;
	const uid_t ours[] = { 0 };
	struct bus_conf conf = { .url = str_z(at->url),
				 .hub = true,
				 .name = STR("api"),
				 .peer_uids = ours,
				 .peer_uid_count = 1,
				 .event = tell,
				 .event_ctx = &told };
	assert_false(FAILED(bus_new(&conf, &hub, NULL)));
	start(hub);
	pid_t pid = fork();
	if (pid == 0) {
		int fd = -1;
		char c;
		if (setuid(NOBODY) != 0 || FAILED(unix_connect(at->path, &fd, NULL)))
			_exit(2);
		struct pollfd p = { .fd = fd, .events = POLLIN };
		_exit(poll(&p, 1, WAIT_MS) == 1 && recv(fd, &c, 1, 0) == 0 ? 0 : 1);
	}
	int status = -1;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	EVENTUALLY(was_told(&told, "bus peer refused : uid 65534") == 1);
	bus_free(hub);
}

static void a_hub_of_a_foreign_uid_is_refused_by_the_client(void **state)
{
	const struct place *at = (const struct place *)*state;
	struct told told = TOLD_NEW;
	struct bus *hub = start_hub(at, NULL);
	struct bus *client = NULL;
	const uid_t foreign[] = { geteuid() + 1 };
	struct bus_conf conf = { .url = str_z(at->url),
				 .name = STR("signer"),
				 .peer_uids = foreign,
				 .peer_uid_count = 1,
				 .event = tell,
				 .event_ctx = &told };
	assert_false(FAILED(bus_new(&conf, &client, NULL)));
	assert_false(FAILED(bus_start(client, NULL)));
	EVENTUALLY(was_told(&told, "may not be on this bus") == 1);
	(void)poll(NULL, 0, 300); /* some more tries, told once */
	assert_int_equal(was_told(&told, "may not be on this bus"), 1);
	assert_false(bus_connected(client));
	bus_free(client);
	bus_free(hub);
}

static void who_does_what_its_program_does_not_is_dropped(void **state)
{
	static const struct {
		struct bus_frame frame;
		const char *name, *says;
	} rows[] = {
		{ { .type = BUS_SUBSCRIBE, .number = 1, .name = { "sign", 4 } },
		  "validator.a",
		  "bus disconnected validator.a: validator.a may not consume sign\n" },
		{ { .type = BUS_SUBSCRIBE, .number = 1, .name = { "validate.b", 10 } },
		  "validator.a",
		  "bus disconnected validator.a: validator.a may not consume validate.b\n" },
		{ { .type = BUS_PUBLISH, .name = { "signed", 6 }, .body = { "forged", 6 } },
		  "validator.a",
		  "bus disconnected validator.a: validator.a may not publish signed\n" },
		{ { .type = BUS_PUBLISH, .name = { "sign", 4 }, .body = { "forged", 6 } },
		  "signer",
		  "bus disconnected signer: signer may not publish sign\n" },
		{ { .type = BUS_PING }, "stranger", "\"stranger\" is the name of no program on this bus\n" },
	};
	const struct place *at = (const struct place *)*state;
	struct told told = TOLD_NEW;
	struct worker jobs = WORKER(ACK), results = WORKER(ACK);
	struct bus *hub = NULL;
	struct bus_conf conf = {
		.url = str_z(at->url), .hub = true, .name = STR("api"), .event = tell, .event_ctx = &told
	};
	assert_false(FAILED(bus_new(&conf, &hub, NULL)));
	assert_false(FAILED(bus_consume(hub, STR("sign"), 1, handle, &jobs, NULL)));
	assert_false(FAILED(bus_consume(hub, STR("signed"), 1, handle, &results, NULL)));
	start(hub);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int fd = raw_connect(at);
		raw_send(fd,
			 &(struct bus_frame){ .type = BUS_HELLO, .number = BUS_VERSION, .name = str_z(rows[i].name) });
		raw_send(fd, &rows[i].frame);
		assert_true(raw_closes(fd));
		EVENTUALLY(was_told(&told, rows[i].says) == 1);
		fd_close(&fd);
	}
	assert_int_equal(bus_consumers(hub, STR("validate.b")), 0);
	assert_int_equal(bus_consumers(hub, STR("sign")), 1);
	assert_int_equal(jobs.got + results.got, 0);
	bus_free(hub);
}

static void a_second_hub_on_the_same_path_is_refused(void **state)
{
	const struct place *at = (const struct place *)*state;
	struct bus *hub = start_hub(at, NULL);
	struct bus *second = NULL;
	struct bus_conf conf = { .url = str_z(at->url), .hub = true, .name = STR("api") };
	assert_int_equal(bus_new(&conf, &second, NULL).kind, ERR_CONFIG);
	assert_null(second);
	bus_free(hub);
}

/* --- traffic -----------------------------------------------------------------------------------------------------*/

#define PUBLISHERS 4
#define EACH 10000u

struct publisher {
	struct bus *bus;
	unsigned from, count;
	_Atomic bool *stop; /* NULL: publish all of them */
	pthread_t thread;
};

/* A refusal for want of room is tried again: what was refused was not sent. */
static void *publish_all(void *arg)
{
	struct publisher *p = (struct publisher *)arg;
	for (unsigned i = 0; i < p->count && (p->stop == NULL || !*p->stop); i++) {
		char body[16];
		int n = snprintf(body, sizeof body, "%u", p->from + i);
		while (FAILED(bus_publish(p->bus, T, str_n(body, (size_t)n), NULL)) && (p->stop == NULL || !*p->stop))
			(void)poll(NULL, 0, 1);
	}
	return NULL;
}

static void start_publishers(struct publisher *p, struct bus *const *buses, unsigned count, _Atomic bool *stop)
{
	for (unsigned i = 0; i < PUBLISHERS; i++) {
		p[i] = (struct publisher){ .bus = buses[i], .from = i * count, .count = count, .stop = stop };
		assert_int_equal(pthread_create(&p[i].thread, NULL, publish_all, &p[i]), 0);
	}
}

static void nothing_is_lost_between_many_threads_and_consumers(void **state)
{
	const struct place *at = (const struct place *)*state;
	struct worker w[3] = { WORKER(ACK), WORKER(ACK), WORKER(ACK) };
	struct count *seen = (struct count *)mem_alloc_n(sizeof *seen, (size_t)PUBLISHERS * EACH);
	for (size_t i = 0; i < ARRAY_LEN(w); i++)
		w[i].seen = seen;
	struct bus *hub = new_bus(at, true, "api", NULL, NULL);
	consume(hub, 64, &w[0]);
	start(hub);
	struct bus *a = start_consumer(at, "a", 64, &w[1]);
	struct bus *b = start_consumer(at, "b", 7, &w[2]);
	EVENTUALLY(bus_consumers(hub, T) == 3);
	/* Two publish on the hub, two on clients, one of which consumes as well. */
	struct bus *sender = new_bus(at, false, "sender", NULL, NULL);
	start(sender);
	struct publisher p[PUBLISHERS];
	start_publishers(p, (struct bus *const[]){ hub, hub, a, sender }, EACH, NULL);
	for (unsigned i = 0; i < PUBLISHERS; i++)
		(void)pthread_join(p[i].thread, NULL);
	EVENTUALLY(w[0].got + w[1].got + w[2].got >= PUBLISHERS * EACH);
	for (unsigned i = 0; i < PUBLISHERS * EACH; i++)
		assert_int_equal(seen[i].n, 1); /* no connection was lost, so nothing came twice either */
	for (size_t i = 0; i < ARRAY_LEN(w); i++)
		assert_true(w[i].got > 0);
	bus_free(sender);
	bus_free(a);
	bus_free(b);
	bus_free(hub);
	free(seen);
}

static void stopping_under_traffic_is_quick_and_clean(void **state)
{
	const struct place *at = (const struct place *)*state;
	for (int hub_first = 0; hub_first <= 1; hub_first++) {
		_Atomic bool stop = false;
		struct worker w[2] = { WORKER(ACK), WORKER(ACK) };
		struct bus *hub = new_bus(at, true, "api", NULL, NULL);
		consume(hub, 16, &w[0]);
		start(hub);
		struct bus *a = start_consumer(at, "a", 16, &w[1]);
		struct publisher p[PUBLISHERS];
		start_publishers(p, (struct bus *const[]){ hub, hub, a, a }, 1000000, &stop);
		EVENTUALLY(w[0].got > 100 && w[1].got > 100);
		int64_t before = clock_mono_ms(&clock_system);
		bus_stop(hub_first ? hub : a);
		bus_stop(hub_first ? a : hub);
		assert_true(clock_mono_ms(&clock_system) - before < 5000);
		stop = true;
		for (unsigned i = 0; i < PUBLISHERS; i++)
			(void)pthread_join(p[i].thread, NULL);
		bus_free(a);
		bus_free(hub);
	}
}

static void deliveries_outlive_their_bus(void **state)
{
	const struct place *at = (const struct place *)*state;
	struct worker ours = WORKER(KEEP);
	struct worker theirs = WORKER(KEEP);
	struct bus *hub = new_bus(at, true, "api", NULL, NULL);
	assert_false(FAILED(bus_consume(hub, STR("results"), 4, handle, &ours, NULL)));
	start(hub);
	struct bus *client = start_consumer(at, "signer", 4, &theirs);
	post(hub, "x");
	assert_false(FAILED(bus_publish(hub, STR("results"), STR("y"), NULL)));
	assert_false(FAILED(bus_publish(hub, STR("results"), STR("z"), NULL)));
	EVENTUALLY(ours.got == 2 && theirs.got == 1);
	bus_free(hub); /* waits its two seconds, then lets go */
	bus_free(client);
	struct bus_delivery *d = take_kept(&ours);
	assert_true(str_eq(bus_delivery_topic(d), STR("results")));
	assert_int_equal(bus_delivery_body(d).n, 1);
	bus_nack(d);
	ack_all(&ours);
	ack_all(&theirs);
}

#define BUS_TEST(f) cmocka_unit_test_setup_teardown(f, place_make, place_remove)

int main(void)
{
	const struct CMUnitTest tests[] = {
		BUS_TEST(messages_reach_handlers_both_ways),
		BUS_TEST(an_answer_publishes_and_gives_the_credit_back),
		BUS_TEST(credits_are_the_most_that_a_consumer_holds),
		BUS_TEST(a_refused_message_comes_again_after_a_second),
		BUS_TEST(what_a_dead_consumer_held_goes_to_another),
		BUS_TEST(clients_come_back_to_a_hub_that_restarts),
		BUS_TEST(acknowledgements_of_an_earlier_connection_are_dropped),
		BUS_TEST(a_full_queue_refuses),
		BUS_TEST(large_messages_to_a_slow_consumer_all_arrive),
		BUS_TEST(the_largest_message_arrives),
		BUS_TEST(wrong_calls_are_refused),
		BUS_TEST(peers_that_break_the_protocol_are_dropped_and_the_reason_told),
		BUS_TEST(a_client_checks_its_hub_as_well),
		BUS_TEST(silent_peers_are_asked_and_then_dropped),
		BUS_TEST(a_ping_is_sent_to_the_silent_and_answered_to_the_asking),
		BUS_TEST(a_peer_that_never_reads_is_dropped),
		BUS_TEST(a_hub_that_never_reads_has_publishers_refused),
		BUS_TEST(a_foreign_uid_is_refused_by_the_hub),
		BUS_TEST(a_hub_of_a_foreign_uid_is_refused_by_the_client),
		BUS_TEST(who_does_what_its_program_does_not_is_dropped),
		BUS_TEST(a_second_hub_on_the_same_path_is_refused),
		BUS_TEST(nothing_is_lost_between_many_threads_and_consumers),
		BUS_TEST(stopping_under_traffic_is_quick_and_clean),
		BUS_TEST(deliveries_outlive_their_bus),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * probes.c: keeps http-01 probes in flight at a cairn-validator and measures the pace of those that are answered. It
 * plays the api's end of the bus and the web server of every name; a third of the probes, if wanted, go to names that
 * stay silent: one half does not accept connections (a listener whose queue is full), one half has a name server that
 * does not answer (bench-dns). Closed loop: a finished probe is followed by another one of its kind.
 */
#include "bus/bus.h"
#include "jose/jose.h"
#include "model/model.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define TOKEN "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA"
#define THUMB "9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI"
#define SILENT_HOST "127.9.9.9"
#define TOOK_MAX 1000000
#define FLIGHT_MAX 4096
#define RESPONSE \
	"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 87\r\nConnection: close\r\n\r\n" TOKEN "." THUMB

enum kind { KIND_GOOD, KIND_SILENT, KIND_COUNT };

struct flight { /* one probe under way */
	struct id attempt;
	enum kind kind;
	int64_t began_ms;
};

struct bench {
	struct bus *hub;
	pthread_mutex_t lock; /* of all below */
	struct flight *flights;
	size_t in_flight;
	uint64_t number;
	bool ended;
	int64_t *took_ms; /* of the good ones that were finished within the time */
	size_t done, wrong, silent_done;
};

static void die(const char *what, const struct err *err)
{
	(void)fprintf(stderr, "bench-probes: %s: %s\n", what, err->detail);
	exit(1);
}

/* --- the web server -----------------------------------------------------------------------------------------------*/

static int listener(const char *host, uint16_t port, int backlog)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
	(void)inet_pton(AF_INET, host, &at.sin_addr);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
	    bind(fd, (const struct sockaddr *)&at, sizeof at) != 0 || listen(fd, backlog) != 0) {
		perror(host);
		exit(1);
	}
	return fd;
}

/* Nobody ever accepts: with its queue full, the kernel drops what comes. */
static void silent_host(uint16_t port)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(port) };
	(void)listener(SILENT_HOST, port, 0);
	(void)inet_pton(AF_INET, SILENT_HOST, &at.sin_addr);
	for (int i = 0; i < 4; i++) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		(void)connect(fd, (const struct sockaddr *)&at, sizeof at);
	}
}

static void web_answer(int fd)
{
	char request[4096];
	ssize_t n = recv(fd, request, sizeof request, 0); /* it comes in one piece on loopback */
	if (n > 0)
		(void)!send(fd, RESPONSE, sizeof RESPONSE - 1, MSG_NOSIGNAL);
	close(fd);
}

static void *web_run(void *arg)
{
	int listening = *(const int *)arg, ep = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event ev = { .events = EPOLLIN, .data.fd = listening }, got[64];
	if (ep < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, listening, &ev) != 0)
		return NULL;
	for (;;) {
		int n = epoll_wait(ep, got, ARRAY_LEN(got), -1);
		for (int i = 0; i < n; i++) {
			if (got[i].data.fd != listening) {
				web_answer(got[i].data.fd);
				continue;
			}
			ev.data.fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
			if (ev.data.fd >= 0)
				(void)epoll_ctl(ep, EPOLL_CTL_ADD, ev.data.fd, &ev);
		}
	}
}

/* --- probes -------------------------------------------------------------------------------------------------------*/

/* With the lock held. */
static void probe_send(struct bench *b, enum kind kind)
{
	AUTO(buf_done) struct buf text = BUF_MAX(VALIDATE_JOB_MAX);
	struct err err = { 0 };
	char name[64];
	uint64_t number = b->number++;
	(void)snprintf(name, sizeof name, "%s%llu.probes.test",
		       kind == KIND_GOOD ? "good"
		       : number % 2 == 0 ? "mute"
					 : "silent",
		       (unsigned long long)number);
	const struct validate_job job = {
		.attempt = id_new(&clock_system, &rng_system),
		.authz = id_new(&clock_system, &rng_system),
		.order = id_new(&clock_system, &rng_system),
		.realm = STR("default"),
		.zone = STR("default"),
		.method = CHALLENGE_HTTP01,
		.ident = { IDENT_DNS, str_z(name) },
		.token = STR(TOKEN),
		.thumbprint = STR(THUMB),
		.account_url = STR("https://ca.test/account/1"),
		.deadline_ms = clock_now_ms(&clock_system) + 60000,
	};
	if (FAILED(validate_job_write(&job, &text, &err)) ||
	    FAILED(bus_publish(b->hub, STR(TOPIC_VALIDATE ".local"), buf_str(&text), &err)))
		die("publishing a job", &err);
	b->flights[b->in_flight++] = (struct flight){ job.attempt, kind, clock_mono_ms(&clock_system) };
}

static void probe_count(struct bench *b, const struct flight *f, bool valid)
{
	if (b->ended)
		return;
	b->silent_done += f->kind == KIND_SILENT;
	b->wrong += valid != (f->kind == KIND_GOOD);
	if (f->kind == KIND_GOOD && b->done < TOOK_MAX)
		b->took_ms[b->done++] = clock_mono_ms(&clock_system) - f->began_ms;
}

static void on_verdict(void *ctx, struct bus_delivery *d)
{
	struct bench *b = ctx;
	AUTO(arena_done) struct arena mem = { 0 };
	struct verdict_message m;
	struct jws_compact jws;
	struct verdict verdict;
	struct err err = { 0 };
	if (FAILED(verdict_message_read(&mem, bus_delivery_body(d), &m, &err)) ||
	    FAILED(jws_compact_read(&mem, m.jws, STR(VERDICT_TYP), VERDICT_JWS_MAX, &jws, &err)) ||
	    FAILED(verdict_read(&mem, jws.payload, &verdict, &err)))
		die("reading a verdict", &err);
	bus_ack(d);
	pthread_mutex_lock(&b->lock);
	for (size_t i = 0; i < b->in_flight; i++) {
		struct flight f = b->flights[i];
		if (!id_eq(f.attempt, m.attempt))
			continue;
		b->flights[i] = b->flights[--b->in_flight];
		probe_count(b, &f, verdict.valid);
		if (!b->ended)
			probe_send(b, f.kind);
		break;
	}
	pthread_mutex_unlock(&b->lock);
}

static void on_progress(void *ctx, struct bus_delivery *d)
{
	(void)ctx;
	bus_ack(d);
}

/* --- measuring ----------------------------------------------------------------------------------------------------*/

static int by_size(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return x < y ? -1 : x > y;
}

static void bench_run(struct bench *b, size_t good, size_t silent, unsigned seconds)
{
	pthread_mutex_lock(&b->lock);
	for (size_t i = 0; i < silent; i++)
		probe_send(b, KIND_SILENT);
	for (size_t i = 0; i < good; i++)
		probe_send(b, KIND_GOOD);
	pthread_mutex_unlock(&b->lock);
	int64_t began = clock_mono_ms(&clock_system);
	sleep(seconds);
	pthread_mutex_lock(&b->lock);
	b->ended = true;
	double took = (double)(clock_mono_ms(&clock_system) - began) / 1000.0;
	pthread_mutex_unlock(&b->lock);
	if (b->done == 0) {
		(void)fprintf(stderr, "bench-probes: no probe was answered\n");
		exit(1);
	}
	qsort(b->took_ms, b->done, sizeof *b->took_ms, by_size);
	printf("{\"answering\":%zu,\"silent\":%zu,\"done\":%zu,\"rate\":%.1f,\"p50_ms\":%lld,\"p99_ms\":%lld,"
	       "\"silent_done\":%zu,\"wrong\":%zu}\n",
	       good, silent, b->done, (double)b->done / took, (long long)b->took_ms[b->done / 2],
	       (long long)b->took_ms[b->done * 99 / 100], b->silent_done, b->wrong);
}

int main(int argc, char **argv)
{
	if (argc != 6) {
		(void)fprintf(stderr, "usage: %s BUS-URL HTTP-PORT ANSWERING SILENT SECONDS\n", argv[0]);
		return 2;
	}
	const uint16_t port = (uint16_t)strtoul(argv[2], NULL, 10);
	const size_t good = strtoul(argv[3], NULL, 10), silent = strtoul(argv[4], NULL, 10);
	const unsigned seconds = (unsigned)strtoul(argv[5], NULL, 10);
	struct bench b = { .flights = mem_alloc_n(sizeof *b.flights, FLIGHT_MAX),
			   .took_ms = mem_alloc_n(sizeof *b.took_ms, TOOK_MAX) };
	struct err err = { 0 };
	pthread_t web;
	pthread_mutex_init(&b.lock, NULL);
	if (good + silent > FLIGHT_MAX || good == 0) {
		(void)fprintf(stderr, "bench-probes: 1 to %d probes\n", FLIGHT_MAX);
		return 2;
	}
	int listening = listener("127.0.0.1", port, 1024);
	silent_host(port);
	pthread_create(&web, NULL, web_run, &listening);
	const struct bus_conf hub = {
		.url = str_z(argv[1]), .hub = true, .name = STR("api"), .queue_max = 10000, .clk = &clock_system
	};
	if (FAILED(bus_new(&hub, &b.hub, &err)) ||
	    FAILED(bus_consume(b.hub, STR(TOPIC_VERDICT), 1000, on_verdict, &b, &err)) ||
	    FAILED(bus_consume(b.hub, STR(TOPIC_PROGRESS), 1000, on_progress, &b, &err)) ||
	    FAILED(bus_start(b.hub, &err)))
		die("the bus", &err);
	for (int i = 0; i < 100 && bus_consumers(b.hub, STR(TOPIC_VALIDATE ".local")) == 0; i++)
		usleep(100 * 1000);
	bench_run(&b, good, silent, seconds);
	return 0; /* everything goes with the process; the validator still has probes of ours */
}

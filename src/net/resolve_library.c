/* SPDX-License-Identifier: Apache-2.0
 *
 * resolve_library.c: contexts of libunbound: the settings with the reasons for them, the thread that hears what one has
 * found, and who uses it. One serves all questions of a resolver until an answer is bogus: it remembers more of that than
 * it lets us forget, so another one takes its place, and it goes when its last question is done.
 */
#include "net/resolve_internal.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

/* Each has threads and sockets of its own. Who makes names bogus on purpose while other names' questions take long
 * could have as many as there are probes. */
#define LIBRARIES_MAX 4
/* A fresh one knows nothing of servers that are silent, and chooses them again (infra-host-ttl): one of two down, and a
 * fresh context for each question, made a lookup take 900 ms instead of 70. So what was bogus is remembered for so long at most. */
#define LIBRARY_LIFE_MS 2000
#define RESOLVE_STACK (256 * 1024)
#define PROCESS_TRIES 20
#define PROCESS_PAUSE_MS 50

struct library {
	struct resolver *of;
	struct ub_ctx *ctx;
	int wake_fd;
	pthread_t dispatcher;
	bool dispatching;
	atomic_bool lost; /* answers cannot be read any more */
	unsigned refs;    /* under of->lock: each ask's, and the resolver's */
	bool doubted;     /* under of->lock: an answer was bogus */
};

/* --- settings ------------------------------------------------------------------------------------------------------*/

static fallible ub_check(int rc, const char *what, struct err *err)
{
	if (rc == UB_NOERROR)
		return OK;
	FAIL(err, ERR_CONFIG, "DNS library: %s: %s", what, ub_strerror(rc));
}

static fallible ub_options(struct ub_ctx *ctx, struct err *err)
{
	const char *const options[][2] = {
		{ "do-not-query-localhost:", "no" }, /* a resolver on this host is the usual case */
		/* Nothing is kept, so that a corrected record counts at once. Zones' keys are asked for again too:
		 * the library cannot tell the one from the other, and its servers have them. */
		{ "cache-max-ttl:", "0" },
		{ "cache-max-negative-ttl:", "0" },
		/* Sizes of 0 alone would not do: see zone_write. */
		{ "msg-cache-size:", "0" },
		{ "rrset-cache-size:", "0" },
		{ "msg-cache-slabs:", "1" },
		{ "rrset-cache-slabs:", "1" },
		{ "val-bogus-ttl:", "0" },
		/* Signatures end when they say so, but for a difference of clocks. The library by itself takes them for up
		 * to a day more (a tenth of their life). */
		{ "val-sig-skew-min:", "300" },
		{ "val-sig-skew-max:", "300" },
		{ "aggressive-nsec:", "no" }, /* would answer for names that were never asked */
		/* Of several servers, one that is silent must be known for long enough to be passed over (with 0, it is
		 * chosen again and again, measured: 5 s and more). But names that nobody answers, which clients
		 * choose, must not make the library take all of its servers for dead and leave them out for minutes:
		 * in 2 s its patience with one does not grow so far. */
		{ "infra-host-ttl:", "2" },
		/* It has one patience for all names of a server: one that answers others at once made it ask ten times
		 * within 1.4 s about a name whose own servers are slow, and then give up. */
		{ "infra-cache-min-rtt:", "1000" },
		/* The library's own 16 sockets are soon full of such questions, and then everybody waits. */
		{ "outgoing-range:", "256" },
		{ "num-queries-per-thread:", "512" },
		{ "outgoing-num-tcp:", "32" },
		{ "use-caps-for-id:", "yes" }, /* THREATS A41 */
		{ "edns-buffer-size:", "1232" },
		{ "use-syslog:", "no" },
	};
	for (size_t i = 0; i < ARRAY_LEN(options); i++)
		TRY(ub_check(ub_ctx_set_option(ctx, options[i][0], options[i][1]), options[i][0], err));
	return OK;
}

/* What the library takes from a file only, and what lies in files that a sandbox keeps from it, is given to it in a
 * file in memory. */
#define MEMORY_PATH_MAX 32
static fallible memory_file(const char *name, struct str text, int *ret_fd, char path[MEMORY_PATH_MAX], struct err *err)
{
	AUTO(fd_close) int fd = memfd_create(name, MFD_CLOEXEC);
	if (fd < 0)
		FAIL(err, ERR_IO, "memfd_create: %s", strerror(errno));
	TRY(fd_write_all(fd, text, err));
	snprintf(path, MEMORY_PATH_MAX, "/proc/self/fd/%d", fd);
	*ret_fd = fd;
	fd = -1;
	return OK;
}

static fallible ub_zones(struct ub_ctx *ctx, struct str zones, struct err *err)
{
	AUTO(fd_close) int fd = -1;
	char path[MEMORY_PATH_MAX];
	TRY(memory_file("forwards", zones, &fd, path, err));
	return ub_check(ub_ctx_config(ctx, path), "zone.resolvers and zone.forwards", err);
}

/* The library reads them when it is finalised: until then *ret_fd stays open. */
static fallible ub_anchors(struct ub_ctx *ctx, const struct resolver *r, int *ret_fd, struct err *err)
{
	char path[MEMORY_PATH_MAX];
	if (r->anchors_name == NULL)
		return OK;
	TRY(memory_file("anchors", r->anchors, ret_fd, path, err));
	return ub_check(ub_ctx_add_ta_file(ctx, path), r->anchors_name, err);
}

static fallible ub_setup(struct ub_ctx *ctx, const struct resolver *r, struct err *err)
{
	/* Its messages would go to stderr; results say what matters. */
	TRY(ub_check(ub_ctx_debugout(ctx, NULL), "debug output", err));
	TRY(ub_options(ctx, err));
	TRY(ub_zones(ctx, r->zones, err));
	AUTO(fd_close) int anchors = -1;
	TRY(ub_anchors(ctx, r, &anchors, err));
	TRY(ub_check(ub_ctx_async(ctx, 1), "threads", err));
	/* Built-in zones answer NXDOMAIN for these, which private networks use. The first ub_ctx_zone_add finalises the
	 * context: nothing above may come after it. */
	static const char *const zones[] = { "test.", "invalid.", "home.arpa." };
	for (size_t i = 0; i < ARRAY_LEN(zones); i++)
		TRY(ub_check(ub_ctx_zone_add(ctx, zones[i], "nodefault"), zones[i], err));
	return OK;
}

/* --- the dispatcher ----------------------------------------------------------------------------------------------*/

/* A failure may be a moment without memory, so it is tried again: answers that are not fetched would let every later
 * lookup end in silence, and the names' owners would be told that their servers do not answer. */
static void *dispatch(void *arg)
{
	struct library *lib = arg;
	enum { WAKE, ANSWERS, FDS };
	struct pollfd fds[FDS] = { [WAKE] = { .fd = lib->wake_fd, .events = POLLIN },
				   [ANSWERS] = { .fd = ub_fd(lib->ctx), .events = POLLIN } };
	for (int failed = 0; failed < PROCESS_TRIES;) {
		if (failed > 0)
			(void)poll(&fds[WAKE], 1, PROCESS_PAUSE_MS);
		if (poll(fds, FDS, -1) < 0)
			continue; /* EINTR: the program's signals may land here */
		if (fds[WAKE].revents != 0)
			return NULL;
		if (fds[ANSWERS].revents != 0)
			failed = ub_process(lib->ctx) == UB_NOERROR ? 0 : failed + 1;
	}
	atomic_store(&lib->lost, true);
	return NULL;
}

static fallible dispatcher_start(struct library *lib, struct err *err)
{
	lib->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (lib->wake_fd < 0)
		FAIL(err, ERR_IO, "eventfd: %s", strerror(errno));
	pthread_attr_t attr;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, RESOLVE_STACK);
	int rc = pthread_create(&lib->dispatcher, &attr, dispatch, lib);
	pthread_attr_destroy(&attr);
	if (rc != 0)
		FAIL(err, ERR_IO, "starting the resolver thread: %s", strerror(rc));
	lib->dispatching = true;
	return OK;
}

static void dispatcher_stop(struct library *lib)
{
	if (!lib->dispatching)
		return;
	uint64_t one = 1;
	ssize_t ignored = write(lib->wake_fd, &one, sizeof one);
	(void)ignored; /* an eventfd at zero always takes a one */
	pthread_join(lib->dispatcher, NULL);
	lib->dispatching = false;
}

/* --- one context after another --------------------------------------------------------------------------------------*/

static void library_free(struct library *lib)
{
	dispatcher_stop(lib);
	if (lib->ctx != NULL)
		ub_ctx_delete(lib->ctx);
	fd_close(&lib->wake_fd);
	free(lib);
}

static void library_auto(struct library **lib)
{
	if (*lib != NULL)
		library_free(*lib);
}

/* Under the resolver's lock, or before anybody else knows the resolver. */
fallible library_new(struct resolver *r, struct library **ret, struct err *err)
{
	AUTO(library_auto) struct library *lib = mem_alloc(sizeof *lib);
	lib->of = r;
	lib->refs = 1;
	lib->wake_fd = -1;
	lib->ctx = ub_ctx_create();
	if (lib->ctx == NULL)
		FAIL(err, ERR_IO, "the DNS library cannot be started: %s", strerror(errno));
	TRY(ub_setup(lib->ctx, r, err));
	TRY(dispatcher_start(lib, err));
	r->libraries++;
	*ret = TAKE(lib);
	return OK;
}

struct library *library_ref(struct resolver *r)
{
	pthread_mutex_lock(&r->lock);
	struct library *lib = r->library;
	lib->refs++;
	pthread_mutex_unlock(&r->lock);
	return lib;
}

void library_unref(struct library *lib)
{
	if (lib == NULL)
		return;
	struct resolver *r = lib->of;
	pthread_mutex_lock(&r->lock);
	bool last = --lib->refs == 0;
	pthread_mutex_unlock(&r->lock);
	if (!last)
		return;
	library_free(lib); /* waits for its threads, so not under the lock */
	pthread_mutex_lock(&r->lock);
	r->libraries--;
	pthread_mutex_unlock(&r->lock);
}

bool library_doubt(struct library *lib, int64_t now_mono_ms)
{
	struct resolver *r = lib->of;
	pthread_mutex_lock(&r->lock);
	bool before = lib->doubted;
	lib->doubted = true;
	struct library *fresh = NULL;
	bool may = r->library == lib && r->libraries < LIBRARIES_MAX && now_mono_ms - r->replaced_ms >= LIBRARY_LIFE_MS;
	/* Without another one this goes on as it would anyway. */
	if (may && !FAILED(library_new(r, &fresh, NULL))) {
		r->library = fresh;
		r->replaced_ms = now_mono_ms;
		lib->refs--; /* the resolver's; never the last, for who doubts has one */
	}
	bool replaced = r->library != lib;
	pthread_mutex_unlock(&r->lock);
	return before && replaced;
}

struct ub_ctx *library_ctx(const struct library *lib)
{
	return lib->ctx;
}

fallible library_check(const struct library *lib, const char *name, struct err *err)
{
	if (!atomic_load(&lib->lost))
		return OK;
	err_cause(err, "ub_process failed %d times in a row: no answer of libunbound can be read any more",
		  PROCESS_TRIES);
	FAIL(err, ERR_INTERNAL, "the DNS library failed to look up %s", name);
}

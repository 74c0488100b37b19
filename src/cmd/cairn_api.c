/* SPDX-License-Identifier: Apache-2.0
 *
 * cairn-api: speaks ACME to clients, keeps the state, hands out work, and serves the operator's commands. It holds the
 * store and its own TLS key, and neither a CA key nor a way to any name that a client chooses. Read configuration, open,
 * then serve until told to stop.
 */
#include "acme/acme.h"
#include "admin/admin.h"
#include "cmd/role.h"

#include <malloc.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define APPLY_THREADS 16 /* asleep in the group commit: they make it wide (DEPENDENCIES 11) */
#define STACK (256 * 1024)
#define QUEUE_EACH 16
#define BUS_CREDITS 256
#define HOUSEKEEPING_MS 5000
#define LISTEN_BACKLOG 1024
/* Descriptors that connections may not take: the database's for each reader, the bus, the operator's socket, sockets that
 * are being accepted. */
#define FILES_BESIDE 128
#define FILES_A_READER 4
#define CONNECTIONS_MIN 16
#define TRIM_EACH 500
#define TLS_WAIT_MS 5000
#define TLS_NAP_MS 50

struct api {
	struct role role;
	struct crypto *crypto;
	struct store *store;
	struct store_events store_events;
	struct store_reach reach;
	struct sandbox_path reach_paths[STORE_FILES_MAX];
	struct secret seal_key;
	struct admin *admin;
	struct bus *bus;
	struct acme *acme;
	struct tls_server *tls;
	struct workers *workers, *apply;
	struct http_server *http;
	int listen_fds[16];
	size_t listen_count;
	unsigned connections_max;
	uint64_t trimmed_at;         /* connections accepted when the heap was trimmed last */
	unsigned open_then;          /* and open: then, or at most since */
	struct timespec tls_seen[2]; /* mtimes of certificate and key */
	pthread_t sweeper;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool sweeping, stopping;
	int64_t sweep_interval_ms;
};

/* --- the bus: results go to threads of their own, never to those that wait for results --- */
struct arrival {
	struct api *api;
	struct bus_delivery *delivery;
	fallible (*apply)(struct acme *a, struct str body, struct err *err);
};

static void arrival_run(void *arg)
{
	struct arrival *in = arg;
	struct err why = { 0 };
	if (FAILED(in->apply(in->api->acme, bus_delivery_body(in->delivery), &why))) {
		LOG(&in->api->role.log, LOG_WARNING, "message put back",
		    KV_STR("topic", bus_delivery_topic(in->delivery)), KV_ERR(&why));
		bus_nack(in->delivery);
	} else {
		bus_ack(in->delivery);
	}
	free(in);
}

static void arrival_submit(struct api *api, struct bus_delivery *d,
			   fallible (*apply)(struct acme *a, struct str body, struct err *err))
{
	struct arrival *in = mem_alloc(sizeof *in);
	*in = (struct arrival){ .api = api, .delivery = d, .apply = apply };
	workers_submit_wait(api->apply, arrival_run, in);
}

static void on_verdict(void *ctx, struct bus_delivery *d)
{
	arrival_submit(ctx, d, acme_apply_verdict);
}

static void on_signed(void *ctx, struct bus_delivery *d)
{
	arrival_submit(ctx, d, acme_apply_signed);
}

static void on_progress(void *ctx, struct bus_delivery *d)
{
	arrival_submit(ctx, d, acme_apply_progress);
}

static fallible publish(void *ctx, struct str topic, struct str body, struct err *err)
{
	struct api *api = ctx;
	return bus_publish(api->bus, topic, body, err);
}

/* --- the sweeper's thread ------------------------------------------------------------------------------------------*/
static bool sweeper_sleep(struct api *api)
{
	pthread_mutex_lock(&api->lock);
	const struct timespec until = mono_after_ms(api->sweep_interval_ms);
	while (!api->stopping && pthread_cond_timedwait(&api->wake, &api->lock, &until) == 0)
		;
	bool stop = api->stopping;
	pthread_mutex_unlock(&api->lock);
	return !stop;
}

static void *sweeper_main(void *arg)
{
	struct api *api = arg;
	do {
		struct err why = { 0 };
		if (FAILED(acme_sweep(api->acme, &why)))
			LOG(&api->role.log, LOG_ERROR, "sweep failed", KV_ERR(&why));
		if (store_is_lost(api->store)) /* nobody knows what is on the disk: a fresh start reads it again */
			role_fail(&api->role);
	} while (sweeper_sleep(api));
	return NULL;
}

static fallible sweeper_start(struct api *api, struct err *err)
{
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&api->wake, &attr);
	pthread_condattr_destroy(&attr);
	int rc = pthread_create(&api->sweeper, NULL, sweeper_main, api);
	if (rc != 0)
		FAIL(err, ERR_IO, "cannot start the sweeper's thread: %s", strerror(rc));
	api->sweeping = true;
	return OK;
}

static void sweeper_stop(struct api *api)
{
	if (!api->sweeping)
		return;
	pthread_mutex_lock(&api->lock);
	api->stopping = true;
	pthread_cond_signal(&api->wake);
	pthread_mutex_unlock(&api->lock);
	pthread_join(api->sweeper, NULL);
	api->sweeping = false;
}

/* --- opening -------------------------------------------------------------------------------------------------------*/
/* Sockets that the supervisor (or systemd) opened, or our own when started by hand. */
static fallible listeners_open(struct api *api, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct proc_fd *passed;
	size_t count;
	TRY(proc_listen_fds(&mem, &passed, &count, err));
	if (count > ARRAY_LEN(api->listen_fds))
		FAIL(err, ERR_CONFIG, "%zu sockets were passed; at most %zu are served", count,
		     ARRAY_LEN(api->listen_fds));
	for (size_t i = 0; i < count; i++)
		api->listen_fds[api->listen_count++] = passed[i].fd;
	if (count > 0)
		return OK;
	for (size_t i = 0; i < api->role.conf->api.listen.n && i < ARRAY_LEN(api->listen_fds); i++) {
		struct addr addr;
		uint16_t port;
		TRY(addr_port_read(api->role.conf->api.listen.v[i], &addr, &port, err));
		TRY(proc_listen(&addr, port, LISTEN_BACKLOG, &api->listen_fds[i], err));
		api->listen_count = i + 1;
	}
	return OK;
}

static fallible bus_open(struct api *api, struct arena *mem, struct err *err)
{
	struct str url;
	TRY(url_of_bus(api->role.conf, mem, &url, err));
	struct bus_conf conf = { .url = url,
				 .hub = true,
				 .name = STR("api"),
				 .queue_max = 10000,
				 .clk = &clock_system,
				 .event = role_bus_event,
				 .event_ctx = &api->role };
	TRY(bus_new(&conf, &api->bus, err));
	TRY(bus_consume(api->bus, STR(TOPIC_VERDICT), BUS_CREDITS, on_verdict, api, err));
	TRY(bus_consume(api->bus, STR(TOPIC_PROGRESS), BUS_CREDITS, on_progress, api, err));
	return bus_consume(api->bus, STR(TOPIC_SIGNED), BUS_CREDITS, on_signed, api, err);
}

/* What the store says of its servers. */
static void on_store(void *ctx, const struct store_event *e)
{
	const struct api *api = ctx;
	const struct {
		const char *key, *value;
	} texts[] = {
		{ "server", e->server }, { "passed-over", e->passed_over }, { "why", e->why }, { "help", e->help }
	};
	struct kv pairs[ARRAY_LEN(texts) + 2] = { { .kind = KV_END } };
	size_t n = 0;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		if (texts[i].value != NULL)
			pairs[n++] = KV_Z(texts[i].key, texts[i].value);
	}
	if (e->timeline > 0)
		pairs[n++] = KV_U64("timeline", e->timeline);
	pairs[n] = (struct kv){ .kind = KV_END };
	log_write(&api->role.log, e->level, e->what, pairs);
}

static fallible store_open_conf(struct api *api, struct arena *mem, struct err *err)
{
	struct store_where where;
	if (api->store != NULL)
		return OK;
	TRY(store_where_of(api->role.conf, mem, &where, err));
	api->store_events = (struct store_events){ on_store, api };
	where.events = &api->store_events;
	return store_open_at(&where, &clock_system, &api->store, err);
}

/* A server of databases is looked for before the sandbox closes: that takes a resolver, and files that libpq knows. What
 * it takes to connect again stays open. */
static fallible store_reach_conf(struct api *api, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct str url = api->role.conf->store.url;
	if (str_skip(&url, STR("sqlite:")))
		return OK;
	TRY(store_open_conf(api, &mem, err));
	store_reach(api->store, &api->reach);
	for (size_t i = 0; i < api->reach.file_count; i++)
		api->reach_paths[i] = (struct sandbox_path){ api->reach.files[i], SANDBOX_READ };
	api->role.spec.database = api->reach.server;
	api->role.spec.ports = api->reach.ports;
	api->role.spec.port_count = api->reach.port_count;
	api->role.spec.paths = api->reach_paths;
	api->role.spec.path_count = api->reach.file_count;
	return OK;
}

/* What libpq reads for each connection: the CA of the database's certificate may be another one tomorrow. */
static fallible store_files(const struct conf *conf, struct arena *mem, const char *ret[ROLE_FILES_MAX],
			    size_t *ret_count, struct err *err)
{
	static_assert(ROLE_FILES_MAX >= 2 * STORE_URL_FILES_MAX, "of two servers");
	size_t n = 0, more = 0;
	TRY(store_url_files(conf->store.url, mem, ret, &n, err));
	TRY(store_url_files(conf->store.standby, mem, ret + n, &more, err));
	*ret_count = n + more;
	return OK;
}

static void tls_mtimes(const struct api *api, struct timespec ret[2])
{
	AUTO(arena_done) struct arena mem = { 0 };
	const struct str paths[2] = { api->role.conf->api.tls_certificate, api->role.conf->api.tls_key };
	for (int i = 0; i < 2; i++) {
		struct stat st;
		ret[i] = (struct timespec){ 0 };
		if (stat(conf_path(api->role.conf, &mem, paths[i]), &st) == 0)
			ret[i] = st.st_mtim;
	}
}

/* With api.tls-own the signer, which starts beside us, makes a pair where there is none, or where one was left half
 * renewed by a kill: key and chain are two renames. So what does not fit is looked at again for a moment. */
static fallible tls_open(struct api *api, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	const struct timespec nap = { .tv_nsec = TLS_NAP_MS * 1000000 };
	const char *chain = conf_path(api->role.conf, &mem, api->role.conf->api.tls_certificate);
	const char *key = conf_path(api->role.conf, &mem, api->role.conf->api.tls_key);
	int64_t until = clock_mono_ms(&clock_system) + (api->role.conf->api.tls_own ? TLS_WAIT_MS : 0);
	for (;;) {
		struct err why = { 0 };
		tls_mtimes(api, api->tls_seen);
		struct rc rc = tls_server_new(chain, key, &api->tls, &why);
		if (FAILED(rc) && clock_mono_ms(&clock_system) < until) {
			(void)nanosleep(&nap, NULL);
			continue;
		}
		if (FAILED(rc))
			*err = why;
		return rc;
	}
}

static unsigned cores(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);
	return n < 1 ? 1 : n > 64 ? 64 : (unsigned)n;
}

static fallible http_open(struct api *api, struct err *err)
{
	struct http_limits limits = http_limits_default;
	limits.connections_max = api->connections_max;
	const struct http_handlers handlers = { .quick = acme_quick,
						.begins = acme_begins,
						.handle = acme_handle,
						.refuse = acme_refuse,
						.ctx = api->acme };
	unsigned workers = (unsigned)api->role.conf->api.workers;
	unsigned loops = api->role.conf->api.loops > 0 ? (unsigned)api->role.conf->api.loops : cores();
	/* Long, since the time that requests wait is what bounds the queue (http.h); this bounds its memory. */
	TRY(workers_new("worker", workers, QUEUE_EACH * workers, STACK, &api->workers, err));
	return http_server_new(api->listen_fds, api->listen_count, api->tls, api->workers, loops, &limits, &handlers,
			       &clock_system, &api->http, err);
}

/* The app takes its configuration over and lets go of it when the last request that uses it is done: it has a copy. */
static fallible app_open(struct api *api, const struct acme_deps *deps, struct err *err)
{
	struct conf *own;
	TRY(conf_read(api->role.conf_path, conf_env_system, NULL, &own, err));
	struct rc rc = acme_new(deps, own, &api->acme, err);
	if (FAILED(rc))
		conf_free(own);
	return rc;
}

static fallible evidence(void *ctx, struct id certificate, struct buf *ret, struct err *err)
{
	const struct api *api = ctx;
	return acme_evidence(api->acme, certificate, ret, err);
}

static struct admin_deps admin_deps_of(struct api *api)
{
	return (struct admin_deps){ .store = api->store,
				    .crypto = api->crypto,
				    .log = &api->role.log,
				    .clk = &clock_system,
				    .rng = &rng_system,
				    .seal_key = &api->seal_key,
				    .evidence = evidence,
				    .evidence_ctx = api };
}

static fallible seal_key_open_conf(struct api *api, struct arena *mem, struct err *err)
{
	const struct admin_deps deps = admin_deps_of(api);
	const char *path = conf_path(api->role.conf, mem, api->role.conf->store.secret_key);
	bool made;
	TRY(seal_key_open(&deps, path, &api->seal_key, &made, err));
	if (made)
		LOG(&api->role.log, LOG_NOTICE, "key for secrets in the store made: back it up", KV_Z("file", path));
	return OK;
}

/* Its own copy of the configuration, as the app has. */
static fallible admin_open(struct api *api, struct arena *mem, struct err *err)
{
	const struct admin_deps deps = admin_deps_of(api);
	struct conf *own;
	TRY(conf_read(api->role.conf_path, conf_env_system, NULL, &own, err));
	struct rc rc = admin_new(&deps, own, &api->admin, err);
	if (FAILED(rc)) {
		conf_free(own);
		return rc;
	}
	return admin_serve(api->admin, conf_path(api->role.conf, mem, api->role.conf->api.admin_socket),
			   &admin_limits_default, err);
}

/* As many connections as are configured, if that many descriptors can be had; else it says so and serves fewer, because
 * the store must never be without one (THREATS F50). */
static fallible files_open(struct api *api, struct err *err)
{
	uint64_t wanted = (uint64_t)api->role.conf->api.connections_max, got;
	uint64_t beside = FILES_BESIDE + FILES_A_READER * (uint64_t)api->role.conf->store.readers;
	TRY(proc_files_raise(wanted + beside, &got, err));
	uint64_t left = got > 2 * beside ? got - beside : got / 2;
	left = left < CONNECTIONS_MIN ? CONNECTIONS_MIN : left;
	api->connections_max = (unsigned)(left < wanted ? left : wanted);
	if (left < wanted)
		LOG(&api->role.log, LOG_WARNING, "fewer connections than api.connections-max",
		    KV_U64("connections", left), KV_U64("wanted", wanted), KV_U64("descriptors", got),
		    KV_Z("help", "raise the hard limit of open files: LimitNOFILE= in the unit, or ulimit -Hn"));
	return OK;
}

static fallible prepare(void *ctx, struct err *err)
{
	struct api *api = ctx;
	TRY(files_open(api, err));
	TRY(listeners_open(api, err));
	TRY(store_reach_conf(api, err));
	return crypto_new(&api->crypto, err);
}

static fallible api_open(void *ctx, struct err *err)
{
	struct api *api = ctx;
	AUTO(arena_done) struct arena mem = { 0 };
	api->sweep_interval_ms = api->role.conf->sweeper.interval_ms;
	TRY(store_open_conf(api, &mem, err));
	TRY(seal_key_open_conf(api, &mem, err));
	TRY(workers_new("apply", APPLY_THREADS, 1024, STACK, &api->apply, err));
	TRY(bus_open(api, &mem, err));

	const struct acme_deps deps = { .store = api->store,
					.crypto = api->crypto,
					.log = &api->role.log,
					.clk = &clock_system,
					.rng = &rng_system,
					.seal_key = &api->seal_key,
					.publish = publish,
					.publish_ctx = api };
	TRY(app_open(api, &deps, err));
	TRY(tls_open(api, err));
	TRY(admin_open(api, &mem, err));
	return http_open(api, err);
}

static fallible api_start(void *ctx, struct err *err)
{
	struct api *api = ctx;
	TRY(bus_start(api->bus, err));
	TRY(http_server_start(api->http, err));
	TRY(sweeper_start(api, err));
	LOG(&api->role.log, LOG_NOTICE, "serving", KV_STR("url", api->role.conf->api.base_url),
	    KV_Z("version", CAIRN_VERSION));
	return OK;
}

/* In the order that loses nothing: no new requests, then those in flight, then what the bus brought, then the store. */
static void api_close(void *ctx)
{
	struct api *api = ctx;
	int64_t drain_ms = api->role.conf == NULL ? 0 : api->role.conf->api.drain_ms;
	admin_free(api->admin);
	if (api->http != NULL)
		http_server_drain(api->http, drain_ms);
	sweeper_stop(api);
	http_server_free(api->http);
	workers_free(api->workers);
	if (api->bus != NULL)
		bus_stop(api->bus);
	workers_free(api->apply);
	bus_free(api->bus);
	acme_free(api->acme);
	tls_server_free(api->tls);
	store_close(api->store);
	secret_done(&api->seal_key);
	crypto_free(api->crypto);
	for (size_t i = 0; i < api->listen_count; i++)
		close(api->listen_fds[i]);
}

/* --- while it runs -------------------------------------------------------------------------------------------------*/
/* The TLS files first: a pair that does not fit refuses the reload before anything of it is in force. */
static fallible take(void *ctx, const struct conf *fresh, struct err *err)
{
	struct api *api = ctx;
	struct conf *app, *admin;
	(void)fresh;
	TRY(tls_server_reload(api->tls, err));
	TRY(conf_read(api->role.conf_path, conf_env_system, NULL, &app, err));
	struct rc rc = conf_read(api->role.conf_path, conf_env_system, NULL, &admin, err);
	if (FAILED(rc)) {
		conf_free(app);
		return rc;
	}
	rc = acme_reload(api->acme, app, err);
	if (FAILED(rc)) {
		conf_free(app);
		conf_free(admin);
		return rc;
	}
	admin_reload(api->admin, admin);
	return OK;
}

/* Handshakes and requests of thousands leave the heap wide, and holes in it; what the C library keeps of it goes back when
 * many have come, and when many have gone. */
static void heap_trim(struct api *api)
{
	struct http_stats now = http_server_stats(api->http);
	bool many_came = now.accepted - api->trimmed_at >= TRIM_EACH,
	     many_went = now.open + TRIM_EACH <= api->open_then;
	if (now.open > api->open_then && !many_came) {
		api->open_then = now.open;
		return;
	}
	if (!many_came && !many_went)
		return;
	api->trimmed_at = now.accepted;
	api->open_then = now.open;
	(void)malloc_trim(0);
}

/* A renewed certificate is two renames; one seen between them does not fit its key and is tried again at the next look.
 */
static void on_tick(void *ctx)
{
	struct api *api = ctx;
	heap_trim(api);
	struct err why = { 0 };
	struct timespec now[2];
	tls_mtimes(api, now);
	if (memcmp(now, api->tls_seen, sizeof now) == 0)
		return;
	if (FAILED(tls_server_reload(api->tls, &why))) {
		LOG(&api->role.log, LOG_WARNING, "new TLS certificate not taken", KV_ERR(&why));
		return;
	}
	memcpy(api->tls_seen, now, sizeof now);
	LOG(&api->role.log, LOG_NOTICE, "TLS certificate reloaded");
}

int main(int argc, char **argv)
{
	struct api api = { .lock = PTHREAD_MUTEX_INITIALIZER };
	api.role = (struct role){ .program = "cairn-api",
				  .summary = "cairn-api - answers ACME clients and keeps the state",
				  .sandbox = SANDBOX_API,
				  .prepare = prepare,
				  .open = api_open,
				  .start = api_start,
				  .close = api_close,
				  .take = take,
				  .files = store_files,
				  .tick = on_tick,
				  .tick_ms = HOUSEKEEPING_MS,
				  .ctx = &api };
	return role_main(&api.role, argc, argv);
}

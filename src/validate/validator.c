/* SPDX-License-Identifier: Apache-2.0
 *
 * validator.c: the running validator. The bus thread only hands a delivery to the pool; a pool thread reads the job,
 * probes, signs, and publishes the verdict with its acknowledgement: a validator that dies before leaves the job to be
 * delivered again. Threads have small stacks, because there may be many and they mostly sleep in a probe.
 */
#include "validate/internal.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define PROBE_STACK (256 * 1024)
#define THREADS_MAX 1024 /* more probes than that wait for a thread */
#define MESSAGE_MAX (VERDICT_JWS_MAX + 1024)

struct validator {
	struct bus *bus;
	const struct crypto *crypto;
	const struct key *key;
	const struct log *log;
	const struct clock *clk;
	char *perspective;
	unsigned probes_max, threads;
	struct workers *workers;
	struct tls_client *tls;
	pthread_mutex_t lock; /* of all below */
	pthread_cond_t idle;
	pthread_cond_t halt; /* stopping has become true */
	struct zone_set *zones;
	struct id *running;        /* attempts; one slot for each thread, zero when free */
	struct fetcher **fetchers; /* those that no probe is using */
	size_t fetcher_count;
	unsigned taken; /* deliveries in our hands */
	bool stopping;
};

struct task {
	struct validator *v;
	struct bus_delivery *delivery;
};

/* --- what a probe borrows -----------------------------------------------------------------------------------------*/

struct tools {
	struct validator *v;
	const struct zone_live *zone;
	struct fetcher *fetcher;
	const struct clock *clk;
};

static fallible op_resolve(void *ctx, struct str name, int64_t deadline_mono_ms, struct arena *mem,
			   struct resolve_answer *ret, struct err *err)
{
	struct tools *t = ctx;
	return resolve_addrs(t->zone->resolver, t->clk, deadline_mono_ms, name, mem, ret, err);
}

static fallible op_resolve_txt(void *ctx, struct str name, int64_t deadline_mono_ms, struct arena *mem,
			       struct resolve_txt_answer *ret, struct err *err)
{
	struct tools *t = ctx;
	return resolve_txt(t->zone->resolver, t->clk, deadline_mono_ms, name, mem, ret, err);
}

static fallible op_resolve_caa(void *ctx, struct str name, int64_t deadline_mono_ms, struct arena *mem,
			       struct resolve_caa_answer *ret, struct err *err)
{
	struct tools *t = ctx;
	return resolve_caa(t->zone->resolver, t->clk, deadline_mono_ms, name, mem, ret, err);
}

static bool op_in_static_table(void *ctx, struct str name)
{
	struct tools *t = ctx;
	return resolver_has_static(t->zone->resolver, name);
}

static struct str op_resolver_name(void *ctx, struct str name)
{
	struct tools *t = ctx;
	return resolver_describe(t->zone->resolver, name);
}

static fallible op_fetch(void *ctx, const struct fetch_request *rq, struct arena *mem, struct fetch_reply *ret,
			 struct err *err)
{
	struct tools *t = ctx;
	return fetch(t->fetcher, rq, mem, ret, err);
}

static fallible op_tls(void *ctx, const struct tls_probe_request *rq, struct arena *mem, struct tls_probe_reply *ret,
		       struct err *err)
{
	struct tools *t = ctx;
	return tls_probe(t->v->tls, rq, mem, ret, err);
}

static bool op_pause(void *ctx, int64_t ms)
{
	struct validator *v = ((struct tools *)ctx)->v;
	const struct timespec until = mono_after_ms(ms);
	pthread_mutex_lock(&v->lock);
	while (!v->stopping)
		if (pthread_cond_timedwait(&v->halt, &v->lock, &until) != 0)
			break;
	bool stopping = v->stopping;
	pthread_mutex_unlock(&v->lock);
	return !stopping;
}

/* Unsigned, and nobody waits for it: what cannot be sent is dropped. */
static void op_progress(void *ctx, const struct progress *progress)
{
	const struct validator *v = ((struct tools *)ctx)->v;
	AUTO(buf_done) struct buf message = BUF_MAX(PROGRESS_MAX);
	struct err why = { 0 };
	struct rc rc = progress_write(progress, &message, &why);
	if (!FAILED(rc))
		rc = bus_publish(v->bus, STR(TOPIC_PROGRESS), buf_str(&message), &why);
	if (FAILED(rc))
		LOG(v->log, LOG_DEBUG, "progress not published", KV_ID("attempt", progress->attempt), KV_ERR(&why));
}

static fallible fetcher_borrow(struct validator *v, struct fetcher **ret, struct err *err)
{
	struct fetcher *f = NULL;
	pthread_mutex_lock(&v->lock);
	if (v->fetcher_count > 0)
		f = v->fetchers[--v->fetcher_count];
	pthread_mutex_unlock(&v->lock);
	if (f == NULL)
		return fetcher_new(false, ret, err);
	*ret = f;
	return OK;
}

static void fetcher_return(struct validator *v, struct fetcher *f)
{
	pthread_mutex_lock(&v->lock);
	v->fetchers[v->fetcher_count++] = f; /* there are at most as many as threads */
	pthread_mutex_unlock(&v->lock);
}

/* --- one job ------------------------------------------------------------------------------------------------------*/

/* False: it is running already. */
static bool attempt_begin(struct validator *v, struct id attempt)
{
	bool found = false;
	pthread_mutex_lock(&v->lock);
	struct id *slot = NULL;
	for (unsigned i = 0; i < v->threads; i++) {
		found = found || id_eq(v->running[i], attempt);
		if (slot == NULL && id_is_zero(v->running[i]))
			slot = &v->running[i];
	}
	if (!found && slot != NULL)
		*slot = attempt;
	pthread_mutex_unlock(&v->lock);
	return !found;
}

static void attempt_end(struct validator *v, struct id attempt)
{
	pthread_mutex_lock(&v->lock);
	for (unsigned i = 0; i < v->threads; i++)
		if (id_eq(v->running[i], attempt))
			v->running[i] = (struct id){ 0 };
	pthread_mutex_unlock(&v->lock);
}

/* A verdict that says nothing about the name: the zone is not ours, or we have no means to probe. */
static void verdict_of_fault(const struct validator *v, const struct validate_job *job, const struct err *why,
			     struct verdict *ret)
{
	int64_t now = clock_now_ms(v->clk);
	*ret = (struct verdict){
		.attempt = job->attempt,
		.authz = job->authz,
		.perspective = str_z(v->perspective),
		.realm = job->realm,
		.zone = job->zone,
		.method = job->method,
		.ident = job->ident,
		.wildcard = job->wildcard,
		.subdomains = job->subdomains,
		.token = job->token,
		.thumbprint = job->thumbprint,
		.account_url = job->account_url,
		.caa_only = job->caa_only,
		.granted = job->granted,
		.problem = ERR_INTERNAL,
		.problem_detail = str_z(why->detail),
		.started_ms = now,
		.finished_ms = now,
		.caa = STR("not-checked"),
	};
}

/* *ret_stopping: there is no verdict yet, and this program will not find one. */
static fallible probe_live(struct validator *v, const struct zone_set *zones, const struct validate_job *job,
			   struct arena *mem, struct verdict *ret, bool *ret_stopping, struct err *why)
{
	struct tools tools = { .v = v, .zone = zone_set_find(zones, job->zone), .clk = v->clk };
	if (tools.zone == NULL)
		FAIL(why, ERR_INTERNAL,
		     "zone \"%.*s\" is not served by perspective \"%s\": check zone.perspectives here",
		     STR_FMT(job->zone), v->perspective);
	const struct conf_realm *realm = zone_set_realm(zones, job->realm);
	if (realm == NULL)
		FAIL(why, ERR_INTERNAL, "realm \"%.*s\" is not in the configuration of perspective \"%s\"",
		     STR_FMT(job->realm), v->perspective);
	TRY(fetcher_borrow(v, &tools.fetcher, why));
	const struct probe_ops ops = { .resolve = op_resolve,
				       .resolve_txt = op_resolve_txt,
				       .resolve_caa = op_resolve_caa,
				       .in_static_table = op_in_static_table,
				       .resolver_name = op_resolver_name,
				       .fetch = op_fetch,
				       .tls = op_tls,
				       .pause = op_pause,
				       .progress = op_progress,
				       .ctx = &tools };
	const struct probe_env env = {
		.zone = &tools.zone->zone,
		.realm = realm,
		.allowed = tools.zone->allowed,
		.allowed_count = tools.zone->allowed_count,
		.ops = &ops,
		.crypto = v->crypto,
		.clk = v->clk,
		.perspective = str_z(v->perspective),
	};
	*ret_stopping = !probe_run_why(&env, job, mem, ret, why);
	fetcher_return(v, tools.fetcher);
	return OK;
}

static void log_outcome(const struct validator *v, const struct validate_job *job, const struct verdict *verdict,
			const struct err *why)
{
	const char *outcome = verdict->valid ? "valid" : verdict->problem == ERR_INTERNAL ? "fault" : "invalid";
	LOG(v->log, verdict->problem == ERR_INTERNAL ? LOG_ERROR : LOG_NOTICE, "probe finished",
	    KV_ID("order", job->order), KV_ID("authz", job->authz), KV_ID("attempt", job->attempt),
	    KV_STR("name", job->ident.value), KV_Z("outcome", outcome),
	    KV_Z("problem", err_kind_name(verdict->problem)), KV_STR("detail", verdict->problem_detail),
	    KV_Z("cause", why->cause), KV_I64("ms", verdict->finished_ms - verdict->started_ms));
}

static fallible verdict_sign(const struct validator *v, const struct validate_job *job, const struct verdict *verdict,
			     struct buf *ret, struct err *err)
{
	AUTO(buf_done) struct buf payload = BUF_MAX(VERDICT_PAYLOAD_MAX);
	AUTO(buf_done) struct buf jws = BUF_MAX(VERDICT_JWS_MAX);
	TRY(verdict_write(verdict, &payload, err));
	TRY(jws_compact_sign(v->crypto, v->key, STR(VERDICT_TYP), str_z(v->perspective), buf_str(&payload), &jws, err));
	struct verdict_message m = { job->attempt, job->order, str_z(v->perspective), buf_str(&jws) };
	return verdict_message_write(&m, ret, err);
}

/* What becomes of a delivery. */
enum ending {
	JOB_DONE,     /* nothing is to be said about it */
	JOB_ANSWERED, /* its verdict is sent, and the delivery is gone */
	JOB_AGAIN,    /* somebody should have it again */
	ENDING_COUNT
};

static enum ending job_answer(struct validator *v, struct bus_delivery *d, const struct validate_job *job,
			      const struct verdict *verdict)
{
	AUTO(buf_done) struct buf message = BUF_MAX(MESSAGE_MAX);
	struct err err = { 0 };
	if (FAILED(verdict_sign(v, job, verdict, &message, &err))) {
		/* The same would happen again: the sweeper ends the attempt. */
		LOG(v->log, LOG_ERROR, "verdict not made", KV_ID("order", job->order), KV_ID("attempt", job->attempt),
		    KV_ERR(&err));
		return JOB_DONE;
	}
	FP("validate.before_publish");
	if (!FAILED(bus_answer(d, STR(TOPIC_VERDICT), buf_str(&message), &err))) {
		FP("validate.after_publish");
		return JOB_ANSWERED;
	}
	LOG(v->log, LOG_WARNING, "verdict not published", KV_ID("order", job->order), KV_ID("attempt", job->attempt),
	    KV_ERR(&err));
	return JOB_AGAIN;
}

static enum ending job_probe(struct validator *v, struct bus_delivery *d, const struct validate_job *job,
			     struct arena *mem)
{
	pthread_mutex_lock(&v->lock);
	struct zone_set *zones = zone_set_ref(v->zones);
	pthread_mutex_unlock(&v->lock);
	struct verdict verdict;
	struct err why = { 0 };
	bool stopping = false;
	if (FAILED(probe_live(v, zones, job, mem, &verdict, &stopping, &why)))
		verdict_of_fault(v, job, &why, &verdict);
	zone_set_unref(zones);
	if (stopping) {
		LOG(v->log, LOG_INFO, "probe given back", KV_ID("order", job->order), KV_ID("attempt", job->attempt),
		    KV_STR("name", job->ident.value));
		return JOB_AGAIN;
	}
	log_outcome(v, job, &verdict, &why);
	return job_answer(v, d, job, &verdict);
}

static enum ending job_run(struct validator *v, struct bus_delivery *d)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct validate_job job;
	struct err err = { 0 };
	if (FAILED(validate_job_read(&mem, bus_delivery_body(d), &job, &err))) {
		LOG(v->log, LOG_ERROR, "validate job refused", KV_ERR(&err));
		return JOB_DONE; /* it would not read better the next time */
	}
	int64_t late = clock_now_ms(v->clk) - job.deadline_ms;
	if (late >= 0) {
		LOG(v->log, LOG_WARNING, "validate job too late", KV_ID("order", job.order),
		    KV_ID("attempt", job.attempt), KV_I64("late_ms", late));
		return JOB_DONE;
	}
	if (!attempt_begin(v, job.attempt)) {
		LOG(v->log, LOG_INFO, "validate job repeated", KV_ID("order", job.order),
		    KV_ID("attempt", job.attempt));
		return JOB_DONE;
	}
	enum ending how = job_probe(v, d, &job, &mem);
	attempt_end(v, job.attempt);
	return how;
}

static void task_end(struct validator *v, struct bus_delivery *d, enum ending how)
{
	switch (how) {
	case JOB_DONE:
		bus_ack(d);
		break;
	case JOB_AGAIN:
		bus_nack(d);
		break;
	case JOB_ANSWERED:
	case ENDING_COUNT:
		break;
	}
	pthread_mutex_lock(&v->lock);
	v->taken--;
	pthread_cond_broadcast(&v->idle);
	pthread_mutex_unlock(&v->lock);
}

static void task_run(void *arg)
{
	struct task *task = arg;
	struct validator *v = task->v;
	pthread_mutex_lock(&v->lock);
	bool stopping = v->stopping;
	pthread_mutex_unlock(&v->lock);
	task_end(v, task->delivery, stopping ? JOB_AGAIN : job_run(v, task->delivery));
	free(task);
}

/* Bus thread. There are no more credits than room in the pool, so it is only ever refused while stopping. */
static void on_job(void *ctx, struct bus_delivery *d)
{
	struct validator *v = ctx;
	struct task *task = mem_alloc(sizeof *task);
	*task = (struct task){ v, d };
	pthread_mutex_lock(&v->lock);
	v->taken++;
	pthread_mutex_unlock(&v->lock);
	if (!FAILED(workers_submit(v->workers, task_run, task, NULL)))
		return;
	free(task);
	task_end(v, d, JOB_AGAIN);
}

/* --- starting and stopping ----------------------------------------------------------------------------------------*/

static void validator_auto(struct validator **v)
{
	validator_free(*v);
}

static void cond_init(pthread_cond_t *c)
{
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(c, &attr);
	pthread_condattr_destroy(&attr);
}

fallible validator_new(const struct conf *conf, struct bus *bus, const struct crypto *crypto,
		       const struct key *perspective_key, const struct log *log, const struct clock *clk,
		       struct validator **ret, struct err *err)
{
	int64_t probes = conf->validator.probes_max < 1 ? 1 : conf->validator.probes_max;
	AUTO(validator_auto) struct validator *v = mem_alloc(sizeof *v);
	*v = (struct validator){
		.bus = bus,
		.crypto = crypto,
		.key = perspective_key,
		.log = log,
		.clk = clk,
		.perspective = mem_dupz(conf->validator.perspective),
		.probes_max = (unsigned)(probes < 10000 ? probes : 10000),
	};
	v->threads = v->probes_max < THREADS_MAX ? v->probes_max : THREADS_MAX;
	v->running = mem_alloc_n(sizeof *v->running, v->threads);
	v->fetchers = mem_alloc_n(sizeof *v->fetchers, v->threads);
	pthread_mutex_init(&v->lock, NULL);
	cond_init(&v->idle);
	cond_init(&v->halt);
	TRY(tls_client_new(&v->tls, err));
	TRY(zone_set_new(conf, conf->validator.perspective, &v->zones, err));
	struct rc rc = workers_new("probe", v->threads, v->probes_max, PROBE_STACK, &v->workers, err);
	if (FAILED(rc)) {
		err_prefix(err,
			   "validator.probes-max wants %u threads: lower it, or raise what limits them (TasksMax, a "
			   "container's pids limit, ulimit -u): ",
			   v->threads);
		return rc;
	}
	*ret = TAKE(v);
	return OK;
}

fallible validator_start(struct validator *v, struct err *err)
{
	char topic[BUS_TOPIC_MAX];
	int n = snprintf(topic, sizeof topic, "%s.%s", TOPIC_VALIDATE, v->perspective);
	if (n < 0 || (size_t)n >= sizeof topic)
		FAIL(err, ERR_CONFIG, "perspective \"%s\" is too long for a topic", v->perspective);
	return bus_consume(v->bus, str_z(topic), v->probes_max, on_job, v, err);
}

fallible validator_reload(struct validator *v, const struct conf *conf, struct err *err)
{
	struct zone_set *fresh;
	TRY(zone_set_new(conf, str_z(v->perspective), &fresh, err));
	pthread_mutex_lock(&v->lock);
	struct zone_set *old = v->zones;
	v->zones = fresh;
	pthread_mutex_unlock(&v->lock);
	zone_set_unref(old);
	return OK;
}

void validator_drain(struct validator *v, int64_t wait_ms)
{
	const struct timespec until = mono_after_ms(wait_ms);
	pthread_mutex_lock(&v->lock);
	v->stopping = true;
	pthread_cond_broadcast(&v->halt);
	while (v->taken > 0)
		if (pthread_cond_timedwait(&v->idle, &v->lock, &until) != 0)
			break;
	pthread_mutex_unlock(&v->lock);
}

void validator_free(struct validator *v)
{
	if (v == NULL)
		return;
	pthread_mutex_lock(&v->lock);
	v->stopping = true; /* what is queued goes back to the bus; what runs ends within its deadline */
	pthread_cond_broadcast(&v->halt);
	pthread_mutex_unlock(&v->lock);
	workers_free(v->workers);
	for (size_t i = 0; i < v->fetcher_count; i++)
		fetcher_free(v->fetchers[i]);
	tls_client_free(v->tls);
	zone_set_unref(v->zones);
	pthread_cond_destroy(&v->halt);
	pthread_cond_destroy(&v->idle);
	pthread_mutex_destroy(&v->lock);
	free(v->perspective);
	free(v->running);
	free(v->fetchers);
	free(v);
}

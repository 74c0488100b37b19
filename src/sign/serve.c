/* SPDX-License-Identifier: Apache-2.0
 *
 * serve.c: the signer on the bus. The bus's thread only queues; one thread signs, because one journal has one writer,
 * and takes whatever waits as one batch: the busier it is, the more certificates share a sync. A job is acknowledged
 * after its result was handed over; when in doubt it comes again, and the journal gives the same answer.
 */
#include "sign/signer_internal.h"

#include <signal.h>
#include <time.h>

#define RETRY_AFTER_MS 1000
#define RESULT_MAX JOB_MAX

void queue_init(struct signer_queue *q)
{
	pthread_condattr_t mono;
	pthread_condattr_init(&mono);
	pthread_condattr_setclock(&mono, CLOCK_MONOTONIC);
	pthread_mutex_init(&q->lock, NULL);
	pthread_cond_init(&q->wake, &mono);
	pthread_cond_init(&q->idle, &mono);
	pthread_condattr_destroy(&mono);
}

void queue_done(struct signer_queue *q)
{
	pthread_cond_destroy(&q->idle);
	pthread_cond_destroy(&q->wake);
	pthread_mutex_destroy(&q->lock);
}

/* On the bus's thread. The credits keep the queue from filling; were it full, somebody else may have the job. */
static void signer_met_job(void *ctx, struct bus_delivery *d)
{
	struct signer *s = ctx;
	struct signer_queue *q = &s->queue;
	pthread_mutex_lock(&q->lock);
	bool take = !q->stop && q->count < SIGN_QUEUE_MAX;
	if (take)
		q->v[(q->head + q->count++) % SIGN_QUEUE_MAX] = d;
	pthread_mutex_unlock(&q->lock);
	if (take)
		pthread_cond_signal(&q->wake); /* after the lock, so that the woken one does not run into it */
	else
		bus_nack(d);
}

/* Waits for work; 0 means stop. */
static size_t queue_take(struct signer_queue *q, struct bus_delivery **v, size_t max)
{
	size_t n = 0;
	pthread_mutex_lock(&q->lock);
	q->busy = false;
	pthread_cond_broadcast(&q->idle);
	while (!q->stop && q->count == 0)
		pthread_cond_wait(&q->wake, &q->lock);
	while (!q->stop && n < max && q->count > 0) {
		v[n++] = q->v[q->head];
		q->head = (q->head + 1) % SIGN_QUEUE_MAX;
		q->count--;
	}
	q->busy = n > 0;
	pthread_mutex_unlock(&q->lock);
	return n;
}

static void queue_give_back(struct signer_queue *q)
{
	pthread_mutex_lock(&q->lock);
	while (q->count > 0) {
		struct bus_delivery *d = q->v[q->head];
		q->head = (q->head + 1) % SIGN_QUEUE_MAX;
		q->count--;
		pthread_mutex_unlock(&q->lock);
		bus_nack(d);
		pthread_mutex_lock(&q->lock);
	}
	pthread_mutex_unlock(&q->lock);
}

static void queue_pause(struct signer_queue *q, int64_t ms)
{
	struct timespec until = mono_after_ms(ms);
	pthread_mutex_lock(&q->lock);
	while (!q->stop && pthread_cond_timedwait(&q->wake, &q->lock, &until) == 0)
		continue;
	pthread_mutex_unlock(&q->lock);
}

/* A result that cannot be handed over now is asked for again: the job goes back. */
static void serve_result(struct signer *s, struct bus_delivery *d, const struct sign_result *r)
{
	AUTO(buf_done) struct buf body = BUF_MAX(RESULT_MAX);
	struct err err = { 0 };
	struct rc rc = sign_result_write(r, &body, &err);
	if (rc.kind == ERR_NONE)
		rc = bus_answer(d, STR(TOPIC_SIGNED), buf_str(&body), &err);
	if (rc.kind == ERR_NONE)
		return;
	LOG(s->log, LOG_WARNING, "result not handed over", KV_ID("order", r->order), KV_ID("issuance", r->issuance),
	    KV_ERR(&err));
	bus_nack(d);
}

static bool ids_of(struct str body, struct id *ret_issuance, struct id *ret_order)
{
	AUTO(json_auto) struct json *top = NULL;
	struct str issuance, order;
	return !FAILED(json_read(body, JOB_MAX, &top, NULL)) &&
	       !FAILED(json_want_str(top, "issuance", ID_TEXT_LEN, &issuance, NULL)) &&
	       !FAILED(json_want_str(top, "order", ID_TEXT_LEN, &order, NULL)) &&
	       !FAILED(id_read(issuance, ret_issuance, NULL)) && !FAILED(id_read(order, ret_order, NULL));
}

/* The api does not send such a job: somebody else has the bus, or versions are mixed. It would be no better a second
 * time. */
static void serve_malformed(struct signer *s, struct bus_delivery *d, const struct err *why)
{
	struct sign_result r = { .problem = ERR_MALFORMED, .problem_detail = str_z(why->detail) };
	LOG(s->log, LOG_ERROR, "alarm: malformed sign job", KV_ERR(why));
	if (ids_of(bus_delivery_body(d), &r.issuance, &r.order))
		serve_result(s, d, &r);
	else
		bus_ack(d);
}

static void queue_set_broken(struct signer *s)
{
	pthread_mutex_lock(&s->queue.lock);
	s->queue.broken = s->queue.stop = true;
	pthread_mutex_unlock(&s->queue.lock);
	if (s->on_broken != NULL)
		s->on_broken(s->on_broken_ctx);
}

static void serve_failed(struct signer *s, struct bus_delivery *const *d, size_t count, const struct err *why)
{
	bool broken = why->kind != ERR_UNAVAILABLE || journal_is_broken(s->journal);
	LOG(s->log, LOG_ERROR, broken ? "signer failed, stopping" : "signing stands still", KV_U64("jobs", count),
	    KV_ERR(why));
	for (size_t i = 0; i < count; i++)
		bus_nack(d[i]);
	if (broken)
		queue_set_broken(s);
	else
		queue_pause(&s->queue, RETRY_AFTER_MS);
}

static fallible serve_together(struct signer *s, struct arena *mem, struct bus_delivery *const *d,
			       const struct sign_job *jobs, size_t count, struct err *err)
{
	struct sign_result *results = ARENA_ARRAY(mem, struct sign_result, count);
	TRY(signer_batch(s, mem, jobs, count, results, err));
	FP("sign.before_publish");
	for (size_t i = 0; i < count; i++)
		serve_result(s, d[i], &results[i]);
	return OK;
}

/* A token that is away holds up its own issuer's jobs, and not those that came with them. How many are left, in front. */
static size_t serve_apart(struct signer *s, struct arena *mem, struct bus_delivery **d, const struct sign_job *jobs,
			  size_t count, struct err *err)
{
	size_t left = 0;
	for (size_t i = 0; i < count; i++) {
		struct err why = { 0 };
		bool goes_on = err->kind == ERR_UNAVAILABLE && !journal_is_broken(s->journal);
		if (goes_on && !FAILED(serve_together(s, mem, &d[i], &jobs[i], 1, &why)))
			continue;
		if (goes_on)
			*err = why;
		d[left++] = d[i];
	}
	return left;
}

static void serve_batch(struct signer *s, struct bus_delivery *const *d, size_t count)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct sign_job *jobs = ARENA_ARRAY(&mem, struct sign_job, SIGN_BATCH_MAX);
	struct bus_delivery *of[SIGN_BATCH_MAX];
	size_t n = 0;
	for (size_t i = 0; i < count; i++) {
		struct err why = { 0 };
		if (FAILED(sign_job_read(&mem, bus_delivery_body(d[i]), &jobs[n], &why)))
			serve_malformed(s, d[i], &why);
		else
			of[n++] = d[i];
	}
	struct err err = { 0 };
	if (n == 0 || !FAILED(serve_together(s, &mem, of, jobs, n, &err)))
		return;
	if (n > 1)
		n = serve_apart(s, &mem, of, jobs, n, &err);
	if (n > 0)
		serve_failed(s, of, n, &err);
}

static void *signer_main(void *ctx)
{
	struct signer *s = ctx;
	struct bus_delivery *d[SIGN_BATCH_MAX];
	for (size_t n; (n = queue_take(&s->queue, d, SIGN_BATCH_MAX)) > 0;)
		serve_batch(s, d, n);
	queue_give_back(&s->queue);
	return NULL;
}

fallible signer_start(struct signer *s, struct bus *bus, struct err *err)
{
	sigset_t before;
	s->bus = bus;
	TRY(bus_consume(bus, STR(TOPIC_SIGN), SIGN_CREDITS, signer_met_job, s, err));
	signals_block(&before);
	int e = pthread_create(&s->thread, NULL, signer_main, s);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (e != 0)
		FAIL(err, ERR_IO, "the signer's thread: %s", strerror(e));
	s->thread_runs = true;
	return OK;
}

void signer_on_broken(struct signer *s, void (*fn)(void *ctx), void *ctx)
{
	s->on_broken = fn;
	s->on_broken_ctx = ctx;
}

bool signer_is_broken(struct signer *s)
{
	pthread_mutex_lock(&s->queue.lock);
	bool broken = s->queue.broken;
	pthread_mutex_unlock(&s->queue.lock);
	return broken;
}

void signer_drain(struct signer *s, int64_t wait_ms)
{
	struct signer_queue *q = &s->queue;
	struct timespec until = mono_after_ms(wait_ms);
	pthread_mutex_lock(&q->lock);
	q->stop = true;
	pthread_cond_broadcast(&q->wake);
	while (q->busy && pthread_cond_timedwait(&q->idle, &q->lock, &until) == 0)
		continue;
	pthread_mutex_unlock(&q->lock);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * responder.c: answers http-01 probes (RFC 8555 8.3) and nothing else, from a table of tokens, on one thread. A probe's
 * request is there when its connection is accepted (TCP_DEFER_ACCEPT), so that the usual answer costs accept, recv,
 * send and close; only who is slow gets a watch and a deadline.
 */
#include "client/listen.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define HEAD_MAX 4096
#define ANSWERS_MAX 65536
#define BUCKETS_MIN 64

struct answer {
	struct answer *next;
	uint64_t hash;
	struct str token, key_authorization; /* behind the struct, in one piece */
};

struct slow { /* a connection whose head has not come whole */
	struct guest guest;
	struct responder *r;
	size_t n;
	char head[HEAD_MAX];
};

struct responder {
	struct listener listener;
	uint8_t hash_key[16];
	pthread_mutex_t lock; /* the table */
	struct answer **buckets;
	size_t bucket_count, answer_count;
};

/* --- the table ----------------------------------------------------------------------------------------------------*/

static struct answer **find(struct responder *r, uint64_t hash, struct str token)
{
	struct answer **at = &r->buckets[hash & (r->bucket_count - 1)];
	while (*at != NULL && ((*at)->hash != hash || !str_eq((*at)->token, token)))
		at = &(*at)->next;
	return at;
}

static void grow(struct responder *r)
{
	size_t count = 2 * r->bucket_count;
	struct answer **wider = mem_alloc_n(sizeof(struct answer *), count);
	for (size_t i = 0; i < r->bucket_count; i++) {
		for (struct answer *a = r->buckets[i], *next; a != NULL; a = next) {
			next = a->next;
			a->next = wider[a->hash & (count - 1)];
			wider[a->hash & (count - 1)] = a;
		}
	}
	free(r->buckets);
	r->buckets = wider;
	r->bucket_count = count;
}

static struct answer *answer_new(uint64_t hash, struct str token, struct str key_authorization)
{
	struct answer *a = mem_alloc(sizeof *a + token.n + key_authorization.n);
	char *text = (char *)(a + 1);
	memcpy(text, token.p, token.n);
	memcpy(text + token.n, key_authorization.p, key_authorization.n);
	a->hash = hash;
	a->token = str_n(text, token.n);
	a->key_authorization = str_n(text + token.n, key_authorization.n);
	return a;
}

fallible responder_add(struct responder *r, struct str token, struct str key_authorization, struct err *err)
{
	if (token.n == 0 || token.n > 512 || key_authorization.n == 0 || key_authorization.n > 1024)
		FAIL(err, ERR_MALFORMED, "an answer of %zu bytes for a token of %zu is not served", key_authorization.n,
		     token.n);
	uint64_t hash = hash_keyed(r->hash_key, token);
	struct answer *a = answer_new(hash, token, key_authorization);
	pthread_mutex_lock(&r->lock);
	struct answer **at = find(r, hash, token);
	struct answer *old = *at;
	bool full = old == NULL && r->answer_count >= ANSWERS_MAX;
	if (!full) {
		a->next = old == NULL ? NULL : old->next;
		*at = a;
		r->answer_count += old == NULL ? 1 : 0;
		if (r->answer_count > r->bucket_count)
			grow(r);
	}
	pthread_mutex_unlock(&r->lock);
	free(full ? a : old);
	if (full)
		FAIL(err, ERR_TOO_LARGE, "%d answers are up already", ANSWERS_MAX);
	return OK;
}

void responder_remove(struct responder *r, struct str token)
{
	uint64_t hash = hash_keyed(r->hash_key, token);
	pthread_mutex_lock(&r->lock);
	struct answer **at = find(r, hash, token);
	struct answer *a = *at;
	if (a != NULL) {
		*at = a->next;
		r->answer_count--;
	}
	pthread_mutex_unlock(&r->lock);
	free(a);
}

/* --- one request --------------------------------------------------------------------------------------------------*/

#define REPLY_MAX 2048
#define REFUSAL(line) "HTTP/1.1 " line "\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

/* The token of exactly "GET /.well-known/acme-challenge/TOKEN HTTP/1.1", or the refusal. What the head's other lines
 * say changes nothing. */
static const char *request_read(struct str head, struct str *ret_token)
{
	struct str line = str_sub(head, 0, str_find(head, '\r', 0));
	size_t method_end = str_find(line, ' ', 0);
	if (!str_ends(line, STR(" HTTP/1.1")))
		return REFUSAL("400 Bad Request");
	if (!str_eq(str_sub(line, 0, method_end), STR("GET")))
		return REFUSAL("405 Method Not Allowed\r\nAllow: GET");
	struct str path = str_sub(line, method_end + 1, line.n - 9);
	if (!str_skip(&path, STR("/.well-known/acme-challenge/")))
		return REFUSAL("404 Not Found");
	*ret_token = path;
	return NULL;
}

static struct str reply_make(struct responder *r, struct str head, char out[REPLY_MAX])
{
	struct str token = STR_NONE;
	const char *refusal = request_read(head, &token);
	if (refusal != NULL)
		return str_z(refusal);
	uint64_t hash = hash_keyed(r->hash_key, token);
	int n = 0;
	pthread_mutex_lock(&r->lock);
	const struct answer *a = *find(r, hash, token);
	if (a != NULL)
		n = snprintf(out, REPLY_MAX,
			     "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: %zu\r\n"
			     "Connection: close\r\n\r\n%.*s",
			     a->key_authorization.n, STR_FMT(a->key_authorization));
	pthread_mutex_unlock(&r->lock);
	return n > 0 && n < REPLY_MAX ? str_n(out, (size_t)n) : STR(REFUSAL("404 Not Found"));
}

enum reading { READING_MORE, READING_END };

/* Reads what is there; answers when the head is whole. A reply fits the socket's buffer, so it is sent or it is not. */
static enum reading read_and_answer(struct responder *r, int fd, char head[HEAD_MAX], size_t *n)
{
	char out[REPLY_MAX];
	for (;;) {
		if (*n == HEAD_MAX)
			return READING_END;
		ssize_t got = recv(fd, head + *n, HEAD_MAX - *n, 0);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return READING_MORE;
		if (got <= 0)
			return READING_END;
		*n += (size_t)got;
		if (memmem(head, *n, "\r\n\r\n", 4) == NULL)
			continue;
		struct str reply = reply_make(r, str_n(head, *n), out);
		ssize_t sent;
		do
			sent = send(fd, reply.p, reply.n, MSG_NOSIGNAL);
		while (sent < 0 && errno == EINTR);
		return READING_END;
	}
}

/* --- connections --------------------------------------------------------------------------------------------------*/

static void slow_ready(struct guest *g)
{
	struct slow *s = (struct slow *)g;
	if (read_and_answer(s->r, g->fd, s->head, &s->n) == READING_END)
		guest_end(g);
}

static void slow_ended(struct guest *g)
{
	free(g);
}

static void arrived(void *ctx, int fd)
{
	struct responder *r = ctx;
	char head[HEAD_MAX];
	size_t n = 0;
	if (read_and_answer(r, fd, head, &n) == READING_END) {
		fd_close(&fd);
		return;
	}
	struct slow *s = mem_alloc(sizeof *s);
	s->r = r;
	s->n = n;
	if (n > 0)
		memcpy(s->head, head, n);
	(void)guest_wait(&r->listener, &s->guest, fd);
}

static const struct listener_ops responder_ops = { arrived, slow_ready, slow_ended };

/* --- life ---------------------------------------------------------------------------------------------------------*/

fallible responder_new(const struct addr *addr, uint16_t port, struct responder **ret, struct err *err)
{
	struct responder *r = mem_alloc(sizeof *r);
	pthread_mutex_init(&r->lock, NULL);
	rng_fill(&rng_system, r->hash_key, sizeof r->hash_key);
	r->bucket_count = BUCKETS_MIN;
	r->buckets = mem_alloc_n(sizeof(struct answer *), r->bucket_count);
	struct rc rc = listener_start(&r->listener, addr, port, &responder_ops, r, err);
	if (FAILED(rc)) {
		responder_free(r);
		return rc;
	}
	*ret = r;
	return OK;
}

uint16_t responder_port(const struct responder *r)
{
	return r->listener.port;
}

void responder_free(struct responder *r)
{
	if (r == NULL)
		return;
	listener_stop(&r->listener);
	for (size_t i = 0; i < r->bucket_count; i++) {
		for (struct answer *a = r->buckets[i], *next; a != NULL; a = next) {
			next = a->next;
			free(a);
		}
	}
	free(r->buckets);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

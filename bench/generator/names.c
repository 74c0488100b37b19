/* SPDX-License-Identifier: Apache-2.0
 *
 * names.c: answers dns-01 (RFC 8555 8.4): a name server for all names, which has a TXT record for those that a client is
 * about to prove, and 127.0.0.1 for every one.
 */
#include "../dns_answer.h"
#include "generator.h"

#include <errno.h>
#include <stdlib.h>

#define BATCH 32

struct names {
	struct bench *b;
	int fd;
	struct loop_io *io;
};

/* Base64url of the SHA-256 of the key authorization. */
static bool record(void *ctx, const char *name, size_t n, uint8_t out[DNS_TXT_MAX], size_t *ret_n)
{
	const struct names *d = ctx;
	AUTO(buf_done) struct buf text = BUF_MAX(DNS_TXT_MAX);
	struct str asked = str_n(name, n);
	struct client_answer a;
	uint8_t hash[32];
	if (!str_skip(&asked, STR("_acme-challenge.")) || !clients_answer(d->b, asked, &a) ||
	    FAILED(client_answer_hash(d->b, &a, hash)) || FAILED(b64url_add(&text, str_n(hash, sizeof hash), NULL)))
		return false;
	memcpy(out, text.p, text.n);
	*ret_n = text.n;
	return true;
}

static void asked(struct loop *l, unsigned events, void *arg)
{
	struct names *d = arg;
	const struct dns_txt txt = { record, d };
	(void)l;
	(void)events;
	for (unsigned i = 0; i < BATCH; i++) {
		uint8_t p[DNS_PACKET_MAX];
		struct sockaddr_in from;
		socklen_t from_n = sizeof from;
		ssize_t n = recvfrom(d->fd, p, sizeof p, 0, (struct sockaddr *)&from, &from_n);
		if (n < 0)
			return;
		size_t out = dns_answer(p, (size_t)n, &txt);
		if (out > 0)
			(void)sendto(d->fd, p, out, 0, (const struct sockaddr *)&from, from_n);
	}
}

static fallible names_new(struct bench *b, uint16_t port, void **ret, struct err *err)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct names *d = mem_alloc(sizeof *d);
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	*ret = d;
	d->b = b;
	d->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (d->fd < 0 || bind(d->fd, (const struct sockaddr *)&at, sizeof at) != 0)
		FAIL(err, ERR_IO, "UDP on 127.0.0.1:%u: %s", port, strerrordesc_np(errno));
	return loop_watch(b->loop, d->fd, LOOP_READ, asked, d, &d->io, err);
}

static void names_free(void *ctx)
{
	struct names *d = ctx;
	loop_io_free(d->io);
	fd_close(&d->fd);
	free(d);
}

const struct answerer answerer_dns = { names_new, names_free };

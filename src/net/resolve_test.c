/* SPDX-License-Identifier: Apache-2.0
 *
 * resolve_test.c: against a tiny name server on loopback, whose answer is chosen by the first label of the name.
 */
#include "net/resolve_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define THREADS 50
#define PACKET_MAX 65535
#define UDP_MAX 1232
#define SLOW_MAX 1024

/* --- the name server ----------------------------------------------------------------------------------------------*/

struct dns {
	int udp, tcp;
	uint16_t port;
	pthread_t thread;
	atomic_bool stop;
	struct packet *out;                   /* the thread's */
	atomic_int questions, over_tcp, sick; /* SICK_COUNT: healthy */
	atomic_bool sulks;                    /* "sulky" fails, and only after a while */
	struct slow *slow;                    /* the thread's: a ring of answers that wait for their time */
	size_t slow_first, slow_count;
};

/* What a server makes of "later" until it is healed, then an answer. */
enum sick { SICK_NXDOMAIN, SICK_SERVFAIL, SICK_NODATA, SICK_OTHER, SICK_COUNT };

enum act { ACT_ANSWER, ACT_NXDOMAIN, ACT_SERVFAIL, ACT_DROP, ACT_TRUNCATE, ACT_CNAME, ACT_LOOP, ACT_LEADS_NOWHERE };
/* Over the second after which the library asks again, and under the two seconds that it waits then. Longer, a server that does not
 * join repeated questions, as this one, may be left before each of its answers (docs/operations.md). */
#define SLOW_MS 1500
#define SULKY_MS 800
#define QUICK_MS 3000
enum txt { TXT_NONE, TXT_ONE, TXT_STRINGS, TXT_BINARY, TXT_EMPTY, TXT_HUNDRED, TXT_64K, TXT_TOO_MANY, TXT_BROKEN };
static const struct host {
	const char *label;
	enum act act;
	int a_count, aaaa_count;
	enum act aaaa_act;
	enum txt txt;
} hosts[] = {
	{ "v4", ACT_ANSWER, 1, 0, ACT_ANSWER, TXT_NONE },
	{ "v6", ACT_ANSWER, 0, 1, ACT_ANSWER, TXT_NONE },
	{ "both", ACT_ANSWER, 1, 1, ACT_ANSWER, TXT_NONE },
	{ "many", ACT_ANSWER, 20, 20, ACT_ANSWER, TXT_NONE },
	{ "none", ACT_ANSWER, 0, 0, ACT_ANSWER, TXT_NONE },
	{ "nx", ACT_NXDOMAIN, 0, 0, ACT_NXDOMAIN, TXT_NONE },
	{ "servfail", ACT_SERVFAIL, 0, 0, ACT_SERVFAIL, TXT_NONE },
	{ "drop", ACT_DROP, 0, 0, ACT_DROP, TXT_NONE },
	{ "half", ACT_ANSWER, 1, 0, ACT_DROP, TXT_NONE },
	{ "big", ACT_TRUNCATE, 1, 0, ACT_ANSWER, TXT_ONE },
	{ "alias", ACT_CNAME, 1, 0, ACT_CNAME, TXT_ONE },
	{ "target", ACT_ANSWER, 1, 0, ACT_ANSWER, TXT_ONE },
	{ "loop", ACT_LOOP, 0, 0, ACT_LOOP, TXT_NONE },
	{ "nowhere", ACT_LEADS_NOWHERE, 0, 0, ACT_LEADS_NOWHERE, TXT_NONE },
	{ "one", ACT_ANSWER, 0, 0, ACT_ANSWER, TXT_ONE },
	{ "strings", ACT_ANSWER, 0, 0, ACT_ANSWER, TXT_STRINGS },
	{ "binary", ACT_ANSWER, 0, 0, ACT_ANSWER, TXT_BINARY },
	{ "blank", ACT_ANSWER, 0, 0, ACT_ANSWER, TXT_EMPTY },
	{ "hundred", ACT_ANSWER, 0, 0, ACT_ANSWER, TXT_HUNDRED },
	{ "64k", ACT_ANSWER, 0, 0, ACT_ANSWER, TXT_64K },
	{ "toomany", ACT_ANSWER, 0, 0, ACT_ANSWER, TXT_TOO_MANY },
	{ "broken", ACT_ANSWER, 0, 0, ACT_ANSWER, TXT_BROKEN },
	{ "later", ACT_ANSWER, 1, 0, ACT_ANSWER, TXT_ONE },
	{ "slow", ACT_ANSWER, 1, 0, ACT_ANSWER, TXT_NONE },
	{ "sulky", ACT_ANSWER, 1, 0, ACT_ANSWER, TXT_ONE },
	{ "caa", ACT_ANSWER, 0, 0, ACT_ANSWER, TXT_NONE },
	{ "caa-alias", ACT_CNAME, 0, 0, ACT_CNAME, TXT_NONE },
	{ "caa-broken", ACT_ANSWER, 0, 0, ACT_ANSWER, TXT_NONE },
	{ "caa-many", ACT_ANSWER, 0, 0, ACT_ANSWER, TXT_NONE },
};

struct packet {
	uint8_t b[PACKET_MAX];
	size_t n;
};

struct slow {
	int64_t due_ms;
	struct sockaddr_storage to;
	size_t n;
	uint8_t b[512];
};

static void put(struct packet *p, const void *from, size_t n)
{
	assert_true(p->n + n <= sizeof p->b);
	memcpy(p->b + p->n, from, n);
	p->n += n;
}

static void put_u16(struct packet *p, unsigned v)
{
	const uint8_t two[2] = { (uint8_t)(v >> 8), (uint8_t)v };
	put(p, two, 2);
}

static void put_record(struct packet *p, const void *owner, size_t owner_n, unsigned type, const void *data, size_t n)
{
	put(p, owner, owner_n);
	put_u16(p, type);
	put_u16(p, 1);
	put_u16(p, 0);
	put_u16(p, 3600);
	put_u16(p, (unsigned)n);
	put(p, data, n);
}

static size_t put_addresses(struct packet *out, const void *owner, size_t owner_n, unsigned type, const struct host *h)
{
	int count = type == 1 ? h->a_count : type == 28 ? h->aaaa_count : 0;
	for (int i = 0; i < count; i++) {
		uint8_t v4[4] = { 192, 0, 2, (uint8_t)(7 + i) };
		uint8_t v6[16] = { 0x20, 1, 0x0d, 0xb8, [15] = (uint8_t)(7 + i) };
		if (type == 1)
			put_record(out, owner, owner_n, type, v4, sizeof v4);
		else
			put_record(out, owner, owner_n, type, v6, sizeof v6);
	}
	return (size_t)count;
}

static void put_txt(struct packet *p, const void *owner, size_t owner_n, const char *data, size_t n)
{
	put_record(p, owner, owner_n, 16, data, n);
}

/* Each as the wire has it: a string is its length and its bytes. */
static size_t put_texts(struct packet *out, const void *owner, size_t owner_n, enum txt txt)
{
	char long_string[256], text[32];
	size_t count = txt == TXT_HUNDRED ? 100 : txt == TXT_64K ? 240 : txt == TXT_TOO_MANY ? 1100 : 0;
	memset(long_string, 'x', sizeof long_string);
	long_string[0] = (char)255;
	switch (txt) {
	case TXT_NONE:
		return 0;
	case TXT_ONE:
		put_txt(out, owner, owner_n, "\x05hello", 6);
		return 1;
	case TXT_STRINGS:
		put_txt(out, owner, owner_n, "\x03one\x00\x01 \x05three", 13);
		put_txt(out, owner, owner_n, "\x02xy", 3);
		return 2;
	case TXT_BINARY:
		put_txt(out, owner, owner_n, "\x04\x00\xff\"\n", 5);
		return 1;
	case TXT_EMPTY:
		put_txt(out, owner, owner_n, "\x00", 1);
		return 1;
	case TXT_BROKEN: /* the second string says that it is longer than the record */
		put_txt(out, owner, owner_n, "\x01x\x7fyz", 5);
		put_txt(out, owner, owner_n, "\x05hello", 6);
		return 2;
	case TXT_HUNDRED:
	case TXT_64K:
	case TXT_TOO_MANY:
		for (size_t i = 0; i < count; i++) {
			int n = snprintf(text + 1, sizeof text - 1, "record %zu", i);
			text[0] = (char)n;
			memcpy(long_string + 1, text + 1, (size_t)n); /* or all would be one record to the resolver */
			if (txt == TXT_64K)
				put_txt(out, owner, owner_n, long_string, sizeof long_string);
			else
				put_txt(out, owner, owner_n, text, (size_t)n + 1);
		}
		return count;
	}
	return 0;
}

static size_t put_caa(struct packet *out, const void *owner, size_t owner_n, unsigned type, const void *data, size_t n)
{
	put_record(out, owner, owner_n, type, data, n);
	return 1;
}

/* RFC 8659 4.1: flags, the tag with its length, the value. */
static size_t put_caas(struct packet *out, const void *owner, size_t owner_n, unsigned type, const struct host *h)
{
	char text[64];
	size_t count = 0;
	if (strcmp(h->label, "caa") == 0 || strcmp(h->label, "target") == 0) {
		count += put_caa(out, owner, owner_n, type, "\x00\x05issueca.test; a=b", 19);
		count += put_caa(out, owner, owner_n, type, "\x80\x03tbs", 5);
	} else if (strcmp(h->label, "caa-broken") == 0) {
		count += put_caa(out, owner, owner_n, type, "\x00\x05issueca.test", 14);
		count += put_caa(out, owner, owner_n, type, "\x00\x00x", 3);
		count += put_caa(out, owner, owner_n, type, "\x00\x09issue", 7);
	} else if (strcmp(h->label, "caa-many") == 0) {
		for (; count < 120; count++) {
			int n = snprintf(text, sizeof text, "\x01\x05issueca%zu.test", count);
			(void)put_caa(out, owner, owner_n, type, text, (size_t)n);
		}
	}
	return count;
}

static size_t put_answers(struct packet *out, const void *owner, size_t owner_n, unsigned type, const struct host *h)
{
	if (type == 257)
		return put_caas(out, owner, owner_n, type, h);
	return type == 16 ? put_texts(out, owner, owner_n, h->txt) : put_addresses(out, owner, owner_n, type, h);
}

static const struct host *host_of(const uint8_t *qname)
{
	for (size_t i = 0; i < ARRAY_LEN(hosts); i++)
		if (str_eq_nocase(str_n(qname + 1, qname[0]), str_z(hosts[i].label)))
			return &hosts[i];
	return NULL;
}

/* False: no answer. */
static bool dns_answer(const struct dns *d, const uint8_t *in, size_t n, bool tcp, struct packet *out)
{
	size_t at = 12;
	while (at < n && in[at] != 0)
		at += (size_t)in[at] + 1;
	if (n < 12 || at + 5 > n)
		return false;
	unsigned type = (unsigned)(in[at + 1] << 8 | in[at + 2]);
	const struct host *h = host_of(in + 12);
	enum act act = h == NULL ? ACT_NXDOMAIN : type == 28 ? h->aaaa_act : h->act;
	static const struct host nodata = { "nodata", ACT_ANSWER, 0, 0, ACT_ANSWER, TXT_NONE },
				 other = { "other", ACT_ANSWER, 2, 0, ACT_ANSWER, TXT_STRINGS };
	int sick = atomic_load(&d->sick);
	if (h != NULL && sick != SICK_COUNT && strcmp(h->label, "later") == 0) {
		act = sick == SICK_NXDOMAIN ? ACT_NXDOMAIN : sick == SICK_SERVFAIL ? ACT_SERVFAIL : act;
		h = sick == SICK_NODATA ? &nodata : &other;
	}
	if (h != NULL && atomic_load(&d->sulks) && strcmp(h->label, "sulky") == 0)
		act = ACT_SERVFAIL;
	if (act == ACT_DROP)
		return false;
	static const uint8_t same[] = { 0xc0, 12 },
			     target[] = { 6, 't', 'a', 'r', 'g', 'e', 't', 4, 't', 'e', 's', 't', 0 },
			     gone[] = { 4, 'g', 'o', 'n', 'e', 4, 't', 'e', 's', 't', 0 };
	size_t count = 0;
	out->n = 0;
	put(out, in, 2);
	put_u16(out, 0x8180u | (act == ACT_NXDOMAIN || act == ACT_LEADS_NOWHERE ? 3u : act == ACT_SERVFAIL ? 2u : 0u));
	put_u16(out, 1);
	put_u16(out, 0);
	put_u16(out, 0);
	put_u16(out, 0);
	put(out, in + 12, at + 5 - 12);
	size_t head = out->n;
	if (act == ACT_CNAME) {
		put_record(out, same, sizeof same, 5, target, sizeof target);
		count = 1 + put_answers(out, target, sizeof target, type, h);
	} else if (act == ACT_LOOP) {
		put_record(out, same, sizeof same, 5, in + 12, at + 1 - 12);
		count = 1;
	} else if (act == ACT_LEADS_NOWHERE) {
		put_record(out, same, sizeof same, 5, gone, sizeof gone);
		count = 1;
	} else if (act == ACT_ANSWER || act == ACT_TRUNCATE) {
		count = put_answers(out, same, sizeof same, type, h);
	}
	if (!tcp && (act == ACT_TRUNCATE || out->n > UDP_MAX)) { /* TC: ask again over TCP */
		out->n = head;
		out->b[2] |= 2;
		count = 0;
	}
	out->b[6] = (uint8_t)(count >> 8);
	out->b[7] = (uint8_t)count;
	return true;
}

/* Each packet's answer waits by itself, as with a forwarder that does not join repeated questions. */
static int64_t dns_delay(struct dns *d, const uint8_t *in, size_t n)
{
	const struct host *h = n > 12 ? host_of(in + 12) : NULL;
	if (h != NULL && strcmp(h->label, "slow") == 0)
		return SLOW_MS;
	return h != NULL && strcmp(h->label, "sulky") == 0 && atomic_load(&d->sulks) ? SULKY_MS : 0;
}

static void dns_later(struct dns *d, int64_t wait_ms, const struct sockaddr_storage *to)
{
	struct slow *s = &d->slow[(d->slow_first + d->slow_count) % SLOW_MAX];
	if (d->slow_count == SLOW_MAX || d->out->n > sizeof s->b)
		return;
	*s = (struct slow){ .due_ms = clock_mono_ms(&clock_system) + wait_ms, .to = *to, .n = d->out->n };
	memcpy(s->b, d->out->b, s->n);
	d->slow_count++;
}

static void dns_slow(struct dns *d)
{
	for (; d->slow_count > 0; d->slow_count--) {
		const struct slow *s = &d->slow[d->slow_first];
		if (s->due_ms > clock_mono_ms(&clock_system))
			return;
		(void)!sendto(d->udp, s->b, s->n, 0, (const struct sockaddr *)&s->to, sizeof(struct sockaddr_in));
		d->slow_first = (d->slow_first + 1) % SLOW_MAX;
	}
}

static void dns_udp(struct dns *d)
{
	uint8_t in[UDP_MAX];
	struct sockaddr_storage from;
	socklen_t from_n = sizeof from;
	ssize_t n = recvfrom(d->udp, in, sizeof in, 0, (struct sockaddr *)&from, &from_n);
	if (n <= 0)
		return;
	atomic_fetch_add(&d->questions, 1);
	if (!dns_answer(d, in, (size_t)n, false, d->out))
		return;
	int64_t delay = dns_delay(d, in, (size_t)n);
	if (delay > 0)
		dns_later(d, delay, &from);
	else
		(void)!sendto(d->udp, d->out->b, d->out->n, 0, (const struct sockaddr *)&from, from_n);
}

static void dns_tcp(struct dns *d)
{
	AUTO(fd_close) int fd = accept(d->tcp, NULL, NULL);
	struct timeval limit = { .tv_sec = 2 };
	uint8_t in[UDP_MAX], length[2];
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) != 0 ||
	    recv(fd, length, 2, MSG_WAITALL) != 2)
		return;
	size_t n = (size_t)(length[0] << 8 | length[1]);
	if (n > sizeof in || recv(fd, in, n, MSG_WAITALL) != (ssize_t)n || !dns_answer(d, in, n, true, d->out))
		return;
	atomic_fetch_add(&d->over_tcp, 1);
	length[0] = (uint8_t)(d->out->n >> 8);
	length[1] = (uint8_t)d->out->n;
	(void)!send(fd, length, 2, MSG_NOSIGNAL);
	(void)!send(fd, d->out->b, d->out->n, MSG_NOSIGNAL);
}

static void *dns_run(void *arg)
{
	struct dns *d = arg;
	while (!atomic_load(&d->stop)) {
		struct pollfd fds[] = { { .fd = d->udp, .events = POLLIN }, { .fd = d->tcp, .events = POLLIN } };
		int ready = poll(fds, 2, d->slow_count > 0 ? 5 : 50);
		dns_slow(d);
		if (ready <= 0)
			continue;
		if (fds[0].revents != 0)
			dns_udp(d);
		if (fds[1].revents != 0)
			dns_tcp(d);
	}
	return NULL;
}

static void dns_start(struct dns *d)
{
	*d = (struct dns){ 0 };
	atomic_init(&d->sick, SICK_COUNT);
	atomic_init(&d->sulks, false);
	d->out = mem_alloc(sizeof *d->out);
	d->slow = mem_alloc_n(sizeof *d->slow, SLOW_MAX);
	bool both = false; /* a port that is free for UDP may be taken for TCP */
	for (int tries = 0; !both && tries < 100; tries++) {
		struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
		socklen_t n = sizeof sa;
		d->udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		d->tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		assert_int_equal(bind(d->udp, (const struct sockaddr *)&sa, sizeof sa), 0);
		assert_int_equal(getsockname(d->udp, (struct sockaddr *)&sa, &n), 0);
		d->port = ntohs(sa.sin_port);
		both = bind(d->tcp, (const struct sockaddr *)&sa, sizeof sa) == 0;
		if (!both) {
			close(d->udp);
			close(d->tcp);
		}
	}
	assert_true(both);
	assert_int_equal(listen(d->tcp, 16), 0);
	assert_int_equal(pthread_create(&d->thread, NULL, dns_run, d), 0);
}

static void dns_stop(struct dns *d)
{
	atomic_store(&d->stop, true);
	pthread_join(d->thread, NULL);
	close(d->udp);
	close(d->tcp);
	free(d->out);
	free(d->slow);
}

/* --- the tests ----------------------------------------------------------------------------------------------------*/

struct fixture {
	struct dns dns;
	struct resolver *r;
	struct arena mem;
	char server[32];
	struct resolve_answer answer;
	struct err err;
};

static const struct resolve_static statics[] = {
	{ { "www.static.test", 15 }, { AF_INET, { 192, 0, 2, 1 } } },
	{ { "www.static.test", 15 }, { AF_INET6, { 0x20, 1, 0x0d, 0xb8, [15] = 1 } } },
	{ { "*.static.test", 13 }, { AF_INET, { 192, 0, 2, 2 } } },
	{ { "*.deep.static.test", 18 }, { AF_INET, { 192, 0, 2, 3 } } },
};

static int setup(void **state)
{
	struct fixture *f = mem_alloc(sizeof *f);
	*state = f;
	dns_start(&f->dns);
	snprintf(f->server, sizeof f->server, "127.0.0.1:%u", f->dns.port);
	struct str server = str_z(f->server);
	struct resolve_conf conf = {
		.servers = &server, .server_count = 1, .statics = statics, .static_count = ARRAY_LEN(statics)
	};
	assert_false(FAILED(resolver_new(&conf, &f->r, &f->err)));
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	resolver_free(f->r);
	dns_stop(&f->dns);
	arena_done(&f->mem);
	free(f);
	return 0;
}

static enum err_kind look(struct fixture *f, const char *name, int64_t wait_ms)
{
	f->err = (struct err){ 0 };
	return resolve_addrs(f->r, &clock_system, clock_mono_ms(&clock_system) + wait_ms, str_z(name), &f->mem,
			     &f->answer, &f->err)
		.kind;
}

static const char *shown(struct fixture *f)
{
	struct str all = STR("");
	for (size_t i = 0; i < f->answer.addr_count; i++) {
		char one[ADDR_TEXT_MAX];
		addr_show(&f->answer.addrs[i], one);
		all = str_fmt(&f->mem, "%.*s%s%s", STR_FMT(all), i == 0 ? "" : " ", one);
	}
	return str_dupz_raw(&f->mem, all);
}

static void addresses_come_back_v6_first(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *name, *want;
	} rows[] = {
		{ "v4.a.test", "192.0.2.7" },
		{ "v6.a.test", "2001:db8::7" },
		{ "both.a.test", "2001:db8::7 192.0.2.7" },
		{ "alias.a.test", "192.0.2.7" },
		{ "v4.a.invalid", "192.0.2.7" },
		{ "v4.example.com", "192.0.2.7" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (look(f, rows[i].name, 5000) != ERR_NONE)
			fail_msg("%s: %s", rows[i].name, f->err.detail);
		assert_string_equal(shown(f), rows[i].want);
		assert_int_equal(f->answer.dnssec, DNSSEC_INSECURE);
		assert_false(f->answer.from_static);
	}
}

static void neither_family_crowds_the_other_out(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(look(f, "many.a.test", 5000), ERR_NONE);
	assert_int_equal(f->answer.addr_count, RESOLVE_ADDRS_MAX);
	assert_int_equal(f->answer.addrs[0].family, AF_INET6);
	assert_int_equal(f->answer.addrs[RESOLVE_ADDRS_MAX - 1].family, AF_INET);
}

static void failures_name_question_resolver_and_answer(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *name, *want;
		bool nxdomain;
	} rows[] = {
		{ "nx.a.test",
		  "nx.a.test does not exist: NXDOMAIN from @; wanted an A or AAAA record; publish one, or correct the "
		  "name",
		  true },
		{ "servfail.a.test",
		  "looking up AAAA of servfail.a.test: SERVFAIL from @ (it failed, or did not answer); wanted an "
		  "address; check the name servers of "
		  "this name",
		  false },
		{ "none.a.test",
		  "none.a.test has no address: no A and no AAAA record from @; wanted one of them; publish it", false },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(look(f, rows[i].name, 10000), ERR_DNS);
		const char *at = strchr(rows[i].want, '@');
		struct str want =
			str_fmt(&f->mem, "%.*s%s%s", (int)(at - rows[i].want), rows[i].want, f->server, at + 1);
		assert_string_equal(f->err.detail, str_dupz_raw(&f->mem, want));
		assert_int_equal(f->answer.nxdomain, rows[i].nxdomain);
	}
}

static void a_dead_resolver_costs_the_deadline_and_no_more(void **state)
{
	struct fixture *f = *state;
	int64_t began = clock_mono_ms(&clock_system);
	assert_int_equal(look(f, "drop.a.test", 700), ERR_DNS);
	int64_t took = clock_mono_ms(&clock_system) - began;
	assert_true(took >= 690 && took < 3000);
	char want[200];
	snprintf(want, sizeof want, "looking up AAAA of drop.a.test: no answer from %s within 0.7 s", f->server);
	assert_memory_equal(f->err.detail, want, strlen(want));
	/* The resolver is none the worse for it. */
	if (look(f, "v4.a.test", 10000) != ERR_NONE)
		fail_msg("%s", f->err.detail);
	assert_int_equal(look(f, "v4.a.test", 0), ERR_DNS);
}

static void one_family_without_answer_does_not_lose_the_other(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(look(f, "half.a.test", 700), ERR_NONE);
	assert_string_equal(shown(f), "192.0.2.7");
}

static void a_truncated_answer_is_asked_for_over_tcp(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(look(f, "big.a.test", 5000), ERR_NONE);
	assert_string_equal(shown(f), "192.0.2.7");
	assert_true(atomic_load(&f->dns.over_tcp) > 0);
}

static void nothing_is_answered_from_an_old_cache(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(look(f, "v4.a.test", 5000), ERR_NONE);
	int before = atomic_load(&f->dns.questions);
	assert_int_equal(look(f, "v4.a.test", 5000), ERR_NONE);
	assert_true(atomic_load(&f->dns.questions) > before);
}

static void the_static_table_comes_first_and_asks_nobody(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *name, *want;
	} rows[] = {
		{ "www.static.test", "2001:db8::1 192.0.2.1" },
		{ "WWW.static.test", "2001:db8::1 192.0.2.1" },
		{ "x.static.test", "192.0.2.2" },
		{ "a.b.static.test", "192.0.2.2" },
		{ "x.deep.static.test", "192.0.2.3" },
	};
	int before = atomic_load(&f->dns.questions);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(look(f, rows[i].name, 0), ERR_NONE);
		assert_string_equal(shown(f), rows[i].want);
		assert_true(f->answer.from_static);
	}
	assert_int_equal(atomic_load(&f->dns.questions), before);
	/* The wildcard does not cover its own base, nor what merely ends alike. */
	assert_int_equal(look(f, "static.test", 5000), ERR_DNS);
	assert_int_equal(look(f, "xstatic.test", 5000), ERR_DNS);
}

static void the_hosts_file_is_not_read(void **state)
{
	struct fixture *f = *state;
	char host[256] = { 0 };
	assert_int_equal(gethostname(host, sizeof host - 1), 0); /* stands in most /etc/hosts files */
	assert_int_equal(look(f, host, 5000), ERR_DNS);
}

static void names_that_are_none_are_refused(void **state)
{
	struct fixture *f = *state;
	char label[300];
	memset(label, 'a', sizeof label - 1);
	label[sizeof label - 1] = '\0';
	assert_int_equal(look(f, "", 1000), ERR_DNS);
	assert_int_equal(look(f, label, 1000), ERR_DNS);
	label[100] = '\0';
	assert_int_equal(look(f, label, 1000), ERR_DNS);
	struct str nul = { "a\0.test", 7 };
	assert_int_equal(resolve_addrs(f->r, &clock_system, clock_mono_ms(&clock_system) + 1000, nul, &f->mem,
				       &f->answer, &f->err)
				 .kind,
			 ERR_MALFORMED);
}

static enum err_kind look_txt(struct fixture *f, const char *name, int64_t wait_ms, struct resolve_txt_answer *ret)
{
	f->err = (struct err){ 0 };
	return resolve_txt(f->r, &clock_system, clock_mono_ms(&clock_system) + wait_ms, str_z(name), &f->mem, ret,
			   &f->err)
		.kind;
}

static bool has_record(const struct resolve_txt_answer *a, struct str want)
{
	for (size_t i = 0; i < a->count; i++)
		if (str_eq(a->records[i], want))
			return true;
	return false;
}

static void the_strings_of_a_txt_record_are_joined(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *name;
		size_t count;
		const char *record;
		size_t n;
		const char *canonical;
	} rows[] = {
		{ "one.a.test", 1, "hello", 5, "" },
		{ "strings.a.test", 2, "one three", 9, "" },
		{ "strings.a.test", 2, "xy", 2, "" },
		{ "binary.a.test", 1, "\x00\xff\"\n", 4, "" },
		{ "blank.a.test", 1, "", 0, "" },
		{ "_acme-challenge.one.a.test", 0, NULL, 0, NULL },
		{ "none.a.test", 0, NULL, 0, "" },
		{ "v4.a.test", 0, NULL, 0, "" },
		{ "alias.a.test", 1, "hello", 5, "target.test" },
		{ "big.a.test", 1, "hello", 5, "" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct resolve_txt_answer a;
		if (look_txt(f, rows[i].name, 5000, &a) != ERR_NONE)
			fail_msg("%s: %s", rows[i].name, f->err.detail);
		assert_int_equal(a.count, rows[i].count);
		assert_int_equal(a.nxdomain, rows[i].canonical == NULL);
		assert_int_equal(a.left_out, 0);
		assert_int_equal(a.dnssec, DNSSEC_INSECURE);
		assert_true(str_eq(a.canonical, str_z(rows[i].canonical)));
		if (rows[i].record != NULL)
			assert_true(has_record(&a, str_n(rows[i].record, rows[i].n)));
	}
}

/* A45. Over UDP they are cut, so TCP brings them. */
static void many_and_large_txt_records_come_whole(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *name;
		size_t count, left_out, length;
		const char *last;
	} rows[] = {
		{ "hundred.a.test", 100, 0, 0, "record 99" },
		{ "64k.a.test", 240, 0, 255, NULL },
		{ "toomany.a.test", RESOLVE_TXT_MAX, 1100 - RESOLVE_TXT_MAX, 0, NULL },
		{ "broken.a.test", 1, 1, 0, "hello" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct resolve_txt_answer a;
		if (look_txt(f, rows[i].name, 5000, &a) != ERR_NONE)
			fail_msg("%s: %s", rows[i].name, f->err.detail);
		assert_int_equal(a.count, rows[i].count);
		assert_int_equal(a.left_out, rows[i].left_out);
		for (size_t k = 0; rows[i].length > 0 && k < a.count; k++)
			assert_int_equal(a.records[k].n, rows[i].length);
		if (rows[i].last != NULL)
			assert_true(has_record(&a, str_z(rows[i].last)));
	}
	assert_true(atomic_load(&f->dns.over_tcp) > 0);
}

static void what_is_wrong_with_a_txt_lookup_is_said(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *name, *want;
		int wait_ms;
	} rows[] = {
		{ "servfail.a.test",
		  "looking up TXT of servfail.a.test: SERVFAIL from @ (it failed, or did not answer); wanted a TXT "
		  "record; check the name servers of this name",
		  10000 },
		{ "loop.a.test", "looking up TXT of loop.a.test: SERVFAIL from @ (it failed, or did not answer); ",
		  10000 },
		{ "drop.a.test",
		  "looking up TXT of drop.a.test: no answer from @ within 0.5 s; check that the resolver runs and that "
		  "the name's servers answer it",
		  500 },
		{ "a..test", "a..test cannot be looked up: it is not a DNS name", 1000 },
		{ "one.a.test", "looking up one.a.test: the time for it was over before the question was asked", 0 },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct resolve_txt_answer a;
		assert_int_equal(look_txt(f, rows[i].name, rows[i].wait_ms, &a), ERR_DNS);
		assert_int_equal(a.count, 0);
		const char *at = strchr(rows[i].want, '@');
		struct str want = at == NULL ? str_z(rows[i].want)
					     : str_fmt(&f->mem, "%.*s%s%s", (int)(at - rows[i].want), rows[i].want,
						       f->server, at + 1);
		if (!str_starts(str_z(f->err.detail), want))
			fail_msg("got    %s\nwanted %.*s", f->err.detail, STR_FMT(want));
	}
	struct resolve_txt_answer a;
	assert_int_equal(look_txt(f, "nowhere.a.test", 5000, &a), ERR_NONE);
	assert_true(a.nxdomain);
	assert_true(str_eq(a.canonical, STR("gone.test")));
	/* The static table has no TXT: the resolver is asked. */
	assert_int_equal(look_txt(f, "www.static.test", 5000, &a), ERR_NONE);
	assert_true(a.nxdomain);
}

static void joining_stops_at_the_end_of_the_record(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *rdata;
		size_t n;
		const char *want; /* NULL: refused */
	} rows[] = {
		{ "", 0, "" },
		{ "\x00", 1, "" },
		{ "\x01", 1, NULL },
		{ "\x02"
		  "a",
		  2, NULL },
		{ "\x01"
		  "ab",
		  3, NULL },
		{ "\x01"
		  "a\x01"
		  "b",
		  4, "ab" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct str got;
		struct rc rc = resolve_txt_join(str_n(rows[i].rdata, rows[i].n), &f->mem, &got, &f->err);
		assert_int_equal(rc.kind, rows[i].want == NULL ? ERR_MALFORMED : ERR_NONE);
		if (rows[i].want != NULL)
			assert_true(str_eq(got, str_z(rows[i].want)));
	}
}

/* --- CAA ----------------------------------------------------------------------------------------------------------*/

static enum err_kind look_caa(struct fixture *f, const char *name, int64_t wait_ms, struct resolve_caa_answer *ret)
{
	f->err = (struct err){ 0 };
	return resolve_caa(f->r, &clock_system, clock_mono_ms(&clock_system) + wait_ms, str_z(name), &f->mem, ret,
			   &f->err)
		.kind;
}

static void caa_records_are_taken_apart(void **state)
{
	struct fixture *f = *state;
	struct resolve_caa_answer a;
	static const char *const names[] = { "caa.a.test", "caa-alias.a.test" };
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (look_caa(f, names[i], 5000, &a) != ERR_NONE)
			fail_msg("%s", f->err.detail);
		assert_int_equal(a.count, 2);
		assert_int_equal(a.left_out, 0);
		size_t issue = a.records[0].flags == 0 ? 0 : 1;
		assert_true(str_eq(a.records[issue].tag, STR("issue")));
		assert_true(str_eq(a.records[issue].value, STR("ca.test; a=b")));
		assert_int_equal(a.records[1 - issue].flags, 128);
		assert_true(str_eq(a.records[1 - issue].tag, STR("tbs")));
		assert_int_equal(a.records[1 - issue].value.n, 0);
		assert_true(str_eq(a.canonical, i == 0 ? STR_NONE : STR("target.test")));
	}
	assert_int_equal(look_caa(f, "caa-broken.a.test", 5000, &a), ERR_NONE);
	assert_int_equal(a.count, 1);
	assert_int_equal(a.left_out, 2);
	assert_int_equal(look_caa(f, "caa-many.a.test", 5000, &a), ERR_NONE);
	assert_int_equal(a.count, RESOLVE_CAA_MAX);
	assert_int_equal(a.left_out, 120 - RESOLVE_CAA_MAX);
	assert_int_equal(look_caa(f, "none.a.test", 5000, &a), ERR_NONE);
	assert_int_equal(a.count + a.left_out, 0);
	assert_false(a.nxdomain);
	assert_int_equal(look_caa(f, "nx.a.test", 5000, &a), ERR_NONE);
	assert_true(a.nxdomain);
}

/* RFC 8659 3: no answer is not an empty answer. */
static void a_caa_lookup_without_answer_fails(void **state)
{
	struct fixture *f = *state;
	static const char *const names[] = { "servfail.a.test", "loop.a.test", "drop.a.test" };
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct resolve_caa_answer a;
		assert_int_equal(look_caa(f, names[i], i == 2 ? 500 : 10000, &a), ERR_DNS);
		assert_int_equal(a.count, 0);
		assert_non_null(strstr(f->err.detail, names[i]));
	}
}

static void the_static_table_says_what_it_has(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *name;
		bool has;
	} rows[] = {
		{ "www.static.test", true }, { "WWW.STATIC.test", true },
		{ "a.static.test", true },   { "*.static.test", true },
		{ "static.test", false },    { "a.test", false },
		{ "xstatic.test", false },   { "", false },
		{ "*.test", false },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (resolver_has_static(f->r, str_z(rows[i].name)) != rows[i].has)
			fail_msg("%s", rows[i].name);
}

/* --- forwarded domains, several servers ---------------------------------------------------------------------------*/

/* In the fixture's place until the test ends. */
static void resolver_replace(struct fixture *f, const struct resolve_conf *conf)
{
	struct resolver *r;
	if (FAILED(resolver_new(conf, &r, &f->err)))
		fail_msg("%s", f->err.detail);
	resolver_free(f->r);
	f->r = r;
}

static struct str server_of(struct fixture *f, const struct dns *d)
{
	return str_fmt(&f->mem, "127.0.0.1:%u", d->port);
}

static void a_forwarded_domain_is_asked_for_at_its_servers(void **state)
{
	struct fixture *f = *state;
	struct dns corp, deep;
	dns_start(&corp);
	dns_start(&deep);
	const struct str servers[] = { server_of(f, &f->dns), server_of(f, &corp), server_of(f, &deep) };
	struct dns *const dns[] = { &f->dns, &corp, &deep };
	const struct resolve_forward forwards[] = { { STR("corp.test"), &servers[1], 1 },
						    { STR("deep.corp.test"), &servers[2], 1 },
						    { STR("lan"), &servers[1], 1 } };
	resolver_replace(f, &(struct resolve_conf){
				    .servers = servers, .server_count = 1, .forwards = forwards, .forward_count = 3 });
	static const struct {
		const char *name;
		size_t asked;
	} rows[] = {
		{ "v4.a.test", 0 },          { "v4.corp.test", 1 },      { "v4.b.corp.test", 1 },
		{ "v4.CORP.test", 1 },       { "v4.deep.corp.test", 2 }, { "v4.b.deep.corp.test", 2 },
		{ "v4.xdeep.corp.test", 1 }, { "v4.xcorp.test", 0 },     { "v4.lan", 1 },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int before[3];
		for (size_t k = 0; k < 3; k++)
			before[k] = atomic_load(&dns[k]->questions);
		if (look(f, rows[i].name, 5000) != ERR_NONE)
			fail_msg("%s: %s", rows[i].name, f->err.detail);
		for (size_t k = 0; k < 3; k++)
			if ((atomic_load(&dns[k]->questions) > before[k]) != (k == rows[i].asked))
				fail_msg("%s: server %zu", rows[i].name, k);
		assert_true(str_eq(resolver_describe(f->r, str_z(rows[i].name)), servers[rows[i].asked]));
	}
	assert_int_equal(look(f, "servfail.corp.test", 10000), ERR_DNS);
	assert_non_null(strstr(f->err.detail, str_dupz_raw(&f->mem, servers[1])));
	/* An alias from there leads on to where its target belongs. */
	int before = atomic_load(&f->dns.questions);
	assert_int_equal(look(f, "alias.corp.test", 5000), ERR_NONE);
	assert_string_equal(shown(f), "192.0.2.7");
	assert_true(atomic_load(&f->dns.questions) > before);
	dns_stop(&corp);
	dns_stop(&deep);
}

/* The zones that the anchors speak of stay validated, forwarded or not; others may be unsigned, forwarded or not. */
static void forwarding_is_no_exception_from_validation(void **state)
{
	struct fixture *f = *state;
	char path[] = "/tmp/cairn-anchor-XXXXXX";
	AUTO(fd_close) int fd = mkstemp(path);
	assert_true(fd >= 0);
	static const char anchor[] =
		"signed.test. IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D\n";
	assert_false(FAILED(fd_write_all(fd, str_z(anchor), &f->err)));
	const struct str server = server_of(f, &f->dns);
	const struct resolve_forward forwards[] = { { STR("corp.test"), &server, 1 },
						    { STR("corp.signed.test"), &server, 1 } };
	resolver_replace(f, &(struct resolve_conf){ .servers = &server,
						    .server_count = 1,
						    .forwards = forwards,
						    .forward_count = 2,
						    .trust_anchor_file = str_z(path) });
	unlink(path);
	static const struct {
		const char *name;
		bool bogus;
	} rows[] = {
		{ "v4.corp.test", false },
		{ "v4.a.test", false },
		{ "v4.signed.test", true },
		{ "v4.corp.signed.test", true },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct resolve_caa_answer caa;
		assert_int_equal(look(f, rows[i].name, 10000), rows[i].bogus ? ERR_DNS : ERR_NONE);
		assert_int_equal(f->answer.dnssec, rows[i].bogus ? DNSSEC_BOGUS : DNSSEC_INSECURE);
		assert_int_equal(look_caa(f, rows[i].name, 10000, &caa), rows[i].bogus ? ERR_DNS : ERR_NONE);
		assert_int_equal(caa.dnssec, rows[i].bogus ? DNSSEC_BOGUS : DNSSEC_INSECURE);
	}
	static const char reason[] = "is bogus (DNSSEC): ";
	const char *said = strstr(f->err.detail, reason); /* the library's own words follow */
	assert_non_null(said);
	assert_non_null(strstr(said, "v4.corp.signed.test"));
}

/* One refuses or stays silent, the other one answers, in whichever order the library tries them. */
static void one_of_several_servers_may_be_dead(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof sa;
	AUTO(fd_close) int silent = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(silent, (const struct sockaddr *)&sa, sizeof sa), 0);
	assert_int_equal(getsockname(silent, (struct sockaddr *)&sa, &n), 0);
	const struct str dead[] = { str_fmt(&f->mem, "127.0.0.1:%u", ntohs(sa.sin_port)), STR("127.0.0.1:9") };
	for (size_t i = 0; i < ARRAY_LEN(dead); i++) {
		const struct str servers[] = { dead[i], server_of(f, &f->dns) };
		const struct resolve_forward forward = { STR("corp.test"), servers, 2 };
		resolver_replace(
			f, &(struct resolve_conf){
				   .servers = servers, .server_count = 2, .forwards = &forward, .forward_count = 1 });
		for (int k = 0; k < 16; k++) {
			const char *name = str_dupz_raw(
				&f->mem, str_fmt(&f->mem, "v4.n%d.%s", k, k % 2 == 0 ? "a.test" : "corp.test"));
			if (look(f, name, 5000) != ERR_NONE)
				fail_msg("%s: %s", name, f->err.detail);
			assert_string_equal(shown(f), "192.0.2.7");
		}
	}
}

/* Whatever was wrong with a record, it is not remembered: neither without an anchor nor with one. */
static void a_corrected_record_counts_at_the_next_question(void **state)
{
	struct fixture *f = *state;
	char path[] = "/tmp/cairn-anchor-XXXXXX";
	AUTO(fd_close) int fd = mkstemp(path);
	assert_true(fd >= 0);
	static const char anchor[] =
		"signed.test. IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D\n";
	assert_false(FAILED(fd_write_all(fd, str_z(anchor), &f->err)));
	const struct str server = server_of(f, &f->dns);
	for (int anchored = 0; anchored < 2; anchored++) {
		resolver_replace(f,
				 &(struct resolve_conf){ .servers = &server,
							 .server_count = 1,
							 .trust_anchor_file = anchored == 0 ? STR_NONE : str_z(path) });
		for (int sick = 0; sick < SICK_COUNT; sick++) {
			const char *name = str_dupz_raw(&f->mem, str_fmt(&f->mem, "later.n%d%d.test", anchored, sick));
			struct resolve_txt_answer txt;
			atomic_store(&f->dns.sick, sick);
			assert_int_equal(look(f, name, 10000), sick == SICK_OTHER ? ERR_NONE : ERR_DNS);
			assert_int_equal(look_txt(f, name, 10000, &txt), sick == SICK_SERVFAIL ? ERR_DNS : ERR_NONE);
			assert_int_equal(txt.count, sick == SICK_OTHER ? 2 : 0);
			atomic_store(&f->dns.sick, SICK_COUNT);
			if (look(f, name, 10000) != ERR_NONE)
				fail_msg("%s: %s", name, f->err.detail);
			assert_string_equal(shown(f), "192.0.2.7");
			if (look_txt(f, name, 10000, &txt) != ERR_NONE)
				fail_msg("%s: %s", name, f->err.detail);
			assert_int_equal(txt.count, 1);
			assert_true(has_record(&txt, STR("hello")));
		}
	}
	unlink(path);
}

/* Nor is the very last answer: nothing is asked in between that could have taken its place. */
static void not_even_the_last_answer_is_kept(void **state)
{
	struct fixture *f = *state;
	for (int sick = 0; sick < SICK_COUNT; sick++) {
		const char *name = str_dupz_raw(&f->mem, str_fmt(&f->mem, "later.l%d.test", sick));
		struct resolve_txt_answer txt;
		atomic_store(&f->dns.sick, sick);
		assert_int_equal(look_txt(f, name, 10000, &txt), sick == SICK_SERVFAIL ? ERR_DNS : ERR_NONE);
		atomic_store(&f->dns.sick, SICK_COUNT);
		if (look_txt(f, name, 10000, &txt) != ERR_NONE)
			fail_msg("%s", f->err.detail);
		assert_int_equal(txt.count, 1);
		assert_true(has_record(&txt, STR("hello")));
	}
}

static void a_wrong_forward_is_named(void **state)
{
	struct fixture *f = *state;
	const struct str good = STR("192.0.2.53"), nine[9] = { good, good, good, good, good, good, good, good, good };
	const struct str bad = STR("dns.example");
	const struct {
		struct resolve_forward forward;
		const char *want;
	} rows[] = {
		{ { STR("corp.test"), &bad, 1 },
		  "resolver \"dns.example\" is not an address; wanted \"192.0.2.53\", \"127.0.0.1:5353\" or "
		  "\"[::1]:53\"" },
		{ { STR("corp.test"), NULL, 0 }, "no server to forward corp.test to" },
		{ { STR("corp.test"), nine, 9 }, "9 resolvers are too many; at most 8" },
		{ { STR(""), &good, 1 }, "\"\" is not a domain to forward; wanted one such as corp.example" },
		{ { STR("."), &good, 1 }, "\".\" is not a domain to forward; wanted one such as corp.example" },
		{ { STR("a..b"), &good, 1 }, "\"a..b\" is not a domain to forward; wanted one such as corp.example" },
		{ { STR("a.b."), &good, 1 }, "\"a.b.\" is not a domain to forward; wanted one such as corp.example" },
		{ { STR("*.a.b"), &good, 1 }, "\"*.a.b\" is not a domain to forward; wanted one such as corp.example" },
		{ { STR("a\"\nserver:"), &good, 1 },
		  "\"a\"\\x0aserver:\" is not a domain to forward; wanted one such as corp.example" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct resolver *r = NULL;
		struct err err = { 0 };
		struct resolve_conf conf = {
			.servers = &good, .server_count = 1, .forwards = &rows[i].forward, .forward_count = 1
		};
		assert_int_equal(resolver_new(&conf, &r, &err).kind, ERR_CONFIG);
		assert_string_equal(err.detail, rows[i].want);
		assert_null(r);
	}
	(void)f;
}

struct caller {
	struct fixture *f;
	int number, failures;
};

/* Deadlines lie around the time of the answer, so that waiters and callbacks meet at every point. */
static void *caller_run(void *arg)
{
	struct caller *c = arg;
	struct arena mem = { 0 };
	for (int i = 0; i < 4; i++) {
		static const char *const names[] = { "both", "nx", "drop", "v4" };
		struct resolve_answer answer;
		struct str name = str_fmt(&mem, "%s.n%d.test", names[i], c->number);
		bool hurried = i == 2 || c->number % 2 == 1;
		int64_t wait = i == 2 ? 100 : hurried ? c->number % 8 : 20000;
		enum err_kind kind = resolve_addrs(c->f->r, &clock_system, clock_mono_ms(&clock_system) + wait, name,
						   &mem, &answer, NULL)
					     .kind;
		struct resolve_txt_answer txt;
		struct str record = str_fmt(&mem, "one.n%d.test", c->number);
		enum err_kind txt_kind = resolve_txt(c->f->r, &clock_system,
						     clock_mono_ms(&clock_system) + (hurried ? c->number % 8 : 20000),
						     record, &mem, &txt, NULL)
						 .kind;
		c->failures += txt_kind == ERR_NONE ? txt.count != 1 : !hurried || txt_kind != ERR_DNS;
		bool good = i == 1 || i == 2 ? kind == ERR_DNS : kind == ERR_NONE || (hurried && kind == ERR_DNS);
		c->failures += good ? 0 : 1;
	}
	arena_done(&mem);
	return NULL;
}

static void fifty_threads_ask_at_once(void **state)
{
	struct fixture *f = *state;
	static struct caller callers[THREADS];
	pthread_t threads[THREADS];
	for (int i = 0; i < THREADS; i++) {
		callers[i] = (struct caller){ .f = f, .number = i };
		assert_int_equal(pthread_create(&threads[i], NULL, caller_run, &callers[i]), 0);
	}
	int failures = 0;
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		failures += callers[i].failures;
	}
	assert_int_equal(failures, 0);
}

/* --- patience ---------------------------------------------------------------------------------------------------*/

struct asker {
	struct fixture *f;
	int number;
	const char *label;
	enum err_kind kind;
	struct err err;
};

static void *asker_run(void *arg)
{
	struct asker *a = arg;
	struct arena mem = { 0 };
	struct resolve_answer answer;
	struct str name = str_fmt(&mem, "%s.n%d.test", a->label, a->number);
	a->kind = resolve_addrs(a->f->r, &clock_system, clock_mono_ms(&clock_system) + 20000, name, &mem, &answer,
				&a->err)
			  .kind;
	arena_done(&mem);
	return NULL;
}

/* The server's answers to others teach the library to be impatient with it: it used to give up within 1.4 s. */
static void slow_names_among_quick_ones_are_all_found(void **state)
{
	struct fixture *f = *state;
	struct asker askers[24];
	pthread_t threads[ARRAY_LEN(askers)];
	const int64_t began = clock_mono_ms(&clock_system);
	for (size_t i = 0; i < ARRAY_LEN(askers); i++) {
		askers[i] = (struct asker){ .f = f, .number = (int)i, .label = "slow" };
		assert_int_equal(pthread_create(&threads[i], NULL, asker_run, &askers[i]), 0);
		/* Not for ever: as long as others are answered, the library does not learn to wait for this one. */
		for (int k = 0; k < 5 && clock_mono_ms(&clock_system) < began + QUICK_MS; k++)
			assert_int_equal(look(f, str_dupz_raw(&f->mem, str_fmt(&f->mem, "v4.q%zu%d.test", i, k)), 5000),
					 ERR_NONE);
	}
	size_t failed = 0;
	for (size_t i = 0; i < ARRAY_LEN(askers); i++) {
		pthread_join(threads[i], NULL);
		failed += askers[i].kind != ERR_NONE;
		if (askers[i].kind != ERR_NONE && failed == 1)
			print_message("%s\n", askers[i].err.detail);
	}
	assert_int_equal(failed, 0);
}

/* A SERVFAIL that took its time may be the library's own word for "nobody answers": it is asked again. */
static void a_late_servfail_is_not_the_last_word(void **state)
{
	struct fixture *f = *state;
	struct resolve_txt_answer txt;
	struct asker asker = { .f = f, .number = 1, .label = "sulky" };
	pthread_t thread;
	atomic_store(&f->dns.sulks, true);
	assert_int_equal(pthread_create(&thread, NULL, asker_run, &asker), 0);
	usleep(3600 * 1000); /* after the last of five questions, before the answer to it */
	atomic_store(&f->dns.sulks, false);
	pthread_join(thread, NULL);
	if (asker.kind != ERR_NONE)
		fail_msg("%s", asker.err.detail);
	int64_t began = clock_mono_ms(&clock_system); /* one that comes at once is */
	assert_int_equal(look_txt(f, "servfail.late.test", 10000, &txt), ERR_DNS);
	assert_true(clock_mono_ms(&clock_system) - began < 3000);
}

/* --- libunbound's pipe --------------------------------------------------------------------------------------------*/

/* Until the descriptor is put back, there is nothing to be read but its end. */
static int pipe_break(struct fixture *f)
{
	int fd = ub_fd(library_ctx(f->r->library)), kept = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	AUTO(fd_close) int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_true(kept >= 0 && null >= 0);
	assert_int_equal(dup2(null, fd), fd);
	return kept;
}

static void pipe_mend(struct fixture *f, int kept)
{
	assert_int_equal(dup2(kept, ub_fd(library_ctx(f->r->library))), ub_fd(library_ctx(f->r->library)));
	close(kept);
}

static void one_failure_to_read_answers_is_not_the_end(void **state)
{
	struct fixture *f = *state;
	/* The dispatcher waits in poll for the old descriptor: an answer to it wakes it up. */
	int kept = pipe_break(f);
	(void)look(f, "v4.broken.test", 300);
	pipe_mend(f, kept);
	if (look(f, "v4.mended.test", 5000) != ERR_NONE)
		fail_msg("%s", f->err.detail);
	assert_int_equal(library_check(f->r->library, "later", NULL).kind, ERR_NONE);
}

/* --- a context after an answer that was bogus ---------------------------------------------------------------------*/

#define LIFE_MS 2000 /* resolve_library.c */

static void a_doubted_context_is_not_asked_again(void **state)
{
	struct fixture *f = *state;
	struct library *first = library_ref(f->r), *second;
	assert_false(library_doubt(first, LIFE_MS)); /* nothing was bogus before: what was said is no memory */
	assert_ptr_not_equal(second = library_ref(f->r), first);
	assert_true(library_doubt(first, LIFE_MS)); /* what others asked there meanwhile */
	assert_ptr_equal(f->r->library, second);
	library_unref(first);
	assert_int_equal(f->r->libraries, 1);
	assert_int_equal(look(f, "v4.fresh.test", 5000), ERR_NONE);

	/* It has to learn which servers are silent before it goes. */
	assert_false(library_doubt(second, 2 * LIFE_MS - 1));
	assert_false(library_doubt(second, 2 * LIFE_MS - 1));
	assert_ptr_equal(f->r->library, second);
	assert_true(library_doubt(second, 2 * LIFE_MS));
	assert_ptr_not_equal(f->r->library, second);
	library_unref(second);
}

/* Whoever makes names bogus while questions hang must not get a context for each of them. */
static void contexts_that_are_still_used_are_few(void **state)
{
	struct fixture *f = *state;
	enum { HELD = 10, MOST = 4 };
	struct library *held[HELD];
	int64_t now = 0;
	for (size_t i = 0; i < HELD; i++) {
		held[i] = library_ref(f->r);
		bool again = library_doubt(held[i], now += LIFE_MS);
		assert_false(again); /* there is no other one to ask, or nothing was bogus there before */
		assert_true(f->r->libraries <= MOST);
	}
	assert_int_equal(f->r->libraries, MOST);
	assert_int_equal(look(f, "v4.crowded.test", 5000), ERR_NONE);
	for (size_t i = 0; i < HELD; i++)
		library_unref(held[i]);
	assert_int_equal(f->r->libraries, 1);
	struct library *last = library_ref(f->r);
	(void)library_doubt(last, now + LIFE_MS);
	assert_ptr_not_equal(f->r->library, last);
	library_unref(last);
	assert_int_equal(look(f, "v4.later.test", 5000), ERR_NONE);
}

/* It is our fault and not that of the name's servers, and said at once. */
static void answers_that_cannot_be_read_any_more_are_our_own_failure(void **state)
{
	struct fixture *f = *state;
	int kept = pipe_break(f);
	assert_int_equal(look(f, "v4.broken.test", 5000), ERR_INTERNAL);
	int64_t began = clock_mono_ms(&clock_system);
	assert_int_equal(look(f, "v4.again.test", 5000), ERR_INTERNAL);
	assert_true(clock_mono_ms(&clock_system) - began < 1000);
	assert_string_equal(f->err.detail, "the DNS library failed to look up v4.again.test");
	pipe_mend(f, kept);
}

static void it_describes_where_it_looks(void **state)
{
	struct fixture *f = *state;
	struct str d = resolver_describe(f->r, STR("a.test"));
	assert_int_equal(d.n, strlen(f->server));
	assert_memory_equal(d.p, f->server, d.n);

	const struct str two[] = { STR("192.0.2.53"), STR("[2001:db8::53]:5353") };
	struct resolver *r;
	assert_false(FAILED(resolver_new(&(struct resolve_conf){ .servers = two, .server_count = 2 }, &r, &f->err)));
	d = resolver_describe(r, STR("a.test"));
	assert_true(str_eq(d, STR("192.0.2.53, [2001:db8::53]:5353")));
	resolver_free(r);
}

static void wrong_settings_are_named(void **state)
{
	struct fixture *f = *state;
	const struct str good = STR("192.0.2.53");
	const struct {
		struct str server, anchor;
		const char *want;
	} rows[] = {
		{ STR("dns.example"), STR_NONE,
		  "resolver \"dns.example\" is not an address; wanted \"192.0.2.53\", \"127.0.0.1:5353\" or "
		  "\"[::1]:53\"" },
		{ STR(":53"), STR_NONE,
		  "resolver \":53\" is not an address; wanted \"192.0.2.53\", \"127.0.0.1:5353\" or \"[::1]:53\"" },
		{ good, STR("/nonexistent/root.key"),
		  "trust anchor file: open /nonexistent/root.key: No such file or directory" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct resolver *r = NULL;
		struct err err = { 0 };
		struct resolve_conf conf = { .servers = &rows[i].server,
					     .server_count = 1,
					     .trust_anchor_file = rows[i].anchor };
		assert_int_equal(resolver_new(&conf, &r, &err).kind, ERR_CONFIG);
		assert_string_equal(err.detail, rows[i].want);
		assert_null(r);
	}
	(void)f;
}

/* The zone is unsigned while the anchor says that everything is signed: the answer must be bogus, not believed. */
static void an_unsigned_answer_under_a_trust_anchor_is_bogus(void **state)
{
	struct fixture *f = *state;
	char path[] = "/tmp/cairn-anchor-XXXXXX";
	AUTO(fd_close) int fd = mkstemp(path);
	assert_true(fd >= 0);
	static const char anchor[] =
		"test. IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D\n";
	assert_false(FAILED(fd_write_all(fd, str_z(anchor), &f->err)));
	struct str server = str_z(f->server);
	struct resolve_conf conf = { .servers = &server, .server_count = 1, .trust_anchor_file = str_z(path) };
	struct resolver *plain = f->r;
	assert_false(FAILED(resolver_new(&conf, &f->r, &f->err)));
	unlink(path);
	assert_int_equal(look(f, "v4.a.test", 10000), ERR_DNS);
	assert_int_equal(f->answer.dnssec, DNSSEC_BOGUS);
	assert_int_equal(f->answer.addr_count, 0);
	assert_non_null(strstr(f->err.detail, "is bogus (DNSSEC): "));
	struct resolve_txt_answer txt;
	assert_int_equal(look_txt(f, "one.a.test", 10000, &txt), ERR_DNS);
	assert_int_equal(txt.dnssec, DNSSEC_BOGUS);
	assert_int_equal(txt.count, 0);
	assert_non_null(strstr(f->err.detail, "is bogus (DNSSEC): "));
	resolver_free(f->r);
	f->r = plain;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_come_back_v6_first),
		cmocka_unit_test(neither_family_crowds_the_other_out),
		cmocka_unit_test(failures_name_question_resolver_and_answer),
		cmocka_unit_test(one_family_without_answer_does_not_lose_the_other),
		cmocka_unit_test(a_truncated_answer_is_asked_for_over_tcp),
		cmocka_unit_test(nothing_is_answered_from_an_old_cache),
		cmocka_unit_test(the_static_table_comes_first_and_asks_nobody),
		cmocka_unit_test(the_strings_of_a_txt_record_are_joined),
		cmocka_unit_test(many_and_large_txt_records_come_whole),
		cmocka_unit_test(what_is_wrong_with_a_txt_lookup_is_said),
		cmocka_unit_test(joining_stops_at_the_end_of_the_record),
		cmocka_unit_test(the_hosts_file_is_not_read),
		cmocka_unit_test(names_that_are_none_are_refused),
		cmocka_unit_test(it_describes_where_it_looks),
		cmocka_unit_test(wrong_settings_are_named),
		cmocka_unit_test(an_unsigned_answer_under_a_trust_anchor_is_bogus),
		cmocka_unit_test(caa_records_are_taken_apart),
		cmocka_unit_test(a_caa_lookup_without_answer_fails),
		cmocka_unit_test(the_static_table_says_what_it_has),
		cmocka_unit_test_setup_teardown(a_forwarded_domain_is_asked_for_at_its_servers, setup, teardown),
		cmocka_unit_test_setup_teardown(forwarding_is_no_exception_from_validation, setup, teardown),
		cmocka_unit_test_setup_teardown(one_of_several_servers_may_be_dead, setup, teardown),
		cmocka_unit_test_setup_teardown(a_corrected_record_counts_at_the_next_question, setup, teardown),
		cmocka_unit_test_setup_teardown(not_even_the_last_answer_is_kept, setup, teardown),
		cmocka_unit_test(a_wrong_forward_is_named),
		cmocka_unit_test(fifty_threads_ask_at_once),
		cmocka_unit_test_setup_teardown(slow_names_among_quick_ones_are_all_found, setup, teardown),
		cmocka_unit_test_setup_teardown(a_late_servfail_is_not_the_last_word, setup, teardown),
		cmocka_unit_test_setup_teardown(a_doubted_context_is_not_asked_again, setup, teardown),
		cmocka_unit_test_setup_teardown(contexts_that_are_still_used_are_few, setup, teardown),
		cmocka_unit_test_setup_teardown(one_failure_to_read_answers_is_not_the_end, setup, teardown),
		cmocka_unit_test_setup_teardown(answers_that_cannot_be_read_any_more_are_our_own_failure, setup,
						teardown),
		cmocka_unit_test(a_dead_resolver_costs_the_deadline_and_no_more),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * dns_answer.c: A for A, TXT for TXT where there is one, and for all else a SOA that says "no such record" (RFC 2308 2.2).
 */
#include "dns_answer.h"

#include <string.h>

#define HEAD 12
#define TYPE_A 1
#define TYPE_TXT 16
#define LABEL_MAX 63

struct question {
	char name[DNS_NAME_MAX + 1]; /* lower case, as the asker mixes them (0x20); dots between labels */
	size_t name_n, end;          /* end: of the question in the packet */
	unsigned type;
};

static bool question_read(const uint8_t *p, size_t n, struct question *q)
{
	size_t at = HEAD, out = 0;
	while (at < n && p[at] != 0) {
		size_t label = p[at++];
		if (label > LABEL_MAX || label > n - at || out + label + 1 > DNS_NAME_MAX)
			return false;
		for (size_t i = 0; i < label; i++, at++)
			q->name[out++] = (char)(p[at] >= 'A' && p[at] <= 'Z' ? p[at] + 32 : p[at]);
		q->name[out++] = '.';
	}
	if (at + 5 > n)
		return false;
	q->name_n = out == 0 ? 0 : out - 1;
	q->type = (unsigned)p[at + 1] << 8 | p[at + 2];
	q->end = at + 5;
	return true;
}

static bool begins(const struct question *q, const char *with)
{
	size_t n = strlen(with);
	return q->name_n > n && memcmp(q->name, with, n) == 0;
}

/* The record behind the question, its owner the name that was asked for; its length. */
static size_t record_a(const struct question *q, uint8_t *out)
{
	static const uint8_t a[] = { 0xc0, HEAD, 0, TYPE_A, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1 };
	memcpy(out, a, sizeof a);
	if (begins(q, "silent"))
		memset(out + sizeof a - 3, 9, 3);
	return sizeof a;
}

static size_t record_txt(const struct question *q, const struct dns_txt *txt, uint8_t *out)
{
	uint8_t head[] = { 0xc0, HEAD, 0, TYPE_TXT, 0, 1, 0, 0, 0, 1, 0, 0, 0 }, text[DNS_TXT_MAX];
	size_t n = 0;
	if (txt == NULL || !txt->find(txt->ctx, q->name, q->name_n, text, &n))
		return 0;
	head[sizeof head - 2] = (uint8_t)(n + 1);
	head[sizeof head - 1] = (uint8_t)n;
	memcpy(out, head, sizeof head);
	memcpy(out + sizeof head, text, n);
	return sizeof head + n;
}

size_t dns_answer(uint8_t p[DNS_PACKET_MAX], size_t n, const struct dns_txt *txt)
{
	static const uint8_t soa[] = { 0, 0, 6,  0,  1, 0, 0,  0,  60, 0, 22, 0,  0, 0, 0, 0, 1,
				       0, 0, 14, 16, 0, 0, 14, 16, 0,  0, 14, 16, 0, 0, 0, 60 };
	uint8_t rr[32 + DNS_TXT_MAX];
	struct question q;
	if (n < HEAD || !question_read(p, n, &q) || begins(&q, "mute") || (p[2] & 0x80) != 0 || p[4] != 0 || p[5] != 1)
		return 0;
	size_t rr_n = q.type == TYPE_A ? record_a(&q, rr) : q.type == TYPE_TXT ? record_txt(&q, txt, rr) : 0;
	bool found = rr_n > 0;
	if (!found) {
		memcpy(rr, soa, sizeof soa);
		rr_n = sizeof soa;
	}
	if (q.end + rr_n > DNS_PACKET_MAX)
		return 0;
	p[2] = (uint8_t)(0x84 | (p[2] & 0x01)); /* an authoritative answer */
	p[3] = 0x80;                            /* recursion available, no error */
	memset(p + 6, 0, 6);
	p[found ? 7 : 9] = 1;
	memcpy(p + q.end, rr, rr_n);
	return q.end + rr_n;
}

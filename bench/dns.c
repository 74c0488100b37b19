/* SPDX-License-Identifier: Apache-2.0
 *
 * dns.c: a DNS server for measurements: every name has the address 127.0.0.1 and nothing else, but names that begin with
 * "silent" have 127.9.9.9, and about those that begin with "mute" it does not answer. `dns PORT`, UDP on loopback.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#define HEAD 12
#define PACKET_MAX 512

/* The end of the one question, or 0. */
static size_t question_end(const uint8_t *p, size_t n)
{
	size_t at = HEAD;
	while (at < n && p[at] != 0) {
		if (p[at] > 63)
			return 0;
		at += (size_t)p[at] + 1;
	}
	return at + 5 <= n ? at + 5 : 0;
}

/* Of the first label; upper case or not, as the asker mixes them (0x20). */
static int begins(const uint8_t *p, size_t n, const char *with)
{
	size_t length = strlen(with);
	return n > HEAD + length && strncasecmp((const char *)p + HEAD + 1, with, length) == 0;
}

/* A for A; for all else a SOA that says "no such record" (RFC 2308 2.2). */
static size_t answer(uint8_t *p, size_t n)
{
	static const uint8_t a[] = { 0xc0, HEAD, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1 };
	static const uint8_t soa[] = { 0, 0, 6,  0,  1, 0, 0,  0,  60, 0, 22, 0,  0, 0, 0, 0, 1,
				       0, 0, 14, 16, 0, 0, 14, 16, 0,  0, 14, 16, 0, 0, 0, 60 };
	size_t end = n < HEAD ? 0 : question_end(p, n);
	if (end == 0 || begins(p, n, "mute") || (p[2] & 0x80) != 0 || p[4] != 0 || p[5] != 1)
		return 0;
	int is_a = p[end - 4] == 0 && p[end - 3] == 1;
	size_t rr_n = is_a ? sizeof a : sizeof soa;
	if (end + rr_n > PACKET_MAX)
		return 0;
	p[2] = (uint8_t)(0x84 | (p[2] & 0x01)); /* an authoritative answer */
	p[3] = 0x80;                            /* recursion available, no error */
	memset(p + 6, 0, 6);
	p[is_a ? 7 : 9] = 1;
	memcpy(p + end, is_a ? a : soa, rr_n);
	if (is_a && begins(p, n, "silent")) {
		p[end + rr_n - 3] = 9;
		p[end + rr_n - 2] = 9;
		p[end + rr_n - 1] = 9;
	}
	return end + rr_n;
}

int main(int argc, char **argv)
{
	char *rest = NULL;
	unsigned long port = argc == 2 ? strtoul(argv[1], &rest, 10) : 0;
	if (port == 0 || port > UINT16_MAX || *rest != '\0') {
		(void)fprintf(stderr, "usage: %s PORT\n", argv[0]);
		return 1;
	}
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (const struct sockaddr *)&at, sizeof at) != 0) {
		perror("dns");
		return 1;
	}
	for (;;) {
		uint8_t p[PACKET_MAX];
		struct sockaddr_in from;
		socklen_t from_n = sizeof from;
		ssize_t n = recvfrom(fd, p, sizeof p, 0, (struct sockaddr *)&from, &from_n);
		size_t out = n > 0 ? answer(p, (size_t)n) : 0;
		if (out > 0)
			(void)sendto(fd, p, out, 0, (const struct sockaddr *)&from, from_n);
	}
}

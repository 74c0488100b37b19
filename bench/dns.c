/* SPDX-License-Identifier: Apache-2.0
 *
 * dns.c: the DNS server of dns_answer.h as a program: `dns PORT`, UDP on loopback.
 */
#include "dns_answer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

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
		uint8_t p[DNS_PACKET_MAX];
		struct sockaddr_in from;
		socklen_t from_n = sizeof from;
		ssize_t n = recvfrom(fd, p, sizeof p, 0, (struct sockaddr *)&from, &from_n);
		size_t out = n > 0 ? dns_answer(p, (size_t)n, NULL) : 0;
		if (out > 0)
			(void)sendto(fd, p, out, 0, (const struct sockaddr *)&from, from_n);
	}
}

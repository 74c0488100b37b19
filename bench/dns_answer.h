/* SPDX-License-Identifier: Apache-2.0
 *
 * dns_answer.h: a DNS server's answer, for measurements: every name has the address 127.0.0.1 and nothing else, but names
 * that begin with "silent" have 127.9.9.9, and about those that begin with "mute" nothing is said.
 */
#ifndef CAIRN_BENCH_DNS_ANSWER_H
#define CAIRN_BENCH_DNS_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DNS_PACKET_MAX 512
#define DNS_NAME_MAX 255
#define DNS_TXT_MAX 128
/* The TXT record of this name (lower case, no dot at its end); false: it has none. */
struct dns_txt {
	bool (*find)(void *ctx, const char *name, size_t n, uint8_t out[DNS_TXT_MAX], size_t *ret_n);
	void *ctx;
};
/* Turns the n bytes of a question at p into its answer and gives its length; 0: nothing is to be said. txt NULL: none. */
size_t dns_answer(uint8_t p[DNS_PACKET_MAX], size_t n, const struct dns_txt *txt);

#endif

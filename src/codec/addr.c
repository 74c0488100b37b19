/* SPDX-License-Identifier: Apache-2.0
 *
 * addr.c: IP addresses and ranges as text, and which of them a validator must not reach or a certificate carry. The
 * tables are the IANA special-purpose registries, multicast, and the retired blocks that old routers still carry.
 */
#include "codec/codec.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>

struct special {
	uint8_t base[16];
	uint8_t bits;
	const char *name;
};

/* https://www.iana.org/assignments/iana-ipv4-special-registry; first match names the address. */
static const struct special special_v4[] = {
	{ { 0 }, 8, "this network (0.0.0.0/8)" },
	{ { 10 }, 8, "private (10.0.0.0/8)" },
	{ { 100, 64 }, 10, "carrier NAT (100.64.0.0/10)" },
	{ { 127 }, 8, "loopback (127.0.0.0/8)" },
	{ { 169, 254, 169, 254 }, 32, "cloud metadata (169.254.169.254)" },
	{ { 169, 254 }, 16, "link-local (169.254.0.0/16)" },
	{ { 172, 16 }, 12, "private (172.16.0.0/12)" },
	{ { 192, 0, 0 }, 24, "IETF protocols (192.0.0.0/24)" },
	{ { 192, 0, 2 }, 24, "documentation (192.0.2.0/24)" },
	{ { 192, 31, 196 }, 24, "AS112 (192.31.196.0/24)" },
	{ { 192, 52, 193 }, 24, "AMT (192.52.193.0/24)" },
	{ { 192, 88, 99 }, 24, "6to4 relay (192.88.99.0/24)" },
	{ { 192, 168 }, 16, "private (192.168.0.0/16)" },
	{ { 192, 175, 48 }, 24, "AS112 (192.175.48.0/24)" },
	{ { 198, 18 }, 15, "benchmarking (198.18.0.0/15)" },
	{ { 198, 51, 100 }, 24, "documentation (198.51.100.0/24)" },
	{ { 203, 0, 113 }, 24, "documentation (203.0.113.0/24)" },
	{ { 224 }, 4, "multicast (224.0.0.0/4)" },
	{ { 255, 255, 255, 255 }, 32, "broadcast (255.255.255.255)" },
	{ { 240 }, 4, "reserved (240.0.0.0/4)" },
};

/* https://www.iana.org/assignments/iana-ipv6-special-registry */
static const struct special special_v6[] = {
	{ { 0 }, 128, "unspecified (::)" },
	{ { [15] = 1 }, 128, "loopback (::1)" },
	{ { 0 }, 96, "IPv4-compatible (::/96)" },
	{ { [10] = 0xff, 0xff }, 96, "IPv4-mapped (::ffff:0:0/96)" },
	{ { 0x00, 0x64, 0xff, 0x9b, 0x00, 0x01 }, 48, "local NAT64 (64:ff9b:1::/48)" },
	{ { 0x01 }, 64, "discard (100::/64)" },
	{ { 0x01, 0, 0, 0, 0, 0, 0, 0x01 }, 64, "dummy prefix (100:0:0:1::/64)" },
	{ { 0x20, 0x01 }, 32, "Teredo (2001::/32)" },
	{ { 0x20, 0x01, 0, 0x02 }, 48, "benchmarking (2001:2::/48)" },
	{ { 0x20, 0x01 }, 23, "IETF protocols (2001::/23)" },
	{ { 0x20, 0x01, 0x0d, 0xb8 }, 32, "documentation (2001:db8::/32)" },
	{ { 0x26, 0x20, 0, 0x4f, 0x80 }, 48, "AS112 (2620:4f:8000::/48)" },
	{ { 0x3f, 0xff }, 20, "documentation (3fff::/20)" },
	{ { 0x5f }, 16, "segment routing (5f00::/16)" },
	{ { 0xfd, 0x00, 0x0e, 0xc2, [15] = 0x54, [14] = 0x02 }, 128, "cloud metadata (fd00:ec2::254)" },
	{ { 0xfc }, 7, "private (fc00::/7)" },
	{ { 0xfe, 0x80 }, 10, "link-local (fe80::/10)" },
	{ { 0xfe, 0xc0 }, 10, "site-local (fec0::/10)" },
	{ { 0xff }, 8, "multicast (ff00::/8)" },
};

/* Forms that carry an IPv4 address to which the traffic goes in the end: that address is judged. */
static const struct {
	uint8_t base[16];
	uint8_t bits;
	uint8_t v4_at;
} carries_v4[] = {
	{ { [10] = 0xff, 0xff }, 96, 12 },      /* mapped */
	{ { 0x00, 0x64, 0xff, 0x9b }, 96, 12 }, /* NAT64, RFC 6052 */
	{ { 0x20, 0x02 }, 16, 2 },              /* 6to4, RFC 3056 */
};

static size_t addr_len(const struct addr *a)
{
	return a->family == AF_INET ? 4 : 16;
}

static bool same_prefix(const uint8_t *a, const uint8_t *b, unsigned bits)
{
	if (memcmp(a, b, bits / 8) != 0)
		return false;
	unsigned rest = bits % 8;
	return rest == 0 || ((unsigned)(a[bits / 8] ^ b[bits / 8]) >> (8 - rest)) == 0;
}

static const char *find_special(const struct special *rows, size_t n, const uint8_t *b)
{
	for (size_t i = 0; i < n; i++) {
		if (same_prefix(b, rows[i].base, rows[i].bits))
			return rows[i].name;
	}
	return NULL;
}

const char *addr_special(const struct addr *a)
{
	if (a->family == AF_INET)
		return find_special(special_v4, ARRAY_LEN(special_v4), a->b);
	bool embedded = false;
	for (size_t i = 0; i < ARRAY_LEN(carries_v4); i++) {
		if (!same_prefix(a->b, carries_v4[i].base, carries_v4[i].bits))
			continue;
		embedded = true;
		const char *name = find_special(special_v4, ARRAY_LEN(special_v4), a->b + carries_v4[i].v4_at);
		if (name != NULL)
			return name;
	}
	const char *name = find_special(special_v6, ARRAY_LEN(special_v6), a->b);
	if (name != NULL || embedded)
		return name;
	/* Global unicast is 2000::/3 alone; whatever else there is has not been given to anybody. */
	return a->b[0] >> 5 == 1 ? NULL : "unassigned (outside 2000::/3)";
}

fallible addr_read(struct str text, struct addr *ret, struct err *err)
{
	char z[INET6_ADDRSTRLEN];
	struct addr a = { 0 };
	bool good = text.n > 0 && text.n < sizeof z;
	for (size_t i = 0; good && i < text.n; i++) {
		char c = text.p[i];
		good = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || c == '.' ||
		       c == ':';
	}
	if (good) {
		memcpy(z, text.p, text.n);
		z[text.n] = '\0';
		a.family = str_find(text, ':', 0) < text.n ? AF_INET6 : AF_INET;
		/* inet_pton, unlike inet_aton, takes four decimal parts without leading zeros and nothing else. */
		good = inet_pton(a.family, z, a.b) == 1;
	}
	if (!good)
		FAIL(err, ERR_MALFORMED, "\"%.*s\" is not an IP address", STR_FMT(str_sub(text, 0, 64)));
	*ret = a;
	return OK;
}

void addr_show(const struct addr *a, char out[ADDR_TEXT_MAX])
{
	static_assert(ADDR_TEXT_MAX >= INET6_ADDRSTRLEN, "every address fits");
	/* glibc writes RFC 5952: lower case, the first longest run of zeros as "::", mapped addresses with dots. */
	if ((a->family != AF_INET && a->family != AF_INET6) || inet_ntop(a->family, a->b, out, ADDR_TEXT_MAX) == NULL)
		(void)snprintf(out, ADDR_TEXT_MAX, "no address");
}

int addr_compare(const struct addr *a, const struct addr *b)
{
	if (a->family != b->family)
		return a->family == AF_INET ? -1 : 1;
	return memcmp(a->b, b->b, a->family == AF_INET ? 4 : 16);
}

bool addr_eq(const struct addr *a, const struct addr *b)
{
	return a->family == b->family && memcmp(a->b, b->b, addr_len(a)) == 0;
}

fallible addr_range_read(struct str text, struct addr_range *ret, struct err *err)
{
	size_t slash = str_find(text, '/', 0);
	struct addr_range r = { 0 };
	TRY(addr_read(str_sub(text, 0, slash), &r.base, err));
	uint64_t bits = addr_len(&r.base) * 8;
	if (slash < text.n)
		TRY(str_u64(str_sub(text, slash + 1, text.n), bits, &bits, err));
	r.bits = (unsigned)bits;
	for (unsigned bit = r.bits; bit < addr_len(&r.base) * 8; bit++) {
		if ((r.base.b[bit / 8] >> (7 - bit % 8) & 1) != 0)
			FAIL(err, ERR_MALFORMED, "range \"%.*s\" has bits set behind its prefix of %u", STR_FMT(text),
			     r.bits);
	}
	*ret = r;
	return OK;
}

bool addr_in(const struct addr *a, const struct addr_range *r)
{
	return a->family == r->base.family && same_prefix(a->b, r->base.b, r->bits);
}

fallible addr_port_read(struct str text, struct addr *ret, uint16_t *ret_port, struct err *err)
{
	size_t colon = text.n;
	while (colon > 0 && text.p[colon - 1] != ':')
		colon--;
	if (colon == 0)
		FAIL(err, ERR_MALFORMED, "\"%.*s\" has no port: address:port is wanted", STR_FMT(str_sub(text, 0, 64)));
	struct str host = str_sub(text, 0, colon - 1);
	struct addr a = { .family = AF_INET6 }; /* all zeros: any address */
	if (host.n > 0) {
		bool brackets = str_skip(&host, STR("[")) && str_ends(host, STR("]"));
		if (brackets)
			host.n--;
		TRY(addr_read(host, &a, err));
		if (brackets != (a.family == AF_INET6))
			FAIL(err, ERR_MALFORMED, "\"%.*s\": brackets belong around an IPv6 address and nothing else",
			     STR_FMT(str_sub(text, 0, 64)));
	}
	uint64_t port = 0;
	TRY(str_u64(str_sub(text, colon, text.n), UINT16_MAX, &port, err));
	*ret = a;
	*ret_port = (uint16_t)port;
	return OK;
}

socklen_t addr_sockaddr(const struct addr *a, uint16_t port, struct sockaddr_storage *ret)
{
	*ret = (struct sockaddr_storage){ 0 };
	if (a->family == AF_INET) {
		struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(port) };
		memcpy(&v4.sin_addr, a->b, 4);
		memcpy(ret, &v4, sizeof v4);
		return sizeof v4;
	}
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	memcpy(&v6.sin6_addr, a->b, 16);
	memcpy(ret, &v6, sizeof v6);
	return sizeof v6;
}

bool addr_of_sockaddr(const struct sockaddr_storage *sa, struct addr *ret, uint16_t *ret_port)
{
	struct addr a = { .family = sa->ss_family };
	if (sa->ss_family == AF_INET) {
		struct sockaddr_in v4;
		memcpy(&v4, sa, sizeof v4);
		memcpy(a.b, &v4.sin_addr, 4);
		*ret_port = ntohs(v4.sin_port);
	} else if (sa->ss_family == AF_INET6) {
		struct sockaddr_in6 v6;
		memcpy(&v6, sa, sizeof v6);
		if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) {
			a.family = AF_INET;
			memcpy(a.b, v6.sin6_addr.s6_addr + 12, 4);
		} else {
			memcpy(a.b, &v6.sin6_addr, 16);
		}
		*ret_port = ntohs(v6.sin6_port);
	} else {
		return false;
	}
	*ret = a;
	return true;
}

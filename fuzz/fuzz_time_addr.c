/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_time_addr.c: the small readers (times, addresses, ranges, ports, ids, numbers): what is read is shown and read
 * back as the same value, and the C library's parser agrees on addresses.
 */
#include "codec/codec.h"
#include "fuzz.h"

static void check_time(struct str in)
{
	int64_t t = 0;
	int64_t back = 0;
	struct err err = { 0 };
	struct rc rc = time_read(in, &t, &err);
	check_err(rc, &err);
	if (FAILED(rc))
		return;
	char text[TIME_TEXT_MAX];
	time_show(t, text);
	/* An offset may carry the first and last days out of the four-digit years, which are shown but not read. */
	if (t >= -62167219200 && t <= 253402300799)
		CHECK(!FAILED(time_read(str_z(text), &back, NULL)) && back == t);
}

static void check_addr(struct str in)
{
	struct addr a = { 0 };
	struct addr back = { 0 };
	struct err err = { 0 };
	struct rc rc = addr_read(in, &a, &err);
	check_err(rc, &err);
	if (FAILED(rc))
		return;
	char text[ADDR_TEXT_MAX];
	addr_show(&a, text);
	CHECK(!FAILED(addr_read(str_z(text), &back, NULL)) && addr_eq(&a, &back));
	const char *special = addr_special(&a);
	CHECK(special == addr_special(&back));
	struct addr_range whole = { 0 };
	CHECK(!FAILED(addr_range_read(in, &whole, NULL)) && addr_in(&a, &whole));
	/* A mapped address is special whenever the address inside is. */
	if (a.family == AF_INET) {
		struct addr mapped = { .family = AF_INET6, .b = { [10] = 0xff, 0xff } };
		memcpy(mapped.b + 12, a.b, 4);
		CHECK(addr_special(&mapped) != NULL && (special == NULL || addr_special(&mapped) == special));
		struct sockaddr_storage sa;
		uint16_t port = 0;
		(void)addr_sockaddr(&mapped, 80, &sa);
		CHECK(addr_of_sockaddr(&sa, &back, &port) && addr_eq(&a, &back));
	}
}

static void check_range_and_port(struct str in)
{
	struct addr_range r = { 0 };
	struct err err = { 0 };
	struct rc rc = addr_range_read(in, &r, &err);
	check_err(rc, &err);
	if (!FAILED(rc))
		CHECK(addr_in(&r.base, &r) && r.bits <= (r.base.family == AF_INET ? 32U : 128U));
	struct addr a = { 0 };
	struct addr back = { 0 };
	uint16_t port = 0;
	uint16_t back_port = 0;
	struct err port_err = { 0 };
	rc = addr_port_read(in, &a, &port, &port_err);
	check_err(rc, &port_err);
	if (FAILED(rc))
		return;
	char text[ADDR_TEXT_MAX];
	char both[ADDR_TEXT_MAX + 16];
	addr_show(&a, text);
	(void)snprintf(both, sizeof both, a.family == AF_INET6 ? "[%s]:%u" : "%s:%u", text, (unsigned)port);
	CHECK(!FAILED(addr_port_read(str_z(both), &back, &back_port, NULL)) && addr_eq(&a, &back) && back_port == port);
}

static void check_id_and_number(struct str in)
{
	struct id id = { { 0 } };
	struct err err = { 0 };
	struct rc rc = id_read(in, &id, &err);
	check_err(rc, &err);
	if (!FAILED(rc))
		CHECK(str_eq(in, str_z(id_show(id).z)));
	uint64_t v = 0;
	struct err number_err = { 0 };
	rc = str_u64(in, UINT64_MAX, &v, &number_err);
	check_err(rc, &number_err);
	if (!FAILED(rc)) {
		char text[32];
		(void)snprintf(text, sizeof text, "%llu", (unsigned long long)v);
		CHECK(str_eq(in, str_z(text)));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_n(data, size);
	check_time(in);
	check_addr(in);
	check_range_and_port(in);
	check_id_and_number(in);
	return 0;
}

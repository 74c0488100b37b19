/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_admin.c: a request to the admin socket, from its bytes to what a new key is to be. The store behind it is not
 * there: what goes into it is what is looked at.
 */
#include "admin/internal.h"
#include "fuzz.h"

#define NOW_MS 1800000000000
#define LIFE_MAX_MS (36500 * 86400000LL)

static struct conf *conf_once(void)
{
	static struct conf *conf;
	if (conf == NULL) {
		CHECK(!FAILED(
			conf_read_text(STR("realm:\n  default:\n    profiles: [server, short]\n"
					   "profile:\n  server:\n    lifetime: 90d\n  short:\n    lifetime: 7d\n"),
				       "fuzz", conf_env_none, NULL, &conf, NULL)));
	}
	return conf;
}

static void check_wish(const struct eab_wish *w)
{
	CHECK(str_eq(w->realm, STR("default")));
	CHECK(w->names.n <= EAB_NAMES_MAX && w->label.n <= EAB_LABEL_MAX && w->kid.n <= EAB_KID_MAX);
	CHECK(w->uses_max >= 0 && w->uses_max <= EAB_USES_MAX);
	CHECK(w->expires_at == 0 || (w->expires_at > NOW_MS && w->expires_at <= NOW_MS + LIFE_MAX_MS));
	CHECK(w->kid.n == 0 || w->kid.p[0] != '-');
	for (size_t i = 0; i < w->names.n; i++) {
		struct addr_range range;
		CHECK(!FAILED(addr_range_read(w->names.v[i], &range, NULL)) ||
		      !FAILED(name_pattern_check(w->names.v[i], NULL)));
	}
	for (size_t i = 0; i < w->profiles.n; i++)
		CHECK(str_eq(w->profiles.v[i], STR("server")) || str_eq(w->profiles.v[i], STR("short")));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct conf *conf = conf_once();
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(json_auto) struct json *rq = NULL;
	const struct admin_op *op = NULL;
	struct err err = { 0 };
	struct rc rc = admin_request_read(str_n(data, size), &rq, &op, &err);
	check_err(rc, &err);
	if (FAILED(rc))
		return 0;
	struct str kid = STR_NONE;
	rc = eab_kid_read(rq, &kid, &err);
	check_err(rc, &err);
	CHECK(FAILED(rc) || (kid.n > 0 && kid.n <= EAB_KID_MAX));
	struct eab_wish wish = { 0 };
	err = (struct err){ 0 };
	rc = eab_wish_read(&mem, rq, conf, NOW_MS, &wish, &err);
	check_err(rc, &err);
	if (!FAILED(rc))
		check_wish(&wish);
	return 0;
}

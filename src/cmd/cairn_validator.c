/* SPDX-License-Identifier: Apache-2.0
 *
 * cairn-validator: one perspective. It goes out into the network where clients' names lead, and signs what it saw; it
 * holds its verdict key and nothing else: no store, no CA key. Read configuration, open, then work until told to stop.
 */
#include "cmd/role.h"
#include "validate/validate.h"

#define DRAIN_MS 10000

struct program {
	struct role role;
	struct crypto *crypto;
	struct key *key;
	struct bus *bus;
	struct validator *validator;
};

static fallible take(void *ctx, const struct conf *fresh, struct err *err)
{
	struct program *p = ctx;
	return validator_reload(p->validator, fresh, err);
}

static fallible perspective_open(struct program *p, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct str name = p->role.conf->validator.perspective;
	const struct conf_perspective *perspective = conf_perspective(p->role.conf, name);
	if (perspective == NULL)
		FAIL(err, ERR_CONFIG, "validator.perspective is %.*s, and there is no perspective of that name",
		     STR_FMT(name));
	return key_read_file(conf_path(p->role.conf, &mem, perspective->key), NULL, &p->key, err);
}

static fallible bus_open(struct program *p, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct str url;
	TRY(url_of_bus(p->role.conf, &mem, &url, err));
	const struct bus_conf conf = {
		.url = url,
		.name = str_fmt(&mem, "validator.%.*s", STR_FMT(p->role.conf->validator.perspective)),
		.clk = &clock_system,
		.event = role_bus_event,
		.event_ctx = &p->role,
		.connect = role_bus_connect(&p->role),
		.connect_ctx = &p->role,
	};
	return bus_new(&conf, &p->bus, err);
}

static fallible prepare(void *ctx, struct err *err)
{
	struct program *p = ctx;
	TRY(crypto_new(&p->crypto, err));
	return perspective_open(p, err);
}

static fallible program_open(void *ctx, struct err *err)
{
	struct program *p = ctx;
	TRY(bus_open(p, err));
	TRY(validator_new(p->role.conf, p->bus, p->crypto, p->key, &p->role.log, &clock_system, &p->validator, err));
	return OK;
}

static fallible program_start(void *ctx, struct err *err)
{
	struct program *p = ctx;
	TRY(validator_start(p->validator, err));
	TRY(bus_start(p->bus, err));
	LOG(&p->role.log, LOG_NOTICE, "validating", KV_STR("perspective", p->role.conf->validator.perspective),
	    KV_Z("version", CAIRN_VERSION));
	return OK;
}

static void program_close(void *ctx)
{
	struct program *p = ctx;
	if (p->validator != NULL)
		validator_drain(p->validator, DRAIN_MS);
	if (p->bus != NULL)
		bus_stop(p->bus);
	validator_free(p->validator);
	bus_free(p->bus);
	key_free(p->key);
	crypto_free(p->crypto);
}

int main(int argc, char **argv)
{
	struct program p = { .role = { .program = "cairn-validator",
				       .summary = "cairn-validator - proves control of names, as one perspective",
				       .sandbox = SANDBOX_VALIDATOR,
				       .prepare = prepare,
				       .open = program_open,
				       .start = program_start,
				       .close = program_close,
				       .take = take,
				       .ctx = &p } };
	return role_main(&p.role, argc, argv);
}

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
	struct conf *conf;
	struct crypto *crypto;
	struct key *key;
	struct bus *bus;
	struct validator *validator;
};

static void on_reload(void *ctx)
{
	struct program *p = ctx;
	struct err why = { 0 };
	struct conf *fresh = NULL;
	struct rc rc = role_conf_read(&p->role, &fresh, &why);
	if (!FAILED(rc))
		rc = validator_reload(p->validator, fresh, &why);
	if (FAILED(rc)) {
		conf_free(fresh);
		LOG(&p->role.log, LOG_ERROR, "reload refused: the old configuration stays", KV_ERR(&why));
		return;
	}
	const char *key = conf_needs_restart(p->conf, fresh);
	if (key != NULL)
		LOG(&p->role.log, LOG_WARNING, "setting wants a restart", KV_Z("key", key));
	conf_free(p->conf);
	p->conf = fresh;
	LOG(&p->role.log, LOG_NOTICE, "configuration reloaded");
}

static fallible perspective_open(struct program *p, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct str name = p->conf->validator.perspective;
	const struct conf_perspective *perspective = conf_perspective(p->conf, name);
	if (perspective == NULL)
		FAIL(err, ERR_CONFIG, "validator.perspective is %.*s, and there is no perspective of that name",
		     STR_FMT(name));
	return key_read_file(conf_path(p->conf, &mem, perspective->key), NULL, &p->key, err);
}

static fallible bus_open(struct program *p, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct str url;
	TRY(role_bus_url(p->conf, &mem, &url, err));
	const struct bus_conf conf = {
		.url = url,
		.name = str_fmt(&mem, "validator.%.*s", STR_FMT(p->conf->validator.perspective)),
		.clk = &clock_system,
		.event = role_bus_event,
		.event_ctx = &p->role,
	};
	return bus_new(&conf, &p->bus, err);
}

static fallible program_open(struct program *p, struct err *err)
{
	TRY(role_conf_read(&p->role, &p->conf, err));
	TRY(crypto_new(&p->crypto, err));
	TRY(perspective_open(p, err));
	TRY(bus_open(p, err));
	TRY(validator_new(p->conf, p->bus, p->crypto, p->key, &p->role.log, &clock_system, &p->validator, err));
	TRY(validator_start(p->validator, err));
	return bus_start(p->bus, err);
}

static void program_close(struct program *p)
{
	if (p->validator != NULL)
		validator_drain(p->validator, DRAIN_MS);
	if (p->bus != NULL)
		bus_stop(p->bus);
	validator_free(p->validator);
	bus_free(p->bus);
	key_free(p->key);
	crypto_free(p->crypto);
	conf_free(p->conf);
}

int main(int argc, char **argv)
{
	struct program p = { .role = { .program = "cairn-validator", .reload = on_reload, .ctx = &p } };
	struct err err = { 0 };
	int code;
	if (role_args(&p.role, argc, argv, "cairn-validator - proves control of names, as one perspective", &code))
		return code;
	struct rc rc = role_start(&p.role, &err);
	if (!FAILED(rc))
		rc = program_open(&p, &err);
	if (!FAILED(rc)) {
		LOG(&p.role.log, LOG_NOTICE, "validating", KV_STR("perspective", p.conf->validator.perspective),
		    KV_Z("version", CAIRN_VERSION));
		rc = role_wait(&p.role, &err);
	}
	if (FAILED(rc))
		LOG(&p.role.log, LOG_ERROR, "cairn-validator stops", KV_ERR(&err));
	else
		LOG(&p.role.log, LOG_NOTICE, "stopping");
	program_close(&p);
	role_done(&p.role);
	return FAILED(rc) ? 1 : 0;
}

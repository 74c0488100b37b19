/* SPDX-License-Identifier: Apache-2.0
 *
 * cairn-signer: holds the CA keys and nothing else of the world: no listener, no store, no connection but the bus. It
 * signs what it has checked for itself (src/sign), and keeps the API's own certificate fresh. Read configuration, open,
 * then work until told to stop.
 */
#include "cmd/role.h"
#include "sign/sign.h"


#define RENEW_EVERY_MS ((int64_t)3600 * 1000)
#define DRAIN_MS 10000

struct program {
	struct role role;
	struct conf *conf;
	struct crypto *crypto;
	struct signer *signer;
	struct bus *bus;
};

static void on_broken(void *ctx)
{
	role_fail(ctx);
}

/* A failure here must not stop the issuing for others: the certificate in place may have weeks left. */
static void on_tick(void *ctx)
{
	struct program *p = ctx;
	struct err why = { 0 };
	bool renewed;
	if (FAILED(signer_renew_tls(p->signer, &renewed, &why)))
		LOG(&p->role.log, LOG_ERROR, "api certificate not renewed", KV_ERR(&why));
}

/* A bad configuration is told and left where it is; so is one whose key files cannot be read. */
static void on_reload(void *ctx)
{
	struct program *p = ctx;
	struct err why = { 0 };
	struct conf *fresh = NULL;
	struct rc rc = role_conf_read(&p->role, &fresh, &why);
	if (!FAILED(rc))
		rc = signer_reload(p->signer, fresh, &why);
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
	on_tick(p); /* the API's names may have changed */
}

static fallible bus_open(struct program *p, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct str url;
	TRY(role_bus_url(p->conf, &mem, &url, err));
	const struct bus_conf conf = {
		.url = url, .name = STR("signer"), .clk = &clock_system, .event = role_bus_event, .event_ctx = &p->role
	};
	return bus_new(&conf, &p->bus, err);
}

static fallible program_open(struct program *p, struct err *err)
{
	TRY(role_conf_read(&p->role, &p->conf, err));
	TRY(crypto_new(&p->crypto, err));
	TRY(signer_new(p->conf, p->crypto, &p->role.log, &clock_system, &rng_system, &p->signer, err));
	on_tick(p); /* before the bus: an API without a certificate is waiting for it */
	TRY(bus_open(p, err));
	signer_on_broken(p->signer, on_broken, &p->role);
	TRY(signer_start(p->signer, p->bus, err));
	return bus_start(p->bus, err);
}

static void program_close(struct program *p)
{
	if (p->signer != NULL)
		signer_drain(p->signer, DRAIN_MS);
	if (p->bus != NULL)
		bus_stop(p->bus);
	signer_free(p->signer);
	bus_free(p->bus);
	crypto_free(p->crypto);
	conf_free(p->conf);
}

int main(int argc, char **argv)
{
	struct program p = { .role = { .program = "cairn-signer",
				       .reload = on_reload,
				       .tick = on_tick,
				       .tick_ms = RENEW_EVERY_MS,
				       .ctx = &p } };
	struct err err = { 0 };
	int code;
	if (role_args(&p.role, argc, argv, "cairn-signer - checks evidence and signs certificates", &code))
		return code;
	struct rc rc = role_start(&p.role, &err);
	if (!FAILED(rc))
		rc = program_open(&p, &err);
	if (!FAILED(rc)) {
		LOG(&p.role.log, LOG_NOTICE, "signing", KV_U64("issuers", p.conf->issuer_count),
		    KV_Z("version", CAIRN_VERSION));
		rc = role_wait(&p.role, &err);
	}
	if (FAILED(rc))
		LOG(&p.role.log, LOG_ERROR, "cairn-signer stops", KV_ERR(&err));
	else
		LOG(&p.role.log, LOG_NOTICE, "stopping");
	program_close(&p);
	role_done(&p.role);
	return FAILED(rc) ? 1 : 0;
}

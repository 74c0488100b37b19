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

static fallible take(void *ctx, const struct conf *fresh, struct err *err)
{
	struct program *p = ctx;
	TRY(signer_reload(p->signer, fresh, err));
	on_tick(p); /* the API's names may have changed */
	return OK;
}

static fallible bus_open(struct program *p, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct str url;
	TRY(url_of_bus(p->role.conf, &mem, &url, err));
	const struct bus_conf conf = { .url = url,
				       .name = STR("signer"),
				       .clk = &clock_system,
				       .event = role_bus_event,
				       .event_ctx = &p->role,
				       .connect = role_bus_connect(&p->role),
				       .connect_ctx = &p->role };
	return bus_new(&conf, &p->bus, err);
}

/* Keys and, with PKCS#11, the module of a token: the sandbox lets neither be loaded. */
static fallible prepare(void *ctx, struct err *err)
{
	struct program *p = ctx;
	TRY(crypto_new(&p->crypto, err));
	return signer_new(p->role.conf, p->crypto, &p->role.log, &clock_system, &rng_system, &p->signer, err);
}

static fallible program_open(void *ctx, struct err *err)
{
	struct program *p = ctx;
	on_tick(p); /* before the bus: an API without a certificate is waiting for it */
	TRY(bus_open(p, err));
	signer_on_broken(p->signer, on_broken, &p->role);
	return OK;
}

static fallible program_start(void *ctx, struct err *err)
{
	struct program *p = ctx;
	TRY(signer_start(p->signer, p->bus, err));
	TRY(bus_start(p->bus, err));
	LOG(&p->role.log, LOG_NOTICE, "signing", KV_U64("issuers", p->role.conf->issuer_count),
	    KV_Z("version", CAIRN_VERSION));
	return OK;
}

static void program_close(void *ctx)
{
	struct program *p = ctx;
	if (p->signer != NULL)
		signer_drain(p->signer, DRAIN_MS);
	if (p->bus != NULL)
		bus_stop(p->bus);
	signer_free(p->signer);
	bus_free(p->bus);
	crypto_free(p->crypto);
}

int main(int argc, char **argv)
{
	struct program p = { .role = { .program = "cairn-signer",
				       .summary = "cairn-signer - checks evidence and signs certificates",
				       .sandbox = SANDBOX_SIGNER,
				       .prepare = prepare,
				       .open = program_open,
				       .start = program_start,
				       .close = program_close,
				       .take = take,
				       .tick = on_tick,
				       .tick_ms = RENEW_EVERY_MS,
				       .ctx = &p } };
	return role_main(&p.role, argc, argv);
}

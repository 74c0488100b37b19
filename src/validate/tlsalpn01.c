/* SPDX-License-Identifier: Apache-2.0
 *
 * tlsalpn01.c: the TLS challenge (RFC 8737; RFC 8738 6 for addresses; BR 3.2.2.4.20): the name's own server must agree to
 * speak "acme-tls/1" and then show the certificate that alpn_cert.c judges. What is dialled has been vetted and pinned,
 * and after the handshake not a byte is exchanged.
 */
#include "validate/internal.h"

#define PROTOCOL "acme-tls/1"
#define CONNECT_MAX_MS 10000
#define NAME_SHOWN_MAX 200

struct contact {
	struct targets targets;
	struct str server_name;   /* SNI */
	struct str shown;         /* the same for messages */
	char peer[ADDR_TEXT_MAX]; /* who answered, or was tried last */
	const char *passed_over;  /* what to say of an address that was not asked, because this one answered */
	struct tls_probe_reply reply;
};

struct str addr_reverse_name(struct arena *mem, const struct addr *a)
{
	static const char digits[] = "0123456789abcdef";
	if (a->family == AF_INET)
		return str_fmt(mem, "%u.%u.%u.%u.in-addr.arpa", a->b[3], a->b[2], a->b[1], a->b[0]);
	char nibbles[4 * sizeof a->b + 1];
	for (size_t i = 0; i < sizeof a->b; i++) {
		char *at = &nibbles[4 * (sizeof a->b - 1 - i)];
		at[0] = digits[a->b[i] & 15];
		at[1] = '.';
		at[2] = digits[a->b[i] >> 4];
		at[3] = '.';
	}
	nibbles[sizeof nibbles - 1] = '\0';
	return str_fmt(mem, "%sip6.arpa", nibbles);
}

static fallible contact_fail(const struct probe *p, const struct contact *c, enum err_kind kind, const struct err *why,
			     const char *earlier, struct err *err)
{
	const char *advice = "check the TLS server there: it must answer this challenge itself, not a proxy or CDN in "
			     "front of it";
	if (!c->reply.connected)
		advice = "start the ACME client's TLS server there, or let this port through the firewall";
	if (kind == ERR_TIMEOUT || kind == ERR_MALFORMED)
		kind = ERR_CONNECTION;
	if (why->cause[0] != '\0')
		err_cause(err, "%s", why->cause);
	FAIL(err, kind, "%s: TLS on port %u for %.*s: %s; wanted a handshake with protocol \"" PROTOCOL "\"; %s%s",
	     c->peer, (unsigned)p->env->zone->alpn_port, STR_FMT(c->shown), why->detail, advice, earlier);
}

static struct tls_probe_request request_make(const struct probe *p, const struct contact *c, size_t target,
					     bool another)
{
	int64_t left = probe_left_ms(p);
	/* What the second address needs must be left over by the first. */
	int64_t connect = another ? left / 2 : left;
	return (struct tls_probe_request){
		.addr = c->targets.addrs[target],
		.port = (uint16_t)p->env->zone->alpn_port,
		.server_name = c->server_name,
		.alpn = STR(PROTOCOL),
		.connect_timeout_ms = connect < CONNECT_MAX_MS ? connect : CONNECT_MAX_MS,
		.timeout_ms = left,
	};
}

/* As in http-01, the second address is for the case that the first cannot be reached (THREATS A38). */
static fallible contact_make(struct probe *p, struct contact *c, struct err *err)
{
	const struct probe_ops *ops = p->env->ops;
	const char *earlier = "";
	c->passed_over = "";
	for (size_t i = 0;; i++) {
		bool another = i + 1 < c->targets.count;
		struct tls_probe_request rq = request_make(p, c, i, another);
		struct err why = { 0 };
		addr_show(&c->targets.addrs[i], c->peer);
		if (rq.timeout_ms == 0)
			FAIL(err, ERR_CONNECTION,
			     "%s: TLS on port %u for %.*s was not tried: the %.1f s of this validation are used up; "
			     "wanted the whole handshake within them%s",
			     c->peer, rq.port, STR_FMT(c->shown), (double)p->allowed_ms / 1000.0, earlier);
		struct rc rc = ops->tls(ops->ctx, &rq, p->mem, &c->reply, &why);
		if (another && c->reply.connected)
			earlier = c->passed_over = targets_passed_over(p, &c->targets);
		if (rc.kind == ERR_NONE)
			return OK;
		probe_step(p, "connect", "%s: TLS on port %u for %.*s: %s", c->peer, rq.port, STR_FMT(c->shown),
			   why.detail);
		bool unreachable = !c->reply.connected && (rc.kind == ERR_CONNECTION || rc.kind == ERR_TIMEOUT);
		if (!another || !unreachable)
			return contact_fail(p, c, rc.kind, &why, earlier, err);
		earlier = str_dupz_raw(p->mem, str_fmt(p->mem, " (%s was tried first: %.100s)", c->peer, why.detail));
	}
}

static fallible reply_judge(struct probe *p, const struct contact *c, struct err *err)
{
	const struct tls_probe_reply *r = &c->reply;
	unsigned port = (unsigned)p->env->zone->alpn_port;
	struct str chosen = peer_text(p->mem, r->alpn, PEER_TEXT_MAX);
	struct sha256 digest, fingerprint;
	TRY(digest_sha256(p->env->crypto, key_authorization(p), &digest, err));
	TRY(digest_sha256(p->env->crypto, r->certificate, &fingerprint, err));
	struct str print = hex_encode(p->mem, str_n(fingerprint.b, sizeof fingerprint.b));
	probe_step(p, "response", "%s: TLS on port %u for %.*s: %s, protocol \"%.*s\", certificate sha256 %.*s",
		   c->peer, port, STR_FMT(c->shown), r->version, STR_FMT(chosen), STR_FMT(print));
	if (!str_eq(r->alpn, STR(PROTOCOL)))
		FAIL(err, ERR_TLS,
		     "%s: TLS on port %u for %.*s: the server chose %s%.*s%s; wanted protocol \"" PROTOCOL
		     "\" (ALPN, RFC 8737); the ACME client must answer there, not the usual server or a proxy in front "
		     "of it%s",
		     c->peer, port, STR_FMT(c->shown), chosen.n == 0 ? "no protocol" : "protocol \"", STR_FMT(chosen),
		     chosen.n == 0 ? "" : "\"", c->passed_over);
	struct err why = { 0 };
	struct rc rc = alpn_cert_check(p->env->crypto, r->certificate, &p->job->ident, &digest, p->mem, &why);
	if (rc.kind == ERR_NONE)
		return OK;
	if (why.cause[0] != '\0')
		err_cause(err, "%s", why.cause);
	FAIL(err, rc.kind, "%s: TLS on port %u for %.*s: the certificate %s%s", c->peer, port, STR_FMT(c->shown),
	     why.detail, c->passed_over);
}

fallible tlsalpn01(struct probe *p, struct err *err)
{
	const struct ident *ident = &p->job->ident;
	struct contact c = { .server_name = ident->value };
	struct addr addr;
	bool is_addr = ident->type == IDENT_IP;
	if (is_addr) {
		TRY(addr_read(ident->value, &addr, err));
		c.server_name = addr_reverse_name(p->mem, &addr); /* RFC 8738 6: SNI has no addresses */
	}
	c.shown = peer_text(p->mem, c.server_name, NAME_SHOWN_MAX);
	TRY(targets_find(p, ident->value, is_addr ? &addr : NULL, &c.targets, err));
	TRY(contact_make(p, &c, err));
	return reply_judge(p, &c, err);
}

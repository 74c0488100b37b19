/* SPDX-License-Identifier: Apache-2.0
 *
 * client.h: an ACME client (RFC 8555), in two halves. The engine has no sockets, no clock and no files: it says what to
 * do next (send this request, publish this answer, wait so long) and is told what came of it. The driver does that over
 * libcurl. Nothing that a server says is ever evaluated; all of it is parsed as hostile input with limits.
 */
#ifndef CAIRN_CLIENT_CLIENT_H
#define CAIRN_CLIENT_CLIENT_H

#include "jose/jose.h"
#include "model/model.h"
#include "net/net.h"
#include "pki/pki.h"

#include <signal.h>

#define CLIENT_REPLY_MAX (256 * 1024)
#define CLIENT_POLLS_MAX 120 /* of one object; the driver's deadline usually comes first */
#define CLIENT_RETRIES_MAX 5 /* badNonce, 429 and 503 in a row */
#define CLIENT_WAIT_MAX_MS (60 * 1000)

struct client;

struct client_conf { /* borrowed until client_free, but for the slices and lists, which are copied */
	const struct crypto *crypto;
	struct str directory_url;
	const struct key *account_key;
	struct str contact; /* "mailto:..." or empty */
	bool terms_agreed;
	/* The first of these that the server offers for an identifier, and that can prove it, is used. None: http-01. */
	const enum challenge_type *methods;
	size_t method_count;
	struct str eab_kid; /* RFC 8555 7.3.4; empty: no external account binding */
	const struct secret *eab_key;
	int64_t settle_ms; /* > 0: so long between the last answer in the DNS and the first word to the server about it */
	int64_t poll_ms;   /* > 0: look again after so long whatever Retry-After says, the first fifty times; for load
			    generators */
};
fallible client_new(const struct client_conf *conf, struct client **ret, struct err *err);
void client_free(struct client *cl);

/* --- what to do. One of these begins it, and client_next and its answers go on until CLIENT_DONE or a failure; after
 * either another one may begin. Directory, account and nonce are kept. -------------------------------------------------*/
struct client_wanted {
	const struct ident *idents; /* names and addresses in canonical form; wildcards with "*." */
	size_t count;
	const struct key *key; /* the certificate's; must outlive the order */
	struct str profile;    /* empty: the server's choice */
};
fallible client_order(struct client *cl, const struct client_wanted *wanted, struct err *err);
/* The account by this key: found, or made when it is new. */
fallible client_register(struct client *cl, struct err *err);
/* Found only; ERR_ACCOUNT_DOES_NOT_EXIST. */
fallible client_find(struct client *cl, struct err *err);
/* RFC 8555 7.6, signed by the account's key or, when it is not NULL, by the certificate's own; no account is made. */
fallible client_revoke(struct client *cl, struct str certificate_der, int reason, const struct key *certificate_key,
		       struct err *err);
/* RFC 8555 7.3.5. Once it is done, the new key signs: it must outlive the client. */
fallible client_key_change(struct client *cl, const struct key *key, struct err *err);
/* RFC 8555 7.3.6. */
fallible client_deactivate(struct client *cl, struct err *err);

/* What proves that an identifier is ours. Slices live as long as the order. */
struct client_answer {
	enum challenge_type method;
	struct ident ident;                  /* without "*." */
	struct str token, key_authorization; /* http-01; empty for dns-persist-01 */
	struct sha256 digest;                /* of the key authorization, for tls-alpn-01 */
	struct str dns_name, dns_value;      /* of the TXT record, for dns-01 and dns-account-01 */
};

enum client_kind { CLIENT_REQUEST, CLIENT_PUBLISH, CLIENT_WITHDRAW, CLIENT_WAIT, CLIENT_DONE };
struct client_step { /* slices live until the next call */
	enum client_kind kind;
	struct str method, url, body;                       /* CLIENT_REQUEST; a body goes as application/jose+json */
	struct client_answer answer;                        /* CLIENT_PUBLISH, CLIENT_WITHDRAW */
	int64_t wait_ms;                                    /* CLIENT_WAIT */
	struct str chain_pem;                               /* CLIENT_DONE, of an order */
	struct str account_url, order_url, certificate_url; /* empty until they are known */
	const char *doing; /* a few words for progress lines: "new order", "poll authorization" */
};
/* What to do now; the same again until it is answered. */
fallible client_next(struct client *cl, struct client_step *ret, struct err *err);

struct client_reply {
	int status;
	struct str nonce, location, retry_after; /* p == NULL when absent */
	struct str body;
	int64_t now_s; /* wall clock, for a Retry-After that is a date; 0: such dates count as 5 s */
};
/* The answer to CLIENT_REQUEST. A refusal that cannot be mended by trying again ends the order: its kind and the
 * server's own words are in err, and client_order may begin another one. */
fallible client_replied(struct client *cl, const struct client_reply *reply, struct err *err);
/* The answer to CLIENT_PUBLISH, CLIENT_WITHDRAW and CLIENT_WAIT: it was done. */
fallible client_did(struct client *cl, struct err *err);
/* The answer to any step that could not be done: ends the order. OK while published answers are still to be withdrawn
 * (go on with client_next; `why` then comes out of client_did), otherwise `why` itself. */
fallible client_fail(struct client *cl, const struct err *why, struct err *err);

/* The record that dns-persist-01 wants to see for this identifier (draft-ietf-acme-dns-persist-02), after client_register
 * or client_find: its name and value live in mem. ERR_CONFIG: this server has none, or an identifier that can have none. */
fallible client_persist_record(const struct client *cl, struct arena *mem, const struct ident *ident,
			       struct str *ret_name, struct str *ret_value, struct err *err);

/* Can the method prove the identifier? Wildcards want the DNS, addresses anything else. */
bool client_method_serves(enum challenge_type method, const struct ident *ident);

/* Is this the certificate that was ordered? The chain parses, its first certificate carries this key, all of these
 * names and addresses, and no others. ERR_MALFORMED says what is wrong. */
#define CLIENT_CHAIN_MAX 16
struct client_chain {
	int64_t not_before, not_after;    /* unix seconds, of the first certificate */
	struct str leaf_pem, issuers_pem; /* issuers_pem is empty when the server sent the leaf alone */
};
fallible client_chain_check(struct arena *mem, struct str chain_pem, const struct key *key, const struct ident *idents,
			    size_t count, struct client_chain *ret, struct err *err);
/* Does the certificate have these names and addresses, and no others? */
fallible client_idents_fit(struct arena *mem, const struct cert *cert, const struct ident *idents, size_t count,
			   struct err *err);

/* --- the driver: runs what was begun to its end over libcurl, on the calling thread ------------------------------------*/
struct client_answers { /* where answers to challenges go */
	/* Both may be NULL when nothing is to be proved. */
	fallible (*publish)(void *ctx, const struct client_answer *answer, struct err *err);
	void (*withdraw)(void *ctx, const struct client_answer *answer);
	void (*progress)(void *ctx, const char *doing, struct str detail); /* may be NULL */
	void (*step)(void *ctx, const struct client_step *step); /* may be NULL: sees each step, before it is done */
	void *ctx;
};
struct client_drive {
	struct fetcher *fetcher;
	const char *ca_file; /* NULL: the system's store */
	struct str user_agent;
	const struct clock *clk;
	int64_t deadline_mono_ms;
	const struct client_answers *answers;
	const volatile sig_atomic_t *stop; /* may be NULL; not 0: end the order soon */
	bool patient;                      /* a server that is away or answers 5xx is tried again until the deadline */
};
/* On failure the answers that were published have been withdrawn. ret_chain_pem may be NULL when no certificate is due. */
fallible client_drive(struct client *cl, const struct client_drive *how, struct arena *mem, struct str *ret_chain_pem,
		      struct err *err);

/* --- answers over HTTP: a small server on a thread of its own, for `--standalone` and the load generator ----------*/
struct responder;
/* Port 0 picks a free one. The unspecified IPv6 address serves IPv4 too. */
fallible responder_new(const struct addr *addr, uint16_t port, struct responder **ret, struct err *err);
uint16_t responder_port(const struct responder *r);
fallible responder_add(struct responder *r, struct str token, struct str key_authorization, struct err *err);
void responder_remove(struct responder *r, struct str token);
void responder_free(struct responder *r);

/* The same for tls-alpn-01 (RFC 8737): for each identifier a certificate of a minute's making. */
struct alpn_responder;
fallible alpn_responder_new(const struct crypto *c, const struct addr *addr, uint16_t port, struct alpn_responder **ret,
			    struct err *err);
uint16_t alpn_responder_port(const struct alpn_responder *r);
fallible alpn_responder_add(struct alpn_responder *r, const struct ident *ident, const struct sha256 *digest,
			    struct err *err);
void alpn_responder_remove(struct alpn_responder *r, const struct ident *ident);
void alpn_responder_free(struct alpn_responder *r);

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * schema.c: one row a setting. Parser, defaults, check-config, cairn.conf(5) and the file that `cairn init` writes all
 * read this table, so a new setting is a new row here and a member in conf.h.
 */
#include "conf/internal.h"

#include <assert.h>

#define DAY_S 86400

static const char *const log_levels[] = { "debug", "info", "notice", "warning", "error", NULL };
static const char *const log_formats[] = { "auto", "json", "text", NULL };
static const char *const challenges[] = {
	"http-01", "dns-01", "tls-alpn-01", "dns-account-01", "dns-persist-01", NULL
};
static const char *const switches[] = { "on", "off", NULL };
static const char *const sandboxes[] = { "auto", "required", "off", NULL };
static const char *const uses[] = { "server-auth", "client-auth", "code-signing", "email-protection", NULL };
static const char *const ident_kinds[] = { "dns", "wildcard", "ip", NULL };
static const char *const key_kinds[] = { "P-256", "P-384", "P-521", "RSA-2048", "RSA-3072", "RSA-4096", NULL };
static const char *const subject_modes[] = { "off", "allowed", "required", NULL };
static const char *const eab_modes[] = { "off", "optional", "required", NULL };

#define AT(member) offsetof(struct conf, member)
#define IN_REALM(member) offsetof(struct conf_realm, member)
#define IN_ZONE(member) offsetof(struct conf_zone, member)
#define IN_PERSPECTIVE(member) offsetof(struct conf_perspective, member)
#define IN_PROFILE(member) offsetof(struct conf_profile, member)
#define IN_ISSUER(member) offsetof(struct conf_issuer, member)
#define IN_OPERATOR(member) offsetof(struct conf_operator, member)
#define RESTART false
#define RELOAD true

/* The columns: key, kind, where, default, least, most, words, variable, reload, help. */
static const struct conf_row rows[] = {
	{ "state-dir", CONF_STR, AT(state_dir), ".", 1, 0, NULL, "CAIRN_STATE_DIR", RESTART,
	  "The folder that relative paths of this file are taken from. Relative itself, it is taken from the folder of "
	  "this file." },

	{ "suffix-list", CONF_STR, AT(suffix_list), "", 0, 0, NULL, NULL, RELOAD,
	  "A file with the Public Suffix List (publicsuffix.org, or Debian's package publicsuffix), when it should be "
	  "newer than the one that libpsl brings along. No wildcard is issued directly below a name of its ICANN "
	  "section, "
	  "such as *.co.uk, and no such name is proved for those below it." },

	{ "sandbox", CONF_STR, AT(sandbox), "auto", 0, 0, sandboxes, "CAIRN_SANDBOX", RESTART,
	  "Whether each program confines itself (Landlock and seccomp) before it reads what strangers send. auto: as "
	  "far "
	  "as the kernel can, and the log says what is missing. required: not to start when anything is missing. off: "
	  "not "
	  "at all, to find out whether it is the sandbox that stands in the way of something." },

	{ "log.level", CONF_STR, AT(log.level), "notice", 0, 0, log_levels, "CAIRN_LOG_LEVEL", RELOAD,
	  "The least weighty events that are logged." },
	{ "log.format", CONF_STR, AT(log.format), "auto", 0, 0, log_formats, "CAIRN_LOG_FORMAT", RESTART,
	  "JSON or text, one line an event, to standard error. auto: text on a terminal, JSON elsewhere." },

	{ "api.listen", CONF_LIST, AT(api.listen), "127.0.0.1:14000", 1, 16, NULL, "CAIRN_LISTEN", RESTART,
	  "Addresses and ports that serve ACME over HTTPS. \"[::]:14000\" means every address of both families." },
	{ "api.base-url", CONF_STR, AT(api.base_url), "https://localhost:14000", 1, 0, NULL, "CAIRN_BASE_URL", RESTART,
	  "How clients reach the API: https, a host, a port unless it is 443, no slash at the end. Every URL that "
	  "cairn hands out "
	  "starts with it, and signed requests must name it." },
	{ "api.tls-certificate", CONF_STR, AT(api.tls_certificate), "tls/api.pem", 1, 0, NULL, NULL, RELOAD,
	  "The API's own certificate with its chain, leaf first, as PEM." },
	{ "api.tls-key", CONF_STR, AT(api.tls_key), "tls/api.key", 1, 0, NULL, NULL, RELOAD,
	  "The private key of that certificate." },
	{ "api.tls-own", CONF_BOOL, AT(api.tls_own), "true", 0, 0, NULL, NULL, RELOAD,
	  "Whether that certificate comes from cairn's own issuer. false: it comes from elsewhere and cairn only reads "
	  "it." },
	{ "api.admin-socket", CONF_STR, AT(api.admin_socket), "run/admin.sock", 1, 0, NULL, NULL, RESTART,
	  "The Unix socket on which commands such as cairn eab reach the API. Only the API's own user and root may use "
	  "it." },
	{ "api.tls-names", CONF_LIST, AT(api.tls_names), "localhost, 127.0.0.1, ::1", 1, 100, NULL, NULL, RELOAD,
	  "Names and addresses in the API's own certificate." },
	{ "api.loops", CONF_INT, AT(api.loops), "0", 0, 256, NULL, NULL, RESTART,
	  "Event loops for sockets. 0: one a core." },
	{ "api.workers", CONF_INT, AT(api.workers), "32", 1, 1024, NULL, NULL, RESTART,
	  "Threads that answer requests. They sleep while the store writes, and sleeping together makes one disk write "
	  "serve many." },
	{ "api.nonce-life", CONF_SECONDS, AT(api.nonce_life_s), "1h", 60, DAY_S, NULL, NULL, RESTART,
	  "How long a nonce stays usable." },
	{ "api.finalize-wait", CONF_MILLIS, AT(api.finalize_wait_ms), "3s", 0, 30000, NULL, NULL, RELOAD,
	  "How long finalize waits for the signer before it answers \"processing\"." },
	{ "api.challenge-wait", CONF_MILLIS, AT(api.challenge_wait_ms), "250ms", 0, 30000, NULL, NULL, RELOAD,
	  "How long a client that asks for a challenge to be validated waits for the outcome before it is answered "
	  "\"processing\". The names of an order have this time together while others of it are open, and one in time "
	  "earns a little of it back; when one is not there after 100 ms, no other waits. The last one has all of "
	  "it." },
	{ "api.connections-max", CONF_INT, AT(api.connections_max), "10000", 16, 1000000, NULL, "CAIRN_CONNECTIONS_MAX",
	  RESTART, "Open connections at once; idle ones make room for new ones." },
	{ "api.drain", CONF_MILLIS, AT(api.drain_ms), "20s", 0, 25000, NULL, NULL, RELOAD,
	  "How long requests in progress may take to end when the API stops." },

	{ "store.url", CONF_STR, AT(store.url), "sqlite:store/cairn.db", 1, 0, NULL, "CAIRN_STORE, DATABASE_URL",
	  RESTART,
	  "Where accounts, orders and certificates are kept: sqlite:PATH, or postgresql://USER@HOST:PORT/NAME with "
	  "libpq's parameters, such as ?sslmode=verify-full&sslrootcert=FILE. Several servers of which a standby can "
	  "take "
	  "over, as in postgresql://USER@HOST1:PORT,HOST2:PORT/NAME: the one that takes changes is used, and never "
	  "again "
	  "one that another has taken over from." },
	{ "store.password-file", CONF_STR, AT(store.password_file), "", 0, 0, NULL, NULL, RESTART,
	  "A file whose first line is the password for PostgreSQL. It keeps the password out of this file; without it, "
	  "libpq's own ways (PGPASSFILE) hold." },
	{ "store.connections", CONF_INT, AT(store.connections), "8", 1, 64, NULL, NULL, RESTART,
	  "Connections to PostgreSQL, and as many to store.standby." },
	{ "store.pooler", CONF_BOOL, AT(store.pooler), "false", 0, 0, NULL, NULL, RESTART,
	  "Whether a pooler that gives a connection for one transaction at a time, such as pgbouncer in transaction "
	  "mode, "
	  "is in front of PostgreSQL. Nothing is kept in a session then." },
	{ "store.standby", CONF_STR, AT(store.standby), "", 0, 0, NULL, NULL, RESTART,
	  "The URL of a PostgreSQL server that follows the one of store.url (a read replica). Lists are read there, "
	  "and from store.url while it is away or further behind than store.standby-lag." },
	{ "store.standby-lag", CONF_SECONDS, AT(store.standby_lag_s), "30s", 1, DAY_S, NULL, NULL, RESTART,
	  "How far store.standby may be behind: what is older is not read there." },
	{ "store.secret-key", CONF_STR, AT(store.secret_key), "store/secret.key", 1, 0, NULL, NULL, RESTART,
	  "The file with the key that seals secrets in the store, such as external account keys: 64 hex digits. Back "
	  "it "
	  "up apart from the store." },
	{ "store.readers", CONF_INT, AT(store.readers), "4", 1, 64, NULL, NULL, RESTART,
	  "Connections to SQLite for reading." },
	{ "store.keep-ended", CONF_SECONDS, AT(store.keep_ended_s), "30d", 60, 3650 * (int64_t)DAY_S, NULL, NULL,
	  RESTART, "How long orders and authorizations that have ended are kept." },
	{ "store.keep-expired", CONF_SECONDS, AT(store.keep_expired_s), "90d", 0, 36500 * (int64_t)DAY_S, NULL, NULL,
	  RESTART, "How long certificates are kept past their end, with the evidence behind them." },
	{ "store.keep-audit", CONF_SECONDS, AT(store.keep_audit_s), "730d", DAY_S, 36500 * (int64_t)DAY_S, NULL, NULL,
	  RESTART, "How long audit records are kept." },

	{ "bus.url", CONF_STR, AT(bus.url), "unix:run/bus.sock", 1, 0, NULL, "CAIRN_BUS", RESTART,
	  "How the programs reach each other: unix:PATH of a socket that the API makes." },

	{ "signer.journal", CONF_STR, AT(signer.journal), "journal", 1, 0, NULL, NULL, RESTART,
	  "The folder of the signer's journal, which knows every serial before it is signed. Keep it on a disk that "
	  "keeps what it "
	  "acknowledged." },
	{ "signer.serial-prefix", CONF_INT, AT(signer.serial_prefix), "1", 1, 127, NULL, NULL, RESTART,
	  "The first byte of every serial. Signers that share an issuer need different ones." },

	{ "signer.sandbox-paths", CONF_LIST, AT(signer.sandbox_paths), "", 0, 32, NULL, NULL, RESTART,
	  "Folders and files, such as the tokens of a PKCS#11 module, that the signer may use besides its own: read "
	  "and "
	  "write, and in folders everything below." },
	{ "signer.sandbox-network", CONF_BOOL, AT(signer.sandbox_network), "false", 0, 0, NULL, NULL, RESTART,
	  "Whether the signer may make connections and talk to devices while it runs: for a PKCS#11 module whose "
	  "device "
	  "is reached over the network, USB or pcscd. Nothing else in the signer needs it." },
	{ "signer.revoked-grants", CONF_STR, AT(signer.revoked_grants), "grants/revoked", 1, 0, NULL, NULL, RELOAD,
	  "A file on the signer's host with the ids of grants that count no more, one a line. cairn grant revoke adds "
	  "to "
	  "it; the signer looks at it before it believes a grant." },

	{ "validator.perspective", CONF_STR, AT(validator.perspective), "local", 1, 0, NULL, "CAIRN_PERSPECTIVE",
	  RESTART, "Which of the perspectives below a validator that reads this file is." },
	{ "validator.probes-max", CONF_INT, AT(validator.probes_max), "512", 1, 4096, NULL, NULL, RESTART,
	  "Validations at once." },

	{ "sweeper.resend", CONF_MILLIS, AT(sweeper.resend_ms), "5s", 500, 60000, NULL, NULL, RESTART,
	  "A job without a result is sent again after this long." },
	{ "sweeper.interval", CONF_MILLIS, AT(sweeper.interval_ms), "2s", 100, 30000, NULL, NULL, RESTART,
	  "How often the API looks for jobs without a result, deadlines that passed and rows that may go." },

	{ "keys.blocked", CONF_STR, AT(keys.blocked), "", 0, 0, NULL, NULL, RELOAD,
	  "A file of keys that get no account and no certificate, besides those that the API has blocked after "
	  "revocations: SHA-256 of the SubjectPublicKeyInfo as hex, one a line, comments behind #. API and signer read "
	  "it, each its own." },
	{ "keys.weak", CONF_LIST, AT(keys.weak), "", 0, 16, NULL, NULL, RELOAD,
	  "Files of RSA keys that Debian's OpenSSL made from 2006 to 2008, in the form of the package "
	  "openssl-blacklist: "
	  "20 hex digits a line. API and signer read them." },

	{ "realm.*.names", CONF_LIST, IN_REALM(names), "", 0, 4096, NULL, NULL, RELOAD,
	  "The names that may be asked for: \"host.corp.example\" itself, \"*.corp.example\" everything below it, "
	  "\"*\" everything. "
	  "None: this realm issues nothing." },
	{ "realm.*.addresses", CONF_LIST, IN_REALM(addresses), "", 0, 4096, NULL, NULL, RELOAD,
	  "The ranges of IP addresses that may be asked for, such as \"10.1.0.0/16\" or \"2001:db8::/32\". None: no "
	  "certificates for addresses." },
	{ "realm.*.challenges", CONF_LIST, IN_REALM(challenges), "http-01, dns-01, tls-alpn-01", 1, 8, challenges, NULL,
	  RELOAD, "How clients may prove that they control a name." },
	{ "realm.*.profiles", CONF_LIST, IN_REALM(profiles), "server", 1, 32, NULL, NULL, RELOAD,
	  "Kinds of certificates that clients may ask for; the first one is for those that do not say." },
	{ "realm.*.issuers", CONF_LIST, IN_REALM(issuers), "default", 1, 8, NULL, NULL, RELOAD,
	  "Which issuers below sign. Of several, the first one whose key is of the kind of the client's, RSA or ECDSA, "
	  "or else the first one; cairn issuer adds and changes them." },
	{ "realm.*.zone", CONF_STR, IN_REALM(zone), "default", 1, 0, NULL, NULL, RELOAD,
	  "Which zone below validates." },
	{ "realm.*.eab", CONF_STR, IN_REALM(eab), "off", 0, 0, eab_modes, NULL, RELOAD,
	  "Whether new accounts must show an external account key (made with cairn eab add). off: a binding is not "
	  "looked at." },
	{ "realm.*.grants", CONF_BOOL, IN_REALM(grants), "false", 0, 0, NULL, NULL, RELOAD,
	  "Whether names that an operator's grant covers need no challenge (cairn grant add). A grant adds no names to "
	  "those above." },
	{ "realm.*.subdomain-auth", CONF_BOOL, IN_REALM(subdomain_auth), "false", 0, 0, NULL, NULL, RELOAD,
	  "Whether a proof in the DNS for a domain may serve the names below it, when the client asks for that (RFC "
	  "9444)." },
	{ "realm.*.terms-agree-again", CONF_BOOL, IN_REALM(terms_agree_again), "false", 0, 0, NULL, NULL, RELOAD,
	  "Whether accounts that agreed to earlier terms must agree to the ones above before they can order again." },
	{ "realm.*.terms-of-service", CONF_STR, IN_REALM(terms_of_service), "", 0, 0, NULL, NULL, RELOAD,
	  "URL of the terms that clients must agree to. Empty: none." },
	{ "realm.*.website", CONF_STR, IN_REALM(website), "", 0, 0, NULL, NULL, RELOAD,
	  "URL of a page about this CA, shown in the directory. Empty: none." },
	{ "realm.*.caa-identities", CONF_LIST, IN_REALM(caa_identities), "", 0, 16, NULL, NULL, RELOAD,
	  "Names by which CAA records may allow this CA. None: a name whose CAA records allow certain CAs only is "
	  "refused." },
	{ "realm.*.caa", CONF_STR, IN_REALM(caa), "on", 0, 0, switches, NULL, RELOAD,
	  "Whether CAA records (RFC 8659, RFC 8657) of a name and of the names above it can forbid its certificate. "
	  "off: "
	  "for closed networks whose DNS answers no such questions." },
	{ "realm.*.account-hash-prefix", CONF_STR, IN_REALM(account_hash_prefix), "", 0, 0, NULL, NULL, RELOAD,
	  "https URL with a slash at its end that accounturi begins with in records of dns-persist-01. Empty: "
	  "account-hash/ below the realm's URL. Records in the DNS stop to count when it changes." },
	{ "realm.*.order-life", CONF_SECONDS, IN_REALM(order_life_s), "7d", 60, 30 * DAY_S, NULL, NULL, RELOAD,
	  "How long a client may take from order to finalize." },
	{ "realm.*.authz-pending", CONF_SECONDS, IN_REALM(authz_pending_s), "7d", 60, 30 * DAY_S, NULL, NULL, RELOAD,
	  "How long a client may take to prove control of a name." },
	{ "realm.*.authz-valid", CONF_SECONDS, IN_REALM(authz_valid_s), "30d", 0, 398 * DAY_S, NULL, NULL, RELOAD,
	  "How long a proof may be used again by the same account and key. 0: every order needs a new one." },
	{ "realm.*.names-per-order", CONF_INT, IN_REALM(names_per_order), "100", 1, 100, NULL, NULL, RELOAD,
	  "Names in one certificate." },
	{ "realm.*.lifetime-max", CONF_SECONDS, IN_REALM(lifetime_max_s), "0", 0, 398 * DAY_S, NULL, NULL, RELOAD,
	  "How long any certificate of this realm may live, when that is less than its profile's lifetime. 0: the "
	  "profile's counts." },
	{ "realm.*.orders-per-hour", CONF_INT, IN_REALM(orders_per_hour), "1000", 0, 100000000, NULL, NULL, RELOAD,
	  "New orders an account may make in an hour. 0: no limit." },
	{ "realm.*.accounts-per-hour", CONF_INT, IN_REALM(accounts_per_hour), "100", 0, 100000000, NULL, NULL, RELOAD,
	  "New accounts an address may make in an hour. 0: no limit." },

	{ "zone.*.perspectives", CONF_LIST, IN_ZONE(perspectives), "local", 1, 32, NULL, NULL, RELOAD,
	  "Which perspectives below look at a name." },
	{ "zone.*.quorum", CONF_INT, IN_ZONE(quorum), "1", 1, 32, NULL, NULL, RELOAD, "How many of them must agree." },
	{ "zone.*.resolvers", CONF_LIST, IN_ZONE(resolvers), "", 0, 8, NULL, NULL, RELOAD,
	  "DNS servers that validators ask: \"192.0.2.53\" or \"127.0.0.1:5353\". None: those of /etc/resolv.conf." },
	{ "zone.*.forwards", CONF_FORWARDS, IN_ZONE(forwards), "", 0, 256, NULL, NULL, RELOAD,
	  "Domains whose names are asked for elsewhere: a map of \"corp.example\" to \"192.0.2.53\", "
	  "\"127.0.0.1:5353\" or a list of such servers. Where trust-anchor validates, they are no exception." },
	{ "zone.*.trust-anchor", CONF_STR, IN_ZONE(trust_anchor), "", 0, 0, NULL, NULL, RELOAD,
	  "A file with DNSSEC trust anchors. Empty: answers are not validated." },
	{ "zone.*.names", CONF_NAMES, IN_ZONE(names), "", 0, 4096, NULL, NULL, RELOAD,
	  "Names that validators look up here and not in the DNS: a map of \"host.corp.example\" or \"*.corp.example\" "
	  "to an address or "
	  "a list of them." },
	{ "zone.*.http-port", CONF_INT, IN_ZONE(http_port), "80", 1, 65535, NULL, NULL, RELOAD,
	  "The port of http-01. RFC 8555 says 80; others suit tests and closed networks only." },
	{ "zone.*.alpn-port", CONF_INT, IN_ZONE(alpn_port), "443", 1, 65535, NULL, NULL, RELOAD,
	  "The port of tls-alpn-01. RFC 8737 says 443; others suit tests and closed networks only." },
	{ "zone.*.attempts", CONF_INT, IN_ZONE(attempts), "3", 1, 10, NULL, NULL, RELOAD,
	  "How often a validation is tried within its deadline when it fails for a reason that may pass." },
	{ "zone.*.allow-addresses", CONF_LIST, IN_ZONE(allow_addresses), "", 0, 256, NULL, NULL, RELOAD,
	  "Ranges of special addresses (private, loopback and so on) that validators may connect to, such as "
	  "\"10.0.0.0/8\". Others of "
	  "that kind are refused." },
	{ "zone.*.deadline", CONF_MILLIS, IN_ZONE(deadline_ms), "20s", 1000, 60000, NULL, NULL, RELOAD,
	  "How long one validation may take." },

	{ "perspective.*.key", CONF_STR, IN_PERSPECTIVE(key), "perspectives/*.key", 1, 0, NULL, NULL, RESTART,
	  "The private key with which this validator signs what it saw. A * stands for the perspective's name." },
	{ "perspective.*.public-key", CONF_STR, IN_PERSPECTIVE(public_key), "perspectives/*.jwk", 1, 0, NULL, NULL,
	  RELOAD, "The public key, a JWK, that API and signer check it with." },

	{ "profile.*.description", CONF_STR, IN_PROFILE(description), "", 0, 0, NULL, NULL, RELOAD,
	  "A sentence or a URL about this kind, shown in the directory." },
	{ "profile.*.use", CONF_LIST, IN_PROFILE(use), "server-auth", 1, 4, uses, NULL, RELOAD,
	  "What certificates of this kind are for (extended key usage). The issuer's certificate must allow it too." },
	{ "profile.*.lifetime", CONF_SECONDS, IN_PROFILE(lifetime_s), "90d", 60, 3650 * (int64_t)DAY_S, NULL, NULL,
	  RELOAD, "How long certificates of this kind are valid. More than 398d counts as 398d." },
	{ "profile.*.backdate", CONF_SECONDS, IN_PROFILE(backdate_s), "1h", 0, DAY_S, NULL, NULL, RELOAD,
	  "How far their start lies in the past, for clients whose clock is behind. It is part of the lifetime." },
	{ "profile.*.identifiers", CONF_LIST, IN_PROFILE(identifiers), "dns, wildcard, ip", 1, 3, ident_kinds, NULL,
	  RELOAD, "Kinds of identifiers that may be ordered: names, wildcard names, addresses." },
	{ "profile.*.names-max", CONF_INT, IN_PROFILE(names_max), "100", 1, 100, NULL, NULL, RELOAD,
	  "Names and addresses that one order may have. The realm's names-per-order counts too." },
	{ "profile.*.keys", CONF_LIST, IN_PROFILE(keys), "P-256, P-384, P-521, RSA-2048, RSA-3072, RSA-4096", 1, 6,
	  key_kinds, NULL, RELOAD, "Kinds of keys that a certificate may be asked for." },
	{ "profile.*.key-encipherment", CONF_BOOL, IN_PROFILE(key_encipherment), "true", 0, 0, NULL, NULL, RELOAD,
	  "Whether the key may also be encrypted to: keyEncipherment for RSA keys, which old TLS clients and mail "
	  "want, "
	  "and keyAgreement for elliptic curves in mail." },
	{ "profile.*.policies", CONF_LIST, IN_PROFILE(policies), "2.23.140.1.2.1", 0, 8, NULL, NULL, RELOAD,
	  "Certificate policies, as object identifiers. 2.23.140.1.2.1 says that control of the names was proven." },
	{ "profile.*.common-name", CONF_BOOL, IN_PROFILE(common_name), "false", 0, 0, NULL, NULL, RELOAD,
	  "Whether the first name also stands in the subject, for old software." },
	{ "profile.*.subject", CONF_STR, IN_PROFILE(subject), "off", 0, 0, subject_modes, NULL, RELOAD,
	  "Whether organization, locality, state, country and e-mail addresses that an operator's grant gives to the "
	  "account stand in the certificate (cairn grant add). required: without any, nothing is issued." },
	{ "profile.*.must-staple", CONF_BOOL, IN_PROFILE(must_staple), "false", 0, 0, NULL, NULL, RELOAD,
	  "Whether a CSR may ask for must-staple (RFC 7633). false: one that asks is refused." },
	{ "profile.*.crl", CONF_BOOL, IN_PROFILE(crl), "true", 0, 0, NULL, NULL, RELOAD,
	  "Whether the issuer's crl-url stands in them. Certificates that live for a few days do without." },
	{ "profile.*.authz-valid", CONF_SECONDS, IN_PROFILE(authz_valid_s), "0", 0, 398 * DAY_S, NULL, NULL, RELOAD,
	  "How old a proof may be that an order of this kind reuses, when that is less than the realm's authz-valid. "
	  "0: "
	  "the realm's." },
	{ "profile.*.public", CONF_BOOL, IN_PROFILE(public_rules), "false", 0, 0, NULL, NULL, RELOAD,
	  "Whether nothing is issued that breaks the Baseline Requirements for public TLS certificates: their "
	  "lifetimes, "
	  "extensions and names are checked before each signature." },

	{ "issuer.*.certificate", CONF_STR, IN_ISSUER(certificate), "issuer/issuer.pem", 1, 0, NULL, NULL, RESTART,
	  "The issuing CA's certificate and those above it, leaf first, as PEM; the root may be left out." },
	{ "issuer.*.key", CONF_STR, IN_ISSUER(key), "issuer/issuer.key", 1, 0, NULL, NULL, RESTART,
	  "Its private key: a file, or a key in a token as \"pkcs11:token=NAME;object=NAME?module-path=/PATH.so\" (RFC "
	  "7512). "
	  "Only the signer reads it." },
	{ "issuer.*.passphrase-file", CONF_STR, IN_ISSUER(passphrase_file), "", 0, 0, NULL, NULL, RESTART,
	  "File with the passphrase of a key file that is encrypted. Empty: it is not." },
	{ "issuer.*.pin-file", CONF_STR, IN_ISSUER(pin_file), "", 0, 0, NULL, NULL, RESTART,
	  "File with the PIN of the token, when the key is in one. A PIN that the token refuses is not tried again. "
	  "Empty: the "
	  "URI's pin-source, or no PIN." },
	{ "issuer.*.token-sessions", CONF_INT, IN_ISSUER(token_sessions), "4", 1, 64, NULL, NULL, RESTART,
	  "How many signatures a token is asked for at once." },
	{ "issuer.*.token-timeout", CONF_SECONDS, IN_ISSUER(token_timeout_s), "30s", 1, 600, NULL, NULL, RESTART,
	  "How long one call into the token's module may take. When it takes longer the signer says so, ends and is "
	  "started anew." },
	{ "issuer.*.alternates", CONF_LIST, IN_ISSUER(alternates), "", 0, 8, NULL, NULL, RELOAD,
	  "Files with other chains of the issuer, such as one that an older root signed: the issuing CA's certificate "
	  "and those above it, as PEM. Clients are told of them." },
	{ "issuer.*.aia-url", CONF_STR, IN_ISSUER(aia_url), "", 0, 0, NULL, NULL, RESTART,
	  "http URL in certificates where the issuing certificate can be had. Empty: none." },
	{ "issuer.*.crl-url", CONF_STR, IN_ISSUER(crl_url), "", 0, 0, NULL, NULL, RESTART,
	  "http URL in certificates where the list of revoked certificates can be had. Empty: none." },

	{ "operator.*.public-key", CONF_STR, IN_OPERATOR(public_key), "operators/*.jwk", 1, 0, NULL, NULL, RELOAD,
	  "The public key, a JWK, with which API and signer check the grants of this operator." },
	{ "operator.*.key", CONF_STR, IN_OPERATOR(key), "operators/*.key", 1, 0, NULL, NULL, RELOAD,
	  "The operator's private key. cairn grant alone reads it, so it may be kept on another machine." },
};

/* Their own defaults are in profile.c. */
static const char *const built_in_profiles[] = { "server", "shortlived", "client", "codesigning", "email", NULL };

#define SECTION(word, entry, type, member, counter)                                           \
	{                                                                                     \
#word, #word ".*.", entry, NULL, sizeof(struct type), AT(member), AT(counter) \
	}
static const struct conf_section sections[] = {
	SECTION(realm, "default", conf_realm, realms, realm_count),
	SECTION(zone, "default", conf_zone, zones, zone_count),
	SECTION(perspective, "local", conf_perspective, perspectives, perspective_count),
	{ "profile", "profile.*.", "server", built_in_profiles, sizeof(struct conf_profile), AT(profiles),
	  AT(profile_count) },
	SECTION(issuer, "default", conf_issuer, issuers, issuer_count),
	SECTION(operator, NULL, conf_operator, operators, operator_count),
};

/* The reader writes an entry's name without knowing the struct. */
static_assert(IN_REALM(name) == 0 && IN_ZONE(name) == 0 && IN_PERSPECTIVE(name) == 0 && IN_PROFILE(name) == 0 &&
		      IN_ISSUER(name) == 0 && IN_OPERATOR(name) == 0,
	      "a section's struct starts with its name");

const struct conf_row *conf_schema(size_t *ret_count)
{
	*ret_count = ARRAY_LEN(rows);
	return rows;
}

const struct conf_section *conf_sections(size_t *ret_count)
{
	*ret_count = ARRAY_LEN(sections);
	return sections;
}

const struct conf_section *conf_row_section(const struct conf_row *row)
{
	for (size_t i = 0; i < ARRAY_LEN(sections); i++) {
		if (str_starts(str_z(row->key), str_z(sections[i].prefix)))
			return &sections[i];
	}
	return NULL;
}

struct str conf_row_leaf(const struct conf_row *row)
{
	struct str key = str_z(row->key);
	size_t at = key.n;
	while (at > 0 && key.p[at - 1] != '.')
		at--;
	return str_sub(key, at, key.n);
}

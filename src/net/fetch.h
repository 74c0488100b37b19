/* SPDX-License-Identifier: Apache-2.0
 *
 * fetch.h: one outgoing HTTP exchange over libcurl, blocking, with hard limits. It follows no redirect, uses no proxy,
 * no cookie, no name service when told the address, and keeps at most body_max bytes.
 */
#ifndef CAIRN_NET_FETCH_H
#define CAIRN_NET_FETCH_H

#include "codec/codec.h"

struct fetch_header {
	struct str name, value; /* name lower case */
};
struct fetch_request {
	struct str method; /* "GET", "HEAD", "POST" */
	struct str url;
	struct str body, content_type; /* POST */
	const struct addr *pin; /* dial this address, whatever the URL's host resolves to; NULL: system resolution */
	uint16_t pin_port;      /* 0: the URL's own */
	bool verify_tls;        /* false only for http-01 redirects to https (RFC 8555 8.3) */
	const char *ca_file;    /* trust this file instead of the system's store; NULL: system */
	struct str user_agent;
	size_t body_max;    /* more is dropped and body_cut set */
	size_t headers_max; /* bytes of all header lines, interim answers and trailers too; 0: 16 KiB. More, or more
			     * than 200 lines, fails as ERR_CONNECTION */
	int64_t connect_timeout_ms, timeout_ms;
};
struct fetch_reply { /* in the caller's arena */
	int status;
	struct str body;
	bool body_cut;
	struct fetch_header *headers;
	size_t header_count;
	struct addr peer; /* the address that answered */
	bool connected;   /* on failure: had a connection been made? (decides v6 to v4 fall-back) */
};
struct fetcher; /* reusable handle with kept-alive connections; not thread-safe: one per thread */
fallible fetcher_new(bool keep_alive, struct fetcher **ret, struct err *err);
void fetcher_free(struct fetcher *f);
/* ERR_CONNECTION, ERR_TLS or ERR_TIMEOUT: text says what happened in plain words ("connection refused", "timeout during
 * connect (likely firewall problem)", "timeout after connect ..."). Without a pin also ERR_DNS; a URL that cannot be
 * used is ERR_MALFORMED or ERR_CONNECTION, an unreadable ca_file ERR_CONFIG. ret->connected and ret->peer (what was
 * dialled) are set even then. A cut body is no failure. */
fallible fetch(struct fetcher *f, const struct fetch_request *rq, struct arena *mem, struct fetch_reply *ret,
	       struct err *err);
struct str fetch_reply_header(const struct fetch_reply *r, const char *lower_name); /* p == NULL when absent */

#endif

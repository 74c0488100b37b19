/* SPDX-License-Identifier: Apache-2.0
 *
 * template.c: a profile of the configuration, and a job that held, as what a certificate is written from.
 */
#include "sign/sign.h"

struct cert_template sign_template(const struct conf_profile *p, const struct conf_issuer *i)
{
	struct cert_template t = {
		.public_rules = p->public_rules,
		.key_encipherment = p->key_encipherment,
		.policies = p->policies.v,
		.policy_count = p->policies.n,
		.common_name = p->common_name,
		.aia_url = i->aia_url,
		.crl_url = p->crl ? i->crl_url : STR_NONE,
	};
	for (size_t n = 0; n < p->use.n; n++) {
		unsigned eku = 0;
		if (!FAILED(eku_read(p->use.v[n], &eku, NULL))) /* the configuration has these words only */
			t.ekus |= eku;
	}
	return t;
}

struct cert_request sign_request(const struct rechecked *held, const struct sign_job *job)
{
	return (struct cert_request){ .names = held->csr.names,
				      .name_count = held->csr.name_count,
				      .addrs = held->csr.addrs,
				      .addr_count = held->csr.addr_count,
				      .key = held->csr.key,
				      .must_staple = held->csr.must_staple,
				      .subject = held->has_subject ? &held->subject : NULL,
				      .emails = held->emails,
				      .email_count = held->email_count,
				      .not_before = job->not_before,
				      .not_after = job->not_after };
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * template.c: a profile of the configuration as what certificates are written from.
 */
#include "sign/sign.h"

struct cert_template sign_template(const struct conf_profile *p, const struct conf_issuer *i)
{
	static const struct {
		const char *word;
		unsigned eku;
	} uses[] = {
		{ "server-auth", EKU_SERVER },
		{ "client-auth", EKU_CLIENT },
		{ "code-signing", EKU_CODE },
		{ "email-protection", EKU_EMAIL },
	};
	struct cert_template t = {
		.public_rules = p->public_rules,
		.key_encipherment = p->key_encipherment,
		.policies = p->policies.v,
		.policy_count = p->policies.n,
		.common_name = p->common_name,
		.aia_url = i->aia_url,
		.crl_url = p->crl ? i->crl_url : STR_NONE,
	};
	for (size_t n = 0; n < ARRAY_LEN(uses); n++)
		if (conf_list_has(&p->use, str_z(uses[n].word)))
			t.ekus |= uses[n].eku;
	return t;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * dns01.c: the DNS challenge (RFC 8555 8.4, BR 3.2.2.4.7): one of the TXT records at _acme-challenge below the name must
 * be the digest of the key authorization. For a wildcard or an ancestor the job has the name itself already.
 */
#include "validate/internal.h"

fallible dns01(struct probe *p, struct err *err)
{
	struct str name;
	TRY(txt_name(p, STR("_acme-challenge."), &name, err));
	return txt_prove_digest(p, name, err);
}

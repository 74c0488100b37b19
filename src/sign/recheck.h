/* SPDX-License-Identifier: Apache-2.0
 *
 * recheck.h: what the check and the signer must agree upon. How long an order may still be signed after its life: a job
 * may wait that long for a signer. The journal remembers orders for longer than any of them can be signed.
 */
#ifndef CAIRN_SIGN_RECHECK_H
#define CAIRN_SIGN_RECHECK_H

#include "sign/sign.h"

#define ORDER_GRACE_S ((int64_t)24 * 3600)

#endif

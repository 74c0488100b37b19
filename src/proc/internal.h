/* SPDX-License-Identifier: Apache-2.0
 *
 * internal.h: what proc's files share.
 */
#ifndef CAIRN_PROC_INTERNAL_H
#define CAIRN_PROC_INTERNAL_H

#include "proc/proc.h"

fallible proc_notify_open(int *ret_fd, struct err *err); /* connected; -1: no service manager */
const char *proc_errno_text(int number);                 /* never NULL, no locale, no shared buffer */

#endif

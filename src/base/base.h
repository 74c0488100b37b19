/* SPDX-License-Identifier: Apache-2.0
 *
 * base.h: what every folder stands on: errors, slices, buffers, arenas, time, randomness, ids, files, the log.
 * No sockets, no libraries, no knowledge of ACME. This header is the folder's public face.
 */
#ifndef CAIRN_BASE_BASE_H
#define CAIRN_BASE_BASE_H

#include "base/arena.h"
#include "base/err.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/str.h"
#include "base/sys.h"

#endif

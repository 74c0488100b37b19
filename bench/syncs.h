/* SPDX-License-Identifier: Apache-2.0
 *
 * syncs.h: the file in which syncs.c counts and cairn-bench reads: one row a process, in shared memory.
 */
#ifndef CAIRN_BENCH_SYNCS_H
#define CAIRN_BENCH_SYNCS_H

#include <stdatomic.h>
#include <stdint.h>

#define SYNCS_ROWS 64
struct syncs {
	atomic_uint taken; /* rows; whoever comes after the last one is not counted */
	struct {
		_Atomic uint32_t pid;
		_Atomic uint64_t count;
	} rows[SYNCS_ROWS];
};

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * queue.h: who waits for a worker: in which order they go, and who gives way when there is no more room. Peers take turns
 * within each rank, so that one who brings much waits for himself and not at the cost of others. It has no thread, no
 * lock and no clock of its own; every call takes constant time, and memory is bounded by the number of places.
 */
#ifndef CAIRN_NET_QUEUE_H
#define CAIRN_NET_QUEUE_H

#include "net/workers.h"

struct queue;
struct queue *queue_new(unsigned places);
void queue_free(struct queue *q); /* accepts NULL */

enum queue_answer { QUEUE_TAKEN, QUEUE_FULL, QUEUE_SLOW, QUEUE_ANSWER_COUNT };
/* QUEUE_FULL: nobody has more waiting than this one's peer that may give way to its rank: WORKERS_LATER takes no place of
 * WORKERS_FIRST. *ret_gives_way: who had the newest of the peer with the most of those, which is out of the queue now; NULL: nobody. QUEUE_SLOW: *ret_waited_ms is more than its patience. The job is
 * the queue's until it is taken. */
enum queue_answer queue_offer(struct queue *q, const struct workers_offer *offer, struct workers_job *job,
			      struct workers_job **ret_gives_way, int64_t *ret_waited_ms);
/* What had its turn already and goes on: always taken, and next. */
void queue_resume(struct queue *q, struct workers_job *job);
/* NULL: nobody waits. */
struct workers_job *queue_take(struct queue *q, int64_t now_ms);
unsigned queue_waiting(const struct queue *q); /* without those that go on */
bool queue_is_empty(const struct queue *q);
bool queue_is_full(const struct queue *q);

#endif

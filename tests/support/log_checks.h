// SPDX-License-Identifier: Apache-2.0
// Promises of the log as questions with an answer, so that one test asserts that they are kept and
// another that a planted fault breaks them.
#pragma once

#include <stdbool.h>

#include "log_subject.h"

// A reader that follows the tail meets every committed row exactly once, also when a transaction
// commits late, rolls back, or its connection is cut. `reader` reads, the others are PostgreSQL.
enum slow_end { SLOW_COMMITS, SLOW_ROLLS_BACK, SLOW_IS_CUT };
bool tail_misses_nothing(struct log_subject *reader, struct log_subject *slow,
                         struct log_subject *fast, enum slow_end end);

// The same message twice has one effect.
bool message_counts_once(struct log_subject *subject);

// An item of two streams, one of which is taken, appends nothing at all.
bool item_is_whole(struct log_subject *subject);

// An item that appends nothing leaves its key, or its message, free.
bool failed_item_frees_its_key(struct log_subject *subject);
bool failed_item_frees_its_message(struct log_subject *subject);

// In the tail's order a stream's versions only go up, whatever `worker` does to append the next
// event of the stream while `rival` appends one too.
typedef void log_worker_fn(struct log_subject *worker, struct log_subject *rival,
                           struct uuid stream);
bool tail_is_in_version_order(struct log_subject *worker, struct log_subject *rival,
                              log_worker_fn *work);

// Loads, then appends, and does both again after a conflict.
log_worker_fn load_first_write_last;

// PostgreSQL: runs SQL, fails the test unless it works.
void run_sql(struct log_subject *subject, const char *sql);

// PostgreSQL: the first column of the first row, in the subject's arena.
struct str ask_sql(struct log_subject *subject, const char *sql);

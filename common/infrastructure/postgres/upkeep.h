// SPDX-License-Identifier: Apache-2.0
// What has to be done for the log now and then: partitions made ahead and dropped when they have
// outlived, outlived rows deleted, and what only the tables' owner may. Blocking.
#pragma once

#include <stdbool.h>

#include "base/status.h"
#include "infrastructure/postgres/connection.h"

enum upkeep_did {
    UPKEEP_NOTHING, // there is nothing to do, or another session is at it
    UPKEEP_MADE,
    UPKEEP_DROPPED,
    UPKEEP_TUNED,
};

// One piece of upkeep, in a transaction that commands never wait for longer than a tenth of a
// second. STATUS_REFUSED, and upkeep_met_a_lock: somebody holds what it must lock; try again later.
enum status upkeep_step(struct postgres *postgres, enum upkeep_did *did) MUST_CHECK;

// Did the last call on this connection fail because it gave way to a lock of another session?
bool upkeep_met_a_lock(const struct postgres *postgres, enum status status);

struct upkeep_undone {
    int to_make;
    int to_drop;
    int barred; // cannot be made: rows of their range lie in the DEFAULT partition, or too many
                // rows
};

enum status upkeep_read_undone(struct postgres *postgres, struct upkeep_undone *undone) MUST_CHECK;

// Deletes outlived keys and inbox rows that no dropped partition takes along, at most row_limit of
// each kind. *most: what the kind that gave most gave; row_limit: there may be more.
enum status upkeep_trim(struct postgres *postgres, int row_limit, int *most) MUST_CHECK;

// As the owner, outside a transaction, each piece waiting for as long as it takes and holding up no
// command: the indexes by age, made concurrently, and the statistics of the partitioned tables,
// which autovacuum never makes, when they are older than a day.
enum status upkeep_of_owner(struct postgres *postgres) MUST_CHECK;

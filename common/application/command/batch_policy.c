// SPDX-License-Identifier: Apache-2.0
// When a batch of commands leaves, and what becomes of one that failed as a whole. Pure.
#include "application/command/batch_policy.h"

#include <string.h>

bool batch_may_leave(size_t waiting, size_t batches_in_flight, size_t largest_in_flight)
{
    if (waiting == 0) {
        return false;
    }
    return batches_in_flight == 0 || waiting * 2 >= largest_in_flight;
}

static bool begins_with_any(const char *sqlstate, const char *const *beginnings, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strncmp(sqlstate, beginnings[i], strlen(beginnings[i])) == 0) {
            return true;
        }
    }
    return false;
}

enum batch_remedy batch_remedy(const char *sqlstate, size_t count)
{
    // Feature, transaction state, prepared statement, authorisation, schema, syntax or access,
    // resources, system, internal.
    static const char *const hopeless[] = {"0A", "25", "26", "28", "3F", "42", "53", "58", "XX"};
    // Serialisation and deadlock, a lock that came too late, an item that lost a race.
    static const char *const passing[] = {"40", "55P03", "CM001"};
    if (begins_with_any(sqlstate, hopeless, sizeof(hopeless) / sizeof(hopeless[0]))) {
        return BATCH_GIVE_UP;
    }
    if (count > 1) {
        return BATCH_HALVE;
    }
    return begins_with_any(sqlstate, passing, sizeof(passing) / sizeof(passing[0])) ? BATCH_AGAIN
                                                                                    : BATCH_REFUSE;
}

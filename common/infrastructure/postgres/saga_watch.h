// SPDX-License-Identifier: Apache-2.0
// What operators and metrics ask about sagas: the missing, the parked, the list. Blocking.
#pragma once

#include "application/saga/definition.h"
#include "base/arena.h"
#include "base/instant.h"
#include "base/status.h"
#include "base/uuid.h"
#include "infrastructure/postgres/connection.h"

// How often and how much is looked at.
struct saga_pace {
    int32_t pause_ms; // between two looks, when all has been looked at
    int32_t rows_max; // of the log, of one look
};

// Events that should have started a saga and have not, counted up to about SAGA_MISSING_MAX: past
// it nobody looks further until some have started.
enum { SAGA_MISSING_MAX = 10000 };
struct saga_gap {
    int64_t count;
    instant_us oldest;    // 0: none
    struct uuid example;  // the subject's stream of the oldest
    int32_t behind_s;     // of what should have been looked at; 0: all has been
    instant_us looked_at; // by a daemon; 0: never
    int32_t age_s;        // of the last look; -1: there was none
    int32_t due_ms;       // when to look again
};

// Looks on from where the last look ended, any process's, unless none is due; what all looks have
// found. Bounded by pace->rows_max, whatever is in the log. Writes: see 0021_alarms.sql.
enum status saga_watch_look(struct postgres *postgres, const struct saga_definition *definition,
                            int32_t older_than_s, const struct saga_pace *pace, struct arena *arena,
                            struct saga_gap *gap) MUST_CHECK;

// The same for a person: what is known, and what lies in the next rows_max rows of the log. Writes
// nothing.
enum status saga_watch_peek(struct postgres *postgres, const struct saga_definition *definition,
                            int32_t older_than_s, int32_t rows_max, struct arena *arena,
                            struct saga_gap *gap) MUST_CHECK;

// Those parked, and those that have asked without limit more than `asks` times. A look goes on
// where the last ended, so that one round may take several.
struct saga_parked {
    int64_t count;
    int32_t age_s;  // of the last look; -1: there was none
    int32_t due_ms; // when to look again
};
enum status saga_watch_parked(struct postgres *postgres, int32_t asks, const struct saga_pace *pace,
                              struct arena *arena, struct saga_parked *parked) MUST_CHECK;

// The same for a person. Writes nothing.
enum status saga_watch_peek_parked(struct postgres *postgres, int32_t asks, int32_t rows_max,
                                   struct arena *arena, int64_t *count) MUST_CHECK;

// Sagas that have not ended, of one version of a definition.
struct saga_in_use {
    struct str name;
    int32_t version;
    int64_t count;
    struct uuid example; // the oldest instance's stream
};

// One element a version in use. Reads a row for each saga that runs: not for every second.
enum status saga_watch_in_use(struct postgres *postgres, struct arena *arena,
                              struct saga_in_use **used, size_t *count) MUST_CHECK;

struct saga_listed {
    struct uuid saga; // the instance's stream
    struct str tenant;
    struct str name;
    int32_t definition; // its version
    struct uuid subject;
    instant_us started_at;
    int32_t version; // of the stream
    instant_us changed_at;
    struct str type; // of the last saga event: SagaAdvanced, SagaParked, …
    struct str data;
};

// Instances begun since, the newest first, at most `limit`. before: the last one of the page
// before; NULL: from the newest on. Memory is the arena's.
enum status saga_watch_list(struct postgres *postgres, instant_us since, const struct uuid *before,
                            size_t limit, struct arena *arena, struct saga_listed **listed,
                            size_t *count) MUST_CHECK;

// SPDX-License-Identifier: Apache-2.0
// What operators and metrics ask about sagas: the missing, the parked, the list. Blocking.
#pragma once

#include "application/saga/definition.h"
#include "base/arena.h"
#include "base/instant.h"
#include "base/status.h"
#include "base/uuid.h"
#include "infrastructure/postgres/connection.h"

// Events that should have started a saga and have not.
struct saga_gap {
    int64_t count;
    instant_us oldest;   // 0: none
    struct uuid example; // the subject's stream of the oldest
};

// Looks at subjects born in the `window_s` seconds that ended older_than_s ago; it reads them all,
// so a metric asks for minutes and doctor for days.
enum status saga_watch_missing(struct postgres *postgres, const struct saga_definition *definition,
                               int32_t older_than_s, int32_t window_s, struct arena *arena,
                               struct saga_gap *gap) MUST_CHECK;

// Those parked, and those that have asked without limit more than `asks` times.
enum status saga_watch_parked(struct postgres *postgres, int32_t asks, struct arena *arena,
                              int64_t *count) MUST_CHECK;

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

// SPDX-License-Identifier: Apache-2.0
// Brings a database's schema to this program's version, once and in order, and tells where it
// stands. A migration that was applied with other bytes than ours is refused.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/status.h"
#include "base/str.h"
#include "infrastructure/postgres/connection.h"

enum migration_state {
    MIGRATION_PENDING, // ours, not applied yet
    MIGRATION_APPLIED,
    MIGRATION_CHANGED, // applied with other bytes
    MIGRATION_FOREIGN, // applied by a newer program
};

struct migration_status {
    int version;
    struct str name;
    enum migration_state state;
    struct str applied_at; // RFC 3339, "" while pending
};

// The version this program was built for.
int migrate_version(void);

// All migrations, ours and the database's, by version. An empty database has them all pending.
enum status migrate_read_status(struct postgres *postgres, struct arena *arena,
                                struct migration_status **list, size_t *count) MUST_CHECK;

struct migrate_report {
    int applied;    // by this call
    int version;    // of the schema now
    int partitions; // made by this call
    bool epoch_raised;
    // Rows that were written here before that, and that the relay has overlooked.
    int64_t overlooked;
    int64_t first_position;
    int64_t last_position;
    struct str cause; // of a failure: a sentence that names the migration and what to do
};

// Applies what is pending, each migration in a transaction of its own; makes the partitions ahead;
// raises the log's epoch when the database has moved to another cluster. Two at once are safe: the
// second waits, then finds nothing to do. STATUS_INVALID: a changed or a newer migration, nothing
// was applied. STATUS_REFUSED: the server refused one, those before it stay.
enum status migrate_run(struct postgres *postgres, struct arena *arena,
                        struct migrate_report *report) MUST_CHECK;

// Whether the schema is the version that this program was built for; cheap, for readiness.
// STATUS_OK with *version other than migrate_version(): it is not; 0: there is none.
enum status migrate_read_version(struct postgres *postgres, int *version) MUST_CHECK;

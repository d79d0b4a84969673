// SPDX-License-Identifier: Apache-2.0
// Brings a database's schema to this program's version, once and in order, and tells where it
// stands. A migration that was applied with other bytes than ours is refused.
//
// Each migration names the oldest program that it still serves, so programs of several versions
// work with one schema: a program is ready when the schema has all that it was built for, and every
// migration past that serves it.
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
    int serves; // the oldest program that can work with the schema once this is applied
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
    int undone;     // partitions that are still to be made or dropped: others held their tables
    bool epoch_raised;
    // Rows that were written here before that, and that the relay has overlooked.
    int64_t overlooked;
    int64_t first_position;
    int64_t last_position;
    struct str cause; // of a failure: a sentence that names the migration and what to do
};

// Applies what is pending, each migration in a transaction of its own that waits for no lock longer
// than commands may wait, and is tried again; makes the partitions ahead and the indexes that would
// stop writers within a transaction; raises the log's epoch when the database has moved to another
// cluster. Two at once are safe: the second waits, then finds nothing to do. A newer database that
// serves this program is left as it is. STATUS_INVALID: a changed migration, or a newer database
// that does not serve us; nothing was applied. STATUS_REFUSED: the server refused one, those before
// it stay.
enum status migrate_run(struct postgres *postgres, struct arena *arena,
                        struct migrate_report *report) MUST_CHECK;

// The programs that a database serves: those from `serves` to `version`. 0, 0: it has no schema.
struct schema_range {
    int version;
    int serves;
};

// Cheap, for readiness.
enum status migrate_read_range(struct postgres *postgres, struct schema_range *range) MUST_CHECK;

enum schema_fit {
    SCHEMA_FITS,
    SCHEMA_OLDER, // than this program: migrate
    SCHEMA_NEWER, // and serves this program no more: start a newer one
};

enum schema_fit migrate_fit(struct schema_range range);

enum { SCHEMA_WORDS_MAX = 192 };

// The same as a sentence for people, and which side to bring up to date; cut at size.
void migrate_describe(struct schema_range range, char *words, size_t size);

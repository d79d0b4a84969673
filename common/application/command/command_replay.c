// SPDX-License-Identifier: Apache-2.0
// The document of a first answer, as of its version, for whoever sends a command again. Pure; part
// of command_flow.
#include "application/command/command_replay.h"

#include "application/query/stream_snapshots.h"

bool command_replay_is_of_another(const struct append_key *key, const struct command_type *type,
                                  struct uuid target)
{
    return !type->creates && !uuid_eq(key->stream, target);
}

void command_replay_begin(struct command_replay *replay, const struct append_key *key,
                          const struct projection *projection, struct str tenant,
                          struct arena *arena)
{
    *replay = (struct command_replay){.key = *key, .more = projection != NULL};
    fold_memory_open(&replay->memory, arena);
    document_fold_init(&replay->fold, projection, tenant, key->stream, &replay->memory);
    if (projection == NULL) {
        replay->fold.version = key->version;
    } else {
        replay->query = document_fold_query(&replay->fold, key->version);
    }
}

enum status command_replay_take(struct command_replay *replay, const struct stream_rows *rows)
{
    enum status status = document_fold_page(&replay->fold, &replay->query, rows, &replay->more);
    replay->more = replay->more && replay->fold.version < replay->key.version;
    replay->snapshot_count =
        status == STATUS_OK &&
        document_fold_snapshot(&replay->fold, snapshot_least(!replay->more), &replay->snapshot);
    return status;
}

void command_replay_give_up(struct command_replay *replay)
{
    replay->snapshot_count =
        document_fold_snapshot(&replay->fold, SNAPSHOT_ENDING, &replay->snapshot);
}

// SPDX-License-Identifier: Apache-2.0
// The document of a first answer, as of its version, for whoever sends a command again. Pure; part
// of command_flow.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "application/ports/event_store.h"
#include "application/query/document_fold.h"
#include "base/arena.h"
#include "domain/bounded_context.h"

struct command_replay {
    struct append_key key; // as it was found
    struct document_fold fold;
    struct fold_memory memory;
    struct stream_query query; // what is to be read next
    bool more;                 // between two pages
    struct snapshot snapshot;  // of the last page; its bytes last until the next
    size_t snapshot_count;
};

// Was this key stored for another target? The fingerprint is of method, path and body, and a target
// may stand elsewhere, in the query or in a header: the key's stream and the target are compared.
bool command_replay_is_of_another(const struct append_key *key, const struct command_type *type,
                                  struct uuid target);

// projection NULL: there is nothing to read, id and version say all.
void command_replay_begin(struct command_replay *replay, const struct append_key *key,
                          const struct projection *projection, struct str tenant,
                          struct arena *arena);

// The next page. With `more` false after it, all is folded.
enum status command_replay_take(struct command_replay *replay,
                                const struct stream_rows *rows) MUST_CHECK;

// Its time has ended between two pages: what was read becomes a snapshot.
void command_replay_give_up(struct command_replay *replay);

// SPDX-License-Identifier: Apache-2.0
// When a stream that was read is worth a snapshot, and what is in it. Pure.
#include "application/query/stream_snapshots.h"

bool snapshot_write(const struct fold *fold, const void *state, struct arena *arena,
                    struct snapshot *snapshot)
{
    struct buffer out;
    buffer_init(&out, arena, SNAPSHOT_BYTES_MAX);
    if (state == NULL || fold->encode == NULL || fold->decode == NULL ||
        fold->encode(state, &out) != STATUS_OK || out.status != STATUS_OK) {
        return false;
    }
    snapshot->codec = fold->version;
    snapshot->bytes = buffer_view(&out);
    return true;
}

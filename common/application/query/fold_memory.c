// SPDX-License-Identifier: Apache-2.0
// The memory of folds that read long streams: bounded by the states, not by how many rows were
// applied.
#include "application/query/fold_memory.h"

#include <stdint.h>

#include "application/ports/event_store.h"

enum { LEFT_BEHIND_MAX = 256 * 1024, SCRATCH_BLOCK = 16 * 1024, SCRATCH_MAX = 8 * 1024 * 1024 };

// As much again as the states take, so that moving them costs no more than applying rows does.
static void set_due(struct fold_memory *memory)
{
    size_t kept = memory->arena->used - memory->mark.used;
    memory->due = memory->arena->used + (kept > LEFT_BEHIND_MAX ? kept : LEFT_BEHIND_MAX);
}

void fold_memory_open(struct fold_memory *memory, struct arena *arena)
{
    *memory = (struct fold_memory){.arena = arena, .mark = arena_mark(arena)};
    set_due(memory);
}

void fold_memory_add(struct fold_memory *memory, struct fold_slot *slot, const struct fold *fold)
{
    *slot = (struct fold_slot){.fold = fold, .next = memory->slots};
    memory->slots = slot;
}

void fold_memory_close(struct fold_memory *memory)
{
    memory->due = SIZE_MAX;
}

static size_t count_slots(const struct fold_memory *memory)
{
    size_t count = 0;
    for (const struct fold_slot *slot = memory->slots; slot != NULL; slot = slot->next) {
        count++;
    }
    return count;
}

static bool encode_slot(const struct fold_slot *slot, struct arena *scratch, struct str *bytes)
{
    struct buffer out;
    buffer_init(&out, scratch, SNAPSHOT_BYTES_MAX);
    if (slot->state == NULL) {
        return true;
    }
    if (slot->fold->encode == NULL || slot->fold->decode == NULL ||
        slot->fold->encode(slot->state, &out) != STATUS_OK || out.status != STATUS_OK) {
        return false;
    }
    *bytes = buffer_view(&out);
    return true;
}

// The states' bytes in slot order; NULL: they cannot all be written down.
static const struct str *encode_all(const struct fold_memory *memory, struct arena *scratch)
{
    struct str *bytes = arena_array(scratch, count_slots(memory) + 1, sizeof(*bytes));
    size_t i = 0;
    bool whole = bytes != NULL;
    for (const struct fold_slot *slot = memory->slots; slot != NULL && whole; slot = slot->next) {
        whole = encode_slot(slot, scratch, &bytes[i++]);
    }
    return whole ? bytes : NULL;
}

static enum status decode_all(struct fold_memory *memory, const struct str *bytes)
{
    enum status status = STATUS_OK;
    size_t i = 0;
    for (struct fold_slot *slot = memory->slots; slot != NULL && status == STATUS_OK;
         slot = slot->next, i++) {
        if (slot->state == NULL) {
            continue;
        }
        struct str kept = arena_str(memory->arena, bytes[i]);
        status = kept.data == NULL ? STATUS_NO_MEMORY
                                   : slot->fold->decode(kept, memory->arena, &slot->state);
    }
    return status;
}

enum status fold_memory_settle(struct fold_memory *memory)
{
    if (memory->arena->used < memory->due) {
        return STATUS_OK;
    }
    struct arena scratch;
    arena_init(&scratch, SCRATCH_BLOCK, SCRATCH_MAX);
    const struct str *bytes = encode_all(memory, &scratch);
    enum status status = STATUS_OK;
    if (bytes != NULL) {
        arena_rewind(memory->arena, memory->mark);
        status = decode_all(memory, bytes);
    }
    arena_free(&scratch);
    set_due(memory);
    return status;
}

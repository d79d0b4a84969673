// SPDX-License-Identifier: Apache-2.0
// All that is wrong with a command's body, each fault with a JSON pointer to its place.
#include "domain/fault_list.h"

#include "base/arena.h"

void fault_list_add(struct fault_list *faults, struct arena *arena, struct str pointer,
                    struct str detail)
{
    faults->total++;
    if (faults->count == FAULTS_MAX) {
        return;
    }
    struct fault fault = {arena_str(arena, pointer), arena_str(arena, detail)};
    if (fault.pointer.data != NULL && fault.detail.data != NULL) {
        faults->items[faults->count++] = fault;
    }
}

void fault_list_add_all(struct fault_list *faults, struct arena *arena,
                        const struct fault_list *more)
{
    for (size_t i = 0; i < more->count; i++) {
        fault_list_add(faults, arena, more->items[i].pointer, more->items[i].detail);
    }
}

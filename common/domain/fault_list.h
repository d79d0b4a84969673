// SPDX-License-Identifier: Apache-2.0
// All that is wrong with a command's body, each fault with a JSON pointer to its place.
#pragma once

#include <stddef.h>

#include "base/str.h"

struct arena;

enum { FAULTS_MAX = 64 }; // further ones are counted, not kept

struct fault {
    struct str pointer; // RFC 6901, such as "/lines/0/quantity"; "" is the whole
    struct str detail;  // a sentence that says what to do
};

struct fault_list {
    struct fault items[FAULTS_MAX];
    size_t count; // kept
    size_t total; // seen
};

// Copies both into the arena. Past FAULTS_MAX, or out of memory, it only counts.
void fault_list_add(struct fault_list *faults, struct arena *arena, struct str pointer,
                    struct str detail);

// Adds each of another list.
void fault_list_add_all(struct fault_list *faults, struct arena *arena,
                        const struct fault_list *more);

// SPDX-License-Identifier: Apache-2.0
// Messages that overtake each other: commands in any order, any of them again, one in the middle of
// another's call outside, workers that die between that call and the append.
#pragma once

#include <stddef.h>

#include "support/chance.h"
#include "support/world.h"

enum { DELIVERY_MESSAGES_MAX = 32 };

struct delivery_message {
    const char *command; // full name
    struct uuid target;
    const char *actor;
    const char *body;
    bool answered;
};

struct delivery {
    struct world *world;
    struct chance *chance;
    struct delivery_message messages[DELIVERY_MESSAGES_MAX];
    size_t count;
    bool inside;                // a message is being delivered in the middle of another
    void (*check)(void *state); // after each; may be NULL
    void *state;
};

void delivery_add(struct delivery *delivery, const char *command, struct uuid target,
                  const char *actor, const char *body);

// Delivers until each has been answered, with duplicates in between.
void delivery_run(struct delivery *delivery);

// For a world_effect_fn: sometimes delivers another message right now, as if that worker were
// faster; sometimes true: this worker dies, its answer is lost.
bool delivery_disturb(struct delivery *delivery);

// Delivers each once more; the number of events that this adds.
int delivery_repeat(struct delivery *delivery);

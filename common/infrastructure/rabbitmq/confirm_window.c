// SPDX-License-Identifier: Apache-2.0
// What was published on one channel and not confirmed yet, by delivery tag; without I/O.
#include "infrastructure/rabbitmq/confirm_window.h"

#include <stdlib.h>

enum status confirm_window_init(struct confirm_window *window, size_t size)
{
    *window = (struct confirm_window){.size = size, .first_tag = 1, .next_tag = 1};
    window->slots = calloc(size, sizeof(*window->slots));
    return window->slots == NULL ? STATUS_NO_MEMORY : STATUS_OK;
}

void confirm_window_free(struct confirm_window *window)
{
    free(window->slots);
    window->slots = NULL;
}

void confirm_window_reset(struct confirm_window *window)
{
    window->first_tag = 1;
    window->next_tag = 1;
}

size_t confirm_window_used(const struct confirm_window *window)
{
    return (size_t)(window->next_tag - window->first_tag);
}

size_t confirm_window_room(const struct confirm_window *window)
{
    return window->size - confirm_window_used(window);
}

static struct confirm_slot *slot_of(const struct confirm_window *window, uint64_t tag)
{
    return &window->slots[tag % window->size];
}

void confirm_window_add(struct confirm_window *window, struct uuid id)
{
    *slot_of(window, window->next_tag++) = (struct confirm_slot){.id = id};
}

static void confirm_one(struct confirm_slot *slot, enum publish_outcome outcome)
{
    if (!slot->confirmed) {
        slot->confirmed = true;
        slot->outcome = slot->returned && outcome == PUBLISHED ? RETURNED : outcome;
    }
}

void confirm_window_confirm(struct confirm_window *window, uint64_t tag, bool multiple,
                            enum publish_outcome outcome)
{
    // Tag 0 with multiple: all so far.
    uint64_t last = multiple && tag == 0 ? window->next_tag - 1 : tag;
    if (last < window->first_tag || last >= window->next_tag) {
        return;
    }
    for (uint64_t each = multiple ? window->first_tag : last; each <= last; each++) {
        confirm_one(slot_of(window, each), outcome);
    }
}

void confirm_window_return(struct confirm_window *window, struct uuid id)
{
    for (uint64_t tag = window->first_tag; tag < window->next_tag; tag++) {
        struct confirm_slot *slot = slot_of(window, tag);
        if (!slot->confirmed && !slot->returned && uuid_eq(slot->id, id)) {
            slot->returned = true;
            return;
        }
    }
}

size_t confirm_window_take(struct confirm_window *window, size_t max,
                           enum publish_outcome *outcomes)
{
    size_t count = 0;
    while (window->first_tag < window->next_tag) {
        const struct confirm_slot *slot = slot_of(window, window->first_tag);
        if (!slot->confirmed || (!slot->abandoned && count == max)) {
            break;
        }
        if (!slot->abandoned) {
            outcomes[count++] = slot->outcome;
        }
        window->first_tag++;
    }
    return count;
}

void confirm_window_known(const struct confirm_window *window, size_t max,
                          enum publish_outcome *outcomes)
{
    size_t count = 0;
    for (uint64_t tag = window->first_tag; tag < window->next_tag && count < max; tag++) {
        const struct confirm_slot *slot = slot_of(window, tag);
        if (!slot->abandoned) {
            outcomes[count++] = slot->confirmed ? slot->outcome : UNSETTLED;
        }
    }
}

void confirm_window_abandon(struct confirm_window *window)
{
    for (uint64_t tag = window->first_tag; tag < window->next_tag; tag++) {
        slot_of(window, tag)->abandoned = true;
    }
}

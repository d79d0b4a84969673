// SPDX-License-Identifier: Apache-2.0
// What was published on one channel and not confirmed yet, by delivery tag; without I/O.
//
// Tags count from 1 on a fresh channel. Confirms come in any order and may mean several; outcomes
// are handed out in the order of publishing. A returned message is acknowledged too, after it.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "application/ports/message_bus.h"
#include "base/status.h"
#include "base/uuid.h"

struct confirm_slot {
    struct uuid id;
    bool confirmed;
    bool returned;
    bool abandoned; // nobody waits for its outcome any more
    enum publish_outcome outcome;
};

struct confirm_window {
    struct confirm_slot *slots;
    size_t size;
    uint64_t first_tag; // of the oldest one still in here
    uint64_t next_tag;
};

// STATUS_NO_MEMORY.
enum status confirm_window_init(struct confirm_window *window, size_t size) MUST_CHECK;
void confirm_window_free(struct confirm_window *window);

// A fresh channel: everything is void.
void confirm_window_reset(struct confirm_window *window);

size_t confirm_window_room(const struct confirm_window *window);
size_t confirm_window_used(const struct confirm_window *window);

// One more was published; there must be room.
void confirm_window_add(struct confirm_window *window, struct uuid id);

// The broker's words. A tag or an id that is not in here is ignored.
void confirm_window_confirm(struct confirm_window *window, uint64_t tag, bool multiple,
                            enum publish_outcome outcome);
void confirm_window_return(struct confirm_window *window, struct uuid id);

// Hands out what is confirmed without a gap, at most `max`; abandoned ones go silently.
size_t confirm_window_take(struct confirm_window *window, size_t max,
                           enum publish_outcome *outcomes);

// What is known of those that are waited for, without handing them out: one outcome each, in order,
// at most `max`; UNSETTLED where nothing is.
void confirm_window_known(const struct confirm_window *window, size_t max,
                          enum publish_outcome *outcomes);

// Nobody waits any more for those that are in here now.
void confirm_window_abandon(struct confirm_window *window);

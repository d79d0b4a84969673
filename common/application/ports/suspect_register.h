// SPDX-License-Identifier: Apache-2.0
// Port: how often a message was in hand when its process died. Blocking.
//
// Delivery counts of the broker blame every message that was in the hands of a process that died.
// Here messages that come again are marked while they are handled: as a group first, and one that
// was in a group when its process died, alone. Attempts are counted alone only, so neighbours stay
// clean.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"
#include "base/str.h"
#include "base/uuid.h"

struct suspect_register;

// Marks messages that are handled together, 0 attempts each, and commits it. known: one each; true:
// it had a mark already, which stays as it was.
typedef enum status suspect_register_mark_group_fn(struct suspect_register *suspects,
                                                   struct str consumer, const struct uuid *messages,
                                                   size_t count, bool *known) MUST_CHECK;

// Counts one more attempt alone and commits it. *attempts: with this one.
typedef enum status suspect_register_mark_fn(struct suspect_register *suspects, struct str consumer,
                                             struct uuid message, int *attempts) MUST_CHECK;

// The process has survived the messages: forgets them.
typedef enum status suspect_register_clear_fn(struct suspect_register *suspects,
                                              struct str consumer, const struct uuid *messages,
                                              size_t count) MUST_CHECK;

struct suspect_register_ops {
    suspect_register_mark_group_fn *mark_group;
    suspect_register_mark_fn *mark;
    suspect_register_clear_fn *clear;
};

struct suspect_register {
    const struct suspect_register_ops *ops;
};

static inline enum status suspect_register_mark_group(struct suspect_register *suspects,
                                                      struct str consumer,
                                                      const struct uuid *messages, size_t count,
                                                      bool *known)
{
    return suspects->ops->mark_group(suspects, consumer, messages, count, known);
}

static inline enum status suspect_register_mark(struct suspect_register *suspects,
                                                struct str consumer, struct uuid message,
                                                int *attempts)
{
    return suspects->ops->mark(suspects, consumer, message, attempts);
}

static inline enum status suspect_register_clear(struct suspect_register *suspects,
                                                 struct str consumer, const struct uuid *messages,
                                                 size_t count)
{
    return suspects->ops->clear(suspects, consumer, messages, count);
}

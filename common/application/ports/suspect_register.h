// SPDX-License-Identifier: Apache-2.0
// Port: how often a message was being handled alone when its process died. Blocking.
//
// Delivery counts of the broker blame every message that was in the hands of a process that died; a
// mark is set only on the one that is handled alone right now, so its neighbours stay clean.
#pragma once

#include <stddef.h>

#include "base/status.h"
#include "base/str.h"
#include "base/uuid.h"

struct suspect_register;

// Counts one more attempt and commits it. *attempts: with this one.
typedef enum status suspect_register_mark_fn(struct suspect_register *suspects, struct str consumer,
                                             struct uuid message, int *attempts) MUST_CHECK;

// The process has survived the message: forgets it.
typedef enum status suspect_register_clear_fn(struct suspect_register *suspects,
                                              struct str consumer, struct uuid message) MUST_CHECK;

struct suspect_register_ops {
    suspect_register_mark_fn *mark;
    suspect_register_clear_fn *clear;
};

struct suspect_register {
    const struct suspect_register_ops *ops;
};

static inline enum status suspect_register_mark(struct suspect_register *suspects,
                                                struct str consumer, struct uuid message,
                                                int *attempts)
{
    return suspects->ops->mark(suspects, consumer, message, attempts);
}

static inline enum status suspect_register_clear(struct suspect_register *suspects,
                                                 struct str consumer, struct uuid message)
{
    return suspects->ops->clear(suspects, consumer, message);
}

// SPDX-License-Identifier: Apache-2.0
// Port: who serves a queue and how far, told by those who serve it. Blocking; for daemons.
//
// A step's timer asks it whether the step's command still waits, the edge whether to take more on.
#pragma once

#include "application/ports/event_store.h"
#include "base/instant.h"
#include "base/status.h"
#include "base/str.h"

struct backlog_register;

// Says that this process is there for the queue, for as long as its session lives; again after each
// new one. What costs nothing when it is known already.
typedef enum status backlog_attend_fn(struct backlog_register *backlog,
                                      struct str queue) MUST_CHECK;

// How far the log's rows for the queue have been taken up. What is told holds for half a minute.
struct backlog_mark {
    instant_us recorded_at; // 0: the queue is no longer behind
    struct log_cursor at;
};
typedef enum status backlog_tell_fn(struct backlog_register *backlog, struct str queue,
                                    struct backlog_mark taken_up_to) MUST_CHECK;

struct backlog_register_ops {
    backlog_attend_fn *attend;
    backlog_tell_fn *tell;
};

struct backlog_register {
    const struct backlog_register_ops *ops;
};

static inline enum status backlog_attend(struct backlog_register *backlog, struct str queue)
{
    return backlog->ops->attend(backlog, queue);
}

static inline enum status backlog_tell(struct backlog_register *backlog, struct str queue,
                                       struct backlog_mark taken_up_to)
{
    return backlog->ops->tell(backlog, queue, taken_up_to);
}

// SPDX-License-Identifier: Apache-2.0
// Port: which processes serve a role's lanes now. Blocking.
//
// What it says is a hint: two that each believe a lane to be theirs do no harm, and what one is
// told may be as old as `stale_ms`.
#pragma once

#include <stddef.h>

#include "base/status.h"
#include "base/str.h"
#include "base/uuid.h"

enum { LANE_MEMBERS_MAX = 64 };

struct lane_members;

// Says that `own` is there, and who has said so within stale_ms: `own` among them, in the order of
// their ids, the first LANE_MEMBERS_MAX. all: room for as many.
typedef enum status lane_members_look_fn(struct lane_members *members, struct str role,
                                         struct uuid own, int stale_ms, struct uuid *all,
                                         size_t *count) MUST_CHECK;

// `own` goes; not to say so only lets the others wait.
typedef enum status lane_members_leave_fn(struct lane_members *members, struct str role,
                                          struct uuid own) MUST_CHECK;

struct lane_members_ops {
    lane_members_look_fn *look;
    lane_members_leave_fn *leave;
};

struct lane_members {
    const struct lane_members_ops *ops;
};

static inline enum status lane_members_look(struct lane_members *members, struct str role,
                                            struct uuid own, int stale_ms, struct uuid *all,
                                            size_t *count)
{
    return members->ops->look(members, role, own, stale_ms, all, count);
}

static inline enum status lane_members_leave(struct lane_members *members, struct str role,
                                             struct uuid own)
{
    return members->ops->leave(members, role, own);
}

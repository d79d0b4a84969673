// SPDX-License-Identifier: Apache-2.0
// Port: who leads the relay, and how far the log is confirmed. Blocking.
//
// A session lock plus a lease row with a fence number that only grows. A standby that sees the
// lease stale ends the leader's session, takes the lock and raises the fence; a checkpoint that
// carries an old fence is refused, so a leader that was stopped and wakes up does no harm.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "application/ports/event_store.h"
#include "base/status.h"
#include "base/str.h"

struct lease {
    bool held;
    int64_t fence;
    struct log_cursor checkpoint; // as of taking the lease
};

struct relay_lease;

// Tries to lead. lease->held false: another one leads and its lease is fresh. A lease not renewed
// for stale_s seconds is taken over.
typedef enum status relay_lease_acquire_fn(struct relay_lease *relay, struct str name,
                                           struct str holder, int stale_s,
                                           struct lease *lease) MUST_CHECK;

// STATUS_FENCED: lost; stop publishing. Only the session that took it renews it: after a lost
// connection it is taken anew, since the server may be another one with a shorter log.
typedef enum status relay_lease_renew_fn(struct relay_lease *relay, struct str name,
                                         int64_t fence) MUST_CHECK;

// Moves the checkpoint, never back. STATUS_FENCED: lost, nothing was moved.
typedef enum status relay_lease_checkpoint_fn(struct relay_lease *relay, struct str name,
                                              int64_t fence, struct log_cursor at) MUST_CHECK;

// Gives the lease up at once, so that the standby need not wait.
typedef enum status relay_lease_release_fn(struct relay_lease *relay, struct str name,
                                           int64_t fence) MUST_CHECK;

// How far the relay is behind the log. `events`: rows past the checkpoint, settled or not, counted
// up to count_max. horizon_age_s: age of the transaction that holds readers back; 0: none; below 0:
// the server does not let us know.
struct relay_backlog {
    int64_t events;
    double horizon_age_s;
};

typedef enum status relay_lease_backlog_fn(struct relay_lease *relay, struct str name,
                                           int64_t count_max,
                                           struct relay_backlog *backlog) MUST_CHECK;

// What the leader does for the log now and then: makes event partitions 24 months ahead.
typedef enum status relay_lease_upkeep_fn(struct relay_lease *relay) MUST_CHECK;

// Deletes outlived keys and inbox rows that no dropped partition takes along, at most row_limit of
// each kind. *most: what the kind that gave most gave; row_limit: there may be more.
typedef enum status relay_lease_trim_fn(struct relay_lease *relay, int row_limit,
                                        int *most) MUST_CHECK;

struct relay_lease_ops {
    relay_lease_acquire_fn *acquire;
    relay_lease_renew_fn *renew;
    relay_lease_checkpoint_fn *checkpoint;
    relay_lease_release_fn *release;
    relay_lease_backlog_fn *backlog;
    relay_lease_upkeep_fn *upkeep;
    relay_lease_trim_fn *trim;
};

struct relay_lease {
    const struct relay_lease_ops *ops;
};

static inline enum status relay_lease_acquire(struct relay_lease *relay, struct str name,
                                              struct str holder, int stale_s, struct lease *lease)
{
    return relay->ops->acquire(relay, name, holder, stale_s, lease);
}

static inline enum status relay_lease_renew(struct relay_lease *relay, struct str name,
                                            int64_t fence)
{
    return relay->ops->renew(relay, name, fence);
}

static inline enum status relay_lease_checkpoint(struct relay_lease *relay, struct str name,
                                                 int64_t fence, struct log_cursor at)
{
    return relay->ops->checkpoint(relay, name, fence, at);
}

static inline enum status relay_lease_release(struct relay_lease *relay, struct str name,
                                              int64_t fence)
{
    return relay->ops->release(relay, name, fence);
}

static inline enum status relay_lease_backlog(struct relay_lease *relay, struct str name,
                                              int64_t count_max, struct relay_backlog *backlog)
{
    return relay->ops->backlog(relay, name, count_max, backlog);
}

static inline enum status relay_lease_upkeep(struct relay_lease *relay)
{
    return relay->ops->upkeep(relay);
}

static inline enum status relay_lease_trim(struct relay_lease *relay, int row_limit, int *most)
{
    return relay->ops->trim(relay, row_limit, most);
}

// SPDX-License-Identifier: Apache-2.0
// The relay's lease in this process's memory: several holders share one store of leases.
#include "infrastructure/memory/relay_lease_memory.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/monotonic.h"

enum { LEASES_MAX = 8, NAME_MAX_LEN = 64, COUNT_BYTES_MAX = 64 * 1024 * 1024 };

struct kept_lease {
    char name[NAME_MAX_LEN];
    size_t name_len;
    int64_t fence;
    int64_t renewed_ms; // of the monotonic clock
    const struct relay_lease_memory *session;
    struct log_cursor checkpoint;
};

struct lease_memory {
    struct event_store *log;
    struct kept_lease leases[LEASES_MAX];
    size_t count;
};

struct relay_lease_memory {
    struct relay_lease base;
    struct lease_memory *shared;
};

static struct relay_lease_memory *self(struct relay_lease *relay)
{
    return (struct relay_lease_memory *)relay;
}

static struct kept_lease *find(struct lease_memory *shared, struct str name)
{
    for (size_t i = 0; i < shared->count; i++) {
        if (str_eq(name, (struct str){shared->leases[i].name, shared->leases[i].name_len})) {
            return &shared->leases[i];
        }
    }
    return NULL;
}

static struct kept_lease *find_or_add(struct lease_memory *shared, struct str name)
{
    struct kept_lease *lease = find(shared, name);
    if (lease == NULL && shared->count < LEASES_MAX && name.len <= NAME_MAX_LEN) {
        lease = &shared->leases[shared->count++];
        memcpy(lease->name, name.data, name.len);
        lease->name_len = name.len;
    }
    return lease;
}

static enum status memory_acquire(struct relay_lease *base, struct str name, struct str holder,
                                  int stale_s, struct lease *lease)
{
    (void)holder;
    struct kept_lease *kept = find_or_add(self(base)->shared, name);
    if (kept == NULL) {
        return STATUS_FULL;
    }
    bool stale = kept->renewed_ms < monotonic_ms() - (int64_t)stale_s * 1000;
    if (kept->session != NULL && kept->session != self(base) && !stale) {
        *lease = (struct lease){.held = false};
        return STATUS_OK;
    }
    kept->session = self(base);
    kept->renewed_ms = monotonic_ms();
    kept->fence++;
    *lease = (struct lease){.held = true, .fence = kept->fence, .checkpoint = kept->checkpoint};
    return STATUS_OK;
}

// A fence is worth nothing to another session than the one that took it.
static struct kept_lease *find_own(struct relay_lease *base, struct str name, int64_t fence)
{
    struct kept_lease *kept = find(self(base)->shared, name);
    bool own = kept != NULL && kept->fence == fence && kept->session == self(base);
    return own ? kept : NULL;
}

static enum status memory_renew(struct relay_lease *base, struct str name, int64_t fence)
{
    struct kept_lease *kept = find_own(base, name, fence);
    if (kept == NULL) {
        return STATUS_FENCED;
    }
    kept->renewed_ms = monotonic_ms();
    return STATUS_OK;
}

static bool is_forward(struct log_cursor to, struct log_cursor from)
{
    if (to.epoch != from.epoch) {
        return to.epoch > from.epoch;
    }
    return to.tx != from.tx ? to.tx > from.tx : to.position > from.position;
}

static enum status memory_checkpoint(struct relay_lease *base, struct str name, int64_t fence,
                                     struct log_cursor at)
{
    struct kept_lease *kept = find_own(base, name, fence);
    if (kept == NULL) {
        return STATUS_FENCED;
    }
    if (is_forward(at, kept->checkpoint)) {
        kept->checkpoint = at;
    }
    return STATUS_OK;
}

static enum status memory_release(struct relay_lease *base, struct str name, int64_t fence)
{
    struct kept_lease *kept = find_own(base, name, fence);
    if (kept == NULL) {
        return STATUS_FENCED;
    }
    kept->session = NULL;
    return STATUS_OK;
}

static enum status memory_backlog(struct relay_lease *base, struct str name, int64_t count_max,
                                  struct relay_backlog *backlog)
{
    struct kept_lease *kept = find(self(base)->shared, name);
    struct log_cursor after = kept == NULL ? (struct log_cursor){0} : kept->checkpoint;
    struct arena arena;
    arena_init(&arena, NAME_MAX_LEN * 1024, COUNT_BYTES_MAX);
    struct recorded_event *rows = NULL;
    size_t count = 0;
    enum status status = event_store_read_tail(self(base)->shared->log, after, (size_t)count_max,
                                               &arena, &rows, &count, &after);
    arena_free(&arena);
    if (status == STATUS_OK) {
        *backlog = (struct relay_backlog){.events = (int64_t)count};
    }
    return status;
}

static const struct relay_lease_ops memory_ops = {
    .acquire = memory_acquire,
    .renew = memory_renew,
    .checkpoint = memory_checkpoint,
    .release = memory_release,
    .backlog = memory_backlog,
};

struct lease_memory *lease_memory_new(struct event_store *log)
{
    struct lease_memory *shared = calloc(1, sizeof(*shared));
    if (shared != NULL) {
        shared->log = log;
    }
    return shared;
}

void lease_memory_free(struct lease_memory *leases)
{
    free(leases);
}

struct relay_lease *relay_lease_memory_new(struct lease_memory *leases)
{
    struct relay_lease_memory *relay = calloc(1, sizeof(*relay));
    if (relay == NULL) {
        return NULL;
    }
    relay->base.ops = &memory_ops;
    relay->shared = leases;
    return &relay->base;
}

void relay_lease_memory_free(struct relay_lease *relay)
{
    if (relay == NULL) {
        return;
    }
    struct lease_memory *shared = self(relay)->shared;
    for (size_t i = 0; i < shared->count; i++) {
        if (shared->leases[i].session == self(relay)) {
            shared->leases[i].session = NULL;
        }
    }
    free(self(relay));
}

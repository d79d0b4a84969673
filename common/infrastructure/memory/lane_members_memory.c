// SPDX-License-Identifier: Apache-2.0
// Who serves a role's lanes, in this process alone: for tests and for running all in one process.
#include "infrastructure/memory/lane_members_memory.h"

#include <stdlib.h>
#include <string.h>

#include "base/monotonic.h"

enum { ROLE_BYTES_MAX = 64 };

struct member {
    char role[ROLE_BYTES_MAX];
    size_t role_len;
    struct uuid id;
    int64_t seen_at_ms;
};

// Sorted by id.
struct lane_members_memory {
    struct lane_members port;
    struct member members[LANE_MEMBERS_MAX];
    size_t count;
};

static struct lane_members_memory *self(struct lane_members *members)
{
    return (struct lane_members_memory *)members;
}

static bool serves(const struct member *member, struct str role)
{
    return str_eq((struct str){member->role, member->role_len}, role);
}

static void drop(struct lane_members_memory *memory, size_t at)
{
    memory->count--;
    memmove(&memory->members[at], &memory->members[at + 1],
            (memory->count - at) * sizeof(memory->members[0]));
}

static enum status leave(struct lane_members *members, struct str role, struct uuid own)
{
    struct lane_members_memory *memory = self(members);
    for (size_t at = 0; at < memory->count; at++) {
        if (serves(&memory->members[at], role) && uuid_eq(memory->members[at].id, own)) {
            drop(memory, at);
            return STATUS_OK;
        }
    }
    return STATUS_OK;
}

static enum status add(struct lane_members_memory *memory, struct str role, struct uuid own)
{
    size_t at = 0;
    if (memory->count == LANE_MEMBERS_MAX || role.len > ROLE_BYTES_MAX) {
        return STATUS_FULL;
    }
    while (at < memory->count && memcmp(&memory->members[at].id, &own, sizeof(own)) < 0) {
        at++;
    }
    memmove(&memory->members[at + 1], &memory->members[at],
            (memory->count - at) * sizeof(memory->members[0]));
    memory->members[at] =
        (struct member){.role_len = role.len, .id = own, .seen_at_ms = monotonic_ms()};
    memcpy(memory->members[at].role, role.data, role.len);
    memory->count++;
    return STATUS_OK;
}

static enum status look(struct lane_members *members, struct str role, struct uuid own,
                        int stale_ms, struct uuid *all, size_t *count)
{
    struct lane_members_memory *memory = self(members);
    enum status status = leave(members, role, own);
    status = status == STATUS_OK ? add(memory, role, own) : status;
    if (status != STATUS_OK) {
        return status;
    }
    *count = 0;
    for (size_t at = 0; at < memory->count; at++) {
        const struct member *member = &memory->members[at];
        if (serves(member, role) && monotonic_ms() - member->seen_at_ms <= stale_ms) {
            all[(*count)++] = member->id;
        }
    }
    return STATUS_OK;
}

struct lane_members *lane_members_memory_new(void)
{
    static const struct lane_members_ops ops = {.look = look, .leave = leave};
    struct lane_members_memory *made = calloc(1, sizeof(*made));
    if (made == NULL) {
        return NULL;
    }
    made->port.ops = &ops;
    return &made->port;
}

void lane_members_memory_free(struct lane_members *members)
{
    free(members);
}

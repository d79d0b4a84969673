// SPDX-License-Identifier: Apache-2.0
// Which lane a command goes by: of the streams that it appends to beside its own target the lowest
// decides.
#include "application/handler/command_lane.h"

#include <string.h>

static uint16_t lane_of_stream(struct uuid stream)
{
    uint64_t hash = str_hash((struct str){(const char *)stream.bytes, sizeof(stream.bytes)});
    return (uint16_t)(hash % COMMAND_LANE_MAX + 1);
}

static uint16_t lane_of_streams(const struct stream_refs *streams, struct uuid target)
{
    const struct uuid *lowest = NULL;
    for (size_t at = 0; at < streams->count; at++) {
        const struct stream_ref *ref = &streams->items[at];
        bool shared = ref->use == STREAM_APPEND && !uuid_eq(ref->id, target);
        if (shared && (lowest == NULL || memcmp(&ref->id, lowest, sizeof(*lowest)) < 0)) {
            lowest = &ref->id;
        }
    }
    return lowest == NULL ? COMMAND_LANE_NONE : lane_of_stream(*lowest);
}

uint16_t command_lane(struct str full_name, struct str tenant, struct uuid target,
                      struct str payload, struct arena *arena)
{
    const struct command_type *type = context_command(full_name);
    if (type == NULL || !type->contended) {
        return COMMAND_LANE_NONE;
    }
    void *body = NULL;
    struct fault_list *faults = arena_alloc(arena, sizeof(*faults));
    struct stream_refs *streams = arena_alloc(arena, sizeof(*streams));
    if (faults == NULL || streams == NULL ||
        type->parse(payload, arena, faults, &body) != STATUS_OK || faults->count > 0) {
        return COMMAND_LANE_NONE;
    }
    const struct command command = {.tenant = tenant, .target = target, .body = body};
    bool declared = type->streams(&command, arena, streams) == STATUS_OK;
    return declared ? lane_of_streams(streams, target) : COMMAND_LANE_NONE;
}

// SPDX-License-Identifier: Apache-2.0
// The topology of the contexts linked in and of the sagas that a program has loaded.
#include "infrastructure/rabbitmq/topology_sagas.h"

#include <string.h>

static size_t add_triggers(struct topology_event *events, size_t count,
                           const struct saga_trigger *triggers, size_t trigger_count)
{
    for (size_t i = 0; i < trigger_count; i++) {
        events[count++] = (struct topology_event){triggers[i].category, triggers[i].type};
    }
    return count;
}

enum status topology_make_of_sagas(const struct context_registry *registry,
                                   const struct saga_definitions *sagas,
                                   const int32_t retry_ms[TOPOLOGY_RETRIES], struct arena *arena,
                                   struct topology *topology)
{
    struct topology_event *events =
        arena_array(arena, sagas->count * SAGA_TRIGGERS_MAX * 2 + 1, sizeof(*events));
    size_t count = 0;
    if (events == NULL) {
        return STATUS_NO_MEMORY;
    }
    for (size_t i = 0; i < sagas->count; i++) {
        const struct saga_definition *saga = &sagas->items[i];
        count = add_triggers(events, count, saga->starts_on, saga->starts_on_count);
        count = add_triggers(events, count, saga->cancelled_by, saga->cancelled_by_count);
    }
    struct topology_options options = {
        .registry = registry,
        .saga_events = events,
        .saga_event_count = count,
    };
    memcpy(options.retry_ms, retry_ms, sizeof(options.retry_ms));
    return topology_make(&options, arena, topology);
}

// SPDX-License-Identifier: Apache-2.0
// A context that is no shop: tallies that are named and added to, for the tests of projections.
#include <string.h>

#include "base/json_view.h"
#include "domain/bounded_context.h"

struct tally {
    struct str name;
    int64_t sum;
    int64_t events;
};

static void *tally_initial(struct arena *arena)
{
    return arena_alloc(arena, sizeof(struct tally));
}

// Half changed when it fails, on purpose: whoever calls it must not rely on the state then.
static enum status tally_evolve(void *state, const struct event_view *event, struct arena *arena)
{
    struct tally *tally = state;
    tally->events++;
    if (str_eq(event->type, STR("Named"))) {
        return json_view_string(json_view_member(event->data, STR("name")), arena, &tally->name)
                   ? STATUS_OK
                   : STATUS_MALFORMED;
    }
    if (str_eq(event->type, STR("Added"))) {
        int64_t by;
        tally->sum = -1;
        if (!json_view_int(json_view_member(event->data, STR("by")), &by)) {
            return STATUS_MALFORMED;
        }
        tally->sum = by; // the test's events carry the sum so far
    }
    return STATUS_OK;
}

static enum status tally_encode(const void *state, struct buffer *out)
{
    const struct tally *tally = state;
    buffer_printf(out, "{\"name\":\"%.*s\",\"sum\":%lld,\"events\":%lld}", STR_FMT(tally->name),
                  (long long)tally->sum, (long long)tally->events);
    return out->status;
}

static enum status tally_decode(struct str bytes, struct arena *arena, void **state)
{
    struct tally *tally = arena_alloc(arena, sizeof(*tally));
    if (tally == NULL) {
        return STATUS_NO_MEMORY;
    }
    if (!json_view_string(json_view_member(bytes, STR("name")), arena, &tally->name) ||
        !json_view_int(json_view_member(bytes, STR("sum")), &tally->sum) ||
        !json_view_int(json_view_member(bytes, STR("events")), &tally->events)) {
        return STATUS_MALFORMED;
    }
    *state = tally;
    return STATUS_OK;
}

static enum status tally_index(const void *document, struct arena *arena,
                               struct document_index *index)
{
    const struct tally *tally = document;
    (void)arena;
    *index = (struct document_index){.key = tally->name,
                                     .owner = STR("ana"),
                                     .filter = STR("open"),
                                     .sort = tally->name,
                                     .listed = tally->sum < 100};
    return STATUS_OK;
}

const struct context_registry *context_registry(void)
{
    static const struct projection projections[] = {{
        .collection = {"tallies", 7},
        .category = {"tally", 5},
        .document = {1, tally_initial, tally_evolve, tally_encode, tally_decode},
        .index = tally_index,
    }};
    static const struct bounded_context tallies = {
        .name = {"tallies", 7}, .projections = projections, .projection_count = 1};
    static const struct bounded_context *const contexts[] = {&tallies};
    static const struct context_registry registry = {contexts, 1};
    return &registry;
}

// SPDX-License-Identifier: Apache-2.0
// Every exchange, queue and binding as one table, made from the registry of contexts and what the
// sagas listen to; ARCHITECTURE.md, "Messages", shows it for the shop.
#include "infrastructure/rabbitmq/topology.h"

#include "base/json.h"

enum {
    QUEUES_A_ROLE = TOPOLOGY_RETRIES + 2 + TOPOLOGY_LANES,
    BINDINGS_A_ROLE = TOPOLOGY_RETRIES + 1 + TOPOLOGY_LANES
};

static const struct topology_exchange exchanges[] = {
    {{"comanda.events", 14}, {"topic", 5}, {"comanda.unrouted", 16}},
    {{"comanda.commands", 16}, {"topic", 5}, {"comanda.unrouted", 16}},
    {{"comanda.replies", 15}, {"topic", 5}, {"comanda.unrouted", 16}},
    {{"comanda.retry", 13}, {"topic", 5}, {NULL, 0}}, // so that topic permissions hold for it
    {{"comanda.dead", 12}, {"topic", 5}, {NULL, 0}},
    {{"comanda.unrouted", 16}, {"fanout", 6}, {NULL, 0}},
};

// The table while it is made; the arrays have room for all that can come.
struct maker {
    struct arena *arena;
    const int32_t *retry_ms;
    struct topology_queue *queues;
    size_t queue_count;
    struct topology_binding *bindings;
    size_t binding_count;
    bool failed; // out of memory
};

static struct str kept(struct maker *maker, struct str made)
{
    maker->failed = maker->failed || made.data == NULL;
    return made;
}

static void add_queue(struct maker *maker, struct topology_queue queue)
{
    maker->queues[maker->queue_count++] = queue;
}

// Twice the same is once: two versions of a saga start on one event.
static void bind(struct maker *maker, struct str exchange, struct str queue, struct str key)
{
    for (size_t i = 0; i < maker->binding_count; i++) {
        const struct topology_binding *binding = &maker->bindings[i];
        if (str_eq(binding->exchange, exchange) && str_eq(binding->queue, queue) &&
            str_eq(binding->key, key)) {
            return;
        }
    }
    maker->bindings[maker->binding_count++] = (struct topology_binding){exchange, queue, key};
}

static void add_retry(struct maker *maker, struct str work, int step)
{
    struct topology_queue queue = {
        .name = kept(maker, arena_printf(maker->arena, "%.*s.retry.%d", STR_FMT(work), step)),
        .role = QUEUE_RETRY,
        .length_max = TOPOLOGY_RETRY_MAX,
        .ttl_ms = maker->retry_ms[step - 1],
        .work_queue = work,
    };
    add_queue(maker, queue);
    bind(maker, TOPOLOGY_RETRY_EXCHANGE, queue.name,
         kept(maker, arena_printf(maker->arena, "%.*s.%d", STR_FMT(work), step)));
}

// A role's own queue with its ladder and its dead letters.
static struct str add_role(struct maker *maker, struct str role)
{
    struct str work = kept(maker, arena_printf(maker->arena, "comanda.%.*s", STR_FMT(role)));
    add_queue(maker, (struct topology_queue){
                         .name = work, .role = QUEUE_WORK, .length_max = TOPOLOGY_WORK_MAX});
    for (int step = 1; step <= TOPOLOGY_RETRIES; step++) {
        add_retry(maker, work, step);
    }
    struct str dead = kept(maker, arena_printf(maker->arena, "%.*s.dead", STR_FMT(work)));
    add_queue(maker, (struct topology_queue){
                         .name = dead, .role = QUEUE_DEAD, .length_max = TOPOLOGY_WORK_MAX});
    bind(maker, TOPOLOGY_DEAD_EXCHANGE, dead, work);
    return work;
}

struct str topology_lane_queue(struct str work_queue, int lane, struct arena *arena)
{
    return arena_printf(arena, "%.*s.lane.%d", STR_FMT(work_queue), lane);
}

struct str topology_lane_key(struct str command, int lane, struct arena *arena)
{
    return arena_printf(arena, "%d.%.*s", lane, STR_FMT(command));
}

static struct str all_below(struct maker *maker, struct str name)
{
    return kept(maker, arena_printf(maker->arena, "%.*s.#", STR_FMT(name)));
}

// A repeat climbs the role's own ladder and comes back to its own queue.
static void add_lanes(struct maker *maker, struct str context, struct str work)
{
    for (int lane = 0; lane < TOPOLOGY_LANES; lane++) {
        struct topology_queue queue = {
            .name = kept(maker, topology_lane_queue(work, lane, maker->arena)),
            .role = QUEUE_LANE,
            .length_max = TOPOLOGY_WORK_MAX,
            .work_queue = work,
            .lane = lane,
        };
        add_queue(maker, queue);
        bind(maker, STR("comanda.commands"), queue.name,
             all_below(maker, kept(maker, topology_lane_key(context, lane, maker->arena))));
    }
}

static void add_contexts(struct maker *maker, const struct context_registry *registry)
{
    for (size_t i = 0; i < registry->count; i++) {
        const struct bounded_context *context = registry->contexts[i];
        if (!str_is_empty(context->role)) {
            struct str queue = add_role(maker, context->role);
            bind(maker, STR("comanda.commands"), queue, all_below(maker, context->name));
            if (context_is_contended(context)) {
                add_lanes(maker, context->name, queue);
            }
        }
    }
}

static void add_sagas(struct maker *maker, const struct topology_options *options)
{
    struct str queue = add_role(maker, STR("saga"));
    for (size_t i = 0; i < options->saga_event_count; i++) {
        const struct topology_event *event = &options->saga_events[i];
        struct str key =
            arena_printf(maker->arena, "%.*s.%.*s", STR_FMT(event->category), STR_FMT(event->type));
        maker->failed = maker->failed || key.data == NULL;
        bind(maker, STR("comanda.events"), queue, key);
    }
    bind(maker, STR("comanda.replies"), queue, STR("#"));
}

static void add_projector(struct maker *maker, const struct context_registry *registry)
{
    struct str queue = add_role(maker, STR("projector"));
    for (size_t i = 0; i < registry->count; i++) {
        const struct bounded_context *context = registry->contexts[i];
        for (size_t j = 0; j < context->projection_count; j++) {
            bind(maker, STR("comanda.events"), queue,
                 all_below(maker, context->projections[j].category));
        }
    }
}

// Bound to nothing: the relay puts what comes back to it there by name.
static void add_unroutable(struct maker *maker)
{
    add_queue(maker, (struct topology_queue){
                         .name = TOPOLOGY_UNROUTABLE,
                         .role = QUEUE_UNROUTABLE,
                         .length_max = TOPOLOGY_UNROUTABLE_MAX,
                     });
}

static size_t count_projections(const struct context_registry *registry)
{
    size_t count = 0;
    for (size_t i = 0; i < registry->count; i++) {
        count += registry->contexts[i]->projection_count;
    }
    return count;
}

static enum status check_delays(const struct topology_options *options)
{
    for (size_t i = 0; i < TOPOLOGY_RETRIES; i++) {
        if (options->retry_ms[i] <= 0) {
            return STATUS_INVALID;
        }
    }
    return STATUS_OK;
}

enum status topology_make(const struct topology_options *options, struct arena *arena,
                          struct topology *topology)
{
    size_t roles = options->registry->count + 2; // and the saga's and the projector's
    size_t bindings = roles * (BINDINGS_A_ROLE + 1) + options->saga_event_count +
                      count_projections(options->registry);
    struct maker maker = {.arena = arena, .retry_ms = options->retry_ms};
    if (check_delays(options) != STATUS_OK) {
        return STATUS_INVALID;
    }
    maker.queues = arena_array(arena, roles * QUEUES_A_ROLE + 1, sizeof(*maker.queues));
    maker.bindings = arena_array(arena, bindings, sizeof(*maker.bindings));
    if (maker.queues == NULL || maker.bindings == NULL) {
        return STATUS_NO_MEMORY;
    }
    add_contexts(&maker, options->registry);
    add_sagas(&maker, options);
    add_projector(&maker, options->registry);
    add_unroutable(&maker);
    if (maker.failed) {
        return STATUS_NO_MEMORY;
    }
    *topology = (struct topology){
        .exchanges = exchanges,
        .exchange_count = sizeof(exchanges) / sizeof(exchanges[0]),
        .queues = maker.queues,
        .queue_count = maker.queue_count,
        .bindings = maker.bindings,
        .binding_count = maker.binding_count,
    };
    return STATUS_OK;
}

// Drops the first word and its dot.
static struct str after_word(struct str text, struct str *word, bool *last)
{
    struct str rest;
    *last = !str_split(text, '.', word, &rest);
    return rest;
}

// Words left in `key` unless `key_done`; the same for the pattern.
static bool words_match(struct str pattern, bool pattern_done, struct str key, bool key_done)
{
    if (pattern_done) {
        return key_done;
    }
    struct str word;
    struct str key_word;
    bool pattern_last;
    bool key_last;
    struct str pattern_rest = after_word(pattern, &word, &pattern_last);
    if (str_eq(word, STR("#"))) {
        if (words_match(pattern_rest, pattern_last, key, key_done)) {
            return true;
        }
        if (key_done) {
            return false;
        }
        struct str key_rest = after_word(key, &key_word, &key_last);
        return words_match(pattern, false, key_rest, key_last);
    }
    if (key_done) {
        return false;
    }
    struct str key_rest = after_word(key, &key_word, &key_last);
    return (str_eq(word, STR("*")) || str_eq(word, key_word)) &&
           words_match(pattern_rest, pattern_last, key_rest, key_last);
}

bool topology_queue_carries_maximum(const struct topology_queue *queue)
{
    return queue->role == QUEUE_RETRY || queue->role == QUEUE_LANE ||
           queue->role == QUEUE_UNROUTABLE;
}

bool topology_is_ladder(struct str exchange)
{
    return str_eq(exchange, TOPOLOGY_RETRY_EXCHANGE) || str_eq(exchange, TOPOLOGY_DEAD_EXCHANGE);
}

bool topology_pattern_matches(struct str pattern, struct str key)
{
    return words_match(pattern, false, key, false);
}

struct str topology_role_of(struct str queue)
{
    struct str word;
    struct str rest;
    struct str role;
    struct str lane;
    if (!str_split(queue, '.', &word, &rest) || !str_eq(word, STR("comanda"))) {
        return STR("");
    }
    (void)str_split(rest, '.', &role, &lane);
    return role;
}

bool topology_queue_of(const struct topology *topology, struct str exchange, struct str key,
                       struct str *queue)
{
    for (size_t i = 0; i < topology->binding_count; i++) {
        const struct topology_binding *binding = &topology->bindings[i];
        if (str_eq(binding->exchange, exchange) && topology_pattern_matches(binding->key, key)) {
            *queue = binding->queue;
            return true;
        }
    }
    return false;
}

bool topology_routes(const struct topology *topology, struct str exchange, struct str key)
{
    struct str queue;
    return topology_queue_of(topology, exchange, key, &queue);
}

static void print_exchange(struct json_writer *json, const struct topology_exchange *exchange)
{
    json_object_begin(json);
    json_name(json, STR("name"));
    json_string(json, exchange->name);
    json_name(json, STR("type"));
    json_string(json, exchange->type);
    if (exchange->alternate.len > 0) {
        json_name(json, STR("alternate-exchange"));
        json_string(json, exchange->alternate);
    }
    json_object_end(json);
}

static struct str role_name(enum topology_role role)
{
    switch (role) {
    case QUEUE_WORK:
        return STR("work");
    case QUEUE_LANE:
        return STR("lane");
    case QUEUE_RETRY:
        return STR("retry");
    case QUEUE_DEAD:
        return STR("dead");
    case QUEUE_UNROUTABLE:
        break;
    }
    return STR("unroutable");
}

static void print_queue(struct json_writer *json, const struct topology_queue *queue)
{
    json_object_begin(json);
    json_name(json, STR("name"));
    json_string(json, queue->name);
    json_name(json, STR("role"));
    json_string(json, role_name(queue->role));
    json_name(json, STR("type"));
    json_string(json, STR("quorum"));
    if (queue->length_max > 0) {
        json_name(json, STR("length_max"));
        json_int(json, queue->length_max);
    }
    if (queue->role == QUEUE_LANE) {
        json_name(json, STR("single_active_consumer"));
        json_bool(json, true);
        json_name(json, STR("work_queue"));
        json_string(json, queue->work_queue);
    }
    if (queue->role == QUEUE_RETRY) {
        json_name(json, STR("ttl_ms"));
        json_int(json, queue->ttl_ms);
        json_name(json, STR("work_queue"));
        json_string(json, queue->work_queue);
    }
    json_object_end(json);
}

static void print_binding(struct json_writer *json, const struct topology_binding *binding)
{
    json_object_begin(json);
    json_name(json, STR("exchange"));
    json_string(json, binding->exchange);
    json_name(json, STR("queue"));
    json_string(json, binding->queue);
    json_name(json, STR("key"));
    json_string(json, binding->key);
    json_object_end(json);
}

enum status topology_print(const struct topology *topology, struct buffer *out)
{
    struct json_writer json;
    json_writer_init(&json, out);
    json_object_begin(&json);
    json_name(&json, STR("exchanges"));
    json_array_begin(&json);
    for (size_t i = 0; i < topology->exchange_count; i++) {
        print_exchange(&json, &topology->exchanges[i]);
    }
    json_array_end(&json);
    json_name(&json, STR("queues"));
    json_array_begin(&json);
    for (size_t i = 0; i < topology->queue_count; i++) {
        print_queue(&json, &topology->queues[i]);
    }
    json_array_end(&json);
    json_name(&json, STR("bindings"));
    json_array_begin(&json);
    for (size_t i = 0; i < topology->binding_count; i++) {
        print_binding(&json, &topology->bindings[i]);
    }
    json_array_end(&json);
    json_object_end(&json);
    return out->status;
}

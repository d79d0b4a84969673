// SPDX-License-Identifier: Apache-2.0
// Which bindings of the table the broker lacks, by the management API: AMQP cannot ask for them.
#include "infrastructure/rabbitmq/topology_bindings.h"

#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/json_view.h"

enum { ARENA_BLOCK = 64 * 1024 };

static bool has(struct str binding, const char *member, struct str wanted, struct arena *arena)
{
    struct str text;
    return json_view_string(json_view_member(binding, str_from(member)), arena, &text) &&
           str_eq(text, wanted);
}

static bool is_there(struct str list, const struct topology_binding *wanted, struct arena *arena)
{
    struct json_walk walk;
    struct str name;
    struct str each;
    bool found = false;
    (void)json_view_begin(list, &walk);
    while (!found && json_view_next(&walk, &name, &each)) {
        struct arena_mark mark = arena_mark(arena);
        found = has(each, "destination", wanted->queue, arena) &&
                has(each, "source", wanted->exchange, arena) &&
                has(each, "routing_key", wanted->key, arena) &&
                has(each, "destination_type", STR("queue"), arena);
        arena_rewind(arena, mark);
    }
    return found;
}

static void note(struct topology_lost *lost, const struct topology_binding *binding)
{
    if (lost->count++ == 0) {
        (void)snprintf(lost->first, sizeof(lost->first), "%.*s from %.*s by %.*s",
                       STR_FMT(binding->queue), STR_FMT(binding->exchange), STR_FMT(binding->key));
    }
    lost->of_log += !topology_is_ladder(binding->exchange);
}

enum status topology_bindings_read(const struct topology *topology, struct str list,
                                   struct topology_lost *lost)
{
    struct arena arena;
    size_t offset;
    *lost = (struct topology_lost){0};
    if (json_check(list, &offset) != JSON_OK || json_view_shape(list) != JSON_SHAPE_ARRAY) {
        (void)snprintf(lost->cause, sizeof(lost->cause), "the management API gives no list");
        return STATUS_MALFORMED;
    }
    arena_init(&arena, ARENA_BLOCK, ARENA_BLOCK);
    for (size_t at = 0; at < topology->binding_count; at++) {
        if (!is_there(list, &topology->bindings[at], &arena)) {
            note(lost, &topology->bindings[at]);
        }
    }
    arena_free(&arena);
    return STATUS_OK;
}

static enum status write_path(const char *vhost, struct buffer *path)
{
    buffer_add(path, STR("/api/bindings/"));
    for (const char *at = vhost; *at != '\0'; at++) {
        buffer_printf(path, "%%%02x", (unsigned char)*at);
    }
    buffer_add(path, STR("?columns=source,destination,destination_type,routing_key"));
    return path->status;
}

enum status topology_bindings_ask(const struct topology *topology,
                                  const struct rabbitmq_management *management, const char *vhost,
                                  struct topology_lost *lost)
{
    struct buffer path;
    struct buffer answer;
    struct str list;
    *lost = (struct topology_lost){0};
    buffer_init(&path, NULL, 2048);
    buffer_init(&answer, NULL, MANAGEMENT_BODY_MAX);
    enum status status = write_path(vhost, &path);
    if (status == STATUS_OK) {
        status =
            rabbitmq_management_get(management, buffer_view(&path), &answer, &list, lost->cause);
    }
    if (status == STATUS_OK) {
        status = topology_bindings_read(topology, list, lost);
    }
    buffer_free(&answer);
    buffer_free(&path);
    return status;
}

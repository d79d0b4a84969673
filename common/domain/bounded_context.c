// SPDX-License-Identifier: Apache-2.0
// The finders over the contexts that are linked in.
#include "domain/bounded_context.h"

#include <string.h>

const struct aggregate *context_aggregate(struct str category)
{
    const struct bounded_context *context = context_of_category(category);
    for (size_t i = 0; context != NULL && i < context->aggregate_count; i++) {
        if (str_eq(context->aggregates[i].category, category)) {
            return &context->aggregates[i];
        }
    }
    return NULL;
}

static bool owns_category(const struct bounded_context *context, struct str category)
{
    for (size_t i = 0; i < context->aggregate_count; i++) {
        if (str_eq(context->aggregates[i].category, category)) {
            return true;
        }
    }
    return false;
}

const struct bounded_context *context_of_category(struct str category)
{
    const struct context_registry *registry = context_registry();
    for (size_t i = 0; i < registry->count; i++) {
        if (owns_category(registry->contexts[i], category)) {
            return registry->contexts[i];
        }
    }
    return NULL;
}

static const struct command_type *command_of(const struct bounded_context *context,
                                             struct str full_name)
{
    for (size_t i = 0; i < context->command_count; i++) {
        char name[COMMAND_NAME_MAX];
        size_t len = context_command_name(context, &context->commands[i], name);
        if (len > 0 && str_eq((struct str){name, len}, full_name)) {
            return &context->commands[i];
        }
    }
    return NULL;
}

const struct command_type *context_command(struct str full_name)
{
    const struct context_registry *registry = context_registry();
    for (size_t i = 0; i < registry->count; i++) {
        const struct command_type *found = command_of(registry->contexts[i], full_name);
        if (found != NULL) {
            return found;
        }
    }
    return NULL;
}

// The first projection of any context that `matches` on `wanted`.
static const struct projection *find_projection(struct str wanted,
                                                bool (*matches)(const struct projection *,
                                                                struct str))
{
    const struct context_registry *registry = context_registry();
    for (size_t i = 0; i < registry->count; i++) {
        const struct bounded_context *context = registry->contexts[i];
        for (size_t j = 0; j < context->projection_count; j++) {
            if (matches(&context->projections[j], wanted)) {
                return &context->projections[j];
            }
        }
    }
    return NULL;
}

static bool has_collection(const struct projection *projection, struct str collection)
{
    return str_eq(projection->collection, collection);
}

static bool reads_category(const struct projection *projection, struct str category)
{
    return str_eq(projection->category, category);
}

const struct projection *context_projection(struct str collection)
{
    return find_projection(collection, has_collection);
}

const struct projection *context_projection_of(struct str category)
{
    return find_projection(category, reads_category);
}

bool context_is_contended(const struct bounded_context *context)
{
    for (size_t i = 0; i < context->command_count; i++) {
        if (context->commands[i].contended) {
            return true;
        }
    }
    return false;
}

size_t context_command_name(const struct bounded_context *context,
                            const struct command_type *command, char name[COMMAND_NAME_MAX])
{
    struct str parts[] = {context->name, STR("."), command->type, STR("_"), command->category};
    size_t len = 0;
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        if (parts[i].len > COMMAND_NAME_MAX - len) {
            return 0;
        }
        memcpy(name + len, parts[i].data, parts[i].len);
        len += parts[i].len;
    }
    return len;
}

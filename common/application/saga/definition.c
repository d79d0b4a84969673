// SPDX-License-Identifier: Apache-2.0
// A saga as its file declares it: steps, compensations, the pivot, times. Immutable once read.
#include "application/saga/definition.h"

struct str saga_direction_name(enum saga_direction direction)
{
    return direction == SAGA_FORWARD ? STR("forward") : STR("compensate");
}

bool saga_direction_read(struct str name, enum saga_direction *direction)
{
    if (str_eq(name, STR("forward"))) {
        *direction = SAGA_FORWARD;
        return true;
    }
    if (str_eq(name, STR("compensate"))) {
        *direction = SAGA_COMPENSATE;
        return true;
    }
    return false;
}

static bool clash(const struct saga_definition *left, const struct saga_definition *right)
{
    return left->version == right->version && str_eq(left->name, right->name);
}

static bool wants(const struct saga_definition *definition, const struct saga_trigger *trigger)
{
    return saga_definition_starts_on(definition, trigger->category, trigger->type) ||
           saga_definition_cancelled_by(definition, trigger->category, trigger->type);
}

// Other sagas that want the event; the newest version of each counts for its name.
static size_t others(const struct saga_definitions *definitions,
                     const struct saga_definition *definition, const struct saga_trigger *trigger)
{
    size_t count = 0;
    for (size_t i = 0; i < definitions->count; i++) {
        const struct saga_definition *other = &definitions->items[i];
        bool counts = saga_definitions_newest(definitions, other->name) == other;
        count += counts && !str_eq(other->name, definition->name) && wants(other, trigger);
    }
    return count;
}

static bool is_crowded(const struct saga_definitions *definitions,
                       const struct saga_definition *definition,
                       const struct saga_trigger *triggers, size_t count, struct arena *arena,
                       struct str *cause)
{
    for (size_t i = 0; i < count; i++) {
        if (others(definitions, definition, &triggers[i]) >= SAGA_NAMES_PER_EVENT_MAX) {
            *cause = arena_printf(arena, "%.*s: %.*s starts or cancels %d other sagas already",
                                  STR_FMT(definition->file), STR_FMT(triggers[i].type),
                                  SAGA_NAMES_PER_EVENT_MAX);
            return true;
        }
    }
    return false;
}

enum status saga_definitions_add(struct saga_definitions *definitions,
                                 const struct saga_definition *definition, struct arena *arena,
                                 struct str *cause)
{
    for (size_t i = 0; i < definitions->count; i++) {
        if (clash(&definitions->items[i], definition)) {
            *cause = arena_printf(arena, "%.*s and %.*s both declare %.*s version %d",
                                  STR_FMT(definitions->items[i].file), STR_FMT(definition->file),
                                  STR_FMT(definition->name), (int)definition->version);
            return STATUS_INVALID;
        }
    }
    if (definitions->count == SAGA_DEFINITIONS_MAX) {
        *cause = arena_printf(arena, "%.*s: more than %d sagas", STR_FMT(definition->file),
                              SAGA_DEFINITIONS_MAX);
        return STATUS_FULL;
    }
    if (is_crowded(definitions, definition, definition->starts_on, definition->starts_on_count,
                   arena, cause) ||
        is_crowded(definitions, definition, definition->cancelled_by,
                   definition->cancelled_by_count, arena, cause)) {
        return STATUS_FULL;
    }
    definitions->items[definitions->count++] = *definition;
    return STATUS_OK;
}

const struct saga_definition *saga_definitions_find(const struct saga_definitions *definitions,
                                                    struct str name, int32_t version)
{
    for (size_t i = 0; i < definitions->count; i++) {
        const struct saga_definition *definition = &definitions->items[i];
        if (definition->version == version && str_eq(definition->name, name)) {
            return definition;
        }
    }
    return NULL;
}

const struct saga_definition *saga_definitions_newest(const struct saga_definitions *definitions,
                                                      struct str name)
{
    const struct saga_definition *newest = NULL;
    for (size_t i = 0; i < definitions->count; i++) {
        const struct saga_definition *definition = &definitions->items[i];
        if (str_eq(definition->name, name) &&
            (newest == NULL || definition->version > newest->version)) {
            newest = definition;
        }
    }
    return newest;
}

static const struct saga_call *step_call(const struct saga_step *step,
                                         enum saga_direction direction)
{
    return direction == SAGA_FORWARD ? &step->forward : &step->compensation;
}

const struct saga_call *saga_definition_call(const struct saga_definition *definition,
                                             struct str step, enum saga_direction direction,
                                             size_t *index)
{
    for (size_t i = 0; i < definition->step_count; i++) {
        const struct saga_call *call = step_call(&definition->steps[i], direction);
        if (str_eq(call->name, step) && step.len > 0) {
            *index = i;
            return call;
        }
    }
    if (direction == SAGA_COMPENSATE && str_eq(definition->otherwise.name, step)) {
        *index = definition->step_count;
        return &definition->otherwise;
    }
    return NULL;
}

static bool among(const struct saga_trigger *triggers, size_t count, struct str category,
                  struct str type)
{
    for (size_t i = 0; i < count; i++) {
        if (str_eq(triggers[i].category, category) && str_eq(triggers[i].type, type)) {
            return true;
        }
    }
    return false;
}

bool saga_definition_starts_on(const struct saga_definition *definition, struct str category,
                               struct str type)
{
    return among(definition->starts_on, definition->starts_on_count, category, type);
}

bool saga_definition_cancelled_by(const struct saga_definition *definition, struct str category,
                                  struct str type)
{
    return among(definition->cancelled_by, definition->cancelled_by_count, category, type);
}

static bool call_fits(const struct saga_definition *definition, const struct saga_call *call,
                      int64_t ladder_s, struct arena *arena, struct str *cause)
{
    int64_t needed_s = (int64_t)definition->attempts * call->timeout_s;
    if (call->name.len == 0 || call->ask_without_limit || ladder_s > needed_s) {
        return true;
    }
    *cause = arena_printf(
        arena,
        "%.*s: the retry ladder lasts %lld s, but step %.*s takes %d attempts of %d s = %lld s: "
        "lengthen the ladder's delays or shorten the timeout, so that a silent step ends by its "
        "timeout and not in the dead letters",
        STR_FMT(definition->file), (long long)ladder_s, STR_FMT(call->name),
        (int)definition->attempts, (int)call->timeout_s, (long long)needed_s);
    return false;
}

bool saga_definition_fits_ladder(const struct saga_definition *definition, const int32_t *delays_s,
                                 size_t delay_count, struct arena *arena, struct str *cause)
{
    int64_t ladder_s = 0;
    for (size_t i = 0; i < delay_count; i++) {
        ladder_s += delays_s[i];
    }
    for (size_t i = 0; i < definition->step_count; i++) {
        const struct saga_step *step = &definition->steps[i];
        if (!call_fits(definition, &step->forward, ladder_s, arena, cause) ||
            !call_fits(definition, &step->compensation, ladder_s, arena, cause)) {
            return false;
        }
    }
    return true;
}

static bool call_is_outlasted(const struct saga_definition *definition,
                              const struct saga_call *call, int64_t patience_s, struct arena *arena,
                              struct str *cause)
{
    int64_t attempts = call->ask_without_limit ? 1 : definition->attempts;
    int64_t needed_s = attempts * call->timeout_s;
    if (call->name.len == 0 || patience_s > needed_s) {
        return true;
    }
    *cause = arena_printf(arena,
                          "%lld s, but step %.*s of %.*s takes %lld attempts of %d s = %lld s: "
                          "give it more than that",
                          (long long)patience_s, STR_FMT(call->name), STR_FMT(definition->file),
                          (long long)attempts, (int)call->timeout_s, (long long)needed_s);
    return false;
}

bool saga_definition_fits_patience(const struct saga_definition *definition, int64_t patience_s,
                                   struct arena *arena, struct str *cause)
{
    bool fits = call_is_outlasted(definition, &definition->otherwise, patience_s, arena, cause);
    for (size_t i = 0; i < definition->step_count && fits; i++) {
        const struct saga_step *step = &definition->steps[i];
        fits = call_is_outlasted(definition, &step->forward, patience_s, arena, cause) &&
               call_is_outlasted(definition, &step->compensation, patience_s, arena, cause);
    }
    return fits;
}

struct uuid saga_stream(const struct saga_definition *definition, struct uuid subject)
{
    return uuid_derive(subject, definition->role);
}

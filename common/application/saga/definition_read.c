// SPDX-License-Identifier: Apache-2.0
// Reads a saga's file strictly: every fault with its place, nothing unknown passes.
#include <string.h>

#include "application/saga/definition.h"
#include "application/saga/payload.h"
#include "base/json.h"
#include "base/json_view.h"
#include "domain/bounded_context.h"

struct reading {
    struct arena *arena;
    struct fault_list *faults;
    struct saga_definition *definition;
    struct saga_overrides overrides;
    int32_t timeout_s; // of steps that name none
};

static struct str place(struct reading *reading, struct str pointer, const char *member)
{
    return arena_printf(reading->arena, "%.*s/%s", STR_FMT(pointer), member);
}

static void fault(struct reading *reading, struct str pointer, struct str detail)
{
    fault_list_add(reading->faults, reading->arena, pointer, detail);
}

static bool is_listed(struct str name, const char *const *names)
{
    for (; *names != NULL; names++) {
        if (str_eq(name, str_from(*names))) {
            return true;
        }
    }
    return false;
}

// False: no object, so nothing in it is worth reading.
static bool is_object_of(struct reading *reading, struct str value, struct str pointer,
                         const char *const *names)
{
    struct json_walk walk;
    struct str name;
    struct str member;
    if (!json_view_begin(value, &walk) || !walk.object) {
        fault(reading, pointer, STR("wants an object"));
        return false;
    }
    while (json_view_next(&walk, &name, &member)) {
        if (!is_listed(name, names)) {
            fault(reading,
                  arena_printf(reading->arena, "%.*s/%.*s", STR_FMT(pointer), STR_FMT(name)),
                  STR("is no member that is known here"));
        }
    }
    return true;
}

static struct str read_text(struct reading *reading, struct str object, struct str pointer,
                            const char *member)
{
    struct str text;
    struct str value = json_view_member(object, str_from(member));
    if (!json_view_string(value, reading->arena, &text) || text.len == 0) {
        fault(reading, place(reading, pointer, member), STR("wants a text"));
        return STR("");
    }
    return text;
}

// Names go into ids, routing keys and metrics.
static struct str read_name(struct reading *reading, struct str object, struct str pointer,
                            const char *member)
{
    struct str name = read_text(reading, object, pointer, member);
    for (size_t i = 0; i < name.len; i++) {
        char byte = name.data[i];
        bool allowed = (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9') || byte == '_';
        if (!allowed || name.len > SAGA_NAME_MAX) {
            fault(reading, place(reading, pointer, member),
                  arena_printf(reading->arena, "wants 1 to %d of a-z, 0-9 and _", SAGA_NAME_MAX));
            return STR("");
        }
    }
    return name;
}

static int32_t read_int(struct reading *reading, struct str object, struct str pointer,
                        const char *member, int32_t fallback, int32_t max)
{
    struct str value = json_view_member(object, str_from(member));
    int64_t number = fallback;
    bool bad = value.data != NULL && !json_view_int(value, &number);
    if (bad || number < 1 || number > max) {
        fault(reading, place(reading, pointer, member),
              arena_printf(reading->arena, "wants an integer from 1 to %d", (int)max));
        return 1;
    }
    return (int32_t)number;
}

static void read_trigger(struct reading *reading, struct str value, struct str pointer,
                         bool with_example, struct saga_trigger *trigger)
{
    static const char *const starting[] = {"category", "type", "example", NULL};
    static const char *const cancelling[] = {"category", "type", NULL};
    if (!is_object_of(reading, value, pointer, with_example ? starting : cancelling)) {
        return;
    }
    trigger->category = read_name(reading, value, pointer, "category");
    trigger->type = read_text(reading, value, pointer, "type");
    if (trigger->category.len > 0 && context_aggregate(trigger->category) == NULL) {
        fault(
            reading, place(reading, pointer, "category"),
            arena_printf(reading->arena, "there is no category %.*s", STR_FMT(trigger->category)));
    }
    trigger->example = json_view_member(value, STR("example"));
    if (with_example && json_view_shape(trigger->example) != JSON_SHAPE_OBJECT) {
        fault(reading, place(reading, pointer, "example"),
              STR("wants an object: the data of such an event, to try the payloads on"));
    }
}

static size_t read_triggers(struct reading *reading, struct str file, const char *member,
                            bool starting, struct saga_trigger *triggers)
{
    struct json_walk walk;
    struct str name;
    struct str value;
    size_t count = 0;
    struct str pointer = place(reading, STR(""), member);
    (void)json_view_begin(json_view_member(file, str_from(member)), &walk);
    while (!walk.object && json_view_next(&walk, &name, &value) && count < SAGA_TRIGGERS_MAX) {
        struct str at = arena_printf(reading->arena, "%.*s/%zu", STR_FMT(pointer), count);
        read_trigger(reading, value, at, starting, &triggers[count++]);
    }
    if ((starting && count == 0) || json_view_next(&walk, &name, &value)) {
        fault(reading, pointer,
              arena_printf(reading->arena, "wants an array of %d to %d triggers", starting,
                           SAGA_TRIGGERS_MAX));
    }
    return count;
}

// What parse says about the payload made from the example.
static void try_payload(struct reading *reading, const struct command_type *type,
                        struct str payload, struct str pointer)
{
    struct fault_list *found = arena_alloc(reading->arena, sizeof *found);
    void *body = NULL;
    if (found == NULL) {
        return;
    }
    enum status status = type->parse(payload, reading->arena, found, &body);
    if (status != STATUS_OK) {
        fault(reading, pointer, STR("the command cannot read this payload at all"));
    }
    for (size_t i = 0; i < found->count; i++) {
        struct str where = arena_printf(reading->arena, "%.*s%.*s", STR_FMT(pointer),
                                        STR_FMT(found->items[i].pointer));
        fault(reading, where,
              arena_printf(reading->arena, "the command refuses it: %.*s",
                           STR_FMT(found->items[i].detail)));
    }
}

static void try_call(struct reading *reading, const struct saga_call *call, struct str example,
                     struct str pointer)
{
    const struct command_type *type = context_command(call->command);
    struct saga_payload_source source = {
        .start = example, .code = STR("timed_out"), .detail = STR("no answer in time")};
    struct buffer out;
    struct str cause = STR("");
    buffer_init(&out, reading->arena, SAGA_PAYLOAD_BYTES_MAX);
    if (type == NULL) {
        return;
    }
    if (saga_payload_write(call->payload, &source, reading->arena, &out, &cause) != STATUS_OK) {
        fault(
            reading, pointer,
            arena_printf(reading->arena, "cannot be made from the example: %.*s", STR_FMT(cause)));
        return;
    }
    try_payload(reading, type, buffer_view(&out), pointer);
}

static void try_on_examples(struct reading *reading, const struct saga_call *call,
                            bool without_start, struct str pointer)
{
    size_t before = reading->faults->total;
    saga_payload_check(call->payload, without_start, pointer, reading->arena, reading->faults);
    const struct saga_definition *definition = reading->definition;
    for (size_t i = 0; i < definition->starts_on_count && reading->faults->total == before; i++) {
        if (json_view_shape(definition->starts_on[i].example) == JSON_SHAPE_OBJECT) {
            try_call(reading, call, definition->starts_on[i].example, pointer);
        }
    }
}

static void read_command(struct reading *reading, struct str value, struct str pointer,
                         struct saga_call *call)
{
    call->command = read_text(reading, value, pointer, "command");
    const struct command_type *type = context_command(call->command);
    if (type != NULL) {
        call->verb = type->type;
    } else if (call->command.len > 0) {
        fault(reading, place(reading, pointer, "command"),
              arena_printf(reading->arena,
                           "there is no command %.*s: wants <context>.<type>_<category>",
                           STR_FMT(call->command)));
    }
}

static void read_call(struct reading *reading, struct str value, struct str pointer,
                      bool without_start, struct saga_call *call)
{
    call->name = read_name(reading, value, pointer, "name");
    call->timeout_s =
        read_int(reading, value, pointer, "timeout_s", reading->timeout_s, SAGA_TIMEOUT_S_MAX);
    if (reading->overrides.timeout_s > 0) {
        call->timeout_s = reading->overrides.timeout_s;
    }
    read_command(reading, value, pointer, call);
    call->payload = json_view_member(value, STR("payload"));
    try_on_examples(reading, call, without_start, place(reading, pointer, "payload"));
}

static void read_compensation(struct reading *reading, struct str value, struct str pointer,
                              struct saga_step *step)
{
    static const char *const names[] = {"name", "command", "payload", "timeout_s", NULL};
    struct str compensation = json_view_member(value, STR("compensation"));
    struct str at = place(reading, pointer, "compensation");
    if (step->forward.ask_without_limit) {
        if (compensation.data != NULL) {
            fault(reading, at, STR("the pivot and what follows it are never undone: leave it out"));
        }
    } else if (compensation.data == NULL) {
        fault(reading, at, STR("is missing: every step before the pivot can be undone"));
    } else if (is_object_of(reading, compensation, at, names)) {
        step->compensation.stream = step->forward.stream;
        read_call(reading, compensation, at, false, &step->compensation);
    }
}

static void read_pivot(struct reading *reading, struct str value, struct str pointer, size_t index)
{
    struct str pivot = json_view_member(value, STR("pivot"));
    if (pivot.data == NULL) {
        return;
    }
    if (!json_view_is(pivot, STR("true"))) {
        fault(reading, place(reading, pointer, "pivot"), STR("wants true, or leave it out"));
    } else if (reading->definition->pivot < SAGA_STEPS_MAX) {
        fault(reading, place(reading, pointer, "pivot"), STR("is the second one: a saga has one"));
    } else {
        reading->definition->pivot = index;
    }
}

static void read_step(struct reading *reading, struct str value, struct str pointer, size_t index)
{
    static const char *const names[] = {"name",      "stream", "command",      "payload",
                                        "timeout_s", "pivot",  "compensation", NULL};
    struct saga_step *step = &reading->definition->steps[index];
    if (!is_object_of(reading, value, pointer, names)) {
        return;
    }
    read_pivot(reading, value, pointer, index);
    step->forward.ask_without_limit = reading->definition->pivot <= index;
    step->forward.stream = read_name(reading, value, pointer, "stream");
    read_call(reading, value, pointer, false, &step->forward);
    read_compensation(reading, value, pointer, step);
}

static void read_steps(struct reading *reading, struct str file)
{
    struct saga_definition *definition = reading->definition;
    struct json_walk walk;
    struct str name;
    struct str value;
    definition->pivot = SAGA_STEPS_MAX;
    (void)json_view_begin(json_view_member(file, STR("steps")), &walk);
    while (!walk.object && definition->step_count < SAGA_STEPS_MAX &&
           json_view_next(&walk, &name, &value)) {
        size_t index = definition->step_count++;
        read_step(reading, value, arena_printf(reading->arena, "/steps/%zu", index), index);
    }
    if (definition->step_count == 0 || json_view_next(&walk, &name, &value)) {
        fault(reading, STR("/steps"),
              arena_printf(reading->arena, "wants an array of 1 to %d steps", SAGA_STEPS_MAX));
    } else if (definition->pivot == SAGA_STEPS_MAX) {
        fault(reading, STR("/steps"),
              STR("none is the pivot: mark the step after which nothing is undone"));
    }
}

static void read_otherwise(struct reading *reading, struct str file)
{
    static const char *const names[] = {"name", "stream", "command", "payload", "timeout_s", NULL};
    struct saga_call *call = &reading->definition->otherwise;
    struct str value = json_view_member(file, STR("otherwise"));
    if (is_object_of(reading, value, STR("/otherwise"), names)) {
        call->ask_without_limit = true;
        call->stream = read_name(reading, value, STR("/otherwise"), "stream");
        read_call(reading, value, STR("/otherwise"), true, call);
    }
}

static size_t list_names(const struct saga_definition *definition, struct str *names)
{
    size_t count = 0;
    for (size_t i = 0; i < definition->step_count; i++) {
        names[count++] = definition->steps[i].forward.name;
        names[count++] = definition->steps[i].compensation.name;
    }
    names[count++] = definition->otherwise.name;
    return count;
}

static void check_names(struct reading *reading)
{
    struct str names[2 * SAGA_STEPS_MAX + 1];
    size_t count = list_names(reading->definition, names);
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < i; j++) {
            if (names[i].len > 0 && str_eq(names[i], names[j])) {
                fault(reading, STR("/steps"),
                      arena_printf(reading->arena,
                                   "two steps or compensations are named %.*s: a reply could not "
                                   "tell them apart",
                                   STR_FMT(names[i])));
            }
        }
    }
}

static void read_all(struct reading *reading, struct str bytes)
{
    static const char *const names[] = {
        "saga",         "version",  "about",     "starts_on",    "steps", "otherwise",
        "cancelled_by", "attempts", "timeout_s", "parked_after", NULL};
    struct saga_definition *definition = reading->definition;
    if (!is_object_of(reading, bytes, STR(""), names)) {
        return;
    }
    definition->name = read_name(reading, bytes, STR(""), "saga");
    definition->role = arena_printf(reading->arena, "saga:%.*s", STR_FMT(definition->name));
    definition->version = read_int(reading, bytes, STR(""), "version", 0, 1000000);
    definition->attempts = read_int(reading, bytes, STR(""), "attempts", 3, SAGA_ATTEMPTS_MAX);
    definition->parked_after = read_int(reading, bytes, STR(""), "parked_after", 5, 1000);
    reading->timeout_s = read_int(reading, bytes, STR(""), "timeout_s", 20, SAGA_TIMEOUT_S_MAX);
    if (reading->overrides.attempts > 0) {
        definition->attempts = reading->overrides.attempts;
    }
    // A step with a limit never counts as parked while it is still being asked.
    if (definition->parked_after < definition->attempts) {
        definition->parked_after = definition->attempts;
    }
    definition->starts_on_count =
        read_triggers(reading, bytes, "starts_on", true, definition->starts_on);
    definition->cancelled_by_count =
        read_triggers(reading, bytes, "cancelled_by", false, definition->cancelled_by);
    read_steps(reading, bytes);
    read_otherwise(reading, bytes);
    check_names(reading);
}

static int line_of(struct str bytes, size_t offset)
{
    int line = 1;
    for (size_t i = 0; i < offset && i < bytes.len; i++) {
        line += bytes.data[i] == '\n';
    }
    return line;
}

enum status saga_definition_read(struct str file, struct str bytes, struct saga_overrides overrides,
                                 struct arena *arena, struct fault_list *faults,
                                 struct saga_definition *definition)
{
    struct saga_definition *read = arena_alloc(arena, sizeof *read);
    struct reading reading = {arena, faults, read, overrides, 0};
    size_t offset = 0;
    size_t before = faults->total;
    if (read == NULL) {
        return STATUS_NO_MEMORY;
    }
    read->file = file;
    enum json_fault broken = json_check(bytes, &offset);
    if (broken != JSON_OK) {
        fault(&reading, STR(""),
              arena_printf(arena, "line %d: %s", line_of(bytes, offset), json_fault_text(broken)));
    } else {
        read_all(&reading, bytes);
    }
    if (faults->total != before) {
        return STATUS_INVALID;
    }
    *definition = *read;
    return STATUS_OK;
}

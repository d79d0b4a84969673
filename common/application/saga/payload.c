// SPDX-License-Identifier: Apache-2.0
// The template language of a saga's payloads: JSON in which some strings stand for values.
#include "application/saga/payload.h"

#include <string.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/json_view.h"

static const struct str each_name = {"$each", 5};
static const struct str make_name = {"$make", 5};

// Where a check stands.
struct checking {
    struct arena *arena;
    struct fault_list *faults;
    bool without_start;
    bool in_each;
};

static void fault(struct checking *checking, struct str pointer, struct str text, const char *why)
{
    fault_list_add(checking->faults, checking->arena, pointer,
                   arena_printf(checking->arena, "\"%.*s\" %s", STR_FMT(text), why));
}

static bool is_path(struct str text)
{
    struct str segment;
    bool more = true;
    while (more) {
        more = str_split(text, '.', &segment, &text);
        if (segment.len == 0) {
            return false;
        }
    }
    return true;
}

static struct str after(struct str text, size_t len)
{
    return (struct str){text.data + len, text.len - len};
}

static bool is_saga_value(struct str text)
{
    return str_eq(text, STR("$saga.code")) || str_eq(text, STR("$saga.detail")) ||
           str_eq(text, STR("$saga.subject"));
}

static bool names_item(struct str text)
{
    return str_eq(text, STR("$item")) ||
           (str_starts_with(text, STR("$item.")) && is_path(after(text, 6)));
}

static void check_string(struct checking *checking, struct str value, struct str pointer)
{
    struct str text = {value.data + 1, value.len - 2};
    if (!str_starts_with(text, STR("$")) || str_starts_with(text, STR("$$")) ||
        is_saga_value(text)) {
        return;
    }
    if (str_starts_with(text, STR("$.")) && is_path(after(text, 2))) {
        if (checking->without_start) {
            fault(checking, pointer, text,
                  "reads the start event, which a saga that a cancellation started has not");
        }
        return;
    }
    if (!names_item(text)) {
        fault(checking, pointer, text,
              "is no template: use $.path, $item.path, $saga.code, $saga.detail, $saga.subject, "
              "or $$ for a dollar sign");
    } else if (!checking->in_each) {
        fault(checking, pointer, text, "stands outside of a $make");
    }
}

static void check_value(struct checking *checking, struct str value, struct str pointer);

static void check_each(struct checking *checking, struct str object, struct str pointer)
{
    struct str each = json_view_member(object, each_name);
    struct str make = json_view_member(object, make_name);
    if (make.data == NULL || !str_starts_with(each, STR("\"$.")) || checking->in_each) {
        fault(checking, pointer, each_name,
              "wants exactly the members $each, a path, and $make, and none of its kind in $make");
        return;
    }
    check_string(checking, each, arena_printf(checking->arena, "%.*s/$each", STR_FMT(pointer)));
    checking->in_each = true;
    check_value(checking, make, arena_printf(checking->arena, "%.*s/$make", STR_FMT(pointer)));
    checking->in_each = false;
}

static size_t count_members(struct str object)
{
    struct json_walk walk;
    struct str name;
    struct str value;
    size_t count = 0;
    (void)json_view_begin(object, &walk);
    while (json_view_next(&walk, &name, &value)) {
        count++;
    }
    return count;
}

static bool is_each(struct str value)
{
    return json_view_shape(value) == JSON_SHAPE_OBJECT && count_members(value) == 2 &&
           json_view_member(value, each_name).data != NULL;
}

static void check_container(struct checking *checking, struct str value, struct str pointer)
{
    struct json_walk walk;
    struct str name;
    struct str item;
    (void)json_view_begin(value, &walk);
    for (int index = 0; json_view_next(&walk, &name, &item); index++) {
        struct str place =
            walk.object
                ? arena_printf(checking->arena, "%.*s/%.*s", STR_FMT(pointer), STR_FMT(name))
                : arena_printf(checking->arena, "%.*s/%d", STR_FMT(pointer), index);
        if (walk.object && (str_starts_with(name, STR("$")) || memchr(name.data, '\\', name.len))) {
            fault(checking, place, name,
                  "is no member's name here: $each and $make stand together, escapes nowhere");
            continue;
        }
        check_value(checking, item, place);
    }
}

static void check_value(struct checking *checking, struct str value, struct str pointer)
{
    switch (json_view_shape(value)) {
    case JSON_SHAPE_STRING:
        check_string(checking, value, pointer);
        break;
    case JSON_SHAPE_OBJECT:
    case JSON_SHAPE_ARRAY:
        if (is_each(value)) {
            check_each(checking, value, pointer);
        } else {
            check_container(checking, value, pointer);
        }
        break;
    case JSON_SHAPE_NONE:
    case JSON_SHAPE_NUMBER:
    case JSON_SHAPE_BOOL:
    case JSON_SHAPE_NULL:
        break;
    }
}

void saga_payload_check(struct str template, bool without_start, struct str pointer,
                        struct arena *arena, struct fault_list *faults)
{
    struct checking checking = {arena, faults, without_start, false};
    if (json_view_shape(template) != JSON_SHAPE_OBJECT) {
        fault_list_add(faults, arena, pointer, STR("wants an object, {} for none"));
        return;
    }
    check_value(&checking, template, pointer);
}

// Where writing stands.
struct writing {
    const struct saga_payload_source *source;
    struct str item; // of the $each around; data NULL: none
    struct arena *arena;
    struct json_writer json;
    struct str *cause;
};

static struct str follow(struct str value, struct str path)
{
    struct str segment;
    bool more = path.len > 0;
    while (more && value.data != NULL) {
        more = str_split(path, '.', &segment, &path);
        value = json_view_member(value, segment);
    }
    return value;
}

static struct str find(const struct writing *writing, struct str text)
{
    if (str_starts_with(text, STR("$item"))) {
        return follow(writing->item, text.len > 6 ? after(text, 6) : STR(""));
    }
    return follow(writing->source->start, after(text, 2));
}

static enum status lacks(struct writing *writing, struct str text)
{
    *writing->cause =
        arena_printf(writing->arena, "the start event's data has no %.*s", STR_FMT(text));
    return STATUS_MALFORMED;
}

static enum status write_saga_value(struct writing *writing, struct str text)
{
    if (str_eq(text, STR("$saga.code"))) {
        json_string(&writing->json, writing->source->code);
    } else if (str_eq(text, STR("$saga.detail"))) {
        json_string(&writing->json, writing->source->detail);
    } else {
        json_uuid(&writing->json, writing->source->subject.bytes);
    }
    return STATUS_OK;
}

static enum status write_string(struct writing *writing, struct str value)
{
    struct str text = {value.data + 1, value.len - 2};
    if (!str_starts_with(text, STR("$"))) {
        json_raw(&writing->json, value);
        return STATUS_OK;
    }
    if (str_starts_with(text, STR("$$"))) {
        json_raw(&writing->json, arena_printf(writing->arena, "\"%.*s", STR_FMT(after(value, 2))));
        return STATUS_OK;
    }
    if (is_saga_value(text)) {
        return write_saga_value(writing, text);
    }
    struct str found = find(writing, text);
    if (found.data == NULL) {
        return lacks(writing, text);
    }
    json_raw(&writing->json, found);
    return STATUS_OK;
}

static enum status write_value(struct writing *writing, struct str value);

static enum status write_each(struct writing *writing, struct str object)
{
    struct str make = json_view_member(object, make_name);
    struct str each = json_view_member(object, each_name);
    struct json_walk walk;
    struct str name;
    struct str item;
    struct str path = {each.data + 1, each.len - 2};
    if (!json_view_begin(find(writing, path), &walk) || walk.object) {
        return lacks(writing, path);
    }
    enum status status = STATUS_OK;
    json_array_begin(&writing->json);
    while (status == STATUS_OK && json_view_next(&walk, &name, &item)) {
        writing->item = item;
        status = write_value(writing, make);
    }
    json_array_end(&writing->json);
    return status;
}

static enum status write_members(struct writing *writing, struct json_walk *walk)
{
    enum status status = STATUS_OK;
    struct str name;
    struct str value;
    while (status == STATUS_OK && json_view_next(walk, &name, &value)) {
        if (walk->object) {
            json_name(&writing->json, name);
        }
        status = write_value(writing, value);
    }
    return status;
}

static enum status write_container(struct writing *writing, struct str value)
{
    struct json_walk walk;
    (void)json_view_begin(value, &walk);
    if (walk.object) {
        json_object_begin(&writing->json);
    } else {
        json_array_begin(&writing->json);
    }
    enum status status = write_members(writing, &walk);
    if (walk.object) {
        json_object_end(&writing->json);
    } else {
        json_array_end(&writing->json);
    }
    return status;
}

static enum status write_value(struct writing *writing, struct str value)
{
    switch (json_view_shape(value)) {
    case JSON_SHAPE_STRING:
        return write_string(writing, value);
    case JSON_SHAPE_OBJECT:
    case JSON_SHAPE_ARRAY:
        return is_each(value) ? write_each(writing, value) : write_container(writing, value);
    case JSON_SHAPE_NONE:
    case JSON_SHAPE_NUMBER:
    case JSON_SHAPE_BOOL:
    case JSON_SHAPE_NULL:
        break;
    }
    json_raw(&writing->json, value);
    return STATUS_OK;
}

enum status saga_payload_write(struct str template, const struct saga_payload_source *source,
                               struct arena *arena, struct buffer *out, struct str *cause)
{
    struct writing writing = {.source = source, .arena = arena, .cause = cause};
    json_writer_init(&writing.json, out);
    enum status status = write_value(&writing, template);
    return status == STATUS_OK ? out->status : status;
}

// SPDX-License-Identifier: Apache-2.0
// One stream's document on its way to a newer version: what is folded, how far, and what broke it.
#include "application/projection/projection_target.h"

static const struct fold *fold_of(const struct projection_target *target)
{
    return &target->projection->document;
}

static enum status start_from(struct projection_target *target, struct str bytes,
                              struct arena *arena)
{
    if (!str_is_empty(bytes)) {
        return fold_of(target)->decode(bytes, arena, &target->state);
    }
    target->state = fold_of(target)->initial(arena);
    return target->state == NULL ? STATUS_NO_MEMORY : STATUS_OK;
}

static void set_checkpoint(struct projection_target *target, struct str bytes)
{
    target->checkpoint = bytes;
    target->checkpoint_at = target->version;
    target->checkpoint_cursor = target->at;
}

enum status projection_target_begin(struct projection_target *target, const struct document *found,
                                    struct arena *arena)
{
    enum status status = STATUS_MALFORMED;
    if (found->version > 0) {
        status = start_from(target, found->body, arena);
    }
    if (status == STATUS_NO_MEMORY) {
        return status;
    }
    target->found = *found;
    if (status == STATUS_OK) {
        target->version = found->version;
        target->at = found->at;
        set_checkpoint(target, found->body);
        return STATUS_OK;
    }
    target->version = 0;
    set_checkpoint(target, (struct str){"", 0});
    return start_from(target, (struct str){"", 0}, arena);
}

static enum status evolve(struct projection_target *target, const struct projection_event *event,
                          struct arena *arena)
{
    if (event->is_event) {
        enum status status = fold_of(target)->evolve(target->state, &event->view, arena);
        if (status != STATUS_OK) {
            return status;
        }
    }
    target->version = event->view.version;
    target->at = event->at;
    return STATUS_OK;
}

// An event that failed may have left the state half changed: fold anew up to the one before it.
static enum status go_back(struct projection_target *target, const struct projection_event *events,
                           size_t good, struct arena *arena)
{
    target->version = target->checkpoint_at;
    target->at = target->checkpoint_cursor;
    enum status status = start_from(target, target->checkpoint, arena);
    for (size_t at = 0; at < good && status == STATUS_OK; at++) {
        status = evolve(target, &events[at], arena);
    }
    return status;
}

static enum status encode(const struct projection_target *target, struct arena *arena,
                          struct str *bytes)
{
    struct buffer out;
    buffer_init(&out, arena, DOCUMENT_BYTES_MAX);
    enum status status = fold_of(target)->encode(target->state, &out);
    status = status == STATUS_OK ? out.status : status;
    *bytes = buffer_view(&out);
    return status;
}

enum status projection_target_apply(struct projection_target *target,
                                    const struct projection_event *events, size_t count,
                                    struct arena *arena, const struct projection_event **broken)
{
    *broken = NULL;
    if (target->version != target->checkpoint_at) { // an earlier run has moved it
        struct str bytes;
        enum status status = encode(target, arena, &bytes);
        if (status != STATUS_OK) {
            *broken = status == STATUS_NO_MEMORY ? NULL : &events[0];
            return status == STATUS_NO_MEMORY ? status : STATUS_OK;
        }
        set_checkpoint(target, bytes);
    }
    for (size_t at = 0; at < count; at++) {
        enum status status = evolve(target, &events[at], arena);
        if (status == STATUS_NO_MEMORY) {
            return status;
        }
        if (status != STATUS_OK) {
            *broken = &events[at];
            return go_back(target, events, at, arena);
        }
    }
    return STATUS_OK;
}

static enum status describe(struct projection_target *target, struct arena *arena)
{
    struct document_index index = {0};
    enum status status = target->projection->index(target->state, arena, &index);
    if (status != STATUS_OK) {
        return status;
    }
    if (str_is_empty(index.key)) {
        return STATUS_MALFORMED;
    }
    struct document made = {
        .tenant = target->id.tenant,
        .collection = target->id.collection,
        .stream = target->id.stream,
        .version = target->version,
        .at = target->at,
        .key = index.key,
        .owner = index.owner,
        .filter = index.filter,
        .sort = index.sort,
        .listed = index.listed,
    };
    status = encode(target, arena, &made.body);
    if (status == STATUS_OK) {
        target->made = made;
    }
    return status;
}

enum status projection_target_finish(struct projection_target *target, struct arena *arena)
{
    if (target->version <= target->found.version) {
        return STATUS_OK;
    }
    enum status status = describe(target, arena);
    if (status == STATUS_NO_MEMORY || status == STATUS_OK) {
        return status;
    }
    target->cause = arena_printf(
        arena, "the document of stream version %d cannot be made: %s", target->version,
        status == STATUS_FULL ? "it is too large" : "its events give it no key or no valid value");
    return target->cause.data == NULL ? STATUS_NO_MEMORY : STATUS_OK;
}

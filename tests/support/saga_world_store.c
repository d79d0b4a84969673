// SPDX-License-Identifier: Apache-2.0
// What is appended in the world becomes messages and timers; one of the mistakes sits here.
#include <stdlib.h>

#include "base/json_view.h"
#include "saga_world_parts.h"

static struct play *of(struct event_store *store)
{
    return (struct play *)store;
}

// --- what has been appended becomes messages and timers

static int handler_of(struct str command)
{
    struct str context;
    struct str rest;
    (void)str_split(command, '.', &context, &rest);
    const char *names[] = {"", "payments", "inventory", "shipping", "ordering"};
    for (int i = 1; i < HANDLERS; i++) {
        if (str_eq(context, str_from(names[i]))) {
            return i;
        }
    }
    abort();
}

static bool is_published(const struct recorded_event *row)
{
    return row->kind != RECORD_EVENT || str_eq(row->type, STR("OrderPlaced")) ||
           str_eq(row->type, STR("OrderCancelRequested"));
}

static void post(struct play *play, const struct recorded_event *row)
{
    struct str command = STR("");
    struct arena none = {.blocks = NULL};
    if (row->kind == RECORD_COMMAND) {
        (void)json_view_string(json_view_member(row->data, STR("command")), &none, &command);
    }
    if (play->mail_count == MESSAGES_MAX) {
        play->violation = "messages without end";
        return;
    }
    play->mail[play->mail_count++] =
        (struct mail){.incoming = {.id = row->id,
                                   .kind = row->kind,
                                   .tenant = row->tenant,
                                   .category = row->category,
                                   .type = row->type,
                                   .stream = row->stream,
                                   .version = row->version,
                                   .schema_version = row->schema_version,
                                   .data = row->data,
                                   .correlation_id = STR("c"),
                                   .causation_id = STR(""),
                                   .traceparent = STR(""),
                                   .now = 1000000,
                                   .command = command},
                      .handler = command.len > 0 ? handler_of(command) : H_SAGA};
}

static void keep_row(struct play *play, const struct append_item *item,
                     const struct append_row *row, int32_t version)
{
    const struct append_stream *stream = &item->streams[row->stream];
    if (play->row_count == ROWS_MAX) {
        play->violation = "rows without end";
        return;
    }
    struct recorded_event *kept = &play->rows[play->row_count++];
    *kept = (struct recorded_event){.tenant = STR("main"),
                                    .category = arena_str(play->arena, stream->category),
                                    .stream = stream->id,
                                    .version = version,
                                    .id = row->id,
                                    .kind = row->kind,
                                    .type = arena_str(play->arena, row->type),
                                    .schema_version = row->schema_version,
                                    .data = arena_str(play->arena, row->data)};
    if (is_published(kept)) {
        post(play, kept);
    }
}

static void keep_rows(struct play *play, const struct append_item *item)
{
    int32_t versions[64];
    for (size_t i = 0; i < item->stream_count; i++) {
        versions[i] = item->streams[i].expected_version;
    }
    for (size_t i = 0; i < item->row_count; i++) {
        keep_row(play, item, &item->rows[i], ++versions[item->rows[i].stream]);
    }
}

static void keep_timers(struct play *play, const struct append_item *item)
{
    for (size_t i = 0; i < item->timer_done_count; i++) {
        for (int at = 0; at < play->timer_count; at++) {
            if (uuid_eq(play->timers[at].timer.id, item->timers_done[i])) {
                play->timers[at].live = false;
            }
        }
    }
    for (size_t i = 0; i < item->timer_count && play->timer_count < TIMERS_MAX; i++) {
        struct set_timer *set = &play->timers[play->timer_count++];
        *set = (struct set_timer){.timer = item->timers[i], .live = true};
        set->timer.data = arena_str(play->arena, item->timers[i].data);
        set->timer.tenant = STR("main");
    }
}

// --- the store, watched; one of the mistakes sits here

int32_t world_version_of(struct play *play, struct uuid stream)
{
    int32_t version = 0;
    for (int i = 0; i < play->row_count; i++) {
        if (uuid_eq(play->rows[i].stream, stream)) {
            version = play->rows[i].version;
        }
    }
    return version;
}

static struct append_item unchecked(struct play *play, const struct append_item *item,
                                    struct append_stream *streams)
{
    struct append_item changed = *item;
    for (size_t i = 0; i < item->stream_count; i++) {
        streams[i] = item->streams[i];
        if (str_eq(streams[i].category, STR("saga"))) {
            streams[i].expected_version = world_version_of(play, streams[i].id);
        }
    }
    changed.streams = streams;
    return changed;
}

static enum status watched_append(struct event_store *store, const struct append_item *items,
                                  size_t count, struct arena *arena,
                                  struct append_verdict *verdicts)
{
    struct play *play = of(store);
    struct append_stream streams[64];
    if (count != 1) {
        abort(); // a worker has one message in hand
    }
    struct append_item item = play->options->mistake == MISTAKE_NO_VERSION_CHECK
                                  ? unchecked(play, &items[0], streams)
                                  : items[0];
    enum status status = event_store_append(play->log, &item, 1, arena, verdicts);
    if (status == STATUS_OK && verdicts[0].outcome == APPENDED) {
        keep_rows(play, &item);
        keep_timers(play, &item);
    }
    return status;
}

static enum status watched_read(struct event_store *store, const struct stream_query *queries,
                                size_t count, size_t limit, struct arena *arena,
                                struct stream_rows *streams)
{
    return event_store_read(of(store)->log, queries, count, limit, arena, streams);
}

const struct event_store_ops world_store_ops = {.append = watched_append, .read = watched_read};

void world_append(struct play *play, struct uuid stream, const char *category, const char *type,
                  struct str data)
{
    int32_t version = world_version_of(play, stream);
    struct arena scratch;
    struct append_verdict verdict;
    struct append_stream to = {stream, str_from(category), version};
    struct append_row row = {.stream = 0,
                             .id = uuid_derive(stream, str_from(type)),
                             .kind = RECORD_EVENT,
                             .type = str_from(type),
                             .schema_version = 1,
                             .data = data,
                             .meta = STR("{}")};
    struct append_item item = {
        .tenant = STR("main"), .streams = &to, .stream_count = 1, .rows = &row, .row_count = 1};
    arena_init(&scratch, 65536, 1 << 20);
    if (event_store_append(&play->store, &item, 1, &scratch, &verdict) != STATUS_OK) {
        abort();
    }
    arena_free(&scratch);
}

bool world_has(const struct play *play, const char *type)
{
    for (int i = 0; i < play->row_count; i++) {
        if (play->rows[i].kind == RECORD_EVENT && str_eq(play->rows[i].type, str_from(type))) {
            return true;
        }
    }
    return false;
}

int world_count_of(const struct play *play, const char *type)
{
    int count = 0;
    for (int i = 0; i < play->row_count; i++) {
        count += play->rows[i].kind == RECORD_EVENT && str_eq(play->rows[i].type, str_from(type));
    }
    return count;
}

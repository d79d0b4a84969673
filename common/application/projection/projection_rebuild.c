// SPDX-License-Identifier: Apache-2.0
// Makes a collection anew from the log, page by page, each row as the message it once was.
#include "application/projection/projection_run.h"
#include "domain/bounded_context.h"

static bool belongs(const struct recorded_event *row, const struct projection *projection,
                    struct str tenant)
{
    return row->kind == RECORD_EVENT && str_eq(row->category, projection->category) &&
           str_eq(row->tenant, tenant);
}

static struct incoming as_message(const struct recorded_event *row)
{
    return (struct incoming){
        .id = row->id,
        .kind = row->kind,
        .tenant = row->tenant,
        .category = row->category,
        .type = row->type,
        .stream = row->stream,
        .version = row->version,
        .schema_version = row->schema_version,
        .at = row->at,
        .recorded_at = row->recorded_at - row->recorded_at % 1000,
        .data = row->data,
    };
}

static void count_broken(const struct message_result *results, size_t count, struct arena *arena,
                         struct projection_rebuild_report *report)
{
    for (size_t at = 0; at < count; at++) {
        if (results[at].outcome == MESSAGE_HANDLED) {
            continue;
        }
        if (report->broken++ == 0) {
            report->cause = arena_str(arena, results[at].cause);
        }
    }
}

// A slice at a time, each with its own memory: so many of the largest documents fit.
enum { SLICE = 256, SLICE_BLOCK = 256 * 1024, SLICE_MAX = 512 * 1024 * 1024 };

static enum status project_slice(const struct projection_run *run, const struct incoming *messages,
                                 size_t count, struct arena *arena,
                                 struct projection_rebuild_report *report)
{
    struct arena memory;
    arena_init(&memory, SLICE_BLOCK, SLICE_MAX);
    const struct message_result *results;
    const struct document *made;
    size_t made_count;
    enum status status =
        projection_run_batch(run, messages, count, &memory, &results, &made, &made_count);
    if (status == STATUS_OK) {
        report->events += (int64_t)count;
        report->documents += (int64_t)made_count;
        count_broken(results, count, arena, report);
    }
    arena_free(&memory);
    return status;
}

static enum status project_rows(const struct projection_run *run,
                                const struct projection *projection, struct str tenant,
                                const struct recorded_event *rows, size_t count,
                                struct arena *arena, struct projection_rebuild_report *report)
{
    struct incoming slice[SLICE];
    size_t used = 0;
    enum status status = STATUS_OK;
    for (size_t at = 0; at < count && status == STATUS_OK; at++) {
        if (belongs(&rows[at], projection, tenant)) {
            slice[used++] = as_message(&rows[at]);
        }
        if (used == SLICE) {
            status = project_slice(run, slice, used, arena, report);
            used = 0;
        }
    }
    return status == STATUS_OK && used > 0 ? project_slice(run, slice, used, arena, report)
                                           : status;
}

enum { PAGE_BLOCK = 1024 * 1024, PAGE_MAX = 512 * 1024 * 1024 };

enum status projection_rebuild(const struct projection_run *run,
                               const struct projection *projection, struct str tenant, size_t page,
                               struct arena *arena, struct projection_rebuild_report *report)
{
    struct arena memory;
    arena_init(&memory, PAGE_BLOCK, PAGE_MAX);
    struct projection_rebuild_report made = {.cause = STR("")};
    struct log_cursor after = {0};
    enum status status = document_store_drop(run->documents, tenant, projection->collection);
    size_t count = 1;
    while (status == STATUS_OK && count > 0) {
        struct recorded_event *rows = NULL;
        arena_reset(&memory);
        status = event_store_read_tail(run->log, after, page, &memory, &rows, &count, &after);
        if (status == STATUS_OK) {
            status = project_rows(run, projection, tenant, rows, count, arena, &made);
        }
    }
    arena_free(&memory);
    if (status == STATUS_OK) {
        *report = made;
    }
    return status;
}

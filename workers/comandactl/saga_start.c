// SPDX-License-Identifier: Apache-2.0
// comandactl saga start --missing: what should have started a saga and has not is published again,
// to the sagas' queue alone. The saga daemon starts it; one that has begun meanwhile is not started
// twice.
#include "saga_start.h"

#include "infrastructure/postgres/binary.h"
#include "infrastructure/postgres/connection.h"
#include "infrastructure/postgres/event_store_postgres.h"
#include "republish.h"
#include "sagas.h"
#include "table.h"

enum { PAGE = 200, PAGE_BYTES_MAX = 256 * 1024 * 1024 };
#define SAGA_QUEUE STR("comanda.saga")

struct start {
    struct ctl *ctl;
    struct postgres *postgres;
    struct event_store *store;
    struct republish publish;
    struct table table; // of a dry run
    bool dry;
    int64_t limit;
    struct uuid after; // the last stream that is done
    int64_t count;
};

struct page {
    struct stream_query queries[PAGE];
    size_t count;
};

// Of streams in the order of their ids, those past the last one.
static const char missing_sql[] = "select m.stream_id, m.version from comanda.saga_missing m"
                                  " where m.stream_id > $1 and not exists"
                                  " (select from comanda.events e where e.stream_id = m.instance)"
                                  " order by m.stream_id, m.version limit $2";

static enum status read_missing(struct start *start, struct arena *arena, size_t limit,
                                struct page *page)
{
    static const Oid types[] = {OID_UUID, OID_INT4};
    struct statement statement;
    struct binary_params params;
    PGresult *result = NULL;
    binary_params_begin(&params, &statement, arena, "sagas_to_start", missing_sql, types);
    binary_param_uuid(&params, start->after);
    binary_param_int4(&params, (int32_t)limit);
    enum status status = params.status;
    if (status == STATUS_OK) {
        status = postgres_run(start->postgres, &statement, POSTGRES_READS, &result);
    }
    if (status != STATUS_OK) {
        return status;
    }
    struct binary_row row = {.result = result};
    page->count = (size_t)PQntuples(result);
    for (size_t at = 0; at < page->count; at++) {
        row.row = (int)at;
        page->queries[at] = (struct stream_query){.stream = binary_uuid(&row, 0),
                                                  .after_version = binary_int4(&row, 1) - 1,
                                                  .until_version = binary_int4(&row, 1)};
    }
    PQclear(result);
    return row.bad ? STATUS_MALFORMED : STATUS_OK;
}

static void list_row(struct start *start, const struct recorded_event *row)
{
    const struct ctl *ctl = start->ctl;
    const struct str cells[] = {table_uuid(ctl, row->stream.bytes), row->category, row->type,
                                table_instant(ctl, row->recorded_at)};
    (void)table_add(&start->table, cells);
}

static enum status start_rows(struct start *start, const struct stream_rows *streams, size_t count,
                              struct arena *arena)
{
    const struct recorded_event **rows = arena_array(arena, count, sizeof(*rows));
    size_t found = 0, done = 0;
    if (rows == NULL) {
        return STATUS_NO_MEMORY;
    }
    for (size_t at = 0; at < count; at++) {
        if (streams[at].count == 1) {
            rows[found++] = &streams[at].rows[0];
        }
    }
    for (size_t at = 0; start->dry && at < found; at++) {
        list_row(start, rows[at]);
    }
    if (start->dry) {
        start->count += (int64_t)found;
        return STATUS_OK;
    }
    enum status status = republish_rows(&start->publish, rows, found, &done);
    start->count += (int64_t)done;
    return status;
}

static enum status start_page(struct start *start, struct arena *arena, bool *more)
{
    struct page *page = arena_alloc(arena, sizeof(*page));
    struct stream_rows *streams = arena_array(arena, PAGE, sizeof(*streams));
    int64_t left = start->limit - start->count;
    size_t most = left < PAGE ? (size_t)left : PAGE;
    if (page == NULL || streams == NULL) {
        return STATUS_NO_MEMORY;
    }
    enum status status = read_missing(start, arena, most, page);
    *more = status == STATUS_OK && page->count == most && most == PAGE;
    if (status != STATUS_OK || page->count == 0) {
        return status;
    }
    status = event_store_read(start->store, page->queries, page->count, 1, arena, streams);
    if (status == STATUS_OK) {
        start->after = page->queries[page->count - 1].stream;
        status = start_rows(start, streams, page->count, arena);
    }
    return status;
}

static enum status start_all(struct start *start)
{
    struct arena arena;
    bool more = true;
    enum status status = STATUS_OK;
    arena_init(&arena, 256 * 1024, PAGE_BYTES_MAX);
    while (status == STATUS_OK && more && !republish_stopped()) {
        if (!start->dry) {
            arena_reset(&arena); // a dry run's table shows texts of the rows
        }
        status = start_page(start, &arena, &more);
    }
    if (status == STATUS_OK && start->dry) {
        table_print(&start->table, "no saga is missing");
    }
    arena_free(&arena);
    return status;
}

static enum ctl_exit report(struct start *start, enum status status)
{
    struct ctl *ctl = start->ctl;
    if (status != STATUS_OK) {
        const char *why = postgres_error(start->postgres);
        return ctl_fail(ctl, ctl_exit_of(status),
                        "after %lld start events: %s (run it again: those that have begun are not"
                        " started twice)",
                        (long long)start->count,
                        why[0] != '\0' || start->dry ? why
                                                     : republish_cause(&start->publish, status));
    }
    if (start->dry) {
        return start->count == 0 ? CTL_OK : CTL_NO;
    }
    if (ctl->json) {
        printf("{\"queue\":\"%.*s\",\"published\":%lld,\"stopped\":%s}\n", STR_FMT(SAGA_QUEUE),
               (long long)start->count, republish_stopped() ? "true" : "false");
    } else {
        printf("%lld start events were given to %.*s again%s\n", (long long)start->count,
               STR_FMT(SAGA_QUEUE), republish_stopped() ? "; stopped, run it again" : "");
    }
    return republish_stopped() ? CTL_NO : CTL_OK;
}

static enum ctl_exit read_line(struct ctl *ctl, struct start *start)
{
    static const struct table_column columns[] = {{"stream", TABLE_TEXT},
                                                  {"category", TABLE_TEXT},
                                                  {"type", TABLE_TEXT},
                                                  {"recorded_at", TABLE_TEXT}};
    const char *limit = ctl_option_value(ctl, "--limit");
    *start = (struct start){
        .ctl = ctl, .dry = ctl_option_value(ctl, "--dry-run") != NULL, .limit = INT64_MAX};
    table_begin(&start->table, ctl, columns, sizeof(columns) / sizeof(columns[0]));
    if (ctl_option_value(ctl, "--missing") == NULL) {
        return ctl_fail(ctl, CTL_USAGE, "say which: --missing starts what sagas_missing counts");
    }
    if (limit != NULL && (!str_to_int64(str_from(limit), &start->limit) || start->limit < 1)) {
        return ctl_fail(ctl, CTL_USAGE, "--limit %s: write a number above 0", limit);
    }
    return CTL_OK;
}

enum ctl_exit saga_start_run(struct ctl *ctl)
{
    struct start start;
    enum ctl_exit code = read_line(ctl, &start);
    if (code == CTL_OK && !start.dry) {
        code = republish_open(ctl, &start.publish);
        start.publish.queue = SAGA_QUEUE;
    }
    start.postgres = code == CTL_OK ? ctl_postgres(ctl, &code) : NULL;
    if (start.postgres != NULL) {
        start.store = event_store_postgres_new(start.postgres);
        code = start.store == NULL ? ctl_fail(ctl, CTL_INTERNAL, "no memory")
                                   : report(&start, start_all(&start));
    }
    event_store_postgres_free(start.store);
    postgres_free(start.postgres);
    republish_close(&start.publish);
    return code;
}

const struct ctl_option saga_start_options[] = {
    {"--missing", NULL, "those whose start event has come to nothing (comanda_sagas_missing)"},
    {"--dry-run", NULL, "list them, start none; exit 1 when there are any"},
    {"--limit", "N", "at most so many, the oldest first"},
    REPUBLISH_OPTIONS,
    {NULL, NULL, NULL},
};

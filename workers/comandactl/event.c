// SPDX-License-Identifier: Apache-2.0
// comandactl event: shows a stream of the log, or the log's newest rows as they come, or publishes
// rows again (replay.c).
#include <signal.h>
#include <time.h>

#include "infrastructure/postgres/binary.h"
#include "infrastructure/postgres/connection.h"
#include "infrastructure/postgres/event_store_postgres.h"
#include "replay.h"
#include "table.h"

enum { SHOW_MAX = 1000, TAIL_DEFAULT = 20, TAIL_MAX = 10000, FOLLOW_ROWS = 500, FOLLOW_MS = 300 };

static const struct table_column show_columns[] = {
    {"version", TABLE_NUMBER},   {"kind", TABLE_TEXT},     {"type", TABLE_TEXT},
    {"recorded_at", TABLE_TEXT}, {"event_id", TABLE_TEXT}, {"data", TABLE_JSON},
    {"meta", TABLE_JSON}};
enum { SHOW_COLUMNS = 7, SHOW_COLUMNS_FOR_PEOPLE = 6 };

static struct str kind_text(enum record_kind kind)
{
    switch (kind) {
    case RECORD_EVENT:
        return STR("event");
    case RECORD_COMMAND:
        return STR("command");
    case RECORD_REPLY:
        return STR("reply");
    }
    return STR("?");
}

static bool option_number(const struct ctl *ctl, const char *name, int64_t low, int64_t high,
                          int64_t *number)
{
    const char *text = ctl_option_value(ctl, name);
    if (text == NULL) {
        return true;
    }
    int64_t value;
    if (!str_to_int64(str_from(text), &value) || value < low || value > high) {
        ctl_fail(ctl, CTL_USAGE, "%s %s: write a number from %lld to %lld", name, text,
                 (long long)low, (long long)high);
        return false;
    }
    *number = value;
    return true;
}

// --- show

static void add_row(struct table *table, const struct recorded_event *row)
{
    const struct ctl *ctl = table->ctl;
    const struct str cells[] = {table_number(ctl, row->version),
                                kind_text(row->kind),
                                row->type,
                                table_instant(ctl, row->recorded_at),
                                table_uuid(ctl, row->id.bytes),
                                row->data,
                                row->meta};
    (void)table_add(table, cells);
}

static enum ctl_exit show(struct ctl *ctl, struct event_store *store, struct stream_query query,
                          size_t limit)
{
    struct stream_rows rows = {0};
    enum status status = event_store_read(store, &query, 1, limit, ctl->arena, &rows);
    if (status != STATUS_OK) {
        return ctl_fail(ctl, ctl_exit_of(status), "the log cannot be read: %s",
                        status_text(status));
    }
    if (rows.count == 0 && query.after_version == 0) {
        return ctl_fail(ctl, CTL_NO, "there is no stream %s", ctl->arguments[0]);
    }
    struct table table;
    table_begin(&table, ctl, show_columns, ctl->json ? SHOW_COLUMNS : SHOW_COLUMNS_FOR_PEOPLE);
    for (size_t at = 0; at < rows.count; at++) {
        add_row(&table, &rows.rows[at]);
    }
    table_print(&table, "nothing after that version");
    if (rows.more && !ctl->json) {
        printf("there is more: go on with --after %d\n", rows.rows[rows.count - 1].version);
    }
    return CTL_OK;
}

static enum ctl_exit run_show(struct ctl *ctl)
{
    struct stream_query query = {.after_version = 0};
    int64_t after = 0, limit = SHOW_MAX;
    if (!uuid_parse(str_from(ctl->arguments[0]), true, &query.stream)) {
        return ctl_fail(ctl, CTL_USAGE, "%s is no stream id: write a UUID, such as an order's id",
                        ctl->arguments[0]);
    }
    if (!option_number(ctl, "--after", 0, INT32_MAX, &after) ||
        !option_number(ctl, "--limit", 1, SHOW_MAX, &limit)) {
        return CTL_USAGE;
    }
    query.after_version = (int32_t)after;
    enum ctl_exit code = CTL_OK;
    struct postgres *postgres = ctl_postgres(ctl, &code);
    if (postgres == NULL) {
        return code;
    }
    struct event_store *store = event_store_postgres_new(postgres);
    code = store == NULL ? ctl_fail(ctl, CTL_INTERNAL, "no memory")
                         : show(ctl, store, query, (size_t)limit);
    event_store_postgres_free(store);
    postgres_free(postgres);
    return code;
}

// --- tail

static const struct table_column tail_columns[] = {
    {"recorded_at", TABLE_TEXT}, {"category", TABLE_TEXT}, {"kind", TABLE_TEXT},
    {"type", TABLE_TEXT},        {"stream", TABLE_TEXT},   {"version", TABLE_NUMBER},
    {"position", TABLE_NUMBER},  {"data", TABLE_JSON}};
static const int tail_widths[] = {24, 11, 7, 20, 36, 4, 8, 0};

struct tail {
    struct ctl *ctl;
    struct event_store *store;
    struct table table;
    struct str category; // empty: all
    struct str type;
};

static volatile sig_atomic_t asked_to_end;

static void ask_to_end(int signal_number)
{
    (void)signal_number;
    asked_to_end = 1;
}

static void print_row(const struct tail *tail, const struct recorded_event *row)
{
    const struct ctl *ctl = tail->ctl;
    if ((tail->category.len > 0 && !str_eq(row->category, tail->category)) ||
        (tail->type.len > 0 && !str_eq(row->type, tail->type))) {
        return;
    }
    const struct str cells[] = {table_instant(ctl, row->recorded_at),
                                row->category,
                                kind_text(row->kind),
                                row->type,
                                table_uuid(ctl, row->stream.bytes),
                                table_number(ctl, row->version),
                                table_number(ctl, row->at.position),
                                row->data};
    table_print_row(&tail->table, cells, tail_widths);
}

// Where the last `rows` rows begin: their cursor, exclusive.
static enum status find_start(const struct tail *tail, struct postgres *postgres, int64_t rows,
                              struct log_cursor *start)
{
    static const Oid types[] = {OID_INT8};
    struct statement statement;
    struct binary_params params;
    binary_params_begin(&params, &statement, tail->ctl->arena, "tail_start",
                        "select epoch, tx::text::int8, position from comanda.events"
                        " order by epoch desc, tx desc, position desc offset $1 limit 1",
                        types);
    binary_param_int8(&params, rows);
    PGresult *result = NULL;
    enum status status = postgres_run(postgres, &statement, POSTGRES_READS, &result);
    if (status != STATUS_OK) {
        return status;
    }
    *start = (struct log_cursor){0};
    if (PQntuples(result) == 1) {
        struct binary_row row = {.result = result};
        *start = (struct log_cursor){binary_int4(&row, 0), (uint64_t)binary_int8(&row, 1),
                                     binary_int8(&row, 2)};
    }
    PQclear(result);
    return STATUS_OK;
}

// Prints what is settled after the cursor, page by page.
static enum status print_on(struct tail *tail, struct log_cursor *cursor)
{
    struct arena page;
    arena_init(&page, 256 * 1024, 512 * 1024 * 1024);
    struct recorded_event *rows = NULL;
    size_t count = 1;
    enum status status = STATUS_OK;
    while (status == STATUS_OK && count > 0 && !asked_to_end) {
        arena_reset(&page);
        status =
            event_store_read_tail(tail->store, *cursor, FOLLOW_ROWS, &page, &rows, &count, cursor);
        for (size_t at = 0; status == STATUS_OK && at < count; at++) {
            struct ctl ctl = *tail->ctl; // cells live as long as the page
            ctl.arena = &page;
            struct tail paged = *tail;
            paged.ctl = &ctl;
            print_row(&paged, &rows[at]);
        }
    }
    arena_free(&page);
    (void)fflush(stdout);
    return status;
}

static enum status follow(struct tail *tail, struct log_cursor *cursor)
{
    const struct timespec pause = {.tv_nsec = FOLLOW_MS * 1000000L};
    enum status status = STATUS_OK;
    while (!asked_to_end && !ferror(stdout)) {
        (void)nanosleep(&pause, NULL);
        status = print_on(tail, cursor);
        if (status != STATUS_OK && status != STATUS_UNAVAILABLE && status != STATUS_TIMEOUT) {
            return status;
        }
    }
    return STATUS_OK;
}

static enum ctl_exit tail_log(struct tail *tail, struct postgres *postgres, int64_t rows)
{
    struct log_cursor cursor;
    enum status status = find_start(tail, postgres, rows, &cursor);
    if (status == STATUS_OK) {
        status = print_on(tail, &cursor);
    }
    if (status == STATUS_OK && ctl_option_value(tail->ctl, "--follow") != NULL) {
        status = follow(tail, &cursor);
    }
    return status == STATUS_OK ? CTL_OK
                               : ctl_fail(tail->ctl, ctl_exit_of(status),
                                          "the log cannot be read: %s", postgres_error(postgres));
}

static enum ctl_exit run_tail(struct ctl *ctl)
{
    int64_t rows = TAIL_DEFAULT;
    if (!option_number(ctl, "--rows", 0, TAIL_MAX, &rows)) {
        return CTL_USAGE;
    }
    enum ctl_exit code = CTL_OK;
    struct postgres *postgres = ctl_postgres(ctl, &code);
    if (postgres == NULL) {
        return code;
    }
    (void)signal(SIGINT, ask_to_end);
    (void)signal(SIGTERM, ask_to_end);
    struct tail tail = {.ctl = ctl,
                        .store = event_store_postgres_new(postgres),
                        .category = str_from(ctl_option_value(ctl, "--category")),
                        .type = str_from(ctl_option_value(ctl, "--type"))};
    table_begin(&tail.table, ctl, tail_columns, sizeof(tail_columns) / sizeof(tail_columns[0]));
    code = tail.store == NULL ? ctl_fail(ctl, CTL_INTERNAL, "no memory")
                              : tail_log(&tail, postgres, rows);
    event_store_postgres_free(tail.store);
    postgres_free(postgres);
    return code;
}

static const struct ctl_option show_options[] = {
    {"--after", "VERSION", "only what comes after this version"},
    {"--limit", "N", "at most so many rows, 1 to 1000"},
    {NULL, NULL, NULL},
};

static const struct ctl_option tail_options[] = {
    {"--rows", "N", "begin so many rows before the end (20)"},
    {"--follow", NULL, "stay and print what comes, until Ctrl-C"},
    {"--category", "NAME", "only streams of this category, such as order"},
    {"--type", "NAME", "only rows of this type, such as OrderPlaced"},
    {NULL, NULL, NULL},
};

static const struct ctl_verb verbs[] = {
    {"show", "STREAM", 1, 1, "print a stream of the log, such as an order by its id", show_options,
     run_show},
    {"tail", "", 0, 0, "print the log's newest rows; with --json one object a line", tail_options,
     run_tail},
    {"replay", "", 0, 0,
     "publish rows again, for who may have missed them; consumers take a repeat without harm",
     replay_options, replay_run},
    {NULL, NULL, 0, 0, NULL, NULL, NULL},
};

const struct ctl_noun ctl_event = {
    .name = "event",
    .summary = "the log's events, commands and replies",
    .verbs = verbs,
    .examples = "  comandactl event show 0193ab3c-1d2e-7f00-8a1b-2c3d4e5f6071\n"
                "  comandactl event tail --follow --category order\n"
                "  comandactl event replay --since 2026-11-24T06:00:00Z --dry-run\n"
                "  comandactl event replay --after 1.4711.90210 --queue saga --rate 200\n",
};

// SPDX-License-Identifier: Apache-2.0
// comandactl event replay: rows of the log are published again, for who may have missed them.
#include "replay.h"

#include <inttypes.h>
#include <string.h>

#include "application/relay/replay.h"
#include "infrastructure/codec/cloud_event.h"
#include "infrastructure/postgres/binary.h"
#include "infrastructure/postgres/event_store_postgres.h"
#include "infrastructure/rabbitmq/topology.h"
#include "republish.h"
#include "sagas.h"
#include "table.h"

enum { PAGE_ROWS = 500, PAGE_BYTES_MAX = 512 * 1024 * 1024, TALLY_MAX = 256 };
#define LIMIT_MAX INT64_C(1000000000000)
#define TRANSACTION_US (INT64_C(600) * 1000000)
#define WITHOUT_MILLIS_LEN 20 // 2026-11-24T06:52:25Z

// Rows of one sort, for a dry run.
struct tally {
    enum record_kind kind;
    struct str category;
    struct str type;
    int64_t rows;
};

struct replay {
    struct ctl *ctl;
    struct postgres *postgres;
    struct event_store *store;
    struct republish publish;
    struct topology topology;
    struct replay_filter filter;
    struct uuid stream; // of_stream
    bool of_stream;
    bool dry;
    struct str queue; // empty: all
    int64_t limit;
    int64_t chosen;
    struct log_cursor reached;
    struct tally tallies[TALLY_MAX];
    size_t tally_count;
    int64_t others; // past TALLY_MAX sorts
};

// --- what is asked for

static bool parse_time(struct str text, struct arena *arena, instant_us *at)
{
    if (text.len == WITHOUT_MILLIS_LEN && text.data[text.len - 1] == 'Z') {
        text = arena_printf(arena, "%.*s.000Z", (int)text.len - 1, text.data);
    }
    return text.data != NULL && instant_parse(text, at);
}

static bool read_time(struct ctl *ctl, const char *name, instant_us *at)
{
    const char *text = ctl_option_value(ctl, name);
    if (text == NULL || parse_time(str_from(text), ctl->arena, at)) {
        return true;
    }
    ctl_fail(ctl, CTL_USAGE, "%s %s: write a time in UTC, such as 2026-11-24T06:52:25Z", name,
             text);
    return false;
}

static bool read_place(struct ctl *ctl, struct log_cursor *after)
{
    const char *text = ctl_option_value(ctl, "--after");
    if (text == NULL || replay_place_parse(str_from(text), after)) {
        return true;
    }
    ctl_fail(ctl, CTL_USAGE,
             "--after %s: write a position as messages carry it, <epoch>.<tx>.<position>; 0.0.0 is"
             " before all",
             text);
    return false;
}

static bool read_stream(struct ctl *ctl, struct replay *replay)
{
    const char *text = ctl_option_value(ctl, "--stream");
    replay->of_stream = text != NULL;
    if (text == NULL || uuid_parse(str_from(text), true, &replay->stream)) {
        return true;
    }
    ctl_fail(ctl, CTL_USAGE, "--stream %s: write a UUID, such as an order's id", text);
    return false;
}

static bool read_limit(struct ctl *ctl, int64_t *limit)
{
    const char *text = ctl_option_value(ctl, "--limit");
    *limit = LIMIT_MAX;
    if (text == NULL || (str_to_int64(str_from(text), limit) && *limit > 0 && *limit < LIMIT_MAX)) {
        return true;
    }
    ctl_fail(ctl, CTL_USAGE, "--limit %s: write a number above 0", text);
    return false;
}

// "saga" and "comanda.saga" name the same.
static bool is_named(const struct topology_queue *queue, struct str given)
{
    struct str prefix = STR("comanda.");
    struct str name = queue->name;
    return queue->role == QUEUE_WORK &&
           (str_eq(name, given) ||
            (str_starts_with(name, prefix) &&
             str_eq((struct str){name.data + prefix.len, name.len - prefix.len}, given)));
}

static enum ctl_exit find_queue(struct replay *replay)
{
    const char *given = ctl_option_value(replay->ctl, "--queue");
    const struct saga_definitions *sagas = NULL;
    if (given == NULL) {
        return CTL_OK;
    }
    enum ctl_exit code = ctl_sagas(replay->ctl, &sagas);
    if (code == CTL_OK) {
        code = ctl_topology(replay->ctl, sagas, &replay->topology);
    }
    for (size_t at = 0; code == CTL_OK && at < replay->topology.queue_count; at++) {
        if (is_named(&replay->topology.queues[at], str_from(given))) {
            replay->queue = replay->topology.queues[at].name;
            return CTL_OK;
        }
    }
    return code != CTL_OK
               ? code
               : ctl_fail(replay->ctl, CTL_USAGE,
                          "there is no queue %s; comandactl topology list shows them", given);
}

static enum ctl_exit read_line(struct ctl *ctl, struct replay *replay)
{
    struct replay_filter *filter = &replay->filter;
    *replay = (struct replay){
        .ctl = ctl,
        .filter = {.category = str_from(ctl_option_value(ctl, "--category")),
                   .type = str_from(ctl_option_value(ctl, "--type")),
                   .transaction_us = TRANSACTION_US},
        .dry = ctl_option_value(ctl, "--dry-run") != NULL,
    };
    if (!read_place(ctl, &replay->reached) || !read_time(ctl, "--since", &filter->since) ||
        !read_time(ctl, "--until", &filter->until) || !read_stream(ctl, replay) ||
        !read_limit(ctl, &replay->limit)) {
        return CTL_USAGE;
    }
    int starts =
        (ctl_option_value(ctl, "--after") != NULL) + (filter->since != 0) + replay->of_stream;
    if (starts != 1) {
        return ctl_fail(ctl, CTL_USAGE,
                        "give one of --after POSITION, --since TIME and --stream"
                        " ID; --after 0.0.0 is the whole log");
    }
    if (filter->until != 0 && filter->since > filter->until) {
        return ctl_fail(ctl, CTL_USAGE, "--until is before --since");
    }
    return find_queue(replay);
}

// --- which rows

// Would the queue have had it from the relay?
static bool is_for_queue(const struct replay *replay, const struct message *message)
{
    for (size_t at = 0; at < replay->topology.binding_count; at++) {
        const struct topology_binding *binding = &replay->topology.bindings[at];
        if (str_eq(binding->queue, replay->queue) && str_eq(binding->exchange, message->exchange) &&
            topology_pattern_matches(binding->key, message->routing_key)) {
            return true;
        }
    }
    return false;
}

static bool is_chosen(const struct replay *replay, const struct recorded_event *row,
                      struct arena *arena)
{
    struct message message;
    if (!replay_wants(&replay->filter, row)) {
        return false;
    }
    return replay->queue.len == 0 || (cloud_event_encode(row, arena, &message) == STATUS_OK &&
                                      is_for_queue(replay, &message));
}

static void count_row(struct replay *replay, const struct recorded_event *row)
{
    for (size_t at = 0; at < replay->tally_count; at++) {
        struct tally *tally = &replay->tallies[at];
        if (tally->kind == row->kind && str_eq(tally->category, row->category) &&
            str_eq(tally->type, row->type)) {
            tally->rows++;
            return;
        }
    }
    if (replay->tally_count == TALLY_MAX) {
        replay->others++;
        return;
    }
    struct arena *arena = replay->ctl->arena;
    replay->tallies[replay->tally_count++] =
        (struct tally){row->kind, arena_str(arena, row->category), arena_str(arena, row->type), 1};
}

// Publishes (or counts) the chosen of a page; replay->reached is then the last row that is done.
// *more: nothing has been left out, and the end has not come.
static enum status take_page(struct replay *replay, const struct recorded_event *rows, size_t count,
                             struct arena *arena, bool *more)
{
    const struct recorded_event **chosen = arena_array(arena, count, sizeof(*chosen));
    size_t chosen_count = 0, seen = 0, done = 0;
    if (chosen == NULL) {
        return STATUS_NO_MEMORY;
    }
    for (; seen < count && replay->chosen < replay->limit; seen++) {
        if (replay_is_past(&replay->filter, &rows[seen])) {
            break;
        }
        if (is_chosen(replay, &rows[seen], arena)) {
            chosen[chosen_count++] = &rows[seen];
            replay->chosen++;
        }
    }
    enum status status = STATUS_OK;
    for (size_t at = 0; replay->dry && at < chosen_count; at++) {
        count_row(replay, chosen[at]);
    }
    if (!replay->dry) {
        status = republish_rows(&replay->publish, chosen, chosen_count, &done);
    }
    bool all = status == STATUS_OK && (replay->dry || done == chosen_count);
    if (all && seen > 0) {
        replay->reached = rows[seen - 1].at;
        if (!replay->dry) {
            republish_tell(&replay->publish, replay->reached, rows[seen - 1].recorded_at);
        }
    } else if (done > 0) {
        replay->reached = chosen[done - 1]->at;
    }
    *more = all && seen == count && !republish_stopped();
    return status;
}

// --- the log, page by page

static enum status replay_log(struct replay *replay)
{
    struct arena page;
    bool more = true;
    enum status status = STATUS_OK;
    arena_init(&page, 256 * 1024, PAGE_BYTES_MAX);
    while (status == STATUS_OK && more) {
        struct recorded_event *rows = NULL;
        struct log_cursor next;
        size_t count = 0;
        arena_reset(&page);
        status = event_store_read_tail(replay->store, replay->reached, PAGE_ROWS, &page, &rows,
                                       &count, &next);
        if (status == STATUS_OK && count > 0) {
            status = take_page(replay, rows, count, &page, &more);
        }
        more = more && count > 0;
    }
    arena_free(&page);
    return status;
}

static enum status replay_stream(struct replay *replay)
{
    struct arena page;
    bool more = true;
    struct stream_query query = {.stream = replay->stream};
    enum status status = STATUS_OK;
    arena_init(&page, 256 * 1024, PAGE_BYTES_MAX);
    while (status == STATUS_OK && more) {
        struct stream_rows rows = {0};
        arena_reset(&page);
        status = event_store_read(replay->store, &query, 1, PAGE_ROWS, &page, &rows);
        if (status == STATUS_OK && rows.count > 0) {
            status = take_page(replay, rows.rows, rows.count, &page, &more);
            query.after_version = rows.rows[rows.count - 1].version;
        }
        more = more && rows.more;
    }
    arena_free(&page);
    return status;
}

// A place in the log that a query finds; {0} where it finds none.
static enum status find_place(struct replay *replay, const char *name, const char *sql,
                              instant_us at, struct log_cursor *place)
{
    static const Oid types[] = {OID_TIMESTAMPTZ};
    struct statement statement;
    struct binary_params params;
    PGresult *result = NULL;
    binary_params_begin(&params, &statement, replay->ctl->arena, name, sql, types);
    binary_param_instant(&params, at);
    enum status status = params.status;
    if (status == STATUS_OK) {
        status = postgres_run(replay->postgres, &statement, POSTGRES_READS, &result);
    }
    if (status != STATUS_OK) {
        return status;
    }
    struct binary_row row = {.result = result};
    *place = (struct log_cursor){0};
    if (PQntuples(result) == 1) {
        *place = (struct log_cursor){binary_int4(&row, 0), (uint64_t)binary_int8(&row, 1),
                                     binary_int8(&row, 2)};
    }
    PQclear(result);
    return row.bad ? STATUS_MALFORMED : STATUS_OK;
}

// What is recorded from now on is the relay's.
static enum status replay_all(struct replay *replay)
{
    struct replay_filter *filter = &replay->filter;
    enum status status =
        find_place(replay, "replay_end",
                   "select epoch, tx, position from comanda.events where $1 is not null"
                   " order by epoch desc, tx desc, position desc limit 1",
                   0, &filter->end);
    if (status == STATUS_OK && filter->since != 0) {
        status =
            find_place(replay, "replay_start", "select epoch, tx, position from comanda.log_at($1)",
                       filter->since, &replay->reached);
    }
    if (status != STATUS_OK) {
        return status;
    }
    return replay->of_stream ? replay_stream(replay) : replay_log(replay);
}

// --- what came of it

static void print_tallies(const struct replay *replay)
{
    static const struct table_column columns[] = {{"kind", TABLE_TEXT},
                                                  {"category", TABLE_TEXT},
                                                  {"type", TABLE_TEXT},
                                                  {"rows", TABLE_NUMBER}};
    const struct ctl *ctl = replay->ctl;
    struct table table;
    table_begin(&table, ctl, columns, sizeof(columns) / sizeof(columns[0]));
    for (size_t at = 0; at < replay->tally_count; at++) {
        const struct tally *tally = &replay->tallies[at];
        const struct str cells[] = {cloud_event_kind(tally->kind), tally->category, tally->type,
                                    table_number(ctl, tally->rows)};
        (void)table_add(&table, cells);
    }
    if (replay->others > 0) {
        const struct str cells[] = {STR("more"), STR("-"), STR("-"),
                                    table_number(ctl, replay->others)};
        (void)table_add(&table, cells);
    }
    table_print(&table, "nothing would be published");
}

static enum ctl_exit print_outcome(const struct replay *replay)
{
    struct str place = replay_place_format(replay->reached, replay->ctl->arena);
    bool stopped = republish_stopped();
    if (replay->ctl->json) {
        printf("{\"published\":%" PRId64 ",\"unrouted\":%" PRId64
               ",\"reached\":\"%.*s\",\"stopped\":%s}\n",
               replay->publish.published, replay->publish.unwanted, STR_FMT(place),
               stopped ? "true" : "false");
    } else {
        printf("%" PRId64 " rows were published again (%" PRId64 " that no queue wants)\n",
               replay->publish.published, replay->publish.unwanted);
        printf(!stopped            ? "up to %.*s\n"
               : replay->of_stream ? "stopped at %.*s; run it again\n"
                                   : "stopped; go on with --after %.*s\n",
               STR_FMT(place));
    }
    return stopped ? CTL_NO : CTL_OK;
}

static enum ctl_exit report(struct replay *replay, enum status status)
{
    if (status != STATUS_OK) {
        struct str place = replay_place_format(replay->reached, replay->ctl->arena);
        const char *why = postgres_error(replay->postgres);
        return ctl_fail(replay->ctl, ctl_exit_of(status),
                        "after %" PRId64 " rows, at %.*s (go on with --after): %s",
                        replay->publish.published, STR_FMT(place),
                        why[0] != '\0' || replay->dry ? why
                                                      : republish_cause(&replay->publish, status));
    }
    if (replay->dry) {
        print_tallies(replay);
        return CTL_OK;
    }
    return print_outcome(replay);
}

enum ctl_exit replay_run(struct ctl *ctl)
{
    static struct replay replay; // too much for a stack
    enum ctl_exit code = read_line(ctl, &replay);
    if (code == CTL_OK && !replay.dry) {
        code = republish_open(ctl, &replay.publish);
        replay.publish.queue = replay.queue;
    }
    replay.publish.ctl = ctl;
    replay.postgres = code == CTL_OK ? ctl_postgres(ctl, &code) : NULL;
    if (replay.postgres != NULL) {
        replay.store = event_store_postgres_new(replay.postgres);
        code = replay.store == NULL ? ctl_fail(ctl, CTL_INTERNAL, "no memory")
                                    : report(&replay, replay_all(&replay));
    }
    event_store_postgres_free(replay.store);
    postgres_free(replay.postgres);
    republish_close(&replay.publish);
    return code;
}

const struct ctl_option replay_options[] = {
    {"--after", "POSITION", "what comes after it, <epoch>.<tx>.<position>; 0.0.0: all"},
    {"--since", "TIME", "what was recorded then or later, in UTC: 2026-11-24T06:52:25Z"},
    {"--stream", "ID", "one stream, such as an order's"},
    {"--until", "TIME", "what was recorded then or before (else: all up to now)"},
    {"--category", "NAME", "only streams of this category, such as order"},
    {"--type", "NAME", "only rows of this type, such as OrderPlaced"},
    {"--queue", "QUEUE", "only to this queue, what it would have had; else to whom it concerns"},
    {"--limit", "N", "at most so many"},
    {"--dry-run", NULL, "count what would be published, by kind, category and type"},
    {"--sagas", "FOLDER", "for --queue: the definitions (else COMANDA_SAGAS, else conf/sagas)"},
    REPUBLISH_OPTIONS,
    {NULL, NULL, NULL},
};

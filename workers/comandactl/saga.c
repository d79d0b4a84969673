// SPDX-License-Identifier: Apache-2.0
// comandactl saga: lists and shows instances, begins a parked one afresh, aborts a running one,
// starts those that are missing (saga_start.c).
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "application/handler/handler_run.h"
#include "application/saga/decide.h"
#include "application/saga/saga_handler.h"
#include "application/saga/state.h"
#include "infrastructure/postgres/connection.h"
#include "infrastructure/postgres/event_store_postgres.h"
#include "infrastructure/postgres/saga_watch.h"
#include "infrastructure/postgres/server_clock.h"
#include "saga_start.h"
#include "sagas.h"
#include "table.h"

enum {
    LIST_DEFAULT = 50,
    LIST_MAX = 1000,
    PAGE = 500,
    DAYS_DEFAULT = 30,
    DAYS_MAX = 3650,
    ROWS_AT_ONCE = 1000,
    CONTENTION_MS = 10000 // how long a person waits for an instance that others write to
};
#define DAY_US (INT64_C(86400) * 1000000)

static instant_us now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (instant_us)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static bool read_number(const struct ctl *ctl, const char *name, int64_t high, int64_t *number)
{
    const char *text = ctl_option_value(ctl, name);
    if (text != NULL && (!str_to_int64(str_from(text), number) || *number < 1 || *number > high)) {
        ctl_fail(ctl, CTL_USAGE, "%s %s: write a number from 1 to %lld", name, text,
                 (long long)high);
        return false;
    }
    return true;
}

// --- list

static const struct {
    struct str type;
    const char *state;
} states[] = {{{"SagaStarted", 11}, "running"},
              {{"SagaAdvanced", 12}, "running"},
              {{"SagaParked", 10}, "parked"},
              {{"SagaCompleted", 13}, "done"},
              {{"SagaCompensated", 15}, "compensated"}};

static struct str state_of(struct str type)
{
    for (size_t at = 0; at < sizeof(states) / sizeof(states[0]); at++) {
        if (str_eq(states[at].type, type)) {
            return str_from(states[at].state);
        }
    }
    return type;
}

static const struct table_column list_columns[] = {
    {"saga", TABLE_TEXT},         {"name", TABLE_TEXT},       {"subject", TABLE_TEXT},
    {"state", TABLE_TEXT},        {"started_at", TABLE_TEXT}, {"changed_at", TABLE_TEXT},
    {"definition", TABLE_NUMBER}, {"loaded", TABLE_TEXT},     {"version", TABLE_NUMBER},
    {"last_event", TABLE_JSON}};
enum { LIST_COLUMNS = 10, LIST_COLUMNS_FOR_PEOPLE = 9 };

static bool has_ended(const struct saga_listed *saga)
{
    return str_eq(saga->type, STR("SagaCompleted")) || str_eq(saga->type, STR("SagaCompensated"));
}

// Is the definition that a saga still needs in the folder? definitions NULL: that is not known.
static struct str loaded(const struct saga_definitions *definitions, const struct saga_listed *saga)
{
    if (definitions == NULL || has_ended(saga)) {
        return (struct str){NULL, 0};
    }
    return saga_definitions_find(definitions, saga->name, saga->definition) != NULL ? STR("yes")
                                                                                    : STR("no");
}

static void add_listed(struct table *table, const struct saga_definitions *definitions,
                       const struct saga_listed *saga)
{
    const struct ctl *ctl = table->ctl;
    const struct str cells[] = {
        table_uuid(ctl, saga->saga.bytes),    saga->name,
        table_uuid(ctl, saga->subject.bytes), state_of(saga->type),
        table_instant(ctl, saga->started_at), table_instant(ctl, saga->changed_at),
        table_number(ctl, saga->definition),  loaded(definitions, saga),
        table_number(ctl, saga->version),     saga->data};
    (void)table_add(table, cells);
}

// Pages through the instances and keeps those of the wanted state.
static enum status list_pages(struct ctl *ctl, struct postgres *postgres, const char *wanted,
                              instant_us since, size_t limit, struct table *table)
{
    struct uuid last;
    const struct uuid *before = NULL;
    struct saga_listed *listed = NULL;
    const struct saga_definitions *definitions = ctl_sagas_if_readable(ctl);
    size_t count = PAGE;
    enum status status = STATUS_OK;
    while (status == STATUS_OK && count == PAGE && table->row_count < limit) {
        status = saga_watch_list(postgres, since, before, PAGE, ctl->arena, &listed, &count);
        for (size_t at = 0; status == STATUS_OK && at < count && table->row_count < limit; at++) {
            if (wanted == NULL || str_eq(state_of(listed[at].type), str_from(wanted))) {
                add_listed(table, definitions, &listed[at]);
            }
            last = listed[at].saga;
            before = &last;
        }
    }
    return status;
}

static bool is_state(const char *text)
{
    for (size_t at = 0; at < sizeof(states) / sizeof(states[0]); at++) {
        if (strcmp(states[at].state, text) == 0) {
            return true;
        }
    }
    return false;
}

static enum ctl_exit run_list(struct ctl *ctl)
{
    int64_t limit = LIST_DEFAULT, days = DAYS_DEFAULT;
    const char *state = ctl_option_value(ctl, "--state");
    if (!read_number(ctl, "--limit", LIST_MAX, &limit) ||
        !read_number(ctl, "--days", DAYS_MAX, &days)) {
        return CTL_USAGE;
    }
    if (state != NULL && !is_state(state)) {
        return ctl_fail(ctl, CTL_USAGE, "--state %s: write running, parked, done or compensated",
                        state);
    }
    enum ctl_exit code = CTL_OK;
    struct postgres *postgres = ctl_postgres(ctl, &code);
    if (postgres == NULL) {
        return code;
    }
    struct table table;
    table_begin(&table, ctl, list_columns, ctl->json ? LIST_COLUMNS : LIST_COLUMNS_FOR_PEOPLE);
    enum status status =
        list_pages(ctl, postgres, state, now_us() - days * DAY_US, (size_t)limit, &table);
    if (status == STATUS_OK) {
        table_print(&table, "no such sagas");
    } else {
        code = ctl_fail(ctl, ctl_exit_of(status), "PostgreSQL: %s", postgres_error(postgres));
    }
    postgres_free(postgres);
    return code;
}

// --- one instance

struct instance {
    struct ctl *ctl;
    struct postgres *postgres;
    struct event_store *store;
    const struct saga_definitions *definitions;
    struct uuid id; // of its stream
    struct str tenant;
    struct saga_state *state;
    struct recorded_event *rows; // of the last page
    struct table history;
};

static const struct table_column history_columns[] = {{"version", TABLE_NUMBER},
                                                      {"recorded_at", TABLE_TEXT},
                                                      {"kind", TABLE_TEXT},
                                                      {"type", TABLE_TEXT},
                                                      {"data", TABLE_JSON}};

static enum status take_row(struct instance *instance, const struct recorded_event *row)
{
    const struct ctl *ctl = instance->ctl;
    const struct event_view view = {row->stream,         row->version, row->id,         row->type,
                                    row->schema_version, row->data,    row->recorded_at};
    const struct str cells[] = {
        table_number(ctl, row->version), table_instant(ctl, row->recorded_at),
        row->kind == RECORD_EVENT ? STR("event") : STR("command"), row->type, row->data};
    (void)table_add(&instance->history, cells);
    instance->tenant = row->tenant;
    return row->kind == RECORD_EVENT ? saga_fold()->evolve(instance->state, &view, ctl->arena)
                                     : STATUS_OK;
}

// STATUS_NOT_FOUND: no saga lies in this stream.
static enum status read_stream(struct instance *instance, struct uuid id)
{
    struct ctl *ctl = instance->ctl;
    struct stream_query query = {.stream = id};
    struct stream_rows rows = {.more = true};
    instance->id = id;
    instance->state = saga_fold()->initial(ctl->arena);
    enum status status = instance->state == NULL ? STATUS_NO_MEMORY : STATUS_OK;
    while (status == STATUS_OK && rows.more) {
        status = event_store_read(instance->store, &query, 1, ROWS_AT_ONCE, ctl->arena, &rows);
        if (status == STATUS_OK &&
            (rows.count == 0 || !str_eq(rows.rows[0].category, SAGA_CATEGORY))) {
            return STATUS_NOT_FOUND;
        }
        for (size_t at = 0; status == STATUS_OK && at < rows.count; at++) {
            status = take_row(instance, &rows.rows[at]);
            query.after_version = rows.rows[at].version;
        }
    }
    return status;
}

// The id may be the instance's own or its subject's, such as an order's.
static enum status find_instance(struct instance *instance, struct uuid id)
{
    enum status status = read_stream(instance, id);
    const struct saga_definitions *definitions = instance->definitions;
    for (size_t at = 0; status == STATUS_NOT_FOUND && at < definitions->count; at++) {
        status = read_stream(instance, uuid_derive(id, definitions->items[at].role));
    }
    return status;
}

static enum ctl_exit open_instance(struct ctl *ctl, struct instance *instance)
{
    struct uuid id;
    *instance = (struct instance){.ctl = ctl}; // first: it is closed whatever comes of it
    if (!uuid_parse(str_from(ctl->arguments[0]), true, &id)) {
        return ctl_fail(ctl, CTL_USAGE, "%s is no id: write a saga's or its order's UUID",
                        ctl->arguments[0]);
    }
    table_begin(&instance->history, ctl, history_columns,
                sizeof(history_columns) / sizeof(history_columns[0]));
    enum ctl_exit code = ctl_sagas_as_run(ctl, &instance->definitions);
    instance->postgres = code == CTL_OK ? ctl_postgres(ctl, &code) : NULL;
    if (instance->postgres == NULL) {
        return code;
    }
    instance->store = event_store_postgres_new(instance->postgres);
    enum status status = instance->store == NULL ? STATUS_NO_MEMORY : find_instance(instance, id);
    if (status == STATUS_NOT_FOUND) {
        return ctl_fail(ctl, CTL_NO, "there is no saga %s and none of a subject of that id",
                        ctl->arguments[0]);
    }
    return status == STATUS_OK ? CTL_OK
                               : ctl_fail(ctl, ctl_exit_of(status), "the saga cannot be read: %s",
                                          status_text(status));
}

static void close_instance(struct instance *instance)
{
    event_store_postgres_free(instance->store);
    postgres_free(instance->postgres);
}

// --- show

static void print_instance(const struct instance *instance)
{
    static const struct table_column columns[] = {
        {"saga", TABLE_TEXT},      {"name", TABLE_TEXT},      {"subject", TABLE_TEXT},
        {"state", TABLE_TEXT},     {"step", TABLE_TEXT},      {"direction", TABLE_TEXT},
        {"attempt", TABLE_NUMBER}, {"retries", TABLE_NUMBER}, {"code", TABLE_TEXT},
        {"detail", TABLE_TEXT}};
    const struct ctl *ctl = instance->ctl;
    const struct saga_state *state = instance->state;
    const struct str none = {NULL, 0};
    struct table table;
    table_begin(&table, ctl, columns, sizeof(columns) / sizeof(columns[0]));
    const struct str cells[] = {table_uuid(ctl, instance->id.bytes),
                                state->saga,
                                table_uuid(ctl, state->subject.bytes),
                                saga_phase_name(state->phase),
                                state->at.step,
                                saga_direction_name(state->at.direction),
                                table_number(ctl, state->at.attempt),
                                table_number(ctl, state->at.retry),
                                state->code.len == 0 ? none : state->code,
                                state->detail.len == 0 ? none : state->detail};
    (void)table_add(&table, cells);
    table_print(&table, "");
}

static enum ctl_exit run_show(struct ctl *ctl)
{
    struct instance instance;
    enum ctl_exit code = open_instance(ctl, &instance);
    if (code == CTL_OK) {
        print_instance(&instance);
        if (!ctl->json) {
            printf("\n");
        }
        table_print(&instance.history, "");
    }
    close_instance(&instance);
    return code;
}

// --- retry and abort

static struct uuid new_id(instant_us now)
{
    unsigned char random[10] = {0};
    (void)!getrandom(random, sizeof(random), 0);
    return uuid_v7(now / 1000, random);
}

static enum ctl_exit report_outcome(const struct instance *instance, enum status status,
                                    const struct message_result *result, const char *done)
{
    struct ctl *ctl = instance->ctl;
    if (status != STATUS_OK) {
        return ctl_fail(ctl, ctl_exit_of(status), "PostgreSQL: %s",
                        postgres_error(instance->postgres));
    }
    switch (result->outcome) {
    case MESSAGE_HANDLED:
        break;
    case MESSAGE_POISON:
        return ctl_fail(ctl, CTL_REFUSED, "refused: %.*s", STR_FMT(result->cause));
    case MESSAGE_TRANSIENT:
        return ctl_fail(ctl, CTL_UNAVAILABLE, "not done, try again: %.*s", STR_FMT(result->cause));
    }
    char id[UUID_TEXT_LEN];
    uuid_format(instance->id, id);
    if (ctl->json) {
        printf("{\"saga\":\"%.*s\",\"outcome\":\"%.*s\"}\n", UUID_TEXT_LEN, id,
               STR_FMT(result->label));
    } else {
        printf("saga %.*s %s (%.*s)\n", UUID_TEXT_LEN, id, done, STR_FMT(result->label));
    }
    return str_eq(result->label, STR("ignored")) ? CTL_NO : CTL_OK;
}

static bool pause_between(void *context, int ms)
{
    (void)context;
    return usleep((useconds_t)ms * 1000) == 0;
}

// As the saga daemon would handle it: load, decide, append with the version compared.
static enum ctl_exit operate(struct ctl *ctl, enum saga_operator_action action, const char *done)
{
    struct instance instance;
    enum ctl_exit code = open_instance(ctl, &instance);
    if (code == CTL_OK) {
        struct saga_handler handler = saga_handler(STR("operator"), instance.definitions);
        const struct handler_run run = {
            .handler = &handler.handler,
            .store = instance.store,
            .limits = {.contention_ms = CONTENTION_MS, .append_rows_max = APPEND_ROWS_MAX},
            .pause = pause_between,
        };
        instant_us now = 0; // PostgreSQL's, which judges the deadlines that are set by it
        const struct message_result *results = NULL;
        enum status status = postgres_server_clock(instance.postgres, &now);
        struct incoming message =
            saga_operator_message(action, new_id(now), instance.tenant, instance.id, now);
        if (status == STATUS_OK) {
            status = handler_run_batch(&run, &message, 1, ctl->arena, &results);
        }
        code = report_outcome(&instance, status, results, done);
    }
    close_instance(&instance);
    return code;
}

static enum ctl_exit run_retry(struct ctl *ctl)
{
    return operate(ctl, SAGA_OPERATOR_RETRY, "begins its attempts afresh");
}

static enum ctl_exit run_abort(struct ctl *ctl)
{
    return operate(ctl, SAGA_OPERATOR_ABORT, "undoes what it has done");
}

#define SAGAS_OPTION                                                                        \
    {                                                                                       \
        "--sagas", "FOLDER", "the sagas' definitions (else COMANDA_SAGAS, else conf/sagas)" \
    }

static const struct ctl_option list_options[] = {
    {"--state", "STATE", "only running, parked, done or compensated ones"},
    {"--days", "N", "begun in the last N days (30)"},
    {"--limit", "N", "at most so many, 1 to 1000 (50), the newest first"},
    SAGAS_OPTION,
    {NULL, NULL, NULL},
};

static const struct ctl_option one_options[] = {
    SAGAS_OPTION,
    {NULL, NULL, NULL},
};

static const struct ctl_verb verbs[] = {
    {"list", "", 0, 0, "list instances and where they stand", list_options, run_list},
    {"show", "ID", 1, 1, "show an instance, by its own id or its order's", one_options, run_show},
    {"retry", "ID", 1, 1, "begin a parked one's attempts afresh", one_options, run_retry},
    {"start", "", 0, 0, "start those that are missing, by their start events once more",
     saga_start_options, saga_start_run},
    {"abort", "ID", 1, 1, "undo a running one; refused once its confirm is out", one_options,
     run_abort},
    {NULL, NULL, 0, 0, NULL, NULL, NULL},
};

const struct ctl_noun ctl_saga = {
    .name = "saga",
    .summary = "instances of the sagas",
    .verbs = verbs,
    .examples = "  comandactl saga list --state parked\n"
                "  comandactl saga show 0193ab3c-1d2e-7f00-8a1b-2c3d4e5f6071\n"
                "  comandactl saga retry 0193ab3c-1d2e-7f00-8a1b-2c3d4e5f6071\n"
                "  comandactl saga start --missing --dry-run\n",
};

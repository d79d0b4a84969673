// SPDX-License-Identifier: Apache-2.0
// comandactl projection: how the read side stands, and its documents made anew from the log.
#include <inttypes.h>

#include "application/projection/projection_run.h"
#include "documents.h"
#include "domain/bounded_context.h"
#include "infrastructure/postgres/binary.h"
#include "infrastructure/postgres/cache_debt.h"
#include "infrastructure/postgres/connection.h"
#include "infrastructure/postgres/document_store_postgres.h"
#include "infrastructure/postgres/event_store_postgres.h"
#include "infrastructure/redis/connection.h"
#include "infrastructure/redis/document_store_redis.h"
#include "table.h"

enum { REDIS_TIMEOUT_MS = 5000, ROWS_MAX = 1000, PAGE_ROWS = 1000, PROJECTIONS_MAX = 64 };

enum ctl_exit ctl_cache_open(struct ctl *ctl, struct ctl_cache *cache)
{
    *cache = (struct ctl_cache){0};
    const char *address = ctl_setting(ctl, "--redis", "COMANDA_REDIS", NULL);
    if (address == NULL) {
        return CTL_OK;
    }
    cache->connection = redis_connection_new(address, REDIS_TIMEOUT_MS);
    if (cache->connection == NULL) {
        return ctl_fail(
            ctl, CTL_USAGE,
            "--redis, COMANDA_REDIS: write host:port or redis://user:password@host:port");
    }
    cache->store = document_store_redis_new(cache->connection);
    return cache->store == NULL ? ctl_fail(ctl, CTL_INTERNAL, "no memory") : CTL_OK;
}

void ctl_cache_close(struct ctl_cache *cache)
{
    document_store_redis_free(cache->store);
    redis_connection_free(cache->connection);
}

// --- status

enum { BEHIND_MAX = 100000 };

// What is behind: events of the collection's category past its newest document, in the order of the
// log. A collection without documents counts from the log's beginning.
static const char status_sql[] =
    "with counted as materialized (select c.collection, c.category, c.ordinal,"
    "  count(d.key) as documents, count(d.key) filter (where d.listed) as listed,"
    "  coalesce(sum(octet_length(d.body::text)), 0)::int8 as bytes"
    "  from unnest($2, $3) with ordinality c (collection, category, ordinal)"
    "  left join comanda_read.documents d on d.tenant = $1 and d.collection = c.collection"
    "  group by c.collection, c.category, c.ordinal)"
    " select c.collection, c.documents, coalesce(n.position, 0), c.listed, c.bytes, b.events,"
    "  coalesce(greatest(extract(epoch from clock_timestamp() - b.oldest), 0), 0)::int8"
    " from counted c"
    " left join lateral (select d.epoch, d.tx, d.position from comanda_read.documents d"
    "  where d.tenant = $1 and d.collection = c.collection"
    "  order by d.epoch desc, d.tx desc, d.position desc limit 1) n on true"
    " cross join lateral (select count(*) as events, min(e.recorded_at) as oldest from"
    "  (select e.recorded_at from comanda.events e"
    "   where (e.epoch, e.tx, e.position) > (coalesce(n.epoch, 0),"
    "    coalesce(n.tx, 0)::text::xid8, coalesce(n.position, 0))"
    "    and e.tenant = $1 and e.category = c.category and e.kind = 'event' limit 100000) e) b"
    " order by c.ordinal";
_Static_assert(BEHIND_MAX == 100000, "as the statement says");

static size_t list_projections(const struct projection *found[PROJECTIONS_MAX])
{
    const struct context_registry *registry = context_registry();
    size_t count = 0;
    for (size_t at = 0; at < registry->count; at++) {
        const struct bounded_context *context = registry->contexts[at];
        for (size_t each = 0; each < context->projection_count && count < PROJECTIONS_MAX; each++) {
            found[count++] = &context->projections[each];
        }
    }
    return count;
}

static enum status ask_status(struct ctl *ctl, struct postgres *postgres, PGresult **result)
{
    static const Oid types[] = {OID_TEXT, OID_TEXT_ARRAY, OID_TEXT_ARRAY};
    const struct projection *projections[PROJECTIONS_MAX];
    size_t count = list_projections(projections);
    struct statement statement;
    struct binary_params params;
    struct binary_array names;
    struct binary_array categories;
    binary_params_begin(&params, &statement, ctl->arena, "projection_status", status_sql, types);
    binary_param_bytes(&params, str_from(ctl_setting(ctl, "--tenant", "COMANDA_TENANT", "main")));
    binary_array_begin(&names, ctl->arena, OID_TEXT, count, 64 * count);
    binary_array_begin(&categories, ctl->arena, OID_TEXT, count, 64 * count);
    for (size_t at = 0; at < count; at++) {
        binary_array_bytes(&names, projections[at]->collection);
        binary_array_bytes(&categories, projections[at]->category);
    }
    binary_param_array(&params, &names);
    binary_param_array(&params, &categories);
    return params.status == STATUS_OK ? postgres_run(postgres, &statement, POSTGRES_READS, result)
                                      : params.status;
}

static void print_status(const struct ctl *ctl, const PGresult *result)
{
    static const struct table_column columns[] = {
        {"collection", TABLE_TEXT}, {"category", TABLE_TEXT},  {"documents", TABLE_NUMBER},
        {"listed", TABLE_NUMBER},   {"bytes", TABLE_NUMBER},   {"newest_position", TABLE_NUMBER},
        {"behind", TABLE_NUMBER},   {"behind_s", TABLE_NUMBER}};
    struct table table;
    table_begin(&table, ctl, columns, sizeof(columns) / sizeof(columns[0]));
    for (int at = 0; at < PQntuples(result); at++) {
        struct binary_row row = {.result = result, .row = at};
        struct str collection = binary_bytes(&row, 0);
        const struct str cells[] = {collection,
                                    context_projection(collection)->category,
                                    table_number(ctl, binary_int8(&row, 1)),
                                    table_number(ctl, binary_int8(&row, 3)),
                                    table_number(ctl, binary_int8(&row, 4)),
                                    table_number(ctl, binary_int8(&row, 2)),
                                    table_number(ctl, binary_int8(&row, 5)),
                                    table_number(ctl, binary_int8(&row, 6))};
        (void)table_add(&table, cells);
    }
    table_print(&table, "this program has no projections");
}

static enum ctl_exit run_status(struct ctl *ctl)
{
    enum ctl_exit code = CTL_OK;
    struct postgres *postgres = ctl_postgres(ctl, &code);
    if (postgres == NULL) {
        return code;
    }
    PGresult *result = NULL;
    enum status status = ask_status(ctl, postgres, &result);
    if (status == STATUS_OK) {
        print_status(ctl, result);
        PQclear(result);
    } else {
        code = ctl_fail(ctl, ctl_exit_of(status), "PostgreSQL: %s", postgres_error(postgres));
    }
    postgres_free(postgres);
    return code;
}

// --- rebuild

struct rebuilding {
    struct ctl *ctl;
    struct postgres *postgres;
    struct projection_run run;
    struct ctl_cache cache;
    struct str tenant;
    struct table table;
    int64_t broken;
};

static const struct table_column rebuild_columns[] = {{"collection", TABLE_TEXT},
                                                      {"events", TABLE_NUMBER},
                                                      {"broken", TABLE_NUMBER},
                                                      {"first_cause", TABLE_TEXT}};

// A cache that cannot be emptied here is left to the projector.
static enum status empty_cache_later(struct rebuilding *rebuilding)
{
    return cache_debt_note(rebuilding->postgres, STR("comandactl projection rebuild"));
}

static enum status rebuild(struct rebuilding *rebuilding, const struct projection *projection,
                           struct projection_rebuild_report *report)
{
    struct ctl *ctl = rebuilding->ctl;
    enum status status = projection_rebuild(&rebuilding->run, projection, rebuilding->tenant,
                                            PAGE_ROWS, ctl->arena, report);
    if (status != STATUS_OK) {
        return status;
    }
    // After the documents: what readers took from the old ones goes too.
    struct document_store *store = rebuilding->cache.store;
    if (store != NULL &&
        document_store_drop(store, rebuilding->tenant, projection->collection) == STATUS_OK) {
        return STATUS_OK;
    }
    return empty_cache_later(rebuilding);
}

static enum ctl_exit rebuild_one(struct rebuilding *rebuilding, const struct projection *projection)
{
    struct ctl *ctl = rebuilding->ctl;
    struct projection_rebuild_report report;
    enum status status = rebuild(rebuilding, projection, &report);
    if (status != STATUS_OK) {
        const char *why = postgres_error(rebuilding->postgres);
        return ctl_fail(
            ctl, ctl_exit_of(status), "%.*s: %s; its documents are incomplete, run it again",
            STR_FMT(projection->collection), why[0] == '\0' ? status_text(status) : why);
    }
    rebuilding->broken += report.broken;
    const struct str cells[] = {projection->collection, table_number(ctl, report.events),
                                table_number(ctl, report.broken),
                                report.broken == 0 ? (struct str){NULL, 0} : report.cause};
    (void)table_add(&rebuilding->table, cells);
    return CTL_OK;
}

static enum ctl_exit rebuild_chosen(struct rebuilding *rebuilding)
{
    struct ctl *ctl = rebuilding->ctl;
    const struct projection *projections[PROJECTIONS_MAX];
    size_t count = list_projections(projections);
    const char *chosen = ctl->argument_count == 0 ? NULL : ctl->arguments[0];
    if (chosen != NULL) {
        projections[0] = context_projection(str_from(chosen));
        count = 1;
        if (projections[0] == NULL) {
            return ctl_fail(ctl, CTL_USAGE,
                            "there is no collection %s; projection status lists them", chosen);
        }
    }
    enum ctl_exit code = CTL_OK;
    for (size_t at = 0; at < count && code == CTL_OK; at++) {
        code = rebuild_one(rebuilding, projections[at]);
    }
    if (code == CTL_OK) {
        table_print(&rebuilding->table, "this program has no projections");
    }
    return code == CTL_OK && rebuilding->broken > 0 ? CTL_NO : code;
}

static enum ctl_exit run_rebuild(struct ctl *ctl)
{
    struct rebuilding rebuilding = {.ctl = ctl};
    enum ctl_exit code = ctl_cache_open(ctl, &rebuilding.cache);
    rebuilding.postgres = code == CTL_OK ? ctl_postgres(ctl, &code) : NULL;
    if (code != CTL_OK) {
        ctl_cache_close(&rebuilding.cache);
        return code;
    }
    rebuilding.tenant = str_from(ctl_setting(ctl, "--tenant", "COMANDA_TENANT", "main"));
    rebuilding.run =
        (struct projection_run){event_store_postgres_new(rebuilding.postgres),
                                document_store_postgres_new(rebuilding.postgres), ROWS_MAX};
    table_begin(&rebuilding.table, ctl, rebuild_columns,
                sizeof(rebuild_columns) / sizeof(rebuild_columns[0]));
    code = rebuilding.run.log == NULL || rebuilding.run.documents == NULL
               ? ctl_fail(ctl, CTL_INTERNAL, "no memory")
               : rebuild_chosen(&rebuilding);
    document_store_postgres_free(rebuilding.run.documents);
    event_store_postgres_free(rebuilding.run.log);
    postgres_free(rebuilding.postgres);
    ctl_cache_close(&rebuilding.cache);
    return code;
}

static const struct ctl_option status_options[] = {
    {"--tenant", "NAME", "the tenant (else COMANDA_TENANT, else main)"},
    {NULL, NULL, NULL},
};

static const struct ctl_option rebuild_options[] = {
    {"--tenant", "NAME", "the tenant (else COMANDA_TENANT, else main)"},
    {"--redis", "ADDRESS",
     "the cache (else COMANDA_REDIS): host:port or redis://user:password@host:port;"
     " without it the projector empties the cache"},
    {NULL, NULL, NULL},
};

static const struct ctl_verb verbs[] = {
    {"status", "", 0, 0,
     "count the documents of each collection, and how far they are behind the log", status_options,
     run_status},
    {"rebuild", "[COLLECTION]", 0, 1,
     "drop the documents and make them anew from the log; lists are incomplete meanwhile",
     rebuild_options, run_rebuild},
    {NULL, NULL, 0, 0, NULL, NULL, NULL},
};

const struct ctl_noun ctl_projection = {
    .name = "projection",
    .summary = "the read side's documents",
    .verbs = verbs,
    .examples = "  comandactl projection status\n"
                "  comandactl projection rebuild orders --json\n",
};

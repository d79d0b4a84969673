// SPDX-License-Identifier: Apache-2.0
// Notes of caches that may hold documents older than the read schema's: whoever could not write to
// one leaves a note, whoever finds a note empties the cache and takes it away.
#include "infrastructure/postgres/cache_debt.h"

#include "base/arena.h"
#include "infrastructure/postgres/binary.h"
#include "infrastructure/postgres/connection.h"

enum { SCRATCH_BLOCK = 4096, SCRATCH_MAX = 64 * 1024 };

enum status cache_debt_note(struct postgres *postgres, struct str name)
{
    static const Oid types[] = {OID_TEXT};
    struct arena scratch;
    arena_init(&scratch, SCRATCH_BLOCK, SCRATCH_MAX);
    struct statement statement;
    struct binary_params params;
    binary_params_begin(&params, &statement, &scratch, "note_cache_debt",
                        "insert into comanda_read.cache_debt values ($1, clock_timestamp())"
                        " on conflict (projector) do update set noted_at = excluded.noted_at",
                        types);
    binary_param_bytes(&params, name);
    PGresult *result = NULL;
    enum status status = params.status;
    if (status == STATUS_OK) {
        status = postgres_run(postgres, &statement, POSTGRES_WRITES, &result);
    }
    if (status == STATUS_OK) {
        PQclear(result);
    }
    arena_free(&scratch);
    return status;
}

// The moment of the newest note; *any false: there is none.
static enum status read_notes(struct postgres *postgres, struct arena *arena, bool *any,
                              instant_us *newest)
{
    struct statement statement;
    struct binary_params params;
    binary_params_begin(&params, &statement, arena, "read_cache_debt",
                        "select max(noted_at) from comanda_read.cache_debt", NULL);
    PGresult *result = NULL;
    enum status status = postgres_run(postgres, &statement, POSTGRES_READS, &result);
    if (status != STATUS_OK) {
        return status;
    }
    struct binary_row row = {.result = result};
    *any = PQntuples(result) == 1 && !binary_is_null(&row, 0);
    *newest = *any ? binary_instant(&row, 0) : 0;
    PQclear(result);
    return row.bad ? STATUS_MALFORMED : STATUS_OK;
}

static enum status take_away(struct postgres *postgres, struct arena *arena, instant_us newest)
{
    static const Oid types[] = {OID_TIMESTAMPTZ};
    struct statement statement;
    struct binary_params params;
    binary_params_begin(&params, &statement, arena, "clear_cache_debt",
                        "delete from comanda_read.cache_debt where noted_at <= $1", types);
    binary_param_instant(&params, newest);
    PGresult *result = NULL;
    enum status status = params.status;
    if (status == STATUS_OK) {
        status = postgres_run(postgres, &statement, POSTGRES_WRITES, &result);
    }
    if (status == STATUS_OK) {
        PQclear(result);
    }
    return status;
}

enum status cache_debt_settle(struct postgres *postgres, struct document_store *cache,
                              bool *settled)
{
    struct arena scratch;
    arena_init(&scratch, SCRATCH_BLOCK, SCRATCH_MAX);
    bool any = false;
    instant_us newest = 0;
    enum status status = read_notes(postgres, &scratch, &any, &newest);
    if (status == STATUS_OK && any) {
        status = document_store_drop(cache, (struct str){"", 0}, (struct str){"", 0});
    }
    if (status == STATUS_OK && any) {
        status = take_away(postgres, &scratch, newest);
    }
    arena_free(&scratch);
    if (status == STATUS_OK) {
        *settled = any;
    }
    return status;
}

// SPDX-License-Identifier: Apache-2.0
// The event store on PostgreSQL, with blocking calls.
#include "infrastructure/postgres/event_store_postgres.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "infrastructure/postgres/binary.h"
#include "infrastructure/postgres/statement.h"

enum {
    SCRATCH_BLOCK = 64 * 1024,
    SCRATCH_MAX = 64 * 1024 * 1024,
    LONE_ATTEMPTS_MAX = 4, // of an item that stands alone and only came at a bad moment
    LONE_PAUSE_MS = 10,
};

struct event_store_postgres {
    struct event_store store;
    struct postgres *postgres;
    struct arena scratch;
    unsigned read_in; // the session that read last; 0: none did, or it has been told that it ended
};

static struct event_store_postgres *self(struct event_store *store)
{
    return (struct event_store_postgres *)store;
}

// One call of comanda.append and its reading.
static enum status append_once(struct event_store_postgres *store, const struct append_item *items,
                               size_t count, struct arena *arena, struct append_verdict *verdicts)
{
    struct statement statement;
    enum status status = statement_append(items, count, arena, &statement);
    if (status != STATUS_OK) {
        return status;
    }
    PGresult *result = NULL;
    status = postgres_run(store->postgres, &statement, POSTGRES_WRITES, &result);
    if (status != STATUS_OK) {
        return status;
    }
    status = statement_append_read(result, items, count, arena, verdicts);
    PQclear(result);
    // It is committed: whoever cannot read the verdicts asks again with the same ids and keys.
    return status == STATUS_OK ? STATUS_OK : STATUS_UNKNOWN;
}

enum refusal {
    REFUSAL_OF_ALL,    // schema or privileges: no item can be appended
    REFUSAL_OF_SERVER, // disk, memory: as good as away
    REFUSAL_OF_MOMENT, // a race, a lock, a deadlock, a time limit: alone it may well go
    REFUSAL_OF_ITEM,
};

static enum refusal judge(const char *sqlstate)
{
    static const char *const moments[] = {"CM001", "40P01", "40001", "55P03", "57014"};
    for (size_t i = 0; i < sizeof(moments) / sizeof(moments[0]); i++) {
        if (strcmp(sqlstate, moments[i]) == 0) {
            return REFUSAL_OF_MOMENT;
        }
    }
    if (strncmp(sqlstate, "42", 2) == 0 || strcmp(sqlstate, "3F000") == 0) {
        return REFUSAL_OF_ALL;
    }
    bool server = strncmp(sqlstate, "53", 2) == 0 || strncmp(sqlstate, "58", 2) == 0;
    return server ? REFUSAL_OF_SERVER : REFUSAL_OF_ITEM;
}

static void pause_ms(int ms)
{
    struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    (void)nanosleep(&pause, NULL);
}

// An item that was refused although it stands alone.
static enum status append_alone(struct event_store_postgres *store, const struct append_item *item,
                                struct arena *arena, struct append_verdict *verdict)
{
    enum status status = STATUS_REFUSED;
    for (int attempt = 1; attempt < LONE_ATTEMPTS_MAX && status == STATUS_REFUSED &&
                          judge(postgres_sqlstate(store->postgres)) == REFUSAL_OF_MOMENT;
         attempt++) {
        pause_ms(LONE_PAUSE_MS * attempt);
        status = append_once(store, item, 1, arena, verdict);
    }
    if (status != STATUS_REFUSED) {
        return status;
    }
    *verdict = (struct append_verdict){.outcome = APPEND_AGAIN};
    if (judge(postgres_sqlstate(store->postgres)) != REFUSAL_OF_MOMENT) {
        verdict->outcome = ITEM_REFUSED;
        verdict->cause = arena_str(arena, str_from(postgres_error(store->postgres)));
    }
    return STATUS_OK;
}

// A batch that fails as a whole is halved until the bad item stands alone; keys and inbox make a
// repeat harmless. *committed: whether any part of the call has been appended.
static enum status append_halving(struct event_store_postgres *store,
                                  const struct append_item *items, size_t count,
                                  struct arena *arena, struct append_verdict *verdicts,
                                  bool *committed)
{
    enum status status = append_once(store, items, count, arena, verdicts);
    if (status != STATUS_REFUSED) {
        *committed = *committed || status == STATUS_OK;
        return status;
    }
    enum refusal refusal = judge(postgres_sqlstate(store->postgres));
    if (refusal == REFUSAL_OF_ALL) {
        return STATUS_REFUSED;
    }
    if (refusal == REFUSAL_OF_SERVER) {
        return STATUS_UNAVAILABLE;
    }
    if (count == 1) {
        return append_alone(store, items, arena, verdicts);
    }
    size_t half = count / 2;
    status = append_halving(store, items, half, arena, verdicts, committed);
    if (status != STATUS_OK) {
        return status;
    }
    return append_halving(store, items + half, count - half, arena, verdicts + half, committed);
}

// Connects first, where the session has ended: whoever has read in it reads again.
static bool has_outlived_its_reading(struct event_store_postgres *store)
{
    unsigned read_in = store->read_in;
    bool outlived = read_in != 0 && (postgres_resume(store->postgres) != STATUS_OK ||
                                     postgres_session(store->postgres) != read_in);
    store->read_in = outlived ? 0 : read_in;
    return outlived;
}

static enum status postgres_append(struct event_store *store, const struct append_item *items,
                                   size_t count, struct arena *arena,
                                   struct append_verdict *verdicts)
{
    struct append_verdict *read = arena_array(arena, count + 1, sizeof(*read));
    if (read == NULL) {
        return STATUS_NO_MEMORY;
    }
    if (has_outlived_its_reading(self(store))) {
        return STATUS_UNAVAILABLE;
    }
    bool committed = false;
    enum status status = append_halving(self(store), items, count, arena, read, &committed);
    if (status == STATUS_OK) {
        memcpy(verdicts, read, count * sizeof(*read));
    }
    return status != STATUS_OK && committed ? STATUS_UNKNOWN : status;
}

// What cannot be read is a stored value, or its page: the server is well, and so are the others.
static bool is_damage(const char *sqlstate)
{
    return strncmp(sqlstate, "22", 2) == 0 || strcmp(sqlstate, "XX001") == 0 ||
           strcmp(sqlstate, "XX002") == 0;
}

static enum status read_once(struct postgres *postgres, const struct stream_query *queries,
                             size_t count, size_t limit, struct arena *arena,
                             struct stream_rows *streams)
{
    struct statement statement;
    enum status status = statement_read_streams(queries, count, limit, arena, &statement);
    if (status != STATUS_OK) {
        return status;
    }
    PGresult *result = NULL;
    status = postgres_run(postgres, &statement, POSTGRES_READS, &result);
    if (status == STATUS_OK) {
        status = statement_read_streams_read(result, queries, count, limit, arena, streams);
        PQclear(result);
    }
    bool damaged = status == STATUS_REFUSED && is_damage(postgres_sqlstate(postgres));
    return damaged ? STATUS_MALFORMED : status;
}

static enum status postgres_read(struct event_store *store, const struct stream_query *queries,
                                 size_t count, size_t limit, struct arena *arena,
                                 struct stream_rows *streams)
{
    struct stream_rows *read = arena_array(arena, count + 1, sizeof(*read));
    enum status status = read == NULL ? STATUS_NO_MEMORY : STATUS_OK;
    for (size_t at = 0; at < count && status == STATUS_OK; at += READ_QUERIES_MAX) {
        size_t most = count - at < READ_QUERIES_MAX ? count - at : READ_QUERIES_MAX;
        status = read_once(self(store)->postgres, queries + at, most, limit, arena, read + at);
    }
    if (status == STATUS_OK) {
        memcpy(streams, read, count * sizeof(*streams));
        self(store)->read_in = postgres_session(self(store)->postgres);
    }
    return status;
}

static enum status postgres_read_tail(struct event_store *store, struct log_cursor after,
                                      size_t limit, struct arena *arena,
                                      struct recorded_event **rows, size_t *count,
                                      struct log_cursor *next)
{
    struct statement statement;
    enum status status = statement_read_tail(after, limit, arena, &statement);
    if (status != STATUS_OK) {
        return status;
    }
    PGresult *result = NULL;
    status = postgres_run(self(store)->postgres, &statement, POSTGRES_READS, &result);
    if (status == STATUS_OK) {
        status = statement_read_tail_read(result, after, arena, rows, count, next);
        PQclear(result);
    }
    return status;
}

// A lost answer is no harm: snapshots only ever grow newer, so it counts as not done.
static enum status postgres_save_snapshots(struct event_store *store,
                                           const struct snapshot *snapshots, size_t count)
{
    struct event_store_postgres *postgres = self(store);
    struct statement statement;
    arena_reset(&postgres->scratch);
    enum status status = statement_save_snapshots(snapshots, count, &postgres->scratch, &statement);
    if (status != STATUS_OK) {
        return status;
    }
    PGresult *result = NULL;
    status = postgres_run(postgres->postgres, &statement, POSTGRES_READS, &result);
    if (status == STATUS_OK) {
        PQclear(result);
    }
    return status;
}

// A lost answer is no harm either: what was claimed comes up again when the claim runs out.
static enum status postgres_claim_timers(struct event_store *store, size_t limit, int claim_s,
                                         struct arena *arena, struct timer **timers, size_t *count)
{
    struct statement statement;
    enum status status = statement_claim_timers(limit, claim_s, arena, &statement);
    if (status != STATUS_OK) {
        return status;
    }
    PGresult *result = NULL;
    status = postgres_run(self(store)->postgres, &statement, POSTGRES_READS, &result);
    if (status == STATUS_OK) {
        status = statement_claim_timers_read(result, arena, timers, count);
        PQclear(result);
    }
    return status;
}

static unsigned postgres_session_of(const struct event_store *store)
{
    return postgres_session(((const struct event_store_postgres *)store)->postgres);
}

static enum status postgres_timers_rest(struct event_store *store, int longest_ms, int *rest_ms)
{
    struct event_store_postgres *postgres = self(store);
    struct statement statement;
    PGresult *result = NULL;
    arena_reset(&postgres->scratch);
    enum status status = statement_timers_rest(longest_ms, &postgres->scratch, &statement);
    if (status == STATUS_OK) {
        status = postgres_run(postgres->postgres, &statement, POSTGRES_READS, &result);
    }
    if (status != STATUS_OK) {
        return status;
    }
    struct binary_row row = {.result = result};
    *rest_ms = binary_int4(&row, 0);
    PQclear(result);
    return row.bad ? STATUS_MALFORMED : STATUS_OK;
}

static const struct event_store_ops postgres_ops = {
    .append = postgres_append,
    .read = postgres_read,
    .read_tail = postgres_read_tail,
    .save_snapshots = postgres_save_snapshots,
    .claim_timers = postgres_claim_timers,
    .timers_rest = postgres_timers_rest,
    .session = postgres_session_of,
};

struct event_store *event_store_postgres_new(struct postgres *postgres)
{
    struct event_store_postgres *store = calloc(1, sizeof(*store));
    if (store == NULL) {
        return NULL;
    }
    store->store.ops = &postgres_ops;
    store->postgres = postgres;
    arena_init(&store->scratch, SCRATCH_BLOCK, SCRATCH_MAX);
    return &store->store;
}

void event_store_postgres_free(struct event_store *store)
{
    if (store != NULL) {
        arena_free(&self(store)->scratch);
        free(self(store));
    }
}

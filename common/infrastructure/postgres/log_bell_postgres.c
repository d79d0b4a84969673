// SPDX-License-Identifier: Apache-2.0
// The bell of the log on PostgreSQL: an advisory lock says that the relay sleeps, NOTIFY wakes it.
#include "infrastructure/postgres/log_bell_postgres.h"

#include <stdlib.h>

#include "infrastructure/postgres/binary.h"

enum { SCRATCH_BLOCK = 4096, SCRATCH_MAX = 64 * 1024 };

struct log_bell_postgres {
    struct log_bell base;
    struct postgres *postgres;
    struct arena scratch;
    unsigned listens; // the session that listens; 0: none does
    unsigned sleeps;  // the session that has said that we sleep; 0: none has
    int64_t seen;     // the last position given out when it was looked last
};

static struct log_bell_postgres *self(struct log_bell *bell)
{
    return (struct log_bell_postgres *)bell;
}

static bool is_asleep(const struct log_bell_postgres *bell)
{
    return bell->sleeps != 0 && postgres_is_connected(bell->postgres) &&
           bell->sleeps == postgres_session(bell->postgres);
}

static enum status listen_once(struct log_bell_postgres *bell)
{
    PGresult *result = NULL;
    enum status status = postgres_connect(bell->postgres);
    if (status != STATUS_OK || bell->listens == postgres_session(bell->postgres)) {
        return status;
    }
    status = postgres_script(bell->postgres, "listen comanda_relay", POSTGRES_READS, &result);
    if (status == STATUS_OK) {
        PQclear(result);
        bell->listens = postgres_session(bell->postgres);
    }
    return status;
}

// The last position that was given out, or NULL when this is no time to sleep.
static enum status ask(struct log_bell_postgres *bell, struct log_cursor after, bool *asleep)
{
    static const Oid types[] = {OID_INT4, OID_XID8, OID_INT8, OID_INT8};
    struct statement statement;
    struct binary_params params;
    PGresult *result = NULL;
    arena_reset(&bell->scratch);
    binary_params_begin(&params, &statement, &bell->scratch, "relay_sleep",
                        "select comanda.relay_sleep($1, $2, $3, $4)", types);
    binary_param_int4(&params, after.epoch);
    binary_param_int8(&params, (int64_t)after.tx);
    binary_param_int8(&params, after.position);
    if (is_asleep(bell)) {
        binary_param_int8(&params, bell->seen);
    } else {
        binary_param_null(&params);
    }
    enum status status = params.status == STATUS_OK
                             ? postgres_run(bell->postgres, &statement, POSTGRES_READS, &result)
                             : params.status;
    if (status != STATUS_OK) {
        return status;
    }
    struct binary_row row = {.result = result};
    *asleep = PQntuples(result) == 1 && !PQgetisnull(result, 0, 0);
    bell->seen = *asleep ? binary_int8(&row, 0) : 0;
    bell->sleeps = *asleep ? postgres_session(bell->postgres) : 0;
    PQclear(result);
    return row.bad ? STATUS_MALFORMED : STATUS_OK;
}

static enum status postgres_sleep(struct log_bell *base, struct log_cursor after, bool *asleep)
{
    struct log_bell_postgres *bell = self(base);
    *asleep = false;
    enum status status = listen_once(bell);
    return status == STATUS_OK ? ask(bell, after, asleep) : status;
}

static enum status postgres_listen(struct log_bell *base, int wait_ms, bool *rung)
{
    struct log_bell_postgres *bell = self(base);
    *rung = false;
    return is_asleep(bell) ? postgres_await_notice(bell->postgres, wait_ms, rung)
                           : STATUS_UNAVAILABLE;
}

static enum status postgres_wake(struct log_bell *base)
{
    struct log_bell_postgres *bell = self(base);
    struct statement statement = {.name = "relay_wake", .sql = "select comanda.relay_wake()"};
    PGresult *result = NULL;
    bool asleep = is_asleep(bell);
    bell->sleeps = 0;
    enum status status =
        asleep ? postgres_run(bell->postgres, &statement, POSTGRES_READS, &result) : STATUS_OK;
    if (asleep && status == STATUS_OK) {
        PQclear(result);
    }
    return status;
}

static const struct log_bell_ops postgres_ops = {
    .sleep = postgres_sleep,
    .listen = postgres_listen,
    .wake = postgres_wake,
};

struct log_bell *log_bell_postgres_new(struct postgres *postgres)
{
    struct log_bell_postgres *bell = calloc(1, sizeof(*bell));
    if (bell == NULL) {
        return NULL;
    }
    bell->base.ops = &postgres_ops;
    bell->postgres = postgres;
    arena_init(&bell->scratch, SCRATCH_BLOCK, SCRATCH_MAX);
    return &bell->base;
}

void log_bell_postgres_free(struct log_bell *bell)
{
    if (bell != NULL) {
        arena_free(&self(bell)->scratch);
        free(self(bell));
    }
}

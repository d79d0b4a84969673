// SPDX-License-Identifier: Apache-2.0
// A blocking connection to PostgreSQL that comes back by itself: deadlines on every step, backoff
// with jitter, keepalives, prepared statements remembered. For daemons and the command line; one
// thread a connection.
#include "infrastructure/postgres/connection.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/backoff.h"
#include "base/monotonic.h"
#include "infrastructure/postgres/session_settings.h"

enum {
    CONNECT_TIMEOUT_MS = 5000,
    REPLY_TIMEOUT_MS = 30000,
    BACKOFF_FIRST_MS = 50,
    BACKOFF_LIMIT_MS = 5000,
    PREPARED_MAX = 64,
    ERROR_MAX = 1024,
    SQLSTATE_LEN = 5,
};

struct postgres {
    char *conninfo;
    char *application_name;
    int connect_timeout_ms;
    int reply_timeout_ms;
    PGconn *conn;
    unsigned session;
    struct backoff backoff;
    int64_t next_try_ms; // of the monotonic clock
    uint32_t random;
    const char *prepared[PREPARED_MAX]; // names, which are literals
    size_t prepared_count;
    char error[ERROR_MAX];
    char sqlstate[SQLSTATE_LEN + 1];
};

bool postgres_conninfo_valid(const char *conninfo)
{
    PQconninfoOption *options = PQconninfoParse(conninfo, NULL);
    bool valid = options != NULL;
    PQconninfoFree(options);
    return valid;
}

struct postgres *postgres_new(const struct postgres_options *options)
{
    struct postgres *postgres = calloc(1, sizeof(*postgres));
    if (postgres == NULL) {
        return NULL;
    }
    const char *name = options->application_name == NULL ? "comanda" : options->application_name;
    postgres->conninfo = strdup(options->conninfo);
    postgres->application_name = strdup(name);
    postgres->connect_timeout_ms =
        options->connect_timeout_ms > 0 ? options->connect_timeout_ms : CONNECT_TIMEOUT_MS;
    postgres->reply_timeout_ms =
        options->reply_timeout_ms > 0 ? options->reply_timeout_ms : REPLY_TIMEOUT_MS;
    postgres->backoff =
        (struct backoff){.first_ms = BACKOFF_FIRST_MS, .limit_ms = BACKOFF_LIMIT_MS};
    postgres->random = (uint32_t)((uintptr_t)postgres >> 4) ^ (uint32_t)monotonic_ms();
    if (postgres->conninfo == NULL || postgres->application_name == NULL) {
        postgres_free(postgres);
        return NULL;
    }
    return postgres;
}

void postgres_free(struct postgres *postgres)
{
    if (postgres == NULL) {
        return;
    }
    postgres_close(postgres);
    free(postgres->conninfo);
    free(postgres->application_name);
    free(postgres);
}

void postgres_set_reply_timeout(struct postgres *postgres, int ms)
{
    postgres->reply_timeout_ms = ms > 0 ? ms : REPLY_TIMEOUT_MS;
}

void postgres_close(struct postgres *postgres)
{
    PQfinish(postgres->conn); // NULL is fine
    postgres->conn = NULL;
    postgres->prepared_count = 0;
}

bool postgres_is_connected(const struct postgres *postgres)
{
    return postgres->conn != NULL;
}

unsigned postgres_session(const struct postgres *postgres)
{
    return postgres->session;
}

const char *postgres_error(const struct postgres *postgres)
{
    return postgres->error;
}

const char *postgres_sqlstate(const struct postgres *postgres)
{
    return postgres->sqlstate;
}

// libpq's messages end in a newline and may hold several lines; ours is one line.
static void set_error(struct postgres *postgres, const char *message)
{
    snprintf(postgres->error, sizeof(postgres->error), "%s", message == NULL ? "" : message);
    size_t len = strlen(postgres->error);
    while (len > 0 && postgres->error[len - 1] == '\n') {
        postgres->error[--len] = '\0';
    }
    for (char *byte = postgres->error; *byte != '\0'; byte++) {
        *byte = *byte == '\n' ? ' ' : *byte;
    }
}

static void set_result_error(struct postgres *postgres, const PGresult *result)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    snprintf(postgres->sqlstate, sizeof(postgres->sqlstate), "%s", state == NULL ? "" : state);
    set_error(postgres, PQresultErrorMessage(result));
}

// Waits until the socket is ready or the deadline is over. False: it is over.
static bool wait_socket(const PGconn *conn, short events, int64_t deadline_ms)
{
    for (;;) {
        int64_t left = deadline_ms - monotonic_ms();
        if (left <= 0) {
            return false;
        }
        struct pollfd fd = {.fd = PQsocket(conn), .events = events};
        int ready = poll(&fd, 1, left > INT32_MAX ? INT32_MAX : (int)left);
        if (ready > 0) {
            return true;
        }
        if (ready < 0 && errno != EINTR) {
            return false;
        }
    }
}

static bool finish_connecting(PGconn *conn, int64_t deadline_ms)
{
    PostgresPollingStatusType step = PGRES_POLLING_WRITING;
    while (step != PGRES_POLLING_OK) {
        if (step == PGRES_POLLING_FAILED || PQsocket(conn) < 0 ||
            !wait_socket(conn, step == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline_ms)) {
            return false;
        }
        step = PQconnectPoll(conn);
    }
    return true;
}

static void ignore_notice(void *context, const PGresult *result)
{
    (void)context;
    (void)result;
}

static PGconn *start_connecting(const struct postgres *postgres)
{
    return session_connect_start(&(struct session_options){
        .conninfo = postgres->conninfo,
        .application_name = postgres->application_name,
        .user_timeout_ms = "30000",
    });
}

static void set_next_try(struct postgres *postgres)
{
    postgres->random = postgres->random * 1664525u + 1013904223u;
    postgres->next_try_ms = monotonic_ms() + backoff_next_ms(&postgres->backoff, postgres->random);
}

static enum status connection_failed(struct postgres *postgres, PGconn *conn)
{
    const char *message = conn == NULL ? "no memory" : PQerrorMessage(conn);
    set_error(postgres, message[0] == '\0' ? "no answer in time while connecting" : message);
    postgres->sqlstate[0] = '\0';
    PQfinish(conn);
    set_next_try(postgres);
    return STATUS_UNAVAILABLE;
}

// Sleeps what the backoff asks for. False: a signal came, the caller may have to stop.
static bool wait_for_next_try(const struct postgres *postgres)
{
    int64_t left = postgres->next_try_ms - monotonic_ms();
    if (left <= 0) {
        return true;
    }
    struct timespec pause = {.tv_sec = left / 1000, .tv_nsec = (left % 1000) * 1000000};
    return nanosleep(&pause, NULL) == 0;
}

static enum status settle(struct postgres *postgres, int64_t deadline_ms);

enum status postgres_connect(struct postgres *postgres)
{
    if (postgres->conn != NULL) {
        return STATUS_OK;
    }
    if (!wait_for_next_try(postgres)) {
        set_error(postgres, "interrupted while waiting to connect again");
        return STATUS_UNAVAILABLE;
    }
    int64_t deadline_ms = monotonic_ms() + postgres->connect_timeout_ms;
    PGconn *conn = start_connecting(postgres);
    if (conn == NULL || PQstatus(conn) == CONNECTION_BAD || !finish_connecting(conn, deadline_ms) ||
        PQsetnonblocking(conn, 1) != 0) {
        return connection_failed(postgres, conn);
    }
    PQsetNoticeReceiver(conn, ignore_notice, NULL);
    postgres->conn = conn;
    postgres->session++;
    postgres->prepared_count = 0;
    if (settle(postgres, deadline_ms) != STATUS_OK) {
        postgres_close(postgres);
        set_next_try(postgres);
        return STATUS_UNAVAILABLE;
    }
    backoff_reset(&postgres->backoff);
    return STATUS_OK;
}

// A server that went away while we were idle has said so by now, first in words and then by
// closing: better to see it before a write is sent than to answer "unknown" after.
static bool is_still_there(const struct postgres *postgres)
{
    enum { READS_MAX = 16 };
    for (int i = 0; i < READS_MAX; i++) {
        struct pollfd fd = {.fd = PQsocket(postgres->conn), .events = POLLIN};
        if (poll(&fd, 1, 0) <= 0) {
            break;
        }
        if (!PQconsumeInput(postgres->conn) || PQisBusy(postgres->conn)) {
            return false;
        }
    }
    return PQstatus(postgres->conn) == CONNECTION_OK;
}

static enum status ensure_connected(struct postgres *postgres)
{
    if (postgres->conn != NULL && !is_still_there(postgres)) {
        postgres_close(postgres);
    }
    return postgres_connect(postgres);
}

enum reply { REPLY_COMPLETE, REPLY_LOST, REPLY_LATE };

static enum reply flush_request(PGconn *conn, int64_t deadline_ms)
{
    for (;;) {
        int left = PQflush(conn);
        if (left == 0) {
            return REPLY_COMPLETE;
        }
        if (left < 0) {
            return REPLY_LOST;
        }
        if (!wait_socket(conn, POLLIN | POLLOUT, deadline_ms)) {
            return REPLY_LATE;
        }
        if (!PQconsumeInput(conn)) {
            return REPLY_LOST;
        }
    }
}

// Reads all results and keeps the last one, or the first that failed.
static enum reply read_results(PGconn *conn, int64_t deadline_ms, PGresult **kept)
{
    for (;;) {
        while (PQisBusy(conn)) {
            if (!wait_socket(conn, POLLIN, deadline_ms)) {
                return REPLY_LATE;
            }
            if (!PQconsumeInput(conn)) {
                return REPLY_LOST;
            }
        }
        PGresult *result = PQgetResult(conn);
        if (result == NULL) {
            return PQstatus(conn) == CONNECTION_OK ? REPLY_COMPLETE : REPLY_LOST;
        }
        if (*kept != NULL && PQresultStatus(*kept) == PGRES_FATAL_ERROR) {
            PQclear(result);
            continue;
        }
        PQclear(*kept);
        *kept = result;
    }
}

static enum status lost(struct postgres *postgres, enum postgres_use use, enum reply reply)
{
    set_error(postgres, reply == REPLY_LATE ? "no answer in time" : PQerrorMessage(postgres->conn));
    postgres->sqlstate[0] = '\0';
    postgres_close(postgres);
    if (use == POSTGRES_WRITES) {
        return STATUS_UNKNOWN;
    }
    return reply == REPLY_LATE ? STATUS_TIMEOUT : STATUS_UNAVAILABLE;
}

// A server that is shutting down, full, or no longer the primary is as good as away.
static bool means_unavailable(const char *sqlstate)
{
    return strncmp(sqlstate, "57P", 3) == 0 || strncmp(sqlstate, "08", 2) == 0 ||
           strcmp(sqlstate, "53300") == 0 || strcmp(sqlstate, "25006") == 0;
}

static enum status refused(struct postgres *postgres, PGresult *result)
{
    set_result_error(postgres, result);
    PQclear(result);
    if (means_unavailable(postgres->sqlstate)) {
        postgres_close(postgres);
        return STATUS_UNAVAILABLE;
    }
    if (PQtransactionStatus(postgres->conn) != PQTRANS_IDLE) {
        postgres_close(postgres); // a script that left a transaction open
    }
    return STATUS_REFUSED;
}

// After a request was handed to libpq: sends it and reads what comes back.
static enum status complete_until(struct postgres *postgres, int64_t deadline_ms, bool sent,
                                  enum postgres_use use, PGresult **result)
{
    if (!sent) {
        return lost(postgres, POSTGRES_READS, REPLY_LOST); // it never left
    }
    PGresult *kept = NULL;
    enum reply reply = flush_request(postgres->conn, deadline_ms);
    if (reply == REPLY_COMPLETE) {
        reply = read_results(postgres->conn, deadline_ms, &kept);
    }
    if (reply != REPLY_COMPLETE || kept == NULL) {
        PQclear(kept);
        return lost(postgres, use, reply);
    }
    ExecStatusType outcome = PQresultStatus(kept);
    if (outcome != PGRES_COMMAND_OK && outcome != PGRES_TUPLES_OK) {
        return refused(postgres, kept);
    }
    *result = kept;
    return STATUS_OK;
}

static enum status complete(struct postgres *postgres, bool sent, enum postgres_use use,
                            PGresult **result)
{
    int64_t deadline_ms = monotonic_ms() + postgres->reply_timeout_ms;
    return complete_until(postgres, deadline_ms, sent, use, result);
}

static enum status settle(struct postgres *postgres, int64_t deadline_ms)
{
    PGresult *result = NULL;
    bool sent = PQsendQuery(postgres->conn, session_settings_sql) == 1;
    enum status status = complete_until(postgres, deadline_ms, sent, POSTGRES_READS, &result);
    PQclear(result);
    return status;
}

static bool is_prepared(const struct postgres *postgres, const char *name)
{
    for (size_t i = 0; i < postgres->prepared_count; i++) {
        if (strcmp(postgres->prepared[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static enum status prepare(struct postgres *postgres, const struct statement *statement)
{
    if (is_prepared(postgres, statement->name)) {
        return STATUS_OK;
    }
    if (postgres->prepared_count == PREPARED_MAX) {
        postgres->prepared_count = 0; // more names than we ever use
        postgres_close(postgres);
        return STATUS_UNAVAILABLE;
    }
    PGresult *result = NULL;
    enum status status = complete(postgres,
                                  PQsendPrepare(postgres->conn, statement->name, statement->sql,
                                                statement->param_count, statement->types) == 1,
                                  POSTGRES_READS, &result);
    if (status == STATUS_OK) {
        PQclear(result);
        postgres->prepared[postgres->prepared_count++] = statement->name;
    }
    return status;
}

static enum status run_prepared(struct postgres *postgres, const struct statement *statement,
                                enum postgres_use use, PGresult **result)
{
    enum status status = prepare(postgres, statement);
    if (status != STATUS_OK) {
        return status;
    }
    return complete(postgres,
                    PQsendQueryPrepared(postgres->conn, statement->name, statement->param_count,
                                        statement->values, statement->lengths, statement->formats,
                                        1) == 1,
                    use, result);
}

// What was prepared is gone (a pooler) or no longer fits (the schema changed under it): nothing was
// run, and a new connection prepares anew.
static bool is_plan_stale(const struct postgres *postgres)
{
    return strcmp(postgres->sqlstate, "26000") == 0 || strcmp(postgres->sqlstate, "0A000") == 0;
}

enum status postgres_run(struct postgres *postgres, const struct statement *statement,
                         enum postgres_use use, PGresult **result)
{
    enum status status = ensure_connected(postgres);
    if (status != STATUS_OK) {
        return status;
    }
    status = run_prepared(postgres, statement, use, result);
    if (status == STATUS_REFUSED && is_plan_stale(postgres)) {
        postgres_close(postgres);
        status = postgres_connect(postgres);
        if (status == STATUS_OK) {
            status = run_prepared(postgres, statement, use, result);
        }
    }
    return status;
}

enum status postgres_script(struct postgres *postgres, const char *sql, enum postgres_use use,
                            PGresult **result)
{
    enum status status = ensure_connected(postgres);
    if (status != STATUS_OK) {
        return status;
    }
    return complete(postgres, PQsendQuery(postgres->conn, sql) == 1, use, result);
}

static bool take_notices(PGconn *conn)
{
    bool any = false;
    for (PGnotify *notice = PQnotifies(conn); notice != NULL; notice = PQnotifies(conn)) {
        PQfreemem(notice);
        any = true;
    }
    return any;
}

enum status postgres_await_notice(struct postgres *postgres, int wait_ms, bool *rung)
{
    *rung = false;
    if (postgres->conn == NULL) {
        return STATUS_UNAVAILABLE;
    }
    int64_t deadline_ms = monotonic_ms() + wait_ms;
    *rung = take_notices(postgres->conn);
    if (!*rung && wait_socket(postgres->conn, POLLIN, deadline_ms)) {
        if (!PQconsumeInput(postgres->conn)) {
            return lost(postgres, POSTGRES_READS, REPLY_LOST);
        }
        *rung = take_notices(postgres->conn);
    }
    return STATUS_OK;
}

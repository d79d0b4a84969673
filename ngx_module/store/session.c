// SPDX-License-Identifier: Apache-2.0
// One connection to PostgreSQL on nginx's event loop: connecting, one statement at a time, back
// again after a loss. Only the pool uses it.
#include "store/session.h"

#include "base/monotonic.h"
#include "infrastructure/postgres/session_settings.h"
#include "store/abandoned.h"
#include "store/socket.h"

// While a worker has no session a few try often, one for each address to begin with, so that it
// serves within a second of a promotion; the others follow, and spare a server that refuses us.
enum { RETRY_FIRST_MS = 50, RETRY_LIMIT_MS = 5000, LEADER_RETRY_LIMIT_MS = 700 };

// Planning is slow on a busy machine, and nobody's budget runs while a session gets ready. With
// less, an edge of short timeouts would plan again and again and never serve.
enum { WARM_UP_MIN_MS = 5000 };

static void lose(struct ngx_http_comanda_connection *connection, const char *why,
                 enum status call_status);
static void on_socket(struct ngx_http_comanda_connection *connection);
static void settle(struct ngx_http_comanda_connection *connection);

// --- the socket ---

// nginx tells its idle connections that the worker drains by their read handler; a session is one
// while it has no call.
static void handle_event(ngx_event_t *event)
{
    ngx_connection_t *c = event->data;
    struct ngx_http_comanda_connection *connection = c->data;
    if (c->close && connection->call == NULL && connection->state == CONNECTION_IDLE) {
        ngx_http_comanda_postgres_drain(connection->postgres);
        if (connection->state == CONNECTION_CLOSED) {
            return;
        }
    }
    on_socket(connection);
}

static void set_call(struct ngx_http_comanda_connection *connection,
                     struct ngx_http_comanda_call *call)
{
    connection->call = call;
    connection->call_begun_us = monotonic_us();
    if (connection->c != NULL) {
        connection->c->idle = call == NULL;
    }
}

// Takes the call off the session and gives it.
static struct ngx_http_comanda_call *end_call(struct ngx_http_comanda_connection *connection)
{
    struct ngx_http_comanda_call *call = connection->call;
    if (call != NULL) {
        ngx_http_comanda_postgres_account(connection->postgres, call,
                                          monotonic_us() - connection->call_begun_us);
        set_call(connection, NULL);
    }
    return call;
}

static void unregister_socket(struct ngx_http_comanda_connection *connection)
{
    ngx_http_comanda_socket_forget(connection->c, connection->pg);
    connection->c = NULL;
}

static bool register_socket(struct ngx_http_comanda_connection *connection, bool write)
{
    connection->c = ngx_http_comanda_socket_watch(connection->pg, connection, handle_event, write);
    return connection->c != NULL;
}

// --- opening ---

static void ignore_notice(void *context, const char *message)
{
    (void)context;
    (void)message;
}

static void opened(struct ngx_http_comanda_connection *connection)
{
    ngx_del_timer(&connection->timer);
    if (PQsetnonblocking(connection->pg, 1) != 0) {
        lose(connection, "cannot be made non-blocking", STATUS_UNAVAILABLE);
        return;
    }
    connection->state = CONNECTION_IDLE;
    connection->prepared_count = 0;
    connection->warmed_up = 0;
    ngx_http_comanda_abandoned_leave_others(connection->postgres, connection->pg);
    settle(connection);
}

// libpq may change the socket between two steps, even for one of the same number, which the kernel
// has then forgotten to watch: so it is registered anew after each step.
static void continue_opening(struct ngx_http_comanda_connection *connection)
{
    unregister_socket(connection);
    PostgresPollingStatusType next = PQconnectPoll(connection->pg);
    if (next == PGRES_POLLING_FAILED) {
        lose(connection, PQerrorMessage(connection->pg), STATUS_UNAVAILABLE);
        return;
    }
    if (!register_socket(connection, next == PGRES_POLLING_WRITING)) {
        lose(connection, "no connection slot is left in nginx", STATUS_UNAVAILABLE);
        return;
    }
    if (next == PGRES_POLLING_OK) {
        opened(connection);
    }
}

void ngx_http_comanda_connection_open(struct ngx_http_comanda_connection *connection)
{
    const struct ngx_http_comanda_postgres *postgres = connection->postgres;
    const struct ngx_http_comanda_addresses *addresses =
        &postgres->addresses[connection->turn % postgres->address_count];
    if (connection->retry.timer_set) {
        ngx_del_timer(&connection->retry);
    }
    connection->state = CONNECTION_OPENING;
    connection->settled = false;
    // Asking for Kerberos tickets reads files and sockets; a conninfo that wants it may say so.
    connection->pg = session_connect_start(&(struct session_options){
        .conninfo = postgres->conninfo,
        .application_name = "comanda-edge",
        .user_timeout_ms = "15000",
        .gssencmode = "disable",
        .host = addresses->host,
        .hostaddr = addresses->hostaddr,
        .port = addresses->port,
    });
    if (connection->pg == NULL || PQstatus(connection->pg) == CONNECTION_BAD) {
        lose(connection, connection->pg == NULL ? "no memory" : PQerrorMessage(connection->pg),
             STATUS_UNAVAILABLE);
        return;
    }
    (void)PQsetNoticeProcessor(connection->pg, ignore_notice, NULL);
    ngx_add_timer(&connection->timer, postgres->timeout);
    if (!register_socket(connection, true)) {
        lose(connection, "no connection slot is left in nginx", STATUS_UNAVAILABLE);
    }
}

// --- one statement ---

static bool is_prepared(const struct ngx_http_comanda_connection *connection, const char *name)
{
    for (ngx_uint_t i = 0; i < connection->prepared_count; i++) {
        if (strcmp(connection->prepared[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static void flush(struct ngx_http_comanda_connection *connection)
{
    int left = PQflush(connection->pg);
    if (left < 0 || !ngx_http_comanda_socket_want_write(connection->c, left > 0)) {
        lose(connection, PQerrorMessage(connection->pg), STATUS_UNKNOWN);
    }
}

static void send_statement(struct ngx_http_comanda_connection *connection)
{
    const struct statement *statement = &connection->call->statement;
    int sent;
    if (is_prepared(connection, statement->name)) {
        connection->state = CONNECTION_RUNNING;
        sent = PQsendQueryPrepared(connection->pg, statement->name, statement->param_count,
                                   statement->values, statement->lengths, statement->formats, 1);
    } else {
        connection->state = CONNECTION_PREPARING;
        sent = PQsendPrepare(connection->pg, statement->name, statement->sql,
                             statement->param_count, statement->types);
    }
    if (!sent) {
        lose(connection, PQerrorMessage(connection->pg), STATUS_UNAVAILABLE);
        return;
    }
    flush(connection);
}

void ngx_http_comanda_connection_start(struct ngx_http_comanda_connection *connection,
                                       struct ngx_http_comanda_call *call)
{
    ngx_msec_t timeout = connection->postgres->timeout;
    set_call(connection, call);
    ngx_add_timer(&connection->timer,
                  connection->ready ? timeout : ngx_max(timeout, WARM_UP_MIN_MS));
    send_statement(connection);
}

static void ignore_result(struct ngx_http_comanda_call *call, enum status status,
                          const PGresult *result)
{
    (void)call;
    (void)status;
    (void)result;
}

static void take_settings(struct ngx_http_comanda_call *call, enum status status,
                          const PGresult *result)
{
    struct ngx_http_comanda_connection *connection =
        ngx_queue_data(call, struct ngx_http_comanda_connection, warm_up);
    (void)result;
    connection->settled = status == STATUS_OK;
    ngx_http_comanda_postgres_refused(connection->postgres,
                                      connection->settled ? NULL : session_refusal(call->sqlstate));
    if (connection->settled) {
        ngx_http_comanda_postgres_opened(connection);
    }
}

// Before all else: what bytes mean in this session.
static void settle(struct ngx_http_comanda_connection *connection)
{
    connection->settled = false;
    connection->warm_up = (struct ngx_http_comanda_call){
        .statement = {.name = "session_settings", .sql = session_settings_sql},
        .done = take_settings,
    };
    ngx_http_comanda_connection_start(connection, &connection->warm_up);
}

// Has the session plan what commands need, before one waits for it. Where that is refused it serves
// all the same: whoever needs what is missing will say so.
static void warm_up(struct ngx_http_comanda_connection *connection)
{
    if (!connection->settled) {
        const char *refusal = connection->postgres->refusal;
        lose(connection, refusal == NULL ? "a session's settings are refused" : refusal,
             STATUS_UNAVAILABLE);
        return;
    }
    if (connection->warmed_up < connection->postgres->warm_up_count) {
        connection->warm_up = (struct ngx_http_comanda_call){
            .statement = connection->postgres->warm_ups[connection->warmed_up++],
            .done = ignore_result,
        };
        ngx_http_comanda_connection_start(connection, &connection->warm_up);
        return;
    }
    connection->ready = true;
    backoff_reset(&connection->backoff);
    ngx_http_comanda_postgres_ready(connection);
}

static void clear_result(struct ngx_http_comanda_connection *connection)
{
    PQclear(connection->result);
    connection->result = NULL;
}

// STATUS_UNKNOWN: no server said it, libpq itself did, and the session is of no use any more.
static enum status judge(struct ngx_http_comanda_call *call, const PGresult *result)
{
    ExecStatusType kind = PQresultStatus(result);
    if (kind == PGRES_TUPLES_OK || kind == PGRES_COMMAND_OK) {
        return STATUS_OK;
    }
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    if (sqlstate == NULL) {
        return STATUS_UNKNOWN;
    }
    const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    ngx_cpystrn((u_char *)call->sqlstate, (u_char *)sqlstate, sizeof(call->sqlstate));
    if (session_refusal(call->sqlstate) != NULL) {
        return STATUS_REFUSED; // the pool tells it once
    }
    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0, "comanda: PostgreSQL refused \"%s\": %s %s",
                  call->statement.name, call->sqlstate, message == NULL ? "" : message);
    return STATUS_REFUSED;
}

// A session that cannot do its work any more: it became a standby's, its prepared statements are
// gone, or a table has changed under them.
static bool spoils_session(const char *sqlstate)
{
    static const char *const spoiling[] = {"25006", "26000", "0A000"};
    for (size_t i = 0; i < sizeof(spoiling) / sizeof(spoiling[0]); i++) {
        if (strcmp(sqlstate, spoiling[i]) == 0) {
            return true;
        }
    }
    return strncmp(sqlstate, "57P0", 4) == 0; // it is shutting down
}

// The server has said all it will say about the statement that runs.
static void statement_ended(struct ngx_http_comanda_connection *connection)
{
    struct ngx_http_comanda_call *call = connection->call;
    enum status status = judge(call, connection->result);
    if (status == STATUS_UNKNOWN) {
        lose(connection, PQresultErrorMessage(connection->result), STATUS_UNKNOWN);
        return;
    }
    if (status == STATUS_REFUSED && strncmp(call->sqlstate, "57P0", 4) == 0) {
        clear_result(connection);
        lose(connection, "the server is shutting down", STATUS_UNKNOWN);
        return;
    }
    if (status == STATUS_OK && connection->state == CONNECTION_PREPARING) {
        clear_result(connection);
        if (connection->prepared_count < PREPARED_MAX) {
            connection->prepared[connection->prepared_count++] = call->statement.name;
        }
        send_statement(connection);
        return;
    }
    ngx_del_timer(&connection->timer);
    (void)end_call(connection);
    connection->state = CONNECTION_IDLE;
    PGresult *result = connection->result;
    connection->result = NULL;
    bool spoilt = status == STATUS_REFUSED && spoils_session(call->sqlstate);
    call->done(call, status, status == STATUS_OK ? result : NULL);
    PQclear(result);
    if (connection->postgres->shut) {
        return;
    }
    if (spoilt) {
        lose(connection, "this session cannot go on", STATUS_UNAVAILABLE);
    } else if (!connection->ready) {
        warm_up(connection);
    } else {
        ngx_http_comanda_postgres_freed(connection);
    }
}

// Keeps the last result, or the first that failed: a commit comes after the rows, and may fail.
static void keep_result(struct ngx_http_comanda_connection *connection, PGresult *result)
{
    if (connection->result != NULL && PQresultStatus(connection->result) == PGRES_FATAL_ERROR) {
        PQclear(result);
        return;
    }
    PQclear(connection->result);
    connection->result = result;
}

static void read_results(struct ngx_http_comanda_connection *connection)
{
    while (connection->call != NULL && !PQisBusy(connection->pg)) {
        PGresult *result = PQgetResult(connection->pg);
        if (result == NULL) {
            if (connection->result == NULL) {
                lose(connection, PQerrorMessage(connection->pg), STATUS_UNKNOWN);
            } else {
                statement_ended(connection);
            }
            return;
        }
        keep_result(connection, result);
    }
}

static void on_socket(struct ngx_http_comanda_connection *connection)
{
    if (connection->state == CONNECTION_OPENING) {
        continue_opening(connection);
        return;
    }
    if (!PQconsumeInput(connection->pg)) {
        lose(connection, PQerrorMessage(connection->pg), STATUS_UNKNOWN);
        return;
    }
    if (connection->c->write->active) {
        flush(connection);
    }
    if (connection->call != NULL) {
        read_results(connection);
    } else if (connection->pg != NULL && !PQisBusy(connection->pg) &&
               PQstatus(connection->pg) == CONNECTION_BAD) {
        lose(connection, PQerrorMessage(connection->pg), STATUS_UNAVAILABLE);
    }
}

// --- loss ---

static void close_session(struct ngx_http_comanda_connection *connection)
{
    if (connection->timer.timer_set) {
        ngx_del_timer(&connection->timer);
    }
    unregister_socket(connection);
    clear_result(connection);
    PQfinish(connection->pg);
    connection->pg = NULL;
    connection->state = CONNECTION_CLOSED;
    connection->prepared_count = 0;
}

// call_status: what is true of a call that writes; one that only reads is simply not answered.
static void fail_call(struct ngx_http_comanda_connection *connection, enum status call_status)
{
    struct ngx_http_comanda_call *call = end_call(connection);
    if (call == NULL) {
        return;
    }
    if (call_status == STATUS_UNKNOWN && !call->writes) {
        call_status = STATUS_UNAVAILABLE;
    }
    call->done(call, call_status, NULL);
}

static void set_retry(struct ngx_http_comanda_connection *connection)
{
    const struct ngx_http_comanda_postgres *postgres = connection->postgres;
    if (ngx_exiting && postgres->waiting == 0) {
        return;
    }
    bool leads =
        postgres->open == 0 && connection < postgres->connections + postgres->address_count;
    connection->backoff.limit_ms = leads ? LEADER_RETRY_LIMIT_MS : RETRY_LIMIT_MS;
    int wait_ms = backoff_next_ms(&connection->backoff, (uint32_t)ngx_random());
    ngx_add_timer(&connection->retry, (ngx_msec_t)wait_ms);
}

static void lose(struct ngx_http_comanda_connection *connection, const char *why,
                 enum status call_status)
{
    if (connection->state == CONNECTION_PREPARING) {
        call_status = STATUS_UNAVAILABLE; // what it was to do was never sent
    }
    connection->turn += connection->state == CONNECTION_OPENING;
    ngx_http_comanda_postgres_closed(connection, why);
    close_session(connection);
    set_retry(connection);
    fail_call(connection, call_status);
    ngx_http_comanda_postgres_wake(connection->postgres); // what waited for its share's turn
}

// A write that was sent whole may have been done already and wait for its standby: its session is
// kept until it answers, and its call is answered now.
static void abandon(struct ngx_http_comanda_connection *connection)
{
    bool sent = connection->state == CONNECTION_RUNNING && !connection->c->write->active;
    if (sent && connection->call->writes &&
        ngx_http_comanda_abandoned_take(connection->postgres, connection->pg, connection->c)) {
        connection->pg = NULL;
        connection->c = NULL;
    }
}

static void handle_timeout(ngx_event_t *event)
{
    struct ngx_http_comanda_connection *connection = event->data;
    abandon(connection);
    bool unanswered = connection->call != NULL && !connection->call->writes;
    lose(connection, "no answer in time", unanswered ? STATUS_TIMEOUT : STATUS_UNKNOWN);
}

static void handle_retry(ngx_event_t *event)
{
    ngx_http_comanda_connection_open(event->data);
}

void ngx_http_comanda_connection_init(struct ngx_http_comanda_connection *connection,
                                      struct ngx_http_comanda_postgres *postgres, ngx_log_t *log)
{
    *connection = (struct ngx_http_comanda_connection){
        .postgres = postgres,
        .turn = (ngx_uint_t)(connection - postgres->connections),
        .timer = {.data = connection, .log = log, .handler = handle_timeout},
        .retry = {.data = connection, .log = log, .handler = handle_retry, .cancelable = 1},
        .backoff = {.first_ms = RETRY_FIRST_MS, .limit_ms = RETRY_LIMIT_MS},
    };
}

void ngx_http_comanda_connection_rest(struct ngx_http_comanda_connection *connection)
{
    if (connection->retry.timer_set) {
        ngx_del_timer(&connection->retry);
    }
    bool rests = connection->state == CONNECTION_IDLE && connection->call == NULL;
    if (rests || connection->state == CONNECTION_OPENING) {
        close_session(connection);
        connection->ready = false;
        ngx_http_comanda_postgres_rested(connection);
    }
}

void ngx_http_comanda_connection_shut(struct ngx_http_comanda_connection *connection)
{
    if (connection->retry.timer_set) {
        ngx_del_timer(&connection->retry);
    }
    bool begun = connection->state == CONNECTION_RUNNING;
    if (connection->pg != NULL) {
        close_session(connection);
    }
    fail_call(connection, begun ? STATUS_UNKNOWN : STATUS_UNAVAILABLE);
}

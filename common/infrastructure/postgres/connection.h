// SPDX-License-Identifier: Apache-2.0
// A blocking connection to PostgreSQL that comes back by itself: deadlines on every step, backoff
// with jitter, keepalives, prepared statements remembered. For daemons and the command line; one
// thread a connection.
#pragma once

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"
#include "infrastructure/postgres/statement.h"

struct postgres_options {
    const char *conninfo; // as libpq reads it; copied
    const char *application_name;
    int connect_timeout_ms; // 0: 5000
    // How long one statement may take; 0: 30000. It should outlast the role's statement_timeout:
    // it catches a server that is stopped, not one that is slow.
    int reply_timeout_ms;
};

struct postgres;

// Is it a connection string or URL that libpq reads? Why not is not said: libpq's words may quote
// the string, password and all.
bool postgres_conninfo_valid(const char *conninfo);

// Does not connect yet; the first statement does. NULL: no memory.
struct postgres *postgres_new(const struct postgres_options *options);
void postgres_free(struct postgres *postgres); // NULL is fine

// How long a statement may take from now on; 0: 30000.
void postgres_set_reply_timeout(struct postgres *postgres, int ms);

enum postgres_use {
    POSTGRES_READS,  // lost on the way: nothing was done
    POSTGRES_WRITES, // lost on the way: the outcome is unknown
};

// Runs a prepared statement as a transaction of its own and gives its result, which the caller
// clears. Connects first when there is no connection, at most once a call, and waits before that
// as the backoff says; a signal cuts the wait short.
// STATUS_UNAVAILABLE: no connection, or lost while reading. STATUS_TIMEOUT: no answer to a read in
// time. STATUS_UNKNOWN: no answer to a write, or the connection was lost after it was sent.
// STATUS_REFUSED: the server says no: see postgres_sqlstate. *result is untouched on failure.
enum status postgres_run(struct postgres *postgres, const struct statement *statement,
                         enum postgres_use use, PGresult **result) MUST_CHECK;

// Runs SQL text, several statements too, without parameters. Results are text; the last one's.
enum status postgres_script(struct postgres *postgres, const char *sql, enum postgres_use use,
                            PGresult **result) MUST_CHECK;

// Waits at most wait_ms for a NOTIFY of what this session listens to; *rung: one has come, since
// the last call or now. All that have come are taken. STATUS_UNAVAILABLE: no connection, or lost.
enum status postgres_await_notice(struct postgres *postgres, int wait_ms, bool *rung) MUST_CHECK;

// Connects if there is no connection. STATUS_UNAVAILABLE: see postgres_error.
enum status postgres_connect(struct postgres *postgres) MUST_CHECK;

// Closes the connection; the next statement makes a new one.
void postgres_close(struct postgres *postgres);

// True as long as the same connection lives; false after it was lost or closed.
bool postgres_is_connected(const struct postgres *postgres);

// Grows with each connection made: what belonged to a session (locks) is gone when it differs.
unsigned postgres_session(const struct postgres *postgres);

// Of the last failure: a sentence for people, and the five characters ("" if none).
const char *postgres_error(const struct postgres *postgres);
const char *postgres_sqlstate(const struct postgres *postgres);

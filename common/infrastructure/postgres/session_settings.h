// SPDX-License-Identifier: Apache-2.0
// How every session begins, the edge's and the daemons': at a primary, and with the settings on
// which the meaning of bytes and the durability of a commit depend, whatever the database, the role
// or the connection string says.
#pragma once

#include <libpq-fe.h>

struct session_options {
    const char *conninfo; // as libpq reads it; but for the encoding it may overrule what follows
    const char *application_name;
    const char *user_timeout_ms; // tcp_user_timeout
    const char *gssencmode;      // NULL: libpq's own
    const char *host;            // these: instead of the conninfo's, or NULL
    const char *hostaddr;
    const char *port;
};

// Begins to connect and does not block, where host and hostaddr need no name server. A server that
// is no primary is passed over. NULL: no memory; else PQconnectPoll goes on, PQfinish ends it.
PGconn *session_connect_start(const struct session_options *options);

// The first statement of a session, without parameters or rows. Where it is refused the session
// must not be used. Its settings win over those of the connection string, which may have an
// options= of its own. synchronous_commit: what postgresql.conf or the connection string says
// stays. A default of a database or a role that is weaker than `on` becomes `on`. It is refused
// where the log was written in another cluster (a dump that was restored), or none of this
// program's schema lies there: what is written to it would be overlooked, and a session that began
// before the dump was restored must not go on after.
extern const char session_settings_sql[];

// The same without a look at the log: for whoever makes or mends it.
extern const char session_settings_any_log_sql[];

// Why session_settings_sql was refused, and what to do, by its sqlstate; NULL: the server's own
// reasons.
const char *session_refusal(const char *sqlstate);

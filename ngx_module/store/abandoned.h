// SPDX-License-Identifier: Apache-2.0
// Sessions whose write had no answer in time. It may have been done and wait for a synchronous
// standby, or for a lock: PostgreSQL would not notice a socket that we close, and a backend would
// stay behind each time. So the session is kept, counted and bounded, until it answers or dies. It
// is never cancelled or ended by us: what it did stands.
#pragma once

#include "store/session.h"

// Takes a running session that was sent all of its statement. False: the maximum is out, or there
// is none.
bool ngx_http_comanda_abandoned_take(struct ngx_http_comanda_postgres *postgres, PGconn *pg,
                                     ngx_connection_t *c);

// A new session was opened: those that stand at another server than it are let go, since that one
// is not the primary any more.
void ngx_http_comanda_abandoned_leave_others(struct ngx_http_comanda_postgres *postgres,
                                             const PGconn *opened);

// At the worker's end.
void ngx_http_comanda_abandoned_shut(struct ngx_http_comanda_postgres *postgres);

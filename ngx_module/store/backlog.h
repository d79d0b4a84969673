// SPDX-License-Identifier: Apache-2.0
// How far the relay and the queues are behind, as PostgreSQL knows it from the daemons: looked at
// when a request asks, at most once a second by all processes of nginx together.
#pragma once

#include "store/read.h"

struct ngx_http_comanda_backlog;

// While the configuration is read. Its memory is shared by the processes and survives a reload.
// NULL: no memory.
struct ngx_http_comanda_backlog *ngx_http_comanda_backlog_declare(ngx_conf_t *cf);

// Milliseconds, as last heard; 0: nobody is behind, or nothing was heard for a while. Never waits:
// when the last look is a second old, it starts the next one.
ngx_msec_t ngx_http_comanda_backlog_ms(struct ngx_http_comanda_backlog *backlog,
                                       struct ngx_http_comanda_reads *reads);

// At the worker's end: forgets a look that is on its way.
void ngx_http_comanda_backlog_shut(struct ngx_http_comanda_backlog *backlog,
                                   struct ngx_http_comanda_reads *reads);

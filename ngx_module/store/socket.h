// SPDX-License-Identifier: Apache-2.0
// A libpq session's socket in nginx's event loop: level-triggered, so that a result larger than one
// read brings another event.
#pragma once

#include <libpq-fe.h>

#include "core/comanda.h"

// Reading is watched, writing where it is wanted; handler serves both. NULL: no connection slot is
// left in nginx.
ngx_connection_t *ngx_http_comanda_socket_watch(const PGconn *pg, void *data,
                                                ngx_event_handler_pt handler, bool write);

// False: the event loop refuses.
bool ngx_http_comanda_socket_want_write(ngx_connection_t *c, bool wanted);

// Before pg is finished. NULL is fine.
void ngx_http_comanda_socket_forget(ngx_connection_t *c, const PGconn *pg);

// SPDX-License-Identifier: Apache-2.0
// A libpq session's socket in nginx's event loop.
#include "store/socket.h"

bool ngx_http_comanda_socket_want_write(ngx_connection_t *c, bool wanted)
{
    ngx_event_t *event = c->write;
    if (wanted == (bool)event->active) {
        return true;
    }
    return wanted ? ngx_add_event(event, NGX_WRITE_EVENT, NGX_LEVEL_EVENT) == NGX_OK
                  : ngx_del_event(event, NGX_WRITE_EVENT, 0) == NGX_OK;
}

void ngx_http_comanda_socket_forget(ngx_connection_t *c, const PGconn *pg)
{
    if (c == NULL) {
        return;
    }
    // A socket that libpq has closed is forgotten by the kernel already.
    (void)ngx_del_conn(c, PQsocket(pg) == c->fd ? 0 : NGX_CLOSE_EVENT);
    if (c->read->posted) {
        ngx_delete_posted_event(c->read);
    }
    if (c->write->posted) {
        ngx_delete_posted_event(c->write);
    }
    ngx_free_connection(c);
    c->fd = (ngx_socket_t)-1;
}

ngx_connection_t *ngx_http_comanda_socket_watch(const PGconn *pg, void *data,
                                                ngx_event_handler_pt handler, bool write)
{
    ngx_connection_t *c = ngx_get_connection(PQsocket(pg), ngx_cycle->log);
    if (c == NULL) {
        return NULL;
    }
    c->data = data;
    c->log = ngx_cycle->log;
    c->read->log = c->log;
    c->write->log = c->log;
    c->read->handler = handler;
    c->write->handler = handler;
    if (ngx_add_event(c->read, NGX_READ_EVENT, NGX_LEVEL_EVENT) != NGX_OK ||
        !ngx_http_comanda_socket_want_write(c, write)) {
        ngx_http_comanda_socket_forget(c, pg);
        return NULL;
    }
    return c;
}

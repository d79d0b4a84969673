// SPDX-License-Identifier: Apache-2.0
// The addresses of PostgreSQL in each of the turns in which a session tries them. libpq waits for
// an address that says nothing for as long as it is let; whoever begins with the next one instead
// does not meet a machine that is gone for ever.
#pragma once

#include "core/comanda.h"

enum { NGX_HTTP_COMANDA_ADDRESSES_MAX = 8 };

// As libpq wants them: lists with commas. NULL: as the connection string says.
struct ngx_http_comanda_addresses {
    const char *host;
    const char *hostaddr;
    const char *port;
};

// Gives the turns, at least one, the given one first. More than the maximum are tried in the order
// given alone. 0: the lists do not fit together, or there is no memory, as *what says.
ngx_uint_t ngx_http_comanda_addresses_turn(
    ngx_pool_t *pool, struct ngx_http_comanda_addresses given,
    struct ngx_http_comanda_addresses turns[NGX_HTTP_COMANDA_ADDRESSES_MAX], const char **what);

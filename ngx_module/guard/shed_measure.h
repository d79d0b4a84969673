// SPDX-License-Identifier: Apache-2.0
// A client's request on its way through a shed zone: it counts from when its body is here until the
// server's answer is, and tells the zone's limit how long the server took if it was asked at all.
//
// An answer is an upstream's, or one that a handler of ours says came from a store. A request that
// was refused on the way, whose server could not be reached or whose client went away tells
// nothing.
#pragma once

#include "core/comanda.h"

#include "application/limit/concurrency_limit.h"

// Was it let through or refused before, perhaps before an internal redirect? Then it is not asked
// again.
bool ngx_http_comanda_shed_is_decided(ngx_http_request_t *r);

// It is let through: counted from now on, or from when its body is here. limit NULL: it was
// refused, nothing is counted. NGX_ERROR: no memory.
ngx_int_t ngx_http_comanda_shed_decide(ngx_http_request_t *r, struct concurrency_limit *limit,
                                       struct concurrency_claim claim);

// Adds the filters that see bodies and answers.
ngx_int_t ngx_http_comanda_shed_add_filters(ngx_conf_t *cf);

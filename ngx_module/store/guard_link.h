// SPDX-License-Identifier: Apache-2.0
// Ties this module to the guard module: what its headers declare is called through its table.
#pragma once

#include "core/comanda.h"

// Before anything else of the guard is called. NGX_ERROR: the guard module is not loaded, or it is
// of another build (logged, in words).
ngx_int_t ngx_http_comanda_link_guard(ngx_conf_t *cf);

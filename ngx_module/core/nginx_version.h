// SPDX-License-Identifier: Apache-2.0
// Which nginx these modules are built for, and all that differs between its versions.
//
// 1.23.0 made fields of headers_in and headers_out lists (ngx_table_elt_t.next): headers are pushed
// zeroed, so that `next` is NULL where there is one, and no field is read as a list. From 1.25 on
// headers of the event layer want _GNU_SOURCE before any system header: the Makefile sets it.
#pragma once

#include <nginx.h>

#if nginx_version < 1022000
#error "Comanda's modules need nginx 1.22.0 or later"
#endif

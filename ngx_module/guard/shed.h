// SPDX-License-Identifier: Apache-2.0
// Load shedding: what cannot be done in time is refused at once.
#pragma once

#include "core/comanda.h"

extern ngx_module_t ngx_http_comanda_shed_module;

// A store that comanda_shed by=postgres asks; the module that has it gives this while the
// configuration is read.
struct ngx_http_comanda_shed_store {
    const void *data;
    bool (*declared)(const void *data);              // does the configuration name one?
    ngx_msec_t (*wait)(const void *data, bool high); // of what would be begun now, measured
    ngx_msec_t (*budget)(const void *data);          // how long it may wait unless budget= says
};

// Copies it. In a module's preconfiguration.
void ngx_http_comanda_shed_set_store(ngx_conf_t *cf,
                                     const struct ngx_http_comanda_shed_store *store);

// SPDX-License-Identifier: Apache-2.0
// Load shedding: what cannot be done in time is refused at once.
#pragma once

#include "core/comanda.h"

extern ngx_module_t ngx_http_comanda_shed_module;

// A store that comanda_shed by=postgres and by=backlog ask; the module that has it gives this while
// the configuration is read.
struct ngx_http_comanda_shed_store {
    const void *data;
    bool (*declared)(const void *data);              // does the configuration name one?
    ngx_msec_t (*wait)(const void *data, bool high); // of what would be begun now, measured
    ngx_msec_t (*budget)(const void *data);          // how long it may wait unless budget= says
    // How long what would be begun now may lie until somebody takes it up; 0: not known, or not at
    // all. Asked once a request, it blocks for nothing.
    ngx_msec_t (*backlog)(const void *data);
    bool (*watch_backlog)(ngx_conf_t *cf); // it will be asked; false: no memory
};

// Copies it. In a module's preconfiguration.
void ngx_http_comanda_shed_set_store(ngx_conf_t *cf,
                                     const struct ngx_http_comanda_shed_store *store);

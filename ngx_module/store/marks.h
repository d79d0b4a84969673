// SPDX-License-Identifier: Apache-2.0
// The keys and streams that are in flight to the log: each may stand in one item at a time.
#pragma once

#include <ngx_config.h>
#include <ngx_core.h>

#include "base/uuid.h"

enum { NGX_HTTP_COMANDA_MARK_BUCKETS = 1024 };

// The caller's memory; it stays until dropped.
struct ngx_http_comanda_mark {
    ngx_queue_t link;
    struct uuid id;
};

struct ngx_http_comanda_marks {
    ngx_queue_t buckets[NGX_HTTP_COMANDA_MARK_BUCKETS];
};

void ngx_http_comanda_marks_init(struct ngx_http_comanda_marks *marks);
bool ngx_http_comanda_marks_has(struct ngx_http_comanda_marks *marks, struct uuid id);
void ngx_http_comanda_marks_add(struct ngx_http_comanda_marks *marks,
                                struct ngx_http_comanda_mark *mark, struct uuid id);
void ngx_http_comanda_marks_drop(struct ngx_http_comanda_mark *mark);

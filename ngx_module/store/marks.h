// SPDX-License-Identifier: Apache-2.0
// The keys and streams that are in flight to the log: each may stand in one item at a time.
#pragma once

#include <ngx_config.h>
#include <ngx_core.h>

#include "base/uuid.h"
#include "infrastructure/postgres/statement.h"

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

// Does the item's key, or one of its streams, stand in another? Two of one stream, or two with one
// key, are never in flight together: the second waits for the first and then finds out what became
// of it.
bool ngx_http_comanda_marks_have_key(struct ngx_http_comanda_marks *marks,
                                     const struct append_item *item);
bool ngx_http_comanda_marks_block(struct ngx_http_comanda_marks *marks,
                                  const struct append_item *item);
void ngx_http_comanda_marks_add(struct ngx_http_comanda_marks *marks,
                                struct ngx_http_comanda_mark *mark, struct uuid id);
void ngx_http_comanda_marks_drop(struct ngx_http_comanda_mark *mark);

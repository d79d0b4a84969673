// SPDX-License-Identifier: Apache-2.0
// The keys and streams that are in flight to the log: each may stand in one item at a time.
#include "store/marks.h"

static ngx_queue_t *bucket_of(struct ngx_http_comanda_marks *marks, struct uuid id)
{
    uint32_t tail; // the end of an id is random in every kind of id
    ngx_memcpy(&tail, id.bytes + 12, sizeof(tail));
    return &marks->buckets[tail % NGX_HTTP_COMANDA_MARK_BUCKETS];
}

void ngx_http_comanda_marks_init(struct ngx_http_comanda_marks *marks)
{
    for (size_t i = 0; i < NGX_HTTP_COMANDA_MARK_BUCKETS; i++) {
        ngx_queue_init(&marks->buckets[i]);
    }
}

bool ngx_http_comanda_marks_has(struct ngx_http_comanda_marks *marks, struct uuid id)
{
    ngx_queue_t *bucket = bucket_of(marks, id);
    for (ngx_queue_t *at = ngx_queue_head(bucket); at != ngx_queue_sentinel(bucket);
         at = ngx_queue_next(at)) {
        const struct ngx_http_comanda_mark *mark =
            ngx_queue_data(at, struct ngx_http_comanda_mark, link);
        if (uuid_eq(mark->id, id)) {
            return true;
        }
    }
    return false;
}

bool ngx_http_comanda_marks_have_key(struct ngx_http_comanda_marks *marks,
                                     const struct append_item *item)
{
    return item->key != NULL && ngx_http_comanda_marks_has(marks, item->key->id);
}

bool ngx_http_comanda_marks_block(struct ngx_http_comanda_marks *marks,
                                  const struct append_item *item)
{
    if (ngx_http_comanda_marks_have_key(marks, item)) {
        return true;
    }
    for (size_t i = 0; i < item->stream_count; i++) {
        if (ngx_http_comanda_marks_has(marks, item->streams[i].id)) {
            return true;
        }
    }
    return false;
}

void ngx_http_comanda_marks_add(struct ngx_http_comanda_marks *marks,
                                struct ngx_http_comanda_mark *mark, struct uuid id)
{
    mark->id = id;
    ngx_queue_t *bucket = bucket_of(marks, id);
    ngx_queue_insert_head(bucket, &mark->link);
}

void ngx_http_comanda_marks_drop(struct ngx_http_comanda_mark *mark)
{
    ngx_queue_remove(&mark->link);
}

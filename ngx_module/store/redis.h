// SPDX-License-Identifier: Apache-2.0
// Redis on nginx's event loop: documents by the versioned script, one connection a worker. A cache:
// whatever goes wrong is a miss, and nothing waits longer than the timeout. A document older than
// one that was shown is shown for a second at most (docs/adr/0014).
#pragma once

#include "application/ports/document_store.h"
#include "core/comanda.h"

struct ngx_http_comanda_redis;

// The life of a worker.
void ngx_http_comanda_redis_start(struct ngx_http_comanda_redis *redis, ngx_cycle_t *cycle);
void ngx_http_comanda_redis_shut(struct ngx_http_comanda_redis *redis);

// One request's command to Redis. It must stay until `done` or cancel.
struct ngx_http_comanda_redis_op {
    // STATUS_OK: value is what is there, or empty for a put; STATUS_NOT_FOUND: nothing is there;
    // STATUS_REFUSED: it said no, and value says why; any other: no answer. value lives until it
    // returns.
    void (*done)(struct ngx_http_comanda_redis_op *op, enum status status, struct str value);
    struct ngx_http_comanda_redis_op **place; // private, as what follows
    const struct document *document;          // of a put
};

// A request will want it: a worker that drains keeps its connection, or takes it again, until each
// hold is released. NULL is fine.
void ngx_http_comanda_redis_hold(struct ngx_http_comanda_redis *redis);
void ngx_http_comanda_redis_release(struct ngx_http_comanda_redis *redis);

// Both: STATUS_OK: done will be called, later. Else it will not.
enum status ngx_http_comanda_redis_get(struct ngx_http_comanda_redis *redis,
                                       const struct document_id *id,
                                       struct ngx_http_comanda_redis_op *op) MUST_CHECK;

// A document that was just made and is in no cache; nobody waits for the answer.
enum status ngx_http_comanda_redis_add(struct ngx_http_comanda_redis *redis,
                                       const struct document *document) MUST_CHECK;

// op NULL: nobody waits for the answer. With one the document stays until `done` or cancel: a
// server that was emptied of its scripts gets it once more.
enum status ngx_http_comanda_redis_put(struct ngx_http_comanda_redis *redis,
                                       const struct document *document,
                                       struct ngx_http_comanda_redis_op *op) MUST_CHECK;

// A document has changed and could not be put: what Redis has of it is dropped once it can be.
void ngx_http_comanda_redis_owe(struct ngx_http_comanda_redis *redis,
                                const struct document *document);

// In which generation a value must have been written to be read; empty: none is.
struct str ngx_http_comanda_redis_generation(const struct ngx_http_comanda_redis *redis);

// After it `done` will not be called. Fine for one that was never begun, or was answered.
void ngx_http_comanda_redis_cancel(struct ngx_http_comanda_redis_op *op);

// It answers, is one generation's and takes writes.
bool ngx_http_comanda_redis_ready(const struct ngx_http_comanda_redis *redis);

// It has refused our user, or something that our user may not do, within the last minute.
bool ngx_http_comanda_redis_refused(const struct ngx_http_comanda_redis *redis);

// It answers, but has refused a write and has taken none since.
bool ngx_http_comanda_redis_refuses_writes(const struct ngx_http_comanda_redis *redis);

// SPDX-License-Identifier: Apache-2.0
// Reads of many requests in one statement: streams of the log, idempotency keys, documents of the
// read schema, pages of lists, whether the schema is ours, and how far what comes after is behind.
#pragma once

#include "store/pool.h"

struct ngx_http_comanda_reads;
struct ngx_http_comanda_read_answer;

enum read_kind {
    READ_STREAMS,
    READ_KEY,
    READ_DOCUMENT,
    READ_PAGE,
    READ_SCHEMA,
    READ_RELAY, // of our schema only: an older one lacks the function
    READ_BACKLOG,
    READ_KINDS
};

enum { READ_ROWS_A_STREAM_MAX = 256 }; // more: stream_rows.more, ask again after the last

// One request's read. What it asks with may go as soon as it was cancelled or answered.
struct ngx_http_comanda_read {
    enum read_kind kind;
    const struct stream_query *queries; // READ_STREAMS: at most COMMAND_STREAMS_MAX
    size_t query_count;
    struct uuid key; // READ_KEY
    struct document_id document_id;
    struct document_page page;
    // answer is NULL unless STATUS_OK; all in it lives until `done` returns.
    void (*done)(struct ngx_http_comanda_read *read, enum status status,
                 const struct ngx_http_comanda_read_answer *answer);
    // Private.
    ngx_queue_t link;
    struct ngx_http_comanda_read **place; // in the group that is in flight
    bool waiting;
};

struct ngx_http_comanda_read_answer {
    const struct stream_rows *streams; // READ_STREAMS: one a query
    bool key_known;                    // READ_KEY
    struct append_key key;
    struct document document;         // READ_DOCUMENT: version 0: none
    const struct document *documents; // READ_PAGE
    size_t document_count;
    // READ_SCHEMA: its version. READ_RELAY: seconds that the log has waited for it; -1: none has
    // led. READ_BACKLOG: seconds that the relay or a queue is behind.
    int number;
    bool held;          // READ_RELAY: it is a transaction that keeps the log back, not the relay
    struct str lacking; // READ_SCHEMA: what our role may not do, "" for nothing
};

// In a worker's init_process; NULL: no memory. share: whose these reads are.
struct ngx_http_comanda_reads *ngx_http_comanda_reads_new(ngx_cycle_t *cycle,
                                                          struct ngx_http_comanda_postgres *pg,
                                                          enum ngx_http_comanda_share share);

// At the worker's end, when no call is on its way any more.
void ngx_http_comanda_reads_free(struct ngx_http_comanda_reads *reads);

// STATUS_OK: done will be called, later. Else it will not.
enum status ngx_http_comanda_read_start(struct ngx_http_comanda_reads *reads,
                                        struct ngx_http_comanda_read *read) MUST_CHECK;

// After it `done` will not be called. Fine for one that was never started, or was answered.
void ngx_http_comanda_read_cancel(struct ngx_http_comanda_reads *reads,
                                  struct ngx_http_comanda_read *read);

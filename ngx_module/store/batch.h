// SPDX-License-Identifier: Apache-2.0
// Group commit: the appends that arrive while a batch is in flight leave together as the next one,
// in one call and one transaction. No delay when idle, one fsync for many commands when busy.
#pragma once

#include "observe/metrics.h"
#include "store/pool.h"

struct ngx_http_comanda_batches;

enum append_state { APPEND_RESTING, APPEND_WAITING, APPEND_IN_FLIGHT };

// One command's append. It and its item must stay until `done`, in flight whatever happens to the
// request.
struct ngx_http_comanda_append {
    ngx_queue_t link;
    const struct append_item *item;
    bool high;           // before the others: cancellations
    ngx_msec_t deadline; // as ngx_current_msec; after it nothing is begun again
    // verdict is NULL unless STATUS_OK. Called once for each start that was not cancelled.
    void (*done)(struct ngx_http_comanda_append *append, enum status status,
                 const struct append_verdict *verdict);
    enum append_state state;
};

struct ngx_http_comanda_batch_metrics {
    struct ngx_http_comanda_metric *commands; // of one batch
    struct ngx_http_comanda_metric *took_us;  // from sending one to its answer
};

// While the configuration is read.
void ngx_http_comanda_batches_declare(ngx_conf_t *cf,
                                      struct ngx_http_comanda_batch_metrics *metrics);

// In a worker's init_process; NULL: no memory. metrics stay for the worker's life.
struct ngx_http_comanda_batches *ngx_http_comanda_batches_new(
    ngx_cycle_t *cycle, struct ngx_http_comanda_postgres *postgres,
    const struct ngx_http_comanda_batch_metrics *metrics);

// At the worker's end, when no call is on its way any more.
void ngx_http_comanda_batches_free(struct ngx_http_comanda_batches *batches);

// STATUS_OK: done will be called. STATUS_FULL, STATUS_UNAVAILABLE: it will not, nothing is begun.
enum status ngx_http_comanda_append_start(struct ngx_http_comanda_batches *batches,
                                          struct ngx_http_comanda_append *append) MUST_CHECK;

// Does it wait while another with its key is in flight?
bool ngx_http_comanda_append_has_twin(struct ngx_http_comanda_batches *batches,
                                      const struct ngx_http_comanda_append *append);

// True: it was still waiting, is certainly not written, and done will not be called. False: it is
// in flight, done will come.
bool ngx_http_comanda_append_cancel(struct ngx_http_comanda_batches *batches,
                                    struct ngx_http_comanda_append *append);

// How long a command put in the queue now would wait for its batch to commit, by the measured batch
// time and what stands before it, in milliseconds. high: it goes before the others.
ngx_msec_t ngx_http_comanda_batches_wait(const struct ngx_http_comanda_batches *batches, bool high);

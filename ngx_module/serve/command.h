// SPDX-License-Identifier: Apache-2.0
// comanda_command: a location that takes one command, decides it and appends its events.
#pragma once

#include "application/command/command_flow.h"
#include "observe/metrics.h"
#include "store/store.h"

extern ngx_module_t ngx_http_comanda_command_module;

enum command_outcome {
    OUTCOME_ACCEPTED,
    OUTCOME_UNCHANGED, // a success without an event
    OUTCOME_REPLAYED,
    OUTCOME_MALFORMED, // of headers too: no command can be read
    OUTCOME_INVALID,
    OUTCOME_NOT_FOUND,
    OUTCOME_REJECTED,
    OUTCOME_PRECONDITION,
    OUTCOME_KEY_REUSED,
    OUTCOME_IN_FLIGHT,
    OUTCOME_UNAVAILABLE,
    OUTCOME_UNKNOWN,
    OUTCOME_FAILED,
    OUTCOME_LONG_STREAM, // not read to its end in time
    OUTCOME_TOO_LARGE,   // past a limit of memory
    OUTCOME_ABORTED,     // the client went away first
    OUTCOMES,
};

struct ngx_http_comanda_command_conf {
    const struct command_type *type; // NULL: no comanda_command in this location
    ngx_str_t name;                  // "ordering.place_order"
    ngx_http_complex_value_t *target;
    ngx_str_t location; // the new stream's id is put behind it; empty: no Location
    ngx_str_t scope;
    ngx_uint_t status; // of a success
    bool high;
    struct ngx_http_comanda_store *store;
    struct ngx_http_comanda_metric *outcomes[OUTCOMES];
};

// One command on its way. It outlives its request while its append is in flight.
struct ngx_http_comanda_command_job {
    ngx_http_request_t *r; // NULL: the client has gone
    const struct ngx_http_comanda_command_conf *conf;
    struct arena arena;
    struct command_request request;
    struct command_flow *flow;
    struct ngx_http_comanda_append append;
    struct ngx_http_comanda_read read;
    struct ngx_http_comanda_lookup lookup;
    struct ngx_http_comanda_redis_op put;
    ngx_event_t deadline;
    ngx_msec_t started;
    bool replaying; // it was done before, its first answer is being read
    bool late;      // its budget ended while its append was in flight
    bool answered;
    bool in_flight; // its request has gone while its append was in flight
    bool pool_gone;
    ngx_queue_t link; // among the spare ones
};

// A job for this request, or NULL: no memory. It goes with the request, or later by itself.
struct ngx_http_comanda_command_job *ngx_http_comanda_command_job_new(
    ngx_http_request_t *r, const struct ngx_http_comanda_command_conf *conf);

// At the worker's end: the memory of jobs that are done.
void ngx_http_comanda_command_jobs_free(void);

// Everything in job->request is filled: from here to the answer.
void ngx_http_comanda_command_run(struct ngx_http_comanda_command_job *job);

// Answers the request and counts it. Both give the code to finalize with.
ngx_int_t ngx_http_comanda_command_answer(struct ngx_http_comanda_command_job *job);
ngx_int_t ngx_http_comanda_command_in_flight(struct ngx_http_comanda_command_job *job);

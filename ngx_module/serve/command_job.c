// SPDX-License-Identifier: Apache-2.0
// One command on nginx's event loop: brings the flow what it asks for, answers, and survives its
// client.
#include "serve/command.h"

#include "answer/answer.h"
#include "request/context.h"

enum {
    JOB_ARENA_BLOCK = 48 * 1024,
    JOB_ARENA_MAX = 8 * 1024 * 1024,
    SPARE_JOBS_MAX = 256,
    TWIN_WAIT_MS = 2000,
    REPLAY_BUDGETS = 5,
};

// Of this worker; a job keeps its first block of memory.
static ngx_queue_t spares;
static size_t spare_count;

static void run(struct ngx_http_comanda_command_job *job);

// --- lifetime ---

static struct ngx_http_comanda_command_job *take_spare(void)
{
    if (spare_count > 0) {
        ngx_queue_t *head = ngx_queue_head(&spares);
        ngx_queue_remove(head);
        spare_count--;
        return ngx_queue_data(head, struct ngx_http_comanda_command_job, link);
    }
    struct ngx_http_comanda_command_job *job = ngx_alloc(sizeof(*job), ngx_cycle->log);
    if (job != NULL) {
        arena_init(&job->arena, JOB_ARENA_BLOCK, JOB_ARENA_MAX);
    }
    return job;
}

static struct ngx_http_comanda_store *store_of(struct ngx_http_comanda_command_job *job)
{
    return job->conf->store;
}

static void release(struct ngx_http_comanda_command_job *job)
{
    if (job->deadline.timer_set) {
        ngx_del_timer(&job->deadline);
    }
    ngx_http_comanda_redis_release(store_of(job)->redis);
    if (spare_count == SPARE_JOBS_MAX) {
        arena_free(&job->arena);
        ngx_free(job);
        return;
    }
    if (spares.next == NULL) {
        ngx_queue_init(&spares);
    }
    arena_trim(&job->arena, JOB_ARENA_BLOCK);
    ngx_queue_insert_head(&spares, &job->link);
    spare_count++;
}

void ngx_http_comanda_command_jobs_free(void)
{
    for (; spare_count > 0; spare_count--) {
        ngx_queue_t *head = ngx_queue_head(&spares);
        ngx_queue_remove(head);
        struct ngx_http_comanda_command_job *job =
            ngx_queue_data(head, struct ngx_http_comanda_command_job, link);
        arena_free(&job->arena);
        ngx_free(job);
    }
}

// Takes back whatever has not left yet. False: the append is in flight.
static bool withdraw(struct ngx_http_comanda_command_job *job)
{
    ngx_http_comanda_lookup_cancel(&job->lookup);
    ngx_http_comanda_read_cancel(store_of(job)->command_reads, &job->read);
    ngx_http_comanda_redis_cancel(&job->put);
    return ngx_http_comanda_append_cancel(store_of(job)->batches, &job->append);
}

static void handle_request_gone(void *data)
{
    struct ngx_http_comanda_command_job *job = data;
    job->r = NULL;
    if (job->deadline.timer_set) {
        ngx_del_timer(&job->deadline);
    }
    if (!job->answered) {
        ngx_http_comanda_metric_add(job->conf->outcomes[OUTCOME_ABORTED], 1);
    }
    job->in_flight = !withdraw(job);
}

// A frame of HTTP/2 that has left in part still points to the answer when the client resets its
// stream, so the memory goes with the pool, or later when the append comes home.
static void handle_pool_gone(void *data)
{
    struct ngx_http_comanda_command_job *job = data;
    job->pool_gone = true;
    if (!job->in_flight) {
        release(job);
    }
}

static void answer(struct ngx_http_comanda_command_job *job, ngx_int_t rc)
{
    if (job->deadline.timer_set) {
        ngx_del_timer(&job->deadline);
    }
    ngx_http_comanda_finish(job->r, rc);
}

// --- the deadline ---

static bool waits_for_twin(struct ngx_http_comanda_command_job *job)
{
    return ngx_http_comanda_append_has_twin(store_of(job)->batches, &job->append);
}

static ngx_msec_t budget_of(struct ngx_http_comanda_command_job *job)
{
    return ngx_http_comanda_postgres_budget(store_of(job)->postgres);
}

// How long it may wait as it stands now. What was done before has no deadline left to miss, only an
// answer that may be a long way to read.
static ngx_msec_t patience_of(struct ngx_http_comanda_command_job *job)
{
    if (waits_for_twin(job)) {
        return TWIN_WAIT_MS;
    }
    return job->replaying ? budget_of(job) * REPLAY_BUDGETS : budget_of(job);
}

static void keep_snapshots(struct ngx_http_comanda_command_job *job)
{
    size_t count = 0;
    const struct snapshot *snapshots = command_flow_snapshots(job->flow, &count);
    ngx_http_comanda_snapshots_save(job->conf->store->snapshots, snapshots, count);
}

// What is in flight ends with its call, which PostgreSQL's connection times; here ends what waits
// to leave.
static void handle_deadline(ngx_event_t *event)
{
    struct ngx_http_comanda_command_job *job = event->data;
    ngx_msec_t waited = ngx_current_msec - job->started;
    if (waited < patience_of(job)) {
        ngx_add_timer(event, patience_of(job) - waited);
        return;
    }
    if (job->append.state == APPEND_IN_FLIGHT) {
        job->late = true; // whatever comes of it, nothing is tried again
        return;
    }
    bool twin = waits_for_twin(job);
    (void)withdraw(job);
    if (job->answered) { // it is done, only Redis has not heard of it yet
        answer(job, ngx_http_comanda_command_answer(job));
        return;
    }
    if (twin) {
        job->answered = true;
        answer(job, ngx_http_comanda_command_in_flight(job));
        return;
    }
    command_flow_fail(job->flow, STATUS_TIMEOUT);
    keep_snapshots(job);
    run(job);
}

struct ngx_http_comanda_command_job *ngx_http_comanda_command_job_new(
    ngx_http_request_t *r, const struct ngx_http_comanda_command_conf *conf)
{
    ngx_pool_cleanup_t *memory = ngx_pool_cleanup_add(r->pool, 0);
    ngx_http_cleanup_t *cleanup = ngx_http_cleanup_add(r, 0);
    if (memory == NULL || cleanup == NULL) {
        return NULL;
    }
    struct ngx_http_comanda_command_job *job = take_spare();
    if (job == NULL) {
        return NULL;
    }
    struct arena arena = job->arena;
    ngx_memzero(job, sizeof(*job));
    job->arena = arena;
    job->r = r;
    job->conf = conf;
    job->deadline = (ngx_event_t){.data = job, .log = ngx_cycle->log, .handler = handle_deadline};
    ngx_http_comanda_redis_hold(conf->store->redis);
    memory->handler = handle_pool_gone;
    memory->data = job;
    cleanup->handler = handle_request_gone;
    cleanup->data = job;
    return job;
}

// --- what the flow asks for ---

static void hear(const struct ngx_http_comanda_command_job *job, enum status status)
{
    if (job->r != NULL && (status == STATUS_OK || status == STATUS_REFUSED)) {
        ngx_http_comanda_hear_store(job->r, NGX_HTTP_COMANDA_STORE_ANSWERED);
    } else if (job->r != NULL && (status == STATUS_TIMEOUT || status == STATUS_UNKNOWN)) {
        ngx_http_comanda_hear_store(job->r, NGX_HTTP_COMANDA_STORE_SILENT);
    }
}

static void handle_lookups(struct ngx_http_comanda_lookup *lookup, enum status status,
                           const struct lookup_rows *rows)
{
    struct ngx_http_comanda_command_job *job =
        ngx_queue_data(lookup, struct ngx_http_comanda_command_job, lookup);
    if (status == STATUS_OK) {
        command_flow_take_lookups(job->flow, rows);
    } else {
        command_flow_fail(job->flow, status);
    }
    run(job);
}

static void handle_read(struct ngx_http_comanda_read *read, enum status status,
                        const struct ngx_http_comanda_read_answer *given)
{
    struct ngx_http_comanda_command_job *job =
        ngx_queue_data(read, struct ngx_http_comanda_command_job, read);
    hear(job, status);
    if (status != STATUS_OK) {
        command_flow_fail(job->flow, status);
    } else if (read->kind == READ_KEY) {
        command_flow_take_key(job->flow, given->key_known, &given->key);
    } else {
        command_flow_take_streams(job->flow, given->streams);
    }
    if (read->kind == READ_STREAMS) {
        keep_snapshots(job);
    }
    run(job);
}

static void handle_put(struct ngx_http_comanda_redis_op *op, enum status status, struct str value)
{
    struct ngx_http_comanda_command_job *job =
        ngx_queue_data(op, struct ngx_http_comanda_command_job, put);
    (void)status; // whether Redis has it or not: the log does, and an older one is not read there
    (void)value;
    answer(job, ngx_http_comanda_command_answer(job));
}

// True: the answer waits for Redis, so that whoever changed a document reads it changed. A new one
// is in no cache: who misses it there finds it in the log.
static bool send_document(struct ngx_http_comanda_command_job *job)
{
    struct ngx_http_comanda_redis *redis = store_of(job)->redis;
    const struct command_answer *given = command_flow_answer(job->flow);
    if (redis == NULL || given->kind != ANSWER_DONE || !given->appended ||
        given->document.collection.len == 0) {
        return false;
    }
    if (job->conf->type->creates) {
        (void)!ngx_http_comanda_redis_add(redis, &given->document);
        return false;
    }
    bool waits = job->r != NULL;
    job->put.done = handle_put;
    if (ngx_http_comanda_redis_put(redis, &given->document, waits ? &job->put : NULL) ==
        STATUS_OK) {
        return waits;
    }
    ngx_http_comanda_redis_owe(redis, &given->document);
    return false;
}

static void finish(struct ngx_http_comanda_command_job *job)
{
    bool waits = send_document(job);
    if (job->r == NULL) {
        job->in_flight = false;
        if (job->pool_gone) {
            release(job);
        }
        return;
    }
    job->answered = true;
    if (!waits) {
        answer(job, ngx_http_comanda_command_answer(job));
    }
}

static void handle_append(struct ngx_http_comanda_append *append, enum status status,
                          const struct append_verdict *verdict)
{
    struct ngx_http_comanda_command_job *job =
        ngx_queue_data(append, struct ngx_http_comanda_command_job, append);
    hear(job, status);
    if (status == STATUS_OK) {
        command_flow_take_verdict(job->flow, verdict);
    } else {
        command_flow_fail(job->flow, status);
    }
    run(job);
}

static enum status ask_lookups(struct ngx_http_comanda_command_job *job, bool *now)
{
    struct lookup_rows rows;
    const struct lookup_keys *keys = command_flow_lookups(job->flow);
    *now = ngx_http_comanda_lookup_now(store_of(job)->lookups, keys, &rows);
    if (*now) {
        command_flow_take_lookups(job->flow, &rows);
        return STATUS_OK;
    }
    job->lookup.keys = keys;
    job->lookup.done = handle_lookups;
    return ngx_http_comanda_lookup_start(store_of(job)->lookups, &job->lookup);
}

static enum status ask_streams(struct ngx_http_comanda_command_job *job)
{
    job->read.kind = READ_STREAMS;
    job->read.queries = command_flow_queries(job->flow, &job->read.query_count);
    job->read.done = handle_read;
    return ngx_http_comanda_read_start(store_of(job)->command_reads, &job->read);
}

static enum status ask_key(struct ngx_http_comanda_command_job *job)
{
    job->read.kind = READ_KEY;
    job->read.key = command_flow_key(job->flow)->id;
    job->read.done = handle_read;
    return ngx_http_comanda_read_start(store_of(job)->command_reads, &job->read);
}

static enum status ask_append(struct ngx_http_comanda_command_job *job)
{
    job->append.item = command_flow_item(job->flow);
    job->append.high = job->conf->high;
    job->append.deadline = job->started + budget_of(job);
    job->append.done = handle_append;
    return ngx_http_comanda_append_start(store_of(job)->batches, &job->append);
}

static enum status ask(struct ngx_http_comanda_command_job *job, enum command_flow_want want,
                       bool *now)
{
    *now = false; // the answer comes by an event
    job->replaying = want == FLOW_WANT_DOCUMENT;
    switch (want) {
    case FLOW_WANT_LOOKUPS:
        return ask_lookups(job, now);
    case FLOW_WANT_STREAMS:
    case FLOW_WANT_DOCUMENT:
        return ask_streams(job);
    case FLOW_WANT_APPEND:
        return ask_append(job);
    case FLOW_WANT_KEY:
        return ask_key(job);
    case FLOW_WANT_NOTHING:
        break;
    }
    return STATUS_OK;
}

// Goes on until the flow has to wait or has its answer. A command whose client has gone needs no
// more than it has: what was in flight is done or not, and the key tells.
static void run(struct ngx_http_comanda_command_job *job)
{
    for (;;) {
        enum command_flow_want want = command_flow_next(job->flow);
        if (want == FLOW_WANT_NOTHING || job->r == NULL) {
            finish(job);
            return;
        }
        bool now = true;
        enum status status = job->late ? STATUS_TIMEOUT : ask(job, want, &now);
        if (status != STATUS_OK) {
            command_flow_fail(job->flow, status);
        } else if (!now) {
            return;
        }
    }
}

// --- from the body on ---

void ngx_http_comanda_command_run(struct ngx_http_comanda_command_job *job)
{
    job->flow = command_flow_new(&job->request, &job->arena);
    if (job->flow == NULL || ngx_http_comanda_watch_client(job->r) != NGX_OK) {
        ngx_http_finalize_request(job->r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }
    job->started = ngx_current_msec;
    ngx_add_timer(&job->deadline, ngx_min(budget_of(job), TWIN_WAIT_MS));
    run(job);
}

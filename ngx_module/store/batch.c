// SPDX-License-Identifier: Apache-2.0
// Group commit: the appends that arrive while a batch is in flight leave together as the next one,
// in one call and one transaction. No delay when idle, one fsync for many commands when busy.
#include "store/batch.h"

#include "application/command/batch_policy.h"
#include "application/limit/wait_estimate.h"
#include "base/monotonic.h"
#include "domain/bounded_context.h"
#include "store/marks.h"
#include "store/session.h"

enum {
    BATCH_ITEMS_MAX = 512,
    BATCH_ARENA_BLOCK = 256 * 1024,
    BATCH_ARENA_MAX = 256 * 1024 * 1024,
    SPARE_BATCHES_MAX = 4,
    SPARE_BYTES_MAX = 4 * 1024 * 1024,           // of each of a spare batch's arenas
    COMMAND_MARKS_MAX = COMMAND_STREAMS_MAX + 1, // its streams and its key
};

struct batch {
    struct ngx_http_comanda_call call;
    ngx_queue_t link; // among halves or spares
    struct ngx_http_comanda_batches *batches;
    struct arena arena;      // of members and marks
    struct arena call_arena; // of parameters and verdicts
    struct ngx_http_comanda_append *members[BATCH_ITEMS_MAX];
    size_t count;
    struct ngx_http_comanda_mark *marks;
    size_t mark_count;
    struct append_item *items; // copies, as comanda.append's encoder wants them side by side
    int64_t sent_us;
};

struct ngx_http_comanda_batches {
    struct ngx_http_comanda_source source;
    struct ngx_http_comanda_postgres *postgres;
    ngx_queue_t high;
    ngx_queue_t normal;
    size_t high_count;
    size_t normal_count;
    ngx_queue_t halves; // of batches that failed as a whole; they go first
    ngx_queue_t spares;
    size_t spare_count;
    struct ngx_http_comanda_marks marks;
    struct batch *in_flight[CONNECTIONS_MAX];
    size_t in_flight_count;
    struct wait_estimate estimate;
    const struct ngx_http_comanda_batch_metrics *metrics;
};

// --- which ids are in flight ---

static void add_mark(struct batch *batch, struct uuid id)
{
    struct ngx_http_comanda_mark *mark = &batch->marks[batch->mark_count++];
    ngx_http_comanda_marks_add(&batch->batches->marks, mark, id);
}

static void drop_marks(struct batch *batch)
{
    for (size_t i = 0; i < batch->mark_count; i++) {
        ngx_http_comanda_marks_drop(&batch->marks[i]);
    }
    batch->mark_count = 0;
}

// --- batches ---

static struct batch *new_batch(struct ngx_http_comanda_batches *batches)
{
    struct batch *batch;
    if (ngx_queue_empty(&batches->spares)) {
        batch = ngx_alloc(sizeof(*batch), ngx_cycle->log);
        if (batch == NULL) {
            return NULL;
        }
        arena_init(&batch->arena, BATCH_ARENA_BLOCK, BATCH_ARENA_MAX);
        arena_init(&batch->call_arena, BATCH_ARENA_BLOCK, BATCH_ARENA_MAX);
        batch->batches = batches;
    } else {
        batch = ngx_queue_data(ngx_queue_head(&batches->spares), struct batch, link);
        ngx_queue_remove(&batch->link);
        batches->spare_count--;
    }
    batch->count = 0;
    batch->mark_count = 0;
    return batch;
}

static void free_batch(struct batch *batch)
{
    arena_free(&batch->arena);
    arena_free(&batch->call_arena);
    ngx_free(batch);
}

static void release_batch(struct batch *batch)
{
    struct ngx_http_comanda_batches *batches = batch->batches;
    drop_marks(batch);
    if (batches->spare_count < SPARE_BATCHES_MAX) {
        arena_trim(&batch->arena, SPARE_BYTES_MAX);
        arena_trim(&batch->call_arena, SPARE_BYTES_MAX);
        ngx_queue_insert_head(&batches->spares, &batch->link);
        batches->spare_count++;
        return;
    }
    free_batch(batch);
}

static size_t marks_of(const struct append_item *item)
{
    return item->stream_count + (item->key != NULL);
}

// Marks the ids of all members anew.
static bool mark_members(struct batch *batch)
{
    size_t needed = 0;
    for (size_t i = 0; i < batch->count; i++) {
        needed += marks_of(batch->members[i]->item);
    }
    batch->marks = arena_array(&batch->arena, needed + 1, sizeof(*batch->marks));
    if (batch->marks == NULL) {
        return false;
    }
    for (size_t i = 0; i < batch->count; i++) {
        const struct append_item *item = batch->members[i]->item;
        if (item->key != NULL) {
            add_mark(batch, item->key->id);
        }
        for (size_t j = 0; j < item->stream_count; j++) {
            add_mark(batch, item->streams[j].id);
        }
    }
    return true;
}

// --- gathering ---

static size_t *counter_of(struct ngx_http_comanda_batches *batches, bool high)
{
    return high ? &batches->high_count : &batches->normal_count;
}

static void take_out(struct ngx_http_comanda_batches *batches,
                     struct ngx_http_comanda_append *append)
{
    ngx_queue_remove(&append->link);
    (*counter_of(batches, append->high))--;
    ngx_http_comanda_postgres_leave(batches->postgres, &batches->source);
}

// Within one batch the ids are marked one by one, so that twins in it see each other too.
static bool add_member(struct batch *batch, struct ngx_http_comanda_append *append, size_t room)
{
    if (batch->mark_count + marks_of(append->item) > room) {
        return false;
    }
    batch->members[batch->count++] = append;
    if (append->item->key != NULL) {
        add_mark(batch, append->item->key->id);
    }
    for (size_t i = 0; i < append->item->stream_count; i++) {
        add_mark(batch, append->item->streams[i].id);
    }
    append->state = APPEND_IN_FLIGHT;
    return true;
}

static void gather_from(struct batch *batch, ngx_queue_t *queue, size_t room)
{
    ngx_queue_t *at = ngx_queue_head(queue);
    while (at != ngx_queue_sentinel(queue) && batch->count < BATCH_ITEMS_MAX) {
        struct ngx_http_comanda_append *append =
            ngx_queue_data(at, struct ngx_http_comanda_append, link);
        at = ngx_queue_next(at);
        if (ngx_http_comanda_marks_block(&batch->batches->marks, append->item)) {
            continue;
        }
        if (!add_member(batch, append, room)) {
            return;
        }
        take_out(batch->batches, append);
    }
}

static struct batch *gather(struct ngx_http_comanda_batches *batches)
{
    size_t waiting = batches->high_count + batches->normal_count;
    size_t largest = 0;
    for (size_t i = 0; i < batches->in_flight_count; i++) {
        largest = ngx_max(largest, batches->in_flight[i]->count);
    }
    if (!batch_may_leave(waiting, batches->in_flight_count, largest)) {
        return NULL;
    }
    struct batch *batch = new_batch(batches);
    if (batch == NULL) {
        return NULL;
    }
    size_t room = ngx_min(waiting, BATCH_ITEMS_MAX) * 2 + COMMAND_MARKS_MAX;
    batch->marks = arena_array(&batch->arena, room, sizeof(*batch->marks));
    if (batch->marks != NULL) {
        gather_from(batch, &batches->high, room);
        gather_from(batch, &batches->normal, room);
    }
    if (batch->count == 0) { // all that wait are twins of what is in flight
        release_batch(batch);
        return NULL;
    }
    return batch;
}

// --- sending and reading ---

static void answer_all(struct batch *batch, enum status status,
                       const struct append_verdict *verdicts)
{
    struct ngx_http_comanda_batches *batches = batch->batches;
    drop_marks(batch);
    for (size_t i = 0; i < batch->count; i++) {
        struct ngx_http_comanda_append *append = batch->members[i];
        append->state = APPEND_RESTING;
        append->done(append, status, verdicts == NULL ? NULL : &verdicts[i]);
    }
    release_batch(batch);
    if (batches->high_count + batches->normal_count > 0) {
        ngx_http_comanda_postgres_wake(batches->postgres);
    }
}

static enum status encode(struct batch *batch)
{
    arena_reset(&batch->call_arena);
    batch->items = arena_array(&batch->call_arena, batch->count, sizeof(*batch->items));
    if (batch->items == NULL) {
        return STATUS_NO_MEMORY;
    }
    for (size_t i = 0; i < batch->count; i++) {
        batch->items[i] = *batch->members[i]->item;
    }
    return statement_append(batch->items, batch->count, &batch->call_arena, &batch->call.statement);
}

// The halves keep their places among what is in flight, so no twin slips in between.
static void halve(struct batch *batch)
{
    struct ngx_http_comanda_batches *batches = batch->batches;
    struct batch *second = new_batch(batches);
    if (second == NULL) {
        answer_all(batch, STATUS_NO_MEMORY, NULL);
        return;
    }
    drop_marks(batch);
    arena_reset(&batch->arena);
    size_t first_count = batch->count / 2;
    second->count = batch->count - first_count;
    ngx_memcpy(second->members, batch->members + first_count,
               second->count * sizeof(second->members[0]));
    batch->count = first_count;
    if (!mark_members(batch) || !mark_members(second)) {
        answer_all(batch, STATUS_NO_MEMORY, NULL);
        answer_all(second, STATUS_NO_MEMORY, NULL);
        return;
    }
    ngx_queue_insert_tail(&batches->halves, &batch->link);
    ngx_queue_insert_tail(&batches->halves, &second->link);
    ngx_http_comanda_postgres_wake(batches->postgres);
}

static void refused(struct batch *batch)
{
    static const struct append_verdict again = {.outcome = APPEND_AGAIN};
    switch (batch_remedy(batch->call.sqlstate, batch->count)) {
    case BATCH_GIVE_UP:
    case BATCH_REFUSE:
        answer_all(batch, STATUS_REFUSED, NULL);
        break;
    case BATCH_AGAIN:
        answer_all(batch, STATUS_OK, &again);
        break;
    case BATCH_HALVE:
        halve(batch);
        break;
    }
}

static void account(struct batch *batch, enum status status)
{
    struct ngx_http_comanda_batches *batches = batch->batches;
    int64_t took_us = monotonic_us() - batch->sent_us;
    for (size_t i = 0; i < batches->in_flight_count; i++) {
        if (batches->in_flight[i] == batch) {
            batches->in_flight[i] = batches->in_flight[--batches->in_flight_count];
            break;
        }
    }
    wait_estimate_add(&batches->estimate, batch->count, (double)took_us / 1000, status);
    ngx_http_comanda_metric_observe(batches->metrics->took_us, took_us);
}

static void handle_done(struct ngx_http_comanda_call *call, enum status status,
                        const PGresult *result)
{
    struct batch *batch = ngx_queue_data(call, struct batch, call);
    account(batch, status);
    if (status == STATUS_REFUSED) {
        refused(batch);
        return;
    }
    if (status != STATUS_OK) {
        answer_all(batch, status, NULL);
        return;
    }
    struct append_verdict *verdicts =
        arena_array(&batch->call_arena, batch->count, sizeof(*verdicts));
    status = verdicts == NULL ? STATUS_NO_MEMORY
                              : statement_append_read(result, batch->items, batch->count,
                                                      &batch->call_arena, verdicts);
    if (status == STATUS_OK) {
        answer_all(batch, STATUS_OK, verdicts);
    } else {
        answer_all(batch, STATUS_UNKNOWN, NULL); // it is done, but what was done cannot be read
    }
}

static struct batch *take_half(struct ngx_http_comanda_batches *batches)
{
    struct batch *batch = ngx_queue_data(ngx_queue_head(&batches->halves), struct batch, link);
    ngx_queue_remove(&batch->link);
    return batch;
}

static void refuse_all(struct ngx_http_comanda_batches *batches, ngx_queue_t *queue)
{
    while (!ngx_queue_empty(queue)) {
        struct ngx_http_comanda_append *append =
            ngx_queue_data(ngx_queue_head(queue), struct ngx_http_comanda_append, link);
        take_out(batches, append);
        append->state = APPEND_RESTING;
        append->done(append, STATUS_UNAVAILABLE, NULL);
    }
}

// No session is left: what was refused as part of a batch and was to be tried again is given up.
// No write may begin: so is all that waits.
static void give_up(struct ngx_http_comanda_source *source)
{
    struct ngx_http_comanda_batches *batches =
        ngx_queue_data(source, struct ngx_http_comanda_batches, source);
    while (!ngx_queue_empty(&batches->halves)) {
        answer_all(take_half(batches), STATUS_UNAVAILABLE, NULL);
    }
    if (ngx_http_comanda_postgres_is_stuck(batches->postgres)) {
        refuse_all(batches, &batches->high);
        refuse_all(batches, &batches->normal);
    }
}

// Whose budget was spent while the batch was refused is not begun again: it would take a lock's or
// a statement's whole timeout once more, for a client that has given up.
static bool drop_late(struct batch *batch)
{
    size_t kept = 0;
    for (size_t i = 0; i < batch->count; i++) {
        struct ngx_http_comanda_append *append = batch->members[i];
        if ((ngx_msec_int_t)(append->deadline - ngx_current_msec) > 0) {
            batch->members[kept++] = append;
        } else {
            append->state = APPEND_RESTING;
            append->done(append, STATUS_TIMEOUT, NULL);
        }
    }
    batch->count = kept;
    return kept > 0;
}

static struct batch *next_batch(struct ngx_http_comanda_batches *batches)
{
    while (!ngx_queue_empty(&batches->halves)) {
        struct batch *half = take_half(batches);
        if (drop_late(half)) {
            return half;
        }
        release_batch(half);
    }
    return gather(batches);
}

static struct ngx_http_comanda_call *offer(struct ngx_http_comanda_source *source)
{
    struct ngx_http_comanda_batches *batches =
        ngx_queue_data(source, struct ngx_http_comanda_batches, source);
    struct batch *batch;
    while ((batch = next_batch(batches)) != NULL) {
        enum status status = encode(batch);
        if (status == STATUS_OK) {
            break;
        }
        if (batch->count == 1) {
            answer_all(batch, status, NULL);
        } else {
            halve(batch);
        }
    }
    if (batch == NULL) {
        return NULL;
    }
    batch->call.writes = true;
    batch->call.done = handle_done;
    batch->sent_us = monotonic_us();
    batches->in_flight[batches->in_flight_count++] = batch;
    ngx_http_comanda_metric_observe(batches->metrics->commands, (int64_t)batch->count);
    return &batch->call;
}

// --- for commands ---

enum status ngx_http_comanda_append_start(struct ngx_http_comanda_batches *batches,
                                          struct ngx_http_comanda_append *append)
{
    enum status status = ngx_http_comanda_postgres_enter(batches->postgres, &batches->source);
    if (status != STATUS_OK) {
        return status;
    }
    append->state = APPEND_WAITING;
    ngx_queue_insert_tail(append->high ? &batches->high : &batches->normal, &append->link);
    (*counter_of(batches, append->high))++;
    ngx_http_comanda_postgres_wake(batches->postgres);
    return STATUS_OK;
}

bool ngx_http_comanda_append_has_twin(struct ngx_http_comanda_batches *batches,
                                      const struct ngx_http_comanda_append *append)
{
    return append->state == APPEND_WAITING &&
           ngx_http_comanda_marks_have_key(&batches->marks, append->item);
}

bool ngx_http_comanda_append_cancel(struct ngx_http_comanda_batches *batches,
                                    struct ngx_http_comanda_append *append)
{
    if (append->state == APPEND_WAITING) {
        take_out(batches, append);
        append->state = APPEND_RESTING;
    }
    return append->state == APPEND_RESTING;
}

ngx_msec_t ngx_http_comanda_batches_wait(const struct ngx_http_comanda_batches *batches, bool high)
{
    size_t queued = batches->high_count + (high ? 0 : batches->normal_count);
    int64_t oldest_us = -1000;
    int64_t now_us = monotonic_us();
    for (size_t i = 0; i < batches->in_flight_count; i++) {
        oldest_us = ngx_max(oldest_us, now_us - batches->in_flight[i]->sent_us);
    }
    return (ngx_msec_t)wait_estimate_ms(&batches->estimate, queued, (double)oldest_us / 1000);
}

// --- set-up ---

struct ngx_http_comanda_batches *ngx_http_comanda_batches_new(
    ngx_cycle_t *cycle, struct ngx_http_comanda_postgres *postgres,
    const struct ngx_http_comanda_batch_metrics *metrics)
{
    struct ngx_http_comanda_batches *batches = ngx_pcalloc(cycle->pool, sizeof(*batches));
    if (batches == NULL) {
        return NULL;
    }
    batches->source.offer = offer;
    batches->source.down = give_up;
    batches->source.writes = true;
    batches->postgres = postgres;
    batches->metrics = metrics;
    ngx_queue_init(&batches->high);
    ngx_queue_init(&batches->normal);
    ngx_queue_init(&batches->halves);
    ngx_queue_init(&batches->spares);
    ngx_http_comanda_marks_init(&batches->marks);
    ngx_http_comanda_postgres_add_source(postgres, &batches->source, NGX_HTTP_COMANDA_COMMANDS);
    return batches;
}

void ngx_http_comanda_batches_free(struct ngx_http_comanda_batches *batches)
{
    while (!ngx_queue_empty(&batches->spares)) {
        ngx_queue_t *head = ngx_queue_head(&batches->spares);
        ngx_queue_remove(head);
        free_batch(ngx_queue_data(head, struct batch, link));
    }
}

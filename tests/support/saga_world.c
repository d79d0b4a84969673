// SPDX-License-Identifier: Apache-2.0
// A world for searching the saga: the real engine and deciders over the store in memory, messages
// in any order and twice, timers at any moment, workers that crash or stall.
#include "saga_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "application/handler/command_handler.h"
#include "application/handler/handler_batch.h"
#include "application/handler/state_cache.h"
#include "application/saga/saga_handler.h"
#include "application/saga/state.h"
#include "base/json_view.h"
#include "infrastructure/memory/event_store_memory.h"
#include "saga_mistakes.h"
#include "saga_parties.h"

enum {
    MESSAGES_MAX = 512,
    TIMERS_MAX = 256,
    ROWS_MAX = 1024,
    WORKERS = 4,
    WORKER_BYTES = 4 << 20,
    LADDER = 3,      // tries of a message before it is a dead letter
    DEAD_MAX = 3,    // messages lost to the dead letters by chance
    TWICE_MAX = 20,  // messages delivered again
    EARLY_MAX = 12,  // timers that fire while there is chaos
    REST_MAX = 2000, // steps to come to rest: more means that no end is reachable
    STORE_BYTES = 16 << 20,
};

enum mail_state { MAIL_WAITING, MAIL_IN_HAND, MAIL_DONE, MAIL_DEAD };

struct mail {
    struct incoming incoming;
    int handler;
    enum mail_state state;
    int tries;
};

struct set_timer {
    struct timer timer;
    bool live;
    bool in_hand;
};

// A process with one message in hand: it stands between two of its steps.
struct worker {
    struct handler_batch *batch; // NULL: idle
    struct arena arena;
    struct incoming incoming;
    int mail;  // index; -1: a timer or an operator's
    int timer; // index; -1: none
    struct state_cache *cache;
};

enum { H_SAGA, H_PAYMENTS, H_INVENTORY, H_SHIPPING, H_ORDERING, HANDLERS };

struct play {
    struct event_store store; // first: wraps `log`
    struct event_store *log;
    const struct saga_definition *definition;
    const struct saga_world_options *options;
    struct arena *arena;
    uint64_t random;
    struct saga_definitions definitions;
    struct saga_handler saga;
    struct message_handler commands[HANDLERS];
    struct mistaken_handler handlers[HANDLERS];
    struct saga_parties parties;
    struct uuid order;
    struct uuid instance;
    struct worker workers[WORKERS];
    struct mail mail[MESSAGES_MAX];
    int mail_count;
    struct set_timer timers[TIMERS_MAX];
    int timer_count;
    struct recorded_event rows[ROWS_MAX];
    int row_count;
    int dead_left;  // messages that may be lost to the dead letters by chance
    int twice_left; // messages that may be delivered again
    int early_left; // timers that may fire while there is chaos
    int cancel_at;  // step of the customer's cancellation; -1: never
    int abort_at;   // step of the operator's abort; -1: never
    int operator_ids;
    int steps;
    const char *violation;
};

static const char *const mistake_names[MISTAKE_COUNT] = {
    "none",
    "a retry under the same command id",
    "a timeout compensates confirm",
    "the step in flight is not covered",
    "a saga append without version check",
    "a provider key per attempt",
    "confirm blind to cancelling",
    "an old timer counts",
    "a reply counts for another step",
    "a compensation does not ask the provider"};

const char *saga_mistake_name(enum saga_mistake mistake)
{
    return mistake_names[mistake];
}

static unsigned any(struct play *play, unsigned below)
{
    return (unsigned)(saga_random(&play->random) % below);
}

static struct play *of(struct event_store *store)
{
    return (struct play *)store;
}

// --- what has been appended becomes messages and timers

static int handler_of(struct str command)
{
    struct str context;
    struct str rest;
    (void)str_split(command, '.', &context, &rest);
    const char *names[] = {"", "payments", "inventory", "shipping", "ordering"};
    for (int i = 1; i < HANDLERS; i++) {
        if (str_eq(context, str_from(names[i]))) {
            return i;
        }
    }
    abort();
}

static bool is_published(const struct recorded_event *row)
{
    return row->kind != RECORD_EVENT || str_eq(row->type, STR("OrderPlaced")) ||
           str_eq(row->type, STR("OrderCancelRequested"));
}

static void post(struct play *play, const struct recorded_event *row)
{
    struct str command = STR("");
    struct arena none = {.blocks = NULL};
    if (row->kind == RECORD_COMMAND) {
        (void)json_view_string(json_view_member(row->data, STR("command")), &none, &command);
    }
    if (play->mail_count == MESSAGES_MAX) {
        play->violation = "messages without end";
        return;
    }
    play->mail[play->mail_count++] =
        (struct mail){.incoming = {.id = row->id,
                                   .kind = row->kind,
                                   .tenant = row->tenant,
                                   .category = row->category,
                                   .type = row->type,
                                   .stream = row->stream,
                                   .version = row->version,
                                   .schema_version = row->schema_version,
                                   .data = row->data,
                                   .correlation_id = STR("c"),
                                   .causation_id = STR(""),
                                   .traceparent = STR(""),
                                   .now = 1000000,
                                   .command = command},
                      .handler = command.len > 0 ? handler_of(command) : H_SAGA};
}

static void keep_row(struct play *play, const struct append_item *item,
                     const struct append_row *row, int32_t version)
{
    const struct append_stream *stream = &item->streams[row->stream];
    if (play->row_count == ROWS_MAX) {
        play->violation = "rows without end";
        return;
    }
    struct recorded_event *kept = &play->rows[play->row_count++];
    *kept = (struct recorded_event){.tenant = STR("main"),
                                    .category = arena_str(play->arena, stream->category),
                                    .stream = stream->id,
                                    .version = version,
                                    .id = row->id,
                                    .kind = row->kind,
                                    .type = arena_str(play->arena, row->type),
                                    .schema_version = row->schema_version,
                                    .data = arena_str(play->arena, row->data)};
    if (is_published(kept)) {
        post(play, kept);
    }
}

static void keep_rows(struct play *play, const struct append_item *item)
{
    int32_t versions[64];
    for (size_t i = 0; i < item->stream_count; i++) {
        versions[i] = item->streams[i].expected_version;
    }
    for (size_t i = 0; i < item->row_count; i++) {
        keep_row(play, item, &item->rows[i], ++versions[item->rows[i].stream]);
    }
}

static void keep_timers(struct play *play, const struct append_item *item)
{
    for (size_t i = 0; i < item->timer_done_count; i++) {
        for (int at = 0; at < play->timer_count; at++) {
            if (uuid_eq(play->timers[at].timer.id, item->timers_done[i])) {
                play->timers[at].live = false;
            }
        }
    }
    for (size_t i = 0; i < item->timer_count && play->timer_count < TIMERS_MAX; i++) {
        struct set_timer *set = &play->timers[play->timer_count++];
        *set = (struct set_timer){.timer = item->timers[i], .live = true};
        set->timer.data = arena_str(play->arena, item->timers[i].data);
        set->timer.tenant = STR("main");
    }
}

// --- the store, watched; one of the mistakes sits here

static int32_t version_of(struct play *play, struct uuid stream)
{
    int32_t version = 0;
    for (int i = 0; i < play->row_count; i++) {
        if (uuid_eq(play->rows[i].stream, stream)) {
            version = play->rows[i].version;
        }
    }
    return version;
}

static struct append_item unchecked(struct play *play, const struct append_item *item,
                                    struct append_stream *streams)
{
    struct append_item changed = *item;
    for (size_t i = 0; i < item->stream_count; i++) {
        streams[i] = item->streams[i];
        if (str_eq(streams[i].category, STR("saga"))) {
            streams[i].expected_version = version_of(play, streams[i].id);
        }
    }
    changed.streams = streams;
    return changed;
}

static enum status watched_append(struct event_store *store, const struct append_item *items,
                                  size_t count, struct arena *arena,
                                  struct append_verdict *verdicts)
{
    struct play *play = of(store);
    struct append_stream streams[64];
    if (count != 1) {
        abort(); // a worker has one message in hand
    }
    struct append_item item = play->options->mistake == MISTAKE_NO_VERSION_CHECK
                                  ? unchecked(play, &items[0], streams)
                                  : items[0];
    enum status status = event_store_append(play->log, &item, 1, arena, verdicts);
    if (status == STATUS_OK && verdicts[0].outcome == APPENDED) {
        keep_rows(play, &item);
        keep_timers(play, &item);
    }
    return status;
}

static enum status watched_read(struct event_store *store, const struct stream_query *queries,
                                size_t count, size_t limit, struct arena *arena,
                                struct stream_rows *streams)
{
    return event_store_read(of(store)->log, queries, count, limit, arena, streams);
}

static const struct event_store_ops watched_ops = {.append = watched_append, .read = watched_read};

// --- a worker's steps

static void begin(struct play *play, struct worker *worker, int handler)
{
    static const struct handler_limits limits = {
        .attempts_max = 20, .snapshot_every = 0, .append_rows_max = 4096};
    worker->batch = handler_batch_new(&play->handlers[handler].handler, &worker->incoming, 1,
                                      worker->cache, &limits, &worker->arena);
    if (worker->batch == NULL) {
        abort();
    }
}

static void let_go(struct play *play, struct worker *worker)
{
    if (worker->mail >= 0) {
        play->mail[worker->mail].state = MAIL_WAITING;
    }
    if (worker->timer >= 0) {
        play->timers[worker->timer].in_hand = false;
    }
    worker->batch = NULL;
    arena_reset(&worker->arena);
}

static void conclude(struct play *play, struct worker *worker)
{
    struct message_result result = handler_batch_results(worker->batch)[0];
    int mail = worker->mail;
    if (result.outcome == MESSAGE_POISON && mail >= 0) {
        play->violation = arena_str(play->arena, result.cause).data;
    }
    let_go(play, worker);
    if (mail >= 0 && result.outcome == MESSAGE_HANDLED) {
        play->mail[mail].state = MAIL_DONE;
    } else if (mail >= 0 && ++play->mail[mail].tries > LADDER) {
        play->mail[mail].state = MAIL_DEAD;
    }
}

static void load(struct play *play, struct worker *worker)
{
    size_t count;
    const struct stream_query *queries = handler_batch_queries(worker->batch, &count);
    struct stream_rows *rows = arena_array(&worker->arena, count, sizeof *rows);
    if (event_store_read(&play->store, queries, count, 1000, &worker->arena, rows) != STATUS_OK) {
        abort();
    }
    handler_batch_take_streams(worker->batch, rows);
}

static void call(struct play *play, struct worker *worker)
{
    size_t count;
    const struct effect_request *requests = handler_batch_effects(worker->batch, &count);
    struct effect_result results[1];
    if (count != 1) {
        abort();
    }
    results[0] = saga_parties_perform(&play->parties, &requests[0]);
    handler_batch_take_effects(worker->batch, results);
}

static void append(struct play *play, struct worker *worker)
{
    size_t count;
    const struct append_item *items = handler_batch_items(worker->batch, &count);
    struct append_verdict *verdicts = arena_array(&worker->arena, count, sizeof *verdicts);
    if (event_store_append(&play->store, items, count, &worker->arena, verdicts) != STATUS_OK) {
        abort();
    }
    handler_batch_take_verdicts(worker->batch, verdicts);
}

static void go_on(struct play *play, struct worker *worker)
{
    switch (handler_batch_next(worker->batch)) {
    case HANDLER_WANT_STREAMS:
        load(play, worker);
        break;
    case HANDLER_WANT_EFFECTS:
        call(play, worker);
        break;
    case HANDLER_WANT_APPEND:
        append(play, worker);
        break;
    case HANDLER_WANT_NOTHING:
        conclude(play, worker);
        break;
    }
}

// A process that dies loses its cache too.
static void crash(struct play *play, struct worker *worker)
{
    let_go(play, worker);
    state_cache_free(worker->cache);
    worker->cache = state_cache_new(16, 65536);
}

static struct worker *idle_worker(struct play *play)
{
    unsigned first = any(play, WORKERS);
    for (unsigned i = 0; i < WORKERS; i++) {
        struct worker *worker = &play->workers[(first + i) % WORKERS];
        if (worker->batch == NULL) {
            return worker;
        }
    }
    return NULL;
}

static struct worker *busy_worker(struct play *play)
{
    unsigned first = any(play, WORKERS);
    for (unsigned i = 0; i < WORKERS; i++) {
        struct worker *worker = &play->workers[(first + i) % WORKERS];
        if (worker->batch != NULL) {
            return worker;
        }
    }
    return NULL;
}

// --- what can happen next

static bool take_mail(struct play *play, int mail)
{
    struct worker *worker = idle_worker(play);
    if (worker == NULL) {
        return false;
    }
    worker->incoming = play->mail[mail].incoming;
    worker->mail = mail;
    worker->timer = -1;
    play->mail[mail].state = MAIL_IN_HAND;
    begin(play, worker, play->mail[mail].handler);
    return true;
}

static bool fire(struct play *play, int timer)
{
    struct worker *worker = idle_worker(play);
    if (worker == NULL || play->timers[timer].in_hand) {
        return false;
    }
    worker->incoming = saga_timer_message(&play->timers[timer].timer, 1000000);
    worker->mail = -1;
    worker->timer = timer;
    play->timers[timer].in_hand = true;
    begin(play, worker, H_SAGA);
    return true;
}

static int find_mail(struct play *play, enum mail_state state)
{
    unsigned first = play->mail_count == 0 ? 0 : any(play, (unsigned)play->mail_count);
    for (int i = 0; i < play->mail_count; i++) {
        int at = ((int)first + i) % play->mail_count;
        if (play->mail[at].state == state) {
            return at;
        }
    }
    return -1;
}

static int find_timer(struct play *play)
{
    unsigned first = play->timer_count == 0 ? 0 : any(play, (unsigned)play->timer_count);
    for (int i = 0; i < play->timer_count; i++) {
        int at = ((int)first + i) % play->timer_count;
        if (play->timers[at].live && !play->timers[at].in_hand) {
            return at;
        }
    }
    return -1;
}

static void ask_operator(struct play *play, enum saga_operator_action action)
{
    struct worker *worker = idle_worker(play);
    if (worker == NULL) {
        return;
    }
    char role[32];
    int len = snprintf(role, sizeof role, "operator:%d", play->operator_ids++);
    struct uuid id = uuid_derive(play->order, (struct str){role, (size_t)len});
    worker->incoming = saga_operator_message(action, id, STR("main"), play->instance, 1000000);
    worker->mail = -1;
    worker->timer = -1;
    begin(play, worker, H_SAGA);
}

static void append_raw(struct play *play, struct uuid stream, const char *category,
                       const char *type, struct str data)
{
    int32_t version = version_of(play, stream);
    struct arena scratch;
    struct append_verdict verdict;
    struct append_stream to = {stream, str_from(category), version};
    struct append_row row = {.stream = 0,
                             .id = uuid_derive(stream, str_from(type)),
                             .kind = RECORD_EVENT,
                             .type = str_from(type),
                             .schema_version = 1,
                             .data = data,
                             .meta = STR("{}")};
    struct append_item item = {
        .tenant = STR("main"), .streams = &to, .stream_count = 1, .rows = &row, .row_count = 1};
    arena_init(&scratch, 65536, 1 << 20);
    if (event_store_append(&play->store, &item, 1, &scratch, &verdict) != STATUS_OK) {
        abort();
    }
    arena_free(&scratch);
}

static bool has(const struct play *play, const char *type)
{
    for (int i = 0; i < play->row_count; i++) {
        if (play->rows[i].kind == RECORD_EVENT && str_eq(play->rows[i].type, str_from(type))) {
            return true;
        }
    }
    return false;
}

// As the edge would: placed → cancelling, anything else is answered without an event.
static void cancel_order(struct play *play)
{
    if (!has(play, "OrderCancelRequested") && !has(play, "OrderConfirmed") &&
        !has(play, "OrderRejected")) {
        append_raw(play, play->order, "order", "OrderCancelRequested",
                   STR("{\"reason\":\"changed my mind\","
                       "\"requested_at\":\"2026-11-24T06:52:25.123Z\"}"));
    }
}

static void deliver(struct play *play, enum mail_state state)
{
    int mail = find_mail(play, state);
    if (mail >= 0) {
        (void)take_mail(play, mail);
    }
}

static void lose(struct play *play)
{
    int mail = find_mail(play, MAIL_WAITING);
    if (mail >= 0 && play->dead_left > 0) {
        play->mail[mail].state = MAIL_DEAD;
        play->dead_left--;
    }
}

static void go_on_any(struct play *play)
{
    struct worker *worker = busy_worker(play);
    if (worker != NULL) {
        go_on(play, worker);
    }
}

static void crash_any(struct play *play)
{
    struct worker *worker = busy_worker(play);
    if (worker != NULL) {
        crash(play, worker);
    }
}

static void fire_any(struct play *play)
{
    int timer = find_timer(play);
    if (timer >= 0 && play->early_left > 0 && fire(play, timer)) {
        play->early_left--;
    }
}

static void deliver_again(struct play *play)
{
    if (play->twice_left-- > 0) {
        deliver(play, MAIL_DONE);
    }
}

static void chaotic_step(struct play *play)
{
    unsigned dice = any(play, 1000);
    if (play->steps == play->cancel_at) {
        cancel_order(play);
    } else if (play->steps == play->abort_at) {
        ask_operator(play, SAGA_OPERATOR_ABORT);
    } else if (dice < 600) {
        go_on_any(play);
    } else if (dice < 880) {
        deliver(play, MAIL_WAITING);
    } else if (dice < 920) {
        deliver_again(play);
    } else if (dice < 970) {
        fire_any(play);
    } else if (dice < 985) {
        crash_any(play);
    } else if (dice < 993) {
        lose(play);
    } else {
        deliver(play, MAIL_DEAD); // redriven
    }
}

// --- coming to rest

static bool saga_ended(const struct play *play)
{
    return has(play, "SagaCompleted") || has(play, "SagaCompensated");
}

// One step towards the rest; false: there is nothing left to do.
static bool resting_step(struct play *play)
{
    int mail = find_mail(play, MAIL_WAITING);
    int timer = find_timer(play);
    if (busy_worker(play) != NULL && (mail < 0 || any(play, 2) == 0)) {
        go_on_any(play);
    } else if (mail >= 0) {
        if (!take_mail(play, mail)) {
            go_on_any(play);
        }
    } else if (timer >= 0) {
        (void)fire(play, timer);
    } else if (saga_ended(play)) {
        return false;
    } else if (has(play, "SagaStarted")) {
        ask_operator(play, SAGA_OPERATOR_RETRY); // nothing is out and no timer: it is parked
    } else {
        deliver(play, MAIL_DEAD); // doctor has found the order without a saga
    }
    return true;
}

// --- what must hold

static int count_of(const struct play *play, const char *type)
{
    int count = 0;
    for (int i = 0; i < play->row_count; i++) {
        count += play->rows[i].kind == RECORD_EVENT && str_eq(play->rows[i].type, str_from(type));
    }
    return count;
}

static bool last_is(const struct play *play, const char *category, const char *type)
{
    for (int i = play->row_count - 1; i >= 0; i--) {
        const struct recorded_event *row = &play->rows[i];
        if (row->kind == RECORD_EVENT && str_eq(row->category, str_from(category))) {
            return str_eq(row->type, str_from(type));
        }
    }
    return type[0] == '\0';
}

static const char *always(const struct play *play)
{
    if (play->parties.captures > 1 || count_of(play, "PaymentCaptured") > 1) {
        return "captured twice";
    }
    if (play->parties.refunds > play->parties.captures ||
        count_of(play, "PaymentRefunded") > count_of(play, "PaymentCaptured")) {
        return "refunded more than captured";
    }
    if (has(play, "OrderConfirmed") &&
        (has(play, "OrderCancelled") || has(play, "OrderRejected"))) {
        return "confirmed and cancelled or rejected";
    }
    if (has(play, "OrderConfirmed") && has(play, "OrderCancelRequested")) {
        return "confirmed, although its cancellation was accepted";
    }
    int reserved = count_of(play, "StockReserved");
    if (reserved > 1 ||
        reserved < count_of(play, "StockReleased") + count_of(play, "StockCommitted")) {
        return "stock moved more than once";
    }
    return NULL;
}

static const char *confirmed_rest(const struct play *play)
{
    const struct saga_parties *parties = &play->parties;
    if (parties->captures != 1 || parties->refunds != 0 ||
        !last_is(play, "payment", "PaymentCaptured")) {
        return "confirmed, but not captured exactly once and kept";
    }
    if (!last_is(play, "reservation", "ReservationCommitted") ||
        count_of(play, "StockCommitted") != 1) {
        return "confirmed, but the reservation is not committed";
    }
    if (!parties->scheduled || !last_is(play, "shipment", "ShipmentScheduled")) {
        return "confirmed, but no shipment is scheduled";
    }
    return has(play, "SagaCompleted") ? NULL : "confirmed, but the saga is not complete";
}

static const char *undone_rest(const struct play *play)
{
    const struct saga_parties *parties = &play->parties;
    if (parties->authorized || last_is(play, "payment", "PaymentAuthorized") ||
        last_is(play, "payment", "PaymentCaptured")) {
        return "rejected or cancelled, but something is authorized";
    }
    if (parties->captures != parties->refunds ||
        count_of(play, "PaymentCaptured") != count_of(play, "PaymentRefunded")) {
        return "rejected or cancelled, but captured and refunded differ";
    }
    if (last_is(play, "reservation", "ReservationMade") ||
        last_is(play, "reservation", "ReservationCommitted") ||
        count_of(play, "StockReserved") != count_of(play, "StockReleased")) {
        return "rejected or cancelled, but stock is held";
    }
    if (parties->scheduled || last_is(play, "shipment", "ShipmentScheduled")) {
        return "rejected or cancelled, but a shipment goes out";
    }
    return has(play, "SagaCompensated") ? NULL : "rejected or cancelled, but the saga goes on";
}

static const char *at_rest(const struct play *play)
{
    if (has(play, "OrderConfirmed")) {
        return confirmed_rest(play);
    }
    if (has(play, "OrderRejected") || has(play, "OrderCancelled")) {
        return undone_rest(play);
    }
    return "the saga has ended, the order has not";
}

// --- a run

static void set_up_handlers(struct play *play)
{
    static const char *const names[] = {"saga", "payment", "inventory", "shipping", "ordering"};
    struct str clash;
    if (saga_definitions_add(&play->definitions, play->definition, play->arena, &clash) !=
        STATUS_OK) {
        abort();
    }
    // A confirm that gives up is a matter of the definition.
    if (play->options->mistake == MISTAKE_CONFIRM_TIMES_OUT) {
        struct saga_definition *changed = &play->definitions.items[0];
        changed->steps[changed->pivot].forward.ask_without_limit = false;
        changed->steps[changed->pivot].compensation = changed->steps[3].compensation;
        changed->steps[3].compensation.name = STR("refund_again");
    }
    play->saga = saga_handler(STR("saga"), &play->definitions);
    for (int i = 0; i < HANDLERS; i++) {
        play->commands[i] = command_handler(str_from(names[i]));
        const struct message_handler *real = i == H_SAGA ? &play->saga.handler : &play->commands[i];
        play->handlers[i] =
            mistaken_handler(real, &play->definitions.items[0], play->options->mistake);
    }
}

static void set_up(struct play *play)
{
    struct uuid item = uuid_named(STR("main"), STR("stock_item"), STR("SKU-1"));
    set_up_handlers(play);
    for (int i = 0; i < WORKERS; i++) {
        arena_init(&play->workers[i].arena, 65536, WORKER_BYTES);
        play->workers[i].cache = state_cache_new(16, 65536);
    }
    append_raw(play, item, "stock_item", "StockReceived",
               play->options->stock_short
                   ? STR("{\"sku\":\"SKU-1\",\"quantity\":1,\"receipt\":\"r\"}")
                   : STR("{\"sku\":\"SKU-1\",\"quantity\":2,\"receipt\":\"r\"}"));
    append_raw(play, play->order, "order", "OrderPlaced", play->definition->starts_on[0].example);
}

static void tear_down(struct play *play)
{
    for (int i = 0; i < WORKERS; i++) {
        arena_free(&play->workers[i].arena);
        state_cache_free(play->workers[i].cache);
    }
    event_store_memory_free(play->log);
}

// Some runs are calm and some are wild: in a wild one a saga hardly ever gets far.
static void choose_chaos(struct play *play)
{
    static const int dead[] = {0, 0, 1, 3};
    static const int twice[] = {0, 4, 20};
    static const int early[] = {0, 0, 2, 12};
    static const unsigned silence[] = {0, 30, 6};
    unsigned steps = (unsigned)play->options->steps;
    play->dead_left = dead[any(play, 4)];
    play->twice_left = twice[any(play, 3)];
    play->early_left = early[any(play, 4)];
    play->parties.silent_one_in = silence[any(play, 3)];
    play->cancel_at = any(play, 3) == 0 ? -1 : (int)any(play, steps);
    play->abort_at = any(play, 6) > 0 ? -1 : (int)any(play, steps);
}

static void run(struct play *play)
{
    choose_chaos(play);
    for (int i = 0; i < play->options->steps && play->violation == NULL; i++, play->steps++) {
        chaotic_step(play);
        play->violation = play->violation == NULL ? always(play) : play->violation;
    }
    play->parties.silent_one_in = 0;
    int left = REST_MAX;
    while (play->violation == NULL && left > 0 && resting_step(play)) {
        left--;
        play->steps++;
        play->violation = play->violation == NULL ? always(play) : play->violation;
    }
    if (play->violation == NULL) {
        play->violation = left == 0 ? "no end is reached" : at_rest(play);
    }
}

struct saga_verdict saga_world_play(const struct saga_definition *definition,
                                    const struct saga_world_options *options, struct arena *arena)
{
    struct play *play = arena_alloc(arena, sizeof *play);
    play->store.ops = &watched_ops;
    play->log = event_store_memory_new(STORE_BYTES);
    play->definition = definition;
    play->options = options;
    play->arena = arena;
    play->random = options->seed * UINT64_C(0x9E3779B97F4A7C15) + 1;
    play->order = uuid_v7(1795503145123, (const unsigned char[10]){1, 2, 3, 4, 5, 6, 7, 8, 9, 10});
    play->instance = saga_stream(definition, play->order);
    play->parties = (struct saga_parties){.card = options->card,
                                          .carrier = options->carrier,
                                          .random = &play->random,
                                          .arena = arena};
    set_up(play);
    run(play);
    struct saga_verdict verdict = {
        .violation =
            play->violation == NULL ? STR("") : arena_str(arena, str_from(play->violation)),
        .confirmed = has(play, "OrderConfirmed"),
        .cancelled = has(play, "OrderCancelled"),
        .rejected = has(play, "OrderRejected"),
        .steps = play->steps,
    };
    tear_down(play);
    return verdict;
}

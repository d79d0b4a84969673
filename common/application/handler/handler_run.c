// SPDX-License-Identifier: Apache-2.0
// Drives a batch of messages through blocking ports: what a daemon does between receive and ack.
#include "application/handler/handler_run.h"

#include "application/handler/state_cache.h"
#include "base/monotonic.h"

enum { ROWS_A_READ = 1000 }; // of a stream, in one round trip

static enum status bring_streams(const struct handler_run *run, struct handler_batch *batch,
                                 struct arena *arena)
{
    size_t count = 0;
    const struct stream_query *queries = handler_batch_queries(batch, &count);
    struct stream_rows *rows = arena_array(arena, count, sizeof(*rows));
    if (rows == NULL) {
        return STATUS_NO_MEMORY;
    }
    enum status status = event_store_read(run->store, queries, count, ROWS_A_READ, arena, rows);
    if (status == STATUS_OK && run->cache != NULL &&
        state_cache_follow(run->cache, event_store_session(run->store))) {
        return STATUS_UNAVAILABLE; // this batch began with what has just been forgotten
    }
    if (status == STATUS_OK) {
        handler_batch_take_streams(batch, rows);
    }
    return status;
}

// A daemon without a provider knows no operation at all.
static enum status perform(const struct handler_run *run, const struct effect_request *requests,
                           size_t count, struct arena *arena, struct effect_result *results)
{
    if (run->effects != NULL) {
        return effect_runner_perform(run->effects, requests, count, run->effect_timeout_ms, arena,
                                     results);
    }
    for (size_t at = 0; at < count; at++) {
        results[at] = (struct effect_result){.unknown = true};
    }
    return STATUS_OK;
}

// A provider that cannot be asked at all is silent to each message; the ladder gives it time.
static enum status bring_effects(const struct handler_run *run, struct handler_batch *batch,
                                 struct arena *arena)
{
    size_t count = 0;
    const struct effect_request *requests = handler_batch_effects(batch, &count);
    struct effect_result *results = arena_array(arena, count, sizeof(*results));
    if (results == NULL) {
        return STATUS_NO_MEMORY;
    }
    enum status status = perform(run, requests, count, arena, results);
    for (size_t at = 0; status != STATUS_OK && at < count; at++) {
        results[at] = (struct effect_result){.answered = false};
    }
    handler_batch_take_effects(batch, results);
    return STATUS_OK;
}

static enum status bring_verdicts(const struct handler_run *run, struct handler_batch *batch,
                                  struct arena *arena)
{
    size_t count = 0;
    const struct append_item *items = handler_batch_items(batch, &count);
    struct append_verdict *verdicts = arena_array(arena, count, sizeof(*verdicts));
    if (verdicts == NULL) {
        return STATUS_NO_MEMORY;
    }
    enum status status = event_store_append(run->store, items, count, arena, verdicts);
    if (status == STATUS_OK) {
        handler_batch_take_verdicts(batch, verdicts);
    }
    return status;
}

static enum status rest(const struct handler_run *run, const struct handler_batch *batch,
                        int64_t *skipped_ms)
{
    int pause_ms = handler_batch_pause_ms(batch);
    if (run->pause == NULL) {
        *skipped_ms += pause_ms;
        return STATUS_OK;
    }
    return run->pause(run->pause_context, pause_ms) ? STATUS_OK : STATUS_TIMEOUT;
}

static enum status bring(const struct handler_run *run, struct handler_batch *batch,
                         enum handler_want want, struct arena *arena, int64_t *skipped_ms)
{
    switch (want) {
    case HANDLER_WANT_STREAMS:
        return bring_streams(run, batch, arena);
    case HANDLER_WANT_EFFECTS:
        return bring_effects(run, batch, arena);
    case HANDLER_WANT_APPEND:
        return bring_verdicts(run, batch, arena);
    case HANDLER_WANT_PAUSE:
        return rest(run, batch, skipped_ms);
    case HANDLER_WANT_NOTHING:
        break;
    }
    return STATUS_OK;
}

static void keep_snapshots(const struct handler_run *run, struct handler_batch *batch)
{
    size_t count = 0;
    const struct snapshot *snapshots = handler_batch_snapshots(batch, &count);
    if (count > 0) {
        enum status dropped = event_store_save_snapshots(run->store, snapshots, count);
        (void)dropped; // a snapshot saves reading and nothing else
    }
}

enum status handler_run_batch(const struct handler_run *run, const struct incoming *messages,
                              size_t count, struct arena *arena,
                              const struct message_result **results)
{
    struct handler_batch *batch =
        handler_batch_new(run->handler, messages, count, run->cache, &run->limits, arena);
    if (batch == NULL) {
        return STATUS_NO_MEMORY;
    }
    int64_t skipped_ms = 0;
    enum handler_want want = handler_batch_next(batch, monotonic_ms());
    while (want != HANDLER_WANT_NOTHING) {
        enum status status = bring(run, batch, want, arena, &skipped_ms);
        if (status != STATUS_OK) {
            handler_batch_fail(batch, status);
            return status;
        }
        want = handler_batch_next(batch, monotonic_ms() + skipped_ms);
    }
    if (handler_batch_status(batch) == STATUS_OK) {
        keep_snapshots(run, batch);
        *results = handler_batch_results(batch);
    }
    return handler_batch_status(batch);
}

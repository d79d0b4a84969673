// SPDX-License-Identifier: Apache-2.0
// Keeps snapshots of streams that were long to read, behind the answers: nobody waits for them.
#include "store/snapshots.h"

#include "application/query/stream_snapshots.h"

enum {
    GROUP_SNAPSHOTS_MAX = 64,
    GROUP_BYTES_MAX = 4 * 1024 * 1024,
    GROUP_ARENA_BLOCK = 64 * 1024,
    GROUP_ARENA_MAX = 32 * 1024 * 1024, // the bytes, and the statement made of them
};

// Snapshots that travel together.
struct snapshot_group {
    struct ngx_http_comanda_call call;
    struct arena arena;
    struct snapshot items[GROUP_SNAPSHOTS_MAX];
    size_t count;
    size_t bytes;
    struct ngx_http_comanda_snapshots *owner;
};

struct ngx_http_comanda_snapshots {
    struct ngx_http_comanda_source source;
    struct ngx_http_comanda_postgres *postgres;
    const struct ngx_http_comanda_snapshot_metrics *metrics;
    struct snapshot_group groups[2]; // one gathers while the other is in flight
    struct snapshot_group *gathering;
    bool in_flight;
};

static struct snapshot_group *other_of(struct ngx_http_comanda_snapshots *snapshots)
{
    return &snapshots->groups[snapshots->gathering == &snapshots->groups[0]];
}

static void empty(struct snapshot_group *group)
{
    arena_trim(&group->arena, GROUP_ARENA_BLOCK);
    group->count = 0;
    group->bytes = 0;
}

static void count_in(struct ngx_http_comanda_metric *metric, size_t count)
{
    ngx_http_comanda_metric_add(metric, (int64_t)count);
}

// --- in flight ---

static void wake(struct ngx_http_comanda_snapshots *snapshots)
{
    if (snapshots->gathering->count > 0) {
        ngx_http_comanda_postgres_wake(snapshots->postgres);
    }
}

static void handle_done(struct ngx_http_comanda_call *call, enum status status,
                        const PGresult *result)
{
    (void)result; // nothing comes back
    struct snapshot_group *group = ngx_queue_data(call, struct snapshot_group, call);
    struct ngx_http_comanda_snapshots *snapshots = group->owner;
    count_in(status == STATUS_OK ? snapshots->metrics->saved : snapshots->metrics->failed,
             group->count);
    if (status == STATUS_REFUSED) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "comanda: snapshots are not kept (SQLSTATE %s): long streams stay slow",
                      call->sqlstate);
    }
    empty(group);
    snapshots->in_flight = false;
    wake(snapshots);
}

static struct ngx_http_comanda_call *offer(struct ngx_http_comanda_source *source)
{
    struct ngx_http_comanda_snapshots *snapshots =
        ngx_queue_data(source, struct ngx_http_comanda_snapshots, source);
    struct snapshot_group *group = snapshots->gathering;
    if (group->count == 0 || snapshots->in_flight) {
        return NULL;
    }
    ngx_http_comanda_postgres_leave(snapshots->postgres, &snapshots->source);
    if (statement_save_snapshots(group->items, group->count, &group->arena,
                                 &group->call.statement) != STATUS_OK) {
        count_in(snapshots->metrics->dropped, group->count);
        empty(group);
        return NULL;
    }
    snapshots->gathering = other_of(snapshots);
    snapshots->in_flight = true;
    group->call.writes = false; // lost or not makes no difference
    group->call.done = handle_done;
    return &group->call;
}

// --- what is given ---

static bool has_about(const struct snapshot_group *group, const struct snapshot *snapshot)
{
    for (size_t i = 0; i < group->count; i++) {
        const struct snapshot *known = &group->items[i];
        int32_t apart = snapshot->version - known->version;
        if (uuid_eq(known->stream, snapshot->stream) && known->kind == snapshot->kind &&
            apart < SNAPSHOT_EVERY && apart > -SNAPSHOT_EVERY) {
            return true;
        }
    }
    return false;
}

// The first one takes a place in the queue for all.
static bool has_place(struct ngx_http_comanda_snapshots *snapshots)
{
    return snapshots->gathering->count > 0 ||
           ngx_http_comanda_postgres_enter(snapshots->postgres, &snapshots->source) == STATUS_OK;
}

static bool add(struct ngx_http_comanda_snapshots *snapshots, const struct snapshot *snapshot)
{
    struct snapshot_group *group = snapshots->gathering;
    if (group->count == GROUP_SNAPSHOTS_MAX ||
        group->bytes + snapshot->bytes.len > GROUP_BYTES_MAX) {
        return false;
    }
    // The place first: a group that stays without one is never emptied.
    if (!has_place(snapshots)) {
        return false;
    }
    struct str bytes = arena_str(&group->arena, snapshot->bytes);
    if (bytes.data == NULL) {
        if (group->count == 0) {
            ngx_http_comanda_postgres_leave(snapshots->postgres, &snapshots->source);
        }
        return false;
    }
    group->items[group->count] = *snapshot;
    group->items[group->count++].bytes = bytes;
    group->bytes += bytes.len;
    return true;
}

void ngx_http_comanda_snapshots_save(struct ngx_http_comanda_snapshots *snapshots,
                                     const struct snapshot *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (has_about(&snapshots->groups[0], &list[i]) ||
            has_about(&snapshots->groups[1], &list[i])) {
            continue;
        }
        if (!add(snapshots, &list[i])) {
            count_in(snapshots->metrics->dropped, 1);
        }
    }
    wake(snapshots);
}

// --- the life of a worker ---

void ngx_http_comanda_snapshots_declare(ngx_conf_t *cf,
                                        struct ngx_http_comanda_snapshot_metrics *metrics)
{
    static const char name[] = "comanda_snapshots_total";
    static const char help[] = "Snapshots of long streams by outcome.";
    metrics->saved = ngx_http_comanda_counter(cf, name, help, STR("outcome=\"saved\""));
    metrics->dropped = ngx_http_comanda_counter(cf, name, help, STR("outcome=\"dropped\""));
    metrics->failed = ngx_http_comanda_counter(cf, name, help, STR("outcome=\"failed\""));
}

struct ngx_http_comanda_snapshots *ngx_http_comanda_snapshots_new(
    ngx_cycle_t *cycle, struct ngx_http_comanda_postgres *postgres,
    const struct ngx_http_comanda_snapshot_metrics *metrics)
{
    struct ngx_http_comanda_snapshots *snapshots = ngx_pcalloc(cycle->pool, sizeof(*snapshots));
    if (snapshots == NULL) {
        return NULL;
    }
    snapshots->source.offer = offer;
    snapshots->postgres = postgres;
    snapshots->metrics = metrics;
    for (size_t i = 0; i < 2; i++) {
        snapshots->groups[i].owner = snapshots;
        arena_init(&snapshots->groups[i].arena, GROUP_ARENA_BLOCK, GROUP_ARENA_MAX);
    }
    snapshots->gathering = &snapshots->groups[0];
    ngx_http_comanda_postgres_add_source(postgres, &snapshots->source, NGX_HTTP_COMANDA_READS);
    return snapshots;
}

void ngx_http_comanda_snapshots_free(struct ngx_http_comanda_snapshots *snapshots)
{
    for (size_t i = 0; i < 2; i++) {
        arena_free(&snapshots->groups[i].arena);
    }
}

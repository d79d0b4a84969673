// SPDX-License-Identifier: Apache-2.0
// Documents of other contexts that decisions need, such as a catalogue's prices: cached in this
// worker for a second at most, what is missing fetched for all requests at once.
#include "store/lookup.h"

#include "application/query/document_fold.h"
#include "application/query/stream_snapshots.h"

enum {
    ENTRIES_MAX = 4096,
    BUCKETS = 1024,
    FETCH_MAX = COMMAND_STREAMS_MAX * 4, // entries in one read
    NAME_LEN_MAX = 256,
    FETCH_ARENA_BLOCK = 64 * 1024,
    FETCH_ARENA_MAX = 64 * 1024 * 1024,
};

enum entry_state { ENTRY_EMPTY, ENTRY_WANTED, ENTRY_FETCHING, ENTRY_FILLED };

struct entry {
    ngx_queue_t bucket;
    ngx_queue_t link; // of `wanted` or `by_age`; while it is being fetched in neither
    enum entry_state state;
    const struct projection *projection;
    struct str name; // malloced with the entry
    struct uuid stream;
    ngx_msec_t fetched_at;
    char *document; // NULL: there is none, or it is not listed
    size_t document_len;
};

struct ngx_http_comanda_lookups {
    struct ngx_http_comanda_reads *reads;
    struct ngx_http_comanda_snapshots *snapshots;
    struct str tenant;
    ngx_queue_t buckets[BUCKETS];
    ngx_queue_t by_age; // the one fetched last is the last
    ngx_queue_t wanted;
    size_t entry_count;
    ngx_queue_t waiters;

    // The one read on its way.
    struct ngx_http_comanda_read read;
    bool reading;
    struct entry *fetched[FETCH_MAX]; // NULL: filled
    struct document_fold folds[FETCH_MAX];
    size_t fetch_count;
    struct stream_query queries[FETCH_MAX];
    size_t query_of[FETCH_MAX]; // which of the fetched a query is of
    size_t query_count;
    struct fold_memory memory;
    struct arena arena; // of the folds
};

// --- the cache ---

static ngx_queue_t *bucket_of(struct ngx_http_comanda_lookups *lookups, struct str collection,
                              struct str name)
{
    return &lookups->buckets[(str_hash(name) ^ str_hash(collection)) % BUCKETS];
}

static struct entry *find(struct ngx_http_comanda_lookups *lookups, const struct lookup_key *key)
{
    ngx_queue_t *bucket = bucket_of(lookups, key->collection, key->name);
    for (ngx_queue_t *at = ngx_queue_head(bucket); at != ngx_queue_sentinel(bucket);
         at = ngx_queue_next(at)) {
        struct entry *entry = ngx_queue_data(at, struct entry, bucket);
        if (str_eq(entry->name, key->name) &&
            str_eq(entry->projection->collection, key->collection)) {
            return entry;
        }
    }
    return NULL;
}

static void drop_entry(struct ngx_http_comanda_lookups *lookups, struct entry *entry)
{
    ngx_queue_remove(&entry->bucket);
    ngx_queue_remove(&entry->link);
    lookups->entry_count--;
    free(entry->document);
    free(entry);
}

// The one that was fetched first goes.
static bool make_room(struct ngx_http_comanda_lookups *lookups)
{
    if (lookups->entry_count < ENTRIES_MAX) {
        return true;
    }
    if (ngx_queue_empty(&lookups->by_age)) {
        return false;
    }
    drop_entry(lookups, ngx_queue_data(ngx_queue_head(&lookups->by_age), struct entry, link));
    return true;
}

static struct entry *add(struct ngx_http_comanda_lookups *lookups, const struct lookup_key *key)
{
    const struct projection *projection = context_projection(key->collection);
    if (projection == NULL || key->name.len > NAME_LEN_MAX || !make_room(lookups)) {
        return NULL;
    }
    struct entry *entry = calloc(1, sizeof(*entry) + key->name.len + 1);
    if (entry == NULL) {
        return NULL;
    }
    char *name = (char *)(entry + 1);
    ngx_memcpy(name, key->name.data, key->name.len);
    entry->name = (struct str){name, key->name.len};
    entry->projection = projection;
    entry->stream = uuid_named(lookups->tenant, projection->category, key->name);
    ngx_queue_t *bucket = bucket_of(lookups, key->collection, key->name);
    ngx_queue_insert_head(bucket, &entry->bucket);
    ngx_queue_insert_head(&lookups->by_age, &entry->link);
    lookups->entry_count++;
    return entry;
}

static bool is_fresh(const struct entry *entry)
{
    return entry != NULL && entry->state == ENTRY_FILLED &&
           ngx_current_msec - entry->fetched_at < LOOKUP_TTL_MS;
}

static bool answer_from_cache(struct ngx_http_comanda_lookups *lookups,
                              const struct lookup_keys *keys, struct lookup_rows *rows)
{
    rows->count = keys->count;
    for (size_t i = 0; i < keys->count; i++) {
        const struct entry *entry = find(lookups, &keys->items[i]);
        if (!is_fresh(entry)) {
            return false;
        }
        rows->items[i] = (struct str){entry->document, entry->document_len};
    }
    return true;
}

// Marks what is missing or stale as wanted. STATUS_INVALID: a collection that nobody has.
static enum status want(struct ngx_http_comanda_lookups *lookups, const struct lookup_keys *keys)
{
    for (size_t i = 0; i < keys->count; i++) {
        struct entry *entry = find(lookups, &keys->items[i]);
        if (entry == NULL) {
            entry = add(lookups, &keys->items[i]);
        }
        if (entry == NULL) {
            return context_projection(keys->items[i].collection) == NULL ? STATUS_INVALID
                                                                         : STATUS_FULL;
        }
        if (entry->state != ENTRY_FETCHING && entry->state != ENTRY_WANTED && !is_fresh(entry)) {
            entry->state = ENTRY_WANTED;
            ngx_queue_remove(&entry->link);
            ngx_queue_insert_tail(&lookups->wanted, &entry->link);
        }
    }
    return STATUS_OK;
}

// --- fetching ---

static void read_done(struct ngx_http_comanda_read *read, enum status status,
                      const struct ngx_http_comanda_read_answer *answer);

static enum status start_read(struct ngx_http_comanda_lookups *lookups)
{
    lookups->read = (struct ngx_http_comanda_read){.kind = READ_STREAMS,
                                                   .queries = lookups->queries,
                                                   .query_count = lookups->query_count,
                                                   .done = read_done};
    enum status status = ngx_http_comanda_read_start(lookups->reads, &lookups->read);
    lookups->reading = status == STATUS_OK;
    return status;
}

static enum status fetch(struct ngx_http_comanda_lookups *lookups)
{
    if (lookups->reading) {
        return STATUS_OK; // what is wanted now goes with the next
    }
    lookups->fetch_count = 0;
    arena_reset(&lookups->arena);
    fold_memory_open(&lookups->memory, &lookups->arena);
    while (!ngx_queue_empty(&lookups->wanted) && lookups->fetch_count < FETCH_MAX) {
        struct entry *entry = ngx_queue_data(ngx_queue_head(&lookups->wanted), struct entry, link);
        size_t i = lookups->fetch_count++;
        ngx_queue_remove(&entry->link);
        entry->state = ENTRY_FETCHING;
        lookups->fetched[i] = entry;
        document_fold_init(&lookups->folds[i], entry->projection, lookups->tenant, entry->stream,
                           &lookups->memory);
        lookups->queries[i] = document_fold_query(&lookups->folds[i], 0);
        lookups->query_of[i] = i;
    }
    lookups->query_count = lookups->fetch_count;
    return lookups->fetch_count == 0 ? STATUS_OK : start_read(lookups);
}

static void fill(struct ngx_http_comanda_lookups *lookups, struct entry *entry,
                 const struct document *document)
{
    free(entry->document);
    entry->document = NULL;
    entry->document_len = 0;
    ngx_queue_insert_tail(&lookups->by_age, &entry->link);
    entry->state = ENTRY_EMPTY;
    if (document->version > 0 && document->listed) {
        entry->document = malloc(document->body.len + 1);
        if (entry->document == NULL) {
            return;
        }
        ngx_memcpy(entry->document, document->body.data, document->body.len);
        entry->document_len = document->body.len;
    }
    entry->state = ENTRY_FILLED;
    entry->fetched_at = ngx_current_msec;
}

static enum status take_page(struct ngx_http_comanda_lookups *lookups, size_t at,
                             const struct stream_rows *rows, bool *more)
{
    struct stream_query *query = &lookups->queries[at];
    struct document_fold *fold = &lookups->folds[lookups->query_of[at]];
    struct snapshot snapshot;
    struct document document;
    enum status status = document_fold_page(fold, query, rows, more);
    if (status == STATUS_OK && document_fold_snapshot(fold, snapshot_least(!*more), &snapshot)) {
        ngx_http_comanda_snapshots_save(lookups->snapshots, &snapshot, 1);
    }
    if (status != STATUS_OK || *more) {
        return status;
    }
    status = document_fold_finish(fold, &document);
    if (status == STATUS_OK) {
        fill(lookups, lookups->fetched[lookups->query_of[at]], &document);
        lookups->fetched[lookups->query_of[at]] = NULL;
    }
    return status;
}

// Fills what is complete. What goes on is left among the queries, to be asked for again.
static enum status take_rows(struct ngx_http_comanda_lookups *lookups,
                             const struct stream_rows *streams)
{
    size_t left = 0;
    size_t count = lookups->query_count;
    for (size_t at = 0; at < count; at++) {
        bool more = false;
        enum status status = take_page(lookups, at, &streams[at], &more);
        if (status != STATUS_OK) {
            return status;
        }
        lookups->queries[left] = lookups->queries[at];
        lookups->query_of[left] = lookups->query_of[at];
        left += more;
    }
    lookups->query_count = left;
    return STATUS_OK;
}

static void forget_fetched(struct ngx_http_comanda_lookups *lookups)
{
    for (size_t i = 0; i < lookups->fetch_count; i++) {
        if (lookups->fetched[i] != NULL) {
            lookups->fetched[i]->state = ENTRY_EMPTY;
            ngx_queue_insert_head(&lookups->by_age, &lookups->fetched[i]->link);
        }
    }
    lookups->fetch_count = 0;
}

// --- those who wait ---

static void wait_on(struct ngx_http_comanda_lookups *lookups,
                    struct ngx_http_comanda_lookup *lookup)
{
    enum status status = want(lookups, lookup->keys);
    if (status != STATUS_OK) {
        lookup->done(lookup, status, NULL);
        return;
    }
    lookup->waiting = true;
    ngx_queue_insert_tail(&lookups->waiters, &lookup->link);
}

// The list is emptied first: whoever is called may begin anew.
static void wake_waiters(struct ngx_http_comanda_lookups *lookups, enum status status)
{
    ngx_queue_t woken;
    ngx_queue_init(&woken);
    if (!ngx_queue_empty(&lookups->waiters)) {
        ngx_queue_add(&woken, &lookups->waiters);
        ngx_queue_init(&lookups->waiters);
    }
    while (!ngx_queue_empty(&woken)) {
        struct ngx_http_comanda_lookup *lookup =
            ngx_queue_data(ngx_queue_head(&woken), struct ngx_http_comanda_lookup, link);
        ngx_queue_remove(&lookup->link);
        lookup->waiting = false;
        struct lookup_rows rows;
        if (status != STATUS_OK) {
            lookup->done(lookup, status, NULL);
        } else if (answer_from_cache(lookups, lookup->keys, &rows)) {
            lookup->done(lookup, STATUS_OK, &rows);
        } else {
            wait_on(lookups, lookup);
        }
    }
}

static void read_done(struct ngx_http_comanda_read *read, enum status status,
                      const struct ngx_http_comanda_read_answer *answer)
{
    struct ngx_http_comanda_lookups *lookups =
        ngx_queue_data(read, struct ngx_http_comanda_lookups, read);
    lookups->reading = false;
    if (status == STATUS_OK) {
        status = take_rows(lookups, answer->streams);
    }
    if (status == STATUS_OK && lookups->query_count > 0) {
        status = start_read(lookups);
        if (status == STATUS_OK) {
            return;
        }
    }
    forget_fetched(lookups);
    wake_waiters(lookups, status);
    if (!ngx_queue_empty(&lookups->waiters)) {
        status = fetch(lookups);
        if (status != STATUS_OK) {
            forget_fetched(lookups);
            wake_waiters(lookups, status);
        }
    }
}

// --- for commands ---

bool ngx_http_comanda_lookup_now(struct ngx_http_comanda_lookups *lookups,
                                 const struct lookup_keys *keys, struct lookup_rows *rows)
{
    return answer_from_cache(lookups, keys, rows);
}

enum status ngx_http_comanda_lookup_start(struct ngx_http_comanda_lookups *lookups,
                                          struct ngx_http_comanda_lookup *lookup)
{
    enum status status = want(lookups, lookup->keys);
    if (status != STATUS_OK) {
        return status;
    }
    status = fetch(lookups);
    if (status != STATUS_OK) {
        forget_fetched(lookups);
        return status;
    }
    lookup->waiting = true;
    ngx_queue_insert_tail(&lookups->waiters, &lookup->link);
    return STATUS_OK;
}

void ngx_http_comanda_lookup_cancel(struct ngx_http_comanda_lookup *lookup)
{
    if (lookup->waiting) {
        ngx_queue_remove(&lookup->link);
        lookup->waiting = false;
    }
}

struct ngx_http_comanda_lookups *ngx_http_comanda_lookups_new(
    ngx_cycle_t *cycle, struct ngx_http_comanda_reads *reads,
    struct ngx_http_comanda_snapshots *snapshots, struct str tenant)
{
    struct ngx_http_comanda_lookups *lookups = ngx_pcalloc(cycle->pool, sizeof(*lookups));
    if (lookups == NULL) {
        return NULL;
    }
    lookups->reads = reads;
    lookups->snapshots = snapshots;
    lookups->tenant = tenant;
    ngx_queue_init(&lookups->by_age);
    ngx_queue_init(&lookups->wanted);
    ngx_queue_init(&lookups->waiters);
    for (size_t i = 0; i < BUCKETS; i++) {
        ngx_queue_init(&lookups->buckets[i]);
    }
    arena_init(&lookups->arena, FETCH_ARENA_BLOCK, FETCH_ARENA_MAX);
    return lookups;
}

void ngx_http_comanda_lookups_free(struct ngx_http_comanda_lookups *lookups)
{
    for (size_t i = 0; i < BUCKETS; i++) {
        while (!ngx_queue_empty(&lookups->buckets[i])) {
            ngx_queue_t *head = ngx_queue_head(&lookups->buckets[i]);
            struct entry *entry = ngx_queue_data(head, struct entry, bucket);
            ngx_queue_remove(head);
            free(entry->document);
            free(entry);
        }
    }
    arena_free(&lookups->arena);
}

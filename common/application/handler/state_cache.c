// SPDX-License-Identifier: Apache-2.0
// Encoded states of the streams that a daemon used last, each checked by version at append. Least
// recently used go first; at most `entries_max`. Losing any of it costs a read, never correctness.
#include "application/handler/state_cache.h"

#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

struct entry {
    struct uuid stream;
    int32_t version;
    size_t len;
    UT_hash_handle hh;
    char bytes[];
};

struct state_cache {
    struct entry *entries; // in order of use: a used one is put at the end again
    size_t entries_max;
    size_t entry_bytes_max;
    unsigned session; // that all of it was read in
};

struct state_cache *state_cache_new(size_t entries_max, size_t entry_bytes_max)
{
    struct state_cache *cache = calloc(1, sizeof(*cache));
    if (cache != NULL) {
        cache->entries_max = entries_max;
        cache->entry_bytes_max = entry_bytes_max;
    }
    return cache;
}

static void forget(struct state_cache *cache, struct entry *entry)
{
    HASH_DEL(cache->entries, entry);
    free(entry);
}

static void forget_all(struct state_cache *cache)
{
    while (cache->entries != NULL) {
        forget(cache, cache->entries);
    }
}

void state_cache_free(struct state_cache *cache)
{
    if (cache != NULL) {
        forget_all(cache);
    }
    free(cache);
}

bool state_cache_follow(struct state_cache *cache, unsigned session)
{
    bool outlived = cache->session != session && cache->entries != NULL;
    cache->session = session;
    if (outlived) {
        forget_all(cache);
    }
    return outlived;
}

static struct entry *find(struct state_cache *cache, struct uuid stream)
{
    struct entry *found = NULL;
    HASH_FIND(hh, cache->entries, stream.bytes, sizeof(stream.bytes), found);
    return found;
}

// False: no memory; the entry is gone.
static bool add_last(struct state_cache *cache, struct entry *entry)
{
    HASH_ADD(hh, cache->entries, stream.bytes, sizeof(entry->stream.bytes), entry);
    if (entry->hh.tbl == NULL) {
        free(entry);
        return false;
    }
    return true;
}

int32_t state_cache_get(struct state_cache *cache, struct uuid stream, struct str *state)
{
    struct entry *entry = find(cache, stream);
    if (entry == NULL) {
        return 0;
    }
    HASH_DEL(cache->entries, entry);
    if (!add_last(cache, entry)) {
        return 0;
    }
    *state = (struct str){entry->bytes, entry->len};
    return entry->version;
}

void state_cache_put(struct state_cache *cache, struct uuid stream, int32_t version,
                     struct str state)
{
    state_cache_drop(cache, stream);
    if (state.len > cache->entry_bytes_max || cache->entries_max == 0) {
        return;
    }
    struct entry *entry = malloc(sizeof(*entry) + state.len);
    if (entry == NULL) {
        return;
    }
    if (HASH_COUNT(cache->entries) >= cache->entries_max) {
        forget(cache, cache->entries);
    }
    memset(entry, 0, sizeof(*entry));
    entry->stream = stream;
    entry->version = version;
    entry->len = state.len;
    memcpy(entry->bytes, state.data, state.len);
    (void)add_last(cache, entry);
}

void state_cache_drop(struct state_cache *cache, struct uuid stream)
{
    struct entry *entry = find(cache, stream);
    if (entry != NULL) {
        forget(cache, entry);
    }
}

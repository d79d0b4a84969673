// SPDX-License-Identifier: Apache-2.0
// Documents in this process's memory: for tests and for programs without servers.
#include "infrastructure/memory/document_store_memory.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"

// A document with all of its texts in one piece of memory behind it.
struct kept {
    struct kept *next;
    struct document document;
    char bytes[];
};

enum { BUCKETS = 1024 };

struct memory_store {
    struct document_store base;
    size_t documents_max;
    size_t count;
    struct kept *buckets[BUCKETS];
};

static struct memory_store *self(struct document_store *store)
{
    return (struct memory_store *)store;
}

static struct kept **find_key(struct memory_store *store, struct document_id id)
{
    struct kept **at = &store->buckets[str_hash(id.key) % BUCKETS];
    while (*at != NULL && !(str_eq((*at)->document.key, id.key) &&
                            str_eq((*at)->document.collection, id.collection) &&
                            str_eq((*at)->document.tenant, id.tenant))) {
        at = &(*at)->next;
    }
    return at;
}

static struct str move_text(char **end, struct str text)
{
    char *start = *end;
    if (text.len > 0) {
        memcpy(start, text.data, text.len);
    }
    *end += text.len;
    return (struct str){start, text.len};
}

static void move_texts(struct document *document, char *end)
{
    struct str *texts[] = {&document->tenant, &document->collection, &document->key,
                           &document->owner,  &document->filter,     &document->sort,
                           &document->body};
    for (size_t at = 0; at < sizeof(texts) / sizeof(texts[0]); at++) {
        *texts[at] = move_text(&end, *texts[at]);
    }
}

static size_t text_len(const struct document *document)
{
    return document->tenant.len + document->collection.len + document->key.len +
           document->owner.len + document->filter.len + document->sort.len + document->body.len;
}

static enum status put_one(struct memory_store *store, const struct document *document)
{
    struct kept **place = find_key(
        store, (struct document_id){document->tenant, document->collection, document->key});
    struct kept *old = *place;
    if (old != NULL && old->document.version >= document->version) {
        return STATUS_OK;
    }
    if (old == NULL && store->count == store->documents_max) {
        return STATUS_FULL;
    }
    struct kept *made = malloc(sizeof(*made) + text_len(document));
    if (made == NULL) {
        return STATUS_NO_MEMORY;
    }
    made->document = *document;
    made->next = old == NULL ? NULL : old->next;
    move_texts(&made->document, made->bytes);
    *place = made;
    store->count += old == NULL;
    free(old);
    return STATUS_OK;
}

static enum status put(struct document_store *base, const struct document *documents, size_t count)
{
    for (size_t at = 0; at < count; at++) {
        if (documents[at].version <= 0 || documents[at].body.len > DOCUMENT_BYTES_MAX) {
            return STATUS_INVALID;
        }
        enum status status = put_one(self(base), &documents[at]);
        if (status != STATUS_OK) {
            return status;
        }
    }
    return STATUS_OK;
}

// A copy in the caller's arena: the kept one may be replaced at any time.
static enum status hand_out(const struct kept *kept, struct arena *arena, struct document *document)
{
    char *bytes = arena_alloc(arena, text_len(&kept->document) + 1);
    if (bytes == NULL) {
        return STATUS_NO_MEMORY;
    }
    *document = kept->document;
    move_texts(document, bytes);
    return STATUS_OK;
}

static enum status get(struct document_store *base, const struct document_id *ids, size_t count,
                       struct arena *arena, struct document *documents)
{
    for (size_t at = 0; at < count; at++) {
        const struct kept *kept = *find_key(self(base), ids[at]);
        documents[at] = (struct document){
            .tenant = ids[at].tenant, .collection = ids[at].collection, .key = ids[at].key};
        if (kept != NULL && hand_out(kept, arena, &documents[at]) != STATUS_OK) {
            return STATUS_NO_MEMORY;
        }
    }
    return STATUS_OK;
}

static const struct kept *find_stream(const struct memory_store *store,
                                      const struct document_stream *stream)
{
    for (size_t bucket = 0; bucket < BUCKETS; bucket++) {
        for (const struct kept *kept = store->buckets[bucket]; kept != NULL; kept = kept->next) {
            if (uuid_eq(kept->document.stream, stream->stream) &&
                str_eq(kept->document.collection, stream->collection) &&
                str_eq(kept->document.tenant, stream->tenant)) {
                return kept;
            }
        }
    }
    return NULL;
}

static enum status find(struct document_store *base, const struct document_stream *streams,
                        size_t count, struct arena *arena, struct document *documents)
{
    for (size_t at = 0; at < count; at++) {
        const struct kept *kept = find_stream(self(base), &streams[at]);
        documents[at] = (struct document){.version = 0};
        if (kept != NULL && hand_out(kept, arena, &documents[at]) != STATUS_OK) {
            return STATUS_NO_MEMORY;
        }
    }
    return STATUS_OK;
}

static bool belongs(const struct kept *kept, struct str tenant, struct str collection)
{
    return (str_is_empty(tenant) || str_eq(kept->document.tenant, tenant)) &&
           (str_is_empty(collection) || str_eq(kept->document.collection, collection));
}

static enum status drop(struct document_store *base, struct str tenant, struct str collection)
{
    struct memory_store *store = self(base);
    for (size_t bucket = 0; bucket < BUCKETS; bucket++) {
        struct kept **at = &store->buckets[bucket];
        while (*at != NULL) {
            struct kept *kept = *at;
            if (!belongs(kept, tenant, collection)) {
                at = &kept->next;
                continue;
            }
            *at = kept->next;
            store->count--;
            free(kept);
        }
    }
    return STATUS_OK;
}

static const struct document_store_ops memory_ops = {
    .put = put, .get = get, .find = find, .drop = drop};

struct document_store *document_store_memory_new(size_t documents_max)
{
    struct memory_store *store = calloc(1, sizeof(*store));
    if (store == NULL) {
        return NULL;
    }
    store->base.ops = &memory_ops;
    store->documents_max = documents_max;
    return &store->base;
}

void document_store_memory_free(struct document_store *store)
{
    struct memory_store *memory = store == NULL ? NULL : self(store);
    for (size_t bucket = 0; memory != NULL && bucket < BUCKETS; bucket++) {
        while (memory->buckets[bucket] != NULL) {
            struct kept *kept = memory->buckets[bucket];
            memory->buckets[bucket] = kept->next;
            free(kept);
        }
    }
    free(memory);
}

size_t document_store_memory_count(const struct document_store *store)
{
    return ((const struct memory_store *)store)->count;
}

// SPDX-License-Identifier: Apache-2.0
// Directive comanda_query: one document, from Redis, else the read schema, else folded from the
// log's own events; what Redis lacked is put there.
#include "answer/answer.h"
#include "application/command/entity_tag.h"
#include "application/query/document_search.h"
#include "core/settings.h"
#include "guard/content.h"
#include "guard/guard.h"
#include "infrastructure/redis/document_codec.h"
#include "observe/metrics.h"
#include "serve/document_answer.h"
#include "store/store.h"

extern ngx_module_t ngx_http_comanda_query_module;

enum {
    KEY_LEN_MAX = 255,
    QUERY_ARENA_BLOCK = 8 * 1024,
    QUERY_ARENA_MAX = 16 * 1024 * 1024,
};

enum source {
    SOURCE_REDIS,
    SOURCE_DOCUMENTS,
    SOURCE_LOG,
    SOURCE_NONE,
    SOURCE_LONG_STREAM, // not read to its end in time
    SOURCE_TOO_LARGE,   // past a limit of memory
    SOURCES
};

struct loc_conf {
    const struct projection *projection;
    ngx_http_complex_value_t *key;
    bool own;      // only its owner may see it; else what is public
    ngx_str_t any; // the scope that may see everybody's; empty: none
    ngx_str_t scope;
    const struct ngx_http_comanda_store *store;
    struct ngx_http_comanda_metric *sources[SOURCES];
};

// A query on its way.
struct query {
    ngx_http_request_t *r;
    const struct loc_conf *conf;
    struct document_id id;
    struct arena arena;
    struct ngx_http_comanda_redis_op get;
    struct ngx_http_comanda_read read;
    struct document_search search; // in the log
    struct stream_query newer;     // whether a stream has gone on
    struct document found;         // in the read schema
    ngx_event_t deadline;
};

// --- the answer ---

static ngx_int_t answer_not_found(ngx_http_request_t *r)
{
    return ngx_http_comanda_problem(r, NGX_HTTP_NOT_FOUND, STR("not-found"),
                                    STR("there is no such thing"), NULL);
}

static ngx_int_t answer_unavailable(ngx_http_request_t *r)
{
    return ngx_http_comanda_problem(r, NGX_HTTP_SERVICE_UNAVAILABLE, STR("unavailable"),
                                    STR("the store is away or too slow: ask again later"), NULL);
}

// Someone else's is answered exactly as one that is not there.
static bool may_see(const struct query *query, const struct document *document)
{
    if (document->version == 0 || !document->listed) {
        return false;
    }
    if (!query->conf->own) {
        return document->owner.len == 0;
    }
    const struct ngx_http_comanda_principal *principal = ngx_http_comanda_principal(query->r);
    if (principal == NULL) {
        return false;
    }
    return str_eq(document->owner, principal->subject) ||
           (query->conf->any.len > 0 &&
            ngx_http_comanda_has_scope(principal, ngx_http_comanda_str(query->conf->any)));
}

// RFC 9110, 13.2.2: If-Match first, then If-None-Match. 0: neither speaks against sending it.
static ngx_uint_t judge_conditions(ngx_http_request_t *r, int32_t version)
{
    const ngx_table_elt_t *match = r->headers_in.if_match;
    const ngx_table_elt_t *none_match = r->headers_in.if_none_match;
    struct precondition wanted;
    if (match != NULL && (!entity_tag_read_match(ngx_http_comanda_str(match->value), &wanted) ||
                          !precondition_allows(&wanted, version))) {
        return NGX_HTTP_PRECONDITION_FAILED;
    }
    if (none_match != NULL &&
        entity_tag_none_match(ngx_http_comanda_str(none_match->value), version)) {
        return NGX_HTTP_NOT_MODIFIED;
    }
    return 0;
}

static ngx_int_t answer_document(struct query *query, const struct document *document)
{
    ngx_http_request_t *r = query->r;
    if (!may_see(query, document)) {
        return answer_not_found(r);
    }
    if (ngx_http_comanda_set_etag(r, document->version) != NGX_OK ||
        ngx_http_comanda_add_position(r, document) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    ngx_uint_t status = judge_conditions(r, document->version);
    if (status == NGX_HTTP_PRECONDITION_FAILED) {
        return ngx_http_comanda_problem(r, status, STR("precondition-failed"),
                                        STR("it has changed since"), NULL);
    }
    return ngx_http_comanda_send(r, status == 0 ? NGX_HTTP_OK : status, STR("application/json"),
                                 document->body);
}

static void finish(struct query *query, ngx_int_t rc)
{
    if (query->deadline.timer_set) {
        ngx_del_timer(&query->deadline);
    }
    ngx_http_comanda_finish(query->r, rc);
}

static void finish_with(struct query *query, const struct document *document, enum source source)
{
    ngx_http_comanda_hear_store(query->r, NGX_HTTP_COMANDA_STORE_ANSWERED);
    ngx_http_comanda_metric_add(query->conf->sources[source], 1);
    if (source != SOURCE_REDIS && document->version > 0 && query->conf->store->redis != NULL) {
        // Nobody waits for it, and what Redis has meanwhile is not older.
        (void)!ngx_http_comanda_redis_put(query->conf->store->redis, document, NULL);
    }
    finish(query, answer_document(query, document));
}

// --- limits ---

static void log_limit(struct query *query, ngx_uint_t level, enum source why, const char *what)
{
    const struct document_id *id = &query->id;
    ngx_http_comanda_metric_add(query->conf->sources[why], 1);
    ngx_log_error(level, query->r->connection->log, 0,
                  "comanda: document \"%*s\" of %*s, read up to version %D, %s", id->key.len,
                  id->key.data, id->collection.len, id->collection.data,
                  document_search_version(&query->search), what);
}

static ngx_int_t answer_too_large(struct query *query)
{
    log_limit(query, NGX_LOG_ERR, SOURCE_TOO_LARGE, "is past a limit of memory");
    return ngx_http_comanda_problem(query->r, NGX_HTTP_INSUFFICIENT_STORAGE, STR("memory-limit"),
                                    STR("it is too large to be read: asking again is no help"),
                                    NULL);
}

static void keep_snapshots(struct query *query)
{
    ngx_http_comanda_snapshots_save(query->conf->store->snapshots, query->search.snapshots,
                                    query->search.snapshot_count);
}

static ngx_int_t answer_long_stream(struct query *query)
{
    document_search_give_up(&query->search);
    keep_snapshots(query);
    log_limit(query, NGX_LOG_WARN, SOURCE_LONG_STREAM, "is too long for the time that a query has");
    return ngx_http_comanda_problem(query->r, NGX_HTTP_SERVICE_UNAVAILABLE, STR("long-stream"),
                                    STR("it has a long history, which was read in part: ask again, "
                                        "that begins where this one ended"),
                                    NULL);
}

// --- the log ---

typedef void take_fn(struct ngx_http_comanda_read *read, enum status status,
                     const struct ngx_http_comanda_read_answer *answer);

static enum status read_streams(struct query *query, const struct stream_query *queries,
                                size_t count, take_fn *take)
{
    query->read = (struct ngx_http_comanda_read){
        .kind = READ_STREAMS, .queries = queries, .query_count = count, .done = take};
    return ngx_http_comanda_read_start(query->conf->store->reads, &query->read);
}

static take_fn take_streams;

static enum status search_on(struct query *query)
{
    return read_streams(query, query->search.queries, query->search.count, take_streams);
}

static void take_streams(struct ngx_http_comanda_read *read, enum status status,
                         const struct ngx_http_comanda_read_answer *answer)
{
    struct query *query = ngx_queue_data(read, struct query, read);
    struct document_search *search = &query->search;
    struct document document = {0};
    if (status != STATUS_OK) {
        finish(query, answer_unavailable(query->r));
        return;
    }
    status = document_search_take(search, answer->streams);
    keep_snapshots(query);
    if (status == STATUS_OK && search->between_pages) {
        if (search_on(query) != STATUS_OK) {
            finish(query, answer_unavailable(query->r));
        }
        return;
    }
    if (status != STATUS_OK || document_search_finish(search, &document) != STATUS_OK) {
        finish(query, answer_too_large(query));
        return;
    }
    finish_with(query, &document, document.version > 0 ? SOURCE_LOG : SOURCE_NONE);
}

// --- the read schema ---

// Its projector may be a moment behind, and whoever has written reads what he wrote.
static void take_newer(struct ngx_http_comanda_read *read, enum status status,
                       const struct ngx_http_comanda_read_answer *answer)
{
    struct query *query = ngx_queue_data(read, struct query, read);
    if (status == STATUS_OK && answer->streams[0].count == 0) {
        finish_with(query, &query->found, SOURCE_DOCUMENTS);
        return;
    }
    document_search_begin_in(&query->search, query->conf->projection, &query->id,
                             query->found.stream, &query->arena);
    if (status != STATUS_OK || search_on(query) != STATUS_OK) {
        finish(query, answer_unavailable(query->r));
    }
}

static bool keep_view(struct query *query, struct str *view)
{
    *view = arena_str(&query->arena, *view);
    return view->data != NULL;
}

// The views of what was read end with the callback.
static bool keep_document(struct query *query, const struct document *document)
{
    struct document *found = &query->found;
    *found = *document;
    found->tenant = query->id.tenant;
    found->collection = query->id.collection;
    found->key = query->id.key;
    return keep_view(query, &found->owner) && keep_view(query, &found->filter) &&
           keep_view(query, &found->sort) && keep_view(query, &found->body);
}

static void take_document(struct ngx_http_comanda_read *read, enum status status,
                          const struct ngx_http_comanda_read_answer *answer)
{
    struct query *query = ngx_queue_data(read, struct query, read);
    if (status != STATUS_OK) {
        finish(query, answer_unavailable(query->r));
        return;
    }
    if (!keep_document(query, &answer->document)) {
        finish(query, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }
    if (query->found.version == 0) {
        document_search_begin(&query->search, query->conf->projection, &query->id, &query->arena);
        status = search_on(query);
    } else {
        query->newer = (struct stream_query){.stream = query->found.stream,
                                             .after_version = query->found.version};
        status = read_streams(query, &query->newer, 1, take_newer);
    }
    if (status != STATUS_OK) {
        finish(query, answer_unavailable(query->r));
    }
}

static enum status read_document(struct query *query)
{
    query->read = (struct ngx_http_comanda_read){
        .kind = READ_DOCUMENT, .document_id = query->id, .done = take_document};
    return ngx_http_comanda_read_start(query->conf->store->reads, &query->read);
}

// --- Redis ---

static bool read_cached(struct query *query, struct str value, struct document *document)
{
    struct str kept = arena_str(&query->arena, value); // the reply goes when this returns
    struct str generation = ngx_http_comanda_redis_generation(query->conf->store->redis);
    return kept.data != NULL &&
           document_redis_read(kept, generation, &query->id, &query->arena, document) == STATUS_OK;
}

static void take_cached(struct ngx_http_comanda_redis_op *op, enum status status, struct str value)
{
    struct query *query = ngx_queue_data(op, struct query, get);
    struct document document;
    if (status == STATUS_OK && read_cached(query, value, &document)) {
        finish_with(query, &document, SOURCE_REDIS);
        return;
    }
    if (read_document(query) != STATUS_OK) {
        finish(query, answer_unavailable(query->r));
    }
}

// --- the request ---

static void handle_deadline(ngx_event_t *event)
{
    struct query *query = event->data;
    ngx_http_comanda_redis_cancel(&query->get);
    ngx_http_comanda_read_cancel(query->conf->store->reads, &query->read);
    bool paging = query->search.between_pages;
    if (!paging) {
        ngx_http_comanda_hear_store(query->r, NGX_HTTP_COMANDA_STORE_SILENT);
    }
    finish(query, paging ? answer_long_stream(query) : answer_unavailable(query->r));
}

static void handle_request_gone(void *data)
{
    struct query *query = data;
    if (query->deadline.timer_set) {
        ngx_del_timer(&query->deadline);
    }
    ngx_http_comanda_redis_cancel(&query->get);
    ngx_http_comanda_read_cancel(query->conf->store->reads, &query->read);
}

// With the pool, not with the request: a frame of HTTP/2 that has left in part still points to the
// body when the client resets its stream.
static void free_memory(void *data)
{
    arena_free(data);
}

static struct query *new_query(ngx_http_request_t *r, const struct loc_conf *conf, struct str key)
{
    struct query *query = ngx_pcalloc(r->pool, sizeof(*query));
    ngx_pool_cleanup_t *memory = ngx_pool_cleanup_add(r->pool, 0);
    ngx_http_cleanup_t *cleanup = ngx_http_cleanup_add(r, 0);
    if (query == NULL || memory == NULL || cleanup == NULL) {
        return NULL;
    }
    query->r = r;
    query->conf = conf;
    query->id = (struct document_id){conf->store->tenant, conf->projection->collection, key};
    query->get.done = take_cached;
    query->deadline =
        (ngx_event_t){.data = query, .log = ngx_cycle->log, .handler = handle_deadline};
    arena_init(&query->arena, QUERY_ARENA_BLOCK, QUERY_ARENA_MAX);
    memory->handler = free_memory;
    memory->data = &query->arena;
    cleanup->handler = handle_request_gone;
    cleanup->data = query;
    return query;
}

static enum status begin(struct query *query)
{
    struct ngx_http_comanda_redis *redis = query->conf->store->redis;
    if (redis != NULL && ngx_http_comanda_redis_get(redis, &query->id, &query->get) == STATUS_OK) {
        return STATUS_OK;
    }
    return read_document(query);
}

static ngx_int_t handle_query(ngx_http_request_t *r)
{
    const struct loc_conf *conf = ngx_http_get_module_loc_conf(r, ngx_http_comanda_query_module);
    ngx_str_t key;
    ngx_int_t rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }
    if (ngx_http_complex_value(r, conf->key, &key) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    // What no store can hold names nothing; it must not reach a statement that others share.
    if (key.len == 0 || key.len > KEY_LEN_MAX || !str_is_text(ngx_http_comanda_str(key))) {
        return answer_not_found(r);
    }
    struct query *query = new_query(r, conf, ngx_http_comanda_str(key));
    if (query == NULL || ngx_http_comanda_watch_client(r) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    if (begin(query) != STATUS_OK) {
        return answer_unavailable(r);
    }
    ngx_add_timer(&query->deadline, ngx_http_comanda_postgres_budget(conf->store->postgres));
    r->main->count++;
    return NGX_DONE;
}

// --- the directive ---

static void declare_sources(ngx_conf_t *cf, struct loc_conf *conf)
{
    static const char *const names[SOURCES] = {"redis",   "documents",   "log",
                                               "nowhere", "long_stream", "too_large"};
    for (size_t i = 0; i < SOURCES; i++) {
        u_char labels[128];
        struct str collection = conf->projection->collection;
        u_char *end = ngx_snprintf(labels, sizeof(labels), "collection=\"%*s\",source=\"%s\"",
                                   collection.len, collection.data, names[i]);
        conf->sources[i] = ngx_http_comanda_counter(
            cf, "comanda_queries_total", "Documents asked for, by where they were found.",
            (struct str){(const char *)labels, (size_t)(end - labels)});
    }
}

static char *check_conf(ngx_conf_t *cf, struct loc_conf *conf, ngx_str_t owner)
{
    conf->own = str_eq(ngx_http_comanda_str(owner), STR("own"));
    if (!conf->own && !str_eq(ngx_http_comanda_str(owner), STR("public"))) {
        return "needs owner=own or owner=public";
    }
    if (conf->own && conf->scope.len == 0) {
        return "needs scope=SCOPE with owner=own, so that there is a principal";
    }
    if (conf->key == NULL) {
        return "needs key=$variable";
    }
    if (conf->store->postgres == NULL) {
        return "needs a comanda_postgres above";
    }
    declare_sources(cf, conf);
    return ngx_http_comanda_content_set(cf, NGX_HTTP_GET | NGX_HTTP_HEAD, handle_query,
                                        conf->scope);
}

static char *set_query(ngx_conf_t *cf, ngx_command_t *directive, void *data)
{
    (void)directive;
    struct loc_conf *conf = data;
    const ngx_str_t *words = cf->args->elts;
    ngx_str_t owner = ngx_null_string;
    const struct ngx_http_comanda_setting settings[] = {
        {.name = STR("key"), .variable = &conf->key},
        {.name = STR("owner"), .text = &owner},
        {.name = STR("any"), .text = &conf->any},
        {.name = STR("scope"), .text = &conf->scope},
        {.name = {NULL, 0}},
    };
    conf->store = ngx_http_comanda_store(cf);
    conf->projection = context_projection(ngx_http_comanda_str(words[1]));
    if (conf->projection == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "comanda_query: there is no collection \"%V\"",
                           &words[1]);
        return NGX_CONF_ERROR;
    }
    char *rc = ngx_http_comanda_read_settings(cf, 2, settings);
    return rc == NGX_CONF_OK ? check_conf(cf, conf, owner) : rc;
}

static void *create_loc_conf(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(struct loc_conf));
}

// An `if` or a `limit_except` within a location is the same location.
static char *merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    struct loc_conf *conf = child;
    const ngx_http_core_loc_conf_t *core =
        ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    if (core->noname && conf->projection == NULL) {
        *conf = *(struct loc_conf *)parent;
    }
    return NGX_CONF_OK;
}

static ngx_command_t directives[] = {
    {.name = ngx_string("comanda_query"),
     .type = NGX_HTTP_LOC_CONF | NGX_CONF_2MORE,
     .set = set_query,
     .conf = NGX_HTTP_LOC_CONF_OFFSET},
    ngx_null_command,
};

static ngx_http_module_t module_context = {
    .create_loc_conf = create_loc_conf,
    .merge_loc_conf = merge_loc_conf,
};

ngx_module_t ngx_http_comanda_query_module = {
    NGX_MODULE_V1,           .ctx = &module_context, .commands = directives,
    .type = NGX_HTTP_MODULE, NGX_MODULE_V1_PADDING,
};

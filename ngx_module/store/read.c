// SPDX-License-Identifier: Apache-2.0
// Reads of many requests in one statement: streams of the log, idempotency keys, documents of the
// read schema, pages of lists, whether the schema is ours, and how far what comes after is behind.
#include "store/read.h"

#include "domain/bounded_context.h"
#include "infrastructure/postgres/binary.h"
#include "infrastructure/postgres/rights.h"

enum {
    GROUP_READS_MAX = 256,
    GROUP_QUERIES_MAX = 1024,
    GROUP_ROWS_MAX = 8192, // of one statement: a session is not a reader's for longer
    GROUP_ARENA_BLOCK = 64 * 1024,
    GROUP_ARENA_MAX = 256 * 1024 * 1024,
    SPARE_GROUPS_MAX = 4,
};

// Reads of one kind that travel together. What they ask with is copied, so that a request that goes
// away takes nothing with it.
struct read_group {
    struct ngx_http_comanda_call call;
    ngx_queue_t link; // among spares
    struct ngx_http_comanda_reads *reads;
    enum read_kind kind;
    struct arena arena;
    struct ngx_http_comanda_read *members[GROUP_READS_MAX]; // NULL: cancelled
    size_t query_counts[GROUP_READS_MAX]; // a member that has gone left its queries behind
    size_t count;
    struct stream_query *queries; // of all members, one after another
    size_t row_limit;             // of each stream
    size_t query_count;
    struct uuid *keys;
    struct document_id *document_ids;
};

struct ngx_http_comanda_reads {
    struct ngx_http_comanda_source source;
    struct ngx_http_comanda_postgres *postgres;
    ngx_queue_t waiting[READ_KINDS];
    int next_kind; // asked first, so that no kind starves another
    ngx_queue_t spares;
    size_t spare_count;
};

// --- groups ---

static struct read_group *new_group(struct ngx_http_comanda_reads *reads, enum read_kind kind)
{
    struct read_group *group;
    if (ngx_queue_empty(&reads->spares)) {
        group = ngx_alloc(sizeof(*group), ngx_cycle->log);
        if (group == NULL) {
            return NULL;
        }
        arena_init(&group->arena, GROUP_ARENA_BLOCK, GROUP_ARENA_MAX);
        group->reads = reads;
    } else {
        group = ngx_queue_data(ngx_queue_head(&reads->spares), struct read_group, link);
        ngx_queue_remove(&group->link);
        reads->spare_count--;
    }
    group->kind = kind;
    group->count = 0;
    group->query_count = 0;
    return group;
}

static void free_group(struct read_group *group)
{
    arena_free(&group->arena);
    ngx_free(group);
}

static void release_group(struct read_group *group)
{
    struct ngx_http_comanda_reads *reads = group->reads;
    if (reads->spare_count < SPARE_GROUPS_MAX) {
        arena_reset(&group->arena);
        ngx_queue_insert_head(&reads->spares, &group->link);
        reads->spare_count++;
        return;
    }
    free_group(group);
}

static void take_out(struct ngx_http_comanda_reads *reads, struct ngx_http_comanda_read *read)
{
    ngx_queue_remove(&read->link);
    read->waiting = false;
    ngx_http_comanda_postgres_leave(reads->postgres, &reads->source);
}

static size_t reads_that_fit(enum read_kind kind)
{
    return kind == READ_PAGE ? 1 : GROUP_READS_MAX; // each page has a filter of its own
}

static void gather(struct read_group *group)
{
    ngx_queue_t *queue = &group->reads->waiting[group->kind];
    size_t room = reads_that_fit(group->kind);
    while (!ngx_queue_empty(queue) && group->count < room) {
        struct ngx_http_comanda_read *read =
            ngx_queue_data(ngx_queue_head(queue), struct ngx_http_comanda_read, link);
        size_t queries = read->kind == READ_STREAMS ? read->query_count : 0;
        if (group->count > 0 && group->query_count + queries > GROUP_QUERIES_MAX) {
            return;
        }
        take_out(group->reads, read);
        read->place = &group->members[group->count];
        group->query_counts[group->count] = queries;
        group->members[group->count++] = read;
        group->query_count += queries;
    }
}

// --- what is asked ---

// So many streams share a statement's budget of rows; what is left of one is asked for again.
static size_t row_limit(size_t query_count)
{
    size_t share = GROUP_ROWS_MAX / ngx_max(query_count, 1);
    return ngx_max(ngx_min(share, READ_ROWS_A_STREAM_MAX), 1);
}

static enum status encode_streams(struct read_group *group)
{
    group->queries = arena_array(&group->arena, group->query_count, sizeof(*group->queries));
    if (group->queries == NULL) {
        return STATUS_NO_MEMORY;
    }
    struct stream_query *next = group->queries;
    for (size_t i = 0; i < group->count; i++) {
        ngx_memcpy(next, group->members[i]->queries,
                   group->members[i]->query_count * sizeof(*next));
        next += group->members[i]->query_count;
    }
    group->row_limit = row_limit(group->query_count);
    return statement_read_streams(group->queries, group->query_count, group->row_limit,
                                  &group->arena, &group->call.statement);
}

static enum status encode_keys(struct read_group *group)
{
    group->keys = arena_array(&group->arena, group->count, sizeof(*group->keys));
    if (group->keys == NULL) {
        return STATUS_NO_MEMORY;
    }
    for (size_t i = 0; i < group->count; i++) {
        group->keys[i] = group->members[i]->key;
    }
    return statement_find_keys(group->keys, group->count, &group->arena, &group->call.statement);
}

static enum status encode_documents(struct read_group *group)
{
    group->document_ids = arena_array(&group->arena, group->count, sizeof(*group->document_ids));
    if (group->document_ids == NULL) {
        return STATUS_NO_MEMORY;
    }
    for (size_t i = 0; i < group->count; i++) {
        const struct document_id *asked = &group->members[i]->document_id;
        group->document_ids[i] = (struct document_id){.tenant = asked->tenant,
                                                      .collection = asked->collection,
                                                      .key = arena_str(&group->arena, asked->key)};
        if (group->document_ids[i].key.data == NULL) {
            return STATUS_NO_MEMORY;
        }
    }
    return statement_get_documents(group->document_ids, group->count, &group->arena,
                                   &group->call.statement);
}

static enum status encode_page(struct read_group *group)
{
    struct document_page page = group->members[0]->page;
    page.owner = arena_str(&group->arena, page.owner);
    page.filter = arena_str(&group->arena, page.filter);
    page.after = arena_str(&group->arena, page.after);
    if (page.owner.data == NULL || page.filter.data == NULL || page.after.data == NULL) {
        return STATUS_NO_MEMORY;
    }
    return statement_list_documents(&page, &group->arena, &group->call.statement);
}

static enum status encode_plain(struct read_group *group, const char *name, const char *sql)
{
    static const Oid no_types[1];
    struct binary_params params;
    binary_params_begin(&params, &group->call.statement, &group->arena, name, sql, no_types);
    return params.status;
}

// The schema's version, and what our role lacks.
static enum status encode_schema(struct read_group *group)
{
    static const Oid types[] = {OID_TEXT};
    struct binary_params params;
    binary_params_begin(&params, &group->call.statement, &group->arena, "edge_schema",
                        "select (select coalesce(max(version), 0)::int4 from comanda.migrations),"
                        " " RIGHTS_LACKING_SQL,
                        types);
    binary_param_bytes(&params, str_from(rights_of("comanda-edge")));
    return params.status;
}

static enum status encode(struct read_group *group)
{
    switch (group->kind) {
    case READ_STREAMS:
        return encode_streams(group);
    case READ_KEY:
        return encode_keys(group);
    case READ_DOCUMENT:
        return encode_documents(group);
    case READ_PAGE:
        return encode_page(group);
    case READ_SCHEMA:
        return encode_schema(group);
    case READ_RELAY:
        return encode_plain(group, "edge_relay",
                            "select coalesce(behind_s, -1), held from comanda.relay_stands()");
    case READ_BACKLOG:
        return encode_plain(group, "edge_backlog", "select comanda.backlog_s()");
    case READ_KINDS:
        break;
    }
    return STATUS_INVALID;
}

// --- what is answered ---

static void answer(struct read_group *group, size_t index, enum status status,
                   const struct ngx_http_comanda_read_answer *answer)
{
    struct ngx_http_comanda_read *read = group->members[index];
    if (read != NULL) {
        group->members[index] = NULL;
        read->place = NULL;
        read->done(read, status, answer);
    }
}

static void answer_all(struct read_group *group, enum status status)
{
    for (size_t i = 0; i < group->count; i++) {
        answer(group, i, status, NULL);
    }
}

static enum status answer_streams(struct read_group *group, const PGresult *result)
{
    struct stream_rows *streams = arena_array(&group->arena, group->query_count, sizeof(*streams));
    if (streams == NULL) {
        return STATUS_NO_MEMORY;
    }
    enum status status = statement_read_streams_read(result, group->queries, group->query_count,
                                                     group->row_limit, &group->arena, streams);
    if (status != STATUS_OK) {
        return status;
    }
    const struct stream_rows *next = streams;
    for (size_t i = 0; i < group->count; i++) {
        struct ngx_http_comanda_read_answer one = {.streams = next};
        next += group->query_counts[i];
        answer(group, i, STATUS_OK, &one);
    }
    return STATUS_OK;
}

static enum status answer_keys(struct read_group *group, const PGresult *result)
{
    bool *known = arena_array(&group->arena, group->count, sizeof(*known));
    struct append_key *keys = arena_array(&group->arena, group->count, sizeof(*keys));
    if (known == NULL || keys == NULL) {
        return STATUS_NO_MEMORY;
    }
    enum status status = statement_find_keys_read(result, group->keys, group->count, known, keys);
    for (size_t i = 0; i < group->count && status == STATUS_OK; i++) {
        struct ngx_http_comanda_read_answer one = {.key_known = known[i], .key = keys[i]};
        answer(group, i, STATUS_OK, &one);
    }
    return status;
}

static enum status answer_documents(struct read_group *group, const PGresult *result)
{
    struct document *documents = arena_array(&group->arena, group->count, sizeof(*documents));
    if (documents == NULL) {
        return STATUS_NO_MEMORY;
    }
    enum status status = statement_get_documents_read(result, group->document_ids, group->count,
                                                      &group->arena, documents);
    for (size_t i = 0; i < group->count && status == STATUS_OK; i++) {
        struct ngx_http_comanda_read_answer one = {.document = documents[i]};
        answer(group, i, STATUS_OK, &one);
    }
    return status;
}

static enum status answer_page(struct read_group *group, const PGresult *result)
{
    struct document *documents = NULL;
    size_t count = 0;
    enum status status = statement_list_documents_read(result, &group->arena, &documents, &count);
    if (status == STATUS_OK) {
        struct ngx_http_comanda_read_answer one = {.documents = documents, .document_count = count};
        answer(group, 0, STATUS_OK, &one);
    }
    return status;
}

static enum status answer_number(struct read_group *group, const PGresult *result)
{
    struct binary_row row = {.result = result};
    if (PQntuples(result) != 1) {
        return STATUS_MALFORMED;
    }
    struct ngx_http_comanda_read_answer one = {.number = binary_int4(&row, 0)};
    one.lacking = group->kind == READ_SCHEMA ? binary_bytes(&row, 1) : STR("");
    one.held = group->kind == READ_RELAY && binary_bool(&row, 1);
    for (size_t i = 0; i < group->count && !row.bad; i++) {
        answer(group, i, STATUS_OK, &one);
    }
    return row.bad ? STATUS_MALFORMED : STATUS_OK;
}

static enum status read_result(struct read_group *group, const PGresult *result)
{
    switch (group->kind) {
    case READ_STREAMS:
        return answer_streams(group, result);
    case READ_KEY:
        return answer_keys(group, result);
    case READ_DOCUMENT:
        return answer_documents(group, result);
    case READ_PAGE:
        return answer_page(group, result);
    case READ_SCHEMA:
    case READ_RELAY:
    case READ_BACKLOG:
        return answer_number(group, result);
    case READ_KINDS:
        break;
    }
    return STATUS_INVALID;
}

static void handle_done(struct ngx_http_comanda_call *call, enum status status,
                        const PGresult *result)
{
    struct read_group *group = ngx_queue_data(call, struct read_group, call);
    if (status == STATUS_OK) {
        status = read_result(group, result);
    }
    if (status != STATUS_OK) {
        answer_all(group, status);
    }
    release_group(group);
}

// --- for the driver ---

static struct read_group *next_group(struct ngx_http_comanda_reads *reads)
{
    for (int i = 0; i < READ_KINDS; i++) {
        int kind = (reads->next_kind + i) % READ_KINDS;
        if (!ngx_queue_empty(&reads->waiting[kind])) {
            reads->next_kind = (kind + 1) % READ_KINDS;
            return new_group(reads, (enum read_kind)kind);
        }
    }
    return NULL;
}

static struct ngx_http_comanda_call *offer(struct ngx_http_comanda_source *source)
{
    struct ngx_http_comanda_reads *reads =
        ngx_queue_data(source, struct ngx_http_comanda_reads, source);
    struct read_group *group;
    while ((group = next_group(reads)) != NULL) {
        gather(group);
        enum status status = encode(group);
        if (status == STATUS_OK) {
            group->call.writes = false;
            group->call.done = handle_done;
            return &group->call;
        }
        answer_all(group, status);
        release_group(group);
    }
    return NULL;
}

// --- for requests ---

enum status ngx_http_comanda_read_start(struct ngx_http_comanda_reads *reads,
                                        struct ngx_http_comanda_read *read)
{
    enum status status = ngx_http_comanda_postgres_enter(reads->postgres, &reads->source);
    if (status == STATUS_OK) {
        read->place = NULL;
        read->waiting = true;
        ngx_queue_insert_tail(&reads->waiting[read->kind], &read->link);
        ngx_http_comanda_postgres_wake(reads->postgres);
    }
    return status;
}

void ngx_http_comanda_read_cancel(struct ngx_http_comanda_reads *reads,
                                  struct ngx_http_comanda_read *read)
{
    if (read->waiting) {
        take_out(reads, read);
    }
    if (read->place != NULL) {
        *read->place = NULL;
        read->place = NULL;
    }
}

struct ngx_http_comanda_reads *ngx_http_comanda_reads_new(ngx_cycle_t *cycle,
                                                          struct ngx_http_comanda_postgres *pg,
                                                          enum ngx_http_comanda_share share)
{
    struct ngx_http_comanda_reads *reads = ngx_pcalloc(cycle->pool, sizeof(*reads));
    if (reads == NULL) {
        return NULL;
    }
    reads->source.offer = offer;
    reads->postgres = pg;
    ngx_queue_init(&reads->spares);
    for (int i = 0; i < READ_KINDS; i++) {
        ngx_queue_init(&reads->waiting[i]);
    }
    ngx_http_comanda_postgres_add_source(pg, &reads->source, share);
    return reads;
}

void ngx_http_comanda_reads_free(struct ngx_http_comanda_reads *reads)
{
    while (!ngx_queue_empty(&reads->spares)) {
        ngx_queue_t *head = ngx_queue_head(&reads->spares);
        ngx_queue_remove(head);
        free_group(ngx_queue_data(head, struct read_group, link));
    }
}

// SPDX-License-Identifier: Apache-2.0
// The read schema's documents: by key, by stream, by page, and the versioned put of a batch.
#include "infrastructure/postgres/binary.h"
#include "infrastructure/postgres/statement.h"

#define DOCUMENT_COLUMNS                                                                       \
    "d.tenant, d.collection, d.key, d.stream, d.version, d.epoch, d.tx, d.position, d.owner, " \
    "d.filter, d.sort, d.listed, d.body"

// With an ordinal in front where the answer belongs to one of several questions.
enum { ORDINAL_COLUMNS = 1 };

static void read_document(struct binary_row *row, int column, struct document *document)
{
    *document = (struct document){
        .tenant = binary_bytes(row, column),
        .collection = binary_bytes(row, column + 1),
        .key = binary_bytes(row, column + 2),
        .stream = binary_uuid(row, column + 3),
        .version = binary_int4(row, column + 4),
        .at.epoch = binary_int4(row, column + 5),
        .at.tx = (uint64_t)binary_int8(row, column + 6),
        .at.position = binary_int8(row, column + 7),
        .owner = binary_bytes(row, column + 8),
        .filter = binary_bytes(row, column + 9),
        .sort = binary_bytes(row, column + 10),
        .listed = binary_bool(row, column + 11),
        .body = binary_bytes(row, column + 12),
    };
}

// The result is cleared by whoever moved it, so every view is copied out.
static bool keep_view(struct arena *arena, struct str *view)
{
    *view = arena_str(arena, *view);
    return view->data != NULL;
}

static enum status keep_document(struct arena *arena, struct document *document)
{
    return keep_view(arena, &document->tenant) && keep_view(arena, &document->collection) &&
                   keep_view(arena, &document->key) && keep_view(arena, &document->owner) &&
                   keep_view(arena, &document->filter) && keep_view(arena, &document->sort) &&
                   keep_view(arena, &document->body)
               ? STATUS_OK
               : STATUS_NO_MEMORY;
}

enum status statement_get_documents(const struct document_id *ids, size_t count,
                                    struct arena *arena, struct statement *statement)
{
    static const Oid types[] = {OID_TEXT_ARRAY, OID_TEXT_ARRAY, OID_TEXT_ARRAY};
    struct binary_params params;
    binary_params_begin(&params, statement, arena, "get_documents",
                        "select q.ordinal, " DOCUMENT_COLUMNS
                        " from unnest($1, $2, $3) with ordinality"
                        "      as q (tenant, collection, key, ordinal)"
                        " join comanda_read.documents d using (tenant, collection, key)",
                        types);
    struct binary_array tenants, collections, keys;
    binary_array_begin(&tenants, arena, OID_TEXT, count, 16 * count);
    binary_array_begin(&collections, arena, OID_TEXT, count, 16 * count);
    binary_array_begin(&keys, arena, OID_TEXT, count, 48 * count);
    for (size_t at = 0; at < count; at++) {
        binary_array_bytes(&tenants, ids[at].tenant);
        binary_array_bytes(&collections, ids[at].collection);
        binary_array_bytes(&keys, ids[at].key);
    }
    binary_param_array(&params, &tenants);
    binary_param_array(&params, &collections);
    binary_param_array(&params, &keys);
    return params.status;
}

// Answers come in any order and only for what is there; the ordinal (from 1) tells whose it is.
static enum status read_by_ordinal(const PGresult *result, size_t count, struct arena *arena,
                                   struct document *documents)
{
    struct document *made = arena_array(arena, count, sizeof(*made));
    if (made == NULL) {
        return STATUS_NO_MEMORY;
    }
    for (int at = 0; at < PQntuples(result); at++) {
        struct binary_row row = {.result = result, .row = at};
        int64_t ordinal = binary_int8(&row, 0);
        if (row.bad || ordinal < 1 || (size_t)ordinal > count) {
            return STATUS_MALFORMED;
        }
        struct document *document = &made[ordinal - 1];
        read_document(&row, ORDINAL_COLUMNS, document);
        if (row.bad) {
            return STATUS_MALFORMED;
        }
        if (keep_document(arena, document) != STATUS_OK) {
            return STATUS_NO_MEMORY;
        }
    }
    for (size_t at = 0; at < count; at++) {
        documents[at] = made[at];
    }
    return STATUS_OK;
}

enum status statement_get_documents_read(const PGresult *result, const struct document_id *ids,
                                         size_t count, struct arena *arena,
                                         struct document *documents)
{
    (void)ids; // the ordinal says it
    return read_by_ordinal(result, count, arena, documents);
}

enum status statement_find_documents(const struct document_stream *streams, size_t count,
                                     struct arena *arena, struct statement *statement)
{
    static const Oid types[] = {OID_TEXT_ARRAY, OID_TEXT_ARRAY, OID_UUID_ARRAY};
    struct binary_params params;
    binary_params_begin(&params, statement, arena, "find_documents",
                        "select q.ordinal, " DOCUMENT_COLUMNS
                        " from unnest($1, $2, $3) with ordinality"
                        "      as q (tenant, collection, stream, ordinal)"
                        " join comanda_read.documents d using (stream, collection, tenant)",
                        types);
    struct binary_array tenants, collections, ids;
    binary_array_begin(&tenants, arena, OID_TEXT, count, 16 * count);
    binary_array_begin(&collections, arena, OID_TEXT, count, 16 * count);
    binary_array_begin(&ids, arena, OID_UUID, count, sizeof(struct uuid) * count);
    for (size_t at = 0; at < count; at++) {
        binary_array_bytes(&tenants, streams[at].tenant);
        binary_array_bytes(&collections, streams[at].collection);
        binary_array_uuid(&ids, streams[at].stream);
    }
    binary_param_array(&params, &tenants);
    binary_param_array(&params, &collections);
    binary_param_array(&params, &ids);
    return params.status;
}

enum status statement_find_documents_read(const PGresult *result, size_t count, struct arena *arena,
                                          struct document *documents)
{
    return read_by_ordinal(result, count, arena, documents);
}

// One statement a shape of list, so that each has a plan of its own over the index that fits it.
// Parameters that a shape leaves out stay in it as `is not null`: every shape takes the same six.
#define LIST_SQL(owner, filter, after, order)                                                   \
    "select " DOCUMENT_COLUMNS " from comanda_read.documents d"                                 \
    " where d.tenant = $1 and d.collection = $2 and d.listed and " owner " and " filter " and " \
    "d.sort " after " order by d.sort " order " limit $6"

#define OWNER_ONE "d.owner = $3"
#define OWNER_ANY "$3::text is not null"
#define FILTER_ONE "d.filter = $4"
#define FILTER_ALL "$4::text is not null"
#define OLDEST "> $5", ""
#define NEWEST "< $5", "desc"
#define NEWEST_START "is not null and $5::text is not null", "desc"
#define LIST(owner, filter, direction) LIST_SQL_EXPAND(owner, filter, direction)
#define LIST_SQL_EXPAND(owner, filter, ...) LIST_SQL(owner, filter, __VA_ARGS__)

struct list_shape {
    const char *name;
    const char *sql;
};

enum { LIST_OLDEST, LIST_NEWEST, LIST_NEWEST_START, LIST_DIRECTIONS };

// [any owner][all filters][direction]
static const struct list_shape list_shapes[2][2][LIST_DIRECTIONS] = {
    {{{"list_own_some", LIST(OWNER_ONE, FILTER_ONE, OLDEST)},
      {"list_own_some_newest", LIST(OWNER_ONE, FILTER_ONE, NEWEST)},
      {"list_own_some_start", LIST(OWNER_ONE, FILTER_ONE, NEWEST_START)}},
     {{"list_own_all", LIST(OWNER_ONE, FILTER_ALL, OLDEST)},
      {"list_own_all_newest", LIST(OWNER_ONE, FILTER_ALL, NEWEST)},
      {"list_own_all_start", LIST(OWNER_ONE, FILTER_ALL, NEWEST_START)}}},
    {{{"list_any_some", LIST(OWNER_ANY, FILTER_ONE, OLDEST)},
      {"list_any_some_newest", LIST(OWNER_ANY, FILTER_ONE, NEWEST)},
      {"list_any_some_start", LIST(OWNER_ANY, FILTER_ONE, NEWEST_START)}},
     {{"list_any_all", LIST(OWNER_ANY, FILTER_ALL, OLDEST)},
      {"list_any_all_newest", LIST(OWNER_ANY, FILTER_ALL, NEWEST)},
      {"list_any_all_start", LIST(OWNER_ANY, FILTER_ALL, NEWEST_START)}}},
};

static const struct list_shape *shape_of(const struct document_page *page)
{
    // Ascending from the start is "after the empty string": nothing sorts before it.
    int direction = !page->newest_first         ? LIST_OLDEST
                    : str_is_empty(page->after) ? LIST_NEWEST_START
                                                : LIST_NEWEST;
    return &list_shapes[page->any_owner][str_is_empty(page->filter)][direction];
}

enum status statement_list_documents(const struct document_page *page, struct arena *arena,
                                     struct statement *statement)
{
    static const Oid types[] = {OID_TEXT, OID_TEXT, OID_TEXT, OID_TEXT, OID_TEXT, OID_INT8};
    const struct list_shape *shape = shape_of(page);
    struct binary_params params;
    binary_params_begin(&params, statement, arena, shape->name, shape->sql, types);
    binary_param_bytes(&params, page->tenant);
    binary_param_bytes(&params, page->collection);
    binary_param_bytes(&params, page->owner);
    binary_param_bytes(&params, page->filter);
    binary_param_bytes(&params, page->after);
    binary_param_int8(&params, (int64_t)page->limit);
    return params.status;
}

enum status statement_list_documents_read(const PGresult *result, struct arena *arena,
                                          struct document **documents, size_t *count)
{
    size_t found = (size_t)PQntuples(result);
    struct document *made = arena_array(arena, found, sizeof(*made));
    if (made == NULL) {
        return STATUS_NO_MEMORY;
    }
    for (size_t at = 0; at < found; at++) {
        struct binary_row row = {.result = result, .row = (int)at};
        read_document(&row, 0, &made[at]);
        if (row.bad) {
            return STATUS_MALFORMED;
        }
        if (keep_document(arena, &made[at]) != STATUS_OK) {
            return STATUS_NO_MEMORY;
        }
    }
    *documents = made;
    *count = found;
    return STATUS_OK;
}

// Sorted, so that two projectors never wait for each other in a circle; the newest of a key that
// stands in the batch twice.
static const char put_sql[] =
    "insert into comanda_read.documents as d"
    " (tenant, collection, key, stream, version, epoch, tx, position, owner, filter, sort, listed,"
    "  body)"
    " select distinct on (tenant, collection, key) *"
    " from unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"
    "      as n (tenant, collection, key, stream, version, epoch, tx, position, owner, filter,"
    "            sort, listed, body)"
    " order by tenant, collection, key, version desc"
    " on conflict (tenant, collection, key) do update"
    " set stream = excluded.stream, version = excluded.version, epoch = excluded.epoch,"
    "     tx = excluded.tx, position = excluded.position, owner = excluded.owner,"
    "     filter = excluded.filter, sort = excluded.sort, listed = excluded.listed,"
    "     body = excluded.body"
    " where d.version < excluded.version";

static void add_text_column(struct binary_params *params, const struct document *documents,
                            size_t count, Oid element, size_t offset)
{
    size_t bytes = 0;
    for (size_t at = 0; at < count; at++) {
        bytes += ((const struct str *)((const char *)&documents[at] + offset))->len;
    }
    struct binary_array array;
    binary_array_begin(&array, params->arena, element, count, bytes);
    for (size_t at = 0; at < count; at++) {
        binary_array_bytes(&array, *(const struct str *)((const char *)&documents[at] + offset));
    }
    binary_param_array(params, &array);
}

static void add_place_columns(struct binary_params *params, const struct document *documents,
                              size_t count)
{
    struct arena *arena = params->arena;
    struct binary_array streams, versions, epochs, txs, positions;
    binary_array_begin(&streams, arena, OID_UUID, count, 16 * count);
    binary_array_begin(&versions, arena, OID_INT4, count, 4 * count);
    binary_array_begin(&epochs, arena, OID_INT4, count, 4 * count);
    binary_array_begin(&txs, arena, OID_INT8, count, 8 * count);
    binary_array_begin(&positions, arena, OID_INT8, count, 8 * count);
    for (size_t at = 0; at < count; at++) {
        binary_array_uuid(&streams, documents[at].stream);
        binary_array_int4(&versions, documents[at].version);
        binary_array_int4(&epochs, documents[at].at.epoch);
        binary_array_int8(&txs, (int64_t)documents[at].at.tx);
        binary_array_int8(&positions, documents[at].at.position);
    }
    binary_param_array(params, &streams);
    binary_param_array(params, &versions);
    binary_param_array(params, &epochs);
    binary_param_array(params, &txs);
    binary_param_array(params, &positions);
}

enum status statement_put_documents(const struct document *documents, size_t count,
                                    struct arena *arena, struct statement *statement)
{
    static const Oid types[] = {OID_TEXT_ARRAY, OID_TEXT_ARRAY, OID_TEXT_ARRAY, OID_UUID_ARRAY,
                                OID_INT4_ARRAY, OID_INT4_ARRAY, OID_INT8_ARRAY, OID_INT8_ARRAY,
                                OID_TEXT_ARRAY, OID_TEXT_ARRAY, OID_TEXT_ARRAY, OID_BOOL_ARRAY,
                                OID_JSON_ARRAY};
    struct binary_params params;
    binary_params_begin(&params, statement, arena, "put_documents", put_sql, types);
    add_text_column(&params, documents, count, OID_TEXT, offsetof(struct document, tenant));
    add_text_column(&params, documents, count, OID_TEXT, offsetof(struct document, collection));
    add_text_column(&params, documents, count, OID_TEXT, offsetof(struct document, key));
    add_place_columns(&params, documents, count);
    add_text_column(&params, documents, count, OID_TEXT, offsetof(struct document, owner));
    add_text_column(&params, documents, count, OID_TEXT, offsetof(struct document, filter));
    add_text_column(&params, documents, count, OID_TEXT, offsetof(struct document, sort));
    struct binary_array listed;
    binary_array_begin(&listed, arena, OID_BOOL, count, count);
    for (size_t at = 0; at < count; at++) {
        binary_array_bool(&listed, documents[at].listed);
    }
    binary_param_array(&params, &listed);
    add_text_column(&params, documents, count, OID_JSON, offsetof(struct document, body));
    return params.status;
}

enum status statement_drop_documents(struct str tenant, struct str collection, struct arena *arena,
                                     struct statement *statement)
{
    static const Oid types[] = {OID_TEXT, OID_TEXT};
    struct binary_params params;
    binary_params_begin(&params, statement, arena, "drop_documents",
                        "delete from comanda_read.documents"
                        " where ($1 = '' or tenant = $1) and ($2 = '' or collection = $2)",
                        types);
    binary_param_bytes(&params, tenant);
    binary_param_bytes(&params, collection);
    return params.status;
}

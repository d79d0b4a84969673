// SPDX-License-Identifier: Apache-2.0
// What is said to PostgreSQL to read the log: streams, the tail, keys; snapshots and timers.
#include <string.h>

#include "infrastructure/postgres/binary.h"
#include "infrastructure/postgres/statement.h"

enum { READ_ROWS_MAX = 100000 };

// A copy in the arena; the same text as the last row's is kept once.
static struct str keep_text(struct binary_row *row, int column, struct str last,
                            struct arena *arena)
{
    struct str text = binary_bytes(row, column);
    return last.data != NULL && str_eq(text, last) ? last : arena_str(arena, text);
}

static bool read_kind(struct str text, enum record_kind *kind)
{
    if (str_eq(text, STR("event"))) {
        *kind = RECORD_EVENT;
    } else if (str_eq(text, STR("command"))) {
        *kind = RECORD_COMMAND;
    } else if (str_eq(text, STR("reply"))) {
        *kind = RECORD_REPLY;
    } else {
        return false;
    }
    return true;
}

// The columns that read_streams and read_tail share, where each stands.
struct event_columns {
    int epoch, tx, position, event_id, tenant, category, kind, type, schema_version, data, meta,
        recorded_at, version;
};

static enum status read_event(struct binary_row *row, const struct event_columns *at,
                              const struct recorded_event *last, struct arena *arena,
                              struct recorded_event *event)
{
    event->at = (struct log_cursor){.epoch = binary_int4(row, at->epoch),
                                    .tx = (uint64_t)binary_int8(row, at->tx),
                                    .position = binary_int8(row, at->position)};
    event->id = binary_uuid(row, at->event_id);
    event->version = binary_int4(row, at->version);
    event->schema_version = binary_int2(row, at->schema_version);
    event->recorded_at = binary_instant(row, at->recorded_at);
    if (!read_kind(binary_bytes(row, at->kind), &event->kind) || row->bad) {
        return STATUS_MALFORMED;
    }
    const struct recorded_event none = {0};
    last = last == NULL ? &none : last;
    event->tenant = keep_text(row, at->tenant, last->tenant, arena);
    event->category = keep_text(row, at->category, last->category, arena);
    event->type = keep_text(row, at->type, last->type, arena);
    event->data = keep_text(row, at->data, none.data, arena);
    event->meta = keep_text(row, at->meta, last->meta, arena);
    bool kept = event->tenant.data != NULL && event->category.data != NULL &&
                event->type.data != NULL && event->data.data != NULL && event->meta.data != NULL;
    return row->bad ? STATUS_MALFORMED : kept ? STATUS_OK : STATUS_NO_MEMORY;
}

static void add_queries(struct binary_params *params, const struct stream_query *queries,
                        size_t count, struct arena *arena)
{
    struct binary_array ids;
    struct binary_array after;
    struct binary_array until;
    struct binary_array states;
    struct binary_array documents;
    binary_array_begin(&ids, arena, OID_UUID, count, count * 16);
    binary_array_begin(&after, arena, OID_INT4, count, count * 4);
    binary_array_begin(&until, arena, OID_INT4, count, count * 4);
    binary_array_begin(&states, arena, OID_INT2, count, count * 2);
    binary_array_begin(&documents, arena, OID_INT2, count, count * 2);
    for (size_t i = 0; i < count; i++) {
        binary_array_uuid(&ids, queries[i].stream);
        binary_array_int4(&after, queries[i].after_version);
        binary_array_int4(&until, queries[i].until_version);
        binary_array_int2(&states, queries[i].state_codec);
        binary_array_int2(&documents, queries[i].document_codec);
    }
    binary_param_array(params, &ids);
    binary_param_array(params, &after);
    binary_param_array(params, &until);
    binary_param_array(params, &states);
    binary_param_array(params, &documents);
}

enum status statement_read_streams(const struct stream_query *queries, size_t count, size_t limit,
                                   struct arena *arena, struct statement *statement)
{
    static const Oid types[] = {OID_UUID_ARRAY, OID_INT4_ARRAY, OID_INT4_ARRAY,
                                OID_INT2_ARRAY, OID_INT2_ARRAY, OID_INT4};
    if (count == 0 || count > READ_QUERIES_MAX || limit == 0 || limit > READ_ROWS_MAX) {
        return STATUS_INVALID;
    }
    struct binary_params params;
    binary_params_begin(&params, statement, arena, "read_streams",
                        "select ordinal, kind, version, epoch, tx, position, event_id, tenant,"
                        " category, type, schema_version, data, meta, recorded_at"
                        " from comanda.read_streams($1, $2, $3, $4, $5, $6)",
                        types);
    add_queries(&params, queries, count, arena);
    binary_param_int4(&params, (int32_t)limit + 1); // one more tells whether there are more
    return params.status;
}

static const struct event_columns stream_columns = {.kind = 1,
                                                    .version = 2,
                                                    .epoch = 3,
                                                    .tx = 4,
                                                    .position = 5,
                                                    .event_id = 6,
                                                    .tenant = 7,
                                                    .category = 8,
                                                    .type = 9,
                                                    .schema_version = 10,
                                                    .data = 11,
                                                    .meta = 12,
                                                    .recorded_at = 13};

static enum status read_snapshot(struct binary_row *row, struct arena *arena,
                                 struct stream_snapshot *snapshot)
{
    const struct event_columns *at = &stream_columns;
    *snapshot =
        (struct stream_snapshot){.version = binary_int4(row, at->version),
                                 .at = {.epoch = binary_int4(row, at->epoch),
                                        .tx = (uint64_t)binary_int8(row, at->tx),
                                        .position = binary_int8(row, at->position)},
                                 .bytes = arena_str(arena, binary_bytes(row, at->data)),
                                 .tenant = arena_str(arena, binary_bytes(row, at->tenant)),
                                 .category = arena_str(arena, binary_bytes(row, at->category))};
    bool kept = snapshot->bytes.data != NULL && snapshot->tenant.data != NULL &&
                snapshot->category.data != NULL;
    return row->bad ? STATUS_MALFORMED : kept ? STATUS_OK : STATUS_NO_MEMORY;
}

// Rows come by ordinal, so a stream's rows are one run of `all`. used: of `all` so far.
static enum status read_stream_row(struct binary_row *row, const struct stream_query *queries,
                                   size_t count, size_t limit, struct arena *arena,
                                   struct recorded_event *all, size_t *used,
                                   struct stream_rows *streams)
{
    int32_t ordinal = binary_int4(row, 0);
    if (row->bad || ordinal < 1 || (size_t)ordinal > count) {
        return STATUS_MALFORMED;
    }
    struct stream_rows *stream = &streams[ordinal - 1];
    struct str kind = binary_bytes(row, stream_columns.kind);
    if (str_eq(kind, STR("state"))) {
        return read_snapshot(row, arena, &stream->state);
    }
    if (str_eq(kind, STR("document"))) {
        return read_snapshot(row, arena, &stream->document);
    }
    if (stream->count == limit) {
        stream->more = true;
        return STATUS_OK;
    }
    struct recorded_event *event = &all[*used];
    stream->rows = stream->count == 0 ? event : stream->rows;
    if (stream->rows + stream->count != event) {
        return STATUS_MALFORMED;
    }
    event->stream = queries[ordinal - 1].stream;
    enum status status =
        read_event(row, &stream_columns, *used == 0 ? NULL : event - 1, arena, event);
    stream->count++;
    ++*used;
    return status;
}

enum status statement_read_streams_read(const PGresult *result, const struct stream_query *queries,
                                        size_t count, size_t limit, struct arena *arena,
                                        struct stream_rows *streams)
{
    size_t row_count = (size_t)PQntuples(result);
    struct recorded_event *all = arena_array(arena, row_count + 1, sizeof(*all));
    struct stream_rows *read = arena_array(arena, count, sizeof(*read));
    if (PQnfields(result) != 14 || all == NULL || read == NULL) {
        return PQnfields(result) != 14 ? STATUS_MALFORMED : STATUS_NO_MEMORY;
    }
    size_t used = 0;
    for (size_t i = 0; i < row_count; i++) {
        struct binary_row row = {.result = result, .row = (int)i};
        enum status status = read_stream_row(&row, queries, count, limit, arena, all, &used, read);
        if (status != STATUS_OK) {
            return status;
        }
    }
    memcpy(streams, read, count * sizeof(*read));
    return STATUS_OK;
}

enum status statement_read_tail(struct log_cursor after, size_t limit, struct arena *arena,
                                struct statement *statement)
{
    static const Oid types[] = {OID_INT4, OID_XID8, OID_INT8, OID_INT4};
    if (limit == 0 || limit > READ_ROWS_MAX) {
        return STATUS_INVALID;
    }
    struct binary_params params;
    binary_params_begin(&params, statement, arena, "read_tail",
                        "select epoch, tx, position, stream_id, version, event_id, tenant,"
                        " category, kind, type, schema_version, data, meta, recorded_at"
                        " from comanda.read_tail($1, $2, $3, $4)",
                        types);
    binary_param_int4(&params, after.epoch);
    binary_param_int8(&params, (int64_t)after.tx);
    binary_param_int8(&params, after.position);
    binary_param_int4(&params, (int32_t)limit);
    return params.status;
}

static const struct event_columns tail_columns = {.epoch = 0,
                                                  .tx = 1,
                                                  .position = 2,
                                                  .version = 4,
                                                  .event_id = 5,
                                                  .tenant = 6,
                                                  .category = 7,
                                                  .kind = 8,
                                                  .type = 9,
                                                  .schema_version = 10,
                                                  .data = 11,
                                                  .meta = 12,
                                                  .recorded_at = 13};

enum status statement_read_tail_read(const PGresult *result, struct log_cursor after,
                                     struct arena *arena, struct recorded_event **rows,
                                     size_t *count, struct log_cursor *next)
{
    enum { STREAM = 3 };
    size_t row_count = (size_t)PQntuples(result);
    struct recorded_event *read = arena_array(arena, row_count + 1, sizeof(*read));
    if (PQnfields(result) != 14 || read == NULL) {
        return PQnfields(result) != 14 ? STATUS_MALFORMED : STATUS_NO_MEMORY;
    }
    for (size_t i = 0; i < row_count; i++) {
        struct binary_row row = {.result = result, .row = (int)i};
        read[i].stream = binary_uuid(&row, STREAM);
        enum status status =
            read_event(&row, &tail_columns, i == 0 ? NULL : &read[i - 1], arena, &read[i]);
        if (status != STATUS_OK) {
            return status;
        }
    }
    *rows = read;
    *count = row_count;
    *next = row_count == 0 ? after : read[row_count - 1].at;
    return STATUS_OK;
}

enum status statement_find_keys(const struct uuid *ids, size_t count, struct arena *arena,
                                struct statement *statement)
{
    static const Oid types[] = {OID_UUID_ARRAY};
    if (count == 0 || count > APPEND_ITEMS_MAX) {
        return STATUS_INVALID;
    }
    struct binary_array keys;
    binary_array_begin(&keys, arena, OID_UUID, count, count * 16);
    for (size_t i = 0; i < count; i++) {
        binary_array_uuid(&keys, ids[i]);
    }
    struct binary_params params;
    binary_params_begin(&params, statement, arena, "find_keys",
                        "select id, fingerprint, stream_id, version, status"
                        " from comanda.find_keys($1)",
                        types);
    binary_param_array(&params, &keys);
    return params.status;
}

static struct append_key read_key(struct binary_row *row)
{
    struct append_key key = {.id = binary_uuid(row, 0),
                             .stream = binary_uuid(row, 2),
                             .version = binary_int4(row, 3),
                             .status = binary_int2(row, 4)};
    struct uuid fingerprint = binary_uuid(row, 1);
    memcpy(key.fingerprint, fingerprint.bytes, sizeof(key.fingerprint));
    return key;
}

enum status statement_find_keys_read(const PGresult *result, const struct uuid *ids, size_t count,
                                     bool *known, struct append_key *keys)
{
    if (PQnfields(result) != 5) {
        return STATUS_MALFORMED;
    }
    for (int i = 0; i < PQntuples(result); i++) {
        struct binary_row row = {.result = result, .row = i};
        (void)read_key(&row);
        if (row.bad) {
            return STATUS_MALFORMED;
        }
    }
    memset(known, 0, count * sizeof(*known));
    for (int i = 0; i < PQntuples(result); i++) {
        struct binary_row row = {.result = result, .row = i};
        struct append_key key = read_key(&row);
        for (size_t j = 0; j < count; j++) {
            if (uuid_eq(ids[j], key.id)) {
                known[j] = true;
                keys[j] = key;
            }
        }
    }
    return STATUS_OK;
}

enum status statement_save_snapshots(const struct snapshot *snapshots, size_t count,
                                     struct arena *arena, struct statement *statement)
{
    static const Oid types[] = {OID_UUID_ARRAY, OID_TEXT_ARRAY, OID_INT2_ARRAY,
                                OID_INT4_ARRAY, OID_UUID_ARRAY, OID_JSON_ARRAY};
    if (count == 0 || count > SNAPSHOTS_MAX) {
        return STATUS_INVALID;
    }
    struct binary_array streams;
    struct binary_array kinds;
    struct binary_array codecs;
    struct binary_array versions;
    struct binary_array events;
    struct binary_array states;
    binary_array_begin(&streams, arena, OID_UUID, count, count * 16);
    binary_array_begin(&kinds, arena, OID_TEXT, count, count * 8);
    binary_array_begin(&codecs, arena, OID_INT2, count, count * 2);
    binary_array_begin(&versions, arena, OID_INT4, count, count * 4);
    binary_array_begin(&events, arena, OID_UUID, count, count * 16);
    binary_array_begin(&states, arena, OID_JSON, count, count * 256);
    for (size_t i = 0; i < count; i++) {
        bool document = snapshots[i].kind == SNAPSHOT_DOCUMENT;
        binary_array_uuid(&streams, snapshots[i].stream);
        binary_array_bytes(&kinds, document ? STR("document") : STR("state"));
        binary_array_int2(&codecs, snapshots[i].codec);
        binary_array_int4(&versions, snapshots[i].version);
        binary_array_uuid(&events, snapshots[i].event);
        binary_array_bytes(&states, snapshots[i].bytes);
    }
    struct binary_params params;
    // Where one is lost it is made again. What waits for a standby that never confirms would leave
    // a backend behind each time that its caller gives up.
    binary_params_begin(&params, statement, arena, "save_snapshots",
                        "select comanda.save_snapshots($1, $2, $3, $4, $5, $6)"
                        " from pg_catalog.set_config('synchronous_commit', 'off', true)",
                        types);
    struct binary_array *columns[] = {&streams, &kinds, &codecs, &versions, &events, &states};
    for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++) {
        binary_param_array(&params, columns[i]);
    }
    return params.status;
}

// One integer.
enum status statement_timers_rest(int longest_ms, struct arena *arena, struct statement *statement)
{
    static const Oid types[] = {OID_INT4};
    struct binary_params params;
    binary_params_begin(&params, statement, arena, "timers_rest",
                        "select comanda.timers_rest_ms($1)", types);
    binary_param_int4(&params, longest_ms);
    return params.status;
}

enum status statement_claim_timers(size_t limit, int claim_s, struct arena *arena,
                                   struct statement *statement)
{
    static const Oid types[] = {OID_INT4, OID_INT4};
    if (limit == 0 || limit > APPEND_ITEMS_MAX || claim_s <= 0) {
        return STATUS_INVALID;
    }
    struct binary_params params;
    binary_params_begin(&params, statement, arena, "claim_timers",
                        "select id, saga_id, due, tenant, data from comanda.claim_timers($1, $2)",
                        types);
    binary_param_int4(&params, (int32_t)limit);
    binary_param_int4(&params, claim_s);
    return params.status;
}

enum status statement_claim_timers_read(const PGresult *result, struct arena *arena,
                                        struct timer **timers, size_t *count)
{
    size_t row_count = (size_t)PQntuples(result);
    struct timer *read = arena_array(arena, row_count + 1, sizeof(*read));
    if (PQnfields(result) != 5 || read == NULL) {
        return PQnfields(result) != 5 ? STATUS_MALFORMED : STATUS_NO_MEMORY;
    }
    for (size_t i = 0; i < row_count; i++) {
        struct binary_row row = {.result = result, .row = (int)i};
        read[i] = (struct timer){.id = binary_uuid(&row, 0),
                                 .saga = binary_uuid(&row, 1),
                                 .due = binary_instant(&row, 2),
                                 .tenant = arena_str(arena, binary_bytes(&row, 3)),
                                 .data = arena_str(arena, binary_bytes(&row, 4))};
        if (row.bad || read[i].tenant.data == NULL || read[i].data.data == NULL) {
            return row.bad ? STATUS_MALFORMED : STATUS_NO_MEMORY;
        }
    }
    *timers = read;
    *count = row_count;
    return STATUS_OK;
}

// SPDX-License-Identifier: Apache-2.0
// PostgreSQL's binary format of the few types that we use: parameters, their arrays, and results.
#include "infrastructure/postgres/binary.h"

#include <endian.h>
#include <string.h>

// timestamptz counts microseconds from 2000-01-01, we from 1970-01-01.
#define POSTGRES_EPOCH_US INT64_C(946684800000000)

enum { ARRAY_BYTES_MAX = 64 * 1024 * 1024, ARRAY_HEAD_LEN = 20 };

void binary_params_begin(struct binary_params *params, struct statement *statement,
                         struct arena *arena, const char *name, const char *sql, const Oid *types)
{
    *statement = (struct statement){.name = name, .sql = sql, .types = types};
    *params = (struct binary_params){.statement = statement, .arena = arena};
}

static void add_param(struct binary_params *params, const char *value, size_t len)
{
    struct statement *statement = params->statement;
    if (params->status != STATUS_OK) {
        return;
    }
    if (statement->param_count == STATEMENT_PARAMS_MAX || len > INT32_MAX) {
        params->status = STATUS_FULL;
        return;
    }
    statement->values[statement->param_count] = value;
    statement->lengths[statement->param_count] = (int)len;
    statement->formats[statement->param_count] = 1;
    statement->param_count++;
}

void binary_param_null(struct binary_params *params)
{
    add_param(params, NULL, 0);
}

void binary_param_bytes(struct binary_params *params, struct str bytes)
{
    add_param(params, bytes.data == NULL ? "" : bytes.data, bytes.len); // a NULL pointer is NULL
}

static void add_copy(struct binary_params *params, const void *bytes, size_t len)
{
    char *copy = arena_alloc(params->arena, len);
    if (copy == NULL) {
        params->status = STATUS_NO_MEMORY;
        return;
    }
    memcpy(copy, bytes, len);
    add_param(params, copy, len);
}

void binary_param_int4(struct binary_params *params, int32_t value)
{
    uint32_t wire = htobe32((uint32_t)value);
    add_copy(params, &wire, sizeof(wire));
}

void binary_param_int8(struct binary_params *params, int64_t value)
{
    uint64_t wire = htobe64((uint64_t)value);
    add_copy(params, &wire, sizeof(wire));
}

void binary_param_uuid(struct binary_params *params, struct uuid value)
{
    add_copy(params, value.bytes, sizeof(value.bytes));
}

void binary_param_instant(struct binary_params *params, instant_us value)
{
    binary_param_int8(params, value - POSTGRES_EPOCH_US);
}

static void add_wire32(struct binary_array *array, uint32_t value)
{
    uint32_t wire = htobe32(value);
    buffer_add(&array->out, (struct str){(const char *)&wire, sizeof(wire)});
}

void binary_array_begin(struct binary_array *array, struct arena *arena, Oid element, size_t count,
                        size_t bytes)
{
    *array = (struct binary_array){0};
    buffer_init(&array->out, arena, ARRAY_BYTES_MAX);
    size_t hint = ARRAY_HEAD_LEN + count * sizeof(uint32_t) + bytes;
    char *room = hint <= ARRAY_BYTES_MAX ? arena_alloc_raw(arena, hint) : NULL;
    if (room != NULL) { // else it grows, or fails there
        array->out.data = room;
        array->out.capacity = hint;
    }
    add_wire32(array, count == 0 ? 0 : 1); // dimensions
    add_wire32(array, 0);                  // has NULLs: the server recounts
    add_wire32(array, element);
    if (count > 0) {
        add_wire32(array, (uint32_t)count);
        add_wire32(array, 1); // lower bound
    }
}

void binary_array_bytes(struct binary_array *array, struct str bytes)
{
    add_wire32(array, (uint32_t)bytes.len);
    buffer_add(&array->out, bytes);
    array->count++;
}

static void add_element(struct binary_array *array, const void *wire, size_t len)
{
    binary_array_bytes(array, (struct str){wire, len});
}

void binary_array_bool(struct binary_array *array, bool value)
{
    add_element(array, value ? "\1" : "\0", 1);
}

void binary_array_int2(struct binary_array *array, int16_t value)
{
    uint16_t wire = htobe16((uint16_t)value);
    add_element(array, &wire, sizeof(wire));
}

void binary_array_int4(struct binary_array *array, int32_t value)
{
    uint32_t wire = htobe32((uint32_t)value);
    add_element(array, &wire, sizeof(wire));
}

void binary_array_int8(struct binary_array *array, int64_t value)
{
    uint64_t wire = htobe64((uint64_t)value);
    add_element(array, &wire, sizeof(wire));
}

void binary_array_uuid(struct binary_array *array, struct uuid value)
{
    add_element(array, value.bytes, sizeof(value.bytes));
}

void binary_array_instant(struct binary_array *array, instant_us value)
{
    binary_array_int8(array, value - POSTGRES_EPOCH_US);
}

void binary_param_array(struct binary_params *params, const struct binary_array *array)
{
    if (array->out.status != STATUS_OK) {
        params->status = array->out.status;
        return;
    }
    add_param(params, array->out.data, array->out.len);
}

bool binary_is_null(const struct binary_row *row, int column)
{
    return PQgetisnull(row->result, row->row, column) != 0;
}

struct str binary_bytes(struct binary_row *row, int column)
{
    if (binary_is_null(row, column)) {
        row->bad = true;
        return (struct str){"", 0};
    }
    return (struct str){PQgetvalue(row->result, row->row, column),
                        (size_t)PQgetlength(row->result, row->row, column)};
}

static bool read_fixed(struct binary_row *row, int column, void *wire, size_t len)
{
    struct str bytes = binary_bytes(row, column);
    if (bytes.len != len) {
        row->bad = true;
        return false;
    }
    memcpy(wire, bytes.data, len);
    return true;
}

bool binary_bool(struct binary_row *row, int column)
{
    char wire = 0;
    return read_fixed(row, column, &wire, sizeof(wire)) && wire != 0;
}

int16_t binary_int2(struct binary_row *row, int column)
{
    uint16_t wire = 0;
    (void)read_fixed(row, column, &wire, sizeof(wire));
    return (int16_t)be16toh(wire);
}

int32_t binary_int4(struct binary_row *row, int column)
{
    uint32_t wire = 0;
    (void)read_fixed(row, column, &wire, sizeof(wire));
    return (int32_t)be32toh(wire);
}

int64_t binary_int8(struct binary_row *row, int column)
{
    uint64_t wire = 0;
    (void)read_fixed(row, column, &wire, sizeof(wire));
    return (int64_t)be64toh(wire);
}

struct uuid binary_uuid(struct binary_row *row, int column)
{
    struct uuid id = {{0}};
    (void)read_fixed(row, column, id.bytes, sizeof(id.bytes));
    return id;
}

instant_us binary_instant(struct binary_row *row, int column)
{
    instant_us at = 0;
    if (__builtin_add_overflow(binary_int8(row, column), POSTGRES_EPOCH_US, &at)) {
        row->bad = true; // 'infinity', or past what we count in
    }
    return at;
}

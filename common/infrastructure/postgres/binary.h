// SPDX-License-Identifier: Apache-2.0
// PostgreSQL's binary format of the few types that we use: parameters, their arrays, and results.
#pragma once

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/instant.h"
#include "base/status.h"
#include "base/str.h"
#include "base/uuid.h"
#include "infrastructure/postgres/statement.h"

// Object ids of built-in types never change (src/include/catalog/pg_type.dat).
enum {
    OID_BOOL = 16,
    OID_BYTEA = 17,
    OID_INT8 = 20,
    OID_INT2 = 21,
    OID_INT4 = 23,
    OID_TEXT = 25,
    OID_JSON = 114,
    OID_JSON_ARRAY = 199,
    OID_BOOL_ARRAY = 1000,
    OID_BYTEA_ARRAY = 1001,
    OID_INT2_ARRAY = 1005,
    OID_INT4_ARRAY = 1007,
    OID_TEXT_ARRAY = 1009,
    OID_INT8_ARRAY = 1016,
    OID_TIMESTAMPTZ = 1184,
    OID_TIMESTAMPTZ_ARRAY = 1185,
    OID_UUID = 2950,
    OID_UUID_ARRAY = 2951,
    OID_XID8 = 5069,
};

// Each adds the next parameter in binary; text and bytes stay where they are. A failure sticks in
// `status`.
struct binary_params {
    struct statement *statement;
    struct arena *arena;
    enum status status; // STATUS_OK, STATUS_NO_MEMORY, STATUS_FULL (past STATEMENT_PARAMS_MAX)
};

// Starts a statement without parameters; types: one an added parameter.
void binary_params_begin(struct binary_params *params, struct statement *statement,
                         struct arena *arena, const char *name, const char *sql, const Oid *types);
void binary_param_null(struct binary_params *params);
void binary_param_bytes(struct binary_params *params, struct str bytes); // text, json, bytea
void binary_param_int4(struct binary_params *params, int32_t value);
void binary_param_int8(struct binary_params *params, int64_t value);
void binary_param_uuid(struct binary_params *params, struct uuid value);
void binary_param_instant(struct binary_params *params, instant_us value); // timestamptz

// An array of one dimension without NULLs.
struct binary_array {
    struct buffer out;
    size_t count;
};

// element: OID of the elements. bytes: sum of the elements' own bytes as far as known; only a hint
// that saves growing.
void binary_array_begin(struct binary_array *array, struct arena *arena, Oid element, size_t count,
                        size_t bytes);
void binary_array_bytes(struct binary_array *array, struct str bytes);
void binary_array_bool(struct binary_array *array, bool value);
void binary_array_int2(struct binary_array *array, int16_t value);
void binary_array_int4(struct binary_array *array, int32_t value);
void binary_array_int8(struct binary_array *array, int64_t value);
void binary_array_uuid(struct binary_array *array, struct uuid value);
void binary_array_instant(struct binary_array *array, instant_us value);
// Exactly `count` elements must have been added.
void binary_param_array(struct binary_params *params, const struct binary_array *array);

// A row of a binary result. A NULL or a value of another width sets `bad` and reads as zero.
struct binary_row {
    const PGresult *result;
    int row;
    bool bad;
};

bool binary_is_null(const struct binary_row *row, int column);
struct str binary_bytes(struct binary_row *row, int column); // a view into the result
bool binary_bool(struct binary_row *row, int column);
int16_t binary_int2(struct binary_row *row, int column);
int32_t binary_int4(struct binary_row *row, int column);
int64_t binary_int8(struct binary_row *row, int column); // xid8 too
struct uuid binary_uuid(struct binary_row *row, int column);
instant_us binary_instant(struct binary_row *row, int column); // infinity is bad

// SPDX-License-Identifier: Apache-2.0
// What a verb shows: rows under named columns, aligned for people or as JSON for machines.
#pragma once

#include <stddef.h>

#include "base/str.h"
#include "command.h"

enum { TABLE_COLUMNS_MAX = 12, TABLE_ROWS_MAX = 100000, TABLE_WIDTH_MAX = 60 };

enum table_kind { TABLE_TEXT, TABLE_NUMBER, TABLE_JSON }; // TABLE_JSON: raw JSON, as it is

struct table_column {
    const char *name; // as a JSON member; people see it too, with spaces for underscores
    enum table_kind kind;
};

struct table {
    const struct ctl *ctl;
    const struct table_column *columns;
    size_t column_count;
    struct str *cells; // row after row; data NULL is JSON's null, "-" for people
    size_t row_count;
    size_t row_capacity;
};

// Rows live in the command's arena.
void table_begin(struct table *table, const struct ctl *ctl, const struct table_column *columns,
                 size_t column_count);

// Copies the cells. False: no memory, or TABLE_ROWS_MAX are there; the row is left out.
bool table_add(struct table *table, const struct str *cells);

// An aligned table, or a JSON array of objects. empty: the sentence for people when there is none.
void table_print(const struct table *table, const char *empty);

// One row at once, for verbs that stream: an object on a line of its own, or values in columns of
// at least these widths.
void table_print_row(const struct table *table, const struct str *cells, const int *widths);

// Numbers and times as cells, in the command's arena.
struct str table_number(const struct ctl *ctl, int64_t number);
struct str table_instant(const struct ctl *ctl, int64_t at_us);
struct str table_uuid(const struct ctl *ctl, const unsigned char bytes[16]);

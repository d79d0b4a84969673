// SPDX-License-Identifier: Apache-2.0
// What a verb shows: rows under named columns, aligned for people or as JSON for machines.
#include "table.h"

#include <string.h>

#include "base/instant.h"
#include "base/uuid.h"

enum { JSON_MAX = 64 * 1024 * 1024, FIRST_ROWS = 32 };

void table_begin(struct table *table, const struct ctl *ctl, const struct table_column *columns,
                 size_t column_count)
{
    *table = (struct table){.ctl = ctl, .columns = columns, .column_count = column_count};
}

static bool grow(struct table *table)
{
    size_t capacity = table->row_capacity == 0 ? FIRST_ROWS : table->row_capacity * 2;
    struct str *grown =
        arena_array(table->ctl->arena, capacity * table->column_count, sizeof(*grown));
    if (grown == NULL) {
        return false;
    }
    if (table->row_count > 0) {
        memcpy(grown, table->cells, table->row_count * table->column_count * sizeof(*grown));
    }
    table->cells = grown;
    table->row_capacity = capacity;
    return true;
}

bool table_add(struct table *table, const struct str *cells)
{
    if (table->row_count == TABLE_ROWS_MAX ||
        (table->row_count == table->row_capacity && !grow(table))) {
        return false;
    }
    struct str *row = table->cells + table->row_count * table->column_count;
    for (size_t at = 0; at < table->column_count; at++) {
        row[at] = cells[at].data == NULL ? cells[at] : arena_str(table->ctl->arena, cells[at]);
    }
    table->row_count++;
    return true;
}

static struct str shown(struct str cell)
{
    return cell.data == NULL ? STR("-") : cell;
}

// Columns are counted in characters, not bytes: UTF-8 continuation bytes take no room.
static int width_of(struct str text)
{
    int width = 0;
    for (size_t at = 0; at < text.len; at++) {
        width += ((unsigned char)text.data[at] & 0xc0) != 0x80;
    }
    return width;
}

// Foreign bytes never move the cursor of whoever reads the terminal.
static void print_safely(struct str text)
{
    for (size_t at = 0; at < text.len; at++) {
        unsigned char byte = (unsigned char)text.data[at];
        putchar(byte < 0x20 || byte == 0x7f ? '?' : byte);
    }
}

static void print_padded(struct str text, int width, bool right, bool last)
{
    int pad = width - width_of(text);
    for (int at = 0; right && at < pad; at++) {
        putchar(' ');
    }
    print_safely(text);
    for (int at = 0; !right && !last && at < pad; at++) {
        putchar(' ');
    }
    fputs(last ? "\n" : "  ", stdout);
}

static int column_width(const struct table *table, size_t column)
{
    int width = (int)strlen(table->columns[column].name);
    for (size_t row = 0; row < table->row_count; row++) {
        int cell = width_of(shown(table->cells[row * table->column_count + column]));
        width = cell > width ? cell : width;
    }
    return width > TABLE_WIDTH_MAX ? TABLE_WIDTH_MAX : width;
}

static void print_heads(const struct table *table, const int *widths)
{
    for (size_t column = 0; column < table->column_count; column++) {
        char head[64];
        snprintf(head, sizeof(head), "%s", table->columns[column].name);
        for (char *at = head; *at != '\0'; at++) {
            *at = *at == '_' ? ' ' : *at;
        }
        print_padded(str_from(head), widths[column], table->columns[column].kind == TABLE_NUMBER,
                     column + 1 == table->column_count);
    }
}

static void print_cells(const struct table *table, const struct str *cells, const int *widths)
{
    for (size_t column = 0; column < table->column_count; column++) {
        print_padded(shown(cells[column]), widths[column],
                     table->columns[column].kind == TABLE_NUMBER,
                     column + 1 == table->column_count);
    }
}

static void add_cell(struct json_writer *writer, const struct table_column *column, struct str cell)
{
    json_name(writer, str_from(column->name));
    if (cell.data == NULL) {
        json_null(writer);
    } else if (column->kind == TABLE_TEXT) {
        json_string(writer, cell);
    } else {
        json_raw(writer, cell);
    }
}

static void add_object(struct json_writer *writer, const struct table *table,
                       const struct str *cells)
{
    json_object_begin(writer);
    for (size_t column = 0; column < table->column_count; column++) {
        add_cell(writer, &table->columns[column], cells[column]);
    }
    json_object_end(writer);
}

static void print_json(const struct table *table)
{
    struct buffer out;
    struct json_writer writer;
    buffer_init(&out, NULL, JSON_MAX);
    json_writer_init(&writer, &out);
    json_array_begin(&writer);
    for (size_t row = 0; row < table->row_count; row++) {
        add_object(&writer, table, table->cells + row * table->column_count);
    }
    json_array_end(&writer);
    if (out.status == STATUS_OK) {
        ctl_print_json(&out);
    }
    buffer_free(&out);
}

void table_print(const struct table *table, const char *empty)
{
    if (table->ctl->json) {
        print_json(table);
        return;
    }
    if (table->row_count == 0) {
        puts(empty);
        return;
    }
    int widths[TABLE_COLUMNS_MAX];
    for (size_t column = 0; column < table->column_count; column++) {
        widths[column] = column_width(table, column);
    }
    print_heads(table, widths);
    for (size_t row = 0; row < table->row_count; row++) {
        print_cells(table, table->cells + row * table->column_count, widths);
    }
}

void table_print_row(const struct table *table, const struct str *cells, const int *widths)
{
    if (!table->ctl->json) {
        print_cells(table, cells, widths);
        return;
    }
    struct buffer out;
    struct json_writer writer;
    buffer_init(&out, NULL, JSON_MAX);
    json_writer_init(&writer, &out);
    add_object(&writer, table, cells);
    if (out.status == STATUS_OK) {
        ctl_print_json(&out);
    }
    buffer_free(&out);
}

struct str table_number(const struct ctl *ctl, int64_t number)
{
    return arena_printf(ctl->arena, "%lld", (long long)number);
}

struct str table_instant(const struct ctl *ctl, int64_t at_us)
{
    char text[INSTANT_TEXT_LEN];
    instant_format(at_us, text);
    return arena_str(ctl->arena, (struct str){text, sizeof(text)});
}

struct str table_uuid(const struct ctl *ctl, const unsigned char bytes[16])
{
    char text[UUID_TEXT_LEN];
    struct uuid id;
    memcpy(id.bytes, bytes, sizeof(id.bytes));
    uuid_format(id, text);
    return arena_str(ctl->arena, (struct str){text, sizeof(text)});
}

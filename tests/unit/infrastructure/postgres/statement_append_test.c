// SPDX-License-Identifier: Apache-2.0
// What an append says without a server: arrays in the order of the locks, and strict reading.
#include <criterion/criterion.h>
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "infrastructure/postgres/binary.h"
#include "infrastructure/postgres/statement.h"

enum {
    HEAD = 20,
    PARAM_LAST = 0,
    PARAM_HEADS = 1,
    PARAM_KEY_IDS = 7,
    PARAM_EVENT_STREAMS = 19,
    PARAM_EVENT_VERSIONS = 20
};

static struct arena arena;

static void open_arena(void)
{
    arena_init(&arena, 64 * 1024, 16 * 1024 * 1024);
}

static void close_arena(void)
{
    arena_free(&arena);
}

TestSuite(statement_append, .init = open_arena, .fini = close_arena);

static struct uuid id_of(unsigned char byte)
{
    struct uuid id = {.bytes = {byte}};
    return id;
}

static int32_t int4_at(const struct statement *statement, int param, size_t index)
{
    uint32_t wire = 0;
    memcpy(&wire, statement->values[param] + HEAD + index * 8 + 4, sizeof(wire));
    return (int32_t)be32toh(wire);
}

static unsigned char id_at(const struct statement *statement, int param, size_t index)
{
    return (unsigned char)statement->values[param][HEAD + index * 20 + 4];
}

struct one {
    struct append_stream stream;
    struct append_row rows[2];
    struct append_key key;
    struct append_item item;
};

static struct append_item an_item(struct one *one, unsigned char stream, unsigned char key,
                                  size_t rows)
{
    *one = (struct one){.stream = {id_of(stream), STR("counter"), 0}, .key = {.id = id_of(key)}};
    for (size_t i = 0; i < 2; i++) {
        one->rows[i] =
            (struct append_row){.type = STR("Raised"), .data = STR("{}"), .meta = STR("{}")};
    }
    return (struct append_item){.tenant = STR("t"),
                                .streams = &one->stream,
                                .stream_count = 1,
                                .rows = one->rows,
                                .row_count = rows,
                                .key = &one->key};
}

Test(statement_append, given_items_in_any_order_then_arrays_are_sorted_and_heads_come_first)
{
    struct one ones[3];
    struct append_item items[] = {an_item(&ones[0], 9, 1, 2), an_item(&ones[1], 5, 3, 1),
                                  an_item(&ones[2], 7, 2, 1)};
    struct statement statement;
    cr_assert_eq(statement_append(items, 3, &arena, &statement), STATUS_OK);
    cr_assert_eq(statement.param_count, 37);
    const unsigned char keys[] = {1, 2, 3}, streams[] = {5, 7, 9, 9};
    const int32_t versions[] = {1, 1, 1, 2};
    for (size_t i = 0; i < 3; i++) {
        cr_assert_eq(id_at(&statement, PARAM_KEY_IDS, i), keys[i]);
    }
    for (size_t i = 0; i < 4; i++) {
        cr_assert_eq(id_at(&statement, PARAM_EVENT_STREAMS, i), streams[i]);
        cr_assert_eq(int4_at(&statement, PARAM_EVENT_VERSIONS, i), versions[i]);
    }
    uint32_t heads = 0;
    memcpy(&heads, statement.values[PARAM_HEADS], sizeof(heads));
    cr_assert_eq(be32toh(heads), 3);
    cr_assert_eq(int4_at(&statement, PARAM_LAST, 0), 4); // where each item's last event stands
    cr_assert_eq(int4_at(&statement, PARAM_LAST, 1), 1);
    cr_assert_eq(int4_at(&statement, PARAM_LAST, 2), 2);
}

Test(statement_append, given_an_arena_that_is_too_small_then_it_says_so)
{
    struct one one;
    struct append_item item = an_item(&one, 1, 1, 1);
    struct arena tiny;
    arena_init(&tiny, 256, 512);
    struct statement statement;
    cr_assert_eq(statement_append(&item, 1, &tiny, &statement), STATUS_NO_MEMORY);
    arena_free(&tiny);
}

// A result as the server would send it: binary columns, one row a verdict.
static PGresult *a_result(int columns, const int32_t *items, const int16_t *outcomes, int rows)
{
    PGresult *result = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
    PGresAttDesc descriptions[16] = {0};
    for (int i = 0; i < columns; i++) {
        descriptions[i] = (PGresAttDesc){.name = (char *)"c", .format = 1};
    }
    cr_assert(PQsetResultAttrs(result, columns, descriptions));
    for (int i = 0; i < rows; i++) {
        uint32_t item = htobe32((uint32_t)items[i]);
        uint16_t outcome = htobe16((uint16_t)outcomes[i]);
        for (int j = 0; j < columns; j++) {
            cr_assert(PQsetvalue(result, i, j, NULL, -1));
        }
        cr_assert(PQsetvalue(result, i, 0, (char *)&item, sizeof(item)));
        cr_assert(PQsetvalue(result, i, 1, (char *)&outcome, sizeof(outcome)));
    }
    return result;
}

static enum status read_two(int columns, const int32_t *ordinals, const int16_t *outcomes, int rows,
                            struct append_verdict *verdicts)
{
    struct one ones[2];
    struct append_item items[] = {an_item(&ones[0], 1, 1, 1), an_item(&ones[1], 2, 2, 1)};
    PGresult *result = a_result(columns, ordinals, outcomes, rows);
    enum status status = statement_append_read(result, items, 2, &arena, verdicts);
    PQclear(result);
    return status;
}

Test(statement_append, given_rows_in_any_order_then_each_verdict_finds_its_item)
{
    struct append_verdict verdicts[2];
    cr_assert_eq(
        read_two(11, (int32_t[]){1, 0}, (int16_t[]){KEY_REUSED, APPEND_AGAIN}, 2, verdicts),
        STATUS_OK);
    cr_assert_eq(verdicts[0].outcome, APPEND_AGAIN);
    cr_assert_eq(verdicts[1].outcome, KEY_REUSED);
}

Test(statement_append, given_a_result_of_another_shape_then_it_is_malformed_and_nothing_is_touched)
{
    struct append_verdict verdicts[2] = {{.outcome = ITEM_REFUSED}, {.outcome = ITEM_REFUSED}};
    const int16_t fine[] = {KEY_REUSED, KEY_REUSED}, unknown[] = {KEY_REUSED, 17};
    cr_assert_eq(read_two(10, (int32_t[]){0, 1}, fine, 2, verdicts), STATUS_MALFORMED);
    cr_assert_eq(read_two(11, (int32_t[]){0}, fine, 1, verdicts), STATUS_MALFORMED);
    cr_assert_eq(read_two(11, (int32_t[]){0, 0}, fine, 2, verdicts), STATUS_MALFORMED);
    cr_assert_eq(read_two(11, (int32_t[]){0, 2}, fine, 2, verdicts), STATUS_MALFORMED);
    cr_assert_eq(read_two(11, (int32_t[]){0, -1}, fine, 2, verdicts), STATUS_MALFORMED);
    cr_assert_eq(read_two(11, (int32_t[]){0, 1}, unknown, 2, verdicts), STATUS_MALFORMED);
    cr_assert_eq(verdicts[0].outcome, ITEM_REFUSED);
    cr_assert_eq(verdicts[1].outcome, ITEM_REFUSED);
}

Test(statement_append, given_a_conflict_without_its_stream_then_it_is_malformed)
{
    struct append_verdict verdicts[2];
    cr_assert_eq(
        read_two(11, (int32_t[]){0, 1}, (int16_t[]){VERSION_CONFLICT, KEY_REUSED}, 2, verdicts),
        STATUS_MALFORMED);
    cr_assert_eq(
        read_two(11, (int32_t[]){0, 1}, (int16_t[]){ALREADY_HANDLED, KEY_REUSED}, 2, verdicts),
        STATUS_MALFORMED);
}

Test(statement_append, given_a_warm_up_then_it_asks_for_no_item_and_says_so)
{
    struct statement statement;
    cr_assert_eq(statement_append_warm_up(&arena, &statement), STATUS_OK);
    cr_assert_eq(statement.param_count, 37);
    cr_assert_null(statement.values[PARAM_LAST]);
    cr_assert_str_eq(statement.name, "append");
    for (int i = 2; i < statement.param_count; i++) {
        cr_assert_eq(statement.lengths[i], 12, "parameter %d is no empty array", i + 1);
    }
}

// SPDX-License-Identifier: Apache-2.0
// What PostgreSQL answers to an append: a verdict an item, in whatever order the rows come.
#include <string.h>

#include "infrastructure/postgres/binary.h"
#include "infrastructure/postgres/statement.h"

enum column {
    ITEM,
    OUTCOME,
    AT_EPOCH,
    AT_TX,
    AT_POSITION,
    CONFLICT_STREAM,
    CONFLICT_VERSION,
    KEY_STREAM,
    KEY_VERSION,
    KEY_STATUS,
    HANDLED,
    COLUMN_COUNT,
};

// The wire's codes are the enum's first values.
_Static_assert(APPENDED == 0 && VERSION_CONFLICT == 1 && DUPLICATE == 2 && KEY_REUSED == 3 &&
                   ALREADY_HANDLED == 4 && APPEND_AGAIN == 5,
               "comanda.append_verdicts and enum append_outcome must agree");

static uint32_t big_endian(const char *bytes)
{
    const unsigned char *at = (const unsigned char *)bytes;
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

// A bool[] of exactly `count` elements without NULLs: 20 bytes of head, then length and byte each.
static const bool *read_flags(struct str array, size_t count, struct arena *arena)
{
    enum { HEAD = 20, ELEMENT = 5 };
    if (array.len != HEAD + count * ELEMENT || big_endian(array.data) != 1 ||
        big_endian(array.data + 12) != count) {
        return NULL;
    }
    bool *flags = arena_array(arena, count, sizeof(*flags));
    for (size_t i = 0; flags != NULL && i < count; i++) {
        flags[i] = array.data[HEAD + i * ELEMENT + 4] != 0;
    }
    return flags;
}

static enum status read_handled(struct binary_row *row, const struct append_item *item,
                                struct arena *arena, struct append_verdict *verdict)
{
    verdict->inbox_handled = read_flags(binary_bytes(row, HANDLED), item->inbox_count, arena);
    return verdict->inbox_handled == NULL ? STATUS_MALFORMED : STATUS_OK;
}

static void read_place(struct binary_row *row, struct append_verdict *verdict)
{
    if (!binary_is_null(row, AT_POSITION)) {
        verdict->at = (struct log_cursor){.epoch = binary_int4(row, AT_EPOCH),
                                          .tx = (uint64_t)binary_int8(row, AT_TX),
                                          .position = binary_int8(row, AT_POSITION)};
    }
}

static void read_conflict(struct binary_row *row, const struct append_item *item,
                          struct append_verdict *verdict)
{
    int32_t stream = binary_int4(row, CONFLICT_STREAM);
    row->bad = row->bad || stream < 0 || (size_t)stream >= item->stream_count;
    verdict->conflict_stream = (size_t)stream;
    verdict->conflict_version = binary_int4(row, CONFLICT_VERSION);
}

static void read_first_answer(struct binary_row *row, const struct append_item *item,
                              struct append_verdict *verdict)
{
    row->bad = row->bad || item->key == NULL;
    if (!row->bad) {
        verdict->key = *item->key; // id and fingerprint are the same
        verdict->key.stream = binary_uuid(row, KEY_STREAM);
        verdict->key.version = binary_int4(row, KEY_VERSION);
        verdict->key.status = binary_int2(row, KEY_STATUS);
    }
}

static enum status read_verdict(struct binary_row *row, const struct append_item *item,
                                struct arena *arena, struct append_verdict *verdict)
{
    int16_t outcome = binary_int2(row, OUTCOME);
    if (row->bad || outcome < APPENDED || outcome > APPEND_AGAIN) {
        return STATUS_MALFORMED;
    }
    *verdict = (struct append_verdict){.outcome = (enum append_outcome)outcome};
    switch (verdict->outcome) {
    case APPENDED:
        read_place(row, verdict);
        break;
    case VERSION_CONFLICT:
        read_conflict(row, item, verdict);
        break;
    case DUPLICATE:
        read_first_answer(row, item, verdict);
        break;
    case ALREADY_HANDLED:
        return read_handled(row, item, arena, verdict);
    case KEY_REUSED:
    case APPEND_AGAIN:
    case ITEM_REFUSED:
        break;
    }
    return row->bad ? STATUS_MALFORMED : STATUS_OK;
}

static enum status read_rows(const PGresult *result, const struct append_item *items, size_t count,
                             struct arena *arena, struct append_verdict *read, bool *seen)
{
    for (int i = 0; i < PQntuples(result); i++) {
        struct binary_row row = {.result = result, .row = i};
        int32_t item = binary_int4(&row, ITEM);
        if (row.bad || item < 0 || (size_t)item >= count || seen[item]) {
            return STATUS_MALFORMED;
        }
        seen[item] = true;
        enum status status = read_verdict(&row, &items[item], arena, &read[item]);
        if (status != STATUS_OK) {
            return status;
        }
    }
    return STATUS_OK;
}

enum status statement_append_read(const PGresult *result, const struct append_item *items,
                                  size_t count, struct arena *arena,
                                  struct append_verdict *verdicts)
{
    if (PQnfields(result) != COLUMN_COUNT || (size_t)PQntuples(result) != count) {
        return STATUS_MALFORMED;
    }
    struct append_verdict *read = arena_array(arena, count, sizeof(*read));
    bool *seen = arena_array(arena, count, sizeof(*seen));
    if (read == NULL || seen == NULL) {
        return STATUS_NO_MEMORY;
    }
    enum status status = read_rows(result, items, count, arena, read, seen);
    if (status == STATUS_OK) {
        memcpy(verdicts, read, count * sizeof(*read));
    }
    return status;
}

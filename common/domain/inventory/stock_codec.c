// SPDX-License-Identifier: Apache-2.0
// Stock items in JSON: the receipt's body, data of events, the state of four numbers.
#include "domain/inventory/stock_codec.h"

#include "base/json_view.h"
#include "domain/body_reader.h"
#include "domain/values/values_codec.h"

enum status stock_parse_receive(struct str json, struct arena *arena, struct fault_list *faults,
                                void **body)
{
    static const struct str members[] = {{"sku", 3}, {"quantity", 8}, {"receipt", 7}};
    struct body_reader reader = {arena, faults, false};
    struct body_place root;
    struct receive_stock *receipt = arena_alloc(arena, sizeof(*receipt));
    if (receipt == NULL) {
        return STATUS_NO_MEMORY;
    }
    enum status status = body_open(&reader, json, members, 3, &root);
    if (status != STATUS_OK || root.value == NULL) {
        *body = NULL;
        return status;
    }
    bool fine = body_sku(&reader, root, STR("sku"), &receipt->sku);
    fine &=
        body_integer(&reader, root, STR("quantity"), 1, RECEIPT_QUANTITY_MAX, &receipt->quantity);
    fine &= body_text(&reader, root, STR("receipt"), RECEIPT_LEN_MAX, &receipt->receipt);
    *body = fine ? receipt : NULL;
    return STATUS_OK;
}

static const struct str event_types[] = {
    [STOCK_RECEIVED] = {"StockReceived", 13},
    [STOCK_RESERVED] = {"StockReserved", 13},
    [STOCK_RELEASED] = {"StockReleased", 13},
    [STOCK_COMMITTED] = {"StockCommitted", 14},
};

static bool event_type_read(struct str type, enum stock_event_type *event_type)
{
    size_t index;
    if (!str_find(STR_LIST(event_types), type, &index)) {
        return false;
    }
    *event_type = (enum stock_event_type)index;
    return true;
}

enum status stock_record_received(const struct receive_stock *receipt, instant_us now,
                                  struct arena *arena, struct decision *decision)
{
    struct event_draft draft;
    event_draft_begin(&draft, arena);
    event_draft_text(&draft, STR("sku"), receipt->sku);
    event_draft_int(&draft, STR("quantity"), receipt->quantity);
    event_draft_text(&draft, STR("receipt"), receipt->receipt);
    event_draft_instant(&draft, STR("received_at"), now);
    return decision_record(decision, 0, event_types[STOCK_RECEIVED], &draft);
}

enum status stock_record_moved(enum stock_event_type type, int64_t quantity,
                               struct uuid reservation, size_t stream, struct arena *arena,
                               struct decision *decision)
{
    struct event_draft draft;
    event_draft_begin(&draft, arena);
    event_draft_int(&draft, STR("quantity"), quantity);
    json_name(&draft.writer, STR("reservation"));
    json_uuid(&draft.writer, reservation.bytes);
    return decision_record(decision, stream, event_types[type], &draft);
}

void *stock_state_initial(struct arena *arena)
{
    return arena_alloc(arena, sizeof(struct stock_item));
}

// Takes nothing from the arena: a stock item may have a hundred thousand events.
enum status stock_state_evolve(void *state, const struct event_view *view, struct arena *arena)
{
    (void)arena;
    struct stock_item *item = state;
    struct stock_event event;
    if (!event_type_read(view->type, &event.type)) {
        return STATUS_OK;
    }
    if (!json_view_int(json_view_member(view->data, STR("quantity")), &event.quantity)) {
        return STATUS_MALFORMED;
    }
    *item = stock_item_evolve(*item, event);
    return STATUS_OK;
}

static void write_number(struct json_writer *writer, struct str name, int64_t number)
{
    json_name(writer, name);
    json_int(writer, number);
}

enum status stock_state_encode(const void *state, struct buffer *out)
{
    const struct stock_item *item = state;
    struct json_writer writer;
    json_writer_init(&writer, out);
    json_object_begin(&writer);
    write_number(&writer, STR("received"), item->received);
    write_number(&writer, STR("on_hand"), item->on_hand);
    write_number(&writer, STR("reserved"), item->reserved);
    write_number(&writer, STR("committed"), item->committed);
    json_object_end(&writer);
    return out->status;
}

enum status stock_state_decode(struct str bytes, struct arena *arena, void **state)
{
    struct stock_item *item = stock_state_initial(arena);
    if (item == NULL) {
        return STATUS_NO_MEMORY;
    }
    bool whole = json_view_int(json_view_member(bytes, STR("received")), &item->received) &&
                 json_view_int(json_view_member(bytes, STR("on_hand")), &item->on_hand) &&
                 json_view_int(json_view_member(bytes, STR("reserved")), &item->reserved) &&
                 json_view_int(json_view_member(bytes, STR("committed")), &item->committed);
    if (!whole) {
        return STATUS_MALFORMED;
    }
    *state = item;
    return STATUS_OK;
}

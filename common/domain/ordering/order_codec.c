// SPDX-License-Identifier: Apache-2.0
// Orders in JSON: bodies of commands, data of events, the decider's state.
#include "domain/ordering/order_codec.h"

#include "domain/body_reader.h"
#include "domain/values/text.h"
#include "domain/values/values_codec.h"

static bool is_payment_token(struct str text)
{
    for (size_t at = 0; at < text.len; at++) {
        if (text.data[at] <= ' ' || text.data[at] > '~') {
            return false;
        }
    }
    return text.len > 0 && text.len <= PAYMENT_TOKEN_MAX;
}

static void parse_payment_token(struct body_reader *reader, struct body_place root,
                                struct str *token)
{
    if (body_string(reader, root, STR("payment_token"), token) && !is_payment_token(*token)) {
        body_fault(reader, STR("/payment_token"),
                   "must be 1 to %d printable ASCII characters without spaces", PAYMENT_TOKEN_MAX);
    }
}

enum status order_parse_place(struct str json, struct arena *arena, struct fault_list *faults,
                              void **body)
{
    static const struct str members[] = {
        {"currency", 8}, {"lines", 5}, {"payment_token", 13}, {"ship_to", 7}};
    struct body_reader reader = {arena, faults, false};
    struct body_place root;
    struct place_order *command = arena_alloc(arena, sizeof(*command));
    if (command == NULL) {
        return STATUS_NO_MEMORY;
    }
    enum status status = body_open(&reader, json, members, 4, &root);
    if (status != STATUS_OK || root.value == NULL) {
        *body = NULL;
        return status;
    }
    // What has a fault is left empty, so that the catalogue may judge the rest.
    (void)body_currency(&reader, root, STR("currency"), &command->currency);
    (void)body_lines(&reader, root, STR("lines"), &command->lines);
    parse_payment_token(&reader, root, &command->payment_token);
    (void)body_address(&reader, root, STR("ship_to"), &command->ship_to);
    *body = command;
    return STATUS_OK;
}

enum status order_parse_cancel(struct str json, struct arena *arena, struct fault_list *faults,
                               void **body)
{
    static const struct str members[] = {{"reason", 6}};
    struct body_reader reader = {arena, faults, false};
    struct body_place root;
    struct str *reason = arena_alloc(arena, sizeof(*reason));
    if (reason == NULL) {
        return STATUS_NO_MEMORY;
    }
    enum status status = body_open(&reader, json, members, 1, &root);
    if (status != STATUS_OK) {
        return status;
    }
    bool fine =
        root.value != NULL && body_text(&reader, root, STR("reason"), ORDER_REASON_MAX, reason);
    *body = fine ? reason : NULL;
    return STATUS_OK;
}

static bool is_rejection_code(struct str text)
{
    for (size_t at = 0; at < text.len; at++) {
        if ((text.data[at] < 'a' || text.data[at] > 'z') && text.data[at] != '_') {
            return false;
        }
    }
    return text.len > 0 && text.len <= ORDER_REJECTION_CODE_MAX;
}

static void parse_rejection(struct body_reader *reader, struct body_place root,
                            struct order_rejection *rejection)
{
    if (body_string(reader, root, STR("code"), &rejection->code) &&
        !is_rejection_code(rejection->code)) {
        body_fault(reader, STR("/code"), "must be 1 to %d of a-z and _", ORDER_REJECTION_CODE_MAX);
    }
    if (body_string(reader, root, STR("detail"), &rejection->detail) &&
        text_length(rejection->detail) > ORDER_DETAIL_MAX) {
        body_fault(reader, STR("/detail"), "must be at most %d characters", ORDER_DETAIL_MAX);
    }
}

enum status order_parse_reject(struct str json, struct arena *arena, struct fault_list *faults,
                               void **body)
{
    struct body_reader reader = {arena, faults, true};
    struct body_place root;
    size_t before = faults->total;
    struct order_rejection *rejection = arena_alloc(arena, sizeof(*rejection));
    if (rejection == NULL) {
        return STATUS_NO_MEMORY;
    }
    enum status status = body_open(&reader, json, NULL, 0, &root);
    if (status != STATUS_OK) {
        return status;
    }
    if (root.value != NULL) {
        parse_rejection(&reader, root, rejection);
    }
    *body = faults->total == before ? rejection : NULL;
    return STATUS_OK;
}

static const struct str status_texts[] = {
    [ORDER_UNKNOWN] = {"unknown", 7},        [ORDER_PLACED] = {"placed", 6},
    [ORDER_CANCELLING] = {"cancelling", 10}, [ORDER_CANCELLED] = {"cancelled", 9},
    [ORDER_CONFIRMED] = {"confirmed", 9},    [ORDER_REJECTED] = {"rejected", 8},
};

struct str order_status_text(enum order_status status)
{
    return status_texts[status];
}

enum order_status order_status_read(struct str text)
{
    size_t index = ORDER_UNKNOWN;
    (void)str_find(STR_LIST(status_texts), text, &index);
    return (enum order_status)index;
}

static const struct str event_types[] = {
    [ORDER_EVENT_PLACED] = {"OrderPlaced", 11},
    [ORDER_EVENT_CANCEL_REQUESTED] = {"OrderCancelRequested", 20},
    [ORDER_EVENT_CANCELLED] = {"OrderCancelled", 14},
    [ORDER_EVENT_CONFIRMED] = {"OrderConfirmed", 14},
    [ORDER_EVENT_REJECTED] = {"OrderRejected", 13},
};

bool order_event_type_read(struct str type, enum order_event_type *event_type)
{
    size_t index;
    if (!str_find(STR_LIST(event_types), type, &index)) {
        return false;
    }
    *event_type = (enum order_event_type)index;
    return true;
}

static void write_order_lines(struct json_writer *writer, const struct order_placed *placed)
{
    json_array_begin(writer);
    for (size_t i = 0; i < placed->line_count; i++) {
        const struct order_line *line = &placed->lines[i];
        json_object_begin(writer);
        json_name(writer, STR("sku"));
        json_string(writer, line->sku);
        json_name(writer, STR("quantity"));
        json_int(writer, line->quantity);
        json_name(writer, STR("unit_price"));
        json_int(writer, line->unit_price.amount);
        json_name(writer, STR("total"));
        json_int(writer, line->total.amount);
        json_object_end(writer);
    }
    json_array_end(writer);
}

enum status order_record_placed(const struct order_placed *placed, instant_us now,
                                struct arena *arena, struct decision *decision)
{
    struct event_draft draft;
    event_draft_begin(&draft, arena);
    event_draft_text(&draft, STR("customer"), placed->customer);
    event_draft_text(&draft, STR("currency"), currency_text(&placed->total.currency));
    json_name(&draft.writer, STR("lines"));
    write_order_lines(&draft.writer, placed);
    event_draft_int(&draft, STR("total"), placed->total.amount);
    event_draft_text(&draft, STR("payment_token"), placed->payment_token);
    json_name(&draft.writer, STR("ship_to"));
    write_address(&draft.writer, &placed->ship_to);
    event_draft_instant(&draft, STR("placed_at"), now);
    return decision_record(decision, 0, event_types[ORDER_EVENT_PLACED], &draft);
}

enum status order_record(const struct order_event *event, instant_us now, struct arena *arena,
                         struct decision *decision)
{
    struct event_draft draft;
    event_draft_begin(&draft, arena);
    switch (event->type) {
    case ORDER_EVENT_PLACED:
        return STATUS_INVALID; // has a function of its own
    case ORDER_EVENT_CANCEL_REQUESTED:
        event_draft_text(&draft, STR("reason"), event->reason);
        event_draft_instant(&draft, STR("requested_at"), now);
        break;
    case ORDER_EVENT_CANCELLED:
        event_draft_instant(&draft, STR("cancelled_at"), now);
        break;
    case ORDER_EVENT_CONFIRMED:
        event_draft_instant(&draft, STR("confirmed_at"), now);
        break;
    case ORDER_EVENT_REJECTED:
        event_draft_text(&draft, STR("code"), event->rejection.code);
        event_draft_text(&draft, STR("detail"), event->rejection.detail);
        event_draft_instant(&draft, STR("rejected_at"), now);
        break;
    }
    return decision_record(decision, 0, event_types[event->type], &draft);
}

void *order_state_initial(struct arena *arena)
{
    return arena_alloc(arena, sizeof(struct order));
}

enum status order_state_evolve(void *state, const struct event_view *view, struct arena *arena)
{
    struct order *order = state;
    struct order_event event = {0};
    if (!order_event_type_read(view->type, &event.type)) {
        return STATUS_OK;
    }
    if (event.type == ORDER_EVENT_PLACED) {
        const struct json_value *data;
        enum status status = json_read(view->data, arena, &data);
        if (status != STATUS_OK) {
            return status;
        }
        event.customer = arena_str(arena, json_member_text(data, STR("customer")));
        if (event.customer.data == NULL) {
            return STATUS_NO_MEMORY;
        }
    }
    *order = order_evolve(*order, &event);
    return STATUS_OK;
}

enum status order_state_encode(const void *state, struct buffer *out)
{
    const struct order *order = state;
    struct json_writer writer;
    json_writer_init(&writer, out);
    json_object_begin(&writer);
    json_name(&writer, STR("status"));
    json_string(&writer, order_status_text(order->status));
    json_name(&writer, STR("customer"));
    json_string(&writer, order->customer);
    json_object_end(&writer);
    return out->status;
}

enum status order_state_decode(struct str bytes, struct arena *arena, void **state)
{
    const struct json_value *data;
    struct order *order = order_state_initial(arena);
    if (order == NULL) {
        return STATUS_NO_MEMORY;
    }
    enum status status = json_read_copy(bytes, arena, &data);
    if (status != STATUS_OK) {
        return status;
    }
    order->status = order_status_read(json_member_text(data, STR("status")));
    order->customer = json_member_text(data, STR("customer"));
    *state = order;
    return STATUS_OK;
}

// SPDX-License-Identifier: Apache-2.0
// The order as its customer sees it: the document of the collection "orders".
#include "domain/ordering/order_document.h"

#include "base/json_tree.h"
#include "domain/ordering/order.h"
#include "domain/ordering/order_codec.h"
#include "domain/values/values_codec.h"

struct order_document {
    struct uuid id;
    enum order_status status;
    int32_t version;
    struct str customer;
    struct currency currency;
    struct order_line *lines;
    size_t line_count;
    struct money total;
    struct address ship_to;
    instant_us created_at;
    instant_us updated_at;
    struct order_rejection rejection;
};

void *order_document_initial(struct arena *arena)
{
    return arena_alloc(arena, sizeof(struct order_document));
}

static instant_us read_instant(const struct json_value *object, struct str name)
{
    instant_us at = 0;
    (void)instant_parse(json_member_text(object, name), &at);
    return at;
}

// In events an amount is a number beside the order's one currency; in documents it is an object.
static struct money read_amount(const struct json_value *line, struct str name,
                                struct currency currency)
{
    const struct json_value *amount = json_member(line, name);
    if (amount != NULL && amount->kind == JSON_OBJECT) {
        return read_money(line, name);
    }
    return (struct money){json_member_int(line, name), currency};
}

static enum status read_order_lines(struct order_document *document, const struct json_value *data,
                                    struct arena *arena)
{
    const struct json_value *array = json_member(data, STR("lines"));
    document->line_count = 0;
    document->lines =
        arena_array(arena, array == NULL ? 0 : array->count, sizeof(struct order_line));
    if (document->lines == NULL) {
        return STATUS_NO_MEMORY;
    }
    const struct json_value *item = array == NULL ? NULL : array->first;
    for (; item != NULL; item = item->next) {
        document->lines[document->line_count++] = (struct order_line){
            .sku = json_member_text(item, STR("sku")),
            .quantity = (int32_t)json_member_int(item, STR("quantity")),
            .unit_price = read_amount(item, STR("unit_price"), document->currency),
            .total = read_amount(item, STR("total"), document->currency),
        };
    }
    return STATUS_OK;
}

// What a placed event and a document have in common. One without an owner would be everybody's.
static enum status read_contents(struct order_document *document, const struct json_value *data,
                                 struct arena *arena)
{
    document->customer = json_member_text(data, STR("customer"));
    document->currency = read_currency(data, STR("currency"));
    document->total = read_amount(data, STR("total"), document->currency);
    document->ship_to = read_address(data, STR("ship_to"));
    if (document->customer.len == 0) {
        return STATUS_MALFORMED;
    }
    return read_order_lines(document, data, arena);
}

static void read_rejection(struct order_document *document, const struct json_value *data)
{
    document->rejection.code = json_member_text(data, STR("code"));
    document->rejection.detail = json_member_text(data, STR("detail"));
}

static enum status apply(struct order_document *document, enum order_event_type type,
                         const struct json_value *data, struct arena *arena)
{
    switch (type) {
    case ORDER_EVENT_PLACED:
        document->status = ORDER_PLACED;
        document->created_at = read_instant(data, STR("placed_at"));
        document->updated_at = document->created_at;
        return read_contents(document, data, arena);
    case ORDER_EVENT_CANCEL_REQUESTED:
        document->status = ORDER_CANCELLING;
        document->updated_at = read_instant(data, STR("requested_at"));
        break;
    case ORDER_EVENT_CANCELLED:
        document->status = ORDER_CANCELLED;
        document->updated_at = read_instant(data, STR("cancelled_at"));
        break;
    case ORDER_EVENT_CONFIRMED:
        document->status = ORDER_CONFIRMED;
        document->updated_at = read_instant(data, STR("confirmed_at"));
        break;
    case ORDER_EVENT_REJECTED:
        document->status = ORDER_REJECTED;
        document->updated_at = read_instant(data, STR("rejected_at"));
        read_rejection(document, data);
        break;
    }
    return STATUS_OK;
}

enum status order_document_evolve(void *state, const struct event_view *event, struct arena *arena)
{
    struct order_document *document = state;
    enum order_event_type type;
    const struct json_value *data;
    document->id = event->stream;
    document->version = event->version;
    if (!order_event_type_read(event->type, &type)) {
        return STATUS_OK;
    }
    enum status status = json_read_copy(event->data, arena, &data);
    return status != STATUS_OK ? status : apply(document, type, data, arena);
}

static void write_text(struct json_writer *writer, struct str name, struct str text)
{
    json_name(writer, name);
    json_string(writer, text);
}

static void write_document_lines(struct json_writer *writer, const struct order_document *document)
{
    json_name(writer, STR("lines"));
    json_array_begin(writer);
    for (size_t i = 0; i < document->line_count; i++) {
        const struct order_line *line = &document->lines[i];
        json_object_begin(writer);
        write_text(writer, STR("sku"), line->sku);
        json_name(writer, STR("quantity"));
        json_int(writer, line->quantity);
        json_name(writer, STR("unit_price"));
        write_money(writer, line->unit_price);
        json_name(writer, STR("total"));
        write_money(writer, line->total);
        json_object_end(writer);
    }
    json_array_end(writer);
}

static void write_rejection(struct json_writer *writer, const struct order_rejection *rejection)
{
    json_name(writer, STR("rejection"));
    json_object_begin(writer);
    write_text(writer, STR("code"), rejection->code);
    write_text(writer, STR("detail"), rejection->detail);
    json_object_end(writer);
}

enum status order_document_encode(const void *state, struct buffer *out)
{
    const struct order_document *document = state;
    struct json_writer writer;
    json_writer_init(&writer, out);
    json_object_begin(&writer);
    json_name(&writer, STR("id"));
    json_uuid(&writer, document->id.bytes);
    write_text(&writer, STR("status"), order_status_text(document->status));
    json_name(&writer, STR("version"));
    json_int(&writer, document->version);
    write_text(&writer, STR("customer"), document->customer);
    write_text(&writer, STR("currency"), currency_text(&document->currency));
    write_document_lines(&writer, document);
    json_name(&writer, STR("total"));
    write_money(&writer, document->total);
    json_name(&writer, STR("ship_to"));
    write_address(&writer, &document->ship_to);
    json_name(&writer, STR("created_at"));
    json_instant(&writer, document->created_at);
    json_name(&writer, STR("updated_at"));
    json_instant(&writer, document->updated_at);
    if (document->status == ORDER_REJECTED) {
        write_rejection(&writer, &document->rejection);
    }
    json_object_end(&writer);
    return out->status;
}

enum status order_document_decode(struct str bytes, struct arena *arena, void **state)
{
    const struct json_value *data;
    struct order_document *document = order_document_initial(arena);
    if (document == NULL) {
        return STATUS_NO_MEMORY;
    }
    enum status status = json_read_copy(bytes, arena, &data);
    if (status != STATUS_OK) {
        return status;
    }
    if (!uuid_parse(json_member_text(data, STR("id")), false, &document->id)) {
        return STATUS_MALFORMED;
    }
    document->status = order_status_read(json_member_text(data, STR("status")));
    document->version = (int32_t)json_member_int(data, STR("version"));
    document->created_at = read_instant(data, STR("created_at"));
    document->updated_at = read_instant(data, STR("updated_at"));
    read_rejection(document, json_member(data, STR("rejection")));
    *state = document;
    return read_contents(document, data, arena);
}

enum status order_document_index(const void *state, struct arena *arena,
                                 struct document_index *index)
{
    const struct order_document *document = state;
    char *id = arena_alloc(arena, UUID_TEXT_LEN);
    if (id == NULL) {
        return STATUS_NO_MEMORY;
    }
    uuid_format(document->id, id);
    *index = (struct document_index){
        .key = {id, UUID_TEXT_LEN},
        .owner = document->customer,
        .filter = order_status_text(document->status),
        .sort = {id, UUID_TEXT_LEN},          // its first 48 bits are the time it was placed
        .listed = document->customer.len > 0, // not while its first event is unknown here
    };
    return STATUS_OK;
}

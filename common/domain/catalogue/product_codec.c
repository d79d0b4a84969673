// SPDX-License-Identifier: Apache-2.0
// Products in JSON: bodies of commands, data of events, and the one state that is both the
// decider's and the document of the collection "products".
#include "domain/catalogue/product_codec.h"

#include "domain/body_reader.h"
#include "domain/values/values_codec.h"

enum status product_parse_list(struct str json, struct arena *arena, struct fault_list *faults,
                               void **body)
{
    static const struct str members[] = {{"sku", 3}, {"name", 4}, {"price", 5}};
    struct body_reader reader = {arena, faults, false};
    struct body_place root;
    struct list_product *command = arena_alloc(arena, sizeof(*command));
    if (command == NULL) {
        return STATUS_NO_MEMORY;
    }
    enum status status = body_open(&reader, json, members, 3, &root);
    if (status != STATUS_OK || root.value == NULL) {
        *body = NULL;
        return status;
    }
    bool fine = body_sku(&reader, root, STR("sku"), &command->sku);
    fine &= body_text(&reader, root, STR("name"), PRODUCT_NAME_MAX, &command->name);
    fine &= body_money(&reader, root, STR("price"), &command->price);
    *body = fine ? command : NULL;
    return STATUS_OK;
}

enum status product_parse_reprice(struct str json, struct arena *arena, struct fault_list *faults,
                                  void **body)
{
    static const struct str members[] = {{"price", 5}};
    struct body_reader reader = {arena, faults, false};
    struct body_place root;
    struct money *price = arena_alloc(arena, sizeof(*price));
    if (price == NULL) {
        return STATUS_NO_MEMORY;
    }
    enum status status = body_open(&reader, json, members, 1, &root);
    if (status != STATUS_OK) {
        return status;
    }
    bool fine = root.value != NULL && body_money(&reader, root, STR("price"), price);
    *body = fine ? price : NULL;
    return STATUS_OK;
}

static const struct str event_types[] = {
    [PRODUCT_EVENT_LISTED] = {"ProductListed", 13},
    [PRODUCT_EVENT_REPRICED] = {"ProductRepriced", 15},
    [PRODUCT_EVENT_RETIRED] = {"ProductRetired", 14},
};

static bool event_type_read(struct str type, enum product_event_type *event_type)
{
    size_t index;
    if (!str_find(STR_LIST(event_types), type, &index)) {
        return false;
    }
    *event_type = (enum product_event_type)index;
    return true;
}

static void draft_price(struct event_draft *draft, struct money price)
{
    json_name(&draft->writer, STR("price"));
    write_money(&draft->writer, price);
}

enum status product_record(const struct product_event *event, instant_us now, struct arena *arena,
                           struct decision *decision)
{
    struct event_draft draft;
    event_draft_begin(&draft, arena);
    switch (event->type) {
    case PRODUCT_EVENT_LISTED:
        event_draft_text(&draft, STR("sku"), event->sku);
        event_draft_text(&draft, STR("name"), event->name);
        draft_price(&draft, event->price);
        event_draft_instant(&draft, STR("listed_at"), now);
        break;
    case PRODUCT_EVENT_REPRICED:
        draft_price(&draft, event->price);
        event_draft_instant(&draft, STR("repriced_at"), now);
        break;
    case PRODUCT_EVENT_RETIRED:
        event_draft_instant(&draft, STR("retired_at"), now);
        break;
    }
    return decision_record(decision, 0, event_types[event->type], &draft);
}

void *product_state_initial(struct arena *arena)
{
    return arena_alloc(arena, sizeof(struct product));
}

enum status product_state_evolve(void *state, const struct event_view *view, struct arena *arena)
{
    struct product *product = state;
    struct product_event event;
    const struct json_value *data;
    if (!event_type_read(view->type, &event.type)) {
        return STATUS_OK;
    }
    enum status status = json_read_copy(view->data, arena, &data);
    if (status != STATUS_OK) {
        return status;
    }
    event.sku = json_member_text(data, STR("sku"));
    event.name = json_member_text(data, STR("name"));
    event.price = read_money(data, STR("price"));
    *product = product_evolve(*product, &event);
    return STATUS_OK;
}

enum status product_state_encode(const void *state, struct buffer *out)
{
    const struct product *product = state;
    struct json_writer writer;
    json_writer_init(&writer, out);
    json_object_begin(&writer);
    json_name(&writer, STR("sku"));
    json_string(&writer, product->sku);
    json_name(&writer, STR("name"));
    json_string(&writer, product->name);
    json_name(&writer, STR("price"));
    write_money(&writer, product->price);
    if (product->status == PRODUCT_RETIRED) {
        json_name(&writer, STR("retired"));
        json_bool(&writer, true);
    }
    json_object_end(&writer);
    return out->status;
}

enum status product_state_decode(struct str bytes, struct arena *arena, void **state)
{
    const struct json_value *data;
    struct product *product = product_state_initial(arena);
    if (product == NULL) {
        return STATUS_NO_MEMORY;
    }
    enum status status = json_read_copy(bytes, arena, &data);
    if (status != STATUS_OK) {
        return status;
    }
    product->sku = json_member_text(data, STR("sku"));
    product->name = json_member_text(data, STR("name"));
    product->price = read_money(data, STR("price"));
    if (json_member(data, STR("retired")) != NULL) {
        product->status = PRODUCT_RETIRED;
    } else if (product->sku.len > 0) {
        product->status = PRODUCT_LISTED;
    }
    *state = product;
    return STATUS_OK;
}

enum status product_document_index(const void *state, struct arena *arena,
                                   struct document_index *index)
{
    (void)arena;
    const struct product *product = state;
    *index = (struct document_index){
        .key = product->sku,
        .owner = STR(""),
        .filter = STR(""),
        .sort = product->sku,
        .listed = product->status == PRODUCT_LISTED,
    };
    return STATUS_OK;
}

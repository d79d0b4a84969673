// SPDX-License-Identifier: Apache-2.0
// Shipments in JSON: bodies of commands, data of events, the decider's state, what is asked of and
// answered by the carrier.
#include "domain/shipping/shipment_codec.h"

#include "domain/body_reader.h"
#include "domain/values/values_codec.h"

enum status shipment_parse_schedule(struct str json, struct arena *arena, struct fault_list *faults,
                                    void **body)
{
    struct body_reader reader = {arena, faults, true};
    struct body_place root;
    struct address *ship_to = arena_alloc(arena, sizeof(*ship_to));
    if (ship_to == NULL) {
        return STATUS_NO_MEMORY;
    }
    enum status status = body_open(&reader, json, NULL, 0, &root);
    if (status != STATUS_OK) {
        return status;
    }
    bool fine = root.value != NULL && body_address(&reader, root, STR("ship_to"), ship_to);
    *body = fine ? ship_to : NULL;
    return STATUS_OK;
}

enum status shipment_parse_dispatch(struct str json, struct arena *arena, struct fault_list *faults,
                                    void **body)
{
    struct body_reader reader = {arena, faults, true};
    struct body_place root;
    struct str text;
    struct uuid *order = arena_alloc(arena, sizeof(*order));
    *body = NULL;
    if (order == NULL) {
        return STATUS_NO_MEMORY;
    }
    enum status status = body_open(&reader, json, NULL, 0, &root);
    if (status != STATUS_OK || root.value == NULL ||
        !body_string(&reader, root, STR("order_id"), &text)) {
        return status;
    }
    if (uuid_parse(text, false, order)) {
        *body = order;
    } else {
        body_fault(&reader, STR("/order_id"), "must be a UUID in lower case");
    }
    return STATUS_OK;
}

static const struct str event_types[] = {
    [SHIPMENT_EVENT_SCHEDULED] = {"ShipmentScheduled", 17},
    [SHIPMENT_EVENT_REFUSED] = {"ShipmentRefused", 15},
    [SHIPMENT_EVENT_CANCELLED] = {"ShipmentCancelled", 17},
    [SHIPMENT_EVENT_DISPATCHED] = {"ShipmentDispatched", 18},
    [SHIPMENT_EVENT_DELIVERED] = {"ShipmentDelivered", 17},
};

static bool event_type_read(struct str type, enum shipment_event_type *event_type)
{
    size_t index;
    if (!str_find(STR_LIST(event_types), type, &index)) {
        return false;
    }
    *event_type = (enum shipment_event_type)index;
    return true;
}

enum status shipment_record(const struct shipment_event *event, instant_us now, struct arena *arena,
                            struct decision *decision)
{
    struct event_draft draft;
    event_draft_begin(&draft, arena);
    switch (event->type) {
    case SHIPMENT_EVENT_SCHEDULED:
        json_name(&draft.writer, STR("ship_to"));
        write_address(&draft.writer, event->ship_to);
        event_draft_instant(&draft, STR("scheduled_at"), now);
        break;
    case SHIPMENT_EVENT_REFUSED:
        event_draft_text(&draft, STR("code"), event->code);
        event_draft_text(&draft, STR("detail"), event->detail);
        event_draft_instant(&draft, STR("refused_at"), now);
        break;
    case SHIPMENT_EVENT_CANCELLED:
        event_draft_instant(&draft, STR("cancelled_at"), now);
        break;
    case SHIPMENT_EVENT_DISPATCHED:
        event_draft_instant(&draft, STR("dispatched_at"), now);
        break;
    case SHIPMENT_EVENT_DELIVERED:
        event_draft_instant(&draft, STR("delivered_at"), now);
        break;
    }
    return decision_record(decision, 0, event_types[event->type], &draft);
}

bool shipment_ask_schedule(struct uuid shipment, const struct address *ship_to, struct arena *arena,
                           struct effect_request *request)
{
    struct event_draft draft;
    effect_draft_begin(&draft, STR("shipment"), shipment, arena);
    event_draft_text(&draft, STR("country"), ship_to->country);
    event_draft_text(&draft, STR("postal_code"), ship_to->postal_code);
    return effect_draft_end(&draft, STR("carrier.schedule"), shipment, STR("schedule"), arena,
                            request);
}

bool shipment_ask_cancel(struct uuid shipment, struct arena *arena, struct effect_request *request)
{
    struct event_draft draft;
    effect_draft_begin(&draft, STR("shipment"), shipment, arena);
    return effect_draft_end(&draft, STR("carrier.cancel"), shipment, STR("cancel"), arena, request);
}

struct carrier_answer shipment_read_answer(const struct effect_answer *effect)
{
    return (struct carrier_answer){
        .asked = effect->outcome != EFFECT_NOT_ASKED,
        .done = effect->outcome == EFFECT_DONE,
        .code = effect->code,
        .detail = effect->detail,
    };
}

static const struct str status_texts[] = {
    [SHIPMENT_NONE] = {"none", 4},
    [SHIPMENT_SCHEDULED] = {"scheduled", 9},
    [SHIPMENT_REFUSED] = {"refused", 7},
    [SHIPMENT_CANCELLED] = {"cancelled", 9},
    [SHIPMENT_DISPATCHED] = {"dispatched", 10},
    [SHIPMENT_DELIVERED] = {"delivered", 9},
};

static enum shipment_status status_read(struct str text)
{
    size_t index = SHIPMENT_NONE;
    (void)str_find(STR_LIST(status_texts), text, &index);
    return (enum shipment_status)index;
}

void *shipment_state_initial(struct arena *arena)
{
    return arena_alloc(arena, sizeof(struct shipment));
}

enum status shipment_state_evolve(void *state, const struct event_view *view, struct arena *arena)
{
    struct shipment *shipment = state;
    struct shipment_event event = {0};
    const struct json_value *data;
    if (!event_type_read(view->type, &event.type)) {
        return STATUS_OK;
    }
    enum status status = json_read_copy(view->data, arena, &data);
    if (status != STATUS_OK) {
        return status;
    }
    event.detail = json_member_text(data, STR("detail"));
    *shipment = shipment_evolve(*shipment, &event);
    return STATUS_OK;
}

enum status shipment_state_encode(const void *state, struct buffer *out)
{
    const struct shipment *shipment = state;
    struct json_writer writer;
    json_writer_init(&writer, out);
    json_object_begin(&writer);
    json_name(&writer, STR("status"));
    json_string(&writer, status_texts[shipment->status]);
    json_name(&writer, STR("refusal_detail"));
    json_string(&writer, shipment->refusal_detail);
    json_object_end(&writer);
    return out->status;
}

enum status shipment_state_decode(struct str bytes, struct arena *arena, void **state)
{
    const struct json_value *data;
    struct shipment *shipment = shipment_state_initial(arena);
    if (shipment == NULL) {
        return STATUS_NO_MEMORY;
    }
    enum status status = json_read_copy(bytes, arena, &data);
    if (status != STATUS_OK) {
        return status;
    }
    shipment->status = status_read(json_member_text(data, STR("status")));
    shipment->refusal_detail = json_member_text(data, STR("refusal_detail"));
    *state = shipment;
    return STATUS_OK;
}

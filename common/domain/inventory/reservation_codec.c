// SPDX-License-Identifier: Apache-2.0
// Reservations in JSON: bodies of commands, data of events, the decider's state.
#include "domain/inventory/reservation_codec.h"

#include "domain/body_reader.h"
#include "domain/values/values_codec.h"

enum status reservation_parse_lines(struct str json, struct arena *arena, struct fault_list *faults,
                                    void **body)
{
    struct body_reader reader = {arena, faults, true};
    struct body_place root;
    struct line_list *lines = arena_alloc(arena, sizeof(*lines));
    if (lines == NULL) {
        return STATUS_NO_MEMORY;
    }
    enum status status = body_open(&reader, json, NULL, 0, &root);
    if (status != STATUS_OK) {
        return status;
    }
    bool fine = root.value != NULL && body_lines(&reader, root, STR("lines"), lines);
    *body = fine ? lines : NULL;
    return STATUS_OK;
}

static const struct str event_types[] = {
    [RESERVATION_EVENT_MADE] = {"ReservationMade", 15},
    [RESERVATION_EVENT_REFUSED] = {"ReservationRefused", 18},
    [RESERVATION_EVENT_RELEASED] = {"ReservationReleased", 19},
    [RESERVATION_EVENT_COMMITTED] = {"ReservationCommitted", 20},
};

static bool event_type_read(struct str type, enum reservation_event_type *event_type)
{
    size_t index;
    if (!str_find(STR_LIST(event_types), type, &index)) {
        return false;
    }
    *event_type = (enum reservation_event_type)index;
    return true;
}

enum status reservation_record(const struct reservation_event *event, instant_us now,
                               struct arena *arena, struct decision *decision)
{
    struct event_draft draft;
    event_draft_begin(&draft, arena);
    switch (event->type) {
    case RESERVATION_EVENT_MADE:
        json_name(&draft.writer, STR("lines"));
        write_lines(&draft.writer, event->lines);
        event_draft_instant(&draft, STR("made_at"), now);
        break;
    case RESERVATION_EVENT_REFUSED:
        event_draft_text(&draft, STR("code"), STR("stock_short"));
        event_draft_text(&draft, STR("sku"), event->short_sku);
        event_draft_instant(&draft, STR("refused_at"), now);
        break;
    case RESERVATION_EVENT_RELEASED:
        event_draft_instant(&draft, STR("released_at"), now);
        break;
    case RESERVATION_EVENT_COMMITTED:
        event_draft_instant(&draft, STR("committed_at"), now);
        break;
    }
    return decision_record(decision, 0, event_types[event->type], &draft);
}

static const struct str status_texts[] = {
    [RESERVATION_NONE] = {"none", 4},           [RESERVATION_MADE] = {"made", 4},
    [RESERVATION_REFUSED] = {"refused", 7},     [RESERVATION_RELEASED] = {"released", 8},
    [RESERVATION_COMMITTED] = {"committed", 9},
};

static enum reservation_status status_read(struct str text)
{
    size_t index = RESERVATION_NONE;
    (void)str_find(STR_LIST(status_texts), text, &index);
    return (enum reservation_status)index;
}

void *reservation_state_initial(struct arena *arena)
{
    return arena_alloc(arena, sizeof(struct reservation));
}

enum status reservation_state_evolve(void *state, const struct event_view *view,
                                     struct arena *arena)
{
    struct reservation *reservation = state;
    struct reservation_event event;
    struct line_list lines;
    const struct json_value *data;
    if (!event_type_read(view->type, &event.type)) {
        return STATUS_OK;
    }
    enum status status = json_read_copy(view->data, arena, &data);
    if (status != STATUS_OK) {
        return status;
    }
    read_lines(data, STR("lines"), &lines);
    event.lines = &lines;
    event.short_sku = json_member_text(data, STR("sku"));
    *reservation = reservation_evolve(*reservation, &event);
    return STATUS_OK;
}

enum status reservation_state_encode(const void *state, struct buffer *out)
{
    const struct reservation *reservation = state;
    struct json_writer writer;
    json_writer_init(&writer, out);
    json_object_begin(&writer);
    json_name(&writer, STR("status"));
    json_string(&writer, status_texts[reservation->status]);
    json_name(&writer, STR("lines"));
    write_lines(&writer, &reservation->lines);
    json_name(&writer, STR("short_sku"));
    json_string(&writer, reservation->short_sku);
    json_object_end(&writer);
    return out->status;
}

enum status reservation_state_decode(struct str bytes, struct arena *arena, void **state)
{
    const struct json_value *data;
    struct reservation *reservation = reservation_state_initial(arena);
    if (reservation == NULL) {
        return STATUS_NO_MEMORY;
    }
    enum status status = json_read_copy(bytes, arena, &data);
    if (status != STATUS_OK) {
        return status;
    }
    reservation->status = status_read(json_member_text(data, STR("status")));
    reservation->short_sku = json_member_text(data, STR("short_sku"));
    read_lines(data, STR("lines"), &reservation->lines);
    *state = reservation;
    return STATUS_OK;
}

// SPDX-License-Identifier: Apache-2.0
// Payments in JSON: bodies of commands, data of events, the decider's state, what is asked of and
// answered by the provider.
#include "domain/payments/payment_codec.h"

#include "domain/body_reader.h"
#include "domain/values/text.h"
#include "domain/values/values_codec.h"

enum { TOKEN_MAX = 200 };

// amount and currency stand beside each other in commands and events.
static bool parse_amount(struct body_reader *reader, struct body_place root, struct money *money)
{
    bool fine = body_integer(reader, root, STR("amount"), 1, MONEY_AMOUNT_MAX, &money->amount);
    return body_currency(reader, root, STR("currency"), &money->currency) && fine;
}

enum status payment_parse_authorize(struct str json, struct arena *arena, struct fault_list *faults,
                                    void **body)
{
    struct body_reader reader = {arena, faults, true};
    struct body_place root;
    struct authorize_payment *command = arena_alloc(arena, sizeof(*command));
    if (command == NULL) {
        return STATUS_NO_MEMORY;
    }
    enum status status = body_open(&reader, json, NULL, 0, &root);
    if (status != STATUS_OK || root.value == NULL) {
        *body = NULL;
        return status;
    }
    bool fine = parse_amount(&reader, root, &command->amount);
    fine &= body_text(&reader, root, STR("payment_token"), TOKEN_MAX, &command->token);
    *body = fine ? command : NULL;
    return STATUS_OK;
}

enum status payment_parse_capture(struct str json, struct arena *arena, struct fault_list *faults,
                                  void **body)
{
    struct body_reader reader = {arena, faults, true};
    struct body_place root;
    struct money *amount = arena_alloc(arena, sizeof(*amount));
    if (amount == NULL) {
        return STATUS_NO_MEMORY;
    }
    enum status status = body_open(&reader, json, NULL, 0, &root);
    if (status != STATUS_OK) {
        return status;
    }
    bool fine = root.value != NULL && parse_amount(&reader, root, amount);
    *body = fine ? amount : NULL;
    return STATUS_OK;
}

static const struct str event_types[] = {
    [PAYMENT_EVENT_AUTHORIZED] = {"PaymentAuthorized", 17},
    [PAYMENT_EVENT_DECLINED] = {"PaymentDeclined", 15},
    [PAYMENT_EVENT_CAPTURED] = {"PaymentCaptured", 15},
    [PAYMENT_EVENT_VOIDED] = {"PaymentVoided", 13},
    [PAYMENT_EVENT_REFUNDED] = {"PaymentRefunded", 15},
};

static bool event_type_read(struct str type, enum payment_event_type *event_type)
{
    size_t index;
    if (!str_find(STR_LIST(event_types), type, &index)) {
        return false;
    }
    *event_type = (enum payment_event_type)index;
    return true;
}

static void draft_amount(struct event_draft *draft, struct money amount)
{
    event_draft_int(draft, STR("amount"), amount.amount);
    event_draft_text(draft, STR("currency"), currency_text(&amount.currency));
}

enum status payment_record(const struct payment_event *event, instant_us now, struct arena *arena,
                           struct decision *decision)
{
    struct event_draft draft;
    event_draft_begin(&draft, arena);
    switch (event->type) {
    case PAYMENT_EVENT_AUTHORIZED:
        draft_amount(&draft, event->amount);
        event_draft_instant(&draft, STR("authorized_at"), now);
        break;
    case PAYMENT_EVENT_DECLINED:
        event_draft_text(&draft, STR("code"), event->code);
        event_draft_text(&draft, STR("detail"), event->detail);
        event_draft_instant(&draft, STR("declined_at"), now);
        break;
    case PAYMENT_EVENT_CAPTURED:
        draft_amount(&draft, event->amount);
        event_draft_instant(&draft, STR("captured_at"), now);
        break;
    case PAYMENT_EVENT_VOIDED:
        event_draft_instant(&draft, STR("voided_at"), now);
        break;
    case PAYMENT_EVENT_REFUNDED:
        draft_amount(&draft, event->amount);
        event_draft_instant(&draft, STR("refunded_at"), now);
        break;
    }
    return decision_record(decision, 0, event_types[event->type], &draft);
}

bool payment_ask_authorize(struct uuid payment, const struct authorize_payment *command,
                           struct arena *arena, struct effect_request *request)
{
    struct event_draft draft;
    effect_draft_begin(&draft, STR("payment"), payment, arena);
    draft_amount(&draft, command->amount);
    event_draft_text(&draft, STR("token"), command->token);
    return effect_draft_end(&draft, STR("payment.authorize"), payment, STR("authorize"), arena,
                            request);
}

bool payment_ask_capture(struct uuid payment, struct money amount, struct arena *arena,
                         struct effect_request *request)
{
    struct event_draft draft;
    effect_draft_begin(&draft, STR("payment"), payment, arena);
    draft_amount(&draft, amount);
    return effect_draft_end(&draft, STR("payment.capture"), payment, STR("capture"), arena,
                            request);
}

bool payment_ask_undo(struct uuid payment, struct arena *arena, struct effect_request *request)
{
    struct event_draft draft;
    effect_draft_begin(&draft, STR("payment"), payment, arena);
    return effect_draft_end(&draft, STR("payment.undo"), payment, STR("undo"), arena, request);
}

enum status payment_read_answer(const struct effect_answer *effect, struct arena *arena,
                                struct provider_answer *answer)
{
    const struct json_value *body = NULL;
    if (effect->body.len > 0) {
        enum status status = json_read(effect->body, arena, &body);
        if (status != STATUS_OK) {
            return status;
        }
    }
    const struct json_value *captured = json_member(body, STR("captured"));
    *answer = (struct provider_answer){
        .asked = effect->outcome != EFFECT_NOT_ASKED,
        .done = effect->outcome == EFFECT_DONE,
        .captured = captured != NULL && captured->kind == JSON_BOOL && captured->boolean,
        .code = effect->code,
        .detail = effect->detail,
    };
    return STATUS_OK;
}

static const struct str status_texts[] = {
    [PAYMENT_NONE] = {"none", 4},         [PAYMENT_AUTHORIZED] = {"authorized", 10},
    [PAYMENT_DECLINED] = {"declined", 8}, [PAYMENT_CAPTURED] = {"captured", 8},
    [PAYMENT_VOIDED] = {"voided", 6},     [PAYMENT_REFUNDED] = {"refunded", 8},
};

static enum payment_status status_read(struct str text)
{
    size_t index = PAYMENT_NONE;
    (void)str_find(STR_LIST(status_texts), text, &index);
    return (enum payment_status)index;
}

void *payment_state_initial(struct arena *arena)
{
    return arena_alloc(arena, sizeof(struct payment));
}

enum status payment_state_evolve(void *state, const struct event_view *view, struct arena *arena)
{
    struct payment *payment = state;
    struct payment_event event;
    const struct json_value *data;
    if (!event_type_read(view->type, &event.type)) {
        return STATUS_OK;
    }
    enum status status = json_read_copy(view->data, arena, &data);
    if (status != STATUS_OK) {
        return status;
    }
    event.amount =
        (struct money){json_member_int(data, STR("amount")), read_currency(data, STR("currency"))};
    event.code = json_member_text(data, STR("code"));
    event.detail = json_member_text(data, STR("detail"));
    *payment = payment_evolve(*payment, &event);
    return STATUS_OK;
}

static void write_amount(struct json_writer *writer, struct str name, struct money money)
{
    json_name(writer, name);
    json_int(writer, money.amount);
}

enum status payment_state_encode(const void *state, struct buffer *out)
{
    const struct payment *payment = state;
    struct json_writer writer;
    json_writer_init(&writer, out);
    json_object_begin(&writer);
    json_name(&writer, STR("status"));
    json_string(&writer, status_texts[payment->status]);
    json_name(&writer, STR("currency"));
    json_string(&writer, currency_text(&payment->authorized.currency));
    write_amount(&writer, STR("authorized"), payment->authorized);
    write_amount(&writer, STR("captured"), payment->captured);
    write_amount(&writer, STR("refunded"), payment->refunded);
    if (payment->status == PAYMENT_DECLINED) {
        json_name(&writer, STR("code"));
        json_string(&writer, payment->decline_code);
        json_name(&writer, STR("detail"));
        json_string(&writer, payment->decline_detail);
    }
    json_object_end(&writer);
    return out->status;
}

enum status payment_state_decode(struct str bytes, struct arena *arena, void **state)
{
    const struct json_value *data;
    struct payment *payment = payment_state_initial(arena);
    if (payment == NULL) {
        return STATUS_NO_MEMORY;
    }
    enum status status = json_read_copy(bytes, arena, &data);
    if (status != STATUS_OK) {
        return status;
    }
    struct currency currency = read_currency(data, STR("currency"));
    payment->status = status_read(json_member_text(data, STR("status")));
    payment->authorized = (struct money){json_member_int(data, STR("authorized")), currency};
    payment->captured = (struct money){json_member_int(data, STR("captured")), currency};
    payment->refunded = (struct money){json_member_int(data, STR("refunded")), currency};
    payment->decline_code = json_member_text(data, STR("code"));
    payment->decline_detail = json_member_text(data, STR("detail"));
    *state = payment;
    return STATUS_OK;
}

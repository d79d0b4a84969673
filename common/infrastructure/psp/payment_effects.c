// SPDX-License-Identifier: Apache-2.0
// The effects payment.authorize, payment.capture and payment.undo (ARCHITECTURE.md, "Command
// payloads") by a payment provider.
#include "infrastructure/psp/payment_effects.h"

#include "infrastructure/psp/effect_body.h"

static bool operation_of(struct str name, enum payment_operation *operation)
{
    if (str_eq(name, STR("payment.authorize"))) {
        *operation = PAYMENT_AUTHORIZE;
    } else if (str_eq(name, STR("payment.capture"))) {
        *operation = PAYMENT_CAPTURE;
    } else if (str_eq(name, STR("payment.undo"))) {
        *operation = PAYMENT_UNDO;
    } else {
        return false;
    }
    return true;
}

static bool read_sum(struct str body, struct arena *arena, struct payment_call *call)
{
    return effect_body_int(body, STR("amount"), &call->amount) &&
           effect_body_text(body, STR("currency"), arena, &call->currency);
}

static bool read_call(const struct effect_request *request, enum payment_operation operation,
                      struct arena *arena, struct payment_call *call)
{
    *call = (struct payment_call){
        .operation = operation, .key = request->key, .token = STR(""), .currency = STR("")};
    if (!effect_body_text(request->body, STR("payment"), arena, &call->payment)) {
        return false;
    }
    switch (operation) {
    case PAYMENT_AUTHORIZE:
        return read_sum(request->body, arena, call) &&
               effect_body_text(request->body, STR("token"), arena, &call->token);
    case PAYMENT_CAPTURE:
        return read_sum(request->body, arena, call);
    case PAYMENT_UNDO:
        break;
    }
    return true;
}

static struct effect_result result_of(const struct payment_call *call,
                                      const struct payment_result *said)
{
    struct effect_result result = {.answered = said->outcome != PAYMENT_NO_ANSWER};
    result.answer = (struct effect_answer){
        .outcome = said->outcome == PAYMENT_DONE ? EFFECT_DONE : EFFECT_REFUSED,
        .code = said->code,
        .detail = said->detail,
        .body = STR("")};
    if (call->operation == PAYMENT_UNDO && said->outcome == PAYMENT_DONE) {
        result.answer.body =
            said->captured_before_undo ? STR("{\"captured\":true}") : STR("{\"captured\":false}");
    }
    return result;
}

static enum status perform(struct effect_runner *runner, const struct effect_request *requests,
                           size_t count, int timeout_ms, struct arena *arena,
                           struct effect_result *results)
{
    struct payment_provider *provider = ((struct payment_effects *)runner)->provider;
    struct payment_call *calls = arena_array(arena, count, sizeof(*calls));
    struct payment_result *said = arena_array(arena, count, sizeof(*said));
    size_t *asked = arena_array(arena, count, sizeof(*asked));
    size_t call_count = 0;
    if (calls == NULL || said == NULL || asked == NULL) {
        return STATUS_NO_MEMORY;
    }
    for (size_t at = 0; at < count; at++) {
        enum payment_operation operation = PAYMENT_UNDO;
        if (!operation_of(requests[at].operation, &operation)) {
            results[at] = (struct effect_result){.unknown = true};
        } else if (read_call(&requests[at], operation, arena, &calls[call_count])) {
            asked[call_count++] = at;
        } else {
            results[at] = effect_body_malformed();
        }
    }
    enum status status = call_count == 0 ? STATUS_OK
                                         : payment_provider_perform(provider, calls, call_count,
                                                                    timeout_ms, arena, said);
    for (size_t at = 0; at < call_count && status == STATUS_OK; at++) {
        results[asked[at]] = result_of(&calls[at], &said[at]);
    }
    return status;
}

struct payment_effects payment_effects(struct payment_provider *provider)
{
    static const struct effect_runner_ops ops = {.perform = perform};
    return (struct payment_effects){.port = {.ops = &ops}, .provider = provider};
}

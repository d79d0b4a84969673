// SPDX-License-Identifier: Apache-2.0
// The effects carrier.schedule and carrier.cancel (ARCHITECTURE.md, "Command payloads") by a
// carrier.
#include "infrastructure/psp/carrier_effects.h"

#include "infrastructure/psp/effect_body.h"

static bool operation_of(struct str name, enum carrier_operation *operation)
{
    if (str_eq(name, STR("carrier.schedule"))) {
        *operation = CARRIER_SCHEDULE;
    } else if (str_eq(name, STR("carrier.cancel"))) {
        *operation = CARRIER_CANCEL;
    } else {
        return false;
    }
    return true;
}

static bool read_call(const struct effect_request *request, enum carrier_operation operation,
                      struct arena *arena, struct carrier_call *call)
{
    *call = (struct carrier_call){
        .operation = operation, .key = request->key, .country = STR(""), .postal_code = STR("")};
    if (!effect_body_text(request->body, STR("shipment"), arena, &call->shipment)) {
        return false;
    }
    return operation == CARRIER_CANCEL ||
           (effect_body_text(request->body, STR("country"), arena, &call->country) &&
            effect_body_text(request->body, STR("postal_code"), arena, &call->postal_code));
}

static struct effect_result result_of(const struct carrier_result *said)
{
    return (struct effect_result){
        .answered = said->outcome != CARRIER_NO_ANSWER,
        .answer = {.outcome = said->outcome == CARRIER_DONE ? EFFECT_DONE : EFFECT_REFUSED,
                   .code = said->code,
                   .detail = said->detail,
                   .body = STR("")}};
}

static enum status perform(struct effect_runner *runner, const struct effect_request *requests,
                           size_t count, int timeout_ms, struct arena *arena,
                           struct effect_result *results)
{
    struct carrier *carrier = ((struct carrier_effects *)runner)->carrier;
    struct carrier_call *calls = arena_array(arena, count, sizeof(*calls));
    struct carrier_result *said = arena_array(arena, count, sizeof(*said));
    size_t *asked = arena_array(arena, count, sizeof(*asked));
    size_t call_count = 0;
    if (calls == NULL || said == NULL || asked == NULL) {
        return STATUS_NO_MEMORY;
    }
    for (size_t at = 0; at < count; at++) {
        enum carrier_operation operation = CARRIER_CANCEL;
        if (!operation_of(requests[at].operation, &operation)) {
            results[at] = (struct effect_result){.unknown = true};
        } else if (read_call(&requests[at], operation, arena, &calls[call_count])) {
            asked[call_count++] = at;
        } else {
            results[at] = effect_body_malformed();
        }
    }
    enum status status = call_count == 0
                             ? STATUS_OK
                             : carrier_perform(carrier, calls, call_count, timeout_ms, arena, said);
    for (size_t at = 0; at < call_count && status == STATUS_OK; at++) {
        results[asked[at]] = result_of(&said[at]);
    }
    return status;
}

struct carrier_effects carrier_effects(struct carrier *carrier)
{
    static const struct effect_runner_ops ops = {.perform = perform};
    return (struct carrier_effects){.port = {.ops = &ops}, .carrier = carrier};
}

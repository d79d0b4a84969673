// SPDX-License-Identifier: Apache-2.0
// Reads the body of an effect's request, JSON that a context has written.
#include "infrastructure/psp/effect_body.h"

#include "base/json_view.h"

bool effect_body_text(struct str body, struct str member, struct arena *arena, struct str *text)
{
    return json_view_string(json_view_member(body, member), arena, text) && text->len > 0;
}

bool effect_body_int(struct str body, struct str member, int64_t *number)
{
    return json_view_int(json_view_member(body, member), number);
}

struct effect_result effect_body_malformed(void)
{
    return (struct effect_result){
        .answered = true,
        .answer = {.outcome = EFFECT_REFUSED,
                   .code = STR("malformed_effect"),
                   .detail = STR("the request lacks what its operation needs"),
                   .body = STR("")}};
}

// SPDX-License-Identifier: Apache-2.0
// Writes a saga's decision down: its event, the next command, the timers (ARCHITECTURE.md, "The
// log's rows").
#pragma once

#include "application/handler/message_handler.h"
#include "application/saga/decide.h"

struct saga_transition {
    const struct saga_definition *definition;
    struct uuid saga; // the instance's stream
    size_t stream;    // its index among the declared streams
    const struct saga_state *before;
    const struct incoming *incoming;
    const struct saga_input *input;
    const struct saga_decision *decision; // neither IGNORE nor REFUSE
};

// Adds to the reaction. STATUS_MALFORMED: the start event cannot make a payload, *cause says which
// path it lacks; nothing of a saga that cannot go its whole way is begun.
enum status saga_transition_write(const struct saga_transition *transition, struct arena *arena,
                                  struct reaction *reaction, struct str *cause) MUST_CHECK;

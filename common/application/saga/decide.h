// SPDX-License-Identifier: Apache-2.0
// What a saga does next: SAGA.md's table as one pure function.
//
// Forward steps go up, compensations go down from the highest covered step: every step whose
// command was issued and not refused, the one in flight or timed out too. A reply or a timer that
// is not for the command that is out changes nothing.
#pragma once

#include <stdbool.h>

#include "application/saga/definition.h"
#include "application/saga/state.h"
#include "base/arena.h"

enum saga_cue {
    SAGA_ON_START,   // an event that starts sagas of this definition
    SAGA_ON_CANCEL,  // an event that cancels them; may come first
    SAGA_ON_OK,      // a reply
    SAGA_ON_REFUSED, // a reply
    SAGA_ON_TIMER,
    SAGA_ON_RETRY, // the operator's
    SAGA_ON_ABORT, // the operator's
};

// "start", "cancel", "ok", "refused", …
struct str saga_cue_name(enum saga_cue cue);

struct saga_input {
    enum saga_cue cue;
    struct saga_at at; // of a reply or a timer: what it is for; a reply's attempt does not matter
    struct str code;   // of a refusal
    struct str detail;
    bool spent; // of a timer: the step has had all the time that one gets; its attempts are over
};

enum saga_move {
    SAGA_MOVE_IGNORE,     // recorded by its inbox row only
    SAGA_MOVE_BEGIN,      // the instance starts: issue `next`
    SAGA_MOVE_ISSUE,      // issue `next`
    SAGA_MOVE_PARK,       // wait for a late answer or a person
    SAGA_MOVE_COMPLETE,   // the end: all done
    SAGA_MOVE_COMPENSATE, // the end: all undone
    SAGA_MOVE_REFUSE,     // an operator asks for what must not be: `refusal` says why
};

struct saga_decision {
    enum saga_move move;
    struct saga_at next;
    const struct saga_call *call; // of next
    bool has_cause;               // from here on it compensates because of code and detail
    struct str code;
    struct str detail;
    struct str label; // for metrics: "started", "advanced", "parked", …
    struct str refusal;
};

// The step that is out must be one of the definition's (saga_definition_call finds it), which has
// to be the version that the state began with.
struct saga_decision saga_decide(const struct saga_definition *definition,
                                 const struct saga_state *state, const struct saga_input *input,
                                 struct arena *arena);

// Counts and lists as parked: waiting for good, or asking without limit for long.
bool saga_is_parked(const struct saga_definition *definition, const struct saga_state *state);

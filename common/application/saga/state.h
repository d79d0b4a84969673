// SPDX-License-Identifier: Apache-2.0
// An instance of a saga, folded from the events of its stream. Knows no definition: steps by name.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "application/saga/definition.h"
#include "base/str.h"
#include "base/uuid.h"
#include "domain/bounded_context.h"

// Category of the instances' streams and, with the definition's name, actor of their rows.
#define SAGA_CATEGORY STR("saga")

enum { SAGA_CODE_MAX = 64, SAGA_DETAIL_MAX = 500 };

// The events of an instance's stream.
#define SAGA_STARTED STR("SagaStarted")
#define SAGA_ADVANCED STR("SagaAdvanced")
#define SAGA_PARKED_EVENT STR("SagaParked")
#define SAGA_COMPLETED STR("SagaCompleted")
#define SAGA_COMPENSATED_EVENT STR("SagaCompensated")

enum saga_phase {
    SAGA_NONE,        // no such instance yet
    SAGA_RUNNING,     // a command is out, its timer is set
    SAGA_PARKED,      // waits for a late answer or for a person
    SAGA_DONE,        // every step is done
    SAGA_COMPENSATED, // all is undone and the last word said
};

// "running", "parked", …
struct str saga_phase_name(enum saga_phase phase);

// The command that is out.
struct saga_at {
    struct str step;
    enum saga_direction direction;
    int32_t attempt; // from 1
    int32_t retry;   // how often an operator has begun its attempts afresh
};

struct saga_state {
    enum saga_phase phase;
    struct str saga;
    int32_t version; // of the definition that it began with, and ends on
    struct uuid subject;
    struct str start; // JSON data of the start event; empty: a cancellation started it
    struct str correlation_id;
    struct str traceparent;
    struct saga_at at;
    struct str code; // why it compensates; empty going forward
    struct str detail;
};

// Its states are `struct saga_state`.
const struct fold *saga_fold(void);

// The id of the command that is out at a place, and of its timer.
struct uuid saga_command_id(struct uuid saga, const struct saga_at *at);
struct uuid saga_timer_id(struct uuid command);

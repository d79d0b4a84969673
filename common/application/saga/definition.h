// SPDX-License-Identifier: Apache-2.0
// A saga as its file declares it: steps, compensations, the pivot, times. Immutable once read.
//
// All that the engine knows of a saga's subject stands in the file; see docs/sagas.md for its
// members. Steps before the pivot are undone by their compensations; from the pivot on nothing is
// undone: those steps, and the one that ends a compensated saga, are asked without limit.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/status.h"
#include "base/str.h"
#include "base/uuid.h"
#include "domain/fault_list.h"

enum {
    SAGA_STEPS_MAX = 16,
    SAGA_TRIGGERS_MAX = 8,
    SAGA_DEFINITIONS_MAX = 64,
    SAGA_NAMES_PER_EVENT_MAX = 4, // sagas that one event starts or cancels: a reaction's timers
    SAGA_FILE_BYTES_MAX = 256 * 1024,
    SAGA_NAME_MAX = 48,
    SAGA_ATTEMPTS_MAX = 20,
    SAGA_TIMEOUT_S_MAX = 7 * 24 * 3600,
};

enum saga_direction { SAGA_FORWARD, SAGA_COMPENSATE };

// "forward" or "compensate", as in commands, replies and timers.
struct str saga_direction_name(enum saga_direction direction);
bool saga_direction_read(struct str name, enum saga_direction *direction);

// An event that starts or cancels.
struct saga_trigger {
    struct str category;
    struct str type;
    struct str example; // JSON of such an event's data; the payloads are tried on it at start
};

// A command of the saga, forward or compensating.
struct saga_call {
    struct str name;    // of the step; unique within the saga
    struct str command; // full name; also the routing key
    struct str verb;    // the command's type
    struct str stream;  // role of the target, or "subject"
    struct str payload; // template, see payload.h
    int32_t timeout_s;
    bool ask_without_limit;
};

struct saga_step {
    struct saga_call forward;
    struct saga_call compensation; // of steps before the pivot; else its name is empty
};

struct saga_definition {
    struct str file;
    struct str name;
    struct str role; // "saga:<name>": the instance's stream is derived from the subject's with it
    int32_t version;
    struct saga_trigger starts_on[SAGA_TRIGGERS_MAX];
    size_t starts_on_count;
    struct saga_trigger cancelled_by[SAGA_TRIGGERS_MAX];
    size_t cancelled_by_count;
    int32_t attempts;     // of a step, before it is compensated or parked
    int32_t parked_after; // asks without limit that are counted as parked after so many
    struct saga_step steps[SAGA_STEPS_MAX];
    size_t step_count;
    size_t pivot;               // index of the step after which nothing is undone
    struct saga_call otherwise; // the last word when all is undone
};

// What the process's settings put over the files. 0: as the file says.
struct saga_overrides {
    int32_t attempts;
    int32_t timeout_s;
};

// Reads one file's bytes, checked against the contexts linked in: every command exists and every
// payload, made from the examples, is one that its command accepts. STATUS_INVALID: see faults,
// each with a JSON pointer into the file. Views point into `bytes`, which outlives the definition.
enum status saga_definition_read(struct str file, struct str bytes, struct saga_overrides overrides,
                                 struct arena *arena, struct fault_list *faults,
                                 struct saga_definition *definition) MUST_CHECK;

// All definitions that a process runs; several versions of a saga stand side by side.
struct saga_definitions {
    struct saga_definition items[SAGA_DEFINITIONS_MAX];
    size_t count;
};

// STATUS_INVALID: *cause says which two files clash; STATUS_FULL past SAGA_DEFINITIONS_MAX, or when
// more than SAGA_NAMES_PER_EVENT_MAX sagas want one event.
enum status saga_definitions_add(struct saga_definitions *definitions,
                                 const struct saga_definition *definition, struct arena *arena,
                                 struct str *cause) MUST_CHECK;

// NULL: not loaded.
const struct saga_definition *saga_definitions_find(const struct saga_definitions *definitions,
                                                    struct str name, int32_t version);

// The newest version; NULL: none of that name.
const struct saga_definition *saga_definitions_newest(const struct saga_definitions *definitions,
                                                      struct str name);

// A call by its step's name and direction. *index: of the step; the step count for `otherwise`.
const struct saga_call *saga_definition_call(const struct saga_definition *definition,
                                             struct str step, enum saga_direction direction,
                                             size_t *index);

bool saga_definition_starts_on(const struct saga_definition *definition, struct str category,
                               struct str type);
bool saga_definition_cancelled_by(const struct saga_definition *definition, struct str category,
                                  struct str type);

// A silent step must end by its timeout and not in the dead letters: the ladder's delays together
// outlast attempts × timeout of every step with a limit. False: *cause names the step and both
// sums.
bool saga_definition_fits_ladder(const struct saga_definition *definition, const int32_t *delays_s,
                                 size_t delay_count, struct arena *arena, struct str *cause);

// Whoever waits for a queue waits longer than for an answer: patience_s is more than attempts ×
// timeout of every step with a limit, and than the timeout of one without. False: *cause names the
// step and both.
bool saga_definition_fits_patience(const struct saga_definition *definition, int64_t patience_s,
                                   struct arena *arena, struct str *cause);

struct uuid saga_stream(const struct saga_definition *definition, struct uuid subject);

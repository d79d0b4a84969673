// SPDX-License-Identifier: Apache-2.0
// A world small enough for a unit test: streams in memory, and commands run through the seam as the
// engine would, with lookups, foreign documents and effects, but without any engine.
#pragma once

#include "base/arena.h"
#include "domain/bounded_context.h"

enum { WORLD_STREAMS_MAX = 128 };

struct world_event {
    struct event_view view;
    struct world_event *next;
};

struct world_stream {
    struct uuid id;
    struct str category;
    struct world_event *first;
    struct world_event *last;
    int32_t version;
    void *state; // the aggregate's, evolved along
};

struct world;

// Plays the other side. May answer anything, EFFECT_NOT_ASKED means: no answer, the command is
// tried again later and changes nothing now.
typedef struct effect_answer world_effect_fn(struct world *world,
                                             const struct effect_request *request);

struct world {
    struct arena arena;
    struct str tenant;
    instant_us now; // of the next command; moves on by one millisecond a command
    struct world_stream streams[WORLD_STREAMS_MAX];
    size_t stream_count;
    world_effect_fn *perform;
    void *other_side; // for perform
};

// What became of a command.
struct world_result {
    bool unanswered;               // the other side was silent; nothing happened
    bool asked;                    // an effect was asked for
    struct effect_request request; // which
    struct fault_list faults;      // of parse and of decide together
    struct decision decision;      // ACCEPTED only when there are no faults
    struct stream_refs streams;
};

void world_init(struct world *world);
void world_free(struct world *world);

struct world_stream *world_stream(struct world *world, struct uuid id, struct str category);

// Lets something have happened.
void world_given(struct world *world, struct uuid stream, struct str category, const char *type,
                 const char *data);

// Runs a command to its end and appends its events. The result lives until world_free.
const struct world_result *world_when(struct world *world, const char *full_name,
                                      struct uuid target, const char *actor, const char *body);

// The encoded state of a stream; the encoded document of a collection's projection.
struct str world_state(struct world *world, struct uuid stream, struct str category);
struct str world_document(struct world *world, struct uuid stream, struct str collection);

// True: folding the stream's events from the start, and decoding the encoded state at any point and
// going on from there, both lead to the same bytes.
bool world_folds_alike(struct world *world, const struct world_stream *stream);

// How many events of a type a stream has.
int world_count(struct world *world, struct uuid stream, struct str category, const char *type);

bool world_has_fault(const struct world_result *result, const char *pointer);

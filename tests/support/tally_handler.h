// SPDX-License-Identifier: Apache-2.0
// A handler for tests of handler_batch, and the words to drive a batch with literals: each letter
// in a message's data is a stream that it adds to; a stream's state is how many additions it has
// seen.
#pragma once

#include "application/handler/handler_batch.h"
#include "application/handler/state_cache.h"

extern const struct fold tally_fold; // version 3
extern const struct message_handler tally_handler;

extern struct arena tally_arena;
extern struct state_cache *tally_cache;          // NULL until a test makes one
extern const struct handler_limits tally_limits; // a second of losing, a snapshot every ten events
extern int64_t tally_now_ms;                     // the batch's clock

void tally_open(void);
void tally_close(void);

// types: "add"; "once" adds only to empty streams; "outside" asks for an effect first; "unreadable"
// is poison at once, "senseless" when decided.
struct incoming tally_message(unsigned char id, const char *type, const char *letters);

struct handler_batch *tally_given(const struct incoming *messages, size_t count);
void tally_expect(struct handler_batch *batch, enum handler_want want);
// Every stream asked for holds `count` additions after the version asked for.
void tally_when_streams_hold(struct handler_batch *batch, int32_t count);
const struct append_item *tally_when_it_appends(struct handler_batch *batch, size_t *count);
int tally_when_it_rests(struct handler_batch *batch); // until it may go on; how long that was
void tally_when_all_appended(struct handler_batch *batch);
void tally_when_verdict(struct handler_batch *batch, struct append_verdict verdict);
void tally_then_outcomes(struct handler_batch *batch, const enum message_outcome *outcomes,
                         size_t count);

#define THEN(batch, ...)                                                \
    tally_then_outcomes((batch), (enum message_outcome[]){__VA_ARGS__}, \
                        sizeof((enum message_outcome[]){__VA_ARGS__}) / \
                            sizeof(enum message_outcome))

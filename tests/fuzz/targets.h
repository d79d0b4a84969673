// SPDX-License-Identifier: Apache-2.0
// Everything that reads bytes from outside, as functions of one input: libFuzzer drives them (`make
// fuzz`), and a unit test replays tests/fuzz/corpus through them.
#pragma once

#include <stddef.h>

#include "base/str.h"

struct fuzz_target {
    const char *name; // its folder in tests/fuzz/corpus
    // Reads the input and aborts when a promise of a reader is broken; keeps nothing.
    void (*run)(struct str input);
};

// NULL: there is none of that name.
const struct fuzz_target *fuzz_target_find(struct str name);

void fuzz_json(struct str input);
void fuzz_command(struct str input);  // first byte: which command; then its body
void fuzz_token(struct str input);    // a token as it comes; and as the payload of one well signed
void fuzz_header(struct str input);   // headers, ids, positions, addresses
void fuzz_event(struct str input);    // the body of a message
void fuzz_saga(struct str input);     // a saga's definition
void fuzz_setting(struct str input);  // a settings file
void fuzz_document(struct str input); // a value in Redis
void fuzz_frame(struct str input);    // an AMQP header frame and the body pieces after it
void fuzz_rows(struct str input);     // PostgreSQL's answers: first byte: which statement's

// Ends the process: a reader did what it promises not to do.
#define FUZZ_MUST(condition) ((condition) ? (void)0 : fuzz_broken(#condition, __FILE__, __LINE__))
void fuzz_broken(const char *what, const char *file, int line);

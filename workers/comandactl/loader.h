// SPDX-License-Identifier: Apache-2.0
// Runs commands from a file of JSON lines through their deciders and the event store, in batches.
#pragma once

#include "application/ports/event_store.h"
#include "command.h"
#include "domain/bounded_context.h"

enum { LOAD_BATCH_MAX = 256, LOAD_LINE_BYTES_MAX = 64 * 1024, LOAD_FAULTS_MAX = 20 };

struct load_job {
    struct str command;     // full name: "catalogue.list_product"
    struct str name_member; // the member whose text names the stream, "sku"
    bool name_outside;      // it is no part of the command's body: it is taken out of the line
    // Each line counts once, however often the same file is loaded: an inbox row by the file's
    // digest and the line's number commits with it. False: the decider says what a repeat is.
    bool once;
    struct str receipt_member; // gets "<file's digest, 16 characters>:<line>" where a line lacks it
};

struct load_report {
    int64_t lines;
    int64_t loaded;    // with an event
    int64_t unchanged; // accepted, and already so
    int64_t already;   // loaded before from the same file
};

// Reads FILE (the verb's argument) twice: all of it is checked before anything is loaded. Says what
// is wrong by line.
enum ctl_exit load_file(struct ctl *ctl, const struct load_job *job);

// One line on its way, as the reader of the file hands it to the batch.
struct load_line {
    int64_t number; // from 1
    struct command command;
    struct uuid inbox; // nil: none
};

// Decides and appends the lines; no two name the same stream. STATUS_INVALID: *cause names the line
// and why it is refused; those of other lines of this batch may be loaded.
struct load_batch {
    struct event_store *store;
    const struct command_type *type;
    const struct bounded_context *context;
    struct str actor;
};
enum status load_batch_run(const struct load_batch *batch, const struct load_line *lines,
                           size_t count, struct arena *arena, struct load_report *report,
                           struct str *cause) MUST_CHECK;

// SPDX-License-Identifier: Apache-2.0
// What every daemon has: settings, signals, log, probes and metrics on a port, readiness by
// dependency, loops that run until SIGTERM and are drained.
//
// SIGTERM and SIGINT ask the loops to finish what is in hand and return; SIGHUP reads the settings
// again and applies what may change while running (COMANDA_LOG_LEVEL).
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/instant.h"
#include "infrastructure/config/settings.h"
#include "runtime/server_settings.h"

// COMANDA_PROBE, COMANDA_PROBE_FILE, COMANDA_LOG_LEVEL, COMANDA_DRAIN,
// COMANDA_STALL
extern const struct setting_group runtime_settings;

enum { RUNTIME_CHECKS_MAX = 16, RUNTIME_LOOPS_MAX = 8 };

struct runtime;

// Opens the log, takes the signals, serves the probes. Exits 1 when the probe port cannot be had.
struct runtime *runtime_start_or_exit(const struct settings *settings);

const struct settings *runtime_settings_of(const struct runtime *runtime);

// True once the process was asked to end; loops look at it at least every half second.
bool runtime_stopping(const struct runtime *runtime);

// Sleeps, but not past the request to end. False: it came.
bool runtime_sleep(const struct runtime *runtime, int ms);

// One thing that readiness depends on ("postgres", "rabbitmq", "schema"). It is not ready until a
// first readiness_set says so. Thread-safe; name is a literal.
void readiness_need(struct runtime *runtime, const char *name);
// Logs when `ready` or the detail changes. detail: a sentence, copied.
void readiness_set(struct runtime *runtime, const char *name, bool ready, const char *detail);
// It is away and not needed: ready, with the detail; logged when that changes.
void readiness_miss(struct runtime *runtime, const char *name, const char *detail);

// A loop of the daemon: works until runtime_stopping, then finishes and returns. 0: in order.
struct runtime_loop {
    const char *name;
    int (*run)(struct runtime *runtime, void *context);
    void *context;
};

// Runs the loops, one thread each (one alone in the caller's), until all have returned; gives the
// exit code. A loop that returns by itself ends the process. The runtime is gone afterwards.
int runtime_run(struct runtime *runtime, const struct runtime_loop *loops, size_t count);

// The wall clock, µs: this machine's, set right by runtime_follow_clock. It may jump.
instant_us runtime_now(void);
// What time it is just now where deadlines are judged. From then on runtime_now goes by that clock,
// so that a machine whose clock is wrong sets no deadline wrong. Thread-safe.
void runtime_follow_clock(instant_us now);
// A clock that never jumps, ms.
int64_t runtime_monotonic_ms(void);
// For jitter.
uint32_t runtime_random(void);

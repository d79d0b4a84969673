// SPDX-License-Identifier: Apache-2.0
// What every daemon has: settings, signals, log, probes and metrics on a port, readiness by
// dependency, loops that run until SIGTERM and are drained.
#define _GNU_SOURCE // environ
#include "runtime/runtime.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/monotonic.h"
#include "infrastructure/telemetry/log.h"
#include "runtime/probes.h"
#include "runtime/readiness.h"
#include "runtime/signals.h"

struct loop_slot {
    struct runtime *runtime;
    struct runtime_loop loop;
    pthread_t thread;
    _Atomic int64_t turned_at_ms; // when it last looked whether it should stop; 0: not running
    int exit_code;
};

struct runtime {
    const struct settings *settings;
    struct readiness readiness;
    struct probes *probes;
    int64_t stall_ms;
    struct loop_slot slots[RUNTIME_LOOPS_MAX];
    size_t slot_count;
};

static _Thread_local struct loop_slot *own_slot;

static const struct setting runtime_items[] = {
    {"COMANDA_PROBE", SETTING_ADDRESS, "127.0.0.1:0", 0, 0, NULL,
     "Where /healthz, /readyz and /metrics are served"},
    {"COMANDA_PROBE_FILE", SETTING_TEXT, "", 0, 4000, NULL,
     "A file that gets the address that the probes were given, for port 0"},
    {"COMANDA_LOG_LEVEL", SETTING_CHOICE, "info", 0, 0, LOG_LEVEL_CHOICES,
     "The least level that is logged; read again at SIGHUP"},
    {"COMANDA_DRAIN", SETTING_MS, "25s", 1000, 600000, NULL,
     "After SIGTERM: how long what is in hand may take before the process ends by force"},
    {"COMANDA_STALL", SETTING_MS, "120s", 5000, 3600000, NULL,
     "A loop that has not turned for so long makes /healthz fail"},
};
const struct setting_group runtime_settings = SETTING_GROUP(runtime_items);

static bool is_healthy(void *context, struct buffer *out)
{
    struct runtime *runtime = context;
    int64_t now = runtime_monotonic_ms();
    for (size_t at = 0; at < runtime->slot_count; at++) {
        int64_t turned = atomic_load(&runtime->slots[at].turned_at_ms);
        if (turned != 0 && now - turned > runtime->stall_ms) {
            buffer_printf(out, "the %s loop has not turned for %lld ms\n",
                          runtime->slots[at].loop.name, (long long)(now - turned));
            return false;
        }
    }
    buffer_add(out, STR("ok\n"));
    return true;
}

static bool is_ready(void *context, struct buffer *out)
{
    struct runtime *runtime = context;
    return readiness_render(&runtime->readiness, out);
}

// Written beside and renamed, so that a reader never sees half an address.
static void write_probe_file(const struct runtime *runtime, const char *path)
{
    char beside[4096];
    if (path[0] == '\0') {
        return;
    }
    (void)snprintf(beside, sizeof(beside), "%s.new", path);
    FILE *file = fopen(beside, "we");
    bool written = file != NULL && fprintf(file, "%s\n", probes_address(runtime->probes)) > 0;
    written = file != NULL && fclose(file) == 0 && written;
    if (!written || rename(beside, path) != 0) {
        log_line(LOG_ERROR, "COMANDA_PROBE_FILE cannot be written", log_text("path", path));
        exit(EXIT_FAILURE);
    }
}

static void start_probes_or_exit(struct runtime *runtime)
{
    const struct probe_source source = {
        .context = runtime, .healthy = is_healthy, .ready = is_ready};
    const char *address = settings_text(runtime->settings, "COMANDA_PROBE");
    const char *fault = "no memory";
    runtime->probes = probes_start(address, &source, &fault);
    if (runtime->probes == NULL) {
        log_line(LOG_ERROR, "COMANDA_PROBE: cannot listen there", log_text("address", address),
                 log_text("cause", fault));
        exit(EXIT_FAILURE);
    }
    write_probe_file(runtime, settings_text(runtime->settings, "COMANDA_PROBE_FILE"));
    log_line(LOG_INFO, "started", log_text("probes", probes_address(runtime->probes)),
             log_int("pid", getpid()));
}

struct runtime *runtime_start_or_exit(const struct settings *settings)
{
    struct runtime *runtime = calloc(1, sizeof(*runtime));
    if (runtime == NULL) {
        abort();
    }
    runtime->settings = settings;
    runtime->stall_ms = settings_int(settings, "COMANDA_STALL");
    readiness_init(&runtime->readiness);
    log_open(settings_program(settings),
             (enum log_level)settings_choice(settings, "COMANDA_LOG_LEVEL"));
    signals_take((int)((settings_int(settings, "COMANDA_DRAIN") + 999) / 1000));
    start_probes_or_exit(runtime);
    return runtime;
}

const struct settings *runtime_settings_of(const struct runtime *runtime)
{
    return runtime->settings;
}

static void reload(const struct settings *settings)
{
    struct str fault = STR("");
    struct arena arena;
    struct settings *again = NULL;
    arena_init(&arena, 64 * 1024, 4 * 1024 * 1024);
    if (settings_load(settings_table_of(settings), settings_path(settings), environ, &arena, &again,
                      &fault) == STATUS_OK) {
        log_set_level((enum log_level)settings_choice(again, "COMANDA_LOG_LEVEL"));
        log_line(LOG_INFO, "settings read again",
                 log_text("level", settings_text(again, "COMANDA_LOG_LEVEL")));
    } else {
        log_line(LOG_ERROR, "settings not read again; the old ones stay", log_str("cause", fault));
    }
    arena_free(&arena);
}

bool runtime_stopping(const struct runtime *runtime)
{
    if (own_slot != NULL) {
        atomic_store_explicit(&own_slot->turned_at_ms, runtime_monotonic_ms(),
                              memory_order_relaxed);
    }
    if (signals_reload_taken()) {
        reload(runtime->settings);
    }
    return signals_end_asked();
}

bool runtime_sleep(const struct runtime *runtime, int ms)
{
    int64_t until = runtime_monotonic_ms() + ms;
    while (!runtime_stopping(runtime)) {
        int64_t left = until - runtime_monotonic_ms();
        if (left <= 0) {
            return true;
        }
        (void)signals_wait_end(left > 500 ? 500 : (int)left);
    }
    return false;
}

void readiness_need(struct runtime *runtime, const char *name)
{
    readiness_add(&runtime->readiness, name);
}

void readiness_set(struct runtime *runtime, const char *name, bool ready, const char *detail)
{
    if (readiness_update(&runtime->readiness, name, ready, detail)) {
        log_line(ready ? LOG_INFO : LOG_WARNING, ready ? "is there" : "is not there",
                 log_text("dependency", name), log_text("detail", detail));
    }
}

void readiness_miss(struct runtime *runtime, const char *name, const char *detail)
{
    if (readiness_update(&runtime->readiness, name, true, detail)) {
        log_line(LOG_WARNING, "is away; the work goes on without it", log_text("dependency", name),
                 log_text("detail", detail));
    }
}

static void *run_slot(void *context)
{
    struct loop_slot *slot = context;
    own_slot = slot;
    atomic_store(&slot->turned_at_ms, runtime_monotonic_ms());
    slot->exit_code = slot->loop.run(slot->runtime, slot->loop.context);
    atomic_store(&slot->turned_at_ms, 0);
    own_slot = NULL;
    if (!signals_end_asked()) { // one loop alone is no daemon: the others drain too
        log_line(LOG_ERROR, "a loop has ended by itself", log_text("loop", slot->loop.name));
        (void)kill(getpid(), SIGTERM);
        slot->exit_code = slot->exit_code == 0 ? EXIT_FAILURE : slot->exit_code;
    }
    return NULL;
}

int runtime_run(struct runtime *runtime, const struct runtime_loop *loops, size_t count)
{
    int exit_code = 0;
    if (count == 0 || count > RUNTIME_LOOPS_MAX) {
        abort(); // a composition root is written by us
    }
    runtime->slot_count = count;
    for (size_t at = 0; at < count; at++) {
        runtime->slots[at] = (struct loop_slot){.runtime = runtime, .loop = loops[at]};
    }
    for (size_t at = 1; at < count; at++) {
        if (pthread_create(&runtime->slots[at].thread, NULL, run_slot, &runtime->slots[at]) != 0) {
            abort();
        }
    }
    (void)run_slot(&runtime->slots[0]);
    for (size_t at = 1; at < count; at++) {
        (void)pthread_join(runtime->slots[at].thread, NULL);
    }
    for (size_t at = 0; at < count; at++) {
        exit_code = exit_code != 0 ? exit_code : runtime->slots[at].exit_code;
    }
    log_line(LOG_INFO, "ended", log_int("exit_code", exit_code));
    probes_stop(runtime->probes);
    free(runtime);
    return exit_code;
}

enum { CLOCK_OFF_US = 1000000 }; // worth a word

static _Atomic int64_t clock_ahead_us; // how far the clock that we follow is ahead of ours

static instant_us own_clock(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (instant_us)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

instant_us runtime_now(void)
{
    return own_clock() + clock_ahead_us;
}

static bool is_off(int64_t ahead_us)
{
    return ahead_us < -CLOCK_OFF_US || ahead_us > CLOCK_OFF_US;
}

void runtime_follow_clock(instant_us now)
{
    int64_t ahead_us = now - own_clock();
    int64_t before_us = atomic_exchange(&clock_ahead_us, ahead_us);
    if (is_off(ahead_us) && !is_off(before_us)) {
        log_line(LOG_WARNING,
                 "this machine's clock is not PostgreSQL's, which deadlines go by: see to its NTP",
                 log_int("behind_ms", ahead_us / 1000));
    }
}

int64_t runtime_monotonic_ms(void)
{
    return monotonic_ms();
}

uint32_t runtime_random(void)
{
    uint32_t random = 0;
    if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random)) {
        random = (uint32_t)runtime_now();
    }
    return random;
}

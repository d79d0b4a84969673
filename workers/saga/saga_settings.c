// SPDX-License-Identifier: Apache-2.0
// The saga daemon's own settings, and the sagas that they lead to.
#include "saga_settings.h"

#include <stdlib.h>

#include "infrastructure/config/saga_files.h"
#include "infrastructure/telemetry/log.h"
#include "runtime/consumer.h"

enum { FAULTS_BYTES_MAX = 16 * 1024, SAGAS_BYTES_MAX = 64 * 1024 * 1024 };

static const struct setting saga_items[] = {
    {"COMANDA_SAGAS", SETTING_TEXT, NULL, 1, 4000, NULL,
     "The folder of the sagas' definitions, *.json"},
    {"COMANDA_SAGA_ATTEMPTS", SETTING_INTEGER, "0", 0, SAGA_ATTEMPTS_MAX, NULL,
     "How often a step is asked before it is undone or parked; 0 for what the definition says"},
    {"COMANDA_SAGA_TIMEOUT", SETTING_MS, "0ms", 0, (int64_t)SAGA_TIMEOUT_S_MAX * 1000, NULL,
     "How long each step may take, in whole seconds; 0 for what the definition says"},
    {"COMANDA_SAGA_PATIENCE", SETTING_MS, "10m", 1000, (int64_t)SAGA_TIMEOUT_S_MAX * 1000, NULL,
     "How long a step whose command still waits in a queue may wait in all, in whole seconds"},
    {"COMANDA_TIMER_POLL", SETTING_MS, "250ms", 10, 60000, NULL,
     "How often due timers are looked for while there are none"},
    {"COMANDA_TIMER_BATCH", SETTING_INTEGER, "128", 1, HANDLER_BATCH_MAX, NULL,
     "Timers handled in one transaction, at most"},
    {"COMANDA_TIMER_CLAIM", SETTING_MS, "30s", 1000, 3600000, NULL,
     "After so long a timer that was claimed by a process that died is due again"},
};

static struct saga_overrides overrides_of(const struct settings *settings)
{
    return (struct saga_overrides){
        .attempts = (int32_t)settings_int(settings, "COMANDA_SAGA_ATTEMPTS"),
        .timeout_s = (int32_t)(settings_int(settings, "COMANDA_SAGA_TIMEOUT") / 1000)};
}

static bool fit_ladder(const struct settings *settings, const struct saga_definitions *definitions,
                       struct arena *arena, struct str *fault)
{
    int32_t ladder_s = (int32_t)(consumer_ladder_ms(settings) / 1000);
    for (size_t i = 0; i < definitions->count; i++) {
        if (!saga_definition_fits_ladder(&definitions->items[i], &ladder_s, 1, arena, fault)) {
            return false;
        }
    }
    return true;
}

static bool outlasts_steps(const struct settings *settings,
                           const struct saga_definitions *definitions, struct arena *arena,
                           struct str *fault)
{
    int64_t patience_s = settings_int(settings, "COMANDA_SAGA_PATIENCE") / 1000;
    for (size_t i = 0; i < definitions->count; i++) {
        struct str cause = STR("");
        if (!saga_definition_fits_patience(&definitions->items[i], patience_s, arena, &cause)) {
            *fault = arena_printf(arena, "COMANDA_SAGA_PATIENCE: %.*s", STR_FMT(cause));
            return false;
        }
    }
    return true;
}

static bool check(const struct settings *settings, struct arena *arena, struct str *fault)
{
    struct buffer faults;
    struct arena scratch;
    if (settings_int(settings, "COMANDA_SAGA_TIMEOUT") % 1000 != 0) {
        *fault = STR("COMANDA_SAGA_TIMEOUT: wants whole seconds, such as 20s");
        return false;
    }
    if (settings_int(settings, "COMANDA_SAGA_PATIENCE") % 1000 != 0) {
        *fault = STR("COMANDA_SAGA_PATIENCE: wants whole seconds, such as 600s");
        return false;
    }
    arena_init(&scratch, 256 * 1024, SAGAS_BYTES_MAX);
    buffer_init(&faults, &scratch, FAULTS_BYTES_MAX);
    struct saga_definitions *definitions = arena_alloc(&scratch, sizeof *definitions);
    struct str found = STR("no memory for the sagas");
    bool fine = definitions != NULL &&
                saga_files_load(settings_text(settings, "COMANDA_SAGAS"), overrides_of(settings),
                                &scratch, definitions, &faults) == STATUS_OK;
    if (!fine && faults.len > 0) {
        found = (struct str){faults.data, faults.len - 1}; // but the last line's end
    }
    fine = fine && fit_ladder(settings, definitions, &scratch, &found);
    if (!fine) {
        *fault = arena_printf(arena, "COMANDA_SAGAS: %.*s", STR_FMT(found));
    }
    fine = fine && outlasts_steps(settings, definitions, arena, fault);
    arena_free(&scratch);
    return fine;
}

const struct setting_group saga_settings = SETTING_GROUP_CHECKED(saga_items, check);

const struct saga_definitions *saga_definitions_load_or_exit(const struct settings *settings)
{
    static struct arena arena;
    static struct saga_definitions definitions;
    struct buffer faults;
    arena_init(&arena, 256 * 1024, SAGAS_BYTES_MAX);
    buffer_init(&faults, &arena, FAULTS_BYTES_MAX);
    if (saga_files_load(settings_text(settings, "COMANDA_SAGAS"), overrides_of(settings), &arena,
                        &definitions, &faults) != STATUS_OK) {
        log_line(LOG_ERROR, "the sagas cannot be loaded", log_str("cause", buffer_view(&faults)));
        exit(EXIT_FAILURE);
    }
    return &definitions;
}

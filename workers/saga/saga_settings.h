// SPDX-License-Identifier: Apache-2.0
// The saga daemon's own settings, and the sagas that they lead to.
#pragma once

#include "application/saga/definition.h"
#include "infrastructure/config/settings.h"

// COMANDA_SAGAS, COMANDA_SAGA_ATTEMPTS, COMANDA_SAGA_TIMEOUT, COMANDA_SAGA_PATIENCE,
// COMANDA_TIMER_POLL, COMANDA_TIMER_BATCH, COMANDA_TIMER_CLAIM. Checked together with the ladder's
// delays: the files are read, and the ladder and the patience outlast every step that has a limit.
extern const struct setting_group saga_settings;

// The definitions that the settings name; they live until the process ends. Exits 1 on no memory:
// the check has found everything else.
const struct saga_definitions *saga_definitions_load_or_exit(const struct settings *settings);

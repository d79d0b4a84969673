// SPDX-License-Identifier: Apache-2.0
// Where the servers are, and whose data: the settings that daemons share.
#pragma once

#include "base/arena.h"
#include "infrastructure/config/settings.h"
#include "infrastructure/rabbitmq/settings.h"

extern const struct setting_group postgres_settings; // COMANDA_POSTGRES
extern const struct setting_group amqp_settings;     // COMANDA_AMQP
extern const struct setting_group redis_settings;    // COMANDA_REDIS
// COMANDA_SAGA_ATTEMPTS, COMANDA_SAGA_TIMEOUT: the saga daemon's, and the operator's who does its
// work.
extern const struct setting_group saga_override_settings;

// What COMANDA_AMQP says, already checked, with the program's name; in the arena.
struct rabbitmq_settings amqp_settings_read(const struct settings *settings, struct arena *arena);

// SPDX-License-Identifier: Apache-2.0
// The relay's settings: what they are unless chosen, and their limits.
#include "application/relay/relay.h"

struct relay_settings relay_settings_default(void)
{
    return (struct relay_settings){
        .batch = 512,
        .poll_min_ms = 2,
        .poll_max_ms = 50,
        .checkpoint_ms = 50,
        .renew_ms = 2000,
        .acquire_ms = 1000,
        .topology_ms = 5000,
        .stop_ms = 5000,
        .retry = {.first_ms = 100, .limit_ms = 5000},
    };
}

bool relay_settings_sound(const struct relay_settings *settings)
{
    return settings->batch >= 1 && settings->batch <= RELAY_BATCH_MAX &&
           settings->poll_min_ms >= 1 && settings->poll_max_ms >= settings->poll_min_ms &&
           settings->checkpoint_ms >= 0 && settings->renew_ms >= 1 && settings->acquire_ms >= 1 &&
           settings->topology_ms >= 1 && settings->stop_ms >= 0;
}

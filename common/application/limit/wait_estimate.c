// SPDX-License-Identifier: Apache-2.0
// How long a command that joins a queue of batches will wait, from what the last batches cost.
#include "application/limit/wait_estimate.h"

#include <stdbool.h>

// Eight batches move the average by two thirds: quick to see trouble, deaf to one hiccup.
static const double weight = 0.125;

// A smaller batch is mostly what every batch costs; its commands would look far too dear, and a
// crowd after a quiet minute would be refused by the price of one that was alone.
enum { COMMANDS_TELLING_MIN = 8 };

static double averaged(double average, double value)
{
    return average == 0 ? value : average + weight * (value - average);
}

static bool is_telling(const struct wait_estimate *estimate, double ms, enum status status)
{
    bool answered = status == STATUS_OK || status == STATUS_REFUSED;
    return answered || (status != STATUS_UNAVAILABLE && ms > estimate->batch_ms);
}

void wait_estimate_add(struct wait_estimate *estimate, size_t commands, double ms,
                       enum status status)
{
    if (commands == 0 || !is_telling(estimate, ms, status)) {
        return;
    }
    estimate->batch_ms = averaged(estimate->batch_ms, ms);
    if (commands >= COMMANDS_TELLING_MIN) {
        estimate->command_ms = averaged(estimate->command_ms, ms / (double)commands);
    }
}

double wait_estimate_ms(const struct wait_estimate *estimate, size_t queued, double in_flight_ms)
{
    if (queued == 0 && in_flight_ms < 0) {
        return 0;
    }
    double own = estimate->batch_ms + (double)queued * estimate->command_ms;
    if (in_flight_ms < 0) {
        return own;
    }
    double rest = estimate->batch_ms - in_flight_ms;
    return own + (rest > 0 ? rest : in_flight_ms); // overdue: as long again, at least
}

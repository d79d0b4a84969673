// SPDX-License-Identifier: Apache-2.0
// Port: performs the effects that contexts ask for; a composition root maps each operation to a
// provider's port. Blocking, in batches.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"
#include "domain/bounded_context.h"

struct effect_result {
    bool answered; // false: transient; the message goes down the failure ladder
    bool unknown;  // this runner has no such operation, and will not have it in a minute
    struct effect_answer answer;
};

struct effect_runner;

// Performs all requests within timeout_ms altogether; none holds up another, an unknown one
// neither. A failure stands for all of them: none was answered.
typedef enum status effect_runner_perform_fn(struct effect_runner *runner,
                                             const struct effect_request *requests, size_t count,
                                             int timeout_ms, struct arena *arena,
                                             struct effect_result *results) MUST_CHECK;

struct effect_runner_ops {
    effect_runner_perform_fn *perform;
};

struct effect_runner {
    const struct effect_runner_ops *ops;
};

static inline enum status effect_runner_perform(struct effect_runner *runner,
                                                const struct effect_request *requests, size_t count,
                                                int timeout_ms, struct arena *arena,
                                                struct effect_result *results)
{
    return runner->ops->perform(runner, requests, count, timeout_ms, arena, results);
}

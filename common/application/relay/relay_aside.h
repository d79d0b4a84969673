// SPDX-License-Identifier: Apache-2.0
// Commands and replies that the broker could give to nobody: put aside by name, so that they do not
// stop the tail of the log.
#pragma once

#include "application/relay/relay_run.h"

// Before relay_take_outcomes. What came back and is nobody's is read from the log once more and
// copied to the aside queue, and its outcome becomes PUBLISHED. Where that queue is not there or
// full, the row lies in the log alone, and goes on all the same. What is ours, and everything while
// log or broker do not answer, stays RETURNED: the relay mends. Sets the step's counts.
void relay_put_aside(struct relay_run *run, enum publish_outcome *outcomes,
                     struct relay_step *step);

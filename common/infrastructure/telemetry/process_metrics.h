// SPDX-License-Identifier: Apache-2.0
// What Prometheus expects of every process: memory, CPU, descriptors, when it started.
#pragma once

#include "base/buffer.h"

// Reads /proc; leaves out what it cannot read.
void process_metrics_render(struct buffer *out);

// SPDX-License-Identifier: Apache-2.0
// A daemon's small HTTP server: /healthz, /readyz and /metrics, answered by a thread of its own so
// that they answer while the daemon waits for a server.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"

struct probe_source {
    void *context;
    // True: the loops turn. Adds a sentence.
    bool (*healthy)(void *context, struct buffer *out);
    // True: ready for work. Adds JSON.
    bool (*ready)(void *context, struct buffer *out);
};

struct probes;

// address: host:port, port 0 for any. NULL: *fault says why; it is a literal or from errno.
struct probes *probes_start(const char *address, const struct probe_source *source,
                            const char **fault);

// Where it listens: "127.0.0.1:9100".
const char *probes_address(const struct probes *probes);

void probes_stop(struct probes *probes);

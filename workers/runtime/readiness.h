// SPDX-License-Identifier: Apache-2.0
// Which of the things a daemon depends on are there, with a sentence on each. Thread-safe.
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"

enum { READINESS_CHECKS_MAX = 16, READINESS_DETAIL_MAX = 512 };

struct readiness_check {
    const char *name;
    bool ready;
    char detail[READINESS_DETAIL_MAX];
};

struct readiness {
    pthread_mutex_t lock;
    struct readiness_check checks[READINESS_CHECKS_MAX];
    size_t count;
};

void readiness_init(struct readiness *readiness);

// Adds a check that is not ready yet; one that is there stays as it is. Past the limit: aborts.
void readiness_add(struct readiness *readiness, const char *name);

// True when `ready` or the detail has changed. A name that was not added is.
bool readiness_update(struct readiness *readiness, const char *name, bool ready,
                      const char *detail);

bool readiness_of_all(struct readiness *readiness);

// {"status":"ready"|"not ready","checks":{name:{"status":"ok"|"failed","detail":…}}}; gives whether
// all are ready.
bool readiness_render(struct readiness *readiness, struct buffer *out);

// SPDX-License-Identifier: Apache-2.0
// The bell of a log in this process's memory. Nobody appends while its one thread waits, so
// listening is a look.
#include "infrastructure/memory/log_bell_memory.h"

#include <stdlib.h>

#include "base/arena.h"

enum { LOOK_BLOCK = 4096, LOOK_BYTES_MAX = 1024 * 1024 };

struct log_bell_memory {
    struct log_bell base;
    struct event_store *log;
    struct log_cursor after;
    bool asleep;
};

static struct log_bell_memory *self(struct log_bell *bell)
{
    return (struct log_bell_memory *)bell;
}

static enum status look(struct log_bell_memory *bell, bool *more)
{
    struct arena arena;
    struct recorded_event *rows = NULL;
    size_t count = 0;
    struct log_cursor next = bell->after;
    arena_init(&arena, LOOK_BLOCK, LOOK_BYTES_MAX);
    enum status status =
        event_store_read_tail(bell->log, bell->after, 1, &arena, &rows, &count, &next);
    arena_free(&arena);
    *more = status == STATUS_OK && count > 0;
    return status;
}

static enum status memory_sleep(struct log_bell *base, struct log_cursor after, bool *asleep)
{
    bool more = false;
    self(base)->after = after;
    enum status status = look(self(base), &more);
    self(base)->asleep = status == STATUS_OK && !more;
    *asleep = self(base)->asleep;
    return status;
}

static enum status memory_listen(struct log_bell *base, int wait_ms, bool *rung)
{
    (void)wait_ms;
    *rung = false;
    return self(base)->asleep ? look(self(base), rung) : STATUS_UNAVAILABLE;
}

static enum status memory_wake(struct log_bell *base)
{
    self(base)->asleep = false;
    return STATUS_OK;
}

static const struct log_bell_ops memory_ops = {
    .sleep = memory_sleep,
    .listen = memory_listen,
    .wake = memory_wake,
};

struct log_bell *log_bell_memory_new(struct event_store *log)
{
    struct log_bell_memory *bell = calloc(1, sizeof(*bell));
    if (bell == NULL) {
        return NULL;
    }
    bell->base.ops = &memory_ops;
    bell->log = log;
    return &bell->base;
}

void log_bell_memory_free(struct log_bell *bell)
{
    free(bell);
}

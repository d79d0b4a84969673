// SPDX-License-Identifier: Apache-2.0
// The register of suspect messages in this process; it forgets with it, so it is for tests.
#include "infrastructure/memory/suspect_register_memory.h"

#include <stdlib.h>
#include <string.h>

enum { CONSUMER_BYTES_MAX = 64 };

struct mark {
    char consumer[CONSUMER_BYTES_MAX];
    size_t consumer_len;
    struct uuid message;
    bool taken;
    int attempts; // alone
};

struct suspect_register_memory {
    struct suspect_register port;
    size_t marks_max;
    struct mark marks[];
};

static bool is_of(const struct mark *mark, struct str consumer, struct uuid message)
{
    return mark->taken && uuid_eq(mark->message, message) &&
           str_eq((struct str){mark->consumer, mark->consumer_len}, consumer);
}

static struct mark *find(struct suspect_register_memory *memory, struct str consumer,
                         struct uuid message)
{
    for (size_t at = 0; at < memory->marks_max; at++) {
        if (is_of(&memory->marks[at], consumer, message)) {
            return &memory->marks[at];
        }
    }
    return NULL;
}

static struct mark *find_free(struct suspect_register_memory *memory)
{
    for (size_t at = 0; at < memory->marks_max; at++) {
        if (!memory->marks[at].taken) {
            return &memory->marks[at];
        }
    }
    return NULL;
}

// NULL: no room.
static struct mark *find_or_make(struct suspect_register_memory *memory, struct str consumer,
                                 struct uuid message)
{
    struct mark *mark = find(memory, consumer, message);
    if (mark == NULL && consumer.len <= CONSUMER_BYTES_MAX) {
        mark = find_free(memory);
    }
    if (mark != NULL && !mark->taken) {
        *mark = (struct mark){.consumer_len = consumer.len, .message = message, .taken = true};
        memcpy(mark->consumer, consumer.data, consumer.len);
    }
    return mark;
}

static enum status mark_group(struct suspect_register *suspects, struct str consumer,
                              const struct uuid *messages, size_t count, bool *known)
{
    struct suspect_register_memory *memory = (struct suspect_register_memory *)suspects;
    for (size_t at = 0; at < count; at++) {
        known[at] = find(memory, consumer, messages[at]) != NULL;
    }
    for (size_t at = 0; at < count; at++) {
        if (find_or_make(memory, consumer, messages[at]) == NULL) {
            return STATUS_FULL;
        }
    }
    return STATUS_OK;
}

static enum status set_mark(struct suspect_register *suspects, struct str consumer,
                            struct uuid message, int *attempts)
{
    struct mark *mark = find_or_make((struct suspect_register_memory *)suspects, consumer, message);
    if (mark == NULL) {
        return STATUS_FULL;
    }
    *attempts = ++mark->attempts;
    return STATUS_OK;
}

static enum status clear_marks(struct suspect_register *suspects, struct str consumer,
                               const struct uuid *messages, size_t count)
{
    for (size_t at = 0; at < count; at++) {
        struct mark *mark =
            find((struct suspect_register_memory *)suspects, consumer, messages[at]);
        if (mark != NULL) {
            mark->taken = false;
        }
    }
    return STATUS_OK;
}

struct suspect_register *suspect_register_memory_new(size_t marks_max)
{
    static const struct suspect_register_ops ops = {
        .mark_group = mark_group, .mark = set_mark, .clear = clear_marks};
    struct suspect_register_memory *made =
        calloc(1, sizeof(*made) + marks_max * sizeof(made->marks[0]));
    if (made == NULL) {
        return NULL;
    }
    made->port.ops = &ops;
    made->marks_max = marks_max;
    return &made->port;
}

void suspect_register_memory_free(struct suspect_register *suspects)
{
    free(suspects);
}

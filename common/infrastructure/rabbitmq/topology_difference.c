// SPDX-License-Identifier: Apache-2.0
// In which argument a queue or an exchange differs from the table, out of the broker's words.
#define _GNU_SOURCE // memmem
#include "infrastructure/rabbitmq/topology_difference.h"

#include <stdio.h>
#include <string.h>

// What stands between quotes after `before`.
static void read_quoted(struct str words, struct str before, char value[TOPOLOGY_VALUE_MAX])
{
    const char *found = memmem(words.data, words.len, before.data, before.len);
    if (found == NULL) {
        return;
    }
    const char *from = found + before.len;
    size_t left = words.len - (size_t)(from - words.data);
    const char *end = memchr(from, '\'', left);
    if (end != NULL) {
        (void)snprintf(value, TOPOLOGY_VALUE_MAX, "%.*s", (int)(end - from), from);
    }
}

struct topology_difference topology_difference_read(struct str thing, struct str words)
{
    struct topology_difference difference = {.thing = ""};
    (void)snprintf(difference.thing, sizeof(difference.thing), "%.*s", STR_FMT(thing));
    read_quoted(words, STR("inequivalent arg '"), difference.argument);
    read_quoted(words, STR("received '"), difference.wants);
    read_quoted(words, STR("but current is '"), difference.has);
    return difference;
}

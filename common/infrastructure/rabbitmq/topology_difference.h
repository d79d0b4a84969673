// SPDX-License-Identifier: Apache-2.0
// In which argument a queue or an exchange differs from the table, out of the broker's words.
#pragma once

#include <stdbool.h>

#include "base/str.h"

enum { TOPOLOGY_NAME_MAX = 128, TOPOLOGY_VALUE_MAX = 64 };

// Each "" where the broker does not say.
struct topology_difference {
    char thing[TOPOLOGY_NAME_MAX]; // the queue or exchange
    char argument[TOPOLOGY_VALUE_MAX];
    char has[TOPOLOGY_VALUE_MAX];
    char wants[TOPOLOGY_VALUE_MAX];
};

// words: "… inequivalent arg 'x-message-ttl' for queue '…' in vhost '…': received '9' but current
// is '5'". What cannot be read of it stays "".
struct topology_difference topology_difference_read(struct str thing, struct str words);

// SPDX-License-Identifier: Apache-2.0
// A row of the log as the domain sees it: what has happened, in which stream, as which version.
#pragma once

#include <stdint.h>

#include "base/instant.h"
#include "base/str.h"
#include "base/uuid.h"

// What a decision wants to be recorded in one of the streams its command declared.
struct new_event {
    size_t stream; // index among the declared streams
    struct str type;
    int16_t schema_version;
    struct str data; // JSON
};

// One recorded event. All views belong to whoever read it.
struct event_view {
    struct uuid stream;
    int32_t version; // 1 is the stream's first
    struct uuid id;
    struct str type;
    int16_t schema_version;
    struct str data; // JSON
    instant_us recorded_at;
};

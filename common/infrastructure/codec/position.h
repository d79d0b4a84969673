// SPDX-License-Identifier: Apache-2.0
// Comanda-Position: where a document stands in the log, as an opaque token for clients.
#pragma once

#include "application/ports/event_store.h"
#include "base/status.h"
#include "base/str.h"
#include "base/uuid.h"

enum { POSITION_TEXT_LEN = 56 };

struct position {
    uint8_t log; // which log, should there be several one day; 0 today
    struct log_cursor at;
    struct uuid stream;
    int32_t version;
};

// Writes exactly that many characters of base64url; no NUL.
void position_format(const struct position *position, char text[POSITION_TEXT_LEN]);

// STATUS_MALFORMED: no token of ours; *position is left alone.
enum status position_parse(struct str text, struct position *position) MUST_CHECK;

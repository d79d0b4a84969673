// SPDX-License-Identifier: Apache-2.0
// A command's row as a daemon reads it, and the reply row that answers it (ARCHITECTURE.md, "The
// log's rows").
#pragma once

#include "application/handler/message_handler.h"
#include "base/arena.h"
#include "base/status.h"

struct command_message {
    struct uuid saga_id;
    struct str saga;
    struct str step;
    struct str direction; // "forward", "compensate"
    struct uuid target;
    struct str command; // full name
    struct str payload; // JSON, its very bytes
};

// STATUS_MALFORMED: *cause names the member.
enum status command_message_read(const struct incoming *message, struct arena *arena,
                                 struct command_message *command, struct str *cause) MUST_CHECK;

struct command_reply {
    bool ok;
    struct str code; // only when not ok
    struct str detail;
};

// The data of the reply's row. data NULL: no memory.
struct str command_reply_data(const struct command_message *command, struct uuid command_id,
                              const struct command_reply *reply, struct arena *arena);

// The meta of a row that a command leads to; empty members are left out. data NULL: no memory.
struct str command_row_meta(const struct incoming *message, struct str actor, struct str route,
                            struct arena *arena);

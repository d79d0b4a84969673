// SPDX-License-Identifier: Apache-2.0
// The classical mistakes, planted around the real handlers so that the search can show that it
// catches them.
#pragma once

#include "application/handler/message_handler.h"
#include "application/saga/saga_handler.h"
#include "saga_world.h"

struct mistaken_handler {
    struct message_handler handler; // first
    const struct message_handler *real;
    const struct saga_definition *definition;
    enum saga_mistake mistake;
};

// The real handler with the mistake in it; with MISTAKE_NONE it passes everything on.
struct mistaken_handler mistaken_handler(const struct message_handler *real,
                                         const struct saga_definition *definition,
                                         enum saga_mistake mistake);

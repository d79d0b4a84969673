// SPDX-License-Identifier: Apache-2.0
// The message handler that runs commands: any context's, found by full name in the registry. Events
// and exactly one reply a command, in one append (ARCHITECTURE.md, "The log's rows").
//
// A command that cannot be read, is unknown, or whose payload its context refuses to parse is
// poison. A rule that says no is an answer: a reply `rejected` with its code. Foreign documents and
// lookups are folded from their own streams, so they are as fresh as the rest.
#pragma once

#include "application/handler/message_handler.h"

// consumer: the name in the inbox, such as "payment"; a literal.
struct message_handler command_handler(struct str consumer);

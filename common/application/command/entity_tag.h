// SPDX-License-Identifier: Apache-2.0
// Reads If-Match and If-None-Match (RFC 9110, 13.1) against documents whose tag is their version.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "application/command/command_flow.h"
#include "base/str.h"

// If-Match, by strong comparison. False: not well-formed, no tag at all (who sends an empty one has
// lost his tag, and must not be taken to want no condition), or more tags than a precondition
// holds.
bool entity_tag_read_match(struct str header, struct precondition *precondition);

// Does If-None-Match name this version, by weak comparison? One that is not well-formed names none.
bool entity_tag_none_match(struct str header, int32_t version);

bool precondition_allows(const struct precondition *precondition, int32_t version);

// SPDX-License-Identifier: Apache-2.0
// How a message of a batch gets its outcome.
#include "application/handler/handler_batch_parts.h"

void handler_batch_finish(struct handler_batch *batch, struct batch_message *message,
                          enum message_outcome outcome, struct str cause)
{
    message->phase = MESSAGE_DONE;
    *message->result =
        (struct message_result){.outcome = outcome, .cause = cause, .label = message->label};
    if (message->group != NO_INDEX && batch->groups[message->group].pending > 0) {
        batch->groups[message->group].pending--;
    }
}

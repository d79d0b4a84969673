// SPDX-License-Identifier: Apache-2.0
// The one set of failures. Business refusals, conflicts and duplicates are outcomes, not failures.
#include "base/status.h"

const char *status_text(enum status status)
{
    static const char *const texts[] = {
#define X(name, text) [name] = (text),
        STATUS_LIST(X)
#undef X
    };
    return status < STATUS_COUNT ? texts[status] : "an unknown status";
}

const char *status_name(enum status status)
{
    static const char *const names[] = {
#define X(name, text) [name] = #name,
        STATUS_LIST(X)
#undef X
    };
    return status < STATUS_COUNT ? names[status] : "STATUS_?";
}

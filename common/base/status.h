// SPDX-License-Identifier: Apache-2.0
// The one set of failures. Business refusals, conflicts and duplicates are outcomes, not failures.
#pragma once

#define STATUS_LIST(X)                                                                \
    X(STATUS_OK, "done")                                                              \
    X(STATUS_NO_MEMORY, "a stated limit of memory is reached")                        \
    X(STATUS_FULL, "a bounded queue or buffer is full")                               \
    X(STATUS_INVALID, "a value is outside what its contract allows")                  \
    X(STATUS_MALFORMED, "bytes that cannot be read as what they should be")           \
    X(STATUS_NOT_FOUND, "no such thing")                                              \
    X(STATUS_TIMEOUT, "no answer in time; nothing is known to be done")               \
    X(STATUS_UNAVAILABLE, "the server cannot be reached; nothing was done")           \
    X(STATUS_UNKNOWN, "the connection was lost in COMMIT; it may or may not be done") \
    X(STATUS_REFUSED, "the server refused the whole request; nothing was done")       \
    X(STATUS_FENCED, "another leader has taken over; nothing was done")

enum status {
#define X(name, text) name,
    STATUS_LIST(X)
#undef X
        STATUS_COUNT
};

// A short English sentence for people and logs; never NULL, also for a value outside the list.
const char *status_text(enum status status);

// The name of the value, such as "STATUS_OK"; "STATUS_?" outside the list.
const char *status_name(enum status status);

#define MUST_CHECK __attribute__((warn_unused_result))

// SPDX-License-Identifier: Apache-2.0
// Where Redis is and as whom it is talked to; read from host:port or a redis:// URL.
#pragma once

#include <stdbool.h>

#include "base/status.h"
#include "base/str.h"

enum { REDIS_HOST_MAX = 255, REDIS_USER_MAX = 128, REDIS_PASSWORD_MAX = 512 };

struct redis_settings {
    char host[REDIS_HOST_MAX + 1];
    int port;
    char user[REDIS_USER_MAX + 1];         // "": nobody logs in
    char password[REDIS_PASSWORD_MAX + 1]; // with a user only
};

// Reads host:port (an IPv6 host in brackets), or redis://[user:password@]host[:port][/0], user and
// password percent-encoded; the port is 6379 by default there. STATUS_INVALID: *cause says what is
// wrong, never the password.
enum status redis_settings_read(struct str text, struct redis_settings *settings,
                                struct str *cause) MUST_CHECK;

// Does this error answer of a server refuse the user: NOPERM, also within a script, NOAUTH or
// WRONGPASS? Waiting does not mend that.
bool redis_answer_refuses(const char *answer);

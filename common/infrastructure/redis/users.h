// SPDX-License-Identifier: Apache-2.0
// Which user of Redis may do what: one user a program that talks to it, as lines of an ACL file.
#pragma once

#include <stddef.h>

#include "base/buffer.h"
#include "base/status.h"
#include "base/str.h"

struct redis_user {
    struct str program; // "edge"; its user is comanda_edge
    struct str name;
    struct str commands; // "+get +set"; everything else is refused, but for logging in
    struct str keys;     // "~comanda:doc:*"
};

// The edge, the projector and the operator, in this order. *count: 3.
const struct redis_user *redis_users(size_t *count);

// An ACL file (`redis-server --aclfile`): these users with their passwords as SHA-256, an
// administrator (comanda_admin) unless its password is empty, and the default user switched off.
enum status redis_users_print(const struct str *passwords, struct str admin_password,
                              struct buffer *out) MUST_CHECK;

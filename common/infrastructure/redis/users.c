// SPDX-License-Identifier: Apache-2.0
// Which user of Redis may do what: one user a program that talks to it, as lines of an ACL file.
#include "infrastructure/redis/users.h"

#include "base/sha256.h"

// The scripts run as whoever calls them, so their own commands are among these.
#define WRITE "+get +set +getrange +strlen +unlink +info +evalsha +script|load"

static const struct redis_user users[] = {
    {.program = {"edge", 4},
     .name = {"comanda_edge", 12},
     .commands = {WRITE, sizeof(WRITE) - 1},
     .keys = {"~comanda:doc:*", 14}},
    {.program = {"projector", 9},
     .name = {"comanda_projector", 17},
     .commands = {"+ping +scan " WRITE, sizeof("+ping +scan " WRITE) - 1},
     .keys = {"~comanda:doc:*", 14}},
    {.program = {"operator", 8},
     .name = {"comanda_operator", 16},
     .commands = {"+ping +info +scan +unlink", sizeof("+ping +info +scan +unlink") - 1},
     .keys = {"~comanda:doc:*", 14}},
};

enum { USERS = sizeof(users) / sizeof(users[0]) };

const struct redis_user *redis_users(size_t *count)
{
    *count = USERS;
    return users;
}

static void print_user(struct buffer *out, struct str name, struct str password, struct str keys,
                       struct str commands)
{
    unsigned char digest[SHA256_LEN];
    sha256(&password, 1, digest);
    buffer_printf(out, "user %.*s on #", STR_FMT(name));
    for (size_t at = 0; at < SHA256_LEN; at++) {
        buffer_printf(out, "%02x", digest[at]);
    }
    buffer_printf(out, " resetchannels -@all %.*s %.*s\n", STR_FMT(keys), STR_FMT(commands));
}

enum status redis_users_print(const struct str *passwords, struct str admin_password,
                              struct buffer *out)
{
    buffer_add(out, STR("user default off resetpass resetkeys resetchannels -@all\n"));
    for (size_t at = 0; at < USERS; at++) {
        print_user(out, users[at].name, passwords[at], users[at].keys, users[at].commands);
    }
    if (!str_is_empty(admin_password)) {
        print_user(out, STR("comanda_admin"), admin_password, STR("~* &*"), STR("+@all"));
    }
    return out->status;
}

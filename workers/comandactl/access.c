// SPDX-License-Identifier: Apache-2.0
// comandactl access: which user may do what at RabbitMQ and Redis, and the files that make it so.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "command.h"
#include "infrastructure/config/secret_file.h"
#include "infrastructure/rabbitmq/permissions.h"
#include "infrastructure/redis/users.h"
#include "sagas.h"
#include "table.h"

enum {
    PASSWORD_MAX = 255,
    FRESH_BYTES = 32,
    OUT_BYTES_MAX = 256 * 1024,
};

// The programs of this house and the queues that each reads; the saga's daemon serves the commands
// of its own subject too.
static const struct broker_program programs[] = {
    {.name = {"relay", 5}, .part = BROKER_DECLARES},
    {.name = {"saga", 4}, .part = BROKER_CONSUMES, .roles = {{"saga", 4}, {"ordering", 8}}},
    {.name = {"payment", 7}, .part = BROKER_CONSUMES, .roles = {{"payment", 7}}},
    {.name = {"inventory", 9}, .part = BROKER_CONSUMES, .roles = {{"inventory", 9}}},
    {.name = {"shipping", 8}, .part = BROKER_CONSUMES, .roles = {{"shipping", 8}}},
    {.name = {"projector", 9}, .part = BROKER_CONSUMES, .roles = {{"projector", 9}}},
    {.name = {"operator", 8}, .part = BROKER_OPERATES},
    {.name = {"keda", 4}, .part = BROKER_WATCHES},
};

enum { PROGRAMS = sizeof(programs) / sizeof(programs[0]) };

static enum ctl_exit broker_users(struct ctl *ctl, struct topology *topology,
                                  struct broker_user **users, size_t *count)
{
    enum ctl_exit code = ctl_topology(ctl, NULL, topology); // no permission depends on a saga
    if (code != CTL_OK) {
        return code;
    }
    enum status status = broker_users_make(topology, programs, PROGRAMS, ctl->arena, users);
    *count = PROGRAMS;
    return status == STATUS_OK
               ? CTL_OK
               : ctl_fail(ctl, ctl_exit_of(status),
                          "the users of RabbitMQ: %s; this program has other contexts than the "
                          "shop's daemons serve",
                          status_text(status));
}

// --- show

static void add_right(struct table *table, const char *server, struct str user, const char *right,
                      struct str what)
{
    const struct str cells[] = {str_from(server), user, str_from(right), what};
    (void)table_add(table, cells);
}

static void add_broker_user(struct table *table, const struct broker_user *user)
{
    add_right(table, "rabbitmq", user->name, "configure", user->configure);
    add_right(table, "rabbitmq", user->name, "write", user->write);
    add_right(table, "rabbitmq", user->name, "read", user->read);
    for (size_t at = 0; at < user->topic_count; at++) {
        struct str right =
            arena_printf(table->ctl->arena, "keys to %.*s", STR_FMT(user->topics[at].exchange));
        add_right(table, "rabbitmq", user->name, right.data == NULL ? "keys" : right.data,
                  user->topics[at].write);
    }
    if (user->tags.len > 0) {
        add_right(table, "rabbitmq", user->name, "tags", user->tags);
    }
}

static enum ctl_exit run_show(struct ctl *ctl)
{
    static const struct table_column columns[] = {
        {"server", TABLE_TEXT}, {"user", TABLE_TEXT}, {"right", TABLE_TEXT}, {"on", TABLE_TEXT}};
    struct topology topology;
    struct broker_user *broker;
    size_t count;
    enum ctl_exit code = broker_users(ctl, &topology, &broker, &count);
    if (code != CTL_OK) {
        return code;
    }
    struct table table;
    table_begin(&table, ctl, columns, sizeof(columns) / sizeof(columns[0]));
    for (size_t at = 0; at < count; at++) {
        add_broker_user(&table, &broker[at]);
    }
    const struct redis_user *users = redis_users(&count);
    for (size_t at = 0; at < count; at++) {
        add_right(&table, "redis", users[at].name, "commands", users[at].commands);
        add_right(&table, "redis", users[at].name, "keys", users[at].keys);
    }
    table_print(&table, "nobody may do anything");
    return CTL_OK;
}

// --- passwords

// 64 hexadecimal digits in a new file that only its owner may read.
static bool make_password(const char *path)
{
    unsigned char bytes[FRESH_BYTES];
    char text[2 * FRESH_BYTES + 2];
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        return errno == EEXIST;
    }
    bool made = getrandom(bytes, sizeof(bytes), 0) == (ssize_t)sizeof(bytes);
    for (size_t at = 0; at < sizeof(bytes); at++) {
        (void)snprintf(text + 2 * at, 3, "%02x", bytes[at]);
    }
    text[2 * FRESH_BYTES] = '\n';
    made = made && write(fd, text, 2 * FRESH_BYTES + 1) == 2 * FRESH_BYTES + 1;
    return close(fd) == 0 && made;
}

// FOLDER/<server>_<program>, one line.
static enum ctl_exit read_password(struct ctl *ctl, const char *server, struct str program,
                                   struct str *password)
{
    const char *folder = ctl_option_value(ctl, "--passwords");
    if (folder == NULL) {
        return ctl_fail(ctl, CTL_USAGE, "give --passwords FOLDER; it holds a file %s_%.*s", server,
                        STR_FMT(program));
    }
    struct str path = arena_printf(ctl->arena, "%s/%s_%.*s", folder, server, STR_FMT(program));
    if (path.data == NULL) {
        return ctl_fail(ctl, CTL_INTERNAL, "no memory");
    }
    if (ctl_option_value(ctl, "--make") != NULL && !make_password(path.data)) {
        return ctl_fail(ctl, CTL_INTERNAL, "%s: %s", path.data, strerror(errno));
    }
    char *bytes = arena_alloc(ctl->arena, PASSWORD_MAX + 1);
    char fault[SECRET_FAULT_MAX] = "no memory";
    size_t len = 0;
    enum status status = bytes == NULL
                             ? STATUS_NO_MEMORY
                             : secret_file_read(path.data, 1, PASSWORD_MAX, bytes, &len, fault);
    if (status != STATUS_OK) {
        return ctl_fail(ctl, status == STATUS_INVALID ? CTL_USAGE : CTL_INTERNAL,
                        "%s; write a password there, or let --make make what is missing", fault);
    }
    *password = (struct str){bytes, len};
    return CTL_OK;
}

static enum ctl_exit print_out(struct ctl *ctl, enum status status, const struct buffer *out)
{
    if (status != STATUS_OK) {
        return ctl_fail(ctl, ctl_exit_of(status), "%s", status_text(status));
    }
    (void)fwrite(out->data, 1, out->len, stdout);
    return CTL_OK;
}

// --- rabbitmq

static enum ctl_exit run_rabbitmq(struct ctl *ctl)
{
    struct topology topology;
    struct broker_user *users;
    struct str passwords[PROGRAMS];
    size_t count;
    enum ctl_exit code = broker_users(ctl, &topology, &users, &count);
    for (size_t at = 0; code == CTL_OK && at < count; at++) {
        code = read_password(ctl, "rabbitmq", users[at].program, &passwords[at]);
    }
    if (code != CTL_OK) {
        return code;
    }
    const char *vhost = ctl_option_value(ctl, "--vhost");
    struct buffer out;
    buffer_init(&out, ctl->arena, OUT_BYTES_MAX);
    enum status status = broker_users_print(&topology, users, count, passwords,
                                            str_from(vhost == NULL ? "/" : vhost), &out);
    buffer_add_char(&out, '\n');
    return print_out(ctl, status == STATUS_OK ? out.status : status, &out);
}

// --- redis

static enum ctl_exit run_redis(struct ctl *ctl)
{
    size_t count;
    const struct redis_user *users = redis_users(&count);
    struct str *passwords = arena_array(ctl->arena, count, sizeof(*passwords));
    struct str admin = STR("");
    enum ctl_exit code = passwords == NULL ? ctl_fail(ctl, CTL_INTERNAL, "no memory") : CTL_OK;
    for (size_t at = 0; code == CTL_OK && at < count; at++) {
        code = read_password(ctl, "redis", users[at].program, &passwords[at]);
    }
    if (code == CTL_OK && ctl_option_value(ctl, "--admin") != NULL) {
        code = read_password(ctl, "redis", STR("admin"), &admin);
    }
    if (code != CTL_OK) {
        return code;
    }
    struct buffer out;
    buffer_init(&out, ctl->arena, OUT_BYTES_MAX);
    return print_out(ctl, redis_users_print(passwords, admin, &out), &out);
}

#define PASSWORDS                                                                              \
    {"--passwords", "FOLDER", "one file a user, such as FOLDER/rabbitmq_relay: its password"}, \
    {                                                                                          \
        "--make", NULL, "make the passwords that are missing there"                            \
    }

static const struct ctl_option rabbitmq_options[] = {
    PASSWORDS,
    {"--vhost", "NAME", "the virtual host (/)"},
    {NULL, NULL, NULL},
};

static const struct ctl_option redis_options[] = {
    PASSWORDS,
    {"--admin", NULL, "and comanda_admin, who may do everything, by FOLDER/redis_admin"},
    {NULL, NULL, NULL},
};

static const struct ctl_verb verbs[] = {
    {"show", "", 0, 0, "what each user may do", NULL, run_show},
    {"rabbitmq", "", 0, 0, "print the users and permissions as definitions of RabbitMQ",
     rabbitmq_options, run_rabbitmq},
    {"redis", "", 0, 0, "print the users as an ACL file of Redis; the default user is off",
     redis_options, run_redis},
    {NULL, NULL, 0, 0, NULL, NULL, NULL},
};

const struct ctl_noun ctl_access = {
    .name = "access",
    .summary = "the users of RabbitMQ and Redis, each with the least that its program needs",
    .verbs = verbs,
    .examples = "  comandactl access show --json\n"
                "  comandactl access rabbitmq --passwords secrets --make > definitions.json\n"
                "  curl -u admin -H 'Content-Type: application/json' -d @definitions.json \\\n"
                "       http://rabbitmq:15672/api/definitions\n"
                "  comandactl access redis --passwords secrets --make > users.acl\n",
};

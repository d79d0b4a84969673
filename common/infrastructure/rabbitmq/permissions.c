// SPDX-License-Identifier: Apache-2.0
// Which user of the broker may do what: one user a program, made from the topology, so that a
// permission never names what is not there.
#include "infrastructure/rabbitmq/permissions.h"

#include <openssl/evp.h>
#include <string.h>
#include <sys/random.h>

#include "base/json.h"
#include "base/sha256.h"

#define PREFIX "comanda."
#define NOTHING STR("^$")
#define ASIDE "unroutable" // comanda.unroutable, for which there is no exchange
#define LADDER "(\\.retry\\.[1-%d]|\\.dead)?"

enum {
    LIMITS_BYTES_MAX = 64 * 1024,
    SALT_LEN = 4,
    HASH_TEXT_LEN = 4 * ((SALT_LEN + SHA256_LEN + 2) / 3)
};

// --- names as alternatives of a regular expression

static bool is_plain(struct str name)
{
    for (size_t at = 0; at < name.len; at++) {
        if (!char_is_one_of(name.data[at], "abcdefghijklmnopqrstuvwxyz0123456789_-")) {
            return false;
        }
    }
    return name.len > 0;
}

// What stands behind "comanda."; empty for any other name.
static struct str short_name(struct str name)
{
    struct str prefix = STR(PREFIX);
    return str_starts_with(name, prefix)
               ? (struct str){name.data + prefix.len, name.len - prefix.len}
               : STR("");
}

struct alternatives {
    struct arena *arena;
    struct str text; // "a|b"
    bool failed;     // a name that is not plain, or no memory
};

static void add_name(struct alternatives *names, struct str name)
{
    struct str made = arena_printf(names->arena, "%.*s%s%.*s", STR_FMT(names->text),
                                   names->text.len == 0 ? "" : "|", STR_FMT(name));
    names->failed = names->failed || !is_plain(name) || made.data == NULL;
    names->text = made.data == NULL ? STR("") : made;
}

static struct alternatives work_queues(const struct topology *topology, struct arena *arena)
{
    struct alternatives names = {.arena = arena, .text = STR("")};
    for (size_t at = 0; at < topology->queue_count; at++) {
        if (topology->queues[at].role == QUEUE_WORK) {
            add_name(&names, short_name(topology->queues[at].name));
        }
    }
    return names;
}

static struct alternatives exchanges(const struct topology *topology, bool with_ladder,
                                     struct arena *arena)
{
    struct alternatives names = {.arena = arena, .text = STR("")};
    for (size_t at = 0; at < topology->exchange_count; at++) {
        struct str name = topology->exchanges[at].name;
        if (with_ladder || !topology_is_ladder(name)) {
            add_name(&names, short_name(name));
        }
    }
    return names;
}

// NULL: every program's.
static bool has_role(const struct broker_program *program, struct str role)
{
    for (size_t at = 0; program != NULL && at < BROKER_QUEUES_MAX; at++) {
        if (str_eq(program->roles[at], role)) {
            return true;
        }
    }
    return program == NULL;
}

// "|(inventory)\\.lane\\.[0-7]", for those of the roles that have lanes; "" when none has.
static struct str lanes_of(const struct topology *topology, const struct broker_program *program,
                           struct arena *arena)
{
    struct alternatives names = {.arena = arena, .text = STR("")};
    for (size_t at = 0; at < topology->queue_count; at++) {
        const struct topology_queue *queue = &topology->queues[at];
        struct str role = short_name(queue->work_queue);
        if (queue->role == QUEUE_LANE && queue->lane == 0 && has_role(program, role)) {
            add_name(&names, role);
        }
    }
    if (names.text.len == 0) {
        return STR("");
    }
    struct str made =
        arena_printf(arena, "|(%.*s)\\.lane\\.[0-%d]", STR_FMT(names.text), TOPOLOGY_LANES - 1);
    return names.failed ? (struct str){NULL, 0} : made;
}

static bool has_queue(const struct topology *topology, struct str role)
{
    for (size_t at = 0; at < topology->queue_count; at++) {
        const struct topology_queue *queue = &topology->queues[at];
        if (queue->role == QUEUE_WORK && str_eq(short_name(queue->name), role)) {
            return true;
        }
    }
    return false;
}

// --- one user

// It publishes the log, and what a declaration or a binding asks for; of queues it reads only those
// that it declares with dead letters.
static bool may_declare(struct broker_user *user, const struct topology *topology,
                        struct arena *arena)
{
    struct alternatives queues = work_queues(topology, arena);
    struct alternatives all = exchanges(topology, true, arena);
    struct alternatives fed = exchanges(topology, false, arena);
    struct str lanes = lanes_of(topology, NULL, arena);
    user->configure =
        arena_printf(arena, "^comanda\\.(%.*s|" ASIDE "|(%.*s)" LADDER "%.*s)$", STR_FMT(all.text),
                     STR_FMT(queues.text), TOPOLOGY_RETRIES, STR_FMT(lanes));
    user->write =
        arena_printf(arena, "^(amq\\.default|comanda\\.(%.*s|" ASIDE "|(%.*s)" LADDER "%.*s))$",
                     STR_FMT(fed.text), STR_FMT(queues.text), TOPOLOGY_RETRIES, STR_FMT(lanes));
    user->read = arena_printf(arena, "^comanda\\.(%.*s|(%.*s)\\.retry\\.[1-%d])$",
                              STR_FMT(all.text), STR_FMT(queues.text), TOPOLOGY_RETRIES);
    return !queues.failed && !all.failed && !fed.failed && lanes.data != NULL;
}

static bool may_consume(struct broker_user *user, const struct broker_program *program,
                        const struct topology *topology, struct arena *arena)
{
    struct alternatives own = {.arena = arena, .text = STR("")};
    for (size_t at = 0; at < BROKER_QUEUES_MAX && program->roles[at].len > 0; at++) {
        add_name(&own, program->roles[at]);
        own.failed = own.failed || !has_queue(topology, program->roles[at]);
    }
    user->write = STR("^comanda\\.(retry|dead)$");
    struct str lanes = lanes_of(topology, program, arena);
    user->read = arena_printf(arena, "^comanda\\.(%.*s%.*s)$", STR_FMT(own.text), STR_FMT(lanes));
    user->topics[0] = (struct broker_topic){
        TOPOLOGY_RETRY_EXCHANGE,
        arena_printf(arena, "^comanda\\.(%.*s)\\.[0-%d]$", STR_FMT(own.text), TOPOLOGY_RETRIES)};
    user->topics[1] =
        (struct broker_topic){TOPOLOGY_DEAD_EXCHANGE,
                              arena_printf(arena, "^comanda\\.(%.*s)(\\.0)?$", STR_FMT(own.text))};
    user->topic_count = 2;
    return !own.failed && lanes.data != NULL && user->topics[0].write.data != NULL &&
           user->topics[1].write.data != NULL;
}

// Dead letters go back to their queue, and rows of the log are published again as the relay did.
static bool may_operate(struct broker_user *user, const struct topology *topology,
                        struct arena *arena)
{
    struct alternatives queues = work_queues(topology, arena);
    struct alternatives fed = {.arena = arena, .text = STR("")};
    for (size_t at = 0; at < topology->exchange_count; at++) {
        struct str name = topology->exchanges[at].name;
        if (!topology_is_ladder(name) && !str_eq(name, TOPOLOGY_UNROUTED)) {
            add_name(&fed, short_name(name));
        }
    }
    user->write = arena_printf(arena, "^(amq\\.default|comanda\\.(%.*s))$", STR_FMT(fed.text));
    user->read = arena_printf(arena, "^comanda\\.(" ASIDE "|(%.*s)\\.dead)$", STR_FMT(queues.text));
    return !queues.failed && !fed.failed;
}

static bool make_user(const struct broker_program *program, const struct topology *topology,
                      struct arena *arena, struct broker_user *user)
{
    bool made = true;
    *user = (struct broker_user){
        .program = program->name,
        .name = arena_printf(arena, "comanda_%.*s", STR_FMT(program->name)),
        .tags = STR(""),
        .configure = NOTHING,
        .write = NOTHING,
        .read = NOTHING,
    };
    switch (program->part) {
    case BROKER_DECLARES:
        made = may_declare(user, topology, arena);
        break;
    case BROKER_CONSUMES:
        made = may_consume(user, program, topology, arena);
        break;
    case BROKER_OPERATES:
        made = may_operate(user, topology, arena);
        break;
    case BROKER_WATCHES:
        user->tags = STR("management"); // sees the queues of its virtual hosts, and nothing else
        break;
    }
    return made && is_plain(program->name) && user->name.data != NULL &&
           user->configure.data != NULL && user->write.data != NULL && user->read.data != NULL;
}

enum status broker_users_make(const struct topology *topology,
                              const struct broker_program *programs, size_t count,
                              struct arena *arena, struct broker_user **users)
{
    struct broker_user *made = arena_array(arena, count, sizeof(*made));
    if (made == NULL) {
        return STATUS_NO_MEMORY;
    }
    for (size_t at = 0; at < count; at++) {
        if (!make_user(&programs[at], topology, arena, &made[at])) {
            return STATUS_INVALID;
        }
    }
    *users = made;
    return STATUS_OK;
}

struct str broker_probe_key(struct str queue, struct arena *arena)
{
    return arena_printf(arena, "%.*s.0", STR_FMT(queue));
}

// --- as definitions

// base64(salt + SHA-256(salt + password)), rabbit_password_hashing_sha256.
static bool hash_password(struct str password, char text[HASH_TEXT_LEN + 1])
{
    unsigned char bytes[SALT_LEN + SHA256_LEN];
    if (getrandom(bytes, SALT_LEN, 0) != SALT_LEN) {
        return false;
    }
    const struct str pieces[] = {{(const char *)bytes, SALT_LEN}, password};
    sha256(pieces, 2, bytes + SALT_LEN);
    return EVP_EncodeBlock((unsigned char *)text, bytes, sizeof(bytes)) == HASH_TEXT_LEN;
}

static void member(struct json_writer *json, const char *name, struct str value)
{
    json_name(json, str_from(name));
    json_string(json, value);
}

static bool print_user(struct json_writer *json, const struct broker_user *user,
                       struct str password)
{
    char hash[HASH_TEXT_LEN + 1];
    if (!hash_password(password, hash)) {
        return false;
    }
    json_object_begin(json);
    member(json, "name", user->name);
    member(json, "password_hash", (struct str){hash, HASH_TEXT_LEN});
    member(json, "hashing_algorithm", STR("rabbit_password_hashing_sha256"));
    member(json, "tags", user->tags);
    json_object_end(json);
    return true;
}

static void print_permission(struct json_writer *json, const struct broker_user *user,
                             struct str vhost)
{
    json_object_begin(json);
    member(json, "user", user->name);
    member(json, "vhost", vhost);
    member(json, "configure", user->configure);
    member(json, "write", user->write);
    member(json, "read", user->read);
    json_object_end(json);
}

static void print_topics(struct json_writer *json, const struct broker_user *user, struct str vhost)
{
    for (size_t at = 0; at < user->topic_count; at++) {
        json_object_begin(json);
        member(json, "user", user->name);
        member(json, "vhost", vhost);
        member(json, "exchange", user->topics[at].exchange);
        member(json, "write", user->topics[at].write);
        member(json, "read", NOTHING);
        json_object_end(json);
    }
}

static void begin_array(struct json_writer *json, const char *name)
{
    json_name(json, str_from(name));
    json_array_begin(json);
}

// What is full refuses: the relay waits, and who climbs the ladder keeps the message in hand.
static bool print_limits(struct json_writer *json, const struct topology *topology,
                         struct str vhost)
{
    struct arena arena;
    arena_init(&arena, 4096, LIMITS_BYTES_MAX);
    struct alternatives queues = work_queues(topology, &arena);
    struct str pattern = arena_printf(&arena, "^comanda\\.(%.*s)(\\.dead)?$", STR_FMT(queues.text));
    json_object_begin(json);
    member(json, "vhost", vhost);
    member(json, "name", BROKER_LIMITS);
    member(json, "pattern", pattern);
    member(json, "apply-to", STR("queues"));
    json_name(json, STR("priority"));
    json_int(json, 0);
    json_name(json, STR("definition"));
    json_object_begin(json);
    json_name(json, STR("max-length"));
    json_int(json, TOPOLOGY_WORK_MAX);
    member(json, "overflow", STR("reject-publish"));
    json_object_end(json);
    json_object_end(json);
    bool made = !queues.failed && pattern.data != NULL;
    arena_free(&arena);
    return made;
}

enum status broker_users_print(const struct topology *topology, const struct broker_user *users,
                               size_t count, const struct str *passwords, struct str vhost,
                               struct buffer *out)
{
    struct json_writer json;
    bool hashed = true;
    json_writer_init(&json, out);
    json_object_begin(&json);
    begin_array(&json, "users");
    for (size_t at = 0; at < count; at++) {
        hashed = print_user(&json, &users[at], passwords[at]) && hashed;
    }
    json_array_end(&json);
    begin_array(&json, "vhosts");
    json_object_begin(&json);
    member(&json, "name", vhost);
    json_object_end(&json);
    json_array_end(&json);
    begin_array(&json, "permissions");
    for (size_t at = 0; at < count; at++) {
        print_permission(&json, &users[at], vhost);
    }
    json_array_end(&json);
    begin_array(&json, "topic_permissions");
    for (size_t at = 0; at < count; at++) {
        print_topics(&json, &users[at], vhost);
    }
    json_array_end(&json);
    begin_array(&json, "policies");
    bool limited = print_limits(&json, topology, vhost);
    json_array_end(&json);
    json_object_end(&json);
    return !limited ? STATUS_NO_MEMORY : hashed ? out->status : STATUS_UNAVAILABLE;
}

// SPDX-License-Identifier: Apache-2.0
// Where RabbitMQ is and how it is talked to; read from an AMQP URL.
#include "infrastructure/rabbitmq/settings.h"

#include <stdbool.h>
#include <string.h>

#include "base/arena.h"
#include "infrastructure/config/url_text.h"

static const struct rabbitmq_settings defaults = {
    .host = "localhost",
    .port = 5672,
    .vhost = "/",
    .user = "guest",
    .password = "guest",
    .name = "comanda",
    .heartbeat_s = 30,
    .connect_timeout_ms = 5000,
    .rpc_timeout_ms = 10000,
    .stall_ms = 20000,
    .window = 1000,
    .prefetch = 300,
};

static enum status decode(struct str text, struct arena *arena, const char **decoded)
{
    char *copy = arena_alloc(arena, text.len + 1);
    if (copy == NULL) {
        return STATUS_NO_MEMORY;
    }
    *decoded = copy;
    return url_decode(text, copy);
}

static enum status fault(struct str *cause, const char *sentence)
{
    *cause = str_from(sentence);
    return STATUS_INVALID;
}

static enum status read_part(struct str text, struct arena *arena, const char **part,
                             const char *sentence, struct str *cause)
{
    enum status status = decode(text, arena, part);
    return status == STATUS_INVALID ? fault(cause, sentence) : status;
}

static enum status read_user(struct str text, struct arena *arena,
                             struct rabbitmq_settings *settings, struct str *cause)
{
    struct str user;
    struct str password;
    bool has_password = str_split(text, ':', &user, &password);
    enum status status =
        read_part(user, arena, &settings->user, "the user is not percent-encoded properly", cause);
    if (status == STATUS_OK && has_password) {
        status = read_part(password, arena, &settings->password,
                           "the password is not percent-encoded properly", cause);
    }
    return status;
}

// host, host:port or [v6]:port.
static enum status read_host(struct str text, struct arena *arena,
                             struct rabbitmq_settings *settings, struct str *cause)
{
    struct str host = text;
    struct str port = STR("");
    bool bracket = text.len > 0 && text.data[0] == '[';
    if (bracket && str_split(text, ']', &host, &port)) {
        host = (struct str){host.data + 1, host.len - 1};
        port = str_starts_with(port, STR(":")) ? (struct str){port.data + 1, port.len - 1} : port;
    } else if (bracket) {
        return fault(cause, "the host's bracket is not closed");
    } else {
        str_split(text, ':', &host, &port);
    }
    int64_t number = settings->port;
    if (port.len > 0 && (!str_to_int64(port, &number) || number < 1 || number > 65535)) {
        return fault(cause, "the port is no number from 1 to 65535");
    }
    settings->port = (int)number;
    if (host.len == 0) {
        return STATUS_OK;
    }
    return read_part(host, arena, &settings->host, "the host is not percent-encoded properly",
                     cause);
}

static enum status read_authority(struct str text, struct arena *arena,
                                  struct rabbitmq_settings *settings, struct str *cause)
{
    struct str user;
    enum status status = STATUS_OK;
    if (url_split_user(text, &user, &text)) {
        status = read_user(user, arena, settings, cause);
    }
    return status == STATUS_OK ? read_host(text, arena, settings, cause) : status;
}

enum status rabbitmq_settings_read(struct str url, struct arena *arena,
                                   struct rabbitmq_settings *settings, struct str *cause)
{
    struct rabbitmq_settings read = defaults;
    if (str_starts_with(url, STR("amqps://"))) {
        return fault(cause, "amqps is not supported; use amqp:// over a private network or mesh");
    }
    if (!str_starts_with(url, STR("amqp://"))) {
        return fault(cause, "does not begin with amqp://");
    }
    struct str rest = {url.data + 7, url.len - 7};
    struct str authority;
    struct str vhost;
    bool has_vhost = str_split(rest, '/', &authority, &vhost);
    if (memchr(vhost.data, '/', vhost.len) != NULL || memchr(rest.data, '?', rest.len) != NULL) {
        return fault(cause, "the virtual host holds a bare '/' or '?'; write %2f or %3f");
    }
    enum status status = read_authority(authority, arena, &read, cause);
    if (status == STATUS_OK && has_vhost && vhost.len > 0) {
        status = read_part(vhost, arena, &read.vhost,
                           "the virtual host is not percent-encoded properly", cause);
    }
    if (status == STATUS_OK) {
        *settings = read;
    }
    return status;
}

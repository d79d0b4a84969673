// SPDX-License-Identifier: Apache-2.0
// Where Redis is and as whom it is talked to; read from host:port or a redis:// URL.
#include "infrastructure/redis/settings.h"

#include <string.h>

#include "infrastructure/config/url_text.h"

enum { PORT_DEFAULT = 6379, PORT_MAX = 65535 };

static enum status fault(struct str *cause, const char *sentence)
{
    *cause = str_from(sentence);
    return STATUS_INVALID;
}

// The port stands behind the last colon, but for one inside an IPv6 address.
static bool split_port(struct str text, struct str *host, struct str *port)
{
    for (size_t at = text.len; at > 0 && text.data[at - 1] != ']'; at--) {
        if (text.data[at - 1] == ':') {
            *host = (struct str){text.data, at - 1};
            *port = (struct str){text.data + at, text.len - at};
            return true;
        }
    }
    *host = text;
    return false;
}

static enum status read_host(struct str text, bool needs_port, struct redis_settings *settings,
                             struct str *cause)
{
    struct str host;
    struct str port;
    int64_t number = PORT_DEFAULT;
    bool has_port = split_port(text, &host, &port);
    if (has_port ? !str_to_int64(port, &number) || number < 1 || number > PORT_MAX : needs_port) {
        return fault(cause, "the port is no number from 1 to 65535");
    }
    if (host.len > 2 && host.data[0] == '[' && host.data[host.len - 1] == ']') {
        host = (struct str){host.data + 1, host.len - 2};
    }
    if (host.len == 0 || host.len > REDIS_HOST_MAX) {
        return fault(cause, "the host is missing or longer than 255 characters");
    }
    memcpy(settings->host, host.data, host.len);
    settings->port = (int)number;
    return STATUS_OK;
}

static enum status read_user(struct str text, struct redis_settings *settings, struct str *cause)
{
    struct str user;
    struct str password;
    if (!str_split(text, ':', &user, &password) || user.len == 0 || password.len == 0) {
        return fault(cause, "before the @ there is no user:password");
    }
    if (user.len > REDIS_USER_MAX || password.len > REDIS_PASSWORD_MAX) {
        return fault(cause, "the user or the password is too long");
    }
    if (url_decode(user, settings->user) != STATUS_OK ||
        url_decode(password, settings->password) != STATUS_OK) {
        return fault(cause, "the user or the password is not percent-encoded properly");
    }
    return STATUS_OK;
}

// All documents lie in database 0.
static bool drop_database(struct str *text)
{
    struct str host;
    struct str database;
    if (!str_split(*text, '/', &host, &database)) {
        return true;
    }
    *text = host;
    return database.len == 0 || str_eq(database, STR("0"));
}

static enum status read_url(struct str text, struct redis_settings *settings, struct str *cause)
{
    struct str user;
    enum status status = STATUS_OK;
    if (url_split_user(text, &user, &text)) {
        status = read_user(user, settings, cause);
    }
    if (status == STATUS_OK && !drop_database(&text)) {
        return fault(cause, "the only database is /0");
    }
    return status == STATUS_OK ? read_host(text, false, settings, cause) : status;
}

enum status redis_settings_read(struct str text, struct redis_settings *settings, struct str *cause)
{
    struct redis_settings read = {.port = PORT_DEFAULT};
    struct str scheme = STR("redis://");
    if (str_starts_with(text, STR("rediss://"))) {
        return fault(cause, "rediss is not supported; use redis:// over a private network or mesh");
    }
    enum status status =
        str_starts_with(text, scheme)
            ? read_url((struct str){text.data + scheme.len, text.len - scheme.len}, &read, cause)
            : read_host(text, true, &read, cause);
    if (status == STATUS_OK) {
        *settings = read;
    }
    return status;
}

bool redis_answer_refuses(const char *answer)
{
    static const char in_script[] = "ERR The user executing the script can't run";
    return strncmp(answer, in_script, sizeof(in_script) - 1) == 0 ||
           strncmp(answer, "NOPERM", 6) == 0 || strncmp(answer, "NOAUTH", 6) == 0 ||
           strncmp(answer, "WRONGPASS", 9) == 0;
}

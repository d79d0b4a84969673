// SPDX-License-Identifier: Apache-2.0
// RabbitMQ's management API, which alone tells bindings: one blocking GET, bounded in time and
// size.
#include "infrastructure/rabbitmq/management.h"

#include <errno.h>
#include <netdb.h>
#include <openssl/evp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/monotonic.h"

enum {
    DEFAULT_PORT = 15672,
    AMQP_PORT = 5672,
    ANSWER_MS = 2000,
    LOGIN_MAX = 512, // user:password
    REQUEST_MAX = 4096
};

// The same form as COMANDA_AMQP's, so one reader reads both.
enum status rabbitmq_management_read(struct str url, struct arena *arena,
                                     struct rabbitmq_management *management, struct str *cause)
{
    struct rabbitmq_settings read;
    struct str scheme = STR("http://");
    if (!str_starts_with(url, scheme)) {
        *cause = STR("does not begin with http:// (https is not supported; use a private network)");
        return STATUS_INVALID;
    }
    struct str rest = {url.data + scheme.len, url.len - scheme.len};
    struct str amqp = arena_printf(arena, "amqp://%.*s", STR_FMT(rest));
    enum status status =
        amqp.data == NULL ? STATUS_NO_MEMORY : rabbitmq_settings_read(amqp, arena, &read, cause);
    if (status != STATUS_OK) {
        return status;
    }
    if (strcmp(read.vhost, "/") != 0) {
        *cause = STR("there is something behind the port");
        return STATUS_INVALID;
    }
    if (strlen(read.user) + strlen(read.password) + 1 > LOGIN_MAX) {
        *cause = STR("user and password are longer than 511 bytes");
        return STATUS_INVALID;
    }
    *management = (struct rabbitmq_management){
        .host = read.host,
        .port = read.port == AMQP_PORT ? DEFAULT_PORT : read.port, // which no API is found at
        .user = read.user,
        .password = read.password};
    return STATUS_OK;
}

// --- the request

static enum status write_request(const struct rabbitmq_management *management, struct str path,
                                 struct buffer *out)
{
    char login[LOGIN_MAX + 1];
    char encoded[4 * ((LOGIN_MAX + 2) / 3) + 1];
    int length = snprintf(login, sizeof(login), "%s:%s", management->user, management->password);
    if (length < 0 || (size_t)length >= sizeof(login)) {
        return STATUS_INVALID;
    }
    (void)EVP_EncodeBlock((unsigned char *)encoded, (const unsigned char *)login, length);
    // 1.0, so that the answer ends with the connection and comes in one piece.
    buffer_printf(out, "GET %.*s HTTP/1.0\r\nHost: %s\r\nAuthorization: Basic %s\r\n\r\n",
                  STR_FMT(path), management->host, encoded);
    return out->status;
}

// --- the socket

static enum status wait_for(int socket, short events, int64_t until_ms)
{
    struct pollfd one = {.fd = socket, .events = events};
    int64_t left = until_ms - monotonic_ms();
    int ready = left <= 0 ? 0 : poll(&one, 1, (int)left);
    if (ready < 0 && errno == EINTR) {
        return wait_for(socket, events, until_ms);
    }
    return ready > 0 ? STATUS_OK : ready == 0 ? STATUS_TIMEOUT : STATUS_UNAVAILABLE;
}

static enum status connect_one(const struct addrinfo *address, int64_t until_ms, int *made)
{
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int fault = 0;
    socklen_t size = sizeof(fault);
    if (fd < 0) {
        return STATUS_UNAVAILABLE;
    }
    enum status status = connect(fd, address->ai_addr, address->ai_addrlen) == 0 ? STATUS_OK
                         : errno == EINPROGRESS ? wait_for(fd, POLLOUT, until_ms)
                                                : STATUS_UNAVAILABLE;
    if (status == STATUS_OK &&
        (getsockopt(fd, SOL_SOCKET, SO_ERROR, &fault, &size) != 0 || fault != 0)) {
        status = STATUS_UNAVAILABLE;
    }
    if (status != STATUS_OK) {
        (void)close(fd);
        return status;
    }
    *made = fd;
    return STATUS_OK;
}

static enum status connect_to(const struct rabbitmq_management *management, int64_t *until_ms,
                              int *made)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    char port[16];
    enum status status = STATUS_UNAVAILABLE;
    (void)snprintf(port, sizeof(port), "%d", management->port);
    if (getaddrinfo(management->host, port, &hints, &found) != 0) {
        return STATUS_UNAVAILABLE;
    }
    *until_ms = monotonic_ms() + ANSWER_MS;
    for (const struct addrinfo *each = found; each != NULL && status != STATUS_OK;
         each = each->ai_next) {
        status = connect_one(each, *until_ms, made);
    }
    freeaddrinfo(found);
    return status;
}

static enum status send_all(int fd, struct str bytes, int64_t until_ms)
{
    size_t sent = 0;
    enum status status = STATUS_OK;
    while (sent < bytes.len && status == STATUS_OK) {
        ssize_t some = send(fd, bytes.data + sent, bytes.len - sent, MSG_NOSIGNAL);
        if (some > 0) {
            sent += (size_t)some;
        } else if (errno == EAGAIN || errno == EINTR) {
            status = wait_for(fd, POLLOUT, until_ms);
        } else {
            status = STATUS_UNAVAILABLE;
        }
    }
    return status;
}

static enum status receive_all(int fd, struct buffer *answer, int64_t until_ms)
{
    char some[16 * 1024];
    ssize_t got = 1;
    enum status status = STATUS_OK;
    while (got != 0 && status == STATUS_OK) {
        got = recv(fd, some, sizeof(some), 0);
        if (got > 0) {
            buffer_add(answer, (struct str){some, (size_t)got});
            status = answer->status;
        } else if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
            status = wait_for(fd, POLLIN, until_ms);
        } else if (got < 0) {
            status = STATUS_UNAVAILABLE;
        }
    }
    return status;
}

// --- the answer

static enum status read_answer(struct str answer, struct str *body, char *cause)
{
    const char *end = NULL;
    for (size_t at = 0; end == NULL && at + 4 <= answer.len; at++) {
        end = memcmp(answer.data + at, "\r\n\r\n", 4) == 0 ? answer.data + at + 4 : NULL;
    }
    // "HTTP/1.1 200 OK"
    if (end == NULL || !str_starts_with(answer, STR("HTTP/1.")) || answer.len < 12) {
        (void)snprintf(cause, MANAGEMENT_CAUSE_MAX, "the management API answers no HTTP");
        return STATUS_MALFORMED;
    }
    if (memcmp(answer.data + 8, " 200", 4) != 0) {
        (void)snprintf(cause, MANAGEMENT_CAUSE_MAX, "the management API says%.4s", answer.data + 8);
        return STATUS_REFUSED;
    }
    *body = (struct str){end, answer.len - (size_t)(end - answer.data)};
    return STATUS_OK;
}

enum status rabbitmq_management_get(const struct rabbitmq_management *management, struct str path,
                                    struct buffer *answer, struct str *body,
                                    char cause[MANAGEMENT_CAUSE_MAX])
{
    struct buffer request;
    int64_t until_ms = 0;
    int fd = -1;
    buffer_init(&request, NULL, REQUEST_MAX);
    enum status status = write_request(management, path, &request);
    status = status == STATUS_OK ? connect_to(management, &until_ms, &fd) : status;
    status = status == STATUS_OK ? send_all(fd, buffer_view(&request), until_ms) : status;
    status = status == STATUS_OK ? receive_all(fd, answer, until_ms) : status;
    buffer_free(&request);
    if (fd >= 0) {
        (void)close(fd);
    }
    if (status != STATUS_OK) {
        (void)snprintf(cause, MANAGEMENT_CAUSE_MAX, "the management API at %.200s:%d: %s",
                       management->host, management->port, status_text(status));
        return status;
    }
    return read_answer(buffer_view(answer), body, cause);
}

// SPDX-License-Identifier: Apache-2.0
// One AMQP connection with one channel, frame by frame, in which no call hangs for ever.
#include "infrastructure/rabbitmq/connection.h"

#include <amqp_tcp_socket.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "base/monotonic.h"
#include "infrastructure/rabbitmq/watchdog.h"

enum {
    FRAME_BYTES_MAX = 131072,
    CHANNELS_MAX = 2,
    SEND_BUFFER_BYTES = 512 * 1024, // the kernel may give less
    DEAD_PEER_MS = 30000,           // unacknowledged by the peer's kernel for so long
    RELEASE_EVERY = 64,             // frames between two returns of the library's memory
};

struct rabbitmq_connection {
    amqp_connection_state_t state;
    struct watchdog_guard guard;
    int fd;
    int stall_ms;
    bool watched;
    bool dead;
    bool channel_closed; // dead only because the broker closed the channel over an RPC
    bool blocked;
    int code;
    int64_t beat_at_ms; // the next heartbeat of breathe
    unsigned frames;    // since the library's memory was given back
    char cause[RABBITMQ_CAUSE_MAX];
};

int64_t rabbitmq_now_ms(void)
{
    return monotonic_ms();
}

static struct timeval duration(int ms)
{
    return (struct timeval){.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
}

static enum status die(struct rabbitmq_connection *connection, const char *cause)
{
    connection->dead = true;
    (void)snprintf(connection->cause, sizeof(connection->cause), "%s", cause);
    return STATUS_UNAVAILABLE;
}

static enum status die_by_library(struct rabbitmq_connection *connection, int amqp_status)
{
    return die(connection, amqp_error_string2(amqp_status));
}

static void keep_closing(struct rabbitmq_connection *connection, int code, amqp_bytes_t text)
{
    connection->dead = true;
    connection->code = code;
    (void)snprintf(connection->cause, sizeof(connection->cause), "%d %.*s", code, (int)text.len,
                   (const char *)text.bytes);
}

static void keep_closing_method(struct rabbitmq_connection *connection, const amqp_method_t *method)
{
    if (method->id == AMQP_CONNECTION_CLOSE_METHOD) {
        const amqp_connection_close_t *close = method->decoded;
        keep_closing(connection, close->reply_code, close->reply_text);
    } else if (method->id == AMQP_CHANNEL_CLOSE_METHOD) {
        const amqp_channel_close_t *close = method->decoded;
        keep_closing(connection, close->reply_code, close->reply_text);
    } else {
        die(connection, "the broker answered with an unexpected method");
    }
}

amqp_connection_state_t rabbitmq_connection_enter(struct rabbitmq_connection *connection)
{
    watchdog_enter(&connection->guard, connection->stall_ms);
    return connection->state;
}

void rabbitmq_connection_leave(struct rabbitmq_connection *connection)
{
    watchdog_leave(&connection->guard);
}

// What the broker closes wants to be answered.
static void answer_close(struct rabbitmq_connection *connection, int channel,
                         amqp_method_number_t id)
{
    amqp_channel_close_ok_t ok = {0};
    bool whole = id == AMQP_CONNECTION_CLOSE_METHOD;
    (void)amqp_send_method(rabbitmq_connection_enter(connection), (amqp_channel_t)channel,
                           whole ? AMQP_CONNECTION_CLOSE_OK_METHOD : AMQP_CHANNEL_CLOSE_OK_METHOD,
                           &ok);
    rabbitmq_connection_leave(connection);
}

static enum status judge(struct rabbitmq_connection *connection, amqp_rpc_reply_t reply)
{
    switch (reply.reply_type) {
    case AMQP_RESPONSE_NORMAL:
        return STATUS_OK;
    case AMQP_RESPONSE_SERVER_EXCEPTION:
        keep_closing_method(connection, &reply.reply);
        connection->channel_closed = reply.reply.id == AMQP_CHANNEL_CLOSE_METHOD;
        answer_close(connection, connection->channel_closed ? RABBITMQ_CHANNEL : 0, reply.reply.id);
        return STATUS_UNAVAILABLE;
    case AMQP_RESPONSE_LIBRARY_EXCEPTION:
        return die_by_library(connection, reply.library_error);
    case AMQP_RESPONSE_NONE:
        break;
    }
    return die(connection, "the broker gave no answer");
}

enum status rabbitmq_connection_sent(struct rabbitmq_connection *connection, int amqp_status)
{
    return amqp_status == AMQP_STATUS_OK ? STATUS_OK : die_by_library(connection, amqp_status);
}

enum status rabbitmq_connection_replied(struct rabbitmq_connection *connection)
{
    return judge(connection, amqp_get_rpc_reply(connection->state));
}

static enum status open_socket(struct rabbitmq_connection *connection,
                               const struct rabbitmq_settings *settings)
{
    struct timeval limit = duration(settings->connect_timeout_ms);
    amqp_socket_t *socket = amqp_tcp_socket_new(connection->state);
    if (socket == NULL) {
        return STATUS_NO_MEMORY;
    }
    int opened = amqp_socket_open_noblock(socket, settings->host, settings->port, &limit);
    if (opened != AMQP_STATUS_OK) {
        return die_by_library(connection, opened);
    }
    connection->fd = amqp_get_sockfd(connection->state);
    return STATUS_OK;
}

// None of these is vital, so a kernel that refuses one is left in peace.
static void tune_socket(int fd)
{
    int on = 1;
    int bytes = SEND_BUFFER_BYTES;
    unsigned dead_ms = DEAD_PEER_MS;
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &dead_ms, sizeof(dead_ms));
}

static amqp_table_entry_t flag(const char *name)
{
    return (amqp_table_entry_t){
        .key = amqp_cstring_bytes(name),
        .value = {.kind = AMQP_FIELD_KIND_BOOLEAN, .value = {.boolean = 1}},
    };
}

static enum status log_in(struct rabbitmq_connection *connection,
                          const struct rabbitmq_settings *settings, const char *name)
{
    amqp_table_entry_t capabilities[] = {
        flag("authentication_failure_close"), flag("exchange_exchange_bindings"),
        flag("consumer_cancel_notify"),       flag("connection.blocked"),
        flag("publisher_confirms"),           flag("basic.nack"),
    };
    amqp_table_entry_t properties[] = {
        {.key = amqp_cstring_bytes("capabilities"),
         .value = {.kind = AMQP_FIELD_KIND_TABLE,
                   .value = {.table = {sizeof(capabilities) / sizeof(capabilities[0]),
                                       capabilities}}}},
        {.key = amqp_cstring_bytes("connection_name"),
         .value = {.kind = AMQP_FIELD_KIND_UTF8, .value = {.bytes = amqp_cstring_bytes(name)}}},
    };
    amqp_table_t table = {sizeof(properties) / sizeof(properties[0]), properties};
    struct timeval handshake = duration(settings->connect_timeout_ms);
    struct timeval rpc = duration(settings->rpc_timeout_ms);
    amqp_set_handshake_timeout(connection->state, &handshake);
    amqp_set_rpc_timeout(connection->state, &rpc);
    return judge(connection, amqp_login_with_properties(
                                 connection->state, settings->vhost, CHANNELS_MAX, FRAME_BYTES_MAX,
                                 settings->heartbeat_s, &table, AMQP_SASL_METHOD_PLAIN,
                                 settings->user, settings->password));
}

static enum status open_channel(struct rabbitmq_connection *connection)
{
    amqp_channel_open(rabbitmq_connection_enter(connection), RABBITMQ_CHANNEL);
    rabbitmq_connection_leave(connection);
    return rabbitmq_connection_replied(connection);
}

enum status rabbitmq_connection_reopen(struct rabbitmq_connection *connection)
{
    if (!connection->channel_closed) {
        return STATUS_UNAVAILABLE;
    }
    connection->channel_closed = false;
    connection->dead = false;
    connection->code = 0;
    return open_channel(connection);
}

static enum status set_up(struct rabbitmq_connection *connection,
                          const struct rabbitmq_settings *settings, const char *purpose)
{
    char name[128];
    (void)snprintf(name, sizeof(name), "%s %s", settings->name, purpose);
    enum status status = open_socket(connection, settings);
    if (status != STATUS_OK) {
        return status;
    }
    status = watchdog_watch(&connection->guard, connection->fd);
    if (status != STATUS_OK) {
        return status;
    }
    connection->watched = true;
    tune_socket(connection->fd);
    rabbitmq_connection_enter(connection);
    status = log_in(connection, settings, name);
    rabbitmq_connection_leave(connection);
    return status == STATUS_OK ? open_channel(connection) : status;
}

// Wrong credentials (403) and virtual hosts (530) do not mend themselves by waiting.
static enum status refused_or(enum status status, int code)
{
    return status == STATUS_UNAVAILABLE && (code == AMQP_ACCESS_REFUSED || code == AMQP_NOT_ALLOWED)
               ? STATUS_REFUSED
               : status;
}

enum status rabbitmq_connection_open(const struct rabbitmq_settings *settings, const char *purpose,
                                     struct rabbitmq_connection **connection,
                                     char cause[RABBITMQ_CAUSE_MAX])
{
    struct rabbitmq_connection *made = calloc(1, sizeof(*made));
    if (made == NULL) {
        return STATUS_NO_MEMORY;
    }
    made->fd = -1;
    made->stall_ms = settings->stall_ms;
    made->state = amqp_new_connection();
    enum status status = made->state == NULL ? STATUS_NO_MEMORY : set_up(made, settings, purpose);
    if (status != STATUS_OK) {
        status = refused_or(status, made->code);
        (void)snprintf(cause, RABBITMQ_CAUSE_MAX, "%s",
                       made->cause[0] == '\0' ? status_text(status) : made->cause);
        made->dead = true;
        rabbitmq_connection_close(made);
        return status;
    }
    *connection = made;
    return STATUS_OK;
}

void rabbitmq_connection_close(struct rabbitmq_connection *connection)
{
    if (connection == NULL) {
        return;
    }
    if (!connection->dead && !connection->blocked) {
        (void)amqp_connection_close(rabbitmq_connection_enter(connection), AMQP_REPLY_SUCCESS);
        rabbitmq_connection_leave(connection);
    }
    if (connection->watched) {
        watchdog_unwatch(&connection->guard);
    }
    if (connection->state != NULL) {
        (void)amqp_destroy_connection(connection->state);
    }
    free(connection);
}

// True: it was about the connection itself and is dealt with.
static bool take_own(struct rabbitmq_connection *connection, const amqp_frame_t *frame)
{
    if (frame->frame_type != AMQP_FRAME_METHOD) {
        return false;
    }
    switch (frame->payload.method.id) {
    case AMQP_CONNECTION_BLOCKED_METHOD:
        connection->blocked = true;
        return true;
    case AMQP_CONNECTION_UNBLOCKED_METHOD:
        connection->blocked = false;
        return true;
    case AMQP_CONNECTION_CLOSE_METHOD:
    case AMQP_CHANNEL_CLOSE_METHOD:
        keep_closing_method(connection, &frame->payload.method);
        answer_close(connection, frame->channel, frame->payload.method.id);
        return true;
    default:
        return frame->channel != RABBITMQ_CHANNEL;
    }
}

// Whatever a caller needs of a frame it has copied by now.
static void release_memory(struct rabbitmq_connection *connection)
{
    connection->frames = 0;
    amqp_maybe_release_buffers(connection->state);
}

static int read_frame(struct rabbitmq_connection *connection, amqp_frame_t *frame)
{
    struct timeval at_once = {0};
    if (++connection->frames >= RELEASE_EVERY) {
        release_memory(connection);
    }
    int read =
        amqp_simple_wait_frame_noblock(rabbitmq_connection_enter(connection), frame, &at_once);
    rabbitmq_connection_leave(connection);
    return read;
}

// False: nothing came in time, or a signal did.
static bool wait_for_input(const struct rabbitmq_connection *connection, int wait_ms)
{
    struct pollfd input = {.fd = connection->fd, .events = POLLIN};
    return wait_ms > 0 && poll(&input, 1, wait_ms) > 0;
}

enum status rabbitmq_connection_frame(struct rabbitmq_connection *connection, int wait_ms,
                                      amqp_frame_t *frame, bool *got)
{
    bool waited = false;
    while (!connection->dead) {
        int read = read_frame(connection, frame);
        if (read == AMQP_STATUS_OK) {
            if (!take_own(connection, frame)) {
                *got = true;
                return STATUS_OK;
            }
        } else if (read != AMQP_STATUS_TIMEOUT) {
            return die_by_library(connection, read);
        } else if (waited || !wait_for_input(connection, wait_ms)) {
            release_memory(connection);
            *got = false;
            return STATUS_OK;
        } else {
            waited = true;
        }
    }
    return STATUS_UNAVAILABLE;
}

bool rabbitmq_connection_blocked(const struct rabbitmq_connection *connection)
{
    return connection->blocked;
}

bool rabbitmq_connection_writable(const struct rabbitmq_connection *connection)
{
    struct pollfd output = {.fd = connection->fd, .events = POLLOUT};
    return poll(&output, 1, 0) == 1;
}

// False: no room in time.
static bool wait_for_room(const struct rabbitmq_connection *connection, int64_t deadline_ms)
{
    struct pollfd output = {.fd = connection->fd, .events = POLLOUT};
    int64_t left = deadline_ms - rabbitmq_now_ms();
    return left > 0 && (poll(&output, 1, (int)left) > 0 || errno == EINTR);
}

enum status rabbitmq_connection_write(struct rabbitmq_connection *connection, struct str frames)
{
    int64_t deadline_ms = 0;
    while (frames.len > 0 && !connection->dead) {
        ssize_t sent = send(connection->fd, frames.data, frames.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent > 0) {
            frames = (struct str){frames.data + sent, frames.len - (size_t)sent};
        } else if (sent < 0 && errno != EAGAIN && errno != EINTR) {
            return die(connection, "the connection was lost while writing");
        } else {
            deadline_ms = deadline_ms == 0 ? rabbitmq_now_ms() + connection->stall_ms : deadline_ms;
            if (!wait_for_room(connection, deadline_ms)) {
                return die(connection, "the broker takes no more bytes");
            }
        }
    }
    return connection->dead ? STATUS_UNAVAILABLE : STATUS_OK;
}

// Twice as often as agreed. A broker that takes no bytes now has other reasons to wait.
enum status rabbitmq_connection_breathe(struct rabbitmq_connection *connection)
{
    static const char heartbeat[] = {AMQP_FRAME_HEARTBEAT, 0, 0, 0, 0, 0, 0, (char)AMQP_FRAME_END};
    int64_t now_ms = rabbitmq_now_ms();
    int interval_s = amqp_get_heartbeat(connection->state);
    if (connection->dead) {
        return STATUS_UNAVAILABLE;
    }
    if (interval_s == 0 || now_ms < connection->beat_at_ms ||
        !rabbitmq_connection_writable(connection)) {
        return STATUS_OK;
    }
    connection->beat_at_ms = now_ms + (int64_t)interval_s * 1000 / 2;
    return rabbitmq_connection_write(connection, (struct str){heartbeat, sizeof(heartbeat)});
}

size_t rabbitmq_connection_frame_max(const struct rabbitmq_connection *connection)
{
    return (size_t)amqp_get_frame_max(connection->state);
}

int rabbitmq_connection_code(const struct rabbitmq_connection *connection)
{
    return connection->code;
}

const char *rabbitmq_connection_cause(const struct rabbitmq_connection *connection)
{
    return connection->cause;
}

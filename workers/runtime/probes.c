// SPDX-License-Identifier: Apache-2.0
// A daemon's small HTTP server: /healthz, /readyz and /metrics, answered by a thread of its own so
// that they answer while the daemon waits for a server.
#include "runtime/probes.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "infrastructure/telemetry/metrics.h"

enum {
    PROBE_CONNECTIONS_MAX = 32,
    PROBE_TIMEOUT_S = 5,
    PROBE_BACKLOG = 16,
    PROBE_BODY_MAX = 1024 * 1024,
    PROBE_HOST_MAX = 256,
    PROBE_ADDRESS_MAX = 300
};

struct probes {
    struct MHD_Daemon *daemon;
    struct probe_source source;
    char address[PROBE_ADDRESS_MAX];
};

struct answer {
    unsigned int code;
    const char *content_type;
};

static bool fill(const struct probes *probes, const char *path, struct buffer *body,
                 struct answer *answer)
{
    if (strcmp(path, "/healthz") == 0) {
        bool healthy = probes->source.healthy(probes->source.context, body);
        *answer = (struct answer){healthy ? 200 : 503, "text/plain; charset=utf-8"};
    } else if (strcmp(path, "/readyz") == 0) {
        bool ready = probes->source.ready(probes->source.context, body);
        *answer = (struct answer){ready ? 200 : 503, "application/json"};
    } else if (strcmp(path, "/metrics") == 0) {
        metrics_render(body);
        *answer = (struct answer){200, "text/plain; version=0.0.4; charset=utf-8"};
    } else {
        return false;
    }
    return true;
}

static enum MHD_Result send_answer(struct MHD_Connection *connection, struct answer answer,
                                   const struct buffer *body)
{
    struct str text = buffer_view(body);
    struct MHD_Response *response = MHD_create_response_from_buffer(
        text.len, (void *)(uintptr_t)text.data, MHD_RESPMEM_MUST_COPY);
    if (response == NULL) {
        return MHD_NO;
    }
    (void)MHD_add_response_header(response, "Content-Type", answer.content_type);
    (void)MHD_add_response_header(response, "Cache-Control", "no-store");
    if (answer.code == 405) {
        (void)MHD_add_response_header(response, "Allow", "GET, HEAD");
    }
    enum MHD_Result result = MHD_queue_response(connection, answer.code, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result answer_request(void *context, struct MHD_Connection *connection,
                                      const char *path, const char *method, const char *version,
                                      const char *upload, size_t *upload_size, void **state)
{
    (void)version;
    (void)upload;
    (void)state;
    struct buffer body;
    struct answer answer = {405, "text/plain; charset=utf-8"};
    *upload_size = 0; // a body is read and forgotten
    buffer_init(&body, NULL, PROBE_BODY_MAX);
    bool reads = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
    if (!reads) {
        buffer_add(&body, STR("only GET and HEAD\n"));
    } else if (!fill(context, path, &body, &answer)) {
        answer = (struct answer){404, "text/plain; charset=utf-8"};
        buffer_add(&body, STR("try /healthz, /readyz or /metrics\n"));
    } else if (body.status != STATUS_OK) {
        answer = (struct answer){500, "text/plain; charset=utf-8"};
        buffer_reset(&body);
    }
    enum MHD_Result result = send_answer(connection, answer, &body);
    buffer_free(&body);
    return result;
}

static bool split_address(const char *address, char host[PROBE_HOST_MAX], const char **port)
{
    const char *colon = strrchr(address, ':');
    if (colon == NULL || (size_t)(colon - address) >= PROBE_HOST_MAX) {
        return false;
    }
    const char *start = address[0] == '[' ? address + 1 : address;
    const char *end = address[0] == '[' ? colon - 1 : colon;
    (void)snprintf(host, PROBE_HOST_MAX, "%.*s", (int)(end - start), start);
    *port = colon + 1;
    return true;
}

static int open_one(const struct addrinfo *at)
{
    int fd = socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, at->ai_protocol);
    int on = 1;
    if (fd < 0) {
        return -1;
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, at->ai_addr, at->ai_addrlen) != 0 || listen(fd, PROBE_BACKLOG) != 0) {
        int reason = errno;
        (void)close(fd);
        errno = reason;
        return -1;
    }
    return fd;
}

static int open_socket(const char *address, const char **fault)
{
    char host[PROBE_HOST_MAX];
    const char *port = NULL;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *found = NULL;
    if (!split_address(address, host, &port)) {
        *fault = "write host:port";
        return -1;
    }
    int failed = getaddrinfo(host, port, &hints, &found);
    if (failed != 0) {
        *fault = gai_strerror(failed);
        return -1;
    }
    int fd = open_one(found);
    *fault = fd < 0 ? strerror(errno) : *fault;
    freeaddrinfo(found);
    return fd;
}

static void name_address(int fd, char text[PROBE_ADDRESS_MAX])
{
    struct sockaddr_storage bound;
    socklen_t len = sizeof(bound);
    char host[PROBE_HOST_MAX] = "?";
    char port[16] = "0";
    if (getsockname(fd, (struct sockaddr *)&bound, &len) == 0) {
        (void)getnameinfo((struct sockaddr *)&bound, len, host, sizeof(host), port, sizeof(port),
                          NI_NUMERICHOST | NI_NUMERICSERV);
    }
    (void)snprintf(text, PROBE_ADDRESS_MAX, bound.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host,
                   port);
}

struct probes *probes_start(const char *address, const struct probe_source *source,
                            const char **fault)
{
    int fd = open_socket(address, fault);
    struct probes *probes = fd < 0 ? NULL : calloc(1, sizeof(*probes));
    if (probes == NULL) {
        return NULL;
    }
    probes->source = *source;
    name_address(fd, probes->address);
    probes->daemon =
        MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD, 0, NULL, NULL, answer_request, probes,
                         MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
                         (unsigned int)PROBE_CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
                         (unsigned int)PROBE_TIMEOUT_S, MHD_OPTION_END);
    if (probes->daemon == NULL) {
        *fault = "the probe server did not start";
        (void)close(fd);
        free(probes);
        return NULL;
    }
    return probes;
}

const char *probes_address(const struct probes *probes)
{
    return probes->address;
}

void probes_stop(struct probes *probes)
{
    MHD_stop_daemon(probes->daemon); // closes the socket too
    free(probes);
}

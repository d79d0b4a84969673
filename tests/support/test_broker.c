// SPDX-License-Identifier: Apache-2.0
// A virtual host of a test's own on the shared RabbitMQ, and its management API.
#include "test_broker.h"

#include <criterion/criterion.h>
#include <netdb.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

enum { REQUEST_MAX = 4096, ANSWER_MAX = 256 * 1024 };

// http://user:password@host:port, in parts.
struct management {
    char credentials[256];
    char host[128];
    char port[16];
};

static struct management management_of(void)
{
    struct management parts;
    const char *url = getenv("COMANDA_TEST_AMQP_HTTP");
    cr_assert_not_null(url, "COMANDA_TEST_AMQP_HTTP is not set");
    cr_assert_eq(
        sscanf(url, "http://%255[^@]@%127[^:]:%15[0-9]", parts.credentials, parts.host, parts.port),
        3, "COMANDA_TEST_AMQP_HTTP is not http://user:password@host:port");
    return parts;
}

static int dial(const struct management *parts)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_family = AF_INET};
    struct addrinfo *found = NULL;
    cr_assert_eq(getaddrinfo(parts->host, parts->port, &hints, &found), 0);
    int fd = socket(found->ai_family, found->ai_socktype, 0);
    cr_assert_eq(connect(fd, found->ai_addr, found->ai_addrlen), 0, "no management API");
    freeaddrinfo(found);
    return fd;
}

static size_t read_all(int fd, char *answer, size_t size)
{
    size_t length = 0;
    ssize_t got;
    while (length + 1 < size && (got = read(fd, answer + length, size - 1 - length)) > 0) {
        length += (size_t)got;
    }
    answer[length] = '\0';
    return length;
}

int test_broker_call(const char *method, const char *path, const char *body, char *answer,
                     size_t size)
{
    struct management parts = management_of();
    unsigned char token[512];
    char request[REQUEST_MAX];
    EVP_EncodeBlock(token, (const unsigned char *)parts.credentials,
                    (int)strlen(parts.credentials));
    int length = snprintf(request, sizeof(request),
                          "%s %s HTTP/1.0\r\nHost: %s\r\nAuthorization: Basic %s\r\n"
                          "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                          method, path, parts.host, token, body == NULL ? 0 : strlen(body),
                          body == NULL ? "" : body);
    cr_assert_lt(length, REQUEST_MAX);
    int fd = dial(&parts);
    cr_assert_eq(write(fd, request, (size_t)length), length);
    char *all = malloc(ANSWER_MAX);
    read_all(fd, all, ANSWER_MAX);
    close(fd);
    int status = 0;
    cr_assert_eq(sscanf(all, "HTTP/%*s %d", &status), 1, "no answer to %s %s", method, path);
    const char *content = strstr(all, "\r\n\r\n");
    if (answer != NULL) {
        snprintf(answer, size, "%s", content == NULL ? "" : content + 4);
    }
    free(all);
    return status;
}

static void name_vhost(struct test_broker *broker)
{
    unsigned char random[8];
    cr_assert_eq(getrandom(random, sizeof(random), 0), (ssize_t)sizeof(random));
    strcpy(broker->vhost, "test-");
    for (size_t i = 0; i < sizeof(random); i++) {
        sprintf(broker->vhost + 5 + 2 * i, "%02x", random[i]);
    }
}

static void vhost_path(const struct test_broker *broker, char path[128])
{
    snprintf(path, 128, "/api/vhosts/%s", broker->vhost);
}

void test_broker_open(struct test_broker *broker, struct arena *arena)
{
    const char *url = getenv("COMANDA_TEST_AMQP");
    struct str cause = STR("");
    char path[128];
    cr_assert_not_null(url, "COMANDA_TEST_AMQP is not set");
    cr_assert_eq(rabbitmq_settings_read(str_from(url), arena, &broker->settings, &cause), STATUS_OK,
                 "COMANDA_TEST_AMQP: %.*s", STR_FMT(cause));
    name_vhost(broker);
    vhost_path(broker, path);
    int status = test_broker_call("PUT", path, "{}", NULL, 0);
    cr_assert(status == 201 || status == 204, "no virtual host: %d", status);
    broker->settings.vhost = broker->vhost;
}

void test_broker_close(struct test_broker *broker)
{
    char path[128];
    vhost_path(broker, path);
    cr_assert_eq(test_broker_call("DELETE", path, NULL, NULL, 0), 204);
}

// SPDX-License-Identifier: Apache-2.0
// A RabbitMQ virtual host of a test's own, made and dropped by the management API.
#include "test_vhost.h"

#include <criterion/criterion.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/wait.h>

extern char **environ;

static const char *server(const char *variable)
{
    const char *value = getenv(variable);
    cr_assert_not_null(value, "%s must name the test's RabbitMQ server", variable);
    return value;
}

// Criterion runs each test in a process of its own, and runs may share a server: chance parts them.
static void choose_name(char name[TEST_VHOST_NAME_MAX])
{
    uint64_t chance = 0;
    cr_assert_eq(getrandom(&chance, sizeof(chance), 0), (ssize_t)sizeof(chance));
    snprintf(name, TEST_VHOST_NAME_MAX, "test_%016llx", (unsigned long long)chance);
}

void test_vhost_call(const char *method, const char *path, const char *body)
{
    char url[TEST_VHOST_URL_MAX];
    snprintf(url, sizeof(url), "%s%s", server("COMANDA_TEST_AMQP_HTTP"), path);
    const char *arguments[] = {"curl",       "--silent", "--show-error",
                               "--fail",     "-o",       "/dev/null",
                               "--max-time", "30",       "-X",
                               method,       "-H",       "Content-Type: application/json",
                               "-d",         body,       url,
                               NULL};
    pid_t child = 0;
    cr_assert_eq(posix_spawnp(&child, "curl", NULL, NULL, (char *const *)arguments, environ), 0,
                 "curl cannot be started");
    int status = 0;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s %s failed", method, path);
}

void test_vhost_make(struct test_vhost *vhost)
{
    char path[TEST_VHOST_URL_MAX];
    choose_name(vhost->name);
    snprintf(path, sizeof(path), "/api/vhosts/%s", vhost->name);
    test_vhost_call("PUT", path, "{}");
    snprintf(path, sizeof(path), "/api/permissions/%s/%s", vhost->name,
             server("COMANDA_TEST_AMQP_USER"));
    test_vhost_call("PUT", path, "{\"configure\":\".*\",\"write\":\".*\",\"read\":\".*\"}");
    int length =
        snprintf(vhost->url, sizeof(vhost->url), "amqp://%s:%s@%s:%s/%s",
                 server("COMANDA_TEST_AMQP_USER"), server("COMANDA_TEST_AMQP_PASSWORD"),
                 server("COMANDA_TEST_AMQP_HOST"), server("COMANDA_TEST_AMQP_PORT"), vhost->name);
    cr_assert_lt(length, (int)sizeof(vhost->url));
}

void test_vhost_drop(const struct test_vhost *vhost)
{
    char path[TEST_VHOST_URL_MAX];
    snprintf(path, sizeof(path), "/api/vhosts/%s", vhost->name);
    test_vhost_call("DELETE", path, "");
}

// SPDX-License-Identifier: Apache-2.0
// Which of the things a daemon depends on are there, with a sentence on each. Thread-safe.
#include "runtime/readiness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

void readiness_init(struct readiness *readiness)
{
    memset(readiness, 0, sizeof(*readiness));
    (void)pthread_mutex_init(&readiness->lock, NULL);
}

static struct readiness_check *check_of(struct readiness *readiness, const char *name)
{
    for (size_t at = 0; at < readiness->count; at++) {
        if (strcmp(readiness->checks[at].name, name) == 0) {
            return &readiness->checks[at];
        }
    }
    if (readiness->count == READINESS_CHECKS_MAX) {
        abort(); // the names are literals of ours
    }
    struct readiness_check *check = &readiness->checks[readiness->count++];
    *check = (struct readiness_check){.name = name, .detail = "not tried yet"};
    return check;
}

void readiness_add(struct readiness *readiness, const char *name)
{
    (void)pthread_mutex_lock(&readiness->lock);
    (void)check_of(readiness, name);
    (void)pthread_mutex_unlock(&readiness->lock);
}

bool readiness_update(struct readiness *readiness, const char *name, bool ready, const char *detail)
{
    (void)pthread_mutex_lock(&readiness->lock);
    struct readiness_check *check = check_of(readiness, name);
    char text[READINESS_DETAIL_MAX];
    (void)snprintf(text, sizeof(text), "%s", detail);
    bool changed = check->ready != ready || strcmp(check->detail, text) != 0;
    check->ready = ready;
    memcpy(check->detail, text, sizeof(text));
    (void)pthread_mutex_unlock(&readiness->lock);
    return changed;
}

static bool all_ready(const struct readiness *readiness)
{
    for (size_t at = 0; at < readiness->count; at++) {
        if (!readiness->checks[at].ready) {
            return false;
        }
    }
    return true;
}

bool readiness_of_all(struct readiness *readiness)
{
    (void)pthread_mutex_lock(&readiness->lock);
    bool ready = all_ready(readiness);
    (void)pthread_mutex_unlock(&readiness->lock);
    return ready;
}

static void render_check(struct json_writer *writer, const struct readiness_check *check)
{
    json_name(writer, str_from(check->name));
    json_object_begin(writer);
    json_name(writer, STR("status"));
    json_string(writer, check->ready ? STR("ok") : STR("failed"));
    json_name(writer, STR("detail"));
    json_string(writer, str_from(check->detail));
    json_object_end(writer);
}

bool readiness_render(struct readiness *readiness, struct buffer *out)
{
    struct json_writer writer;
    json_writer_init(&writer, out);
    (void)pthread_mutex_lock(&readiness->lock);
    bool ready = all_ready(readiness);
    json_object_begin(&writer);
    json_name(&writer, STR("status"));
    json_string(&writer, ready ? STR("ready") : STR("not ready"));
    json_name(&writer, STR("checks"));
    json_object_begin(&writer);
    for (size_t at = 0; at < readiness->count; at++) {
        render_check(&writer, &readiness->checks[at]);
    }
    json_object_end(&writer);
    json_object_end(&writer);
    (void)pthread_mutex_unlock(&readiness->lock);
    return ready;
}

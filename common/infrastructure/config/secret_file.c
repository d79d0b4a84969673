// SPDX-License-Identifier: Apache-2.0
// Reads a secret from a file, up to its first line end.
#include "infrastructure/config/secret_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

struct mark {
    const char *name;
    const char *bytes;
    size_t len;
};

// The longer ones first: UTF-32's little-endian mark begins with UTF-16's.
static const struct mark marks[] = {{"UTF-8", "\xEF\xBB\xBF", 3},
                                    {"UTF-32 (little-endian)", "\xFF\xFE\0\0", 4},
                                    {"UTF-32 (big-endian)", "\0\0\xFE\xFF", 4},
                                    {"UTF-16 (little-endian)", "\xFF\xFE", 2},
                                    {"UTF-16 (big-endian)", "\xFE\xFF", 2}};

static const struct mark *mark_of(const char *bytes, size_t len)
{
    for (size_t at = 0; at < sizeof(marks) / sizeof(marks[0]); at++) {
        if (len >= marks[at].len && memcmp(bytes, marks[at].bytes, marks[at].len) == 0) {
            return &marks[at];
        }
    }
    return NULL;
}

static enum status not_readable(const char *path, char fault[SECRET_FAULT_MAX])
{
    (void)snprintf(fault, SECRET_FAULT_MAX, "%.300s: %s", path, strerror(errno));
    return STATUS_NOT_FOUND;
}

// At most size bytes. A pipe gives them piece by piece.
static enum status read_bytes(const char *path, char *bytes, size_t size, size_t *len,
                              char fault[SECRET_FAULT_MAX])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return not_readable(path, fault);
    }
    ssize_t got = 0;
    *len = 0;
    do {
        *len += (size_t)got;
        got = read(fd, bytes + *len, size - *len);
    } while (got > 0 || (got < 0 && errno == EINTR && (got = 0) == 0));
    enum status status = got < 0 ? not_readable(path, fault) : STATUS_OK;
    (void)close(fd);
    return status;
}

static size_t first_line(const char *bytes, size_t len)
{
    size_t end = 0;
    while (end < len && bytes[end] != '\n' && bytes[end] != '\r') {
        end++;
    }
    return end;
}

static enum status check(const char *path, size_t min, size_t max, const char *bytes, size_t len,
                         char fault[SECRET_FAULT_MAX])
{
    const struct mark *mark = mark_of(bytes, len);
    size_t line = first_line(bytes, len);
    if (mark != NULL) {
        (void)snprintf(fault, SECRET_FAULT_MAX,
                       "%.300s begins with a byte order mark of %s: save it as plain text without"
                       " one",
                       path, mark->name);
    } else if (memchr(bytes, '\0', line) != NULL) {
        (void)snprintf(fault, SECRET_FAULT_MAX,
                       "%.300s has a NUL byte: write the secret as text, such as openssl rand"
                       " -base64 makes",
                       path);
    } else if (line > max) {
        (void)snprintf(fault, SECRET_FAULT_MAX,
                       "%.300s: its first line must hold %zu to %zu bytes, and holds more", path,
                       min, max);
    } else if (line < min) {
        (void)snprintf(fault, SECRET_FAULT_MAX,
                       "%.300s: its first line must hold %zu to %zu bytes, and holds %zu", path,
                       min, max, line);
    } else {
        return STATUS_OK;
    }
    return STATUS_INVALID;
}

enum status secret_file_read(const char *path, size_t min, size_t max, char *bytes, size_t *len,
                             char fault[SECRET_FAULT_MAX])
{
    size_t got;
    enum status status = read_bytes(path, bytes, max + 1, &got, fault);
    if (status == STATUS_OK) {
        status = check(path, min, max, bytes, got, fault);
    }
    *len = status == STATUS_OK ? first_line(bytes, got) : 0;
    bytes[*len] = '\0';
    return status;
}

// SPDX-License-Identifier: Apache-2.0
// A growing buffer with a mandatory maximum. The first failure sticks, so callers check once.
#pragma once

#include <stddef.h>

#include "base/status.h"
#include "base/str.h"

struct arena;

struct buffer {
    char *data;
    size_t len;
    size_t capacity;
    size_t size_max;
    enum status status;  // STATUS_OK, STATUS_FULL (size_max) or STATUS_NO_MEMORY; sticks
    struct arena *arena; // NULL: malloc, then buffer_free
};

// size_max: bytes. In an arena the memory goes with the arena; growth there leaves the old bytes.
void buffer_init(struct buffer *buffer, struct arena *arena, size_t size_max);

void buffer_free(struct buffer *buffer);

// Forgets the content and the failure, keeps the memory.
void buffer_reset(struct buffer *buffer);

void buffer_add(struct buffer *buffer, struct str text);
void buffer_add_char(struct buffer *buffer, char byte);

// Room for so many more bytes, for a caller that fills them and then adds `size` to len; NULL when
// there is none.
char *buffer_reserve(struct buffer *buffer, size_t size);
void buffer_add_int64(struct buffer *buffer, int64_t value);
void buffer_printf(struct buffer *buffer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static inline struct str buffer_view(const struct buffer *buffer)
{
    return (struct str){buffer->data == NULL ? "" : buffer->data, buffer->len};
}

// SPDX-License-Identifier: Apache-2.0
// A growing buffer with a mandatory maximum. The first failure sticks, so callers check once.
#include "base/buffer.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"

enum { FIRST_CAPACITY = 256 };

void buffer_init(struct buffer *buffer, struct arena *arena, size_t size_max)
{
    *buffer = (struct buffer){.arena = arena, .size_max = size_max};
}

void buffer_free(struct buffer *buffer)
{
    if (buffer->arena == NULL) {
        free(buffer->data);
    }
    buffer->data = NULL;
    buffer->len = 0;
    buffer->capacity = 0;
}

void buffer_reset(struct buffer *buffer)
{
    buffer->len = 0;
    buffer->status = STATUS_OK;
}

static bool grow_to(struct buffer *buffer, size_t capacity)
{
    char *grown = buffer->arena == NULL ? realloc(buffer->data, capacity)
                                        : arena_alloc(buffer->arena, capacity);
    if (grown == NULL) {
        buffer->status = STATUS_NO_MEMORY;
        return false;
    }
    if (buffer->arena != NULL && buffer->len > 0) {
        memcpy(grown, buffer->data, buffer->len);
    }
    buffer->data = grown;
    buffer->capacity = capacity;
    return true;
}

static bool make_room(struct buffer *buffer, size_t more)
{
    if (buffer->status != STATUS_OK) {
        return false;
    }
    if (more > buffer->size_max || buffer->len > buffer->size_max - more) {
        buffer->status = STATUS_FULL;
        return false;
    }
    if (buffer->capacity - buffer->len >= more) {
        return true;
    }
    size_t capacity = buffer->capacity == 0 ? FIRST_CAPACITY : buffer->capacity * 2;
    if (capacity < buffer->len + more) {
        capacity = buffer->len + more;
    }
    return grow_to(buffer, capacity);
}

void buffer_add(struct buffer *buffer, struct str text)
{
    if (text.len > 0 && make_room(buffer, text.len)) {
        memcpy(buffer->data + buffer->len, text.data, text.len);
        buffer->len += text.len;
    }
}

void buffer_add_char(struct buffer *buffer, char byte)
{
    if (make_room(buffer, 1)) {
        buffer->data[buffer->len++] = byte;
    }
}

char *buffer_reserve(struct buffer *buffer, size_t size)
{
    return make_room(buffer, size) ? buffer->data + buffer->len : NULL;
}

void buffer_add_int64(struct buffer *buffer, int64_t value)
{
    char digits[20];
    size_t at = sizeof(digits);
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    do {
        digits[--at] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    if (value < 0) {
        digits[--at] = '-';
    }
    buffer_add(buffer, (struct str){digits + at, sizeof(digits) - at});
}

void buffer_printf(struct buffer *buffer, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int needed = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (needed < 0 || !make_room(buffer, (size_t)needed + 1)) { // vsnprintf writes its NUL too
        return;
    }
    va_start(args, format);
    (void)vsnprintf(buffer->data + buffer->len, (size_t)needed + 1, format, args);
    va_end(args);
    buffer->len += (size_t)needed;
}

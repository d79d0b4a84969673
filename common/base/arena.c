// SPDX-License-Identifier: Apache-2.0
// Memory with one lifetime: allocate freely, release all at once, never past a stated limit.
#include "base/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct arena_block {
    struct arena_block *next;
    size_t size;
    size_t used;
    max_align_t bytes[];
};

void arena_init(struct arena *arena, size_t block_size, size_t limit_max)
{
    *arena = (struct arena){.block_size = block_size, .limit_max = limit_max};
}

static void free_blocks(struct arena_block *block)
{
    while (block != NULL) {
        struct arena_block *next = block->next;
        free(block);
        block = next;
    }
}

void arena_free(struct arena *arena)
{
    free_blocks(arena->blocks);
    arena->blocks = NULL;
    arena->used = 0;
}

void arena_reset(struct arena *arena)
{
    if (arena->blocks != NULL) {
        free_blocks(arena->blocks->next);
        arena->blocks->next = NULL;
        arena->blocks->used = 0;
    }
    arena->used = 0;
}

void arena_trim(struct arena *arena, size_t keep_max)
{
    arena_reset(arena);
    if (arena->blocks != NULL && arena->blocks->size > keep_max) {
        arena_free(arena);
    }
}

struct arena_mark arena_mark(const struct arena *arena)
{
    return (struct arena_mark){.block = arena->blocks,
                               .block_used = arena->blocks == NULL ? 0 : arena->blocks->used,
                               .used = arena->used};
}

void arena_rewind(struct arena *arena, struct arena_mark mark)
{
    if (mark.block == NULL) {
        arena_reset(arena);
        return;
    }
    while (arena->blocks != mark.block) {
        struct arena_block *newer = arena->blocks;
        arena->blocks = newer->next;
        free(newer);
    }
    arena->blocks->used = mark.block_used;
    arena->used = mark.used;
}

static struct arena_block *add_block(struct arena *arena, size_t size)
{
    if (size < arena->block_size) {
        size = arena->block_size;
    }
    struct arena_block *block = malloc(sizeof(*block) + size);
    if (block == NULL) {
        return NULL;
    }
    *block = (struct arena_block){.next = arena->blocks, .size = size};
    arena->blocks = block;
    return block;
}

void *arena_alloc_raw(struct arena *arena, size_t size)
{
    if (size > arena->limit_max || arena->used > arena->limit_max - size) {
        return NULL;
    }
    size_t rounded = (size + _Alignof(max_align_t) - 1) & ~(_Alignof(max_align_t) - 1);
    struct arena_block *block = arena->blocks;
    if (block == NULL || block->size - block->used < rounded) {
        block = add_block(arena, rounded);
        if (block == NULL) {
            return NULL;
        }
    }
    void *memory = (char *)block->bytes + block->used;
    block->used += rounded;
    arena->used += size;
    return memory;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    void *memory = arena_alloc_raw(arena, size);
    return memory == NULL ? NULL : memset(memory, 0, size);
}

void *arena_array(struct arena *arena, size_t count, size_t size)
{
    size_t total = 0;
    return __builtin_mul_overflow(count, size, &total) ? NULL : arena_alloc(arena, total);
}

struct str arena_str(struct arena *arena, struct str text)
{
    char *copy = text.len == SIZE_MAX ? NULL : arena_alloc_raw(arena, text.len + 1);
    if (copy == NULL) {
        return (struct str){NULL, 0};
    }
    if (text.len > 0) {
        memcpy(copy, text.data, text.len);
    }
    copy[text.len] = '\0';
    return (struct str){copy, text.len};
}

struct str arena_printf(struct arena *arena, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int needed = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *text = needed < 0 ? NULL : arena_alloc_raw(arena, (size_t)needed + 1);
    if (text == NULL) {
        return (struct str){NULL, 0};
    }
    va_start(args, format);
    (void)vsnprintf(text, (size_t)needed + 1, format, args);
    va_end(args);
    return (struct str){text, (size_t)needed};
}

// SPDX-License-Identifier: Apache-2.0
// Loads every saga of a folder, *.json in the order of their names, all of them right or none.
#define _GNU_SOURCE // scandir, alphasort
#include "infrastructure/config/saga_files.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "domain/fault_list.h"

struct loading {
    struct saga_overrides overrides;
    struct arena *arena;
    struct saga_definitions *definitions;
    struct buffer *faults;
    enum status status;
};

static void fault(struct loading *loading, struct str file, struct str pointer, struct str detail)
{
    buffer_printf(loading->faults, "%.*s: %.*s%s%.*s\n", STR_FMT(file), STR_FMT(pointer),
                  pointer.len > 0 ? ": " : "", STR_FMT(detail));
    loading->status = STATUS_INVALID;
}

static bool read_bytes(struct loading *loading, struct str path, struct str *bytes)
{
    FILE *file = fopen(path.data, "rbe");
    if (file == NULL) {
        fault(loading, path, STR(""), str_from(strerror(errno)));
        return false;
    }
    char *room = arena_alloc(loading->arena, SAGA_FILE_BYTES_MAX + 1);
    size_t len = room == NULL ? 0 : fread(room, 1, SAGA_FILE_BYTES_MAX + 1, file);
    bool failed = room == NULL || ferror(file) != 0;
    fclose(file);
    if (failed || len > SAGA_FILE_BYTES_MAX) {
        fault(loading, path, STR(""),
              failed ? STR("cannot be read") : STR("is larger than 256 KiB"));
        return false;
    }
    *bytes = (struct str){room, len};
    return true;
}

static void load_file(struct loading *loading, const char *folder, const char *name)
{
    struct str path = arena_printf(loading->arena, "%s/%s", folder, name);
    struct fault_list *found = arena_alloc(loading->arena, sizeof *found);
    struct saga_definition *definition = arena_alloc(loading->arena, sizeof *definition);
    struct str bytes;
    struct str clash = STR("");
    if (path.data == NULL || found == NULL || definition == NULL) {
        loading->status = STATUS_NO_MEMORY;
        return;
    }
    if (!read_bytes(loading, path, &bytes)) {
        return;
    }
    enum status status =
        saga_definition_read(path, bytes, loading->overrides, loading->arena, found, definition);
    for (size_t i = 0; i < found->count; i++) {
        fault(loading, path, found->items[i].pointer, found->items[i].detail);
    }
    if (status == STATUS_OK) {
        status = saga_definitions_add(loading->definitions, definition, loading->arena, &clash);
    }
    if (clash.len > 0) {
        fault(loading, path, STR(""), clash);
    }
    loading->status = status == STATUS_OK ? loading->status : status;
}

static int is_saga_file(const struct dirent *entry)
{
    size_t len = strlen(entry->d_name);
    return len > 5 && entry->d_name[0] != '.' && strcmp(entry->d_name + len - 5, ".json") == 0;
}

enum status saga_files_load(const char *folder, struct saga_overrides overrides,
                            struct arena *arena, struct saga_definitions *definitions,
                            struct buffer *faults)
{
    struct loading loading = {overrides, arena, definitions, faults, STATUS_OK};
    struct dirent **entries;
    int count = scandir(folder, &entries, is_saga_file, alphasort);
    if (count <= 0) {
        fault(&loading, str_from(folder), STR(""),
              count < 0 ? str_from(strerror(errno)) : STR("holds no saga (*.json)"));
        if (count == 0) {
            free(entries);
        }
        return loading.status;
    }
    for (int i = 0; i < count; i++) {
        load_file(&loading, folder, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    return loading.status;
}

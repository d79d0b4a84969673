// SPDX-License-Identifier: Apache-2.0
// For tests of sagas: the shipped definition, and instances placed anywhere in it.
#include "saga_fixture.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

struct str saga_fixture_file(const char *path, struct arena *arena)
{
    FILE *file = fopen(path, "rb");
    cr_assert_not_null(file, "%s cannot be opened: run tests from the top folder", path);
    char *bytes = arena_alloc(arena, SAGA_FILE_BYTES_MAX);
    size_t len = fread(bytes, 1, SAGA_FILE_BYTES_MAX, file);
    fclose(file);
    return (struct str){bytes, len};
}

struct saga_definition saga_fixture_read(const char *file, struct str bytes, struct arena *arena)
{
    struct saga_definition definition;
    struct fault_list *faults = arena_alloc(arena, sizeof *faults);
    enum status status = saga_definition_read(str_from(file), bytes, (struct saga_overrides){0, 0},
                                              arena, faults, &definition);
    for (size_t i = 0; i < faults->count; i++) {
        cr_log_error("%s: %.*s: %.*s", file, STR_FMT(faults->items[i].pointer),
                     STR_FMT(faults->items[i].detail));
    }
    cr_assert_eq(status, STATUS_OK);
    return definition;
}

struct saga_definition saga_fixture_order_fulfilment(struct arena *arena)
{
    const char *path = "conf/sagas/order_fulfilment.json";
    return saga_fixture_read(path, saga_fixture_file(path, arena), arena);
}

struct saga_state saga_fixture_at(const struct saga_definition *definition, const char *step,
                                  enum saga_direction direction, int attempt)
{
    return (struct saga_state){
        .phase = SAGA_RUNNING,
        .saga = definition->name,
        .version = definition->version,
        .start = definition->starts_on[0].example,
        .correlation_id = STR("c-1"),
        .traceparent = STR(""),
        .at = {.step = str_from(step), .direction = direction, .attempt = attempt},
        .code = STR(""),
        .detail = STR(""),
    };
}

const char *saga_fixture_find(struct str text, const char *passage)
{
    size_t len = strlen(passage);
    for (size_t i = 0; i + len <= text.len; i++) {
        if (memcmp(text.data + i, passage, len) == 0) {
            return text.data + i;
        }
    }
    return NULL;
}

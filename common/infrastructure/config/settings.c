// SPDX-License-Identifier: Apache-2.0
// A program's settings: one table that is read, checked, documented and printed the same way.
#include "infrastructure/config/settings.h"

#include <stdlib.h>
#include <string.h>

#include "infrastructure/config/secret_file.h"
#include "infrastructure/config/setting_value.h"
#include "infrastructure/config/settings_file.h"

struct settings {
    const struct setting_table *table;
    const char *path;
    size_t count;
    const struct setting *items[SETTINGS_MAX];
    struct setting_value values[SETTINGS_MAX];
};

// What is at hand while one program's settings are read.
struct sources {
    const char *path;
    char *const *environment;
    struct settings_line lines[SETTINGS_MAX * 2];
    size_t line_count;
    struct arena *arena;
    struct str *fault;
};

// The words for where a value came from, and the value.
struct found {
    struct str value; // data NULL: nowhere
    struct str where;
};

static size_t list_settings(const struct setting_table *table,
                            const struct setting *items[SETTINGS_MAX])
{
    size_t count = 0;
    for (size_t group = 0; group < SETTING_GROUPS_MAX; group++) {
        for (size_t at = 0; at < table->groups[group].count; at++) {
            if (count == SETTINGS_MAX) {
                abort(); // a table is written by us
            }
            items[count++] = &table->groups[group].items[at];
        }
    }
    return count;
}

static enum status fail(struct sources *sources, struct str fault)
{
    *sources->fault = fault;
    return fault.data == NULL ? STATUS_NO_MEMORY : STATUS_INVALID;
}

static struct found find_in_environment(const struct sources *sources, struct str name)
{
    for (char *const *entry = sources->environment; entry != NULL && *entry != NULL; entry++) {
        struct str head;
        struct str value;
        if (str_split(str_from(*entry), '=', &head, &value) && str_eq(head, name)) {
            return (struct found){value, STR("the environment")};
        }
    }
    return (struct found){.value = {NULL, 0}};
}

static struct found find_in_file(const struct sources *sources, struct str name)
{
    struct found found = {.value = {NULL, 0}};
    for (size_t at = 0; at < sources->line_count; at++) { // the last one counts, as in a shell
        if (str_eq(sources->lines[at].name, name)) {
            found = (struct found){sources->lines[at].value,
                                   arena_printf(sources->arena, "%s, line %d", sources->path,
                                                sources->lines[at].number)};
        }
    }
    return found;
}

static struct found find(const struct sources *sources, struct str name)
{
    struct found found = find_in_environment(sources, name);
    return found.value.data != NULL ? found : find_in_file(sources, name);
}

// NAME_FILE names a file with a secret's value.
static enum status find_by_file(struct sources *sources, const struct setting *setting,
                                struct found *found)
{
    if (setting->type != SETTING_SECRET) {
        return STATUS_OK;
    }
    struct str name = arena_printf(sources->arena, "%s_FILE", setting->name);
    if (name.data == NULL) {
        return STATUS_NO_MEMORY;
    }
    struct found path = find(sources, name);
    if (path.value.data == NULL || path.value.len == 0) {
        return STATUS_OK;
    }
    struct str copy = arena_str(sources->arena, path.value);
    size_t len_max = setting->max == 0 ? SETTING_VALUE_MAX : (size_t)setting->max;
    char *bytes = arena_alloc(sources->arena, len_max + 1);
    char reason[SECRET_FAULT_MAX];
    size_t len = 0;
    if (copy.data == NULL || bytes == NULL) {
        return STATUS_NO_MEMORY;
    }
    if (found->value.data != NULL) {
        return fail(sources,
                    arena_printf(sources->arena, "%s and %s_FILE are both set: keep one of them",
                                 setting->name, setting->name));
    }
    if (secret_file_read(copy.data, (size_t)setting->min, len_max, bytes, &len, reason) !=
        STATUS_OK) {
        return fail(sources, arena_printf(sources->arena, "%s_FILE: %s", setting->name, reason));
    }
    *found = (struct found){{bytes, len}, arena_printf(sources->arena, "%s", copy.data)};
    return STATUS_OK;
}

static enum status refuse_value(struct sources *sources, const struct setting *setting,
                                const struct found *found)
{
    bool secret = setting->type == SETTING_SECRET;
    struct str shown = secret ? STR("(hidden)") : found->value;
    return fail(sources, arena_printf(sources->arena, "%s=%.*s (%.*s): %.*s", setting->name,
                                      STR_FMT(shown), STR_FMT(found->where),
                                      STR_FMT(setting_allows(setting, sources->arena))));
}

static enum status load_one(struct sources *sources, const struct setting *setting,
                            struct setting_value *value)
{
    struct found found = find(sources, str_from(setting->name));
    enum status status = find_by_file(sources, setting, &found);
    if (status != STATUS_OK) {
        return status;
    }
    if (found.value.data == NULL && setting->value == NULL) {
        return fail(sources, arena_printf(sources->arena, "%s is not set: %s", setting->name,
                                          setting->help));
    }
    if (found.value.data == NULL) {
        found = (struct found){str_from(setting->value), STR("by default")};
    }
    struct str copy = arena_str(sources->arena, found.value);
    if (copy.data == NULL) {
        return STATUS_NO_MEMORY;
    }
    return setting_value_parse(setting, copy, value) ? STATUS_OK
                                                     : refuse_value(sources, setting, &found);
}

static bool is_known(const struct settings *settings, struct str name)
{
    for (size_t at = 0; at < settings->count; at++) {
        struct str known = str_from(settings->items[at]->name);
        struct str head = {name.data, known.len};
        bool secret = settings->items[at]->type == SETTING_SECRET;
        if (str_starts_with(name, known) &&
            (name.len == known.len ||
             (secret &&
              str_eq((struct str){name.data + head.len, name.len - head.len}, STR("_FILE"))))) {
            return true;
        }
    }
    return false;
}

// A misspelt name in the file would else silently leave its default in force.
static enum status refuse_unknown(struct sources *sources, const struct settings *settings)
{
    for (size_t at = 0; at < sources->line_count; at++) {
        struct settings_line line = sources->lines[at];
        if (str_starts_with(line.name, STR("COMANDA_")) && !is_known(settings, line.name)) {
            return fail(sources, arena_printf(sources->arena,
                                              "%s, line %d: %s has no setting %.*s; see --help",
                                              sources->path, line.number, settings->table->program,
                                              STR_FMT(line.name)));
        }
    }
    return STATUS_OK;
}

static enum status read_file(struct sources *sources)
{
    struct str text;
    struct str reason;
    if (sources->path == NULL) {
        return STATUS_OK;
    }
    enum status status =
        settings_file_read(sources->path, SETTINGS_FILE_MAX, sources->arena, &text, sources->fault);
    if (status != STATUS_OK) {
        return status;
    }
    status = settings_file_parse(text, sources->arena, SETTINGS_MAX * 2, sources->lines,
                                 &sources->line_count, &reason);
    return status != STATUS_INVALID ? status
                                    : fail(sources, arena_printf(sources->arena, "%s, %.*s",
                                                                 sources->path, STR_FMT(reason)));
}

static enum status check_groups(struct sources *sources, const struct settings *settings)
{
    for (size_t at = 0; at < SETTING_GROUPS_MAX; at++) {
        const struct setting_group *group = &settings->table->groups[at];
        struct str fault = STR("");
        if (group->check != NULL && !group->check(settings, sources->arena, &fault)) {
            return fail(sources, fault);
        }
    }
    return STATUS_OK;
}

enum status settings_load(const struct setting_table *table, const char *path,
                          char *const *environment, struct arena *arena, struct settings **settings,
                          struct str *fault)
{
    struct sources *sources = arena_alloc(arena, sizeof(*sources));
    struct settings *loaded = arena_alloc(arena, sizeof(*loaded));
    if (sources == NULL || loaded == NULL) {
        return STATUS_NO_MEMORY;
    }
    *sources =
        (struct sources){.path = path, .environment = environment, .arena = arena, .fault = fault};
    loaded->table = table;
    loaded->path = path;
    loaded->count = list_settings(table, loaded->items);
    enum status status = read_file(sources);
    status = status == STATUS_OK ? refuse_unknown(sources, loaded) : status;
    for (size_t at = 0; at < loaded->count && status == STATUS_OK; at++) {
        status = load_one(sources, loaded->items[at], &loaded->values[at]);
    }
    status = status == STATUS_OK ? check_groups(sources, loaded) : status;
    if (status == STATUS_OK) {
        *settings = loaded;
    }
    return status;
}

static const struct setting_value *value_of(const struct settings *settings, const char *name)
{
    for (size_t at = 0; at < settings->count; at++) {
        if (strcmp(settings->items[at]->name, name) == 0) {
            return &settings->values[at];
        }
    }
    (void)fprintf(stderr, "%s asks for a setting %s that its table lacks\n",
                  settings->table->program, name);
    abort();
}

const char *settings_text(const struct settings *settings, const char *name)
{
    return value_of(settings, name)->text.data;
}

int64_t settings_int(const struct settings *settings, const char *name)
{
    return value_of(settings, name)->number;
}

int settings_choice(const struct settings *settings, const char *name)
{
    return (int)value_of(settings, name)->number;
}

const struct setting_table *settings_table_of(const struct settings *settings)
{
    return settings->table;
}

const char *settings_program(const struct settings *settings)
{
    return settings->table->program;
}

const char *settings_path(const struct settings *settings)
{
    return settings->path;
}

// SPDX-License-Identifier: Apache-2.0
// One setting's value: reading it by its type, and saying what is allowed.
#define _GNU_SOURCE // memrchr
#include "infrastructure/config/setting_value.h"

#include <string.h>

static bool within(const struct setting *setting, int64_t number)
{
    return number >= setting->min && number <= setting->max;
}

static bool parse_text(const struct setting *setting, struct str text)
{
    int64_t len_max = setting->max == 0 ? SETTING_VALUE_MAX : setting->max;
    return memchr(text.data, '\0', text.len) == NULL && (int64_t)text.len >= setting->min &&
           (int64_t)text.len <= len_max;
}

static bool parse_ms(struct str text, int64_t *number)
{
    static const struct {
        struct str suffix;
        int64_t factor;
    } units[] = {{STR("ms"), 1}, {STR("s"), 1000}, {STR("m"), 60000}, {STR("h"), 3600000}};
    for (size_t at = 0; at < sizeof(units) / sizeof(units[0]); at++) {
        size_t len = units[at].suffix.len;
        int64_t count = 0;
        if (text.len > len &&
            str_eq((struct str){text.data + text.len - len, len}, units[at].suffix) &&
            str_to_int64((struct str){text.data, text.len - len}, &count)) {
            return !__builtin_mul_overflow(count, units[at].factor, number);
        }
    }
    return str_to_int64(text, number);
}

static bool parse_choice(const struct setting *setting, struct str text, int64_t *number)
{
    struct str rest = str_from(setting->choices);
    struct str choice;
    for (int64_t at = 0; rest.len > 0; at++) {
        (void)str_split(rest, '|', &choice, &rest);
        if (str_eq(choice, text)) {
            *number = at;
            return true;
        }
    }
    return false;
}

// The last colon parts host and port, unless it stands inside the brackets of an IPv6 host.
static bool parse_address(struct str text, int64_t *port)
{
    const char *colon = text.len == 0 ? NULL : memrchr(text.data, ':', text.len);
    if (colon == NULL || colon == text.data) {
        return false;
    }
    struct str host = {text.data, (size_t)(colon - text.data)};
    struct str tail = {colon + 1, text.len - host.len - 1};
    bool bracketed = host.data[0] == '[';
    if (bracketed ? host.data[host.len - 1] != ']' : memchr(host.data, ':', host.len) != NULL) {
        return false;
    }
    return str_to_int64(tail, port) && *port >= 0 && *port <= 65535;
}

static bool parse_number(const struct setting *setting, struct str text, int64_t *number)
{
    switch (setting->type) {
    case SETTING_TEXT:
    case SETTING_SECRET:
        return parse_text(setting, text);
    case SETTING_INTEGER:
        return str_to_int64(text, number) && within(setting, *number);
    case SETTING_MS:
        return parse_ms(text, number) && within(setting, *number);
    case SETTING_CHOICE:
        return parse_choice(setting, text, number);
    case SETTING_ADDRESS:
        return parse_address(text, number);
    }
    return false;
}

bool setting_value_parse(const struct setting *setting, struct str text,
                         struct setting_value *value)
{
    int64_t number = 0;
    if (!parse_number(setting, text, &number)) {
        return false;
    }
    *value = (struct setting_value){.text = text, .number = number};
    return true;
}

struct str setting_allows(const struct setting *setting, struct arena *arena)
{
    switch (setting->type) {
    case SETTING_TEXT:
    case SETTING_SECRET:
        return arena_printf(arena, "write %lld to %lld characters", (long long)setting->min,
                            (long long)(setting->max == 0 ? SETTING_VALUE_MAX : setting->max));
    case SETTING_INTEGER:
        return arena_printf(arena, "write a whole number from %lld to %lld",
                            (long long)setting->min, (long long)setting->max);
    case SETTING_MS:
        return arena_printf(arena,
                            "write a time such as 500ms, 20s, 5m or 2h, from %lldms to %lldms",
                            (long long)setting->min, (long long)setting->max);
    case SETTING_CHOICE:
        return arena_printf(arena, "write one of %s", setting->choices);
    case SETTING_ADDRESS:
        return arena_printf(arena, "write host:port, such as 127.0.0.1:9100, port 0 for any");
    }
    return STR("");
}

const char *setting_type_name(enum setting_type type)
{
    switch (type) {
    case SETTING_TEXT:
        return "text";
    case SETTING_SECRET:
        return "secret";
    case SETTING_INTEGER:
        return "integer";
    case SETTING_MS:
        return "milliseconds";
    case SETTING_CHOICE:
        return "choice";
    case SETTING_ADDRESS:
        return "address";
    }
    return "?";
}

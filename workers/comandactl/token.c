// SPDX-License-Identifier: Apache-2.0
// comandactl token: mints bearer tokens with a development key.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "command.h"
#include "infrastructure/config/secret_file.h"
#include "infrastructure/token/jwt.h"

enum { DAY_S = 86400, TTL_MAX_S = 365 * DAY_S };

// "30s", "15m", "1h", "7d"; a number alone is seconds.
static bool read_duration(const char *text, int64_t *seconds)
{
    static const struct {
        char unit;
        int64_t seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', DAY_S}};
    struct str number = str_from(text);
    int64_t factor = 1;
    for (size_t at = 0; number.len > 0 && at < sizeof(units) / sizeof(units[0]); at++) {
        if (number.data[number.len - 1] == units[at].unit) {
            number.len--;
            factor = units[at].seconds;
            break;
        }
    }
    int64_t value;
    if (!str_to_int64(number, &value) || value < 1 || value > TTL_MAX_S / factor) {
        return false;
    }
    *seconds = value * factor;
    return true;
}

// The key as the edge reads it.
static enum ctl_exit read_key(struct ctl *ctl, struct str *key)
{
    const char *path = ctl_setting(ctl, "--key-file", "COMANDA_JWT_KEY_FILE", NULL);
    if (path == NULL) {
        return ctl_fail(ctl, CTL_USAGE, "give --key-file FILE or set COMANDA_JWT_KEY_FILE");
    }
    char *bytes = arena_alloc(ctl->arena, JWT_KEY_BYTES_MAX + 1);
    char fault[SECRET_FAULT_MAX] = "no memory";
    size_t len = 0;
    enum status status = bytes == NULL ? STATUS_NO_MEMORY
                                       : secret_file_read(path, JWT_KEY_BYTES_MIN,
                                                          JWT_KEY_BYTES_MAX, bytes, &len, fault);
    if (status != STATUS_OK) {
        return ctl_fail(ctl, status == STATUS_INVALID ? CTL_REFUSED : CTL_INTERNAL, "key file %s",
                        fault);
    }
    *key = (struct str){bytes, len};
    return CTL_OK;
}

static void print_token(const struct ctl *ctl, struct str token, const struct jwt_grant *grant)
{
    if (!ctl->json) {
        printf("%.*s\n", STR_FMT(token));
        return;
    }
    struct buffer out;
    struct json_writer writer;
    buffer_init(&out, ctl->arena, 4 * JWT_BYTES_MAX);
    json_writer_init(&writer, &out);
    json_object_begin(&writer);
    json_name(&writer, STR("token"));
    json_string(&writer, token);
    json_name(&writer, STR("subject"));
    json_string(&writer, grant->subject);
    json_name(&writer, STR("scope"));
    json_string(&writer, grant->scope);
    json_name(&writer, STR("expires_at"));
    json_instant(&writer, grant->expires_at_s * 1000000);
    json_object_end(&writer);
    ctl_print_json(&out);
}

static struct str text_of(const struct ctl *ctl, const char *option)
{
    return str_from(ctl_option_value(ctl, option));
}

static enum ctl_exit read_grant(const struct ctl *ctl, struct jwt_grant *grant)
{
    const char *ttl = ctl_option_value(ctl, "--ttl");
    int64_t seconds;
    if (!read_duration(ttl == NULL ? "1h" : ttl, &seconds)) {
        return ctl_fail(ctl, CTL_USAGE,
                        "--ttl %s: write a duration such as 30s, 15m, 1h or 7d, at "
                        "most 365d",
                        ttl);
    }
    *grant = (struct jwt_grant){.subject = text_of(ctl, "--subject"),
                                .scope = text_of(ctl, "--scope"),
                                .issuer = text_of(ctl, "--issuer"),
                                .audience = text_of(ctl, "--audience"),
                                .issued_at_s = (int64_t)time(NULL)};
    if (grant->subject.len == 0 || grant->subject.len > JWT_SUBJECT_BYTES_MAX) {
        return ctl_fail(ctl, CTL_USAGE, "--subject: give the principal's name, 1 to %d bytes",
                        JWT_SUBJECT_BYTES_MAX);
    }
    if (ctl_option_value(ctl, "--expired") != NULL) {
        grant->issued_at_s -= 2 * seconds; // it was valid once, and ended a lifetime ago
    }
    grant->expires_at_s = grant->issued_at_s + seconds;
    return CTL_OK;
}

static enum ctl_exit run_mint(struct ctl *ctl)
{
    struct jwt_grant grant;
    struct str key;
    enum ctl_exit code = read_grant(ctl, &grant);
    if (code == CTL_OK) {
        code = read_key(ctl, &key);
    }
    if (code != CTL_OK) {
        return code;
    }
    struct buffer token;
    buffer_init(&token, ctl->arena, JWT_BYTES_MAX);
    enum status status = jwt_mint(key, &grant, &token);
    if (status == STATUS_INVALID) {
        return ctl_fail(ctl, CTL_USAGE,
                        "--subject and --scope take no control characters, --scope at most %d "
                        "bytes",
                        JWT_SCOPE_BYTES_MAX);
    }
    if (status != STATUS_OK) {
        return ctl_fail(ctl, ctl_exit_of(status), "the token cannot be made: %s",
                        status_text(status));
    }
    print_token(ctl, buffer_view(&token), &grant);
    return CTL_OK;
}

static const struct ctl_option mint_options[] = {
    {"--subject", "S", "the principal: the token's sub"},
    {"--scope", "SCOPES", "space-separated, such as \"orders:write orders:read\""},
    {"--ttl", "DURATION", "how long it is valid: 30s, 15m, 1h (default), 7d"},
    {"--expired", NULL, "a token that has ended already, to test refusals with"},
    {"--issuer", "ISS", "its iss; left out by default"},
    {"--audience", "AUD", "its aud; left out by default"},
    {"--key-file", "FILE", "the HS256 key (else COMANDA_JWT_KEY_FILE)"},
    {NULL, NULL, NULL},
};

static const struct ctl_verb verbs[] = {
    {"mint", "", 0, 0, "print a token signed with the development key", mint_options, run_mint},
    {NULL, NULL, 0, 0, NULL, NULL, NULL},
};

const struct ctl_noun ctl_token = {
    .name = "token",
    .summary = "bearer tokens for development",
    .verbs = verbs,
    .examples =
        "  comandactl token mint --subject ana --scope \"orders:write orders:read\" --ttl 1h\n"
        "  comandactl token mint --subject ana --expired --json\n",
};
